"""The space of symmetric functions: where it is placed, its basis, and regression in it."""

from sksym.equivariant.basis import equivariant_basis, output_matrices
from sksym.equivariant.placement import (
    constant_functions,
    on_features,
    place,
    placement,
    probe_points,
)
from sksym.equivariant.space import EquivariantSpace

__all__ = [
    "EquivariantSpace",
    "constant_functions",
    "equivariant_basis",
    "on_features",
    "output_matrices",
    "place",
    "placement",
    "probe_points",
]
