"""Where a library belongs: centred at the fixed point of a symmetry, scaled to the data.

Index legend: n rows, d coordinates, r generators, k elements, p library functions.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.base import clone

from sksym._linalg import balancing_units, column_indices
from sksym.groups import Group
from sksym.libraries import as_library, library_values, power_of_two

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
    linear = group.algebra.linear
    offset = group.algebra.offset
    r = len(linear)
    if r > d + 1:
        # Random combinations, as many as there are unknowns, have the same common fixed points.
        rng = np.random.default_rng(0)
        C = rng.normal(size=(d + 1, r))
        linear = np.tensordot(C, linear, 1)
        offset = C @ offset
    # A fixed point of an element solves (g - 1) x = 0.
    displacement = group.elements.matrices - np.eye(d)
    no_offset = np.zeros((len(displacement), d))
    linear = np.concatenate([linear, displacement])
    offset = np.concatenate([offset, no_offset])
    graph = sparse.csr_array(group.mixing)
    n_sets, label = connected_components(graph, directed=False)
    scale = np.ones(d)
    for k in range(n_sets):
        # Coordinates that are mixed share a unit, so that rotations stay orthogonal; those of
        # other units, such as a rotation of metres and micrometres, share it up to these.
        mixed = np.flatnonzero(label == k)
        A = linear[:, mixed[:, None], mixed]
        unit = balancing_units(A)
        A = A * (unit / unit[:, None])
        b = offset[:, mixed] / unit
        fixed_point = nearest_fixed_point(
            A.reshape(-1, len(mixed)),
            b.ravel(),
            center[mixed] / unit,
        )
        if fixed_point is not None:
            center[mixed] = fixed_point * unit
        above = np.abs(high - center)[mixed]
        below = np.abs(low - center)[mixed]
        reach = (np.maximum(above, below) / unit).max()
        scale[mixed] = unit * power_of_two(reach)
    return center, scale


def nearest_fixed_point(A, b, point):
    """Return the solution of ``A x + b = 0`` nearest to a point; None if there is none.

    Parameters
    ----------
    A : ndarray of shape (m, d)
    b : ndarray of shape (m,)
    point : ndarray of shape (d,)
    """
    if A.any():
        # Least squares for the displacement: of all solutions it is the shortest.
        displacement, *_ = np.linalg.lstsq(
            A,
            -b - A @ point,
            rcond=1e-10,
        )
        fixed = point + displacement
    else:
        fixed = point.copy()
    distance = np.abs(fixed) + np.abs(point)
    terms = np.abs(A) @ distance + np.abs(b)
    residual = np.abs(A @ fixed + b)
    tolerance = _FIXED * terms.max(initial=0)
    if (residual > tolerance).any():
        return None
    # Round-off at the origin would tie the degrees of polynomials together.
    size = np.abs(fixed)
    largest = max(size.max(), np.abs(point).max())
    is_round_off = size <= _AT_ORIGIN * largest
    fixed[is_round_off] = 0
    return fixed


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
    d = X.shape[1]
    library = clone(as_library(template))
    library.set_output(transform="default")
    columns = library.get_params(deep=False).get("columns")
    if columns is not None:
        known_columns = d if names is None else list(names)
        columns, _ = column_indices(columns, known_columns, None)
        library.set_params(columns=columns)
        library.columns_ = columns  # `extremes` is asked before the library is fitted
    low = X.min(axis=0)
    high = X.max(axis=0)
    extremes = library.extremes(X)
    # A library that depends on few rows is fitted to those alone, as it will be when data stream.
    if extremes is None:
        rows = X
        extremes = np.array([low, high])
    else:
        rows = extremes
    if library.can_be_centred:
        _centre(library, low, high, group, near, columns)
    library.fit(rows)
    # Libraries of users need not set these themselves.
    fitted = vars(library)
    if "n_output_features_" not in fitted:
        first_row = library_values(library, X[:1])
        library.n_output_features_ = first_row.shape[1]
    if "n_features_in_" not in fitted:
        library.n_features_in_ = d
    return library, extremes


def _centre(library, low, high, group, near, columns):
    """Set the centre and the scale that a library of some `columns` leaves open.

    Parameters
    ----------
    library : Library
        With parameters `center` and `scale`.
    low, high : ndarray of shape (d,)
        Range of the data.
    group : Group
    near : ndarray of shape (d,), or None
    columns : ndarray of shape (c,) of int, or None
    """
    known = library.get_params(deep=False)
    taken = slice(None) if columns is None else columns
    center = known["center"]
    if center is None:
        if near is None:
            fixed_point, _ = centre_and_scale(low, high, group)
        else:
            fixed_point, _ = centre_and_scale(near, near, group)
        center = fixed_point[taken]
        library.set_params(center=center)
    if known["scale"] is None:
        # The scale as seen from the centre that is used: a box of the data's reach about it.
        origin = (low + high) / 2
        origin[taken] = center
        above = np.abs(high - origin)
        below = np.abs(low - origin)
        reach = np.maximum(above, below)
        # Columns that do not vary share the unit of the others, or have that of their size.
        sizes = np.abs([low, high])
        reach[reach == 0] = reach.max(initial=0) or sizes.max(initial=0)
        _, scale = centre_and_scale(
            origin - reach,
            origin + reach,
            group,
        )
        library.set_params(scale=scale[taken])


def probe_points(X, n):
    """Return 2 n points: rows of `X`, and points scattered around them as far as the data reach.

    What holds there identically holds for the functions near the data, not by accident of a row.

    Parameters
    ----------
    X : ndarray of shape (n_rows, d)
    n : int

    Returns
    -------
    ndarray of shape (2 n, d)
    """
    rng = np.random.default_rng(0)
    n_rows = len(X)
    chosen = rng.choice(
        n_rows,
        n,
        replace=n_rows < n,
    )
    rows = X[chosen]
    # Columns that do not vary are scattered by as much as others, or by their own size.
    half_width = np.ptp(X, axis=0) / 2
    largest = half_width.max(initial=0) or np.abs(X).max(initial=0) or 1.0
    half_width[half_width == 0] = largest
    displacement = rng.uniform(-1, 1, rows.shape) * half_width
    return np.concatenate([rows, rows + displacement])


def constant_functions(library, X):
    """Return the indices of the library functions that do not vary and do not vanish.

    Parameters
    ----------
    library : fitted Library
    X : ndarray of shape (n, d)
        Near these rows.

    Returns
    -------
    ndarray of int
    """
    points = probe_points(X, _N_PROBES)
    phi = library_values(library, points)
    slopes = library.jacobian(points)
    first = phi[0]
    # Exactly: constants are computed without round-off.
    has_no_slope = (slopes == 0).all(axis=(0, 2))
    is_equal = (phi == first).all(axis=0)
    is_constant = has_no_slope & is_equal & (first != 0)
    return np.flatnonzero(is_constant)
