"""Whether a search fits into memory, before anything of its size is allocated."""

from sksym._linalg import require_memory


def require_affordable(n_candidates, n_functions, n_outputs, n_features):
    """Refuse a search whose arrays do not fit into the free memory.

    Parameters
    ----------
    n_candidates, n_functions, n_outputs, n_features : int
        ``r``, ``p``, ``q`` and ``d``.

    Raises
    ------
    MemoryError
        Names the numbers, and what to reduce.
    """
    r = n_candidates
    p = n_functions
    q = n_outputs
    # The triangular factor of a regression, its singular vectors and copies of both.
    regression = 6 * (p + q) ** 2
    # Changes of half of the candidates (as rotations are of affine motions) in every candidate
    # for every source of noise: those kept, their part beyond k, the same in candidates, a copy.
    changes = 4 * r * max(r // 2, 1) * p * q
    # The joint fit: how every candidate maps coefficients to tests, and the constraints, projected
    # and stacked. Without it only symmetries in simple numbers would be found.
    joint_fit = 4 * r * (p * q) ** 2
    require_memory(
        8.0 * (regression + changes + joint_fit),
        f"A search among {r:,} candidates on {n_features} features in {p:,} functions of "
        f"{q} outputs",
        "Give fewer candidates (so instead of aff, or only those that may hold), a library of "
        "lower degree, or fewer columns.",
    )
