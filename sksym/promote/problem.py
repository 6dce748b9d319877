"""The convex problem: where it is placed, its unknowns, what of them is penalised."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from sksym._estimator import warn
from sksym._linalg import independent_rows, merge_rows, null_space, reduced_echelon
from sksym.equivariant import EquivariantSpace, probe_points
from sksym.groups import FiniteGroup, Group, represent, represent_elements
from sksym.libraries import NotClosedError, library_values
from sksym.lie_derivative import LieDerivative
from sksym.solvers import GroupNorm, LeastSquares, NuclearNorm, Term

_MORE_POINTS = 50  # beside one for each function, where a library is tested at points


@dataclass(frozen=True, eq=False)
class PromotionProblem:
    """Functions of a library, an enforced symmetry, and candidates that are penalised.

    Unknowns w are coordinates in a basis of the enforced space: (q, k) for outputs that share the
    space, (1, k) for outputs that are tied together.

    Attributes
    ----------
    space : EquivariantSpace
        Of the functions with the enforced symmetry, ``space.group``.
    candidates : Group
    output : representation or array of shape (r, q, q), or None
        How both move the outputs.
    L : LieDerivative
        Of the continuous candidates, in all of the library.
    terms : list of Term
        The nuclear norm of the symmetry matrix, and the group norm of discrete candidates.
    """

    space: EquivariantSpace
    candidates: Group
    output: object
    L: LieDerivative
    terms: list

    @classmethod
    def of(cls, candidates, symmetry, library, output, X, n_outputs, names=None):
        """Place the problem on the data.

        Parameters
        ----------
        candidates, symmetry : Group
            What may hold, and what is enforced; without generators in common. Of the candidates
            dependent ones are left out.
        library : library
        output : representation or array of shape (r, q, q), or None
        X : ndarray of shape (n, d)
        n_outputs : int
        names : sequence of d str, default=None
            Of the columns of X.
        """
        if output is not None and not callable(output) and not symmetry.is_trivial:
            raise ValueError(
                "`output` as an array speaks of one algebra, but both `candidates` and `symmetry` "
                "are given: use a representation such as vector, which knows how both move the "
                "outputs."
            )
        candidates, output = without_dependent(candidates, output)
        of_enforced = None if symmetry.is_trivial else output
        space = EquivariantSpace.of(symmetry, library, of_enforced, X, n_outputs, names=names)
        L = _lie_derivative(space.library, candidates.algebra, output, X)
        if L.B is not None and L.B.shape[1] != n_outputs:
            raise ValueError(
                f"`output` moves {L.B.shape[1]} outputs, but y has {n_outputs}: give a "
                f"representation on R^{n_outputs}."
            )
        if symmetry.is_trivial:  # functions of unit norm, whatever they are scaled to
            size = np.sqrt(L.values.power(2).sum(axis=1))
            unit = sparse.diags_array(1 / np.where(size > 0, size, 1.0), format="csr")
            space = replace(space, basis=sparse.csr_array(unit))
        problem = cls(space, candidates, output, L, [])
        return replace(problem, terms=problem._terms(X))

    def enforcing(self, C, X):
        """Return the same problem with the candidates C (k, r) enforced too.

        None where nothing but constants is left.
        """
        group = Group(self.candidates.algebra.combine(C)) + self.space.group
        space = EquivariantSpace.of(
            without_dependent(group)[0],  # that some depend on others was said before
            self.space.template,
            output_of(self.output, self.candidates.algebra, C),
            X,
            self.space.n_outputs,
        )
        if not space.varies():
            return None
        L = _lie_derivative(space.library, self.candidates.algebra, self.output, X)
        problem = replace(self, space=space, L=L, terms=[])
        return replace(problem, terms=problem._terms(X))

    def least_squares(self, statistics, ridge):
        """Return ``1/(2n) |Y - Phi coef^T|^2 + ridge/2 |coef|^2`` as a function of w."""
        k = self.space.basis.shape[0]
        unit = np.sqrt(statistics.weight)
        R = statistics.design[:k] / unit
        Y = statistics.targets[:k] / unit
        if ridge > 0:
            p = self.space.library.n_output_features_
            functions = np.arange(self.space.basis.shape[1]) % p
            varies = ~np.isin(functions, self.space.constant)
            penalty = np.sqrt(ridge) * self.space.basis[:, varies].T.toarray()
            rows = np.hstack([penalty, np.zeros((len(penalty), Y.shape[1]))])
            merged = merge_rows(np.hstack([R, Y]), rows)[:k]
            R = merged[:, :k]
            Y = merged[:, k:]
        return LeastSquares(R, Y)

    def coef(self, w):
        """Return coefficients (q, p) in the library."""
        return np.reshape(w @ self.space.basis, (self.space.n_outputs, -1))

    def symmetry_matrix(self, w):
        """Return that of the candidates, (r, m): the transpose of `LieDerivative`'s."""
        return self.L.symmetry_matrix(self.coef(w)).T

    def _terms(self, X):
        """Return what is penalised, as linear maps of w with a norm."""
        q = self.space.n_outputs
        basis = self.space.full_basis()
        elements = self.candidates.elements
        terms = []
        if self.L.n_generators:
            K = self.L.constraint_matrix(q) @ basis.T
            terms.append(_term(K, self.L.n_generators, NuclearNorm()))
        if elements.n_elements:
            K = _differences(self.space.library, elements, self.output, q, self.L, X) @ basis.T
            terms.append(_term(K, elements.n_elements, GroupNorm()))
        return [term for term in terms if term.K.nnz]


def without_enforced(candidates, symmetry, say=True):
    """Return candidates without what is enforced already.

    Along an enforced generator nothing changes, so that it would be a candidate without content.
    With `say` a warning tells how many were left out.
    """
    if symmetry.is_trivial:
        return candidates
    candidates, _ = without_dependent(candidates)
    algebra = candidates.algebra
    enforced = symmetry.algebra
    n_before = algebra.dim
    if algebra.dim and enforced.dim:
        algebra = _complement(algebra, enforced)
    elements = candidates.elements
    new = [
        k
        for k, g in enumerate(elements.matrices)
        if not any(np.allclose(g, h) for h in symmetry.elements.matrices)
    ]
    n_removed = n_before - algebra.dim + elements.n_elements - len(new)
    if n_removed and say:
        warn(
            f"{n_removed} of the candidates are enforced by `symmetry` already: they are left "
            "out of the candidates."
        )
    return Group(algebra, elements.take(new))


def without_dependent(group, output=None):
    """Return a group without dependent generators, and how the others move the outputs."""
    algebra = group.algebra
    if not algebra.dim:
        return group, output
    independent = independent_rows(algebra.flat())
    if len(independent) == algebra.dim:
        return group, output
    if output is not None and not callable(output):
        output = represent(output, algebra)[independent]
    return Group(algebra.take(independent), group.elements), output


def _complement(algebra, enforced):
    """Return an algebra without its intersection with another one."""
    both = np.concatenate([enforced.flat(), algebra.flat()])
    size = np.linalg.norm(both, axis=1)
    size[size == 0] = 1.0
    relations = null_space(sparse.csr_array((both / size[:, None]).T)).toarray() / size
    if not len(relations):
        return algebra
    # Rows: combinations of the algebra's generators that lie in the enforced span.
    common = relations[:, enforced.dim :]
    common = common[np.linalg.norm(common, axis=1) > 1e-8 * np.abs(common).max(initial=0)]
    touched = np.flatnonzero(np.abs(common).max(axis=0, initial=0) > 0)
    rank = np.linalg.matrix_rank(common) if len(common) else 0
    if len(touched) == rank:  # whole generators
        return algebra.take(np.setdiff1d(np.arange(algebra.dim), touched))
    complement = null_space(sparse.csr_array(common)).toarray()
    return algebra.combine(reduced_echelon(complement))


def output_of(output, algebra, C):
    """Return how combinations C (k, r) of generators move outputs, as `output` is given."""
    if output is None or callable(output):
        return output
    return np.tensordot(C, represent(output, algebra), 1)


def _term(K, rows, norm):
    """Return a term without the tests that see nothing."""
    K = sparse.csr_array(K)
    K.eliminate_zeros()
    n_tests = K.shape[0] // max(rows, 1)
    sees = (np.diff(K.indptr) > 0).reshape(rows, n_tests).any(axis=0)
    K = K[np.flatnonzero(np.tile(sees, rows))]
    return Term(sparse.csr_array(K), (rows, np.count_nonzero(sees)), norm)


def _lie_derivative(library, algebra, output, X):
    """Build the Lie derivative of the candidates, exactly where the library is closed."""
    points = _points(library, X)
    try:
        return LieDerivative.exact(library, algebra, output, points)
    except NotClosedError:
        return LieDerivative.sampled(library, algebra, output, points)


def _points(library, X):
    """Return points where a library is tested; however often a row is repeated."""
    return probe_points(np.unique(X, axis=0), library.n_output_features_ + _MORE_POINTS)


def _differences(library, elements: FiniteGroup, output, q, L, X):
    """Return rows (element, output, test) of ``rho(g)^-1 F(g x) - F(x)``, on ``coef.ravel()``."""
    rho = np.tile(np.eye(q), (elements.n_elements, 1, 1))
    if output is not None:
        rho = represent_elements(output, elements, q)
    points = _points(library, X)
    rows = []
    for g, rho_g in zip(elements.matrices, rho, strict=True):
        try:
            there = sparse.csr_array(library.group_matrix(g)) @ L.values
            here = L.values
        except NotClosedError:
            unit = np.sqrt(len(points))
            there = sparse.csr_array(library_values(library, points @ g.T).T / unit)
            here = sparse.csr_array(library_values(library, points).T / unit)
        inverse = np.linalg.inv(rho_g)
        rows.append(sparse.kron(inverse, there.T) - sparse.kron(np.eye(q), here.T))
    return sparse.vstack(rows)
