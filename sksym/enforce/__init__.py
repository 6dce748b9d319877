"""Enforce: estimators of functions that have a known symmetry exactly."""

from sksym.enforce.invariants import InvariantFeatures
from sksym.enforce.ridge import SymmetricRidge, SymmetricRidgeCV
from sksym.enforce.scaler import SymmetricScaler

__all__ = ["InvariantFeatures", "SymmetricRidge", "SymmetricRidgeCV", "SymmetricScaler"]
