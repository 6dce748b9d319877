"""Coefficients and their covariance: what a fit says of a function, and how sure that is."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats
from scipy.linalg import cho_factor, svd

from sksym.evidence.spectrum import EXACT

_REJECT = 0.001  # p value below which a subspace does not hold the fit
_DETERMINED = 1e-11  # singular value of the data relative to the largest
_DIFFER = 5.0  # standard errors by which the errors of two outputs differ
_ROUND_OFF = 1e-12  # relative to the targets; is noise too
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
    """

    coef: np.ndarray
    to_data: np.ndarray
    from_data: np.ndarray
    undetermined: np.ndarray
    noise: np.ndarray | float
    dof: float
    n: float

    @classmethod
    def least_squares(cls, statistics):
        """Fit the targets of some `Statistics` by least squares, with errors of equal size."""
        n = statistics.weight
        p = statistics.n_unknowns
        q = statistics.n_targets
        R = statistics.square_factor()
        U, s, Vt = svd(R[:p, :p] / np.sqrt(n))
        rank = int((s > _DETERMINED * s.max(initial=0)).sum())
        to_data = Vt[:rank].T * s[:rank]
        from_data = Vt[:rank].T / s[:rank]
        u = (U[:, :rank].T @ R[:p, p:] / np.sqrt(n)).T
        residual = np.vstack([U[:, rank:].T @ R[:p, p:], R[p:, p:]])
        round_off = (_ROUND_OFF * np.linalg.norm(R[:, p:])) ** 2 / n
        sigma = output_noise(np.sum(residual**2, axis=0), n - rank, round_off)
        if np.ndim(sigma):
            sigma = np.repeat(sigma, rank)
        return cls(
            coef=u @ from_data.T,
            to_data=to_data,
            from_data=from_data,
            undetermined=Vt[rank:].T,
            noise=sigma / np.sqrt(n),
            dof=q * (n - rank),
            n=n * q,
        )

    @classmethod
    def with_covariance(cls, coef, covariance, *, n, dof=np.inf):
        """Take coefficients with any covariance: sandwich, clustered, inverse Fisher information.

        Parameters
        ----------
        coef : ndarray of shape (q, p)
        covariance : ndarray of shape (q p, q p)
            Of ``coef.ravel()``; symmetric and positive definite.
        n : float
            Number of observations, outputs counted.
        dof : float, default=inf
            Degrees of freedom from which the covariance was estimated; infinite: it is known.

        Raises
        ------
        ValueError
            If the covariance is not finite, not symmetric, negative or singular, if the
            coefficients are not finite, or if `n` or `dof` is not positive.
        """
        coef = np.atleast_2d(np.asarray(coef, float))
        if not np.isfinite(coef).all():
            raise ValueError("`coef` holds NaN or infinity: estimates are finite.")
        if not n > 0 or not dof > 0:
            raise ValueError(f"`n` and `dof` must be positive, got n={n!r}, dof={dof!r}.")
        factor = _covariance_factor(np.asarray(covariance, float), coef.size)
        identity = np.eye(coef.shape[1])
        undetermined = np.zeros((coef.shape[1], 0))
        return cls(coef, identity, identity, undetermined, factor, dof, n)

    def with_noise(self, noise):
        """Return the same estimate with errors ``noise @ N(0, I)`` of ``u.ravel()``."""
        return Estimate(
            self.coef,
            self.to_data,
            self.from_data,
            self.undetermined,
            noise,
            self.dof,
            self.n,
        )

    @property
    def rank(self):
        """Number of functions of the library that the data tell apart."""
        return self.to_data.shape[1]

    @cached_property
    def observed(self):
        """The coefficients in coordinates of unit noise, (e,)."""
        return self.whitened(self.coef.reshape(1, -1))[0]

    def whitened(self, basis):
        """Return functions (k, q p) in coordinates of unit noise on the data: (k, e)."""
        k = len(basis)
        q = len(self.coef)
        u = (np.reshape(basis, (k * q, -1)) @ self.to_data).reshape(k, -1)
        if np.ndim(self.noise) == 2:
            return np.linalg.lstsq(self.noise, u.T, rcond=None)[0].T
        return u / self.noise

    def misfit(self, basis):
        """Return what a subspace (k, q p) leaves of the fit, in unit noise, and its rank."""
        design = self.whitened(basis).T
        w, _, rank, _ = np.linalg.lstsq(design, self.observed, rcond=_DETERMINED)
        return self.observed - design @ w, rank

    def information(self, basis, n_tuned=0):
        """Compute the BIC of a subspace (k, q p) against the full fit; infinite if rejected.

        The full fit has 0. `n_tuned` parameters of the subspace were fitted too. Where the noise
        is known the test is by chi square and the likelihood is that of Gauss, else by F.
        """
        residual, rank = self.misfit(basis)
        n_constraints = len(self.observed) - rank - n_tuned
        if n_constraints <= 0:
            return np.inf
        round_off = EXACT**2 * (self.observed @ self.observed)
        miss = max(residual @ residual - round_off, 0.0)
        penalty = n_constraints * np.log(self.n)
        if np.isinf(self.dof):
            p_value = stats.chi2.sf(miss, n_constraints)
            gain = miss - penalty
        else:
            p_value = stats.f.sf(miss / n_constraints, n_constraints, self.dof)
            gain = self.n * np.log1p(miss / self.dof) - penalty
        return gain if p_value > _REJECT else np.inf


def output_noise(rss, dof, round_off):
    """Estimate the standard deviation of the errors from residual sums of squares (q,).

    Of each output (q,) where they differ, else of all: a float.
    """
    if dof <= 0:
        return 0.0
    variance = np.maximum(rss / dof, round_off)
    # The logarithm of an estimated variance has the variance 2 / dof.
    ratio = np.exp(_DIFFER * np.sqrt(2 / dof))
    if variance.max() > variance.min() * ratio:
        return np.sqrt(variance)
    return np.sqrt(max(rss.mean() / dof, round_off))


def _covariance_factor(covariance, size):
    """Return the lower Cholesky factor of a covariance, in the units of its variances."""
    if covariance.shape != (size, size):
        raise ValueError(
            f"`covariance` has shape {covariance.shape} for {size} coefficients: it must be "
            f"({size}, {size}), in the order of coef.ravel()."
        )
    if not np.isfinite(covariance).all():
        raise ValueError("`covariance` holds NaN or infinity.")
    deviation = np.sqrt(np.abs(np.diag(covariance)))
    unit = np.where(deviation > 0, deviation, 1.0)
    correlation = covariance / unit / unit[:, None]
    if np.abs(correlation - correlation.T).max(initial=0) > 1e-8:
        raise ValueError("`covariance` is not symmetric.")
    least = np.linalg.eigvalsh(correlation).min(initial=1.0)
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
    return unit[:, None] * np.tril(factor)
