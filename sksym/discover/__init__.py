"""Discover symmetry, and use it."""

from sksym.discover.conserved import ConservedQuantities
from sksym.discover.inspection import symmetry_report
from sksym.discover.report import SymmetryReport
from sksym.discover.symmetries import SymmetryDiscoverer

__all__ = ["ConservedQuantities", "SymmetryDiscoverer", "SymmetryReport", "symmetry_report"]
