"""Dates, durations and gaps as times of trajectories."""

import datetime

import numpy as np
import pandas as pd
import pytest

from sksym import PolynomialLibrary, SymmetryPromotingSINDy, WeakSymmetryPromotingSINDy
from sksym.dynamics import differentiate
from sksym.dynamics.clock import in_seconds, split_at_gaps
from sksym.dynamics.trajectories import checked_times

KINDS = [SymmetryPromotingSINDy, WeakSymmetryPromotingSINDy]
SECONDS = np.arange(0, 6, 0.05)
CIRCLE = np.column_stack([np.cos(SECONDS), 2 * np.sin(SECONDS)])
LINEAR = PolynomialLibrary(1)


@pytest.mark.parametrize(
    "convert",
    [
        lambda s: np.datetime64("2024-02-28T23:00") + (s * 1e9).astype("timedelta64[ns]"),
        lambda s: (s * 1e3).round().astype("timedelta64[ms]"),
        lambda s: pd.Timestamp("2024-02-28") + pd.to_timedelta(s, unit="s"),
        lambda s: pd.Timestamp("2024-02-28", tz="Asia/Tokyo") + pd.to_timedelta(s, unit="s"),
        lambda s: pd.Series(pd.to_timedelta(s, unit="s")),
        lambda s: [datetime.timedelta(seconds=float(second)) for second in s],
    ],
)
def test_dates_and_durations_are_seconds(convert):
    np.testing.assert_allclose(in_seconds(convert(SECONDS)), SECONDS, atol=1e-6)
    expected = SymmetryPromotingSINDy(library=LINEAR).fit(CIRCLE, t=SECONDS)
    dated = SymmetryPromotingSINDy(library=LINEAR).fit(CIRCLE, t=convert(SECONDS))
    np.testing.assert_allclose(dated.coef_, expected.coef_, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_dates_in_the_index(kind):
    index = pd.Timestamp("2024-02-28") + pd.to_timedelta(SECONDS, unit="s")
    frame = pd.DataFrame(CIRCLE, index=index, columns=["a", "b"])
    dated = kind(library=LINEAR).fit(frame)
    expected = kind(library=LINEAR).fit(CIRCLE, t=SECONDS)
    np.testing.assert_allclose(dated.coef_, expected.coef_, atol=1e-6)
    assert dated.score(frame) == pytest.approx(expected.score(CIRCLE, t=SECONDS))


def test_steps_may_be_durations():
    step = pd.Timedelta("50ms")
    expected = differentiate(CIRCLE, 0.05)
    for given in (step, step.to_timedelta64(), step.to_pytimedelta()):
        np.testing.assert_allclose(differentiate(CIRCLE, given), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_trajectories_are_split_at_gaps(kind):
    counted = (SECONDS < 2) | (SECONDS > 3.5)
    counted &= (SECONDS < 4) | (SECONDS > 4.3)
    trajectory = np.cumsum(np.append(0, np.diff(SECONDS[counted]) > 0.1))
    with pytest.warns(UserWarning, match=r"2 gap\(s\).*from t = 1.95 to t = 3.55") as record:
        split = kind(library=LINEAR).fit(CIRCLE[counted], t=SECONDS[counted])
    assert len(record) == 1
    told = kind(library=LINEAR).fit(CIRCLE[counted], t=SECONDS[counted], trajectory=trajectory)
    np.testing.assert_allclose(split.coef_, told.coef_, rtol=1e-10)


def test_a_single_sample_between_gaps():
    t = np.concatenate([np.arange(20), [40], np.arange(60, 80)]).astype(float)
    pieces = split_at_gaps(t, [np.arange(41)], say=False)
    assert [len(piece) for piece in pieces] == [20, 1, 20]
    with pytest.warns(UserWarning, match="gap"):
        slopes = differentiate(np.column_stack([t, t**2]), t)
    assert np.isnan(slopes[20]).all()
    np.testing.assert_allclose(np.delete(slopes, 20, axis=0)[:, 0], 1)


def test_irregular_times_have_no_gaps():
    rng = np.random.default_rng(0)
    t = np.cumsum(rng.exponential(size=300))
    assert len(split_at_gaps(t, [np.arange(300)], say=False)) <= 3
    uneven = np.cumsum(rng.uniform(0.1, 1, size=300))
    assert len(split_at_gaps(uneven, [np.arange(300)])) == 1


@pytest.mark.parametrize(
    ("t", "message"),
    [
        (["2024-01-01", "2024-01-02", "2024-01-03"], "pandas.to_datetime"),
        (np.array(["2024-01-01", "NaT", "2024-01-03"], dtype="datetime64[D]"), "nan in row 1"),
        ([0.0, 1.0, 1.0], r"t = 1 twice, in rows 1 and 2: drop or average"),
        ([0.0, 2.0, 1.0], r"t = 1 after t = 2, in rows 1 and 2: sort the rows"),
    ],
)
def test_times_that_are_none(t, message):
    with pytest.raises(ValueError, match=message):
        checked_times(np.eye(3), t)


def test_missing_states_are_named_with_ways_out():
    X = CIRCLE.copy()
    X[[7, 9], 1] = np.nan
    with pytest.raises(ValueError, match=r"row 7.*2 rows.*Drop.*split"):
        checked_times(X, SECONDS)
