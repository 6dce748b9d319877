"""
=====================================================
Relativity from yes-or-no answers: muons that live on
=====================================================

Muons are made in cosmic rays, fly at different speeds close to that of light, and decay. A counter
at some distance, at some time, gives one bit of information: is the muon still there? Nothing else
is measured here, no mass and no momentum, and nothing is assumed of how a muon ages.

A muon's own clock decides. It shows the proper time ``s = sqrt(t^2 - x^2 - y^2)``, with t in units
of the mean life and x, y in light-times, so the chance to be alive is ``exp(-s)``: the same for all
events that a Lorentz boost carries into each other. Is that to be seen in bits?

The data are simulated.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sksym import SymmetryDiscoverer, gl
from sksym.libraries import PolynomialLibrary

ORBIT = "#1d4ed8"


def fly(n, rng):
    """Return events (t, x, y) of n muons at their counters, and their proper times."""
    s = rng.uniform(0.5, 2.0, n)
    rapidity = rng.uniform(0, 1.5, n)  # up to 91 % of the speed of light
    direction = rng.uniform(0, 2 * np.pi, n)
    distance = s * np.sinh(rapidity)
    t = s * np.cosh(rapidity)
    events = np.column_stack([t, distance * np.cos(direction), distance * np.sin(direction)])
    return events, s


def answer(age, rng):
    return np.where(rng.random(len(age)) < np.exp(-age), "alive", "decayed")


rng = np.random.default_rng(0)
X, s = fly(4000, rng)
y = answer(s, rng)
print(f"{len(X):,} counters: {np.mean(y == 'alive'):.0%} saw the muon alive")

# %%
# Candidates are all linear motions of space-time, gl(3): nine of them. Those under which the log
# odds of being alive do not change are two boosts, which mix space with time, and the rotation.
# Those log odds, -log(exp(s) - 1), are no polynomial, but quartic ones come near enough for so few
# labels; of many more they would show the difference.

library = PolynomialLibrary(4)
model = SymmetryDiscoverer(gl, library=library).fit(X, y)
print(f"found: {', '.join(model.algebra_.names)}")

# %%
# The boosts found carry one event into others, along a hyperbola. Muons of all speeds are on one
# curve against its parameter, the proper time; against the time of the laboratory they are not.


def survival(ax, value, label, exact):
    speed = np.hypot(X[:, 1], X[:, 2]) / X[:, 0]
    for low, high, shade in ((0, 0.4, 0.25), (0.4, 0.75, 0.55), (0.75, 1, 0.9)):
        chosen = (speed >= low) & (speed < high)
        edges = np.quantile(value[chosen], np.linspace(0, 1, 11))
        bins = np.digitize(value[chosen], edges[1:-1])
        centers = np.array([value[chosen][bins == k].mean() for k in range(10)])
        share = np.array([np.mean(y[chosen][bins == k] == "alive") for k in range(10)])
        error = np.sqrt(share * (1 - share) / np.bincount(bins))
        color = plt.cm.plasma(shade)
        name = f"{low:g} to {high:g} of the speed of light"
        ax.errorbar(centers, share, error, fmt="o", ms=4.5, color=color, label=name)
    if exact:
        grid = np.linspace(0.4, 2.1)
        ax.plot(grid, np.exp(-grid), color="0.3", lw=1, zorder=0, label=r"$e^{-s}$")
    ax.set(xlabel=label, ylabel="share of muons alive", ylim=(0, 0.75))
    ax.legend(frameon=False, fontsize=8)


figure = plt.figure(figsize=(12.5, 7.5), layout="constrained")
grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1))
space_time = figure.add_subplot(grid[:, 0])
t, x = np.meshgrid(np.linspace(0.02, 4.8, 300), np.linspace(-4.4, 4.4, 360))
proper = np.sqrt(np.maximum(t**2 - x**2, 0))
inside = (proper > 0.45) & (proper < 2.05) & (np.abs(x) < 0.91 * t)
events = np.column_stack([t[inside], x[inside], np.zeros(inside.sum())])
alive = np.full(t.shape, np.nan)
alive[inside] = model.predict_proba(events)[:, list(model.classes_).index("alive")]
levels = np.linspace(0, 0.7, 15)
filled = space_time.contourf(x, t, alive, levels, cmap="YlOrRd_r", alpha=0.85)
figure.colorbar(filled, ax=space_time, label="fitted chance to be alive", shrink=0.7)
# Some muons, their distance with the sign of x.
chosen = rng.choice(len(X), 500, replace=False)
signed = np.copysign(np.hypot(X[:, 1], X[:, 2]), X[:, 1])
for name, marker in (("alive", "o"), ("decayed", "x")):
    shown = chosen[y[chosen] == name]
    style = {"s": 18, "color": "k", "lw": 0.9, "alpha": 0.6, "marker": marker}
    space_time.scatter(signed[shown], X[shown, 0], label=name, **style)
boost = next(k for k, A in enumerate(model.algebra_.linear) if abs(A[0, 1]) > 0.5)
for start in (0.5, 0.875, 1.25, 1.625, 2.0):
    orbit = []
    for angle in np.linspace(-1.5, 1.5, 80):
        M, _ = model.algebra_.exp(angle * np.eye(model.n_symmetries_)[boost])
        orbit.append(M @ [start, 0, 0])
    orbit = np.array(orbit)
    space_time.plot(orbit[:, 1], orbit[:, 0], color=ORBIT, lw=1.8)
space_time.plot([], [], color=ORBIT, label="orbits of the boost found")
limits = {"xlim": (-4.4, 4.4), "ylim": (0, 4.8)}
space_time.set(title="Counters in space and time", **limits)
space_time.set(xlabel="distance (light-time, mean lives)", ylabel="t (mean lives)")
space_time.legend(frameon=False, fontsize=8, loc="lower left")
ours = figure.add_subplot(grid[0, 1])
survival(ours, X[:, 0], "time of the laboratory (mean lives)", exact=False)
ours.set_title("By our clock, fast muons live longer")
own = figure.add_subplot(grid[1, 1])
survival(own, s, "proper time, which the boosts leave unchanged (mean lives)", exact=True)
own.set_title("By their own, all age alike")
figure.savefig("plot_discover_labels.png", dpi=110)
print(f"picture saved as {Path('plot_discover_labels.png').resolve()}")
plt.show()
