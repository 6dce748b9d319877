"""The report: every direction once, verdicts that agree with the fit, costs that are measured."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import subspace_angles
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from sksym import (
    LieAlgebra,
    PolynomialLibrary,
    SymmetricRidge,
    SymmetryDiscoverer,
    SymmetryReport,
    aff,
    gl,
    reflections,
    se,
    so,
    symmetry_report,
    vector,
    vector_fields,
)
from sksym.discover.costs import EnforcingCost

COLUMNS = [
    "generator",
    "verdict",
    "defect",
    "defect_low",
    "defect_high",
    "floor",
    "p_value",
    "cost",
    "cost_error",
]
VERDICTS = {"symmetry", "near", "undecided", "broken", "unidentified"}


def radial(X):
    return X[:, 0] ** 2 + X[:, 1] ** 2 + X[:, 2] ** 3


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    return X, radial(X) + 0.1 * rng.normal(size=500)


@pytest.fixture(scope="module")
def model(data):
    return SymmetryDiscoverer(gl).fit(*data)


def test_every_direction_has_a_row(model):
    report = model.report_
    assert isinstance(report, SymmetryReport)
    assert len(report) == 9
    assert list(report["verdict"]) == ["symmetry"] + ["broken"] * 8
    assert report[0].generator == model.algebra_.names[0]
    assert_allclose(report["defect"][1:], model.singular_values_[::-1][1:])
    assert np.all(np.diff(report["defect"]) >= 0)
    assert np.all(report["defect_low"] <= report["defect"])
    assert np.all(report["defect"] <= report["defect_high"])
    assert report.spectrum_intervals.shape == (9, 2)
    assert model.report_ is report


def test_a_report_is_a_frame_and_a_mapping_of_columns(model):
    report = model.report_
    frame = pd.DataFrame(report)
    assert list(frame.columns) == COLUMNS == list(report.keys())
    for name, column in dict(report).items():
        assert_array_equal(column, frame[name])
        assert (column.dtype == object) == (name in ("generator", "verdict"))
    assert report[-1] == report.rows[-1]
    with pytest.raises(KeyError, match="no column 'defects': choose one of generator"):
        report["defects"]


def test_a_report_prints_as_an_aligned_table(model):
    lines = str(model.report_).splitlines()
    assert max(map(len, lines)) <= 100
    start = lines[0].index("verdict")
    for row, line in zip(model.report_, lines[1:-2], strict=True):
        assert line[start:] == row.verdict
    assert "together" in lines[-1]


def test_costs_are_small_for_symmetries_and_large_for_others(model):
    report = model.report_
    assert -0.3 < report[0].cost < 0.02
    assert report[0].cost_error < 0.1
    assert (report["cost"][1:4] > 1).all()
    assert np.isnan(report["cost"][4:]).all()
    assert_allclose(report.total_cost, report[0].cost)


def test_the_cost_is_that_of_least_squares_on_the_invariants(data):
    """The same on one fold as with the functions written by hand."""
    X, y = data
    library = PolynomialLibrary(3).fit(X)
    costs = EnforcingCost.of_rows(so(3), None, X, y[:, None], np.ones(500), library)
    rotation = np.eye(3)[[so(3).names.index("x0 ∂1 - x1 ∂0")]]
    cost, error = costs.of(rotation, True)
    fold = np.arange(500) % 5
    np.random.default_rng(0).shuffle(fold)
    square = X[:, 0] ** 2 + X[:, 1] ** 2
    z = X[:, 2]
    by_hand = np.column_stack([np.ones(500), z, z**2, z**3, square, square * z])
    errors = []
    for values in (by_hand, library.transform(X)):
        error_of_folds = 0.0
        for k in range(5):
            train = fold != k
            w = np.linalg.lstsq(values[train], y[train])[0]
            error_of_folds += np.sum((y[~train] - values[~train] @ w) ** 2)
        errors.append(error_of_folds)
    assert_allclose(cost, np.sqrt(errors[0] / errors[1]) - 1)
    assert 0 < error < abs(cost) + 0.1


@pytest.mark.parametrize(
    ("candidates", "output", "degree"),
    [(so(3), None, 4), (se(3), None, 3), (so(3), vector, 3), (gl(3), vector, 2)],
)
def test_soft_and_exact_enforcing_agree_on_exact_generators(candidates, output, degree, rng):
    X = rng.normal(size=(300, 3))
    Y = np.column_stack([radial(X), X[:, 0], X[:, 1]]) + rng.normal(size=(300, 3))
    library = PolynomialLibrary(degree).fit(X)
    costs = EnforcingCost.of_rows(candidates, output, X, Y, np.ones(300), library)
    for C in (np.eye(candidates.dim)[:1], np.eye(candidates.dim)[:2]):
        assert_allclose(costs.of(C, True), costs.of(C, False), rtol=1e-6)


def test_near_symmetries_are_named_with_what_breaks_them(rng):
    X = rng.normal(size=(1000, 3))
    y = radial(X) + 0.25 * X[:, 0] * X[:, 1] + 0.05 * rng.normal(size=1000)
    model = SymmetryDiscoverer(so).fit(X, y)
    assert model.n_symmetries_ == 0
    near = model.near_algebra_
    assert near.dim == 1
    rotation = so(2).on_columns([0, 1], 3)
    span = [algebra.linear.reshape(algebra.dim, -1).T for algebra in (near, rotation)]
    assert subspace_angles(*span)[0] < 0.2
    row = model.report_[0]
    assert row.verdict == "near"
    assert row.generator == near.names[0]
    assert 0 < row.defect_low < row.defect_high <= 0.15
    assert row.p_value < 0.003
    assert row.cost > 3 * row.cost_error > 0
    stricter = SymmetryDiscoverer(so, max_defect=0.02).fit(X, y)
    assert stricter.near_algebra_.dim == 0
    assert stricter.report_[0].verdict == "broken"


def test_doubt_and_silence_have_rows_of_their_own(rng):
    X = np.column_stack([rng.normal(size=(40, 2)), np.full(40, 2.0)])
    y = X[:, 0] ** 2 + X[:, 1] ** 2 + 2 * rng.normal(size=40)
    model = SymmetryDiscoverer(gl, library=PolynomialLibrary(2)).fit(X, y)
    verdicts = list(model.report_["verdict"])
    assert set(verdicts) <= VERDICTS
    n = model.unidentified_.dim
    assert n > 0
    assert verdicts[-n:] == ["unidentified"] * n
    assert list(model.report_["generator"][-n:]) == list(model.unidentified_.names)
    assert np.isnan(model.report_["defect"][-n:]).all()
    assert verdicts.count("undecided") >= model.undecided_ > 0


def test_a_number_that_was_asked_for_may_be_too_large(data):
    report = SymmetryDiscoverer(so, n_symmetries=3).fit(*data).report_
    assert sorted(report["verdict"]) == ["broken", "broken", "symmetry"]
    assert report.total_cost > 1


def test_fields_and_outputs_have_reports(rng):
    X = rng.uniform(-1, 1, (300, 2))
    V = X + X[:, ::-1] * [-1, 1] - np.sum(X**2, axis=1)[:, None] * X
    model = SymmetryDiscoverer(gl, output=vector).fit(X, V + 0.02 * rng.normal(size=V.shape))
    assert list(model.report_["verdict"]) == ["symmetry", "broken", "broken", "broken"]
    beyond = SymmetryDiscoverer(vector_fields(PolynomialLibrary(2).fit(X)))
    report = beyond.fit(X, X[:, 0] + X[:, 1] ** 2).report_
    assert len(report) == 12
    assert set(report["verdict"]) <= VERDICTS


def test_data_sets_and_models_have_reports(data):
    X, y = data
    turn = np.linspace(0, 6, 80)
    circle = np.column_stack([np.cos(turn), np.sin(turn)])
    report = SymmetryDiscoverer().fit(circle).report_
    assert report[0].verdict == "symmetry"
    assert np.isnan(report["cost"]).all()
    report = SymmetryDiscoverer(so, estimator=radial).fit(X, y).report_
    assert np.isnan(report["p_value"]).all()
    assert np.isfinite(report["cost"]).all()


def test_the_report_of_any_model_in_one_call(data):
    X, y = data
    report = symmetry_report(radial, X, candidates=so)
    assert [row.verdict for row in report] == ["symmetry", "broken", "broken"]
    assert np.isnan(report["cost"]).all()
    assert len(symmetry_report(radial, X)) == aff(3).dim
    frame = pd.DataFrame(X, columns=["east", "north", "up"])
    ridge = SymmetricRidge(so(2).on_columns([0, 1], 3)).fit(frame, y)
    report = symmetry_report(ridge, frame, candidates=so(3))
    assert report[0].verdict == "symmetry"
    assert report[0].generator == "x0 ∂1 - x1 ∂0"

    class Other:
        predict = staticmethod(radial)

    assert symmetry_report(Other(), X, candidates=so)[0].verdict == "symmetry"


def test_models_that_do_not_fit_the_data_are_refused(data):
    X, y = data
    frame = pd.DataFrame(X, columns=["east", "north", "up"])
    model = Ridge().fit(frame, y)
    with pytest.raises(ValueError, match=r"fitted on the columns \['east'.*in their order"):
        symmetry_report(model, frame[["north", "east", "up"]])
    with pytest.raises(ValueError, match="fitted on 3 features, but X has 2"):
        symmetry_report(model, X[:, :2])
    with pytest.raises(NotFittedError, match="not fitted"):
        symmetry_report(Ridge(), X)


@pytest.mark.filterwarnings("ignore:y is constant")
@pytest.mark.filterwarnings("ignore:No candidate moves")
def test_trivial_reports(rng):
    X = rng.normal(size=(30, 2))
    constant = SymmetryDiscoverer().fit(X, np.ones(30)).report_
    assert list(constant["verdict"]) == ["symmetry"] * 6
    nothing = SymmetryDiscoverer(LieAlgebra(np.zeros((0, 2, 2)))).fit(X, X[:, 0]).report_
    assert len(nothing) == 0
    assert nothing["defect"].shape == (0,)
    assert str(nothing)
    few = SymmetryDiscoverer(so).fit(X[:6], X[:6, 0]).report_
    assert np.isnan(few["cost"]).all()
    with pytest.raises(NotFittedError):
        SymmetryDiscoverer().report_  # noqa: B018
    with pytest.raises(NotFittedError):
        SymmetryDiscoverer().near_algebra_  # noqa: B018


def test_reports_survive_pickling_and_belong_to_one_fit(model, data):
    copy = pickle.loads(pickle.dumps(model))
    assert str(copy.report_) == str(model.report_)
    X, y = data
    again = clone(model).fit(X, y)
    first = again.report_
    again.fit(X[:, [2, 1, 0]], y)
    assert again.report_[0].generator == "x1 ∂2 - x2 ∂1"
    assert first[0].generator == "x0 ∂1 - x1 ∂0"
    assert not hasattr(clone(model), "report_")


def test_units_do_not_matter(data):
    X, y = data
    report = SymmetryDiscoverer(gl).fit(X, y).report_
    scaled = SymmetryDiscoverer(gl).fit(1e6 * X, 1e-9 * y).report_
    for name in ("defect", "floor", "p_value", "cost"):
        assert_allclose(scaled[name], report[name], rtol=1e-4, atol=1e-6)
    assert_array_equal(scaled["verdict"], report["verdict"])


def test_discrete_candidates_have_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    y = X[:, 0] ** 2 + X[:, 1] ** 2 + X[:, 2] ** 3 + 0.1 * rng.normal(size=600)
    model = SymmetryDiscoverer(so(3) + reflections(3)).fit(X, y)
    rows = model.report_[-3:]
    assert [row.verdict for row in rows] == ["symmetry", "symmetry", "broken"]
    assert_allclose([row.p_value for row in rows[:2]], model.element_p_values_)
    assert rows[-1].defect > 1
