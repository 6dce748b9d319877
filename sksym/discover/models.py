"""Evidence from a given model: any fitted estimator, any function, with numerical derivatives."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import KFold

from sksym.discover.sampling import column_spread, some_rows, spatial_clusters
from sksym.discover.unit_coordinates import UnitProblem
from sksym.evidence import SampledEvidence, motion, output_scale, pooled_spread
from sksym.libraries import central_differences, complex_step

_ROWS = 2000  # samples at which a model is differentiated
_N_FOLDS = 5

_ROWS_FOR_STEP = 200
_STEPS = 0.1 * 0.25 ** np.arange(13)  # of the spread of a column
_DISAGREEMENT = 0.1  # relative, between the best two steps: beyond it there is no derivative
_CONSTANT = 1e-13  # relative size of differences that are round-off
_SAFETY = 3.0  # times the disagreement of two steps is taken for the error
_OWN_ERROR = 1e-12  # relative error of a Jacobian that the model gives
_COMPLEX_ERROR = 1e-14
_COMPLEX_AGREEMENT = 1e-6  # relative: complex steps must be as near the differences as this,
_COMPLEX_SAFETY = 10.0  # or this many times as near as differences over two steps are


# ------------------------------------------------------------------------------------- evidence


def is_given(estimator):
    """Return whether a model is used as it is: a function, a pair with its Jacobian, or frozen."""
    if estimator is None or isinstance(estimator, type):
        return False
    if isinstance(estimator, FrozenEstimator | tuple):
        return True
    return callable(estimator) and not hasattr(estimator, "fit")


def model_evidence(estimator, problem, X, weight, rng):
    """Compute Lie derivatives of a model at samples, and estimate their errors.

    The error of a model that can be fitted again is that of a jackknife over five folds. A model
    given as it is, wrong by ``y - F`` at the samples, is taken to be wrong in its derivatives by as
    much over the spread of the data. Without targets only the error of numerical derivatives is
    known.

    Parameters
    ----------
    estimator : regressor, callable or pair of callables
    problem : UnitProblem
        Candidates, and targets where they are known.
    X : ndarray of shape (n, d)
        In the coordinates of the user, which those of the model are.
    weight : ndarray of shape (n,)
    rng : RandomState

    Returns
    -------
    model : the fitted model
    evidence : SampledEvidence
    """
    candidates = problem.candidates
    B = problem.B
    Y = problem.Y
    user_Y = None if Y is None else Y * problem.coordinates.size
    given = is_given(estimator)
    model = estimator
    if not given:
        model = _fitted(estimator, X, user_Y, weight)
    chosen = some_rows(len(X), _ROWS, rng)
    share = weight[chosen]
    share = share / share.sum()
    at = _ModelPoints(problem, X[chosen])
    values, jacobian, jacobian_error = at.derivatives(model, rng)

    targets = values
    if Y is not None:
        targets = Y[chosen]
        _check_number_of_outputs(values, Y.shape[1], "y")
    outputs = None
    if B is not None:
        outputs = (B, targets, share)
        _check_number_of_outputs(values, B.shape[1], "`output`")

    # Rows in units of the outputs, such that sums over the samples are weighted means.
    scale = output_scale(targets, share)
    unit = np.sqrt(share)[:, None, None] / scale
    points = problem.X[chosen]
    mean_motion = motion(candidates, points, share, outputs, scale)
    rows = unit * _lie_derivatives(candidates, B, points, values, jacobian)

    length = pooled_spread(points, share) or 1.0
    steepness = np.linalg.norm(jacobian * unit) * length
    relative_error = _SAFETY * jacobian_error
    noise = (relative_error * steepness) ** 2 * mean_motion
    if not given:
        refits = []
        for refit in _refits(estimator, X, user_Y, weight, at, rng):
            refits.append(unit * _lie_derivatives(candidates, B, points, *refit))
        noise = noise + _jackknife_variance(np.stack(refits))
    elif Y is not None:
        mean_square = share @ (targets - values) ** 2
        misfit = np.mean(mean_square) / scale**2
        noise = noise + misfit * mean_motion
    evidence = SampledEvidence(
        rows=rows,
        motion=mean_motion,
        noise=noise,
        bias=np.zeros_like(noise),
        clusters=spatial_clusters(points, rng),
    )
    return model, evidence


@dataclass(frozen=True, eq=False)
class _ModelPoints:
    """Points at which models are differentiated, in the user's coordinates.

    Attributes
    ----------
    problem : UnitProblem
    points : ndarray of shape (n, d)
    """

    problem: UnitProblem
    points: np.ndarray

    def derivatives(self, model, rng):
        """Return values, Jacobian and its relative error, as `derivatives` does, in unit ones."""
        coordinates = self.problem.coordinates
        values, jacobian, error = derivatives(model, self.points, rng)
        size = coordinates.size
        if len(size) == values.shape[1]:
            values = values / size
            jacobian = jacobian / size[:, None]
        return values, jacobian * coordinates.unit, error


def _check_number_of_outputs(values, expected, owner):
    """Raise where the values of a model (n, q) have not as many outputs as expected."""
    q = values.shape[1]
    if q != expected:
        raise ValueError(f"The model has {q} outputs, but {owner} has {expected}.")


def _lie_derivatives(candidates, B, points, values, jacobian):
    """Return ``dF(x)[A_a x + b_a] - B_a F(x)`` at n points, (n, q, r).

    Parameters
    ----------
    values : ndarray of shape (n, q)
    jacobian : ndarray of shape (n, q, d)
    """
    fields = candidates.vector_field(points)
    along_fields = np.einsum("nqd,nrd->nqr", jacobian, fields)
    if B is None:
        return along_fields
    output_motion = np.einsum("rij,nj->nir", B, values)
    return along_fields - output_motion


def _refits(estimator, X, Y, weight, at, rng):
    """Yield values and Jacobian at some points of a model fitted without each fold."""
    splitter = KFold(_N_FOLDS, shuffle=True, random_state=rng)
    for train, _ in splitter.split(X):
        model = _fitted(estimator, X[train], Y[train], weight[train])
        values, jacobian, _ = at.derivatives(model, rng)
        yield values, jacobian


def _jackknife_variance(refits):
    """Return the jackknife variance (r, r), summed over the rows of refits (folds, n, q, r)."""
    changes = refits - np.mean(refits, axis=0)
    r = refits.shape[-1]
    changes = changes.reshape(-1, r)
    return (1 - 1 / _N_FOLDS) * (changes.T @ changes)


def _fitted(estimator, X, Y, weight):
    """Return a clone of a regressor, fitted; weights are passed only where they differ."""
    if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
        raise TypeError(
            "`estimator` must be a regressor, a FrozenEstimator, a function X -> y, or a pair of "
            f"a function and its Jacobian, got {estimator!r}."
        )
    model = clone(estimator)
    target = Y[:, 0] if Y.shape[1] == 1 else Y
    if (weight == weight[0]).all():
        return model.fit(X, target)
    return model.fit(X, target, sample_weight=weight)


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
    """Return what gives the values of a model: itself, the first of a pair, or ``predict``."""
    if isinstance(model, tuple):
        return model[0]
    return model.predict if hasattr(model, "predict") else model


def _own_jacobian(model):
    """Return what gives the Jacobian of a model, None where it has none of its own."""
    if isinstance(model, tuple):
        return model[1]
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
    return values, jacobian, _OWN_ERROR


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
