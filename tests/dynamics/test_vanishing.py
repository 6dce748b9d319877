"""Functions that vanish on the data, and equations that do not depend on them or on units."""

import numpy as np
import pysindy as ps
import pytest
from scipy.integrate import solve_ivp

from sksym import PolynomialLibrary, SymmetryPromotingSINDy, WeakSymmetryPromotingSINDy
from sksym.dynamics.sparsify import fewest_columns, sparse_least_squares
from sksym.dynamics.vanishing import rounding_error, state_errors, vanishing_functions
from sksym.libraries import from_pysindy
from sksym.pysindy import SymmetryOptimizer

KINDS = [SymmetryPromotingSINDy, WeakSymmetryPromotingSINDy]


def path_of(field, start, t):
    """Return the solution (n, d) of x' = field(x)."""

    def rate(time, x):
        return field(x)

    return solve_ivp(rate, (t[0], t[-1]), start, t_eval=t, rtol=1e-10, atol=1e-12).y.T


def epidemic():
    t = np.linspace(0, 60, 601)
    X = path_of(
        lambda x: [-0.4 * x[0] * x[1], 0.4 * x[0] * x[1] - 0.1 * x[1], 0.1 * x[1]],
        [0.99, 0.01, 0.0],
        t,
    )
    return X, t


def terms(model, state):
    """Return the terms of one equation with their coefficients."""
    names = model.library_.get_feature_names_out()
    coef = model.library_.monomial_coef(model.coef_)[state]
    return {names[k]: coef[k] for k in np.flatnonzero(coef)}


@pytest.mark.parametrize("kind", KINDS)
def test_an_epidemic_whose_shares_add_up_to_one(kind):
    X, t = epidemic()
    with pytest.warns(UserWarning, match=r"-1 \+ x0 \+ x1 \+ x2 = 0"):
        model = kind().fit(X.round(4), t=t)
    assert model.vanishing_[0] == "-1 + x0 + x1 + x2"
    expected = [{"x0 x1": -0.4}, {"x0 x1": 0.4, "x1": -0.1}, {"x1": 0.1}]
    for state, truth in enumerate(expected):
        assert terms(model, state) == pytest.approx(truth, rel=0.01)
    path = model.simulate(X[0], t)
    assert np.abs(path - X).max() < 0.01


@pytest.mark.parametrize("digits", [4, 6, 9])
@pytest.mark.parametrize("degree", [2, 3])
def test_a_circle(digits, degree):
    t = np.linspace(0, 20, 1001)
    X = np.column_stack([np.cos(t), -np.sin(t)])
    model = SymmetryPromotingSINDy(library=PolynomialLibrary(degree))
    with pytest.warns(UserWarning, match=r"x0\^2 \+ x1\^2 = 0"):
        model.fit(X.round(digits), t=t)
    assert terms(model, 0) == pytest.approx({"x1": 1.0}, rel=0.01)
    assert terms(model, 1) == pytest.approx({"x0": -1.0}, rel=0.01)


@pytest.mark.parametrize("digits", [4, 6, 9])
def test_an_orbit_about_the_sun(digits):
    def gravity(x):
        cube = np.hypot(x[0], x[1]) ** 3
        return [x[2], x[3], -x[0] / cube, -x[1] / cube]

    t = np.linspace(0, 20, 2001)
    X = path_of(gravity, [1.0, 0.0, 0.0, 1.2], t)
    pull = ps.CustomLibrary(
        [lambda x, y: x / np.hypot(x, y) ** 3, lambda x, y: y / np.hypot(x, y) ** 3],
        [lambda x, y: f"pull({x})", lambda x, y: f"pull({y})"],
        interaction_only=True,
    )
    on_place = ps.GeneralizedLibrary(
        [ps.PolynomialLibrary(2), pull], inputs_per_library=[[0, 1, 2, 3], [0, 1]]
    )
    model = SymmetryPromotingSINDy(library=from_pysindy(on_place))
    with pytest.warns(UserWarning, match="vanish on the data"):
        model.fit(X.round(digits), t=t)
    expected = [{"x2": 1.0}, {"x3": 1.0}, {"pull(x0)": -1.0}, {"pull(x1)": -1.0}]
    for state, truth in enumerate(expected):
        assert terms(model, state) == pytest.approx(truth, rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e6, 1e9])
def test_a_spring_in_any_units(kind, unit):
    s = np.linspace(0, 20, 1001)
    X = path_of(lambda x: [x[1], -x[0] - x[0] ** 3], [1.2, 0.0], s)
    plain = kind(library=PolynomialLibrary(3)).fit(X, t=s)
    second = 1e-3
    other = kind(library=PolynomialLibrary(3)).fit(X * [unit, unit / second], t=s * second)
    expected = terms(plain, 0)
    assert terms(other, 0) == pytest.approx(expected)
    truth = terms(plain, 1)
    assert set(truth) == {"x0", "x0^3"}
    converted = {"x0": truth["x0"] / second**2, "x0^3": truth["x0^3"] / (second * unit) ** 2}
    assert terms(other, 1) == pytest.approx(converted)
    assert plain.vanishing_ == other.vanishing_ == []


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_inside_pysindy(unit):
    s = np.linspace(0, 20, 1001)
    X = path_of(lambda x: [x[1], -x[0] - x[0] ** 3], [1.2, 0.0], s)
    coefs = []
    for scale in (1.0, unit):
        library = ps.PolynomialLibrary(3)
        model = ps.SINDy(SymmetryOptimizer(library=library), feature_library=library)
        coefs.append(model.fit(X * scale, t=s).coefficients())
    degree = np.asarray(library.powers_).sum(axis=1)
    np.testing.assert_allclose(coefs[1], coefs[0] * unit ** (1.0 - degree), rtol=1e-6)
    assert np.count_nonzero(coefs[0]) == 3


def test_vanishing_does_not_depend_on_origin_and_units():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 6, 300)
    X = np.column_stack([np.cos(angle), np.sin(angle)]).round(5)
    for origin, unit in ((0.0, 1.0), (300.0, 1.0), (0.0, 1e-9), (0.0, 1e9)):
        Z = (X + origin) * unit
        library = PolynomialLibrary(2, center=0.0).fit(Z)
        relations = vanishing_functions(library, Z, state_errors(Z))
        assert len(relations) == 1
        values = library.transform(Z) @ relations[0]
        # The last entry is one: it vanishes in units of that function, to the digits given.
        scale = np.abs(np.gradient(library.transform(Z)[:, -1])).max()
        assert np.abs(values).max() < 1e-4 * scale


def test_a_line_that_is_only_nearly_constant_does_not_vanish():
    rng = np.random.default_rng(0)
    X = 300 + rng.uniform(-1, 1, size=(300, 2))
    library = PolynomialLibrary(2, center=0.0).fit(X)
    assert not len(vanishing_functions(library, X, state_errors(X)))


def test_a_parameter_that_never_changes():
    t = np.linspace(0, 5, 200)
    X = np.column_stack([np.exp(-t), np.full(200, 0.5)])
    model = SymmetryPromotingSINDy(controls=[1], library=PolynomialLibrary(1))
    with pytest.warns(UserWarning, match=r"-0.5 \+ x1 = 0"):
        model.fit(X, t=t)
    assert terms(model, 0) == pytest.approx({"x0": -1.0}, rel=0.01)


def test_digits_tell_how_numbers_were_rounded():
    x = np.random.default_rng(0).normal(size=100)
    assert rounding_error(x) == 0
    for digits in (2, 5, 8):
        assert rounding_error(x.round(digits)) == pytest.approx(10.0**-digits / np.sqrt(12))
    assert rounding_error(np.tile([0.5, 1.0, 2.0], 30)) == 0


def test_fewest_columns_among_dependent_ones():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(40, 5))
    R = np.column_stack([columns, columns[:, 0] + columns[:, 1], columns[:, 0] - columns[:, 1]])
    R /= np.linalg.norm(R, axis=0)
    chosen = fewest_columns(R, R[:, 0] * 2 + R[:, 3])
    assert np.flatnonzero(chosen).tolist() == [0, 3]
    assert not fewest_columns(R, np.zeros(40)).any()


def test_sparse_least_squares_in_any_units():
    rng = np.random.default_rng(0)
    R = rng.normal(size=(50, 6))
    y = R @ [2.0, 0, 0, -1, 0, 0.05] + 1e-3 * rng.normal(size=50)
    units = 10.0 ** rng.uniform(-9, 9, size=6)
    for options in ((0.1, 0.0), (0.0, 0.1)):
        w = sparse_least_squares(R, y, *options)
        scaled = sparse_least_squares(R * units, 1e-7 * y, *options)
        np.testing.assert_allclose(scaled, w / units * 1e-7, rtol=1e-9)
