"""
=============================================
Does the windowless laboratory turn, and how?
=============================================

You wake up in a laboratory without windows. On the table is a bead on a spring that is alike in all
directions. If the room stands still, no direction is preferred and the law of the bead has three
rotations as symmetries, so(3). If it turns, Coriolis and centrifugal forces, x'' = -x - |x|^2 x / 2
- 2 w * x' - w * (w * x) with vector products, leave one of them: the rotation about the axis of the
room, which nobody has told you. And the slower it turns, the harder this is to see.

You film forty flights of the bead, each less than one oscillation long, with 5 % noise. *Enforcing*
all three rotations is best if the room stands still, and wrong if it does not, and no amount of
data helps. Enforcing none wastes what is left. *Promoting* them lets the data choose: those are
kept that the flights do not contradict, and if one is, it is the answer to your question.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import solve_ivp

from sksym import WeakSymmetryPromotingSINDy, so
from sksym.dynamics import stack_trajectories
from sksym.libraries import PolynomialLibrary

AXIS = np.array([0.2, 0.55, 0.81]) / np.linalg.norm([0.2, 0.55, 0.81])  # the secret


def slopes(states, turning):
    """Time derivatives (n, 6); the room turns so often in one small oscillation of the bead."""
    x, v = states[:, :3], states[:, 3:]
    w = turning * AXIS
    spring = -x - 0.5 * (x**2).sum(axis=1, keepdims=True) * x
    return np.hstack([v, spring - 2 * np.cross(w, v) - np.cross(w, np.cross(w, x))])


def film(turning, seed, n_flights=40, noise=0.05):
    """Rows of noisy states, their times and flights."""
    rng = np.random.default_rng(seed)
    t, start = np.arange(0, 5, 0.05), 0.9 * rng.normal(size=(n_flights, 6))
    flights = solve_ivp(
        lambda t, y: slopes(y.reshape(-1, 6), turning).ravel(),
        (t[0], t[-1]),
        start.ravel(),
        t_eval=t,
        rtol=1e-8,
        atol=1e-8,
    ).y.reshape(n_flights, 6, -1)
    X, t, flight = stack_trajectories(list(flights.transpose(0, 2, 1)), t[1])
    return X + noise * X.std(axis=0) * rng.normal(size=X.shape), {"t": t, "trajectory": flight}


# %%
# Positions and velocities turn alike, so rotations act on pairs of points. The models have all else
# in common: the cubic polynomials of the six states, and a threshold low enough for Coriolis forces
# in a room that turns slowly.

rotations = so(3).repeat(2)
options = {"library": PolynomialLibrary(3), "threshold": 0.02}
models = {
    "no symmetry": WeakSymmetryPromotingSINDy(**options),
    "so(3) enforced": WeakSymmetryPromotingSINDy(symmetry=rotations, **options),
    "so(3) promoted": WeakSymmetryPromotingSINDy(rotations, **options),
}
states = 0.9 * np.random.default_rng(1).normal(size=(2000, 6))


def error(model, turning):
    truth = slopes(states, turning)
    return 100 * np.linalg.norm(model.predict(states) - truth) / np.linalg.norm(truth)


def axis_kept(algebra):
    """Direction of the only rotation that was kept, NaN where there are others."""
    A = algebra.linear[0] if algebra.dim == 1 else np.full((6, 6), np.nan)
    axis = np.array([A[2, 1], A[0, 2], A[1, 0]])
    return axis * np.sign(axis[2]) / np.linalg.norm(axis)


# %%
# Four speeds of the room, two sets of flights for each. A turn in a hundred oscillations is at the
# limit of what such flights can show: all three rotations may pass, or an axis that is far off.

speeds, seeds = [0, 0.01, 0.03, 0.1], range(2)
errors = {name: np.zeros((len(speeds), len(seeds))) for name in models}
kept, axes = np.zeros((len(speeds), len(seeds)), int), np.zeros((len(speeds), len(seeds), 3))
for i, turning in enumerate(speeds):
    for seed in seeds:
        X, flights = film(turning, seed)
        for name, model in models.items():
            errors[name][i, seed] = error(model.fit(X, **flights), turning)
        algebra = models["so(3) promoted"].algebra_
        kept[i, seed], axes[i, seed] = algebra.dim, axis_kept(algebra)
angles = np.degrees(np.arccos(np.clip(axes @ AXIS, -1, 1)))

print(f"{'turns of the room in one oscillation':38}" + "".join(f"{one:>12g}" for one in speeds))
for name, table in errors.items():
    cells = "".join(f"{first:6.2f},{second:5.2f}" for first, second in table)
    print(f"{f'error of the law in %, {name}':38}" + cells)
print(f"{'rotations kept':38}" + "".join(f"{first:6},{second:5}" for first, second in kept))
cells = "".join(f"{first:6.1f},{second:5.1f}" for first, second in angles)
print(f"{'axis kept, degrees from the true one':38}{cells}")

figure = plt.figure(figsize=(12, 5.2), layout="constrained")
law, ceiling = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection="polar")
place = np.arange(len(speeds))
styles = [("0.45", "s"), ("tab:blue", "^"), ("tab:red", "o")]
for (name, table), (color, marker) in zip(errors.items(), styles, strict=True):
    law.plot(place, table.mean(axis=1), "-", color=color)
    law.plot(place, table[:, 0], marker, color=color, label=name)
    law.plot(place, table[:, 1], marker, color=color)
for i, counts in enumerate(kept):
    law.text(i, 0.035, " or ".join(map(str, np.unique(counts))), color="tab:red", ha="center")
law.text(0.02, 0.085, "rotations kept:", color="tab:red", transform=law.transAxes)
law.set(title="Error of the law", ylabel="per cent", yscale="log", ylim=(0.028, 12))
law.set_xlabel("turns of the laboratory in one oscillation of the bead")
law.set_xticks(place, speeds)
law.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
law.legend(frameon=False, loc="upper left")
law.spines[["top", "right"]].set_visible(False)


def on_ceiling(axis):
    """Azimuth in radians and angle to the vertical in degrees."""
    return np.arctan2(axis[..., 1], axis[..., 0]), np.degrees(np.arccos(axis[..., 2]))


styles = [("tab:orange", 13), ("tab:cyan", 10), ("tab:red", 7)]
for turning, found, (color, size) in zip(speeds[1:], axes[1:], styles, strict=True):
    label = f"{turning:g} turns"
    ceiling.plot(*on_ceiling(found), "o", color=color, ms=size, mec="w", label=label)
ceiling.plot(*on_ceiling(AXIS), "k+", ms=16, mew=1.2, label="true axis")
ceiling.set_title("Where the axis that was kept meets the ceiling\n(angle to the vertical)")
ceiling.set_ylim(0, 60)
ceiling.set_yticks([20, 40, 60], ["20°", "40°", "60°"], color="0.45")
ceiling.set_xticks([])
ceiling.set_rlabel_position(-60)
ceiling.legend(frameon=False, loc="upper left", bbox_to_anchor=(-0.25, 1))
figure.savefig("plot_sindy_broken.png", dpi=110)
print(f"picture saved as {Path('plot_sindy_broken.png').resolve()}")
plt.show()
