"""What is penalised: convex functions with a proximal operator.

A penalty is any object with ``value(Z)`` and ``prox(Z, step)``, for matrices Z. The proximal
operator is the minimiser over V of ``value(V) + ||V - Z||^2 / (2 step)``. A norm that solvers are
to certify has ``polar(Y)`` besides, its dual norm: ``max <Y, Z>`` over the Z of value one.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Penalty(Protocol):
    """What solvers need of a penalty; duality gaps need ``polar(Y)`` too."""

    def value(self, Z): ...

    def prox(self, Z, step): ...


@dataclass(frozen=True)
class NuclearNorm:
    """``alpha * sum of singular values``: low rank, few broken symmetries."""

    alpha: float = 1.0

    def value(self, Z):
        """The penalty of a matrix `Z`."""
        return self.alpha * np.linalg.svd(Z, compute_uv=False).sum()

    def prox(self, Z, step):
        """Singular values shrunk by ``step * alpha``."""
        U, s, Vt = np.linalg.svd(Z, full_matrices=False)
        return (U * np.maximum(s - step * self.alpha, 0)) @ Vt

    def polar(self, Y):
        """Largest singular value over alpha."""
        return _over(np.linalg.norm(Y, 2) if Y.size else 0.0, self.alpha)


@dataclass(frozen=True)
class GroupNorm:
    """``alpha * sum_i ||Z_i||`` over rows: switches whole rows off."""

    alpha: float = 1.0

    def value(self, Z):
        """The penalty of a matrix `Z`."""
        return self.alpha * np.linalg.norm(Z, axis=1).sum()

    def prox(self, Z, step):
        """Rows shortened by ``step * alpha``."""
        size = np.linalg.norm(Z, axis=1, keepdims=True)
        threshold = step * self.alpha
        return Z * np.where(size > threshold, 1 - threshold / np.where(size > 0, size, 1), 0)

    def polar(self, Y):
        """Longest row over alpha."""
        return _over(np.linalg.norm(Y, axis=1).max(initial=0), self.alpha)


def _over(size, alpha):
    """Size over alpha, where a norm that is switched off has an infinite polar."""
    return float(size / alpha) if alpha else (np.inf if size else 0.0)
