"""Ridge regression in a subspace, from a streamed R factor: whole paths of alpha at once."""

import numpy as np
from scipy.linalg import qr, svd

_EPS = np.finfo(float).eps


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
        Alpha = 0 stands for the limit from above: least squares of minimum penalty.

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
    if not k:
        return np.zeros((len(alphas), 0, n_targets))
    Z, Y = R[:k, :k], R[:k, k:]
    weight, axes = np.linalg.eigh(penalty)
    free = weight <= 1e-12
    Z = Z @ axes
    Z0, Z1 = Z[:, free], Z[:, ~free] / np.sqrt(weight[~free])
    Q, upper, _ = qr(Z0, pivoting=True)
    diagonal = np.abs(np.diag(upper)) if Z0.size else np.zeros(0)
    rank = int((diagonal > _rank_tolerance(Z0) * diagonal.max(initial=0)).sum())
    rotated, target = (Q.T @ Z1)[rank:], (Q.T @ Y)[rank:]
    U, s, Vt = svd(rotated, full_matrices=False)
    kept = s > _rank_tolerance(Z) * s.max(initial=0)
    U, s, Vt = U[:, kept], s[kept], Vt[kept]
    gain = (s / (s**2 + alphas[:, None]))[:, :, None] * (U.T @ target)
    w1 = Vt.T @ gain
    w0 = (
        np.stack([np.linalg.lstsq(Z0, Y - Z1 @ w, rcond=None)[0] for w in w1])
        if Z0.shape[1]
        else w1[:, :0]
    )
    w = np.empty((len(alphas), k, n_targets))
    w[:, free], w[:, ~free] = w0, w1 / np.sqrt(weight[~free])[:, None]
    return axes @ w


def _rank_tolerance(matrix):
    return 8 * _EPS * max(1, *matrix.shape)
