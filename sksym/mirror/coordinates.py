"""Coordinates in which mirrors are blocks, and coefficients that satisfy constraints exactly.

Mirrors whose rows K are independent are blocks in other coordinates: with ``w = M c + N z``, where
``K M = I`` and ``K N = 0``, the penalty is ``sum_k weight_k |c_k|`` and z is free. Columns of the
identity need no M (`SelectedColumns`); chains and trees have a sparse one. In the latent meaning
M is ``K^T`` for all mirrors. Other mirrors, such as graphs with cycles and overlapping groups, have
no such coordinates.

Coordinates have three methods: ``coefficients(c, z)`` is w, ``components(w)`` is c or None where w
does not determine it (not `distinct`), and ``design(X)`` is ``X M`` (n, t) and ``X N`` (n, f),
dense. With `ties`, constraints must be written onto w: round-off of the change of coordinates
leaves coefficients unequal that are equal in exact numbers.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components, maximum_bipartite_matching
from scipy.sparse.linalg import LinearOperator, lsqr, onenormest, splu

from sksym._linalg import null_space

_WORST_CONDITION = 1e10  # of M, in the 1-norm


def block_coordinates(operators, overlap):
    """Return coordinates in which the mirrors are blocks, None where there are none.

    Parameters
    ----------
    operators : MirrorOperators
    overlap : {"analysis", "latent"}
    """
    selection = operators.selection(overlap)
    if selection is not None or operators.nuclear:
        return selection
    K = operators.K
    if overlap == "latent":
        return LatentComponents(K, null_space(K).T)
    steps = chain_steps(K)
    if steps is not None:
        return ChainSteps(K, steps)
    return _square_system(K)


@dataclass(frozen=True, eq=False)
class LatentComponents:
    """The latent meaning: ``w = K^T c + N z``, N an orthonormal basis of the null space of K."""

    K: sparse.csr_array
    N: np.ndarray

    columns = None
    distinct = False
    ties = False

    def coefficients(self, c, z):
        """Return W (p, q) of components c (t, q) and free coefficients z (f, q)."""
        return self.K.T @ c + self.N @ z

    def components(self, W):
        """Return None: many components give the same W."""
        return None

    def design(self, X):
        """Return ``X K^T`` (n, t) and ``X N`` (n, f)."""
        penalised = X @ self.K.T
        free = X @ self.N
        return _dense(penalised), _dense(free)


@dataclass(frozen=True, eq=False)
class ChainSteps:
    """Steps along a chain, summed, and the mean of all coefficients, which is free.

    Where a step is zero, neighbouring coefficients are equal to the last digit.
    """

    K: sparse.csr_array
    steps: np.ndarray

    columns = None
    distinct = True
    ties = False

    def coefficients(self, c, z):
        """Return W (p, q) of components c (p - 1, q) and means z (1, q)."""
        differences = c / self.steps[:, None]
        differences = np.concatenate([np.zeros_like(z), differences])
        level = np.cumsum(differences, axis=0)
        return level - level.mean(axis=0) + z

    def components(self, W):
        """Return the components (p - 1, q) of W (p, q)."""
        return self.K @ W

    def design(self, X):
        """Return the design of the steps (n, p - 1) and that of the mean (n, 1)."""
        p = self.K.shape[1]
        # Step i moves all coefficients beyond i, and their mean by the share of these.
        backwards = _dense(X)[:, ::-1]
        sums_beyond = np.cumsum(backwards, axis=1)[:, ::-1]
        total = sums_beyond[:, :1]
        n_beyond = np.arange(p - 1, 0, -1)
        share_beyond = n_beyond / p
        centred = sums_beyond[:, 1:] - share_beyond * total
        return np.divide(centred, self.steps, order="F"), total


@dataclass(frozen=True, eq=False)
class SquareSystem:
    """Independent rows K, completed to an invertible matrix by rows of the identity.

    Attributes
    ----------
    K : csr_array of shape (t, p)
    factor : SuperLU
        Of the completed matrix, whose first t rows are K.
    """

    K: sparse.csr_array
    factor: object

    columns = None
    distinct = True
    ties = True

    def coefficients(self, c, z):
        """Return W (p, q) of components c (t, q) and free coefficients z (p - t, q)."""
        return self.factor.solve(np.concatenate([c, z]))

    def components(self, W):
        """Return the components (t, q) of W (p, q)."""
        return self.K @ W

    def design(self, X):
        """Return the designs of the components (n, t) and of the free coefficients (n, p - t)."""
        columns = np.ascontiguousarray(_dense(X).T)
        transformed = self.factor.solve(columns, "T")
        t = self.K.shape[0]
        penalised = transformed[:t].T
        free = transformed[t:].T
        return np.ascontiguousarray(penalised), np.ascontiguousarray(free)


def _square_system(K):
    """Return a `SquareSystem`, None where the rows of K are dependent or nearly so."""
    t, p = K.shape
    # Every row needs an entry of its own: rows of the identity take the columns left over.
    column_of_row = maximum_bipartite_matching(sparse.csr_matrix(K), perm_type="column")
    if t > p or (column_of_row < 0).any():
        return None
    free = np.setdiff1d(np.arange(p), column_of_row)
    identity = sparse.eye_array(p, format="csr")
    completed = sparse.vstack([K, identity[free]])
    completed = sparse.csc_array(completed)
    try:
        factor = splu(completed)
    except RuntimeError:  # exactly singular
        return None
    inverse = LinearOperator(
        (p, p),
        matvec=factor.solve,
        rmatvec=lambda v: factor.solve(v, "T"),
        dtype=float,
    )
    norm = abs(completed).sum(axis=0).max()
    # Written so that NaN, from a nearly singular matrix, is refused too.
    if not norm * onenormest(inverse, t=1) < _WORST_CONDITION:
        return None
    return SquareSystem(K, factor)


def chain_steps(K):
    """Return the b (m,) of rows ``b_i (w_{i+1} - w_i)`` along all columns, None for other K."""
    m, p = K.shape
    entries_per_row = np.diff(K.indptr)
    if m != p - 1 or not m or (entries_per_row != 2).any():
        return None
    K = K.sorted_indices()
    columns = K.indices.reshape(m, 2)
    neighbours = np.arange(m)[:, None] + [0, 1]
    if not np.array_equal(columns, neighbours):
        return None
    before, after = K.data.reshape(m, 2).T
    return after if np.array_equal(before, -after) else None


@dataclass(frozen=True, eq=False)
class Constraints:
    """Constraints ``K w = 0``, which coefficients satisfy without round-off where they can.

    Single entries become zero, and pairs of equal size become equal or opposite to the last digit.
    """

    K: sparse.csr_array

    @cached_property
    def _ties(self):
        """Which rows are ties (t,), and the set, the sign there and whether it is zero, (p,) each.

        The coefficients of a set are equal up to their signs.
        """
        K = self.K
        p = K.shape[1]
        count = np.diff(K.indptr)
        start = K.indptr[:-1]
        is_single = count == 1
        is_pair = count == 2
        first = start[is_pair]
        size = np.abs(K.data)
        is_pair[is_pair] = size[first] == size[first + 1]
        first = start[is_pair]
        second = first + 1
        i = K.indices[first]
        j = K.indices[second]
        # Node i of a graph stands for w_i and node p + i for -w_i: an edge says they are equal.
        # Entries of one sign tie w_i to -w_j.
        shift = p * (K.data[first] == K.data[second])
        tails = np.concatenate([i, p + i])
        heads = np.concatenate([j + shift, p + j + shift])
        heads %= 2 * p
        edges = np.ones(len(tails))
        graph = sparse.coo_array((edges, (tails, heads)), shape=(2 * p, 2 * p))
        _, label = connected_components(graph, directed=False)
        of_plus = label[:p]
        of_minus = label[p:]
        zero = of_plus == of_minus  # w = -w
        zero[K.indices[start[is_single]]] = True
        sign = np.where(of_plus <= of_minus, 1.0, -1.0)
        set_of_column = np.minimum(of_plus, of_minus)
        return is_single | is_pair, set_of_column, sign[:, None], zero

    def write(self, W):
        """Return the coefficients nearest to W (p, q) that satisfy the constraints.

        W is overwritten where some constraint is no tie.
        """
        is_tie, label, sign, zero = self._ties
        if not is_tie.all():
            for w in W.T:
                violation = self.K @ w
                w -= lsqr(self.K, violation, atol=1e-15, btol=1e-15)[0]
        size = np.bincount(label)
        total = np.zeros((len(size), W.shape[1]))
        np.add.at(total, label, sign * W)
        set_vanishes = np.zeros(len(size), bool)
        set_vanishes[label[zero]] = True
        total[set_vanishes] = 0.0
        set_is_tied = (size > 1) | set_vanishes
        divisor = np.maximum(size, 1)  # labels may be unused
        mean = total / divisor[:, None]
        tied_value = sign * mean[label] + 0.0  # + 0.0 turns -0.0 into 0.0
        is_tied = set_is_tied[label]
        return np.where(is_tied[:, None], tied_value, W)


def _dense(X):
    if sparse.issparse(X):
        return X.toarray()
    return np.asarray(X)
