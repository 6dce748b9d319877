"""``columns=`` of every library: the library of those columns, and nothing of the others."""

import copy

import numpy as np
import pandas as pd
import pysindy as ps
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, SplineTransformer

import sksym as sk
from sksym.equivariant import place
from sksym.libraries import as_library, evaluate
from sksym.testing import assert_closed, assert_jacobian

NAMES = ["east", "mass", "north", "up"]
TAKEN = [2, 0, 3]

# A library of three columns, and motions of them that it is closed under.
LIBRARIES = {
    "polynomial": (sk.PolynomialLibrary(3), sk.so(3), sk.permutations(3)),
    "placed polynomial": (
        sk.PolynomialLibrary(2, center=[1.0, 2, 3], scale=[2.0, 3, 4], domain=(-1, [5.0, 6, 7])),
        sk.aff(3),
        sk.cyclic(3, 5),
    ),
    "Fourier": (sk.FourierLibrary(2), sk.translations(3), sk.permutations(3)),
    "radial": (sk.RadialLibrary((-2, 0, 1), 2), sk.so(3), sk.reflections(3)),
    "pairs": (
        sk.PairLibrary(3, 1, [np.square, np.cos], labels=["a", "b", "a"]),
        sk.translations(1).repeat(3),
        sk.FiniteGroup([-np.eye(3)]),
    ),
    "transformer": (sk.from_transformer(PolynomialFeatures(2)), None, None),
    "complex step": (sk.from_transformer(FunctionTransformer(np.sin)), None, None),
    "splines": (sk.from_transformer(SplineTransformer(extrapolation="continue")), None, None),
    "pysindy": (sk.from_pysindy(ps.PolynomialLibrary(2) + ps.FourierLibrary(1)), None, None),
}
rows = pytest.mark.parametrize(
    ("library", "algebra", "group"), LIBRARIES.values(), ids=list(LIBRARIES)
)
kinds = pytest.mark.parametrize("by_name", [False, True], ids=["by number", "by name"])


@pytest.fixture
def X(rng):
    return rng.normal([0.5, 0, -0.3, 0.2], size=(40, 4))


def both(library, X, by_name):
    """The library that takes some of four columns, its data, and the library of those alone."""
    data = pd.DataFrame(X, columns=NAMES) if by_name else X
    columns = [NAMES[i] for i in TAKEN] if by_name else TAKEN
    taking = clone(library).set_params(columns=columns).fit(data)
    selected = data[columns] if by_name else X[:, TAKEN]
    return taking, data, clone(library).fit(selected), selected


@kinds
@rows
def test_it_is_the_library_of_those_columns(library, algebra, group, by_name, X, rng):
    taking, data, alone, selected = both(library, X, by_name)
    assert_array_equal(taking.transform(data), alone.transform(selected))
    assert taking.n_output_features_ == alone.n_output_features_
    assert_array_equal(taking.columns_, TAKEN)
    names = taking.get_feature_names_out()
    if not by_name and "x" in "".join(names):  # names of transformers follow the columns too
        alone_names = alone.get_feature_names_out([f"x{i}" for i in TAKEN])
    else:
        alone_names = alone.get_feature_names_out()
    assert_array_equal(names, alone_names)
    coef = rng.normal(size=(2, taking.n_output_features_))
    expected = alone.transform(selected) @ coef.T
    assert_allclose(evaluate(taking, coef, data if by_name else X), expected, atol=1e-11)
    assert_allclose(taking.monomial_coef(coef), alone.monomial_coef(coef), atol=1e-15)
    assert_array_equal(taking.monomial_names, alone_names)
    assert_array_equal(taking.name_sizes(), alone.name_sizes())
    assert_array_equal(taking.name_center()[TAKEN], alone.name_center())
    assert taking.name_center()[1] == 0


@kinds
@rows
def test_other_columns_have_no_influence(library, algebra, group, by_name, X, rng):
    taking, data, alone, selected = both(library, X, by_name)
    J = taking.jacobian(data)
    assert J.shape == (40, taking.n_output_features_, 4)
    assert_array_equal(J[:, :, TAKEN], alone.jacobian(selected))
    assert not J[:, :, 1].any()
    other = data.copy()
    if by_name:
        other["mass"] = 1e6 * rng.normal(size=40)
    else:
        other[:, 1] = 1e6 * rng.normal(size=40)
    assert_array_equal(taking.transform(other), taking.transform(data))
    assert_array_equal(taking.jacobian(other), J)
    again = clone(taking).fit(other)
    assert_array_equal(again.transform(data), taking.transform(data))


@rows
def test_jacobian_of_all_columns(library, algebra, group, X):
    taking, *_ = both(library, X, by_name=False)
    assert_jacobian(taking, X, rtol=1e-7)


closed = {name: row for name, row in LIBRARIES.items() if row[1] is not None}


@pytest.mark.parametrize(("library", "algebra", "group"), closed.values(), ids=list(closed))
def test_motions_of_those_columns_are_exact(library, algebra, group, X):
    """And so are motions of the others, which move no function."""
    taking, *_ = both(library, X, by_name=False)
    beside = sk.aff(1).on_columns([1], 4)
    both_kinds = algebra.on_columns(TAKEN, 4) + beside
    flips = group.on_columns(TAKEN, 4) + sk.reflections(1).on_columns([1], 4)
    assert_closed(taking, X, both_kinds + flips)
    assert taking.lie_matrices(beside).nnz == 0


@pytest.mark.parametrize(("library", "algebra", "group"), closed.values(), ids=list(closed))
def test_motions_that_mix_columns_are_not_closed(library, algebra, group, X):
    taking, *_ = both(library, X, by_name=False)
    with pytest.raises(sk.NotClosedError, match=r"takes the columns \[2, 0, 3\].*mixes"):
        taking.lie_matrices(sk.so(4))
    with pytest.raises(sk.NotClosedError, match=r"mixes"):
        taking.group_matrix(sk.permutations(4).matrices[0])
    # A field along a column that is taken, driven by one that is not.
    shear = np.zeros((1, 4, 4))
    shear[0, 0, 1] = 1
    with pytest.raises(sk.NotClosedError, match=r"mixes"):
        taking.lie_matrices(sk.LieAlgebra(shear))


@rows
def test_motions_that_mix_columns_are_enforced_at_points(library, algebra, group, X, rng):
    """Of functions of x0, x2 and x3 a rotation of x0 and x1 leaves those of x2 and x3."""
    taking = clone(library).set_params(columns=TAKEN)
    turn = sk.so(2).on_columns([0, 1], 4)
    y = rng.normal(size=40)
    model = sk.SymmetricRidge(turn, library=taking, alpha=0.1)
    model.fit(X, y)
    atol = max(1e-9, 10 * model.library_.jacobian_rtol_)
    assert model.equivariance_error(X) < atol
    M, _ = turn.exp([1.0])
    assert_allclose(model.predict(X @ M.T), model.predict(X), atol=1e-6 * np.abs(y).max())
    # What is left depends on the columns 2 and 3 only.
    J = np.einsum("p,npd->nd", model.coef_, model.library_.jacobian(X))
    assert_allclose(J[:, :2], 0, atol=1e-6)


def test_a_mixing_symmetry_by_hand(rng):
    """Polynomials of x0 and x1 with a rotation of x1 and x2: those of x0 are left."""
    X = rng.normal(size=(50, 3))
    turn = sk.so(2).on_columns([1, 2], 3)
    library = sk.PolynomialLibrary(3, columns=[0, 1])
    model = sk.SymmetricRidge(turn, library=library, alpha=0).fit(X, X[:, 0] ** 3)
    assert model.n_free_ == 4
    assert_allclose(model.predict(X), X[:, 0] ** 3, atol=1e-10)
    inside = sk.SymmetricRidge(sk.so(2).on_columns([0, 1], 3), library=library, alpha=0)
    radius = X[:, 0] ** 2 + X[:, 1] ** 2
    inside.fit(X, radius)
    assert inside.n_free_ == 2
    assert_allclose(inside.predict(X), radius, atol=1e-10)


@kinds
@rows
def test_estimators_take_columns(library, algebra, group, by_name, X, rng):
    data = pd.DataFrame(X, columns=NAMES) if by_name else X
    columns = [NAMES[i] for i in TAKEN] if by_name else TAKEN
    y = rng.normal(size=40)
    taking = sk.SymmetricRidge(library=clone(library).set_params(columns=columns), alpha=0.1)
    alone = sk.SymmetricRidge(library=library, alpha=0.1).fit(X[:, TAKEN], y)
    taking.fit(data, y)
    assert_allclose(taking.coef_, alone.coef_, atol=1e-9 * np.abs(alone.coef_).max())
    assert_allclose(taking.predict(data), alone.predict(X[:, TAKEN]), atol=1e-9)
    parts = copy.deepcopy(taking).partial_fit(data, y)
    assert_allclose(
        parts.predict(data),
        clone(alone).set_params(alpha=0.05).fit(X[:, TAKEN], y).predict(X[:, TAKEN]),
        atol=1e-9,
    )


@pytest.mark.parametrize("algebra", [None, sk.so(2).on_columns([0, 2], 3)], ids=["none", "so(2)"])
@pytest.mark.parametrize(
    "library", [sk.PolynomialLibrary(2), sk.RadialLibrary((0, 1), 1)], ids=["polynomial", "radial"]
)
def test_places_follow_the_columns_taken_alone(library, algebra, rng):
    """Whatever the other columns do: theirs are the largest numbers here, and in other rows."""
    X = rng.normal(size=(40, 3))
    X[:, 1] = 1e6 * rng.permutation(40)
    group = sk.Group.none(3) if algebra is None else sk.Group(algebra)
    inner = sk.Group.none(2) if algebra is None else sk.Group(sk.so(2))
    placed, _ = place(clone(library).set_params(columns=[0, 2]), X, group)
    alone, _ = place(library, X[:, [0, 2]], inner)
    assert_array_equal(placed.transform(X), alone.transform(X[:, [0, 2]]))
    assert_array_equal(placed.domain_, alone.domain_)
    T = placed.orthonormal_coordinates(X).toarray()
    assert_allclose(T, alone.orthonormal_coordinates(X[:, [0, 2]]).toarray(), rtol=1e-12)


def test_boxes_are_of_all_columns(X):
    """The library's own where it has one, the range of the data elsewhere."""
    library = sk.PolynomialLibrary(2, columns=[3, 0], domain=([-5.0, -6.0], [7.0, 8.0])).fit(X)
    box = library.box(X)
    assert_array_equal(box[:, [3, 0]], [[-5, -6], [7, 8]])
    assert_allclose(box[:, [1, 2]], [X[:, [1, 2]].min(axis=0), X[:, [1, 2]].max(axis=0)])


def test_lie_derivatives_of_some_columns(X, rng):
    """Exact and sampled at quadrature nodes agree; without points there is no box."""
    library = sk.PolynomialLibrary(2, columns=[0, 2]).fit(X)
    algebra = sk.aff(2).on_columns([2, 0], 4)
    t, w = np.polynomial.legendre.leggauss(6)
    middle, half = library.domain_.mean(axis=0), np.diff(library.domain_, axis=0)[0] / 2
    nodes = np.zeros((36, 4))
    nodes[:, 0] = np.repeat(t, 6) * half[0] + middle[0]
    nodes[:, 2] = np.tile(t, 6) * half[1] + middle[1]
    weights = np.outer(w, w).ravel()
    exact = sk.LieDerivative.exact(library, algebra, None, X)
    sampled = sk.LieDerivative.sampled(library, algebra, None, nodes, weights)
    coef = rng.normal(size=(1, library.n_output_features_))
    A, B = exact.symmetry_matrix(coef), sampled.symmetry_matrix(coef)
    for L, M in ((exact, A), (sampled, B)):
        assert M.shape[1] == 6
        assert L.n_generators == 6
    to_own = [np.linalg.pinv(L.generators) for L in (exact, sampled)]
    gram, expected = (own @ M.T @ M @ own.T for own, M in zip(to_own, (A, B), strict=True))
    assert_allclose(gram, expected, atol=1e-10 * np.abs(expected).max())
    with pytest.raises(ValueError, match="give points `X`"):
        sk.LieDerivative.exact(library, algebra)


BAD = {
    "twice": ([0, 0], "distinct"),
    "outside": ([0, 4], "distinct and in 0..3"),
    "negative": ([-1], "distinct and in 0..3"),
    "fraction": ([0.5], "distinct"),
    "no names": (["east"], "names of all columns"),
    "none": ([], "`columns` is empty"),
}


@pytest.mark.parametrize(("columns", "message"), BAD.values(), ids=list(BAD))
@pytest.mark.parametrize("name", ["polynomial", "Fourier", "radial", "transformer"])
def test_wrong_columns_are_refused(name, columns, message, X):
    library = clone(LIBRARIES[name][0]).set_params(columns=columns)
    with pytest.raises(ValueError, match=message):
        library.fit(X)
    with pytest.raises(ValueError, match=message):
        sk.SymmetricRidge(library=library).fit(X, X[:, 0])


def test_names_that_are_not_there_are_refused(X):
    frame = pd.DataFrame(X, columns=NAMES)
    for library in (sk.PolynomialLibrary(columns=["east", "down"]), sk.RadialLibrary(columns="up")):
        with pytest.raises(ValueError, match="not among"):
            library.fit(frame)
        with pytest.raises(ValueError, match="not among"):
            sk.SymmetricRidge(library=library).fit(frame, X[:, 0])


def test_libraries_that_only_look_like_one_take_all_columns(X):
    assert "columns" not in as_library(PlainLibrary()).get_params()


class PlainLibrary:
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X

    def jacobian(self, X):
        return np.tile(np.eye(X.shape[1]), (len(X), 1, 1))
