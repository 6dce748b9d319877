"""What goes into SymmetricRidge, in any layout, and what comes out."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
)
from sklearn.preprocessing import PolynomialFeatures

import sksym as sk


def test_any_layout_gives_the_same_model(rng):
    X = rng.integers(-5, 5, size=(40, 3))
    y = rng.normal(size=40)
    frozen = X.astype(float)
    frozen.setflags(write=False)
    names = ["a", "b", "c"]
    inputs = [
        X,
        np.asfortranarray(X.astype(float)),
        frozen,
        X[::1],
        X.tolist(),
        pd.DataFrame(X, columns=names),
        pl.DataFrame(X, schema=names),
    ]
    expected = sk.SymmetricRidge(sk.so(3)).fit(X.astype(float), y).coef_
    for data in inputs:
        model = sk.SymmetricRidge(sk.so(3)).fit(data, y)
        assert_array_equal(model.coef_, expected)
        assert_array_equal(model.predict(data), model.predict(data))
    assert_array_equal(model.feature_names_in_, names)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        sk.SymmetricRidge(sk.so(3)).fit(sparse.csr_array(X), y)


@pytest.mark.parametrize(
    "library",
    [sk.PolynomialLibrary(3), sk.RadialLibrary(), sk.from_transformer(PolynomialFeatures(3))],
    ids=["polynomial", "radial", "adapted"],
)
@pytest.mark.parametrize("frames", ["pandas", "polars"])
def test_output_settings_do_not_reach_inside(library, frames, rng):
    X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    expected = sk.SymmetricRidge(sk.so(3), library=library, output=sk.vector).fit(X, Y).predict(X)
    with config_context(transform_output=frames):
        model = sk.SymmetricRidge(sk.so(3), library=library, output=sk.vector).fit(X, Y)
        assert_array_equal(model.predict(X), expected)
        assert model.equivariance_error(X) < 1e-9
        parts = clone(model).partial_fit(X[:20], Y[:20]).partial_fit(X[20:], Y[20:])
        assert_allclose(parts.predict(X), expected, atol=1e-8)
    framed = clone(library).set_output(transform=frames)
    model = sk.SymmetricRidge(sk.so(3), library=framed, output=sk.vector).fit(X, Y)
    assert_array_equal(model.predict(X), expected)


@pytest.mark.parametrize("kind", [list, pd.Series, pl.Series, lambda y: y.astype(object)])
def test_any_kind_of_target(kind, rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    model = sk.SymmetricRidge(sk.so(3)).fit(X, kind(y), kind(np.ones(40)))
    assert_array_equal(model.coef_, sk.SymmetricRidge(sk.so(3)).fit(X, y).coef_)
    for frame in (pd.DataFrame({"u": y, "v": -y}), pl.DataFrame({"u": y, "v": -y})):
        model = sk.SymmetricRidge(sk.so(3)).fit(X, frame)
        assert_allclose(model.coef_[0], -model.coef_[1])


def test_columns_by_name(rng):
    frame = pd.DataFrame(rng.normal(size=(40, 3)), columns=["px", "mass", "py"])
    y = frame["px"] ** 2 + frame["py"] ** 2 + frame["mass"]
    algebra = sk.so(2).on_columns(["px", "py"], list(frame.columns))
    model = sk.SymmetricRidge(algebra, alpha=0).fit(frame, y)
    assert model.score(frame, y) == pytest.approx(1)
    assert_array_equal(model.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["mass", "px", "py"]])


def test_the_order_of_rows_does_not_matter(rng):
    """Rows that coincide, or lie at the fixed point, may come first."""
    X = rng.normal(size=(40, 3))
    X[:6] = 0
    for library in (sk.PolynomialLibrary(3), sk.FourierLibrary(2), sk.RadialLibrary((0, 1), 2)):
        y = library.fit_transform(X) @ rng.normal(size=library.n_output_features_)
        model = sk.SymmetricRidge(library=library, alpha=10.0)
        forward, backward = clone(model).fit(X, y), clone(model).fit(X[::-1], y[::-1])
        assert_allclose(forward.coef_, backward.coef_, atol=1e-9)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_extreme_units_do_not_overflow(unit, rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    expected = sk.SymmetricRidge(sk.so(3)).fit(X, y)
    model = sk.SymmetricRidge(sk.so(3)).fit(X, unit * y)
    assert_allclose(model.predict(X), unit * expected.predict(X), rtol=1e-10)
    far = sk.SymmetricRidge(sk.so(3), alpha=0).fit(unit * X, y)
    near = sk.SymmetricRidge(sk.so(3), alpha=0).fit(X, y)
    assert_allclose(far.predict(unit * X), near.predict(X), rtol=1e-10)


def test_float32_in_float32_out(rng):
    X, Y = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(40, 3))
    model = sk.SymmetricRidge(sk.so(3), output=sk.vector).fit(X, Y.astype(np.float32))
    assert model.coef_.dtype == model.predict(X).dtype == np.float32
    assert model.predict(X.astype(float)).dtype == np.float64
    assert model.equivariance_error(X) < 1e-5


def test_shapes_follow_y(rng):
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    assert sk.SymmetricRidge(sk.so(3)).fit(X, y).coef_.shape == (10,)
    assert sk.SymmetricRidge(sk.so(3)).fit(X, y[:, None]).coef_.shape == (1, 10)
    assert sk.SymmetricRidge(sk.so(3)).fit(X, y[:, None]).predict(X).shape == (20, 1)


def test_pickle(rng):
    X, Y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    model = sk.SymmetricRidge(sk.so(3) + sk.reflections(3), output=sk.vector).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))
    assert again.equivariance_error(X) == model.equivariance_error(X)
    assert_array_equal(again.partial_fit(2 * X, Y).coef_, model.partial_fit(2 * X, Y).coef_)


def test_parallel_search(rng):
    X, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    model = sk.SymmetricRidge(sk.so(3), library=sk.PolynomialLibrary(), output=sk.trivial(1))
    grid = {"library__degree": [2, 3], "alpha": [0.1, 1.0]}
    alone, parallel = (GridSearchCV(model, grid, cv=2, n_jobs=jobs).fit(X, y) for jobs in (1, 2))
    assert alone.best_params_ == parallel.best_params_
    assert_allclose(alone.cv_results_["mean_test_score"], parallel.cv_results_["mean_test_score"])


def test_few_and_constant_rows(rng):
    X, y = rng.normal(size=(1, 3)), np.array([2.0])
    assert_allclose(sk.SymmetricRidge(sk.so(3)).fit(X, y).predict(X), y)
    X = np.c_[rng.normal(size=(20, 2)), np.full(20, 7.0)]
    model = sk.SymmetricRidge(sk.so(2).on_columns([0, 1], 3), alpha=1e-6).fit(X, (X**2).sum(axis=1))
    assert model.score(X, (X**2).sum(axis=1)) > 0.99999
    same = sk.SymmetricRidge(sk.so(3)).fit(np.ones((5, 3)), np.arange(5.0))
    assert_allclose(same.predict(np.ones((1, 3))), 2.0)


@pytest.mark.parametrize("unit", [1e-310, 1e-160, 1e155, 1e200, 1e300])
def test_extreme_units(unit, rng):
    """Finite and the same as in moderate units, without a warning about arithmetic."""
    X = rng.normal(size=(50, 3))
    y = (X**2).sum(axis=1)
    model = sk.SymmetricRidge(sk.so(3), alpha=0)
    assert_allclose(model.fit(unit * X, y).predict(unit * X), y, rtol=1e-5)
    if unit >= 1e-300:
        assert_allclose(model.fit(X, unit * y).predict(X), unit * y, rtol=1e-10)
    features = sk.InvariantFeatures(sk.so(3)).fit_transform(unit * X)[:, 0]
    assert_allclose(features / features[0], y / y[0], rtol=1e-5)


def test_weights_whose_sum_overflows_are_refused(rng):
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    sk.SymmetricRidge(sk.so(3)).fit(X, y, np.full(50, 1e300))
    with pytest.raises(ValueError, match="overflows"):
        sk.SymmetricRidge(sk.so(3)).fit(X, y, np.full(50, 1e308))


def test_targets_beyond_the_range_are_refused(rng):
    X = rng.normal(size=(50, 3))
    y = (X**2).sum(axis=1)
    with pytest.raises(ValueError, match="float32"):
        sk.SymmetricRidge(sk.so(3)).fit(X.astype(np.float32), 1e39 * y)
    with pytest.raises(ValueError, match="overflow"):
        sk.SymmetricRidgeCV(sk.so(3)).fit(X, 1e200 * y)


def test_a_constant_column_of_time_stamps(rng):
    X = np.column_stack([rng.normal(size=(50, 3)), np.full(50, 1.7e18)])
    y = (X[:, :3] ** 2).sum(axis=1)
    for symmetry in (None, sk.so(3).on_columns([0, 1, 2], 4)):
        model = sk.SymmetricRidge(symmetry, alpha=0).fit(X, y)
        assert_allclose(model.predict(X), y, rtol=1e-10)
