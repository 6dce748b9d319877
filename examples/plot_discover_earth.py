"""
============================================
Is the Earth's magnetic field that of a bar?
============================================

From afar the Earth is a bar magnet, tilted against the axis of rotation: its field has the symmetry
so(2) about the axis of the dipole. Nearby it has none, for the flow in the core that makes the
field is not that regular. A symmetry can be neither exact nor absent, and then the question is how
strongly it is broken, about which axis, and what that depends on.

The data are 450 vectors at 3 to 5.8 Earth radii, from the International Geomagnetic Reference Field
(``pip install -e ".[examples]"``), the standard of navigation. It describes the core alone, without
the currents in space that add to the field out there.
"""

from datetime import datetime
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sksym import PolynomialLibrary, SymmetricRidge, SymmetryDiscoverer, so, vector

try:
    from ppigrf import igrf_gc
except ImportError as error:
    raise ImportError('The field needs the package ppigrf: pip install -e ".[examples]"') from error

DAY = datetime(2025, 1, 1)
RADIUS = 6371.2  # km


def field(directions, radii):
    """The field in nT in Cartesian components, z along the axis of rotation, x to Greenwich."""
    x, y, z = directions.T
    colatitude = np.arccos(z)
    longitude = np.arctan2(y, x)
    components = igrf_gc(radii * RADIUS, np.degrees(colatitude), np.degrees(longitude), DAY)
    up, south, east = (np.ravel(component) for component in components)
    sine = np.hypot(x, y)
    to_south = np.column_stack([z * x / sine, z * y / sine, -sine])
    to_east = np.column_stack([-y, x, 0 * x]) / sine[:, None]
    return up[:, None] * directions + south[:, None] * to_south + east[:, None] * to_east


def random_directions(n, rng):
    directions = rng.normal(size=(n, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def axis_of(rotation):
    """The axis of a generator of rotations, northwards."""
    axis = np.array([rotation[2, 1], rotation[0, 2], rotation[1, 0]])
    return axis * np.sign(axis[2]) / np.linalg.norm(axis)


def place_of(direction):
    latitude = np.degrees(np.arcsin(direction[2]))
    longitude = np.degrees(np.arctan2(direction[1], direction[0]))
    side = "E" if longitude > 0 else "W"
    return f"{latitude:.1f}° N, {abs(longitude):.1f}° {side}"


rng = np.random.default_rng(0)
directions = random_directions(450, rng)
radii = rng.uniform(3, 5.8, 450)
B = field(directions, radii)

# %%
# A dipole decays as the third power of the distance. Multiplied by that, the field is a function of
# direction alone, but for what decays faster. Candidates are all rotations, of positions and of
# the field together.

library = PolynomialLibrary(4)
model = SymmetryDiscoverer(so, output=vector, library=library)
model.fit(directions, B * radii[:, None] ** 3)
print(model.report_)
print(f"declared: {model.algebra_name_}; singular values {np.round(model.singular_values_, 3)}")

# %%
# Nothing is declared, and rightly so: along one rotation the field changes ten times as much as the
# error of the fit would make it. But that change is small: it is a near symmetry. Its axis can be
# compared with the dipole's, along minus the coefficients (g11, h11, g10) of the reference field.

(near,) = model.near_algebra_.linear
axis = axis_of(near)
dipole = np.array([1410.3, -4545.5, 29350.0])  # nT, IGRF-14 in 2025
dipole /= np.linalg.norm(dipole)
angle = np.degrees(np.arccos(axis @ dipole))
print(f"axis of the near symmetry: {place_of(axis)}; of the dipole: {place_of(dipole)}")
print(f"{angle:.2f} degrees between them")

# %%
# How strongly it is broken depends on the distance, and whether that is called near or broken
# depends on what one allows: `max_defect`, by default 0.1. At the surface it is broken.

shells = np.array([1.0, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8])
wide = PolynomialLibrary(7)
spectra = []
for radius in shells:
    points = random_directions(2000, rng)
    on_shell = SymmetryDiscoverer(so, output=vector, library=wide)
    spectra.append(on_shell.fit(points, field(points, radius)).singular_values_)
    verdict = on_shell.report_[0].verdict
    print(f"{radius:4.2f} radii: defect {spectra[-1][-1]:.3f}, {verdict}")
spectra = np.array(spectra)

# %%
# The broken part: the field less the nearest one with the symmetry, at three radii.


def broken_part(points, radius):
    """Per cent of the field at points of the unit sphere, taken to some radius."""
    sample = random_directions(3000, rng)
    symmetric = SymmetricRidge(model.near_algebra_, output=vector, library=wide, alpha=0.0)
    symmetric.fit(sample, field(sample, radius))
    B = field(points, radius)
    rest = B - symmetric.predict(points)
    return 100 * np.linalg.norm(rest, axis=1) / np.linalg.norm(B, axis=1)


# A view of the globe from above 38° N, 40° W: rows point to the right, upwards and to the eye.
north, west = np.radians([38, 40])
toward = np.array([np.cos(north) * np.cos(west), -np.cos(north) * np.sin(west), np.sin(north)])
right = np.cross([0, 0, 1], toward)
right /= np.linalg.norm(right)
view = np.stack([right, np.cross(toward, right), toward])

figure, (globe, curve) = plt.subplots(1, 2, figsize=(12, 5.6), layout="constrained")
u, v = np.meshgrid(*2 * [np.linspace(-1, 1, 161)])
is_on_globe = u**2 + v**2 < 1
pixels = np.stack([u, v, np.sqrt(np.maximum(1 - u**2 - v**2, 0))], axis=2)[is_on_globe]
colours = np.full(u.shape, np.nan)
colours[is_on_globe] = broken_part(pixels @ view, 3.0)
image = globe.pcolormesh(u, v, colours, cmap="YlOrRd", shading="gouraud", vmin=0)
figure.colorbar(image, ax=globe, label="broken part, % of the field at 3 radii", shrink=0.8)
turn = np.linspace(0, 2 * np.pi, 181)
circles = []
for latitude in np.radians(np.arange(-60, 90, 30)):
    ring = [np.cos(latitude) * np.cos(turn), np.cos(latitude) * np.sin(turn)]
    circles.append(np.stack([*ring, np.full_like(turn, np.sin(latitude))]))
for longitude in np.radians(np.arange(0, 180, 30)):
    meridian = [np.cos(longitude) * np.cos(turn), np.sin(longitude) * np.cos(turn)]
    circles.append(np.stack([*meridian, np.sin(turn)]))
for circle in circles:
    across, upward, depth = view @ circle
    across[depth < 0] = np.nan
    globe.plot(across, upward, color="0.4", lw=0.5, alpha=0.6)
globe.plot(np.cos(turn), np.sin(turn), color="0.2", lw=2)
axes_shown = {
    "rotation": ([0, 0, 1], "0.2", "-"),
    "dipole": (dipole, "tab:blue", "-"),
    "near symmetry": (axis, "k", ":"),
}
for name, (direction, colour, style) in axes_shown.items():
    across, upward, _ = np.outer(view @ direction, [1.0, 1.45])
    globe.plot(across, upward, color=colour, ls=style, lw=3, label=f"axis of the {name}")
    globe.plot(across[0], upward[0], "o", color=colour, ms=5)
globe.set(aspect="equal", xlim=(-1.05, 1.05), ylim=(-1.05, 1.35))
globe.set_title(f"Seen from above 38° N, 40° W; axes {angle:.2f}° apart")
globe.axis("off")
globe.legend(loc="upper center", bbox_to_anchor=(0.5, 0.02), ncol=3, fontsize=9)

curve.loglog(shells, spectra[:, -1], "o-", color="tab:red", label="about the dipole's axis")
curve.loglog(shells, spectra[:, :2], "s-", color="0.6", ms=4, label=["about others", None])
curve.axhline(0.1, color="k", ls="--", lw=1)
curve.text(8, 0.105, "near symmetries: below 0.1", ha="right", va="bottom")
curve.set(xlabel="distance from the centre (Earth radii)", ylabel="defect of a rotation")
curve.set(title="How strongly the symmetry is broken", xticks=[1, 2, 4, 8])
curve.set_xticklabels(["1", "2", "4", "8"])
curve.minorticks_off()
curve.set_ylim(0.01, 1.5)
curve.legend(loc="lower left")
figure.savefig("plot_discover_earth.png", dpi=110)
print(f"picture saved as {Path('plot_discover_earth.png').resolve()}")
plt.show()
