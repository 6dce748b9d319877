"""Coefficients and their covariance: what a fit says of a function, and how sure that is.

Index legend: n observations, p library functions, q outputs, k rows of a subspace, e sources of
noise; the rank is the number of functions that the data tell apart.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy import stats
from scipy.linalg import cho_factor, svd

from sksym.evidence.spectrum import EXACT

REFIT_REJECT = 0.001  # p value below which a subspace does not hold the fit
_CALIBRATION = 10.0  # factor of p values where the covariance was estimated from the rows
_DETERMINED = 1e-11  # singular value of the data relative to the largest
_DIFFER = 5.0  # standard errors by which the errors of two outputs differ
_ROUND_OFF = 1e-12  # relative to the targets; is noise too
_ASYMMETRIC = 1e-8  # difference of correlations that should be equal
_SINGULAR = 1e-13  # eigenvalue of a covariance, in unit variances, that is round-off


@dataclass(frozen=True, eq=False)
class Estimate:
    """Coefficients that were estimated, in coordinates in which their errors are known.

    Attributes
    ----------
    coef : ndarray of shape (q, p)
    to_data : ndarray of shape (p, rank)
        ``u = coef @ to_data`` are orthonormal on the data: ``|u|^2`` is a mean square.
    from_data : ndarray of shape (p, rank)
        Back again: ``coef = u @ from_data.T``.
    undetermined : ndarray of shape (p, p - rank)
        Functions of the library that vanish on the data.
    noise : ndarray of shape (q rank, e) or (q rank,), or float
        The error of ``u.ravel()`` is ``noise @ N(0, I)``; a vector: of each by itself; a float:
        the same for all.
    dof : float
        Degrees of freedom behind the noise; infinite where it is known, 0 where nothing is known.
    n : float
        Number of observations, outputs counted.
    covariance_dof : float
        Degrees of freedom of a covariance whose entries were all estimated; infinite where it is
        known up to its size.
    resolution : float
        Round-off of the inputs relative to their spread.
    """

    coef: np.ndarray
    to_data: np.ndarray
    from_data: np.ndarray
    undetermined: np.ndarray
    noise: np.ndarray | float
    dof: float
    n: float
    covariance_dof: float = np.inf
    resolution: float = 0.0

    # Whether the distance from the fit, in units of the noise, is all that the data say.
    is_quadratic: ClassVar[bool] = True

    @classmethod
    def least_squares(cls, statistics, resolution=0.0):
        """Fit the targets of some `Statistics` by least squares, with errors of equal size.

        Parameters
        ----------
        statistics : Statistics
            Of a regression on p functions, with q targets.
        resolution : float, default=0
            Round-off of the inputs relative to their spread. Functions that are smaller on the
            data are not determined, and targets are known to this times their size.
        """
        n = statistics.weight
        p = statistics.n_unknowns
        q = statistics.n_targets
        root = np.sqrt(n)
        # Blocks of the triangular factor: design and target above, zero and remainder below.
        R = statistics.square_factor()
        design = R[:p, :p]
        target = R[:p, p:]
        remainder = R[p:, p:]
        U, s, Vt = svd(design / root)
        smallest = max(_DETERMINED, resolution)
        is_determined = s > smallest * s.max(initial=0)
        rank = int(is_determined.sum())
        s = s[:rank]
        V = Vt[:rank].T
        from_data = V / s
        projected = U[:, :rank].T @ target
        u = (projected / root).T
        # What no function of the library explains: beyond the rank, and below the design.
        unexplained = U[:, rank:].T @ target
        residual = np.vstack([unexplained, remainder])
        rss = np.sum(residual**2, axis=0)
        size = np.linalg.norm(R[:, p:])
        # A function of inputs with an error has that error times its slope, of about one.
        round_off = (max(_ROUND_OFF, resolution) * size) ** 2 / n
        sigma = output_noise(rss, n - rank, round_off)
        if np.ndim(sigma):
            sigma = np.repeat(sigma, rank)
        return cls(
            coef=u @ from_data.T,
            to_data=V * s,
            from_data=from_data,
            undetermined=Vt[rank:].T,
            noise=sigma / root,
            dof=q * (n - rank),
            n=n * q,
            resolution=resolution,
        )

    @classmethod
    def with_covariance(cls, coef, covariance, *, n, dof=np.inf, covariance_dof=np.inf):
        """Take coefficients with any covariance: sandwich, clustered, inverse Fisher information.

        Parameters
        ----------
        coef : ndarray of shape (q, p)
        covariance : ndarray of shape (q p, q p)
            Of ``coef.ravel()``; symmetric and positive definite.
        n : float
            Number of observations, outputs counted.
        dof : float, default=inf
            Degrees of freedom from which its size was estimated; infinite: it is known.
        covariance_dof : float, default=inf
            Degrees of freedom from which all of its entries were estimated: that of clusters has
            as many as there are clusters; for a sandwich see `FunctionSamples.robust_estimate`.

        Raises
        ------
        ValueError
            If the covariance is not finite, not symmetric, negative or singular, if the
            coefficients are not finite, or if `n` or `dof` is not positive.
        """
        coef = np.asarray(coef, float)
        coef = np.atleast_2d(coef)
        if not np.isfinite(coef).all():
            raise ValueError("`coef` holds NaN or infinity: estimates are finite.")
        if not n > 0 or not dof > 0:
            raise ValueError(f"`n` and `dof` must be positive, got n={n!r}, dof={dof!r}.")
        p = coef.shape[1]
        covariance = np.asarray(covariance, float)
        return cls(
            coef=coef,
            to_data=np.eye(p),
            from_data=np.eye(p),
            undetermined=np.zeros((p, 0)),
            noise=_covariance_factor(covariance, coef.size),
            dof=dof,
            n=n,
            covariance_dof=covariance_dof,
        )

    def with_noise(self, noise, covariance_dof=np.inf):
        """Return the same estimate with errors ``noise @ N(0, I)`` of ``u.ravel()``."""
        return replace(self, noise=noise, covariance_dof=covariance_dof)

    @property
    def rank(self):
        """Number of functions of the library that the data tell apart."""
        return self.to_data.shape[1]

    @cached_property
    def observed(self):
        """The coefficients in coordinates of unit noise, (e,)."""
        row = self.coef.reshape(1, -1)
        return self.whitened(row)[0]

    def whitened(self, basis):
        """Return functions in coordinates of unit noise on the data.

        Parameters
        ----------
        basis : ndarray of shape (k, q p)

        Returns
        -------
        ndarray of shape (k, e)
        """
        k = len(basis)
        q, p = self.coef.shape
        functions = np.reshape(basis, (k * q, p))
        u = functions @ self.to_data
        rank = u.shape[1]
        u = u.reshape(k, q * rank)
        if np.ndim(self.noise) == 2:
            # A factor may have more columns than rows: the N of least norm with noise @ N = u.
            N, *_ = np.linalg.lstsq(self.noise, u.T, rcond=None)
            return N.T
        return u / self.noise

    def misfit(self, basis):
        """Return what a subspace leaves of the fit, in unit noise, and its rank.

        Parameters
        ----------
        basis : ndarray of shape (k, q p)

        Returns
        -------
        residual : ndarray of shape (e,)
        rank : int
        """
        design = self.whitened(basis).T
        w, _, rank, _ = np.linalg.lstsq(
            design,
            self.observed,
            rcond=_DETERMINED,
        )
        return self.observed - design @ w, rank

    def deviance(self, basis):
        """Return how much worse a subspace (k, q p) fits, in units of the noise, and its rank."""
        residual, rank = self.misfit(basis)
        return residual @ residual, rank

    def information(self, basis):
        """Compute the BIC of a subspace against the full fit; infinite if rejected.

        The full fit has 0. Where the noise is known the test is by chi square and the likelihood
        is that of Gauss, else by F.

        Parameters
        ----------
        basis : ndarray of shape (k, q p)
        """
        miss, rank = self.deviance(basis)
        n_constraints = len(self.coef) * self.rank - rank
        p_value, bic = self.judge(miss, n_constraints)
        return bic if p_value > REFIT_REJECT else np.inf

    def judge(self, miss, n_constraints):
        """Test constraints that move the fit by a squared distance, in units of the noise.

        See `survival`; without constraints nothing is tested.

        Parameters
        ----------
        miss : float
        n_constraints : int

        Returns
        -------
        p_value : float
        bic : float
            Against the fit without constraints, which has 0; infinite without constraints.
        """
        if n_constraints <= 0:
            return 1.0, np.inf
        # Exact data have almost no noise, in whose units round-off is large.
        round_off = EXACT**2 * (self.observed @ self.observed)
        miss = max(miss - round_off, 0.0)
        freedom = self.covariance_dof - n_constraints + 1
        if freedom < 1:
            return 1.0, np.inf  # a covariance of fewer rows says nothing about so many
        p_value = self.survival(miss, n_constraints)
        if np.isfinite(freedom):
            miss = miss * freedom / self.covariance_dof
        penalty = n_constraints * np.log(self.n)
        if np.isinf(self.dof):
            return p_value, miss - penalty
        return p_value, self.n * np.log1p(miss / self.dof) - penalty

    def survival(self, miss, t):
        """Return the probability that noise exceeds a sum of t squares, in units of the noise.

        By chi square where the noise is known, by F where its size was estimated, and by
        Hotelling's law where its whole covariance was, times ten: that law is one of normal and
        independent scores, and rejects what is true more often than it says.
        """
        if np.isfinite(self.covariance_dof):
            freedom = max(self.covariance_dof - t + 1, 1.0)
            ratio = miss * freedom / (self.covariance_dof * t)
            return np.minimum(_CALIBRATION * stats.f.sf(ratio, t, freedom), 1.0)
        if np.isinf(self.dof):
            return stats.chi2.sf(miss, t)
        return stats.f.sf(miss / t, t, self.dof)

    def largest_miss(self, n_constraints, bic):
        """Return the largest miss with which constraints pass the test and have at most this BIC.

        Of fewer constraints it is less. See `judge`.
        """
        t = n_constraints
        best = bic + t * np.log(self.n)
        if np.isinf(self.dof):
            by_test = stats.chi2.isf(REFIT_REJECT, t)
            by_bic = best
        else:
            by_test = t * stats.f.isf(REFIT_REJECT, t, self.dof)
            by_bic = self.dof * np.expm1(best / self.n)
        if np.isfinite(self.covariance_dof):
            freedom = self.covariance_dof - t + 1
            if freedom < 1:
                return np.inf
            shrinkage = freedom / self.covariance_dof
            level = REFIT_REJECT / _CALIBRATION
            by_test = t * stats.f.isf(level, t, freedom) / shrinkage
            by_bic = by_bic / shrinkage
        round_off = EXACT**2 * (self.observed @ self.observed)
        return max(min(by_test, by_bic), 0.0) + round_off


def output_noise(rss, dof, round_off):
    """Estimate the standard deviation of the errors from residual sums of squares.

    Parameters
    ----------
    rss : ndarray of shape (q,)
    dof : float
        Of each output.
    round_off : float
        Variance that is noise too.

    Returns
    -------
    float or ndarray of shape (q,)
        Of each output where they differ, else of all.
    """
    if dof <= 0:
        return 0.0
    variance = np.maximum(rss / dof, round_off)
    # The logarithm of an estimated variance has the variance 2 / dof.
    standard_error = np.sqrt(2 / dof)
    ratio = np.exp(_DIFFER * standard_error)
    if variance.max() > variance.min() * ratio:
        return np.sqrt(variance)
    pooled = rss.mean() / dof
    return np.sqrt(max(pooled, round_off))


def _covariance_factor(covariance, size):
    """Return the lower Cholesky factor of a covariance (size, size), checked."""
    if covariance.shape != (size, size):
        raise ValueError(
            f"`covariance` has shape {covariance.shape} for {size} coefficients: it must be "
            f"({size}, {size}), in the order of coef.ravel()."
        )
    if not np.isfinite(covariance).all():
        raise ValueError("`covariance` holds NaN or infinity.")
    # In units of the standard errors, so that functions of different size count alike.
    variance = np.abs(np.diag(covariance))
    deviation = np.sqrt(variance)
    unit = np.where(deviation > 0, deviation, 1.0)
    correlation = covariance / unit / unit[:, None]
    asymmetry = np.abs(correlation - correlation.T)
    if asymmetry.max(initial=0) > _ASYMMETRIC:
        raise ValueError("`covariance` is not symmetric.")
    eigenvalues = np.linalg.eigvalsh(correlation)
    least = eigenvalues.min(initial=1.0)
    if least < -_SINGULAR * size:
        raise ValueError(
            f"`covariance` is not positive: its least eigenvalue is {least:.2g} in units of the "
            "variances. Estimate it as a Gram matrix."
        )
    if least <= _SINGULAR * size:
        raise ValueError(
            "`covariance` is singular: some combination of coefficients has no error. Leave out "
            "functions that the data do not determine, or add the round-off of the estimate."
        )
    factor, _ = cho_factor(correlation, lower=True)
    # `cho_factor` leaves the upper triangle as it was.
    lower = np.tril(factor)
    return unit[:, None] * lower
