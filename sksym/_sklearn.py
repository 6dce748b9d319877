"""Conventions of scikit-learn that its public interface leaves to us."""


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
