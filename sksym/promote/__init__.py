"""Promote: keep every candidate symmetry that the data do not contradict."""

from sksym.promote.path import SymmetryPromotingRegressorCV, symmetry_path
from sksym.promote.problem import PromotionProblem, without_enforced
from sksym.promote.refit import PromotionSamples, fit_promoted
from sksym.promote.regressor import SymmetryPromotingRegressor
from sksym.promote.reweighting import SolverOptions, promote

__all__ = [
    "PromotionProblem",
    "PromotionSamples",
    "SolverOptions",
    "SymmetryPromotingRegressor",
    "SymmetryPromotingRegressorCV",
    "fit_promoted",
    "promote",
    "symmetry_path",
    "without_enforced",
]
