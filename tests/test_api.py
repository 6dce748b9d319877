"""The public face: scikit-learn's own checks, and names that are there and documented."""

import doctest
import importlib
import inspect
import pkgutil
import re
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_X_y

import sksym
from cases import ESTIMATORS, MORE_ESTIMATORS

CONTRACT = """
LieAlgebra so se translations scaling gl sl aff sp lorentz poincare galilei VectorFields
vector_fields FiniteGroup Group columns reflections permutations cyclic trivial vector covector
tensor direct_sum PolynomialLibrary FourierLibrary RadialLibrary from_pysindy from_transformer
LieDerivative SymmetricRidge SymmetricRidgeCV InvariantFeatures SymmetryDiscoverer
SymmetricLogisticRegression SymmetricLogisticRegressionCV SymmetricPotential PairLibrary
ConservedQuantities SymmetryDisplay NuclearNorm GroupNorm SymmetryPromotingRegressor
SymmetryPromotingRegressorCV symmetry_path SymmetryPathDisplay SymmetryPromotingSINDy
WeakSymmetryPromotingSINDy MirrorSparseRegressor MirrorSparseRegressorCV MirrorSGDRegressor
MirrorPathDisplay mirror_path
"""


# Some checks fit labels of data that a few polynomials separate, or too few samples; and no columns
# of theirs are points of space.
@pytest.mark.filterwarnings("ignore:`symmetry` rotates all")
@pytest.mark.filterwarnings("ignore:The library separates the classes")
@pytest.mark.filterwarnings("ignore:The samples do not determine the function")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.extended
@pytest.mark.filterwarnings("ignore:`symmetry` rotates all")
@pytest.mark.filterwarnings("ignore:The library separates the classes")
@pytest.mark.filterwarnings("ignore:The samples do not determine the function")
@parametrize_with_checks(MORE_ESTIMATORS)
def test_scikit_learn_checks_of_other_parameters(estimator, check):
    check(estimator)


class ConservedAlongOneField(sksym.ConservedQuantities):
    """Takes the one-dimensional y of the checks: the speed of all states along one field."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        tags.target_tags.single_output = True
        return tags

    def fit(self, X, y=None, sample_weight=None):
        if y is not None:
            X, y = check_X_y(X, y, y_numeric=True, estimator=self)
            y = np.outer(y - y.min() + 1, np.arange(1, X.shape[1] + 1))
        return super().fit(X, y, sample_weight)


@pytest.mark.filterwarnings("ignore:No function of the library is conserved")
@parametrize_with_checks([ConservedAlongOneField(sksym.PolynomialLibrary(1, columns=[0]))])
def test_scikit_learn_checks_of_conserved_quantities(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", CONTRACT.split())
def test_contract_is_public(name):
    assert inspect.getdoc(getattr(sksym, name))


def test_every_public_estimator_is_checked():
    """The SINDy estimators and the optimizer are, in tests/dynamics/test_dynamics_api.py."""
    checked = {type(estimator) for estimator in ESTIMATORS}
    checked |= {
        sksym.ConservedQuantities,
        sksym.SymmetryPromotingSINDy,
        sksym.WeakSymmetryPromotingSINDy,
    }
    things = (getattr(sksym, name) for name in sksym.__all__)
    assert {t for t in things if inspect.isclass(t) and issubclass(t, BaseEstimator)} <= checked


def test_all_is_sorted_and_true():
    assert sorted(sksym.__all__) == list(sksym.__all__)
    assert all(hasattr(sksym, name) for name in sksym.__all__)


@pytest.mark.parametrize("name", sksym.__all__)
def test_every_public_name_is_documented(name):
    thing = getattr(sksym, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        methods = [m for k, m in vars(thing).items() if inspect.isfunction(m) and k[0] != "_"]
        assert all(inspect.getdoc(method) for method in methods)


ESTIMATOR_CLASSES = {type(estimator): estimator for estimator in ESTIMATORS}
DATA = (sksym.LieAlgebra, sksym.FiniteGroup, sksym.Group, sksym.VectorFields)


@pytest.mark.parametrize("kind", [*ESTIMATOR_CLASSES, *DATA], ids=lambda kind: kind.__name__)
def test_every_parameter_is_documented(kind):
    _, section = inspect.getdoc(kind).split("Parameters\n----------\n")
    listed = re.split(r"\n\n(?=\w+\n---)", section)[0]
    names = re.findall(r"^(\w[\w, ]*?)(?: :|$)", listed, flags=re.M)
    listed = [name for group in names for name in group.split(", ")]
    assert sorted(listed) == sorted(inspect.signature(kind).parameters)


@pytest.mark.parametrize("kind", ESTIMATOR_CLASSES, ids=lambda kind: kind.__name__)
def test_public_fitted_attributes_are_documented(kind):
    X = np.random.default_rng(0).normal(size=(30, 3))
    y = X[:, 0] > 0 if is_classifier(ESTIMATOR_CLASSES[kind]) else X[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = ESTIMATOR_CLASSES[kind].fit(X, y)
    public = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    public -= {"n_features_in_", "feature_names_in_"}  # every estimator has them
    doc = inspect.getdoc(kind)
    assert not {name for name in public if not re.search(rf"\b{name}\b", doc)}


def modules():
    names = (m.name for m in pkgutil.walk_packages(sksym.__path__, "sksym."))
    return ["sksym", *(name for name in names if "._" not in name)]


@pytest.mark.parametrize("name", modules())
def test_docstrings_run(name):
    """What the docstrings show is what happens."""
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_there_are_examples_in_docstrings():
    found = doctest.DocTestFinder().find(sksym.SymmetricRidge)
    assert sum(len(test.examples) for test in found) > 3


@pytest.mark.parametrize("name", modules())
def test_public_code_is_documented(name):
    module = importlib.import_module(name)
    assert inspect.getdoc(module)
    own = [
        thing
        for key, thing in vars(module).items()
        if key[0] != "_" and getattr(thing, "__module__", None) == name
    ]
    assert all(inspect.getdoc(thing) for thing in own)


@pytest.mark.parametrize(
    "estimator", [*ESTIMATORS, *MORE_ESTIMATORS], ids=lambda estimator: type(estimator).__name__
)
def test_estimators_only_store_what_they_are_given(estimator):
    """And all of it is reached by ``set_params``."""
    assert isinstance(estimator, BaseEstimator)
    given = inspect.signature(type(estimator)).parameters
    assert set(estimator.get_params(deep=False)) == set(given)
    marks = {name: object() for name in given}
    fresh = type(estimator)(**marks)
    assert all(getattr(fresh, name) is mark for name, mark in marks.items())
