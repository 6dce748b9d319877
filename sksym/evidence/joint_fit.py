"""A function and its symmetry algebra fitted together, so that the symmetry is exact.

With the coefficients u in coordinates of unit noise, minimise::

    |u - u_fit|^2   over u and V   subject to   L(V_j, u) = 0,  j = 1 .. k,

V = G0 + W G1 with G0 the k smallest generators of the spectrum, G1 all others and W free. L is
bilinear. The generators are eliminated by projecting the constraint of each off the columns
``M1 = L(G1, u)``; what is left are Gauss-Newton steps in u alone.

Near the start the projected constraints have full rank by noise. At the solution their rank is t,
the codimension of the variety of functions with k symmetries. So a quadratic penalty grows
fourfold from step to step until the constraint is nearly met and the number of singular values far
above what is left of it stands still; from then on that rank is fixed, and the steps converge
quadratically. A gap alone does not decide: exact zeros (the constant function) make one from the
start, and a rank that is fixed too early gives a wrong variety.

Costs of k symmetries among K generators, with m tests for each of q outputs and e unknowns: m = p
and e = q p for p functions; of aff(d) K = d (d + 1), and p grows as d^degree. Samples enter by
their triangular factor alone, n p^2. The maps of all generators take K q m e numbers, and K m p^2
operations once. A step with all constraints takes k K q m e + k q m e^2 operations; where k exceeds
24, one with a sketch of them takes 24 K h e + 10 e^3, with h = K - k + 128 tests at most. Steps end
where no fit can be better than those known, see `JointFits.better_than`: after about ten instead
of twenty to forty.

Index legend: K generators of the spectrum, k symmetries, e = q rank unknowns, m tests of q outputs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, svd

from sksym._estimator import warn
from sksym._linalg import available_memory
from sksym.evidence.coefficients import REFIT_REJECT
from sksym.evidence.constraints import AllConstraints, Problem, SketchedConstraints

_MAX_ITER = 45
_MAX_ITER_AT_RANK = 15  # once the rank is fixed: convergence is quadratic, or there is none
_STALLED = 1e-8  # step at which a constraint that is not met has too low a rank
_GROWTH = 4.0  # of the penalty from step to step
_FIRST_PENALTY = 10.0  # relative to the mean square defect of the generators that are broken
_ABOVE = 30.0  # times what is left of the constraint: singular values that will stay
_NEARLY_MET = 1e-4  # constraint relative to the largest singular value, before a rank is fixed
_SHORT_STEP = 1e-2
_GAP = 100.0  # between the singular values that stay and the others
_NEGLIGIBLE = 1e-13  # singular value relative to the largest
_RANK = 1e-7  # of the variety: singular value relative to the largest, at the solution
_ROUND_OFF = 10.0  # times such a singular value
_CONVERGED = 1e-11  # defect, relative to the sizes of the terms
_STEP_OF_ROUND_OFF = 1e-14
_STEP_OF_SOLUTION = 1e-6  # below which quadratic convergence has ended
_EXACT = 1e-14  # constraint relative to the sizes of its terms that is round-off
_SHARE_OF_MEMORY = 0.25
_SLACK = 1.1  # times the largest miss that may be better: steps overshoot a little
_SAME_FIT = 0.01  # distance, in units of the noise and of the miss, to a fit that is the same


@dataclass(frozen=True, eq=False)
class JointFit:
    """A function with k exact symmetries, and what it costs.

    Attributes
    ----------
    generators : ndarray of shape (k, r)
        In the candidates.
    changes : ndarray of shape (r, k, e')
        Changes of the generators for unit noise along the variety's tangent space.
    coef : ndarray of shape (q, p)
    codimension : int
        Number t of constraints; 0: every function has such symmetries.
    residual : float
        What is left of the constraint, relative to the sizes of its terms.
    miss : float
        Squared distance of the fit in units of the noise.
    p_value : float
        Of the constraints: by F where the noise was estimated, by chi square where it is known.
    bic : float
        Against the fit without symmetry, which has 0.
    """

    generators: np.ndarray
    changes: np.ndarray
    coef: np.ndarray
    codimension: int
    residual: float
    miss: float
    p_value: float
    bic: float

    @property
    def is_convincing(self):
        """Whether the fit converged, says something, and does not contradict the data."""
        return self.is_exact and self.p_value > REFIT_REJECT

    @property
    def is_exact(self):
        """Whether the fit converged and says something, be it contradicted by the data or not."""
        return self.has_converged and self.codimension > 0

    @property
    def has_converged(self):
        """Whether the symmetries are exact, be they evidence or not."""
        return self.residual <= _CONVERGED


def joint_fit(evidence, k):
    """Fit the function and k symmetries together.

    Parameters
    ----------
    evidence : FittedEvidence
    k : int

    Returns
    -------
    JointFit, or None
        None where nothing is known of the noise, or where the matrices would not fit into memory.
    """
    return JointFits(evidence).of(k)


class JointFits:
    """Joint fits of one function with several numbers of symmetries, which share their matrices.

    Parameters
    ----------
    evidence : FittedEvidence
    """

    def __init__(self, evidence):
        self.evidence = evidence
        self._last = None  # coefficients u of the last exact fit

    def of(self, k):
        """Return the fit with k symmetries, or None; see `joint_fit`."""
        return self._fit(k, np.inf, None)

    def better_than(self, bic, k):
        """Return the fit with k symmetries, or None where it cannot be better than others.

        That is where its test rejects it or its BIC is not below `bic`, however many constraints
        there may be; or where the steps lead to the fit before, with more symmetries.
        """
        estimate = self.evidence.estimate
        n_unknowns = len(estimate.coef) * estimate.rank
        limit = _SLACK * estimate.largest_miss(n_unknowns, bic)
        return self._fit(k, limit, self._last)

    def _fit(self, k, limit, known):
        """Return the fit with k symmetries unless its miss is above the limit or it is known."""
        estimate = self.evidence.estimate
        K = len(self.evidence.spectrum.generators)
        if not 0 < k <= K or estimate.dof <= 0 or self._is_too_large:
            return None
        problem = self._problem
        kinds = [AllConstraints]
        if problem.sketch_is_smaller(k):
            kinds = [SketchedConstraints, AllConstraints]
        for kind in kinds:
            iteration = _Iteration(problem, kind(problem, k))
            if not iteration.run(limit, known):
                return None
            fit, is_whole = _judged(problem, iteration)
            # A sketch may, by rare chance, have a larger null space than all constraints. Fits that
            # the data contradict need not be repeated where only better ones are asked for.
            is_wanted = fit.is_exact if np.isinf(limit) else fit.is_convincing
            if is_whole or not is_wanted:
                break
        if fit.is_exact:
            self._last = iteration.u
        return fit

    @cached_property
    def _is_too_large(self):
        """Whether the matrices do not fit into memory, which is said once."""
        estimate = self.evidence.estimate
        K = len(self.evidence.spectrum.generators)
        q = len(estimate.coef)
        n_bytes = 8.0 * K * self.evidence.L.n_tests * q * q * estimate.rank
        if n_bytes <= _SHARE_OF_MEMORY * available_memory():
            return False
        warn(
            f"Symmetries in simple numbers alone are searched: in tilted axes {K:,} candidates and "
            f"{estimate.rank:,} functions would need {n_bytes / 2**30:.1f} GiB. Give fewer "
            "candidates, a library of lower degree, or fewer columns."
        )
        return True

    @cached_property
    def _problem(self):
        """The problem without symmetries."""
        return Problem.of(self.evidence)


class _Iteration:
    """Steps to the nearest function with exact symmetries.

    Parameters
    ----------
    problem : Problem
    constraints : AllConstraints or SketchedConstraints
    """

    def __init__(self, problem, constraints):
        spectrum = problem.evidence.spectrum
        k = constraints.k
        self.problem = problem
        self.constraints = constraints
        self.u = problem.u_fit.copy()
        self.W = np.zeros((k, len(spectrum.generators) - k))
        self.rank = None  # of the constraint, once it is fixed
        self.step = np.inf
        self.is_done = False
        self._n_at_rank = 0
        self._gap = -1
        self._left = np.inf
        mean_square = 0.0
        if self.W.size:
            broken = spectrum.singular_values[k:]
            mean_square = np.mean(broken**2)
        self._penalty = constraints.first_penalty * _FIRST_PENALTY / (mean_square or 1.0)

    def run(self, limit, known):
        """Take steps until there are none to take, and tell whether the end is worth judging.

        It is not where the miss is above `limit`, or where the steps lead to the coefficients
        `known` (e,), a fit with more symmetries.
        """
        radius = 0.0
        if known is not None:
            radius = _SAME_FIT * min(1.0, np.linalg.norm(known - self.problem.u_fit))
        for _ in range(_MAX_ITER):
            self.advance()
            if self.is_done:
                return True
            difference = self.u - self.problem.u_fit
            if difference @ difference > limit:
                return False
            if known is not None and np.linalg.norm(self.u - known) < radius:
                return False
        return True

    def advance(self):
        """Take one Gauss-Newton step, or find that there is none to take."""
        linear = self.constraints.linearise(self.W, self.u)
        U, s, Vt = _svd(linear.rows, full_matrices=False)
        left = linear.defect
        terms = linear.size * np.linalg.norm(self.u)
        self._choose_rank(s, left, terms)
        is_met = self.step < _STEP_OF_SOLUTION and left <= _EXACT * terms
        # Where every function has such symmetries, only the generators move.
        is_free = s[0] <= _NEGLIGIBLE * linear.size
        if is_met and (is_free or self.rank is not None):
            # One more step: those below this size square their error.
            self.is_done = True
            if is_free:
                return
        s = np.where(s > _NEGLIGIBLE * linear.size, s, 0.0)
        # Towards the fit, and onto the linearised constraint in the directions of weight one.
        weight = self._weights(s)
        divisor = np.where(weight * s > 0, s, np.inf)
        delta = self.problem.u_fit - self.u
        to_constraint = (U.T @ linear.values) / divisor
        pull = weight * (Vt @ delta + to_constraint)
        du = delta - Vt.T @ pull
        self.u = self.u + du
        # The generators follow: what they leave of the constraints is least.
        dW = np.zeros_like(self.W)
        if dW.size:
            defects = self.constraints.defects(self.u)
            solution, *_ = np.linalg.lstsq(linear.M1, defects.T, rcond=None)
            dW = -solution.T
        self.W = self.W + dW
        relative = np.linalg.norm(du) / np.linalg.norm(self.u)
        self.step = relative + np.linalg.norm(dW)
        self._penalty *= _GROWTH
        if self.rank is not None:
            self._n_at_rank += 1
            self.is_done |= self.step < _STEP_OF_ROUND_OFF
            self.is_done |= self._n_at_rank == _MAX_ITER_AT_RANK

    def _choose_rank(self, s, left, terms):
        """Fix the rank once it stands still, and raise it where the constraint is never met."""
        # Singular values of directions that the constraint leaves free shrink along with it.
        gap = np.count_nonzero(s > _ABOVE * left)
        if self.rank is None:
            settled = gap == self._gap > 0 and self.step < _SHORT_STEP
            nearly_met = left < _NEARLY_MET * s[0]
            if settled and nearly_met and _has_gap(s, gap):
                self.rank = gap
        elif self.step < _STALLED and left > max(_CONVERGED * terms, 0.5 * self._left):
            self.rank = _next_rank(s, self.rank)
            self._n_at_rank = 0
        self._gap = gap
        self._left = left

    def _weights(self, s):
        """Return how far each singular direction is pulled onto the constraint, from 0 to 1."""
        if self.rank is not None:
            return (np.arange(len(s)) < self.rank).astype(float)
        stiffness = self._penalty * s**2
        weight = stiffness / (1 + stiffness)
        return np.where(s > _NEGLIGIBLE * s[0], weight, 0.0)


def _has_gap(s, n):
    """Tell whether the first n singular values stand far above the others."""
    return n == len(s) or s[n - 1] > _GAP * s[n]


def _next_rank(s, rank):
    """Return the next rank that a gap follows: small constraints may hide below the first gap."""
    for n in range(rank + 1, len(s)):
        if _has_gap(s, n):
            return n
    return rank


def _svd(rows, full_matrices):
    """Return the singular value decomposition by the fast driver, where that converges."""
    try:
        return svd(rows, full_matrices=full_matrices)
    except LinAlgError:
        # Some finite matrices need the slow one.
        return svd(rows, full_matrices=full_matrices, lapack_driver="gesvd")


def _judged(problem, iteration):
    """Compute the codimension, the errors and the tests of a solution.

    Returns
    -------
    fit : JointFit
    is_whole : bool
        Whether all constraints vanish on the tangent space that the iteration has seen.
    """
    evidence = problem.evidence
    estimate = evidence.estimate
    G = evidence.spectrum.generators
    u = iteration.u
    W = iteration.W
    k = len(W)
    linear = iteration.constraints.linearise(W, u)
    _, s, Vt = _svd(linear.rows, full_matrices=True)
    smallest = max(_RANK * s.max(initial=0), _NEGLIGIBLE * linear.size)
    t = np.count_nonzero(s > smallest)
    terms = linear.size * np.linalg.norm(u)
    residual = linear.defect / (terms or 1.0)
    # Along the variety W follows u: M1 dW_j = -A_j du for du in its tangent space.
    tangent = Vt[t:].T
    M1 = (problem.maps[k:] @ u).T
    changes = problem.maps @ tangent
    changes = changes[:k] + np.tensordot(W, changes[k:], 1)  # A_j du, (k, q m, e')
    dW = -np.linalg.pinv(M1) @ changes  # (k, K - k, e')
    remaining = np.linalg.norm(changes + M1 @ dW, axis=(0, 1))
    in_data = problem.noise @ u
    in_data = in_data.reshape(len(estimate.coef), estimate.rank)
    difference = u - problem.u_fit
    miss = difference @ difference
    p_value, bic = estimate.judge(miss, t)
    fit = JointFit(
        generators=G[:k] + W @ G[k:],
        changes=np.tensordot(G[k:].T, dW, axes=(1, 1)),
        coef=in_data @ estimate.from_data.T,
        codimension=t,
        residual=float(residual),
        miss=float(miss),
        p_value=float(p_value),
        bic=float(bic),
    )
    return fit, remaining.max(initial=0) <= _ROUND_OFF * smallest
