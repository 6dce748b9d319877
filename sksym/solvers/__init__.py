"""Solvers: norms, and the iterations for least squares with norms."""

from sksym.solvers.admm import penalised_least_squares
from sksym.solvers.least_squares import LeastSquares, certificate, largest_alpha
from sksym.solvers.newton import proximal_newton
from sksym.solvers.norms import GroupNorm, NuclearNorm
from sksym.solvers.reference import solve_with_cvxpy
from sksym.solvers.ridge import ridge_of_spread
from sksym.solvers.solution import Solution, duality_gap
from sksym.solvers.taut_string import taut_string
from sksym.solvers.terms import Term
from sksym.solvers.working_set import Design, block_least_squares

__all__ = [
    "Design",
    "GroupNorm",
    "LeastSquares",
    "NuclearNorm",
    "Solution",
    "Term",
    "block_least_squares",
    "certificate",
    "duality_gap",
    "largest_alpha",
    "penalised_least_squares",
    "proximal_newton",
    "ridge_of_spread",
    "solve_with_cvxpy",
    "taut_string",
]
