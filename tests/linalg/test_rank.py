"""Triangular factors, independent rows and echelon forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sksym._linalg import independent_rows, merge_rows, orthonormal_rows


def test_merging_rows_keeps_the_gram_matrix(rng):
    X = rng.normal(size=(50, 4))
    R = None
    for rows in np.array_split(X, 7):
        R = merge_rows(R, rows)
    assert R.shape == (4, 4)
    assert_allclose(R.T @ R, X.T @ X)


@pytest.mark.parametrize("sizes", [[50], [1] * 50, [49, 1], [3, 0, 40, 7]], ids=str)
@pytest.mark.parametrize("width", [1, 4, 60])
def test_any_chunking_gives_the_same_factor(sizes, width, rng):
    X = rng.normal(size=(50, width))
    R = None
    for rows in np.split(X, np.cumsum(sizes)[:-1]):
        R = merge_rows(R, rows)
    assert R.shape == (min(50, width), width)
    assert_allclose(np.tril(R, -1), 0)
    expected = np.linalg.qr(X, mode="r")
    signs = np.sign(np.diag(R)) * np.sign(np.diag(expected))
    assert_allclose(R, signs[:, None] * expected, atol=1e-12)


def test_factors_merge_like_rows(rng):
    X, Y = rng.normal(size=(30, 4)), rng.normal(size=(20, 4))
    merged = merge_rows(merge_rows(None, X), merge_rows(None, Y))
    assert_allclose(merged.T @ merged, X.T @ X + Y.T @ Y)


def test_factors_keep_what_a_gram_matrix_loses(rng):
    """Columns that agree to 1e-9: the smallest singular value survives, to a relative 1e-6."""
    X = rng.normal(size=(500, 3))
    X[:, 2] = X[:, 1] + 1e-9 * X[:, 2]
    R = None
    for rows in np.array_split(X, 9):
        R = merge_rows(R, rows)
    expected = np.linalg.svd(X, compute_uv=False)
    assert_allclose(np.linalg.svd(R, compute_uv=False), expected, rtol=1e-6)
    lost = np.sqrt(np.abs(np.linalg.eigvalsh(X.T @ X)[0]))
    assert abs(lost / expected[-1] - 1) > 1e-2


def test_orthonormal_rows(rng):
    matrix = rng.normal(size=(3, 6))
    Q, L = orthonormal_rows(sparse.csr_array(matrix))
    assert_allclose(L @ Q, matrix)
    assert_allclose(Q @ Q.T, np.eye(3), atol=1e-14)
    assert_allclose(np.triu(L, 1), 0)


@pytest.mark.parametrize("rank", [0, 1, 3, 6])
def test_independent_rows_span_all_rows(rank, rng):
    matrix = rng.normal(size=(6, rank)) @ rng.normal(size=(rank, 8))
    matrix *= np.geomspace(1e-12, 1e12, 6)[:, None]  # units of rows do not matter
    kept = independent_rows(matrix)
    assert len(kept) == rank
    assert list(kept) == sorted(set(kept.tolist()))
    unit = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-300)
    if rank:
        coordinates = np.linalg.lstsq(unit[kept].T, unit.T)[0]
        assert_allclose(unit[kept].T @ coordinates, unit.T, atol=1e-9)


def test_independent_rows(rng):
    rows = rng.normal(size=(3, 5))
    rows = np.vstack([rows[0], 2 * rows[0], np.zeros(5), rows[1], rows[0] + rows[1], rows[2]])
    kept = independent_rows(rows)
    assert len(kept) == np.linalg.matrix_rank(rows[kept]) == 3
    assert len(independent_rows(np.eye(4))) == 4
    assert len(independent_rows(np.zeros((0, 4)))) == 0
