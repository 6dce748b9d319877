"""Mirrors of the parameters along a path of alphas."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from sklearn.utils.validation import check_is_fitted

from sksym.plotting.canvas import OTHER, count_on_top, draw_error, mark_alpha, path_panels
from sksym.plotting.paths import fitted

_KINDS = ("norms", "coefs")
# Okabe and Ito's colours, told apart by colour-blind eyes too; their yellow is too pale for a line.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SIZE = (6.4, 4.4)  # inches of a figure
_ROOM = 0.8  # width of the panels; the names stand in the rest
_LINE = 0.085  # height of a name, relative to the upper panel
_MOST_COUNTS = 7  # numbers on top


@dataclass(kw_only=True, eq=False, repr=False)
class MirrorPathDisplay:
    """Mirror-penalised regression from strong to weak: which mirrors are broken, and the error.

    Above, one curve for each elementary mirror, ``||O_k^T w||_2``, the distance of the coefficients
    from it: zero while the constraint holds. Alpha decreases to the right, so that the model grows
    as one reads, and the curves end at the names of those that are largest on average; the others
    are grey. How many mirrors are broken is written on top. Below, the mean squared error.

    Parameters
    ----------
    alphas : ndarray of shape (a,)
    norms : ndarray of shape (a, K)
        ``||O_k^T w||_2``, without weights.
    active : ndarray of shape (a, K), bool
        Which mirrors are broken.
    mirror_names : sequence of K str
    error : ndarray of shape (a,)
        Mean squared error.
    error_spread : ndarray of shape (a,), default=None
        Standard deviation over folds, where the error is that of a cross-validation.
    alpha : float, default=None
        The one to mark.
    coefs : ndarray of shape (a, p) or (a, q, p), default=None
        For ``kind="coefs"``.
    feature_names : sequence of p str, default=None

    Attributes
    ----------
    ax_ : ndarray of two Axes
        Of the curves and of the error.
    figure_ : Figure

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import MirrorPathDisplay
    >>> alphas = np.geomspace(1, 0.01, 20)
    >>> norms = np.maximum(0, np.subtract.outer(-alphas, [-0.9, -0.3]))
    >>> display = MirrorPathDisplay(
    ...     alphas=alphas,
    ...     norms=norms,
    ...     active=norms > 0,
    ...     mirror_names=["age", "blood"],
    ...     error=alphas**2 + 0.1,
    ... ).plot()
    """

    alphas: np.ndarray
    norms: np.ndarray
    active: np.ndarray
    mirror_names: Sequence[str]
    error: np.ndarray
    error_spread: np.ndarray | None = None
    alpha: float | None = None
    coefs: np.ndarray | None = None
    feature_names: Sequence[str] | None = None

    @classmethod
    def from_path(cls, path):
        """A display of what `mirror_path` returned, not drawn yet."""
        return cls(
            alphas=path.alphas,
            norms=path.norms,
            active=path.active,
            mirror_names=path.mirror_names,
            error=path.mean_squared_error,
            coefs=path.coefs,
        )

    @classmethod
    def from_estimator(cls, estimator, X=None, y=None, *, kind="norms", ax=None):
        """Draw the path of a `MirrorSparseRegressorCV`, the errors of its folds, and its alpha.

        Parameters
        ----------
        estimator : MirrorSparseRegressorCV
            Unless it is fitted, a copy is, to `X` and `y`.
        X : array-like of shape (n, p), default=None
        y : array-like of shape (n,) or (n, q), default=None
        kind : {"norms", "coefs"}, default="norms"
        ax : Axes, default=None
            Divided into both panels; None: a new figure.
        """
        if X is None:
            check_is_fitted(estimator)
        else:
            estimator = fitted(estimator, X, y)
        if not hasattr(estimator, "path_"):
            raise TypeError(
                f"MirrorSparseRegressorCV keeps its path, got {estimator!r}. For a model with one "
                "alpha pass the result of mirror_path(X, y, ...) to `from_path`."
            )
        display = cls.from_path(estimator.path_)
        display.error = estimator.mse_path_.mean(axis=1)
        display.error_spread = estimator.mse_path_.std(axis=1)
        display.alpha = estimator.alpha_
        display.feature_names = getattr(estimator, "feature_names_in_", None)
        return display.plot(ax, kind=kind)

    def plot(self, ax=None, *, kind="norms"):
        """Draw both panels, inside `ax` where that is given; returns the display.

        Parameters
        ----------
        ax : Axes, default=None
        kind : {"norms", "coefs"}, default="norms"
            Distances from the mirrors, or the coefficients with their signs.
        """
        if kind not in _KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(_KINDS)}, got {kind!r}.")
        names, curves, moving = self._curves(kind)
        upper, lower = path_panels(ax, self.alphas, width=_ROOM, size=_SIZE)
        self.ax_, self.figure_ = np.array([upper, lower]), upper.figure
        if np.ptp(self.alphas) > 0:
            upper.set_xlim(self.alphas.max(), self.alphas.min())
        self._draw_curves(upper, names, curves, moving)
        upper.set_ylabel("distance from\nthe mirror" if kind == "norms" else "coefficient")
        counted = np.linspace(0, len(self.alphas) - 1, min(_MOST_COUNTS, len(self.alphas)))
        counted = counted.round().astype(int)
        broken = np.count_nonzero(self.active, axis=1)[counted]
        count_on_top(upper, self.alphas[counted], broken, "mirrors broken")
        draw_error(lower, self.alphas, self.error, self.error_spread)
        mark_alpha(self.ax_, self.alpha, self.alphas)
        return self

    def _curves(self, kind):
        """Names, values (a, c), and the numbers of those that ever leave zero."""
        if kind == "norms":
            return self.mirror_names, self.norms, np.flatnonzero(np.any(self.active, axis=0))
        if self.coefs is None:
            raise ValueError('`kind="coefs"` needs the coefficients: pass `coefs`.')
        names = self.feature_names
        if names is None:
            names = [f"x{j}" for j in range(self.coefs.shape[-1])]
        if self.coefs.ndim == 3:
            names = [f"y{i}: {name}" for i in range(self.coefs.shape[1]) for name in names]
        curves = self.coefs.reshape(len(self.alphas), -1)
        return names, curves, np.flatnonzero(np.any(curves, axis=0))

    def _draw_curves(self, ax, names, curves, moving):
        curves = curves[:, moving]
        order = np.argsort(-np.abs(curves).mean(axis=0), kind="stable")
        named, rest = order[: len(_COLORS)], order[len(_COLORS) :]
        low, high = curves.min(initial=0.0), curves.max(initial=0.0)
        margin = 0.05 * (high - low) or 1.0
        ax.set_ylim(low - margin if low else 0.0, high + margin)
        if low:
            ax.axhline(0, color=OTHER, lw=0.6, zorder=1)
        drawn = _without_rests(curves)
        if len(rest):
            ax.plot(self.alphas, drawn[:, rest], color=OTHER, lw=0.7, alpha=0.6, zorder=1)
        for i, color in zip(named, _COLORS, strict=False):
            label = str(names[moving[i]])
            ax.plot(self.alphas, drawn[:, i], color=color, lw=1.6, label=label)
        if not len(moving):
            ax.text(0.5, 0.5, "no mirror is broken", ha="center", transform=ax.transAxes)
        self._write_names(ax, [names[moving[i]] for i in named], curves[:, named])

    def _write_names(self, ax, names, curves):
        """The names to the right of the curves' ends, moved apart as little as is needed."""
        end = self.alphas.argmin()
        bottom, top = ax.get_ylim()
        order = np.argsort(curves[end], kind="stable")
        heights = (curves[end, order] - bottom) / (top - bottom)
        heights = _apart(heights, min(_LINE, 1 / max(len(order) - 1, 1)))
        for i, height in zip(order, heights, strict=True):
            ax.annotate(
                _middle_cut(str(names[i])),
                xy=(self.alphas[end], curves[end, i]),
                xytext=(1.06, height),
                textcoords="axes fraction",
                va="center",
                fontsize="small",
                annotation_clip=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": _COLORS[i],
                    "relpos": (0, 0.5),
                    "shrinkA": 0,
                    "shrinkB": 0,
                },
            )


def _middle_cut(name, limit=24):
    """A long name without its middle: names in a series differ at their ends."""
    return name if len(name) <= limit else f"{name[: limit // 2]}..{name[2 - limit // 2 :]}"


def _without_rests(curves):
    """NaN where a curve and its neighbours are zero: lines on each other would hide the axis."""
    away = np.pad(curves != 0, ((1, 1), (0, 0)))
    return np.where(away[:-2] | away[1:-1] | away[2:], curves, np.nan)


def _apart(heights, gap):
    """The ascending positions in [0, 1], at least `gap` apart, that are nearest to `heights`."""
    if not len(heights):
        return heights
    # Less the gaps below it, a position need only not decrease.
    below = gap * np.arange(len(heights))
    return np.clip(isotonic_regression(heights - below).x, 0, 1 - below[-1]) + below
