"""Displays of mirror-penalised regression along a path of alphas."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import check_choice
from sksym.plotting.canvas import OTHER, count_on_top, draw_error, mark_alpha, path_panels
from sksym.plotting.paths import fitted

_KINDS = ("norms", "coefs")
# The palette of Okabe and Ito, also for colour-blind readers; its yellow is too pale for a line.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SIZE = (6.4, 4.4)  # inches of a new figure
_PANEL_WIDTH = 0.8  # relative to the frame; the names need the rest
_NAME_X = 1.06  # where names begin, in widths of the panel
_NAME_HEIGHT = 0.085  # relative to the upper panel
_NAME_LENGTH = 24  # characters
_MAX_COUNTS = 7  # numbers on top
_MARGIN = 0.05  # above and below the curves, relative to their range


@dataclass(kw_only=True, eq=False, repr=False)
class MirrorPathDisplay:
    """Broken mirrors and error along a path of alphas, from strong to weak penalties.

    The upper panel shows one curve for each elementary mirror, the distance ``||O_k^T w||_2`` of
    the coefficients from it, which is zero while the constraint holds. Alpha decreases to the
    right, so that the model grows from left to right. The curves that are largest on average end
    at their names; the others are grey. The number of broken mirrors is written on top. The lower
    panel shows the mean squared error.

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
        Standard deviation over the folds, for errors of a cross-validation.
    alpha : float, default=None
        The alpha to mark.
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
        """Return a display of the result of `mirror_path`, or of ``path_``, without drawing it."""
        return cls(
            alphas=path["alphas"],
            norms=path["norms"],
            active=path["active"],
            mirror_names=path["mirror_names"],
            error=path["mean_squared_error"],
            coefs=path["coefs"],
        )

    @classmethod
    def from_estimator(cls, estimator, X=None, y=None, *, kind="norms", ax=None):
        """Draw the path of a `MirrorSparseRegressorCV`, the errors of its folds, and its alpha.

        Parameters
        ----------
        estimator : MirrorSparseRegressorCV
            A copy is fitted to `X` and `y` if it is not fitted yet.
        X : array-like of shape (n, p), default=None
        y : array-like of shape (n,) or (n, q), default=None
        kind : {"norms", "coefs"}, default="norms"
        ax : Axes, default=None
            The frame of both panels; None: a new figure.
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
        """Draw both panels, inside `ax` if that is given, and return the display.

        Parameters
        ----------
        ax : Axes, default=None
        kind : {"norms", "coefs"}, default="norms"
            Distances from the mirrors, or the coefficients with their signs.
        """
        check_choice(kind, "kind", _KINDS)
        if kind == "norms":
            label = "distance from\nthe mirror"
            names = self.mirror_names
            curves = self.norms
            leaves_zero = np.any(self.active, axis=0)
        else:
            label = "coefficient"
            names, curves = self._coefficients()
            leaves_zero = np.any(curves, axis=0)
        upper, lower = path_panels(ax, self.alphas, width=_PANEL_WIDTH, size=_SIZE)
        self.ax_ = np.array([upper, lower])
        self.figure_ = upper.figure
        if np.ptp(self.alphas) > 0:
            upper.set_xlim(self.alphas.max(), self.alphas.min())
        upper.set_ylabel(label)
        shown = np.flatnonzero(leaves_zero)
        self._draw_curves(upper, [str(names[c]) for c in shown], curves[:, shown])
        self._draw_counts(upper)
        draw_error(lower, self.alphas, self.error, self.error_spread)
        mark_alpha(self.ax_, self.alpha, self.alphas)
        return self

    def _coefficients(self):
        """Return the names of all coefficients and their values (a, q p), output by output."""
        if self.coefs is None:
            raise ValueError('`kind="coefs"` needs the coefficients: pass `coefs`.')
        names = self.feature_names
        if names is None:
            names = [f"x{j}" for j in range(self.coefs.shape[-1])]
        if self.coefs.ndim == 3:
            n_outputs = self.coefs.shape[1]
            names = [f"y{i}: {name}" for i in range(n_outputs) for name in names]
        return names, self.coefs.reshape(len(self.alphas), -1)

    def _draw_curves(self, ax, names, curves):
        """Draw curves (a, c), the largest in colour and with their names."""
        _set_limits(ax, curves)
        if not names:
            ax.text(0.5, 0.5, "no mirror is broken", ha="center", transform=ax.transAxes)
            return
        mean_size = np.abs(curves).mean(axis=0)
        order = np.argsort(-mean_size, kind="stable")
        coloured = order[: len(_COLORS)]
        grey = order[len(_COLORS) :]
        visible = _without_zeros(curves)
        if len(grey):
            ax.plot(self.alphas, visible[:, grey], color=OTHER, lw=0.7, alpha=0.6, zorder=1)
        for c, color in zip(coloured, _COLORS, strict=False):
            ax.plot(self.alphas, visible[:, c], color=color, lw=1.6, label=names[c])
        last = self.alphas.argmin()
        self._write_names(ax, [names[c] for c in coloured], curves[last, coloured])

    def _write_names(self, ax, names, ends):
        """Write names to the right of the ends (c,) of their curves, without overlap."""
        bottom, top = ax.get_ylim()
        order = np.argsort(ends, kind="stable")
        relative = (ends[order] - bottom) / (top - bottom)
        gap = min(_NAME_HEIGHT, 1 / max(len(names) - 1, 1))
        heights = _spaced(relative, gap)
        for c, height in zip(order, heights, strict=True):
            connection = {
                "arrowstyle": "-",
                "color": _COLORS[c],
                "relpos": (0, 0.5),
                "shrinkA": 0,
                "shrinkB": 0,
            }
            ax.annotate(
                _shortened(names[c]),
                xy=(self.alphas.min(), ends[c]),
                xytext=(_NAME_X, height),
                textcoords="axes fraction",
                va="center",
                fontsize="small",
                annotation_clip=False,
                arrowprops=connection,
            )

    def _draw_counts(self, ax):
        """Write the number of broken mirrors on top, at a few alphas."""
        n_counts = min(_MAX_COUNTS, len(self.alphas))
        chosen = np.linspace(0, len(self.alphas) - 1, n_counts).round().astype(int)
        n_broken = np.count_nonzero(self.active, axis=1)
        count_on_top(ax, self.alphas[chosen], n_broken[chosen], "mirrors broken")


def _set_limits(ax, curves):
    """Let the vertical axis hold all curves; where some are negative, draw a line at zero."""
    low = curves.min(initial=0.0)
    high = curves.max(initial=0.0)
    margin = _MARGIN * (high - low) or 1.0
    if low < 0:
        ax.set_ylim(low - margin, high + margin)
        ax.axhline(0, color=OTHER, lw=0.6, zorder=1)
    else:
        ax.set_ylim(0.0, high + margin)


def _shortened(name):
    """Return a long name without its middle: names in a series differ at their ends."""
    if len(name) <= _NAME_LENGTH:
        return name
    half = _NAME_LENGTH // 2
    return f"{name[:half]}..{name[2 - half :]}"


def _without_zeros(curves):
    """Return NaN where a curve and its neighbours are zero: such lines would hide the axis."""
    nonzero = np.pad(curves != 0, ((1, 1), (0, 0)))
    visible = nonzero[:-2] | nonzero[1:-1] | nonzero[2:]
    return np.where(visible, curves, np.nan)


def _spaced(heights, gap):
    """Return the positions in [0, 1], at least `gap` apart, that are nearest to `heights`.

    Both are ascending, of shape (c,); ``(c - 1) gap`` must not exceed 1.
    """
    if not len(heights):
        return heights
    # Subtract the gaps below each position: what remains must only be non-decreasing.
    gaps_below = gap * np.arange(len(heights))
    positions = isotonic_regression(heights - gaps_below).x
    return np.clip(positions, 0, 1 - gaps_below[-1]) + gaps_below
