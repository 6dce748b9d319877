"""What counts as zero: how many symmetries data have, and which, with their uncertainty."""

from sksym.spectra.evidence import FittedEvidence, SampledEvidence, Spectrum
from sksym.spectra.fitted import (
    derivative_on,
    fitted_evidence,
    fitted_symmetries,
    motion,
    output_scale,
    pooled_spread,
    sandwich,
    symmetric_functions,
    weighted_factor,
)
from sksym.spectra.naming import algebra_name
from sksym.spectra.selection import (
    Verdict,
    check_rule,
    echelon,
    select,
    verdict,
    within_floor,
)
from sksym.spectra.snapping import (
    exact_forms,
    fitted_conjugate,
    in_units_of,
    readable,
    rounded,
)

__all__ = [
    "FittedEvidence",
    "SampledEvidence",
    "Spectrum",
    "Verdict",
    "algebra_name",
    "check_rule",
    "derivative_on",
    "echelon",
    "exact_forms",
    "fitted_conjugate",
    "fitted_evidence",
    "fitted_symmetries",
    "in_units_of",
    "motion",
    "output_scale",
    "pooled_spread",
    "readable",
    "rounded",
    "sandwich",
    "select",
    "symmetric_functions",
    "verdict",
    "weighted_factor",
    "within_floor",
]
