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
    if weights is None:
        weights = np.ones(len(y))
    t = _cumulative_sums(weights)
    height = _cumulative_sums(weights * y)
    half_width = np.concatenate([[0.0], penalties, [0.0]])
    low = height - half_width
    high = height + half_width
    # Lists: their items are read one by one, which is slow in arrays.
    knots, values = _string(t.tolist(), low.tolist(), high.tolist())
    run = np.diff(t[knots])
    slope = np.diff(values) / run
    x = np.repeat(slope, np.diff(knots))
    return _certified(x, y, penalties, weights)


def _cumulative_sums(values):
    """Return the sums of the first 0, 1, .. values."""
    sums = np.cumsum(values)
    return np.concatenate([[0.0], sums])


def _certified(x, y, penalties, weights):
    """Return the solution x with its duality gap."""
    residual = y - x
    weighted = weights * residual
    jumps = np.diff(x)
    penalty = penalties @ np.abs(jumps)
    objective = 0.5 * weighted @ residual + penalty
    # The sums of the residual are a dual point, feasible but for round-off.
    sums = np.cumsum(weighted)[:-1]
    dual = np.clip(sums, -penalties, penalties)
    gap = penalty + dual @ jumps
    return Solution(
        coef=x,
        objective=float(objective),
        gap=float(max(gap, _EPS * objective)),
        n_iter=1,
        dual=[dual],
    )


def _string(t, low, high):
    """Return the knots of the shortest curve between `low` and `high`, and its values there.

    ``sides[1]`` holds the corners of the greatest convex minorant of `high` from the last knot on,
    and ``sides[-1]`` those of the least concave majorant of `low`. Where a new corner of one side
    leaves no straight line beyond the other side's first edge, the string bends round that edge's
    end.
    """
    knots = [0]
    values = [low[0]]
    # Corners (index, height, slope of the edge that ends there).
    sides = {1: deque(), -1: deque()}
    curves = {-1: low, 1: high}
    last = len(t) - 1
    for i in range(1, last + 1):
        for sign, curve in curves.items():
            side = sides[sign]
            other = sides[-sign]
            height = curve[i]
            _extend(side, i, t, height, knots[-1], values[-1], sign)
            while _crossed(side, other, sign):
                # The string bends at the end of the other side's first edge.
                bend, value, _ = other.popleft()
                knots.append(bend)
                values.append(value)
                side.clear()
                if bend < i:
                    _extend(side, i, t, height, bend, value, sign)
    # The rest is straight: the tube closes at its end.
    if knots[-1] < last:
        knots.append(last)
        values.append(low[-1])
    return np.array(knots), np.array(values)


def _crossed(side, other, sign):
    """Whether the only edge of a side lies beyond the first edge of the other."""
    if len(side) != 1 or not other:
        return False
    slope = side[0][2]
    limit = other[0][2]
    return sign * (slope - limit) < 0


def _extend(side, i, t, height, knot, value, sign):
    """Add a corner to a side, and remove those that it cuts off.

    The slopes of a side increase where `sign` is 1, and decrease where it is -1: a corner that
    breaks this order is cut off by the line from the one before it.
    """
    while side:
        last_index, last_height, last_slope = side[-1]
        rise = height - last_height
        slope = rise / (t[i] - t[last_index])
        if sign * (slope - last_slope) > 0:
            break
        side.pop()
    else:
        slope = (height - value) / (t[i] - t[knot])
    side.append((i, height, slope))
