"""Changes of functions within trajectories: constancy of F(x(t)), without derivatives in time.

Index legend: n samples, d coordinates, k candidate functions, p library functions.
"""

import numpy as np

from sksym._linalg import row_blocks
from sksym.discover.changes import Changes, gram_of_groups
from sksym.discover.sampling import column_spread
from sksym.dynamics.smoothing import local_polynomials
from sksym.evidence import Spectrum
from sksym.libraries import library_values

_ROWS = 20_000  # samples at most
_ROWS_OF_EACH = 2000  # of one trajectory
_BLOCKS = 30  # of consecutive samples, about, whose errors may be common
_INTEGRATED = 1e-5  # relative error of states that are known as solutions of equations
_DEGREE = 3  # of the polynomials that smooth values of functions
_SHORTEST = 5  # window of those


def changes_within(library, functions, X, t, states, indices, weight, rng):
    """Return the deviations of functions from their mean on each trajectory.

    The values of functions are smoothed in time, not the states: what is constant is not
    distorted by that, and the residuals show the noise of the values.

    Parameters
    ----------
    library : fitted library
    functions : ndarray of shape (k, p)
        The candidates, in the functions of the library.
    X : ndarray of shape (n, d)
    t : ndarray of shape (n,)
    states : SmoothedStates
        Of `X`.
    indices : list of integer ndarrays
        The rows of each trajectory, in order of time.
    weight : ndarray of shape (n,)
    rng : RandomState

    Returns
    -------
    Changes
    """
    spread = column_spread(X, weight)
    chosen = _some_trajectories(indices, rng)
    n_groups = len(chosen)
    lengths = [len(rows) for rows in chosen]
    groups = np.repeat(np.arange(n_groups), lengths)
    rows = np.concatenate(chosen)
    share = weight[rows]
    share = share / share.sum()
    sqrt_share = np.sqrt(share)[:, None]
    values, gradients = _values_and_gradients(library, functions, X[rows])
    values = values - excess_by_noise(library, functions, X[rows], states.is_sure * states.noise)
    gradients = gradients * sqrt_share[:, :, None]

    # Functions of states vary faster than the states.
    window = states.window.min() // 4 * 2 + 1
    uncertain = gradients * states.noise[:, None]
    if window < _SHORTEST:
        expected = gram_of_groups(uncertain, groups, n_groups)
        smooth = values
        n_errors = float(len(rows))
    else:
        smooth, leverage = _smoothed(values, t[rows], groups, window)
        residual = (values - smooth) * sqrt_share
        ratio = leverage / (1 - leverage)
        expected = gram_of_groups(residual, groups, n_groups) * ratio
        n_errors = len(rows) * leverage

    # The largest change possible: if the state moved along the gradient.
    displacement = _deviation(X[rows] / spread, share, groups)
    amplitude = np.linalg.norm(displacement, axis=1)
    reach = _root_mean_of_groups(amplitude, share, groups)
    relative_gradients = gradients * spread[:, None]
    largest = relative_gradients * reach[:, None, None]
    # Simulated states have the error of the integrator, which is no noise.
    integrated = _INTEGRATED * relative_gradients.reshape(-1, len(functions))
    length = max(len(rows) // _BLOCKS, 1)
    return Changes(
        rows=_deviation(smooth, share, groups) * sqrt_share,
        motion=gram_of_groups(largest, groups, n_groups),
        noise=integrated.T @ integrated,
        expected=expected,
        errors=uncertain,
        n_errors=n_errors,
        is_sure=states.is_sure,
        groups=groups,
        clusters=np.arange(len(rows)) // length,
    )


def least_variation(library, functions, X, weight):
    """Return the least variation over all of `X` (n, d) of a combination of functions (k, p).

    Relative to the variation that its gradient makes possible; 0 for one that is constant on `X`.
    """
    spread = column_spread(X, weight)
    share = weight / weight.sum()
    sqrt_share = np.sqrt(share)[:, None]
    one_group = np.zeros(len(X), dtype=int)
    values, gradients = _values_and_gradients(library, functions, X)
    relative_gradients = gradients * spread[:, None]
    largest = relative_gradients * sqrt_share[:, :, None]
    motion = gram_of_groups(largest, one_group, 1)
    variation = _deviation(values, share, one_group) * sqrt_share
    spectrum = Spectrum.of(variation, motion[0])
    return spectrum.singular_values.min(initial=np.inf)


def _values_and_gradients(library, functions, X):
    """Return the values (n, k) and the gradients (n, d, k) of functions (k, p)."""
    values = np.empty((len(X), len(functions)))
    gradients = np.empty((len(X), X.shape[1], len(functions)))
    for block in row_blocks(len(X), functions.size):
        values[block] = library_values(library, X[block]) @ functions.T
        jacobian = library.jacobian(X[block])
        gradients[block] = np.einsum("npd,kp->ndk", jacobian, functions)
    return values, gradients


def excess_by_noise(library, functions, X, noise):
    """Return by how much noise in states (n, d) changes the means of functions (k, p).

    The mean of F(x + e) is F(x) + sum_j F_jj(x) noise_j^2 / 2, with the second derivatives F_jj, up
    to fourth powers of the noise (d,). Zero where F is not defined nearby.
    """
    excess = np.zeros((len(X), len(functions)))
    for j in np.flatnonzero(noise):
        step = np.zeros(X.shape[1])
        step[j] = noise[j]
        with np.errstate(all="ignore"):
            above = _slopes(library, functions, X + step, j)
            below = _slopes(library, functions, X - step, j)
            difference = above - below
        is_defined = np.isfinite(difference)
        curved = np.where(is_defined, difference, 0.0)
        # F_jj noise_j^2 / 2, by a difference over 2 noise_j
        excess += curved * noise[j] / 4
    return excess


def _slopes(library, functions, X, j):
    """Return the derivatives (n, k) of functions (k, p) along coordinate j at points (n, d)."""
    slopes = np.empty((len(X), len(functions)))
    for block in row_blocks(len(X), functions.size):
        slopes[block] = library.jacobian(X[block])[:, :, j] @ functions.T
    return slopes


def _some_trajectories(indices, rng):
    """List the rows of some trajectories, a stretch of long ones."""
    chosen = []
    n = 0
    for k in rng.permutation(len(indices)):
        rows = indices[k][:_ROWS_OF_EACH]
        chosen.append(rows)
        n += len(rows)
        if n >= _ROWS:
            break
    return chosen


def _smoothed(values, t, groups, window):
    """Smooth the values (n, k) of functions on every trajectory.

    Returns
    -------
    smooth : ndarray of shape (n, k)
    leverage : float
        Mean variance of smooth values at unit noise.
    """
    smooth = np.empty_like(values)
    total = 0.0
    for label in range(groups[-1] + 1):
        rows = groups == label
        fitted = local_polynomials(values[rows], t[rows], window, _DEGREE)
        smooth[rows], _, leverage = fitted
        total += leverage.sum()
    return smooth, total / len(values)


def _deviation(values, share, groups):
    """Return values (n, k) less their weighted mean in each group."""
    n_groups = groups.max() + 1
    k = values.shape[1]
    total = np.zeros((n_groups, k))
    weighted = values * share[:, None]
    np.add.at(total, groups, weighted)
    mean = total / _mass(share, groups)[:, None]
    return values - mean[groups]


def _root_mean_of_groups(values, share, groups):
    """Return for every sample the root mean square of values (n,) in its group."""
    square = np.bincount(groups, weights=share * values**2)
    mean = square / _mass(share, groups)
    return np.sqrt(mean)[groups]


def _mass(share, groups):
    """Return the weight (g,) of every group; hardly any where all samples have weight zero."""
    mass = np.bincount(groups, weights=share)
    return np.maximum(mass, np.finfo(float).tiny)
