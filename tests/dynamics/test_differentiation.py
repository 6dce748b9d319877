"""Derivatives by polynomials in time that suit the samples and their noise."""

import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sksym import PolynomialLibrary, SymmetryPromotingSINDy
from sksym.dynamics import differentiate
from sksym.dynamics.differentiation import Differentiation


def circle(per_period, n_periods=20):
    t = np.arange(n_periods * per_period) * (2 * np.pi / per_period)
    return np.column_stack([np.cos(t), -np.sin(t)]), t


@pytest.mark.parametrize(("per_period", "error"), [(8, 0.01), (12, 0.005), (20, 0.003)])
def test_frequencies_from_few_samples(per_period, error):
    X, t = circle(per_period)
    model = SymmetryPromotingSINDy(library=PolynomialLibrary(1))
    if per_period < 12:
        with pytest.warns(UserWarning, match="samples in a period.*WeakSymmetryPromotingSINDy"):
            model.fit(X, t=t)
    else:
        model.fit(X, t=t)
    np.testing.assert_allclose(model.coef_[:, 1:], [[0, 1], [-1, 0]], atol=error)
    assert "7 samples" in model.differentiation_


def test_lorenz_without_noise():
    def rate(t, x):
        return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]

    t = np.arange(0, 10, 0.01)
    X = solve_ivp(rate, (0, 10), [-8, 8, 27], t_eval=t, rtol=1e-10, atol=1e-10).y.T
    model = SymmetryPromotingSINDy(library=PolynomialLibrary(2, center=0.0)).fit(X, t=t)
    coef = model.library_.monomial_coef(model.coef_)
    names = model.library_.get_feature_names_out().tolist()
    expected = np.zeros_like(coef)
    truth = [
        {"x0": -10, "x1": 10},
        {"x0": 28, "x1": -1, "x0 x2": -1},
        {"x2": -8 / 3, "x0 x1": 1},
    ]
    for state, terms in enumerate(truth):
        for name, value in terms.items():
            expected[state, names.index(name)] = value
    np.testing.assert_allclose(coef, expected, rtol=0.002)


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_noise_widens_the_window(noise):
    X, t = circle(100)
    noisy = X + noise * np.random.default_rng(0).normal(size=X.shape)
    chosen = Differentiation.of(noisy, t, [np.arange(len(t))])
    assert chosen.window > 7
    slopes = chosen(noisy, t, [np.arange(len(t))])
    error = np.sqrt(np.mean((slopes - X @ [[0, -1], [1, 0]]) ** 2))
    # Central differences have sqrt(1/2) noise / step.
    assert error < 0.25 * noise / (t[1] * np.sqrt(2))


def test_polynomials_are_exact_at_uneven_times():
    t = np.cumsum(np.random.default_rng(0).uniform(0.5, 1.5, size=40))
    X = np.column_stack([t, t**3 - t**2])
    expected = np.column_stack([np.ones(40), 3 * t**2 - 2 * t])
    np.testing.assert_allclose(differentiate(X, t), expected, rtol=1e-7, atol=1e-5)


def test_the_choice_depends_on_the_rows_that_are_looked_at_alone():
    X, t = circle(50)
    noisy = X + 0.01 * np.random.default_rng(0).normal(size=X.shape)
    alone = Differentiation.of(noisy[:500], t[:500], [np.arange(500)])
    beside = noisy.copy()
    beside[500:] = 1e200
    chosen = Differentiation.of(beside, t, [np.arange(500)])
    assert (alone.window, alone.degree) == (chosen.window, chosen.degree)


def test_few_samples_are_differentiated_too():
    for n in (2, 3, 4, 6):
        t = np.arange(float(n))
        np.testing.assert_allclose(differentiate(2 * t[:, None], t), 2)


def test_noise_is_not_taken_for_fast_motion():
    X = np.random.default_rng(0).normal(size=(200, 2))
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        SymmetryPromotingSINDy(library=PolynomialLibrary(1)).fit(X)
    messages = [str(warning.message) for warning in record]
    assert not [message for message in messages if not message.startswith("Nothing is left")]


def test_methods_that_are_given_are_published():
    X, t = circle(50, 2)
    model = SymmetryPromotingSINDy(differentiation_method=lambda x, t: np.gradient(x, t, axis=0))
    with pytest.warns(UserWarning, match="vanish on the data"):
        model.fit(X, t=t)
    assert "lambda" in model.differentiation_
