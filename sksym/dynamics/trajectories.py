"""Trajectories as stacked rows: conversion, checks, and time derivatives of each by itself.

Rows stay rows: beside a stack ``X`` (n, d) stand the time ``t`` (n,) and the ``trajectory`` (n,)
of every row. Rows of different trajectories may alternate; within one they are in order of time.
"""

from copy import deepcopy

import numpy as np

_WINDOW, _DEGREE = 11, 3  # of the polynomials that smooth before differences are taken
_STACK = "X, t, trajectory = stack_trajectories(list_X, list_t)"


def stack_trajectories(X, t=None):
    """Many trajectories as one array of rows, with the time and the trajectory of every row.

    Parameters
    ----------
    X : list of array-likes (n_i, d), array (k, n, d), or DataFrame
        A DataFrame has a MultiIndex (trajectory, time).
    t : list of k array-likes (n_i,), array (n,) or float, default=None
        Times of every trajectory; one array for all of them when they are equally long; or the
        step between samples, the first at 0. None: the float index of a DataFrame in the list,
        else unit steps. A DataFrame with a MultiIndex brings its times.

    Returns
    -------
    X : ndarray or DataFrame of shape (n, d)
        A DataFrame where one was given, with its columns.
    t : ndarray of shape (n,)
    trajectory : ndarray of shape (n,)
        Position in the list, or the ids in the index of a DataFrame.

    Examples
    --------
    >>> from sksym.dynamics import stack_trajectories
    >>> X, t, trajectory = stack_trajectories([[[1.0], [2.0]], [[5.0], [4.0], [3.0]]], 0.1)
    >>> t
    array([0. , 0.1, 0. , 0.1, 0.2])
    >>> trajectory
    array([0, 0, 1, 1, 1])
    """
    if hasattr(X, "iloc"):
        stacked, (ids, times) = X, _index_levels(X, t)
    else:
        parts = _listed(X)
        ids = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        stacked, times = _concatenated(parts), np.concatenate(_times_of_each(parts, t))
    return stacked, checked_times(stacked, times, ids)[0], ids


def split_trajectories(X, t=None, trajectory=None):
    """Stacked rows as lists of trajectories: the inverse of `stack_trajectories`.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n, d)
    t, trajectory : see `differentiate`

    Returns
    -------
    list_X : list of ndarrays or DataFrames of shape (n_i, d), in the order of their first rows
    list_t : list of ndarrays of shape (n_i,)
    """
    rows = X if hasattr(X, "iloc") else _as_rows(X)
    indices = _grouped(_checked_ids(trajectory, len(rows)))
    times = _times_of_rows(t, None, len(rows), indices)
    take = rows.iloc if hasattr(rows, "iloc") else rows
    return [take[index] for index in indices], [times[index] for index in indices]


def differentiate(X, t=None, trajectory=None, *, method=None, dt=None):
    """Time derivatives of stacked rows, of each trajectory by itself.

    Parameters
    ----------
    X : array-like of shape (n, d)
    t : array-like of shape (n,), or float, default=None
        Times, increasing within each trajectory, or the step between samples. None: `dt`.
    trajectory : array-like of shape (n,), default=None
        The trajectory of every row. None: all rows are one.
    method : pysindy differentiation method, or function (x, t) -> x_dot, default=None
        None: smoothed finite differences. Eleven samples at a time are smoothed by a cubic (in
        time, also where the steps are unequal), then central differences are taken. Trajectories
        of less than eleven samples have shorter windows, and less than five are not smoothed.
        The object is copied, never changed.
    dt : float, default=None
        Step between samples where there is no `t`. None: 1.

    Returns
    -------
    X_dot : ndarray of shape (n, d)
        NaN where the method gives NaN (``drop_endpoints=True``): leave those rows out of a fit.
    """
    t, indices = checked_times(X, t, trajectory, dt)
    rows = np.asarray(X, dtype=float)
    if method is not None and not callable(method):
        raise TypeError(
            "`method` must be a pysindy differentiation object or a function (x, t) -> x_dot, "
            f"got {method!r}."
        )
    slopes_of = _smoothed_differences if method is None else deepcopy(method)
    X_dot = np.empty_like(rows)
    for index in indices:
        try:
            X_dot[index] = slopes_of(rows[index], t[index])
        except (ValueError, IndexError, np.linalg.LinAlgError) as error:
            ids = _checked_ids(trajectory, len(rows))
            raise ValueError(
                f"{method!r} failed on {_named(ids[index[0]])} of {len(index)} samples ({error}): "
                "leave that trajectory out, or use a method that needs fewer samples."
            ) from error
    return X_dot


def checked_times(X, t=None, trajectory=None, dt=None):
    """Times of all rows and the rows of each trajectory, or an error that names the culprit.

    Parameters
    ----------
    X, t, trajectory, dt : see `differentiate`
        Without times, steps are counted within each trajectory from 0.

    Returns
    -------
    t : ndarray of shape (n,)
    indices : list of integer ndarrays
        Rows of each trajectory, in order of time; trajectories in the order in which they begin.
    """
    rows = _as_rows(X)
    if hasattr(X, "iloc") and X.index.nlevels > 1 and t is None:
        raise ValueError(
            "X has a MultiIndex, but no `t`. Take the times and trajectories out of the index: "
            "`X, t, trajectory = stack_trajectories(X)`."
        )
    ids = _checked_ids(trajectory, len(rows))
    indices = _grouped(ids)
    t = _times_of_rows(t, dt, len(rows), indices)
    for index in indices:
        if len(index) < 2:
            raise ValueError(
                f"{_named(ids[index[0]])} has one sample, at t = {t[index[0]]:.10g}, and its "
                "motion needs two at least: leave it out, or check the ids in `trajectory`."
            )
    _require_finite_times(t, ids)
    _require_increasing(t, ids, indices)
    _require_finite_rows(X, rows, t, ids)
    return t, indices


def _as_rows(X):
    """`X` as an array (n, d) of floats."""
    nested = isinstance(X, (list, tuple)) and any(np.ndim(part) > 1 for part in X)
    if nested or np.ndim(X) == 3:
        raise ValueError(
            f"X must be rows of shape (n, d), got {len(X)} trajectories. Stack them: `{_STACK}`, "
            "and pass t=t, trajectory=trajectory."
        )
    rows = np.asarray(X, dtype=float)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(
            f"X must be rows of shape (n, d), got shape {rows.shape}: one row for every time, one "
            "column for every state."
        )
    return rows


def _checked_ids(trajectory, n):
    """The trajectory of every row; all zero where there is one only."""
    if trajectory is None:
        return np.zeros(n, dtype=int)
    ids = np.asarray(trajectory)
    if ids.shape != (n,):
        raise ValueError(f"`trajectory` must have shape ({n},), one id a row, got {ids.shape}.")
    for row, one in enumerate(ids.tolist()):
        if one is None or one != one:
            raise ValueError(f"`trajectory` is missing for row {row}: give every row an id.")
    return ids


def _grouped(ids):
    """Rows of every trajectory, in the order in which they begin."""
    _, first, which = np.unique(ids, return_index=True, return_inverse=True)
    rows = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    return [rows[k] for k in np.argsort(first)]


def _times_of_rows(t, dt, n, indices):
    """Times (n,), given or counted within each trajectory."""
    if t is None or np.ndim(t) == 0:
        times = np.empty(n)
        for index in indices:
            times[index] = np.arange(len(index))
        return times * _checked_step(t if t is not None else 1.0 if dt is None else dt)
    if isinstance(t, (list, tuple)) and any(np.ndim(part) for part in t):
        raise ValueError(
            f"t must be the time of every row, got a list of {len(t)} arrays. Stack the "
            f"trajectories: `{_STACK}`."
        )
    t = _as_numbers(t)
    if t.shape != (n,):
        raise ValueError(
            f"t must have shape ({n},), a time for every row of X, got {t.shape}: drop the times "
            "without a sample, or the samples without a time."
        )
    return t


def _checked_step(dt):
    """The time between samples."""
    step = _as_numbers(dt)
    if not np.isfinite(step) or step <= 0:
        raise ValueError(f"The time between samples must be positive and finite, got {dt!r}.")
    return step


def _as_numbers(t):
    """Times as floats; dates have no unit of time."""
    t = np.asarray(t)
    if t.dtype.kind in "mM":
        raise ValueError(
            f"t must be numbers, got {t.dtype}: choose a unit, for example "
            "(t - t[0]) / numpy.timedelta64(1, 's')."
        )
    return t.astype(float)


def _named(one):
    """A trajectory as errors call it."""
    return f"Trajectory {one.item() if isinstance(one, np.generic) else one!r}"


def _require_finite_times(t, ids):
    for row in np.flatnonzero(~np.isfinite(t))[:1]:
        raise ValueError(f"{_named(ids[row])} has t = {t[row]} in row {row}: drop that row.")


def _require_increasing(t, ids, indices):
    rows = np.concatenate(indices)
    same = np.repeat(np.arange(len(indices)), [len(index) for index in indices])
    wrong = np.flatnonzero((np.diff(t[rows]) <= 0) & (np.diff(same) == 0))
    if not len(wrong):
        return
    before, row = rows[wrong[0]], rows[wrong[0] + 1]
    if t[row] == t[before]:
        what, remedy = f"t = {t[row]:.10g} twice", "drop or average one of them"
    else:
        what = f"t = {t[row]:.10g} after t = {t[before]:.10g}"
        remedy = "sort the rows of each trajectory by time"
    if len(indices) == 1:
        remedy += ", or tell several trajectories apart with `trajectory`"
    raise ValueError(f"{_named(ids[row])} has {what}, in rows {before} and {row}: {remedy}.")


def _require_finite_rows(X, rows, t, ids):
    bad = ~np.isfinite(rows)
    for row in np.flatnonzero(bad.any(axis=1))[:1]:
        column = bad[row].argmax()
        name = f"{X.columns[column]!r}" if hasattr(X, "iloc") else column
        raise ValueError(
            f"{_named(ids[row])} is {rows[row, column]} at t = {t[row]:.10g} (row {row}, column "
            f"{name}): drop that row, or split the trajectory there."
        )


def _index_levels(X, t):
    """Ids and times in the index of a DataFrame."""
    if X.index.nlevels != 2:
        raise ValueError(
            "A DataFrame of trajectories needs a MultiIndex (trajectory, time), got an index of "
            f"{X.index.nlevels} level(s): X.set_index([trajectory, time]), or pass a list of "
            "DataFrames."
        )
    if t is not None:
        raise ValueError("The times are in the index of the DataFrame: leave out `t`.")
    return (np.asarray(X.index.get_level_values(level)) for level in range(2))


def _listed(X):
    """Trajectories (n_i, d) as a list of arrays or DataFrames with equal columns."""
    parts = [part if hasattr(part, "iloc") else np.asarray(part) for part in X]
    if not parts:
        raise ValueError("There are no trajectories: the list is empty.")
    for k, part in enumerate(parts):
        if part.ndim != 2:
            raise ValueError(
                f"Trajectory {k} must have shape (n, d), got {part.shape}: pass a list of such "
                "arrays (for a single trajectory `[X]`; for a single state `x[:, None]`)."
            )
        if part.shape[1] != parts[0].shape[1]:
            raise ValueError(
                f"Trajectory {k} has {part.shape[1]} states, trajectory 0 has "
                f"{parts[0].shape[1]}: give all the same columns."
            )
        if list(getattr(part, "columns", [])) != list(getattr(parts[0], "columns", [])):
            raise ValueError(
                f"The columns of trajectory {k} are not those of trajectory 0: give all "
                "DataFrames the same columns in the same order, or none."
            )
    return parts


def _concatenated(parts):
    if not hasattr(parts[0], "iloc"):
        return np.concatenate(parts)
    import pandas

    return pandas.concat(parts, ignore_index=True)


def _times_of_each(parts, t):
    """Times of every trajectory of a list."""
    if t is None:
        indices = [getattr(part, "index", None) for part in parts]
        numbers = [getattr(index, "dtype", np.dtype(int)).kind == "f" for index in indices]
        t = indices if all(numbers) else 1.0
    if not isinstance(t, (list, tuple)) and np.ndim(t) == 0:
        return [_checked_step(t) * np.arange(len(part)) for part in parts]
    t = list(t)
    if all(np.ndim(one) == 0 for one in t):
        t = [t] * len(parts)
    if len(t) != len(parts):
        raise ValueError(
            f"There are {len(parts)} trajectories, but times of {len(t)}: give each its own."
        )
    times = [_as_numbers(one) for one in t]
    for k, (part, one) in enumerate(zip(parts, times, strict=True)):
        if one.shape != (len(part),):
            raise ValueError(
                f"Trajectory {k} has {len(part)} samples, but times of shape {one.shape}: one time "
                "for every sample."
            )
    return times


def _smoothed_differences(x, t):
    """Central differences of locally cubic smooths; one-sided at both ends."""
    n, steps = len(t), np.diff(t)
    window = min(_WINDOW, n - 1 + n % 2)
    if window <= _DEGREE:
        return np.gradient(x, t, axis=0, edge_order=min(n - 1, 2))
    from pysindy.differentiation import SmoothedFiniteDifference

    if np.ptp(steps) < 1e-5 * steps.mean():
        options = {"smoother_kws": {"window_length": window, "polyorder": _DEGREE}}
    else:
        options = {"smoother": _local_cubics, "smoother_kws": {"t": t, "window": window}}
    return SmoothedFiniteDifference(**options)(x, t)


def _local_cubics(x, t, window):
    """The Savitzky-Golay filter for unequal steps: cubics in time through `window` samples."""
    half, own = window // 2, np.arange(len(t))
    rows = np.clip(own, half, len(t) - 1 - half)[:, None] + np.arange(-half, half + 1)
    s = t[rows] - t[:, None]
    s /= np.abs(s).max(axis=1, keepdims=True)
    weights = np.linalg.pinv(s[..., None] ** np.arange(_DEGREE + 1))[:, 0]
    return np.einsum("nw,nwd->nd", weights, x[rows])
