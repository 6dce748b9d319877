"""What every iterative solver returns, and how far it may be from the minimum."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Solution:
    """Result of a solver, with its certificate.

    Attributes
    ----------
    coef : ndarray
        The primal point.
    objective : float
        The objective at `coef`. Solvers for `Term` objects measure it from least squares, whose
        value is often much larger.
    gap : float
        Duality gap, in units of the objective: an upper bound on the excess of `objective` over
        the minimum.
    n_iter : int
    dual : list of ndarray
        A feasible dual point, which certifies the gap: one array for each term.
    state : tuple
        Where the solver stopped, to start a similar problem from.
    """

    coef: np.ndarray
    objective: float
    gap: float
    n_iter: int
    dual: list = field(repr=False)
    state: tuple = field(default=(), repr=False)

    @property
    def relative_gap(self):
        """The gap divided by the objective, unless that is zero."""
        return self.gap / (self.objective or 1.0)


def duality_gap(norm, x, value, residual, correlation, Y):
    """Bound the error of a point x in ``min 1/2 |Y - A x|^2 + norm(x)``.

    The dual point is ``scale * residual``, feasible for a scale up to 1 / polar(A^T residual). The
    gap is written without differences of large numbers::

        gap = 1/2 (1 - scale)^2 |residual|^2 + norm(x) - scale <A^T residual, x>

    Parameters
    ----------
    norm : GroupNorm or NuclearNorm
    x : ndarray of shape (t, q)
    value : float
        ``norm.value(x)``.
    residual : ndarray of shape (n, q)
        ``Y - A x``.
    correlation : ndarray of shape (t, q)
        ``A^T residual``.
    Y : ndarray of shape (n, q)

    Returns
    -------
    gap, objective, scale : float
    """
    polar = norm.polar(correlation)
    square = np.vdot(residual, residual)
    scale = 0.0
    if square:
        # Not negative: the polar of -residual is a different one where x has to be positive.
        scale = max(np.vdot(Y, residual) / square, 0.0)
    if scale * polar > 1:
        scale = 1 / polar
    shortfall = 0.5 * (1 - scale) ** 2 * square
    alignment = np.vdot(correlation, x)
    gap = shortfall + value - scale * alignment
    objective = 0.5 * square + value
    return float(gap), float(objective), float(scale)
