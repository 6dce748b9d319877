"""Mirrors that share coefficients and are not independent: overlapping groups, graphs with cycles.

The alternating direction method of `sksym.solvers`, then the constraints that it found written
onto the coefficients; and the reference through cvxpy, for this and for the other structures.
"""

from dataclasses import replace
from functools import cached_property

import numpy as np
from scipy import sparse

from sksym.mirror.strategies import Blocks, Outcome
from sksym.mirror.structure import Constraints
from sksym.solvers import (
    GroupNorm,
    LeastSquares,
    NuclearNorm,
    Term,
    largest_alpha,
    penalised_least_squares,
    solve_with_cvxpy,
)

_EPS = np.finfo(float).eps
_SMALL = 1e-7  # lengths, relative to the largest, that an interior point does not bring to zero
_WARM = 200  # iterations that a start from elsewhere is given
_TRIES = 4  # accuracies, each a tenth of the one before, until the written coefficients suffice


class Analysis:
    """The sum of the norms as it stands."""

    def __init__(self, samples, rows):
        X, Y, self.rest = samples.reduced
        self.rows, self.data = rows, LeastSquares(X, Y)
        self.q = Y.shape[1]

    @cached_property
    def _least(self):
        """The loss of least squares."""
        left = self.data.Y - self.data.R @ self.data.parts(1.0)[2].T
        return 0.5 * np.vdot(left, left)

    def terms(self, factors=1.0):
        """The penalty as terms of the flat coefficients (q, p)."""
        return penalty_terms(self.rows, self.q, factors)

    def largest_alpha(self):
        """An alpha from which on every mirror holds, of the least dual point; maybe too large."""
        return largest_alpha(self.data, self.terms())

    def solve(self, alpha, tol, max_iter, start=None, factors=1.0):
        """See `strategies`."""
        terms, n_iter, goal = self.terms(factors), 0, max(tol, _EPS)
        for _ in range(_TRIES):
            left = max_iter - n_iter
            found = penalised_least_squares(
                self.data,
                terms,
                alpha,
                tol=goal,
                max_iter=left if start is None else min(left, _WARM),
                start=start,
            )
            n_iter += found.n_iter
            outcome = self._snapped(found, terms, alpha, tol)
            if outcome.gap <= tol * outcome.objective or n_iter >= max_iter:
                break
            # A start far from the solution may hold it up: then anew, else more accurately.
            lost = start is not None and found.relative_gap > goal
            start, goal = (None, goal) if lost else (found, goal / 10)
        return replace(outcome, n_iter=n_iter)

    def _snapped(self, found, terms, alpha, tol):
        """As many constraints as hold within the accuracy that was asked for."""
        for small in (1e-3, 1e-5, _SMALL, 0.0):
            outcome = self.written(found, terms, alpha, small)
            if outcome.gap <= max(tol, found.relative_gap) * outcome.objective:
                break
        return outcome

    def written(self, found, terms, alpha, small=_SMALL):
        """The outcome of a `Solution`, what is `small` beside the largest written as zero."""
        moved = found.state[0] if found.state else [term(found.coef) for term in terms]
        active = np.zeros(len(self.rows.sizes), bool)
        for size, Z, term in zip(np.unique(self.rows.sizes), moved, terms, strict=False):
            length = np.linalg.norm(Z, axis=1)
            round_off = 16 * _EPS * np.linalg.norm(term.K.data) * np.linalg.norm(found.coef)
            active[self.rows.sizes == size] = length > max(small * length.max(), round_off)
        W = Constraints(self.rows.rows_of(~active)).write(found.coef.T.copy())
        R, Y = self.data.R, self.data.Y
        left = Y - R @ W
        penalty = sum(term.penalty.value(term(W.T)) for term in terms)
        objective = 0.5 * np.vdot(left, left) + alpha * penalty
        # Both are known relative to least squares: a bound of the error of any other point follows.
        bound = self._least + max(found.objective - found.gap, 0.0)
        gap = max(objective - bound, 8 * _EPS * objective)
        whole = objective + 0.5 * self.rest
        lengths = np.where(active, self.rows.lengths(W), 0.0)
        return Outcome(W, lengths, float(whole), float(gap), found.n_iter, found)


class Reference:
    """Any structure through cvxpy: slow and independent."""

    def __init__(self, problem, samples):
        self.problem, self.largest_alpha = problem, problem.largest_alpha
        self.samples = samples

    def solve(self, alpha, tol, max_iter, start=None, factors=1.0):
        """See `strategies`."""
        problem = self.problem
        if not isinstance(problem, Blocks):
            inner = Analysis(self.samples, problem.rows)
            terms = inner.terms(factors)
            return inner.written(solve_with_cvxpy(inner.data, terms, alpha), terms, alpha)
        norm, q = problem.norm(alpha * factors), problem.target.shape[1]
        T = problem.design.rows(np.arange(problem.design.shape[1]))
        blocks = replace(problem.rows, K=sparse.eye_array(len(T), format="csr"))
        found = solve_with_cvxpy(
            LeastSquares(T.T, problem.target),
            penalty_terms(blocks, q, factors),
            alpha,
            positive=problem.positive,
        )
        x = found.coef.T.copy()
        none = norm.polar(T @ problem.target) <= 1  # exactly then every mirror holds
        small = norm.lengths(x) <= (np.inf if none else _SMALL * np.abs(x).max(initial=0))
        x[small[norm.block]] = 0.0
        share, objective = problem.certificate(x, norm, T)
        return problem.outcome(x, norm, found.n_iter, objective, max(share, _EPS))


def penalty_terms(rows, q, factors=1.0):
    """Norms of linear maps of the flat coefficients (q, p), one term for each size of mirrors."""
    m, (_, p) = len(rows.sizes), rows.K.shape
    weights = np.broadcast_to(factors * rows.weights, m)
    terms = []
    for size in np.unique(rows.sizes):
        chosen = rows.sizes == size
        K = sparse.coo_array(rows.rows_of(chosen))
        scale, count = np.repeat(weights[chosen], size), int(chosen.sum())
        outputs = np.arange(q)[:, None]
        flat = ((K.row * q + outputs).ravel(), (K.col + p * outputs).ravel())
        data = np.tile(K.data * scale[K.row], q)
        stacked = sparse.csr_array((data, flat), shape=(count * size * q, p * q))
        terms.append(Term(stacked, (count, int(size) * q), GroupNorm()))
    if rows.nuclear:
        identity = sparse.eye_array(p * q, format="csr") * rows.nuclear
        terms.append(Term(sparse.csr_array(identity), (q, p), NuclearNorm()))
    return terms
