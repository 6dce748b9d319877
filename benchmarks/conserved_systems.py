"""Dynamical systems whose conserved quantities are known, and their noisy trajectories."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from sklearn.preprocessing import FunctionTransformer

from sksym import PolynomialLibrary, from_transformer


def pendulum(z):
    angle, rate = z
    return np.array([rate, -np.sin(angle)])


def henon_heiles(z):
    x, y, u, v = z
    return np.array([u, v, -x - 2 * x * y, -y - x**2 + y**2])


def kepler(z):
    x, y, u, v = z
    distance = np.hypot(x, y)
    return np.array([u, v, -x / distance**3, -y / distance**3])


def damped(z):
    x, v = z
    return np.array([v, -x - 0.1 * v])


def lorenz(z):
    x, y, w = z
    return np.array([10 * (y - x), x * (28 - w) - y, x * y - 8 / 3 * w])


def prey_and_predator(z):
    x, y = z
    return np.array([x - x * y, x * y - y])


def functions(transform):
    return from_transformer(FunctionTransformer(transform))


def pendulum_functions(Z):
    angle, rate = Z.T
    return np.column_stack([rate**2, np.cos(angle), np.sin(angle), rate, angle])


def kepler_functions(Z):
    x, y, u, v = Z.T
    r = np.hypot(x, y)
    energy = (u**2 + v**2) / 2 - 1 / r
    momentum = x * v - y * u
    runge_lenz = [v * momentum - x / r, -u * momentum - y / r]
    return np.column_stack([energy, momentum, *runge_lenz, x, y, u, v, r])


def prey_functions(Z):
    x, y = Z.T
    # Noise may make the least populations negative.
    logs = np.log(np.maximum(Z, 0.02))
    return np.column_stack([x, y, logs, x * y, x**2, y**2])


def uniform(low, high):
    return lambda rng, k: rng.uniform(low, high, (k, len(low)))


def ellipses(rng, k):
    """Starts at the pericentres of Kepler ellipses of several sizes, shapes and directions."""
    angle = rng.uniform(0, 2 * np.pi, k)
    size = rng.uniform(0.8, 1.4, k)
    shape = rng.uniform(0.2, 0.5, k)
    distance = size * (1 - shape)
    speed = np.sqrt((1 + shape) / distance)
    along = np.column_stack([np.cos(angle), np.sin(angle)])
    across = np.column_stack([-np.sin(angle), np.cos(angle)])
    return np.hstack([along * distance[:, None], across * speed[:, None]])


def butterfly(rng, k):
    return 8 * rng.normal(size=(k, 3)) + [0, 0, 25]


def energies(low, high):
    """Starts of Henon and Heiles with energies between two numbers, on random directions."""

    def starts(rng, k):
        found = []
        while len(found) < k:
            z = rng.uniform(-0.5, 0.5, 4)
            x, y, u, v = z
            energy = (x**2 + y**2 + u**2 + v**2) / 2 + x**2 * y - y**3 / 3
            if low < energy < high and np.hypot(x, y) < 0.5:
                found.append(z)
        return np.array(found)

    return starts


@dataclass(frozen=True)
class Conserving:
    """A dynamical system as it is watched, and how many functions of a library it conserves.

    The velocity `field` takes states (d, k); `starts` takes a generator and a number k of
    trajectories, which last until `end`.
    """

    field: Any
    starts: Any
    end: float
    library: Any
    number: int
    n_trajectories: int

    def trajectories(self, seed, m=150):
        """Rows of states without noise, and their times and trajectories."""
        rng = np.random.default_rng(seed)
        k = self.n_trajectories
        starts = self.starts(rng, k)
        times = np.linspace(0, self.end, m)
        # All at once: states (d, k), one trajectory a column.
        shape = starts.T.shape
        solution = solve_ivp(
            lambda t, z: self.field(z.reshape(shape)).ravel(),
            (0, self.end),
            starts.T.ravel(),
            t_eval=times,
            method="DOP853",
            rtol=1e-9,
            atol=1e-9,
        )
        X = solution.y.reshape(*shape, m).transpose(1, 2, 0).reshape(k * m, -1)
        return X, {"t": np.tile(times, k), "trajectory": np.repeat(np.arange(k), m)}


SMALL = uniform([-0.25] * 4, [0.25] * 4)
LARGE = energies(0.05, 0.16)
SWING = uniform([-2, -1], [2, 1])
PREY = uniform([0.3, 0.3], [2, 2])
CUBIC = PolynomialLibrary(3)
QUADRATIC = PolynomialLibrary(2)
SYSTEMS = {
    "pendulum": Conserving(pendulum, SWING, 10, functions(pendulum_functions), 1, 8),
    "pendulum, one": Conserving(pendulum, SWING, 10, functions(pendulum_functions), 1, 1),
    "Kepler": Conserving(kepler, ellipses, 7, functions(kepler_functions), 4, 4),
    "Henon-Heiles, large": Conserving(henon_heiles, LARGE, 20, CUBIC, 1, 8),
    "Henon-Heiles, small": Conserving(henon_heiles, SMALL, 20, CUBIC, 1, 8),
    "Henon-Heiles, one": Conserving(henon_heiles, LARGE, 40, CUBIC, 1, 1),
    "Lotka-Volterra, logs": Conserving(
        prey_and_predator, PREY, 10, functions(prey_functions), 1, 8
    ),
    "Lotka-Volterra, deg. 2": Conserving(prey_and_predator, PREY, 10, QUADRATIC, 0, 8),
    "Lotka-Volterra, deg. 3": Conserving(prey_and_predator, PREY, 10, CUBIC, 0, 8),
    "Lotka-Volterra, deg. 4": Conserving(prey_and_predator, PREY, 10, PolynomialLibrary(4), 0, 8),
    "Lotka-Volterra, one": Conserving(prey_and_predator, PREY, 20, functions(prey_functions), 1, 1),
    "Kepler, one": Conserving(kepler, ellipses, 7, functions(kepler_functions), 4, 1),
    "damped": Conserving(damped, SWING, 10, CUBIC, 0, 8),
    "damped, one": Conserving(damped, SWING, 10, CUBIC, 0, 1),
    "Lorenz, degree 2": Conserving(lorenz, butterfly, 3, QUADRATIC, 0, 8),
    "Lorenz, degree 3": Conserving(lorenz, butterfly, 3, CUBIC, 0, 8),
    "Lorenz, one": Conserving(lorenz, butterfly, 6, CUBIC, 0, 1),
}
