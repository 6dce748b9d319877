"""From strong mirrors to weak ones: a path of solutions, and alpha by cross-validation."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch
from sklearn.utils.parallel import Parallel, delayed

from sksym._estimator import alpha_grid, weighted_splits
from sksym.mirror.regressor import MirrorRegressor, MirrorSparseRegressor


def mirror_path(X, y, mirrors=None, *, alphas=100, eps=1e-3, sample_weight=None, **parameters):
    """Fits for many alphas, from strong to weak, each started from the one before.

    What a warm start shows to be on its mirror, by a sphere that holds the dual solution, is left
    out of the fit ("gap-safe" screening).

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n, p)
    y : array-like of shape (n,) or (n, q)
    mirrors : mirror or list of them, default=None
    alphas : int or array-like, default=100
        That many, geometrically from the least alpha at which every mirror holds (where there is a
        closed form: all but overlapping groups and graphs with cycles); or the values themselves.
    eps : float, default=1e-3
        The least alpha of a grid over the greatest.
    sample_weight : array-like of shape (n,), default=None
    **parameters
        Other parameters of `MirrorSparseRegressor`.

    Returns
    -------
    Bunch
        ``alphas`` (a,) descending, ``coefs`` (a, p) or (a, q, p), ``intercepts`` (a,) or (a, q),
        ``norms`` (a, m), the ``||O_k^T w||`` of the elementary mirrors and, for `low_rank`, the
        singular values; ``active`` (a, m), broken for any output; ``mirror_names`` of length
        m, ``dual_gaps`` (a,), ``n_iters`` (a,), ``mean_squared_error`` (a,) on these samples.

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
    problems, data, rows = model._prepared(X, y, sample_weight, many=True)
    alphas = _grid(alphas, eps, problems)
    fits = _along(problems, alphas)
    missed = sum(not all(fit.converged for fit in one) for one in fits)
    if missed and model.depth == 2:
        warnings.warn(
            f"{missed} of {len(alphas)} fits end above tol={model.tol}, see `dual_gaps`: increase "
            "`max_iter`, or `tol`.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return _path(alphas, fits, data, rows)


def alpha_max(X, y, mirrors=None, *, sample_weight=None, **parameters):
    """The least alpha at which every mirror holds, in closed form.

    The dual norm of the gradient where all of them hold (`decay_threshold`). For overlapping groups
    and graphs with cycles an alpha that may be greater than that.

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
    float

    Examples
    --------
    >>> import numpy as np
    >>> from sksym.mirror import alpha_max
    >>> X = np.diag([3.0, 1.0, 1.0])
    >>> alpha_max(X, [1, 1, -2], fit_intercept=False)
    1.0
    """
    model = MirrorSparseRegressor(mirrors, **parameters)
    problems, _, _ = model._prepared(X, y, sample_weight)
    return max(problem.largest_alpha() for problem in problems)


def _along(problems, alphas):
    """Fits, a tuple of all problems for each alpha, each started from the one before."""
    fits = []
    for alpha in alphas:
        starts = [fit.state for fit in fits[-1]] if fits else [None] * len(problems)
        fits.append([one.fit(alpha, start) for one, start in zip(problems, starts, strict=True)])
    return fits


def _path(alphas, fits, data, rows):
    """The Bunch of a path."""
    X, Y, root, one_target, _ = data
    W, b = _coefficients(fits)
    return Bunch(
        alphas=alphas,
        coefs=W[:, :, 0] if one_target else W.transpose(0, 2, 1),
        intercepts=b[:, 0] if one_target else b,
        norms=np.array([rows.norms(one) for one in W]),
        active=np.array([np.any([fit.active for fit in one], axis=0) for one in fits]),
        mirror_names=rows.labels(Y.shape[1]),
        dual_gaps=np.array([sum(fit.gap for fit in one) for one in fits]),
        n_iters=np.array([sum(fit.n_iter for fit in one) for one in fits]),
        mean_squared_error=_errors(W, b, X, Y, root**2),
    )


def _coefficients(fits):
    """Coefficients (a, p, q) and intercepts (a, q)."""
    W = np.array([np.hstack([fit.W for fit in one]) for one in fits])
    return W, np.array([np.concatenate([fit.intercept for fit in one]) for one in fits])


def _errors(W, b, X, Y, weight):
    """Weighted mean squared errors (a,)."""
    share = weight / weight.sum()
    left = [Y - X @ coef - shift for coef, shift in zip(W, b, strict=True)]
    return np.array([np.mean(share @ one**2) for one in left])


class MirrorSparseRegressorCV(MirrorRegressor):
    """`MirrorSparseRegressor` with alpha chosen by cross-validation, as in LassoCV.

    Parameters
    ----------
    mirrors : mirror or list of them, default=None
    alphas : int or array-like, default=100
        That many, geometrically from the least alpha at which every mirror holds; or the values.
    eps : float, default=1e-3
        The least alpha of a grid over the greatest.
    cv : int, splitter or iterable of (train, test), default=None
        As in scikit-learn; None: 5 folds.
    overlap, depth, fit_intercept, positive, multi_task, solver, max_iter, tol
        As in `MirrorSparseRegressor`.
    n_jobs : int, default=None
        Folds fitted at a time, as in scikit-learn.
    verbose : int, default=0
        1: prints the folds as they are done.

    Attributes
    ----------
    alpha_ : float
        Of the least mean squared error over the folds, the greatest of equals.
    alphas_ : ndarray of shape (a,)
        Descending.
    mse_path_ : ndarray of shape (a, folds)
    path_ : Bunch
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

    def _fit(self, X, y, sample_weight, before):
        problems, data, rows = self._prepared(X, y, sample_weight, many=True)
        X, Y, root, one_target, dtype = data
        alphas = _grid(self.alphas, self.eps, problems)
        jobs = (
            delayed(_fold_errors)(self, X, Y, root, rows, alphas, train, test)
            for train, test in weighted_splits(self.cv, X, Y, root)
        )
        errors = np.transpose(Parallel(n_jobs=self.n_jobs, verbose=10 * self.verbose)(jobs))
        mean = errors.mean(axis=1)
        best = int(np.flatnonzero(mean <= mean.min() * (1 + 1e-9))[0])
        fits = _along(problems, alphas)
        self._set_fits(fits[best], rows, one_target, dtype)
        self.alpha_, self.alphas_, self.mse_path_ = float(alphas[best]), alphas, errors
        self.path_ = _path(alphas, fits, data, rows)


def _fold_errors(model, X, Y, root, rows, alphas, train, test):
    """Mean squared errors (a,) on the test rows of one fold."""
    if not root[train].any():
        raise ValueError("A fold trains on no row of positive weight: use fewer folds in `cv`.")
    options = model._checked_options()
    problems = model._problems(X[train], Y[train], root[train], rows, options, many=True)
    return _errors(*_coefficients(_along(problems, alphas)), X[test], Y[test], root[test] ** 2)


def _grid(alphas, eps, problems):
    """Alphas in descending order."""
    return alpha_grid(alphas, lambda: max(one.largest_alpha() for one in problems), eps)
