"""Lie algebras of affine motions, and the textbook ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.linalg import block_diag, expm

from sksym._linalg import column_indices, require_memory

SHOWN = 5  # generators in a repr
_TERMS = 8  # terms of one vector field in a name


@dataclass(frozen=True, eq=False, repr=False)
class LieAlgebra:
    """Generators of affine motions, ``x -> A_a x + b_a``.

    Parameters
    ----------
    linear : array-like of shape (r, d, d)
        The matrices ``A_a``. No generators, ``r = 0``, is legal.
    offset : array-like of shape (r, d), default=None
        The translations ``b_a``; None means zero.
    names : sequence of r str, default=None
        Names of the generators; None writes each as a vector field, ``x0 ∂1 - x1 ∂0``.

    Attributes
    ----------
    dim : int
        Number of generators, ``r``.
    n_features : int
        Dimension ``d`` of the space that is acted on.

    Examples
    --------
    >>> from sksym import so
    >>> so(3)
    LieAlgebra(dim=3, n_features=3: x0 ∂1 - x1 ∂0, x0 ∂2 - x2 ∂0, x1 ∂2 - x2 ∂1)
    """

    linear: np.ndarray
    offset: np.ndarray | None = None
    names: Sequence[str] | None = None

    def __post_init__(self):
        linear = frozen(self.linear)
        if linear.ndim != 3 or linear.shape[1] != linear.shape[2]:
            raise ValueError(
                f"`linear` must have shape (r, d, d), got {linear.shape}: "
                "stack the square matrices of the generators along the first axis."
            )
        offset = frozen(np.zeros(linear.shape[:2]) if self.offset is None else self.offset)
        if offset.shape != linear.shape[:2]:
            raise ValueError(
                f"`offset` must have shape {linear.shape[:2]} to go with `linear`, "
                f"got {offset.shape}: give one translation per generator."
            )
        for name, array in (("linear", linear), ("offset", offset)):
            bad = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
            if len(bad):
                raise ValueError(
                    f"`{name}` of generator {bad[0]} holds NaN or infinity: generators are finite."
                )
        names = self.names
        names = _field_names(linear, offset) if names is None else tuple(map(str, names))
        if len(names) != len(linear):
            raise ValueError(f"Got {len(names)} names for {len(linear)} generators.")
        object.__setattr__(self, "linear", linear)
        object.__setattr__(self, "offset", offset)
        object.__setattr__(self, "names", names)

    @property
    def dim(self):
        return self.linear.shape[0]

    @property
    def n_features(self):
        return self.linear.shape[1]

    def __deepcopy__(self, memo):
        return self  # immutable: `clone` and `get_params` share it

    def __reduce__(self):
        return type(self), (self.linear, self.offset, self.names)  # arrays stay read-only

    def __repr__(self):
        shown = ", ".join(self.names[:SHOWN]) + (", ..." if self.dim > SHOWN else "")
        return f"LieAlgebra(dim={self.dim}, n_features={self.n_features}: {shown or 'none'})"

    def __add__(self, other):
        if not isinstance(other, LieAlgebra):
            return NotImplemented
        if other.n_features != self.n_features:
            raise ValueError(
                f"Algebras on R^{self.n_features} and R^{other.n_features} cannot be added: "
                "let both act on the same space with on_columns."
            )
        return LieAlgebra(
            np.concatenate([self.linear, other.linear]),
            np.concatenate([self.offset, other.offset]),
            self.names + other.names,
        )

    def vector_field(self, X):
        """``A_a x + b_a`` at every row of `X`: shape (n, r, d)."""
        return np.einsum("aij,nj->nai", self.linear, np.asarray(X, float)) + self.offset

    def homogeneous(self):
        """Return the generators as matrices that act on ``(1, x)``, shape (r, d + 1, d + 1)."""
        matrices = np.zeros((self.dim, self.n_features + 1, self.n_features + 1))
        matrices[:, 1:, 1:] = self.linear
        matrices[:, 1:, 0] = self.offset
        return matrices

    def combine(self, C):
        """The algebra of the ``k`` combinations ``sum_a C[:, a] (A_a, b_a)``, `C` (k, r)."""
        C = np.asarray(C, float)
        if C.ndim != 2 or C.shape[1] != self.dim:
            raise ValueError(f"`C` must have shape (k, {self.dim}), got {C.shape}.")
        return LieAlgebra(np.tensordot(C, self.linear, 1), C @ self.offset)

    def exp(self, xi):
        """The finite transformation ``x -> M x + t`` reached after unit time along `xi` (r,).

        Returns
        -------
        M : ndarray of shape (d, d)
        t : ndarray of shape (d,)
        """
        xi = np.asarray(xi, float)
        if xi.shape != (self.dim,):
            raise ValueError(f"`xi` must have shape ({self.dim},), got {xi.shape}.")
        moved = expm(np.tensordot(xi, self.homogeneous(), 1))
        return moved[1:, 1:], moved[1:, 0]

    def structure_constants(self):
        """``c`` (r, r, r) with ``[M_a, M_b] = sum_c c[a, b, c] M_c``, ``M`` homogeneous.

        Raises
        ------
        ValueError
            If some bracket leaves the span of the generators.
        """
        constants, residual = self._brackets()
        if residual > 1e-8:
            raise ValueError(
                f"The span of {self!r} is not closed: a bracket leaves it by {residual:.1g} "
                "relative. Add the missing generators."
            )
        return constants

    def is_closed(self, rtol=1e-10):
        """Whether all brackets stay in the span, to `rtol` of the largest bracket."""
        return bool(self._brackets()[1] <= rtol)

    def repeat(self, k):
        """The same motion of `k` points stored side by side, on ``R^(k d)``."""
        linear = np.zeros((self.dim, k * self.n_features, k * self.n_features))
        for a, A in enumerate(self.linear):
            linear[a] = block_diag(*[A] * k)
        return LieAlgebra(linear, np.tile(self.offset, k))

    def on_columns(self, columns, n_features):
        """Let the algebra act on some columns only and leave the others alone.

        Parameters
        ----------
        columns : sequence of d int or str
            The columns to act on, in the algebra's order.
        n_features : int or sequence of str
            Number of all columns; the list of their names where `columns` holds names.
        """
        columns, n_features = column_indices(columns, n_features, self.n_features)
        linear = np.zeros((self.dim, n_features, n_features))
        linear[:, columns[:, None], columns] = self.linear
        offset = np.zeros((self.dim, n_features))
        offset[:, columns] = self.offset
        return LieAlgebra(linear, offset)

    def _brackets(self):
        """Structure constants by least squares, and the largest relative misfit."""
        require_memory(
            24.0 * self.dim**2 * (self.n_features + 1) ** 2,
            f"All brackets of {self.dim:,} generators",
            "Take the brackets of fewer generators.",
        )
        M = self.homogeneous()
        products = np.einsum("aij,bjk->abik", M, M)
        brackets = products - products.transpose(1, 0, 2, 3)
        brackets = brackets.reshape(self.dim**2, *M.shape[1:])
        brackets = flat_generators(brackets[:, 1:, 1:], brackets[:, 1:, 0])
        span = flat_generators(self.linear, self.offset)
        constants = brackets @ np.linalg.pinv(span) if self.dim else np.zeros((0, 0))
        size = np.linalg.norm(brackets, axis=1).max(initial=0) or 1.0
        misfit = np.linalg.norm(brackets - constants @ span, axis=1)
        norms = np.linalg.norm(M, axis=(1, 2))
        misfit -= 1e-14 * np.outer(norms, norms).ravel()  # round-off
        return constants.reshape((self.dim,) * 3), misfit.max(initial=0) / size


def so(d):
    """Rotations of ``R^d``: for i < j in order, ``x_i ∂_j - x_j ∂_i``."""
    return _pairs(d, lambda i, j: (1.0, -1.0))


def se(d):
    """Rigid motions of ``R^d``: rotations, then translations."""
    return so(d) + translations(d)


def translations(d):
    """Translations of ``R^d``, one along each axis."""
    return LieAlgebra(np.zeros((d, d, d)), np.eye(d))


def scaling(weights):
    """Dilations ``x_i -> exp(t w_i) x_i``, one generator per row of `weights`, (d,) or (r, d)."""
    weights = np.atleast_2d(np.asarray(weights, float))
    return LieAlgebra(weights[:, :, None] * np.eye(weights.shape[1]))


def gl(d):
    """All linear motions of ``R^d``: ``x_j ∂_i`` in row-major order of (i, j)."""
    return LieAlgebra(np.eye(d * d).reshape(d * d, d, d))


def sl(d):
    """Volume-preserving linear motions: the off-diagonal ``x_j ∂_i``, then traceless diagonals."""
    units = np.eye(d * d).reshape(d, d, d, d)
    off_diagonal = [units[i, j] for i in range(d) for j in range(d) if i != j]
    diagonal = [units[i, i] - units[i + 1, i + 1] for i in range(d - 1)]
    return LieAlgebra(np.reshape(off_diagonal + diagonal, (-1, d, d)))


def aff(d):
    """All affine motions of ``R^d``: gl(d), then translations."""
    return gl(d) + translations(d)


def sp(n_features):
    """Symplectic motions of ``(q, p)``: ``A^T J + J A = 0`` with ``J = [[0, I], [-I, 0]]``.

    ``A = J S`` with S over the symmetric units, so ``k (2k + 1)`` generators.
    """
    if n_features % 2:
        raise ValueError(f"sp acts on an even number of features, got {n_features}.")
    k = n_features // 2
    J = np.block([[np.zeros((k, k)), np.eye(k)], [-np.eye(k), np.zeros((k, k))]])
    units = np.eye(n_features)
    symmetric = [
        np.outer(units[i], units[j]) + (i != j) * np.outer(units[j], units[i])
        for i in range(n_features)
        for j in range(i, n_features)
    ]
    return LieAlgebra(J @ np.reshape(symmetric, (-1, n_features, n_features)))


def lorentz(n_space=3):
    """Lorentz motions of ``(t, x1, ..)``, metric ``diag(-1, 1, ..)``: boosts, then rotations."""
    return _pairs(1 + n_space, lambda i, j: (1.0, 1.0 if i == 0 else -1.0))


def poincare(n_space=3):
    """Isometries of space-time ``(t, x1, ..)``: Lorentz motions, then translations."""
    return lorentz(n_space) + translations(1 + n_space)


def galilei(n_space=3):
    """Galilean motions of ``(t, x1, ..)``: rotations, boosts ``t ∂_i``, translations (t first)."""
    d = 1 + n_space
    boosts = np.zeros((n_space, d, d))
    boosts[np.arange(n_space), np.arange(1, d), 0] = 1.0
    return so(n_space).on_columns(range(1, d), d) + LieAlgebra(boosts) + translations(d)


def flat_generators(linear, offset):
    """Every generator as one row of numbers, offset first: (r, d (d + 1))."""
    r, d = offset.shape
    return np.concatenate([offset[:, :, None], linear], axis=2).reshape(r, d * (d + 1))


def _pairs(d, entries):
    """One generator per pair i < j: ``entries(i, j) = (A[j, i], A[i, j])``."""
    if d < 1:
        raise ValueError(f"An algebra acts on a space of dimension 1 or more, got {d}.")
    pairs = list(combinations(range(d), 2))
    linear = np.zeros((len(pairs), d, d))
    for a, (i, j) in enumerate(pairs):
        linear[a, j, i], linear[a, i, j] = entries(i, j)
    return LieAlgebra(linear)


def frozen(array):
    """A read-only copy, of floats."""
    array = np.array(array, dtype=float)
    array.setflags(write=False)
    return array


def _field_names(linear, offset):
    r, d = offset.shape
    # Source by source, so that a rotation reads "x0 ∂1 - x1 ∂0".
    flat = flat_generators(linear, offset).reshape(r, d, d + 1).transpose(0, 2, 1)
    flat = flat.reshape(r, d * (d + 1))
    terms = [f"∂{i}" for i in range(d)] + [f"x{j} ∂{i}" for j in range(d) for i in range(d)]
    return tuple(combination(row, terms) for row in flat)


def combination(coefficients, terms):
    """``2 x0 ∂1 - x1 ∂0`` from coefficients and terms."""
    nonzero = np.flatnonzero(coefficients)
    text = ""
    for k in nonzero[:_TERMS]:
        value = coefficients[k]
        size = f"{abs(value):.4g} "
        size = "" if size == "1 " else size
        sign = ("- " if value < 0 else "+ ") if text else ("-" if value < 0 else "")
        text += f"{' ' if text else ''}{sign}{size}{terms[k]}"
    return (text or "0") + (" + ..." if len(nonzero) > _TERMS else "")
