"""How outputs move: representations of Lie algebras and finite groups.

A representation is called on whoever acts and returns matrices on the outputs: for a `LieAlgebra`
the infinitesimal ``B`` (r, q, q), for a `FiniteGroup` the matrices ``rho(g)`` (k, q, q), for a
`Group` both. All are frozen dataclasses, so that estimators that hold them clone and pickle.

A new representation is a frozen subclass of `Representation` with two methods.
"""

from dataclasses import dataclass

import numpy as np

from sksym._estimator import check_count, is_integer
from sksym._linalg import require_memory

_BRACKET_RTOL = 1e-8  # misfit of a bracket relative to its terms, for matrices given as numbers


class Representation:
    """How outputs move with the inputs; subclasses have the two methods below."""

    # Whether brackets are preserved by construction, so that there is nothing to check.
    is_exact = False

    def __call__(self, acting):
        """Return the matrices by which a LieAlgebra, FiniteGroup or Group moves the outputs."""
        return acting.represented_by(self)

    def infinitesimal(self, A):
        """Return ``B`` (r, q, q) for the linear parts `A` (r, d, d) of generators.

        Linear in A, and ``B([A, A']) = [B(A), B(A')]``.
        """
        raise NotImplementedError

    def finite(self, g):
        """Return ``rho(g)`` (k, q, q) for elements `g` (k, d, d).

        ``rho(g h) = rho(g) rho(h)``, and ``rho(exp A) = exp B(A)``.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Trivial(Representation):
    """`q` outputs that do not move: ``B = 0``, ``rho = 1``."""

    q: int

    is_exact = True

    def __post_init__(self):
        check_count(self.q, "q")

    def infinitesimal(self, A):
        """Return zeros (r, q, q)."""
        r = len(A)
        _require_matrices(r, self.q)
        return np.zeros((r, self.q, self.q))

    def finite(self, g):
        """Return identities (k, q, q)."""
        k = len(g)
        _require_matrices(k + 1, self.q)
        identity = np.eye(self.q)
        return np.tile(identity, (k, 1, 1))


@dataclass(frozen=True)
class Vector(Representation):
    """Outputs that move as the inputs do, or as those inputs that `columns` names."""

    columns: tuple[int, ...] | None = None

    is_exact = True

    def __post_init__(self):
        if self.columns is None:
            return
        indices = [column for column in self.columns if is_integer(column) and column >= 0]
        if not self.columns or len(set(indices)) < len(self.columns):
            raise ValueError(
                f"`columns` must be distinct indices of columns, integers >= 0, got {self.columns}."
            )

    def infinitesimal(self, A):
        """Return `A` (r, d, d), or its block (r, q, q) of the columns named."""
        return self._block(A)

    def finite(self, g):
        """Return `g` (k, d, d), or its block (k, q, q) of the columns named."""
        return self._block(g)

    def _block(self, matrices):
        """Return the block of matrices (.., d, d) that acts on the columns named, checked."""
        if self.columns is None:
            return np.array(matrices)
        d = matrices.shape[1]
        columns = np.asarray(self.columns, dtype=int)
        if (columns >= d).any():
            raise ValueError(f"columns{self.columns} must be distinct and in 0..{d - 1}.")
        others = np.setdiff1d(np.arange(d), columns)
        # Matrices (columns, others): by which other inputs would move these outputs.
        mixing = matrices[:, columns[:, None], others]
        if mixing.any():
            raise ValueError(
                f"The group mixes the columns {self.columns} with others, "
                "so they are no representation: name all that move together."
            )
        return matrices[:, columns[:, None], columns]


@dataclass(frozen=True)
class Covector(Representation):
    """Outputs that move as gradients do: ``-A^T``, and ``g^-T`` for a finite element."""

    is_exact = True

    def infinitesimal(self, A):
        """Return ``-A^T`` (r, d, d)."""
        return -A.transpose(0, 2, 1)

    def finite(self, g):
        """Return ``g^-T`` (k, d, d)."""
        inverse = np.linalg.inv(g)
        return inverse.transpose(0, 2, 1)


@dataclass(frozen=True)
class Tensor(Representation):
    """Tensor product ``a (x) b``; outputs in row-major order of (i, j)."""

    a: Representation
    b: Representation

    def __post_init__(self):
        _require_representations(self.a, self.b)

    def infinitesimal(self, A):
        """Return ``B_a (x) 1 + 1 (x) B_b`` (r, q_a q_b, q_a q_b)."""
        m = _n_outputs(self.a.infinitesimal, A)
        n = _n_outputs(self.b.infinitesimal, A)
        _require_matrices(2 * len(A), m * n)
        if not len(A):
            return np.zeros((0, m * n, m * n))
        left = self.a.infinitesimal(A)
        right = self.b.infinitesimal(A)
        # a: generator, (i, j): row, (k, l): column
        product = np.einsum("aik,jl->aijkl", left, np.eye(n))
        product += np.einsum("ik,ajl->aijkl", np.eye(m), right)
        size = m * n
        return product.reshape(-1, size, size)

    def finite(self, g):
        """Return ``rho_a (x) rho_b`` (k, q_a q_b, q_a q_b)."""
        size = _n_outputs(self.a.finite, g) * _n_outputs(self.b.finite, g)
        _require_matrices(2 * len(g), size)
        if not len(g):
            return np.zeros((0, size, size))
        left = self.a.finite(g)
        right = self.b.finite(g)
        # a: element, (i, j): row, (k, l): column
        product = np.einsum("aik,ajl->aijkl", left, right)
        return product.reshape(len(g), size, size)


def _n_outputs(method, matrices):
    """Return the number of outputs that a method of a representation gives for (k, d, d)."""
    # Called without generators or elements, it allocates nothing.
    return method(matrices[:0]).shape[1]


def _require_matrices(k, q):
    """Refuse k matrices on q outputs that do not fit into memory."""
    require_memory(
        8.0 * k * q**2,
        f"{k:,} matrices on {q:,} outputs",
        "Take a tensor of fewer factors, fewer outputs, or a group of fewer generators.",
    )


@dataclass(frozen=True)
class DirectSum(Representation):
    """Several representations stored side by side."""

    parts: tuple

    def __post_init__(self):
        _require_representations(*self.parts)

    def infinitesimal(self, A):
        """Return block-diagonal matrices (r, q, q), q the sum of those of the summands."""
        return _block_diagonal([summand.infinitesimal for summand in self.parts], A)

    def finite(self, g):
        """Return block-diagonal matrices (k, q, q), q the sum of those of the summands."""
        return _block_diagonal([summand.finite for summand in self.parts], g)


def _require_representations(*parts):
    """Raise unless all that make up a representation are representations."""
    for part in parts:
        if not isinstance(part, Representation):
            raise TypeError(
                "Tensors and direct sums are made of representations (trivial(q), vector, ..), "
                f"got {part!r}. Derive representations of your own from Representation."
            )


def _block_diagonal(methods, acting):
    """Return block-diagonal matrices (k, q, q) of what methods give for matrices (k, d, d)."""
    k = len(acting)
    q = sum(_n_outputs(method, acting) for method in methods)
    _require_matrices(k, q)
    matrices = np.zeros((k, q, q))
    if not k:
        return matrices
    start = 0
    for method in methods:
        stack = method(acting)
        stop = start + stack.shape[1]
        matrices[:, start:stop, start:stop] = stack
        start = stop
    return matrices


vector = Vector()
covector = Covector()


def trivial(q):
    """Return the representation of `q` invariant outputs.

    Parameters
    ----------
    q : int
    """
    return Trivial(q)


def columns(*indices):
    """Return the representation of outputs that move as those input columns do.

    For a group that acts on more columns than the outputs have.

    Parameters
    ----------
    *indices : int
    """
    return Vector(tuple(indices))


def tensor(a, b):
    """Return the representation of ``T_ij`` in row-major order, i moving by `a` and j by `b`.

    Parameters
    ----------
    a, b : Representation
    """
    return Tensor(a, b)


def direct_sum(*parts):
    """Return the representation of several outputs side by side."""
    if not parts:
        raise ValueError("direct_sum needs at least one representation.")
    return DirectSum(parts)


# ------------------------------------------------------------- what estimators ask of `output`


def represent(output, algebra):
    """Return ``B`` of a representation, or of an array that claims to be one.

    Parameters
    ----------
    output : Representation, callable or array-like of shape (r, q, q)
    algebra : LieAlgebra

    Returns
    -------
    ndarray of shape (r, q, q)

    Raises
    ------
    TypeError
        If `output` is neither a representation nor an array.
    ValueError
        If shapes do not fit, entries are not finite, or brackets are not preserved.
    """
    if isinstance(output, str):
        raise TypeError(
            f"`output` must be a representation or an array, got the string {output!r}."
        )
    matrices = output(algebra) if callable(output) else output
    try:
        B = np.asarray(matrices, dtype=float)
    except TypeError as error:
        raise TypeError(
            f"`output` must be a representation or an array of shape (r, q, q), got {output!r}."
        ) from error
    is_square = B.ndim == 3 and B.shape[1] == B.shape[2]
    if not is_square or len(B) != algebra.dim:
        raise ValueError(
            f"`output` has shape {B.shape}, but the algebra has {algebra.dim} generators: "
            f"give one square matrix for each, shape ({algebra.dim}, q, q)."
        )
    if not np.isfinite(B).all():
        raise ValueError("`output` holds NaN or infinity: representation matrices are finite.")
    is_exact = isinstance(output, Representation) and output.is_exact
    # Zero matrices represent every algebra.
    if not is_exact and B.any():
        _check_brackets(B, algebra)
    return B


def represent_elements(output, elements, q=None):
    """Return ``rho(g)`` of the elements of a finite group.

    Parameters
    ----------
    output : Representation or callable
    elements : FiniteGroup
    q : int, default=None
        Number of outputs that the algebra moves; None: there is none.

    Returns
    -------
    ndarray of shape (k, q, q)

    Raises
    ------
    ValueError
        If `output` is an array, or shapes do not fit.
    """
    if not callable(output):
        raise ValueError(
            "`output` as an array speaks of an algebra only: with a finite group give a "
            "representation such as vector, which knows how finite elements act too."
        )
    # Users may pass a function of their own, so shapes are checked.
    rho = np.asarray(output(elements), dtype=float)
    k = elements.n_elements
    is_square = rho.ndim == 3 and rho.shape[1] == rho.shape[2]
    if not is_square or len(rho) != k:
        raise ValueError(
            f"`output` gives shape {rho.shape} for {k} elements: one (q, q) matrix for each."
        )
    if q is not None and rho.shape[1] != q:
        raise ValueError(
            f"`output` moves {q} outputs by the algebra but {rho.shape[1]} by the finite group."
        )
    return rho


def _check_brackets(B, algebra):
    """Raise unless `B` (r, q, q) is linear in the generator and maps brackets to brackets.

    One random bracket is compared: a linear map that is no representation fails it.
    """
    r = algebra.dim
    M = algebra.homogeneous()
    span = M.reshape(r, -1)
    image = B.reshape(r, -1)
    to_coordinates = np.linalg.pinv(span, rcond=1e-10)
    # Dependent generators must have dependent images.
    size_of_span = np.linalg.norm(span)
    size_of_image = np.linalg.norm(image)
    unit = size_of_span / (size_of_image or 1.0)
    residual = span @ to_coordinates @ image - image
    dependent = np.abs(residual).max() * unit
    is_linear = dependent <= _BRACKET_RTOL * size_of_span
    rng = np.random.default_rng(0)
    xi, eta = rng.normal(size=(2, r))
    X = np.tensordot(xi, M, 1)
    Y = np.tensordot(eta, M, 1)
    bracket = (X @ Y - Y @ X).ravel()
    # zeta: coordinates of the bracket in the generators
    zeta = bracket @ to_coordinates
    BX = np.tensordot(xi, B, 1)
    BY = np.tensordot(eta, B, 1)
    bracket_of_images = BX @ BY - BY @ BX
    image_of_bracket = np.tensordot(zeta, B, 1)
    misfit = np.abs(image_of_bracket - bracket_of_images).max()
    # Generators whose span is not closed have brackets outside, where there is nothing to compare.
    outside = np.linalg.norm(bracket - zeta @ span)
    is_inside = outside <= _BRACKET_RTOL * np.linalg.norm(X) * np.linalg.norm(Y)
    scale = np.linalg.norm(BX) * np.linalg.norm(BY)
    scale += np.linalg.norm(zeta) * size_of_image
    preserves_bracket = not is_inside or misfit <= _BRACKET_RTOL * scale
    if not is_linear or not preserves_bracket:
        raise ValueError(
            "`output` is not a representation of the algebra: [B_a, B_b] differs from B([a, b]) "
            f"by {misfit:.2g} in a random bracket. Give the matrices by which the same "
            "generators, in the same order, move the outputs."
        )
