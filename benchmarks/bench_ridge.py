"""Fitting many rows: SymmetricRidge against PolynomialFeatures and Ridge, time and memory.

Both fit polynomials of the same degree to the same rows: two points in space with so(3) enforced,
and all polynomials without symmetry. Every fit runs in a process of its own, in turn, with one
BLAS thread (and --threads 2 for two); the peak is that of the process beyond its size with the data
in memory, so it counts all copies. The comparison flatters sksym in one way: with the symmetry
there is less to fit, which is the point, but plain Ridge solves a larger problem. The column "free"
therefore also gives sksym without symmetry, the same problem as Ridge, solved through a streamed QR
(twice the flops of Ridge's Gram matrix, and all of its digits).

With --defaults instead: how much 5-fold R2 the default alpha gives away to the best of 25, on ten
data sets in different units, on four with as little as ten rows for each function and degree, and
the same for standardised invariants and Ridge, which the default should equal.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from threadpoolctl import threadpool_limits

from sksym import InvariantFeatures, PolynomialLibrary, SymmetricRidge, SymmetricRidgeCV, so

MODELS = {
    "so(3)": lambda degree: SymmetricRidge(so(3).repeat(2), library=PolynomialLibrary(degree)),
    "free": lambda degree: SymmetricRidge(library=PolynomialLibrary(degree)),
    "Ridge": lambda degree: make_pipeline(PolynomialFeatures(degree), Ridge()),
    "so(3) CV": lambda degree: SymmetricRidgeCV(so(3).repeat(2), library=PolynomialLibrary(degree)),
    "RidgeCV": lambda degree: make_pipeline(
        PolynomialFeatures(degree), RidgeCV(np.logspace(-8, 4, 25), cv=5)
    ),
}
SIZES = [(10_000, 4), (100_000, 2), (100_000, 3), (100_000, 4), (100_000, 5), (1_000_000, 4)]


SHAPES = {
    "r^2": lambda square: square,
    "r^4": lambda square: square**2,
    "r^4 - 3 r^2": lambda square: square**2 - 3 * square,
    "r^6": lambda square: square**3,
    "r": np.sqrt,
}
# Function, degree of the library, rows, noise relative to the signal, unit of X and of y.
DEFAULTS = [
    ("r^2", 2, 50, 0.0, 1.0, 1.0),
    ("r^2", 2, 50, 0.1, 1e-6, 1.0),
    ("r^2", 2, 100, 0.5, 1e6, 1e6),
    ("r", 2, 100, 0.1, 1.0, 1e-6),
    ("r^2", 4, 100, 0.1, 1e6, 1.0),
    ("r^4", 4, 200, 0.0, 1e-6, 1e6),
    ("r^4 - 3 r^2", 4, 200, 0.1, 1.0, 1.0),
    ("r^2", 6, 300, 0.0, 1e3, 1e-3),
    ("r^6", 6, 1000, 0.0, 1e6, 1.0),
    ("r^4", 6, 1000, 0.5, 1e-6, 1e-6),
]
FEW_ROWS = [
    ("r^2", 4, 50, 0.0, 1.0, 1.0),
    ("r^2", 4, 50, 0.1, 1.0, 1.0),
    ("r^4", 4, 50, 0.0, 1.0, 1.0),
    ("r^4", 4, 50, 0.1, 1.0, 1.0),
]


def given_away(shape, degree, n, noise, unit, unit_of_y):
    """The best mean R2 of 25 alphas, less that of the default: ours, and of Ridge."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    y = SHAPES[shape](np.sum(X**2, axis=1))
    y += noise * y.std() * rng.normal(size=n)
    X = unit * X
    y = unit_of_y * y
    library = PolynomialLibrary(degree)
    ours = SymmetricRidge(so(3), library=library)
    invariants = InvariantFeatures(so(3), library=library).fit_transform(X)
    plain = make_pipeline(StandardScaler(), Ridge())
    differences = []
    for model, name, columns in ((ours, "alpha", X), (plain, "ridge__alpha", invariants)):
        default = cross_val_score(model, columns, y).mean()
        scores = [default]
        for alpha in np.geomspace(1e-8, 1e4, 25):
            model.set_params(**{name: alpha})
            scores.append(cross_val_score(model, columns, y).mean())
        differences.append(max(scores) - default)
    return differences


def compare_defaults():
    print("5-fold R2 that the default alpha gives away to the best of 25")
    print("function     degree  rows  noise   unit of X   unit of y   sksym   Ridge")
    for title, cases in (("", DEFAULTS), ("few rows for each function:", FEW_ROWS)):
        print(title)
        for case in cases:
            ours, theirs = given_away(*case)
            shape, degree, n, noise, unit, unit_of_y = case
            print(
                f"{shape:12} {degree:6} {n:5} {noise:6} {unit:11.0e} {unit_of_y:11.0e}"
                f"  {ours:.4f}  {theirs:.4f}"
            )


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(name, n, degree):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 6))
    y = np.sum(X[:, :3] * X[:, 3:], axis=1) ** 2 + rng.normal(size=n)
    MODELS[name](degree).fit(X[:500], y[:500])  # imports and tables
    before = peak()
    start = time.perf_counter()
    model = MODELS[name](degree).fit(X, y)
    fitted = time.perf_counter()
    used = peak() - before
    model.predict(X[: n // 10])
    print(fitted - start, used, time.perf_counter() - fitted)


def measure(name, n, degree, threads, repeats):
    command = [sys.executable, __file__, "--run", name, str(n), str(degree), "--threads"]
    runs = [
        subprocess.run([*command, str(threads)], capture_output=True, text=True, check=True).stdout
        for _ in range(repeats)
    ]
    return np.median([list(map(float, out.split())) for out in runs], axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--defaults", action="store_true")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        name, n, degree = arguments.run
        with threadpool_limits(arguments.threads):
            run(name, int(n), int(degree))
        return
    if arguments.defaults:
        compare_defaults()
        return
    print("fit: seconds (peak MiB beyond the data); predict: microseconds a row")
    names = ["so(3)", "free", "Ridge"]
    print(
        f"{'rows':>9} degree"
        + "".join(f"{name:>19}" for name in names)
        + "   time ratio  memory ratio   predict so(3), Ridge"
    )
    for n, degree in SIZES:
        results = {
            name: measure(name, n, degree, arguments.threads, arguments.repeats) for name in names
        }
        ours, theirs = results["so(3)"], results["Ridge"]
        row = "".join(f"{results[name][0]:9.3f} ({results[name][1]:7.1f})" for name in names)
        print(
            f"{n:9,} {degree:6}"
            + row
            + f"{ours[0] / theirs[0]:13.3f}{max(ours[1], 0.1) / theirs[1]:14.3f}"
            + f"{ours[2] / n * 1e7:12.2f}{theirs[2] / n * 1e7:8.2f}"
        )
    print("\nalpha by five folds, 25 values")
    for n, degree in [(10_000, 4), (100_000, 4)]:
        ours = measure("so(3) CV", n, degree, arguments.threads, 1)
        theirs = measure("RidgeCV", n, degree, arguments.threads, 1)
        print(
            f"{n:9,} {degree:6}  SymmetricRidgeCV {ours[0]:.3f} s ({ours[1]:.1f} MiB), "
            f"RidgeCV {theirs[0]:.3f} s ({theirs[1]:.1f} MiB)"
        )


if __name__ == "__main__":
    main()
