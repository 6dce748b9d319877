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
        """Number of monomials."""
        return comb(self.d + self.degree, self.degree)

    @cached_property
    def tuples(self):
        """Sorted homogeneous indices, (p, degree)."""
        rows = combinations_with_replacement(range(self.d + 1), self.degree)
        flat = np.fromiter(chain.from_iterable(rows), np.int32, self.p * self.degree)
        return flat.reshape(self.p, self.degree)

    @cached_property
    def exponents(self):
        """Exponents of the coordinates, (p, d)."""
        counts = np.zeros((self.p, self.d + 1), np.int32)
        np.add.at(counts, (np.arange(self.p)[:, None], self.tuples), 1)
        return counts[:, 1:]

    @cached_property
    def fischer(self):
        """Scales ``1 / sqrt(a!)``, (p,)."""
        return np.exp(-0.5 * gammaln(self.exponents + 1.0).sum(axis=1))

    @cached_property
    def level(self):
        """First index of every total degree, and p: (degree + 2,)."""
        first = [0]
        first += [comb(self.d + g, g) for g in range(self.degree + 1)]
        return np.array(first)

    @cached_property
    def last(self):
        """Coordinate of the last factor (p,); the constant has -1."""
        if not self.degree:
            return np.full(1, -1)
        return self.tuples[:, -1] - 1

    @cached_property
    def parent(self):
        """Index of the monomial without its last factor (p,)."""
        shorter = np.roll(self.tuples, 1, axis=1)
        if self.degree:
            shorter[:, 0] = 0
        return self.rank(shorter)

    @cached_property
    def up(self):
        """Index of ``u_i`` times each of the p' monomials below the largest degree: (p', d)."""
        lower = self.tuples[: self.level[self.degree]]
        raised = np.repeat(lower[:, None], self.d, axis=1)
        raised[:, :, :1] = np.arange(1, self.d + 1)[:, None]
        return self.rank(np.sort(raised, axis=2))

    @cached_property
    def up_factor(self):
        """Factors ``sqrt(a_i + 1)`` (p', d): ``u_i phi_a = sqrt(a_i + 1) phi_(a + e_i)``."""
        return np.sqrt(self.exponents[: self.level[self.degree]] + 1.0)

    def rank(self, tuples):
        """Return the position of sorted tuples, shape (..., degree), among all of them."""
        if not self.degree:
            return np.zeros(tuples.shape[:-1], int)
        # table[v, k]: sorted k-tuples of v indices
        table = np.ones((self.d + 1, self.degree + 1), int)
        for v in range(self.d + 1):
            table[v, 1:] = [comb(v + k - 1, k) for k in range(1, self.degree + 1)]
        n_following = np.arange(self.degree, 0, -1)
        return self.p - 1 - table[self.d - tuples, n_following].sum(axis=-1)

    def with_parents(self, used):
        """Return sorted indices of the monomials `used` and of all their parents."""
        needed = np.zeros(self.p, bool)
        needed[0] = True
        needed[used] = True
        for g in range(self.degree, 0, -1):
            level = np.arange(self.level[g], self.level[g + 1])
            needed[self.parent[level[needed[level]]]] = True
        return np.flatnonzero(needed)

    def lie_matrices(self, linear, offset):
        """Return ``D_a`` for the fields ``A_a u + b_a``, side by side, (p, r p) sparse.

        ``D = sum_ij A_ij down_i up_j``: every field in one product of two sparse matrices.
        """
        n_lower = self.level[self.degree]
        d = self.d
        p = self.p
        r = len(linear)
        if n_lower * d == 0:
            return sparse.csr_array((p, r * p))
        lower = np.arange(n_lower)
        # down: from (i, monomial of lower degree) to the monomial whose derivative by u_i it is
        column = np.tile(np.arange(d), n_lower) * n_lower + np.repeat(lower, d)
        entries = (self.up_factor.ravel(), (self.up.ravel(), column))
        down = sparse.csr_array(entries, shape=(p, d * n_lower))
        # times: component i of the field, A_ij u_j + b_i, times a monomial of lower degree
        a, i, j = np.nonzero(linear)
        rows = [(i[:, None] * n_lower + lower).ravel()]
        columns = [(a[:, None] * p + self.up[:, j].T).ravel()]
        values = [(linear[a, i, j][:, None] * self.up_factor[:, j].T).ravel()]
        a, i = np.nonzero(offset)
        rows.append((i[:, None] * n_lower + lower).ravel())
        columns.append((a[:, None] * p + lower).ravel())
        values.append(np.repeat(offset[a, i], n_lower))
        where = (np.concatenate(rows), np.concatenate(columns))
        times = sparse.coo_array((np.concatenate(values), where), shape=(d * n_lower, r * p))
        return sparse.csr_array(down @ times.tocsr())

    def expand(self, multiply):
        """Return the monomials in another basis, (p, p) sparse.

        ``multiply[i]`` (p, p) multiplies by the coordinate ``u_i`` in that basis, whose first
        function is 1: every monomial is its parent times one coordinate.
        """
        stacked = sparse.csr_array(sparse.vstack(multiply))
        levels = [sparse.csr_array(([1.0], ([0], [0])), shape=(1, self.p))]
        for g in range(1, self.degree + 1):
            level = np.arange(self.level[g], self.level[g + 1])
            last = self.last[level]
            parents = levels[-1][self.parent[level] - self.level[g - 1]]
            n_entries = np.diff(parents.indptr)
            scale = 1 / np.sqrt(self.exponents[level, last])
            # Each parent in the block of columns that its last factor multiplies.
            data = parents.data * np.repeat(scale, n_entries)
            indices = parents.indices + np.repeat(last * self.p, n_entries)
            shape = (len(level), self.d * self.p)
            placed = sparse.csr_array((data, indices, parents.indptr), shape=shape)
            levels.append(placed @ stacked)
        return sparse.csr_array(sparse.vstack(levels))

    def times(self, i):
        """Return multiplication by ``u_i``, (p, p) sparse; the highest degree is cut off."""
        lower = np.arange(self.level[self.degree])
        entries = (self.up_factor[:, i], (lower, self.up[:, i]))
        return sparse.csr_array(entries, shape=(self.p, self.p))

    def substitute(self, linear, offset):
        """Return ``K`` with ``phi(linear u + offset) = K phi(u)``, (p, p) sparse."""
        times = [self.times(j) for j in range(self.d)]
        identity = sparse.eye_array(self.p, format="csr")
        multiply = []
        for row, constant in zip(linear, offset, strict=True):
            coordinate = constant * identity
            for j in np.flatnonzero(row):
                coordinate = coordinate + row[j] * times[j]
            multiply.append(coordinate)
        K = self.expand(multiply)
        K.eliminate_zeros()
        return K

    def legendre(self, middle, half_width):
        """Return ``T`` with ``phi(u) = T psi(u)``, psi orthonormal Legendre products on a box."""
        identity = sparse.eye_array(self.p, format="csr")
        n = np.arange(1, self.degree + 1)
        # Recurrence of orthonormal Legendre polynomials: x P_k = alpha_k P_(k-1) + alpha_(k+1) P_(k+1)
        alpha = np.concatenate([[0], n / np.sqrt(4.0 * n**2 - 1)])
        lower = np.arange(self.level[self.degree])
        multiply = []
        for i in range(self.d):
            raised = self.up[:, i]
            value = alpha[self.exponents[raised, i]]
            up = sparse.csr_array((value, (lower, raised)), shape=(self.p, self.p))
            multiply.append(half_width[i] * (up + up.T) + middle[i] * identity)
        T = self.expand(multiply)
        T.eliminate_zeros()
        return T
