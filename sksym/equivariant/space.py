"""Regression in a space of symmetric functions, from rows of data that are streamed."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag
from sklearn.base import clone

from sksym._linalg import (
    PlainState,
    matrix_norms,
    one_thread,
    orthonormal_rows,
    reduced_echelon,
    require_memory,
    row_components,
)
from sksym.equivariant.basis import equivariant_basis, output_matrices
from sksym.equivariant.centring import constant_functions, place, probe_points
from sksym.equivariant.elements import random_element
from sksym.groups import Group
from sksym.libraries import Library, as_library, evaluate, library_values
from sksym.solvers import ridge_of_spread
from sksym.statistics import regression_statistics, statistics_through

_SAME = 1e-10  # difference of library values, relative to their size, that is round-off
_SAME_SPAN = 1e-6  # distance of two bases that numerical derivatives and round-off explain
_N_POINTS = 20  # at which two libraries are compared
_CONSTANT = 1e-9  # coefficients relative to the largest of a function that are round-off
_FIXED = 1e-10  # motion of a constant, relative to the motions of outputs, that is round-off


@dataclass(frozen=True, eq=False)
class EquivariantSpace(PlainState):
    """Equivariant functions of a fitted library, and how rows of data constrain them.

    Invariant outputs share one basis (k, p) and are solved as separate targets; outputs that move
    are tied together, with a basis (k, q p) and one target.

    Attributes
    ----------
    template : Library
        The library before it was fitted.
    library : fitted Library
    extremes : ndarray of shape (e, d)
        Rows of X on which the library was fitted.
    group : Group
    B : ndarray of shape (r, q, q), or None
    rho : ndarray of shape (k, q, q), or None
        How generators and elements move the outputs.
    n_outputs : int
    basis : csr_array of shape (k, p) or (k, q p)
    constant : ndarray of int
        Indices of the library functions that do not vary.
    intercepts : ndarray of shape (k0, q), or (k0, 1) for outputs that share one basis
        Values of constant functions beside the library, which the regression has as unknowns
        after those of the basis.
    """

    template: Library
    library: Library
    extremes: np.ndarray
    group: Group
    B: np.ndarray | None
    rho: np.ndarray | None
    n_outputs: int
    basis: sparse.csr_array
    constant: np.ndarray
    intercepts: np.ndarray

    @classmethod
    def of(cls, group, library, output, X, n_outputs, rtol=1e-10, names=None):
        """Find the space of functions with a symmetry, in a library placed on the data.

        Parameters
        ----------
        group : Group
        library : library
        output : representation or array of shape (r, q, q), or None
        X : ndarray of shape (n, d)
        n_outputs : int
            q.
        rtol : float
            Of the null space.
        names : sequence of d str, default=None
            Of the columns of X.
        """
        template = clone(as_library(library))
        B, rho, q = output_matrices(output, group)
        if output is not None and q != n_outputs:
            raise ValueError(
                f"`output` moves {q} outputs, but y has {n_outputs}: give a representation on "
                f"R^{n_outputs}."
            )
        # At the fixed point of the symmetry, where its constraints are sparse.
        placed, extremes = place(template, X, group, names=names)
        if group.is_trivial:
            require_factor(placed.n_output_features_)
        is_tied = B is not None or rho is not None
        if placed.columns_ is not None:
            template.set_params(columns=placed.columns_)  # names are known here only
        return cls(
            template=template,
            library=placed,
            extremes=extremes,
            group=group,
            B=B,
            rho=rho,
            n_outputs=n_outputs,
            basis=equivariant_basis(placed, group, output, points=X, rtol=rtol),
            constant=constant_functions(placed, X),
            intercepts=np.zeros((0, n_outputs if is_tied else 1)),
        )

    def with_intercepts(self):
        """Return the space with the constants that have the symmetry, for a library without any.

        These are the vectors c with ``B_a c = 0`` and ``rho(g) c = c``.
        """
        if not self.is_tied:
            return replace(self, intercepts=np.ones((1, 1)))
        q = self.n_outputs
        motions = [np.zeros((1, q, q))]
        if self.B is not None:
            motions.append(self.B)
        if self.rho is not None:
            motions.append(self.rho - np.eye(q))
        motions = np.concatenate(motions)
        # Generators may differ in units.
        size = matrix_norms(motions)
        size[size == 0] = 1.0
        motions = motions / size[:, None, None]
        _, s, Vt = np.linalg.svd(motions.reshape(-1, q))
        is_moved = np.zeros(q, bool)
        is_moved[: len(s)] = s > _FIXED
        return replace(self, intercepts=Vt[~is_moved])

    @property
    def is_tied(self):
        """Whether outputs move, so that their coefficients are tied together."""
        return self.B is not None or self.rho is not None

    @property
    def n_free(self):
        """Number of free coefficients."""
        k = self.basis.shape[0]
        if self.is_tied:
            return k
        return k * self.n_outputs

    def full_basis(self):
        """Return the basis of all outputs together: sparse (n_free, q p)."""
        if self.is_tied:
            return self.basis
        outputs = sparse.eye_array(self.n_outputs)
        basis = sparse.kron(outputs, self.basis)
        return sparse.csr_array(basis)

    def varies(self):
        """Tell whether anything but constants is left."""
        p = self.library.n_output_features_
        functions = self.basis.indices % p
        is_constant = np.isin(functions, self.constant)
        return not is_constant.all()

    # ------------------------------------------------------------------------------ regression

    def statistics(self, X, Y, weight, operator=None):
        """Stream rows into the `Statistics` of a regression on the basis functions.

        With an `operator` the rows are ``Y = operator(basis functions at X)``, all at once, and
        `weight` belongs to the rows of Y.

        Parameters
        ----------
        X : ndarray of shape (n, d)
        Y : ndarray of shape (m, q)
            m = n without operator.
        weight : ndarray of shape (m,)
        operator : callable, default=None
            A linear map of the rows, from (n, k) to (m, k).

        Returns
        -------
        Statistics
        """
        k = self.basis.shape[0]
        require_factor(k)
        if operator is not None:
            return statistics_through(self._design(X, operator), X, Y, weight)
        rows_per_sample = self.n_outputs if self.is_tied else 1
        return regression_statistics(
            self._design,
            X,
            Y,
            weight,
            k + len(self.intercepts),
            rows_per_sample,
        )

    def _design(self, X, operator=None):
        """Evaluate the basis functions: (n, k), or (n q, k) where the outputs are tied.

        An `operator` from (n, .) to (m, .) is applied to their values first.
        """
        k = self.basis.shape[0]
        q = self.n_outputs
        p = self.library.n_output_features_
        functions = self.basis
        if self.is_tied:
            functions = functions.reshape(k * q, p).tocsr()
        values = evaluate(self.library, functions, X)
        if operator is not None:
            values = operator(values)
        n = len(values)
        if self.is_tied:
            # From (row, basis function, output) to one row for each row and output.
            by_function = values.reshape(n, k, q)
            by_output = by_function.transpose(0, 2, 1)
            values = by_output.reshape(n * q, k)
        constants = np.tile(self.intercepts.T, (n, 1))
        return np.concatenate([values, constants], axis=1)

    def solve(self, statistics, alphas):
        """Minimise the ridge objective for every alpha.

        Parameters
        ----------
        statistics : Statistics
            Of the rows, in the basis functions.
        alphas : sequence of a floats

        Returns
        -------
        coef : ndarray of shape (a, q, p)
        intercept : ndarray of shape (a, q)
        """
        w = self.coordinates(statistics, alphas)
        a, _, t = w.shape
        k = self.basis.shape[0]
        q = self.n_outputs
        p = self.library.n_output_features_
        coordinates = w.transpose(0, 2, 1).reshape(a * t, -1)
        coef = coordinates[:, :k] @ self.basis
        intercept = coordinates[:, k:] @ self.intercepts
        return coef.reshape(a, q, p), intercept.reshape(a, q)

    def coordinates(self, statistics, alphas):
        """Minimise the ridge objective for every alpha: coordinates (a, k + k0, t) in the basis.

        Every function is penalised in units of its spread on the rows, about the constants with
        the symmetry: ``|Y - F|^2 + alpha sum_k s_k^2 v_k^2`` for coordinates v in
        `separate_functions`. In the axes of an orthonormal basis, which are a matter of chance, the
        penalty would be one too.
        """
        k, n_unknowns = self.basis.shape
        p = self.library.n_output_features_
        is_constant = np.isin(np.arange(n_unknowns) % p, self.constant)
        change, varies = separate_functions(self.basis, is_constant)
        # f = change @ basis functions, so that a design has the columns Z change^T.
        Z = statistics.design
        functions = Z[:, :k] @ change.T
        free = np.concatenate([functions[:, ~varies], Z[:, k:]], axis=1)
        # What the functions are summed from, at the extremes: they carry its round-off.
        largest_terms = np.tile(self.function_sizes(), n_unknowns // p)
        size = abs(change @ self.basis) @ largest_terms
        size = size * np.sqrt(statistics.weight)
        with one_thread():
            v0, v1 = ridge_of_spread(
                free,
                functions[:, varies],
                statistics.targets,
                size[varies],
                statistics.weight,
                alphas,
            )
        n_constant = np.count_nonzero(~varies)
        v = np.empty((len(v1), k, v1.shape[2]))
        v[:, varies] = v1
        v[:, ~varies] = v0[:, :n_constant]
        w = [change.T @ of_alpha for of_alpha in v]
        return np.concatenate([np.reshape(w, v.shape), v0[:, n_constant:]], axis=1)

    def function_sizes(self):
        """Return how large the library functions are at the extremes of the data: (p,)."""
        values = np.abs(library_values(self.library, self.extremes)).max(axis=0, initial=0)
        # A corner of the range may lie outside of what a library is defined on.
        return np.nan_to_num(values, posinf=0.0)

    # ------------------------------------------------------------------------------ more data

    def including(self, statistics, X):
        """Place the library on more data.

        Parameters
        ----------
        statistics : Statistics
            Of the rows so far.
        X : ndarray of shape (n, d)
            Further rows, which the statistics do not contain.

        Returns
        -------
        space : EquivariantSpace
        statistics : Statistics
            Of the same rows, in its basis.
        """
        rows = np.concatenate([self.extremes, X])
        extremes = self.library.extremes(rows)
        if extremes is None:  # the functions of the first rows are kept
            return self, statistics
        space, change = self._placed_on(extremes)
        if change is None:
            return space, statistics
        return space, statistics.in_other_unknowns(self._with_constants(change))

    def _with_constants(self, change):
        """Return a change of the unknowns (k, k), with the constants that stay."""
        return block_diag(change, np.eye(len(self.intercepts)))

    def merge(self, other, statistics, others):
        """Merge the statistics of two spaces that differ in the place of the library only.

        Returns
        -------
        space : EquivariantSpace
        statistics : Statistics
            Of the rows of both, in the basis of `space`.
        """
        rows = np.concatenate([self.extremes, other.extremes])
        extremes = self.library.extremes(rows)
        if extremes is None:
            self._require_same_functions(other)
            space = self
            other_basis = other.basis
        else:
            space, change = self._placed_on(extremes)
            if change is not None:
                statistics = statistics.in_other_unknowns(self._with_constants(change))
            K = other.library.change_to(space.library)
            other_basis = other._in_functions_of(K)
        # Both span the same functions, but each has a basis of its own.
        change = other_basis @ space.basis.T
        _require_same_span(space.basis, other_basis, change)
        others = others.in_other_unknowns(self._with_constants(change.toarray()))
        return space, statistics.merge(others)

    def _placed_on(self, extremes):
        """Return the space with its library fitted to `extremes`, and how unknowns change.

        The change is the matrix L (k, k) with ``w_new = w_old L``; None where nothing changes.
        """
        library, extremes = place(self.template, extremes, self.group)
        K = self.library.change_to(library)
        space = replace(self, library=library, extremes=extremes)
        # Exactly the identity where the place is the same, as it is for most chunks.
        identity = sparse.eye_array(K.shape[0])
        if (identity != K).nnz == 0:
            return space, None
        basis = self._in_functions_of(K)
        n_free, n_unknowns = basis.shape
        if n_free == n_unknowns:  # every function: the basis stays
            change = basis @ self.basis.T
            return space, change.toarray()
        Q, L = orthonormal_rows(basis)
        space = replace(space, basis=sparse.csr_array(Q))
        return space, L

    def _in_functions_of(self, K):
        """Return the basis in the functions of another library, ``phi = K phi_other``."""
        q = self.basis.shape[1] // K.shape[0]
        outputs = sparse.eye_array(q)
        change = sparse.kron(outputs, K)
        return sparse.csr_array(self.basis @ change)

    def _require_same_functions(self, other):
        """Raise where two fitted libraries hold different functions."""
        rows = np.concatenate([self.extremes, other.extremes])
        points = probe_points(rows, _N_POINTS)
        ours = library_values(self.library, points)
        theirs = library_values(other.library, points)
        is_same = ours.shape == theirs.shape
        if is_same:
            difference = np.abs(ours - theirs).max()
            is_same = difference <= _SAME * np.abs(ours).max(initial=0)
        if not is_same:
            raise ValueError(
                "The libraries of the two models were fitted to different rows and hold different "
                "functions (knots of splines, say), so their statistics cannot be merged: give "
                "the library its knots, or call partial_fit instead."
            )

    # ------------------------------------------------------------------------- group elements

    def largest_violation(self, violation, X, n_elements, random_state):
        """Return the largest violation of the symmetry over random finite elements.

        Parameters
        ----------
        violation : callable
            ``violation(images, rho)``: a number for the images (n, d) of the rows under an element
            that moves the outputs by rho (q, q).
        X : ndarray of shape (n, d)
        n_elements : int
        random_state : int or Generator
        """
        rng = np.random.default_rng(random_state)
        worst = 0.0
        for _ in range(n_elements):
            M, t, rho = self.random_element(rng)
            worst = np.maximum(worst, violation(X @ M.T + t, rho))  # NaN stays NaN
        return float(worst)

    def random_element(self, rng):
        """Draw a finite element far from the identity.

        Returns
        -------
        M : ndarray of shape (d, d)
        t : ndarray of shape (d,)
            The map ``x -> M x + t``.
        rho : ndarray of shape (q, q)
            How it moves the outputs.
        """
        low = self.extremes.min(axis=0)
        high = self.extremes.max(axis=0)
        M, t, output = random_element(
            self.group,
            self.B,
            self.rho,
            np.array([low, high]),
            rng,
        )
        if output is None:
            output = np.eye(self.n_outputs)
        return M, t, output


def _require_same_span(basis, other_basis, change):
    """Raise where ``other_basis = change @ basis`` fails: they span different functions.

    Parameters
    ----------
    basis, other_basis : csr_array of shape (k, n), (k', n)
    change : csr_array of shape (k', k)
    """
    has_same_dimension = change.shape[0] == change.shape[1]
    outside = abs(other_basis - change @ basis).max()
    tolerance = _SAME_SPAN * abs(other_basis).max()
    if not has_same_dimension or outside > tolerance:
        raise ValueError(
            "The library is not closed under the symmetry, and at the rows of the two models "
            "different functions were found to have it, so their statistics cannot be merged: "
            "call partial_fit instead, or give a library that is closed."
        )


def separate_functions(basis, is_constant):
    """Return combinations of basis functions that depend on no choice of the basis.

    These are the rows of the reduced echelon form, ``x0^2 + x1^2`` and the like, with constants
    as the last columns: a function that is constant is then a row of its own.

    Parameters
    ----------
    basis : csr_array of shape (k, q p)
        Orthonormal rows.
    is_constant : ndarray of shape (q p,) of bool
        Whether a column belongs to a function that does not vary.

    Returns
    -------
    change : csr_array of shape (k, k)
        The functions are ``change @ basis``.
    varies : ndarray of shape (k,) of bool
        Whether a function is more than a constant.
    """
    k = basis.shape[0]
    if not k:
        return sparse.csr_array((0, 0)), np.zeros(0, bool)
    change = sparse.eye_array(k).tolil()
    # Rows that share columns: as many small problems as there are degrees, say.
    for rows in row_components(basis):
        if len(rows) == 1:
            continue
        block = basis[rows]
        columns = np.unique(block.indices)
        # The sort is stable: the library's own order, constants last.
        columns = columns[np.argsort(is_constant[columns], kind="stable")]
        dense = block[:, columns].toarray()
        echelon = reduced_echelon(dense, rtol=0.0)
        norms = np.linalg.norm(echelon, axis=1)
        # The rows of the basis are orthonormal, so that products are coordinates.
        change[rows[:, None], rows] = (echelon / norms[:, None]) @ dense.T
    change = sparse.csr_array(change)
    size = abs(change @ basis)
    largest = size.max(axis=1).toarray().ravel()
    varying = sparse.csr_array(size[:, ~is_constant])
    largest_varying = np.zeros(k)
    if varying.shape[1]:
        largest_varying = varying.max(axis=1).toarray().ravel()
    varies = largest_varying > _CONSTANT * largest
    return change, varies


def require_factor(k):
    """Refuse a regression whose triangular factor does not fit into memory."""
    require_memory(
        32.0 * k**2,
        f"A regression with {k:,} free coefficients",
        "Reduce the degree of the library, or enforce more symmetry.",
    )
