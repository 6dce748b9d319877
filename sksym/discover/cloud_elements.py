"""Which elements of a discrete group leave the distribution of a data set unchanged.

An element g is a symmetry of independent points x where x and g x have the same distribution, so
that ``E psi(g x) = E psi(x)`` for every function psi. Tested are library functions times a Gaussian
window, which bounds them, so that their means are normal whatever the tails of the data.

With the functions orthonormal on points and moved points together, ``E (psi psi^T)(x) + E (psi
psi^T)(g x) = 2``, the differences ``delta = psi(g x) - psi(x)`` have a mean m of length::

    |m|^2 / 4 = 1/4 sum_j (E psi_j(g x) - E psi_j(x))^2  ->  1/2 int (p - p_g)^2 / (p + p_g)

as the library grows, for the densities p and p_g of both: 0 where they are equal, 1 where they have
nowhere in common (the triangular discrimination of Topsoe 2000). Hotelling's test of m = 0 is that
of the regression of the constant 1 on delta: with the share ``R^2 = m^T E(delta delta^T)^-1 m``
that t independent differences explain of it,

    ``F = R^2 / t / ((1 - R^2) / (n - t))``

has Fisher's distribution with t and n - t degrees of freedom where m = 0.

Index legend: n points, d coordinates, p functions, t independent differences.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import comb

import numpy as np
from scipy import stats
from sklearn.base import clone

from sksym._linalg import merge_rows
from sksym.discover.element_tests import UNMOVED, SampleMotion, unknown_test
from sksym.discover.sampling import column_deviation, some_rows
from sksym.libraries import Library, PolynomialLibrary, library_values

_MOST_POINTS = 20_000
_LARGEST_DEGREE = 4  # third moments are blind to even functions such as x0^3 x1
_POINTS_PER_FUNCTION = 50  # the floor is about the root of half their inverse ratio
_WINDOW = 4.0  # exp(-|z|^2 / 4), z in units of the spread: polynomials are largest at two spreads
_DEPENDENT = 1e-10  # singular value relative to the largest
_EQUAL = 1e-20  # variance of a difference, for functions of unit size, that is round-off


@dataclass(frozen=True, eq=False)
class CloudElements:
    """Points of a distribution, as discrete candidates see them.

    Attributes
    ----------
    library : fitted Library
        The functions whose means are compared, in units of the spread about the mean.
    X : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
        How often a point counts.
    center, spread : ndarray of shape (d,)
        Of the points.
    """

    library: Library
    X: np.ndarray
    weight: np.ndarray
    center: np.ndarray
    spread: np.ndarray

    # There are no coefficients of a function that a search could go by.
    has_monomials = False

    @classmethod
    def of(cls, template, X, weight, rng):
        """Choose functions: those of a library `template`, None for as many as points determine.

        Polynomials of degree 4 or less, with 50 points to a function; quadratic ones at least.
        """
        chosen = some_rows(len(X), _MOST_POINTS, rng)
        X = X[chosen]
        weight = weight[chosen]
        center = weight @ X / weight.sum()
        spread = column_deviation(X, weight)
        if template is None:
            template = PolynomialLibrary(_affordable_degree(weight.sum(), X.shape[1]))
        library = clone(template).fit((X - center) / spread)
        return cls(library, X, weight, center, spread)

    @cached_property
    def _share(self):
        return self.weight / self.weight.sum()

    @cached_property
    def _motion(self):
        return SampleMotion.of(self.X, self.weight)

    @cached_property
    def _still(self):
        """The functions at the points, (n, p)."""
        return self._values(self.X)

    def _values(self, X):
        """Return the functions (n, p) at points (n, d)."""
        Z = (X - self.center) / self.spread
        window = np.exp(-np.sum(Z**2, axis=1) / _WINDOW)
        # Far outside, where the window is zero, polynomials may overflow.
        Z = np.where(window[:, None] > 0, Z, 0.0)
        return library_values(self.library, Z) * window[:, None]

    def test(self, g, name=None):
        """Return the `ElementTest` of an element ``g`` (d, d); None names it by what it does."""
        blank = unknown_test(g, name)
        unit = min(np.sqrt(self._motion.square_of(g)), 1.0)
        if unit <= UNMOVED:
            return blank
        differences = self._differences(g)
        p_value = self._hotelling(differences)
        if np.isnan(p_value):
            return blank
        mean = self._share @ differences
        defect = np.linalg.norm(mean) / 2
        square = self._share @ np.sum((differences - mean) ** 2, axis=1)
        floor = np.sqrt(square / self.weight.sum()) / 2
        return replace(blank, p_value=p_value, defect=defect / unit, floor=floor / unit)

    def together(self, matrices):
        """Return the p value of the hypothesis that several elements are symmetries."""
        p_value = self._hotelling(np.hstack([self._differences(g) for g in matrices]))
        # Too many differences for the points say nothing against it.
        return 1.0 if np.isnan(p_value) else p_value

    def are_established(self, matrices):
        """Return whether elements that are not rejected may be declared together."""
        return True

    def _differences(self, g):
        """Return orthonormal functions at the moved points less those at the points, (n, rank)."""
        moved = self._values(self.X @ g.T)
        sqrt_share = np.sqrt(self._share / 2)[:, None]
        factor = merge_rows(None, self._still * sqrt_share)
        factor = merge_rows(factor, moved * sqrt_share)
        _, s, Vt = np.linalg.svd(factor)
        rank = np.count_nonzero(s > _DEPENDENT * s.max(initial=0))
        to_orthonormal = Vt[:rank].T / s[:rank]
        return (moved - self._still) @ to_orthonormal

    def _hotelling(self, differences):
        """Return the p value of the hypothesis that differences (n, m) have the mean zero.

        NaN where no function differs anywhere, or where more of them do than there are points.
        """
        n = self.weight.sum()
        second_moment = (differences.T * self._share) @ differences
        variance, axes = np.linalg.eigh(second_moment)
        is_different = variance > max(_EQUAL, _DEPENDENT * variance.max(initial=0))
        t = np.count_nonzero(is_different)
        if t == 0 or n <= t:
            return np.nan
        mean = (self._share @ differences) @ axes[:, is_different]
        explained = min(np.sum(mean**2 / variance[is_different]), 1.0)
        unexplained = max(1.0 - explained, np.finfo(float).tiny)
        return float(stats.f.sf(explained / t / (unexplained / (n - t)), t, n - t))


def _affordable_degree(n, d):
    """Return the degree of polynomials whose means n points in R^d determine."""
    degree = 2
    while degree < _LARGEST_DEGREE and _POINTS_PER_FUNCTION * comb(d + degree + 1, d) <= n:
        degree += 1
    return degree
