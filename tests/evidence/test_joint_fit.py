"""The joint fit of a function and its symmetries against what defines it."""

import numpy as np
import pytest
from scipy.linalg import expm, subspace_angles

import sksym as sk
from sksym.equivariant import place
from sksym.evidence import CountingRule, FunctionSamples, symmetries_of_function
from sksym.evidence.joint_fit import joint_fit


def tilted(algebra, change):
    """The same algebra in other axes, y = change x."""
    linear = change @ algebra.linear @ np.linalg.inv(change)
    return sk.LieAlgebra(linear, algebra.offset @ change.T)


def evidence_of(f, d, degree, candidates, noise, change=None, output=None, seed=0, n=600):
    """Samples of a function in tilted axes, and the evidence of a fit."""
    rng = np.random.default_rng(seed)
    change = np.eye(d) if change is None else change
    X = rng.uniform(-1, 1, size=(n, d))
    Y = f(X @ np.linalg.inv(change).T).reshape(n, -1)
    if output is not None:
        Y = Y @ change.T
    Y = Y + noise * Y.std() * rng.normal(size=Y.shape)
    library, _ = place(sk.PolynomialLibrary(degree), X, sk.Group.none(d))
    samples = FunctionSamples(library, candidates, output, X, Y, np.ones(n))
    return samples, samples.evidence(samples.estimate)


def square(Z):
    radius = np.sum(Z**2, axis=1)
    return radius + radius**2


def hopf(Z):
    return Z - Z[:, ::-1] * [1, -1] - Z * np.sum(Z**2, axis=1, keepdims=True)


CHANGES = {d: expm(0.4 * np.random.default_rng(d).normal(size=(d, d))) for d in (2, 3)}
CASES = {
    "so(2), gl(2)": (square, 2, 4, sk.gl(2), sk.so(2), None),
    "so(3), gl(3)": (square, 3, 4, sk.gl(3), sk.so(3), None),
    "so(2) about any point": (square, 2, 4, sk.aff(2), sk.so(2), None),
    "Hopf field": (hopf, 2, 3, sk.gl(2), sk.so(2), sk.vector),
}


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize(
    ("f", "d", "degree", "candidates", "truth", "output"), CASES.values(), ids=list(CASES)
)
def test_the_symmetry_is_exact_in_any_axes(f, d, degree, candidates, truth, output, noise):
    """``F(g x) = rho(g) F(x)`` for elements far from the identity, whatever the noise."""
    samples, evidence = evidence_of(f, d, degree, candidates, noise, CHANGES[d], output)
    fit = joint_fit(evidence, truth.dim)
    assert fit.is_convincing
    algebra = candidates.combine(fit.generators)
    span = tilted(truth, CHANGES[d]).flat()
    assert subspace_angles(algebra.flat().T, span.T).max() < (1e-9 if noise == 0 else 0.1)
    size = np.linalg.norm(algebra.flat(), axis=1)
    xi = np.random.default_rng(1).normal(size=truth.dim) / size
    M, t = algebra.exp(xi)
    rho = expm(np.tensordot(xi, algebra.linear, 1)) if output is not None else np.eye(1)
    phi = samples.library.transform
    here = phi(samples.X) @ fit.coef.T @ rho.T
    there = phi(samples.X @ M.T + t) @ fit.coef.T
    assert np.abs(there - here).max() < 1e-9 * np.abs(here).max()


def test_codimension_is_that_of_the_variety():
    """Quartics in two variables with some so(G): (1, |x|^2_G, |x|^4_G) and two numbers of G."""
    _, evidence = evidence_of(square, 2, 4, sk.gl(2), 0.02, CHANGES[2])
    fit = joint_fit(evidence, 1)
    n_functions = 15
    # G up to scale has two parameters: its scale is taken up by the coefficients.
    assert fit.codimension == n_functions - (3 + 2)


def test_errors_are_those_of_repeated_experiments():
    angles, errors = [], []
    for seed in range(60):
        _, evidence = evidence_of(square, 2, 4, sk.gl(2), 0.05, seed=seed)
        fit = joint_fit(evidence, 1)
        pivot = 1  # x1 ∂0
        V = fit.generators[0] / fit.generators[0, pivot]
        change = fit.changes[:, 0] / fit.generators[0, pivot]
        change = change - np.outer(V, change[pivot])
        angles.append(V)
        errors.append(np.sqrt(np.sum(change**2, axis=1)))
    scatter = np.std(angles, axis=0)
    told = np.sqrt(np.mean(np.square(errors), axis=0))
    informative = told > 1e-8
    assert informative.any()
    assert np.all(np.abs(np.log(scatter[informative] / told[informative])) < 0.5)


def test_what_every_function_has_is_no_evidence():
    """Any quadratic form is symmetric: t = 0, and nothing is declared."""
    _, evidence = evidence_of(lambda Z: Z[:, 0] ** 2 + 3 * Z[:, 1] ** 2, 2, 2, sk.aff(2), 0.02)
    fit = joint_fit(evidence, 1)
    assert fit.codimension == 0
    assert not fit.is_convincing


def test_nothing_is_fitted_without_noise_or_candidates():
    _, evidence = evidence_of(square, 2, 4, sk.gl(2), 0.02, n=15)
    assert joint_fit(evidence, 1) is None  # as many coefficients as samples
    _, evidence = evidence_of(square, 2, 4, sk.gl(2), 0.02)
    assert joint_fit(evidence, 0) is None
    assert joint_fit(evidence, 5) is None


@pytest.mark.parametrize("snap", [True, False])
def test_simple_numbers_replace_what_they_fit(snap):
    samples, _ = evidence_of(square, 3, 4, sk.gl(3), 0.02)
    _, found = symmetries_of_function(samples, CountingRule(snap=snap))
    algebra = sk.gl(3).combine(found.generators)
    assert algebra.dim == 3
    antisymmetric = np.abs(algebra.linear + algebra.linear.transpose(0, 2, 1)).max()
    assert (antisymmetric == 0) == snap
