"""The degree of the polynomials that samples of a function call for, by cross-validation."""

from math import comb

import numpy as np

from sksym._linalg import merge_rows
from sksym.libraries import PolynomialLibrary
from sksym.spectra import weighted_factor

_LARGEST_DEGREE = 6
_LARGEST_LIBRARY = 700
_ROWS_FOR_DEGREE = 20_000
_N_FOLDS = 5


def best_degree(X, Y, weight, rng):
    """One more than the degree of the polynomials with the least cross-validated error.

    Every quadratic form has symmetries; that a function is quadratic takes cubic terms to see.
    """
    chance = _chance(X, rng)
    if len(X) > _ROWS_FOR_DEGREE:
        chosen = chance < _ROWS_FOR_DEGREE / len(X)
        chance = chance[chosen] * (len(X) / _ROWS_FOR_DEGREE)
        X, Y, weight = X[chosen], Y[chosen], weight[chosen]
    fold = (chance * _N_FOLDS).astype(int)
    n, d, errors = weight.sum(), X.shape[1], []

    def affordable(degree, share):
        return degree == 1 or comb(d + degree, degree) <= min(share * n, _LARGEST_LIBRARY)

    for degree in range(1, _LARGEST_DEGREE + 1):
        if not affordable(degree, 0.4):
            break
        library = PolynomialLibrary(degree).fit(X)
        parts = [
            weighted_factor(library, X[fold == k], weight[fold == k], Y[fold == k])
            for k in np.unique(fold)
        ]
        p, error = library.n_output_features_, 0.0
        for k, held_out in enumerate(parts):
            R = merge_rows(None, np.concatenate(parts[:k] + parts[k + 1 :] or parts))
            w = np.linalg.lstsq(R[:, :p], R[:, p:], rcond=1e-11)[0]
            error += np.sum((held_out[:, :p] @ w - held_out[:, p:]) ** 2)
        errors.append(error)
    best = 1 + int(np.argmin(errors))
    return best + affordable(best + 1, 0.6)


def _chance(X, rng):
    """A number in [0, 1) for every row, random but equal for equal rows.

    So a row of weight two counts as two equal rows do.
    """
    key = X @ rng.uniform(1, 2, X.shape[1]) + 0.0
    mixed = key.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(11)) / 2.0**53
