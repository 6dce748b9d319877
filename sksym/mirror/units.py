"""Units in which the problem is solved: powers of two, so that squares neither overflow nor vanish.

With ``X = 2^x X'``, ``y = 2^y y'`` and ``weights = 2^m weights'`` the objective of D factors is
``2^(2 y)`` times the same objective of the scaled problem, where::

    W = 2^(y - x) W',     b = 2^y b',     alpha = 2^(2 y - m - (y - x) 2 / D) alpha'

Data of moderate size, `TrainingData.is_moderate`, keep their units.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from sksym._linalg.units import binary_exponent, scaled, scaled_product

_FAR = 80  # exponents of weights up to this size need no other unit
_SHORTEST = 2.0**-450  # length of a column of scaled data whose square has all digits
_LIGHTEST = 2.0**-300  # weight of a mirror, relative to the heaviest
_SMALLEST = np.finfo(float).tiny


@dataclass(frozen=True)
class Units:
    """Exponents of the units.

    Attributes
    ----------
    x, y, mirrors : int
        Of X, of y, and of the weights of the mirrors.
    depth : int
        Number of factors.
    """

    x: int
    y: int
    mirrors: int
    depth: int = 2

    @classmethod
    def of(cls, data, strengths, depth):
        """Choose units for rows and for weights of mirrors."""
        # Rows of weight zero do not count.
        rows = data.counted()
        entries = rows.X.data if sparse.issparse(rows.X) else rows.X
        return cls(
            x=binary_exponent(entries),
            y=binary_exponent(rows.Y),
            mirrors=_distant_exponent(strengths),
            depth=depth,
        )

    def alpha_inside(self, alpha):
        """Return the alpha of the scaled problem."""
        exponent = self.mirrors - 2 * self.y + (self.y - self.x) * 2 / self.depth
        inside = scaled_product(alpha, exponent)
        # Alphas beyond the range act like those at its ends; zero is a problem of its own.
        least = _SMALLEST if alpha else 0.0
        return float(np.clip(inside, least, np.finfo(float).max))

    def largest_alpha(self, alpha):
        """Return the largest alpha, which is that of two factors, in the units of the data."""
        return scaled_product(alpha, self.x + self.y - self.mirrors)

    def losses(self, values):
        """Return objectives, gaps or squared errors in the units of the data."""
        return scaled_product(values, 2 * self.y)

    def coefficients(self, W):
        """Return coefficients in the units of the data.

        Raises
        ------
        ValueError
            If floats cannot hold them.
        """
        outside = scaled(W, self.y - self.x)
        if not np.isfinite(outside).all():
            raise ValueError("The solution overflows: rescale y, or increase `alpha`.")
        # Round-off of numbers below the normal ones is judged beside the largest coefficient.
        if W.any() and np.abs(outside).max() < _SMALLEST:
            exponent = binary_exponent(W) + self.y - self.x
            raise ValueError(
                f"The coefficients are about 2^{exponent}, less than any float of full precision: "
                "rescale X or y."
            )
        return outside

    def coefficients_inside(self, W):
        """Return coefficients of the scaled problem."""
        return scaled(W, self.x - self.y)

    def fits_outside(self, fits):
        """Return `MirrorFit` objects in the units of the data.

        Raises
        ------
        ValueError
            If floats cannot hold their coefficients.
        """
        intercepts = scaled(np.concatenate([fit.intercept for fit in fits]), self.y)
        if not np.isfinite(intercepts).all():
            raise ValueError("The intercept overflows: rescale y, or subtract the means of X.")
        return [
            replace(
                fit,
                W=self.coefficients(fit.W),
                intercept=scaled(fit.intercept, self.y),
                objective=self.losses(fit.objective),
                gap=self.losses(fit.gap),
            )
            for fit in fits
        ]


def in_units(data, operators, depth, units=None):
    """Divide training data and weights of mirrors by units in which their sizes are moderate.

    Parameters
    ----------
    data : TrainingData
    operators : MirrorOperators
    depth : int
    units : Units, default=None
        Those of an earlier fit, which are kept.

    Returns
    -------
    TrainingData, MirrorOperators

    Raises
    ------
    ValueError
        If columns of X, or weights, differ so much that no unit suits all of them.
    """
    strengths = np.append(operators.weights, operators.nuclear)
    if units is None:
        units = Units.of(data, strengths, depth)
    strengths = scaled(strengths, -units.mirrors)
    if (strengths < _LIGHTEST * strengths.max())[strengths > 0].any():
        raise ValueError(
            "The weights of the mirrors differ by more than 1e90: leave out the light mirrors, or "
            "give them weights that differ less."
        )
    scaled_data = replace(
        data,
        X=_divided(data.X, units.x),
        Y=scaled(data.Y, -units.y),
        # The objective is relative to the sum of the sample weights, which have any unit.
        weight=scaled(data.weight, -_distant_exponent(data.weight)),
        units=units,
    )
    _check_columns(scaled_data.X)
    return scaled_data, replace(operators, weights=strengths[:-1], nuclear=float(strengths[-1]))


def _distant_exponent(values):
    """Return the exponent of the unit of some numbers, 0 where their size is moderate."""
    exponent = binary_exponent(values)
    return 0 if abs(exponent) <= _FAR else exponent


def _divided(X, exponent):
    """Return X (n, p) over ``2^exponent``."""
    if not sparse.issparse(X):
        return scaled(X, -exponent)
    X = X.copy()
    X.data = scaled(X.data, -exponent)
    return X


def _check_columns(X):
    """Raise where the squares of columns that are not zero have lost their digits."""
    size = np.abs(X).max(axis=0)
    if sparse.issparse(size):
        size = size.toarray().ravel()
    lost = np.flatnonzero((size > 0) & (size < _SHORTEST))
    if lost.size:
        raise ValueError(
            f"Columns {lost[:5].tolist()} of X are more than 1e135 times smaller than the "
            "largest: scale the columns alike, or leave these out."
        )
