"""Controls, events, scores and equations of fitted systems."""

import numpy as np
import pandas as pd
import pytest

from sksym import PolynomialLibrary, SymmetryPromotingSINDy, so
from sksym.dynamics.system import determination

T = np.linspace(0, 6, 200)
SPIRAL = np.exp(-0.1 * T)[:, None] * np.column_stack([np.cos(T), np.sin(T)])


def driven():
    """Return a model of x' = -x + u + v and its controls (n, 2) on `T`."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 3))
    frame = pd.DataFrame(rows, columns=["x", "u", "v"])
    model = SymmetryPromotingSINDy(controls=["u", "v"], library=PolynomialLibrary(1))
    model.fit(frame, -rows[:, :1] + rows[:, 1:2] + rows[:, 2:])
    return model, np.column_stack([np.sin(3 * T), np.cos(5 * T)])


def test_controls_are_found_by_name():
    model, u = driven()
    expected = model.simulate([1.0], T, u)
    swapped = pd.DataFrame(u[:, ::-1], columns=["v", "u"])
    np.testing.assert_array_equal(model.simulate([1.0], T, swapped), expected)
    np.testing.assert_allclose(
        model.simulate([1.0], T, lambda time: [np.sin(3 * time), np.cos(5 * time)]),
        expected,
        atol=1e-2,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda u: u.T, r"shape \(200, 2\).*got \(2, 200\)"),
        (np.ravel, r"got \(400,\)"),
        (lambda u: u[:7], r"got \(7, 2\)"),
        (lambda u: pd.DataFrame(u, columns=["u", "w"]), "must be the controls"),
        (lambda u: np.where(np.arange(200)[:, None] == 3, np.nan, u), "not finite in row 3"),
        (lambda u: lambda time: [1.0, 2.0, 3.0], "must give 2 controls, got 3"),
    ],
)
def test_controls_of_other_shapes_are_refused(change, message):
    model, u = driven()
    with pytest.raises(ValueError, match=message):
        model.simulate([1.0], T, change(u))


def test_a_terminal_event_ends_the_simulation():
    model = SymmetryPromotingSINDy(symmetry=so).fit(SPIRAL, t=T)

    def half(time, x):
        return x[1] - 0.5

    half.terminal = True
    path = model.simulate(SPIRAL[0], T, events=half)
    assert 0 < len(path) < len(T)
    np.testing.assert_array_less(path[:, 1], 0.5)
    half.terminal = False
    assert len(model.simulate(SPIRAL[0], T, events=[half])) == len(T)
    with pytest.raises(ValueError, match="leave out `t_eval`"):
        model.simulate(SPIRAL[0], T, t_eval=T)


def test_score_of_constant_slopes():
    X = np.column_stack([SPIRAL, 3 * T])
    slopes = np.column_stack([SPIRAL @ [[-0.1, 1.0], [-1.0, -0.1]], np.full(200, 3.0)])
    model = SymmetryPromotingSINDy(library=PolynomialLibrary(1)).fit(X, slopes)
    assert model.score(X, slopes * (1 + 1e-9 * np.sin(T)[:, None])) == pytest.approx(1)
    still = np.zeros((4, 1))
    assert determination(still, still) == 1
    assert determination(still, still + 1) == 0


def test_scores_are_those_of_scikit_learn_where_slopes_vary():
    from sklearn.metrics import r2_score

    rng = np.random.default_rng(0)
    y, predicted = rng.normal(size=(2, 30, 3))
    weight = rng.uniform(size=30)
    expected = r2_score(y, predicted, sample_weight=weight)
    assert determination(y, predicted, weight) == pytest.approx(expected)


def test_score_needs_the_times_that_fit_had():
    model = SymmetryPromotingSINDy(symmetry=so).fit(SPIRAL, t=T)
    with pytest.raises(ValueError, match="enable_metadata_routing"):
        model.score(SPIRAL)
    assert model.score(SPIRAL, t=T) > 0.99


def test_equations_show_what_matters_in_each_state():
    X = SPIRAL * [1.0, 1e12]
    lines = SymmetryPromotingSINDy(library=PolynomialLibrary(1)).fit(X, t=T).equations(1)
    assert lines == ["x0' = -0.1 x0 - 1e-12 x1", "x1' = 1e+12 x0 - 0.1 x1"]


def test_an_empty_equation_is_said():
    with pytest.warns(UserWarning, match="Nothing is left in the equations of state 0, state 1"):
        model = SymmetryPromotingSINDy(threshold=50.0).fit(SPIRAL, t=T)
    assert not model.coef_.any()
