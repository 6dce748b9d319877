"""Regression in a space of symmetric functions, from rows of data that are streamed."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.linalg import expm
from sklearn.base import clone

from sksym._linalg import merge_rows, one_thread, orthonormal_rows, require_memory
from sksym.algebras import LieAlgebra
from sksym.equivariant.basis import equivariant_basis, output_matrices
from sksym.equivariant.placement import constant_functions, on_features, place, placement
from sksym.groups import FiniteGroup
from sksym.libraries import PolynomialLibrary, evaluate, row_blocks
from sksym.solvers import ridge_in_subspace


@dataclass(frozen=True, eq=False)
class EquivariantSpace:
    """Equivariant functions of a fitted library, and how rows of data constrain them.

    Invariant outputs share one basis (k, p) and are solved as separate targets; outputs that move
    are tied together, with a basis (k, q p) and one target.
    """

    template: object
    library: object
    extremes: np.ndarray
    algebra: LieAlgebra | None
    group: FiniteGroup | None
    B: np.ndarray | None
    rho: np.ndarray | None
    n_outputs: int
    basis: sparse.csr_array
    constant: np.ndarray  # indices of the functions that do not vary
    parameters: tuple  # of the estimator, as `_parameters` reads them

    @classmethod
    def of(cls, model, X, n_outputs):
        """The space that the parameters of an estimator describe, placed on the data."""
        algebra, group = on_features(model.algebra, model.group, X.shape[1])
        template = PolynomialLibrary(2) if model.library is None else model.library
        B, rho, q = output_matrices(model.output, algebra, group)
        if model.output is not None and q != n_outputs:
            raise ValueError(
                f"`output` moves {q} outputs, but y has {n_outputs}: give a representation on "
                f"R^{n_outputs}."
            )
        library, extremes = place(template, X, algebra, group)
        if algebra is None and group is None:
            _require_factor(library.n_output_features_)
        basis = equivariant_basis(library, algebra, group, model.output, points=X, rtol=model.rtol)
        constant = constant_functions(library, X)
        who, how = (algebra, group, B, rho), (n_outputs, basis, constant)
        return cls(clone(template), library, extremes, *who, *how, _parameters(model))

    def still_describes(self, model):
        """Whether the estimator has the parameters that this space was made from."""
        return self.parameters == _parameters(model)

    @property
    def tied(self):
        return self.B is not None or self.rho is not None

    @property
    def n_free(self):
        return self.basis.shape[0] * (1 if self.tied else self.n_outputs)

    def full_basis(self):
        """(n_free, q p) sparse"""
        if self.tied:
            return self.basis
        return sparse.csr_array(sparse.kron(sparse.eye_array(self.n_outputs), self.basis))

    def varies(self):
        """Whether anything but constants is left."""
        columns = self.basis.indices % self.library.n_output_features_
        return not np.isin(columns, self.constant).all()

    def accumulate(self, factor, X, Y, weight, operator=None):
        """Triangular factor of ``[Z, Y]`` over the rows seen so far and these.

        `weight` (n,) multiplies rows: the root of a sample weight. With an `operator` the rows are
        ``operator(values at X)``, as many as Y has, and all at once.
        """
        k, q = self.basis.shape[0], self.n_outputs
        width = k + (1 if self.tied else q)
        _require_factor(k)
        if not weight.all():  # a row of weight zero may lie where the library is undefined
            X, Y, weight = X[weight > 0], Y[weight > 0], weight[weight > 0]
        functions = self.basis
        if self.tied:
            functions = self.basis.reshape(k * q, self.library.n_output_features_).tocsr()
        blocks = row_blocks(len(X), width * (q if self.tied else 1))
        with one_thread():
            for rows in blocks if operator is None else [slice(None)]:
                Z, target = evaluate(self.library, functions, X[rows]), Y[rows]
                Z = Z if operator is None else operator(Z)
                root = weight[rows, None]
                if self.tied:
                    Z = Z.reshape(len(Z), k, q).transpose(0, 2, 1).reshape(len(Z) * q, k)
                    target, root = target.reshape(-1, 1), np.repeat(root, q, axis=0)
                factor = merge_rows(factor, np.concatenate([Z, target], axis=1) * root)
        return factor

    def solve(self, factor, alphas):
        """Coefficients (a, q, p) for every alpha."""
        w = self.coordinates(factor, alphas)
        a, k, t = w.shape
        coef = w.transpose(0, 2, 1).reshape(a * t, k) @ self.basis
        return coef.reshape(a, self.n_outputs, self.library.n_output_features_)

    def coordinates(self, factor, alphas):
        """Coordinates in the basis (a, k, t) for every alpha."""
        p = self.library.n_output_features_
        constants = np.add.outer(np.arange(self.basis.shape[1] // p) * p, self.constant).ravel()
        C = self.basis[:, constants].toarray()
        n_targets = 1 if self.tied else self.n_outputs
        with one_thread():
            return ridge_in_subspace(factor, n_targets, np.eye(len(C)) - C @ C.T, alphas)

    def moved(self, factor, X):
        """The same space with its library placed on more data, and the factor re-expressed."""
        if not hasattr(self.template, "extremes"):
            return self, factor
        library, extremes = place(
            self.template, np.concatenate([self.extremes, X]), self.algebra, self.group
        )
        K = self.library.change_to(library)
        if (sparse.eye_array(K.shape[0]) != K).nnz == 0:
            return replace(self, library=library, extremes=extremes), factor
        k, q = self.basis.shape[0], self.basis.shape[1] // K.shape[0]
        moved = self.basis @ sparse.kron(sparse.eye_array(q), K)
        if k == self.basis.shape[1]:  # every function: the basis stays
            basis, L = self.basis, (moved @ self.basis.T).toarray()
        else:
            Q, L = orthonormal_rows(moved)
            basis = sparse.csr_array(Q)
        # F = w0 N0 phi0 = w0 L N phi, hence Z w0 = Z L^-T w.
        turned = np.linalg.solve(L, factor[:, :k].T).T
        factor = np.concatenate([turned, factor[:, k:]], axis=1)
        return replace(self, library=library, extremes=extremes, basis=basis), factor

    def random_element(self, rng):
        """A finite element far from the identity: ``x -> M x + t``, outputs by rho."""
        d, q = self.library.n_features_in_, self.n_outputs
        M, t, rho = np.eye(d), np.zeros(d), np.eye(q)
        if self.algebra is not None and self.algebra.dim:
            _, unit = placement(self.extremes.min(0), self.extremes.max(0), self.algebra, None)
            size = np.linalg.norm(self.algebra.linear * (unit / unit[:, None]), axis=(1, 2))
            size += np.linalg.norm(self.algebra.offset / unit, axis=1)
            size = np.where(size > 0, size, 1.0) * np.sqrt(self.algebra.dim)
            xi = 3.0 * rng.normal(size=self.algebra.dim) / size
            M, t = self.algebra.exp(xi)
            if self.B is not None:
                rho = expm(np.tensordot(xi, self.B, 1))
        if self.group is not None and len(self.group.matrices):
            for k in rng.integers(len(self.group.matrices), size=rng.integers(1, 5)):
                M, t = self.group.matrices[k] @ M, self.group.matrices[k] @ t
                rho = rho if self.rho is None else self.rho[k] @ rho
        return M, t, rho


def _parameters(model):
    library = None if model.library is None else repr(model.library.get_params())
    output = model.output if callable(model.output) else id(model.output)
    return model.algebra, model.group, output, model.rtol, library


def _require_factor(k):
    require_memory(
        32.0 * k**2,
        f"A regression with {k:,} free coefficients",
        "Reduce the degree of the library, or enforce more symmetry.",
    )
