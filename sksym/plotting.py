"""Pictures of what was found; matplotlib is imported only by what draws."""

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym.algebras import LieAlgebra

_KINDS = ("spectrum", "fields", "matrices")
_MOST_SHOWN = 6  # generators in one picture
_FOUND, _OTHER, _LIMIT = "tab:red", "0.6", "tab:blue"


class SymmetryDisplay:
    """The symmetries that a discoverer found: their spectrum, their fields, their matrices.

    * ``"spectrum"``: the relative defect of every generator, those declared in colour, with the
      noise floor below which nothing can be told from zero, and `max_defect` above which no floor
      is good enough.
    * ``"fields"``: every generator found as arrows over the data, in the plane of two features;
      the others are at their medians.
    * ``"matrices"``: the numbers, ``[A | b]`` for affine motions.

    Parameters
    ----------
    singular_values : ndarray of shape (r,)
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
    max_samples : int, default=2000
        Of more samples every k-th is drawn.

    Attributes
    ----------
    ax_ : Axes, or array of Axes for several generators
    figure_ : Figure

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import SymmetryDiscoverer
    >>> from sksym.plotting import SymmetryDisplay
    >>> turn = np.linspace(0, 6, 60)
    >>> X = np.column_stack([np.cos(turn), np.sin(turn)])
    >>> display = SymmetryDisplay.from_estimator(SymmetryDiscoverer().fit(X), X)
    """

    def __init__(
        self,
        *,
        singular_values,
        n_symmetries,
        noise_floor,
        max_defect,
        algebra,
        undecided=0,
        X=None,
        feature_names=None,
        max_samples=2000,
    ):
        self.singular_values = singular_values
        self.n_symmetries = n_symmetries
        self.noise_floor = noise_floor
        self.max_defect = max_defect
        self.algebra = algebra
        self.undecided = undecided
        self.X = X
        self.feature_names = feature_names
        self.max_samples = max_samples

    @classmethod
    def from_estimator(cls, estimator, X=None, *, kind="spectrum", ax=None, features=(0, 1)):
        """Draw a fitted `SymmetryDiscoverer`; the samples `X` are needed for its fields.

        Parameters
        ----------
        estimator : fitted SymmetryDiscoverer
        X : array-like of shape (n, d), default=None
        kind : {"spectrum", "fields", "matrices"}, default="spectrum"
        ax : Axes or sequence of Axes, default=None
        features : pair of int or str, default=(0, 1)
            The plane of the arrows.
        """
        check_is_fitted(estimator)
        if X is not None:
            X = validate_data(estimator, X, dtype=np.float64, reset=False)
        names = getattr(estimator, "feature_names_in_", None)
        display = cls(
            singular_values=estimator.singular_values_,
            n_symmetries=estimator.n_symmetries_,
            noise_floor=estimator.noise_floor_,
            max_defect=estimator.max_defect,
            algebra=estimator.algebra_,
            undecided=estimator.undecided_,
            X=X,
            feature_names=names,
        )
        return display.plot(kind, ax=ax, features=features)

    def plot(self, kind="spectrum", *, ax=None, features=(0, 1)):
        """Draw one of the pictures, into `ax` where that is given.

        Returns
        -------
        self
        """
        if kind not in _KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(_KINDS)}, got {kind!r}.")
        if kind == "fields":
            features = self._columns(features)
        if kind == "spectrum" or not self.n_symmetries:
            ax = _axes(ax, 1)[0]
            self.ax_, self.figure_ = ax, ax.figure
            if kind == "spectrum":
                self._draw_spectrum(ax)
            else:
                ax.text(0.5, 0.5, "no symmetry was found", ha="center", transform=ax.transAxes)
                ax.axis("off")
            return self
        shown = min(self.algebra.dim, _MOST_SHOWN)
        axes = _axes(ax, shown)
        for a, one in enumerate(axes):
            if kind == "fields":
                self._draw_field(one, a, features)
            else:
                self._draw_matrix(one, a)
            one.set_title(_short(self.algebra.names[a]), fontsize="medium")
        self.ax_, self.figure_ = axes, axes[0].figure
        return self

    def _names(self):
        if self.feature_names is not None:
            return list(self.feature_names)
        return [f"x{i}" for i in range(self.algebra.n_features)]

    def _columns(self, features):
        if self.X is None:
            raise ValueError("Arrows are drawn over data: pass X to `from_estimator`.")
        names = self._names()
        columns = [names.index(f) if f in names else f for f in features]
        if len(set(columns)) != 2 or not all(
            isinstance(c, int | np.integer) and 0 <= c < len(names) for c in columns
        ):
            raise ValueError(
                f"`features` must be two of the {len(names)} features {names}, by name or number, "
                f"got {features!r}."
            )
        return columns

    def _draw_spectrum(self, ax):
        s = np.asarray(self.singular_values, float)
        found = np.arange(len(s)) < self.n_symmetries
        floor = self.noise_floor if np.isfinite(self.noise_floor) else 0.0
        positive = s[s > 0]
        bottom = 0.3 * min(positive.min(initial=1.0), floor or 1.0, self.max_defect)
        bottom = max(bottom, 1e-17)  # zero is below round-off
        index = np.arange(1, len(s) + 1)
        doubt = ~found & (np.arange(len(s)) < self.n_symmetries + self.undecided)
        kinds = (
            (found, _FOUND, _FOUND, "symmetries"),
            (doubt, _FOUND, "w", "undecided"),
            (~found & ~doubt, _OTHER, _OTHER, "no symmetries"),
        )
        for mask, color, face, label in kinds:
            if mask.any():
                height = np.maximum(s[mask], bottom)
                ax.vlines(index[mask], bottom, height, color=color, lw=1)
                ax.plot(index[mask], height, "o", color=color, mfc=face, label=label)
        if floor > 0:
            ax.axhspan(bottom, floor, color=_LIMIT, alpha=0.12, lw=0)
            ax.axhline(floor, color=_LIMIT, lw=1, label="noise floor")
        ax.axhline(self.max_defect, color=_LIMIT, lw=1, ls=":", label="largest floor allowed")
        top = 2 * max(s.max(initial=0.0), self.max_defect)
        ax.set(yscale="log", ylim=(bottom, top), xlabel="generator", ylabel="relative defect")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(frameon=False, fontsize="small")

    def _draw_field(self, ax, a, columns):
        i, j = columns
        thin = self.X[:: max(len(self.X) // self.max_samples, 1)]
        low, high = self.X.min(axis=0), self.X.max(axis=0)
        grid = np.linspace(low, high, 13)
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
        if isinstance(self.algebra, LieAlgebra):
            values = np.column_stack([self.algebra.linear[a], self.algebra.offset[a]])
            columns = [*self._names(), "1"]
        else:
            values = self.algebra.coef[a]
            columns = list(self.algebra.library.get_feature_names_out())
        largest = np.abs(values).max() or 1.0
        ax.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if abs(value) > 1e-12 * largest and values.size <= 150:
                dark = abs(value) > 0.6 * largest
                ax.text(
                    column,
                    row,
                    f"{value:.3g}",
                    ha="center",
                    va="center",
                    color="w" if dark else "k",
                    fontsize="small",
                )
        ax.set_xticks(range(len(columns)), columns, rotation=90 if len(columns) > 6 else 0)
        ax.set_yticks(range(len(values)), [f"∂{name}" for name in self._names()])


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
