"""The problem of `least_squares` through cvxpy: slow, independent, and for tests."""

import threading
import warnings

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sksym._estimator import warn
from sksym.solvers.least_squares import certificate
from sksym.solvers.solution import Solution

_LOCK = threading.Lock()  # cvxpy is not safe to use from several threads


def solve_with_cvxpy(data, terms, alpha, *, solver="CLARABEL", positive=False, **options):
    """Minimise ``f(w) + alpha sum_t norm_t(K_t w)`` by an interior-point method.

    Parameters
    ----------
    data : LeastSquares
    terms : list of Term
    alpha : float
        0: the limit from above.
    solver : str, default="CLARABEL"
    positive : bool, default=False
        Exclude negative entries of w; the gap returned is that of the problem without this
        constraint.
    **options
        Of the solver.

    Returns
    -------
    Solution

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

    w_ls = data.parts(alpha)[2]
    unit = np.abs(w_ls).max(initial=0) or 1.0  # of w: interior points want unknowns of about one
    with _LOCK:
        w = cp.Variable(w_ls.size)
        penalty = 0.0
        links = []  # their multipliers are the dual point
        for term in terms:
            K = _weighted_map(term)
            flat = cp.Variable(K.shape[0])
            links.append(K @ w == flat)
            Z = cp.reshape(flat, term.shape, order="C")
            penalty = penalty + term.penalty.expression(cp, Z)
        constraints = list(links)
        if positive:
            constraints.append(w >= 0)
        problem = _problem(cp, data, alpha, w, unit, penalty, constraints)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the status is reported below
            problem.solve(solver=solver, **options)
        _check_status(problem.status, solver)
        coef = unit * w.value.reshape(w_ls.shape)
        n_iter = int(problem.solver_stats.num_iters or 0)
    dual = []
    for link, term in zip(links, terms, strict=True):
        multiplier = link.dual_value
        dual.append(multiplier.reshape(term.shape))
    objective, gap, dual = certificate(data, terms, alpha, coef, dual)
    return Solution(coef, objective, gap, n_iter, dual)


def _problem(cp, data, alpha, w, unit, penalty, constraints):
    """Return the cvxpy problem in units of w, divided by ``alpha unit``."""
    axes, curvature, w_ls = data.parts(alpha)
    scaled_w = cp.reshape(w, w_ls.shape, order="C")
    least_squares = (w_ls @ axes) / unit
    change = scaled_w @ axes - least_squares
    if alpha == 0:
        constraints = [*constraints, change == 0]
        return cp.Problem(cp.Minimize(penalty), constraints)
    root = np.sqrt(curvature)
    roots = np.tile(root, (len(w_ls), 1))
    misfit = cp.sum_squares(cp.multiply(change, roots))
    objective = 0.5 * unit * misfit / alpha + penalty
    return cp.Problem(cp.Minimize(objective), constraints)


def _check_status(status, solver):
    """Warn where the solution is inaccurate, raise where there is none."""
    if status == "optimal_inaccurate":
        warn(
            f"cvxpy ({solver}) ends before its tolerance: the solution may be inaccurate, rescale "
            "the data or allow a larger gap.",
            ConvergenceWarning,
        )
    elif status != "optimal":
        raise RuntimeError(
            f'cvxpy ends with status {status!r} ({solver}): rescale the data, or use solver="admm".'
        )


def _weighted_map(term):
    """Return K multiplied by the weight of its term."""
    if term.axes is None:
        return term.K
    n_rows, n_columns = term.shape
    damped = (term.axes * term.damping) @ term.axes.T
    weight = np.eye(n_rows) - damped
    on_columns = sparse.kron(weight, sparse.eye_array(n_columns))
    return sparse.csr_array(on_columns @ term.K)
