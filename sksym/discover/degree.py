"""The degree of the polynomials that samples of a function call for, by cross-validation."""

from math import comb

import numpy as np

from sksym._linalg import one_thread
from sksym.discover.folds import fold_statistics, leave_one_out
from sksym.libraries import PolynomialLibrary

_USUAL_DEGREE = 6  # up to which every degree is tried
_LARGEST_DEGREE = 10  # for functions that no polynomial of the usual degree fits
_WORSE = 2  # degrees in a row that end the search beyond the usual ones
_LARGEST_LIBRARY = 700
_LARGEST_SHARE = 0.4  # of the number of rows: functions that are cross-validated
_LARGEST_FINAL_SHARE = 0.6  # and functions that are fitted to all rows in the end
_ROWS = 20_000
_N_FOLDS = 5
_RCOND = 1e-11

# Constants of a hash function after splitmix64; a float has a mantissa of 64 - 11 bits.
_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
_MIXER = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(29)
_DROPPED_BITS = np.uint64(11)


def best_degree(X, Y, weight, rng):
    """Return one more than the degree of the polynomials with the least cross-validated error.

    Every quadratic form has symmetries: only a library with cubic terms shows that a function is
    quadratic.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    Y : ndarray of shape (n, q)
    weight : ndarray of shape (n,)
    rng : RandomState

    Returns
    -------
    int
    """
    position = random_positions(X, rng)
    if len(X) > _ROWS:
        chosen = position < _ROWS / len(X)
        X = X[chosen]
        Y = Y[chosen]
        weight = weight[chosen]
        # Those chosen fill [0, 1) again, from which the folds are cut.
        position = position[chosen] * (len(chosen) / _ROWS)
    fold = (position * _N_FOLDS).astype(int)
    n = weight.sum()
    d = X.shape[1]
    errors = []
    for degree in range(1, _LARGEST_DEGREE + 1):
        if not _is_affordable(degree, d, _LARGEST_SHARE * n):
            break
        n_worse = len(errors) - 1 - np.argmin(errors) if errors else 0
        if degree > _USUAL_DEGREE and n_worse >= _WORSE:
            break
        library = PolynomialLibrary(degree).fit(X)
        folds = fold_statistics(library, X, weight, fold, Y)
        with one_thread():
            errors.append(_held_out_error(folds))
    best = 1 + int(np.argmin(errors))
    if _is_affordable(best + 1, d, _LARGEST_FINAL_SHARE * n):
        return best + 1
    return best


def _is_affordable(degree, d, largest):
    """Return whether there are few polynomials in d variables; linear ones always are."""
    return degree == 1 or comb(d + degree, degree) <= min(largest, _LARGEST_LIBRARY)


def _held_out_error(folds):
    """Return the sum of squared residuals of least squares on folds that were left out."""
    error = 0.0
    for training, held_out in zip(leave_one_out(folds), folds, strict=True):
        coef = np.linalg.lstsq(training.design, training.targets, rcond=_RCOND)[0]
        residual = held_out.design @ coef - held_out.targets
        error += np.sum(residual**2)
    return error


def random_positions(X, rng):
    """Return a number in [0, 1) for every row of `X` (n, d), random but equal for equal rows.

    So a row of weight two falls into the same fold as two equal rows do.
    """
    key = X @ rng.uniform(1, 2, X.shape[1])
    key = key + 0.0  # -0.0 becomes 0.0, which has other bits
    bits = key.view(np.uint64) * _GOLDEN_RATIO
    bits ^= bits >> _SHIFT
    bits *= _MIXER
    mantissa = bits >> _DROPPED_BITS
    return mantissa / 2.0**53
