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
from sksym.solvers.terms import Penalty

_RELAX = 1.6  # over-relaxation of K w
_CHECK = 25  # iterations between two computations of the gap
_FIRST_CHECK = 6  # iterations from a start that was checked
_SOONEST = 4  # iterations between two computations of the gap from there
_BALANCE = 10  # iterations between two looks at rho
_ROUGHEST = 1e-3  # relative accuracy of an iterative first step, at most
_FINEST = 1e-12  # and at least
_INEXACT = 1e-2  # the same relative to the residuals
_STATIONARY = 1e-14  # residuals relative to K w that are round-off: compute the gap
_ROUND_OFF = 1e-15  # and those at which nothing more can be gained
_TINY = 1e-300


def penalised_least_squares(
    data,
    terms,
    alpha,
    *,
    tol=1e-6,
    max_iter=10_000,
    start=None,
    callback=None,
    check_start=False,
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
    check_start : bool
        Whether the gap of `start` is computed first, and soon again. It is the result where it is
        accurate enough.

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
        dual = [np.zeros(term.shape) for term in terms]
        return Solution(
            coef=w_ls,
            objective=Penalty(terms).value(w_ls),
            gap=0.0,
            n_iter=0,
            dual=dual,
        )
    with one_thread():
        iteration = _Iteration(data, terms, alpha, start)
        if check_start and start is not None and start.state:
            solution = iteration.certified(0)
            if solution.relative_gap <= tol:
                return solution
            return iteration.run(tol, max_iter, callback, _FIRST_CHECK, _SOONEST)
        return iteration.run(tol, max_iter, callback)


class _Iteration:
    """State of one solve.

    Attributes
    ----------
    Z, U : list of ndarray
        One matrix for each term.
    rho : float
    """

    def __init__(self, data, terms, alpha, start):
        self.data = data
        self.terms = terms
        self.penalty = Penalty(terms)
        self.alpha = alpha
        self.w_ls = data.parts(alpha)[2]
        self.step = first_step(data, terms, alpha)
        self.prox = [term.penalty.tracking_prox() for term in terms]
        self.mixing = AndersonMixing()
        if start is not None and start.state:
            Z, dual, rho = start.state
            self.Z = list(Z)
            self.U = [Y / rho for Y in dual]
            self.rho = rho
        else:
            self._start_at_least_squares()
        self.step.prepare(self.rho)
        if start is None:
            self.Z = self.penalty.images(self._minimise_over_w())

    def _start_at_least_squares(self):
        self.Z = self.penalty.images(self.w_ls)
        self.U = [np.zeros(Z.shape) for Z in self.Z]
        # A step of one singular value of K w, on average.
        sizes = [np.linalg.norm(Z) / np.sqrt(min(Z.shape)) for Z in self.Z]
        self.rho = 1.0 / sum(sizes)

    def run(self, tol, max_iter, callback, first_check=_CHECK, soonest=10):
        """Iterate until the gap is small, and return a `Solution`.

        The gap is computed after `first_check` iterations, and then `soonest` apart at least.
        """
        next_check = first_check
        next_balance = _BALANCE
        accuracy = _ROUGHEST
        for n_iter in count(1):
            primal, change, size = self._advance(accuracy)
            residual = max(primal, change)
            last = n_iter >= max_iter
            if n_iter >= next_check or last or residual <= _STATIONARY * size:
                solution = self.certified(n_iter)
                if callback is not None:
                    callback(n_iter, solution.objective, solution.gap)
                relative_gap = solution.relative_gap
                if relative_gap <= tol or last or residual <= _ROUND_OFF * size:
                    return solution
                # The gap falls geometrically: compute it again when it may be small enough.
                wait = _CHECK * np.log10(relative_gap / tol) / 2
                next_check = n_iter + int(np.clip(wait, soonest, 4 * _CHECK))
            if n_iter >= next_balance:
                next_balance = n_iter + _BALANCE
                if self._balance(primal, change):
                    # Ever less often: every change of rho begins anew.
                    next_balance = n_iter + max(_BALANCE, n_iter // 2)
            # As accurate as the iteration has come: rougher steps would keep it where it is.
            accuracy = _INEXACT * residual / (size or 1.0)
            accuracy = float(np.clip(accuracy, _FINEST, _ROUGHEST))

    def _minimise_over_w(self, accuracy=1e-7):
        """Do the first step: return w (q, k)."""
        differences = []
        for Z, U in zip(self.Z, self.U, strict=True):
            differences.append(Z - U)
        b = self.penalty.adjoint(differences)
        b = b.reshape(self.w_ls.shape)
        return self.step(b, accuracy)

    def certified(self, n_iter):
        """Return the present point as a `Solution`."""
        w = self._minimise_over_w(_FINEST)
        images = self.penalty.images(w)
        dual = []
        for K_w, Z, U in zip(images, self.Z, self.U, strict=True):
            multiplier = K_w - Z + U
            dual.append(self.rho * multiplier)
        objective, gap, dual = certificate(
            self.data,
            self.terms,
            self.alpha,
            w,
            dual,
        )
        multipliers = [self.rho * U for U in self.U]
        return Solution(
            coef=w,
            objective=objective,
            gap=gap,
            n_iter=n_iter,
            dual=dual,
            state=(self.Z, multipliers, self.rho),
        )

    def _advance(self, accuracy):
        """Do one iteration; return the sizes of K w - Z, of the change of Z, and of K w."""
        w = self._minimise_over_w(accuracy)
        images = self.penalty.images(w)
        before = []
        after = []
        for K_w, Z, U in zip(images, self.Z, self.U, strict=True):
            relaxed = _RELAX * K_w + (1 - _RELAX) * Z
            before.append(Z + U)
            after.append(relaxed + U)
        after = self.mixing(before, after)
        previous = self.Z
        self.Z = []
        self.U = []
        for prox, V in zip(self.prox, after, strict=True):
            Z = prox(V, 1.0 / self.rho)
            self.Z.append(Z)
            self.U.append(V - Z)
        primal = _distance(images, self.Z)
        change = _distance(self.Z, previous)
        return primal, change, _norm(images)

    def _balance(self, primal, change):
        """Keep the residuals of both kinds alike, relative to Z and U; say if rho was changed."""
        # Beside Z = 0 or U = 0 any residual is large: no quotient overflows.
        relative_primal = primal / max(_norm(self.Z), 1e-100 * primal, _TINY)
        relative_change = change / max(_norm(self.U), 1e-100 * change, _TINY)
        ratio = np.clip(relative_primal, 1e-100, 1e100)
        ratio /= np.clip(relative_change, 1e-100, 1e100)
        if 0.1 < ratio < 10.0:
            return False
        factor = float(np.clip(np.sqrt(ratio), 0.2, 5.0))
        self.rho *= factor
        self.U = [U / factor for U in self.U]
        self.mixing = AndersonMixing()
        self.step.prepare(self.rho)
        return True


def _norm(matrices):
    """Return the norm of some matrices together."""
    square = 0.0
    for Z in matrices:
        square += np.vdot(Z, Z)
    return np.sqrt(square)


def _distance(matrices, others):
    """Return the distance of two lists of matrices."""
    square = 0.0
    for Z, other in zip(matrices, others, strict=True):
        difference = Z - other
        square += np.vdot(difference, difference)
    return np.sqrt(square)
