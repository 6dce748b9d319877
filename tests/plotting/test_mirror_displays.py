"""The picture of a path of mirror-penalised regressions: data as they are, names where they end."""

import matplotlib as mpl
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.utils import Bunch

from sksym.plotting import MirrorPathDisplay
from sksym.plotting.mirrors import _spaced

mpl.use("Agg")
import matplotlib.pyplot as plt

ALPHAS = np.array([1.0, 0.3, 0.1, 0.03, 0.01])
COEFS = np.array(
    [
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 0.5, 0.0, 0.0],
        [0.0, 0.9, 0.0, -0.3],
        [0.1, 0.9, 0.0, -0.5],
        [0.2, 0.9, 0.0, -0.8],
    ]
)


def path_of(coefs=COEFS, alphas=ALPHAS, **changed):
    """What `mirror_path` returns for one mirror on each coefficient."""
    norms = np.abs(coefs) if coefs.ndim == 2 else np.linalg.norm(coefs, axis=1)
    entries = {
        "alphas": alphas,
        "coefs": coefs,
        "active": norms != 0,
        "norms": norms,
        "mirror_names": [f"m{k}" for k in range(norms.shape[1])],
        "dual_gaps": np.zeros(len(alphas)),
        "n_iters": np.ones(len(alphas), int),
        "mean_squared_error": 0.5 + alphas,
    }
    return Bunch(**(entries | changed))


class CrossValidated(BaseEstimator):
    """What a display needs of a fitted MirrorSparseRegressorCV."""

    def fit(self, X, y):
        self.path_ = dict(path_of())
        self.alphas_ = ALPHAS
        self.alpha_ = 0.1
        self.mirror_names_ = self.path_["mirror_names"]
        self.mse_path_ = np.add.outer(ALPHAS, [1.0, 2.0, 4.0])
        self.feature_names_in_ = np.array(["a", "b", "c", "d"], dtype=object)
        return self


@pytest.fixture(autouse=True)
def closed_figures():
    plt.close("all")  # those of other modules, which run in any order
    yield
    plt.close("all")


def named_curves(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def shown(curve):
    """As it is drawn: a curve ends where it rests at zero."""
    near = np.convolve(curve != 0, [1, 1, 1], mode="same") > 0
    return np.where(near, curve, np.nan)


@pytest.mark.parametrize("kind", ["norms", "coefs"])
def test_curves_are_the_path(kind):
    path = path_of()
    display = MirrorPathDisplay.from_path(path)
    assert display.plot(kind=kind) is display
    upper, lower = display.ax_
    assert display.figure_ is upper.figure
    values, letter = (path.norms, "m") if kind == "norms" else (path.coefs, "x")
    curves = named_curves(upper)
    assert sorted(curves) == [f"{letter}0", f"{letter}1", f"{letter}3"]  # one never leaves zero
    for name, line in curves.items():
        assert_array_equal(line.get_xdata(), ALPHAS)
        assert_array_equal(line.get_ydata(), shown(values[:, int(name[1])]))
    assert_array_equal(lower.lines[0].get_xydata(), np.column_stack([ALPHAS, 0.5 + ALPHAS]))
    assert upper.get_xscale() == lower.get_xscale() == "log"
    assert upper.get_xlim() == lower.get_xlim() == (1.0, 0.01)  # weaker to the right
    low, high = upper.get_ylim()
    assert low <= values.min() <= values.max() < high


def test_broken_mirrors_are_counted_on_top():
    display = MirrorPathDisplay.from_path(path_of()).plot()
    display.figure_.canvas.draw()
    (top,) = display.ax_[0].child_axes
    counts = {tick.get_loc(): tick.label1.get_text() for tick in top.xaxis.get_major_ticks()}
    assert counts == dict(zip(ALPHAS, "01233", strict=True))


@pytest.mark.parametrize("kind", ["norms", "coefs"])
def test_names_stand_at_the_ends_of_their_curves(kind):
    ax = MirrorPathDisplay.from_path(path_of()).plot(kind=kind).ax_[0]
    curves = named_curves(ax)
    assert len(ax.texts) == len(curves)
    for text in ax.texts:
        line = curves[text.get_text()]
        assert_array_equal(text.xy, line.get_xydata()[-1])
        assert text.arrow_patch.get_edgecolor() == mpl.colors.to_rgba(line.get_color())
    heights = np.array([text.xyann[1] for text in ax.texts])
    ends = np.array([text.xy[1] for text in ax.texts])
    assert_array_equal(np.argsort(heights), np.argsort(ends))


def test_of_many_curves_the_largest_are_named(rng):
    size = rng.permutation(20) + 1.0
    coefs = np.outer(1 - ALPHAS, size)
    ax = MirrorPathDisplay.from_path(path_of(coefs)).plot().ax_[0]
    largest = [f"m{k}" for k in np.argsort(-size)[:7]]
    curves = named_curves(ax)
    assert list(curves) == largest
    assert len({line.get_color() for line in curves.values()}) == 7
    assert sorted(text.get_text() for text in ax.texts) == sorted(largest)
    heights = np.sort([text.xyann[1] for text in ax.texts])
    assert heights[0] >= 0
    assert heights[-1] <= 1
    assert np.diff(heights).min() > 0.08
    assert len(ax.lines) == 20  # the others are drawn without a name


def test_names_move_as_little_as_they_must():
    assert_allclose(_spaced(np.array([0.1, 0.5, 0.9]), 0.1), [0.1, 0.5, 0.9])
    assert_allclose(_spaced(np.array([0.5, 0.5, 0.9]), 0.1), [0.45, 0.55, 0.9])
    assert_allclose(_spaced(np.array([1.0, 1.0, 1.0]), 0.2), [0.6, 0.8, 1.0])
    assert_allclose(_spaced(np.array([0.0, 0.0]), 0.2), [0.0, 0.2])
    assert _spaced(np.array([]), 0.1).size == 0


def test_long_names_lose_their_middle():
    names = ["systolic blood pressure at rest, day 1", "another", "third", "fourth"]
    path = path_of(COEFS[:, [1, 0, 2, 3]], mirror_names=names)
    ax = MirrorPathDisplay.from_path(path).plot().ax_[0]
    assert "systolic blo..est, day 1" in [text.get_text() for text in ax.texts]


def test_cross_validation_shows_its_errors_and_its_alpha():
    model = CrossValidated().fit(None, None)
    display = MirrorPathDisplay.from_estimator(model)
    assert_array_equal(display.norms, model.path_["norms"])
    assert list(display.mirror_names) == model.mirror_names_
    assert_allclose(display.error, ALPHAS + 7 / 3)
    assert_allclose(display.error_spread, np.std([1, 2, 4]))
    upper, lower = display.ax_
    for ax in (upper, lower):
        assert_array_equal(ax.lines[-1].get_xdata(), [0.1, 0.1])
    assert "CV" in lower.get_ylabel()
    assert [text.get_text() for text in lower.get_legend().get_texts()] == ["alpha = 0.1"]
    again = MirrorPathDisplay.from_estimator(model, kind="coefs")
    assert sorted(set(named_curves(again.ax_[0])) - {"alpha = 0.1"}) == ["a", "b", "d"]


def test_an_estimator_that_is_not_fitted_is_copied():
    model = CrossValidated()
    display = MirrorPathDisplay.from_estimator(model, np.ones((5, 4)), np.ones(5))
    assert display.alpha == 0.1
    assert not hasattr(model, "path_")
    with pytest.raises(NotFittedError):
        MirrorPathDisplay.from_estimator(model)


def test_outputs_together_and_spaced():
    coefs = np.stack([COEFS, -2 * COEFS], axis=1)
    display = MirrorPathDisplay.from_path(path_of(coefs))
    assert_allclose(display.norms, np.sqrt(5) * np.abs(COEFS))
    assert sorted(named_curves(display.plot().ax_[0])) == ["m0", "m1", "m3"]
    names = named_curves(display.plot(kind="coefs").ax_[0])
    assert sorted(names) == ["y0: x0", "y0: x1", "y0: x3", "y1: x0", "y1: x1", "y1: x3"]
    assert_array_equal(names["y1: x3"].get_ydata(), shown(coefs[:, 1, 3]))


def test_path_reaches_zero():
    alphas = np.append(ALPHAS[:-1], 0.0)
    display = MirrorPathDisplay.from_path(path_of(alphas=alphas)).plot()
    assert display.ax_[0].get_xscale() == "symlog"
    assert display.ax_[0].get_xlim() == (1.0, 0.0)


@pytest.mark.parametrize("kind", ["norms", "coefs"])
def test_nothing_is_said_in_words(kind):
    display = MirrorPathDisplay.from_path(path_of(0 * COEFS)).plot(kind=kind)
    assert [text.get_text() for text in display.ax_[0].texts] == ["no mirror is broken"]


def test_one_alpha_is_a_path():
    path = path_of(COEFS[-1:], alphas=ALPHAS[-1:])
    display = MirrorPathDisplay.from_path(path).plot()
    assert_array_equal(sorted(named_curves(display.ax_[0])), ["m0", "m1", "m3"])
    display.figure_.canvas.draw()


def test_path_divides_the_axes_it_is_given():
    _, ax = plt.subplots()
    display = MirrorPathDisplay.from_path(path_of())
    for _ in range(2):  # drawn again, not over the old picture
        assert display.plot(ax).figure_ is ax.figure
        assert list(display.ax_) == ax.child_axes
    assert len(plt.get_fignums()) == 1


def test_bad_input():
    display = MirrorPathDisplay.from_path(path_of())
    with pytest.raises(ValueError, match="`kind` must be one of 'norms', 'coefs', got 'paths'"):
        display.plot(kind="paths")
    display.coefs = None
    with pytest.raises(ValueError, match="needs the coefficients"):
        display.plot(kind="coefs")
    with pytest.raises(TypeError, match="keeps its path, got LinearRegression"):
        MirrorPathDisplay.from_estimator(LinearRegression().fit(np.eye(2), [0, 1]))
    assert not plt.get_fignums()
