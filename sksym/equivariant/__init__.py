"""The space of symmetric functions: where its library is centred, its basis, regression in it."""

from sksym.equivariant.basis import equivariant_basis, output_matrices
from sksym.equivariant.centring import (
    centre_and_scale,
    constant_functions,
    nearest_fixed_point,
    place,
    probe_points,
)
from sksym.equivariant.elements import random_element
from sksym.equivariant.space import EquivariantSpace

__all__ = [
    "EquivariantSpace",
    "centre_and_scale",
    "constant_functions",
    "equivariant_basis",
    "nearest_fixed_point",
    "output_matrices",
    "place",
    "probe_points",
    "random_element",
]
