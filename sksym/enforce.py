"""Enforce: regression over the functions that have a known symmetry exactly."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym._linalg import merge_rows, one_thread
from sksym._estimator import adopt, check_number, counted, validated, weighted_splits
from sksym.equivariant import EquivariantSpace
from sksym.libraries import fitted_values, library_values, row_blocks
from sksym.representations import Trivial

_ALPHAS = np.logspace(-8, 4, 25)


class _SymmetricRegressor(RegressorMixin, BaseEstimator):
    """What the ridge regressors share: all but the choice of alpha."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        one_output = isinstance(self.output, Trivial) and self.output.q == 1
        tags.target_tags.multi_output = not one_output
        # Symmetric functions cannot follow data that lack the symmetry.
        tags.regressor_tags.poor_score = self.algebra is not None or self.group is not None
        return tags

    def predict(self, X):
        """Predicted targets, shape (n,) or (n, q)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return fitted_values(self.library_, self.coef_, X)

    @property
    def basis_(self):
        """Orthonormal rows that span the equivariant coefficients, (n_free, q p)."""
        check_is_fitted(self)
        return self._space_.full_basis().toarray()

    def equivariance_error(self, X, *, n_elements=20, random_state=0):
        """Largest relative violation of the symmetry over sampled finite group elements.

        Parameters
        ----------
        X : array-like of shape (n, d)
        n_elements : int, default=20
            Elements drawn: the exponential of a random generator of size about one, times a
            random word in the elements of `group`.
        random_state : int or Generator, default=0

        Returns
        -------
        float
            Largest ``|F(g x) - rho(g) F(x)|`` relative to ``sum_k |coef_k phi_k(g x)|`` and
            ``|rho(g)| sum_k |coef_k phi_k(x)|``, the scale on which floating point resolves F.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        coef = np.atleast_2d(self.coef_).astype(float)
        rng, worst = np.random.default_rng(random_state), 0.0
        with one_thread():
            for _ in range(n_elements):
                M, t, rho = self._space_.random_element(rng)
                moved = X @ M.T + t
                for rows in row_blocks(len(X), 2 * coef.shape[1]):
                    here, there = (library_values(self.library_, Z[rows]) for Z in (X, moved))
                    violation = np.max(_violation(here, there, coef, rho), initial=0.0)
                    worst = np.maximum(worst, violation)  # NaN stays NaN
        return float(worst)

    def _refit(self, *data):
        """Fit a copy, so that a failure leaves this estimator as it was."""
        fresh = type(self)(**self.get_params(deep=False))
        fresh._fit(*data)
        return adopt(self, fresh)

    def _set_solution(self, space, factor, alpha, one_target, dtype):
        """Fitted attributes, from the space of functions and the R factor of the data."""
        coef = space.solve(factor, [alpha])[0]
        if not np.isfinite(coef).all():
            raise ValueError("The solution overflows: rescale y, or increase `alpha`.")
        self._space_, self._factor_, self._one_target_ = space, factor, one_target
        self.library_ = space.library
        self.n_free_ = space.n_free
        self.coef_ = (coef[0] if one_target else coef).astype(dtype)
        if not space.varies():
            warnings.warn(
                f"The symmetry leaves {'a constant' if space.n_free else 'zero'} as the only "
                "function of this library: raise its degree, or check `algebra` and `output`.",
                UserWarning,
                stacklevel=5,
            )


class SymmetricRidge(_SymmetricRegressor):
    """Ridge regression on a feature library, over the functions that have a known symmetry.

    Minimises ``||Y - Phi coef^T||^2 + alpha ||coef||^2`` over the coefficients with
    ``L(xi, coef) = 0`` for every generator of `algebra` and ``F(g x) = rho(g) F(x)`` for every
    element of `group`. The constant function is not penalised; `alpha` = 0 gives the least-squares
    solution of minimum norm.

    Parameters
    ----------
    algebra : LieAlgebra or callable, default=None
        The connected symmetry; a callable such as ``so`` is called with the number of features.
        None: no constraint.
    library : library, default=None
        What is fitted; None is ``PolynomialLibrary(2)``. Polynomials are centred at the fixed
        point of the symmetry unless they name a centre.
    output : representation or array of shape (r, q, q), default=None
        How the outputs move, ``vector`` for example. None: every output is invariant.
    group : FiniteGroup or callable, default=None
        Discrete symmetries, alone or beside `algebra`.
    alpha : float, default=1.0
        Ridge penalty. The norm is that of the library's coordinates: for polynomials the Fischer
        norm about the library's centre, which depends on its axes and scale; the symmetry of the
        fit does not.
    rtol : float, default=1e-10
        Singular values of the constraints below `rtol` relative to the largest count as zero.

    Attributes
    ----------
    coef_ : ndarray of shape (p,) or (q, p)
        ``F(x) = coef @ phi(x)``; (p,) for one-dimensional y.
    library_ : fitted library
    basis_ : ndarray of shape (n_free, q p)
        Orthonormal basis of the equivariant coefficients.
    n_free_ : int
        Number of free coefficients.
    n_samples_seen_ : int
        Rows of positive weight, over all calls to `partial_fit`.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)

    Notes
    -----
    Rows are streamed in blocks into an R factor: time O(n k^2) and memory O(k^2) beside one block
    for k free coefficients, whatever n. Symmetric functions that the library does not hold are
    approximated symmetrically. A library that is not closed under the symmetry is constrained at
    sampled points along the orbits.

    References
    ----------
    Otto, Zolman, Kutz, Brunton (2025). A unified framework to enforce, discover, and promote
    symmetry in machine learning. JMLR 26(248).

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import SymmetricRidge, so
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> model = SymmetricRidge(so(3), alpha=0).fit(X, (X**2).sum(axis=1))
    >>> model.n_free_, round(float(model.predict([[1.0, 2.0, 2.0]])[0]), 6)
    (2, 9.0)
    """

    def __init__(
        self, algebra=None, *, library=None, output=None, group=None, alpha=1.0, rtol=1e-10
    ):
        self.algebra = algebra
        self.library = library
        self.output = output
        self.group = group
        self.alpha = alpha
        self.rtol = rtol

    def fit(self, X, y, sample_weight=None):
        """Fit to data.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,) or (n, q)
        sample_weight : array-like of shape (n,), default=None
            Non-negative; rows of weight zero count for nothing.

        Returns
        -------
        self
        """
        return self._refit(X, y, sample_weight)

    def partial_fit(self, X, y, sample_weight=None):
        """Add rows to those seen before: after all chunks, the same model as from `fit`.

        Parameters and return value as in `fit`. Parameters other than `alpha` must not change
        between chunks. Libraries that learn more from the data than
        their place (an adapted spline, say) keep what they learnt from the first chunk.
        """
        if not hasattr(self, "_space_"):
            return self.fit(X, y, sample_weight)
        fresh = adopt(type(self)(**self.get_params(deep=False)), self)
        fresh._add(X, y, sample_weight)
        return adopt(self, fresh)

    def _fit(self, X, y, sample_weight):
        check_number(self.alpha, "alpha")
        X, Y, weight, one_target, dtype = validated(self, X, y, sample_weight)
        space = EquivariantSpace.of(self, counted(X, weight), Y.shape[1])
        factor = space.accumulate(None, X, Y, weight)
        self.n_samples_seen_ = np.count_nonzero(weight)
        self._set_solution(space, factor, self.alpha, one_target, dtype)

    def _add(self, X, y, sample_weight):
        if not self._space_.still_describes(self):
            raise ValueError(
                "partial_fit continues the earlier chunks, but `algebra`, `library`, `output`, "
                "`group` or `rtol` has changed since: call fit to begin anew."
            )
        X, Y, weight, one_target, dtype = validated(self, X, y, sample_weight, reset=False)
        if Y.shape[1] != self._space_.n_outputs or one_target != self._one_target_:
            raise ValueError(
                f"y has shape {np.shape(y)}, but earlier chunks had "
                f"{'one dimension' if self._one_target_ else f'{self._space_.n_outputs} columns'}: "
                "the outputs of every chunk must be the same."
            )
        space, factor = self._space_.moved(self._factor_, counted(X, weight))
        factor = space.accumulate(factor, X, Y, weight)
        self.n_samples_seen_ += np.count_nonzero(weight)
        self._set_solution(space, factor, self.alpha, one_target, np.result_type(self.coef_, dtype))


class SymmetricRidgeCV(_SymmetricRegressor):
    """`SymmetricRidge` with alpha chosen by cross-validation.

    Minimises the same objective; alpha has the least mean squared error over the folds. Each fold
    is streamed once into an R factor of its own. Factors merge, so that every training set, every
    alpha and the final fit cost no further pass over the data.

    Parameters
    ----------
    algebra, library, output, group, rtol
        As in `SymmetricRidge`.
    alphas : array-like, default=None
        Values to try, 0 among them if wanted; None: 25 from 1e-8 to 1e4.
    cv : int, splitter or iterable of (train, test), default=None
        As in scikit-learn; None: 5 folds.

    Attributes
    ----------
    alpha_ : float
    cv_results_ : dict
        ``alpha`` (a,), ``mean_squared_error`` (a, n_folds), ``mean_test_error`` (a,).
    best_score_ : float
        Minus the least mean test error.
    coef_, library_, basis_, n_free_
        As in `SymmetricRidge`.
    """

    def __init__(
        self,
        algebra=None,
        *,
        library=None,
        output=None,
        group=None,
        alphas=None,
        cv=None,
        rtol=1e-10,
    ):
        self.algebra = algebra
        self.library = library
        self.output = output
        self.group = group
        self.alphas = alphas
        self.cv = cv
        self.rtol = rtol

    def fit(self, X, y, sample_weight=None):
        """Fit to data; parameters as in `SymmetricRidge.fit`."""
        return self._refit(X, y, sample_weight)

    def _fit(self, X, y, sample_weight):
        alphas = np.atleast_1d(_ALPHAS if self.alphas is None else self.alphas)
        if not alphas.size or alphas.ndim != 1:
            raise ValueError(f"`alphas` must be a non-empty list of numbers, got {self.alphas!r}.")
        for alpha in alphas:
            check_number(alpha, "alphas")
        X, Y, weight, one_target, dtype = validated(self, X, y, sample_weight)
        space = EquivariantSpace.of(self, counted(X, weight), Y.shape[1])
        errors, factor = _cross_validate(space, X, Y, weight, alphas, self.cv)
        mean = errors.mean(axis=1)
        best = int(np.argmin(mean))
        self.alpha_ = float(alphas[best])
        self.best_score_ = -float(mean[best])
        self.cv_results_ = {"alpha": alphas, "mean_squared_error": errors, "mean_test_error": mean}
        self._set_solution(space, factor, self.alpha_, one_target, dtype)


def _cross_validate(space, X, Y, weight, alphas, cv):
    """Mean squared errors (a, n_folds), and the factor of all rows."""
    splits = weighted_splits(cv, X, Y, weight)
    tests = [space.accumulate(None, X[test], Y[test], weight[test]) for _, test in splits]
    held_out = np.bincount(np.concatenate([test for _, test in splits]), minlength=len(X))
    partition = (held_out == 1)[weight > 0].all() and all(
        len(a) + len(b) == len(X) for a, b in splits
    )
    total, errors = None, np.empty((len(alphas), len(splits)))
    for fold, (train, test) in enumerate(splits):
        if not weight[train].any():
            raise ValueError(
                f"No row that fold {fold} trains on has a positive weight: use fewer folds in `cv`."
            )
        if partition:
            others = np.concatenate(tests[:fold] + tests[fold + 1 :])
            factor = merge_rows(None, others)
        else:
            factor = space.accumulate(None, X[train], Y[train], weight[train])
        w = space.coordinates(factor, alphas)
        k = w.shape[1]
        residual = tests[fold][:, :k] @ w - tests[fold][:, k:]
        total_weight = np.sum(weight[test] ** 2) * space.n_outputs
        errors[:, fold] = np.sum(residual**2, axis=(1, 2)) / total_weight
    if partition:
        total = merge_rows(None, np.concatenate(tests))
    else:
        total = space.accumulate(None, X, Y, weight)
    return errors, total


def _violation(here, there, coef, rho):
    """``|F(g x) - rho F(x)|`` relative to the sizes of the terms, from library values."""
    error = np.abs(there @ coef.T - here @ coef.T @ rho.T)
    size = np.maximum(np.abs(there) @ np.abs(coef).T, np.abs(here) @ np.abs(coef).T @ np.abs(rho).T)
    return error / np.where(size > 0, size, 1.0)
