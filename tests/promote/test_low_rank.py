"""Noisy samples, fewer than unknowns: the least misfit over functions with symmetries."""

import warnings

import numpy as np
import pytest

from sksym import PolynomialLibrary, SymmetryPromotingRegressor, se, translations
from sksym.groups import Group
from sksym.promote import PromotionProblem, PromotionSamples
from sksym.promote.low_rank import LowRankSearch

UNIT = {"center": 0.0, "scale": 1.0, "domain": (-1, 1)}
DIRECTION = np.array([0.5, -0.5, 0.1, 0.7, 0.0, -0.1])
N_PARAMETERS = 8  # of a quadratic polynomial of one linear feature in R^6


def of_one_feature(X):
    t = X @ DIRECTION
    return 1 + 2 * t + 1.5 * t**2


def drawn(n, noise=0.03, function=of_one_feature, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, len(DIRECTION)))
    y = function(X)
    return X, y + noise * np.std(y) * rng.normal(size=n)


def library():
    return PolynomialLibrary(2, **UNIT)


def search(X, Y, candidates=translations):
    problem = PromotionProblem.of(
        Group.of(candidates(X.shape[1])), Group.none(X.shape[1]), library(), None, X, Y.shape[1]
    )
    samples = PromotionSamples(problem, X, Y, np.ones(len(X)))
    return problem, LowRankSearch.of(problem.symmetry_rank, samples.statistics, Y.size)


def unknowns(problem, function, n_outputs=1):
    """The unknowns of a function that is in the library."""
    X = np.random.default_rng(5).uniform(-1, 1, size=(200, len(DIRECTION)))
    values = problem.space.library.transform(X) @ problem.space.basis.T.toarray()
    u, *_ = np.linalg.lstsq(values, function(X), rcond=None)
    return np.tile(u, n_outputs)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("candidates", [translations, se])
def test_no_function_of_the_same_rank_nearby_fits_better(candidates, n_outputs):
    X, y = drawn(24)
    Y = np.column_stack([y, y[::-1]])[:, :n_outputs]
    problem, low_rank = search(X, Y, candidates)
    least_squares = low_rank.problem
    R = {translations: 1, se: 6}[candidates]
    fit = least_squares.fit(unknowns(problem, of_one_feature, n_outputs), R)
    assert fit.is_finished
    _, s, _ = least_squares.map.svd(fit.u)
    assert s[R:].max() <= 1e-9 * s[0]
    # The gradient of the misfit vanishes along the tangent space.
    gradient = fit.tangent.T @ least_squares.D.T @ fit.residual
    assert np.abs(gradient).max() <= 1e-5 * np.linalg.norm(least_squares.D.T @ least_squares.y)
    # Along the tangent space the tail grows with the square of a step: it is on the variety.
    rng = np.random.default_rng(0)
    for step in (1e-3, 1e-4):
        du = fit.tangent @ rng.normal(size=fit.n_parameters)
        _, s, _ = least_squares.map.svd(fit.u + step * du)
        assert s[R:].max() <= 1e2 * step**2 * np.linalg.norm(du) ** 2


def test_the_tangent_space_has_as_many_dimensions_as_parameters():
    X, y = drawn(24)
    problem, low_rank = search(X, y[:, None])
    fit = low_rank.problem.fit(unknowns(problem, of_one_feature), 1)
    assert fit.n_parameters == N_PARAMETERS
    assert fit.dof == 24 - N_PARAMETERS


@pytest.mark.parametrize("n", [24, 40])
def test_misfit_and_degrees_of_freedom_are_those_of_all_rows(n):
    X, y = drawn(n)
    problem, low_rank = search(X, y[:, None])
    fit = low_rank.problem.fit(unknowns(problem, of_one_feature), 1)
    coef = problem.coef(fit.u[None])
    residual = y - problem.space.library.transform(X) @ coef[0]
    assert fit.rss == pytest.approx(residual @ residual, rel=1e-9)
    assert fit.dof == n - N_PARAMETERS


@pytest.mark.parametrize("candidates", [translations, se])
def test_starts_do_not_matter(candidates):
    X, y = drawn(24)
    problem, low_rank = search(X, y[:, None], candidates)
    R = {translations: 1, se: 6}[candidates]
    at_truth = low_rank.problem.fit(unknowns(problem, of_one_feature), R)
    interpolant = np.linalg.pinv(low_rank.problem.D) @ low_rank.problem.y
    from_interpolant = low_rank.problem.fit(interpolant, R)
    np.testing.assert_allclose(from_interpolant.u, at_truth.u, atol=1e-6)


def test_spread_is_that_of_repeated_fits():
    X, _ = drawn(40)
    rng = np.random.default_rng(1)
    ends = []
    predicted = []
    for _ in range(60):
        y = of_one_feature(X) + 0.01 * rng.normal(size=len(X))
        problem, low_rank = search(X, y[:, None])
        fit = low_rank.problem.fit(unknowns(problem, of_one_feature), 1)
        ends.append(fit.u)
        predicted.append(np.sum(fit.spread() ** 2))
    variance = np.sum(np.var(ends, axis=0))
    assert 0.6 <= variance / np.mean(predicted) <= 1.6


@pytest.mark.parametrize("n", [24, 30])
def test_few_noisy_samples_show_the_symmetries(n):
    X, y = drawn(n)
    model = SymmetryPromotingRegressor(translations, library=library(), alpha=1e-3).fit(X, y)
    assert model.n_symmetries_ == 5
    assert model.n_parameters_ == N_PARAMETERS
    assert model.n_checks_ == n - N_PARAMETERS
    assert model.determined_
    assert np.abs(model.algebra_.vector_field(X) @ DIRECTION).max() < 0.1
    far, _ = drawn(200, seed=9)
    predicted, deviation = model.predict(far, return_std=True)
    misfit = predicted - of_one_feature(far)
    assert np.sqrt(np.mean(misfit**2)) < 0.05 * np.std(of_one_feature(far))
    assert np.mean(np.abs(misfit) < 3 * deviation) > 0.8


def test_generators_are_rounded_where_the_samples_allow_it():
    def of_first(X):
        return 1 + X[:, 0] + 2 * X[:, 0] ** 2

    X, y = drawn(24, function=of_first)
    model = SymmetryPromotingRegressor(translations, library=library(), alpha=1e-3).fit(X, y)
    assert model.n_symmetries_ == 5
    slopes = model.library_.jacobian(X)
    gradient = np.einsum("p,npd->nd", model.coef_, slopes)
    assert np.abs(gradient[:, 1:]).max() <= 1e-12 * np.abs(gradient).max()
    assert model.predict(X, return_std=True)[1].shape == y.shape


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_of_the_target_do_not_matter(unit):
    X, y = drawn(24)
    scales = (1.0, unit)
    fits = []
    for scale in scales:
        problem, low_rank = search(X, scale * y[:, None])
        fits.append(low_rank.best_from([scale * unknowns(problem, of_one_feature)]))
    first, second = fits
    assert first.R == second.R == 1
    np.testing.assert_allclose(second.u / unit, first.u, atol=1e-7)


@pytest.mark.filterwarnings("ignore:The samples do not determine")
@pytest.mark.parametrize("kind", ["noise", "generic", "constant"])
def test_no_symmetry_is_invented(kind):
    rng = np.random.default_rng(3)
    coef = rng.normal(size=28)
    n_found = 0
    for seed in range(8):
        X, y = drawn(22, seed=seed)
        if kind == "noise":
            y = rng.normal(size=len(y))
        elif kind == "generic":
            y = library().fit(X).transform(X) @ coef
        else:
            y = np.ones(len(y))
        _, low_rank = search(X, y[:, None])
        start = np.linalg.pinv(low_rank.problem.D) @ low_rank.problem.y
        n_found += low_rank.best_from([start]) is not None
    assert n_found == 0


def test_fewer_than_two_samples_for_each_parameter_show_nothing():
    X, y = drawn(2 * N_PARAMETERS - 1)
    problem, low_rank = search(X, y[:, None])
    assert low_rank.best_from([unknowns(problem, of_one_feature)]) is None


def test_standard_errors_that_are_unknown_are_refused():
    X, y = drawn(12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SymmetryPromotingRegressor(translations, library=library(), alpha=1e-3).fit(X, y)
    with pytest.raises(ValueError, match="pass False"):
        model.predict(X, return_std=True)
