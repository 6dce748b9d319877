"""What a set of mirrors asks of a solver: blocks of coefficients, singular values, or neither.

Mirrors whose rows K are independent are blocks in other coordinates: with ``w = M c + N z``, where
``K M = I`` and ``K N = 0``, the penalty is ``sum_k weight_k |c_k|`` and z is free. Columns of the
identity need no M, chains and trees have a sparse one. In the latent meaning ``M = K^T`` always
does. What is left, graphs with cycles and overlapping groups, is penalised as it stands.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components, maximum_bipartite_matching
from scipy.sparse.linalg import LinearOperator, lsqr, onenormest, splu

from sksym._linalg import null_space

_WORST = 1e10  # condition of new coordinates, in the 1-norm


@dataclass(frozen=True, eq=False)
class Coordinates:
    """``w = M c + N z``: c is penalised block by block, z is free.

    Attributes
    ----------
    columns : ndarray of shape (t,), default=None
        Where M is columns of the identity: which; no other array is needed then.
    free : ndarray of shape (f,), default=None
        The other columns.
    forward : callable
        ``forward(c, z)``: w (p, q).
    design : callable, default=None
        ``design(X)``: ``X M`` (n, t) and ``X N`` (n, f), dense.
    inverse : callable, default=None
        c of a w, to start from; None where many c give it.
    ties : bool
        Whether a constraint may still have to be written onto w: it is not a zero of c.
    """

    forward: object
    columns: np.ndarray | None = None
    free: np.ndarray | None = None
    design: object = None
    inverse: object = None
    ties: bool = False


def block_coordinates(rows, overlap):
    """Coordinates in which the mirrors are blocks, None where there are none.

    Parameters
    ----------
    rows : MirrorRows
    overlap : {"analysis", "latent"}
    """
    K = rows.K
    p = K.shape[1]
    single = np.all(np.diff(K.indptr) == 1) and np.allclose(np.abs(K.data), 1, atol=1e-14)
    uses = np.bincount(K.indices, minlength=p)
    repeated = uses.max(initial=0) > 1
    if single and (overlap == "latent" or not repeated):
        columns, free = K.indices, np.flatnonzero(uses == 0)

        def forward(c, z):
            W = np.zeros((p, c.shape[1]))
            if repeated:
                np.add.at(W, columns, c)
            else:
                W[columns] = c
            W[free] = z
            return W

        inverse = None if repeated else lambda W: W[columns]
        return Coordinates(forward, columns, free, inverse=inverse)
    if overlap == "latent":
        return _synthesis(K)
    steps = path_of(K)
    return _independent(K) if steps is None else _chain(K, steps)


def _synthesis(K):
    """The latent meaning: ``M = K^T``, N an orthonormal basis of what no mirror reaches."""
    N = null_space(K).T
    return Coordinates(
        forward=lambda c, z: K.T @ c + N @ z,
        design=lambda X: (_dense(X @ K.T), _dense(X @ N)),
    )


def _chain(K, b):
    """Sums of the steps about their mean: where a step is zero, w stays to the last digit."""
    p = K.shape[1]

    def forward(c, z):
        level = np.cumsum(np.concatenate([np.zeros_like(z), c / b[:, None]]), axis=0)
        return level - level.mean(axis=0) + z

    def design(X):
        after = np.cumsum(_dense(X)[:, ::-1], axis=1)[:, ::-1]
        share = np.arange(p - 1, 0, -1) / p
        return np.divide(after[:, 1:] - share * after[:, :1], b, order="F"), after[:, :1]

    return Coordinates(forward, design=design, inverse=lambda W: K @ W)


def _independent(K):
    """Rows of unit vectors make K square and invertible, if its own are independent."""
    m, p = K.shape
    partner = maximum_bipartite_matching(sparse.csr_matrix(K), perm_type="column")
    if m > p or (partner < 0).any():
        return None
    rest = np.setdiff1d(np.arange(p), partner)
    pins = sparse.csr_array((np.ones(p - m), (np.arange(p - m), rest)), shape=(p - m, p))
    whole = sparse.csc_array(sparse.vstack([K, pins]))
    try:
        factor = splu(whole)
    except RuntimeError:  # singular
        return None
    inverse = LinearOperator(
        (p, p), matvec=factor.solve, rmatvec=lambda v: factor.solve(v, "T"), dtype=float
    )
    if not abs(whole).sum(axis=0).max() * onenormest(inverse, t=1) < _WORST:
        return None

    def design(X):
        moved = factor.solve(np.ascontiguousarray(_dense(X).T), "T")
        return np.ascontiguousarray(moved[:m].T), np.ascontiguousarray(moved[m:].T)

    return Coordinates(
        forward=lambda c, z: factor.solve(np.concatenate([c, z])),
        design=design,
        inverse=lambda W: K @ W,
        ties=True,
    )


@dataclass(frozen=True, eq=False)
class Constraints:
    """``K w = 0`` for some rows, written onto coefficients without round-off where that can be.

    Single entries are zero and pairs of equal size are equal (or opposite) to the last digit.
    """

    K: sparse.csr_array

    @cached_property
    def _ties(self):
        """The rows that tie; the set of each column, its sign there, and whether it vanishes."""
        K, p = self.K, self.K.shape[1]
        count, start = np.diff(K.indptr), K.indptr[:-1]
        single, pair = count == 1, count == 2
        first = start[pair]
        pair[pair] = np.abs(K.data[first]) == np.abs(K.data[first + 1])
        first = start[pair]
        i, j = K.indices[first], K.indices[first + 1]
        turned = p * (K.data[first] == K.data[first + 1])
        # Column i stands for w_i, and p + i for -w_i.
        ends = np.concatenate([i, p + i]), np.concatenate([j, p + j]) + np.tile(turned, 2)
        graph = sparse.coo_array((np.ones(2 * len(i)), (ends[0], ends[1] % (2 * p))), (2 * p,) * 2)
        label = connected_components(graph, directed=False)[1]
        same, opposite = label[:p], label[p:]
        zero = same == opposite
        zero[K.indices[start[single]]] = True
        sign = np.where(same <= opposite, 1.0, -1.0)
        return single | pair, np.minimum(same, opposite), sign[:, None], zero

    def write(self, W):
        """The W (p, q) nearest to the one given that satisfies them."""
        tying, label, sign, zero = self._ties
        if not tying.all():
            for j in range(W.shape[1]):
                W[:, j] -= lsqr(self.K, self.K @ W[:, j], atol=1e-15, btol=1e-15)[0]
        size = np.bincount(label)
        total = np.zeros((len(size), W.shape[1]))
        np.add.at(total, label, sign * W)
        dead = np.zeros(len(size), bool)
        dead[label[zero]] = True
        total[dead] = 0.0
        tied = (size > 1) | dead
        mean = total / np.maximum(size, 1)[:, None]
        return np.where(tied[label][:, None], sign * mean[label] + 0.0, W)


def path_of(K):
    """The b (m,) of rows ``b_i (w_{i+1} - w_i)`` along all columns, None if K has others."""
    m, p = K.shape
    if m != p - 1 or not m or not (np.diff(K.indptr) == 2).all():
        return None
    K = K.sorted_indices()
    first, last = K.data.reshape(m, 2).T
    chained = np.array_equal(K.indices.reshape(m, 2), np.arange(m)[:, None] + [0, 1])
    return last if chained and np.array_equal(first, -last) else None


def _dense(X):
    return X.toarray() if sparse.issparse(X) else np.asarray(X)
