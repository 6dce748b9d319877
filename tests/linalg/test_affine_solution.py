"""Affine equations: a particular solution of least norm, and the null space."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.linalg import null_space as dense_null_space
from scipy.linalg import subspace_angles

from sksym._linalg import affine_solution, null_space


def consistent(rng, shape, rank, density=1.0):
    """A matrix of known rank, and a right-hand side in its range."""
    matrix = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    matrix *= rng.random(shape) < density
    return matrix, matrix @ rng.normal(size=shape[1])


def assert_solves(matrix, target, rtol=1e-10):
    x, basis = affine_solution(sparse.csr_array(matrix), target)
    expected = np.linalg.lstsq(matrix, target, rcond=1e-10)[0]
    size = np.linalg.norm(expected)
    assert_allclose(x, expected, atol=rtol * size)
    assert_allclose(matrix @ x, target, atol=rtol * np.linalg.norm(target))
    basis = basis.toarray()
    space = dense_null_space(matrix, rcond=1e-10)
    assert basis.shape == space.T.shape
    assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-13)
    assert_allclose(basis @ x, 0, atol=rtol * size)
    if len(basis):
        assert subspace_angles(basis.T, space).max() < 1e-9
    return x


@pytest.mark.parametrize("rank", [1, 3, 8])
@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (12, 12)])
def test_least_norm_as_numpy_finds_it(shape, rank, rng):
    assert_solves(*consistent(rng, shape, rank))


@pytest.mark.parametrize("seed", range(30))
def test_sparse_systems(seed):
    """Many small components, most of them rows of one or two entries."""
    rng = np.random.default_rng(seed)
    assert_solves(*consistent(rng, (rng.integers(1, 25), rng.integers(1, 25)), 25, 0.1))


@pytest.mark.parametrize("unit", [1e-150, 1e-8, 1e8, 1e150])
def test_units_do_not_matter(unit, rng):
    matrix, target = consistent(rng, (9, 14), 5)
    x = assert_solves(matrix, target)
    for changed in (
        affine_solution(unit * matrix, unit * target)[0],
        affine_solution(matrix, unit * target)[0] / unit,
        affine_solution(unit * matrix, target)[0] * unit,
    ):
        assert_allclose(changed, x, atol=1e-9 * np.linalg.norm(x))


def test_one_solution(rng):
    matrix, target = consistent(rng, (6, 6), 6)
    x, basis = affine_solution(matrix, target)
    assert_allclose(x, np.linalg.solve(matrix, target), rtol=1e-8)
    assert basis.shape == (0, 6)


def test_a_zero_right_hand_side_is_the_null_space(rng):
    matrix, _ = consistent(rng, (6, 9), 4)
    x, basis = affine_solution(matrix, np.zeros(6))
    assert_array_equal(x, np.zeros(9))
    assert_array_equal(basis.toarray(), null_space(matrix).toarray())


def test_no_equation_at_all():
    x, basis = affine_solution(sparse.csr_array((0, 4)), np.zeros(0))
    assert_array_equal(x, np.zeros(4))
    assert_array_equal(basis.toarray(), np.eye(4))


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_contradictions_are_refused(size, rng):
    """A part of the right-hand side that lies outside the range, however small beside the rest."""
    matrix, target = consistent(rng, (9, 7), 4)
    outside = dense_null_space(matrix.T)[:, 0]
    with pytest.raises(ValueError, match="contradict each other"):
        affine_solution(matrix, target + size * np.linalg.norm(target) * outside)


@pytest.mark.parametrize(
    ("matrix", "target"),
    [
        (np.zeros((1, 3)), [1.0]),
        ([[1.0, 0], [1.0, 0]], [1.0, 2.0]),
        ([[1.0, -1.0], [1.0, -1.0]], [0.0, 1.0]),
        ([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]], [1.0, 1.0, 1.0]),
    ],
)
def test_small_contradictions(matrix, target):
    with pytest.raises(ValueError, match="contradict each other"):
        affine_solution(np.array(matrix), np.array(target))
