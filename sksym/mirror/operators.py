"""Elementary mirrors as rows of one sparse matrix, the form in which all solvers take them.

A kind of mirror is a subclass of `MirrorKind`. Its one method ``operators(names)`` returns
`MirrorOperators` once the features are known. Users add kinds of their own in the same way.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.special import comb

from sksym._estimator import check_count, check_number, warn
from sksym.mirror.columns import (
    edges_of,
    ends_of_pairs,
    groups_of,
    indices_of_sets,
    joined,
)
from sksym.mirror.theory import orthonormal_columns
from sksym.solvers import GroupNorm

_HEAVIEST = 2.0**80  # weights up to it, and from its inverse on, have products in range


@dataclass(frozen=True, eq=False)
class MirrorOperators:
    """The penalty ``sum_k weights[k] ||O_k^T W||``, the O_k^T below each other in one matrix.

    Made by `stack_mirrors`.

    Attributes
    ----------
    K : csr_array of shape (t, p)
        The ``O_k^T``, with orthonormal rows each.
    sizes : ndarray of shape (m,)
        Number of rows of each mirror, of sum t.
    weights : ndarray of shape (m,)
    names : list of m str
    nuclear : float
        Weight of the nuclear norm of all coefficients; 0 without `low_rank`.
    """

    K: sparse.csr_array
    sizes: np.ndarray
    weights: np.ndarray
    names: list
    nuclear: float = 0.0

    @property
    def is_moderate(self):
        """Whether products of weights neither overflow nor lose digits."""
        strengths = np.append(self.weights, self.nuclear)
        positive = strengths[strengths > 0]
        return bool((positive < _HEAVIEST).all() and (positive > 1 / _HEAVIEST).all())

    def selection(self, overlap, single=False):
        """Return `SelectedColumns` where K is rows of the identity, otherwise None.

        Columns that several mirrors select are blocks in the latent meaning only. With `single`
        every mirror must have one column.
        """
        if self.nuclear or (single and (self.sizes > 1).any()):
            return None
        K = self.K
        entries_per_row = np.diff(K.indptr)
        if (entries_per_row != 1).any():
            return None
        # Rows are of unit length, so that their entries are 1 or -1 up to round-off.
        if not np.allclose(np.abs(K.data), 1, atol=1e-14):
            return None
        p = K.shape[1]
        uses = np.bincount(K.indices, minlength=p)
        distinct = uses.max(initial=0) <= 1
        if not distinct and overlap == "analysis":
            return None
        free = np.flatnonzero(uses == 0)
        return SelectedColumns(K.indices, free, p, distinct)

    def norm(self, alpha, positive=False):
        """Return the penalty times `alpha` (a number, or one for each mirror) of components."""
        # Components (t, q) are K W: mirror k has a block of sizes[k] rows.
        return GroupNorm(alpha * self.weights, self.sizes, positive)

    def lengths(self, W):
        """Return ``||O_k^T W||`` (m,) for coefficients W (p, q)."""
        return self.norm(1.0).lengths(self.K @ W)

    def norms(self, W):
        """Return the lengths (m,), followed by the singular values of W with `low_rank`."""
        lengths = self.lengths(W)
        if not self.nuclear:
            return lengths
        singular_values = np.linalg.svd(W, compute_uv=False)
        return np.concatenate([lengths, singular_values])

    def labels(self, n_outputs):
        """Return a name for each entry of `norms`."""
        directions = 0
        if self.nuclear:
            directions = min(self.K.shape[1], n_outputs)
        return [*self.names, *(f"direction {i + 1}" for i in range(directions))]

    def rows_of(self, mirrors):
        """Return the rows of K of some mirrors, given as a mask (m,)."""
        return self.K[np.repeat(mirrors, self.sizes)]

    def take(self, mirrors):
        """Return some mirrors, given as a mask (m,)."""
        return MirrorOperators(
            K=self.rows_of(mirrors),
            sizes=self.sizes[mirrors],
            weights=self.weights[mirrors],
            names=[self.names[k] for k in np.flatnonzero(mirrors)],
            nuclear=self.nuclear,
        )


@dataclass(frozen=True, eq=False)
class SelectedColumns:
    """Coordinates in which mirrors of columns are blocks: the coefficients themselves.

    Attributes
    ----------
    columns : ndarray of shape (t,), int
        The columns of the mirrors, one mirror after the other.
    free : ndarray of shape (f,), int
        All other columns.
    n_features : int
    distinct : bool
        Whether no column is used twice.
    """

    columns: np.ndarray
    free: np.ndarray
    n_features: int
    distinct: bool

    ties = False

    def coefficients(self, c, z):
        """Return W (p, q) of components c (t, q) and free coefficients z (f, q)."""
        W = np.zeros((self.n_features, c.shape[1]))
        # Assignment would keep the last of several components of one column.
        if self.distinct:
            W[self.columns] = c
        else:
            np.add.at(W, self.columns, c)
        W[self.free] = z
        return W

    def components(self, W):
        """Return the components (t, q) of W (p, q), None where many give the same W."""
        return W[self.columns] if self.distinct else None


class MirrorKind(ABC):
    """A set of mirrors of the coefficients, known once the features have names."""

    @abstractmethod
    def operators(self, names):
        """Return the elementary mirrors on features of these names.

        Parameters
        ----------
        names : list of p str

        Returns
        -------
        MirrorOperators
        """


def stack_mirrors(K, weight=1.0, names=None, sizes=None):
    """Build `MirrorOperators` from rows ``O_k^T``.

    Parameters
    ----------
    K : array-like or sparse array of shape (t, p)
        Rows that vanish on the mirrors, orthonormal within each mirror.
    weight : float or array-like of shape (m,), default=1.0
        One weight for all mirrors, or one for each.
    names : list of m str, default=None
        None numbers them.
    sizes : array-like of shape (m,), default=None
        Rows of each mirror; None: every row is a mirror.

    Returns
    -------
    MirrorOperators

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or if there is neither one nor m of them.
    """
    K = sparse.csr_array(K, dtype=float)
    if sizes is None:
        sizes = np.ones(K.shape[0], int)
    m = len(sizes)
    # m mirrors; one weight stands for all of them.
    weights = np.asarray(weight)
    if weights.dtype.kind not in "iuf":
        raise ValueError(f"`weight` must be finite numbers >= 0, got {weight!r}.")
    weights = weights.astype(float)
    if weights.ndim > 1 or weights.size not in (1, m):
        raise ValueError(
            f"`weight` must be a number, or one number for each of the {m} mirrors, got shape "
            f"{weights.shape}."
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(f"`weight` must be finite and >= 0, got {weight!r}.")
    if names is None:
        names = [f"mirror {k}" for k in range(m)]
    return MirrorOperators(
        K=K,
        sizes=np.asarray(sizes, int),
        weights=np.broadcast_to(weights, m),
        names=list(names),
    )


@dataclass(frozen=True, eq=False)
class Mirror(MirrorKind):
    """The mirror ``w -> (I - 2 O O^T) w``: penalises ``weight ||O^T w||_2``.

    Parameters
    ----------
    O : array-like or sparse array of shape (p,) or (p, k)
        Spans what vanishes on the mirror. The columns are made orthonormal, which does not move
        the mirror.
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

    def operators(self, names):
        """Return one mirror with as many rows as O has independent columns."""
        spanning = self.O
        if sparse.issparse(spanning):
            spanning = spanning.toarray()
        spanning = np.asarray(spanning)
        # The penalty is the length of O^T w: it depends on the span, not on the columns given.
        O = orthonormal_columns(spanning)
        if len(O) != len(names):
            raise ValueError(
                f"A mirror needs one row for each of the {len(names)} features, got shape "
                f"{O.shape}."
            )
        n_columns = spanning.shape[1] if spanning.ndim == 2 else 1
        rank = O.shape[1]
        if rank < n_columns:
            warn(
                f"The {n_columns} columns of a mirror are dependent: an orthonormal basis of the "
                f"{rank} directions that they span is used."
            )
        return stack_mirrors(O.T, self.weight, ["mirror"], [rank])


@dataclass(frozen=True, eq=False)
class Rescaling(MirrorKind):
    """The mirrors of the lasso, made by `rescaling`."""

    columns: object = None
    weight: object = 1.0

    def operators(self, names):
        """Return one mirror for each column."""
        p = len(names)
        if self.columns is None:
            return stack_mirrors(sparse.eye_array(p, format="csr"), self.weight, names)
        columns, _ = indices_of_sets([self.columns], names)
        K = sparse.eye_array(p, format="csr")[columns]
        return stack_mirrors(K, self.weight, [names[j] for j in columns])


@dataclass(frozen=True, eq=False)
class Groups(MirrorKind):
    """The mirrors of the group lasso, made by `groups`."""

    columns: object
    weight: object = None

    def operators(self, names):
        """Return one mirror for each group, with a row for each of its columns.

        Columns that are not among the features are left out, and groups of such columns only.
        """
        columns, sizes, labels, present = groups_of(self.columns, names)
        # Under noise a group's gradient has a length proportional to the root of its size.
        weight = np.sqrt(sizes) if self.weight is None else np.asarray(self.weight)
        # One weight for each group that was given.
        if weight.shape == present.shape:
            weight = weight[present]
        K = sparse.eye_array(len(names), format="csr")[columns]
        return stack_mirrors(K, weight, labels, sizes)


@dataclass(frozen=True, eq=False)
class Exchange(MirrorKind):
    """The mirrors of fusion, made by `exchange`."""

    pairs: object
    weight: object = 1.0

    def operators(self, names):
        """Return one mirror for each pair."""
        edge = 1.0
        if sparse.issparse(self.pairs):
            first, second, edge = edges_of(self.pairs, len(names))
        else:
            first, second = ends_of_pairs(self.pairs, names)
        m = len(first)
        # Row k is (e_i - e_j) / sqrt 2 for pair k of columns i and j.
        difference = np.sqrt(0.5) * np.array([1.0, -1.0])
        entries = np.tile(difference, m)
        mirror = np.repeat(np.arange(m), 2)
        column = np.column_stack([first, second]).ravel()
        K = sparse.csr_array((entries, (mirror, column)), shape=(m, len(names)))
        pairs = zip(first, second, strict=True)
        labels = [f"{names[i]} = {names[j]}" for i, j in pairs]
        operators = stack_mirrors(K, self.weight, labels)
        return replace(operators, weights=edge * operators.weights)


@dataclass(frozen=True, eq=False)
class Trend(MirrorKind):
    """The mirrors of trend filtering, made by `trend`."""

    order: int = 1
    columns: object = None
    weight: object = 1.0

    def operators(self, names):
        """Return one mirror for each difference."""
        columns = np.arange(len(names))
        if self.columns is not None:
            columns, _ = indices_of_sets([self.columns], names)
        order = self.order
        check_count(order, "order")
        m = len(columns) - order
        if m < 1:
            raise ValueError(
                f"A trend of order {order} needs more than {order} columns, got {len(columns)} "
                "feature(s)."
            )
        # Difference i has the alternating binomial coefficients on columns i to i + order.
        i = np.arange(order + 1)
        binomials = (-1.0) ** (order - i) * comb(order, i)
        size = np.linalg.norm(binomials)
        entries = np.tile(binomials / size, m)
        mirror = np.repeat(np.arange(m), order + 1)
        windows = np.arange(m)[:, None] + i
        column = columns[windows].ravel()
        K = sparse.csr_array((entries, (mirror, column)), shape=(m, len(names)))
        centres = columns[order // 2 :][:m]
        labels = [f"trend at {names[j]}" for j in centres]
        # The rows have unit length, so that the weights carry the size of the differences.
        operators = stack_mirrors(K, self.weight, labels)
        return replace(operators, weights=size * operators.weights)


@dataclass(frozen=True, eq=False)
class SumZero(MirrorKind):
    """The mirror of coefficients that sum to zero, made by `sum_zero`."""

    columns: object
    weight: float = 1.0

    def operators(self, names):
        """Return one mirror."""
        columns, _ = indices_of_sets([self.columns], names)
        count = len(columns)
        if not count:
            raise ValueError("`sum_zero` needs one column or more, got none.")
        entries = np.full(count, 1 / np.sqrt(count))  # a row of unit length
        row = np.zeros(count, int)
        K = sparse.csr_array((entries, (row, columns)), shape=(1, len(names)))
        summed = [names[j] for j in columns]
        return stack_mirrors(K, self.weight, ["sum of " + joined(summed)])


@dataclass(frozen=True, eq=False)
class LowRank(MirrorKind):
    """The rotations that make a nuclear norm, made by `low_rank`."""

    weight: float = 1.0

    def operators(self, names):
        """Return no elementary mirror, but the weight of the nuclear norm."""
        check_number(self.weight, "weight")
        return MirrorOperators(
            K=sparse.csr_array((0, len(names))),
            sizes=np.zeros(0, int),
            weights=np.zeros(0),
            names=[],
            nuclear=float(self.weight),  # any rotation of the factors is a mirror
        )


def mirror_operators(mirrors, names):
    """Return the elementary mirrors of one kind of mirror, of a list of kinds, or of None.

    None stands for `rescaling`. Mirrors of weight zero penalise nothing and are left out.

    Parameters
    ----------
    mirrors : MirrorKind or list of them, or None
    names : list of p str
        Names of the features.

    Returns
    -------
    MirrorOperators

    Raises
    ------
    TypeError, ValueError
    """
    if mirrors is None:
        mirrors = Rescaling()
    if not isinstance(mirrors, list | tuple):
        mirrors = [mirrors]
    if not mirrors:
        raise ValueError("`mirrors` is an empty list: give one mirror, or None for `rescaling()`.")
    for mirror in mirrors:
        if not isinstance(mirror, MirrorKind):
            raise TypeError(
                "`mirrors` must be mirrors of sksym.mirror, or a list of them, got "
                f"{mirror!r}. Derive mirrors of your own from MirrorKind."
            )
    stacks = [mirror.operators(names) for mirror in mirrors]
    operators = stacks[0] if len(stacks) == 1 else _concatenated(stacks)
    # A mirror without weight would be broken always: it is not one.
    if operators.weights.all():
        return operators
    return operators.take(operators.weights > 0)


def _concatenated(stacks):
    """Return the mirrors of several `MirrorOperators` in one."""
    K = sparse.vstack([stack.K for stack in stacks])
    return MirrorOperators(
        sparse.csr_array(K),
        np.concatenate([stack.sizes for stack in stacks]),
        np.concatenate([stack.weights for stack in stacks]),
        [name for stack in stacks for name in stack.names],
        sum(stack.nuclear for stack in stacks),
    )
