"""Discrete symmetries of models, class labels and data sets; nothing is invented."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sksym import (
    FiniteGroup,
    PolynomialLibrary,
    SymmetryDiscoverer,
    cyclic,
    permutations,
    reflections,
    signed_permutations,
    so,
    vector,
)
from sksym.discover.cloud_elements import CloudElements


def square(X):
    return np.sum(X**2, axis=1)


def symmetric(X):
    return np.prod(X, axis=1) + (1 + 0.3 * square(X)) * X.sum(axis=1)


def shifted(X):
    """Unchanged by cyclic shifts: neither by a swap nor by a sign."""
    return np.sum(X * np.roll(X, 1, axis=1) ** 2 + 0.5 * X, axis=1)


def even(X):
    x, y, z = X.T
    return x * y + 0.5 * y * z + x**2 + 0.3 * z**2 + 0.7 * x * z


def cubic(X):
    return np.sum(X**4, axis=1) - square(X)


def generic(X):
    x, y, z = X.T
    return x + 0.5 * y**2 + 0.8 * x * z**2 + 0.6 * y * z - 0.7 * z + 0.4 * x**2 * y


# function of three variables, and the number of signed permutations that leave it unchanged
CASES = {
    "all permutations": (symmetric, 6),
    "cyclic shifts": (shifted, 3),
    "minus one": (even, 2),
    "all": (cubic, 48),
    "none": (generic, 1),
}
every_case = pytest.mark.parametrize(("f", "order"), CASES.values(), ids=list(CASES))


def verdicts(model):
    return {test.name: test.verdict(model.max_defect) for test in model.element_tests_}


# ------------------------------------------------------------------------------------------ models


@every_case
def test_functions_that_are_given(f, order):
    X = np.random.default_rng(0).normal(size=(500, 3))
    model = SymmetryDiscoverer(signed_permutations, estimator=f).fit(X)
    assert model.method_ == "model"
    assert model.elements_.order == order
    for g in model.elements_.matrices:
        assert_allclose(f(X @ g.T), f(X), atol=1e-10)


@pytest.mark.parametrize("name", ["cyclic shifts", "minus one", "none"])
def test_models_with_an_error_of_their_own(name):
    """A smooth fit to noisy samples is symmetric up to its error only."""
    f, order = CASES[name]
    rng = np.random.default_rng(0)
    X = rng.uniform(-1.5, 1.5, size=(600, 3))
    y = f(X) / f(X).std() + 0.03 * rng.normal(size=600)
    regressor = make_pipeline(PolynomialFeatures(4), Ridge(0.01))
    model = SymmetryDiscoverer(signed_permutations, estimator=regressor).fit(X, y)
    assert model.elements_.order == order
    assert np.isnan(model.element_p_values_).all()
    floors = [test.floor for test in model.element_tests_]
    assert min(floors) > 1e-4


def test_without_targets_a_model_is_taken_at_its_word():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1.5, 1.5, size=(600, 3))
    y = cubic(X) / cubic(X).std() + 0.03 * rng.normal(size=600)
    fitted = make_pipeline(PolynomialFeatures(4), Ridge(0.01)).fit(X, y)
    Z = rng.uniform(-1.5, 1.5, size=(600, 3))
    z = cubic(Z) / cubic(X).std() + 0.03 * rng.normal(size=600)
    model = SymmetryDiscoverer(reflections, estimator=FrozenEstimator(fitted)).fit(X)
    assert set(verdicts(model).values()) == {"near"}
    with_targets = SymmetryDiscoverer(reflections, estimator=FrozenEstimator(fitted)).fit(Z, z)
    assert set(verdicts(with_targets).values()) == {"symmetry"}


def test_models_without_a_derivative(rng):
    X = rng.normal(size=(1000, 2))
    y = np.sign(X[:, 0]) * (1 + (np.abs(X[:, 1]) > 0.7))
    forest = RandomForestRegressor(20, min_samples_leaf=5, random_state=0)
    assert verdicts(SymmetryDiscoverer(reflections, estimator=forest).fit(X, y))["-x0"] == "broken"

    def steps(X):
        return np.sign(X[:, 0]) * (1 + (np.abs(X[:, 1]) > 0.7))

    assert SymmetryDiscoverer(reflections, estimator=steps).fit(X).elements_.names == ("-x1",)


def test_a_model_is_compared_where_there_are_samples(rng):
    """Far from the origin no sample is taken by a sign flip to where there are others."""
    X = rng.uniform(9, 11, size=(300, 2))
    model = SymmetryDiscoverer(signed_permutations, estimator=square).fit(X)
    assert verdicts(model) == {"swap": "symmetry", "-x0": "unidentified"}


def test_generators_and_elements_of_a_model(rng):
    def field(X):
        return X * (1 - square(X))[:, None] + [0, 0, 1.0]

    X = rng.normal(size=(300, 3))
    candidates = so(3) + reflections(3)
    model = SymmetryDiscoverer(candidates, output=vector, estimator=field).fit(X, field(X))
    assert_allclose(model.algebra_.linear, so(2).on_columns([0, 1], 3).linear, atol=1e-6)
    assert verdicts(model) == {"-x0": "symmetry", "-x1": "symmetry", "-x2": "broken"}
    Z = rng.normal(size=(5, 3))
    assert_allclose(model.transform(Z * [-1, 1, 1]), model.transform(Z), atol=1e-9)


def test_products_of_accepted_elements_are_tested_too():
    """A small asymmetry passes in each of two elements alone, and not in their products."""

    def f(X):
        return np.sum(X**2 * [1, 1.1, 1.2, 1.3], axis=1)

    X = np.random.default_rng(0).uniform(-1, 1, size=(1000, 4))
    model = SymmetryDiscoverer(permutations, estimator=f).fit(X)
    assert model.elements_.n_elements == 0
    assert set(verdicts(model).values()) <= {"near", "broken"}


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_units_of_models(unit):
    X = np.random.default_rng(0).normal(size=(300, 3))

    def f(X):
        return 1e9 * shifted(X / unit)

    model = SymmetryDiscoverer(signed_permutations, estimator=f).fit(unit * X, f(unit * X))
    assert model.elements_.order == 3


def test_scores_of_a_classifier(rng):
    X = rng.normal(size=(500, 2))
    y = np.where(square(X) + 0.3 * rng.normal(size=500) > 2, "far", "near")
    even_terms = PolynomialFeatures(2, interaction_only=False)
    classifier = make_pipeline(even_terms, LogisticRegression()).fit(np.abs(X), y)

    def scores(X):
        return classifier.decision_function(np.abs(X))

    assert SymmetryDiscoverer(reflections, estimator=scores).fit(X).elements_.order == 4
    frozen = SymmetryDiscoverer(reflections, estimator=FrozenEstimator(classifier)).fit(X)
    assert "symmetry" not in verdicts(frozen).values()


# ------------------------------------------------------------------------------------------ labels


def labelled(f, n=3000, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    log_odds = 3 * (f(X) - f(X).mean()) / f(X).std()
    return X, np.where(rng.logistic(size=n) < log_odds, "yes", "no")


@every_case
def test_labels_of_two_classes(f, order):
    X, y = labelled(f)
    model = SymmetryDiscoverer(signed_permutations, library=PolynomialLibrary(4)).fit(X, y)
    assert model.method_ == "labels"
    assert model.elements_.order == order
    for g in model.elements_.matrices:
        assert_allclose(f(X @ g.T), f(X), atol=1e-9)


def test_labels_of_three_classes(rng):
    X = rng.normal(size=(3000, 3))
    scores = 2 * np.column_stack([X[:, 0] ** 2, X[:, 1] ** 2, X[:, 2] + 1])
    y = np.array(["a", "b", "c"])[(scores + rng.gumbel(size=scores.shape)).argmax(axis=1)]
    model = SymmetryDiscoverer(signed_permutations, library=PolynomialLibrary(3)).fit(X, y)
    # A swap exchanges the classes, so that it changes their probabilities.
    assert model.elements_.order == 4
    assert_allclose(np.abs(model.elements_.matrices), np.tile(np.eye(3), (2, 1, 1)))
    invariants = model.transform(X)
    assert_allclose(model.transform(X * [-1, 1, 1]), invariants, atol=1e-8)


def test_few_labels_are_no_evidence(rng):
    X = rng.normal(size=(100, 2))
    y = rng.choice(["yes", "no"], size=100)
    model = SymmetryDiscoverer(signed_permutations, library=PolynomialLibrary(3)).fit(X, y)
    assert model.elements_.n_elements == 0
    assert "symmetry" not in verdicts(model).values()


def test_units_and_origin_of_labels():
    X, y = labelled(even)
    library = PolynomialLibrary(4)
    small = SymmetryDiscoverer(signed_permutations, library=library).fit(1e-6 * X, y)
    assert_allclose(small.elements_.matrices, [-np.eye(3)])
    far = SymmetryDiscoverer(signed_permutations, library=library).fit(X + 50, y)
    assert far.elements_.n_elements == 0


# --------------------------------------------------------------------------------------- data sets


def heavy_tails(rng, n):
    return rng.standard_t(3, size=(n, 3))


def skew(rng, n):
    return rng.exponential(size=(n, 3))


def one_way_round(rng, n):
    z = rng.normal(size=(n, 3))
    return z + 0.8 * np.abs(np.roll(z, 1, axis=1))


def correlated(rng, n):
    return rng.normal(size=(n, 3)) @ [[1, 0.5, 0], [0, 1, 0.7], [0, 0, 1.5]]


def lopsided(rng, n):
    x, y, z = rng.normal(size=(3, n))
    return np.column_stack([np.exp(0.5 * x), y + 0.5 * x, 2 * z + y**2])


CLOUDS = {
    "all": (heavy_tails, 48),
    "all permutations": (skew, 6),
    "cyclic shifts": (one_way_round, 3),
    "minus one": (correlated, 2),
    "none": (lopsided, 1),
}


@pytest.mark.parametrize(("draw", "order"), CLOUDS.values(), ids=list(CLOUDS))
def test_points(draw, order):
    X = draw(np.random.default_rng(1), 2000)
    model = SymmetryDiscoverer(signed_permutations).fit(X)
    assert model.method_ == "moments"
    assert model.elements_.order == order
    assert (model.element_p_values_ > 0).all()
    # The same in any unit of all columns.
    again = SymmetryDiscoverer(signed_permutations).fit(1e-9 * X)
    assert again.elements_.order == order


def test_hotelling_has_its_level():
    """P values of true symmetries are uniform, those of turns of an order beyond two too."""
    turns = cyclic(2, 5).matrices
    p_values = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        X = rng.standard_t(5, size=(400, 1)) * [1.0, 1.0]
        angle = rng.uniform(0, 2 * np.pi, size=400)
        X *= np.column_stack([np.cos(angle), np.sin(angle)])
        evidence = CloudElements.of(PolynomialLibrary(3), X, np.ones(400), np.random.RandomState(0))
        p_values.append(evidence.test(turns[0]).p_value)
    shares = np.mean(np.array(p_values)[:, None] < [0.05, 0.5], axis=0)
    assert_allclose(shares, [0.05, 0.5], atol=0.1)
    assert shares[0] < 0.1


def test_defects_of_points_lie_between_none_and_all(rng):
    """The distance is at most one."""
    X = rng.normal(size=(2000, 2))
    apart = SymmetryDiscoverer(reflections).fit(X + np.array([20, 0]))
    tests = {test.name: test for test in apart.element_tests_}
    assert tests["-x1"].is_symmetry
    assert 0.5 < tests["-x0"].defect <= 1
    shift = np.array([0.05, 0])
    nearly = SymmetryDiscoverer(reflections).fit(rng.normal(size=(20_000, 2)) + shift)
    assert verdicts(nearly) == {"-x0": "near", "-x1": "symmetry"}


def test_points_on_a_surface(rng):
    """Functions that vanish on the surface are evidence against what leaves it."""
    X = rng.normal(size=(1000, 3))
    sphere = X / np.linalg.norm(X, axis=1, keepdims=True)
    model = SymmetryDiscoverer(so(3) + signed_permutations(3)).fit(sphere)
    assert model.algebra_name_ == "so(3)"
    assert model.elements_.order == 48
    stretched_swap = FiniteGroup([[[0, 2, 0], [0.5, 0, 0], [0, 0, 1]]])
    (test,) = SymmetryDiscoverer(stretched_swap).fit(sphere).element_tests_
    assert test.p_value < 1e-10


def test_few_points_are_no_evidence(rng):
    X = rng.normal(size=(40, 3))
    assert set(verdicts(SymmetryDiscoverer(reflections).fit(X)).values()) == {"undecided"}
    model = SymmetryDiscoverer(reflections).fit(X[:4])
    assert set(verdicts(model).values()) == {"unidentified"}


def test_points_count_as_often_as_their_weight_says(rng):
    X = rng.exponential(size=(1000, 2))
    weight = rng.integers(1, 4, size=1000)
    weighted = SymmetryDiscoverer(permutations).fit(X, sample_weight=weight)
    repeated = SymmetryDiscoverer(permutations).fit(np.repeat(X, weight, axis=0))
    assert_allclose(weighted.element_p_values_, repeated.element_p_values_, rtol=1e-6)
    assert_allclose(weighted.element_defects_, repeated.element_defects_, rtol=1e-6)
