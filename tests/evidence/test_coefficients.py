"""Least-squares estimates where functions are dependent, rows are few, or units are mixed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sksym.evidence import Estimate
from sksym.statistics import regression_statistics


@pytest.mark.parametrize("units", [[1.0, 1e-9], [1e6, 1e12]])
def test_mixed_units_are_no_singular_covariance(units):
    covariance = np.array([[1.0, 0.5], [0.5, 1.0]]) * np.outer(units, units)
    estimate = Estimate.with_covariance([[1.0, 2.0]], covariance, n=10)
    assert_allclose(estimate.noise @ estimate.noise.T, covariance, rtol=1e-12)


def test_least_squares_of_collinear_functions(rng):
    """Functions that vanish on the data are left out of the estimate, and named."""
    design = rng.normal(size=(50, 3))
    design = np.column_stack([design, design[:, 0] + design[:, 1]])
    Y = design @ rng.normal(size=(4, 2)) + 0.1 * rng.normal(size=(50, 2))
    statistics = regression_statistics(lambda Z: Z, design, Y, np.ones(50), 4)
    estimate = Estimate.least_squares(statistics)
    assert estimate.rank == 3
    assert estimate.undetermined.shape == (4, 1)
    assert_allclose(design @ estimate.undetermined, 0.0, atol=1e-12)
    assert_allclose(estimate.coef, np.linalg.lstsq(design, Y, rcond=1e-10)[0].T, atol=1e-12)
    # Coordinates u are orthonormal on the data.
    u = estimate.coef @ estimate.to_data
    assert_allclose(np.sum(u**2), np.sum((design @ estimate.coef.T) ** 2) / 50)
    assert estimate.dof == 2 * (50 - 3)


def test_fewer_rows_than_functions_leave_nothing_known_of_the_noise(rng):
    design = rng.normal(size=(3, 5))
    statistics = regression_statistics(lambda Z: Z, design, design[:, :1], np.ones(3), 5)
    estimate = Estimate.least_squares(statistics)
    assert estimate.rank == 3
    assert estimate.dof == 0
    assert estimate.noise == 0
