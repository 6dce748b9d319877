"""The SINDy estimators as scikit-learn and as a careless user see them."""

import inspect
import re

import numpy as np
import pysindy as ps
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import assert_all_finite, check_consistent_length, column_or_1d

from sksym import (
    PolynomialLibrary,
    SymmetryPromotingSINDy,
    WeakSymmetryPromotingSINDy,
    gl,
    translations,
)
from sksym._estimator import adopt
from sksym.dynamics import vector_field
from sksym.pysindy import SymmetryOptimizer

KINDS = [SymmetryPromotingSINDy, WeakSymmetryPromotingSINDy, SymmetryOptimizer]


def flat(values):
    """One state as scikit-learn's checks expect it, (n,)."""
    return values[:, 0] if values.shape[1] == 1 else values


def shape_of(values):
    return values.shape if hasattr(values, "shape") else np.asarray(values).shape


class FirstColumns(SymmetryPromotingSINDy):
    """As many states as y has columns, the first of X; the others are controls."""

    def fit(self, X, y=None, sample_weight=None):
        n_states = shape_of(y)[1] if len(shape_of(y)) > 1 else 1
        model = SymmetryPromotingSINDy(**self.get_params(deep=False))
        model.controls = range(n_states, shape_of(X)[-1])
        return adopt(self, model.fit(X, y, sample_weight))

    def predict(self, X):
        return flat(super().predict(X))


class OneTrajectory(WeakSymmetryPromotingSINDy):
    """The weak form takes no y, but scikit-learn's checks always give one."""

    def fit(self, X, y=None):
        if y is not None:
            y = column_or_1d(y, warn=True)
            check_consistent_length(X, y)
            assert_all_finite(y)
        return super().fit(X)

    def predict(self, X):
        return super().predict(X)[:, 0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        tags.regressor_tags.poor_score = True  # y is nothing to it
        return tags


class FlatOptimizer(SymmetryOptimizer):
    """One state as scikit-learn's checks expect it."""

    def predict(self, X):
        return flat(super().predict(X))


COORDINATES = ps.IdentityLibrary()


# Some checks fit data that are noise, or fewer rows than functions.
@pytest.mark.filterwarnings("ignore:Nothing is left")
@pytest.mark.filterwarnings("ignore:Functions of the library vanish")
@parametrize_with_checks(
    [
        FirstColumns(),
        FirstColumns(threshold=0.0, ridge=1e-3),
        OneTrajectory(),
        OneTrajectory(translations, library=PolynomialLibrary(1), threshold=0.0),
        FlatOptimizer(library=COORDINATES),
        FlatOptimizer(library=COORDINATES, threshold=0.0, ridge=1e-3),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# ---------------------------------------------------------------------------------- the contract


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_hold_comes_first_and_the_rest_by_keyword(kind):
    parameters = list(inspect.signature(kind).parameters.values())
    assert [parameter.name for parameter in parameters[:2]] == ["candidates", "symmetry"]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters[1:])
    assert all(parameter.default is not parameter.empty for parameter in parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_documented(kind):
    _, section = inspect.getdoc(kind).split("Parameters\n----------\n")
    listed = re.split(r"\n\n(?=\w+\n---)", section)[0]
    lines = re.findall(r"^(\w[\w, ]*?)(?: :|$)", listed, flags=re.M)
    names = [name for line in lines for name in line.split(", ")]
    assert sorted(names) == sorted(inspect.signature(kind).parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_fitted_attributes_are_documented(kind):
    public = {name for name in vars(fitted(kind)) if name.endswith("_") and name[0] != "_"}
    public -= {"n_features_in_", "feature_names_in_"}  # every estimator has them
    assert {"n_iter_", "dual_gap_", "algebra_"} <= public
    doc = inspect.getdoc(kind)
    assert not {name for name in public if not re.search(rf"\b{name}\b", doc)}


# --------------------------------------------------------------------------------------- bad input

TIMES = np.linspace(0, 6, 100)
PATH = np.exp(-0.1 * TIMES)[:, None] * np.column_stack([np.cos(TIMES), np.sin(TIMES)])
SLOPES = PATH @ np.array([[-0.1, 1.0], [-1.0, -0.1]])


def fit(model, X=PATH):
    """Fit an estimator of any of the kinds to one trajectory."""
    if isinstance(model, SymmetryOptimizer):
        return model.fit(ps.PolynomialLibrary(2).fit_transform(X), SLOPES)
    return model.fit(X, t=TIMES)


def fitted(kind, **parameters):
    return fit(kind(gl, threshold=0.05, **parameters))


MEANINGLESS = [
    ("max_iter", 0),
    ("max_iter", -5),
    ("max_iter", 2.5),
    ("max_iter", np.nan),
    ("max_iter", "many"),
    ("max_iter", True),
    ("tol", 0),
    ("tol", -1.0),
    ("tol", 1.0),
    ("tol", 2.0),
    ("tol", np.nan),
    ("tol", "small"),
    ("tol", None),
    *(
        (name, value)
        for name in ("alpha", "threshold", "l1", "ridge")
        for value in (-1.0, np.nan, np.inf, "much", None)
    ),
]
MESSAGES = {"max_iter": "must be an integer >= 1", "tol": "must be a number between 0 and 1"}


@pytest.mark.parametrize(("name", "value"), MEANINGLESS)
@pytest.mark.parametrize("kind", KINDS)
def test_meaningless_options_are_refused_with_one_message(kind, name, value):
    message = MESSAGES.get(name, "must be a finite number >= 0")
    with pytest.raises(ValueError, match=re.escape(f"`{name}` {message}, got {value!r}.")):
        fit(kind(**{name: value}))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, "long"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (WeakSymmetryPromotingSINDy, "width"),
        (SymmetryPromotingSINDy, "dt"),
        (WeakSymmetryPromotingSINDy, "dt"),
    ],
)
def test_meaningless_times_are_refused(kind, name, value):
    with pytest.raises(ValueError, match=re.escape(f"got {value!r}")):
        kind(**{name: value}).fit(PATH)


@pytest.mark.parametrize(
    ("name", "value"), [("n_windows", 0), ("n_windows", "all"), ("order", 17), ("order", "high")]
)
def test_meaningless_windows_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be .*, got {value!r}"):
        WeakSymmetryPromotingSINDy(**{name: value}).fit(PATH)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("kind", KINDS)
def test_interrupts_and_errors_leave_the_old_model(kind, error, monkeypatch):
    """Wherever they come: here, after the convex problems and before the result is sparse."""
    model = fitted(kind)
    before = dict(vars(model))

    def interrupt(*args):
        raise error

    monkeypatch.setattr(vector_field, "_sparse_coef", interrupt)
    with pytest.raises(error):
        fit(model, X=2 * PATH)
    assert vars(model) == before
    monkeypatch.undo()
    with pytest.raises(ValueError, match="must be"):
        fit(model.set_params(tol=2.0))
    assert {**vars(model), "tol": before["tol"]} == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_missed_tolerance_is_reported_at_the_line_of_the_call(kind):
    model = kind(gl, library=ps.PolynomialLibrary(2), max_iter=1, tol=1e-12)
    if kind is not SymmetryOptimizer:
        model.set_params(library=PolynomialLibrary(2))
    # So strong that the data decide for no symmetry.
    noise = 1.0 * np.random.default_rng(0).normal(size=PATH.shape)
    with pytest.warns(ConvergenceWarning, match="increase `max_iter` or `tol`") as record:
        fit(model, X=PATH + noise)
    assert {warning.filename for warning in record} == {__file__}


def test_an_l1_problem_that_does_not_converge_is_reported():
    rng = np.random.default_rng(0)
    X = rng.normal(loc=1000, size=(100, 2))
    model = SymmetryPromotingSINDy(library=PolynomialLibrary(1), threshold=0.0, l1=1e-9)
    with pytest.warns(ConvergenceWarning, match="nearly dependent") as record:
        model.fit(X, rng.normal(size=(100, 2)))
    assert {warning.filename for warning in record} == {__file__}
