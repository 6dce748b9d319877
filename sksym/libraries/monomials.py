"""Index tables of monomials, and the sparse matrices by which motions act on them.

Index legend: ``u`` (d,) are centred and scaled coordinates, ``a`` the exponents of a monomial,
``p`` the number of monomials and ``p'`` the number of those below the largest degree, ``r`` the
number of generators.
"""

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

    Parameters
    ----------
    d : int
    degree : int

    Attributes
    ----------
    p : int
        Number of monomials, ``C(d + degree, degree)``.
    """

    d: int
    degree: int

    def __post_init__(self):
        p = self.p
        bytes_per_monomial = 8.0 * self.degree + 24.0 * (self.d + 1)
        require_memory(
            min(p, 10**30) * bytes_per_monomial,  # larger integers overflow a float
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
        indices = range(self.d + 1)
        rows = combinations_with_replacement(indices, self.degree)
        flat = np.fromiter(
            chain.from_iterable(rows),
            dtype=np.int32,
            count=self.p * self.degree,
        )
        return flat.reshape(self.p, self.degree)

    @cached_property
    def exponents(self):
        """Exponents of the coordinates, (p, d)."""
        shape = (self.p, self.d + 1)
        counts = np.zeros(shape, np.int32)
        rows = np.arange(self.p)
        np.add.at(
            counts,
            (rows[:, None], self.tuples),
            1,
        )
        return counts[:, 1:]

    @cached_property
    def fischer(self):
        """Scales ``1 / sqrt(a!)``, (p,)."""
        # Factorials by their logarithms: those of large degrees overflow.
        log_factorials = gammaln(self.exponents + 1.0)
        log_factorial = log_factorials.sum(axis=1)
        return np.exp(-0.5 * log_factorial)

    @cached_property
    def level(self):
        """First index of every total degree, and p: (degree + 2,)."""
        first = [0]
        for g in range(self.degree + 1):
            n_up_to_degree = comb(self.d + g, g)
            first.append(n_up_to_degree)
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
        # The last factor is replaced by u_0 = 1, which sorts first.
        shorter = np.roll(self.tuples, 1, axis=1)
        if self.degree:
            shorter[:, 0] = 0
        return self.rank(shorter)

    @cached_property
    def up(self):
        """Index of ``u_i`` times each of the p' monomials below the largest degree: (p', d)."""
        n_lower = self.level[self.degree]
        lower = self.tuples[:n_lower]
        # One factor u_0 = 1, which every lower monomial has, becomes u_i.
        raised = np.repeat(lower[:, None], self.d, axis=1)
        coordinates = np.arange(1, self.d + 1)
        raised[:, :, :1] = coordinates[:, None]
        raised = np.sort(raised, axis=2)
        return self.rank(raised)

    @cached_property
    def up_factor(self):
        """Factors ``sqrt(a_i + 1)`` (p', d): ``u_i phi_a = sqrt(a_i + 1) phi_(a + e_i)``."""
        n_lower = self.level[self.degree]
        lower = self.exponents[:n_lower]
        return np.sqrt(lower + 1.0)

    def rank(self, tuples):
        """Return the position of sorted tuples among all of them.

        Those that follow a tuple agree with it up to some place and are larger from there on:
        for each place as many as there are sorted tuples of larger indices in what remains.

        Parameters
        ----------
        tuples : ndarray of shape (..., degree) of int
            Indices in 0..d, ascending along the last axis.

        Returns
        -------
        ndarray of shape (...) of int
        """
        if not self.degree:
            return np.zeros(tuples.shape[:-1], int)
        # table[v, k]: sorted k-tuples of v indices
        shape = (self.d + 1, self.degree + 1)
        table = np.ones(shape, int)
        for v in range(self.d + 1):
            for k in range(1, self.degree + 1):
                n_tuples = comb(v + k - 1, k)
                table[v, k] = n_tuples
        n_places = np.arange(self.degree, 0, -1)
        n_larger = self.d - tuples
        n_following = table[n_larger, n_places]
        return self.p - 1 - n_following.sum(axis=-1)

    def with_parents(self, used):
        """Return sorted indices of the monomials `used` and of all their parents.

        Parameters
        ----------
        used : ndarray of int

        Returns
        -------
        ndarray of int
            The constant, which every monomial descends from, comes first.
        """
        needed = np.zeros(self.p, bool)
        needed[0] = True
        needed[used] = True
        # From the largest degree down: a parent has parents of its own.
        for g in range(self.degree, 0, -1):
            start = self.level[g]
            stop = self.level[g + 1]
            level = np.arange(start, stop)
            needed_of_level = level[needed[level]]
            parents = self.parent[needed_of_level]
            needed[parents] = True
        return np.flatnonzero(needed)

    def lie_matrices(self, linear, offset):
        """Return ``D_a`` for the fields ``A_a u + b_a``, side by side.

        ``D = sum_ij A_ij down_i up_j``: every field in one product of two sparse matrices.

        Parameters
        ----------
        linear : ndarray of shape (r, d, d)
        offset : ndarray of shape (r, d)

        Returns
        -------
        csr_array of shape (p, r p)
        """
        n_lower = self.level[self.degree]
        d = self.d
        p = self.p
        r = len(linear)
        if n_lower * d == 0:
            return sparse.csr_array((p, r * p))
        lower = np.arange(n_lower)
        # down: from (i, monomial of lower degree) to the monomial whose derivative by u_i it is
        i = np.tile(np.arange(d), n_lower)
        monomial = np.repeat(lower, d)
        down = sparse.csr_array(
            (
                self.up_factor.ravel(),
                (self.up.ravel(), i * n_lower + monomial),
            ),
            shape=(p, d * n_lower),
        )
        # times: component i of the field, A_ij u_j + b_i, times a monomial of lower degree
        a, i, j = np.nonzero(linear)
        raised = self.up[:, j].T
        factor = self.up_factor[:, j].T
        A_ij = linear[a, i, j]
        row = i[:, None] * n_lower + lower
        column = a[:, None] * p + raised
        value = A_ij[:, None] * factor
        rows = [row.ravel()]
        columns = [column.ravel()]
        values = [value.ravel()]
        a, i = np.nonzero(offset)
        row = i[:, None] * n_lower + lower
        column = a[:, None] * p + lower
        value = np.repeat(offset[a, i], n_lower)
        rows.append(row.ravel())
        columns.append(column.ravel())
        values.append(value)
        rows = np.concatenate(rows)
        columns = np.concatenate(columns)
        values = np.concatenate(values)
        times = sparse.coo_array(
            (values, (rows, columns)),
            shape=(d * n_lower, r * p),
        )
        D = down @ times.tocsr()
        return sparse.csr_array(D)

    def expand(self, multiply):
        """Return the monomials in another basis, (p, p) sparse.

        Parameters
        ----------
        multiply : list of d sparse arrays of shape (p, p)
            Multiplication by each coordinate ``u_i`` in that basis, whose first function is 1:
            every monomial is its parent times one coordinate.

        Returns
        -------
        csr_array of shape (p, p)
            Row a: the Fischer-scaled monomial a in the functions of the other basis.
        """
        p = self.p
        stacked = sparse.vstack(multiply)
        stacked = sparse.csr_array(stacked)
        constant = sparse.csr_array(
            ([1.0], ([0], [0])),
            shape=(1, p),
        )
        levels = [constant]
        for g in range(1, self.degree + 1):
            lower_start = self.level[g - 1]
            start = self.level[g]
            stop = self.level[g + 1]
            level = np.arange(start, stop)
            last = self.last[level]
            parent_in_level = self.parent[level] - lower_start
            lower_level = levels[-1]
            parents = lower_level[parent_in_level]
            n_entries = np.diff(parents.indptr)
            exponent = self.exponents[level, last]
            scale = 1 / np.sqrt(exponent)
            # Each parent in the block of columns that its last factor multiplies.
            data = parents.data * np.repeat(scale, n_entries)
            indices = parents.indices + np.repeat(last * p, n_entries)
            in_blocks = sparse.csr_array(
                (data, indices, parents.indptr),
                shape=(len(level), self.d * p),
            )
            levels.append(in_blocks @ stacked)
        expansion = sparse.vstack(levels)
        return sparse.csr_array(expansion)

    def times(self, i):
        """Return multiplication by ``u_i``, (p, p) sparse.

        The highest degree is cut off: products of degree + 1 are not in the library.
        """
        n_lower = self.level[self.degree]
        lower = np.arange(n_lower)
        raised = self.up[:, i]
        return sparse.csr_array(
            (self.up_factor[:, i], (lower, raised)),
            shape=(self.p, self.p),
        )

    def substitute(self, linear, offset):
        """Return ``K`` with ``phi(linear u + offset) = K phi(u)``.

        Parameters
        ----------
        linear : ndarray of shape (d, d)
        offset : ndarray of shape (d,)

        Returns
        -------
        csr_array of shape (p, p)
        """
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
        """Return ``T`` with ``phi(u) = T psi(u)``, psi orthonormal Legendre products on a box.

        Parameters
        ----------
        middle, half_width : ndarray of shape (d,)
            Of the box, in the coordinates u.

        Returns
        -------
        csr_array of shape (p, p)
        """
        identity = sparse.eye_array(self.p, format="csr")
        n = np.arange(1, self.degree + 1)
        # Recurrence of the orthonormal Legendre polynomials:
        # x P_k = alpha_k P_(k-1) + alpha_(k+1) P_(k+1)
        square = 4.0 * n**2 - 1
        alpha = n / np.sqrt(square)
        alpha = np.concatenate([[0], alpha])
        n_lower = self.level[self.degree]
        lower = np.arange(n_lower)
        # Multiplication by u_i in the Legendre basis: symmetric, up by one degree and down by one.
        multiply = []
        for i in range(self.d):
            raised = self.up[:, i]
            exponent = self.exponents[raised, i]
            up = sparse.csr_array(
                (alpha[exponent], (lower, raised)),
                shape=(self.p, self.p),
            )
            recurrence = up + up.T
            coordinate = half_width[i] * recurrence + middle[i] * identity
            multiply.append(coordinate)
        T = self.expand(multiply)
        T.eliminate_zeros()
        return T
