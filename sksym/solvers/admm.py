"""The alternating direction method of multipliers, for least squares with convex penalties.

With ``Z_t`` for ``K_t w``, scaled multipliers ``U_t`` and step ``1/rho``::

    w <- argmin f(w) / (alpha rho) + 1/2 sum_t |K_t w - Z_t + U_t|^2
    Z_t <- prox of penalty_t / rho at K_t w + U_t,     U_t <- K_t w + U_t - Z_t

The first step is one product with a matrix that is formed once; for alpha = 0 it projects on the
minimisers of f, whatever rho. Its optimality condition makes ``rho (K w - Z + U)`` a dual point,
so that a bound of the error costs one singular value decomposition.
"""

from itertools import count

import numpy as np

from sksym._linalg import one_thread, require_memory
from sksym.penalties import NuclearNorm
from sksym.solvers.problem import Solution, Term, certificate, inverse_with_axes

__all__ = ["Term", "penalised_least_squares"]

_RELAX = 1.6
_DENSE = 2500  # unknowns up to which the inverse of the first step is formed
_CHECK = 25  # iterations between two looks at the gap
_SPARE = 10  # singular vectors followed beyond the rank
_ROUGHEST = 1e-3  # relative accuracy of an iterative first step, at most
_INEXACT = 1e-2  # the same relative to the residuals
_MEMORY = 7  # steps that are combined
_FULL = 50  # iterations between two full decompositions


def penalised_least_squares(
    data, terms, alpha, *, tol=1e-6, max_iter=10_000, start=None, callback=None
):
    """Minimise ``f(w) + alpha sum_t penalty_t(K_t w)``; alpha = 0: the limit from above.

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
        Also where `tol` was not reached: look at its `gap`.
    """
    axes, _, w_ls = data.parts(alpha)
    determined = alpha == 0 and axes.shape[1] == len(axes)
    if determined or not any(term.sees(w_ls) for term in terms):  # nothing left to choose
        none = [np.zeros(term.shape) for term in terms]
        penalty = sum(term.penalty.value(term(w_ls)) for term in terms)
        return Solution(w_ls, 0, 0.0, none, float(penalty))
    with one_thread():
        return _Iteration(data, terms, alpha, start).run(tol, max_iter, callback)


class _Iteration:
    """State of one solve; `Z` and `U` hold one matrix for each term."""

    def __init__(self, data, terms, alpha, start):
        self.data, self.terms, self.alpha = data, terms, alpha
        self.axes, self.curvature, self.w_ls = data.parts(alpha)
        self.step = _first_step(self)
        self.shrink = [
            _WarmShrinkage(term.penalty.alpha, k)
            if isinstance(term.penalty, NuclearNorm)
            else term.penalty.prox
            for k, term in enumerate(terms)
        ]
        if start is not None and start.state:
            Z, dual, self.rho = start.state
            self.Z, self.U = list(Z), [Y / self.rho for Y in dual]
        else:
            at_ls = [term(self.w_ls) for term in terms]
            size = sum(np.linalg.norm(Z) / np.sqrt(min(Z.shape)) for Z in at_ls)
            self.rho = 1.0 / size
            self.Z, self.U = at_ls, [np.zeros(term.shape) for term in terms]
        self.mixing = _Mixing()
        self.step.prepare(self.rho)
        if start is None:
            w = self._solve()
            self.Z = [term(w) for term in terms]

    def _solve(self, accuracy=1e-7):
        b = sum(term.adjoint(Z - U) for term, Z, U in zip(self.terms, self.Z, self.U, strict=True))
        return self.step(b.reshape(self.w_ls.shape), accuracy)

    def run(self, tol, max_iter, callback):
        due, turn, accuracy = _CHECK, 10, _ROUGHEST
        for n_iter in count(1):
            primal, change, size = self._advance(accuracy)
            worst = max(primal, change)
            if n_iter >= due or n_iter >= max_iter or worst <= 1e-14 * size:
                w = self._solve(accuracy=1e-12)
                dual = self._dual(w)
                objective, gap, feasible = certificate(self.data, self.terms, self.alpha, w, dual)
                gap = gap / (objective or 1.0)
                if callback is not None:
                    callback(n_iter, objective, gap)
                if gap <= tol or n_iter >= max_iter or worst <= 1e-15 * size:
                    state = (self.Z, [self.rho * U for U in self.U], self.rho)
                    return Solution(w, n_iter, float(gap), feasible, float(objective), state)
                # The gap falls geometrically: look again when it may be there.
                due = n_iter + int(np.clip(_CHECK * np.log10(gap / tol) / 2, 10, 4 * _CHECK))
            if n_iter >= turn:  # ever less often: every change of rho begins anew
                turn = n_iter + max(10, n_iter // 2) if self._balance(primal, change) else turn + 10
            # As accurate as the iteration has come: rougher steps would keep it where it is.
            accuracy = float(np.clip(_INEXACT * worst / (size or 1.0), 1e-12, _ROUGHEST))

    def _dual(self, w):
        parts = zip(self.terms, self.Z, self.U, strict=True)
        return [self.rho * (term(w) - Z + U) for term, Z, U in parts]

    def _advance(self, accuracy):
        """One iteration; sizes of the primal residual, of the change of Z, and of Z."""
        w = self._solve(accuracy)
        now = [term(w) for term in self.terms]
        before = [Z + U for Z, U in zip(self.Z, self.U, strict=True)]
        after = [
            _RELAX * K_w + (1 - _RELAX) * Z + U
            for K_w, Z, U in zip(now, self.Z, self.U, strict=True)
        ]
        moved = self.mixing(before, after)
        primal = change = size = 0.0
        for t, old in enumerate(self.Z):
            self.Z[t] = self.shrink[t](moved[t], 1.0 / self.rho)
            self.U[t] = moved[t] - self.Z[t]
            primal += np.sum((now[t] - self.Z[t]) ** 2)
            change += np.sum((self.Z[t] - old) ** 2)
            size += np.sum(now[t] ** 2)
        return np.sqrt([primal, change, size])

    def _balance(self, primal, change):
        """Keep the residuals of both kinds alike, relative to Z and U; whether rho was changed."""
        sizes = (np.sqrt(sum(np.sum(A**2) for A in part)) for part in (self.Z, self.U))
        at_Z, at_U = (max(size, 1e-300) for size in sizes)
        ratio = np.clip(primal / at_Z, 1e-100, 1e100) / np.clip(change / at_U, 1e-100, 1e100)
        if 0.1 < ratio < 10.0:
            return False
        self._set_rho(self.rho * float(np.clip(np.sqrt(ratio), 0.2, 5.0)))
        self.step.prepare(self.rho)
        return True

    def _set_rho(self, rho):
        self.mixing = _Mixing()
        self.U = [U * (self.rho / rho) for U in self.U]
        self.rho = rho


class _Mixing:
    """Anderson's extrapolation of the fixed-point iteration for ``Z + U``, with a safeguard.

    Once ranks have settled the iteration is nearly linear, and the combination of the last few
    steps with the least residual is far ahead of it. The residual of plain steps never grows: an
    extrapolated one that makes it grow is taken back.
    """

    def __init__(self):
        self.count, self.plain, self.size = 0, None, np.inf

    def __call__(self, before, after):
        shapes = [one.shape for one in after]
        value = np.concatenate([one.ravel() for one in after])
        residual = value - np.concatenate([one.ravel() for one in before])
        size = np.linalg.norm(residual)
        if self.plain is not None and size > self.size:
            after, self.plain, self.count = self.plain, None, 0
            return after
        self.size, self.plain = size, None
        share = self._remember(value, residual)
        if share is None:
            return after
        self.plain = after
        parts = np.split(share @ self.values, np.cumsum([m * n for m, n in shapes])[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def _remember(self, value, residual):
        """Shares of the steps remembered, of sum one, in the least residual; None: too few."""
        if not self.count:
            self.values, self.residuals = np.zeros((2, _MEMORY, len(value)))
            self.products = np.eye(_MEMORY)
        now = self.count % _MEMORY
        self.count += 1
        self.values[now], self.residuals[now] = value, residual
        self.products[now] = self.products[:, now] = self.residuals @ residual
        n = min(self.count, _MEMORY)
        largest = np.diag(self.products)[:n].max()
        if n < 3 or largest <= np.finfo(float).tiny:
            return None
        gram = self.products[:n, :n] / largest + 1e-10 * np.eye(n)
        share = np.zeros(_MEMORY)
        share[:n] = np.linalg.solve(gram, np.ones(n))
        return share / share.sum()


def _first_step(problem):
    """The cheapest exact first step that the sizes allow."""
    rank, p = problem.axes.shape[1], problem.w_ls.shape[1]
    gram = _diagonal_gram(problem.terms) if 2 * rank <= p else None
    if gram is not None and gram.min() > 0:
        return _DiagonalStep(problem, gram.reshape(problem.w_ls.shape))
    return (_DenseStep if problem.w_ls.size <= _DENSE else _IterativeStep)(problem)


def _diagonal_gram(terms):
    """Diagonal of the sum of ``K^T K``, None where there is more."""
    if any(term.axes is not None or np.diff(term.K.indptr).max(initial=0) > 1 for term in terms):
        return None
    return sum(np.bincount(t.K.indices, t.K.data**2, minlength=t.K.shape[1]) for t in terms)


class _DiagonalStep:
    """The first step where every row of K sees one unknown, and the data few directions."""

    def __init__(self, problem, gram):
        self.problem, self.gram = problem, gram

    def prepare(self, rho):
        one = self.problem
        limit = one.curvature is None
        bend = np.zeros(one.axes.shape[1]) if limit else one.alpha * rho / one.curvature
        self.factors = []
        for gram in self.gram:
            thin = one.axes / gram[:, None]
            self.factors.append((thin, np.linalg.inv(one.axes.T @ thin + np.diag(bend))))

    def __call__(self, b, accuracy):
        one = self.problem
        moved = (b - self.gram * one.w_ls) / self.gram
        inside = [
            thin @ (inverse @ (one.axes.T @ row))
            for row, (thin, inverse) in zip(moved, self.factors, strict=True)
        ]
        return one.w_ls + moved - np.array(inside)


class _DenseStep:
    """The first step by an inverse that is formed once for every rho."""

    def __init__(self, problem):
        self.problem = problem
        N = problem.w_ls.size
        require_memory(
            48.0 * N**2,
            f"Promotion with {N:,} coefficients",
            "Reduce the degree of the library, or enforce more symmetry.",
        )
        self.gram = sum(term.gram for term in problem.terms)
        self.inverse = None

    def prepare(self, rho):
        one = self.problem
        if self.inverse is not None and one.curvature is None:
            return  # in the limit nothing depends on rho
        curvature = None if one.curvature is None else one.curvature / (one.alpha * rho)
        self.inverse = inverse_with_axes(self.gram, one.axes, curvature, len(one.w_ls))
        self.at_zero = one.w_ls.ravel() - self.inverse @ (self.gram @ one.w_ls.ravel())

    def __call__(self, b, accuracy):
        return (self.inverse @ b.ravel() + self.at_zero).reshape(b.shape)


class _IterativeStep:
    """The first step by conjugate gradients, preconditioned along the axes of the data.

    For many unknowns; memory O(nonzeros of K). Outputs share the axes of the data.
    """

    def __init__(self, problem):
        self.problem, self.x = problem, np.zeros_like(problem.w_ls)

    def prepare(self, rho):
        one = self.problem
        N = one.w_ls.size
        unit = sum(abs(term.K).power(2).sum() for term in one.terms) / N
        self.unit = unit or 1.0
        if one.curvature is None:
            self.d, self.shift = None, np.full(one.axes.shape[1], -1 / self.unit)
        else:
            self.d = one.curvature / (one.alpha * rho)
            self.shift = 1 / (self.d + self.unit) - 1 / self.unit

    def _gram(self, x):
        return sum(term.adjoint(term(x)) for term in self.problem.terms).reshape(x.shape)

    def _free(self, x):
        """What of x the data leave free in the limit; round-off must not build up beside it."""
        axes = self.problem.axes
        return x if self.d is not None else x - (x @ axes) @ axes.T

    def _curved(self, x):
        axes = self.problem.axes
        moved = self._gram(x)
        return self._free(moved) if self.d is None else moved + ((x @ axes) * self.d) @ axes.T

    def _precondition(self, r):
        axes = self.problem.axes
        return r / self.unit + ((r @ axes) * self.shift) @ axes.T

    def __call__(self, b, accuracy):
        x, target = self.x, self._free(b - self._gram(self.problem.w_ls))
        r = target - self._curved(x)
        z = self._precondition(r)
        p, rz = z, np.vdot(r, z)
        size = np.sqrt(np.vdot(target, self._precondition(target))) or 1.0
        for _ in range(500):
            if not np.sqrt(max(rz, 0)) > accuracy * size:
                break
            moved = self._curved(p)
            step = rz / np.vdot(p, moved)
            x, r = x + step * p, r - step * moved
            z = self._precondition(r)
            rz, before = np.vdot(r, z), rz
            p = z + (rz / before) * p
        self.x = x
        return x + self.problem.w_ls


class _WarmShrinkage:
    """Shrinks singular values, following the dominant singular subspace from step to step.

    The rank changes little between iterations: one step of block iteration on the last rank and a
    few more vectors finds it, and a full decomposition now and then sees what was missed.
    """

    def __init__(self, alpha, seed):
        self.alpha, self.axes, self.age = alpha, None, 0
        self.rng = np.random.default_rng(seed)

    def __call__(self, Z, step):
        if Z.shape[0] > Z.shape[1]:
            return self(Z.T, step).T
        threshold = step * self.alpha
        self.age += 1
        if self.axes is None or self.age >= _FULL or self.axes.shape[1] > 0.5 * len(Z):
            return self._from_scratch(Z, threshold)
        Q = np.linalg.qr(Z @ (Z.T @ self.axes))[0]
        inside = Q.T @ Z
        square, turn = np.linalg.eigh(inside @ inside.T)
        s = np.sqrt(np.maximum(square, 0))
        above = int((s > threshold).sum())
        if above > len(s) - _SPARE // 2:  # the subspace is too small
            return self._from_scratch(Z, threshold)
        axes = Q @ turn[:, ::-1]
        self.axes = axes[:, : above + _SPARE]
        kept, s = turn[:, ::-1][:, :above], s[::-1][:above]
        return (axes[:, :above] * (1 - threshold / s)) @ (kept.T @ inside)

    def _from_scratch(self, Z, threshold):
        square, axes = np.linalg.eigh(Z @ Z.T)
        s = np.sqrt(np.maximum(square, 0))[::-1]
        above = int((s > threshold).sum())
        self.axes, self.age = axes[:, ::-1][:, : above + _SPARE], 0
        kept = self.axes[:, :above]
        return (kept * (1 - threshold / s[:above])) @ (kept.T @ Z)
