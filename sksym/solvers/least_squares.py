"""Least squares with norms of linear maps: the problem, its dual, and the certificate of a point.

With ``f(w) = 1/2 sum_i |R w_i - y_i|^2`` over the rows of w (q, k)::

    minimise  f(w) + alpha sum_t norm_t(K_t w)

and for alpha = 0 the limit from above: ``minimise sum_t norm_t(K_t w)`` over the w that minimise f.
With ``w_ls`` a minimiser of f and ``H`` its Hessian the dual is::

    maximise  <K^T Y, w_ls> - 1/(2 alpha) |K^T Y|^2 in the norm of the inverse of H
    subject to  polar_t(Y_t) <= 1  and  K^T Y in the range of H,

the limit without its second term. A feasible Y bounds the objective from below, whatever w.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import lstsq, qr, solve_triangular, svd
from scipy.sparse.linalg import LinearOperator, lsqr

from sksym._linalg import null_space, numerical_rank
from sksym.solvers.norms import GroupNorm, NuclearNorm

_EPS = np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class Term:
    """``norm(K w)``, with ``K w`` read as a matrix.

    Attributes
    ----------
    K : csr_array of shape (rows * columns, q k)
    shape : (rows, columns)
    penalty : GroupNorm or NuclearNorm
    axes : ndarray of shape (rows, s), default=None
    damping : ndarray of shape (s,), default=None
        Below 1. The matrix is multiplied from the left by ``I - axes diag(damping) axes^T``, which
        keeps K sparse where a weight has low rank.
    """

    K: sparse.csr_array
    shape: tuple
    penalty: GroupNorm | NuclearNorm
    axes: np.ndarray | None = None
    damping: np.ndarray | None = None

    def __call__(self, w):
        """Return ``K w`` as a matrix."""
        return self._weighted((self.K @ w.ravel()).reshape(self.shape))

    def varies(self, w):
        """Whether ``K w`` is more than round-off."""
        size = np.linalg.norm(self.K.data) * np.linalg.norm(w)
        return bool(np.linalg.norm(self(w)) > 16 * _EPS * size)

    def adjoint(self, Z):
        """Return ``K^T Z``, flat."""
        return self._transposed @ self._weighted(Z).ravel()

    def _weighted(self, Z):
        if self.axes is None:
            return Z
        return Z - (self.axes * self.damping) @ (self.axes.T @ Z)

    @cached_property
    def _transposed(self):
        return sparse.csr_array(self.K.T)

    @cached_property
    def gram(self):
        """``K^T K`` with the weight, dense."""
        G = (self._transposed @ self.K).toarray()
        if self.axes is None:
            return G
        # The square of the weight is I - axes diag(loss) axes^T, the same for every column.
        loss = self.damping * (2 - self.damping)
        half = (self.axes * np.sqrt(np.maximum(loss, 0))).T
        r, m = self.shape
        by_column = np.arange(r * m).reshape(r, m).T.ravel()
        K = self.K[by_column]
        for j in range(m):
            indptr = K.indptr[j * r : (j + 1) * r + 1]
            entries = slice(indptr[0], indptr[-1])
            unknowns, place = np.unique(K.indices[entries], return_inverse=True)
            row = np.repeat(np.arange(r), np.diff(indptr))
            block = np.zeros((r, len(unknowns)))
            block[row, place] = K.data[entries]
            along = half @ block
            G[np.ix_(unknowns, unknowns)] -= along.T @ along
        return G


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """``f(w) = 1/2 sum_i |R w_i - y_i|^2``, w (q, k).

    Attributes
    ----------
    R : ndarray of shape (n, k)
        Rows of data, or their triangular factor.
    Y : ndarray of shape (n, q)
    """

    R: np.ndarray
    Y: np.ndarray

    def parts(self, alpha):
        """Decompose f for a problem with this alpha.

        Returns
        -------
        axes : ndarray of shape (k, rank)
            Orthonormal axes on which f depends.
        curvature : ndarray of shape (rank,), or None for alpha = 0
            Of f along the axes.
        w_ls : ndarray of shape (q, k)
            The minimiser of least norm.
        """
        return self._spectral_parts if alpha > 0 else self._parts_of_limit

    @cached_property
    def _spectral_parts(self):
        U, s, Vt = svd(self.R, full_matrices=False, check_finite=False)
        rank = numerical_rank(s, self.R.shape)
        U, s, Vt = U[:, :rank], s[:rank], Vt[:rank]
        w_ls = ((U.T @ self.Y).T / s) @ Vt
        return Vt.T, s**2, w_ls

    @cached_property
    def _parts_of_limit(self):
        # Without the curvature a pivoted QR is enough, and cheaper.
        Q, T, order = qr(self.R.T, mode="economic", pivoting=True, check_finite=False)
        rank = numerical_rank(np.abs(np.diag(T)), self.R.shape)
        Q = Q[:, :rank]
        T = T[:rank].T
        Y = self.Y[order]
        if rank < len(T):
            # T has more rows than columns: least squares once more.
            return Q, None, lstsq(T, Y)[0].T @ Q.T
        return Q, None, solve_triangular(T, Y, lower=True).T @ Q.T


def certificate(data, terms, alpha, w, dual):
    """Return the objective at w, and the duality gap with `dual` scaled to be feasible.

    Parameters
    ----------
    data : LeastSquares
    terms : list of Term
    alpha : float
    w : ndarray of shape (q, k)
    dual : list of ndarray
        One array for each term, with K^T Y in the range of H.

    Returns
    -------
    objective : float
        Above that of least squares.
    gap : float
        Never less than what round-off makes of it.
    dual : list of ndarray
    """
    axes, curvature, w_ls = data.parts(alpha)
    polar = max(term.penalty.polar(Y) for term, Y in zip(terms, dual, strict=True))
    scale = 1.0
    # In the limit the bound is linear in the dual point: the longest feasible one is best.
    if polar > 1.0 or (alpha == 0 and polar > 0):
        scale = 1.0 / polar
    dual = [scale * Y for Y in dual]
    penalty = sum(term.penalty.value(term(w)) for term in terms)
    bound = sum(np.vdot(Y, term(w_ls)) for term, Y in zip(terms, dual, strict=True))
    round_off = 8 * _EPS * max(penalty, bound)
    if alpha == 0:
        return float(penalty), float(max(penalty - bound, round_off)), dual
    force = sum(term.adjoint(Y) for term, Y in zip(terms, dual, strict=True))
    force = force.reshape(w_ls.shape) @ axes
    misfit = 0.5 * np.sum(curvature * ((w - w_ls) @ axes) ** 2)
    conjugate = 0.5 * alpha**2 * np.sum(force**2 / curvature)
    gap = misfit + alpha * (penalty - bound) + conjugate
    return float(misfit + alpha * penalty), float(max(gap, alpha * round_off)), dual


def largest_alpha(data, terms):
    """Return an alpha from which on ``K w = 0``: the polar of the least dual point that proves it.

    The true threshold may be smaller; it is never larger. Where the terms are blocks of the
    coordinates, the threshold itself is the polar of the gradient at zero.

    Parameters
    ----------
    data : LeastSquares
    terms : list of Term

    Returns
    -------
    float
    """
    k = data.R.shape[1]
    q = data.Y.shape[1]
    if not k * q:
        return 0.0
    # Weights are invertible: the null space is that of the sparse maps.
    K = sparse.csr_array(sparse.vstack([term.K for term in terms]))
    free = null_space(K)
    design = np.vstack([data.R @ free[:, k * j : k * (j + 1)].T for j in range(q)])
    target = data.Y.T.ravel()
    residual = target - design @ np.linalg.lstsq(design, target)[0]
    force = (residual.reshape(q, -1) @ data.R).ravel()
    ends = np.cumsum([np.prod(term.shape) for term in terms])

    def split(dual):
        matrices = np.split(dual, ends[:-1])
        return [Z.reshape(term.shape) for term, Z in zip(terms, matrices, strict=True)]

    def adjoint(dual):
        return sum(term.adjoint(Z) for term, Z in zip(terms, split(dual), strict=True))

    def forward(w):
        return np.concatenate([term(w).ravel() for term in terms])

    shape = (k * q, int(ends[-1]))
    map_ = LinearOperator(shape, matvec=adjoint, rmatvec=forward, dtype=float)
    dual = split(lsqr(map_, force, atol=1e-12, btol=1e-12)[0])
    return max(term.penalty.polar(Z) for term, Z in zip(terms, dual, strict=True))
