"""Recovery: the descent, the number of parameters, and what few samples determine."""

from math import comb

import numpy as np
import pytest

from sksym import (
    FiniteGroup,
    PolynomialLibrary,
    SymmetryPromotingRegressor,
    SymmetryPromotingRegressorCV,
    se,
    translations,
    vector,
)
from sksym.groups import Group
from sksym.promote import PromotionProblem, PromotionSamples

UNIT = {"center": 0.0, "scale": 1.0, "domain": (-1, 1)}
UNDETERMINED = "do not determine the function"


def of_linear_features(m, r, degree, seed):
    """A random polynomial of r linear features of R^m, and its number of parameters."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(m, r)))[0]
    phi = PolynomialLibrary(degree, **UNIT).fit(np.zeros((1, r)))
    coef = rng.uniform(size=phi.n_output_features_)
    n_parameters = r * (m - r) + comb(r + degree, degree)
    return lambda X: phi.transform(X @ directions) @ coef, n_parameters


def drawn(function, n, m, seed=1):
    X = np.random.default_rng(seed).uniform(-1, 1, size=(n, m))
    return X, function(X)


def promoted(X, y, candidates=translations, degree=2, **parameters):
    library = PolynomialLibrary(degree, **UNIT)
    return SymmetryPromotingRegressor(candidates, library=library, **parameters).fit(X, y)


def symmetry_rank(m, n_outputs=1):
    X = np.random.default_rng(0).uniform(-1, 1, size=(30, m))
    candidates = Group.of(se(m))
    library = PolynomialLibrary(2, **UNIT)
    output = vector if n_outputs > 1 else None
    problem = PromotionProblem.of(candidates, Group.none(m), library, output, X, n_outputs)
    return problem.symmetry_rank


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("R", [1, 3])
def test_gradient_and_curvature_are_those_of_the_tail(n_outputs, R):
    rank = symmetry_rank(3, n_outputs)
    rng = np.random.default_rng(R)
    p = rank.K.shape[1]
    u = rng.normal(size=p)
    du = rng.normal(size=p)

    def tail(t):
        _, s, _ = rank.svd(u + t * du)
        return 0.5 * np.sum(s[R:] ** 2)

    U, s, Vt = rank.svd(u)
    slope = (tail(1e-5) - tail(-1e-5)) / 2e-5
    assert rank.gradient(U, s, Vt, R) @ du == pytest.approx(slope, rel=1e-6)
    # The part of a change that no function of rank R can follow.
    off_U = np.eye(len(U)) - U[:, :R] @ U[:, :R].T
    off_V = np.eye(Vt.shape[1]) - Vt[:R].T @ Vt[:R]
    normal = off_U @ (rank.K @ du).reshape(rank.shape) @ off_V
    curvature = rank.curvature(U, Vt, R)
    assert du @ curvature @ du == pytest.approx(np.sum(normal**2), rel=1e-9)


@pytest.mark.parametrize(
    ("m", "r", "degree", "candidates"),
    [(6, 1, 2, translations), (6, 2, 2, translations), (5, 1, 3, se), (6, 2, 2, se)],
)
def test_few_samples_more_than_parameters_determine_the_function(m, r, degree, candidates):
    function, n_parameters = of_linear_features(m, r, degree, seed=2)
    X, y = drawn(function, n_parameters + 3, m)
    model = promoted(X, y, candidates, degree, alpha=0.0)
    assert model.n_parameters_ == n_parameters
    assert model.n_checks_ == 3
    assert model.determined_
    far, values = drawn(function, 50, m, seed=9)
    np.testing.assert_allclose(model.predict(far), values, atol=1e-9)
    stabilizer = m - r
    if candidates is se:  # and the rotations of what is left
        stabilizer += comb(m - r, 2)
    assert model.n_symmetries_ == stabilizer
    directions = model.algebra_.vector_field(far)
    slopes = model.library_.jacobian(far)
    change = np.einsum("p,npd,nkd->nk", model.coef_, slopes, directions)
    assert np.abs(change).max() <= 1e-8 * np.abs(directions).max()


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_units_and_origin_of_the_target_do_not_matter(unit):
    function, n_parameters = of_linear_features(6, 1, 2, seed=0)
    X, y = drawn(function, n_parameters + 2, 6)
    model = promoted(X, unit * y, alpha=0.0)
    assert model.determined_
    far, values = drawn(function, 50, 6, seed=9)
    np.testing.assert_allclose(model.predict(far) / unit, values, atol=1e-9)


def test_too_few_samples_determine_nothing():
    function, n_parameters = of_linear_features(6, 1, 2, seed=0)
    X, y = drawn(function, n_parameters, 6)
    with pytest.warns(UserWarning, match=UNDETERMINED):
        model = promoted(X, y, alpha=0.0)
    assert model.n_checks_ <= 0
    assert not model.determined_


@pytest.mark.filterwarnings("ignore:The samples do not determine")
@pytest.mark.parametrize("missing", [0, 1, 3])
def test_a_function_near_the_variety_has_all_parameters(missing):
    def about_a_centre(X):
        return 1 + ((X - [0.3, -0.2, 0.5, 0.1]) ** 2).sum(axis=1)

    X, y = drawn(about_a_centre, 6 - missing, 4)  # centre, and two coefficients
    model = promoted(X, y, se, alpha=0.0)
    assert model.n_checks_ <= 0
    assert not model.determined_


def test_repeated_rows_check_nothing():
    function, n_parameters = of_linear_features(6, 1, 2, seed=0)
    X, y = drawn(function, n_parameters, 6)
    with pytest.warns(UserWarning, match=UNDETERMINED):
        model = promoted(np.tile(X, (3, 1)), np.tile(y, 3), alpha=0.0)
    assert not model.determined_


def test_contradictory_targets_are_not_interpolated():
    function, n_parameters = of_linear_features(6, 1, 2, seed=0)
    X, y = drawn(function, n_parameters + 3, 6)
    X = np.concatenate([X, X[:1]])
    y = np.append(y, y[0] + 1)
    library = PolynomialLibrary(2, **UNIT)
    problem = PromotionProblem.of(
        Group.of(translations(6)), Group.none(6), library, None, X, n_outputs=1
    )
    samples = PromotionSamples(problem, X, y[:, None], np.ones(len(X)))
    assert samples.recovery.finish(with_random_starts=True) is None


def test_several_outputs_share_their_symmetries():
    first, _ = of_linear_features(6, 1, 2, seed=0)
    X, y = drawn(first, 14, 6)
    Y = np.column_stack([y, y**0 + 2 * y])
    model = promoted(X, Y, alpha=0.0)
    assert model.determined_
    far, values = drawn(first, 50, 6, seed=9)
    expected = np.column_stack([values, 1 + 2 * values])
    np.testing.assert_allclose(model.predict(far), expected, atol=1e-8)


def test_a_symmetry_that_is_enforced_leaves_fewer_parameters():
    def even(X):
        return 1 + (X @ [1.0, 2.0, -1.0, 0.5, 1.5]) ** 2

    X, y = drawn(even, 9, 5)
    point_reflection = FiniteGroup(-np.eye(5)[None])
    model = promoted(X, y, alpha=0.0, symmetry=point_reflection)
    assert model.determined_
    assert model.n_parameters_ == 6  # five of the direction, and the constant
    far, values = drawn(even, 50, 5, seed=9)
    np.testing.assert_allclose(model.predict(far), values, atol=1e-9)


def test_noise_is_no_function_of_low_rank():
    function, n_parameters = of_linear_features(6, 1, 2, seed=0)
    X, y = drawn(function, n_parameters + 3, 6)
    y = y + 0.1 * np.random.default_rng(3).normal(size=len(y))
    with pytest.warns(UserWarning, match=UNDETERMINED):
        model = promoted(X, y, alpha=0.0)
    assert not model.determined_


def test_least_squares_that_are_determined_are_checked_by_the_other_rows():
    def none(X):
        return X[:, 0] * X[:, 1] + X[:, 2] ** 2 + X[:, 2]

    X, y = drawn(none, 25, 3)
    y = y + 0.01 * np.random.default_rng(3).normal(size=len(y))
    model = promoted(X, y, alpha=1e-3)
    assert model.n_symmetries_ == 0
    assert model.n_parameters_ == 10
    assert model.n_checks_ == 15
    assert model.determined_


def test_cross_validation_says_how_far_its_samples_determine_the_function():
    function, n_parameters = of_linear_features(6, 1, 2, seed=0)
    X, y = drawn(function, 22, 6)
    library = PolynomialLibrary(2, **UNIT)
    model = SymmetryPromotingRegressorCV(
        translations, library=library, alphas=[1e-3], ridges=[], cv=4
    )
    model.fit(X, y)
    assert model.n_parameters_ == n_parameters
    assert model.n_checks_ == 22 - n_parameters
