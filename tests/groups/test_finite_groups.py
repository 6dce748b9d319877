"""Finite groups and how they are put together."""

import copy
import pickle
from dataclasses import FrozenInstanceError
from math import factorial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import block_diag
from sklearn.base import clone

from cases import GROUPS
from sksym import FiniteGroup, SymmetricRidge, cyclic, permutations, reflections, so

rows = pytest.mark.parametrize("group", GROUPS.values(), ids=list(GROUPS))


def closure(group, limit=2000):
    """All elements, by multiplying with the generating ones."""
    elements = {np.eye(group.n_features).tobytes(): np.eye(group.n_features)}
    new = list(elements.values())
    while new:
        products = [np.round(g @ h, 9) + 0.0 for g in group.matrices for h in new]
        new = [g for g in products if g.tobytes() not in elements]
        elements |= {g.tobytes(): g for g in new}
        assert len(elements) < limit
    return list(elements.values())


@rows
def test_elements_are_orthogonal(group):
    d = group.n_features
    assert group.matrices.shape == (len(group.names), d, d)
    for g in group.matrices:
        assert_allclose(g.T @ g, np.eye(d), atol=1e-15)


@rows
def test_generated_elements_are_a_group(group):
    """Finite, closed under products, and with it every inverse."""
    elements = {(np.round(g, 6) + 0.0).tobytes() for g in closure(group)}
    assert (np.eye(group.n_features)).tobytes() in elements
    for g in group.matrices:
        assert (np.round(np.linalg.inv(g), 6) + 0.0).tobytes() in elements


@rows
def test_groups_are_frozen_values(group):
    assert copy.deepcopy(group) is group
    assert clone(SymmetricRidge(group)).symmetry is group
    with pytest.raises(FrozenInstanceError):
        group.matrices = np.eye(2)[None]
    with pytest.raises(ValueError, match="read-only"):
        group.matrices[...] = 1


@rows
def test_pickling_keeps_everything(group):
    copied = pickle.loads(pickle.dumps(group))
    assert_array_equal(copied.matrices, group.matrices)
    assert copied.names == group.names
    assert repr(copied) == repr(group)


def test_pickled_arrays_stay_read_only():
    assert not pickle.loads(pickle.dumps(cyclic(2, 3))).matrices.flags.writeable


@rows
def test_repr_names_the_elements(group):
    assert all(name in repr(group) for name in group.names)
    assert f"R^{group.n_features}" in repr(group)


@rows
def test_repeat_moves_every_point(group):
    for one, three in zip(group.matrices, group.repeat(3).matrices, strict=True):
        assert_array_equal(three, block_diag(one, one, one))


@rows
def test_on_columns_moves_those_alone(group, rng):
    d = group.n_features
    columns = rng.permutation(d + 2)[:d]
    others = np.setdiff1d(np.arange(d + 2), columns)
    X = rng.normal(size=(4, d + 2))
    placed = group.on_columns(columns, d + 2)
    for one, g in zip(group.matrices, placed.matrices, strict=True):
        moved = X @ g.T
        assert_allclose(moved[:, columns], X[:, columns] @ one.T, atol=1e-15)
        assert_array_equal(moved[:, others], X[:, others])


@pytest.mark.parametrize(
    ("group", "order"),
    [
        (permutations(1), 1),
        (permutations(2), 2),
        (permutations(4), 24),
        (permutations(3, block=2), 6),
        (reflections(3), 8),
        (cyclic(3, 7), 7),
        (cyclic(2, 1), 1),
    ],
)
def test_generating_elements_generate_the_group(group, order):
    assert len(closure(group)) == order


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_orders_by_formula(m):
    assert len(closure(permutations(m))) == factorial(m)
    assert len(closure(reflections(m))) == 2**m
    for order in (1, 2, 3, 4, 6):
        assert len(closure(cyclic(m + 1, order))) == order


@pytest.mark.parametrize("block", [1, 2, 3])
def test_permutations_move_whole_blocks(block):
    rows = np.arange(4 * block)
    parts = {tuple(part) for part in np.split(rows, 4)}
    for g in permutations(4, block=block).matrices:
        moved = np.split(g @ rows, 4)
        assert {tuple(part) for part in moved} == parts
        assert any((part != old).any() for part, old in zip(moved, np.split(rows, 4), strict=True))


def test_reflections_flip_one_coordinate_each():
    for i, g in enumerate(reflections(3).matrices):
        expected = np.ones(3)
        expected[i] = -1
        assert_array_equal(g, np.diag(expected))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 8])
def test_cyclic_turns_by_a_fraction(order):
    g = cyclic(4, order).matrices[0]
    turn, _ = so(2).on_columns([0, 1], 4).exp([2 * np.pi / order])
    assert_allclose(g, turn, atol=1e-15)
    assert_allclose(np.linalg.matrix_power(g, order), np.eye(4), atol=1e-14)


def test_quarter_turns_are_exact():
    """Entries of the size of round-off would hide that axes are mapped to axes."""
    assert_array_equal(cyclic(2, 4).matrices[0], [[0, -1], [1, 0]])
    assert_array_equal(cyclic(2, 2).matrices[0], -np.eye(2))
    assert_array_equal(cyclic(2, 1).matrices[0], np.eye(2))


def test_elements_may_mix_units():
    """A swap of a length in micrometres and one in metres is no singular matrix."""
    swap = FiniteGroup([[[0, 1e7], [1e-7, 0]]])
    assert_allclose(swap.matrices[0] @ swap.matrices[0], np.eye(2))


def test_arrays_are_copied():
    matrices = -np.eye(2)[None]
    group = FiniteGroup(matrices)
    matrices[:] = 7
    assert_array_equal(group.matrices[0], -np.eye(2))


def test_names_of_your_own():
    group = FiniteGroup([-np.eye(2)], ["parity"])
    assert repr(group) == "FiniteGroup(parity on R^2)"
    assert group.repeat(2).names == ("parity",)
    assert group.on_columns([0, 1], 3).names == ("parity",)


def test_repeat_and_on_columns(rng):
    X = rng.normal(size=(4, 6))
    twice = cyclic(3, 5).repeat(2).matrices[0]
    expected = np.hstack([X[:, :3] @ cyclic(3, 5).matrices[0].T, X[:, 3:] @ twice[:3, :3].T])
    assert_allclose(X @ twice.T, expected)
    swap = permutations(2).on_columns(["c", "a"], ["a", "b", "c"]).matrices[0]
    assert_array_equal(np.arange(3) @ swap.T, [2, 1, 0])


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (np.eye(2), "shape"),
        ([[[1, 0], [0, np.nan]]], "Element 0"),
        ([np.eye(2), np.full((2, 2), np.inf)], "Element 1"),
        ([np.eye(2), np.zeros((2, 2))], "Element 1 is singular"),
        ([[[1, 1], [1, 1]]], "Element 0 is singular"),
        (np.ones((1, 2, 3)), "shape"),
    ],
)
def test_wrong_matrices_are_refused(matrices, message):
    with pytest.raises(ValueError, match=message):
        FiniteGroup(matrices)


def test_wrong_names_and_orders_are_refused():
    with pytest.raises(ValueError, match="names"):
        FiniteGroup([np.eye(2)], ["a", "b"])
    for d, order in ((1, 3), (2, 0), (2, -1)):
        with pytest.raises(ValueError, match="cyclic needs"):
            cyclic(d, order)
    with pytest.raises(ValueError, match="acts on R"):
        reflections(2).on_columns([0], 3)


@pytest.mark.parametrize("m", [0, -1])
def test_there_is_something_to_permute(m):
    with pytest.raises(ValueError, match="permutations"):
        permutations(m)


def test_an_empty_group_can_be_repeated_and_turns_are_whole():
    empty = FiniteGroup(np.zeros((0, 2, 2)))
    assert empty.repeat(3).n_features == 6
    with pytest.raises(ValueError, match="whole number"):
        cyclic(2, 2.5)
