"""Paths of solutions, from strong mirrors to weak ones, and alpha by cross-validation."""

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch
from sklearn.utils.parallel import Parallel, delayed

from sksym._estimator import alpha_grid, is_integer, on_copy, warn, weighted_splits
from sksym._linalg import require_memory
from sksym.mirror.backends import LARGE_ALPHA, SMALL_ALPHA, LeastSquaresOnly, moderate_alpha
from sksym.mirror.regressor import MirrorRegressor, MirrorSparseRegressor

_TIE = 1e-9  # relative difference of two errors that count as equal


def mirror_path(X, y, mirrors=None, *, alphas=100, eps=1e-3, sample_weight=None, **parameters):
    """Fit a model for each of many alphas, from strong to weak, each started from the previous one.

    Mirrors that a warm start proves to hold, by a sphere about its dual point that contains the
    dual solution, are left out of the fit ("gap-safe" screening).

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n, p)
    y : array-like of shape (n,) or (n, q)
    mirrors : mirror or list of them, default=None
    alphas : int or array-like, default=100
        The number of alphas, geometric from `alpha_max` down, or the values themselves.
    eps : float, default=1e-3
        Ratio of the least alpha of a grid to the greatest.
    sample_weight : array-like of shape (n,), default=None
    **parameters
        Other parameters of `MirrorSparseRegressor`.

    Returns
    -------
    path : Bunch
        ``alphas`` (a,) descending, ``coefs`` (a, p) or (a, q, p), ``intercepts`` (a,) or (a, q),
        ``norms`` (a, m), the ``||O_k^T w||`` of the elementary mirrors and, for `low_rank`, the
        singular values; ``active`` (a, m), broken for any output; ``mirror_names`` of length
        m, ``dual_gaps`` (a,), ``n_iters`` (a,), ``mean_squared_error`` (a,) on these samples.

    Warns
    -----
    ConvergenceWarning
        If some fits end above the tolerance.

    Examples
    --------
    >>> import numpy as np
    >>> from sksym.mirror import groups, mirror_path
    >>> X = np.random.default_rng(0).normal(size=(60, 6))
    >>> path = mirror_path(X, X[:, 0] - 2 * X[:, 1], groups([0, 0, 1, 1, 2, 2]), alphas=3)
    >>> path.active[:2]
    array([[False, False, False],
           [ True, False, False]])
    """
    model = MirrorSparseRegressor(mirrors, **parameters)
    data, operators = model._prepared(X, y, sample_weight)
    backends = model._backends(data, operators, many_fits=True)
    alphas, alphas_inside = _grid(alphas, eps, backends, data.units)
    fits = _along(backends, alphas_inside)
    converged = [all(fit.converged for fit in of_alpha) for of_alpha in fits]
    missed = converged.count(False)
    # The gap of a concave penalty is that of a tangent, which bounds nothing for the path.
    if missed and model.depth == 2:
        warn(
            f"{missed} of {len(alphas)} fits end above tol={model.tol}, see `dual_gaps`: increase "
            "`max_iter`, or `tol`.",
            ConvergenceWarning,
        )
    return _path(alphas, fits, data, operators)


def alpha_max(X, y, mirrors=None, *, sample_weight=None, **parameters):
    """Return the least alpha at which every mirror holds, in closed form.

    It is the dual norm of the gradient where all of them hold (`decay_threshold`). For overlapping
    groups and graphs with cycles the result is an upper bound of it.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n, p)
    y : array-like of shape (n,) or (n, q)
    mirrors : mirror or list of them, default=None
    sample_weight : array-like of shape (n,), default=None
    **parameters
        Other parameters of `MirrorSparseRegressor`.

    Returns
    -------
    alpha : float

    Examples
    --------
    >>> import numpy as np
    >>> from sksym.mirror import alpha_max
    >>> X = np.diag([3.0, 1.0, 1.0])
    >>> alpha_max(X, [1, 1, -2], fit_intercept=False)
    1.0
    """
    model = MirrorSparseRegressor(mirrors, **parameters)
    data, operators = model._prepared(X, y, sample_weight)
    backends = model._backends(data, operators)
    largest = max(backend.largest_alpha() for backend in backends)
    return float(largest) if data.units is None else data.units.largest_alpha(largest)


def _grid(alphas, eps, backends, units):
    """Return alphas (a,) in descending order, for a number of them or for values.

    Those of the scaled problem, (a,), come second.
    """

    def largest():
        return max(backend.largest_alpha() for backend in backends)

    problem = backends[0].problem
    p = problem.data.X.shape[1]
    q = len(backends) * problem.data.Y.shape[1]
    if is_integer(alphas):
        # Coefficients twice, lengths, and the alphas themselves.
        m = len(problem.operators.sizes)
        require_memory(
            8.0 * alphas * (2 * p * q + 3 * m + 8),
            f"A path of {alphas:,} alphas for {p:,} columns and {q:,} outputs",
            "Take fewer alphas.",
        )
    grid = alpha_grid(alphas, largest, eps)
    if units is None:
        return grid, [float(alpha) for alpha in grid]
    if is_integer(alphas):
        grid = units.largest_alpha(grid)
    return grid, [units.alpha_inside(alpha) for alpha in grid]


def _along(backends, alphas):
    """Return the fits of all back ends for each alpha, each started from the previous alpha."""
    fits = []
    states = [None] * len(backends)
    for alpha in alphas:
        # Zero comes last: the limit has no penalty, and other solvers.
        if alpha == 0:
            backends = [LeastSquaresOnly(backend.problem) for backend in backends]
        pairs = zip(backends, states, strict=True)
        fits_of_alpha = []
        for backend, state in pairs:
            if not SMALL_ALPHA < alpha < LARGE_ALPHA:
                alpha = moderate_alpha(backend, alpha)
            fits_of_alpha.append(backend.solve(alpha, state))
        fits.append(fits_of_alpha)
        states = [fit.state for fit in fits[-1]]
    return fits


def _path(alphas, fits, data, operators):
    """Return the Bunch of a path."""
    # a alphas, p columns, q outputs, m mirrors
    W, intercepts = _coefficients(fits)
    # Squares of coefficients and of residuals are safe in the units of the fits.
    norms = np.array([operators.norms(W_of_alpha) for W_of_alpha in W])
    errors = _errors(W, intercepts, data)
    if data.units is not None:
        norms = data.units.coefficients(norms)
        errors = data.units.losses(errors)
        fits = list(map(data.units.fits_outside, fits))
        W, intercepts = _coefficients(fits)
    coefs = W.transpose(0, 2, 1)
    if data.one_target:
        coefs = coefs[:, 0]
    # With an output for each fit, a mirror is broken where one of them breaks it.
    active = []
    for of_alpha in fits:
        by_output = [fit.lengths > 0 for fit in of_alpha]
        active.append(np.any(by_output, axis=0))
    return Bunch(
        alphas=alphas,
        coefs=coefs,
        intercepts=intercepts[:, 0] if data.one_target else intercepts,
        norms=norms,
        active=np.array(active),
        mirror_names=operators.labels(data.Y.shape[1]),
        dual_gaps=np.array([sum(fit.gap for fit in of_alpha) for of_alpha in fits]),
        n_iters=np.array([sum(fit.n_iter for fit in of_alpha) for of_alpha in fits]),
        mean_squared_error=errors,
    )


def _coefficients(fits):
    """Return coefficients (a, p, q) and intercepts (a, q)."""
    W = []
    intercepts = []
    for of_alpha in fits:
        W.append(np.hstack([fit.W for fit in of_alpha]))
        intercepts.append(np.concatenate([fit.intercept for fit in of_alpha]))
    return np.array(W), np.array(intercepts)


def _errors(W, intercepts, data):
    """Return the weighted mean squared errors (a,) of coefficients (a, p, q) on some rows.

    All of them are those of the scaled problem.
    """
    data = data.counted()
    share = data.weight / data.weight.sum()  # mean over rows and outputs
    errors = []
    for W_of_alpha, intercept in zip(W, intercepts, strict=True):
        residual = data.Y - data.X @ W_of_alpha - intercept
        errors.append(np.mean(share @ residual**2))
    return np.array(errors)


class MirrorSparseRegressorCV(MirrorRegressor):
    """`MirrorSparseRegressor` with alpha chosen by cross-validation, as in LassoCV.

    Parameters
    ----------
    mirrors : mirror or list of them, default=None
    alphas : int or array-like, default=100
        The number of alphas, geometric from `alpha_max` down, or the values themselves.
    eps : float, default=1e-3
        Ratio of the least alpha of a grid to the greatest.
    cv : int, splitter or iterable of (train, test), default=None
        As in scikit-learn; None makes 5 folds.
    overlap, depth, fit_intercept, positive, multi_task, solver, max_iter, tol
        As in `MirrorSparseRegressor`.
    n_jobs : int, default=None
        Number of folds fitted at a time, as in scikit-learn.
    verbose : int, default=0
        With 1, finished folds are printed.

    Attributes
    ----------
    alpha_ : float
        The alpha of least mean squared error over the folds, the greatest of several.
    best_score_ : float
        Minus that mean squared error.
    cv_results_ : dict
        ``alpha`` (a,), ``mean_squared_error`` (a, n_folds), ``mean_test_error`` (a,).
    alphas_ : ndarray of shape (a,)
        Descending.
    mse_path_ : ndarray of shape (a, n_folds)
        As in LassoCV.
    path_ : dict
        What `mirror_path` gives for all samples.
    coef_, intercept_, dual_gap_, n_iter_, active_, satisfied_, mirror_names_
        As in `MirrorSparseRegressor`, fitted to all samples with that alpha.

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import MirrorSparseRegressorCV
    >>> from sksym.mirror import groups
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 6))
    >>> y = X[:, 0] - 2 * X[:, 1] + 0.1 * rng.normal(size=60)
    >>> model = MirrorSparseRegressorCV(groups([0, 0, 1, 1, 2, 2])).fit(X, y)
    >>> model.coef_[:2].round(1)
    array([ 1., -2.])
    """

    def __init__(
        self,
        mirrors=None,
        *,
        alphas=100,
        eps=1e-3,
        cv=None,
        overlap="analysis",
        depth=2,
        fit_intercept=True,
        positive=False,
        multi_task=True,
        solver="auto",
        max_iter=10_000,
        tol=1e-6,
        n_jobs=None,
        verbose=0,
    ):
        self.mirrors = mirrors
        self.alphas = alphas
        self.eps = eps
        self.cv = cv
        self.overlap = overlap
        self.depth = depth
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.multi_task = multi_task
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs
        self.verbose = verbose

    @on_copy
    def fit(self, X, y, sample_weight=None):
        """Choose alpha, and fit the model to all rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, p)
        y : array-like of shape (n,) or (n, q)
        sample_weight : array-like of shape (n,), default=None
            A weight k counts as k equal rows, except that splits of `cv` are splits of rows.

        Returns
        -------
        self : MirrorSparseRegressorCV
        """
        data, operators = self._prepared(X, y, sample_weight)
        backends = self._backends(data, operators, many_fits=True)
        units = data.units
        alphas, alphas_inside = _grid(self.alphas, self.eps, backends, units)
        # Each fold compresses its rows once, and then fits all alphas.
        folds = (
            delayed(_fold_errors)(self, data, operators, alphas_inside, train, test)
            for train, test in weighted_splits(self.cv, data.X, data.Y, data.weight)
        )
        parallel = Parallel(n_jobs=self.n_jobs, verbose=10 * self.verbose)
        errors = np.transpose(parallel(folds))
        mean = errors.mean(axis=1)
        # Errors that differ by round-off are equal: the strongest penalty is taken.
        least = mean.min() * (1 + _TIE)
        best = int(np.flatnonzero(mean <= least)[0])
        fits = _along(backends, alphas_inside)
        if units is not None:
            errors = units.losses(errors)
            mean = units.losses(mean)
        chosen = fits[best] if units is None else units.fits_outside(fits[best])
        self._set_fits(chosen, data, operators)
        self.alpha_ = alphas[best]
        self.best_score_ = -mean[best]
        self.cv_results_ = {"alpha": alphas, "mean_squared_error": errors, "mean_test_error": mean}
        self.alphas_ = alphas
        self.mse_path_ = errors
        self.path_ = dict(_path(alphas, fits, data, operators))


def _fold_errors(model, data, operators, alphas, train, test):
    """Return the mean squared errors (a,) on the test rows of one fold."""
    if not data.weight[train].any():
        raise ValueError("A fold trains on no row of positive weight: use fewer folds in `cv`.")
    backends = model._backends(data.take(train), operators, many_fits=True)
    W, intercepts = _coefficients(_along(backends, alphas))
    return _errors(W, intercepts, data.take(test))
