"""The space of symmetric functions: placing a library, and the null space of the constraints."""

import warnings
from itertools import chain

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.base import clone

from sksym._linalg import (
    balance,
    independent_rows,
    matrix_norms,
    null_space,
    orthonormal_rows,
    require_memory,
    spectral_bound,
)
from sksym.algebras import LieAlgebra
from sksym.groups import FiniteGroup
from sksym.libraries import NotClosedError
from sksym.lie_derivative import LieDerivative
from sksym.representations import represent, represent_group


def placement(low, high, algebra, group):
    """Where a library should be centred and how it should be scaled.

    Parameters
    ----------
    low, high : ndarray of shape (d,)
        Range of the data.
    algebra : LieAlgebra or None
    group : FiniteGroup or None

    Returns
    -------
    center : ndarray of shape (d,)
        The fixed point of the symmetry nearest the middle of the range, for every set of
        coordinates that it mixes; the middle itself for a set without fixed point.
    scale : ndarray of shape (d,)
        A power of two for every such set.
    """
    d = len(low)
    center = (low + high) / 2.0
    fields, shifts, mixing = np.zeros((0, d, d)), np.zeros((0, d)), np.eye(d)
    if algebra is not None and algebra.dim:
        mixing = mixing + np.abs(algebra.linear).sum(axis=0)
        fields, shifts = _few(algebra.linear, algebra.offset, d + 1)
    if group is not None:
        moved = group.matrices - np.eye(d)
        mixing = mixing + np.abs(moved).sum(axis=0)
        fields, shifts = (
            np.concatenate([fields, moved]),
            np.concatenate([shifts, np.zeros((len(moved), d))]),
        )
    _, label = connected_components(sparse.csr_array(mixing), directed=False)
    scale = np.ones(d)
    for mine in (np.flatnonzero(label == k) for k in range(label.max() + 1)):
        A = fields[:, mine[:, None], mine].reshape(-1, len(mine))
        b = shifts[:, mine].ravel()
        correction = np.linalg.lstsq(A, -b - A @ center[mine], rcond=1e-10)[0] if A.any() else 0.0
        fixed = center[mine] + correction
        size = np.abs(A) @ (np.abs(fixed) + np.abs(center[mine])) + np.abs(b)
        if (np.abs(A @ fixed + b) <= 1e-9 * size.max(initial=0)).all():
            largest = max(np.abs(fixed).max(), np.abs(center[mine]).max())
            fixed[np.abs(fixed) <= 1e-13 * largest] = 0
            center[mine] = fixed
        reach = np.maximum(np.abs(high[mine] - center[mine]), np.abs(low[mine] - center[mine]))
        scale[mine] = np.exp2(np.ceil(np.log2(reach.max()))) if reach.max() > 0 else 1.0
    return center, scale


def place(template, X, algebra=None, group=None, near=None):
    """A fitted copy of a library, centred and scaled for a symmetry where it can be.

    Parameters
    ----------
    near : ndarray of shape (d,), default=None
        Take the fixed point nearest to this point; None: to the middle of the data's range.

    Returns
    -------
    library : fitted library
    extremes : ndarray
        The few rows that the library's place depends on; all of `X` where it does not say.
    """
    library = clone(template)
    extremes = library.extremes(X) if hasattr(library, "extremes") else X
    known = library.get_params(deep=False)
    if known.get("center", 0) is None or known.get("scale", 0) is None:
        low, high = X.min(axis=0), X.max(axis=0)
        center = known["center"]
        if center is None:
            ends = (low, high) if near is None else (near, near)
            center, _ = placement(*ends, algebra, group)
        # The scale as seen from the centre that is used.
        reach = np.maximum(np.abs(high - center), np.abs(low - center))
        _, scale = placement(center - reach, center + reach, algebra, group)
        library.set_params(center=center, scale=scale if known["scale"] is None else known["scale"])
    return library.fit(extremes), extremes


def on_features(algebra, group, d):
    """The algebra and the group for data with d features, checked.

    Callables (``so``, ``permutations``) are called with d.
    """
    resolved = []
    for value, kind, name in ((algebra, LieAlgebra, "algebra"), (group, FiniteGroup, "group")):
        value = value(d) if callable(value) else value
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"`{name}` must be a {kind.__name__}, or a function of the number of features "
                f"that makes one, got {value!r}."
            )
        if value is not None and value.n_features != d:
            raise ValueError(
                f"`{name}` acts on R^{value.n_features}, but X has {d} features: build it on "
                f"R^{d}, or name the {value.n_features} columns it moves with on_columns."
            )
        resolved.append(value)
    return resolved


def equivariant_basis(library, algebra=None, group=None, output=None, *, points=None, rtol=1e-10):
    """Orthonormal basis of the functions in a library that have a symmetry.

    All ``coef`` with ``L(xi, coef) = 0`` for every generator and ``rho(g)^-1 F(g x) = F(x)`` for
    every element.

    Parameters
    ----------
    library : fitted library
    algebra : LieAlgebra, default=None
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
    back = None
    if hasattr(library, "unit_fields"):
        action = _BalancedPolynomials(library, algebra, group)
        Q = balance(
            np.concatenate([part for part in (B, rho) if part is not None] or [np.zeros((0, q, q))])
        )
        if Q is not None:
            inverse = np.linalg.inv(Q)
            B = None if B is None else Q @ B @ inverse
            rho = None if rho is None else Q @ rho @ inverse
        if Q is not None or action.P is not None:
            back = sparse.kron(np.eye(q) if Q is None else inverse.T, action.change())
    elif _is_closed(library, algebra, group):
        action = _Closed(library, algebra, group)
    else:
        action = _Sampled(library, algebra, group, points)
        rtol = max(rtol, getattr(library, "jacobian_rtol_", 0.0))
    basis = _solve(action, group, B, rho, q, rtol)
    if back is None or not basis.shape[0]:
        return basis
    return sparse.csr_array(orthonormal_rows(basis @ back)[0])


def _independent(algebra, B):
    """The algebra without generators that are combinations of the others."""
    flat = np.concatenate([algebra.offset, algebra.linear.reshape(algebra.dim, -1)], axis=1)
    kept = independent_rows(flat)
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
    """How the outputs move: ``B`` (r, q, q) and ``rho`` (k, q, q), None where there is nothing to move, and q."""
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


def _solve(action, group, B, rho, q, rtol):
    """Impose a generating set, then random combinations until none is left to impose."""
    parts, r = [], len(action.offset)
    size = matrix_norms(action.linear) + np.linalg.norm(action.offset, axis=1)
    weights = 1 / np.where(size > 0, size, 1.0)  # generators may differ in units
    if r:
        C = np.diag(weights)[_connecting(action.linear, action.offset)]
        D, E = action.derivative(C)
        moving = None if B is None else np.tensordot(C, B, 1)
        parts.append(LieDerivative(D, E, moving, np.eye(len(C))).constraint_matrix(q))
    for k in range(0 if group is None else len(group.matrices)):
        K, E = action.moved(k)
        inverse = np.eye(q) if rho is None else np.linalg.inv(rho[k])
        parts.append(sparse.kron(inverse, K.T) - sparse.kron(np.eye(q), E.T))
    p = action.library.n_output_features_
    basis = null_space(sparse.vstack(parts), rtol) if parts else sparse.eye_array(q * p).tocsr()
    rng = np.random.default_rng(0)
    while r and basis.shape[0]:
        C = rng.normal(size=(1, r)) * weights
        D, E = action.derivative(C)
        moving = np.zeros((q, q)) if B is None else np.tensordot(C, B, 1)[0]
        scale = spectral_bound(D) + np.linalg.norm(moving, 2) * spectral_bound(E)
        kept = null_space(_along(D, E, moving, basis).T, rtol, scale=scale)
        if kept.shape[0] == basis.shape[0]:
            break
        basis = sparse.csr_array(kept @ basis)
    return basis


def _along(D, E, B, basis):
    """``coef @ D - B @ coef @ E`` for every row of a sparse basis (k, q p): (k, q m) sparse."""
    (k, _), q, (p, m) = basis.shape, len(B), E.shape
    moved = (basis.reshape(k * q, p).tocsr() @ D).reshape(k, q * m).tocsr()
    if not B.any():
        return moved
    tested = (basis.reshape(k * q, p).tocsr() @ E).tocoo()
    a, i = np.divmod(tested.row, q)
    turned = sparse.coo_array((tested.data, (a * m + tested.col, i)), shape=(k * m, q))
    turned = (turned.tocsr() @ sparse.csr_array(B.T)).tocoo()
    a, j = np.divmod(turned.row, m)
    turned = sparse.coo_array((turned.data, (a, turned.col * m + j)), shape=(k, q * m))
    return moved - turned.tocsr()


class _Closed:
    """A library that gives its own matrices."""

    def __init__(self, library, algebra, group):
        self.library, self.algebra, self.group = library, algebra, group
        self.linear, self.offset = _arrays(algebra, library)
        self.E = sparse.eye_array(library.n_output_features_, format="csr")

    def derivative(self, C):
        return self.library.lie_matrices(self.algebra.combine(C)), self.E

    def moved(self, k):
        return self.library.group_matrix(self.group.matrices[k]), self.E


class _BalancedPolynomials:
    """Polynomials in coordinates ``v = P u`` in which the symmetry is as near normal as possible."""

    def __init__(self, library, algebra, group):
        self.library, self.table = library, library.monomials_
        self.E = sparse.eye_array(self.table.p, format="csr")
        self.linear, self.offset = (
            _arrays(None, library) if algebra is None else library.unit_fields(algebra)
        )
        self.maps = [] if group is None else [library.unit_map(g) for g in group.matrices]
        self.P = balance(np.concatenate([self.linear, *(g[None] for g, _ in self.maps)]))
        if self.P is not None:
            inverse = np.linalg.inv(self.P)
            self.linear = self.P @ self.linear @ inverse
            self.offset = self.offset @ self.P.T
            self.maps = [(self.P @ g @ inverse, self.P @ t) for g, t in self.maps]

    def derivative(self, C):
        linear, offset = np.tensordot(C, self.linear, 1), C @ self.offset
        return self.table.lie_matrices(linear, offset), self.E

    def moved(self, k):
        return self.table.substitute(*self.maps[k]), self.E

    def change(self):
        """``K`` with ``phi(v) = K phi(u)``."""
        if self.P is None:
            return self.E
        return self.table.substitute(self.P, np.zeros(len(self.P)))


class _Sampled:
    """Any library, tested at points."""

    def __init__(self, library, algebra, group, points):
        self.library, self.algebra, self.group = library, algebra, group
        self.linear, self.offset = _arrays(algebra, library)
        self.points = _test_points(library, algebra, group, points)

    def derivative(self, C):
        L = LieDerivative.sampled(self.library, self.algebra.combine(C), X=self.points)
        p, m = L.E.shape
        # Back from the orthonormal generators to the combinations asked for.
        mixing = sparse.kron(np.linalg.pinv(L.generators).T, sparse.eye_array(m))
        return sparse.csr_array(L.D @ mixing), L.E

    def moved(self, k):
        size = np.sqrt(len(self.points))
        there = self.library.transform(self.points @ self.group.matrices[k].T)
        return there.T / size, self.library.transform(self.points).T / size


def _arrays(algebra, library):
    d = library.n_features_in_
    return (
        (np.zeros((0, d, d)), np.zeros((0, d)))
        if algebra is None
        else (algebra.linear, algebra.offset)
    )


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


def _few(linear, offset, k):
    """At most k random combinations of the generators: they have the same common fixed points."""
    if len(linear) <= k:
        return linear, offset
    C = np.random.default_rng(0).normal(size=(k, len(linear)))
    return np.tensordot(C, linear, 1), C @ offset


def _test_points(library, algebra, group, points):
    """Points that determine the functions near the data and along the orbits through it."""
    rng = np.random.default_rng(0)
    n = 2 * library.n_output_features_ + 50
    points = np.asarray(points, float)
    chosen = points[rng.choice(len(points), n, replace=len(points) < n)]
    half = np.ptp(points, axis=0) / 2
    half[half == 0] = half.max(initial=0) or 1.0
    around = chosen + rng.uniform(-1, 1, chosen.shape) * half
    along = chosen
    if algebra is not None:
        M, t = algebra.exp(rng.normal(size=algebra.dim))
        along = along @ M.T + t
    return np.concatenate([chosen, around, along])
