"""Times of samples: dates and durations in seconds, and gaps between the samples."""

import numpy as np

from sksym._estimator import warn

_GAP = 3.0  # a step relative to the usual ones, from which on samples are missing
_USUAL = 0.9  # quantile of the steps, so that irregular times are no row of gaps


def in_seconds(t):
    """Return times (n,) as floats: numbers as they are, dates and durations in seconds.

    Dates count from the earliest, durations from zero. What is not a time becomes NaN.
    """
    t = np.asarray(t)
    if t.dtype.kind == "O" and t.size:
        t = _of_objects(t)
    if t.dtype.kind in "US":
        raise ValueError(
            f"t must be numbers or dates, got text such as {t.ravel()[0]!r}: convert it, with "
            "pandas.to_datetime(t) for example."
        )
    if t.dtype.kind not in "mM":
        return t.astype(float)
    is_missing = np.isnat(t)
    if t.dtype.kind == "M":
        known = t[~is_missing]
        start = known.min() if known.size else t[0]
        t = t - start
    seconds = t / np.timedelta64(1, "s")
    seconds[is_missing] = np.nan
    return seconds


def _of_objects(t):
    """Return dates of Python and pandas, with time zones or without, as dates of numpy."""
    first = t.ravel()[0]
    if hasattr(first, "total_seconds"):
        return np.array([duration_in_seconds(entry) for entry in t])
    if hasattr(first, "timestamp"):
        # Seconds since 1970, whatever the time zone.
        seconds = np.array([entry.timestamp() for entry in t])
        return seconds - np.nanmin(seconds)
    if isinstance(first, str):
        return t.astype(str)
    return t


def duration_in_seconds(step):
    """Return a step in seconds where it is a duration, of Python, numpy or pandas."""
    if hasattr(step, "total_seconds"):
        return step.total_seconds()
    if isinstance(step, np.timedelta64):
        return step / np.timedelta64(1, "s")
    return step


def times_of_index(X):
    """Return the dates or durations in the index of a DataFrame, else None."""
    if not hasattr(X, "iloc") or X.index.nlevels > 1:
        return None
    if getattr(X.index.dtype, "kind", "O") in "mM":
        return X.index
    return None


def split_at_gaps(t, indices, say=True):
    """Split trajectories where a step is larger than three times the usual.

    Parameters
    ----------
    t : ndarray of shape (n,)
    indices : list of integer ndarrays
        Rows of each trajectory, in order of time.
    say : bool
        Whether a warning tells of the gaps.

    Returns
    -------
    list of integer ndarrays
        A sample between two gaps is a piece of its own.
    """
    pieces = []
    gaps = []
    for index in indices:
        steps = np.diff(t[index])
        # The larger neighbour, so that one gap in a few steps is not the usual step.
        usual = np.quantile(steps, _USUAL, method="lower")
        after = np.flatnonzero(steps > _GAP * usual)
        gaps.extend((t[index[k]], t[index[k + 1]]) for k in after)
        pieces.extend(np.split(index, after + 1))
    if gaps and say:
        before, behind = gaps[0]
        warn(
            f"The times have {len(gaps)} gap(s), steps larger than three times the usual, the "
            f"first from t = {before:.6g} to t = {behind:.6g}: trajectories are split there, and "
            "nothing is differentiated or integrated across."
        )
    return pieces
