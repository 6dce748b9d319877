"""Columns by number or by name."""

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
    """
    columns = list(columns)
    if expected is None and not columns:
        raise ValueError("`columns` is empty: name one column or more, or give None for all.")
    if any(isinstance(column, str) for column in columns):
        columns = _positions(columns, n_features)
    total = int(n_features) if np.ndim(n_features) == 0 else len(n_features)
    if expected is not None and len(columns) != expected:
        raise ValueError(f"The group acts on R^{expected}, got {len(columns)} columns.")
    distinct = len(set(columns)) == len(columns)
    if not distinct or not all(c == int(c) and 0 <= c < total for c in columns):
        raise ValueError(f"`columns` must be distinct and in 0..{total - 1}, got {columns}.")
    return np.array(columns, dtype=int), total


def _positions(columns, names):
    if np.ndim(names) == 0:
        raise ValueError(
            "Columns given by name need the names of all columns: pass that list as `n_features`."
        )
    names = list(names)
    missing = [column for column in columns if column not in names]
    if missing:
        raise ValueError(f"Columns {missing} are not among {names}.")
    return [names.index(column) for column in columns]
