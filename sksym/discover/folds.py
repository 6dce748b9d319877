"""Statistics of the folds of a cross-validation: every row is factorised once."""

import numpy as np

from sksym.evidence import library_statistics
from sksym.statistics import Statistics


def fold_statistics(library, X, weight, fold, Y=None):
    """Return the statistics of every fold, in the order of their labels.

    Parameters
    ----------
    library : fitted Library
    X : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    fold : ndarray of shape (n,)
        The label of the fold of every row.
    Y : ndarray of shape (n, q), default=None
        Targets; None: none.

    Returns
    -------
    list of Statistics
    """
    if Y is None:
        Y = np.zeros((len(X), 0))
    statistics = []
    for label in np.unique(fold):
        rows = fold == label
        statistics.append(library_statistics(library, X[rows], Y[rows], weight[rows]))
    return statistics


def merged(folds) -> Statistics:
    """Return the statistics of several folds together."""
    total = folds[0]
    for fold in folds[1:]:
        total = total.merge(fold)
    return total


def all_but(folds, k):
    """Return the statistics of all folds but fold k; of the only fold where there is no other."""
    return merged(folds[:k] + folds[k + 1 :] or folds)
