"""Energies and forces of molecules: exactness, speed, and calculations needed.

1. Molecules of five atoms with Morse pairs, ten configurations, the right functions: largest
   errors of energies and forces on 200 others, relative to the largest.
2. CPU seconds of a fit to 1,000 configurations of 20 atoms with energies and forces, and of the
   prediction of as many forces.
3. Root-mean-square errors of energy and force, relative to their spread, against the number of
   configurations: splines with forces, splines with energies alone, and two methods of
   scikit-learn without the symmetry, kernel ridge on all coordinates and on all distances.
   Penalties are chosen by five folds. Medians over seeds.

Where the others win: energies that are no sums over pairs, the last row.
"""

import argparse
import time

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from sksym import SymmetricPotential
from sksym.libraries import PairLibrary

STIFFNESS, DEPTH, REST = 1.3, 2.0, 1.1
SIZES = [10, 20, 40, 80, 160]


def attraction(r):
    return np.exp(-STIFFNESS * r)


def repulsion(r):
    return np.exp(-2 * STIFFNESS * r)


def configurations(n, m, rng):
    """Atoms near the points of a grid."""
    side = int(np.ceil(m ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)[:m]
    return (1.4 * grid + 0.15 * rng.normal(size=(n, m, 3))).reshape(n, 3 * m)


def morse(X, m):
    """Energies and forces of ``D (1 - exp(-a (r - r0)))^2`` for every pair."""
    points = X.reshape(len(X), m, 3)
    first, second = np.triu_indices(m, 1)
    difference = points[:, first] - points[:, second]
    r = np.linalg.norm(difference, axis=2)
    e = np.exp(-STIFFNESS * (r - REST))
    pull = (2 * DEPTH * STIFFNESS * (1 - e) * e / r)[:, :, None] * difference
    forces = np.zeros_like(points)
    for k, (i, j) in enumerate(zip(first, second, strict=True)):
        forces[:, i] -= pull[:, k]
        forces[:, j] += pull[:, k]
    return np.sum(DEPTH * (1 - e) ** 2, axis=1), forces.reshape(len(X), -1)


def with_angles(X, m):
    """The same and a term of three atoms: the square of the mean squared distance."""
    energy, forces = morse(X, m)
    points = X.reshape(len(X), m, 3)
    centred = points - points.mean(axis=1, keepdims=True)
    gyration = np.mean(np.sum(centred**2, axis=2), axis=1)
    extra = 4 * gyration[:, None, None] * centred / m
    return energy + 3 * gyration**2, forces - 3 * extra.reshape(len(X), -1)


def distances(X):
    return np.array([pdist(x.reshape(-1, 3)) for x in X])


def tuned(model, grid):
    search = GridSearchCV(model, grid, scoring="neg_mean_squared_error", cv=5)
    return TransformedTargetRegressor(search, transformer=StandardScaler())


def relative(predicted, truth):
    return np.sqrt(np.mean((predicted - truth) ** 2)) / np.std(truth)


def print_exactness():
    rng = np.random.default_rng(0)
    X, X_test = configurations(10, 5, rng), configurations(200, 5, rng)
    (y, forces), (y_test, forces_test) = morse(X, 5), morse(X_test, 5)
    model = SymmetricPotential(library=PairLibrary(5, 3, [attraction, repulsion]))
    model.fit(X, y, forces=forces)
    errors = [
        np.abs(predicted - truth).max() / np.abs(truth).max()
        for predicted, truth in (
            (model.predict(X_test), y_test),
            (model.predict_forces(X_test), forces_test),
        )
    ]
    print(f"Morse, 5 atoms, 10 configurations: energy {errors[0]:.1e}, forces {errors[1]:.1e}")


def print_speed(repeats=3):
    rng = np.random.default_rng(0)
    X = configurations(1000, 20, rng)
    y, forces = morse(X, 20)
    for name, functions in {"10 splines": 10, "2 functions": [attraction, repulsion]}.items():
        model = SymmetricPotential(library=PairLibrary(20, 3, functions))
        times = []
        for _ in range(repeats):
            start = time.process_time()
            model.fit(X, y, forces=forces)
            fitted = time.process_time()
            model.predict_forces(X)
            times.append([fitted - start, time.process_time() - fitted])
        fit, predict = np.median(times, axis=0)
        print(f"1,000 x 20 atoms, {name}: fit {fit:.2f} s, forces {predict:.2f} s")


def print_errors(name, truth, sizes, seeds):
    alphas = {"alpha": np.logspace(-8, 1, 4)}
    kernel = {"gamma": np.logspace(-4, 0, 5), "alpha": np.logspace(-8, 0, 5)}
    on_distances = {f"kernelridge__{key}": values for key, values in kernel.items()}
    kernel_on_distances = make_pipeline(FunctionTransformer(distances), KernelRidge(kernel="rbf"))
    plain = SymmetricPotential(library=PairLibrary(5, 3, 12))
    models = {
        "pairs, energies": tuned(plain, alphas),
        "kernel, coordinates": tuned(KernelRidge(kernel="rbf"), kernel),
        "kernel, distances": tuned(kernel_on_distances, on_distances),
    }
    rows = {"pairs, with forces": [], "  its forces": [], **{key: [] for key in models}}
    for n in sizes:
        found = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            X, X_test = configurations(n, 5, rng), configurations(500, 5, rng)
            (y, forces), (y_test, forces_test) = truth(X, 5), truth(X_test, 5)
            both = SymmetricPotential(library=PairLibrary(5, 3, 12), alpha=1e-6)
            both.fit(X, y, forces=forces)
            errors = [relative(both.predict(X_test), y_test)]
            errors.append(relative(both.predict_forces(X_test), forces_test))
            for model in models.values():
                errors.append(relative(model.fit(X, y).predict(X_test), y_test))
            found.append(errors)
        for values, median in zip(rows.values(), np.median(found, axis=0), strict=True):
            values.append(median)
    print(f"{name:24}" + "".join(f"{n:>9}" for n in sizes))
    for label, values in rows.items():
        print(f"{label:24}" + "".join(f"{value:9.4f}" for value in values), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    arguments = parser.parse_args()
    print_exactness()
    print_speed()
    print_errors("sums over pairs", morse, arguments.sizes, arguments.seeds)
    print_errors("and three-body terms", with_angles, arguments.sizes, arguments.seeds)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
