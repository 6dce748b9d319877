"""What all libraries share: evaluation in blocks of rows, and the error of a space not closed."""

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted, validate_data

_BLOCK_BYTES = 2**23
_FEW = 256  # rows for which it does not pay to look for the functions that matter


class NotClosedError(ValueError):
    """A library is not closed under the motions asked for: use sampled points instead."""


def row_blocks(n, width):
    """Slices of rows such that a float array of that width stays near 8 MiB."""
    size = int(np.clip(_BLOCK_BYTES // (8 * max(width, 1)), 64, 16384))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def library_values(library, X):
    """Library values as an array, whatever output container is configured."""
    return np.asarray(library.transform(X))


def evaluate(library, coef, X):
    """Values ``phi(X) @ coef.T`` (n, k) of ``k`` functions, `coef` (k, p) dense or sparse.

    A library with an ``evaluate`` of its own need not form the functions that do not matter.
    """
    few = len(X) <= _FEW and isinstance(coef, np.ndarray)
    if hasattr(library, "evaluate") and not few:
        return library.evaluate(coef, X)
    coef = coef.toarray() if sparse.issparse(coef) else np.asarray(coef)
    out = np.empty((len(X), len(coef)))
    for rows in row_blocks(len(X), coef.shape[1]):
        out[rows] = library_values(library, X[rows]) @ coef.T
    return out


def fitted_values(library, coef, X):
    """What a model predicts: ``phi(X) @ coef.T``, (n,) for `coef` (p,), in their common dtype."""
    values = evaluate(library, np.atleast_2d(coef), X).astype(np.result_type(X, coef), copy=False)
    return values[:, 0] if coef.ndim == 1 else values


def n_functions(library, X):
    """``p``; a library of others need not say."""
    known = getattr(library, "n_output_features_", None)
    return library_values(library, X[:1]).shape[1] if known is None else known


def fit_input(library, X):
    """`X` validated for ``fit``."""
    return validate_data(library, X, dtype=[np.float64, np.float32])


def transform_input(library, X):
    """`X` validated for ``transform`` and ``jacobian``."""
    if needs_no_validation(library, X):
        return X
    check_is_fitted(library)
    return validate_data(library, X, dtype=[np.float64, np.float32], reset=False)


def needs_no_validation(model, X):
    """Whether validation would return X itself; it costs more than a row of a simulation."""
    return (
        type(X) is np.ndarray
        and X.dtype == np.float64
        and X.shape[1:] == (getattr(model, "n_features_in_", None),)
        and len(X) > 0
        and not hasattr(model, "feature_names_in_")
        and bool(np.isfinite(X).all())
    )


def input_names(library, input_features=None):
    """Names of the input columns: as given, as seen in ``fit``, or ``x0, x1, ..``."""
    check_is_fitted(library)
    seen = getattr(library, "feature_names_in_", None)
    if input_features is None:
        return seen if seen is not None else [f"x{i}" for i in range(library.n_features_in_)]
    if seen is not None and list(input_features) != list(seen):
        raise ValueError("input_features is not equal to feature_names_in_")
    if len(input_features) != library.n_features_in_:
        raise ValueError(
            "input_features should have length equal to number of features "
            f"({library.n_features_in_}), got {len(input_features)}"
        )
    return input_features
