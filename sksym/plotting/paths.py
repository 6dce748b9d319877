"""Promotion along a path of alphas."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sksym.plotting.canvas import (
    FOUND,
    OTHER,
    can_mark,
    count_on_top,
    draw_error,
    mark_alpha,
    path_panels,
)
from sksym.promote import SymmetryPromotingRegressor, SymmetryPromotingRegressorCV, symmetry_path


@dataclass(kw_only=True, eq=False, repr=False)
class SymmetryPathDisplay:
    """Promotion from strong to weak: singular values and error along a path of alphas.

    Above, the singular values of the symmetry matrix: each vanishes where one more candidate
    becomes a symmetry, and their number is written on top. Below, the mean squared error.

    Parameters
    ----------
    alphas : ndarray of shape (a,)
    singular_values : ndarray of shape (a, k)
        Ascending for every alpha.
    n_symmetries : ndarray of shape (a,)
    error : ndarray of shape (a,)
        Mean squared error.
    error_spread : ndarray of shape (a,), default=None
        Standard deviation over folds, where the error is that of a cross-validation.
    error_without : float, default=None
        Error of the best ridge penalty without promotion.
    alpha : float, default=None
        The one to mark; what is a symmetry there has its colour.

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
        """A display of what `symmetry_path` returned, not drawn yet."""
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
            One that chooses alpha by cross-validation has alphas of its own, and the errors shown
            are those of its folds; unless it is fitted, a copy is.
        X : array-like of shape (n, d)
        y : array-like of shape (n,) or (n, q)
        ax : Axes, default=None
            Divided into both panels; None: a new figure.
        alphas : int or array-like, default=20
            As in `symmetry_path`, for an estimator with one alpha.
        """
        if not isinstance(estimator, SymmetryPromotingRegressor | SymmetryPromotingRegressorCV):
            raise TypeError(
                "Paths belong to SymmetryPromotingRegressor and SymmetryPromotingRegressorCV, "
                f"got {estimator!r}."
            )
        if isinstance(estimator, SymmetryPromotingRegressor):
            shown = {"alpha": estimator.alpha}
        else:
            shown = _cross_validated(fitted(estimator, X, y))
            alphas = shown["alphas"]
        parameters = estimator.get_params(deep=False)
        for name in ("alpha", "alphas", "ridges", "cv"):
            parameters.pop(name, None)
        display = cls.from_path(symmetry_path(X, y, alphas=alphas, **parameters))
        vars(display).update(shown)
        return display.plot(ax)

    def plot(self, ax=None):
        """Draw both panels, inside `ax` where that is given; returns the display."""
        upper, lower = path_panels(ax, self.alphas)
        self.ax_, self.figure_ = np.array([upper, lower]), upper.figure
        self._draw_singular_values(upper)
        draw_error(lower, self.alphas, self.error, self.error_spread)
        if self.error_without is not None:
            without = {"ls": "--", "lw": 1, "label": "best ridge, alpha = 0"}
            lower.axhline(self.error_without, color=OTHER, **without)
        mark_alpha(self.ax_, self.alpha, self.alphas)
        return self

    def _draw_singular_values(self, ax):
        found = np.asarray(self.n_symmetries)
        marked = can_mark(self.alpha, self.alphas)
        here = np.abs(self.alphas - self.alpha).argmin() if marked else None
        for i, curve in enumerate(np.transpose(self.singular_values)):
            symmetric = here is not None and i < found[here]
            style = {"color": FOUND if symmetric else OTHER, "lw": 1.2, "clip_on": False}
            ax.plot(self.alphas, curve, **style)
        runs = np.split(np.arange(len(found)), np.flatnonzero(np.diff(found)) + 1)
        middle = [self.alphas[run[len(run) // 2]] for run in runs]
        count_on_top(ax, middle, [found[run[0]] for run in runs], "symmetries")
        ax.set(ylabel="singular values", ylim=(0, None))


def fitted(estimator, X, y):
    """The estimator, or a fitted copy of one that is not fitted."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return clone(estimator).fit(X, y)
    return estimator


def _cross_validated(estimator):
    """What a display shows of a fitted SymmetryPromotingRegressorCV."""
    results = estimator.cv_results_
    ridged = results["ridge"] > 0
    error = results["mean_test_error"]
    return {
        "alphas": results["alpha"][~ridged],
        "error": error[~ridged],
        "error_spread": results["mean_squared_error"][~ridged].std(axis=1),
        "error_without": float(error[ridged].min()) if ridged.any() else None,
        "alpha": None if estimator.ridge_ > 0 else estimator.alpha_,
    }
