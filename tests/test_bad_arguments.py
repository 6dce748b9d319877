"""Constructors refuse what makes no sense when they are called, in words."""

import re

import numpy as np
import pytest
from sklearn.base import clone

import sksym as sk
from sksym.groups import Group
from sksym.mirror import Mirror, exchange, groups, low_rank, rescaling, sum_zero, trend

NO_COUNTS = [-1, 0, 1.5, 2.0, True, False, np.nan, np.inf, 1j, "2", None, [2], np.bool_(True)]
NO_WEIGHTS = [-1, True, np.nan, np.inf, -np.inf, 1j, "2", None]
X = np.random.default_rng(0).normal(size=(9, 3))

COUNTS = {
    "so": sk.so,
    "se": sk.se,
    "translations": sk.translations,
    "gl": sk.gl,
    "sl": sk.sl,
    "aff": sk.aff,
    "sp": sk.sp,
    "lorentz": sk.lorentz,
    "poincare": sk.poincare,
    "galilei": sk.galilei,
    "reflections": sk.reflections,
    "permutations": sk.permutations,
    "blocks": lambda k: sk.permutations(2, block=k),
    "signed permutations": sk.signed_permutations,
    "dimension of cyclic": lambda d: sk.cyclic(d, 3),
    "points of an algebra": lambda k: sk.so(2).repeat(k),
    "points of a finite group": lambda k: sk.reflections(2).repeat(k),
    "points of a group": lambda k: (sk.so(2) + sk.reflections(2)).repeat(k),
    "trivial": sk.trivial,
}

WEIGHTS = {
    "nuclear": sk.NuclearNorm,
    "groups": sk.GroupNorm,
    "many": lambda a: sk.GroupNorm(np.array([1.0, a], dtype=type(a) if a == 1j else None)),
}

MIRROR_WEIGHTS = {
    "rescaling": lambda w: rescaling(weight=w),
    "exchange": lambda w: exchange([(0, 1)], w),
    "trend": lambda w: trend(1, weight=w),
    "sum": lambda w: sum_zero([0, 1], w),
    "rank": low_rank,
    "own": lambda w: Mirror([1, 1, 0], w),
}


@pytest.mark.parametrize("value", NO_COUNTS, ids=repr)
@pytest.mark.parametrize("name", COUNTS)
def test_counts(name, value):
    with pytest.raises((ValueError, TypeError), match=f"got .*{re.escape(repr(value))}"):
        COUNTS[name](value)


@pytest.mark.parametrize("value", NO_COUNTS[:-1], ids=repr)
def test_orders_of_cyclic_groups(value):
    if value == 2 and value is not True:
        assert sk.cyclic(3, value).order == 2
        return
    if value is True:
        value = 0.5
    with pytest.raises(ValueError, match="whole number order >= 1"):
        sk.cyclic(3, value)


@pytest.mark.parametrize("value", NO_WEIGHTS, ids=repr)
@pytest.mark.parametrize("name", WEIGHTS)
def test_penalties(name, value):
    if name == "many" and value is True:
        return  # an array of floats holds it as 1
    with pytest.raises(ValueError, match=r"finite numbers? >= 0"):
        WEIGHTS[name](value)


@pytest.mark.parametrize("sizes", [[0], [-1], [1.5], [np.nan], ["1"], [True]], ids=repr)
def test_sizes_of_blocks(sizes):
    with pytest.raises(ValueError, match="`sizes` must be integers >= 1"):
        sk.GroupNorm(1.0, np.array(sizes))


@pytest.mark.parametrize("value", NO_WEIGHTS, ids=repr)
@pytest.mark.parametrize("name", MIRROR_WEIGHTS)
def test_weights_of_mirrors(name, value):
    mirrors = MIRROR_WEIGHTS[name](value)
    with pytest.raises(ValueError, match="`weight` must be"):
        sk.MirrorSparseRegressor(mirrors).fit(X, X[:, 0])


@pytest.mark.parametrize(
    "columns", [(-1,), (1.5,), (True,), ("a",), (np.nan,), (), (0, 0)], ids=str
)
def test_columns_of_representations(columns):
    with pytest.raises(ValueError, match="distinct indices of columns"):
        sk.columns(*columns)


@pytest.mark.parametrize("column", [True, [0], None, 1.5], ids=repr)
def test_columns_of_mirrors(column):
    with pytest.raises(TypeError, match="by index or by name"):
        sk.MirrorSparseRegressor(rescaling([0, column])).fit(X, X[:, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1j, "a", np.datetime64("2020")], ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda v: sk.LieAlgebra([[[0, v], [1, 0]]]),
        lambda v: sk.LieAlgebra(np.zeros((1, 1, 1)), [[v]]),
        lambda v: sk.FiniteGroup([[[0, v], [1, 0]]]),
        lambda v: sk.scaling([v, v]),
        lambda v: sk.so(2).combine([[v]]),
        lambda v: sk.so(2).exp([v]),
    ],
    ids=["generators", "offsets", "elements", "scaling", "combine", "exp"],
)
def test_numbers_of_symmetries(make, value):
    if isinstance(value, np.datetime64):
        # Numpy itself mixes no times with numbers.
        return
    with pytest.raises(ValueError, match=r"NaN or infinity|finite|is complex|array of numbers"):
        make(value)


def test_steps_that_overflow():
    with pytest.raises(ValueError, match="overflows"):
        sk.gl(2).exp([1e300, 0, 0, 0])


@pytest.mark.parametrize("weights", [[], np.ones((2, 2, 2)), 1j, "1"], ids=list("abcd"))
def test_weights_of_scalings(weights):
    with pytest.raises(ValueError, match="`weights`"):
        sk.scaling(weights)


def test_parts_of_representations():
    for parts in [(1, sk.vector), (sk.vector, None), (sk.so(2), sk.vector)]:
        with pytest.raises(TypeError, match="made of representations"):
            sk.tensor(*parts)
        with pytest.raises(TypeError, match="made of representations"):
            sk.direct_sum(*parts)
    with pytest.raises(TypeError, match="must be a LieAlgebra"):
        Group(3)


LIBRARIES = {
    "degree": (lambda v: sk.PolynomialLibrary(v), [-1, 1.5, True, np.nan, "2", None]),
    "center": (lambda v: sk.PolynomialLibrary(center=v), [np.nan, np.inf, 1j, "2", True]),
    "scale": (lambda v: sk.PolynomialLibrary(scale=v), [-1, 0, np.nan, np.inf, 1j, "2", True]),
    "domain": (lambda v: sk.PolynomialLibrary(domain=v), [1, (0, np.nan), ("0", "1"), (None, 1)]),
    "n_frequencies": (lambda v: sk.FourierLibrary(v), [-1, 1.5, True, np.nan, "2", None]),
    "powers": (lambda v: sk.RadialLibrary(powers=v), [1, (), ("2",), (True,), (np.nan,), (1j,)]),
    "degree of radial": (lambda v: sk.RadialLibrary(degree=v), [-1, 1.5, True, "2", None]),
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, (_, values) in LIBRARIES.items() for value in values],
    ids=str,
)
def test_libraries_refuse_and_keep_what_they_were(name, value):
    make, _ = LIBRARIES[name]
    library = make(value)
    with pytest.raises(ValueError, match=f"`{name.split()[0]}` must"):
        library.fit(X)
    good = type(library)().fit(X)
    before = {key: entry for key, entry in vars(good).items() if key.endswith("_")}
    good.set_params(**library.get_params())
    with pytest.raises(ValueError, match="must"):
        good.fit(X[:, :2] * 7)
    after = {key: entry for key, entry in vars(good).items() if key.endswith("_")}
    assert list(after) == list(before)
    assert all(after[key] is before[key] for key in before)


def test_legal_edges_stay_legal():
    assert sk.so(1).dim == 0
    assert sk.so(np.int64(3)).dim == 3
    assert sk.cyclic(2, 4.0).names == ("1/4 turn",)
    assert sk.NuclearNorm(0).value(np.eye(2)) == 0
    assert sk.GroupNorm(np.array([0.0, 1.0])).value(np.eye(2)) == 1
    assert sk.PolynomialLibrary(np.int64(1)).fit(X).n_output_features_ == 4
    assert sk.direct_sum(sk.trivial(1), sk.vector)(sk.so(2)).shape == (1, 3, 3)
    assert groups([[0]]) is not None
    assert clone(sk.RadialLibrary((0, 1))).fit(X).powers == (0, 1)
