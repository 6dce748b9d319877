"""Coordinates of unit spread about the centre of the data, in which everything is decided.

Far from the origin, or in units that differ by orders of magnitude, the generators that a user
names are nearly dependent: at 1e5 spreads from the origin ``x0 ∂1`` and ``∂1`` differ by 1e-5.
Thresholds and rank decisions mean something only where columns have unit size about their centre.

Index legend: n rows, d coordinates, q outputs, r candidates, m entries of a generator.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import svd
from sklearn.base import clone

from sksym._linalg import EPS, pivoted_echelon
from sksym.equivariant import place
from sksym.groups import Group, LieAlgebra, represent
from sksym.libraries import PolynomialLibrary, power_of_two

_FAR = 16.0  # spreads from the origin up to which numbers about the origin stay simple
_APART = 64.0  # ratio of units up to which the user's own are kept
_MOST_DIGITS = 12  # decimals that are looked at for rounded data
_COARSEST = 1e-5  # of the spread: data on a coarser grid were measured on it, not rounded to it
_SAME = 4 * EPS  # relative distance from a rounded number that is that number
_DEPENDENT = 1e-10  # singular value of candidates relative to the largest


@dataclass(frozen=True, eq=False)
class UnitCoordinates:
    """The change of coordinates ``u = (x - center) / unit``, and of outputs ``v = y / size``.

    Attributes
    ----------
    center : ndarray of shape (d,)
        Zero for the columns whose data are near the origin.
    unit : ndarray of shape (d,)
        Powers of two; 1 where the units of the data will do.
    size : ndarray of shape (q,)
        Powers of two.
    resolution : float
        Round-off of the inputs, as they were stored, relative to their spread.
    """

    center: np.ndarray
    unit: np.ndarray
    size: np.ndarray
    resolution: float

    @classmethod
    def of(cls, X, Y=None):
        """Choose coordinates for rows `X` (n, d) and outputs `Y` (n, q), or None."""
        low = X.min(axis=0)
        high = X.max(axis=0)
        spread = (high - low) / 4
        # A column without spread has the unit of the others.
        largest = spread.max() or np.abs(X).max() or 1.0
        spread[spread == 0] = largest
        middle = low + (high - low) / 2
        is_far = np.abs(middle) > _FAR * spread
        center = np.where(is_far, _round_number(middle, spread), 0.0)
        q = 1 if Y is None else Y.shape[1]
        size = np.ones(q)
        if Y is not None:
            size = _units(_size_of_outputs(Y))
        quantum = np.array([_quantum(column) for column in X.T])
        relative = quantum / spread
        resolution = relative[relative <= _COARSEST].max(initial=0.0)
        return cls(center, _units(spread), size, resolution)

    def left_alone(self):
        """Return the coordinates of the user, with the round-off of the data."""
        return replace(
            self,
            center=np.zeros_like(self.center),
            unit=np.ones_like(self.unit),
            size=np.ones_like(self.size),
        )

    @property
    def is_identity(self):
        """Whether these are the coordinates of the user."""
        is_moved = self.center.any()
        is_scaled = (self.unit != 1).any() or (self.size != 1).any()
        return not is_moved and not is_scaled

    def rows(self, X):
        """Return the coordinates (n, d) of rows `X`."""
        # Far from the origin both numbers are close, so that the difference is exact.
        return (X - self.center) / self.unit

    def candidates(self, algebra):
        """Return the candidates twice: in these coordinates, and the same in the user's.

        Their generators are those of `algebra` where these are well apart from each other, and
        else others of the same span, in echelon form.

        Parameters
        ----------
        algebra : LieAlgebra

        Returns
        -------
        inside, outside : LieAlgebra
        """
        if self.is_identity:
            return algebra, algebra
        inside = algebra.in_units_of(self.center, self.unit)
        if self.center.any():
            inside = _echelon_generators(inside)
        else:
            norm = np.linalg.norm(inside.flat(), axis=1)
            is_kept = (norm <= _APART) & (norm >= 1 / _APART)
            factor = np.where(is_kept, 1.0, power_of_two(norm))
            inside = inside.combine(np.diag(1 / factor))
        # Back from there, not by combinations: those would lose the digits of large offsets.
        outside = inside.in_units_of(-self.center / self.unit, 1 / self.unit)
        return inside, outside

    def motion_of_outputs(self, B):
        """Return matrices B (r, q, q) that act on y as they act on ``y / size``."""
        return B * self.size / self.size[:, None]

    def library(self, fitted, X):
        """Return the polynomials of a library that was fitted here, as functions of the user's x.

        They have the same coefficients.

        Parameters
        ----------
        fitted : PolynomialLibrary
        X : ndarray of shape (n, d)
            The rows of the user.
        """
        library = clone(fitted)
        library.set_params(
            center=fitted.center_ * self.unit + self.center,
            scale=fitted.scale_ * self.unit,
        )
        library, _ = place(library, X, Group.none(X.shape[1]))
        return library


@dataclass(frozen=True, eq=False)
class UnitProblem:
    """Samples, candidates and their outputs in unit coordinates.

    Attributes
    ----------
    coordinates : UnitCoordinates
    X : ndarray of shape (n, d)
    Y : ndarray of shape (n, q), or None
    candidates : LieAlgebra or VectorFields
        In these coordinates.
    named : LieAlgebra or VectorFields
        The same generators in the user's coordinates.
    output : representation or array of shape (r, q, q), or None
        How the candidates move `Y`.
    """

    coordinates: UnitCoordinates
    X: np.ndarray
    Y: np.ndarray | None
    candidates: object
    named: object
    output: object

    @classmethod
    def of(cls, candidates, output, X, Y, is_placed):
        """Choose unit coordinates, the user's own where those will do.

        Parameters
        ----------
        candidates : LieAlgebra or VectorFields
        output : representation or array of shape (r, q, q), or None
        X : ndarray of shape (n, d)
        Y : ndarray of shape (n, q), or None
        is_placed : bool
            Whether the functions are tied to the user's coordinates, as waves are.
        """
        coordinates = UnitCoordinates.of(X, Y)
        if is_placed or not candidates.is_affine or coordinates.is_identity:
            coordinates = coordinates.left_alone()
            return cls(coordinates, X, Y, candidates, candidates, output)
        inside, named = coordinates.candidates(candidates)
        if output is not None:
            B = _motion_of(output, candidates, named)
            output = coordinates.motion_of_outputs(B)
        if Y is not None:
            Y = Y / coordinates.size
        return cls(coordinates, coordinates.rows(X), Y, inside, named, output)

    @property
    def B(self):
        """How the candidates move the outputs in these units, (r, q, q) or None."""
        if self.output is None:
            return None
        return represent(self.output, self.candidates)

    def in_user_coordinates(self, library, X):
        """Return a library that was fitted here as functions of the user's `X` (n, d)."""
        if self.coordinates.is_identity:
            return library
        return self.coordinates.library(library, X)

    def named_motion(self):
        """Return how the candidates move the outputs of the user, (r, q, q) or None."""
        B = self.B
        if B is None:
            return None
        size = self.coordinates.size
        return B * size[:, None] / size


def has_no_place(template):
    """Tell whether a library is the same in all affine coordinates: polynomials of all columns."""
    if template is None:
        return True
    if type(template) is not PolynomialLibrary:
        return False
    known = template.get_params(deep=False)
    given = [known[name] for name in ("center", "scale", "domain", "columns")]
    return all(value is None for value in given)


def _motion_of(output, candidates, named):
    """Return how generators `named` (k) move the outputs: B (k, q, q).

    Where `output` is an array (r, q, q), it belongs to the `candidates` (r) of the same span.
    """
    if callable(output):
        return represent(output, named)
    B = represent(output, candidates)
    combination = named.flat() @ np.linalg.pinv(candidates.flat())
    return np.tensordot(combination, B, 1)


def _units(spread):
    """Return powers of two (d,) for columns of some spread (d,), the same one where that will do.

    Rotations have simple numbers only where the columns that they mix share a unit.
    """
    positive = np.where(spread > 0, spread, spread.max() or 1.0)
    smallest = positive.min()
    largest = positive.max()
    if smallest >= 1 / _APART and largest <= _APART:
        return np.ones_like(positive)
    if largest <= _APART * smallest:
        return np.full_like(positive, power_of_two(largest))
    return power_of_two(positive)


def _size_of_outputs(Y):
    """Return the spread (q,) of every output of `Y` (n, q); of a constant one its size."""
    spread = np.ptp(Y, axis=0) / 4
    return np.where(spread > 0, spread, np.abs(Y).max(axis=0))


def _round_number(middle, spread):
    """Return numbers (d,) of few digits near `middle` (d,), within a few spreads (d,)."""
    exponent = np.ceil(np.log10(spread))
    grid = 10.0**exponent
    return np.rint(middle / grid) * grid


def _quantum(column):
    """Return the step (float) to which the numbers of a column (n,) have been rounded."""
    largest = np.abs(column).max()
    if largest == 0:
        return 0.0
    round_off = EPS * largest
    with np.errstate(over="ignore", under="ignore"):  # no single-precision number then
        single = column.astype(np.float32)
    if (single == column).all():
        round_off = np.finfo(np.float32).eps * largest
    exponent = int(np.floor(np.log10(largest)))
    unit = 10.0**exponent
    scaled = column / unit
    for digits in range(1, _MOST_DIGITS + 1):
        distance = np.abs(scaled - np.round(scaled, digits))
        if distance.max() <= _SAME * 10:
            return max(unit * 10.0**-digits, round_off)
    return round_off


def _echelon_generators(algebra):
    """Return generators of the same span in echelon form about their large entries."""
    flat = algebra.flat()
    norm = np.linalg.norm(flat, axis=1)
    norm[norm == 0] = 1
    _, s, Vt = svd(flat / norm[:, None], full_matrices=False)
    rank = np.count_nonzero(s > _DEPENDENT * s.max(initial=0))
    d = algebra.n_features
    if not rank:
        return algebra
    form, _ = pivoted_echelon(Vt[:rank])
    # Round-off beside entries of size one.
    form[np.abs(form) <= EPS * form.shape[1]] = 0.0
    matrices = form.reshape(rank, d, d + 1)
    return LieAlgebra(matrices[:, :, 1:], matrices[:, :, 0])
