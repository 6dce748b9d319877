"""One bilinear map, three readings: they agree with each other and with finite differences."""

import itertools
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import expm, null_space, subspace_angles

import sksym as sk
from sksym.equivariant import equivariant_basis
from sksym.testing import assert_adjoint

# Library, algebra on R^3, output.
CASES = {
    "so(3), invariant": (sk.PolynomialLibrary(3), sk.so(3), None),
    "so(3), vector": (sk.PolynomialLibrary(2), sk.so(3), sk.vector),
    "aff(3), tensor": (sk.PolynomialLibrary(2), sk.aff(3), sk.tensor(sk.vector, sk.vector)),
    "se(3), two invariants": (sk.PolynomialLibrary(3), sk.se(3), sk.trivial(2)),
    "other basis": (sk.PolynomialLibrary(2), sk.gl(3).combine(np.eye(9)[:4] + 0.3), sk.vector),
    "Fourier": (sk.FourierLibrary(2), sk.translations(3), sk.vector),
    "radial": (sk.RadialLibrary(), sk.so(3), sk.vector),
}
cases = pytest.mark.parametrize(("library", "algebra", "output"), CASES.values(), ids=list(CASES))


@pytest.fixture(params=[0.0, 4.0], ids=["centred", "away from the origin"])
def X(request, rng):
    return rng.uniform(-1, 1, size=(60, 3)) + request.param


def outputs(algebra, output):
    return 2 if output is None else output(algebra).shape[1]


def assert_same_span(U, V, atol):
    assert U.shape == V.shape
    assert not U.size or subspace_angles(U, V).max() < atol


def both(library, algebra, output, X):
    library = library.fit(X)
    exact = sk.LieDerivative.exact(library, algebra, output)
    return library, exact, sk.LieDerivative.sampled(library, algebra, output, X)


@cases
def test_constraint_and_symmetry_matrix_are_the_same_map(library, algebra, output, X, rng):
    library, *maps = both(library, algebra, output, X)
    for L in maps:
        coef = rng.normal(size=(outputs(algebra, output), library.n_output_features_))
        rows = L.constraint_matrix(len(coef)) @ coef.ravel()
        matrix = L.symmetry_matrix(coef)
        assert_allclose(rows.reshape(L.n_generators, -1).T, matrix, atol=1e-10)
        assert_adjoint(L, q=len(coef), rtol=1e-11)


@cases
def test_bilinear_in_the_algebra_s_own_generators(library, algebra, output, X, rng):
    library, *maps = both(library, algebra, output, X)
    for L in maps:
        coef = rng.normal(size=(outputs(algebra, output), library.n_output_features_))
        eta = rng.normal(size=L.n_generators)
        value = L(L.coordinates(eta), coef)
        assert_allclose(value.ravel(), L.symmetry_matrix(coef) @ eta, atol=1e-9 * abs(value).max())


@cases
def test_finite_differences_of_the_group_action(library, algebra, output, X, rng):
    """d/dt rho(exp(-t xi)) F(exp(t xi) x) at t = 0, as functions and on the samples."""
    library, exact, sampled = both(library, algebra, output, X)
    q, step = outputs(algebra, output), 1e-5
    coef = rng.normal(size=(q, library.n_output_features_))
    xi = rng.normal(size=algebra.dim)
    B = np.zeros((q, q)) if output is None else np.tensordot(xi, output(algebra), 1)

    def pulled_back(t):
        M, shift = algebra.exp(t * xi)
        return library.transform(X @ M.T + shift) @ coef.T @ expm(-t * B).T

    slope = (pulled_back(step) - pulled_back(-step)) / (2 * step)
    psi = np.linalg.solve(exact.values.toarray(), library.transform(X).T)
    size = abs(slope).max()
    assert_allclose((exact(xi, coef) @ psi).T, slope, atol=1e-6 * size)
    gram = slope.T @ slope / len(X)  # compressed tests keep inner products only
    assert_allclose(sampled(xi, coef) @ sampled(xi, coef).T, gram, atol=1e-6 * abs(gram).max())


def test_weighted_samples_are_repeated_samples(X, rng):
    library = sk.PolynomialLibrary(2).fit(X)
    counts = rng.integers(0, 4, size=len(X))
    weighted = sk.LieDerivative.sampled(library, sk.so(3), sk.vector, X, counts)
    repeated = sk.LieDerivative.sampled(library, sk.so(3), sk.vector, np.repeat(X, counts, axis=0))
    coef = rng.normal(size=(3, library.n_output_features_))
    gram, expected = (
        M.T @ M for M in (weighted.symmetry_matrix(coef), repeated.symmetry_matrix(coef))
    )
    # The boxes differ where extreme rows have no weight; compare in the algebra's own generators.
    to_own, expected_own = (np.linalg.pinv(L.generators) for L in (weighted, repeated))
    assert_allclose(to_own @ gram @ to_own.T, expected_own @ expected @ expected_own.T, atol=1e-9)


SPACES = {
    "so(3), invariant": (sk.so(3), None, 4, 3),
    "so(3), vector": (sk.so(3), sk.vector, 3, 2),
    "so(2), vector": (sk.so(2).on_columns([2, 0], 3), sk.vector, 2, 8),
    "lorentz(2), two invariants": (sk.lorentz(2), sk.trivial(2), 3, 4),
    "one translation": (sk.translations(3).combine([[1, -1, 0]]), None, 3, 10),
    "se(3), vector": (sk.se(3), sk.vector, 2, 0),
}


@pytest.mark.parametrize(
    ("algebra", "output", "degree", "expected"), SPACES.values(), ids=list(SPACES)
)
def test_exact_and_sampled_have_the_same_null_spaces(algebra, output, degree, expected, X, rng):
    library, *maps = both(sk.PolynomialLibrary(degree), algebra, output, X)
    spaces = [null_space(L.constraint_matrix().toarray(), rcond=1e-10) for L in maps]
    q = 1 if output is None else outputs(algebra, output)
    assert spaces[0].shape == spaces[1].shape == (q * library.n_output_features_, expected)
    assert_same_span(*spaces, atol=1e-8)
    if expected:  # and they discover the same in all affine motions
        coef = (spaces[0] @ rng.normal(size=expected)).reshape(q, -1)
        maps = both(library, sk.aff(3), output, X)[1:]
        found = [L.coordinates(null_space(L.symmetry_matrix(coef), rcond=1e-9).T) for L in maps]
        assert len(found[0]) == len(found[1]) >= algebra.dim
        assert_same_span(found[0].T, found[1].T, atol=1e-7)


@pytest.mark.parametrize("output", [None, sk.vector])
def test_exact_and_sampled_agree_on_quadrature_nodes(output, X, rng):
    library = sk.PolynomialLibrary(2).fit(X)
    t, w = np.polynomial.legendre.leggauss(6)
    middle, half = library.domain_.mean(axis=0), np.diff(library.domain_, axis=0)[0] / 2
    nodes = np.array(list(itertools.product(t, repeat=3))) * half + middle
    weights = np.prod(list(itertools.product(w, repeat=3)), axis=1)
    exact = sk.LieDerivative.exact(library, sk.aff(3), output)
    sampled = sk.LieDerivative.sampled(library, sk.aff(3), output, nodes, weights)
    coef = rng.normal(size=(outputs(sk.aff(3), output), library.n_output_features_))
    A, B = exact.symmetry_matrix(coef), sampled.symmetry_matrix(coef)
    assert_allclose(A.T @ A, B.T @ B, atol=1e-10 * np.linalg.norm(A) ** 2)


@pytest.mark.parametrize("constructor", ["exact", "sampled"])
@pytest.mark.parametrize("output", [None, sk.trivial(2), sk.vector], ids=["one", "two", "vector"])
def test_discovering_in_gl_what_enforcing_so_imposed(constructor, output, X, rng):
    library = sk.PolynomialLibrary(5 if output is sk.vector else 4, center=0.0).fit(X)
    basis = equivariant_basis(library, sk.Group.of(sk.so(3)), output=output)
    coef = (rng.normal(size=basis.shape[0]) @ basis).reshape(-1, library.n_output_features_)
    arguments = () if constructor == "exact" else (X,)
    L = getattr(sk.LieDerivative, constructor)(library, sk.gl(3), output, *arguments)
    found = L.coordinates(null_space(L.symmetry_matrix(coef), rcond=1e-9).T)
    assert found.shape == (3, 9)
    assert_same_span(found.T, sk.so(3).linear.reshape(3, 9).T, atol=1e-7)
    coef[0, 1] += 1e-3 * abs(coef).max()  # a broken symmetry is not found
    assert null_space(L.symmetry_matrix(coef), rcond=1e-9).shape[1] < 3


def spectrum(constructor, library, algebra, coef, output, X):
    arguments = (X,) if constructor == "sampled" else ()
    L = getattr(sk.LieDerivative, constructor)(library, algebra, output, *arguments)
    return np.linalg.svd(L.symmetry_matrix(coef), compute_uv=False)


readings = pytest.mark.parametrize("constructor", ["exact", "sampled"])


@readings
def test_singular_values_do_not_depend_on_the_basis(constructor, X, rng):
    library = sk.PolynomialLibrary(3).fit(X)
    coef = rng.normal(size=(3, library.n_output_features_))
    reference = spectrum(constructor, library, sk.se(3), coef, sk.vector, X)
    other = sk.se(3).combine(rng.normal(size=(6, 6)))
    assert_allclose(spectrum(constructor, library, other, coef, sk.vector, X), reference, rtol=1e-8)
    units = sk.se(3).combine(np.diag(np.geomspace(1e-4, 1e4, 6)))
    assert_allclose(spectrum(constructor, library, units, coef, sk.vector, X), reference, rtol=1e-8)
    dependent = sk.se(3) + sk.se(3).combine(rng.normal(size=(2, 6)))
    found = spectrum(constructor, library, dependent, coef, sk.vector, X)
    assert_allclose(found, reference, rtol=1e-8)


@readings
@pytest.mark.parametrize("unit", [1e-6, 1e3, [1e6, 1.0, 1.0]], ids=str)
def test_singular_values_do_not_depend_on_the_unit(constructor, unit, X, rng):
    here = sk.PolynomialLibrary(3).fit(X)
    there = sk.PolynomialLibrary(3, center=here.center_ * unit, scale=here.scale_ * unit).fit(
        X * unit
    )
    coef = rng.normal(size=(1, here.n_output_features_))
    expected = spectrum(constructor, here, sk.aff(3), coef, None, X)
    assert_allclose(
        spectrum(constructor, there, sk.aff(3), coef, None, X * unit), expected, rtol=1e-8
    )


@readings
def test_singular_values_do_not_depend_on_the_origin(constructor, X, rng):
    far = X + np.array([5.0, -3.0, 100.0])
    here = sk.PolynomialLibrary(3).fit(X)
    there = sk.PolynomialLibrary(3, scale=here.scale_).fit(far)
    coef = rng.normal(size=(1, here.n_output_features_))
    expected = spectrum(constructor, here, sk.aff(3), coef, None, X)
    assert_allclose(spectrum(constructor, there, sk.aff(3), coef, None, far), expected, rtol=1e-8)


@readings
def test_no_generators_no_constraint(constructor, X):
    library = sk.PolynomialLibrary(2).fit(X[:, :1])
    arguments = (X[:, :1],) if constructor == "sampled" else ()
    L = getattr(sk.LieDerivative, constructor)(library, sk.so(1), None, *arguments)
    assert L.constraint_matrix(2).shape == (0, 6)
    assert L.symmetry_matrix(np.ones((1, 3))).shape[1] == 0


def test_samples_are_streamed(rng):
    """The derivatives of all samples at once would be n p r numbers."""
    X = rng.normal(size=(60_000, 3))
    library = sk.PolynomialLibrary(3).fit(X)
    tracemalloc.start()
    sk.LieDerivative.sampled(library, sk.aff(3), None, X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * 60_000 * 20 * 12 * 8


@pytest.mark.parametrize("weight", [-1.0, np.nan, 0.0])
def test_weights_that_weigh_nothing_are_refused(weight, X):
    library = sk.PolynomialLibrary(2).fit(X)
    with pytest.raises(ValueError, match="weight"):
        sk.LieDerivative.sampled(library, sk.so(3), None, X, np.full(len(X), weight))


def test_what_is_not_closed_is_refused(X):
    adapted = sk.from_transformer(sk.PolynomialLibrary(2)).fit(X)
    with pytest.raises(sk.NotClosedError, match="use LieDerivative"):
        sk.LieDerivative.exact(adapted, sk.so(3))
    with pytest.raises(sk.NotClosedError, match="use LieDerivative"):
        sk.LieDerivative.exact(sk.RadialLibrary().fit(X), sk.gl(3))
    with pytest.raises(sk.NotClosedError, match="use LieDerivative"):
        sk.LieDerivative.exact(sk.FourierLibrary().fit(X), sk.so(3))


def test_wrong_dimensions_are_refused(X):
    library = sk.PolynomialLibrary(2).fit(X)
    with pytest.raises(ValueError, match=r"acts on R\^2, but X has 3 features.*on_columns"):
        sk.LieDerivative.exact(library, sk.so(2))
    with pytest.raises(ValueError, match=r"acts on R\^4, but X has 3 features"):
        sk.LieDerivative.sampled(library, sk.so(4), None, X)
