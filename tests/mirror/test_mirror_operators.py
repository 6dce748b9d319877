"""Mirrors: what each constructor stands for, and which product of parameters makes its penalty."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import pinv
from scipy.optimize import minimize

from cases import MIRRORS
from sksym import MirrorSparseRegressor
from sksym.mirror import (
    Mirror,
    MirrorKind,
    exchange,
    groups,
    low_rank,
    rescaling,
    stack_mirrors,
    sum_zero,
    trend,
)
from sksym.mirror.operators import mirror_operators

NAMES = list("abcdef")


def rows_of(mirrors, names=NAMES):
    return mirror_operators(mirrors, names)


def blocks(rows):
    """The O_k^T, dense."""
    return np.split(rows.K.toarray(), np.cumsum(rows.sizes))[:-1]


def unit(*columns, p=6):
    return np.eye(p)[list(columns)]


@pytest.mark.parametrize("name", MIRRORS)
def test_each_mirror_has_orthonormal_rows(name):
    rows = rows_of(MIRRORS[name])
    assert len(rows.sizes) == len(rows.weights) == len(rows.names)
    assert rows.K.shape == (rows.sizes.sum(), 6)
    for o in blocks(rows):
        np.testing.assert_allclose(o @ o.T, np.eye(len(o)), atol=1e-14)


TABLE = {
    "all columns": (None, [unit(j) for j in range(6)], np.ones(6), NAMES),
    "columns by index": (rescaling([2, 0], [3.0, 0.5]), [unit(2), unit(0)], [3, 0.5], ["c", "a"]),
    "columns by name": (rescaling(["f", "b"]), [unit(5), unit(1)], [1, 1], ["f", "b"]),
    "groups of indices": (
        groups([[1, 2], [0, 4, 5]]),
        [unit(1, 2), unit(0, 4, 5)],
        np.sqrt([2, 3]),
        ["b, c", "a, e, f"],
    ),
    "groups of names": (groups([["d", "a"]], 2.0), [unit(3, 0)], [2], ["d, a"]),
    "groups by label": (
        groups(["t", "s", "t", "s", "s", "t"]),
        [unit(1, 3, 4), unit(0, 2, 5)],
        np.sqrt([3, 3]),
        ["s", "t"],
    ),
    "groups that overlap": (groups([[0, 1], [1]]), [unit(0, 1), unit(1)], np.sqrt([2, 1]), None),
    "pairs": (
        exchange([(0, 3)]),
        [(unit(0) - unit(3)) / np.sqrt(2)],
        [1],
        ["a = d"],
    ),
    "pairs of names": (
        exchange([("b", "c"), ("c", "f")], [1.0, 2.0]),
        [(unit(1) - unit(2)) / np.sqrt(2), (unit(2) - unit(5)) / np.sqrt(2)],
        [1, 2],
        ["b = c", "c = f"],
    ),
    "chain": (
        trend(1, ["a", "c", "b"]),
        [(unit(2) - unit(0)) / np.sqrt(2), (unit(1) - unit(2)) / np.sqrt(2)],
        np.sqrt([2, 2]),
        ["trend at a", "trend at c"],
    ),
    "kinks": (
        trend(2, weight=0.5),
        [(unit(j) - 2 * unit(j + 1) + unit(j + 2)) / np.sqrt(6) for j in range(4)],
        0.5 * np.sqrt(6) * np.ones(4),
        [f"trend at {name}" for name in "bcde"],
    ),
    "balance": (
        sum_zero([1, 2, 3, 4], 3.0),
        [unit(1, 2, 3, 4).sum(axis=0, keepdims=True) / 2],
        [3],
        ["sum of b, c, d, .."],
    ),
    "one vector": (Mirror([3, 0, 0, 4, 0, 0], 2.0), [[[0.6, 0, 0, 0.8, 0, 0]]], [2], ["mirror"]),
    "a list": (
        [rescaling([0]), sum_zero([0, 1])],
        [unit(0), (unit(0) + unit(1)) / np.sqrt(2)],
        [1, 1],
        ["a", "sum of a, b"],
    ),
    "weight zero penalises nothing": (rescaling([0, 1], [0.0, 1.0]), [unit(1)], [1], ["b"]),
}


@pytest.mark.parametrize("name", TABLE)
def test_rows_weights_and_names(name):
    mirrors, expected, weights, names = TABLE[name]
    rows = rows_of(mirrors)
    assert len(rows.sizes) == len(expected)
    for o, given in zip(blocks(rows), expected, strict=True):
        sign = np.sign(np.sum(o * given))
        np.testing.assert_allclose(sign * o, np.reshape(given, (-1, 6)), atol=1e-15)
    np.testing.assert_allclose(rows.weights, weights, rtol=1e-15)
    assert names is None or rows.names == list(names)


def test_an_adjacency_is_its_edges():
    A = sparse.lil_array((6, 6))
    A[0, 1], A[4, 2], A[2, 4], A[5, 3] = 2.0, 1.0, 3.0, 0.5
    rows = rows_of(exchange(A.tocsr(), weight=10.0))
    edges = {
        tuple(np.flatnonzero(o[0])): w for o, w in zip(blocks(rows), rows.weights, strict=True)
    }
    assert edges == {(0, 1): 20.0, (2, 4): 30.0, (3, 5): 5.0}


def test_a_chain_penalises_plain_differences(rng):
    w = rng.normal(size=(6, 1))
    for order in (1, 2, 3):
        rows = rows_of(trend(order))
        value = rows.weights @ rows.lengths(w)
        np.testing.assert_allclose(value, np.abs(np.diff(w[:, 0], order)).sum())


def test_low_rank_is_the_nuclear_norm(rng):
    rows, W = rows_of([low_rank(2.0), low_rank(0.5)]), rng.normal(size=(6, 3))
    assert rows.nuclear == 2.5
    np.testing.assert_allclose(rows.norms(W), np.linalg.svd(W, compute_uv=False))
    assert rows.labels(3) == ["direction 1", "direction 2", "direction 3"]


def test_dependent_columns_are_told_once(rng):
    two = rng.normal(size=(6, 2))
    three = np.column_stack([two, two[:, 0] - two[:, 1]])
    with pytest.warns(UserWarning, match="3 columns of a mirror are dependent") as said:
        rows = rows_of(Mirror(three))
    assert len(said) == 1
    assert rows.sizes.tolist() == [2]
    np.testing.assert_allclose(three.T @ (np.eye(6) - rows.K.T @ rows.K), 0, atol=1e-13)


def test_a_mirror_may_be_sparse():
    spanning = sparse.csc_array(np.array([[1.0, 0], [1, 0], [0, 2], [0, 0], [0, 0], [0, 0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        K = rows_of(Mirror(spanning)).K.toarray()
    np.testing.assert_allclose(K @ spanning, np.diag([np.sqrt(2), 2]), atol=1e-15)


class Antisymmetric(MirrorKind):
    """Coefficients that are opposite at opposite ends, as a user writes a kind of mirror."""

    def operators(self, names):
        identity = np.eye(len(names))
        return stack_mirrors((identity + identity[::-1])[: len(names) // 2] / np.sqrt(2))


class TwoRows(MirrorKind):
    """Mirrors of two rows each, with weights and names."""

    def operators(self, names):
        return stack_mirrors(np.eye(6)[:4], [1.0, 2.0], ["first", "second"], [2, 2])


def test_a_kind_of_ones_own_is_a_mirror(rng):
    X, y = rng.normal(size=(40, 6)), rng.normal(size=40)
    model = MirrorSparseRegressor(Antisymmetric(), alpha=0.5, tol=1e-10).fit(X, y)
    pairs = [Mirror(row) for row in Antisymmetric().operators(NAMES).K.toarray()]
    same = MirrorSparseRegressor(pairs, alpha=0.5, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.coef_, same.coef_, atol=1e-8)
    np.testing.assert_array_equal(model.satisfied_, same.satisfied_)
    assert model.mirror_names_ == ["mirror 0", "mirror 1", "mirror 2"]
    held = np.flatnonzero(model.satisfied_)
    np.testing.assert_array_equal(model.coef_[held], -model.coef_[::-1][held])


def test_mirrors_of_several_rows_of_ones_own():
    rows = rows_of([TwoRows(), rescaling([5])])
    assert rows.sizes.tolist() == [2, 2, 1]
    assert rows.weights.tolist() == [1.0, 2.0, 1.0]
    assert rows.names == ["first", "second", "f"]
    assert rows_of(groups([[0, 1], [2, 3]], [1.0, 2.0])).sizes.tolist() == [2, 2]
    with pytest.raises(ValueError, match="one number for each of the 2 mirrors"):
        stack_mirrors(np.eye(6)[:4], [1.0, 2.0, 3.0], sizes=[2, 2])


# Which product has which penalty ------------------------------------------------------------------


def least_decay(product, target, size, starts=8, seed=0):
    """The least |parameters|^2 / 2 with ``product(parameters) = target``, from random starts."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(starts):
        solution = minimize(
            lambda x: (0.5 * x @ x, x),
            rng.normal(size=size),
            jac=True,
            method="SLSQP",
            constraints={"type": "eq", "fun": lambda x: product(x) - target},
            options={"maxiter": 500, "ftol": 1e-14},
        )
        if solution.success and np.abs(product(solution.x) - target).max() < 1e-8:
            found.append(solution.fun)
    return min(found)


def test_a_scalar_times_a_vector_costs_the_norm(rng):
    a = rng.normal(size=3)
    np.testing.assert_allclose(
        least_decay(lambda x: x[0] * x[1:], a, 4), np.linalg.norm(a), rtol=1e-6
    )


def test_an_elementwise_product_costs_the_absolute_values(rng):
    a = rng.normal(size=3)
    np.testing.assert_allclose(
        least_decay(lambda x: x[:3] * x[3:], a, 6), np.abs(a).sum(), rtol=1e-6
    )


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_a_product_of_many_costs_a_power(depth):
    for a in (0.3, -2.0):
        value = least_decay(lambda x: np.array([np.prod(x)]), np.array([a]), depth, starts=20)
        np.testing.assert_allclose(value, depth / 2 * abs(a) ** (2 / depth), rtol=1e-6)


def test_factors_of_a_matrix_cost_its_nuclear_norm(rng):
    W = rng.normal(size=(3, 2))
    value = least_decay(
        lambda x: (x[:6].reshape(3, 2) @ x[6:].reshape(2, 2)).ravel(), W.ravel(), 10
    )
    np.testing.assert_allclose(value, np.linalg.svd(W, compute_uv=False).sum(), rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["rescaling", "groups", "pairs", "chain", "kinks", "balance", "opposite"]
)
def test_products_for_the_components_cost_the_sum_of_norms(name, rng):
    """``w = K^+ c + N z``, each component of c a scalar times a vector, z without decay."""
    rows, w = rows_of(MIRRORS[name]), rng.normal(size=6)
    ends = np.cumsum(rows.sizes)[:-1]
    target = np.split(rows.K @ w, ends)  # K^+ c + N z = w leaves c = K w, whatever z
    np.testing.assert_allclose(
        rows.K @ pinv(rows.K.toarray()), np.eye(len(rows.K.toarray())), atol=1e-12
    )
    costs = [least_decay(lambda x: x[0] * x[1:], a, 1 + len(a)) for a in target]
    np.testing.assert_allclose(
        rows.weights @ costs, rows.weights @ rows.lengths(w[:, None]), rtol=1e-6
    )


def latent(rows, w):
    """The least sum of weights times norms of v_k with ``sum_k O_k v_k = w``, by its product."""
    ends, m = np.cumsum(rows.sizes), len(rows.sizes)
    block = np.repeat(np.arange(m), rows.sizes)
    root = np.sqrt(rows.weights)  # weight decay weight_k is decay 1 for factors times its root

    def product(x):
        return rows.K.T @ ((x[:m] / root)[block] * x[m:] / root[block])

    return least_decay(product, w, m + ends[-1], starts=12)


def test_oblique_mirrors_latent_and_analysis_differ():
    rows = rows_of([Mirror([1, 0]), Mirror([1, 1])], ["x", "y"])
    w = np.array([0.0, 1.0])
    assert rows.weights @ rows.lengths(w[:, None]) == pytest.approx(np.sqrt(0.5))
    assert latent(rows, w) == pytest.approx(1 + np.sqrt(2), rel=1e-6)


def test_for_groups_of_columns_latent_is_never_larger(rng):
    rows = rows_of(groups([[0, 1], [1, 2], [2, 3, 4], [4, 5]], weight=1.0))
    for _ in range(3):
        w = rng.normal(size=6)
        assert latent(rows, w) <= rows.weights @ rows.lengths(w[:, None]) * (1 + 1e-6)


def trained(loss, size, rng):
    """The least value that L-BFGS finds from random starts."""
    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    ends = [
        minimize(loss, rng.normal(size=size), jac=True, method="L-BFGS-B", options=options).fun
        for _ in range(3)
    ]
    return min(ends)


def convex(mirrors, X, Y, alpha):
    """The least value of the penalised loss."""
    model = MirrorSparseRegressor(mirrors, alpha=alpha, fit_intercept=False, tol=1e-10).fit(X, Y)
    rows, left = rows_of(mirrors), Y - model.predict(X)
    weights = rows.nuclear if rows.nuclear else rows.weights
    return np.vdot(left, left) / (2 * len(X)) + alpha * np.sum(weights * rows.norms(model.coef_.T))


@pytest.mark.parametrize("name", ["rescaling", "groups", "pairs", "chain"])
def test_training_the_product_reaches_the_penalised_minimum(name, rng):
    """Loss of ``W = K^+ (u v) + N Z`` with weight decay on u and v."""
    n, q = 15, 2
    X, Y, rows = rng.normal(size=(n, 6)), rng.normal(size=(n, q)), rows_of(MIRRORS[name])
    (t, p), m, decay = rows.K.shape, len(rows.sizes), 0.15 * rows.weights
    block = np.repeat(np.arange(m), rows.sizes)
    M, N = pinv(rows.K.toarray()), np.linalg.svd(rows.K.toarray())[2][t:].T

    def loss(x):
        u, V, Z = x[:m], x[m : m + t * q].reshape(t, q), x[m + t * q :].reshape(p - t, q)
        left = X @ (M @ (u[block][:, None] * V) + N @ Z) - Y
        pull = X.T @ left / n
        at_u = np.bincount(block, np.sum((M.T @ pull) * V, axis=1), m) + decay * u
        at_V = (M.T @ pull) * u[block][:, None] + decay[block][:, None] * V
        value = np.vdot(left, left) / n + decay @ u**2 + np.sum(decay[block] @ V**2)
        return value / 2, np.concatenate([at_u, at_V.ravel(), (N.T @ pull).ravel()])

    least = convex(MIRRORS[name], X, Y, 0.15)
    assert trained(loss, m + p * q, rng) == pytest.approx(least, rel=1e-7)


def test_training_factors_reaches_the_minimum_with_the_nuclear_norm(rng):
    n, q, r, g = 15, 3, 4, 0.15
    X, Y = rng.normal(size=(n, 6)), rng.normal(size=(n, q))

    def loss(x):
        U, V = x[: 6 * r].reshape(6, r), x[6 * r :].reshape(r, q)
        left = X @ U @ V - Y
        pull = X.T @ left / n
        grad = np.concatenate([(pull @ V.T).ravel(), (U.T @ pull).ravel()]) + g * x
        return np.vdot(left, left) / (2 * n) + g / 2 * x @ x, grad

    assert trained(loss, (6 + q) * r, rng) == pytest.approx(convex(low_rank(), X, Y, g), rel=1e-7)


# Bad input ----------------------------------------------------------------------------------------

WRONG = {
    "rows": (Mirror(np.eye(5)), ValueError, r"one row for each of the 6 features, got shape \(5"),
    "no columns": (Mirror(np.zeros((6, 0))), ValueError, "at least one column"),
    "zeros": (Mirror(np.zeros(6)), ValueError, "must not have columns of zeros"),
    "NaN": (Mirror([np.nan, 1, 0, 0, 0, 0]), ValueError, "must be finite"),
    "negative weight": (rescaling(weight=-1.0), ValueError, "finite and >= 0, got -1.0"),
    "NaN as weight": (sum_zero([0], weight=np.nan), ValueError, "finite and >= 0"),
    "wrong number of weights": (
        rescaling(weight=[1, 2]),
        ValueError,
        r"one number for each of the 6 mirrors, got shape \(2,\)",
    ),
    "weight of low rank": (low_rank(-1), ValueError, "`weight` must be a finite number >= 0"),
    "empty group": (groups([[0, 1], []]), ValueError, "Group 1 is empty"),
    "no group": (groups([]), ValueError, "got no group"),
    "too few labels": (groups([0, 0, 1]), ValueError, "one for each of the 6 features, got 3"),
    "column twice": (groups([[0, 1, 0]]), ValueError, r"distinct, got \[0, 1, 0\]"),
    "index out of range": (groups([[0, 6]]), ValueError, r"in 0\.\.5, got \[6\]"),
    "negative index": (rescaling([-1]), ValueError, r"in 0\.\.5, got \[-1\]"),
    "name not there": (rescaling(["a", "z"]), ValueError, r"\['z'\] are not among the features"),
    "columns as floats": (rescaling([0.5]), TypeError, "by index or by name"),
    "no pair": (exchange([]), ValueError, "got no pair"),
    "pair with itself": (exchange([(1, 1)]), ValueError, r"itself, got the pair \(1, 1\)"),
    "a pair of three": (exchange([(0, 1, 2)]), ValueError, r"pairs of columns, got \(0, 1, 2\)"),
    "pair out of range": (exchange([(0, 9)]), ValueError, r"in 0\.\.5, got \[9\]"),
    "shape of adjacency": (exchange(sparse.eye_array(3)), ValueError, r"shape \(6, 6\)"),
    "loop in adjacency": (exchange(sparse.eye_array(6)), ValueError, "an edge at 0, 0"),
    "negative edge": (exchange(-sparse.eye_array(6, k=1)), ValueError, "finite and >= 0, got -1"),
    "NaN as edge": (exchange(np.nan * sparse.eye_array(6, k=1)), ValueError, "finite and >= 0"),
    "no edge": (exchange(sparse.csr_array((6, 6))), ValueError, "the adjacency has no edge"),
    "order 0": (trend(0), ValueError, "must be an integer >= 1, got 0"),
    "order 1.5": (trend(1.5), ValueError, "must be an integer >= 1, got 1.5"),
    "order too high": (trend(6), ValueError, "needs more than 6 columns, got 6"),
    "balance of nothing": (sum_zero([]), ValueError, "one column or more, got none"),
    "empty list": ([], ValueError, "empty list"),
    "no mirror": (3, TypeError, "must be mirrors of sksym.mirror"),
    "a class": ([Mirror], TypeError, "must be mirrors of sksym.mirror"),
    "a function not called": (rescaling, TypeError, "must be mirrors of sksym.mirror"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_mirrors(name):
    mirrors, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        rows_of(mirrors)
