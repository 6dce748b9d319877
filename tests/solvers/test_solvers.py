"""Solvers against their definitions: cvxpy, certificates, limits, other ways to the same point."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sksym import (
    Group,
    NuclearNorm,
    PolynomialLibrary,
    gl,
    reflections,
    se,
    so,
    translations,
    vector,
)
from sksym._linalg import numerical_rank
from sksym.groups import resolve
from sksym.promote import PromotionProblem, PromotionSamples
from sksym.solvers import (
    LeastSquares,
    Term,
    admm_steps,
    certificate,
    largest_alpha,
    penalised_least_squares,
    solve_with_cvxpy,
)
from sksym.solvers.conjugate_gradients import conjugate_gradients

CLARABEL = {"tol_gap_rel": 1e-9, "tol_gap_abs": 1e-9, "tol_feas": 1e-9}


def problem_of(d=3, n=8, q=1, degree=2, candidates=se, output=None, rank=None, seed=0):
    """A promotion problem on random data: least squares, terms."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, d))
    if rank is not None:
        X = X[rng.integers(rank, size=n)]
    Y = np.stack([X[:, 0] ** (k + 1) + 0.1 * rng.normal(size=n) for k in range(q)], axis=1)
    group = resolve(candidates, X, "candidates")
    library = PolynomialLibrary(degree)
    problem = PromotionProblem.of(group, Group.none(d), library, output, X, q)
    samples = PromotionSamples(problem, X, Y, np.ones(n))
    return samples.least_squares(0.0), problem.terms


PROBLEMS = {
    "se(3), p < n": {"n": 40},
    "se(3), p > n": {},
    "se(3), far fewer samples": {"n": 3},
    "translations, cubic": {"d": 2, "n": 9, "degree": 3, "candidates": translations},
    "three outputs": {"q": 3},
    "vector output": {"q": 3, "candidates": so, "output": vector, "n": 9},
    "vector output under gl(2)": {"d": 2, "q": 2, "candidates": gl, "output": vector, "n": 8},
    "repeated rows": {"n": 20, "rank": 5},
    "a group besides": {"candidates": se(3) + reflections(3)},
}


@pytest.mark.parametrize("alpha", [0.0, 1e-4, 1e-2, 0.3])
@pytest.mark.parametrize("name", PROBLEMS)
def test_objective_is_that_of_cvxpy(name, alpha):
    data, terms = problem_of(**PROBLEMS[name])
    ours = penalised_least_squares(data, terms, alpha, tol=1e-8, max_iter=50_000)
    with warnings.catch_warnings():
        # It may stop short of its own tolerance; what it has reached is checked.
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = solve_with_cvxpy(data, terms, alpha, **CLARABEL)
    assert ours.relative_gap <= 1e-8
    assert ours.objective == pytest.approx(theirs.objective, rel=1e-6)
    # The certificate bounds the error: nothing lies below the dual value.
    assert theirs.objective >= (ours.objective - ours.gap) * (1 - 1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1e-3, 0.1])
@pytest.mark.parametrize("name", PROBLEMS)
def test_gap_is_a_bound_on_the_way(name, alpha):
    """Early iterates: the true error never exceeds the gap that was reported."""
    data, terms = problem_of(**PROBLEMS[name])
    best = penalised_least_squares(data, terms, alpha, tol=1e-9, max_iter=50_000).objective
    for n_iter in (1, 3, 10):
        rough = penalised_least_squares(data, terms, alpha, tol=1e-9, max_iter=n_iter)
        assert rough.objective >= best * (1 - 1e-8)
        assert rough.objective - best <= rough.gap * (1 + 1e-9) + 1e-13


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
def test_dual_point_is_feasible(alpha):
    data, terms = problem_of(candidates=se(3) + reflections(3))
    solution = penalised_least_squares(data, terms, alpha)
    force = sum(term.adjoint(Y) for term, Y in zip(terms, solution.dual, strict=True))
    assert max(t.penalty.polar(Y) for t, Y in zip(terms, solution.dual, strict=True)) <= 1 + 1e-12
    axes = data.parts(alpha)[0]
    outside = force - axes @ (axes.T @ force)
    assert np.linalg.norm(outside) <= 1e-9 * np.linalg.norm(force)


def test_limit_interpolates_and_is_the_limit():
    data, terms = problem_of()
    limit = penalised_least_squares(data, terms, 0.0, tol=1e-9)
    assert np.abs(data.R @ limit.coef.T - data.Y).max() <= 1e-12
    near = penalised_least_squares(data, terms, 1e-6, tol=1e-9, max_iter=50_000)
    value = sum(term.penalty.value(term(near.coef)) for term in terms)
    assert value == pytest.approx(limit.objective, rel=1e-3)
    assert value <= limit.objective


def test_determined_least_squares_is_returned_as_it_is():
    data, terms = problem_of(n=60)
    solution = penalised_least_squares(data, terms, 0.0)
    expected = np.linalg.lstsq(data.R, data.Y)[0].T
    np.testing.assert_allclose(solution.coef, expected, rtol=1e-9, atol=1e-12)
    assert solution.gap == 0


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_solution_scales_with_the_targets(size):
    data, terms = problem_of()
    one = penalised_least_squares(data, terms, 1e-2, tol=1e-9, max_iter=50_000)
    scaled = LeastSquares(data.R, size * data.Y)
    other = penalised_least_squares(scaled, terms, 1e-2 * size, tol=1e-9, max_iter=50_000)
    np.testing.assert_allclose(other.coef, size * one.coef, atol=1e-5 * size)
    assert other.objective == pytest.approx(size**2 * one.objective, rel=1e-8)


@pytest.mark.parametrize("alpha", [0.0, 1e-2])
@pytest.mark.parametrize("name", ["se(3), p > n", "vector output", "three outputs"])
def test_conjugate_gradients_reach_the_same_point(name, alpha, monkeypatch):
    data, terms = problem_of(**PROBLEMS[name])
    dense = penalised_least_squares(data, terms, alpha, tol=1e-7)
    monkeypatch.setattr(admm_steps, "_DENSE", 0)
    iterative = penalised_least_squares(data, terms, alpha, tol=1e-7)
    assert iterative.relative_gap <= 1e-7
    assert iterative.objective == pytest.approx(dense.objective, rel=1e-6)


@pytest.mark.parametrize("shape", [(30, 80), (80, 30), (5, 200)])
def test_warm_started_shrinkage_is_the_proximal_operator(shape):
    """Along a slowly changing sequence, as iterations make it."""
    rng = np.random.default_rng(0)
    penalty = NuclearNorm(0.7)
    shrink = penalty.tracking_prox()
    Z = rng.normal(size=(shape[0], 4)) @ rng.normal(size=(4, shape[1]))
    for k in range(120):
        Z = Z + 0.3 * 0.9**k * rng.normal(size=shape)
        got = shrink(Z, 2.0)
        if k > 60:  # it follows the subspace once that settles
            np.testing.assert_allclose(got, penalty.prox(Z, 2.0), atol=1e-6 * np.abs(Z).max())


def test_from_the_largest_alpha_on_all_candidates_are_symmetries():
    data, terms = problem_of(d=3, n=40)
    top = largest_alpha(data, terms)
    solution = penalised_least_squares(data, terms, 1.001 * top, tol=1e-10, max_iter=50_000)
    assert np.linalg.norm(terms[0](solution.coef)) <= 1e-5 * np.linalg.norm(solution.coef)
    weaker = penalised_least_squares(data, terms, 0.05 * top, tol=1e-8)
    assert np.linalg.norm(terms[0](weaker.coef)) > 1e-2 * np.linalg.norm(weaker.coef)


def test_weighted_terms_are_the_weighted_map():
    rng = np.random.default_rng(0)
    K = sparse.random_array((12, 7), density=0.4, rng=rng, format="csr")
    axes = np.linalg.qr(rng.normal(size=(3, 2)))[0]
    term = Term(K, (3, 4), NuclearNorm(), axes, np.array([0.9, 0.3]))
    weight = np.eye(3) - axes @ np.diag([0.9, 0.3]) @ axes.T
    w, Z = rng.normal(size=7), rng.normal(size=(3, 4))
    np.testing.assert_allclose(term(w), weight @ (K @ w).reshape(3, 4))
    np.testing.assert_allclose(np.vdot(term(w), Z), w @ term.adjoint(Z))
    dense = np.kron(weight, np.eye(4)) @ K.toarray()
    np.testing.assert_allclose(term.gram, dense.T @ dense, atol=1e-13)


def test_certificate_at_the_solution_is_tight_and_elsewhere_is_not():
    data, terms = problem_of(n=40)
    solution = penalised_least_squares(data, terms, 1e-2, tol=1e-9, max_iter=50_000)
    other = solution.coef + 0.1
    objective, gap, _ = certificate(data, terms, 1e-2, other, [0 * Y for Y in solution.dual])
    assert objective > solution.objective
    assert gap >= objective - solution.objective


def test_paths_need_fewer_iterations_than_single_solves():
    data, terms = problem_of(n=40)
    top, start, warm, cold = largest_alpha(data, terms), None, 0, 0
    for alpha in np.geomspace(top, 1e-3 * top, 10):
        start = penalised_least_squares(data, terms, alpha, tol=1e-5, start=start)
        alone = penalised_least_squares(data, terms, alpha, tol=1e-5)
        assert start.objective == pytest.approx(alone.objective, rel=1e-4, abs=1e-12)
        warm, cold = warm + start.n_iter, cold + alone.n_iter
    assert warm < cold


def test_a_gap_out_of_reach_is_told():
    data, terms = problem_of()
    solution = penalised_least_squares(data, terms, 1e-2, tol=1e-9, max_iter=5)
    assert solution.n_iter == 5
    assert solution.relative_gap > 1e-9


def test_callback_sees_progress():
    seen = []
    data, terms = problem_of()
    penalised_least_squares(data, terms, 1e-2, tol=1e-8, callback=lambda *row: seen.append(row))
    assert [row[0] for row in seen] == sorted(row[0] for row in seen)
    assert seen[-1][2] <= 1e-8 * seen[-1][1]


@pytest.mark.parametrize("warm", [False, True])
def test_conjugate_gradients_solve_to_the_accuracy_asked_for(warm, rng):
    A = rng.normal(size=(40, 30))
    H, target, scale = A.T @ A + np.eye(30), rng.normal(size=(30, 1)), np.arange(1.0, 31.0)[:, None]
    start = rng.normal(size=(30, 1)) if warm else None
    options = {"start": start, "precondition": lambda r: r / scale}
    x, converged = conjugate_gradients(lambda x: H @ x, target, rtol=1e-9, max_iter=300, **options)
    assert converged
    np.testing.assert_allclose(x, np.linalg.solve(H, target), atol=1e-7)
    _, converged = conjugate_gradients(lambda x: H @ x, target, rtol=1e-9, max_iter=2, **options)
    assert not converged


def test_rank_counts_what_lies_above_round_off():
    eps = np.finfo(float).eps
    assert numerical_rank(np.array([2.0, 1.0, 81 * 2 * eps, 79 * 2 * eps]), (10, 4)) == 3
    assert numerical_rank(np.array([1.0, 1e-3, 1e-9]), (10, 4), rtol=1e-8) == 2
    assert numerical_rank(np.zeros(3), (3, 3)) == numerical_rank(np.zeros(0), (3, 0)) == 0
