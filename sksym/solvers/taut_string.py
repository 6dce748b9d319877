"""Fused lasso along a chain, in one pass: the taut string.

    minimise  1/2 sum_i c_i (y_i - x_i)^2 + sum_i l_i |x_{i+1} - x_i|

The cumulative sums of c x are a curve through a tube about those of c y, of half width l, fixed at
its ends; the shortest such curve has the solution as its slope.

P. L. Davies and A. Kovac, Ann. Statist. 29 (2001) 1.
"""

from collections import deque

import numpy as np

from sksym.solvers.solution import Solution

_EPS = np.finfo(float).eps


def taut_string(y, penalties, weights=None):
    """Minimise the objective above.

    Parameters
    ----------
    y : ndarray of shape (n,)
    penalties : ndarray of shape (n - 1,)
    weights : ndarray of shape (n,), default=None
        Positive; None: one.

    Returns
    -------
    Solution
        ``coef`` (n,); the dual point (n - 1,) is the distance of the string from the tube's middle.
    """
    n = len(y)
    weights = np.ones(n) if weights is None else weights
    t = np.concatenate([[0.0], np.cumsum(weights)])
    height = np.concatenate([[0.0], np.cumsum(weights * y)])
    half_width = np.concatenate([[0.0], penalties, [0.0]])
    low = (height - half_width).tolist()
    high = (height + half_width).tolist()
    knots, values = _string(t.tolist(), low, high)
    slope = np.diff(values) / (t[knots[1:]] - t[knots[:-1]])
    return _certified(np.repeat(slope, np.diff(knots)), y, penalties, weights)


def _certified(x, y, penalties, weights):
    """Return the solution x with its duality gap."""
    residual = y - x
    jumps = np.diff(x)
    penalty = penalties @ np.abs(jumps)
    # The sums of the residual are a dual point, feasible but for round-off.
    sums = np.cumsum(weights * residual)[:-1]
    dual = np.clip(sums, -penalties, penalties)
    objective = 0.5 * (weights * residual) @ residual + penalty
    gap = max(penalty + dual @ jumps, _EPS * objective)
    return Solution(x, float(objective), float(gap), 1, [dual])


def _string(t, low, high):
    """Return the knots of the shortest curve between `low` and `high`, and its values there.

    ``sides[1]`` holds the corners of the greatest convex minorant of `high` from the last knot on,
    and ``sides[-1]`` those of the least concave majorant of `low`. Where a new corner of one side
    leaves no straight line beyond the other side's first edge, the string bends round that edge's
    end.
    """
    knots = [0]
    values = [low[0]]
    sides = {1: deque(), -1: deque()}  # corners (index, height, slope of the edge that ends there)
    for i in range(1, len(t)):
        for sign, curve in ((-1, low), (1, high)):
            side = sides[sign]
            other = sides[-sign]
            _extend(side, i, t, curve[i], knots[-1], values[-1], sign)
            while len(side) == 1 and other and sign * (side[0][2] - other[0][2]) < 0:
                bend, height, _ = other.popleft()
                knots.append(bend)
                values.append(height)
                side.clear()
                if bend < i:
                    _extend(side, i, t, curve[i], bend, height, sign)
    if knots[-1] < len(t) - 1:
        knots.append(len(t) - 1)
        values.append(low[-1])
    return np.array(knots), np.array(values)


def _extend(side, i, t, height, knot, value, sign):
    """Add a corner to a side, and remove those that it cuts off."""
    while side:
        last_index, last_height, last_slope = side[-1]
        slope = (height - last_height) / (t[i] - t[last_index])
        if sign * (slope - last_slope) > 0:
            break
        side.pop()
    else:
        slope = (height - value) / (t[i] - t[knot])
    side.append((i, height, slope))
