"""The sandwich covariance of a fit, for errors of unequal size, and how well it is known.

Index legend: n rows, p library functions, q outputs, e = q rank coefficients that are orthonormal
on the data.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from sksym._linalg import merge_rows, one_thread, row_blocks
from sksym.libraries import Library, library_values

_LARGEST_LEVERAGE = 0.999
_CORE = 0.95  # share of the samples that are nearest to the centre
_DEPENDENT = 1e-12  # variance along an axis relative to the largest


@dataclass(frozen=True, eq=False)
class Scores:
    """What each row contributes to the error of a fit: its residual times its functions.

    Residuals are those of HC3, about as large as if the row had been left out of the fit
    (MacKinnon and White 1985).

    Attributes
    ----------
    library : fitted Library
    X : ndarray of shape (n, d)
    Y : ndarray of shape (m, q)
    weight : ndarray of shape (m,)
        Of the rows of Y; it counts repetitions.
    coef : ndarray of shape (q, p)
    from_data : ndarray of shape (p, rank)
        Functions that are orthonormal on the data.
    operator : callable, default=None
        As in `FunctionSamples`.
    """

    library: Library
    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray
    coef: np.ndarray
    from_data: np.ndarray
    operator: object = None

    def covariance_factor(self):
        """Return a factor (e, .) of the sandwich covariance."""
        factor = None
        with one_thread():
            for _, score in self._blocks():
                factor = merge_rows(factor, score)
        return factor.T

    def freedom(self, factor):
        """Return the degrees of freedom of the covariance with a regular factor (e, .).

        A covariance of Gauss from N rows is known to 1/N. That of scores ``z_i`` (e,) in their own
        units is as uncertain as one from ``e^2 / sum_i |z_i|^4`` rows, which are fewer where a few
        far rows carry most of it: ``E C^-1 = 1 + sum_i |z_i|^2 z_i z_i^T`` to second order.
        """
        R = np.linalg.qr(factor.T, mode="r")
        squares = 0.0
        with one_thread():
            for weight, score in self._blocks():
                z = solve_triangular(R, score.T, trans="T")
                size = np.sum(z**2, axis=0)
                # A row of weight w is w rows, each of which has that part of the square.
                squares += np.sum(size**2 / weight)
        if not squares:
            return np.inf
        return len(factor) ** 2 / squares

    def _blocks(self):
        """Yield the weights (b,) and the scores (b, e) of some rows after the other."""
        n = self.weight.sum()
        q = self.Y.shape[1]
        rank = self.from_data.shape[1]
        if self.operator is None:
            blocks = row_blocks(len(self.X), self.library.n_output_features_ + q * rank)
        else:
            blocks = [slice(None)]  # through an operator all at once
        for rows in blocks:
            phi = library_values(self.library, self.X[rows])
            if self.operator is not None:
                phi = self.operator(phi)
            u = phi @ self.from_data
            leverage = np.sum(u**2, axis=1) / n
            leverage = np.minimum(leverage, _LARGEST_LEVERAGE)
            residual = self.Y[rows] - phi @ self.coef.T
            residual = residual / (1 - leverage)[:, None]
            weight = self.weight[rows]
            residual = residual * np.sqrt(weight)[:, None] / n
            score = residual[:, :, None] * u[:, None]
            yield weight, score.reshape(-1, q * rank)


def sandwich(library, X, Y, weight, coef, from_data):
    """Return a factor (q rank, e) of the HC3 covariance of a fit; see `Scores`."""
    return Scores(library, X, Y, weight, coef, from_data).covariance_factor()


def core_rows(X, weight):
    """Tell which rows of `X` (n, d) are among the 95 % that are nearest to the centre, (n,) bool.

    Distances are those of Mahalanobis, the same in all axes and units. Rows of equal distance
    stay together, and weights (n,) count repetitions.
    """
    total = weight.sum()
    centred = X - weight @ X / total
    covariance = (centred * weight[:, None]).T @ centred / total
    variance, axes = np.linalg.eigh(covariance)
    is_independent = variance > _DEPENDENT * variance.max(initial=0)
    unit_axes = axes[:, is_independent] / np.sqrt(variance[is_independent])
    square = np.sum((centred @ unit_axes) ** 2, axis=1)
    order = np.argsort(square)
    share = np.cumsum(weight[order]) / total
    last = min(np.searchsorted(share, _CORE), len(X) - 1)
    return square <= square[order[last]]
