"""The noise floor of the k smallest generators, for k = 1, 2, .. one after the other.

Index legend: r candidates, k generators, q outputs, p library functions, e sources of noise.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse


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

    def floor(self, k):
        """Return the `NoiseFloor` of the k smallest generators."""
        while len(self._floors) < k:
            self._advance()
        return self._floors[k - 1]

    def _advance(self):
        """Add the floor of one generator more."""
        spectrum = self._evidence.spectrum
        k = len(self._floors)
        released = spectrum.left[:, k]
        others = spectrum.left[:, k + 1 :]
        if k:
            rows = self._rows_of_earlier(released, spectrum.generators[:k])
            self._gram = self._gram + rows.T @ rows
        change = self._evidence.perturbation(spectrum.generators[k])
        self._total += np.sum(change**2)
        # Projected before it is squared: differences of squares would lose half of the digits.
        along_others = others.T @ change
        change = change - others @ along_others
        self._gram = self._gram + change.T @ change
        # Satterthwaite: the chi square with the mean and the variance of the weighted sum.
        mean = max(np.trace(self._gram), 0.0)
        square = np.sum(self._gram**2)
        freedom = mean**2 / square if square > 0 else 1.0
        floor = NoiseFloor(mean, freedom, self._total)
        self._floors.append(floor)

    def _rows_of_earlier(self, u, generators):
        """Compute ``u^T N_j`` for several generators at once.

        Parameters
        ----------
        u : ndarray of shape (q m,)
        generators : ndarray of shape (k, r)

        Returns
        -------
        ndarray of shape (k, e)
        """
        L = self._evidence.L
        estimate = self._evidence.estimate
        from_data = estimate.from_data
        q = len(estimate.coef)
        p = L.n_functions
        k, r = generators.shape
        tests = u.reshape(q, -1).T  # (m, q)
        if L.T is not None:
            tests = L.T @ tests
        # Taken to the few tests first, D stays sparse and small.
        in_every_block = sparse.kron(
            sparse.eye_array(r),
            sparse.csr_array(tests),
        )
        moved = L.D @ in_every_block
        moved = moved.toarray().reshape(p, r, q)
        # a: candidate, j: generator, i: output, p: library function, u: direction in the data
        rows = np.einsum(
            "ja,pai,pu->jiu",
            generators,
            moved,
            from_data,
            optimize=True,
        )
        if L.B is not None:
            values = (L.E @ tests).T @ from_data
            B = np.tensordot(generators, L.B, 1)
            rows = rows - np.einsum("jil,iu->jlu", B, values)
        rows = rows.reshape(k, -1) / self._evidence.output_scale
        if np.ndim(estimate.noise) == 2:
            return rows @ estimate.noise
        return rows * estimate.noise
