"""Conserved quantities are constant along trajectories, and none is found where there is none."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import solve_ivp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import FunctionTransformer

from sksym import ConservedQuantities, PolynomialLibrary, from_transformer
from sksym.discover.constancy import excess_by_noise


def columns(*fields):
    return lambda X: np.column_stack([field(*X.T) for field in fields])


def pendulum_library():
    def functions(X):
        angle, rate = X.T
        return np.column_stack([rate**2, np.cos(angle), np.sin(angle), rate, angle])

    return from_transformer(FunctionTransformer(functions))


def polynomial(degree):
    return PolynomialLibrary(degree)


# dynamics, dimension, library, number of quantities
SYSTEMS = {
    "oscillator": (columns(lambda x, v: v, lambda x, v: -x), 2, polynomial(2), 1),
    "oscillator and energy squared": (
        columns(lambda x, v: v, lambda x, v: -x),
        2,
        polynomial(4),
        2,
    ),
    "pendulum": (columns(lambda a, v: v, lambda a, v: -np.sin(a)), 2, pendulum_library(), 1),
    "Henon and Heiles": (
        columns(
            lambda x, y, u, v: u,
            lambda x, y, u, v: v,
            lambda x, y, u, v: -x - 2 * x * y,
            lambda x, y, u, v: -y - x**2 + y**2,
        ),
        4,
        polynomial(3),
        1,
    ),
    "rigid body": (
        columns(lambda a, b, c: b * c, lambda a, b, c: -2 * c * a, lambda a, b, c: a * b),
        3,
        polynomial(2),
        2,
    ),
    "two equal oscillators": (
        columns(
            lambda x, u, y, v: u,
            lambda x, u, y, v: -x,
            lambda x, u, y, v: v,
            lambda x, u, y, v: -y,
        ),
        4,
        polynomial(2),
        4,
    ),
    "damped": (columns(lambda x, v: v, lambda x, v: -x - 0.1 * v), 2, polynomial(3), 0),
    "Lorenz": (
        columns(
            lambda x, y, z: 10 * (y - x),
            lambda x, y, z: x * (2.8 - 10 * z) - y,
            lambda x, y, z: 10 * x * y - 8 / 3 * z,
        ),
        3,
        polynomial(3),
        0,
    ),
}
every_system = pytest.mark.parametrize(
    ("field", "d", "library", "number"), SYSTEMS.values(), ids=list(SYSTEMS)
)


def fitted(field, d, library, noise, seed=0, n=600, scale=0.4, **options):
    rng = np.random.default_rng(seed)
    X = scale * rng.normal(size=(n, d))
    X_dot = field(X)
    X_dot = X_dot + noise * np.std(X_dot, axis=0) * rng.normal(size=X_dot.shape)
    return ConservedQuantities(library, random_state=0, **options).fit(X, X_dot)


@pytest.mark.filterwarnings("ignore:No function of the library is conserved")
@every_system
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_the_number_is_right(field, d, library, number, noise):
    model = fitted(field, d, library, noise)
    assert model.n_quantities_ == number
    assert model.coef_.shape == (number, model.library_.n_output_features_)
    assert model.transform(np.ones((3, d))).shape == (3, number)


@pytest.mark.filterwarnings("ignore:No function of the library is conserved")
@every_system
def test_they_are_constant_along_trajectories(field, d, library, number):
    model = fitted(field, d, library, 0.0)
    start = np.linspace(0.2, 0.4, d)
    path = solve_ivp(
        lambda t, x: field(x[None])[0], (0, 8), start, rtol=1e-11, atol=1e-12, max_step=0.1
    ).y.T
    values = model.transform(path)
    assert_allclose(values, np.broadcast_to(values[0], values.shape), atol=1e-7)
    if number:  # and do not hold for lack of variation
        assert (
            np.std(model.transform(np.random.default_rng(1).normal(size=(50, d))), axis=0) > 0.1
        ).all()


def test_names_are_readable():
    field, d, library, _ = SYSTEMS["oscillator and energy squared"]
    names = fitted(field, d, library, 0.02).get_feature_names_out()
    assert_array_equal(names, ["x0^2 + x1^2", "x0^4 + 2 x0^2 x1^2 + x1^4"])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_units_and_origin_do_not_matter(scale, offset):
    def field(X):
        return np.column_stack([X[:, 1], -X[:, 0]])

    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 2))
    X_dot = field(X) + 0.02 * rng.normal(size=X.shape)
    unit = np.array([scale, 1.0])
    center = offset * np.array([scale, 1.0])
    model = ConservedQuantities(random_state=0).fit(X * unit + center, X_dot * unit)
    assert model.n_quantities_ == 1
    values = model.transform(X * unit + center)[:, 0]
    assert abs(np.corrcoef(values, np.sum(X**2, axis=1))[0, 1]) > 0.999
    base = ConservedQuantities(random_state=0).fit(X, X_dot)
    assert_allclose(model.singular_values_, base.singular_values_, rtol=1e-5, atol=1e-9)


def test_weights_count_as_repetitions(rng):
    X = rng.normal(size=(80, 2))
    X_dot = np.column_stack([X[:, 1], -X[:, 0]]) + 0.05 * rng.normal(size=X.shape)
    weight = rng.integers(1, 4, 80)
    options = {"random_state": 0, "snap": False}
    weighted = ConservedQuantities(**options).fit(X, X_dot, weight)
    repeated = ConservedQuantities(**options).fit(
        *(np.repeat(array, weight, axis=0) for array in (X, X_dot))
    )
    assert_allclose(weighted.singular_values_, repeated.singular_values_, rtol=1e-8)
    assert_allclose(weighted.coef_, repeated.coef_, atol=1e-8)


def test_conventions(rng):
    frame = pd.DataFrame(rng.normal(size=(100, 2)), columns=["x", "v"])
    rates = pd.DataFrame({"x": frame["v"], "v": -frame["x"]})
    model = ConservedQuantities().set_output(transform="pandas")
    with pytest.raises(NotFittedError):
        model.transform(frame)
    out = model.fit_transform(frame, rates)
    assert list(out.columns) == ["x^2 + v^2"]
    assert list(model.feature_names_in_) == ["x", "v"]
    same = clone(model).fit(frame, X_dot=rates)
    assert_array_equal(same.transform(frame), out)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.transform(frame), out)
    two = ConservedQuantities(n_quantities=2, snap=False).fit(frame, rates)
    assert two.coef_.shape[0] == 2


X = np.random.default_rng(0).normal(size=(30, 2))


@pytest.mark.parametrize(
    ("model", "rates", "message"),
    [
        (ConservedQuantities(), None, "requires y to be passed"),
        (ConservedQuantities(), X[:, 0], "shape of X"),
        (ConservedQuantities(), X[:10], "shape of X"),
        (ConservedQuantities(), np.where(X > 2, np.nan, X), "X_dot contains NaN"),
        (ConservedQuantities(), 0 * X, "every function is conserved"),
        (ConservedQuantities(n_quantities=99), X, "n_quantities"),
        (ConservedQuantities(n_quantities="some"), X, "n_quantities"),
        (ConservedQuantities(), X[:3], "shape of X"),
    ],
)
def test_bad_input(model, rates, message):
    rates = rates if rates is None else rates.copy()
    if rates is not None and message and "NaN" in message:
        rates[0, 0] = np.nan
    with pytest.raises(ValueError, match=message):
        model.fit(X, rates)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("seed", [0, 1, 25])
def test_functions_that_vanish_on_few_samples_are_not_conserved(seed):
    with pytest.warns(UserWarning, match="No function"):
        model = ConservedQuantities(PolynomialLibrary(9), random_state=seed).fit(X, X)
    assert model.n_quantities_ == 0
    with pytest.raises(ValueError, match="do not even determine linear dynamics"):
        ConservedQuantities().fit(X[:2], X[:2])


def test_one_orbit_is_enough_for_linear_dynamics():
    turn = np.linspace(0, 2 * np.pi, 40)
    orbit = np.column_stack([np.cos(turn), np.sin(turn)])
    model = ConservedQuantities(PolynomialLibrary(3)).fit(orbit, orbit[:, ::-1] * [-1, 1])
    assert_array_equal(model.get_feature_names_out(), ["x0^2 + x1^2"])


def test_no_library():
    with pytest.raises(TypeError, match="must have fit, transform and jacobian"):
        ConservedQuantities("polynomials").fit(X, X)


# ------------------------------------------------------------------- exact velocities, trajectories


def pendulum(z):
    angle, rate = z
    return np.array([rate, -np.sin(angle)])


def henon_heiles(z):
    x, y, u, v = z
    return np.array([u, v, -x - 2 * x * y, -y - x**2 + y**2])


def damped(z):
    x, v = z
    return np.array([v, -x - 0.1 * v])


def lorenz(z):
    x, y, w = z
    return np.array([10 * (y - x), x * (28 - w) - y, x * y - 8 / 3 * w])


def prey_and_predator(z):
    x, y = z
    return np.array([x - x * y, x * y - y])


def kepler(z):
    x, y, u, v = z
    return np.array([u, v, *(-np.array([x, y]) / np.hypot(x, y) ** 3)])


def kepler_functions(Z):
    x, y, u, v = Z.T
    r = np.sqrt(x**2 + y**2)
    energy = (u**2 + v**2) / 2 - 1 / r
    momentum = x * v - y * u
    runge_lenz = [v * momentum - x / r, -u * momentum - y / r]
    return np.column_stack([energy, momentum, *runge_lenz, x, y, u, v, r])


def kepler_library():
    return from_transformer(FunctionTransformer(kepler_functions))


def energy_parts():
    return from_transformer(
        FunctionTransformer(lambda X: np.column_stack([np.cos(X[:, 0]), X[:, 1] ** 2]))
    )


def orbits(field, starts, end, m=150, noise=0.0, rng=None):
    """States, times and trajectories, with noise in units of the standard deviation."""
    times = np.linspace(0, end, m)
    paths = [
        solve_ivp(
            lambda t, x: field(x), (0, end), x0, t_eval=times, method="DOP853", rtol=1e-9, atol=1e-9
        ).y.T
        for x0 in starts
    ]
    X = np.concatenate(paths)
    if noise:
        X = X + noise * X.std(axis=0) * rng.normal(size=X.shape)
    k = len(starts)
    return X, {"t": np.tile(times, k), "trajectory": np.repeat(np.arange(k), m)}


def ellipses(k):
    """Starts at the pericentres of Kepler ellipses of several sizes, shapes and directions."""
    angle = 2.4 * np.arange(k)
    size = np.linspace(0.8, 1.4, k)
    shape = np.linspace(0.5, 0.2, k)
    distance = size * (1 - shape)
    speed = np.sqrt((1 + shape) / distance)
    along = np.column_stack([np.cos(angle), np.sin(angle)])
    across = np.column_stack([-np.sin(angle), np.cos(angle)])
    return np.hstack([along * distance[:, None], across * speed[:, None]])


def starts_of(field, rng, k):
    if field is kepler:
        return ellipses(k)
    if field is lorenz:
        return 8 * rng.normal(size=(k, 3)) + [0, 0, 25]
    if field is henon_heiles:
        return rng.uniform(-0.3, 0.3, (k, 4))
    if field is prey_and_predator:
        return rng.uniform(0.3, 2, (k, 2))
    return rng.uniform([-2, -1], [2, 1], (k, 2))


def test_velocities_need_not_lie_in_the_library(rng):
    X = rng.normal(size=(200, 2))
    X_dot = np.array([pendulum(x) for x in X])
    model = ConservedQuantities(energy_parts()).fit(X, X_dot)
    assert model.n_quantities_ == model.n_independent_ == 1
    coef = model.coef_[0]
    assert_allclose(coef / coef[1], [-2, 1], rtol=1e-12)
    assert model.singular_values_[-1] < 1e-13


@pytest.mark.parametrize("known", ["velocities", "both", "trajectories"])
def test_four_kepler_orbits_show_all_four_quantities(known):
    X, of_rows = orbits(kepler, ellipses(4), 7)
    X_dot = np.array([kepler(x) for x in X])
    model = ConservedQuantities(kepler_library())
    if known == "velocities":
        model.fit(X, X_dot)
    elif known == "both":
        model.fit(X, X_dot, **of_rows)
    else:
        model.fit(X, **of_rows)
    assert_allclose(model.coef_, np.eye(4, 9))
    # The eccentricity is a function of energy and momentum.
    assert (model.n_quantities_, model.n_independent_, model.undecided_) == (4, 3, 0)


def test_one_kepler_orbit_is_too_few():
    X, of_rows = orbits(kepler, ellipses(1), 7)
    X_dot = np.array([kepler(x) for x in X])
    for data in ({"X_dot": X_dot}, of_rows):
        with pytest.warns(UserWarning, match="more trajectories"):
            model = ConservedQuantities(kepler_library()).fit(X, **data)
        assert model.n_quantities_ == model.n_independent_ == 0
        # Among them r + e x, which is constant on one ellipse.
        assert model.undecided_ >= 3


NOISY = {
    "pendulum": (pendulum, 10, pendulum_library(), 1),
    "Henon and Heiles": (henon_heiles, 20, polynomial(3), 1),
    "Kepler": (kepler, 7, kepler_library(), 4),
    "damped": (damped, 10, polynomial(3), 0),
    "Lorenz": (lorenz, 3, polynomial(2), 0),
    "Lotka and Volterra": (prey_and_predator, 10, polynomial(2), 0),
}


@pytest.mark.filterwarnings("ignore:No function of the library is conserved")
@pytest.mark.parametrize(("field", "end", "library", "number"), NOISY.values(), ids=list(NOISY))
@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_noisy_trajectories(field, end, library, number, noise):
    rng = np.random.default_rng(1)
    X, of_rows = orbits(field, starts_of(field, rng, 8), end, noise=noise, rng=rng)
    model = ConservedQuantities(library, random_state=0).fit(X, **of_rows)
    assert model.n_quantities_ == number
    clean, _ = orbits(field, starts_of(field, rng, 3), end)
    values = model.transform(clean).reshape(3, len(clean) // 3, number)
    # Near to constant on trajectories that the fit has not seen, and different between them.
    within = values.std(axis=1).mean(axis=0)
    assert (within < 0.15 * values.mean(axis=1).std(axis=0)).all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nearly_conserved_quantities_are_none(seed):
    """At small energies the oscillators of Henon and Heiles hardly exchange any."""
    rng = np.random.default_rng(seed)
    starts = rng.uniform(-0.25, 0.25, (8, 4))
    X, of_rows = orbits(henon_heiles, starts, 20, noise=0.05, rng=rng)
    model = ConservedQuantities(polynomial(3), random_state=0).fit(X, **of_rows)
    assert (model.n_quantities_, model.undecided_) == (1, 0)


def test_slow_losses_are_seen(rng):
    def leaking(z):
        x, v = z
        return np.array([v, -x - 0.01 * v])

    X, of_rows = orbits(leaking, rng.uniform(-2, 2, (8, 2)), 20, noise=0.03, rng=rng)
    with pytest.warns(UserWarning, match="No function"):
        model = ConservedQuantities(random_state=0).fit(X, **of_rows)
    assert model.n_quantities_ == model.undecided_ == 0


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
def test_one_orbit_is_enough_where_it_shows_the_dynamics(rng, noise):
    X, of_rows = orbits(pendulum, [[1.5, 0.6]], 10, noise=noise, rng=rng)
    model = ConservedQuantities(pendulum_library(), random_state=0).fit(X, **of_rows)
    assert (model.n_quantities_, model.undecided_) == (1, 0)
    clean, _ = orbits(pendulum, starts_of(pendulum, rng, 5), 10)
    values = model.transform(clean).reshape(5, -1)
    assert values.std(axis=1).mean() < 0.1 * values.mean(axis=1).std()


def test_means_of_noisy_functions_are_corrected(rng):
    """Against the exact mean, by Gauss-Hermite quadrature."""
    points = rng.normal(size=(5, 2))
    noise = np.array([0.1, 0.3])
    library = PolynomialLibrary(3).fit(points)
    functions = np.eye(library.n_output_features_)
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    mean = 0.0
    for a, b in np.ndindex(4, 4):
        weight = weights[a] * weights[b] / weights.sum() ** 2
        error = noise * [nodes[a], nodes[b]]
        mean = mean + weight * library.transform(points + error)
    excess = mean - library.transform(points)
    assert_allclose(excess_by_noise(library, functions, points, noise), excess, atol=1e-12)


def test_order_of_rows_and_unit_of_time_do_not_matter(rng):
    X, of_rows = orbits(pendulum, starts_of(pendulum, rng, 5), 10, noise=0.02, rng=rng)
    t = of_rows["t"]
    trajectory = of_rows["trajectory"]
    base = ConservedQuantities(pendulum_library(), random_state=0).fit(X, **of_rows)
    alternating = np.argsort(t, kind="stable")
    options = [
        (X, 1e6 * t, trajectory),
        (X, None, trajectory),
        (X[alternating], t[alternating], trajectory[alternating]),
    ]
    for rows, times, ids in options:
        model = clone(base).fit(rows, t=times, trajectory=ids)
        assert_allclose(model.coef_, base.coef_, rtol=1e-3)
        assert model.n_quantities_ == 1


def test_powers_of_a_quantity_are_recognised(rng):
    X = rng.normal(size=(200, 2))
    X_dot = np.column_stack([X[:, 1], -X[:, 0]])
    for noise in (0, 0.03):
        model = ConservedQuantities(PolynomialLibrary(6), random_state=0)
        model.fit(X, X_dot + noise * rng.normal(size=X.shape))
        assert (model.n_quantities_, model.n_independent_) == (3, 1)
        if not noise:
            assert model.get_feature_names_out()[0] == "x0^2 + x1^2"


def test_independent_quantities_come_first():
    field, d, library, number = SYSTEMS["two equal oscillators"]
    model = fitted(field, d, library, 0.0)
    # Four quadratic forms with one relation between their squares.
    assert (number, model.n_independent_) == (4, 3)
    slopes = np.einsum("npd,kp->nkd", model.library_.jacobian(np.eye(4) + 0.3), model.coef_)
    assert (np.linalg.matrix_rank(slopes[:, :3]) == 3).any()


def test_single_precision_is_exact_to_its_digits(rng):
    X = rng.normal(size=(300, 2)).astype(np.float32)
    X_dot = np.column_stack([X[:, 1], -np.sin(X[:, 0])])
    model = ConservedQuantities(energy_parts()).fit(X, X_dot.astype(np.float32))
    assert model.n_quantities_ == 1
    assert 1e-10 < model.noise_floor_ < 1e-6


def test_bad_trajectories():
    with pytest.raises(ValueError, match="Stack them"):
        ConservedQuantities().fit([X, X], t=0.1)
    with pytest.raises(ValueError, match="`trajectory` must have shape"):
        ConservedQuantities().fit(X, trajectory=[0, 1])
    with pytest.raises(ValueError, match="has one sample"):
        ConservedQuantities().fit(X[:1], t=0.1)
    with pytest.raises(ValueError, match="pass the times"):
        ConservedQuantities().fit(X)
    with pytest.warns(UserWarning, match="No function"):
        assert ConservedQuantities().fit(X[:2], t=1.0).n_quantities_ == 0
