"""Where a library belongs: centred at the fixed point of a symmetry, scaled to the data."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.base import clone

from sksym._linalg import column_indices
from sksym.groups import Group
from sksym.libraries import as_library, library_values

_FIXED = 1e-9  # motion of a point relative to its terms at which it is fixed
_AT_ORIGIN = 1e-13  # coordinates of a fixed point relative to the largest that are zero
_N_PROBES = 20  # points at which functions are compared with constants


def centre_and_scale(low, high, group):
    """Find where a library should be centred and how it should be scaled.

    Parameters
    ----------
    low, high : ndarray of shape (d,)
        Range of the data.
    group : Group
        Of affine motions.

    Returns
    -------
    center : ndarray of shape (d,)
        The fixed point of the symmetry nearest the middle of the range, for every set of
        coordinates that it mixes; the middle itself for a set without fixed point.
    scale : ndarray of shape (d,)
        A power of two for every such set.
    """
    d = len(low)
    center = (low + high) / 2.0
    linear, offset = _few(group.algebra.linear, group.algebra.offset, d + 1)
    displacement = group.elements.matrices - np.eye(d)
    linear = np.concatenate([linear, displacement])
    offset = np.concatenate([offset, np.zeros((len(displacement), d))])
    _, label = connected_components(sparse.csr_array(group.mixing), directed=False)
    scale = np.ones(d)
    for k in range(label.max() + 1):
        mixed = np.flatnonzero(label == k)
        A = linear[:, mixed[:, None], mixed].reshape(-1, len(mixed))
        b = offset[:, mixed].ravel()
        center[mixed] = _nearest_fixed_point(A, b, center[mixed])
        above = np.abs(high[mixed] - center[mixed])
        below = np.abs(low[mixed] - center[mixed])
        reach = np.maximum(above, below).max()
        if reach > 0:
            scale[mixed] = np.exp2(np.ceil(np.log2(reach)))
    return center, scale


def _nearest_fixed_point(A, b, point):
    """Return the solution of ``A x + b = 0`` nearest to a point; the point itself if none."""
    if not A.any():
        fixed = point.copy()
    else:
        fixed = point + np.linalg.lstsq(A, -b - A @ point, rcond=1e-10)[0]
    terms = np.abs(A) @ (np.abs(fixed) + np.abs(point)) + np.abs(b)
    if (np.abs(A @ fixed + b) > _FIXED * terms.max(initial=0)).any():
        return point
    largest = max(np.abs(fixed).max(), np.abs(point).max())
    fixed[np.abs(fixed) <= _AT_ORIGIN * largest] = 0
    return fixed


def _few(linear, offset, k):
    """Return at most k random combinations of generators: their common fixed points are the same."""
    if len(linear) <= k:
        return linear, offset
    C = np.random.default_rng(0).normal(size=(k, len(linear)))
    return np.tensordot(C, linear, 1), C @ offset


def place(template, X, group, near=None, names=None):
    """Fit a copy of a library, centred and scaled for a symmetry where it can be.

    Parameters
    ----------
    template : library
    X : ndarray of shape (n, d)
    group : Group
    near : ndarray of shape (d,), default=None
        Take the fixed point nearest to this point; None: to the middle of the data's range.
    names : sequence of d str, default=None
        Of the columns of X, where the library takes some by name.

    Returns
    -------
    library : fitted Library
    extremes : ndarray of shape (e, d)
        The few rows that the library's place depends on; the range of `X` where it names none.
    """
    if not group.algebra.is_affine:  # fields beyond affine have no one fixed point
        group = Group.none(X.shape[1])
    library = clone(as_library(template)).set_output(transform="default")
    columns = library.get_params(deep=False).get("columns")
    if columns is not None:
        columns, _ = column_indices(columns, X.shape[1] if names is None else list(names), None)
        library.set_params(columns=columns)
        library.columns_ = columns  # `extremes` is asked before the library is fitted
    low = X.min(axis=0)
    high = X.max(axis=0)
    rows = extremes = library.extremes(X)
    if rows is None:
        rows = X
        extremes = np.array([low, high])
    if library.can_be_centred:
        _centre(library, low, high, group, near, columns)
    library.fit(rows)
    if "n_output_features_" not in vars(library):
        library.n_output_features_ = library_values(library, X[:1]).shape[1]
    if "n_features_in_" not in vars(library):
        library.n_features_in_ = X.shape[1]
    return library, extremes


def _centre(library, low, high, group, near, columns):
    """Set the centre and the scale that a library of some `columns` leaves open."""
    known = library.get_params(deep=False)
    taken = slice(None) if columns is None else columns
    center = known["center"]
    if center is None:
        start, stop = (low, high) if near is None else (near, near)
        center = centre_and_scale(start, stop, group)[0][taken]
        library.set_params(center=center)
    if known["scale"] is None:
        # The scale as seen from the centre that is used.
        whole = (low + high) / 2
        whole[taken] = center
        reach = np.maximum(np.abs(high - whole), np.abs(low - whole))
        _, scale = centre_and_scale(whole - reach, whole + reach, group)
        library.set_params(scale=scale[taken])


def probe_points(X, n):
    """Return 2 n points: rows of `X`, and points scattered around them as far as the data reach.

    What holds there identically holds for the functions near the data, not by accident of a row.
    """
    rng = np.random.default_rng(0)
    chosen = X[rng.choice(len(X), n, replace=len(X) < n)]
    half_width = np.ptp(X, axis=0) / 2
    half_width[half_width == 0] = half_width.max(initial=0) or np.abs(X).max(initial=0) or 1.0
    return np.concatenate([chosen, chosen + rng.uniform(-1, 1, chosen.shape) * half_width])


def constant_functions(library, X):
    """Return the indices of the library functions that do not vary and do not vanish."""
    points = probe_points(X, _N_PROBES)
    phi = library_values(library, points)
    slopes = library.jacobian(points)
    flat = (slopes == 0).all(axis=(0, 2)) & (phi == phi[0]).all(axis=0)
    return np.flatnonzero(flat & (phi[0] != 0))
