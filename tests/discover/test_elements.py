"""Discrete symmetries of a function: what is found leaves it unchanged, and nothing is invented."""

from math import factorial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.preprocessing import SplineTransformer

from sksym import (
    FiniteGroup,
    FourierLibrary,
    PolynomialLibrary,
    SymmetryDiscoverer,
    cyclic,
    from_transformer,
    gl,
    permutations,
    reflections,
    signed_permutations,
    so,
    vector,
)
from sksym.groups import StabilizerChain, signed_images


def square(X):
    return np.sum(X**2, axis=1)


def reflected(X):
    x, y, z = X.T
    return x**2 * y + 0.7 * x**2 * z**2 + 0.5 * y**3 + z * y + 0.6 * z


def symmetric(X):
    return np.prod(X, axis=1) + (1 + 0.6 * square(X)) * X.sum(axis=1)


def shifted(X):
    """Unchanged by cyclic shifts: neither by a swap nor by a sign."""
    return np.sum(X * np.roll(X, 1, axis=1) ** 2 + 0.5 * X, axis=1)


def cubic(X):
    return np.sum(X**4, axis=1) - square(X)


def even(X):
    x, y, z = X.T
    return x * y + 0.5 * y * z + x**2 + 0.3 * z**2 + 0.4 * x**3 * y + 0.7 * x * z


def generic(X):
    x, y, z = X.T
    return x + 0.5 * y**2 + 0.8 * x * z**2 + 0.6 * y * z - 0.7 * z + 0.4 * x**2 * y


# function of three variables, and the number of signed permutations that leave it unchanged
CASES = {
    "reflection": (reflected, 2),
    "all permutations": (symmetric, 6),
    "cyclic shifts": (shifted, 3),
    "all": (cubic, 48),
    "minus one": (even, 2),
    "none": (generic, 1),
}


def samples(f, d=3, noise=0.05, n=1000, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    Y = f(X)
    return X, Y + noise * Y.std() * rng.normal(size=Y.shape)


def discovered(f, candidates, d=3, degree=4, noise=0.05, n=1000, **parameters):
    X, Y = samples(f, d, noise, n)
    model = SymmetryDiscoverer(candidates, library=PolynomialLibrary(degree), **parameters)
    return model.fit(X, Y)


def assert_unchanged(f, model, rho=lambda g: 1):
    """Every element found leaves the true function unchanged."""
    elements = model.elements_
    X = np.random.default_rng(9).normal(size=(20, elements.n_features))
    for g in elements.matrices:
        moved = f(X @ g.T)
        expected = f(X) if np.isscalar(rho(g)) else f(X) @ rho(g).T
        assert_allclose(moved, expected, atol=1e-9)


@pytest.mark.parametrize("noise", [0, 0.01, 0.1])
@pytest.mark.parametrize(("f", "order"), CASES.values(), ids=list(CASES))
def test_signed_permutations(f, order, noise):
    model = discovered(f, signed_permutations, noise=noise)
    assert model.elements_.order == order
    assert_unchanged(f, model)


@pytest.mark.parametrize("model", [discovered(cubic, signed_permutations(3))])
def test_what_is_published(model):
    k = model.elements_.n_elements
    assert model.element_p_values_.shape == model.element_defects_.shape == (k,)
    assert (model.element_p_values_ > 0).all()
    assert (model.element_defects_ < model.max_defect).all()
    for test, name in zip(model.element_tests_, model.elements_.names, strict=False):
        assert test.is_symmetry
        assert test.name == name
    assert model.n_symmetries_ == 0


def test_rejected_candidates_are_published_too():
    model = discovered(reflected, reflections)
    assert model.elements_.names == ("-x0",)
    declared = {test.name: test.is_symmetry for test in model.element_tests_}
    assert declared == {"-x0": True, "-x1": False, "-x2": False}
    for test in model.element_tests_[1:]:
        assert test.p_value < 1e-6
        assert test.defect > 0.1 > test.floor


def test_products_of_elements_that_are_no_symmetries_are_found():
    """x0 <-> x2 is no generator of `permutations(3)`, and a product of the two."""

    def f(X):
        return X[:, 0] * X[:, 2] + X[:, 0] + X[:, 2] + X[:, 1] ** 2 + X[:, 1]

    model = discovered(f, permutations, degree=2)
    (g,) = model.elements_.matrices
    assert_allclose(g @ [1, 2, 3], [3, 2, 1])


def test_only_elements_of_the_candidates_are_found():
    """The function has all 48, the candidates are even permutations."""
    model = discovered(cubic, FiniteGroup(permutations(3).matrices[1:]))
    assert model.elements_.order == 3


@pytest.mark.parametrize("degree", [2, 3])
def test_many_features(degree):
    d = 12
    order = np.random.default_rng(1).permutation(d)

    def ring(X):
        return np.sum(X[:, order] * np.roll(X[:, order], 1, axis=1) + X**degree, axis=1)

    model = discovered(ring, signed_permutations, d, degree, n=2000)
    assert_unchanged(ring, model)
    # Rotations and reflections of the ring; where all terms are even, signs of all or every other.
    assert model.elements_.order == (2 * d if degree == 3 else 4 * d)


def test_groups_too_large_to_list():
    d = 20
    model = discovered(square, signed_permutations, d, degree=2, n=1000)
    assert model.elements_.order == 2**d * factorial(d)
    assert model.elements_.n_elements <= 2 * d


def test_outputs_that_move():
    def competing(X):
        return X * (1 - X - 0.5 * np.roll(X, 1, axis=1))

    model = discovered(competing, signed_permutations, 5, degree=2, output=vector)
    assert model.elements_.order == 5
    assert_unchanged(competing, model, rho=lambda g: g)
    # As invariants its components have nothing in common.
    assert discovered(competing, signed_permutations, 5, degree=2).elements_.n_elements == 0


def test_turns_that_map_no_axis_to_an_axis():
    def three_fold(X):
        return X[:, 0] ** 3 - 3 * X[:, 0] * X[:, 1] ** 2 + square(X)

    model = discovered(three_fold, cyclic(2, 3), 2, degree=3)
    assert model.elements_.order == 3
    # A third of a turn is a product of sixths, which are no symmetries.
    model = discovered(three_fold, cyclic(2, 6), 2, degree=3)
    assert model.elements_.order == 3
    assert_unchanged(three_fold, model)
    assert discovered(three_fold, cyclic(2, 5), 2, degree=3).elements_.n_elements == 0


def test_libraries_that_are_not_closed_are_tested_at_points(rng):
    """The knots of splines follow the data, so that no reflection maps them to each other."""
    X = rng.uniform(-1, 1, size=(2000, 2))
    y = np.cos(2 * X[:, 0]) + X[:, 1] + 0.02 * rng.normal(size=2000)
    library = from_transformer(SplineTransformer(n_knots=7, degree=3))
    model = SymmetryDiscoverer(reflections, library=library).fit(X, y)
    assert model.elements_.names == ("-x0",)


def test_functions_other_than_monomials(rng):
    X = rng.uniform(-3, 3, size=(1000, 2))
    y = np.cos(X).prod(axis=1) + np.cos(2 * X).sum(axis=1) + 0.05 * rng.normal(size=1000)
    model = SymmetryDiscoverer(signed_permutations, library=FourierLibrary(2)).fit(X, y)
    assert model.elements_.order == 8


def test_generators_and_elements_together():
    def f(X):
        return square(X[:, :2]) * (1 + X[:, 2] ** 2) + X[:, 2] ** 2

    model = discovered(f, gl(3) + reflections(3))
    assert_allclose(model.algebra_.linear, so(2).on_columns([0, 1], 3).linear, atol=1e-12)
    assert set(model.elements_.names) == {"-x0", "-x1", "-x2"}


def test_transform_gives_functions_invariant_under_the_elements(rng):
    model = discovered(shifted, signed_permutations)
    X = rng.normal(size=(10, 3))
    assert model.transform(X).shape[1]
    assert_allclose(model.transform(np.roll(X, 1, axis=1)), model.transform(X), atol=1e-9)
    assert np.abs(model.transform(X[:, ::-1]) - model.transform(X)).max() > 1e-3


def test_weak_evidence_is_not_enough():
    """Failing to reject is not finding: noise as large as the function, few samples."""
    model = discovered(even, signed_permutations, noise=2.0, n=60)
    assert model.elements_.n_elements == 0
    assert discovered(even, signed_permutations, n=20).elements_.n_elements == 0


def test_data_far_from_the_fixed_point_say_nothing_of_signs(rng):
    X = rng.uniform(9, 11, size=(500, 2))
    y = X.prod(axis=1) + square(X) + 0.1 * rng.normal(size=500)
    model = SymmetryDiscoverer(signed_permutations, library=PolynomialLibrary(3)).fit(X, y)
    assert model.elements_.names == ("swap",)


def test_what_the_data_do_not_show_is_not_declared(rng):
    """On x0 = x1 any function of x0 - x1 vanishes, and -x0 takes it to one that does not."""
    x = rng.normal(size=(500, 1))
    X = np.hstack([x, x])
    model = SymmetryDiscoverer(reflections, library=PolynomialLibrary(2)).fit(X, square(X))
    assert model.elements_.n_elements == 0
    assert all(np.isnan(test.p_value) for test in model.element_tests_)


def test_elements_that_nothing_depends_on_are_no_evidence(rng):
    """Every function of x0 alone is unchanged by -x1."""
    X = rng.normal(size=(500, 2))
    library = PolynomialLibrary(2, columns=[0])
    model = SymmetryDiscoverer(reflections, library=library).fit(X, X[:, 0])
    assert model.elements_.n_elements == 0


def test_errors_of_unequal_size(rng):
    X = rng.normal(size=(2000, 3))
    noise = 0.3 * np.abs(X[:, 0]) ** 2 * rng.normal(size=2000)
    model = SymmetryDiscoverer(signed_permutations, library=PolynomialLibrary(3), robust=True)
    assert model.fit(X, shifted(X) + noise).elements_.order == 3


@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e6, 1e12])
def test_reflections_through_the_origin_in_any_unit(unit):
    X, y = samples(even)
    model = SymmetryDiscoverer(signed_permutations, library=PolynomialLibrary(4)).fit(unit * X, y)
    assert_allclose(model.elements_.matrices, [-np.eye(3)])


def test_small_columns_are_moved_as_far_as_large_ones():
    """Permutations among equal units; displacements count by columns, not by their sum."""

    def mixed(X):
        x, y, z = X.T
        return x * y + x + y + 0.5 * (x**2 + y**2) * z + z**2 + 0.3 * z

    X, y = samples(mixed)
    units = np.array([1e-6, 1e-6, 1e6])
    candidates = permutations(2).on_columns([0, 1], 3) + reflections(3)
    model = SymmetryDiscoverer(candidates, library=PolynomialLibrary(3)).fit(X * units, y)
    same = SymmetryDiscoverer(candidates, library=PolynomialLibrary(3)).fit(X, y)
    assert model.elements_.names == same.elements_.names == ("swap",)
    assert_allclose(model.element_defects_, same.element_defects_, rtol=1e-6)


def test_elements_act_about_the_origin(rng):
    """What is even about its centre is not so about a far origin; remedy: subtract the centre."""
    X, y = samples(even)
    far = X + 100
    model = SymmetryDiscoverer(signed_permutations, library=PolynomialLibrary(4))
    assert model.fit(far, y).elements_.n_elements == 0
    assert_allclose(model.fit(far - 100, y).elements_.matrices, [-np.eye(3)])


def test_verdicts():
    """Near: broken beyond noise, but by less than `max_defect`."""

    def nearly(X):
        return square(X) ** 2 / 4 + X[:, 0] + 0.1 * X[:, 1]

    model = discovered(nearly, reflections)
    verdicts = {row.generator: row.verdict for row in model.report_}
    assert verdicts == {"-x0": "broken", "-x1": "near", "-x2": "symmetry"}
    strict = discovered(nearly, reflections, max_defect=0.01)
    assert {row.generator: row.verdict for row in strict.report_} == {
        "-x0": "broken",
        "-x1": "broken",
        "-x2": "undecided",
    }


def test_weights_and_units(rng):
    X, y = samples(shifted)
    weight = rng.uniform(0.5, 2, size=len(X))
    model = SymmetryDiscoverer(signed_permutations, library=PolynomialLibrary(3))
    assert model.fit(X, y, weight).elements_.order == 3
    assert clone(model).fit(1e8 * X, 1e-8 * y).elements_.order == 3


def test_a_constant_has_every_symmetry(rng):
    X = rng.normal(size=(50, 2))
    with pytest.warns(UserWarning, match="constant"):
        model = SymmetryDiscoverer(signed_permutations).fit(X, np.ones(50))
    assert model.elements_.order == 8


def test_groups_that_are_not_searched_to_the_end_say_so():
    """A turn by one radian generates a group without end."""
    turn, _ = so(2).exp([1.0])
    candidates = FiniteGroup([turn, np.diag([1.0, -1.0])])

    def upright(X):
        return X[:, 0] + square(X)

    with pytest.warns(UserWarning, match="missing"):
        model = discovered(upright, candidates, 2, degree=2)
    assert_allclose(model.elements_.matrices, candidates.matrices[1:])
    # Nothing is missing where all that generates the group is found.
    assert discovered(square, candidates, 2, degree=2).elements_.n_elements == 2


@pytest.mark.parametrize("d", [1, 2, 3, 12, 30])
def test_signed_permutations_are_never_listed(d):
    group = signed_permutations(d)
    assert group.n_features == d
    assert group.n_elements <= 3
    assert group.order == 2**d * factorial(d)


@pytest.mark.parametrize(
    ("group", "order"),
    [
        (permutations(15), factorial(15)),
        (permutations(4, block=3), 24),
        (reflections(40), 2**40),
        (cyclic(2, 4), 4),
        (cyclic(3, 7), 7),
        (FiniteGroup(np.zeros((0, 3, 3))), 1),
        (FiniteGroup([so(2).exp([1.0])[0]]), None),
    ],
)
def test_orders(group, order):
    assert group.order == order


def test_chains_contain_products_alone(rng):
    images = signed_images(permutations(3, block=2).matrices)
    chain = StabilizerChain(images, range(6))
    swap, cycle = images
    assert swap[cycle] in chain
    assert cycle[swap[cycle]] in chain
    assert signed_images(reflections(6).matrices)[0] not in chain
    assert signed_images(permutations(6).matrices)[0] not in chain
