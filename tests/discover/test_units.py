"""Discovery does not depend on the user's units and origin."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import subspace_angles

from sksym import FourierLibrary, PolynomialLibrary, SymmetryDiscoverer, aff, gl, so, vector
from sksym.discover.unit_coordinates import UnitCoordinates

N = 400


def bowl(Z):
    square = np.sum(Z**2, axis=1)
    return square - 0.1 * square**2


def samples(noise=0.05, d=2):
    rng = np.random.default_rng(3)
    Z = rng.normal(size=(N, d))
    y = bowl(Z)
    return Z, y + noise * np.std(y) * rng.normal(size=N)


def angle_to_rotations(model, center, unit):
    """Angle between what was found and rotations about a centre, in unit coordinates."""
    d = len(center)
    found = model.algebra_.in_units_of(center, unit)
    return subspace_angles(found.flat().T, so(d).flat().T).max()


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("far", [0.0, 1e3, 1e5, 1e6])
def test_any_origin(far, noise):
    Z, y = samples(noise)
    model = SymmetryDiscoverer(library=PolynomialLibrary(5)).fit(Z + far, y)
    assert model.n_symmetries_ == 1
    near = SymmetryDiscoverer(library=PolynomialLibrary(5)).fit(Z, y)
    # What a float at this distance can say.
    atol = 1e-9 if noise else 1e-4
    assert_allclose(model.singular_values_[:-1], near.singular_values_[:-1], atol=atol)
    assert angle_to_rotations(model, np.full(2, far), np.ones(2)) < 1e-8
    assert_allclose(model.predict(Z + far), near.predict(Z), atol=1e-8)
    invariant = model.transform(Z + far)[:, 0]
    assert abs(np.corrcoef(invariant, np.sum(Z**2, axis=1))[0, 1]) > 1 - 1e-8


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("unit", [1e-150, 1e-12, 1e-3, 1e12, 1e150])
def test_any_units(unit, noise):
    Z, y = samples(noise)
    model = SymmetryDiscoverer(library=PolynomialLibrary(5)).fit(Z * unit, y * unit**0.5)
    assert model.n_symmetries_ == 1
    assert angle_to_rotations(model, np.zeros(2), np.full(2, unit)) < 1e-12
    reference = SymmetryDiscoverer(library=PolynomialLibrary(5)).fit(Z, y)
    assert_allclose(model.singular_values_, reference.singular_values_, rtol=1e-6, atol=1e-11)
    assert_allclose(model.predict(Z * unit), reference.predict(Z) * unit**0.5, rtol=1e-8)


@pytest.mark.parametrize("ratio", [1e-12, 1e-6, 1e6, 1e12])
def test_mixed_units(ratio):
    Z, y = samples(0.0, d=3)
    unit = np.array([1.0, ratio, 1 / ratio])
    model = SymmetryDiscoverer(gl).fit(Z * unit, y)
    assert model.n_symmetries_ == 3
    assert angle_to_rotations(model, np.zeros(3), unit) < 1e-9


def test_constant_columns_far_away():
    Z, y = samples(0.0)
    X = np.c_[Z, np.full(N, 1.6e18)]
    model = SymmetryDiscoverer(library=PolynomialLibrary(5)).fit(X, y)
    rotation = so(2).on_columns([0, 1], 3).flat()
    assert model.n_symmetries_ == 1
    assert subspace_angles(model.algebra_.flat().T, rotation.T).max() < 1e-9


def test_vector_outputs_in_mixed_units():
    """A turning field in units of 1 and 1e6, as states of a dynamical system."""
    Z, _ = samples()
    field = np.c_[-Z[:, 1], Z[:, 0]] + Z * (1 - np.sum(Z**2, axis=1))[:, None]
    unit = np.array([1.0, 1e6])
    for output in (vector, gl(2).linear):
        model = SymmetryDiscoverer(gl, output=output).fit(Z * unit + [0, 0], field * unit)
        assert model.n_symmetries_ == 1
        assert angle_to_rotations(model, np.zeros(2), unit) < 1e-9
        assert_allclose(model.representation_, model.algebra_.linear, rtol=1e-9)
        assert_allclose(model.predict(Z * unit) / unit, field, atol=1e-9)


@pytest.mark.parametrize("far", [0.0, 1e5])
def test_models_and_data_sets(far):
    Z, _ = samples()
    X = Z + far

    def model(rows):
        return bowl(rows - far)

    found = SymmetryDiscoverer(aff, estimator=model).fit(X)
    assert found.n_symmetries_ == 1
    assert angle_to_rotations(found, np.full(2, far), np.ones(2)) < 1e-8
    circle = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    found = SymmetryDiscoverer(aff).fit(circle + far)
    assert found.n_symmetries_ == 1
    assert angle_to_rotations(found, np.full(2, far), np.ones(2)) < 1e-6


def test_benign_data_keep_the_coordinates_of_the_user():
    Z, y = samples()
    assert UnitCoordinates.of(3 * Z + 5, y[:, None]).is_identity
    assert not UnitCoordinates.of(Z + 1e3).is_identity
    fourier = SymmetryDiscoverer(gl, library=FourierLibrary(1)).fit(Z + 100, y)
    assert isinstance(fourier.library_, FourierLibrary)


def test_stored_digits_are_noticed():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 1))
    exact = UnitCoordinates.of(X).resolution
    single = UnitCoordinates.of(X.astype(np.float32).astype(float)).resolution
    rounded = UnitCoordinates.of(np.round(X, 6)).resolution
    far = UnitCoordinates.of(X + 1e6).resolution
    grid = UnitCoordinates.of(np.round(X, 1)).resolution
    assert exact < 1e-15
    assert 1e-8 < single < 1e-6
    assert 1e-7 < rounded < 1e-5
    assert 1e-11 < far < 1e-9
    assert grid < 1e-5


@pytest.mark.parametrize("stored", [lambda X: X.astype(np.float32), lambda X: np.round(X, 6)])
def test_functions_that_vanish_within_the_digits_are_unidentified(stored):
    """On a circle known to few digits, how a function changes off the circle is not known."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, N)
    X = stored(np.c_[np.cos(angle), np.sin(angle)])
    y = np.cos(3 * angle) + 0.3 * np.sin(angle)
    model = SymmetryDiscoverer(gl).fit(X, y)
    assert model.n_symmetries_ == 0
    assert model.unidentified_.dim == 3
