"""What counts as zero: how many symmetries data have, and which, with their uncertainty."""

from sksym.spectra.evidence import FittedEvidence, SampledEvidence, Spectrum
from sksym.spectra.naming import algebra_name
from sksym.spectra.selection import (
    Verdict,
    check_rule,
    echelon,
    select,
    verdict,
    within_floor,
)
from sksym.spectra.snapping import exact_forms, fitted_conjugate, in_units_of, rounded

__all__ = [
    "FittedEvidence",
    "SampledEvidence",
    "Spectrum",
    "Verdict",
    "algebra_name",
    "check_rule",
    "echelon",
    "exact_forms",
    "fitted_conjugate",
    "in_units_of",
    "rounded",
    "select",
    "verdict",
    "within_floor",
]
