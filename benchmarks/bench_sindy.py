"""Sparse identification of dynamics with symmetry, beside pysindy: support, coefficients, time.

Ours: `SymmetryPromotingSINDy` with the symmetry enforced, with it only promoted among all linear
motions gl(d), and without symmetry ("plain"); of trajectories also in the weak form. One threshold
for everything, 0.05, and defaults otherwise. "CV": the threshold by five folds instead (of whole
trajectories), the largest of five that loses no more than a standard error to the best, with the
symmetry enforced where there is one. None of this sees the truth.
Theirs, pysindy 2.1: STLSQ, bagging of 20 such (medians), and constrained SR3 with the symmetry as
linear constraints (none where there is none). Each runs at five thresholds, and the best *for the
truth* counts, draw by draw: a right support before a wrong one, then the smaller error.

quartic: q' = p, p' = -q - |q|^2 q with q, p in space, degree 3: 504 coefficients. wake: mean-field
model of the flow past a cylinder. laser: Maxwell-Bloch equations, symmetric under the phase of
field and polarisation. damped, growth: Yang et al. (2024); smoothed by our default differences
where they fit Gaussian processes; first states are ours. predator (Lotka and Volterra), lorenz: no
symmetry, so nothing can be gained and nothing should be lost. Degree 2 but for the first. RK4 with
steps of 0.002. Noise is a fraction of the standard deviation of each derivative (regression form)
or state (trajectories); of growth a fraction of the value.

Columns: share of draws with exactly the right terms; median and largest error of the coefficients
of plain monomials, relative in Frobenius norm; symmetries; seconds of one fit (CV: of all).

What flatters sksym: all but two systems are symmetric, along the axes; in spaces of two or three
functions the support is nearly given; pysindy's weak form is not run. What flatters pysindy: the
truth chooses its thresholds; its derivatives are our smoothed ones, better than its default; its
clock starts when they and the monomials are there.
"""

import argparse
import time
import timeit
import warnings
from dataclasses import dataclass

import numpy as np
import pysindy as ps
from scipy.linalg import null_space
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from threadpoolctl import threadpool_limits

from sksym import (
    LieAlgebra,
    PolynomialLibrary,
    SymmetryPromotingSINDy,
    WeakSymmetryPromotingSINDy,
    gl,
    scaling,
    so,
    vector,
)
from sksym.dynamics import differentiate, stack_trajectories
from sksym.equivariant import equivariant_basis
from sksym.groups import Group

THRESHOLD, OTHERS = 0.05, [0.02, 0.05, 0.1, 0.2, 0.4]
SHARES = [0.05, 0.15, 0.3, 0.5, 0.8]  # of the smallest true coefficient: pysindy's thresholds
STEP = 0.002


@dataclass
class System:
    field: callable  # states (n, d) to derivatives (n, d)
    d: int
    degree: int
    algebra: LieAlgebra | None
    low: float  # first states are uniform
    high: float
    n: int = 20  # trajectories
    steps: int = 200
    every: int = 25  # integration steps from sample to sample
    multiplicative: bool = False

    def __post_init__(self):
        X = np.random.default_rng(0).normal(size=(1000, self.d))
        self.library = PolynomialLibrary(self.degree, center=0.0, scale=1.0).fit(X)
        self.change = np.diag(
            self.library.monomial_coef(np.eye(self.library.transform(X).shape[1]))
        )
        true = np.linalg.lstsq(self.monomials(X), self.field(X), rcond=None)[0].T
        self.true = np.where(np.abs(true) > 1e-9, true, 0.0)

    def monomials(self, X):
        return self.library.transform(X) / self.change

    def constraints(self):
        """What plain coefficients (d p,) with the symmetry satisfy, as orthonormal rows."""
        if self.algebra is None:
            return np.zeros((0, self.true.size))
        basis = equivariant_basis(self.library, Group.of(self.algebra), vector)
        return null_space(basis.toarray() * np.tile(self.change, self.d)).T

    def derivatives(self, n, noise, seed):
        """States and noisy derivatives."""
        rng = np.random.default_rng(seed)
        X = rng.uniform(self.low, self.high, (n, self.d))
        F = self.field(X)
        return X, F + noise * F.std(axis=0) * rng.normal(size=F.shape)

    def trajectories(self, noise, seed):
        """Noisy states, times and trajectories, stacked."""
        rng = np.random.default_rng(seed)
        x, f, paths = rng.uniform(self.low, self.high, (self.n, self.d)), self.field, []
        for k in range(self.steps * self.every):
            if k % self.every == 0:
                paths.append(x)
            a = f(x)
            b = f(x + STEP / 2 * a)
            c = f(x + STEP / 2 * b)
            x = x + STEP / 6 * (a + 2 * b + 2 * c + f(x + STEP * c))
        X = np.stack(paths, axis=1)
        size = X if self.multiplicative else X.std(axis=(0, 1))
        return stack_trajectories(X + noise * size * rng.normal(size=X.shape), STEP * self.every)


def quartic(X):
    q, p = X[:, :3], X[:, 3:]
    return np.hstack([p, -q - np.sum(q**2, axis=1, keepdims=True) * q])


def wake(X, mu=0.1, omega=1.0, rate=1.0):
    x, y, z = X.T
    return np.column_stack(
        [mu * x - omega * y - x * z, omega * x + mu * y - y * z, -rate * (z - x**2 - y**2)]
    )


def laser(X, loss=1.0, decay=0.5, relaxation=0.25, pump=2.0):
    """E' = loss (P - E), P' = decay (E D - P), D' = relaxation (pump - D - Re(E* P))."""
    E, P, D = X[:, :2], X[:, 2:4], X[:, 4:]
    inversion = relaxation * (pump - D - np.sum(E * P, axis=1, keepdims=True))
    return np.hstack([loss * (P - E), decay * (E * D - P), inversion])


def damped(X):
    return X @ np.array([[-0.1, -1.0], [1.0, -0.1]]).T


def growth(X):
    return np.column_stack([0.1 * X[:, 1] ** 2 - 0.3 * X[:, 0], X[:, 1]])


def predator(X):
    return (X - 0.5 * np.prod(X, axis=1, keepdims=True)) * [1, -1]


def lorenz(X):
    x, y, z = X.T
    return np.column_stack([10 * (y - x), 28 * x - y - x * z, x * y - 8 / 3 * z])


SYSTEMS = {
    "quartic": System(quartic, 6, 3, so(3).repeat(2), -1, 1),
    "wake": System(wake, 3, 2, so(2).on_columns([0, 1], 3), -1, 1),
    "laser": System(laser, 5, 2, so(2).repeat(2).on_columns([0, 1, 2, 3], 5), -2, 2),
    "damped": System(damped, 2, 2, so(2), -2, 2, n=50, steps=100, every=100),
    "growth": System(growth, 2, 2, scaling([2, 1]), 0.2, 1, 100, 100, 10, multiplicative=True),
    "predator": System(predator, 2, 2, None, 0.5, 3),
    "lorenz": System(lorenz, 3, 2, None, -10, 10, every=5),
}
RUNS = {  # noise, and samples of the regression form; None: trajectories
    "quartic": [(noise, n) for n in (60, 200, 1000, None) for noise in (0.02, 0.05)],
    "wake": [(0.05, 200), (0.01, None), (0.05, None)],
    "laser": [(0.05, 200), (0.01, None), (0.05, None)],
    "damped": [(0.2, None)],
    "growth": [(0.05, None)],
    "predator": [(0.05, 200), (0.05, None)],
    "lorenz": [(0.05, 200), (0.01, None)],
}


def score(system, coef, seconds, symmetries=np.nan):
    right = np.array_equal(coef != 0, system.true != 0)
    error = np.linalg.norm(coef - system.true) / np.linalg.norm(system.true)
    return not right, error, seconds, symmetries


def ours(system, model, *data, **about):
    start = time.perf_counter()
    model.fit(*data, **about)
    seconds = time.perf_counter() - start
    model = getattr(model, "best_estimator_", model)
    coef = model.library_.monomial_coef(model.coef_)
    return score(system, coef, seconds, model.n_symmetries_)


def largest(results):
    """The largest threshold that loses to the best no more than a standard error, fold by fold."""
    scores = np.array([results[f"split{k}_test_score"] for k in range(5)])
    lost = scores[:, [scores.mean(axis=0).argmax()]] - scores
    return np.flatnonzero(lost.mean(axis=0) <= lost.std(axis=0, ddof=1) / np.sqrt(5))[-1]


def theirs(system, optimizer, Theta, Y):
    """The best of five thresholds for the truth, with the mean time of one fit."""
    runs = []
    for share in SHARES:
        model = optimizer(share * np.abs(system.true[system.true != 0]).min())
        start = time.perf_counter()
        model.fit(Theta, Y)
        runs.append(score(system, model.coef_, time.perf_counter() - start))
    best = min(runs)
    return *best[:2], np.mean([one[2] for one in runs]), best[3]


def bagging(threshold):
    return ps.EnsembleOptimizer(ps.STLSQ(threshold), bagging=True)


def sr3(constraints):
    """Constrained SR3: its l0 penalty of weight t^2 / 2 drops what is below t."""
    given = ("constraint_lhs", constraints), ("constraint_rhs", np.zeros(len(constraints)))
    fixed = dict(given, equality_constraints=True) if len(constraints) else {}
    return lambda threshold: ps.ConstrainedSR3(threshold**2 / 2, max_iter=100, **fixed)


def draw(system, noise, n, seed):
    """Results of every method for one draw of the data."""
    options = {"library": PolynomialLibrary(system.degree), "threshold": THRESHOLD}
    kinds = {"enforced": {"symmetry": system.algebra}, "promoted": {"candidates": gl(system.d)}}
    kinds, plain = {**kinds, "plain": {}}, system.algebra is None
    forms, trajectory = {"": SymmetryPromotingSINDy}, None
    if n is not None:
        X, Y = system.derivatives(n, noise, seed)
        data, about, folds = (X, Y), {}, KFold(5, shuffle=True, random_state=0)
    else:
        X, t, trajectory = system.trajectories(noise, seed)
        Y = differentiate(X, t, trajectory)
        data, about, folds = (X,), {"t": t, "trajectory": trajectory}, GroupKFold(5)
        forms[", weak"] = WeakSymmetryPromotingSINDy
    results = {
        kind + form: ours(system, estimator(**who, **options), *data, **about)
        for form, estimator in forms.items()
        for kind, who in kinds.items()
        if not (plain and kind == "enforced")
    }
    model = SymmetryPromotingSINDy(symmetry=system.algebra, **options)
    search = GridSearchCV(model, {"threshold": OTHERS}, cv=folds, refit=largest)
    name = "plain, CV" if plain else "enforced, CV"
    results[name] = ours(system, search, X, Y, groups=trajectory)
    np.random.seed(seed)  # noqa: NPY002, what pysindy draws its bags from
    sparse = {"STLSQ": ps.STLSQ, "bagging": bagging, "constrained SR3": sr3(system.constraints())}
    for name, optimizer in sparse.items():
        results[name] = theirs(system, optimizer, system.monomials(X), Y)
    return results


def table(name, seeds):
    system = SYSTEMS[name]
    for noise, n in RUNS[name]:
        form = f"{n} derivatives" if n else f"{system.n} trajectories of {system.steps} samples"
        print(f"{name}: {form}, noise {noise:.0%}, {seeds} draws")
        print(f"{'':18}{'right':>6}{'error':>9}{'worst':>9}{'symmetries':>11}{'seconds':>9}")
        runs = [draw(system, noise, n, seed) for seed in range(seeds)]
        for method in runs[0]:
            wrong, error, seconds, symmetries = np.transpose([one[method] for one in runs])
            found = f"{symmetries.mean():11.1f}" if np.isfinite(symmetries[0]) else " " * 11
            print(
                f"{method:18}{1 - wrong.mean():6.2f}{np.median(error):9.4f}{error.max():9.4f}"
                + f"{found}{seconds.mean():9.3f}",
                flush=True,
            )
        print()


def fastest(call, rows):
    return min(timeit.repeat(lambda: call(rows), number=1, repeat=30))


def table_predict():
    system = SYSTEMS["quartic"]
    X, Y = system.derivatives(10_000, 0.05, 0)
    mine = SymmetryPromotingSINDy(symmetry=system.algebra, library=PolynomialLibrary(3)).fit(X, Y)
    other = ps.SINDy(ps.STLSQ(0.1), feature_library=ps.PolynomialLibrary(3)).fit(X, 1.0, x_dot=Y)
    print("Quartic: microseconds, fastest of 30 (relative to the library of sksym alone)")
    print(f"{'rows':>7}{'library':>12}{'predict':>22}{'pysindy: library':>22}{'predict':>22}")
    for n in (1, 100, 10_000):
        times = [
            1e6 * fastest(call, X[:n])
            for model, library in ((mine, mine.library_), (other, other.feature_library))
            for call in (library.transform, model.predict)
        ]
        rest = "".join(f"{one:12.0f} ({one / times[0]:7.2f})" for one in times[1:])
        print(f"{n:7,}{times[0]:12.0f}{rest}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*SYSTEMS, "predict"]
    parser.add_argument("systems", nargs="*", help=f"of {', '.join(known)}")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in arguments.systems or known:
        if name not in known:
            parser.error(f"{name!r} is none of {', '.join(known)}")
        table_predict() if name == "predict" else table(name, arguments.seeds)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
