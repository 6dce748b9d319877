"""Symmetries of given models: derivatives, their errors, and errors that name the sample."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import subspace_angles
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from sksym import (
    SymmetricRidge,
    SymmetryDiscoverer,
    aff,
    gl,
    so,
    symmetry_report,
    vector,
    vector_fields,
)
from sksym.discover.models import derivatives
from sksym.libraries import PolynomialLibrary


def wave(X):
    return np.sin(np.sum(X**2, axis=1))


def wave_slope(X):
    return 2 * X * np.cos(np.sum(X**2, axis=1))[:, None]


def not_complex(X):
    return np.exp(-np.linalg.norm(np.asarray(X, float), axis=1))


def single_precision(X):
    return wave(X.astype(np.float32))


class Tensor:
    """Stands for tensors of other packages: numbers only after these calls."""

    def __init__(self, values):
        self.values = values

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self.values


def assert_rotations(model, d):
    found, true = model.algebra_, so(d)
    assert model.n_symmetries_ == true.dim
    angles = subspace_angles(found.flat().T, true.flat().T)
    assert angles.max() < 1e-9


@pytest.mark.parametrize(
    "estimator",
    [wave, (wave, wave_slope), not_complex, single_precision, lambda X: Tensor(wave(X)[:, None])],
    ids=["complex", "pair", "real", "float32", "tensor"],
)
def test_functions(estimator, rng):
    X = rng.normal(size=(300, 3))
    model = SymmetryDiscoverer(aff, estimator=estimator, random_state=0).fit(X)
    assert_rotations(model, 3)
    assert model.method_ == "model"
    assert_allclose(
        model.predict(X), wave(X) if estimator is not not_complex else not_complex(X), atol=1e-5
    )
    assert list(model.get_feature_names_out()) == ["x0^2 + x1^2 + x2^2"]


def test_derivatives_are_right(rng):
    X = rng.normal(size=(50, 3))
    for model, atol in (
        (wave, 1e-13),
        ((wave, wave_slope), 1e-13),
        (lambda X: wave(np.real(X)), 1e-7),
        (single_precision, 5e-2),
    ):
        values, slopes, error = derivatives(model, X, np.random.RandomState(0))
        assert_allclose(values[:, 0], wave(X), atol=1e-5)
        assert_allclose(slopes[:, 0], wave_slope(X), atol=atol)
        assert (
            np.abs(slopes[:, 0] - wave_slope(X)).max()
            <= 30 * (error + 1e-15) * np.abs(slopes).max()
        )


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_derivatives_in_any_units(scale, rng):
    X = rng.normal(size=(50, 2)) * [scale, 1] + [3 * scale, 0]

    def function(X):
        return np.arctan(np.real(X[:, 0]) / scale + X[:, 1].real)

    _, slopes, _ = derivatives(function, X, np.random.RandomState(0))
    exact = 1 / (1 + (X[:, 0] / scale + X[:, 1]) ** 2)
    assert_allclose(slopes[:, 0] * [scale, 1], exact[:, None] * [1, 1], atol=1e-6)


def test_constant_models_are_symmetric_in_every_way(rng):
    X = rng.normal(size=(60, 2))
    model = SymmetryDiscoverer(aff, estimator=lambda X: np.ones(len(X))).fit(X)
    assert_array_equal(model.singular_values_, np.zeros(6))


def test_a_regressor_is_fitted_and_a_frozen_one_is_not(rng):
    X = rng.normal(size=(400, 2))
    y = np.sum(X**2, axis=1) + 0.02 * rng.normal(size=400)
    kernel = KernelRidge(kernel="poly", degree=4, coef0=1.0, alpha=1e-3)
    assert_rotations(SymmetryDiscoverer(aff, estimator=kernel, random_state=0).fit(X, y), 2)
    kernel_of_process = RBF(2.0) + WhiteKernel(1e-4)
    process = GaussianProcessRegressor(kernel_of_process, optimizer=None, normalize_y=True)
    process.fit(X[:300], y[:300])
    frozen = SymmetryDiscoverer(aff, estimator=FrozenEstimator(process), random_state=0)
    assert_rotations(frozen.fit(X[300:], y[300:]), 2)
    assert frozen.model_.estimator is process
    assert not hasattr(kernel, "dual_coef_")


def test_wrong_models_are_not_believed(rng):
    """A linear fit of a radial function has symmetries of its own; its error forbids them."""
    X = rng.normal(size=(400, 2))
    model = SymmetryDiscoverer(
        gl, estimator=FrozenEstimator(LinearRegression().fit(X, X[:, 0] ** 2))
    )
    model.fit(X, np.sum(X**2, axis=1))
    assert model.n_symmetries_ == 0
    assert model.noise_floor_ > 0.1


def test_vector_models_and_fields_beyond_affine(rng):
    X = rng.normal(size=(300, 2))
    turning = SymmetricRidge(so(2), library=PolynomialLibrary(3), output=vector, alpha=0.0)
    turning.fit(X, np.column_stack([-X[:, 1], X[:, 0]]) - X * np.sum(X**2, axis=1)[:, None])
    model = SymmetryDiscoverer(gl, output=vector, estimator=FrozenEstimator(turning)).fit(X)
    assert_rotations(model, 2)
    assert_array_equal(model.representation_, model.algebra_.linear)
    fields = vector_fields(PolynomialLibrary(3, center=0.0).fit(X))
    bent = SymmetryDiscoverer(fields, estimator=lambda X: X[:, 0] ** 2 + X[:, 1] ** 4).fit(X)
    assert bent.algebra_.names == ("x0 ∂1 - 2 x1^3 ∂0",) or bent.n_symmetries_ == 1


def nan_for_some(X):
    return np.where(np.real(X[:, 0]) > 0.5, np.nan, 1.0)


def raises_for_some(X):
    if (np.real(X[:, 0]) > 0.5).any():
        raise ArithmeticError("no root")
    return X[:, 0]


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (nan_for_some, r"NaN or infinity for sample 2\b"),
        (raises_for_some, r"ArithmeticError for sample 2\b.*no root"),
        (lambda X: X[:3, 0], r"must return shape \(n,\) or \(n, q\)"),
        (lambda X: np.sum(X), "a single number"),
        (lambda X: np.ones((len(X), 2, 2)), "must return shape"),
        (lambda X: ["a"] * len(X), "instead of numbers"),
        ((wave, lambda X: X[:, :1]), r"Jacobian must return shape \(n, d\)"),
        ((wave, lambda X: np.ones((len(X), 2, 2))), "Jacobian has 2 outputs"),
    ],
)
def test_errors_name_the_sample(estimator, message):
    X = np.array([[0.1, 1.0], [0.2, -1.0], [0.9, 0.5], [0.3, 0.2]])
    with pytest.raises(ValueError, match=message):
        SymmetryDiscoverer(gl, estimator=estimator).fit(X)


@pytest.mark.parametrize(
    "estimator", [RandomForestRegressor(20, random_state=0), KNeighborsRegressor()]
)
def test_piecewise_constant_models_have_no_derivative(estimator, rng):
    X = rng.normal(size=(200, 2))
    for kind in (estimator, FrozenEstimator(estimator.fit(X, wave(X)))):
        model = SymmetryDiscoverer(gl, estimator=kind)
        with pytest.raises(ValueError, match="no useful derivative"):
            model.fit(X, wave(X))
        assert not hasattr(model, "algebra_")


def test_what_an_estimator_needs(rng):
    X = rng.normal(size=(40, 2))
    with pytest.raises(ValueError, match="Wrap a fitted one in FrozenEstimator"):
        SymmetryDiscoverer(gl, estimator=LinearRegression()).fit(X)
    with pytest.raises(TypeError, match="must be a regressor"):
        SymmetryDiscoverer(gl, estimator="forest").fit(X, X[:, 0])
    with pytest.raises(ValueError, match="The model has 1 outputs, but `output` has 2"):
        SymmetryDiscoverer(gl, estimator=wave, output=vector).fit(X)
    with pytest.raises(ValueError, match="The model has 1 outputs, but y has 2"):
        SymmetryDiscoverer(gl, estimator=wave).fit(X, X)


def test_more_candidates_than_rows_are_no_evidence(rng):
    """At n points some of more than n fields are always tangent to the level sets."""
    X = rng.normal(size=(7, 3))
    model = SymmetryDiscoverer(aff, estimator=wave).fit(X, wave(X))
    assert model.n_symmetries_ == 0
    assert model.undecided_ == model.singular_values_.size == 12
    assert "too few samples" in str(model.report_)
    enough = SymmetryDiscoverer(so, estimator=wave).fit(X, wave(X))
    assert_rotations(enough, 3)


def test_frozen_models_of_other_columns(rng):
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    frozen = FrozenEstimator(LinearRegression().fit(X, X["a"]))
    for use in (SymmetryDiscoverer(gl, estimator=frozen).fit, partial(symmetry_report, frozen)):
        with pytest.raises(ValueError, match=r"columns .*'a', 'b'.*'b', 'a'"):
            use(X[["b", "a"]])
        with pytest.raises(ValueError, match="2 features, but X has 1"):
            use(X[["a"]].to_numpy())
