"""Enforce: estimators of functions that have a known symmetry exactly."""

from sksym.enforce.invariants import InvariantFeatures
from sksym.enforce.logistic import SymmetricLogisticRegression, SymmetricLogisticRegressionCV
from sksym.enforce.potential import SymmetricPotential
from sksym.enforce.ridge import SymmetricRidge, SymmetricRidgeCV
from sksym.enforce.scaler import SymmetricScaler

__all__ = [
    "InvariantFeatures",
    "SymmetricLogisticRegression",
    "SymmetricLogisticRegressionCV",
    "SymmetricPotential",
    "SymmetricRidge",
    "SymmetricRidgeCV",
    "SymmetricScaler",
]
