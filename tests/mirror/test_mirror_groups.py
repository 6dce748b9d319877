"""Groups of columns by name: prefixes, functions, levels that are missing, labels that are none."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sksym import MirrorSparseRegressor, MirrorSparseRegressorCV
from sksym.mirror import groups
from sksym.mirror.operators import mirror_operators

NAMES = ["age", "pet_cat", "pet_dog", "home_town", "pet_rat", "home"]
BY_PREFIX = [{"age"}, {"pet_cat", "pet_dog", "pet_rat"}, {"home_town"}, {"home"}]


def members(mirrors, names=NAMES):
    """Sets of the names of the columns of each mirror, and the weights."""
    operators = mirror_operators([mirrors], names)
    ends = np.cumsum(operators.sizes)[:-1]
    columns = [names[j] for j in operators.K.indices]
    return list(map(set, np.split(np.array(columns, dtype=object), ends))), operators


def first_word(name):
    return name.split("_")[0]


def pets(n=40):
    """A table of which one level is rare: some folds do not see it."""
    rng = np.random.default_rng(0)
    pet = rng.choice(["cat", "dog", "rat"], size=n)
    pet[0] = "axolotl"
    home = rng.choice(["town", "country"], size=n)
    table = pd.DataFrame({"age": rng.normal(size=n), "pet": pet, "home": home})
    return table, (pet == "cat") + table["age"] + 0.1 * rng.normal(size=n)


def encoded(model):
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    columns = make_column_transformer(
        (encoder, ["pet", "home"]), remainder="passthrough", verbose_feature_names_out=False
    )
    return make_pipeline(columns.set_output(transform="pandas"), model)


def test_a_prefix_makes_groups():
    sets, operators = members(groups(prefix="_"))
    assert sorted(sets, key=sorted) == sorted(BY_PREFIX, key=sorted)
    assert sorted(operators.names) == ["age", "home", "home", "pet"]
    np.testing.assert_allclose(operators.weights, np.sqrt(operators.sizes))
    deep, _ = members(groups(prefix="__"), ["a__b__c", "a__b__d", "a__c"])
    assert deep == [{"a__c"}, {"a__b__c", "a__b__d"}]


def test_a_function_of_the_name_makes_groups():
    sets, operators = members(groups(first_word))
    assert sets == [{"age"}, {"home", "home_town"}, {"pet_cat", "pet_dog", "pet_rat"}]
    assert operators.names == ["age", "home", "pet"]
    assert len(members(groups(len))[0]) == 4


@pytest.mark.parametrize(
    "given",
    [
        {"pets": ["pet_cat", "pet_cow"], "none": ["pet_cow"], "age": ["age"]},
        [["pet_cat", "pet_cow"], ["pet_cow"], ["age"]],
        {"pet_cat": 0, "pet_cow": 1, "age": 2},
    ],
    ids=["dict", "lists", "labels by name"],
)
def test_missing_names_are_left_out(given):
    sets, operators = members(groups(given))
    assert sets == [{"pet_cat"}, {"age"}]
    np.testing.assert_array_equal(operators.weights, [1.0, 1.0])


def test_weights_follow_their_groups():
    _, operators = members(groups([["pet_cow"], ["age"], ["pet_cat", "pet_dog"]], [5.0, 3.0, 2.0]))
    np.testing.assert_array_equal(operators.weights, [3.0, 2.0])


@pytest.mark.parametrize(
    "mirrors",
    [
        groups(prefix="_"),
        groups(first_word),
        groups({"pet": ["pet_cat", "pet_dog", "pet_rat", "pet_axolotl"], "age": ["age"]}),
        groups({"pet_cat": "pet", "pet_axolotl": "rare", "home_town": "home", "age": "age"}),
    ],
    ids=["prefix", "function", "sets", "labels by name"],
)
def test_rare_levels_under_cross_validation(mirrors):
    X, y = pets()
    model = encoded(MirrorSparseRegressor(mirrors, alpha=0.01))
    scores = cross_val_score(clone(model), X, y, cv=10)
    assert scores.shape == (10,)
    assert scores.min() > 0.5
    inner = encoded(MirrorSparseRegressorCV(mirrors, alphas=4, cv=3))
    assert cross_val_score(inner, X, y, cv=4).min() > 0.5


@pytest.mark.parametrize("label", [-1, np.nan, None, pd.NA, -1.0])
@pytest.mark.parametrize("by_name", [False, True])
def test_labels_of_no_group_are_refused(label, by_name):
    labels = [0, 1, label, 0, 1, 1]
    if by_name:
        labels = dict(zip(NAMES, labels, strict=True))
    with pytest.raises(ValueError, match=r"names or numbers >= 0, got .*'pet_dog'"):
        members(groups(labels))


def test_labels_of_an_array_are_checked():
    with pytest.raises(ValueError, match=r"got .*nan"):
        members(groups(np.array([0, 1, np.nan, 0, 1, 1])))
    with pytest.raises(ValueError, match=r"got .*-1"):
        members(groups(np.array([0, 1, -1, 0, 1, 1])))


@pytest.mark.parametrize(
    "given", [{"a": ["cow"], "b": ["hen"]}, [["cow"]], {"cow": 1, "hen": 2}], ids=str
)
def test_names_that_are_all_missing_are_a_mistake(given):
    with pytest.raises(ValueError, match=r"None of the columns .*cow.* is among the features"):
        members(groups(given))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either columns or a prefix"),
        ({"columns": [0, 1], "prefix": "_"}, "either columns or a prefix"),
        ({"prefix": ""}, "must be a separator"),
        ({"prefix": 3}, "must be a separator"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        groups(**arguments)
