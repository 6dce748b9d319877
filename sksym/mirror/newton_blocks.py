"""Mirrors that are blocks in suitable coordinates: working sets and Newton's method, or cvxpy."""

import numpy as np
from scipy import sparse

from sksym._linalg import one_thread
from sksym.mirror.centred_data import block_design
from sksym.mirror.coordinates import Constraints
from sksym.mirror.overlapping import NEGLIGIBLE, Overlapping
from sksym.solvers import (
    Design,
    GroupNorm,
    LeastSquares,
    Term,
    block_least_squares,
    duality_gap,
    solve_with_cvxpy,
)

_EPS = np.finfo(float).eps
_ROUND_OFF = 64 * _EPS  # of a correlation, relative to the sizes of what is correlated


class NewtonBlocks:
    """Working sets of blocks, each solved by a semismooth Newton method.

    Attributes
    ----------
    problem : MirrorProblem
    coordinates : SelectedColumns, ChainSteps, SquareSystem or LatentComponents
    blocks : BlockDesign
    design : Design
        What the solver needs of `blocks`.
    may_fall_back : bool
        Whether alternating directions may go on where Newton's method stalls.
    """

    def __init__(self, problem, blocks=None):
        self.problem = problem
        self.coordinates = problem.coordinates
        if blocks is None:
            blocks = block_design(problem.data, self.coordinates)
        self.blocks = blocks
        Q = blocks.Q if blocks.Q.size else None
        self.design = Design(blocks.X, blocks.columns, Q)
        # Chains of many columns are ill-conditioned in their own coordinates.
        mixes_columns = self.coordinates.columns is None
        is_free = problem.overlap == "analysis" and problem.solver == "auto"
        self.may_fall_back = mixes_columns and is_free

    def norm(self, alpha, factors=1.0):
        """Return the penalty of the components, as a sum over rows."""
        problem = self.problem
        total_alpha = problem.data.total_weight * alpha
        return problem.operators.norm(total_alpha * factors, problem.positive)

    def largest_alpha(self):
        """Return the dual norm of the gradient where every mirror holds."""
        correlation = self.design.correlate(self.blocks.target)
        # Where nothing is left to fit, round-off would make an alpha that is not zero.
        size_of_data = self.design.lengths * np.linalg.norm(self.blocks.Y)
        lengths = np.linalg.norm(correlation, axis=1)
        correlation[lengths <= _ROUND_OFF * size_of_data] = 0.0
        return self.norm(1.0).polar(correlation)

    def start_from(self, W):
        """Return the components (t, q) of coefficients (p, q), None where they are many."""
        return self.coordinates.components(W)

    def solve(self, alpha, start=None, factors=1.0, spent=0):
        """Return the minimiser; `spent` iterations of another method count as well."""
        problem = self.problem
        norm = self.norm(alpha, factors)
        with one_thread():
            solution = block_least_squares(
                self.design,
                self.blocks.target,
                norm,
                tol=problem.tol,
                max_iter=problem.max_iter - spent,
                start=start,
            )
        n_iter = spent + solution.n_iter
        fit = self.fit_of(solution.coef, norm, solution.objective, solution.gap, n_iter)
        # The tangents of a concave penalty, with factors, are not worth another method.
        may_fall_back = self.may_fall_back and np.ndim(factors) == 0
        if fit.converged or not may_fall_back or n_iter >= problem.max_iter:
            return fit
        return Overlapping(problem).improve(fit, alpha)

    def fit_of(self, x, norm, objective, gap, n_iter):
        """Return the `MirrorFit` of components x (t, q)."""
        lengths = norm.lengths(x)
        z = self.blocks.free_coefficients(x)
        W = self.coordinates.coefficients(x, z)
        if self.coordinates.ties:
            rows = self.problem.operators.rows_of(lengths == 0)
            W = Constraints(rows).write(W)
        objective = objective + 0.5 * self.blocks.unexplained
        return self.problem.finish(W, lengths, objective, gap, n_iter, x)


class BlocksByCvxpy(NewtonBlocks):
    """The same problem by an interior-point method: slow, and independent."""

    def solve(self, alpha, start=None, factors=1.0):
        """Return the minimiser."""
        norm = self.norm(alpha, factors)
        target = self.blocks.target
        t = self.design.shape[1]
        q = target.shape[1]
        T = self.design.rows(np.arange(t))
        # cvxpy takes flat coefficients (q, t), of which the norm reads blocks of (t, q).
        place = np.arange(t * q).reshape(q, t)
        transpose = place.T.ravel()
        K = sparse.eye_array(t * q, format="csr")[transpose]
        unsigned = GroupNorm(norm.alpha, norm.sizes)
        term = Term(K, (t, q), unsigned)
        data = LeastSquares(T.T, target)
        solution = solve_with_cvxpy(data, [term], 1.0, positive=self.problem.positive)
        x = solution.coef.T.copy()
        # An interior point has no zeros; with a polar of at most one all components are zero.
        negligible = NEGLIGIBLE * np.abs(x).max(initial=0)
        if norm.polar(T @ target) <= 1:
            negligible = np.inf
        is_zero = norm.lengths(x) <= negligible
        x[norm.per_row(is_zero)] = 0.0
        residual = target - T.T @ x
        correlation = T @ residual
        penalty = norm.value(x)
        gap, objective, _ = duality_gap(norm, x, penalty, residual, correlation, target)
        gap = max(gap, _EPS * objective)
        return self.fit_of(x, norm, objective, gap, solution.n_iter)
