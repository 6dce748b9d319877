"""How outputs move: representations of Lie algebras and finite groups.

A representation is called on the group and returns its matrices on the outputs: for a
``LieAlgebra`` the infinitesimal ``B`` (r, q, q), for a ``FiniteGroup`` the matrices ``rho(g)``
(k, q, q). All are frozen dataclasses, so that estimators that hold them clone and pickle.
"""

from dataclasses import dataclass

import numpy as np

from sksym.algebras import LieAlgebra


@dataclass(frozen=True)
class Trivial:
    """`q` outputs that do not move."""

    q: int

    def __call__(self, group):
        if isinstance(group, LieAlgebra):
            return np.zeros((group.dim, self.q, self.q))
        return np.tile(np.eye(self.q), (len(group.matrices), 1, 1))


@dataclass(frozen=True)
class Vector:
    """Outputs that move as the inputs do, or as those inputs that `columns` names."""

    columns: tuple[int, ...] | None = None

    def __call__(self, group):
        matrices = group.linear if isinstance(group, LieAlgebra) else group.matrices
        if self.columns is None:
            return np.array(matrices)
        columns = np.asarray(self.columns, dtype=int)
        if (
            not 0 < len(set(self.columns)) == len(columns)
            or not ((columns >= 0) & (columns < group.n_features)).all()
        ):
            raise ValueError(
                f"columns{self.columns} must be distinct and in 0..{group.n_features - 1}."
            )
        others = np.setdiff1d(np.arange(group.n_features), columns)
        if matrices[:, columns[:, None], others].any():
            raise ValueError(
                f"The group mixes the columns {self.columns} with others, "
                "so they are no representation: name all that move together."
            )
        return matrices[:, columns[:, None], columns]


@dataclass(frozen=True)
class Covector:
    """Outputs that move as gradients do: ``-A^T``, and ``g^-T`` for a finite element."""

    def __call__(self, group):
        if isinstance(group, LieAlgebra):
            return -group.linear.transpose(0, 2, 1)
        return np.linalg.inv(group.matrices).transpose(0, 2, 1)


@dataclass(frozen=True)
class Tensor:
    """Tensor product ``a (x) b``; outputs in row-major order of (i, j)."""

    a: object
    b: object

    def __call__(self, group):
        A, B = self.a(group), self.b(group)
        m, n = A.shape[1], B.shape[1]
        if isinstance(group, LieAlgebra):
            product = np.einsum("aij,kl->aikjl", A, np.eye(n))
            product += np.einsum("ij,akl->aikjl", np.eye(m), B)
        else:
            product = np.einsum("aij,akl->aikjl", A, B)
        return product.reshape(-1, m * n, m * n)


@dataclass(frozen=True)
class DirectSum:
    """Several representations stored side by side."""

    parts: tuple

    def __call__(self, group):
        blocks = [part(group) for part in self.parts]
        q = sum(block.shape[1] for block in blocks)
        matrices, start = np.zeros((len(blocks[0]), q, q)), 0
        for block in blocks:
            stop = start + block.shape[1]
            matrices[:, start:stop, start:stop] = block
            start = stop
        return matrices


vector = Vector()
covector = Covector()


def trivial(q):
    """`q` invariant outputs."""
    return Trivial(q)


def columns(*indices):
    """Outputs that move as those input columns do, for a group that acts on more of them."""
    return Vector(tuple(indices))


def tensor(a, b):
    """Outputs ``T_ij`` in row-major order, i moving by `a` and j by `b`."""
    return Tensor(a, b)


def direct_sum(*parts):
    """Outputs of several representations side by side."""
    if not parts:
        raise ValueError("direct_sum needs at least one representation.")
    return DirectSum(parts)


def represent(output, algebra):
    """Matrices ``B`` (r, q, q) of a representation, or of an array that claims to be one.

    Raises
    ------
    ValueError
        If shapes do not fit, entries are not finite, or brackets are not preserved.
    """
    if isinstance(output, str):
        raise TypeError(
            f"`output` must be a representation or an array, got the string {output!r}."
        )
    try:
        B = np.asarray(output(algebra) if callable(output) else output, dtype=float)
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
    known = isinstance(output, Trivial | Vector | Covector)
    if not known and B.any():
        _check_brackets(B, algebra)
    return B


def _check_brackets(B, algebra, rtol=1e-8):
    """A representation is linear in the generator and maps brackets to brackets."""
    M = algebra.homogeneous()
    # Dependent generators must have dependent images; each row is one generator.
    span, image = M.reshape(len(M), M[0].size), B.reshape(len(B), B[0].size)
    unit = np.linalg.norm(span) / (np.linalg.norm(image) or 1.0)
    to_coordinates = np.linalg.pinv(span, rcond=1e-10)
    linear = np.abs(span @ to_coordinates @ image - image).max() * unit
    xi, eta = np.random.default_rng(0).normal(size=(2, algebra.dim))
    X, Y = np.tensordot(xi, M, 1), np.tensordot(eta, M, 1)
    bracket = (X @ Y - Y @ X).ravel()
    zeta = bracket @ to_coordinates
    size = np.linalg.norm(X) * np.linalg.norm(Y)
    BX, BY = np.tensordot(xi, B, 1), np.tensordot(eta, B, 1)
    misfit = np.abs(np.tensordot(zeta, B, 1) - (BX @ BY - BY @ BX)).max()
    # Generators whose span is not closed have brackets outside, where there is nothing to compare.
    inside = np.linalg.norm(bracket - zeta @ span) <= rtol * size
    scale = np.linalg.norm(BX) * np.linalg.norm(BY) + np.linalg.norm(zeta) * np.linalg.norm(image)
    if linear > rtol * np.linalg.norm(span) or (inside and misfit > rtol * scale):
        raise ValueError(
            "`output` is not a representation of the algebra: [B_a, B_b] differs from B([a, b]) "
            f"by {misfit:.2g} in a random bracket. Give the matrices by which the same "
            "generators, in the same order, move the outputs."
        )


def represent_group(output, group, q=None):
    """Matrices ``rho(g)`` (k, q, q) of the elements of a finite group."""
    rho = np.asarray(output(group), dtype=float)
    k = len(group.matrices)
    if rho.ndim != 3 or rho.shape[0] != k or rho.shape[1] != rho.shape[2]:
        raise ValueError(
            f"`output` gives shape {rho.shape} for {k} elements: one (q, q) matrix for each."
        )
    if q is not None and rho.shape[1] != q:
        raise ValueError(
            f"`output` moves {q} outputs by the algebra but {rho.shape[1]} by the group."
        )
    return rho
