"""Promote: regression that keeps the candidate symmetries which the data do not contradict."""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import (
    CallbackSupportMixin,
    adopt,
    check_choice,
    check_count,
    check_fraction,
    check_number,
    fit_tasks,
    training_data,
    unfitted_copy,
    validate_data,
    warn,
    with_callbacks,
)
from sksym._linalg import independent_rows, one_thread
from sksym.groups import resolve, se
from sksym.libraries import PolynomialLibrary, fitted_values
from sksym.promote.problem import PromotionProblem, without_enforced
from sksym.promote.refit import PromotionSamples, fit_promoted
from sksym.promote.reweighting import SolverOptions


class PromotingRegressor(CallbackSupportMixin, RegressorMixin, BaseEstimator):
    """What the promoting regressors share: all but the choice of alpha."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        # A penalty on change leaves little but constants where it is large.
        tags.regressor_tags.poor_score = True
        return tags

    @with_callbacks
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
        fresh = unfitted_copy(self)
        # Callbacks are told of the estimator that the user holds, not of the copy.
        with fit_tasks(self, X, y) as task, one_thread():
            fresh._fit(X, y, sample_weight, task)
            return adopt(self, fresh)

    def predict(self, X, return_std=False):
        """Predict targets, shape (n,) or (n, q).

        Parameters
        ----------
        X : array-like of shape (n, d)
        return_std : bool, default=False
            Whether to return standard errors of the fitted function too, of the same shape: those
            of the coefficients along the functions with as many symmetries.
        """
        check_is_fitted(self)
        # Single precision is kept, so that predictions take no more memory than the data.
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        predicted = fitted_values(self.library_, self.coef_, X)
        if not return_std:
            return predicted
        if self.coef_spread_ is None:
            raise ValueError(
                "This function has no standard errors, because the samples are exact, or do not "
                "show its symmetries beyond their noise: got return_std=True, pass False."
            )
        variance = np.zeros_like(predicted)
        for coef in self.coef_spread_:
            variance += fitted_values(self.library_, coef.reshape(self.coef_.shape), X) ** 2
        return predicted, np.sqrt(variance)

    def _solver_options(self, task, verbose):
        """Check the parameters of the solver, and return them."""
        check_choice(self.solver, "solver", ("auto", "admm", "cvxpy"))
        check_count(self.max_iter, "max_iter")
        check_fraction(self.tol, "tol")
        return SolverOptions(
            adaptive=bool(self.adaptive),
            solver=self.solver,
            tol=float(self.tol),
            max_iter=int(self.max_iter),
            callback=_print_progress if verbose > 0 else None,
            task=task,
        )

    def _problem(self, data):
        """Place the problem that the parameters describe on the rows that count."""
        # Rows without weight may lie anywhere, so the library is not placed on them.
        X = data.counted().X
        if len(X) < 2:
            raise ValueError("No function can be told from 1 sample: give more samples.")
        symmetry = resolve(self.symmetry, X)
        if not symmetry.algebra.is_affine:
            raise TypeError(
                "`symmetry` beyond affine motions cannot be enforced beside candidates: give a "
                "LieAlgebra, a FiniteGroup or a Group, or enforce fields with SymmetricRidge."
            )
        given = se if self.candidates is None else self.candidates
        candidates = resolve(given, X, "candidates")
        if not candidates.algebra.is_affine:
            raise TypeError(
                "`candidates` beyond affine motions cannot be promoted: give a LieAlgebra, a "
                "FiniteGroup or a Group, or search among fields with SymmetryDiscoverer."
            )
        # The default candidates may overlap with what is enforced without a warning.
        problem = PromotionProblem.of(
            without_enforced(candidates, symmetry, say=self.candidates is not None),
            symmetry,
            PolynomialLibrary(2) if self.library is None else self.library,
            self.output,
            X,
            data.Y.shape[1],
            vars(self).get("feature_names_in_"),
        )
        if candidates.algebra.dim and not candidates.algebra.flat().any():
            warn(
                "No candidate moves any point, so there is nothing to promote: the fit is that of "
                "least squares."
            )
        return problem

    def _set_fit(self, fit, samples, data):
        """Set the fitted attributes, from a fit and the samples before anything was decided."""
        # Checked here once: overflow anywhere before ends in the coefficients.
        if not np.isfinite(fit.coef).all():
            raise ValueError("The solution overflows: rescale y, or increase `ridge`.")
        fit.warn_of_gap(self.tol)
        determination = samples.determination(fit)
        if not determination.is_determined:
            _warn_of_undetermined(determination)
        self.library_ = fit.library
        # The symmetries of this function, not of the last convex problem.
        symmetries = samples.problem.space.group.algebra + fit.algebra
        self.algebra_ = symmetries.take(independent_rows(symmetries.flat()))
        self.n_symmetries_ = self.algebra_.dim
        self.singular_values_ = fit.singular_values
        self.n_free_ = fit.problem.space.n_free
        self.dual_gap_ = fit.final.gap
        self.n_iter_ = max(fit.n_iter, 1)
        self.n_parameters_ = determination.n_parameters
        self.n_checks_ = determination.n_checks
        self.determined_ = determination.is_determined
        self.coef_spread_ = fit.spread
        self.coef_ = data.shaped(fit.coef)


class SymmetryPromotingRegressor(PromotingRegressor):
    """Regression on a feature library that promotes candidate symmetries.

    Minimises ``1/(2n) ||Y - Phi coef^T||^2 + ridge/2 ||coef||^2 + alpha ||S(coef)||_*`` over the
    functions with the `symmetry`, where ``S(coef)`` has the Lie derivatives along the
    candidates as its columns (``LieDerivative.symmetry_matrix``): its rank is the number of
    candidates that are broken, and the nuclear norm its convex surrogate. For discrete candidates
    ``alpha sum_g ||g F - F||`` is added over the elements, in the mean square over the library's
    box.

    Then, in this order:

    * `adaptive`: eight times the same with ``eps sum_i log(1 + s_i / eps)`` of the singular
      values for the nuclear norm, linearised at the last solution, eps from 0.3 to 0.008 of the
      largest: what is broken is hardly shrunk any more.
    * `refit`: where some function through all samples has so many symmetries that the samples
      determine it, it is the result, with the fewest symmetries broken (recovery, see Notes).
      Else the symmetries that the data do not contradict are decided, written in exact
      numbers and enforced, and the limit alpha -> 0 of the problem is solved among the functions
      that have them. They are those that `SymmetryDiscoverer` declares from the least-squares fit;
      where it declares none, or there are too few samples for it, those of the promoted function,
      if the enforced function fits as well (by BIC and an F test with more samples than
      functions, else with at most 1.2 times the residual and more samples than free
      coefficients). Where none remains, the result is the promoted function.

    Parameters
    ----------
    candidates : LieAlgebra, FiniteGroup, Group or callable, default=None
        What may hold, and is promoted; a callable such as ``se`` is called with the number of
        features. None: ``se(d)``.
    symmetry : LieAlgebra, FiniteGroup, Group or callable, default=None
        What holds, and is enforced. Generators and elements of it are left out of the
        candidates.
    library : library, default=None
        What is fitted; None is ``PolynomialLibrary(2)``.
    output : representation or array of shape (r, q, q), default=None
        How the outputs move, ``vector`` for example. None: every output is invariant.
    alpha : float, default=1.0
        Strength of the promotion. 0: the limit from above, of all functions that minimise the
        other terms the one of least nuclear norm; with few exact samples the best choice.
    ridge : float, default=0.0
        Penalty of the coefficients; constants are free.
    adaptive : bool, default=True
    refit : bool, default=True
    solver : {"auto", "admm", "cvxpy"}, default="auto"
        "admm" is what "auto" means; "cvxpy" solves the same problems by an interior-point method,
        for comparison.
    max_iter : int, default=10000
        Iterations of each convex problem.
    tol : float, default=1e-6
        Duality gap at which to stop, relative to the objective above least squares.
    verbose : int, default=0
        1: prints objective and gap while solving.

    Attributes
    ----------
    coef_ : ndarray of shape (p,) or (q, p)
        ``F(x) = coef @ phi(x)``; (p,) for one-dimensional y.
    coef_spread_ : ndarray of shape (t, q, p) or None
        The covariance of the coefficients is the sum of ``outer(c, c)`` over these; None where the
        function was not fitted on the variety (see Notes) beyond noise.
    algebra_ : LieAlgebra
        The symmetries of the fitted function: those enforced, and the candidates that hold.
    n_symmetries_ : int
    singular_values_ : ndarray
        Of the symmetry matrix, descending; their sum is the nuclear norm.
    dual_gap_ : float
        Of the last convex problem, before the refit: an upper bound on the suboptimality, in units
        of the objective; for ``alpha = 0`` in units of the nuclear norm.
    n_iter_ : int
        Iterations of all convex problems, before the refit.
    n_free_ : int
        Free coefficients of the last problem.
    n_parameters_ : int
        Dimension of the variety of functions with as many symmetries: free coefficients and what
        is free of the symmetries.
    n_checks_ : int
        Independent numbers in the samples beyond `n_parameters_`. A wrong function passes one of
        these with probability zero, if the samples are exact.
    determined_ : bool
        Whether there are checks, and no other function nearby with as many symmetries.
    library_ : fitted library
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)

    Notes
    -----
    Recovery minimises the singular values of the symmetry matrix beyond the R largest over the
    functions through all samples, ``ridge`` being 0, for R from bisection, started from each of
    the convex solutions in turn. It needs about as many samples as the symmetric functions have
    parameters, some half of what the convex penalty needs. With fewer samples another function
    through them breaks no more symmetries than the true one, and a warning tells.

    With noise, and fewer samples than twice the unknowns, the misfit is minimised over the
    functions with as many symmetries in the same way (`ridge` being 0), and alpha only gives the
    starts. The number of symmetries is chosen by F tests, and the function is taken if the samples
    are at least twice its parameters, if no other function of the library explains its residuals,
    and if fits to four fifths of the samples predict the others.

    Solved by the alternating direction method of multipliers with a certificate of the gap, from
    a streamed R factor of the data: O(n p^2) once, then O((q p)^3) for one inverse and O((q p)^2)
    plus a partial singular value decomposition of an (r, q p) matrix per iteration. Inner
    products are those of the uniform measure on the library's box, so that nuclear norms do not
    depend on the basis of the algebra or of the polynomials.

    References
    ----------
    Otto, Zolman, Kutz, Brunton (2025), JMLR 26(248), equation 29 and section 10.
    Fazel, Hindi, Boyd (2003). Log-det heuristic for matrix rank minimization. American Control
    Conference.

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import SymmetryPromotingRegressor, so
    >>> X = np.random.default_rng(0).uniform(-1, 1, size=(30, 4))
    >>> y = X[:, 3] + (X[:, :3] ** 2).sum(axis=1)
    >>> SymmetryPromotingRegressor(so, alpha=0).fit(X, y).algebra_
    LieAlgebra(dim=3, n_features=4: x0 ∂1 - x1 ∂0, x0 ∂2 - x2 ∂0, x1 ∂2 - x2 ∂1)
    """

    def __init__(
        self,
        candidates=None,
        *,
        symmetry=None,
        library=None,
        output=None,
        alpha=1.0,
        ridge=0.0,
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
        self.alpha = alpha
        self.ridge = ridge
        self.adaptive = adaptive
        self.refit = refit
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose

    def _fit(self, X, y, sample_weight, task):
        # Parameters before data, so that a wrong one is reported at once.
        check_number(self.alpha, "alpha")
        check_number(self.ridge, "ridge")
        options = self._solver_options(task, self.verbose)
        data = training_data(self, X, y, sample_weight).in_range()
        problem = self._problem(data)
        samples = PromotionSamples(problem, data.X, data.Y, data.weight)
        fit = fit_promoted(samples, self.alpha, self.ridge, options, self.refit)
        self._set_fit(fit, samples, data)


def _warn_of_undetermined(determination):
    """Warn that other functions of the same kind fit as well, and say how many are missing."""
    n_missing = max(1 - determination.n_checks, 1)
    warn(
        "The samples do not determine the function: functions with these symmetries have "
        f"{determination.n_parameters} parameters, and the samples give "
        f"{determination.n_equations} independent numbers. Give at least {n_missing} more, or look "
        "at held-out samples."
    )


def _print_progress(n_iter, objective, gap):
    """Print one line; what ``verbose=1`` gives the solver as its callback."""
    print(f"iteration {n_iter:5d}: objective {objective:.6g}, relative gap {gap:.1e}")
