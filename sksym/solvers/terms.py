"""Norms of linear maps, and their sum: the penalty of `least_squares`."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from sksym.solvers.norms import GroupNorm, NuclearNorm

_EPS = np.finfo(float).eps
_KEPT = 1_000_000  # numbers of a map in dense columns, up to which these are kept


@dataclass(frozen=True, eq=False)
class Term:
    """``norm(K w)``, with ``K w`` read as a matrix.

    Attributes
    ----------
    K : csr_array of shape (rows * columns, q k)
    shape : (rows, columns)
    penalty : GroupNorm or NuclearNorm
    axes : ndarray of shape (rows, s), default=None
    damping : ndarray of shape (s,), default=None
        Below 1. The matrix is multiplied from the left by ``I - axes diag(damping) axes^T``, which
        keeps K sparse where a weight has low rank.
    structure : _Structure
        Products of K, which weighted copies share; made where it is not given.
    """

    K: sparse.csr_array
    shape: tuple
    penalty: GroupNorm | NuclearNorm
    axes: np.ndarray | None = None
    damping: np.ndarray | None = None
    structure: "_Structure" = field(default=None, repr=False)

    def __post_init__(self):
        if self.structure is None or self.structure.K is not self.K:
            object.__setattr__(self, "structure", _Structure(self.K, self.shape))

    def __call__(self, w):
        """Return ``K w`` as a matrix."""
        image = self.K @ w.ravel()
        return self._weighted(image.reshape(self.shape))

    def varies(self, w):
        """Whether ``K w`` is more than round-off."""
        # The Frobenius norm of K bounds the round-off of the product.
        size = np.linalg.norm(self.K.data) * np.linalg.norm(w)
        image = self(w)
        return bool(np.linalg.norm(image) > 16 * _EPS * size)

    def adjoint(self, Z):
        """Return ``K^T Z``, flat."""
        weighted = self._weighted(Z)
        return self._transposed @ weighted.ravel()

    def _weighted(self, Z):
        if self.axes is None:
            return Z
        along = self.axes.T @ Z
        damped = self.damping[:, None] * along
        return Z - self.axes @ damped

    @property
    def _transposed(self):
        return self.structure.transposed

    @cached_property
    def gram(self):
        """``K^T K`` with the weight, dense."""
        if self.axes is None:
            return self.structure.gram
        # The square of the weight is I - axes diag(loss) axes^T, the same for every column.
        loss = self.damping * (2 - self.damping)
        root = np.sqrt(np.maximum(loss, 0))
        half = (self.axes * root).T
        G = self.structure.gram.copy()
        for places, block in self.structure.columns:
            along = half @ block
            G[places] -= along.T @ along
        return G


class _Structure:
    """What depends on the map of a term alone, and is shared by its weighted copies."""

    def __init__(self, K, shape):
        self.K = K
        self.shape = shape

    @cached_property
    def transposed(self):
        """``K^T``."""
        return sparse.csr_array(self.K.T)

    @cached_property
    def gram(self):
        """``K^T K``, dense."""
        return (self.transposed @ self.K).toarray()

    @property
    def columns(self):
        """For each column of ``K w``, where its unknowns are in a Gram matrix, and `_columns`."""
        r = self.shape[0]
        # A column has no more unknowns than entries.
        if r * self.K.nnz > _KEPT:
            return self._columns()
        return self._kept_columns

    @cached_property
    def _kept_columns(self):
        return list(self._columns())

    def _columns(self):
        """Yield, for each column of ``K w``, its unknowns and the dense rows of K on these."""
        r, m = self.shape
        # Rows of K are in the order of the entries of K w: here those of a column are brought
        # together.
        by_column = np.arange(r * m).reshape(r, m).T
        K = self.K[by_column.ravel()]
        for first in range(0, r * m, r):
            indptr = K.indptr[first : first + r + 1]
            entries = slice(indptr[0], indptr[-1])
            unknowns, place = np.unique(K.indices[entries], return_inverse=True)
            row = np.repeat(np.arange(r), np.diff(indptr))
            # Dense, but on the unknowns of this column only, which are few.
            block = np.zeros((r, len(unknowns)))
            block[row, place] = K.data[entries]
            yield np.ix_(unknowns, unknowns), block


@dataclass(frozen=True, eq=False)
class Penalty:
    """The sum of some terms, ``sum_t norm_t(K_t w)``; a dual point has one matrix for each.

    Attributes
    ----------
    terms : list of Term
    """

    terms: list

    def images(self, w):
        """Return the matrices ``K_t w``."""
        return [term(w) for term in self.terms]

    def value(self, w):
        """Return the penalty of w."""
        value = 0.0
        for term in self.terms:
            value += term.penalty.value(term(w))
        return value

    def adjoint(self, matrices):
        """Return ``sum_t K_t^T Z_t``, flat."""
        total = 0.0
        for term, Z in zip(self.terms, matrices, strict=True):
            total = total + term.adjoint(Z)
        return total

    def polar(self, matrices):
        """Return the dual norm of a dual point, which is feasible up to 1."""
        polar = 0.0
        for term, Z in zip(self.terms, matrices, strict=True):
            polar = max(polar, term.penalty.polar(Z))
        return polar

    @property
    def shapes(self):
        """The shapes of the matrices."""
        return [term.shape for term in self.terms]


def flattened(matrices):
    """Return all entries of some matrices, (N,)."""
    return np.concatenate([Z.ravel() for Z in matrices])


def unflattened(flat, shapes):
    """Return the matrices of these shapes that `flattened` made flat."""
    matrices = []
    start = 0
    for rows, columns in shapes:
        end = start + rows * columns
        matrices.append(flat[start:end].reshape(rows, columns))
        start = end
    return matrices
