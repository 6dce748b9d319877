"""Rank: one rule for what is zero beside what, triangular factors, and echelon forms."""

import numpy as np
from scipy import sparse
from scipy.linalg import qr
from scipy.sparse.csgraph import connected_components

EPS = np.finfo(float).eps
_NO_PIVOT = 1e-6  # entries relative to the largest of their row that cannot be pivots


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
    threshold = round_off * sizes.max(initial=0)
    above = sizes > threshold
    return int(above.sum())


def merge_rows(R, rows):
    """Return the triangular factor of ``[R; rows]``, whose Gram matrix is the sum of theirs.

    Parameters
    ----------
    R : ndarray of shape (k, n), or None
    rows : ndarray of shape (m, n)
    """
    if R is not None:
        rows = np.concatenate([R, rows])
    return np.linalg.qr(rows, mode="r")


def orthonormal_rows(matrix):
    """Return orthonormal rows with the same span; the rows must be independent.

    Parameters
    ----------
    matrix : array or sparse array of shape (k, n)

    Returns
    -------
    Q : ndarray of shape (k, n)
    L : ndarray of shape (k, k)
        Lower triangular, with ``matrix = L @ Q``.
    """
    dense = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    Q, R = np.linalg.qr(dense.T)
    return Q.T, R.T


def row_components(matrix):
    """List the sets of rows (indices) that share columns with each other, and with no others.

    Parameters
    ----------
    matrix : csr_array of shape (k, n)
    """
    if not matrix.shape[0]:
        return []
    size = abs(matrix)
    n_components, label = connected_components(size @ size.T, directed=False)
    order = np.argsort(label, kind="stable")
    counts = np.bincount(label, minlength=n_components)
    return np.split(order, np.cumsum(counts)[:-1])


def independent_rows(matrix, rtol=1e-10):
    """Return the indices of a largest independent set of rows of a matrix (k, n), in order."""
    is_nonzero = matrix != 0
    # A row with an entry that no other row has depends on none of them.
    rows_of_column = is_nonzero.sum(axis=0)
    only_entry = is_nonzero & (rows_of_column == 1)
    has_own_column = only_entry.any(axis=1)
    if has_own_column.all():
        return np.arange(len(matrix))
    # Rows of unit size: they may differ in units.
    size = np.linalg.norm(matrix, axis=1)
    size[size == 0] = 1.0
    unit_rows = matrix / size[:, None]
    R, order = qr(
        unit_rows.T,
        mode="r",
        pivoting=True,
    )
    pivots = np.abs(np.diag(R))
    rank = numerical_rank(pivots, matrix.shape, rtol)
    return np.sort(order[:rank])


def pivoted_echelon(rows, size=1.0):
    """Return the same row space with unit columns at its pivots, and the pivots.

    Pivots are where the rows (k, r) are largest in units `size`, a number or of shape (r,).
    """
    _, _, order = qr(rows * size, pivoting=True)
    rank = len(rows)
    pivots = np.sort(order[:rank])
    at_pivots = rows[:, pivots]
    return np.linalg.solve(at_pivots, rows), pivots


def reduced_echelon(matrix, rtol=1e-9):
    """Return the reduced row echelon form; pivots are the first columns that are large enough.

    Entries up to `rtol` of the largest of their row are set to zero.

    Parameters
    ----------
    matrix : array-like of shape (k, n)
    rtol : float

    Returns
    -------
    ndarray of shape (k, n)
    """
    rows = np.array(matrix, dtype=float)
    size = np.abs(rows).max(axis=1, initial=0)
    rank = 0
    for column in range(rows.shape[1]):
        if rank == len(rows):
            break
        # Partial pivoting by relative size, because rows may differ in units.
        remaining_size = size[rank:]
        unit = np.where(
            remaining_size > 0,
            remaining_size,
            1.0,
        )
        entries = np.abs(rows[rank:, column])
        relative = entries / unit
        largest = relative.argmax()
        if relative[largest] <= _NO_PIVOT:
            continue
        pivot = rank + largest
        swapped = [pivot, rank]
        rows[[rank, pivot]] = rows[swapped]
        rows[rank] /= rows[rank, column]
        others = np.flatnonzero(rows[:, column])
        others = others[others != rank]
        factors = rows[others, column]
        rows[others] -= factors[:, None] * rows[rank]
        rows[others, column] = 0  # exactly, so that later pivots do not see round-off
        size = np.abs(rows).max(axis=1)
        rank += 1
    is_round_off = np.abs(rows) <= rtol * size[:, None]
    return np.where(is_round_off, 0.0, rows)
