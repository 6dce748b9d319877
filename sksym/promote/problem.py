"""The convex problem: where it is placed, its unknowns, what of them is penalised.

Index legend: n rows, d coordinates, p library functions, q outputs, r continuous candidates, k
functions of the enforced space, m tests. The symmetry matrix is the transpose of
`LieDerivative`'s, (r, q m), so that its rows are the candidates.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from sksym._estimator import warn
from sksym._linalg import independent_rows, merge_rows, null_space, reduced_echelon
from sksym.equivariant import EquivariantSpace, probe_points
from sksym.groups import FiniteGroup, Group, represent, represent_elements
from sksym.libraries import NotClosedError, library_values
from sksym.lie_derivative import LieDerivative
from sksym.promote.recovery import LARGEST_RANK_PROBLEM, SymmetryRank
from sksym.solvers import GroupNorm, LeastSquares, NuclearNorm, Term

_COMMON = 1e-8  # size of a combination relative to the largest entry that is not round-off
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
        space = EquivariantSpace.of(
            symmetry,
            library,
            of_enforced,
            X,
            n_outputs,
            names=names,
        )
        L = _lie_derivative(space.library, candidates.algebra, output, X)
        if L.B is not None and L.B.shape[1] != n_outputs:
            raise ValueError(
                f"`output` moves {L.B.shape[1]} outputs, but y has {n_outputs}: give a "
                f"representation on R^{n_outputs}."
            )
        # Functions of unit norm, so that their scale in the library means nothing to the solver.
        if symmetry.is_trivial:
            square = L.values.power(2)
            size = np.sqrt(square.sum(axis=1))
            size = np.where(size > 0, size, 1.0)
            unit = sparse.diags_array(1 / size, format="csr")
            space = replace(space, basis=sparse.csr_array(unit))
        problem = cls(space, candidates, output, L, [])
        return replace(problem, terms=problem._terms(X))

    @cached_property
    def _leaving_constants(self):
        """Candidates under which only constants are left: found again in every fold of a path."""
        return set()

    @cached_property
    def symmetry_rank(self):
        """The rank of the symmetry matrix; None without continuous candidates, or if too large."""
        # Discrete candidates have a norm of their own, which counts elements.
        for term in self.terms:
            is_of_rank = isinstance(term.penalty, NuclearNorm)
            if is_of_rank and term.K.shape[1] <= LARGEST_RANK_PROBLEM:
                return SymmetryRank(term.K, term.shape, term.gram)
        return None

    @property
    def shape(self):
        """The shape of the unknowns."""
        n_targets = 1 if self.space.is_tied else self.space.n_outputs
        return n_targets, self.space.basis.shape[0]

    def unknowns(self, library, coef):
        """Return the unknowns w of a function ``coef @ phi`` of the same library, placed elsewhere.

        Parameters
        ----------
        library : fitted Library
        coef : ndarray of shape (q, p)
        """
        K = library.change_to(self.space.library)
        coef = coef @ K
        basis = self.space.basis
        gram = (basis @ basis.T).toarray()
        products = basis @ coef.reshape(self.shape[0], -1).T
        return np.linalg.solve(gram, products).T

    def enforcing(self, C, X):
        """Return the same problem with the candidates C (k, r) enforced too.

        The library is placed anew, at the fixed point of both symmetries. None where nothing but
        constants is left, on these X or on those of an earlier call.
        """
        key = C.tobytes()
        if key in self._leaving_constants:
            return None
        candidates = self.candidates.algebra
        group = Group(candidates.combine(C)) + self.space.group
        space = EquivariantSpace.of(
            without_dependent(group)[0],  # that some depend on others was said before
            self.space.template,
            output_of(self.output, candidates, C),
            X,
            self.space.n_outputs,
        )
        if not space.varies():
            self._leaving_constants.add(key)
            return None
        L = _lie_derivative(space.library, candidates, self.output, X)
        problem = replace(self, space=space, L=L, terms=[])
        return replace(problem, terms=problem._terms(X))

    def least_squares(self, statistics, ridge):
        """Return ``1/(2n) |Y - Phi coef^T|^2 + ridge/2 |coef|^2`` as a function of w.

        Parameters
        ----------
        statistics : Statistics
            Of the rows, in the basis of the space.
        ridge : float
        """
        basis = self.space.basis
        k, n_unknowns = basis.shape
        unit = np.sqrt(statistics.weight)
        # Rows below the k-th are residuals that no w changes.
        R = statistics.design[:k] / unit
        Y = statistics.targets[:k] / unit
        if ridge > 0:
            # The penalty as further rows of the data: sqrt(ridge) coef = 0, constants left out.
            p = self.space.library.n_output_features_
            functions = np.arange(n_unknowns) % p
            varies = ~np.isin(functions, self.space.constant)
            varying = basis[:, varies].T.toarray()
            penalty = np.sqrt(ridge) * varying
            zeros = np.zeros((len(penalty), Y.shape[1]))
            merged = merge_rows(
                np.hstack([R, Y]),
                np.hstack([penalty, zeros]),
            )
            R = merged[:k, :k]
            Y = merged[:k, k:]
        return LeastSquares(R, Y)

    def coef(self, w):
        """Return coefficients (q, p) in the library."""
        coef = w @ self.space.basis
        return np.reshape(coef, (self.space.n_outputs, -1))

    def symmetry_matrix(self, w):
        """Return that of the candidates, (r, q m): the transpose of `LieDerivative`'s."""
        coef = self.coef(w)
        return self.L.symmetry_matrix(coef).T

    def _terms(self, X):
        """Return what is penalised, as linear maps of w with a norm."""
        L = self.L
        q = self.space.n_outputs
        basis = self.space.full_basis()
        elements = self.candidates.elements
        terms = []
        if L.n_generators:
            along_generators = L.constraint_matrix(q)
            term = _term(along_generators @ basis.T, L.n_generators, NuclearNorm())
            terms.append(term)
        if elements.n_elements:
            differences = _differences(
                self.space.library,
                elements,
                self.output,
                q,
                L,
                X,
            )
            term = _term(differences @ basis.T, elements.n_elements, GroupNorm())
            terms.append(term)
        # What the enforced symmetry makes zero already is no term.
        return [term for term in terms if term.K.nnz]


def without_enforced(candidates, symmetry, say=True):
    """Return candidates without what is enforced already.

    Along an enforced generator nothing changes, so that it would be a candidate without content.

    Parameters
    ----------
    candidates, symmetry : Group
    say : bool
        Whether a warning tells how many were left out.

    Returns
    -------
    Group
    """
    if symmetry.is_trivial:
        return candidates
    candidates, _ = without_dependent(candidates)
    algebra = candidates.algebra
    enforced = symmetry.algebra
    n_before = algebra.dim
    if algebra.dim and enforced.dim:
        algebra = _complement(algebra, enforced)
    # Of elements only those that are listed: products of them are not looked for.
    elements = candidates.elements
    new = []
    for k, g in enumerate(elements.matrices):
        is_enforced = any(np.allclose(g, h) for h in symmetry.elements.matrices)
        if not is_enforced:
            new.append(k)
    n_generators_removed = n_before - algebra.dim
    n_elements_removed = elements.n_elements - len(new)
    n_removed = n_generators_removed + n_elements_removed
    if n_removed and say:
        warn(
            f"{n_removed} of the candidates are enforced by `symmetry` already: they are left "
            "out of the candidates."
        )
    return Group(algebra, elements.take(new))


def without_dependent(group, output=None):
    """Return a group without dependent generators, and how the others move the outputs.

    A candidate that is counted twice would be penalised twice.
    """
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
    """Return an algebra without its intersection with another one.

    Parameters
    ----------
    algebra, enforced : LieAlgebra

    Returns
    -------
    LieAlgebra
        Some of the generators where the others are enforced; else combinations.
    """
    both = np.concatenate([enforced.flat(), algebra.flat()])
    size = np.linalg.norm(both, axis=1)
    size[size == 0] = 1.0
    unit_rows = both / size[:, None]
    # Rows: combinations of both that vanish, so that those of the two are equal and opposite.
    relations = null_space(sparse.csr_array(unit_rows.T))
    relations = relations.toarray() / size
    if not len(relations):
        return algebra
    # Their coordinates in the algebra: combinations that lie in the enforced span.
    common = relations[:, enforced.dim :]
    size = np.linalg.norm(common, axis=1)
    largest_entry = np.abs(common).max(initial=0)
    common = common[size > _COMMON * largest_entry]
    is_touched = (common != 0).any(axis=0)
    touched = np.flatnonzero(is_touched)
    rank = np.linalg.matrix_rank(common) if len(common) else 0
    if len(touched) == rank:  # whole generators
        others = np.flatnonzero(~is_touched)
        return algebra.take(others)
    complement = null_space(sparse.csr_array(common))
    readable = reduced_echelon(complement.toarray())
    return algebra.combine(readable)


def output_of(output, algebra, C):
    """Return how combinations C (k, r) of generators move outputs, as `output` is given."""
    if output is None or callable(output):
        return output
    B = represent(output, algebra)
    return np.tensordot(C, B, 1)


def _term(K, n_rows, norm):
    """Return a term without the tests that see nothing: they would only cost time.

    Parameters
    ----------
    K : sparse array of shape (n_rows m, k)
        From the unknowns to a matrix (n_rows, m).
    n_rows : int
        Candidates.
    norm : NuclearNorm or GroupNorm
        Of that matrix.
    """
    K = sparse.csr_array(K)
    K.eliminate_zeros()
    m = K.shape[0] // max(n_rows, 1)
    n_entries = np.diff(K.indptr).reshape(n_rows, m)
    sees = (n_entries > 0).any(axis=0)
    seeing_rows = np.flatnonzero(np.tile(sees, n_rows))
    shape = (n_rows, np.count_nonzero(sees))
    K = K[seeing_rows]
    return Term(sparse.csr_array(K), shape, norm)


def _lie_derivative(library, algebra, output, X):
    """Build the Lie derivative of the candidates, exactly where the library is closed."""
    points = _points(library, X)
    try:
        return LieDerivative.exact(library, algebra, output, points)
    except NotClosedError:
        return LieDerivative.sampled(library, algebra, output, points)


def _points(library, X):
    """Return points (m, d) where a library is tested; however often a row is repeated."""
    n_points = library.n_output_features_ + _MORE_POINTS
    distinct = np.unique(X, axis=0)
    return probe_points(distinct, n_points)


def _differences(library, elements: FiniteGroup, output, q, L, X):
    """Return rows (element, output, test) of ``rho(g)^-1 F(g x) - F(x)``, on ``coef.ravel()``.

    Parameters
    ----------
    library : fitted Library
    elements : FiniteGroup
    output : representation or None
    q : int
    L : LieDerivative
        Whose tests serve where the library is closed under an element.
    X : ndarray of shape (n, d)
        Near which it is tested where it is not.

    Returns
    -------
    sparse array of shape (elements q m, q p)
    """
    identity = np.eye(q)
    rho = np.tile(identity, (elements.n_elements, 1, 1))
    if output is not None:
        rho = represent_elements(output, elements, q)
    points = _points(library, X)
    rows = []
    for g, rho_g in zip(elements.matrices, rho, strict=True):
        # there, here: the library functions at the mapped tests and at the tests, (p, m)
        try:
            K = sparse.csr_array(library.group_matrix(g))
            there = K @ L.values
            here = L.values
        except NotClosedError:
            unit = np.sqrt(len(points))
            values_there = library_values(library, points @ g.T) / unit
            values_here = library_values(library, points) / unit
            there = sparse.csr_array(values_there.T)
            here = sparse.csr_array(values_here.T)
        inverse = np.linalg.inv(rho_g)
        mapped = sparse.kron(inverse, there.T)
        rows.append(mapped - sparse.kron(identity, here.T))
    return sparse.vstack(rows)
