"""How sure: what counts as zero, how many symmetries data have, and which.

Every kind of data ends in a matrix whose columns belong to the candidates and whose rows are
tests: the generators along which little changes are its small singular vectors, relative to how
far they move the data (`Spectrum`). Two kinds of evidence know the noise of that matrix:
`FittedEvidence` from the covariance of fitted coefficients, `SampledEvidence` from errors that
were estimated sample by sample. Both answer what `verdict` needs: is a set of generators
compatible with zero (`floor_test`), and how do they move with the noise (`changes`).
"""

from sksym.evidence.coefficients import Estimate
from sksym.evidence.defects import UNKNOWN, Defect
from sksym.evidence.fitted import FittedEvidence
from sksym.evidence.joint_fit import joint_fit
from sksym.evidence.regression import (
    CountingRule,
    FunctionSamples,
    decide,
    derivative_on_data,
    library_statistics,
    motion,
    output_scale,
    pooled_spread,
    symmetries_of_function,
)
from sksym.evidence.rounding import exact_forms, in_units_of, readable, rounded
from sksym.evidence.sampled import SampledEvidence
from sksym.evidence.sandwich import sandwich
from sksym.evidence.selection import (
    Verdict,
    check_rule,
    echelon,
    echelon_form,
    select,
    verdict,
    within_floor,
)
from sksym.evidence.spectrum import Spectrum

__all__ = [
    "UNKNOWN",
    "CountingRule",
    "Defect",
    "Estimate",
    "FittedEvidence",
    "FunctionSamples",
    "SampledEvidence",
    "Spectrum",
    "Verdict",
    "check_rule",
    "decide",
    "derivative_on_data",
    "echelon",
    "echelon_form",
    "exact_forms",
    "in_units_of",
    "joint_fit",
    "library_statistics",
    "motion",
    "output_scale",
    "pooled_spread",
    "readable",
    "rounded",
    "sandwich",
    "select",
    "symmetries_of_function",
    "verdict",
    "within_floor",
]
