"""The null space of the constraints: all functions of a library that have a symmetry."""

from itertools import chain
from numbers import Real

import numpy as np
from scipy import sparse

from sksym._estimator import warn
from sksym._linalg import (
    balance,
    independent_rows,
    matrix_norms,
    null_space,
    orthonormal_rows,
    reduced_echelon,
    require_memory,
    spectral_bound,
)
from sksym.equivariant.centring import probe_points
from sksym.groups import Group, represent, represent_elements
from sksym.libraries import NotClosedError, library_values
from sksym.lie_derivative import LieDerivative, closed_lie_matrices

_CANCELLED = 1e-12  # a translation this small beside its two parts is round-off
_MORE_POINTS = 50  # beside two for each function, where a library is tested at points


def equivariant_basis(library, group, output=None, *, points=None, rtol=1e-10):
    """Return an orthonormal basis of the functions in a library that have a symmetry.

    All ``coef`` with ``L(xi, coef) = 0`` for every generator and ``rho(g)^-1 F(g x) = F(x)`` for
    every element.

    Parameters
    ----------
    library : fitted Library
    group : Group
    output : representation or array of shape (r, q, q), default=None
        None: one invariant output.
    points : ndarray of shape (n, d), default=None
        Where to test a library that is not closed under the symmetry.
    rtol : float
        Singular values of the constraints below `rtol` times their size count as zero.

    Returns
    -------
    csr_array of shape (n_free, q p)

    Notes
    -----
    A generating set of the algebra is enough: generators that connect the coordinates are
    imposed first; then one random combination of all of them is applied to the basis, and the
    basis restricted, until nothing is left to impose. Closed libraries of polynomials are treated
    in balanced coordinates, in which a conjugated compact algebra is skew again.
    """
    if not isinstance(rtol, Real) or not 0 <= rtol < 1:
        raise ValueError(f"`rtol` must lie in [0, 1), got {rtol!r}.")
    rtol = max(rtol, library.jacobian_rtol_)
    if not group.algebra.is_affine:
        return _unmoved_along_fields(library, group, output, points, rtol)
    B, rho, q = output_matrices(output, group)
    group, B = _independent(group, B)
    p = library.n_output_features_
    require_memory(
        300.0 * q * p,
        f"{q * p:,} unknown coefficients ({q} outputs times {p:,} functions)",
        "Reduce the degree of the library or the number of features or outputs.",
    )
    return _motions(library, group, B, rho, points).equivariant_functions(q, rtol)


def output_matrices(output, group):
    """Return how outputs move, ``B`` (r, q, q) and ``rho`` (k, q, q) or None, and their number q.

    B is None where no generator moves them, rho where there are no elements.
    """
    if output is None:
        return None, None, 1
    B = None
    rho = None
    q = None
    if group.algebra.dim or not group.elements.n_elements:
        B = represent(output, group.algebra)
        q = B.shape[1]
    if group.elements.n_elements:
        rho = represent_elements(output, group.elements, q)
        q = rho.shape[1]
    return B, rho, q


def _unmoved_along_fields(library, group, output, points, rtol):
    """Return the functions that do not change along fields beyond affine, tested at points."""
    if group.elements.n_elements:
        raise ValueError("Fields beyond affine cannot be combined with a finite group yet.")
    fields = group.algebra
    if not fields.dim:
        return sparse.eye_array(library.n_output_features_, format="csr")
    points = probe_points(points, 2 * library.n_output_features_ + _MORE_POINTS)
    L = LieDerivative.sampled(library, fields, output, points)
    size = np.linalg.norm(L.E.toarray(), axis=1)
    size[size == 0] = 1.0
    constraints = L.in_units_of(size).constraint_matrix()
    return _orthonormal_after(null_space(constraints, rtol), sparse.diags_array(1 / size))


def _independent(group, B):
    """Return the group without generators that are combinations of the others."""
    algebra = group.algebra
    independent = independent_rows(algebra.flat())
    if len(independent) == algebra.dim:
        return group, B
    warn(
        f"{algebra.dim} generators span {len(independent)} dimensions: "
        f"the dependent ones add no constraint and are left out."
    )
    if B is not None:
        B = B[independent]
    return Group(algebra.take(independent), group.elements), B


def _motions(library, group, B, rho, points):
    """Choose how a symmetry acts on a library: on monomials, by its matrices, or at points."""
    exact = _OnPolynomials if library.has_all_monomials else _OnClosedLibrary
    try:
        return exact(library, group, B, rho)
    except NotClosedError:
        return _AtPoints(library, group, B, rho, points)


class _Motions:
    """A symmetry that acts on a library: fields, elements, and how they move the outputs.

    Subclasses have `derivative(C)`, the matrices (D, E) of the combinations `C` (k, r) of the
    fields, and `transformed(k)`, the values (K, E) at the points mapped by element k and at the
    points.
    """

    def __init__(self, library, group, B, rho):
        self.library = library
        self.group = group
        self.B = B
        self.rho = rho
        self.linear = group.algebra.linear
        self.offset = group.algebra.offset

    def equivariant_functions(self, q, rtol):
        """Impose a generating set, then random combinations until nothing is left to impose."""
        r = len(self.offset)
        size = matrix_norms(self.linear) + np.linalg.norm(self.offset, axis=1)
        weights = 1 / np.where(size > 0, size, 1.0)  # generators may differ in units
        B = np.zeros((r, q, q)) if self.B is None else self.B
        basis = self._imposing_few(B, weights, rtol)
        rng = np.random.default_rng(0)
        n_random = 1
        while r and basis.shape[0]:
            constraints = []
            scales = []
            for C in rng.normal(size=(n_random, 1, r)) * weights:
                D, E = self.derivative(C)
                moving = np.tensordot(C, B, 1)[0]
                scales.append(spectral_bound(D) + np.linalg.norm(moving, 2) * spectral_bound(E))
                constraints.append(_along(D, E, moving, basis).T)
            free = null_space(sparse.vstack(constraints), rtol, scale=max(scales))
            if free.shape[0] == basis.shape[0]:
                break
            basis = sparse.csr_array(free @ basis)
            n_random = min(2 * n_random, r)  # where brackets give little, as of translations
        return self.in_library(basis)

    def _imposing_few(self, B, weights, rtol):
        """Return the functions with the generators that connect coordinates, and all elements."""
        q = B.shape[1]
        constraints = []
        scales = []
        if len(B):
            C = self.first() * weights
            D, E = self.derivative(C)
            L = LieDerivative(D, E, np.tensordot(C, B, 1), np.eye(len(C)))
            constraints.append(L.constraint_matrix())
            scales.append(spectral_bound(constraints[0]))
        for k in range(self.group.elements.n_elements):
            K, E = self.transformed(k)
            inverse = np.eye(q) if self.rho is None else np.linalg.inv(self.rho[k])
            constraints.append(sparse.kron(inverse, K.T) - sparse.kron(np.eye(q), E.T))
            # A full turn leaves nothing but round-off: compare with what was subtracted.
            scales.append(np.linalg.norm(inverse, 2) * spectral_bound(K) + spectral_bound(E))
        if not constraints:
            return sparse.eye_array(q * self.library.n_output_features_, format="csr")
        return null_space(sparse.vstack(constraints), rtol, scale=max(scales))

    def first(self):
        """Return combinations of the generators (k, r) to impose first."""
        return np.eye(len(self.offset))[_connecting(self.linear, self.offset)]

    def in_library(self, basis):
        """Return the basis found, in the coordinates of the library."""
        return basis

    def identity(self):
        """Return the values of the library functions where they are their own tests."""
        return sparse.eye_array(self.library.n_output_features_, format="csr")


class _OnClosedLibrary(_Motions):
    """On a library that gives its own matrices; the tests are its own functions."""

    def __init__(self, library, group, B, rho):
        super().__init__(library, group, B, rho)
        # What is closed under a random combination is closed under all generators.
        if group.algebra.dim:
            self.derivative(np.random.default_rng(0).normal(size=(1, group.algebra.dim)))
        self.elements = [sparse.csr_array(library.group_matrix(g)) for g in group.elements.matrices]

    def derivative(self, C):
        D = closed_lie_matrices(self.library, self.group.algebra.combine(C))
        return D, self.identity()

    def transformed(self, k):
        return self.elements[k], self.identity()


class _OnPolynomials(_Motions):
    """On polynomials, in coordinates ``v = P u``, ``F' = Q F`` as near normal as can be."""

    def __init__(self, library, group, B, rho):
        super().__init__(library, group, B, rho)
        self.monomials = library.monomials_
        self.linear, self.offset = library.unit_fields(group.algebra)
        self._undo_translations()
        self.maps = [library.unit_map(g) for g in group.elements.matrices]
        self.P = balance(np.concatenate([self.linear, *(g[None] for g, _ in self.maps)]))
        if self.P is not None:
            inverse = np.linalg.inv(self.P)
            self.linear = self.P @ self.linear @ inverse
            self.offset = self.offset @ self.P.T
            self.maps = [(self.P @ g @ inverse, self.P @ t) for g, t in self.maps]
        self.Q = self._balance_outputs()

    def _balance_outputs(self):
        """Bring the matrices that move outputs into balanced coordinates; return those."""
        moving = [matrices for matrices in (self.B, self.rho) if matrices is not None]
        if not moving:
            return None
        Q = balance(np.concatenate(moving))
        if Q is None:
            return None
        inverse = np.linalg.inv(Q)
        if self.B is not None:
            self.B = Q @ self.B @ inverse
        if self.rho is not None:
            self.rho = Q @ self.rho @ inverse
        return Q

    def _undo_translations(self):
        """Move the centres of rotations and the like to the origin where translations allow it.

        A far centre would tie the degrees together by large numbers.
        """
        pure = ~self.linear.any(axis=(1, 2))
        if not pure.any() or not self.offset[~pure].any():
            return
        amount = self.offset[~pure] @ np.linalg.pinv(self.offset[pure])
        size = np.abs(self.offset[~pure])
        residual = self.offset[~pure] - amount @ self.offset[pure]
        self.offset = self.offset.copy()
        self.offset[~pure] = np.where(np.abs(residual) <= _CANCELLED * size, 0.0, residual)
        if self.B is not None:
            self.B = self.B.copy()
            self.B[~pure] -= np.tensordot(amount, self.B[pure], 1)

    def derivative(self, C):
        linear = np.tensordot(C, self.linear, 1)
        return self.monomials.lie_matrices(linear, C @ self.offset), self.identity()

    def transformed(self, k):
        return self.monomials.substitute(*self.maps[k]), self.identity()

    def in_library(self, basis):
        if (self.P is None and self.Q is None) or not basis.shape[0]:
            return basis
        K = self.identity()
        if self.P is not None:
            K = self.monomials.substitute(self.P, np.zeros(len(self.P)))
        q = basis.shape[1] // self.monomials.p
        turn = np.eye(q) if self.Q is None else np.linalg.inv(self.Q).T
        return sparse.csr_array(orthonormal_rows(basis @ sparse.kron(turn, K))[0])


class _AtPoints(_Motions):
    """On any library, tested at points, its functions in units of their size there."""

    def __init__(self, library, group, B, rho, points):
        super().__init__(library, group, B, rho)
        self.points = probe_points(points, 2 * library.n_output_features_ + _MORE_POINTS)
        self.offset = self.offset / (np.abs(self.points).max() or 1.0)  # as the data notice it
        if group.algebra.dim:
            size = matrix_norms(self.linear) + np.linalg.norm(self.offset, axis=1)
            unit = np.where(size > 0, size, 1.0)
            xi = np.random.default_rng(1).normal(size=group.algebra.dim) / unit
            M, t = group.algebra.exp(xi)
            self.points = np.concatenate([self.points, self.points @ M.T + t])
        self.values = library_values(library, self.points)
        self.size = np.sqrt(np.mean(self.values**2, axis=0))
        self.size[self.size == 0] = 1.0

    def first(self):
        # Nothing is sparse here, and two random elements generate all but everything.
        r = len(self.offset)
        return np.random.default_rng(2).normal(size=(min(r, 2), r))

    def derivative(self, C):
        algebra = self.group.algebra.combine(C)
        L = LieDerivative.sampled(self.library, algebra, None, self.points)
        L = L.in_own_generators().in_units_of(self.size)
        return L.D, L.E

    def transformed(self, k):
        images = self.points @ self.group.elements.matrices[k].T
        unit = self.size * np.sqrt(len(self.points))
        K = library_values(self.library, images) / unit
        return sparse.csr_array(K.T), sparse.csr_array((self.values / unit).T)

    def in_library(self, basis):
        if not basis.shape[0]:
            return basis
        q = basis.shape[1] // len(self.size)
        unit = sparse.diags_array(1 / self.size)
        return _orthonormal_after(basis, sparse.kron(sparse.eye_array(q), unit))


def _along(D, E, B, basis):
    """Return ``coef @ D - B @ coef @ E`` for every row of a sparse basis (k, q p): (k, q m)."""
    k = basis.shape[0]
    q = len(B)
    m = E.shape[1]
    functions = basis.reshape(k * q, E.shape[0]).tocsr()
    moved = (functions @ D).reshape(k, q * m).tocsr()
    if not B.any():
        return moved
    # a: row of the basis, i: output, j: test
    values = (functions @ E).tocoo()
    a, i = np.divmod(values.row, q)
    by_test = sparse.coo_array((values.data, (a * m + values.col, i)), shape=(k * m, q))
    turned = (by_test.tocsr() @ sparse.csr_array(B.T)).tocoo()
    a, j = np.divmod(turned.row, m)
    where = (a, turned.col * m + j)
    return moved - sparse.coo_array((turned.data, where), shape=(k, q * m)).tocsr()


def _orthonormal_after(basis, change):
    """Return an orthonormal basis of the space after an ill-conditioned change of coordinates.

    Echelon form first: functions of very different size, such as monomials of several degrees in
    large units, must not be mixed when they are orthogonalised.
    """
    separate = reduced_echelon(basis.toarray(), rtol=0.0)
    return sparse.csr_array(orthonormal_rows(separate @ change)[0])


def _connecting(linear, offset):
    """Choose generators that each join two components of the coordinate graph; one at least.

    Node 0 stands for the constant, so that translations connect too.
    """
    parent = list(range(offset.shape[1] + 1))

    def root(i):
        while parent[i] != i:
            i = parent[i]
        return i

    chosen = []
    for a in range(len(offset)):
        i, j = np.nonzero(linear[a])
        shifted = np.flatnonzero(offset[a]) + 1
        edges = chain(zip(i + 1, j + 1, strict=True), ((0, k) for k in shifted))
        joined = False
        for edge in edges:
            first = root(edge[0])
            second = root(edge[1])
            if first != second:
                parent[first] = second
                joined = True
        if joined:
            chosen.append(a)
    return chosen or [0]
