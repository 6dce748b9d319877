"""Null spaces: time and memory to find all functions of a library with a given symmetry.

Each row runs in a process of its own: the median time of several runs, library tables included,
one BLAS thread, and the peak memory of the arrays (tracemalloc, in one more run). Beside it a dense
SVD of a constraint matrix of the same null space, from a generating set of the symmetry, where that
fits (up to 2,000 unknowns). The comparison flatters sksym where the problem splits into small
blocks: it does so for textbook generators, not after a dense change of coordinates.
"""

import argparse
import subprocess
import sys
import time
import tracemalloc

import numpy as np
from threadpoolctl import threadpool_limits

from sksym import LieAlgebra, LieDerivative, PolynomialLibrary, columns, lorentz, so, tensor, vector
from sksym.equivariant import equivariant_basis
from sksym.groups import Group


def conjugated(algebra, change):
    return LieAlgebra(change @ algebra.linear @ np.linalg.inv(change))


def random_change(d, condition=None):
    rng = np.random.default_rng(0)
    if condition is None:
        return rng.normal(size=(d, d))
    U, _, V = np.linalg.svd(rng.normal(size=(d, d)))
    return U * np.geomspace(1, condition, d) @ V


def inertia():
    return so(3).repeat(5).on_columns(range(5, 20), 20)


# algebra, output, degree, dimension, goal in seconds, generators that generate the algebra
CASES = {
    "so(10), vector, degree 2": (lambda: so(10), vector, 2, 1, 0.02, range(9)),
    "so(20), degree 4": (lambda: so(20), None, 4, 3, 0.15, None),
    "so(50), vector, degree 2": (lambda: so(50), vector, 2, 1, 0.7, None),
    "so(3) on 4 points, degree 4": (lambda: so(3).repeat(4), None, 4, 70, 0.03, [0, 1]),
    "so(3) on 4 points, degree 6": (lambda: so(3).repeat(4), None, 6, 326, 0.3, None),
    "lorentz(3) on 4 points, degree 4": (lambda: lorentz(3).repeat(4), None, 4, 67, 0.06, None),
    "inertia, degree 3": (inertia, tensor(columns(5, 6, 7), columns(5, 6, 7)), 3, 526, 0.2, None),
    "so(10) in random coordinates, degree 4": (
        lambda: conjugated(so(10), random_change(10)),
        None,
        4,
        3,
        1.5,
        range(9),
    ),
    "so(3), axes 1:30:1000, degree 8": (
        lambda: conjugated(so(3), np.diag([1.0, 30, 1000])),
        None,
        8,
        5,
        None,
        [0, 1],
    ),
    "so(4) on 2 points, condition 1e3, degree 4": (
        lambda: conjugated(so(4).repeat(2), random_change(8, 1e3)),
        None,
        4,
        10,
        None,
        [0, 1, 2],
    ),
}


def library_for(algebra, degree):
    return PolynomialLibrary(degree, center=0.0, scale=1.0).fit(np.zeros((1, algebra.n_features)))


def run(name, repeats):
    make, output, degree, _, _, generating = CASES[name]
    algebra = make()
    group = Group.of(algebra)
    times = []
    for _ in range(repeats + 1):  # the first run warms up
        start = time.perf_counter()
        basis = equivariant_basis(library_for(algebra, degree), group, output)
        times.append(time.perf_counter() - start)
    tracemalloc.start()
    equivariant_basis(library_for(algebra, degree), group, output)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    dense, dense_dim = "-", "-"
    if generating is not None:
        some = algebra.combine(np.eye(algebra.dim)[list(generating)])
        L = LieDerivative.exact(library_for(algebra, degree), some, output)
        matrix = L.constraint_matrix().toarray()
        start = time.perf_counter()
        s, columns_of = np.linalg.svd(matrix, full_matrices=False)[1], matrix.shape[1]
        dense_dim = columns_of - int((s > 1e-10 * s[0]).sum())
        dense = f"{time.perf_counter() - start:.3f}"
    print(*basis.shape, np.median(times[1:]), peak / 2**20, dense, dense_dim, sep=";")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        with threadpool_limits(1):
            run(arguments.case, arguments.repeats)
        return
    head = (
        "functions with the symmetry",
        "unknowns",
        "dimension",
        "known",
        "seconds",
        "goal",
        "MiB",
        "dense SVD",
        "its dim.",
    )
    print("{:43}{:>9}{:>10}{:>7}{:>9}{:>7}{:>7}{:>11}{:>9}".format(*head))
    for name, (_, _, _, known, goal, _) in CASES.items():
        command = [sys.executable, __file__, "--case", name, "--repeats", str(arguments.repeats)]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found, unknowns, seconds, peak, dense, dense_dim = out.strip().split(";")
        goal = "-" if goal is None else goal
        print(
            f"{name:43}{unknowns:>9}{found:>10}{known:>7}{float(seconds):9.4f}{goal:>7}"
            f"{float(peak):7.1f}{dense:>11}{dense_dim:>9}"
        )


if __name__ == "__main__":
    main()
