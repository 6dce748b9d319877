"""Identification without differentiation: the weak form, for strong noise."""

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from sksym.dynamics.system import Dynamics, thinned
from sksym.dynamics.trajectories import checked_times
from sksym.dynamics.weak import correlation_time, noise_factor, weak_operator, whitened
from sksym.libraries import library_values
from sksym.promote.fitting import Samples


class WeakSymmetryPromotingSINDy(Dynamics):
    """`SymmetryPromotingSINDy` in the weak form: trajectories are integrated, not differentiated.

    Multiplied by test functions psi that vanish outside a window and integrated by parts, x' =
    F(x) reads ``-int psi' x dt = int psi F(x) dt``: one row of a regression for each window of
    each trajectory, whitened for independent noise of the samples. Then the same three steps.

    Parameters
    ----------
    algebra, candidates, library, alpha, threshold, l1, ridge, controls, adaptive, max_iter, tol
        As in `SymmetryPromotingSINDy`.
    width : float, default=None
        Length of a window in units of time; None: twice the time in which the autocorrelation of
        the states falls by half, a third of a period.
    n_windows : int, default=None
        Windows of a trajectory at most; None: every sample lies in about eight.
    order : int, default=4
        psi(s) = (1 - s^2)^order on -1 < s < 1.
    dt : float, default=None
        Step between samples where `fit` is given no times. None: 1.

    Attributes
    ----------
    coef_, algebra_, n_symmetries_, singular_values_, dual_gap_, n_free_, library_
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
    >>> WeakSymmetryPromotingSINDy(so, threshold=0.05).fit(X, t=t).print(1)
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
        width=None,
        n_windows=None,
        order=4,
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
        self.width = width
        self.n_windows = n_windows
        self.order = order
        self.dt = dt
        self.adaptive = adaptive
        self.max_iter = max_iter
        self.tol = tol

    def score(self, X, y=None, sample_weight=None, *, t=None, trajectory=None):
        """Coefficient of determination of the weak form; of derivatives where y is given."""
        check_is_fitted(self)
        if y is not None:
            return super().score(X, y, sample_weight)
        rows, target, operator, _ = self._weak_form(X, sample_weight, t, trajectory)
        moved = operator(library_values(self.library_, rows))
        return r2_score(target, moved @ self.coef_.T)

    def _fit(self, X, y, sample_weight, t, trajectory):
        if y is not None:
            raise ValueError(
                "The weak form takes trajectories, not derivatives: leave y out, or use "
                "SymmetryPromotingSINDy."
            )
        options = self._options()
        self._split_columns(X)
        rows, target, operator, windows = self._weak_form(X, sample_weight, t, trajectory)
        self._checked(X, reset=True)
        samples = Samples(self._problem(rows), rows, target, np.ones(len(target)), operator)
        if samples.overdetermined:
            samples = thinned(samples, windows)
        self._solve(samples, options)

    def _weak_form(self, X, sample_weight, t, trajectory):
        """States, the left sides b, what makes rows of values, and the rows of each trajectory."""
        if sample_weight is not None:
            raise ValueError(
                "The rows of the weak form are windows, not samples: `sample_weight` has no "
                "meaning here, leave out what should not count."
            )
        t, indices = checked_times(X, t, trajectory, self.dt)
        rows = np.asarray(X, dtype=float)
        states = rows[:, self.states_]
        time = correlation_time(states, t, indices)
        width = 2 * time if self.width is None else self.width
        V, W = weak_operator(t, indices, width=width, n_windows=self.n_windows, order=self.order)
        factor = noise_factor(V, W, np.pi / (2 * time))
        owner = np.empty(len(rows), dtype=int)
        for k, index in enumerate(indices):
            owner[index] = k
        owner = owner[V.indices[V.indptr[:-1]]]
        windows = [np.flatnonzero(owner == k) for k in range(len(indices))]
        target = whitened(factor, W @ states)
        return rows, target, lambda values: whitened(factor, V @ values), windows
