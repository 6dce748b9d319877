"""
===================================================
How many runs does a simulator with ten knobs need?
===================================================

Every run of a computer experiment takes hours, but its answer is exact. The answer depends on m
parameters, and somebody suspects that only one combination of them matters. Which one it is, and
how the answer depends on it, nobody knows.

Least squares takes a run for every coefficient of the library: 286 for all cubic polynomials of ten
parameters. But a function of one combination does not change along the m - 1 directions across it:
those translations are its symmetries. So let all translations be candidates and keep those that
the runs do not contradict. With ``alpha=0`` the regressor takes, of all functions through the
samples, the one of least nuclear norm. That is the convex penalty of Otto, Zolman, Kutz and Brunton
(JMLR 2025), and by itself it saves most of the runs. By default the regressor then reweights the
penalty a few times, decides which candidates stay, and refits with those enforced.

No method can do with fewer runs than there are unknowns: m - 1 for the direction, 4 for the cubic.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import null_space
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from sksym import SymmetryPromotingRegressor
from sksym.groups import translations
from sksym.libraries import PolynomialLibrary


def simulator(X, seed):
    """A cubic function of one random combination of all parameters, and that combination."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=X.shape[1])
    direction /= np.linalg.norm(direction)
    return np.polynomial.polynomial.polyval(X @ direction, rng.uniform(-1, 1, size=4)), direction


# %%
# Three models of one library. Parameters lie between -1 and 1, and the library is told so: nuclear
# norms are integrals over that cube. Least squares takes the smallest coefficients where there are
# too few runs to determine them.

library = PolynomialLibrary(3, center=0.0, scale=1.0, domain=(-1.0, 1.0))
promoted = {"candidates": translations, "library": library, "alpha": 0.0}
models = {
    "least squares": make_pipeline(library, LinearRegression(fit_intercept=False)),
    "convex penalty alone": SymmetryPromotingRegressor(**promoted, adaptive=False, refit=False),
    "promotion (default)": SymmetryPromotingRegressor(**promoted),
}

# %%
# A function counts as recovered when its error on 500 runs that nobody fitted is below 0.1 % of
# their spread. Bisection finds how many runs that takes.


def runs_needed(model, X, y, X_test, y_test):
    def recovered(n):
        error = model.fit(X[:n], y[:n]).predict(X_test) - y_test
        return np.sqrt(np.mean(error**2)) < 1e-3 * y_test.std()

    low, high = 1, len(X)
    while high - low > 1:
        n = (low + high) // 2
        low, high = (low, n) if recovered(n) else (n, high)
    return high


dimensions, seeds = [3, 6, 10], range(3)
needed = {name: np.zeros((len(dimensions), len(seeds))) for name in models}
for i, m in enumerate(dimensions):
    n_library = library.fit(np.zeros((1, m))).n_output_features_
    for seed in seeds:
        X = np.random.default_rng(100 + seed).uniform(-1, 1, size=(n_library + 501, m))
        y, _ = simulator(X, seed)
        for name, model in models.items():
            needed[name][i, seed] = runs_needed(model, X[:-500], y[:-500], X[-500:], y[-500:])
limit = np.array(dimensions) + 3

print("runs needed, medians of three simulators")
print(f"{'parameters':24}" + "".join(f"{m:6}" for m in dimensions))
for name, runs in needed.items():
    print(f"{name:24}" + "".join(f"{n:6.0f}" for n in np.median(runs, axis=1)))
print(f"{'unknowns':24}" + "".join(f"{n:6}" for n in limit))

# %%
# The symmetries that were kept also say which combination it is: the direction across them. Whether
# the runs were enough a few more tell, held back from the fit: with too few, promotion is as wrong
# as any other guess.

X = np.random.default_rng(0).uniform(-1, 1, size=(70, 10))
y, direction = simulator(X, seed=0)
model = models["promotion (default)"].fit(X[:60], y[:60])
error = np.abs(model.predict(X[60:]) - y[60:]).max() / y.std()
(found,) = null_space(model.algebra_.offset).T
found *= np.sign(found @ direction)
sine = np.linalg.norm(found - (found @ direction) * direction)
angle = np.degrees(np.arcsin(sine))
print(f"\n60 runs, 10 parameters: {model.n_symmetries_} translations kept")
print(
    f"the combination that matters is off by {angle:.0e}°, ten more runs by {error:.0e} of y.std()"
)
X, y = X[:60], y[:60]

figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), width_ratios=(1.5, 1, 1), layout="constrained")
counts, single, combined = axes
styles = [("0.45", "s"), ("tab:blue", "^"), ("tab:red", "o")]
for (name, runs), (color, marker) in zip(needed.items(), styles, strict=True):
    counts.plot(dimensions, np.median(runs, axis=1), marker, ls="-", color=color, label=name)
    counts.plot(dimensions, runs, marker, ls="", color=color, ms=4, alpha=0.35)
counts.plot(dimensions, limit, "k--", lw=1, label="unknowns: the limit of any method")
counts.set(title="Runs until the simulator is known", xlabel="parameters", yscale="log")
counts.set_ylim(4, 900)
counts.set(ylabel="exact runs needed", xticks=dimensions)
ticks = [5, 10, 20, 50, 100, 200]
counts.set_yticks(ticks, ticks)
counts.minorticks_off()
counts.legend(frameon=False, loc="upper left")
best = np.abs(direction).argmax()
single.plot(X[:, best], y, "o", color="0.45", ms=5)
single.set(title="60 runs, by the parameter\nthat matters most", xlabel=f"parameter {best}")
line = np.linspace(*np.array([-1.05, 1.05]) * np.abs(X @ found).max(), 200)
combined.plot(line, model.predict(np.outer(line, found)), color="tab:red", lw=1.5, label="fitted")
combined.plot(X @ found, y, "o", color="0.45", ms=5, label="runs")
combined.set(title="The same runs, by the\ncombination found", xlabel="combination of all ten")
combined.legend(frameon=False)
single.set_ylabel("answer")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig("plot_promote.png", dpi=110)
print(f"picture saved as {Path('plot_promote.png').resolve()}")
plt.show()
