"""Functions of a library as formulas that can be read."""

import numpy as np

from sksym.groups import linear_combination
from sksym.libraries.library import input_names

_TERMS = 6  # that are written of each function
_DIGITS = 6


def library_formulas(model, input_features=None, shift=0.0):
    """Return the rows of ``model.coef_`` as formulas, long ones cut.

    Parameters
    ----------
    model : fitted estimator
        With functions `coef_` (k, p) of a `library_`.
    input_features : sequence of str, default=None
        Names of the columns; None: those seen in ``fit``.
    shift : float or ndarray of shape (d,), default=0.0
        A translation that leaves the functions unchanged, and need not be written.

    Returns
    -------
    ndarray of shape (k,) of str
        Sums of the plain functions that the names of the library show.
    """
    names, coef = plain_terms(model, model.coef_, input_features, shift)
    formulas = []
    for row in coef:
        text = linear_combination(row, names, _DIGITS, _TERMS)
        n_terms = np.count_nonzero(row)
        if n_terms > _TERMS:
            text += f" ({n_terms} terms)"
        formulas.append(text)
    return np.array(formulas, dtype=object)


def plain_terms(model, coef, input_features=None, shift=0.0):
    """Return functions in the plain terms that the names of a library show.

    Parameters
    ----------
    model : fitted estimator
        With a `library_`.
    coef : ndarray of shape (k, p)
    input_features : sequence of str, default=None
        Names of the columns; None: those seen in ``fit``.
    shift : float or ndarray of shape (d,), default=0.0
        As in `library_formulas`.

    Returns
    -------
    names : ndarray of shape (p,) of str
    coef : ndarray of shape (k, p)
    """
    library = model.library_
    inputs = input_names(model, input_features)
    inputs = _names_about(library.name_center() - shift, inputs)
    names = library.get_feature_names_out(inputs)
    # The library's own functions differ from the plain ones by known factors.
    return names, coef * library.name_sizes()


def _names_about(center, names):
    """Return the names of the inputs as seen from a centre (d,): ``(x0 - 1.5)``."""
    shifted = []
    for name, c in zip(names, center, strict=True):
        if c != 0:
            sign = "-" if c > 0 else "+"
            name = f"({name} {sign} {abs(c):.4g})"
        shifted.append(name)
    return shifted
