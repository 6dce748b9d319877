"""What all estimators share: failed fits, the place of warnings, refused options."""

import inspect
import re
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pysindy as ps
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksym import (
    ConservedQuantities,
    InvariantFeatures,
    MirrorSGDRegressor,
    MirrorSparseRegressor,
    MirrorSparseRegressorCV,
    PolynomialLibrary,
    SymmetricLogisticRegression,
    SymmetricPotential,
    SymmetricRidge,
    SymmetricRidgeCV,
    SymmetryDiscoverer,
    SymmetryPromotingRegressor,
    SymmetryPromotingRegressorCV,
    SymmetryPromotingSINDy,
    WeakSymmetryPromotingSINDy,
    gl,
    mirror_path,
    scaling,
    se,
    so,
    symmetry_path,
    translations,
)
from sksym.discover import conserved, symmetries
from sksym.dynamics import vector_field
from sksym.enforce import invariants
from sksym.equivariant import space
from sksym.groups import resolve
from sksym.mirror import path as mirror_folds
from sksym.mirror import regressor as mirror_regressor
from sksym.promote import refit, reweighting
from sksym.pysindy import SymmetryOptimizer

T = np.linspace(0, 10, 200)
PATH = np.exp(-0.1 * T)[:, None] * np.column_stack([np.cos(T), np.sin(T)])
PATH_DOT = PATH @ np.array([[-0.1, 1.0], [-1.0, -0.1]])
CIRCLES = np.random.default_rng(0).normal(size=(60, 2))  # states on many of them
CIRCLES_DOT = CIRCLES @ np.array([[0.0, 1.0], [-1.0, 0.0]])


def rows(n=60, d=2, seed=0):
    """Return rows and noisy values of a function that has no symmetry."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, X[:, 0] + X[:, 0] * X[:, 1] + 0.1 * rng.normal(size=n)


# ---------------------------------------------------------------------------------- failed fits


def theta(X):
    return ps.PolynomialLibrary(2).fit_transform(X)


@dataclass
class Case:
    """An estimator, what it is fitted to, and a function late inside ``fit``."""

    estimator: object
    data: tuple
    module: object
    inside: str


CASES = {
    "ridge": Case(SymmetricRidge(so), rows(), space, "ridge_of_spread"),
    "ridge, alpha chosen": Case(SymmetricRidgeCV(so), rows(), space, "ridge_of_spread"),
    "invariant features": Case(InvariantFeatures(so), rows()[:1], invariants, "_varies"),
    "promotion": Case(
        SymmetryPromotingRegressor(so, alpha=0.01), rows(), reweighting, "penalised_least_squares"
    ),
    "promotion, after the refit": Case(
        SymmetryPromotingRegressor(so, alpha=0.01), rows(), refit, "readable"
    ),
    "promotion, alpha chosen": Case(
        SymmetryPromotingRegressorCV(so, alphas=2, ridges=[], cv=2),
        rows(),
        reweighting,
        "penalised_least_squares",
    ),
    "discovery": Case(SymmetryDiscoverer(gl), rows(), symmetries, "_invariants"),
    "conserved quantities": Case(
        ConservedQuantities(), (CIRCLES, CIRCLES_DOT), conserved, "verdict"
    ),
    "dynamics": Case(SymmetryPromotingSINDy(gl), (PATH, PATH_DOT), vector_field, "readable"),
    "dynamics, weak form": Case(WeakSymmetryPromotingSINDy(gl), (PATH,), vector_field, "readable"),
    "optimizer of pysindy": Case(
        SymmetryOptimizer(gl), (theta(PATH), PATH_DOT), vector_field, "readable"
    ),
    "mirrors": Case(MirrorSparseRegressor(alpha=0.1), rows(), mirror_regressor, "backend_for"),
    "mirrors, alpha chosen": Case(
        MirrorSparseRegressorCV(alphas=[0.1], cv=2), rows(), mirror_folds, "_path"
    ),
    "descent": Case(
        MirrorSGDRegressor(alpha=0.1, random_state=0), rows(), MirrorSGDRegressor, "_set_training"
    ),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def state(model):
    return {name: value for name, value in vars(model).items() if name.endswith("_")}


@cases
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_fit_that_ends_inside_leaves_the_old_model(case, error, monkeypatch):
    model = clone(case.estimator).fit(*case.data)
    before = state(model)

    def interrupt(*args, **options):
        raise error

    monkeypatch.setattr(case.module, case.inside, interrupt)
    with pytest.raises(error):
        model.fit(*(part[:40] for part in case.data))
    assert state(model).keys() == before.keys()
    assert all(value is before[name] for name, value in state(model).items())
    fresh = clone(case.estimator)
    with pytest.raises(error):
        fresh.fit(*case.data)
    assert not state(fresh)


@cases
def test_a_fit_that_is_refused_leaves_the_old_model(case):
    """Other columns, and a NaN among them: what was learnt of the columns stays too."""
    model = clone(case.estimator).fit(*case.data)
    before = state(model)
    wider = [np.column_stack([part, part]) for part in case.data]
    wider[0][3, :] = np.inf
    with pytest.raises(ValueError, match=r"infinity|finite|is inf at"):
        model.fit(*wider)
    assert state(model).keys() == before.keys()
    assert all(value is before[name] for name, value in state(model).items())


@cases
def test_nothing_of_an_earlier_fit_survives_a_later_one(case):
    if case.estimator.__class__ is SymmetryOptimizer:
        pytest.skip("takes arrays without names of columns")
    named = pd.DataFrame(case.data[0], columns=["u", "v"])
    model = clone(case.estimator).fit(named, *case.data[1:])
    assert list(model.feature_names_in_) == ["u", "v"]
    model.leftover_ = 1
    model.fit(*case.data)
    assert not hasattr(model, "feature_names_in_")
    if "warm_start" not in model.get_params():  # such fits begin with what the last one set
        assert not hasattr(model, "leftover_")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_rows_that_cannot_be_added_leave_the_old_model(error, monkeypatch):
    X, y = rows()
    model = SymmetricRidge(so).fit(X[:30], y[:30])
    other = SymmetricRidge(so).fit(X[30:], y[30:])
    before = state(model)

    def interrupt(*args, **options):
        raise error

    monkeypatch.setattr(space, "ridge_of_spread", interrupt)
    with pytest.raises(error):
        model.partial_fit(X[30:], y[30:])
    with pytest.raises(error):
        model.merge(other)
    assert all(value is before[name] for name, value in state(model).items())
    monkeypatch.undo()
    whole = SymmetricRidge(so).fit(X, y)
    np.testing.assert_allclose(model.merge(other).predict(X), whole.predict(X), rtol=1e-10)


# ------------------------------------------------------------------------- where warnings point


def overlapping(kind, **options):
    return kind(gl, symmetry=so, **options)


def far_from_converged(kind, **options):
    return kind(gl, max_iter=1, tol=1e-12, **options)


# So strong that the data decide for no symmetry.
NOISY = PATH + 1.0 * np.random.default_rng(0).normal(size=PATH.shape)
SPHERES = so(2) + so(2)
LINEAR = PolynomialLibrary(1)
NO_SHRINKING = {"refit": False, "adaptive": False}

WARNINGS = {
    "nothing but a constant": (
        "leaves a constant",
        lambda X, y: SymmetricRidge(translations).fit(X, y),
    ),
    "nothing but a constant, alpha chosen": (
        "leaves a constant",
        lambda X, y: SymmetricRidgeCV(translations).fit(X, y),
    ),
    "nothing but a constant, in chunks": (
        "leaves a constant",
        lambda X, y: SymmetricRidge(translations).partial_fit(X, y),
    ),
    "no invariant features": ("no features", lambda X, y: InvariantFeatures(gl).fit(X)),
    "no invariant features, transformed": (
        "no features",
        lambda X, y: InvariantFeatures(gl).fit_transform(X),
    ),
    "dependent generators": (
        "2 generators span 1",
        lambda X, y: SymmetricRidge(SPHERES).fit(X, y),
    ),
    "dependent generators, features": (
        "2 generators span 1",
        lambda X, y: InvariantFeatures(SPHERES).fit(X),
    ),
    "overlap": (
        "1 of the candidates",
        lambda X, y: overlapping(SymmetryPromotingRegressor).fit(X, y),
    ),
    "overlap, alpha chosen": (
        "1 of the candidates",
        lambda X, y: overlapping(SymmetryPromotingRegressorCV, alphas=2, ridges=[], cv=2).fit(X, y),
    ),
    "overlap, path": (
        "1 of the candidates",
        lambda X, y: symmetry_path(X, y, gl, symmetry=so, alphas=2),
    ),
    "overlap, dynamics": (
        "1 of the candidates",
        lambda X, y: overlapping(SymmetryPromotingSINDy).fit(PATH, PATH_DOT),
    ),
    "overlap, weak form": (
        "1 of the candidates",
        lambda X, y: overlapping(WeakSymmetryPromotingSINDy).fit(PATH, t=T),
    ),
    "overlap, optimizer": (
        "1 of the candidates",
        lambda X, y: overlapping(SymmetryOptimizer).fit(theta(PATH), PATH_DOT),
    ),
    "overlap, model of pysindy": (
        "1 of the candidates",
        lambda X, y: ps.SINDy(optimizer=overlapping(SymmetryOptimizer)).fit(PATH, t=T),
    ),
    "overlap, pipeline": (
        "1 of the candidates",
        lambda X, y: make_pipeline(
            FunctionTransformer(), overlapping(SymmetryPromotingRegressor)
        ).fit(X, y),
    ),
    "nothing moves": (
        "nothing to promote",
        lambda X, y: SymmetryPromotingRegressor(scaling([0, 0])).fit(X, y),
    ),
    "missed tolerance": (
        "duality gap",
        lambda X, y: far_from_converged(SymmetryPromotingRegressor, **NO_SHRINKING).fit(X, y),
    ),
    "missed tolerance, alpha chosen": (
        "duality gap",
        lambda X, y: far_from_converged(
            SymmetryPromotingRegressorCV, alphas=[1e-3], ridges=[], cv=2, **NO_SHRINKING
        ).fit(X, y),
    ),
    "missed tolerance, dynamics": (
        "duality gap",
        lambda X, y: far_from_converged(SymmetryPromotingSINDy).fit(NOISY, NOISY[::-1]),
    ),
    "missed tolerance, weak form": (
        "duality gap",
        lambda X, y: far_from_converged(WeakSymmetryPromotingSINDy).fit(NOISY, t=T),
    ),
    "constant targets": (
        "y is constant",
        lambda X, y: SymmetryDiscoverer(gl).fit(X, np.ones(len(X))),
    ),
    "cloud": ("fill R", lambda X, y: SymmetryDiscoverer(gl).fit(X)),
    "nothing moves the data": (
        "No candidate moves the data",
        lambda X, y: SymmetryDiscoverer(scaling([0, 1])).fit(X * [1, 0], X[:, 0]),
    ),
    "nothing conserved": (
        "No function of the library is conserved",
        lambda X, y: ConservedQuantities(LINEAR).fit(X, X),
    ),
}


def assert_points_here(record, message, call):
    """Check that one warning was raised, at a line of `call`."""
    (warning,) = record
    assert re.search(message, str(warning.message))
    assert warning.filename == __file__
    source, first = inspect.getsourcelines(call)
    assert first <= warning.lineno < first + len(source)


@pytest.mark.parametrize("name", WARNINGS)
def test_warnings_point_at_the_call(name):
    message, call = WARNINGS[name]
    X, y = rows()
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        call(X, y)
    assert_points_here(record, message, call)


def test_warnings_point_through_scikit_learn():
    """A search over parameters and its folds: every fit warns at the line of the search."""
    X, y = rows()
    search = GridSearchCV(overlapping(SymmetryPromotingRegressor), {"alpha": [0.1]}, cv=2)

    def call():
        return search.fit(X, y)

    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        call()
    assert len(record) == 3
    for warning in record:
        assert_points_here([warning], "1 of the candidates", call)


def test_a_warning_of_cvxpy_points_at_the_call(monkeypatch):
    cvxpy = pytest.importorskip("cvxpy")
    X, y = rows()

    def call():
        return SymmetryPromotingRegressor(so, solver="cvxpy", **NO_SHRINKING).fit(X, y)

    monkeypatch.setattr(cvxpy.Problem, "status", "optimal_inaccurate")
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        call()
    record = [warning for warning in record if "cvxpy" in str(warning.message)]
    assert record[0].category is ConvergenceWarning
    assert_points_here(record, "ends before its tolerance", call)


# ------------------------------------------------------------------------------ refused options

X, y = rows(20)
FITS = {
    "promotion": lambda **options: SymmetryPromotingRegressor(so, **options).fit(X, y),
    "promotion, alpha chosen": lambda **options: SymmetryPromotingRegressorCV(
        so, alphas=2, ridges=[], cv=2, **options
    ).fit(X, y),
    "path": lambda **options: symmetry_path(X, y, so, alphas=2, **options),
    "dynamics": lambda **options: SymmetryPromotingSINDy(gl, **options).fit(PATH, PATH_DOT),
    "weak form": lambda **options: WeakSymmetryPromotingSINDy(gl, **options).fit(PATH, t=T),
    "optimizer": lambda **options: SymmetryOptimizer(gl, **options).fit(theta(PATH), PATH_DOT),
    "mirrors": lambda **options: MirrorSparseRegressor(**{"alpha": 0.1, **options}).fit(X, y),
    "mirrors, alpha chosen": lambda **options: MirrorSparseRegressorCV(
        alphas=[0.1], cv=2, **options
    ).fit(X, y),
    "path of mirrors": lambda **options: mirror_path(X, y, alphas=[0.1], **options),
    "descent": lambda **options: MirrorSGDRegressor(**{"alpha": 0.1, **options}).fit(X, y),
    "ridge": lambda **options: SymmetricRidge(so, **options).fit(X, y),
    "ridge in chunks": lambda **options: SymmetricRidge(so, **options).partial_fit(X, y),
    "discovery": lambda **options: SymmetryDiscoverer(gl, **options).fit(X, y),
    "conserved quantities": lambda **options: ConservedQuantities(**options).fit(
        CIRCLES, CIRCLES_DOT
    ),
}
PROMOTION = ["promotion", "promotion, alpha chosen", "path", "dynamics", "weak form", "optimizer"]
ITERATIVE = [*PROMOTION, "mirrors", "mirrors, alpha chosen", "path of mirrors"]
DYNAMICS = ["dynamics", "weak form", "optimizer"]
REFUSED = [
    (ITERATIVE, "max_iter", [0, -1, True, 1.5, np.nan, "x", None], "an integer >= 1"),
    (["descent"], "max_epochs", [0, -1, True, 1.5, np.nan, "x", None], "an integer >= 1"),
    (
        [*ITERATIVE, "descent"],
        "tol",
        [0, 0.0, 1, 1.0, -1e-6, np.nan, True, "x", None],
        "a number between 0 and 1",
    ),
    (["promotion", "ridge", "ridge in chunks", *DYNAMICS], "alpha", "numbers", None),
    (["mirrors", "descent"], "alpha", "numbers", None),
    (["promotion", "path", *DYNAMICS], "ridge", "numbers", None),
    (DYNAMICS, "threshold", "numbers", None),
    (DYNAMICS, "l1", "numbers", None),
    (["discovery", "conserved quantities"], "max_defect", [0, -1, np.nan, True, "x"], "a positive"),
]
NUMBERS = [-1.0, np.nan, np.inf, True, "x", None]
OPTIONS = [
    (fit, name, value, message or "a finite number >= 0")
    for fits, name, values, message in REFUSED
    for fit in fits
    for value in (NUMBERS if values == "numbers" else values)
]


@pytest.mark.parametrize(("fit", "name", "value", "message"), OPTIONS)
def test_options_are_refused_with_one_message(fit, name, value, message):
    expected = rf"`{name}` must be {message}.*, got {re.escape(repr(value))}"
    with pytest.raises(ValueError, match=expected):
        FITS[fit](**{name: value})


@pytest.mark.parametrize("fit", ITERATIVE)
def test_options_of_numpy_are_taken(fit):
    fitted = FITS[fit](max_iter=np.int64(5000), tol=np.float32(1e-3))
    expected = FITS[fit](max_iter=5000, tol=float(np.float32(1e-3)))
    name = "coefs" if "path" in fit else "coef_"
    np.testing.assert_array_equal(getattr(fitted, name), getattr(expected, name))


# --------------------------------------------------------------------------- labels and points

LABELS = np.where(X[:, 0] > 0, "up", "down")
TEXT = {
    "strings": LABELS,
    "list": LABELS.tolist(),
    "objects": LABELS.astype(object),
    "categories": pd.Series(LABELS).astype("category"),
    "strings of pandas": pd.Series(LABELS).astype("string"),
}
REGRESSIONS = {
    "ridge": SymmetricRidge(so),
    "ridge, alpha chosen": SymmetricRidgeCV(so),
    "potential": SymmetricPotential(so),
    "promotion": SymmetryPromotingRegressor(so),
    "promotion, alpha chosen": SymmetryPromotingRegressorCV(so),
    "mirrors": MirrorSparseRegressor(),
    "mirrors, alpha chosen": MirrorSparseRegressorCV(),
    "descent": MirrorSGDRegressor(),
}


@pytest.mark.parametrize("labels", TEXT.values(), ids=list(TEXT))
@pytest.mark.parametrize("model", REGRESSIONS.values(), ids=list(REGRESSIONS))
def test_regressions_refuse_labels_and_say_what_takes_them(model, labels):
    message = r"y holds labels such as '(up|down)'.*SymmetricLogisticRegression.*InvariantFeatures"
    with pytest.raises(ValueError, match=message):
        clone(model).fit(X, labels)
    SymmetricLogisticRegression(so).fit(X, labels)
    InvariantFeatures(so).fit(X, labels)


CLASSIFIERS = {"features": InvariantFeatures(), "classes": SymmetricLogisticRegression()}


@pytest.mark.parametrize("name", [*REGRESSIONS, *CLASSIFIERS])
def test_text_in_columns_is_refused_with_the_remedy(name):
    model = clone({**REGRESSIONS, **CLASSIFIERS}[name])
    frame = pd.DataFrame({"u": X[:, 0], "kind": LABELS})
    for columns in (frame, frame.to_numpy(), frame.astype({"kind": "category"})):
        with pytest.raises(ValueError, match=r"X holds text such as '.*OneHotEncoder"):
            model.fit(columns, LABELS if name in CLASSIFIERS else y)


@pytest.mark.parametrize("symmetry", [so, se], ids=["so", "se"])
def test_rotations_of_all_columns_may_be_meant_for_points(symmetry):
    rng = np.random.default_rng(0)
    molecules = rng.normal(size=(20, 15))
    remedy = r"as one vector of R\^15\. For 5 points .* use so\(3\)\.repeat\(5\)"
    with pytest.warns(UserWarning, match=remedy):
        resolve(symmetry, molecules)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        InvariantFeatures(so).fit(molecules[:, :3])
        InvariantFeatures(so).fit(molecules[:, :4])
        InvariantFeatures(so(15)).fit(molecules)
        InvariantFeatures(so(3).repeat(5)).fit(molecules)
    with pytest.raises(ValueError, match=r"R\^3, but X has 15 .* repeat\(5\) for 5 points"):
        SymmetricRidge(so(3)).fit(molecules, molecules[:, 0])
