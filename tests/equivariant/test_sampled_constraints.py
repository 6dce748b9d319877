"""Libraries that are not closed under a symmetry, or whose derivatives are numerical."""

import numpy as np
import pysindy as ps
import pytest
from numpy.testing import assert_allclose
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

import sksym as sk
from fits import placed

scales = pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
offsets = pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])

NOT_CLOSED = {
    "pysindy": (sk.from_pysindy(ps.PolynomialLibrary(3)), sk.so(3), sk.vector, 2),
    "scikit-learn": (sk.from_transformer(PolynomialFeatures(3)), sk.so(3), sk.vector, 2),
    "Fourier": (sk.FourierLibrary(2), sk.translations(3).combine([[1, 1, 1]]), None, 7),
    "Fourier, rotated": (sk.FourierLibrary(2), sk.so(3), None, 1),
    "radial": (sk.RadialLibrary(), sk.so(3), sk.vector, 3),
    "radial, moved": (sk.RadialLibrary(), sk.se(3), None, 1),
}


@pytest.mark.parametrize(
    ("library", "algebra", "output", "expected"), NOT_CLOSED.values(), ids=list(NOT_CLOSED)
)
@pytest.mark.filterwarnings("ignore:The symmetry leaves")
def test_libraries_other_than_polynomials(library, algebra, output, expected, rng):
    X = rng.normal(size=(50, 3))
    Y = rng.normal(size=(50, 3)) if output else rng.normal(size=50)
    model = sk.SymmetricRidge(algebra, library=library, output=output, alpha=0.1).fit(X, Y)
    if expected == 1 and output is None and isinstance(library, sk.RadialLibrary):
        expected = 0  # no constant among them
    assert model.n_free_ == expected
    assert model.equivariance_error(X) < 1e-9


def test_swapped_waves(rng):
    X = rng.normal(size=(50, 2))
    model = sk.SymmetricRidge(sk.permutations(2), library=sk.FourierLibrary(1)).fit(X, X[:, 0])
    assert model.n_free_ == 3
    assert_allclose(model.predict(X), model.predict(X[:, ::-1]), atol=1e-14)


ADAPTED = {
    "differences": (sk.from_transformer(PolynomialFeatures(3)), sk.so(3), sk.vector, 2),
    "complex step": (sk.from_pysindy(ps.PolynomialLibrary(3)), sk.so(3), sk.vector, 2),
    "one direction": (
        sk.from_transformer(PolynomialFeatures(3)),
        sk.translations(3).combine([[1, 1, 1]]),
        None,
        10,
    ),
    "radial, moved": (sk.RadialLibrary(), sk.se(3), None, 0),
}


@offsets
@scales
@pytest.mark.parametrize(
    ("library", "algebra", "output", "expected"), ADAPTED.values(), ids=list(ADAPTED)
)
@pytest.mark.filterwarnings("ignore:The symmetry leaves")
def test_sampled_constraints_at_any_scale(library, algebra, output, expected, scale, offset, rng):
    """Plain monomials differ by 18 orders of magnitude; the symmetry must hold nevertheless."""
    X, Y = placed(rng, 60, 3, scale, offset), rng.normal(size=(60, 3))
    model = sk.SymmetricRidge(algebra, library=library, output=output, alpha=0.1).fit(X, Y)
    assert model.n_free_ == expected * (1 if output else 3)
    assert model.equivariance_error(X) < max(1e-9, getattr(model.library_, "jacobian_rtol_", 0))


def test_a_custom_library_of_pysindy(rng):
    X = rng.normal(size=(50, 2))
    library = ps.CustomLibrary([lambda x: x**2, lambda x, y: x * y])
    model = sk.SymmetricRidge(sk.so(2), library=sk.from_pysindy(library), alpha=0).fit(
        X, (X**2).sum(axis=1)
    )
    assert model.n_free_ == 1
    assert_allclose(model.predict(X), (X**2).sum(axis=1))


def distances(X):
    points = X.reshape(len(X), -1, 3)
    i, j = np.triu_indices(points.shape[1], 1)
    return np.linalg.norm(points[:, i] - points[:, j], axis=2)


def of_distances(X):
    r = distances(X)
    return np.concatenate([r, r**2, 1 / r, np.exp(-r), np.exp(-4 * r**2)], axis=1)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("symmetry", [sk.so(3).repeat(3), sk.se(3).repeat(3)])
def test_invariant_functions_are_all_free(symmetry, unit, rng):
    X = unit * rng.normal(size=(60, 9))
    y = distances(X).sum(axis=1)
    library = sk.from_transformer(FunctionTransformer(distances))
    model = sk.SymmetricRidge(symmetry, library=library, alpha=0).fit(X, y)
    assert model.n_free_ == 3
    assert_allclose(model.predict(X), y, rtol=1e-10)


def test_functions_of_distances_are_all_free(rng):
    X = rng.normal(size=(60, 9))
    library = sk.from_transformer(FunctionTransformer(of_distances))
    model = sk.SymmetricRidge(sk.so(3).repeat(3), library=library).fit(X, X[:, 0])
    assert model.n_free_ == 15


@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e-3, 1.0, 1e3])
@pytest.mark.filterwarnings("ignore:The symmetry leaves")
def test_waves_are_tested_over_their_period(unit, rng):
    """Over a small part of it they are straight lines, which have more symmetry."""
    X = unit * rng.normal(size=(60, 3))
    assert sk.SymmetricRidge(sk.so(3), library=sk.FourierLibrary(2)).fit(X, X[:, 0]).n_free_ == 1
