"""Coefficients with any covariance: what is refused, and what the evidence makes of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.linalg import block_diag, cho_factor, cho_solve

import sksym as sk
from sksym.equivariant import equivariant_basis
from sksym.evidence import Estimate, FunctionSamples
from sksym.evidence.selection import echelon


def spd(rng, size, condition=100.0):
    """A covariance of some condition, in mixed units."""
    Q = np.linalg.qr(rng.normal(size=(size, size)))[0]
    unit = np.geomspace(1e-4, 1e3, size)
    return unit[:, None] * (Q * np.geomspace(1, condition, size)) @ Q.T * unit


SINGULAR = np.ones((3, 3))
WRONG = {
    "negative": (-np.eye(3), "not positive"),
    "one negative variance": (np.diag([1.0, -1.0, 1.0]), "not positive"),
    "indefinite": (np.array([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]]), "not positive"),
    "zero": (np.zeros((3, 3)), "singular"),
    "one without error": (np.diag([1.0, 0.0, 1.0]), "singular"),
    "singular": (SINGULAR, "singular"),
    "nearly singular": (SINGULAR + 1e-15 * np.eye(3), "singular"),
    "asymmetric": (np.array([[1.0, 0.3, 0], [0, 1, 0], [0, 0, 1]]), "not symmetric"),
    "triangular in units": (
        np.array([[1.0, 0.5e-6, 0], [0, 1e-12, 0], [0, 0, 1]]),
        "not symmetric",
    ),
    "of two": (np.eye(2), r"shape \(2, 2\) for 3 coefficients"),
    "of four": (np.eye(4), r"must be \(3, 3\)"),
    "a vector": (np.ones(3), r"shape \(3,\)"),
    "a number": (1.0, r"shape \(\)"),
    "NaN": (np.diag([1.0, np.nan, 1.0]), "NaN or infinity"),
    "infinite": (np.diag([1.0, np.inf, 1.0]), "NaN or infinity"),
}


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize(("covariance", "message"), WRONG.values(), ids=list(WRONG))
def test_what_is_no_covariance_is_refused(covariance, message, unit):
    with pytest.raises(ValueError, match=message):
        Estimate.with_covariance([1.0, 2.0, 3.0], unit * np.asarray(covariance), n=10)


def test_other_wrong_input_is_refused():
    for coef in ([np.nan, 1.0], [np.inf, 1.0]):
        with pytest.raises(ValueError, match="`coef` holds NaN or infinity"):
            Estimate.with_covariance(coef, np.eye(2), n=10)
    for n, dof in ((0, 5), (-1, 5), (np.nan, 5), (10, 0), (10, -2), (10, np.nan)):
        with pytest.raises(ValueError, match="must be positive"):
            Estimate.with_covariance([1.0, 2.0], np.eye(2), n=n, dof=dof)


@pytest.mark.parametrize("q", [1, 2])
def test_noise_has_the_covariance(q, rng):
    covariance = spd(rng, 4 * q)
    estimate = Estimate.with_covariance(rng.normal(size=(q, 4)), covariance, n=10)
    assert_allclose(estimate.noise @ estimate.noise.T, covariance, rtol=1e-9)
    assert (estimate.rank, estimate.dof, estimate.n) == (4, np.inf, 10)
    distance = estimate.coef.ravel() @ cho_solve(cho_factor(covariance), estimate.coef.ravel())
    assert_allclose(estimate.observed @ estimate.observed, distance, rtol=1e-7)


def generalised_least_squares(coef, covariance, basis):
    """``min_w (c - B^T w)^T S^-1 (c - B^T w)``, by its normal equations."""
    factor = cho_factor(covariance)
    weighted = cho_solve(factor, basis.T)
    w = np.linalg.solve(basis @ weighted, weighted.T @ coef.ravel())
    rest = coef.ravel() - w @ basis
    return rest @ cho_solve(factor, rest)


@pytest.mark.parametrize("q", [1, 2])
def test_misfit_is_generalised_least_squares(q, rng):
    covariance, coef = spd(rng, 4 * q), rng.normal(size=(q, 4))
    basis = rng.normal(size=(2, 4 * q))
    residual, rank = Estimate.with_covariance(coef, covariance, n=10).misfit(basis)
    assert rank == 2
    expected = generalised_least_squares(coef, covariance, basis)
    assert_allclose(residual @ residual, expected, rtol=1e-8)


@pytest.mark.parametrize("size", [0.5, 1.0, 2.0, 6.0])
def test_a_known_covariance_is_tested_by_chi_square(size, rng):
    coef, basis = size * rng.normal(size=(1, 6)), np.eye(6)[:2]
    covariance = np.diag(np.arange(1.0, 7.0))
    miss = np.sum(coef[0, 2:] ** 2 / np.arange(3.0, 7.0))
    known = Estimate.with_covariance(coef, covariance, n=100)
    p_value = stats.chi2.sf(miss, 4)
    expected = miss - 4 * np.log(100) if p_value > 0.001 else np.inf
    assert known.information(basis) == pytest.approx(expected)
    p_value, bic = known.judge(miss, 3)
    assert p_value == pytest.approx(stats.chi2.sf(miss, 3))
    assert bic == pytest.approx(miss - 3 * np.log(100))
    assert known.information(np.eye(6)) == np.inf  # nothing is constrained
    # One that was estimated, by F; from many degrees of freedom it is nearly known.
    few = Estimate.with_covariance(coef, covariance, n=100, dof=5)
    p_value = stats.f.sf(miss / 4, 4, 5)
    expected = 100 * np.log1p(miss / 5) - 4 * np.log(100) if p_value > 0.001 else np.inf
    assert few.information(basis) == pytest.approx(expected)


# --- the same evidence from least squares and from its covariance ---------------------------------


def samples(q, rng, n=400, noise=0.05):
    X = rng.normal(size=(n, 2)) * [1, 0.7]
    square = np.sum(X**2, axis=1)[:, None]
    Y = X * (1 + 0.3 * square) if q == 2 else square
    Y = Y + noise * rng.normal(size=Y.shape)
    library = sk.PolynomialLibrary(3, center=0.0, scale=1.0).fit(X)
    output = sk.vector if q == 2 else None
    return FunctionSamples(library, sk.gl(2), output, X, Y, rng.uniform(0.5, 1.5, size=n))


def covariance_of(estimate):
    """Of ``coef.ravel()``, from the errors in coordinates that are orthonormal on the data."""
    q = len(estimate.coef)
    noise = estimate.noise
    if np.ndim(noise) < 2:
        noise = np.diag(np.broadcast_to(noise, q * estimate.rank))
    root = block_diag(*[estimate.from_data] * q) @ noise
    return root @ root.T


def assert_same_evidence(ours, theirs, basis, rtol=1e-6):
    assert_allclose(ours.output_scale, theirs.output_scale, rtol=1e-10)
    assert_allclose(ours.spectrum.singular_values, theirs.spectrum.singular_values, atol=1e-10)
    for k in range(1, 5):
        accepted, floor = ours.floor_test(k)
        expected, expected_floor = theirs.floor_test(k)
        assert accepted == expected
        assert_allclose(floor, expected_floor, rtol=rtol)
    generators = theirs.spectrum.generators
    assert_allclose(ours.noise_of(generators), theirs.noise_of(generators), rtol=rtol)
    for form, expected in zip(echelon(ours, 1), echelon(theirs, 1), strict=True):
        assert_allclose(form, expected, rtol=rtol, atol=1e-8)
    residual, rank = ours.estimate.misfit(basis)
    expected_residual, expected_rank = theirs.estimate.misfit(basis)
    assert rank == expected_rank
    assert_allclose(residual @ residual, expected_residual @ expected_residual, rtol=rtol)
    if len(ours.estimate.observed) == len(theirs.estimate.observed):  # as many sources of noise
        information = ours.estimate.information(basis)
        assert information == pytest.approx(theirs.estimate.information(basis), rel=rtol)


@pytest.mark.parametrize("robust", [False, True], ids=["equal errors", "sandwich"])
@pytest.mark.parametrize("q", [1, 2], ids=["invariant", "vector"])
def test_least_squares_is_one_covariance_of_many(q, robust, rng):
    data = samples(q, rng)
    fit = data.robust_estimate() if robust else data.estimate
    same = Estimate.with_covariance(
        fit.coef,
        covariance_of(fit),
        n=fit.n,
        dof=fit.dof,
        covariance_dof=fit.covariance_dof,
    )
    group = sk.Group(sk.so(2))
    basis = equivariant_basis(data.library, group, data.output).toarray()
    evidence = data.evidence(same)
    assert_same_evidence(evidence, data.evidence(fit), basis)
    assert np.isfinite(evidence.estimate.information(basis))


def test_least_squares_against_the_textbook(rng):
    """``sigma^2 (Phi^T W Phi)^-1`` for weights that count repetitions."""
    data = samples(1, rng)
    Phi, W = data.library.transform(data.X), data.weight
    gram = Phi.T @ (W[:, None] * Phi)
    coef = np.linalg.solve(gram, Phi.T @ (W * data.Y[:, 0]))
    residual = data.Y[:, 0] - Phi @ coef
    variance = W @ residual**2 / (W.sum() - Phi.shape[1])
    fit = data.estimate
    assert_allclose(fit.coef[0], coef, atol=1e-11)
    assert_allclose(covariance_of(fit), variance * np.linalg.inv(gram), rtol=1e-7, atol=1e-12)
    assert_allclose(fit.dof, W.sum() - Phi.shape[1])


def test_known_errors_are_accepted_as_often_as_they_should(rng):
    """Over experiments with a known covariance: the level of the test, the size of the floor."""
    X = rng.normal(size=(200, 2))
    library = sk.PolynomialLibrary(2, center=0.0, scale=1.0).fit(X)
    truth = np.linalg.lstsq(library.transform(X), (X**2).sum(axis=1))[0]
    covariance = spd(rng, 6, 10.0) * 1e-4 / np.outer(*[np.geomspace(1e-4, 1e3, 6)] * 2)
    root = np.linalg.cholesky(covariance)
    data = FunctionSamples(library, sk.gl(2), None, X, (X**2).sum(axis=1)[:, None], np.ones(200))
    accepted, defects, floors, chosen = [], [], [], []
    basis = equivariant_basis(library, sk.Group(sk.so(2))).toarray()
    for _ in range(300):
        coef = truth + root @ rng.normal(size=6)
        estimate = Estimate.with_covariance(coef, covariance, n=1000)
        evidence = data.evidence(estimate)
        consistent, floor = evidence.floor_test(1)
        accepted.append(consistent)
        floors.append(floor)
        defects.append(evidence.spectrum.singular_values[0])
        chosen.append(np.isfinite(estimate.information(basis)))
    assert np.mean(accepted) > 0.97
    assert np.mean(chosen) > 0.985
    assert_allclose(np.sqrt(np.mean(np.square(defects))), np.mean(floors), rtol=0.15)


def test_a_broken_symmetry_is_rejected(rng):
    """Where errors are known to be small; where they are large nothing is."""
    data = samples(1, rng, noise=0.0)
    coef = data.estimate.coef.copy()
    coef[0, 1] += 0.1
    basis = equivariant_basis(data.library, sk.Group(sk.so(2))).toarray()
    for size, rejected in ((1e-6, True), (1.0, False)):
        estimate = Estimate.with_covariance(coef, size * np.eye(10), n=1000)
        assert (estimate.information(basis) == np.inf) == rejected
        assert data.evidence(estimate).floor_test(1)[0] != rejected


def test_one_output_may_be_flat():
    estimate = Estimate.with_covariance([1.0, 2.0], np.eye(2), n=10)
    assert_array_equal(estimate.coef, [[1.0, 2.0]])
