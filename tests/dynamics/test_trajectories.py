"""Trajectories as rows, their derivatives, and the weak form of their dynamics."""

import numpy as np
import pandas as pd
import pysindy as ps
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sksym.dynamics.trajectories import (
    checked_times,
    differentiate,
    split_trajectories,
    stack_trajectories,
)
from sksym.dynamics.weak import (
    WeakForm,
    correlation_time,
    noise_factor,
    weak_operator,
    whitened,
)

A = np.array([[-0.1, -1.0], [1.0, -0.1]])


def phi(X):
    """1, x0, x1 and products."""
    return np.column_stack([np.ones(len(X)), X, X[:, :1] * X, X[:, 1] ** 2])


COEF = np.zeros((2, 6))
COEF[:, 1:3] = A


def damped(t, angle=0.0):
    """The solution of x' = A x."""
    return 2 * np.exp(-0.1 * t)[:, None] * np.column_stack([np.cos(t + angle), np.sin(t + angle)])


def oscillators(rng, n=200, jitter=0.0, k=4):
    """Rows of damped oscillations, those of different trajectories mixed."""
    list_t = [0.05 * (np.arange(n) + jitter * rng.uniform(-1, 1, n)) for _ in range(k)]
    parts = stack_trajectories([damped(t, j) for j, t in enumerate(list_t)], list_t)
    order = np.argsort(rng.permuted(np.repeat(np.arange(k), n)), kind="stable").argsort()
    return [part[order] for part in parts]


def weak_rows(X, t, indices, **options):
    """Both sides of the weak form."""
    form = WeakForm.of(X, t, indices, **options)
    return form.integrals(phi(X)), form.rates(X)


# Conversion


def test_lists_are_stacked_and_split_again(rng):
    list_X = [rng.normal(size=(n, 2)) for n in (3, 5, 2)]
    list_t = [np.sort(rng.uniform(size=n)) for n in (3, 5, 2)]
    X, t, trajectory = stack_trajectories(list_X, list_t)
    assert_array_equal(trajectory, np.repeat([0, 1, 2], [3, 5, 2]))
    for before, after in zip((list_X, list_t), split_trajectories(X, t, trajectory), strict=True):
        for one, other in zip(before, after, strict=True):
            assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        (None, [[0, 1, 2]] * 4),
        (0.5, [[0, 0.5, 1]] * 4),
        (np.float32(0.5), [[0, 0.5, 1]] * 4),
        (np.array([1.0, 2, 4]), [[1, 2, 4]] * 4),
        ([1.0, 2, 4], [[1, 2, 4]] * 4),
        (np.arange(12.0).reshape(4, 3), np.arange(12).reshape(4, 3)),
    ],
)
def test_equal_trajectories_are_an_array(rng, t, expected):
    cube = rng.normal(size=(4, 3, 2))
    X, times, trajectory = stack_trajectories(cube, t)
    assert_array_equal(X, cube.reshape(12, 2))
    assert_array_equal(times, np.ravel(expected))
    assert_array_equal(trajectory, np.repeat(np.arange(4), 3))


def test_frames_bring_their_index(rng):
    index = pd.MultiIndex.from_tuples([("u", 0.0), ("v", 1.0), ("u", 0.1), ("v", 1.5), ("u", 0.4)])
    frame = pd.DataFrame(rng.normal(size=(5, 2)), columns=["a", "b"], index=index)
    X, t, trajectory = stack_trajectories(frame)
    assert list(X.columns) == ["a", "b"]
    assert_array_equal(X, frame)
    assert_array_equal(t, [0.0, 1.0, 0.1, 1.5, 0.4])
    assert list(trajectory) == list("uvuvu")
    list_X, list_t = split_trajectories(X, t, trajectory)
    assert_array_equal(list_X[1], frame.loc["v"])
    assert list(list_X[0].columns) == ["a", "b"]
    assert_array_equal(list_t[0], [0.0, 0.1, 0.4])
    with pytest.raises(ValueError, match=r"MultiIndex.*X, t, trajectory = stack_trajectories\(X\)"):
        differentiate(frame)


@pytest.mark.parametrize(
    ("index", "t", "expected"),
    [
        (None, None, [0, 1, 2]),
        (None, 0.5, [0, 0.5, 1]),
        ([0.0, 0.2, 0.3], None, [0, 0.2, 0.3]),
        ([0.0, 0.2, 0.3], [2, 3, 4], [2, 3, 4]),
    ],
)
def test_lists_of_frames_keep_columns(rng, index, t, expected):
    frames = [pd.DataFrame(rng.normal(size=(3, 2)), columns=["a", "b"], index=index)] * 2
    X, times, _ = stack_trajectories(frames, t)
    assert list(X.columns) == ["a", "b"]
    assert_array_equal(times, np.tile(expected, 2))


def test_steps_are_counted_within_each_trajectory():
    t, indices = checked_times(np.zeros((6, 1)), None, list("babbaa"), dt=0.5)
    assert_array_equal(t, [0, 0, 0.5, 1, 0.5, 1])
    assert [list(index) for index in indices] == [[0, 2, 3], [1, 4, 5]]


# Derivatives


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("n", [3, 4, 5, 6, 10, 11, 12, 40])
def test_parabolas_are_differentiated_exactly(rng, n, uneven):
    t = 3 + 0.1 * np.arange(n) + uneven * 0.03 * rng.uniform(-1, 1, n)
    X_dot = differentiate(np.column_stack([1 - t, t**2]), t)
    assert_allclose(X_dot, np.column_stack([-np.ones(n), 2 * t]), atol=1e-9)


def test_two_samples_have_a_slope():
    assert_allclose(differentiate([[1.0], [2.0]], dt=0.5), [[2.0], [2.0]])


@pytest.mark.parametrize(
    "method",
    [
        None,
        ps.FiniteDifference(axis=-2),
        ps.SmoothedFiniteDifference(),
        ps.SINDyDerivative(kind="savitzky_golay", left=0.5, right=0.5, order=3),
        lambda x, t: np.gradient(x, t, axis=0),
    ],
)
def test_derivatives_do_not_see_other_trajectories(rng, method):
    X, t, trajectory = oscillators(rng, n=40, k=3)
    state = repr(vars(method)) if hasattr(method, "__dict__") else None
    X_dot = differentiate(X, t, trajectory, method=method)
    for k in range(3):
        own = trajectory == k
        assert_array_equal(X_dot[own], differentiate(X[own], t[own], method=method))
    assert_allclose(X_dot, X @ A.T, atol=0.05)
    assert method is None or repr(vars(method)) == state


def test_smoothing_reduces_noise(rng):
    X, t, trajectory = oscillators(rng)
    noisy = X + 0.01 * rng.normal(size=X.shape)
    plain = differentiate(noisy, t, trajectory, method=ps.FiniteDifference())
    smooth = differentiate(noisy, t, trajectory)
    assert np.std(smooth - X @ A.T) < 0.5 * np.std(plain - X @ A.T)


def test_endpoints_may_be_left_out():
    method = ps.FiniteDifference(drop_endpoints=True)
    X_dot = differentiate(np.arange(8.0)[:, None], trajectory=[0] * 4 + [1] * 4, method=method)
    assert_array_equal(np.flatnonzero(np.isnan(X_dot[:, 0])), [0, 3, 4, 7])


def test_methods_that_fail_name_the_trajectory():
    with pytest.raises(ValueError, match="failed on Trajectory 'b' of 2 samples"):
        differentiate(np.eye(5), trajectory=list("aaabb"), method=ps.FiniteDifference())
    with pytest.raises(TypeError, match=r"pysindy differentiation object.*got 'savgol'"):
        differentiate(np.eye(5), method="savgol")


# Bad input

ROWS = np.arange(12.0).reshape(6, 2)
HOLE = np.where(ROWS == 7, np.nan, ROWS)
IDS = np.array(["a", "a", "a", "b", "b", "b"])


@pytest.mark.parametrize(
    ("X", "t", "trajectory", "dt", "message"),
    [
        ([ROWS, ROWS], None, None, None, "got 2 trajectories.*stack_trajectories"),
        (np.stack([ROWS, ROWS]), None, None, None, "got 2 trajectories.*stack_trajectories"),
        (ROWS[0], None, None, None, r"rows of shape \(n, d\), got shape \(2,\)"),
        (ROWS[:0], None, None, None, r"got shape \(0, 2\)"),
        (ROWS, [np.arange(3), np.arange(3)], IDS, None, "list of 2 arrays.*stack_trajectories"),
        (ROWS, np.arange(7), None, None, r"t must have shape \(6,\).*got \(7,\)"),
        (ROWS, np.arange(5), None, None, r"t must have shape \(6,\).*got \(5,\)"),
        (ROWS, None, IDS[:4], None, r"`trajectory` must have shape \(6,\).*got \(4,\)"),
        (ROWS, None, [0, 0, np.nan, 0, 0, 0], None, "`trajectory` is missing for row 2"),
        (ROWS, [0, 1, 2, 0, np.nan, 2], IDS, None, "Trajectory 'b' has t = nan in row 4"),
        (
            ROWS,
            [0, 1, 2, 0, 2, 1],
            IDS,
            None,
            "Trajectory 'b' has t = 1 after t = 2, in rows 4 and",
        ),
        (ROWS, [0, 1, 1, 0, 1, 2], IDS, None, "Trajectory 'a' has t = 1 twice, in rows 1 and 2"),
        (ROWS, [0, 1, 2, 0, 1, 2], None, None, "tell several trajectories apart"),
        (ROWS, None, [0, 0, 0, 7, 0, 0], None, "Trajectory 7 has one sample, at t = 0"),
        (
            HOLE,
            [0, 1, 2, 5.5, 6, 7],
            IDS,
            None,
            r"Trajectory 'b' is nan at t = 5.5 \(row 3, column 1",
        ),
        (pd.DataFrame(HOLE, columns=["x", "y"]), None, IDS, 0.5, "nan at t = 0 .*column 'y'"),
        (
            np.where(ROWS == 4, np.inf, ROWS),
            None,
            IDS,
            0.5,
            r"Trajectory 'a' is inf at t = 1 \(row 2",
        ),
        (ROWS, None, IDS, 0.0, "must be positive and finite, got 0.0"),
        (ROWS, np.nan, IDS, None, "must be positive and finite, got nan"),
    ],
)
def test_bad_rows_are_named(X, t, trajectory, dt, message):
    with pytest.raises(ValueError, match=message):
        checked_times(X, t, trajectory, dt)
    with pytest.raises(ValueError, match=message):
        differentiate(X, t, trajectory, dt=dt)


@pytest.mark.parametrize(
    ("X", "t", "message"),
    [
        ([], None, "no trajectories"),
        (ROWS, None, r"Trajectory 0 must have shape \(n, d\).*\[X\]"),
        ([ROWS, ROWS[:, :1]], None, "Trajectory 1 has 1 states, trajectory 0 has 2"),
        ([ROWS, pd.DataFrame(ROWS)], None, "columns of trajectory 1 are not those of trajectory 0"),
        ([ROWS, ROWS], [np.arange(6)], "2 trajectories, but times of 1"),
        ([ROWS, ROWS], [np.arange(6), np.arange(7)], r"Trajectory 1 has 6 samples.*\(7,\)"),
        ([ROWS, ROWS[:4]], np.arange(6), r"Trajectory 1 has 4 samples.*\(6,\)"),
        ([ROWS, ROWS], [np.arange(6), -np.arange(6)], "Trajectory 1 has t = -1 after t = 0"),
        ([ROWS, ROWS[:1]], None, "Trajectory 1 has one sample"),
        ([ROWS, HOLE], 0.5, "Trajectory 1 is nan at t = 1.5"),
        ([ROWS, ROWS], -1, "must be positive and finite, got -1"),
        (pd.DataFrame(ROWS), None, "needs a MultiIndex .*set_index"),
        (
            pd.DataFrame(ROWS, index=pd.MultiIndex.from_product([[0, 1], [0, 1, 2]])),
            0.1,
            "times are in the index",
        ),
    ],
)
def test_bad_lists_are_named(X, t, message):
    with pytest.raises(ValueError, match=message):
        stack_trajectories(X, t)


# The weak form


@pytest.mark.parametrize(("jitter", "atol"), [(0.0, 1e-7), (0.4, 1e-3)])
@pytest.mark.parametrize("order", [4, 8])
def test_solutions_satisfy_the_weak_form(rng, jitter, atol, order):
    X, t, trajectory = oscillators(rng, jitter=jitter)
    t, indices = checked_times(X, t, trajectory)
    V, W = weak_operator(t, indices, width=2.0, order=order)
    assert_allclose(W @ X, V @ phi(X) @ COEF.T, atol=atol)
    G, b = weak_rows(X, t, indices, order=order)
    assert_allclose(np.linalg.lstsq(G, b)[0].T, COEF, atol=20 * atol)


def test_straight_lines_satisfy_the_weak_form_on_any_grid(rng):
    t = np.sort(rng.uniform(0, 3, 100))
    V, W = weak_operator(t, [np.arange(100)], width=0.7)
    lines = np.column_stack([np.full(100, 1e3), 5 - 2 * t])
    assert_allclose(W @ lines, V @ np.tile([0.0, -2.0], (100, 1)), atol=1e-10)


def test_windows_do_not_mix_trajectories(rng):
    X, t, trajectory = oscillators(rng, n=50)
    t, indices = checked_times(X, t, trajectory)
    V, W = weak_operator(t, indices, width=0.5, n_windows=7)
    assert V.shape == W.shape == (4 * 7, 200)
    for matrix in (V, W):
        assert sparse.issparse(matrix)
        seen = abs(matrix) @ (trajectory[:, None] == np.arange(4))
        assert_array_equal(np.count_nonzero(seen > 0, axis=1), 1)
    assert_allclose(sparse.linalg.norm(W, axis=1), 1)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 9])
def test_short_trajectories_have_windows(n):
    t = np.linspace(0, 1, n)
    V, W = weak_operator(t, [np.arange(n)], width=10.0)
    assert len(V.toarray()) >= 1
    assert_allclose(W @ (3 * t), V @ np.full(n, 3.0))
    assert all(np.isfinite(part).all() for part in weak_rows(damped(t), t, [np.arange(n)]))


def test_whitened_rows_have_independent_noise(rng):
    t = np.linspace(0, 10, 300)
    V, W = weak_operator(t, [np.arange(150), np.arange(150, 300)], width=1.0)
    rate = 2.0
    white = whitened(noise_factor(V, W, rate), np.hstack([W.toarray(), rate * V.toarray()]))
    assert_allclose(white @ white.T, np.eye(len(white)), atol=0.05)


@pytest.mark.parametrize("period", [1.0, 3.0])
def test_correlation_time_is_a_sixth_of_a_period(rng, period):
    list_t = [np.arange(0, 12, 0.02), np.arange(0, 6, 0.01)]
    X, t, trajectory = stack_trajectories(
        [np.column_stack([np.sin(6.2832 * t / period), np.ones(len(t))]) for t in list_t], list_t
    )
    t, indices = checked_times(X, t, trajectory)
    noisy = X + 0.1 * rng.normal(size=X.shape) * [1, 0]
    assert_allclose(correlation_time(noisy, t, indices), period / 6, rtol=0.15)


def test_constant_states_have_a_correlation_time():
    assert correlation_time(np.ones((5, 2)), np.arange(5.0), [np.arange(5)]) > 0


def test_weak_form_beats_derivatives_of_noisy_data(rng):
    X, t, trajectory = oscillators(rng, n=500)
    X = X + 0.2 * X.std() * rng.normal(size=X.shape)
    t, indices = checked_times(X, t, trajectory)
    errors = [
        np.linalg.norm(np.linalg.lstsq(G, b)[0].T - COEF)
        for G, b in (
            weak_rows(X, t, indices),
            (phi(X), differentiate(X, t, trajectory)),
        )
    ]
    assert errors[0] < 0.03
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.0}, "`width` must be a positive time.*got 0.0"),
        ({"width": np.nan}, "`width` must be a positive time.*got nan"),
        ({"width": 1.0, "n_windows": 0}, "`n_windows` must be an integer >= 1, got 0"),
        ({"width": 1.0, "n_windows": 1.5}, "`n_windows` must be an integer >= 1, got 1.5"),
        ({"width": 1.0, "order": 0}, "`order` must be an integer from 1 to 16, got 0"),
    ],
)
def test_bad_windows_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        weak_operator(np.arange(9.0), [np.arange(9)], **options)
