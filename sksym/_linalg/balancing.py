"""Balancing: coordinates in which matrices are as close to normal as they get."""

import numpy as np
from scipy.linalg import expm

_FAR_FROM_BALANCED = 1e8  # condition beyond which a change of coordinates does harm
_DIFFERENT_UNITS = 4  # powers of two from where coordinates get units of their own
_BALANCED = 1e-2  # relative gradient at which there is nothing left to gain
_MOST_STEPS = 60
_FEW = 8  # random combinations that represent many generators
_DAMPING = 1e-8  # of the Hessian, relative to its mean eigenvalue
_ROUND_OFF = 1e-12  # entries of a step relative to its largest


def balance(matrices):
    """Find coordinates in which a set of matrices is as close to normal as it gets.

    Minimises ``sum_a ||P A_a P^-1||^2`` over the positive definite P, a geodesically convex
    problem (Kempf and Ness), by damped Newton steps. In such coordinates a conjugated compact
    algebra is skew, and ranks can be read off the singular values. Where there is no minimum
    (nilpotent generators) or nothing to gain, P is the identity.

    Parameters
    ----------
    matrices : ndarray of shape (r, d, d)

    Returns
    -------
    ndarray of shape (d, d), or None for the identity
    """
    d = matrices.shape[-1]
    size = matrix_norms(matrices)
    if d < 2:
        return None
    if not size.any():
        return None
    # Generators in different units count alike.
    unit = np.where(size > 0, size, 1.0)
    A = matrices / unit[:, None, None]
    # Balanced random combinations mean a balanced span, at a cost that does not grow with r.
    if len(A) > _FEW and _imbalance(A) > _BALANCED:
        rng = np.random.default_rng(0)
        shape = (_FEW, len(A))
        weights = rng.normal(size=shape)
        A = np.tensordot(weights, A, 1)
    P = np.eye(d)
    for _ in range(_MOST_STEPS):
        if _imbalance(A) <= _BALANCED:
            if np.array_equal(P, np.eye(d)):
                return None
            return P
        # Steps along the geodesic exp(H) keep P positive definite up to a rotation.
        H = _newton_direction(A)
        step = expm(H)
        inverse_step = expm(-H)
        P = step @ P
        A = step @ A @ inverse_step
        condition = np.linalg.cond(P)
        if condition > _FAR_FROM_BALANCED:
            return None
    return None


def balancing_units(matrices):
    """Find units of the coordinates in which a set of matrices is about as large as its transposes.

    ``A_ij w_j / w_i`` and ``A_ji w_i / w_j`` are equal in size for ``(w_i / w_j)^2 = |A_ij| /
    |A_ji|``, solved by least squares of the logarithms: exact for a matrix that was balanced before
    its coordinates were given other units.

    Parameters
    ----------
    matrices : ndarray of shape (r, d, d)

    Returns
    -------
    ndarray of shape (d,)
        Powers of two; 1 where units differ by little, and where nothing is mixed both ways.
    """
    d = matrices.shape[-1]
    size = np.abs(matrices).max(axis=0, initial=0)
    i, j = np.nonzero(np.triu((size > 0) & (size.T > 0), 1))
    if not len(i):
        return np.ones(d)
    ratio = (np.log2(size[i, j]) - np.log2(size[j, i])) / 2
    number = np.arange(len(i))
    equations = np.zeros((len(i), d))
    equations[number, i] = 1
    equations[number, j] = -1
    exponent, *_ = np.linalg.lstsq(equations, ratio, rcond=None)
    exponent = np.round(exponent)
    if np.ptp(exponent) < _DIFFERENT_UNITS:
        return np.ones(d)
    return np.exp2(exponent)


def matrix_norms(matrices):
    """Compute the Frobenius norms (r,) of a stack of matrices.

    Parameters
    ----------
    matrices : ndarray of shape (r, d, d)
    """
    squares = np.einsum("aij,aij->a", matrices, matrices)
    return np.sqrt(squares)


def _imbalance(A):
    """Compute the size of the gradient relative to the objective: zero at the minimum.

    Parameters
    ----------
    A : ndarray of shape (r, d, d)

    Returns
    -------
    float
    """
    gradient = _gradient(A)
    size = np.linalg.norm(gradient)
    objective = np.vdot(A, A)
    return size / objective


def _gradient(A):
    """Compute ``sum_a [A_a, A_a^T]`` (d, d), the gradient of the objective of `balance`.

    Parameters
    ----------
    A : ndarray of shape (r, d, d)
    """
    d = A.shape[-1]
    rows_first = A.transpose(1, 0, 2)
    side_by_side = rows_first.reshape(d, -1)
    stacked = A.reshape(-1, d)
    outer = side_by_side @ side_by_side.T
    inner = stacked.T @ stacked
    return outer - inner


def _newton_direction(A):
    """Find a symmetric H with ``2 sum sym [A^T, [A, H]] = -gradient``, regularised and damped.

    Parameters
    ----------
    A : ndarray of shape (r, d, d)

    Returns
    -------
    ndarray of shape (d, d)
    """
    d = A.shape[-1]
    i, j = np.triu_indices(d)
    n_symmetric = len(i)
    number = np.arange(n_symmetric)
    # Orthonormal basis of the symmetric matrices.
    shape = (n_symmetric, d, d)
    units = np.zeros(shape)
    units[number, i, j] = 1
    units[number, j, i] = 1
    norms = matrix_norms(units)
    units /= norms[:, None, None]
    brackets = []
    for matrix in A:
        bracket = matrix @ units - units @ matrix
        row = bracket.reshape(n_symmetric, -1)
        brackets.append(row)
    brackets = np.concatenate(brackets, axis=1)
    hessian = 2 * brackets @ brackets.T
    # Directions that commute with all of A leave the objective alone: keep the system regular.
    diagonal = np.diag_indices(n_symmetric)
    hessian[diagonal] += _DAMPING * np.trace(hessian) / n_symmetric
    flat_units = units.reshape(n_symmetric, -1)
    matrix_gradient = _gradient(A)
    gradient = flat_units @ matrix_gradient.ravel()
    coordinates = np.linalg.solve(hessian, -gradient)
    H = np.tensordot(coordinates, units, 1)
    # Steps longer than one unit of the geodesic leave the region where the model is good.
    eigenvalues = np.linalg.eigvalsh(H)
    length = np.abs(eigenvalues).max()
    if length > 1.0:
        H *= 1.0 / length
    # Round-off would tie blocks that are separate.
    size = np.abs(H)
    is_round_off = size < _ROUND_OFF * size.max()
    H[is_round_off] = 0
    return H
