"""SymmetricRidge minimises its objective."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sksym as sk
from fits import reference_coef
from sksym.testing import assert_symmetric

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


SPACES = {
    "no symmetry": (None, sk.PolynomialLibrary(3, center=0.0)),
    "rotations": (sk.so(3), sk.PolynomialLibrary(6)),
    "no constant": (sk.so(3), sk.RadialLibrary(powers=(1, 2))),
    "permutations": (sk.permutations, sk.PolynomialLibrary(4, center=0.0)),
}


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("symmetry", "library"), SPACES.values(), ids=list(SPACES))
def test_it_is_ridge_on_standardised_invariants(symmetry, library, unit, rng):
    """In any units of X and y, and with weights."""
    X, Y, weight = rng.normal(size=(60, 3)), rng.normal(size=(60, 2)), rng.uniform(size=60)
    invariants = sk.InvariantFeatures(symmetry, library=library)
    plain = make_pipeline(invariants, StandardScaler(), Ridge(alpha=0.3))
    weights = {"standardscaler__sample_weight": weight, "ridge__sample_weight": weight}
    expected = plain.fit(X, Y, **weights).predict(X)
    model = sk.SymmetricRidge(symmetry, library=library, alpha=0.3)
    prediction = model.fit(unit * X, Y / unit, weight).predict(unit * X)
    assert_allclose(unit * prediction, expected, atol=1e-9)
    assert_allclose(
        prediction, model.library_.transform(unit * X) @ model.coef_.T + model.intercept_
    )


# Degree of the library, rows, noise, and the unit of X: functions that the library holds.
DEFAULTS = [(2, 50, 0.0, 1.0), (2, 100, 0.1, 1e-6), (4, 200, 0.0, 1e6), (4, 300, 0.1, 1e-6)]


@pytest.mark.parametrize(("degree", "n", "noise", "unit"), DEFAULTS)
def test_the_default_alpha_is_close_to_the_best(degree, n, noise, unit, rng):
    X = rng.normal(size=(n, 3))
    y = (X**2).sum(axis=1) ** (degree // 2)
    y += noise * y.std() * rng.normal(size=n)
    library = sk.PolynomialLibrary(degree)
    default = cross_val_score(sk.SymmetricRidge(sk.so(3), library=library), unit * X, y)
    alphas = np.geomspace(1e-8, 1e4, 25)
    scores = [
        cross_val_score(sk.SymmetricRidge(sk.so(3), library=library, alpha=alpha), unit * X, y)
        for alpha in alphas
    ]
    assert default.mean() > np.mean(scores, axis=1).max() - 0.005


def test_an_intercept_is_added_where_the_library_has_no_constant(rng):
    X = rng.normal(size=(80, 3))
    y = np.linalg.norm(X, axis=1) + 5
    library = sk.RadialLibrary(powers=(1,))
    model = sk.SymmetricRidge(sk.so(3), library=library, alpha=0).fit(X, y)
    assert_allclose(model.predict(X), y, rtol=1e-12)
    assert model.intercept_ == pytest.approx(5)
    without = sk.SymmetricRidge(sk.so(3), library=library, alpha=0, fit_intercept=False)
    assert without.fit(X, y).intercept_ == 0
    assert without.score(X, y) < 0.5


@pytest.mark.parametrize("symmetry", [sk.so(3), sk.permutations(3), sk.so(3) + sk.cyclic(3, 3)])
def test_only_constants_with_the_symmetry_are_added(symmetry, rng):
    """Of a vector and a scalar the scalar alone, and under permutations c (1, 1, 1) too."""
    X = rng.normal(size=(60, 3))
    Y = np.column_stack([X / np.linalg.norm(X, axis=1, keepdims=True) + 3, np.full(60, 2.0)])
    output = sk.direct_sum(sk.vector, sk.trivial(1))
    library = sk.RadialLibrary(powers=(-1,))
    model = sk.SymmetricRidge(symmetry, library=library, output=output, alpha=0).fit(X, Y)
    assert model.equivariance_error(X) < 1e-12
    assert_symmetric(model, X, symmetry, output, rtol=1e-10)
    assert model.intercept_[3] == pytest.approx(2, abs=1e-10)
    has_vector = np.abs(model.intercept_[:3]).max() > 1
    assert has_vector == (not isinstance(symmetry, sk.LieAlgebra | sk.Group))


@pytest.mark.parametrize("n", [1, 40])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 1e308])
def test_what_does_not_vary_is_left_out(alpha, n, rng):
    """Rows of one length or all equal, on the light cone too: the mean, in any alpha."""
    X, y = rng.normal(size=(n, 3)), rng.normal(size=n)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    on_cone = np.column_stack([np.linalg.norm(X[:, 1:], axis=1), X[:, 1:]])
    for symmetry, rows in [
        (sk.so(3), unit),
        (sk.so(3), np.ones((n, 3))),
        (sk.lorentz(2), 1e3 * on_cone),
    ]:
        library = sk.PolynomialLibrary(4)
        model = sk.SymmetricRidge(symmetry, library=library, alpha=alpha).fit(rows, y)
        far = model.predict(3 * X)
        assert_allclose(far, y.mean(), rtol=1e-9, atol=1e-12)


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
