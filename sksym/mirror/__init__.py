"""Mirror symmetries of the parameters, for sparse, grouped, low-rank and fused models.

A new kind of mirror derives from `MirrorKind` and returns `stack_mirrors` of its rows.
"""

from sksym.mirror.descent import MirrorSGDRegressor
from sksym.mirror.mirrors import exchange, groups, low_rank, rescaling, sum_zero, trend
from sksym.mirror.operators import Mirror, MirrorKind, MirrorOperators, stack_mirrors
from sksym.mirror.path import MirrorSparseRegressorCV, alpha_max, mirror_path
from sksym.mirror.regressor import MirrorSparseRegressor
from sksym.mirror.theory import (
    decay_threshold,
    is_mirror_symmetric,
    mirror_hessian_blocks,
    noise_exponents,
)

__all__ = [
    "Mirror",
    "MirrorKind",
    "MirrorOperators",
    "MirrorSGDRegressor",
    "MirrorSparseRegressor",
    "MirrorSparseRegressorCV",
    "alpha_max",
    "decay_threshold",
    "exchange",
    "groups",
    "is_mirror_symmetric",
    "low_rank",
    "mirror_hessian_blocks",
    "mirror_path",
    "noise_exponents",
    "rescaling",
    "stack_mirrors",
    "sum_zero",
    "trend",
]
