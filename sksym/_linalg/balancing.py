"""Balancing: coordinates in which matrices are as close to normal as they get."""

import numpy as np
from scipy.linalg import expm

_FAR_FROM_BALANCED = 1e8  # condition beyond which a change of coordinates does harm
_BALANCED = 1e-2  # relative gradient at which there is nothing left to gain
_MOST_STEPS = 60
_FEW = 8  # random combinations that stand for many generators


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
    if not size.any() or d < 2:
        return None
    A = matrices / np.where(size > 0, size, 1.0)[:, None, None]
    if len(A) > _FEW and _imbalance(A) > _BALANCED:
        weights = np.random.default_rng(0).normal(size=(_FEW, len(A)))
        A = np.tensordot(weights, A, 1)
    P = np.eye(d)
    for _ in range(_MOST_STEPS):
        if _imbalance(A) <= _BALANCED:
            return None if np.array_equal(P, np.eye(d)) else P
        H = _newton_direction(A)
        grow = expm(H)
        P = grow @ P
        A = grow @ A @ expm(-H)
        if np.linalg.cond(P) > _FAR_FROM_BALANCED:
            break
    return None


def matrix_norms(matrices):
    """Compute the Frobenius norms of a stack of matrices (r, d, d)."""
    return np.sqrt(np.einsum("aij,aij->a", matrices, matrices))


def _moment(A):
    """Compute ``sum_a [A_a, A_a^T]``, the gradient of the objective of `balance`."""
    d = A.shape[-1]
    wide = A.transpose(1, 0, 2).reshape(d, -1)
    tall = A.reshape(-1, d)
    return wide @ wide.T - tall.T @ tall


def _imbalance(A):
    """Compute the size of the gradient relative to the objective: zero at the minimum."""
    return np.linalg.norm(_moment(A)) / np.vdot(A, A)


def _newton_direction(A):
    """Find a symmetric H with ``2 sum sym [A^T, [A, H]] = -moment``, regularised and damped."""
    d = A.shape[-1]
    i, j = np.triu_indices(d)
    n_symmetric = len(i)
    unit = np.arange(n_symmetric)
    units = np.zeros((n_symmetric, d, d))
    units[unit, i, j] = 1
    units[unit, j, i] = 1
    units /= matrix_norms(units)[:, None, None]
    brackets = [(a @ units - units @ a).reshape(n_symmetric, -1) for a in A]
    brackets = np.concatenate(brackets, axis=1)
    hessian = 2 * brackets @ brackets.T
    # Directions that commute with all of A leave the objective alone: keep the system regular.
    hessian[np.diag_indices(n_symmetric)] += 1e-8 * np.trace(hessian) / n_symmetric
    gradient = units.reshape(n_symmetric, -1) @ _moment(A).ravel()
    H = np.tensordot(np.linalg.solve(hessian, -gradient), units, 1)
    H *= min(1.0, 1.0 / np.abs(np.linalg.eigvalsh(H)).max())
    H[np.abs(H) < 1e-12 * np.abs(H).max()] = 0  # round-off would tie blocks that are separate
    return H
