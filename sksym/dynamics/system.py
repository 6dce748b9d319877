"""Fitted dynamical systems: prediction, simulation and equations."""

from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import validate_data
from sksym._linalg import column_indices, one_thread
from sksym.dynamics.clock import split_at_gaps, times_of_index
from sksym.dynamics.simulation import controls_as_function, integrate, iterate
from sksym.dynamics.smoothing import noise_of_states
from sksym.dynamics.trajectories import checked_times, refuse_lists
from sksym.groups import linear_combination
from sksym.libraries import PolynomialLibrary, evaluate, input_names, needs_no_validation

_ROUND_OFF = 1e-10  # coefficient relative to what it is the sum of, and share of an equation
_STEADY = 1e-6  # variance relative to the mean square of slopes that count as constant


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
        """Return the coefficient of determination of the derivatives; parameters as in `fit`.

        It is ``1 - |y - predicted|^2 / |y - mean|^2``, the mean over the states. Where the slopes
        of a state are constant the denominator is ``|y|^2``.
        """
        check_is_fitted(self)
        if y is None:
            return self._score_on_trajectories(X, sample_weight, t, trajectory)
        return determination(y, self.predict(X), sample_weight)

    def simulate(self, x0, t, u=None, **options):
        """Integrate the fitted system from one state.

        Parameters
        ----------
        x0 : array-like of shape (n_states,)
        t : array-like of shape (m,)
            Times at which the states are wanted, the first that of x0; in discrete time also the
            number of states, an integer.
        u : callable, or array-like of shape (m, n_controls), default=None
            Controls as a function of time, or at the times `t` (linear in between). The columns of
            a data frame are found by name.
        **options
            For `scipy.integrate.solve_ivp`; by default LSODA with tolerances of 1e-8.

        Returns
        -------
        ndarray of shape (m, n_states)
            Fewer rows where a terminal event in `events` ends the simulation: up to the event.

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
        names = np.asarray(input_names(self))[self.controls_].tolist()
        controls = controls_as_function(u, times, names)
        # One row for all steps of the solver, which asks for one state at a time.
        row = np.empty((1, self.n_features_in_))

        def rate(time, x):
            row[0, self.states_] = x
            row[0, self.controls_] = controls(time)
            return self._rates(row)[0]

        with one_thread():
            if self._discrete:
                return iterate(rate, x0, times)
            return integrate(rate, x0, times, options)

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
        coef = self._shown_coef()
        equations = []
        for state, row in zip(self.states_, coef, strict=True):
            name = features[state]
            change = f"{name}'"
            if self._discrete:
                change = f"{name}[k+1] - {name}[k]"
            formula = linear_combination(row, functions, precision, most=None, ones=True)
            equations.append(f"{change} = {formula}")
        return equations

    def print(self, precision=3):
        """Print the equations."""
        print("\n".join(self.equations(precision)))

    # -------------------------------------------------------------------------- for subclasses

    _timed_ = False  # whether `fit` was given times
    _discrete = False  # whether `coef_` gives increments of a map

    def _score_on_trajectories(self, X, sample_weight, t, trajectory):
        """Return the score where no derivatives are given."""
        raise NotImplementedError

    def _shown_coef(self):
        """Return coefficients (q, p) of the named functions, without what is round-off."""
        coef = self.coef_
        share = np.abs(coef) * self._sizes_
        largest = share.max(axis=1, keepdims=True, initial=0)
        coef = np.where(share > _ROUND_OFF * largest, coef, 0.0)
        change = self.library_.monomial_coef(np.eye(coef.shape[1]))
        named = coef @ change
        # Where functions are expanded about another point, what cancels leaves round-off.
        size_of_terms = np.abs(coef) @ np.abs(change)
        return np.where(np.abs(named) > _ROUND_OFF * size_of_terms, named, 0.0)

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
        if reset:
            self._timed_ = t is not None
        elif self._timed_ and not self._discrete and not _has_times(X, t, self.dt):
            raise ValueError(
                "The model was fitted to given times, but there are none for these rows: pass `t`. "
                "In cross-validation switch on metadata routing "
                "(sklearn.set_config(enable_metadata_routing=True)), or fit to derivatives, "
                "y = differentiate(X, t, trajectory)."
            )
        times, indices = checked_times(X, t, trajectory, self.dt)
        return rows, times, split_at_gaps(times, indices, say=reset)

    def _noise(self, X, times, indices):
        """Estimate the noise (d,) of the states in X (n, d); that of controls, which jump, is 0."""
        noise = np.zeros(X.shape[1])
        noise[self.states_], _ = noise_of_states(X[:, self.states_], times, indices)
        return noise


def _has_times(X, t, dt):
    """Tell whether there are times or a step for rows X."""
    return t is not None or dt is not None or times_of_index(X) is not None


def _increasing_times(t):
    """Return times (m,), or the first m steps of a map for an integer."""
    if isinstance(t, Integral):
        t = np.arange(t)
    times = np.asarray(t, dtype=float)
    if times.ndim != 1 or not times.size or (np.diff(times) <= 0).any():
        raise ValueError("`t` must be increasing times, the first that of x0.")
    return times


def determination(y, predicted, sample_weight=None):
    """Return the mean over the columns of 1 - |y - predicted|^2 / |y - mean|^2, weighted.

    Parameters
    ----------
    y, predicted : array-like of shape (n, q) or (n,)
    sample_weight : array-like of shape (n,), default=None
    """
    y = np.asarray(y, dtype=float)
    y = y.reshape(len(y), -1)
    predicted = np.reshape(predicted, y.shape)
    weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    mean = np.average(y, axis=0, weights=weight)
    square = weight @ y**2
    variation = weight @ (y - mean) ** 2
    # The noise of slopes that do not change is nothing that a system could explain.
    variation = np.where(variation > _STEADY * square, variation, square)
    residual = weight @ (y - predicted) ** 2
    unexplained = np.where(residual > 0, np.inf, 0.0)
    np.divide(residual, variation, out=unexplained, where=variation > 0)
    return 1.0 - float(np.mean(np.where(np.isinf(unexplained), 1.0, unexplained)))
