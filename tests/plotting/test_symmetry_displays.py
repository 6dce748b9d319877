"""Displays hold the data they show, draw where they are told, and never crash on nothing."""

import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.utils import Bunch

from sksym import (
    PolynomialLibrary,
    SymmetricRidge,
    SymmetryDiscoverer,
    SymmetryDisplay,
    SymmetryPathDisplay,
    SymmetryPromotingRegressor,
    SymmetryPromotingRegressorCV,
    aff,
    gl,
    so,
    symmetry_path,
    translations,
    vector,
    vector_fields,
)

mpl.use("Agg")
import matplotlib.pyplot as plt

TURN = np.linspace(0, 6, 80)
CIRCLE = np.column_stack([np.cos(TURN), np.sin(TURN)])
FRAME = pd.DataFrame(CIRCLE, columns=["east", "north"])


@pytest.fixture(autouse=True)
def closed_figures():
    plt.close("all")  # those of other modules, which run in any order
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def model():
    return SymmetryDiscoverer(aff).fit(FRAME)


@pytest.mark.parametrize("kind", ["spectrum", "fields", "matrices"])
def test_display_holds_what_it_shows(model, kind):
    display = SymmetryDisplay.from_estimator(model, FRAME, kind=kind)
    assert_array_equal(display.singular_values, model.singular_values_)
    assert display.algebra is model.algebra_
    assert_array_equal(display.X, CIRCLE)
    assert (display.n_symmetries, display.undecided) == (1, model.undecided_)
    assert display.plot(kind=kind) is display
    assert isinstance(display.ax_, plt.Axes)
    assert display.ax_.figure is display.figure_


def test_spectrum_has_a_mark_for_every_generator(model):
    ax = SymmetryDisplay.from_estimator(model).ax_
    marks = {line.get_label(): line for line in ax.lines if line.get_marker() == "o"}
    index = np.concatenate([line.get_xdata() for line in marks.values()])
    assert_array_equal(index, np.arange(1, len(model.singular_values_) + 1))
    assert len(marks["symmetries"].get_xdata()) == model.n_symmetries_
    assert ax.get_yscale() == "log"


def test_spectrum_marks_what_is_undecided_and_zero():
    display = SymmetryDisplay(
        singular_values=np.array([0.0, 0.2, 0.9]),
        n_symmetries=1,
        noise_floor=0.01,
        max_defect=0.1,
        algebra=translations(3),
        undecided=1,
    )
    ax = display.plot().ax_
    marks = {line.get_label(): line for line in ax.lines if line.get_marker() == "o"}
    assert [marks[kind].get_xdata()[0] for kind in ("symmetries", "undecided")] == [1, 2]
    assert 0 < marks["symmetries"].get_ydata()[0] < display.noise_floor
    assert_array_equal(marks["no symmetries"].get_ydata(), [0.9])


def test_arrows_are_the_field(model):
    pair = ["north", 0]  # by name or number
    ax = SymmetryDisplay.from_estimator(model, FRAME, kind="fields", features=pair).ax_
    arrows = ax.collections[0]
    points = np.column_stack([arrows.X, arrows.Y])[:, ::-1]  # north is drawn to the right
    field = model.algebra_.vector_field(points)[:, 0]
    np.testing.assert_allclose(np.column_stack([arrows.V, arrows.U]), field, atol=1e-12)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("north", "east")


def test_matrix_is_shown_with_its_offset():
    ellipse = CIRCLE * [2, 1] + [1, -3]
    model = SymmetryDiscoverer(aff).fit(ellipse)
    ax = SymmetryDisplay.from_estimator(model, kind="matrices").ax_
    shown = ax.images[0].get_array()
    expected = np.column_stack([model.algebra_.linear[0], model.algebra_.offset[0]])
    assert_array_equal(shown, expected)


def test_axes_that_are_given_are_used(model):
    _, ax = plt.subplots()
    for kind in ("spectrum", "fields", "matrices"):
        display = SymmetryDisplay.from_estimator(model, FRAME, kind=kind, ax=ax)
        assert display.ax_ is ax
        assert display.plot(ax, kind=kind).ax_ is ax
    assert len(plt.get_fignums()) == 1


def test_no_symmetry_is_said_in_words(rng):
    X = rng.normal(size=(300, 2))
    model = SymmetryDiscoverer(gl).fit(X, np.sin(X[:, 0]) + X[:, 1] ** 3 + X[:, 0] ** 2)
    assert model.n_symmetries_ == 0
    for kind in ("fields", "matrices"):
        ax = SymmetryDisplay.from_estimator(model, X, kind=kind).ax_
        assert "no symmetry" in ax.texts[0].get_text()
    assert "no symmetry" in SymmetryDisplay.from_estimator(model).ax_.get_title()


def test_fields_beyond_affine(rng):
    X = rng.normal(size=(500, 2))
    fields = vector_fields(PolynomialLibrary(3, center=0.0).fit(X))
    model = SymmetryDiscoverer(fields).fit(X, X[:, 0] ** 2 + X[:, 1] ** 4)
    for kind in ("fields", "matrices"):
        display = SymmetryDisplay.from_estimator(model, X, kind=kind)
        assert display.ax_.get_title() == model.algebra_.names[0]


def test_many_generators_need_as_many_axes():
    ball = np.random.default_rng(0).normal(size=(400, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    model = SymmetryDiscoverer(aff).fit(ball)
    display = SymmetryDisplay.from_estimator(model, ball, kind="matrices")
    assert len(display.ax_) == 3
    with pytest.raises(ValueError, match="3 generators need 3 axes, got 1"):
        display.plot(plt.gca(), kind="fields")


def test_of_very_many_generators_the_first_are_shown(rng):
    display = SymmetryDisplay(
        singular_values=np.zeros(9),
        n_symmetries=9,
        noise_floor=0.0,
        max_defect=0.1,
        algebra=gl(3),
        X=rng.normal(size=(100, 3)),
    )
    assert len(display.plot(kind="fields").ax_) == 6
    assert display.figure_.get_supxlabel() == "6 of 9 generators"


def test_missing_matplotlib_is_said(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "sksym\[plot\]"'):
        SymmetryDisplay.from_estimator(model)


def test_bad_input(model):
    with pytest.raises(NotFittedError):
        SymmetryDisplay.from_estimator(SymmetryDiscoverer())
    with pytest.raises(ValueError, match="`kind` must be one of"):
        SymmetryDisplay.from_estimator(model, kind="flow")
    with pytest.raises(ValueError, match="pass X"):
        SymmetryDisplay.from_estimator(model, kind="fields")
    for features in ((0, 2), (0, 0), (-1, 0), (0, 1, 1), 1, ("east", "up")):
        with pytest.raises(ValueError, match="`features` must be two of the 2 features"):
            SymmetryDisplay.from_estimator(model, FRAME, kind="fields", features=features)


PATH = Bunch(
    alphas=np.array([1.0, 0.1, 0.01]),
    singular_values=np.array([[0.0, 0.0], [0.0, 0.5], [0.1, 0.9]]),
    n_symmetries=np.array([2, 1, 0]),
    mean_squared_error=np.array([0.5, 0.2, 0.1]),
)


@pytest.fixture(scope="module")
def hopf():
    rng = np.random.default_rng(0)
    X = rng.uniform(-0.5, 0.5, size=(40, 2))
    F = 0.5 * X - X[:, ::-1] * [1, -1] - np.sum(X**2, axis=1)[:, None] * X
    return X, F + 0.01 * rng.normal(size=F.shape)


def cross_validated(**parameters):
    return SymmetryPromotingRegressorCV(
        so, output=vector, library=PolynomialLibrary(3), alphas=4, refit=False, **parameters
    )


def test_path_is_drawn_as_it_is():
    display = SymmetryPathDisplay.from_path(PATH)
    assert display.plot() is display
    upper, lower = display.ax_
    assert display.figure_ is upper.figure
    for curve, line in zip(PATH.singular_values.T, upper.lines, strict=True):
        assert_array_equal(line.get_xydata(), np.column_stack([PATH.alphas, curve]))
    assert_array_equal(lower.lines[0].get_ydata(), PATH.mean_squared_error)
    assert upper.get_xscale() == lower.get_xscale() == "log"
    display.figure_.canvas.draw()
    (top,) = upper.child_axes
    assert [label.get_text() for label in top.get_xticklabels()] == ["2", "1", "0"]


def test_path_from_symmetry_path(hopf):
    path = symmetry_path(*hopf, so, output=vector, alphas=3)
    display = SymmetryPathDisplay.from_path(path)
    assert_array_equal(display.singular_values, path.singular_values)
    assert_array_equal(display.error, path.mean_squared_error)
    assert display.alpha is display.error_spread is None


def test_path_marks_alpha_of_the_estimator(hopf):
    model = SymmetryPromotingRegressor(so, output=vector, alpha=0.003, refit=False)
    display = SymmetryPathDisplay.from_estimator(model, *hopf, alphas=[0.1, 0.003])
    path = symmetry_path(*hopf, so, output=vector, refit=False, adaptive=True, alphas=[0.1, 0.003])
    assert_array_equal(display.singular_values, path.singular_values)
    for ax in display.ax_:
        assert_array_equal(ax.lines[-1].get_xdata(), [0.003, 0.003])
    assert not hasattr(model, "coef_")


def test_path_of_a_cross_validation(hopf):
    few = {"ridges": [1e-10, 1e-3, 1.0], "cv": 3}
    model = cross_validated(**few).fit(*hopf)
    display = SymmetryPathDisplay.from_estimator(model, *hopf)
    results = model.cv_results_
    assert_array_equal(display.alphas, results["alpha"][:4])
    assert_array_equal(display.error, results["mean_test_error"][:4])
    assert_array_equal(display.error_spread, results["mean_squared_error"][:4].std(axis=1))
    assert display.error_without == results["mean_test_error"][4:].min()
    assert display.alpha == (None if model.ridge_ else model.alpha_)
    fresh = cross_validated(**few)
    again = SymmetryPathDisplay.from_estimator(fresh, *hopf)
    assert_array_equal(again.error, display.error)
    assert not hasattr(fresh, "coef_")


def test_path_reaches_zero(hopf):
    model = cross_validated(ridges=[]).set_params(alphas=[0.0, 0.01])
    display = SymmetryPathDisplay.from_estimator(model, *hopf)
    assert display.error_without is None
    assert display.ax_[0].get_xscale() == "symlog"


def test_path_divides_the_axes_it_is_given():
    _, ax = plt.subplots()
    display = SymmetryPathDisplay.from_path(PATH)
    for _ in range(2):  # drawn again, not over the old picture
        assert display.plot(ax).figure_ is ax.figure
        assert list(display.ax_) == ax.child_axes
    assert len(plt.get_fignums()) == 1


def test_paths_belong_to_promoting_regressors(hopf):
    with pytest.raises(TypeError, match="got SymmetricRidge"):
        SymmetryPathDisplay.from_estimator(SymmetricRidge(so), *hopf)
    model = SymmetryPromotingRegressor(so, output=vector).fit(*hopf)
    with pytest.raises(ValueError, match="empty"):
        SymmetryPathDisplay.from_estimator(model, *hopf, alphas=[])


def test_spectrum_shows_the_intervals_of_the_report(model):
    display = SymmetryDisplay.from_estimator(model)
    assert_array_equal(display.intervals, model.report_.spectrum_intervals)
    assert len(display.intervals) == len(model.singular_values_)
    without = SymmetryDisplay(
        singular_values=np.array([0.01, 0.9]),
        n_symmetries=1,
        noise_floor=0.01,
        max_defect=0.1,
        algebra=translations(2),
    )
    bars = len(without.plot().ax_.collections)
    without.intervals = np.array([[0.0, 0.02], [0.8, 1.0]])
    assert len(without.plot().ax_.collections) == bars + 1
