"""The evidence for conserved quantities that data of either kind hold: velocities, trajectories."""

import numpy as np

from sksym.discover.constancy import changes_within
from sksym.discover.rates import consecutive_rows, exact_rates, smoothed_rates
from sksym.evidence import Spectrum, within_floor

_EXACT = 1e-3  # noise floor up to which velocities count as exact
_CONSTANT = 1e-6  # relative variation over all samples of a function that vanishes there
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
        groups = np.zeros(len(X), dtype=int)
    changes = exact_rates(library, functions, X, X_dot, weight, groups, rng)
    evidence = changes.evidence
    count, floor, _ = within_floor(evidence, max_defect)
    if count and floor <= _EXACT:
        if is_scattered:
            least = evidence.spectrum.generators[:count]
            is_general = not _are_constant(library, least @ functions, X, weight, rng)
        else:
            is_general = changes.are_confirmed(count)
        if is_general:
            return evidence, 0
    return smoothed_rates(library, functions, X, X_dot, weight, rng), count


def evidence_of_trajectories(library, functions, states, indices, weight, max_defect, rng):
    """Return how functions change on trajectories; along smoothed velocities if these are too few.

    Parameters
    ----------
    library, functions, indices, weight, max_defect, rng : see `evidence_of_velocities`
    states : SmoothedStates

    Returns
    -------
    evidence, n_accidental : see `evidence_of_velocities`
    """
    changes = changes_within(library, functions, states.X, states.error, indices, weight, rng)
    count, _, _ = within_floor(changes.evidence, max_defect)
    is_general = changes.are_confirmed(count) if count else len(indices) > 1
    if is_general:
        return changes.evidence, 0
    return smoothed_rates(library, functions, states.X, states.X_dot, weight, rng), count


def _are_constant(library, functions, X, weight, rng):
    """Tell whether some combination of functions (k, p) is constant on all of `X` (n, d)."""
    exact = np.zeros(X.shape[1])
    everything = [np.arange(len(X))]
    changes = changes_within(library, functions, X, exact, everything, weight, rng)
    spectrum = Spectrum.of(changes.rows, changes.motion[0])
    return spectrum.singular_values.min(initial=np.inf) < _CONSTANT
