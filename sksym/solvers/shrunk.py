"""Proximal points of the norms, and Newton's directions through the derivative of the proximal map.

With J the derivative of ``prox`` at the point, A^T = T the transpose of the design and g the
gradient of the dual of a proximal step (see `newton`), Newton's direction is::

    d = -(I + step A J A^T)^-1 g

J vanishes on rows of the point that are zero: `active` holds the other rows of T.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from sksym.solvers.conjugate_gradients import conjugate_gradients

_LEAST_SLOPE = 1e-6  # of the proximal map, in Newton's matrix: smaller slopes make it singular
_CG_RTOL = 3e-2  # accuracy of a direction found by conjugate gradients
_CG_SPECTRUM = 200  # steps of these, at most, for the nuclear norm
_CG_BLOCKS = 40  # and for blocks, where a factorisation is the alternative
_COSTLY = 5e8  # products in a factorisation from which conjugate gradients are tried first
_EQUAL = 1e-10  # difference of singular values, relative to the largest, that counts as none
_TINY = np.finfo(float).tiny


@dataclass(frozen=True, eq=False)
class ShrunkBlocks:
    """Proximal point of a `GroupNorm` at Z.

    Attributes
    ----------
    x : ndarray of shape (t, q)
    rows : ndarray of shape (s,)
        Rows of x that are not zero.
    value : float
        The norm of x.
    norm : GroupNorm
    Z : ndarray of shape (t, q)
    lengths, share : ndarray of shape (m,)
        Lengths of the blocks of Z, and the factors by which they were shortened.
    """

    x: np.ndarray
    rows: np.ndarray
    value: float
    norm: object
    Z: np.ndarray
    lengths: np.ndarray
    share: np.ndarray

    @cached_property
    def _single(self):
        """Whether each block is a scalar: the slope of its proximal map is then 1, (m,)."""
        if self.Z.shape[1] > 1:
            return np.zeros(len(self.lengths), bool)
        if self.norm.sizes is None:
            return np.ones(len(self.lengths), bool)
        return self.norm.sizes == 1

    @cached_property
    def _block(self):
        """Block of each row that is not zero, (s,)."""
        return self.rows if self.norm.sizes is None else self.norm.block[self.rows]

    @cached_property
    def _slope(self):
        """Slope of the proximal map across each block, (m,); it is 1 along the block."""
        return np.where(self._single, 1.0, np.maximum(self.share, _LEAST_SLOPE))

    def newton_direction(self, active, gradient, step, gram):
        """Return Newton's direction (n, q).

        Parameters
        ----------
        active : ndarray of shape (s, n)
        gradient : ndarray of shape (n, q)
        step : float
            Of the proximal map.
        gram : callable or None
            ``gram(rows)``: a new array of the products of these rows of T, if these are known.
        """
        s, n = active.shape
        if not s:
            return -gradient
        if s > n and s * n**2 > _COSTLY:
            direction, converged = self._iterated_direction(active, gradient, step)
            if converged:
                return direction
        products = None
        if gram is not None:
            products = gram(self.rows)
        # First only the part of J that is diagonal: the slopes across the blocks.
        scale = step * self._slope[self._block]
        resolvent = _resolvent(active, scale, products)
        direction = -resolvent.apply(gradient)
        soft = ~self._single[self._block]
        if not soft.any():
            return direction
        return direction + self._along_blocks(active, soft, direction, step, resolvent)

    def _along_blocks(self, active, soft, direction, step, resolvent):
        """Correct a direction for the slope along the blocks, by Woodbury's formula.

        For a block g of several entries J has besides ``(1 - slope_g) u_g u_g^T``, with u_g the
        unit vector along it. Newton's matrix is then that of `resolvent` plus V V^T, with columns
        ``V_g = A_g v_g`` of n q entries, ``v_g = sqrt(step (1 - slope_g)) u_g``.

        Parameters
        ----------
        soft : ndarray of shape (s,), bool
            Active rows in blocks of several entries.
        """
        block = self._block[soft]
        segments = _Segments(block)
        thin = active[soft]
        weight = np.sqrt(step * (1 - self._slope[block]))
        v = weight[:, None] * self._unit_vectors[soft]
        q = v.shape[1]
        if q * segments.count > len(active):
            # Products of rows are fewer than those of the columns of V.
            inner = resolvent.inner()[np.ix_(soft, soft)]
            capacitance = segments.sums(inner * (v @ v.T))
            capacitance = segments.sums(capacitance.T)
        else:
            capacitance = _capacitance(thin, v, segments, resolvent)
        capacitance[np.diag_indices(segments.count)] += 1
        factor = cho_factor(capacitance, check_finite=False)
        along = segments.inner_products(v, thin @ direction)
        along = cho_solve(factor, along, check_finite=False)
        image = v * segments.spread(along)[:, None]
        return -resolvent.apply(thin.T @ image)

    def _iterated_direction(self, active, gradient, step):
        """Try conjugate gradients; return the direction, and whether they converged."""
        segments = _Segments(self._block)
        unit = self._unit_vectors
        slope = self._slope[self._block]
        # The slope along a block is 1: by how much it exceeds that across it.
        excess = 1 - slope[segments.starts]

        def newton_matrix(d):
            H = active @ d
            along = segments.inner_products(unit, H) * excess
            across = slope[:, None] * H
            image = across + unit * segments.spread(along)[:, None]
            return d + step * (active.T @ image)

        return conjugate_gradients(
            newton_matrix,
            -gradient,
            rtol=_CG_RTOL,
            max_iter=_CG_BLOCKS,
        )

    @cached_property
    def _unit_vectors(self):
        """Active rows of Z, divided by the lengths of their blocks, (s, q)."""
        lengths = self.lengths[self._block]
        return self.Z[self.rows] / lengths[:, None]


class _Segments:
    """Consecutive rows that belong to one block.

    Parameters
    ----------
    block : ndarray of shape (s,)
        The block of each row, ascending.
    """

    def __init__(self, block):
        self.starts = np.flatnonzero(np.diff(block, prepend=-1))
        self.sizes = np.diff(self.starts, append=len(block))
        self.count = len(self.starts)

    def sums(self, values):
        """Sum the rows of each segment."""
        return np.add.reduceat(values, self.starts, axis=0)

    def spread(self, values):
        """Repeat the value of each segment over its rows."""
        return np.repeat(values, self.sizes)

    def inner_products(self, X, Y):
        """Return the inner product of X and Y (s, q) on each segment."""
        products = np.einsum("ij,ij->i", X, Y)
        return self.sums(products)


def _capacitance(thin, v, segments, resolvent):
    """Return ``V^T R V`` from the columns of V, sums over the rows of a segment."""
    indptr = np.append(segments.starts, len(v))
    rows = np.arange(len(v))
    columns = []
    for weights in v.T:  # one output after the other
        summation = sparse.csr_array((weights, rows, indptr))
        columns.append(summation @ thin)
    stacked = np.concatenate(columns)
    solved = resolvent.apply(stacked.T)
    capacitance = 0.0
    for V, R_V in zip(columns, np.split(solved, len(columns), axis=1), strict=True):
        capacitance = capacitance + V @ R_V
    return capacitance


@dataclass(frozen=True, eq=False)
class ShrunkSpectrum:
    """Proximal point of a `NuclearNorm` at ``Z = U diag(s) Vt``.

    Attributes
    ----------
    x : ndarray of shape (t, q)
    rows : ndarray of int
        All rows, or none where x vanishes.
    value : float
        The norm of x.
    U, s, Vt : ndarray
    lowered : ndarray
        Singular values of x.
    """

    x: np.ndarray
    rows: np.ndarray
    value: float
    U: np.ndarray
    s: np.ndarray
    Vt: np.ndarray
    lowered: np.ndarray

    def newton_direction(self, active, gradient, step, gram):
        """Return Newton's direction (n, q), by conjugate gradients; see `ShrunkBlocks`."""
        if not len(self.rows):
            return -gradient
        derivative = self._derivative()

        def newton_matrix(d):
            return d + step * (active.T @ derivative(active @ d))

        direction, _ = conjugate_gradients(
            newton_matrix,
            -gradient,
            rtol=_CG_RTOL,
            max_iter=_CG_SPECTRUM,
        )
        return direction

    def _derivative(self):
        """Return the derivative of the proximal map, as a function of the perturbation H (t, q).

        In the singular bases, ``M = U^T H V``: divided differences of the shrinkage multiply the
        symmetric part of M, divided sums its skew part, and ratios what lies in the longer of the
        two spaces outside its basis.
        """
        symmetric = self._divided_differences()
        skew = self._divided_sums()
        direct = (symmetric + skew) / 2
        transposed = (symmetric - skew) / 2
        ratio = self.lowered / np.maximum(self.s, _TINY)
        long_axes = self.U
        short_axes = self.Vt.T
        wide = len(long_axes) < len(short_axes)
        if wide:
            long_axes = self.Vt.T
            short_axes = self.U

        def derivative(H):
            if wide:
                H = H.T
            H_short = H @ short_axes
            M = long_axes.T @ H_short
            # All of H_short is multiplied by the ratios: taken back inside the basis.
            inside = direct * M + transposed * M.T - M * ratio
            image = H_short * ratio + long_axes @ inside
            image = image @ short_axes.T
            return image.T if wide else image

        return derivative

    def _divided_differences(self):
        """Return ``(f(s_i) - f(s_j)) / (s_i - s_j)`` of the shrinkage f, its slope for equals."""
        s = self.s[:, None]
        lowered = self.lowered[:, None]
        difference = s - self.s
        equal = np.abs(difference) <= _EQUAL * self.s[0]
        slope = np.where(lowered > 0, 1.0, 0.0)
        divisor = np.where(equal, 1.0, difference)
        quotient = (lowered - self.lowered) / divisor
        return np.where(equal, slope, quotient)

    def _divided_sums(self):
        """Return ``(f(s_i) + f(s_j)) / (s_i + s_j)``."""
        divisor = self.s[:, None] + self.s
        numerator = self.lowered[:, None] + self.lowered
        return numerator / np.maximum(divisor, _TINY)


def _resolvent(active, scale, products=None):
    """Prepare ``R = (I + A diag(scale) A^T)^-1`` for the rows `active` (s, n) of A^T.

    Parameters
    ----------
    active : ndarray of shape (s, n)
    scale : ndarray of shape (s,)
    products : ndarray of shape (s, s), default=None
        ``active @ active.T``, which is overwritten.
    """
    s, n = active.shape
    if s >= n:
        return _ResolventInRows(active, scale)
    if products is None:
        products = active @ active.T
    return _ResolventInColumns(active, scale, products)


class _ResolventInColumns:
    """The resolvent by a factorisation of size s: ``R = I - A (1/scale + A^T A)^-1 A^T``."""

    def __init__(self, active, scale, products):
        products[np.diag_indices(len(scale))] += 1 / scale
        # The transpose of a C-ordered array is factored in place.
        self.factor = cho_factor(products.T, lower=True, overwrite_a=True, check_finite=False)
        self.active = active
        self.scale = scale

    def apply(self, B):
        """Return ``R B``."""
        solved = cho_solve(self.factor, self.active @ B, check_finite=False)
        return B - self.active.T @ solved

    def inner(self):
        """Return ``A^T R A``, (s, s)."""
        inverse_scale = np.diag(1 / self.scale)
        solved = cho_solve(self.factor, inverse_scale, check_finite=False)
        return inverse_scale - solved / self.scale[:, None]


class _ResolventInRows:
    """The resolvent by a factorisation of size n."""

    def __init__(self, active, scale):
        half = active * np.sqrt(scale)[:, None]
        N = half.T @ half
        N[np.diag_indices(len(N))] += 1
        self.factor = cho_factor(N.T, lower=True, overwrite_a=True, check_finite=False)
        self.active = active

    def apply(self, B):
        """Return ``R B``."""
        return cho_solve(self.factor, B, check_finite=False)

    def inner(self):
        """Return ``A^T R A``, (s, s)."""
        return self.active @ self.apply(self.active.T)
