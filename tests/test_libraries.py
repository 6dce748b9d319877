"""Libraries: derivatives, closedness, orthonormal coordinates, names, and evaluation in blocks."""

import itertools
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from cases import LIBRARIES
from sksym import (
    FourierLibrary,
    NotClosedError,
    PolynomialLibrary,
    RadialLibrary,
    cyclic,
    from_pysindy,
    from_transformer,
    gl,
    se,
    so,
)
from sksym.libraries import evaluate
from sksym.testing import assert_closed, assert_jacobian

rows = pytest.mark.parametrize("row", LIBRARIES.values(), ids=list(LIBRARIES))


@pytest.fixture
def X(rng):
    return rng.normal([0.5, 0, -0.3], size=(40, 3))


@rows
def test_jacobian(row, X):
    assert_jacobian(row.library.fit(X), X, rtol=1e-7)


@rows
def test_closedness(row, X):
    if row.algebra is not None:
        assert_closed(row.library.fit(X), X, algebra=row.algebra, group=row.group)


@rows
def test_evaluate_is_transform_times_coef(row, X, rng):
    library = row.library.fit(X)
    coef = rng.normal(size=(4, library.n_output_features_))
    coef[rng.random(coef.shape) < 0.6] = 0
    coef[3] = 0
    expected = library.transform(X) @ coef.T
    assert_allclose(evaluate(library, coef, X), expected, atol=1e-12)
    assert_allclose(evaluate(library, sparse.csr_array(coef), X), expected, atol=1e-12)


@rows
def test_names_and_sizes(row, X):
    library = row.library.fit(X)
    names = library.get_feature_names_out()
    assert len(set(names)) == len(names) == library.n_output_features_
    assert library.transform(X).shape == (40, len(names))
    assert library.jacobian(X).shape == (40, len(names), 3)


def gauss_nodes(box, k=8):
    """Tensor Gauss-Legendre nodes of a box and weights that sum to one."""
    t, w = np.polynomial.legendre.leggauss(k)
    middle, half = box.mean(axis=0), (box[1] - box[0]) / 2
    nodes = np.array(list(itertools.product(t, repeat=len(middle)))) * half + middle
    weights = np.prod(list(itertools.product(w / 2, repeat=len(middle))), axis=1)
    return nodes, weights


def assert_orthonormal(library, nodes, weights):
    psi = np.linalg.solve(library.orthonormal_coordinates().toarray(), library.transform(nodes).T)
    assert_allclose((psi * weights) @ psi.T, np.eye(len(psi)), atol=1e-9)


@pytest.mark.parametrize("domain", [None, (-1, 1), ([-1, 0, 2], [1, 4, 2.5])])
@pytest.mark.parametrize("degree", [0, 1, 4])
def test_legendre_coordinates_are_orthonormal(degree, domain, X):
    library = PolynomialLibrary(degree, domain=domain).fit(X)
    assert_orthonormal(library, *gauss_nodes(library.domain_))


def test_fourier_coordinates_are_orthonormal(X):
    library = FourierLibrary(2).fit(X)
    k = 8
    nodes = np.array(list(itertools.product(np.arange(k) * 2 * np.pi / k, repeat=3)))
    assert_orthonormal(library, nodes, np.full(len(nodes), 1 / len(nodes)))


@pytest.mark.parametrize("library", [RadialLibrary(), RadialLibrary((-2, -1, 2), 2)])
def test_radial_coordinates_are_orthonormal(library, X):
    library = library.fit(X)
    r, w = np.polynomial.legendre.leggauss(30)
    inner, outer = library.shell_ * library.scale_
    r, w = (
        (inner + outer) / 2 + r * (outer - inner) / 2,
        w * ((outer + inner) / 2 + r * (outer - inner) / 2) ** 2,
    )
    z, v = np.polynomial.legendre.leggauss(10)
    angle = np.arange(12) * np.pi / 6
    directions = np.array(
        [
            [np.sqrt(1 - s**2) * np.cos(a), np.sqrt(1 - s**2) * np.sin(a), s]
            for s in z
            for a in angle
        ]
    )
    nodes = (r[:, None, None] * directions).reshape(-1, 3)
    weights = np.outer(w, np.repeat(v, 12)).ravel()
    assert_orthonormal(library, nodes, weights / weights.sum())


def test_fischer_scaling_makes_rotations_antisymmetric(X):
    library = PolynomialLibrary(4, center=0.0, scale=2.0).fit(X)
    D = library.lie_matrices(so(3)).toarray().reshape(-1, 3, library.n_output_features_)
    assert_allclose(D, -D.transpose(2, 1, 0), atol=1e-14)


@pytest.mark.parametrize("degree", [0, 1, 2, 5])
def test_monomials_agree_with_scikit_learn(degree, X, rng):
    library, plain = PolynomialLibrary(degree).fit(X + 3), PolynomialFeatures(degree).fit(X)
    assert_array_equal(library.monomial_names, plain.get_feature_names_out())
    coef = rng.normal(size=(2, library.n_output_features_))
    values = plain.transform(X + 3) @ library.monomial_coef(coef).T
    assert_allclose(values, library.transform(X + 3) @ coef.T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("library", [PolynomialLibrary(4), RadialLibrary((-3, 0, 1), 2)])
def test_change_of_place(library, X):
    here, there = type(library)(**library.get_params()).fit(X), library.fit(5 * X + 1)
    K = here.change_to(there)
    assert_allclose(here.transform(X), there.transform(X) @ K.T, rtol=1e-9, atol=1e-12)


def test_place_is_the_middle_and_a_power_of_two():
    library = PolynomialLibrary().fit([[-1.0, 1e6], [2.0, 4e6]])
    assert_array_equal(library.center_, [0.5, 2.5e6])
    assert_array_equal(library.scale_, [2.0, 2.0**21])
    assert_array_equal(library.domain_, [[-1, 1e6], [2, 4e6]])
    constant = PolynomialLibrary().fit([[3.0, 1.0], [3.0, 2.0]])
    assert np.isfinite(constant.transform([[4.0, 1.0]])).all()


def test_float32_stays_float32(X):
    for row in LIBRARIES.values():
        library = row.library.fit(X.astype(np.float32))
        assert_allclose(
            library.transform(X.astype(np.float32)), library.transform(X), rtol=2e-4, atol=1e-4
        )
    assert PolynomialLibrary().fit_transform(X.astype(np.float32)).dtype == np.float32


def peak_beyond(result, call):
    tracemalloc.start()
    try:
        out = call()
        return (tracemalloc.get_traced_memory()[1] - out.nbytes) / result
    finally:
        tracemalloc.stop()


def test_blocks_bound_the_memory(rng):
    """Beyond the output, four times the rows need no more memory."""
    library = PolynomialLibrary(4).fit(rng.normal(size=(9, 4)))
    few, many = rng.normal(size=(20_000, 4)), rng.normal(size=(80_000, 4))
    for method in (library.transform, library.jacobian):
        small, large = (peak_beyond(1.0, lambda X=X, m=method: m(X)) for X in (few, many))
        assert large < 1.3 * small + 2e6
        assert large < 40e6


@pytest.mark.parametrize(
    ("library", "message"),
    [
        (PolynomialLibrary(-1), "degree"),
        (PolynomialLibrary(1.5), "degree"),
        (PolynomialLibrary(center=[1.0, 2.0]), "center"),
        (PolynomialLibrary(center=np.nan), "center"),
        (PolynomialLibrary(scale=0.0), "scale"),
        (PolynomialLibrary(domain=3.0), "domain"),
        (PolynomialLibrary(domain=(1.0, -1.0)), "low < high"),
        (FourierLibrary(-1), "n_frequencies"),
        (RadialLibrary(powers=()), "powers"),
        (RadialLibrary(powers=(np.inf,)), "powers"),
    ],
)
def test_wrong_parameters_are_refused(library, message, X):
    with pytest.raises(ValueError, match=message):
        library.fit(X)


def test_too_many_functions_are_refused_at_once():
    with pytest.raises(MemoryError, match=r"118,264,581,564,861,424 monomials.* Reduce"):
        PolynomialLibrary(30).fit(np.zeros((2, 30)))


@pytest.mark.parametrize(
    ("library", "algebra"),
    [(FourierLibrary(), so(3)), (RadialLibrary(), gl(3)), (RadialLibrary(), se(3))],
)
def test_motions_that_leave_the_library(library, algebra, X):
    with pytest.raises(NotClosedError, match="closed under"):
        library.fit(X).lie_matrices(algebra)


def test_elements_that_leave_the_library(X):
    with pytest.raises(NotClosedError, match="signed permutations"):
        FourierLibrary().fit(X).group_matrix(cyclic(3, 5).matrices[0])
    with pytest.raises(NotClosedError, match="orthogonal"):
        RadialLibrary().fit(X).group_matrix(np.diag([1.0, 2.0, 1.0]))


def test_radial_functions_at_the_origin_are_zero():
    library = RadialLibrary((-3, 0, 1)).fit(np.eye(3))
    values = library.transform(np.zeros((1, 3)))[0]
    names = list(library.get_feature_names_out())
    assert values[names.index("|x|^0")] == 1
    assert np.count_nonzero(values) == 1
    assert np.isfinite(library.jacobian(np.zeros((1, 3)))).all()


def test_radial_functions_are_independent(rng):
    X = rng.normal(size=(500, 3))
    for powers, degree in [((0, 2), 2), ((-1, 0, 1, 2, 3), 3), ((1, 1), 1)]:
        Phi = RadialLibrary(powers, degree).fit_transform(X)
        assert np.linalg.matrix_rank(Phi) == Phi.shape[1]


def test_adapters_differentiate_exactly_where_they_can(X):
    exact = from_transformer(FunctionTransformer(np.sin)).fit(X)
    assert exact.complex_
    jacobian = exact.jacobian(X)
    assert_allclose(jacobian[:, 1, 1], np.cos(X[:, 1]), rtol=1e-15)
    assert_array_equal(exact.get_feature_names_out(), ["f0", "f1", "f2"])
    rough = from_transformer(PolynomialFeatures(3)).fit(X)
    assert not rough.complex_
    reference = PolynomialLibrary(3, center=0.0, scale=1.0).fit(X)
    expected = reference.jacobian(X) / reference.monomials_.fischer[:, None]
    assert_allclose(rough.jacobian(X), expected, atol=1e-9)


def test_from_pysindy_wants_a_pysindy_library():
    with pytest.raises(TypeError, match="from_transformer"):
        from_pysindy(PolynomialFeatures())


def test_fourier_names():
    library = FourierLibrary(2).fit(np.zeros((1, 2)))
    expected = ["1", "cos(x0)", "sin(x0)", "cos(x1)", "sin(x1)", "cos(2 x0)", "sin(2 x0)"]
    assert_array_equal(library.get_feature_names_out()[:7], expected)
    assert "cos(x0 - x1)" in library.get_feature_names_out()
