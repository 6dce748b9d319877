"""Null spaces of sparse matrices."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.linalg import null_space as dense_null_space
from scipy.linalg import subspace_angles
from threadpoolctl import threadpool_info, threadpool_limits

from sksym._linalg import null_space, spectral_bound


def assert_null_space(matrix, basis):
    """`basis` is an orthonormal basis of the null space that dense algebra finds."""
    basis, expected = basis.toarray(), dense_null_space(matrix.toarray(), rcond=1e-10)
    assert basis.shape == expected.T.shape
    assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-13)
    if len(basis) > 0:
        assert subspace_angles(basis.T, expected).max() < 1e-10


@pytest.mark.parametrize("rank", [0, 1, 5, 19, 20])
@pytest.mark.parametrize("shape", [(20, 40), (40, 20), (25, 25)])
def test_null_space_of_known_rank(shape, rank, rng):
    """A product of sparse factors that both have full rank."""
    left, right = np.zeros((shape[0], rank)), np.zeros((rank, shape[1]))
    left[rng.permutation(shape[0])[:rank]] = np.diag(rng.choice([-2.0, 1, 3], rank))
    right[:, rng.permutation(shape[1])[:rank]] = np.diag(rng.choice([-2.0, 1, 3], rank))
    left += (rng.random(left.shape) < 0.1) * rng.normal(size=left.shape) * 0.1
    right += (rng.random(right.shape) < 0.1) * rng.normal(size=right.shape) * 0.1
    matrix = sparse.csr_array(left @ right)
    basis = null_space(matrix)
    assert basis.shape == (shape[1] - rank, shape[1])
    assert_null_space(matrix, basis)


def few_entries(rng, n_rows, n_columns):
    """Rows of one to four entries, most of them two: what symmetries give."""
    matrix = np.zeros((n_rows, n_columns))
    for row in matrix:
        k = min(rng.choice([1, 2, 2, 2, 3, 4]), n_columns)
        row[rng.choice(n_columns, k, replace=False)] = rng.choice([-1, 1, 2, -0.5, np.sqrt(2)], k)
    return matrix


@pytest.mark.parametrize("seed", range(40))
def test_null_space_of_rows_with_few_entries(seed):
    rng = np.random.default_rng(seed)
    matrix = sparse.csr_array(few_entries(rng, rng.integers(1, 30), rng.integers(1, 30)))
    assert_null_space(matrix, null_space(matrix))


@pytest.mark.parametrize("seed", range(40))
def test_null_space_of_consistent_ties(seed):
    """v_j x_i = v_i x_j along random edges: v on every component, loops and all."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 40), rng.integers(0, 60)
    v = rng.choice([1.0, -1.0, 2.0, 3.0], n)
    matrix = np.zeros((m, n))
    for row in matrix:
        i, j = rng.choice(n, 2, replace=False)
        row[i], row[j] = v[j], -v[i]
    matrix = sparse.csr_array(matrix)
    assert_null_space(matrix, null_space(matrix))


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


def test_ties_by_round_off_are_no_ties():
    """x0 = 0 twice; what else stands in the rows is far below the tolerance."""
    matrix = sparse.csr_array([[1.0, 1e-13, 0.0], [1.0, 0.0, 1e-13]])
    basis = null_space(matrix).toarray()
    assert basis.shape == (2, 3)
    assert np.abs(matrix @ basis.T).max() < 1e-12


@pytest.mark.parametrize("seed", range(60))
def test_noise_does_not_change_the_rank(seed):
    """Numerical derivatives carry noise of 1e-13: as many null vectors, and near the exact ones."""
    rng = np.random.default_rng(seed)
    exact = few_entries(rng, rng.integers(1, 25), rng.integers(2, 25))
    noise = 1e-13 * rng.normal(size=exact.shape) * (rng.random(exact.shape) < 0.3)
    basis = null_space(sparse.csr_array(exact + noise), rtol=1e-9).toarray()
    assert len(basis) == dense_null_space(exact, rcond=1e-10).shape[1]
    assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-11)
    assert np.abs(exact @ basis.T).max(initial=0) < 1e-9


def test_null_space_of_badly_scaled_rows(rng):
    """Units of equations do not matter while they stay far above the tolerance."""
    matrix = rng.normal(size=(8, 12)) * np.geomspace(1, 1e-5, 8)[:, None]
    assert_null_space(sparse.csr_array(matrix), null_space(sparse.csr_array(matrix)))


def test_null_space_of_badly_scaled_columns(rng):
    unit = np.geomspace(1e-4, 1, 12)
    matrix = rng.normal(size=(8, 4)) @ rng.normal(size=(4, 12)) * unit
    basis = null_space(sparse.csr_array(matrix)).toarray()
    assert basis.shape == (8, 12)
    assert np.abs(matrix @ basis.T).max() < 1e-13 * np.abs(matrix).sum()


@pytest.mark.parametrize("scale", [1e-200, 1e-8, 1.0, 1e8, 1e200])
def test_overall_scale_does_not_matter(scale):
    matrix = few_entries(np.random.default_rng(3), 10, 14)
    expected, basis = (null_space(sparse.csr_array(s * matrix)).toarray() for s in (1.0, scale))
    assert_allclose(basis, expected, atol=1e-12)


def test_long_chains_of_large_ratios():
    """x_{i+1} = 1000 x_i sixty times over: only the last is left."""
    n = 60
    matrix = sparse.diags_array([1e3 * np.ones(n), -np.ones(n)], offsets=[0, 1], shape=(n, n + 1))
    basis = null_space(matrix).toarray()
    expected = 1e3 ** np.arange(-n, 1.0)
    assert_allclose(np.abs(basis), expected[None] / np.linalg.norm(expected), rtol=1e-12)


def test_entries_given_twice_are_summed():
    """1 x0 + (1 - 1) x1 = 0 leaves x1 and x2 free."""
    entries = [1.0, 1.0, -1.0], ([0, 0, 0], [0, 1, 1])
    basis = null_space(sparse.coo_array(entries, shape=(1, 3)))
    assert_allclose(basis.toarray(), np.eye(3)[1:])


def test_stored_zeros_are_no_entries():
    matrix = sparse.csr_array(([1.0, 0.0, 0.0, 2.0], [0, 1, 1, 2], [0, 2, 4]), shape=(2, 4))
    assert_allclose(null_space(matrix).toarray(), np.eye(4)[[1, 3]])


def test_rows_that_repeat_change_nothing(rng):
    matrix = sparse.csr_array(few_entries(rng, 12, 15))
    twice = sparse.vstack([matrix, 3 * matrix, matrix[::-1]])
    assert_null_space(matrix, null_space(twice))


def test_dense_and_integer_matrices_serve():
    basis = null_space(np.array([[1, 2, 0], [0, 0, 3]])).toarray()
    assert_allclose(np.abs(basis), [[2 / np.sqrt(5), 1 / np.sqrt(5), 0]])


def test_null_vectors_are_listed_by_their_first_column(rng):
    basis = null_space(sparse.csr_array(few_entries(rng, 10, 30)))
    first = [np.flatnonzero(row)[0] for row in basis.toarray()]
    assert first == sorted(first)


def test_free_columns_are_unit_vectors(rng):
    matrix = np.zeros((5, 9))
    matrix[:, [0, 2, 4, 6, 8]] = rng.normal(size=(5, 5))
    assert_allclose(null_space(sparse.csr_array(matrix)).toarray(), np.eye(9)[1::2])


@pytest.mark.parametrize("shape", [(0, 4), (3, 4), (0, 0), (3, 0)])
def test_no_constraint_at_all(shape):
    basis = null_space(sparse.csr_array(shape))
    assert_allclose(basis.toarray(), np.eye(shape[1]))


def test_the_input_is_left_alone(rng):
    matrix = sparse.csr_array(few_entries(rng, 10, 12))
    before = matrix.copy()
    null_space(matrix)
    assert_allclose(matrix.toarray(), before.toarray())
    assert matrix.nnz == before.nnz


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (7, 7)])
def test_spectral_bound_is_one(shape, rng):
    matrix = sparse.random_array(shape, density=0.4, rng=rng, data_sampler=rng.standard_normal)
    largest = np.linalg.norm(matrix.toarray(), 2)
    assert (
        largest <= spectral_bound(matrix) <= np.sqrt(min(shape)) * np.linalg.norm(matrix.toarray())
    )
    diagonal = sparse.diags_array([3.0, -4.0])
    assert spectral_bound(diagonal) == pytest.approx(4)
    assert spectral_bound(sparse.csr_array((3, 3))) == 0


def test_scale_decides_what_is_zero():
    matrix = sparse.csr_array(np.diag([1.0, 1e-8]))
    assert null_space(matrix, rtol=1e-10).shape[0] == 0
    assert null_space(matrix, rtol=1e-6).shape[0] == 1
    assert null_space(matrix, rtol=1e-10, scale=1e4).shape[0] == 1


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_threads_do_not_matter(rng):
    matrix = sparse.random_array((200, 260), density=0.03, rng=rng)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            before = blas_threads()
            basis = null_space(matrix)
            assert blas_threads() == before, "the caller's threads are his own"
        assert_null_space(matrix, basis)
        found.append((basis.T @ basis).toarray())
    assert_allclose(found[0], found[1], atol=1e-12)


def test_large_blocks_are_refused_before_they_are_filled():
    """Three entries in each of 300,000 rows join as many columns into one dense block."""
    n = 300_000
    matrix = sparse.diags_array(
        [np.ones(n), np.ones(n), np.ones(n)], offsets=[0, 1, 2], shape=(n, n + 2)
    )
    with pytest.raises(MemoryError, match=rf"{n} x {n + 2}.* Reduce the degree"):
        null_space(matrix)
