"""
===================================================
What has a network learnt of the Lorentz symmetry?
===================================================

The invariant mass of a particle follows from its energy E and its momentum p by
``m = sqrt(E^2 - |p|^2)``. Observers who turn, or who move past each other, measure other energies
and momenta, but the same mass: rotations and boosts leave the law unchanged. A network that is
trained on samples of energy, momentum and mass is told nothing of that. Has it learnt it, how
exactly, and what would it cost to enforce it?
"""

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import expm
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPRegressor

from sksym import PolynomialLibrary, SymmetricRidge, SymmetryDiscoverer, SymmetryDisplay, gl

rng = np.random.default_rng(0)


def particles(n):
    """Energies, momenta in a plane, and masses of n particles."""
    mass = rng.uniform(0.5, 2, size=n)
    momentum = 0.6 * rng.normal(size=(n, 2))
    energy = np.sqrt(mass**2 + np.sum(momentum**2, axis=1))
    return np.column_stack([energy, momentum]), mass


X_train, m_train = particles(2000)
X, m = particles(2000)
network = MLPRegressor(
    hidden_layer_sizes=(32,),
    activation="tanh",
    solver="lbfgs",
    alpha=1e-6,
    tol=1e-6,
    max_iter=800,
    random_state=0,
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # 800 steps are enough
    network.fit(X_train, m_train)
print(f"R2 of the network on new particles: {network.score(X, m):.5f}")

# %%
# The network is used as it is, and differentiated at particles that it has not seen. What it gets
# wrong about their masses tells how wrong its derivatives may be, which is the noise floor. The
# candidates are all nine linear motions of energy and momentum.

model = SymmetryDiscoverer(gl, estimator=FrozenEstimator(network), random_state=0).fit(X, m)
print(f"found: {model.algebra_name_} = {', '.join(model.algebra_.names)}")

# %%
# The table says for every direction how strongly it is broken in the network, within which limits,
# and what enforcing it costs: by how much the cross-validated error of a fit in polynomials grows.
# Symmetries of the law cost nothing, here they even help: fewer coefficients are left to estimate.

print(model.report_)

# %%
# The two boosts and the rotation that were found are exact, though the network has them only
# nearly. A regression with the symmetry enforced is a function of the invariants alone, of which
# polynomials of degree two have one, the square of the mass. Observers who move past a particle at
# any speed agree on it, also at speeds that no sample has; the network knows no such thing.

squared = SymmetricRidge(model.algebra_, library=PolynomialLibrary(2), alpha=0.0)
squared.fit(X_train, m_train**2)
print(f"functions left: {', '.join(model.get_feature_names_out())}")

rapidity = np.linspace(-2, 2, 101)
boost = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]])
at_rest = np.array([1.2, 0.0, 0.0])
seen = np.stack([expm(t * boost) @ at_rest for t in rapidity])
within = np.abs(seen[:, 1]) < np.quantile(np.abs(X_train[:, 1]), 0.99)

figure, (spectrum, orbit) = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
SymmetryDisplay.from_estimator(model, ax=spectrum)
spectrum.set_title("Nine linear motions: three keep the mass")
speed = np.tanh(rapidity)
orbit.axvspan(speed[within].min(), speed[within].max(), color="0.93", label="99 % of the samples")
orbit.plot(speed, network.predict(seen), label="network")
orbit.plot(speed, np.sqrt(squared.predict(seen)), label="symmetry enforced")
orbit.set(
    title="A particle of mass 1.2, as seen by moving observers",
    xlabel="speed of the observer, relative to light",
    ylabel="mass that is predicted",
)
orbit.legend()
figure.savefig("plot_discover_network.png", dpi=110)
print(f"picture saved as {Path('plot_discover_network.png').resolve()}")
plt.show()
