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
        block = self._block
        products = None
        if gram is not None:
            products = gram(self.rows)
        # First only the part of J that is diagonal: the slopes across the blocks.
        resolvent = _resolvent(active, step * self._slope[block], products)
        direction = -resolvent.apply(gradient)
        if self._single[block].all():
            return direction
        return direction + self._along_blocks(active, direction, step, resolvent)

    def _along_blocks(self, active, direction, step, resolvent):
        """Correct a direction for the slope along the blocks, by Woodbury's formula.

        J has besides ``(1 - slope_g) u_g u_g^T`` with u_g the unit vector along block g, so that
        Newton's matrix is that of `resolvent` plus V V^T, with columns
        ``V_g = sqrt(step (1 - slope_g)) A_g u_g`` of n q entries.
        """
        block = self._block
        soft = ~self._single[block]  # blocks that are no scalars
        block = block[soft]
        thin = active[soft]
        starts = np.flatnonzero(np.diff(block, prepend=-1))
        counts = np.diff(starts, append=len(block))
        unit = self.Z[self.rows][soft] / self.lengths[block][:, None]
        weight = np.sqrt(step * (1 - self._slope[block]))
        unit = unit * weight[:, None]
        q = unit.shape[1]
        if q * len(starts) > len(active):
            # Products of rows are fewer than those of the columns of V.
            inner = resolvent.inner()[np.ix_(soft, soft)] * (unit @ unit.T)
            capacitance = np.add.reduceat(inner, starts, axis=0)
            capacitance = np.add.reduceat(capacitance, starts, axis=1)
        else:
            indptr = np.append(starts, len(block))
            columns = np.arange(len(block))
            V = [sparse.csr_array((u, columns, indptr)) @ thin for u in unit.T]
            solved = resolvent.apply(np.concatenate(V).T).T
            capacitance = sum(
                left @ right.T for left, right in zip(V, np.split(solved, q), strict=True)
            )
        capacitance[np.diag_indices(len(starts))] += 1
        along = np.add.reduceat(np.einsum("ij,ij->i", unit, thin @ direction), starts)
        factor = cho_factor(capacitance, check_finite=False)
        along = cho_solve(factor, along, check_finite=False)
        return -resolvent.apply(thin.T @ (unit * np.repeat(along, counts)[:, None]))

    def _iterated_direction(self, active, gradient, step):
        """Try conjugate gradients; return the direction, and whether they converged."""
        block = self._block
        starts = np.flatnonzero(np.diff(block, prepend=-1))
        counts = np.diff(starts, append=len(block))
        unit = self.Z[self.rows] / self.lengths[block][:, None]
        slope = self._slope[block][:, None]
        excess = 1 - self._slope[block[starts]]  # of the slope along a block over that across it

        def newton_matrix(d):
            H = active @ d
            along = np.add.reduceat(np.einsum("ij,ij->i", unit, H), starts) * excess
            H = slope * H + unit * np.repeat(along, counts)[:, None]
            return d + step * (active.T @ H)

        return conjugate_gradients(newton_matrix, -gradient, rtol=_CG_RTOL, max_iter=_CG_BLOCKS)


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

        options = {"rtol": _CG_RTOL, "max_iter": _CG_SPECTRUM}
        return conjugate_gradients(newton_matrix, -gradient, **options)[0]

    def _derivative(self):
        """Return the derivative of the proximal map, as a function of the perturbation H (t, q).

        In the singular bases, ``M = U^T H V``: divided differences of the shrinkage multiply the
        symmetric part of M, divided sums its skew part, and ratios what lies in the longer of the
        two spaces outside its basis.
        """
        s = self.s
        lowered = self.lowered
        difference = s[:, None] - s
        equal = np.abs(difference) <= 1e-10 * s[0]
        slope = np.where(lowered > 0, 1.0, 0.0)[:, None]
        quotient = (lowered[:, None] - lowered) / np.where(equal, 1.0, difference)
        symmetric = np.where(equal, slope, quotient)
        skew = (lowered[:, None] + lowered) / np.maximum(s[:, None] + s, _TINY)
        direct = (symmetric + skew) / 2
        transposed = (symmetric - skew) / 2
        ratio = lowered / np.maximum(s, _TINY)
        tall = len(self.U) >= self.Vt.shape[1]
        if tall:
            long_axes, short_axes = self.U, self.Vt.T
        else:
            long_axes, short_axes = self.Vt.T, self.U

        def derivative(H):
            if not tall:
                H = H.T
            H_short = H @ short_axes
            M = long_axes.T @ H_short
            inside = direct * M + transposed * M.T - M * ratio
            image = (H_short * ratio + long_axes @ inside) @ short_axes.T
            return image if tall else image.T

        return derivative


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
