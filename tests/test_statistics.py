"""Statistics of disjoint rows merge to those of all rows, in any order and grouping."""

import itertools
import pickle
from dataclasses import fields

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sksym.statistics import Statistics, regression_statistics, statistics_through

K, T, D = 4, 2, 3


def functions(X):
    """Some design (n, 4)."""
    return np.column_stack([np.ones(len(X)), X])


def two_rows_each(X):
    """A design of two rows for every row of X, (2 n, 4)."""
    return np.stack([functions(X), functions(X) ** 2], axis=1).reshape(-1, K)


@pytest.fixture
def rows(rng):
    X = rng.normal([1, 2, 3], [1, 10, 0.1], size=(90, D))
    return X, rng.normal(size=(90, T)), rng.uniform(0.1, 3, size=90)


def streamed(X, Y, weight):
    return regression_statistics(functions, X, Y, weight, K)


def in_parts(rows, bounds):
    return [streamed(*(array[part] for array in rows)) for part in np.split(np.arange(90), bounds)]


def assert_same(ours, theirs):
    """Factors differ by signs and round-off: what they say is ``R^T R``."""
    gram = theirs.R.T @ theirs.R
    assert_allclose(ours.R.T @ ours.R, gram, atol=1e-13 * np.abs(gram).max())
    assert (ours.n_targets, ours.n_rows) == (theirs.n_targets, theirs.n_rows)
    assert_array_equal(ours.low, theirs.low)
    assert_array_equal(ours.high, theirs.high)
    for name in ("weight", "mean", "deviation"):
        assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12, err_msg=name)


def test_what_they_are(rows):
    X, Y, weight = rows
    statistics = streamed(*rows)
    root = np.sqrt(weight)[:, None]
    both = np.hstack([functions(X), Y]) * root
    assert_allclose(statistics.R.T @ statistics.R, both.T @ both, rtol=1e-12)
    assert (statistics.n_unknowns, statistics.n_targets, statistics.n_rows) == (K, T, 90)
    assert_allclose(statistics.weight, weight.sum())
    assert_array_equal(statistics.low, X.min(axis=0))
    assert_array_equal(statistics.high, X.max(axis=0))
    mean = np.average(X, axis=0, weights=weight)
    variance = np.average((X - mean) ** 2, axis=0, weights=weight)
    assert_allclose(statistics.mean, mean)
    assert_allclose(statistics.deviation, np.sqrt(variance))
    assert_allclose(statistics.spread, np.sqrt(variance.mean()))
    solution = np.linalg.lstsq(statistics.design, statistics.targets)[0]
    assert_allclose(solution, np.linalg.lstsq(root * functions(X), root * Y)[0], atol=1e-12)


@pytest.mark.parametrize("bounds", [[30, 60], [1, 2], [88, 89], [45, 45], [0, 50]])
def test_merging_is_associative_and_one_pass(rows, bounds):
    a, b, c = in_parts(rows, bounds)
    whole = streamed(*rows)
    assert_same(a.merge(b).merge(c), whole)
    assert_same(a.merge(b.merge(c)), whole)
    for order in itertools.permutations([a, b, c]):
        first, second, third = order
        assert_same(first.merge(second).merge(third), whole)


def test_nothing_is_neutral(rows):
    whole = streamed(*rows)
    empty = Statistics.empty(K, T, D)
    assert_same(empty.merge(whole), whole)
    assert_same(whole.merge(empty), whole)
    both = empty.merge(empty)
    assert (both.n_rows, both.weight) == (0, 0.0)


def test_merging_leaves_both_alone(rows):
    a, b = in_parts(rows, [40])
    before = [{field.name: np.copy(getattr(s, field.name)) for field in fields(s)} for s in (a, b)]
    a.merge(b)
    for statistics, values in zip((a, b), before, strict=True):
        for name, value in values.items():
            assert_array_equal(getattr(statistics, name), value)


@pytest.mark.parametrize("size", [1, 7, 90])
def test_updates_are_one_pass(rows, size):
    statistics = Statistics.empty(K, T, D)
    for start in range(0, 90, size):
        X, Y, weight = (array[start : start + size] for array in rows)
        statistics = statistics.update(X, weight, functions(X), Y)
    assert_same(statistics, streamed(*rows))


def test_several_rows_of_the_regression_for_each_sample(rows):
    X, Y, weight = rows
    whole = regression_statistics(two_rows_each, X, Y, weight, K, rows_per_sample=2)
    assert (whole.n_targets, whole.n_rows) == (1, 90)
    assert_allclose(whole.weight, weight.sum())
    root = np.sqrt(np.repeat(weight, 2))[:, None]
    both = np.hstack([two_rows_each(X), Y.reshape(-1, 1)]) * root
    assert_allclose(whole.R.T @ whole.R, both.T @ both, rtol=1e-12)
    narrow = regression_statistics(
        two_rows_each, X, Y, weight, K, rows_per_sample=2, block_width=10**6
    )
    assert_same(narrow, whole)


def test_rows_of_weight_zero_count_for_nothing(rows):
    X, Y, weight = rows
    weight[::3] = 0
    X[::3] = np.nan
    counted = weight > 0
    assert_same(streamed(X, Y, weight), streamed(X[counted], Y[counted], weight[counted]))


def test_factors_keep_what_a_gram_matrix_loses(rng):
    """Two columns that agree to 1e-9, in nine parts."""
    X = rng.normal(size=(900, 2))
    X[:, 1] = X[:, 0] + 1e-9 * X[:, 1]
    Y = np.zeros((900, 1))
    parts = [
        regression_statistics(lambda X: X, X[rows], Y[rows], np.ones(len(rows)), 2)
        for rows in np.array_split(np.arange(900), 9)
    ]
    merged = parts[0]
    for other in parts[1:]:
        merged = merged.merge(other)
    expected = np.linalg.svd(X, compute_uv=False)
    assert_allclose(np.linalg.svd(merged.design, compute_uv=False), expected, rtol=1e-6)


def test_a_far_mean_does_not_spoil_the_deviation(rng):
    X = 1e8 + rng.normal(size=(90, D))
    rows = X, np.zeros((90, T)), np.ones(90)
    a, b, c = in_parts(rows, [10, 50])
    assert_allclose(a.merge(b).merge(c).deviation, X.std(axis=0), rtol=1e-7)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_extreme_units_do_not_overflow(rng, unit):
    X = rng.normal(size=(90, D))
    Y, weight = np.zeros((90, T)), np.ones(90)
    parts = [
        regression_statistics(
            lambda X: np.ones((len(X), K)), unit * X[rows], Y[rows], weight[rows], K
        )
        for rows in np.array_split(np.arange(90), 3)
    ]
    merged = parts[0].merge(parts[1]).merge(parts[2])
    assert_allclose(merged.deviation, unit * X.std(axis=0), rtol=1e-12)
    assert_allclose(merged.spread, unit * np.sqrt(X.var(axis=0).mean()), rtol=1e-12)


@pytest.mark.parametrize("shape", [(K + 1, T, D), (K, T + 1, D), (K, T, D + 1), (K + 1, T - 1, D)])
def test_other_shapes_are_refused(shape, rows):
    k, t, d = shape
    message = f"4 unknowns, 2 targets and 3 features.*{k}, {t} and {d}"
    with pytest.raises(ValueError, match=message):
        streamed(*rows).merge(Statistics.empty(k, t, d))


def test_unknowns_may_change(rows, rng):
    """Rows of R act on w; in ``w'^T = w^T C`` they act on w'."""
    statistics = streamed(*rows)
    change = rng.normal(size=(K, K)) + 3 * np.eye(K)
    w = rng.normal(size=K)
    other = statistics.in_other_unknowns(change)
    assert_allclose(other.design @ (w @ change), statistics.design @ w, atol=1e-10)
    assert_array_equal(other.targets, statistics.targets)
    back = other.in_other_unknowns(np.linalg.inv(change))
    assert_allclose(back.design, statistics.design, atol=1e-10)


def test_pickling(rows):
    statistics = streamed(*rows)
    copied = pickle.loads(pickle.dumps(statistics))
    assert_array_equal(copied.R, statistics.R)
    assert_same(copied.merge(copied), statistics.merge(statistics))


def test_through_an_operator(rows, rng):
    """Fewer rows than samples, each a combination of several."""
    X, _, _ = rows
    mixing = rng.normal(size=(20, 90))
    Y, weight = rng.normal(size=(20, T)), rng.uniform(size=20)
    weight[::4] = 0
    statistics = statistics_through(mixing @ functions(X), X, Y, weight)
    both = np.hstack([mixing @ functions(X), Y]) * np.sqrt(weight)[:, None]
    assert_allclose(statistics.R.T @ statistics.R, both.T @ both, rtol=1e-11, atol=1e-11)
    assert_allclose(statistics.weight, weight.sum())
    assert (statistics.n_unknowns, statistics.n_targets, statistics.n_rows) == (K, T, 90)
    assert_array_equal(statistics.low, X.min(axis=0))
    assert_allclose(statistics.deviation, X.std(axis=0))


def test_through_an_operator_with_outputs_that_are_tied(rows, rng):
    """Several rows of the design for each row of Y, whose entries make one target."""
    X, _, _ = rows
    design = rng.normal(size=(20 * T, K))
    Y, weight = rng.normal(size=(20, T)), rng.uniform(size=20)
    weight[::4] = 0
    statistics = statistics_through(design, X, Y, weight)
    both = np.column_stack([design, Y.ravel()]) * np.sqrt(np.repeat(weight, T))[:, None]
    assert_allclose(statistics.R.T @ statistics.R, both.T @ both, rtol=1e-11, atol=1e-11)
    assert_allclose(statistics.weight, weight.sum())
    assert (statistics.n_unknowns, statistics.n_targets) == (K, 1)
