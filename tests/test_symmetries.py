"""Discovering symmetries of functions: right ones, none where there are none, honest doubt."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import subspace_angles
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sksym import (
    LieAlgebra,
    PolynomialLibrary,
    SymmetryDiscoverer,
    aff,
    gl,
    lorentz,
    scaling,
    se,
    sl,
    so,
    translations,
    vector,
)
from sksym.algebras import flat_generators


def square(X):
    return np.sum(X**2, axis=1)


def interval(X):
    return square(X[:, 1:]) - X[:, 0] ** 2


def area(X):
    return X[:, 0] * X[:, 3] - X[:, 1] * X[:, 2]


def distance(X):
    return square(X[:, :2] - X[:, 2:])


def hopf(X):
    return X + np.column_stack([-X[:, 1], X[:, 0]]) - square(X)[:, None] * X


def generic(X):
    return np.sum(np.sin(X @ np.random.default_rng(1).normal(size=(X.shape[1], 9))), axis=1)


def squared(f):
    """A function with the symmetries of f and no others by accident, as a quadratic form has."""
    return lambda X: f(X) + 0.3 * f(X) ** 2


def assert_span(found, true, atol):
    found, true = (flat_generators(a.linear, a.offset) for a in (found, true))
    assert len(found) == len(true)
    assert subspace_angles(found.T, true.T).max() < atol


# function, features, candidates, true symmetry
CASES = {
    "so(2)": (squared(square), 2, aff, so(2)),
    "so(3)": (squared(square), 3, aff, so(3)),
    "so(4)": (squared(square), 4, gl, so(4)),
    "lorentz(2)": (squared(interval), 3, gl, lorentz(2)),
    "scaling": (squared(lambda X: X[:, 0] * X[:, 1]), 2, gl, scaling([1, -1])),
    "so(2) and a translation": (
        squared(lambda X: square(X[:, :2])),
        3,
        se,
        so(2).on_columns([0, 1], 3) + translations(1).on_columns([2], 3),
    ),
    "rigid motions of two points": (
        distance,
        4,
        se(2).repeat(2) + scaling([1, 0, 0, 0]),
        se(2).repeat(2),
    ),
    "sl(2) on two points": (area, 4, gl(2).repeat(2), sl(2).repeat(2)),
}


@pytest.mark.parametrize(("f", "d", "candidates", "truth"), CASES.values(), ids=list(CASES))
def test_noise_free_functions(f, d, candidates, truth, rng):
    X = rng.normal(size=(900, d))
    degree = 3 if f in (distance, area) else 5
    model = SymmetryDiscoverer(candidates, library=PolynomialLibrary(degree)).fit(X, f(X))
    assert_span(model.algebra_, truth, 1e-8)
    assert model.noise_floor_ < 1e-6
    assert np.abs(model.singular_values_[: truth.dim]).max() < 1e-8


@pytest.mark.parametrize("noise", [0.01, 0.1])
@pytest.mark.parametrize(
    ("f", "d", "candidates", "truth"),
    [CASES["so(2)"], CASES["lorentz(2)"], CASES["scaling"]],
)
def test_noisy_functions_are_snapped(f, d, candidates, truth, noise, rng):
    X = 0.6 * rng.normal(size=(2000, d))
    y = f(X)
    model = SymmetryDiscoverer(candidates).fit(X, y + noise * np.std(y) * rng.normal(size=2000))
    assert_span(model.algebra_, truth, 1e-12)
    assert_array_equal(model.algebra_.linear, np.round(model.algebra_.linear))
    assert 0 < model.noise_floor_ < 0.1
    assert model.standard_errors_.shape[1] == candidates(d).dim
    assert model.unidentified_.dim == 0


@pytest.mark.parametrize("d", [2, 3, 4])
@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_none_where_there_is_none(d, noise, rng):
    X = rng.normal(size=(800, d))
    y = generic(X)
    model = SymmetryDiscoverer(gl).fit(X, y + noise * np.std(y) * rng.normal(size=800))
    assert model.n_symmetries_ == 0
    assert model.algebra_.dim == 0


def test_vector_fields(rng):
    X = rng.uniform(-1, 1, size=(300, 2))
    Y = hopf(X) + 0.02 * rng.normal(size=(300, 2))
    model = SymmetryDiscoverer(gl, output=vector).fit(X, Y)
    assert_span(model.algebra_, so(2), 1e-12)
    assert_array_equal(model.representation_, model.algebra_.linear)
    assert model.coef_.shape == (2, model.library_.n_output_features_)


def test_what_the_data_do_not_show_is_unidentified(rng):
    """On a plane, rotations that tilt it leave the data, where the function was never seen."""
    X = np.c_[rng.normal(size=(400, 2)), np.zeros(400)]
    y = squared(square)(X) + 0.01 * rng.normal(size=400)
    model = SymmetryDiscoverer(so, library=PolynomialLibrary(4)).fit(X, y)
    assert_span(model.algebra_, so(2).on_columns([0, 1], 3), 1e-12)
    assert model.unidentified_.dim == 2
    stretched = so(3) + scaling([0, 0, 1])  # this one does not move the data at all
    model = SymmetryDiscoverer(stretched, library=PolynomialLibrary(4)).fit(X, y)
    assert (model.n_symmetries_, model.unidentified_.dim) == (1, 3)


def test_doubt_is_said(rng):
    X = rng.normal(size=(60, 3))
    y = square(X) + square(X) ** 2
    y = y + 0.5 * np.std(y) * rng.normal(size=60)
    model = SymmetryDiscoverer(so, library=PolynomialLibrary(4)).fit(X, y)
    assert model.n_symmetries_ == 0
    assert model.undecided_ > 0


def ellipse(X):
    return X[:, 0] ** 2 + 3 * X[:, 0] * X[:, 1] + 5 * X[:, 1] ** 2


def test_what_every_function_of_a_library_has_is_not_found(rng):
    """Every quadratic is preserved by a motion about its centre; that alone is no discovery."""
    X = rng.normal(size=(500, 2))
    y = ellipse(X) + 0.01 * rng.normal(size=500)
    model = SymmetryDiscoverer(library=PolynomialLibrary(2)).fit(X, y)
    assert model.n_symmetries_ == 0
    cubic = SymmetryDiscoverer(library=PolynomialLibrary(3)).fit(X, y)
    turn = LieAlgebra([[[3.0, 10.0], [-2.0, -3.0]]])
    assert_span(cubic.algebra_, turn, 0.01)
    assert cubic.algebra_name_ == "so(2)"


def test_a_number_and_no_snapping(rng):
    X = rng.normal(size=(500, 3))
    y = squared(square)(X) + 0.01 * rng.normal(size=500)
    one = SymmetryDiscoverer(gl, n_symmetries=1, library=PolynomialLibrary(5)).fit(X, y)
    assert one.n_symmetries_ == one.algebra_.dim == 1
    raw = SymmetryDiscoverer(gl, snap=False, library=PolynomialLibrary(5)).fit(X, y)
    assert raw.n_symmetries_ == 3
    assert_span(raw.algebra_, so(3), 0.1)
    none = SymmetryDiscoverer(gl, n_symmetries=0, library=PolynomialLibrary(2)).fit(X, y)
    assert none.transform(X).shape == (500, 9)  # all functions but the constant


def test_discover_then_enforce_in_a_pipeline(rng):
    X = rng.normal(size=(400, 2))
    y = squared(square)(X) + 0.01 * rng.normal(size=400)
    discoverer = SymmetryDiscoverer(library=PolynomialLibrary(5))
    pipeline = make_pipeline(discoverer, Ridge(1e-6)).fit(X, y)
    assert_array_equal(pipeline[0].get_feature_names_out()[:1], ["x0^2 + x1^2"])
    M, _ = so(2).exp([2.0])
    assert_allclose(pipeline.predict(X @ M.T), pipeline.predict(X), atol=1e-8)
    grid = GridSearchCV(pipeline, {"symmetrydiscoverer__n_symmetries": [0, 1, "auto"]}, cv=3)
    assert grid.fit(X, y).best_score_ > 0.99
    frame = discoverer.set_output(transform="pandas").fit_transform(X, y)
    assert frame.columns[0] == "x0^2 + x1^2"
    assert_allclose(discoverer.predict(X), y, atol=0.1)


def test_the_seed_decides_the_folds_only(rng):
    X = rng.normal(size=(300, 2))
    y = squared(square)(X) + 0.1 * rng.normal(size=300)
    first, second = (SymmetryDiscoverer(random_state=0).fit(X, y) for _ in range(2))
    assert_array_equal(first.singular_values_, second.singular_values_)


@pytest.mark.parametrize(
    ("model", "y", "message"),
    [
        (SymmetryDiscoverer(n_symmetries=7), None, "n_symmetries"),
        (SymmetryDiscoverer(n_symmetries="many"), None, "n_symmetries"),
        (SymmetryDiscoverer(gl(3)), None, "acts on"),
        (SymmetryDiscoverer(gl, output=vector), None, "moves 2 outputs, but y has 1"),
    ],
)
def test_bad_input(model, y, message, rng):
    X = rng.normal(size=(40, 2))
    with pytest.raises(ValueError, match=message):
        model.fit(X, X[:, 0] if y is None else y)
    assert not hasattr(model, "algebra_")
