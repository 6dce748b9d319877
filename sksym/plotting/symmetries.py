"""What a discoverer found: spectrum, fields, matrices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym.algebras import LieAlgebra, VectorFields
from sksym.plotting.canvas import FOUND, LIMIT, OTHER, new_axes

_KINDS = ("spectrum", "fields", "matrices")
_MOST_SHOWN = 6  # generators in one picture
_MOST_DRAWN = 2000  # samples, roughly: every k-th of more
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
        axes = new_axes(ax, shown)
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
            (slice(*ends[:2]), FOUND, FOUND, "symmetries"),
            (slice(*ends[1:]), FOUND, "w", "undecided"),
            (slice(ends[2], None), OTHER, OTHER, "no symmetries"),
        )
        for part, color, face, label in kinds:
            index, height = np.arange(1, len(s) + 1)[part], np.maximum(s[part], bottom)
            if len(index):
                ax.vlines(index, bottom, height, color=color, lw=1)
                ax.plot(index, height, "o", color=color, mfc=face, label=label)
        if floor > 0:
            ax.axhspan(bottom, floor, color=LIMIT, alpha=0.12, lw=0)
            ax.axhline(floor, color=LIMIT, lw=1, label="noise floor")
        ax.axhline(self.max_defect, color=LIMIT, lw=1, ls=":", label="largest floor allowed")
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
        ax.plot(thin[:, i], thin[:, j], ".", color=OTHER, ms=2, alpha=0.5, zorder=1)
        moved = self.algebra.vector_field(thin)[:, a]
        if np.abs(V[:, [i, j]]).max() <= 0.1 * np.abs(moved).max():
            ax.text(0.5, 0.5, "moves other features", ha="center", transform=ax.transAxes)
        else:
            arrows = {"color": FOUND, "pivot": "mid", "width": 0.005, "zorder": 2}
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


def _short(name, limit=40):
    return name if len(name) <= limit else name[:limit].rsplit(" ", 1)[0] + " .."
