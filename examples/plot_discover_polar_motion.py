"""
================================================
Does the Earth wobble alike in every direction?
================================================

The Earth's axis of rotation does not stay put: its pole wanders around a circle of some ten metres.
Part of that is forced once a year by moving air and water. The rest is free, Chandler's wobble of
433 days, and a question about the planet: is it as easy to tilt towards Greenwich as towards Asia?
If so the law of the free motion, velocity as a function of position, has the symmetry so(2).

Every linear law is left unchanged by two linear motions, a change of size and its own flow. That
flow may follow ellipses of any shape and direction: whether they are circles the data must tell.

The data are real: 64 years of daily measurements (``pip install -e ".[examples]"``).
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import savgol_filter

from sksym import SymmetryDiscoverer, SymmetryDisplay, gl, vector
from sksym.datasets import load_polar_motion
from sksym.groups import sl
from sksym.libraries import PolynomialLibrary

motion = load_polar_motion()
years = (motion.time - motion.time[0]) / 365.25
print(f"{len(years):,} days, pole within {np.ptp(motion.data, axis=0).max() * 0.031:.0f} m")

# %%
# What is forced does not follow from where the pole is. The slow drift of the mean pole and the
# yearly ellipse are fitted and taken away; left in, that ellipse would be part of the answer.
# Velocities come from cubics over 91 days. Both coordinates are treated alike, so that no direction
# is preferred. One sample is kept of every 60 days: errors of nearer ones are correlated, and
# standard errors, which suppose that they are not, would come out too small.

slow = np.polynomial.legendre.legvander(2 * years / years[-1] - 1, 6)
season = np.column_stack([np.cos(2 * np.pi * years), np.sin(2 * np.pi * years)])
forced = np.hstack([slow, season])
free = motion.data - forced @ np.linalg.lstsq(forced, motion.data, rcond=None)[0]
X = savgol_filter(free, 91, 3, axis=0)[::60]
velocity = savgol_filter(free, 91, 3, deriv=1, delta=1 / 365.25, axis=0)[::60]

# %%
# The cubic library has room for laws without any symmetry. The two motions found are rounded to
# simple numbers as far as the errors allow: a change of size, and a rotation.

library = PolynomialLibrary(3)
model = SymmetryDiscoverer(gl, output=vector, library=library).fit(X, velocity)
print(f"found among gl(2): {', '.join(model.algebra_.names)}")

# %%
# How sure is the rotation? Among the motions that keep areas, sl(2), it is the only one. Before it
# is rounded its angle to so(2), as matrices, is that of its symmetric part. A perfect rotation,
# too, would be off by about the standard error.

measured = SymmetryDiscoverer(sl, output=vector, library=library, snap=False).fit(X, velocity)
A, basis = measured.algebra_.linear[0], sl(2).linear
turn, squeeze = np.linalg.norm(A - A.T), np.linalg.norm(A + A.T)
angle = np.degrees(np.arctan2(squeeze, turn))
errors = measured.standard_errors_[0] * np.linalg.norm(basis + basis.mT, axis=(1, 2))
error = np.degrees(np.linalg.norm(errors) / turn)
print(f"found among sl(2): {angle:.1f} degrees from a rotation, standard error {error:.1f}")
ratio = np.sqrt((turn + squeeze) / (turn - squeeze))
print(f"its orbits are ellipses with axes in the ratio {ratio:.3f}")

figure, axes = plt.subplots(2, 2, figsize=(10.5, 9.5), layout="constrained")
pole, wobble, field, spectrum = axes.ravel()
east = {"xlabel": "towards Greenwich (ms of arc)", "ylabel": "towards 90° east (ms of arc)"}
path = pole.scatter(*motion.data.T, c=1962 + years, s=1.2, cmap="viridis", lw=0)
figure.colorbar(path, ax=pole, label="year", shrink=0.8)
pole.set(title="The pole, as measured", aspect="equal", **east)
wobble.plot(*free.T, color="0.85", lw=0.5, zorder=0)
speed = np.hypot(*velocity.T)
wobble.quiver(*X.T, *velocity.T, speed, cmap="magma_r", angles="xy", width=0.005, clim=(-300, None))
wobble.set(title="Without drift and seasons: position and velocity", aspect="equal", **east)
SymmetryDisplay.from_estimator(measured, X, kind="fields", ax=field)
title = f"Found: {angle:.1f}° from a rotation, standard error {error:.1f}°"
field.set(title=title, aspect="equal", **east)
SymmetryDisplay.from_estimator(model, ax=spectrum)
spectrum.set_title("All linear motions: two keep its law")
figure.savefig("plot_discover_polar_motion.png", dpi=110)
print(f"picture saved as {Path('plot_discover_polar_motion.png').resolve()}")
plt.show()
