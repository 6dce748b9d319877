"""SymmetricRidgeCV is the brute-force search; weights and searches around it."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    LeaveOneOut,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import sksym as sk

SPLITS = {
    "default": None,
    "3": 3,
    "KFold": KFold(4, shuffle=True, random_state=0),
    "ShuffleSplit": ShuffleSplit(3, random_state=0),
    "LeaveOneOut": LeaveOneOut(),
    "RepeatedKFold": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    "TimeSeriesSplit": TimeSeriesSplit(3),
}


@pytest.mark.parametrize("cv", SPLITS.values(), ids=list(SPLITS))
@pytest.mark.parametrize("output", [None, sk.vector])
def test_cv_is_the_brute_force_search(cv, output, rng):
    X, weight = rng.normal(size=(60, 3)), rng.uniform(0.5, 2, size=60)
    Y = X * (X**2).sum(axis=1)[:, None] + rng.normal(size=(60, 3))
    alphas = [1e-3, 1e-1, 10.0]
    common = {
        "symmetry": sk.so(2).on_columns([0, 1], 3),
        "library": sk.PolynomialLibrary(3, center=0.0, scale=4.0),
        "output": output,
    }
    model = sk.SymmetricRidgeCV(**common, alphas=alphas, cv=cv).fit(X, Y, weight)
    splitter = KFold(cv or 5) if cv is None or isinstance(cv, int) else cv
    for a, alpha in enumerate(alphas):
        for fold, (train, test) in enumerate(splitter.split(X)):
            single = sk.SymmetricRidge(**common, alpha=alpha).fit(X[train], Y[train], weight[train])
            squared = np.mean((single.predict(X[test]) - Y[test]) ** 2, axis=1)
            expected = np.average(squared, weights=weight[test])
            assert_allclose(model.cv_results_["mean_squared_error"][a, fold], expected, rtol=1e-8)
    best = sk.SymmetricRidge(**common, alpha=model.alpha_).fit(X, Y, weight)
    assert model.alpha_ == alphas[np.argmin(model.cv_results_["mean_test_error"])]
    assert_allclose(model.coef_, best.coef_, atol=1e-10)
    assert model.best_score_ == -model.cv_results_["mean_test_error"].min()


def test_cv_needs_weight_in_training(rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    with pytest.raises(ValueError, match="fold 0 trains on"):
        sk.SymmetricRidgeCV(sk.so(2), cv=3).fit(X, y, np.repeat([1.0, 0.0, 0.0], 10))


def boolean(splits, n):
    return [tuple(np.isin(np.arange(n), part) for part in split) for split in splits]


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda splits: boolean(splits, 30)])
def test_cv_takes_an_iterable_of_splits(kind, rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    splits = kind(KFold(3).split(X))
    listed, numbered = sk.SymmetricRidgeCV(sk.so(2), cv=splits), sk.SymmetricRidgeCV(sk.so(2), cv=3)
    assert_allclose(listed.fit(X, y).coef_, numbered.fit(X, y).coef_, rtol=1e-12)
    assert_allclose(listed.best_score_, numbered.best_score_, rtol=1e-12)


def test_cv_ignores_rows_of_weight_zero(rng):
    X, y, weight = rng.normal(size=(60, 2)), rng.normal(size=60), rng.integers(0, 2, size=60)
    X[weight == 0] *= 1e3
    kept, fold = weight > 0, np.arange(60) % 3
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    few = [(np.flatnonzero(fold[kept] != k), np.flatnonzero(fold[kept] == k)) for k in range(3)]
    weighted = sk.SymmetricRidgeCV(sk.so(2), cv=splits).fit(X, y, weight)
    without = sk.SymmetricRidgeCV(sk.so(2), cv=few).fit(X[kept], y[kept])
    assert_allclose(weighted.coef_, without.coef_, rtol=1e-9)
    assert_allclose(weighted.best_score_, without.best_score_, rtol=1e-9)


@pytest.mark.parametrize("cv", [[], 1, "three"])
def test_cv_without_splits_is_refused(cv, rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    with pytest.raises(ValueError, match=r"cv|split"):
        sk.SymmetricRidgeCV(sk.so(2), cv=cv).fit(X, y)


def test_cv_with_nothing_to_train_on_is_refused(rng):
    X, y, weight = rng.normal(size=(30, 2)), rng.normal(size=30), np.zeros(30)
    weight[:3] = 1
    with pytest.raises(ValueError, match=r"fold|split"):
        sk.SymmetricRidgeCV(sk.so(2)).fit(X, y, weight)


@pytest.mark.parametrize("routing", [False, True])
def test_weights_through_pipelines_and_searches(routing, rng):
    X, y, weight = rng.normal(size=(60, 3)), rng.normal(size=60), rng.uniform(size=60)
    weight[::2] = 0
    direct = sk.SymmetricRidge(sk.so(3), alpha=0.1).fit(X, y, weight)
    with config_context(enable_metadata_routing=routing):
        model = sk.SymmetricRidge(sk.so(3))
        if routing:
            model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"alpha": [0.1]}, cv=2).fit(X, y, sample_weight=weight)
        assert_array_equal(search.best_estimator_.coef_, direct.coef_)
        pipeline = make_pipeline(FunctionTransformer(), model.set_params(alpha=0.1))
        name = "sample_weight" if routing else "symmetricridge__sample_weight"
        assert_array_equal(pipeline.fit(X, y, **{name: weight})[-1].coef_, direct.coef_)


def test_model_selection_around_it(rng):
    X = rng.normal(size=(80, 3))
    y = (X**2).sum(axis=1) ** 2 + 0.01 * rng.normal(size=80)
    pipeline = make_pipeline(
        FunctionTransformer(),
        sk.SymmetricRidge(sk.so(3), library=sk.PolynomialLibrary(), alpha=1e-6),
    )
    grid = {"symmetricridge__library__degree": [1, 2, 4], "symmetricridge__alpha": [1e-6, 1e3]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # degree 1 leaves the constant
        search = GridSearchCV(pipeline, grid).fit(X, y)
    assert search.best_params_["symmetricridge__library__degree"] == 4
    assert search.best_score_ > 0.99
