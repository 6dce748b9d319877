"""Algebras: what their exponentials keep, their brackets, and how they are put together."""

import copy
import pickle
from dataclasses import FrozenInstanceError
from itertools import combinations
from math import comb

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import solve_ivp
from scipy.linalg import block_diag
from sklearn.base import clone

from cases import ALGEBRAS, metric, symplectic_form
from sksym import (
    LieAlgebra,
    SymmetricRidge,
    aff,
    galilei,
    gl,
    lorentz,
    poincare,
    scaling,
    se,
    sl,
    so,
    sp,
    translations,
)

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
def test_compact_groups_stay_bounded(row, rng):
    """And the others do not, in one direction at least."""
    directions = np.concatenate([rng.normal(size=(5, row.dim)), np.eye(row.dim)])
    moved = [homogeneous(*row.algebra.exp(s * xi)) for xi in directions for s in (30, 47)]
    assert (max(map(np.linalg.norm, moved), default=0.0) < 25) == row.compact


@rows
def test_exp_follows_the_vector_field(row, rng):
    """The transformation is the flow of x' = A x + b after unit time."""
    xi, x = 0.5 * rng.normal(size=row.dim), rng.normal(size=row.algebra.n_features)

    def field(_, x):
        return xi @ row.algebra.vector_field(x[None])[0]

    M, t = row.algebra.exp(xi)
    flow = solve_ivp(field, (0, 1), x, method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
    assert_allclose(M @ x + t, flow, atol=1e-8 * np.linalg.norm(M))


@rows
def test_exp_of_nothing_and_of_the_opposite(row, rng):
    M, t = row.algebra.exp(np.zeros(row.dim))
    assert_array_equal(M, np.eye(row.algebra.n_features))
    assert not t.any()
    xi = rng.normal(size=row.dim)
    there, back = (homogeneous(*row.algebra.exp(s * xi)) for s in (1, -1))
    assert_allclose(there @ back, np.eye(len(there)), atol=1e-12 * np.linalg.norm(there) ** 2)


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
def test_structure_constants_are_antisymmetric_and_obey_jacobi(row):
    c = row.algebra.structure_constants()
    assert c.shape == (row.dim,) * 3
    assert_allclose(c, -c.transpose(1, 0, 2), atol=1e-12)
    nested = np.einsum("abe,ecd->abcd", c, c)
    cyclic_sum = nested + nested.transpose(1, 2, 0, 3) + nested.transpose(2, 0, 1, 3)
    assert_allclose(cyclic_sum, 0, atol=1e-12)


@rows
def test_closing_the_square_gives_the_bracket(row, rng):
    """Right, up, left, down by small steps: what remains is the bracket."""
    step, (xi, eta) = 1e-4, rng.normal(size=(2, row.dim))
    square = np.eye(row.algebra.n_features + 1)
    for move in (xi, eta, -xi, -eta):
        square = square @ homogeneous(*row.algebra.exp(step * move))
    bracket = np.einsum("a,b,abc->c", xi, eta, row.algebra.structure_constants())
    M, t = row.algebra.exp(step**2 * bracket)
    assert_allclose(square, homogeneous(M, t), atol=200 * step**3)


@rows
def test_generators_are_independent_and_arrays(row):
    algebra = row.algebra
    d = algebra.n_features
    assert algebra.linear.shape == (row.dim, d, d)
    assert algebra.offset.shape == (row.dim, d)
    assert algebra.dim == row.dim == len(algebra.names)
    flat = np.concatenate([algebra.linear.reshape(row.dim, d * d), algebra.offset], axis=1)
    assert row.dim == 0 or np.linalg.matrix_rank(flat) == row.dim
    assert not hasattr(algebra, "__len__")
    assert not hasattr(algebra, "__array__")


@rows
def test_algebras_are_frozen_values(row):
    algebra = row.algebra
    assert copy.deepcopy(algebra) is algebra
    assert clone(SymmetricRidge(algebra)).symmetry is algebra
    for name in ("linear", "offset", "names"):
        with pytest.raises(FrozenInstanceError):
            setattr(algebra, name, None)
    for array in (algebra.linear, algebra.offset):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1


@rows
def test_pickling_keeps_everything(row):
    algebra, copied = row.algebra, pickle.loads(pickle.dumps(row.algebra))
    assert_array_equal(copied.linear, algebra.linear)
    assert_array_equal(copied.offset, algebra.offset)
    assert copied.names == algebra.names
    assert repr(copied) == repr(algebra)


def test_pickled_arrays_stay_read_only():
    """``clone`` shares algebras because nothing can change them."""
    copied = pickle.loads(pickle.dumps(so(2)))
    for array in (copied.linear, copied.offset):
        assert not array.flags.writeable


def test_arrays_are_copied():
    linear, offset = np.ones((1, 2, 2)), np.ones((1, 2))
    algebra = LieAlgebra(linear, offset)
    linear[:], offset[:] = 7, 7
    assert_array_equal(algebra.linear, np.ones((1, 2, 2)))
    assert_array_equal(algebra.offset, np.ones((1, 2)))
    assert linear.flags.writeable


def test_rotations_take_the_angle():
    M, _ = so(2).exp([0.3])
    assert_allclose(M, [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])


def test_boosts_take_the_rapidity():
    M, _ = lorentz(2).exp([0.3, 0, 0])
    expected = block_diag([[np.cosh(0.3), np.sinh(0.3)], [np.sinh(0.3), np.cosh(0.3)]], 1)
    assert_allclose(M, expected)


def test_dilations_take_the_weights():
    M, t = scaling([1, -1, 2]).exp([0.3])
    assert_allclose(M, np.diag(np.exp([0.3, -0.3, 0.6])))
    assert not t.any()


def test_translations_shift():
    M, t = translations(3).exp([1.0, 2.0, 3.0])
    assert_array_equal(M, np.eye(3))
    assert_array_equal(t, [1, 2, 3])


def test_galilean_motions_keep_simultaneous_distances(rng):
    M, _ = galilei(3).exp(rng.normal(size=10))
    apart = np.r_[0, rng.normal(size=3)]  # two events of one moment
    assert_allclose((M @ apart)[0], 0, atol=1e-14)
    assert_allclose(np.linalg.norm((M @ apart)[1:]), np.linalg.norm(apart))
    boost = galilei(1).exp([0.5, 0, 0])[0]
    assert_array_equal(boost @ [2, 3], [2, 4])


def unit(d, i, j):
    E = np.zeros((d, d))
    E[i, j] = 1
    return E


def test_order_and_entries_are_the_textbook_ones():
    for A, (i, j) in zip(so(4).linear, combinations(range(4), 2), strict=True):
        assert_array_equal(A, unit(4, j, i) - unit(4, i, j))
    assert_array_equal(se(3).linear, np.concatenate([so(3).linear, np.zeros((3, 3, 3))]))
    assert_array_equal(se(3).offset, np.concatenate([np.zeros((3, 3)), np.eye(3)]))
    for A, (i, j) in zip(gl(3).linear, np.ndindex(3, 3), strict=True):
        assert_array_equal(A, unit(3, i, j))
    off_diagonal = [unit(3, i, j) for i, j in np.ndindex(3, 3) if i != j]
    assert_array_equal(sl(3).linear[:6], off_diagonal)
    assert_array_equal(sl(3).linear[6:], [np.diag([1, -1, 0]), np.diag([0, 1, -1])])
    assert_array_equal(aff(2).linear, np.concatenate([gl(2).linear, np.zeros((2, 2, 2))]))
    assert_array_equal(aff(2).offset, np.concatenate([np.zeros((4, 2)), np.eye(2)]))
    assert_array_equal(translations(2).offset, np.eye(2))
    assert_array_equal(scaling([[1, 2], [3, 4]]).linear, [np.diag([1, 2]), np.diag([3, 4])])
    J = symplectic_form(2)
    symmetric = [unit(4, i, j) + unit(4, j, i) * (i != j) for i in range(4) for j in range(i, 4)]
    assert_array_equal(sp(4).linear, [J @ S for S in symmetric])
    assert_array_equal(lorentz(2).linear[0], unit(3, 0, 1) + unit(3, 1, 0))
    assert_array_equal(lorentz(2).linear[2], unit(3, 2, 1) - unit(3, 1, 2))
    assert_array_equal(poincare(2).linear[:3], lorentz(2).linear)
    assert_array_equal(poincare(2).offset[3:], np.eye(3))
    assert_array_equal(galilei(2).linear[0], unit(3, 2, 1) - unit(3, 1, 2))
    assert_array_equal(galilei(2).linear[1:3], [unit(3, 1, 0), unit(3, 2, 0)])
    assert_array_equal(galilei(2).offset[3:], np.eye(3))


@pytest.mark.parametrize("d", [1, 2, 3, 4, 6])
def test_dimensions_by_formula(d):
    assert so(d).dim == comb(d, 2)
    assert se(d).dim == comb(d + 1, 2)
    assert (gl(d).dim, sl(d).dim, aff(d).dim) == (d**2, d**2 - 1, d * (d + 1))
    assert (translations(d).dim, scaling(np.ones(d)).dim) == (d, 1)
    assert sp(2 * d).dim == d * (2 * d + 1)
    assert lorentz(d).dim == comb(d + 1, 2)
    assert poincare(d).dim == comb(d + 2, 2)
    assert galilei(d).dim == comb(d, 2) + 2 * d + 1
    for algebra in (so(d), se(d), gl(d), sl(d), aff(d), translations(d), scaling(np.ones(d))):
        assert algebra.n_features == d
    for algebra in (lorentz(d), poincare(d), galilei(d)):
        assert algebra.n_features == d + 1


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_the_generators_are_all_there_are(d):
    """so, sp and lorentz are the whole solution spaces of A^T form + form A = 0."""
    forms = [
        (so(d), np.eye(d)),
        (sp(2 * d), symplectic_form(d)),
        (lorentz(d), metric(d)),
    ]
    for algebra, form in forms:
        n, moves = len(form), []
        for A in np.eye(n * n).reshape(-1, n, n):
            moves.append((A.T @ form + form @ A).ravel())
        assert n * n - np.linalg.matrix_rank(np.array(moves)) == algebra.dim
        for A in algebra.linear:
            assert_array_equal(A.T @ form, -form @ A)


def test_not_closed():
    open_span = so(3).combine([[1, 0, 0], [0, 1, 0]])
    assert not open_span.is_closed()
    with pytest.raises(ValueError, match="not closed"):
        open_span.structure_constants()


def test_closedness_does_not_depend_on_units():
    """The same motions in metres and in micrometres, generators in any unit of time."""
    stretch = np.diag([1.0, 1e6, 1e-3])
    for r, closed in ((3, True), (2, False)):
        linear = stretch @ so(3).linear[:r] @ np.linalg.inv(stretch)
        for speed in (1e-8, 1.0, 1e8):
            assert LieAlgebra(speed * linear).is_closed() == closed


def test_structure_constants_of_rotations_are_the_alternating_symbol():
    # (J01, J02, J12) is (J_z, -J_y, J_x).
    x, y, z = (np.array(v, float) for v in ([0, 0, 1], [0, -1, 0], [1, 0, 0]))
    c = so(3).structure_constants()
    for a, b, expected in ((x, y, z), (y, z, x), (z, x, y)):
        assert_allclose(np.einsum("a,b,abc->c", a, b, c), expected, atol=1e-14)


@rows
def test_repeat_moves_every_point(row, rng):
    algebra, d, xi = row.algebra, row.algebra.n_features, rng.normal(size=row.dim)
    X = rng.normal(size=(4, 3 * d))
    field = [algebra.vector_field(part) for part in np.split(X, 3, axis=1)]
    assert_allclose(algebra.repeat(3).vector_field(X), np.concatenate(field, axis=2))
    (M, t), (one, shift) = algebra.repeat(3).exp(xi), algebra.exp(xi)
    size = np.linalg.norm(one)
    assert_allclose(M, block_diag(one, one, one), atol=1e-12 * size)
    assert_allclose(t, np.tile(shift, 3), atol=1e-12 * size)
    assert_array_equal(algebra.repeat(1).linear, algebra.linear)


@rows
def test_on_columns_moves_those_alone(row, rng):
    algebra, d, xi = row.algebra, row.algebra.n_features, rng.normal(size=row.dim)
    columns = rng.permutation(d + 2)[:d]
    others = np.setdiff1d(np.arange(d + 2), columns)
    placed, X = algebra.on_columns(columns, d + 2), rng.normal(size=(4, d + 2))
    field = placed.vector_field(X)
    assert_allclose(field[:, :, columns], algebra.vector_field(X[:, columns]))
    assert not field[:, :, others].any()
    (M, t), (one, shift) = placed.exp(xi), algebra.exp(xi)
    moved = X @ M.T + t
    assert_allclose(moved[:, columns], X[:, columns] @ one.T + shift, atol=1e-12 * (one**2).sum())
    assert_array_equal(moved[:, others], X[:, others])


@rows
def test_combinations_move_by_combined_coordinates(row, rng):
    C, X = rng.normal(size=(2, row.dim)), rng.normal(size=(4, row.algebra.n_features))
    combined = row.algebra.combine(C)
    assert (combined.dim, combined.n_features) == (2, row.algebra.n_features)
    expected = np.einsum("ka,nai->nki", C, row.algebra.vector_field(X))
    assert_allclose(combined.vector_field(X), expected, atol=1e-12)
    eta = 0.5 * rng.normal(size=2)
    for ours, theirs in zip(combined.exp(eta), row.algebra.exp(eta @ C), strict=True):
        assert_allclose(ours, theirs, atol=1e-9 * np.linalg.norm(theirs) + 1e-12)


@rows
def test_sums_list_both(row):
    algebra = row.algebra
    both = algebra + translations(algebra.n_features)
    r = row.dim
    assert_array_equal(both.linear[:r], algebra.linear)
    assert_array_equal(both.offset[:r], algebra.offset)
    assert not both.linear[r:].any()
    assert_array_equal(both.offset[r:], np.eye(algebra.n_features))
    assert both.names[:r] == algebra.names
    with pytest.raises(TypeError):
        algebra + 1


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


@pytest.mark.parametrize("columns", [[0], [0, 0], [0, 3], [-1, 0], [0.5, 1]])
def test_wrong_columns(columns):
    with pytest.raises(ValueError, match="columns"):
        so(2).on_columns(columns, 3)


def test_repr_reads_as_vector_fields():
    assert "x0 ∂1 - x1 ∂0" in repr(so(2))
    assert "none" in repr(so(1))
    assert "2.5 ∂0" in repr(LieAlgebra(np.zeros((1, 1, 1)), [[2.5]]))
    assert "∂1 - x0 ∂0 + 3 x1 ∂0" in repr(LieAlgebra([[[-1, 3], [0, 0]]], [[0, 1]]))


def test_repr_is_short():
    shown = repr(so(9))
    assert shown.count("∂") == 10, "five rotations of two terms"
    assert "dim=36" in shown
    assert shown.endswith("...)")
    assert "..." not in repr(LieAlgebra(so(4).linear[:5]))
    dense = LieAlgebra(np.ones((40, 30, 30)))
    assert len(repr(dense)) < 1000
    assert len(repr(SymmetricRidge(dense))) < 1000


def test_names_of_your_own():
    named = LieAlgebra(so(3).linear, names=["Jz", "-Jy", "Jx"])
    assert named.names == ("Jz", "-Jy", "Jx")
    assert repr(named) == "LieAlgebra(dim=3, n_features=3: Jz, -Jy, Jx)"
    assert (named + translations(3)).names[:4] == ("Jz", "-Jy", "Jx", "∂0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.eye(2),), "shape"),
        ((np.zeros((1, 2, 3)),), "shape"),
        ((np.zeros((2, 2, 2)), np.zeros((1, 2))), "offset"),
        ((np.array([np.eye(2), np.full((2, 2), np.nan)]),), "generator 1"),
        ((np.zeros((1, 2, 2)), [[0, np.inf]]), "generator 0"),
        ((np.zeros((1, 2, 2)), None, ["a", "b"]), "2 names"),
        ((np.zeros((2, 2, 2)), [[0, 0], [np.nan, 0]]), "`offset` of generator 1"),
        ((np.zeros((1, 2, 2)), np.zeros((1, 3))), "offset"),
        ((np.zeros((1, 2, 2)), np.zeros(2)), "offset"),
        ((1.0,), "shape"),
    ],
)
def test_wrong_arrays_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LieAlgebra(*arguments)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="even number"):
        sp(3)
    with pytest.raises(ValueError, match="generator 0"):
        scaling([1.0, np.nan])
    with pytest.raises(ValueError, match="shape"):
        scaling(np.ones((2, 2, 2)))


def test_sum_and_combine_check_sizes():
    with pytest.raises(ValueError, match="same space"):
        so(2) + so(3)
    with pytest.raises(ValueError, match="shape"):
        so(3).combine([[1, 2]])
    with pytest.raises(ValueError, match="shape"):
        so(3).combine([1, 2, 3])
    with pytest.raises(ValueError, match="shape"):
        so(3).exp([1, 2])


@pytest.mark.parametrize("constructor", [so, lambda d: lorentz(d - 1)])
def test_no_space_to_act_on(constructor):
    with pytest.raises(ValueError, match="dimension 1 or more"):
        constructor(-1)
