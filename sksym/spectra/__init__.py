"""What counts as zero: how many symmetries data have, and which, with their uncertainty."""

from sksym.spectra.evidence import FittedEvidence, SampledEvidence, Spectrum
from sksym.spectra.naming import algebra_name
from sksym.spectra.selection import Verdict, echelon, select, verdict, within_floor
from sksym.spectra.snapping import exact_forms, fitted_conjugate, rounded

__all__ = [
    "FittedEvidence",
    "SampledEvidence",
    "Spectrum",
    "Verdict",
    "algebra_name",
    "echelon",
    "exact_forms",
    "fitted_conjugate",
    "rounded",
    "select",
    "verdict",
    "within_floor",
]
