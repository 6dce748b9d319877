"""Pictures of what was found; matplotlib is imported only by what draws."""

from sksym.plotting.mirrors import MirrorPathDisplay
from sksym.plotting.paths import SymmetryPathDisplay
from sksym.plotting.symmetries import SymmetryDisplay

__all__ = ["MirrorPathDisplay", "SymmetryDisplay", "SymmetryPathDisplay"]
