"""Libraries that are known at points only: where they are tested, and in which units.

Index legend: n points, d coordinates, p library functions, r generators.
"""

import numpy as np
from scipy import sparse

from sksym._linalg import orthonormal_rows, reduced_echelon, row_blocks, row_components
from sksym.equivariant.centring import probe_points
from sksym.libraries import library_values

_MORE_POINTS = 50  # beside two for each function
_ROUND_OFF = 1e-13  # coefficients in units of their functions, relative to the largest
_LONGER = 4.0  # times the reach of the data from where a library varies on a scale of its own


def points_of_tests(library, points):
    """Return points (n, d) at which functions that differ somewhere differ.

    Parameters
    ----------
    library : fitted Library
    points : ndarray of shape (n_rows, d)
        Rows of data.
    """
    n_points = 2 * library.n_output_features_ + _MORE_POINTS
    low, high = library.box(points)
    points = probe_points(points, n_points)
    # Over a small part of a period sines are all but straight: what holds there is no symmetry.
    reach = np.abs(points).max(axis=0)
    if (np.maximum(np.abs(low), np.abs(high)) > _LONGER * reach).any():
        rng = np.random.default_rng(3)
        far = rng.uniform(low, high, (n_points, len(low)))
        points = np.concatenate([points, far])
    return points


def root_mean_squares(library, points):
    """Return the size (p,) of the library functions at points (n, d); 1 for those that vanish."""
    values = library_values(library, points)
    size = np.sqrt(np.mean(values**2, axis=0))
    size[size == 0] = 1.0
    return size


def motion_sizes(library, fields, points, size):
    """Return how much motions change every function, before anything cancels: (p,).

    The root mean square over the points of ``sum_i |d phi / d x_i| |v_i|``: constraints are
    compared with it, so that the functions that do not change are told from those whose change is
    small because they hardly vary.

    Parameters
    ----------
    library : fitted Library
    fields : callable
        ``fields(points)`` gives the velocities (n, r, d).
    points : ndarray of shape (n, d)
    size : ndarray of shape (p,)
        Of the functions themselves: what is less than the accuracy of derivatives is not known.
    """
    n, d = points.shape
    p = len(size)
    square = np.zeros(p)
    for rows in row_blocks(n, p * d):
        slopes = np.abs(library.jacobian(points[rows]))
        speed = np.linalg.norm(fields(points[rows]), axis=1)
        change = np.einsum("npd,nd->np", slopes, speed)
        square += np.sum(change**2, axis=0)
    change = np.sqrt(square / n)
    change = np.maximum(change, library.jacobian_rtol_ * size)
    return np.where(change > 0, change, size)


def size_of_outputs(B):
    """Return the size of the matrices (r, q, q) that move outputs; 0 where there are none."""
    if B is None:
        return 0.0
    return np.linalg.norm(B)


def orthonormal_after(basis, change, accuracy):
    """Return an orthonormal basis of the space after an ill-conditioned change of coordinates.

    Echelon form first: functions of very different size, such as monomials of several degrees in
    large units, must not be mixed when they are orthogonalised.

    Parameters
    ----------
    basis : csr_array of shape (k, n)
        In units of the functions, so that a small coefficient is a small term.
    change : sparse array of shape (n, n)
        To the library's own units.
    accuracy : float
        Relative, of the derivatives that the basis was found from.
    """
    separate = reduced_echelon(basis.toarray(), rtol=max(accuracy, _ROUND_OFF))
    rows = sparse.csr_array(separate @ change)
    orthonormal = np.zeros(rows.shape)
    for component in row_components(rows):
        # Their own columns alone: round-off elsewhere may belong to functions of large size.
        columns = np.unique(rows[component].indices)
        block = rows[component][:, columns]
        orthonormal[component[:, None], columns], _ = orthonormal_rows(block)
    return sparse.csr_array(orthonormal)
