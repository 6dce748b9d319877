"""The constraints ``L(V_j, u) = 0`` of a joint fit, linearised: all of them, or a sketch.

With V = G0 + W G1, see `joint_fit`, constraint j is ``A_j u = 0``, ``A = M(G0) + W M(G1)``, where
``M(G_a) u = L(G_a, u)``. The changes ``M1 = L(G1, u)`` that a change of W can take up are projected
off. What remains has k q m rows for e unknowns.

A sketch takes random combinations of the tests, then of the generators, and of each again of the
tests, three times as many rows as unknowns in all. Both have the same null space for almost every
sketch, and singular values that agree up to a factor of about two.

Index legend: K generators of the spectrum, k symmetries, e = q rank unknowns, m tests of q outputs,
s combinations of generators, h combinations of tests.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sksym._linalg import merge_rows

_N_COMBINATIONS = 24  # of generators in a sketch
_OVERSAMPLING = 3  # rows of a sketch, relative to the unknowns
_MORE_TESTS = 128  # combinations of tests beyond the generators that are broken
_LATER = 64.0  # first penalty of large problems: with less, their functions hardly move


@dataclass(frozen=True, eq=False)
class Problem:
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
    """

    evidence: object
    maps: np.ndarray
    u_fit: np.ndarray
    noise: np.ndarray

    @classmethod
    def of(cls, evidence):
        """Whiten the coefficients of some evidence by their full covariance."""
        estimate = evidence.estimate
        # Unequal, correlated and heteroscedastic errors alike.
        noise = np.asarray(estimate.noise, float)
        if noise.ndim == 2:
            covariance = noise @ noise.T
            noise = np.linalg.cholesky(covariance)
            whitened = evidence.with_estimate(estimate.with_noise(noise))
        else:
            e = len(estimate.coef) * estimate.rank
            deviations = np.broadcast_to(noise, e)
            noise = np.diag(deviations)
            whitened = evidence.with_estimate(estimate.with_noise(deviations))
        generators = evidence.spectrum.generators
        shape = (len(generators), evidence.spectrum.left.shape[0], len(noise))
        maps = np.empty(shape)
        for a, xi in enumerate(generators):
            maps[a] = whitened.perturbation(xi)
        in_data = estimate.coef @ estimate.to_data
        return cls(
            evidence=evidence,
            maps=maps,
            u_fit=np.linalg.solve(noise, in_data.ravel()),
            noise=noise,
        )

    def sketch_is_smaller(self, k):
        """Tell whether a sketch has far fewer rows than the constraints on k symmetries."""
        _, n_tests, e = self.maps.shape
        return k > _N_COMBINATIONS and k * n_tests > 2 * _OVERSAMPLING * e

    def sketched_maps(self, k):
        """Return the maps of the generators in as few tests as k symmetries need, (K, h, e)."""
        K, n_tests, _ = self.maps.shape
        n_combinations = K - k + _MORE_TESTS
        if n_combinations >= n_tests:
            return self.maps
        last = self._sketches.get("maps")
        # One sketch serves several numbers of symmetries.
        if last is not None and last.shape[1] >= n_combinations:
            return last
        n_combinations = min(n_combinations + _N_COMBINATIONS, n_tests)
        rng = np.random.default_rng(0)
        tests = rng.normal(size=(n_combinations, n_tests)) / np.sqrt(n_combinations)
        self._sketches["maps"] = tests @ self.maps
        return self._sketches["maps"]

    @cached_property
    def _sketches(self):
        """The last sketch of the maps, which is replaced by a larger one where that is needed."""
        return {}


@dataclass(frozen=True, eq=False)
class Linearised:
    """Constraints at some W and u.

    Attributes
    ----------
    rows : ndarray of shape (t, e)
        With M1 projected off, as a triangular factor of at most e rows.
    values : ndarray of shape (t,)
        ``rows.T @ values`` is that of all rows and their values at u.
    defect : float
        Norm of the constraints ``A u``.
    size : float
        Norm of A.
    M1 : ndarray of shape (q m, K - k)
        What a change of W takes up.
    """

    rows: np.ndarray
    values: np.ndarray
    defect: float
    size: float
    M1: np.ndarray


class AllConstraints:
    """The constraints on k symmetries, every row of them.

    Parameters
    ----------
    problem : Problem
    k : int
    """

    first_penalty = 1.0

    def __init__(self, problem, k):
        self.k = k
        self.maps = problem.maps

    def linearise(self, W, u):
        """Return the `Linearised` constraints at W (k, K - k) and u (e,)."""
        self._A = self.maps[: self.k] + np.tensordot(W, self.maps[self.k :], 1)
        M1 = (self.maps[self.k :] @ u).T
        rows, values = _projected(self._A, M1, u)
        return Linearised(
            rows=rows,
            values=values,
            defect=np.linalg.norm(self._A @ u),
            size=np.linalg.norm(self._A),
            M1=M1,
        )

    def defects(self, u):
        """Return ``A u`` (k, q m) for another u (e,) and the same W."""
        return self._A @ u


class SketchedConstraints:
    """The constraints on k symmetries, in fewer rows.

    Parameters
    ----------
    problem : Problem
    k : int
    """

    first_penalty = _LATER

    def __init__(self, problem, k):
        self.k = k
        self.maps = problem.sketched_maps(k)
        flat = self.maps.reshape(len(self.maps), -1)
        self._gram = flat @ flat.T
        _, n_tests, e = self.maps.shape
        n_rows = -(-_OVERSAMPLING * e // _N_COMBINATIONS)
        # Always the same sketch, so that the steps converge.
        rng = np.random.default_rng(0)
        self._of_generators = rng.normal(size=(_N_COMBINATIONS, k))
        self._of_tests = rng.normal(size=(_N_COMBINATIONS, n_rows, n_tests))
        # Squares of rows have the expectation of the sum over all rows.
        self._of_tests /= np.sqrt(_N_COMBINATIONS * n_rows)
        self._u = None

    def linearise(self, W, u):
        """Return the `Linearised` constraints at W (k, K - k) and u (e,)."""
        self._W = W
        defects = self.defects(u)
        M1 = self._changes[self.k :].T
        Q, _ = np.linalg.qr(M1)
        V = np.hstack([np.eye(self.k), W])
        combined = np.tensordot(self._of_generators @ V, self.maps, 1)  # (s, q m, e)
        left = self._of_tests - (self._of_tests @ Q) @ Q.T
        rows = left @ combined
        e = len(u)
        rows, values = _triangular(rows.reshape(-1, e), u)
        return Linearised(
            rows=rows,
            values=values,
            defect=np.linalg.norm(defects),
            size=np.sqrt(np.sum((V @ self._gram) * V)),
            M1=M1,
        )

    def defects(self, u):
        """Return ``A u`` (k, q m) for another u (e,) and the same W."""
        if u is not self._u:
            self._u = u
            self._changes = self.maps @ u
        return self._changes[: self.k] + self._W @ self._changes[self.k :]


def _projected(A, M1, u):
    """Return the constraints and their values at u, projected off the columns of M1.

    Returns
    -------
    rows : ndarray of shape (t, e)
        As a triangular factor of at most e rows: ``rows.T @ rows`` is that of all k q m.
    values : ndarray of shape (t,)
        ``rows.T @ values`` is that of all.
    """
    Q, _ = np.linalg.qr(M1)
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


def _triangular(rows, u):
    """Return the triangular factor of rows (.., e) and of their values at u."""
    e = len(u)
    both = np.column_stack([rows, rows @ u])
    factor = merge_rows(None, both)[:e]
    return factor[:, :e], factor[:, e]
