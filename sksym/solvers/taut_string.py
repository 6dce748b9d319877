"""Denoising along a chain, in one pass: the taut string.

    minimise  1/2 sum_i c_i (y_i - x_i)^2 + sum_i l_i |x_{i+1} - x_i|

The sums of c x are a curve through a tube about those of c y, of half width l, fixed at its ends;
the shortest such curve has the solution as its slope.

P. L. Davies and A. Kovac, Ann. Statist. 29 (2001) 1.
"""

from collections import deque

import numpy as np


def taut_string(y, penalties, weights=None):
    """The minimiser.

    Parameters
    ----------
    y : ndarray of shape (n,)
    penalties : ndarray of shape (n - 1,)
    weights : ndarray of shape (n,), default=None
        Positive; None: one.

    Returns
    -------
    ndarray of shape (n,)
    """
    n = len(y)
    weights = np.ones(n) if weights is None else weights
    t = np.concatenate([[0.0], np.cumsum(weights)])
    height = np.concatenate([[0.0], np.cumsum(weights * y)])
    reach = np.concatenate([[0.0], penalties, [0.0]])
    knots, values = _string(t.tolist(), (height - reach).tolist(), (height + reach).tolist())
    slope = np.diff(values) / (t[knots[1:]] - t[knots[:-1]])
    return np.repeat(slope, np.diff(knots))


def _string(t, low, high):
    """Knots of the shortest curve between `low` and `high`, and its values there.

    From the last knot on, `upper` holds the corners of the greatest convex minorant of `high` and
    `lower` those of the least concave majorant of `low`. Where a new corner of one leaves no
    straight line below the other's first edge, the string bends round that edge's end.
    """
    knots, values = [0], [low[0]]
    sides = {1: deque(), -1: deque()}  # corners (index, height, slope of the edge that ends there)
    for i in range(1, len(t)):
        for sign, curve in ((-1, low), (1, high)):
            mine, other = sides[sign], sides[-sign]
            _extend(mine, i, t, curve[i], knots[-1], values[-1], sign)
            while len(mine) == 1 and other and sign * (mine[0][2] - other[0][2]) < 0:
                at, height, _ = other.popleft()
                knots.append(at)
                values.append(height)
                mine.clear()
                if at < i:
                    _extend(mine, i, t, curve[i], at, height, sign)
    if knots[-1] < len(t) - 1:
        knots.append(len(t) - 1)
        values.append(low[-1])
    return np.array(knots), np.array(values)


def _extend(side, i, t, height, knot, value, sign):
    """Add a corner, without those that it cuts off."""
    while side:
        slope = (height - side[-1][1]) / (t[i] - t[side[-1][0]])
        if sign * (slope - side[-1][2]) > 0:
            break
        side.pop()
    else:
        slope = (height - value) / (t[i] - t[knot])
    side.append((i, height, slope))
