"""Fitted dynamical systems: prediction, simulation, equations; and what fitting them shares."""

import warnings
from numbers import Integral
from typing import ClassVar

import numpy as np
from scipy.integrate import solve_ivp
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym._linalg import column_indices, one_thread
from sksym._estimator import adopt, check_number
from sksym.libraries import (
    PolynomialLibrary,
    evaluate,
    input_names,
    library_values,
    needs_no_validation,
)
from sksym.promote.dynamical import acting, field_problem, identified
from sksym.promote.fitting import Samples
from sksym.promote.rounds import Options

_FAR = 1e8  # times the first state, from where a simulation does not come back
_SHOWN = 1e-10  # a coefficient that is printed, relative to the largest


class Dynamics(RegressorMixin, BaseEstimator):
    """What the estimators for x' = F(x) share: all but how rows of data become a regression."""

    __metadata_request__fit: ClassVar = {"t": True, "trajectory": True}
    __metadata_request__score: ClassVar = {"t": True, "trajectory": True}

    def fit(self, X, y=None, sample_weight=None, *, t=None, trajectory=None):
        """Fit to trajectories, or to states and their derivatives.

        Parameters
        ----------
        X : array-like of shape (n, d)
            States, and controls where there are any, in rows.
        y : array-like of shape (n, n_states), default=None
            Time derivatives of the states; in discrete time the next states. None: taken from the
            trajectories in X.
        sample_weight : array-like of shape (n,), default=None
        t : array-like of shape (n,), or float, default=None
            Times, increasing within each trajectory. None: steps of `dt`.
        trajectory : array-like of shape (n,), default=None
            The trajectory of every row. None: all rows are one.

        Returns
        -------
        self
        """
        fresh = type(self)(**self.get_params(deep=False))
        fresh._fit(X, y, sample_weight, t, trajectory)
        return adopt(self, fresh)

    def predict(self, X):
        """Time derivatives of the states, in discrete time the next states: (n, n_states)."""
        check_is_fitted(self)
        X = self._checked(X)
        values = self._slopes(X)
        return X[:, self.states_] + values if self._discrete else values

    def simulate(self, x0, t, u=None, **options):
        """A trajectory from one state, by integration of the fitted system.

        Parameters
        ----------
        x0 : array-like of shape (n_states,)
        t : array-like of shape (m,)
            Times at which the states are wanted, the first that of x0; in discrete time an
            integer number of states.
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
        x0 = np.asarray(x0, dtype=float)
        if x0.shape != (len(self.states_),):
            raise ValueError(f"`x0` must have shape ({len(self.states_)},), got {x0.shape}.")
        times = np.arange(t) if isinstance(t, Integral) else np.asarray(t, dtype=float)
        if times.ndim != 1 or not len(times) or (np.diff(times) <= 0).any():
            raise ValueError("`t` must be increasing times, the first that of x0.")
        control = self._controls_at(u, times)
        row = np.empty((1, self.n_features_in_))

        def slope(time, x):
            row[0, self.states_], row[0, self.controls_] = x, control(time)
            return self._slopes(row)[0]

        with one_thread():
            if self._discrete:
                return self._iterated(x0, times, slope)
            far = _FAR * (1 + np.abs(x0).max())

            def leaves(time, x):
                return far - np.abs(x).max()

            leaves.terminal = True
            options = {"method": "LSODA", "rtol": 1e-8, "atol": 1e-8, "events": leaves, **options}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what goes wrong is told below
                path = solve_ivp(slope, (times[0], times[-1]), x0, t_eval=times, **options)
        if not path.success or path.y.shape[1] < len(times) or not np.isfinite(path.y).all():
            reached = path.t[-1] if len(path.t) else times[0]
            raise RuntimeError(
                f"The fitted system cannot be integrated beyond t = {reached:.6g} "
                f"({path.message}): it may blow up there; ask for shorter times."
            )
        return path.y.T

    def score(self, X, y=None, sample_weight=None, *, t=None, trajectory=None):
        """Coefficient of determination of the derivatives; parameters as in `fit`."""
        check_is_fitted(self)
        if y is None:
            X, y, weight = self._regression(X, sample_weight, t, trajectory)
            return r2_score(y, self.predict(X), sample_weight=weight)
        return r2_score(y, self.predict(X), sample_weight=sample_weight)

    def equations(self, precision=3):
        """The system as formulas, one string for each state.

        Parameters
        ----------
        precision : int, default=3
            Significant digits.
        """
        check_is_fitted(self)
        features = input_names(self)
        coef, names = self.coef_, self.library_.get_feature_names_out(features)
        if hasattr(self.library_, "monomial_coef"):
            coef = self.library_.monomial_coef(coef)
        out = []
        for i, row in zip(self.states_, coef, strict=True):
            terms = np.flatnonzero(np.abs(row) > _SHOWN * np.abs(coef).max(initial=0))
            text = ""
            for k in terms:
                sign = ("- " if row[k] < 0 else "+ ") if text else ("-" if row[k] < 0 else "")
                name = "" if names[k] == "1" else f" {names[k]}"
                text += f"{' ' if text else ''}{sign}{abs(row[k]):.{precision}g}{name}"
            left = f"{features[i]}[k+1] - {features[i]}[k]" if self._discrete else f"{features[i]}'"
            out.append(f"{left} = {text or '0'}")
        return out

    def print(self, precision=3):
        """Print the equations."""
        print("\n".join(self.equations(precision)))

    # Subclasses have `_regression(X, sample_weight, t, trajectory)`, rows of states and slopes.

    _discrete = False

    def _iterated(self, x0, times, slope):
        path = [x0]
        for time in times[:-1]:
            path.append(path[-1] + slope(time, path[-1]))
            if not np.isfinite(path[-1]).all():
                raise RuntimeError(f"The fitted map blows up after step {time:g}: iterate less.")
        return np.array(path)

    def _controls_at(self, u, times):
        """Controls as a function of time."""
        n = len(self.controls_)
        if (u is None) != (n == 0):
            what = f"{n} controls, but got none" if n else "no controls, but got `u`"
            raise ValueError(f"The system has {what}: `u` holds the controls at the times `t`.")
        if u is None or callable(u):
            return u or (lambda time: ())
        u = np.asarray(u, dtype=float).reshape(len(times), -1)
        if u.shape[1] != n:
            raise ValueError(f"`u` must have shape ({len(times)}, {n}), got {u.shape}.")
        return lambda time: [np.interp(time, times, column) for column in u.T]

    def _slopes(self, X):
        return evaluate(self.library_, self.coef_, X)

    def _checked(self, X, reset=False):
        if not reset and needs_no_validation(self, X):
            return X
        X = X if hasattr(X, "iloc") else _rows(X)
        given = np.shape(X)[1] if np.ndim(X) == 2 else None
        if not reset and len(self.controls_) and given == len(self.states_):
            raise ValueError(
                f"X has {given} columns, but the system has {len(self.states_)} states and "
                f"{len(self.controls_)} controls: give the controls in their columns too."
            )
        return validate_data(self, X, dtype=np.float64, reset=reset)

    def _split_columns(self, X):
        """Which columns are states and which controls."""
        X = X if hasattr(X, "iloc") else _rows(X)
        names = list(X.columns) if hasattr(X, "columns") else np.shape(X)[1]
        given = () if self.controls is None else np.atleast_1d(self.controls).tolist()
        controls, d = column_indices(given, names, len(given)) if given else ((), np.shape(X)[1])
        self.controls_ = np.asarray(controls, dtype=int)
        self.states_ = np.setdiff1d(np.arange(d), self.controls_)
        if not len(self.states_):
            raise ValueError("All columns are `controls`: leave the states out of them.")

    def _problem(self, X):
        algebra, candidates = (
            acting(one, self.states_, self.n_features_in_)
            for one in (self.algebra, self.candidates)
        )
        library = PolynomialLibrary(2) if self.library is None else self.library
        fixed = all(one is None or not one.offset.any() for one in (algebra, candidates))
        if fixed and "center" in library.get_params(deep=False) and library.center is None:
            # Equations are sparse in the coordinates that the data come in.
            library = type(library)(**{**library.get_params(deep=False), "center": 0.0})
        return field_problem(algebra, candidates, library, X, self.states_)

    def _options(self):
        for name in ("alpha", "threshold", "l1", "ridge"):
            check_number(getattr(self, name), name)
        return Options(bool(self.adaptive), "auto", float(self.tol), int(self.max_iter))

    def _solve(self, samples, options):
        """Promote, decide, and make the result sparse inside what is left."""
        vars(self).update(identified(samples, self, options))


def _rows(X):
    """`X` unless it is a list of trajectories."""
    nested = isinstance(X, list | tuple) and any(np.ndim(part) > 1 for part in X)
    if nested or np.ndim(X) == 3:
        raise ValueError(
            f"X must be rows of shape (n, d), got {len(X)} trajectories. Stack them: "
            "`X, t, trajectory = stack_trajectories(list_X, list_t)`, and pass t=t, "
            "trajectory=trajectory."
        )
    return X if hasattr(X, "shape") else np.asarray(X)


def thinned(samples, indices):
    """The same rows, weighing as many independent ones as they are worth.

    What least squares leaves is correlated along a trajectory where it stems from differentiated
    noise, and from window to window where they overlap: weights are divided by
    ``1 + 2 sum of autocorrelations`` up to the first that is not positive.
    """
    problem, data = samples.problem, samples.data(0.0)
    coef = problem.coef(data.parts(0.0)[2])
    if samples.operator is None:
        left = samples.Y - evaluate(problem.space.library, coef, samples.X)
    else:
        values = samples.operator(library_values(problem.space.library, samples.X))
        left = samples.Y - values @ coef.T
    left = left * samples.root[:, None]
    lags = min(max(len(index) for index in indices) - 1, 200)
    products = np.zeros(lags + 1)
    for index in indices:
        one = left[index]
        for lag in range(min(lags, len(one) - 1) + 1):
            products[lag] += np.sum(one[lag:] * one[: len(one) - lag])
    if not products[0] > 0:
        return samples
    rho = products / products[0]
    end = np.flatnonzero(rho <= 0)
    time = 1 + 2 * np.sum(rho[1 : end[0] if len(end) else None])
    root = samples.root / np.sqrt(max(time, 1.0))
    return Samples(problem, samples.X, samples.Y, root, samples.operator)
