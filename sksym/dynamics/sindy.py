"""Sparse identification of dynamical systems, with symmetry enforced and promoted."""

import numpy as np

from sksym._estimator import checked_weights, on_copy, validate_data
from sksym.dynamics.differentiation import Differentiation, warn_of_few_samples
from sksym.dynamics.system import DynamicalSystem, determination
from sksym.dynamics.trajectories import derivatives
from sksym.dynamics.vector_field import FieldRows, fit_vector_field, solver_options


class SymmetryPromotingSINDy(DynamicalSystem):
    """Sparse identification of nonlinear dynamics x' = F(x), with symmetry.

    ``F(x) = coef phi(x)`` is found in three steps, each of which may be left out:

    1. F is sought among the vector fields that are exactly equivariant under `symmetry`,
       constants included.
    2. The `candidates` that the data do not contradict are kept and enforced as well, as in
       `SymmetryPromotingRegressor`: minimise
       ``1/(2n) |X' - Phi coef^T|^2 + ridge/2 |coef|^2 + alpha |S(coef)|_*``, reweight, decide,
       and refit.
    3. In a sparse basis of the remaining space, coefficients are set to zero: by an l1 penalty,
       ``minimise |R w - y|^2 / (2n) + l1 |w|_1``, then by least squares without those below
       `threshold`, repeated until all are above it. Both are in units in which every function and
       every derivative has a mean square of one on the data. Symmetric functions are kept or
       dropped as a whole, so that the result has the symmetry exactly.

    Parameters
    ----------
    candidates : LieAlgebra, FiniteGroup, Group or callable, default=None
        What may be a symmetry and is promoted; None: nothing is promoted. A callable such as
        ``so`` is called with the number of states.
    symmetry : LieAlgebra, FiniteGroup, Group or callable, default=None
        The symmetry to enforce.
    library : library, default=None
        What is fitted; None is ``PolynomialLibrary(2)``. Polynomials are centred at the origin
        unless they have a `center` or a symmetry moves the origin.
    alpha : float, default=0.01
        Strength of the promotion.
    threshold : float, default=0.05
        Smallest share of a derivative that a term has and is kept: the root mean square of the
        term relative to that of the derivative, the same in all units.
    l1 : float, default=0.0
        Weight of the l1 penalty.
    ridge : float, default=0.0
        Penalty of the squares of the coefficients.
    controls : sequence of int or str, default=None
        Columns of X that are controls: given, not predicted, and not moved by the symmetry.
    discrete_time : bool, default=False
        Fit a map, x_next = F(x), through its increments F(x) - x, which are equivariant when F is.
    differentiation_method : callable, default=None
        A pysindy differentiation object or any function (x, t) -> x_dot; None: polynomials in time
        that suit the samples and their noise, see `differentiate`. With 2 % noise or more, or
        fewer than 12 samples in a period, use `WeakSymmetryPromotingSINDy`.
    dt : float, default=None
        Step between samples where `fit` is given no times. None: 1.
    adaptive : bool, default=True
        Whether to reweight the nuclear norm, as `SymmetryPromotingRegressor` does.
    max_iter : int, default=10000
        Iterations of each convex problem.
    tol : float, default=1e-6
        Duality gap at which to stop, relative to the objective above least squares.

    Attributes
    ----------
    coef_ : ndarray of shape (n_states, p)
        ``F(x) = coef @ phi(x)``.
    algebra_ : LieAlgebra
        The symmetries of the fitted system: those enforced and the candidates that hold.
    n_symmetries_ : int
    singular_values_ : ndarray
        Singular values of the symmetry matrix of the candidates before step 3, descending.
    dual_gap_ : float
        Duality gap of the last convex problem before the refit, in units of its objective.
    n_iter_ : int
        Iterations of all convex problems before the refit, at least 1.
    n_free_ : int
        Free coefficients before step 3.
    vanishing_ : list of str
        Functions of the library that are zero on the data, to their accuracy: conserved quantities
        of these trajectories, for example. Equations that differ by multiples of them fit alike;
        those with the fewest terms are chosen.
    differentiation_ : str
        How the states were differentiated, where ``fit`` was given no derivatives.
    states_, controls_ : ndarray of int
        Columns of X.
    library_ : fitted library
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)

    Notes
    -----
    With ``y=None`` derivatives are taken within each trajectory. Their errors are correlated from
    sample to sample: the autocorrelation time of the residuals of least squares is estimated, and
    the statistics that decide on symmetries count one sample for every such time. In pipelines and
    model selection pass ``y = differentiate(X, t, trajectory)``.

    References
    ----------
    Brunton, Proctor, Kutz (2016), PNAS 113(15). Otto, Zolman, Kutz, Brunton (2025), JMLR 26(248).

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import SymmetryPromotingSINDy, gl
    >>> t = np.linspace(0, 10, 500)
    >>> X = np.exp(-0.1 * t)[:, None] * np.column_stack([np.cos(t), np.sin(t)])
    >>> model = SymmetryPromotingSINDy(gl, threshold=0.05).fit(X, t=t)
    >>> model.print(2)
    x0' = -0.1 x0 - 1 x1
    x1' = 1 x0 - 0.1 x1
    """

    def __init__(
        self,
        candidates=None,
        *,
        symmetry=None,
        library=None,
        alpha=0.01,
        threshold=0.05,
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
        self.candidates = candidates
        self.symmetry = symmetry
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

    @on_copy
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
            Non-negative. A row of weight zero is not fitted; derivatives beside it are taken with
            it all the same.
        t : array-like of shape (n,), or float, default=None
            Times, increasing within each trajectory, or the step. Dates and durations become
            seconds. None: the dates in the index of a DataFrame, else steps of `dt`. A trajectory
            is split where a step is larger than three times the usual.
        trajectory : array-like of shape (n,), default=None
            The trajectory of every row. None: all rows belong to one.

        Returns
        -------
        self
        """
        options = solver_options(self)
        if y is None:
            rows = self._rows_of_trajectories(X, sample_weight, t, trajectory, reset=True)
        else:
            rows = self._rows_of_derivatives(X, y, sample_weight)
        fit_vector_field(self, self._template(), rows, options)

    @property
    def _discrete(self):
        return bool(self.discrete_time)

    def _score_on_trajectories(self, X, sample_weight, t, trajectory):
        rows = self._rows_of_trajectories(X, sample_weight, t, trajectory)
        counted = rows.weight > 0
        X = rows.X[counted]
        target = rows.Y[counted]
        predicted = self._rates(X)
        if self._discrete:
            target = target + X[:, self.states_]
            predicted = predicted + X[:, self.states_]
        return determination(target, predicted, rows.weight[counted])

    def _rows_of_derivatives(self, X, y, sample_weight):
        """Validate states and their derivatives, or next states: independent rows."""
        X, Y = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, reset=True
        )
        self._split_columns()
        Y = np.asarray(Y, dtype=float).reshape(len(X), -1)
        if Y.shape[1] != len(self.states_):
            raise ValueError(
                f"y has {Y.shape[1]} columns for {len(self.states_)} states: give the time "
                "derivative of every state, and name the other columns in `controls`."
            )
        if self._discrete:  # next states become increments, which are equivariant too
            Y = Y - X[:, self.states_]
        return FieldRows(X, Y, checked_weights(sample_weight, len(X)))

    def _rows_of_trajectories(self, X, sample_weight, t, trajectory, reset=False):
        """Take derivatives, or increments, within each trajectory."""
        X, times, indices = self._validated_trajectories(X, t, trajectory, reset)
        states = X[:, self.states_]
        if self._discrete:
            Y = np.full_like(states, np.nan)
            for index in indices:
                Y[index[:-1]] = np.diff(states[index], axis=0)
        else:
            Y = self._derivatives(states, times, indices, trajectory, reset)
        # The last row of a trajectory has no increment, and some methods drop endpoints.
        known = np.isfinite(Y).all(axis=1)
        weight = np.where(known, checked_weights(sample_weight, len(X)), 0.0)
        if not weight.any():
            raise ValueError(
                "No row of positive weight has a finite derivative: give longer trajectories, or "
                "another `differentiation_method`."
            )
        Y = np.where(known[:, None], Y, 0.0)
        noise = None if self._discrete else self._noise(X, times, indices)
        return FieldRows(X, Y, weight, indices, noise=noise)

    def _derivatives(self, states, t, indices, trajectory, reset):
        """Differentiate states (n, q), by default as fits their samples and noise."""
        method = self.differentiation_method
        if method is not None:
            if reset:
                self.differentiation_ = f"{method!r}"
            return derivatives(states, t, indices, trajectory, method)
        chosen = Differentiation.of(states, t, indices)
        slopes = chosen(states, t, indices)
        if reset:
            self.differentiation_ = str(chosen)
            warn_of_few_samples(states, slopes, t, indices, chosen.noise)
        return slopes
