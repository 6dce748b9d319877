"""Dimensions of spaces of symmetric functions, known from invariant theory."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import sksym as sk
from fits import conjugated, n_free


@pytest.mark.parametrize(("degree", "expected"), [(3, 2), (5, 3), (7, 4)])
def test_so3_vector_fields(degree, expected):
    assert n_free(sk.so(3), degree, sk.vector) == expected


def test_two_points_in_space():
    assert n_free(sk.so(3).repeat(2), 3, sk.vector) == 18


@pytest.mark.parametrize(("degree", "expected"), list(enumerate([2, 2, 4, 4, 6, 6, 8], start=1)))
def test_so2_vector_fields(degree, expected):
    assert n_free(sk.so(2), degree, sk.vector) == expected


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_no_vector_field_on_the_plane_has_se2(degree):
    assert n_free(sk.se(2), degree, sk.vector) == 0


@pytest.mark.parametrize("degree", range(9))
@pytest.mark.parametrize(
    "algebra", [sk.so(2), sk.so(3), sk.so(4), sk.lorentz(1), sk.lorentz(2), sk.lorentz(3)]
)
def test_invariants_of_one_vector(algebra, degree):
    assert n_free(algebra, degree) == degree // 2 + 1


def partitions(total, parts):
    """Partitions of `total` into at most `parts` parts."""
    table = [1] + [0] * total
    for size in range(1, parts + 1):
        for n in range(size, total + 1):
            table[n] += table[n - size]
    return table[total]


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("degree", [1, 4, 8])
def test_symmetric_polynomials_are_counted_by_partitions(d, degree):
    expected = sum(partitions(k, d) for k in range(degree + 1))
    assert n_free(sk.permutations(d), degree) == expected


@pytest.mark.parametrize("degree", [0, 3, 8])
def test_even_polynomials(degree):
    expected = sum(1 for a in itertools.product(range(0, 9, 2), repeat=3) if sum(a) <= degree)
    assert n_free(sk.reflections(3), degree) == expected


def generated(matrices):
    """All elements of a finite group, from generating ones."""
    elements, new = [], [np.eye(len(matrices[0]))]
    while new:
        elements += new
        products = [g @ h for g in matrices for h in new]
        new = []
        for product in products:
            if not any(np.allclose(product, known) for known in elements + new):
                new.append(product)
    return np.array(elements)


def molien(elements, rho, degree):
    """Equivariant polynomials up to a degree: mean of tr rho(g)* times the series of Molien."""
    count = 0.0
    for g, image in zip(elements, rho, strict=True):
        series = np.eye(1, degree + 1)[0].astype(complex)
        for eigenvalue in np.linalg.eigvals(g):
            for n in range(1, degree + 1):
                series[n] += eigenvalue * series[n - 1]
        count += np.trace(image) * series.sum()
    return round(count.real / len(elements))


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("degree", [2, 5, 8])
def test_cyclic_invariants_follow_molien(order, degree):
    turns = generated(sk.cyclic(2, order).matrices)
    assert len(turns) == order
    expected = molien(turns, np.ones((order, 1, 1)), degree)
    assert n_free(sk.cyclic(2, order), degree) == expected


FINITE = {
    "permutations": sk.permutations(4),
    "permuted points": sk.permutations(3, block=2),
    "reflections": sk.reflections(3),
    "cyclic": sk.cyclic(3, 7),
    "cube": sk.FiniteGroup([*sk.permutations(3).matrices, *sk.reflections(3).matrices]),
    "pentagon": sk.FiniteGroup([*sk.cyclic(2, 5).matrices, np.diag([1.0, -1])]),
}


@pytest.mark.parametrize("group", FINITE.values(), ids=list(FINITE))
@pytest.mark.parametrize("skewed", [False, True])
def test_finite_groups_follow_molien(group, skewed, rng):
    change = rng.normal(size=(group.n_features,) * 2) if skewed else np.eye(group.n_features)
    group = sk.FiniteGroup(change @ group.matrices @ np.linalg.inv(change))
    elements, degree = generated(group.matrices), 3 if group.n_features > 4 else 5
    ones = np.ones((len(elements), 1, 1))
    assert n_free(group, degree) == molien(elements, ones, degree)
    # Characters are real: vectors and covectors have the same count.
    assert n_free(group, degree, sk.vector) == molien(elements, elements, degree)
    assert n_free(group, degree, sk.covector) == molien(elements, elements, degree)
    pairs = [np.kron(g, g) for g in elements]
    assert n_free(group, 2, sk.tensor(sk.vector, sk.vector)) == molien(elements, pairs, 2)


def binary_forms(k):
    """sl(2) on the coefficients of binary forms of degree k."""
    H, E, F = np.zeros((3, k + 1, k + 1))
    for i in range(k + 1):
        H[i, i] = k - 2 * i
    for i in range(k):
        E[i, i + 1], F[i + 1, i] = i + 1, k - i
    return sk.LieAlgebra([H, E, F])


def products(degrees, limit):
    """Monomials of total degree <= limit in generators of these degrees."""
    table = np.eye(1, limit + 1)[0]
    for size in degrees:
        for n in range(size, limit + 1):
            table[n] += table[n - size]
    return int(table.sum())


@pytest.mark.parametrize(
    ("k", "limit", "degrees"),
    [(2, 8, [2]), (3, 8, [4]), (4, 8, [2, 3]), (5, 8, [4, 8]), (6, 6, [2, 4, 6])],
)
@pytest.mark.parametrize("skewed", [False, True])
def test_invariants_of_binary_forms(k, limit, degrees, skewed, rng):
    """Known to the nineteenth century: the invariants are generated in these degrees."""
    algebra = binary_forms(k)
    if skewed:
        U, _, V = np.linalg.svd(rng.normal(size=(k + 1, k + 1)))
        algebra = conjugated(algebra, U * np.geomspace(1, 100, k + 1) @ V)
    assert n_free(algebra, limit) == products(degrees, limit)


ALIKE = {
    "symplectic area": (sk.sp(4).repeat(2), 4, None, products([2], 4)),
    "determinant": (sk.sl(3).repeat(3), 6, None, products([3], 6)),
    "interval of two events": (sk.poincare(3).repeat(2), 4, None, products([2], 4)),
    "delay of two events": (sk.galilei(2).repeat(2), 4, None, products([1], 4)),
    "nothing under all affine motions": (sk.aff(3), 3, None, 1),
    "nothing under rotation and dilation": (sk.so(3) + sk.scaling([1, 1, 1]), 4, None, 1),
    "the identity matrix": (sk.gl(3), 2, sk.tensor(sk.vector, sk.covector), 1),
    "dilation of each axis": (sk.scaling(np.eye(3)), 4, sk.vector, 3),
    "one gradient": (sk.so(3), 4, sk.covector, 2),
    "screw": (sk.LieAlgebra(sk.so(2).on_columns([0, 1], 3).linear, [[0, 0, 0.5]]), 4, None, 3),
}


@pytest.mark.parametrize(
    ("algebra", "degree", "output", "expected"), ALIKE.values(), ids=list(ALIKE)
)
def test_known_equivariants(algebra, degree, output, expected):
    assert n_free(algebra, degree, output) == expected


@pytest.mark.parametrize(
    ("k", "n", "expected"),
    [(2, 3, 1), (3, 3, 1), (4, 3, 3), (4, 2, 6), (3, 2, 0), (4, 4, 4), (5, 3, 6)],
)
def test_invariant_tensors(k, n, expected):
    """A constant tensor-valued function of the point 0 is an invariant tensor."""
    output = sk.vector
    for _ in range(k - 1):
        output = sk.tensor(output, sk.vector)
    assert n_free(sk.so(n), 0, output) == expected


INERTIA = sk.so(3).repeat(5).on_columns(range(5, 20), 20)


def inertia(symmetry):
    return n_free(symmetry, 3, sk.tensor(sk.columns(5, 6, 7), sk.columns(5, 6, 7)))


def test_inertia_space():
    assert inertia(INERTIA) == 526
    assert inertia(INERTIA + sk.FiniteGroup([np.diag([1.0] * 5 + [-1.0] * 15)])) == 296


def test_four_momenta():
    assert n_free(sk.lorentz(3).repeat(4), 4) == 67


def test_badly_scaled_algebras(rng):
    assert n_free(conjugated(sk.so(3), np.diag([1.0, 30, 1000])), 8) == 5
    U, _, V = np.linalg.svd(rng.normal(size=(8, 8)))
    change = U * np.geomspace(1, 1e3, 8) @ V
    assert n_free(conjugated(sk.so(4).repeat(2), change), 4) == 10
    assert n_free(conjugated(sk.so(10), rng.normal(size=(10, 10))), 4) == 3
    assert n_free(conjugated(sk.so(3), np.diag([1.0, 30, 1000])), 5, sk.vector) == 3


def test_mixed_units():
    """Position in 1e6, angle in 1: rotations of the position leave 3 x 5 products."""
    algebra = sk.so(2).on_columns([0, 1], 3)
    X = np.random.default_rng(0).normal(size=(30, 3)) * [1e6, 1e6, 1]
    model = sk.SymmetricRidge(algebra, library=sk.PolynomialLibrary(4)).fit(X, X[:, 2])
    assert model.n_free_ == 5 + 3 + 1
    assert model.equivariance_error(X) < 1e-12
    assert_array_equal(model.library_.scale_[:2] > 1e6, [True, True])
    assert model.library_.scale_[2] < 10


@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])
@pytest.mark.parametrize(
    ("algebra", "degree", "expected"), [(sk.se(2).repeat(2), 6, 4), (sk.se(2).repeat(3), 4, 14)]
)
def test_rigid_motions_far_from_the_origin(algebra, degree, expected, offset, rng):
    """Distances (and an area, of three points) are all that rigid motions leave."""
    X = rng.uniform(-1, 1, size=(40, algebra.n_features)) + offset
    model = sk.SymmetricRidge(algebra, library=sk.PolynomialLibrary(degree)).fit(X, X[:, 0])
    assert model.n_free_ == expected
