"""Penalties by cross-validation: what is shared, where the path ends, what is reported."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from sksym import SymmetryPromotingRegressor, SymmetryPromotingRegressorCV, se, so
from sksym.promote.cross_validation import held_out_errors
from sksym.solvers import LeastSquares, NuclearNorm, Term, penalised_least_squares


class Curve:
    """A fold whose errors are known in advance, and that remembers what it was asked."""

    def __init__(self, errors):
        self.errors = errors
        self.asked = []

    def error(self, alpha, ridge):
        self.asked.append((alpha, ridge))
        return self.errors[alpha, ridge]

    def error_ahead(self, alpha):
        return self.error(alpha, 0.0)


def errors_of(curve, ridge_error, n_folds=3):
    """Errors of a curve over alphas a, .., 1 and of one ridge penalty, slightly different folds."""
    alphas = np.arange(len(curve), 0.0, -1.0)
    folds = []
    for k in range(n_folds):
        level = 1 + 0.01 * k
        errors = {(alpha, 0.0): level * e for alpha, e in zip(alphas, curve, strict=True)}
        errors[0.0, 7.0] = level * ridge_error
        folds.append(Curve(errors))
    errors = held_out_errors(folds, alphas, [7.0], lambda name: nullcontext(), lambda k: None)
    return errors, folds


def test_path_ends_where_weaker_promotion_has_lost():
    curve = np.append(1.0, np.linspace(2.0, 3.0, 19))
    errors, folds = errors_of(curve, ridge_error=1.5)
    tried = np.isfinite(errors).all(axis=1)
    # Five alphas, the smallest of all, and the ridge penalty.
    np.testing.assert_array_equal(np.flatnonzero(tried), [0, 1, 2, 3, 4, 19, 20])
    np.testing.assert_allclose(errors[tried, 0], [*curve[:5], curve[-1], 1.5])
    assert all(len(fold.asked) == 7 for fold in folds)


@pytest.mark.parametrize(
    "curve",
    [
        np.linspace(3.0, 1.0, 20),  # still falling
        np.ones(20),  # nothing depends on alpha
        np.concatenate([np.linspace(1.0, 2.0, 15), np.linspace(2.0, 0.5, 5)]),  # a better end
    ],
)
def test_path_goes_on_where_something_may_be_left_to_find(curve):
    errors, _ = errors_of(curve, ridge_error=1.2)
    assert np.isfinite(errors).all()


def test_path_does_not_end_on_one_fold_or_on_errors_that_overflow():
    curve = np.append(1.0, np.linspace(2.0, 3.0, 19))
    assert np.isfinite(errors_of(curve, 1.5, n_folds=1)[0]).all()
    curve[3] = np.inf
    assert not np.isnan(errors_of(curve, 1.5)[0]).any()


def test_table_lists_every_penalty_and_marks_what_was_not_tried():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    model = SymmetryPromotingRegressorCV(so, adaptive=False, ridges=[10.0]).fit(
        X, rng.normal(size=30)
    )
    table = model.cv_results_
    assert table["mean_squared_error"].shape == (21, 5)
    is_tried = np.isfinite(table["mean_squared_error"])
    # A penalty is tried in all folds or in none.
    np.testing.assert_array_equal(is_tried.all(axis=1), is_tried.any(axis=1))
    assert is_tried[[0, 19, 20]].all()
    mean = table["mean_test_error"]
    assert -model.best_score_ == pytest.approx(np.nanmin(mean))
    chosen = (table["alpha"] == model.alpha_) & (table["ridge"] == model.ridge_)
    assert mean[chosen] == -model.best_score_


def test_errors_are_those_of_the_regressor():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 3))
    y = X[:, 0] ** 2 + X[:, 1] * X[:, 2] + 0.3 * rng.normal(size=40)
    train = np.arange(28)
    test = np.arange(28, 40)
    alphas = [0.3, 0.1, 0.01]
    model = SymmetryPromotingRegressorCV(
        se, alphas=alphas, ridges=[0.1], cv=[(train, test)], refit=False
    ).fit(X, y)
    library = model.library_.set_params(
        center=model.library_.center_,
        scale=model.library_.scale_,
        domain=model.library_.domain_,
    )
    table = model.cv_results_
    for alpha, ridge, (error,) in zip(
        table["alpha"], table["ridge"], table["mean_squared_error"], strict=True
    ):
        one = SymmetryPromotingRegressor(
            se, library=library, alpha=alpha, ridge=ridge, refit=False
        ).fit(X[train], y[train])
        expected = np.mean((one.predict(X[test]) - y[test]) ** 2)
        assert error == pytest.approx(expected, rel=1e-2)


def test_start_that_is_accurate_enough_is_the_solution():
    rng = np.random.default_rng(2)
    K = rng.normal(size=(12, 6))
    term = Term(K=sparse.csr_array(K), shape=(3, 4), penalty=NuclearNorm())
    data = LeastSquares(rng.normal(size=(9, 6)), rng.normal(size=(9, 1)))
    accurate = penalised_least_squares(data, [term], 0.1, tol=1e-10)
    again = penalised_least_squares(data, [term], 0.1, tol=1e-6, start=accurate, check_start=True)
    assert again.n_iter == 0
    np.testing.assert_allclose(again.coef, accurate.coef, atol=1e-6)
    # A start of another alpha is not the solution, but leads to it.
    for alpha in (0.05, 0.5):
        near = penalised_least_squares(
            data, [term], alpha, tol=1e-8, start=accurate, check_start=True
        )
        exact = penalised_least_squares(data, [term], alpha, tol=1e-8)
        assert near.relative_gap <= 1e-8
        np.testing.assert_allclose(near.coef, exact.coef, atol=1e-5)


def test_weighted_copies_of_a_term_share_what_depends_on_its_map():
    rng = np.random.default_rng(3)
    K = rng.normal(size=(12, 5)) * (rng.uniform(size=(12, 5)) < 0.5)
    term = Term(K=sparse.csr_array(K), shape=(3, 4), penalty=NuclearNorm())
    axes = np.linalg.qr(rng.normal(size=(3, 2)))[0]
    damping = np.array([0.9, 0.4])
    weighted = replace(term, axes=axes, damping=damping)
    assert weighted.structure is term.structure
    weight = np.eye(3) - (axes * damping) @ axes.T
    dense = np.kron(weight, np.eye(4)) @ K
    np.testing.assert_allclose(weighted.gram, dense.T @ dense, atol=1e-12)
    np.testing.assert_allclose(term.gram, K.T @ K, atol=1e-12)
    # Of another map nothing is kept.
    other = replace(term, K=sparse.csr_array(2 * K))
    np.testing.assert_allclose(other.gram, 4 * K.T @ K, atol=1e-12)


def test_exact_functions_are_recovered_in_the_folds_too():
    rng = np.random.default_rng(4)
    X = rng.uniform(-1, 1, size=(14, 4))  # 15 functions
    y = X[:, 3] + (X[:, :3] ** 2).sum(axis=1)
    model = SymmetryPromotingRegressorCV(so, alphas=3, ridges=[]).fit(X, y)
    assert model.n_symmetries_ == 3
    far = rng.uniform(-3, 3, size=(20, 4))
    np.testing.assert_allclose(model.predict(far), far[:, 3] + (far[:, :3] ** 2).sum(axis=1))
    assert -model.best_score_ < 1e-16
