"""Dynamical systems: trajectories, and sparse identification with symmetry."""

from sksym.dynamics.sindy import SymmetryPromotingSINDy
from sksym.dynamics.trajectories import differentiate, split_trajectories, stack_trajectories
from sksym.dynamics.weak_sindy import WeakSymmetryPromotingSINDy

__all__ = [
    "SymmetryPromotingSINDy",
    "WeakSymmetryPromotingSINDy",
    "differentiate",
    "split_trajectories",
    "stack_trajectories",
]
