"""Conventions of scikit-learn that its public interface leaves to us."""

import numpy as np


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
