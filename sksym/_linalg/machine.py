"""The machine: BLAS threads, free memory, and blocks of rows that fit the cache."""

import os
from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController

_BLOCK_BYTES = 2**23
_USABLE = 0.7  # fraction of the free memory that one computation may take
_UNKNOWN_MEMORY = 8 * 2**30


@lru_cache(maxsize=1)
def _controller():
    """Return the controller of the BLAS libraries; looking for them takes milliseconds."""
    return ThreadpoolController()


def one_thread():
    """Return a context with one BLAS thread.

    Loops over small matrices crawl when threads contend.
    """
    return _controller().limit(limits=1)


def available_memory():
    """Return the bytes of memory that are free now, or 8 GiB where the system does not say."""
    # `sysconf` is missing on Windows, and its names on some systems.
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN_MEMORY


def require_memory(n_bytes, what, remedy):
    """Refuse a computation before it allocates more than the machine has.

    Parameters
    ----------
    n_bytes : float
    what : str
        Subject of the message: what takes the memory.
    remedy : str
        What the user can do.

    Raises
    ------
    MemoryError
    """
    limit = _USABLE * available_memory()
    if n_bytes > limit:
        raise MemoryError(
            f"{what} would need {n_bytes / 2**30:.3g} GiB, "
            f"{limit / 2**30:.3g} GiB are free. {remedy}"
        )


def row_blocks(n, width):
    """Yield slices of n rows such that a float array of that width stays near 8 MiB."""
    bytes_per_row = 8 * max(width, 1)
    # Neither so short that the loop costs more than the work, nor long for narrow arrays.
    size = int(np.clip(_BLOCK_BYTES // bytes_per_row, 64, 16384))
    for start in range(0, n, size):
        stop = min(start + size, n)
        yield slice(start, stop)
