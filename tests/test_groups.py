"""Finite groups and how they are put together."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cases import GROUPS
from sksym import FiniteGroup, cyclic, permutations, reflections

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
def test_elements_are_orthogonal_and_frozen(group):
    for g in group.matrices:
        assert_allclose(g.T @ g, np.eye(group.n_features), atol=1e-15)
    assert copy.deepcopy(group) is group
    assert_array_equal(pickle.loads(pickle.dumps(group)).matrices, group.matrices)
    assert all(name in repr(group) for name in group.names)


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
        ([np.eye(2), np.zeros((2, 2))], "Element 1 is singular"),
    ],
)
def test_wrong_matrices_are_refused(matrices, message):
    with pytest.raises(ValueError, match=message):
        FiniteGroup(matrices)


def test_wrong_names_and_orders_are_refused():
    with pytest.raises(ValueError, match="names"):
        FiniteGroup([np.eye(2)], ["a", "b"])
    with pytest.raises(ValueError, match="cyclic needs"):
        cyclic(1, 3)
