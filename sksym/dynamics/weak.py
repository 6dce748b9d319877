"""The weak form of x' = coef phi(x): test functions in place of derivatives of noisy data.

Multiplied by a function psi that vanishes at both ends of a window and integrated by parts, the
dynamics read

    ``-int psi'(t) x(t) dt  =  coef  int psi(t) phi(x(t)) dt``,

which is linear in coef and takes no derivative of the data. Between samples x and phi(x) are taken
as linear in time and the integrals are then exact, whatever the steps: constants and straight lines
satisfy the weak form to round-off on any grid. On a uniform grid both sides are filtered alike, so
that the error of a smooth trajectory falls with the smoothness of psi rather than with the step.
"""

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky_banded, solve_banded

_OVERLAP = 8  # windows that hold a sample
_LEAST = 5  # samples of a window, where a trajectory has as many
_FLOOR = 1e-6  # of the variance of a row: smooth windows that overlap are nearly dependent


def weak_rows(phi, X, t, indices, *, n_windows=None, width=None, order=4):
    """Both sides of the weak form, b = G coef^T, with noise that is about independent.

    Parameters
    ----------
    phi : function X (n, d) -> (n, p)
    X : ndarray of shape (n, d)
    t : ndarray of shape (n,)
    indices : list of integer arrays
        Rows of each trajectory in order of time, see `checked_times`.
    n_windows : int, default=None
        Windows of a trajectory at most, evenly spread. None: every sample is in about eight.
    width : float, default=None
        Length of a window in units of `t`. None: twice the correlation time.
    order : int, default=4
        psi(s) = (1 - s^2)^order on a window -1 < s < 1.

    Returns
    -------
    G : ndarray of shape (m, p)
    b : ndarray of shape (m, d)

    Notes
    -----
    Independent noise e of the samples, of variance sigma^2, gives b the covariance
    sigma^2 W W^T, and enters G as well: x' = F(x + e) is off by dF(x) e. With |dF| about
    `rate` = pi / (2 correlation time) the rows are whitened by ``W W^T + rate^2 V V^T``. Measured
    on oscillators with 5 to 20 % noise, leaving the second term out makes the error of coef two to
    three times as large; leaving out whitening does little harm at the default width, and much at
    wider windows. Noise also biases what is not linear in phi: E phi(x + e) is not phi(x).

    References
    ----------
    Messenger, Bortz (2021), Weak SINDy, Multiscale Modeling & Simulation 19(3).
    Bortz, Messenger, Dukic (2023), WENDy: weak form, errors in variables, Bull. Math. Biol. 85.
    """
    time = correlation_time(X, t, indices)
    width = 2 * time if width is None else width
    V, W = weak_operator(t, indices, width=width, n_windows=n_windows, order=order)
    rows = whitened(noise_factor(V, W, np.pi / (2 * time)), np.hstack([V @ phi(X), W @ X]))
    return rows[:, : -X.shape[1]], rows[:, -X.shape[1] :]


def weak_operator(t, indices, *, width, n_windows=None, order=4):
    """Sparse V and W (m, n) of the weak form ``W x = V phi(x) coef^T``.

    Every row is one window of one trajectory, with no sample of another. Rows of W have unit norm,
    so that independent noise of equal variance in x gives W x equal variance in every row.

    Parameters
    ----------
    t, indices : see `weak_rows`
    width : float
        Length of the windows. They have five samples at least (fewer in a shorter trajectory) and
        half of the trajectory at most.
    n_windows, order : see `weak_rows`

    Returns
    -------
    V, W : csr_array of shape (m, n)
    """
    _check_windows(width, n_windows, order)
    values, columns, sizes = [], [], []
    for index in indices:
        samples = _samples(t[index], width)
        spare = len(index) - samples
        wanted = spare * _OVERLAP // (samples - 1) + 1 if n_windows is None else n_windows
        starts = np.unique(np.linspace(0, spare, wanted).round().astype(int))
        window = index[starts[:, None] + np.arange(samples)]
        values.append(np.stack(_weights(t[window], order)).reshape(2, -1))
        columns.append(window.ravel())
        sizes.append(np.full(len(starts), samples))
    pointer = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    column, shape = np.concatenate(columns), (len(pointer) - 1, len(t))
    V, W = (
        sparse.csr_array((data, column, pointer), shape=shape)
        for data in np.concatenate(values, axis=1)
    )
    return V, W


def correlation_time(X, t, indices):
    """Time in which the autocorrelation of the states falls by half: a sixth of a period.

    Measured from the first lag on, which independent noise does not touch; states count alike, and
    trajectories by their length. Where it never falls, the longest trajectory's length.
    """
    steps = [(t[index[-1]] - t[index[0]]) / (len(index) - 1) for index in indices]
    step, size = np.median(steps), X.std(axis=0)
    n_lags = int(max(len(index) * s for index, s in zip(indices, steps, strict=True)) / step) + 1
    lags, total, count = step * np.arange(1, n_lags + 1), np.zeros(n_lags), np.zeros(n_lags)
    centred = (X - X.mean(axis=0)) / np.where(size > 0, size, 1.0)
    for index, own in zip(indices, steps, strict=True):
        n = len(index)
        spectrum = np.abs(np.fft.rfft(centred[index], 2 * n, axis=0)) ** 2
        products = np.fft.irfft(spectrum.sum(axis=1))[:n]
        total += np.interp(lags, own * np.arange(n), products, right=0)
        count += np.interp(lags, own * np.arange(n), n - np.arange(n), right=0)
    # Few products, as at the longest lags, tell nothing.
    told = count > 0.1 * count[0]
    fallen = np.flatnonzero(told & (total < total[0] / count[0] / 2 * count))
    return lags[fallen[0]] if len(fallen) else max(lags[told])


def noise_factor(V, W, rate):
    """Banded Cholesky factor (k, m) of ``W W^T + rate^2 V V^T``, slightly regularised."""
    covariance = sparse.coo_array(W @ W.T + rate**2 * (V @ V.T))
    below = covariance.row >= covariance.col
    row, column, data = covariance.row[below], covariance.col[below], covariance.data[below]
    bands = np.zeros(((row - column).max() + 1, V.shape[0]))
    bands[row - column, column] = data
    bands[0] *= 1 + _FLOOR
    return cholesky_banded(bands, lower=True)


def whitened(factor, rows):
    """``L^-1 rows`` for the banded factor L of the covariance of their noise."""
    return solve_banded((len(factor) - 1, 0), factor, rows)


def _check_windows(width, n_windows, order):
    if not np.isfinite(width) or width <= 0:
        raise ValueError(f"`width` must be a positive time, the length of a window, got {width!r}.")
    if n_windows is not None and (n_windows != int(n_windows) or n_windows < 1):
        raise ValueError(
            f"`n_windows` must be a positive number of windows of a trajectory, got {n_windows!r}."
        )
    if order != int(order) or not 1 <= order <= 16:
        raise ValueError(f"`order` must be an integer from 1 to 16, got {order!r}.")


def _samples(t, width):
    """Samples of a window of that length, both ends included."""
    n = len(t)
    wanted = round(width / (t[-1] - t[0]) * (n - 1)) + 1
    return int(min(max(min(wanted, (n + 1) // 2), _LEAST), n))


def _weights(t, order):
    """Weights of phi(x) and of x, both (m, w), in the windows with sample times `t` (m, w)."""
    half = (t[:, -1:] - t[:, :1]) / 2
    s = (t - t[:, :1]) / half - 1
    psi = np.polynomial.Polynomial([1, 0, -1]) ** order
    steps, area = np.diff(s), np.diff(psi.integ()(s))
    moment = np.diff(-((1 - s**2) ** (order + 1))) / (2 * order + 2)
    # A step's integral of psi falls to its two ends as the linear interpolant has it.
    later = (moment - s[:, :-1] * area) / steps
    V, W = np.zeros((2, *s.shape))
    V[:, 1:] += half * later
    V[:, :-1] += half * (area - later)
    W[:, 1:] += area / steps
    W[:, :-1] -= area / steps
    size = np.linalg.norm(W, axis=1, keepdims=True)
    return V / size, W / size
