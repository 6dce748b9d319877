"""Linear algebra that the library stands on: sparse null spaces, balancing, streamed R factors."""

import os
from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.linalg import expm, qr
from scipy.sparse.csgraph import breadth_first_order, connected_components
from threadpoolctl import ThreadpoolController

_EPS = np.finfo(float).eps
_FAR_FROM_BALANCED = 1e8  # condition beyond which a change of coordinates does harm


@lru_cache(maxsize=1)
def _controller():
    return ThreadpoolController()


def one_thread():
    """Context with one BLAS thread: loops over small matrices crawl when threads contend."""
    return _controller().limit(limits=1)


def available_memory():
    """Bytes of memory that are free now, or 8 GiB where the system does not say."""
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


def column_indices(columns, n_features, expected):
    """Validated integer columns, and the number of all columns."""
    columns = list(columns)
    if any(isinstance(column, str) for column in columns):
        if np.ndim(n_features) == 0:
            raise ValueError(
                "Columns given by name need the names of all columns: "
                "pass that list as `n_features`."
            )
        known = list(n_features)
        missing = [column for column in columns if column not in known]
        if missing:
            raise ValueError(f"Columns {missing} are not among {known}.")
        columns = [known.index(column) for column in columns]
    total = int(n_features) if np.ndim(n_features) == 0 else len(n_features)
    if len(columns) != expected:
        raise ValueError(f"The group acts on R^{expected}, got {len(columns)} columns.")
    whole = all(c == int(c) for c in columns)
    if len(set(columns)) != len(columns) or not whole or not all(0 <= c < total for c in columns):
        raise ValueError(f"`columns` must be distinct and in 0..{total - 1}, got {columns}.")
    return np.array(columns, dtype=int), total


def numerical_rank(sizes, shape, rtol=None):
    """Count the singular values, or diagonal entries of a pivoted triangular factor, above noise.

    Parameters
    ----------
    sizes : ndarray of shape (k,)
        Non-negative.
    shape : tuple of int
        Of the matrix, whose size makes the round-off.
    rtol : float, default=None
        Threshold relative to the largest, where it lies above round-off.

    Returns
    -------
    int
    """
    threshold = max(rtol or 0.0, 8 * _EPS * max(shape))
    return int(np.count_nonzero(sizes > threshold * np.max(sizes, initial=0)))


def null_space(matrix, rtol=1e-10, scale=None):
    """Orthonormal basis of the null space of a sparse matrix, block by block.

    Rows with one or two entries are eliminated. The others and their columns form a bipartite
    graph; each connected component is a small dense problem of its own, and components of equal
    shape are solved in one batch. A column that appears in no row is free.

    Parameters
    ----------
    matrix : sparse array of shape (m, n)
    rtol : float
        Singular values up to ``rtol * scale`` count as zero.
    scale : float, default=None
        None: the largest singular value, by the bound ``sqrt(norm_1 norm_inf)``.

    Returns
    -------
    csr_array of shape (nullity, n)
        Orthonormal rows, each supported on one component.
    """
    entries = sparse.coo_array(matrix)
    m, n = entries.shape
    if not n:
        return sparse.csr_array((0, 0))
    scale = spectral_bound(entries) if scale is None else scale
    # Round-off leftovers would join blocks that are separate.
    keep = np.abs(entries.data) > 32 * _EPS * scale
    row, column, data = entries.row[keep], entries.col[keep], entries.data[keep]
    used = np.zeros(m, bool)
    used[row] = True
    row = (np.cumsum(used) - 1)[row]  # empty rows are many: every output of every generator
    reduced = sparse.csr_array((data, (row, column)), shape=(int(used.sum()), n))
    with one_thread():
        ties, reduced = _tied_columns(reduced, rtol * scale)
        basis = _null_space_by_blocks(reduced, rtol * scale, scale)
    basis = sparse.csr_array(basis @ ties.T)
    return basis[np.argsort(_leading(basis), kind="stable")]


def _tied_columns(matrix, tolerance):
    """Eliminate the rows with one or two entries: they say that columns vanish or are multiples.

    Permutations and many a rotation give little else, in components too large for dense algebra.

    Returns
    -------
    ties : csr_array of shape (n, k)
        Orthonormal columns, each the solution of these rows on one component.
    rest : csr_array of shape (m', k)
        The other rows, acting on those.
    """
    n = matrix.shape[1]
    length, start = np.diff(matrix.indptr), matrix.indptr[:-1]
    # Entries between round-off and tolerance would tie columns by ratios of noise.
    telling = np.bincount(
        np.repeat(np.arange(len(length)), length)[np.abs(matrix.data) > tolerance],
        minlength=len(length),
    )
    single, double = ((length == k) & (telling == k) for k in (1, 2))
    alone, pair = matrix.indices[start[single]], start[double]
    i, a = matrix.indices[pair], matrix.data[pair]
    j, b = matrix.indices[pair + 1], matrix.data[pair + 1]
    links = sparse.coo_array((np.ones(len(i)), (i, j)), shape=(n, n))
    k, component = connected_components(links, directed=False)
    value = _along_links(i, j, -a / b, component, k)
    value /= np.sqrt(np.bincount(component, value**2, minlength=k))[component]
    broken = np.abs(a * value[i] + b * value[j]) > tolerance
    zero = np.zeros(k, bool)
    zero[component[i[broken]]] = zero[component[alone]] = True
    new = np.cumsum(~zero) - 1
    kept = ~zero[component]
    ties = sparse.csr_array(
        (value[kept], (np.flatnonzero(kept), new[component[kept]])), shape=(n, int((~zero).sum()))
    )
    return ties, sparse.csr_array(matrix[~(single | double)] @ ties)


def _along_links(i, j, ratio, component, k):
    """Values (n,) with ``value[j] = ratio value[i]`` along a spanning tree of every component.

    The largest of each component is about one; exponents are kept apart, as chains may be long.
    """
    n = len(component)
    roots = np.unique(component, return_index=True)[1]
    # One tree for all: node n is linked to the first node of each component.
    source = np.concatenate([i, j, np.full(k, n)])
    target = np.concatenate([j, i, roots])
    factor = np.concatenate([ratio, 1 / ratio, np.ones(k)])
    graph = sparse.csr_array((np.ones(len(source)), (source, target)), shape=(n + 1, n + 1))
    _, up = breadth_first_order(graph, n)
    up[n] = n
    key, first = np.unique(source * (n + 1) + target, return_index=True)
    value, power = np.ones(n + 1), np.zeros(n + 1, int)
    value[:n] = factor[first][
        np.searchsorted(key, up[:n].astype(np.int64) * (n + 1) + np.arange(n))
    ]
    value, power = np.frexp(value)
    while (up != n).any():  # products of the factors on the way up, doubling the step
        value, carry = np.frexp(value * value[up])
        power = power + power[up] + carry
        up = up[up]
    largest = np.full(k, np.iinfo(np.int64).min)
    np.maximum.at(largest, component, power[:n])
    return np.ldexp(value[:n], np.maximum(power[:n] - largest[component], -2000))


def _null_space_by_blocks(matrix, tolerance, scale):
    """Null vectors of every connected component of a sparse matrix: csr_array (nullity, n)."""
    entries = sparse.coo_array(matrix)
    keep = np.abs(entries.data) > 32 * _EPS * scale
    row, column, data = entries.row[keep], entries.col[keep], entries.data[keep]
    m, n = matrix.shape
    graph = sparse.coo_array((np.ones(len(row), np.int8), (row, m + column)), shape=(m + n,) * 2)
    n_blocks, block = connected_components(graph, directed=False)
    parts = _equal_blocks(row, column, data, block[:m], block[m:], n_blocks)
    basis = [_null_space_of_blocks(*part, tolerance) for part in parts]
    counts = np.concatenate([np.zeros(0, int)] + [part[0] for part in basis])
    columns = np.concatenate([np.zeros(0, int)] + [part[1] for part in basis])
    values = np.concatenate([np.zeros(0)] + [part[2] for part in basis])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return sparse.csr_array((values, columns, indptr), shape=(len(counts), n))


def spectral_bound(matrix):
    """``sqrt(norm_1 norm_inf)``, an upper bound of the largest singular value."""
    size = abs(sparse.csr_array(matrix))
    if size.nnz == 0:
        return 0.0
    return float(np.sqrt(size.sum(axis=0).max()) * np.sqrt(size.sum(axis=1).max()))


def _leading(basis):
    """First column of every row: null vectors are listed in the order of their columns."""
    first = (
        np.minimum.reduceat(np.append(basis.indices, basis.shape[1]), basis.indptr[:-1])
        if basis.nnz
        else []
    )
    return np.asarray(first, int)


def _equal_blocks(row, column, data, row_block, column_block, n_blocks):
    """Components grouped by shape: yields columns (b, nc) and dense blocks (b, nr, nc)."""
    n_rows = np.bincount(row_block, minlength=n_blocks)
    n_columns = np.bincount(column_block, minlength=n_blocks)
    # Position of every row and column inside its component.
    row_at = _rank_within(row_block, n_rows)
    column_at = _rank_within(column_block, n_columns)
    columns_in_order = np.argsort(column_block, kind="stable")
    column_start = np.cumsum(n_columns) - n_columns
    shapes = n_rows * (n_columns.max(initial=0) + 1) + n_columns
    kinds, kind_of_block = np.unique(shapes, return_inverse=True)
    kind_of_entry = kind_of_block[column_block[column]]
    order = np.argsort(kind_of_entry, kind="stable")
    bounds = np.searchsorted(kind_of_entry[order], np.arange(len(kinds) + 1))
    blocks_in_order = np.argsort(kind_of_block, kind="stable")
    block_bounds = np.searchsorted(kind_of_block[blocks_in_order], np.arange(len(kinds) + 1))
    place = np.empty(n_blocks, int)
    for kind in range(len(kinds)):
        blocks = blocks_in_order[block_bounds[kind] : block_bounds[kind + 1]]
        nr, nc = n_rows[blocks[0]], n_columns[blocks[0]]
        if nc == 0:
            continue
        require_memory(
            8.0 * len(blocks) * nc * (nr + 2 * nc),
            f"A null space with {len(blocks)} dense block(s) of {nr} x {nc}",
            "Reduce the degree, or give the generators in coordinates where they are sparse.",
        )
        place[blocks] = np.arange(len(blocks))
        mine = order[bounds[kind] : bounds[kind + 1]]
        dense = np.zeros((len(blocks), nr, nc))
        where = place[column_block[column[mine]]], row_at[row[mine]], column_at[column[mine]]
        dense[where] = data[mine]
        yield columns_in_order[column_start[blocks][:, None] + np.arange(nc)], dense


def _rank_within(labels, counts):
    """Rank of every element among those of its label."""
    order = np.argsort(labels, kind="stable")
    rank = np.empty(len(labels), int)
    rank[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


def _null_space_of_blocks(columns, dense, tolerance):
    """Null vectors of a batch of dense blocks: (entries per vector, their columns, values)."""
    n_blocks, nr, nc = dense.shape
    if nr == 0:
        return np.ones(n_blocks, int), columns.ravel(), np.ones(n_blocks)
    # Blocks repeat (by symmetry among the coordinates): factor each distinct one once.
    seen = {}
    which = np.array([seen.setdefault(one.tobytes(), k) for k, one in enumerate(dense)])
    first, which = np.unique(which, return_inverse=True)
    dense = dense[first]
    if nr > nc:
        dense = np.linalg.qr(dense, mode="r")
    _, s, Vt = np.linalg.svd(dense)
    null = np.zeros(Vt.shape[:2], bool)
    null[:, : s.shape[1]] = s <= tolerance
    null[:, s.shape[1] :] = True
    chosen_block, chosen_vector = np.nonzero(null[which])
    vectors = Vt[which[chosen_block], chosen_vector]
    vectors[np.abs(vectors) < 4 * _EPS] = 0
    filled = vectors != 0
    return filled.sum(1), columns[chosen_block][filled], vectors[filled]


def orthonormal_rows(matrix):
    """The same row space with orthonormal rows; the rows must be independent.

    Returns (Q, L) with ``matrix = L @ Q``; L is lower triangular.
    """
    dense = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    Q, R = np.linalg.qr(dense.T)
    return Q.T, R.T


def balance(matrices):
    """Coordinates in which a set of matrices is as close to normal as it gets.

    Minimises ``sum_a ||P A_a P^-1||^2`` over the positive definite P, a geodesically convex
    problem (Kempf and Ness), by damped Newton steps. In such coordinates a conjugated compact
    algebra is skew, and ranks can be read off the singular values. Where there is no minimum
    (nilpotent generators) or nothing to gain, P is the identity.

    Parameters
    ----------
    matrices : ndarray of shape (r, d, d)

    Returns
    -------
    ndarray of shape (d, d), or None for the identity
    """
    d, size = matrices.shape[-1], matrix_norms(matrices)
    if not size.any() or d < 2:
        return None
    A = matrices / np.where(size > 0, size, 1.0)[:, None, None]
    if len(A) > 8 and _unbalanced(A) > 1e-2:  # a few random combinations of many generators
        A = np.tensordot(np.random.default_rng(0).normal(size=(8, len(A))), A, 1)
    P = np.eye(d)
    for _ in range(60):
        if _unbalanced(A) <= 1e-2:
            return None if np.array_equal(P, np.eye(d)) else P
        H = _newton_direction(A)
        H *= min(1.0, 1.0 / np.abs(np.linalg.eigvalsh(H)).max())
        H[np.abs(H) < 1e-12 * np.abs(H).max()] = 0
        grow, shrink = expm(H), expm(-H)
        P, A = grow @ P, grow @ A @ shrink
        if np.linalg.cond(P) > _FAR_FROM_BALANCED:
            break
    return None


def matrix_norms(matrices):
    """Frobenius norms of a stack of matrices (r, d, d)."""
    return np.sqrt(np.einsum("aij,aij->a", matrices, matrices))


def _moment(A):
    """``sum_a [A_a, A_a^T]``, the gradient of `balance`'s objective."""
    d = A.shape[-1]
    wide, tall = A.transpose(1, 0, 2).reshape(d, -1), A.reshape(-1, d)
    return wide @ wide.T - tall.T @ tall


def _unbalanced(A):
    """Size of the gradient relative to the objective: zero at the minimum."""
    return np.linalg.norm(_moment(A)) / np.vdot(A, A)


def _newton_direction(A):
    """Symmetric H with ``2 sum sym [A^T, [A, H]] = -moment``, regularised."""
    d = A.shape[-1]
    i, j = np.triu_indices(d)
    n_symmetric = len(i)
    units = np.zeros((n_symmetric, d, d))
    units[np.arange(n_symmetric), i, j] = units[np.arange(n_symmetric), j, i] = 1
    units /= np.linalg.norm(units, axis=(1, 2))[:, None, None]
    brackets = np.concatenate([(a @ units - units @ a).reshape(n_symmetric, -1) for a in A], axis=1)
    hessian = 2 * brackets @ brackets.T
    gradient = units.reshape(n_symmetric, -1) @ _moment(A).ravel()
    hessian[np.diag_indices(n_symmetric)] += 1e-8 * np.trace(hessian) / n_symmetric
    return np.tensordot(np.linalg.solve(hessian, -gradient), units, 1)


def independent_rows(matrix, rtol=1e-10):
    """Indices of a largest independent set of rows, in order."""
    nonzero = matrix != 0
    # A row with an entry that no other row has depends on none of them.
    if (nonzero & (nonzero.sum(axis=0) == 1)).any(axis=1).all():
        return np.arange(len(matrix))
    size = np.linalg.norm(matrix, axis=1)
    R, order = qr((matrix / np.where(size > 0, size, 1.0)[:, None]).T, mode="r", pivoting=True)
    diagonal = np.abs(np.diag(R))
    return np.sort(order[: len(diagonal)][diagonal > rtol * diagonal.max(initial=0)])


def merge_rows(R, rows):
    """Upper triangular factor of ``[R; rows]``, whose Gram matrix is the sum of theirs."""
    stacked = rows if R is None else np.concatenate([R, rows])
    return np.linalg.qr(stacked, mode="r")


def pivoted_echelon(rows, size=1.0):
    """The same row space with unit columns where it is largest in units `size`; and which."""
    _, _, pivots = qr(rows * size, pivoting=True)
    pivots = np.sort(pivots[: len(rows)])
    return np.linalg.solve(rows[:, pivots], rows), pivots


def reduced_echelon(matrix, rtol=1e-9):
    """Reduced row echelon form; pivots are the first columns that are large enough.

    Entries up to `rtol` of the largest of their row are set to zero.
    """
    rows, done = np.array(matrix, dtype=float), 0
    size = np.abs(rows).max(axis=1, initial=0)
    for column in range(rows.shape[1]):
        if done == len(rows):
            break
        relative = np.abs(rows[done:, column]) / np.where(size[done:] > 0, size[done:], 1.0)
        best = relative.argmax()
        if relative[best] <= 1e-6:
            continue
        rows[[done, done + best]] = rows[[done + best, done]]
        rows[done] /= rows[done, column]
        others = np.flatnonzero(rows[:, column])
        others = others[others != done]
        rows[others] -= rows[others, column][:, None] * rows[done]
        rows[others, column] = 0
        size = np.abs(rows).max(axis=1)
        done += 1
    return np.where(np.abs(rows) <= rtol * size[:, None], 0.0, rows)
