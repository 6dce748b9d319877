"""Numerical derivatives of functions of rows: by complex step, or by central differences."""

import numpy as np

_COMPLEX_STEP = 1e-100


def complex_step(function, X):
    """Differentiate from imaginary parts, exactly to round-off.

    Parameters
    ----------
    function : callable
        ``function(X)`` gives (n, p), row by row.
    X : ndarray of shape (n, d)

    Returns
    -------
    ndarray of shape (n, p, d), or None where the values are not complex
    """
    slopes = []
    for unit in np.eye(X.shape[1]):
        values = np.asarray(function(X + 1j * _COMPLEX_STEP * unit))
        if not np.iscomplexobj(values) or values.shape[:1] != (len(X),):
            return None
        slopes.append(values.imag.reshape(len(X), -1) / _COMPLEX_STEP)
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
    for i, h in enumerate(np.diag(step)):
        near = function(X + h) - function(X - h)
        if order == 2:
            slopes.append(near / (2 * step[i]))
        else:
            far = function(X + 2 * h) - function(X - 2 * h)
            slopes.append((8 * near - far) / (12 * step[i]))
    return np.stack(slopes, axis=2)
