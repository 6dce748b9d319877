"""The evidence for conserved quantities that data of either kind hold: velocities, trajectories."""

from dataclasses import dataclass

import numpy as np

from sksym.discover.constancy import changes_within, least_variation
from sksym.discover.rates import consecutive_rows, exact_rates, smoothed_rates
from sksym.discover.velocities import MeasuredVelocities, UndeterminedError, WeakVelocities
from sksym.dynamics.smoothing import INTERPOLATED, smoothed_states
from sksym.evidence import within_floor
from sksym.evidence.spectrum import BEYOND

_EXACT = 1e-3  # noise floor up to which velocities count as exact
_CONSTANT = 1e-6  # relative variation over all samples of a function that vanishes there
_VANISHING = 1e-6  # relative size of functions that vanish on trajectories
_GAP = 0.4  # noise relative to the rates of other functions that lets us tell
_FOLDS = 10  # of samples without order
_LONG = 5  # mean number of rows in stretches that are trajectories


@dataclass(frozen=True, eq=False)
class Case:
    """Evidence for conserved quantities, and what it says.

    Attributes
    ----------
    evidence : SampledEvidence
    count : int
        Number of candidates that are conserved, the first of the spectrum.
    undecided : int
        Number of others that may be: functions that change little, or do not change on the data.
    """

    evidence: object
    count: int
    undecided: int


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
    Case
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
    count, floor, undecided = within_floor(evidence, max_defect)
    # Every sample is one equation: of more functions some are constant on any samples.
    are_enough = np.count_nonzero(weight) > len(functions)
    if are_enough and count and floor <= _EXACT:
        is_general = changes.are_confirmed(count)
        if is_general and is_scattered:
            # The samples may lie on few trajectories, in any order.
            least = evidence.spectrum.generators[:count]
            is_general = least_variation(library, least @ functions, X, weight) > _CONSTANT
        if is_general:
            return Case(evidence, count, undecided)
    n_accidental = count
    error = _VANISHING if count else None
    velocities = MeasuredVelocities(X_dot)
    rates = smoothed_rates(library, functions, X, velocities, weight, rng, error)
    count, _, undecided = within_floor(rates, max_defect)
    return Case(rates, count, max(undecided, n_accidental - count))


def evidence_of_trajectories(library, functions, X, t, indices, weight, max_defect, rng):
    """Return how functions change on trajectories.

    Functions that do not change may be conserved, or constant on these trajectories only. They
    are conserved if other trajectories, or else the smoothed velocities, confirm it.

    Parameters
    ----------
    library, functions, X, indices, weight, max_defect, rng : see `evidence_of_velocities`
    t : ndarray of shape (n,)

    Returns
    -------
    Case
    """
    states = smoothed_states(X, t, indices)
    changes = changes_within(library, functions, X, t, states, indices, weight, rng)
    evidence = changes.evidence
    count, undecided = evidence.count(max_defect)
    if not count or changes.are_confirmed(count):
        return Case(evidence, count, undecided)
    undecided = Case(evidence, 0, count)
    if states.window.max() == 1:
        # Velocities from polynomials through so many samples have their errors in common.
        velocities = MeasuredVelocities(states.X_dot, n_common=INTERPOLATED)
    else:
        velocities = WeakVelocities.of(X, t, indices)
    try:
        rates = smoothed_rates(library, functions, states.X, velocities, weight, rng, _VANISHING)
    except UndeterminedError:
        return undecided
    least = evidence.spectrum.generators[:count]
    noise = rates.noise_of(rates.spectrum.unit_span(least))
    # The velocities must be able to tell these functions from others.
    others = np.append(rates.spectrum.singular_values, 1.0)[count]
    is_sharp = noise <= min(max_defect, _GAP * others)
    if is_sharp and rates.spectrum.defect(least) <= BEYOND * noise:
        return Case(evidence, count, 0)
    return undecided
