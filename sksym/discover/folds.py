"""R factors of the folds of a cross-validation: every row is factorised once."""

import numpy as np

from sksym._linalg import merge_rows
from sksym.spectra import weighted_factor


def fold_factors(library, X, weight, fold, Y=None):
    """Return the R factor of the weighted rows of every fold, in the order of their labels.

    Parameters
    ----------
    library : fitted library
    X : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    fold : ndarray of shape (n,)
        The label of the fold of every row.
    Y : ndarray of shape (n, q), default=None
        Further columns of the rows ``[phi(x), y]``.

    Returns
    -------
    list of ndarray of shape (p + q, p + q)
    """
    factors = []
    for label in np.unique(fold):
        rows = fold == label
        targets = None if Y is None else Y[rows]
        factors.append(weighted_factor(library, X[rows], weight[rows], targets))
    return factors


def training_factor(factors, k):
    """Return the R factor of all folds but fold k; of the only fold where there is no other."""
    others = factors[:k] + factors[k + 1 :]
    return merge_rows(None, np.concatenate(others or factors))
