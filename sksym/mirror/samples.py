"""The data of a fit: weighted, centred without being copied, reduced where there are many rows."""

from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import qr
from scipy.sparse.linalg import LinearOperator, lsqr

from sksym._linalg import require_memory

_TALL = 2  # rows for each column from which a triangular factor takes their place
_FAR = 1e-8  # part of a column's square that is left about its mean


class Samples:
    """Rows scaled by the roots of their weights, and means to be taken off.

    Attributes
    ----------
    X : ndarray or csc_array of shape (n, p)
        Scaled, not centred.
    Y : ndarray of shape (n, q)
        Scaled and centred.
    mean_X, mean_Y : ndarray
    ones : ndarray of shape (n, 1) or None
        The unit vector that the intercept fits.
    size : float
        Sum of the weights: n in the objective.
    many : bool
        Whether many fits to these data are to come.
    """

    def __init__(self, X, Y, root, fit_intercept, many=False):
        self.many = many
        kept = root > 0
        if not kept.all():
            X, Y, root = X[kept], Y[kept], root[kept]
        self.size = float(root @ root)
        self.mean_X, self.mean_Y = np.zeros(X.shape[1]), np.zeros(Y.shape[1])
        self.ones = None
        if fit_intercept:
            share = root**2 / self.size
            self.mean_X, self.mean_Y = np.asarray(X.T @ share).ravel(), share @ Y
            same = np.ptp(Y, axis=0) == 0  # of constants nothing is to be left, to the last digit
            self.mean_Y[same] = Y[0, same]
            if not sparse.issparse(X):
                same = np.flatnonzero((X[0] == X[-1]) & (X[0] == X[len(X) // 2]))
                same = same[(X[:, same] == X[0, same]).all(axis=0)]
                self.mean_X[same] = X[0, same]
            self.ones = (root / np.sqrt(self.size))[:, None]
        self._root, even = root, (root == 1).all()
        self.Y = root[:, None] * (Y - self.mean_Y)
        if sparse.issparse(X):
            self.X = sparse.csc_array(X if even else sparse.diags_array(root) @ X)
        else:
            self.X = X if even else root[:, None] * X

    @property
    def is_sparse(self):
        return sparse.issparse(self.X)

    @property
    def tall(self):
        """Whether fewer rows pay for their making."""
        n, p = self.X.shape
        return n >= _TALL * p

    @property
    def magnitude(self):
        """Root of the sum of the squares in X, before it is centred."""
        return float(np.linalg.norm(self.X.data if self.is_sparse else self.X))

    @cached_property
    def far(self):
        """Whether dense columns lie so far from zero that products with them lose digits."""
        if self.is_sparse or self.ones is None:
            return False
        square = np.einsum("ij,ij->j", self.X, self.X)
        return bool((self.size * self.mean_X**2 > (1 - _FAR) * square).any())

    def intercept(self, W):
        """Of coefficients W (p, q)."""
        return self.mean_Y - self.mean_X @ W

    def residual(self, W):
        """Scaled, (n, q)."""
        return self.Y - self.X @ W + np.outer(self._root, self.mean_X @ W)

    @property
    def per_row(self):
        """Entries of X on its diagonal, without the roots of the weights."""
        return self.X.diagonal() / self._root

    @cached_property
    def centred(self):
        """X (n, p), dense."""
        n, p = self.X.shape
        if self.is_sparse:
            require_memory(
                16.0 * n * p,
                f"These mirrors with {n:,} x {p:,} sparse data",
                "Mirrors of single columns and of groups keep the data sparse.",
            )
        X = self.X.toarray() if self.is_sparse else self.X
        return X if self.ones is None else X - self._root[:, None] * self.mean_X

    @cached_property
    def reduced(self):
        """X, Y with as many rows as columns at most, and the sum of squares that they leave."""
        X, Y = self.centred, self.Y
        if not self.tall:
            return X, Y, 0.0
        p = X.shape[1]
        R = qr(np.hstack([X, Y]), mode="r", check_finite=False)[0][: p + Y.shape[1]]
        return R[:p, :p], R[:p, p:], float(np.sum(R[p:, p:] ** 2))

    def least_squares(self):
        """The least of the minimisers W (p, q)."""
        if not self.is_sparse:
            X, Y, _ = self.reduced
            return np.linalg.lstsq(X, Y, rcond=max(X.shape) * np.finfo(float).eps)[0]
        root, mean = self._root, self.mean_X
        X = LinearOperator(
            self.X.shape,
            matvec=lambda w: self.X @ w - root * (mean @ w),
            rmatvec=lambda r: self.X.T @ r - mean * (root @ r),
            dtype=float,
        )
        limit = 20 * min(self.X.shape) + 100
        found = [lsqr(X, y, atol=1e-14, btol=1e-14, iter_lim=limit)[0] for y in self.Y.T]
        return np.transpose(found)
