"""Norms: convex, and the prox is the minimiser it claims to be."""

import pickle
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cases import PENALTIES
from sksym import GroupNorm, NuclearNorm
from sksym.testing import assert_prox

rows = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=list(PENALTIES))
shapes = pytest.mark.parametrize("shape", [(4, 3), (2, 5), (1, 1), (0, 3), (3, 0)], ids=str)


@rows
@shapes
@pytest.mark.parametrize("step", [0.01, 0.9, 20.0])
def test_prox_is_the_minimiser(penalty, step, shape, rng):
    assert_prox(penalty, rng.normal(size=shape), step)


@rows
@pytest.mark.parametrize("step", [0.01, 0.9])
def test_prox_of_special_matrices(penalty, step, rng):
    """Low rank, zero rows, equal rows, exactly at the threshold."""
    direction = np.array([[0.6, 0.8]])
    at_threshold = 0.7 * step * np.vstack([direction, 0 * direction])
    low_rank = rng.normal(size=(5, 1)) @ rng.normal(size=(1, 4))
    for Z in (at_threshold, low_rank, np.zeros((3, 2)), np.ones((3, 3)), np.eye(3)):
        assert_prox(penalty, Z, step)


@rows
def test_prox_of_zero_is_zero(penalty):
    assert_allclose(penalty.prox(np.zeros((3, 2)), 1.0), 0)


@rows
@shapes
def test_values_are_those_of_a_norm(penalty, shape, rng):
    X, Y = rng.normal(size=(2, *shape))
    value = penalty.value(X)
    assert value >= 0
    assert penalty.value(0 * X) == 0
    assert penalty.value(-3 * X) == pytest.approx(3 * value)
    assert penalty.value(X + Y) <= value + penalty.value(Y) + 1e-12
    assert penalty.value(X) == value, "no state"


@rows
def test_prox_is_firmly_nonexpansive(penalty, rng):
    for _ in range(20):
        X, Y = rng.normal(size=(2, 4, 3))
        apart = penalty.prox(X, 0.9) - penalty.prox(Y, 0.9)
        assert np.sum(apart**2) <= np.vdot(apart, X - Y) + 1e-12


@rows
def test_moreau(penalty, rng):
    """Z - prox(Z, step) lies in `step` times the unit ball of the dual norm."""
    Z, step = rng.normal(size=(4, 3)), 0.6
    dual = (Z - penalty.prox(Z, step)) / step
    for _ in range(50):
        V = rng.normal(size=Z.shape)
        assert np.vdot(dual, V) <= penalty.value(V) + 1e-12
    kept = penalty.prox(Z, step)
    assert np.vdot(dual, kept) == pytest.approx(penalty.value(kept))


@rows
def test_orthogonal_columns_do_not_matter(penalty, rng):
    """Rows are generators or functions; turning the space they live in changes nothing."""
    Z, Q = rng.normal(size=(4, 3)), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert penalty.value(Z @ Q) == pytest.approx(penalty.value(Z))
    assert_allclose(penalty.prox(Z @ Q, 0.5), penalty.prox(Z, 0.5) @ Q, atol=1e-12)


@rows
def test_the_input_is_left_alone(penalty, rng):
    Z = rng.normal(size=(4, 3))
    before = Z.copy()
    penalty.prox(Z, 0.5)
    penalty.value(Z)
    assert_array_equal(Z, before)


@rows
def test_penalties_are_values(penalty):
    copied = pickle.loads(pickle.dumps(penalty))
    assert copied == penalty
    assert hash(copied) == hash(penalty)
    assert replace(penalty, alpha=3.0).alpha == 3
    assert str(penalty.alpha) in repr(penalty)


@rows
def test_alpha_is_a_factor(penalty, rng):
    Z, twice = rng.normal(size=(4, 3)), replace(penalty, alpha=2 * penalty.alpha)
    assert twice.value(Z) == pytest.approx(2 * penalty.value(Z))
    assert_allclose(twice.prox(Z, 0.3), penalty.prox(Z, 0.6), atol=1e-14)


def test_values():
    Z = np.diag([3.0, 4.0])
    assert NuclearNorm(2.0).value(Z) == pytest.approx(14)
    assert GroupNorm(2.0).value(np.array([[3.0, 4.0], [0, 1]])) == pytest.approx(12)


def test_the_nuclear_norm_lowers_the_rank(rng):
    Z = np.diag([3.0, 2.0, 0.5])
    assert_allclose(NuclearNorm().prox(Z, 1.0), np.diag([2.0, 1.0, 0.0]), atol=1e-14)


def test_the_group_norm_switches_rows_off():
    Z = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    expected = [[2.4, 3.2], [0, 0], [0, 0]]
    assert_allclose(GroupNorm().prox(Z, 1.0), expected, atol=1e-14)


@rows
@shapes
def test_polar_is_the_dual_norm(penalty, shape, rng):
    """<Y, Z> <= polar(Y) value(Z), and what the prox takes off has the step for its polar."""
    Y = rng.normal(size=shape)
    if penalty.alpha == 0:
        assert penalty.polar(Y) == (np.inf if Y.size else 0)
        return
    for Z in rng.normal(size=(20, *shape)):
        assert np.vdot(Y, Z) <= penalty.polar(Y) * penalty.value(Z) + 1e-12
    if Y.size:
        assert penalty.polar(Y - penalty.prox(Y, 0.01)) == pytest.approx(0.01)


def test_rows_are_blocks_of_one_row(rng):
    Z, alpha = rng.normal(size=(6, 2)), rng.uniform(0.5, 2.0, size=6)
    plain, blocks = GroupNorm(alpha), GroupNorm(alpha, np.ones(6, int))
    assert plain.value(Z) == blocks.value(Z)
    assert plain.polar(Z) == blocks.polar(Z)
    assert_array_equal(plain.prox(Z, 0.9), blocks.prox(Z, 0.9))
    assert plain == GroupNorm(alpha.copy())
    assert plain != blocks


@pytest.mark.parametrize(
    "norm",
    [
        NuclearNorm(0.7),
        GroupNorm(0.7),
        GroupNorm(np.arange(1.0, 7.0)),
        GroupNorm(0.7, np.array([1, 3, 2])),
        GroupNorm(np.array([1.0, 0.5, 2.0]), np.array([1, 3, 2])),
    ],
)
def test_cvxpy_s_expression_is_the_norm(norm, rng):
    Z = rng.normal(size=(6, 3))
    assert norm.expression(cp, cp.Constant(Z)).value == pytest.approx(norm.value(Z))


@pytest.mark.parametrize("norm", [NuclearNorm(), GroupNorm(), GroupNorm(sizes=np.array([1, 3]))])
def test_reweighted_axes_are_orthonormal_and_span_the_matrix(norm, rng):
    Z = rng.normal(size=(4, 3))
    axes, sizes = norm.axes_and_sizes(Z)
    assert_allclose(axes.T @ axes, np.eye(len(sizes)), atol=1e-12)
    assert_allclose(axes @ (axes.T @ Z), Z, atol=1e-12)
    assert (sizes > 0).all()
