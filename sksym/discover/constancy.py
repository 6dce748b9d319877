"""Changes of functions within trajectories: constancy of F(x(t)), without derivatives in time.

Index legend: n samples, d coordinates, k candidate functions, p library functions.
"""

import numpy as np

from sksym._linalg import row_blocks
from sksym.discover.changes import Changes, motion_of_groups
from sksym.discover.sampling import column_spread
from sksym.libraries import library_values

_ROWS = 20_000  # samples at most
_ROWS_OF_EACH = 2000  # of one trajectory
_BLOCKS = 30  # of consecutive samples, about, whose errors may be common
_INTEGRATED = 1e-5  # relative error of states that are known as solutions of equations


def changes_within(library, functions, X, error, indices, weight, rng):
    """Return the deviations of functions from their mean on each trajectory.

    Parameters
    ----------
    library : fitted library
    functions : ndarray of shape (k, p)
        The candidates, in the functions of the library.
    X : ndarray of shape (n, d)
    error : ndarray of shape (d,)
        Root mean square error of the states.
    indices : list of integer ndarrays
        The rows of each trajectory, in order of time.
    weight : ndarray of shape (n,)
    rng : RandomState

    Returns
    -------
    Changes
    """
    spread = column_spread(X, weight)
    # Simulated states have the error of the integrator, which is no noise.
    error = np.maximum(error, _INTEGRATED * spread)
    chosen = _some_trajectories(indices, rng)
    groups = np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen])
    rows = np.concatenate(chosen)
    points = X[rows]
    weight = weight[rows]
    share = weight / weight.sum()

    values = np.empty((len(points), len(functions)))
    gradients = np.empty((len(points), X.shape[1], len(functions)))
    for block in row_blocks(len(points), functions.size):
        values[block] = library_values(library, points[block]) @ functions.T
        jacobian = library.jacobian(points[block])
        gradients[block] = np.einsum("npd,kp->ndk", jacobian, functions)
    sqrt_share = np.sqrt(share)[:, None, None]
    # The largest change possible: if the state moved along the gradient.
    amplitude = np.linalg.norm(_deviation(points / spread, share, groups), axis=1)
    reach = _root_mean_of_groups(amplitude, share, groups)
    largest = gradients * (spread[:, None] * reach[:, None, None]) * sqrt_share
    uncertain = gradients * error[:, None] * sqrt_share
    uncertain = uncertain.reshape(-1, len(functions))
    length = max(len(points) // _BLOCKS, 1)
    return Changes(
        rows=_deviation(values, share, groups) * sqrt_share[:, 0],
        motion=motion_of_groups(largest, groups),
        noise=uncertain.T @ uncertain,
        groups=groups,
        clusters=np.arange(len(points)) // length,
    )


def _some_trajectories(indices, rng):
    """List the rows of some trajectories, not all samples of long ones."""
    chosen = []
    n = 0
    for k in rng.permutation(len(indices)):
        rows = indices[k]
        if len(rows) > _ROWS_OF_EACH:
            positions = np.sort(rng.permutation(len(rows))[:_ROWS_OF_EACH])
            rows = rows[positions]
        chosen.append(rows)
        n += len(rows)
        if n >= _ROWS:
            break
    return chosen


def _deviation(values, share, groups):
    """Return values (n, k) less their weighted mean in each group."""
    total = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(total, groups, values * share[:, None])
    mass = np.bincount(groups, weights=share)
    mean = total / np.maximum(mass, np.finfo(float).tiny)[:, None]
    return values - mean[groups]


def _root_mean_of_groups(values, share, groups):
    """Return for every sample the root mean square of values (n,) in its group."""
    square = np.bincount(groups, weights=share * values**2)
    mass = np.bincount(groups, weights=share)
    mean = square / np.maximum(mass, np.finfo(float).tiny)
    return np.sqrt(mean)[groups]
