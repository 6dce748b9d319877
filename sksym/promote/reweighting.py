"""The convex solve, and rounds of reweighting that follow it."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from sksym.solvers import penalised_least_squares, solve_with_cvxpy
from sksym.solvers.terms import Penalty

_FIRST = 0.3  # eps of the first round relative to the largest singular value
_SHRINK = 0.6  # of eps from round to round
_ROUNDS = 8
_ZERO = 1e-6  # singular value relative to eps that is not reweighted


@dataclass(frozen=True)
class SolverOptions:
    """How convex problems are solved.

    Attributes
    ----------
    adaptive : bool
        Whether rounds of reweighting follow the convex problem.
    solver : {"auto", "admm", "cvxpy"}
    tol : float
        Relative duality gap.
    rough : float
        The same for all rounds but the last, which only choose weights.
    max_iter : int
        Iterations of each problem.
    callback : callable or None
        Called with the iteration, the objective and the gap.
    task : callable
        ``task(name)`` gives the context of one convex problem.
    check_start : bool
        Whether a start that is accurate enough is a solution, and the first gap is computed after
        few iterations. Else a problem takes 25 iterations at least, and is more accurate than
        `tol`.
    recovery : bool
        Whether a refit searches for a function of low rank through all samples.
    """

    adaptive: bool = True
    solver: str = "auto"
    tol: float = 1e-6
    rough: float = 1e-2
    max_iter: int = 10_000
    callback: Callable | None = None
    task: Callable = nullcontext
    check_start: bool = False
    recovery: bool = True


def _never(w):
    """Return False: no solution before the last is enough."""
    return False


def promote(problem, least_squares, alpha, options, starts=(), is_enough=_never):
    """Solve the convex problem, and the reweighted ones after it.

    Round k replaces the penalty ``sum_i s_i`` by ``eps sum_i log(1 + s_i / eps)`` linearised at
    the singular values of the round before: the symmetry matrix times
    ``V diag(eps / (s + eps)) V^T``, with eps = 0.3 * 0.6^k of the largest singular value. Rows of
    a group norm are weighted likewise.

    Parameters
    ----------
    problem : PromotionProblem
    least_squares : LeastSquares
    alpha : float
    options : SolverOptions
    starts : sequence of Solution
        Of the rounds of a similar problem. A round without one starts from the round before.
    is_enough : callable
        Called with the unknowns of each solution; the rounds end where it is true.

    Returns
    -------
    list of Solution
        In order: the convex one first.
    """
    solutions = []
    terms = problem.terms
    n_rounds = _ROUNDS if options.adaptive and terms else 0
    start = None
    for k in range(n_rounds + 1):
        start = _nearer(starts[k : k + 1], start, least_squares, terms, alpha)
        is_last = k == n_rounds
        tol = options.tol if is_last else max(options.tol, options.rough)
        with options.task(f"round {k}"):
            of_round = replace(options, tol=tol)
            start = _solve(least_squares, terms, alpha, of_round, start)
            # Where every candidate is a symmetry the rest is round-off.
            if _is_zero(start) and not is_last:
                start = _solve(least_squares, terms, alpha, options, start)
        solutions.append(start)
        if _is_zero(start) or is_enough(start.coef) or _is_least_squares(start, options):
            break
        terms = [_reweighted(term, start.coef, k) for term in problem.terms]
    return solutions


def _is_zero(solution):
    """Whether every candidate is a symmetry of a solution."""
    return bool(solution.state) and not any(Z.any() for Z in solution.state[0])


def _is_least_squares(solution, options):
    """Whether least squares left nothing to choose, however the terms are weighted."""
    return options.solver != "cvxpy" and not solution.state


def _nearer(of_round, last, least_squares, terms, alpha):
    """Return the start at which the objective is smaller, of one or none and the last solution."""
    if not of_round:
        return last
    first = of_round[0]
    if last is None or not last.state:
        return first
    axes, curvature, w_ls = least_squares.parts(alpha)
    penalty = Penalty(terms)
    objectives = []
    for start in (first, last):
        along = (start.coef - w_ls) @ axes
        misfit = 0.5 * np.sum(curvature * along**2)
        objectives.append(misfit + alpha * penalty.value(start.coef))
    return first if objectives[0] <= objectives[1] else last


def _solve(least_squares, terms, alpha, options, start):
    """Solve one convex problem by the solver that the options name."""
    if options.solver == "cvxpy" and terms:
        return solve_with_cvxpy(least_squares, terms, alpha)
    return penalised_least_squares(
        least_squares,
        terms,
        alpha,
        tol=options.tol,
        max_iter=options.max_iter,
        start=start,
        callback=options.callback,
        check_start=options.check_start,
    )


def _reweighted(term, w, k):
    """Return a term weighted by the sizes that it has at w, for round k + 1."""
    axes, sizes = term.penalty.axes_and_sizes(term(w))
    eps = _FIRST * _SHRINK**k * sizes.max(initial=0)
    nonzero = sizes > _ZERO * eps
    damping = sizes[nonzero] / (sizes[nonzero] + eps)
    return replace(term, axes=axes[:, nonzero], damping=damping)
