"""What a new user does first: formulas, searches over the library, data frames."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.model_selection import GridSearchCV

import sksym as sk


def test_equations_have_the_names_of_the_columns(rng):
    X = pd.DataFrame(rng.normal(size=(60, 3)), columns=["east", "north", "height"])
    y = 2 * X["east"] ** 2 + 2 * X["north"] ** 2 + 7
    circle = sk.so(2).on_columns(["east", "north"], list(X.columns))
    model = sk.SymmetricRidge(circle, library=sk.PolynomialLibrary(2, center=0.0), alpha=0)
    assert model.fit(X, y).equations() == ["y = 7 + 2 east^2 + 2 north^2"]
    names = sk.InvariantFeatures(circle).fit(X).get_feature_names_out()
    assert "east^2 + north^2" in set(names)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_equations_of_several_outputs_in_any_unit(unit, rng):
    X = unit * rng.normal(size=(60, 2))
    model = sk.SymmetricRidge(sk.so(2), library=sk.PolynomialLibrary(3), output=sk.vector, alpha=0)
    assert model.fit(X, 3 * X).equations() == ["y0 = 3 x0", "y1 = 3 x1"]


def test_equations_show_the_intercept(rng):
    X = rng.normal(size=(60, 2))
    library = sk.RadialLibrary(powers=(2,), degree=0)
    model = sk.SymmetricRidge(sk.so(2), library=library, alpha=0).fit(X, (X**2).sum(axis=1) + 5)
    unit = model.library_.scale_
    assert model.equations() == [f"y = 5 + {unit**2:.4g} |x|^2"]


@pytest.mark.filterwarnings("ignore:The symmetry leaves")
def test_searches_reach_the_default_library(rng):
    X = rng.normal(size=(120, 3))
    y = (X**2).sum(axis=1) ** 2
    search = GridSearchCV(sk.SymmetricRidge(sk.so(3)), {"library__degree": [1, 2, 4]}).fit(X, y)
    assert search.best_params_ == {"library__degree": 4}
    features = sk.InvariantFeatures(sk.so(3)).set_params(library__degree=4)
    assert features.fit_transform(X).shape == (120, 2)
    given = sk.SymmetricRidge(library=sk.FourierLibrary()).set_params(library__n_frequencies=2)
    assert given.library.n_frequencies == 2


TIMES = np.arange(30).astype("datetime64[s]")
ZONED = pd.DataFrame({"t": pd.Series(TIMES).dt.tz_localize("UTC"), "a": 1.0})
SINCE = np.column_stack([TIMES - TIMES[0]] * 2)


@pytest.mark.parametrize("X", [np.column_stack([TIMES] * 2), SINCE, SINCE.tolist(), ZONED])
@pytest.mark.parametrize(
    "model", [sk.SymmetricRidge(), sk.InvariantFeatures(), sk.RadialLibrary(), sk.SymmetricScaler()]
)
def test_times_in_X_are_refused(model, X):
    with pytest.raises(TypeError, match=r"holds times.*belong in `t`"):
        model.fit(X, np.arange(30.0))


def test_times_in_y_and_masked_arrays_are_refused(rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    for bad in (TIMES, TIMES - TIMES[0], pd.Series(TIMES)):
        with pytest.raises(TypeError, match="`y` holds times"):
            sk.SymmetricRidge().fit(X, bad)
    for arguments in ((np.ma.masked_array(X, X > 1), y), (X, np.ma.masked_array(y, y > 1))):
        with pytest.raises(TypeError, match="masked array"):
            sk.SymmetricRidge().fit(*arguments)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 2048, 2.0**22])
def test_a_row_does_not_depend_on_its_batch(dtype, offset, rng):
    """Neighbours far from the origin: whole numbers, so that single precision holds them."""
    X = offset + rng.integers(0, 2000, size=(1000, 4)).astype(dtype)
    X[:, 2:] = X[:, :2] + rng.integers(1, 4, size=(1000, 2))
    square = ((X[:, :2] - X[:, 2:]) ** 2).sum(axis=1)
    features = sk.InvariantFeatures(sk.se(2).repeat(2)).fit(X)
    whole = features.transform(X)
    assert list(features.get_feature_names_out()) == [
        "x0^2 - 2 x0 x2 + x1^2 - 2 x1 x3 + x2^2 + x3^2"
    ]
    assert_allclose(whole[:, 0], square, rtol=1e-8 if dtype is np.float64 else 1e-6)
    alone = np.concatenate([features.transform(X[i : i + 1]) for i in range(0, 1000, 50)])
    assert_allclose(alone, whole[::50], rtol=1e-8 if dtype is np.float64 else 1e-7)
    model = sk.SymmetricRidge(sk.se(2).repeat(2), alpha=0).fit(X, square)
    assert_allclose(model.predict(X), square, rtol=1e-5)
    assert_allclose(model.predict(X[:1]), model.predict(X)[:1], rtol=1e-7)
