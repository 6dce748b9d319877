"""Displays of discovered symmetries: spectrum, vector fields, matrices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import check_choice, validate_data
from sksym.groups import LieAlgebra, VectorFields
from sksym.plotting.canvas import LIMIT, OTHER, SYMMETRIC, new_axes

_KINDS = ("spectrum", "fields", "matrices")
_NOTHING = "no symmetry was found"
_MAX_GENERATORS = 6  # in one picture
_MAX_SAMPLES = 2000  # roughly; of more, every k-th is drawn
_MAX_NUMBERS = 150  # entries of a matrix that are written into it
_MAX_HORIZONTAL = 6  # names of columns side by side
_GRID = 13  # arrows along each axis
_TITLE_LENGTH = 40  # characters
_ROUND_OFF = 1e-17  # zero is drawn below it
_FLAT = 0.1  # a field that moves the plane by less, relative to all features, has no arrows


@dataclass(kw_only=True, eq=False, repr=False)
class SymmetryDisplay:
    """The symmetries found by a discoverer: their spectrum, their fields or their matrices.

    * ``"spectrum"``: the relative defect of every identifiable generator, ascending, with the
      declared symmetries in colour, and its interval of 95 % without noise; the noise floor of
      the declared, which they may slightly exceed; and `max_defect`, the largest floor at which a
      symmetry is declared. Undecided generators have a floor of their own, which is not drawn.
    * ``"fields"``: each symmetry as arrows over the data, in the plane of two features; the other
      features are at their medians.
    * ``"matrices"``: the coefficients of each symmetry, ``[A | b]`` for affine motions.

    Parameters
    ----------
    singular_values : ndarray of shape (k,)
        In any order; drawn ascending.
    n_symmetries : int
    noise_floor : float
    max_defect : float
    algebra : LieAlgebra or VectorFields
        The symmetries.
    undecided : int, default=0
        Number of further singular values that cannot be distinguished from zero either.
    X : ndarray of shape (n, d), default=None
        Samples drawn under the arrows.
    feature_names : sequence of d str, default=None
    intervals : ndarray of shape (k, 2), default=None
        Ends of the intervals of 95 % for the defects, ascending as those are drawn.

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
    intervals: np.ndarray | None = None

    @classmethod
    def from_estimator(cls, estimator, X=None, *, kind="spectrum", ax=None, features=(0, 1)):
        """Draw a fitted `SymmetryDiscoverer`; its fields need the samples `X`.

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
            noise_floor=estimator.noise_floor_ or 0.0,
            max_defect=estimator.max_defect,
            algebra=estimator.algebra_,
            undecided=estimator.undecided_,
            X=X,
            feature_names=getattr(estimator, "feature_names_in_", None),
            intervals=estimator.report_.spectrum_intervals,
        )
        return display.plot(ax, kind=kind, features=features)

    def plot(self, ax=None, *, kind="spectrum", features=(0, 1)):
        """Draw one of the pictures, into `ax` if that is given, and return the display.

        Parameters
        ----------
        ax : Axes or sequence of Axes, default=None
            One for each generator, None: a new figure.
        kind : {"spectrum", "fields", "matrices"}, default="spectrum"
        features : pair of int or str, default=(0, 1)
            The plane of the arrows.

        Raises
        ------
        ValueError
            If an option is unknown, or axes or samples are missing.
        """
        check_choice(kind, "kind", _KINDS)
        if kind == "spectrum":
            self._take_axes(ax, 1)
            self._draw_spectrum(self.ax_)
            return self
        columns = self._columns(features) if kind == "fields" else None
        if self.n_symmetries == 0:
            self._take_axes(ax, 1)
            self.ax_.text(0.5, 0.5, _NOTHING, ha="center", transform=self.ax_.transAxes)
            self.ax_.axis("off")
            return self
        n_shown = min(self.n_symmetries, _MAX_GENERATORS)
        for a, panel in enumerate(self._take_axes(ax, n_shown)):
            if kind == "fields":
                self._draw_field(panel, a, *columns)
            else:
                self._draw_matrix(panel, a)
            panel.set_title(_shortened(self.algebra.names[a]), fontsize="medium")
        if n_shown < self.n_symmetries:
            self.figure_.supxlabel(f"{n_shown} of {self.n_symmetries} generators")
        return self

    def _take_axes(self, ax, n):
        """Set the attributes `ax_` and `figure_`, and return the `n` axes in an array."""
        axes = new_axes(ax, n)
        self.ax_ = axes[0] if n == 1 else axes
        self.figure_ = axes[0].figure
        return axes

    def _names(self):
        """Return the names of all d features."""
        if self.feature_names is not None:
            return list(self.feature_names)
        return [f"x{i}" for i in range(self.algebra.n_features)]

    def _columns(self, features):
        """Return the numbers of two features, given by name or number."""
        if self.X is None:
            raise ValueError("Arrows are drawn over data: pass X to `from_estimator`.")
        names = self._names()
        pair = features if np.iterable(features) else [features]
        columns = [names.index(feature) if feature in names else feature for feature in pair]
        valid = [c for c in columns if isinstance(c, int | np.integer) and 0 <= c < len(names)]
        if len(columns) != 2 or len(set(valid)) != 2:
            raise ValueError(
                f"`features` must be two of the {len(names)} features {names}, by name or number, "
                f"got {features!r}."
            )
        return columns

    def _draw_spectrum(self, ax):
        """Draw the defects as stems, ascending from left to right, over the two limits."""
        defects = np.sort(np.asarray(self.singular_values, float))
        floor = self.noise_floor
        drawn = [self.max_defect, *defects[defects > 0]]
        if floor > 0:
            drawn.append(floor)
        # Exact symmetries have defect zero, which a logarithmic axis cannot show.
        bottom = max(0.3 * min(*drawn, 1.0), _ROUND_OFF)
        top = 4 * max(self.max_defect, *defects, 0.0)
        declared = slice(self.n_symmetries)
        undecided = slice(self.n_symmetries, self.n_symmetries + self.undecided)
        rejected = slice(self.n_symmetries + self.undecided, None)
        _draw_stems(ax, defects, declared, bottom, color=SYMMETRIC, label="symmetries")
        _draw_stems(ax, defects, undecided, bottom, color=SYMMETRIC, mfc="w", label="undecided")
        _draw_stems(ax, defects, rejected, bottom, color=OTHER, label="no symmetries")
        if self.intervals is not None:
            _draw_intervals(ax, self.intervals, bottom, top)
        if floor > 0:
            ax.axhspan(bottom, floor, color=LIMIT, alpha=0.12, lw=0)
            ax.axhline(floor, color=LIMIT, lw=1, label="noise floor")
        ax.axhline(self.max_defect, color=LIMIT, lw=1, ls=":", label="largest floor allowed")
        ax.set_yscale("log")
        ax.set_ylim(bottom, top)
        ax.set_xlim(0.5, max(len(defects), 1) + 0.5)
        ax.set_xlabel("generator")
        ax.set_ylabel("relative defect")
        ax.xaxis.get_major_locator().set_params(integer=True)
        if self.n_symmetries == 0:
            ax.set_title(_NOTHING)
        ax.legend(frameon=False, fontsize="small")

    def _draw_field(self, ax, a, i, j):
        """Draw generator a as arrows in the plane of features i and j, over the samples."""
        samples = self.X[:: max(len(self.X) // _MAX_SAMPLES, 1)]
        ax.plot(samples[:, i], samples[:, j], ".", color=OTHER, ms=2, alpha=0.5, zorder=1)
        low = self.X.min(axis=0)
        high = self.X.max(axis=0)
        ticks = np.linspace(low, high, _GRID)
        first, second = np.meshgrid(ticks[:, i], ticks[:, j])
        points = np.tile(np.median(self.X, axis=0), (first.size, 1))
        points[:, i] = first.ravel()
        points[:, j] = second.ravel()
        arrows = self.algebra.vector_field(points)[:, a]
        displacements = self.algebra.vector_field(samples)[:, a]
        in_plane = np.abs(arrows[:, [i, j]]).max()
        if in_plane <= _FLAT * np.abs(displacements).max():
            ax.text(0.5, 0.5, "moves other features", ha="center", transform=ax.transAxes)
        else:
            ax.quiver(
                points[:, i],
                points[:, j],
                arrows[:, i],
                arrows[:, j],
                angles="xy",
                color=SYMMETRIC,
                pivot="mid",
                width=0.005,
                zorder=2,
            )
        names = self._names()
        ax.set_xlabel(names[i])
        ax.set_ylabel(names[j])

    def _draw_matrix(self, ax, a):
        """Draw the coefficients of generator a, one row for each feature that moves."""
        values, columns = self._coefficients(a)
        largest = np.abs(values).max() or 1.0
        ax.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
        if values.size <= _MAX_NUMBERS:
            _write_numbers(ax, values, values / largest)
        rotation = 90 if len(columns) > _MAX_HORIZONTAL else 0
        rows = [f"∂{name}" for name in self._names()]
        ax.set_xticks(range(len(columns)), columns, rotation=rotation)
        ax.set_yticks(range(len(rows)), rows)

    def _coefficients(self, a):
        """Return the coefficients (d, p) of generator a, and the names of their p functions."""
        if self.algebra.is_affine:
            linear = self.algebra.linear[a]
            offset = self.algebra.offset[a]
            return np.column_stack([linear, offset]), [*self._names(), "1"]
        return self.algebra.coef[a], list(self.algebra.library.get_feature_names_out())


def _draw_stems(ax, values, chosen, bottom, **style):
    """Draw a slice of the values as dots on stems that begin at `bottom`."""
    numbers = np.arange(1, len(values) + 1)[chosen]
    heights = np.maximum(values[chosen], bottom)
    if len(numbers):
        ax.vlines(numbers, bottom, heights, color=style["color"], lw=1)
        ax.plot(numbers, heights, "o", **style)


def _draw_intervals(ax, intervals, bottom, top):
    """Draw intervals (k, 2) as bars, as far as the axis reaches."""
    low, high = np.clip(intervals, bottom, top).T
    numbers = np.arange(1, len(low) + 1)
    ax.vlines(numbers, low, high, color=LIMIT, lw=3, alpha=0.5)


def _write_numbers(ax, values, relative):
    """Write the entries of a matrix that are not zero; those on a dark ground in white.

    Parameters
    ----------
    ax : Axes
    values : ndarray of shape (d, p)
    relative : ndarray of shape (d, p)
        The same, relative to the largest: the colours of the ground.
    """
    for (row, column), value in np.ndenumerate(values):
        size = abs(relative[row, column])
        if size <= 1e-12:
            continue
        color = "w" if size > 0.6 else "k"
        text = f"{value:.3g}"
        ax.text(column, row, text, color=color, ha="center", va="center", fontsize="small")


def _shortened(name):
    """Cut a long name after a whole term."""
    if len(name) <= _TITLE_LENGTH:
        return name
    terms = name[:_TITLE_LENGTH].rsplit(" ", 1)
    return f"{terms[0]} .."
