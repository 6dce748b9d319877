"""The null space of the constraints: all functions of a library that have a symmetry.

Index legend: n points, d coordinates, p library functions, q outputs, m tests, r generators, k
rows of a basis. Bases are sparse (k, q p), each row the coefficients of one function.
"""

from numbers import Real

import numpy as np
from scipy import sparse

from sksym._estimator import warn
from sksym._linalg import (
    balance,
    balancing_units,
    independent_rows,
    matrix_norms,
    null_space,
    orthonormal_rows,
    require_memory,
    spectral_bound,
)
from sksym.equivariant.at_points import (
    motion_sizes,
    orthonormal_after,
    points_of_tests,
    root_mean_squares,
    size_of_outputs,
)
from sksym.groups import Group, represent, represent_elements
from sksym.libraries import NotClosedError, library_values
from sksym.lie_derivative import LieDerivative, closed_lie_matrices

_CANCELLED = 1e-12  # a translation this small beside its two parts is round-off


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
    is_number = isinstance(rtol, Real)
    if not is_number or not 0 <= rtol < 1:
        raise ValueError(f"`rtol` must lie in [0, 1), got {rtol!r}.")
    # Numerical derivatives are no more accurate than they claim.
    rtol = max(rtol, library.jacobian_rtol_)
    if not group.algebra.is_affine:
        return _unmoved_along_fields(library, group, output, points, rtol)
    B, rho, q = output_matrices(output, group)
    group, B = _independent(group, B)
    # About 300 bytes for each unknown, in the sparse constraints and the basis.
    p = library.n_output_features_
    require_memory(
        300.0 * q * p,
        f"{q * p:,} unknown coefficients ({q} outputs times {p:,} functions)",
        "Reduce the degree of the library or the number of features or outputs.",
    )
    motions = _motions(library, group, B, rho, points)
    return motions.equivariant_functions(q, rtol)


def output_matrices(output, group):
    """Return how outputs move, and their number.

    Parameters
    ----------
    output : representation or array of shape (r, q, q), or None
        None: one invariant output.
    group : Group

    Returns
    -------
    B : ndarray of shape (r, q, q), or None
        None where no generator moves the outputs.
    rho : ndarray of shape (k, q, q), or None
        None where there are no elements.
    q : int

    Raises
    ------
    ValueError
        If an array is given for a finite group, or `output` does not represent the symmetry.
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
    """Return the functions that do not change along fields beyond affine, tested at points.

    They are tested in units of their motion at the points, so that one tolerance suits all.
    """
    if group.elements.n_elements:
        raise ValueError("Fields beyond affine cannot be combined with a finite group yet.")
    fields = group.algebra
    if not fields.dim:
        return sparse.eye_array(library.n_output_features_, format="csr")
    points = points_of_tests(library, points)
    L = LieDerivative.sampled(library, fields, output, points)

    def velocities(X):
        return np.einsum("br,nrd->nbd", L.generators, fields.vector_field(X))

    size = root_mean_squares(library, points)
    motion = motion_sizes(library, velocities, points, size)
    size = motion + size_of_outputs(L.B) * size
    L = L.in_units_of(size)
    basis = null_space(L.constraint_matrix(), rtol, scale=1.0)
    unit = sparse.diags_array(1 / size)
    return orthonormal_after(basis, unit, library.jacobian_rtol_)


def _independent(group, B):
    """Return the group without generators that are combinations of the others, and their B."""
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
    algebra = algebra.take(independent)
    return Group(algebra, group.elements), B


def _motions(library, group, B, rho, points):
    """Choose how a symmetry acts on a library: on monomials, by its matrices, or at points.

    Exactly where the library is closed, so that the symmetry holds far from the data too.
    """
    exact = _OnPolynomials if library.has_all_monomials else _OnClosedLibrary
    try:
        return exact(library, group, B, rho)
    except NotClosedError:
        return _AtPoints(library, group, B, rho, points)


class _Motions:
    """A symmetry that acts on a library: fields, elements, and how they move the outputs.

    Subclasses have `derivative` and `transformed`, in tests of their own.

    Parameters
    ----------
    library : fitted Library
    group : Group
        With independent generators.
    B : ndarray of shape (r, q, q), or None
    rho : ndarray of shape (k, q, q), or None
        How generators and elements move the outputs; None: not at all.

    Attributes
    ----------
    linear : ndarray of shape (r, d, d)
    offset : ndarray of shape (r, d)
        The generators in the coordinates of the subclass.
    least_scale : float
        Size of the constraints that their entries need not show: all of them may be round-off.
    """

    least_scale = 0.0

    def __init__(self, library, group, B, rho):
        self.library = library
        self.group = group
        self.B = B
        self.rho = rho
        self.linear = group.algebra.linear
        self.offset = group.algebra.offset

    def derivative(self, C):
        """Return ``D`` (p, k m) and ``E`` (p, m) of combinations `C` (k, r) of the generators."""
        raise NotImplementedError

    def transformed(self, k):
        """Return the library functions (p, m) in the tests moved by element k, and in the tests."""
        raise NotImplementedError

    def equivariant_functions(self, q, rtol):
        """Impose a generating set, then random combinations until nothing is left to impose.

        Parameters
        ----------
        q : int
        rtol : float
            Of the null spaces.

        Returns
        -------
        csr_array of shape (n_free, q p)
            An orthonormal basis in the coordinates of the library.
        """
        r = len(self.offset)
        # Generators may differ in units.
        size = matrix_norms(self.linear) + np.linalg.norm(self.offset, axis=1)
        weights = 1 / np.where(size > 0, size, 1.0)
        B = self.B
        if B is None:
            B = np.zeros((r, q, q))
        basis = self._imposing_few(B, weights, rtol)
        # The generators that leave a function unchanged are a subspace: a fresh random one that
        # leaves the whole basis unchanged lies in all of these, so they are the whole algebra.
        rng = np.random.default_rng(0)
        n_random = 1
        while r and basis.shape[0]:
            constraints = []
            scales = []
            for C in rng.normal(size=(n_random, 1, r)) * weights:
                D, E = self.derivative(C)
                moving = np.tensordot(C, B, 1)[0]
                scale_of_outputs = np.linalg.norm(moving, 2)
                scale = spectral_bound(D) + scale_of_outputs * spectral_bound(E)
                scales.append(max(scale, self.least_scale))
                change = _along(D, E, moving, basis)
                constraints.append(change.T)
            free = null_space(
                sparse.vstack(constraints),
                rtol,
                scale=max(scales),
            )
            n_free = free.shape[0]
            if n_free == basis.shape[0]:  # nothing was left to impose
                break
            basis = sparse.csr_array(free @ basis)
            # More at once where brackets give little, as those of translations.
            n_random = min(2 * n_random, r)
        return self.in_library(basis)

    def _imposing_few(self, B, weights, rtol):
        """Return the functions with the generators that connect coordinates, and all elements.

        Generators are taken in units of their sizes, by `weights` (r,).
        """
        q = B.shape[1]
        identity = np.eye(q)
        constraints = []
        if len(B):
            C = self.first() * weights
            D, E = self.derivative(C)
            L = LieDerivative(
                D,
                E,
                B=np.tensordot(C, B, 1),
                generators=np.eye(len(C)),
            )
            along_generators = L.constraint_matrix()
            scale = max(spectral_bound(along_generators), self.least_scale)
            constraints.append((along_generators, scale))
        for k in range(self.group.elements.n_elements):
            K, E = self.transformed(k)
            inverse = identity if self.rho is None else np.linalg.inv(self.rho[k])
            # rho(g)^-1 coef K - coef E, acting on coef.ravel()
            there = sparse.kron(inverse, K.T)
            here = sparse.kron(identity, E.T)
            # A full turn leaves nothing but round-off: compare with what was subtracted.
            scale_of_outputs = np.linalg.norm(inverse, 2)
            scale = scale_of_outputs * spectral_bound(K) + spectral_bound(E)
            constraints.append((there - here, scale))
        # Each in units of its own: what generators and elements change has no common one.
        in_units = [matrix / scale for matrix, scale in constraints if scale]
        if not in_units:
            n_unknowns = q * self.library.n_output_features_
            return sparse.eye_array(n_unknowns, format="csr")
        return null_space(sparse.vstack(in_units), rtol, scale=1.0)

    def first(self):
        """Return combinations of the generators (k, r) to impose first."""
        r = len(self.offset)
        chosen = _connecting(self.linear, self.offset)
        return np.eye(r)[chosen]

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
        r = group.algebra.dim
        if r:
            rng = np.random.default_rng(0)
            self.derivative(rng.normal(size=(1, r)))
        self.elements = []
        for g in group.elements.matrices:
            K = library.group_matrix(g)
            self.elements.append(sparse.csr_array(K))

    def derivative(self, C):
        """Return the library's own matrices, and the identity."""
        algebra = self.group.algebra.combine(C)
        D = closed_lie_matrices(self.library, algebra)
        return D, self.identity()

    def transformed(self, k):
        """Return the library's own matrix of element k, and the identity."""
        return self.elements[k], self.identity()


class _OnPolynomials(_Motions):
    """On polynomials, in coordinates ``v = P u``, ``F' = Q F`` as near normal as can be.

    Attributes
    ----------
    maps : list of (ndarray of shape (d, d), ndarray of shape (d,))
        The elements in balanced coordinates.
    P : ndarray of shape (d, d), or None
    Q : ndarray of shape (q, q), or None
        None: the identity.
    mixes_units : bool
        Whether the outputs have units that differ by orders of magnitude.
    """

    def __init__(self, library, group, B, rho):
        super().__init__(library, group, B, rho)
        self.monomials = library.monomials_
        self.linear, self.offset = library.unit_fields(group.algebra)
        self._undo_translations()
        # maps: x -> g x + t of every element, in the library's units
        self.maps = [library.unit_map(g) for g in group.elements.matrices]
        matrices = [self.linear]
        for g, _ in self.maps:
            matrices.append(g[None])
        P = balance(np.concatenate(matrices))
        if P is not None:
            inverse = np.linalg.inv(P)
            self.linear = P @ self.linear @ inverse
            self.offset = self.offset @ P.T
            balanced = []
            for g, t in self.maps:
                balanced.append((P @ g @ inverse, P @ t))
            self.maps = balanced
        self.P = P
        self.mixes_units = False
        self.Q = self._balance_outputs()

    def _balance_outputs(self):
        """Bring the matrices that move outputs into balanced coordinates; return those.

        Returns
        -------
        ndarray of shape (q, q), or None for the identity
        """
        moving = []
        if self.B is not None:
            moving.append(self.B)
        if self.rho is not None:
            moving.append(self.rho)
        if not moving:
            return None
        moving = np.concatenate(moving)
        # Outputs of very different units first, which Newton steps would not reach.
        unit = balancing_units(moving)
        Q = balance(moving * (unit / unit[:, None]))
        self.mixes_units = np.ptp(unit) > 0
        if Q is None and not self.mixes_units:
            return None
        if Q is None:
            Q = np.eye(len(unit))
        Q = Q / unit
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
        has_linear_part = self.linear.any(axis=(1, 2))
        translations = self.offset[~has_linear_part]
        offset = self.offset[has_linear_part]
        if not len(translations) or not offset.any():
            return
        amount = offset @ np.linalg.pinv(translations)
        residual = offset - amount @ translations
        is_round_off = np.abs(residual) <= _CANCELLED * np.abs(offset)
        residual[is_round_off] = 0.0
        self.offset = self.offset.copy()
        self.offset[has_linear_part] = residual
        if self.B is not None:
            # The same combinations move the outputs.
            B = self.B.copy()
            B[has_linear_part] -= np.tensordot(amount, B[~has_linear_part], 1)
            self.B = B

    def derivative(self, C):
        """Return the matrices of the monomials in balanced coordinates, and the identity."""
        linear = np.tensordot(C, self.linear, 1)
        offset = C @ self.offset
        D = self.monomials.lie_matrices(linear, offset)
        return D, self.identity()

    def transformed(self, k):
        """Return the matrix of element k in balanced coordinates, and the identity."""
        linear, offset = self.maps[k]
        K = self.monomials.substitute(linear, offset)
        return K, self.identity()

    def in_library(self, basis):
        """Return the basis from balanced coordinates to those of the library, orthonormal."""
        is_identity = self.P is None and self.Q is None
        if is_identity or not basis.shape[0]:
            return basis
        K = self.identity()
        if self.P is not None:
            origin = np.zeros(len(self.P))  # balancing is linear
            K = self.monomials.substitute(self.P, origin)
        q = basis.shape[1] // self.monomials.p
        of_outputs = np.eye(q)
        if self.Q is not None:
            of_outputs = np.linalg.inv(self.Q).T
        rows = basis @ sparse.kron(of_outputs, K)
        orthonormal, L = orthonormal_rows(rows)
        if self.mixes_units:
            # As combinations of the rows: those of small outputs keep their digits too.
            orthonormal = np.linalg.solve(L, rows.toarray())
        return sparse.csr_array(orthonormal)


class _AtPoints(_Motions):
    """On any library, tested at points, its functions in units of how much they move there.

    Attributes
    ----------
    points : ndarray of shape (m, d)
        Probe points, and their images under a random finite motion.
    size : ndarray of shape (p,)
        The units: root mean squares of the terms of every constraint.
    """

    least_scale = 1.0

    def __init__(self, library, group, B, rho, points):
        super().__init__(library, group, B, rho)
        points = points_of_tests(library, points)
        # Translations in units of the points: as the data notice them.
        reach = np.abs(points).max() or 1.0
        self.offset = self.offset / reach
        algebra = group.algebra
        if algebra.dim:
            # Moved points too, so that functions are tested off the rows of the data.
            size = matrix_norms(self.linear) + np.linalg.norm(self.offset, axis=1)
            unit = np.where(size > 0, size, 1.0)
            rng = np.random.default_rng(1)
            xi = rng.normal(size=algebra.dim) / unit
            M, t = algebra.exp(xi)
            points = np.concatenate([points, points @ M.T + t])
        self.points = points
        self.size = root_mean_squares(library, points)
        if algebra.dim:
            # As they are imposed, generators have unit size.
            in_units = algebra.combine(np.diag(1 / unit))
            motion = motion_sizes(library, in_units.vector_field, points, self.size)
            moving = None if B is None else B / unit[:, None, None]
            self.size = motion + size_of_outputs(moving) * self.size

    def first(self):
        """Return two random combinations (2, r): they generate all but everything.

        Nothing is sparse here, so that there is no point in choosing.
        """
        r = len(self.offset)
        rng = np.random.default_rng(2)
        return rng.normal(size=(min(r, 2), r))

    def derivative(self, C):
        """Return Lie derivatives and values at the points, compressed."""
        algebra = self.group.algebra.combine(C)
        L = LieDerivative.sampled(self.library, algebra, None, self.points)
        L = L.in_own_generators()
        L = L.in_units_of(self.size)
        return L.D, L.E

    def transformed(self, k):
        """Return values at the images of the points under element k, and at the points."""
        g = self.group.elements.matrices[k]
        images = self.points @ g.T
        unit = self.size * np.sqrt(len(self.points))
        there = library_values(self.library, images) / unit
        here = library_values(self.library, self.points) / unit
        return sparse.csr_array(there.T), sparse.csr_array(here.T)

    def in_library(self, basis):
        """Return the basis in the library's own units, orthonormal."""
        if not basis.shape[0]:
            return basis
        outputs = sparse.eye_array(basis.shape[1] // len(self.size))
        unit = sparse.diags_array(1 / self.size)
        change = sparse.kron(outputs, unit)
        return orthonormal_after(basis, change, self.library.jacobian_rtol_)


def _along(D, E, B, basis):
    """Return ``coef @ D - B @ coef @ E`` for every row of a basis.

    Parameters
    ----------
    D, E : sparse array of shape (p, m)
    B : ndarray of shape (q, q)
    basis : csr_array of shape (k, q p)

    Returns
    -------
    csr_array of shape (k, q m)
    """
    k = basis.shape[0]
    q = len(B)
    p, m = E.shape
    functions = basis.reshape(k * q, p).tocsr()
    moved = functions @ D
    moved = moved.reshape(k, q * m).tocsr()
    if not B.any():
        return moved
    # a: row of the basis, i: output, j: test. B mixes the outputs, so they must be the columns.
    values = (functions @ E).tocoo()
    a, i = np.divmod(values.row, q)
    by_test = sparse.coo_array(
        (values.data, (a * m + values.col, i)),
        shape=(k * m, q),
    )
    mixing = sparse.csr_array(B.T)
    mixed = (by_test.tocsr() @ mixing).tocoo()
    a, j = np.divmod(mixed.row, m)
    moved_outputs = sparse.coo_array(
        (mixed.data, (a, mixed.col * m + j)),
        shape=(k, q * m),
    )
    return moved - moved_outputs.tocsr()


def _connecting(linear, offset):
    """Choose generators that each join two components of the coordinate graph; one at least.

    Of matrices (r, d, d) and translations (r, d). Node 0 is the constant, so that translations
    connect too.
    """
    # Union and find: nodes of one component have the same label.
    d = offset.shape[1]
    label = np.arange(d + 1)
    chosen = []
    for a in range(len(offset)):
        i, j = np.nonzero(linear[a])
        (shifted,) = np.nonzero(offset[a])
        first = np.concatenate([i + 1, np.zeros_like(shifted)])
        second = np.concatenate([j + 1, shifted + 1])
        joined = False
        for node, other in zip(first, second, strict=True):
            if label[node] != label[other]:
                label[label == label[node]] = label[other]
                joined = True
        if joined:
            chosen.append(a)
    return chosen or [0]
