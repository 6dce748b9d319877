"""Sparse identification of dynamical systems, with symmetry enforced and promoted."""

import warnings
from dataclasses import replace
from numbers import Integral
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
from scipy import sparse
from scipy.integrate import solve_ivp
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym._linalg import column_indices, one_thread
from sksym._sklearn import adopt, check_number, checked_weights
from sksym.algebras import LieAlgebra
from sksym.dynamics.sparse import Sparsity, sparsest_rows
from sksym.dynamics.trajectories import checked_times, differentiate
from sksym.equivariant import on_features
from sksym.libraries import PolynomialLibrary, evaluate, input_names
from sksym.promote.fitting import Samples, fitted_at
from sksym.promote.problem import PromotionProblem
from sksym.promote.rounds import Options
from sksym.representations import columns, vector
from sksym.spectra import readable

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
        values = evaluate(self.library_, self._sparse_coef_, X)
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
            return evaluate(self.library_, self._sparse_coef_, row)[0]

        with one_thread():
            if self._discrete:
                return self._iterated(x0, times, slope)
            options = {"method": "LSODA", "rtol": 1e-8, "atol": 1e-8, **options}
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
        coef, names = np.atleast_2d(self.coef_), self.library_.get_feature_names_out()
        if hasattr(self.library_, "monomial_coef"):
            coef, names = self.library_.monomial_coef(coef), self.library_.monomial_names
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

    def _checked(self, X, reset=False):
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

    def _acting(self, algebra, name):
        """An algebra on all columns, from one on the states or on all."""
        n, d = len(self.states_), self.n_features_in_
        if callable(algebra):
            algebra = algebra(n)
        if isinstance(algebra, LieAlgebra) and algebra.n_features == n < d:
            algebra = algebra.on_columns(self.states_.tolist(), d)
        return on_features(algebra, None, d)[0]

    def _problem(self, X):
        algebra, candidates = (
            self._acting(getattr(self, name), name) for name in ("algebra", "candidates")
        )
        d = X.shape[1]
        none = LieAlgebra(np.zeros((0, d, d)))
        moved = [one for one in (algebra, candidates) if one is not None]
        output = vector if len(self.states_) == d else columns(*self.states_.tolist())
        library = PolynomialLibrary(2) if self.library is None else self.library
        fixed = all(not one.offset.any() for one in moved)
        if fixed and "center" in library.get_params(deep=False) and library.center is None:
            # Equations are sparse in the coordinates that the data come in.
            library = type(library)(**{**library.get_params(deep=False), "center": 0.0})
        who = SimpleNamespace(
            algebra=algebra,
            candidates=none if candidates is None else candidates,
            group=None,
            library=library,
            output=output if moved else None,
        )
        return PromotionProblem.of(who, X, len(self.states_))

    def _options(self):
        for name in ("alpha", "threshold", "l1", "ridge"):
            check_number(getattr(self, name), name)
        return Options(bool(self.adaptive), "auto", float(self.tol), int(self.max_iter))

    def _solve(self, samples, options):
        """Promote, decide, and make the result sparse inside what is left."""
        with one_thread():
            fit = fitted_at(samples, self.alpha, self.ridge, options, True)
            coef = fit.coef
            if self.threshold > 0 or self.l1 > 0:
                coef = self._sparse(fit.samples)
        if not np.isfinite(coef).all():
            raise ValueError("The solution overflows: rescale the data, or increase `ridge`.")
        problem = fit.samples.problem
        C, _ = readable(problem.candidates, fit.C)
        self.library_, self.coef_ = fit.library, coef
        self._sparse_coef_ = sparse.csr_array(coef)
        kept = problem.candidates.combine(C)
        enforced = samples.problem.space.algebra
        self.algebra_ = kept if enforced is None else enforced + kept
        self.n_symmetries_, self.n_free_ = self.algebra_.dim, problem.space.n_free
        self.singular_values_, self.dual_gap_ = fit.singular_values, fit.gap
        if fit.gap > options.tol:
            warnings.warn(
                f"The duality gap is {fit.gap:.2g} of the objective after {fit.n_iter} iterations, "
                f"more than tol={options.tol:.2g}: increase `max_iter` or `tol`.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _sparse(self, samples):
        """Coefficients (q, p), exactly zero outside a few functions with the symmetry."""
        space, library = samples.problem.space, samples.problem.space.library
        p = library.n_output_features_
        # In plain monomials, so that a threshold means what it says.
        change = np.ones(p)
        if hasattr(library, "monomial_coef") and not np.any(library.center_):
            change = np.diag(library.monomial_coef(np.eye(p)))
        blocks = space.basis.shape[1] // p
        to_plain = sparse.diags_array(np.tile(change, blocks))
        rows = sparsest_rows(space.basis @ to_plain)
        back = sparse.csr_array(rows @ sparse.diags_array(np.tile(1 / change, blocks)))
        samples = samples.seen_by(replace(samples.problem, space=replace(space, basis=back)))
        data = samples.data(self.ridge)
        sparsity = Sparsity(float(self.threshold), float(self.l1))
        w = np.array([sparsity.active(data.R, y) for y in data.Y.T])
        return samples.problem.coef(w)


class SymmetryPromotingSINDy(Dynamics):
    """Sparse identification of nonlinear dynamics x' = F(x), with symmetry.

    Three steps, each of which may be left out:

    1. F is sought among the vector fields with the symmetry `algebra` (exactly equivariant,
       constants too);
    2. of the `candidates` those are kept that the data do not contradict, as
       `SymmetryPromotingRegressor` does, and enforced too:
       minimise ``1/(2n) |X' - Phi coef^T|^2 + ridge/2 |coef|^2 + alpha |S(coef)|_*``,
       reweight, decide, refit;
    3. in a basis of the space that is left, as sparse as can be found, coefficients are made
       zero: by an l1 penalty, ``minimise |R w - y|^2 / (2n) + l1 |w|_1``, then by least squares
       and dropping those below `threshold`, until none is. Functions with the symmetry come and
       go as a whole, so the result has it exactly.

    Parameters
    ----------
    algebra : LieAlgebra or callable, default=None
        The symmetry to enforce.
    candidates : LieAlgebra or callable, default=None
        What may be a symmetry; None: nothing is promoted.
    library : library, default=None
        What is fitted; None is ``PolynomialLibrary(2)``. Polynomials are centred at the origin
        unless they say otherwise or the symmetry moves it.
    alpha : float, default=0.01
        Strength of the promotion.
    threshold : float, default=0.1
        Smallest coefficient that stays, in units of the equations (plain monomials).
    l1 : float, default=0.0
        Weight of the l1 penalty.
    ridge : float, default=0.0
        Penalty of the squares of the coefficients.
    controls : sequence of int or str, default=None
        Columns of X that are controls: given, not predicted, and left alone by the symmetry.
    discrete_time : bool, default=False
        Fit a map, x_next = F(x), through its increments F(x) - x, which are equivariant when F is.
    differentiation_method : callable, default=None
        A pysindy differentiation object or any function (x, t) -> x_dot; None: smoothed finite
        differences.
    dt : float, default=None
        Step between samples where `fit` is given no times. None: 1.
    adaptive : bool, default=True
    max_iter : int, default=10000
    tol : float, default=1e-6
        As in `SymmetryPromotingRegressor`.

    Attributes
    ----------
    coef_ : ndarray of shape (n_states, p)
        ``F(x) = coef @ phi(x)``.
    algebra_ : LieAlgebra
        The symmetries of the fitted system: those enforced and those kept.
    n_symmetries_ : int
    singular_values_ : ndarray
        Of the symmetry matrix of the candidates before step 3, ascending.
    dual_gap_ : float
    n_free_ : int
        Free coefficients before step 3.
    states_, controls_ : ndarray of int
        Columns of X.
    library_ : fitted library
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)

    Notes
    -----
    With ``y=None`` derivatives are taken within each trajectory. Their errors are correlated from
    sample to sample: what least squares leaves tells over how many samples, and the statistics
    that decide on symmetries count so many fewer. In pipelines and model selection pass
    ``y = differentiate(X, t, trajectory)``.

    References
    ----------
    Brunton, Proctor, Kutz (2016), PNAS 113(15). Otto, Zolman, Kutz, Brunton (2025), JMLR 26(248).

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import SymmetryPromotingSINDy, gl
    >>> t = np.linspace(0, 10, 500)
    >>> X = np.exp(-0.1 * t)[:, None] * np.column_stack([np.cos(t), np.sin(t)])
    >>> model = SymmetryPromotingSINDy(candidates=gl, threshold=0.05).fit(X, t=t)
    >>> model.print(2)
    x0' = -0.1 x0 - 1 x1
    x1' = 1 x0 - 0.1 x1
    """

    def __init__(
        self,
        algebra=None,
        *,
        candidates=None,
        library=None,
        alpha=0.01,
        threshold=0.1,
        l1=0.0,
        ridge=0.0,
        controls=None,
        discrete_time=False,
        differentiation_method=None,
        dt=None,
        adaptive=True,
        max_iter=10_000,
        tol=1e-6,
    ):
        self.algebra = algebra
        self.candidates = candidates
        self.library = library
        self.alpha = alpha
        self.threshold = threshold
        self.l1 = l1
        self.ridge = ridge
        self.controls = controls
        self.discrete_time = discrete_time
        self.differentiation_method = differentiation_method
        self.dt = dt
        self.adaptive = adaptive
        self.max_iter = max_iter
        self.tol = tol

    @property
    def _discrete(self):
        return bool(self.discrete_time)

    def _fit(self, X, y, sample_weight, t, trajectory):
        options, indices = self._options(), None
        self._split_columns(X)
        if y is None:
            indices = checked_times(X, t, trajectory, self.dt)[1]
            self._checked(X, reset=True)
            X, Y, weight, indices = self._within_trajectories(X, sample_weight, t, trajectory)
        else:
            X, Y = validate_data(
                self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, reset=True
            )
            Y = np.asarray(Y, float).reshape(len(X), -1)
            if Y.shape[1] != len(self.states_):
                raise ValueError(
                    f"y has {Y.shape[1]} columns for {len(self.states_)} states: give the time "
                    "derivative of every state, and name the other columns in `controls`."
                )
            Y = Y - X[:, self.states_] if self._discrete else Y
            weight = checked_weights(sample_weight, len(X))
        problem, root = self._problem(X), np.sqrt(weight)
        samples = Samples(problem, X, Y, root)
        if indices is not None and samples.overdetermined:
            samples = _thinned(samples, indices)
        self._solve(samples, options)

    def _regression(self, X, sample_weight, t, trajectory):
        X, Y, weight, _ = self._within_trajectories(X, sample_weight, t, trajectory)
        return X, X[:, self.states_] + Y if self._discrete else Y, weight

    def _within_trajectories(self, X, sample_weight, t, trajectory):
        """States, slopes or increments, weights, and the rows of each trajectory."""
        _, indices = checked_times(X, t, trajectory, self.dt)
        weight = checked_weights(sample_weight, np.shape(X)[0])
        rows = np.asarray(X, dtype=float)
        if self._discrete:
            Y = np.full((len(rows), len(self.states_)), np.nan)
            for index in indices:
                Y[index[:-1]] = np.diff(rows[index][:, self.states_], axis=0)
        else:
            Y = differentiate(
                rows[:, self.states_],
                t,
                trajectory,
                method=self.differentiation_method,
                dt=self.dt,
            )
        known = np.isfinite(Y).all(axis=1)
        place = np.cumsum(known) - 1
        indices = [place[index[known[index]]] for index in indices]
        return rows[known], Y[known], weight[known], indices


def _thinned(samples, indices):
    """The same rows, weighing as many independent ones as they are worth.

    What least squares leaves is correlated along a trajectory where it stems from differentiated
    noise: weights are divided by ``1 + 2 sum of autocorrelations`` up to the first that is not
    positive.
    """
    problem, data = samples.problem, samples.data(0.0)
    coef = problem.coef(data.parts(0.0)[2])
    left = samples.Y - evaluate(problem.space.library, coef, samples.X)
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
    return Samples(problem, samples.X, samples.Y, root)


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
