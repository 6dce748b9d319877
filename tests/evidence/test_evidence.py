"""Counting and rounding: the definitions behind the verdicts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm, subspace_angles

from sksym import Group, PolynomialLibrary, gl, lorentz, scaling, so
from sksym.equivariant import equivariant_basis
from sksym.evidence import FunctionSamples, SampledEvidence, Spectrum, rounded, within_floor
from sksym.evidence.rounding import nearest_exact
from sksym.evidence.selection import echelon
from sksym.groups import algebra_name


def test_rounding_takes_the_simplest_number_in_reach():
    form = np.array([[1.0, 0.02, -0.97, 0.51, 0.0]])
    assert_array_equal(rounded(form, np.full_like(form, 0.02)), [[1, 0, -1, 0.5, 0]])
    assert rounded(np.array([[1.0, 0.71]]), np.full((1, 2), 0.01)) is None
    assert_allclose(
        rounded(np.array([[1.0, 0.71]]), np.full((1, 2), 0.01), partly=True), [[1, 0.71]]
    )
    exact = np.array([[1.0, np.sqrt(2), 7 / 9 + 1e-13]])
    out = rounded(exact, np.full_like(exact, 1e-12))
    assert_allclose(out, exact, atol=1e-12)
    assert out[0, 2] == 7 / 9
    assert rounded(form, np.full_like(form, np.inf)) is None


@pytest.mark.parametrize("error", [0.03, 0.003])
def test_chance_rounds_few_numbers(rng, error):
    """Beyond 0 and 1 only where the errors are small beside the distances of simple numbers."""
    values = rng.uniform(-1, 1, (1, 500))
    errors = np.full_like(values, error)
    numbers = rounded(values, errors, partly=True)
    is_rounded = (numbers != values) & ~np.isin(numbers, [-1, 0, 1])
    assert is_rounded.mean() < 0.1
    truth = np.full_like(values, 0.5)
    numbers = rounded(truth + error * rng.normal(size=truth.shape), errors, partly=True)
    is_right = (numbers == truth).mean()
    assert is_right > 0.9 if error < 0.01 else is_right == 0


def test_spectrum_is_the_quotient(rng):
    M, root = rng.normal(size=(30, 5)), rng.normal(size=(7, 5))
    spectrum = Spectrum.of(M, root.T @ root)
    for s, xi in zip(spectrum.singular_values, spectrum.generators, strict=True):
        assert_allclose(np.linalg.norm(root @ xi), 1.0)
        assert_allclose(np.linalg.norm(M @ xi), s)
    random = rng.normal(size=(1000, 5))
    quotients = np.linalg.norm(random @ M.T, axis=1) / np.linalg.norm(random @ root.T, axis=1)
    assert quotients.min() >= spectrum.singular_values[0]
    assert_allclose(
        spectrum.defect(spectrum.generators[:2]) ** 2, np.mean(spectrum.singular_values[:2] ** 2)
    )


def test_spectrum_leaves_out_what_is_not_known(rng):
    M, motion = (
        rng.normal(size=(30, 4)),
        np.diag([1.0, 1e-12, 1.0, 0.0]),
    )  # the second in small units
    spectrum = Spectrum.of(M, motion, hidden=np.array([[1.0, 0, 0, 0]]))
    assert len(spectrum.generators) == 2
    assert_allclose(spectrum.generators[:, [0, 3]], 0.0, atol=1e-9)
    assert_array_equal(np.sort(np.abs(spectrum.unidentified()).argmax(axis=1)), [0, 3])


def evidence_of(noise, seed, robust=False, n=400):
    rng = np.random.default_rng(seed)
    X = np.random.default_rng(5).normal(size=(n, 2)) * [1, 0.6]
    square = np.sum(X**2, axis=1)
    y = (square - 0.1 * square**2)[:, None]
    y = y + noise * rng.normal(size=y.shape)
    library = PolynomialLibrary(4, center=0.0, scale=1.0).fit(X)
    samples = FunctionSamples(library, gl(2), None, X, y, np.ones(n))
    return samples.evidence(samples.robust_estimate() if robust else samples.estimate)


@pytest.mark.parametrize("robust", [False, True])
def test_standard_errors_and_floor_agree_with_repeated_experiments(robust):
    """Over repetitions of the noise: scatter of the echelon form, mean of the least defect."""
    forms, errors, defects, floors, accepted = [], [], [], [], []
    for seed in range(300):
        # With few samples and large leverages HC3 errs on the side of caution.
        evidence = evidence_of(0.3, seed, robust, n=4000 if robust else 400)
        form, error = echelon(evidence, 1)
        assert abs(form[0, 2] - 1) < 1e-12  # the pivot, where the data reach farther
        forms.append(form[0])
        errors.append(error[0])
        consistent, floor = evidence.floor_test(1)
        defects.append(evidence.spectrum.singular_values[0])
        floors.append(floor)
        accepted.append(consistent)
    scatter, predicted = np.std(forms, axis=0), np.sqrt(np.mean(np.square(errors), axis=0))
    free = predicted > 1e-9
    assert_allclose(predicted[free], scatter[free], rtol=0.25)
    assert_allclose(np.sqrt(np.mean(np.square(defects))), np.mean(floors), rtol=0.15)
    assert np.mean(accepted) > 0.97


def test_information_of_a_true_and_a_false_subspace():
    estimate = evidence_of(0.3, 0).estimate
    library = PolynomialLibrary(4, center=0.0, scale=1.0).fit(
        np.random.default_rng(5).normal(size=(400, 2))
    )
    true = equivariant_basis(library, Group.of(so(2))).toarray()
    false = equivariant_basis(library, Group.of(scaling([1, -1]))).toarray()
    assert estimate.information(true) < 0
    assert estimate.information(false) == np.inf
    # The misfit is that of least squares inside the subspace, in units of the noise.
    residual, rank = estimate.misfit(true)
    assert rank == len(true)
    assert residual @ residual < 3 * (len(estimate.observed) - rank)


def test_a_true_symmetry_survives_errors_of_unequal_size():
    """With errors taken to be equal it is rejected in a third of the experiments."""
    accepted, accepted_robustly = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(400, 2)) * [1, 0.6]
        square = np.sum(X**2, axis=1)
        y = square - 0.1 * square**2 + 0.2 * (0.2 + np.abs(X[:, 0])) * rng.normal(size=400)
        library = PolynomialLibrary(4, center=0.0, scale=1.0).fit(X)
        samples = FunctionSamples(library, gl(2), None, X, y[:, None], np.ones(400))
        true = equivariant_basis(library, Group.of(so(2))).toarray()
        false = equivariant_basis(library, Group.of(scaling([1, -1]))).toarray()
        robust = samples.robust_estimate()
        accepted.append(samples.estimate.information(true) < np.inf)
        accepted_robustly.append(robust.information(true) < np.inf)
        assert robust.information(false) == np.inf
    assert np.mean(accepted) < 0.8
    assert np.mean(accepted_robustly) > 0.97


def test_sampled_evidence_counts_what_lies_within_its_floor(rng):
    rows = np.concatenate(
        [0.01 * rng.normal(size=(200, 1, 2)), rng.normal(size=(200, 1, 3))], axis=2
    )
    rows /= np.sqrt(200)
    labels = np.arange(200) % 20
    zero = np.zeros((5, 5))
    for floor, expected in ((0.01, 2), (0.001, 0), (0.2, 0)):
        evidence = SampledEvidence(rows, np.eye(5), floor**2 * np.eye(5), zero, labels)
        assert within_floor(evidence, 0.1)[0] == expected
    biased = SampledEvidence(rows, np.eye(5), zero, 0.01**2 * np.eye(5), labels)
    assert within_floor(biased, 0.1)[0] == 2


@pytest.mark.parametrize("truth", [so(2), so(3), lorentz(2), scaling([1, -2])], ids=repr)
def test_nearest_exact_algebra_is_a_conjugate(truth, rng):
    """From a conjugate that is slightly wrong back to one that is exact, and near."""
    d = truth.n_features
    P = expm(0.4 * rng.normal(size=(d, d)))
    linear = P @ truth.linear @ np.linalg.inv(P)
    wrong = linear + 0.01 * rng.normal(size=linear.shape)
    form = wrong.reshape(len(wrong), -1)
    found = gl(d).combine(nearest_exact(gl(d), form))
    assert algebra_name(found) == algebra_name(truth)
    assert found.is_closed(1e-9)
    angles = subspace_angles(found.linear.reshape(len(form), -1).T, linear.reshape(len(form), -1).T)
    assert angles.max() < 0.1
    if truth.dim == 1:  # eigenvalues in exact ratios
        rates, true = np.linalg.eigvals(found.linear[0]), np.linalg.eigvals(truth.linear[0])
        rates, true = (np.sort_complex(v / np.abs(v).max()) for v in (rates, true))
        assert min(np.abs(rates - true).max(), np.abs(rates + true[::-1]).max()) < 1e-9


def test_nothing_exact_is_near_a_random_generator(rng):
    assert nearest_exact(gl(3), np.array([[1, 0.4, 0, -0.2, 0.7, 0, 0, 0, 0.45]])) is None
