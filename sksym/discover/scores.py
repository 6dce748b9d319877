"""What is differentiated of classifiers: scores, as functions of rows."""

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
