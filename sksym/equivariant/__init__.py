"""The space of symmetric functions: where it is placed, its basis, and regression in it."""

from sksym.equivariant.basis import equivariant_basis, output_matrices
from sksym.equivariant.placement import on_features, place, placement
from sksym.equivariant.space import EquivariantSpace

__all__ = [
    "EquivariantSpace",
    "equivariant_basis",
    "on_features",
    "output_matrices",
    "place",
    "placement",
]
