"""The evidence for conserved quantities that data of either kind hold: velocities, trajectories."""

import numpy as np

from sksym.discover.constancy import changes_within, least_variation
from sksym.discover.rates import consecutive_rows, exact_rates, smoothed_rates
from sksym.dynamics.smoothing import smoothed_states
from sksym.evidence import within_floor

_EXACT = 1e-3  # noise floor up to which velocities count as exact
_CONSTANT = 1e-6  # relative variation over all samples of a function that vanishes there
_FOLDS = 10  # of samples without order
_LONG = 5  # mean number of rows in stretches that are trajectories


def evidence_of_velocities(library, functions, X, X_dot, indices, weight, max_defect, rng):
    """Return how functions change along velocities as they are if exact, or else smoothed.

    Velocities are exact if some function has a rate of change that is round-off: errors do not
    cancel by accident. They need not lie in any library.

    Parameters
    ----------
    library : fitted library
    functions : ndarray of shape (k, p)
        The candidates, in the functions of the library.
    X, X_dot : ndarray of shape (n, d)
    indices : list of integer ndarrays, or None
        The rows of each trajectory, where they are known.
    weight : ndarray of shape (n,)
    max_defect : float
    rng : RandomState

    Returns
    -------
    evidence : SampledEvidence
    n_accidental : int
        Number of functions that do not change on the data, but perhaps elsewhere.
    """
    if indices is None:
        groups = consecutive_rows(X, X_dot)
    else:
        groups = np.empty(len(X), dtype=int)
        for label, rows in enumerate(indices):
            groups[rows] = label
    is_scattered = indices is None and groups[-1] + 1 > len(X) / _LONG
    if is_scattered:
        groups = rng.permutation(len(X)) % _FOLDS
    changes = exact_rates(library, functions, X, X_dot, weight, groups, rng)
    evidence = changes.evidence
    count, floor, _ = within_floor(evidence, max_defect)
    if count and floor <= _EXACT:
        is_general = changes.are_confirmed(count)
        if is_general and is_scattered:
            # The samples may lie on few trajectories, in any order.
            least = evidence.spectrum.generators[:count]
            is_general = least_variation(library, least @ functions, X, weight) > _CONSTANT
        if is_general:
            return evidence, 0
    return smoothed_rates(library, functions, X, X_dot, weight, rng), count


def evidence_of_trajectories(library, functions, X, t, indices, weight, max_defect, rng):
    """Return how functions change on trajectories; along smoothed velocities if these are too few.

    Parameters
    ----------
    library, functions, X, indices, weight, max_defect, rng : see `evidence_of_velocities`
    t : ndarray of shape (n,)

    Returns
    -------
    evidence, n_accidental : see `evidence_of_velocities`
    """
    states = smoothed_states(X, t, indices)
    changes = changes_within(library, functions, X, t, states, indices, weight, rng)
    count, _, _ = within_floor(changes.evidence, max_defect)
    is_general = changes.are_confirmed(count) if count else len(indices) > 1
    if is_general:
        return changes.evidence, 0
    rates = smoothed_rates(
        library, functions, states.X, states.X_dot, weight, rng, n_common=states.window.max()
    )
    return rates, count
