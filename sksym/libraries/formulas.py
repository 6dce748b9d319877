"""Functions of a library as formulas that can be read."""

import numpy as np

from sksym.groups import linear_combination
from sksym.libraries.library import input_names

_TERMS = 6  # that are written of each function
_DIGITS = 6


def library_formulas(model, input_features=None):
    """Return the rows of ``model.coef_`` as formulas, long ones cut.

    Parameters
    ----------
    model : fitted estimator
        With functions `coef_` (k, p) of a `library_`.
    input_features : sequence of str, default=None
        Names of the columns; None: those seen in ``fit``.

    Returns
    -------
    ndarray of shape (k,) of str
        Sums of the plain functions that the names of the library show.
    """
    library = model.library_
    inputs = input_names(model, input_features)
    inputs = _names_about(library.name_center(), inputs)
    names = library.get_feature_names_out(inputs)
    formulas = []
    # The names show plain functions; the library's own differ from them by known factors.
    for row in model.coef_ * library.name_sizes():
        text = linear_combination(row, names, _DIGITS, _TERMS)
        n_terms = np.count_nonzero(row)
        if n_terms > _TERMS:
            text += f" ({n_terms} terms)"
        formulas.append(text)
    return np.array(formulas, dtype=object)


def _names_about(center, names):
    """Return the names of the inputs as seen from a centre (d,): ``(x0 - 1.5)``."""
    shifted = []
    for name, c in zip(names, center, strict=True):
        if c != 0:
            sign = "-" if c > 0 else "+"
            name = f"({name} {sign} {abs(c):.4g})"
        shifted.append(name)
    return shifted
