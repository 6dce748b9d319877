"""From strong to weak promotion: a path of solutions, and alpha by cross-validation."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
from sklearn.utils import Bunch

from sksym._estimator import (
    alpha_grid,
    check_number,
    descending,
    is_integer,
    training_data,
    weighted_splits,
)
from sksym._linalg import one_thread, require_memory
from sksym.promote.cross_validation import Fold, Path, held_out_errors
from sksym.promote.refit import PromotionSamples, fit_promoted
from sksym.promote.regressor import PromotingRegressor, SymmetryPromotingRegressor
from sksym.solvers import largest_alpha

_RIDGES = np.logspace(-10, 2, 13)
_ROUGH = 1e-3  # gap while comparing penalties
_EQUAL = 1e-9  # difference of errors that is none
_RANGE = 1e-4  # of a grid: from the largest alpha to this fraction of it


def symmetry_path(X, y, candidates=None, *, sample_weight=None, alphas=20, **parameters):
    """Promote for many alphas, from strong to weak, each started from the one before.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,) or (n, q)
    candidates : LieAlgebra, FiniteGroup, Group or callable, default=None
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
        of the symmetry matrix, descending, ``n_symmetries`` (a,), ``mean_squared_error`` (a,) on
        these samples, ``dual_gaps`` (a,) in units of the objective, ``n_iters`` (a,).

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import so, symmetry_path
    >>> X = np.random.default_rng(0).uniform(-1, 1, size=(40, 3))
    >>> symmetry_path(X, X[:, 2] + X[:, 0] * X[:, 1], so, alphas=3).n_symmetries
    array([3, 0, 0])
    """
    # The convex problem alone, whose solutions are a path; rounds and refits jump.
    parameters = {"adaptive": False, "refit": False, **parameters}
    model = SymmetryPromotingRegressor(candidates, **parameters)
    options = model._solver_options(nullcontext, model.verbose)
    data = training_data(model, X, y, sample_weight).in_range()
    with one_thread():
        samples = PromotionSamples(model._problem(data), data.X, data.Y, data.weight)
        alphas = _grid(alphas, samples, model.ridge)
        path = Path(samples, options, model.refit)
        fits = [path.fit(alpha, model.ridge) for alpha in alphas]
    n_numbers = samples.n * samples.Y.shape[1]
    errors = [fit.samples.rss(fit.w) / n_numbers for fit in fits]
    return Bunch(
        alphas=alphas,
        coefs=np.array([fit.coef for fit in fits]),
        singular_values=np.array([fit.singular_values for fit in fits]),
        n_symmetries=np.array([len(fit.C) for fit in fits]),
        mean_squared_error=np.array(errors),
        dual_gaps=np.array([fit.final.gap for fit in fits]),
        n_iters=np.array([fit.n_iter for fit in fits]),
        library=samples.problem.space.library,
    )


class SymmetryPromotingRegressorCV(PromotingRegressor):
    """`SymmetryPromotingRegressor` with its penalties chosen by cross-validation.

    For every fold a path of alphas is solved from strong to weak, with the rounds and the refit
    of the regressor itself; and one of ridge penalties with alpha = 0, for functions that have no
    symmetry. The penalties chosen have the least mean squared error over the folds, the first of
    equals. The path ends early where weaker promotion has lost: where four alphas in a row were
    worse than the best penalty by more than a standard error, without falling, and the smallest
    alpha is worse too.

    Parameters
    ----------
    candidates, symmetry, library, output, adaptive, refit, solver, max_iter, tol
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
        (a,). The errors of alphas that were not tried, beyond the end of the path, are NaN.
    best_score_ : float
        Minus the least mean test error.
    coef_, algebra_, n_symmetries_, singular_values_, dual_gap_, n_iter_, n_free_, library_
    n_parameters_, n_checks_, determined_, coef_spread_
        As in `SymmetryPromotingRegressor`, fitted to all samples with those penalties.
    """

    def __init__(
        self,
        candidates=None,
        *,
        symmetry=None,
        library=None,
        output=None,
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
        self.symmetry = symmetry
        self.library = library
        self.output = output
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
        options = self._solver_options(nullcontext, self.verbose - 1)
        data = training_data(self, X, y, sample_weight).in_range()
        problem = self._problem(data)
        samples = PromotionSamples(problem, data.X, data.Y, data.weight)
        alphas = _grid(self.alphas, samples, 0.0)
        ridges = _RIDGES if self.ridges is None else self.ridges
        ridges = descending(ridges, "ridges")
        # Ridge penalties without promotion last: for functions that have no symmetry.
        penalties = [(alpha, 0.0) for alpha in alphas]
        penalties += [(0.0, ridge) for ridge in ridges]
        tol = max(options.tol, _ROUGH)
        rough = replace(options, tol=tol, rough=tol, check_start=True)
        may_be_exact = self._may_be_exact(samples, alphas[0], rough)
        folds = self._folds(problem, data, replace(rough, recovery=may_be_exact))

        def report(k):
            if self.verbose:
                print(f"fold {k + 1} of {len(folds)}: {len(folds[k].path.samples.Y)} samples")

        errors = held_out_errors(folds, alphas, ridges, task, report)
        mean_error = errors.mean(axis=1)
        # The first of equals: the strongest promotion.
        least = np.nanmin(mean_error) * (1 + _EQUAL)
        best = int(np.flatnonzero(mean_error <= least)[0])
        alpha, ridge = penalties[best]
        if alpha < alphas[0] and not may_be_exact:
            samples = samples.seen_by(problem)  # the search has other starts now
        fit = fit_promoted(samples, alpha, ridge, options, self.refit)
        self._set_fit(fit, samples, data)
        self.alpha_ = float(alpha)
        self.ridge_ = float(ridge)
        self.best_score_ = -float(mean_error[best])
        self.cv_results_ = {
            "alpha": np.array([alpha for alpha, _ in penalties]),
            "ridge": np.array([ridge for _, ridge in penalties]),
            "mean_squared_error": errors,
            "mean_test_error": mean_error,
        }

    def _may_be_exact(self, samples, alpha, options):
        """Whether folds should search for a function of low rank through their rows.

        One that passes through all rows is the right one in the folds too; where none is found,
        one through the rows of a fold would fail on the others. Not where it would take long.
        """
        if not samples.recovery.is_cheap:
            return False
        if self.refit and samples.interpolants.are_many:
            fit_promoted(samples, alpha, 0.0, options, self.refit)
            return samples.recovery.found is not None
        return samples.interpolants.exist

    def _folds(self, problem, data, options):
        """Split the data: a list of `Fold`.

        The problem is placed on all rows once, so that alphas mean the same in every fold.
        """
        folds = []
        for k, (train, test) in enumerate(weighted_splits(self.cv, data.X, data.Y, data.weight)):
            training = data.take(train)
            if training.n_counted < 2:
                raise ValueError(
                    f"Fold {k} trains on fewer than 2 rows of positive weight: use fewer folds in "
                    "`cv`."
                )
            samples = PromotionSamples(problem, training.X, training.Y, training.weight)
            path = Path(samples, options, self.refit)
            folds.append(Fold(path, data.take(test).counted()))
        return folds


def _grid(alphas, samples, ridge):
    """Return alphas in descending order."""
    check_number(ridge, "ridge")
    terms = samples.problem.terms

    # Called only where no alphas are given; without candidates any alpha is as good.
    def largest():
        if not terms:
            return 1.0
        return largest_alpha(samples.least_squares(ridge), terms)

    if is_integer(alphas):
        # A fit keeps its coefficients, and solutions to start the next one from.
        n_numbers = 8 * samples.problem.space.n_outputs
        n_numbers *= samples.problem.space.library.n_output_features_
        require_memory(
            8.0 * alphas * n_numbers,
            f"A path of {alphas:,} alphas",
            "Take fewer alphas.",
        )
    return alpha_grid(alphas, largest, _RANGE)
