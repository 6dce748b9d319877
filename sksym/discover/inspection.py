"""The symmetries of a fitted model, in one call."""

import warnings

from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sksym.discover.models import check_columns, is_given
from sksym.discover.symmetries import SymmetryDiscoverer
from sksym.groups import aff


def symmetry_report(model, X, y=None, candidates=aff, output=None):
    """Report which symmetries a fitted model or a function has on data, and how sure that is.

    For every direction xi of `candidates` the defect ``|L_xi F| / |xi F|`` of the model F, see
    `SymmetryDiscoverer`, with its interval and a verdict.

    Parameters
    ----------
    model : fitted estimator, callable or pair of callables
        A function maps X (n, d) to (n,) or (n, q); of a pair the second is its Jacobian, (n, d) or
        (n, q, d).
    X : array-like of shape (n, d)
        Where the model is differentiated; of more than 2,000 samples a random subset is used.
    y : array-like of shape (n,) or (n, q), default=None
        Observed values: they tell how wrong the model is, and what enforcing a symmetry costs.
        Without them the costs are NaN.
    candidates : LieAlgebra, VectorFields or callable, default=aff
        The motions to choose from.
    output : representation or array of shape (r, q, q), default=None
        How the outputs move; None: invariance.

    Returns
    -------
    SymmetryReport

    Raises
    ------
    NotFittedError
        If the model is an estimator that was not fitted.
    ValueError
        If the model takes other columns than `X` has, or has no useful derivative.

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import so, symmetry_report
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> def model(X):
    ...     return np.cos(X[:, 0]**2 + X[:, 1]**2) + X[:, 2]
    >>> report = symmetry_report(model, X, candidates=so)
    >>> report[0].generator, report[0].verdict
    ('x0 ∂1 - x1 ∂0', 'symmetry')
    """
    if hasattr(model, "predict") and not hasattr(model, "fit"):
        model = model.predict
    check_columns(model, X)
    if not is_given(model):
        check_is_fitted(model)
        model = FrozenEstimator(model)
    discoverer = SymmetryDiscoverer(
        candidates,
        output=output,
        estimator=model,
        random_state=0,
    )
    with warnings.catch_warnings():
        # Columns were compared above; models are differentiated at plain arrays.
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        return discoverer.fit(X, y).report_
