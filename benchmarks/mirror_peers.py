"""Solve a problem of bench_mirror.py with another package. That script runs this one in the peers'
own environment:

    python mirror_peers.py PROBLEM PEER OUT.npz

Fits get ever smaller tolerances, by factors of sqrt 10, until the recomputed duality gap is on
target; the last tolerance is timed. What a first fit takes beyond a second one is compilation.
"""

import argparse
import time
import warnings
from functools import partial
from typing import NamedTuple

import numpy as np
from mirror_problems import (
    PROBLEMS,
    SHARES,
    TARGET,
    Jumps,
    Norms,
    NuclearNorm,
    OverlappingNorms,
    make,
)
from scipy.sparse import issparse
from threadpoolctl import threadpool_limits

LIMIT = 60.0  # seconds of one fit, after which there is no stricter one
LONG = 10.0  # seconds; what takes longer is timed once


# Coordinate descent ----------------------------------------------------------------------------


def scikit_learn(X, y, alpha, tol, size):
    from sklearn.linear_model import Lasso

    return Lasso(alpha=alpha, tol=tol, fit_intercept=False, max_iter=100_000).fit(X, y).coef_


def skglm(X, y, alpha, tol, size, strategy):
    from skglm import GroupLasso, Lasso

    common = {"alpha": alpha, "tol": tol * alpha, "fit_intercept": False, "max_iter": 1000}
    common["ws_strategy"] = strategy
    if size == 1:
        return Lasso(**common).fit(X, y).coef_
    weights = np.full(X.shape[1] // size, np.sqrt(size))
    return GroupLasso(groups=size, weights=weights, **common).fit(X, y).coef_


def celer(X, y, alpha, tol, size):
    from celer import GroupLasso, Lasso

    common = {"alpha": alpha, "tol": tol, "fit_intercept": False, "max_iter": 1000}
    if size == 1:
        return Lasso(**common).fit(X, y).coef_
    weights = np.full(X.shape[1] // size, np.sqrt(size))
    return GroupLasso(groups=size, weights=weights, **common).fit(X, y).coef_


def with_codes(lasso):
    """Of a chain: the lasso of its jumps, with the level projected out."""

    def solve(problem, alpha, tol):
        X, y = problem.X, problem.y
        if isinstance(problem.penalty, Norms):
            return lasso(X, y, alpha, tol, problem.penalty.size)
        sums = np.cumsum(X[:, ::-1], axis=1)[:, ::-1]  # column j: what a jump before j moves
        u, steps = sums[:, 0], sums[:, 1:]
        unit = u / np.linalg.norm(u)
        jumps = lasso(
            np.asfortranarray(steps - np.outer(unit, unit @ steps)),
            y - unit * (unit @ y),
            alpha,
            tol,
            1,
        )
        level = u @ (y - steps @ jumps) / (u @ u)
        return level + np.append(0.0, np.cumsum(jumps))

    return solve


# Conic solvers and proximal gradient -----------------------------------------------------------


def cvxpy_penalty(penalty, w):
    import cvxpy as cp

    if isinstance(penalty, Jumps):
        return cp.norm1(cp.diff(w))
    if isinstance(penalty, NuclearNorm):
        return cp.normNuc(w)
    columns = np.stack(penalty.columns(w.size))
    groups = cp.reshape(w[columns.ravel()], columns.shape, order="C")
    return np.sqrt(penalty.size) * cp.sum(cp.norm(groups, axis=1))


def with_cvxpy(solver, options, compress=False):
    """As the objective is written down, or with the rows compressed by QR before."""

    def solve(problem, alpha, tol):
        import cvxpy as cp

        (n, p), rows, y = problem.X.shape, problem.X, problem.y
        if compress:
            Q, rows = np.linalg.qr(rows)
            y = Q.T @ y
        w = cp.Variable((p, *y.shape[1:]))
        loss = cp.sum_squares(y - rows @ w) / (2 * n)
        whole = cp.Problem(cp.Minimize(loss + alpha * cvxpy_penalty(problem.penalty, w)))
        whole.solve(solver=solver, **options(tol))
        return w.value

    return solve


def scs_options(tol):
    return {"eps_abs": tol, "eps_rel": tol, "max_iters": 1_000_000, "time_limit_secs": LIMIT}


def clarabel_options(tol):
    return {"tol_gap_abs": tol, "tol_gap_rel": tol, "tol_feas": tol, "time_limit": LIMIT}


def fista(problem, alpha, tol):
    """Accelerated proximal gradient with restarts for the nuclear norm, stopped on the gap."""
    n = len(problem.y)
    gram, moment = problem.X.T @ problem.X / n, problem.X.T @ problem.y / n
    step, momentum = 1 / np.linalg.eigvalsh(gram)[-1], 1.0
    w = ahead = np.zeros_like(moment)
    for iteration in range(100_000):
        z = ahead - step * (gram @ ahead - moment)
        squares, V = np.linalg.eigh(z.T @ z)
        s = np.sqrt(np.maximum(squares, np.finfo(float).tiny))
        new = z @ (V * np.maximum(0, 1 - step * alpha / s)) @ V.T
        if np.sum((ahead - new) * (new - w)) > 0:
            momentum = 1.0
        larger = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / larger * (new - w)
        w, momentum = new, larger
        if iteration % 10 == 9 and problem.relative_gap(w, alpha) <= tol:
            break
    return w


# Which peer can do what, and the largest and the least tolerance -------------------------------

PEERS = {
    "scikit-learn": ([with_codes(scikit_learn)], 1e-4, 1e-12),
    "skglm": ([with_codes(partial(skglm, strategy=s)) for s in ("subdiff", "fixpoint")], 0.1, 1e-9),
    "celer": ([with_codes(celer)], 1e-4, 1e-12),
    "SCS": ([with_cvxpy("SCS", scs_options)], 1e-4, 1e-10),
    "QR + SCS": ([with_cvxpy("SCS", scs_options, compress=True)], 1e-4, 1e-10),
    "Clarabel": ([with_cvxpy("CLARABEL", clarabel_options)], 1e-4, 1e-12),
    "FISTA": ([fista], TARGET, TARGET),
}


def peers_of(problem):
    """Clarabel would need gigabytes for the semidefinite cone of the nuclear norm."""
    penalty = problem.penalty
    if isinstance(penalty, NuclearNorm):
        return ["FISTA", "SCS", "QR + SCS"]
    if issparse(problem.X) or isinstance(penalty, OverlappingNorms):
        return ["SCS", "Clarabel"]
    if isinstance(penalty, Norms):
        return ["scikit-learn", "skglm", "celer"][penalty.size > 1 :]
    return ["scikit-learn", "skglm", "celer", "SCS", "Clarabel"]


def timed(function, *arguments):
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


class Run(NamedTuple):
    gap: float
    seconds: float
    tol: float
    coef: np.ndarray


def tuned(problem, alpha, solve, tol, least, repeats):
    """The first run on target, with the median of so many times, or else the best."""
    nothing = np.zeros((problem.X.shape[1], *problem.y.shape[1:]))
    best = Run(np.inf, np.nan, np.nan, nothing)
    while tol >= 0.99 * least:
        try:
            w, seconds = timed(solve, problem, alpha, tol)
        except Exception as error:  # a conic solver that gives up
            print(f"tolerance {tol:.0e}: {error!r}"[:200])
            break
        best = min(best, Run(problem.relative_gap(w, alpha), seconds, tol, w), key=lambda r: r.gap)
        if best.gap <= TARGET or seconds > LIMIT:
            break
        tol /= np.sqrt(10)
    if best.gap <= TARGET and best.seconds < LONG:
        times = [timed(solve, problem, alpha, best.tol)[1] for _ in range(repeats)]
        best = best._replace(seconds=np.median(times))
    return best


def fastest(problem, alpha, peer, repeats):
    """Of the peer's variants that are on target, or else the most exact."""
    variants, *tolerances = PEERS[peer]
    runs = [tuned(problem, alpha, solve, *tolerances, repeats) for solve in variants]
    reached = [run for run in runs if run.gap <= TARGET]
    return min(reached, key=lambda r: r.seconds) if reached else min(runs, key=lambda r: r.gap)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("out")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of convergence: the gap is recomputed
    problem = make(arguments.problem)
    alphas = [share * problem.alpha_max() for share in SHARES]
    (solve, *_), tol, _ = PEERS[arguments.peer]
    compilation = 0.0
    if arguments.peer == "skglm":
        first, second = (timed(solve, problem, alphas[0], tol)[1] for _ in range(2))
        compilation = first - second
    runs = [fastest(problem, alpha, arguments.peer, arguments.repeats) for alpha in alphas]
    _, seconds, tols, coef = zip(*runs, strict=True)
    np.savez(arguments.out, coef=coef, seconds=seconds, tol=tols, compilation=compilation)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
