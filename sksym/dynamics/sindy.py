"""Sparse identification of dynamical systems, with symmetry enforced and promoted."""

import numpy as np
from sklearn.utils.validation import validate_data

from sksym._estimator import checked_weights
from sksym.dynamics.system import Dynamics, thinned
from sksym.dynamics.trajectories import checked_times, differentiate
from sksym.promote.fitting import Samples


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
        In units of the objective of the convex problem.
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
            samples = thinned(samples, indices)
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
