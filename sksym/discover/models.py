"""Evidence from a given model: any fitted estimator, any function, with numerical derivatives."""

import numpy as np
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import KFold

from sksym._linalg import one_thread
from sksym.spectra import SampledEvidence, motion, output_scale, pooled_spread

_ROWS = 2000  # samples at which a model is differentiated
_ROWS_FOR_STEP = 200
_STEPS = 0.1 * 0.25 ** np.arange(13)  # of the spread of a column
_COMPLEX_STEP = 1e-100
_DISAGREEMENT = 0.1
_N_FOLDS = 5
_N_CLUSTERS = 30


def is_given(estimator):
    """Whether a model is taken as it is: a function, a pair with its Jacobian, or frozen."""
    if estimator is None or isinstance(estimator, type):
        return False
    if isinstance(estimator, FrozenEstimator | tuple):
        return True
    return callable(estimator) and not hasattr(estimator, "fit")


def model_evidence(estimator, candidates, B, X, Y, weight, rng):
    """Lie derivatives of a model at samples, with an estimate of their errors.

    The error of a model that can be fitted again is that of a jackknife over five folds. A model
    given as it is, wrong by ``y - F`` at the samples, is taken to be wrong in its derivatives by as
    much over the spread of the data. Without `Y` only the error of numerical derivatives is known.

    Returns
    -------
    model : the fitted model
    evidence : SampledEvidence
    """
    given = is_given(estimator)
    model = estimator if given else _fitted(estimator, X, Y, weight)
    chosen = np.sort(rng.permutation(len(X))[:_ROWS])
    points, share = X[chosen], weight[chosen] / weight[chosen].sum()
    values, slopes, error = derivatives(model, points, rng)
    F = values if Y is None else Y[chosen]
    for q, owner in ((F.shape[1], "y"), (len(B[0]) if B is not None else None, "`output`")):
        if q is not None and q != values.shape[1]:
            raise ValueError(f"The model has {values.shape[1]} outputs, but {owner} has {q}.")
    scale = output_scale(F, share)
    unit = np.sqrt(share)[:, None, None] / scale
    square = motion(candidates, points, share, None if B is None else (B, F, share), scale)

    def rows(values, slopes):
        moved = np.einsum("nqd,nrd->nqr", slopes, candidates.vector_field(points))
        return unit * (moved if B is None else moved - np.einsum("rij,nj->nir", B, values))

    steepness = np.linalg.norm(slopes * unit) * (pooled_spread(points, share) or 1.0)
    noise = (3 * error * steepness) ** 2 * square
    if not given:
        parts = []
        for train, _ in KFold(_N_FOLDS, shuffle=True, random_state=rng).split(X):
            fold = _fitted(estimator, X[train], Y[train], weight[train])
            parts.append(rows(*derivatives(fold, points, rng)[:2]))
        parts = np.concatenate(parts - np.mean(parts, axis=0)).reshape(-1, candidates.dim)
        noise = noise + (1 - 1 / _N_FOLDS) * parts.T @ parts
    elif Y is not None:
        noise = noise + np.mean(share @ (F - values) ** 2) / scale**2 * square
    clusters = spatial_clusters(points, rng)
    return model, SampledEvidence(rows(values, slopes), square, noise, 0 * noise, clusters)


def spatial_clusters(X, rng):
    """Labels of neighbourhoods whose errors may be common."""
    k = max(min(_N_CLUSTERS, len(X) // 5), 1)
    with one_thread():
        return KMeans(k, n_init=1, max_iter=20, random_state=rng).fit_predict(X)


def _fitted(estimator, X, Y, weight):
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


def model_values(model, X):
    """Values (n, q) of a model, checked; an error names the sample."""
    function = model.predict if hasattr(model, "predict") else model
    function = model[0] if isinstance(model, tuple) else function
    return _checked(function, X, (len(X),), "model")


def _checked(function, X, leading, what):
    try:
        out = _as_array(function(X))
    except Exception as error:
        raise ValueError(
            f"The {what} raised {type(error).__name__} for {_culprit(function, X)}: {error}"
        ) from error
    n = leading[0]
    shapes = "(n,) or (n, q)" if len(leading) == 1 else "(n, d) or (n, q, d)"
    if out.ndim == len(leading):
        out = out[:, None]
    right = out.ndim == len(leading) + 1 and out.shape[0] == n
    if not right or (len(leading) == 2 and out.shape[2] != leading[1]):
        raise ValueError(
            f"The {what} must return shape {shapes} for X of shape {X.shape}, got "
            f"{out.shape if out.ndim else 'a single number'}: evaluate it for all rows at once."
        )
    bad = np.flatnonzero(~np.isfinite(out.reshape(n, -1)).all(axis=1))
    if len(bad):
        raise ValueError(
            f"The {what} returned NaN or infinity for sample {bad[0]}, x = {X[bad[0]]}: leave such "
            "rows out, or mend the model."
        )
    return out


def _as_array(out):
    for method in ("detach", "cpu", "numpy"):  # tensors that carry gradients
        if hasattr(out, method):
            out = getattr(out, method)()
    out = np.asarray(out)
    if out.dtype.kind not in "fiubc":
        raise TypeError(f"it returned {out.dtype} values instead of numbers")
    return out if out.dtype.kind == "c" else out.astype(float)


def _culprit(function, X):
    """The first sample for which a function raises alone."""
    for i in range(len(X)):
        try:
            function(X[i : i + 1])
        except Exception:
            return f"sample {i}, x = {X[i]}"
    return f"X of shape {X.shape}, but for no single sample"


def derivatives(model, X, rng):
    """Values (n, q), Jacobian (n, q, d) and its relative error.

    The model's own Jacobian where it has one; by complex step where that is analytic; else by
    central differences, with the step at which two sizes agree best.

    Raises
    ------
    ValueError
        If no two steps agree: the model has no useful derivative.
    """
    values = model_values(model, X)
    own = model[1] if isinstance(model, tuple) else getattr(model, "jacobian", None)
    if own is not None:
        slopes = _checked(own, X, X.shape, "Jacobian")
        if slopes.shape[1] != values.shape[1]:
            raise ValueError(
                f"The Jacobian has {slopes.shape[1]} outputs, but the model has {values.shape[1]}."
            )
        return values, slopes, 1e-12
    share = np.full(len(X), 1.0)
    spread = np.ptp(X, axis=0) / 4
    spread[spread == 0] = pooled_spread(X, share) or np.abs(X).max() or 1.0
    few = X[np.sort(rng.permutation(len(X))[:_ROWS_FOR_STEP])]
    ladder = [_differences(model, few, step * spread) for step in _STEPS]
    size = [np.linalg.norm(D * spread) for D in ladder]
    if not max(size) > 1e-13 * np.abs(values).max():
        return values, np.zeros((*values.shape, X.shape[1])), 0.0  # constant
    gaps = [
        np.linalg.norm((ladder[k + 1] - ladder[k]) * spread) / size[k] if size[k] > 0 else np.inf
        for k in range(len(ladder) - 1)
    ]
    best = int(np.argmin(gaps))
    if gaps[best] > _DISAGREEMENT:
        raise ValueError(
            "The model has no useful derivative: differences over steps of "
            f"{_STEPS[best]:.1g} and {_STEPS[best + 1]:.1g} of the spread of the data differ by "
            f"{100 * min(gaps[best], 9.99):.0f} %, and other sizes by more. Trees, forests and "
            "nearest neighbours are piecewise constant: use a smooth model instead."
        )
    exact = _complex_step(model, few, spread)
    if exact is not None and np.linalg.norm((exact - ladder[best]) * spread) <= (
        max(10 * gaps[best], 1e-6) * size[best]
    ):
        return values, _complex_step(model, X, spread), 1e-14
    return values, _differences(model, X, _STEPS[best] * spread), gaps[best]


def _differences(model, X, step):
    """Central differences, (n, q, d)."""
    slopes = [
        (model_values(model, X + h) - model_values(model, X - h)) / (2 * h[i])
        for i, h in enumerate(np.diag(step))
    ]
    return np.stack(slopes, axis=2)


def _complex_step(model, X, spread):
    """Derivatives (n, q, d) from the imaginary parts, None where the model is not complex."""
    if hasattr(model, "predict"):
        return None
    function = model[0] if isinstance(model, tuple) else model
    try:
        slopes = [
            np.asarray(function(X + 1j * _COMPLEX_STEP * unit)) for unit in np.eye(X.shape[1])
        ]
    except Exception:  # whatever a function of real numbers raises
        return None
    if not all(np.iscomplexobj(slope) and slope.shape[:1] == (len(X),) for slope in slopes):
        return None
    return np.stack([s.imag.reshape(len(X), -1) / _COMPLEX_STEP for s in slopes], axis=2)
