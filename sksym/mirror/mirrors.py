"""Mirrors: reflections ``w -> (I - 2 O O^T) w`` of parameters that a model is to be drawn to.

A loss that is unchanged by such a reflection, with weight decay, penalises ``||O^T w||_2``, so
that ``O^T w = 0`` holds exactly unless the data insist. Which O says which structure: columns of
the identity for sparse and grouped models, differences of two of them for equal coefficients.

Every mirror here is a value with one method, ``rows(names)``: the elementary mirrors it stands
for, once the features are known.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from math import comb
from numbers import Integral

import numpy as np
from scipy import sparse

from sksym._estimator import check_number
from sksym.mirror.rows import MirrorRows, columns_of, selection, stacked
from sksym.mirror.theory import orthonormal_columns


@dataclass(frozen=True, eq=False)
class Mirror:
    """The mirror ``w -> (I - 2 O O^T) w``: penalises ``weight ||O^T w||_2``.

    Parameters
    ----------
    O : array-like or sparse array of shape (p,) or (p, k)
        What vanishes on the mirror. Columns are made orthonormal, which keeps the mirror where it
        is.
    weight : float, default=1.0

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import MirrorSparseRegressor
    >>> from sksym.mirror import Mirror
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> model = MirrorSparseRegressor(Mirror([1, 1, 1]), alpha=0.1)
    >>> model.fit(X, X[:, 0] - X[:, 1]).satisfied_
    array([ True])
    """

    O: object
    weight: float = 1.0

    def rows(self, names):
        """Elementary mirrors on features of these names."""
        O = orthonormal_columns(self.O.toarray() if sparse.issparse(self.O) else self.O)
        if len(O) != len(names):
            raise ValueError(
                f"A mirror needs one row for each of the {len(names)} features, got shape "
                f"{O.shape}."
            )
        k = np.shape(self.O)[1] if np.ndim(self.O) == 2 or sparse.issparse(self.O) else 1
        if O.shape[1] < k:
            warnings.warn(
                f"The {k} columns of a mirror are dependent: an orthonormal basis of the "
                f"{O.shape[1]} directions that they span is used.",
                UserWarning,
                stacklevel=2,
            )
        return stacked(sparse.csr_array(O.T), [O.shape[1]], self.weight, ["mirror"])


@dataclass(frozen=True, eq=False)
class Rescaling:
    """Made by `rescaling`."""

    columns: object = None
    weight: object = 1.0

    def rows(self, names):
        """Elementary mirrors on features of these names."""
        columns = _one_set(self.columns, names)
        K = selection(columns, len(names))
        ones = np.ones(len(columns), int)
        return stacked(K, ones, self.weight, [names[j] for j in columns])


@dataclass(frozen=True, eq=False)
class Groups:
    """Made by `groups`."""

    columns: object
    weight: object = None

    def rows(self, names):
        """Elementary mirrors on features of these names."""
        columns, sizes, labels = _members(self.columns, names)
        if not sizes.all():
            empty = int(np.flatnonzero(sizes == 0)[0])
            raise ValueError(f"Group {empty} is empty: a group needs one column or more.")
        weight = np.sqrt(sizes) if self.weight is None else self.weight
        return stacked(selection(columns, len(names)), sizes, weight, labels)


@dataclass(frozen=True, eq=False)
class Exchange:
    """Made by `exchange`."""

    pairs: object
    weight: object = 1.0

    def rows(self, names):
        """Elementary mirrors on features of these names."""
        if sparse.issparse(self.pairs):
            i, j, edge = _edges(self.pairs, len(names))
            weight = self.weight * edge
        else:
            i, j = _ends(self.pairs, names)
            weight = self.weight
        m = len(i)
        entries = np.tile([np.sqrt(0.5), -np.sqrt(0.5)], m)
        where = (np.repeat(np.arange(m), 2), np.column_stack([i, j]).ravel())
        K = sparse.csr_array((entries, where), shape=(m, len(names)))
        labels = [f"{names[a]} = {names[b]}" for a, b in zip(i, j, strict=True)]
        return stacked(K, np.ones(m, int), weight, labels)


@dataclass(frozen=True, eq=False)
class Trend:
    """Made by `trend`."""

    order: int = 1
    columns: object = None
    weight: object = 1.0

    def rows(self, names):
        """Elementary mirrors on features of these names."""
        columns = _one_set(self.columns, names)
        order = self.order
        if not isinstance(order, Integral) or isinstance(order, bool) or order < 1:
            raise ValueError(f"The order of a trend must be an integer >= 1, got {order!r}.")
        m = len(columns) - order
        if m < 1:
            raise ValueError(
                f"A trend of order {order} needs more than {order} columns, got {len(columns)} "
                "feature(s)."
            )
        stencil = np.array([(-1.0) ** (order - i) * comb(order, i) for i in range(order + 1)])
        size = np.linalg.norm(stencil)
        where = np.arange(m)[:, None] + np.arange(order + 1)
        row = np.repeat(np.arange(m), order + 1)
        K = sparse.csr_array(
            (np.tile(stencil / size, m), (row, columns[where].ravel())), shape=(m, len(names))
        )
        labels = [f"trend at {names[j]}" for j in columns[order // 2 :][:m]]
        return stacked(K, np.ones(m, int), np.multiply(self.weight, size), labels)


@dataclass(frozen=True, eq=False)
class SumZero:
    """Made by `sum_zero`."""

    columns: object
    weight: float = 1.0

    def rows(self, names):
        """Elementary mirrors on features of these names."""
        columns = columns_of([self.columns], names)[0]
        if not len(columns):
            raise ValueError("`sum_zero` needs one column or more, got none.")
        entries = np.full(len(columns), 1 / np.sqrt(len(columns)))
        where = (np.zeros(len(columns), int), columns)
        K = sparse.csr_array((entries, where), shape=(1, len(names)))
        label = "sum of " + _joined([names[j] for j in columns[:4]])
        return stacked(K, [1], self.weight, [label])


@dataclass(frozen=True, eq=False)
class LowRank:
    """Made by `low_rank`."""

    weight: float = 1.0

    def rows(self, names):
        """No elementary mirror: any rotation of the factors is one."""
        check_number(self.weight, "weight")
        K = sparse.csr_array((0, len(names)))
        return MirrorRows(K, np.zeros(0, int), np.zeros(0), [], float(self.weight))


def rescaling(columns=None, weight=1.0):
    """One mirror for each column: coefficients that are exactly zero, as Lasso's.

    Parameters
    ----------
    columns : sequence of int or str, default=None
        By index or name; None: all.
    weight : float or array-like, default=1.0
        One for all, or one for each.
    """
    return Rescaling(columns, weight)


def groups(columns, weight=None):
    """One mirror for each group of columns: whole groups that are exactly zero.

    Parameters
    ----------
    columns : list or dict of sequences of int or str, or array-like of p labels
        The columns of each group, by index or name, in a dict under the group's name; or the group
        of each column. Columns in no group are not penalised; groups may overlap.
    weight : float or array-like, default=None
        One for all, or one for each; None: the square roots of the groups' sizes.
    """
    return Groups(columns, weight)


def exchange(pairs, weight=1.0):
    """One mirror for each pair of columns that may change places: equal coefficients.

    The mirror of a pair is ``(e_i - e_j) / sqrt 2``, so its penalty is ``|w_i - w_j| / sqrt 2``.

    Parameters
    ----------
    pairs : sequence of pairs of int or str, or sparse array of shape (p, p)
        Edges, or an adjacency whose entries are the weights of its edges. It may be given in one
        triangle or in both, where the larger of two entries counts.
    weight : float or array-like, default=1.0
        One for all, or one for each pair; multiplies the entries of an adjacency.
    """
    return Exchange(pairs, weight)


def trend(order=1, columns=None, weight=1.0):
    """Differences of neighbouring coefficients: steps (order 1), kinks (2), and so on.

    The penalty is ``weight * sum |differences of that order|``: for order 1 the fused chain
    ``sum |w_{j+1} - w_j|``.

    Parameters
    ----------
    order : int, default=1
    columns : sequence of int or str, default=None
        The columns in their order; None: all.
    weight : float or array-like, default=1.0
    """
    return Trend(order, columns, weight)


def sum_zero(columns, weight=1.0):
    """The mirror of columns whose coefficients balance: ``|sum_j w_j| / sqrt(their number)``.

    Parameters
    ----------
    columns : sequence of int or str
    weight : float, default=1.0
    """
    return SumZero(columns, weight)


def low_rank(weight=1.0):
    """The rotations of the factors of ``W = U V^T``: the nuclear norm of all coefficients.

    Parameters
    ----------
    weight : float, default=1.0
    """
    return LowRank(weight)


def mirror_rows(mirrors, names):
    """All elementary mirrors of a mirror, of a list of them, or of None: `rescaling`.

    Those of weight zero penalise nothing and are left out.

    Raises
    ------
    TypeError, ValueError
    """
    mirrors = [Rescaling()] if mirrors is None else mirrors
    mirrors = mirrors if isinstance(mirrors, list | tuple) else [mirrors]
    if not mirrors:
        raise ValueError("`mirrors` is an empty list: give one mirror, or None for `rescaling()`.")
    for mirror in mirrors:
        if not hasattr(mirror, "rows") or isinstance(mirror, type):
            raise TypeError(
                f"`mirrors` must be mirrors of sksym.mirror, or a list of them, got {mirror!r}."
            )
    parts = [mirror.rows(names) for mirror in mirrors]
    weights = np.concatenate([part.weights for part in parts])
    whole = MirrorRows(
        sparse.csr_array(sparse.vstack([part.K for part in parts])),
        np.concatenate([part.sizes for part in parts]).astype(int),
        weights,
        [name for part in parts for name in part.names],
        sum(part.nuclear for part in parts),
    )
    on = weights > 0
    if on.all():
        return whole
    named = [name for name, counts in zip(whole.names, on, strict=True) if counts]
    return MirrorRows(whole.rows_of(on), whole.sizes[on], weights[on], named, whole.nuclear)


def _one_set(columns, names):
    """Indices of some columns, of all for None."""
    return np.arange(len(names)) if columns is None else columns_of([columns], names)[0]


def _members(columns, names):
    """Indices of the columns of all groups in a row, the groups' sizes and labels."""
    named = list(columns) if isinstance(columns, Mapping) else None
    columns = list(columns.values()) if isinstance(columns, Mapping) else list(columns)
    if not columns:
        raise ValueError("`groups` got no group: give lists of columns, or one label per column.")
    if named is None and all(np.ndim(one) == 0 for one in columns):
        if len(columns) != len(names):
            raise ValueError(
                f"Labels of groups need one for each of the {len(names)} features, got "
                f"{len(columns)}. Groups as lists of columns are a list of lists."
            )
        labels, of, sizes = np.unique(columns, return_inverse=True, return_counts=True)
        return np.argsort(of, kind="stable"), sizes, [str(label) for label in labels]
    flat, sizes = columns_of(columns, names)
    if named is not None:
        return flat, sizes, [str(name) for name in named]
    ends = np.cumsum(sizes)
    firsts = [flat[end - size : end][:4] for end, size in zip(ends, sizes, strict=True)]
    return flat, sizes, [_joined([names[j] for j in first]) for first in firsts]


def _joined(names):
    return ", ".join(names[:3]) + ", .." * (len(names) > 3)


def _ends(pairs, names):
    """Indices (m,) of the first and of the second column of each pair."""
    pairs = [tuple(pair) for pair in pairs]
    if not pairs:
        raise ValueError("`exchange` got no pair of columns.")
    if any(len(pair) != 2 for pair in pairs):
        wrong = next(pair for pair in pairs if len(pair) != 2)
        raise ValueError(f"`exchange` takes pairs of columns, got {wrong}.")
    for pair in pairs:
        if pair[0] == pair[1]:
            raise ValueError(f"A column cannot change places with itself, got the pair {pair}.")
    return columns_of(pairs, names)[0].reshape(-1, 2).T


def _edges(adjacency, p):
    """Ends and weights of the edges of a sparse adjacency."""
    if adjacency.shape != (p, p):
        raise ValueError(
            f"The adjacency must have shape ({p}, {p}), one row for each feature, got "
            f"{adjacency.shape}."
        )
    whole = sparse.csr_array(adjacency, dtype=float)
    if not (whole.data >= 0).all():
        raise ValueError(
            "The entries of an adjacency are the weights of its edges, finite and >= 0, got "
            f"{whole.data.min()}."
        )
    if not whole.data.any():
        raise ValueError("`exchange` got no pair of columns: the adjacency has no edge.")
    if whole.diagonal().any():
        at = int(np.flatnonzero(whole.diagonal())[0])
        raise ValueError(f"A column cannot change places with itself, got an edge at {at}, {at}.")
    return sparse.find(sparse.triu(whole.maximum(whole.T)))
