"""The norms that are penalised, each with what the solvers need of it.

For a matrix Z (t, q), with the dual norm called ``polar``::

    norm            value(Z)                      polar(Y)
    GroupNorm       sum_g alpha_g |Z_g|           max_g |Y_g| / alpha_g      Z_g: blocks of rows
    NuclearNorm     alpha sum_i sigma_i(Z)        sigma_1(Y) / alpha         sigma: singular values

The proximal map is ``prox(Z, step) = argmin_V  value(V) + |V - Z|^2 / (2 step)``. Solvers ask a
norm for a capability and never for its type:

* ``shrink(Z, step)``: the proximal point with its derivative, for Newton's method;
* ``tracking_prox()``: a proximal map for a sequence of matrices that change slowly;
* ``axes_and_sizes(Z)``: what is reweighted after a convex problem;
* ``expression(cp, Z)``: the norm in cvxpy.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sksym._estimator import check_number
from sksym.solvers.shrunk import ShrunkBlocks, ShrunkSpectrum

_SPARE = 10  # singular vectors followed beyond the rank
_FULL = 50  # proximal maps between two full decompositions


@dataclass(frozen=True, eq=False)
class GroupNorm:
    """``sum_g alpha_g |Z_g|`` over consecutive blocks of rows: sets whole blocks to zero.

    Parameters
    ----------
    alpha : float or ndarray of shape (m,), default=1.0
        Weight of the blocks, or of each.
    sizes : ndarray of shape (m,), default=None
        Number of rows of each block; None: every row is a block.
    positive : bool, default=False
        Let negative entries cost infinity, for matrices of one column.
    """

    alpha: float | np.ndarray = 1.0
    sizes: np.ndarray | None = None
    positive: bool = False

    def __post_init__(self):
        alpha = np.asarray(self.alpha)
        is_real = alpha.dtype.kind in "iuf" and alpha.ndim <= 1
        if not is_real or not ((alpha >= 0) & (alpha < np.inf)).all():
            raise ValueError(f"`alpha` must be finite numbers >= 0, got {self.alpha!r}.")
        sizes = np.asarray(1 if self.sizes is None else self.sizes)
        if sizes.size and (sizes.dtype.kind not in "iu" or sizes.min() < 1):
            raise ValueError(f"`sizes` must be integers >= 1, got {self.sizes!r}.")

    def __eq__(self, other):
        return type(other) is type(self) and other._key() == self._key()

    def __hash__(self):
        return hash(self._key())

    def _key(self):
        sizes = None if self.sizes is None else tuple(self.sizes)
        return tuple(np.ravel(self.alpha)), sizes, self.positive

    # ------------------------------------------------------------------------------------- blocks

    @cached_property
    def starts(self):
        """First row of each block."""
        ends = np.cumsum(self.sizes)
        return (ends - self.sizes).astype(int)

    @cached_property
    def block(self):
        """Block of each row."""
        numbers = np.arange(len(self.sizes))
        return np.repeat(numbers, self.sizes)

    def per_row(self, values):
        """Repeat the values of the blocks (m,) over their rows, (t,)."""
        if self.sizes is None:
            return values
        return values[self.block]

    def lengths(self, Z):
        """Return the lengths ``|Z_g|``, (m,)."""
        squares = np.einsum("ij,ij->i", Z, Z)
        if self.sizes is not None and len(self.sizes) < len(squares):
            squares = np.add.reduceat(squares, self.starts)
        return np.sqrt(squares)

    def subset(self, blocks):
        """Return the norm of some blocks, whose `alpha` and `sizes` are arrays."""
        return GroupNorm(
            alpha=self.alpha[blocks],
            sizes=self.sizes[blocks],
            positive=self.positive,
        )

    def rows_of(self, blocks):
        """List the rows of some blocks, in the order of these."""
        sizes = self.sizes[blocks]
        places = np.arange(sizes.sum())
        first_place = np.cumsum(sizes) - sizes  # of each block, among the rows listed
        shift = self.starts[blocks] - first_place
        return places + np.repeat(shift, sizes)

    # --------------------------------------------------------------------------- norm and dual norm

    def value(self, Z):
        """Return the norm of a matrix."""
        weighted = self.alpha * self.lengths(Z)
        return float(weighted.sum())

    def scores(self, Y):
        """Return what each block contributes to the dual norm, ``|Y_g| / alpha_g``, (m,)."""
        if self.positive:
            Y = np.maximum(Y, 0)
        lengths = self.lengths(Y)
        # A block without weight must vanish in the dual: a hot path where there is none.
        if self._penalises_all:
            return lengths / self.alpha
        return _divided(lengths, self.alpha)

    @cached_property
    def _penalises_all(self):
        return bool(np.all(self.alpha))

    def polar(self, Y):
        """Return the dual norm, ``max <Y, Z>`` over the Z of norm one."""
        return float(self.scores(Y).max(initial=0))

    # -------------------------------------------------------------------------------- proximal map

    def prox(self, Z, step):
        """Shorten every block by ``step * alpha``."""
        if self.positive:
            Z = np.maximum(Z, 0)
        lengths = self.lengths(Z)
        share = self._share(lengths, step)
        return Z * self.per_row(share)[:, None]

    def shrink(self, Z, step):
        """Return the proximal point with its derivative, `ShrunkBlocks`."""
        if self.positive:
            Z = np.maximum(Z, 0)
        lengths = self.lengths(Z)
        share = self._share(lengths, step)
        row_share = self.per_row(share)
        nonzero = row_share > 0
        # A block may stay while some of its rows are cut off at zero.
        if self.positive:
            nonzero &= Z[:, 0] > 0
        weighted = self.alpha * share * lengths
        return ShrunkBlocks(
            x=Z * row_share[:, None],
            rows=np.flatnonzero(nonzero),
            value=float(weighted.sum()),
            norm=self,
            Z=Z,
            lengths=lengths,
            share=share,
        )

    def _share(self, lengths, step):
        """Return the factors by which blocks are shortened, zero for those that vanish, (m,)."""
        threshold = step * self.alpha
        longer = lengths > threshold
        divisor = np.where(longer, lengths, 1.0)  # no division by the length of a zero block
        share = 1 - threshold / divisor
        return np.where(longer, share, 0.0)

    def tracking_prox(self):
        """Return the proximal map: it keeps nothing from one matrix to the next."""
        return self.prox

    # ------------------------------------------------------------------- reweighting and reference

    def axes_and_sizes(self, Z):
        """Return axes of the rows (t, t) and, along each, the length of its block, (t,)."""
        lengths = self.lengths(Z)
        return np.eye(len(Z)), self.per_row(lengths)

    def expression(self, cp, Z):
        """Write the norm for cvxpy, whose module is `cp`; `positive` is a constraint instead."""
        if self.sizes is None:
            lengths = cp.norm(Z, 2, axis=1)
        else:
            blocks = zip(self.starts, self.starts + self.sizes, strict=True)
            norms = [cp.norm(Z[start:end], "fro") for start, end in blocks]
            lengths = cp.hstack(norms)
        return cp.sum(cp.multiply(self.alpha, lengths))


@dataclass(frozen=True)
class NuclearNorm:
    """``alpha`` times the sum of the singular values: lowers the rank.

    Parameters
    ----------
    alpha : float, default=1.0
    """

    alpha: float = 1.0

    def __post_init__(self):
        check_number(self.alpha, "alpha")

    def value(self, Z):
        """Return the norm of a matrix."""
        s = np.linalg.svd(Z, compute_uv=False)
        return self.alpha * float(s.sum())

    def polar(self, Y):
        """Return the dual norm, the largest singular value over alpha."""
        largest = np.linalg.norm(Y, 2) if Y.size else 0.0
        return float(_divided(largest, self.alpha))

    def prox(self, Z, step):
        """Lower the singular values by ``step * alpha``."""
        return self.shrink(Z, step).x

    def shrink(self, Z, step):
        """Return the proximal point with its derivative, `ShrunkSpectrum`."""
        U, s, Vt = np.linalg.svd(Z, full_matrices=False)
        lowered = np.maximum(s - step * self.alpha, 0)
        rank = np.count_nonzero(lowered)
        scaled = U[:, :rank] * lowered[:rank]
        # Every row of x is active, unless all vanish.
        n_rows = len(Z) if rank else 0
        return ShrunkSpectrum(
            x=scaled @ Vt[:rank],
            rows=np.arange(n_rows),
            value=self.alpha * float(lowered.sum()),
            U=U,
            s=s,
            Vt=Vt,
            lowered=lowered,
        )

    def tracking_prox(self):
        """Return a proximal map that follows the dominant singular subspace."""
        return SubspaceTracking(self.alpha)

    def axes_and_sizes(self, Z):
        """Return the left singular vectors (t, k) and the singular values (k,)."""
        U, s, _ = np.linalg.svd(Z, full_matrices=False)
        return U, s

    def expression(self, cp, Z):
        """Write the norm for cvxpy, whose module is `cp`."""
        return self.alpha * cp.normNuc(Z)


class SubspaceTracking:
    """Proximal map of the nuclear norm, for a sequence of matrices that change slowly.

    The rank changes little between iterations: one step of block iteration on the last singular
    vectors and a few more finds the new ones, and a full decomposition now and then finds those
    that were missed.
    """

    def __init__(self, alpha):
        self.alpha = alpha
        self.axes = None
        self.age = 0

    def __call__(self, Z, step):
        """Lower the singular values of Z by ``step * alpha``."""
        if Z.shape[0] > Z.shape[1]:
            return self(Z.T, step).T
        threshold = step * self.alpha
        self.age += 1
        if self.axes is None or self.age >= _FULL or 2 * self.axes.shape[1] > len(Z):
            return self._decomposed(Z, threshold)
        image = Z @ (Z.T @ self.axes)
        Q, _ = np.linalg.qr(image)
        inside = Q.T @ Z
        s, rotation = _left_singular(inside)
        rank = np.count_nonzero(s > threshold)
        if rank > len(s) - _SPARE // 2:
            # The subspace is too small: others may be above the threshold.
            return self._decomposed(Z, threshold)
        axes = Q @ rotation
        self.axes = axes[:, : rank + _SPARE]
        # Formed from the small matrix: cheaper than from the axes and Z.
        rows = rotation[:, :rank].T @ inside
        shrinkage = 1 - threshold / s[:rank]
        return (axes[:, :rank] * shrinkage) @ rows

    def _decomposed(self, Z, threshold):
        """Shrink after a decomposition of the whole matrix."""
        s, axes = _left_singular(Z)
        rank = np.count_nonzero(s > threshold)
        self.axes = axes[:, : rank + _SPARE]
        self.age = 0
        dominant = axes[:, :rank]
        rows = dominant.T @ Z
        shrinkage = 1 - threshold / s[:rank]
        return (dominant * shrinkage) @ rows


def _left_singular(Z):
    """Return singular values, descending, and left singular vectors, from the Gram matrix.

    Small ones are inaccurate: only those above a threshold are used.
    """
    gram = Z @ Z.T
    squares, axes = np.linalg.eigh(gram)
    squares = np.maximum(squares, 0)  # round-off makes some negative
    s = np.sqrt(squares)
    return s[::-1], axes[:, ::-1]


def _divided(size, alpha):
    """Divide sizes by weights; a norm that is switched off has an infinite polar."""
    size = np.asarray(size)
    quotient = np.where(size > 0, np.inf, 0.0)
    penalised = np.not_equal(alpha, 0)
    return np.divide(size, alpha, out=quotient, where=penalised)
