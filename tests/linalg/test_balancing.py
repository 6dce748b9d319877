"""Balancing: coordinates in which matrices are as close to normal as they get."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sksym import LieAlgebra, lorentz, sl, so, sp
from sksym._linalg import balance, balancing_units


@pytest.mark.parametrize("algebra", [so(3), so(6), so(4).repeat(2)], ids=["3", "6", "4 twice"])
@pytest.mark.parametrize("condition", [1.0, 30.0, 1e3])
def test_balance_makes_compact_algebras_skew(algebra, condition, rng):
    d = algebra.n_features
    U, _, V = np.linalg.svd(rng.normal(size=(d, d)))
    change = U * np.geomspace(1, condition, d) @ V
    A = change @ algebra.linear @ np.linalg.inv(change)
    P = balance(A)
    P = np.eye(d) if P is None else P
    A = P @ A @ np.linalg.inv(P)
    assert np.abs(A + A.transpose(0, 2, 1)).max() < 0.2 * np.abs(A).max()
    assert np.linalg.cond(P) < 3 * condition


@pytest.mark.parametrize("condition", [1.0, 30.0, 1e3])
def test_balance_undoes_a_change_of_units(condition):
    stretch = np.diag(np.geomspace(1, condition, 4))
    A = stretch @ so(4).linear @ np.linalg.inv(stretch)
    P = balance(A)
    P = np.eye(4) if P is None else P
    change = P @ stretch
    assert np.linalg.cond(change) < 1.5, "a multiple of a rotation, or nearly"
    A = P @ A @ np.linalg.inv(P)
    assert np.abs(A + A.transpose(0, 2, 1)).max() < 0.2 * np.abs(A).max()


@pytest.mark.parametrize(
    "algebra", [lorentz(2), lorentz(3), sp(4)], ids=["lorentz(2)", "lorentz(3)", "sp(4)"]
)
@pytest.mark.parametrize("condition", [30.0, 1e3])
def test_balance_makes_reductive_algebras_closed_under_transposition(algebra, condition, rng):
    d = algebra.n_features
    U, _, V = np.linalg.svd(rng.normal(size=(d, d)))
    change = U * np.geomspace(1, condition, d) @ V
    A = change @ algebra.linear @ np.linalg.inv(change)

    def misfit(A):
        """How far the transposes lie outside the span, relative."""
        span = np.linalg.qr(A.reshape(len(A), -1).T)[0]
        flipped = A.transpose(0, 2, 1).reshape(len(A), -1).T
        return np.linalg.norm(flipped - span @ (span.T @ flipped)) / np.linalg.norm(flipped)

    P = balance(A)
    assert misfit(A) > 0.5
    assert misfit(P @ A @ np.linalg.inv(P)) < 0.2
    assert np.linalg.cond(P) < 10 * condition


def test_balance_leaves_textbook_algebras_alone():
    for algebra in (so(5), lorentz(3), sl(3), so(3).repeat(3)):
        assert balance(algebra.linear) is None


def test_balance_does_not_depend_on_units_of_time(rng):
    change = np.diag([1.0, 30.0, 1000.0])
    A = change @ so(3).linear @ np.linalg.inv(change)
    P, Q = balance(A), balance(A * np.array([1e-9, 1.0, 1e9])[:, None, None])
    assert_allclose(P / np.linalg.norm(P), Q / np.linalg.norm(Q), atol=1e-10)


def test_balance_gives_up_on_nilpotent_and_wild_generators(rng):
    assert balance(LieAlgebra([[[0, 1], [0, 0]]]).linear) is None
    assert balance(np.zeros((2, 3, 3))) is None
    P = balance(rng.normal(size=(1, 3, 3)))
    assert P is None or np.linalg.cond(P) < 1e9


def test_units_of_mixed_coordinates_are_found(rng):
    units = np.exp2([0, 20, -13, 0.0])
    A = rng.normal(size=(3, 4, 4)) + 5 * np.ones((4, 4))
    found = balancing_units(A * units[:, None] / units)
    ratio = np.log2(found / units)
    assert np.ptp(ratio) <= 3
    assert_allclose(balancing_units(A), 1)
    assert_allclose(balancing_units(np.triu(A)), 1)
    assert_allclose(balancing_units(np.zeros((0, 4, 4))), 1)
