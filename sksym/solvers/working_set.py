"""Working sets for least squares with a norm of blocks: of many columns few are needed.

    minimise  1/2 |Y - A x|^2 + sum_g alpha_g |x_g|,     x (t, q)

The problem is solved on a set of blocks, which grows by those that violate the optimality
conditions most; the accuracy of a round follows the duality gap of the whole problem. The Gram
matrix of the columns in the set is kept from one round to the next.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from sksym._linalg import require_memory
from sksym.solvers.newton import proximal_newton
from sksym.solvers.solution import Solution, duality_gap

_FIRST = 100  # columns, at least, by which the set grows
_SIGMA = 30.0  # first proximal step, in units of one over the mean square of a column
_BACK = 0.3  # factor of the last proximal step when the set has grown
_AHEAD = 0.3  # accuracy on the set relative to the gap of the whole problem
_SETTLED = 0.1  # the same once the set hardly grows
_FEW = 0.05  # growth of the set below which it has settled
_GRAM = 2.0  # times n: sets up to this size have their Gram matrix kept
_FINEST = 1e-6  # accuracy relative to `tol` beyond which a set that does not grow is given up
_IDLE = 10  # rounds without progress after which the set is solved as accurately as needed
_IDLE_GAIN = 0.9  # ratio of two gaps that counts as progress
_SCREENED = 0.5  # share of the blocks left by screening from which a problem of their own pays
_ROUND_OFF = 8 * np.finfo(float).eps
ALONG = 64 * np.finfo(float).eps  # length across Q, relative to the whole, that is round-off


@dataclass(frozen=True, eq=False)
class Design:
    """Some columns of ``A = (I - Q Q^T) X``, which is never formed as a whole.

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
        if self.columns is not None:
            p = len(self.columns)
        return n, p

    def correlate(self, R):
        """Return ``A^T R`` (t, q), for R without a component along Q."""
        correlation = self.X.T @ R
        return correlation if self.columns is None else correlation[self.columns]

    def rows(self, places):
        """Return some columns of A as rows, (s, n)."""
        selected = self.X[:, self._columns_of_X(places)]
        if sparse.issparse(selected):
            n, t = selected.shape
            require_memory(
                16.0 * n * t,
                f"Working with {t:,} sparse columns of {n:,} rows at a time",
                'Increase `alpha`, or use solver="auto", so that fewer are needed.',
            )
            selected = selected.toarray()
        T = np.ascontiguousarray(selected.T)
        if self.Q is not None:
            squares = np.einsum("ij,ij->i", T, T)
            # Twice: after one projection round-off of far offsets is left along Q.
            for _ in range(2):
                T -= (T @ self.Q) @ self.Q.T
            # What lies along Q leaves round-off, which coefficients of any size would cost nothing.
            across = np.einsum("ij,ij->i", T, T)
            T[across <= ALONG**2 * squares] = 0.0
        return T

    def apply(self, x):
        """Return ``A x`` for an x of which most rows are zero."""
        support = np.flatnonzero(np.any(x, axis=1))
        return self.rows(support).T @ x[support]

    @cached_property
    def lengths(self):
        """Lengths of the columns of X, (t,)."""
        if sparse.issparse(self.X):
            squares = np.asarray(self.X.power(2).sum(axis=0)).ravel()
        else:
            squares = np.einsum("ij,ij->j", self.X, self.X)
        if self.columns is not None:
            squares = squares[self.columns]
        return np.sqrt(squares)

    @cached_property
    def squares(self):
        """Upper bounds of the squared lengths of the columns of A, (t,)."""
        squares = self.lengths**2
        if self.Q is None:
            return squares
        along = self.correlate(self.Q)
        across = squares - np.einsum("ij,ij->i", along, along)
        # The difference loses digits: the slack keeps it a bound.
        slack = 64 * np.finfo(float).eps * squares
        return np.maximum(across, 0) + slack

    def subset(self, places):
        """Return the design of some columns, their numbers copied."""
        return Design(self.X[:, self._columns_of_X(places)], None, self.Q)

    def _columns_of_X(self, places):
        return places if self.columns is None else self.columns[places]


def block_least_squares(design, Y, norm, *, tol, max_iter, start=None):
    """Minimise ``1/2 |Y - A x|^2 + sum_g alpha_g |x_g|`` on a growing set of blocks.

    Parameters
    ----------
    design : Design
    Y : ndarray of shape (n, q)
        Without a component along ``design.Q``.
    norm : GroupNorm
        With arrays `alpha` and `sizes`.
    tol : float
        Duality gap relative to the objective.
    max_iter : int
        Newton steps.
    start : ndarray of shape (t, q), default=None

    Returns
    -------
    Solution
        ``coef`` (t, q). Where `tol` was not reached, its gap says so.
    """
    x = np.zeros((design.shape[1], Y.shape[1])) if start is None else start
    residual = Y - design.apply(x)
    floor = (_ROUND_OFF * np.linalg.norm(Y)) ** 2  # gap that round-off of Y makes
    accuracy = _Accuracy(tol)
    working_set = None
    n_iter = 0
    sigma = 0.0
    while True:
        correlation = design.correlate(residual)
        gap, objective, scale = duality_gap(norm, x, norm.value(x), residual, correlation, Y)
        gap = max(gap, floor, _ROUND_OFF * objective)
        relative_gap = gap / objective if objective else 0.0
        reached = relative_gap <= tol or gap <= 2 * floor
        if reached or n_iter >= max_iter or accuracy.exhausted:
            return Solution(
                coef=x,
                objective=objective,
                gap=gap,
                n_iter=n_iter,
                dual=[scale * residual],
            )
        if working_set is None:
            if start is not None:
                blocks = _unscreened(design, norm, scale * correlation, gap)
                if len(blocks) < _SCREENED * len(norm.sizes):
                    return _on_subset(design, Y, norm, blocks, x, tol=tol, max_iter=max_iter)
            working_set = _WorkingSet(design, norm)
            nonzero = np.flatnonzero(norm.lengths(x))
            working_set.add(nonzero)
        violating = _violating(norm, correlation, x, working_set.blocks)
        working_set.add(violating)
        n_blocks = len(working_set.blocks)
        inside = working_set.solve(
            Y,
            x,
            tol=accuracy.next(relative_gap, len(violating), n_blocks),
            sigma=max(_BACK * sigma, _SIGMA),
            max_iter=max_iter - n_iter,
        )
        x = inside.coef
        residual, sigma = inside.state
        n_iter += inside.n_iter


def _violating(norm, correlation, x, inside):
    """Return the blocks outside the set that violate optimality most: as many as are not zero."""
    scores = norm.scores(correlation)
    scores[inside] = 0
    violating = np.flatnonzero(scores > 1)
    n_nonzero = np.count_nonzero(norm.lengths(x))
    least = _FIRST * len(norm.sizes) // len(x) + 1  # blocks of _FIRST columns
    limit = max(least, n_nonzero)
    if len(violating) <= limit:
        return violating
    order = np.argpartition(-scores[violating], limit)
    return violating[order[:limit]]


def _unscreened(design, norm, dual, gap):
    """Return the blocks that may differ from zero: the others are outside a safe sphere.

    The sphere is about a dual point and holds the optimal one.
    O. Fercoq, A. Gramfort and J. Salmon, ICML 2015.
    """
    squares = np.add.reduceat(design.squares, norm.starts)
    radius = np.sqrt(2 * gap * squares)
    # How far |A_g^T y| may reach for y in the sphere; it is alpha_g where x_g is not zero.
    reach = norm.scores(dual) * norm.alpha + radius
    return np.flatnonzero(reach >= norm.alpha)


def _on_subset(design, Y, norm, blocks, x, **options):
    """Solve the problem of some blocks, the others being zero."""
    rows = norm.rows_of(blocks)
    inside = block_least_squares(
        design.subset(rows), Y, norm.subset(blocks), start=x[rows], **options
    )
    x = np.zeros_like(x)
    x[rows] = inside.coef
    return replace(inside, coef=x)


class _Accuracy:
    """How accurately each round solves the problem on the working set."""

    def __init__(self, tol):
        self.tol = tol
        self.finest = _AHEAD  # relative to tol
        self.least_gap = np.inf
        self.idle = 0  # rounds without progress

    @property
    def exhausted(self):
        """Whether more accuracy on the same set is of no use."""
        return self.finest < _FINEST

    def next(self, relative_gap, n_new, n_blocks):
        """Return the tolerance of a round, in which `n_new` blocks have joined the set."""
        self.idle += 1
        if n_new or relative_gap < _IDLE_GAIN * self.least_gap:
            self.idle = 0
        self.least_gap = min(self.least_gap, relative_gap)
        limit = self.finest * self.tol
        factor = _SETTLED if n_new <= _FEW * n_blocks else _AHEAD
        goal = max(limit, factor * relative_gap)
        if self.idle > _IDLE:
            goal = limit
        if not n_new and goal == limit:
            self.finest /= 10
        return goal


class _WorkingSet:
    """The blocks in the set: their columns as rows of T, and the products of these.

    Every block is scaled to columns of length one on average, and its weight with it.
    """

    def __init__(self, design, norm):
        n = design.shape[0]
        self.design = design
        self.whole_norm = norm
        self.blocks = np.zeros(0, int)
        self.rows = np.zeros(0, int)
        self.scale = np.zeros(0)  # length of each column, on average over its block
        self.T = np.zeros((0, n))
        self.products = np.zeros((0, 0))
        self.norm = norm.subset(self.blocks)

    def add(self, blocks):
        """Add blocks."""
        if not len(blocks):
            return
        rows = self.whole_norm.rows_of(blocks)
        norm = self.whole_norm.subset(blocks)
        new = self.design.rows(rows)
        length = norm.lengths(new) / np.sqrt(norm.sizes)
        length[length == 0] = 1.0
        scale = norm.per_row(length)
        new /= scale[:, None]
        alpha = norm.alpha / length
        alpha = np.concatenate([self.norm.alpha, alpha])
        self.blocks = np.concatenate([self.blocks, blocks])
        self.rows = np.concatenate([self.rows, rows])
        self.scale = np.concatenate([self.scale, scale])
        unscaled = self.whole_norm.subset(self.blocks)
        self.norm = replace(unscaled, alpha=alpha)
        self._add_products(new)
        self.T = np.concatenate([self.T, new])

    def _add_products(self, new):
        """Extend the Gram matrix by new rows, or drop it once it is large."""
        if self.products is None or len(self.rows) > _GRAM * new.shape[1]:
            self.products = None
            return
        across = self.T @ new.T
        self.products = np.block([[self.products, across], [across.T, new @ new.T]])

    def solve(self, Y, x, **options):
        """Minimise over the blocks in the set, the others being zero.

        Parameters
        ----------
        Y : ndarray of shape (n, q)
        x : ndarray of shape (t, q)
            Where to start.
        **options
            Of `proximal_newton`.

        Returns
        -------
        Solution
            ``coef`` (t, q); its dual point belongs to the problem on the set.
        """
        gram = None
        if self.products is not None:
            gram = self._products_of
        scale = self.scale[:, None]
        start = x[self.rows] * scale
        inside = proximal_newton(self.T, Y, self.norm, start, gram=gram, **options)
        coef = np.zeros_like(x)
        coef[self.rows] = inside.coef / scale
        return replace(inside, coef=coef)

    def _products_of(self, places):
        """Return the products of some rows of T."""
        return self.products[np.ix_(places, places)]
