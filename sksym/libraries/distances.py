"""Functions of a distance with exact derivatives: splines, and functions that users write."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.interpolate import CubicSpline
from sklearn.preprocessing import FunctionTransformer

from sksym._estimator import is_integer
from sksym.libraries.adapters import AdaptedLibrary

_NARROW = 1e-3  # width of the range of a single distance, relative to it
_SILENT = {"divide": "ignore", "over": "ignore", "invalid": "ignore"}  # values are checked instead


@dataclass(frozen=True, eq=False)
class Splines:
    """Natural cubic splines on a range of distances, straight lines beyond it.

    Function a is 1 at knot a and 0 at all others: its coefficient is the value there of the
    function that is fitted.

    Attributes
    ----------
    knots : ndarray of shape (k,)
    splines : CubicSpline
        With k values.
    """

    knots: np.ndarray
    splines: CubicSpline

    derivative_rtol: ClassVar[float] = 0.0  # derivatives of splines are splines

    @classmethod
    def on(cls, low, high, k):
        """Return k splines with equal steps between knots."""
        if low == high:  # one distance only
            half_width = _NARROW * (high or 1.0)
            low = low - half_width
            high = high + half_width
        knots = np.linspace(low, high, k)
        return cls(knots, CubicSpline(knots, np.eye(k), bc_type="natural"))

    @property
    def names(self):
        return [f"s{i}" for i in range(len(self.knots))]

    def values(self, r):
        """Evaluate at distances of any shape: shape (.., k)."""
        within = np.clip(r, self.knots[0], self.knots[-1])
        values = self.splines(within)
        beyond = r - within
        outside = beyond != 0
        if outside.any():
            # The second derivative is zero at the ends, so that straight lines are smooth.
            slopes = self.splines(within[outside], nu=1)
            values[outside] += beyond[outside][:, None] * slopes
        return values

    def slopes(self, r):
        """Differentiate at distances of any shape: shape (.., k)."""
        within = np.clip(r, self.knots[0], self.knots[-1])
        return self.splines(within, nu=1)


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
        values = []
        derivatives = []
        rtol = 0.0
        for function in functions:
            f, df = _with_derivative(function)
            if df is None:
                differentiable = AdaptedLibrary(FunctionTransformer(f))
                with np.errstate(**_SILENT):
                    differentiable.fit(distances[:, None])
                df = _Slope(differentiable)
                rtol = max(rtol, differentiable.jacobian_rtol_)
            values.append(f)
            derivatives.append(df)
        return cls(tuple(values), tuple(derivatives), _names(values), rtol)

    def values(self, r):
        """Evaluate at distances of any shape: shape (.., k)."""
        return self._evaluated(self.functions, r, "")

    def slopes(self, r):
        """Differentiate at distances of any shape: shape (.., k)."""
        return self._evaluated(self.derivatives, r, "derivative of the ")

    def _evaluated(self, functions, r, what):
        """Evaluate some functions, and refuse what is not finite."""
        out = np.empty((*r.shape, len(functions)))
        for a, function in enumerate(functions):
            with np.errstate(**_SILENT):
                column = np.asarray(function(r.reshape(-1, 1)), dtype=float)
            if column.size not in (1, r.size):
                raise ValueError(
                    f"Function {self.names[a]} of `functions` gives {column.size} values for "
                    f"{r.size} distances: it must give one for each."
                )
            column = np.broadcast_to(column.ravel(), r.size).reshape(r.shape)
            refused = ~np.isfinite(column)
            if refused.any():
                first = r[refused][0]
                raise ValueError(
                    f"The {what}function {self.names[a]} of `functions` is not finite at the "
                    f"distance {first:.6g}: leave such rows out, or give a function that is."
                )
            out[..., a] = column
        return out


class _Slope:
    """The derivative of a library of one function of one variable."""

    def __init__(self, library):
        self.library = library

    def __call__(self, r):
        """Differentiate at distances (m, 1): shape (m,)."""
        return self.library.jacobian(r)[:, 0, 0]


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
        is_plain = name.isidentifier() and names.count(name) == 1
        readable.append(name if is_plain else f"f{a}")
    return readable
