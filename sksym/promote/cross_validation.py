"""Errors of penalties on held-out rows, along paths that end where weaker promotion has lost."""

from copy import copy

import numpy as np

from sksym.libraries import evaluate
from sksym.promote.refit import fit_promoted

_WORSE = 4  # alphas in a row after which a path may end


class Path:
    """Fits to the same rows for one penalty after another, each started from the one before.

    Parameters
    ----------
    samples : PromotionSamples
    options : SolverOptions
    refit : bool
    """

    def __init__(self, samples, options, refit):
        self.samples = samples
        self.options = options
        self.refit = refit
        self.last = None
        self.ridge = None

    def fit(self, alpha, ridge):
        """Return the `PromotedFit` for one pair of penalties."""
        is_same_ridge = self.last is not None and ridge == self.ridge
        # What the data decide does not depend on alpha.
        if is_same_ridge and self.last.by_data:
            return self.last
        starts = []
        if is_same_ridge and alpha > 0:
            # Rounds differ so little from one alpha to the next that their starts may be enough.
            n_starts = None if self.options.check_start else 1
            starts = self.last.solutions[:n_starts]
        self.ridge = ridge
        self.last = fit_promoted(
            self.samples,
            alpha,
            ridge,
            self.options,
            self.refit,
            starts,
        )
        return self.last


class Fold:
    """One split: a path on the training rows, judged by the held-out ones.

    Parameters
    ----------
    path : Path
    held_out : TrainingData
        Rows of positive weight.
    """

    def __init__(self, path, held_out):
        self.path = path
        self.held_out = held_out

    def error(self, alpha, ridge):
        """Return the mean squared error on the held-out rows."""
        fit = self.path.fit(alpha, ridge)
        return self._error_of(fit)

    def error_ahead(self, alpha):
        """Return the error of an alpha further down the path, which goes on where it was."""
        fit = copy(self.path).fit(alpha, 0.0)
        return self._error_of(fit)

    def _error_of(self, fit):
        held_out = self.held_out
        predicted = evaluate(fit.library, fit.coef, held_out.X)
        residual = held_out.Y - predicted
        square = np.mean(residual**2, axis=1)
        return square @ held_out.weight / held_out.weight.sum()


def held_out_errors(folds, alphas, ridges, task, report):
    """Compute mean squared errors of alphas and of ridge penalties on the held-out rows.

    All folds go down the path together, four alphas at a time. The path ends where each of the last
    four was worse than the best penalty so far by more than the standard error of the difference,
    the errors did not fall among them, and the smallest alpha, which is tried then, is worse too.

    Parameters
    ----------
    folds : list of Fold
    alphas : ndarray of shape (a,)
        Descending, with ridge = 0.
    ridges : ndarray of shape (b,)
        With alpha = 0.
    task : callable
        ``task(name)`` gives the context of what is done in one fold.
    report : callable
        Called with the number of a fold before it goes on.

    Returns
    -------
    ndarray of shape (a + b, folds)
        NaN for the alphas that were not tried.
    """
    n_alphas = len(alphas)
    of_alphas = np.full((n_alphas, len(folds)), np.nan)
    of_ridges = np.empty((len(ridges), len(folds)))
    first = 0
    while first < n_alphas:
        # One more at first: the best may be the largest.
        end = first + _WORSE + (first == 0)
        for k, fold in enumerate(folds):
            report(k)
            with task(f"fold {k}"):
                if first == 0:
                    of_ridges[:, k] = [fold.error(0.0, ridge) for ridge in ridges]
                of_alphas[first:end, k] = [fold.error(alpha, 0.0) for alpha in alphas[first:end]]
        first = end
        tried = np.concatenate([of_ridges, of_alphas[:end]])
        if end < n_alphas and _has_passed(tried):
            last = [fold.error_ahead(alphas[-1]) for fold in folds]
            of_alphas[-1] = last
            if _are_worse(np.array([last]), tried):
                break
    return np.concatenate([of_alphas, of_ridges])


def _has_passed(errors):
    """Whether the last errors (penalties, folds) are worse than the least, and do not fall."""
    last = errors[-_WORSE:]
    mean = last.mean(axis=1)
    is_falling = mean[-1] < mean[0]
    return not is_falling and _are_worse(last, errors)


def _are_worse(errors, tried):
    """Whether all errors (a, folds) exceed the least of `tried` by more than a standard error."""
    n_folds = errors.shape[1]
    if n_folds < 2 or not np.isfinite(tried).all():
        return False
    best = np.argmin(tried.mean(axis=1))
    excess = errors - tried[best]
    standard_error = excess.std(axis=1, ddof=1) / np.sqrt(n_folds)
    return bool(np.all(excess.mean(axis=1) > standard_error))
