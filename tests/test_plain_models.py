"""Fitted models hold arrays, plain containers, and objects of this package and of scikit-learn.

So their files can be loaded by formats, such as that of skops, that ask for trust in every other
type.
"""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone, is_classifier

from cases import ESTIMATORS, MORE_ESTIMATORS
from sksym import SymmetryDiscoverer
from sksym._estimator import fitted_names
from sksym._linalg import PlainState

PLAIN = bool | int | float | complex | str | bytes | np.generic | None
# Names of functions and classes, which are parameters, and what belongs to users' own libraries.
TRUSTED = ("sksym.", "sklearn.", "numpy.random.", "scipy.interpolate.", "pysindy.", "cases")


def cycles(value, path, above):
    """Places where the saved state of a value holds the value itself."""
    if isinstance(value, PLAIN | np.ndarray | type):
        return []
    if id(value) in above:
        return [path]
    items = []
    if isinstance(value, list | tuple):
        items = enumerate(value)
    elif isinstance(value, dict):
        items = value.items()
    elif isinstance(value.__getstate__(), dict):
        items = value.__getstate__().items()
    return [
        place
        for name, entry in items
        for place in cycles(entry, f"{path}.{name}", above | {id(value)})
    ]


def samples_for(model):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = np.sum(X**2, axis=1) + 0.01 * rng.normal(size=60)
    return X, y > np.median(y) + rng.normal(size=60) if is_classifier(model) else y


def foreign_types(value, path, seen):
    """Places of what is neither plain nor trusted in the saved state of a value."""
    if isinstance(value, PLAIN) or id(value) in seen:
        return []
    seen[id(value)] = value
    kind = type(value)
    if kind is np.ndarray:
        items = enumerate(value.ravel()) if value.dtype == object else []
    elif kind is dict:
        items = value.items()
    elif kind in (list, tuple, set, frozenset):
        items = enumerate(value)
    elif isinstance(value, type) or hasattr(value, "__qualname__") or kind is np.ufunc:
        return []
    elif f"{kind.__module__}.".startswith(TRUSTED) and kind.__name__ != "Bunch":
        state = value.__getstate__() or {}
        items = state.items() if isinstance(state, dict) else enumerate(state)
    else:
        return [f"{path}: {kind.__module__}.{kind.__qualname__}"]
    found = []
    for name, entry in items:
        found += foreign_types(entry, f"{path}.{name}", seen)
    return found


@pytest.mark.parametrize("model", [*ESTIMATORS, *MORE_ESTIMATORS[::3]], ids=str)
def test_fitted_models_are_plain(model):
    fitted = clone(model).fit(*samples_for(model))
    for name in fitted_names(fitted):
        assert foreign_types(getattr(fitted, name), name, {}) == []
        assert cycles(getattr(fitted, name), name, frozenset()) == []


def test_the_walk_finds_what_it_looks_for():
    class Foreign:
        pass

    hidden = {"a": [np.array([Foreign()], dtype=object)]}
    assert len(foreign_types(hidden, "x", {})) == 1
    assert len(foreign_types(sparse.eye_array(2, format="csr"), "x", {})) == 1
    hidden["b"] = hidden
    assert cycles(hidden, "x", frozenset()) == ["x.b"]


def test_sparse_arrays_are_saved_as_their_parts():
    class Holder(PlainState):
        pass

    holder = Holder()
    holder.matrix = sparse.random_array((4, 5), density=0.4, format="csr", rng=0)
    holder.other = {"csr": 1}
    state = holder.__getstate__()
    assert foreign_types(state, "x", {}) == []
    again = Holder()
    again.__setstate__(state)
    assert isinstance(again.matrix, sparse.csr_array)
    assert (again.matrix != holder.matrix).nnz == 0
    assert again.other == holder.other


def test_models_with_sparse_arrays_survive_pickling():
    X, y = samples_for(SymmetryDiscoverer())
    model = SymmetryDiscoverer().fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.singular_values_, model.singular_values_)
    assert str(again.report_) == str(model.report_)
