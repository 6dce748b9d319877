"""Discover symmetry, and use it."""

from sksym.discover.conserved import ConservedQuantities
from sksym.discover.symmetries import SymmetryDiscoverer

__all__ = ["ConservedQuantities", "SymmetryDiscoverer"]
