"""Weighted and centred rows, never copied where that can be avoided, and compressed if many.

Centring a sparse matrix would fill it, and centring a dense one would copy it. Both are avoided:
the unit vector that the intercept fits is projected out of the columns that a solver asks for.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import qr
from scipy.sparse.linalg import LinearOperator, lsqr

from sksym._linalg import require_memory

_EPS = np.finfo(float).eps
_TALL = 2  # rows for each column from which a triangular factor pays
_FAR = 1e-8  # square of a column about its mean, relative to that about zero


@dataclass(frozen=True, eq=False)
class CentredData:
    """Rows scaled by the roots of their weights, with the means that centre them.

    Attributes
    ----------
    X : ndarray or csc_array of shape (n, p)
        Scaled, not centred.
    Y : ndarray of shape (n, q)
        Scaled and centred.
    sqrt_weight : ndarray of shape (n,)
    x_mean : ndarray of shape (p,)
        Zero without an intercept.
    y_mean : ndarray of shape (q,)
    ones : ndarray of shape (n, 1) or None
        The unit vector that the intercept fits.
    total_weight : float
        Sum of the weights: n in the objective.
    is_far : bool
        Whether dense columns lie so far from zero that products with them lose digits.
    many_fits : bool
        Whether compression pays because many fits will follow.
    """

    X: object
    Y: np.ndarray
    sqrt_weight: np.ndarray
    x_mean: np.ndarray
    y_mean: np.ndarray
    ones: np.ndarray | None
    total_weight: float
    is_far: bool = False
    many_fits: bool = False

    @classmethod
    def of(cls, X, Y, weight, fit_intercept, many_fits=False):
        """Centre rows X (n, p) and Y (n, q), without those of weight (n,) zero."""
        if not weight.all():
            X = X[weight > 0]
            Y = Y[weight > 0]
            weight = weight[weight > 0]
        sqrt_weight = np.sqrt(weight)
        total = float(sqrt_weight @ sqrt_weight)
        x_mean = np.zeros(X.shape[1])
        y_mean = np.zeros(Y.shape[1])
        ones = None
        if fit_intercept:
            share = sqrt_weight**2 / total
            x_mean = np.asarray(X.T @ share).ravel()
            y_mean = share @ Y
            # Constants are centred to zero exactly: the residual of their mean would be round-off.
            constant = np.ptp(Y, axis=0) == 0
            y_mean[constant] = Y[0, constant]
            if sparse.issparse(X):
                constant, values = _sparse_constants(X, len(Y))
                x_mean[constant] = values
            else:
                # Three rows rule out nearly all columns before whole columns are compared.
                first = X[0]
                middle = X[len(X) // 2]
                alike = (first == X[-1]) & (first == middle)
                suspects = np.flatnonzero(alike)
                equal = X[:, suspects] == first[suspects]
                constant = suspects[equal.all(axis=0)]
                x_mean[constant] = first[constant]
            ones = (sqrt_weight / np.sqrt(total))[:, None]
        Y = sqrt_weight[:, None] * (Y - y_mean)
        is_weighted = (sqrt_weight != 1).any()
        if sparse.issparse(X):
            if is_weighted:
                X = sparse.diags_array(sqrt_weight) @ X
            X = sparse.csc_array(X)
        elif is_weighted:
            X = sqrt_weight[:, None] * X
        is_far = False
        if fit_intercept and not sparse.issparse(X):
            square = np.einsum("ij,ij->j", X, X)
            square_of_mean = total * x_mean**2
            close_to_mean = square_of_mean > (1 - _FAR) * square
            is_far = bool(close_to_mean.any())
        return cls(X, Y, sqrt_weight, x_mean, y_mean, ones, total, is_far, many_fits)

    @property
    def is_sparse(self):
        return sparse.issparse(self.X)

    @cached_property
    def _far_columns(self):
        """Indices of the sparse columns that lie far from zero, relative to their spread."""
        if self.ones is None:
            return np.zeros(0, int)
        square = np.asarray(self.X.power(2).sum(axis=0)).ravel()
        square_of_mean = self.total_weight * self.x_mean**2
        far = np.flatnonzero((square > 0) & (square_of_mean > (1 - _FAR) * square))
        n = self.X.shape[0]
        require_memory(
            16.0 * n * len(far),
            f"Least squares on {n:,} rows of {len(far):,} sparse columns far from zero",
            "Subtract constants from these columns, or use alpha > 0.",
        )
        return far

    @property
    def tall(self):
        """Whether a triangular factor has fewer rows by enough to pay for itself."""
        n, p = self.X.shape
        return n >= _TALL * p

    @property
    def magnitude(self):
        """Root of the sum of the squares in X, before it is centred."""
        entries = self.X.data if self.is_sparse else self.X
        return float(np.linalg.norm(entries))

    def residual(self, W):
        """Return the scaled residual (n, q) of coefficients W (p, q)."""
        shift = np.outer(self.sqrt_weight, self.x_mean @ W)
        return self.Y - self.X @ W + shift

    @cached_property
    def centred(self):
        """X (n, p), dense and centred."""
        n, p = self.X.shape
        X = self.X
        if self.is_sparse:
            require_memory(
                16.0 * n * p,
                f"These mirrors with {n:,} x {p:,} sparse data",
                "Mirrors of single columns and of groups keep the data sparse.",
            )
            X = X.toarray()
        if self.ones is None:
            return X
        return X - self.sqrt_weight[:, None] * self.x_mean

    @cached_property
    def reduced(self):
        """X and Y with at most p + q rows and p rows, and the sum of squares that p rows leave."""
        if not self.tall:
            return self.centred, self.Y, 0.0
        p = self.X.shape[1]
        q = self.Y.shape[1]
        rows = np.hstack([self.centred, self.Y])
        (R,) = qr(rows, mode="r", check_finite=False)
        # Rows p to p + q of the factor see Y only: no coefficients fit them.
        unexplained = R[p : p + q, p:]
        square = float(np.sum(unexplained**2))
        return R[:p, :p], R[:p, p:], square

    def least_squares(self):
        """Return the minimiser W (p, q) of least norm, by LSQR where the data are sparse."""
        if not self.is_sparse:
            X, Y, _ = self.reduced
            rcond = max(X.shape) * _EPS
            return np.linalg.lstsq(X, Y, rcond=rcond)[0]
        # Columns far from zero, which have no zeros, are centred as they are: the difference of
        # two products would leave round-off of constants, and its inverse in the coefficients.
        far = self._far_columns
        near = np.ones(self.X.shape[1])
        near[far] = 0.0
        centred = self.X[:, far].toarray() - self.sqrt_weight[:, None] * self.x_mean[far]

        def forward(w):
            others = near * w
            fitted = self.X @ others - self.sqrt_weight * (self.x_mean @ others)
            return fitted + centred @ w[far]

        def adjoint(r):
            slope = near * (self.X.T @ r - self.x_mean * (self.sqrt_weight @ r))
            slope[far] = centred.T @ r
            return slope

        X = LinearOperator(self.X.shape, matvec=forward, rmatvec=adjoint, dtype=float)
        p = self.X.shape[1]
        q = self.Y.shape[1]
        W = np.empty((p, q))
        # In exact arithmetic the rank suffices; round-off costs a multiple of it.
        limit = 20 * min(self.X.shape) + 100
        for j, y in enumerate(self.Y.T):
            w, *_ = lsqr(X, y, atol=1e-14, btol=1e-14, iter_lim=limit)
            W[:, j] = w
        return W


def _sparse_constants(X, n):
    """Return the sparse columns of n rows that are constant, and their values."""
    columns = sparse.csc_array(X)
    full = np.flatnonzero(np.diff(columns.indptr) == n)
    places = columns.indptr[full][:, None] + np.arange(n)
    entries = columns.data[places]
    constant = np.ptp(entries, axis=1) == 0
    return full[constant], entries[constant, 0]


@dataclass(frozen=True, eq=False)
class BlockDesign:
    """Rows in block coordinates, from which all that is fitted freely has been projected out.

    The penalised design is ``A = (I - Q Q^T) X[:, columns]``, which is never formed as a whole.

    Attributes
    ----------
    X : ndarray or csc_array of shape (n, p)
    columns : ndarray of shape (t,) or None
        None: all.
    Q : ndarray of shape (n, f)
        Orthonormal basis of the intercept and the free columns.
    Y : ndarray of shape (n, q)
    target : ndarray of shape (n, q)
        ``(I - Q Q^T) Y``.
    free_fit : ndarray of shape (f, n)
        Map from a residual to the free coefficients that fit it best.
    unexplained : float
        Sum of squares of Y that compressing the rows has left out.
    """

    X: object
    columns: np.ndarray | None
    Q: np.ndarray
    Y: np.ndarray
    target: np.ndarray
    free_fit: np.ndarray
    unexplained: float

    def free_coefficients(self, c):
        """Return the free coefficients (f, q) that fit best beside components c (t, q)."""
        used = np.flatnonzero(np.any(c, axis=1))
        columns = used
        if self.columns is not None:
            columns = self.columns[used]
        fitted = self.X[:, columns] @ c[used]
        return self.free_fit @ (self.Y - fitted)


def block_design(data, coordinates):
    """Return the `BlockDesign` of some data in block coordinates.

    Columns of the data are taken as they are, with the intercept projected out. Coordinates that
    mix columns need the dense and centred data.
    """
    columns = coordinates.columns
    ones = data.ones
    if columns is None:
        reduced, Y, unexplained = data.reduced
        X, F = coordinates.design(reduced)
        magnitude = data.magnitude
        ones = None
    else:
        X = data.X
        Y = data.Y
        unexplained = 0.0
        # Compressed rows are centred, at the cost of a copy or a triangular factor.
        pays = data.many_fits and data.tall
        if not sparse.issparse(X) and (pays or data.is_far):
            X, Y, unexplained = data.reduced
            ones = None
        F = X[:, coordinates.free]
        if sparse.issparse(F):
            n, f = F.shape
            require_memory(
                24.0 * n * f,
                f"Fitting {f:,} columns of sparse data that no mirror touches",
                "Put mirrors on them, of a small weight.",
            )
            F = F.toarray()
        magnitude = np.linalg.norm(F)
        if np.array_equal(columns, np.arange(X.shape[1])):
            columns = None
    if ones is not None:
        for _ in range(2):  # the second projection removes the round-off of far offsets
            F = F - ones @ (ones.T @ F)
    U, s, Vt = np.linalg.svd(F, full_matrices=False)
    # A constant column is centred to noise: it is judged by its size before.
    size = max(magnitude, s.max(initial=0))
    determined = s > max(F.shape) * _EPS * size
    axes = U[:, determined]
    inverse = Vt[determined].T / s[determined]
    free_fit = inverse @ axes.T
    Q = axes if ones is None else np.hstack([ones, axes])
    target = Y - Q @ (Q.T @ Y)
    return BlockDesign(X, columns, Q, Y, target, free_fit, unexplained)
