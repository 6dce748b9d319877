"""`MirrorSparseRegressor`: linear models on which mirrors hold unless the data break them."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym._estimator import adopt, check_count, check_number, validated
from sksym.mirror.fitting import MirrorProblem, Options
from sksym.mirror.mirrors import mirror_rows

_SOLVERS = ("auto", "newton", "cd", "admm", "cvxpy")
_OVERLAPS = ("analysis", "latent")


class MirrorRegressor(RegressorMixin, BaseEstimator):
    """What the regressors of this package share: checks, prediction, and how a fit is kept."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = not self._one_output
        tags.input_tags.sparse = True
        return tags

    @property
    def _one_output(self):
        """Whether signs are kept, of which several outputs cannot share the mirrors."""
        return bool(getattr(self, "positive", False) and self.multi_task)

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
        self
        """
        fresh = type(self)(**self.get_params(deep=False))
        fresh._fit(X, y, sample_weight, self if getattr(self, "warm_start", False) else None)
        return adopt(self, fresh)

    def predict(self, X):
        """Predicted targets, shape (n,) or (n, q)."""
        check_is_fitted(self)
        X = validate_data(
            self,
            X,
            accept_sparse=["csr", "csc"],
            dtype=[np.float64, np.float32],
            reset=False,
        )
        return np.asarray(X @ self.coef_.T) + self.intercept_

    def _checked_options(self):
        """The parameters that all fits share, as `Options`."""
        for name, known in (("solver", _SOLVERS), ("overlap", _OVERLAPS)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {value!r}.")
        check_number(self.tol, "tol")
        for name, least in (("max_iter", 1), ("depth", 2)):
            check_count(getattr(self, name), name, least)
        if self.depth > 2 and self.solver in ("cd", "cvxpy"):
            raise ValueError(
                f'solver="{self.solver}" solves convex problems, which depth={self.depth} is not: '
                'use depth=2, or solver="auto".'
            )
        return Options(
            self.overlap,
            int(self.depth),
            bool(self.positive),
            bool(self.fit_intercept),
            self.solver,
            float(self.tol),
            int(self.max_iter),
        )

    def _data(self, X, y, sample_weight, reset=True):
        """Validated data, and the elementary mirrors on their columns."""
        if self._one_output and max(getattr(y, "shape", ())[1:], default=1) > 1:
            raise ValueError(
                "positive=True with several outputs that share their mirrors is not supported: use "
                "multi_task=False."
            )
        data = validated(self, X, y, sample_weight, reset, accept_sparse=["csc", "csr"])
        p, q = self.n_features_in_, data[1].shape[1]
        names = getattr(self, "feature_names_in_", [f"x{j}" for j in range(p)])
        rows = mirror_rows(self.mirrors, [str(name) for name in names])
        if rows.nuclear and q > 1 and not self.multi_task:
            raise ValueError("`low_rank` is about all outputs together: use multi_task=True.")
        if rows.nuclear and self.depth > 2:
            raise ValueError(
                f"depth={self.depth} is for mirrors that are blocks of coefficients, not for "
                "`low_rank`: use depth=2."
            )
        return data, rows

    def _prepared(self, X, y, sample_weight, many=False):
        """Problems, validated data and elementary mirrors."""
        options = self._checked_options()
        data, rows = self._data(X, y, sample_weight)
        return self._problems(*data[:3], rows, options, many), data, rows

    def _problems(self, X, Y, root, rows, options, many=False):
        """One problem for all outputs, or one for each."""
        parts = [Y] if self.multi_task else np.split(Y, Y.shape[1], axis=1)
        return [MirrorProblem(X, part, root, rows, options, many) for part in parts]

    def _set_fits(self, fits, rows, one_target, dtype):
        """Fitted attributes."""
        W = np.hstack([fit.W for fit in fits])
        if not np.isfinite(W).all():
            raise ValueError("The solution overflows: rescale y, or increase `alpha`.")
        intercept = np.concatenate([fit.intercept for fit in fits]).astype(dtype)
        objective, gap = (sum(getattr(fit, name) for fit in fits) for name in ("objective", "gap"))
        active = fits[0].active if len(fits) == 1 else np.array([fit.active for fit in fits])
        if not all(fit.converged for fit in fits):
            warnings.warn(
                f"The duality gap is {gap / (objective or 1.0):.2g} of the objective after "
                f"{sum(fit.n_iter for fit in fits)} iterations, more than tol={self.tol}: increase "
                "`max_iter`, or `tol`, or scale the columns of X alike.",
                ConvergenceWarning,
                stacklevel=4,
            )
        self.coef_ = (W[:, 0] if one_target else W.T).astype(dtype)
        self.intercept_ = intercept[0] if one_target else intercept
        self.dual_gap_, self.n_iter_ = float(gap), max(1, *(fit.n_iter for fit in fits), 1)
        self.active_, self.satisfied_ = active, ~active
        self.mirror_names_ = rows.labels(W.shape[1])


class MirrorSparseRegressor(MirrorRegressor):
    """Linear regression with mirrors: sparse, grouped, fused, low-rank and other exact structure.

    Minimises, with n the sum of the sample weights::

        1/(2n) ||y - X w - b||^2 + alpha * sum_k weight_k ||O_k^T w||_2

    for mirrors ``w -> (I - 2 O_k O_k^T) w``. Each holds exactly, ``O_k^T w = 0``, unless the data
    pull at it with more than ``alpha weight_k``. A loss with these mirrors, trained with weight
    decay, has the same minimum [1]_; here it is found as the convex problem that it is.

    Parameters
    ----------
    mirrors : mirror of `sksym.mirror` or list of them, default=None
        None: `rescaling()`, every coefficient by itself, which is the lasso. Columns that no
        mirror touches are not penalised.
    alpha : float, default=1.0
        Strength of the penalty, as in scikit-learn's Lasso; 0: least squares of least norm.
    overlap : {"analysis", "latent"}, default="analysis"
        What mirrors that are not orthogonal mean. "analysis": the sum of norms above, so that the
        coefficients of a union of groups may vanish. "latent": ``w = sum_k O_k v_k`` with the least
        ``sum_k weight_k ||v_k||``, so that they may be non-zero on a union of groups.
    depth : int, default=2
        Factors of the product that stands for a component. Beyond 2 the penalty is the concave
        ``depth/2 ||O_k^T w||^(2/depth)``, for which a stationary point is found, from the convex
        solution on.
    fit_intercept : bool, default=True
    positive : bool, default=False
        Only coefficients >= 0; for mirrors of single columns and for disjoint groups.
    multi_task : bool, default=True
        With several outputs, whether mirrors act on their coefficients together, as in
        MultiTaskLasso, or on each output alone.
    solver : {"auto", "newton", "cd", "admm", "cvxpy"}, default="auto"
        "newton": working sets and a semismooth Newton method, for mirrors that are independent of
        each other (single columns, disjoint groups, chains, trees, trends; all in the latent
        meaning) and for `low_rank`. "cd": scikit-learn's coordinate descent, for single columns.
        "admm": alternating directions, for overlapping groups and graphs with cycles. "cvxpy":
        the slow reference. "auto" begins with "cd" for single columns of dense data with at most
        200 of them, where it is up to twice as fast, else takes the first of "newton" and "admm"
        that can; a chain that is observed point by point (X diagonal) is solved in one pass.
    max_iter : int, default=10_000
        Newton steps, or sweeps.
    tol : float, default=1e-6
        Duality gap relative to the objective at which to stop.
    warm_start : bool, default=False
        Start from the coefficients of the fit before.
    random_state : int, Generator or None, default=None
        Not used: every solver is deterministic. It is here so that code for Lasso runs.

    Attributes
    ----------
    coef_ : ndarray of shape (p,) or (q, p)
    intercept_ : float or ndarray of shape (q,)
    dual_gap_ : float
        An upper bound of what the objective exceeds the least by; with depth > 2 that of the last
        tangent problem.
    n_iter_ : int
    active_, satisfied_ : ndarray of shape (m,) or (q, m), bool
        Which elementary mirrors the data break, and which hold; with `low_rank` the singular
        values of the coefficients come last. With ``overlap="latent"`` what is broken or holds is
        ``v_k = 0``.
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

    def _fit(self, X, y, sample_weight, before):
        check_number(self.alpha, "alpha")
        problems, (X, Y, _, one_target, dtype), rows = self._prepared(X, y, sample_weight)
        starts = [None] * len(problems)
        coef = np.atleast_2d(getattr(before, "coef_", np.zeros((0, 0)))).astype(float)
        if coef.shape == (Y.shape[1], X.shape[1]):
            parts = [coef.T] if self.multi_task else coef[:, :, None]
            starts = [one.state_of(W) for one, W in zip(problems, parts, strict=True)]
        fits = [one.fit(self.alpha, start) for one, start in zip(problems, starts, strict=True)]
        self._set_fits(fits, rows, one_target, dtype)
