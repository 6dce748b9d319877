"""Intervals of defects: they cover, they contain what was measured, they know round-off."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sksym import PolynomialLibrary, aff, gl, so, vector
from sksym.evidence import UNKNOWN, Estimate, FunctionSamples, SampledEvidence, library_statistics
from sksym.evidence.defects import _Moments, interval


def evidence_of(X, Y, candidates, degree, output=None):
    library = PolynomialLibrary(degree).fit(X)
    samples = FunctionSamples(library, candidates, output, X, Y, np.ones(len(X)))
    return samples.evidence(samples.estimate)


@pytest.mark.parametrize(
    ("candidates", "n", "noise", "n_data_sets"),
    [(so(2), 100, 0.1, 200), (so(3), 300, 0.1, 50), (gl(2), 100, 0.2, 50)],
)
def test_intervals_cover_the_true_defect(candidates, n, noise, n_data_sets, rng):
    """Of a quadratic form, in the motion measured, where it is at least three floors."""
    d = candidates.n_features
    covered = []
    for _ in range(n_data_sets):
        X = rng.uniform(-1, 1, (n, d))
        F = X**2 @ np.array([1.0, 1.2, 1.5])[:d]
        Y = F + noise * F.std() * rng.normal(size=n)
        evidence = evidence_of(X, Y[:, None], candidates, 3)
        library = PolynomialLibrary(3).fit(X)
        exact = Estimate.least_squares(library_statistics(library, X, F[:, None], np.ones(n)))
        truth = replace(evidence, estimate=exact).spectrum.singular_values
        for xi, true_defect in zip(evidence.spectrum.generators, truth, strict=True):
            defect = evidence.defect(xi)
            assert defect.low <= defect.value <= defect.high
            if true_defect >= 3 * defect.floor:
                covered.append(defect.low <= true_defect <= defect.high)
    assert len(covered) >= 150
    assert 0.9 <= np.mean(covered) <= 0.99


def test_symmetries_are_rarely_rejected(rng):
    rejected = []
    for _ in range(150):
        X = rng.uniform(-1, 1, (100, 2))
        F = np.sum(X**2, axis=1)
        Y = F + 0.1 * F.std() * rng.normal(size=100)
        defect = evidence_of(X, Y[:, None], so(2), 3).defect(np.ones(1))
        rejected.append(defect.p_value < 0.1)
        assert defect.may_be_zero == (defect.p_value > 0.003)
    assert 0.04 <= np.mean(rejected) <= 0.17


def test_defects_are_those_of_the_spectrum_whatever_the_size(rng):
    X = rng.normal(size=(200, 2))
    Y = np.column_stack([X[:, 0] ** 2, X[:, 0] * X[:, 1]]) + 0.1 * rng.normal(size=(200, 2))
    evidence = evidence_of(X, Y, gl(2), 2, vector)
    for xi, s in zip(
        *[evidence.spectrum.generators, evidence.spectrum.singular_values], strict=True
    ):
        defect = evidence.defect(xi)
        assert_allclose(defect.value, s)
        assert_allclose(evidence.defect(-1e6 * xi).high, defect.high)


def test_exact_data_have_exact_defects(rng):
    X = rng.normal(size=(200, 3))
    evidence = evidence_of(X, np.sum(X**2, axis=1)[:, None] ** 2, gl(3), 4)
    defects = [evidence.defect(xi) for xi in evidence.spectrum.generators]
    assert max(defect.high for defect in defects[:3]) <= 1e-9
    assert all(defect.may_be_zero for defect in defects[:3])
    for defect in defects[3:]:
        assert not defect.may_be_zero
        assert_allclose(defect.low, defect.high, rtol=1e-9)


def test_what_nothing_is_known_of(rng):
    X = np.column_stack([rng.normal(size=50), np.zeros(50)])
    Y = X[:, :1] ** 2
    evidence = evidence_of(X, Y, aff(2), 2)
    (still,) = [a for a, name in enumerate(aff(2).names) if name == "x1 ∂0"]
    assert evidence.defect(np.eye(6)[still]) is UNKNOWN
    few = evidence_of(rng.normal(size=(6, 2)), rng.normal(size=(6, 1)), aff(2), 2)
    defect = few.defect(few.spectrum.generators[0])
    assert defect.may_be_zero
    assert (defect.low, defect.high) == (0, np.inf)


@pytest.mark.parametrize("freedom", [1, 5, 200])
@pytest.mark.parametrize("dof", [10, np.inf])
def test_intervals_grow_with_the_measurement(freedom, dof):
    moments = _Moments(trace=freedom * 0.01, square=freedom * 0.0001, along=0.01)
    measured = np.sqrt(moments.trace) * np.geomspace(0.01, 100, 60)
    ends = np.array([interval(value, moments, dof) for value in measured])
    low, high = ends.T
    assert np.all(low <= measured)
    assert np.all(measured <= high)
    assert np.all(np.diff(low) >= -1e-6)
    assert np.all(np.diff(high) >= -1e-2 * high[1:])
    assert np.all(high > 0.1)
    assert low[0] == 0


def test_errors_of_samples_widen_the_interval_by_twice_their_size(rng):
    rows = rng.normal(size=(50, 1, 2))
    evidence = SampledEvidence(
        rows=rows,
        motion=np.eye(2),
        noise=0.04 * np.eye(2),
        bias=np.zeros((2, 2)),
        clusters=np.arange(50),
    )
    defect = evidence.defect(np.array([3.0, 0.0]))
    assert_allclose(defect.value, np.linalg.norm(rows[:, 0, 0]))
    assert_allclose(defect.floor, 0.2)
    assert_allclose(defect.high - defect.value, 0.4)
    assert np.isnan(defect.p_value)
