"""Threads, memory, and columns by number or by name."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sksym._linalg import column_indices, one_thread, require_memory


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_one_thread_is_one_thread():
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with one_thread():
            assert all(count == 1 for count in blas_threads())
        assert blas_threads() == before


def test_memory_is_refused_before_it_is_taken():
    with pytest.raises(MemoryError, match=r"A cube would need 1e\+10 GiB.* Take less"):
        require_memory(1e10 * 2**30, "A cube", "Take less.")


def test_column_indices():
    columns, total = column_indices(["b", "a"], ["a", "b", "c"], 2)
    assert (columns.tolist(), total) == ([1, 0], 3)
    columns, total = column_indices(np.array([2, 0]), 3, 2)
    assert (columns.tolist(), total) == ([2, 0], 3)
    assert np.issubdtype(columns.dtype, np.integer)
