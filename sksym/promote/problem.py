"""The convex problem: where it is placed, its unknowns, what of them is penalised."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from scipy import sparse

from sksym._linalg import merge_rows
from sksym.algebras import LieAlgebra, se
from sksym.equivariant import EquivariantSpace, on_features, probe_points
from sksym.groups import FiniteGroup
from sksym.libraries import NotClosedError, library_values
from sksym.lie_derivative import LieDerivative
from sksym.representations import represent, represent_group
from sksym.solvers import GroupNorm, LeastSquares, NuclearNorm, Term

RTOL = 1e-10  # of the null space of the enforced symmetry


@dataclass(frozen=True, eq=False)
class PromotionProblem:
    """Functions of a library, an enforced symmetry, and candidates that are penalised.

    Unknowns w are coordinates in a basis of the enforced space: (q, k) for outputs that share the
    space, (1, k) for outputs that are tied together.

    Attributes
    ----------
    space : EquivariantSpace
    candidates : LieAlgebra
    B : ndarray of shape (r, q, q), or None
        How the candidates move the outputs.
    L : LieDerivative
        Of the candidates, in all of the library.
    terms : list of Term
        The nuclear norm of the symmetry matrix, and the group norm of discrete candidates.
    """

    space: EquivariantSpace
    candidates: LieAlgebra
    group: FiniteGroup | None
    output: object
    B: np.ndarray | None
    L: LieDerivative
    terms: list

    @classmethod
    def of(cls, model, X, n_outputs):
        """The problem that the parameters of an estimator describe, placed on the data."""
        candidates, group = _candidates(model, X.shape[1])
        algebra, _ = on_features(model.algebra, None, X.shape[1])
        _check_output(model.output, candidates, algebra)
        output = model.output
        who = SimpleNamespace(
            algebra=algebra,
            group=None,
            library=model.library,
            output=None if algebra is None else output,
            rtol=RTOL,
        )
        space = EquivariantSpace.of(who, X, n_outputs)
        B = None if output is None else represent(output, candidates)
        if B is not None and B.shape[1] != n_outputs:
            raise ValueError(
                f"`output` moves {B.shape[1]} outputs, but y has {n_outputs}: give a "
                f"representation on R^{n_outputs}."
            )
        L = _lie_derivative(space.library, candidates, output, X)
        if algebra is None:  # functions of unit norm, whatever they are scaled to
            size = np.sqrt(L.E.power(2).sum(axis=1))
            unit = sparse.diags_array(1 / np.where(size > 0, size, 1.0), format="csr")
            space = replace(space, basis=sparse.csr_array(unit))
        problem = cls(space, candidates, group, output, B, L, [])
        return replace(problem, terms=problem._terms(X))

    def enforcing(self, C, X):
        """The same problem with the candidates C (k, r) enforced besides; None: nothing varies."""
        space, q = self.space, self.space.n_outputs
        algebra = self.candidates.combine(C)
        output = self.output
        if space.algebra is not None:
            algebra = algebra + space.algebra
        if output is not None and not callable(output):
            output = np.tensordot(C, self.B, 1)
        who = SimpleNamespace(
            algebra=algebra, group=None, library=space.template, output=output, rtol=RTOL
        )
        space = EquivariantSpace.of(who, X, q)
        if not space.varies():
            return None
        L = _lie_derivative(space.library, self.candidates, self.output, X)
        problem = replace(self, space=space, L=L, terms=[])
        return replace(problem, terms=problem._terms(X))

    @property
    def beside(self):
        """The symmetry that is enforced, and how it moves the outputs; None: no symmetry."""
        return None if self.space.algebra is None else (self.space.algebra, self.space.B)

    def factor(self, X, Y, root, operator=None):
        """Triangular factor of the rows ``[Z, Y]``; `root` (n,) are roots of sample weights."""
        return self.space.accumulate(None, X, Y, root, operator)

    def data(self, factor, n, ridge):
        """``1/(2n) |Y - Phi coef^T|^2 + ridge/2 |coef|^2`` as a function of w."""
        k = self.space.basis.shape[0]
        R, Y = factor[:k, :k] / np.sqrt(n), factor[:k, k:] / np.sqrt(n)
        if ridge > 0:
            p = self.space.library.n_output_features_
            varies = ~np.isin(np.arange(self.space.basis.shape[1]) % p, self.space.constant)
            rows = np.sqrt(ridge) * self.space.basis[:, varies].T.toarray()
            t = Y.shape[1]
            rows = np.hstack([rows, np.zeros((len(rows), t))])
            merged = merge_rows(None, np.concatenate([np.hstack([R, Y]), rows]))[:k]
            R, Y = merged[:, :k], merged[:, k:]
        return LeastSquares(R, Y)

    def coef(self, w):
        """Coefficients (q, p) in the library."""
        return np.reshape(w @ self.space.basis, (self.space.n_outputs, -1))

    def symmetry_matrix(self, w):
        """Of the candidates, (r, tests): the transpose of `LieDerivative.symmetry_matrix`."""
        return self.L.symmetry_matrix(self.coef(w)).T

    def _terms(self, X):
        q, basis = self.space.n_outputs, self.space.full_basis()
        terms = []
        if self.L.n_generators:
            K = self.L.constraint_matrix(q) @ basis.T
            terms.append(_term(K, self.L.n_generators, NuclearNorm()))
        if self.group is not None:
            K = _group_rows(self.space.library, self.group, self.output, q, self.L, X) @ basis.T
            terms.append(_term(K, len(self.group.matrices), GroupNorm()))
        return [term for term in terms if term.K.nnz]


def _term(K, rows, penalty):
    """A term without the tests that see nothing."""
    K = sparse.csr_array(K)
    K.eliminate_zeros()
    seen = (np.diff(K.indptr) > 0).reshape(rows, K.shape[0] // max(rows, 1)).any(axis=0)
    K = K[np.flatnonzero(np.tile(seen, rows))]
    return Term(sparse.csr_array(K), (rows, int(seen.sum())), penalty)


def _candidates(model, d):
    """Candidates: se(d) where nothing is said; none where only a group is."""
    candidates, group = on_features(model.candidates, model.group, d)
    if candidates is None:
        candidates = se(d) if group is None else LieAlgebra(np.zeros((0, d, d)))
    return candidates, group


def _check_output(output, candidates, algebra):
    if output is not None and not callable(output) and algebra is not None:
        raise ValueError(
            "`output` as an array speaks of one algebra, but both `candidates` and `algebra` are "
            "given: use a representation such as vector, which knows how both move the outputs."
        )


def _lie_derivative(library, candidates, output, X):
    try:
        return LieDerivative.exact(library, candidates, output)
    except (NotClosedError, AttributeError):
        return LieDerivative.sampled(library, candidates, output, _points(library, X))


def _points(library, X):
    """Where a library that is not closed is tested; however often a row is repeated."""
    return probe_points(np.unique(X, axis=0), library.n_output_features_ + 50)


def _group_rows(library, group, output, q, L, X):
    """Rows (element, output, test) of ``rho(g)^-1 F(g x) - F(x)``, acting on ``coef.ravel()``."""
    rho = None if output is None else represent_group(output, group, q)
    rows, tests = [], None
    for k, g in enumerate(group.matrices):
        try:
            moved, still = sparse.csr_array(library.group_matrix(g)) @ L.E, L.E
        except (NotClosedError, AttributeError):
            tests = _points(library, X) if tests is None else tests
            moved, still = (
                sparse.csr_array(library_values(library, Z).T / np.sqrt(len(tests)))
                for Z in (tests @ g.T, tests)
            )
        inverse = np.eye(q) if rho is None else np.linalg.inv(rho[k])
        rows.append(sparse.kron(inverse, moved.T) - sparse.kron(np.eye(q), still.T))
    return sparse.vstack(rows)
