"""Numerical derivatives of functions of rows: by complex step, or by central differences."""

import numpy as np

_COMPLEX_STEP = 1e-100


def complex_step(function, X):
    """Differentiate from imaginary parts, exactly to round-off.

    No difference is taken, so that the step may be as small as floats go and nothing cancels.

    Parameters
    ----------
    function : callable
        ``function(X)`` gives (n, p), row by row.
    X : ndarray of shape (n, d)

    Returns
    -------
    ndarray of shape (n, p, d), or None where the values are not complex
    """
    n, d = X.shape
    step = 1j * _COMPLEX_STEP
    slopes = []
    for unit in np.eye(d):
        values = function(X + step * unit)
        values = np.asarray(values)
        # A transformer may drop the imaginary part, or return something else altogether.
        if not np.iscomplexobj(values):
            return None
        if values.shape[:1] != (n,):
            return None
        imaginary = values.imag.reshape(n, -1)
        slopes.append(imaginary / _COMPLEX_STEP)
    return np.stack(slopes, axis=2)


def central_differences(function, X, step, order=2):
    """Differentiate by central differences of second or fourth order.

    Parameters
    ----------
    function : callable
        ``function(X)`` gives (n, p), row by row.
    X : ndarray of shape (n, d)
    step : ndarray of shape (d,)
    order : {2, 4}

    Returns
    -------
    ndarray of shape (n, p, d)
    """
    slopes = []
    for size, h in zip(step, np.diag(step), strict=True):
        after = function(X + h)
        before = function(X - h)
        near = after - before
        if order == 2:
            slope = near / (2 * size)
        else:
            # Richardson: the errors of third order of both differences cancel.
            after = function(X + 2 * h)
            before = function(X - 2 * h)
            far = after - before
            slope = (8 * near - far) / (12 * size)
        slopes.append(slope)
    return np.stack(slopes, axis=2)
