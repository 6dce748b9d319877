"""One fit: which candidates to keep, from the data where they say it, else from the solution.

Index legend: n rows, q outputs, p library functions, r candidates, k those that are kept; w are
unknowns as in `PromotionProblem`.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sksym._estimator import warn
from sksym._linalg import pivoted_echelon
from sksym.evidence import (
    CountingRule,
    FunctionSamples,
    exact_forms,
    in_units_of,
    readable,
    symmetries_of_function,
)
from sksym.evidence.coefficients import REFIT_REJECT
from sksym.promote.low_rank import LowRankSearch
from sksym.promote.problem import PromotionProblem, without_dependent
from sksym.promote.recovery import (
    NO_SEARCH,
    Determination,
    Interpolants,
    RecoverySearch,
    determination_of,
)
from sksym.promote.reweighting import promote
from sksym.solvers import Solution

_ZERO = 1e-3  # singular value of a symmetry relative to the largest
_NOTHING = 1e-5  # and relative to the function, where all are small
_LARGEST_FIT = 4000  # coefficients up to which their covariance is formed
_NOTHING_IN_FORM = 1e-12  # entries of generators relative to the largest that are round-off
_GAP = 0.4  # of a singular value to the next, where the fit will judge
_ROUNDING = 1e-3  # of the entries of generators, where the fit will judge
_LEAST_ERROR = 1e-7  # of generators that are read from singular vectors
_AS_GOOD = 1.2  # residual sum of squares of a refit relative to that of the promoted fit
_EVERY = 4  # round of reweighting gives a start
_ROUND_OFF = 1e-6  # residual relative to y that counts as none
_REMEMBERED = 16  # problems with enforced candidates


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
    determination : Determination, default=None
        Known where the function was recovered.
    spread : ndarray of shape (t, q, p), default=None
        The covariance of the coefficients is the Gram matrix of these. Known where the function was
        fitted without shrinkage.
    """

    samples: "PromotionSamples"
    w: np.ndarray
    C: np.ndarray
    solutions: list[Solution]
    by_data: bool = False
    determination: Determination | None = None
    spread: np.ndarray | None = None

    @property
    def problem(self):
        """The convex problem that `w` solves."""
        return self.samples.problem

    @property
    def coef(self):
        """Coefficients (q, p) in `library`."""
        return self.problem.coef(self.w)

    @property
    def library(self):
        """The fitted library of `coef`."""
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
        matrix = self.problem.symmetry_matrix(self.w)
        return np.linalg.svd(matrix, compute_uv=False)

    def warn_of_gap(self, tol):
        """Warn where the last convex problem was not solved to the relative gap `tol`."""
        gap = self.final.relative_gap
        # Where the data decided, the convex problem was only the way to a start.
        if gap > tol and not self.by_data:
            warn(
                f"The duality gap is {gap:.2g} of the objective after {self.n_iter} iterations, "
                f"more than tol={tol:.2g}: increase `max_iter` or `tol`.",
                ConvergenceWarning,
            )


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
        # An operator needs all rows of X: weights are those of what it returns.
        if operator is None and not weight.all():
            is_counted = weight > 0
            X = X[is_counted]
            Y = Y[is_counted]
            weight = weight[is_counted]
        self.problem: PromotionProblem = problem
        self.X = X
        self.Y = Y
        self.weight = weight
        self.operator = operator
        self.statistics = problem.space.statistics(X, Y, weight, operator)
        self._least_squares = {}
        self._enforced = {}

    def seen_by(self, problem):
        """Return the same rows for another problem, whose basis the statistics are in."""
        return PromotionSamples(problem, self.X, self.Y, self.weight, self.operator)

    def enforcing(self, C):
        """Return the same rows for the problem that enforces candidates C (k, r) too, or None.

        Fits along a path ask for the same ones again and again.
        """
        key = C.tobytes()
        if key not in self._enforced:
            if len(self._enforced) == _REMEMBERED:
                oldest = next(iter(self._enforced))
                del self._enforced[oldest]
            problem = self.problem.enforcing(C, self.X)
            self._enforced[key] = None if problem is None else self.seen_by(problem)
        return self._enforced[key]

    def least_squares(self, ridge):
        """Return the quadratic part of the objective; paths ask for it again and again.

        Parameters
        ----------
        ridge : float

        Returns
        -------
        LeastSquares
        """
        if ridge not in self._least_squares:
            self._least_squares[ridge] = self.problem.least_squares(self.statistics, ridge)
        return self._least_squares[ridge]

    def rss(self, w):
        """Compute the residual sum of squares of unknowns `w`, as in `PromotionProblem`."""
        predicted = self.statistics.design @ w.T
        residual = predicted - self.statistics.targets
        return np.sum(residual**2)

    @cached_property
    def candidates_in_units(self):
        """The continuous candidates, in coordinates in which the box of the data is a cube."""
        return in_units_of(self.X, self.problem.candidates.algebra)

    @property
    def n(self):
        """Sum of the weights."""
        return self.statistics.weight

    @cached_property
    def interpolants(self):
        """The functions that pass through all rows."""
        return Interpolants(self.statistics.design, self.statistics.targets)

    @cached_property
    def recovery(self):
        """The search for an exact function of low rank; the same along a whole path."""
        return RecoverySearch.of(self.problem, self.interpolants)

    @cached_property
    def low_rank(self):
        """The search for a function of low rank beyond noise; None: there is nothing to search."""
        # Neighbouring rows of an operator share their noise.
        if self.operator is not None:
            return None
        return LowRankSearch.of(self.problem.symmetry_rank, self.statistics, self.Y.size)

    def determination(self, fit):
        """Return how far the rows determine a fit to them: a Determination."""
        if fit.determination is not None:
            return fit.determination
        return determination_of(self.problem, fit, self.interpolants, self._n_distinct)

    @property
    def _n_distinct(self):
        """Number of rows, each counted once however often it is repeated."""
        if self.operator is not None:
            return len(self.Y)
        return len(np.unique(self.X, axis=0))

    @cached_property
    def is_noisy(self):
        """Whether least squares leaves residuals."""
        p = self.problem.space.library.n_output_features_
        q = self.Y.shape[1]
        return self.n > p and p * q <= _LARGEST_FIT

    @cached_property
    def is_overdetermined(self):
        """Whether least squares is determined and leaves residuals that show the noise."""
        if not self.is_noisy or self.interpolants.are_many:
            return False
        return not self.function_samples.estimate.undetermined.size

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
        """Return the largest residual sum of squares that explains the data as well as w does.

        A fifth more than that of w, because more symmetry means fewer free coefficients.
        """
        squares = self.weight[:, None] * self.Y**2
        round_off = _ROUND_OFF**2 * np.sum(squares)
        return _AS_GOOD * self.rss(w) + round_off


def fit_promoted(samples, alpha, ridge, options, refit, starts=()):
    """Promote at one alpha; with `refit` decide which symmetries hold, and enforce them.

    Where the samples determine a function of low rank that passes through all of them, or explains
    all but their noise though they are few, it is the fit. Else first those that
    the least-squares fit shows beyond its noise, as `SymmetryDiscoverer` does. Else those that the
    promoted function has, in the first exact form under which the enforced function fits as well:
    by BIC and an F test where least squares leaves residuals, and by the residuals themselves where
    it leaves none, if there are more of them than free coefficients.

    Parameters
    ----------
    samples : PromotionSamples
    alpha, ridge : float
    options : SolverOptions
    refit : bool
    starts : sequence of Solution
        Of the rounds of a similar problem, as many as there are.

    Returns
    -------
    PromotedFit
    """
    can_refit = refit and samples.problem.L.n_generators and samples.Y.any()
    if can_refit and samples.is_overdetermined:
        _, found = samples.evidence
        if len(found.generators):
            options = replace(options, adaptive=False)  # the refit is known already
    least_squares = samples.least_squares(ridge)
    may_search = can_refit and not ridge and options.recovery
    search = samples.recovery if may_search else NO_SEARCH
    solutions = promote(
        samples.problem,
        least_squares,
        alpha,
        options,
        starts,
        is_enough=search.succeeds_from,
    )
    # Random starts are for samples that are said to be exact.
    recovered = search.finish(with_random_starts=alpha == 0)
    w = solutions[-1].coef
    if recovered is not None:
        fit = _recovered_fit(samples, recovered, options)
    elif can_refit:
        fit = _refitted(samples, solutions, ridge, options)
    else:
        fit = _unchanged(samples, w)
    return replace(fit, solutions=solutions)


def _refitted(samples, solutions, ridge, options):
    """Return the first fit with enforced candidates that explains the data, else the last of all.

    Before them that of low rank, if the samples support one.
    """
    # With a ridge penalty the function is not that of least misfit.
    if samples.low_rank is not None and not ridge:
        starts = [solution.coef.ravel() for solution in solutions[::_EVERY]]
        low_rank = samples.low_rank.best_from(starts)
        if low_rank is not None:
            return _low_rank_fit(samples, low_rank, options)
    w = solutions[-1].coef
    for C, by_data in _worth_enforcing(samples, w):
        fit = _enforced_fit(samples, w, C, by_data, ridge, options)
        if fit is not None:
            return fit
    return _unchanged(samples, w)


def _unchanged(samples, w):
    """Return the promoted function w with the candidates (k, r) that leave it unchanged."""
    r = samples.problem.candidates.algebra.dim
    none = np.zeros((0, r))
    C = next(_forms(samples, w), none)
    return PromotedFit(samples, w, C, [])


def _recovered_fit(samples, recovery, options):
    """Return the fit of a recovered function, in simple numbers where they fit the data too."""
    problem = samples.problem
    w = recovery.u.reshape(problem.shape)
    C = problem.L.coordinates(recovery.generators)
    fit = PromotedFit(samples, w, C, [])
    # The last form is the recovered one.
    *simple, _ = _forms(samples, w, judged=True)
    for form in simple:
        enforced = _enforced_fit(samples, w, form, False, 0.0, options)
        if enforced is not None:
            fit = enforced
            break
    return replace(fit, by_data=True, determination=recovery.determination)


def _low_rank_fit(samples, low_rank, options):
    """Return the fit of low rank, in the simplest generators that its errors allow.

    Parameters
    ----------
    samples : PromotionSamples
    low_rank : LowRankFit
    options : SolverOptions
    """
    problem = samples.problem
    search = samples.low_rank
    kernel = search.problem.map.kernel(low_rank.u)
    C, pivots = pivoted_echelon(problem.L.coordinates(kernel))
    determination = Determination(
        n_parameters=low_rank.n_parameters,
        n_equations=low_rank.dof + low_rank.n_parameters,
        is_unique=True,
    )
    from_candidates = np.linalg.inv(problem.L.generators)
    errors = search.generator_errors(low_rank, C, from_candidates, pivots)
    for form in exact_forms(samples.candidates_in_units, C, errors):
        enforced = _enforced_fit(samples, low_rank.u, form, True, 0.0, options)
        if enforced is not None and _is_as_good(enforced, low_rank):
            spread = _spread_of_least_squares(enforced)
            return replace(enforced, determination=determination, spread=spread)
    shrunk = search.problem.shrunk(low_rank)
    functions = low_rank.spread().T.reshape(-1, *problem.shape)
    spread = np.array([problem.coef(w) for w in functions])
    w = shrunk.u.reshape(problem.shape)
    return PromotedFit(samples, w, C, [], True, determination, spread)


def _is_as_good(enforced, low_rank):
    """Tell by an F test whether rounding the generators contradicts the samples."""
    problem = enforced.problem
    n_free = problem.space.n_free
    rss = enforced.samples.rss(enforced.w)
    return low_rank.n_parameters > n_free and low_rank.p_value_against(rss, n_free) > REFIT_REJECT


def _spread_of_least_squares(fit):
    """Return the spread of coefficients (t, q, p) that least squares determines."""
    statistics = fit.samples.statistics
    n, k = statistics.design.shape
    n_outputs = statistics.targets.shape[1]
    variance = fit.samples.rss(fit.w) / (n_outputs * (n - k))
    R = np.linalg.qr(statistics.design, mode="r")
    # Every output alike, unless they are tied.
    functions = np.sqrt(variance) * np.linalg.inv(R).T
    spread = np.kron(np.eye(n_outputs), functions)
    return np.array([fit.problem.coef(row.reshape(n_outputs, k)) for row in spread])


def _enforced_fit(samples, w, C, by_data, ridge, options):
    """Fit with the candidates C (k, r) enforced; None where that does not explain the data.

    Parameters
    ----------
    samples : PromotionSamples
    w : ndarray
        The promoted fit, whose residuals are the measure.
    C : ndarray of shape (k, r)
    by_data : bool
        Whether the data decided for C: nothing is left to judge then.
    ridge : float
    options : SolverOptions

    Returns
    -------
    PromotedFit or None
    """
    enforced = samples.enforcing(C)
    if enforced is None:
        return None
    problem = enforced.problem
    # With as many unknowns as numbers the fit could not fail.
    n_numbers = samples.n * samples.Y.shape[1]
    may_fail = problem.space.n_free < n_numbers
    if not by_data and not may_fail:
        return None
    with options.task("refit"):
        quiet = replace(options, task=nullcontext)
        solutions = promote(
            problem,
            enforced.least_squares(ridge),
            0.0,
            quiet,
        )
    refitted = solutions[-1].coef
    # An overdetermined fit was judged by its evidence, before it was enforced.
    is_judged = by_data or samples.is_overdetermined
    if not is_judged:
        explains = enforced.rss(refitted) <= samples.largest_rss_as_good_as(w)
        if not explains:
            return None
    return PromotedFit(enforced, refitted, C, [], by_data)


def _worth_enforcing(samples, w):
    """Yield candidates that may be symmetries, the most trustworthy first.

    Yields
    ------
    C : ndarray of shape (k, r)
    by_data : bool
        Whether the data decided so, or only the promoted function w.
    """
    if samples.is_overdetermined:
        evidence, found = samples.evidence
        if len(found.generators):
            yield found.generators, True
            return
        # A BIC below zero: better than the full fit, which has none of the symmetries.
        for C in _forms(samples, w, judged=True):
            basis = samples.function_samples.symmetric_functions(C)
            if basis is not None and evidence.estimate.information(basis) < 0:
                yield C, False
        return
    for C in _forms(samples, w, judged=True, guess=True):
        yield C, False
    # Evidence of what the data determine, where they do not determine all.
    if samples.is_noisy:
        _, found = samples.evidence
        if len(found.generators):
            yield found.generators, True


def _forms(samples, w, judged=False, guess=False):
    """Yield generators (k, r) along which w changes next to nothing: exact forms, then as found.

    Where the caller judges how they fit once enforced (`judged`), rounded more boldly too; and to
    `guess` those, in exact forms only, along which w changes less than half as much as along the
    next.
    """
    problem = samples.problem
    algebra = problem.candidates.algebra
    M = problem.symmetry_matrix(w)
    r = len(M)
    if not r:
        return
    # Left vectors are generators; ascending, with a zero for each that no test sees.
    is_tall = M.shape[0] > M.shape[1]
    U, s, _ = np.linalg.svd(M, full_matrices=is_tall)
    U = U[:, ::-1]
    unseen = np.zeros(r - len(s))
    s = np.append(s, unseen)[::-1]
    size = np.linalg.norm(problem.coef(w) @ problem.L.values)
    largest_zero = max(_ZERO * s[-1], _NOTHING * size)
    n_zero = np.count_nonzero(s <= largest_zero)
    if n_zero == r:
        yield np.eye(algebra.dim)
        return
    counts = [n_zero] if n_zero else []
    if guess:
        for k in range(r - 1, n_zero, -1):
            if s[k - 1] <= _GAP * s[k]:
                counts.append(k)
    roundings = [0.0, _ROUNDING] if judged else [0.0]
    candidates = samples.candidates_in_units
    for k in counts:
        generators = problem.L.coordinates(U[:, :k].T)
        form, _ = pivoted_echelon(generators)
        size = np.abs(form)
        form[size <= _NOTHING_IN_FORM * size.max()] = 0
        for rounding in roundings:
            # First-order perturbation: vectors turn by the ratio of the singular values.
            error = max(s[k - 1] / s[k], rounding, _LEAST_ERROR)
            errors = np.full(form.shape, error)
            yield from exact_forms(candidates, form, errors)
        if k == n_zero:
            yield form
