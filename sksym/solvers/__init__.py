"""Solvers: quadratic problems in a subspace, and least squares with convex penalties."""

from sksym.solvers.admm import Term, penalised_least_squares
from sksym.solvers.newton import BlockNorm, SpectralNorm, duality_gap, proximal_newton
from sksym.solvers.problem import LeastSquares, Solution, certificate, largest_alpha
from sksym.solvers.reference import solve_with_cvxpy
from sksym.solvers.ridge import ridge_in_subspace
from sksym.solvers.taut_string import taut_string
from sksym.solvers.working_set import Design, block_least_squares

__all__ = [
    "BlockNorm",
    "Design",
    "LeastSquares",
    "Solution",
    "SpectralNorm",
    "Term",
    "block_least_squares",
    "certificate",
    "duality_gap",
    "largest_alpha",
    "penalised_least_squares",
    "proximal_newton",
    "ridge_in_subspace",
    "solve_with_cvxpy",
    "taut_string",
]
