"""Invariant features: they are invariant, independent, and what their names say."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksym import (
    FourierLibrary,
    InvariantFeatures,
    LieAlgebra,
    PolynomialLibrary,
    RadialLibrary,
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
    "so(2)": (so(2), None, PolynomialLibrary(4), 2),
    "two points": (so(3).repeat(2), None, PolynomialLibrary(2), 3),
    "rigid": (se(2).repeat(2), None, PolynomialLibrary(4), 2),
    "lorentz": (lorentz(2), None, PolynomialLibrary(4), 2),
    "areas": (sl(2).repeat(2), None, PolynomialLibrary(4), 2),
    "scaling": (scaling([1, -1]), None, PolynomialLibrary(4), 2),
    "sensors": (None, permutations(3), PolynomialLibrary(3), 6),
    "both": (so(2), reflections(2), PolynomialLibrary(4), 2),
    "waves": (translations(1).repeat(2), None, FourierLibrary(2), 2),
    "radial": (so(3), None, RadialLibrary((-3, -1, 1)), 3),
}
cases = pytest.mark.parametrize(
    ("algebra", "group", "library", "expected"), CASES.values(), ids=list(CASES)
)


@cases
def test_features_are_invariant_and_independent(algebra, group, library, expected, rng):
    d = (group if algebra is None else algebra).n_features
    X = rng.normal(size=(50, d))
    features = InvariantFeatures(algebra, group=group, library=library).fit(X)
    Z = features.transform(X)
    assert Z.shape == (50, expected)
    assert np.linalg.matrix_rank(np.c_[np.ones(50), Z]) == expected + 1
    if algebra is not None:
        M, t = algebra.exp(rng.normal(size=algebra.dim))
        assert_allclose(features.transform(X @ M.T + t), Z, rtol=1e-9, atol=1e-9)
    for g in () if group is None else group.matrices:
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
