"""Conventions of scikit-learn that its public interface leaves to us."""

from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
from sklearn.model_selection import check_cv
from sklearn.utils import get_tags
from sklearn.utils.validation import column_or_1d, validate_data

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9 has no callbacks

    class CallbackSupportMixin:
        """Nothing to support."""

    def with_callbacks(method):
        """The method itself."""
        return method


@contextmanager
def fit_tasks(model, X, y):
    """Tell scikit-learn's callbacks of a fit; gives ``task(name)``, a context for each part."""
    if not hasattr(model, "_init_callback_context"):
        yield _no_task
        return
    whole = model._init_callback_context(max_subtasks=None)
    whole.call_on_fit_task_begin(estimator=model, X=X, y=y)

    @contextmanager
    def task(name):
        part = whole.subcontext(task_name=name)
        part.call_on_fit_task_begin(estimator=model, X=X, y=y)
        yield
        part.call_on_fit_task_end(estimator=model, X=X, y=y)

    yield task
    whole.call_on_fit_task_end(estimator=model, X=X, y=y)


@contextmanager
def _no_task(name):
    yield


def adopt(model, fresh):
    """Give `model` the fitted state of `fresh`, and only that.

    Estimators are fitted on a copy and adopted at the end: a fit that fails leaves the earlier
    model as it was, and nothing of an earlier fit survives a later one. Fitted state has names
    that end in an underscore; scikit-learn keeps others of its own on an estimator meanwhile.
    """
    for name in [name for name in vars(model) if name.endswith("_")]:
        delattr(model, name)
    vars(model).update({k: v for k, v in vars(fresh).items() if k.endswith("_")})
    return model


def checked_weights(sample_weight, n):
    """Sample weights as a finite, non-negative array (n,), not all zero."""
    if sample_weight is None:
        return np.broadcast_to(1.0, n)
    weight = np.asarray(sample_weight, dtype=float)
    if weight.ndim == 0:
        weight = np.full(n, float(weight))
    if weight.shape != (n,):
        raise ValueError(f"`sample_weight` must have shape ({n},), got {weight.shape}.")
    if not np.isfinite(weight).all() or (weight < 0).any():
        bad = np.flatnonzero(~np.isfinite(weight) | (weight < 0))[0]
        raise ValueError(
            f"`sample_weight` must be finite and >= 0, got {weight[bad]} for sample {bad}: "
            "drop that row or give it weight 0."
        )
    if not weight.any():
        raise ValueError("All sample weights are zero: at least one row must count.")
    return weight


def validated(model, X, y, sample_weight, reset=True, accept_sparse=False):
    """``X``, ``Y`` (n, q), roots of the weights, whether y is one-dimensional, X's dtype."""
    X, y = validate_data(
        model,
        X,
        y,
        accept_sparse=accept_sparse,
        dtype=[np.float64, np.float32],
        multi_output=True,
        y_numeric=True,
        reset=reset,
    )
    if not get_tags(model).target_tags.multi_output:
        y = column_or_1d(y, warn=True)
    dtype, one_target = X.dtype, y.ndim == 1
    X, Y = X.astype(np.float64, copy=False), np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    return X, Y, np.sqrt(checked_weights(sample_weight, len(Y))), one_target, dtype


def counted(X, weight):
    """The rows of positive weight, without a copy where that is all."""
    return X if weight.all() else X[weight > 0]


def check_number(value, name):
    """Raise unless a parameter is a finite number >= 0."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < np.inf:
        raise ValueError(f"`{name}` must be a finite number >= 0, got {value!r}.")


def check_count(value, name, least):
    """Raise unless a parameter is an integer >= `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"`{name}` must be an integer >= {least}, got {value!r}.")


def descending(values, name):
    """A list of penalties in descending order."""
    values = np.atleast_1d(np.asarray(values, dtype=float))
    if values.ndim != 1:
        raise ValueError(f"`{name}` must be a list of numbers, got shape {values.shape}.")
    for value in values.tolist():
        check_number(value, name)
    return np.sort(values)[::-1]


def alpha_grid(alphas, largest, eps):
    """Alphas in descending order: those given, or that many from ``largest()`` to `eps` of it."""
    if isinstance(alphas, Integral) and not isinstance(alphas, bool):
        if alphas < 1:
            raise ValueError(f"`alphas` must be a number of values >= 1 or values, got {alphas!r}.")
        check_number(eps, "eps")
        if not 0 < eps < 1:
            raise ValueError(f"`eps` must be between 0 and 1, got {eps!r}.")
        return np.geomspace(1.0, eps, alphas) * (largest() or 1.0)
    alphas = descending(alphas, "alphas")
    if not alphas.size:
        raise ValueError("`alphas` is empty: give values, or how many.")
    return alphas


def weighted_splits(cv, X, Y, weight):
    """Pairs (train, test) of a splitter, those whose test rows have some weight."""
    splits = [split for split in check_cv(cv).split(X, Y) if weight[split[1]].any()]
    if not splits:
        raise ValueError("`cv` gives no test set with a row of positive weight: use other splits.")
    return splits
