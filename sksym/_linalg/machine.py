"""The machine: BLAS threads, free memory, and blocks of rows that fit the cache."""

import os
from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController

_BLOCK_BYTES = 2**23


@lru_cache(maxsize=1)
def _controller():
    return ThreadpoolController()


def one_thread():
    """Return a context with one BLAS thread: loops over small matrices crawl when threads contend."""
    return _controller().limit(limits=1)


def available_memory():
    """Return the bytes of memory that are free now, or 8 GiB where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30


def require_memory(n_bytes, what, remedy):
    """Refuse a computation before it allocates more than the machine has."""
    limit = 0.7 * available_memory()
    if n_bytes > limit:
        raise MemoryError(
            f"{what} would need {n_bytes / 2**30:.3g} GiB, "
            f"{limit / 2**30:.3g} GiB are free. {remedy}"
        )


def row_blocks(n, width):
    """Yield slices of n rows such that a float array of that width stays near 8 MiB."""
    size = int(np.clip(_BLOCK_BYTES // (8 * max(width, 1)), 64, 16384))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
