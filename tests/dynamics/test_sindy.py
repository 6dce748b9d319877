"""Dynamical systems: exact symmetry, sparsity inside it, trajectories, and what is refused."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pysindy as ps
import pytest
import sklearn
from scipy.integrate import solve_ivp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksym import (
    LieAlgebra,
    PolynomialLibrary,
    SymmetryPromotingSINDy,
    WeakSymmetryPromotingSINDy,
    from_pysindy,
    gl,
    scaling,
    se,
    so,
    translations,
)
from sksym.dynamics import differentiate, stack_trajectories
from sksym.dynamics.sparsify import sparse_least_squares, sparsest_rows

BOTH = pytest.mark.parametrize("kind", [SymmetryPromotingSINDy, WeakSymmetryPromotingSINDy])


def damped(t, x):
    return np.array([-0.1 * x[0] - x[1], x[0] - 0.1 * x[1]])


def hopf(t, x):
    return damped(t, x) + (0.6 - x @ x) * x


def trajectories(field=damped, n=4, steps=200, end=8.0, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    t = np.linspace(0, end, steps)
    paths = []
    for x0 in rng.normal(size=(n, 2)):
        path = solve_ivp(field, (0, end), x0, t_eval=t, rtol=1e-10, atol=1e-10).y.T
        paths.append(path + noise * path.std() * rng.normal(size=path.shape))
    return stack_trajectories(paths, t)


def quartic(n=300, noise=0.0, seed=0):
    """Isotropic quartic oscillator: states, derivatives."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    q, p = X[:, :3], X[:, 3:]
    Y = np.hstack([p, -q - 0.5 * (q**2).sum(axis=1, keepdims=True) * q])
    return X, Y + noise * Y.std(axis=0) * rng.normal(size=Y.shape)


def plain(model):
    """Coefficients of plain monomials."""
    return model.library_.monomial_coef(model.coef_)


def is_equivariant(model, algebra, X, tolerance=1e-10):
    """F(M x + t) = M F(x) for finite elements."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        M, t = algebra.exp(rng.normal(size=algebra.dim))
        moved, still = model.predict(X @ M.T + t), model.predict(X) @ M.T
        if np.abs(moved - still).max() > tolerance * (1 + np.abs(still).max()):
            return False
    return True


@BOTH
def test_damped_oscillator_is_found(kind):
    X, t, trajectory = trajectories()
    for algebra in (None, so):
        model = kind(symmetry=algebra, threshold=0.05).fit(X, t=t, trajectory=trajectory)
        assert model.equations(1) == ["x0' = -0.1 x0 - 1 x1", "x1' = 1 x0 - 0.1 x1"]
        assert model.score(X, t=t, trajectory=trajectory) > 0.999


@BOTH
def test_candidates_are_kept_that_the_data_do_not_contradict(kind):
    X, t, trajectory = trajectories(hopf, noise=0.005, steps=400)
    model = kind(gl, library=PolynomialLibrary(3), threshold=0.05)
    model.fit(X, t=t, trajectory=trajectory)
    assert model.algebra_.names == ("x0 ∂1 - x1 ∂0",)
    assert is_equivariant(model, so(2), X)


@pytest.mark.filterwarnings("ignore:Nothing is left")
def test_equivariance_is_exact_after_thresholds_and_l1():
    X, Y = quartic(noise=0.2)
    algebra = so(3).repeat(2)
    for options in ({"threshold": 0.3}, {"threshold": 0.0, "l1": 0.05}, {"ridge": 0.1}):
        model = SymmetryPromotingSINDy(
            symmetry=algebra, library=PolynomialLibrary(3), **options
        ).fit(X, Y)
        assert is_equivariant(model, algebra, X)
        assert np.count_nonzero(model.coef_) < 100
        assert np.all((model.coef_ == 0) | (np.abs(model.coef_) > 1e-6))


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_quartic_oscillator(noise):
    X, Y = quartic(noise=noise)
    model = SymmetryPromotingSINDy(symmetry=so(3).repeat(2), library=PolynomialLibrary(3)).fit(X, Y)
    assert model.n_free_ == 18
    exact = SymmetryPromotingSINDy(library=model.library_).fit(*quartic())
    np.testing.assert_array_equal(model.coef_ != 0, exact.coef_ != 0)
    np.testing.assert_allclose(plain(model), plain(exact), atol=noise / 2 + 1e-12)


def test_constants_are_constrained_too():
    X, t, trajectory = trajectories(noise=0.3)
    model = SymmetryPromotingSINDy(symmetry=so, threshold=0.0).fit(
        X + 0.0, t=t, trajectory=trajectory
    )
    assert not model.coef_[:, 0].any()


def test_growth_with_a_scaling_symmetry():
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2, size=(200, 2))
    Y = np.column_stack([0.1 * X[:, 1] ** 2 - 0.3 * X[:, 0], X[:, 1]])
    model = SymmetryPromotingSINDy(symmetry=scaling([2, 1]), threshold=0.05).fit(
        X, Y + 0.01 * rng.normal(size=Y.shape)
    )
    assert [row.split(" = ")[0] for row in model.equations()] == ["x0'", "x1'"]
    np.testing.assert_array_equal(model.coef_ != 0, [[0, 1, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0]])


def test_translations_leave_constants_and_other_states():
    """A symmetry without a fixed point: only velocities may appear."""
    rng = np.random.default_rng(0)
    away = np.array([30.0, 0.0])
    X = rng.normal(size=(100, 2)) + away
    Y = np.column_stack([X[:, 1], 1.0 - 0.5 * X[:, 1]])
    model = SymmetryPromotingSINDy(symmetry=translations(1).on_columns([0], 2), threshold=0.01).fit(
        X, Y
    )
    np.testing.assert_allclose(model.predict(X), Y, atol=1e-9)
    np.testing.assert_allclose(model.predict(X + away), model.predict(X), atol=1e-9)


def test_given_derivatives_are_a_plain_regression():
    X, t, trajectory = trajectories(noise=0.01)
    slopes = differentiate(X, t, trajectory)
    one = SymmetryPromotingSINDy(symmetry=so, threshold=0.05).fit(X, slopes)
    other = SymmetryPromotingSINDy(symmetry=so, threshold=0.05).fit(X, t=t, trajectory=trajectory)
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-12)


def test_no_difference_is_taken_across_trajectories():
    X, t, trajectory = trajectories(n=2)
    model = SymmetryPromotingSINDy(threshold=0.05)
    together = clone(model).fit(X, t=t, trajectory=trajectory)
    shuffled = np.argsort(np.tile(np.arange(200), 2), kind="stable")  # rows of both in turn
    mixed = clone(model).fit(X[shuffled], t=t[shuffled], trajectory=trajectory[shuffled])
    np.testing.assert_allclose(mixed.coef_, together.coef_, atol=1e-9)


@pytest.mark.parametrize(
    "method", [ps.FiniteDifference(order=4), ps.SmoothedFiniteDifference(), np.gradient]
)
def test_differentiation_methods(method):
    X, t, _ = trajectories(n=1)
    if method is np.gradient:
        method = partial(np.gradient, axis=0)
    model = SymmetryPromotingSINDy(symmetry=so, differentiation_method=method, threshold=0.05)
    model.fit(X, t=t)
    np.testing.assert_allclose(plain(model)[0, 1:3], [-0.1, -1], atol=5e-3)


def test_rows_without_a_derivative_are_left_out():
    X, t, _ = trajectories(n=1)
    method = ps.FiniteDifference(drop_endpoints=True)
    model = SymmetryPromotingSINDy(symmetry=so, differentiation_method=method).fit(X, t=t)
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.score(X, t=t))


def test_maps_are_fitted_through_increments():
    rng = np.random.default_rng(0)
    turn = so(2).exp([0.3])[0]
    paths = []
    for x in rng.normal(size=(5, 2)):
        path = [x]
        for _ in range(20):
            path.append((turn @ path[-1]) * (1 - 0.1 * path[-1] @ path[-1]))
        paths.append(path)
    X, t, trajectory = stack_trajectories(paths)
    model = SymmetryPromotingSINDy(
        symmetry=so, library=PolynomialLibrary(3), discrete_time=True, threshold=1e-3
    )
    model.fit(X, t=t, trajectory=trajectory)
    here = np.flatnonzero(t < 20)
    np.testing.assert_allclose(model.predict(X[here]), X[here + 1], atol=1e-10)
    np.testing.assert_allclose(model.simulate(paths[0][0], 21), paths[0], atol=1e-9)
    assert model.score(X, t=t, trajectory=trajectory) > 1 - 1e-9
    given = clone(model).fit(X[here], X[here + 1])
    np.testing.assert_allclose(given.coef_, model.coef_, atol=1e-12)
    assert "[k+1]" in model.equations()[0]


@BOTH
def test_controls_are_columns_that_the_symmetry_leaves_alone(kind):
    rng = np.random.default_rng(0)
    t = np.linspace(0, 10, 1000)
    paths = []
    for k in range(4):
        u = partial(np.interp, xp=t, fp=np.sin((1 + k) * t + k))
        x = solve_ivp(
            lambda s, x, u=u: damped(s, x) * (1 + 0.5 * u(s)),
            (0, 10),
            rng.normal(size=2),
            t_eval=t,
            rtol=1e-8,
            atol=1e-8,
        ).y.T
        paths.append(np.column_stack([x, u(t)]))
    X, t, trajectory = stack_trajectories(paths, t)
    model = kind(symmetry=so, controls=[2], threshold=0.03).fit(X, t=t, trajectory=trajectory)
    assert model.coef_.shape[0] == 2
    assert is_equivariant_of_states(model, X)
    frame = pd.DataFrame(X, columns=["a", "b", "u"])
    named = kind(symmetry=so, controls=["u"], threshold=0.03).fit(frame, t=t, trajectory=trajectory)
    np.testing.assert_array_equal(named.coef_, model.coef_)
    assert named.equations()[0].startswith("a' = ")
    first = trajectory == 0
    path = model.simulate(X[0, :2], t[first], u=X[first, 2])
    np.testing.assert_allclose(path, X[first, :2], atol=0.05)
    called = model.simulate(X[0, :2], t[first], u=lambda s: np.sin(s))
    np.testing.assert_allclose(called, path, atol=0.05)
    with pytest.raises(ValueError, match="2 states and 1 controls"):
        model.predict(X[:, :2])
    with pytest.raises(ValueError, match="1 controls, but got none"):
        model.simulate(X[0, :2], t[first])


def is_equivariant_of_states(model, X):
    M = np.eye(3)
    M[:2, :2] = so(2).exp([0.7])[0]
    return np.allclose(model.predict(X @ M.T), model.predict(X) @ M[:2, :2].T, atol=1e-12)


def test_simulation_follows_the_data_and_says_where_it_ends():
    X, t, _ = trajectories(n=1)
    model = SymmetryPromotingSINDy(symmetry=so, threshold=0.05).fit(X, t=t)
    np.testing.assert_allclose(model.simulate(X[0], t), X, atol=1e-2)
    Z = np.linspace(0.5, 3, 50)[:, None]
    blows_up = SymmetryPromotingSINDy().fit(Z, Z**2)
    with pytest.raises(RuntimeError, match="cannot be integrated beyond t = "):
        blows_up.simulate([1.0], np.linspace(0, 5, 20))
    with pytest.raises(ValueError, match="`x0` must have shape"):
        model.simulate([1.0], t)
    with pytest.raises(ValueError, match="increasing"):
        model.simulate(X[0], [0.0, 0.0])


def test_equations_read_well(capsys):
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 2)), columns=["prey", "fox"])
    Y = np.column_stack([X["prey"] - 0.5 * X["prey"] * X["fox"], 2 - 0.25 * X["fox"]])
    model = SymmetryPromotingSINDy().fit(X, Y)
    model.print()
    shown = capsys.readouterr().out
    assert shown == "prey' = 1 prey - 0.5 prey fox\nfox' = 2 - 0.25 fox\n"


def test_other_libraries():
    X, Y = quartic()
    library = from_pysindy(ps.PolynomialLibrary(3))
    model = SymmetryPromotingSINDy(symmetry=so(3).repeat(2), library=library).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), Y, atol=1e-7)


def test_sample_weights_are_repetitions():
    X, Y = quartic(n=120, noise=0.1)
    weight = np.random.default_rng(0).integers(0, 3, size=120)
    model = SymmetryPromotingSINDy(
        symmetry=so(3).repeat(2), library=PolynomialLibrary(3, scale=1.0)
    )
    one = clone(model).fit(X, Y, sample_weight=weight)
    other = clone(model).fit(np.repeat(X, weight, axis=0), np.repeat(Y, weight, axis=0))
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-10)


@pytest.mark.parametrize("discrete", [False, True])
def test_rows_of_weight_zero_keep_their_place_in_the_trajectory(discrete):
    """They are not fitted, whatever the derivative there; their neighbours are."""
    X, t, trajectory = trajectories(hopf, noise=0.01)
    weight = np.ones(len(X))
    weight[np.random.default_rng(0).permutation(len(X))[:300]] = 0
    model = SymmetryPromotingSINDy(
        gl, library=PolynomialLibrary(3), threshold=0.05, discrete_time=discrete
    )
    if discrete:
        model.set_params(threshold=0.002)
    some = clone(model).fit(X, t=t, trajectory=trajectory, sample_weight=weight)
    everything = clone(model).fit(X, t=t, trajectory=trajectory)
    assert some.n_symmetries_ == everything.n_symmetries_ == 1
    error = np.linalg.norm(some.predict(X) - everything.predict(X))
    assert error < 0.05 * np.linalg.norm(everything.predict(X))
    assert some.score(X, t=t, trajectory=trajectory, sample_weight=weight) > 0.97


def test_rows_of_weight_zero_at_the_ends_are_as_good_as_cut_off():
    X, t, _ = trajectories(n=1, noise=0.01)
    method = ps.FiniteDifference()
    model = SymmetryPromotingSINDy(gl, threshold=0.05, differentiation_method=method)
    whole = clone(model).fit(X, t=t, sample_weight=(np.arange(200) % 199 > 0).astype(float))
    model.set_params(differentiation_method=ps.FiniteDifference(drop_endpoints=True))
    cut = clone(model).fit(X, t=t)
    np.testing.assert_allclose(whole.coef_, cut.coef_, rtol=1e-12)
    np.testing.assert_allclose(whole.singular_values_, cut.singular_values_, rtol=1e-12)


def test_a_library_need_not_be_defined_at_rows_of_weight_zero():
    X, t, _ = trajectories(n=1)
    away = np.vstack([X, np.zeros((1, 2))])  # the last row, an impossible one
    library = from_pysindy(ps.CustomLibrary([lambda x: x, lambda x: np.log(np.abs(x))]))
    weight = np.append(np.ones(199), [0.0, 0.0])
    model = SymmetryPromotingSINDy(
        library=library, differentiation_method=partial(np.gradient, axis=0)
    )
    model.fit(away, t=np.append(t, t[-1] + t[1]), sample_weight=weight)
    assert np.isfinite(model.coef_).all()


def test_no_row_to_fit_is_refused():
    X, t, trajectory = trajectories(n=2, steps=3)
    method = ps.FiniteDifference(drop_endpoints=True)
    model = SymmetryPromotingSINDy(differentiation_method=method)
    weight = (np.arange(6) % 3 != 1).astype(float)  # those without a derivative
    with pytest.raises(ValueError, match="No row of positive weight has a finite derivative"):
        model.fit(X, t=t, trajectory=trajectory, sample_weight=weight)


def test_frames_are_scored_by_the_names_of_their_columns():
    X, t, _ = trajectories(n=1)
    frame = pd.DataFrame(X, columns=["a", "b"])
    for kind in (SymmetryPromotingSINDy, WeakSymmetryPromotingSINDy):
        model = kind(threshold=0.05).fit(frame, t=t)
        assert model.score(frame, t=t) > 0.999
        with pytest.raises(ValueError, match="feature names"):
            model.score(frame.rename(columns={"a": "z"}), t=t)


@BOTH
def test_clone_parameters_pickle(kind):
    X, t, trajectory = trajectories()
    model = kind(symmetry=so, threshold=0.05, library=PolynomialLibrary(2))
    assert model.set_params(library__degree=1, alpha=0.3).get_params()["library__degree"] == 1
    fitted = clone(model).fit(X, t=t, trajectory=trajectory)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict(X), fitted.predict(X))
    assert not hasattr(model, "coef_")


@pytest.mark.filterwarnings("ignore:Nothing is left")
def test_grid_search_on_derivatives_with_routing_on_and_off():
    X, t, trajectory = trajectories(hopf, noise=0.01)
    slopes = differentiate(X, t, trajectory)
    model = make_pipeline(
        FunctionTransformer(), SymmetryPromotingSINDy(symmetry=so, library=PolynomialLibrary(3))
    )
    name = "symmetrypromotingsindy__"
    grid = {
        name + "threshold": [0.05, 5.0],
        name + "library__degree": [1, 3],
        name + "alpha": [0.1],
    }
    for routing in (False, True):
        with sklearn.config_context(enable_metadata_routing=routing):
            search = GridSearchCV(model, grid, cv=GroupKFold(2))
            search.fit(X, slopes, groups=trajectory)
        assert search.best_params_[name + "threshold"] == 0.05
        assert search.best_params_[name + "library__degree"] == 3


@pytest.mark.filterwarnings("ignore:Nothing is left")
@BOTH
def test_grid_search_on_trajectories_with_routing_on(kind):
    X, t, trajectory = trajectories(noise=0.01)
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(kind(symmetry=so), {"threshold": [0.05, 5.0]}, cv=GroupKFold(2))
        search.fit(X, groups=trajectory, t=t, trajectory=trajectory)
        assert search.best_params_ == {"threshold": 0.05}
        pipeline = make_pipeline(FunctionTransformer(), kind(symmetry=so, threshold=0.05))
        pipeline.fit(X, t=t, trajectory=trajectory)
        assert pipeline.score(X, t=t, trajectory=trajectory) > 0.9


def test_cross_validation_of_derivatives():
    X, t, trajectory = trajectories(noise=0.01)
    slopes = differentiate(X, t, trajectory)
    scores = cross_val_score(
        SymmetryPromotingSINDy(symmetry=so, threshold=0.05),
        X,
        slopes,
        groups=trajectory,
        cv=GroupKFold(4),
    )
    assert (scores > 0.9).all()


def test_strong_noise_is_left_to_the_weak_form():
    X, t, trajectory = trajectories(n=10, steps=500, end=20.0, noise=0.2)
    errors = {}
    for kind in (SymmetryPromotingSINDy, WeakSymmetryPromotingSINDy):
        model = kind(symmetry=so, threshold=0.0).fit(X, t=t, trajectory=trajectory)
        coef = plain(model)[:, 1:3]
        errors[kind] = np.linalg.norm(coef - [[-0.1, -1], [1, -0.1]]) / np.sqrt(2.02)
    assert errors[WeakSymmetryPromotingSINDy] < 0.03
    assert errors[WeakSymmetryPromotingSINDy] < errors[SymmetryPromotingSINDy]


def test_circle_where_library_functions_vanish():
    """On the data |x|^2 is constant, so coefficients are not determined."""
    t = np.linspace(0, 6, 200)
    X = np.column_stack([np.cos(t), np.sin(t)])
    with pytest.warns(UserWarning, match=r"vanish on the data.*-1 \+ x0\^2 \+ x1\^2 = 0"):
        model = SymmetryPromotingSINDy(gl(2)).fit(X, np.column_stack([-X[:, 1], X[:, 0]]))
    assert "x0 ∂1 - x1 ∂0" in model.algebra_.names
    np.testing.assert_allclose(model.predict(X), np.column_stack([-X[:, 1], X[:, 0]]), atol=1e-8)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": -1.0}, "`alpha` must be"),
        ({"threshold": np.nan}, "`threshold` must be"),
        ({"l1": -1.0}, "`l1` must be"),
        ({"ridge": -1.0}, "`ridge` must be"),
        ({"symmetry": so(3)}, "acts on R"),
        ({"candidates": so(5)}, "acts on R"),
        ({"controls": [5]}, "must be distinct and in"),
        ({"controls": [0, 1]}, "leave the states out"),
        ({"controls": ["u"]}, "names of all columns"),
    ],
)
@BOTH
def test_bad_parameters_are_refused(kind, parameters, message):
    X, t, trajectory = trajectories(n=2, steps=50)
    model = kind(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(X, t=t, trajectory=trajectory)
    with pytest.raises(NotFittedError):
        model.predict(X)


@BOTH
def test_bad_trajectories_are_named(kind):
    X, t, trajectory = trajectories(n=2, steps=50)
    model = kind(symmetry=so)
    holed = X.copy()
    holed[70, 1] = np.nan
    with pytest.raises(ValueError, match=r"Trajectory 1 is nan at t = "):
        model.fit(holed, t=t, trajectory=trajectory)
    with pytest.raises(ValueError, match=r"shape \(100,\).*got \(120,\)"):
        model.fit(X, t=np.arange(120.0), trajectory=trajectory)
    with pytest.raises(ValueError, match=r"Trajectory 1 .* sort the rows"):
        model.fit(X, t=np.where(np.arange(100) == 60, -1.0, t), trajectory=trajectory)
    with pytest.raises(ValueError, match="twice"):
        model.fit(X, t=np.where(np.arange(100) == 60, t[59], t), trajectory=trajectory)
    with pytest.raises(ValueError, match="one sample"):
        model.fit(X, t=t, trajectory=np.where(np.arange(100) == 99, 7, trajectory))
    with pytest.raises(ValueError, match="stack_trajectories"):
        model.fit([X[:50], X[50:]], t=[t[:50], t[50:]])
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_given_derivatives_must_fit():
    X, Y = quartic(n=50)
    with pytest.raises(ValueError, match="y has 3 columns for 6 states"):
        SymmetryPromotingSINDy().fit(X, Y[:, :3])
    with pytest.raises(ValueError, match="trajectories, not derivatives"):
        WeakSymmetryPromotingSINDy().fit(X, Y)
    with pytest.raises(ValueError, match="windows, not samples"):
        WeakSymmetryPromotingSINDy().fit(X, sample_weight=np.ones(50))


def test_failed_refit_keeps_the_old_model():
    X, t, trajectory = trajectories(n=2, steps=50)
    model = SymmetryPromotingSINDy(symmetry=so, threshold=0.05).fit(X, t=t, trajectory=trajectory)
    before = model.predict(X)
    with pytest.raises(ValueError, match="t must have shape"):
        model.fit(X[:, :1], t=t[:10])
    np.testing.assert_array_equal(model.predict(X), before)


def test_sparsest_rows_span_the_same_space():
    rng = np.random.default_rng(0)
    sparse_rows = np.zeros((3, 9))
    sparse_rows[0, :3], sparse_rows[1, 2:5], sparse_rows[2, 5:7] = 1, [1, -1, 2], [1, 1]
    mixed = rng.normal(size=(3, 3)) @ sparse_rows
    found = sparsest_rows(mixed).toarray()
    assert np.count_nonzero(found) == np.count_nonzero(sparse_rows)
    assert np.linalg.matrix_rank(np.vstack([found, sparse_rows]), tol=1e-8) == 3
    np.testing.assert_allclose(np.abs(found).max(axis=1), 1)


def test_thresholds_and_l1_choose_and_least_squares_estimates():
    rng = np.random.default_rng(0)
    R = rng.normal(size=(50, 6)) / np.sqrt(50)
    true = np.array([2.0, 0, 0, -1, 0, 0.05])
    y = R @ true + 1e-4 * rng.normal(size=50)
    for options, kept in (
        ({"threshold": 0.1, "l1": 0.0}, [0, 3]),
        ({"threshold": 0.0, "l1": 0.1}, [0, 3]),
    ):
        w = sparse_least_squares(R, y, **options)
        assert np.flatnonzero(w).tolist() == kept
        np.testing.assert_allclose(w[kept], np.linalg.lstsq(R[:, kept], y)[0])
    assert not sparse_least_squares(R, y, threshold=10.0, l1=0.0).any()


def test_rigid_motions_that_the_second_state_breaks():
    """Kepler-like columns: candidates that act on some columns only, offsets among them."""
    X, Y = quartic(n=200)
    algebra = se(3)
    lifted = LieAlgebra(
        np.stack([np.kron(np.eye(2), A) for A in algebra.linear]),
        np.concatenate([algebra.offset, np.zeros((6, 3))], axis=1),
    )
    model = SymmetryPromotingSINDy(lifted, library=PolynomialLibrary(3)).fit(X, Y)
    assert model.n_symmetries_ == 3
    assert not model.algebra_.offset.any()
