"""Mirrors: reflections ``w -> (I - 2 O O^T) w`` of the parameters of a model.

A loss that is unchanged by such a reflection, with weight decay, penalises ``||O^T w||_2``, so
that ``O^T w = 0`` holds exactly unless the data contradict it. The choice of O is the choice of
structure: columns of the identity make sparse and grouped models, differences of two of them make
coefficients equal.

The functions below make the kinds of mirrors that are used most; `Mirror` takes any O. What they
mean for features of given names is defined in `operators`.
"""

from sksym.mirror.columns import BeforeLast
from sksym.mirror.operators import Exchange, Groups, LowRank, Rescaling, SumZero, Trend


def rescaling(columns=None, weight=1.0):
    """Make the mirrors of the lasso, one for each column: coefficients that are exactly zero.

    The penalty is ``sum_j weight_j |w_j|``.

    Parameters
    ----------
    columns : sequence of int or str, default=None
        By index or by name; None: all.
    weight : float or array-like of shape (m,), default=1.0
        One weight for all columns, or one for each.

    Returns
    -------
    MirrorKind
    """
    return Rescaling(columns, weight)


def groups(columns=None, weight=None, *, prefix=None):
    """Make the mirrors of the group lasso: whole groups of coefficients that are exactly zero.

    The penalty is ``sum_g weight_g ||w_g||_2``, w_g the coefficients of group g.

    Columns that are given by name and are not among the features are left out, and so are groups of
    such columns only: a level that a OneHotEncoder has not seen in some folds is no error there.

    Parameters
    ----------
    columns : list or dict of sequences of int or str, array-like of p labels, dict or callable
        The columns of each group, by index or by name, in a dict under the name of the group; or
        the group of each column, in a dict under the name of the column; or a function that gives
        the group of a column for its name. Columns in no group are not penalised; groups may
        overlap.
    weight : float or array-like of shape (m,), default=None
        One weight for all groups, or one for each; None: the square roots of their sizes.
    prefix : str, default=None
        A separator, in place of `columns`: features whose names agree before the last separator are
        one group, and those without it stand alone. ``prefix="_"`` makes a group of every column
        that a OneHotEncoder has expanded.

    Returns
    -------
    MirrorKind

    Examples
    --------
    >>> import pandas as pd
    >>> from sksym import MirrorSparseRegressor
    >>> from sksym.mirror import groups
    >>> X = pd.DataFrame({"age": [3, 1, 2, 5], "pet_cat": [0, 1, 1, 0], "pet_dog": [1, 0, 0, 1]})
    >>> MirrorSparseRegressor(groups(prefix="_")).fit(X, [1, 2, 2, 1]).mirror_names_
    ['age', 'pet']
    """
    if (columns is None) == (prefix is None):
        raise ValueError(
            f"`groups` takes either columns or a prefix, got columns={columns!r} and "
            f"prefix={prefix!r}."
        )
    if prefix is not None:
        if not isinstance(prefix, str) or not prefix:
            raise ValueError(f'`prefix` must be a separator such as "_", got {prefix!r}.')
        columns = BeforeLast(prefix)
    return Groups(columns, weight)


def exchange(pairs, weight=1.0):
    """Make the mirrors of fusion, one for each pair of columns: coefficients that are equal.

    The mirror of a pair is ``(e_i - e_j) / sqrt 2``: the loss is unchanged when both columns change
    places. Its penalty is ``weight |w_i - w_j| / sqrt 2``.

    Parameters
    ----------
    pairs : sequence of pairs of int or str, or sparse array of shape (p, p)
        Edges, or an adjacency whose entries are the weights of its edges. It may be given in one
        triangle or in both, where the larger of two entries counts.
    weight : float or array-like of shape (m,), default=1.0
        One weight for all pairs, or one for each; multiplies the entries of an adjacency.

    Returns
    -------
    MirrorKind
    """
    return Exchange(pairs, weight)


def trend(order=1, columns=None, weight=1.0):
    """Make the mirrors of trend filtering: steps (order 1), lines with kinks (2), and so on.

    The penalty is ``weight * sum |differences of that order|``: for order 1 the fused chain
    ``sum |w_{j+1} - w_j|``.

    Parameters
    ----------
    order : int, default=1
    columns : sequence of int or str, default=None
        The columns in their order; None: all.
    weight : float or array-like of shape (m,), default=1.0
        One weight for all differences, or one for each.

    Returns
    -------
    MirrorKind
    """
    return Trend(order, columns, weight)


def sum_zero(columns, weight=1.0):
    """Make the mirror of columns whose coefficients balance: a sum that is exactly zero.

    The penalty is ``weight |sum_j w_j| / sqrt m`` for m columns.

    Parameters
    ----------
    columns : sequence of int or str
    weight : float, default=1.0

    Returns
    -------
    MirrorKind
    """
    return SumZero(columns, weight)


def low_rank(weight=1.0):
    """Make the penalty of low rank, the nuclear norm of all coefficients.

    Its mirrors are the rotations of the factors of ``W = U V^T``.

    Parameters
    ----------
    weight : float, default=1.0

    Returns
    -------
    MirrorKind
    """
    return LowRank(weight)
