"""From strong to weak promotion: a path of solutions, and alpha by cross-validation."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
from sklearn.utils import Bunch

from sksym._estimator import alpha_grid, descending, weighted_splits
from sksym._linalg import one_thread
from sksym.libraries import evaluate
from sksym.promote.fitting import Samples, fitted_at
from sksym.promote.regressor import PromotingRegressor, SymmetryPromotingRegressor
from sksym.solvers import largest_alpha

_RIDGES = np.logspace(-10, 2, 13)
_ROUGH = 1e-4  # gap while comparing penalties
_RANGE = 1e-4  # of a grid: from the largest alpha to this fraction of it


def symmetry_path(X, y, candidates=None, *, sample_weight=None, alphas=20, **parameters):
    """Promotion for many alphas, from strong to weak, each started from the one before.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,) or (n, q)
    candidates : LieAlgebra or callable, default=None
    sample_weight : array-like of shape (n,), default=None
    alphas : int or array-like, default=20
        That many, geometrically from an alpha at which all candidates are symmetries to 1e-4 of
        it; or the values themselves.
    **parameters
        Other parameters of `SymmetryPromotingRegressor`; `adaptive` and `refit` are False unless
        given: the convex problem alone.

    Returns
    -------
    Bunch
        ``alphas`` (a,) descending, ``coefs`` (a, q, p) in ``library``, ``singular_values`` (a, k)
        of the symmetry matrix, ascending, ``n_symmetries`` (a,), ``mean_squared_error`` (a,) on
        these samples, ``dual_gaps`` (a,) in units of the objective, ``n_iters`` (a,).

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import so, symmetry_path
    >>> X = np.random.default_rng(0).uniform(-1, 1, size=(40, 3))
    >>> symmetry_path(X, X[:, 2] + X[:, 0] * X[:, 1], so, alphas=3).n_symmetries
    array([3, 0, 0])
    """
    parameters = {"adaptive": False, "refit": False, **parameters}
    model = SymmetryPromotingRegressor(candidates, **parameters)
    options = model._checked_options()
    samples = model._samples(X, y, sample_weight)[0]
    alphas = _grid(alphas, samples, model.ridge)
    with one_thread():
        fits = list(_along(samples, [(a, model.ridge) for a in alphas], options, model.refit))
    error = [fit.samples.rss(fit.w) / (samples.n * samples.Y.shape[1]) for fit in fits]
    return Bunch(
        alphas=alphas,
        coefs=np.array([fit.coef for fit in fits]),
        singular_values=np.array([fit.singular_values for fit in fits]),
        n_symmetries=np.array([len(fit.C) for fit in fits]),
        mean_squared_error=np.array(error),
        dual_gaps=np.array([fit.final.gap for fit in fits]),
        n_iters=np.array([fit.n_iter for fit in fits]),
        library=samples.problem.space.library,
    )


class SymmetryPromotingRegressorCV(PromotingRegressor):
    """`SymmetryPromotingRegressor` with its penalties chosen by cross-validation.

    For every fold a path of alphas is solved from strong to weak, with the rounds and the refit
    of the regressor itself; and one of ridge penalties with alpha = 0, for functions that have no
    symmetry. The penalties chosen have the least mean squared error over the folds, the first of
    equals.

    Parameters
    ----------
    candidates, algebra, library, output, group, adaptive, refit, solver, max_iter, tol
        As in `SymmetryPromotingRegressor`.
    alphas : int or array-like, default=20
        That many, geometrically from an alpha at which all candidates are symmetries to 1e-4 of
        it; or the values themselves.
    ridges : array-like, default=None
        Ridge penalties to try with alpha = 0; None: 13 from 1e-10 to 100. An empty list: none.
    cv : int, splitter or iterable of (train, test), default=None
        As in scikit-learn; None: 5 folds.
    verbose : int, default=0
        1: prints the folds, 2: the solver's progress too.

    Attributes
    ----------
    alpha_, ridge_ : float
    cv_results_ : dict
        ``alpha`` (a,), ``ridge`` (a,), ``mean_squared_error`` (a, n_folds), ``mean_test_error``
        (a,).
    best_score_ : float
        Minus the least mean test error.
    coef_, algebra_, n_symmetries_, singular_values_, dual_gap_, n_iter_, n_free_, library_
        As in `SymmetryPromotingRegressor`, fitted to all samples with those penalties.
    """

    def __init__(
        self,
        candidates=None,
        *,
        algebra=None,
        library=None,
        output=None,
        group=None,
        alphas=20,
        ridges=None,
        cv=None,
        adaptive=True,
        refit=True,
        solver="auto",
        max_iter=10_000,
        tol=1e-6,
        verbose=0,
    ):
        self.candidates = candidates
        self.algebra = algebra
        self.library = library
        self.output = output
        self.group = group
        self.alphas = alphas
        self.ridges = ridges
        self.cv = cv
        self.adaptive = adaptive
        self.refit = refit
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose

    def _fit(self, X, y, sample_weight, task):
        options = self._checked_options()
        samples, rows, one_target, dtype = self._samples(X, y, sample_weight)
        alphas = _grid(self.alphas, samples, 0.0)
        ridges = descending(_RIDGES if self.ridges is None else self.ridges, "ridges")
        penalties = [(alpha, 0.0) for alpha in alphas] + [(0.0, ridge) for ridge in ridges]
        with one_thread():
            rough = replace(options, tol=max(options.tol, _ROUGH), task=nullcontext)
            errors = self._cross_validate(samples.problem, rows, penalties, rough, task)
            mean = errors.mean(axis=1)
            best = int(np.flatnonzero(mean <= mean.min() * (1 + 1e-9))[0])
            fit = fitted_at(samples, *penalties[best], options, self.refit)
        self._set_fit(fit, options, one_target, dtype)
        self.alpha_, self.ridge_ = map(float, penalties[best])
        self.best_score_ = -float(mean[best])
        alpha, ridge = np.transpose(penalties)
        self.cv_results_ = {
            "alpha": alpha,
            "ridge": ridge,
            "mean_squared_error": errors,
            "mean_test_error": mean,
        }

    def _cross_validate(self, problem, rows, penalties, options, task):
        """Mean squared test errors, (penalties, folds)."""
        X, Y, root = rows
        splits, errors = weighted_splits(self.cv, X, Y, root), []
        for k, (train, test) in enumerate(splits):
            if self.verbose:
                print(f"fold {k + 1} of {len(splits)}: {len(train)} samples")
            if np.count_nonzero(root[train]) < 2:
                raise ValueError(
                    f"Fold {k} trains on fewer than 2 rows of positive weight: use fewer folds in "
                    "`cv`."
                )
            with task(f"fold {k}"):
                mine = Samples(problem, X[train], Y[train], root[train])
                fits = _along(mine, penalties, options, self.refit)
                weight = root[test] ** 2
                left = [Y[test] - evaluate(fit.library, fit.coef, X[test]) for fit in fits]
                errors.append(np.mean(np.square(left), axis=2) @ weight / weight.sum())
        return np.transpose(errors)


def _along(samples, penalties, options, refit):
    """Fits for pairs (alpha, ridge), each started from the convex solution of the one before."""
    fit, before = None, None
    for alpha, ridge in penalties:
        # What the data decide does not depend on alpha.
        if fit is None or not fit.by_data or ridge != before:
            start = fit.convex if fit is not None and ridge == before and alpha > 0 else None
            fit = fitted_at(samples, alpha, ridge, options, refit, start)
        before = ridge
        yield fit


def _grid(alphas, samples, ridge):
    """Alphas in descending order."""
    terms = samples.problem.terms
    return alpha_grid(
        alphas, lambda: largest_alpha(samples.data(ridge), terms) if terms else 1.0, _RANGE
    )
