"""Generators in the order of how little changes along them."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import svd

REJECT = 0.003  # p value below which a set of generators is not zero
EXACT = 1e-11  # relative defect of what is zero but for round-off
BEYOND = 2.0  # a mean defect this many times an estimated floor is not noise
_UNMOVED = 1e-13  # size of a motion relative to the largest that is round-off
_DEPENDENT = 1e-12  # eigenvalue of the motion relative to the largest
_HIDDEN = 1e-8


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
        """Compute the spectrum of a matrix (.., r) against the motion (r, r), its units alike.

        Where ``hidden @ xi`` does not vanish, the data say nothing about xi.
        """
        # Candidates may differ in units by orders of magnitude, but round-off does not move.
        size = np.sqrt(np.maximum(np.diag(motion), 0))
        largest = size.max(initial=0) or 1.0
        size = np.where(size > _UNMOVED * largest, size, largest)
        weight, axes = np.linalg.eigh(motion / size / size[:, None])
        moving = weight > _DEPENDENT * weight.max(initial=0)
        white = axes[:, moving] / np.sqrt(weight[moving]) / size[:, None]
        if hidden is not None and hidden.size:
            white = white @ _null_space(hidden @ white)
        M = matrix @ white
        # A tall matrix has all its right vectors.
        missing = max(M.shape[1] - M.shape[0], 0)
        U, s, Vt = svd(np.pad(M, ((0, missing), (0, 0))), full_matrices=False)
        order = np.argsort(s)
        generators = (white @ Vt[order].T).T
        return cls(s[order], U[: len(M), order], generators, len(motion))

    def unidentified(self):
        """Return the candidates (k, r) that the data say nothing about."""
        if not len(self.generators):
            return np.eye(self.n_candidates)
        return svd(self.generators)[2][len(self.generators) :]

    def defect(self, C):
        """Compute the root mean square defect of the span of generators (k, r)."""
        return np.linalg.norm(self._coordinates(C) * self.singular_values) / np.sqrt(len(C))

    def unit_span(self, C):
        """Return the span of generators (k, r) by others, orthonormal in motion."""
        return self._coordinates(C) @ self.generators

    def _coordinates(self, C):
        return np.linalg.qr((C @ np.linalg.pinv(self.generators)).T)[0].T

    def turned(self, k, pull):
        """Compute the first-order change (r, k, e) of the k smallest generators.

        `pull` (others, k, e) is ``U1^T (change of M) v_j`` for the others' left vectors ``U1``:
        generator j moves by ``-V1 S1^-1 pull_j``.
        """
        others = self.generators[k:].T
        s = np.maximum(self.singular_values[k:], EXACT)
        return -np.tensordot(others / s, pull, 1)


def _null_space(matrix):
    """Return columns that span the null space of a tall matrix."""
    _, s, Vt = svd(np.linalg.qr(matrix, mode="r"))
    rank = int((s > _HIDDEN * s.max(initial=0)).sum())
    return Vt[rank:].T
