"""Least squares with penalties of linear maps: the problem, its dual, and what solves it.

With ``f(w) = 1/2 sum_i |R w_i - y_i|^2`` over the rows of w (q, k)::

    minimise  f(w) + alpha sum_t penalty_t(K_t w)

and for alpha = 0 the limit from above: ``minimise sum_t penalty_t(K_t w)`` over the w that
minimise f. With ``w_ls`` a minimiser of f and ``H`` its Hessian the dual is::

    maximise  <K^T Y, w_ls> - 1/(2 alpha) |K^T Y|^2 in the norm of the inverse of H
    subject to  polar_t(Y_t) <= 1  and  K^T Y in the range of H,

the limit without its second term. A feasible Y bounds the objective from below, whatever w.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve, lstsq, qr, solve_triangular, svd

_EPS = np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class Solution:
    """What an iterative solver returns.

    Attributes
    ----------
    coef : ndarray
        The primal point.
    n_iter : int
    gap : float
        Duality gap relative to the objective above least squares: an upper bound of the relative
        error of that.
    dual : list of ndarray
        Feasible dual point, one array for each penalty: the certificate.
    objective : float
        Above that of least squares.
    state : tuple
        Where the solver was, to start the next problem from.
    """

    coef: np.ndarray
    n_iter: int
    gap: float
    dual: list
    objective: float
    state: tuple = field(default=(), repr=False)


@dataclass(frozen=True, eq=False)
class Term:
    """``penalty(K w)``, with ``K w`` read as a matrix.

    Attributes
    ----------
    K : csr_array of shape (rows * columns, q k)
    shape : (rows, columns)
    penalty : Penalty
        With ``prox``, ``value`` and ``polar``.
    axes : ndarray of shape (rows, s), default=None
    damping : ndarray of shape (s,), default=None
        The matrix is multiplied from the left by ``I - axes diag(damping) axes^T``, which keeps K
        sparse where a weight has low rank.
    """

    K: sparse.csr_array
    shape: tuple
    penalty: object
    axes: np.ndarray | None = None
    damping: np.ndarray | None = None

    def __call__(self, w):
        """``K w`` as a matrix."""
        return self._weighted((self.K @ w.ravel()).reshape(self.shape))

    def sees(self, w):
        """Whether ``K w`` is more than round-off."""
        size = np.linalg.norm(self.K.data) * np.linalg.norm(w)
        return bool(np.linalg.norm(self(w)) > 16 * _EPS * size)

    def adjoint(self, Z):
        """``K^T Z``, flat."""
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
        """``K^T K``, dense."""
        G = (self._transposed @ self.K).toarray()
        if self.axes is None:
            return G
        # The square of the weight is I - axes diag(lost) axes^T, the same for every column.
        lost = np.sqrt(np.maximum(self.damping * (2 - self.damping), 0))
        turn = (self.axes * lost).T
        r, m = self.shape
        by_column = self.K[np.arange(r * m).reshape(r, m).T.ravel()]
        for j in range(m):
            part = slice(by_column.indptr[j * r], by_column.indptr[(j + 1) * r])
            seen, place = np.unique(by_column.indices[part], return_inverse=True)
            row = np.repeat(np.arange(r), np.diff(by_column.indptr[j * r : (j + 1) * r + 1]))
            block = np.zeros((r, len(seen)))
            block[row, place] = by_column.data[part]
            along = turn @ block
            G[np.ix_(seen, seen)] -= along.T @ along
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

    @cached_property
    def _parts(self):
        """``axes`` (k, rank), ``curvature`` (rank,) of f along them, a minimiser (q, k)."""
        U, s, Vt = svd(self.R, full_matrices=False, check_finite=False)
        kept = s > _EPS * max(8, *self.R.shape) * s.max(initial=0)
        U, s, Vt = U[:, kept], s[kept], Vt[kept]
        return Vt.T, s**2, ((U.T @ self.Y).T / s) @ Vt

    @cached_property
    def _limit(self):
        """The same without curvature: a pivoted QR is cheaper."""
        Q, T, order = qr(self.R.T, mode="economic", pivoting=True, check_finite=False)
        size = np.abs(np.diag(T))
        rank = int((size > _EPS * max(8, *self.R.shape) * size.max(initial=0)).sum())
        Q, T, Y = Q[:, :rank], T[:rank].T, self.Y[order]
        if rank == len(T):
            return Q, None, solve_triangular(T, Y, lower=True).T @ Q.T
        return Q, None, lstsq(T, Y)[0].T @ Q.T

    def parts(self, alpha):
        """Orthonormal axes on which f depends, its curvature there (None for alpha = 0), w_ls."""
        return self._parts if alpha > 0 else self._limit


def certificate(data, terms, alpha, w, dual):
    """Objective above least squares at w, and the duality gap with `dual` scaled to be feasible.

    `dual` has K^T Y in the range of H. The gap is never less than what round-off makes of it.

    Returns
    -------
    objective, gap : float
    dual : list of ndarray
    """
    axes, curvature, w_ls = data.parts(alpha)
    polar = max(term.penalty.polar(Y) for term, Y in zip(terms, dual, strict=True))
    t = 1.0 / polar if polar > 1.0 or (alpha == 0 and polar > 0) else 1.0
    dual = [t * Y for Y in dual]
    penalty = sum(term.penalty.value(term(w)) for term in terms)
    bound = sum(np.vdot(Y, term(w_ls)) for term, Y in zip(terms, dual, strict=True))
    round_off = 8 * _EPS * max(penalty, bound)
    if alpha == 0:
        return penalty, max(penalty - bound, round_off), dual
    force = sum(term.adjoint(Y) for term, Y in zip(terms, dual, strict=True))
    along = force.reshape(w_ls.shape) @ axes
    misfit = 0.5 * np.sum(curvature * ((w - w_ls) @ axes) ** 2)
    gap = misfit + alpha * (penalty - bound) + 0.5 * alpha * alpha * np.sum(along**2 / curvature)
    return misfit + alpha * penalty, max(gap, alpha * round_off), dual


def largest_alpha(data, terms):
    """An alpha from which on ``K w = 0``: the polar of the least dual point that proves it.

    The true threshold may be smaller; it is never larger.
    """
    axes, curvature, w_ls = data.parts(1.0)
    N, k = w_ls.size, w_ls.shape[1]
    gram = sum(term.gram for term in terms)
    weight, V = np.linalg.eigh(gram)
    free = weight <= 1e-12 * max(weight.max(initial=0), _EPS)
    V0, V1 = V[:, free], V[:, ~free]
    root = np.sqrt(curvature)
    design = np.einsum("qkf,kr->qrf", V0.reshape(len(w_ls), k, V0.shape[1]), axes * root)
    target = ((w_ls @ axes) * root).ravel()
    design = design.reshape(len(target), V0.shape[1])
    w = (V0 @ np.linalg.lstsq(design, target, rcond=None)[0]).reshape(w_ls.shape)
    force = ((((w_ls - w) @ axes) * curvature) @ axes.T).ravel()
    v = (V1 @ ((V1.T @ force) / weight[~free])).reshape(w_ls.shape)
    return max(term.penalty.polar(term(v)) for term in terms) if N else 0.0


def inverse_with_axes(gram, axes, curvature, q):
    """``(gram + axes curvature axes^T)^-1`` (N, N), curvature None: infinite.

    Large curvatures are taken out of the matrix that is inverted, so that nothing cancels.
    Directions that neither sees are left alone: their inverse is zero.
    """
    unit = np.trace(gram) / len(gram) or 1.0
    k = axes.shape[0]
    curvature = np.full(axes.shape[1], np.inf) if curvature is None else curvature
    heavy = curvature > 2 * unit
    inside = np.where(heavy, unit, curvature)
    S = gram.copy()
    block = (axes * inside) @ axes.T
    for i in range(q):
        S[i * k : (i + 1) * k, i * k : (i + 1) * k] += block
    inverse = _definite_inverse(S)
    if not heavy.any():
        return inverse
    V = np.kron(np.eye(q), axes[:, heavy]) if q > 1 else axes[:, heavy]
    SV = inverse @ V
    M = V.T @ SV + np.diag(np.tile(1 / (curvature[heavy] - unit), q))
    return inverse - SV @ cho_solve(cho_factor(M, check_finite=False), SV.T, check_finite=False)


def _definite_inverse(S):
    """Inverse of a positive semidefinite matrix, zero where that vanishes."""
    size = np.diag(S).max(initial=0) or 1.0
    try:
        factor = cho_factor(S, check_finite=False)
        if np.diag(factor[0]).min() ** 2 > 1e-9 * size:
            return cho_solve(factor, np.eye(len(S)), check_finite=False)
    except np.linalg.LinAlgError:
        pass
    weight, V = np.linalg.eigh(S)
    kept = weight > 1e-13 * len(S) * weight.max(initial=0)
    return (V[:, kept] / weight[kept]) @ V[:, kept].T
