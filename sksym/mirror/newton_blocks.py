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
        self.blocks = block_design(problem.data, self.coordinates) if blocks is None else blocks
        Q = self.blocks.Q
        self.design = Design(self.blocks.X, self.blocks.columns, Q if Q.size else None)
        # Chains of many columns are ill-conditioned in their own coordinates.
        mixes_columns = self.coordinates.columns is None
        is_free = problem.overlap == "analysis" and problem.solver == "auto"
        self.may_fall_back = mixes_columns and is_free

    def norm(self, alpha, factors=1.0):
        """Return the penalty of the components, as a sum over rows."""
        n = self.problem.data.total_weight
        return self.problem.operators.norm(n * alpha * factors, self.problem.positive)

    def largest_alpha(self):
        """Return the dual norm of the gradient where every mirror holds."""
        correlation = self.design.correlate(self.blocks.target)
        round_off = 64 * _EPS * self.design.lengths * np.linalg.norm(self.blocks.Y)
        correlation[np.linalg.norm(correlation, axis=1) <= round_off] = 0.0
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
        W = self.coordinates.coefficients(x, self.blocks.free_coefficients(x))
        if self.coordinates.ties:
            W = Constraints(self.problem.operators.rows_of(lengths == 0)).write(W)
        objective = objective + 0.5 * self.blocks.unexplained
        return self.problem.finish(W, lengths, objective, gap, n_iter, x)


class BlocksByCvxpy(NewtonBlocks):
    """The same problem by an interior-point method: slow, and independent."""

    def solve(self, alpha, start=None, factors=1.0):
        """Return the minimiser."""
        norm = self.norm(alpha, factors)
        target = self.blocks.target
        t, q = self.design.shape[1], target.shape[1]
        T = self.design.rows(np.arange(t))
        # cvxpy takes flat coefficients (q, t), of which the norm reads blocks of (t, q).
        transpose = np.arange(t * q).reshape(q, t).T.ravel()
        K = sparse.eye_array(t * q, format="csr")[transpose]
        term = Term(K, (t, q), GroupNorm(norm.alpha, norm.sizes))
        solution = solve_with_cvxpy(
            LeastSquares(T.T, target), [term], 1.0, positive=self.problem.positive
        )
        x = solution.coef.T.copy()
        # An interior point has no zeros. Exactly for a polar of one every mirror holds.
        negligible = NEGLIGIBLE * np.abs(x).max(initial=0)
        if norm.polar(T @ target) <= 1:
            negligible = np.inf
        x[norm.per_row(norm.lengths(x) <= negligible)] = 0.0
        residual = target - T.T @ x
        gap, objective, _ = duality_gap(norm, x, norm.value(x), residual, T @ residual, target)
        return self.fit_of(x, norm, objective, max(gap, _EPS * objective), solution.n_iter)
