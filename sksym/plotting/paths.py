"""Displays of symmetry promotion along a path of alphas."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sksym.plotting.canvas import (
    OTHER,
    SYMMETRIC,
    can_mark,
    count_on_top,
    draw_error,
    mark_alpha,
    path_panels,
)
from sksym.promote import SymmetryPromotingRegressor, SymmetryPromotingRegressorCV, symmetry_path


@dataclass(kw_only=True, eq=False, repr=False)
class SymmetryPathDisplay:
    """Singular values and error along a path of alphas, from strong to weak promotion.

    The upper panel shows the singular values of the symmetry matrix: each vanishes where one more
    candidate becomes a symmetry, and the number of symmetries is written on top. The lower panel
    shows the mean squared error.

    Parameters
    ----------
    alphas : ndarray of shape (a,)
    singular_values : ndarray of shape (a, k)
        In any order for every alpha.
    n_symmetries : ndarray of shape (a,)
    error : ndarray of shape (a,)
        Mean squared error.
    error_spread : ndarray of shape (a,), default=None
        Standard deviation over the folds, for errors of a cross-validation.
    error_without : float, default=None
        Error of the best ridge penalty without promotion.
    alpha : float, default=None
        The alpha to mark; the singular values of its symmetries are drawn in colour.

    Attributes
    ----------
    ax_ : ndarray of two Axes
        Of the singular values and of the error.
    figure_ : Figure

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import SymmetryPathDisplay, so, symmetry_path
    >>> X = np.random.default_rng(0).uniform(-1, 1, size=(40, 3))
    >>> path = symmetry_path(X, X[:, 2] + X[:, 0] * X[:, 1], so, alphas=5)
    >>> display = SymmetryPathDisplay.from_path(path).plot()
    """

    alphas: np.ndarray
    singular_values: np.ndarray
    n_symmetries: np.ndarray
    error: np.ndarray
    error_spread: np.ndarray | None = None
    error_without: float | None = None
    alpha: float | None = None

    @classmethod
    def from_path(cls, path):
        """Return a display of the result of `symmetry_path`, without drawing it."""
        return cls(
            alphas=path.alphas,
            singular_values=path.singular_values,
            n_symmetries=path.n_symmetries,
            error=path.mean_squared_error,
        )

    @classmethod
    def from_estimator(cls, estimator, X, y, *, ax=None, alphas=20):
        """Draw the path of a promoting regressor, with all its parameters but alpha.

        Parameters
        ----------
        estimator : SymmetryPromotingRegressor or SymmetryPromotingRegressorCV
            A cross-validated one is shown with its own alphas and the errors of its folds; a copy
            is fitted if it is not fitted yet.
        X : array-like of shape (n, d)
        y : array-like of shape (n,) or (n, q)
        ax : Axes, default=None
            The frame of both panels; None: a new figure.
        alphas : int or array-like, default=20
            As in `symmetry_path`, for an estimator with one alpha.
        """
        if isinstance(estimator, SymmetryPromotingRegressor):
            shown = {"alpha": estimator.alpha}
        elif isinstance(estimator, SymmetryPromotingRegressorCV):
            shown = _cross_validated(fitted(estimator, X, y))
            alphas = shown["alphas"]
        else:
            raise TypeError(
                "Paths belong to SymmetryPromotingRegressor and SymmetryPromotingRegressorCV, "
                f"got {estimator!r}."
            )
        parameters = estimator.get_params(deep=False)
        for name in ("alpha", "alphas", "ridges", "cv"):
            parameters.pop(name, None)
        display = cls.from_path(symmetry_path(X, y, alphas=alphas, **parameters))
        display = replace(display, **shown)
        return display.plot(ax)

    def plot(self, ax=None):
        """Draw both panels, inside `ax` if that is given, and return the display.

        Parameters
        ----------
        ax : Axes, default=None
            The frame of both panels; None: a new figure.
        """
        upper, lower = path_panels(ax, self.alphas)
        self.ax_ = np.array([upper, lower])
        self.figure_ = upper.figure
        self._draw_singular_values(upper)
        draw_error(lower, self.alphas, self.error, self.error_spread)
        if self.error_without is not None:
            label = "best ridge, alpha = 0"
            lower.axhline(self.error_without, color=OTHER, ls="--", lw=1, label=label)
        mark_alpha(self.ax_, self.alpha, self.alphas)
        return self

    def _draw_singular_values(self, ax):
        """Draw the singular values, and write how many of them are symmetries on top."""
        n_symmetries = np.asarray(self.n_symmetries)
        n_marked = 0
        if can_mark(self.alpha, self.alphas):
            nearest = np.abs(self.alphas - self.alpha).argmin()
            n_marked = n_symmetries[nearest]
        for i, curve in enumerate(np.sort(self.singular_values, axis=1).T):
            color = SYMMETRIC if i < n_marked else OTHER
            ax.plot(self.alphas, curve, color=color, lw=1.2, clip_on=False)
        ax.set_ylabel("singular values")
        ax.set_ylim(0, None)
        # The number is written once for each run of alphas with as many symmetries, in its middle.
        changes = np.flatnonzero(np.diff(n_symmetries)) + 1
        runs = np.split(np.arange(len(n_symmetries)), changes)
        middles = [run[len(run) // 2] for run in runs]
        count_on_top(ax, self.alphas[middles], n_symmetries[middles], "symmetries")


def fitted(estimator, X, y):
    """Return the estimator, or a fitted copy of one that is not fitted."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return clone(estimator).fit(X, y)
    return estimator


def _cross_validated(estimator):
    """Return the fields of a display that a fitted SymmetryPromotingRegressorCV gives."""
    results = estimator.cv_results_
    error = results["mean_test_error"]
    # A pair with a positive ridge has alpha = 0: it competes with promotion.
    has_ridge = results["ridge"] > 0
    promoted = ~has_ridge
    error_without = None
    if has_ridge.any():
        error_without = float(error[has_ridge].min())
    alpha = estimator.alpha_
    if estimator.ridge_ > 0:
        alpha = None
    return {
        "alphas": results["alpha"][promoted],
        "error": error[promoted],
        "error_spread": results["mean_squared_error"][promoted].std(axis=1),
        "error_without": error_without,
        "alpha": alpha,
    }
