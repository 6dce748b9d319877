"""The noise floor of the k smallest generators, for k = 1, 2, .. one after the other.

Index legend: r candidates, k generators, q outputs, p library functions, e sources of noise.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NoiseFloor:
    """What the noise of the coefficients contributes to the k smallest singular values.

    Attributes
    ----------
    mean : float
        Expected sum of their squares, under the hypothesis that the k generators are symmetries.
    freedom : float
        Degrees of freedom of that sum, by Satterthwaite's approximation.
    total : float
        The same sum before the other generators take up their part.
    """

    mean: float
    freedom: float
    total: float


class FloorRecursion:
    """Noise floors by a recursion in k.

    With ``N_j`` the change of ``vec L(v_j, coef)`` for unit noise and ``P_k`` the projector away
    from the left vectors of all but the k smallest generators, the Gram matrix is
    ``G_k = sum_(j <= k) N_j^T P_k N_j``. Because ``P_(k+1) = P_k + u u^T``, with u the left vector
    that is released, one step costs one new ``N_j`` and one row ``u^T N_j`` of each earlier one.

    Parameters
    ----------
    evidence : FittedEvidence
    """

    def __init__(self, evidence):
        self._evidence = evidence
        self._gram = 0.0
        self._total = 0.0
        self._floors = []
        self._along_left = []  # u^T N_j for all left vectors u, (K, e)

    def floor(self, k):
        """Return the `NoiseFloor` of the k smallest generators."""
        while len(self._floors) < k:
            self._advance()
        return self._floors[k - 1]

    def pull(self, k):
        """Return how noise pulls the k smallest generators towards the others.

        Returns
        -------
        ndarray of shape (others, k, e)
            ``U1^T (change of M) v_j`` for the others' left vectors ``U1``.
        """
        self.floor(k)
        along_others = [along_left[k:] for along_left in self._along_left[:k]]
        return np.stack(along_others, axis=1)

    def _advance(self):
        """Add the floor of one generator more."""
        spectrum = self._evidence.spectrum
        k = len(self._floors)
        if k:
            released = np.array([along_left[k] for along_left in self._along_left])
            self._gram = self._gram + released.T @ released
        change = self._evidence.perturbation(spectrum.generators[k])
        self._total += np.sum(change**2)
        along_left = spectrum.left.T @ change
        self._along_left.append(along_left)
        # Projected before it is squared: differences of squares would lose half of the digits.
        change = change - spectrum.left[:, k + 1 :] @ along_left[k + 1 :]
        self._gram = self._gram + change.T @ change
        # Satterthwaite: the chi square with the mean and the variance of the weighted sum.
        mean = max(np.trace(self._gram), 0.0)
        square = np.sum(self._gram**2)
        freedom = mean**2 / square if square > 0 else 1.0
        floor = NoiseFloor(mean, freedom, self._total)
        self._floors.append(floor)
