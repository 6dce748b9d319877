"""Right or a clear error: estimators on data of every scale, kind and layout.

A `Case` is one cell of a table of units, offsets, columns, rows, layouts and weights. Hypothesis
draws cells, the same ones in every run; ``pytest -m thorough`` draws many more.
"""

import inspect
import tempfile
import warnings
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from sklearn.base import clone, is_classifier

from cases import ESTIMATORS
from sksym import (
    ConservedQuantities,
    Library,
    MirrorSGDRegressor,
    MirrorSparseRegressor,
    MirrorSparseRegressorCV,
    SymmetricPotential,
    SymmetricRidge,
    SymmetryDiscoverer,
    SymmetryPromotingRegressor,
    SymmetryPromotingRegressorCV,
    SymmetryPromotingSINDy,
    WeakSymmetryPromotingSINDy,
)
from sksym._estimator import fitted_names
from sksym.mirror import exchange, groups, low_rank, trend

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

# ------------------------------------------------------------------------------------- the table

UNITS = [10.0**k for k in (-300, -200, -160, -100, -40, -10, -3, 0, 3, 10, 40, 100, 155, 200, 300)]
OFFSETS = [0.0, 1.0, 1e3, 1e6, 1e9, 1e12]  # of columns, in units of their spread
COLUMNS = ["plain", "constant", "all constant", "duplicated", "collinear", "zero"]
ROWS = [1, 2, 3, 30]
LAYOUTS = ["C", "Fortran", "float32", "int", "read-only", "mapped"]
WEIGHTS = ["none", "random", "counts", "1e300", "1e-300"]


@dataclass(frozen=True)
class Case:
    """One cell of the table."""

    x_unit: float = 1.0
    y_unit: float = 1.0
    offset: float = 0.0
    columns: str = "plain"
    n: int = 30
    layout: str = "C"
    weights: str = "none"
    target: str = "numbers"
    seed: int = 0

    def data(self):
        """Return X (n, 3), a target and sample weights.

        Targets are numbers (n,), classes (n,), rates of change (n, 3), or ``{"t": times}`` of a
        trajectory, in the unit of y.
        """
        rng = np.random.default_rng(self.seed)
        X = rng.normal(size=(self.n, 3)) + self.offset
        if self.layout == "int":
            X = np.round(8 * X)
        changed = {
            "constant": X[:1, 1],
            "duplicated": X[:, 0],
            "collinear": 2 * X[:, 0] - X[:, 2],
            "zero": 0.0,
        }
        if self.columns == "all constant":
            X = np.tile(X[:1], (self.n, 1))
        X[:, 1] = changed.get(self.columns, X[:, 1])
        centred = X - self.offset
        y = np.sum(centred**2, axis=1) + 0.1 * rng.normal(size=self.n)
        weight = {
            "none": None,
            "random": rng.uniform(size=self.n) + 0.1,
            "counts": rng.integers(1, 4, size=self.n),
            "1e300": np.full(self.n, 1e300),
            "1e-300": np.full(self.n, 1e-300),
        }[self.weights]
        target = {
            "numbers": y,
            "classes": np.where(y > np.median(y), "far", "near"),
            "rates": np.outer(y, [1.0, 0.0, 0.1]) + np.cross(centred, [0.0, 1.0, 2.0]),
            "times": np.arange(1.0, self.n + 1),
        }[self.target]
        if target.dtype.kind == "f":
            target *= min(self.y_unit, 1e304 / np.abs(target).max())
        if self.target == "times":
            target = {"t": target}
        return self._laid_out(X), target, weight

    def _laid_out(self, X):
        """Return X in units, as the memory holds it; float32 and int have no distant units."""
        if self.layout == "float32":
            return (X * np.clip(self.x_unit, 1e-20, 1e20)).astype(np.float32)
        if self.layout == "int":
            return X.astype(np.int64)
        # Offsets do not leave the range.
        X = X * min(self.x_unit, 1e304 / max(self.offset, 1e4))
        if self.layout == "Fortran":
            return np.asfortranarray(X)
        if self.layout == "mapped":
            with tempfile.TemporaryFile() as file:
                file.write(X.tobytes())
                file.flush()
                return np.memmap(file, dtype=float, mode="r", shape=X.shape)
        X.setflags(write=self.layout != "read-only")
        return X


@dataclass(frozen=True)
class Row:
    """An estimator, and the part of the table that it is tried on.

    Attributes
    ----------
    model : estimator
    examples : int
        Cells drawn by default; thorough runs draw 50 times as many.
    choices : dict
        Values of a `Case` where they are not all of the table.
    target : str
        What `Case.data` gives beside X.
    """

    model: object
    examples: int
    choices: dict = field(default_factory=dict)
    target: str = "numbers"

    def cases(self, **choices):
        """Return the strategy that draws cells."""
        table = {
            "x_unit": UNITS,
            "y_unit": UNITS,
            "offset": OFFSETS,
            "columns": COLUMNS,
            "n": ROWS,
            "layout": LAYOUTS,
            "weights": WEIGHTS,
            "seed": list(range(5)),
        }
        table |= self.choices | choices
        table["target"] = [self.target]
        return st.builds(Case, **{name: st.sampled_from(values) for name, values in table.items()})


# Estimators whose fits take longer: cells drawn by default.
FEW = {
    SymmetryDiscoverer: 10,
    SymmetryPromotingRegressor: 2,
    SymmetryPromotingRegressorCV: 1,
}
# A trajectory has no duplicated samples.
TRAJECTORIES = {"n": [3, 60], "weights": ["none"]}


def rows():
    """One row for each estimator of `cases`, dynamics, and mirrors of other kinds."""
    table = {}
    for model in ESTIMATORS:
        if isinstance(model, MirrorSGDRegressor | MirrorSparseRegressorCV):
            row = Row(model, 6)
        elif isinstance(model, MirrorSparseRegressor | Library):
            row = Row(model, 20)
        elif type(model) in FEW:
            row = Row(model, FEW[type(model)])
        elif is_classifier(model):
            row = Row(model, 4, target="classes")
        else:
            row = Row(model, 10)
        table[f"{len(table)}: {type(model).__name__}"] = row
    kinds = {
        "groups": groups([0, 0, 1]),
        "overlapping": groups([[0, 1], [1, 2]]),
        "chain": trend(1),
        "cycle": exchange([(0, 1), (1, 2), (0, 2)]),
        "rank": low_rank(),
    }
    for name, mirrors in kinds.items():
        table[name] = Row(MirrorSparseRegressor(mirrors, alpha=0.1), 10)
    for model in (SymmetryPromotingSINDy(), WeakSymmetryPromotingSINDy(), ConservedQuantities()):
        table[f"{type(model).__name__} of a trajectory"] = Row(model, 10, TRAJECTORIES, "times")
    for model in (SymmetryPromotingSINDy(), ConservedQuantities()):
        table[f"{type(model).__name__} of rates"] = Row(model, 10, target="rates")
    classes = {"n": [3, 60]}
    table["SymmetryDiscoverer of classes"] = Row(SymmetryDiscoverer(), 4, classes, "classes")
    table["least squares"] = Row(MirrorSparseRegressor(alpha=0.0), 20)
    table["deep"] = Row(MirrorSparseRegressor(alpha=0.1, depth=3), 6)
    return table


TABLE = rows()
MIRRORS = [name for name, row in TABLE.items() if isinstance(row.model, MirrorSparseRegressor)]
# Powers with exponents that are fractions round differently in other units.
CONVEX = [name for name in MIRRORS if TABLE[name].model.depth == 2]

RIDGES = [
    name
    for name, row in TABLE.items()
    if isinstance(row.model, SymmetricRidge | SymmetricPotential)
]

# A thorough run is the same test with more cells.
thoroughness = pytest.mark.parametrize(
    "times", [1, pytest.param(50, marks=pytest.mark.thorough)], ids=["few", "many"]
)


def check_cells(strategy, examples, check):
    """Check cells that hypothesis draws: the same ones in every run."""

    @hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def checked(case):
        check(case)

    checked()


# --------------------------------------------------------------------------------- what must hold


def fitted(model, X, y, weight, is_new=True):
    """Fit a copy, or the model again; arithmetic must not warn, whatever else is said."""
    model = clone(model) if is_new else model
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    takes_weights = "sample_weight" in inspect.signature(model.fit).parameters
    options = {} if weight is None or not takes_weights else {"sample_weight": weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        arguments = y if isinstance(y, dict) else {"y": y}
        return model.fit(X, **arguments, **options)


def values(model, X):
    """Predictions, those of classes as probabilities, or what a transformer gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for name in ("predict_proba", "predict", "transform"):
            if hasattr(model, name):
                return getattr(model, name)(X)


def attempt(model, case):
    """A fitted model and its values, None where a clear error refuses the data."""
    X, y, weight = case.data()
    try:
        model = fitted(model, X, y, weight)
        return model, values(model, X)
    except np.linalg.LinAlgError:  # a ValueError, but one that says nothing to users
        raise
    except (ValueError, TypeError) as error:
        if len(str(error)) > 20:
            return None
        raise


def infinite(value):
    """Whether a fitted attribute holds NaN or infinity."""
    if isinstance(value, dict):
        return any(map(infinite, value.values()))
    if isinstance(value, list | tuple):
        return any(map(infinite, value))
    if isinstance(value, np.ndarray | np.generic | float):
        value = np.asarray(value)
        return value.dtype.kind in "fc" and not np.isfinite(value).all()
    return False


@thoroughness
@pytest.mark.parametrize("name", TABLE)
def test_right_or_a_clear_error(name, times):
    def check(case):
        found = attempt(TABLE[name].model, case)
        if found is None:
            return
        model, prediction = found
        assert np.isfinite(prediction).all()
        assert [key for key in fitted_names(model) if infinite(getattr(model, key))] == []

    check_cells(TABLE[name].cases(), times * TABLE[name].examples, check)


@thoroughness
@pytest.mark.parametrize("name", TABLE)
def test_fits_repeat_bit_for_bit(name, times):
    """A fit depends on its data alone: not on an earlier fit, nor on the time."""

    def check(case):
        found = attempt(TABLE[name].model, case)
        if found is None:
            return
        model, prediction = found
        X, y, weight = case.data()
        again = attempt(model, replace(case, seed=case.seed + 1, n=30))
        if again is not None:
            model, _ = again
        again = fitted(model, X, y, weight, is_new=again is None)
        np.testing.assert_array_equal(values(again, X), prediction)

    examples = 1 + times * TABLE[name].examples // 5
    check_cells(TABLE[name].cases(), examples, check)


@thoroughness
@pytest.mark.parametrize("name", TABLE)
def test_layouts_of_memory_agree(name, times):
    def check(case):
        found = attempt(TABLE[name].model, case)
        plain = attempt(TABLE[name].model, replace(case, layout="C"))
        assert (found is None) == (plain is None)
        if found is None:
            return
        size = np.abs(plain[1]).max(initial=0)
        np.testing.assert_allclose(found[1], plain[1], rtol=1e-5, atol=1e-5 * size)

    row = TABLE[name]
    # Collinear columns and distant offsets amplify the order in which numbers are added.
    cases = row.cases(
        layout=["Fortran", "read-only", "mapped"], columns=["plain", "zero"], offset=[0.0, 1.0]
    )
    check_cells(cases, 1 + times * row.examples // 5, check)


@thoroughness
@pytest.mark.parametrize("name", MIRRORS + RIDGES)
def test_weights_are_repetitions(name, times):
    model = TABLE[name].model

    def check(case):
        X, y, weight = case.data()
        weighted = fitted(model, X, y, weight)
        repeated = fitted(model, np.repeat(X, weight, axis=0), np.repeat(y, weight), None)
        size = np.abs(y).max()
        np.testing.assert_allclose(
            values(weighted, X), values(repeated, X), rtol=0, atol=2e-3 * size
        )

    cases = TABLE[name].cases(
        weights=["counts"], x_unit=[1e-3, 1.0, 1e3], y_unit=[1e-3, 1.0, 1e3], offset=[0.0, 10.0]
    )
    check_cells(cases, 1 + times * TABLE[name].examples // 5, check)


@thoroughness
@pytest.mark.parametrize("name", CONVEX)
def test_units_are_powers_of_two(name, times):
    """Predictions in units of y do not change in any digit."""
    model = TABLE[name].model

    def check(drawn):
        case, power = drawn
        X, y, weight = case.data()
        plain = fitted(model, X, y, weight)
        other = clone(model).set_params(alpha=float(np.ldexp(model.alpha, power)))
        other = fitted(other, X, np.ldexp(y, power), weight)
        np.testing.assert_array_equal(np.ldexp(values(other, X), -power), values(plain, X))

    cases = TABLE[name].cases(
        x_unit=[1.0], y_unit=[1.0], layout=["C"], columns=["plain", "constant"], n=[30]
    )
    both = st.tuples(cases, st.sampled_from([-400, -100, -1, 3, 90, 500]))
    check_cells(both, 1 + times * TABLE[name].examples // 5, check)


@thoroughness
@pytest.mark.parametrize("name", RIDGES)
def test_ridges_have_no_units(name, times):
    """Penalties are in units of the spread of the data, so that alpha stays."""
    model = TABLE[name].model

    def check(drawn):
        case, of_x, of_y = drawn
        X, y, weight = case.data()
        plain = fitted(model, X, y, weight)
        X_inside = np.ldexp(X, of_x)
        other = fitted(model, X_inside, np.ldexp(y, of_y), weight)
        prediction = values(plain, X)
        size = np.abs(prediction).max()
        np.testing.assert_allclose(
            np.ldexp(values(other, X_inside), -of_y), prediction, rtol=0, atol=1e-9 * size
        )

    cases = TABLE[name].cases(
        x_unit=[1.0], y_unit=[1.0], offset=[0.0, 1.0], layout=["C"], n=[2, 30]
    )
    powers = st.sampled_from([-300, -90, -3, 0, 1, 60, 300])
    both = st.tuples(cases, powers, powers)
    check_cells(both, 1 + times * TABLE[name].examples // 5, check)
