"""Invariant features: they are invariant, independent, and what their names say."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sksym import (
    FourierLibrary,
    Group,
    InvariantFeatures,
    LieAlgebra,
    PolynomialLibrary,
    RadialLibrary,
    cyclic,
    from_transformer,
    gl,
    lorentz,
    permutations,
    reflections,
    scaling,
    se,
    sl,
    so,
    translations,
)

CASES = {
    "so(2)": (so(2), PolynomialLibrary(4), 2),
    "two points": (so(3).repeat(2), PolynomialLibrary(2), 3),
    "rigid": (se(2).repeat(2), PolynomialLibrary(4), 2),
    "lorentz": (lorentz(2), PolynomialLibrary(4), 2),
    "areas": (sl(2).repeat(2), PolynomialLibrary(4), 2),
    "scaling": (scaling([1, -1]), PolynomialLibrary(4), 2),
    "sensors": (permutations(3), PolynomialLibrary(3), 6),
    "both": (so(2) + reflections(2), PolynomialLibrary(4), 2),
    "waves": (translations(1).repeat(2), FourierLibrary(2), 2),
    "radial": (so(3), RadialLibrary((-3, -1, 1)), 3),
    "thirds of a turn": (cyclic(2, 3), PolynomialLibrary(3), 3),
    "scikit-learn": (so(2), from_transformer(PolynomialFeatures(2)), 1),
}
cases = pytest.mark.parametrize(
    ("symmetry", "library", "expected"), CASES.values(), ids=list(CASES)
)


@cases
def test_features_are_invariant_and_independent(symmetry, library, expected, rng):
    group = Group.of(symmetry)
    X = rng.normal(size=(50, group.n_features))
    features = InvariantFeatures(symmetry, library=library).fit(X)
    Z = features.transform(X)
    assert Z.shape == (50, expected)
    assert np.linalg.matrix_rank(np.c_[np.ones(50), Z]) == expected + 1
    M, t = group.algebra.exp(rng.normal(size=group.algebra.dim))
    assert_allclose(features.transform(X @ M.T + t), Z, rtol=1e-9, atol=1e-9)
    for g in group.elements.matrices:
        assert_allclose(features.transform(X @ g.T), Z, rtol=1e-9, atol=1e-9)
    names = features.get_feature_names_out()
    assert len(set(names)) == len(names) == expected


@pytest.mark.parametrize(
    ("algebra", "names"),
    [
        (so(2), ["x0^2 + x1^2"]),
        (lorentz(1), ["x0^2 - x1^2"]),
        (scaling([1, -1]), ["x0 x1"]),
        (translations(1).repeat(2), ["x0 - x1", "x0^2 - 2 x0 x1 + x1^2"]),
    ],
)
def test_names_can_be_read_and_are_true(algebra, names, rng):
    X = rng.normal(size=(20, 2)) * 1e3
    features = InvariantFeatures(algebra).fit(X)
    assert_array_equal(features.get_feature_names_out(), names)
    x0, x1 = X.T
    for name, value in zip(names, features.transform(X).T, strict=True):
        formula = name.replace("2 x0 x1", "2*x0*x1").replace("x0 x1", "x0*x1").replace("^", "**")
        assert_allclose(value, eval(formula, {"x0": x0, "x1": x1}), rtol=1e-10)


def value_of(name, X):
    """What a name says: ``2 x0 x1^2`` read as Python."""
    radius = np.linalg.norm(X, axis=1)
    formula = name.replace("^", "**").replace("|x|", "radius")
    formula = re.sub(r"(?<=[\w)]) (?=[\w(])", "*", formula)
    known = {f"x{i}": column for i, column in enumerate(X.T)}
    return eval(formula, known | {"cos": np.cos, "sin": np.sin, "radius": radius})


SHORT = {
    "so(2)": (so(2), PolynomialLibrary(4)),
    "lorentz": (lorentz(1), PolynomialLibrary(4)),
    "scaling": (scaling([1, -2]), PolynomialLibrary(6)),
    "area": (sl(2).repeat(2), PolynomialLibrary(2)),
    "distance": (translations(1).repeat(3), PolynomialLibrary(2)),
    "sensors": (permutations(3), PolynomialLibrary(2)),
    "mirrors": (reflections(2), PolynomialLibrary(4)),
    "waves": (translations(1).repeat(2), FourierLibrary(2)),
    "radial": (so(2), RadialLibrary((-3, -1))),
    "about a point": (LieAlgebra(so(2).linear, -so(2).linear @ [1.5, -2]), None),
    "placed": (so(2), PolynomialLibrary(2, center=0.0, scale=3.0)),
}


@pytest.mark.parametrize(("symmetry", "library"), SHORT.values(), ids=list(SHORT))
def test_values_are_what_names_say(symmetry, library, rng):
    d = symmetry.n_features
    X = rng.normal([1.0] + [0.0] * (d - 1), size=(30, d))
    features = InvariantFeatures(symmetry, library=library).fit(X)
    Z = features.transform(X)
    if isinstance(library, RadialLibrary):
        Z = Z / Z[0] * [value_of(name, X[:1])[0] for name in features.get_feature_names_out()]
    for name, value in zip(features.get_feature_names_out(), Z.T, strict=True):
        assert_allclose(value_of(name, X), value, rtol=1e-4, atol=1e-4 * np.abs(value).max())


UNITS = {
    "one": ([1.0, 1.0], 4),
    "alike": ([1e6, 1e6], 6),
    "tiny": ([1e-6, 1e-6], 6),
    "mixed": ([1.0, 1e5], 2),
    "mixed, quartic": ([1.0, 1e3], 4),
}


@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])
@pytest.mark.parametrize(("units", "degree"), UNITS.values(), ids=list(UNITS))
def test_features_are_invariant_in_any_units(units, degree, offset, rng):
    """``x0^2 + 1e-10 x1^2``: no term is too small to matter."""
    change = np.diag(units)
    turn = LieAlgebra(change @ so(2).linear @ np.linalg.inv(change))
    X = (rng.uniform(-1, 1, size=(50, 2)) + offset) * units
    features = InvariantFeatures(turn, library=PolynomialLibrary(degree)).fit(X)
    Z = features.transform(X)
    assert Z.shape == (50, degree // 2)
    M, _ = turn.exp([1.0])
    assert_allclose(features.transform(X @ M.T), Z, rtol=1e-9)


@pytest.mark.parametrize("rows", [1, 6])
def test_rows_at_the_fixed_point_come_first(rows, rng):
    X = rng.normal(size=(20, 2))
    X[:rows] = 0
    for data in (X, X[:rows]):
        features = InvariantFeatures(so(2)).fit(data)
        assert_array_equal(features.get_feature_names_out(), ["x0^2 + x1^2"])


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        (PolynomialLibrary(2), 5),
        (FourierLibrary(1), 4),
        (from_transformer(PolynomialFeatures(2)), 5),
    ],
)
def test_without_symmetry_all_functions_but_the_constant(library, expected, rng):
    X = rng.normal(size=(20, 2))
    Z = InvariantFeatures(library=library).fit_transform(X)
    assert Z.shape == (20, expected)
    assert np.linalg.matrix_rank(np.c_[np.ones(20), Z]) == expected + 1


def test_a_symmetry_can_be_a_function_of_the_dimension(rng):
    X = rng.normal(size=(20, 3))
    assert_allclose(
        InvariantFeatures(lambda d: so(d) + permutations(d)).fit_transform(X),
        InvariantFeatures(so(3) + permutations(3)).fit_transform(X),
    )


def test_names_show_the_centre(rng):
    turn = LieAlgebra(so(2).linear, -so(2).linear @ [1.0, -2.0])
    features = InvariantFeatures(turn).fit(rng.normal(size=(20, 2)))
    assert_array_equal(features.get_feature_names_out(), ["(x0 - 1)^2 + (x1 + 2)^2"])
    assert_allclose(features.transform([[4.0, 2.0]]), [[25.0]])


def test_long_names_are_cut(rng):
    features = InvariantFeatures(so(8)).fit(rng.normal(size=(20, 8)))
    assert_array_equal(
        features.get_feature_names_out(),
        ["x0^2 + x1^2 + x2^2 + x3^2 + x4^2 + x5^2 + ... (8 terms)"],
    )


def test_pandas_in_and_out(rng):
    X = pd.DataFrame(rng.normal(size=(20, 2)), columns=["u", "v"])
    out = InvariantFeatures(so(2)).set_output(transform="pandas").fit_transform(X)
    assert list(out.columns) == ["u^2 + v^2"]
    assert_allclose(out["u^2 + v^2"], X["u"] ** 2 + X["v"] ** 2)


def test_names_of_the_inputs(rng):
    X = rng.normal(size=(20, 2))
    features = InvariantFeatures(so(2)).fit(X)
    assert_array_equal(features.get_feature_names_out(["u", "v"]), ["u^2 + v^2"])
    with pytest.raises(ValueError, match="length"):
        features.get_feature_names_out(["u"])
    frame = pd.DataFrame(rng.normal(size=(20, 3)), columns=["px", "mass", "py"])
    algebra = so(2).on_columns(["px", "py"], list(frame.columns))
    features = InvariantFeatures(algebra).fit(frame)
    assert_array_equal(features.get_feature_names_out(), ["mass", "px^2 + py^2", "mass^2"])
    with pytest.raises(ValueError, match="feature_names_in_"):
        features.get_feature_names_out(["a", "b", "c"])
    with pytest.raises(ValueError, match="feature names"):
        features.transform(frame[["mass", "px", "py"]])


@pytest.mark.parametrize("frames", ["pandas", "polars"])
@pytest.mark.parametrize(
    "library", [PolynomialLibrary(4), RadialLibrary(), from_transformer(PolynomialFeatures(2))]
)
def test_output_settings(library, frames, rng):
    X = pl.DataFrame(rng.normal(size=(20, 3)), schema=["a", "b", "c"])
    features = InvariantFeatures(so(3), library=library).fit(X)
    expected, names = features.transform(X), list(features.get_feature_names_out())
    with config_context(transform_output=frames):
        out = InvariantFeatures(so(3), library=library).fit_transform(X)
    assert isinstance(out, pd.DataFrame if frames == "pandas" else pl.DataFrame)
    assert list(out.columns) == names
    assert_array_equal(out.to_numpy(), expected)


def test_in_front_of_a_regressor(rng):
    X = rng.normal(size=(100, 6))
    y = (X[:, :3] * X[:, 3:]).sum(axis=1)
    pipeline = make_pipeline(InvariantFeatures(so(3).repeat(2)), Ridge(1e-6)).fit(X[:20], y[:20])
    assert pipeline.score(X, y) > 0.999999
    assert "x0 x3 + x1 x4 + x2 x5" in pipeline[:-1].get_feature_names_out()


def test_in_front_of_a_classifier(rng):
    X = rng.normal(size=(300, 3))
    y = (X**2).sum(axis=1) < 2.4
    pipeline = make_pipeline(
        InvariantFeatures(so(3), library=PolynomialLibrary()),
        StandardScaler(),
        LogisticRegression(),
    )
    grid = {"invariantfeatures__library__degree": [2, 4]}
    search = GridSearchCV(pipeline, grid, scoring="accuracy").fit(X, y)
    assert search.best_score_ > 0.9
    M, _ = so(3).exp([1.0, 2.0, 3.0])
    assert_array_equal(search.predict(X @ M.T), search.predict(X))


def test_nothing_but_the_constant(rng):
    with pytest.warns(UserWarning, match="No function of the library but the constant"):
        features = InvariantFeatures(gl(2)).fit(rng.normal(size=(20, 2)))
    assert features.transform(np.ones((3, 2))).shape == (3, 0)


def test_nothing_but_the_constant_in_a_frame(rng):
    features = InvariantFeatures(gl(2)).set_output(transform="pandas")
    with pytest.warns(UserWarning, match="No function of the library but the constant"):
        out = features.fit_transform(rng.normal(size=(20, 2)))
    assert out.shape == (20, 0)


def test_dependent_generators_are_said_once(rng):
    X = rng.normal(size=(20, 3))
    with pytest.warns(UserWarning, match="6 generators span 3 dimensions") as record:
        features = InvariantFeatures(so(3) + so(3)).fit(X)
    assert len(record) == 1
    assert_array_equal(features.get_feature_names_out(), ["x0^2 + x1^2 + x2^2"])


BAD = {
    "algebra elsewhere": (InvariantFeatures(so(2)), ValueError, r"acts on R\^2, but X has 3"),
    "group elsewhere": (InvariantFeatures(cyclic(2, 3)), ValueError, r"acts on R\^2"),
    "matrices as symmetry": (
        InvariantFeatures(permutations(3).matrices),
        TypeError,
        "must be a LieAlgebra, a FiniteGroup, a Group",
    ),
    "name as symmetry": (InvariantFeatures("so"), TypeError, "must be a LieAlgebra"),
    "negative degree": (
        InvariantFeatures(so(3), library=PolynomialLibrary(-1)),
        ValueError,
        "degree",
    ),
    "too much": (
        InvariantFeatures(so(3), library=PolynomialLibrary(100_000)),
        MemoryError,
        "166,676,666,850,001 monomials.*Reduce",
    ),
    "no library": (InvariantFeatures(so(3), library=Ridge()), TypeError, "from_transformer"),
}


@pytest.mark.parametrize(("features", "error", "message"), BAD.values(), ids=list(BAD))
def test_bad_input_is_refused_and_leaves_nothing(features, error, message, rng):
    with pytest.raises(error, match=message):
        features.fit(rng.normal(size=(20, 3)))
    assert not [name for name in vars(features) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        features.transform(np.ones((2, 3)))


def test_bad_data_are_refused(rng):
    X = rng.normal(size=(20, 3))
    features = InvariantFeatures(so(3)).fit(X)
    for data, message in [(X * np.nan, "NaN"), (X[:, :2], "2 features"), (X[0], "2D")]:
        with pytest.raises(ValueError, match=message):
            features.transform(data)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        features.transform(sparse.csr_array(X))


def test_float32_in_float32_out(rng):
    X = rng.normal(size=(20, 3)).astype(np.float32)
    features = InvariantFeatures(so(3)).fit(X)
    assert features.transform(X).dtype == np.float32
    assert_allclose(features.transform(X)[:, 0], (X**2).sum(axis=1), rtol=1e-5)


def test_a_failed_refit_keeps_the_old_features(rng):
    X = pd.DataFrame(rng.normal(size=(20, 2)), columns=["u", "v"])
    features = InvariantFeatures(so(2)).fit(X)
    with pytest.raises(ValueError, match="acts on"):
        features.fit(np.ones((4, 3)))
    assert features.n_features_in_ == 2
    assert_array_equal(features.get_feature_names_out(), ["u^2 + v^2"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features.transform(X)
