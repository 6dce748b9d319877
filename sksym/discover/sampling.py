"""Subsamples of data, neighbourhoods in them, and the length of their columns."""

import numpy as np
from sklearn.cluster import KMeans

from sksym._linalg import one_thread
from sksym.evidence import pooled_spread

_N_CLUSTERS = 30
_ROWS_PER_CLUSTER = 5
_CONSTANT = 1e-13  # deviation of a column, relative to its size, that is round-off


def some_rows(n, largest, rng):
    """Return the indices, ascending, of all n rows, or of `largest` of them drawn at random."""
    order = rng.permutation(n)
    return np.sort(order[:largest])


def spatial_clusters(X, rng):
    """Return labels (n,) of the neighbourhoods of points (n, d): their errors may be common."""
    affordable = max(len(X) // _ROWS_PER_CLUSTER, 1)
    k = min(_N_CLUSTERS, affordable)
    clustering = KMeans(k, n_init=1, max_iter=20, random_state=rng)
    with one_thread():
        return clustering.fit_predict(X)


def column_spread(X, weight):
    """Return a length (d,) for every column of `X` (n, d): a quarter of its range.

    A constant column has the pooled spread of all.
    """
    spread = np.ptp(X, axis=0) / 4
    pooled = pooled_spread(X, weight) or np.abs(X).max() or 1.0
    spread[spread == 0] = pooled
    return spread


def column_deviation(X, weight):
    """Return the standard deviation (d,) of every column of `X` (n, d).

    A constant column has the largest one of the others.
    """
    share = weight / weight.sum()
    center = share @ X
    deviation = np.sqrt(share @ (X - center) ** 2)
    is_constant = deviation <= _CONSTANT * np.abs(center)
    deviation[is_constant] = deviation.max() or np.abs(X).max() or 1.0
    return deviation
