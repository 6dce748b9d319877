"""Functions of the distances between points: definition, derivatives, invariance, labels."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import sksym as sk
from sksym import PairLibrary
from sksym.groups import FiniteGroup
from sksym.testing import assert_closed, assert_jacobian, assert_symmetric

WATER = ["O", "H", "H"]


def power(r):
    return r**-6.0


def slope_of_power(r):
    return -6.0 * r**-7.0


FUNCTIONS = {
    "splines": 7,
    "functions": [np.exp, np.sin],
    "with derivatives": [(power, slope_of_power), (np.square, lambda r: 2 * r)],
    "without complex step": [lambda r: np.real(r) ** 2, lambda r: np.exp(-np.real(r))],
}
functions = pytest.mark.parametrize("functions", FUNCTIONS.values(), ids=list(FUNCTIONS))


@pytest.fixture
def X(rng):
    """Rows of four points in space, apart from each other."""
    corners = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]])
    return (corners + 0.3 * rng.normal(size=(60, 4, 3))).reshape(60, 12)


def distance(X, i, j, dim=3):
    return np.linalg.norm(X[:, dim * i : dim * i + dim] - X[:, dim * j : dim * j + dim], axis=1)


@pytest.mark.parametrize("labels", [None, ["a", "b", "b", "a"], [1, 2, 3, 1]])
def test_it_is_a_sum_over_pairs(labels, X):
    library = PairLibrary(4, 3, [power, np.exp], labels=labels).fit(X)
    expected = {}
    for i, j in combinations(range(4), 2):
        key = "" if labels is None else frozenset([labels[i], labels[j]])
        r = distance(X, i, j)
        expected[key] = expected.get(key, 0) + np.column_stack([power(r), np.exp(r)])
    expected = np.concatenate(list(expected.values()), axis=1)
    values = library.transform(X)
    # Whatever the order of the columns.
    assert_allclose(np.sort(values), np.sort(expected), rtol=1e-12)


@functions
@pytest.mark.parametrize("labels", [None, ["a", "b", "b", "a"]])
def test_jacobian(functions, labels, X):
    library = PairLibrary(4, 3, functions, labels=labels).fit(X)
    assert_jacobian(library, X, rtol=1e-7)
    numerical = functions is FUNCTIONS["without complex step"]
    assert (library.jacobian_rtol_ > 0) == numerical


@functions
@pytest.mark.parametrize("labels", [None, ["a", "b", "b", "a"]])
def test_motions_of_all_points_and_permutations_are_exact(functions, labels, X):
    library = PairLibrary(4, 3, functions, labels=labels).fit(X)
    swap = sk.permutations(2, block=3)
    group = sk.reflections(3).repeat(4)
    if labels is None:
        group = group + sk.permutations(4, block=3)
    else:
        group = group + swap.on_columns([0, 1, 2, 9, 10, 11], 12)
    assert_closed(library, X, sk.se(3).repeat(4) + group)
    assert library.lie_matrices(sk.se(3).repeat(4)).nnz == 0


@pytest.mark.parametrize(
    "motion",
    [sk.so(12), sk.so(3).on_columns([0, 1, 2], 12), sk.translations(12), sk.gl(3).repeat(4)],
    ids=["all columns", "one point", "points apart", "stretching"],
)
def test_motions_that_change_distances_are_not_closed(motion, X):
    library = PairLibrary(4, 3, 4).fit(X)
    with pytest.raises(sk.NotClosedError, match=r"se\(3\)\.repeat"):
        library.lie_matrices(motion)


@pytest.mark.parametrize(
    "element",
    [
        sk.permutations(12).matrices[0],
        2 * np.eye(12),
        np.diag([-1.0, 1, 1] + [1.0] * 9),
        np.roll(np.eye(12), 3, axis=0),
    ],
    ids=["coordinates", "stretching", "one point", "labels"],
)
def test_elements_that_change_distances_are_not_closed(element, X):
    library = PairLibrary(4, 3, 4, labels="abba").fit(X)
    with pytest.raises(sk.NotClosedError, match="same label only"):
        library.group_matrix(element)


def test_symmetries_of_the_library_leave_all_of_it_free(X, rng):
    """And symmetries that it does not have are enforced at points."""
    y = rng.normal(size=60)
    library = PairLibrary(4, 3, 5, labels="abba")
    model = sk.SymmetricRidge(sk.se(3).repeat(4), library=library).fit(X, y)
    assert model.n_free_ == model.library_.n_output_features_ == 15
    every = sk.permutations(4, block=3)
    given = PairLibrary(4, 3, [np.square, np.exp], labels="abba")
    model = sk.SymmetricRidge(every, library=given, alpha=0).fit(X, y)
    assert model.n_free_ == 2
    assert_symmetric(model, X, every, rtol=1e-8)


@pytest.mark.parametrize("k", [2, 3, 4, 9])
def test_splines_have_their_values_at_the_knots(k, X):
    """Two points, so that the library is the splines themselves."""
    X = X[:, :6]
    library = PairLibrary(2, 3, k).fit(X)
    r = distance(X, 0, 1)
    (pair_set,) = library.sets_
    knots = pair_set.functions.knots
    assert_allclose(knots[[0, -1]], [r.min(), r.max()])
    assert (np.diff(knots) > 0).all()
    assert_allclose(library.transform(at_distances(knots)), np.eye(k), atol=1e-12)
    # Constants and straight lines are among them, on either side too.
    coef = np.column_stack([np.ones(k), knots])
    wide = np.linspace(0, 3 * r.max(), 50)
    lines = np.column_stack([np.ones(50), wide])
    assert_allclose(library.transform(at_distances(wide)) @ coef, lines, atol=1e-9)


def test_splines_go_on_smoothly(X):
    """Parabolas below the distances seen, straight lines above, without a jump of curvature."""
    library = PairLibrary(2, 3, 6).fit(X[:, :6])
    knots = library.sets_[0].functions.knots
    low, high = knots[0], knots[-1]
    above = library.transform(at_distances(high + np.arange(4)))
    assert_allclose(np.diff(above, n=2, axis=0), 0, atol=1e-9)
    below = library.transform(at_distances(np.linspace(0, low, 5)))
    assert_allclose(np.diff(below, n=3, axis=0), 0, atol=1e-9)
    for end in (low, high):
        step = 1e-3
        slopes = library.jacobian(at_distances(end + step * np.arange(-1, 2)))[:, :, 3]
        curvature = np.diff(slopes, axis=0) / step
        assert_allclose(curvature[0], curvature[1], atol=0.02 * np.abs(curvature).max() + 0.02)


def test_splines_of_one_distance_and_of_distance_zero():
    one = at_distances(np.array([2.0]))
    assert np.isfinite(PairLibrary(2, 3, 5).fit(one).transform(one)).all()
    zero = at_distances(np.array([0.0, 1.0]))
    library = PairLibrary(2, 3, 5).fit(zero)
    assert_allclose(library.transform(zero), np.eye(5)[[0, -1]], atol=1e-12)
    assert_allclose(library.jacobian(zero)[0], 0)


def at_distances(r):
    """Rows of two points at given distances."""
    rows = np.zeros((len(r), 6))
    rows[:, 3] = r
    return rows


def test_each_two_labels_have_knots_of_their_own(X):
    stretched = X.copy()
    stretched[:, 9:] += 10  # the last point is far away
    library = PairLibrary(4, 3, 5, labels=["a", "a", "a", "b"]).fit(stretched)
    near, far = (pair_set.functions.knots for pair_set in library.sets_)
    assert near[-1] < 5 < far[0]


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_any_number_of_coordinates(dim, rng):
    X = rng.normal(size=(30, 4 * dim))
    library = PairLibrary(dim=dim, functions=[np.square]).fit(X)
    expected = sum(distance(X, i, j, dim) ** 2 for i, j in combinations(range(4), 2))
    assert_allclose(library.transform(X)[:, 0], expected)
    assert_jacobian(library, X, rtol=1e-7)


def test_names():
    x = np.arange(9.0)[None]
    names = PairLibrary(3, 3, [np.exp, power, lambda r: r, lambda r: 2 * r]).fit(x)
    assert list(names.get_feature_names_out()) == ["exp(r)", "power(r)", "f2(r)", "f3(r)"]
    named = PairLibrary(3, 3, 2, labels=WATER).fit(x).get_feature_names_out()
    assert list(named) == ["s0(r O-H)", "s1(r O-H)", "s0(r H-H)", "s1(r H-H)"]


def test_columns_by_name(X):
    frame = pd.DataFrame(X, columns=[f"{axis}{i}" for i in range(4) for axis in "xyz"])
    some = [f"{axis}{i}" for i in (2, 0) for axis in "xyz"]
    library = PairLibrary(2, 3, [np.square], columns=some).fit(frame)
    assert_allclose(library.transform(frame)[:, 0], distance(X, 0, 2) ** 2)
    J = library.jacobian(frame)
    assert not J[:, :, 3:6].any()
    assert_allclose(J[:, 0, 0], 2 * (X[:, 0] - X[:, 6]))


@functions
def test_a_row_does_not_depend_on_the_others(functions, X):
    library = PairLibrary(4, 3, functions).fit(X)
    many = np.tile(X, (40, 1))
    assert_array_equal(library.transform(many)[:60], library.transform(X))
    assert_array_equal(library.jacobian(many)[-60:], library.jacobian(X))


def test_points_that_coincide(X):
    """No force between them; functions that have no value there are refused."""
    X[3, 3:6] = X[3, :3]
    library = PairLibrary(4, 3, [np.square, np.exp]).fit(X)
    assert np.isfinite(library.jacobian(X)).all()
    alone = PairLibrary(2, 3, [np.exp]).fit(X[:3, :6])
    assert not alone.jacobian(X[3:4, :6]).any()
    with pytest.raises(ValueError, match="power of `functions` is not finite at the distance 0:"):
        PairLibrary(4, 3, [(power, slope_of_power)]).fit(X).transform(X)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_any_unit(unit, X):
    expected = PairLibrary(4, 3, 5).fit(X).transform(X)
    assert_allclose(PairLibrary(4, 3, 5).fit(unit * X).transform(unit * X), expected, atol=1e-9)


REFUSED = {
    "columns": ({"n_points": 5}, r"5 points of 3 coordinates need 15 columns, but there are 12"),
    "coordinates": ({"n_points": None, "dim": 5}, r"2 points of 5 coordinates need 10 columns"),
    "one point": ({"n_points": 1, "dim": 12}, "A pair needs two points"),
    "labels": ({"labels": "abb"}, r"name each of the 4 points, got 3"),
    "no functions": ({"functions": []}, "`functions` must be a number of splines, or a list"),
    "one spline": ({"functions": 1}, "at least 2 splines"),
    "text": ({"functions": ["exp"]}, "must hold functions of the distance"),
    "a mean": ({"functions": [lambda r: np.array([1.0, 2.0])]}, "gives 2 values for"),
    "dim": ({"dim": 0}, "`dim` must be an integer >= 1"),
    "number": ({"n_points": 0}, "`n_points` must be an integer >= 1"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=list(REFUSED))
def test_refused(options, message, X):
    library = PairLibrary(**{"n_points": 4, "dim": 3, **options})
    with pytest.raises(ValueError, match=message):
        library.fit(X).transform(X)


def test_point_reflections_move_all_points():
    x = np.arange(6.0)[None]
    library = PairLibrary(2, 3, 3).fit(x)
    (K,) = (library.group_matrix(g) for g in FiniteGroup([-np.eye(6)]).matrices)
    assert_array_equal(K.toarray(), np.eye(3))
