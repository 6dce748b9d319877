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
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import qr, solve_triangular

from sksym._linalg import merge_rows, one_thread, require_memory
from sksym._estimator import checked_weights
from sksym.algebras import VectorFields, flat_generators
from sksym.libraries import NotClosedError, library_values, n_functions, row_blocks
from sksym.representations import represent

_EPS = np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class LieDerivative:
    """``L(xi, coef) = coef @ D(xi) - B(xi) @ coef @ E`` in m orthonormal tests.

    Made by `exact` or `sampled`. Both refer to an orthonormal basis of the algebra's span, under
    ``trace(xi^T eta)`` of the homogeneous matrices in the coordinates of the library's cube, so
    that singular values and nuclear norms do not depend on units or on the basis chosen.

    Attributes
    ----------
    D : csr_array of shape (p, r m)
        ``D_a`` side by side.
    E : csr_array of shape (p, m)
    B : ndarray of shape (r, q, q), or None
        None: every output is invariant.
    generators : ndarray of shape (r, r_algebra)
        The orthonormal basis in the algebra's own generators.
    """

    D: sparse.csr_array
    E: sparse.csr_array
    B: np.ndarray | None
    generators: np.ndarray

    @classmethod
    def exact(cls, library, algebra, output=None):
        """For a fitted library that is closed under the algebra.

        Tests are the coordinates in functions that are orthonormal under the library's measure:
        for polynomials the uniform probability measure on their box.

        Raises
        ------
        NotClosedError
            If the library has no ``lie_matrices`` for this algebra.
        """
        _require_closed(library)
        _require_dimension(algebra, library.n_features_in_)
        generators = orthonormal_generators(algebra, library.domain_)
        T = library.orthonormal_coordinates()
        D = sparse.csr_array(library.lie_matrices(algebra))
        D = D @ sparse.kron(sparse.csr_array(generators.T), T)
        return cls(sparse.csr_array(D), T, _combined(output, algebra, generators), generators)

    @classmethod
    def sampled(cls, library, algebra, output, X, sample_weight=None):
        """For any fitted library with a Jacobian, and any algebra or `VectorFields`.

        Test j is the value at row ``x_j`` of `X` (n, d), over sqrt(n) or with the square root of
        its normalised weight. Rows are streamed and compressed by rank-revealing QR, which keeps
        all inner products between tests; memory is O((r + 1) p rank), not O(n).
        """
        X = np.asarray(X, dtype=float)
        _require_dimension(algebra, X.shape[1])
        if isinstance(algebra, VectorFields):
            if output is not None:
                raise ValueError(
                    "Fields beyond affine move outputs differently at every point, so `output` "
                    "cannot be given with them: use affine candidates, or invariant outputs."
                )
            generators = _orthonormal_fields(algebra, X)
        else:
            box = getattr(library, "domain_", None)
            generators = orthonormal_generators(algebra, _box(X) if box is None else box)
        factor = _streamed_tests(library, algebra, X, sample_weight)
        p, m = factor.shape[1] // (algebra.dim + 1), len(factor)
        D = np.tensordot(generators, factor[:, p:].reshape(m, algebra.dim, p), (1, 1))
        D = sparse.csr_array(D.transpose(2, 0, 1).reshape(p, -1))  # a: generator, k: row, j: test
        E = sparse.csr_array(factor[:, :p].T)
        return cls(D, E, _combined(output, algebra, generators), generators)

    @property
    def n_generators(self):
        return len(self.generators)

    def constraint_matrix(self, q=None):
        """Enforce: rows (a, i, j) of ``L(e_a, coef)[i, j]``, acting on ``coef.ravel()``.

        Parameters
        ----------
        q : int, default=None
            Number of outputs where `B` is None; default 1.

        Returns
        -------
        csr_array of shape (r q m, q p)
        """
        p, m = self.E.shape
        q = (q or 1) if self.B is None else self.B.shape[1]
        D = sparse.coo_array(self.D)
        a, j = np.divmod(D.col, m)
        i = np.arange(q)[:, None]
        rows, columns = [(a * q + i) * m + j], [i * p + D.row]
        values = [np.broadcast_to(D.data, (q, D.nnz))]
        if self.B is not None:
            E = sparse.coo_array(self.E)
            a, i, k = (index[:, None] for index in np.nonzero(self.B))
            rows.append((a * q + i) * m + E.col)
            columns.append(k * p + E.row)
            values.append(-self.B[a, i, k] * E.data)
        rows, columns, values = (
            np.concatenate([part.ravel() for part in parts]) for parts in (rows, columns, values)
        )
        shape = (self.n_generators * q * m, q * p)
        return sparse.csr_array(sparse.coo_array((values, (rows, columns)), shape=shape))

    def symmetry_matrix(self, coef):
        """Discover: column a is ``vec L(e_a, coef)``, shape (q m, r), for `coef` (q, p)."""
        coef = np.atleast_2d(coef)
        q, m, r = len(coef), self.E.shape[1], self.n_generators
        L = (coef @ self.D).reshape(q, r, m).transpose(0, 2, 1)
        if self.B is not None:
            L = L - np.einsum("aik,kj->ija", self.B, coef @ self.E)
        return L.reshape(q * m, r)

    def adjoint(self, Z):
        """The transpose of `symmetry_matrix`: (q m, r) to (q, p)."""
        m, r = self.E.shape[1], self.n_generators
        Z = np.asarray(Z).reshape(-1, m, r)
        coef = Z.transpose(0, 2, 1).reshape(len(Z), r * m) @ self.D.T
        if self.B is not None:
            coef = coef - np.einsum("aik,ija->kj", self.B, Z) @ self.E.T
        return coef

    def __call__(self, xi, coef):
        """``L(xi, coef)`` (q, m), `xi` in the algebra's own generators."""
        eta = np.asarray(xi, float) @ np.linalg.pinv(self.generators)
        return (self.symmetry_matrix(coef) @ eta).reshape(-1, self.E.shape[1])

    def in_own_generators(self):
        """The same map with `xi` in the algebra's own generators instead of orthonormal ones."""
        mixing = sparse.kron(np.linalg.pinv(self.generators).T, sparse.eye_array(self.E.shape[1]))
        back = np.linalg.pinv(self.generators)
        B = None if self.B is None else np.tensordot(back, self.B, 1)
        return LieDerivative(sparse.csr_array(self.D @ mixing), self.E, B, np.eye(len(back)))

    def coordinates(self, eta):
        """Rows in the orthonormal basis, (.., r), in the algebra's own generators."""
        return np.asarray(eta) @ self.generators


def orthonormal_generators(algebra, box):
    """Coordinates (k, r) of an orthonormal basis of the span of the generators.

    The inner product is ``trace(xi^T eta)`` of the homogeneous matrices in the coordinates of the
    box (2, d). Independent generators are orthogonalised in turn, translations first and those of
    few entries before others: so they stay sparse, and orthogonal ones are only rescaled.
    """
    middle, half = box.mean(axis=0), (box[1] - box[0]) / 2
    linear = algebra.linear * (half / half[:, None])
    shift = (algebra.linear @ middle + algebra.offset) / half
    flat = flat_generators(linear, shift)
    size = np.linalg.norm(flat, axis=1)
    size[size == 0] = 1
    flat = flat / size[:, None]  # in mixed units generators differ by orders of magnitude
    gram = flat @ flat.T
    if np.count_nonzero(gram - np.diag(np.diag(gram))) == 0 and np.diag(gram).all():
        return np.diag(1 / size)
    order = np.lexsort((np.count_nonzero(flat, axis=1), algebra.linear.any(axis=(1, 2))))
    R = np.linalg.qr(flat[order].T, mode="r")
    diagonal = np.abs(np.diag(R))
    if len(R) == algebra.dim and diagonal.min(initial=1) > 1e-3 * diagonal.max(initial=0):
        basis = np.empty_like(gram)
        basis[:, order] = solve_triangular(R * np.sign(np.diag(R))[:, None], np.eye(len(R))).T
        return np.where(np.abs(basis) > _EPS * len(R), basis, 0.0) / size
    # The singular values of the rows themselves: a Gram matrix would lose half of the digits.
    U, s, _ = np.linalg.svd(flat, full_matrices=False)
    kept = s > 1e-10 * s.max(initial=0)
    return (U[:, kept] / s[kept]).T / size


def _orthonormal_fields(fields, X):
    """Coordinates (k, r) of fields that are orthonormal on the rows of `X`, in its units."""
    half = np.diff(_box(X), axis=0)[0] / 2
    factor = None
    for rows in row_blocks(len(X), fields.dim * X.shape[1]):
        values = fields.vector_field(X[rows]) / half
        factor = merge_rows(factor, values.transpose(0, 2, 1).reshape(-1, fields.dim))
    factor = factor / np.sqrt(len(X))
    size = np.linalg.norm(factor, axis=0)
    size[size == 0] = 1
    _, s, Vt = np.linalg.svd(factor / size, full_matrices=False)
    kept = s > 1e-10 * s.max(initial=0)
    return Vt[kept] / s[kept][:, None] / size


def _combined(output, algebra, generators):
    if output is None:
        return None
    return np.tensordot(generators, represent(output, algebra), 1)


def _streamed_tests(library, algebra, X, sample_weight):
    """Triangular-like factor of the rows ``sqrt(w) [phi, L_1 phi, .., L_r phi]``: (m, (r+1) p)."""
    n, p, r = len(X), n_functions(library, X), algebra.dim
    width = (r + 1) * p
    weight = checked_weights(sample_weight, n)
    weight = np.sqrt(weight / weight.sum())
    require_memory(
        24.0 * width * min(n, p + 1024),
        f"The Lie derivatives of {p:,} functions along {r:,} generators",
        "Reduce the library or the number of generators.",
    )
    factor = np.zeros((0, width))
    with one_thread():
        for rows in row_blocks(n, width + p * X.shape[1]):
            moved = np.einsum(
                "npd,nad->nap", library.jacobian(X[rows]), algebra.vector_field(X[rows])
            )
            values = (
                np.concatenate([library_values(library, X[rows])[:, None], moved], axis=1).reshape(
                    -1, width
                )
                * weight[rows, None]
            )
            factor = _compressed(np.concatenate([factor, values]))
    return factor


def _compressed(rows):
    """Fewer rows with the same Gram matrix: a rank-revealing QR of balanced columns."""
    size = np.linalg.norm(rows, axis=0)
    size[size == 0] = 1
    R, order = qr(rows / size, mode="r", pivoting=True, check_finite=False)
    R = R[: min(R.shape)]
    diagonal = np.abs(np.diag(R))
    kept = int((diagonal > 4 * _EPS * diagonal.max(initial=0)).sum())
    out = np.empty((kept, rows.shape[1]))
    out[:, order] = R[:kept]
    return out * size


def _require_closed(library):
    if not hasattr(library, "lie_matrices"):
        raise NotClosedError(
            f"{type(library).__name__} is not known to be closed under any algebra "
            "(it has no `lie_matrices`): use LieDerivative.sampled."
        )


def _require_dimension(algebra, d):
    if algebra.n_features != d:
        raise ValueError(
            f"The algebra acts on R^{algebra.n_features}, but X has {d} features: build it on "
            f"R^{d}, or name the {algebra.n_features} columns it moves with on_columns."
        )


def _box(X):
    low, high = X.min(axis=0), X.max(axis=0)
    half = np.maximum((high - low) / 2, 1e-8 * np.abs(high + low).max() + np.finfo(float).tiny)
    return np.array([(low + high) / 2 - half, (low + high) / 2 + half])
