"""Representations are homomorphisms, infinitesimally, on finite motions and on finite groups."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import block_diag, expm
from sklearn.base import clone

from cases import ALGEBRAS, GROUPS, REPRESENTATIONS
from sksym import (
    FiniteGroup,
    LieAlgebra,
    SymmetricRidge,
    columns,
    covector,
    direct_sum,
    gl,
    lorentz,
    permutations,
    scaling,
    se,
    so,
    tensor,
    translations,
    trivial,
    vector,
)
from sksym.groups import Representation, represent, represent_elements

rows = pytest.mark.parametrize(("rho", "q"), REPRESENTATIONS.values(), ids=list(REPRESENTATIONS))


@rows
def test_brackets_are_preserved(rho, q):
    algebra, B = gl(3), rho(gl(3))
    assert B.shape == (9, q, q)
    c = algebra.structure_constants()
    for a in range(9):
        for b in range(9):
            assert_allclose(B[a] @ B[b] - B[b] @ B[a], np.tensordot(c[a, b], B, 1), atol=1e-12)


@rows
def test_finite_motions_match_the_algebra(rho, q, rng):
    xi = rng.normal(size=9)
    M, _ = gl(3).exp(xi)
    finite = rho(FiniteGroup([M]))[0]
    assert_allclose(finite, expm(np.tensordot(xi, rho(gl(3)), 1)), rtol=1e-10, atol=1e-10)


@rows
def test_products_of_finite_elements(rho, q, rng):
    g, h = rng.normal(size=(2, 3, 3))
    at_g, at_h, at_gh = rho(FiniteGroup([g, h, g @ h]))
    assert_allclose(at_g @ at_h, at_gh, rtol=1e-8, atol=1e-8 * np.abs(at_gh).max())


@rows
def test_the_identity_moves_nothing(rho, q):
    identity = FiniteGroup([np.eye(3)])
    assert_allclose(rho(identity), np.eye(q)[None], atol=1e-15)
    assert rho(LieAlgebra(np.zeros((0, 3, 3)))).shape == (0, q, q)
    assert not rho(translations(3)).any()


@rows
def test_representations_are_linear_in_the_generator(rho, q, rng):
    C = rng.normal(size=(4, 9))
    assert_allclose(rho(gl(3).combine(C)), np.tensordot(C, rho(gl(3)), 1), atol=1e-13)


@rows
@pytest.mark.parametrize("name", ["so(3)", "se(3)", "gl(3)", "aff(3)", "translations(3)"])
def test_represent_accepts_every_representation(rho, q, name):
    algebra = ALGEBRAS[name].algebra
    B = represent(rho, algebra)
    assert_allclose(B, rho(algebra))
    assert_allclose(represent(B, algebra), B)


@rows
@pytest.mark.parametrize("name", [name for name in GROUPS if GROUPS[name].n_features == 3])
def test_orthogonal_elements_stay_orthogonal(rho, q, name):
    group = GROUPS[name]
    matrices = represent_elements(rho, group, q)
    assert matrices.shape == (len(group.matrices), q, q)
    for at_g in matrices:
        assert_allclose(at_g @ at_g.T, np.eye(q), atol=1e-14)


@rows
def test_representations_are_values(rho, q):
    copied = pickle.loads(pickle.dumps(rho))
    assert copied == rho
    assert hash(copied) == hash(rho)
    assert_array_equal(copied(so(3)), rho(so(3)))
    assert clone(SymmetricRidge(so(3), output=rho)).output == rho
    assert "0x" not in repr(rho), "an address is not readable"
    assert len(repr(rho)) < 200


@rows
def test_results_may_be_changed(rho, q):
    """What is returned is the caller's own, not a view of the algebra."""
    algebra = gl(3)
    before = algebra.linear.copy()
    B = rho(algebra)
    B *= 2
    assert_array_equal(algebra.linear, before)


def test_vectors_move_as_points_and_covectors_as_gradients(rng):
    M, _ = gl(3).exp(rng.normal(size=9))
    element = FiniteGroup([M])
    assert_array_equal(vector(element), M[None])
    v, w = rng.normal(size=(2, 3))
    moved = vector(element)[0] @ v, covector(element)[0] @ w
    assert_allclose(np.dot(*moved), v @ w)  # <g v, g^-T w> = <v, w>
    assert_allclose(covector(element)[0], np.linalg.inv(M).T)
    assert_array_equal(covector(gl(3)), -gl(3).linear.transpose(0, 2, 1))
    assert_array_equal(covector(so(3)), vector(so(3)))
    assert np.abs(covector(lorentz(3)) - vector(lorentz(3))).max() == 2


def test_offsets_do_not_move_vectors():
    """A velocity turns with the frame and does not care where it is."""
    assert_array_equal(vector(se(2)), se(2).linear)


def test_tensor_products_on_groups_are_kronecker_products(rng):
    group = FiniteGroup(rng.normal(size=(2, 3, 3)))
    products = tensor(vector, covector)(group)
    for g, product in zip(group.matrices, products, strict=True):
        assert_allclose(product, np.kron(g, np.linalg.inv(g).T))


def test_tensor_products_on_algebras_obey_the_product_rule():
    B = tensor(vector, covector)(so(3))
    for A, product in zip(so(3).linear, B, strict=True):
        assert_array_equal(product, np.kron(A, np.eye(3)) + np.kron(np.eye(3), -A.T))


def test_tensor_with_trivial_repeats(rng):
    assert_array_equal(tensor(trivial(2), vector)(so(3)), so(3).repeat(2).linear)
    assert_array_equal(tensor(vector, trivial(1))(so(3)), so(3).linear)


def test_direct_sums_are_blocks():
    group = permutations(3)
    at_g = direct_sum(vector, trivial(1), tensor(vector, vector))(group)
    for g, one in zip(group.matrices, at_g, strict=True):
        assert_array_equal(one, block_diag(g, 1, np.kron(g, g)))
    assert_array_equal(direct_sum(vector, vector)(so(3)), so(3).repeat(2).linear)
    assert_array_equal(direct_sum(vector)(so(3)), so(3).linear)


def test_the_metric_is_an_invariant_tensor():
    """Lorentz motions keep diag(-1, 1, 1, 1), as a tensor of two upper or two lower indices."""
    eta = np.diag([-1.0, 1, 1, 1]).ravel()
    for rho in (tensor(vector, vector), tensor(covector, covector)):
        assert_allclose(rho(lorentz(3)) @ eta, 0, atol=1e-15)
    assert np.abs(tensor(vector, covector)(lorentz(3)) @ eta).max() > 1


@dataclass(frozen=True)
class Density(Representation):
    """A representation of one's own: one output that scales as the volume."""

    def infinitesimal(self, A):
        return np.trace(A, axis1=1, axis2=2)[:, None, None]

    def finite(self, g):
        return np.linalg.det(g)[:, None, None]


def test_representations_of_your_own_combine(rng):
    rho, xi = tensor(vector, Density()), 0.3 * rng.normal(size=9)
    M, _ = gl(3).exp(xi)
    assert_allclose(rho(FiniteGroup([M]))[0], M * np.linalg.det(M))
    assert_allclose(expm(np.tensordot(xi, represent(rho, gl(3)), 1)), M * np.linalg.det(M))


def test_tensor_acts_on_both_indices(rng):
    M, _ = so(3).exp(rng.normal(size=3))
    T = rng.normal(size=(3, 3))
    rho = tensor(vector, vector)(FiniteGroup([M]))[0]
    assert_allclose(rho @ T.ravel(), (M @ T @ M.T).ravel())


def test_columns_pick_a_block():
    algebra = so(3).on_columns([1, 2, 3], 5)
    assert_allclose(columns(1, 2, 3)(algebra), so(3).linear)
    assert_allclose(columns(3, 1, 2)(algebra), so(3).linear[:, [[2], [0], [1]], [2, 0, 1]])
    with pytest.raises(ValueError, match="mixes the columns"):
        columns(1, 2)(algebra)
    with pytest.raises(ValueError, match="mixes the columns"):
        columns(0, 1)(permutations(3))
    group = permutations(2).on_columns([0, 2], 3)
    assert_array_equal(columns(2, 0)(group), permutations(2).matrices)


@pytest.mark.parametrize("wrong", [(5,), (-1,), (0, 0), ()])
def test_columns_that_are_not_there_or_there_twice(wrong):
    with pytest.raises(ValueError, match="columns"):
        columns(*wrong)(scaling([1, 2]))


def test_arrays_that_represent_are_accepted():
    B = tensor(vector, vector)(so(3))
    assert_allclose(represent(B, so(3)), B)
    open_span = so(3).combine([[1, 0, 0], [0, 1, 0]])
    assert_allclose(represent(B[:2], open_span), B[:2])


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.ones((3, 2)), "shape"),
        (np.ones((2, 3, 3)), "one square matrix for each"),
        (np.full((3, 2, 2), np.nan), "NaN"),
        (np.arange(12.0).reshape(3, 2, 2), "not a representation"),
        (2 * so(3).linear, "not a representation"),
        (so(3).linear[[1, 0, 2]], "not a representation"),
        (-so(3).linear, "not a representation"),
        (so(3).linear + 1e-6 * np.eye(3), "not a representation"),
        (np.full((3, 2, 2), np.inf), "infinity"),
        (np.zeros((3, 2, 3)), "one square matrix for each"),
        (1.0, "shape"),
    ],
)
def test_arrays_that_do_not_are_refused(output, message):
    with pytest.raises(ValueError, match=message):
        represent(output, so(3))


@pytest.mark.parametrize("speed", [1e-9, 1.0, 1e9])
def test_units_of_time_do_not_matter(speed):
    algebra = so(3).combine(speed * np.eye(3))
    represent(speed * so(3).linear, algebra)
    represent(speed * tensor(vector, vector)(so(3)), algebra)
    for wrong in (2 * speed * so(3).linear, speed * (so(3).linear + 1e-6 * np.eye(3))):
        with pytest.raises(ValueError, match="not a representation"):
            represent(wrong, algebra)


def test_representations_that_are_none_are_refused():
    with pytest.raises(ValueError, match="not a representation"):
        represent(lambda algebra: -algebra.linear, so(3))
    with pytest.raises(ValueError, match="one square matrix for each"):
        represent(lambda algebra: algebra.linear[:2], so(3))


def test_dependent_generators_must_have_dependent_images():
    twice = so(2) + so(2)
    represent(np.array([[[1.0]], [[1.0]]]), twice)
    with pytest.raises(ValueError, match="not a representation"):
        represent(np.array([[[1.0]], [[2.0]]]), twice)


def test_strings_and_wrong_groups_are_refused():
    with pytest.raises(TypeError, match="string"):
        represent("vector", so(3))
    with pytest.raises(ValueError, match="3 outputs by the algebra but 2"):
        represent_elements(columns(0, 1), FiniteGroup([np.eye(3)]), 3)
    with pytest.raises(ValueError, match="shape"):
        represent_elements(lambda group: group.matrices[0], FiniteGroup([np.eye(3)]))
    with pytest.raises(ValueError, match="at least one"):
        direct_sum()
