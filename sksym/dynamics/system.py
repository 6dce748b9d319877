"""Fitted dynamical systems: prediction, simulation and equations."""

import warnings
from numbers import Integral
from typing import ClassVar

import numpy as np
from scipy.integrate import solve_ivp
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import validate_data
from sksym._linalg import column_indices, one_thread
from sksym.dynamics.smoothing import noise_of_states
from sksym.dynamics.trajectories import checked_times, refuse_lists
from sksym.groups import linear_combination
from sksym.libraries import PolynomialLibrary, evaluate, input_names, needs_no_validation

_FAR = 1e8  # times the first state, where a simulation ends
_SHOWN = 1e-10  # a coefficient that is printed, relative to the largest


class DynamicalSystem(RegressorMixin, BaseEstimator):
    """What a fitted system x' = F(x) does; its estimators say how data become a regression.

    They set `states_`, `controls_` (`_split_columns`), `library_` and `coef_`, and have the
    parameters `controls`, `library` and `dt`.
    """

    __metadata_request__fit: ClassVar = {"t": True, "trajectory": True}
    __metadata_request__score: ClassVar = {"t": True, "trajectory": True}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False  # derivatives may be taken from trajectories
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X):
        """Return time derivatives of the states, in discrete time the next states.

        Parameters
        ----------
        X : array-like of shape (n, d)
            States, and controls where there are any.

        Returns
        -------
        ndarray of shape (n, n_states)
        """
        check_is_fitted(self)
        X = self._validated(X)
        values = self._rates(X)
        if self._discrete:
            return X[:, self.states_] + values
        return values

    def score(self, X, y=None, sample_weight=None, *, t=None, trajectory=None):
        """Return the coefficient of determination of the derivatives; parameters as in `fit`."""
        check_is_fitted(self)
        if y is None:
            return self._score_on_trajectories(X, sample_weight, t, trajectory)
        return r2_score(y, self.predict(X), sample_weight=sample_weight)

    def simulate(self, x0, t, u=None, **options):
        """Integrate the fitted system from one state.

        Parameters
        ----------
        x0 : array-like of shape (n_states,)
        t : array-like of shape (m,)
            Times at which the states are wanted, the first that of x0; in discrete time also the
            number of states, an integer.
        u : callable, or array-like of shape (m, n_controls), default=None
            Controls as a function of time, or at the times `t` (linear in between).
        **options
            For `scipy.integrate.solve_ivp`; by default LSODA with tolerances of 1e-8.

        Returns
        -------
        ndarray of shape (m, n_states)

        Raises
        ------
        RuntimeError
            Where the solution leaves all bounds before the last time.
        """
        check_is_fitted(self)
        n_states = len(self.states_)
        x0 = np.asarray(x0, dtype=float)
        if x0.shape != (n_states,):
            raise ValueError(f"`x0` must have shape ({n_states},), got {x0.shape}.")
        times = _increasing_times(t)
        controls = self._controls_as_function(u, times)
        # One row for all steps of the solver, which asks for one state at a time.
        row = np.empty((1, self.n_features_in_))

        def rate(time, x):
            row[0, self.states_] = x
            row[0, self.controls_] = controls(time)
            return self._rates(row)[0]

        with one_thread():
            if self._discrete:
                return _iterate(rate, x0, times)
            return _integrate(rate, x0, times, options)

    def equations(self, precision=3):
        """Return the system as formulas.

        Parameters
        ----------
        precision : int, default=3
            Significant digits.

        Returns
        -------
        list of str
            One equation for each state.
        """
        check_is_fitted(self)
        features = input_names(self)
        functions = np.asarray(self.library_.get_feature_names_out(features))
        coef = self.library_.monomial_coef(self.coef_)
        smallest = _SHOWN * np.abs(coef).max(initial=0)
        equations = []
        for state, row in zip(self.states_, coef, strict=True):
            name = features[state]
            change = f"{name}'"
            if self._discrete:
                change = f"{name}[k+1] - {name}[k]"
            shown = np.where(np.abs(row) > smallest, row, 0.0)
            formula = linear_combination(shown, functions, precision, most=None, ones=True)
            equations.append(f"{change} = {formula}")
        return equations

    def print(self, precision=3):
        """Print the equations."""
        print("\n".join(self.equations(precision)))

    # -------------------------------------------------------------------------- for subclasses

    _discrete = False  # whether `coef_` gives increments of a map

    def _score_on_trajectories(self, X, sample_weight, t, trajectory):
        """Return the score where no derivatives are given."""
        raise NotImplementedError

    def _rates(self, X):
        """Return ``coef phi(x)`` for validated rows X (n, d): shape (n, n_states)."""
        return evaluate(self.library_, self.coef_, X)

    def _template(self):
        """Return the library to fit."""
        return PolynomialLibrary(2) if self.library is None else self.library

    def _split_columns(self):
        """Set which of the columns seen in ``fit`` are states and which are controls."""
        d = self.n_features_in_
        self.controls_ = np.zeros(0, dtype=int)
        if self.controls is not None:
            controls = np.atleast_1d(self.controls).tolist()
            names = getattr(self, "feature_names_in_", d)
            self.controls_, _ = column_indices(controls, names, len(controls))
        every = np.arange(d)
        self.states_ = np.setdiff1d(every, self.controls_)
        if not len(self.states_):
            raise ValueError("All columns are `controls`: leave the states out of them.")

    def _validated(self, X, reset=False, finite=True):
        """Return X as float64 rows; names of columns are remembered or compared."""
        if not reset and needs_no_validation(self, X):
            return X
        refuse_lists(X)
        if not reset and len(self.controls_):
            self._require_controls(getattr(X, "shape", ()))
        return validate_data(self, X, dtype=np.float64, ensure_all_finite=finite, reset=reset)

    def _require_controls(self, shape):
        """Raise where X has only the columns of the states."""
        n_states = len(self.states_)
        if len(shape) == 2 and shape[1] == n_states:
            raise ValueError(
                f"X has {n_states} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input, {n_states} states and "
                f"{len(self.controls_)} controls: give the controls in their columns too."
            )

    def _validated_trajectories(self, X, t, trajectory, reset):
        """Return rows (n, d), times (n,), and the rows of each trajectory in order of time."""
        rows = self._validated(X, reset=reset, finite=False)
        if reset:
            self._split_columns()
        # Of X as it was given, whose columns have names: errors name the place of what is wrong.
        times, indices = checked_times(X, t, trajectory, self.dt)
        return rows, times, indices

    def _noise(self, X, times, indices):
        """Estimate the noise (d,) of the states in X (n, d); that of controls, which jump, is 0."""
        noise = np.zeros(X.shape[1])
        noise[self.states_], _ = noise_of_states(X[:, self.states_], times, indices)
        return noise

    def _controls_as_function(self, u, times):
        """Return a function of time that gives the controls (n_controls,)."""
        n = len(self.controls_)
        if (u is None) != (n == 0):
            what = f"{n} controls, but got none" if n else "no controls, but got `u`"
            raise ValueError(f"The system has {what}: `u` holds the controls at the times `t`.")
        if u is None:
            return lambda time: ()
        if callable(u):
            return u
        # Linear in between: a spline could leave the range that an actuator has.
        m = len(times)
        u = np.asarray(u, dtype=float).reshape(m, -1)
        if u.shape[1] != n:
            raise ValueError(f"`u` must have shape ({m}, {n}), got {u.shape}.")
        return lambda time: [np.interp(time, times, column) for column in u.T]


def _increasing_times(t):
    """Return times (m,), or the first m steps of a map for an integer."""
    if isinstance(t, Integral):
        t = np.arange(t)
    times = np.asarray(t, dtype=float)
    if times.ndim != 1 or not times.size or (np.diff(times) <= 0).any():
        raise ValueError("`t` must be increasing times, the first that of x0.")
    return times


def _iterate(increment, x0, times):
    """Iterate a map: states (m, q) at consecutive times (m,)."""
    x = x0
    path = [x]
    for time in times[:-1]:
        x = x + increment(time, x)
        if not np.isfinite(x).all():
            raise RuntimeError(f"The fitted map blows up after step {time:g}: iterate less.")
        path.append(x)
    return np.array(path)


def _integrate(rate, x0, times, options):
    """Integrate x' = rate(t, x): states (m, q) at the times (m,)."""
    far = _FAR * (1 + np.abs(x0).max())

    def distance_to_bound(time, x):
        return far - np.abs(x).max()

    # Without an end, steps shrink for ever where the solution blows up in finite time.
    distance_to_bound.terminal = True
    defaults = {
        "method": "LSODA",
        "rtol": 1e-8,
        "atol": 1e-8,
        "events": distance_to_bound,
    }
    span = (times[0], times[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # failures are reported below, with the time reached
        path = solve_ivp(rate, span, x0, t_eval=times, **{**defaults, **options})
    complete = path.success and len(path.t) == len(times)
    if not complete or not np.isfinite(path.y).all():
        reached = path.t[-1] if len(path.t) else times[0]
        raise RuntimeError(
            f"The fitted system cannot be integrated beyond t = {reached:.6g} "
            f"({path.message}): it may blow up there; ask for shorter times."
        )
    return path.y.T
