"""Null spaces of sparse matrices, block by block, and solutions of sparse affine equations."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components

from sksym._linalg.machine import one_thread, require_memory
from sksym._linalg.rank import EPS

_ROUND_OFF = 32 * EPS  # entries up to this part of the scale would join blocks that are separate
_NONE = 1e-6  # weight of the constant in a homogeneous solution below which none exists
_UNDERFLOW = -2000  # exponent from where a value is zero


def null_space(matrix, rtol=1e-10, scale=None):
    """Return an orthonormal basis of the null space of a sparse matrix, block by block.

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
        Orthonormal rows, each supported on one component, in the order of their first columns.
    """
    entries = sparse.coo_array(matrix)
    m, n = entries.shape
    if not n:
        return sparse.csr_array((0, 0))
    if scale is None:
        scale = spectral_bound(entries)
    row, column, data = _more_than_round_off(entries, scale)
    # Empty rows are many: every output of every generator has some.
    used = np.zeros(m, bool)
    used[row] = True
    compact_row = (np.cumsum(used) - 1)[row]
    n_rows = np.count_nonzero(used)
    compact = sparse.csr_array((data, (compact_row, column)), shape=(n_rows, n))
    with one_thread():
        ties, remainder = _tied_columns(compact, rtol * scale)
        basis = _null_space_by_blocks(remainder, rtol * scale, scale)
    basis = sparse.csr_array(basis @ ties.T)
    return basis[np.argsort(_first_columns(basis), kind="stable")]


def affine_solution(matrix, target, rtol=1e-10, scale=None):
    """Solve ``matrix @ x = target``: a particular solution and the null space.

    The homogeneous equation ``matrix @ x = s * target`` has the same null space and, where a
    solution exists, one null vector more. The projection of ``s`` on its null space is the
    solution of least norm.

    Parameters
    ----------
    matrix : sparse array of shape (m, n)
    target : ndarray of shape (m,)
    rtol, scale
        As in `null_space`.

    Returns
    -------
    x : ndarray of shape (n,)
        The solution of least norm.
    basis : csr_array of shape (nullity, n)

    Raises
    ------
    ValueError
        If no solution exists.
    """
    matrix = sparse.csr_array(matrix)
    if scale is None:
        scale = spectral_bound(matrix)
    size = np.linalg.norm(target)
    basis = null_space(matrix, rtol, scale)
    if not size:
        return np.zeros(matrix.shape[1]), basis
    unit = (scale or 1.0) / size
    column = sparse.csr_array(-unit * target[:, None])
    homogeneous = null_space(sparse.hstack([matrix, column]), rtol, scale or 1.0)
    weight = homogeneous[:, [-1]].toarray()[:, 0]
    share = weight @ weight
    if share <= _NONE**2:
        raise ValueError(
            "The affine constraints contradict each other: no function of the library satisfies "
            "them. Give a library that holds the functions by which the inhomogeneous part acts, "
            "or leave out generators."
        )
    x = (homogeneous.T @ weight)[:-1] / (share * unit)
    return x, basis


def spectral_bound(matrix):
    """Return ``sqrt(norm_1 norm_inf)``, an upper bound of the largest singular value."""
    size = abs(sparse.csr_array(matrix))
    if size.nnz == 0:
        return 0.0
    largest_column = size.sum(axis=0).max()
    largest_row = size.sum(axis=1).max()
    return float(np.sqrt(largest_column) * np.sqrt(largest_row))


def _more_than_round_off(entries, scale):
    """Return rows, columns and values of the entries that are more than round-off."""
    genuine = np.abs(entries.data) > _ROUND_OFF * scale
    return entries.row[genuine], entries.col[genuine], entries.data[genuine]


def _first_columns(basis):
    """Return the first column of every row of a basis."""
    if not basis.nnz:
        return np.zeros(0, int)
    return np.minimum.reduceat(np.append(basis.indices, basis.shape[1]), basis.indptr[:-1])


# ------------------------------------------------------------------ rows with one or two entries


def _tied_columns(matrix, tolerance):
    """Eliminate the rows with one or two entries: columns that vanish or are multiples.

    Permutations and many rotations give little else, in components too large for dense algebra.

    Returns
    -------
    ties : csr_array of shape (n, k)
        Orthonormal columns, each the solution of these rows on one component.
    remainder : csr_array of shape (m', k)
        The other rows, acting on those.
    """
    n = matrix.shape[1]
    length = np.diff(matrix.indptr)
    start = matrix.indptr[:-1]
    # Entries between round-off and tolerance would tie columns by ratios of noise.
    row = np.repeat(np.arange(len(length)), length)
    reliable = np.bincount(row[np.abs(matrix.data) > tolerance], minlength=len(length))
    single = (length == 1) & (reliable == 1)
    double = (length == 2) & (reliable == 2)
    first = start[double]
    i = matrix.indices[first]
    j = matrix.indices[first + 1]
    a = matrix.data[first]
    b = matrix.data[first + 1]
    links = sparse.coo_array((np.ones(len(i)), (i, j)), shape=(n, n))
    k, component = connected_components(links, directed=False)
    value = _along_links(i, j, -a / b, component, k)
    value /= np.sqrt(np.bincount(component, value**2, minlength=k))[component]
    # A cycle of links that does not close, or a column that vanishes, sets its component to zero.
    broken = np.abs(a * value[i] + b * value[j]) > tolerance
    zero = np.zeros(k, bool)
    zero[component[i[broken]]] = True
    zero[component[matrix.indices[start[single]]]] = True
    new_index = np.cumsum(~zero) - 1
    free = ~zero[component]
    where = (np.flatnonzero(free), new_index[component[free]])
    ties = sparse.csr_array((value[free], where), shape=(n, np.count_nonzero(~zero)))
    return ties, sparse.csr_array(matrix[~(single | double)] @ ties)


def _along_links(i, j, ratio, component, k):
    """Compute values (n,) with ``value[j] = ratio value[i]`` along a spanning tree of each component.

    The largest of each component is about one; exponents stay apart, because chains may be long.
    """
    n = len(component)
    roots = np.unique(component, return_index=True)[1]
    # One tree for all: node n is linked to the first node of each component.
    source = np.concatenate([i, j, np.full(k, n)])
    target = np.concatenate([j, i, roots])
    factor = np.concatenate([ratio, 1 / ratio, np.ones(k)])
    graph = sparse.csr_array((np.ones(len(source)), (source, target)), shape=(n + 1, n + 1))
    _, parent = breadth_first_order(graph, n)
    parent[n] = n
    link, first = np.unique(source * (n + 1) + target, return_index=True)
    link_of_node = parent[:n].astype(np.int64) * (n + 1) + np.arange(n)
    value = np.ones(n + 1)
    value[:n] = factor[first][np.searchsorted(link, link_of_node)]
    value, power = np.frexp(value)
    while (parent != n).any():  # products of the factors on the way up, doubling the step
        value, carry = np.frexp(value * value[parent])
        power = power + power[parent] + carry
        parent = parent[parent]
    largest = np.full(k, np.iinfo(np.int64).min)
    np.maximum.at(largest, component, power[:n])
    return np.ldexp(value[:n], np.maximum(power[:n] - largest[component], _UNDERFLOW))


# --------------------------------------------------------------------- blocks of the other rows


def _null_space_by_blocks(matrix, tolerance, scale):
    """Return the null vectors of every connected component of a sparse matrix: (nullity, n)."""
    row, column, data = _more_than_round_off(sparse.coo_array(matrix), scale)
    m, n = matrix.shape
    ones = np.ones(len(row), np.int8)
    graph = sparse.coo_array((ones, (row, m + column)), shape=(m + n, m + n))
    n_blocks, block = connected_components(graph, directed=False)
    counts = [np.zeros(0, int)]
    columns = [np.zeros(0, int)]
    values = [np.zeros(0)]
    for batch in _equal_blocks(row, column, data, block[:m], block[m:], n_blocks):
        entries_per_vector, where, vectors = _null_space_of_blocks(*batch, tolerance)
        counts.append(entries_per_vector)
        columns.append(where)
        values.append(vectors)
    counts = np.concatenate(counts)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    entries = (np.concatenate(values), np.concatenate(columns), indptr)
    return sparse.csr_array(entries, shape=(len(counts), n))


def _equal_blocks(row, column, data, row_block, column_block, n_blocks):
    """Group components by shape: yield columns (b, nc) and dense blocks (b, nr, nc)."""
    n_rows = np.bincount(row_block, minlength=n_blocks)
    n_columns = np.bincount(column_block, minlength=n_blocks)
    row_in_block = _rank_within(row_block, n_rows)
    column_in_block = _rank_within(column_block, n_columns)
    columns_by_block = np.argsort(column_block, kind="stable")
    first_column = np.cumsum(n_columns) - n_columns
    shape_code = n_rows * (n_columns.max(initial=0) + 1) + n_columns
    shapes, shape_of_block = np.unique(shape_code, return_inverse=True)
    entries_by_shape, entry_bounds = _grouped(shape_of_block[column_block[column]], len(shapes))
    blocks_by_shape, block_bounds = _grouped(shape_of_block, len(shapes))
    position = np.empty(n_blocks, int)
    for shape in range(len(shapes)):
        blocks = blocks_by_shape[block_bounds[shape] : block_bounds[shape + 1]]
        nr = n_rows[blocks[0]]
        nc = n_columns[blocks[0]]
        if nc == 0:
            continue
        require_memory(
            8.0 * len(blocks) * nc * (nr + 2 * nc),
            f"A null space with {len(blocks)} dense block(s) of {nr} x {nc}",
            "Reduce the degree, or give the generators in coordinates where they are sparse.",
        )
        position[blocks] = np.arange(len(blocks))
        entries = entries_by_shape[entry_bounds[shape] : entry_bounds[shape + 1]]
        b = position[column_block[column[entries]]]
        dense = np.zeros((len(blocks), nr, nc))
        dense[b, row_in_block[row[entries]], column_in_block[column[entries]]] = data[entries]
        yield columns_by_block[first_column[blocks][:, None] + np.arange(nc)], dense


def _grouped(labels, n_labels):
    """Return the order of elements by label, and where each label begins in it."""
    order = np.argsort(labels, kind="stable")
    return order, np.searchsorted(labels[order], np.arange(n_labels + 1))


def _rank_within(labels, counts):
    """Return the rank of every element among those of its label."""
    order = np.argsort(labels, kind="stable")
    rank = np.empty(len(labels), int)
    rank[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


def _null_space_of_blocks(columns, dense, tolerance):
    """Return the null vectors of a batch of dense blocks.

    Parameters
    ----------
    columns : ndarray of shape (b, nc)
    dense : ndarray of shape (b, nr, nc)
    tolerance : float

    Returns
    -------
    entries_per_vector : ndarray of int
    where : ndarray of int
        Columns of all entries, vector by vector.
    values : ndarray
    """
    n_blocks, nr, nc = dense.shape
    if nr == 0:
        return np.ones(n_blocks, int), columns.ravel(), np.ones(n_blocks)
    # Blocks repeat, by symmetry among the coordinates: factor each distinct one once.
    known = {}
    which = np.array([known.setdefault(block.tobytes(), k) for k, block in enumerate(dense)])
    first, which = np.unique(which, return_inverse=True)
    distinct = dense[first]
    if nr > nc:
        distinct = np.linalg.qr(distinct, mode="r")
    _, s, Vt = np.linalg.svd(distinct)
    null = np.ones(Vt.shape[:2], bool)
    null[:, : s.shape[1]] = s <= tolerance
    chosen_block, chosen_vector = np.nonzero(null[which])
    vectors = Vt[which[chosen_block], chosen_vector]
    vectors[np.abs(vectors) < 4 * EPS] = 0
    filled = vectors != 0
    return filled.sum(axis=1), columns[chosen_block][filled], vectors[filled]
