"""Values and derivatives of a given model: any fitted estimator, any function."""

import numpy as np
from sklearn.frozen import FrozenEstimator

from sksym.discover.sampling import column_spread, some_rows
from sksym.discover.scores import has_labels, score_function
from sksym.discover.torch_modules import TorchFunction, is_torch_module
from sksym.libraries import central_differences, complex_step

_ROWS_FOR_STEP = 200
_STEPS = 0.1 * 0.25 ** np.arange(13)  # of the spread of a column
_DISAGREEMENT = 0.1  # relative, between the best two steps: beyond it there is no derivative
_CONSTANT = 1e-13  # relative size of differences that are round-off
_OWN_ERROR = 1e-12  # relative error of a Jacobian that the model gives
_COMPLEX_ERROR = 1e-14
_COMPLEX_AGREEMENT = 1e-6  # relative: complex steps must be as near the differences as this,
_COMPLEX_SAFETY = 10.0  # or this many times as near as differences over two steps are


def is_given(estimator):
    """Return whether a model is used as it is: a function, a pair with its Jacobian, or frozen."""
    if estimator is None or isinstance(estimator, type):
        return False
    if isinstance(estimator, FrozenEstimator | tuple):
        return True
    return callable(estimator) and not hasattr(estimator, "fit")


def check_columns(model, X):
    """Raise where a model was fitted on other columns than ``X`` (n, d) has."""
    names = getattr(X, "columns", None)
    expected = getattr(model, "feature_names_in_", None)
    if names is not None and expected is not None and list(names) != list(expected):
        raise ValueError(
            f"The model was fitted on the columns {list(expected)}, but X has {list(names)}: pass "
            "X with the columns of the fit, in their order."
        )
    n_expected = getattr(model, "n_features_in_", None)
    shape = np.shape(X)
    if n_expected is not None and len(shape) == 2 and shape[1] != n_expected:
        raise ValueError(
            f"The model was fitted on {n_expected} features, but X has {shape[1]}: pass X with "
            "the columns of the fit."
        )


# --------------------------------------------------------------------------------- values, checked


def model_values(model, X):
    """Return values (n, q) of a model at the rows of `X` (n, d), checked.

    Raises
    ------
    ValueError
        Names the first sample where the model raises or is not finite.
    """
    return _checked_values(_function(model), X, (len(X),), "model")


def _function(model):
    """Return what gives the values of a model: itself, the first of a pair, scores, `predict`."""
    if isinstance(model, tuple):
        return model[0]
    if has_labels(model):
        return score_function(model)
    if is_torch_module(model):
        return TorchFunction(model)
    return model.predict if hasattr(model, "predict") else model


def _own_jacobian(model):
    """Return what gives the Jacobian of a model, None where it has none of its own."""
    if isinstance(model, tuple):
        return model[1]
    if is_torch_module(model):
        return TorchFunction(model).jacobian
    return getattr(model, "jacobian", None)


def _checked_values(function, X, shape, name):
    """Return what a function of `X` gives, with an axis of outputs.

    Parameters
    ----------
    function : callable
    X : ndarray of shape (n, d)
    shape : tuple
        That of a single output: (n,) for values, (n, d) for a Jacobian.
    name : str
        Of the function, for errors.

    Returns
    -------
    ndarray of shape (n, q) or (n, q, d)
    """
    try:
        values = _as_array(function(X))
    except Exception as error:
        raise ValueError(
            f"The {name} raised {type(error).__name__} for {_culprit(function, X)}: {error}"
        ) from error
    returned = f"{values.shape}" if values.ndim else "a single number"
    if values.ndim == len(shape):
        values = values[:, None]
    axes = len(shape) + 1
    if values.ndim != axes or (len(values), *values.shape[2:]) != shape:
        accepted = {2: "(n,) or (n, q)", 3: "(n, d) or (n, q, d)"}[axes]
        raise ValueError(
            f"The {name} must return shape {accepted} for X of shape {X.shape}, got "
            f"{returned}: evaluate it for all rows at once."
        )
    finite = np.isfinite(values)
    if not finite.all():
        first = np.argwhere(~finite)[0, 0]
        raise ValueError(
            f"The {name} returned NaN or infinity for sample {first}, x = {X[first]}: leave such "
            "rows out, or mend the model."
        )
    return values


def _as_array(values):
    """Return numbers as a float or complex array, those of tensors with gradients too."""
    for method in ("detach", "cpu", "numpy"):
        if hasattr(values, method):
            values = getattr(values, method)()
    values = np.asarray(values)
    if values.dtype.kind not in "fiubc":
        raise TypeError(f"it returned {values.dtype} values instead of numbers")
    if values.dtype.kind == "c":
        return values
    return values.astype(float)


def _culprit(function, X):
    """Describe the first sample for which a function raises alone."""
    for i in range(len(X)):
        try:
            function(X[i : i + 1])
        except Exception:
            return f"sample {i}, x = {X[i]}"
    return f"X of shape {X.shape}, but for no single sample"


# ------------------------------------------------------------------------------------- derivatives


def derivatives(model, X, rng):
    """Return the values of a model, its Jacobian, and the error of that.

    The Jacobian is the model's own where it has one; else it is computed by complex steps where
    the model is analytic; else by central differences, with the step at which two sizes agree best.

    Parameters
    ----------
    model : fitted estimator, callable or pair of callables
    X : ndarray of shape (n, d)
    rng : RandomState
        Chooses the rows at which steps are compared.

    Returns
    -------
    values : ndarray of shape (n, q)
    jacobian : ndarray of shape (n, q, d)
    error : float
        Of the Jacobian, relative.

    Raises
    ------
    ValueError
        If no two steps agree: the model has no useful derivative.
    """
    values = model_values(model, X)
    own_jacobian = _own_jacobian(model)
    if own_jacobian is None:
        jacobian, error = _numerical_jacobian(model, X, values, rng)
        return values, jacobian, error
    jacobian = _checked_values(own_jacobian, X, X.shape, "Jacobian")
    q = jacobian.shape[1]
    if q != values.shape[1]:
        raise ValueError(f"The Jacobian has {q} outputs, but the model has {values.shape[1]}.")
    error = TorchFunction(model).round_off if is_torch_module(model) else _OWN_ERROR
    return values, jacobian, error


def _numerical_jacobian(model, X, values, rng):
    """Return the Jacobian (n, q, d) of a model without its own, and its relative error."""
    spread = column_spread(X, np.ones(len(X)))
    chosen = some_rows(len(X), _ROWS_FOR_STEP, rng)
    points = X[chosen]

    def checked(rows):
        return model_values(model, rows)

    ladder = [central_differences(checked, points, step * spread) for step in _STEPS]
    sizes = _norms(ladder, spread)
    largest_value = np.abs(values).max()
    if not sizes.max() > _CONSTANT * largest_value:
        return np.zeros((*values.shape, len(spread))), 0.0

    # Long steps see curvature, short ones round-off: in between, neighbouring steps agree.
    changes = _norms(np.diff(ladder, axis=0), spread)
    gaps = np.full(len(changes), np.inf)
    np.divide(changes, sizes[:-1], out=gaps, where=sizes[:-1] > 0)
    best = int(np.argmin(gaps))
    gap = gaps[best]
    if gap > _DISAGREEMENT:
        raise ValueError(
            "The model has no useful derivative: differences over steps of "
            f"{_STEPS[best]:.1g} and {_STEPS[best + 1]:.1g} of the spread of the data differ by "
            f"{100 * min(gap, 9.99):.0f} %, and other sizes by more. Trees, forests and "
            "nearest neighbours are piecewise constant: use a smooth model instead."
        )
    imaginary = _complex_step(model, points)
    if imaginary is not None:
        # A function may take complex numbers and yet not be analytic, as absolute values are not.
        (difference,) = _norms([imaginary - ladder[best]], spread)
        allowed = max(_COMPLEX_SAFETY * gap, _COMPLEX_AGREEMENT)
        if difference <= allowed * sizes[best]:
            return _complex_step(model, X), _COMPLEX_ERROR
    return central_differences(checked, X, _STEPS[best] * spread), gap


def _norms(jacobians, spread):
    """Return the norm of every Jacobian (n, q, d), by columns in units of their spread (d,)."""
    norms = [np.linalg.norm(jacobian * spread) for jacobian in jacobians]
    return np.array(norms)


def _complex_step(model, X):
    """Return derivatives (n, q, d) from imaginary parts, None where the model is not complex."""
    if hasattr(model, "predict"):
        return None
    try:
        return complex_step(_function(model), X)
    except Exception:  # whatever a function of real numbers raises
        return None
