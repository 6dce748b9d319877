"""The heart: the Lie derivative as one bilinear map with three readings.

Notation, used in every module:

====================  =====================================================================
`n, d, q`             samples, input features, outputs
`p, r, m`             library functions, generators, tests
`X`, `Y`, `Phi`       data (n, d), targets (n, q), library values (n, p)
`coef` (q, p)         the function ``F(x) = coef @ phi(x)``; always this way round
`xi` (r,)             coordinates in the basis of a Lie algebra
`A` (r, d, d)         generator a moves x along the vector field ``A_a x + b_a``,
`b` (r, d)            ``A_a x`` alone where b is zero
`B` (r, q, q)         how the same generator moves the output (zero: invariance)
====================  =====================================================================

The Lie derivative of F along xi is ``(L_xi F)(x) = dF(x)[A(xi) x + b(xi)] - B(xi) F(x)``; F is
equivariant under the connected group exactly when it vanishes for every generator (Otto et al.
2025, theorem 4). Tested with finitely many functionals it is bilinear in (xi, coef)::

    L(xi, coef) = coef @ D(xi) - B(xi) @ coef @ E,    D(xi) = sum_a xi_a D_a

Hold xi fixed and look for coef: *enforce*. Hold coef fixed and look for xi: *discover*. Hold
neither and penalise the rank: *promote*.

F need not be seen directly. Through a linear operator `op` (a bracket, a quadrature, a weak form)
the same map has ``D_a = op(L_a phi)``, ``E = op(phi)`` and, where a motion acts on a part of the
equation that has no coefficient, a constant: ``L(xi, coef) = coef @ D(xi) - B(xi) @ coef @ E -
d(xi)``.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import qr

from sksym._estimator import checked_weights
from sksym._linalg import EPS, affine_solution, null_space, one_thread, require_memory, row_blocks
from sksym._linalg.plain_state import PlainState
from sksym.groups import represent
from sksym.libraries import NotClosedError, library_values

_COMPRESSED = 4 * EPS  # pivots of compressed tests relative to the largest that are kept


@dataclass(frozen=True, eq=False)
class LieDerivative(PlainState):
    """``L(xi, coef) = (coef @ D(xi) - B(xi) @ coef @ E) @ T - d(xi)`` in m orthonormal tests.

    Made by `exact`, `sampled` or `through`. They refer to an orthonormal basis of the algebra's
    span, under ``trace(xi^T eta)`` of the homogeneous matrices in the coordinates of the library's
    box, so that singular values and nuclear norms do not depend on units or on the basis chosen.

    Attributes
    ----------
    D : csr_array of shape (p, r s)
        ``D_a`` side by side, in s coordinates in which they are sparse: those of the library
        itself where it is closed under the algebra.
    E : csr_array of shape (p, s)
    B : ndarray of shape (r, q, q), or None
        None: every output is invariant.
    generators : ndarray of shape (r, r_algebra)
        The basis of the span in the algebra's own generators.
    T : csr_array of shape (s, m), or None
        From those coordinates to orthonormal tests; None: the coordinates are the tests. It
        is kept apart, because ``D_a T`` is dense: memory is O(nnz(D) + s m), not O(r p m).
    constant : ndarray of shape (r, q, m), or None
        ``d``, the inhomogeneous part of the action; None: zero.
    """

    D: sparse.csr_array
    E: sparse.csr_array
    B: np.ndarray | None
    generators: np.ndarray
    T: sparse.csr_array | None = None
    constant: np.ndarray | None = None

    # -------------------------------------------------------------------------- constructors

    @classmethod
    def exact(cls, library, algebra, output=None, X=None):
        """Build the Lie derivative of a fitted library that is closed under the algebra.

        Tests are the coordinates in functions that are orthonormal under the library's measure:
        for polynomials the uniform probability measure on their box.

        Parameters
        ----------
        library : fitted Library
        algebra : LieAlgebra
        output : representation or array of shape (r, q, q), default=None
        X : ndarray of shape (n, d), default=None
            Points whose mean is the measure of a library that has none of its own.

        Raises
        ------
        NotClosedError
            If the library is not closed under this algebra.
        """
        _require_dimension(algebra, library.n_features_in_)
        B = None if output is None else represent(output, algebra)
        # First of all whether the library is closed: other errors have other remedies.
        D = closed_lie_matrices(library, algebra)
        box = _box_of_measure(library) if X is None else library.box(X)
        p = D.shape[0]
        tests = library.orthonormal_coordinates(X)
        # The tests of an exact library are its own functions, in which D is sparse.
        own = cls(
            D,
            sparse.eye_array(p, format="csr"),
            B,
            generators=np.eye(algebra.dim),
            T=sparse.csr_array(tests),
        )
        combinations = algebra.orthonormal_coordinates(box, X)
        return own.in_generators(combinations)

    @classmethod
    def in_tests(cls, library, algebra, B, tests):
        """Build it in the algebra's own generators, exactly, in tests that are given.

        Parameters
        ----------
        library : fitted Library
        algebra : LieAlgebra
        B : ndarray of shape (r, q, q), or None
        tests : array or sparse array of shape (p, m)
            Values of the library functions in the tests.

        Raises
        ------
        NotClosedError
            If the library is not closed under this algebra.
        """
        D = closed_lie_matrices(library, algebra)
        p = D.shape[0]
        return cls(
            D,
            sparse.eye_array(p, format="csr"),
            B,
            generators=np.eye(algebra.dim),
            T=sparse.csr_array(tests),
        )

    @classmethod
    def sampled(cls, library, algebra, output, X, sample_weight=None):
        """Build it for any fitted library with a Jacobian, and any algebra or `VectorFields`.

        Test j is the value at row ``x_j`` of `X` (n, d), over sqrt(n) or with the square root of
        its normalised weight. Rows are streamed and compressed by rank-revealing QR, which keeps
        all inner products between tests; memory is O((r + 1) p rank), not O(n).

        Parameters
        ----------
        library : fitted Library
        algebra : LieAlgebra or VectorFields
        output : representation or array of shape (r, q, q), or None
        X : array-like of shape (n, d)
        sample_weight : array-like of shape (n,), default=None
        """
        X = np.asarray(X, dtype=float)
        _require_dimension(algebra, X.shape[1])
        B = None if output is None else represent(output, algebra)
        factor = _streamed_tests(library, algebra, X, sample_weight)
        m = len(factor)
        r = algebra.dim
        p = library.n_output_features_
        values = factor[:, :p]
        # From (test, generator, function) to the matrices (function, test) side by side.
        moved = factor[:, p:].reshape(m, r, p)
        D = moved.transpose(2, 1, 0).reshape(p, r * m)
        own = cls(
            sparse.csr_array(D),
            sparse.csr_array(values.T),
            B,
            generators=np.eye(r),
        )
        combinations = algebra.orthonormal_coordinates(library.box(X), X)
        return own.in_generators(combinations)

    @classmethod
    def through(cls, operator, library, candidates, output, X):
        """Build it for functions that are seen through a linear operator.

        Parameters
        ----------
        operator : callable
            ``operator(library, candidates, X)`` gives ``values`` (p, m), the library functions in
            m tests; ``moved``, sparse (p, r m), their Lie derivatives side by side; ``constant``
            (r, q, m) or None. Where the outputs move differently from point to point, that belongs
            into ``moved``.
        library : fitted Library
        candidates : LieAlgebra, VectorFields, or what has their methods
        output : representation or array of shape (r, q, q), or None
        X : ndarray of shape (n, d)

        Raises
        ------
        ValueError
            If the operator returns arrays of shapes that do not fit, or not finite.
        """
        _require_dimension(candidates, library.n_features_in_)
        values, moved, constant = operator(library, candidates, X)
        B = None if output is None else represent(output, candidates)
        values = sparse.csr_array(values)
        moved = sparse.csr_array(moved)
        if constant is not None:
            constant = np.asarray(constant, dtype=float)
        shape = (library.n_output_features_, candidates.dim)
        _check_operator(values, moved, constant, shape, B)
        own = cls(
            moved,
            values,
            B,
            generators=np.eye(candidates.dim),
            constant=constant,
        )
        combinations = candidates.orthonormal_coordinates(library.box(X), X)
        return own.in_generators(combinations)

    # ----------------------------------------------------------------------- changes of basis

    def in_generators(self, combinations):
        """Return the same map for other generators, `combinations` (k, r) of these."""
        s = self.E.shape[1]
        # Blocks of D are mixed as they are, without forming them apart: D stays sparse.
        coefficients = sparse.csr_array(combinations.T)
        mixing = sparse.kron(coefficients, sparse.eye_array(s))
        D = self.D @ mixing
        B = self.B
        if B is not None:
            B = np.tensordot(combinations, B, 1)
        constant = self.constant
        if constant is not None:
            constant = np.tensordot(combinations, constant, 1)
        return replace(
            self,
            D=sparse.csr_array(D),
            B=B,
            generators=combinations @ self.generators,
            constant=constant,
        )

    def in_own_generators(self):
        """Return the same map with `xi` in the algebra's own generators."""
        # Dependent generators get equal matrices where their fields are equal.
        to_own = np.linalg.pinv(self.generators)
        own = self.in_generators(to_own)
        r = len(to_own)
        return replace(own, generators=np.eye(r))

    def in_units_of(self, size):
        """Return the same map for library functions divided by `size` (p,)."""
        unit = sparse.diags_array(1 / size)
        return replace(
            self,
            D=sparse.csr_array(unit @ self.D),
            E=sparse.csr_array(unit @ self.E),
        )

    def coordinates(self, eta):
        """Return rows in this basis of generators, (.., r), in the algebra's own generators."""
        return np.asarray(eta) @ self.generators

    # ------------------------------------------------------------------------------ readings

    @property
    def n_generators(self):
        """Number of generators in this basis, r."""
        return len(self.generators)

    @property
    def n_functions(self):
        """Number of library functions, p."""
        return self.E.shape[0]

    @property
    def n_tests(self):
        """Number of tests, m."""
        tests = self.E if self.T is None else self.T
        return tests.shape[1]

    @cached_property
    def values(self):
        """The library functions in the tests: sparse (p, m)."""
        if self.T is None:
            return self.E
        return sparse.csr_array(self.E @ self.T)

    def changes_of(self, functions, xi):
        """Return how functions (k, p) change along a generator `xi` (r,), in the tests: (k, m)."""
        s = self.E.shape[1]
        D = sparse.coo_array(self.D)
        a, j = np.divmod(D.col, s)
        values = D.data * np.ravel(xi)[a]
        along = sparse.csr_array((values, (D.row, j)), shape=self.E.shape)
        # D(xi) is sparse, but its product with the triangular tests would not be.
        changes = along.T @ functions.T
        if self.T is not None:
            changes = self.T.toarray().T @ changes
        return changes.T

    def constraint_matrix(self, q=None):
        """Enforce: return the rows (a, i, j) of ``L(e_a, coef)[i, j]``, acting on ``coef.ravel()``.

        Parameters
        ----------
        q : int, default=None
            Number of outputs where neither `B` nor `constant` says it; default 1.

        Returns
        -------
        csr_array of shape (r q m, q p)
            The constraint is ``constraint_matrix @ coef.ravel() = constraint_target``.
        """
        r = self.n_generators
        p = self.n_functions
        m = self.n_tests
        q = self._n_outputs(q)
        # coef @ D: row (a, i, j) takes coef[i, l] D_a[l, j] for every entry (l, j) of D_a.
        D = sparse.coo_array(self.moved_values)
        a, j = np.divmod(D.col, m)
        i = np.arange(q)[:, None]
        row = (a * q + i) * m + j
        column = i * p + D.row
        rows = [row.ravel()]
        columns = [column.ravel()]
        values = [np.tile(D.data, q)]
        if self.B is not None:
            # B @ coef @ E: row (a, i, j) takes B_a[i, k] coef[k, l] E[l, j].
            E = sparse.coo_array(self.values)
            a, i, k = np.nonzero(self.B)
            B_ik = self.B[a, i, k]
            output_row = a * q + i
            row = output_row[:, None] * m + E.col
            column = k[:, None] * p + E.row
            value = -B_ik[:, None] * E.data
            rows.append(row.ravel())
            columns.append(column.ravel())
            values.append(value.ravel())
        rows = np.concatenate(rows)
        columns = np.concatenate(columns)
        values = np.concatenate(values)
        # Entries of both parts at one place are added up.
        matrix = sparse.coo_array(
            (values, (rows, columns)),
            shape=(r * q * m, q * p),
        )
        return sparse.csr_array(matrix)

    def _n_outputs(self, q):
        """Return the number of outputs: of `B` or `constant`, else `q`, else 1."""
        if self.B is not None:
            return self.B.shape[1]
        if self.constant is not None:
            return self.constant.shape[1]
        return q or 1

    def constraint_target(self):
        """Return the right-hand side (r q m,) of the constraints; None: they are homogeneous."""
        if self.constant is None:
            return None
        return self.constant.ravel()

    def symmetric_coefficients(self, q=None, rtol=1e-10):
        """Enforce: solve ``L(xi, coef) = 0`` for every generator.

        Singular values of the constraints up to `rtol` of the largest count as zero; `q` is the
        number of outputs where neither `B` nor `constant` tells.

        Returns
        -------
        particular : ndarray of shape (q, p)
            The solution of least norm; zero where `constant` is None.
        basis : csr_array of shape (n_free, q p)
            Orthonormal basis of the differences of solutions.

        Raises
        ------
        ValueError
            If the inhomogeneous constraints have no solution.
        """
        matrix = self.constraint_matrix(q)
        if self.constant is None:
            basis = null_space(matrix, rtol)
            particular = np.zeros(matrix.shape[1])
        else:
            target = self.constraint_target()
            particular, basis = affine_solution(matrix, target, rtol)
        p = self.n_functions
        return particular.reshape(-1, p), basis

    def symmetry_matrix(self, coef):
        """Discover: return column a = ``vec L(e_a, coef)``, shape (q m, r), for `coef` (q, p)."""
        coef = np.atleast_2d(coef)
        q = len(coef)
        r = self.n_generators
        s = self.E.shape[1]
        m = self.n_tests
        # moved[i, a, s]: output i along generator a in the sparse coordinates s
        moved = coef @ self.D
        moved = moved.reshape(q, r, s)
        if self.B is not None:
            values = coef @ self.E
            moved = moved - np.einsum("aik,ks->ias", self.B, values)
        # Only the few numbers of this function are taken to the tests, not all of D.
        if self.T is not None:
            moved = moved.reshape(q * r, s) @ self.T
            moved = moved.reshape(q, r, m)
        if self.constant is not None:
            moved = moved - self.constant.transpose(1, 0, 2)
        by_test = moved.transpose(0, 2, 1)
        return by_test.reshape(q * m, r)

    def adjoint(self, Z):
        """Apply the transpose of the linear part of `symmetry_matrix`: (q m, r) to (q, p)."""
        r = self.n_generators
        s = self.E.shape[1]
        m = self.n_tests
        q = len(Z) // max(m, 1)  # without candidates there may be no test
        # The steps of `symmetry_matrix` in reverse order.
        by_test = np.reshape(Z, (q, m, r))
        moved = by_test.transpose(0, 2, 1)
        if self.T is not None:
            moved = moved.reshape(q * r, m) @ self.T.T
            moved = moved.reshape(q, r, s)
        coef = moved.reshape(q, r * s) @ self.D.T
        if self.B is not None:
            values = np.einsum("aik,ias->ks", self.B, moved)
            coef = coef - values @ self.E.T
        return coef

    def __call__(self, xi, coef):
        """Return ``L(xi, coef)`` (q, m), `xi` in the algebra's own generators."""
        xi = np.asarray(xi, float)
        # Of dependent generators the coordinates of least norm.
        eta = xi @ np.linalg.pinv(self.generators)
        change = self.symmetry_matrix(coef) @ eta
        return change.reshape(-1, self.n_tests)

    @cached_property
    def moved_values(self):
        """The Lie derivatives of the functions in the tests, ``D_a T`` side by side: (p, r m)."""
        if self.T is None:
            return self.D
        r = self.n_generators
        # Dense in the end: 8 bytes for a number and 4 for its column.
        require_memory(
            12.0 * r * self.n_functions * self.n_tests,
            f"The constraints of {r:,} generators on {self.n_functions:,} functions",
            "Reduce the library or the number of generators.",
        )
        generators = sparse.eye_array(r)
        moved = self.D @ sparse.kron(generators, self.T)
        return sparse.csr_array(moved)


def closed_lie_matrices(library, motions):
    """Return the library's own ``D_a`` side by side, (p, r p) sparse, checked.

    Raises NotClosedError if it is not closed under the motions, which may be fields.
    """
    if not motions.is_affine:
        raise NotClosedError("Matrices are known for affine motions only: sample the fields.")
    D = sparse.csr_array(library.lie_matrices(motions))
    p = library.n_output_features_
    expected = (p, motions.dim * p)
    if D.shape != expected:
        raise ValueError(
            f"`lie_matrices` of {type(library).__name__} returned shape {D.shape} for "
            f"{motions.dim} generators and {p} functions: it must be {expected}, the "
            "matrices D_a side by side."
        )
    return D


def _box_of_measure(library):
    """Return the box (2, d) of the measure that a library has of its own."""
    if library.domain_ is None or library.columns_ is not None:
        raise ValueError(
            f"{type(library).__name__} has no measure of its own on all columns: give points `X`."
        )
    return library.domain_


def evaluation(library, candidates, X):
    """Test by evaluation at the rows of `X`, each over sqrt(n): an operator for `through`.

    Parameters
    ----------
    library : fitted Library
    candidates : LieAlgebra or VectorFields
    X : ndarray of shape (n, d)

    Returns
    -------
    values : ndarray of shape (p, n)
    moved : csr_array of shape (p, r n)
    constant : None
    """
    unit = np.sqrt(len(X))
    values = library_values(library, X)
    slopes = library.jacobian(X)
    fields = candidates.vector_field(X)
    moved = np.einsum("npd,nad->pan", slopes, fields) / unit
    p = len(moved)
    moved = sparse.csr_array(moved.reshape(p, -1))
    return values.T / unit, moved, None


def _check_operator(values, moved, constant, shape, B):
    """Raise unless what an operator returned fits ``shape = (p, r)`` and is finite."""
    p, r = shape
    if values.ndim != 2 or values.shape[0] != p:
        raise ValueError(
            f"The operator returned values of shape {values.shape} for {p} functions: they must "
            f"have shape ({p}, m), a row for each function and a column for each test."
        )
    m = values.shape[1]
    if moved.shape != (p, r * m):
        raise ValueError(
            f"The operator returned moved values of shape {moved.shape} for {p} functions, "
            f"{m} tests and {r} generators: they must have shape {(p, r * m)}, generator by "
            "generator."
        )
    is_finite = [np.isfinite(values.data).all(), np.isfinite(moved.data).all()]
    if constant is not None:
        q = "q" if B is None else B.shape[1]
        fits = constant.ndim == 3 and constant.shape[::2] == (r, m)
        has_other_outputs = B is not None and constant.shape[1] != q
        if not fits or has_other_outputs:
            raise ValueError(
                f"The operator returned a constant of shape {constant.shape}: it must be None or "
                f"have shape ({r}, {q}, {m}), generators by outputs by tests."
            )
        is_finite.append(np.isfinite(constant).all())
    if not all(is_finite):
        raise ValueError("The operator returned NaN or infinity: leave out such tests.")


def _streamed_tests(library, algebra, X, sample_weight):
    """Compress the rows ``sqrt(w) [phi, L_1 phi, .., L_r phi]`` to (m, (r + 1) p)."""
    n, d = X.shape
    p = library.n_output_features_
    r = algebra.dim
    width = (r + 1) * p
    weight = checked_weights(sample_weight, n)
    fraction = weight / weight.sum()
    sqrt_weight = np.sqrt(fraction)
    # The factor, a block of rows and the work of the QR.
    require_memory(
        24.0 * width * min(n, p + 1024),
        f"The Lie derivatives of {p:,} functions along {r:,} generators",
        "Reduce the library or the number of generators.",
    )
    factor = np.zeros((0, width))
    with one_thread():
        # A block holds the rows and the Jacobian that they are made of.
        for rows in row_blocks(n, width + p * d):
            fields = algebra.vector_field(X[rows])
            slopes = library.jacobian(X[rows])
            moved = np.einsum("npd,nad->nap", slopes, fields)
            values = library_values(library, X[rows])
            block = np.concatenate([values[:, None], moved], axis=1)
            block = block.reshape(-1, width) * sqrt_weight[rows, None]
            factor = np.concatenate([factor, block])
            factor = _compressed(factor)
    return factor


def _compressed(rows):
    """Return fewer rows (m, k) with the same Gram matrix, by a rank-revealing QR."""
    # Columns of unit size: library functions differ by orders of magnitude.
    size = np.linalg.norm(rows, axis=0)
    size[size == 0] = 1
    R, order = qr(
        rows / size,
        mode="r",
        pivoting=True,
        check_finite=False,
    )
    pivots = np.abs(np.diag(R))
    is_genuine = pivots > _COMPRESSED * pivots.max(initial=0)
    rank = np.count_nonzero(is_genuine)
    compressed = np.empty((rank, rows.shape[1]))
    compressed[:, order] = R[:rank]
    return compressed * size


def _require_dimension(algebra, d):
    """Raise unless an algebra acts on data with d columns."""
    if algebra.n_features != d:
        raise ValueError(
            f"The algebra acts on R^{algebra.n_features}, but X has {d} features: build it on "
            f"R^{d}, or name the {algebra.n_features} columns it moves with on_columns."
        )
