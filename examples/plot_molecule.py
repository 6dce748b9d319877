"""
===================================
Salt from a handful of calculations
===================================

One quantum calculation of a cluster of atoms takes minutes to hours, and molecular dynamics needs
millions of them. So the energy is learned from a few. What has to be learned is far less than a
function of all coordinates: the energy does not change when the cluster is moved, rotated or
reflected, or when two atoms of one element change places, and much of it is a sum over pairs.

``PairLibrary`` holds exactly those functions, and ``SymmetricPotential`` fits one of them to the
energies and to the forces together. Every calculation gives one energy but three forces for each
atom, and the derivative of the library is exact, so that all of these are rows of one least
squares. Nothing is said about charges, shells or the inverse square of a distance: the functions
are splines, one set for each two elements.

The cluster is a cube of four sodium and four chlorine atoms. In place of the quantum calculation
there is the potential of Fumi and Tosi (1964) for salt, which the model is to find.
"""

from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from sksym import SymmetricPotential
from sksym.libraries import PairLibrary

# %%
# The calculation, in electron volts and angstrom: Coulomb's law, a repulsion of closed shells and
# van der Waals attraction.

CUBE = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)])
ELEMENTS = np.where(CUBE.sum(axis=1) % 2 == 0, "Na", "Cl")
CHARGE = {"Na": 1.0, "Cl": -1.0}
REPULSION = {"Na-Na": 424.1, "Na-Cl": 1256.3, "Cl-Cl": 3489.0}
ATTRACTION = {"Na-Na": 1.05, "Na-Cl": 6.99, "Cl-Cl": 72.4}
COULOMB, SHELL = 14.40, 0.317


def kind(i, j):
    return "-".join(sorted([ELEMENTS[i], ELEMENTS[j]], reverse=True))


def pair_energy(r, name):
    """The energy of two atoms at a distance, and its derivative."""
    a, b = name.split("-")
    coulomb = COULOMB * CHARGE[a] * CHARGE[b] / r
    shells = REPULSION[name] * np.exp(-r / SHELL)
    attraction = -ATTRACTION[name] / r**6
    energy = coulomb + shells + attraction
    return energy, -coulomb / r - shells / SHELL - 6 * attraction / r


def calculate(X):
    """Energies (n,) and forces (n, 24) of clusters."""
    points = X.reshape(len(X), 8, 3)
    energy, forces = np.zeros(len(X)), np.zeros(points.shape)
    for i, j in combinations(range(8), 2):
        difference = points[:, i] - points[:, j]
        r = np.linalg.norm(difference, axis=1)
        value, slope = pair_energy(r, kind(i, j))
        energy += value
        forces[:, i] -= (slope / r)[:, None] * difference
        forces[:, j] += (slope / r)[:, None] * difference
    return energy, forces.reshape(len(X), 24)


def hot_clusters(n, rng):
    """Cubes of various size with displaced atoms."""
    size = rng.uniform(2.4, 3.3, size=(n, 1, 1))
    return (size * CUBE + 0.25 * rng.normal(size=(n, 8, 3))).reshape(n, 24)


rng = np.random.default_rng(0)
X, X_test = hot_clusters(80, rng), hot_clusters(500, rng)
(y, forces), (y_test, forces_test) = calculate(X), calculate(X_test)

# %%
# The model. Splines that no distance reaches are determined by a small penalty only.

library = PairLibrary(8, 3, 14, labels=ELEMENTS)
model = SymmetricPotential(library=library, alpha=1e-6)

# %%
# How many calculations are needed? Two others for comparison, both with their penalties chosen by
# cross-validation: the same functions without forces, of which 42 coefficients need more than 42
# energies, and a kernel method on the coordinates that knows nothing of the symmetry.

kernel = TransformedTargetRegressor(
    GridSearchCV(
        KernelRidge(kernel="rbf"),
        {"gamma": np.logspace(-4, 0, 5), "alpha": np.logspace(-8, 0, 5)},
        scoring="neg_mean_squared_error",
    ),
    transformer=StandardScaler(),
)
tuned = GridSearchCV(model, {"alpha": np.logspace(-8, 1, 10)}, scoring="neg_mean_squared_error")
sizes = [5, 10, 20, 40, 80]
errors = {"coordinates, no symmetry": [], "pairs, energies": [], "pairs, energies and forces": []}
for n in sizes:
    fits = [kernel.fit(X[:n], y[:n]), tuned.fit(X[:n], y[:n])]
    fits.append(clone(model).fit(X[:n], y[:n], forces=forces[:n]))
    for values, fit in zip(errors.values(), fits, strict=True):
        values.append(np.sqrt(np.mean((fit.predict(X_test) - y_test) ** 2)))
print("error of the energy in eV; their spread is", y_test.std().round(2))
for name, values in errors.items():
    print(f"{name:26}", *(f"{value:9.4f}" for value in values))

# %%
# Molecular dynamics for half a picosecond with the forces learned from twenty calculations, and
# with the true ones. The learned forces are the derivative of an energy, which is conserved.

model.fit(X[:20], y[:20], forces=forces[:20])
MASS = np.repeat(np.where(ELEMENTS == "Na", 22.99, 35.45), 3) * 103.64  # eV fs^2 / angstrom^2


def trajectory(force, steps=500, dt=1.0):
    """Verlet's method, in femtoseconds."""
    x, v = (2.62 * CUBE).ravel(), np.random.default_rng(3).normal(size=24) * 0.3 / np.sqrt(MASS)
    path = []
    for _ in range(steps):
        v = v + dt / 2 * force(x) / MASS
        x = x + dt * v
        v = v + dt / 2 * force(x) / MASS
        path.append(np.concatenate([x, v]))
    return np.array(path)


true_path = trajectory(lambda x: calculate(x[None])[1][0])
learned_path = trajectory(lambda x: model.predict_forces(x[None])[0])
positions, velocities = learned_path[:, :24], learned_path[:, 24:]
total = model.predict(positions) + (MASS * velocities**2).sum(axis=1) / 2
print(f"energy of the learned motion: {total.mean():.4f} eV, varies by {np.ptp(total):.4f} eV")

# %%
figure, (ax_pair, ax_error, ax_motion) = plt.subplots(1, 3, figsize=(13, 4.1))
start = 0
for color, pair_set in zip(["C0", "C3", "C2"], model.library_.sets_, strict=True):
    functions = pair_set.functions
    r = np.linspace(functions.knots[0], functions.knots[-1], 200)
    coef = model.coef_[start : start + len(functions.knots)]
    start += len(functions.knots)
    ax_pair.plot(r, pair_energy(r, pair_set.name)[1] * -1, color="0.75", lw=5)
    ax_pair.plot(r, -functions.slopes(r) @ coef, color=color, label=pair_set.name)
ax_pair.axhline(0, color="k", lw=0.6)
ax_pair.set(
    title="force between two atoms (n = 20)",
    xlabel="distance in Å",
    ylabel="repulsion in eV/Å (grey: truth)",
    ylim=(-3, 4),
)
ax_pair.legend(frameon=False)
for (name, values), style, color in zip(
    errors.items(), ["^--", "s-", "o-"], ["0.5", "C1", "C3"], strict=True
):
    ax_error.loglog(sizes, values, style, color=color, label=name)
ax_error.axhline(y_test.std(), color="k", lw=0.8, ls=":")
ax_error.text(sizes[0], 1.1 * y_test.std(), "spread of the energies", va="bottom", fontsize=9)
ax_error.set(title="error of the energy", xlabel="calculations", ylabel="eV")
ax_error.set_xticks(sizes, labels=map(str, sizes))
ax_error.minorticks_off()
ax_error.legend(frameon=False)
for path, style in [(true_path, {"color": "0.75", "lw": 5}), (learned_path, {"color": "C3"})]:
    edge = np.linalg.norm(path[:, :3] - path[:, 3:6], axis=1)
    ax_motion.plot(np.arange(len(edge)), edge, **style)
ax_motion.set(
    title="one edge of the cube in motion",
    xlabel="femtoseconds",
    ylabel="distance Na-Cl in Å (grey: truth)",
)
for ax in (ax_pair, ax_error, ax_motion):
    ax.spines[["top", "right"]].set_visible(False)
figure.tight_layout()
figure.savefig("plot_molecule.png", dpi=110)
print(f"picture saved as {Path('plot_molecule.png').resolve()}")
plt.show()
