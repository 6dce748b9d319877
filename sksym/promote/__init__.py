"""Promote: keep every candidate symmetry that the data do not contradict."""

from sksym.promote.path import SymmetryPromotingRegressorCV, symmetry_path
from sksym.promote.regressor import SymmetryPromotingRegressor

__all__ = ["SymmetryPromotingRegressor", "SymmetryPromotingRegressorCV", "symmetry_path"]
