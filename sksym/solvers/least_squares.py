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
from sksym.solvers.terms import Penalty, flattened, unflattened

_EPS = np.finfo(float).eps
_LSQR = 1e-12  # accuracy of the least dual point


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
        U, s, Vt = svd(
            self.R,
            full_matrices=False,
            check_finite=False,
        )
        rank = numerical_rank(s, self.R.shape)
        s = s[:rank]
        axes = Vt[:rank].T
        target = U[:, :rank].T @ self.Y
        w_ls = (target.T / s) @ axes.T
        return axes, s**2, w_ls

    @cached_property
    def _parts_of_limit(self):
        # Without the curvature a pivoted QR of R^T is enough, and cheaper.
        Q, T, order = qr(
            self.R.T,
            mode="economic",
            pivoting=True,
            check_finite=False,
        )
        diagonal = np.abs(np.diag(T))
        rank = numerical_rank(diagonal, self.R.shape)
        axes = Q[:, :rank]
        lower = T[:rank].T
        Y = self.Y[order]
        if rank < len(lower):
            # R has dependent rows.
            coordinates = lstsq(lower, Y)[0]
            return axes, None, coordinates.T @ axes.T
        coordinates = solve_triangular(lower, Y, lower=True)
        return axes, None, coordinates.T @ axes.T


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
    penalty = Penalty(terms)
    polar = penalty.polar(dual)
    scale = 1.0
    # In the limit the bound is linear in the dual point: the longest feasible one is best.
    in_limit = alpha == 0
    if polar > 1.0 or (in_limit and polar > 0):
        scale = 1.0 / polar
    dual = [scale * Y for Y in dual]
    force = penalty.adjoint(dual)
    value = penalty.value(w)
    bound = 0.0
    for Y, image in zip(dual, penalty.images(w_ls), strict=True):
        bound += np.vdot(Y, image)
    round_off = 8 * _EPS * max(value, bound)
    if in_limit:
        gap = max(value - bound, round_off)
        return value, float(gap), dual
    displacement = w - w_ls
    along = displacement @ axes
    misfit = 0.5 * np.sum(curvature * along**2)
    # The conjugate of f at the force of the dual point.
    along = alpha * force.reshape(w_ls.shape) @ axes
    conjugate = 0.5 * np.sum(along**2 / curvature)
    gap = misfit + alpha * (value - bound) + conjugate
    gap = max(gap, alpha * round_off)
    objective = misfit + alpha * value
    return float(objective), float(gap), dual


def largest_alpha(data, terms):
    """Return an alpha from which on ``K w = 0``: the polar of the least dual point that proves it.

    With w_0 the least-squares fit among the w with ``K w = 0``, a dual point Y proves that w_0 is
    the solution where ``alpha K^T Y`` is minus the gradient of f at w_0 and its polar is at most 1.
    The true threshold may be smaller; it is never larger. Where K is the identity, it is the polar
    of the gradient at zero.

    Parameters
    ----------
    data : LeastSquares
    terms : list of Term

    Returns
    -------
    float
    """
    R = data.R
    Y = data.Y
    k = R.shape[1]
    q = Y.shape[1]
    if not k * q:
        return 0.0
    # The weights of terms are invertible: the null space is that of the sparse maps.
    K = sparse.csr_array(sparse.vstack([term.K for term in terms]))
    free = null_space(K)
    columns = []
    for j in range(q):
        basis = free[:, k * j : k * (j + 1)]
        columns.append(R @ basis.T)
    design = np.vstack(columns)
    target = Y.T.ravel()
    coordinates = np.linalg.lstsq(design, target)[0]
    residual = (target - design @ coordinates).reshape(q, -1)
    force = residual @ R
    penalty = Penalty(terms)

    def adjoint(flat):
        return penalty.adjoint(unflattened(flat, penalty.shapes))

    def forward(w):
        return flattened(penalty.images(w))

    K_transposed = LinearOperator(
        K.T.shape,
        matvec=adjoint,
        rmatvec=forward,
        dtype=float,
    )
    # LSQR, which starts at zero, finds the solution of least norm.
    dual = lsqr(
        K_transposed,
        force.ravel(),
        atol=_LSQR,
        btol=_LSQR,
    )[0]
    return penalty.polar(unflattened(dual, penalty.shapes))
