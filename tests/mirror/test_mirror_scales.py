"""Mirrors in any units: the same problem, scaled, has the same solution, scaled."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from cases import MIRRORS
from sksym import MirrorSGDRegressor, MirrorSparseRegressor, MirrorSparseRegressorCV, mirror_path
from sksym._linalg.units import as_float, binary_exponent, scaled, scaled_product
from sksym.mirror import alpha_max, exchange, groups, low_rank, rescaling, trend

# A product of two units may lie beyond all floats.
LONG = np.longdouble
has_long_doubles = pytest.mark.skipif(
    np.finfo(LONG).maxexp <= np.finfo(float).maxexp, reason="no floats of a longer type"
)
POWERS = [-300, -160, 155, 300]


def samples(n=30):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 6)) + rng.normal(size=6)
    y = X @ [1.0, 1.0, 0.0, 0.0, -2.0, 0.0] + 0.1 * rng.normal(size=n) + 0.5
    return X, y


def in_units(x, y):
    X, target = samples()
    return (X * x).astype(float), (target * y).astype(float)


def excess(model, X, y, x_unit, y_unit, alpha):
    """Objective of the lasso in units of its own, above its minimum there."""
    X = (X / x_unit).astype(float)
    y = (y / y_unit).astype(float)
    coef = (model.coef_ * x_unit / y_unit).astype(float)
    residual = y - X @ coef - float(model.intercept_ / y_unit)
    objective = np.mean(residual**2) / 2 + alpha * np.abs(coef).sum()
    exact = MirrorSparseRegressor(alpha=alpha, tol=1e-14).fit(X, y)
    residual = y - exact.predict(X)
    return objective - np.mean(residual**2) / 2 - alpha * np.abs(exact.coef_).sum()


@has_long_doubles
@pytest.mark.parametrize("of", ["X", "y", "both"])
@pytest.mark.parametrize("name", MIRRORS)
def test_every_power_of_ten(name, of):
    X, y = samples()
    model = MirrorSparseRegressor(MIRRORS[name], alpha=0.1, tol=1e-10)
    expected = clone(model).fit(X, y).predict(X)
    for power in POWERS:
        x_unit = LONG(10) ** power if of != "y" else LONG(1)
        y_unit = LONG(10) ** power if of != "X" else LONG(1)
        data = in_units(x_unit, y_unit)
        scaled_model = clone(model).set_params(alpha=LONG(0.1) * x_unit * y_unit).fit(*data)
        prediction = (scaled_model.predict(data[0]) / y_unit).astype(float)
        np.testing.assert_allclose(prediction, expected, rtol=0, atol=1e-8 * np.abs(y).max())
        assert 0 <= scaled_model.dual_gap_ < np.inf


@has_long_doubles
@pytest.mark.parametrize("power", POWERS)
def test_gap_is_a_bound_in_any_unit(power):
    unit = LONG(10) ** power
    X, y = in_units(LONG(1), unit)
    model = MirrorSparseRegressor(alpha=LONG(0.1) * unit, tol=1e-3).fit(X, y)
    relative_gap = float(LONG(model.dual_gap_) / unit / unit)
    assert -1e-15 <= excess(model, X, y, LONG(1), unit, 0.1) <= relative_gap + 1e-15
    assert relative_gap < 1e-2


@pytest.mark.parametrize("name", MIRRORS)
def test_powers_of_two_change_no_digit(name):
    X, y = samples()
    model = MirrorSparseRegressor(MIRRORS[name], alpha=0.25)
    plain = clone(model).fit(X, y)
    for k in (-700, -3, 5, 600):
        for x_power, y_power in [(0, k), (k, 0), (k, -k)]:
            if abs(x_power - y_power) > 1000:
                continue
            alpha = np.ldexp(0.25, x_power + y_power)
            other = clone(model).set_params(alpha=alpha)
            other.fit(np.ldexp(X, x_power), np.ldexp(y, y_power))
            np.testing.assert_array_equal(np.ldexp(other.coef_, x_power - y_power), plain.coef_)
            np.testing.assert_array_equal(np.ldexp(other.intercept_, -y_power), plain.intercept_)


@has_long_doubles
@pytest.mark.parametrize("mirrors", [None, trend(1), low_rank()], ids=["lasso", "chain", "rank"])
def test_cross_validation_in_any_unit(mirrors):
    X, y = samples()
    model = MirrorSparseRegressorCV(mirrors, alphas=4, cv=3, tol=1e-9)
    plain = clone(model).fit(X, y)
    for power in POWERS:
        unit = LONG(10) ** power
        data = in_units(unit, unit)
        other = clone(model).fit(*data)
        prediction = (other.predict(data[0]) / unit).astype(float)
        np.testing.assert_allclose(prediction, plain.predict(X), rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(
            (other.alphas_ / unit / unit).astype(float), plain.alphas_, rtol=1e-9
        )
        np.testing.assert_allclose(
            (other.mse_path_ / unit / unit).astype(float), plain.mse_path_, rtol=1e-6
        )
        assert float(other.alpha_ / unit / unit) == pytest.approx(plain.alpha_)
        path = mirror_path(*data, mirrors, alphas=other.alphas_, tol=1e-9)
        np.testing.assert_allclose(path.coefs[-1], other.path_["coefs"][-1], atol=1e-7)
        largest = alpha_max(*data, mirrors)
        assert float(largest / other.alphas_[0]) == pytest.approx(1)


@has_long_doubles
@pytest.mark.parametrize("depth", [2, 3])
def test_training_in_any_unit(depth):
    X, y = samples()
    X[:, 2] = 4.0
    model = MirrorSGDRegressor(alpha=0.1, depth=depth, max_epochs=10, random_state=0, tol=0.9)
    plain = clone(model).fit(X, y)
    for power in (-300, -160, 155, 300):
        unit = LONG(10) ** power
        # The penalty has degree 2 / depth in the coefficients.
        alpha = LONG(0.1) * unit ** (2 - LONG(2) / depth)
        other = clone(model).set_params(alpha=alpha).fit(X, (y * unit).astype(float))
        np.testing.assert_allclose(
            (other.coef_ / unit).astype(float), plain.coef_, rtol=1e-6, atol=1e-8
        )
        np.testing.assert_allclose((other.loss_path_ / unit / unit).astype(float), plain.loss_path_)
        more = other.partial_fit(X, (y * unit).astype(float))
        assert np.isfinite(more.coef_).all()
        assert len(more.loss_path_) == more.n_iter_


@pytest.mark.parametrize("alpha", [1e12, 1e300, 1e308])
@pytest.mark.parametrize("name", MIRRORS)
def test_from_the_largest_alpha_on_all_mirrors_hold(name, alpha):
    X, y = samples()
    model = MirrorSparseRegressor(MIRRORS[name], alpha=alpha).fit(X, y)
    assert model.satisfied_.all()
    just_enough = clone(model).set_params(alpha=1.5 * alpha_max(X, y, MIRRORS[name])).fit(X, y)
    np.testing.assert_allclose(model.predict(X), just_enough.predict(X), atol=1e-5)


@pytest.mark.parametrize("depth", [2, 3])
def test_training_with_the_largest_decay(depth):
    X, y = samples()
    model = MirrorSGDRegressor(alpha=1e308, depth=depth, max_epochs=10, random_state=0).fit(X, y)
    assert not model.coef_.any()


def test_sample_weights_have_any_unit():
    X, y = samples()
    weight = np.random.default_rng(0).uniform(size=len(y))
    plain = MirrorSparseRegressor(alpha=0.1).fit(X, y, weight)
    for unit in (1e-300, 1e300):
        other = MirrorSparseRegressor(alpha=0.1).fit(X, y, weight * unit)
        np.testing.assert_allclose(other.coef_, plain.coef_, rtol=1e-9)
    X[0] = 1e300
    y[0] = 1e300
    weight[0] = 0.0
    dropped = MirrorSparseRegressorCV(alphas=3, cv=3).fit(X, y, weight)
    assert np.abs(dropped.coef_).max() < 10
    assert np.isfinite(dropped.mse_path_).all()


def test_weights_of_mirrors_have_any_unit():
    X, y = samples()
    plain = MirrorSparseRegressor(alpha=0.1).fit(X, y)
    heavy = MirrorSparseRegressor(rescaling(weight=1e300), alpha=1e-301).fit(X, y)
    np.testing.assert_allclose(heavy.coef_, plain.coef_)
    with pytest.raises(ValueError, match="weights of the mirrors"):
        MirrorSparseRegressor(rescaling(weight=[1, 1, 1, 1, 1, 1e-200])).fit(X, y)


@pytest.mark.parametrize("mirrors", [None, trend(1), low_rank()], ids=["lasso", "chain", "rank"])
@pytest.mark.parametrize("weighted", [False, True])
def test_constant_sparse_columns(mirrors, weighted):
    X, y = samples()
    X[np.random.default_rng(1).random(X.shape) < 0.5] = 0
    X[:, 0] = 3.3
    X[:, 1] += 1e8
    weight = np.linspace(0.1, 1, len(y)) if weighted else None
    for alpha in (0.0, 0.1):
        model = MirrorSparseRegressor(mirrors, alpha=alpha, tol=1e-9)
        dense = clone(model).fit(X, y, weight)
        thin = clone(model).fit(sparse.csr_array(X), y, weight)
        np.testing.assert_allclose(thin.coef_, dense.coef_, atol=1e-6)
        assert mirrors is not None or thin.coef_[0] == 0


def test_constant_columns_in_chains():
    """The data do not determine their coefficients, and the penalty of a chain does."""
    X, y = samples()
    X[:, 0] = 3.3
    coef = MirrorSparseRegressor(trend(1), alpha=1e-9).fit(X, y).coef_
    assert coef[0] == pytest.approx(coef[1], abs=1e-6)


def test_single_precision_does_not_overflow():
    X, y = samples()
    X = X.astype(np.float32)
    model = MirrorSparseRegressor(alpha=1e38).fit(X, y * 1e39)
    plain = MirrorSparseRegressor(alpha=0.1).fit(X, y)
    assert plain.coef_.dtype == np.float32
    np.testing.assert_allclose(model.predict(X) / 1e39, plain.predict(X), rtol=1e-5)


@pytest.mark.parametrize(
    ("x_unit", "y_unit", "message"), [(1e-300, 1e300, "overflows"), (1e300, 1e-300, "rescale X")]
)
def test_coefficients_beyond_floats_are_refused(x_unit, y_unit, message):
    X, y = samples()
    with pytest.raises(ValueError, match=message):
        MirrorSparseRegressor(alpha=0.0).fit(X * x_unit, y * y_unit)


def test_columns_that_no_unit_suits_are_refused():
    X, y = samples()
    X[:, 3] *= 1e-200
    with pytest.raises(ValueError, match=r"Columns \[3\] of X"):
        MirrorSparseRegressor(groups([0, 0, 0, 1, 1, 1])).fit(X, y)
    X[:, 3] = 0
    assert MirrorSparseRegressor(alpha=0.1).fit(X, y).coef_[3] == 0


def test_a_cycle_with_the_largest_alpha():
    X, y = samples()
    model = MirrorSparseRegressor(exchange([(0, 1), (1, 2), (0, 2)]), alpha=1e300).fit(X, y)
    assert model.coef_[0] == model.coef_[1] == model.coef_[2]


# Units --------------------------------------------------------------------------------------------


def test_exponents():
    for value in (1.0, -0.75, 3.0, 5e-324, 1.7e308):
        k = binary_exponent(np.array([0.0, value, value / 2]))
        assert 2.0 ** (k - 1) <= abs(value)
        assert abs(np.ldexp(value, -k)) < 1
    assert binary_exponent(np.zeros(3)) == binary_exponent(np.zeros(0)) == 0
    assert scaled(np.array([1e300]), 100)[0] == np.inf


@has_long_doubles
def test_products_of_units_are_long_where_needed():
    assert scaled_product(3.0, 4).dtype == float
    assert scaled_product(3.0, 4) == 48.0
    assert scaled_product(3.0, 0.5) == pytest.approx(3 * np.sqrt(2), rel=1e-15)
    beyond = scaled_product(np.array([1.0, 3.0]), 2000)
    assert np.isfinite(beyond).all()
    assert (scaled(beyond, -2000) == [1.0, 3.0]).all()
    assert as_float(np.zeros(2, LONG)).dtype == float
    assert as_float(LONG(1e-200) * LONG(1e-200)) > 0


def test_a_missed_tolerance_is_reported_in_any_unit():
    X, y = samples()
    model = MirrorSparseRegressor(alpha=1e298, max_iter=1, solver="newton", tol=1e-12)
    with pytest.warns(ConvergenceWarning, match="of the objective"):
        model.fit(X, y * 1e300)


@pytest.mark.parametrize("unit", [1e-41, 1e40])
def test_predictions_beyond_single_precision(unit):
    """The coefficients may be in the range of single precision where the targets are not."""
    X, y = samples()
    X = (X * 1e3).astype(np.float32)
    model = MirrorSparseRegressor(alpha=0.1 * 1e3 * unit).fit(X, y * unit)
    plain = MirrorSparseRegressor(alpha=0.1 * 1e3).fit(X, y)
    np.testing.assert_allclose(model.predict(X) / unit, plain.predict(X), rtol=1e-4, atol=1e-4)
