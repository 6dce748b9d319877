"""Evidence from a fitted function: its Lie derivatives and their errors."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from sksym.evidence.coefficients import Estimate
from sksym.evidence.floor import FloorRecursion
from sksym.evidence.spectrum import EXACT, REJECT, Spectrum
from sksym.lie_derivative import LieDerivative


@dataclass(frozen=True, eq=False)
class FittedEvidence:
    """A function fitted in a library, and the candidates that might leave it unchanged.

    Attributes
    ----------
    L : LieDerivative
        Of the candidates, in their own generators; tests orthonormal on the data: norms are root
        mean squares over the samples.
    estimate : Estimate
        The coefficients and their errors.
    motion : ndarray of shape (r, r)
        Mean square of the candidate fields on inputs and outputs, in units of their spread.
    output_scale : float
    common : bool
        Whether symmetries that every function of the library has are evidence too: those of a
        level set are, as every conic is symmetric; those of a fitted function are not.
    """

    L: LieDerivative
    estimate: Estimate
    motion: np.ndarray
    output_scale: float
    common: bool = False

    @property
    def coef(self):
        """The coefficients (q, p) of the fit."""
        return self.estimate.coef

    @property
    def is_testable(self):
        """Whether anything is known of the noise."""
        return self.estimate.dof > 0

    @cached_property
    def spectrum(self):
        matrix = self.L.symmetry_matrix(self.coef) / self.output_scale
        return Spectrum.of(matrix, self.motion, self._hidden)

    @property
    def _hidden(self):
        """How functions that vanish on the data change, (.., r): there dF was never seen."""
        outputs = np.eye(1 if self.L.B is None else len(self.coef))
        changes = [
            self.L.symmetry_matrix(np.outer(e, c))
            for c in self.estimate.undetermined.T
            for e in outputs
        ]
        return np.concatenate(changes) if changes else None

    def perturbation(self, xi):
        """Compute the change of ``vec L(xi, coef)`` for unit noise: (q m, e)."""
        q = len(self.coef)
        from_data = self.estimate.from_data
        change = np.kron(np.eye(q), self.L.along(xi).T @ from_data)
        if self.L.B is not None:
            B = np.tensordot(xi, self.L.B, 1)
            change = change - np.kron(B, self.L.values.T @ from_data)
        change = change / self.output_scale
        noise = self.estimate.noise
        return change @ noise if np.ndim(noise) == 2 else change * noise

    def floor_test(self, k):
        """Test whether the k smallest singular values may be zero; return that and their floor.

        Under the hypothesis that the k generators are symmetries, the sum of the squares of their
        singular values is the part of the coefficient noise that the other generators do not
        take up, a weighted sum of chi squares (Satterthwaite's approximation).
        """
        spectrum = self.spectrum
        if k > len(spectrum.generators) or not self.is_testable:
            return True, np.inf  # nothing to test, or to test with
        floor = self._floors.floor(k)
        mean = floor.mean
        if mean <= EXACT**2 * floor.total:
            return True, 0.0 if self.common else np.inf
        defect = np.sum(spectrum.singular_values[:k] ** 2)
        freedom = floor.freedom
        if np.isinf(self.estimate.dof):
            p_value = stats.chi2.sf(freedom * defect / mean, freedom)
        else:
            p_value = stats.f.sf(defect / mean, freedom, self.estimate.dof)
        return p_value > REJECT or np.sqrt(defect) <= EXACT, np.sqrt(mean / k)

    @cached_property
    def _floors(self):
        return FloorRecursion(self)

    def noise_of(self, generators):
        """Compute the root mean square that noise contributes to generators (k, r)."""
        if not self.is_testable:
            return np.inf
        squares = [np.sum(self.perturbation(xi) ** 2) for xi in generators]
        return np.sqrt(np.mean(squares))

    def changes(self, k):
        """Compute the change (r, k, e) of the k smallest generators for unit noise, or None."""
        if not self.is_testable:
            return None
        spectrum = self.spectrum
        U1 = spectrum.left[:, k:]
        pull = [U1.T @ self.perturbation(xi) for xi in spectrum.generators[:k]]
        return spectrum.turned(k, np.stack(pull, axis=1))
