"""Statistics of the folds of a cross-validation: every row is factorised once."""

from itertools import accumulate

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


def leave_one_out(folds):
    """Yield the statistics of all folds but one, for every fold in turn.

    Those of the first and of the last folds are shared, so that k folds take 3 k merges.
    """
    first = [None, *accumulate(folds[:-1], Statistics.merge)]
    last = [None, *accumulate(reversed(folds[1:]), Statistics.merge)][::-1]
    for before, after in zip(first, last, strict=True):
        if before is None or after is None:
            yield before or after or folds[0]
        else:
            yield before.merge(after)
