"""Smoothed trajectories, and how well their errors are known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sksym.dynamics.smoothing import local_polynomials, noise_of_states, smoothed_states


def waves(k=4, m=150, noise=0.0, seed=0, step=0.05):
    rng = np.random.default_rng(seed)
    t = step * np.arange(m)
    phase = rng.uniform(0, 6, k)
    clean = np.concatenate([np.column_stack([np.sin(t + p), np.cos(2 * t + p)]) for p in phase])
    slopes = np.concatenate(
        [np.column_stack([np.cos(t + p), -2 * np.sin(2 * t + p)]) for p in phase]
    )
    X = clean + noise * rng.normal(size=clean.shape)
    indices = np.split(np.arange(k * m), k)
    return X, clean, slopes, np.tile(t, k), indices


@pytest.mark.parametrize("steps", ["equal", "unequal"])
def test_polynomials_are_reproduced(steps, rng):
    t = np.arange(30.0) if steps == "equal" else np.cumsum(rng.uniform(0.2, 2, 30))
    s = t / t[-1]
    x = np.column_stack([s**3 - s, 2 + s**2])
    values, slopes, leverage = local_polynomials(x, t, 9, 3)
    assert_allclose(values, x, atol=1e-10)
    assert_allclose(slopes * t[-1], np.column_stack([3 * s**2 - 1, 2 * s]), atol=1e-8)
    # Every value is a linear function of the samples; its weight in itself is the leverage.
    pushed = x.copy()
    pushed[13] += 1
    moved, _, _ = local_polynomials(pushed, t, 9, 3)
    assert_allclose((moved - values)[13], leverage[13])


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2])
def test_errors_are_known(noise):
    X, clean, slopes, t, indices = waves(noise=noise)
    states = smoothed_states(X, t, indices)
    assert_allclose(states.noise, noise, rtol=0.15)
    error = np.sqrt(np.mean((states.X - clean) ** 2, axis=0))
    assert_allclose(states.error, error, rtol=0.5)
    assert (error < 0.6 * noise).all()
    assert states.is_sure > 0.7
    assert np.sqrt(np.mean((states.X_dot - slopes) ** 2)) < 10 * noise


def test_exact_states_stay_as_they_are():
    X, _, slopes, t, indices = waves()
    states = smoothed_states(X, t, indices)
    assert_allclose(states.X, X, rtol=0, atol=0)
    assert (states.window == 1).all()
    assert (states.noise < 1e-8).all()
    assert_allclose(states.X_dot, slopes, atol=1e-5)


def test_motion_between_samples_is_not_taken_for_noise():
    X, _, _, t, indices = waves(step=0.8)
    _, is_sure = noise_of_states(X, t, indices)
    assert is_sure < 0.1


def test_few_samples():
    X = np.array([[0.0], [1.0], [1.0], [4.0]])
    states = smoothed_states(X, np.arange(4.0), [np.arange(2), np.arange(2, 4)])
    assert_allclose(states.X, X)
    assert_allclose(states.X_dot[:, 0], [1, 1, 3, 3])
    assert states.is_sure == 0
