"""Samples needed to recover symmetric polynomials, against Otto, Zolman, Kutz and Brunton (2025).

The random problems of their section 10.1, drawn as they are: polynomials of a few linear features
("ortho") or of squared distances from a few centres ("quad"), all translations ("t") or rigid
motions ("se") as candidates, exact samples. For each, bisection finds how many samples recover the
coefficients to 5e-3 of the largest, and this is compared with their published figure
(recovery_published.csv: seeds 0 to 4 of their 10) and with the number of free parameters, which no
method can beat. "convex" is their penalty alone, "adaptive" adds the reweighted problems after it,
"default" is SymmetryPromotingRegressor(alpha=0), which searches for a function of low rank through
all samples, and also knows the dimension of the variety of such functions: with two centres or more
it is larger than the parameters counted by hand.

What flatters sksym: the convex problem is not quite theirs. They test Lie derivatives at random
points, we integrate over the cube, and that alone needs fewer samples. Their seconds count solving
only, ours building too, but once for a whole bisection, and the machines differ. Exact samples of
functions with many symmetries are what the method is made for.

With --noise twice and four times as many noisy samples as free parameters, against a fit of least
misfit at the true number of symmetries that is started at the truth.

With --speed both ways of solving run here on the same samples, building included: fitting the
estimator to a relative gap of 1e-6, and cvxpy with SCS (its own tolerance, at most 2,500
iterations) on their matrices, built by our vectorised library, which flatters them.
"""

import argparse
import csv
import resource
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import comb
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import factorial
from sklearn.preprocessing import PolynomialFeatures
from threadpoolctl import threadpool_limits

from sksym import PolynomialLibrary, SymmetryPromotingRegressor, se, translations
from sksym.groups import Group
from sksym.promote import PromotionProblem, PromotionSamples, SolverOptions, promote
from sksym.promote.low_rank import LowRankLeastSquares

PUBLISHED = Path(__file__).with_name("recovery_published.csv")
TOLERANCE = 5e-3  # largest error of a recovered coefficient relative to the largest coefficient
METHODS = {"convex": (False, False), "adaptive": (True, False), "default": (True, True)}
SPEED = """ortho_t 15 1 2, ortho_t 20 2 2, ortho_t 10 1 3, ortho_t 25 1 2, ortho_t 15 2 2,
    ortho_t 8 1 4, ortho_t 30 3 2, ortho_se 15 1 2, ortho_se 8 1 3, ortho_se 20 1 2,
    ortho_se 10 1 3, ortho_se 11 2 3, ortho_se 8 2 4, quad_se 15 1 1, quad_se 6 1 2,
    quad_se 7 2 2, quad_se 8 1 2"""
LARGER = """ortho_t 50 1 2, ortho_t 16 1 3, ortho_se 25 1 2, ortho_se 30 1 2, ortho_se 13 1 3,
    ortho_se 16 1 3, ortho_se 10 1 4, quad_se 30 1 1, quad_se 10 1 2"""


NOISY = """ortho_t 5 1 2, ortho_t 10 1 2, ortho_t 7 2 3, ortho_t 10 1 3, ortho_t 15 2 2,
    ortho_se 5 2 4, ortho_se 8 1 3, ortho_se 10 2 2, ortho_se 10 1 2, quad_se 5 1 1, quad_se 6 1 2,
    quad_se 10 1 1"""
ALPHA = 1e-3  # of promotion with noise


class Row(NamedTuple):
    """One random problem; `n_recover` and `seconds` as published, NaN for unpublished seeds."""

    table: str
    m: int
    r: int
    d: int
    seed: int
    n_recover: float = np.nan
    seconds: float = np.nan

    @property
    def degree(self):
        return self.d * (2 if self.table == "quad_se" else 1)

    @property
    def p(self):
        return comb(self.m + self.degree, self.degree)

    @property
    def n_free(self):
        """Parameters of the true class: directions or centres, and coefficients of phi."""
        features = self.m * self.r if self.table == "quad_se" else self.r * (self.m - self.r)
        return features + comb(self.r + self.d, self.d)

    @property
    def candidates(self):
        return (translations if self.table == "ortho_t" else se)(self.m)

    @property
    def library(self):
        return PolynomialLibrary(self.degree, center=0.0, scale=1.0, domain=(-1.0, 1.0))

    def __str__(self):
        return f"{self.table:9}{self.m:3} {self.r} {self.d}"

    def draw(self):
        """Samples (p + 1, m), exact values there, and the true coefficients of monomials."""
        random = np.random.RandomState(self.seed)
        phi = PolynomialFeatures(self.d).fit(np.zeros((1, self.r)))
        c = random.rand(phi.n_output_features_)
        if self.table == "quad_se":
            places = random.uniform(-1, 1, self.r * self.m).reshape(self.r, self.m)
        else:
            places = np.linalg.svd(random.normal(size=(self.m, self.r)))[0][: self.r]
        X = random.uniform(-1, 1, size=(self.p + 1, self.m))
        points = np.concatenate([X, np.random.default_rng(0).uniform(-1, 1, size=X.shape)])
        if self.table == "quad_se":
            features = ((points[:, None] - places) ** 2).sum(axis=2)
        else:
            features = points @ places.T
        y = phi.transform(features) @ c
        monomials = PolynomialFeatures(self.degree).fit_transform(points)
        return X, y[: len(X)], np.linalg.lstsq(monomials, y, rcond=None)[0]


def published():
    """All rows of the published tables."""
    with PUBLISHED.open() as file:
        for line in csv.DictReader(line for line in file if not line.startswith("#")):
            numbers = [int(line[name]) for name in ("m", "r", "d", "seed", "n_recover")]
            yield Row(line["table"], *numbers, float(line["seconds"]))


def fitted(row, method, X, y):
    adaptive, refit = METHODS[method]
    options = {"library": row.library, "alpha": 0, "adaptive": adaptive, "refit": refit}
    return SymmetryPromotingRegressor(row.candidates, **options).fit(X, y)


def error(library, coef, truth):
    """Largest error of a coefficient of monomials, relative to the largest."""
    return np.abs(np.ravel(library.monomial_coef(coef)) - truth).max() / np.abs(truth).max()


def samples_needed(row, method, X, y, truth):
    """Fewest samples that recover the function, and its number of parameters where it is known.

    Doubling from the number of parameters, then bisection; the candidates' matrices are built once
    for the methods that only solve.
    """
    candidates = Group.of(row.candidates)
    problem = PromotionProblem.of(candidates, Group.none(row.m), row.library, None, X, 1)
    options = SolverOptions(adaptive=method == "adaptive")
    dimension = np.nan

    def is_recovered(n):
        nonlocal dimension
        if method == "default":
            model = fitted(row, method, X[:n], y[:n])
            recovered = error(model.library_, model.coef_, truth) < TOLERANCE
            if recovered:
                dimension = model.n_parameters_
            return recovered
        samples = PromotionSamples(problem, X[:n], y[:n, None], np.ones(n))
        w = promote(problem, samples.least_squares(0.0), 0.0, options)[-1].coef
        return error(problem.space.library, problem.coef(w), truth) < TOLERANCE

    low = row.n_free - 1  # no method recovers more parameters than it has samples
    step = 1
    while low + step < len(X) and not is_recovered(low + step):
        low += step
        step *= 2
    high = min(low + step, len(X))
    while high - low > 1:
        n = (low + high) // 2
        low, high = (low, n) if is_recovered(n) else (n, high)
    return high, dimension


def timed(function, *arguments):
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


def run(row, methods):
    """Samples needed, seconds and number of parameters for each method."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The samples do not determine")
        drawn = row.draw()
        figures = []
        for method in methods:
            (needed, dimension), seconds = timed(samples_needed, row, method, *drawn)
            figures.append((needed, seconds, dimension))
        return row, figures


def recovery(rows, methods, jobs):
    """Run the rows, print each, then the summary."""
    print("samples needed, and seconds of the bisection; free: parameters of the true class")
    head = "".join(f"{method:>19}" for method in methods)
    print(f"table      m r d seed     p  free{'published':>19}{head}")
    start, results = time.perf_counter(), []
    with ProcessPoolExecutor(jobs) as pool:
        for row, figures in pool.map(partial(run, methods=methods), rows):
            results.append((row, figures))
            every = [(row.n_recover, row.seconds, np.nan), *figures]
            cells = "".join(f"{n:9.0f}{seconds:8.2f} s" for n, seconds, _ in every)
            print(f"{row} {row.seed:4} {row.p:5} {row.n_free:5}{cells}", flush=True)
    print(f"\n{len(rows)} rows, {jobs} at a time: {time.perf_counter() - start:.0f} s")
    for k, method in enumerate(methods):
        summary(method, [row for row, _ in results], *zip(*[f[k] for _, f in results], strict=True))


def summary(method, rows, needed, seconds, dimensions):
    """Ratios to the published figures and to the free parameters, and times."""
    known = [k for k, row in enumerate(rows) if row.n_recover > 0]
    ratios = np.array([needed[k] / rows[k].n_recover for k in known])
    free = np.array([n / row.n_free for n, row in zip(needed, rows, strict=True)])
    groups = defaultdict(list)
    for k, ratio in zip(known, ratios, strict=True):
        groups[rows[k][:4]].append(ratio)
    medians = {group: np.median(values) for group, values in groups.items()}
    worst, group = rows[known[ratios.argmax()]], max(medians, key=medians.get)
    theirs = sum(rows[k].seconds for k in known)
    of_dimension = np.array(needed) / dimensions
    print(
        f"{method}: {ratios.mean():.3f} of the published samples on average, {ratios.max():.2f} "
        f"at worst ({worst} {worst.seed}), {(ratios > 1).sum()} rows above it\n"
        f"    {len(medians)} groups, largest median {medians[group]:.3f} {group}, "
        f"{sum(value > 1.02 for value in medians.values())} above 1.02\n"
        f"    {free.mean():.2f} times the free parameters on average, "
        f"median {np.median(free):.2f}, {free.min():.2f} to {free.max():.2f}; "
        f"{np.mean(of_dimension):.3f} times the dimension of the variety\n"
        f"    {sum(seconds):.0f} s, the slowest row {max(seconds):.0f} s; "
        f"{sum(seconds[k] for k in known) / theirs:.1e} of the authors' {theirs:,.0f} s"
    )


def fitted_with_cvxpy(row, X, y):
    """The same by cvxpy and SCS as its authors do, the Lie derivatives at random points."""
    import cvxpy as cp

    algebra, library = row.candidates, row.library.fit(X)
    degree = row.degree - (row.table == "ortho_t")  # translations lower the degree
    n_points = comb(row.m + degree, degree) + 1
    points = np.random.default_rng(row.seed).uniform(-1, 1, size=(n_points, row.m))
    plain = np.sqrt(factorial(library.monomials_.exponents).prod(axis=1))  # of plain monomials
    size = np.sqrt((algebra.linear**2).sum(axis=(1, 2)) + (algebra.offset**2).sum(axis=1))
    fields = algebra.vector_field(points).transpose(0, 2, 1) / size
    moved = (library.jacobian(points) @ fields).transpose(2, 0, 1) * plain
    w = cp.Variable(row.p)
    matrix = cp.reshape(moved.reshape(-1, row.p) @ w, moved.shape[:2], order="C")
    exact = [(library.transform(X) * plain) @ w == y]
    cp.Problem(cp.Minimize(cp.normNuc(matrix.T)), exact).solve(solver=cp.SCS, max_iters=2500)
    return w.value * plain  # in our library


def chosen(text):
    """Rows of seed 0 that are named in a text."""
    rows = {f"{row.table} {row.m} {row.r} {row.d}": row for row in published() if row.seed == 0}
    return [rows[" ".join(name.split())] for name in text.split(",")]


def speed(rows, share, repeats=3):
    """One fit, ours and theirs where p <= 500."""
    print(f"seconds of one fit at {share} of the published samples (error of the coefficients)")
    head = f"{'convex':>17}{'default':>17}{'cvxpy, SCS':>19}{'ratio':>8}{'default':>8}"
    print(f"table      m r d     p gens    n{head}")
    ratios = []
    for row in rows:
        n, (X, y, truth) = round(share * row.n_recover), row.draw()
        line, ours = f"{row} {row.p:5} {row.candidates.dim:4} {n:4}", []
        for method in ("convex", "default"):
            runs = [timed(fitted, row, method, X[:n], y[:n]) for _ in range(repeats)]
            ours.append(np.median([seconds for _, seconds in runs]))
            model = runs[0][0]
            line += f"{ours[-1]:9.3f} ({error(model.library_, model.coef_, truth):.0e})"
        if row in chosen(SPEED):
            coef, theirs = timed(fitted_with_cvxpy, row, X[:n], y[:n])
            ratios.append(theirs / np.array(ours))
            line += f"{theirs:11.2f} ({error(row.library.fit(X), coef, truth):.0e})"
            line += "".join(f"{ratio:8.0f}" for ratio in ratios[-1])
        print(line, flush=True)
    if ratios:
        means = np.exp(np.mean(np.log(ratios), axis=0))
        print(f"geometric means: convex {means[0]:.0f} times faster, default {means[1]:.0f} times")


def certificates(n_problems, largest=85):
    """Whether what is called determined is right, on random problems with few samples.

    Problems of seeds that no table has, with dimension - 1 to dimension + 3 samples.
    """
    kinds = sorted({row[:4] for row in published() if row.p <= largest})
    tally = defaultdict(int)
    start = time.perf_counter()
    for k in range(n_problems):
        row = Row(*kinds[k % len(kinds)], seed=1000 + k)
        X, y, truth = row.draw()
        dimension = fitted(row, "default", X, y).n_parameters_
        extra = k // len(kinds) % 5 - 1
        n = dimension + extra
        if n >= row.p:
            continue
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The samples do not determine")
            model = fitted(row, "default", X[:n], y[:n])
        is_right = error(model.library_, model.coef_, truth) < TOLERANCE
        verdict = "undetermined"
        if model.determined_:
            verdict = "right" if is_right else "wrong"
        tally[row.table, extra, verdict] += 1
        if verdict == "wrong":
            print(f"wrong: {row} {row.seed}, {n} samples, {model.n_checks_} checks", flush=True)
    print("what is said of a function of which samples are few, against what is true")
    head = "".join(f"{name:>14}" for name in ("right", "wrong", "undetermined"))
    print(f"{'table':10}{'samples beyond the dimension':>30}{head}")
    for table in ("ortho_t", "ortho_se", "quad_se"):
        for extra in range(-1, 4):
            counts = [tally[table, extra, name] for name in ("right", "wrong", "undetermined")]
            print(f"{table:10}{extra:30}{counts[0]:14}{counts[1]:14}{counts[2]:14}")
    print(f"{sum(tally.values())} problems, {time.perf_counter() - start:.0f} s")


def fit_from_truth(row, X, y, exact):
    """Values elsewhere of the fit with as many symmetries as the truth, and their number."""
    candidates = Group.of(row.candidates)
    problem = PromotionProblem.of(candidates, Group.none(row.m), row.library, None, X, 1)
    symmetry_rank = problem.symmetry_rank
    everywhere, values = exact
    functions = problem.space.library.transform(everywhere) @ problem.space.basis.T.toarray()
    truth = np.linalg.lstsq(functions, values, rcond=None)[0]
    k = len(symmetry_rank.kernel(truth))
    samples = PromotionSamples(problem, X, y[:, None], np.ones(len(X)))
    design, targets = samples.statistics.design, samples.statistics.targets
    fit = LowRankLeastSquares(symmetry_rank, design, targets).fit(truth, symmetry_rank.shape[0] - k)
    return functions @ fit.u, k


def with_noise(rows, levels=(0.01, 0.05, 0.1), multiples=(2, 4)):
    """Errors with noise, relative to the function's spread, on points of the cube.

    "from truth" minimises the misfit over the functions with the true number of symmetries, started
    at the truth, and is given that number; "promoted" is the reweighted penalty without refit.
    """
    print(f"alpha = {ALPHA}; error of the promoted function, of the fit started at the truth, and")
    print("of the default; symmetries, true and fitted; seconds of promotion and of the default")
    print("table      m r d     p noise    n promoted  from truth  default  symmetries  seconds")
    tally = defaultdict(list)
    for row in rows:
        X, y, truth = row.draw()
        everywhere = np.random.default_rng(1).uniform(-1, 1, size=(row.p + 500, row.m))
        exact = PolynomialFeatures(row.degree).fit_transform(everywhere) @ truth
        for noise in levels:
            for multiple in multiples:
                n = min(multiple * row.n_free, len(X))
                rng = np.random.default_rng(row.seed + 77)
                noisy = y[:n] + noise * np.std(y) * rng.normal(size=n)
                from_truth, k = fit_from_truth(row, X[:n], noisy, (everywhere, exact))
                options = {"library": row.library, "alpha": ALPHA}
                model = SymmetryPromotingRegressor(row.candidates, refit=False, **options)
                promoted, seconds_promoted = timed(model.fit, X[:n], noisy)
                model = SymmetryPromotingRegressor(row.candidates, **options)
                default, seconds = timed(model.fit, X[:n], noisy)
                predictions = [
                    promoted.predict(everywhere),
                    from_truth,
                    default.predict(everywhere),
                ]
                errors = [np.std(f - exact) / np.std(exact) for f in predictions]
                cells = "".join(f"{error:10.4f}" for error in errors)
                print(
                    f"{row} {row.p:5} {noise:5} {n:4}{cells}{k:6}{default.n_symmetries_:5}"
                    f"{seconds_promoted:9.2f}{seconds:6.2f}",
                    flush=True,
                )
                is_right = default.n_symmetries_ == k
                times = (seconds_promoted, seconds)
                tally[noise, multiple].append((*errors, is_right, *times))
    print("noise  n / free  default / truth: median, largest  above promoted  right  seconds ratio")
    for (noise, multiple), figures in tally.items():
        promoted, truth, default, is_right, *times = np.array(figures, float).T
        ratio = default / truth
        print(
            f"{noise:5}{multiple:10}{np.median(ratio):24.2f}{ratio.max():9.2f}"
            f"{(default > 1.001 * promoted).sum():13} of {len(ratio)}{is_right.mean():7.2f}"
            f"{np.median(times[1] / times[0]):15.1f}"
        )


def memory(method=None):
    """Peak resident memory of one fit in a fresh process."""
    if method is not None:
        (row,) = chosen("ortho_se 30 1 2")
        n, (X, y, truth) = row.n_recover, row.draw()
        model, seconds = timed(fitted, row, method, X[:n], y[:n])
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        wrong = error(model.library_, model.coef_, truth)
        return print(f"{used:6.0f} MiB, {seconds:.1f} s, error {wrong:.0e}")
    print("m = 30, se(30): 496 functions, 465 generators")
    for method in METHODS:
        command = [sys.executable, __file__, "--peak-of", method]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"{method:9}{out}", end="", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60, help="so many at random")
    parser.add_argument("--all", action="store_const", const=9999, dest="rows", help="all rows")
    parser.add_argument("--unpublished", action="store_true", help="seeds 5 to 9 too")
    parser.add_argument("--table", choices=["ortho_t", "ortho_se", "quad_se"])
    parser.add_argument("--largest", type=int, default=1326, help="most functions of a library")
    parser.add_argument("--methods", default="convex,adaptive", help=",".join(METHODS))
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--share", type=float, default=1.0, help="of the samples, with --speed")
    parser.add_argument("--noise", action="store_true", help="1, 5 and 10 %% of noise")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--certificates", type=int, metavar="N", help="N random problems")
    parser.add_argument("--peak-of", choices=METHODS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    rows = list(published())
    if arguments.unpublished:
        rows += [Row(*row[:4], seed) for row in rows if row.seed == 0 for seed in range(5, 10)]
    rows = [row for row in rows if row.p <= arguments.largest]
    rows = [row for row in rows if arguments.table in (None, row.table)]
    with threadpool_limits(1):
        if arguments.memory or arguments.peak_of:
            memory(arguments.peak_of)
        elif arguments.noise:
            warnings.filterwarnings("ignore", message="The samples do not determine")
            with_noise([row for row in chosen(NOISY) if row in rows])
        elif arguments.certificates:
            certificates(arguments.certificates)
        elif arguments.speed:
            speed([row for row in chosen(f"{SPEED},{LARGER}") if row in rows], arguments.share)
        else:
            take = np.random.default_rng(0).permutation(len(rows))[: arguments.rows]
            recovery([rows[k] for k in sorted(take)], arguments.methods.split(","), arguments.jobs)


if __name__ == "__main__":
    main()
