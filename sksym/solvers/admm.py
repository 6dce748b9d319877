"""The alternating direction method of multipliers, for least squares with norms of linear maps.

With ``Z_t`` for ``K_t w``, scaled multipliers ``U_t`` and step ``1/rho``::

    w <- argmin f(w) / (alpha rho) + 1/2 sum_t |K_t w - Z_t + U_t|^2
    Z_t <- prox of norm_t / rho at K_t w + U_t,     U_t <- K_t w + U_t - Z_t

The first step is one product with a matrix that is formed once; for alpha = 0 it projects on the
minimisers of f, whatever rho. Its optimality condition makes ``rho (K w - Z + U)`` a dual point,
so that a bound of the error costs one singular value decomposition.
"""

from itertools import count

import numpy as np

from sksym._linalg import one_thread
from sksym.solvers.admm_steps import first_step
from sksym.solvers.least_squares import certificate
from sksym.solvers.mixing import AndersonMixing
from sksym.solvers.solution import Solution

_RELAX = 1.6  # over-relaxation of K w
_CHECK = 25  # iterations between two computations of the gap
_ROUGHEST = 1e-3  # relative accuracy of an iterative first step, at most
_INEXACT = 1e-2  # the same relative to the residuals
_STATIONARY = 1e-14  # residuals relative to K w that are round-off: compute the gap
_ROUND_OFF = 1e-15  # and those at which nothing more can be gained


def penalised_least_squares(
    data, terms, alpha, *, tol=1e-6, max_iter=10_000, start=None, callback=None
):
    """Minimise ``f(w) + alpha sum_t norm_t(K_t w)``; alpha = 0: the limit from above.

    Parameters
    ----------
    data : LeastSquares
    terms : list of Term
    alpha : float
    tol : float
        Duality gap at which to stop, relative to the objective above least squares.
    max_iter : int
    start : Solution, default=None
        Of a similar problem with the same terms.
    callback : callable, default=None
        ``callback(n_iter, objective, gap)`` whenever the gap has been computed.

    Returns
    -------
    Solution
        Its `objective` is that above least squares, for alpha = 0 the sum of the norms. Where
        `tol` was not reached, its gap says so.
    """
    axes, _, w_ls = data.parts(alpha)
    determined = alpha == 0 and axes.shape[1] == len(axes)
    if determined or not any(term.varies(w_ls) for term in terms):
        # Nothing is left to choose: least squares is the solution.
        penalty = float(sum(term.penalty.value(term(w_ls)) for term in terms))
        dual = [np.zeros(term.shape) for term in terms]
        return Solution(w_ls, penalty, 0.0, 0, dual)
    with one_thread():
        return _Iteration(data, terms, alpha, start).run(tol, max_iter, callback)


class _Iteration:
    """State of one solve; `Z` and `U` hold one matrix for each term."""

    def __init__(self, data, terms, alpha, start):
        self.data = data
        self.terms = terms
        self.alpha = alpha
        self.w_ls = data.parts(alpha)[2]
        self.step = first_step(data, terms, alpha)
        self.prox = [term.penalty.tracking_prox() for term in terms]
        self.mixing = AndersonMixing()
        if start is not None and start.state:
            Z, dual, self.rho = start.state
            self.Z = list(Z)
            self.U = [Y / self.rho for Y in dual]
        else:
            self.Z = [term(self.w_ls) for term in terms]
            self.U = [np.zeros(term.shape) for term in terms]
            # One singular value of K w on average.
            size = sum(np.linalg.norm(Z) / np.sqrt(min(Z.shape)) for Z in self.Z)
            self.rho = 1.0 / size
        self.step.prepare(self.rho)
        if start is None:
            w = self._minimise_over_w()
            self.Z = [term(w) for term in terms]

    def run(self, tol, max_iter, callback):
        """Iterate until the gap is small, and return a `Solution`."""
        next_check = _CHECK
        next_balance = 10
        accuracy = _ROUGHEST
        for n_iter in count(1):
            primal, change, size = self._advance(accuracy)
            residual = max(primal, change)
            last = n_iter >= max_iter
            if n_iter >= next_check or last or residual <= _STATIONARY * size:
                solution = self._certified(n_iter)
                relative_gap = solution.relative_gap
                if callback is not None:
                    callback(n_iter, solution.objective, solution.gap)
                if relative_gap <= tol or last or residual <= _ROUND_OFF * size:
                    return solution
                # The gap falls geometrically: compute it again when it may be small enough.
                wait = _CHECK * np.log10(relative_gap / tol) / 2
                next_check = n_iter + int(np.clip(wait, 10, 4 * _CHECK))
            if n_iter >= next_balance:
                wait = 10
                if self._balance(primal, change):
                    # Ever less often: every change of rho begins anew.
                    wait = max(10, n_iter // 2)
                next_balance = n_iter + wait
            # As accurate as the iteration has come: rougher steps would keep it where it is.
            accuracy = float(np.clip(_INEXACT * residual / (size or 1.0), 1e-12, _ROUGHEST))

    def _certified(self, n_iter):
        """Return the present point as a `Solution`."""
        w = self._minimise_over_w(accuracy=1e-12)
        terms = zip(self.terms, self.Z, self.U, strict=True)
        dual = [self.rho * (term(w) - Z + U) for term, Z, U in terms]
        objective, gap, dual = certificate(self.data, self.terms, self.alpha, w, dual)
        state = (self.Z, [self.rho * U for U in self.U], self.rho)
        return Solution(w, objective, gap, n_iter, dual, state)

    def _minimise_over_w(self, accuracy=1e-7):
        """Do the first step: w (q, k)."""
        b = sum(term.adjoint(Z - U) for term, Z, U in zip(self.terms, self.Z, self.U, strict=True))
        return self.step(b.reshape(self.w_ls.shape), accuracy)

    def _advance(self, accuracy):
        """Do one iteration; return the sizes of K w - Z, of the change of Z, and of K w."""
        w = self._minimise_over_w(accuracy)
        K_w = [term(w) for term in self.terms]
        before = [Z + U for Z, U in zip(self.Z, self.U, strict=True)]
        after = [
            _RELAX * image + (1 - _RELAX) * Z + U
            for image, Z, U in zip(K_w, self.Z, self.U, strict=True)
        ]
        after = self.mixing(before, after)
        primal = change = size = 0.0
        for t, previous in enumerate(self.Z):
            self.Z[t] = self.prox[t](after[t], 1.0 / self.rho)
            self.U[t] = after[t] - self.Z[t]
            primal += np.sum((K_w[t] - self.Z[t]) ** 2)
            change += np.sum((self.Z[t] - previous) ** 2)
            size += np.sum(K_w[t] ** 2)
        return np.sqrt([primal, change, size])

    def _balance(self, primal, change):
        """Keep the residuals of both kinds alike, relative to Z and U; say if rho was changed."""
        relative_primal = np.clip(primal / _norm(self.Z), 1e-100, 1e100)
        relative_change = np.clip(change / _norm(self.U), 1e-100, 1e100)
        ratio = relative_primal / relative_change
        if 0.1 < ratio < 10.0:
            return False
        rho = self.rho * float(np.clip(np.sqrt(ratio), 0.2, 5.0))
        self.U = [U * (self.rho / rho) for U in self.U]
        self.rho = rho
        self.mixing = AndersonMixing()
        self.step.prepare(rho)
        return True


def _norm(matrices):
    """Return the norm of some matrices together, positive."""
    return max(np.sqrt(sum(np.sum(A**2) for A in matrices)), 1e-300)
