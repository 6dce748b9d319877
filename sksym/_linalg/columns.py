"""Columns by number or by name."""

from numbers import Integral, Real

import numpy as np


def column_indices(columns, n_features, expected):
    """Return validated integer columns, and the number of all columns.

    Parameters
    ----------
    columns : sequence of int or str
    n_features : int or sequence of str
        Number of all columns, or their names where `columns` holds names.
    expected : int or None
        Dimension of the space that a group acts on; None: any but zero.

    Returns
    -------
    indices : ndarray of shape (c,) of int
    n_columns : int

    Raises
    ------
    ValueError
        If columns repeat, do not exist, or are not as many as `expected`.
    """
    columns = list(columns)
    if expected is None and not columns:
        raise ValueError("`columns` is empty: name one column or more, or give None for all.")
    has_names = any(isinstance(column, str) for column in columns)
    if has_names:
        columns = _positions(columns, n_features)
    total = n_features if np.ndim(n_features) == 0 else len(n_features)
    if not isinstance(total, Integral) or isinstance(total, bool):
        raise ValueError(f"`n_features` must be an integer or a list of names, got {n_features!r}.")
    if expected is not None and len(columns) != expected:
        raise ValueError(f"The group acts on R^{expected}, got {len(columns)} columns.")
    if not _are_indices(columns, total):
        raise ValueError(f"`columns` must be distinct and in 0..{total - 1}, got {columns}.")
    return np.array(columns, dtype=int), total


def _are_indices(columns, total):
    """Return whether columns exist and are distinct."""
    for column in columns:
        if not isinstance(column, Real) or isinstance(column, bool | np.bool_):
            return False
        # Whole floats are accepted, as in arrays of indices that were read from a file.
        if not 0 <= column < total or column != int(column):
            return False
    return len(set(columns)) == len(columns)


def _positions(columns, names):
    """Return the positions of columns that are given by name among all `names`."""
    if np.ndim(names) == 0:
        raise ValueError(
            "Columns given by name need the names of all columns: pass that list as `n_features`."
        )
    names = list(names)
    missing = [column for column in columns if column not in names]
    if missing:
        raise ValueError(f"Columns {missing} are not among {names}.")
    positions = []
    for column in columns:
        position = names.index(column)
        positions.append(position)
    return positions
