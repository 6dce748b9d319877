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

from dataclasses import dataclass

import numpy as np
from scipy.linalg import svd

from sksym._linalg import available_memory
from sksym.evidence.coefficients import REFIT_REJECT

_MAX_ITER = 60
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
        converged = self.residual <= _CONVERGED
        return converged and self.codimension > 0 and self.p_value > REFIT_REJECT


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
    estimate = evidence.estimate
    K = len(evidence.spectrum.generators)
    e = estimate.coef.shape[0] * estimate.rank
    n_bytes = 8.0 * K * evidence.L.n_tests * len(estimate.coef) * e
    if not 0 < k <= K or estimate.dof <= 0 or n_bytes > _SHARE_OF_MEMORY * available_memory():
        return None
    problem = _Problem.of(evidence, k)
    return _solve(problem)


@dataclass(frozen=True, eq=False)
class _Problem:
    """The constraints in whitened coordinates.

    Attributes
    ----------
    evidence : FittedEvidence
    k : int
    maps : ndarray of shape (K, q m, e)
        ``L(G_a, u) = maps[a] @ u``.
    u_fit : ndarray of shape (e,)
        The unconstrained fit.
    noise : ndarray of shape (e, e)
        Back to data coordinates: ``noise @ u``.
    """

    evidence: object
    k: int
    maps: np.ndarray
    u_fit: np.ndarray
    noise: np.ndarray

    @classmethod
    def of(cls, evidence, k):
        estimate = evidence.estimate
        e = estimate.coef.shape[0] * estimate.rank
        # By the full covariance: unequal, correlated and heteroscedastic errors alike.
        noise = np.asarray(estimate.noise, float)
        if noise.ndim == 2:
            noise = np.linalg.cholesky(noise @ noise.T)
        else:
            noise = np.diag(np.broadcast_to(noise, e))
        whitened = evidence.with_estimate(estimate.with_noise(noise))
        maps = [whitened.perturbation(xi) for xi in evidence.spectrum.generators]
        u = (estimate.coef @ estimate.to_data).ravel()
        return cls(evidence, k, np.array(maps), np.linalg.solve(noise, u), noise)

    def constraints(self, W):
        """Return the matrices A (k, q m, e) of the constraints ``A_j @ u = 0``."""
        return self.maps[: self.k] + np.tensordot(W, self.maps[self.k :], 1)

    def broken(self, u):
        """Return ``M1 = L(G1, u)``, (q m, K - k), and an orthonormal basis of its columns."""
        M1 = (self.maps[self.k :] @ u).T
        return M1, np.linalg.qr(M1)[0]


def _solve(problem):
    """Iterate to the nearest function with exact symmetries."""
    spectrum = problem.evidence.spectrum
    k = problem.k
    u_fit = problem.u_fit
    u = u_fit.copy()
    W = np.zeros((k, len(spectrum.generators) - k))
    broken = spectrum.singular_values[k:]
    penalty = _FIRST_PENALTY / (np.mean(broken**2) if len(broken) and broken.any() else 1.0)
    rank = None
    last_gap = -1
    step = np.inf
    for iteration in range(_MAX_ITER):
        A = problem.constraints(W)
        M1, Q = problem.broken(u)
        rows, values = _projected(A, Q, u)
        U, s, Vt = svd(rows, full_matrices=False, lapack_driver="gesvd")
        if not s.any():
            break
        # Singular values of directions that the constraint leaves free shrink along with it.
        left = np.linalg.norm(A @ u)
        gap = np.count_nonzero(s > _ABOVE * left)
        settled = iteration and gap == last_gap > 0 and step < _SHORT_STEP
        nearly_met = left < _NEARLY_MET * s[0]
        if rank is None and settled and nearly_met and _has_gap(s, gap):
            rank = gap
        last_gap = gap
        weight = _weights(s, penalty, rank)
        # Towards the fit, and onto the linearised constraint in the directions of weight one.
        delta = u_fit - u
        live = weight > 0
        y = np.where(live, U.T @ values / np.where(live, s, 1.0), 0.0)
        du = delta - Vt.T @ (weight * (Vt @ delta + y))
        dW = np.zeros_like(W)
        if W.size:
            dW = -np.linalg.lstsq(M1, (A @ (u + du)).T, rcond=None)[0].T
        u = u + du
        W = W + dW
        penalty *= _GROWTH
        step = np.linalg.norm(du) / np.linalg.norm(u) + np.linalg.norm(dW)
        if rank is not None and step < _STEP_OF_ROUND_OFF:
            break
    return _judged(problem, u, W)


def _has_gap(s, n):
    """Tell whether the first n singular values stand far above the others."""
    return n == len(s) or s[n - 1] > _GAP * s[n]


def _projected(A, Q, u):
    """Return the constraints (k q m, e) and their values at u, projected off the columns of Q."""
    rows = A - Q @ (Q.T @ A)
    values = A @ u
    values = values - (values @ Q) @ Q.T
    return rows.reshape(-1, A.shape[2]), values.ravel()


def _weights(s, penalty, rank):
    """Return how far each singular direction is pulled onto the constraint, between 0 and 1."""
    if rank is not None:
        return (np.arange(len(s)) < rank).astype(float)
    weight = penalty * s**2 / (1 + penalty * s**2)
    return np.where(s > _NEGLIGIBLE * s[0], weight, 0.0)


def _judged(problem, u, W):
    """Compute the codimension, the errors and the tests of a solution."""
    evidence = problem.evidence
    estimate = evidence.estimate
    G = evidence.spectrum.generators
    k = problem.k
    A = problem.constraints(W)
    M1, Q = problem.broken(u)
    rows, _ = _projected(A, Q, u)
    _, s, Vt = svd(rows, full_matrices=True, lapack_driver="gesvd")
    t = np.count_nonzero(s > _RANK * s.max(initial=0))
    terms = np.linalg.norm(A) * np.linalg.norm(u)
    residual = np.linalg.norm(A @ u) / (terms or 1.0)
    # Along the variety W follows u: M1 dW_j = -A_j du for du in its tangent space.
    tangent = Vt[t:].T
    dW = -np.linalg.pinv(M1) @ (A @ tangent)  # (k, K - k, e')
    u_data = (problem.noise @ u).reshape(len(estimate.coef), -1)
    miss = np.sum((u - problem.u_fit) ** 2)
    p_value, bic = estimate.judge(miss, t)
    return JointFit(
        generators=G[:k] + W @ G[k:],
        changes=np.einsum("jle,lr->rje", dW, G[k:]),
        coef=u_data @ estimate.from_data.T,
        codimension=t,
        residual=float(residual),
        miss=float(miss),
        p_value=float(p_value),
        bic=float(bic),
    )
