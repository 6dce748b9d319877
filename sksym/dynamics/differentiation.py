"""Derivatives of trajectories by polynomials in time, chosen for the samples and their noise.

Without noise polynomials pass through seven samples, whose error at steps h and a frequency w is
about (w h)^6 / 140 of the derivative. With noise, window and degree are those of the least
estimated error of the smoothed states.
"""

from dataclasses import dataclass

import numpy as np

from sksym._estimator import warn
from sksym.dynamics.smoothing import EQUAL_STEPS, INTERPOLATED, local_polynomials, smoothed_states

_MOST_ROWS = 20_000  # differentiated at a time, and looked at for the choice on a uniform grid
_MOST_UNEVEN_ROWS = 2_000  # looked at where every sample has weights of its own
_FEWEST_PER_PERIOD = 12  # samples, below which derivatives are poor
_MOST_NOISE = 0.15  # relative to the spread, up to which curvature is that of the motion


@dataclass(frozen=True)
class Differentiation:
    """How states are differentiated: window and degree of polynomials in time.

    Attributes
    ----------
    window, degree : int
    noise : ndarray of shape (d,)
        Standard deviation of the noise in the states.
    """

    window: int
    degree: int
    noise: np.ndarray

    @classmethod
    def of(cls, X, t, indices):
        """Choose for states X (n, d) at times t (n,), from some of their trajectories."""
        sample = _some_rows(t, indices)
        if not sample:
            return cls(3, 2, np.ptp(X, axis=0))
        rows = np.concatenate(sample)
        ends = np.cumsum([len(index) for index in sample])
        own_rows = np.split(np.arange(len(rows)), ends[:-1])
        smoothed = smoothed_states(X[rows], t[rows], own_rows)
        is_smoothed = smoothed.window > 1
        # Half the window of least error: statistics take bias for motion, but not noise.
        half = smoothed.window // 4 * 2 + 1
        smallest = smoothed.degree + 2
        windows = np.where(is_smoothed, np.maximum(half, smallest), INTERPOLATED)
        degrees = np.where(is_smoothed, smoothed.degree, INTERPOLATED - 1)
        # One choice for all states: differentiating then commutes with what mixes them, and no
        # symmetry is broken. The smallest window has the least bias.
        least = windows.argmin()
        return cls(int(windows[least]), int(degrees[least]), smoothed.noise)

    def __call__(self, X, t, indices):
        """Return derivatives (n, d), NaN for single samples."""
        X_dot = np.full_like(X, np.nan)
        for index in _blocks(indices):
            X_dot[index] = _slopes(X[index], t[index], self.window, self.degree)
        return X_dot

    def __str__(self):
        return f"polynomials of degree {self.degree} in time through {self.window} samples"


def warn_of_few_samples(X, X_dot, t, indices, noise):
    """Warn where the fastest motion has fewer than 12 samples in a period.

    The frequency of a state is the root mean square of its second derivative relative to that of
    its first.
    """
    spread = X.std(axis=0)
    is_motion = (noise <= _MOST_NOISE * spread) & (spread > 0)
    slope = np.zeros(X.shape[1])
    bend = np.zeros(X.shape[1])
    steps = []
    for index in indices:
        if len(index) < 3:
            continue
        step = np.median(np.diff(t[index]))
        steps.append(step)
        bends = np.gradient(X_dot[index], t[index], axis=0)
        slope += np.sum(X_dot[index] ** 2, axis=0)
        bend += np.sum(bends**2, axis=0)
    is_motion &= (slope > 0) & (bend > 0)
    if not is_motion.any():
        return
    frequency = np.sqrt(bend[is_motion] / slope[is_motion]).max()
    per_period = 2 * np.pi / (frequency * np.median(steps))
    if per_period < _FEWEST_PER_PERIOD:
        warn(
            f"The fastest motion has about {per_period:.1f} samples in a period, and derivatives "
            f"need {_FEWEST_PER_PERIOD}: sample faster, or use WeakSymmetryPromotingSINDy, which "
            "needs fewer."
        )


def _some_rows(t, indices):
    """List rows of trajectories of three samples or more, not too many of them."""
    long = [index for index in indices if len(index) > 2]
    if not long:
        return []
    # Short ones would forbid the windows that suit the others.
    typical = np.median([len(index) for index in long])
    long = [index for index in long if 2 * len(index) >= typical]
    steps = np.diff(t[long[0]])
    is_uniform = np.ptp(steps) < EQUAL_STEPS * steps.mean()
    most = _MOST_ROWS if is_uniform else _MOST_UNEVEN_ROWS
    sample = []
    for index in long:
        if most < len(index) and sample:
            break
        sample.append(index[:most])
        most -= len(index)
    return sample


def _blocks(indices):
    """Yield the rows of trajectories of two samples or more, long ones in parts."""
    for index in indices:
        if len(index) < 2:
            continue
        n_parts = -(-len(index) // _MOST_ROWS)
        yield from np.array_split(index, n_parts)


def _slopes(x, t, window, degree):
    """Return derivatives (n, k), with a smaller window where there are fewer samples."""
    n = len(t)
    window = min(window, n - 1 + n % 2)
    if window < 3:
        return np.gradient(x, t, axis=0)
    _, slopes, _ = local_polynomials(x, t, window, min(degree, window - 1))
    return slopes
