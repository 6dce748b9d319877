"""Null spaces of sparse matrices, block by block, and solutions of sparse affine equations.

Index legend: m rows and n columns of the matrix, k components of the graph of its columns, b
blocks of one shape (nr, nc).
"""

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
    tolerance = rtol * scale
    row, column, data = _more_than_round_off(entries, scale)
    # Empty rows are many: every output of every generator has some.
    used = np.zeros(m, bool)
    used[row] = True
    new_index = np.cumsum(used) - 1
    n_used = np.count_nonzero(used)
    compact = sparse.csr_array(
        (data, (new_index[row], column)),
        shape=(n_used, n),
    )
    with one_thread():
        ties, remainder = _tied_columns(compact, tolerance)
        basis = _null_space_by_blocks(remainder, tolerance, scale)
    basis = sparse.csr_array(basis @ ties.T)
    first = _first_columns(basis)
    order = np.argsort(first, kind="stable")
    return basis[order]


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
    basis = null_space(matrix, rtol, scale)
    size = np.linalg.norm(target)
    if not size:
        x = np.zeros(matrix.shape[1])
        return x, basis
    # The column of the constant in the size of the others, so that one tolerance serves both.
    unit = (scale or 1.0) / size
    column = -unit * target[:, None]
    constant = sparse.csr_array(column)
    homogeneous = null_space(
        sparse.hstack([matrix, constant]),
        rtol,
        scale or 1.0,
    )
    last_column = homogeneous[:, [-1]].toarray()
    weight = last_column[:, 0]
    total = weight @ weight
    if total <= _NONE**2:
        raise ValueError(
            "The affine constraints contradict each other: no function of the library satisfies "
            "them. Give a library that holds the functions by which the inhomogeneous part acts, "
            "or leave out generators."
        )
    projection = homogeneous.T @ weight
    x = projection[:-1] / (total * unit)
    return x, basis


def spectral_bound(matrix):
    """Return ``sqrt(norm_1 norm_inf)``, an upper bound of the largest singular value.

    Parameters
    ----------
    matrix : sparse array of shape (m, n)

    Returns
    -------
    float
    """
    size = abs(sparse.csr_array(matrix))
    if size.nnz == 0:
        return 0.0
    largest_column = size.sum(axis=0).max()
    largest_row = size.sum(axis=1).max()
    # The roots first: the product of the norms may overflow.
    bound = np.sqrt(largest_column) * np.sqrt(largest_row)
    return float(bound)


def _more_than_round_off(entries, scale):
    """Return rows, columns and values of the entries that are more than round-off.

    Parameters
    ----------
    entries : coo_array of shape (m, n)
    scale : float
        Size of the matrix.

    Returns
    -------
    row, column : ndarray of shape (nnz,) of int
    data : ndarray of shape (nnz,)
    """
    size = np.abs(entries.data)
    genuine = size > _ROUND_OFF * scale
    row = entries.row[genuine]
    column = entries.col[genuine]
    data = entries.data[genuine]
    return row, column, data


def _first_columns(basis):
    """Return the first column (k,) of every row of a basis (k, n)."""
    if not basis.nnz:
        return np.zeros(0, int)
    n = basis.shape[1]
    # A sentinel behind the last entry keeps trailing empty rows within bounds.
    indices = np.append(basis.indices, n)
    return np.minimum.reduceat(indices, basis.indptr[:-1])


# ------------------------------------------------------------------ rows with one or two entries


def _tied_columns(matrix, tolerance):
    """Eliminate the rows with one or two entries: columns that vanish or are multiples.

    Permutations and many rotations give little else, in components too large for dense algebra.

    Parameters
    ----------
    matrix : csr_array of shape (m, n)
    tolerance : float

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
    m = len(length)
    # Entries between round-off and tolerance would tie columns by ratios of noise.
    row = np.repeat(np.arange(m), length)
    is_reliable = np.abs(matrix.data) > tolerance
    n_reliable = np.bincount(row[is_reliable], minlength=m)
    single = (length == 1) & (n_reliable == 1)
    double = (length == 2) & (n_reliable == 2)
    # Each double row is one link, a x_i + b x_j = 0, of the graph of columns.
    first = start[double]
    second = first + 1
    i = matrix.indices[first]
    j = matrix.indices[second]
    a = matrix.data[first]
    b = matrix.data[second]
    links = sparse.coo_array(
        (np.ones(len(i)), (i, j)),
        shape=(n, n),
    )
    k, component = connected_components(links, directed=False)
    ratio = -a / b
    value = _along_links(i, j, ratio, component, k)
    square = np.bincount(component, value**2, minlength=k)
    norm = np.sqrt(square)
    value /= norm[component]
    # A cycle of links that does not close, or a column that vanishes, sets its component to zero.
    residual = a * value[i] + b * value[j]
    is_broken = np.abs(residual) > tolerance
    broken_column = i[is_broken]
    vanishing_column = matrix.indices[start[single]]
    is_zero = np.zeros(k, bool)
    is_zero[component[broken_column]] = True
    is_zero[component[vanishing_column]] = True
    new_index = np.cumsum(~is_zero) - 1
    n_solutions = np.count_nonzero(~is_zero)
    free = np.flatnonzero(~is_zero[component])
    solution = new_index[component[free]]
    ties = sparse.csr_array(
        (value[free], (free, solution)),
        shape=(n, n_solutions),
    )
    is_eliminated = single | double
    others = matrix[~is_eliminated]
    return ties, sparse.csr_array(others @ ties)


def _along_links(i, j, ratio, component, k):
    """Compute values with ``value[j] = ratio value[i]`` along a spanning tree of each component.

    The largest of each component is about one; exponents are kept apart from mantissas, because
    chains may be long enough to overflow.

    Parameters
    ----------
    i, j : ndarray of shape (n_links,) of int
    ratio : ndarray of shape (n_links,)
    component : ndarray of shape (n,) of int
        The component of every column.
    k : int
        Number of components.

    Returns
    -------
    ndarray of shape (n,)
    """
    n = len(component)
    _, roots = np.unique(component, return_index=True)
    # One tree for all: node n is linked to the first node of each component.
    super_root = np.full(k, n)
    source = np.concatenate([i, j, super_root])
    target = np.concatenate([j, i, roots])
    inverse_ratio = 1 / ratio
    factor = np.concatenate([ratio, inverse_ratio, np.ones(k)])
    graph = sparse.csr_array(
        (np.ones(len(source)), (source, target)),
        shape=(n + 1, n + 1),
    )
    _, parent = breadth_first_order(graph, n)
    parent[n] = n
    # A link is looked up by the number source * (n + 1) + target.
    number_of_link = source * (n + 1) + target
    number, first = np.unique(number_of_link, return_index=True)
    parent_of_node = parent[:n].astype(np.int64)
    number_of_node = parent_of_node * (n + 1) + np.arange(n)
    position = np.searchsorted(number, number_of_node)
    factor_of_link = factor[first]
    value = np.ones(n + 1)
    value[:n] = factor_of_link[position]
    value, power = np.frexp(value)
    # Products of the factors on the way to the root, doubling the step each time.
    while (parent != n).any():
        product = value * value[parent]
        value, carry = np.frexp(product)
        power = power + power[parent] + carry
        parent = parent[parent]
    # Exponents relative to the largest of the component.
    power = power[:n]
    least = np.iinfo(np.int64).min
    largest = np.full(k, least)
    np.maximum.at(largest, component, power)
    relative_power = power - largest[component]
    return np.ldexp(
        value[:n],
        np.maximum(relative_power, _UNDERFLOW),
    )


# --------------------------------------------------------------------- blocks of the other rows


def _null_space_by_blocks(matrix, tolerance, scale):
    """Return the null vectors of every connected component of a sparse matrix.

    Parameters
    ----------
    matrix : sparse array of shape (m, n)
    tolerance : float
        Largest singular value that counts as zero.
    scale : float
        Size of the matrix.

    Returns
    -------
    csr_array of shape (nullity, n)
    """
    entries = sparse.coo_array(matrix)
    row, column, data = _more_than_round_off(entries, scale)
    m, n = matrix.shape
    # Bipartite graph: nodes 0..m-1 are the rows, nodes m..m+n-1 the columns.
    ones = np.ones(len(row), np.int8)
    graph = sparse.coo_array(
        (ones, (row, m + column)),
        shape=(m + n, m + n),
    )
    n_blocks, block = connected_components(graph, directed=False)
    row_block = block[:m]
    column_block = block[m:]
    counts = [np.zeros(0, int)]
    columns = [np.zeros(0, int)]
    values = [np.zeros(0)]
    batches = _equal_blocks(
        row,
        column,
        data,
        row_block,
        column_block,
        n_blocks,
    )
    for columns_of_blocks, dense in batches:
        entries_per_vector, where, vectors = _null_space_of_blocks(
            columns_of_blocks,
            dense,
            tolerance,
        )
        counts.append(entries_per_vector)
        columns.append(where)
        values.append(vectors)
    counts = np.concatenate(counts)
    columns = np.concatenate(columns)
    values = np.concatenate(values)
    ends = np.cumsum(counts)
    indptr = np.concatenate([[0], ends])
    return sparse.csr_array(
        (values, columns, indptr),
        shape=(len(counts), n),
    )


def _equal_blocks(row, column, data, row_block, column_block, n_blocks):
    """Group components by shape: yield columns (b, nc) and dense blocks (b, nr, nc).

    Parameters
    ----------
    row, column, data : ndarray of shape (nnz,)
        Entries of the matrix (m, n).
    row_block : ndarray of shape (m,) of int
    column_block : ndarray of shape (n,) of int
        The component of every row and column.
    n_blocks : int
    """
    n_rows = np.bincount(row_block, minlength=n_blocks)
    n_columns = np.bincount(column_block, minlength=n_blocks)
    row_in_block = _rank_within(row_block, n_rows)
    column_in_block = _rank_within(column_block, n_columns)
    columns_by_block = np.argsort(column_block, kind="stable")
    first_column = np.cumsum(n_columns) - n_columns
    # One number for each shape (nr, nc).
    most_columns = n_columns.max(initial=0)
    shape_code = n_rows * (most_columns + 1) + n_columns
    shapes, shape_of_block = np.unique(shape_code, return_inverse=True)
    block_of_entry = column_block[column]
    shape_of_entry = shape_of_block[block_of_entry]
    entries_by_shape, entry_bounds = _grouped(shape_of_entry, len(shapes))
    blocks_by_shape, block_bounds = _grouped(shape_of_block, len(shapes))
    position = np.empty(n_blocks, int)
    for shape in range(len(shapes)):
        start = block_bounds[shape]
        stop = block_bounds[shape + 1]
        blocks = blocks_by_shape[start:stop]
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
        start = entry_bounds[shape]
        stop = entry_bounds[shape + 1]
        entries = entries_by_shape[start:stop]
        b = position[block_of_entry[entries]]
        i = row_in_block[row[entries]]
        j = column_in_block[column[entries]]
        shape_of_batch = (len(blocks), nr, nc)
        dense = np.zeros(shape_of_batch)
        dense[b, i, j] = data[entries]
        first = first_column[blocks]
        places = first[:, None] + np.arange(nc)
        yield columns_by_block[places], dense


def _grouped(labels, n_labels):
    """Return the order of elements by label, and where each label begins in it.

    Parameters
    ----------
    labels : ndarray of shape (n,) of int
    n_labels : int

    Returns
    -------
    order : ndarray of shape (n,) of int
    bounds : ndarray of shape (n_labels + 1,) of int
    """
    order = np.argsort(labels, kind="stable")
    sorted_labels = labels[order]
    every_label = np.arange(n_labels + 1)
    bounds = np.searchsorted(sorted_labels, every_label)
    return order, bounds


def _rank_within(labels, counts):
    """Return the rank (n,) of every element among those of its label.

    Parameters
    ----------
    labels : ndarray of shape (n,) of int
    counts : ndarray of shape (n_labels,) of int
        Number of elements with each label.
    """
    order = np.argsort(labels, kind="stable")
    first_of_label = np.cumsum(counts) - counts
    first = np.repeat(first_of_label, counts)
    rank = np.empty(len(labels), int)
    place = np.arange(len(labels))
    rank[order] = place - first
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
        ones = np.ones(n_blocks)
        return ones.astype(int), columns.ravel(), ones
    # Blocks repeat, by symmetry among the coordinates: factor each distinct one once.
    first_of_bytes = {}
    representative = np.empty(n_blocks, int)
    for k, block in enumerate(dense):
        content = block.tobytes()
        representative[k] = first_of_bytes.setdefault(content, k)
    first, which = np.unique(representative, return_inverse=True)
    distinct = dense[first]
    # The triangular factor has the same null space, and fewer rows.
    if nr > nc:
        distinct = np.linalg.qr(distinct, mode="r")
    _, s, Vt = np.linalg.svd(distinct)
    n_values = s.shape[1]
    is_null = np.ones(Vt.shape[:2], bool)
    is_null[:, :n_values] = s <= tolerance
    chosen_block, chosen_vector = np.nonzero(is_null[which])
    factored_block = which[chosen_block]
    vectors = Vt[factored_block, chosen_vector]
    # Exact zeros keep the basis sparse.
    size = np.abs(vectors)
    vectors[size < 4 * EPS] = 0
    filled = vectors != 0
    columns_of_vectors = columns[chosen_block]
    return (
        filled.sum(axis=1),
        columns_of_vectors[filled],
        vectors[filled],
    )
