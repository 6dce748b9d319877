"""What all estimators share: fitting on a copy, validation, options, weights and warnings.

Every ``fit`` runs on a fresh copy of the estimator, which is adopted when it succeeds (`on_copy`).
An exception, an interrupt too, leaves the earlier model as it was, and nothing of an earlier fit
survives a later one.
"""

import pickle
import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial, wraps
from numbers import Integral, Real
from types import BuiltinFunctionType, FunctionType

import numpy as np
from scipy import sparse
from sklearn.model_selection import check_cv
from sklearn.utils import get_tags, validation
from sklearn.utils.validation import column_or_1d

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9 has no callbacks

    class CallbackSupportMixin:
        """Support nothing."""

    def with_callbacks(method):
        """Return the method itself."""
        return method


# ---------------------------------------------------------------------------------------- fitting


def on_copy(fit):
    """Decorate a ``fit`` that sets fitted attributes on `self`: run it on a fresh copy.

    The copy has the parameters of the estimator and nothing fitted. Its fitted attributes are
    adopted once ``fit`` returns.
    """

    @wraps(fit)
    def fit_on_copy(self, *args, **kwargs):
        fresh = unfitted_copy(self)
        fit(fresh, *args, **kwargs)
        return adopt(self, fresh)

    return fit_on_copy


def on_fitted_copy(partial_fit):
    """Decorate a ``partial_fit``: run it on a copy that knows what was fitted before."""

    @wraps(partial_fit)
    def partial_fit_on_copy(self, *args, **kwargs):
        fresh = adopt(unfitted_copy(self), self)
        partial_fit(fresh, *args, **kwargs)
        return adopt(self, fresh)

    return partial_fit_on_copy


def unfitted_copy(model):
    """Return an estimator with the same parameters, which are shared, and nothing fitted."""
    return type(model)(**model.get_params(deep=False))


def adopt(model, fresh):
    """Give `model` the fitted state of `fresh`, and only that.

    Fitted state has names that end in an underscore; scikit-learn keeps others of its own on an
    estimator meanwhile.
    """
    for name in fitted_names(model):
        delattr(model, name)
    for name in fitted_names(fresh):
        setattr(model, name, getattr(fresh, name))
    return model


def fitted_names(model):
    """List the attributes that ``fit`` has set."""
    return [name for name in vars(model) if name.endswith("_") and not name.startswith("__")]


# Compared by identity, which copies and pickles keep.
_NAMED = FunctionType | BuiltinFunctionType | type | np.ufunc


def by_value(value):
    """Return a snapshot of a parameter that compares by value: equal for copies and pickles.

    Arrays that are changed in place later compare unequal. What ``fit`` has set on an object,
    under names that end in an underscore, does not count.
    """
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(by_value(entry) for entry in value)
    if isinstance(value, dict):
        return _values_of(value)
    if value is None or isinstance(value, str | Real | _NAMED):
        return value
    if isinstance(value, partial):
        return by_value((partial, value.func, value.args, value.keywords))
    if is_dataclass(value):  # its other attributes are cached results
        attributes = {field.name: getattr(value, field.name) for field in fields(value)}
        return type(value), _values_of(attributes)
    if hasattr(value, "__dict__"):
        return type(value), _values_of(vars(value))
    return type(value), pickle.dumps(value)


def _values_of(attributes):
    """Return the items of a dictionary by value, without those that ``fit`` has set."""
    return tuple(
        (name, by_value(entry)) for name, entry in attributes.items() if not str(name).endswith("_")
    )


@contextmanager
def fit_tasks(model, X, y):
    """Tell scikit-learn's callbacks of a fit; gives ``task(name)``, a context for each part."""
    if not hasattr(model, "_init_callback_context"):
        yield _no_task
        return
    fit_context = model._init_callback_context(max_subtasks=None)
    fit_context.call_on_fit_task_begin(estimator=model, X=X, y=y)

    @contextmanager
    def task(name):
        subtask = fit_context.subcontext(task_name=name)
        subtask.call_on_fit_task_begin(estimator=model, X=X, y=y)
        yield
        subtask.call_on_fit_task_end(estimator=model, X=X, y=y)

    yield task
    fit_context.call_on_fit_task_end(estimator=model, X=X, y=y)


@contextmanager
def _no_task(name):
    yield


@dataclass(frozen=True)
class Progress:
    """Who is told of the stages of a search.

    Attributes
    ----------
    task : callable
        ``task(name)`` gives the context of one stage, see `fit_tasks`.
    verbose : int
        Whether lines are printed.
    """

    task: Callable = _no_task
    verbose: int = 0

    def say(self, text):
        """Print a line, if that is wanted."""
        if self.verbose > 0:
            print(text)


SILENT = Progress()


# --------------------------------------------------------------------------------------- warnings

_INTERNAL = ("sksym", "sklearn", "joblib", "pysindy", "contextlib")


def warn(message, category=UserWarning):
    """Warn at the line of the user's code that called sksym, whatever lies between."""
    frame = sys._getframe(1)
    level = 2  # stacklevel 1 is the call of `warnings.warn` itself
    while frame.f_back is not None and _is_internal(frame):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)


def _is_internal(frame):
    """Whether a frame belongs to this package, to what calls it, or to a context manager."""
    return frame.f_globals.get("__name__", "").partition(".")[0] in _INTERNAL


# ---------------------------------------------------------------------------------- training data


_LEAST = 1e-60  # size of data whose squares of squares are multiplied
_TINY = 2.0**-200  # sum of squares, whose terms have squares in turn


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Validated rows of a regression.

    Attributes
    ----------
    X : ndarray of shape (n, d), float64
    Y : ndarray of shape (n, q), float64
    weight : ndarray of shape (n,)
        Sample weights, not all zero.
    one_target : bool
        Whether y was one-dimensional.
    dtype : numpy dtype
        float32 or float64: that of X, in which predictions are given.
    units : object
        Units by which X, Y and weight were divided; None: those of the user.
    """

    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray
    one_target: bool
    dtype: np.dtype
    units: object = None

    @property
    def n_counted(self):
        """Number of rows with positive weight."""
        return np.count_nonzero(self.weight)

    @property
    def is_moderate(self):
        """Whether squares of columns, of Y and of weights neither overflow nor lose digits.

        Columns of zeros are left to a closer look.
        """
        with np.errstate(over="ignore", under="ignore"):
            if sparse.issparse(self.X):
                squares = np.asarray(self.X.power(2).sum(axis=0)).ravel()
            else:
                squares = np.einsum("ij,ij->j", self.X, self.X)
            of_rows = np.vdot(self.Y, self.Y), np.vdot(self.weight, self.weight)
        return all(_TINY <= square <= 1 / _TINY for square in of_rows) and bool(
            (squares >= _TINY).all() and (squares <= 1 / _TINY).all()
        )

    def in_range(self, least=_LEAST):
        """Return the same data with weights of moderate size, for what depends on their ratios.

        Raises
        ------
        ValueError
            If squares of products of X or Y would leave the range of floats.
        """
        check_range(self.X, "X", least)
        check_range(self.Y, "y", least)
        return replace(self, weight=moderate_weights(self.weight))

    def counted(self):
        """Return the same data without the rows of weight zero."""
        if self.weight.all():
            return self
        return self.take(self.weight > 0)

    def take(self, rows):
        """Return the rows chosen by a mask or by indices."""
        return replace(self, X=self.X[rows], Y=self.Y[rows], weight=self.weight[rows])

    def shaped(self, coef):
        """Return coefficients (q, p) as users see them: (p,) for one-dimensional y."""
        return in_dtype(coef[0] if self.one_target else coef, self.dtype)


def check_range(values, name, least=_LEAST):
    """Raise where columns of values (n, c) are too large or small for squares of products."""
    size = np.abs(values).max(axis=0)
    distant = np.ravel(size[(size > 0) & ((size < least) | (size > 1 / least))])
    if distant.size:
        raise ValueError(
            f"{name} holds columns of the size {distant[0]:.1g}: rescale it to sizes between "
            f"{least:g} and {1 / least:g}."
        )


def moderate_weights(weight):
    """Return weights (n,) over a power of two, where their size is distant from 1."""
    _, exponent = np.frexp(weight.max())
    if abs(exponent) * np.log10(2) <= -np.log10(_LEAST):
        return weight
    return np.ldexp(weight, -exponent)


def finite_or_none(value):
    """Return a number as a float, None where it is infinite: not known."""
    return float(value) if np.isfinite(value) else None


def in_dtype(values, dtype):
    """Return values in the precision of X, unless its range does not hold them."""
    with np.errstate(over="ignore"):
        converted = values.astype(dtype)
    largest = np.abs(values).max(initial=0)
    if largest == 0 or np.finfo(dtype).tiny <= np.abs(converted).max() < np.inf:
        return converted
    return values


_TIMES = ("datetime", "timedelta", "duration", "date", "time")  # names of types begin so


def validate_data(model, X="no_validation", y="no_validation", **options):
    """Validate as scikit-learn does, and refuse what it would turn into numbers silently.

    Raises
    ------
    TypeError
        If X or y holds times, whose numbers depend on the unit that they are stored in, or is a
        masked array, whose mask would be lost.
    ValueError
        If X holds text, or y where numbers are needed.
    """
    for name, values in (("X", X), ("y", y)):
        if isinstance(values, np.ma.MaskedArray):
            raise TypeError(
                f"`{name}` is a masked array, whose mask would be ignored: drop the rows with "
                f"masked entries, or fill them in, and pass a plain array ({name}.data)."
            )
        first = values
        while isinstance(first, list | tuple) and first:
            first = first[0]
        # Of an array, a series or a scalar one type; of a data frame one for each column.
        types = getattr(first, "dtypes", getattr(first, "dtype", type(first).__name__))
        types = [types] if np.ndim(types) == 0 else list(types)
        times = [dtype for dtype in types if str(dtype).lower().startswith(_TIMES)]
        if times:
            raise TypeError(
                f"`{name}` holds times ({times[0]}), whose numbers depend on the unit in which "
                "they are stored: subtract a start and divide by a unit of your own, as in "
                f"({name} - start) / np.timedelta64(1, 's'). The times of a trajectory belong in "
                "`t`, not in a column of X."
            )
    if not isinstance(X, str):  # the default, which means that there is nothing to validate
        _refuse_text(X, _TEXT_IN_X)
    if options.get("y_numeric"):
        _refuse_text(y, _LABELS_IN_Y)
    return validation.validate_data(model, X, y, **options)


def training_data(model, X, y, sample_weight, reset=True, accept_sparse=False):
    """Validate what ``fit`` is given.

    Returns
    -------
    TrainingData
    """
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
    Y = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    weight = checked_weights(sample_weight, len(Y))
    return TrainingData(X.astype(np.float64, copy=False), Y, weight, y.ndim == 1, X.dtype)


_TEXT_IN_X = (
    "X holds text such as {text!r}, but functions of X need numbers: encode categories, with "
    "scikit-learn's OneHotEncoder for example, or leave their columns out. Labels of classes are y."
)
_LABELS_IN_Y = (
    "y holds labels such as {text!r}, but this is a regression. For classes use "
    "SymmetricLogisticRegression, or InvariantFeatures before any classifier; SymmetryDiscoverer "
    "finds symmetries of labels. Give numbers for a regression."
)


def _refuse_text(values, message):
    """Raise an error with a message about the first string among values, where there is one."""
    values = np.asarray(values)
    if values.dtype.kind not in "OUST":  # as almost always
        return
    for entry in values.ravel().tolist():
        if isinstance(entry, str | bytes):
            raise ValueError(message.format(text=entry))


def checked_weights(sample_weight, n):
    """Return sample weights as a finite, non-negative array (n,), not all zero."""
    if sample_weight is None:
        return np.broadcast_to(1.0, n)
    weight = np.asarray(sample_weight, dtype=float)
    if weight.ndim == 0:
        weight = np.full(n, float(weight))
    if weight.shape != (n,):
        raise ValueError(f"`sample_weight` must have shape ({n},), got {weight.shape}.")
    refused = ~np.isfinite(weight) | (weight < 0)
    if refused.any():
        first = np.flatnonzero(refused)[0]
        raise ValueError(
            f"`sample_weight` must be finite and >= 0, got {weight[first]} for sample {first}: "
            "drop that row or give it weight 0."
        )
    if not weight.any():
        raise ValueError("All sample weights are zero: at least one row must count.")
    if weight.max() > np.finfo(float).max / len(weight):
        raise ValueError(
            f"The sum of `sample_weight` overflows, its largest entry is {weight.max()}: divide "
            "all weights by one number."
        )
    return weight


def weighted_splits(cv, X, Y, weight):
    """List the pairs (train, test) of a splitter whose test rows have some weight."""
    splits = [split for split in check_cv(cv).split(X, Y) if weight[split[1]].any()]
    if not splits:
        raise ValueError("`cv` gives no test set with a row of positive weight: use other splits.")
    return splits


# ---------------------------------------------------------------------------------------- options


def check_number(value, name):
    """Raise unless a parameter is a finite number >= 0."""
    if not is_real(value) or not 0 <= value < np.inf:
        raise ValueError(f"`{name}` must be a finite number >= 0, got {value!r}.")


def check_fraction(value, name):
    """Raise unless a parameter lies strictly between 0 and 1."""
    if not is_real(value) or not 0 < value < 1:
        raise ValueError(f"`{name}` must be a number between 0 and 1, got {value!r}.")


def check_count(value, name, least=1):
    """Raise unless a parameter is an integer >= `least`."""
    if not is_integer(value) or value < least:
        raise ValueError(f"`{name}` must be an integer >= {least}, got {value!r}.")


def check_choice(value, name, choices):
    """Raise unless a parameter is one of some strings."""
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {listed}, got {value!r}.")


def is_real(value):
    """Tell whether a parameter is a real number, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def is_integer(value):
    """Tell whether a parameter is an integer, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)


def descending(values, name):
    """Return a list of penalties in descending order."""
    values = np.atleast_1d(np.asarray(values))
    if values.dtype != np.longdouble:  # which may hold penalties beyond all floats
        values = values.astype(float)
    if values.ndim != 1:
        raise ValueError(f"`{name}` must be a list of numbers, got shape {values.shape}.")
    for value in values.tolist():
        check_number(value, name)
    return np.sort(values)[::-1]


def alpha_grid(alphas, largest, eps):
    """Return alphas in descending order.

    Parameters
    ----------
    alphas : int or array-like
        How many, or the values themselves.
    largest : callable
        Gives the largest alpha of a grid.
    eps : float
        The smallest alpha of a grid relative to the largest.
    """
    if is_integer(alphas):
        if alphas < 1:
            raise ValueError(f"`alphas` must be a number of values >= 1 or values, got {alphas!r}.")
        check_fraction(eps, "eps")
        return np.geomspace(1.0, eps, alphas) * (largest() or 1.0)
    alphas = descending(alphas, "alphas")
    if not alphas.size:
        raise ValueError("`alphas` is empty: give values, or how many.")
    return alphas
