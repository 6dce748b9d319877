"""
===============================================
The law of gravity from a quarter of each orbit
===============================================

Kepler had whole orbits. Suppose that we have only the first quarter of each: positions of the six
planets from Mercury to Saturn while they sweep 90 degrees about the Sun, and noisy accelerations.
Can a regression find one law, acceleration as a function of position, that holds on the other
three quarters, and carries the planets once more around the Sun and again?

A library with an inverse-square law in it is not enough. It also contains every anisotropic
law that happens to agree with the force on the arcs. *Space has no preferred direction*: that is
the missing knowledge, and ``so(3)`` says it in one argument.

The data are real: the ephemeris JPL DE421 (``pip install -e ".[examples]"``). So are their
deviations from the two-body problem. Jupiter and Saturn pull on each other and on the Sun, no law of
position alone can follow that, and the last line of the table shows what the inverse-square law
itself leaves unexplained.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from pysindy import STLSQ
from scipy.integrate import solve_ivp
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline

from sksym import RadialLibrary, SymmetricRidgeCV, so, vector
from sksym.datasets import load_planets

planets = load_planets(n_samples=400)
X, A = planets.data, planets.target  # AU and AU / year^2
train = planets.swept < 90
test = ~train
size = np.linalg.norm(A, axis=1)
print(
    f"{train.sum()} training samples, |acceleration| {size.min():.2f} to {size.max():.0f} AU/yr^2"
)

# %%
# Accelerations differ by a factor of a thousand between Mercury and Saturn, so everything is
# relative. Noise of 1 % is a random vector whose root-mean-square length is 1 % of the acceleration.
# Every model gets the same samples, the same library and the same weights, which count each
# planet's arc equally. The test error is the relative error of the acceleration, root mean square
# over the unseen three quarters of all orbits.

mean_square = np.bincount(planets.planet[train], size[train] ** 2) / np.bincount(
    planets.planet[train]
)
weight = 1 / mean_square[planets.planet[train]]


def add_noise(level, seed):
    noise = np.random.default_rng(seed).standard_normal((train.sum(), 3)) / np.sqrt(3)
    return A[train] + level * size[train, None] * noise


def test_error(predicted):
    return np.sqrt(np.mean(np.sum((predicted - A)[test] ** 2, axis=1) / size[test] ** 2))


# %%
# Three models of one library, |x|^k times (1, x, y, z) for k = -3, -1, 1: twelve functions for each
# component of the acceleration. Without symmetry these are 36 coefficients; with it three remain.
# The threshold of STLSQ is chosen among 25 *by the test error itself*, a favour that no other
# model receives.

library = RadialLibrary(powers=(-3, -1, 1), degree=1)
alphas = np.logspace(-12, 2, 29)
thresholds = np.logspace(-3, 0.75, 25)


def fit_ridge(Y):
    model = make_pipeline(library, RidgeCV(alphas, fit_intercept=False))
    return model.fit(X[train], Y, ridgecv__sample_weight=weight)


def fit_stlsq(Y):
    models = [make_pipeline(library, STLSQ(threshold=t, alpha=1e-10)) for t in thresholds]
    models = [model.fit(X[train], Y, stlsq__sample_weight=weight) for model in models]
    return min(models, key=lambda model: test_error(model.predict(X)))


def fit_symmetric(Y):
    model = SymmetricRidgeCV(so(3), library=library, output=vector, alphas=alphas)
    return model.fit(X[train], Y, sample_weight=weight)


fits = {"RidgeCV": fit_ridge, "STLSQ, best threshold": fit_stlsq, "so(3) enforced": fit_symmetric}
