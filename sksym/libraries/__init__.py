"""What is fitted: finite-dimensional spaces of functions ``x -> coef @ phi(x)``.

A library is a scikit-learn transformer that also knows its derivative. `Library` is the abstract
one: it names the three methods that every library has (``fit``, ``transform``, ``jacobian``) and
the capabilities that some have, with defaults that work at sampled points.
"""

from sksym.libraries.adapters import AdaptedLibrary, as_library, from_pysindy, from_transformer
from sksym.libraries.default import DefaultLibrary
from sksym.libraries.formulas import library_formulas, plain_terms
from sksym.libraries.fourier import FourierLibrary
from sksym.libraries.library import (
    Library,
    NotClosedError,
    evaluate,
    fitted_values,
    input_names,
    library_values,
    needs_no_validation,
)
from sksym.libraries.monomials import Monomials
from sksym.libraries.numerical import central_differences, complex_step
from sksym.libraries.pairs import PairLibrary
from sksym.libraries.polynomial import PolynomialLibrary, power_of_two
from sksym.libraries.radial import RadialLibrary

__all__ = [
    "AdaptedLibrary",
    "DefaultLibrary",
    "FourierLibrary",
    "Library",
    "Monomials",
    "NotClosedError",
    "PairLibrary",
    "PolynomialLibrary",
    "RadialLibrary",
    "as_library",
    "central_differences",
    "complex_step",
    "evaluate",
    "fitted_values",
    "from_pysindy",
    "from_transformer",
    "input_names",
    "library_formulas",
    "library_values",
    "needs_no_validation",
    "plain_terms",
    "power_of_two",
]
