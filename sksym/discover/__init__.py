"""Discover symmetry, and use it."""

from sksym.discover.conserved import ConservedQuantities
from sksym.discover.invariants import InvariantFeatures
from sksym.discover.symmetries import SymmetryDiscoverer

__all__ = ["ConservedQuantities", "InvariantFeatures", "SymmetryDiscoverer"]
