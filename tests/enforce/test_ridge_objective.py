"""SymmetricRidge minimises its objective."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.linear_model import Ridge

import sksym as sk
from fits import reference_coef

FLIP = sk.FiniteGroup([np.diag([1.0, -1, 1])])
OBJECTIVES = {
    "invariant": (sk.so(3), None, 1),
    "two invariants": (sk.so(2).on_columns([0, 2], 3), None, 2),
    "vector": (sk.so(2).on_columns([0, 1], 3), sk.vector, 3),
    "translations": (sk.translations(3).combine([[1, 1, 0]]), sk.vector, 3),
    "constants that grow": (sk.translations(3), np.kron([[0, 1], [0, 0]], np.ones((3, 1, 1))), 2),
    "group": (sk.reflections, None, 2),
    "group, vector": (sk.permutations(3), sk.vector, 3),
    "both": (sk.so(2).on_columns([0, 1], 3) + FLIP, sk.vector, 3),
    "no symmetry": (None, None, 2),
}


@pytest.mark.parametrize("columns_", ["free", "repeated", "constant"])
@pytest.mark.parametrize("n", [1, 6, 200])
@pytest.mark.parametrize("alpha", [0.0, 1e-3, 10.0])
@pytest.mark.parametrize(("symmetry", "output", "q"), OBJECTIVES.values(), ids=list(OBJECTIVES))
def test_the_objective_is_minimised(symmetry, output, q, alpha, n, columns_, rng):
    X, Y = rng.normal([0, 1, 2], size=(n, 3)), rng.normal(size=(n, q))
    if columns_ != "free":
        X[:, 1] = X[:, 0] if columns_ == "repeated" else 1.0
    weight = rng.uniform(0.1, 3, size=n)
    model = sk.SymmetricRidge(
        symmetry, library=sk.PolynomialLibrary(3), output=output, alpha=alpha
    ).fit(X, Y, weight)
    expected = reference_coef(model, X, Y, alpha, weight)
    assert_allclose(model.coef_, expected, atol=1e-8 * np.abs(expected).max())


def test_without_symmetry_it_is_ridge(rng):
    X, Y, weight = rng.normal(size=(40, 3)), rng.normal(size=(40, 2)), rng.uniform(size=40)
    Phi = sk.PolynomialLibrary(3).fit_transform(X)[:, 1:]
    expected = Ridge(alpha=0.3).fit(Phi, Y, weight).predict(Phi)
    model = sk.SymmetricRidge(library=sk.PolynomialLibrary(3), alpha=0.3).fit(X, Y, weight)
    assert_allclose(model.predict(X), expected, atol=1e-10)


@pytest.mark.parametrize("n", [4, 30])
def test_alpha_zero_is_the_limit(n, rng):
    X, y = rng.normal(size=(n, 2)), rng.normal(size=n)
    X[:, 1] = X[:, 0]  # rank-deficient
    model = sk.SymmetricRidge(library=sk.PolynomialLibrary(3), alpha=0).fit(X, y)
    limit = sk.SymmetricRidge(library=sk.PolynomialLibrary(3), alpha=1e-9).fit(X, y)
    assert_allclose(model.predict(X), limit.predict(X), atol=1e-5)
    assert_allclose(model.coef_, limit.coef_, atol=1e-5 * np.abs(limit.coef_).max())


def test_weights_are_repetitions(rng):
    X, y, weight = rng.normal(size=(40, 3)), rng.normal(size=40), rng.integers(0, 3, size=40)
    weighted = sk.SymmetricRidge(sk.so(3), alpha=0.1).fit(X, y, weight)
    repeated = sk.SymmetricRidge(sk.so(3), alpha=0.1).fit(
        np.repeat(X, weight, 0), np.repeat(y, weight)
    )
    assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-10)
    assert weighted.n_samples_seen_ == np.count_nonzero(weight)


def test_the_constant_is_not_penalised(rng):
    X = rng.normal(size=(40, 3))
    model = sk.SymmetricRidge(sk.so(3), alpha=1e12).fit(X, 1e3 + rng.normal(size=40))
    assert_allclose(model.predict(X), model.predict(X).mean(), rtol=1e-8)
    assert model.predict(X)[0] == pytest.approx(1e3, rel=1e-2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_predictions_do_not_depend_on_the_unit(scale, rng):
    """The library's scale is a power of two, so a unit that is one changes nothing at all."""
    unit = 2.0 ** np.round(np.log2(scale))
    X, Y = rng.normal(size=(60, 3)), rng.normal(size=(60, 3))
    model = sk.SymmetricRidge(
        sk.so(3), library=sk.PolynomialLibrary(4), output=sk.vector, alpha=0.01
    )
    here, there = clone(model).fit(X, Y), clone(model).fit(unit * X, Y)
    assert_allclose(here.predict(X), there.predict(unit * X), rtol=1e-9)
