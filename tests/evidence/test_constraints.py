"""Sketched constraints of large joint fits against all of them, and fits that end early."""

import sys

import numpy as np
import pytest
from scipy.linalg import expm, subspace_angles

import sksym as sk
from sksym.equivariant import place
from sksym.evidence import FunctionSamples
from sksym.evidence.constraints import AllConstraints, Problem, SketchedConstraints
from sksym.evidence.joint_fit import JointFits, joint_fit

D = 6
CHANGE = expm(0.15 * np.random.default_rng(3).normal(size=(D, D)))
SO_6 = 15


@pytest.fixture(scope="module")
def evidence():
    """|x|^2 in tilted axes among cubics, with more symmetries if translations are candidates."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, D))
    Z = X @ np.linalg.inv(CHANGE).T
    y = np.sum(Z**2, axis=1)
    y = y + 0.1 * y.std() * rng.normal(size=len(y))
    library, _ = place(sk.PolynomialLibrary(3), X, sk.Group.none(D))
    samples = FunctionSamples(library, sk.aff(D), None, X, y[:, None], np.ones(len(X)))
    return samples.evidence(samples.estimate)


def null_space(linear):
    _, s, Vt = np.linalg.svd(linear.rows)
    return Vt[np.count_nonzero(s > 1e-9 * s[0]) :]


def test_a_sketch_has_the_null_space_of_all_constraints(evidence):
    problem = Problem.of(evidence)
    fit = joint_fit(evidence, SO_6)
    u = np.linalg.solve(problem.noise, (fit.coef @ evidence.estimate.to_data).ravel())
    W = np.linalg.lstsq(evidence.spectrum.generators.T, fit.generators.T, rcond=None)[0].T
    W = W[:, SO_6:]
    exact = AllConstraints(problem, SO_6).linearise(W, u)
    sketch = SketchedConstraints(problem, SO_6).linearise(W, u)
    expected = null_space(exact)
    assert len(expected) == len(u) - fit.codimension
    assert subspace_angles(null_space(sketch).T, expected.T).max() < 1e-7
    np.testing.assert_allclose(sketch.size, exact.size, rtol=0.3)


def test_a_sketch_finds_the_same_fit(evidence, monkeypatch):
    fits = []
    for is_sketched in (False, True):
        monkeypatch.setattr(Problem, "sketch_is_smaller", lambda *_, s=is_sketched: s)
        fits.append(joint_fit(evidence, SO_6))
    exact, sketched = fits
    assert exact.is_convincing
    assert sketched.codimension == exact.codimension
    np.testing.assert_allclose(sketched.miss, exact.miss, rtol=1e-9)
    np.testing.assert_allclose(sketched.coef, exact.coef, atol=1e-9)
    assert subspace_angles(sketched.generators.T, exact.generators.T).max() < 1e-8


def test_fits_that_cannot_be_better_end_early(evidence):
    fits = JointFits(evidence)
    best = fits.better_than(0.0, SO_6)
    assert best.is_convincing
    # Fewer generators of the same algebra lead to the same function.
    assert fits.better_than(best.bic, SO_6 - 1) is None
    same = JointFits(evidence).of(SO_6 - 1)
    np.testing.assert_allclose(same.miss, best.miss, rtol=1e-9)
    assert same.codimension == best.codimension
    # Too many: the data contradict every function with so many symmetries.
    assert JointFits(evidence).better_than(0.0, SO_6 + 5) is None


def test_no_miss_above_the_largest_is_better(evidence):
    estimate = evidence.estimate
    for n_constraints in (1, 7, 60):
        for bic in (0.0, -200.0):
            largest = estimate.largest_miss(n_constraints, bic)
            if largest < 1e-6:  # no fit is good enough
                continue
            p_value, reached = estimate.judge(0.999 * largest, n_constraints)
            assert p_value > 0.001
            assert reached < bic
            p_value, reached = estimate.judge(1.001 * largest, n_constraints)
            assert p_value <= 0.001 or reached >= bic
            # The same miss of fewer constraints is worse.
            p_value, reached = estimate.judge(1.001 * largest, n_constraints - 1)
            assert p_value <= 0.001 or reached >= bic


def test_what_does_not_fit_into_memory_is_said(evidence, monkeypatch):
    module = sys.modules[JointFits.__module__]
    monkeypatch.setattr(module, "available_memory", lambda: 1e6)
    with pytest.warns(UserWarning, match="42 candidates and 84 functions would need"):
        assert joint_fit(evidence, SO_6) is None
