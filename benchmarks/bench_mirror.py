"""Mirror penalties beside the fastest packages: seconds to a relative duality gap of 1e-6.

    python bench_mirror.py                  sksym alone
    python bench_mirror.py --peers [DIR]    beside its peers, in an environment made in DIR
    python bench_mirror.py --recovery       coefficients and supports, alpha by cross-validation
    python bench_mirror.py --sgd            the paper's algorithm: exactness, seconds per epoch

One row for each problem of mirror_problems.py and each alpha. Seconds are medians of whole fits
with one BLAS thread, after a first one; a peer's fit of more than ten seconds is timed once. Gaps
are recomputed here from the coefficients, relative to the objective. Of each peer the largest
tolerance (in factors of sqrt 10) that reaches the gap is timed, of sksym from 1e-6 on. "+ 3.2" are
seconds of compilation before the first fit, a star marks a gap that was not reached. The ratio is
of seconds, sksym to the fastest rival on target: skglm, celer and scikit-learn where they can do
the problem (a chain: as the lasso of its jumps), else cvxpy as one writes it down, building
included.

What flatters the peers: their tolerances are tuned, and skglm's strategy is the faster of its two.
What flatters sksym: normal designs and truths that are as structured as the penalty says.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
import warnings
from pathlib import Path

import numpy as np
from mirror_peers import peers_of
from mirror_problems import (
    PROBLEMS,
    SHARES,
    TARGET,
    Jumps,
    Norms,
    NuclearNorm,
    Problem,
    autoregressive,
    make,
    sparse_truth,
    steps_truth,
    with_noise,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV, MultiTaskLassoCV, RidgeCV, SGDRegressor
from threadpoolctl import threadpool_limits

from sksym import MirrorSGDRegressor, MirrorSparseRegressor, MirrorSparseRegressorCV
from sksym.mirror import groups, low_rank, rescaling, trend

REQUIREMENTS = ["skglm", "celer", "cvxpy", "scikit-learn", "threadpoolctl"]
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL", "NUMBA", "RAYON")
}


def mirrors_of(penalty, p):
    if isinstance(penalty, Jumps):
        return trend(1)
    if isinstance(penalty, NuclearNorm):
        return low_rank()
    if isinstance(penalty, Norms) and penalty.size == 1:
        return rescaling()
    return groups(penalty.columns(p))


def timed(function, *arguments):
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


# Seconds beside the peers ----------------------------------------------------------------------


def environment(folder):
    """The Python of an environment with the peers, which is made where there is none."""
    python = Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", *REQUIREMENTS]
        subprocess.run(install, check=True)
    return python


def peer_runs(name, peer, folder, arguments):
    """For each alpha the coefficients and the seconds, and what was compiled before; or None."""
    out = Path(folder) / f"{name}-{peer.replace(' ', '')}.npz"
    if not (arguments.reuse and out.exists()):
        script = Path(__file__).with_name("mirror_peers.py")
        command = [environment(folder), script, name, peer, out]
        done = subprocess.run(
            [*command, "--repeats", str(arguments.repeats)],
            env=os.environ | ONE_THREAD,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            reason = done.stderr.strip() or f"ended with {done.returncode}"
            print(f"{name}, {peer}: {reason.splitlines()[-1][:200]}", file=sys.stderr)
            return None
    with np.load(out) as results:
        return results["coef"], results["seconds"], float(results["compilation"])


def peer_cells(problem, alphas, name, folder, arguments):
    """For each alpha a list of (peer, seconds, gap, compilation)."""
    cells = [[] for _ in alphas]
    for peer in peers_of(problem) if folder else ():
        runs = peer_runs(name, peer, folder, arguments)
        if runs is None:
            continue
        coefs, times, compilation = runs
        for row, alpha, w, seconds in zip(cells, alphas, coefs, times, strict=True):
            row.append((peer, seconds, problem.relative_gap(w, alpha), compilation))
    return cells


def fitted(problem, alpha, repeats):
    """Median of seconds and the recomputed gap of our fit."""
    model = MirrorSparseRegressor(
        mirrors_of(problem.penalty, problem.X.shape[1]),
        alpha=alpha,
        fit_intercept=False,
        tol=TARGET,
    )
    while True:
        gap = problem.relative_gap(model.fit(problem.X, problem.y).coef_.T, alpha)
        if gap <= TARGET or model.tol < 1e-3 * TARGET:
            break
        model.set_params(tol=model.tol / 10**0.5)
    times = [timed(model.fit, problem.X, problem.y)[1] for _ in range(repeats)]
    return np.median(times), gap


def verdict(problem, seconds, gap, row):
    """The ratio to the fastest rival, the goal, and whether it is met."""
    if not problem.rivals:
        return "", f"< {problem.goal:g} s", seconds < problem.goal and gap <= TARGET
    times = [one[1] for one in row if one[0] in problem.rivals and one[2] <= TARGET]
    goal = f"<= {problem.goal:g}"
    if not times:
        return "", goal, None
    ratio = seconds / min(times)
    return f"{ratio:.3g}", goal, ratio <= problem.goal and gap <= TARGET


def speed(names, folder, arguments):
    print(f"{'':34}{'alpha':>6}{'sksym':>9}{'gap':>9}{'ratio':>10}{'goal':>9}{'met':>5}", end="")
    print("   peers: seconds (gap) + compilation")
    for name in names:
        problem = make(name)
        alphas = [share * problem.alpha_max() for share in SHARES]
        cells = peer_cells(problem, alphas, name, folder, arguments)
        for share, alpha, row in zip(SHARES, alphas, cells, strict=True):
            seconds, gap = fitted(problem, alpha, arguments.repeats)
            ratio, goal, met = verdict(problem, seconds, gap, row)
            line = f"{problem.title:34}{share:6}{seconds:9.3f}{mark(gap):>9}{ratio:>10}{goal:>9}"
            line += f"{ {True: 'yes', False: 'NO', None: ''}[met]:>5}   "
            line += "; ".join(
                f"{peer} {time:.3f} ({mark(gap)})" + (f" + {more:.1f}" if more > 0.1 else "")
                for peer, time, gap, more in row
            )
            print(line, flush=True)


def mark(gap):
    return f"{gap:.0e}" + ("*" if gap > TARGET else "")


# Recovery --------------------------------------------------------------------------------------


def nonzero(w):
    return w != 0


def jumps(w):
    return np.abs(np.diff(w)) > 1e-8 * np.abs(w).max()


def rank(w):
    s = np.linalg.svd(w, compute_uv=False)
    return s > 1e-8 * s[0]


def low_rank_truth(rng, p=50, q=20, r=3):
    return rng.normal(size=(p, r)) @ rng.normal(size=(r, q))


# What the truth is, its mirrors, and what of it is to be found.
TRUTHS = {
    "sparse": (lambda rng: sparse_truth(200, 1, 10, rng), rescaling(), nonzero),
    "grouped": (
        lambda rng: sparse_truth(200, 5, 4, rng),
        groups(list(np.arange(200).reshape(-1, 5))),
        nonzero,
    ),
    "fused": (lambda rng: steps_truth(200, 5, rng), trend(1), jumps),
    "low rank": (low_rank_truth, low_rank(), rank),
}


def f1(found, true):
    return 2 * np.sum(found & true) / max(1, np.sum(found) + np.sum(true))


def scores(model, X, y, truth, structure):
    """Relative error of the coefficients, F1 of the structure, seconds."""
    model, seconds = timed(model.fit, X, y)
    w = model.coef_.T
    error = np.linalg.norm(w - truth) / np.linalg.norm(truth)
    return error, f1(structure(w), structure(truth)), seconds


def recovery(seeds, n=100):
    print(f"Coefficients and structure from {n} samples, signal to noise 3, {seeds} draws")
    print("Relative error of coef; F1 of the support (fused: jumps, low rank: singular values)")
    print(f"{'':10}{'':16}{'error':>8}{'worst':>8}{'F1':>7}{'seconds':>9}")
    for title, (draw, mirrors, structure) in TRUTHS.items():
        results = {}
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            truth = draw(rng)
            X = autoregressive(n, len(truth), rng)
            y = X @ truth
            y += y.std() / 3 * rng.normal(size=y.shape)
            lasso = LassoCV(cv=5) if y.ndim == 1 else MultiTaskLassoCV(cv=5)
            rivals = [lasso, RidgeCV(np.logspace(-2, 5, 29))]
            for model in (MirrorSparseRegressorCV(mirrors, cv=5), *rivals):
                model.set_params(fit_intercept=False)
                one = scores(model, X, y, truth, structure)
                results.setdefault(type(model).__name__, []).append(one)
        for model, rows in results.items():
            errors, found, seconds = np.array(rows).T
            print(
                f"{title:10}{model:24}"[:34].ljust(34)
                + f"{np.median(errors):8.3f}{errors.max():8.3f}{np.median(found):7.2f}"
                + f"{np.median(seconds):9.2f}",
                flush=True,
            )


# The paper's algorithm -------------------------------------------------------------------------


def plain_sgd(X, y, epochs, batch=32, rate=1e-4):
    """Least squares by minibatches, nothing else."""
    rng, w, X = np.random.default_rng(0), np.zeros(X.shape[1]), np.ascontiguousarray(X)
    for _ in range(epochs):
        order = rng.permutation(len(y))
        shuffled, target = X[order], y[order]
        for start in range(0, len(y), batch):
            A, b = shuffled[start : start + batch], target[start : start + batch]
            w -= rate / len(A) * (A.T @ (A @ w - b))
    return w


def seconds_per_epoch(run, repeats, epochs=100):
    """From the difference of twice as many epochs, so that what happens once does not count."""
    pairs = [timed(run, 2 * epochs)[1] - timed(run, epochs)[1] for _ in range(repeats)]
    return np.median(pairs) / epochs


def sgd(repeats, n=300, p=1000):
    print(f"MirrorSGDRegressor, n = {n}, p = {p:,}, batches of 32 (goals: 1e-3, same, 2 x plain)")
    head = ["objective", "unpolished", "support", "seconds", "epoch, ms", "x plain", "x sklearn"]
    print(f"{'':14}{'alpha':>6}" + "".join(f"{name:>12}" for name in head))
    rng = np.random.default_rng(0)
    X = autoregressive(n, p, rng)
    X -= X.mean(axis=0)  # so that no intercept is needed
    for title, size in (("lasso", 1), ("groups of 10", 10)):
        y = with_noise(X @ sparse_truth(p, size, 20 // size, rng), rng, 3)
        problem = Problem(title, X, y - y.mean(), Norms(size), np.nan, ())
        for share in SHARES:
            sgd_row(problem, share, repeats)


def sgd_row(problem, share, repeats):
    X, y, alpha = problem.X, problem.y, share * problem.alpha_max()
    mirrors = mirrors_of(problem.penalty, X.shape[1])
    exact = MirrorSparseRegressor(mirrors, alpha=alpha, fit_intercept=False, tol=1e-10).fit(X, y)

    def trained(**parameters):
        common = {"alpha": alpha, "batch_size": 32, "random_state": 0}
        return MirrorSGDRegressor(mirrors, **common, **parameters).fit(X, y)

    def excess(model):
        return problem.objective(model.coef_, alpha) / problem.objective(exact.coef_, alpha) - 1

    model, seconds = timed(trained)
    same = np.array_equal(model.coef_ != 0, exact.coef_ != 0)
    # With a tolerance that is never met training runs as long as it is told.
    ours = seconds_per_epoch(lambda k: trained(polish=False, max_epochs=k, tol=1e-15), repeats)
    plain = seconds_per_epoch(lambda k: plain_sgd(X, y, k), repeats)
    other = {"penalty": "l1", "alpha": alpha, "tol": None, "eta0": 1e-6, "fit_intercept": False}
    theirs = seconds_per_epoch(lambda k: SGDRegressor(max_iter=k, **other).fit(X, y), repeats)
    print(
        f"{problem.title:14}{share:6}{excess(model):12.1e}{excess(trained(polish=False)):12.1e}"
        f"{'same' if same else 'differs':>12}{seconds:12.2f}{1e3 * ours:12.2f}"
        f"{ours / plain:12.2f}{ours / theirs:12.2f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", metavar="problem", help=f"of {', '.join(PROBLEMS)}")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", nargs="?", const="", metavar="DIR", help="run peers too")
    parser.add_argument("--reuse", action="store_true", help="the peers' results that are in DIR")
    parser.add_argument("--recovery", action="store_true")
    parser.add_argument("--seeds", type=int, default=20, help="draws, with --recovery")
    parser.add_argument("--sgd", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.problems:
        if name not in PROBLEMS:
            parser.error(f"{name!r} is none of {', '.join(PROBLEMS)}")
    if arguments.recovery:
        recovery(arguments.seeds)
    elif arguments.sgd:
        sgd(arguments.repeats)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            folder = temporary if arguments.peers == "" else arguments.peers
            speed(arguments.problems or PROBLEMS, folder, arguments)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)  # gaps are printed
    with threadpool_limits(1):
        main()
