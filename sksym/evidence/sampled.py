"""Evidence from Lie derivatives that are known sample by sample, with estimated errors."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

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
        n, c, r = self.rows.shape
        return Spectrum.of(self.rows.reshape(n * c, r), self.motion)

    def floor_test(self, k):
        """Test whether the k smallest singular values may be zero; return that and their floor."""
        spectrum = self.spectrum
        if k > len(spectrum.generators):
            return True, np.inf
        floor, defect = self._root_means[:, k - 1]
        return defect <= BEYOND * floor + EXACT, floor

    @cached_property
    def _root_means(self):
        """Root mean squares over the k smallest, for every k: of the errors, of the defects."""
        V = self.spectrum.generators
        s = self.spectrum.singular_values
        chance = np.cumsum(np.sum((V @ self.noise) * V, axis=1))
        systematic = np.cumsum(np.sum((V @ self.bias) * V, axis=1))
        errors = np.maximum(chance, 0) + np.maximum(systematic, 0)
        k = np.arange(1, len(s) + 1)
        return np.sqrt(np.stack([errors, np.cumsum(s**2)]) / k)

    def noise_of(self, generators):
        """Compute the root mean square that errors contribute to generators (k, r)."""
        chance = np.sum((generators @ self.noise) * generators)
        systematic = np.sum((generators @ self.bias) * generators)
        return np.sqrt(max(chance + max(systematic, 0.0), 0.0) / len(generators))

    def changes(self, k):
        """Compute the change (r, k, e) of the k smallest generators, a column per cluster."""
        spectrum = self.spectrum
        V = spectrum.generators[:k]
        V1 = spectrum.generators[k:]
        s1 = np.maximum(spectrum.singular_values[k:], EXACT)
        at_zero = self.rows @ V.T
        others = self.rows @ V1.T / s1
        label, index = np.unique(self.clusters, return_inverse=True)
        # n: sample, c: component, l: other generator, k: one of the smallest
        pull = np.zeros((len(label), len(V1), k))
        np.add.at(pull, index, np.einsum("ncl,nck->nlk", others, at_zero))
        # Errors common to all clusters: as large as a defect that passes, in any direction.
        size = BEYOND * self.noise_of(V) / np.sqrt(max(len(V1), 1))
        common = np.eye(len(V1)) * size
        common = np.broadcast_to(common[:, None], (len(V1), k, len(V1)))
        return spectrum.turned(k, np.concatenate([pull.transpose(1, 2, 0), common], axis=2))
