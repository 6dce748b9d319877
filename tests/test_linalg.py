"""Null spaces, balancing and R factors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.linalg import null_space as dense_null_space
from scipy.linalg import subspace_angles
from threadpoolctl import threadpool_limits

from sksym import LieAlgebra, lorentz, sl, so
from sksym._linalg import (
    balance,
    column_indices,
    independent_rows,
    merge_rows,
    null_space,
    orthonormal_rows,
    require_memory,
)


def assert_null_space(matrix, basis):
    """`basis` is an orthonormal basis of the null space that dense algebra finds."""
    basis, expected = basis.toarray(), dense_null_space(matrix.toarray(), rcond=1e-10)
    assert basis.shape == expected.T.shape
    assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-13)
    if len(basis) > 0:
        assert subspace_angles(basis.T, expected).max() < 1e-10


@pytest.mark.parametrize("density", [0.01, 0.05, 0.2, 1.0])
@pytest.mark.parametrize("shape", [(30, 50), (80, 40), (1, 7), (60, 60)])
def test_null_space_of_random_sparse_matrices(shape, density, rng):
    matrix = sparse.random_array(shape, density=density, rng=rng, data_sampler=rng.standard_normal)
    assert_null_space(matrix, null_space(matrix))


def test_null_space_of_low_rank_blocks(rng):
    blocks = [rng.normal(size=(6, 2)) @ rng.normal(size=(2, 5)) for _ in range(4)]
    matrix = sparse.block_diag([*blocks, np.zeros((2, 3)), blocks[0], blocks[1][:3]])
    order = rng.permutation(matrix.shape[1])
    matrix = matrix.tocsr()[rng.permutation(matrix.shape[0])][:, order]
    basis = null_space(matrix)
    assert_null_space(matrix, basis)
    assert np.diff(basis.indptr).max() <= 5, "null vectors stay inside their block"


def test_null_space_of_chains_of_pairs(rng):
    """Rows of two entries are eliminated along trees; loops that do not close leave nothing."""
    n = 400
    ratio = rng.choice([-1.0, 1.0, 2.0, 0.5], size=n)
    chain = sparse.diags_array([np.ones(n), -ratio], offsets=[0, 1], shape=(n, n + 1))
    loop = sparse.coo_array(([1.0, -1.0], ([0, 0], [0, n])), shape=(1, n + 1))
    assert_null_space(chain, null_space(chain))
    signs = sparse.diags_array([np.ones(n), np.ones(n)], offsets=[0, 1], shape=(n, n + 1))
    assert null_space(sparse.vstack([signs, loop])).shape == (1, n + 1)  # an even loop closes
    odd = signs.tocsr()[:-1, :-1]
    loop = sparse.coo_array(([1.0, -1.0], ([0, 0], [0, n - 1])), shape=(1, n))
    assert null_space(sparse.vstack([odd, loop])).shape == (0, n)  # an odd one does not


def test_noise_is_no_constraint(rng):
    """Entries of the size of round-off neither tie columns together nor make them vanish."""
    exact = sparse.csr_array(np.kron(np.eye(5), [[1.0, 1.0, 1.0, 0.0]]))
    noisy = exact + sparse.random_array((5, 20), density=0.3, rng=rng) * 1e-13
    more = sparse.random_array((8, 20), density=0.08, rng=rng) * 1e-13
    assert null_space(sparse.vstack([noisy, more])).shape == null_space(exact).shape == (15, 20)


@pytest.mark.parametrize("shape", [(0, 4), (3, 4)])
def test_no_constraint_at_all(shape):
    basis = null_space(sparse.csr_array(shape))
    assert_allclose(basis.toarray(), np.eye(4))


def test_scale_decides_what_is_zero():
    matrix = sparse.csr_array(np.diag([1.0, 1e-8]))
    assert null_space(matrix, rtol=1e-10).shape[0] == 0
    assert null_space(matrix, rtol=1e-6).shape[0] == 1
    assert null_space(matrix, rtol=1e-10, scale=1e4).shape[0] == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_matter(threads, rng):
    matrix = sparse.random_array((60, 80), density=0.1, rng=rng)
    with threadpool_limits(threads):
        assert_null_space(matrix, null_space(matrix))


@pytest.mark.parametrize("algebra", [so(3), so(6), so(4).repeat(2)], ids=["3", "6", "4 twice"])
@pytest.mark.parametrize("condition", [1.0, 30.0, 1e3])
def test_balance_makes_compact_algebras_skew(algebra, condition, rng):
    d = algebra.n_features
    U, _, V = np.linalg.svd(rng.normal(size=(d, d)))
    change = U * np.geomspace(1, condition, d) @ V
    A = change @ algebra.linear @ np.linalg.inv(change)
    P = balance(A)
    P = np.eye(d) if P is None else P
    A = P @ A @ np.linalg.inv(P)
    assert np.abs(A + A.transpose(0, 2, 1)).max() < 0.2 * np.abs(A).max()
    assert np.linalg.cond(P) < 3 * condition


def test_balance_leaves_textbook_algebras_alone():
    for algebra in (so(5), lorentz(3), sl(3), so(3).repeat(3)):
        assert balance(algebra.linear) is None


def test_balance_gives_up_on_nilpotent_and_wild_generators(rng):
    assert balance(LieAlgebra([[[0, 1], [0, 0]]]).linear) is None
    assert balance(np.zeros((2, 3, 3))) is None
    P = balance(rng.normal(size=(1, 3, 3)))
    assert P is None or np.linalg.cond(P) < 1e9


def test_merging_rows_keeps_the_gram_matrix(rng):
    X = rng.normal(size=(50, 4))
    R = None
    for rows in np.array_split(X, 7):
        R = merge_rows(R, rows)
    assert R.shape == (4, 4)
    assert_allclose(R.T @ R, X.T @ X)


def test_orthonormal_rows(rng):
    matrix = rng.normal(size=(3, 6))
    Q, L = orthonormal_rows(sparse.csr_array(matrix))
    assert_allclose(L @ Q, matrix)
    assert_allclose(Q @ Q.T, np.eye(3), atol=1e-14)


def test_independent_rows(rng):
    rows = rng.normal(size=(3, 5))
    rows = np.vstack([rows[0], 2 * rows[0], np.zeros(5), rows[1], rows[0] + rows[1], rows[2]])
    kept = independent_rows(rows)
    assert len(kept) == np.linalg.matrix_rank(rows[kept]) == 3
    assert len(independent_rows(np.eye(4))) == 4
    assert len(independent_rows(np.zeros((0, 4)))) == 0


def test_memory_is_refused_before_it_is_taken():
    with pytest.raises(MemoryError, match=r"A cube would need 1e\+10 GiB.* Take less"):
        require_memory(1e10 * 2**30, "A cube", "Take less.")


def test_column_indices():
    columns, total = column_indices(["b", "a"], ["a", "b", "c"], 2)
    assert (columns.tolist(), total) == ([1, 0], 3)
