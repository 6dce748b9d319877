"""The convex solve, and rounds of reweighting that follow it."""

from contextlib import nullcontext
from dataclasses import dataclass, replace

from sksym.solvers import penalised_least_squares, solve_with_cvxpy

_FIRST, _SHRINK, _ROUNDS = 0.3, 0.6, 8  # eps relative to the largest singular value
_ROUGH = 1e-2  # gap of all but the last problem


@dataclass(frozen=True)
class Options:
    """How to solve: what estimators are told."""

    adaptive: bool = True
    solver: str = "auto"
    tol: float = 1e-6
    max_iter: int = 10_000
    callback: object = None
    task: object = nullcontext  # task(name): the context of one convex problem


def promoted(problem, data, alpha, options, start=None):
    """Solutions of the convex problem and of the reweighted ones after it, in order.

    Round k replaces the penalty ``sum_i s_i`` by ``eps sum_i log(1 + s_i / eps)`` linearised at
    the singular values of the round before: the symmetry matrix times
    ``V diag(eps / (s + eps)) V^T``, with eps = 0.3 * 0.6^k of the largest singular value. Rows of
    a group norm are weighted likewise.
    """
    solutions, terms = [], problem.terms
    rounds = _ROUNDS if options.adaptive and terms else 0
    for k in range(rounds + 1):
        tol = options.tol if k == rounds else max(options.tol, _ROUGH)
        with options.task(f"round {k}"):
            start = _solve(data, terms, alpha, replace(options, tol=tol), start)
            nothing_left = start.state and not any(Z.any() for Z in start.state[0])
            if nothing_left and k < rounds:  # every candidate is a symmetry: the rest is round-off
                start = _solve(data, terms, alpha, options, start)
        solutions.append(start)
        if nothing_left or k == rounds:
            return solutions
        terms = [_reweighted(term, start.coef, k) for term in problem.terms]


def _solve(data, terms, alpha, options, start):
    if options.solver == "cvxpy" and terms:
        return solve_with_cvxpy(data, terms, alpha)
    return penalised_least_squares(
        data,
        terms,
        alpha,
        tol=options.tol,
        max_iter=options.max_iter,
        start=start,
        callback=options.callback,
    )


def _reweighted(term, w, k):
    axes, s = term.penalty.axes_and_sizes(term(w))
    eps = _FIRST * _SHRINK**k * s.max(initial=0)
    kept = s > 1e-6 * eps
    return replace(term, axes=axes[:, kept], damping=s[kept] / (s[kept] + eps))
