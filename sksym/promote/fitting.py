"""One fit: which candidates to keep, from the data where they say it, else from the solution."""

import warnings
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sksym._linalg import pivoted_echelon
from sksym.promote.rounds import promoted
from sksym.spectra import exact_forms, fitted_symmetries, in_units_of, symmetric_functions

_ZERO = 1e-3  # singular value of a symmetry relative to the largest
_NOTHING = 1e-5  # and relative to the function, where all are small
_LARGEST_FIT = 4000  # coefficients up to which their covariance is formed
_GAP = 0.4  # of a singular value to the next, where the fit will judge
_ROUNDING = 1e-3  # of the entries of generators, where the fit will judge
_AS_GOOD = 1.2  # residual sum of squares of a refit relative to that of the promoted fit
_ROUND_OFF = 1e-6  # residual relative to y that counts as none


@dataclass(frozen=True, eq=False)
class Fit:
    """The function that was fitted for one alpha.

    Attributes
    ----------
    samples : Samples
        The rows, as seen by the problem that `w` solves.
    w : ndarray
    C : ndarray of shape (k, r)
        Candidates that leave it unchanged.
    convex : Solution or None
        Of the first problem: others may start from it.
    final : Solution
        Of the last problem before the refit.
    n_iter : int
        Of all problems before the refit.
    by_data : bool
        Whether the data alone decided for C.
    """

    samples: "Samples"
    w: np.ndarray
    C: np.ndarray
    convex: object
    final: object
    n_iter: int
    by_data: bool = False

    @property
    def coef(self):
        """(q, p), in `library`."""
        return self.samples.problem.coef(self.w)

    @property
    def library(self):
        return self.samples.problem.space.library

    @property
    def singular_values(self):
        """Of the symmetry matrix, ascending."""
        M = self.samples.problem.symmetry_matrix(self.w)
        return np.sort(np.linalg.svd(M, compute_uv=False))


class Samples:
    """Rows of data, as one problem sees them.

    Parameters
    ----------
    problem : PromotionProblem
    X : ndarray of shape (n, d)
    Y : ndarray of shape (m, q)
    root : ndarray of shape (m,)
        Roots of the weights of the rows.
    operator : callable, default=None
        The rows of the regression are ``Y = operator(phi(X)) coef^T``; None: ``phi(X)`` itself.
    """

    def __init__(self, problem, X, Y, root, operator=None):
        kept = root > 0
        self.X, self.Y, self.root = (X, Y, root) if kept.all() else (X[kept], Y[kept], root[kept])
        self.n, self.problem, self.operator = np.sum(self.root**2), problem, operator
        self.factor, self._data = problem.factor(self.X, self.Y, self.root, operator), {}

    def seen_by(self, problem):
        """The same rows for another problem."""
        return Samples(problem, self.X, self.Y, self.root, self.operator)

    def data(self, ridge):
        """The quadratic part of the objective; remembered, for paths ask again and again."""
        if ridge not in self._data:
            self._data[ridge] = self.problem.data(self.factor, self.n, ridge)
        return self._data[ridge]

    def rss(self, w):
        """Residual sum of squares."""
        k = self.problem.space.basis.shape[0]
        return np.sum((self.factor[:, :k] @ w.T - self.factor[:, k:]) ** 2)

    @cached_property
    def overdetermined(self):
        """Whether least squares is determined and leaves residuals that tell the noise."""
        return self.noisy and not self.evidence[0].unseen.size

    @property
    def noisy(self):
        """Whether least squares leaves residuals."""
        p = self.problem.space.library.n_output_features_
        return self.n > p and p * self.Y.shape[1] <= _LARGEST_FIT

    def can_judge(self, problem):
        """Whether the problem has fewer unknowns than there are numbers, so that it might fail."""
        return problem.space.n_free < self.n * self.Y.shape[1]

    def as_good_as(self, w):
        """Largest residual sum of squares of a fit that explains the data as well as w does."""
        size = np.sum((self.Y * self.root[:, None]) ** 2)
        return _AS_GOOD * self.rss(w) + _ROUND_OFF**2 * size

    @cached_property
    def evidence(self):
        """What the least-squares fit says: (FittedEvidence, Verdict)."""
        one = self.problem
        weight = self.root**2 if self.operator is None else np.ones(len(self.X))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # candidates that are enforced already
            return fitted_symmetries(
                one.space.library,
                one.candidates,
                one.B,
                self.X,
                self.Y,
                weight,
                beside=one.beside,
                operator=self.operator,
                share=self.root**2,
            )

    def symmetric_functions(self, C):
        """Basis of the functions that have the symmetries C besides those enforced, or None."""
        one, q = self.problem, self.Y.shape[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return symmetric_functions(
                one.space.library, one.candidates, C, one.B, self.X, q, one.beside
            )


def fitted_at(samples, alpha, ridge, options, refit, start=None):
    """Promote at one alpha; with `refit` decide which symmetries stay, and enforce them.

    First those that the least-squares fit shows beyond its noise, as `SymmetryDiscoverer` does.
    Else those that the promoted function has, in the first exact form under which the enforced
    function fits as well: by BIC and an F test where least squares leaves residuals, and by the
    residuals themselves where it leaves none, if there are more of them than free coefficients.
    """
    moving = refit and samples.problem.L.n_generators and samples.Y.any()
    told = moving and samples.overdetermined and len(samples.evidence[1].generators)
    how = replace(options, adaptive=False) if told else options  # the refit is known already
    solutions = promoted(samples.problem, samples.data(ridge), alpha, how, start)
    w = solutions[-1].coef
    last = solutions[0], solutions[-1], sum(one.n_iter for one in solutions)
    for C, by_data in _worth_enforcing(samples, w) if moving else ():
        enforced = _enforced(samples, C)
        if enforced is None or not (by_data or samples.can_judge(enforced.problem)):
            continue
        with options.task("refit"):
            quiet = replace(options, task=nullcontext)
            mine = promoted(enforced.problem, enforced.data(ridge), 0.0, quiet)[-1].coef
        if by_data or samples.overdetermined or enforced.rss(mine) <= samples.as_good_as(w):
            return Fit(enforced, mine, C, *last, by_data)
    return Fit(samples, w, symmetries_of(samples.problem, w, samples.X), *last)


def _worth_enforcing(samples, w):
    """Candidates (k, r) that the fit may have as symmetries, and whether the data decided so."""
    if samples.overdetermined:
        evidence, found = samples.evidence
        if len(found.generators):
            yield found.generators, True
            return
        for C in _forms(samples.problem, w, samples.X):
            basis = samples.symmetric_functions(C)
            if basis is not None and evidence.information(basis) < 0:
                yield C, False
        return
    for C in _forms(samples.problem, w, samples.X, guess=True):
        yield C, False
    if samples.noisy and len(samples.evidence[1].generators):  # of what the data determine
        yield samples.evidence[1].generators, True


def symmetries_of(problem, w, X):
    """Candidates (k, r) that leave the function w unchanged, in a readable form."""
    for C in _forms(problem, w, X, judged=False):
        return C
    return np.zeros((0, problem.candidates.dim))


def _forms(problem, w, X, judged=True, guess=False):
    """Generators (k, r) along which w changes next to nothing: rounded, conjugate, and as found.

    Where who asks can judge how they fit once enforced, rounded more boldly too; and to `guess`
    those, in exact forms only, along which w changes less than half as much as along the next.
    """
    M = problem.symmetry_matrix(w)
    if not len(M):
        return
    U, s, _ = np.linalg.svd(M, full_matrices=M.shape[0] > M.shape[1])
    U, s = U[:, ::-1], np.append(s, np.zeros(len(M) - len(s)))[::-1]
    whole = np.linalg.norm(problem.coef(w) @ problem.L.E)
    n_zero = int((s <= max(_ZERO * s[-1], _NOTHING * whole)).sum())
    if n_zero == len(s):
        yield np.eye(problem.candidates.dim)
        return
    gaps = [k for k in range(len(s) - 1, n_zero, -1) if s[k - 1] <= _GAP * s[k]] if guess else []
    seen = in_units_of(X, problem.candidates)
    for k in [n_zero, *gaps] if n_zero else gaps:
        form, _ = pivoted_echelon(problem.L.coordinates(U[:, :k].T))
        form[np.abs(form) <= 1e-12 * np.abs(form).max()] = 0
        for rounding in (0.0, _ROUNDING) if judged else (0.0,):
            errors = np.full(form.shape, max(s[k - 1] / s[k], rounding, 1e-7))
            for exact, _ in exact_forms(seen, form, errors):
                yield exact
        if k == n_zero:
            yield form


def _enforced(samples, C):
    """The same rows for the problem with C enforced; None where nothing varies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # candidates that are enforced already
        problem = samples.problem.enforcing(C, samples.X)
    return None if problem is None else samples.seen_by(problem)
