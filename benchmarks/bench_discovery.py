"""Discovering symmetries of noisy functions: how often their number and span are right.

Polynomials with a known symmetry, normal samples, noise relative to the spread of y; candidates
gl(d) or aff(d) as named; SymmetryDiscoverer with its defaults (degree by cross-validation). Right:
the number of symmetries is the true one and the span agrees to 1e-6 (largest principal angle);
false: some declared generator is no symmetry. The tilted cases are rotated by a random orthogonal
matrix: their generators are no simple numbers, so rounding cannot name them and the discoverer
abstains; the floor rule (snap=False) still counts them.
"""

import argparse

import numpy as np
from scipy.linalg import subspace_angles
from threadpoolctl import threadpool_limits

from sksym import LieAlgebra, SymmetryDiscoverer, aff, gl, lorentz, scaling, so, vector
from sksym.algebras import flat_generators


def square(X):
    return np.sum(X**2, axis=1)


def radial(X):
    return square(X) - 0.2 * square(X) ** 2


def interval(X):
    return -(X[:, 0] ** 2) + square(X[:, 1:])


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


# function, features, candidates, output, true symmetry
PROBLEMS = {
    "so(2) radial quartic, aff(2)": (radial, 2, aff, None, so(2)),
    "so(3) radial quartic, gl(3)": (radial, 3, gl, None, so(3)),
    "so(3) radial quartic, aff(3)": (radial, 3, aff, None, so(3)),
    "lorentz(2) quartic, gl(3)": (minkowski, 3, gl, None, lorentz(2)),
    "scaling, gl(2)": (
        lambda X: X[:, 0] * X[:, 1] + (X[:, 0] * X[:, 1]) ** 2,
        2,
        gl,
        None,
        scaling([1, -1]),
    ),
    "Hopf field, gl(2)": (hopf, 2, gl, vector, so(2)),
    "lorentz(2) tilted, gl(3)": (
        tilted(minkowski, 3),
        3,
        gl,
        None,
        LieAlgebra(tilt(3) @ lorentz(2).linear @ tilt(3).T),
    ),
    "no symmetry, 2 features": (generic, 2, aff, None, none(2)),
    "no symmetry, 3 features": (generic, 3, aff, None, none(3)),
    "no symmetry, 4 features": (generic, 4, gl, None, none(4)),
}


def outcome(problem, n, noise, seed, **options):
    function, d, candidates, output, truth = problem
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = function(X)
    y = y + noise * np.std(y) * rng.normal(size=y.shape)
    model = SymmetryDiscoverer(candidates, output=output, random_state=seed, **options).fit(X, y)
    found = flat_generators(model.algebra_.linear, model.algebra_.offset)
    true = flat_generators(truth.linear, truth.offset)
    counted = len(found) == len(true)
    if not len(found):
        return counted, counted, False
    outside = found - found @ np.linalg.pinv(true) @ true if len(true) else found
    false = np.abs(outside).max() > 1e-6 * np.abs(found).max()
    same = counted and (not len(true) or subspace_angles(found.T, true.T).max() < 1e-6)
    return counted, same, false


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    settings = [(n, noise) for n in (100, 1000, 10000) for noise in (0.01, 0.05, 0.1)]
    print("per cent of seeds: right number and span / false discovery [right number, snap=False]")
    print(f"{'n, noise':30}" + "".join(f"{f'{n}, {100 * s:g} %':>17}" for n, s in settings))
    for name, problem in PROBLEMS.items():
        row = f"{name:30}"
        for n, noise in settings:
            seeds = range(arguments.seeds)
            snapped = np.mean([outcome(problem, n, noise, seed) for seed in seeds], axis=0)
            raw = np.mean([outcome(problem, n, noise, seed, snap=False) for seed in seeds], axis=0)
            cell = f"{100 * snapped[1]:.0f}/{100 * snapped[2]:.0f} [{100 * raw[0]:.0f}]"
            row += f"{cell:>17}"
        print(row, flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
