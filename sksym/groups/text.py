"""Text of vector fields and functions: the one printer of linear combinations."""

import numpy as np

_SHOWN = 5  # generators or elements in a repr


def listed(names, nothing="none"):
    """Write the first of some names, dots for the others, or `nothing` where there are none."""
    shown = ", ".join(names[:_SHOWN]) or nothing
    dots = ", ..." if len(names) > _SHOWN else ""
    return f"{shown}{dots}"


def linear_combination(coefficients, terms, digits=4, most=8, ones=False):
    """Write ``2 x0 ∂1 - x1 ∂0`` from coefficients (k,) and the names of k terms.

    Parameters
    ----------
    coefficients : ndarray of shape (k,)
        Zeros are left out.
    terms : sequence of k str
        The term "1" is a constant: its coefficient stands alone.
    digits : int
        Significant digits.
    most : int or None
        Terms that are written; dots stand for the others.
    ones : bool
        Whether a coefficient of one is written.
    """
    nonzero = np.flatnonzero(coefficients)
    text = ""
    for k in nonzero[:most]:
        value = coefficients[k]
        if text:
            text += " - " if value < 0 else " + "
        elif value < 0:
            text = "-"
        text += _term(f"{abs(value):.{digits}g}", terms[k], ones)
    if most is not None and len(nonzero) > most:
        text += " + ..."
    return text or "0"


def _term(size, term, ones):
    """Write one term: its size, its name, or both."""
    if term == "1":
        return size
    if size == "1" and not ones:
        return term
    return f"{size} {term}"
