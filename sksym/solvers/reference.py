"""The same problem through cvxpy: slow, independent, and for tests."""

import threading
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sksym.penalties import GroupNorm, NuclearNorm
from sksym.solvers.problem import Solution

_LOCK = threading.Lock()


def solve_with_cvxpy(data, terms, alpha, *, solver="CLARABEL", **options):
    """Minimise ``f(w) + alpha sum_t penalty_t(K_t w)`` by an interior-point method.

    Parameters as in `penalised_least_squares`; `options` go to the solver.

    Raises
    ------
    ImportError
        If cvxpy is missing.
    RuntimeError
        If it finds no solution.
    """
    try:
        import cvxpy as cp
    except ImportError as error:
        raise ImportError(
            'solver="cvxpy" needs cvxpy, which is not installed: pip install "sksym[cvxpy]"'
        ) from error

    _, _, w_ls = data.parts(alpha)
    size = np.abs(w_ls).max(initial=0) or 1.0  # unknowns of about one
    axes, curvature, _ = data.parts(alpha)
    with _LOCK:
        w = cp.Variable(w_ls.size)
        penalty = 0
        for term in terms:
            K = term.K
            if term.axes is not None:
                weight = np.eye(term.shape[0]) - (term.axes * term.damping) @ term.axes.T
                K = np.kron(weight, np.eye(term.shape[1])) @ K
            penalty = penalty + _expression(cp, term, K @ w)
        x = cp.reshape(w, w_ls.shape, order="C") @ axes - (w_ls @ axes) / size
        if alpha == 0:
            problem = cp.Problem(cp.Minimize(penalty), [x == 0])
        else:
            root = np.sqrt(curvature)
            misfit = cp.sum_squares(cp.multiply(x, np.tile(root, (len(w_ls), 1))))
            problem = cp.Problem(cp.Minimize(0.5 * size * misfit / alpha + penalty))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the status is told below, in our words
            problem.solve(solver=solver, **options)
        if problem.status == "optimal_inaccurate":
            warnings.warn(
                f"cvxpy ({solver}) ends before its tolerance: the solution may be inaccurate, "
                "rescale the data or allow a larger gap.",
                ConvergenceWarning,
                stacklevel=2,
            )
        if problem.status not in ("optimal", "optimal_inaccurate"):
            raise RuntimeError(
                f"cvxpy ends with status {problem.status!r} ({solver}): rescale the data, or use "
                'solver="admm".'
            )
        coef = size * w.value.reshape(w_ls.shape)
        n_iter = problem.solver_stats.num_iters or 0
    value = sum(term.penalty.value(term(coef)) for term in terms)
    objective = value
    if alpha > 0:
        objective = alpha * value + 0.5 * np.sum(curvature * ((coef - w_ls) @ axes) ** 2)
    return Solution(coef, int(n_iter), float("nan"), [], float(objective))


def _expression(cp, term, moved):
    Z = cp.reshape(moved, term.shape, order="C")
    if isinstance(term.penalty, NuclearNorm):
        return term.penalty.alpha * cp.normNuc(Z)
    if isinstance(term.penalty, GroupNorm):
        return term.penalty.alpha * cp.sum(cp.norm(Z, 2, axis=1))
    raise TypeError(f"cvxpy is told of NuclearNorm and GroupNorm only, got {term.penalty!r}.")
