"""Sparse regression inside a space of symmetric functions.

A symmetry ties coefficients together, so that single coefficients cannot be made zero. What can be
left out are whole symmetric functions: `sparsest_rows` chooses a basis of the space in which these
have few terms, and `sparse_least_squares` sets coordinates in that basis to zero.
"""

import warnings

import numpy as np
from scipy import sparse
from scipy.optimize import linprog
from scipy.sparse.csgraph import connected_components
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso

from sksym._estimator import warn

_LARGEST_BLOCK = 40  # dimension up to which sparsest vectors are looked for
_ZERO = 1e-9  # entry relative to the largest of its row
_DEPENDENT = 1e-6  # length of a row outside the span of the others, relative to its length
_RANK = 1e-12  # singular value of unit columns relative to the largest that is round-off
_RIDGE = 1e-13  # relative to a diagonal of one
_AS_GOOD = 1.2  # residual sum of squares relative to the least one
_ACCURACY = 1e-4  # of derivatives relative to their size, where nothing else shows it
_BEST_SUBSETS = 50  # of each number of columns, to which further columns are added
_MAX_ROUNDS = 50  # of thresholding
_MAX_SWEEPS = 100_000  # of coordinate descent


def sparsest_rows(basis):
    """Return a basis of the same row space with few entries.

    Rows that share columns, directly or through other rows, form a block of their own. For every
    column of a block, linear programming gives the vector of least l1 norm whose entry there is
    one; of these vectors the sparsest independent ones are chosen.

    Parameters
    ----------
    basis : sparse array of shape (k, N)
        Independent rows.

    Returns
    -------
    csr_array of shape (k, N)
        The largest entry of every row is 1.
    """
    basis = sparse.csr_array(basis)
    sparse_rows = []
    for block in _blocks_of_rows(basis):
        columns = np.unique(block.indices)
        dense = block[:, columns].toarray()
        k, n_columns = dense.shape
        if 1 < k <= _LARGEST_BLOCK and k < n_columns:
            dense = _sparsest(dense)
        sparse_rows.extend((columns, row) for row in dense)
    sparse_rows.sort(key=_first_column)
    out = sparse.lil_array(basis.shape)
    for k, (columns, row) in enumerate(sparse_rows):
        largest = np.abs(row).argmax()
        row = row / row[largest]
        row[np.abs(row) < _ZERO] = 0
        out[k, columns] = row
    return sparse.csr_array(out)


def _blocks_of_rows(basis):
    """Yield the connected components of the rows of a sparse matrix, which share no column."""
    size = abs(basis)
    overlaps = sparse.csr_array(size @ size.T)
    n_blocks, label = connected_components(overlaps, directed=False)
    order = np.argsort(label, kind="stable")
    end = np.cumsum(np.bincount(label, minlength=n_blocks))
    for rows in np.split(order, end[:-1]):
        yield basis[rows]


def _first_column(sparse_row):
    """Return the column of the first entry of a pair (columns, row)."""
    columns, row = sparse_row
    return columns[np.flatnonzero(row)[0]]


def _sparsest(basis):
    """Return sparse rows (k, s) that span the row space of a dense block (k, s)."""
    k = len(basis)
    in_units = basis / np.abs(basis).max(axis=1, keepdims=True)
    # The rows that are given are candidates as well, in case linear programming fails.
    vectors = np.array([*in_units, *_vectors_of_least_l1_norm(basis)])
    vectors[np.abs(vectors) < _ZERO] = 0
    n_entries = np.count_nonzero(vectors, axis=1)
    chosen = np.zeros((0, basis.shape[1]))
    for vector in vectors[np.argsort(n_entries, kind="stable")]:
        residual = vector
        if len(chosen):
            coordinates = vector @ np.linalg.pinv(chosen)
            residual = vector - coordinates @ chosen
        if np.linalg.norm(residual) > _DEPENDENT * np.linalg.norm(vector):
            chosen = np.vstack([chosen, vector])
        if len(chosen) == k:
            break
    return chosen


def _vectors_of_least_l1_norm(basis):
    """Yield, for every column, the row combination of least l1 norm whose entry there is one.

    The unknowns of the linear program are the coordinates c (k,) in the basis and bounds
    u (s,) of the entries, ``-u <= basis^T c <= u``; it minimises the sum of u.
    """
    k, s = basis.shape
    cost = np.append(np.zeros(k), np.ones(s))
    identity = np.eye(s)
    above = np.hstack([basis.T, -identity])
    below = np.hstack([-basis.T, -identity])
    bounded = np.vstack([above, below])
    free = (None, None)
    not_negative = (0, None)
    ranges = [free] * k + [not_negative] * s
    for column in _distinct_columns(basis):
        entry = np.append(basis[:, column], np.zeros(s))
        solution = linprog(
            cost,
            A_ub=bounded,
            b_ub=np.zeros(len(bounded)),
            A_eq=entry[None],
            b_eq=[1.0],
            bounds=ranges,
            method="highs",
        )
        if solution.success:
            vector = solution.x[:k] @ basis
            yield vector / np.abs(vector).max()


def _distinct_columns(basis):
    """List one column of every set of columns that are multiples of each other.

    Such columns vanish together, so one linear program serves for all of them.
    """
    size = np.linalg.norm(basis, axis=0)
    unit = basis / np.where(size > 0, size, 1.0)
    row = np.abs(unit).argmax(axis=0)
    largest = np.take_along_axis(unit, row[None], axis=0)
    unit = np.where(largest < 0, -unit, unit)
    _, first = np.unique(unit.round(9), axis=1, return_index=True)
    return first[size[first] > 0]


def _lasso(R, y, l1):
    """Minimise ``|R w - y|^2 / 2 + l1 |w|_1``."""
    lasso = Lasso(l1, fit_intercept=False, max_iter=_MAX_SWEEPS, tol=1e-8)
    unit = np.sqrt(len(R))  # scikit-learn divides the squares by the number of rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its advice does not help here
        lasso.fit(R * unit, y * unit)
    if lasso.n_iter_ >= _MAX_SWEEPS:
        warn(
            f"The l1 problem has not converged in {_MAX_SWEEPS:,} sweeps, because library "
            "functions are nearly dependent on the data: use `threshold` instead of `l1`, or "
            "fewer functions.",
            ConvergenceWarning,
        )
    return lasso.coef_


def sparse_least_squares(R, y, threshold, l1, total=None, is_dependent=False):
    """Minimise ``|R w - y|^2 / 2 + l1 |w|_1``, then choose and estimate by least squares.

    All decisions are taken in units in which the columns of R and y have length one: there a
    coefficient is the share of its term in y. The l1 penalty only decides which unknowns stay.
    Those that do are estimated by least squares; the ones below the threshold are dropped, and the
    rest estimated again, until none is dropped (sequential thresholding; Brunton, Proctor, Kutz
    2016).

    Parameters
    ----------
    R : ndarray of shape (k, k)
    y : ndarray of shape (k,)
    threshold : float
        Smallest share that stays.
    l1 : float
        0: no penalty.
    total : float, default=None
        Length of all targets, of which y is the part that columns can explain. None: that of y.
    is_dependent : bool
        Whether columns depend on others to the accuracy of the data. Then the start is the fit
        with the fewest columns among those that are as good as least squares.

    Returns
    -------
    ndarray of shape (k,)
    """
    length = np.linalg.norm(y) if total is None else total
    size = np.linalg.norm(R, axis=0)
    if not length > 0 or not size.any():
        return np.zeros(R.shape[1])
    active = size > 0
    size[~active] = 1.0
    unit_R = R / size
    unit_y = y / length
    if is_dependent:
        unexplained = max(1 - unit_y @ unit_y, 0.0)
        active = fewest_columns(unit_R, unit_y, unexplained)
    if l1 > 0:
        active &= _lasso(unit_R, unit_y, l1) != 0
    w = np.zeros(R.shape[1])
    for _ in range(_MAX_ROUNDS):
        w = np.zeros(R.shape[1])
        if active.any():
            solution, *_ = np.linalg.lstsq(unit_R[:, active], unit_y, rcond=_RANK)
            w[active] = solution
        large = active & (np.abs(w) >= threshold)
        if (large == active).all():
            break
        active = large
    return w * (length / size)


def fewest_columns(R, y, unexplained=0.0):
    """Choose the fewest columns of R (k, k) that fit y (k,) as well as all of them.

    As well is a residual sum of squares of at most 1.2 times the least one, up to the accuracy
    of derivatives. The subsets of one column are extended by further ones, of which the best are
    extended in turn.

    Parameters
    ----------
    R : ndarray of shape (k, p)
        Columns of length one.
    y : ndarray of shape (k,)
    unexplained : float
        Sum of squares that no column changes.

    Returns
    -------
    ndarray of bool, shape (p,)
    """
    p = R.shape[1]
    solution, *_ = np.linalg.lstsq(R, y, rcond=_RANK)
    residual = y - R @ solution
    enough = _AS_GOOD * (residual @ residual + unexplained) + _ACCURACY**2
    enough -= unexplained
    chosen = np.full(p, False)
    if y @ y <= enough:
        return chosen
    subsets = np.zeros((1, 0), dtype=int)
    for _ in range(p):
        subsets = _extended(subsets, p)
        rss = _residuals_of(R, y, subsets)
        order = np.argsort(rss, kind="stable")[:_BEST_SUBSETS]
        subsets = subsets[order]
        if rss[order[0]] <= enough:
            break
    chosen[subsets[0]] = True
    return chosen


def _extended(subsets, p):
    """Return all different subsets (m', k + 1) of p columns with one more than some (m, k)."""
    m = len(subsets)
    every = np.tile(np.arange(p), m)
    before = np.repeat(subsets, p, axis=0)
    is_new = (before != every[:, None]).all(axis=1)
    extended = np.column_stack([before, every])[is_new]
    return np.unique(np.sort(extended, axis=1), axis=0)


def _residuals_of(R, y, subsets):
    """Return the residual sums of squares (m,) of least squares on subsets (m, k) of columns."""
    gram = R.T @ R
    products = R.T @ y
    k = subsets.shape[1]
    grams = gram[subsets[:, :, None], subsets[:, None, :]]
    # A ridge of round-off, for subsets of dependent columns.
    grams = grams + _RIDGE * np.eye(k)
    right = products[subsets]
    w = np.linalg.solve(grams, right[..., None])[..., 0]
    fitted = np.einsum("rmk,mk->mr", R[:, subsets], w)
    return np.sum((fitted - y) ** 2, axis=1)
