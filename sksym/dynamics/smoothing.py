"""Smooth trajectories by polynomials in time, each fitted to a few neighbouring samples.

The error of the smoothed states is estimated with them, so that the number of samples in a
window can be the one with the least error.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

_WINDOWS = (5, 7, 9, 13, 17, 25, 35, 49, 69, 97, 137)
_DEGREES = (3, 5)
INTERPOLATED = 7  # samples through which polynomials pass where nothing is smoothed
_CONTRASTS = range(3, 10)  # numbers of neighbouring samples that are compared for the noise
_DECREASE = 4.0  # times the decrease of differences by two orders: share that is motion
EQUAL_STEPS = 1e-5  # range of steps relative to their mean that counts as a uniform grid


@dataclass(frozen=True, eq=False)
class SmoothedStates:
    """States and velocities after smoothing, with standard errors.

    Attributes
    ----------
    X : ndarray of shape (n, d)
    X_dot : ndarray of shape (n, d)
    error : ndarray of shape (d,)
        Root mean square error of the states, of noise and of smoothing.
    noise : ndarray of shape (d,)
        Standard deviation of the noise in the states as given.
    is_sure : float
        From 1, this is noise, to 0: it may be motion between the samples.
    window : ndarray of int, shape (d,)
        Samples that were smoothed at a time; 1: the states are those given.
    degree : ndarray of int, shape (d,)
        Of the polynomials; 0 where nothing was smoothed.
    """

    X: np.ndarray
    X_dot: np.ndarray
    error: np.ndarray
    noise: np.ndarray
    is_sure: float
    window: np.ndarray
    degree: np.ndarray


def local_polynomials(x, t, window, degree):
    """Fit polynomials in time to the `window` samples about each.

    On equal steps the values are those of the Savitzky-Golay filter.

    Parameters
    ----------
    x : ndarray of shape (n, d)
    t : ndarray of shape (n,)
        Increasing.
    window : int
        Odd, and at most n.
    degree : int
        Less than `window`.

    Returns
    -------
    values : ndarray of shape (n, d)
    slopes : ndarray of shape (n, d)
    leverage : ndarray of shape (n,)
        Weight of every sample in its own value, the variance of the value at unit noise.
    """
    rows, position = _windows(len(t), window)
    s = t[rows] - t[:, None]
    which = np.arange(len(t))
    steps = np.diff(t)
    if np.ptp(steps) < EQUAL_STEPS * steps.mean():
        # As many different windows as there are positions of a sample in its window.
        _, first, which = np.unique(position, return_index=True, return_inverse=True)
        s = s[first]
    # In units of the window, so that powers of time do not differ in size.
    width = np.abs(s).max(axis=1, keepdims=True)
    relative = s / width
    powers = relative[..., None] ** np.arange(degree + 1)
    inverse = np.linalg.pinv(powers)
    # At s = 0 the value is the constant of the polynomial, the slope its linear coefficient.
    value_weights = inverse[:, 0]
    slope_weights = inverse[:, 1] / width
    samples = x[rows]
    values = np.einsum("nw,nwd->nd", value_weights[which], samples)
    slopes = np.einsum("nw,nwd->nd", slope_weights[which], samples)
    # A row of a projection has its squared length on the diagonal.
    leverage = np.sum(value_weights**2, axis=1)
    return values, slopes, leverage[which]


def _windows(n, window):
    """Return the samples (n, window) about each of n, and the position (n,) of each in its window.

    At both ends windows are moved inwards.
    """
    half = window // 2
    sample = np.arange(n)
    middle = np.clip(sample, half, n - 1 - half)
    offsets = np.arange(-half, half + 1)
    rows = np.add.outer(middle, offsets)
    position = half + sample - middle
    return rows, position


def smoothed_states(X, t, indices):
    """Smooth the trajectories in stacked rows, with the windows of least estimated error.

    For every state, the window and the degree of the polynomials minimise Mallows' estimate of
    the mean square error, ``mean residual^2 + (2 mean leverage - 1) noise^2``, over all
    trajectories.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    t : ndarray of shape (n,)
    indices : list of integer ndarrays
        The rows of each trajectory, in order of time.

    Returns
    -------
    SmoothedStates
    """
    noise, is_sure = noise_of_states(X, t, indices)
    shortest = min(len(index) for index in indices)
    # Polynomials through all samples of a window leave the states as they are.
    window = min(INTERPOLATED, shortest - 1 + shortest % 2)
    values = X.copy()
    if window > 1:
        _, slopes, _ = _smoothed_with(X, t, indices, window, window - 1)
    else:
        slopes = _differences(X, t, indices)
    # Without smoothing, all noise remains.
    noise_square = noise**2
    least = noise_square.copy()
    chosen_window = np.ones(X.shape[1], dtype=int)
    chosen_degree = np.zeros(X.shape[1], dtype=int)
    for degree, window in product(_DEGREES, _WINDOWS):
        if window > shortest or window < degree + 2:
            continue
        smooth, slope, leverage = _smoothed_with(X, t, indices, window, degree)
        residual = np.mean((X - smooth) ** 2, axis=0)
        variance = leverage.mean() * noise_square
        square = residual + 2 * variance - noise_square
        # The estimate may fall below the noise that remains for certain.
        square = np.maximum(square, variance)
        better = square < least
        values[:, better] = smooth[:, better]
        slopes[:, better] = slope[:, better]
        least[better] = square[better]
        chosen_window[better] = window
        chosen_degree[better] = degree
    return SmoothedStates(
        X=values,
        X_dot=slopes,
        error=np.sqrt(least),
        noise=noise,
        is_sure=is_sure,
        window=chosen_window,
        degree=chosen_degree,
    )


def _differences(X, t, indices):
    """Return the velocities (n, d) on trajectories too short for polynomials."""
    slopes = np.empty_like(X)
    for index in indices:
        slopes[index] = np.gradient(X[index], t[index], axis=0)
    return slopes


def _smoothed_with(X, t, indices, window, degree):
    """Apply `local_polynomials` to every trajectory."""
    values = np.empty_like(X)
    slopes = np.empty_like(X)
    leverage = np.empty(len(X))
    for index in indices:
        fitted = local_polynomials(X[index], t[index], window, degree)
        values[index], slopes[index], leverage[index] = fitted
    return values, slopes, leverage


def noise_of_states(X, t, indices):
    """Estimate white noise in states (n, d), as what differences of high order leave over.

    A divided difference of high order of a smooth function is small, that of noise is not. The
    least of several orders is taken: low orders see the motion too, where samples are far apart.

    Parameters
    ----------
    X, t, indices : see `smoothed_states`

    Returns
    -------
    noise : ndarray of shape (d,)
        Standard deviation.
    is_sure : float
        From 1, all orders agree that this is noise, to 0: it may be motion between samples.
    """
    deviations = []
    for m in _CONTRASTS:
        differences = []
        for index in indices:
            if len(index) > m:
                differences.append(_unit_differences(X[index], t[index], m))
        if differences:
            square = np.mean(np.concatenate(differences) ** 2, axis=0)
            deviations.append(np.sqrt(square))
    if not deviations:
        # Too few samples to tell: as uncertain as they are large.
        return np.ptp(X, axis=0), 0.0
    noise = np.min(deviations, axis=0)
    if len(deviations) < 3:
        return noise, 0.0
    # What still falls with the order is motion.
    before = np.maximum(deviations[-3], np.finfo(float).tiny)
    decrease = 1 - noise / before
    is_sure = 1 - _DECREASE * decrease.max(initial=0)
    return noise, float(np.clip(is_sure, 0, 1))


def _unit_differences(x, t, m):
    """Return divided differences of m neighbours, (n - m + 1, d), of variance one at unit noise."""
    windows = np.lib.stride_tricks.sliding_window_view
    times = windows(t, m)
    distance = times[:, :, None] - times[:, None, :]
    length = np.ptp(times, axis=1)
    distance = distance / length[:, None, None]
    diagonal = np.arange(m)
    distance[:, diagonal, diagonal] = 1.0
    # Barycentric weights: the divided difference of order m - 1.
    weights = 1 / np.prod(distance, axis=2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    samples = windows(x, m, axis=0)
    return np.einsum("nm,ndm->nd", weights, samples)
