"""Discovering symmetries: how often their number and span are right, from what data, how fast.

Parts, each a table: exact functions, noisy functions, any axes, random functions without symmetry,
class labels, models, discrete groups, many features, data sets, the Hopf normal form, published
tasks, conserved quantities, cost. Right: the number of symmetries is the true one and the span
agrees (largest principal angle below 1e-8 without noise, 1e-6 with noise: the snapped generators
are exact or wrong). False: a declared generator is no symmetry. Noise is relative to the spread of
what it is added to. Candidates, samples and functions are named with every row; the estimator has
its defaults.
"""

import argparse
import resource
import signal
import time
import warnings
from dataclasses import replace

import numpy as np
from conserved_systems import SYSTEMS
from scipy.linalg import expm, subspace_angles
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_ridge import KernelRidge
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import PolynomialFeatures
from threadpoolctl import threadpool_limits

from sksym import (
    ConservedQuantities,
    LieAlgebra,
    PolynomialLibrary,
    SymmetricRidge,
    SymmetryDiscoverer,
    aff,
    gl,
    lorentz,
    scaling,
    se,
    sl,
    so,
    vector,
)
from sksym.groups import signed_permutations


def square(X):
    return np.sum(X**2, axis=1)


def interval(X):
    return -(X[:, 0] ** 2) + square(X[:, 1:])


def area(X):
    return X[:, 0] * X[:, 3] - X[:, 1] * X[:, 2]


def distance(X):
    return square(X[:, :2] - X[:, 2:])


def product(X):
    return X[:, 0] * X[:, 1]


def both(first, second):
    """Two algebras side by side."""
    d, e = first.n_features, second.n_features
    return first.on_columns(range(d), d + e) + second.on_columns(range(d, d + e), d + e)


def span_angle(found, true):
    """Largest principal angle; infinite where the dimensions differ."""
    rows = [algebra.flat() for algebra in (found, true)]
    if len(rows[0]) != len(rows[1]):
        return np.inf
    return subspace_angles(rows[0].T, rows[1].T).max() if len(rows[0]) else 0.0


def is_false(found, true):
    """Whether some generator found lies outside the true span."""
    found = found.flat()
    true = true.flat()
    outside = found - found @ np.linalg.pinv(true) @ true if len(true) else found
    return len(found) > 0 and np.abs(outside).max() > 1e-6 * np.abs(found).max()


# name: invariants, features, candidates, true algebra
EXACT = {
    "so(2) in aff(2)": ([square], 2, aff, so(2)),
    "so(3) in aff(3)": ([square], 3, aff, so(3)),
    "so(4) in gl(4)": ([square], 4, gl, so(4)),
    "se(2), two points, in aff(2)^2": ([distance], 4, aff(2).repeat(2), se(2).repeat(2)),
    "lorentz(2) in aff(3)": ([interval], 3, aff, lorentz(2)),
    "lorentz(3) in gl(4)": ([interval], 4, gl, lorentz(3)),
    "sl(2), two points, in gl(2)^2": ([area], 4, gl(2).repeat(2), sl(2).repeat(2)),
    "scaling(1, -1) in gl(2)": ([product], 2, gl, scaling([1, -1])),
    "so(2) x so(2) in gl(4)": (
        [lambda X: square(X[:, :2]), lambda X: square(X[:, 2:])],
        4,
        gl,
        both(so(2), so(2)),
    ),
    "so(3) x so(2) in gl(5)": (
        [lambda X: square(X[:, :3]), lambda X: square(X[:, 3:])],
        5,
        gl,
        both(so(3), so(2)),
    ),
    "lorentz(2) x so(2) in gl(5)": (
        [lambda X: interval(X[:, :3]), lambda X: square(X[:, 3:])],
        5,
        gl,
        both(lorentz(2), so(2)),
    ),
    "scaling x so(2) in aff(4)": (
        [lambda X: product(X[:, :2]), lambda X: square(X[:, 2:])],
        4,
        aff,
        both(scaling([1, -1]), so(2)),
    ),
    "scaling x lorentz(2) in gl(5)": (
        [lambda X: product(X[:, :2]), lambda X: interval(X[:, 2:])],
        5,
        gl,
        both(scaling([1, -1]), lorentz(2)),
    ),
}


def exact(n_seeds):
    print("\nWithout noise: 700 normal samples of a random quartic, library of degree 4")
    print(f"{'':32}{'dim.':>5}{'right':>8}{'largest angle':>15}{'s':>8}")
    for name, (invariants, d, candidates, truth) in EXACT.items():
        angles, start = [], time.perf_counter()
        for seed in range(n_seeds):
            rng = np.random.default_rng(seed)
            X = rng.normal(size=(700, d))
            z = np.stack([invariant(X) for invariant in invariants])
            pairs = np.triu_indices(len(z))
            y = rng.normal(size=len(z)) @ z + rng.normal(size=len(pairs[0])) @ np.prod(
                z[np.array(pairs)], axis=0
            )
            model = SymmetryDiscoverer(candidates, library=PolynomialLibrary(4)).fit(X, y)
            angles.append(span_angle(model.algebra_, truth))
        seconds = (time.perf_counter() - start) / n_seeds
        right = np.mean(np.array(angles) < 1e-8)
        print(f"{name:32}{truth.dim:5}{right:8.0%}{max(angles):15.1e}{seconds:8.2f}", flush=True)


def radial(X):
    return square(X) - 0.2 * square(X) ** 2


def minkowski(X):
    return interval(X) + 0.1 * interval(X) ** 2


def generic(X):
    rng = np.random.default_rng(99)
    d = X.shape[1]
    return np.sum(np.sin(X @ rng.normal(size=(d, 3 * d)) / np.sqrt(d)), axis=1) + X[:, 0] ** 3 / 3


def hopf(X):
    turned = np.column_stack([-X[:, 1], X[:, 0]])
    return X + turned - square(X)[:, None] * X


def tilt(d):
    return np.linalg.qr(np.random.default_rng(5).normal(size=(d, d)))[0]


def tilted(function, d):
    return lambda X: function(X @ tilt(d))


def none(d):
    return LieAlgebra(np.zeros((0, d, d)))


# name: function, features, candidates, output, true algebra
NOISY = {
    "so(2) in aff(2)": (radial, 2, aff, None, so(2)),
    "so(3) in gl(3)": (radial, 3, gl, None, so(3)),
    "so(3) in aff(3)": (radial, 3, aff, None, so(3)),
    "lorentz(2) in gl(3)": (minkowski, 3, gl, None, lorentz(2)),
    "scaling in gl(2)": (
        lambda X: product(X) + product(X) ** 2,
        2,
        gl,
        None,
        scaling([1, -1]),
    ),
    "Hopf field in gl(2)": (hopf, 2, gl, vector, so(2)),
    "lorentz(2) tilted in gl(3)": (
        tilted(minkowski, 3),
        3,
        gl,
        None,
        LieAlgebra(tilt(3) @ lorentz(2).linear @ tilt(3).T),
    ),
    "none, 2 features, aff(2)": (generic, 2, aff, None, none(2)),
    "none, 3 features, aff(3)": (generic, 3, aff, None, none(3)),
    "none, 4 features, gl(4)": (generic, 4, gl, None, none(4)),
    "none, 5 features, gl(5)": (generic, 5, gl, None, none(5)),
    "none, 6 features, gl(6)": (generic, 6, gl, None, none(6)),
}


def noisy(n_seeds, sizes=(100, 1000, 10000)):
    settings = [(n, noise) for n in sizes for noise in (0.01, 0.05, 0.1)]
    print("\nWith noise on y, normal samples, polynomials of a degree that the data choose:")
    print("right number / false, per cent of seeds. Tilted: 'false' is any angle above 1e-6, and")
    print("in brackets the median angle of the fitted algebra, in degrees.")
    print(f"{'n, noise':28}" + "".join(f"{f'{n}, {noise:.0%}':>18}" for n, noise in settings))
    for name, (function, d, candidates, output, truth) in NOISY.items():
        row = f"{name:28}"
        for n, noise in settings:
            counted, false, angles = [], [], []
            for seed in range(n_seeds):
                rng = np.random.default_rng(seed)
                X = rng.normal(size=(n, d))
                y = function(X)
                y = y + noise * np.std(y) * rng.normal(size=y.shape)
                model = SymmetryDiscoverer(candidates, output=output, random_state=seed).fit(X, y)
                counted.append(model.n_symmetries_ == truth.dim)
                false.append(is_false(model.algebra_, truth))
                angles.append(np.degrees(span_angle(model.algebra_, truth)))
            cell = f"{100 * np.mean(counted):.0f}/{100 * np.mean(false):.0f}"
            if "tilted" in name and np.isfinite(np.median(angles)):
                cell += f" [{np.median(angles):.2g}]"
            row += f"{cell:>18}"
        print(row, flush=True)


def moved(algebra, M):
    """The algebra in coordinates y = M x."""
    return LieAlgebra(M @ algebra.linear @ np.linalg.inv(M), algebra.offset @ M.T)


def along_free_direction(d=3):
    """Affine functions of x times the last direction: what a function of the other two allows."""
    generators = np.zeros((d + 1, d, d + 1))
    generators[np.arange(d + 1), -1, np.arange(d + 1)] = 1
    return LieAlgebra(generators[..., :d], generators[..., d])


def axis(X):
    return square(X[:, :2]) * (1 + X[:, 2]) + X[:, 2] ** 3


def two_forms(X):
    return X[:, 0] ** 3 + X[:, 0] * X[:, 1] + X[:, 1] ** 2 + X[:, 0]


def two_planes(X):
    return square(X[:, :2]) * square(X[:, 2:]) + square(X[:, :2])


def no_symmetry(X):
    x, y, z = X.T
    return x**3 + x * y * z + y**2 + z**3 + 0.5 * x * z**2


# name: function, features, candidates, degree, true algebra
ANY_AXES = {
    "abs(x)^4, gl(2)": (lambda X: square(X) ** 2, 2, gl, 4, so(2)),
    "abs(x)^2 + abs(x)^4, gl(3)": (lambda X: square(X) + square(X) ** 2, 3, gl, 4, so(3)),
    "interval squared, gl(3)": (lambda X: interval(X) ** 2, 3, gl, 4, lorentz(2)),
    "axis, aff(3)": (axis, 3, aff, 3, so(2).on_columns([0, 1], 3)),
    "two linear forms, aff(3)": (two_forms, 3, aff, 3, along_free_direction()),
    "two planes, gl(4)": (two_planes, 4, gl, 4, both(so(2), so(2))),
    "none, aff(3)": (no_symmetry, 3, aff, 3, none(3)),
}


def any_axes(n_seeds, n=1000):
    settings = (0.0, 0.01, 0.05, 0.1)
    print(
        f"\nAny axes: functions of M^-1 x, M = expm(0.4 N(0, 1)), {n} uniform samples, noise on y:"
    )
    print("right number per cent of seeds, median seconds a fit; without noise the largest angle")
    print(f"{'':28}" + "".join(f"{f'{noise:.0%}':>20}" for noise in settings))
    for name, (function, d, candidates, degree, truth) in ANY_AXES.items():
        row = f"{name:28}"
        for noise in settings:
            counted, angles, seconds = [], [], []
            for seed in range(n_seeds):
                rng = np.random.default_rng(seed)
                M = expm(0.4 * rng.normal(size=(d, d)))
                X = rng.uniform(-1, 1, size=(n, d))
                y = function(X @ np.linalg.inv(M).T)
                y = y + noise * y.std() * rng.normal(size=n)
                start = time.perf_counter()
                model = SymmetryDiscoverer(candidates, library=PolynomialLibrary(degree)).fit(X, y)
                seconds.append(time.perf_counter() - start)
                counted.append(model.n_symmetries_ == truth.dim)
                angles.append(span_angle(model.algebra_, moved(truth, M)))
            cell = f"{np.mean(counted):.0%} {np.median(seconds):.2f}s"
            if not noise:
                cell += f" {max(angles):.0e}"
            row += f"{cell:>20}"
        print(row, flush=True)


# features, degree of the polynomial, candidates. A quadratic function has as many affine
# symmetries as a sphere, but no rotations where its axes differ.
RANDOM = {
    "quadratic, se(2)": (2, 2, se),
    "cubic, aff(2)": (2, 3, aff),
    "quadratic, se(3)": (3, 2, se),
    "cubic, aff(3)": (3, 3, aff),
    "cubic, aff(4)": (4, 3, aff),
}


def random_polynomial(X, degree, rng):
    phi = PolynomialFeatures(degree, include_bias=False).fit_transform(X)
    return phi @ rng.normal(size=phi.shape[1])


def no_symmetry_in_random_polynomials(n_seeds, sizes=(150, 1000), noises=(0.02, 0.1, 0.3)):
    settings = [(n, noise) for n in sizes for noise in noises]
    print("\nNo symmetry: polynomials with coefficients N(0, 1), normal samples, library chosen by")
    print(f"the data: false, of {n_seeds} seeds each (25 seeds are 750 fits), and seconds a fit")
    print(f"{'':20}" + "".join(f"{f'{n}, {noise:.0%}':>12}" for n, noise in settings) + "       s")
    n_false = n_fits = 0
    near = []
    for name, (d, degree, candidates) in RANDOM.items():
        row = f"{name:20}"
        start = time.process_time()
        for n, noise in settings:
            false = []
            for seed in range(n_seeds):
                rng = np.random.default_rng(seed)
                X = rng.normal(size=(n, d))
                exact = random_polynomial(X, degree, rng)
                y = exact + noise * exact.std() * rng.normal(size=n)
                model = SymmetryDiscoverer(candidates, random_state=seed).fit(X, y)
                if model.n_symmetries_:
                    false.append(least_defect(X, exact, degree, candidates))
            near.extend(defect <= 0.1 for defect in false)
            n_false += len(false)
            n_fits += n_seeds
            row += f"{len(false):>12}"
        seconds = (time.process_time() - start) / (n_seeds * len(settings))
        print(f"{row}{seconds:8.2f}", flush=True)
    print(
        f"false: {n_false} of {n_fits}, {n_false / n_fits:.2%}; the polynomials of {sum(near)} of"
    )
    print("these have a near symmetry, of a defect below 0.1 without noise")


def least_defect(X, exact, degree, candidates):
    """How strongly the best generator is broken without noise."""
    library = PolynomialLibrary(degree)
    model = SymmetryDiscoverer(candidates, library=library).fit(X, exact)
    return model.singular_values_[-1]


def logistic_labels(log_odds, rng):
    return np.where(rng.logistic(size=len(log_odds)) < log_odds, "yes", "no")


def three_labels(log_odds, rng):
    """Of three classes, whose log odds are two functions of the same one."""
    utility = np.column_stack([np.zeros_like(log_odds), log_odds, 2 * log_odds - 2])
    utility += rng.gumbel(size=utility.shape)
    return np.array(["a", "b", "c"])[utility.argmax(axis=1)]


def random_log_odds(seed, degree=3, size=3.0):
    """Return a function with normal coefficients of all monomials, of standard deviation `size`."""
    features = PolynomialFeatures(degree)
    values = features.fit_transform(np.random.default_rng(1).normal(size=(20_000, 3)))
    coef = np.random.default_rng(seed).normal(size=values.shape[1])
    scale = size / np.std(values @ coef)
    center = np.mean(values @ coef)
    return lambda X: scale * (features.transform(X) @ coef - center)


def two_radii(X):
    first = square(X[:, :2])
    second = square(X[:, 2:])
    return (first - 2) * (second - 1.5)


def few_terms(X):
    x, y, z = X.T
    return x + x**2 - 2 * y**2 + x * z**2 + y * z


def three_cubes(X):
    x, y, z = X.T
    return x**3 - y**3 / 2 + z**3 / 3 + x * y - z


# name: log odds, labels, features, true algebra; candidates aff(d)
LABELS = {
    "sphere": (lambda X: 2 - square(X), logistic_labels, 3, so(3)),
    "interval": (lambda X: 1 - interval(X), logistic_labels, 3, lorentz(2)),
    "two planes": (two_radii, logistic_labels, 4, both(so(2), so(2))),
    "sphere, three classes": (lambda X: 2 - square(X), three_labels, 3, so(3)),
    "none: weakly broken cubic": (
        lambda X: no_symmetry(X) + X[:, 0] - X[:, 1] ** 2,
        logistic_labels,
        3,
        none(3),
    ),
    "none: few terms": (few_terms, logistic_labels, 3, none(3)),
    "none: three cubes": (three_cubes, logistic_labels, 3, none(3)),
    "none: random cubic": (random_log_odds(11), logistic_labels, 3, none(3)),
    "none: random cubic, small": (random_log_odds(12, size=2.0), logistic_labels, 3, none(3)),
    "none: random quartic": (random_log_odds(13, degree=4), logistic_labels, 3, none(3)),
    "none: three classes": (few_terms, three_labels, 3, none(3)),
    "coins, nothing is known": (lambda X: np.zeros(len(X)), logistic_labels, 3, none(3)),
}


def labels(n_seeds, sizes=(500, 1000)):
    print("\nClass labels: normal samples, aff(d), right number, CPU time")
    print(f"{'':28}" + "".join(f"{f'n = {n}':>20}" for n in sizes))
    for name, (log_odds, label, d, truth) in LABELS.items():
        row = f"{name:28}"
        for n in sizes:
            counted, seconds = [], []
            for seed in range(n_seeds):
                rng = np.random.default_rng(seed)
                X = rng.normal(size=(n, d))
                y = label(log_odds(X), rng)
                start = time.process_time()
                model = SymmetryDiscoverer(aff, random_state=seed).fit(X, y)
                seconds.append(time.process_time() - start)
                counted.append(model.n_symmetries_ == truth.dim)
            row += f"{f'{np.mean(counted):.0%} {np.median(seconds):.2f}s':>20}"
        print(row, flush=True)


def two_of_three(X):
    return np.sqrt(1 + square(X[:, :2])) + 0.3 * X[:, 2] ** 2


def sheared(X):
    return np.tanh(X[:, 0] + X[:, 1] * X[:, 2]) + 0.3 * X[:, 2] ** 2


def waves(X):
    return np.sin(X[:, 0]) + 0.5 * X[:, 0] * X[:, 1] + np.cos(1.5 * X[:, 1])


# name: function, features, true algebra; candidates are all affine motions
MODELS = {
    "so(2) of three": (two_of_three, 3, so(2).on_columns([0, 1], 3)),
    "a shear of three": (
        sheared,
        3,
        LieAlgebra([[[0, 0, 1], [0, 0, 0], [0, 0, 0]]], [[0, -1, 0]]),
    ),
    "none of two": (waves, 2, none(2)),
    "so(3)": (lambda X: np.sqrt(1 + square(X)), 3, so(3)),
}


def trained_torch(X, y, seed):
    """A torch module trained by L-BFGS, None without torch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    nn = torch.nn
    layers = (nn.Linear(X.shape[1], 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    module = nn.Sequential(*layers)
    inputs = torch.tensor(X, dtype=torch.float32)
    targets = torch.tensor(y[:, None], dtype=torch.float32)
    optimizer = torch.optim.LBFGS(
        module.parameters(), max_iter=400, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def loss():
        optimizer.zero_grad()
        value = nn.functional.mse_loss(module(inputs), targets)
        value.backward()
        return value

    optimizer.step(loss)
    return module


def fitted_models(kind, train, test, seed):
    """A discoverer with a network of some kind, None where it is not installed."""
    quick = MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=150, random_state=seed)
    long = MLPRegressor(
        hidden_layer_sizes=(64, 64),
        solver="lbfgs",
        max_iter=600,
        max_fun=20_000,
        random_state=seed,
    )
    if "refitted" in kind:
        estimator = quick if "150" in kind else long
        return SymmetryDiscoverer(estimator=estimator, random_state=seed).fit(*train)
    if kind == "torch, frozen":
        estimator = trained_torch(*train, seed)
        if estimator is None:
            return None
    else:
        estimator = FrozenEstimator(long.fit(*train))
    return SymmetryDiscoverer(estimator=estimator, random_state=seed).fit(*test)


def models(n_seeds, n=1000, kinds=()):
    kinds = kinds or ("150 steps, refitted", "L-BFGS, refitted", "L-BFGS, frozen", "torch, frozen")
    print(
        f"\nNetworks of 64 and 64 units fitted to {n} normal samples without noise, aff(d); frozen"
    )
    print("ones are differentiated at as many other samples. Least R2, right number / false, per")
    print("cent of seeds, of those with R2 >= 0.999 in brackets; median CPU seconds a discovery.")
    print("False: more generators than the function has, or an angle above 0.2 to the true span")
    print(f"{'':20}" + "".join(f"{kind:>36}" for kind in kinds))
    for name, (function, d, truth) in MODELS.items():
        row = f"{name:20}"
        for kind in kinds:
            scores, right, false, seconds = [], [], [], []
            for seed in range(n_seeds):
                rng = np.random.default_rng(1000 + seed)
                train, test = [(X, function(X)) for X in rng.normal(size=(2, n, d))]
                start = time.process_time()
                model = fitted_models(kind, train, test, seed)
                if model is None:
                    break
                seconds.append(time.process_time() - start)
                scores.append(1 - np.mean((test[1] - model.predict(test[0])) ** 2) / test[1].var())
                angle = span_angle(model.algebra_, truth)
                right.append(model.n_symmetries_ == truth.dim and angle < 0.2)
                few = np.isinf(angle) and model.n_symmetries_ < truth.dim
                false.append(not right[-1] and not few)
            if not scores:
                row += f"{'-':>36}"
                continue
            good = np.array(scores) >= 0.999
            cell = f"{min(scores):.4f} {np.mean(right):.0%} / {np.mean(false):.0%}"
            if good.any():
                cell += f" [{np.mean(np.array(right)[good]):.0%} of {good.sum()}]"
            row += f"{cell + f' {np.median(seconds):.1f}s':>36}"
        print(row, flush=True)


def ring(X):
    return X[:, 0] ** 2 * X[:, 1] + X[:, 1] ** 2 * X[:, 2] + X[:, 2] ** 2 * X[:, 0]


# name: function, features, number of elements that are symmetries
DISCRETE = {
    "one reflection": (lambda X: X[:, 0] ** 2 + X[:, 1] + X[:, 1] * X[:, 2] ** 3, 3, 2),
    "S3": (lambda X: np.prod(X, axis=1) + np.sum(X**3 + X, axis=1), 3, 6),
    "cyclic 3": (lambda X: ring(X) + np.sum(X, axis=1), 3, 3),
    "all 48 of three coordinates": (lambda X: np.sum(X**4, axis=1) - square(X), 3, 48),
    "-1": (lambda X: X[:, 0] * X[:, 1] + 2 * X[:, 1] * X[:, 2] - X[:, 0] ** 3 * X[:, 2], 3, 2),
    "none": (
        lambda X: X[:, 0] + X[:, 1] ** 3 - X[:, 1] ** 2 + X[:, 0] * X[:, 2] ** 2 + X[:, 2],
        3,
        1,
    ),
}


def heavy_tails(rng, n):
    return rng.standard_t(3, size=(n, 3))


def skew(rng, n):
    return rng.exponential(size=(n, 3))


def one_way_round(rng, n):
    z = rng.normal(size=(n, 3))
    return z + 0.8 * np.abs(np.roll(z, 1, axis=1))


def mirrored(rng, n):
    z = rng.normal(size=(n, 3))
    y = np.exp(0.7 * z[:, 1])
    return np.column_stack([z[:, 0], y, 0.5 * z[:, 2] + y])


def correlated(rng, n):
    return rng.normal(size=(n, 3)) @ [[1, 0.5, 0], [0, 1, 0.7], [0, 0, 1.5]]


def lopsided(rng, n):
    x, y, z = rng.normal(size=(3, n))
    x = np.exp(0.5 * x)
    y = y + 0.5 * x
    return np.column_stack([x, y, 2 * z + y**2])


def on_sphere(rng, n):
    X = rng.normal(size=(n, 3))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


# name: points, number of signed permutations that leave their distribution unchanged
CLOUDS = {
    "heavy tails": (heavy_tails, 48),
    "S3": (skew, 6),
    "cyclic 3": (one_way_round, 3),
    "one reflection": (mirrored, 2),
    "-1": (correlated, 2),
    "none": (lopsided, 1),
    "sphere": (on_sphere, 48),
}


def function_samples(function, d, noise, rng, n=1000):
    X = rng.normal(size=(n, d))
    y = function(X)
    return {}, (X, y + noise * y.std() * rng.normal(size=n))


def label_samples(function, d, n, rng):
    X = rng.normal(size=(n, d))
    y = function(X)
    log_odds = 3 * (y - y.mean()) / y.std()
    return {"library": PolynomialLibrary(4)}, (X, logistic_labels(log_odds, rng))


def network_samples(function, d, noise, rng, n=2000):
    """A network that was trained on other samples."""
    X = rng.uniform(-1.5, 1.5, size=(2 * n, d))
    y = function(X)
    y = y / y.std() + noise * rng.normal(size=2 * n)
    network = MLPRegressor(
        hidden_layer_sizes=(64, 64),
        early_stopping=True,
        n_iter_no_change=20,
        learning_rate_init=3e-3,
        random_state=0,
    )
    return {"estimator": FrozenEstimator(network.fit(X[n:], y[n:]))}, (X[:n], y[:n])


def discrete(n_seeds):
    print("\nSigned permutations: right group / false elements, per cent of seeds")
    kinds = {
        "functions of 1000 normal samples, noise on y": (function_samples, (0.0, 0.01, 0.1)),
        "labels of normal samples, log odds of spread 3, degree 4": (label_samples, (2000, 4000)),
        "networks (64, 64) and 2000 other uniform samples, noise on y": (
            network_samples,
            (0.01, 0.1),
        ),
    }
    for title, (draw, settings) in kinds.items():
        print(title)
        names = [f"n = {value}" if value > 1 else f"{value:.0%}" for value in settings]
        print(f"{'':28}" + "".join(f"{name:>20}" for name in names))
        for name, (function, d, order) in DISCRETE.items():
            row = f"{name:28}"
            for setting in settings:
                orders, seconds = [], []
                for seed in range(n_seeds):
                    parameters, data = draw(function, d, setting, np.random.default_rng(seed))
                    start = time.perf_counter()
                    model = SymmetryDiscoverer(signed_permutations, random_state=seed, **parameters)
                    orders.append(model.fit(*data).elements_.order)
                    seconds.append(time.perf_counter() - start)
                row += f"{rates(orders, order):>12} {np.median(seconds):.2f}s".rjust(20)
            print(row, flush=True)
    print("data sets, points")
    print(f"{'':28}" + "".join(f"{f'n = {n}':>20}" for n in (1000, 2000)))
    for name, (draw, order) in CLOUDS.items():
        row = f"{name:28}"
        for n in (1000, 2000):
            orders, seconds = [], []
            for seed in range(n_seeds):
                X = draw(np.random.default_rng(seed), n)
                start = time.perf_counter()
                model = SymmetryDiscoverer(signed_permutations, random_state=seed).fit(X)
                seconds.append(time.perf_counter() - start)
                orders.append(model.elements_.order)
            row += f"{rates(orders, order):>12} {np.median(seconds):.2f}s".rjust(20)
        print(row, flush=True)


def rates(orders, order):
    """How often a group has the true order, and how often it has elements that do not belong."""
    orders = np.array(orders)
    false = np.gcd(orders, order) < orders
    return f"{100 * np.mean(orders == order):.0f}/{100 * np.mean(false):.0f}"


# features, degree (None: chosen)
MANY_FEATURES = (
    (2, None),
    (3, None),
    (4, None),
    (6, None),
    (8, None),
    (10, 2),
    (10, 3),
    (12, 2),
    (12, 3),
    (16, 2),
    (20, 2),
    (20, 3),
)


def stop_row(signum, frame):
    raise TimeoutError


def many_features(n_seeds, n=3000, limit=180):
    """Straight axes, and those of M = expm(0.4 N(0, 1)); a row ends after `limit` seconds."""
    print(f"\nMany features: |M^-1 x|^2 + 10 % noise, aff(d), {n} normal samples, CPU seconds:")
    print("median of as many seeds as run within ten seconds, found of d (d - 1) / 2, peak memory")
    print("(in strongly tilted axes some directions hardly count, and more than so(d) may fit)")
    print(f"{'':24}{'functions':>10}{'M = 1':>22}{'any M':>22}{'MiB':>8}")
    signal.signal(signal.SIGALRM, stop_row)
    for d, degree in MANY_FEATURES:
        cells = []
        size = 0
        for is_tilted in (False, True):
            seconds = []
            counts = []
            signal.alarm(limit)
            try:
                while len(seconds) < n_seeds and sum(seconds) < 10:
                    rng = np.random.default_rng(len(seconds))
                    X = rng.normal(size=(n, d))
                    M = expm(0.4 * rng.normal(size=(d, d))) if is_tilted else np.eye(d)
                    y = square(X @ np.linalg.inv(M).T)
                    y = y + 0.1 * y.std() * rng.normal(size=n)
                    library = None if degree is None else PolynomialLibrary(degree)
                    start = time.process_time()
                    model = SymmetryDiscoverer(aff, library=library, random_state=0).fit(X, y)
                    seconds.append(time.process_time() - start)
                    counts.append(model.n_symmetries_)
                    size = model.coef_.size
                found = f"{np.median(counts):.0f} of {so(d).dim}"
                cells.append(f"{found}, {np.median(seconds):.2f} s")
            except TimeoutError:
                cells.append(f"more than {limit} s")
            except MemoryError:
                cells.append("refused: memory")
            finally:
                signal.alarm(0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        name = f"d = {d}, degree {degree or 'chosen'}"
        print(f"{name:24}{size:10,}{cells[0]:>22}{cells[1]:>22}{peak:8.0f}", flush=True)


def data_sets(n, rng):
    """Name: points, candidates, number of symmetries."""
    u, v = rng.uniform(0, 2 * np.pi, size=(2, n))
    z = rng.uniform(-1, 1, n)
    ball = rng.normal(size=(n, 3))
    t = rng.uniform(0.2, 1.5, n)
    cos, sin = np.cos, np.sin
    width = 1 + z / 2 * cos(u / 2)
    turns = 3 * np.pi * z
    return {
        "circle": (np.c_[cos(u), sin(u)], aff, 1),
        "sphere": (ball / np.linalg.norm(ball, axis=1, keepdims=True), aff, 3),
        "torus": (
            np.c_[(2 + 0.8 * cos(v)) * cos(u), (2 + 0.8 * cos(v)) * sin(u), 0.8 * sin(v)],
            aff,
            1,
        ),
        "cylinder": (np.c_[cos(u), sin(u), 2 * z], aff, 5),
        "cone": (np.c_[t * cos(u), t * sin(u), t], aff, 4),
        "hyperboloid": (
            np.c_[np.cosh(1.2 * z) * cos(u), np.cosh(1.2 * z) * sin(u), np.sinh(1.2 * z)],
            aff,
            3,
        ),
        "helix, three turns": (np.c_[cos(turns), sin(turns), turns / 4], aff, 1),
        "Moebius band": (np.c_[width * cos(u), width * sin(u), z / 2 * sin(u / 2)], aff, 0),
        "flat torus in R^4": (np.c_[cos(u), sin(u), cos(v), sin(v)], gl, 2),
    }


def manifolds(n_seeds, n=2000):
    print(f"\nData sets, {n} points: right number, per cent of seeds, and the method chosen")
    print(f"{'':22}{'true':>5}{'no noise':>24}{'1 % noise':>24}{'s':>7}")
    for name in data_sets(2, np.random.default_rng(0)):
        cells, start = [], time.perf_counter()
        for noise in (0.0, 0.01):
            right, methods = [], []
            for seed in range(n_seeds):
                rng = np.random.default_rng(seed)
                X, candidates, true = data_sets(n, rng)[name]
                spread = np.sqrt(np.mean(np.var(X, axis=0)))
                X = X + noise * spread * rng.normal(size=X.shape)
                model = SymmetryDiscoverer(candidates, random_state=seed).fit(X)
                right.append(model.n_symmetries_ == true)
                methods.append(model.method_)
            cells.append(f"{np.mean(right):.0%} ({max(set(methods), key=methods.count)})")
        seconds = (time.perf_counter() - start) / (2 * n_seeds)
        print(f"{name:22}{true:5}{cells[0]:>24}{cells[1]:>24}{seconds:7.2f}", flush=True)


def hopf_errors(n_seeds):
    print("\nHopf normal form in gl(2), degree 3, x uniform on [-.5, .5]^2: error of coefficients")
    print("relative to their norm, median over seeds; ratio: discovered over true so(2), median")
    print(f"{'n, noise':12}{'least squares':>15}{'true so(2)':>12}{'discovered':>12}{'ratio':>8}")
    library = PolynomialLibrary(3, center=0.0, scale=0.5)
    for n in (50, 100, 1000):
        for noise in (0.01, 0.05, 0.1):
            errors = []
            for seed in range(n_seeds):
                rng = np.random.default_rng(seed)
                X = rng.uniform(-0.5, 0.5, size=(n, 2))
                Y = hopf(X)
                exact = SymmetricRidge(library=library, alpha=0.0).fit(X, Y).coef_
                Y = Y + noise * np.std(Y) * rng.normal(size=Y.shape)
                found = SymmetryDiscoverer(gl, library=library, output=vector).fit(X, Y)
                models = [
                    SymmetricRidge(library=library, alpha=0.0),
                    SymmetricRidge(so(2), library=library, output=vector, alpha=0.0),
                    SymmetricRidge(
                        found.algebra_,
                        library=library,
                        output=found.representation_,
                        alpha=0.0,
                    ),
                ]
                wrong = [np.linalg.norm(model.fit(X, Y).coef_ - exact) for model in models]
                errors.append(np.array(wrong) / np.linalg.norm(exact))
            errors = np.array(errors)
            least, true, mine = np.median(errors, axis=0)
            ratio = np.median(errors[:, 2] / errors[:, 1])
            print(f"{f'{n}, {noise:.0%}':12}{least:15.4f}{true:12.4f}{mine:12.4f}{ratio:8.2f}")


def five_dimensional(n, seed):
    """The task O5 of Finzi et al. (2021)."""
    X = np.random.default_rng(seed).normal(size=(n, 10))
    a, b = X[:, :5], X[:, 5:]
    r, s = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    return X, np.sin(r) - s**3 / 2 + np.sum(a * b, axis=1) / (r * s)


def published(n_seeds):
    print("\nPublished tasks")
    print("Shaw et al. 2024, affine: 1 - similarity of the field over the box (theirs 6e-7, 8e-8)")
    for n in (200, 2000):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, 2)) * [2, 1] + 1
        start = time.perf_counter()
        model = SymmetryDiscoverer().fit(X, (X[:, 0] - 1) ** 2 + 4 * (X[:, 1] - 1) ** 2)
        seconds = time.perf_counter() - start
        box = rng.uniform(X.min(axis=0), X.max(axis=0), size=(10_000, 2))
        V = model.algebra_.vector_field(box)[:, 0].ravel()
        W = np.c_[4 * (1 - box[:, 1]), box[:, 0] - 1].ravel()
        lack = 1 - abs(V @ W) / np.linalg.norm(V) / np.linalg.norm(W)
        print(f"  N = {n}: {lack:.1e} in {seconds:.2f} s, {model.algebra_}")
    print("O5, candidates gl(5) on both vectors, 10 generators (LieGG: bias 0.0047 in 74 s)")
    kernel = KernelRidge(kernel="poly", degree=3, gamma=0.1, coef0=1.0, alpha=1e-3)
    network = MLPRegressor(
        hidden_layer_sizes=(128, 128), early_stopping=True, max_iter=300, random_state=0
    )
    test = five_dimensional(2000, 1)
    for n in (1000, 3000, 10_000):
        X, y = five_dimensional(n, 0)
        cases = {"library": (None, X, y)}
        if n <= 3000:
            cases["kernel ridge"] = (kernel, X, y)
        if n == 10_000:
            network.fit(X, y)
            cases["network as a callable"] = (network.predict, *test)
        for name, (estimator, *data) in cases.items():
            start = time.perf_counter()
            model = SymmetryDiscoverer(gl(5).repeat(2), estimator=estimator, random_state=0)
            model.fit(*data)
            seconds, s = time.perf_counter() - start, model.singular_values_[::-1]
            print(
                f"  N = {n}, {name}: {model.n_symmetries_} found ({model.algebra_name_}), angle "
                f"{span_angle(model.algebra_, so(5).repeat(2)):.1e}, spectrum {s[0]:.3f} .. "
                f"{s[9]:.3f} | {s[10]:.3f}, floor {model.noise_floor_:.3f}, {seconds:.1f} s"
            )
    print("No symmetry, candidates all isometries, 1,000 samples: number declared")
    print("(the package of Shaw et al. declares 1, 4, 13, 21 by its rule)")
    for d in (3, 4, 5, 6):
        counts = []
        for seed in range(n_seeds):
            X = np.random.default_rng(seed).normal(size=(1000, d))
            model = SymmetryDiscoverer(se, random_state=seed).fit(X, generic(X))
            counts.append(model.n_symmetries_)
        print(f"  {d} variables: at most {max(counts)} of {se(d).dim} in {n_seeds} seeds")


def variation_within(model, system, seed):
    """Largest ratio of the spread of a quantity along new trajectories to that between them."""
    others = replace(system, n_trajectories=20)
    X, _ = others.trajectories(1000 + seed)
    values = model.transform(X).reshape(20, -1, model.n_quantities_)
    within = values.std(axis=1).mean(axis=0)
    between = values.mean(axis=1).std(axis=0)
    return (within / between).max()


def verdict_on(system, noise, seed):
    """One of right, undecided, missed, false."""
    X, rows = system.trajectories(seed)
    rng = np.random.default_rng(10_000 + seed)
    X = X + noise * X.std(axis=0) * rng.normal(size=X.shape)
    model = ConservedQuantities(system.library, random_state=seed).fit(X, **rows)
    count = model.n_quantities_
    if count > system.number or (count and variation_within(model, system, seed) > 0.2):
        return "false"
    if count == system.number and not (model.undecided_ and not count):
        return "right"
    return "undecided" if model.undecided_ else "missed"


def conserved(n_seeds):
    print(
        "\nConserved quantities from trajectories of 150 samples; noise in the states relative to"
    )
    print(
        "their spread; right / undecided / missed / false in per cent. Undecided where the number"
    )
    print("is 0: some function changes too little to say that it does.")
    levels = [0, 0.01, 0.05]
    head = "".join(f"{f'noise {level:g}':>19}" for level in levels)
    print(f"{'':24}{'number':>7}{'paths':>6}{head}{'s':>7}")
    for name, system in SYSTEMS.items():
        cells = ""
        start = time.process_time()
        for noise in levels:
            verdicts = [verdict_on(system, noise, seed) for seed in range(n_seeds)]
            shares = []
            for kind in ("right", "undecided", "missed", "false"):
                share = 100 * verdicts.count(kind) / n_seeds
                shares.append(f"{share:.0f}")
            cells += f"{' / '.join(shares):>19}"
        seconds = (time.process_time() - start) / (len(levels) * n_seeds)
        sizes = f"{system.number:7}{system.n_trajectories:6}"
        print(f"{name:24}{sizes}{cells}{seconds:7.2f}", flush=True)


def cost():
    print("\nCost: d = 6, aff(6), degree 3; against PolynomialFeatures and a blocked QR")
    for n in (100_000, 300_000, 1_000_000):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, 6))
        y = square(X) + 0.1 * X[:, 0] ** 3 + 0.1 * rng.normal(size=n)
        times = {"plain": [], "sksym": []}
        for _ in range(3):
            start = time.perf_counter()
            features, R = PolynomialFeatures(3).fit(X[:2]), np.zeros((0, 85))
            for block in np.array_split(np.arange(n), n // 10_000):
                rows = np.hstack([features.transform(X[block]), y[block, None]])
                R = np.linalg.qr(np.concatenate([R, rows]), mode="r")
            times["plain"].append(time.perf_counter() - start)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            start = time.perf_counter()
            SymmetryDiscoverer(library=PolynomialLibrary(3)).fit(X, y)
            times["sksym"].append(time.perf_counter() - start)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            times.setdefault("grown", grown)
        plain, mine = np.median(times["plain"]), np.median(times["sksym"])
        print(
            f"  n = {n:>9,}: {mine:.2f} s against {plain:.2f} s, ratio {mine / plain:.2f}, "
            f"peak memory grew by {times['grown'] / 1024:.0f} MiB"
        )


def main():
    parts = [
        "exact",
        "noisy",
        "axes",
        "none",
        "labels",
        "models",
        "discrete",
        "features",
        "manifolds",
        "hopf",
        "published",
        "conserved",
        "cost",
    ]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=parts, help=f"some of {' '.join(parts)}")
    parser.add_argument("--seeds", type=int, default=20, help="data sets of every row (20)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    run = {
        "exact": lambda: exact(arguments.seeds),
        "noisy": lambda: noisy(arguments.seeds),
        "axes": lambda: any_axes(arguments.seeds),
        "none": lambda: no_symmetry_in_random_polynomials(arguments.seeds),
        "labels": lambda: labels(arguments.seeds),
        "models": lambda: models(arguments.seeds),
        "discrete": lambda: discrete(arguments.seeds),
        "features": lambda: many_features(arguments.seeds),
        "manifolds": lambda: manifolds(arguments.seeds),
        "hopf": lambda: hopf_errors(arguments.seeds),
        "published": lambda: published(arguments.seeds),
        "conserved": lambda: conserved(arguments.seeds),
        "cost": cost,
    }
    for part in arguments.parts:
        run[part]()


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
