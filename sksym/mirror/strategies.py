"""How a mirror problem is solved, by its structure.

With r the residual of the rows as `Samples` scales them, every strategy minimises
``1/2 |r|^2 + alpha sum_k factors_k weights_k |O_k^T W|`` by ``solve(alpha, ...)``, and knows its
``largest_alpha()``, from which on every mirror holds.
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.linalg import svd
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, MultiTaskLasso

from sksym._linalg import require_memory
from sksym.mirror.structure import Constraints
from sksym.solvers import (
    Design,
    GroupNorm,
    NuclearNorm,
    block_least_squares,
    duality_gap,
    proximal_newton,
    taut_string,
)

_EPS = np.finfo(float).eps
_PART = 0.1  # first tolerance of scikit-learn, which is relative to Y, over ours
_SIGMA = 3.0  # first proximal step, for columns of length one


@dataclass(frozen=True, eq=False)
class Outcome:
    """A solution and its certificate.

    Attributes
    ----------
    W : ndarray of shape (p, q)
    lengths : ndarray of shape (m,)
        Of the components that are penalised: zero exactly where a mirror holds.
    objective, gap : float
    n_iter : int
    state : object
        To start from with another alpha.
    """

    W: np.ndarray
    lengths: np.ndarray
    objective: float
    gap: float
    n_iter: int
    state: object


class Blocks:
    """Mirrors that are blocks in suitable coordinates: working sets and Newton's method."""

    def __init__(self, samples, rows, coordinates, positive):
        self.rows, self.coordinates, self.positive = rows, coordinates, positive
        columns, free, ones = coordinates.columns, coordinates.free, None
        if columns is None:
            X, Y, self.rest = samples.reduced
            A, F = coordinates.design(X)
            raw = samples.magnitude
        else:
            lazy = samples.is_sparse or not (samples.far or (samples.many and samples.tall))
            A, Y, self.rest = (samples.X, samples.Y, 0.0) if lazy else samples.reduced
            ones = samples.ones if lazy else None
            F = A[:, free]
            if samples.is_sparse:
                require_memory(
                    24.0 * F.shape[0] * F.shape[1],
                    f"Fitting {F.shape[1]:,} columns of sparse data that no mirror touches",
                    "Put mirrors on them, of a small weight.",
                )
                F = F.toarray()
            raw = np.linalg.norm(F)
            for _ in range(0 if ones is None else 2):  # twice is enough for far offsets
                F = F - ones @ (ones.T @ F)
            columns = None if np.array_equal(columns, np.arange(A.shape[1])) else columns
        U, s, Vt = np.linalg.svd(F, full_matrices=False)
        # A constant column is centred to noise: it is judged by its size before.
        kept = s > max(F.shape) * _EPS * max(raw, s.max(initial=0))
        self.Y, self._free = Y, (Vt[kept].T / s[kept]) @ U[:, kept].T
        Q = U[:, kept] if ones is None else np.hstack([ones, U[:, kept]])
        self.design = Design(A, columns, Q if Q.size else None)
        self.target = Y - Q @ (Q.T @ Y)

    def norm(self, factors=1.0):
        """The penalty in these coordinates."""
        return GroupNorm(factors * self.rows.weights, self.rows.sizes, self.positive)

    def largest_alpha(self):
        """The dual norm of the gradient where every mirror holds."""
        corr = self.design.correlate(self.target)
        round_off = 64 * _EPS * self.design.lengths * np.linalg.norm(self.Y)
        corr[np.linalg.norm(corr, axis=1) <= round_off] = 0.0
        return self.norm().polar(corr)

    def solve(self, alpha, tol, max_iter, start=None, factors=1.0):
        """See the module."""
        norm = self.norm(alpha * factors)
        found = block_least_squares(
            self.design, self.target, norm, tol=tol, max_iter=max_iter, start=start
        )
        return self.outcome(found.coef, norm, found.n_iter, found.objective, found.relative_gap)

    def outcome(self, x, norm, n_iter, objective, share):
        """In the original coordinates."""
        lengths, W = norm.lengths(x), self.coefficients(x)
        if self.coordinates.ties:
            W = Constraints(self.rows.rows_of(lengths == 0)).write(W)
        whole = objective + 0.5 * self.rest
        return Outcome(W, lengths, whole, share * objective, n_iter, x)

    def certificate(self, x, norm, T):
        """Relative duality gap and objective of blocks x, T the rows of the whole design."""
        r = self.target - T.T @ x
        gap, objective, _ = duality_gap(norm, x, norm.value(x), r, T @ r, self.target)
        return gap / (objective or 1.0), objective

    def coefficients(self, x):
        """W (p, q) of blocks x, with what is free fitted."""
        seen = np.flatnonzero(np.any(x, axis=1))
        columns = self.design.columns
        A = self.design.X[:, seen if columns is None else columns[seen]]
        z = self._free @ (self.Y - A @ x[seen])
        return self.coordinates.forward(x, z)


class CoordinateDescent(Blocks):
    """Single columns by scikit-learn, whose loops are compiled; by Newton's method if they last."""

    def __init__(self, samples, rows, coordinates, positive, sweeps):
        super().__init__(samples, rows, coordinates, positive)
        self.sweeps = sweeps
        self.T = self.design.rows(np.arange(self.design.shape[1]))
        self.plain = np.asfortranarray(self.T.T / rows.weights)

    def solve(self, alpha, tol, max_iter, start=None, factors=1.0):
        """See the module."""
        n, q = self.target.shape
        norm, x, goal = self.norm(alpha * factors), start, tol * _PART
        scale = self.rows.weights * factors
        scaled = self.plain if np.ndim(factors) == 0 else np.asfortranarray(self.T.T / scale)
        kind = {"positive": self.positive} if q == 1 else {}
        model = (Lasso if q == 1 else MultiTaskLasso)(
            alpha / n,
            fit_intercept=False,
            warm_start=True,
            copy_X=False,
            random_state=0,  # not used, but drawn from
            **kind,
        )
        if x is not None:
            first = np.asfortranarray((x * scale[:, None]).T)
            model.coef_ = first[0] if q == 1 else first
        n_iter, share, sweeps = 0, np.inf, min(self.sweeps, max_iter)
        with warnings.catch_warnings():  # the gap is told in our terms
            warnings.simplefilter("ignore", ConvergenceWarning)
            while share > tol and n_iter < sweeps and goal > _EPS:
                model.set_params(tol=goal, max_iter=sweeps - n_iter)
                model.fit(scaled, self.target[:, 0] if q == 1 else self.target)
                x = np.reshape(model.coef_, (q, -1)).T / scale[:, None]
                share, objective = self.certificate(x, norm, self.T)
                n_iter, goal = n_iter + model.n_iter_, goal / 10
        if share > tol and n_iter < max_iter:
            rest = max_iter - n_iter
            found = super().solve(alpha, tol, rest, x, factors)
            return replace(found, n_iter=n_iter + found.n_iter)
        return self.outcome(x, norm, n_iter, objective, max(share, _EPS))


class Chain:
    """Differences along a chain of coefficients that are observed one by one: the taut string."""

    def __init__(self, samples, rows, steps):
        self.rows, self.samples, self.steps = rows, samples, steps
        self.d = samples.X.diagonal()

    def largest_alpha(self):
        """The height of the tube that a straight string fits."""
        y = self.samples.Y[:, 0]
        level = (self.d @ y) / (self.d @ self.d)
        heights = np.cumsum(self.d * (y - self.d * level))[:-1]
        return (np.abs(heights) / (self.rows.weights * self.steps)).max()

    def solve(self, alpha, tol, max_iter, start=None, factors=1.0):
        """See the module."""
        penalties, Y = alpha * factors * self.rows.weights * self.steps, self.samples.Y
        found = taut_string(Y[:, 0] / self.d, penalties, self.d**2)
        lengths = self.steps * np.abs(np.diff(found.coef))
        return Outcome(found.coef[:, None], lengths, found.objective, found.gap, found.n_iter, None)


class Spectral:
    """The nuclear norm alone: proximal Newton on the whole matrix."""

    def __init__(self, samples, rows):
        X, Y, self.rest = samples.reduced
        self.rows = rows
        # Rotations of rows and of coefficients change nothing: the design becomes diagonal.
        U, s, Vt = svd(X, full_matrices=False, check_finite=False)
        kept = s > max(X.shape) * _EPS * s.max(initial=0)
        self.axes, self.Y = Vt[kept].T, U[:, kept].T @ Y
        self.rest += np.sum((Y - U[:, kept] @ self.Y) ** 2)
        self.scale = np.sqrt(np.mean(s[kept] ** 2)) if kept.any() else 1.0
        self.T = sparse.csr_array(sparse.diags_array(s[kept] / self.scale))

    def largest_alpha(self):
        """The largest singular value of the gradient at zero."""
        return NuclearNorm(self.rows.nuclear / self.scale).polar(self.T @ self.Y)

    def solve(self, alpha, tol, max_iter, start=None, factors=1.0):
        """See the module."""
        norm = NuclearNorm(alpha * self.rows.nuclear / self.scale)
        x = np.zeros_like(self.Y) if start is None else self.axes.T @ start * self.scale
        found = proximal_newton(self.T, self.Y, norm, x, tol=tol, sigma=_SIGMA, max_iter=max_iter)
        W = self.axes @ found.coef / self.scale
        none, objective = np.zeros(0), found.objective + 0.5 * self.rest
        return Outcome(W, none, objective, max(found.gap, _EPS * objective), found.n_iter, W)
