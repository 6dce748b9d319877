"""Functions of a distance with exact derivatives: splines, and functions that users write."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.interpolate import CubicSpline
from sklearn.preprocessing import FunctionTransformer

from sksym._estimator import is_integer
from sksym.libraries.adapters import AdaptedLibrary
from sksym.libraries.polynomial import power_of_two

_SHORTEST = 0.05  # distance relative to the largest from which knots are in constant ratio
_NARROW = 1e-3  # width of the range of a single distance, relative to it
_SILENT = {"divide": "ignore", "over": "ignore", "invalid": "ignore"}  # values are checked instead


@dataclass(frozen=True, eq=False)
class Splines:
    """Cubic splines on a range of distances, with knots that are denser at short ones.

    Function a is 1 at knot a and 0 at all others: its coefficient is the value there of the
    function that is fitted. Below the range functions go on as parabolas, which follow a steep
    repulsion, and above it as straight lines, all with continuous second derivatives.

    Attributes
    ----------
    knots : ndarray of shape (k,)
    unit : float
        A power of two near the largest distance.
    splines : CubicSpline
        With k values, of distances in that unit.
    """

    knots: np.ndarray
    unit: float
    splines: CubicSpline

    derivative_rtol: ClassVar[float] = 0.0  # derivatives of splines are splines

    @classmethod
    def on(cls, low, high, k):
        """Return k splines with knots in nearly constant ratio."""
        if low == high:  # one distance only
            half_width = _NARROW * (high or 1.0)
            low = low - half_width
            high = high + half_width
        # From zero the ratio would be infinite.
        shift = max(_SHORTEST * high - low, 0.0)
        knots = np.geomspace(low + shift, high + shift, k) - shift
        knots[0] = low
        knots[-1] = high
        unit = float(power_of_two(high))
        # No curvature at large distances; at short ones that of the second piece goes on.
        splines = CubicSpline(knots / unit, np.eye(k), bc_type=("not-a-knot", "natural"))
        return cls(knots, unit, splines)

    @property
    def names(self):
        return [f"s{i}" for i in range(len(self.knots))]

    def values(self, r):
        """Evaluate at distances of any shape: shape (.., k)."""
        within, beyond = self._split(r)
        values = self.splines(within)
        outside = beyond != 0
        if outside.any():
            # Taylor's formula about the nearest end; the curvature at the upper one is zero.
            end = within[outside]
            step = beyond[outside][:, None]
            linear = self.splines(end, nu=1) * step
            quadratic = self.splines(end, nu=2) * step**2 / 2
            values[outside] += linear + quadratic
        return values

    def slopes(self, r):
        """Differentiate at distances of any shape: shape (.., k)."""
        within, beyond = self._split(r)
        slopes = self.splines(within, nu=1)
        outside = beyond != 0
        if outside.any():
            step = beyond[outside][:, None]
            slopes[outside] += self.splines(within[outside], nu=2) * step
        return slopes / self.unit

    def _split(self, r):
        """Return the nearest distances in the range of the knots and the rest, in units."""
        within = np.clip(r, self.knots[0], self.knots[-1])
        return within / self.unit, (r - within) / self.unit


@dataclass(frozen=True, eq=False)
class GivenFunctions:
    """Functions that users write, with derivatives of their own or numerical ones.

    Attributes
    ----------
    functions : tuple of k callables
    derivatives : tuple of k callables
    names : list of k str
    derivative_rtol : float
        Relative accuracy of the derivatives.
    """

    functions: tuple
    derivatives: tuple
    names: list
    derivative_rtol: float

    @classmethod
    def of(cls, functions, distances):
        """Read what users write, functions or pairs (f, df).

        Parameters
        ----------
        functions : sequence
        distances : ndarray of shape (m,)
            Where numerical derivatives are compared.
        """
        pairs = [_with_derivative(function) for function in functions]
        names = _names([f for f, _ in pairs])
        values = []
        derivatives = []
        rtol = 0.0
        for name, (f, df) in zip(names, pairs, strict=True):
            f = Column(f, f"function {name}")
            # The library of one function has the safe numerical derivative.
            if df is None:
                library = AdaptedLibrary(FunctionTransformer(f))
                with np.errstate(**_SILENT):
                    library.fit(distances[:, None])
                df = Slope(library)
                rtol = max(rtol, library.jacobian_rtol_)
            values.append(f)
            derivatives.append(Column(df, f"derivative of the function {name}"))
        return cls(tuple(values), tuple(derivatives), names, rtol)

    def values(self, r):
        """Evaluate at distances of any shape: shape (.., k)."""
        return _finite_columns(self.functions, r)

    def slopes(self, r):
        """Differentiate at distances of any shape: shape (.., k)."""
        return _finite_columns(self.derivatives, r)


@dataclass(frozen=True)
class Column:
    """A function of distances (m, 1), real or complex, with values (m, 1) whatever users give."""

    function: object
    name: str

    def __call__(self, r):
        """Evaluate; a single number stands for a constant."""
        with np.errstate(**_SILENT):
            values = np.asarray(self.function(r))
        if values.size not in (1, r.size):
            raise ValueError(
                f"The {self.name} of `functions` gives {values.size} values for {r.size} "
                "distances: it must give one for each."
            )
        return np.broadcast_to(values.ravel(), r.size)[:, None]


@dataclass(frozen=True, eq=False)
class Slope:
    """The derivative of a library of one function of one variable."""

    library: AdaptedLibrary

    def __call__(self, r):
        """Differentiate at distances (m, 1): shape (m,)."""
        return self.library.jacobian(r)[:, 0, 0]


def _finite_columns(functions, r):
    """Evaluate k functions at distances, and refuse what is not finite: shape (.., k)."""
    out = np.empty((*r.shape, len(functions)))
    for a, function in enumerate(functions):
        values = function(r.reshape(-1, 1))
        out[..., a] = values.reshape(r.shape)
        refused = ~np.isfinite(out[..., a])
        if refused.any():
            first = r[refused][0]
            raise ValueError(
                f"The {function.name} of `functions` is not finite at the distance {first:.6g}: "
                "leave such rows out, or give a function that is."
            )
    return out


def read_functions(functions):
    """Return the number of splines, or the list of functions, that a parameter means."""
    if is_integer(functions):
        if functions < 2:
            raise ValueError(f"`functions` must be at least 2 splines, got {functions!r}.")
        return int(functions), None
    if isinstance(functions, list | tuple) and len(functions):
        for function in functions:
            _with_derivative(function)
        return None, functions
    raise ValueError(
        "`functions` must be a number of splines, or a list of functions of the distance or pairs "
        f"(f, df) of a function and its derivative, got {functions!r}."
    )


def n_functions_of(functions):
    """Return how many functions of the distance a parameter means."""
    return functions if is_integer(functions) else len(functions)


def _with_derivative(function):
    """Return a function and its derivative; None where users give none."""
    if callable(function):
        return function, None
    is_pair = isinstance(function, list | tuple) and len(function) == 2
    if is_pair and callable(function[0]) and callable(function[1]):
        return function
    raise ValueError(
        "`functions` must hold functions of the distance, or pairs (f, df) of a function and its "
        f"derivative, got {function!r}."
    )


def _names(functions):
    """Return the names of functions; f0, f1, .. for those without one, or with one name twice."""
    names = [getattr(f, "__name__", "<object>") for f in functions]
    readable = []
    for a, name in enumerate(names):
        # Names tell functions apart, so that each must be there once.
        is_plain = name.isidentifier() and names.count(name) == 1
        readable.append(name if is_plain else f"f{a}")
    return readable
