"""Symmetric functions in units of their own spread on the data: what penalties are measured in.

A penalty on coefficients means what its units mean. Here every symmetric function counts in units
of its standard deviation on the data, as columns do after a StandardScaler, so that the same
penalty suits data in any unit.

Index legend: n rows, d coordinates, p library functions, k symmetric functions, q outputs.
"""

from dataclasses import dataclass, replace

import numpy as np

from sksym._linalg import reduced_echelon, row_blocks
from sksym.libraries import Library, evaluate, library_values
from sksym.statistics import root_mean_square

_ROUND_OFF = 1e-13  # entries of an echelon form relative to the largest of their row
_CONSTANT = 1e-12  # spread relative to the size of the terms at which a function does not vary


@dataclass(frozen=True, eq=False)
class StandardisedFunctions:
    """Functions that vary on the data, of variance one there, averaged over their outputs.

    Attributes
    ----------
    library : fitted Library
    coef : ndarray of shape (k, q, p)
        Function a has the outputs ``coef[a] @ phi(x) - mean[a]``.
    mean : ndarray of shape (k, q)
        Of invariant functions, so that theirs is zero. Of outputs that move zero is taken away,
        since constants need not move with them.
    """

    library: Library
    coef: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, space, X, weight, length=None):
        """Standardise the functions of an EquivariantSpace on rows of data.

        The basis is in reduced echelon form, which is the same whatever the units: ``x0^2 + x1^2``
        and ``x2^2`` for rotations about an axis, not mixtures of them.

        Parameters
        ----------
        space : EquivariantSpace
        X : ndarray of shape (n, d)
        weight : ndarray of shape (n,)
            Positive weights.
        length : float, default=None
            Where slopes are fitted too: the length by which they are multiplied. The mean square
            of values and of all slopes together is then one.
        """
        library = space.library
        p = library.n_output_features_
        basis = space.basis.toarray()
        size = _sizes(library, X, weight)
        if not space.is_tied:
            # Constants are invariant, so that what remains without them is invariant too.
            basis[:, space.constant] = 0
        # Small coefficients are small terms in units of the functions' size.
        q = basis.shape[1] // p
        size_of_unknown = np.tile(size, q)
        in_units = _echelon(basis * size_of_unknown)
        terms = np.abs(in_units).sum(axis=1)
        coef = (in_units / size_of_unknown).reshape(len(in_units), q, p)
        mean, spread = _moments(library, coef, X, weight)
        if length is not None:
            d = X.shape[1]
            slope = _size_of_slopes(cls(library, coef, mean), X, weight)
            spread = np.hypot(spread, length * slope) / np.sqrt(1 + d)
        varies = spread > _CONSTANT * terms
        unit = spread[varies]
        if space.is_tied:
            mean = np.zeros_like(mean)
        with np.errstate(over="ignore"):
            coef = coef[varies] / unit[:, None, None]
            mean = mean[varies] / unit[:, None]
        if not np.isfinite(coef).all():
            raise ValueError(
                f"A function of the library varies by {unit.min():.3g} only on the data, which no "
                "coefficient makes up for: rescale X."
            )
        return cls(library, coef, mean)

    @property
    def n_functions(self):
        return len(self.coef)

    def uncentred(self):
        """Return the same functions without the means taken away: no constant is to be fitted."""
        return replace(self, mean=np.zeros_like(self.mean))

    def values(self, X):
        """Evaluate the functions: shape (n, k, q)."""
        k, q, p = self.coef.shape
        values = evaluate(self.library, self.coef.reshape(k * q, p), X)
        return values.reshape(len(X), k, q) - self.mean

    def slopes(self, X):
        """Differentiate the functions by the coordinates of x: shape (n, d, k), for one output."""
        k, _, p = self.coef.shape
        n, d = X.shape
        functions = self.coef.reshape(k, p)
        slopes = np.empty((n, d, k))
        for rows in row_blocks(n, p * d):
            jacobian = self.library.jacobian(X[rows])  # (n, p, d)
            slopes[rows] = jacobian.transpose(0, 2, 1) @ functions.T
        return slopes

    def combine(self, w):
        """Return the coefficients in the library (t, q, p) and the constants (t, q) of sums.

        Parameters
        ----------
        w : ndarray of shape (t, k)
            ``w @ functions = coef @ phi + constant``.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # estimators refuse what overflows
            coef = np.tensordot(w, self.coef, 1)
            constant = -w @ self.mean
        return coef, constant


def _echelon(basis):
    """Return the echelon form of a basis (k, n) without rows of zeros."""
    k, n = basis.shape
    if k == n:  # every function: each by itself
        size = np.abs(basis).max(axis=1, initial=0)
        is_identity = np.count_nonzero(basis) == np.count_nonzero(size)
        if is_identity:
            return basis
    rows = reduced_echelon(basis, rtol=_ROUND_OFF)
    return rows[rows.any(axis=1)]


def _sizes(library, X, weight):
    """Compute the weighted root mean squares (p,) of the library functions; 1 where zero."""
    size = _streamed_size(
        lambda rows: library_values(library, rows),
        X,
        weight,
        library.n_output_features_,
    )
    size[size == 0] = 1.0
    return size


def _moments(library, coef, X, weight):
    """Compute the means (k, q) of functions, and their spread (k,), pooled over outputs."""
    k, q, p = coef.shape
    functions = coef.reshape(k * q, p)
    values = evaluate(library, functions, X)
    mean = weight @ values / weight.sum()
    spread = root_mean_square(values - mean, weight).reshape(k, q)
    one_weight = np.ones(q)
    return mean.reshape(k, q), root_mean_square(spread.T, one_weight)


def _size_of_slopes(functions, X, weight):
    """Compute the weighted root mean square of the gradients of k functions: (k,)."""
    k = functions.n_functions
    return _streamed_size(
        lambda rows: np.hypot.reduce(functions.slopes(rows), axis=1),
        X,
        weight,
        k,
        width=functions.coef.shape[2] * X.shape[1],
    )


def _streamed_size(function, X, weight, n_values, width=None):
    """Compute weighted root mean squares of the values (n, n_values) of a function of rows."""
    total = np.zeros(n_values)
    for rows in row_blocks(len(X), width or n_values):
        share = weight[rows].sum() / weight.sum()
        size = root_mean_square(function(X[rows]), weight[rows])
        # Roots, not squares: slopes in any unit do not overflow.
        total = np.hypot(total, np.sqrt(share) * size)
    return total
