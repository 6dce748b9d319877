"""Lie algebras of affine motions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag, expm, solve_triangular

from sksym._linalg import EPS, column_indices, merge_rows, require_memory, row_blocks
from sksym.groups.naming import algebra_name
from sksym.groups.text import SHOWN, linear_combination

_INDEPENDENT = 1e-3  # diagonal of a QR relative to its largest, for orthogonalising in turn


@dataclass(frozen=True, eq=False, repr=False)
class LieAlgebra:
    """Generators of affine motions, ``x -> A_a x + b_a``.

    Parameters
    ----------
    linear : array-like of shape (r, d, d)
        The matrices ``A_a``. No generators, ``r = 0``, is legal and means no symmetry.
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

    is_affine = True

    def __post_init__(self):
        linear = read_only(self.linear, "linear")
        if linear.ndim != 3 or linear.shape[1] != linear.shape[2]:
            raise ValueError(
                f"`linear` must have shape (r, d, d), got {linear.shape}: "
                "stack the square matrices of the generators along the first axis."
            )
        require_dimension(linear.shape[1])
        offset = self.offset
        if offset is None:
            offset = np.zeros(linear.shape[:2])
        offset = read_only(offset, "offset")
        if offset.shape != linear.shape[:2]:
            raise ValueError(
                f"`offset` must have shape {linear.shape[:2]} to go with `linear`, "
                f"got {offset.shape}: give one translation per generator."
            )
        _require_finite(linear, "linear")
        _require_finite(offset, "offset")
        if self.names is None:
            names = _field_names(linear, offset)
        else:
            names = tuple(map(str, self.names))
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
        shown = ", ".join(self.names[:SHOWN]) or "none"
        dots = ", ..." if self.dim > SHOWN else ""
        return f"LieAlgebra(dim={self.dim}, n_features={self.n_features}: {shown}{dots})"

    def __add__(self, other):
        if not isinstance(other, LieAlgebra):
            return NotImplemented
        require_same_space(self, other)
        return LieAlgebra(
            np.concatenate([self.linear, other.linear]),
            np.concatenate([self.offset, other.offset]),
            self.names + other.names,
        )

    def vector_field(self, X):
        """Evaluate ``A_a x + b_a`` at every row of `X`: shape (n, r, d)."""
        return np.einsum("aij,nj->nai", self.linear, np.asarray(X, float)) + self.offset

    def combine(self, C):
        """Return the algebra of the ``k`` combinations ``sum_a C[:, a] (A_a, b_a)``, `C` (k, r)."""
        C = checked_combination(C, self.dim)
        return LieAlgebra(np.tensordot(C, self.linear, 1), C @ self.offset)

    def take(self, indices):
        """Return the algebra of some of the generators, under their names."""
        names = [self.names[a] for a in indices]
        return LieAlgebra(self.linear[indices], self.offset[indices], names)

    def exp(self, xi):
        """Compute the finite transformation ``x -> M x + t`` reached after unit time along `xi`.

        Parameters
        ----------
        xi : array-like of shape (r,)
            Finite coordinates in the generators.

        Returns
        -------
        M : ndarray of shape (d, d)
        t : ndarray of shape (d,)
        """
        xi = real_array(xi, "xi")
        if xi.shape != (self.dim,):
            raise ValueError(f"`xi` must have shape ({self.dim},), got {xi.shape}.")
        if not np.isfinite(xi).all():
            raise ValueError(f"`xi` must be finite, got {xi}.")
        transformation = expm(np.tensordot(xi, self.homogeneous(), 1))
        return transformation[1:, 1:], transformation[1:, 0]

    def homogeneous(self):
        """Return the generators as (r, d + 1, d + 1) matrices that act on ``(1, x)``."""
        size = self.n_features + 1
        matrices = np.zeros((self.dim, size, size))
        matrices[:, 1:, 1:] = self.linear
        matrices[:, 1:, 0] = self.offset
        return matrices

    def flat(self):
        """Return every generator as one row of numbers, offset first: (r, d (d + 1))."""
        return flat_generators(self.linear, self.offset)

    def structure_constants(self):
        """Compute ``c`` (r, r, r) with ``[M_a, M_b] = sum_c c[a, b, c] M_c``, ``M`` homogeneous.

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
        """Tell whether all brackets stay in the span, to `rtol` of the largest bracket."""
        return bool(self._brackets()[1] <= rtol)

    def repeat(self, k):
        """Return the same motion of `k` points stored side by side, on ``R^(k d)``."""
        size = k * self.n_features
        require_memory(
            8.0 * self.dim * size**2,
            f"{self.dim:,} generators on R^{size}",
            "Repeat the algebra for fewer points.",
        )
        linear = np.zeros((self.dim, size, size))
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

    # ------------------------------------------------ what estimators ask of candidate motions

    def represented_by(self, representation):
        """Return the matrices ``B`` (r, q, q) by which the generators move outputs."""
        return representation.infinitesimal(self.linear)

    def in_units_of(self, center, half_width):
        """Return the same generators in the coordinates ``(x - center) / half_width``."""
        linear = self.linear * (half_width / half_width[:, None])
        offset = (self.linear @ center + self.offset) / half_width
        return LieAlgebra(linear, offset)

    def isomorphism_class(self):
        """Name the algebra up to isomorphism, ``so(3)`` for example."""
        return algebra_name(self)

    def mean_square(self, X, weight):
        """Compute the weighted mean over rows of ``field_a . field_b``: shape (r, r).

        The second moments of ``(1, x)`` suffice, so that the cost per row does not grow with r.
        """
        n, d = X.shape
        root = np.sqrt(weight / weight.sum())
        moments = None
        for rows in row_blocks(n, d):
            ones = root[rows, None]
            moments = merge_rows(moments, np.hstack([ones, X[rows] * ones]))
        fields = np.concatenate([self.offset[:, :, None], self.linear], axis=2)
        factor = (fields @ moments.T).reshape(self.dim, d * len(moments))
        return factor @ factor.T

    def orthonormal_coordinates(self, box, X=None):
        """Compute coordinates (k, r) of an orthonormal basis of the span of the generators.

        The inner product is ``trace(xi^T eta)`` of the homogeneous matrices in the coordinates
        of the `box` (2, d). Independent generators are orthogonalised in turn, translations
        first and those of few entries before others: so they stay sparse, and orthogonal ones
        are only rescaled.
        """
        center = box.mean(axis=0)
        half_width = (box[1] - box[0]) / 2
        flat = self.in_units_of(center, half_width).flat()
        size = np.linalg.norm(flat, axis=1)
        size[size == 0] = 1
        flat = flat / size[:, None]  # in mixed units generators differ by orders of magnitude
        gram = flat @ flat.T
        diagonal = np.diag(gram)
        if diagonal.all() and not np.count_nonzero(gram - np.diag(diagonal)):
            return np.diag(1 / size)
        few_entries_first = np.count_nonzero(flat, axis=1)
        order = np.lexsort((few_entries_first, self.linear.any(axis=(1, 2))))
        R = np.linalg.qr(flat[order].T, mode="r")
        pivots = np.abs(np.diag(R))
        if len(R) == self.dim and pivots.min(initial=1) > _INDEPENDENT * pivots.max(initial=0):
            R = R * np.sign(np.diag(R))[:, None]
            basis = np.empty_like(gram)
            basis[:, order] = solve_triangular(R, np.eye(len(R))).T
            return np.where(np.abs(basis) > EPS * len(R), basis, 0.0) / size
        # The singular values of the rows themselves: a Gram matrix would lose half of the digits.
        return orthonormal_combinations(flat.T) / size

    def _brackets(self):
        """Compute structure constants by least squares, and the largest relative misfit."""
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
        span = self.flat()
        if self.dim:
            constants = brackets @ np.linalg.pinv(span)
        else:
            constants = np.zeros((0, 0))
        largest = np.linalg.norm(brackets, axis=1).max(initial=0) or 1.0
        misfit = np.linalg.norm(brackets - constants @ span, axis=1)
        norms = np.linalg.norm(M, axis=(1, 2))
        misfit -= 1e-14 * np.outer(norms, norms).ravel()  # round-off of the products
        return constants.reshape((self.dim,) * 3), misfit.max(initial=0) / largest


def no_algebra(d):
    """Return the algebra on ``R^d`` without generators."""
    return LieAlgebra(np.zeros((0, d, d)))


def flat_generators(linear, offset):
    """Return generators (r, d, d), (r, d) as rows of numbers, offset first: (r, d (d + 1))."""
    r, d = offset.shape
    return np.concatenate([offset[:, :, None], linear], axis=2).reshape(r, d * (d + 1))


def orthonormal_combinations(columns):
    """Return rows ``C`` (k, r) for which ``columns @ C.T`` has orthonormal columns of their span.

    `columns` (m, r) have sizes of about one or zero.
    """
    _, s, Vt = np.linalg.svd(columns, full_matrices=False)
    independent = s > 1e-10 * s.max(initial=0)
    return Vt[independent] / s[independent][:, None]


def checked_combination(C, dim):
    """Return coefficients of combinations of generators as an array (k, dim)."""
    C = real_array(C, "C")
    if C.ndim != 2 or C.shape[1] != dim:
        raise ValueError(f"`C` must have shape (k, {dim}), got {C.shape}.")
    return C


def read_only(array, name):
    """Return a read-only copy as floats."""
    array = real_array(array, name).copy()
    array.setflags(write=False)
    return array


def real_array(array, name):
    """Return an array of floats; complex numbers are refused."""
    if np.iscomplexobj(array):
        raise ValueError(f"`{name}` is complex: generators, elements and coordinates are real.")
    return np.asarray(array, dtype=float)


def require_dimension(d):
    """Raise unless a space has dimension one or more."""
    if d < 1:
        raise ValueError(f"A symmetry acts on a space of dimension 1 or more, got {d}.")


def require_same_space(first, second):
    """Raise unless two symmetries act on the same space."""
    if first.n_features != second.n_features:
        raise ValueError(
            f"Symmetries of R^{first.n_features} and R^{second.n_features} cannot be added: "
            "let both act on the same space with on_columns."
        )


def _require_finite(generators, name):
    axes = tuple(range(1, generators.ndim))
    infinite = np.flatnonzero(~np.isfinite(generators).all(axis=axes))
    if len(infinite):
        raise ValueError(
            f"`{name}` of generator {infinite[0]} holds NaN or infinity: generators are finite."
        )


def _field_names(linear, offset):
    """Write generators as vector fields, source by source: a rotation reads "x0 ∂1 - x1 ∂0"."""
    r, d = offset.shape
    by_source = np.concatenate([offset[:, None], linear.transpose(0, 2, 1)], axis=1)
    terms = [f"∂{i}" for i in range(d)]
    terms += [f"x{j} ∂{i}" for j in range(d) for i in range(d)]
    return tuple(linear_combination(row, terms) for row in by_source.reshape(r, d * (d + 1)))
