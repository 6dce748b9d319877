"""The weak form of x' = coef phi(x): test functions in place of derivatives of noisy data.

Multiplied by a function psi that vanishes at both ends of a window and integrated by parts, the
dynamics read

    ``-int psi'(t) x(t) dt  =  coef  int psi(t) phi(x(t)) dt``,

which is linear in coef and needs no derivative of the data. Between samples x and phi(x) are taken
as linear in time and the integrals are then exact, whatever the steps: constants and straight lines
satisfy the weak form to round-off on any grid. On a uniform grid both sides are filtered alike, so
that the error of a smooth trajectory falls with the smoothness of psi rather than with the step.
"""

from dataclasses import dataclass
from numbers import Real

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky_banded, solve_banded

from sksym._estimator import check_count

_OVERLAP = 8  # windows that hold a sample
_LEAST = 5  # samples of a window, where a trajectory has as many
_LARGEST_ORDER = 16  # of a test function: higher ones vanish in most of their window
_FLOOR = 1e-6  # of the variance of a row: smooth windows that overlap are nearly dependent
_FEWEST_PRODUCTS = 0.1  # of a lag relative to the first: fewer give no estimate


@dataclass(frozen=True, eq=False)
class WeakForm:
    """Both sides of the weak form, ``W x = V phi(x) coef^T``, with rows of independent noise.

    Attributes
    ----------
    V, W : csr_array of shape (m, n)
        See `weak_operator`.
    factor : ndarray of shape (k, m)
        See `noise_factor`.
    windows : list of integer ndarrays
        Rows of each trajectory in order of time.

    Notes
    -----
    Independent noise e of the samples, of variance sigma^2, gives ``W x`` the covariance
    sigma^2 W W^T, and enters phi(x) as well: x' = F(x + e) is off by dF(x) e. With |dF| about
    `rate` = pi / (2 correlation time) the rows are whitened by ``W W^T + rate^2 V V^T``. Measured
    on oscillators with 5 to 20 % noise, leaving the second term out makes the error of coef two to
    three times as large; leaving out whitening does little harm at the default width, and much at
    wider windows. Noise also biases what is not linear in phi: E phi(x + e) is not phi(x).

    References
    ----------
    Messenger, Bortz (2021), Weak SINDy, Multiscale Modeling & Simulation 19(3).
    Bortz, Messenger, Dukic (2023), WENDy: weak form, errors in variables, Bull. Math. Biol. 85.
    """

    V: sparse.csr_array
    W: sparse.csr_array
    factor: np.ndarray
    windows: list

    @classmethod
    def of(cls, X, t, indices, *, n_windows=None, width=None, order=4):
        """Place windows on the trajectories of some states.

        Parameters
        ----------
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
        """
        time = correlation_time(X, t, indices)
        rate = np.pi / (2 * time)
        if width is None:
            width = 2 * time
        V, W = weak_operator(
            t,
            indices,
            width=width,
            n_windows=n_windows,
            order=order,
        )
        factor = noise_factor(V, W, rate)
        windows = _windows_of_each(V, indices)
        return cls(V, W, factor, windows)

    def rates(self, X):
        """Return the left side (m, d) for states X (n, d)."""
        return whitened(self.factor, self.W @ X)

    def integrals(self, values):
        """Return the right side (m, p) for values phi(x) (n, p)."""
        return whitened(self.factor, self.V @ values)


def _windows_of_each(V, indices):
    """List the rows of V (m, n) whose windows are in each trajectory."""
    n_samples = V.shape[1]
    trajectory = np.empty(n_samples, dtype=int)
    for k, index in enumerate(indices):
        trajectory[index] = k
    # A window has samples of one trajectory only: its first sample tells which.
    start = V.indptr[:-1]
    sample = V.indices[start]
    owner = trajectory[sample]
    windows = []
    for k in range(len(indices)):
        windows.append(np.flatnonzero(owner == k))
    return windows


def weak_operator(t, indices, *, width, n_windows=None, order=4):
    """Return sparse V and W (m, n) of the weak form ``W x = V phi(x) coef^T``.

    Every row is one window of one trajectory, with no sample of another. Rows of W have unit norm,
    so that independent noise of equal variance in x gives W x equal variance in every row.

    Parameters
    ----------
    t, indices : see `WeakForm.of`
    width : float
        Length of the windows. They have five samples at least (fewer in a shorter trajectory) and
        half of the trajectory at most.
    n_windows, order : see `WeakForm.of`

    Returns
    -------
    V, W : csr_array of shape (m, n)
    """
    _check_windows(width, n_windows, order)
    V_blocks = []
    W_blocks = []
    for index in indices:
        samples = index[_windows(t[index], width, n_windows)]
        V_weights, W_weights = _weights(t[samples], order)
        V_blocks.append(_sparse_rows(V_weights, samples, len(t)))
        W_blocks.append(_sparse_rows(W_weights, samples, len(t)))
    V = sparse.vstack(V_blocks, format="csr")
    W = sparse.vstack(W_blocks, format="csr")
    return V, W


def _windows(t, width, n_windows):
    """Spread windows over a trajectory with sample times t: samples (m, w) of every window."""
    n_samples = _samples_of_window(t, width)
    last_start = len(t) - n_samples
    if n_windows is None:
        n_windows = last_start * _OVERLAP // (n_samples - 1) + 1
    starts = np.linspace(0, last_start, n_windows).round()
    starts = np.unique(starts.astype(int))
    offsets = np.arange(n_samples)
    return np.add.outer(starts, offsets)


def _sparse_rows(entries, columns, n):
    """Return a csr_array (m, n) from the entries (m, w) of its rows and their columns (m, w)."""
    m, w = entries.shape
    pointer = w * np.arange(m + 1)
    data = entries.ravel()
    return sparse.csr_array((data, columns.ravel(), pointer), shape=(m, n))


def correlation_time(X, t, indices):
    """Return the time in which the autocorrelation of the states falls by half.

    For an oscillation that is a sixth of a period. It is measured from the first lag on, which
    independent noise does not touch; states count alike, and trajectories by their length. Where
    it never falls, the longest lag with enough products is returned.
    """
    steps = np.array([_mean_step(t[index]) for index in indices])
    lengths = np.array([len(index) for index in indices])
    step = np.median(steps)
    longest = (lengths * steps).max()
    n_lags = int(longest / step) + 1
    lags = step * np.arange(1, n_lags + 1)
    size = X.std(axis=0)
    size[size == 0] = 1.0
    centred = X - X.mean(axis=0)
    standardised = centred / size
    products = np.zeros(n_lags)
    n_products = np.zeros(n_lags)
    for index, own_step in zip(indices, steps, strict=True):
        # Trajectories have steps of their own: their lags are interpolated to common ones.
        k = np.arange(len(index))
        own_lags = own_step * k
        own_products = _products_by_lag(standardised[index])
        products += np.interp(lags, own_lags, own_products, right=0)
        n_own_products = len(index) - k
        n_products += np.interp(lags, own_lags, n_own_products, right=0)
    enough = n_products > _FEWEST_PRODUCTS * n_products[0]
    variance = products[0] / n_products[0]
    half = variance / 2
    fallen = enough & (products < half * n_products)
    if fallen.any():
        return lags[fallen].min()
    return lags[enough].max()


def _mean_step(t):
    """Return the mean time between samples."""
    duration = t[-1] - t[0]
    return duration / (len(t) - 1)


def _products_by_lag(x):
    """Return ``sum_i x_i . x_(i+k)`` of a series x (n, d) for k = 0, .., n - 1, by Fourier."""
    n = len(x)
    # Twice the length, padded with zeros: the transform is periodic, the series is not.
    transform = np.fft.rfft(x, 2 * n, axis=0)
    spectrum = np.abs(transform) ** 2
    products = np.fft.irfft(spectrum.sum(axis=1))
    return products[:n]


def noise_factor(V, W, rate):
    """Return the banded Cholesky factor (k, m) of ``W W^T + rate^2 V V^T``.

    The diagonal is slightly larger, for windows that overlap much.
    """
    from_states = W @ W.T
    from_functions = rate**2 * (V @ V.T)
    covariance = sparse.coo_array(from_states + from_functions)
    lower = covariance.row >= covariance.col
    row = covariance.row[lower]
    column = covariance.col[lower]
    diagonal = row - column
    n_bands = diagonal.max() + 1
    bands = np.zeros((n_bands, V.shape[0]))
    bands[diagonal, column] = covariance.data[lower]
    bands[0] *= 1 + _FLOOR
    return cholesky_banded(bands, lower=True)


def whitened(factor, rows):
    """Return ``L^-1 rows`` for the banded factor L of the covariance of their noise."""
    n_below = len(factor) - 1
    return solve_banded((n_below, 0), factor, rows)


def _check_windows(width, n_windows, order):
    """Raise unless windows make sense."""
    if not isinstance(width, Real) or not 0 < width < np.inf:
        raise ValueError(f"`width` must be a positive time, the length of a window, got {width!r}.")
    if n_windows is not None:
        check_count(n_windows, "n_windows")
    if order not in range(1, _LARGEST_ORDER + 1):
        raise ValueError(f"`order` must be an integer from 1 to {_LARGEST_ORDER}, got {order!r}.")


def _samples_of_window(t, width):
    """Return how many samples a window of that length has, both ends included."""
    n = len(t)
    duration = t[-1] - t[0]
    n_steps = round(width / duration * (n - 1))
    n_samples = min(n_steps + 1, (n + 1) // 2)
    n_samples = max(n_samples, _LEAST)
    return min(n_samples, n)


def _weights(t, order):
    """Return the weights of phi(x) and of x in windows.

    Parameters
    ----------
    t : ndarray of shape (m, w)
        Times of the samples of every window.
    order : int

    Returns
    -------
    V, W : ndarray of shape (m, w)
    """
    start = t[:, :1]
    end = t[:, -1:]
    half = (end - start) / 2
    s = (t - start) / half - 1
    steps = np.diff(s)
    psi = np.polynomial.Polynomial([1, 0, -1]) ** order
    primitive = psi.integ()
    area = np.diff(primitive(s))
    # The primitive of s psi is -(1 - s^2)^(order + 1) / (2 order + 2).
    power = (1 - s**2) ** (order + 1)
    moment = -np.diff(power) / (2 * order + 2)
    # The linear interpolant divides a step's integral of psi between its two ends.
    from_start = moment - s[:, :-1] * area
    at_end = from_start / steps
    at_start = area - at_end
    V = half * _at_samples(at_start, at_end)
    # On a step x' is (x_(i+1) - x_i) / step, and -int psi' x = int psi x'.
    slope = area / steps
    W = _at_samples(-slope, slope)
    size = np.linalg.norm(W, axis=1, keepdims=True)
    return V / size, W / size


def _at_samples(at_start, at_end):
    """Add up what the steps (m, w - 1) of windows contribute at their samples: (m, w)."""
    nothing = np.zeros((len(at_start), 1))
    to_later = np.hstack([nothing, at_end])
    to_earlier = np.hstack([at_start, nothing])
    return to_later + to_earlier
