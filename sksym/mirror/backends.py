"""Back ends: who solves the penalised least-squares problem of some mirrors.

With n the sum of the sample weights and factors of 1 unless said otherwise::

    1/(2n) |Y - X W - 1 b^T|^2 + alpha sum_k factors_k weights_k |O_k^T W|

The first row of a table whose condition holds for a `MirrorProblem` builds its back end, an object
with the attribute `problem` and three methods:

* ``solve(alpha, start=None, factors=1.0)`` returns a `MirrorFit`; its `state` is a `start`;
* ``largest_alpha()`` is the least alpha at which every mirror holds, or an upper bound of it;
* ``start_from(W)`` is the start that coefficients W (p, q) make, or None.
"""

import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, MultiTaskLasso

from sksym.mirror.centred_data import CentredData, block_design
from sksym.mirror.coordinates import Constraints, block_coordinates
from sksym.mirror.newton_blocks import BlocksByCvxpy, NewtonBlocks
from sksym.mirror.observed_chain import ObservedChain, observes_a_chain
from sksym.mirror.operators import MirrorOperators
from sksym.mirror.overlapping import Overlapping, TermsByCvxpy
from sksym.mirror.spectral import SpectralNewton
from sksym.solvers import GroupNorm, duality_gap
from sksym.solvers.working_set import ALONG

SOLVERS = ("auto", "newton", "cd", "admm", "cvxpy")
LARGE_ALPHA = 1e6  # beyond it alpha is compared with the largest that makes a difference
SMALL_ALPHA = 1e-150

_EPS = np.finfo(float).eps
_FEW_COLUMNS = 200  # up to which compiled coordinate descent is faster, see bench_mirror.py
_SWEEPS = 100  # of coordinate descent, after which Newton's method takes over
_FIRST_TOL = 0.1  # tolerance of scikit-learn, which is relative to Y, over ours
_ROUND_OFF_OF_Y = 256 * _EPS  # residuals, relative to Y, that are round-off
_RANK = 1e-3  # singular values, relative to the largest and over `tol`, that count as zero
_TANGENTS = 40  # of a concave penalty, at most
_HEAVIEST = 1e3  # weight of what holds, relative to what does not
_SHARPER = 0.5  # ratio of the lengths that smooth a concave penalty, from one tangent to the next


@dataclass(frozen=True, eq=False)
class MirrorFit:
    """Coefficients and their certificate.

    Attributes
    ----------
    W : ndarray of shape (p, q)
    intercept : ndarray of shape (q,)
    lengths : ndarray of shape (m,)
        Lengths of the penalised components, zero exactly where a mirror holds; with `low_rank`
        the singular values of W come last.
    objective, gap : float
        The objective above, and a bound of its excess over the minimum.
    n_iter : int
    converged : bool
    state : object
        To start the problem with another alpha from.
    """

    W: np.ndarray
    intercept: np.ndarray
    lengths: np.ndarray
    objective: float
    gap: float
    n_iter: int
    converged: bool
    state: object = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class MirrorProblem:
    """Data, mirrors and options; alpha is given later.

    Attributes
    ----------
    data : CentredData
    operators : MirrorOperators
    overlap, depth, positive, solver, tol, max_iter
        As in `MirrorSparseRegressor`.
    penalised : bool
        Whether alpha is not 0.
    """

    data: CentredData
    operators: MirrorOperators
    overlap: str = "analysis"
    depth: int = 2
    positive: bool = False
    solver: str = "auto"
    tol: float = 1e-6
    max_iter: int = 10_000
    penalised: bool = True

    @cached_property
    def coordinates(self):
        """Coordinates in which the mirrors are blocks, or None."""
        return block_coordinates(self.operators, self.overlap)

    def finish(self, W, lengths, objective, gap, n_iter, state=None):
        """Return the `MirrorFit` of coefficients, `objective` and `gap` being sums over rows."""
        data = self.data
        if self.operators.nuclear:
            s = np.linalg.svd(W, compute_uv=False)
            # A missed tolerance leaves singular values that are small, not zero.
            s[s <= _RANK * self.tol * s.max(initial=0)] = 0.0
            lengths = np.concatenate([lengths, s])
        # The residual is known up to round-off of Y only.
        floor = (_ROUND_OFF_OF_Y * np.linalg.norm(data.Y)) ** 2
        return MirrorFit(
            W=W,
            intercept=data.y_mean - data.x_mean @ W,
            lengths=lengths,
            objective=float(objective / data.total_weight),
            gap=float(gap / data.total_weight),
            n_iter=int(n_iter),
            converged=bool(gap <= self.tol * objective + floor),
            state=state,
        )


def backend_for(problem):
    """Return the back end for a problem.

    Raises
    ------
    ValueError
        If none solves it with the options asked for.
    """
    if problem.positive and not _keeps_signs(problem):
        raise ValueError(
            "positive=True is for mirrors of single columns and for groups that do not overlap and "
            "cover all columns: drop it, or choose such mirrors."
        )
    for solvers, applies, build in _BACKENDS:
        if problem.solver in solvers and applies(problem):
            return build(problem)
    operators = problem.operators
    if operators.nuclear and len(operators.sizes) and problem.overlap == "latent":
        raise ValueError(
            'overlap="latent" splits the coefficients between mirrors, which `low_rank` with '
            'others does not do here: use overlap="analysis", or `low_rank()` alone.'
        )
    raise ValueError(_REFUSALS[problem.solver])


def moderate_alpha(backend, alpha):
    """Return an alpha with the same solution that the arithmetic of the solvers can bear.

    All mirrors hold from the largest alpha on.
    """
    if alpha > LARGE_ALPHA:
        return min(alpha, 2 * backend.largest_alpha() or 1.0)
    return alpha and max(alpha, SMALL_ALPHA)


def _keeps_signs(problem):
    """Return whether each coefficient is one component, so that its sign can be kept."""
    coordinates = problem.coordinates
    if coordinates is None or coordinates.columns is None:
        return False
    return coordinates.distinct and not len(coordinates.free)


class LeastSquaresOnly:
    """The problem without a penalty: alpha = 0, or no mirror of positive weight."""

    def __init__(self, problem):
        self.problem = problem

    def largest_alpha(self):
        """Return 0: every mirror that may hold does."""
        return 0.0

    def start_from(self, W):
        """Return None: nothing is iterated."""
        return None

    def solve(self, alpha, start=None, factors=1.0):
        """Return the minimiser, of several that of least norm."""
        data = self.problem.data
        operators = self.problem.operators
        if self.problem.positive:
            # The minimum is the same on fewer rows.
            X, Y, _ = data.reduced
            W = np.transpose([nnls(X, y)[0] for y in Y.T])
        else:
            W = data.least_squares()
        lengths = operators.lengths(W)
        lengths[lengths <= 8 * _EPS * np.abs(W).max(initial=0)] = 0.0
        W = Constraints(operators.rows_of(lengths == 0)).write(W)
        residual = data.residual(W)
        loss = 0.5 * np.vdot(residual, residual)
        return self.problem.finish(W, lengths, loss, 0.0, 0)


class Concave:
    """Products of D > 2 factors, whose penalty ``D/2 |.|^(2/D)`` is concave.

    Its tangents at the last solution make convex problems, which are solved in turn.

    Attributes
    ----------
    problem : MirrorProblem
    convex : object
        Back end for two factors.
    """

    def __init__(self, problem):
        self.problem = problem
        self.convex = backend_for(replace(problem, depth=2))

    def largest_alpha(self):
        """Return the least alpha at which every mirror holds for two factors."""
        return self.convex.largest_alpha()

    def start_from(self, W):
        """Return the start for two factors."""
        return self.convex.start_from(W)

    def solve(self, alpha, start=None):
        """Return a stationary point, found from the solution for two factors on.

        Tangents have the weights ``(|.| + e)^(2/D - 1)``, for ever smaller e.
        """
        problem = self.problem
        power = 2 / problem.depth
        fit = self.convex.solve(alpha, start)
        smooth = fit.lengths.max(initial=0)
        n_iter = fit.n_iter
        for _ in range(_TANGENTS if smooth else 0):
            smooth *= _SHARPER
            previous = fit.W
            slopes = (fit.lengths + smooth) ** (power - 1)
            # A mirror that holds needs no weight beyond all others: it would ruin the conditioning.
            heaviest_broken = slopes[fit.lengths > 0].max(initial=0) or slopes.min()
            slopes = np.minimum(slopes, _HEAVIEST * heaviest_broken)
            fit = self.convex.solve(alpha, fit.state, slopes)
            n_iter += fit.n_iter
            change = np.abs(fit.W - previous).max()
            if change <= problem.tol * np.abs(previous).max(initial=0):
                break
        n = problem.data.total_weight
        residual = problem.data.residual(fit.W)
        loss = 0.5 * np.vdot(residual, residual)
        penalty = problem.operators.weights @ fit.lengths**power / power
        objective = loss + n * alpha * penalty
        return problem.finish(fit.W, fit.lengths, objective, n * fit.gap, n_iter, fit.state)


class CoordinateDescent:
    """Single columns by scikit-learn, whose loops are compiled, then by Newton's method.

    Attributes
    ----------
    problem : MirrorProblem
    coordinates : SelectedColumns
    design : BlockDesign
    X : ndarray of shape (n, t)
        The penalised columns.
    T : ndarray of shape (t, n)
        The same with all that is fitted freely projected out, transposed.
    unit_design : ndarray of shape (n, t)
        T transposed, each column divided by its weight, as scikit-learn knows no weights.
    """

    def __init__(self, problem):
        self.problem = problem
        self.coordinates = problem.operators.selection(problem.overlap)
        self.design = block_design(problem.data, self.coordinates)
        X = self.design.X
        if self.design.columns is not None:
            X = X[:, self.design.columns]
        self.X = X.toarray() if sparse.issparse(X) else X
        self.T = np.ascontiguousarray(self.X.T)
        squares = np.einsum("ij,ij->i", self.T, self.T)
        Q = self.design.Q
        for _ in range(2):  # the second projection removes the round-off of far offsets
            self.T = self.T - (self.T @ Q) @ Q.T
        # What lies along Q leaves round-off, which coefficients of any size would cost nothing.
        across = np.einsum("ij,ij->i", self.T, self.T)
        self.T[across <= ALONG**2 * squares] = 0.0
        self.unit_design = np.asfortranarray(self.T.T / problem.operators.weights)

    @cached_property
    def newton(self):
        """The back end for what takes many sweeps."""
        return NewtonBlocks(self.problem, self.design)

    def largest_alpha(self):
        """Return the dual norm of the gradient where every mirror holds."""
        return self.newton.largest_alpha()

    def start_from(self, W):
        """Return the components (t, q) of coefficients (p, q)."""
        return self.coordinates.components(W)

    def solve(self, alpha, start=None, factors=1.0):
        """Return the minimiser, in sweeps of scikit-learn with ever smaller tolerances."""
        problem = self.problem
        target = self.design.target
        q = target.shape[1]
        # Column k divided by its weight has a coefficient whose weight is 1.
        total_alpha = problem.data.total_weight * alpha
        scale = problem.operators.weights * factors
        norm = GroupNorm(total_alpha * scale, problem.operators.sizes, problem.positive)
        X = self.unit_design
        if np.ndim(factors):
            X = np.asfortranarray(self.T.T / scale)
        if q == 1:
            y = target[:, 0]
            model = Lasso(positive=problem.positive)
        else:
            y = target
            model = MultiTaskLasso()
        model.set_params(
            alpha=total_alpha / len(target),
            fit_intercept=False,
            warm_start=True,
            copy_X=False,
            random_state=0,  # not used, but drawn from
        )
        if start is not None:
            coef = (start * scale[:, None]).T
            model.coef_ = np.asfortranarray(coef[0] if q == 1 else coef)
        sweeps = problem.max_iter
        if problem.solver == "auto":
            sweeps = min(sweeps, _SWEEPS)
        tol = _FIRST_TOL * problem.tol
        x = start
        gap = np.inf
        objective = 0.0
        n_iter = 0
        with warnings.catch_warnings():  # the gap is reported in our units
            warnings.simplefilter("ignore", ConvergenceWarning)
            while gap > problem.tol * objective and n_iter < sweeps and tol > _EPS:
                model.set_params(tol=tol, max_iter=sweeps - n_iter)
                model.fit(X, y)
                n_iter += model.n_iter_
                tol /= 10
                x = np.reshape(model.coef_, (q, -1)).T / scale[:, None]
                lengths = norm.lengths(x)
                residual = target - self.T.T @ x
                correlation = self.T @ residual
                penalty = float(norm.alpha @ lengths)
                gap, objective, _ = duality_gap(norm, x, penalty, residual, correlation, target)
        if gap > problem.tol * objective and n_iter < problem.max_iter:
            return self.newton.solve(alpha, x, factors, spent=n_iter)
        z = self.design.free_fit @ (self.design.Y - self.X @ x)
        W = self.coordinates.coefficients(x, z)
        gap = max(gap, _EPS * objective)
        objective += 0.5 * self.design.unexplained
        return problem.finish(W, lengths, objective, gap, n_iter, x)


def _are_blocks(problem):
    return problem.coordinates is not None


def _is_nuclear(problem):
    return problem.operators.nuclear > 0 and not len(problem.operators.sizes)


def _is_sum_of_norms(problem):
    meaning = problem.overlap == "analysis" or _is_nuclear(problem)
    return meaning and not problem.positive


# Values of `solver`, the condition on the problem, and the back end: the first row that applies.
_BACKENDS = (
    (
        SOLVERS,
        lambda problem: (
            not problem.penalised or not (len(problem.operators.sizes) or problem.operators.nuclear)
        ),
        LeastSquaresOnly,
    ),
    (SOLVERS, lambda problem: problem.depth > 2, Concave),
    (
        ("auto",),
        lambda problem: (
            problem.data.X.shape[1] <= _FEW_COLUMNS
            and not sparse.issparse(problem.data.X)
            and problem.operators.selection(problem.overlap, single=True) is not None
        ),
        CoordinateDescent,
    ),
    (
        ("cd",),
        lambda problem: problem.operators.selection(problem.overlap, single=True) is not None,
        CoordinateDescent,
    ),
    (("auto", "newton"), observes_a_chain, ObservedChain),
    (("auto", "newton"), _are_blocks, NewtonBlocks),
    (("auto", "newton"), _is_nuclear, SpectralNewton),
    (("auto", "admm"), _is_sum_of_norms, Overlapping),
    (("cvxpy",), _are_blocks, BlocksByCvxpy),
    (("cvxpy",), _is_sum_of_norms, TermsByCvxpy),
)

_REFUSALS = {
    "cd": 'solver="cd" is for mirrors of single columns, `rescaling()`: use "auto".',
    "newton": 'solver="newton" is for mirrors that are independent of each other, or `low_rank()` '
    'alone: use "auto" or "admm".',
    "admm": 'solver="admm" does not know positive=True or overlap="latent": use "auto".',
}
