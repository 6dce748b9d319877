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

Index legend: K generators of the spectrum, k symmetries, e = q rank unknowns, m tests of q outputs.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, svd

from sksym._linalg import available_memory, merge_rows
from sksym.evidence.coefficients import REFIT_REJECT

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
_CONVERGED = 1e-11  # defect, relative to the sizes of the terms
_STEP_OF_ROUND_OFF = 1e-14
_STEP_OF_SOLUTION = 1e-6  # below which quadratic convergence has ended
_EXACT = 1e-14  # constraint relative to the sizes of its terms that is round-off
_SHARE_OF_MEMORY = 0.25


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

    def of(self, k, stop_if_rejected=False):
        """Return the fit with k symmetries, or None; see `joint_fit`.

        Parameters
        ----------
        k : int
        stop_if_rejected : bool, default=False
            Whether to return None as soon as the fit is bound to be rejected.
        """
        estimate = self.evidence.estimate
        K = len(self.evidence.spectrum.generators)
        q = len(estimate.coef)
        n_bytes = 8.0 * K * self.evidence.L.n_tests * q * q * estimate.rank
        is_too_large = n_bytes > _SHARE_OF_MEMORY * available_memory()
        if not 0 < k <= K or estimate.dof <= 0 or is_too_large:
            return None
        iteration = _Iteration(replace(self._problem, k=k))
        for _ in range(_MAX_ITER):
            iteration.advance()
            if iteration.is_done:
                break
            if stop_if_rejected and iteration.is_far_from_fit:
                return None
        return _judged(iteration.problem, iteration.u, iteration.W)

    @cached_property
    def _problem(self):
        """The problem without symmetries."""
        return _Problem.of(self.evidence)


@dataclass(frozen=True, eq=False)
class _Problem:
    """The constraints in whitened coordinates.

    Attributes
    ----------
    evidence : FittedEvidence
    maps : ndarray of shape (K, q m, e)
        ``L(G_a, u) = maps[a] @ u``.
    u_fit : ndarray of shape (e,)
        The unconstrained fit.
    noise : ndarray of shape (e, e)
        Back to data coordinates: ``noise @ u``.
    k : int
    """

    evidence: object
    maps: np.ndarray
    u_fit: np.ndarray
    noise: np.ndarray
    k: int = 0

    @classmethod
    def of(cls, evidence):
        estimate = evidence.estimate
        q = len(estimate.coef)
        e = q * estimate.rank
        # By the full covariance: unequal, correlated and heteroscedastic errors alike.
        noise = np.asarray(estimate.noise, float)
        if noise.ndim == 2:
            covariance = noise @ noise.T
            noise = np.linalg.cholesky(covariance)
        else:
            deviations = np.broadcast_to(noise, e)
            noise = np.diag(deviations)
        whitened = evidence.with_estimate(estimate.with_noise(noise))
        maps = [whitened.perturbation(xi) for xi in evidence.spectrum.generators]
        in_data = estimate.coef @ estimate.to_data
        return cls(
            evidence=evidence,
            maps=np.array(maps),
            u_fit=np.linalg.solve(noise, in_data.ravel()),
            noise=noise,
        )

    def constraints(self, W):
        """Return the matrices A (k, q m, e) of the constraints ``A_j @ u = 0``."""
        smallest = self.maps[: self.k]
        others = self.maps[self.k :]
        return smallest + np.tensordot(W, others, 1)

    def broken(self, u):
        """Return ``M1 = L(G1, u)``, (q m, K - k), and an orthonormal basis of its columns."""
        changes = self.maps[self.k :] @ u
        M1 = changes.T
        Q, _ = np.linalg.qr(M1)
        return M1, Q


class _Iteration:
    """Steps to the nearest function with exact symmetries.

    Parameters
    ----------
    problem : _Problem
    """

    def __init__(self, problem):
        spectrum = problem.evidence.spectrum
        k = problem.k
        self.problem = problem
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
        self._penalty = _FIRST_PENALTY / (mean_square or 1.0)

    def advance(self):
        """Take one Gauss-Newton step, or find that there is none to take."""
        A = self.problem.constraints(self.W)
        M1, Q = self.problem.broken(self.u)
        rows, values = _projected(A, Q, self.u)
        U, s, Vt = _svd(rows, full_matrices=False)
        left = np.linalg.norm(A @ self.u)
        terms = np.linalg.norm(A) * np.linalg.norm(self.u)
        self._choose_rank(s, left, terms)
        is_met = self.step < _STEP_OF_SOLUTION and left <= _EXACT * terms
        # Where every function has such symmetries, only the generators move.
        is_free = s[0] <= _NEGLIGIBLE * np.linalg.norm(A)
        if is_met and (is_free or self.rank is not None):
            self.is_done = True
            return
        s = np.where(s > _NEGLIGIBLE * np.linalg.norm(A), s, 0.0)
        # Towards the fit, and onto the linearised constraint in the directions of weight one.
        weight = self._weights(s)
        divisor = np.where(weight * s > 0, s, np.inf)
        delta = self.problem.u_fit - self.u
        to_constraint = (U.T @ values) / divisor
        pull = weight * (Vt @ delta + to_constraint)
        du = delta - Vt.T @ pull
        self.u = self.u + du
        # The generators follow: what they leave of the constraints is least.
        dW = np.zeros_like(self.W)
        if dW.size:
            defects = A @ self.u
            solution, *_ = np.linalg.lstsq(M1, defects.T, rcond=None)
            dW = -solution.T
        self.W = self.W + dW
        relative = np.linalg.norm(du) / np.linalg.norm(self.u)
        self.step = relative + np.linalg.norm(dW)
        self._penalty *= _GROWTH
        if self.rank is not None:
            self._n_at_rank += 1
            self.is_done = self.step < _STEP_OF_ROUND_OFF or self._n_at_rank == _MAX_ITER_AT_RANK

    @property
    def is_far_from_fit(self):
        """Whether the data reject what the constraint has cost so far, whatever its rank.

        The cost grows with the penalty; half of it allows for steps that go too far.
        """
        difference = self.u - self.problem.u_fit
        miss = difference @ difference / 2
        p_value, _ = self.problem.evidence.estimate.judge(miss, len(self.u))
        return p_value <= REFIT_REJECT

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


def _projected(A, Q, u):
    """Return the constraints and their values at u, projected off the columns of Q.

    Returns
    -------
    rows : ndarray of shape (t, e)
        As a triangular factor of at most e rows: ``rows.T @ rows`` is that of all k q m.
    values : ndarray of shape (t,)
        ``rows.T @ values`` is that of all.
    """
    along = Q.T @ A
    rows = A - Q @ along
    defects = A @ u
    along = defects @ Q
    values = defects - along @ Q.T
    # What follows takes their triangular factor alone, which is far smaller.
    e = len(u)
    both = np.column_stack([rows.reshape(-1, e), values.ravel()])
    factor = merge_rows(None, both)[:e]
    return factor[:, :e], factor[:, e]


def _judged(problem, u, W):
    """Compute the codimension, the errors and the tests of a solution."""
    evidence = problem.evidence
    estimate = evidence.estimate
    G = evidence.spectrum.generators
    k = problem.k
    A = problem.constraints(W)
    M1, Q = problem.broken(u)
    rows, _ = _projected(A, Q, u)
    _, s, Vt = _svd(rows, full_matrices=True)
    size = np.linalg.norm(A)
    smallest = max(_RANK * s.max(initial=0), _NEGLIGIBLE * size)
    t = np.count_nonzero(s > smallest)
    terms = size * np.linalg.norm(u)
    defect = np.linalg.norm(A @ u)
    residual = defect / (terms or 1.0)
    # Along the variety W follows u: M1 dW_j = -A_j du for du in its tangent space.
    tangent = Vt[t:].T
    dW = -np.linalg.pinv(M1) @ (A @ tangent)  # (k, K - k, e')
    in_data = problem.noise @ u
    in_data = in_data.reshape(len(estimate.coef), estimate.rank)
    difference = u - problem.u_fit
    miss = difference @ difference
    p_value, bic = estimate.judge(miss, t)
    return JointFit(
        generators=G[:k] + W @ G[k:],
        changes=np.einsum("jle,lr->rje", dW, G[k:]),
        coef=in_data @ estimate.from_data.T,
        codimension=t,
        residual=float(residual),
        miss=float(miss),
        p_value=float(p_value),
        bic=float(bic),
    )
