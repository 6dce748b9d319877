"""Numerical derivatives of functions of rows: by complex step, or by central differences."""

import numpy as np

_COMPLEX_STEP = 1e-100
_N_SEGMENTS = 8
_N_POINTS = 33  # of each segment
_SMALL = 1e-4  # of a segment: the step at which a function is asked whether it changes


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
        values = function(analytic(X + step * unit))
        values = np.asarray(values)
        # A transformer may drop the imaginary part, or return something else altogether.
        if not np.iscomplexobj(values):
            return None
        if values.shape[:1] != (n,):
            return None
        imaginary = values.imag.reshape(n, -1)
        slopes.append(imaginary / _COMPLEX_STEP)
    return np.stack(slopes, axis=2)


def analytic(X):
    """Return rows (n, d) as complex numbers that moduli and norms treat as real ones."""
    return np.asarray(X, dtype=complex).view(AnalyticArray)


class AnalyticArray(np.ndarray):
    """Complex numbers near real ones, on which real functions are continued analytically.

    ``np.abs``, ``np.hypot`` and ``np.linalg.norm`` of complex numbers are moduli, which are not
    analytic: an infinitesimal imaginary part would be lost.
    """

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        plain = [np.asarray(value) for value in inputs]
        is_call = method == "__call__" and not kwargs
        is_complex = any(np.iscomplexobj(value) for value in plain)
        if is_call and is_complex and ufunc in _CONTINUED:
            # Of the values alone: inside a rule nothing is continued a second time.
            continued = _CONTINUED[ufunc]
            result = continued(*plain)
        else:
            if "out" in kwargs:
                outputs = kwargs["out"]
                kwargs["out"] = tuple(np.asarray(value) for value in outputs)
            apply = getattr(ufunc, method)
            result = apply(*plain, **kwargs)
        if np.iscomplexobj(result) and isinstance(result, np.ndarray):
            return result.view(AnalyticArray)
        return result

    def __array_function__(self, function, types, args, kwargs):
        if function is np.linalg.norm:
            norm = _euclidean_norm(*args, **kwargs)
            if norm is not None:
                return norm
        return super().__array_function__(function, types, args, kwargs)


def _euclidean_norm(x, ord=None, axis=None, keepdims=False):
    """Return the root of the sum of squares; None for other norms, and for those of matrices."""
    is_of_matrices = np.ndim(axis) > 0
    if axis is None and ord is not None:
        is_of_matrices = np.ndim(x) > 1
    if is_of_matrices or ord not in (None, 2):
        return None
    square = np.multiply(x, x)
    total = np.sum(square, axis=axis, keepdims=keepdims)
    return np.sqrt(total)


def _absolute(z):
    return np.where(z.real < 0, -z, z)


def _hypot(x, y):
    return np.sqrt(x * x + y * y)


def _cube_root(z):
    size = _absolute(z)
    return np.sign(z.real) * size ** (1 / 3)


def _angle(y, x):
    """Return the angle of (x, y), with its derivative as the imaginary part."""
    angle = np.arctan2(y.real, x.real)
    square = x.real**2 + y.real**2
    change = x.real * y.imag - y.real * x.imag
    return angle + 1j * change / square


_CONTINUED = {
    np.absolute: _absolute,
    np.hypot: _hypot,
    np.cbrt: _cube_root,
    np.arctan2: _angle,
    np.sign: lambda z: np.sign(z.real) + 0j,
    np.conjugate: lambda z: z,
}


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


def is_step_function(function, X):
    """Tell which functions vary, but only by jumps: constant almost everywhere.

    Parameters
    ----------
    function : callable
        ``function(X)`` gives (n, p), row by row.
    X : ndarray of shape (n, d)

    Returns
    -------
    ndarray of shape (p,) of bool
    """
    rng = np.random.default_rng(0)
    rows = rng.integers(len(X), size=(2, _N_SEGMENTS))
    start, end = X[rows]
    direction = end - start
    t = np.linspace(0, 1, _N_POINTS)
    t = t[:, None, None]

    def along(t):
        points = start + t * direction
        points = points.reshape(-1, X.shape[1])
        values = np.asarray(function(points))
        return values.reshape(_N_POINTS, _N_SEGMENTS, -1)

    after = along(t + _SMALL)
    before = along(t - _SMALL)
    is_flat = after == before
    change = np.abs(np.diff(along(t), axis=0))
    # A change between two points where nothing changes is a jump.
    is_jump = is_flat[1:] & is_flat[:-1]
    jump = np.where(is_jump, change, 0.0)
    total = change.sum(axis=(0, 1))
    return jump.sum(axis=(0, 1)) > total / 2
