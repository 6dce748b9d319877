"""The null space of the constraints: all functions of a library that have a symmetry."""

import warnings
from itertools import chain
from numbers import Real

import numpy as np
from scipy import sparse

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
from sksym.algebras import LieAlgebra, VectorFields, flat_generators
from sksym.equivariant.placement import probe_points
from sksym.libraries import NotClosedError, library_values
from sksym.lie_derivative import LieDerivative
from sksym.representations import represent, represent_group


def equivariant_basis(library, algebra=None, group=None, output=None, *, points=None, rtol=1e-10):
    """Orthonormal basis of the functions in a library that have a symmetry.

    All ``coef`` with ``L(xi, coef) = 0`` for every generator and ``rho(g)^-1 F(g x) = F(x)`` for
    every element.

    Parameters
    ----------
    library : fitted library
    algebra : LieAlgebra or VectorFields, default=None
    group : FiniteGroup, default=None
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
    if isinstance(algebra, VectorFields):
        return _unmoved(library, algebra, group, points, rtol)
    B, rho, q = output_matrices(output, algebra, group)
    if algebra is not None:
        algebra, B = _independent(algebra, B)
    size = q * library.n_output_features_
    require_memory(
        300.0 * size,
        f"{size:,} unknown coefficients ({q} outputs times "
        f"{library.n_output_features_:,} functions)",
        "Reduce the degree of the library or the number of features or outputs.",
    )
    if hasattr(library, "unit_fields"):
        motions = _BalancedPolynomials(library, algebra, group, B, rho)
    elif _is_closed(library, algebra, group):
        motions = _Closed(library, algebra, group, B, rho)
    else:
        motions = _Sampled(library, algebra, group, B, rho, points)
        rtol = max(rtol, getattr(library, "jacobian_rtol_", 0.0))
    return motions.in_library(_solve(motions, q, rtol))


def _unmoved(library, fields, group, points, rtol):
    """The functions that do not change along fields beyond affine, from their values at points."""
    if group is not None:
        raise ValueError("Fields beyond affine cannot be combined with a `group` yet.")
    points = probe_points(points, 2 * library.n_output_features_ + 50)
    if not fields.dim:
        return sparse.eye_array(library.n_output_features_, format="csr")
    L = LieDerivative.sampled(library, fields, None, points)
    size = np.linalg.norm(L.E.toarray(), axis=1)
    unit = sparse.diags_array(1 / np.where(size > 0, size, 1.0))
    motion = LieDerivative(unit @ L.D, unit @ L.E, None, L.generators).constraint_matrix()
    rtol = max(rtol, getattr(library, "jacobian_rtol_", 0.0))
    return _orthonormal_after(null_space(motion, rtol), unit)


def _independent(algebra, B):
    """The algebra without generators that are combinations of the others."""
    kept = independent_rows(flat_generators(algebra.linear, algebra.offset))
    if len(kept) == algebra.dim:
        return algebra, B
    warnings.warn(
        f"{algebra.dim} generators span {len(kept)} dimensions: "
        f"the dependent ones add no constraint and are left out.",
        UserWarning,
        stacklevel=4,
    )
    names = [algebra.names[a] for a in kept]
    reduced = LieAlgebra(algebra.linear[kept], algebra.offset[kept], names)
    return reduced, None if B is None else B[kept]


def output_matrices(output, algebra, group):
    """How the outputs move: ``B`` (r, q, q) and ``rho`` (k, q, q), or None, and q."""
    if output is None:
        return None, None, 1
    B = rho = None
    if algebra is None and group is None:
        raise ValueError(
            "`output` says how outputs move, but neither `algebra` nor `group` is set."
        )
    if group is not None and not callable(output):
        raise ValueError(
            "`output` as an array speaks of an algebra only: with a `group` give a representation "
            "such as vector, which knows how finite elements act too."
        )
    if algebra is not None:
        B = represent(output, algebra)
    if group is not None:
        rho = represent_group(output, group, None if B is None else B.shape[1])
    q = (rho if B is None else B).shape[1]
    return B, rho, q


def _solve(motions, q, rtol):
    """Impose a generating set, then random combinations until none is left to impose."""
    parts, bounds, r = [], [], len(motions.offset)
    size = matrix_norms(motions.linear) + np.linalg.norm(motions.offset, axis=1)
    weights = 1 / np.where(size > 0, size, 1.0)  # generators may differ in units
    B = np.zeros((r, q, q)) if motions.B is None else motions.B
    if r:
        C = motions.first() * weights
        L = LieDerivative(*motions.derivative(C), np.tensordot(C, B, 1), np.eye(len(C)))
        parts.append(L.constraint_matrix())
        bounds.append(spectral_bound(parts[0]))
    for k in range(motions.n_elements):
        K, E = motions.moved(k)
        inverse = np.eye(q) if motions.rho is None else np.linalg.inv(motions.rho[k])
        parts.append(sparse.kron(inverse, K.T) - sparse.kron(np.eye(q), E.T))
        # A full turn leaves nothing but round-off: compare with what was subtracted.
        bounds.append(np.linalg.norm(inverse, 2) * spectral_bound(K) + spectral_bound(E))
    size = q * motions.library.n_output_features_
    basis = sparse.eye_array(size, format="csr")
    if parts:
        basis = null_space(sparse.vstack(parts), rtol, scale=max(bounds))
    rng, n_random = np.random.default_rng(0), 1
    while r and basis.shape[0]:
        parts, bounds = [], []
        for C in rng.normal(size=(n_random, 1, r)) * weights:
            D, E = motions.derivative(C)
            moving = np.tensordot(C, B, 1)[0]
            bounds.append(spectral_bound(D) + np.linalg.norm(moving, 2) * spectral_bound(E))
            parts.append(_along(D, E, moving, basis).T)
        kept = null_space(sparse.vstack(parts), rtol, scale=max(bounds))
        if kept.shape[0] == basis.shape[0]:
            break
        basis = sparse.csr_array(kept @ basis)
        n_random = min(2 * n_random, r)  # where brackets give little, as of translations
    return basis


def _along(D, E, B, basis):
    """``coef @ D - B @ coef @ E`` for every row of a sparse basis (k, q p): (k, q m) sparse."""
    k, q, m = basis.shape[0], len(B), E.shape[1]
    functions = basis.reshape(k * q, E.shape[0]).tocsr()
    moved = (functions @ D).reshape(k, q * m).tocsr()
    if not B.any():
        return moved
    tested = (functions @ E).tocoo()
    a, i = np.divmod(tested.row, q)
    turned = sparse.coo_array((tested.data, (a * m + tested.col, i)), shape=(k * m, q))
    turned = (turned.tocsr() @ sparse.csr_array(B.T)).tocoo()
    a, j = np.divmod(turned.row, m)
    turned = sparse.coo_array((turned.data, (a, turned.col * m + j)), shape=(k, q * m))
    return moved - turned.tocsr()


class _Motions:
    """A symmetry acting on a library: fields, elements, and how they move the outputs."""

    def __init__(self, library, algebra, group, B, rho):
        d = library.n_features_in_
        self.library, self.algebra, self.group = library, algebra, group
        self.B, self.rho = B, rho
        self.linear, self.offset = np.zeros((0, d, d)), np.zeros((0, d))
        if algebra is not None:
            self.linear, self.offset = algebra.linear, algebra.offset
        self.n_elements = 0 if group is None else len(group.matrices)

    # Subclasses have `derivative(C)`, the matrices (D, E) of the combinations `C` (k, r) of the
    # fields, and `moved(k)`, the values (K, E) at the points moved by element k and at the points.

    def first(self):
        """Combinations of the generators (k, r) to impose first."""
        return np.eye(len(self.offset))[_connecting(self.linear, self.offset)]

    def in_library(self, basis):
        """The basis found, in the coordinates of the library."""
        return basis

    def _identity(self):
        return sparse.eye_array(self.library.n_output_features_, format="csr")


class _Closed(_Motions):
    """On a library that gives its own matrices; the tests are its own functions."""

    def derivative(self, C):
        D = self.library.lie_matrices(self.algebra.combine(C))
        return sparse.csr_array(D), self._identity()

    def moved(self, k):
        return sparse.csr_array(self.library.group_matrix(self.group.matrices[k])), self._identity()


class _BalancedPolynomials(_Motions):
    """On polynomials, in coordinates ``v = P u``, ``F' = Q F`` as near normal as can be."""

    def __init__(self, library, algebra, group, B, rho):
        super().__init__(library, algebra, group, B, rho)
        self.table = library.monomials_
        if algebra is not None:
            self.linear, self.offset = library.unit_fields(algebra)
            self._undo_translations()
        self.maps = [library.unit_map(g) for g in (() if group is None else group.matrices)]
        self.P = balance(np.concatenate([self.linear, *(g[None] for g, _ in self.maps)]))
        if self.P is not None:
            inverse = np.linalg.inv(self.P)
            self.linear = self.P @ self.linear @ inverse
            self.offset = self.offset @ self.P.T
            self.maps = [(self.P @ g @ inverse, self.P @ t) for g, t in self.maps]
        moving = [part for part in (self.B, self.rho) if part is not None]
        self.Q = balance(np.concatenate(moving)) if moving else None
        if self.Q is not None:
            inverse = np.linalg.inv(self.Q)
            self.B = None if self.B is None else self.Q @ self.B @ inverse
            self.rho = None if self.rho is None else self.Q @ self.rho @ inverse

    def _undo_translations(self):
        """Move the centres of rotations and the like to the origin where translations allow it.

        A far centre would tie the degrees together by large numbers.
        """
        pure = ~self.linear.any(axis=(1, 2))
        if not pure.any() or not self.offset[~pure].any():
            return
        amount = self.offset[~pure] @ np.linalg.pinv(self.offset[pure])
        size = np.abs(self.offset[~pure])
        left = self.offset[~pure] - amount @ self.offset[pure]
        self.offset = self.offset.copy()
        self.offset[~pure] = np.where(np.abs(left) <= 1e-12 * size, 0.0, left)
        if self.B is not None:
            self.B = self.B.copy()
            self.B[~pure] -= np.tensordot(amount, self.B[pure], 1)

    def derivative(self, C):
        linear, offset = np.tensordot(C, self.linear, 1), C @ self.offset
        return self.table.lie_matrices(linear, offset), self._identity()

    def moved(self, k):
        return self.table.substitute(*self.maps[k]), self._identity()

    def in_library(self, basis):
        if (self.P is None and self.Q is None) or not basis.shape[0]:
            return basis
        K = self._identity()
        if self.P is not None:
            K = self.table.substitute(self.P, np.zeros(len(self.P)))
        q = basis.shape[1] // self.table.p
        turn = np.eye(q) if self.Q is None else np.linalg.inv(self.Q).T
        return sparse.csr_array(orthonormal_rows(basis @ sparse.kron(turn, K))[0])


class _Sampled(_Motions):
    """On any library, tested at points, its functions in units of their size there."""

    def __init__(self, library, algebra, group, B, rho, points):
        super().__init__(library, algebra, group, B, rho)
        self.points = probe_points(points, 2 * library.n_output_features_ + 50)
        if algebra is not None:
            self.offset = self.offset / (np.abs(self.points).max() or 1.0)  # as the data notice it
            size = matrix_norms(self.linear) + np.linalg.norm(self.offset, axis=1)
            xi = np.random.default_rng(1).normal(size=algebra.dim) / np.where(size > 0, size, 1.0)
            M, t = algebra.exp(xi)
            self.points = np.concatenate([self.points, self.points @ M.T + t])
        size = np.sqrt(np.mean(library_values(library, self.points) ** 2, axis=0))
        self.unit = sparse.diags_array(1 / np.where(size > 0, size, 1.0))

    def first(self):
        # Nothing is sparse here, and two random elements generate all but everything.
        r = len(self.offset)
        return np.random.default_rng(2).normal(size=(min(r, 2), r))

    def derivative(self, C):
        L = LieDerivative.sampled(self.library, self.algebra.combine(C), None, self.points)
        L = L.in_own_generators()
        return sparse.csr_array(self.unit @ L.D), sparse.csr_array(self.unit @ L.E)

    def moved(self, k):
        there = self.points @ self.group.matrices[k].T
        K, E = (library_values(self.library, Z).T for Z in (there, self.points))
        return tuple(sparse.csr_array(self.unit @ Z / np.sqrt(len(self.points))) for Z in (K, E))

    def in_library(self, basis):
        if not basis.shape[0]:
            return basis
        q = basis.shape[1] // self.unit.shape[0]
        return _orthonormal_after(basis, sparse.kron(sparse.eye_array(q), self.unit))


def _orthonormal_after(basis, change):
    """Orthonormal basis of the space after an ill-conditioned change of coordinates.

    Echelon form first: functions of very different size, such as monomials of several degrees in
    large units, must not be mixed when they are orthogonalised.
    """
    separate = reduced_echelon(basis.toarray(), rtol=0.0)
    return sparse.csr_array(orthonormal_rows(separate @ change)[0])


def _is_closed(library, algebra, group):
    """Whether the library gives exact matrices for these motions."""
    try:
        if algebra is not None:
            library.lie_matrices(algebra)
        for g in () if group is None else group.matrices:
            library.group_matrix(g)
    except (NotClosedError, AttributeError):
        return False
    return True


def _connecting(linear, offset):
    """Generators that each join two components of the coordinate graph; the first at least.

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
        for i, j in edges:
            i, j = root(i), root(j)
            if i != j:
                parent[i] = j
                joined = True
        if joined:
            chosen.append(a)
    return chosen or [0]
