"""Integration of fitted systems, with controls and events."""

import warnings

import numpy as np
from scipy.integrate import solve_ivp

_FAR = 1e8  # times the first state, where a simulation ends


def controls_as_function(u, times, names):
    """Return a function of time that gives the controls (k,), linear between the times (m,).

    Parameters
    ----------
    u : callable, data frame, array-like of shape (m, k), or of shape (m,) where k = 1, or None
    times : ndarray of shape (m,)
    names : list of k str
        Of the controls, in the order of the columns.
    """
    m = len(times)
    k = len(names)
    if (u is None) != (k == 0):
        what = f"{k} controls, but got none" if k else "no controls, but got `u`"
        raise ValueError(f"The system has {what}: `u` holds the controls at the times `t`.")
    if u is None:
        return lambda time: ()
    if callable(u):
        return lambda time: _one_value_each(u(time), k)
    u = _checked_controls(u, m, names)
    # Linear in between: a spline could leave the range that an actuator has.
    return lambda time: [np.interp(time, times, column) for column in u.T]


def _checked_controls(u, m, names):
    """Return controls (m, k) with the columns in the order of their names."""
    k = len(names)
    if hasattr(u, "columns"):
        if sorted(map(str, u.columns)) != sorted(map(str, names)):
            raise ValueError(
                f"The columns of `u` must be the controls {names}, got {list(u.columns)}."
            )
        u = u[names]
    u = np.asarray(u, dtype=float)
    if k == 1 and u.ndim == 1:
        u = u[:, None]
    if u.shape != (m, k):
        raise ValueError(
            f"`u` must have shape ({m}, {k}), a row for each time of `t` and a column for each of "
            f"the controls {names}, got {u.shape}."
        )
    not_finite = ~np.isfinite(u).all(axis=1)
    for row in np.flatnonzero(not_finite)[:1]:
        raise ValueError(f"`u` is not finite in row {row}: give controls at all times of `t`.")
    return u


def _one_value_each(values, k):
    """Return what a callable gave for k controls."""
    values = np.ravel(values)
    if len(values) != k:
        raise ValueError(f"`u(time)` must give {k} controls, got {len(values)} values.")
    return values


def iterate(increment, x0, times):
    """Iterate a map: states (m, q) at consecutive times (m,)."""
    x = x0
    path = [x]
    for time in times[:-1]:
        x = x + increment(time, x)
        if not np.isfinite(x).all():
            raise RuntimeError(f"The fitted map blows up after step {time:g}: iterate less.")
        path.append(x)
    return np.array(path)


def integrate(rate, x0, times, options):
    """Integrate x' = rate(t, x): states (m, q) at the times (m,), or up to a terminal event."""
    if "t_eval" in options:
        raise ValueError("The states are given at the times `t`: leave out `t_eval`.")
    far = _FAR * np.abs(x0).max(initial=0)

    def distance_to_bound(time, x):
        return far - np.abs(x).max() if far > 0 else 1.0

    # Without an end, steps shrink for ever where the solution blows up in finite time.
    distance_to_bound.terminal = True
    events = options.pop("events", None) or []
    if callable(events):
        events = [events]
    defaults = {"method": "LSODA", "rtol": 1e-8, "atol": 1e-8}
    span = (times[0], times[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # failures are reported below, with the time reached
        path = solve_ivp(
            rate,
            span,
            x0,
            t_eval=times,
            events=[distance_to_bound, *events],
            **{**defaults, **options},
        )
    # Status 1 is a terminal event: the user's, unless the bound was reached.
    is_ended = path.status == 1 and not len(path.t_events[0])
    complete = path.success and (is_ended or len(path.t) == len(times))
    if not complete or not np.isfinite(path.y).all():
        reached = path.t[-1] if len(path.t) else times[0]
        raise RuntimeError(
            f"The fitted system cannot be integrated beyond t = {reached:.6g} "
            f"({path.message}): it may blow up there; ask for shorter times."
        )
    return np.reshape(path.y, (len(x0), -1)).T
