"""Ridge regression in units of the spread of every column, for whole paths of alpha at once."""

import numpy as np
from scipy.linalg import qr, svd

from sksym._linalg import EPS, numerical_rank

_ROUND_OFF = 16 * EPS  # of a column, times the number of columns that one QR treats together


def ridge_of_spread(free, design, target, size, weight, alphas):
    """Minimise ``|Z0 v0 + Z1 v1 - Y|^2 + alpha sum_k s_k^2 v1_k^2`` for every alpha.

    ``s_k^2 = min_u |z_k - Z0 u|^2 / weight`` is the spread of column k about the free ones: with a
    column of ones its variance, so that the result is that of ridge regression on standardised
    columns, in any units.

    Parameters
    ----------
    free : ndarray of shape (m, k0)
        ``Z0``, columns without penalty.
    design : ndarray of shape (m, k1)
        ``Z1``.
    target : ndarray of shape (m, t)
        ``Y``.
    size : ndarray of shape (k1,)
        Norm of the terms that the columns of `design` were summed from; they carry its round-off.
    weight : float
        Total weight of the rows that the factor ``[Z0, Z1, Y]`` stands for.
    alphas : array-like of shape (a,)
        Alpha = 0 means the limit from above: least squares of minimum penalty.

    Returns
    -------
    v0 : ndarray of shape (a, k0, t)
    v1 : ndarray of shape (a, k1, t)
        Zero for columns without spread: what does not vary on the rows is not known from them.
    """
    alphas = np.asarray(alphas, float)
    k0 = free.shape[1]
    k1 = design.shape[1]
    t = target.shape[1]
    residual_design = design
    residual_target = target
    if k0:
        Q, upper, _ = qr(free, pivoting=True)
        diagonal = np.diag(upper)
        rank = numerical_rank(np.abs(diagonal), free.shape)
        # What the free columns cannot fit lies in the other columns of Q.
        Q1 = Q[:, rank:]
        residual_design = Q1.T @ design
        residual_target = Q1.T @ target
    # Norms by `hypot`, because squares may overflow.
    spread = np.hypot.reduce(residual_design, axis=0)
    size = np.maximum(size, np.hypot.reduce(design, axis=0))
    round_off = _ROUND_OFF * (k0 + k1) * size
    varies = spread > round_off
    v1 = np.zeros((len(alphas), k1, t))
    v0 = np.zeros((len(alphas), k0, t))
    if varies.any():
        unit = spread[varies]
        with np.errstate(over="ignore", under="ignore"):
            relative_alphas = alphas / weight
        x = _of_unit_columns(
            residual_design[:, varies] / unit,
            residual_target,
            round_off[varies] / unit,
            relative_alphas,
        )
        with np.errstate(over="ignore", invalid="ignore"):
            v1[:, varies] = x / unit[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        residuals = target - design @ v1
    if not np.isfinite(residuals).all():
        raise ValueError("The coefficients overflow: rescale y or X, or increase `alpha`.")
    if k0:
        for a, residual in enumerate(residuals):
            v0[a] = np.linalg.lstsq(free, residual, rcond=None)[0]
    return v0, v1


def _of_unit_columns(design, target, noise, alphas):
    """Minimise ``|Z x - Y|^2 + alpha |x|^2`` for columns of unit norm: x of shape (a, k, t).

    Parameters
    ----------
    design : ndarray of shape (m, k)
    target : ndarray of shape (m, t)
    noise : ndarray of shape (k,)
        Round-off of the columns.
    alphas : ndarray of shape (a,)
    """
    U, s, Vt = svd(design, full_matrices=False)
    rank = numerical_rank(s, design.shape)
    s = s[:rank]
    # A combination of columns is known to the round-off of those that it is made of.
    noise_of_combination = np.linalg.norm(Vt[:rank] * noise, axis=1)
    is_known = s > noise_of_combination
    s = s[is_known]
    U = U[:, :rank][:, is_known]
    Vt = Vt[:rank][is_known]
    denominator = s**2 + alphas[:, None]
    gain = s / denominator
    coordinates = gain[:, :, None] * (U.T @ target)
    return Vt.T @ coordinates
