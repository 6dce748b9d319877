"""Solvers: quadratic problems in a subspace, and least squares with convex penalties."""

from sksym.solvers.admm import Term, penalised_least_squares
from sksym.solvers.problem import LeastSquares, Solution, certificate, largest_alpha
from sksym.solvers.reference import solve_with_cvxpy
from sksym.solvers.ridge import ridge_in_subspace

__all__ = [
    "LeastSquares",
    "Solution",
    "Term",
    "certificate",
    "largest_alpha",
    "penalised_least_squares",
    "ridge_in_subspace",
    "solve_with_cvxpy",
]
