"""Trajectories as stacked rows: conversion, checks, and time derivatives.

Trajectories are kept as rows ``X`` (n, d), with the time ``t`` (n,) and the ``trajectory`` (n,) of
every row in arrays of their own. Rows of different trajectories may alternate; those of one are in
order of time.
"""

from copy import deepcopy

import numpy as np

from sksym._estimator import check_range
from sksym.dynamics.clock import duration_in_seconds, in_seconds, split_at_gaps, times_of_index
from sksym.dynamics.differentiation import Differentiation

_STACK = "X, t, trajectory = stack_trajectories(list_X, list_t)"


def stack_trajectories(X, t=None):
    """Stack many trajectories into one array of rows, with the time and trajectory of every row.

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
        stacked = X
        ids, times = _index_levels(X, t)
    else:
        paths = _checked_list(X)
        stacked = _concatenated(paths)
        ids = _positions(paths)
        times = np.concatenate(_times_of_list(paths, t))
    times, _ = checked_times(stacked, times, ids)
    return stacked, times, ids


def split_trajectories(X, t=None, trajectory=None):
    """Split stacked rows into lists of trajectories: the inverse of `stack_trajectories`.

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
    by_position = rows.iloc if hasattr(rows, "iloc") else rows
    list_X = [by_position[index] for index in indices]
    list_t = [times[index] for index in indices]
    return list_X, list_t


def differentiate(X, t=None, trajectory=None, *, method=None, dt=None):
    """Differentiate stacked rows in time, each trajectory separately.

    Parameters
    ----------
    X : array-like of shape (n, d)
    t : array-like of shape (n,), or float, default=None
        Times, increasing within each trajectory, or the step between samples. Dates and durations
        become seconds. None: the dates in the index of a DataFrame, else steps of `dt`. A
        trajectory is split where a step is larger than three times the usual.
    trajectory : array-like of shape (n,), default=None
        The trajectory of every row. None: all rows are one.
    method : pysindy differentiation method, or function (x, t) -> x_dot, default=None
        None: by polynomials in time through some neighbouring samples (also where the steps are
        unequal), whose number and degree have the least estimated error on these data; seven
        samples and degree six where there is no noise. The object is copied, never changed.
    dt : float, default=None
        Step between samples where there is no `t`. None: 1.

    Returns
    -------
    X_dot : ndarray of shape (n, d)
        NaN where the method gives NaN (``drop_endpoints=True``): leave those rows out of a fit.
    """
    t, indices = checked_times(X, t, trajectory, dt)
    # Across missing samples no polynomial in time follows the motion.
    pieces = split_at_gaps(t, indices)
    rows = np.asarray(X, dtype=float)
    return derivatives(rows, t, pieces, trajectory, method)


def derivatives(rows, t, indices, trajectory=None, method=None):
    """Differentiate states (n, d) at times (n,) within each trajectory, NaN for single samples.

    Parameters
    ----------
    rows, t, indices : as `checked_times` and `split_at_gaps` give them
    trajectory, method : see `differentiate`
    """
    if method is not None and not callable(method):
        raise TypeError(
            "`method` must be a pysindy differentiation object or a function (x, t) -> x_dot, "
            f"got {method!r}."
        )
    if method is None:
        return Differentiation.of(rows, t, indices)(rows, t, indices)
    # A copy: differentiation objects of pysindy remember the data that they have seen.
    derivative = deepcopy(method)
    # Rows without a derivative stay NaN: `fit` leaves them out.
    X_dot = np.full_like(rows, np.nan)
    for index in indices:
        # A single sample, between two gaps, has no derivative.
        if len(index) < 2:
            continue
        try:
            X_dot[index] = derivative(rows[index], t[index])
        except (ValueError, IndexError, np.linalg.LinAlgError) as error:
            ids = _checked_ids(trajectory, len(rows))
            name = _named(ids[index[0]])
            raise ValueError(
                f"{method!r} failed on {name} of {len(index)} samples ({error}): "
                "leave that trajectory out, or use a method that needs fewer samples."
            ) from error
    return X_dot


def checked_times(X, t=None, trajectory=None, dt=None):
    """Return the times of all rows and the rows of each trajectory.

    What cannot be a trajectory is refused with an error that names it and its place.

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
    # An index of dates is meant as times; one of integers may be row numbers.
    if t is None and dt is None:
        t = times_of_index(X)
    t = _times_of_rows(t, dt, len(rows), indices)
    for index in indices:
        row = index[0]
        if len(index) < 2:
            raise ValueError(
                f"{_named(ids[row])} has one sample, at t = {t[row]:.10g}, and its "
                "motion needs two at least: leave it out, or check the ids in `trajectory`."
            )
    # Times first: the other errors name the time at which something is wrong.
    _require_finite_times(t, ids)
    _require_increasing(t, ids, indices)
    _require_finite_rows(X, rows, t, ids)
    # Squares of states and of slopes must not overflow.
    check_range(rows, "X")
    steps = np.concatenate([np.diff(t[index]) for index in indices])
    check_range(steps[:, None], "`t`")
    return t, indices


def refuse_lists(X):
    """Raise where `X` is a list of trajectories instead of rows (n, d)."""
    nested = isinstance(X, list | tuple) and any(np.ndim(path) > 1 for path in X)
    if nested or getattr(X, "ndim", 0) == 3:
        raise ValueError(
            f"X must be rows of shape (n, d), got {len(X)} trajectories. Stack them: `{_STACK}`, "
            "and pass t=t, trajectory=trajectory."
        )


def _as_rows(X):
    """Return `X` as an array (n, d) of floats."""
    refuse_lists(X)
    rows = np.asarray(X, dtype=float)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(
            f"X must be rows of shape (n, d), got shape {rows.shape}: one row for every time, one "
            "column for every state."
        )
    return rows


def _checked_ids(trajectory, n):
    """Return the trajectory of every row (n,); all zero where there is only one."""
    if trajectory is None:
        return np.zeros(n, dtype=int)
    ids = np.asarray(trajectory)
    if ids.shape != (n,):
        raise ValueError(f"`trajectory` must have shape ({n},), one id a row, got {ids.shape}.")
    for row, identity in enumerate(ids.tolist()):
        if identity is None or identity != identity:  # NaN differs from itself
            raise ValueError(f"`trajectory` is missing for row {row}: give every row an id.")
    return ids


def _grouped(ids):
    """List the rows of every trajectory, in the order in which trajectories begin."""
    _, first, which = np.unique(ids, return_index=True, return_inverse=True)
    by_trajectory = np.argsort(which, kind="stable")  # stable: in order of time
    end = np.cumsum(np.bincount(which))
    rows = np.split(by_trajectory, end[:-1])
    return [rows[k] for k in np.argsort(first)]


def _times_of_rows(t, dt, n, indices):
    """Return times (n,), given or counted within each trajectory."""
    if t is None:
        t = 1.0 if dt is None else dt
    if np.ndim(t) == 0:
        step = _checked_step(t)
        times = np.empty(n)
        for index in indices:
            times[index] = np.arange(len(index))
        return times * step
    if isinstance(t, list | tuple) and any(np.ndim(times) for times in t):
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
    """Return the time between samples."""
    # As an array, for numpy's scalars, and so that truth values and strings are refused.
    step = np.asarray(duration_in_seconds(dt))
    if step.dtype.kind not in "fiu" or not 0 < step < np.inf:
        raise ValueError(f"The time between samples must be positive and finite, got {dt!r}.")
    return step.astype(float)


def _as_numbers(t):
    """Return times as floats; of dates and durations, seconds since the first."""
    return in_seconds(t)


def _named(identity):
    """Return the name of a trajectory in errors."""
    plain = identity.item() if isinstance(identity, np.generic) else identity
    return f"Trajectory {plain!r}"


def _require_finite_times(t, ids):
    """Raise for the first time that is not finite."""
    for row in np.flatnonzero(~np.isfinite(t))[:1]:
        raise ValueError(f"{_named(ids[row])} has t = {t[row]} in row {row}: drop that row.")


def _require_increasing(t, ids, indices):
    """Raise where times do not increase within a trajectory."""
    # All steps at once, for speed; those from one trajectory to the next do not count.
    rows = np.concatenate(indices)
    same_trajectory = np.diff(_positions(indices)) == 0
    wrong = same_trajectory & (np.diff(t[rows]) <= 0)
    if not wrong.any():
        return
    first = wrong.argmax()
    before = rows[first]
    row = rows[first + 1]
    if t[row] == t[before]:
        what = f"t = {t[row]:.10g} twice"
        remedy = "drop or average one of them"
    else:
        what = f"t = {t[row]:.10g} after t = {t[before]:.10g}"
        remedy = "sort the rows of each trajectory by time"
    if len(indices) == 1:
        remedy += ", or tell several trajectories apart with `trajectory`"
    raise ValueError(f"{_named(ids[row])} has {what}, in rows {before} and {row}: {remedy}.")


def _require_finite_rows(X, rows, t, ids):
    """Raise for the first row with an entry that is not finite."""
    not_finite = ~np.isfinite(rows)
    for row in np.flatnonzero(not_finite.any(axis=1))[:1]:
        column = not_finite[row].argmax()
        value = rows[row, column]
        name = f"{X.columns[column]!r}" if hasattr(X, "iloc") else column
        raise ValueError(
            f"{_named(ids[row])} is {value} at t = {t[row]:.10g} (row {row}, column {name}); "
            f"{not_finite.any(axis=1).sum()} rows of X have NaN or inf. Drop them, and split the "
            "trajectory there with ids in `trajectory` (gaps of more than three steps are split "
            "without), or use WeakSymmetryPromotingSINDy on the pieces."
        )


def _index_levels(X, t):
    """Return ids and times, the two levels in the index of a DataFrame."""
    if X.index.nlevels != 2:
        raise ValueError(
            "A DataFrame of trajectories needs a MultiIndex (trajectory, time), got an index of "
            f"{X.index.nlevels} level(s): X.set_index([trajectory, time]), or pass a list of "
            "DataFrames."
        )
    if t is not None:
        raise ValueError("The times are in the index of the DataFrame: leave out `t`.")
    return [np.asarray(X.index.get_level_values(level)) for level in range(2)]


def _checked_list(X):
    """Return trajectories (n_i, d) as a list of arrays or DataFrames with equal columns."""
    paths = [path if hasattr(path, "iloc") else np.asarray(path) for path in X]
    if not paths:
        raise ValueError("There are no trajectories: the list is empty.")
    for k, path in enumerate(paths):
        if path.ndim != 2:
            raise ValueError(
                f"Trajectory {k} must have shape (n, d), got {path.shape}: pass a list of such "
                "arrays (for a single trajectory `[X]`; for a single state `x[:, None]`)."
            )
        if path.shape[1] != paths[0].shape[1]:
            raise ValueError(
                f"Trajectory {k} has {path.shape[1]} states, trajectory 0 has "
                f"{paths[0].shape[1]}: give all the same columns."
            )
        if list(getattr(path, "columns", [])) != list(getattr(paths[0], "columns", [])):
            raise ValueError(
                f"The columns of trajectory {k} are not those of trajectory 0: give all "
                "DataFrames the same columns in the same order, or none."
            )
    return paths


def _positions(paths):
    """Return for every row of some lists the position of its list."""
    lengths = [len(path) for path in paths]
    return np.repeat(np.arange(len(paths)), lengths)


def _concatenated(paths):
    """Return one array or DataFrame with the rows of all."""
    if not hasattr(paths[0], "iloc"):
        return np.concatenate(paths)
    import pandas  # only who passes DataFrames needs it

    return pandas.concat(paths, ignore_index=True)


def _times_of_list(paths, t):
    """List the times (n_i,) of every trajectory."""
    if t is None:
        t = _float_indices(paths)
    if not isinstance(t, list | tuple) and np.ndim(t) == 0:
        step = _checked_step(t)
        return [step * np.arange(len(path)) for path in paths]
    t = list(t)
    if all(np.ndim(times) == 0 for times in t):  # the same times for all
        t = [t] * len(paths)
    if len(t) != len(paths):
        raise ValueError(
            f"There are {len(paths)} trajectories, but times of {len(t)}: give each its own."
        )
    list_t = [_as_numbers(times) for times in t]
    for k, (path, times) in enumerate(zip(paths, list_t, strict=True)):
        if times.shape != (len(path),):
            raise ValueError(
                f"Trajectory {k} has {len(path)} samples, but times of shape {times.shape}: one "
                "time for every sample."
            )
    return list_t


def _float_indices(paths):
    """Return the indices of DataFrames as times where all are floats, else unit steps."""
    if not hasattr(paths[0], "iloc"):
        return 1.0
    indices = [path.index for path in paths]
    if all(index.dtype.kind in "fmM" for index in indices):
        return indices
    return 1.0
