"""Conjugate gradients for arrays of any shape, with a stopping rule in the preconditioned norm."""

import numpy as np


def conjugate_gradients(apply, target, *, rtol, max_iter, start=None, precondition=None):
    """Solve ``apply(x) = target`` for a positive semidefinite linear map.

    ``scipy.sparse.linalg.cg`` takes flat vectors and stops by the plain norm of the residual; here
    residuals are measured by ``<r, M r>``, M the preconditioner, which does not depend on units.

    Parameters
    ----------
    apply : callable
    target : ndarray
    rtol : float
        Norm of the residual relative to that of `target` at which to stop.
    max_iter : int
    start : ndarray, default=None
        The first x; None: zero.
    precondition : callable, default=None
        The map M; None: the identity.

    Returns
    -------
    x : ndarray
    converged : bool
    """
    if precondition is None:
        precondition = _identity
    if start is None:
        x = np.zeros_like(target)
        residual = target
    else:
        x = start
        residual = target - apply(x)
    size = np.vdot(target, precondition(target)) or 1.0
    goal = rtol**2 * size
    z = precondition(residual)
    square = np.vdot(residual, z)
    direction = z
    for _ in range(max_iter):
        if square <= goal:
            break
        image = apply(direction)
        step = square / np.vdot(direction, image)
        x = x + step * direction
        residual = residual - step * image
        z = precondition(residual)
        previous = square
        square = np.vdot(residual, z)
        direction = z + (square / previous) * direction
    return x, bool(square <= goal)


def _identity(array):
    return array
