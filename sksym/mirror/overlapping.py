"""Mirrors that share coefficients and are not independent: overlapping groups, graphs with cycles.

The alternating direction method of `sksym.solvers` solves the sum of norms as it is. The
constraints that it finds are then written onto the coefficients, which are certified anew. The same
terms go to the reference through cvxpy.
"""

from dataclasses import replace
from functools import cached_property

import numpy as np
from scipy import sparse

from sksym.mirror.coordinates import Constraints
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
_ROUND_OFF = 16 * _EPS  # of a component, relative to the sizes of operator and coefficients
NEGLIGIBLE = 1e-7  # lengths, relative to the largest, that an interior point does not bring to zero
_WARM = 200  # iterations granted to a start from another problem
_TRIES = 4  # accuracies, each a tenth of the one before, until the written coefficients suffice


class Overlapping:
    """The sum of the norms by alternating directions.

    Attributes
    ----------
    problem : MirrorProblem
    data : LeastSquares
    unexplained : float
        Sum of squares of Y that compressing the rows has left out.
    """

    def __init__(self, problem):
        self.problem = problem
        X, Y, self.unexplained = problem.data.reduced
        self.data = LeastSquares(X, Y)

    @cached_property
    def _least_loss(self):
        """The loss of least squares, from which the solver measures its objective."""
        _, _, w_ls = self.data.parts(1.0)
        fitted = self.data.R @ w_ls.T
        residual = self.data.Y - fitted
        return 0.5 * np.vdot(residual, residual)

    def terms(self, factors=1.0):
        """Return the penalty as terms of the flat coefficients (q, p)."""
        q = self.data.Y.shape[1]
        return penalty_terms(self.problem.operators, q, factors)

    def largest_alpha(self):
        """Return an alpha from which on every mirror holds; a smaller one may suffice."""
        largest = largest_alpha(self.data, self.terms())
        return largest / self.problem.data.total_weight

    def start_from(self, W):
        """Return None: coefficients do not determine the dual variables."""
        return None

    def solve(self, alpha, start=None, factors=1.0, spent=0):
        """Return the minimiser; `spent` iterations of another method count as well."""
        problem = self.problem
        strength = alpha * problem.data.total_weight
        terms = self.terms(factors)
        goal = max(problem.tol, _EPS)
        n_iter = spent
        for _ in range(_TRIES):
            limit = problem.max_iter - n_iter
            if start is not None:
                limit = min(limit, _WARM)
            solution = penalised_least_squares(
                self.data, terms, strength, tol=goal, max_iter=limit, start=start
            )
            n_iter += solution.n_iter
            fit = self._with_constraints(solution, terms, strength)
            if fit.gap <= problem.tol * fit.objective or n_iter >= problem.max_iter:
                break
            if start is not None and solution.relative_gap > goal:
                # A start far from the solution may slow the iteration down: begin anew.
                start = None
            else:
                start = solution
                goal /= 10
        return replace(fit, n_iter=n_iter)

    def improve(self, fit, alpha):
        """Return the better of a fit that is not converged and of a new one."""
        other = self.solve(alpha, spent=fit.n_iter)
        best = other if other.gap < fit.gap else fit
        return replace(best, n_iter=other.n_iter, state=fit.state)

    def _with_constraints(self, solution, terms, strength):
        """Write as many constraints as the accuracy of the solution allows."""
        tol = max(self.problem.tol, solution.relative_gap)
        for negligible in (1e-3, 1e-5, NEGLIGIBLE, 0.0):
            fit = self.written(solution, terms, strength, negligible)
            if fit.gap <= tol * fit.objective:
                break
        return fit

    def written(self, solution, terms, strength, negligible=NEGLIGIBLE):
        """Return the `MirrorFit` of a solution, with its constraints written.

        Components that are `negligible` relative to the largest count as zero.
        """
        problem = self.problem
        operators = problem.operators
        if solution.state:
            components = solution.state[0]
        else:
            components = [term(solution.coef) for term in terms]
        size_of_coef = np.linalg.norm(solution.coef)
        active = np.zeros(len(operators.sizes), bool)
        for size, Z, term in zip(np.unique(operators.sizes), components, terms, strict=False):
            length = np.linalg.norm(Z, axis=1)
            size_of_operator = np.linalg.norm(term.K.data)
            round_off = _ROUND_OFF * size_of_operator * size_of_coef
            threshold = max(negligible * length.max(), round_off)
            active[operators.sizes == size] = length > threshold
        constraints = Constraints(operators.rows_of(~active))
        W = constraints.write(solution.coef.T.copy())
        residual = self.data.Y - self.data.R @ W
        loss = 0.5 * np.vdot(residual, residual)
        coef = W.T
        penalty = sum(term.penalty.value(term(coef)) for term in terms)
        objective = loss + strength * penalty
        # The solver's lower bound of the minimum bounds the error of any other point too.
        excess = max(solution.objective - solution.gap, 0.0)
        lower_bound = self._least_loss + excess
        gap = max(objective - lower_bound, 8 * _EPS * objective)
        objective += 0.5 * self.unexplained
        lengths = operators.lengths(W)
        lengths[~active] = 0.0
        return problem.finish(W, lengths, objective, gap, solution.n_iter, solution)


class TermsByCvxpy(Overlapping):
    """The same problem by an interior-point method: slow, and independent."""

    def solve(self, alpha, start=None, factors=1.0):
        """Return the minimiser."""
        strength = alpha * self.problem.data.total_weight
        terms = self.terms(factors)
        solution = solve_with_cvxpy(self.data, terms, strength)
        return self.written(solution, terms, strength)


def penalty_terms(operators, n_outputs, factors=1.0):
    """Return the penalty as norms of linear maps of the flat coefficients (q, p).

    Mirrors of one size make one term, whose matrix has a row for each mirror; the nuclear norm
    makes the last term.
    """
    q = n_outputs
    m = len(operators.sizes)
    p = operators.K.shape[1]
    weights = np.broadcast_to(factors * operators.weights, m)
    terms = []
    for size in np.unique(operators.sizes):
        chosen = operators.sizes == size
        count = int(chosen.sum())
        K = sparse.coo_array(operators.rows_of(chosen))
        scale = np.repeat(weights[chosen], size)
        # Row i of K becomes q rows, one for each output, side by side in the matrix of the term.
        outputs = np.arange(q)[:, None]
        row = (K.row * q + outputs).ravel()
        column = (K.col + p * outputs).ravel()
        entries = np.tile(K.data * scale[K.row], q)
        shape = (count, int(size) * q)
        n_rows = np.prod(shape)
        stacked = sparse.csr_array((entries, (row, column)), shape=(n_rows, p * q))
        terms.append(Term(stacked, shape, GroupNorm()))
    if operators.nuclear:
        identity = sparse.eye_array(p * q, format="csr")
        weighted = sparse.csr_array(identity * operators.nuclear)
        terms.append(Term(weighted, (q, p), NuclearNorm()))
    return terms
