"""Algebras: what their exponentials keep, their brackets, and how they are put together."""

import copy
import pickle
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from cases import ALGEBRAS
from sksym import LieAlgebra, PolynomialLibrary, SymmetricRidge, gl, se, so, translations
from sksym import vector_fields as all_fields

rows = pytest.mark.parametrize("row", ALGEBRAS.values(), ids=list(ALGEBRAS))


def homogeneous(M, t):
    top = np.r_[1, np.zeros(len(t))]
    return np.block([[top[:1], top[1:][None]], [t[:, None], M]])


@rows
def test_exp_is_a_transformation_of_the_group(row, rng):
    for _ in range(5):
        M, t = row.algebra.exp(rng.normal(size=row.dim))
        size = np.linalg.norm(M) ** 2
        if row.form is not None:
            assert_allclose(M.T @ row.form @ M, row.form, atol=1e-13 * size)
        if row.volume:
            assert_allclose(np.linalg.det(M), 1, rtol=1e-10 * size)
        assert row.fixes_origin == (not t.any())


@rows
def test_exp_follows_the_vector_field(row, rng):
    xi, x = rng.normal(size=row.dim), rng.normal(size=row.algebra.n_features)
    step = 1e-6
    (M, t), (N, s) = row.algebra.exp(step * xi), row.algebra.exp(-step * xi)
    slope = (M @ x + t - N @ x - s) / (2 * step)
    assert_allclose(slope, xi @ row.algebra.vector_field(x[None])[0], atol=1e-8)


@rows
def test_exp_of_a_sum_along_one_line_is_the_product(row, rng):
    xi = rng.normal(size=row.dim)
    once, twice = homogeneous(*row.algebra.exp(xi)), homogeneous(*row.algebra.exp(2 * xi))
    assert_allclose(once @ once, twice, atol=1e-12 * np.linalg.norm(once) ** 2)


@rows
def test_structure_constants_reproduce_brackets(row):
    algebra, c = row.algebra, row.algebra.structure_constants()
    M = np.array([homogeneous(A, b) for A, b in zip(algebra.linear, algebra.offset, strict=True)])
    M = M.reshape(row.dim, algebra.n_features + 1, algebra.n_features + 1)
    M[:, 0, 0] = 0
    for a in range(row.dim):
        for b in range(row.dim):
            assert_allclose(M[a] @ M[b] - M[b] @ M[a], np.tensordot(c[a, b], M, 1), atol=1e-12)
    assert algebra.is_closed()


@rows
def test_dimension_and_immutability(row):
    algebra = row.algebra
    assert (
        algebra.dim == row.dim == len(algebra.linear) == len(algebra.offset) == len(algebra.names)
    )
    assert copy.deepcopy(algebra) is algebra
    with pytest.raises(ValueError, match="read-only"):
        algebra.linear[...] = 1
    copied = pickle.loads(pickle.dumps(algebra))
    assert_array_equal(copied.linear, algebra.linear)
    assert clone(SymmetricRidge(algebra)).algebra is algebra


def test_rotations_take_the_angle():
    M, _ = so(2).exp([0.3])
    assert_allclose(M, [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])


def test_order_and_entries_are_the_textbook_ones():
    for A, (i, j) in zip(so(4).linear, combinations(range(4), 2), strict=True):
        expected = np.zeros((4, 4))
        expected[j, i], expected[i, j] = 1, -1
        assert_array_equal(A, expected)
    assert_array_equal(se(3).linear[:3], so(3).linear)
    assert_array_equal(se(3).offset[3:], np.eye(3))
    assert_array_equal(gl(2).linear[1], [[0, 1], [0, 0]])


def test_not_closed():
    open_span = so(3).combine([[1, 0, 0], [0, 1, 0]])
    assert not open_span.is_closed()
    with pytest.raises(ValueError, match="not closed"):
        open_span.structure_constants()


def test_repeat_on_columns_and_sum_keep_order_and_scale(rng):
    X = rng.normal(size=(5, 6))
    field = se(3).vector_field(X[:, :3]), se(3).vector_field(X[:, 3:])
    assert_allclose(se(3).repeat(2).vector_field(X), np.concatenate(field, axis=2))
    placed = so(2).on_columns([4, 1], 6).vector_field(X)
    assert_allclose(placed[:, :, [4, 1]], so(2).vector_field(X[:, [4, 1]]))
    assert not placed[:, :, [0, 2, 3, 5]].any()
    both = so(3) + translations(3)
    assert_array_equal(both.linear, se(3).linear)
    assert_array_equal(both.offset, se(3).offset)


def test_columns_by_name():
    named = so(2).on_columns(["y", "x"], ["x", "t", "y"])
    assert_array_equal(named.linear, so(2).on_columns([2, 0], 3).linear)
    with pytest.raises(ValueError, match="names of all columns"):
        so(2).on_columns(["y", "x"], 3)
    with pytest.raises(ValueError, match="not among"):
        so(2).on_columns(["y", "z"], ["x", "t", "y"])


@pytest.mark.parametrize("columns", [[0], [0, 0], [0, 3], [-1, 0]])
def test_wrong_columns(columns):
    with pytest.raises(ValueError, match="columns"):
        so(2).on_columns(columns, 3)


def test_repr_reads_as_vector_fields():
    assert "x0 ∂1 - x1 ∂0" in repr(so(2))
    assert repr(so(9)).count("∂") == 10
    assert repr(so(9)).endswith("...)")
    assert "none" in repr(so(1))
    assert "2.5 ∂0" in repr(LieAlgebra(np.zeros((1, 1, 1)), [[2.5]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.eye(2),), "shape"),
        ((np.zeros((1, 2, 3)),), "shape"),
        ((np.zeros((2, 2, 2)), np.zeros((1, 2))), "offset"),
        ((np.array([np.eye(2), np.full((2, 2), np.nan)]),), "generator 1"),
        ((np.zeros((1, 2, 2)), [[0, np.inf]]), "generator 0"),
        ((np.zeros((1, 2, 2)), None, ["a", "b"]), "2 names"),
    ],
)
def test_wrong_arrays_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LieAlgebra(*arguments)


def test_sum_and_combine_check_sizes():
    with pytest.raises(ValueError, match="same space"):
        so(2) + so(3)
    with pytest.raises(ValueError, match="shape"):
        so(3).combine([[1, 2]])
    with pytest.raises(ValueError, match="shape"):
        so(3).exp([1, 2])


def test_vector_fields_of_a_library(rng):
    X = rng.normal(size=(6, 2))
    fields = all_fields(PolynomialLibrary(2, center=0.0, scale=1.0).fit(X))
    assert (fields.dim, fields.n_features, len(fields.names)) == (12, 2, 12)
    some = fields.combine(rng.normal(size=(3, 12)))
    values, slopes = some.vector_field(X), some.jacobian(X)
    for j, e in enumerate(1e-6 * np.eye(2)):
        difference = (some.vector_field(X + e) - some.vector_field(X - e)) / 2e-6
        assert_allclose(slopes[..., j], difference, atol=1e-7)
    assert values.shape == (6, 3, 2)
    assert "x0 ∂1" in repr(fields.combine(np.eye(12)[[7]]))
    assert copy.deepcopy(some) is some
