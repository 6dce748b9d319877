"""Evidence from Lie derivatives that are known sample by sample, with estimated errors.

Index legend: n samples, c components of the Lie derivative, r candidates, k generators, e sources
of noise.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sksym.evidence.defects import defect_from_samples
from sksym.evidence.spectrum import BEYOND, EXACT, Spectrum


@dataclass(frozen=True, eq=False)
class SampledEvidence:
    """Lie derivatives known sample by sample, with errors that were estimated.

    Attributes
    ----------
    rows : ndarray of shape (n, c, r)
        The matrix; its square is a mean over the samples.
    motion : ndarray of shape (r, r)
    noise, bias : ndarray of shape (r, r)
        The mean square that chance and systematic errors contribute along xi are
        ``xi^T noise xi`` and, where positive, ``xi^T bias xi``.
    clusters : ndarray of shape (n,)
        Samples with a common label have errors in common.
    """

    rows: np.ndarray
    motion: np.ndarray
    noise: np.ndarray
    bias: np.ndarray
    clusters: np.ndarray

    @cached_property
    def spectrum(self):
        """The candidates in the order of how little the samples change along them."""
        n, c, r = self.rows.shape
        matrix = self.rows.reshape(n * c, r)
        return Spectrum.of(matrix, self.motion)

    def floor_test(self, k):
        """Test whether the k smallest singular values may be zero.

        Returns
        -------
        consistent : bool
        floor : float
            What errors contribute to each, in the root mean square.
        """
        n, c, _ = self.rows.shape
        n_generators = len(self.spectrum.generators)
        # Among more generators than rows there are some along which nothing changes, whatever
        # the function.
        if k > n_generators or n * c < n_generators:
            return True, np.inf
        floor, defect = self._root_means[:, k - 1]
        # The floor is an estimate itself: a defect of up to twice as much is not rejected.
        return defect <= BEYOND * floor + EXACT, floor

    @cached_property
    def _root_means(self):
        """Root mean squares over the k smallest, for every k: of the errors, of the defects."""
        V = self.spectrum.generators
        s = self.spectrum.singular_values
        # xi^T noise xi and xi^T bias xi, for every generator xi
        noise_of_each = np.sum((V @ self.noise) * V, axis=1)
        bias_of_each = np.sum((V @ self.bias) * V, axis=1)
        chance = np.cumsum(noise_of_each)
        systematic = np.cumsum(bias_of_each)
        # Differences of estimates may be negative, which says that there is nothing.
        chance = np.maximum(chance, 0)
        systematic = np.maximum(systematic, 0)
        defects = np.cumsum(s**2)
        squares = np.stack(
            [
                chance + systematic,
                defects,
            ]
        )
        k = np.arange(1, len(s) + 1)
        return np.sqrt(squares / k)

    def noise_of(self, generators):
        """Compute the root mean square that errors contribute to generators (k, r)."""
        k = len(generators)
        chance = np.sum((generators @ self.noise) * generators)
        systematic = np.sum((generators @ self.bias) * generators)
        square = chance + max(systematic, 0.0)
        return np.sqrt(max(square, 0.0) / k)

    def defect(self, xi):
        """Measure the `Defect` along one generator `xi` (r,), of any size."""
        return defect_from_samples(self, xi)

    def changes(self, k):
        """Compute the change of the k smallest generators, a column per cluster.

        To first order by perturbation of the singular vectors, see `Spectrum.turned`. The squares
        of the changes add up to variances as those of clusters in a sandwich covariance do.

        Returns
        -------
        ndarray of shape (r, k, e)
        """
        spectrum = self.spectrum
        V = spectrum.generators[:k]
        V1 = spectrum.generators[k:]
        s1 = np.maximum(spectrum.singular_values[k:], EXACT)
        n_others = len(V1)
        at_zero = self.rows @ V.T
        others = self.rows @ V1.T / s1
        # n: sample, c: component, l: other generator, k: one of the smallest
        pull_of_sample = np.einsum("ncl,nck->nlk", others, at_zero)
        label, cluster = np.unique(self.clusters, return_inverse=True)
        n_clusters = len(label)
        pull = np.zeros((n_clusters, n_others, k))
        np.add.at(pull, cluster, pull_of_sample)
        # Errors common to all clusters: as large as a defect that passes, in any direction.
        largest = BEYOND * self.noise_of(V)
        size = largest / np.sqrt(max(n_others, 1))
        directions = np.eye(n_others) * size
        common = np.broadcast_to(
            directions[:, None],
            (n_others, k, n_others),
        )
        pull = np.concatenate(
            [pull.transpose(1, 2, 0), common],
            axis=2,
        )
        return spectrum.turned(k, pull)
