"""
=====================================
Does the Earth wobble the same way in
every direction?
=====================================

The Earth's axis of rotation does not stay put: its pole wanders around a circle of some ten metres.
Part of that is forced once a year by moving air and water. The rest is free, Chandler's wobble of
433 days, and a question about the planet: is it as easy to tilt towards Greenwich as towards Asia?
If so the law of the free motion, velocity as a function of position, has the symmetry so(2).

The data are real: 64 years of daily measurements (``pip install -e ".[examples]"``). No equation
is put in; the discoverer looks among all linear motions of the plane for those that leave the
law unchanged.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import savgol_filter

from sksym import PolynomialLibrary, SymmetryDiscoverer, SymmetryDisplay, gl, sl, so, vector
from sksym.datasets import load_polar_motion

motion = load_polar_motion()
years = (motion.time - motion.time[0]) / 365.25
print(f"{len(years):,} days, pole within {np.ptp(motion.data, axis=0).max() * 0.031:.0f} m")

# %%
# What is forced does not follow from where the pole is. The slow drift of the mean pole and
# the yearly ellipse are fitted and taken away. Velocities come from cubics over 91 days, and one
# sample is kept of every 60 days: neighbouring days tell nothing new.

slow = np.polynomial.legendre.legvander(2 * years / years[-1] - 1, 6)
season = np.column_stack([np.cos(2 * np.pi * years), np.sin(2 * np.pi * years)])
forced = np.hstack([slow, season])
free = motion.data - forced @ np.linalg.lstsq(forced, motion.data, rcond=None)[0]
X = savgol_filter(free, 91, 3, axis=0)[::60]
velocity = savgol_filter(free, 91, 3, deriv=1, delta=1 / 365.25, axis=0)[::60]

# %%
# Among all linear motions two leave the law unchanged: the wobble looks the same in every
# direction, and, as a linear oscillator does, at every size. Both are rounded to exact numbers,
# which the data allow: the cubic library has room for laws without either.

library = PolynomialLibrary(3)
model = SymmetryDiscoverer(gl, output=vector, library=library).fit(X, velocity)
print(f"found among gl(2): {', '.join(model.algebra_.names)}")

# %%
# How sure is that? Among the motions that keep areas, sl(2), only one remains. Before it is rounded
# it is measured, with its error, and may be compared with a rotation.

measured = SymmetryDiscoverer(sl, output=vector, library=library, snap=False).fit(X, velocity)
generator, rotation = measured.algebra_.linear[0], so(2).linear[0]
cosine = np.sum(generator * rotation) / np.linalg.norm(generator) / np.linalg.norm(rotation)
angle = np.degrees(np.arccos(min(abs(cosine), 1.0)))
error = np.degrees(np.linalg.norm(measured.standard_errors_[0]) / np.linalg.norm(generator))
print(f"found among sl(2): a rotation within {angle:.1f} degrees, standard error {error:.1f}")
stretch = np.sqrt(-generator[0, 1] / generator[1, 0])
print(f"its circles are ellipses with axes in the ratio {stretch:.3f}")

figure = plt.figure(figsize=(12.5, 4.4), layout="constrained")
axes = figure.subplots(1, 3)
days = slice(None, None, 3)
paths = axes[0].scatter(*motion.data[days].T, c=1962 + years[days], s=1, cmap="viridis")
figure.colorbar(paths, ax=axes[0], label="year")
axes[0].set(
    title="The pole, as measured",
    xlabel="towards Greenwich (ms of arc)",
    ylabel="towards 90° east",
    aspect="equal",
)
axes[1].plot(*free[days].T, color="0.8", lw=0.5, zorder=0)
axes[1].quiver(*X.T, *velocity.T, np.hypot(*velocity.T), cmap="magma", angles="xy", width=0.004)
axes[1].set(title=f"Free wobble: so(2) within {angle:.1f} ± {error:.1f} degrees", aspect="equal")
SymmetryDisplay.from_estimator(model, ax=axes[2])
axes[2].set_title("All linear motions: two keep its law")
figure.savefig("plot_discover_polar_motion.png", dpi=110)
print(f"picture saved as {Path('plot_discover_polar_motion.png').resolve()}")
plt.show()
