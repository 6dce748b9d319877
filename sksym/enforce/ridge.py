"""Ridge regression over the functions that have a known symmetry exactly."""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import (
    by_value,
    check_number,
    descending,
    is_integer,
    on_copy,
    on_fitted_copy,
    training_data,
    validate_data,
    warn,
    weighted_splits,
)
from sksym._linalg import one_thread, row_blocks
from sksym.equivariant import EquivariantSpace
from sksym.groups import Trivial, linear_combination, resolve
from sksym.libraries import (
    DefaultLibrary,
    PolynomialLibrary,
    fitted_values,
    library_values,
    plain_terms,
)

_SMALLEST_ALPHA, _LARGEST_ALPHA = 1e-8, 1e4  # of a grid
_SHOWN = 1e-10  # terms of a formula relative to its largest


class _SymmetricRegressor(DefaultLibrary, RegressorMixin, BaseEstimator):
    """What the ridge regressors share: all but the choice of alpha."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        one_output = isinstance(self.output, Trivial) and self.output.q == 1
        tags.target_tags.multi_output = not one_output
        # Symmetric functions cannot follow data that lack the symmetry.
        tags.regressor_tags.poor_score = self.symmetry is not None
        return tags

    def predict(self, X):
        """Predict targets, shape (n,) or (n, q)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        coef, intercept = self._coefficients_in_double()
        values = fitted_values(self.library_, coef, X) + intercept
        return values.astype(np.result_type(X, self._dtype_), copy=False)

    def equations(self, precision=4):
        """Return the fitted function as formulas, in the names of the columns.

        Parameters
        ----------
        precision : int, default=4
            Significant digits.

        Returns
        -------
        list of str
            One for each output, ``y = 2 x0^2 + 2 x1^2``; ``y0``, ``y1``, .. of several. Terms
            that are round-off beside the others are left out.
        """
        check_is_fitted(self)
        names, coef = plain_terms(self, np.atleast_2d(self.coef_))
        intercept = np.reshape(self.intercept_, (-1, 1))
        names = ["1", *names]
        coef = np.hstack([intercept, coef])
        # What a term amounts to on the data: coefficients have units.
        amount = np.abs(self.coef_) * self._space_.function_sizes()
        amount = np.hstack([np.abs(intercept), np.atleast_2d(amount)])
        largest = amount.max(axis=1, keepdims=True)
        coef = np.where(amount > _SHOWN * largest, coef, 0.0)
        equations = []
        for i, row in enumerate(coef):
            target = "y" if self._one_target_ else f"y{i}"
            formula = linear_combination(row, names, precision, most=None)
            equations.append(f"{target} = {formula}")
        return equations

    @property
    def basis_(self):
        """Orthonormal rows that span the equivariant coefficients, (n_free, q p)."""
        check_is_fitted(self)
        return self._space_.full_basis().toarray()

    def equivariance_error(self, X, *, n_elements=20, random_state=0):
        """Measure the largest relative violation of the symmetry over finite group elements.

        Parameters
        ----------
        X : array-like of shape (n, d)
        n_elements : int, default=20
            Elements drawn: the exponential of a random generator of size about one, times a
            random word in the discrete elements.
        random_state : int or Generator, default=0

        Returns
        -------
        float
            Largest ``|F(g x) - rho(g) F(x)|`` relative to ``sum_k |coef_k phi_k(g x)|`` and
            ``|rho(g)| sum_k |coef_k phi_k(x)|``, the scale on which floating point resolves F.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        coef, _ = self._coefficients_in_double()
        coef = np.atleast_2d(coef)

        def violation(images, rho):
            largest = 0.0
            for rows in row_blocks(len(X), 2 * coef.shape[1]):
                here = library_values(self.library_, X[rows])
                there = library_values(self.library_, images[rows])
                of_rows = np.max(_violation(here, there, coef, rho), initial=0.0)
                largest = np.maximum(largest, of_rows)
            return largest

        with one_thread():
            return self._space_.largest_violation(violation, X, n_elements, random_state)

    def _coefficients_in_double(self):
        """Return `coef_` and `intercept_` before they were rounded, to single precision, say.

        Rounded coefficients would have no exact symmetry.
        """
        if self._dtype_ == "float64":
            return self.coef_, self.intercept_
        return self._in_double_

    def _space_of(self, data):
        """Find the space that the parameters describe, placed on the rows that count."""
        if self.symmetry is None and self.output is not None:
            raise ValueError(
                "`output` says how the outputs move, but no symmetry moves them: give `symmetry`, "
                "or leave `output` out."
            )
        X = data.counted().X
        space = EquivariantSpace.of(
            resolve(self.symmetry, X),
            PolynomialLibrary(2) if self.library is None else self.library,
            self.output,
            X,
            data.Y.shape[1],
            self.rtol,
            vars(self).get("feature_names_in_"),
        )
        if self.fit_intercept and not space.constant.size:
            return space.with_intercepts()
        return space

    def _set_solution(self, space, statistics, alpha, one_target, dtype):
        """Solve, and set the fitted attributes."""
        coef, intercept = space.solve(statistics, [alpha])
        coef = coef[0]
        intercept = intercept[0]
        largest = np.abs(np.append(coef, intercept)).max()
        if not largest <= np.finfo(dtype).max:  # NaN included
            raise ValueError(
                f"The coefficients overflow {np.dtype(dtype)}: rescale y, increase `alpha`, or "
                "give X in double precision."
            )
        if not space.varies():
            n_constants = space.n_free + len(space.intercepts)
            remaining = "a constant" if n_constants else "zero"
            warn(
                f"The symmetry leaves {remaining} as the only function of this library: raise its "
                "degree, or check `symmetry` and `output`."
            )
        self._space_ = space
        self._statistics_ = statistics
        self._one_target_ = one_target
        self._dtype_ = np.dtype(dtype).name
        self._parameters_ = self._fixed_parameters()
        self.library_ = space.library
        self.n_free_ = space.n_free
        self.n_samples_seen_ = statistics.n_rows
        if one_target:
            coef = coef[0]
            intercept = float(intercept[0])
        self._in_double_ = (coef, intercept)
        self.coef_ = coef.astype(dtype)
        self.intercept_ = intercept if one_target else intercept.astype(dtype)

    def _fixed_parameters(self):
        """Return by value the parameters that must not change while rows are added."""
        fixed = (self.symmetry, self.library, self.output, self.fit_intercept, self.rtol)
        return tuple(by_value(parameter) for parameter in fixed)


class SymmetricRidge(_SymmetricRegressor):
    """Ridge regression on a feature library, over the functions that have a known symmetry.

    Minimises ``||Y - F(X)||^2 + alpha sum_k s_k^2 v_k^2`` over ``F = c + sum_k v_k f_k``. The
    ``f_k`` span all functions of the library with ``L(xi, F) = 0`` for every generator of
    `symmetry` and ``F(g x) = rho(g) F(x)`` for every element of it, c is a constant with the
    symmetry, and ``s_k`` is the spread of ``f_k`` on the data, its root mean square distance from
    such constants: ridge regression on standardised symmetric functions, whatever the units of X
    and y. `alpha` = 0 gives the least-squares solution of minimum norm.

    Parameters
    ----------
    symmetry : LieAlgebra, FiniteGroup, Group or callable, default=None
        Who acts: a connected symmetry, a discrete one, or both together, as in
        ``so(3) + reflections(3)``. A callable such as ``so`` is called with the number of
        features. None: no constraint.
    library : library, default=None
        What is fitted; None is ``PolynomialLibrary(2)``. Polynomials are centred at the fixed
        point of the symmetry unless they name a centre.
    output : representation or array of shape (r, q, q), default=None
        How the outputs move, ``vector`` for example. None: every output is invariant.
    alpha : float, default=1.0
        Ridge penalty, in units of rows: a function that is unrelated to the others is shrunk by
        ``n / (n + alpha)``. The functions are the rows of the reduced echelon form of
        `basis_`, ``x0^2 + x1^2`` and the like. One that does not vary on the data is left out.
    fit_intercept : bool, default=True
        Whether to add the constants with the symmetry where the library has no constant function.
        A constant of the library's own is kept, and never penalised.
    rtol : float, default=1e-10
        Singular values of the constraints below `rtol` relative to the largest count as zero.

    Attributes
    ----------
    coef_ : ndarray of shape (p,) or (q, p)
        ``F(x) = coef @ phi(x) + intercept``; (p,) for one-dimensional y.
    intercept_ : float or ndarray of shape (q,)
        Zero where the library has the constant itself, whose coefficient is then in `coef_`.
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
        self,
        symmetry=None,
        *,
        library=None,
        output=None,
        alpha=1.0,
        fit_intercept=True,
        rtol=1e-10,
    ):
        self.symmetry = symmetry
        self.library = library
        self.output = output
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.rtol = rtol

    @on_copy
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
        check_number(self.alpha, "alpha")
        data = training_data(self, X, y, sample_weight)
        space = self._space_of(data)
        statistics = space.statistics(data.X, data.Y, data.weight)
        self._set_solution(space, statistics, self.alpha, data.one_target, data.dtype)

    def partial_fit(self, X, y, sample_weight=None):
        """Add rows to those seen before: after all chunks, the same model as from `fit`.

        Parameters and return value as in `fit`. Parameters other than `alpha` must not change
        between chunks. Libraries whose functions depend on the data, such as splines, keep the
        functions chosen from the first chunk.
        """
        if not hasattr(self, "_space_"):
            return self.fit(X, y, sample_weight)
        return self._add_rows(X, y, sample_weight)

    @on_fitted_copy
    def _add_rows(self, X, y, sample_weight):
        check_number(self.alpha, "alpha")
        self._require_unchanged("partial_fit")
        data = training_data(self, X, y, sample_weight, reset=False)
        if data.Y.shape[1] != self._space_.n_outputs or data.one_target != self._one_target_:
            raise ValueError(
                f"y has shape {np.shape(y)}, but earlier chunks had {self._shape_of_targets()}: "
                "the outputs of every chunk must be the same."
            )
        counted = data.counted()
        space, statistics = self._space_.including(self._statistics_, counted.X)
        statistics = statistics.merge(space.statistics(counted.X, counted.Y, counted.weight))
        dtype = np.result_type(self._dtype_, data.dtype)
        self._set_solution(space, statistics, self.alpha, data.one_target, dtype)

    @on_fitted_copy
    def merge(self, other):
        """Add the rows that another model was fitted to: the same as a fit to all of them.

        Parameters
        ----------
        other : SymmetricRidge
            Fitted to other rows with the same parameters; its `alpha` is not used.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If symmetry, library, output, tolerance, outputs or features differ.
        """
        check_is_fitted(self)
        check_number(self.alpha, "alpha")
        self._require_unchanged("merge")
        self._require_mergeable(other)
        space, statistics = self._space_.merge(other._space_, self._statistics_, other._statistics_)
        dtype = np.result_type(self._dtype_, other._dtype_)
        self._set_solution(space, statistics, self.alpha, self._one_target_, dtype)

    def _require_unchanged(self, method):
        """Raise where parameters that rows are added under have changed since the fit."""
        if self._parameters_ != self._fixed_parameters():
            raise ValueError(
                f"{method} continues the earlier fit, but `symmetry`, `library`, `output`, "
                "`fit_intercept` or `rtol` has changed since: call fit to begin anew."
            )

    def _require_mergeable(self, other):
        """Raise an error that names what differs between two fitted models."""
        if not isinstance(other, SymmetricRidge):
            raise TypeError(f"`other` must be a fitted SymmetricRidge, got {other!r}.")
        check_is_fitted(other)
        names = ("symmetry", "library", "output", "fit_intercept", "rtol")
        pairs = zip(names, self._parameters_, other._parameters_, strict=True)
        differing = [f"`{name}`" for name, ours, theirs in pairs if ours != theirs]
        if self.n_features_in_ != other.n_features_in_ or not np.array_equal(
            vars(self).get("feature_names_in_"), vars(other).get("feature_names_in_")
        ):
            differing.append("the features of X")
        if self._shape_of_targets() != other._shape_of_targets():
            differing.append("the outputs of y")
        if differing:
            raise ValueError(
                f"Models of different problems cannot be merged: {', '.join(differing)} differ. "
                "Fit both with the same parameters to rows of the same columns."
            )

    def _shape_of_targets(self):
        if self._one_target_:
            return "one dimension"
        return f"{self._space_.n_outputs} columns"


class SymmetricRidgeCV(_SymmetricRegressor):
    """Ridge regression with a known symmetry and alpha chosen by cross-validation.

    Minimises the objective of `SymmetricRidge`; alpha has the least mean squared error over the
    folds. Each fold is streamed once into statistics of its own. They merge, so that every
    training set, every alpha and the final fit cost no further pass over the data.

    Parameters
    ----------
    symmetry, library, output, fit_intercept, rtol
        As in `SymmetricRidge`.
    alphas : int or array-like, default=25
        How many to try, geometrically from 1e-8 to 1e4; or the values, 0 among them if wanted.
    cv : int, splitter or iterable of (train, test), default=None
        As in scikit-learn; None: 5 folds.

    Attributes
    ----------
    alpha_ : float
    cv_results_ : dict
        ``alpha`` (a,), ``mean_squared_error`` (a, n_folds), ``mean_test_error`` (a,).
    best_score_ : float
        Minus the least mean test error.
    coef_, intercept_, library_, basis_, n_free_, n_samples_seen_, n_features_in_, feature_names_in_
        As in `SymmetricRidge`.
    """

    def __init__(
        self,
        symmetry=None,
        *,
        library=None,
        output=None,
        alphas=25,
        cv=None,
        fit_intercept=True,
        rtol=1e-10,
    ):
        self.symmetry = symmetry
        self.library = library
        self.output = output
        self.alphas = alphas
        self.cv = cv
        self.fit_intercept = fit_intercept
        self.rtol = rtol

    @on_copy
    def fit(self, X, y, sample_weight=None):
        """Fit to data; parameters as in `SymmetricRidge.fit`."""
        alphas = _checked_alphas(self.alphas)
        data = training_data(self, X, y, sample_weight)
        space = self._space_of(data)
        errors, statistics = _cross_validate(space, data, alphas, self.cv)
        mean_error = errors.mean(axis=1)
        best = int(np.argmin(mean_error))
        alpha = float(alphas[best])
        self._set_solution(space, statistics, alpha, data.one_target, data.dtype)
        self.alpha_ = alpha
        self.best_score_ = -float(mean_error[best])
        self.cv_results_ = {
            "alpha": alphas,
            "mean_squared_error": errors,
            "mean_test_error": mean_error,
        }


def _checked_alphas(alphas):
    """Return the alphas to try, in the order given; ascending where a number is given."""
    if is_integer(alphas) and alphas > 0:
        return np.geomspace(_SMALLEST_ALPHA, _LARGEST_ALPHA, alphas)
    if is_integer(alphas) or not np.size(alphas):
        raise ValueError(f"`alphas` must be a number of values >= 1 or values, got {alphas!r}.")
    descending(alphas, "alphas")  # refuses what is no list of penalties
    return np.atleast_1d(np.asarray(alphas, dtype=float))


def _cross_validate(space, data, alphas, cv):
    """Compute mean squared errors (a, n_folds), and the statistics of all rows."""
    splits = weighted_splits(cv, data.X, data.Y, data.weight)
    folds = [_statistics_of(space, data.take(test)) for _, test in splits]
    is_partition = _is_partition(splits, data.weight)
    errors = np.empty((len(alphas), len(splits)))
    for k, (train, test) in enumerate(splits):
        if not data.weight[train].any():
            raise ValueError(
                f"No row that fold {k} trains on has a positive weight: use fewer folds in `cv`."
            )
        if is_partition:
            training = _merged(folds[:k] + folds[k + 1 :])
        else:
            training = _statistics_of(space, data.take(train))
        w = space.coordinates(training, alphas)
        residual = folds[k].design @ w - folds[k].targets
        total_weight = data.weight[test].sum() * space.n_outputs
        with np.errstate(over="ignore"):
            errors[:, k] = np.sum(residual**2, axis=(1, 2)) / total_weight
    with np.errstate(over="ignore"):
        sum_of_folds = errors.sum(axis=1)
    if not np.isfinite(sum_of_folds).all():
        raise ValueError(
            f"Squared errors overflow for targets as large as {np.abs(data.Y).max():.3g}: "
            "rescale y."
        )
    if is_partition:
        return errors, _merged(folds)
    return errors, _statistics_of(space, data)


def _statistics_of(space, data):
    return space.statistics(data.X, data.Y, data.weight)


def _merged(statistics):
    """Merge the statistics of several folds."""
    merged = statistics[0]
    for fold in statistics[1:]:
        merged = merged.merge(fold)
    return merged


def _is_partition(splits, weight):
    """Tell whether every row that counts is tested once and trained on in all other folds."""
    n = len(weight)
    n_tests = np.bincount(np.concatenate([test for _, test in splits]), minlength=n)
    complete = all(len(train) + len(test) == n for train, test in splits)
    return complete and (n_tests == 1)[weight > 0].all()


def _violation(here, there, coef, rho):
    """Compute ``|F(g x) - rho F(x)|`` relative to the sizes of the terms, from library values."""
    error = np.abs(there @ coef.T - here @ coef.T @ rho.T)
    size_there = np.abs(there) @ np.abs(coef).T
    size_here = np.abs(here) @ np.abs(coef).T @ np.abs(rho).T
    size = np.maximum(size_there, size_here)
    return error / np.where(size > 0, size, 1.0)
