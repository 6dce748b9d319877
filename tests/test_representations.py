"""Representations are homomorphisms, infinitesimally, on finite motions and on finite groups."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import expm

from cases import REPRESENTATIONS
from sksym import FiniteGroup, columns, direct_sum, gl, so, tensor, vector
from sksym.representations import represent, represent_group

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
def test_representations_are_values(rho, q):
    assert pickle.loads(pickle.dumps(rho)) == rho
    assert hash(rho) == hash(pickle.loads(pickle.dumps(rho)))


def test_tensor_acts_on_both_indices(rng):
    M, _ = so(3).exp(rng.normal(size=3))
    T = rng.normal(size=(3, 3))
    rho = tensor(vector, vector)(FiniteGroup([M]))[0]
    assert_allclose(rho @ T.ravel(), (M @ T @ M.T).ravel())


def test_columns_pick_a_block():
    algebra = so(3).on_columns([1, 2, 3], 5)
    assert_allclose(columns(1, 2, 3)(algebra), so(3).linear)
    with pytest.raises(ValueError, match="mixes the columns"):
        columns(1, 2)(algebra)


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
    ],
)
def test_arrays_that_do_not_are_refused(output, message):
    with pytest.raises(ValueError, match=message):
        represent(output, so(3))


def test_dependent_generators_must_have_dependent_images():
    twice = so(2) + so(2)
    represent(np.array([[[1.0]], [[1.0]]]), twice)
    with pytest.raises(ValueError, match="not a representation"):
        represent(np.array([[[1.0]], [[2.0]]]), twice)


def test_strings_and_wrong_groups_are_refused():
    with pytest.raises(TypeError, match="string"):
        represent("vector", so(3))
    with pytest.raises(ValueError, match="3 outputs by the algebra but 2"):
        represent_group(columns(0, 1), FiniteGroup([np.eye(3)]), 3)
    with pytest.raises(ValueError, match="at least one"):
        direct_sum()
