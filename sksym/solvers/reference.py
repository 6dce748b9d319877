"""The same problem through cvxpy: slow, independent, and for tests."""

import threading
import warnings

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sksym.penalties import GroupNorm, NuclearNorm
from sksym.solvers.problem import Solution, certificate

_LOCK = threading.Lock()


def solve_with_cvxpy(data, terms, alpha, *, solver="CLARABEL", positive=False, **options):
    """Minimise ``f(w) + alpha sum_t penalty_t(K_t w)`` by an interior-point method.

    Parameters as in `penalised_least_squares`; `options` go to the solver. With `positive` w has no
    negative entries, and the gap returned is that of the problem without this constraint.

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

    axes, curvature, w_ls = data.parts(alpha)
    size = np.abs(w_ls).max(initial=0) or 1.0  # unknowns of about one
    with _LOCK:
        w = cp.Variable(w_ls.size)
        parts = [cp.Variable(int(np.prod(term.shape))) for term in terms]
        links = [_map(term) @ w == Z for term, Z in zip(terms, parts, strict=True)]
        bounds = [w >= 0] if positive else []
        penalty = sum(_expression(cp, term, Z) for term, Z in zip(terms, parts, strict=True))
        x = cp.reshape(w, w_ls.shape, order="C") @ axes - (w_ls @ axes) / size
        if alpha == 0:
            problem = cp.Problem(cp.Minimize(penalty), [*links, *bounds, x == 0])
        else:
            misfit = cp.sum_squares(cp.multiply(x, np.tile(np.sqrt(curvature), (len(w_ls), 1))))
            problem = cp.Problem(cp.Minimize(0.5 * size * misfit / alpha + penalty), links + bounds)
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
        elif problem.status != "optimal":
            raise RuntimeError(
                f"cvxpy ends with status {problem.status!r} ({solver}): rescale the data, or use "
                'solver="admm".'
            )
        coef = size * w.value.reshape(w_ls.shape)
        dual = [
            link.dual_value.reshape(term.shape) for link, term in zip(links, terms, strict=True)
        ]
        n_iter = int(problem.solver_stats.num_iters or 0)
    objective, gap, dual = certificate(data, terms, alpha, coef, dual)
    return Solution(coef, n_iter, float(gap / (objective or 1.0)), dual, float(objective))


def _map(term):
    """K with its weight."""
    if term.axes is None:
        return term.K
    weight = np.eye(term.shape[0]) - (term.axes * term.damping) @ term.axes.T
    return sparse.csr_array(sparse.kron(weight, sparse.eye_array(term.shape[1])) @ term.K)


def _expression(cp, term, moved):
    Z = cp.reshape(moved, term.shape, order="C")
    if isinstance(term.penalty, NuclearNorm):
        return term.penalty.alpha * cp.normNuc(Z)
    if isinstance(term.penalty, GroupNorm):
        return term.penalty.alpha * cp.sum(cp.norm(Z, 2, axis=1))
    raise TypeError(f"cvxpy is told of NuclearNorm and GroupNorm only, got {term.penalty!r}.")
