"""Recovery: a function with symmetries from about as few samples as such functions have parameters.

With u the unknowns of the enforced space and ``S(u) = K u``, read as (r, m), the symmetry matrix,
the functions with at least ``k = r - R`` of the candidate symmetries are the variety
``rank S(u) <= R``. Among the functions through all samples, ``u = u0 + N z``, minimise::

    f(z) = 1/2 sum_{i > R} s_i(S(u))^2

which vanishes exactly on that variety. With U (r, R) and V (m, R) the leading singular vectors its
gradient is ``K^T (S - U U^T S)``, and to first order S changes off the variety by
``(I - U U^T) S(du) (I - V V^T)``: Levenberg-Marquardt with::

    H = K^T (I - U U^T) (x) (I - V V^T) K

The null space of H at a solution is the tangent space of the variety, and its dimension the number
of parameters of such functions. Samples beyond it are checks: a function that passes one without
being the right one has probability zero.

Cost: each step O((r + m) R p^2 + p^3) and one singular value decomposition of an (r, m) matrix; K
stays sparse.

Index legend: p unknowns, r candidates, m tests, R of the candidates are broken, k are symmetries.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

from sksym._linalg import numerical_rank
from sksym.solvers import LeastSquares

LARGEST_RANK_PROBLEM = 2000  # unknowns, above which the matrices would be too large
_BUDGET = 5e10  # floating-point operations, after which no further start is tried
_STEPS = 80  # of a search from one start that fails, about
_N_RANDOM = 40  # starts, once those of the convex problems have failed
_AT_ONCE = 500_000  # numbers of a step that are formed together
_MAX_ITER = 40
_PATIENCE = 5  # steps
_SLOW = 0.025  # relative decrease of the tail within them, below which it has stalled
_FIRST_DAMPING = 1e-2  # relative to the mean eigenvalue of H
_LEAST_DAMPING = 1e-15
_LARGEST_DAMPING = 1e6
_EXACT = 1e-13  # tail of the singular values, relative to all, at which to stop
_FLAT = 1e-11  # eigenvalue of H relative to the largest that belongs to the tangent space
_ZERO = 1e-9  # singular value relative to the largest that belongs to a symmetry
_VISIBLE = 0.1  # singular value relative to the largest that is broken, at the first guess
_INTERPOLATES = 1e-9  # residual relative to the targets that is round-off


@dataclass(frozen=True, eq=False)
class Determination:
    """How far samples determine a function with some symmetries.

    Attributes
    ----------
    n_parameters : int
        Dimension of the variety of functions with as many symmetries.
    n_equations : int
        Rank of the samples.
    is_unique : bool
        Whether no other such function nearby takes the same values.
    """

    n_parameters: int
    n_equations: int
    is_unique: bool

    @property
    def n_checks(self):
        """Independent samples beyond the number of parameters."""
        return self.n_equations - self.n_parameters

    @property
    def is_determined(self):
        """Whether the function is the only one, and at least one sample confirms it."""
        return self.is_unique and self.n_checks > 0


@dataclass(frozen=True, eq=False)
class SymmetryRank:
    """The symmetry matrix as a linear map of the unknowns, and its distance from low rank.

    Attributes
    ----------
    K : csr_array of shape (r m, p)
    shape : (r, m)
    gram : ndarray of shape (p, p)
        ``K^T K``.
    """

    K: sparse.csr_array
    shape: tuple
    gram: np.ndarray

    def svd(self, u):
        """Return ``S(u) = U diag(s) Vt``."""
        S = self.K @ u
        S = S.reshape(self.shape)
        return np.linalg.svd(S, full_matrices=False)

    def gradient(self, U, s, Vt, R):
        """Return that of f, (p,)."""
        tail = (U[:, R:] * s[R:]) @ Vt[R:]
        return self._transposed @ tail.ravel()

    def curvature(self, U, Vt, R):
        """Return H, (p, p), as the Gram matrix less what lies in the leading singular vectors."""
        r, m = self.shape
        p = len(self.gram)
        H = self.gram.copy()
        # A few singular vectors at a time: all at once would take R (r + m) p numbers.
        n_at_once = 1 + _AT_ONCE // ((r + m) * p)
        U = U[:, :R]
        for first in range(0, R, n_at_once):
            some = slice(first, min(first + n_at_once, R))
            along_U = (U[:, some].T @ self._by_candidate).reshape(-1, p)
            H -= along_U.T @ along_U
            along_V = (Vt[some] @ self._by_test).reshape(-1, r, p)
            # What lies in both was taken away twice.
            off_U = along_V - U @ (U.T @ along_V)
            off_U = off_U.reshape(-1, p)
            H -= off_U.T @ off_U
        return H

    @cached_property
    def _transposed(self):
        return sparse.csr_array(self.K.T)

    @cached_property
    def _by_candidate(self):
        """K as (r, m p)."""
        r, m = self.shape
        return sparse.csr_array(self.K.reshape((r, m * self.K.shape[1])))

    @cached_property
    def _by_test(self):
        """K as (m, r p)."""
        r, m = self.shape
        p = self.K.shape[1]
        order = np.arange(r * m).reshape(r, m).T.ravel()
        by_test = self.K[order]
        return sparse.csr_array(by_test.reshape((m, r * p)))

    def kernel(self, u):
        """Return the combinations of candidates (k, r) along which u does not change."""
        S = self.K @ u
        S = S.reshape(self.shape)
        U, s, _ = np.linalg.svd(S, full_matrices=True)
        n_broken = np.count_nonzero(s > _ZERO * s.max(initial=0.0))
        return U[:, n_broken:].T

    def step_cost(self, R):
        """Return the floating-point operations of one step."""
        r, m = self.shape
        p = len(self.gram)
        return 2.0 * p**2 * (R * (r + m) + p)


@dataclass(frozen=True, eq=False)
class Recovery:
    """A function of low rank that takes the values of the samples.

    Attributes
    ----------
    u : ndarray of shape (p,)
    generators : ndarray of shape (k, r)
        Of its symmetries, in the orthonormal basis of the candidates.
    determination : Determination
    """

    u: np.ndarray
    generators: np.ndarray
    determination: Determination


class Interpolants:
    """The functions that take the values of the samples, ``u = u0 + N z``.

    Parameters
    ----------
    design : ndarray of shape (n, p / q)
        Rows that act on the unknowns of every output alike.
    targets : ndarray of shape (n, q)
    """

    def __init__(self, design, targets):
        self.design = design
        self.n_outputs = targets.shape[1]
        # Axes of what the rows see, and the solution of least norm.
        self._seen, _, least = LeastSquares(design, targets).parts(0.0)
        residual = np.linalg.norm(design @ least.T - targets)
        self.exist = residual <= _INTERPOLATES * np.linalg.norm(targets)
        self.least = least.ravel()

    @property
    def rank(self):
        """Rank of the rows."""
        return self._seen.shape[1]

    @property
    def are_many(self):
        """Whether there is more than one."""
        return self.exist and self.rank < self.design.shape[1]

    @cached_property
    def N(self):
        """Orthonormal functions (p, z) that vanish at all samples."""
        axes, _ = np.linalg.qr(self._seen, mode="complete")
        outputs = np.eye(self.n_outputs)
        return np.kron(outputs, axes[:, self.rank :])

    def nearest(self, u):
        """Return the nearest function to u that takes the values."""
        z = self.N.T @ (u - self.least)
        return self.least + self.N @ z

    def determination(self, symmetry_rank, u, n_symmetries):
        """Tell how far the samples determine a function u with that many symmetries.

        Parameters
        ----------
        symmetry_rank : SymmetryRank
        u : ndarray of shape (p,)
        n_symmetries : int

        Returns
        -------
        Determination
        """
        U, _, Vt = symmetry_rank.svd(u)
        H = symmetry_rank.curvature(U, Vt, symmetry_rank.shape[0] - n_symmetries)
        eigenvalues, vectors = eigh(H)
        is_flat = eigenvalues <= _FLAT * eigenvalues[-1]
        tangent = vectors[:, is_flat]
        # Samples that are repeated, or equal on the tangent space, count once.
        of_outputs = tangent.reshape(self.n_outputs, -1, tangent.shape[1])
        values = np.einsum("np,qpt->qnt", self.design, of_outputs)
        values = values.reshape(-1, tangent.shape[1])
        s = np.linalg.svd(values, compute_uv=False)
        return Determination(
            n_parameters=tangent.shape[1],
            n_equations=self.n_outputs * self.rank,
            is_unique=numerical_rank(s, values.shape) == tangent.shape[1],
        )


class NoSearch:
    """The search where there is nothing to search for."""

    found = None
    is_cheap = True

    def succeeds_from(self, u):
        """Return False."""
        return False

    def finish(self, with_random_starts):
        """Return None."""
        return None


NO_SEARCH = NoSearch()


class RecoverySearch:
    """The search for interpolants of low rank from several starts.

    A rank that is too low leaves a tail, and one that is too high leaves the function undetermined:
    bisection between them. But descent may also end in a local minimum, so that only the upper
    bound is kept from start to start.

    Parameters
    ----------
    symmetry_rank : SymmetryRank
    interpolants : Interpolants
    """

    def __init__(self, symmetry_rank, interpolants):
        self.map = symmetry_rank
        self.interpolants = interpolants
        self.found = None
        self.is_over = False
        self._undetermined_from = symmetry_rank.shape[0]
        self._spent = 0.0

    @classmethod
    def of(cls, problem, interpolants):
        """Return the search for a PromotionProblem.

        `NO_SEARCH` without continuous candidates, where least squares has one solution or leaves
        a residual, and where the problem is too large.
        """
        if problem.symmetry_rank is None or not interpolants.are_many:
            return NO_SEARCH
        return cls(problem.symmetry_rank, interpolants)

    @property
    def is_cheap(self):
        """Whether a search from one start may be repeated in every fold."""
        cost = self.map.step_cost(self.map.shape[0] // 2)
        return _STEPS * cost <= _BUDGET

    def succeeds_from(self, u):
        """Search from one more function, unless it is over; tell whether one was found."""
        if not self.is_over:
            self.found = self._from_start(u.ravel())
            self.is_over = self.found is not None or self._spent > _BUDGET
        return self.found is not None

    def finish(self, with_random_starts):
        """Search from the smallest function, and from random ones: the Recovery, or None."""
        found = self.succeeds_from(self.interpolants.least)
        if not found and not self.is_over and with_random_starts:
            self.found = self._from_random_starts()
        self.is_over = True
        return self.found

    def _from_start(self, u):
        """Search from one function u (p,): a Recovery that the samples determine, or None."""
        u = self.interpolants.nearest(u)
        _, s, _ = self.map.svd(u)
        n_visible = np.count_nonzero(s > _VISIBLE * s.max(initial=0.0))
        low = 0
        R = min(n_visible, self._undetermined_from - 1)
        while low < R < self._undetermined_from:
            end, vanishes = self._descend(u, R)
            if vanishes:
                recovery = self._recovery(end)
                if recovery.determination.is_determined:
                    return recovery
                self._undetermined_from = R
            else:
                low = R
            R = (low + self._undetermined_from) // 2
        return None

    def _from_random_starts(self):
        """Search from functions about the smallest: a Recovery that the samples determine, or None.

        Descent from one start in ten or so ends in the right minimum where the others are local.
        """
        rng = np.random.default_rng(0)
        N = self.interpolants.N
        least = self.interpolants.least
        size = np.linalg.norm(least) / np.sqrt(N.shape[1])
        for _ in range(_N_RANDOM):
            z = rng.normal(size=N.shape[1])
            recovery = self._just_determined(least + size * (N @ z))
            if recovery is not None:
                return recovery
        return None

    def _just_determined(self, u):
        """Search at the largest ranks that are not known to leave the function undetermined."""
        R = self._undetermined_from - 1
        while R > 0 and self._spent <= _BUDGET:
            end, vanishes = self._descend(u, R)
            if not vanishes:
                return None
            recovery = self._recovery(end)
            if recovery.determination.is_determined:
                return recovery
            self._undetermined_from = R
            R -= 1
        return None

    def _recovery(self, u):
        generators = self.map.kernel(u)
        determination = self.interpolants.determination(self.map, u, len(generators))
        return Recovery(u, generators, determination)

    def _descend(self, u, R):
        """Minimise the tail beyond rank R: where the steps end, and whether the tail vanishes."""
        damping = _FIRST_DAMPING
        _, s, _ = decomposed = self.map.svd(u)
        tails = [np.linalg.norm(s[R:])]
        while len(tails) <= _MAX_ITER and tails[-1] > _EXACT * np.linalg.norm(s):
            step = self._step(u, R, decomposed, damping)
            if step is None:
                break
            u, decomposed, damping = step
            tails.append(np.linalg.norm(decomposed[1][R:]))
            has_stalled = tails[-1] > (1 - _SLOW) * tails[max(-1 - _PATIENCE, -len(tails))]
            if has_stalled and len(tails) > 2 * _PATIENCE:
                break
        # The samples may be known less well than to round-off.
        return u, tails[-1] <= _ZERO * np.linalg.norm(s)

    def _step(self, u, R, decomposed, damping):
        """Return u after one step, its decomposition and the next damping; None: no way down."""
        U, s, Vt = decomposed
        N = self.interpolants.N
        gradient = N.T @ self.map.gradient(U, s, Vt, R)
        H = N.T @ self.map.curvature(U, Vt, R) @ N
        self._spent += self.map.step_cost(R)
        size = np.trace(H) / len(H)
        while damping <= _LARGEST_DAMPING:
            z = -solve_shifted(H, gradient, damping * size)
            new = u + N @ z
            of_new = self.map.svd(new)
            if np.linalg.norm(of_new[1][R:]) < np.linalg.norm(s[R:]):
                return new, of_new, max(damping / 5, _LEAST_DAMPING)
            damping *= 4
        return None


def determination_of(problem, fit, interpolants, n_distinct):
    """Tell how far samples determine a fit.

    Parameters
    ----------
    problem : PromotionProblem
        Without the symmetries of the fit.
    fit : PromotedFit
    interpolants : Interpolants
        Of the samples, in the basis of `problem`.
    n_distinct : int
        Number of distinct samples.

    Returns
    -------
    Determination
        Where the problem is too large for the tangent space, of the functions with the very
        symmetries that were found.
    """
    n_unknowns = interpolants.design.shape[1]
    is_full = interpolants.rank == n_unknowns
    symmetry_rank = problem.symmetry_rank
    of_fit = None
    if symmetry_rank is not None and len(fit.C):
        w = problem.unknowns(fit.library, fit.coef)
        # A promoted function that was not enforced is near the variety only: there is no tangent.
        n_symmetries = len(symmetry_rank.kernel(w.ravel()))
        if n_symmetries:
            of_fit = interpolants.determination(symmetry_rank, w.ravel(), n_symmetries)
    if of_fit is None:
        n_free = fit.problem.space.n_free
        n_equations = interpolants.n_outputs * interpolants.rank
        is_unique = is_full or n_free < n_equations
        of_fit = Determination(n_free, n_equations, is_unique)
    if not is_full:
        return of_fit
    # More samples than functions raise no rank, but each may contradict the function.
    return replace(of_fit, n_equations=interpolants.n_outputs * max(n_distinct, n_unknowns))


def solve_shifted(A, b, shift):
    """Return ``(A + shift I)^-1 b`` for a semidefinite A."""
    shifted = A + shift * np.eye(len(A))
    try:
        return cho_solve(cho_factor(shifted), b)
    except LinAlgError:
        # Positive but for round-off.
        solution, *_ = np.linalg.lstsq(shifted, b, rcond=None)
        return solution
