"""What is fitted: finite-dimensional spaces of functions ``x -> coef @ phi(x)``.

A library is a scikit-learn transformer that also knows its derivative:

* ``fit(X)``, ``transform(X)`` (n, p), ``get_feature_names_out()``: as in scikit-learn;
* ``jacobian(X)`` (n, p, d): derivatives of every function by every coordinate.

That is enough to be used. A library that is closed under some motions may add

* ``lie_matrices(algebra)`` (p, r p) sparse: the matrices ``D_a`` with
  ``d phi [A_a x + b_a] = D_a phi``, side by side; `NotClosedError` for other algebras;
* ``group_matrix(g)`` (p, p) sparse: ``phi(g x) = K phi(x)``; `NotClosedError` likewise;

and symmetry is then imposed on it exactly instead of on sampled points.
"""

from sksym.libraries.adapters import AdaptedLibrary, from_pysindy, from_transformer
from sksym.libraries.blocks import (
    NotClosedError,
    evaluate,
    fitted_values,
    input_names,
    library_values,
    n_functions,
    needs_no_validation,
    row_blocks,
)
from sksym.libraries.fourier import FourierLibrary
from sksym.libraries.polynomial import PolynomialLibrary
from sksym.libraries.radial import RadialLibrary

__all__ = [
    "AdaptedLibrary",
    "FourierLibrary",
    "NotClosedError",
    "PolynomialLibrary",
    "RadialLibrary",
    "evaluate",
    "fitted_values",
    "from_pysindy",
    "from_transformer",
    "input_names",
    "library_values",
    "n_functions",
    "needs_no_validation",
    "row_blocks",
]
