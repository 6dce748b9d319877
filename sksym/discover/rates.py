"""Rates of change of functions along a dynamical system whose velocities are known at samples.

Index legend: n samples, d coordinates, k candidate functions.
"""

import numpy as np

from sksym._linalg import merge_rows, row_blocks
from sksym.discover.changes import Changes, gram_of_groups
from sksym.discover.sampling import column_spread, some_rows, spatial_clusters
from sksym.equivariant import probe_points
from sksym.evidence import SampledEvidence

_ROWS = 4000  # points at which the rate of change of a function is tested
_RANK = 1e-11  # relative size of singular values that are round-off
_DIGITS = 12  # decimals to which rounded data are recognised
_ALONG = 0.8  # cosine between the velocity and the step to the next sample of a trajectory


def exact_rates(library, functions, X, X_dot, weight, groups, rng):
    """Return the rates ``dF(x) x_dot`` at the samples, uncertain by the round-off of the data.

    Parameters
    ----------
    library : fitted library
    functions : ndarray of shape (k, p)
        The candidates, in the functions of the library.
    X, X_dot : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    groups : ndarray of int, shape (n,)
        Labels 0, 1, .. of the trajectories.
    rng : RandomState

    Returns
    -------
    Changes
    """
    spread = column_spread(X, weight)
    state_error, rate_error = errors_of_storage(X, X_dot)
    chosen = some_rows(len(X), _ROWS, rng)
    points = X[chosen]
    velocities = X_dot[chosen]
    weight = weight[chosen]
    n_groups = groups.max() + 1
    groups = groups[chosen]
    sqrt_share = np.sqrt(weight / weight.sum())

    rates = []
    sizes = []
    noise_factor = None
    k = len(functions)
    for rows in row_blocks(len(points), k * X.shape[1]):
        block = points[rows]
        velocity = velocities[rows]
        share = sqrt_share[rows, None]
        gradients = _gradients(library, functions, block)
        rate = np.einsum("ndk,nd->nk", gradients, velocity) * share
        # Whatever round-off does to a rate shows when the data are moved by as much.
        state_errors = state_error * rng.normal(size=block.shape)
        rate_errors = rate_error * rng.normal(size=block.shape)
        shaken = block + state_errors
        shaken_velocity = velocity + rate_errors
        shaken_gradients = _gradients(library, functions, shaken)
        shaken_rate = np.einsum("ndk,nd->nk", shaken_gradients, shaken_velocity) * share
        noise_factor = merge_rows(noise_factor, shaken_rate - rate)
        # The largest rate possible: along the gradient, lengths in units of the spread.
        speed = np.linalg.norm(velocity / spread, axis=1)
        size = gradients * spread[:, None]
        sizes.append(size * (speed * sqrt_share[rows])[:, None, None])
        rates.append(rate)
    largest = np.concatenate(sizes)
    motion = gram_of_groups(largest, groups, n_groups)
    noise = noise_factor.T @ noise_factor
    # Of derivatives that are differences of values.
    of_jacobian = library.jacobian_rtol_**2 * motion.sum(axis=0)
    return Changes(
        rows=np.concatenate(rates),
        motion=motion,
        noise=noise + of_jacobian,
        expected=np.zeros_like(motion),
        errors=np.zeros((len(points), 0, k)),
        n_errors=float(len(points)),
        is_sure=1.0,
        groups=groups,
        clusters=spatial_clusters(points, rng),
    )


def errors_of_storage(X, X_dot):
    """Return the errors (d,) to which states and velocities (n, d) are stored or were rounded."""
    exact = np.finfo(float).eps * np.abs(X).max(axis=0)
    rate_error, is_rounded = _error_of_digits(X_dot)
    if not is_rounded:
        # Velocities in full precision belong to the states as they are, a grid for example.
        return exact, rate_error
    state_error, _ = _error_of_digits(X)
    return state_error, rate_error


def _error_of_digits(X):
    """Return the error (d,) of columns (n, d), and whether all that vary have few digits.

    Data that single precision, or a few decimals, represent exactly are known no better.
    """
    size = np.abs(X).max(axis=0)
    error = np.finfo(np.float64).eps * size
    is_rounded = True
    for j in np.flatnonzero(np.ptp(X, axis=0)):
        column = X[:, j]
        with np.errstate(over="ignore"):  # no single-precision number then
            single = column.astype(np.float32)
        is_single = np.array_equal(column, single)
        if is_single:
            error[j] = np.finfo(np.float32).eps * size[j]
        decimals = 0
        while decimals < _DIGITS and not np.array_equal(column, np.round(column, decimals)):
            decimals += 1
        if decimals < _DIGITS:
            error[j] = max(error[j], 0.5 * 10.0**-decimals)
        is_rounded = is_rounded and (is_single or decimals < _DIGITS)
    return error, is_rounded


def consecutive_rows(X, X_dot):
    """Return labels (n,) of stretches of rows that follow one another along the velocity.

    Rows of one trajectory in order of time are one stretch; rows in any other order are many.
    """
    scale = column_spread(X, np.ones(len(X)))
    step = np.diff(X, axis=0) / scale
    velocity = X_dot / scale
    middle = velocity[:-1] + velocity[1:]
    product = np.sum(step * middle, axis=1)
    lengths = np.linalg.norm(step, axis=1) * np.linalg.norm(middle, axis=1)
    # Loosely, because to see two trajectories in one would count as evidence.
    is_end = product <= _ALONG * lengths
    return np.append(0, np.cumsum(is_end))


def _gradients(library, functions, X):
    """Return the gradients (n, d, k) of functions (k, p) at points (n, d)."""
    return np.einsum("npd,kp->ndk", library.jacobian(X), functions)


def smoothed_rates(library, functions, X, velocities, weight, rng, error=None):
    """Return the rates of change of functions along the smoothed dynamics, with their errors.

    Parameters
    ----------
    library : fitted library
    functions : ndarray of shape (k, p)
        The candidates, in the functions of the library.
    X : ndarray of shape (n, d)
    velocities : MeasuredVelocities or WeakVelocities
    weight : ndarray of shape (n,)
    rng : RandomState
    error : float, default=None
        Relative error of states that lie on few trajectories. Functions that vanish on these but
        for that error determine nothing, and rates elsewhere count too. None: states lie anywhere.

    Returns
    -------
    SampledEvidence
    """
    spread = column_spread(X, weight)
    rtol = _RANK if error is None else error
    dynamics, is_determined = velocities.fit(library, X, weight, rng, rtol)
    chosen = some_rows(len(X), _ROWS, rng)
    points = X[chosen]
    weight = weight[chosen]
    if error is not None or not is_determined:
        # A function that vanishes on the data is constant there, but need not be conserved.
        probes = probe_points(X, 2 * library.n_output_features_)
        # Only between the data: beyond them functions such as logarithms may not be defined.
        probes = np.clip(probes, X.min(axis=0), X.max(axis=0))
        points = np.concatenate([points, probes])
        weight = np.append(weight, np.full(len(probes), weight.mean()))
    sqrt_share = np.sqrt(weight / weight.sum())

    rates = []
    motion_factor = None
    noise_factor = None
    k = len(functions)
    for rows in row_blocks(len(points), k * X.shape[1]):
        # Lengths in units of the spread of their column, squares as weighted means.
        block = points[rows]
        velocity, error = dynamics.velocity(block)
        velocity = velocity / spread
        error = error / spread
        jacobian = library.jacobian(block)
        gradients = np.einsum("npd,kp->ndk", jacobian, functions)
        units = spread[:, None] * sqrt_share[rows, None, None]
        gradients = gradients * units
        rate = np.einsum("ndk,nd->nk", gradients, velocity)
        rates.append(rate)
        # The largest rate possible: along the gradient.
        speed = np.linalg.norm(velocity, axis=1)
        largest = gradients * speed[:, None, None]
        motion_factor = merge_rows(motion_factor, largest.reshape(-1, k))
        uncertain = gradients * error[:, :, None]
        noise_factor = merge_rows(noise_factor, uncertain.reshape(-1, k))
    noise = velocities.n_common * noise_factor.T @ noise_factor
    return SampledEvidence(
        rows=np.concatenate(rates)[:, None],
        motion=motion_factor.T @ motion_factor,
        noise=noise,
        bias=np.zeros_like(noise),
        clusters=spatial_clusters(points, rng),
    )
