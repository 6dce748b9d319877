"""Enforcing a symmetry: dimensions, exactness, the objective, streaming, and bad input."""

import itertools
import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pysindy as ps
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.linalg import expm
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    LeaveOneOut,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures
from threadpoolctl import threadpool_limits

from sksym import (
    FiniteGroup,
    FourierLibrary,
    LieAlgebra,
    PolynomialLibrary,
    RadialLibrary,
    SymmetricRidge,
    SymmetricRidgeCV,
    aff,
    columns,
    covector,
    cyclic,
    direct_sum,
    from_pysindy,
    from_transformer,
    galilei,
    gl,
    lorentz,
    permutations,
    poincare,
    reflections,
    scaling,
    se,
    sl,
    so,
    sp,
    tensor,
    translations,
    trivial,
    vector,
)


def conjugated(algebra, change):
    return LieAlgebra(change @ algebra.linear @ np.linalg.inv(change))


def n_free(algebra, degree, output=None, group=None):
    who = group if algebra is None else algebra
    d = who.n_features
    q = 1 if output is None else output(who).shape[1]
    X, Y = (np.random.default_rng(0).normal(size=(5, size)) for size in (d, q))
    model = SymmetricRidge(algebra, library=PolynomialLibrary(degree), output=output, group=group)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nothing but constants may be left
        model.set_params(alpha=1e-3).fit(X, Y)
    assert model.equivariance_error(X) < 1e-9
    basis = model.basis_
    assert basis.shape == (model.n_free_, q * model.library_.n_output_features_)
    assert_allclose(basis @ basis.T, np.eye(model.n_free_), atol=1e-12)
    return model.n_free_


# --- dimensions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("degree", "expected"), [(3, 2), (5, 3), (7, 4)])
def test_so3_vector_fields(degree, expected):
    assert n_free(so(3), degree, vector) == expected


def test_two_points_in_space():
    assert n_free(so(3).repeat(2), 3, vector) == 18


@pytest.mark.parametrize(("degree", "expected"), list(enumerate([2, 2, 4, 4, 6, 6, 8], start=1)))
def test_so2_vector_fields(degree, expected):
    assert n_free(so(2), degree, vector) == expected


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_no_vector_field_on_the_plane_has_se2(degree):
    assert n_free(se(2), degree, vector) == 0


@pytest.mark.parametrize("degree", range(9))
@pytest.mark.parametrize("algebra", [so(2), so(3), so(4), lorentz(1), lorentz(2), lorentz(3)])
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
    assert n_free(None, degree, group=permutations(d)) == expected


@pytest.mark.parametrize("degree", [0, 3, 8])
def test_even_polynomials(degree):
    expected = sum(1 for a in itertools.product(range(0, 9, 2), repeat=3) if sum(a) <= degree)
    assert n_free(None, degree, group=reflections(3)) == expected


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
    turns = generated(cyclic(2, order).matrices)
    assert len(turns) == order
    expected = molien(turns, np.ones((order, 1, 1)), degree)
    assert n_free(None, degree, group=cyclic(2, order)) == expected


FINITE = {
    "permutations": permutations(4),
    "permuted points": permutations(3, block=2),
    "reflections": reflections(3),
    "cyclic": cyclic(3, 7),
    "cube": FiniteGroup([*permutations(3).matrices, *reflections(3).matrices]),
    "pentagon": FiniteGroup([*cyclic(2, 5).matrices, np.diag([1.0, -1])]),
}


@pytest.mark.parametrize("group", FINITE.values(), ids=list(FINITE))
@pytest.mark.parametrize("skewed", [False, True])
def test_finite_groups_follow_molien(group, skewed, rng):
    change = rng.normal(size=(group.n_features,) * 2) if skewed else np.eye(group.n_features)
    group = FiniteGroup(change @ group.matrices @ np.linalg.inv(change))
    elements, degree = generated(group.matrices), 3 if group.n_features > 4 else 5
    ones = np.ones((len(elements), 1, 1))
    assert n_free(None, degree, group=group) == molien(elements, ones, degree)
    # Characters are real: vectors and covectors have the same count.
    assert n_free(None, degree, vector, group) == molien(elements, elements, degree)
    assert n_free(None, degree, covector, group) == molien(elements, elements, degree)
    pairs = [np.kron(g, g) for g in elements]
    assert n_free(None, 2, tensor(vector, vector), group) == molien(elements, pairs, 2)


def binary_forms(k):
    """sl(2) on the coefficients of binary forms of degree k."""
    H, E, F = np.zeros((3, k + 1, k + 1))
    for i in range(k + 1):
        H[i, i] = k - 2 * i
    for i in range(k):
        E[i, i + 1], F[i + 1, i] = i + 1, k - i
    return LieAlgebra([H, E, F])


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
    "symplectic area": (sp(4).repeat(2), 4, None, products([2], 4)),
    "determinant": (sl(3).repeat(3), 6, None, products([3], 6)),
    "interval of two events": (poincare(3).repeat(2), 4, None, products([2], 4)),
    "delay of two events": (galilei(2).repeat(2), 4, None, products([1], 4)),
    "nothing under all affine motions": (aff(3), 3, None, 1),
    "nothing under rotation and dilation": (so(3) + scaling([1, 1, 1]), 4, None, 1),
    "the identity matrix": (gl(3), 2, tensor(vector, covector), 1),
    "dilation of each axis": (scaling(np.eye(3)), 4, vector, 3),
    "one gradient": (so(3), 4, covector, 2),
    "screw": (LieAlgebra(so(2).on_columns([0, 1], 3).linear, [[0, 0, 0.5]]), 4, None, 3),
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
    output = vector
    for _ in range(k - 1):
        output = tensor(output, vector)
    assert n_free(so(n), 0, output) == expected


def inertia(group=None):
    algebra = so(3).repeat(5).on_columns(range(5, 20), 20)
    return n_free(algebra, 3, tensor(columns(5, 6, 7), columns(5, 6, 7)), group)


def test_inertia_space():
    assert inertia() == 526
    assert inertia(FiniteGroup([np.diag([1.0] * 5 + [-1.0] * 15)])) == 296


def test_four_momenta():
    assert n_free(lorentz(3).repeat(4), 4) == 67


def test_badly_scaled_algebras(rng):
    assert n_free(conjugated(so(3), np.diag([1.0, 30, 1000])), 8) == 5
    U, _, V = np.linalg.svd(rng.normal(size=(8, 8)))
    change = U * np.geomspace(1, 1e3, 8) @ V
    assert n_free(conjugated(so(4).repeat(2), change), 4) == 10
    assert n_free(conjugated(so(10), rng.normal(size=(10, 10))), 4) == 3
    assert n_free(conjugated(so(3), np.diag([1.0, 30, 1000])), 5, vector) == 3


def test_mixed_units():
    """Position in 1e6, angle in 1: rotations of the position leave 3 x 5 products."""
    algebra = so(2).on_columns([0, 1], 3)
    X = np.random.default_rng(0).normal(size=(30, 3)) * [1e6, 1e6, 1]
    model = SymmetricRidge(algebra, library=PolynomialLibrary(4)).fit(X, X[:, 2])
    assert model.n_free_ == 5 + 3 + 1
    assert model.equivariance_error(X) < 1e-12
    assert_array_equal(model.library_.scale_[:2] > 1e6, [True, True])
    assert model.library_.scale_[2] < 10


@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])
@pytest.mark.parametrize(
    ("algebra", "degree", "expected"), [(se(2).repeat(2), 6, 4), (se(2).repeat(3), 4, 14)]
)
def test_rigid_motions_far_from_the_origin(algebra, degree, expected, offset, rng):
    """Distances (and an area, of three points) are all that rigid motions leave."""
    X = rng.uniform(-1, 1, size=(40, algebra.n_features)) + offset
    model = SymmetricRidge(algebra, library=PolynomialLibrary(degree)).fit(X, X[:, 0])
    assert model.n_free_ == expected


# --- exactness ------------------------------------------------------------------------------------

SKEW = np.array([[1.0, 2, -1], [0, 1, 3], [0.5, 0, -2]])


def skewed(algebra, condition):
    """The algebra after a random change of coordinates."""
    d = algebra.n_features
    U, _, V = np.linalg.svd(np.random.default_rng(1).normal(size=(d, d)))
    return conjugated(algebra, U * np.geomspace(1, condition, d) @ V)


# Algebra, output, degree, size of xi (beyond it exp overflows the data's scale), compact.
EXACT = {
    "so(3)": (so(3), None, 8, 2.0, True),
    "so(4)": (so(4), None, 8, 2.0, True),
    "so(3), vector": (so(3), vector, 7, 2.0, True),
    "so(3), gradient": (so(3), covector, 8, 2.0, True),
    "so(3), tensor": (so(3), tensor(vector, vector), 4, 2.0, True),
    "so(3), sum": (so(3), direct_sum(vector, trivial(1)), 5, 2.0, True),
    "so(2) twice": (so(2).repeat(2), None, 6, 2.0, True),
    "so(3) twice, vector": (so(3).repeat(2), vector, 4, 2.0, True),
    "so(2) on columns": (so(2).on_columns([2, 0], 3), vector, 6, 2.0, True),
    "conjugated": (conjugated(so(3), np.diag([1.0, 30, 1000])), None, 8, 2.0, False),
    "conjugated, vector": (conjugated(so(3), np.diag([1.0, 3, 10])), vector, 7, 2.0, False),
    "skewed, vector": (conjugated(so(3), SKEW), vector, 5, 2.0, False),
    "skewed, gradient": (conjugated(so(3), SKEW), covector, 5, 2.0, False),
    "two points, skewed": (skewed(so(3).repeat(2), 1000), None, 4, 2.0, False),
    "two points, skewed, vector": (skewed(so(3).repeat(2), 100), vector, 3, 2.0, False),
    "two points, very skewed, vector": (skewed(so(3).repeat(2), 1000), vector, 3, 2.0, False),
    "lorentz(2)": (lorentz(2), None, 8, 0.6, False),
    "lorentz(3), vector": (lorentz(3), vector, 5, 0.6, False),
    "sl(2) twice": (sl(2).repeat(2), None, 6, 0.5, False),
    "scaling": (scaling([1, -1, 2]), None, 8, 0.5, False),
    "scaling, vector": (scaling([1, -1, 2]), vector, 6, 0.5, False),
}
scales = pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
offsets = pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])


def placed(rng, n, d, scale, offset):
    """Rows in a cube of half-width `scale`, `offset` half-widths from the origin."""
    direction = rng.normal(size=d)
    return scale * (rng.uniform(-1, 1, (n, d)) + offset * direction / np.linalg.norm(direction))


def violation(model, X, M, t, rho):
    """``|F(g x) - rho F(x)|`` and ``sum_k |coef_k phi_k(g x)|``, (n, q) each."""
    moved, q = X @ M.T + t, len(rho)
    here, there = (model.predict(Z).reshape(-1, q) for Z in (X, moved))
    terms = np.abs(model.library_.transform(moved)) @ np.abs(np.atleast_2d(model.coef_)).T
    return np.abs(there - here @ rho.T), terms


@offsets
@scales
@pytest.mark.parametrize(
    ("algebra", "output", "degree", "reach", "compact"), EXACT.values(), ids=list(EXACT)
)
def test_symmetry_is_exact_on_finite_elements(
    algebra, output, degree, reach, compact, scale, offset, rng
):
    q = 1 if output is None else output(algebra).shape[1]
    X, Y = placed(rng, 100, algebra.n_features, scale, offset), rng.normal(size=(100, q))
    model = SymmetricRidge(algebra, library=PolynomialLibrary(degree), output=output, alpha=1e-6)
    F = model.fit(X, Y).predict(X)
    for _ in range(5):
        xi = reach * rng.normal(size=algebra.dim)
        rho = np.eye(q) if output is None else expm(np.tensordot(xi, output(algebra), 1))
        error, terms = violation(model, X, *algebra.exp(xi), rho)
        assert (error <= 1e-10 * terms).all()
        if compact and offset <= 3:
            assert error.max() <= 1e-10 * np.abs(F).max()
    assert model.equivariance_error(X) < 1e-10


# Motions with translations, which scale with the data: algebra, output, degree.
RIGID = {
    "se(2) twice": (se(2).repeat(2), None, 6),
    "se(2) twice, vector": (se(2).repeat(2), vector, 3),
    "se(3) twice": (se(3).repeat(2), None, 4),
    "poincare(1) twice": (poincare(1).repeat(2), None, 6),
    "galilei(1) twice": (galilei(1).repeat(2), None, 4),
    "one direction": (translations(3).combine([[1, 2, -1]]), None, 5),
    "about another point": (LieAlgebra(so(3).linear, -so(3).linear @ [3.0, -1, 2]), None, 8),
    "about another point, vector": (
        LieAlgebra(so(3).linear, -so(3).linear @ [3.0, -1, 2]),
        vector,
        5,
    ),
}


@offsets
@scales
@pytest.mark.parametrize(("algebra", "output", "degree"), RIGID.values(), ids=list(RIGID))
def test_motions_without_the_origin_are_exact(algebra, output, degree, scale, offset, rng):
    algebra = LieAlgebra(algebra.linear, algebra.offset * scale)
    q = 1 if output is None else output(algebra).shape[1]
    X, Y = placed(rng, 100, algebra.n_features, scale, offset), rng.normal(size=(100, q))
    model = SymmetricRidge(algebra, library=PolynomialLibrary(degree), output=output, alpha=1e-6)
    model.fit(X, Y)
    for _ in range(5):
        xi = 0.7 * rng.normal(size=algebra.dim)
        rho = np.eye(q) if output is None else expm(np.tensordot(xi, output(algebra), 1))
        error, terms = violation(model, X, *algebra.exp(xi), rho)
        assert (error <= 1e-10 * terms).all()
    assert model.equivariance_error(X) < 1e-10


@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])
def test_translations_may_move_the_output(offset, rng):
    """Outputs ``(1, x)``: rotations about a point that is not the origin, and translations."""
    turn, shifts = so(2).linear[0], np.eye(2)
    linear = np.array([turn, 0 * turn, 0 * turn])
    shift = np.array([-turn @ [2.0, -5.0], *shifts])
    B = np.zeros((3, 3, 3))
    B[:, 1:, 1:], B[:, 1:, 0] = linear, shift
    algebra = LieAlgebra(linear, shift)
    X = rng.uniform(-1, 1, size=(40, 2)) + offset
    Y = np.c_[np.ones(40), X]
    model = SymmetricRidge(algebra, library=PolynomialLibrary(3), output=B, alpha=0).fit(X, Y)
    assert model.n_free_ == 1
    assert_allclose(model.predict(X), Y, rtol=1e-11)
    xi = rng.normal(size=3)
    error, terms = violation(model, X, *algebra.exp(xi), expm(np.tensordot(xi, B, 1)))
    assert (error <= 1e-12 * terms.max()).all()


@offsets
@scales
@pytest.mark.parametrize("algebra", [None, so(3)], ids=["group alone", "with rotations"])
@pytest.mark.parametrize("output", [None, vector, covector])
def test_discrete_elements_are_exact(algebra, output, scale, offset, rng):
    group = FiniteGroup([-np.eye(3)]) if algebra is not None else permutations(3)
    X, Y = placed(rng, 60, 3, scale, offset), rng.normal(size=(60, 3 if output else 2))
    model = SymmetricRidge(
        algebra, library=PolynomialLibrary(5), output=output, group=group, alpha=0.1
    ).fit(X, Y)
    for g in group.matrices:
        rho = np.eye(Y.shape[1]) if output is None else np.linalg.inv(g).T
        error, _ = violation(model, X, g, 0, rho)
        assert error.max() <= 1e-11 * np.abs(model.predict(X)).max()
    assert model.equivariance_error(X) < 1e-12


@pytest.mark.parametrize("output", [None, vector])
def test_reflections_beside_rotations_reduce_the_space(output, rng):
    """Up to degree 3 the determinant of three vectors is all that only rotations keep."""
    algebra, mirror = so(3).repeat(3), FiniteGroup([np.diag([1.0, 1, -1])]).repeat(3)
    both, rotations = n_free(algebra, 3, output, mirror), n_free(algebra, 3, output)
    assert both < rotations
    if output is None:
        assert rotations - both == 1


NOT_CLOSED = {
    "pysindy": (from_pysindy(ps.PolynomialLibrary(3)), so(3), vector, 2),
    "scikit-learn": (from_transformer(PolynomialFeatures(3)), so(3), vector, 2),
    "Fourier": (FourierLibrary(2), translations(3).combine([[1, 1, 1]]), None, 7),
    "Fourier, rotated": (FourierLibrary(2), so(3), None, 1),
    "radial": (RadialLibrary(), so(3), vector, 3),
    "radial, moved": (RadialLibrary(), se(3), None, 1),
}


@pytest.mark.parametrize(
    ("library", "algebra", "output", "expected"), NOT_CLOSED.values(), ids=list(NOT_CLOSED)
)
@pytest.mark.filterwarnings("ignore:The symmetry leaves")
def test_libraries_other_than_polynomials(library, algebra, output, expected, rng):
    X = rng.normal(size=(50, 3))
    Y = rng.normal(size=(50, 3)) if output else rng.normal(size=50)
    model = SymmetricRidge(algebra, library=library, output=output, alpha=0.1).fit(X, Y)
    if expected == 1 and output is None and isinstance(library, RadialLibrary):
        expected = 0  # no constant among them
    assert model.n_free_ == expected
    assert model.equivariance_error(X) < 1e-9


def test_swapped_waves(rng):
    X = rng.normal(size=(50, 2))
    model = SymmetricRidge(group=permutations(2), library=FourierLibrary(1)).fit(X, X[:, 0])
    assert model.n_free_ == 3
    assert_allclose(model.predict(X), model.predict(X[:, ::-1]), atol=1e-14)


ADAPTED = {
    "differences": (from_transformer(PolynomialFeatures(3)), so(3), vector, 2),
    "complex step": (from_pysindy(ps.PolynomialLibrary(3)), so(3), vector, 2),
    "one direction": (
        from_transformer(PolynomialFeatures(3)),
        translations(3).combine([[1, 1, 1]]),
        None,
        10,
    ),
    "radial, moved": (RadialLibrary(), se(3), None, 0),
}


@offsets
@scales
@pytest.mark.parametrize(
    ("library", "algebra", "output", "expected"), ADAPTED.values(), ids=list(ADAPTED)
)
@pytest.mark.filterwarnings("ignore:The symmetry leaves")
def test_sampled_constraints_at_any_scale(library, algebra, output, expected, scale, offset, rng):
    """Plain monomials differ by 18 orders of magnitude; the symmetry must hold nevertheless."""
    X, Y = placed(rng, 60, 3, scale, offset), rng.normal(size=(60, 3))
    model = SymmetricRidge(algebra, library=library, output=output, alpha=0.1).fit(X, Y)
    assert model.n_free_ == expected * (1 if output else 3)
    assert model.equivariance_error(X) < max(1e-9, getattr(model.library_, "jacobian_rtol_", 0))


def test_a_custom_library_of_pysindy(rng):
    X = rng.normal(size=(50, 2))
    library = ps.CustomLibrary([lambda x: x**2, lambda x, y: x * y])
    model = SymmetricRidge(so(2), library=from_pysindy(library), alpha=0).fit(X, (X**2).sum(axis=1))
    assert model.n_free_ == 1
    assert_allclose(model.predict(X), (X**2).sum(axis=1))


@pytest.mark.parametrize("size", [1e-8, 1e-4])
def test_equivariance_error_sees_a_broken_model(size, rng):
    X = rng.normal(size=(50, 3))
    model = SymmetricRidge(so(3), library=PolynomialLibrary(4)).fit(X, rng.normal(size=50))
    error, terms = violation(model, X, *so(3).exp([1.0, 2.0, 3.0]), np.eye(1))
    assert (error / terms).max() < 1e-14
    model.coef_ = model.coef_ + size * np.abs(model.coef_).max() * rng.normal(size=35)
    error, terms = violation(model, X, *so(3).exp([1.0, 2.0, 3.0]), np.eye(1))
    found = model.equivariance_error(X)
    assert found > 0.03 * (error / terms).max() > 1e-3 * size
    assert found < 1e3 * size


def test_equivariance_error_leaves_the_plane_of_the_data(rng):
    """Nearly planar data: rotations out of the plane are elements like any other."""
    X = rng.normal(size=(40, 3)) * [1, 1, 1e-9]
    model = SymmetricRidge(so(3)).fit(X, X[:, 0])
    names = list(model.library_.get_feature_names_out())
    model.coef_ = np.isin(names, ["x0^2", "x1^2"]).astype(float)
    assert model.equivariance_error(X) > 0.1


@pytest.mark.parametrize("output", [vector, None])
def test_equivariance_error_sees_a_broken_discrete_element(output, rng):
    X = rng.normal(size=(50, 3))
    Y = X if output else X[:, 0]
    model = SymmetricRidge(group=permutations(3), output=output).fit(X, Y)
    assert model.equivariance_error(X) < 1e-14
    model.coef_ = model.coef_ + 1e-3 * rng.normal(size=model.coef_.shape)
    assert model.equivariance_error(X) > 1e-5


# --- the objective --------------------------------------------------------------------------------


def reference_coef(model, X, Y, alpha, weight=None):
    """The same problem by dense least squares in the constrained coordinates."""
    Phi, N = model.library_.transform(X), model.basis_
    q, p, k = Y.shape[1], Phi.shape[1], len(N)
    root = np.sqrt(np.ones(len(X)) if weight is None else weight)
    design = np.concatenate([root[:, None] * Phi @ N[:, i * p : (i + 1) * p].T for i in range(q)])
    target = np.concatenate([root * Y[:, i] for i in range(q)])
    penalty = N.reshape(k, q, p).copy()
    penalty[:, :, 0] = 0  # the constant
    penalty = penalty.reshape(k, -1).T
    if alpha:
        rows = np.concatenate([design, np.sqrt(alpha) * penalty])
        w = np.linalg.lstsq(rows, np.concatenate([target, np.zeros(q * p)]), rcond=None)[0]
    else:  # of all least-squares solutions the one of least penalty
        U, s, Vt = np.linalg.svd(design)
        rank = int((s > 1e-12 * s[0]).sum())
        w = Vt[:rank].T @ ((U.T @ target)[:rank] / s[:rank])
        rest = Vt[rank:].T
        w = w - rest @ np.linalg.lstsq(penalty @ rest, penalty @ w, rcond=1e-10)[0]
    return (w @ N).reshape(q, p)


OBJECTIVES = {
    "invariant": (so(3), None, None, 1),
    "two invariants": (so(2).on_columns([0, 2], 3), None, None, 2),
    "vector": (so(2).on_columns([0, 1], 3), vector, None, 3),
    "translations": (translations(3).combine([[1, 1, 0]]), vector, None, 3),
    "constants that grow": (
        translations(3),
        np.kron([[0, 1], [0, 0]], np.ones((3, 1, 1))),
        None,
        2,
    ),
    "group": (None, None, reflections, 2),
    "group, vector": (None, vector, permutations(3), 3),
    "both": (so(2).on_columns([0, 1], 3), vector, FiniteGroup([np.diag([1.0, -1, 1])]), 3),
    "no symmetry": (None, None, None, 2),
}


@pytest.mark.parametrize("columns_", ["free", "repeated", "constant"])
@pytest.mark.parametrize("n", [1, 6, 200])
@pytest.mark.parametrize("alpha", [0.0, 1e-3, 10.0])
@pytest.mark.parametrize(
    ("algebra", "output", "group", "q"), OBJECTIVES.values(), ids=list(OBJECTIVES)
)
def test_the_objective_is_minimised(algebra, output, group, q, alpha, n, columns_, rng):
    X, Y = rng.normal([0, 1, 2], size=(n, 3)), rng.normal(size=(n, q))
    if columns_ != "free":
        X[:, 1] = X[:, 0] if columns_ == "repeated" else 1.0
    weight = rng.uniform(0.1, 3, size=n)
    model = SymmetricRidge(
        algebra, library=PolynomialLibrary(3), output=output, group=group, alpha=alpha
    ).fit(X, Y, weight)
    expected = reference_coef(model, X, Y, alpha, weight)
    assert_allclose(model.coef_, expected, atol=1e-8 * np.abs(expected).max())


def test_without_symmetry_it_is_ridge(rng):
    X, Y, weight = rng.normal(size=(40, 3)), rng.normal(size=(40, 2)), rng.uniform(size=40)
    Phi = PolynomialLibrary(3).fit_transform(X)[:, 1:]
    expected = Ridge(alpha=0.3).fit(Phi, Y, weight).predict(Phi)
    model = SymmetricRidge(library=PolynomialLibrary(3), alpha=0.3).fit(X, Y, weight)
    assert_allclose(model.predict(X), expected, atol=1e-10)


@pytest.mark.parametrize("n", [4, 30])
def test_alpha_zero_is_the_limit(n, rng):
    X, y = rng.normal(size=(n, 2)), rng.normal(size=n)
    X[:, 1] = X[:, 0]  # rank-deficient
    model = SymmetricRidge(library=PolynomialLibrary(3), alpha=0).fit(X, y)
    limit = SymmetricRidge(library=PolynomialLibrary(3), alpha=1e-9).fit(X, y)
    assert_allclose(model.predict(X), limit.predict(X), atol=1e-5)
    assert_allclose(model.coef_, limit.coef_, atol=1e-5 * np.abs(limit.coef_).max())


def test_weights_are_repetitions(rng):
    X, y, weight = rng.normal(size=(40, 3)), rng.normal(size=40), rng.integers(0, 3, size=40)
    weighted = SymmetricRidge(so(3), alpha=0.1).fit(X, y, weight)
    repeated = SymmetricRidge(so(3), alpha=0.1).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
    assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-10)
    assert weighted.n_samples_seen_ == np.count_nonzero(weight)


def test_the_constant_is_not_penalised(rng):
    X = rng.normal(size=(40, 3))
    model = SymmetricRidge(so(3), alpha=1e12).fit(X, 1e3 + rng.normal(size=40))
    assert_allclose(model.predict(X), model.predict(X).mean(), rtol=1e-8)
    assert model.predict(X)[0] == pytest.approx(1e3, rel=1e-2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_predictions_do_not_depend_on_the_unit(scale, rng):
    """The library's scale is a power of two, so a unit that is one changes nothing at all."""
    unit = 2.0 ** np.round(np.log2(scale))
    X, Y = rng.normal(size=(60, 3)), rng.normal(size=(60, 3))
    model = SymmetricRidge(so(3), library=PolynomialLibrary(4), output=vector, alpha=0.01)
    here, there = clone(model).fit(X, Y), clone(model).fit(unit * X, Y)
    assert_allclose(here.predict(X), there.predict(unit * X), rtol=1e-9)


# --- streaming ------------------------------------------------------------------------------------

STREAMS = {
    "invariant": (so(3), PolynomialLibrary(4), None),
    "vector": (so(3), PolynomialLibrary(3), vector),
    "no fixed point": (se(2).on_columns([0, 2], 3), PolynomialLibrary(3), None),
    "no symmetry": (None, PolynomialLibrary(3), None),
    "some columns": (so(2).on_columns([0, 1], 3), PolynomialLibrary(3), vector),
    "radial": (so(3), RadialLibrary(), vector),
    "Fourier": (translations(3).combine([[1, -1, 0]]), FourierLibrary(1), None),
    "given place": (so(3), PolynomialLibrary(3, center=0.0, scale=8.0), vector),
}


ORDERS = {
    "mixed": lambda X, t: X,
    "sorted": lambda X, t: X[np.argsort(X[:, 0])],
    "growing": lambda X, t: X * np.exp(14 * t - 7),
    "shrinking": lambda X, t: X * np.exp(7 - 14 * t),
    "drifting": lambda X, t: X + 30 * t,
    "jumping": lambda X, t: X + 20 * (t > 0.5),
    "constant at first": lambda X, t: np.where(t < 0.2, X[0], X),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize(("algebra", "library", "output"), STREAMS.values(), ids=list(STREAMS))
def test_partial_fit_is_fit(algebra, library, output, size, order, rng):
    X = ORDERS[order](rng.normal([1, 2, 3], size=(100, 3)), np.linspace(0, 1, 100)[:, None])
    Y = rng.normal(size=(100, 3))
    whole = SymmetricRidge(algebra, library=library, output=output, alpha=1e-3).fit(X, Y)
    parts = clone(whole)
    for start in range(0, 100, size):
        parts.partial_fit(X[start : start + size], Y[start : start + size])
    assert_allclose(parts.coef_, whole.coef_, atol=1e-10 * np.abs(whole.coef_).max())
    assert parts.n_samples_seen_ == 100
    basis = parts.basis_
    assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-10)


def test_partial_fit_takes_weights(rng):
    X, y, weight = rng.normal(size=(50, 2)), rng.normal(size=50), rng.uniform(size=50)
    weight[::5] = 0
    whole, parts = SymmetricRidge(so(2)).fit(X, y, weight), SymmetricRidge(so(2))
    for rows in np.array_split(np.arange(50), 4):
        parts.partial_fit(X[rows], y[rows], weight[rows])
    assert parts.n_samples_seen_ == whole.n_samples_seen_ == 40
    assert_allclose(parts.coef_, whole.coef_, rtol=1e-10)


def test_chunks_that_count_for_nothing(rng):
    X, y, weight = rng.normal(size=(50, 2)), rng.normal(size=50), rng.uniform(size=50)
    weight[30:] = 0
    model = SymmetricRidge(so(2)).partial_fit(X[:30], y[:30], weight[:30])
    far = 1e6 * X[30:]
    with pytest.raises(ValueError, match="zero"):
        model.partial_fit(far, y[30:], weight[30:])
    rows = np.r_[30:50, 0:30]
    whole = SymmetricRidge(so(2)).fit(np.r_[far, X[:30]], y[rows], weight[rows])
    assert_array_equal(whole.library_.scale_, model.library_.scale_)
    assert_allclose(model.coef_, whole.coef_, rtol=1e-10)


def test_partial_fit_of_several_outputs_and_a_group(rng):
    X, Y = rng.normal(2, size=(60, 3)), rng.normal(size=(60, 2))
    whole = SymmetricRidge(group=permutations(3), library=PolynomialLibrary(3), alpha=0.1)
    parts = clone(whole)
    for rows in np.array_split(np.arange(60), 7):
        parts.partial_fit(X[rows].astype(np.float32).astype(float), Y[rows])
    whole.fit(X.astype(np.float32), Y)
    assert_allclose(parts.predict(X), whole.predict(X), rtol=1e-5)
    assert parts.coef_.dtype == np.float64
    assert whole.coef_.dtype == np.float32


def test_fit_forgets_earlier_chunks(rng):
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    model = SymmetricRidge(so(2)).partial_fit(9 * X, y).fit(X, y)
    assert_array_equal(model.coef_, SymmetricRidge(so(2)).fit(X, y).coef_)
    assert model.n_samples_seen_ == 50


@pytest.mark.parametrize("change", [{"library__degree": 4}, {"algebra": None}, {"output": vector}])
def test_partial_fit_does_not_ignore_another_space(change, rng):
    """Chunks cannot be moved to another space: say so, or begin anew; never go on silently."""
    X, Y = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    model = SymmetricRidge(so(3), library=PolynomialLibrary(2)).fit(X, Y)
    before = model.predict(X)
    model.set_params(**change)
    assert_array_equal(model.predict(X), before)
    with pytest.raises(ValueError, match=r"partial_fit|earlier"):
        model.partial_fit(X, Y)
    assert_array_equal(model.predict(X), before)
    fresh = clone(model).fit(X, Y)
    assert_array_equal(model.fit(X, Y).predict(X), fresh.predict(X))


def test_partial_fit_follows_alpha(rng):
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    model = SymmetricRidge(so(3), alpha=10.0).partial_fit(X[:20], y[:20])
    model.set_params(alpha=0.1).partial_fit(X[20:], y[20:])
    assert_allclose(model.coef_, SymmetricRidge(so(3), alpha=0.1).fit(X, y).coef_, atol=1e-12)


def test_memory_does_not_grow_with_the_rows(rng):
    n, d = 60_000, 6
    X, y = rng.normal(size=(n, d)), rng.normal(size=n)
    model = SymmetricRidge(so(3).repeat(2), library=PolynomialLibrary(4))
    model.fit(X[:50], y[:50])
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.4 * n * 210 * 8, "the library values alone would be n x 210"


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_matter(threads, rng):
    X, Y = rng.normal(size=(300, 4)), rng.normal(size=(300, 4))
    model = SymmetricRidge(so(4), library=PolynomialLibrary(3), output=vector, alpha=0.1)
    with threadpool_limits(threads):
        model.fit(X, Y)
    assert_allclose(model.coef_, reference_coef(model, X, Y, 0.1), atol=1e-11)


# --- cross-validation -----------------------------------------------------------------------------

SPLITS = {
    "default": None,
    "3": 3,
    "KFold": KFold(4, shuffle=True, random_state=0),
    "ShuffleSplit": ShuffleSplit(3, random_state=0),
    "LeaveOneOut": LeaveOneOut(),
    "RepeatedKFold": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    "TimeSeriesSplit": TimeSeriesSplit(3),
}


@pytest.mark.parametrize("cv", SPLITS.values(), ids=list(SPLITS))
@pytest.mark.parametrize("output", [None, vector])
def test_cv_is_the_brute_force_search(cv, output, rng):
    X, weight = rng.normal(size=(60, 3)), rng.uniform(0.5, 2, size=60)
    Y = X * (X**2).sum(axis=1)[:, None] + rng.normal(size=(60, 3))
    alphas = [1e-3, 1e-1, 10.0]
    common = {
        "algebra": so(2).on_columns([0, 1], 3),
        "library": PolynomialLibrary(3, center=0.0, scale=4.0),
        "output": output,
    }
    model = SymmetricRidgeCV(**common, alphas=alphas, cv=cv).fit(X, Y, weight)
    splitter = KFold(cv or 5) if cv is None or isinstance(cv, int) else cv
    for a, alpha in enumerate(alphas):
        for fold, (train, test) in enumerate(splitter.split(X)):
            single = SymmetricRidge(**common, alpha=alpha).fit(X[train], Y[train], weight[train])
            squared = np.mean((single.predict(X[test]) - Y[test]) ** 2, axis=1)
            expected = np.average(squared, weights=weight[test])
            assert_allclose(model.cv_results_["mean_squared_error"][a, fold], expected, rtol=1e-8)
    best = SymmetricRidge(**common, alpha=model.alpha_).fit(X, Y, weight)
    assert model.alpha_ == alphas[np.argmin(model.cv_results_["mean_test_error"])]
    assert_allclose(model.coef_, best.coef_, atol=1e-10)
    assert model.best_score_ == -model.cv_results_["mean_test_error"].min()


def test_cv_needs_weight_in_training(rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    with pytest.raises(ValueError, match="fold 0 trains on"):
        SymmetricRidgeCV(so(2), cv=3).fit(X, y, np.repeat([1.0, 0.0, 0.0], 10))


def boolean(splits, n):
    return [tuple(np.isin(np.arange(n), part) for part in split) for split in splits]


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda splits: boolean(splits, 30)])
def test_cv_takes_an_iterable_of_splits(kind, rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    splits = kind(KFold(3).split(X))
    listed, numbered = SymmetricRidgeCV(so(2), cv=splits), SymmetricRidgeCV(so(2), cv=3)
    assert_allclose(listed.fit(X, y).coef_, numbered.fit(X, y).coef_, rtol=1e-12)
    assert_allclose(listed.best_score_, numbered.best_score_, rtol=1e-12)


def test_cv_ignores_rows_of_weight_zero(rng):
    X, y, weight = rng.normal(size=(60, 2)), rng.normal(size=60), rng.integers(0, 2, size=60)
    X[weight == 0] *= 1e3
    kept, fold = weight > 0, np.arange(60) % 3
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    few = [(np.flatnonzero(fold[kept] != k), np.flatnonzero(fold[kept] == k)) for k in range(3)]
    weighted = SymmetricRidgeCV(so(2), cv=splits).fit(X, y, weight)
    without = SymmetricRidgeCV(so(2), cv=few).fit(X[kept], y[kept])
    assert_allclose(weighted.coef_, without.coef_, rtol=1e-9)
    assert_allclose(weighted.best_score_, without.best_score_, rtol=1e-9)


@pytest.mark.parametrize("cv", [[], 1, "three"])
def test_cv_without_splits_is_refused(cv, rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    with pytest.raises(ValueError, match=r"cv|split"):
        SymmetricRidgeCV(so(2), cv=cv).fit(X, y)


def test_cv_with_nothing_to_train_on_is_refused(rng):
    X, y, weight = rng.normal(size=(30, 2)), rng.normal(size=30), np.zeros(30)
    weight[:3] = 1
    with pytest.raises(ValueError, match=r"fold|split"):
        SymmetricRidgeCV(so(2)).fit(X, y, weight)


@pytest.mark.parametrize("routing", [False, True])
def test_weights_through_pipelines_and_searches(routing, rng):
    X, y, weight = rng.normal(size=(60, 3)), rng.normal(size=60), rng.uniform(size=60)
    weight[::2] = 0
    direct = SymmetricRidge(so(3), alpha=0.1).fit(X, y, weight)
    with config_context(enable_metadata_routing=routing):
        model = SymmetricRidge(so(3))
        if routing:
            model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"alpha": [0.1]}, cv=2).fit(X, y, sample_weight=weight)
        assert_array_equal(search.best_estimator_.coef_, direct.coef_)
        pipeline = make_pipeline(FunctionTransformer(), model.set_params(alpha=0.1))
        name = "sample_weight" if routing else "symmetricridge__sample_weight"
        assert_array_equal(pipeline.fit(X, y, **{name: weight})[-1].coef_, direct.coef_)


def test_model_selection_around_it(rng):
    X = rng.normal(size=(80, 3))
    y = (X**2).sum(axis=1) ** 2 + 0.01 * rng.normal(size=80)
    pipeline = make_pipeline(
        FunctionTransformer(), SymmetricRidge(so(3), library=PolynomialLibrary(), alpha=1e-6)
    )
    grid = {"symmetricridge__library__degree": [1, 2, 4], "symmetricridge__alpha": [1e-6, 1e3]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # degree 1 leaves the constant
        search = GridSearchCV(pipeline, grid).fit(X, y)
    assert search.best_params_["symmetricridge__library__degree"] == 4
    assert search.best_score_ > 0.99


# --- input and output -----------------------------------------------------------------------------


def test_any_layout_gives_the_same_model(rng):
    X = rng.integers(-5, 5, size=(40, 3))
    y = rng.normal(size=40)
    frozen = X.astype(float)
    frozen.setflags(write=False)
    names = ["a", "b", "c"]
    inputs = [
        X,
        np.asfortranarray(X.astype(float)),
        frozen,
        X[::1],
        X.tolist(),
        pd.DataFrame(X, columns=names),
        pl.DataFrame(X, schema=names),
    ]
    expected = SymmetricRidge(so(3)).fit(X.astype(float), y).coef_
    for data in inputs:
        model = SymmetricRidge(so(3)).fit(data, y)
        assert_array_equal(model.coef_, expected)
        assert_array_equal(model.predict(data), model.predict(data))
    assert_array_equal(model.feature_names_in_, names)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        SymmetricRidge(so(3)).fit(sparse.csr_array(X), y)


@pytest.mark.parametrize(
    "library",
    [PolynomialLibrary(3), RadialLibrary(), from_transformer(PolynomialFeatures(3))],
    ids=["polynomial", "radial", "adapted"],
)
@pytest.mark.parametrize("frames", ["pandas", "polars"])
def test_output_settings_do_not_reach_inside(library, frames, rng):
    X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    expected = SymmetricRidge(so(3), library=library, output=vector).fit(X, Y).predict(X)
    with config_context(transform_output=frames):
        model = SymmetricRidge(so(3), library=library, output=vector).fit(X, Y)
        assert_array_equal(model.predict(X), expected)
        assert model.equivariance_error(X) < 1e-9
        parts = clone(model).partial_fit(X[:20], Y[:20]).partial_fit(X[20:], Y[20:])
        assert_allclose(parts.predict(X), expected, atol=1e-8)
    framed = clone(library).set_output(transform=frames)
    model = SymmetricRidge(so(3), library=framed, output=vector).fit(X, Y)
    assert_array_equal(model.predict(X), expected)


@pytest.mark.parametrize("kind", [list, pd.Series, pl.Series, lambda y: y.astype(object)])
def test_any_kind_of_target(kind, rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    model = SymmetricRidge(so(3)).fit(X, kind(y), kind(np.ones(40)))
    assert_array_equal(model.coef_, SymmetricRidge(so(3)).fit(X, y).coef_)
    for frame in (pd.DataFrame({"u": y, "v": -y}), pl.DataFrame({"u": y, "v": -y})):
        model = SymmetricRidge(so(3)).fit(X, frame)
        assert_allclose(model.coef_[0], -model.coef_[1])


def test_columns_by_name(rng):
    frame = pd.DataFrame(rng.normal(size=(40, 3)), columns=["px", "mass", "py"])
    y = frame["px"] ** 2 + frame["py"] ** 2 + frame["mass"]
    algebra = so(2).on_columns(["px", "py"], list(frame.columns))
    model = SymmetricRidge(algebra, alpha=0).fit(frame, y)
    assert model.score(frame, y) == pytest.approx(1)
    assert_array_equal(model.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["mass", "px", "py"]])


def test_the_order_of_rows_does_not_matter(rng):
    """Rows that coincide, or lie at the fixed point, may come first."""
    X = rng.normal(size=(40, 3))
    X[:6] = 0
    for library in (PolynomialLibrary(3), FourierLibrary(2), RadialLibrary((0, 1), 2)):
        y = library.fit_transform(X) @ rng.normal(size=library.n_output_features_)
        model = SymmetricRidge(library=library, alpha=10.0)
        forward, backward = clone(model).fit(X, y), clone(model).fit(X[::-1], y[::-1])
        assert_allclose(forward.coef_, backward.coef_, atol=1e-9)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_extreme_units_do_not_overflow(unit, rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    expected = SymmetricRidge(so(3)).fit(X, y)
    model = SymmetricRidge(so(3)).fit(X, unit * y)
    assert_allclose(model.predict(X), unit * expected.predict(X), rtol=1e-10)
    far = SymmetricRidge(so(3), alpha=0).fit(unit * X, y)
    near = SymmetricRidge(so(3), alpha=0).fit(X, y)
    assert_allclose(far.predict(unit * X), near.predict(X), rtol=1e-10)


def test_float32_in_float32_out(rng):
    X, Y = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(40, 3))
    model = SymmetricRidge(so(3), output=vector).fit(X, Y.astype(np.float32))
    assert model.coef_.dtype == model.predict(X).dtype == np.float32
    assert model.predict(X.astype(float)).dtype == np.float64
    assert model.equivariance_error(X) < 1e-5


def test_shapes_follow_y(rng):
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    assert SymmetricRidge(so(3)).fit(X, y).coef_.shape == (10,)
    assert SymmetricRidge(so(3)).fit(X, y[:, None]).coef_.shape == (1, 10)
    assert SymmetricRidge(so(3)).fit(X, y[:, None]).predict(X).shape == (20, 1)


def test_pickle(rng):
    X, Y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    model = SymmetricRidge(so(3), output=vector, group=reflections(3)).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))
    assert again.equivariance_error(X) == model.equivariance_error(X)
    assert_array_equal(again.partial_fit(2 * X, Y).coef_, model.partial_fit(2 * X, Y).coef_)


def test_parallel_search(rng):
    X, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    model = SymmetricRidge(so(3), library=PolynomialLibrary(), output=trivial(1))
    grid = {"library__degree": [2, 3], "alpha": [0.1, 1.0]}
    alone, parallel = (GridSearchCV(model, grid, cv=2, n_jobs=jobs).fit(X, y) for jobs in (1, 2))
    assert alone.best_params_ == parallel.best_params_
    assert_allclose(alone.cv_results_["mean_test_score"], parallel.cv_results_["mean_test_score"])


def test_few_and_constant_rows(rng):
    X, y = rng.normal(size=(1, 3)), np.array([2.0])
    assert_allclose(SymmetricRidge(so(3)).fit(X, y).predict(X), y)
    X = np.c_[rng.normal(size=(20, 2)), np.full(20, 7.0)]
    model = SymmetricRidge(so(2).on_columns([0, 1], 3), alpha=1e-6).fit(X, (X**2).sum(axis=1))
    assert model.score(X, (X**2).sum(axis=1)) > 0.99999
    same = SymmetricRidge(so(3)).fit(np.ones((5, 3)), np.arange(5.0))
    assert_allclose(same.predict(np.ones((1, 3))), 2.0)


# --- what cannot be, and what is said about it ----------------------------------------------------

BAD = {
    "algebra elsewhere": (SymmetricRidge(so(2)), ValueError, r"acts on R\^2, but X has 3 features"),
    "group elsewhere": (
        SymmetricRidge(group=permutations(4)),
        ValueError,
        r"acts on R\^4, but X has 3 features",
    ),
    "group as algebra": (SymmetricRidge(permutations(3)), TypeError, "must be a LieAlgebra"),
    "algebra as group": (SymmetricRidge(group=so(3)), TypeError, "must be a FiniteGroup"),
    "wrong number of outputs": (
        SymmetricRidge(so(3), output=trivial(2)),
        ValueError,
        "moves 2 outputs, but y has 3",
    ),
    "wrong representation": (
        SymmetricRidge(so(3), output=2 * so(3).linear),
        ValueError,
        "not a representation",
    ),
    "representation of another size": (
        SymmetricRidge(so(3), output=so(2).linear),
        ValueError,
        "one square matrix for each",
    ),
    "infinite representation": (
        SymmetricRidge(so(3), output=np.full((3, 3, 3), np.inf)),
        ValueError,
        "NaN or infinity",
    ),
    "array for a group": (
        SymmetricRidge(so(3), output=so(3).linear, group=reflections(3)),
        ValueError,
        "representation",
    ),
    "nobody moves the output": (SymmetricRidge(output=vector), ValueError, "neither"),
    "negative degree": (SymmetricRidge(library=PolynomialLibrary(-1)), ValueError, "degree"),
    "no library": (SymmetricRidge(library="poly"), TypeError, "from_transformer"),
    "plain transformer": (SymmetricRidge(library=PolynomialFeatures()), TypeError, "jacobian"),
    "negative alpha": (SymmetricRidge(alpha=-1), ValueError, "alpha"),
    "alpha not a number": (SymmetricRidge(alpha=np.nan), ValueError, "alpha"),
    "alpha a string": (SymmetricRidge(alpha="1"), ValueError, "alpha"),
    "rtol": (SymmetricRidge(so(3), rtol=-1.0), ValueError, "rtol"),
    "rtol a string": (SymmetricRidge(so(3), rtol="1"), (TypeError, ValueError), "rtol"),
    "algebra as a name": (SymmetricRidge("so(3)"), TypeError, r"must be a LieAlgebra.*'so\(3\)'"),
    "algebra as an array": (SymmetricRidge(so(3).linear), TypeError, "must be a LieAlgebra"),
    "output as a name": (SymmetricRidge(so(3), output="vector"), TypeError, "`output`.*'vector'"),
    "output an algebra": (SymmetricRidge(so(3), output=so(3)), (TypeError, ValueError), "`output`"),
    "output of the wrong shape": (
        SymmetricRidge(so(3), output=so(3).linear[:, :, :2]),
        ValueError,
        "one square matrix for each",
    ),
    "not linear in the generators": (
        SymmetricRidge(so(3) + so(3), output=np.concatenate([so(3).linear, 2 * so(3).linear])),
        ValueError,
        "not a representation",
    ),
    "columns mixed with others": (
        SymmetricRidge(so(3), output=direct_sum(columns(0, 1), trivial(1))),
        ValueError,
        "name all that move together",
    ),
    "fractional degree": (SymmetricRidge(library=PolynomialLibrary(1.5)), ValueError, "degree"),
    "infinite alpha": (SymmetricRidge(alpha=np.inf), ValueError, "alpha"),
    "no alpha": (SymmetricRidge(alpha=None), ValueError, "alpha"),
    "alphas empty": (SymmetricRidgeCV(so(3), alphas=[]), ValueError, "alphas"),
    "alphas negative": (SymmetricRidgeCV(so(3), alphas=[1.0, -1.0]), ValueError, "alphas"),
}


@pytest.mark.parametrize(("model", "error", "message"), BAD.values(), ids=list(BAD))
def test_wrong_parameters_are_refused_and_leave_nothing(model, error, message, rng):
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    with pytest.raises(error, match=message):
        model.fit(X, Y)
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.ones(30), "sample 0"),
        (np.r_[1, np.nan, np.ones(28)], "sample 1"),
        (np.zeros(30), "All sample weights are zero"),
        (np.ones(29), "shape"),
        (np.ones((30, 1)), "shape"),
    ],
)
def test_wrong_weights_are_refused(weight, message, rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    for model in (SymmetricRidge(so(3)), SymmetricRidgeCV(so(3))):
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, weight)


@pytest.mark.parametrize("estimator", [SymmetricRidge, SymmetricRidgeCV])
def test_unfitted_models_say_so(estimator):
    model = estimator(so(3))
    for call in (model.predict, model.equivariance_error):
        with pytest.raises(NotFittedError):
            call(np.ones((2, 3)))


def test_wrong_data_are_refused(rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    for value in (np.nan, np.inf):
        broken = np.where(np.arange(90).reshape(30, 3) == 7, value, X)
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            SymmetricRidge(so(3)).fit(broken, y)
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            SymmetricRidge(so(3)).fit(X, broken[:, 1])
    model = SymmetricRidge(so(3)).fit(X, y)
    for call in (model.predict, model.equivariance_error):
        with pytest.raises(ValueError, match="2 features"):
            call(X[:, :2])
    with pytest.raises(ValueError, match=r"dimension|shape"):  # both have one output
        model.partial_fit(X, y[:, None])


def test_an_empty_group_is_no_constraint(rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    model = SymmetricRidge(group=FiniteGroup(np.zeros((0, 3, 3)))).fit(X, y)
    assert_allclose(model.predict(X), SymmetricRidge().fit(X, y).predict(X))
    assert model.equivariance_error(X) == 0


def test_memory_is_estimated_before_it_is_taken(monkeypatch, rng):
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    monkeypatch.setattr("sksym._linalg.available_memory", lambda: 2e6)
    model = SymmetricRidge(so(3), library=PolynomialLibrary(25), output=vector)
    with pytest.raises(MemoryError, match=r"9,828 unknown coefficients \(3 outputs.*Reduce"):
        model.fit(X, Y)
    dense = conjugated(so(5), rng.normal(size=(5, 5)))
    monkeypatch.setattr("sksym._linalg.available_memory", lambda: 1e5)
    with pytest.raises(MemoryError, match=r"null space.*coordinates where they are sparse"):
        SymmetricRidge(dense, library=PolynomialLibrary(4)).fit(rng.normal(size=(30, 5)), Y[:, 0])


def test_too_large_problems_are_refused_by_number(rng):
    X = rng.normal(size=(5, 30))
    with pytest.raises(MemoryError, match=r"118,264,581,564,861,424 monomials"):
        SymmetricRidge(library=PolynomialLibrary(30)).fit(X, X[:, 0])
    with pytest.raises(MemoryError, match=r"1,947,792 free coefficients.*enforce more symmetry"):
        SymmetricRidge(library=PolynomialLibrary(6)).fit(X, X[:, 0])


def test_a_failed_refit_keeps_the_old_model(rng):
    X, y = pd.DataFrame(rng.normal(size=(30, 3)), columns=list("abc")), rng.normal(size=30)
    model = SymmetricRidge(so(3)).fit(X, y)
    before = {k: v for k, v in vars(model).items() if k.endswith("_")}
    other = pd.DataFrame(rng.normal(size=(30, 2)), columns=list("de"))
    with pytest.raises(ValueError, match="features"):
        model.fit(other, y)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X * np.nan, y)
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(other, y)
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(X, y * np.nan)
    with pytest.raises(ValueError, match="outputs"):
        model.partial_fit(X, np.ones((30, 2)))
    assert all(vars(model)[k] is v for k, v in before.items())
    model.fit(X.to_numpy(), y)
    assert not hasattr(model, "feature_names_in_"), "nothing of an earlier fit survives"


def test_dependent_generators_are_reduced_and_said_once(rng):
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    twice = so(3) + so(3).combine([[1, 2, 3]])
    with pytest.warns(UserWarning, match="4 generators span 3 dimensions") as record:
        model = SymmetricRidge(twice, output=vector).fit(X, Y)
    assert len(record) == 1
    assert model.n_free_ == 1
    assert_allclose(model.coef_, SymmetricRidge(so(3), output=vector).fit(X, Y).coef_, atol=1e-14)


def test_no_freedom_but_the_constant_is_allowed_and_said(rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    with pytest.warns(UserWarning, match="a constant as the only function"):
        model = SymmetricRidge(gl(3)).fit(X, y)
    assert_allclose(model.predict(X), y.mean())
    with pytest.warns(UserWarning, match="zero as the only function"):
        model = SymmetricRidge(se(3), output=vector).fit(X, X)
    assert model.n_free_ == 0
    assert not model.predict(X).any()


def test_no_generators_are_no_constraint(rng):
    X, y = rng.normal(size=(30, 1)), rng.normal(size=30)
    free, constrained = SymmetricRidge().fit(X, y), SymmetricRidge(so(1)).fit(X, y)
    assert_allclose(free.coef_, constrained.coef_)
