"""How far a reader walks from `fit` to `coef_`: own functions, files and frames of a small fit.

``pytest tests/test_reading.py -s`` prints the way of every estimator.
"""

import sys
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

import sksym
from sksym import (
    MirrorSparseRegressor,
    SymmetricRidge,
    SymmetryPromotingRegressor,
    SymmetryPromotingSINDy,
    so,
)
from sksym.mirror import rescaling

PACKAGE = Path(sksym.__file__).resolve().parent


@dataclass(frozen=True)
class Walk:
    """What a reader meets between the call of ``fit`` and its return.

    Attributes
    ----------
    functions : frozenset of (file, qualified name)
        Distinct functions of sksym that are entered. Properties are read as attributes; lambdas,
        comprehensions and generated methods have no name to look up: they are not counted.
    way : tuple of str
        Functions of sksym on the stack where the numbers in `coef_` appear, from ``fit`` on:
        in the first function that returns them, alone or within a tuple or a dataclass, or, where
        none does, in the one that sets the attribute. So ``fit`` counts as 1; wrappers around it
        come before, and functions that the solver calls return other numbers: neither is counted.
    """

    functions: frozenset
    way: tuple[str, ...]

    @property
    def files(self):
        return {file for file, _ in self.functions}

    def __str__(self):
        return (
            f"{len(self.functions)} functions in {len(self.files)} files, "
            f"{len(self.way)} frames: {' -> '.join(self.way)}"
        )

    def listed(self):
        """One line for each file with the functions that are entered in it."""
        lines = [
            f"{file}: {', '.join(sorted(name for where, name in self.functions if where == file))}"
            for file in sorted(self.files)
        ]
        return "\n".join([str(self), *lines])


class Recorder:
    """A profile function that notes the own functions entered and the arrays that they return."""

    def __init__(self, package):
        self.package = str(package)
        self.properties = codes_of_properties()
        self.functions = set()
        self.returned = []  # (array, way) in the order of time
        self.coef = None
        self.way = None

    def __call__(self, frame, event, value):
        if event not in ("call", "return") or not self.is_own(frame):
            return
        if event == "call":
            code = frame.f_code
            file = Path(code.co_filename).relative_to(self.package).as_posix()
            self.functions.add((file, code.co_qualname))
        elif self.coef is None:
            self.returned += [(array, self.way_to(frame)) for array in arrays_in(value)]

    def is_own(self, frame):
        """Whether a frame runs a named function of the package."""
        code = frame.f_code
        is_named = not code.co_name.startswith("<") and code not in self.properties
        return is_named and code.co_filename.startswith(self.package)

    def way_to(self, frame):
        """Own functions on the stack of a frame, from the outermost ``fit`` on."""
        names = []
        while frame is not None:
            if self.is_own(frame):
                names.insert(0, frame.f_code.co_name)
            frame = frame.f_back
        return tuple(names[names.index("fit") :]) if "fit" in names else tuple(names)

    def coefficients_are_set(self, coef, frame):
        """Find the way to the coefficients when the attribute is set for the first time."""
        if self.coef is None:
            self.coef = np.array(coef)
            ways = [way for array, way in self.returned if same_numbers(array, self.coef)]
            self.way = ways[0] if ways else self.way_to(frame)

    def walk(self):
        assert self.way is not None, "`coef_` was never set as an attribute"
        return Walk(frozenset(self.functions), self.way)


def codes_of_properties():
    """Code objects of all properties, cached ones too, of the classes of the package."""
    modules = [module for name, module in sys.modules.items() if name.startswith("sksym")]
    classes = {thing for m in modules for thing in vars(m).values() if isinstance(thing, type)}
    members = [member for kind in classes for member in vars(kind).values()]
    getters = [member.fget for member in members if isinstance(member, property)]
    getters += [member.func for member in members if isinstance(member, cached_property)]
    return {getter.__code__ for getter in getters if hasattr(getter, "__code__")}


def arrays_in(value):
    """List the arrays of numbers that a value is, or that its items or fields hold."""
    if isinstance(value, np.ndarray):
        return [value] if value.dtype.kind == "f" else []
    held = ()
    if isinstance(value, tuple):
        held = value
    elif is_dataclass(value):
        held = [getattr(value, field.name, None) for field in fields(value)]
    return [array for item in held for array in arrays_in(item)]


def same_numbers(array, coef):
    """Whether an array holds the coefficients, in whatever shape."""
    if array.size != coef.size:
        return False
    flat = coef.ravel()
    return np.array_equal(array.ravel(), flat) or np.array_equal(array.T.ravel(), flat)


def walk_of(model, monkeypatch, *data, package=PACKAGE, **named):
    """Fit a model and record what runs; the class of the model reports when `coef_` is set."""
    recorder = Recorder(package)

    def recording_setattr(self, name, value):
        object.__setattr__(self, name, value)
        if name == "coef_":
            recorder.coefficients_are_set(value, sys._getframe(1))

    monkeypatch.setattr(type(model), "__setattr__", recording_setattr)
    earlier = sys.getprofile()
    sys.setprofile(recorder)
    try:
        model.fit(*data, **named)
    finally:
        sys.setprofile(earlier)
    return recorder.walk()


def regression(n_features):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, n_features))
    return X, X[:, 0] ** 2 + X[:, 1] ** 2 + 0.1 * rng.normal(size=60)


def turning():
    t = np.linspace(0, 6, 200)
    radius = np.exp(-0.1 * t)
    return np.column_stack([radius * np.cos(t), radius * np.sin(t)]), t


def assert_short(walk, n_functions, n_files):
    print(f"\n{walk.listed()}")
    assert len(walk.functions) <= n_functions, walk.listed()
    assert len(walk.files) <= n_files, walk.listed()


def test_symmetric_ridge_is_read_in_minutes(monkeypatch):
    walk = walk_of(SymmetricRidge(so(3)), monkeypatch, *regression(3))
    assert_short(walk, n_functions=122, n_files=18)
    assert len(walk.way) <= 4, walk.listed()


def test_promotion_is_read_in_an_hour(monkeypatch):
    model = SymmetryPromotingRegressor(so(3), alpha=0.1)
    assert_short(walk_of(model, monkeypatch, *regression(3)), n_functions=290, n_files=37)


def test_promotion_of_dynamics_is_read_in_an_hour(monkeypatch):
    X, t = turning()
    walk = walk_of(SymmetryPromotingSINDy(so(2)), monkeypatch, X, t=t)
    assert_short(walk, n_functions=337, n_files=46)


def test_mirrors_are_read_in_minutes(monkeypatch):
    model = MirrorSparseRegressor(rescaling(), alpha=0.1)
    assert_short(walk_of(model, monkeypatch, *regression(5)), n_functions=37, n_files=7)


# ---------------------------------------------------------------------------------- the rule


class InThreeFrames:
    """The numbers appear in the third frame, whatever runs below it or afterwards."""

    def fit(self, X):
        self.scale_ = [spread(x) for x in X.T]
        self._set(X)
        report()

    def _set(self, X):
        self.coef_ = solve(X).reshape(1, -1).copy()


class InOneFrame:
    """The frame that sets the attribute computes it."""

    def fit(self, X):
        self.coef_ = X.sum(axis=0) / spread(X)


class InSolution:
    """The numbers come in a dataclass."""

    def fit(self, X):
        solution, _ = solved(X)
        self.coef_ = solution.coef


@dataclass(frozen=True)
class Solution:
    coef: np.ndarray
    n_iter: int


def spread(x):
    return np.array([np.ptp(x)])


def solve(X):
    return spread(X) * X.mean(axis=0)


def solved(X):
    coef = X.mean(axis=0) - spread(X)
    return Solution(coef, 1), "done"


def report():
    return (lambda: "fitted")()


@pytest.mark.parametrize(
    ("model", "functions", "way"),
    [
        (
            InThreeFrames(),
            {"InThreeFrames.fit", "InThreeFrames._set", "solve", "spread", "report"},
            ("fit", "_set", "solve"),
        ),
        (InOneFrame(), {"InOneFrame.fit", "spread"}, ("fit",)),
        (InSolution(), {"InSolution.fit", "solved", "spread"}, ("fit", "solved")),
    ],
    ids=["in three frames", "in one frame", "in a solution"],
)
def test_rule_finds_the_way(model, functions, way, monkeypatch):
    X = np.random.default_rng(0).normal(size=(7, 3))
    here = Path(__file__)
    walk = walk_of(model, monkeypatch, X, package=here.parent)
    assert walk.way == way
    assert walk.files == {here.name}
    names = {name for _, name in walk.functions}
    ours = {name for name in names if "recording" not in name and "Recorder" not in name}
    assert ours - {"same_numbers"} == functions
