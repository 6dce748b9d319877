"""Ridge regression in a subspace, from a streamed R factor: whole paths of alpha at once."""

import numpy as np
from scipy.linalg import qr, svd

from sksym._linalg import numerical_rank

_FREE = 1e-12  # eigenvalue of the penalty that counts as zero


def ridge_in_subspace(R, n_targets, penalty, alphas):
    """Minimise ``||Z w - Y||^2 + alpha w^T penalty w`` for every alpha.

    Parameters
    ----------
    R : ndarray of shape (<= k + t, k + t)
        Triangular factor of ``[Z, Y]``, k unknowns and t targets.
    n_targets : int
        t.
    penalty : ndarray of shape (k, k)
        Positive semidefinite, with eigenvalues in [0, 1]; directions of eigenvalue zero are free.
    alphas : array-like of shape (a,)
        Alpha = 0 means the limit from above: least squares of minimum penalty.

    Returns
    -------
    ndarray of shape (a, k, t)

    Notes
    -----
    Free directions are eliminated by QR, the others brought to standard form and solved by one
    SVD, so that a whole path costs O(k^3 + a k^2 t).
    """
    k = R.shape[1] - n_targets
    alphas = np.asarray(alphas, float)
    shape = (len(alphas), k, n_targets)
    w = np.zeros(shape)
    if not k:
        return w
    Z = R[:k, :k]
    Y = R[:k, k:]
    # In the axes of the penalty w = (w0, w1), w0 free and w1 scaled to a penalty of |w1|^2.
    eigenvalues, axes = np.linalg.eigh(penalty)
    free = eigenvalues <= _FREE
    penalised = ~free
    eigenvalues = eigenvalues[penalised]
    scale = np.sqrt(eigenvalues)
    Z = Z @ axes
    Z0 = Z[:, free]
    Z1 = Z[:, penalised] / scale
    w1 = _penalised_coordinates(Z0, Z1, Y, alphas)
    w[:, penalised] = w1 / scale[:, None]
    if free.any():
        for a, x in enumerate(w1):
            residual = Y - Z1 @ x
            w0 = np.linalg.lstsq(Z0, residual, rcond=None)[0]
            w[a, free] = w0
    return axes @ w


def _penalised_coordinates(Z0, Z1, Y, alphas):
    """Minimise ``min_w0 |Z0 w0 + Z1 w1 - Y|^2 + alpha |w1|^2`` over w1; return it, (a, k1, t)."""
    Q, upper, _ = qr(Z0, pivoting=True)
    diagonal = np.diag(upper)
    rank = numerical_rank(np.abs(diagonal), Z0.shape)
    # What the free directions cannot fit lies in the other columns of Q.
    Q1 = Q[:, rank:]
    residual_design = Q1.T @ Z1
    U, s, Vt = svd(residual_design, full_matrices=False)
    # Judged by the size of the whole design, whose round-off it inherits.
    n, k0 = Z0.shape
    k1 = Z1.shape[1]
    rank = numerical_rank(s, (n, k0 + k1))
    s = s[:rank]
    U = U[:, :rank]
    Vt = Vt[:rank]
    residual_target = Q1.T @ Y
    target = U.T @ residual_target
    # One solution for each alpha, in the basis of the singular vectors.
    denominator = s**2 + alphas[:, None]
    gain = s / denominator
    coordinates = gain[:, :, None] * target
    return Vt.T @ coordinates
