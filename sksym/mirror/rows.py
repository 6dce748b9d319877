"""Elementary mirrors, stacked: what every kind of mirror turns into once the features are known."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from sksym._linalg import column_indices


@dataclass(frozen=True, eq=False)
class MirrorRows:
    """Elementary mirrors stacked: mirror k penalises ``weights[k] ||K_k w||_2``.

    Attributes
    ----------
    K : csr_array of shape (t, p)
        The ``O_k^T`` below each other.
    sizes : ndarray of shape (m,)
        Rows of each.
    weights : ndarray of shape (m,)
    names : list of m str
    nuclear : float
        Weight of the nuclear norm of all coefficients, 0: none.
    """

    K: sparse.csr_array
    sizes: np.ndarray
    weights: np.ndarray
    names: list
    nuclear: float = 0.0

    @cached_property
    def starts(self):
        """First row of each mirror."""
        return np.concatenate([[0], np.cumsum(self.sizes)])[:-1].astype(int)

    def lengths(self, W):
        """``|O_k^T W|`` (m,) for coefficients W (p, q)."""
        if not len(self.sizes):
            return np.zeros(0)
        square = np.sum((self.K @ W) ** 2, axis=1)
        return np.sqrt(np.add.reduceat(square, self.starts))

    def norms(self, W):
        """The same, then the singular values of W where the nuclear norm counts."""
        lengths = self.lengths(W)
        if not self.nuclear:
            return lengths
        return np.concatenate([lengths, np.linalg.svd(W, compute_uv=False)])

    def labels(self, q):
        """Names of all that `norms` gives for q outputs."""
        directions = min(self.K.shape[1], q) if self.nuclear else 0
        return [*self.names, *(f"direction {i + 1}" for i in range(directions))]

    def rows_of(self, mirrors):
        """Rows of K that belong to some mirrors, given as a mask (m,)."""
        return self.K[np.repeat(mirrors, self.sizes)]


def stacked(K, sizes, weight, labels):
    """Rows with one weight for all mirrors, or one for each."""
    weights, m = np.asarray(weight, dtype=float), len(sizes)
    if weights.ndim > 1 or weights.size not in (1, m):
        raise ValueError(
            f"`weight` must be a number, or one number for each of the {m} mirrors, got shape "
            f"{weights.shape}."
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(f"`weight` must be finite and >= 0, got {weight!r}.")
    return MirrorRows(K, np.asarray(sizes), np.broadcast_to(weights, m), list(labels))


def selection(columns, p):
    """Rows of the identity."""
    m = len(columns)
    return sparse.csr_array((np.ones(m), (np.arange(m), columns)), shape=(m, p))


def columns_of(columns, names):
    """Validated indices of columns given by index or name."""
    columns = list(columns)
    return column_indices(columns, names, len(columns))[0]
