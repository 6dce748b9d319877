"""Lie algebras of affine motions.

Index legend: a, b, c generators (r of them), i, j coordinates (d of them), n samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag, expm, solve_triangular

from sksym._estimator import check_count, is_integer
from sksym._linalg import EPS, column_indices, merge_rows, require_memory, row_blocks
from sksym.groups.naming import algebra_name
from sksym.groups.text import linear_combination, listed

_INDEPENDENT = 1e-3  # diagonal of a QR relative to its largest, for orthogonalising in turn
_NOT_CLOSED = 1e-8  # relative distance of a bracket from the span
_COPIES = 40.0  # bytes for each entry of new generators: five arrays, measured
_ROUND_OFF = 1e-14  # of a product of two matrices, relative to their norms


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
        is_stack = linear.ndim == 3
        if not is_stack or linear.shape[1] != linear.shape[2]:
            raise ValueError(
                f"`linear` must have shape (r, d, d), got {linear.shape}: "
                "stack the square matrices of the generators along the first axis."
            )
        require_dimension(linear.shape[1])
        r, d, _ = linear.shape
        offset = self.offset
        if offset is None:
            offset = np.zeros((r, d))
        offset = read_only(offset, "offset")
        if offset.shape != (r, d):
            raise ValueError(
                f"`offset` must have shape {(r, d)} to go with `linear`, "
                f"got {offset.shape}: give one translation per generator."
            )
        _require_finite(linear, "linear")
        _require_finite(offset, "offset")
        names = self.names
        if names is None:
            names = _field_names(linear, offset)
        names = checked_names(names, r, "generators")
        # The dataclass is frozen for everybody but its own constructor.
        object.__setattr__(self, "linear", linear)
        object.__setattr__(self, "offset", offset)
        object.__setattr__(self, "names", names)

    @property
    def dim(self):
        """Number of generators, r."""
        return self.linear.shape[0]

    @property
    def n_features(self):
        """Dimension d of the space that is acted on."""
        return self.linear.shape[1]

    def __deepcopy__(self, memo):
        return self  # immutable: `clone` and `get_params` share it

    def __reduce__(self):
        # By the constructor, so that the arrays of a copy are read-only too.
        arguments = (self.linear, self.offset, self.names)
        return type(self), arguments

    def __repr__(self):
        shown = listed(self.names)
        return f"LieAlgebra(dim={self.dim}, n_features={self.n_features}: {shown})"

    def __add__(self, other):
        if not isinstance(other, LieAlgebra):
            return NotImplemented  # a finite group knows how to be added
        require_same_space(self, other)
        return LieAlgebra(
            np.concatenate([self.linear, other.linear]),
            np.concatenate([self.offset, other.offset]),
            self.names + other.names,
        )

    def vector_field(self, X):
        """Evaluate ``A_a x + b_a`` at every row of `X` (n, d): shape (n, r, d)."""
        X = np.asarray(X, float)
        linear_part = np.einsum("aij,nj->nai", self.linear, X)
        return linear_part + self.offset

    def combine(self, C):
        """Return the algebra of the ``k`` combinations ``sum_a C[:, a] (A_a, b_a)``, `C` (k, r)."""
        C = checked_combination(C, self.dim)
        # The new algebra refuses generators that are not finite.
        with np.errstate(invalid="ignore"):
            linear = np.tensordot(C, self.linear, 1)
            offset = C @ self.offset
        return LieAlgebra(linear, offset)

    def take(self, indices):
        """Return the algebra of some of the generators, under their names.

        Parameters
        ----------
        indices : sequence of int
        """
        return LieAlgebra(
            self.linear[indices],
            self.offset[indices],
            [self.names[a] for a in indices],
        )

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
        # In homogeneous coordinates (1, x) an affine motion is linear.
        generator = np.tensordot(xi, self.homogeneous(), 1)
        with np.errstate(all="ignore"):
            transformation = expm(generator)
        if not np.isfinite(transformation).all():
            raise ValueError(
                f"The transformation reached along `xi` = {xi} overflows: take a shorter one."
            )
        M = transformation[1:, 1:]
        t = transformation[1:, 0]
        return M, t

    def homogeneous(self):
        """Return the generators as (r, d + 1, d + 1) matrices that act on ``(1, x)``."""
        size = self.n_features + 1
        shape = (self.dim, size, size)
        matrices = np.zeros(shape)
        matrices[:, 1:, 1:] = self.linear
        matrices[:, 1:, 0] = self.offset
        return matrices

    def flat(self):
        """Return every generator as one row of numbers, offset first: (r, d (d + 1))."""
        return flat_generators(self.linear, self.offset)

    def structure_constants(self):
        """Compute ``c`` with ``[M_a, M_b] = sum_c c[a, b, c] M_c``, ``M`` homogeneous matrices.

        Returns
        -------
        ndarray of shape (r, r, r)

        Raises
        ------
        ValueError
            If some bracket leaves the span of the generators.
        """
        constants, residual = self._brackets()
        if residual > _NOT_CLOSED:
            raise ValueError(
                f"The span of {self!r} is not closed: a bracket leaves it by {residual:.1g} "
                "relative. Add the missing generators."
            )
        return constants

    def is_closed(self, rtol=1e-10):
        """Tell whether all brackets stay in the span, to `rtol` of the largest bracket."""
        return bool(self._misfit <= rtol)

    @cached_property
    def _misfit(self):
        """The largest relative misfit of the brackets, which is asked for again and again."""
        _, misfit = self._brackets()
        return misfit

    def repeat(self, k):
        """Return the same motion of `k` points stored side by side.

        Parameters
        ----------
        k : int

        Returns
        -------
        LieAlgebra
            On ``R^(k d)``: every point is moved by the same generator.
        """
        check_count(k, "k")
        r = self.dim
        size = k * self.n_features
        require_memory(
            _COPIES * r * size**2,
            f"{r:,} generators on R^{size}",
            "Repeat the algebra for fewer points.",
        )
        linear = np.zeros((r, size, size))
        for a, A in enumerate(self.linear):
            copies = [A] * k
            linear[a] = block_diag(*copies)
        offset = np.tile(self.offset, k)
        return LieAlgebra(linear, offset)

    def on_columns(self, columns, n_features):
        """Let the algebra act on some columns only and leave the others alone.

        Parameters
        ----------
        columns : sequence of d int or str
            The columns to act on, in the algebra's order.
        n_features : int or sequence of str
            Number of all columns; the list of their names where `columns` holds names.

        Returns
        -------
        LieAlgebra
            On ``R^n_features``.
        """
        columns, d = column_indices(columns, n_features, self.n_features)
        r = self.dim
        require_memory(
            _COPIES * r * d**2,
            f"{r:,} generators on R^{d}",
            "Leave out columns that nothing moves.",
        )
        linear = np.zeros((r, d, d))
        linear[:, columns[:, None], columns] = self.linear
        offset = np.zeros((r, d))
        offset[:, columns] = self.offset
        return LieAlgebra(linear, offset)

    # ------------------------------------------------ what estimators ask of candidate motions

    def represented_by(self, representation):
        """Return the matrices ``B`` (r, q, q) by which the generators move outputs."""
        return representation.infinitesimal(self.linear)

    def in_units_of(self, center, half_width):
        """Return the same generators in the coordinates ``(x - center) / half_width``.

        Parameters
        ----------
        center, half_width : ndarray of shape (d,)
        """
        unit = half_width / half_width[:, None]
        at_center = self.linear @ center + self.offset
        return LieAlgebra(
            self.linear * unit,
            at_center / half_width,
        )

    def isomorphism_class(self):
        """Name the algebra up to isomorphism, ``so(3)`` for example."""
        return algebra_name(self)

    def mean_square(self, X, weight):
        """Compute the weighted mean over rows of ``field_a . field_b``: shape (r, r).

        The second moments of ``(1, x)`` suffice, so that the cost per row does not grow with r.

        Parameters
        ----------
        X : ndarray of shape (n, d)
        weight : ndarray of shape (n,)
        """
        n, d = X.shape
        fraction = weight / weight.sum()
        sqrt_weight = np.sqrt(fraction)
        # moments: triangular factor of the weighted rows (1, x)
        moments = None
        for rows in row_blocks(n, d):
            ones = sqrt_weight[rows, None]
            block = np.hstack([ones, X[rows] * ones])
            moments = merge_rows(moments, block)
        fields = np.concatenate(
            [self.offset[:, :, None], self.linear],
            axis=2,
        )
        factor = fields @ moments.T
        factor = factor.reshape(self.dim, d * len(moments))
        return factor @ factor.T

    def orthonormal_coordinates(self, box, X=None):
        """Compute coordinates (k, r) of an orthonormal basis of the span of the generators.

        The inner product is ``trace(xi^T eta)`` of the homogeneous matrices in the coordinates
        of the `box` (2, d) (Otto et al. 2025, remark 15). Independent generators are
        orthogonalised in turn, translations first and those of few entries before others: so they
        stay sparse, and orthogonal ones are only rescaled.

        Parameters
        ----------
        box : ndarray of shape (2, d)
        X : ignored
            `VectorFields` need it.

        Returns
        -------
        ndarray of shape (k, r)
            k < r where generators depend on each other.
        """
        low, high = box
        in_box = self.in_units_of(box.mean(axis=0), (high - low) / 2)
        flat = in_box.flat()
        # In mixed units generators differ by orders of magnitude.
        size = np.linalg.norm(flat, axis=1)
        size[size == 0] = 1
        flat = flat / size[:, None]
        gram = flat @ flat.T
        diagonal = np.diag(gram)
        off_diagonal = gram - np.diag(diagonal)
        if diagonal.all() and not off_diagonal.any():
            return np.diag(1 / size)
        is_linear = self.linear.any(axis=(1, 2))
        n_entries = np.count_nonzero(flat, axis=1)
        order = np.lexsort((n_entries, is_linear))
        R = np.linalg.qr(flat[order].T, mode="r")
        pivots = np.diag(R)
        size_of_pivots = np.abs(pivots)
        least_pivot = _INDEPENDENT * size_of_pivots.max(initial=0)
        is_independent = len(R) == self.dim and size_of_pivots.min(initial=1) > least_pivot
        if not is_independent:
            # Singular values of the rows themselves: a Gram matrix would lose half of the digits.
            return orthonormal_combinations(flat.T) / size
        # Gram and Schmidt, with positive coefficients of the generators themselves.
        R = R * np.sign(pivots)[:, None]
        identity = np.eye(len(R))
        basis = np.empty_like(gram)
        basis[:, order] = solve_triangular(R, identity).T
        is_round_off = np.abs(basis) <= EPS * len(R)
        basis[is_round_off] = 0.0
        return basis / size

    def _brackets(self):
        """Compute structure constants by least squares, and the largest relative misfit.

        Returns
        -------
        constants : ndarray of shape (r, r, r)
        misfit : float
            By which a bracket leaves the span, relative to the largest bracket.
        """
        require_memory(
            24.0 * self.dim**2 * (self.n_features + 1) ** 2,
            f"All brackets of {self.dim:,} generators",
            "Take the brackets of fewer generators.",
        )
        M = self.homogeneous()
        products = np.einsum("aij,bjk->abik", M, M)
        brackets = products - products.transpose(1, 0, 2, 3)
        # One row (a, b) for each pair.
        r = self.dim
        size = self.n_features + 1
        brackets = brackets.reshape(r * r, size, size)
        brackets = flat_generators(
            brackets[:, 1:, 1:],
            brackets[:, 1:, 0],
        )
        span = self.flat()
        constants = np.zeros((0, 0))
        if r:
            constants = brackets @ np.linalg.pinv(span)
        misfit = np.linalg.norm(brackets - constants @ span, axis=1)
        # Without the round-off of the products, which is relative to the factors.
        norms = np.linalg.norm(M, axis=(1, 2))
        misfit -= _ROUND_OFF * np.outer(norms, norms).ravel()
        lengths = np.linalg.norm(brackets, axis=1)
        largest = lengths.max(initial=0) or 1.0
        constants = constants.reshape(r, r, r)
        return constants, misfit.max(initial=0) / largest


def no_algebra(d):
    """Return the algebra on ``R^d`` without generators."""
    return LieAlgebra(np.zeros((0, d, d)))


def flat_generators(linear, offset):
    """Return generators (r, d, d), (r, d) as rows of numbers, offset first: (r, d (d + 1))."""
    r, d = offset.shape
    matrices = np.concatenate(
        [offset[:, :, None], linear],
        axis=2,
    )
    return matrices.reshape(r, d * (d + 1))


def orthonormal_combinations(columns):
    """Return rows ``C`` (k, r) for which ``columns @ C.T`` has orthonormal columns of their span.

    `columns` (m, r) have sizes of about one or zero.
    """
    _, s, Vt = np.linalg.svd(columns, full_matrices=False)
    is_independent = s > 1e-10 * s.max(initial=0)
    s = s[is_independent]
    V = Vt[is_independent]
    return V / s[:, None]


def checked_combination(C, dim):
    """Return coefficients of combinations of generators as an array (k, dim)."""
    C = real_array(C, "C")
    if C.ndim != 2 or C.shape[1] != dim:
        raise ValueError(f"`C` must have shape (k, {dim}), got {C.shape}.")
    return C


def read_only(array, name):
    """Return a read-only copy of an array as floats; `name` is that of the parameter."""
    array = real_array(array, name)
    array.setflags(write=False)
    return array


def real_array(array, name):
    """Return an array of floats; complex numbers, strings and times are refused."""
    array = np.asarray(array)
    if np.iscomplexobj(array):
        raise ValueError(f"`{name}` is complex: generators, elements and coordinates are real.")
    if array.dtype.kind in "USmM":
        raise ValueError(f"`{name}` must be an array of numbers, got the type {array.dtype}.")
    return array.astype(float)


def require_dimension(d):
    """Raise unless a space has dimension one or more."""
    if not is_integer(d) or d < 1:
        raise ValueError(f"A symmetry acts on a space of dimension 1 or more, got {d!r}.")


def checked_names(names, n, kind):
    """Return the names of n things as a tuple of str; raise where their number is another.

    Parameters
    ----------
    names : iterable
    n : int
    kind : str
        What has the names, in the plural, for the error.
    """
    # Strings of NumPy would show their type in the repr of a tuple.
    names = tuple(str(name) for name in names)
    if len(names) != n:
        raise ValueError(f"Got {len(names)} names for {n} {kind}.")
    return names


def require_same_space(first, second):
    """Raise unless two symmetries (LieAlgebra, FiniteGroup, ..) act on the same space."""
    if first.n_features != second.n_features:
        raise ValueError(
            f"Symmetries of R^{first.n_features} and R^{second.n_features} cannot be added: "
            "let both act on the same space with on_columns."
        )


def _require_finite(generators, name):
    """Raise unless all entries of generators (r, ..) are finite."""
    is_finite = np.isfinite(generators)
    axes = tuple(range(1, generators.ndim))
    infinite = np.flatnonzero(~is_finite.all(axis=axes))
    if len(infinite):
        raise ValueError(
            f"`{name}` of generator {infinite[0]} holds NaN or infinity: generators are finite."
        )


def _field_names(linear, offset):
    """Write generators as vector fields, source by source: a rotation reads "x0 ∂1 - x1 ∂0".

    Parameters
    ----------
    linear : ndarray of shape (r, d, d)
    offset : ndarray of shape (r, d)

    Returns
    -------
    list of r str
    """
    r, d = offset.shape
    by_source = np.concatenate(
        [offset[:, None], linear.transpose(0, 2, 1)],
        axis=1,
    )
    coefficients = by_source.reshape(r, d * (d + 1))
    sources = ["", *(f"x{j} " for j in range(d))]
    terms = []
    for source in sources:
        for i in range(d):
            terms.append(f"{source}∂{i}")
    return [linear_combination(row, terms) for row in coefficients]
