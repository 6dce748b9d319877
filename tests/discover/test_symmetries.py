"""Discovering symmetries of functions: right ones, none where there are none, honest doubt."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import subspace_angles
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sksym import (
    ConservedQuantities,
    FourierLibrary,
    InvariantFeatures,
    LieAlgebra,
    PolynomialLibrary,
    RadialLibrary,
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
    vector_fields,
)
from sksym.datasets import load_planets


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
    found, true = (algebra.flat() for algebra in (found, true))
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
    assert np.abs(model.singular_values_[::-1][: truth.dim]).max() < 1e-8


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
        (SymmetryDiscoverer(max_defect=0.0), None, "max_defect"),
        (SymmetryDiscoverer(max_defect=np.nan), None, "max_defect"),
        (SymmetryDiscoverer(robust="very"), None, "robust"),
        (SymmetryDiscoverer(rtol=2.0), None, "rtol"),
        (SymmetryDiscoverer(gl, output=vector), None, "moves 2 outputs, but y has 1"),
    ],
)
def test_bad_input(model, y, message, rng):
    X = rng.normal(size=(40, 2))
    with pytest.raises(ValueError, match=message):
        model.fit(X, X[:, 0] if y is None else y)
    assert not hasattr(model, "algebra_")


def test_a_constant_is_symmetric_in_every_way(rng):
    X = rng.normal(size=(50, 2))
    for y in (np.ones(50), np.zeros(50)):
        with pytest.warns(UserWarning, match="every candidate is a symmetry"):
            model = SymmetryDiscoverer(aff).fit(X, y)
        assert model.n_symmetries_ == 6
        assert_span(model.algebra_, aff(2), 1e-12)
        assert model.transform(X).shape == (50, 0)


def test_a_constant_field_is_not(rng):
    """A uniform wind is left alone by translations, and stretched across itself."""
    X = rng.normal(size=(200, 2))
    Y = np.tile([1.0, 0.0], (200, 1)) + 0.01 * rng.normal(size=(200, 2))
    model = SymmetryDiscoverer(aff, output=vector, n_symmetries=4).fit(X, Y)
    sheared = LieAlgebra([[[0.0, 1], [0, 0]], [[0, 0], [0, 1]]])
    assert_span(model.algebra_, translations(2) + sheared, 0.1)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_tilted_algebras_are_fitted(noise, rng):
    """No rounding finds them: a conjugate of an exact algebra does, nearer than the raw span."""
    Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    truth = LieAlgebra(Q @ lorentz(2).linear @ Q.T)
    X = rng.normal(size=(1500, 3))
    y = squared(interval)(X @ Q)
    y = y + noise * np.std(y) * rng.normal(size=len(y))
    model = SymmetryDiscoverer(gl, library=PolynomialLibrary(4)).fit(X, y)
    assert_span(model.algebra_, truth, 1e-8 if noise == 0 else 0.02)
    assert model.algebra_name_ == "sl(2)"
    assert model.algebra_.is_closed(1e-8)
    # It is exact: invariants do not change under finite motions.
    M, _ = model.algebra_.exp([0.3, -0.2, 0.5])
    assert_allclose(model.transform(X @ M.T), model.transform(X), rtol=1e-7, atol=1e-6)


def test_a_tilted_axis_and_a_centre_away_from_the_origin(rng):
    Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    place = np.array([2.0, 0, -1])
    X = rng.normal(size=(1500, 3)) + place
    Z = (X - place) @ Q
    radius = square(Z[:, :2])
    y = radius + 0.2 * radius * Z[:, 2] + Z[:, 2] ** 3 + 0.02 * rng.normal(size=1500)
    truth = LieAlgebra(Q @ so(2).on_columns([0, 1], 3).linear @ Q.T)
    truth = LieAlgebra(truth.linear, -truth.linear @ place)
    model = SymmetryDiscoverer(aff, library=PolynomialLibrary(4)).fit(X, y)
    assert_span(model.algebra_, truth, 0.02)
    assert model.algebra_name_ == "so(2)"


def test_unequal_noise(rng):
    X = rng.normal(size=(3000, 2))
    y = squared(square)(X)
    y = y + 0.3 * (0.1 + X[:, 0] ** 2) * rng.normal(size=3000)
    for robust in (True, "auto"):
        model = SymmetryDiscoverer(gl, library=PolynomialLibrary(5), robust=robust).fit(X, y)
        assert_span(model.algebra_, so(2), 1e-9)


def test_weights_count_as_repetitions(rng):
    X = rng.normal(size=(150, 2))
    y = squared(square)(X) + 0.2 * rng.normal(size=150)
    weight = rng.integers(0, 4, 150)
    for library in (None, PolynomialLibrary(4, center=0.0, scale=2.0)):
        for robust in (False, True):
            options = {"library": library, "robust": robust, "random_state": 0}
            weighted = SymmetryDiscoverer(gl, **options).fit(X, y, sample_weight=weight)
            repeated = SymmetryDiscoverer(gl, **options).fit(
                np.repeat(X, weight, axis=0), np.repeat(y, weight)
            )
            for name in ("singular_values_", "noise_floor_", "coef_"):
                first, second = getattr(weighted, name), getattr(repeated, name)
                assert_allclose(first, second, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_fields_beyond_affine(noise, rng):
    X = rng.normal(size=(1000, 2))
    y = X[:, 0] ** 2 + X[:, 1] ** 4
    y = y + noise * np.std(y) * rng.normal(size=1000)
    fields = vector_fields(PolynomialLibrary(3, center=0.0).fit(X))
    model = SymmetryDiscoverer(fields, library=PolynomialLibrary(5, center=0.0)).fit(X, y)
    assert model.algebra_.names == ("x1^3 ∂0 - 0.5 x0 ∂1",)
    assert_array_equal(model.get_feature_names_out(), ["x0^2 + x1^4"])
    V = model.algebra_.vector_field(X)[:, 0]
    slopes = np.column_stack([2 * X[:, 0], 4 * X[:, 1] ** 3])
    assert_allclose(np.sum(V * slopes, axis=1), 0.0, atol=1e-10)


def test_fields_that_cannot_move_outputs(rng):
    X = rng.normal(size=(60, 2))
    fields = vector_fields(PolynomialLibrary(2).fit(X))
    with pytest.raises(ValueError, match=r"Fields beyond affine .*: use affine motions"):
        SymmetryDiscoverer(fields, output=vector).fit(X, X)
    with pytest.raises(ValueError, match=r"acts on R\^2, but X has 3 features"):
        SymmetryDiscoverer(fields).fit(rng.normal(size=(60, 3)), np.ones(60))


def test_a_library_that_is_not_closed(rng):
    """Waves are symmetric under shifts of the phase: a translation among all affine motions."""
    X = rng.uniform(-np.pi, np.pi, size=(800, 2))
    y = np.cos(X[:, 0] - X[:, 1]) + 0.02 * rng.normal(size=800)
    model = SymmetryDiscoverer(translations, library=FourierLibrary(2)).fit(X, y)
    assert_span(model.algebra_, LieAlgebra(np.zeros((1, 2, 2)), [[1.0, 1.0]]), 1e-9)
    model = SymmetryDiscoverer(se, library=FourierLibrary(2)).fit(X, y)  # by sampling
    assert_span(model.algebra_, LieAlgebra(np.zeros((1, 2, 2)), [[1.0, 1.0]]), 1e-9)


def test_a_discrete_map(rng):
    """Maps through increments: a turn by 40 degrees with damping that depends on the radius."""
    X = rng.uniform(-1, 1, size=(600, 2))
    M, _ = so(2).exp([np.radians(40)])
    following = (0.9 - 0.2 * square(X))[:, None] * (X @ M.T)
    noisy = following - X + 0.02 * rng.normal(size=X.shape)
    model = SymmetryDiscoverer(gl, output=vector, library=PolynomialLibrary(3)).fit(X, noisy)
    assert_span(model.algebra_, so(2), 1e-9)


def test_candidates_that_do_not_move_the_data(rng):
    X = np.c_[rng.normal(size=(200, 2)), np.zeros(200)]
    with pytest.warns(UserWarning, match="No candidate moves the data"):
        model = SymmetryDiscoverer(scaling([0, 0, 1])).fit(X, square(X))
    assert (model.n_symmetries_, model.unidentified_.dim) == (0, 1)
    assert len(model.singular_values_) == 0


WARNINGS = {
    "constant": lambda X: SymmetryDiscoverer().fit(X, np.ones(len(X))),
    "cloud": lambda X: SymmetryDiscoverer(gl).fit(X),
    "cloud, transformed": lambda X: SymmetryDiscoverer(gl).fit_transform(X),
    "unmoved": lambda X: SymmetryDiscoverer(scaling([0, 1])).fit(X * [1, 0], X[:, 0]),
    "no invariants": lambda X: InvariantFeatures(gl(2)).fit(X),
    "nothing conserved": lambda X: ConservedQuantities(PolynomialLibrary(1)).fit(X, X),
}


@pytest.mark.parametrize("call", WARNINGS.values(), ids=list(WARNINGS))
def test_warnings_point_at_the_line_that_called(call, rng):
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        call(rng.normal(size=(100, 2)))
    assert {warning.filename for warning in record} == {__file__}


def test_names_and_methods(rng):
    X = rng.normal(size=(600, 3))
    model = SymmetryDiscoverer(library=PolynomialLibrary(5)).fit(X, squared(square)(X))
    assert (model.algebra_name_, model.method_) == ("so(3)", "library")
    assert model.manifold_dimension_ == 3
    assert model.model_ is None
    assert repr(model.algebra_).count("∂") == 6


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_do_not_matter(scale, rng):
    place = np.array([4.0, 1.0])
    X = rng.normal(size=(500, 2)) + place
    y = squared(square)(X - place) + 0.02 * rng.normal(size=500)
    model = SymmetryDiscoverer().fit(X, y)
    scaled = SymmetryDiscoverer().fit(scale * X, y / scale)
    assert model.n_symmetries_ == scaled.n_symmetries_ == 1
    assert_allclose(scaled.singular_values_, model.singular_values_, rtol=1e-5, atol=1e-8)


def test_noise_alone_is_not_symmetric(rng):
    """What is no function at all is no evidence: defects are relative to what the fit varies."""
    for _ in range(10):
        model = SymmetryDiscoverer(gl).fit(rng.normal(size=(300, 2)), rng.normal(size=300))
        assert model.n_symmetries_ == 0


def test_a_noisy_linear_function_in_full(rng):
    """Everything that moves along its level planes: eight dimensions of affine motions."""
    X = rng.normal(size=(400, 3))
    model = SymmetryDiscoverer(aff).fit(X, X @ [1, 2, 3] + 0.1 * rng.normal(size=400))
    assert model.n_symmetries_ == 8
    V = model.algebra_.vector_field(X)
    assert_allclose(V @ [1.0, 2, 3], 0.0, atol=1e-12)


@pytest.mark.parametrize("units", [np.array([1.0, 100, 0.01]), np.array([1.0, 1e3, 1e3])])
def test_mixed_units(units, rng):
    X = rng.normal(size=(800, 3))
    y = squared(square)(X) + 0.02 * rng.normal(size=800)
    model = SymmetryDiscoverer(gl, library=PolynomialLibrary(5)).fit(X * units, y)
    truth = LieAlgebra(so(3).linear * (units[:, None] / units))
    scaled = LieAlgebra(model.algebra_.linear * (units / units[:, None]))
    assert model.algebra_name_ == "so(3)"
    assert_span(scaled, LieAlgebra(truth.linear * (units / units[:, None])), 0.05)


def test_no_candidates(rng):
    X, nobody = rng.normal(size=(100, 2)), LieAlgebra(np.zeros((0, 2, 2)))
    sphere = X / np.linalg.norm(X, axis=1, keepdims=True)
    for model, data in (
        (SymmetryDiscoverer(nobody), (X, X[:, 0])),
        (SymmetryDiscoverer(nobody), (sphere,)),
        (SymmetryDiscoverer(nobody, estimator=square), (X,)),
    ):
        model.fit(*data)
        assert (model.n_symmetries_, model.algebra_.dim) == (0, 0)


def test_central_forces(rng):
    X = rng.normal(size=(300, 3))
    model = SymmetryDiscoverer(so, library=RadialLibrary()).fit(X, 1 / np.linalg.norm(X, axis=1))
    assert_span(model.algebra_, so(3), 1e-12)


@pytest.mark.parametrize("seed", [0, 7])
def test_a_tuned_axis_stays_where_the_data_say_something(seed):
    """Any rotation keeps the law of gravity, but flat orbits show only that about their pole."""
    planets = load_planets(n_samples=200)
    X, Y = planets.data, planets.target
    size = np.linalg.norm(Y, axis=1)
    Y = Y + 0.01 * size[:, None] * np.random.default_rng(seed).normal(size=X.shape) / np.sqrt(3)
    library = RadialLibrary(powers=(-3,), degree=2)
    model = SymmetryDiscoverer(so, output=vector, library=library).fit(X, Y, 1 / size**2)
    assert model.n_symmetries_ in (0, 1, 3)
    if model.n_symmetries_ == 1:
        A = model.algebra_.linear[0]
        axis = np.array([A[2, 1], A[0, 2], A[1, 0]])
        assert abs(axis[2]) / np.linalg.norm(axis) > np.cos(np.radians(10))
