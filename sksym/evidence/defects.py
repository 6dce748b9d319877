"""The defect along one generator: its size, its interval, and whether it may be zero.

Index legend: r candidates, k identifiable generators, m rows of the matrix M, e sources of noise.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from sksym.evidence.spectrum import BEYOND, EXACT, REJECT

_TAIL = 0.025  # probability on either side of the interval
_INVOLVED = 1e-9  # share of a generator's motion that is more than round-off
_LARGE = 1e4  # squared defect in variances, from which the interval is that of Gauss


@dataclass(frozen=True)
class Defect:
    """How much changes along one generator, relative to how far it moves the data.

    Attributes
    ----------
    value : float
        As measured, noise included.
    low, high : float
        Interval of 95 % for the defect without noise; it contains `value`.
    floor : float
        Root mean square that noise contributes to the defect of a symmetry.
    p_value : float
        Of the hypothesis that the generator is a symmetry; NaN where errors have no known law.
    may_be_zero : bool
        Whether that hypothesis is not rejected.
    """

    value: float
    low: float
    high: float
    floor: float
    p_value: float
    may_be_zero: bool


UNKNOWN = Defect(
    value=np.nan,
    low=np.nan,
    high=np.nan,
    floor=np.nan,
    p_value=np.nan,
    may_be_zero=True,
)


@dataclass(frozen=True)
class _Moments:
    """Moments of ``C = N N^T``, the covariance of the noise in ``M xi + N z``, z normal.

    Attributes
    ----------
    trace : float
        ``tr C``, the mean square of the noise.
    square : float
        ``tr C^2``.
    along : float
        ``u^T C u``, with u the direction of what was measured.
    """

    trace: float
    square: float
    along: float

    @property
    def freedom(self):
        """Degrees of freedom of the chi square with this mean and variance (Satterthwaite)."""
        return self.trace**2 / self.square


def defect_from_coefficients(evidence, xi):
    """Measure the defect along a generator, by the covariance of fitted coefficients.

    The square ``s^2 = |M xi|^2`` has the mean ``d^2 + tr C`` and the variance
    ``2 tr C^2 + 4 d^2 u^T C u``, where d is the defect without noise. The interval holds all d for
    which s lies between the quantiles of a noncentral chi square with these moments.

    Parameters
    ----------
    evidence : FittedEvidence
    xi : ndarray of shape (r,)
        Of any size: defects are those of unit motion.

    Returns
    -------
    Defect
    """
    spectrum = evidence.spectrum
    c = spectrum.unit_coordinates(xi)
    if not c.any():
        return UNKNOWN
    image = spectrum.left @ (spectrum.singular_values * c)
    value = float(np.linalg.norm(image))
    if not evidence.is_testable:
        return Defect(value, 0.0, np.inf, np.inf, np.nan, True)
    N = evidence.perturbation(c @ spectrum.generators)
    total = np.sum(N**2)
    # Directions beyond those mixed here have been left out by the choice of the generator, which
    # follows the noise: what they could contribute is taken up. A rounded generator mixes all.
    n_mixed = 1 + np.flatnonzero(np.abs(c) > _INVOLVED).max()
    others = spectrum.left[:, n_mixed:]
    N = N - others @ (others.T @ N)
    moments = _moments(N, image, value)
    if moments.trace <= EXACT**2 * total:
        # Every function of the library has this symmetry, which is no evidence.
        floor = 0.0 if evidence.common else np.inf
        return Defect(value, 0.0, value, floor, np.nan, True)
    dof = evidence.estimate.dof
    p_value = _p_value(value, moments, dof)
    low, high = interval(value, moments, dof)
    return Defect(
        value=value,
        low=low,
        high=high,
        floor=np.sqrt(moments.trace),
        p_value=p_value,
        may_be_zero=p_value > REJECT,
    )


def defect_from_samples(evidence, xi):
    """Measure the defect along a generator, by errors that were estimated sample by sample.

    Nothing is known of their law, so the interval holds what errors of up to twice their root
    mean square could make of the defect, which is the rule of `SampledEvidence.floor_test`.

    Parameters
    ----------
    evidence : SampledEvidence
    xi : ndarray of shape (r,)

    Returns
    -------
    Defect
    """
    spectrum = evidence.spectrum
    c = spectrum.unit_coordinates(xi)
    if not c.any():
        return UNKNOWN
    value = float(np.linalg.norm(spectrum.singular_values * c))
    unit = c @ spectrum.generators
    floor = float(evidence.noise_of(unit[None]))
    allowed = BEYOND * floor + EXACT
    return Defect(
        value=value,
        low=max(value - allowed, 0.0),
        high=value + allowed,
        floor=floor,
        p_value=np.nan,
        may_be_zero=value <= allowed,
    )


def _moments(N, image, value):
    """Return the `_Moments` of noise N (m, e) about an image (m,) of norm `value`."""
    gram = N @ N.T if len(N) <= N.shape[1] else N.T @ N
    trace = float(np.trace(gram))
    square = float(np.sum(gram**2))
    along = square / trace if trace else 0.0  # the mean over directions, weighted by their noise
    if value:
        along = float(np.sum((image @ N / value) ** 2))
    return _Moments(trace, square, along)


def _p_value(value, moments, dof):
    """Return the probability that noise alone gives a defect as large as `value`."""
    if value <= EXACT:
        return 1.0
    ratio = value**2 / moments.trace
    freedom = moments.freedom
    if np.isinf(dof):
        return float(stats.chi2.sf(freedom * ratio, freedom))
    return float(stats.f.sf(ratio, freedom, dof))


def interval(value, moments, dof):
    """Return the ends of the interval of 95 % for a defect that was measured with noise.

    It contains the measured value. Where that lies below the median of noise alone, the upper end
    is that of the median: luck is no evidence (power-constrained limits, Cowan et al. 2011).

    Parameters
    ----------
    value : float
    moments : _Moments
    dof : float
        Degrees of freedom from which the size of the noise was estimated.

    Returns
    -------
    low, high : float
    """
    quantile = stats.norm.isf(_TAIL)
    along = moments.along
    if np.isfinite(dof):
        along = along * (stats.t.isf(_TAIL, dof) / quantile) ** 2
    scale = moments.square / moments.trace
    if value**2 > _LARGE * max(along, scale):
        center = np.sqrt(max(value**2 - moments.trace, 0.0))
        half_width = quantile * np.sqrt(along)
        return max(center - half_width, 0.0), max(center + half_width, value)
    median = np.sqrt(scale * stats.chi2.median(moments.freedom))

    def end(measured, probability):
        """Solve P(s <= measured | d) = probability for d >= 0; the left side decreases."""

        def excess(d):
            return _distribution(measured, d, moments, along) - probability

        if excess(0.0) <= 0:
            return 0.0
        farthest = measured + 10 * np.sqrt(along + scale)
        while excess(farthest) > 0:
            farthest *= 2
        return brentq(excess, 0.0, farthest, rtol=1e-6)

    low = end(value, 1 - _TAIL)
    high = end(max(value, median), _TAIL)
    return low, max(high, value)


def _distribution(measured, d, moments, along):
    """Return ``P(s <= measured)`` where the defect without noise is d."""
    # a chi'^2_f(d^2 / a) has the mean a f + d^2, so a f = tr C, and the variance
    # 2 a (a f + 2 d^2), which gives a.
    variance = moments.square + 2 * d**2 * along
    a = variance / (moments.trace + 2 * d**2)
    return stats.ncx2.cdf(measured**2 / a, moments.trace / a, d**2 / a)
