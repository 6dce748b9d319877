"""`MirrorSparseRegressor`: linear models on which mirrors hold unless the data break them."""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import (
    check_choice,
    check_count,
    check_fraction,
    check_number,
    in_dtype,
    on_fitted_copy,
    training_data,
    validate_data,
    warn,
)
from sksym._linalg.units import scaled
from sksym.mirror.backends import (
    LARGE_ALPHA,
    SMALL_ALPHA,
    SOLVERS,
    MirrorProblem,
    backend_for,
    moderate_alpha,
)
from sksym.mirror.centred_data import CentredData
from sksym.mirror.operators import mirror_operators
from sksym.mirror.units import in_units

OVERLAPS = ("analysis", "latent")
_CANCELLING = 60  # exponent by which sums may be smaller than their terms


class MirrorRegressor(RegressorMixin, BaseEstimator):
    """What the regressors of this package share: checks, prediction and fitted attributes."""

    # Parameters of some of them, with the values that stand for the others.
    positive = False
    multi_task = True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Several outputs cannot share their mirrors where signs are kept.
        tags.target_tags.multi_output = not (self.positive and self.multi_task)
        tags.input_tags.sparse = True
        return tags

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, p)

        Returns
        -------
        y : ndarray of shape (n,) or (n, q)
        """
        check_is_fitted(self)
        X = validate_data(
            self,
            X,
            accept_sparse=["csr", "csc"],
            dtype=[np.float64, np.float32],
            reset=False,
        )
        with np.errstate(over="ignore", invalid="ignore"):
            prediction = np.asarray(X @ self.coef_.T) + self.intercept_
        # Products in single precision may leave its range where the targets do.
        largest = np.abs(prediction).max(initial=0)
        is_in_range = largest == 0 or np.finfo(X.dtype).tiny <= largest < np.inf
        if is_in_range or (X.dtype == np.float64 and np.isfinite(largest)):
            return prediction
        # Terms beyond the largest float may cancel: their sum is taken in another unit.
        exponent = 0 if largest < np.inf else _CANCELLING
        terms = np.asarray(X.astype(np.float64) @ scaled(self.coef_.T, -exponent))
        return scaled(terms + scaled(self.intercept_, -exponent), exponent)

    def _prepared(self, X, y, sample_weight, training=None):
        """Return validated data, and the elementary mirrors on their columns.

        A `training` to go on with keeps its columns and units.
        """
        one_output = self.positive and self.multi_task
        if one_output and np.asarray(y).ndim == 2 and np.asarray(y).shape[1] > 1:
            raise ValueError(
                "positive=True with several outputs that share their mirrors is not supported: use "
                "multi_task=False."
            )
        reset = training is None
        data = training_data(self, X, y, sample_weight, reset, accept_sparse=["csc", "csr"])
        # Mirrors may name columns of a data frame, and of an array in the same way.
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            names = [f"x{j}" for j in range(self.n_features_in_)]
        operators = mirror_operators(self.mirrors, [str(name) for name in names])
        units = None if reset else training.units
        is_moderate = data.is_moderate and operators.is_moderate if reset else units is None
        if is_moderate:
            return data, operators
        return in_units(data, operators, self.depth, units)

    def _check_low_rank(self, n_outputs):
        """Raise if `low_rank` is asked for together with options that it has no meaning for."""
        if n_outputs > 1 and not self.multi_task:
            raise ValueError("`low_rank` is about all outputs together: use multi_task=True.")
        if self.depth > 2:
            raise ValueError(
                f"depth={self.depth} is for mirrors that are blocks of coefficients, not for "
                "`low_rank`: use depth=2."
            )

    def _backends(self, data, operators, *, penalised=True, many_fits=False):
        """Return a back end for all outputs, or one for each."""
        check_choice(self.solver, "solver", SOLVERS)
        check_choice(self.overlap, "overlap", OVERLAPS)
        check_fraction(self.tol, "tol")
        check_count(self.max_iter, "max_iter")
        check_count(self.depth, "depth", least=2)
        if operators.nuclear:
            self._check_low_rank(data.Y.shape[1])
        # Both would be asked to solve the tangents only, which is not what their names promise.
        if self.depth > 2 and self.solver in ("cd", "cvxpy"):
            raise ValueError(
                f'solver="{self.solver}" solves convex problems, which depth={self.depth} is not: '
                'use depth=2, or solver="auto".'
            )
        # Outputs whose mirrors hold or break alone are problems of their own.
        targets = [data.Y]
        if not self.multi_task:
            targets = np.split(data.Y, data.Y.shape[1], axis=1)
        problems = [
            MirrorProblem(
                CentredData.of(data.X, Y, data.weight, self.fit_intercept, many_fits),
                operators,
                overlap=self.overlap,
                depth=self.depth,
                positive=self.positive,
                solver=self.solver,
                tol=self.tol,
                max_iter=self.max_iter,
                penalised=penalised,
            )
            for Y in targets
        ]
        return [backend_for(problem) for problem in problems]

    def _set_fits(self, fits, data, operators):
        """Set the fitted attributes from a `MirrorFit` of all outputs, or one of each."""
        # W (p, q) has a column for each output, `coef_` a row.
        W = np.hstack([fit.W for fit in fits])
        if not np.isfinite(W).all():
            raise ValueError("The solution overflows: rescale y, or increase `alpha`.")
        intercept = np.concatenate([fit.intercept for fit in fits])
        active = np.array([fit.lengths > 0 for fit in fits])
        if not all(fit.converged for fit in fits):
            self._warn_of_gap(fits)
        if data.dtype != W.dtype:
            W = in_dtype(W, data.dtype)
            intercept = in_dtype(intercept, data.dtype)
        if data.one_target:
            self.coef_ = W[:, 0]
            self.intercept_ = intercept[0]
        else:
            self.coef_ = W.T
            self.intercept_ = intercept
        self.dual_gap_ = sum(fit.gap for fit in fits)
        self.n_iter_ = max(1, *(fit.n_iter for fit in fits))
        self.active_ = active[0] if len(fits) == 1 else active
        self.satisfied_ = ~self.active_
        self.mirror_names_ = operators.labels(W.shape[1])

    def _warn_of_gap(self, fits):
        """Warn that the tolerance was not reached."""
        gap = sum(fit.gap for fit in fits)
        objective = sum(fit.objective for fit in fits)
        n_iter = sum(fit.n_iter for fit in fits)
        warn(
            f"The duality gap is {gap / (objective or 1.0):.2g} of the objective after "
            f"{n_iter} iterations, more than tol={self.tol}: increase `max_iter`, or `tol`, or "
            "scale the columns of X alike.",
            ConvergenceWarning,
        )


class MirrorSparseRegressor(MirrorRegressor):
    """Linear regression with mirrors: sparse, grouped, fused, low-rank and other exact structure.

    Minimises, with n the sum of the sample weights::

        1/(2n) ||y - X w - b||^2 + alpha * sum_k weight_k ||O_k^T w||_2

    for mirrors ``w -> (I - 2 O_k O_k^T) w``. Each holds exactly, ``O_k^T w = 0``, unless the
    gradient of the data along it is longer than ``alpha weight_k``. A loss with these mirrors,
    trained with weight decay, has the same minimum [1]_; here it is found by convex optimisation.

    Parameters
    ----------
    mirrors : mirror of `sksym.mirror` or list of them, default=None
        None: `rescaling()`, a mirror for every coefficient, which is the lasso. Columns that no
        mirror touches are not penalised.
    alpha : float, default=1.0
        Strength of the penalty, as in scikit-learn's Lasso. 0 selects least squares, and among
        several minimisers that of least norm.
    overlap : {"analysis", "latent"}, default="analysis"
        Meaning of mirrors that are not orthogonal. "analysis": the sum of norms above, so that the
        coefficients vanish on a union of groups. "latent": ``w = sum_k O_k v_k`` with the least
        ``sum_k weight_k ||v_k||``, so that they are non-zero on a union of groups.
    depth : int, default=2
        Number of factors in the product that represents a component. Beyond 2 the penalty is the
        concave ``depth/2 ||O_k^T w||^(2/depth)``, for which a stationary point is found, starting
        from the convex solution.
    fit_intercept : bool, default=True
    positive : bool, default=False
        Whether to allow coefficients >= 0 only; for mirrors of single columns and disjoint groups.
    multi_task : bool, default=True
        With several outputs, whether mirrors act on their coefficients together, as in
        MultiTaskLasso, or on each output alone.
    solver : {"auto", "newton", "cd", "admm", "cvxpy"}, default="auto"
        "newton": working sets and a semismooth Newton method, for mirrors that are independent of
        each other (single columns, disjoint groups, chains, trees, trends; all in the latent
        meaning) and for `low_rank`. "cd": scikit-learn's coordinate descent, for single columns.
        "admm": alternating directions, for overlapping groups and graphs with cycles. "cvxpy":
        the slow reference. "auto" begins with "cd" for single columns of dense data with at most
        200 of them, where it is up to twice as fast, and otherwise takes the first of "newton" and
        "admm" that applies; a chain that is observed point by point (X diagonal) is solved in one
        pass.
    max_iter : int, default=10_000
        Newton steps, or sweeps.
    tol : float, default=1e-6
        Duality gap relative to the objective at which to stop, between 0 and 1.
    warm_start : bool, default=False
        Whether to start from the coefficients of the previous fit.
    random_state : int, Generator or None, default=None
        Not used, since every solver is deterministic; present so that code for Lasso runs.

    Attributes
    ----------
    coef_ : ndarray of shape (p,) or (q, p)
    intercept_ : float or ndarray of shape (q,)
    dual_gap_ : float
        Upper bound on the excess of the objective over its minimum, in units of the objective; with
        depth > 2 that of the last tangent problem. A long double where it is beyond all floats.
    n_iter_ : int
    active_, satisfied_ : ndarray of shape (m,) or (q, m), bool
        Which elementary mirrors the data break, and which hold; with `low_rank` the singular
        values of the coefficients come last. With ``overlap="latent"`` the condition of mirror k
        is ``v_k = 0``.
    mirror_names_ : list of m str

    References
    ----------
    .. [1] L. Ziyin, "Symmetry induces structure and constraint of learning", ICML 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import MirrorSparseRegressor
    >>> from sksym.mirror import groups
    >>> X = np.random.default_rng(0).normal(size=(60, 6))
    >>> y = X[:, 0] - 2 * X[:, 1]
    >>> model = MirrorSparseRegressor(groups([0, 0, 1, 1, 2, 2]), alpha=0.1).fit(X, y)
    >>> model.active_
    array([ True, False, False])
    """

    def __init__(
        self,
        mirrors=None,
        *,
        alpha=1.0,
        overlap="analysis",
        depth=2,
        fit_intercept=True,
        positive=False,
        multi_task=True,
        solver="auto",
        max_iter=10_000,
        tol=1e-6,
        warm_start=False,
        random_state=None,
    ):
        self.mirrors = mirrors
        self.alpha = alpha
        self.overlap = overlap
        self.depth = depth
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.multi_task = multi_task
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state

    @on_fitted_copy
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, p)
        y : array-like of shape (n,) or (n, q)
        sample_weight : array-like of shape (n,), default=None
            A weight k counts as k equal rows.

        Returns
        -------
        self : MirrorSparseRegressor
        """
        check_number(self.alpha, "alpha")
        # This copy holds what the previous fit has set.
        previous = getattr(self, "coef_", None) if self.warm_start else None
        data, operators = self._prepared(X, y, sample_weight)
        backends = self._backends(data, operators, penalised=self.alpha > 0)
        starts = [None] * len(backends)
        # n rows, p columns, q outputs: another shape is no start.
        shape = (data.Y.shape[1], data.X.shape[1])
        if previous is not None and np.atleast_2d(previous).shape == shape:
            W = np.atleast_2d(previous).T.astype(float)
            if data.units is not None:
                W = data.units.coefficients_inside(W)
            matrices = [W] if self.multi_task else np.split(W, shape[0], axis=1)
            pairs = zip(backends, matrices, strict=True)
            starts = [backend.start_from(matrix) for backend, matrix in pairs]
        alpha = float(self.alpha)
        if data.units is not None:
            alpha = data.units.alpha_inside(self.alpha)
        fits = []
        for backend, start in zip(backends, starts, strict=True):
            if not SMALL_ALPHA < alpha < LARGE_ALPHA:
                alpha = moderate_alpha(backend, alpha)
            fits.append(backend.solve(alpha, start))
        if data.units is not None:
            fits = data.units.fits_outside(fits)
        self._set_fits(fits, data, operators)
