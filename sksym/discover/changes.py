"""Changes of functions along trajectories: which functions have none.

Index legend: n samples, g trajectories, k candidate functions.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sksym.evidence import SampledEvidence

_FOLDS = 10
_UNCERTAINTY = 2.0


@dataclass(frozen=True, eq=False)
class ChangeEvidence(SampledEvidence):
    """Evidence from changes whose mean square contains a known share of noise.

    Attributes
    ----------
    expected : ndarray of shape (k, k)
        The mean square that noise contributes, which is subtracted; `noise` is what remains
        uncertain of it.
    """

    expected: np.ndarray

    @cached_property
    def spectrum(self):
        """The candidates in the order of how little they change beyond noise."""
        spectrum = super().spectrum
        V = spectrum.generators
        noise = np.sum((V @ self.expected) * V, axis=1)
        square = spectrum.singular_values**2 - noise
        # Differences of estimates may be negative, which says that there is nothing.
        s = np.sqrt(np.maximum(square, 0))
        order = np.argsort(s, kind="stable")
        return replace(
            spectrum,
            singular_values=s[order],
            left=spectrum.left[:, order],
            generators=V[order],
        )


@dataclass(frozen=True, eq=False)
class Changes:
    """Changes of candidate functions at samples of several trajectories.

    Attributes
    ----------
    rows : ndarray of shape (n, k)
        Scaled so that their square is a mean over the samples.
    motion : ndarray of shape (g, k, k)
        The square of the largest changes possible, in each trajectory.
    noise : ndarray of shape (k, k)
        The mean square that errors of the data contribute, uncertain by as much.
    expected : ndarray of shape (g, k, k)
        The mean square that random noise contributes.
    n_errors : float
        Number of independent errors of random noise.
    is_sure : float
        Whether that is noise, 1, or may be something else, 0.
    groups : ndarray of int, shape (n,)
        The trajectory of every sample, 0 to g - 1.
    clusters : ndarray of shape (n,)
        Samples with a common label have errors in common.
    """

    rows: np.ndarray
    motion: np.ndarray
    noise: np.ndarray
    expected: np.ndarray
    n_errors: float
    is_sure: float
    groups: np.ndarray
    clusters: np.ndarray

    @cached_property
    def evidence(self):
        """What `verdict` needs, from all trajectories."""
        everywhere = np.ones(len(self.motion), dtype=bool)
        return self._evidence_of(everywhere)

    def are_confirmed(self, count):
        """Tell whether the `count` functions that do not change are foreseen by part of the data.

        Many functions are constant on few trajectories by accident, and every further trajectory
        leaves fewer. Those that are conserved remain: on the trajectories without some, no other
        function is constant. More than half of the trajectories, left out in turn, must show it.
        """
        n_groups = len(self.motion)
        if n_groups < 2:
            return False
        n_folds = min(n_groups, _FOLDS)
        fold = np.arange(n_groups) % n_folds
        n_confirmed = 0
        for k in range(n_folds):
            others = self._evidence_of(fold != k)
            n_candidates = len(others.spectrum.generators)
            is_constant, _ = others.floor_test(count + 1)
            # Where all candidates are constant there is no other.
            n_confirmed += count >= n_candidates or not is_constant
        return 2 * n_confirmed > n_folds

    def _evidence_of(self, is_chosen):
        """Return the evidence of some trajectories (g,)."""
        rows = is_chosen[self.groups]
        expected = self.expected[is_chosen].sum(axis=0)
        share = is_chosen.mean()
        # The mean square of m independent errors is known to sqrt(2 / m); twice that, because
        # the errors of functions are larger where their gradients are.
        by_chance = _UNCERTAINTY / np.sqrt(max(self.n_errors * share, 1.0))
        uncertainty = max(by_chance, 1 - self.is_sure)
        noise = self.noise * share + uncertainty * expected
        return ChangeEvidence(
            rows=self.rows[rows][:, None],
            motion=self.motion[is_chosen].sum(axis=0),
            noise=noise,
            bias=np.zeros_like(noise),
            clusters=self.clusters[rows],
            expected=expected,
        )


def gram_of_groups(rows, groups, n_groups):
    """Return the Gram matrices (g, k, k) of rows (n, .., k) in each of the groups 0, 1, .."""
    k = rows.shape[-1]
    gram = np.zeros((n_groups, k, k))
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups, minlength=n_groups)
    end = np.cumsum(counts)
    for label, members in enumerate(np.split(order, end[:-1])):
        factor = rows[members].reshape(-1, k)
        gram[label] = factor.T @ factor
    return gram
