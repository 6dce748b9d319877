"""MirrorSparseRegressor with all kinds of data, as a regressor of scikit-learn, and bad input."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.optimize import nnls
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Lasso
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from cases import MIRRORS
from sksym import MirrorSGDRegressor, MirrorSparseRegressor, MirrorSparseRegressorCV, mirror_path
from sksym.mirror import Mirror, exchange, groups, low_rank, rescaling, sum_zero, trend


def samples(n=30, q=1):
    """Coefficients with zeros, with equal neighbours, and of rank one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 6)) + rng.normal(size=6)
    w = np.array([1.0, 1.0, 0.0, 0.0, -2.0, 0.0])
    Y = np.outer(X @ w, np.arange(1, q + 1)) + 0.3 * rng.normal(size=(n, q)) + 2.0
    return X, Y[:, 0] if q == 1 else Y


# Data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIRRORS)
def test_weights_count_rows(name, rng):
    X, y = samples(q=2)
    weight = rng.integers(0, 4, size=30)
    model = MirrorSparseRegressor(MIRRORS[name], alpha=0.1, tol=1e-10)
    weighted = clone(model).fit(X, y, sample_weight=weight)
    repeated = clone(model).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight, axis=0))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-6)
    np.testing.assert_allclose(weighted.intercept_, repeated.intercept_, atol=1e-6)
    scaled = clone(model).fit(X, y, sample_weight=weight / 7.0)
    np.testing.assert_allclose(weighted.coef_, scaled.coef_, atol=1e-6)
    X[weight == 0] = 1e6
    dropped = clone(model).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(weighted.coef_, dropped.coef_)


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
@pytest.mark.parametrize("name", MIRRORS)
def test_sparse_data_are_dense_data(name, kind, rng):
    X, Y = samples(q=2)
    X[rng.random(X.shape) < 0.5] = 0
    weight = rng.uniform(size=30)
    model = MirrorSparseRegressor(MIRRORS[name], alpha=0.1, tol=1e-11)
    dense = clone(model).fit(X, Y, weight)
    thin = clone(model).fit(kind(X), Y, weight)
    np.testing.assert_allclose(thin.coef_, dense.coef_, atol=1e-5)
    np.testing.assert_allclose(thin.predict(kind(X)), dense.predict(X), atol=1e-5)


@pytest.mark.parametrize("size", [1, 5])
def test_sparse_data_stay_sparse(size, rng):
    """As numbers these data take 16 GB."""
    n, p = 20_000, 100_000
    X = sparse.csc_array(
        (rng.normal(size=2 * p), rng.integers(n, size=2 * p), np.arange(0, 2 * p + 1, 2)), (n, p)
    )
    y = X @ np.where(np.arange(p) < 20, 3.0, 0.0) + 0.01 * rng.normal(size=n)
    mirrors = groups(np.arange(p) // size) if size > 1 else None
    tracemalloc.start()
    model = MirrorSparseRegressor(mirrors, alpha=5e-5).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e8
    pull = X.T @ (y - model.predict(X)) / n
    strongest = np.linalg.norm(pull.reshape(-1, size), axis=1).max() / np.sqrt(size)
    assert strongest == pytest.approx(5e-5, rel=1e-3)
    assert 0 < model.active_.sum() < 100


def test_sparse_data_that_would_not_fit_are_refused():
    X, y = sparse.csr_array((10**6, 10**5)), np.arange(10**6) * 1.0
    for mirrors in (trend(1), groups([[0, 1]]), low_rank()):
        with pytest.raises(MemoryError, match="GiB"):
            MirrorSparseRegressor(mirrors).fit(X, y)


@pytest.mark.parametrize("name", MIRRORS)
def test_single_precision(name):
    X, y = samples()
    double = MirrorSparseRegressor(MIRRORS[name], alpha=0.1, tol=1e-9).fit(X, y)
    single = clone(double).fit(X.astype(np.float32), y.astype(np.float32))
    assert single.coef_.dtype == single.predict(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(single.coef_, double.coef_, atol=1e-4)


def test_least_squares_of_least_norm(rng):
    X, Y = rng.normal(size=(10, 25)) + 3.0, rng.normal(size=(10, 2))
    Xc, Yc = X - X.mean(axis=0), Y - Y.mean(axis=0)
    for mirrors in (None, trend(1), low_rank(), [rescaling(), trend(1)]):
        for data in (X, sparse.csr_array(X)):
            model = MirrorSparseRegressor(mirrors, alpha=0.0).fit(data, Y)
            np.testing.assert_allclose(model.coef_.T, np.linalg.pinv(Xc) @ Yc, atol=1e-8)
            np.testing.assert_allclose(model.predict(data), Y, atol=1e-8)
    plain = MirrorSparseRegressor(alpha=0.0, fit_intercept=False).fit(X, Y)
    np.testing.assert_allclose(plain.coef_.T, np.linalg.pinv(X) @ Y, atol=1e-10)
    signs = MirrorSparseRegressor(alpha=0.0, positive=True).fit(Xc, Yc[:, 0])
    np.testing.assert_allclose(signs.coef_, nnls(Xc, Yc[:, 0])[0], atol=1e-10)


@pytest.mark.parametrize("name", ["rescaling", "groups", "tree", "kinks", "balance"])
def test_each_output_alone(name):
    X, Y = samples(q=3)
    model = MirrorSparseRegressor(MIRRORS[name], alpha=0.1, multi_task=False).fit(X, Y)
    alone = [clone(model).fit(X, y) for y in Y.T]
    np.testing.assert_array_equal(model.coef_, [one.coef_ for one in alone])
    np.testing.assert_array_equal(model.active_, [one.active_ for one in alone])
    assert model.dual_gap_ == pytest.approx(sum(one.dual_gap_ for one in alone))
    assert model.intercept_.shape == (3,)


def test_several_positive_outputs_alone():
    X, Y = samples(q=3)
    model = MirrorSparseRegressor(alpha=0.1, positive=True, multi_task=False, tol=1e-10).fit(X, Y)
    lasso = [Lasso(alpha=0.1, positive=True, tol=1e-13).fit(X, y).coef_ for y in Y.T]
    np.testing.assert_allclose(model.coef_, lasso, atol=1e-6)


# As scikit-learn's regressors ---------------------------------------------------------------------


def test_names_of_columns(rng):
    X, y = samples()
    frame = pd.DataFrame(X, columns=list("abcdef"))
    by_name = MirrorSparseRegressor(
        [groups([["a", "b"], ["f", "c"]]), sum_zero(["d", "e"])], alpha=0.1
    )
    by_index = MirrorSparseRegressor([groups([[0, 1], [5, 2]]), sum_zero([3, 4])], alpha=0.1)
    by_name.fit(frame, pd.Series(y))
    np.testing.assert_allclose(by_name.coef_, by_index.fit(X, y).coef_, atol=1e-12)
    assert by_name.mirror_names_ == ["a, b", "f, c", "sum of d, e"]
    assert by_index.mirror_names_ == ["x0, x1", "x5, x2", "sum of x3, x4"]
    assert by_name.feature_names_in_.tolist() == list("abcdef")
    with pytest.raises(ValueError, match="feature names"):
        by_name.predict(frame[list("fedcba")])


@pytest.mark.parametrize("name", MIRRORS)
def test_copies(name):
    X, y = samples()
    model = MirrorSparseRegressor(MIRRORS[name], alpha=0.1).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(clone(again).fit(X, y).coef_, model.coef_)
    assert not hasattr(clone(model), "coef_")
    assert len(repr(model)) < 900


@pytest.mark.parametrize("name", ["rescaling", "groups", "chain", "low rank", "ring"])
def test_fits_are_deterministic_and_leave_the_global_generator_alone(name):
    X, y = samples()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one = MirrorSparseRegressor(MIRRORS[name], alpha=0.1).fit(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(clone(one).fit(X, y).coef_, one.coef_)


@pytest.mark.parametrize(
    "name", ["rescaling", "groups", "some columns", "chain", "kinks", "low rank"]
)
def test_warm_start(name):
    X, Y = samples(q=2)
    model = MirrorSparseRegressor(MIRRORS[name], alpha=0.1, warm_start=True, solver="newton")
    cold = model.fit(X, Y).n_iter_
    first = model.coef_
    assert model.fit(X, Y).n_iter_ < cold
    np.testing.assert_allclose(model.coef_, first, atol=1e-4)
    model.set_params(alpha=0.05).fit(X, Y)
    alone = clone(model).fit(X, Y)
    np.testing.assert_allclose(model.coef_, alone.coef_, atol=1e-3)
    model.fit(X[:, :5], Y[:, 0]) if name == "low rank" else model.fit(X, Y[:, 0])  # another shape
    assert model.coef_.ndim == 1


def test_grid_search_over_alpha_and_mirrors():
    X, y = samples(n=60)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = Pipeline([("scale", StandardScaler()), ("fit", MirrorSparseRegressor())])
    model.set_output(transform="pandas")
    grid = {
        "fit__alpha": [1e-3, 1e-2, 1.0],
        "fit__mirrors": [None, groups([["a", "b"], ["c", "d"], ["e", "f"]]), trend(1), low_rank()],
    }
    search = GridSearchCV(model, grid, cv=3, error_score="raise").fit(frame, y)
    assert search.best_score_ > 0.9
    assert len(search.cv_results_["params"]) == 12
    assert search.best_estimator_[-1].feature_names_in_.tolist() == list("abcdef")


def test_cross_validation_publishes_what_it_measured():
    X, y = samples(n=60)
    for alphas in (5, [0.3, 0.01, 0.1]):
        model = MirrorSparseRegressorCV(alphas=alphas, cv=3).fit(X, y)
        results = model.cv_results_
        assert len(results["alpha"]) == np.size(model.alphas_) == (alphas if alphas == 5 else 3)
        assert results["mean_squared_error"].shape == (len(model.alphas_), 3)
        np.testing.assert_allclose(
            results["mean_test_error"], results["mean_squared_error"].mean(axis=1)
        )
        best = np.flatnonzero(results["alpha"] == model.alpha_)[0]
        assert model.best_score_ == -results["mean_test_error"].min()
        assert model.best_score_ == -results["mean_test_error"][best]
    zero = MirrorSparseRegressorCV(alphas=[0.1, 0.0], cv=3).fit(X, y)
    plain = MirrorSparseRegressor(alpha=0.0).fit(X, y)
    np.testing.assert_allclose(zero.path_["coefs"][-1], plain.coef_, atol=1e-10)


def test_warnings_name_the_line_of_the_caller():
    X, y = samples()
    ring = exchange([(j, (j + 1) % 6) for j in range(6)])
    dependent = Mirror(np.ones((6, 2)))
    short = {"alpha": 0.05, "max_iter": 1, "tol": 1e-12}
    calls = [
        lambda: MirrorSparseRegressor(ring, **short).fit(X, y),
        lambda: MirrorSparseRegressor(dependent, alpha=0.1).fit(X, y),
        lambda: mirror_path(X, y, ring, alphas=3, max_iter=1, tol=1e-12),
        lambda: MirrorSGDRegressor(alpha=0.1, max_epochs=1, polish=False).fit(X, y),
    ]
    for call in calls:
        with pytest.warns(UserWarning, match="gap|dependent|fits end") as said:
            call()
        assert {warning.filename for warning in said} == {__file__}


# Bad input ----------------------------------------------------------------------------------------

WRONG = {
    "negative alpha": ({"alpha": -1.0}, "`alpha` must be a finite number >= 0, got -1.0"),
    "alpha is text": ({"alpha": "auto"}, "`alpha` must be a finite number >= 0, got 'auto'"),
    "infinite alpha": ({"alpha": np.inf}, "`alpha` must be a finite number >= 0, got inf"),
    "overlap": ({"overlap": "both"}, "`overlap` must be one of 'analysis', 'latent', got 'both'"),
    "solver": (
        {"solver": "lbfgs"},
        "`solver` must be one of 'auto', 'newton', 'cd', .*, got 'lbfgs'",
    ),
    "depth 1": ({"depth": 1}, "`depth` must be an integer >= 2, got 1"),
    "depth 2.5": ({"depth": 2.5}, "`depth` must be an integer >= 2, got 2.5"),
    "max_iter": ({"max_iter": 0}, "`max_iter` must be an integer >= 1, got 0"),
    "tol of 1": ({"tol": 1.0}, "`tol` must be a number between 0 and 1, got 1.0"),
    "tol is text": ({"tol": "1e-3"}, "`tol` must be a number between 0 and 1, got '1e-3'"),
    "max_iter is no integer": ({"max_iter": 2.0}, "`max_iter` must be an integer >= 1, got 2.0"),
    "tol": ({"tol": -1e-3}, "`tol` must be a number between 0 and 1, got -0.001"),
    "depth with cd": ({"depth": 3, "solver": "cd"}, 'solver="cd" solves convex .* use depth=2'),
    "depth with cvxpy": (
        {"depth": 4, "solver": "cvxpy"},
        "depth=4 is not: use depth=2, or solver=",
    ),
    "depth of low rank": ({"depth": 3, "mirrors": low_rank()}, "not for `low_rank`: use depth=2"),
    "cd for groups": ({"solver": "cd", "mirrors": groups([[0, 1]])}, 'single columns.*use "auto"'),
    "cd for chains": ({"solver": "cd", "mirrors": trend(1)}, 'single columns.*use "auto"'),
    "newton for a ring": (
        {"solver": "newton", "mirrors": MIRRORS["ring"]},
        'independent of each other.*use "auto" or "admm"',
    ),
    "admm and signs": (
        {"solver": "admm", "positive": True},
        'does not know positive=True.*use "auto"',
    ),
    "latent admm": (
        {"solver": "admm", "overlap": "latent"},
        'does not know .* overlap="latent": use "auto"',
    ),
    "signs on a chain": (
        {"positive": True, "mirrors": trend(1)},
        "positive=True is for mirrors of",
    ),
    "signs left free": ({"positive": True, "mirrors": groups([[0, 1]])}, "cover all columns"),
    "latent low rank": (
        {"overlap": "latent", "mirrors": [low_rank(), rescaling()]},
        'use overlap="analysis", or `low_rank\\(\\)` alone',
    ),
    "name not there": (
        {"mirrors": groups([["y", "z"]])},
        r"\['y', 'z'\] of `groups` is among the feat",
    ),
    "out of range": ({"mirrors": exchange([(0, 6)])}, r"in 0\.\.5, got \[6\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_parameters(name):
    parameters, message = WRONG[name]
    X, y = samples()
    with pytest.raises(ValueError, match=message):
        MirrorSparseRegressor(**parameters).fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alphas": 0}, "`alphas` must be a number of values >= 1 or values, got 0"),
        ({"alphas": [0.1, -1.0]}, "`alphas` must be a finite number >= 0, got -1.0"),
        ({"alphas": [np.nan]}, "`alphas` must be a finite number >= 0, got nan"),
        ({"eps": 1.0}, "`eps` must be a number between 0 and 1, got 1.0"),
        ({"tol": np.nan}, "`tol` must be a number between 0 and 1, got nan"),
        ({"max_iter": 0}, "`max_iter` must be an integer >= 1, got 0"),
        ({"solver": 3}, "`solver` must be one of 'auto', .*, got 3"),
    ],
)
def test_bad_parameters_of_cross_validation(parameters, message):
    with pytest.raises(ValueError, match=message):
        MirrorSparseRegressorCV(**parameters).fit(*samples())


def test_several_outputs_that_cannot_be():
    X, Y = samples(q=2)
    with pytest.raises(ValueError, match="use multi_task=True"):
        MirrorSparseRegressor(low_rank(), multi_task=False).fit(X, Y)
    with pytest.raises(ValueError, match="use multi_task=False"):
        MirrorSparseRegressor(positive=True).fit(X, Y)


@pytest.mark.parametrize("weight", [-np.ones(30), np.zeros(30), np.ones(29), np.full(30, np.nan)])
def test_bad_weights(weight):
    with pytest.raises(ValueError, match="weight"):
        MirrorSparseRegressor().fit(*samples(), sample_weight=weight)


def test_a_failed_fit_changes_nothing():
    X, y = samples()
    model = MirrorSparseRegressor(alpha=0.1)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    before = {**vars(model.fit(X, y))}
    for wrong in (
        {"alpha": -1.0},
        {"mirrors": rescaling([7])},
        {"mirrors": trend(9), "alpha": 0.2},
    ):
        kept = model.get_params()
        with pytest.raises(ValueError, match=r"must be|needs"):
            model.set_params(**wrong).fit(X[:, :4], y)
        model.set_params(**kept)
        assert all(vars(model)[name] is value for name, value in before.items())
