"""Powers of two as units of data: dividing by them is exact, and squares stay in range.

Products of several units, such as penalties and squared errors, may lie beyond the numbers that a
float holds although the data do not: `as_float` keeps those as long doubles.
"""

import numpy as np

_SMALLEST = np.finfo(float).tiny  # below it floats lose digits
_LARGEST = np.finfo(float).max


def binary_exponent(values):
    """Return the least k with ``|values| < 2^k`` throughout, 0 where all of them are zero.

    Parameters
    ----------
    values : ndarray

    Returns
    -------
    int
    """
    # Not the largest of abs(values), which would be a copy.
    largest = max(values.max(initial=0), -values.min(initial=0))
    _, exponent = np.frexp(largest)
    return int(exponent)


def scaled(values, exponent):
    """Return values times ``2^exponent``, infinite where they overflow."""
    with np.errstate(over="ignore"):
        return np.ldexp(values, exponent)


def scaled_product(values, exponent):
    """Return values times ``2^exponent`` as `as_float` does; the exponent may be a fraction."""
    whole = int(np.floor(exponent))
    rest = np.exp2(np.longdouble(exponent - whole))
    mantissas = rest * np.longdouble(values)
    product = scaled(mantissas, whole)
    return as_float(product)


def as_float(values):
    """Return long doubles as floats, unless some of them overflow or vanish as floats.

    Where the machine has no longer type than float, these are infinite or zero.
    """
    size = np.abs(values)
    in_range = (size >= _SMALLEST) & (size <= _LARGEST)
    is_float = in_range | (size == 0)
    if not np.all(is_float):
        return values
    # Indexing with () makes a number of an array without dimensions.
    return np.asarray(values, dtype=float)[()]
