"""Elementary mirrors, stacked: what every kind of mirror turns into once the features are known."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sksym.solvers import GroupNorm


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

    def lengths(self, W):
        """``|O_k^T W|`` (m,) for coefficients W (p, q)."""
        return GroupNorm(self.weights, self.sizes).lengths(self.K @ W)

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


def columns_of(sets, names):
    """Indices (t,) of the columns of all sets in a row, given by index or name; the sets' sizes."""
    sets = [one if hasattr(one, "dtype") else _array(list(one)) for one in sets]
    sizes, p = np.array([len(one) for one in sets]), len(names)
    columns = np.concatenate([one for one in sets if len(one)] or [np.zeros(0, int)])
    if columns.dtype.kind in "UO":
        where = {name: j for j, name in enumerate(names)}
        missing = sorted({str(c) for c in columns if isinstance(c, str) and c not in where})
        if missing:
            raise ValueError(f"Columns {missing[:5]} are not among the features {_few(names)}.")
        columns = np.array([where[c] if isinstance(c, str) else c for c in columns])
    if columns.dtype.kind not in "iu":
        raise TypeError(f"Columns must be given by index or by name, got {_few(columns)}.")
    columns = columns.astype(int)
    if columns.size and not (columns.min() >= 0 and columns.max() < p):
        wrong = columns[(columns < 0) | (columns >= p)]
        raise ValueError(f"Columns must be in 0..{p - 1}, got {_few(wrong)}.")
    ordered = np.sort(np.repeat(np.arange(len(sets)), sizes) * p + columns)
    if not np.diff(ordered).all():
        wrong = next(one for one in np.split(columns, np.cumsum(sizes)) if len(set(one)) < len(one))
        raise ValueError(f"Columns must be distinct, got {_few(wrong)}.")
    return columns, sizes


def _array(columns):
    """Names and numbers as they are: numpy makes strings of both."""
    return np.array(columns, dtype=object if any(isinstance(c, str) for c in columns) else None)


def _few(values):
    values = [getattr(value, "item", lambda v=value: v)() for value in values[:5]]
    return f"{values}"[:-1] + (", ..]" if len(values) == 5 else "]")
