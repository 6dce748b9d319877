"""What data say about candidate generators, and how sure that is.

Every kind of data ends in a matrix whose columns belong to the candidates and whose rows are
tests: the generators along which little changes are its small singular vectors, relative to how
far they move the data (`Spectrum`). Two kinds of evidence know the noise of that matrix:
`FittedEvidence` from the covariance of fitted coefficients, `SampledEvidence` from errors that
were estimated sample by sample. Both answer what `verdict` needs: is a set of generators
compatible with zero (`floor_test`), and how do they move with the noise (`changes`).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse, stats
from scipy.linalg import svd

from sksym.lie_derivative import LieDerivative

REJECT = 0.003  # p value below which a set of generators is not zero
REFIT_REJECT = 0.001  # p value below which an enforced symmetry spoils the fit
EXACT = 1e-11  # relative defect of what is zero but for round-off
BEYOND = 2.0  # a mean defect this many times an estimated floor is not noise


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Generators in the order of ``|M xi|^2 / xi^T motion xi``.

    Attributes
    ----------
    singular_values : ndarray of shape (k,)
        Square roots of those quotients, ascending.
    left : ndarray of shape (rows of M, k)
    generators : ndarray of shape (k, r)
        Rows of unit motion. Candidates that do not move the data, or whose effect the data do not
        determine, are left out.
    n_candidates : int
    """

    singular_values: np.ndarray
    left: np.ndarray
    generators: np.ndarray
    n_candidates: int

    @classmethod
    def of(cls, matrix, motion, hidden=None):
        """Spectrum of a matrix (.., r) against the motion (r, r), its units alike.

        Where ``hidden @ xi`` does not vanish, the data say nothing about xi.
        """
        # Candidates may differ in units by orders of magnitude, but round-off does not move.
        size = np.sqrt(np.maximum(np.diag(motion), 0))
        largest = size.max(initial=0) or 1.0
        size = np.where(size > 1e-13 * largest, size, largest)
        weight, axes = np.linalg.eigh(motion / size / size[:, None])
        moving = weight > 1e-12 * weight.max(initial=0)
        white = axes[:, moving] / np.sqrt(weight[moving]) / size[:, None]
        if hidden is not None and hidden.size:
            _, s, Vt = svd(np.linalg.qr(hidden @ white, mode="r"))
            known = int((s > 1e-8 * s.max(initial=0)).sum())
            white = white @ Vt[known:].T
        M = matrix @ white
        fill = max(M.shape[1] - M.shape[0], 0)  # a tall matrix has all its right vectors
        U, s, Vt = svd(np.pad(M, ((0, fill), (0, 0))), full_matrices=False)
        order = np.argsort(s)
        return cls(s[order], U[: len(M), order], (white @ Vt[order].T).T, len(motion))

    def unidentified(self):
        """Candidates (k, r) that the data say nothing about: the complement of `generators`."""
        if not len(self.generators):
            return np.eye(self.n_candidates)
        return svd(self.generators)[2][len(self.generators) :]

    def defect(self, C):
        """Root mean square defect of the span of generators (k, r)."""
        return np.linalg.norm(self._coordinates(C) * self.singular_values) / np.sqrt(len(C))

    def unit_span(self, C):
        """The span of generators (k, r) by others, orthonormal in motion."""
        return self._coordinates(C) @ self.generators

    def _coordinates(self, C):
        return np.linalg.qr((C @ np.linalg.pinv(self.generators)).T)[0].T

    def turned(self, k, pull):
        """First-order change (r, k, e) of the k smallest generators.

        `pull` (rest, k, e) is ``U1^T (change of M) v_j`` for the others' left vectors ``U1``:
        generator j moves by ``-V1 S1^-1 pull_j``.
        """
        others, s = self.generators[k:].T, np.maximum(self.singular_values[k:], EXACT)
        return -np.tensordot(others / s, pull, 1)


@dataclass(frozen=True, eq=False)
class FittedEvidence:
    """A function fitted in a library, and the candidates that might leave it unchanged.

    The error of the coefficients is known in coordinates ``u = coef @ seen`` that are
    orthonormal on the data.

    Attributes
    ----------
    L : LieDerivative
        Tests orthonormal on the data: norms are root mean squares over the samples.
    coef : ndarray of shape (q, p)
    seen : ndarray of shape (p, rank)
    spread : ndarray of shape (p, rank)
        Back again: ``coef = u @ spread.T``.
    unseen : ndarray of shape (p, p - rank)
        Functions of the library that vanish on the data.
    noise : ndarray of shape (q rank, e) or (q rank,), or float
        The error of ``u.ravel()`` is ``noise @ N(0, I)``; a vector: of each by itself; a float:
        the same for all.
    dof : float
        Degrees of freedom behind the noise; 0: nothing is known of it.
    n : float
        Number of observations, outputs counted.
    motion : ndarray of shape (r, r)
        Mean square of the candidate fields on inputs and outputs, in units of their spread.
    output_scale : float
    common : bool
        Whether symmetries that every function of the library has are evidence too: those of a
        level set are, as every conic is symmetric; those of a fitted function are not.
    """

    L: LieDerivative
    coef: np.ndarray
    seen: np.ndarray
    spread: np.ndarray
    unseen: np.ndarray
    noise: np.ndarray | float
    dof: float
    n: float
    motion: np.ndarray
    output_scale: float
    common: bool = False

    @cached_property
    def spectrum(self):
        outputs = np.eye(1 if self.L.B is None else len(self.coef))
        hidden = [self.L.symmetry_matrix(np.outer(e, c)) for c in self.unseen.T for e in outputs]
        return Spectrum.of(
            self.L.symmetry_matrix(self.coef) / self.output_scale,
            self.motion,
            np.concatenate(hidden) if hidden else None,
        )

    @cached_property
    def observed(self):
        """The fit in coordinates of unit noise."""
        return self.whitened(self.coef.reshape(1, -1))[0]

    def perturbation(self, xi):
        """Change of ``vec L(xi, coef)`` for unit noise: (q m, e)."""
        m, q = self.L.E.shape[1], len(self.coef)
        D = (self.L.D @ sparse.kron(xi[:, None], sparse.eye_array(m))).T @ self.spread
        change = np.kron(np.eye(q), D)
        if self.L.B is not None:
            change = change - np.kron(np.tensordot(xi, self.L.B, 1), self.L.E.T @ self.spread)
        change = change / self.output_scale
        return change @ self.noise if np.ndim(self.noise) == 2 else change * self.noise

    def floor_test(self, k):
        """Whether the k smallest singular values may be zero, and their noise floor.

        Under the hypothesis that the k generators are symmetries, the sum of the squares of their
        singular values is the part of the coefficient noise that the other generators do not
        take up, a weighted sum of chi squares (Satterthwaite's approximation).
        """
        spectrum = self.spectrum
        if k > len(spectrum.generators) or self.dof <= 0:
            return True, np.inf  # nothing to test, or to test with
        others = spectrum.left[:, k:]
        gram, whole = 0.0, 0.0
        for xi in spectrum.generators[:k]:
            change = self.perturbation(xi)
            whole += np.sum(change**2)
            change = change - others @ (others.T @ change)
            gram = gram + change.T @ change
        mean, square = np.trace(gram), np.sum(gram**2)
        if mean <= EXACT**2 * whole:
            return True, 0.0 if self.common else np.inf
        defect = np.sum(spectrum.singular_values[:k] ** 2)
        p = stats.f.sf(defect / mean, mean**2 / square, self.dof)
        return p > REJECT or np.sqrt(defect) <= EXACT, np.sqrt(mean / k)

    def noise_of(self, generators):
        """Root mean square that noise contributes to the defect of generators (k, r)."""
        if self.dof <= 0:
            return np.inf
        changes = [self.perturbation(xi) for xi in generators]
        return np.sqrt(sum(np.sum(change**2) for change in changes) / len(changes))

    def changes(self, k):
        """Change (r, k, e) of the k smallest generators for unit noise; None: not known."""
        if self.dof <= 0:
            return None
        spectrum = self.spectrum
        U1 = spectrum.left[:, k:]
        pull = [U1.T @ self.perturbation(xi) for xi in spectrum.generators[:k]]
        return spectrum.turned(k, np.stack(pull, axis=1))

    def whitened(self, basis):
        """Functions (k, q p) in coordinates of unit noise on the data: (k, e)."""
        q = len(self.coef)
        u = (np.reshape(basis, (len(basis) * q, -1)) @ self.seen).reshape(len(basis), -1)
        if np.ndim(self.noise) == 2:
            return np.linalg.lstsq(self.noise, u.T, rcond=None)[0].T
        return u / self.noise

    def misfit(self, basis):
        """What is left of the fit outside a subspace (k, q p), in unit noise: (vector, rank)."""
        design = self.whitened(basis).T
        w, _, rank, _ = np.linalg.lstsq(design, self.observed, rcond=1e-11)
        return self.observed - design @ w, rank

    def information(self, basis, n_tuned=0):
        """BIC of the fit inside a subspace against the full one; infinite where it is rejected.

        No symmetry has 0; `n_tuned` parameters of the subspace were fitted too.
        """
        left, rank = self.misfit(basis)
        lost = len(self.observed) - rank - n_tuned
        if lost <= 0:
            return np.inf
        extra = max(left @ left - EXACT**2 * (self.observed @ self.observed), 0.0)
        if stats.f.sf(extra / lost, lost, self.dof) <= REFIT_REJECT:
            return np.inf
        return self.n * np.log1p(extra / self.dof) - lost * np.log(self.n)


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
        """Whether the k smallest singular values may be zero, and their noise floor."""
        spectrum = self.spectrum
        if k > len(spectrum.generators):
            return True, np.inf
        floor, defect = self._means[:, k - 1]
        return defect <= BEYOND * floor + EXACT, floor

    @cached_property
    def _means(self):
        """Root mean squares over the k smallest, for every k: of the errors, of the defects."""
        V, s = self.spectrum.generators, self.spectrum.singular_values
        chance, systematic = (
            np.cumsum(np.sum((V @ form) * V, axis=1)) for form in (self.noise, self.bias)
        )
        squares = np.stack([np.maximum(chance, 0) + np.maximum(systematic, 0), np.cumsum(s**2)])
        return np.sqrt(squares / np.arange(1, len(s) + 1))

    def noise_of(self, generators):
        """Root mean square that errors contribute to the defect of generators (k, r)."""
        chance, systematic = (
            np.sum((generators @ form) * generators) for form in (self.noise, self.bias)
        )
        return np.sqrt(max(chance + max(systematic, 0.0), 0.0) / len(generators))

    def changes(self, k):
        """Change (r, k, e) of the k smallest generators, a column per cluster (sandwich)."""
        spectrum = self.spectrum
        V, V1 = spectrum.generators[:k], spectrum.generators[k:]
        s1 = np.maximum(spectrum.singular_values[k:], EXACT)
        at_zero, others = self.rows @ V.T, self.rows @ V1.T / s1
        label, index = np.unique(self.clusters, return_inverse=True)
        pull = np.zeros((len(label), len(V1), k))
        np.add.at(pull, index, np.einsum("ncl,nck->nlk", others, at_zero))
        # Errors common to all clusters: as large as a defect that passes, in any direction.
        common = np.eye(len(V1)) * BEYOND * self.noise_of(V) / np.sqrt(max(len(V1), 1))
        common = np.broadcast_to(common[:, None], (len(V1), k, len(V1)))
        return spectrum.turned(k, np.concatenate([pull.transpose(1, 2, 0), common], axis=2))
