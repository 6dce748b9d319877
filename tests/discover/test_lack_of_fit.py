"""Functions outside of the library: the misfit belongs to the noise floor."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import subspace_angles

from sksym import PolynomialLibrary, SymmetryDiscoverer, gl, so
from sksym.evidence import FunctionSamples


def bell(seed, d, n=2000):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    f = np.exp(-np.sum(X**2, axis=1) / 2)
    return X, f + 0.02 * np.std(f) * rng.normal(size=n)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("degree", [None, 4])
@pytest.mark.parametrize("d", [2, 3])
def test_a_misfit_is_in_the_floor(d, degree, seed):
    """No quartic fits better than to a fifth of the spread, ten times the noise."""
    X, y = bell(seed, d)
    library = None if degree is None else PolynomialLibrary(degree)
    model = SymmetryDiscoverer(library=library, random_state=0).fit(X, y)
    truth = so(d)
    assert model.n_symmetries_ == truth.dim
    assert subspace_angles(model.algebra_.flat().T, truth.flat().T).max() < 1e-9
    smallest = model.singular_values_[::-1][: truth.dim]
    assert smallest.max() < 3 * model.noise_floor_
    if degree == 4:
        # Errors of equal size know nothing of a misfit.
        assert SymmetryDiscoverer(library=library, robust=False).fit(X, y).n_symmetries_ == 0


def test_a_higher_degree_is_chosen_where_no_usual_one_fits():
    """In a box quartics are not as symmetric as the function: their misfit is a bias."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(2000, 2))
    f = np.exp(-np.sum(X**2, axis=1) / 2)
    y = f + 0.02 * f.std() * rng.normal(size=2000)
    model = SymmetryDiscoverer(random_state=0).fit(X, y)
    assert model.library_.degree > 7
    assert model.algebra_.names == ("x0 ∂1 - x1 ∂0",)
    quadratic = SymmetryDiscoverer(random_state=0).fit(X, X[:, 0] * X[:, 1] + y - f)
    assert quadratic.library_.degree <= 7
    low = SymmetryDiscoverer(library=PolynomialLibrary(4)).fit(X, y)
    assert low.n_symmetries_ == 0


def test_a_function_without_symmetry_gets_none_from_its_misfit():
    X, _ = bell(0, 2)
    y = np.exp(-np.sum((X - 0.5) ** 2, axis=1)) + 0.5 * np.tanh(2 * X[:, 0])
    for degree in (3, 4, 6):
        model = SymmetryDiscoverer(library=PolynomialLibrary(degree)).fit(X, y)
        assert model.n_symmetries_ == 0


def test_the_fit_that_is_published_follows_all_samples():
    X, y = bell(0, 2)
    library = PolynomialLibrary(4)
    model = SymmetryDiscoverer(library=library, robust=True).fit(X, y)
    plain = SymmetryDiscoverer(library=library, robust=False).fit(X, y)
    assert_allclose(model.coef_, plain.coef_)


def function_samples(X, y, weight, degree=4):
    library = PolynomialLibrary(degree, center=0.0, scale=1.0).fit(X)
    return FunctionSamples(library, gl(X.shape[1]), None, X, y[:, None], weight)


def test_the_core_is_the_same_in_all_axes_and_for_repeated_rows(rng):
    X, y = bell(0, 3, n=400)
    X[:, 2] = X[:, 0] - X[:, 1]  # in a plane
    weight = rng.integers(1, 4, 400)
    core = function_samples(X, y, weight).core
    share = core.weight.sum() / weight.sum()
    assert 0.95 <= share < 0.96
    left_out = np.setdiff1d(np.linalg.norm(X, axis=1), np.linalg.norm(core.X, axis=1))
    assert left_out.min() > np.median(np.linalg.norm(X, axis=1))
    M = rng.normal(size=(3, 3))
    assert_allclose(function_samples(X @ M.T + 5, y, weight).core.X, core.X @ M.T + 5)
    repeated = function_samples(
        np.repeat(X, weight, axis=0), np.repeat(y, weight), np.ones(sum(weight))
    )
    assert_allclose(repeated.core.X, np.repeat(core.X, core.weight.astype(int), axis=0))


def test_the_freedom_of_a_sandwich(rng):
    """Its definition, for weights that count repetitions."""
    X, y = bell(0, 2, n=300)
    weight = rng.integers(1, 4, 300)
    estimate = function_samples(X, y, weight).robust_estimate()
    rows = np.repeat(np.arange(300), weight)
    repeated = function_samples(X[rows], y[rows], np.ones(len(rows)))
    assert_allclose(estimate.covariance_dof, repeated.robust_estimate().covariance_dof)
    u = repeated.library.transform(X[rows]) @ estimate.from_data
    residual = y[rows] - repeated.library.transform(X[rows]) @ estimate.coef[0]
    leverage = np.sum(u**2, axis=1) / len(rows)
    scores = u * (residual / (1 - leverage))[:, None]
    squares = np.sum(scores * (scores @ np.linalg.inv(scores.T @ scores)), axis=1)
    expected = u.shape[1] ** 2 / np.sum(squares**2)
    assert_allclose(estimate.covariance_dof, expected, rtol=1e-6)
    assert expected < 300


def test_true_symmetries_are_rejected_as_often_as_the_level_says():
    """Of fields with errors of unequal size, 8 samples to a function, outside of its law too."""
    p_values = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(300, 3))
        square = np.sum(X**2, axis=1)
        y = square - 0.1 * square**2 + 0.2 * (0.2 + square) * rng.normal(size=300)
        samples = function_samples(X, y, np.ones(300)).core
        C = np.linalg.lstsq(gl(3).flat().T, so(3).flat().T, rcond=None)[0].T
        basis = samples.symmetric_functions(C)
        estimate = samples.robust_estimate()
        miss, rank = estimate.deviance(basis)
        p_values.append(estimate.judge(miss, estimate.rank - rank)[0])
    p_values = np.array(p_values)
    assert np.mean(p_values < 0.05) <= 0.1
    assert np.mean(p_values < 0.001) <= 0.02


def test_few_rows_say_nothing_about_many_constraints(rng):
    estimate = function_samples(rng.normal(size=(200, 2)), rng.normal(size=200), np.ones(200))
    few = estimate.estimate.with_noise(1.0, covariance_dof=5.0)
    assert few.judge(1e6, 8) == (1.0, np.inf)
    assert few.judge(1e6, 2)[0] < 0.01
