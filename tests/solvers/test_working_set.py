"""Newton's method, working sets and the taut string against what defines their solutions."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

from sksym.solvers import (
    Design,
    GroupNorm,
    NuclearNorm,
    block_least_squares,
    duality_gap,
    proximal_newton,
    shrunk,
    taut_string,
    working_set,
)
from sksym.testing import assert_prox

SIZES = np.array([1, 3, 2, 1, 4, 1])  # 12 rows
WEIGHTS = np.array([0.5, 1.0, 2.0, 0.7, 1.5, 1.0])
SINGLE = GroupNorm(np.linspace(0.5, 2.0, 12), np.ones(12, int))
NORMS = {
    "blocks": GroupNorm(WEIGHTS, SIZES),
    "single rows": SINGLE,
    "positive blocks": GroupNorm(WEIGHTS, SIZES, positive=True),
    "positive rows": replace(SINGLE, positive=True),
    "spectral": NuclearNorm(1.3),
}
CASES = [(name, q) for name in NORMS for q in (1, 3) if q == 1 or "positive" not in name]


class Penalty:
    """A norm as `assert_prox` wants it, infinite where a sign is not allowed."""

    def __init__(self, norm):
        self.norm = norm

    def value(self, Z):
        wrong = getattr(self.norm, "positive", False) and (Z < 0).any()
        return np.inf if wrong else self.norm.value(Z)

    def prox(self, Z, step):
        return self.norm.prox(Z, step)


@pytest.mark.parametrize(("name", "q"), CASES)
@pytest.mark.parametrize("size", [0.1, 1.0, 10.0])
def test_prox_is_the_minimiser(name, q, size, rng):
    Z, norm = size * rng.normal(size=(12, q)), NORMS[name]
    assert_prox(Penalty(norm), Z, step=0.8)
    point = norm.shrink(Z, 0.8)
    np.testing.assert_array_equal(point.x, norm.prox(Z, 0.8))
    assert point.value == pytest.approx(norm.value(point.x))
    outside = np.setdiff1d(np.arange(12), point.rows)
    assert not point.x[outside].any()


@pytest.mark.parametrize(("name", "q"), CASES)
def test_polar_is_the_dual_norm(name, q, rng):
    """``<x, y> <= norm(x) polar(y)``, and some x attains it: the prox of a large step's edge."""
    norm, Y = NORMS[name], rng.normal(size=(12, q))
    for x in rng.normal(size=(200, 12, q)):
        x = np.abs(x) if getattr(norm, "positive", False) else x
        assert np.vdot(x, Y) <= norm.value(x) * norm.polar(Y) * (1 + 1e-12)
    edge = norm.prox(Y, norm.polar(Y) * (1 - 1e-6))
    assert np.vdot(edge, Y) == pytest.approx(norm.value(edge) * norm.polar(Y), rel=1e-5)
    assert not norm.prox(Y, norm.polar(Y) * (1 + 1e-9)).any()


@pytest.mark.parametrize("way", ["factors", "Gram matrix", "iterations"])
@pytest.mark.parametrize("n", [5, 40])
@pytest.mark.parametrize(("name", "q"), CASES)
def test_newton_direction_by_finite_differences(name, q, n, way, rng, monkeypatch):
    """Along it the gradient of the dual falls at the rate of its size."""
    if way == "iterations":
        monkeypatch.setattr(shrunk, "_COSTLY", 0)
        monkeypatch.setattr(shrunk, "_CG_BLOCKS", 1000)
    monkeypatch.setattr(shrunk, "_CG_RTOL", 1e-12)
    norm, sigma = NORMS[name], 0.7
    T, Y, x = rng.normal(size=(12, n)), rng.normal(size=(n, q)), rng.normal(size=(12, q))
    u = 2 * rng.normal(size=(n, q))

    def at(u):
        point = norm.shrink(x + sigma * (T @ u), sigma)
        return u - (Y - T.T @ point.x), point

    grad, point = at(u)
    gram = (lambda rows: T[rows] @ T[rows].T) if way == "Gram matrix" else None
    d = point.newton_direction(T[point.rows], grad, sigma, gram)
    step = 1e-6
    slope = (at(u + step * d)[0] - at(u - step * d)[0]) / (2 * step)
    assert len(point.rows)
    np.testing.assert_allclose(slope, -grad, atol=1e-5 * np.abs(grad).max())


def least(norm, A, Y):
    """The minimiser, to round-off."""
    sigma = 1 / np.linalg.norm(A, 2) ** 2
    x = np.zeros((A.shape[1], Y.shape[1]))
    found = proximal_newton(A.T.copy(), Y, norm, x, tol=1e-13, sigma=sigma, max_iter=5000)
    return 0.5 * np.sum((Y - A @ found.coef) ** 2) + norm.value(found.coef)


@pytest.mark.parametrize(("name", "q"), CASES)
def test_gap_is_a_bound_anywhere(name, q, rng):
    norm, A, Y = NORMS[name], rng.normal(size=(8, 12)), rng.normal(size=(8, q))
    optimum = least(norm, A, Y)
    for size in (0.01, 0.1, 1.0, 10.0):
        for x in size * rng.normal(size=(30, 12, q)):
            x = np.abs(x) if getattr(norm, "positive", False) else x
            r = Y - A @ x
            gap, objective, _ = duality_gap(norm, x, norm.value(x), r, A.T @ r, Y)
            assert objective == pytest.approx(0.5 * np.vdot(r, r) + norm.value(x))
            assert objective - optimum <= gap * (1 + 1e-12)


def test_gap_is_a_bound_beyond_the_target():
    """Where the residual points away from the target, with signs that are not allowed."""
    norm, x, Y = GroupNorm(np.array([0.01]), np.ones(1, int), True), np.array([[5.0]]), np.eye(1)
    gap, objective, _ = duality_gap(norm, x, 0.05, Y - x, Y - x, Y)
    assert objective - (0.01 - 0.01**2 / 2) <= gap


def designs(rng):
    """Well and badly conditioned, with equal and with vanishing columns."""
    X = rng.normal(size=(15, 12))
    close = X[:, :1] + 1e-3 * X
    equal, none = X.copy(), X.copy()
    equal[:, 6:] = equal[:, :6]
    none[:, ::3] = 0
    return {"wide": X[:7], "tall": X, "correlated": close, "equal": equal, "zero": none}


def assert_optimal(norm, x, pull, atol):
    """``pull = A^T (Y - A x)`` lies in the subdifferential of the norm."""
    lengths, scores = norm.lengths(x), norm.scores(pull)
    assert (scores <= 1 + atol).all()
    on = (lengths > 0)[norm.block]
    sign = x / np.maximum(lengths, 1e-300)[norm.block][:, None]
    slack = norm.alpha[norm.block][:, None] * sign - pull
    slack = np.where(x > 0, slack, np.maximum(-slack, 0)) if norm.positive else slack
    assert np.abs(slack[on]).max(initial=0) <= atol


@pytest.mark.parametrize("kind", ["wide", "tall", "correlated", "equal", "zero"])
@pytest.mark.parametrize(("name", "q"), [case for case in CASES if case[0] != "spectral"])
def test_solution_is_optimal(name, q, kind, rng):
    A, norm = designs(rng)[kind], NORMS[name]
    Y = 3 * rng.normal(size=(len(A), q))
    found = block_least_squares(Design(A), Y, norm, tol=1e-12, max_iter=1000)
    assert found.relative_gap <= 1e-12
    assert_optimal(norm, found.coef, A.T @ (Y - A @ found.coef), 1e-5)
    value = 0.5 * np.sum((Y - A @ found.coef) ** 2) + norm.value(found.coef)
    assert found.objective == pytest.approx(value, rel=1e-12)
    assert value == pytest.approx(least(norm, A, Y), rel=1e-11)


@pytest.mark.parametrize("shape", [(20, 8, 5), (6, 9, 4), (10, 4, 7)])
def test_spectral_solution_is_optimal(shape, rng):
    n, t, q = shape
    A, Y = rng.normal(size=(n, t)), rng.normal(size=(n, q))
    norm = NuclearNorm(0.5 * np.linalg.norm(A.T @ Y, 2))
    for T in (A.T.copy(), sparse.csr_array(A.T)):
        x = np.zeros((t, q))
        found = proximal_newton(T, Y, norm, x, tol=1e-12, sigma=0.1, max_iter=500)
        pull = A.T @ (Y - A @ found.coef)
        U, s, Vt = np.linalg.svd(found.coef)
        rank = int((s > 1e-9).sum())
        assert 0 < rank < min(t, q)
        assert np.linalg.norm(pull, 2) <= norm.alpha * (1 + 1e-6)
        inside = U[:, :rank].T @ pull @ Vt[:rank].T
        np.testing.assert_allclose(inside, norm.alpha * np.eye(rank), atol=1e-4 * norm.alpha)


def many(rng, n=40, p=300, q=1, size=3):
    """Many blocks, of which few are needed."""
    X = rng.normal(size=(n, p))
    x = rng.normal(size=(p, q)) * np.repeat(rng.random(p // size) < 0.05, size)[:, None]
    Y = X @ x + 0.3 * rng.normal(size=(n, q))
    sizes = np.full(p // size, size)
    norm = GroupNorm(np.ones(len(sizes)), sizes)
    return X, Y, replace(norm, alpha=0.2 * norm.polar(X.T @ Y) * norm.alpha)


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array])
def test_working_set_finds_the_solution_of_all_blocks(kind, q, rng):
    X, Y, norm = many(rng, q=q)
    found = block_least_squares(Design(kind(X)), Y, norm, tol=1e-11, max_iter=1000)
    assert_optimal(norm, found.coef, X.T @ (Y - X @ found.coef), 1e-4 * norm.alpha[0])
    assert found.objective == pytest.approx(least(norm, X, Y), rel=1e-10)


def test_working_set_takes_few_of_many_columns(rng, monkeypatch):
    X, Y, norm = many(rng, p=3000)
    seen = []
    rows = Design.rows
    monkeypatch.setattr(Design, "rows", lambda self, at: seen.append(len(at)) or rows(self, at))
    found = block_least_squares(Design(X), Y, norm, tol=1e-9, max_iter=1000)
    assert found.relative_gap <= 1e-9
    assert sum(seen) < 1500


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array])
def test_design_without_what_is_free(kind, rng):
    """Some columns, across an orthonormal basis: as if formed."""
    X, Y, norm = many(rng)
    Q = np.linalg.qr(np.column_stack([np.ones(40), X[:, :2]]))[0]
    columns = rng.permutation(np.arange(2, 300))[:297]
    design = Design(kind(X), columns, Q)
    A = (np.eye(40) - Q @ Q.T) @ X[:, columns]
    np.testing.assert_allclose(design.rows(np.arange(297)).T, A, atol=1e-12)
    R = (np.eye(40) - Q @ Q.T) @ Y
    np.testing.assert_allclose(design.correlate(R), A.T @ R, atol=1e-12)
    x = np.where(np.arange(297) % 50 == 0, 1.0, 0.0)[:, None]
    np.testing.assert_allclose(design.apply(x), A @ x, atol=1e-12)
    assert (design.squares >= np.sum(A**2, axis=0)).all()
    np.testing.assert_allclose(design.squares, np.sum(A**2, axis=0), rtol=1e-9)
    part = norm.subset(np.arange(99))
    found = block_least_squares(design, R, part, tol=1e-11, max_iter=1000)
    assert_optimal(part, found.coef, A.T @ (R - A @ found.coef), 1e-4 * norm.alpha[0])


@pytest.mark.parametrize("share", [0.99, 0.9, 0.5])
def test_start_from_a_stronger_penalty_is_screened_safely(share, rng, monkeypatch):
    X, Y, norm = many(rng)
    kept, unscreened = [], working_set._unscreened

    def watched(*args):
        kept.append(unscreened(*args))
        return kept[-1]

    monkeypatch.setattr(working_set, "_unscreened", watched)
    first = block_least_squares(Design(X), Y, norm, tol=1e-10, max_iter=1000)
    weaker = replace(norm, alpha=share * norm.alpha)
    options = {"tol": 1e-11, "max_iter": 1000}
    again = block_least_squares(Design(X), Y, weaker, start=first.coef, **options)
    alone = block_least_squares(Design(X), Y, weaker, **options)
    assert again.objective == pytest.approx(alone.objective, rel=1e-10)
    active = np.flatnonzero(weaker.lengths(alone.coef))
    assert np.isin(active, kept[0]).all()
    if share > 0.98:
        assert len(kept[0]) < 50


def test_a_solution_to_start_from_needs_no_step(rng):
    X, Y, norm = many(rng)
    first = block_least_squares(Design(X), Y, norm, tol=1e-8, max_iter=1000)
    again = block_least_squares(Design(X), Y, norm, tol=1e-8, max_iter=1000, start=first.coef)
    assert again.n_iter == 0
    np.testing.assert_array_equal(again.coef, first.coef)


def test_it_ends_where_round_off_hides_the_gap(rng):
    """Targets that are not quite free of Q have a gap that no block can close."""
    X, Y, norm = many(rng)
    Q = np.linalg.qr(rng.normal(size=(40, 2)))[0]
    target = Y - Q @ (Q.T @ Y) + 0.1 * Q[:, :1]
    found = block_least_squares(Design(10 * X, None, Q), target, norm, tol=1e-6, max_iter=10**6)
    assert found.relative_gap > 1e-6


def test_steps_are_counted_and_limited(rng):
    X, Y, norm = many(rng)
    for limit in (1, 3):
        found = block_least_squares(Design(X), Y, norm, tol=1e-10, max_iter=limit)
        assert found.n_iter == limit
        assert found.relative_gap > 1e-10
        assert found.objective - least(norm, X, Y) <= found.gap


def test_nothing_to_do(rng):
    X, Y, norm = many(rng)
    for target, weights in ((0 * Y, norm.alpha), (Y, 10 * norm.alpha)):
        found = block_least_squares(
            Design(X), target, replace(norm, alpha=weights), tol=1e-9, max_iter=10
        )
        assert found.n_iter == 0
        assert not found.coef.any()


def test_sparse_columns_that_do_not_fit_in_memory_are_refused():
    X = sparse.csc_array((10**7, 10**5))
    with pytest.raises(MemoryError, match="Increase `alpha`"):
        Design(X).rows(np.arange(10**5))


# The taut string ----------------------------------------------------------------------------------


def denoised(y, penalties, weights):
    """By an interior-point method."""
    x = cp.Variable(len(y))
    loss = cp.sum(cp.multiply(weights, cp.square(y - x))) / 2
    problem = cp.Problem(cp.Minimize(loss + penalties @ cp.abs(cp.diff(x))))
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    return x.value


@pytest.mark.parametrize("seed", range(12))
def test_taut_string_is_the_minimiser(seed):
    rng = np.random.default_rng(seed)
    n = [2, 3, 5, 40][seed % 4]
    y = 10.0 ** rng.integers(-1, 2) * rng.normal(size=n) + rng.normal()
    penalties = rng.exponential(size=n - 1) * (rng.random(n - 1) < 0.8)
    weights = rng.uniform(0.2, 3.0, size=n) if seed % 2 else None
    x = taut_string(y, penalties, weights).coef
    expected = denoised(y, penalties, np.ones(n) if weights is None else weights)
    np.testing.assert_allclose(x, expected, atol=1e-6 * np.abs(y).max())


@pytest.mark.parametrize("kind", ["noise", "steps", "ramp", "plateaus", "spikes", "integers"])
def test_taut_string_is_optimal_for_long_chains(kind, rng):
    """The sums of the residual stay in the tube, and touch its side where there is a step."""
    n = 5000
    y = {
        "noise": rng.normal(size=n),
        "steps": np.repeat(rng.normal(size=50), 100) + 0.1 * rng.normal(size=n),
        "ramp": np.arange(n) / 100.0,
        "plateaus": np.repeat(rng.normal(size=50), 100),
        "spikes": np.where(np.arange(n) % 97 == 0, 1e4, 0.0),
        "integers": rng.integers(0, 3, size=n).astype(float),
    }[kind]
    penalties, weights = rng.uniform(0.5, 3.0, size=n - 1), rng.uniform(0.5, 2.0, size=n)
    x = taut_string(y, penalties, weights).coef
    sums, step = np.cumsum(weights * (x - y)), np.diff(x)
    size = np.abs(weights * y).sum() * 1e-12
    assert abs(sums[-1]) <= size
    assert (np.abs(sums[:-1]) <= penalties + size).all()
    on = np.abs(step) > 1e-9 * np.abs(y).max()
    np.testing.assert_allclose(sums[:-1][on], (penalties * np.sign(step))[on], atol=size)


def test_ends_of_the_taut_string():
    y = np.array([3.0, -1.0, 4.0, 1.0])
    np.testing.assert_array_equal(taut_string(y[:1], np.zeros(0)).coef, y[:1])
    np.testing.assert_allclose(taut_string(y, np.zeros(3)).coef, y, rtol=1e-15)
    flat = taut_string(y, np.full(3, 100.0), np.array([1.0, 2.0, 1.0, 4.0])).coef
    np.testing.assert_allclose(flat, 9 / 8, rtol=1e-15)
    assert len(set(flat)) == 1
    np.testing.assert_array_equal(taut_string(np.zeros(4), np.ones(3)).coef, np.zeros(4))
