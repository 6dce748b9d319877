"""Promotion: what is kept, what it costs, and what is refused."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksym import (
    FourierLibrary,
    LieAlgebra,
    PolynomialLibrary,
    SymmetricRidge,
    SymmetryPromotingRegressor,
    SymmetryPromotingRegressorCV,
    gl,
    permutations,
    reflections,
    se,
    so,
    symmetry_path,
    tensor,
    translations,
    vector,
)
from sksym.promote import reweighting

UNIT = {"center": 0.0, "scale": 1.0, "domain": (-1, 1)}


def samples(function, n=30, d=4, seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, d))
    y = function(X)
    return X, y + noise * np.std(y) * rng.normal(size=y.shape)


def radial(X):
    return X[:, 3] + (X[:, :3] ** 2).sum(axis=1)


def hopf(X):
    turned = np.stack([-X[:, 1], X[:, 0]], axis=1)
    return 0.5 * X + turned - (X**2).sum(axis=1, keepdims=True) * X


def test_kept_are_the_rotations_and_the_function_is_recovered_from_few_samples():
    X, y = samples(radial, n=12)  # 15 functions
    model = SymmetryPromotingRegressor(so, alpha=0.0).fit(X, y)
    assert model.n_symmetries_ == 3
    assert not model.algebra_.linear[:, 3].any()
    far = np.random.default_rng(1).uniform(-3, 3, size=(50, 4))
    np.testing.assert_allclose(model.predict(far), radial(far), atol=1e-10)
    assert SymmetricRidge(alpha=0.0).fit(X, y).score(far, radial(far)) < 0.99


def test_recovery_as_in_the_paper():
    """Two of OZKB's kinds of functions, at fewer samples than their table asks for."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(60, 6))
    U = np.linalg.qr(rng.normal(size=(6, 6)))[0][:1]
    z = (X @ U.T)[:, 0]
    y = 0.3 + z + 0.5 * z**2 + 0.8 * z**3
    library = PolynomialLibrary(3, **UNIT)  # 84 functions
    model = SymmetryPromotingRegressor(translations, library=library, alpha=0.0).fit(X[:30], y[:30])
    assert model.n_symmetries_ == 5
    np.testing.assert_allclose(model.predict(X), y, atol=1e-6)


def test_penalties_grow_with_alpha_and_at_the_end_all_is_symmetric():
    X, y = samples(lambda X: X[:, 0] * X[:, 1] + X[:, 2] ** 2, n=40, d=3)
    path = symmetry_path(X, y, so, alphas=8)
    assert (np.diff(path.alphas) < 0).all()
    assert (np.diff(path.mean_squared_error) <= 1e-10).all()
    assert (np.diff(path.singular_values.sum(axis=1)) >= -1e-6).all()
    assert path.n_symmetries[0] == 3
    assert path.n_symmetries[-1] == 0
    strong = SymmetryPromotingRegressor(so, alpha=100.0, adaptive=False).fit(X, y)
    radius = (X**2).sum(axis=1)
    slope, level = np.polyfit(radius, y, 1)
    np.testing.assert_allclose(strong.predict(X), level + slope * radius, atol=1e-5)


def test_small_alpha_is_least_squares():
    X, y = samples(lambda X: X[:, 0] * X[:, 1] + X[:, 2], n=40, d=3, noise=0.1)
    plain = SymmetricRidge(alpha=0.0).fit(X, y)
    for options in ({"alpha": 0.0}, {"alpha": 1e-9, "refit": False}):
        model = SymmetryPromotingRegressor(so, **options).fit(X, y)
        np.testing.assert_allclose(model.predict(X), plain.predict(X), atol=1e-6)


def test_ridge_alone_is_ridge():
    X, y = samples(lambda X: X[:, 0] * X[:, 1] + X[:, 2], n=40, d=3, noise=0.1)
    model = SymmetryPromotingRegressor(so, alpha=0.0, ridge=0.3, refit=False).fit(X, y)
    functions = model.library_.transform(X)[:, 1:]
    ridge = Ridge(alpha=0.3 * 40).fit(functions, y)
    np.testing.assert_allclose(model.coef_[1:], ridge.coef_, atol=1e-9)


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_refit_is_the_oracle_where_the_noise_lets_it_be_seen(noise):
    X, Y = samples(lambda X: hopf(X / 2), n=100, d=2, noise=noise, seed=3)
    library = PolynomialLibrary(3, center=0.0, scale=1.0)
    model = SymmetryPromotingRegressor(gl, output=vector, library=library, alpha=1e-3).fit(X, Y)
    oracle = SymmetricRidge(so(2), output=vector, library=library, alpha=0.0).fit(X, Y)
    assert model.algebra_.names == ("x0 ∂1 - x1 ∂0",)
    np.testing.assert_allclose(model.coef_, oracle.coef_, atol=1e-9)


def test_nothing_is_kept_where_nothing_is():
    for seed in range(5):
        X, y = samples(
            lambda X: X[:, 0] + X[:, 0] * X[:, 1] - X[:, 2] ** 2 + X[:, 1],
            n=200,
            d=3,
            noise=0.1,
            seed=seed,
        )
        model = SymmetryPromotingRegressor(se, library=PolynomialLibrary(3), alpha=1e-4).fit(X, y)
        assert model.n_symmetries_ == 0


def test_enforced_symmetry_is_exact_and_not_counted():
    X, Y = samples(lambda X: hopf(X[:, :2]), n=40, d=2, noise=0.1)
    library = PolynomialLibrary(3, center=0.0)
    model = SymmetryPromotingRegressor(
        gl, symmetry=so, output=vector, library=library, alpha=1e-3, refit=False
    )
    with pytest.warns(UserWarning, match="1 of the candidates"):
        model.fit(X, Y)
    M, _ = so(2).exp([0.7])
    np.testing.assert_allclose(model.predict(X @ M.T), model.predict(X) @ M.T, atol=1e-12)


def test_discrete_candidates_are_promoted():
    X, y = samples(lambda X: np.cos(X).sum(axis=1) + 0.01 * X[:, 0], n=40, d=3)
    strong = SymmetryPromotingRegressor(permutations, alpha=1.0).fit(X, y)
    np.testing.assert_allclose(strong.predict(X), strong.predict(X[:, [1, 2, 0]]), atol=1e-6)
    weak = SymmetryPromotingRegressor(permutations, alpha=1e-6).fit(X, y)
    assert np.abs(weak.predict(X) - weak.predict(X[:, [1, 2, 0]])).max() > 1e-3
    candidates = so(3) + reflections(3)
    both = SymmetryPromotingRegressor(candidates, alpha=1.0, refit=False).fit(X, y)
    np.testing.assert_allclose(both.predict(X), both.predict(-X), atol=1e-5)


def test_sampled_libraries_are_promoted_too():
    X = np.random.default_rng(0).uniform(-1, 1, size=(60, 2))
    model = SymmetryPromotingRegressor(translations, library=FourierLibrary(), alpha=0.0)
    model.fit(np.pi * X, np.sin(np.pi * X[:, 0]))
    assert model.n_symmetries_ == 1
    assert model.algebra_.names == ("∂1",)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_units_of_inputs_and_outputs_do_not_matter(size):
    X, y = samples(radial, n=12)
    model = SymmetryPromotingRegressor(so, alpha=0.0).fit(size * X, y / size)
    assert model.n_symmetries_ == 3
    np.testing.assert_allclose(model.predict(size * X) * size, y, atol=1e-9)


def test_data_away_from_the_origin():
    X, y = samples(lambda X: (X**2).sum(axis=1), n=9, d=3)  # 10 functions
    model = SymmetryPromotingRegressor(alpha=0.0).fit(X + 50.0, y)
    assert model.n_symmetries_ == 3
    far = np.random.default_rng(1).uniform(-1, 1, size=(20, 3))
    np.testing.assert_allclose(model.predict(far + 50.0), (far**2).sum(axis=1), atol=1e-4)


def test_weights_are_repetitions():
    X, y = samples(radial, n=30, noise=0.1)
    weight = np.random.default_rng(0).integers(0, 3, size=30)
    for parameters in ({"alpha": 1e-2, "refit": False}, {"alpha": 1e-2}):
        model = SymmetryPromotingRegressor(so, tol=1e-9, max_iter=50_000, **parameters)
        one = clone(model).fit(X, y, sample_weight=weight)
        other = clone(model).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
        np.testing.assert_allclose(one.predict(X), other.predict(X), atol=1e-4)


def test_cvxpy_solves_the_same_problem():
    X, y = samples(radial, n=20, noise=0.05)
    options = {"alpha": 0.02, "adaptive": False, "refit": False}
    ours = SymmetryPromotingRegressor(so, tol=1e-9, **options).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = SymmetryPromotingRegressor(so, solver="cvxpy", **options).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert theirs.dual_gap_ <= 1e-4


@pytest.mark.parametrize("size", [1.0, 100.0])
def test_dual_gap_bounds_the_objective_in_its_own_units(size):
    X, y = samples(radial, n=20, noise=0.05)
    y, alpha = size * y, 0.01 * size
    options = {"alpha": alpha, "adaptive": False, "refit": False}

    def objective(model):
        misfit = np.mean((y - model.predict(X)) ** 2) / 2
        return misfit + alpha * model.singular_values_.sum()

    least = objective(SymmetryPromotingRegressor(so, tol=1e-10, **options).fit(X, y))
    for tol in (1e-1, 1e-2, 1e-4):
        rough = SymmetryPromotingRegressor(so, tol=tol, **options).fit(X, y)
        assert objective(rough) - least <= rough.dual_gap_ + 1e-9 * least
        assert 0 < rough.dual_gap_ <= tol * least * (1 + 2 * tol)


def test_reported_nuclear_norm_is_that_of_the_coefficients():
    X, y = samples(radial, n=20, noise=0.05)
    model = SymmetryPromotingRegressor(so, alpha=0.01, refit=False).fit(X, y)
    values = model.singular_values_
    assert (np.diff(values) <= 0).all()
    # The mean square of the Lie derivatives over the box, along orthonormal generators.
    box = model.library_.domain_
    points = np.random.default_rng(0).uniform(box[0], box[1], size=(40_000, 4))
    slopes = np.einsum("npd,nrd->npr", model.library_.jacobian(points), so(4).vector_field(points))
    moved = np.einsum("p,npr->nr", model.coef_, slopes) / np.sqrt(2)
    assert np.sqrt(np.mean(np.sum(moved**2, axis=1))) == pytest.approx(
        np.sqrt(np.sum(values**2)), rel=0.1
    )


def test_cross_validation_chooses_between_promotion_and_ridge():
    X, Y = samples(lambda X: hopf(X / 2), n=60, d=2, noise=0.1, seed=1)
    library = PolynomialLibrary(3, center=0.0, scale=1.0)
    model = SymmetryPromotingRegressorCV(gl, output=vector, library=library, alphas=5).fit(X, Y)
    table = model.cv_results_
    assert table["mean_squared_error"].shape == (len(table["alpha"]), 5)
    assert model.alpha_ in table["alpha"]
    assert -model.best_score_ == pytest.approx(table["mean_test_error"].min())
    again = SymmetryPromotingRegressor(
        gl, output=vector, library=library, alpha=model.alpha_, ridge=model.ridge_
    ).fit(X, Y)
    np.testing.assert_allclose(again.coef_, model.coef_, atol=1e-9)


def test_cross_validation_is_cross_validation():
    X, y = samples(radial, n=40, noise=0.2, seed=2)
    model = SymmetryPromotingRegressorCV(
        so, alphas=[1e-3, 0.1], ridges=[], cv=KFold(4), refit=False
    ).fit(X, y)
    for i, alpha in enumerate(model.cv_results_["alpha"]):
        for k, (train, test) in enumerate(KFold(4).split(X)):
            library = PolynomialLibrary(
                2, model.library_.center_, model.library_.scale_, model.library_.domain_
            )
            one = SymmetryPromotingRegressor(so, library=library, alpha=alpha, refit=False)
            error = np.mean((one.fit(X[train], y[train]).predict(X[test]) - y[test]) ** 2)
            assert model.cv_results_["mean_squared_error"][i, k] == pytest.approx(error, rel=1e-2)


def test_grid_search_pipeline_pandas_pickle():
    X, y = samples(radial, n=40, noise=0.1)
    X = pd.DataFrame(X, columns=list("abcd"))
    model = make_pipeline(
        FunctionTransformer(), SymmetryPromotingRegressor(so, library=PolynomialLibrary(2))
    )
    grid = {
        "symmetrypromotingregressor__alpha": [1e-3, 1.0],
        "symmetrypromotingregressor__library__degree": [1, 2],
    }
    search = GridSearchCV(model, grid, cv=3).fit(X, y)
    best = search.best_estimator_[-1]
    assert list(best.feature_names_in_) == list("abcd")
    copy = pickle.loads(pickle.dumps(best))
    np.testing.assert_array_equal(copy.predict(X), best.predict(X))


def test_progress_is_printed(capsys):
    X, y = samples(radial, n=40, noise=0.1)
    SymmetryPromotingRegressor(so, alpha=0.01, verbose=1).fit(X, y)
    assert "relative gap" in capsys.readouterr().out
    SymmetryPromotingRegressorCV(so, alphas=2, ridges=[], cv=2, verbose=1).fit(X, y)
    assert "fold 2 of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": -1.0}, "`alpha` must be"),
        ({"alpha": np.nan}, "`alpha` must be"),
        ({"ridge": -1e-3}, "`ridge` must be"),
        ({"ridge": np.nan}, "`ridge` must be"),
        ({"solver": "scs"}, "`solver` must be"),
        ({"max_iter": 0}, "`max_iter` must be"),
        ({"tol": 0.0}, "`tol` must be"),
        ({"candidates": so(3)}, "acts on R"),
        ({"candidates": "so"}, "must be a LieAlgebra"),
        ({"output": tensor(vector, vector)}, "moves 16 outputs"),
        ({"symmetry": translations, "output": np.zeros((6, 1, 1))}, "speaks of one algebra"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    X, y = samples(radial)
    model = SymmetryPromotingRegressor(**{"candidates": so, **parameters})
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alphas": []}, "`alphas` is empty"),
        ({"alphas": [-1.0]}, "`alphas` must be"),
        ({"alphas": 0}, "`alphas` must be"),
        ({"ridges": [np.nan]}, "`ridges` must be"),
    ],
)
def test_bad_grids_are_refused(parameters, message):
    X, y = samples(radial)
    with pytest.raises(ValueError, match=message):
        SymmetryPromotingRegressorCV(so, **parameters).fit(X, y)


def test_tolerance_out_of_reach_warns_with_the_gap():
    X, y = samples(radial, n=40, noise=0.1)
    model = SymmetryPromotingRegressor(so, alpha=0.01, max_iter=3, refit=False, adaptive=False)
    with pytest.warns(ConvergenceWarning, match=r"duality gap is .* increase `max_iter` or `tol`"):
        model.fit(X, y)
    assert np.isfinite(model.coef_).all()
    model.set_params(max_iter=3000, tol=1e-300)
    with pytest.warns(ConvergenceWarning, match="duality gap"):
        model.fit(X, y)
    assert model.dual_gap_ < 1e-10


def test_candidates_that_move_nothing():
    X, y = samples(radial, n=40)
    still = LieAlgebra(np.zeros((2, 4, 4)))
    with pytest.warns(UserWarning, match="nothing to promote"):
        model = SymmetryPromotingRegressor(still, alpha=1.0).fit(X, y)
    assert model.n_symmetries_ == 0
    np.testing.assert_allclose(model.predict(X), y, atol=1e-10)


def test_constant_targets_keep_every_candidate():
    X, _ = samples(radial, n=40)
    model = SymmetryPromotingRegressor(so, alpha=0.1).fit(X, np.full(40, 3.0))
    np.testing.assert_allclose(model.predict(X), 3.0)
    assert model.n_symmetries_ == 6


def test_interrupted_and_failed_fits_leave_the_model_as_it_was(monkeypatch):
    X, y = samples(radial, n=40, noise=0.1)
    model = SymmetryPromotingRegressor(so, alpha=0.01).fit(X, y)
    before = model.predict(X)

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(reweighting, "penalised_least_squares", interrupted)
    for one in (model, clone(model)):
        with pytest.raises(KeyboardInterrupt):
            one.fit(X[:20], y[:20])
    np.testing.assert_array_equal(model.predict(X), before)
    with pytest.raises(NotFittedError):
        one.predict(X)


def test_callbacks_of_scikit_learn_see_the_parts(watch):
    X, y = samples(radial, n=40, noise=0.1)
    model = SymmetryPromotingRegressor(so, alpha=0.0).set_callbacks(watch)
    with pytest.warns(UserWarning, match="do not determine the function"):
        model.fit(X[:12], y[:12])  # too few to decide from least squares: nine rounds
    seen = watch.events
    rounds_seen = [name for k in range(9) for name in (f"round {k}", "end")]
    assert seen[:20] == ["fit", *rounds_seen, seen[19]]
    assert seen[-1] == "end"
    seen.clear()
    model = SymmetryPromotingRegressorCV(so, alphas=2, ridges=[], cv=2).set_callbacks(watch)
    model.fit(X, y)
    assert seen == ["fit", "fold 0", "end", "fold 1", "end", "end"]
