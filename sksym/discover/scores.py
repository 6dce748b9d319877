"""What is differentiated of classifiers and of torch modules: scores, as functions of rows."""

import numpy as np
from sklearn.base import BaseEstimator, is_classifier

from sksym._estimator import warn

LEAST_PROBABILITY = 1e-12


def has_labels(model):
    """Tell whether the predictions of a model are labels, so that scores are used instead."""
    return isinstance(model, BaseEstimator) and is_classifier(model)


def score_function(classifier):
    """Return the decision function of a classifier, or the log odds of its probabilities.

    Raises
    ------
    TypeError
        If it has neither.
    """
    if hasattr(classifier, "decision_function"):
        return classifier.decision_function
    if not hasattr(classifier, "predict_proba"):
        raise TypeError(
            f"{classifier!r} predicts labels, which have no derivative: give a classifier with "
            "`decision_function` or `predict_proba`, or a function X -> score."
        )

    def log_odds(X):
        return log_odds_of(classifier.predict_proba(X))

    return log_odds


def log_odds_of(probabilities):
    """Return log odds (n,) of two classes, or centred logarithms (n, k) of more.

    Parameters
    ----------
    probabilities : ndarray of shape (n, k)
    """
    p = np.asarray(probabilities, float)
    n_extreme = np.count_nonzero(p.min(axis=1) < LEAST_PROBABILITY)
    if n_extreme:
        warn(
            f"{n_extreme} of {len(p)} probabilities are 0 or 1, of which log odds are infinite: "
            f"they are clipped at {LEAST_PROBABILITY:g}, where the model has no derivative. "
            "Calibrate the classifier, or leave such rows out."
        )
    # Clipped, as a single infinite score would spoil all others.
    logarithm = np.log(np.maximum(p, LEAST_PROBABILITY))
    if p.shape[1] == 2:
        return logarithm[:, 1] - logarithm[:, 0]
    return logarithm - logarithm.mean(axis=1, keepdims=True)


def is_torch_module(model):
    """Tell whether a model is called on tensors: it has `parameters`, and no `predict`."""
    return callable(model) and hasattr(model, "parameters") and not hasattr(model, "predict")


def module_function(module):
    """Return a torch module as a function of rows X (n, d)."""
    import torch

    dtype = _dtype_of(module)

    def values(X):
        # Without a graph: values are needed more often than slopes.
        with torch.no_grad():
            return module(torch.as_tensor(X, dtype=dtype))

    return values


def module_jacobian(module):
    """Return the exact Jacobian (n, q, d) of a torch module, as a function of rows X (n, d)."""
    import torch

    dtype = _dtype_of(module)

    # A row at a time, mapped over all: batches must not mix, as they do in batch normalisation.
    def of_row(row):
        return module(row[None])[0]

    def jacobian(X):
        rows = torch.as_tensor(X, dtype=dtype)
        return torch.func.vmap(torch.func.jacrev(of_row))(rows)

    return jacobian


def _dtype_of(module):
    """Return the type of the first parameter of a module, None where it has none."""
    for parameter in module.parameters():
        return parameter.dtype
    return None
