"""How outputs move: representations of Lie algebras and finite groups.

A representation is called on whoever acts and returns matrices on the outputs: for a `LieAlgebra`
the infinitesimal ``B`` (r, q, q), for a `FiniteGroup` the matrices ``rho(g)`` (k, q, q), for a
`Group` both. All are frozen dataclasses, so that estimators that hold them clone and pickle.

A new representation is a frozen subclass of `Representation` with two methods.
"""

from dataclasses import dataclass

import numpy as np

_BRACKET_RTOL = 1e-8


class Representation:
    """How outputs move with the inputs; subclasses have the two methods below."""

    # Whether brackets are preserved by construction, so that there is nothing to check.
    is_exact = False

    def __call__(self, acting):
        return acting.represented_by(self)

    def infinitesimal(self, A):
        """Return ``B`` (r, q, q) for the linear parts `A` (r, d, d) of generators."""
        raise NotImplementedError

    def finite(self, g):
        """Return ``rho(g)`` (k, q, q) for elements `g` (k, d, d)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Trivial(Representation):
    """`q` outputs that do not move."""

    q: int

    is_exact = True

    def infinitesimal(self, A):
        return np.zeros((len(A), self.q, self.q))

    def finite(self, g):
        return np.tile(np.eye(self.q), (len(g), 1, 1))


@dataclass(frozen=True)
class Vector(Representation):
    """Outputs that move as the inputs do, or as those inputs that `columns` names."""

    columns: tuple[int, ...] | None = None

    is_exact = True

    def infinitesimal(self, A):
        return self._block(A)

    def finite(self, g):
        return self._block(g)

    def _block(self, matrices):
        if self.columns is None:
            return np.array(matrices)
        d = matrices.shape[1]
        columns = np.asarray(self.columns, dtype=int)
        distinct = 0 < len(set(self.columns)) == len(columns)
        if not distinct or not ((columns >= 0) & (columns < d)).all():
            raise ValueError(f"columns{self.columns} must be distinct and in 0..{d - 1}.")
        others = np.setdiff1d(np.arange(d), columns)
        if matrices[:, columns[:, None], others].any():
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
        return -A.transpose(0, 2, 1)

    def finite(self, g):
        return np.linalg.inv(g).transpose(0, 2, 1)


@dataclass(frozen=True)
class Tensor(Representation):
    """Tensor product ``a (x) b``; outputs in row-major order of (i, j)."""

    a: Representation
    b: Representation

    def infinitesimal(self, A):
        left = self.a.infinitesimal(A)
        right = self.b.infinitesimal(A)
        m = left.shape[1]
        n = right.shape[1]
        # a: generator, (i, j): row, (k, l): column
        product = np.einsum("aik,jl->aijkl", left, np.eye(n))
        product += np.einsum("ik,ajl->aijkl", np.eye(m), right)
        return product.reshape(-1, m * n, m * n)

    def finite(self, g):
        left = self.a.finite(g)
        right = self.b.finite(g)
        size = left.shape[1] * right.shape[1]
        return np.einsum("aik,ajl->aijkl", left, right).reshape(-1, size, size)


@dataclass(frozen=True)
class DirectSum(Representation):
    """Several representations stored side by side."""

    parts: tuple

    def infinitesimal(self, A):
        return _block_diagonal([summand.infinitesimal(A) for summand in self.parts])

    def finite(self, g):
        return _block_diagonal([summand.finite(g) for summand in self.parts])


def _block_diagonal(stacks):
    """Return stacks of matrices (k, q_i, q_i) as one of block-diagonal matrices (k, q, q)."""
    q = sum(stack.shape[1] for stack in stacks)
    matrices = np.zeros((len(stacks[0]), q, q))
    start = 0
    for stack in stacks:
        stop = start + stack.shape[1]
        matrices[:, start:stop, start:stop] = stack
        start = stop
    return matrices


vector = Vector()
covector = Covector()


def trivial(q):
    """Return the representation of `q` invariant outputs."""
    return Trivial(q)


def columns(*indices):
    """Return the representation of outputs that move as those input columns do.

    For a group that acts on more columns than the outputs have.
    """
    return Vector(tuple(indices))


def tensor(a, b):
    """Return the representation of ``T_ij`` in row-major order, i moving by `a` and j by `b`."""
    return Tensor(a, b)


def direct_sum(*parts):
    """Return the representation of several outputs side by side."""
    if not parts:
        raise ValueError("direct_sum needs at least one representation.")
    return DirectSum(parts)


# ------------------------------------------------------------- what estimators ask of `output`


def represent(output, algebra):
    """Return ``B`` (r, q, q) of a representation, or of an array that claims to be one.

    Raises
    ------
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
    if B.ndim != 3 or B.shape[0] != algebra.dim or B.shape[1] != B.shape[2]:
        raise ValueError(
            f"`output` has shape {B.shape}, but the algebra has {algebra.dim} generators: "
            f"give one square matrix for each, shape ({algebra.dim}, q, q)."
        )
    if not np.isfinite(B).all():
        raise ValueError("`output` holds NaN or infinity: representation matrices are finite.")
    exact = isinstance(output, Representation) and output.is_exact
    if not exact and B.any():
        _check_brackets(B, algebra)
    return B


def represent_elements(output, elements, q=None):
    """Return ``rho(g)`` (k, q, q) of the elements of a finite group."""
    if not callable(output):
        raise ValueError(
            "`output` as an array speaks of an algebra only: with a finite group give a "
            "representation such as vector, which knows how finite elements act too."
        )
    rho = np.asarray(output(elements), dtype=float)
    k = elements.n_elements
    if rho.ndim != 3 or rho.shape[0] != k or rho.shape[1] != rho.shape[2]:
        raise ValueError(
            f"`output` gives shape {rho.shape} for {k} elements: one (q, q) matrix for each."
        )
    if q is not None and rho.shape[1] != q:
        raise ValueError(
            f"`output` moves {q} outputs by the algebra but {rho.shape[1]} by the finite group."
        )
    return rho


def _check_brackets(B, algebra):
    """Raise unless `B` is linear in the generator and maps brackets to brackets.

    One random bracket is compared: a linear map that is no representation fails it.
    """
    M = algebra.homogeneous()
    span = M.reshape(len(M), M[0].size)
    image = B.reshape(len(B), B[0].size)
    to_coordinates = np.linalg.pinv(span, rcond=1e-10)
    # Dependent generators must have dependent images.
    unit = np.linalg.norm(span) / (np.linalg.norm(image) or 1.0)
    dependent = np.abs(span @ to_coordinates @ image - image).max() * unit
    is_linear = dependent <= _BRACKET_RTOL * np.linalg.norm(span)
    xi, eta = np.random.default_rng(0).normal(size=(2, algebra.dim))
    X = np.tensordot(xi, M, 1)
    Y = np.tensordot(eta, M, 1)
    bracket = (X @ Y - Y @ X).ravel()
    zeta = bracket @ to_coordinates
    BX = np.tensordot(xi, B, 1)
    BY = np.tensordot(eta, B, 1)
    misfit = np.abs(np.tensordot(zeta, B, 1) - (BX @ BY - BY @ BX)).max()
    # Generators whose span is not closed have brackets outside, where there is nothing to compare.
    outside = np.linalg.norm(bracket - zeta @ span)
    is_inside = outside <= _BRACKET_RTOL * np.linalg.norm(X) * np.linalg.norm(Y)
    scale = np.linalg.norm(BX) * np.linalg.norm(BY)
    scale += np.linalg.norm(zeta) * np.linalg.norm(image)
    if not is_linear or (is_inside and misfit > _BRACKET_RTOL * scale):
        raise ValueError(
            "`output` is not a representation of the algebra: [B_a, B_b] differs from B([a, b]) "
            f"by {misfit:.2g} in a random bracket. Give the matrices by which the same "
            "generators, in the same order, move the outputs."
        )
