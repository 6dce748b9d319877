"""Group: a connected symmetry and a discrete one together."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm
from sklearn.base import clone

import sksym as sk
from sksym.groups import Group, resolve

NOTHING = {
    "Group.none": Group.none(3),
    "no generators": sk.LieAlgebra(np.zeros((0, 3, 3))),
    "no elements": sk.FiniteGroup(np.zeros((0, 3, 3))),
    "neither": sk.LieAlgebra(np.zeros((0, 3, 3))) + sk.FiniteGroup(np.zeros((0, 3, 3))),
    "None": None,
}
SUMS = {
    "algebra + elements": sk.so(3) + sk.reflections(3),
    "elements + algebra": sk.reflections(3) + sk.so(3),
    "group + elements": Group(sk.so(3)) + sk.reflections(3),
    "elements + group": sk.reflections(3) + Group(sk.so(3)),
    "algebra + group": sk.so(3) + Group.of(sk.reflections(3)),
    "group + algebra": Group.of(sk.reflections(3)) + sk.so(3),
    "group + group": Group(sk.so(3)) + Group.of(sk.reflections(3)),
}
sums = pytest.mark.parametrize("group", SUMS.values(), ids=list(SUMS))


@sums
def test_sums_have_both_parts(group):
    assert isinstance(group, Group)
    assert_array_equal(group.algebra.linear, sk.so(3).linear)
    assert_array_equal(group.elements.matrices, sk.reflections(3).matrices)
    assert group.elements.names == sk.reflections(3).names
    assert group.n_features == 3
    assert not group.is_trivial


def test_sums_keep_the_order():
    """What is written first comes first, among the generators and among the elements."""
    both = sk.so(2) + sk.reflections(2)
    expected = sk.translations(2).names + sk.so(2).names
    assert (sk.translations(2) + both).algebra.names == expected
    assert (both + sk.translations(2)).algebra.names == sk.so(2).names + sk.translations(2).names
    swap = sk.permutations(2)
    assert (swap + both).elements.names == swap.names + sk.reflections(2).names
    assert (both + swap).elements.names == sk.reflections(2).names + swap.names
    four = sk.scaling([1, 1]) + swap + both
    assert four.algebra.names == sk.scaling([1, 1]).names + sk.so(2).names
    assert four.elements.names == swap.names + sk.reflections(2).names


@pytest.mark.parametrize("other", [1, None, "so", np.eye(2)[None], sk.PolynomialLibrary()])
def test_what_is_no_symmetry_is_not_added(other):
    for symmetry in (sk.so(2), sk.reflections(2), sk.so(2) + sk.reflections(2)):
        with pytest.raises(TypeError):
            symmetry + other
        with pytest.raises(TypeError):
            other + symmetry


def test_parts_of_other_spaces_are_refused():
    for make in (
        lambda: Group(sk.so(2), sk.reflections(3)),
        lambda: sk.so(2) + sk.reflections(3),
        lambda: sk.reflections(2) + sk.so(3),
        lambda: (sk.so(2) + sk.reflections(2)) + sk.so(3),
        lambda: sk.reflections(3) + (sk.so(2) + sk.reflections(2)),
    ):
        with pytest.raises(ValueError, match=r"R\^[23] and R\^[23].*on_columns"):
            make()


def test_parts_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="`algebra` must be a LieAlgebra"):
        Group(sk.reflections(2))
    with pytest.raises(TypeError, match="`elements` must be a FiniteGroup"):
        Group(sk.so(2), sk.so(2))
    for thing in (3, "so(3)", sk.so, np.eye(3)):
        with pytest.raises(TypeError, match="`candidates` must be a LieAlgebra, a FiniteGroup"):
            Group.of(thing, "candidates")


def test_group_of_what_is_one():
    group = sk.so(3) + sk.reflections(3)
    assert Group.of(group) is group
    assert Group.of(sk.so(3)).elements.n_elements == 0
    assert Group.of(sk.reflections(3)).algebra.dim == 0


@sums
def test_both_parts_are_repeated(group, rng):
    twice = group.repeat(2)
    xi, X = rng.normal(size=3), rng.normal(size=(4, 6))
    M, _ = twice.algebra.exp(xi)
    one, _ = group.algebra.exp(xi)
    expected = np.hstack([X[:, :3] @ one.T, X[:, 3:] @ one.T])
    assert_allclose(X @ M.T, expected, atol=1e-14)
    for g, single in zip(twice.elements.matrices, group.elements.matrices, strict=True):
        assert_array_equal(X @ g.T, np.hstack([X[:, :3] @ single.T, X[:, 3:] @ single.T]))


@pytest.mark.parametrize("by_name", [False, True])
def test_both_parts_act_on_columns(by_name, rng):
    group = sk.so(2) + sk.reflections(2)
    names = ["a", "b", "c", "d"]
    placed = group.on_columns(["d", "b"], names) if by_name else group.on_columns([3, 1], 4)
    assert placed.n_features == 4
    X = rng.normal(size=(5, 4))
    field = placed.algebra.vector_field(X)
    assert_array_equal(field[:, :, [3, 1]], group.algebra.vector_field(X[:, [3, 1]]))
    assert not field[:, :, [0, 2]].any()
    for g, single in zip(placed.elements.matrices, group.elements.matrices, strict=True):
        assert_array_equal((X @ g.T)[:, [3, 1]], X[:, [3, 1]] @ single.T)
        assert_array_equal((X @ g.T)[:, [0, 2]], X[:, [0, 2]])


def test_mixing_says_which_coordinates_belong_together():
    group = sk.so(2).on_columns([0, 1], 5) + sk.permutations(2).on_columns([2, 4], 5)
    expected = np.eye(5, dtype=bool)
    for i, j in ((0, 1), (2, 4)):
        expected[i, j] = expected[j, i] = True
    assert_array_equal(group.mixing != 0, expected)
    assert_array_equal(Group.none(3).mixing != 0, np.eye(3, dtype=bool))


def test_representations_of_both_parts(rng):
    group = sk.so(3) + sk.reflections(3)
    for output in (sk.vector, sk.covector, sk.tensor(sk.vector, sk.vector)):
        B, rho = output(group)
        assert_array_equal(B, output(group.algebra))
        assert_array_equal(rho, output(group.elements))


@sums
def test_groups_are_values(group, rng):
    assert copy.deepcopy(group) is group
    assert clone(sk.SymmetricRidge(group)).symmetry is group
    copied = pickle.loads(pickle.dumps(group))
    assert_array_equal(copied.algebra.linear, group.algebra.linear)
    assert_array_equal(copied.elements.matrices, group.elements.matrices)
    assert repr(copied) == repr(group)
    for array in (copied.algebra.linear, copied.elements.matrices):
        assert not array.flags.writeable
    assert "x0 ∂1" in repr(group)
    assert "-x2 on R^3" in repr(group)


@pytest.mark.parametrize("nothing", NOTHING.values(), ids=list(NOTHING))
def test_no_symmetry_is_legal_and_no_constraint(nothing, rng):
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    if nothing is not None:
        group = Group.of(nothing)
        assert group.is_trivial
        assert "no generators; no elements" in repr(group)
        assert Group.of(nothing).repeat(2).is_trivial
        assert group.on_columns([0, 1, 2], 5).is_trivial
    model = sk.SymmetricRidge(nothing, alpha=0.1).fit(X, Y)
    free = sk.SymmetricRidge(alpha=0.1).fit(X, Y)
    assert_array_equal(model.coef_, free.coef_)
    assert model.n_free_ == 2 * 10
    assert model.equivariance_error(X) == 0
    parts = clone(model).partial_fit(X[:9], Y[:9]).partial_fit(X[9:], Y[9:])
    assert_allclose(parts.coef_, free.coef_, atol=1e-12)
    if nothing is not None:
        Y = rng.normal(size=(30, 3))
        moving = sk.SymmetricRidge(nothing, output=sk.vector, alpha=0.1).fit(X, Y)
        assert_allclose(moving.coef_, sk.SymmetricRidge(alpha=0.1).fit(X, Y).coef_, atol=1e-12)


def test_what_users_call_a_symmetry(rng):
    X = rng.normal(size=(5, 3))
    for symmetry in (sk.so, sk.so(3), Group(sk.so(3)), lambda d: Group.of(sk.so(d))):
        assert_array_equal(resolve(symmetry, X).algebra.linear, sk.so(3).linear)
    for symmetry in (sk.reflections, sk.reflections(3)):
        assert_array_equal(resolve(symmetry, X).elements.matrices, sk.reflections(3).matrices)
    with pytest.raises(ValueError, match=r"`candidates` acts on R\^2, but X has 3 features"):
        resolve(sk.so(2) + sk.reflections(2), X, "candidates")
    with pytest.raises(TypeError, match=r"`symmetry` must be a LieAlgebra.*got 3"):
        resolve(lambda d: d, X)


def test_a_group_is_enforced_whole(rng):
    """Rotations alone keep the volume that three vectors span; a reflection changes its sign."""
    X = rng.normal(size=(300, 9))
    volume = np.linalg.det(X.reshape(-1, 3, 3))
    library = sk.PolynomialLibrary(3)
    rotations = sk.so(3).repeat(3)
    mirror = sk.FiniteGroup([np.diag([1.0, 1, -1])]).repeat(3)
    free = sk.SymmetricRidge(rotations, library=library, alpha=0).fit(X, volume)
    assert_allclose(free.predict(X), volume, atol=1e-9)
    both = sk.SymmetricRidge(rotations + mirror, library=library, alpha=0).fit(X, volume)
    assert both.score(X, volume) < 0.5
    g = mirror.matrices[0] @ rotations.exp(rng.normal(size=3))[0]
    assert_allclose(both.predict(X @ g.T), both.predict(X), atol=1e-11)


def test_vectors_follow_rotations_and_reflections(rng):
    X = rng.normal(size=(60, 3))
    Y = X * (X**2).sum(axis=1)[:, None]
    model = sk.SymmetricRidge(
        sk.so(3) + sk.FiniteGroup([-np.eye(3)]),
        library=sk.PolynomialLibrary(3),
        output=sk.vector,
        alpha=0,
    ).fit(X, Y)
    assert_allclose(model.predict(X), Y, atol=1e-10)
    g = -expm(np.tensordot(rng.normal(size=3), sk.so(3).linear, 1))
    assert_allclose(model.predict(X @ g.T), model.predict(X) @ g.T, atol=1e-10)


BAD_ARRAYS = {
    "complex generators": (lambda: sk.LieAlgebra(np.array([[[1j]]])), "complex"),
    "complex offset": (lambda: sk.LieAlgebra(np.zeros((1, 1, 1)), np.array([[1j]])), "complex"),
    "complex elements": (lambda: sk.FiniteGroup(np.array([[[1j]]])), "complex"),
    "NaN": (lambda: sk.LieAlgebra([[[np.nan]]]), "generator 0"),
    "infinite": (lambda: sk.LieAlgebra([[[np.inf]]]), "generator 0"),
    "infinite offset": (lambda: sk.LieAlgebra(np.zeros((1, 1, 1)), [[-np.inf]]), "generator 0"),
    "infinite element": (lambda: sk.FiniteGroup([[[np.inf]]]), "Element 0"),
    "NaN coordinates": (lambda: sk.so(3).exp([0, np.nan, 0]), "`xi` must be finite"),
    "infinite coordinates": (lambda: sk.so(3).exp([np.inf, 0, 0]), "`xi` must be finite"),
    "NaN combination": (lambda: sk.so(3).combine([[0, np.nan, 0]]), "generator 0"),
    "infinite scaling": (lambda: sk.scaling([1, np.inf]), "generator 0"),
    "complex combination": (lambda: sk.so(3).combine([[1j, 0, 0]]), "complex"),
    "complex coordinates": (lambda: sk.so(3).exp([1j, 0, 0]), "complex"),
}


@pytest.mark.parametrize(("make", "message"), BAD_ARRAYS.values(), ids=list(BAD_ARRAYS))
def test_numbers_that_are_no_symmetry_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
