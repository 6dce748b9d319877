"""Linear algebra that the library stands on; numpy and scipy alone."""

from sksym._linalg.balancing import balance, balancing_units, matrix_norms
from sksym._linalg.columns import column_indices
from sksym._linalg.machine import available_memory, one_thread, require_memory, row_blocks
from sksym._linalg.null_space import affine_solution, null_space, spectral_bound
from sksym._linalg.plain_state import PlainState
from sksym._linalg.rank import (
    EPS,
    independent_rows,
    merge_rows,
    numerical_rank,
    orthonormal_rows,
    pivoted_echelon,
    reduced_echelon,
    row_components,
)

__all__ = [
    "EPS",
    "PlainState",
    "affine_solution",
    "available_memory",
    "balance",
    "balancing_units",
    "column_indices",
    "independent_rows",
    "matrix_norms",
    "merge_rows",
    "null_space",
    "numerical_rank",
    "one_thread",
    "orthonormal_rows",
    "pivoted_echelon",
    "reduced_echelon",
    "require_memory",
    "row_blocks",
    "row_components",
    "spectral_bound",
]
