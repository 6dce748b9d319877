"""Rank: one rule for what is zero beside what, triangular factors, and echelon forms."""

import numpy as np
from scipy import sparse
from scipy.linalg import qr

EPS = np.finfo(float).eps


def numerical_rank(sizes, shape, rtol=None):
    """Count the singular values, or pivots of a QR, that are more than round-off.

    Parameters
    ----------
    sizes : ndarray of shape (k,)
        Non-negative, descending.
    shape : tuple of int
        Of the matrix; its larger side sets how much round-off there is.
    rtol : float, default=None
        Relative to the largest; at least ``8 eps max(shape)``, which is the default.
    """
    round_off = 8 * EPS * max(1, *shape)
    if rtol is not None:
        round_off = max(rtol, round_off)
    return int((sizes > round_off * sizes.max(initial=0)).sum())


def merge_rows(R, rows):
    """Return the triangular factor of ``[R; rows]``, whose Gram matrix is the sum of theirs."""
    if R is not None:
        rows = np.concatenate([R, rows])
    return np.linalg.qr(rows, mode="r")


def orthonormal_rows(matrix):
    """Return orthonormal rows with the same span; the rows must be independent.

    Returns
    -------
    Q : ndarray of shape (k, n)
    L : ndarray of shape (k, k)
        Lower triangular, with ``matrix = L @ Q``.
    """
    dense = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    Q, R = np.linalg.qr(dense.T)
    return Q.T, R.T


def independent_rows(matrix, rtol=1e-10):
    """Return the indices of a largest independent set of rows, in order."""
    nonzero = matrix != 0
    # A row with an entry that no other row has depends on none of them.
    only_entry = nonzero & (nonzero.sum(axis=0) == 1)
    if only_entry.any(axis=1).all():
        return np.arange(len(matrix))
    size = np.linalg.norm(matrix, axis=1)
    size[size == 0] = 1.0
    R, order = qr((matrix / size[:, None]).T, mode="r", pivoting=True)
    diagonal = np.abs(np.diag(R))
    rank = numerical_rank(diagonal, matrix.shape, rtol)
    return np.sort(order[:rank])


def pivoted_echelon(rows, size=1.0):
    """Return the same row space with unit columns at its pivots, and the pivots.

    Pivots are where the rows (k, r) are largest in units `size`, a number or of shape (r,).
    """
    _, _, pivots = qr(rows * size, pivoting=True)
    pivots = np.sort(pivots[: len(rows)])
    return np.linalg.solve(rows[:, pivots], rows), pivots


def reduced_echelon(matrix, rtol=1e-9):
    """Return the reduced row echelon form; pivots are the first columns that are large enough.

    Entries up to `rtol` of the largest of their row are set to zero.
    """
    rows = np.array(matrix, dtype=float)
    size = np.abs(rows).max(axis=1, initial=0)
    rank = 0
    for column in range(rows.shape[1]):
        if rank == len(rows):
            break
        unit = np.where(size[rank:] > 0, size[rank:], 1.0)
        relative = np.abs(rows[rank:, column]) / unit
        largest = relative.argmax()
        if relative[largest] <= 1e-6:
            continue
        rows[[rank, rank + largest]] = rows[[rank + largest, rank]]
        rows[rank] /= rows[rank, column]
        others = np.flatnonzero(rows[:, column])
        others = others[others != rank]
        rows[others] -= rows[others, column][:, None] * rows[rank]
        rows[others, column] = 0
        size = np.abs(rows).max(axis=1)
        rank += 1
    return np.where(np.abs(rows) <= rtol * size[:, None], 0.0, rows)
