"""Columns as users give them, by index or by name: sets, groups, pairs and adjacencies."""

from collections.abc import Mapping

import numpy as np
from scipy import sparse


def indices_of_sets(sets, names):
    """Return the indices of the columns of several sets.

    Parameters
    ----------
    sets : list of sequences of int or str
    names : list of p str

    Returns
    -------
    columns : ndarray of shape (t,), int
        The sets one after the other.
    sizes : ndarray of shape (m,), int

    Raises
    ------
    TypeError, ValueError
    """
    sets = [_array(columns) for columns in sets]
    sizes = np.array([len(columns) for columns in sets])
    # An empty array has the type float, which the concatenation would take on.
    given = [columns for columns in sets if len(columns)]
    columns = np.concatenate(given) if given else np.zeros(0, int)
    if columns.dtype.kind in "UO":
        columns = _indices_of_names(columns, names)
    if columns.dtype.kind not in "iu":
        raise TypeError(f"Columns must be given by index or by name, got {_first_few(columns)}.")
    columns = columns.astype(int)  # from unsigned integers, whose differences wrap around
    p = len(names)
    outside = (columns < 0) | (columns >= p)
    if outside.any():
        wrong = _first_few(columns[outside])
        raise ValueError(f"Columns must be in 0..{p - 1}, got {wrong}.")
    # Equal columns of one set have equal keys, those of different sets different ones.
    set_of_column = np.repeat(np.arange(len(sets)), sizes)
    keys = p * set_of_column + columns
    if len(np.unique(keys)) < len(keys):
        for members in np.split(columns, np.cumsum(sizes)):
            if len(set(members)) < len(members):
                raise ValueError(f"Columns must be distinct, got {_first_few(members)}.")
    return columns, sizes


def _array(columns):
    """Return an array of names and numbers as they are: numpy would make strings of both."""
    if isinstance(columns, np.ndarray):
        return columns
    columns = list(columns)
    if any(isinstance(column, str) for column in columns):
        return np.array(columns, dtype=object)
    return np.array(columns)


def _indices_of_names(columns, names):
    """Replace names (t,) by indices; indices among them stay."""
    index_of = {name: j for j, name in enumerate(names)}
    given = {str(column) for column in columns if isinstance(column, str)}
    missing = sorted(given.difference(names))
    if missing:
        known = _first_few(names)
        raise ValueError(f"Columns {missing[:5]} are not among the features {known}.")
    return np.array([index_of.get(column, column) for column in columns])


def groups_of(columns, names):
    """Return columns, sizes and labels of groups given as sets, as a dict, or as labels (p,).

    Returns
    -------
    columns : ndarray of shape (t,), int
    sizes : ndarray of shape (m,), int
    labels : list of m str
    """
    labels = None
    if isinstance(columns, Mapping):
        labels = [str(name) for name in columns]
        columns = columns.values()
    columns = list(columns)
    if not columns:
        raise ValueError("`groups` got no group: give lists of columns, or one label per column.")
    has_sets = any(np.ndim(entry) > 0 for entry in columns)
    if labels is None and not has_sets:
        return _groups_of_labels(columns, names)
    flat, sizes = indices_of_sets(columns, names)
    if labels is None:
        labels = []
        for end, size in zip(np.cumsum(sizes), sizes, strict=True):
            members = [names[j] for j in flat[end - size : end]]
            labels.append(joined(members))
    return flat, sizes, labels


def _groups_of_labels(label_of_column, names):
    """Return columns, sizes and labels of groups given by the label (p,) of each column."""
    if len(label_of_column) != len(names):
        raise ValueError(
            f"Labels of groups need one for each of the {len(names)} features, got "
            f"{len(label_of_column)}. Groups as lists of columns are a list of lists."
        )
    # A stable sort keeps the columns of each group in their order.
    labels, group, sizes = np.unique(label_of_column, return_inverse=True, return_counts=True)
    columns = np.argsort(group, kind="stable")
    return columns, sizes, [str(label) for label in labels]


def ends_of_pairs(pairs, names):
    """Return the indices (m,) of the first and of the second column of each pair."""
    pairs = [tuple(pair) for pair in pairs]
    if not pairs:
        raise ValueError("`exchange` got no pair of columns.")
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError(f"`exchange` takes pairs of columns, got {pair}.")
        if pair[0] == pair[1]:
            raise ValueError(f"A column cannot change places with itself, got the pair {pair}.")
    columns, _ = indices_of_sets(pairs, names)
    return columns.reshape(-1, 2).T


def edges_of(adjacency, p):
    """Return both ends (m,) and the weights (m,) of the edges of a sparse adjacency (p, p)."""
    if adjacency.shape != (p, p):
        raise ValueError(
            f"The adjacency must have shape ({p}, {p}), one row for each feature, got "
            f"{adjacency.shape}."
        )
    adjacency = sparse.csr_array(adjacency, dtype=float)
    if not (adjacency.data >= 0).all():  # NaN too
        raise ValueError(
            "The entries of an adjacency are the weights of its edges, finite and >= 0, got "
            f"{adjacency.data.min()}."
        )
    if not adjacency.data.any():
        raise ValueError("`exchange` got no pair of columns: the adjacency has no edge.")
    loops = np.flatnonzero(adjacency.diagonal())
    if loops.size:
        loop = int(loops[0])
        raise ValueError(
            f"A column cannot change places with itself, got an edge at {loop}, {loop}."
        )
    # Edges may be given in one triangle or in both: each is taken once.
    symmetric = adjacency.maximum(adjacency.T)
    return sparse.find(sparse.triu(symmetric))


def joined(names):
    """Return the first three names in one string."""
    text = ", ".join(names[:3])
    if len(names) > 3:
        text += ", .."
    return text


def _first_few(values):
    """Return up to five values as text."""
    first = np.array(values[:5], dtype=object)
    shown = first.tolist()
    text = f"{shown}"
    if len(shown) == 5:
        text = text[:-1] + ", ..]"
    return text
