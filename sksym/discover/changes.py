"""Changes of functions along trajectories, and whether they are foreseen on other trajectories."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sksym.evidence import SampledEvidence, Spectrum

_FOLDS = 10
_CONFIRMED = 4.0  # times the noise floor: changes on trajectories that were left out
_EXACT = 1e-9  # relative change on those that is round-off


@dataclass(frozen=True, eq=False)
class Changes:
    """Changes of candidate functions at samples of several trajectories.

    Attributes
    ----------
    rows : ndarray of shape (n, k)
        Scaled so that their square is a mean over the samples.
    motion : ndarray of shape (g, k, k)
        The square of the largest changes possible, in each of the g trajectories.
    noise : ndarray of shape (k, k)
        The mean square that errors of the data contribute.
    groups : ndarray of int, shape (n,)
        The trajectory of every sample, 0 to g - 1.
    clusters : ndarray of shape (n,)
        Samples with a common label have errors in common.
    """

    rows: np.ndarray
    motion: np.ndarray
    noise: np.ndarray
    groups: np.ndarray
    clusters: np.ndarray

    @cached_property
    def evidence(self):
        """What `verdict` needs."""
        return SampledEvidence(
            rows=self.rows[:, None],
            motion=self.motion.sum(axis=0),
            noise=self.noise,
            bias=np.zeros_like(self.noise),
            clusters=self.clusters,
        )

    def are_confirmed(self, count):
        """Tell whether the `count` least changing functions are foreseen by other trajectories.

        Any function of many may be constant on a few trajectories by accident. The functions
        that change least on some trajectories are conserved if they are constant on the others
        as well; more than half of the trajectories, left out in turn, must confirm it.
        """
        n_groups = len(self.motion)
        if n_groups < 2:
            return False
        n_folds = min(n_groups, _FOLDS)
        fold_of_group = np.arange(n_groups) % n_folds
        n_confirmed = 0
        for fold in range(n_folds):
            n_confirmed += self._confirms(fold_of_group == fold, count)
        return 2 * n_confirmed > n_folds

    def _confirms(self, is_left_out, count):
        """Tell whether some trajectories (g,) confirm what all others say."""
        held_out = is_left_out[self.groups]
        others = Spectrum.of(self.rows[~held_out], self.motion[~is_left_out].sum(axis=0))
        least = others.generators[:count]
        largest = _mean_square(least, self.motion.sum(axis=0))
        largest_held_out = _mean_square(least, self.motion[is_left_out].sum(axis=0))
        change = np.linalg.norm(self.rows[held_out] @ least.T)
        floor = np.sqrt(_mean_square(least, self.noise) / largest)
        return change <= (_CONFIRMED * floor + _EXACT) * np.sqrt(largest_held_out)


def _mean_square(functions, gram):
    """Compute the sum of ``F^T gram F`` over functions (k, p)."""
    return np.sum((functions @ gram) * functions)


def motion_of_groups(largest, groups):
    """Return the Gram matrices (g, k, k) of rows (n, d, k) in each of the groups 0, 1, .."""
    k = largest.shape[2]
    motion = np.zeros((groups.max() + 1, k, k))
    order = np.argsort(groups, kind="stable")
    end = np.cumsum(np.bincount(groups))
    for label, rows in enumerate(np.split(order, end[:-1])):
        factor = largest[rows].reshape(-1, k)
        motion[label] = factor.T @ factor
    return motion
