"""Generators in the order of how little changes along them.

Index legend: r candidates, k generators, e sources of noise; ``xi`` (r,) are coordinates in the
candidates.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import svd

REJECT = 0.003  # p value below which a set of generators is not zero
EXACT = 1e-11  # relative defect of what is zero but for round-off
BEYOND = 2.0  # a mean defect this many times an estimated floor is not noise
_UNMOVED = 1e-13  # size of a motion relative to the largest that is round-off
_DEPENDENT = 1e-12  # eigenvalue of the motion relative to the largest
_AMPLIFIED = 100.0  # times the round-off of the data, the error of functions that vanish on them
_HIDDEN = 1e-8  # change of a function that the data did not show, relative to the largest


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
    def of(cls, matrix, motion, hidden=None, resolution=0.0):
        """Compute the spectrum of a matrix against the motion.

        Parameters
        ----------
        matrix : ndarray of shape (.., r)
        motion : ndarray of shape (r, r)
            Positive semidefinite.
        hidden : ndarray of shape (.., r), default=None
            Where ``hidden @ xi`` does not vanish, the data say nothing about xi.
        resolution : float, default=0
            Round-off of the data relative to their spread, to which `hidden` is known.
        """
        # Candidates may differ in units by orders of magnitude, but round-off does not move.
        square = np.maximum(np.diag(motion), 0)
        size = np.sqrt(square)
        largest = size.max(initial=0) or 1.0
        is_moving = size > _UNMOVED * largest
        size = np.where(is_moving, size, largest)
        # whitening (r, k): coordinates in which the motion is the identity
        correlation = motion / size / size[:, None]
        weight, axes = np.linalg.eigh(correlation)
        is_independent = weight > _DEPENDENT * weight.max(initial=0)
        weight = weight[is_independent]
        axes = axes[:, is_independent]
        whitening = axes / np.sqrt(weight) / size[:, None]
        if hidden is not None and hidden.size:
            whitening = whitening @ _null_space(hidden @ whitening, resolution)
        M = matrix @ whitening
        # A matrix with as many rows as columns has all its right vectors.
        n_rows, k = M.shape
        n_missing = max(k - n_rows, 0)
        zeros = np.zeros((n_missing, k))
        padded = np.concatenate([M, zeros])
        U, s, Vt = svd(padded, full_matrices=False)
        order = np.argsort(s)
        V = Vt[order].T
        return cls(
            singular_values=s[order],
            left=U[:n_rows, order],
            generators=(whitening @ V).T,
            n_candidates=len(motion),
        )

    def unidentified(self):
        """Return the candidates (k, r) that the data say nothing about."""
        k = len(self.generators)
        if not k:
            return np.eye(self.n_candidates)
        # The right vectors beyond the rank span what the generators leave out.
        _, _, Vt = svd(self.generators)
        return Vt[k:]

    def defect(self, C):
        """Compute the root mean square defect of the span of generators (k, r)."""
        defects = self._coordinates(C) * self.singular_values
        return np.linalg.norm(defects) / np.sqrt(len(C))

    def unit_span(self, C):
        """Return the span of generators (k, r) by others, orthonormal in motion."""
        return self._coordinates(C) @ self.generators

    def unit_coordinates(self, xi):
        """Return a generator (r,) in the spectrum's generators, (k,), scaled to unit motion.

        Zero where the data say nothing about it.
        """
        c = xi @ np.linalg.pinv(self.generators)
        return c / (np.linalg.norm(c) or 1.0)

    def _coordinates(self, C):
        """Return an orthonormal basis of the span of C (k, r), in the spectrum's generators."""
        coordinates = C @ np.linalg.pinv(self.generators)
        Q, _ = np.linalg.qr(coordinates.T)
        return Q.T

    def turned(self, k, pull):
        """Compute the first-order change (r, k, e) of the k smallest generators.

        Generator j moves by ``-V1 S1^-1 pull_j``, towards the other generators ``V1``.

        Parameters
        ----------
        k : int
        pull : ndarray of shape (others, k, e)
            ``U1^T (change of M) v_j`` for the others' left vectors ``U1``.
        """
        V1 = self.generators[k:].T
        s1 = np.maximum(self.singular_values[k:], EXACT)
        return -np.tensordot(V1 / s1, pull, 1)


def _null_space(matrix, resolution):
    """Return columns that span the null space of a tall matrix (m, k) of some relative error."""
    # The triangular factor has the same right vectors, and fewer rows.
    R = np.linalg.qr(matrix, mode="r")
    _, s, Vt = svd(R)
    threshold = max(_HIDDEN, _AMPLIFIED * resolution) * s.max(initial=0)
    rank = np.count_nonzero(s > threshold)
    return Vt[rank:].T
