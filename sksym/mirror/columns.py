"""Columns as users give them, by index or by name: sets, groups, pairs and adjacencies."""

from collections.abc import Mapping
from dataclasses import dataclass

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
    if any(isinstance(column, bool | np.bool_) or np.ndim(column) for column in columns):
        raise TypeError(f"Columns must be given by index or by name, got {columns[:5]}.")
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


@dataclass(frozen=True)
class BeforeLast:
    """The label of a column by its name: what comes before the last separator.

    Parameters
    ----------
    separator : str
    """

    separator: str

    def __call__(self, name):
        """Return the label; a name without the separator has one that no other name has."""
        head, separator, _ = name.rpartition(self.separator)
        return (head,) if separator else name


def groups_of(columns, names):
    """Return columns, sizes and labels of groups, without columns that are not among the features.

    Parameters
    ----------
    columns : list or dict of sets, p labels, dict of labels by name, or callable
        As in `sksym.mirror.groups`.
    names : list of p str

    Returns
    -------
    columns : ndarray of shape (t,), int
    sizes : ndarray of shape (m,), int
    labels : list of m str
    present : ndarray of bool
        Which of the groups given are these m.
    """
    if callable(columns):
        return _groups_of_labels([columns(name) for name in names], names)
    labels = None
    if isinstance(columns, Mapping):
        if columns and not any(map(_is_set, columns.values())):
            return _groups_of_named_labels(columns, names)
        labels = [str(name) for name in columns]
        columns = columns.values()
    columns = list(columns)
    if not columns:
        raise ValueError("`groups` got no group: give lists of columns, or one label per column.")
    if labels is not None or any(map(_is_set, columns)):
        return _groups_of_sets(columns, labels, names)
    if len(columns) != len(names):
        raise ValueError(
            f"Labels of groups need one for each of the {len(names)} features, got "
            f"{len(columns)}. Groups as lists of columns are a list of lists; labels of columns "
            "that may be missing are a dict by name."
        )
    return _groups_of_labels(columns, names)


def _groups_of_sets(sets, labels, names):
    """Return what `groups_of` does, for sets of columns and their labels, None for their names."""
    sets = list(map(_array, sets))
    given = np.array(list(map(len, sets)))
    # Not to be mistaken for groups of features that are missing.
    if not given.all():
        empty = int(np.flatnonzero(given == 0)[0])
        raise ValueError(f"Group {empty} is empty: a group needs one column or more.")
    known = [_present(columns, names) for columns in sets]
    is_present = np.array([len(columns) > 0 for columns in known])
    if not is_present.any():
        raise _no_columns_left(np.concatenate(sets), names)
    present = np.flatnonzero(is_present)
    flat, sizes = indices_of_sets([known[k] for k in present], names)
    if labels is not None:
        return flat, sizes, [labels[k] for k in present], is_present
    members = np.split(flat, np.cumsum(sizes)[:-1])
    labels = [joined([names[j] for j in columns]) for columns in members]
    return flat, sizes, labels, is_present


def _is_set(entry):
    """Tell a set of columns from a label."""
    return np.ndim(entry) > 0


def _present(columns, names):
    """Return columns (t,) without the names that no feature has."""
    known = set(names)
    is_present = [not isinstance(column, str) or column in known for column in columns]
    return columns[np.array(is_present, bool)]


def _no_columns_left(columns, names):
    """Return the error that none of some columns is a feature."""
    return ValueError(
        f"None of the columns {_first_few(columns)} of `groups` is among the features "
        f'{_first_few(names)}: give names of features, with set_output(transform="pandas") for '
        "the transformers before."
    )


def _groups_of_named_labels(label_of_name, names):
    """Return what `groups_of` does, for labels by the name of their column."""
    present = [name for name in names if name in label_of_name]
    if not present:
        raise _no_columns_left(np.array(list(label_of_name), dtype=object), names)
    labels = [label_of_name[name] for name in present]
    columns, sizes, labels, is_present = _groups_of_labels(labels, present)
    index_of = {name: j for j, name in enumerate(names)}
    places = np.array([index_of[name] for name in present])
    return places[columns], sizes, labels, is_present


def _groups_of_labels(label_of_column, names):
    """Return what `groups_of` does, for the label (p,) of each column."""
    for label, name in zip(label_of_column, names, strict=True):
        _check_label(label, name)
    # Groups in the order of their labels, or of their first columns where these have no order.
    try:
        order = sorted(set(label_of_column))
    except TypeError:
        order = list(dict.fromkeys(label_of_column))
    number_of = {label: k for k, label in enumerate(order)}
    group = np.array([number_of[label] for label in label_of_column], dtype=int)
    # A stable sort keeps the columns of each group in their order.
    columns = np.argsort(group, kind="stable")
    sizes = np.bincount(group, minlength=len(order))
    labels = [str(*label) if isinstance(label, tuple) else str(label) for label in order]
    return columns, sizes, labels, np.ones(len(order), bool)


def _check_label(label, name):
    """Raise unless a label names a group."""
    # NaN differs from itself; pandas' NA compares to NA, which has no truth value.
    try:
        is_missing = label is None or bool(label != label)
        is_missing = is_missing or (not isinstance(label, str) and bool(label == -1))
        hash(label)
    except TypeError:
        is_missing = True
    if is_missing:
        raise ValueError(
            f"Labels of groups must be names or numbers >= 0, got {label!r} for column {name!r}, "
            "which marks a missing group elsewhere: give the column a label of its own, or leave "
            "it out of groups that are lists of columns."
        )


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
