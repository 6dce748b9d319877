"""Functions of a library as formulas that can be read."""

import numpy as np

from sksym.libraries import PolynomialLibrary, input_names

_NAMED_TERMS = 6


def library_formulas(model, input_features):
    """Return the rows of ``model.coef_`` as formulas, long ones cut.

    Parameters
    ----------
    model : fitted estimator
        With functions `coef_` (k, p) of a `library_`.
    input_features : sequence of str, or None
        Names of the columns; None: those seen in ``fit``.

    Returns
    -------
    ndarray of shape (k,) of str
        Sums of the plain functions that the names of the library show.
    """
    names = model.library_.get_feature_names_out(_names_from_center(model, input_features))
    rows = model.coef_ * function_sizes(model.library_)
    return np.array([_formula(row, names) for row in rows], dtype=object)


def function_sizes(library):
    """Return the factor (p,) of every library function in the plain function that its name shows.

    Monomials are scaled to the cube of the library and to a norm of their own.
    """
    if isinstance(library, PolynomialLibrary):
        table = library.monomials_
        cube = np.prod(library.scale_**table.exponents, axis=1)
        return table.fischer / cube
    return np.ones(library.n_output_features_)


def _names_from_center(model, input_features):
    """Return the names of the inputs as seen from the centre of the library: ``(x0 - 1.5)``."""
    names = input_names(model, input_features)
    centers = getattr(model.library_, "center_", np.zeros(len(names)))
    shifted = []
    for name, center in zip(names, centers, strict=True):
        if center != 0:
            sign = "-" if center > 0 else "+"
            name = f"({name} {sign} {abs(center):.4g})"
        shifted.append(name)
    return shifted


def _formula(row, names):
    """Return the sum of the functions `names` (p,), each with its coefficient in `row` (p,)."""
    indices = np.flatnonzero(row)
    text = ""
    for k in indices[:_NAMED_TERMS]:
        sign = "-" if row[k] < 0 else "+"
        size = f"{abs(row[k]):.6g}"
        if size == "1":
            text += f" {sign} {names[k]}"
        else:
            text += f" {sign} {size} {names[k]}"
    # The first term has no sign, or one without spaces.
    text = text.removeprefix(" + ")
    if text.startswith(" - "):
        text = "-" + text.removeprefix(" - ")
    if len(indices) > _NAMED_TERMS:
        text += f" + ... ({len(indices)} terms)"
    return text
