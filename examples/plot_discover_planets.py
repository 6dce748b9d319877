"""
==========================================
Which symmetry do the planets' orbits show?
==========================================

The Sun's attraction has no preferred direction: its symmetry is so(3), all rotations. But the
planets move almost in one plane. Can anybody who knows nothing but their positions and
accelerations find that symmetry?

Not all of it. A rotation about the pole of the ecliptic carries orbits to where other planets were
seen. A rotation that tilts the plane carries them to where none ever was, and what the force is
there the data do not say. A method that declares all three rotations knows something else than
the data; one that declares the first, and says that the others are undecided, is honest.

The data are real: the ephemeris JPL DE421 (``pip install -e ".[examples]"``).
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sksym import RadialLibrary, SymmetryDiscoverer, SymmetryDisplay, so, vector
from sksym.datasets import load_planets

planets = load_planets(n_samples=200)
X, size = planets.data, np.linalg.norm(planets.target, axis=1)
noise = 0.05 * size[:, None] * np.random.default_rng(0).normal(size=X.shape) / np.sqrt(3)
height = np.abs(X[:, 2]) / np.linalg.norm(X, axis=1)
print(f"{len(X)} samples; orbits leave the ecliptic by {np.degrees(height.max()):.0f} degrees")

# %%
# Accelerations differ by a factor of a thousand between Mercury and Saturn, so every sample
# counts relative to its size; noise is 5 % of it. The library, |x|^-3 times all quadratic
# polynomials, can hold the inverse-square law, and many that prefer a direction.

library = RadialLibrary(powers=(-3,), degree=2)


def discover(X, Y):
    return SymmetryDiscoverer(so, output=vector, library=library).fit(X, Y, 1 / size**2)


def axis_of(algebra):
    """Direction that a rotation of space leaves alone, and its angle from the third axis."""
    A = algebra.linear[0]
    axis = np.array([A[2, 1], A[0, 2], A[1, 0]])
    axis *= np.sign(axis[2]) / np.linalg.norm(axis)
    return axis, np.degrees(np.arccos(axis[2]))


flat = discover(X, planets.target + noise)
axis, angle = axis_of(flat.algebra_)
print(f"real orbits: {flat.n_symmetries_} rotation found, its axis {angle:.1f} degrees from the")
print(f"pole of the ecliptic; the other {flat.undecided_} are undecided")

# %%
# Would it find the others if the data showed them? Let every planet's orbit be turned to a plane of
# its own, which the law of gravity allows.

turn = [np.linalg.qr(np.random.default_rng(k).normal(size=(3, 3)))[0] for k in range(6)]
turn = np.array(turn)[planets.planet]
tilted = np.einsum("nij,nj->ni", turn, X)
full = discover(tilted, np.einsum("nij,nj->ni", turn, planets.target + noise))
print(f"orbits in six planes: {full.n_symmetries_} rotations found, {full.algebra_name_}")

figure = plt.figure(figsize=(12.5, 7.2), layout="constrained")
colors = plt.cm.plasma(np.linspace(0.05, 0.85, 6))
for row, (points, model, title) in enumerate(
    [(X, flat, "as they are"), (tilted, full, "each turned to a plane of its own")]
):
    space = figure.add_subplot(2, 3, 3 * row + 1, projection="3d")
    radius = np.linalg.norm(points, axis=1)[:, None]
    shown = points * radius**-0.6  # Mercury and Saturn in one picture
    for planet, color in enumerate(colors):
        mine = planets.planet == planet
        space.plot(*shown[mine].T, color=color, label=planets.planet_names[planet])
    space.set(title=f"Orbits {title}", xlim=(-2, 2), ylim=(-2, 2), zlim=(-2, 2))
    space.set_axis_off()
    SymmetryDisplay.from_estimator(model, ax=figure.add_subplot(2, 3, 3 * row + 2))
    plane = figure.add_subplot(2, 3, 3 * row + 3)
    display = SymmetryDisplay.from_estimator(model, points)
    display.algebra, display.X = model.algebra_.combine(np.eye(model.n_symmetries_)[:1]), shown
    display.plot("fields", ax=plane)
    plane.set(aspect="equal", title=f"{model.n_symmetries_} found; the first, from the north")
figure.axes[0].legend(loc="upper left", bbox_to_anchor=(-0.25, 1), fontsize="small", frameon=False)
figure.suptitle("Five per cent noise, candidates: all rotations of space")
figure.savefig("plot_discover_planets.png", dpi=110)
print(f"picture saved as {Path('plot_discover_planets.png').resolve()}")
plt.show()
