"""One fit: which candidates to keep, from the data where they say it, else from the solution."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sksym._linalg import pivoted_echelon
from sksym.evidence import (
    CountingRule,
    FunctionSamples,
    exact_forms,
    in_units_of,
    readable,
    symmetries_of_function,
)
from sksym.promote.problem import PromotionProblem, without_dependent
from sksym.promote.reweighting import promote
from sksym.solvers import Solution

_ZERO = 1e-3  # singular value of a symmetry relative to the largest
_NOTHING = 1e-5  # and relative to the function, where all are small
_LARGEST_FIT = 4000  # coefficients up to which their covariance is formed
_GAP = 0.4  # of a singular value to the next, where the fit will judge
_ROUNDING = 1e-3  # of the entries of generators, where the fit will judge
_LEAST_ERROR = 1e-7  # of generators that are read from singular vectors
_AS_GOOD = 1.2  # residual sum of squares of a refit relative to that of the promoted fit
_ROUND_OFF = 1e-6  # residual relative to y that counts as none


@dataclass(frozen=True, eq=False)
class PromotedFit:
    """The function that was fitted for one alpha.

    Attributes
    ----------
    samples : PromotionSamples
        The rows, as seen by the problem that `w` solves.
    w : ndarray
    C : ndarray of shape (k, r)
        Candidates that leave it unchanged.
    solutions : list of Solution
        Of the problems before the refit, the convex one first.
    by_data : bool
        Whether the data alone decided for C.
    """

    samples: "PromotionSamples"
    w: np.ndarray
    C: np.ndarray
    solutions: list[Solution]
    by_data: bool = False

    @property
    def problem(self):
        return self.samples.problem

    @property
    def coef(self):
        """Coefficients (q, p) in `library`."""
        return self.problem.coef(self.w)

    @property
    def library(self):
        return self.problem.space.library

    @property
    def n_iter(self):
        """Iterations of all problems before the refit."""
        return sum(solution.n_iter for solution in self.solutions)

    @property
    def final(self):
        """The last solution before the refit."""
        return self.solutions[-1]

    @property
    def algebra(self):
        """The candidates that are kept, in a readable form."""
        candidates = self.problem.candidates.algebra
        generators, _ = readable(candidates, self.C)
        return candidates.combine(generators)

    @property
    def singular_values(self):
        """Singular values of the symmetry matrix, descending."""
        return np.linalg.svd(self.problem.symmetry_matrix(self.w), compute_uv=False)


class PromotionSamples:
    """Rows of data, as one problem sees them.

    Parameters
    ----------
    problem : PromotionProblem
    X : ndarray of shape (n, d)
    Y : ndarray of shape (m, q)
    weight : ndarray of shape (m,)
        Sample weights of the rows of Y.
    operator : callable, default=None
        The rows of the regression are ``Y = operator(phi(X)) coef^T``; None: ``phi(X)`` itself.
    """

    def __init__(self, problem, X, Y, weight, operator=None):
        if operator is None and not weight.all():
            X = X[weight > 0]
            Y = Y[weight > 0]
            weight = weight[weight > 0]
        self.problem: PromotionProblem = problem
        self.X = X
        self.Y = Y
        self.weight = weight
        self.operator = operator
        self.statistics = problem.space.statistics(X, Y, weight, operator)
        self._least_squares = {}

    def seen_by(self, problem):
        """Return the same rows for another problem."""
        return PromotionSamples(problem, self.X, self.Y, self.weight, self.operator)

    def least_squares(self, ridge):
        """Return the quadratic part of the objective; paths ask for it again and again."""
        if ridge not in self._least_squares:
            self._least_squares[ridge] = self.problem.least_squares(self.statistics, ridge)
        return self._least_squares[ridge]

    def rss(self, w):
        """Compute the residual sum of squares."""
        return np.sum((self.statistics.design @ w.T - self.statistics.targets) ** 2)

    @property
    def n(self):
        """Sum of the weights."""
        return self.statistics.weight

    @cached_property
    def is_noisy(self):
        """Whether least squares leaves residuals."""
        p = self.problem.space.library.n_output_features_
        return self.n > p and p * self.Y.shape[1] <= _LARGEST_FIT

    @cached_property
    def is_overdetermined(self):
        """Whether least squares is determined and leaves residuals that show the noise."""
        return self.is_noisy and not self.evidence[0].estimate.undetermined.size

    @cached_property
    def evidence(self):
        """What the least-squares fit says: (FittedEvidence, Verdict)."""
        return symmetries_of_function(self.function_samples, CountingRule())

    @cached_property
    def function_samples(self):
        """The same rows as samples of a function, with the candidates."""
        weight = self.weight
        if self.operator is not None:
            weight = np.ones(len(self.X))
        enforced, _ = without_dependent(self.problem.space.group)
        return FunctionSamples(
            library=self.problem.space.library,
            candidates=self.problem.candidates.algebra,
            output=self.problem.output,
            X=self.X,
            Y=self.Y,
            weight=weight,
            enforced=enforced,
            operator=self.operator,
            row_weight=self.weight,
        )

    def largest_rss_as_good_as(self, w):
        """Return the largest residual sum of squares that explains the data as well as w does."""
        size = np.sum(self.weight[:, None] * self.Y**2)
        return _AS_GOOD * self.rss(w) + _ROUND_OFF**2 * size


def fit_promoted(samples, alpha, ridge, options, refit, start=None):
    """Promote at one alpha; with `refit` decide which symmetries hold, and enforce them.

    First those that the least-squares fit shows beyond its noise, as `SymmetryDiscoverer` does.
    Else those that the promoted function has, in the first exact form under which the enforced
    function fits as well: by BIC and an F test where least squares leaves residuals, and by the
    residuals themselves where it leaves none, if there are more of them than free coefficients.

    Parameters
    ----------
    samples : PromotionSamples
    alpha, ridge : float
    options : SolverOptions
    refit : bool
    start : Solution, default=None
        Of a similar convex problem.

    Returns
    -------
    PromotedFit
    """
    can_refit = refit and samples.problem.L.n_generators and samples.Y.any()
    if can_refit and samples.is_overdetermined and len(samples.evidence[1].generators):
        options = replace(options, adaptive=False)  # the refit is known already
    least_squares = samples.least_squares(ridge)
    solutions = promote(samples.problem, least_squares, alpha, options, start)
    w = solutions[-1].coef
    if can_refit:
        for C, by_data in _worth_enforcing(samples, w):
            fit = _enforced_fit(samples, w, C, by_data, ridge, options)
            if fit is not None:
                return replace(fit, solutions=solutions)
    return PromotedFit(samples, w, _symmetries_of(samples, w), solutions)


def _enforced_fit(samples, w, C, by_data, ridge, options):
    """Fit with the candidates C (k, r) enforced; None where that does not explain the data."""
    problem = samples.problem.enforcing(C, samples.X)
    if problem is None:
        return None
    # With as many unknowns as numbers the fit could not fail.
    may_fail = problem.space.n_free < samples.n * samples.Y.shape[1]
    if not by_data and not may_fail:
        return None
    enforced = samples.seen_by(problem)
    with options.task("refit"):
        quiet = replace(options, task=nullcontext)
        refitted = promote(problem, enforced.least_squares(ridge), 0.0, quiet)[-1].coef
    if by_data or samples.is_overdetermined:
        return PromotedFit(enforced, refitted, C, [], by_data)
    if enforced.rss(refitted) <= samples.largest_rss_as_good_as(w):
        return PromotedFit(enforced, refitted, C, [], by_data)
    return None


def _worth_enforcing(samples, w):
    """Yield candidates (k, r) that may be symmetries, and whether the data decided so."""
    if samples.is_overdetermined:
        evidence, found = samples.evidence
        if len(found.generators):
            yield found.generators, True
            return
        for C in _forms(samples, w, judged=True):
            basis = samples.function_samples.symmetric_functions(C)
            if basis is not None and evidence.estimate.information(basis) < 0:
                yield C, False
        return
    for C in _forms(samples, w, judged=True, guess=True):
        yield C, False
    if samples.is_noisy and len(samples.evidence[1].generators):  # of what the data determine
        yield samples.evidence[1].generators, True


def _symmetries_of(samples, w):
    """Return the candidates (k, r) that leave the function w unchanged, in a readable form."""
    none = np.zeros((0, samples.problem.candidates.algebra.dim))
    return next(_forms(samples, w), none)


def _forms(samples, w, judged=False, guess=False):
    """Yield generators (k, r) along which w changes next to nothing: exact forms, then as found.

    Where the caller judges how they fit once enforced (`judged`), rounded more boldly too; and to
    `guess` those, in exact forms only, along which w changes less than half as much as along the
    next.
    """
    problem = samples.problem
    M = problem.symmetry_matrix(w)
    if not len(M):
        return
    U, s, _ = np.linalg.svd(M, full_matrices=M.shape[0] > M.shape[1])
    U = U[:, ::-1]
    s = np.append(s, np.zeros(len(M) - len(s)))[::-1]
    size = np.linalg.norm(problem.coef(w) @ problem.L.values)
    n_zero = np.count_nonzero(s <= max(_ZERO * s[-1], _NOTHING * size))
    if n_zero == len(s):
        yield np.eye(problem.candidates.algebra.dim)
        return
    counts = [n_zero] if n_zero else []
    if guess:
        counts += [k for k in range(len(s) - 1, n_zero, -1) if s[k - 1] <= _GAP * s[k]]
    candidates = in_units_of(samples.X, problem.candidates.algebra)
    for k in counts:
        form, _ = pivoted_echelon(problem.L.coordinates(U[:, :k].T))
        form[np.abs(form) <= 1e-12 * np.abs(form).max()] = 0
        for rounding in (0.0, _ROUNDING) if judged else (0.0,):
            error = max(s[k - 1] / s[k], rounding, _LEAST_ERROR)
            for exact, _ in exact_forms(candidates, form, np.full(form.shape, error)):
                yield exact
        if k == n_zero:
            yield form
