"""Least squares over functions with symmetries, where there are few noisy samples.

Few is less than twice the number of unknowns; with more, the least-squares fit shows what holds.

With u the unknowns of the enforced space and ``S(u) = K u``, read as (r, m), the symmetry matrix,
minimise the misfit over functions with at least ``k = r - R`` of the candidate symmetries::

    |D u - y|^2   subject to   rank S(u) <= R

First with a quadratic penalty that grows fourfold from step to step, until the constraint is
nearly met::

    |D u - y|^2 + rho sum_{i > R} s_i(S(u))^2

by Gauss-Newton steps with ``D^T D + rho H``, H the curvature as in `recovery`. Then the rank of H
is fixed, and its null space T is the tangent space of the variety: every step returns to the
variety along the row space of H and solves ``min |y - D u - D T a|`` in the tangent space. The
columns of T are the parameters of such functions, so that tests count them:

* F of one rank against another, and against constants. R is the lowest rank that is not improved
  on beyond chance.
* The other functions: where ``e`` are the residuals in the complement of ``D T``, the statistic
  ``|D^T e|^2 / |e|^2`` is large if some function off the variety explains them. Under noise alone
  its distribution is known, however many functions there are.

Last, fits to four fifths of the samples must predict the others, better than ridge does.

Cost: each step O((r + m) R p^2 + p^3), as in `recovery`; about fifteen steps for each rank.

Index legend: N numbers, p unknowns, r candidates, m tests, R of the candidates are broken, k are
symmetries, t parameters.
"""

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import stats
from scipy.linalg import eigh

from sksym.promote.recovery import solve_shifted

_LARGEST = 800  # unknowns, above which steps take too long
_BUDGET = 2e10  # floating-point operations, after which no further rank is tried
_MAX_PENALTIES = 20
_MAX_ITER = 30  # steps on the variety
_FIRST_PENALTY = 0.1  # relative to the mean eigenvalues of D^T D and H
_GROWTH = 4.0
_DAMPING = 1e-7  # relative to the mean eigenvalue of D^T D
_NEARLY_MET = 1e-6  # tail of the singular values, relative to all
_MET = 1e-11
_FLAT = 1e-8  # eigenvalue of H relative to the largest that belongs to the tangent space
_SHORT = 1e-7  # step relative to the function at which to stop
_SHORTENINGS = 6
_ENOUGH = 1e5  # last penalty relative to the first
_SHIFT = 1e-10  # of H relative to its largest eigenvalue
_ZERO = 1e-8  # singular value relative to the largest
_PATIENCE = 2  # ranks beyond a function that explains the samples
_VISIBLE = 0.1  # singular value relative to the largest that is broken, at the first guess
_DETERMINED = 1e-7  # singular value of D T relative to the largest
_LEAST_DOF = 3  # residual degrees of freedom, and one for each parameter
_SIGNIFICANT = 1e-3  # p-value of the function against constants
_CONTRADICTED = 0.02  # p-value of the other functions
_UNEXPLAINED = 0.3  # misfit relative to that of constants, beyond which a rank is too low
_UNPREDICTED = 0.05  # held-out error relative to that of constants
_N_FOLDS = 5
_RIDGES = np.logspace(-8, 2, 11)  # relative to the mean eigenvalue of D^T D
_ROUND_OFF = 1e-18  # sum of squares relative to that of the targets
_TRIES = 2
_MANY = 2  # samples for each unknown, which least squares determines then
_DRAWS = 999  # of noise, for the test of the other functions
_SAME = 0.01  # relative difference of misfits that are the same minimum


@dataclass(frozen=True, eq=False)
class LowRankFit:
    """The function of rank R with the least misfit.

    Attributes
    ----------
    u : ndarray of shape (p,)
    R : int
    rss : float
    tangent : ndarray of shape (p, t)
        Orthonormal.
    values : ndarray of shape (N, t)
        Of the tangent space at the samples.
    residual : ndarray of shape (N,)
    is_finished : bool
        Whether the steps have converged, or need not.
    """

    u: np.ndarray
    R: int
    rss: float
    tangent: np.ndarray
    values: np.ndarray
    residual: np.ndarray
    is_finished: bool = True

    @property
    def n_parameters(self):
        """Dimension t of the variety."""
        return self.tangent.shape[1]

    @property
    def dof(self):
        """Residual degrees of freedom."""
        return len(self.residual) - self.n_parameters

    @cached_property
    def is_determined(self):
        """Whether the samples determine the function, and enough of them test it."""
        if not self.is_finished or self.dof < max(_LEAST_DOF, self.n_parameters):
            return False
        s = np.linalg.svd(self.values, compute_uv=False)
        return len(s) > 0 and s[-1] > _DETERMINED * s[0]

    @property
    def variance(self):
        """Of the noise."""
        round_off = np.finfo(float).tiny
        return max(self.rss / self.dof, round_off)

    def spread(self):
        """Return standard errors as independent functions (p, t): the covariance is their Gram."""
        R = np.linalg.qr(self.values, mode="r")
        return np.sqrt(self.variance) * np.linalg.solve(R.T, self.tangent.T).T

    def p_value_against(self, rss, n_parameters):
        """Compute that of a model with fewer parameters, by an F test."""
        n_more = self.n_parameters - n_parameters
        if n_more <= 0:
            return float(self.rss >= rss)
        F = (rss - self.rss) / n_more / self.variance
        return stats.f.sf(F, n_more, self.dof)

    def p_value_of_others(self, D):
        """Test the residuals against all functions ``D u``, by draws of noise.

        The most powerful invariant test of small random coefficients off the tangent space.

        Parameters
        ----------
        D : ndarray of shape (N, p)
        """
        Q, _ = np.linalg.qr(self.values, mode="complete")
        complement = Q[:, self.n_parameters :]
        of_others = complement.T @ D
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(_DRAWS, complement.shape[1]))
        remaining = complement.T @ self.residual
        if not remaining.any():
            return 1.0
        residuals = np.vstack([remaining, noise])
        explained = np.sum((residuals @ of_others) ** 2, axis=1)
        explained /= np.sum(residuals**2, axis=1)
        return np.mean(explained >= explained[0])


class LowRankLeastSquares:
    """Minimisation of the misfit over functions of low rank.

    Parameters
    ----------
    symmetry_rank : SymmetryRank
    design : ndarray of shape (n, p / q)
        Rows that act on the unknowns of every output alike.
    targets : ndarray of shape (n, q)
    """

    def __init__(self, symmetry_rank, design, targets):
        outputs = np.eye(targets.shape[1])
        self.map = symmetry_rank
        self.design = design
        self.targets = targets
        self.D = np.kron(outputs, design)
        self.y = targets.T.ravel()
        self.gram = self.D.T @ self.D
        self.size = np.trace(self.gram) / len(self.gram)
        self.spent = 0.0

    def fit(self, u, R, largest_rss=np.inf):
        """Minimise the misfit at rank R.

        Parameters
        ----------
        u : ndarray of shape (p,)
            Where to start.
        R : int
        largest_rss : float
            Beyond which the fit is of no interest: misfit only grows with the penalty.

        Returns
        -------
        LowRankFit, or None
            None where the misfit exceeds `largest_rss`. Where the samples do not determine such
            functions, the fit ends on the variety, before the least misfit.
        """
        decomposed = self.map.svd(u)
        penalty = None
        for _ in range(_MAX_PENALTIES):
            H = self._curvature(decomposed, R)
            if penalty is None:
                penalty = _FIRST_PENALTY * self.size * len(H) / np.trace(H)
                enough = penalty * _ENOUGH
            u, decomposed = self._penalised_step(u, decomposed, H, R, penalty)
            if self.rss(u) > largest_rss:
                return None
            penalty *= _GROWTH
            if penalty > enough and _relative_tail(decomposed, R) < _NEARLY_MET:
                return self._on_variety(u, decomposed, R)
        return self._unfinished(u, R)

    def shrunk(self, fit):
        """Return a fit of the same rank with the ridge penalty ``t variance / |u|^2 |u|^2``.

        Hoerl, Kennard and Baldwin (1975). Nothing next to samples that determine u well.
        """
        p = len(fit.u)
        penalty = fit.n_parameters * fit.variance / np.sum(fit.u**2)
        penalised = copy(self)
        penalised.D = np.vstack([self.D, np.sqrt(penalty) * np.eye(p)])
        penalised.y = np.append(self.y, np.zeros(p))
        penalised.gram = self.gram + penalty * np.eye(p)
        shrunk = penalised.fit(fit.u, fit.R)
        return replace(fit, u=shrunk.u) if shrunk.is_determined else fit

    def fold(self, k):
        """Return the problem of the other rows, and that of fold k."""
        design, targets = self._mixed_rows
        is_held_out = np.arange(len(design)) % _N_FOLDS == k
        training = LowRankLeastSquares(self.map, design[~is_held_out], targets[~is_held_out])
        held_out = LowRankLeastSquares(self.map, design[is_held_out], targets[is_held_out])
        return training, held_out

    @cached_property
    def _mixed_rows(self):
        """Rows of a random rotation: none bears more of one function than another.

        Rows of a triangular factor do, and the first alone would know the mean.
        """
        n = len(self.design)
        rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))
        return rotation @ self.design, rotation @ self.targets

    def ridge_path(self):
        """Yield ridge solutions (p,) from weak to strong."""
        U, s, Vt = np.linalg.svd(self.D, full_matrices=False)
        coordinates = U.T @ self.y
        for ridge in _RIDGES * self.size:
            yield Vt.T @ (s * coordinates / (s**2 + ridge))

    def rss(self, u):
        """Compute the misfit."""
        return np.sum((self.y - self.D @ u) ** 2)

    def _curvature(self, decomposed, R):
        U, _, Vt = decomposed
        self.spent += self.map.step_cost(R)
        return self.map.curvature(U, Vt, R)

    def _penalised_step(self, u, decomposed, H, R, penalty):
        """Return u after one step, and its decomposition."""
        U, s, Vt = decomposed
        slope = self.map.gradient(U, s, Vt, R)
        gradient = self.gram @ u - self.D.T @ self.y + penalty * slope
        # Directions that neither the samples nor the constraint see are damped.
        step = -solve_shifted(self.gram + penalty * H, gradient, _DAMPING * self.size)
        return self._shortened(u, decomposed, np.zeros_like(u), step, R, penalty)

    def _shortened(self, u, decomposed, restoration, step, R, penalty):
        """Shorten a step until the objective falls: the new u and its decomposition."""

        def objective(u, decomposed):
            return self.rss(u) + penalty * np.sum(decomposed[1][R:] ** 2)

        before = objective(u, decomposed)
        for k in range(_SHORTENINGS):
            new = u + restoration + step / 3**k
            of_new = self.map.svd(new)
            if objective(new, of_new) <= before:
                break
        return new, of_new

    def _on_variety(self, u, decomposed, R):
        """Minimise on the variety near u: a LowRankFit."""
        eigenvalues, vectors = eigh(self._curvature(decomposed, R))
        largest = eigenvalues[-1]
        tangent = vectors[:, eigenvalues <= _FLAT * largest]
        for _ in range(_MAX_ITER):
            values = self.D @ tangent
            residual = self.y - self.D @ u
            fit = LowRankFit(u, R, residual @ residual, tangent, values, residual)
            if not fit.is_determined:
                return fit
            U, s, Vt = decomposed
            H = self._curvature(decomposed, R)
            # One inverse iteration: the null space is of known dimension, and nearly known.
            slope = self.map.gradient(U, s, Vt, R)
            inverse = solve_shifted(H, np.column_stack([slope, tangent]), _SHIFT * largest)
            tangent, _ = np.linalg.qr(inverse[:, 1:])
            restoration = tangent @ (tangent.T @ inverse[:, 0]) - inverse[:, 0]
            values = self.D @ tangent
            residual = self.y - self.D @ (u + restoration)
            a, *_ = np.linalg.lstsq(values, residual, rcond=None)
            is_short = np.linalg.norm(a) <= _SHORT * np.linalg.norm(u)
            if is_short and _relative_tail(decomposed, R) < _MET:
                return fit
            penalty = self.size / _NEARLY_MET
            u, decomposed = self._shortened(u, decomposed, restoration, tangent @ a, R, penalty)
        return self._unfinished(u, R)

    def _unfinished(self, u, R):
        """Return a fit whose steps have not converged."""
        none = np.zeros((len(u), 0))
        residual = self.y - self.D @ u
        return LowRankFit(u, R, residual @ residual, none, self.D @ none, residual, False)


class LowRankSearch:
    """The search for the rank, and for the function of that rank that fits best.

    Parameters
    ----------
    symmetry_rank : SymmetryRank
    design : ndarray of shape (n, p / q)
    targets : ndarray of shape (n, q)
    """

    def __init__(self, symmetry_rank, design, targets):
        self.problem = LowRankLeastSquares(symmetry_rank, design, targets)
        self.n_candidates = symmetry_rank.shape[0]
        self._n_tries = 0
        self._fits = {}
        # Functions with all symmetries: constants, as a rule.
        eigenvalues, vectors = eigh(symmetry_rank.gram)
        constants = self.problem.D @ vectors[:, eigenvalues <= _FLAT * eigenvalues[-1]]
        y = self.problem.y
        of_constants, *_ = np.linalg.lstsq(constants, y, rcond=None)
        self._constant_rss = np.sum((y - constants @ of_constants) ** 2)
        self._n_constants = np.linalg.matrix_rank(constants)

    @classmethod
    def of(cls, symmetry_rank, statistics, n_numbers):
        """Return the search, or None where there are samples enough to do without.

        Parameters
        ----------
        symmetry_rank : SymmetryRank or None
        statistics : Statistics
        n_numbers : int
            Number of targets, of all outputs.
        """
        if symmetry_rank is None or len(symmetry_rank.gram) > _LARGEST:
            return None
        n_unknowns = statistics.design.shape[1]
        n_outputs = statistics.targets.shape[1]
        n = n_numbers // n_outputs
        if n >= _MANY * n_unknowns:
            return None
        design = statistics.design[:n_unknowns]
        targets = statistics.targets[:n_unknowns]
        n_more = n - len(design)
        if n_more > 0:
            # Residuals that no function changes: of these only the norm is known, and counts.
            norms = np.linalg.norm(statistics.targets[n_unknowns:], axis=0)
            design = np.vstack([design, np.zeros((n_more, n_unknowns))])
            targets = np.vstack([targets, np.tile(norms / np.sqrt(n_more), (n_more, 1))])
        return cls(symmetry_rank, design, targets)

    def best_from(self, starts):
        """Return the LowRankFit that the samples support, or None.

        Parameters
        ----------
        starts : list of ndarray of shape (p,)
        """
        # Along a path of penalties a few starts are enough.
        if self._n_tries >= _TRIES or self._is_exhausted or not self._varies:
            return None
        starts = [start for start in starts if self._is_start(start)]
        if not starts:
            return None
        self._n_tries += 1
        self._fits = {}
        best = self._best_rank(starts[len(starts) // 2])
        if best is None:
            return None
        best = self._best_of(best, starts)
        return best if self._is_supported(best) and self._predicts(best) else None

    @property
    def _varies(self):
        """Whether constants leave more than round-off."""
        y = self.problem.y
        return self._constant_rss > _ROUND_OFF * (y @ y)

    def _is_start(self, u):
        """Tell whether a function follows the samples at all."""
        return self.problem.rss(u) < _UNEXPLAINED * self._constant_rss

    def _lowest_rank(self, start):
        """Return the lowest rank at which a function follows the samples at all, by bisection."""
        _, s, _ = self.problem.map.svd(start)
        high = max(np.count_nonzero(s > _VISIBLE * s[0]), 1)
        low = 0
        while not self._follows(start, high):
            low = high
            high = min(2 * high, self.n_candidates - 1)
            if low == high or self._is_exhausted:
                return None
        while high - low > 1:
            R = (low + high) // 2
            if self._follows(start, R):
                high = R
            else:
                low = R
        return high

    def _follows(self, start, R):
        return self._fit(start, R) is not None

    def _fit(self, start, R):
        """Return the fit of rank R, or that of the lower rank which it has."""
        if R not in self._fits:
            fit = self.problem.fit(start, R, _UNEXPLAINED * self._constant_rss)
            if fit is not None and fit.is_determined:
                _, s, _ = self.problem.map.svd(fit.u)
                actual = np.count_nonzero(s > _ZERO * s[0])
                if actual < R:
                    fit = self._fit(fit.u, actual)
            self._fits[R] = fit
        return self._fits[R]

    def _best_of(self, best, starts):
        """Return the fit of the same rank with the least misfit from several starts."""
        for start in starts:
            fit = self.problem.fit(start, best.R, best.rss * (1 + _SAME))
            if fit is not None and fit.is_determined and fit.rss < best.rss:
                best = fit
        return best

    def _best_rank(self, start):
        """Return the fit of the lowest rank that higher ones do not improve on beyond chance."""
        lowest = self._lowest_rank(start) or self.n_candidates
        best = None
        n_worse = 0
        for R in range(lowest, self.n_candidates):
            fit = self._fit(start, R)
            if fit is None or not fit.is_finished:
                continue
            if not fit.is_determined:
                break
            if best is None or self._is_needed(fit, best):
                best = fit
                n_worse = 0
            else:
                n_worse += 1
            if self._is_exhausted or self._is_enough(best, n_worse):
                break
        return best

    def _is_enough(self, best, n_worse):
        """Tell whether higher ranks were no better, and nothing is left for them to explain."""
        return n_worse >= _PATIENCE and self._is_supported(best)

    def generator_errors(self, fit, C, from_candidates, pivots):
        """Compute standard errors of generators (k, r) with unit columns at their pivots.

        From ``C S = 0``: ``dC S = -C dS`` along the tangent space, dC being zero at the pivots.

        Parameters
        ----------
        fit : LowRankFit
        C : ndarray of shape (k, r)
            In the generators of the candidates.
        from_candidates : ndarray of shape (r, r)
            The same generators in the orthonormal basis are ``C @ from_candidates``.
        pivots : ndarray of shape (k,)
        """
        shape = self.problem.map.shape
        K = self.problem.map.K
        S = from_candidates @ (K @ fit.u).reshape(shape)
        is_free = np.ones(len(S), bool)
        is_free[pivots] = False
        inverse = np.linalg.pinv(S[is_free])
        variance = np.zeros((len(C), np.count_nonzero(is_free)))
        for du in fit.spread().T:
            change = C @ from_candidates @ (K @ du).reshape(shape) @ inverse
            variance += change**2
        errors = np.zeros(C.shape)
        errors[:, is_free] = np.sqrt(variance)
        return errors

    def _is_needed(self, fit, lower):
        """Tell whether a fit is needed although one of lower rank is known."""
        # What explains the samples is given up for much more only.
        level = _SIGNIFICANT**2 if self._is_supported(lower) else _SIGNIFICANT
        return fit.p_value_against(lower.rss, lower.n_parameters) < level

    @property
    def _is_exhausted(self):
        return self.problem.spent > _BUDGET

    def _is_supported(self, fit):
        """Tell whether the function says something, and nothing is left that others would say."""
        if fit is None:
            return False
        return (
            fit.rss < _UNEXPLAINED * self._constant_rss
            and fit.p_value_against(self._constant_rss, self._n_constants) < _SIGNIFICANT
            and fit.p_value_of_others(self.problem.D) > _CONTRADICTED
        )

    def _predicts(self, fit):
        """Tell whether fits to other samples predict those held out, and better than ridge."""
        largest = _UNPREDICTED * self._constant_rss
        error = 0.0
        of_ridge = np.zeros(len(_RIDGES))
        for k in range(_N_FOLDS):
            training, held_out = self.problem.fold(k)
            of_others = training.fit(fit.u, fit.R)
            error += held_out.rss(of_others.u)
            if error > largest:
                return False
            of_ridge += [held_out.rss(u) for u in training.ridge_path()]
        return error < of_ridge.min()


def _relative_tail(decomposed, R):
    _, s, _ = decomposed
    size = np.linalg.norm(s)
    return np.linalg.norm(s[R:]) / size if size else 0.0
