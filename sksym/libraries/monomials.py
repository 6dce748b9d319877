"""Index tables of monomials, and the sparse matrices by which motions act on them."""

from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations_with_replacement
from math import comb

import numpy as np
from scipy import sparse
from scipy.special import gammaln

from sksym._linalg import require_memory


@dataclass(frozen=True, eq=False)
class Monomials:
    """Index tables of all monomials of total degree <= `degree` in `d` coordinates.

    With ``u_0 = 1`` a monomial is a sorted tuple of `degree` indices in 0..d, and the tuples in
    lexicographic order are the monomials in scikit-learn's order, constant first, then by degree.
    Fischer scaling, ``phi_a = u^a / sqrt(a!)``, makes ``d/du_i`` the transpose of "times u_i".
    """

    d: int
    degree: int

    def __post_init__(self):
        p = comb(self.d + self.degree, self.degree)
        require_memory(
            min(p, 10**30) * (8.0 * self.degree + 24.0 * (self.d + 1)),
            f"A library of {p:,} monomials (degree {self.degree} in {self.d} features)",
            "Reduce `degree` or the number of features.",
        )

    @property
    def p(self):
        return comb(self.d + self.degree, self.degree)

    @cached_property
    def tuples(self):
        """(p, degree) sorted homogeneous indices."""
        rows = combinations_with_replacement(range(self.d + 1), self.degree)
        flat = np.fromiter(chain.from_iterable(rows), np.int32, self.p * self.degree)
        return flat.reshape(self.p, self.degree)

    @cached_property
    def exponents(self):
        """(p, d)"""
        counts = np.zeros((self.p, self.d + 1), np.int32)
        np.add.at(counts, (np.arange(self.p)[:, None], self.tuples), 1)
        return counts[:, 1:]

    @cached_property
    def fischer(self):
        """``1 / sqrt(a!)`` (p,)"""
        return np.exp(-0.5 * gammaln(self.exponents + 1.0).sum(axis=1))

    @cached_property
    def level(self):
        """First index of every total degree, and p: (degree + 2,)"""
        return np.array([comb(self.d + g - 1, g - 1) if g else 0 for g in range(self.degree + 2)])

    @cached_property
    def last(self):
        """Coordinate of the last factor (p,); the constant has -1."""
        return self.tuples[:, -1] - 1 if self.degree else np.full(1, -1)

    @cached_property
    def parent(self):
        """Index of the monomial without its last factor (p,)."""
        shorter = np.roll(self.tuples, 1, axis=1)
        if self.degree:
            shorter[:, 0] = 0
        return self.rank(shorter)

    @cached_property
    def up(self):
        """(p', d): index of ``u_i`` times each of the p' monomials of degree below the largest."""
        low = self.tuples[: self.level[self.degree]]
        raised = np.repeat(low[:, None], self.d, axis=1)
        raised[:, :, :1] = np.arange(1, self.d + 1)[:, None]
        return self.rank(np.sort(raised, axis=2))

    @cached_property
    def up_factor(self):
        """(p', d): ``sqrt(a_i + 1)``, ``u_i phi_a = sqrt(a_i + 1) phi_(a + e_i)``."""
        return np.sqrt(self.exponents[: self.level[self.degree]] + 1.0)

    def rank(self, tuples):
        """Position of sorted tuples, shape (..., degree), among all of them."""
        if not self.degree:
            return np.zeros(tuples.shape[:-1], int)
        length = np.arange(self.degree, 0, -1)
        table = np.array(
            [
                [comb(v + k - 1, k) if k else 1 for k in range(self.degree + 1)]
                for v in range(self.d + 1)
            ]
        )
        return self.p - 1 - table[self.d - tuples, length].sum(axis=-1)

    def lie_matrices(self, linear, offset):
        """``D_a`` for the fields ``A_a u + b_a``, side by side, (p, r p) sparse.

        ``D = sum_ij A_ij down_i up_j``: every field in one product of two sparse matrices.
        """
        low, d, p = self.level[self.degree], self.d, self.p
        if low * d == 0:
            return sparse.csr_array((p, len(linear) * p))
        b = np.repeat(np.arange(low), d)
        i = np.tile(np.arange(d), low)
        down = sparse.csr_array(
            (self.up_factor.ravel(), (self.up.ravel(), i * low + b)), shape=(p, d * low)
        )
        a, i, j = np.nonzero(linear)
        low_index = np.arange(low)
        rows = [(i[:, None] * low + low_index).ravel()]
        columns = [(a[:, None] * p + self.up[:, j].T).ravel()]
        values = [(linear[a, i, j][:, None] * self.up_factor[:, j].T).ravel()]
        a, i = np.nonzero(offset)
        rows.append((i[:, None] * low + low_index).ravel())
        columns.append((a[:, None] * p + low_index).ravel())
        values.append(np.repeat(offset[a, i], low))
        times = sparse.coo_array(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
            shape=(d * low, len(linear) * p),
        )
        return sparse.csr_array(down @ times.tocsr())

    def expand(self, multiply):
        """The monomials in another basis, (p, p) sparse.

        ``multiply[i]`` (p, p) multiplies by the coordinate ``u_i`` in that basis, whose first
        function is 1: every monomial is its parent times one coordinate.
        """
        stacked = sparse.csr_array(sparse.vstack(multiply))
        rows = [sparse.csr_array(([1.0], ([0], [0])), shape=(1, self.p))]
        for g in range(1, self.degree + 1):
            level = np.arange(self.level[g], self.level[g + 1])
            last = self.last[level]
            parents = rows[-1][self.parent[level] - self.level[g - 1]]
            each = np.diff(parents.indptr)
            scale = 1 / np.sqrt(self.exponents[level, last])
            # Each parent in the block of columns that its last factor multiplies.
            placed = sparse.csr_array(
                (
                    parents.data * np.repeat(scale, each),
                    parents.indices + np.repeat(last * self.p, each),
                    parents.indptr,
                ),
                shape=(len(level), self.d * self.p),
            )
            rows.append(placed @ stacked)
        return sparse.csr_array(sparse.vstack(rows))

    def times(self, i):
        """Multiplication by ``u_i``, (p, p) sparse; the highest degree is cut off."""
        low = np.arange(self.level[self.degree])
        entries = self.up_factor[:, i], (low, self.up[:, i])
        return sparse.csr_array(entries, shape=(self.p, self.p))

    def substitute(self, linear, offset):
        """``K`` with ``phi(linear u + offset) = K phi(u)``, (p, p) sparse."""
        times = [self.times(j) for j in range(self.d)]
        identity = sparse.eye_array(self.p, format="csr")
        multiply = [
            sum((linear[i, j] * times[j] for j in np.flatnonzero(linear[i])), offset[i] * identity)
            for i in range(self.d)
        ]
        K = self.expand(multiply)
        K.eliminate_zeros()
        return K

    def legendre(self, middle, half_width):
        """``T`` with ``phi(u) = T psi(u)``, psi orthonormal Legendre products on a box."""
        identity = sparse.eye_array(self.p, format="csr")
        multiply = []
        for i in range(self.d):
            n = np.arange(1, self.degree + 1)
            alpha = np.concatenate([[0], n / np.sqrt(4.0 * n**2 - 1)])
            low = np.arange(self.level[self.degree])
            raised = self.up[:, i]
            value = alpha[self.exponents[raised, i]]
            up = sparse.csr_array((value, (low, raised)), shape=(self.p, self.p))
            multiply.append(half_width[i] * (up + up.T) + middle[i] * identity)
        T = self.expand(multiply)
        T.eliminate_zeros()
        return T
