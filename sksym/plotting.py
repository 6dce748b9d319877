"""Pictures of what was found; matplotlib is imported only by what draws."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym.algebras import LieAlgebra, VectorFields
from sksym.promote import SymmetryPromotingRegressor, SymmetryPromotingRegressorCV, symmetry_path

_KINDS = ("spectrum", "fields", "matrices")
_MOST_SHOWN = 6  # generators in one picture
_MOST_DRAWN = 2000  # samples, roughly: every k-th of more
_FOUND, _OTHER, _LIMIT = "tab:red", "0.6", "tab:blue"
_NOTHING = "no symmetry was found"


@dataclass(kw_only=True, eq=False, repr=False)
class SymmetryDisplay:
    """The symmetries that a discoverer found: their spectrum, their fields, their matrices.

    * ``"spectrum"``: the relative defect of every identifiable generator, ascending, those declared
      in colour, with their noise floor, which they may exceed a little, and `max_defect` above
      which no floor is good enough. What is undecided has a floor of its own, not drawn.
    * ``"fields"``: every generator found as arrows over the data, in the plane of two features;
      the others are at their medians.
    * ``"matrices"``: the numbers, ``[A | b]`` for affine motions.

    Parameters
    ----------
    singular_values : ndarray of shape (k,)
        Ascending.
    n_symmetries : int
    noise_floor : float
    max_defect : float
    algebra : LieAlgebra or VectorFields
        What was found.
    undecided : int, default=0
        How many of the next singular values are not told from zero either.
    X : ndarray of shape (n, d), default=None
        Samples under the arrows.
    feature_names : sequence of d str, default=None

    Attributes
    ----------
    ax_ : Axes, or array of Axes for several generators
    figure_ : Figure

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import SymmetryDiscoverer, SymmetryDisplay
    >>> turn = np.linspace(0, 6, 60)
    >>> X = np.column_stack([np.cos(turn), np.sin(turn)])
    >>> display = SymmetryDisplay.from_estimator(SymmetryDiscoverer().fit(X), X)
    """

    singular_values: np.ndarray
    n_symmetries: int
    noise_floor: float
    max_defect: float
    algebra: LieAlgebra | VectorFields
    undecided: int = 0
    X: np.ndarray | None = None
    feature_names: Sequence[str] | None = None

    @classmethod
    def from_estimator(cls, estimator, X=None, *, kind="spectrum", ax=None, features=(0, 1)):
        """Draw a fitted `SymmetryDiscoverer`; the samples `X` are needed for its fields.

        Parameters
        ----------
        estimator : fitted SymmetryDiscoverer
        X : array-like of shape (n, d), default=None
        kind : {"spectrum", "fields", "matrices"}, default="spectrum"
        ax : Axes or sequence of Axes, default=None
            One for each generator, None: a new figure.
        features : pair of int or str, default=(0, 1)
            The plane of the arrows.
        """
        check_is_fitted(estimator)
        if X is not None:
            X = validate_data(estimator, X, dtype=np.float64, reset=False)
        display = cls(
            singular_values=estimator.singular_values_,
            n_symmetries=estimator.n_symmetries_,
            noise_floor=estimator.noise_floor_,
            max_defect=estimator.max_defect,
            algebra=estimator.algebra_,
            undecided=estimator.undecided_,
            X=X,
            feature_names=getattr(estimator, "feature_names_in_", None),
        )
        return display.plot(ax, kind=kind, features=features)

    def plot(self, ax=None, *, kind="spectrum", features=(0, 1)):
        """Draw one of the pictures, into `ax` where that is given; returns the display."""
        if kind not in _KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(_KINDS)}, got {kind!r}.")
        if kind == "fields":
            features = self._columns(features)
        shown = 1 if kind == "spectrum" else min(max(self.n_symmetries, 1), _MOST_SHOWN)
        axes = _axes(ax, shown)
        self.ax_, self.figure_ = axes if shown > 1 else axes[0], axes[0].figure
        if kind == "spectrum":
            self._draw_spectrum(self.ax_)
        elif not self.n_symmetries:
            self.ax_.text(0.5, 0.5, _NOTHING, ha="center", transform=self.ax_.transAxes)
            self.ax_.axis("off")
        else:
            for a, one in enumerate(axes):
                if kind == "fields":
                    self._draw_field(one, a, *features)
                else:
                    self._draw_matrix(one, a)
                one.set_title(_short(self.algebra.names[a]), fontsize="medium")
            if shown < self.n_symmetries:
                self.figure_.supxlabel(f"{shown} of {self.n_symmetries} generators")
        return self

    def _names(self):
        if self.feature_names is not None:
            return list(self.feature_names)
        return [f"x{i}" for i in range(self.algebra.n_features)]

    def _columns(self, features):
        if self.X is None:
            raise ValueError("Arrows are drawn over data: pass X to `from_estimator`.")
        names = self._names()
        pair = features if np.iterable(features) else [features]
        columns = [names.index(f) if f in names else f for f in pair]
        numbers = {c for c in columns if isinstance(c, int | np.integer) and 0 <= c < len(names)}
        if len(columns) != 2 or len(numbers) != 2:
            raise ValueError(
                f"`features` must be two of the {len(names)} features {names}, by name or number, "
                f"got {features!r}."
            )
        return columns

    def _draw_spectrum(self, ax):
        s = np.asarray(self.singular_values, float)
        floor = self.noise_floor if np.isfinite(self.noise_floor) else 0.0
        least = min(s[s > 0].min(initial=1.0), floor or 1.0, self.max_defect)
        bottom = max(0.3 * least, 1e-17)  # zero is drawn below round-off
        ends = np.cumsum([0, self.n_symmetries, self.undecided]).tolist()
        kinds = (
            (slice(*ends[:2]), _FOUND, _FOUND, "symmetries"),
            (slice(*ends[1:]), _FOUND, "w", "undecided"),
            (slice(ends[2], None), _OTHER, _OTHER, "no symmetries"),
        )
        for part, color, face, label in kinds:
            index, height = np.arange(1, len(s) + 1)[part], np.maximum(s[part], bottom)
            if len(index):
                ax.vlines(index, bottom, height, color=color, lw=1)
                ax.plot(index, height, "o", color=color, mfc=face, label=label)
        if floor > 0:
            ax.axhspan(bottom, floor, color=_LIMIT, alpha=0.12, lw=0)
            ax.axhline(floor, color=_LIMIT, lw=1, label="noise floor")
        ax.axhline(self.max_defect, color=_LIMIT, lw=1, ls=":", label="largest floor allowed")
        top = 4 * max(s.max(initial=0.0), self.max_defect)
        ax.set(yscale="log", ylim=(bottom, top), xlabel="generator", ylabel="relative defect")
        ax.set(xlim=(0.5, max(len(s), 1) + 0.5), title="" if self.n_symmetries else _NOTHING)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(frameon=False, fontsize="small")

    def _draw_field(self, ax, a, i, j):
        thin = self.X[:: max(len(self.X) // _MOST_DRAWN, 1)]
        grid = np.linspace(self.X.min(axis=0), self.X.max(axis=0), 13)
        P, Q = np.meshgrid(grid[:, i], grid[:, j])
        points = np.tile(np.median(self.X, axis=0), (P.size, 1))
        points[:, i], points[:, j] = P.ravel(), Q.ravel()
        V = self.algebra.vector_field(points)[:, a]
        ax.plot(thin[:, i], thin[:, j], ".", color=_OTHER, ms=2, alpha=0.5, zorder=1)
        moved = self.algebra.vector_field(thin)[:, a]
        if np.abs(V[:, [i, j]]).max() <= 0.1 * np.abs(moved).max():
            ax.text(0.5, 0.5, "moves other features", ha="center", transform=ax.transAxes)
        else:
            arrows = {"color": _FOUND, "pivot": "mid", "width": 0.005, "zorder": 2}
            ax.quiver(points[:, i], points[:, j], V[:, i], V[:, j], angles="xy", **arrows)
        names = self._names()
        ax.set(xlabel=names[i], ylabel=names[j])

    def _draw_matrix(self, ax, a):
        names = self._names()
        if isinstance(self.algebra, LieAlgebra):
            values = np.column_stack([self.algebra.linear[a], self.algebra.offset[a]])
            columns = [*names, "1"]
        else:
            values = self.algebra.coef[a]
            columns = list(self.algebra.library.get_feature_names_out())
        largest = np.abs(values).max() or 1.0
        ax.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
        numbers = {"ha": "center", "va": "center", "fontsize": "small"}
        for (row, column), value in np.ndenumerate(values):
            if abs(value) > 1e-12 * largest and values.size <= 150:
                color = "w" if abs(value) > 0.6 * largest else "k"
                ax.text(column, row, f"{value:.3g}", color=color, **numbers)
        ax.set_xticks(range(len(columns)), columns, rotation=90 if len(columns) > 6 else 0)
        ax.set_yticks(range(len(values)), [f"∂{name}" for name in names])


@dataclass(kw_only=True, eq=False, repr=False)
class SymmetryPathDisplay:
    """Promotion from strong to weak: singular values and error along a path of alphas.

    Above, the singular values of the symmetry matrix: each vanishes where one more candidate
    becomes a symmetry, and their number is written on top. Below, the mean squared error.

    Parameters
    ----------
    alphas : ndarray of shape (a,)
    singular_values : ndarray of shape (a, k)
        Ascending for every alpha.
    n_symmetries : ndarray of shape (a,)
    error : ndarray of shape (a,)
        Mean squared error.
    error_spread : ndarray of shape (a,), default=None
        Standard deviation over folds, where the error is that of a cross-validation.
    error_without : float, default=None
        Error of the best ridge penalty without promotion.
    alpha : float, default=None
        The one to mark; what is a symmetry there has its colour.

    Attributes
    ----------
    ax_ : ndarray of two Axes
        Of the singular values and of the error.
    figure_ : Figure

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import SymmetryPathDisplay, so, symmetry_path
    >>> X = np.random.default_rng(0).uniform(-1, 1, size=(40, 3))
    >>> path = symmetry_path(X, X[:, 2] + X[:, 0] * X[:, 1], so, alphas=5)
    >>> display = SymmetryPathDisplay.from_path(path).plot()
    """

    alphas: np.ndarray
    singular_values: np.ndarray
    n_symmetries: np.ndarray
    error: np.ndarray
    error_spread: np.ndarray | None = None
    error_without: float | None = None
    alpha: float | None = None

    @classmethod
    def from_path(cls, path):
        """A display of what `symmetry_path` returned, not drawn yet."""
        return cls(
            alphas=path.alphas,
            singular_values=path.singular_values,
            n_symmetries=path.n_symmetries,
            error=path.mean_squared_error,
        )

    @classmethod
    def from_estimator(cls, estimator, X, y, *, ax=None, alphas=20):
        """Draw the path of a promoting regressor, with all its parameters but alpha.

        Parameters
        ----------
        estimator : SymmetryPromotingRegressor or SymmetryPromotingRegressorCV
            One that chooses alpha by cross-validation has alphas of its own, and the errors shown
            are those of its folds; unless it is fitted, a copy is.
        X : array-like of shape (n, d)
        y : array-like of shape (n,) or (n, q)
        ax : Axes, default=None
            Divided into both panels; None: a new figure.
        alphas : int or array-like, default=20
            As in `symmetry_path`, for an estimator with one alpha.
        """
        if not isinstance(estimator, SymmetryPromotingRegressor | SymmetryPromotingRegressorCV):
            raise TypeError(
                "Paths belong to SymmetryPromotingRegressor and SymmetryPromotingRegressorCV, "
                f"got {estimator!r}."
            )
        if isinstance(estimator, SymmetryPromotingRegressor):
            shown = {"alpha": estimator.alpha}
        else:
            shown = _cross_validated(_fitted(estimator, X, y))
            alphas = shown["alphas"]
        parameters = estimator.get_params(deep=False)
        for name in ("alpha", "alphas", "ridges", "cv"):
            parameters.pop(name, None)
        display = cls.from_path(symmetry_path(X, y, alphas=alphas, **parameters))
        vars(display).update(shown)
        return display.plot(ax)

    def plot(self, ax=None):
        """Draw both panels, inside `ax` where that is given; returns the display."""
        frame = _axes(ax, 1)[0]
        frame.axis("off")
        for old in list(frame.child_axes):
            old.remove()
        upper = frame.inset_axes([0, 0.45, 1, 0.55])
        lower = frame.inset_axes([0, 0, 1, 0.4], sharex=upper)
        self.ax_, self.figure_ = np.array([upper, lower]), frame.figure
        positive = self.alphas[self.alphas > 0]
        zero = {"value": "symlog", "linthresh": positive.min(initial=1.0)}
        upper.set_xscale(**(zero if len(positive) < len(self.alphas) else {"value": "log"}))
        self._draw_singular_values(upper)
        self._draw_error(lower)
        if self._marked:
            label = f"alpha = {self.alpha:.2g}"
            for one in self.ax_:
                one.axvline(self.alpha, color=_LIMIT, lw=1, ls=":", label=label)
        if lower.get_legend_handles_labels()[1]:
            lower.legend(frameon=False, fontsize="small")
        return self

    @property
    def _marked(self):
        """Whether there is an alpha to mark on these axes."""
        return self.alpha is not None and (self.alpha > 0 or 0 in self.alphas)

    def _draw_singular_values(self, ax):
        found = np.asarray(self.n_symmetries)
        here = np.abs(self.alphas - self.alpha).argmin() if self._marked else None
        for i, curve in enumerate(np.transpose(self.singular_values)):
            symmetric = here is not None and i < found[here]
            style = {"color": _FOUND if symmetric else _OTHER, "lw": 1.2, "clip_on": False}
            ax.plot(self.alphas, curve, **style)
        runs = np.split(np.arange(len(found)), np.flatnonzero(np.diff(found)) + 1)
        middle = [self.alphas[run[len(run) // 2]] for run in runs]
        top = ax.secondary_xaxis("top")
        top.set_xticks(middle, [found[run[0]] for run in runs], fontsize="small")
        top.set_xticks([], minor=True)
        top.tick_params(length=0)
        top.set_xlabel("symmetries", fontsize="small")
        ax.set(ylabel="singular values", ylim=(0, None))
        ax.tick_params(labelbottom=False)

    def _draw_error(self, ax):
        error = np.asarray(self.error)
        ax.plot(self.alphas, error, "-", color="k", lw=1.2, marker=".")
        if self.error_spread is not None:
            low, high = error + np.outer([-1, 1], self.error_spread)
            low = np.maximum(low, 0.5 * error.min())  # above zero, for the logarithm
            ax.fill_between(self.alphas, low, high, color="k", alpha=0.12, lw=0)
        if self.error_without is not None:
            ax.axhline(
                self.error_without, color=_OTHER, ls="--", lw=1, label="best ridge, alpha = 0"
            )
        if error.max(initial=0) > 0:
            ax.set_yscale("log")
        kind = "mean squared\nerror" if self.error_spread is None else "CV mean\nsquared error"
        ax.set(xlabel="alpha", ylabel=kind)


def _fitted(estimator, X, y):
    """The estimator, or a fitted copy of one that is not fitted."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return clone(estimator).fit(X, y)
    return estimator


def _cross_validated(estimator):
    """What a display shows of a fitted SymmetryPromotingRegressorCV."""
    results = estimator.cv_results_
    ridged = results["ridge"] > 0
    error = results["mean_test_error"]
    return {
        "alphas": results["alpha"][~ridged],
        "error": error[~ridged],
        "error_spread": results["mean_squared_error"][~ridged].std(axis=1),
        "error_without": float(error[ridged].min()) if ridged.any() else None,
        "alpha": None if estimator.ridge_ > 0 else estimator.alpha_,
    }


def _axes(ax, n):
    """An array of `n` axes: those given, or of a new figure."""
    if ax is not None:
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) < n:
            raise ValueError(f"{n} generators need {n} axes, got {len(axes)}.")
        return axes[:n]
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Pictures need matplotlib, which is not installed: pip install "sksym[plot]"'
        ) from error
    columns = min(n, 3)
    rows = -(-n // columns)
    size = (5.0, 3.6) if n == 1 else (3.6 * columns, 3.4 * rows)
    _, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for spare in axes.ravel()[n:]:
        spare.axis("off")
    return axes.ravel()[:n]


def _short(name, limit=40):
    return name if len(name) <= limit else name[:limit].rsplit(" ", 1)[0] + " .."
