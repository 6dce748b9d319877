"""Which of several functions are independent: the rank of their gradients.

Index legend: n samples, d coordinates, k functions, p library functions.
"""

import numpy as np

from sksym.discover.sampling import column_spread
from sksym.equivariant import probe_points

_POINTS = 200
_UNCERTAIN = 4.0  # times the noise floor: gradients that are dependent but for errors
_ROUND_OFF = 1e-6  # the same without noise


def independent_first(library, coef, X, weight, floor):
    """Sort functions such that independent ones come first, and simple ones among those.

    A function of others, such as the square of one, has a gradient in the span of theirs.

    Parameters
    ----------
    library : fitted library
    coef : ndarray of shape (k, p)
    X : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    floor : float
        Relative error of the functions.

    Returns
    -------
    coef : ndarray of shape (k, p)
    n_independent : int
    """
    if not len(coef):
        return coef, 0
    points = probe_points(X, _POINTS)
    spread = column_spread(X, weight)
    gradients = np.einsum("npd,kp->nkd", library.jacobian(points), coef) * spread
    error = max(_UNCERTAIN * floor, _ROUND_OFF)
    plain = coef * library.name_sizes()
    n_terms = np.count_nonzero(plain, axis=1)
    # Stable, so that the first functions of the library come first among equals.
    simple_first = np.argsort(n_terms, kind="stable")
    independent = []
    dependent = []
    for k in simple_first:
        rest = _beyond(gradients[:, independent], gradients[:, k])
        size = np.linalg.norm(gradients[:, k], axis=1)
        # The median, for independent functions may have parallel gradients at some points.
        if np.median(rest) > error * np.median(size):
            independent.append(k)
        else:
            dependent.append(k)
    return coef[independent + dependent], len(independent)


def _beyond(gradients, others):
    """Return the lengths (n,) of vectors (n, d) beyond the span of others (n, k, d)."""
    k = gradients.shape[1]
    if k == 0:
        return np.linalg.norm(others, axis=1)
    length = np.linalg.norm(gradients, axis=2, keepdims=True)
    directions = gradients / np.where(length > 0, length, 1.0)
    # Orthonormal columns (n, d, k) that span the gradients.
    Q, _ = np.linalg.qr(directions.transpose(0, 2, 1))
    inside = np.einsum("ndk,nd->nk", Q, others)
    rest = others - np.einsum("ndk,nk->nd", Q, inside)
    return np.linalg.norm(rest, axis=1)
