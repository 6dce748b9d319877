"""The error of a model's derivative, from its residuals, where both are seen by smooth functions.

Networks are right in value long before they are right in slope: that of a ReLU network jumps from
cell to cell, by five times the error of its values and more. Their mean against a polynomial is
much better known: ``<psi, L_xi F>`` averages the jumps out, and the error of it is
``<psi, L_xi e>``, which depends on the smooth part of ``e = y - F`` alone.

Index legend: n points, d coordinates, q outputs, m tests, p polynomials, r candidates.
"""

from dataclasses import dataclass
from math import comb

import numpy as np

from sksym._linalg import one_thread
from sksym.libraries import PolynomialLibrary, library_values

_DEGREE = 4  # of the tests: cubic ones are blind to functions that are even in every coordinate
_LEAST_DEGREE = 3
_ROWS_PER_FUNCTION = 5
_RCOND = 1e-10
_UNSEEN = 0.05  # variance of the model that polynomials may leave: else they do not see it


@dataclass(frozen=True, eq=False)
class SmoothTests:
    """Polynomials against which derivatives are tested, orthonormal at weighted points.

    Attributes
    ----------
    library : PolynomialLibrary
        One degree above the tests, in which the errors of values are fitted.
    basis : ndarray of shape (n, m)
        The tests at the points, times the square root of the weight: orthonormal columns.
    sqrt_share : ndarray of shape (n,)
        Square roots of weights that sum to one.
    points : ndarray of shape (n, d)
    """

    library: PolynomialLibrary
    basis: np.ndarray
    sqrt_share: np.ndarray
    points: np.ndarray

    @classmethod
    def of(cls, points, share, values):
        """Choose tests for a model with `values` (n, q) at `points` (n, d) of weight `share` (n,).

        Returns
        -------
        SmoothTests or None
            None where there are too few points, or the model is no smooth function to them.
        """
        n, d = points.shape
        degrees = []
        for degree in range(_LEAST_DEGREE, _DEGREE + 1):
            if _ROWS_PER_FUNCTION * comb(d + degree + 1, d) <= n:
                degrees.append(degree)
        if not degrees:
            return None
        degree = degrees[-1]
        # Rows in square roots of weights: orthonormal columns are so in the weighted mean.
        sqrt_share = np.sqrt(share)
        tests = PolynomialLibrary(degree).fit(points)
        phi = library_values(tests, points) * sqrt_share[:, None]
        with one_thread():
            U, s, _ = np.linalg.svd(phi, full_matrices=False)
        basis = U[:, s > _RCOND * s.max()]
        library = PolynomialLibrary(degree + 1).fit(points)
        smooth = cls(library, basis, sqrt_share, points)
        centred = values - share @ values
        fitted, _ = smooth.fit(centred)
        unexplained = share @ (centred - fitted) ** 2
        variance = share @ centred**2
        if unexplained.sum() > _UNSEEN * variance.sum():
            return None
        return smooth

    def project(self, rows):
        """Return rows (n, q, r), weighted by `sqrt_share`, in the tests: (m, q, r)."""
        return np.tensordot(self.basis.T, rows, 1)

    def seen(self, rows):
        """Return what the tests see of rows (n, q, r), and the error of that as n is finite.

        Returns
        -------
        projected : ndarray of shape (m, q, r)
        chance : ndarray of shape (n, q, r)
            Its square, summed over the points, is the variance of the projection.
        """
        projected = self.project(rows)
        # The rest has mean zero against every test; each point counts by its leverage.
        rest = rows - np.tensordot(self.basis, projected, 1)
        leverage = np.sum(self.basis**2, axis=1)
        return projected, rest * np.sqrt(leverage)[:, None, None]

    def fit(self, values):
        """Fit polynomials to `values` (n, q): their values (n, q) and Jacobian (n, q, d)."""
        phi, coef = self._regression(values)
        slopes = self.library.jacobian(self.points)
        jacobian = np.einsum("npd,pq->nqd", slopes, coef, optimize=True)
        return phi @ coef, jacobian

    def continued(self, values, points):
        """Fit polynomials to `values` (n, q): their values here and at other points (m, d)."""
        phi, coef = self._regression(values)
        return phi @ coef, library_values(self.library, points) @ coef

    def _regression(self, values):
        """Return the polynomials (n, p) and their coefficients (p, q) that fit `values` (n, q)."""
        phi = library_values(self.library, self.points)
        weighted = phi * self.sqrt_share[:, None]
        targets = values * self.sqrt_share[:, None]
        with one_thread():
            coef, *_ = np.linalg.lstsq(weighted, targets, rcond=_RCOND)
        return phi, coef
