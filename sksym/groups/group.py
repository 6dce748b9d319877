"""Who acts discretely, and both together: finite groups, and a Lie algebra with one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag

from sksym._estimator import check_count, warn
from sksym._linalg import column_indices, require_memory
from sksym.groups.lie_algebra import (
    LieAlgebra,
    checked_names,
    no_algebra,
    read_only,
    require_dimension,
    require_same_space,
)
from sksym.groups.stabilizers import StabilizerChain, signed_images
from sksym.groups.text import listed
from sksym.groups.vector_fields import UnfittedVectorFields, VectorFields

_SINGULAR = 1e12  # condition of an element with rows and columns of unit size
_TINY = 1e-300  # size that divides without overflow
_LISTED = 1000  # elements of a group that are multiplied out
_SPACE = 3  # dimensions of space
_EQUAL = 1e-9  # difference of two elements, relative to the terms of a product, that is round-off


@dataclass(frozen=True, eq=False, repr=False)
class FiniteGroup:
    """Generating elements ``x -> g x`` of a discrete group.

    Parameters
    ----------
    matrices : array-like of shape (k, d, d)
        Invertible matrices; generating elements suffice. No elements, ``k = 0``, is legal and
        means no symmetry.
    names : sequence of k str, default=None

    Attributes
    ----------
    n_elements : int
        Number k of generating elements.
    order : int or None
        Number of elements of the group that they generate, as far as it is known.
    n_features : int
        Dimension ``d`` of the space that is acted on.
    """

    matrices: np.ndarray
    names: Sequence[str] | None = None

    def __post_init__(self):
        matrices = read_only(self.matrices, "matrices")
        is_stack = matrices.ndim == 3
        if not is_stack or matrices.shape[1] != matrices.shape[2]:
            raise ValueError(
                f"`matrices` must have shape (k, d, d), got {matrices.shape}: "
                "stack the square matrices of the elements along the first axis."
            )
        require_dimension(matrices.shape[1])
        for k, g in enumerate(matrices):
            _require_invertible(g, k)
        names = self.names
        if names is None:
            names = [f"g{k}" for k in range(len(matrices))]
        names = checked_names(names, len(matrices), "elements")
        # The dataclass is frozen for everybody but its own constructor.
        object.__setattr__(self, "matrices", matrices)
        object.__setattr__(self, "names", names)

    @property
    def n_elements(self):
        return self.matrices.shape[0]

    @property
    def n_features(self):
        return self.matrices.shape[1]

    def __deepcopy__(self, memo):
        return self  # immutable: `clone` and `get_params` share it

    def __reduce__(self):
        # By the constructor, so that the array of a copy is read-only too.
        arguments = (self.matrices, self.names)
        return type(self), arguments

    def __repr__(self):
        shown = listed(self.names, nothing="no elements")
        return f"FiniteGroup({shown} on R^{self.n_features})"

    def __add__(self, other):
        if isinstance(other, FiniteGroup):
            require_same_space(self, other)
            matrices = np.concatenate([self.matrices, other.matrices])
            return FiniteGroup(matrices, self.names + other.names)
        if isinstance(other, LieAlgebra | VectorFields):
            return Group(other, self)
        return NotImplemented

    __radd__ = __add__

    @cached_property
    def order(self):
        """Number of elements of the group generated, the identity counted.

        Of any group of signed permutations, which is never listed; of others up to 1,000, beyond
        that None.
        """
        images = signed_images(self.matrices)
        if images is not None:
            return StabilizerChain(images, range(self.n_features)).order
        elements = self.closure(_LISTED)
        return None if elements is None else len(elements)

    def closure(self, most):
        """Return all elements (order, d, d) of the group generated, the identity first.

        None where there are more than `most`.
        """
        d = self.n_features
        elements = np.eye(d)[None]
        waiting = [elements[0]]
        while waiting:
            h = waiting.pop()
            for g in self.matrices:
                product = g @ h
                round_off = _EQUAL * (np.abs(g) @ np.abs(h))
                is_equal = np.abs(elements - product) <= round_off
                if is_equal.all(axis=(1, 2)).any():
                    continue
                if len(elements) == most:
                    return None
                elements = np.concatenate([elements, product[None]])
                waiting.append(product)
        return elements

    def represented_by(self, representation):
        """Return the matrices ``rho(g)`` (k, q, q) by which the elements move outputs."""
        return representation.finite(self.matrices)

    def take(self, indices):
        """Return the group of some of the elements, under their names."""
        names = [self.names[k] for k in indices]
        return FiniteGroup(self.matrices[indices], names)

    def repeat(self, k):
        """Return the same elements acting on `k` points stored side by side.

        Parameters
        ----------
        k : int

        Returns
        -------
        FiniteGroup
            On ``R^(k d)``: every point is moved by the same element.
        """
        check_count(k, "k")
        size = k * self.n_features
        _require_elements(self.n_elements, size, "Repeat the group for fewer points.")
        matrices = np.zeros((self.n_elements, size, size))
        for element, g in enumerate(self.matrices):
            copies = [g] * k
            matrices[element] = block_diag(*copies)
        return FiniteGroup(matrices, self.names)

    def on_columns(self, columns, n_features):
        """Let the group act on some columns only and leave the others alone.

        Parameters
        ----------
        columns : sequence of d int or str
            The columns to act on, in the group's order.
        n_features : int or sequence of str
            Number of all columns; the list of their names where `columns` holds names.
        """
        columns, n_columns = column_indices(columns, n_features, self.n_features)
        remedy = "Leave out columns that nothing moves."
        _require_elements(self.n_elements, n_columns, remedy)
        identity = np.eye(n_columns)
        matrices = np.tile(identity, (self.n_elements, 1, 1))
        matrices[:, columns[:, None], columns] = self.matrices
        return FiniteGroup(matrices, self.names)


@dataclass(frozen=True, eq=False, repr=False)
class Group:
    """A connected symmetry and a discrete one together, such as ``so(3) + reflections(3)``.

    Parameters
    ----------
    algebra : LieAlgebra or VectorFields
        Generators of the connected part; none, ``r = 0``, is legal.
    elements : FiniteGroup, default=None
        Generating elements of the discrete part; none is legal, and what None means.

    Attributes
    ----------
    n_features : int
        Dimension ``d`` of the space that both act on.

    Examples
    --------
    >>> from sksym import so
    >>> from sksym.groups import reflections
    >>> so(2) + reflections(2)
    Group(x0 ∂1 - x1 ∂0; -x0, -x1 on R^2)
    """

    algebra: LieAlgebra | VectorFields
    elements: FiniteGroup | None = None

    def __post_init__(self):
        if not isinstance(self.algebra, LieAlgebra | VectorFields):
            raise TypeError(f"`algebra` must be a LieAlgebra, got {self.algebra!r}.")
        elements = self.elements
        if elements is None:
            elements = no_elements(self.algebra.n_features)
        if not isinstance(elements, FiniteGroup):
            raise TypeError(f"`elements` must be a FiniteGroup, got {self.elements!r}.")
        require_same_space(self.algebra, elements)
        object.__setattr__(self, "elements", elements)

    @classmethod
    def of(cls, symmetry, name="symmetry"):
        """Return a LieAlgebra, VectorFields, FiniteGroup or Group as a Group.

        Parameters
        ----------
        symmetry : LieAlgebra, VectorFields, FiniteGroup or Group
        name : str
            Of the parameter, for messages.

        Raises
        ------
        TypeError
            If it is none of these.
        """
        if isinstance(symmetry, Group):
            return symmetry
        if isinstance(symmetry, FiniteGroup):
            return cls(no_algebra(symmetry.n_features), symmetry)
        if isinstance(symmetry, LieAlgebra | VectorFields):
            return cls(symmetry)
        raise TypeError(
            f"`{name}` must be a LieAlgebra, a FiniteGroup, a Group, or a function of the number "
            f"of features that makes one, got {symmetry!r}."
        )

    @classmethod
    def none(cls, d):
        """Return the group on ``R^d`` that contains nothing but the identity."""
        return cls(no_algebra(d))

    @property
    def n_features(self):
        return self.algebra.n_features

    @property
    def is_trivial(self):
        """Whether there is neither a generator nor an element: no symmetry."""
        return not self.algebra.dim and not self.elements.n_elements

    def __deepcopy__(self, memo):
        return self  # immutable: `clone` and `get_params` share it

    def __repr__(self):
        generators = listed(self.algebra.names, nothing="no generators")
        elements = listed(self.elements.names, nothing="no elements")
        return f"Group({generators}; {elements} on R^{self.n_features})"

    def __add__(self, other):
        if not isinstance(other, Group | FiniteGroup | LieAlgebra):
            return NotImplemented
        other = Group.of(other)
        return Group(self.algebra + other.algebra, self.elements + other.elements)

    def __radd__(self, other):
        if not isinstance(other, FiniteGroup | LieAlgebra):
            return NotImplemented
        return Group.of(other) + self

    def represented_by(self, representation):
        """Return how generators and elements move outputs.

        Returns
        -------
        B : ndarray of shape (r, q, q)
        rho : ndarray of shape (k, q, q)
        """
        B = self.algebra.represented_by(representation)
        rho = self.elements.represented_by(representation)
        return B, rho

    def repeat(self, k):
        """Return the same symmetry of `k` points stored side by side, on ``R^(k d)``."""
        return Group(self.algebra.repeat(k), self.elements.repeat(k))

    def on_columns(self, columns, n_features):
        """Let the group act on some columns only; arguments as in ``LieAlgebra.on_columns``."""
        algebra = self.algebra.on_columns(columns, n_features)
        elements = self.elements.on_columns(columns, n_features)
        return Group(algebra, elements)

    @cached_property
    def mixing(self):
        """Which coordinates the symmetry mixes: (d, d), nonzero where it does."""
        identity = np.eye(self.n_features)
        displacement = np.abs(self.elements.matrices - identity)
        speed = np.abs(self.algebra.linear)
        # Sizes are added, because entries of opposite sign would cancel.
        return identity + displacement.sum(axis=0) + speed.sum(axis=0)


def resolve(symmetry, X, name="symmetry"):
    """Return what users call a symmetry as a Group on the columns of `X` (n, d), checked.

    Parameters
    ----------
    symmetry : LieAlgebra, VectorFields, FiniteGroup, Group, callable or None
        A callable (``so``, ``permutations``) is called with d. None means no symmetry.
    X : ndarray of shape (n, d)
        Fields of a library that is not fitted are fitted to it.
    name : str
        Of the parameter, for messages.

    Returns
    -------
    Group

    Raises
    ------
    TypeError
        If `symmetry` is none of these.
    ValueError
        If it acts on another number of features.
    """
    d = X.shape[1]
    if symmetry is None:
        return Group.none(d)
    # A function may return fields of a library that is not fitted, so it is called first.
    if callable(symmetry):
        symmetry = symmetry(d)
        if name == "symmetry":  # candidates may well be too many
            _warn_of_points(symmetry, d)
    if isinstance(symmetry, UnfittedVectorFields):
        symmetry = symmetry.fitted(X)
    group = Group.of(symmetry, name)
    if group.n_features != d:
        remedy = f"build it on R^{d}"
        n_points, rest = divmod(d, group.n_features)
        if n_points and not rest:
            remedy += f", use repeat({n_points}) for {n_points} points side by side"
        raise ValueError(
            f"`{name}` acts on R^{group.n_features}, but X has {d} features: {remedy}, or name "
            f"the {group.n_features} columns it moves with on_columns."
        )
    return group


def _warn_of_points(symmetry, d):
    """Warn where a function made rotations of all d columns, which may be points of space."""
    n_points, rest = divmod(d, _SPACE)
    if rest or n_points < 2 or not isinstance(symmetry, LieAlgebra):
        return
    linear = symmetry.linear
    is_skew = not np.any(linear + linear.transpose(0, 2, 1))
    n_rotations = np.count_nonzero(linear.any(axis=(1, 2)))
    if is_skew and n_rotations == d * (d - 1) // 2:
        warn(
            f"`symmetry` rotates all {d} columns into each other, as one vector of R^{d}. For "
            f"{n_points} points of space side by side use so(3).repeat({n_points}), or "
            f"se(3).repeat({n_points}) with translations; give so({d}), not a function, where it "
            "is meant."
        )


def no_elements(d):
    """Return the finite group on ``R^d`` without elements."""
    return FiniteGroup(np.zeros((0, d, d)))


def _require_elements(k, d, remedy):
    """Refuse k elements on a space of dimension d that do not fit into memory."""
    # As they are built, as they are kept, and what the condition of one of them takes.
    n_bytes = 16.0 * (k + 2) * d * d
    require_memory(n_bytes, f"{k:,} elements on R^{d}", remedy)


def _require_invertible(g, k):
    """Raise unless element k, `g` (d, d), is finite and invertible."""
    if not np.isfinite(g).all():
        raise ValueError(f"Element {k} holds NaN or infinity: group elements are finite.")
    # Rows and columns of unit size first: elements may mix units.
    row_size = np.linalg.norm(g, axis=1, keepdims=True)
    scaled = g / np.maximum(row_size, _TINY)
    column_size = np.linalg.norm(scaled, axis=0)
    scaled = scaled / np.maximum(column_size, _TINY)
    if np.linalg.cond(scaled) > _SINGULAR:
        raise ValueError(f"Element {k} is singular: group elements are invertible.")
