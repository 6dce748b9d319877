"""Least squares with a norm of blocks: many columns, of which the solution needs few.

    minimise  1/2 |Y - A x|^2 + sum_g weights_g |x_g|,     x (t, q)

The problem is solved on a set of blocks that grows by those that violate optimality most, with
the Gram matrix of the set kept; each time more accurately as the bound of the whole gets better.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from sksym._linalg import require_memory
from sksym.solvers.newton import duality_gap, proximal_newton
from sksym.solvers.problem import Solution

_FIRST = 100  # columns, at least, by which the set grows
_SIGMA = 30.0  # first proximal step, in units of one over the mean square of a column
_BACK = 0.3  # of the last proximal step, where the set has grown
_AHEAD, _SETTLED = 0.3, 0.1  # accuracy on the set relative to the bound of the whole
_FEW = 0.05  # a set that grows by less has settled
_GRAM = 2.0  # times n: sets up to this size have their Gram matrix kept
_LEAST = 1e-6  # part of `tol` beyond which a set that grows no more is not solved
_IDLE, _IDLE_GAIN = 10, 0.9  # rounds without a bound that is so much less
_ROUND_OFF = 8 * np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class Design:
    """``A = (I - Q Q^T) X``, some columns: never formed as a whole.

    Attributes
    ----------
    X : ndarray or csc_array of shape (n, p)
    columns : ndarray of shape (t,), default=None
        Of X, block by block; None: all.
    Q : ndarray of shape (n, f), default=None
        Orthonormal basis of what is fitted without a penalty.
    """

    X: object
    columns: np.ndarray | None = None
    Q: np.ndarray | None = None

    @property
    def shape(self):
        """(n, t)."""
        n, p = self.X.shape
        return n, p if self.columns is None else len(self.columns)

    def correlate(self, R):
        """``A^T R`` (t, q), for R without a component along Q."""
        moved = self.X.T @ R
        return moved if self.columns is None else moved[self.columns]

    def rows(self, where):
        """Some columns of A, as rows."""
        where = where if self.columns is None else self.columns[where]
        taken = self.X[:, where]
        if sparse.issparse(taken):
            n, t = taken.shape
            require_memory(
                16.0 * n * t,
                f"Working with {t:,} sparse columns of {n:,} rows at a time",
                'Increase `alpha`, or use solver="auto", so that fewer are needed.',
            )
            taken = taken.toarray()
        T = np.ascontiguousarray(taken.T)
        for _ in range(0 if self.Q is None else 2):  # twice is enough for far offsets
            T -= (T @ self.Q) @ self.Q.T
        return T

    def apply(self, x):
        """``A x`` for an x of which most rows are zero."""
        where = np.flatnonzero(np.any(x, axis=1))
        return self.rows(where).T @ x[where]

    @cached_property
    def lengths(self):
        """Those of the columns of X, (t,)."""
        if sparse.issparse(self.X):
            squares = np.asarray(self.X.power(2).sum(axis=0)).ravel()
        else:
            squares = np.einsum("ij,ij->j", self.X, self.X)
        return np.sqrt(squares if self.columns is None else squares[self.columns])

    @cached_property
    def squares(self):
        """Bounds of the squared lengths of the columns of A, (t,)."""
        squares = self.lengths**2
        if self.Q is not None:
            along = self.correlate(self.Q)
            slack = 64 * np.finfo(float).eps * squares
            squares = np.maximum(squares - np.einsum("ij,ij->i", along, along), 0) + slack
        return squares

    def part(self, where):
        """Some columns, their numbers in memory of their own."""
        columns = where if self.columns is None else self.columns[where]
        return Design(self.X[:, columns], None, self.Q)


def block_least_squares(design, Y, norm, *, tol, max_iter, start=None):
    """Minimise ``1/2 |Y - A x|^2 + sum_g weights_g |x_g|`` on a growing set of blocks.

    Parameters
    ----------
    design : Design
    Y : ndarray of shape (n, q)
        Without a component along ``design.Q``.
    norm : BlockNorm
    tol : float
        Duality gap relative to the objective.
    max_iter : int
        Newton steps.
    start : ndarray of shape (t, q), default=None

    Returns
    -------
    Solution
        ``coef`` (t, q); also where `tol` was not reached: look at its `gap`, which is relative to
        the objective.
    """
    x = np.zeros((design.shape[1], Y.shape[1])) if start is None else start
    chosen, residual = None, Y - design.apply(x)
    n_iter, sigma, least, best, idle = 0, 0.0, _AHEAD, np.inf, 0
    floor = (_ROUND_OFF * np.linalg.norm(Y)) ** 2  # what round-off of Y makes of any bound
    while True:
        corr = design.correlate(residual)
        gap, objective, t = duality_gap(norm, x, norm.value(x), residual, corr, Y)
        gap = max(gap, floor, _ROUND_OFF * objective)
        share = gap / objective if objective else 0.0
        if share <= tol or gap <= 2 * floor or n_iter >= max_iter or least < _LEAST:
            return Solution(x, n_iter, share, [t * residual], objective)
        if chosen is None:
            left = None if start is None else _unscreened(design, norm, t * corr, gap)
            if left is not None and len(left) < 0.5 * len(norm.sizes):
                rows = norm.rows(left)
                part, options = design.part(rows), {"tol": tol, "max_iter": max_iter}
                inside = block_least_squares(part, Y, norm.part(left), start=x[rows], **options)
                x = np.zeros_like(x)
                x[rows] = inside.coef
                return replace(inside, coef=x)
            chosen = _Chosen(design, norm)
            chosen.add(np.flatnonzero(norm.lengths(x) > 0))
        outside = _violating(norm, corr, x, chosen.blocks)
        chosen.add(outside)
        few = len(outside) <= _FEW * len(chosen.blocks)
        idle = 0 if len(outside) or share < _IDLE_GAIN * best else idle + 1
        best = min(best, share)
        goal = max(least * tol, (_SETTLED if few else _AHEAD) * share)
        goal = least * tol if idle > _IDLE else goal
        if not len(outside) and goal == least * tol:
            least /= 10
        sigma = max(_BACK * sigma, _SIGMA)
        found = proximal_newton(
            chosen.T,
            Y,
            chosen.norm,
            x[chosen.rows] * chosen.scale[:, None],
            tol=goal,
            sigma=sigma,
            max_iter=max_iter - n_iter,
            gram=chosen.gram,
        )
        x = np.zeros_like(x)
        x[chosen.rows] = found.x / chosen.scale[:, None]
        residual, sigma = found.residual, found.sigma
        n_iter += found.n_iter


def _violating(norm, corr, x, inside):
    """Those blocks outside the set that want most to be in it: as many as are not zero."""
    scores = norm.scores(corr)
    scores[inside] = 0
    found = np.flatnonzero(scores > 1)
    many = max(_FIRST * len(norm.sizes) // len(x) + 1, int((norm.lengths(x) > 0).sum()))
    if len(found) <= many:
        return found
    return found[np.argpartition(-scores[found], many)[:many]]


def _unscreened(design, norm, dual, gap):
    """Blocks that a sphere about a dual point, which holds the optimal one, cannot show to be zero.

    O. Fercoq, A. Gramfort and J. Salmon, ICML 2015.
    """
    reach = np.sqrt(2 * gap * np.add.reduceat(design.squares, norm.starts))
    return np.flatnonzero(norm.scores(dual) * norm.weights + reach >= norm.weights)


class _Chosen:
    """The blocks in the set: their columns as rows of T, and the products of these.

    Every block is scaled to columns of length one on average, and its weight with it.
    """

    def __init__(self, design, norm):
        self.design, self.whole, n = design, norm, design.shape[0]
        self.blocks, self.rows, self.scale = np.zeros(0, int), np.zeros(0, int), np.zeros(0)
        self.T, self.products = np.zeros((0, n)), np.zeros((0, 0))
        self.norm = norm.part(self.blocks)

    def add(self, blocks):
        """More blocks."""
        if not len(blocks):
            return
        rows, norm = self.whole.rows(blocks), self.whole.part(blocks)
        new = self.design.rows(rows)
        size = norm.lengths(new) / np.sqrt(norm.sizes)
        size[size == 0] = 1.0
        new /= size[norm.block][:, None]
        weights = np.concatenate([self.norm.weights, norm.weights / size])
        self.blocks = np.concatenate([self.blocks, blocks])
        self.rows = np.concatenate([self.rows, rows])
        self.scale = np.concatenate([self.scale, size[norm.block]])
        self.norm = replace(self.whole.part(self.blocks), weights=weights)
        if self.products is not None and len(self.rows) <= _GRAM * new.shape[1]:
            across = self.T @ new.T
            self.products = np.block([[self.products, across], [across.T, new @ new.T]])
        else:
            self.products = None
        self.T = np.concatenate([self.T, new])

    @property
    def gram(self):
        """Products of some rows, by their places; None where they are not kept."""
        return None if self.products is None else self._products_of

    def _products_of(self, where):
        return self.products[np.ix_(where, where)]
