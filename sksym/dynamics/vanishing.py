"""Functions of a library that vanish on the data, to the accuracy of the data.

Along an orbit with a conserved quantity, library functions are dependent: S + I + R = 1 in a model
of an epidemic, x0^2 + x1^2 = 1 on a circle. Least squares then divides the equations among them by
rounding errors.

Errors e_i of the coordinates change ``c @ phi(x)`` by ``sum_i c @ d_i phi(x) e_i`` to first order.
A combination vanishes where its mean square on the data is at most twice that of its error,

    ``|Phi c|^2 <= 2 sum_i e_i^2 |d_i Phi c|^2``,

which does not depend on the units or the origin of the coordinates.
"""

import numpy as np

from sksym.groups import linear_combination
from sksym.libraries import library_values

_MOST_ROWS = 2000  # that are looked at, evenly spread
_MOST_FUNCTIONS = 400  # of a library in which dependent functions are looked for
_ROWS_PER_FUNCTION = 2  # at least: fewer rows make functions dependent by their number
_BY_NOISE = 1.4  # root mean square relative to its error, up to which a combination vanishes
_ACCURACY = 1e-5  # of any data relative to their spread: solvers and instruments drift
_DIGITS = 12  # significant ones, up to which data count as rounded
_ROUNDED = 1e-4  # distance to a rounded number relative to the last digit
_FEWEST_VALUES = 20  # different ones, from which on rounded data are told from simple numbers
_COARSEST = 0.01  # rounding relative to the spread: coarser grids are design, not rounding
_NOISIEST = 0.05  # and noise: more makes anything vanish, or is motion from sample to sample
_STEP = 1e-5  # of differences of the library, relative to the spread
_IDENTICAL = 1e-12  # singular value relative to the largest of a combination that is zero


def state_errors(X, noise=None):
    """Return the standard errors (d,) of the columns of X (n, d), at least 1e-5 of their spread.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    noise : ndarray of shape (d,), default=None
        Where it is known; else the digits of the numbers tell how they were rounded.
    """
    spread = _spread(X)
    rounding = np.array([rounding_error(column) for column in X.T])
    rounding = np.minimum(rounding, _COARSEST * spread)
    errors = np.maximum(_ACCURACY * spread, rounding)
    if noise is None:
        return errors
    is_noise = noise < _NOISIEST * spread
    return np.where(is_noise, np.maximum(errors, noise), errors)


def rounding_error(x):
    """Return the standard error of numbers x (n,) that were rounded to some digits, else 0.

    An interval of one unit of the last digit has the standard deviation 1 / sqrt(12).
    """
    largest = np.abs(x).max(initial=0)
    values = np.unique(x)
    if len(values) < _FEWEST_VALUES:
        return 0.0
    magnitude = np.log10(largest)
    leading = int(np.floor(magnitude))
    for digits in range(_DIGITS):
        unit = 10.0 ** (leading - digits)
        in_units = values / unit
        distance = np.abs(in_units - in_units.round())
        if distance.max() < _ROUNDED:
            return unit / np.sqrt(12)
    return 0.0


def vanishing_functions(library, X, errors):
    """Return combinations (k, p) of library functions that vanish on the data, one a row.

    Functions are taken in the order of the library. One that depends on those before it gives a
    row, whose last entry is 1 and which has as few others as the accuracy of the data allows.

    Parameters
    ----------
    library : fitted library
    X : ndarray of shape (n, d)
    errors : ndarray of shape (d,)
        Standard errors of the coordinates.
    """
    p = library.n_output_features_
    nothing = np.zeros((0, p))
    evenly = np.linspace(0, len(X) - 1, _MOST_ROWS)
    evenly = np.unique(evenly.astype(int))
    rows = X[evenly]
    n_distinct = len(np.unique(rows, axis=0))
    if n_distinct < _ROWS_PER_FUNCTION * p or p > _MOST_FUNCTIONS:
        return nothing
    values, changes = _values_and_changes(library, rows, errors)
    size = np.linalg.norm(values, axis=0)
    size[size == 0] = 1.0
    values = np.linalg.qr(values / size, mode="r")
    changes = np.linalg.qr(changes / size, mode="r")
    ratio, _ = _least_ratio(values, changes)
    if ratio > _BY_NOISE:
        return nothing
    relations = []
    independent = []
    for function in range(p):
        chosen = [*independent, function]
        ratio, c = _least_ratio(values[:, chosen], changes[:, chosen])
        if ratio > _BY_NOISE:
            independent = chosen
            continue
        change = np.linalg.norm(changes[:, chosen] @ c)
        if change <= _IDENTICAL * np.linalg.norm(c):  # zero everywhere, not on these data
            continue
        relation = np.zeros(p)
        few = _with_few_entries(values[:, chosen], changes[:, chosen], c)
        relation[chosen] = few / size[chosen]
        relations.append(relation / relation[function])
    return np.array(relations).reshape(-1, p)


def named(library, relations, features=None, digits=3):
    """Write relations (k, p) as formulas of plain functions that are zero on the data.

    Parameters
    ----------
    library : fitted library
    relations : ndarray of shape (k, p)
    features : sequence of d str, default=None
        Names of the coordinates. None: those of the library.
    digits : int
    """
    functions = np.asarray(library.get_feature_names_out(features))
    formulas = []
    for row in library.monomial_coef(relations):
        last = np.flatnonzero(row)[-1]
        in_units = row / row[last]
        formulas.append(linear_combination(in_units, functions, digits, most=None))
    return formulas


def _spread(X):
    """Return the standard deviations (d,) of columns; of constant ones their size, or 1."""
    spread = X.std(axis=0)
    size = np.abs(X).max(axis=0)
    is_constant = spread <= _IDENTICAL * size
    spread = np.where(is_constant, size, spread)
    return np.where(spread > 0, spread, 1.0)


def _values_and_changes(library, X, errors):
    """Return values (n, p) of a library, and by how much errors (d,) change them, (n d, p)."""
    values = library_values(library, X)
    changes = []
    for coordinate, step in enumerate(_STEP * _spread(X)):
        shifted = X.copy()
        shifted[:, coordinate] += step
        difference = library_values(library, shifted) - values
        changes.append(difference * (errors[coordinate] / step))
    changes = np.concatenate(changes)
    # At the border of its domain a function has no change: those rows say nothing.
    is_finite = np.isfinite(changes).all(axis=1)
    changes[~is_finite] = 0
    return values, changes


def _least_ratio(values, changes):
    """Minimise |values c| / |changes c|: the least ratio and c (k,).

    From the stacked rows ``[values; changes] = Q R`` by singular values of the upper part of Q,
    the cosines of a generalised singular value decomposition.
    """
    stacked = np.vstack([values, changes])
    U, s, V = np.linalg.svd(stacked, full_matrices=False)
    if s[-1] <= _IDENTICAL * s[0]:  # the same functions twice
        return 0.0, V[-1]
    upper = U[: len(values)]
    _, cosines, W = np.linalg.svd(upper)
    cosine = min(cosines[-1], 1.0)
    c = V.T @ (W[-1] / s)
    if cosine == 1:
        return np.inf, c
    sine = np.sqrt(1 - cosine**2)
    return cosine / sine, c


def _with_few_entries(values, changes, c):
    """Drop entries of a combination c (k,), smallest first, as long as it vanishes."""
    active = np.arange(len(c))
    while len(active) > 1:
        # The last entry is that of the function which depends on the others.
        drop = np.abs(c[active[:-1]]).argmin()
        fewer = np.delete(active, drop)
        ratio, entries = _least_ratio(values[:, fewer], changes[:, fewer])
        if ratio > _BY_NOISE:
            break
        active = fewer
        c = np.zeros_like(c)
        c[active] = entries
    return c
