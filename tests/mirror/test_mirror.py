"""MirrorSparseRegressor: certificates, exact constraints, sharp thresholds, more factors."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from cases import MIRRORS
from sksym import MirrorSparseRegressor
from sksym.mirror import (
    alpha_max,
    decay_threshold,
    exchange,
    groups,
    low_rank,
    rescaling,
    sum_zero,
    trend,
)
from sksym.mirror.operators import mirror_operators


def names(p):
    return [f"x{j}" for j in range(p)]


def samples(n=30, p=6, q=1, seed=0, noise=0.3):
    """Coefficients with zeros, with equal neighbours, and of rank one."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + rng.normal(size=p)
    w = np.resize([1.0, 1.0, 0.0, 0.0, -2.0, 0.0], p)
    Y = np.outer(X @ w, np.arange(1, q + 1)) + noise * rng.normal(size=(n, q)) + 2.0
    return X, Y[:, 0] if q == 1 else Y


def objective(X, Y, mirrors, alpha, model, weight=None, depth=2):
    """Of the fitted attributes, in the analysis meaning."""
    rows, W = mirror_operators(mirrors, names(X.shape[1])), np.atleast_2d(model.coef_).T
    left = np.reshape(Y, (len(Y), -1)) - X @ W - model.intercept_
    share = np.full(len(Y), 1 / len(Y)) if weight is None else weight / weight.sum()
    penalty = depth / 2 * (rows.weights @ rows.lengths(W) ** (2 / depth))
    penalty += rows.nuclear * np.linalg.norm(W, "nuc")
    return share @ np.sum(left**2, axis=1) / 2 + alpha * penalty


# Solvers and certificates -------------------------------------------------------------------------


@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("name", MIRRORS)
def test_all_solvers_agree(name, q):
    """With the reference through cvxpy, which shares no code with the others."""
    (X, Y), mirrors, alpha = samples(n=20, q=q), MIRRORS[name], 0.1
    found = MirrorSparseRegressor(mirrors, alpha=alpha, tol=1e-10).fit(X, Y)
    value = objective(X, Y, mirrors, alpha, found)
    for solver in ("cvxpy", "admm"):
        model = clone(found).set_params(solver=solver, tol=1e-6).fit(X, Y)
        other = objective(X, Y, mirrors, alpha, model)
        assert value * (1 - 1e-10) <= other <= value * (1 + 1.1e-6)
        assert other - value <= model.dual_gap_ + 1e-10 * value


@pytest.mark.parametrize("name", MIRRORS)
def test_gap_is_a_bound_where_iterations_end_early(name):
    (X, Y), mirrors, alpha = samples(q=2), MIRRORS[name], 0.1
    model = MirrorSparseRegressor(mirrors, alpha=alpha, tol=1e-10)
    least = objective(X, Y, mirrors, alpha, model.fit(X, Y))
    for solver in ("auto", "admm"):
        model.set_params(max_iter=1, solver=solver, tol=1e-12)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model.fit(X, Y)
        assert {one.category for one in said} <= {ConvergenceWarning}
        excess = objective(X, Y, mirrors, alpha, model) - least
        assert excess <= model.dual_gap_ + 1e-9 * least
        assert said or model.dual_gap_ <= 1e-12 * least * 1.01


@pytest.mark.parametrize(
    ("name", "depth"),
    [("rescaling", 2), ("groups", 2), ("chain", 2), ("ring", 2), ("low rank", 2), ("groups", 3)],
)
def test_a_missed_tolerance_is_told_with_what_to_do(name, depth):
    X, y = samples()
    model = MirrorSparseRegressor(MIRRORS[name], alpha=0.05, max_iter=1, tol=1e-12, depth=depth)
    with pytest.warns(ConvergenceWarning, match=r"gap is .* than tol=1e-12: increase `max_iter`"):
        model.fit(X, y)
    assert np.isfinite(model.coef_).all()


def odd_shape(seed):
    """As `random_problem` in test_mirror_problems.py, and with columns in different units."""
    rng = np.random.default_rng(seed)
    n, p, q = rng.integers(4, 70), rng.integers(3, 60), rng.choice([1, 1, 3])
    X = rng.normal(size=(n, p))
    if seed % 4 == 1:
        X = np.sqrt(0.05) * X + np.sqrt(0.95) * rng.normal(size=(n, 1))
    if seed % 5 == 2:
        X = X[:, np.arange(p) // 2]
    if seed % 6 == 3:
        X = X * 10.0 ** rng.uniform(-2, 2, size=p)
    X = X * 10.0 ** (6 * (seed % 3 - 1)) * (1 + (1e6 if seed % 7 == 5 else 0))
    X = X + np.abs(X).max() * (1e8 if seed % 8 == 6 else 0)
    X[:, ::4] = 3.0 if seed % 9 == 7 else X[:, ::4]
    Y = (X - X.mean(axis=0)) @ (rng.normal(size=(p, q)) * (rng.random((p, 1)) < 0.3))
    return X, Y + (0.3 * Y.std() + 1e-3 * np.ptp(X, axis=0).max()) * rng.normal(size=Y.shape)


@pytest.mark.parametrize("seed", range(60))
def test_every_fit_of_every_kind_reaches_its_tolerance(seed):
    X, Y = odd_shape(seed)
    p = X.shape[1]
    ring = exchange([(j, (j + 1) % p) for j in range(p)])
    cover = groups([range(j, min(j + 4, p)) for j in range(0, p - 1, 2)])
    kinds = [low_rank(), cover, ring, [rescaling(), trend(1)], groups([range(0, p, 3)]), trend(1)]
    for mirrors in (kinds[seed % 6], kinds[(seed + 1) % 6]):
        top = alpha_max(X, Y, mirrors)
        if top < 1e-9 * np.abs(X).max() * np.abs(Y).max():
            continue  # what the mirrors leave free fits all
        for share in (0.5, 0.02):
            model = MirrorSparseRegressor(mirrors, alpha=share * top).fit(X, Y)
            assert model.dual_gap_ <= 1.01e-6 * objective(X, Y, mirrors, share * top, model)


@pytest.mark.parametrize("seed", [28, 45, 83])
def test_a_vertex_of_many_columns_is_reached(seed):
    """More columns than rows stay in the solution's set for long: they depend on each other."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(12, 60)), rng.normal(size=12)
    alpha = 1e-3 * alpha_max(X, y)
    model = MirrorSparseRegressor(alpha=alpha, solver="newton", max_iter=500).fit(X, y)
    assert model.dual_gap_ <= 1.01e-6 * objective(X, y, None, alpha, model)


@pytest.mark.parametrize("seed", [16, 37])
def test_small_singular_values_of_the_data_do_not_stop_it(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, 9)) @ (np.eye(9) + 0.5 * rng.normal(size=(9, 9)))
    Y = X @ rng.normal(size=(9, 3)) + 0.3 * rng.normal(size=(30, 3))
    model = MirrorSparseRegressor(low_rank(), alpha=1e-4, fit_intercept=False).fit(X, Y)
    assert model.dual_gap_ <= 1.01e-6 * objective(X, Y, low_rank(), 1e-4, model)


def test_kinks_of_many_columns_are_found():
    """Far more columns than rows, with which second differences are ill-conditioned."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 800))
    y = X @ np.abs(np.arange(800) - 300.0) / 100 + rng.normal(size=100)
    model = MirrorSparseRegressor(trend(2), alpha=0.1).fit(X, y)
    assert model.dual_gap_ <= 1.01e-6 * objective(X, y, trend(2), 0.1, model)


def test_largest_alpha_is_zero_where_nothing_is_left_to_fit(rng):
    X, y = rng.normal(size=(30, 6)), rng.normal(size=30)
    double = np.repeat(X[:, :3], 2, axis=1)
    assert alpha_max(double, y, groups([[0, 2, 4]])) == 0
    assert alpha_max(X[:4], y[:4], groups([[0]])) == 0
    for mirrors in (None, groups([0, 0, 1, 1, 2, 2]), trend(1)):
        assert alpha_max(X, np.full(30, 0.1), mirrors) == 0


@pytest.mark.parametrize("offset", [1e4, 1e8, 1e12])
@pytest.mark.parametrize(
    "name", ["rescaling", "groups, some columns free", "chain", "ring", "low rank"]
)
def test_far_offsets_change_nothing(name, offset):
    X, y = samples()
    X = np.round(X * 2**10) / 2**10  # exact at any offset
    shift = offset // 1 * np.array([1, -2, 3, 1, 2, -1.0])
    near = MirrorSparseRegressor(MIRRORS[name], alpha=0.1).fit(X, y)
    far = MirrorSparseRegressor(MIRRORS[name], alpha=0.1).fit(X + shift, y)
    np.testing.assert_allclose(far.coef_, near.coef_, atol=1e-3)
    assert far.score(X + shift, y) == pytest.approx(near.score(X, y), abs=1e-3)


@pytest.mark.parametrize("name", MIRRORS)
def test_data_without_noise_need_no_luck(name):
    """Least objectives of zero: constant targets, equal coefficients that fit exactly."""
    X, _ = samples()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for y in (np.full(30, 3.0), np.zeros(30)):
            model = MirrorSparseRegressor(MIRRORS[name], alpha=0.1).fit(X, y)
            np.testing.assert_allclose(model.coef_, 0, atol=1e-12)
            assert model.intercept_ == pytest.approx(y[0])
        if name in ("pairs", "tree", "ring", "chain", "chain of some columns"):
            model = MirrorSparseRegressor(MIRRORS[name], alpha=1.0).fit(X, X.sum(axis=1))
            np.testing.assert_allclose(model.coef_, 1, atol=1e-9)
            assert model.satisfied_.all()


@pytest.mark.parametrize("name", MIRRORS)
def test_constant_columns_have_no_coefficients(name):
    X, y = samples()
    X[:, [0, 2]] = [1.0, 1e3 / 3]
    model = MirrorSparseRegressor(MIRRORS[name], alpha=0.1).fit(X, y)
    np.testing.assert_allclose(model.predict(X + 0.0), model.predict(X))
    for alone in (0.0, 0.1):
        model = MirrorSparseRegressor(alpha=alone).fit(X[:, [0, 2, 0]], y)
        assert not model.coef_.any()


# Constraints --------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("name", MIRRORS)
def test_constraints_hold_exactly(name, q):
    """Zeros are zero and ties are equal in every digit, all others to round-off."""
    X, Y = samples(n=12, q=q)
    rows, seen = mirror_operators(MIRRORS[name], names(6)), 0
    for alpha in (0.02, 0.1, 0.5, 10.0):
        model = MirrorSparseRegressor(MIRRORS[name], alpha=alpha).fit(X, Y)
        W = np.atleast_2d(model.coef_).T
        assert np.array_equal(model.satisfied_, ~model.active_)
        parts = np.split(rows.K.toarray(), np.cumsum(rows.sizes))[:-1]
        for o, holds in zip(parts, model.satisfied_, strict=False):
            tie = (np.count_nonzero(o, axis=1) <= 2).all() and np.ptp(np.abs(o[o != 0])) == 0
            # Not o @ W: BLAS may round only one of two products, and equal numbers then differ.
            size = np.abs((o[:, :, None] * W).sum(axis=1)).max()
            assert size <= (0 if tie else 1e-14 * np.abs(W).max()) if holds else size > 0
            seen += holds
    assert seen or rows.nuclear


@pytest.mark.parametrize("name", ["overlapping groups", "groups", "some columns"])
def test_latent_coefficients_vanish_outside_the_groups_that_are_broken(name):
    X, y = samples(n=12)
    K = mirror_operators(MIRRORS[name], names(6))
    for alpha in (0.1, 0.5, 1.0):
        model = MirrorSparseRegressor(MIRRORS[name], alpha=alpha, overlap="latent").fit(X, y)
        reached = K.rows_of(model.active_).sum(axis=0) > 0
        free = np.asarray(K.K.sum(axis=0)) == 0
        np.testing.assert_array_equal(model.coef_ != 0, reached | free)


def test_steps_of_a_chain_are_steps(rng):
    n, p = 60, 200
    X = rng.normal(size=(n, p))
    y = X @ np.repeat([0.0, 1.0, -1.0, 2.0], 50) + 0.5 * rng.normal(size=n)
    model = MirrorSparseRegressor(trend(1), alpha=1.0).fit(X, y)
    assert 0 < model.active_.sum() < 60
    assert len(np.unique(model.coef_)) == model.active_.sum() + 1


def test_kinks_are_few_and_lines_straight(rng):
    n, p = 80, 100
    X = rng.normal(size=(n, p))
    y = X @ np.abs(np.arange(p) - 40.0) + rng.normal(size=n)
    model = MirrorSparseRegressor(trend(2), alpha=2.0).fit(X, y)
    assert 0 < model.active_.sum() < 30
    bend = np.abs(np.diff(model.coef_, 2))
    assert bend[model.satisfied_].max() < 1e-13 * np.abs(model.coef_).max()


def test_low_rank_is_low(rng):
    X = rng.normal(size=(50, 12))
    Y = X @ rng.normal(size=(12, 2)) @ rng.normal(size=(2, 8)) + 0.1 * rng.normal(size=(50, 8))
    model = MirrorSparseRegressor(low_rank(), alpha=0.3).fit(X, Y)
    assert model.active_.tolist() == [True] * 2 + [False] * 6
    assert model.mirror_names_ == [f"direction {i}" for i in range(1, 9)]
    s = np.linalg.svd(model.coef_, compute_uv=False)
    assert s[2] < 1e-9 * s[0]


def test_single_columns_latent_and_analysis_are_the_same():
    X, y = samples()
    for mirrors in (rescaling(), groups([0, 0, 1, 1, 2, 2]), sum_zero([0, 1])):
        one = MirrorSparseRegressor(mirrors, alpha=0.1, tol=1e-10).fit(X, y)
        two = clone(one).set_params(overlap="latent").fit(X, y)
        np.testing.assert_allclose(one.coef_, two.coef_, atol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_a_latent_chain_of_points_is_not_the_analysis_chain(kind, rng):
    y = np.cumsum(rng.normal(size=20))
    options = {"overlap": "latent", "fit_intercept": False, "tol": 1e-9, "alpha": 0.05}
    model = MirrorSparseRegressor(trend(1), **options).fit(kind(np.eye(20)), y)
    K = mirror_operators(trend(1), names(20)).K.toarray()
    pull = np.linalg.lstsq(K.T, model.coef_ - model.coef_.mean(), rcond=None)[0]
    # Latent: w = K^T c + a constant, with the absolute values of c penalised.
    grad = K @ (y - model.coef_) / 20
    np.testing.assert_array_less(np.abs(grad), 0.05 * np.sqrt(2) * (1 + 1e-4))
    on = np.abs(pull) > 1e-6
    assert on.any()
    np.testing.assert_allclose(grad[on], 0.05 * np.sqrt(2) * np.sign(pull[on]), rtol=1e-3)


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize(
    "name", ["rescaling", "some columns", "groups", "groups, some columns free", "pairs", "balance"]
)
def test_threshold_is_sharp(name, q):
    """The dual norm of the gradient where all mirrors hold, and not a digit less."""
    X, Y = samples(q=q)
    Xc, Yc = X - X.mean(axis=0), np.reshape(Y, (30, q)) - np.mean(Y, axis=0)
    rows = mirror_operators(MIRRORS[name], names(6))
    N = np.linalg.svd(rows.K.toarray())[2][len(rows.K.toarray()) :].T
    W = N @ np.linalg.lstsq(Xc @ N, Yc, rcond=None)[0]
    grad = -Xc.T @ (Yc - Xc @ W) / 30
    parts = np.split(rows.K.toarray(), np.cumsum(rows.sizes))[:-1]
    thresholds = [
        decay_threshold(grad.T.ravel(), np.kron(np.eye(q), o.T)) / w
        for o, w in zip(parts, rows.weights, strict=True)
    ]
    model = MirrorSparseRegressor(MIRRORS[name], tol=1e-12)
    above = model.set_params(alpha=max(thresholds) * (1 + 1e-6)).fit(X, Y)
    assert above.satisfied_.all()
    np.testing.assert_allclose(np.atleast_2d(above.coef_).T, W, atol=1e-9)
    below = model.set_params(alpha=max(thresholds) * (1 - 1e-4)).fit(X, Y)
    assert np.flatnonzero(below.active_).tolist() == [np.argmax(thresholds)]


# Products of more factors -------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [3, 4, 10])
@pytest.mark.parametrize(
    "name", ["rescaling", "groups", "chain", "tree", "ring", "overlapping groups", "sparse groups"]
)
def test_deeper_products_are_sparser_and_stationary(name, depth, rng):
    X, y = samples(n=40)
    rows, alpha = mirror_operators(MIRRORS[name], names(6)), 0.08
    model = MirrorSparseRegressor(MIRRORS[name], alpha=alpha, tol=1e-9)
    convex = clone(model).fit(X, y)
    deep = clone(model).set_params(depth=depth).fit(X, y)
    value = objective(X, y, MIRRORS[name], alpha, deep, depth=depth)
    assert value <= objective(X, y, MIRRORS[name], alpha, convex, depth=depth) * (1 + 1e-9)
    assert deep.active_.sum() <= convex.active_.sum()
    # Where the lengths are not zero the objective is smooth: no slope along what holds.
    inside = np.linalg.svd(rows.rows_of(deep.satisfied_).toarray())[2]
    rank = np.linalg.matrix_rank(rows.rows_of(deep.satisfied_).toarray())
    for direction in inside[rank:]:
        ends = []
        for step in (1e-5, -1e-5):
            moved = clone(deep)
            moved.coef_ = deep.coef_ + step * direction
            moved.intercept_ = np.mean(y - X @ moved.coef_)
            ends.append(objective(X, y, MIRRORS[name], alpha, moved, depth=depth))
        assert abs(ends[0] - ends[1]) / 2e-5 < 1e-4


def test_latent_groups_of_depth_three():
    X, y = samples(n=40)
    model = MirrorSparseRegressor(MIRRORS["overlapping groups"], alpha=0.05, overlap="latent")
    convex, deep = clone(model).fit(X, y), clone(model).set_params(depth=3).fit(X, y)
    assert 0 < deep.active_.sum() <= convex.active_.sum()
    assert deep.score(X, y) > 0.9
