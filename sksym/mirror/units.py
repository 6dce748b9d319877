"""Units for descent: columns and targets of variance 1, and what components are worth in them."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from scipy import sparse

from sksym.solvers import GroupNorm, duality_gap

_NEGLIGIBLE = 1e-4  # of the largest component: zero


@dataclass(frozen=True, eq=False)
class Scales:
    """By which columns and targets get variance 1, and mean 0 where there is an intercept.

    Attributes
    ----------
    shift, scale : ndarray of shape (t,)
        Columns of one mirror have one scale.
    free_shift, free_scale : ndarray of shape (f,)
    level : ndarray of shape (q,)
        Of the targets.
    size : float
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
        """Those of some rows."""
        share = weight / weight.sum()
        shift, scale = _moments(A, share, sizes, intercept)
        free = _moments(F, share, np.ones(F.shape[1], int), intercept)
        level, spread = _moments(Y, share, [Y.shape[1]], intercept)
        return cls(shift, scale, *free, level, float(spread[0]), intercept)

    def apply(self, A, F, Y, weight):
        """Rows in these units."""
        if sparse.issparse(A):
            A = sparse.csr_array(A @ sparse.diags_array(1 / self.scale))
        else:
            A = np.subtract(A, self.shift, order="C")
            A /= self.scale
        F = (F - self.free_shift) / self.free_scale
        if self.intercept:
            F = np.hstack([np.ones((len(F), 1)), F])
        return Standardised(A, F, (Y - self.level) / self.size, weight / weight.mean())

    def coefficients(self, c, z):
        """Components c (t, q), free coefficients (f, q) and intercept (q,) in the data's units."""
        c, free = c * (self.size / self.scale)[:, None], z[int(self.intercept) :]
        free = free * (self.size / self.free_scale)[:, None]
        b = self.level + self.size * z[0] if self.intercept else np.zeros(c.shape[1])
        return c, free, b - self.shift @ c - self.free_shift @ free


def _moments(A, share, sizes, intercept):
    """Means (t,) and root mean squares about them (t,), the latter alike in each block."""
    if sparse.issparse(A):  # shifts would fill it
        shift, square = np.zeros(A.shape[1]), A.power(2).T @ share
    else:
        shift = share @ A if intercept else np.zeros(A.shape[1])
        left = A - shift
        square = np.einsum("i,ij,ij->j", share, left, left)
    sizes = np.asarray(sizes, int)
    block = np.repeat(np.arange(len(sizes)), sizes)
    scale = np.sqrt(np.bincount(block, square, len(sizes)) / np.maximum(sizes, 1))
    return shift, np.where(scale > 0, scale, 1.0)[block]


@dataclass(frozen=True, eq=False)
class Standardised:
    """Data in units of `Scales`.

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
        """Random minibatches that cover all rows once, as equal as can be."""
        n = len(self.Y)
        return np.array_split(rng.permutation(n), ceil(n / size))

    @cached_property
    def even(self):
        return bool((self.weight == 1).all())

    @cached_property
    def _free_fit(self):
        """The map from targets to the z that fits them best."""
        root = np.sqrt(self.weight)
        return np.linalg.pinv(root[:, None] * self.F, rcond=1e-12) * root

    @cached_property
    def _target(self):
        """What of the targets is not free."""
        return self.Y - self.F @ (self._free_fit @ self.Y)

    def refit(self, c):
        """The best z for components c, and the residual."""
        left = self.Y - self.A @ c
        z = self._free_fit @ left
        return z, left - self.F @ z

    def loss(self, c, z):
        """The mean loss."""
        left = self.Y - self.A @ c - self.F @ z
        return 0.5 * float(np.vdot(self.weight[:, None] * left, left)) / len(left)

    def gap(self, c, norm):
        """Duality gap and objective, times n, of components c with the best z."""
        left, root = self.refit(c)[1], np.sqrt(self.weight)[:, None]
        corr = self.A.T @ (self.weight[:, None] * left)
        return duality_gap(norm, c, norm.value(c), root * left, corr, root * self._target)[:2]

    def settled(self, c, decay, sizes):
        """Components with zeros: what is negligible, and what its gradient would not bring back.

        Given the others, a component is zero exactly when the gradient of the loss where it is
        zero is at most its decay.
        """
        pull = self.A.T @ (self.weight[:, None] * self.refit(c)[1]) / len(self.Y) + c
        if sizes is None:
            U, s, Vt = np.linalg.svd(c, full_matrices=False)
            rank = int(np.sum(np.linalg.svd(pull, compute_uv=False) > decay))
            s[min(rank, int(np.sum(s > _NEGLIGIBLE * s[0]))) :] = 0
            return (U * s) @ Vt
        norm = GroupNorm(np.ones(len(sizes)), sizes)
        return settled(c, sizes) * (norm.lengths(pull) > decay)[norm.block][:, None]


def settled(c, sizes):
    """Components with zeros for what is negligible."""
    if sizes is None:
        U, s, Vt = np.linalg.svd(c, full_matrices=False)
        return (U * np.where(s > _NEGLIGIBLE * s[0], s, 0.0)) @ Vt
    norm = GroupNorm(np.ones(len(sizes)), sizes)
    lengths = norm.lengths(c)
    kept = lengths > _NEGLIGIBLE * lengths.max(initial=0)
    return c * kept[norm.block][:, None]
