"""The public face: scikit-learn's own checks, and names that are there and documented."""

import inspect

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import sksym
from cases import ESTIMATORS

CONTRACT = """
LieAlgebra so se translations scaling gl sl aff sp lorentz poincare galilei VectorFields
vector_fields FiniteGroup reflections permutations cyclic trivial vector covector tensor direct_sum
PolynomialLibrary FourierLibrary RadialLibrary from_pysindy from_transformer LieDerivative
SymmetricRidge SymmetricRidgeCV InvariantFeatures NuclearNorm GroupNorm
"""


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", CONTRACT.split())
def test_contract_is_public(name):
    assert name in sksym.__all__


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
