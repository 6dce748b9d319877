"""Mirror problems against independent solvers: every kind, both meanings of overlap."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from sklearn.linear_model import Lasso, LassoCV, MultiTaskLasso

from sksym import MirrorSparseRegressor, MirrorSparseRegressorCV, mirror_path
from sksym.mirror import (
    Mirror,
    alpha_max,
    exchange,
    groups,
    low_rank,
    rescaling,
    sum_zero,
    trend,
)
from sksym.mirror.operators import mirror_operators

N, P = 40, 12


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, P)) + 3.0
    X[:, 5] = X[:, 4] + 0.1 * X[:, 5]
    w = np.array([1, 1, 1, 0, 0, 0, 2, 2, -1, 0, 0, 1.0])
    return X, X @ np.outer(w, [1, 2, -1]) + 0.5 * rng.normal(size=(N, 3))


def directions():
    return np.random.default_rng(1).normal(size=(P, 2))


# name: mirrors; those with a product form are solved by Newton's method, the others by ADMM
KINDS = {
    "single columns": rescaling(),
    "some columns, weighted": rescaling([1, 2, 3], weight=[1, 2, 0.5]),
    "groups, columns left over": groups([[0, 1, 2], [3, 4], [5, 6, 7, 8]]),
    "labels": groups([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]),
    "overlapping groups": groups([[0, 1, 2, 3], [2, 3, 4, 5], [5, 6, 7, 8], [8, 9, 10, 11]]),
    "chain": trend(1),
    "kinks": trend(2),
    "tree": exchange([(0, 1), (0, 2), (2, 3), (5, 6)]),
    "cycle": exchange([(0, 1), (1, 2), (2, 0), (3, 4)]),
    "oblique": [Mirror(directions()), Mirror(directions()[:, 0] + 1, weight=2.0)],
    "sum": sum_zero([0, 1, 2]),
    "sparse and fused": [rescaling(), trend(1)],
    "low rank": low_rank(),
    "sparse and low rank": [rescaling(), low_rank(2.0)],
}
CASES = [
    (kind, overlap)
    for kind in KINDS
    for overlap in ("analysis", "latent")
    if overlap == "analysis" or kind != "sparse and low rank"
]


def penalty_in_cvxpy(cp, rows, W, overlap):
    """The penalty as the formula says it, and what else must hold."""
    total = rows.nuclear * cp.normNuc(W) if rows.nuclear else 0
    parts = np.split(rows.K.toarray(), np.cumsum(rows.sizes)[:-1]) if len(rows.sizes) else []
    if overlap == "analysis" or not parts:
        return total + sum(
            c * cp.norm(o @ W, "fro") for c, o in zip(rows.weights, parts, strict=True)
        ), []
    pieces = [cp.Variable((len(o), W.shape[1])) for o in parts]
    whole = np.linalg.svd(rows.K.toarray())
    free = whole[2][(np.abs(whole[1]) > 1e-10).sum() :].T
    outside = cp.Variable((free.shape[1], W.shape[1])) if free.shape[1] else None
    built = sum(o.T @ v for o, v in zip(parts, pieces, strict=True))
    built = built if outside is None else built + free @ outside
    value = sum(c * cp.norm(v, "fro") for c, v in zip(rows.weights, pieces, strict=True))
    return total + value, [built == W]


def reference(X, Y, mirrors, alpha, overlap):
    """Least objective, by an interior-point method."""
    import cvxpy as cp

    rows = mirror_operators(mirrors, [f"x{j}" for j in range(X.shape[1])])
    W = cp.Variable((X.shape[1], Y.shape[1]))
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)  # as the intercept does
    penalty, links = penalty_in_cvxpy(cp, rows, W, overlap)
    loss = cp.sum_squares(Y - X @ W) / (2 * len(X))
    problem = cp.Problem(cp.Minimize(loss + alpha * penalty), links)
    tight = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
    return problem.solve(solver="CLARABEL", **tight)


def objective(X, Y, model, mirrors, alpha):
    """Of a fitted model in the analysis meaning, from its public attributes."""
    rows = mirror_operators(mirrors, [f"x{j}" for j in range(X.shape[1])])
    W = np.atleast_2d(model.coef_).T
    loss = np.sum((Y - X @ W - model.intercept_) ** 2) / (2 * len(X))
    nuclear = rows.nuclear * np.linalg.norm(W, "nuc")
    return loss + alpha * (rows.weights @ rows.lengths(W) + nuclear)


# Tolerances that the interior-point method may not quite reach; it does come closer than 1e-8.
@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize(("kind", "overlap"), CASES)
def test_objective_is_that_of_an_interior_point_method(data, kind, overlap, q):
    X, Y, mirrors = data[0], data[1][:, :q], KINDS[kind]
    alpha = 0.2
    model = MirrorSparseRegressor(mirrors, alpha=alpha, overlap=overlap, tol=1e-9)
    model.fit(X, Y[:, 0] if q == 1 else Y)
    least = reference(X, Y, mirrors, alpha, overlap)
    if overlap == "analysis":
        found = objective(X, Y, model, mirrors, alpha)
        assert found == pytest.approx(least, rel=1e-8)
        assert found - least <= model.dual_gap_ + 1e-8 * least
    else:  # the latent penalty of the coefficients found, by the same method
        W = np.atleast_2d(model.coef_).T
        loss = np.sum((Y - X @ W - model.intercept_) ** 2) / (2 * N)
        found = loss + alpha * latent_norm(W, mirrors)
        assert found == pytest.approx(least, rel=2e-8)


def latent_norm(W, mirrors):
    import cvxpy as cp

    rows = mirror_operators(mirrors, [f"x{j}" for j in range(P)])
    if rows.nuclear:
        return np.linalg.norm(W, "nuc")
    held = cp.Variable(W.shape)
    penalty, links = penalty_in_cvxpy(cp, rows, held, "latent")
    problem = cp.Problem(cp.Minimize(penalty), [*links, held == W])
    return problem.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tol", [0.3, 1e-2, 1e-5])
def test_gap_is_a_bound_whatever_the_tolerance(data, kind, tol):
    X, Y, mirrors = data[0], data[1], KINDS[kind]
    exact = MirrorSparseRegressor(mirrors, alpha=0.2, tol=1e-10).fit(X, Y)
    rough = MirrorSparseRegressor(mirrors, alpha=0.2, tol=tol).fit(X, Y)
    least = objective(X, Y, exact, mirrors, 0.2)
    excess = objective(X, Y, rough, mirrors, 0.2) - least
    assert -1e-9 * least <= excess <= rough.dual_gap_ + 1e-9 * least
    assert rough.dual_gap_ <= tol * objective(X, Y, rough, mirrors, 0.2) * (1 + 1e-9)


@pytest.mark.parametrize("solver", ["auto", "newton", "cd", "admm"])
@pytest.mark.parametrize("alpha", [0.01, 0.1, 1.0])
def test_equals_lasso(data, solver, alpha):
    X, y = data[0], data[1][:, 0]
    model = MirrorSparseRegressor(alpha=alpha, solver=solver, tol=1e-11).fit(X, y)
    lasso = Lasso(alpha=alpha, tol=1e-13, max_iter=10**6).fit(X, y)
    assert np.abs(model.coef_ - lasso.coef_).max() < 1e-6
    assert model.intercept_ == pytest.approx(lasso.intercept_, abs=1e-5)
    assert np.array_equal(model.coef_ == 0, lasso.coef_ == 0)


@pytest.mark.parametrize("solver", ["auto", "newton", "cd", "admm"])
def test_equals_multi_task_lasso(data, solver):
    X, Y = data
    model = MirrorSparseRegressor(alpha=0.3, solver=solver, tol=1e-11).fit(X, Y)
    lasso = MultiTaskLasso(alpha=0.3, tol=1e-13, max_iter=10**6).fit(X, Y)
    assert np.abs(model.coef_ - lasso.coef_).max() < 1e-6


def test_each_output_alone_equals_lasso(data):
    X, Y = data
    model = MirrorSparseRegressor(alpha=0.3, multi_task=False, tol=1e-11).fit(X, Y)
    lasso = [Lasso(alpha=0.3, tol=1e-13, max_iter=10**6).fit(X, y).coef_ for y in Y.T]
    assert np.abs(model.coef_ - lasso).max() < 1e-6
    assert model.active_.shape == (3, P)


@pytest.mark.parametrize("solver", ["auto", "newton", "cd"])
def test_positive_equals_lasso(data, solver):
    X, y = data[0], data[1][:, 0]
    model = MirrorSparseRegressor(alpha=0.1, positive=True, solver=solver, tol=1e-11).fit(X, y)
    lasso = Lasso(alpha=0.1, positive=True, tol=1e-13, max_iter=10**6).fit(X, y)
    assert np.abs(model.coef_ - lasso.coef_).max() < 1e-6
    assert (model.coef_ >= 0).all()


def test_positive_groups_against_projected_descent(data):
    X, y = data[0], data[1][:, 0]
    blocks = np.repeat(np.arange(4), 3)
    model = MirrorSparseRegressor(groups(blocks), alpha=0.1, positive=True, tol=1e-12).fit(X, y)
    Xc, yc = X - X.mean(axis=0), y - y.mean()

    def loss(w):
        r = yc - Xc @ w
        size = np.linalg.norm(w.reshape(4, 3), axis=1)
        grad = -Xc.T @ r / N + 0.1 * np.sqrt(3) * w / np.maximum(np.repeat(size, 3), 1e-300)
        return r @ r / (2 * N) + 0.1 * np.sqrt(3) * size.sum(), grad

    found = minimize(loss, np.ones(P), jac=True, bounds=[(0, None)] * P, tol=1e-14)
    assert loss(model.coef_)[0] <= found.fun * (1 + 1e-9)
    assert found.fun <= loss(model.coef_)[0] * (1 + 1e-4)


def test_chain_of_points_is_the_general_solution():
    rng = np.random.default_rng(0)
    y = np.repeat(rng.normal(size=5), 8) + 0.1 * rng.normal(size=40)
    weight = rng.uniform(0.5, 2, size=40)
    for fit_intercept in (False, True):
        model = MirrorSparseRegressor(trend(1), alpha=0.01, tol=1e-11, fit_intercept=fit_intercept)
        string = model.fit(sparse.eye_array(40, format="csr"), y, weight).predict(np.eye(40))
        dense = model.fit(np.eye(40), y, weight).predict(np.eye(40))
        assert np.abs(string - dense).max() < 1e-6
    jumps = np.diff(string)
    assert ((np.abs(jumps) > 1e-3) | (jumps == 0)).all()


def test_path_is_a_sequence_of_fits_and_cv_that_of_lasso(data):
    X, y = data[0], data[1][:, 0]
    path = mirror_path(X, y, groups([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]), alphas=6, tol=1e-9)
    assert not path.active[0].any()
    assert path.active[-1].all()
    for alpha, coef in zip(path.alphas, path.coefs, strict=True):
        labels = groups([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
        alone = MirrorSparseRegressor(labels, alpha=alpha, tol=1e-9).fit(X, y)
        assert np.abs(alone.coef_ - coef).max() < 1e-4
    model = MirrorSparseRegressorCV(alphas=20, tol=1e-10).fit(X, y)
    largest = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / len(y)
    alphas = np.geomspace(largest, 1e-3 * largest, 20)
    assert model.alphas_ == pytest.approx(alphas)
    lasso = LassoCV(alphas=alphas, tol=1e-12, max_iter=10**6).fit(X, y)
    assert model.mse_path_ == pytest.approx(lasso.mse_path_, rel=1e-5)
    assert model.alpha_ == pytest.approx(lasso.alpha_)
    assert np.abs(model.coef_ - lasso.coef_).max() < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_max_is_sharp_where_it_is_closed(data, kind):
    X, Y = data
    top = alpha_max(X, Y, KINDS[kind])
    model = MirrorSparseRegressor(KINDS[kind], alpha=1.0001 * top, tol=1e-9)
    assert not model.fit(X, Y).active_.any()
    if kind not in ("overlapping groups", "cycle", "sparse and fused", "sparse and low rank"):
        assert model.set_params(alpha=0.999 * top).fit(X, Y).active_.any()
