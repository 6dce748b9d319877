"""
A penalty of your own: few rows, and few entries in each
========================================================

A penalty is a frozen dataclass with its value and its proximal map, the minimiser over W of
``step * value(W) + |W - Z|^2 / 2``. For a sum of two penalties that is seldom one map after the
other; here it is, in one of the two orders, and ``assert_prox`` knows which.
"""

from dataclasses import dataclass

import numpy as np

from sksym.testing import assert_prox


@dataclass(frozen=True)
class SparseRows:
    """``alpha * sum_ij |Z_ij| + beta * sum_i |Z_i|``, with Z_i the rows."""

    alpha: float = 1.0
    beta: float = 1.0

    def value(self, Z):
        return self.alpha * np.abs(Z).sum() + self.beta * np.linalg.norm(Z, axis=1).sum()

    def prox(self, Z, step):
        return shrink_rows(shrink_entries(Z, step * self.alpha), step * self.beta)


class WrongOrder(SparseRows):
    def prox(self, Z, step):
        return shrink_entries(shrink_rows(Z, step * self.beta), step * self.alpha)


def shrink_entries(Z, threshold):
    return np.sign(Z) * np.maximum(np.abs(Z) - threshold, 0)


def shrink_rows(Z, threshold):
    norms = np.linalg.norm(Z, axis=1, keepdims=True)
    return Z * np.maximum(1 - threshold / np.maximum(norms, np.finfo(float).tiny), 0)


Z = np.random.default_rng(0).normal(size=(6, 4))
Z[:2] *= 0.3
for penalty in [SparseRows(), SparseRows(alpha=0.0), SparseRows(0.2, 3.0)]:
    assert_prox(penalty, Z, step=0.5)

shrunk = SparseRows().prox(Z, 0.5)
print(f"{np.sum(~shrunk.any(axis=1))} of 6 rows and {np.sum(shrunk == 0)} of 24 entries are zero")

try:
    assert_prox(WrongOrder(), Z, step=0.5)
except AssertionError as error:
    print("the other order fails:", str(error).strip().splitlines()[0])
else:
    raise AssertionError("assert_prox did not notice the wrong order")
