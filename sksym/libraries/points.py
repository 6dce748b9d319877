"""Points side by side in the columns of X: their distances, and motions that keep these.

Index legend: n rows, m points of `dim` coordinates, P pairs of points, r generators.
"""

import numpy as np

from sksym.libraries.polynomial import power_of_two

_SAME = 1e-12  # relative distance from a motion of all points together that is round-off


def distances(X, pairs, dim):
    """Compute ``x_i - x_j`` (P, n, dim) and its length (P, n).

    Parameters
    ----------
    X : ndarray of shape (n, m dim)
    pairs : ndarray of shape (P, 2)
    dim : int
    """
    n, d = X.shape
    points = X.astype(float).reshape(n, d // dim, dim)
    points = points.transpose(1, 0, 2)  # a point at a time: pairs are sums of whole blocks
    first, second = pairs.T
    difference = points[first] - points[second]
    # In a unit of a power of two, so that no square overflows or vanishes.
    largest = np.abs(difference).max(initial=0)
    unit = power_of_two(largest)
    squares = (difference / unit) ** 2
    length = unit * np.sqrt(squares.sum(axis=2))
    return difference, length


def move_together(linear, offset, dim):
    """Tell whether generators turn and translate all points alike, so that distances stay.

    Parameters
    ----------
    linear : ndarray of shape (r, m dim, m dim)
    offset : ndarray of shape (r, m dim)
    dim : int
    """
    blocks = _blocks(linear, dim)
    m = blocks.shape[1]
    is_diagonal = np.eye(m, dtype=bool)
    mixing = blocks[:, ~is_diagonal]
    turning = blocks[:, is_diagonal]
    # One skew block for each point, nothing that mixes points, one translation for all.
    first = turning[:, 0]
    transposed = first.transpose(0, 2, 1)
    size = _largest(linear)
    error = max(
        _largest(mixing),
        _largest(turning - first[:, None]),
        _largest(first + transposed),
    )
    if error > _SAME * size:
        return False
    translations = offset.reshape(len(offset), m, dim)
    first = translations[:, :1]
    error = _largest(translations - first)
    return error <= _SAME * _largest(offset)


def are_permuted(g, dim, labels):
    """Tell whether an element moves all points alike, up to a permutation that keeps labels.

    Parameters
    ----------
    g : ndarray of shape (m dim, m dim)
    dim : int
    labels : list of m str
    """
    blocks = _blocks(g, dim)
    m = len(blocks)
    size = np.abs(blocks).max(axis=(2, 3))
    is_present = size > _SAME
    # Point i goes where point images[i] was.
    images = is_present.argmax(axis=1)
    distinct = np.unique(images)
    permutation = np.eye(m, dtype=bool)[images]
    if len(distinct) < m or (is_present != permutation).any():
        return False
    for i, j in enumerate(images):
        if labels[i] != labels[j]:
            return False
    moved = blocks[np.arange(m), images]
    first = moved[0]
    gram = first @ first.T
    error = max(
        _largest(moved - first),
        _largest(gram - np.eye(dim)),
    )
    return error <= _SAME


def _largest(values):
    """Return the largest absolute value, zero of none."""
    return np.abs(values).max(initial=0)


def _blocks(matrices, dim):
    """Split matrices (.., m dim, m dim) into blocks (.., m, m, dim, dim)."""
    *outer, d, _ = matrices.shape
    m = d // dim
    split = matrices.reshape(*outer, m, dim, m, dim)
    return np.swapaxes(split, -3, -2)
