"""Sparse regression inside a space of symmetric functions."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linprog
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import Lasso

_LARGEST_BLOCK = 40  # dimension up to which sparsest vectors are looked for
_ZERO = 1e-9


def sparsest_rows(basis):
    """Rows (k, N) of the same space with as few entries as are found, largest entry 1.

    Blocks that share columns are treated by themselves: for every column the vector of least
    l1 norm that is one there, by linear programming, and of those the sparsest independent ones.
    """
    basis = sparse.csr_array(basis)
    links = sparse.csr_array(abs(basis) @ abs(basis).T)
    n_blocks, label = connected_components(links, directed=False)
    rows = []
    order = np.argsort(label, kind="stable")
    for mine in np.split(order, np.cumsum(np.bincount(label, minlength=n_blocks))[:-1]):
        block = basis[mine]
        columns = np.unique(block.indices)
        dense = block[:, columns].toarray()
        if 1 < len(mine) <= _LARGEST_BLOCK and len(mine) < len(columns):
            dense = _sparsest(dense)
        rows.extend((columns, row) for row in dense)
    rows.sort(key=lambda one: one[0][np.flatnonzero(one[1])[0]])
    out = sparse.lil_array(basis.shape)
    for k, (columns, row) in enumerate(rows):
        row = row / row[np.abs(row).argmax()]
        row[np.abs(row) < _ZERO] = 0
        out[k, columns] = row
    return sparse.csr_array(out)


def _sparsest(N):
    """Sparse rows with the span of the rows of N (k, s)."""
    k = len(N)
    # Columns that are multiples of each other vanish together: one of them speaks for all.
    size = np.linalg.norm(N, axis=0)
    unit = N / np.where(size > 0, size, 1.0)
    unit = unit * np.where(unit[np.abs(unit).argmax(axis=0), np.arange(N.shape[1])] < 0, -1, 1)
    _, first = np.unique(unit.round(9), axis=1, return_index=True)
    found = [N / np.abs(N).max(axis=1, keepdims=True)]
    cost = np.concatenate([np.zeros(k), np.ones(N.shape[1])])
    I = np.eye(N.shape[1])
    A = np.block([[N.T, -I], [-N.T, -I]])
    for j in first[size[first] > 0]:
        equal = np.concatenate([N[:, j], np.zeros(N.shape[1])])[None]
        free = [(None, None)] * k + [(0, None)] * N.shape[1]
        best = linprog(cost, A, np.zeros(len(A)), equal, [1.0], free, method="highs")
        if best.success:
            row = best.x[:k] @ N
            found.append((row / np.abs(row).max())[None])
    found = np.concatenate(found)
    found[np.abs(found) < _ZERO] = 0
    chosen = np.zeros((0, N.shape[1]))
    for row in found[np.argsort(np.count_nonzero(found, axis=1), kind="stable")]:
        left = row - row @ np.linalg.pinv(chosen) @ chosen if len(chosen) else row
        if np.linalg.norm(left) > 1e-6 * np.linalg.norm(row):
            chosen = np.vstack([chosen, row])
        if len(chosen) == k:
            break
    return chosen


@dataclass(frozen=True)
class Sparsity:
    """What makes coefficients zero: sequential thresholding, an l1 penalty, or both."""

    threshold: float
    l1: float
    max_iter: int = 50

    def active(self, R, y):
        """Which unknowns of ``|R w - y|^2 / 2`` stay, and their values (k,)."""
        kept = np.full(R.shape[1], True)
        if self.l1 > 0:
            n = len(R)
            lasso = Lasso(self.l1, fit_intercept=False, max_iter=100_000, tol=1e-8)
            kept = lasso.fit(R * np.sqrt(n), y * np.sqrt(n)).coef_ != 0
        for _ in range(self.max_iter):
            w = np.zeros(R.shape[1])
            if kept.any():
                w[kept] = np.linalg.lstsq(R[:, kept], y, rcond=1e-12)[0]
            large = kept & (np.abs(w) >= self.threshold)
            if (large == kept).all():
                break
            kept = large
        return w
