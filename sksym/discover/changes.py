"""Changes of functions along trajectories: which functions have none.

Index legend: n samples, g trajectories, k candidate functions.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import stats
from scipy.fft import dct
from scipy.linalg import eigh

from sksym.evidence import SampledEvidence
from sksym.evidence.spectrum import BEYOND, REJECT

_RIDGE = 1e-12  # of correlations that may be singular
_LEAST_VARIANCE = 1e-30  # relative to the largest, below which an error counts as none
_FOLDS = 10
_FEWEST_MODES = 2  # slow cosines of each trajectory, twice as many in every further test
_MOST_MODES = 16
_DOUBTFUL = 0.005  # p value up to which functions may be constant or not
_CERTAIN = 1e-3  # and from which they are not
_LEAST_SHARE = 0.5  # of the errors, after the choice of functions
_SURE = 0.5  # share of the noise that is not motion between samples, enough for chi square
_GAP = 0.25  # of the changes of other functions, the errors where it is not


@dataclass(frozen=True, eq=False)
class ChangeEvidence(SampledEvidence):
    """Evidence from changes whose mean square contains a known share of noise.

    A conserved quantity has a mean square M that is all noise: E in the mean, which follows from
    the errors of the data. So the candidates xi are those of the least ``xi^T (M - E) xi``
    relative to their motion (the least of M itself would be biased towards functions that the
    noise hardly changes), and k of them, V (k, r), are constant unless the largest eigenvalue of
    ``(V E V^T)^-1 V M V^T``, a mean square in units of the noise, is larger than chance explains.

    Attributes
    ----------
    expected : ndarray of shape (k, k)
        The mean square E that random noise contributes, which is subtracted.
    systematic : ndarray of shape (k, k)
        The mean square of other errors, which may be there or not. These and what is uncertain of
        E make up `noise`.
    slow : ndarray of shape (m, g, k)
        Cosine coefficients of the rows on each trajectory.
    errors : ndarray of shape (n, d, k)
        Changes for an error of one standard deviation in each coordinate, at each sample.
    n_errors : float
        Number of independent errors, if all are of the same size.
    is_sure : float
        Whether all of E is noise, 1, or may be something else, 0.
    """

    expected: np.ndarray
    systematic: np.ndarray
    slow: np.ndarray
    errors: np.ndarray
    n_errors: float
    is_sure: float

    @cached_property
    def spectrum(self):
        """The candidates in the order of how little they change beyond noise."""
        spectrum = super().spectrum
        if not self.expected.any():
            return spectrum
        V = spectrum.generators
        square = np.diag(spectrum.singular_values**2)
        # What may be motion, where samples are far apart, is not subtracted.
        noise = self.is_sure * V @ self.expected @ V.T
        beyond, axes = np.linalg.eigh(square - noise)
        # Differences of estimates may be negative, which says that there is nothing.
        return replace(
            spectrum,
            singular_values=np.sqrt(np.maximum(beyond, 0)),
            left=spectrum.left @ axes,
            generators=axes.T @ V,
        )

    def floor_test(self, k):
        """Test whether the k smallest singular values may be zero; see `SampledEvidence`."""
        if k > len(self.spectrum.generators) or not self.expected.any():
            return super().floor_test(k)
        return self.p_value(k) > REJECT, self.noise_of(self.spectrum.generators[:k])

    def count(self, max_defect):
        """Find how many functions are constant within the errors.

        Chance lets as many seem constant, and not even nearly one more. Only then the others are
        known to be none, however little they change.

        Returns
        -------
        count : int
        undecided : int
            Number of functions of which the data do not tell.
        """
        n = len(self.spectrum.generators)
        p_values = []
        for k in range(1, n + 1):
            p_values.append(self.p_value(k))
            if p_values[-1] <= _CERTAIN:
                break
        count = 0
        while count < len(p_values) and p_values[count] > _DOUBTFUL:
            count += 1
        n_possible = np.count_nonzero(np.array(p_values) > _CERTAIN)
        if n_possible > count or not self._is_sharp(count, max_defect):
            return 0, n_possible
        return count, 0

    def _is_sharp(self, count, max_defect):
        """Tell whether errors are small beside what the functions could, and the others do."""
        if not count:
            return True
        floor = self.noise_of(self.spectrum.generators[:count])
        if self.is_sure < _SURE:
            # The errors may be as large as the changes of other functions between samples.
            others = np.append(self.spectrum.singular_values, 1.0)[count]
            return floor <= min(max_defect, _GAP * others)
        return floor <= max_defect

    def p_value(self, k):
        """Return the probability that chance makes the k smallest as large as they are.

        As many errors as there are other candidates were used up by the choice of the least. The
        smoothed changes are tested as a whole, and their slow parts alone, in which those of a
        function that is nearly conserved are larger than the noise (Neyman's smooth tests).
        """
        V = self.spectrum.generators[:k]
        n_errors = self._n_errors_of(V)
        n_others = len(self.spectrum.generators) - k
        share = 1 - n_others / n_errors
        if share < _LEAST_SHARE:
            share = 1.0  # too few errors to count on: nothing is rejected on their account
        # Of the mean square, as if everything that may be an error were noise.
        largest_noise = self.expected * (2 - self.is_sure) + BEYOND**2 * self.systematic
        variance = V @ largest_noise @ V.T
        p_values = [_p_value(self.rows[:, 0] @ V.T, variance / n_errors, n_errors, share)]
        n_modes, n_groups, _ = self.slow.shape
        m = _FEWEST_MODES
        while m <= min(n_modes, n_errors / n_groups):
            slow = self.slow[:m].reshape(-1, len(self.expected))
            p_value = _p_value(slow @ V.T, variance / self.n_errors, m * n_groups, share)
            p_values.append(p_value)
            m *= 2
        return min(1.0, len(p_values) * min(p_values))

    def _n_errors_of(self, V):
        """Return the number of errors of functions V (k, r), larger where their gradients are."""
        variance = np.sum((self.errors @ V.T) ** 2, axis=(1, 2))
        mean = np.mean(variance)
        share = mean**2 / np.mean(variance**2) if mean > 0 else 1.0
        return max(self.n_errors * share, 1.0)


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
    errors : ndarray of shape (n, d, k)
        Changes for an error of one standard deviation in each coordinate, at each sample.
    n_errors : float
        Number of independent errors of random noise, if all are of the same size.
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
    errors: np.ndarray
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

    @cached_property
    def _slow(self):
        """The first cosine coefficients (m, g, k) of the rows on each trajectory."""
        n_groups = len(self.motion)
        slow = np.zeros((_MOST_MODES, n_groups, self.rows.shape[1]))
        for label in range(n_groups):
            rows = self.rows[self.groups == label]
            coefficients = dct(rows, axis=0, norm="ortho")
            some = coefficients[1 : _MOST_MODES + 1]  # without the mean
            slow[: len(some), label] = some
        return slow

    def _evidence_of(self, is_chosen):
        """Return the evidence of some trajectories (g,)."""
        rows = is_chosen[self.groups]
        expected = self.expected[is_chosen].sum(axis=0)
        share = is_chosen.mean()
        # The mean square of m independent errors is known to sqrt(2 / m).
        n_errors = max(self.n_errors * share, 1.0)
        by_chance = stats.chi2.isf(REJECT, n_errors) / n_errors - 1
        uncertainty = max(by_chance, 1 - self.is_sure)
        systematic = self.noise * share
        return ChangeEvidence(
            rows=self.rows[rows][:, None],
            motion=self.motion[is_chosen].sum(axis=0),
            noise=systematic + uncertainty * expected,
            bias=np.zeros_like(expected),
            clusters=self.clusters[rows],
            expected=expected,
            systematic=systematic,
            slow=self._slow[:, is_chosen],
            errors=self.errors[rows],
            n_errors=n_errors,
            is_sure=self.is_sure,
        )


def _p_value(changes, variance, n, share):
    """Return the p value of the largest mean square of changes, n of variance (k, k) at most.

    Parameters
    ----------
    changes : ndarray of shape (m, k)
    variance : ndarray of shape (k, k)
        Of one error.
    n : float
        Number of errors.
    share : float
        Of the noise that the choice of the k functions has left.
    """
    # In units of the errors; where one has none, or two are the same, up to round-off.
    square = np.diag(variance)
    unit = np.sqrt(np.maximum(square, _LEAST_VARIANCE * square.max()))
    unit[unit == 0] = 1.0
    correlation = variance / unit / unit[:, None]
    shares, axes = eigh(correlation)
    shares = np.maximum(shares, _RIDGE * (shares.max() or 1.0))
    relative = changes / unit @ axes / np.sqrt(shares)
    largest = np.linalg.norm(relative, 2) ** 2
    k = len(variance)
    # The largest of k independent ones is larger by the edge of a Wishart spectrum.
    edge = (1 + np.sqrt((k - 1) / n)) ** 2
    return stats.chi2.sf(largest / edge, n * share)


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
