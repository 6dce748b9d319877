"""Penalties: the prox is the minimiser it claims to be."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from cases import PENALTIES
from sksym import GroupNorm, NuclearNorm
from sksym.testing import assert_prox

rows = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=list(PENALTIES))


@rows
@pytest.mark.parametrize("step", [0.01, 0.9, 20.0])
@pytest.mark.parametrize("shape", [(4, 3), (2, 5), (1, 1)])
def test_prox_is_the_minimiser(penalty, step, shape, rng):
    assert_prox(penalty, rng.normal(size=shape), step)


@rows
def test_prox_of_zero_is_zero(penalty):
    assert_allclose(penalty.prox(np.zeros((3, 2)), 1.0), 0)


def test_values():
    Z = np.diag([3.0, 4.0])
    assert NuclearNorm(2.0).value(Z) == pytest.approx(14)
    assert GroupNorm(2.0).value(np.array([[3.0, 4.0], [0, 1]])) == pytest.approx(12)
