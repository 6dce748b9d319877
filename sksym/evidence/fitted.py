"""Evidence from a fitted function: its Lie derivatives, and how sure they are.

Index legend: r candidates, k generators, q outputs, p library functions, m tests, e sources of
noise; ``xi`` (r,) are coordinates in the candidates.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import stats

from sksym._linalg import PlainState
from sksym.evidence.coefficients import Estimate
from sksym.evidence.defects import defect_from_coefficients
from sksym.evidence.floor import FloorRecursion
from sksym.evidence.spectrum import EXACT, REJECT, Spectrum
from sksym.lie_derivative import LieDerivative

_UNCHANGED = 1e-10  # change of a function relative to those that the data show, that is none


@dataclass(frozen=True, eq=False)
class FittedEvidence(PlainState):
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

    def with_estimate(self, estimate):
        """Return the same evidence with other errors."""
        return replace(self, estimate=estimate)

    @property
    def is_testable(self):
        """Whether anything is known of the noise."""
        return self.estimate.dof > 0

    @cached_property
    def spectrum(self):
        """The candidates in the order of how little the function changes along them."""
        matrix = self.L.symmetry_matrix(self.coef) / self.output_scale
        return Spectrum.of(matrix, self.motion, self._hidden, self.estimate.resolution)

    @property
    def _hidden(self):
        """How functions that vanish on the data change, (.., r): there dF was never seen."""
        # Outputs that do not move change alike, so that one of them shows it.
        n_outputs = 1 if self.L.B is None else len(self.coef)
        changes = []
        for function in self.estimate.undetermined.T:
            for output in np.eye(n_outputs):
                coef = np.outer(output, function)
                changes.append(self.L.symmetry_matrix(coef))
        if not changes:
            return None
        changes = np.concatenate(changes)
        # Rotations leave what vanishes on a sphere alone: the largest change is round-off then.
        speed = np.sqrt(np.diag(self.motion))
        seen = np.linalg.norm(self.estimate.to_data) * speed
        return None if (np.abs(changes) <= _UNCHANGED * seen).all() else changes

    def perturbation(self, xi):
        """Compute the change of ``vec L(xi, coef)`` for unit noise.

        L is linear in coef, so the change is ``L(xi, error of coef)``.

        Parameters
        ----------
        xi : ndarray of shape (r,)

        Returns
        -------
        ndarray of shape (q m, e)
        """
        L = self.L
        q = len(self.coef)
        from_data = self.estimate.from_data
        change = L.changes_of(from_data.T, xi).T
        # Outputs do not mix but by B.
        if q > 1:
            change = np.kron(np.eye(q), change)
        if L.B is not None:
            B = np.tensordot(xi, L.B, 1)
            values = L.values.T @ from_data
            change = change - np.kron(B, values)
        change = change / self.output_scale
        noise = self.estimate.noise
        if np.ndim(noise) == 2:  # a factor of the covariance
            return change @ noise
        return change * noise

    def floor_test(self, k):
        """Test whether the k smallest singular values may be zero.

        Under the hypothesis that the k generators are symmetries, the sum of the squares of their
        singular values is the part of the coefficient noise that the other generators do not
        take up, a weighted sum of chi squares (Satterthwaite's approximation).

        Returns
        -------
        consistent : bool
        floor : float
            What noise contributes to each, in the root mean square.
        """
        s = self.spectrum.singular_values
        dof = self.estimate.dof
        if k > len(s) or not self.is_testable:
            return True, np.inf  # nothing to test, or to test with
        floor = self._floors.floor(k)
        mean = floor.mean
        freedom = floor.freedom
        # Noise that does not touch the generators at all: every function has such symmetries.
        if mean <= EXACT**2 * floor.total:
            return True, 0.0 if self.common else np.inf
        defect = np.sum(s[:k] ** 2)
        if np.isinf(dof):
            p_value = stats.chi2.sf(freedom * defect / mean, freedom)
        else:
            p_value = stats.f.sf(defect / mean, freedom, dof)
        is_exact = np.sqrt(defect) <= EXACT
        return p_value > REJECT or is_exact, np.sqrt(mean / k)

    @cached_property
    def _floors(self):
        """The noise floors of k = 1, 2, .., computed as they are asked for."""
        return FloorRecursion(self)

    def noise_of_smallest(self, k):
        """Compute the root mean square that noise contributes to the k smallest generators."""
        if not self.is_testable:
            return np.inf
        return np.sqrt(self._floors.floor(k).total / k)

    def noise_of(self, generators):
        """Compute the root mean square that noise contributes to generators (k, r)."""
        if not self.is_testable:
            return np.inf
        squares = []
        for xi in generators:
            change = self.perturbation(xi)
            squares.append(np.sum(change**2))
        return np.sqrt(np.mean(squares))

    def defect(self, xi):
        """Measure the `Defect` along one generator `xi` (r,), of any size."""
        return defect_from_coefficients(self, xi)

    def changes(self, k):
        """Compute the change (r, k, e) of the k smallest generators for unit noise, or None.

        To first order by perturbation of the singular vectors, see `Spectrum.turned`.
        """
        if not self.is_testable:
            return None
        return self.spectrum.turned(k, self._floors.pull(k))
