"""Scaling for descent: columns and targets of variance 1, and the gap of components in them."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from scipy import sparse

from sksym.solvers import GroupNorm, duality_gap

_NEGLIGIBLE = 1e-4  # lengths, relative to the largest, that count as zero
_VANISHED = 1e-30  # length, in these units, that is zero beside the targets
_CONSTANT = 64 * np.finfo(float).eps  # spread, relative to the mean, that is round-off
_RANK = (
    1e-12  # singular values of the free columns, relative to the largest, that determine nothing
)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Shifts and scales that give columns and targets variance 1, and mean 0 with an intercept.

    Attributes
    ----------
    shift, scale : ndarray of shape (t,)
        Of the penalised columns; those of one mirror have one scale.
    free_shift, free_scale : ndarray of shape (f,)
    level : ndarray of shape (q,)
        Shift of the targets.
    size : float
        Scale of the targets.
    intercept : bool
    """

    shift: np.ndarray
    scale: np.ndarray
    free_shift: np.ndarray
    free_scale: np.ndarray
    level: np.ndarray
    size: float
    intercept: bool

    @classmethod
    def of(cls, A, F, Y, weight, sizes, intercept):
        """Measure penalised columns A (n, t), free columns F (n, f) and targets Y (n, q)."""
        # All targets have one scale: their norms are taken together.
        share = weight / weight.sum()
        shift, scale = _moments(A, share, sizes, intercept)
        single = np.ones(F.shape[1], int)
        free_shift, free_scale = _moments(F, share, single, intercept)
        q = Y.shape[1]
        level, spread = _moments(Y, share, [q], intercept)
        size = float(spread[0])
        return cls(shift, scale, free_shift, free_scale, level, size, intercept)

    def apply(self, A, F, Y, weight):
        """Return rows in this scaling, as `Standardised`."""
        if sparse.issparse(A):
            scaled = A @ sparse.diags_array(1 / self.scale)
            A = sparse.csr_array(scaled)
        else:
            # Minibatches are rows: they are copied fast from memory in this order.
            A = np.subtract(A, self.shift, order="C")
            A /= self.scale
        F = (F - self.free_shift) / self.free_scale
        if self.intercept:
            ones = np.ones((len(F), 1))
            F = np.hstack([ones, F])
        Y = (Y - self.level) / self.size
        return Standardised(A, F, Y, weight / weight.mean())

    def coefficients(self, c, z):
        """Return components, free coefficients and intercept in the units of the data.

        Parameters
        ----------
        c : ndarray of shape (t, q)
        z : ndarray of shape (f, q)
            The intercept first, where there is one.

        Returns
        -------
        c : ndarray of shape (t, q)
        free : ndarray of shape (f, q)
        intercept : ndarray of shape (q,)
        """
        unit = self.size / self.scale
        free_unit = self.size / self.free_scale
        c = unit[:, None] * c
        intercept = np.zeros(c.shape[1])
        if self.intercept:
            intercept = self.level + self.size * z[0]
            z = z[1:]
        free = free_unit[:, None] * z
        shift = self.shift @ c + self.free_shift @ free
        return c, free, intercept - shift


def _moments(A, share, sizes, intercept):
    """Return means (t,) and root mean squares about them (t,), the latter alike in each block."""
    shift = np.zeros(A.shape[1])
    if sparse.issparse(A):  # shifts would fill it
        square = A.power(2).T @ share
    else:
        if intercept:
            shift = share @ A
        centred = A - shift
        square = np.einsum("i,ij,ij->j", share, centred, centred)
    sizes = np.asarray(sizes, int)
    m = len(sizes)
    block = np.repeat(np.arange(m), sizes)
    sums = np.bincount(block, square, m)
    mean_square = sums / np.maximum(sizes, 1)
    scale = np.sqrt(mean_square)
    # Constants stay what they are; their mean is known up to round-off.
    largest = np.zeros(m)
    np.maximum.at(largest, block, np.abs(shift))
    scale[scale <= _CONSTANT * largest] = 1.0
    return shift, scale[block]


@dataclass(frozen=True, eq=False)
class Standardised:
    """Rows in the units of a `Scaling`.

    Attributes
    ----------
    A : ndarray or csr_array of shape (n, t)
    F : ndarray of shape (n, f)
    Y : ndarray of shape (n, q)
    weight : ndarray of shape (n,)
        Of mean 1.
    """

    A: object
    F: np.ndarray
    Y: np.ndarray
    weight: np.ndarray

    def batches(self, size, rng):
        """Return random minibatches that cover all rows once, of nearly equal sizes."""
        n = len(self.Y)
        order = rng.permutation(n)
        return np.array_split(order, ceil(n / size))

    @cached_property
    def unit_weights(self):
        return bool((self.weight == 1).all())

    @cached_property
    def _free_fit(self):
        """The map (f, n) from targets to the z that fits them best."""
        sqrt_weight = np.sqrt(self.weight)
        # A pseudo-inverse, as free columns may depend on each other.
        weighted = sqrt_weight[:, None] * self.F
        return np.linalg.pinv(weighted, rcond=_RANK) * sqrt_weight

    @cached_property
    def _target(self):
        """The residual (n, q) of the targets on the free columns."""
        z = self._free_fit @ self.Y
        return self.Y - self.F @ z

    def refit(self, c):
        """Return the best z (f, q) for components c (t, q), and the residual (n, q)."""
        unexplained = self.Y - self.A @ c
        z = self._free_fit @ unexplained
        return z, unexplained - self.F @ z

    def loss(self, c, z):
        """Return the mean loss of components c (t, q) and free coefficients z (f, q)."""
        prediction = self.A @ c + self.F @ z
        residual = self.Y - prediction
        weighted = self.weight[:, None] * residual
        total = float(np.vdot(weighted, residual))
        return 0.5 * total / len(residual)

    def gap(self, c, norm):
        """Return duality gap and objective, times n, of components c (t, q) with the best z."""
        _, residual = self.refit(c)
        weight = self.weight[:, None]
        sqrt_weight = np.sqrt(weight)
        correlation = self.A.T @ (weight * residual)
        scaled_target = sqrt_weight * self._target
        scaled_residual = sqrt_weight * residual
        gap, objective, _ = duality_gap(
            norm, c, norm.value(c), scaled_residual, correlation, scaled_target
        )
        return gap, objective

    def settled(self, c, decay, sizes):
        """Return components (t, q) with zeros where they are negligible, or would return to zero.

        Given the others, a component is zero exactly when the gradient of the loss where it is
        zero is at most its decay.
        """
        _, residual = self.refit(c)
        weighted = self.weight[:, None] * residual
        # Columns have mean square 1: this is the negative gradient where a component is zero.
        pull = self.A.T @ weighted / len(self.Y) + c
        if sizes is None:
            U, s, Vt = np.linalg.svd(c, full_matrices=False)
            strengths = np.linalg.svd(pull, compute_uv=False)
            pulled = np.count_nonzero(strengths > decay)
            significant = np.count_nonzero(s > _NEGLIGIBLE * s[0])
            s[min(pulled, significant) :] = 0
            return (U * s) @ Vt
        norm = GroupNorm(1.0, sizes)
        is_pulled = norm.lengths(pull) > decay
        rows = norm.per_row(is_pulled)
        return without_negligible(c, sizes) * rows[:, None]


def without_negligible(c, sizes):
    """Return components (t, q) with zeros for blocks, or singular values, that are negligible."""
    if sizes is None:
        U, s, Vt = np.linalg.svd(c, full_matrices=False)
        s[s <= _NEGLIGIBLE * s[0]] = 0.0
        return (U * s) @ Vt
    norm = GroupNorm(1.0, sizes)
    lengths = norm.lengths(c)
    significant = lengths > max(_NEGLIGIBLE * lengths.max(initial=0), _VANISHED)
    rows = norm.per_row(significant)
    return c * rows[:, None]
