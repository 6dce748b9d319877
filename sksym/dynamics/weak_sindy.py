"""Identification without differentiation: the weak form, for strong noise."""

import numpy as np

from sksym._estimator import on_copy
from sksym.dynamics.system import DynamicalSystem, determination
from sksym.dynamics.vector_field import FieldRows, fit_vector_field, solver_options
from sksym.dynamics.weak import WeakForm
from sksym.libraries import library_values


class WeakSymmetryPromotingSINDy(DynamicalSystem):
    """`SymmetryPromotingSINDy` in the weak form: trajectories are integrated, not differentiated.

    Multiplied by test functions psi that vanish outside a window and integrated by parts,
    x' = F(x) reads ``-int psi' x dt = int psi F(x) dt``. Every window of every trajectory is a row
    of the regression, whitened for independent noise of the samples. The three steps of
    `SymmetryPromotingSINDy` follow.

    Parameters
    ----------
    candidates, symmetry, library, alpha, threshold, l1, ridge, controls, adaptive, max_iter, tol
        As in `SymmetryPromotingSINDy`.
    width : float, default=None
        Length of a window in units of time; None: twice the time in which the autocorrelation of
        the states falls by half, which is a third of a period.
    n_windows : int, default=None
        Largest number of windows of a trajectory; None: every sample is in about eight.
    order : int, default=4
        psi(s) = (1 - s^2)^order on -1 < s < 1.
    dt : float, default=None
        Step between samples where `fit` is given no times. None: 1.

    Attributes
    ----------
    coef_, algebra_, n_symmetries_, singular_values_, dual_gap_, n_iter_, n_free_, library_,
    vanishing_
        As in `SymmetryPromotingSINDy`.
    states_, controls_ : ndarray of int
        Columns of X.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)

    Notes
    -----
    Noise of the states biases functions that are not linear in them: the mean of phi(x + e) is
    not phi(x).

    References
    ----------
    Messenger, Bortz (2021). Weak SINDy: Galerkin-based data-driven model selection. Multiscale
    Modeling & Simulation 19(3).

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import WeakSymmetryPromotingSINDy, so
    >>> t = np.linspace(0, 20, 1000)
    >>> X = np.exp(-0.1 * t)[:, None] * np.column_stack([np.cos(t), np.sin(t)])
    >>> X = X + 0.1 * np.random.default_rng(0).normal(size=X.shape)
    >>> WeakSymmetryPromotingSINDy(symmetry=so, threshold=0.05).fit(X, t=t).print(1)
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
        width=None,
        n_windows=None,
        order=4,
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
        self.width = width
        self.n_windows = n_windows
        self.order = order
        self.dt = dt
        self.adaptive = adaptive
        self.max_iter = max_iter
        self.tol = tol

    @on_copy
    def fit(self, X, y=None, sample_weight=None, *, t=None, trajectory=None):
        """Fit to trajectories.

        Parameters
        ----------
        X : array-like of shape (n, d)
            States, and controls where there are any, in rows.
        y, sample_weight : None
            Refused: the rows of the regression are windows, whose left sides come from X.
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
        if y is not None:
            raise ValueError(
                "The weak form takes trajectories, not derivatives: leave y out, or use "
                "SymmetryPromotingSINDy."
            )
        options = solver_options(self)
        rows = self._rows_of_windows(X, sample_weight, t, trajectory, reset=True)
        fit_vector_field(self, self._template(), rows, options)

    def _score_on_trajectories(self, X, sample_weight, t, trajectory):
        """Return the coefficient of determination of the weak form."""
        rows = self._rows_of_windows(X, sample_weight, t, trajectory)
        values = rows.operator(library_values(self.library_, rows.X))
        return determination(rows.Y, values @ self.coef_.T)

    def _rows_of_windows(self, X, sample_weight, t, trajectory, reset=False):
        """Place windows on the trajectories; each gives a row."""
        if sample_weight is not None:
            raise ValueError(
                "The rows of the weak form are windows, not samples: `sample_weight` has no "
                "meaning here, leave out what should not count."
            )
        X, t, indices = self._validated_trajectories(X, t, trajectory, reset)
        states = X[:, self.states_]
        indices = [index for index in indices if len(index) > 1]  # a sample between two gaps
        form = WeakForm.of(
            states, t, indices, width=self.width, n_windows=self.n_windows, order=self.order
        )
        Y = form.rates(states)
        # Whitening is for noise of the states; what correlation is left between windows that
        # overlap is estimated from residuals, along `form.windows`.
        weight = np.ones(len(Y))
        noise = self._noise(X, t, indices)
        return FieldRows(X, Y, weight, form.windows, form.integrals, noise)
