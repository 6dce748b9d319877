"""One fit: which strategy the mirrors ask for, and the coefficients that it finds.

Objective, with n the sum of the sample weights::

    1/(2n) |Y - X W - 1 b^T|^2 + alpha sum_k weight_k |O_k^T W|

A product of D factors in place of two has ``D/2 |.|^(2/D)`` for the length, which is concave
beyond D = 2: its tangents at the last solution make convex problems, solved in turn.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import nnls

from sksym._linalg import one_thread
from sksym.mirror.analysis import Analysis, Reference
from sksym.mirror.samples import Samples
from sksym.mirror.strategies import Blocks, Chain, CoordinateDescent, Outcome, Spectral
from sksym.mirror.structure import Constraints, block_coordinates, path_of

_EPS = np.finfo(float).eps
_FEW_COLUMNS = 200  # up to which compiled coordinate descent is faster
_SWEEPS = 100  # of coordinate descent, after which Newton's method takes over
_PERFECT = 256 * _EPS  # residuals, relative to Y, that are round-off
_ROUNDS = 40  # tangents, at most
_HEAVIEST = 1e3  # weight of what holds, relative to what does not
_SHARPER = 0.5  # of the length at which a tangent is taken in place of zero, from one to the next


@dataclass(frozen=True, eq=False)
class Options:
    """What a fit needs besides data, mirrors and alpha."""

    overlap: str = "analysis"
    depth: int = 2
    positive: bool = False
    fit_intercept: bool = True
    solver: str = "auto"
    tol: float = 1e-6
    max_iter: int = 10_000


@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients and their certificate.

    Attributes
    ----------
    W : ndarray of shape (p, q)
    intercept : ndarray of shape (q,)
    active : ndarray of shape (m,), bool
        Elementary mirrors that the data break.
    objective, gap : float
        Of the objective above, and by what it may exceed the least.
    n_iter : int
    converged : bool
    state : object
        To start from with another alpha.
    """

    W: np.ndarray
    intercept: np.ndarray
    active: np.ndarray
    objective: float
    gap: float
    n_iter: int
    converged: bool
    state: object = field(default=None, repr=False)


class MirrorProblem:
    """Data, mirrors and options, ready for any alpha."""

    def __init__(self, X, Y, root, rows, options, many=False):
        self.rows, self.options = rows, options
        self.samples = Samples(X, Y, root, options.fit_intercept, many)
        with one_thread():
            self.strategy = _strategy(self.samples, rows, options)

    def largest_alpha(self):
        """An alpha from which on every mirror holds, the least where there is a closed form."""
        if self.strategy is None:
            return 0.0
        with one_thread():
            return float(self.strategy.largest_alpha()) / self.samples.size

    def fit(self, alpha, start=None):
        """The minimiser, from the state of another fit."""
        n, options = self.samples.size, self.options
        with one_thread():
            if alpha == 0 or self.strategy is None:
                outcome = self._unpenalised()
            elif options.depth > 2:
                outcome = self._deep(n * alpha, start)
            else:
                outcome = self._convex(n * alpha, start)
        W, active = outcome.W, outcome.lengths > 0
        if self.rows.nuclear:
            s = np.linalg.svd(W, compute_uv=False)
            active = np.concatenate([active, s > options.tol * 1e-3 * s.max(initial=0)])
        intercept = self.samples.intercept(W)
        return Fit(
            W,
            intercept,
            active,
            outcome.objective / n,
            outcome.gap / n,
            outcome.n_iter,
            self._converged(outcome),
            outcome.state,
        )

    def _converged(self, outcome):
        # The residual is known to round-off of Y only.
        floor = (_PERFECT * np.linalg.norm(self.samples.Y)) ** 2
        return bool(outcome.gap <= self.options.tol * outcome.objective + floor)

    def _convex(self, alpha, start):
        """By alternating directions where Newton's method stalls, on ill-conditioned chains."""
        options, strategy = self.options, self.strategy
        outcome = strategy.solve(alpha, options.tol, options.max_iter, start)
        left = options.max_iter - outcome.n_iter
        turned = isinstance(strategy, Blocks) and strategy.coordinates.columns is None
        free = options.solver == "auto" and options.overlap == "analysis"
        if not (turned and free) or self._converged(outcome) or left <= 0:
            return outcome
        other = Analysis(self.samples, self.rows).solve(alpha, options.tol, left)
        best = min(outcome, other, key=lambda one: one.gap)
        return replace(best, n_iter=outcome.n_iter + other.n_iter, state=outcome.state)

    def state_of(self, W):
        """What to start from, of coefficients (p, q); None where they do not tell."""
        if isinstance(self.strategy, Blocks) and self.strategy.coordinates.inverse is not None:
            return self.strategy.coordinates.inverse(W)
        return W if isinstance(self.strategy, Spectral) else None

    def _unpenalised(self):
        """Least squares; of its solutions that of the least norm."""
        samples = self.samples
        if self.options.positive:
            X, Y, _ = samples.reduced
            W = np.transpose([nnls(X, y)[0] for y in Y.T])
        else:
            W = samples.least_squares()
        lengths = self.rows.lengths(W)
        lengths[lengths <= 8 * _EPS * np.abs(W).max(initial=0)] = 0.0
        W = Constraints(self.rows.rows_of(lengths == 0)).write(W)
        residual = samples.residual(W)
        return Outcome(W, lengths, 0.5 * np.vdot(residual, residual), 0.0, 0, None)

    def _deep(self, alpha, start):
        """Tangents of ``D/2 |.|^(2/D)``: weights ``(|.| + e)^(2/D - 1)`` for ever smaller e."""
        options, power = self.options, 2 / self.options.depth - 1
        outcome = self.strategy.solve(alpha, options.tol, options.max_iter, start)
        smooth = outcome.lengths.max(initial=0)
        n_iter, state = outcome.n_iter, outcome.state
        for _ in range(_ROUNDS if smooth else 0):
            smooth *= _SHARPER
            before = outcome.W
            factors = (outcome.lengths + smooth) ** power
            # What holds needs no weight beyond all others': it would ruin the conditioning.
            least = factors[outcome.lengths > 0].max(initial=0) or factors.min()
            factors = np.minimum(factors, _HEAVIEST * least)
            outcome = self.strategy.solve(alpha, options.tol, options.max_iter, state, factors)
            n_iter, state = n_iter + outcome.n_iter, outcome.state
            if np.abs(outcome.W - before).max() <= options.tol * np.abs(before).max(initial=0):
                break
        residual = self.samples.residual(outcome.W)
        roots = outcome.lengths ** (2 / options.depth)
        penalty = options.depth / 2 * (self.rows.weights @ roots)
        objective = 0.5 * np.vdot(residual, residual) + alpha * penalty
        return replace(outcome, objective=objective, n_iter=n_iter)


def _strategy(samples, rows, options):
    """What solves these mirrors; None where nothing is penalised."""
    K, q, solver = rows.K, samples.Y.shape[1], options.solver
    if not K.shape[0] and not rows.nuclear:
        return None
    if rows.nuclear and (options.overlap == "latent" and K.shape[0]):
        raise ValueError(
            'overlap="latent" splits the coefficients between mirrors, which `low_rank` with '
            'others does not do here: use overlap="analysis", or `low_rank()` alone.'
        )
    coordinates = None if rows.nuclear else block_coordinates(rows, options.overlap)
    if options.positive:
        _check_positive(coordinates)
    plain = options.overlap == "analysis" and solver in ("auto", "newton") and q == 1
    steps = _observed_steps(samples, rows) if plain else None
    if steps is not None:
        return Chain(samples, rows, np.abs(steps))
    selected = coordinates is not None and coordinates.columns is not None
    single = selected and (rows.sizes == 1).all()
    if solver == "cd" and not single:
        raise ValueError('solver="cd" is for mirrors of single columns, `rescaling()`: use "auto".')
    if solver == "cd" or (solver == "auto" and single and _suits_descent(samples)):
        sweeps = _SWEEPS if solver == "auto" else options.max_iter
        return CoordinateDescent(samples, rows, coordinates, options.positive, sweeps)
    if coordinates is not None and solver != "admm":
        chosen = Blocks(samples, rows, coordinates, options.positive)
    elif rows.nuclear and not K.shape[0] and solver != "admm":
        chosen = Spectral(samples, rows)
    elif solver == "newton":
        raise ValueError(
            'solver="newton" is for mirrors that are independent of each other, or `low_rank()` '
            'alone: use "auto" or "admm".'
        )
    elif options.positive or options.overlap == "latent":
        raise ValueError(
            'solver="admm" does not know positive=True or overlap="latent": use "auto".'
        )
    else:
        chosen = Analysis(samples, rows)
    return Reference(chosen, samples) if solver == "cvxpy" else chosen


def _check_positive(coordinates):
    """Raise unless the sign of every coefficient can be kept."""
    plain = coordinates is not None and coordinates.columns is not None
    if not plain or coordinates.inverse is None or len(coordinates.free):
        raise ValueError(
            "positive=True is for mirrors of single columns and for groups that do not overlap and "
            "cover all columns: drop it, or choose such mirrors."
        )


def _observed_steps(samples, rows):
    """Those of `path_of`, where each coefficient of the chain is observed by itself; else None."""
    X = samples.X
    n, p = X.shape
    if not samples.is_sparse or n != p or X.nnz != n or not X.diagonal().all():
        return None
    even = samples.ones is None or np.ptp(samples.per_row) == 0
    return path_of(rows.K) if even else None


def _suits_descent(samples):
    """Whether scikit-learn's coordinate descent is faster: few columns, see `bench_mirror.py`."""
    return not samples.is_sparse and samples.X.shape[1] <= _FEW_COLUMNS
