"""Conventions of scikit-learn that its public interface leaves to us."""


def adopt(model, fresh):
    """Give `model` the fitted state of `fresh`, and only that.

    Estimators are fitted on a copy and adopted at the end: a fit that fails leaves the earlier
    model as it was, and nothing of an earlier fit survives a later one.
    """
    parameters = model.get_params(deep=False)
    for name in [name for name in vars(model) if name not in parameters]:
        delattr(model, name)
    vars(model).update({k: v for k, v in vars(fresh).items() if k not in parameters})
    return model
