"""Logistic regression in standardised functions: logits that are invariant, or permuted.

Index legend: n rows, d coordinates, K classes, t logits (1 for two classes, else K), k functions,
p library functions, c constants.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgWarning
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from sksym._estimator import warn
from sksym.groups import Representation

_SUFFICIENT = 1e-4  # share of the predicted decrease that a step must reach (Armijo)
_SHORTEST = 1e-10  # step relative to Newton's below which rounding decides
_FIXED = 1e-10  # singular value relative to the largest that counts as zero
_PERMUTATION = 1e-9  # distance from a permutation matrix that is round-off


@dataclass(frozen=True, eq=False)
class LabelledData:
    """Validated rows and their classes.

    Attributes
    ----------
    X : ndarray of shape (n, d), float64
    codes : ndarray of shape (n,) of int
        Index of the class of every row in `classes`.
    classes : ndarray of shape (K,)
        Of the rows of positive weight.
    weight : ndarray of shape (n,)
        Sample weights, without those of classes.
    row_weight : ndarray of shape (n,)
        With those of classes: what the loss is summed with.
    dtype : numpy dtype
        float32 or float64: that of X as it was given.
    """

    X: np.ndarray
    codes: np.ndarray
    classes: np.ndarray
    weight: np.ndarray
    row_weight: np.ndarray
    dtype: np.dtype

    @property
    def n_classes(self):
        return len(self.classes)

    def counted(self, rows):
        """Return those of some rows (m,) of int whose weight is positive."""
        rows = np.asarray(rows)
        return rows[self.weight[rows] > 0]


@dataclass(frozen=True)
class Options:
    """Parameters that both kinds of logits are fitted with; as in `LogisticRegression`."""

    fit_intercept: bool
    solver: str
    max_iter: int
    tol: float


@dataclass(frozen=True, eq=False)
class LogitSolution:
    """Fitted logits.

    Attributes
    ----------
    w : ndarray of shape (t, k), or (k,) where they are tied
    b : ndarray of shape (t,), or (K,) where they are tied
    classes : ndarray of int
        Codes of the classes that the rows of the fit have.
    n_iter : int
    """

    w: np.ndarray
    b: np.ndarray
    classes: np.ndarray
    n_iter: int


class InvariantLogits:
    """Logits that the symmetry leaves unchanged: scikit-learn's logistic regression.

    Parameters
    ----------
    functions : StandardisedFunctions
        With one output.
    data : LabelledData
    options : Options
    """

    def __init__(self, functions, data, options):
        self.functions = functions
        self.data = data
        self.options = options
        values = functions.values(data.X)
        self.z = values[:, :, 0]

    def fit(self, rows, C):
        """Fit to some rows: a LogitSolution."""
        options = self.options
        model = LogisticRegression(
            C=C,
            fit_intercept=options.fit_intercept,
            solver=options.solver,
            max_iter=options.max_iter,
            tol=options.tol,
        )
        z = self.z[rows]
        n, k = z.shape
        span = np.eye(k)
        if k > n:
            # With an l2 penalty w lies in the span of the rows: no more unknowns than rows.
            span, _ = np.linalg.qr(z.T)
        elif not k:
            # Only the shares of the classes are left to fit.
            span = np.zeros((0, 1))
        with warnings.catch_warnings():
            # Where Newton's equations are nearly singular scikit-learn goes on with "lbfgs".
            warnings.simplefilter("ignore", LinAlgWarning)
            model.fit(z @ span, self.data.codes[rows], sample_weight=self.data.row_weight[rows])
        w = model.coef_ @ span.T
        b = np.broadcast_to(model.intercept_, len(w))
        return LogitSolution(w, b, model.classes_, int(np.max(model.n_iter_)))

    def log_probabilities(self, solution, rows):
        """Return the logarithms of the probabilities of all classes, (m, K), at m rows."""
        logits = self.z[rows] @ solution.w.T + solution.b
        log_p = np.full((len(logits), self.data.n_classes), -np.inf)
        log_p[:, solution.classes] = log_probabilities(logits)
        return log_p

    def coefficients(self, solution):
        """Return the coefficients in the library, (t, p), and the intercepts (t,)."""
        coef, constant = self.functions.combine(solution.w)
        return coef[:, 0], constant[:, 0] + solution.b


class TiedLogits:
    """Logits that the symmetry permutes: one set of unknowns for all classes together.

    Minimises ``sum_i s_i log(1 / p_i) + |w|^2 / (2 C)`` over the logits ``z_i w + b``, where p_i is
    the probability of the class of row i and z_i (K, k) are the logits that the k functions give.
    The constants b, which the symmetry leaves unchanged, are not penalised.

    Parameters
    ----------
    functions : StandardisedFunctions
        With K outputs.
    data : LabelledData
    options : Options
    rho : ndarray of shape (g, K, K), or None
        How elements permute the classes.
    """

    def __init__(self, functions, data, options, rho):
        self.functions = functions
        self.data = data
        self.options = options
        self.rho = rho
        values = functions.values(data.X)
        self.z = values.transpose(0, 2, 1)

    @cached_property
    def constants(self):
        """Orthonormal logits (c, K) that the symmetry allows everywhere."""
        if not self.options.fit_intercept:
            return np.zeros((0, self.data.n_classes))
        return fixed_logits(self.rho, self.data.n_classes)

    def fit(self, rows, C):
        """Fit to some rows: a LogitSolution."""
        k = self.functions.n_functions
        z = self.z[rows]
        constants = np.broadcast_to(self.constants.T, (*z.shape[:2], len(self.constants)))
        penalty = np.zeros(k + len(self.constants))
        penalty[:k] = 1 / C
        loss = SoftmaxLoss(
            np.concatenate([z, constants], axis=2),
            self.data.codes[rows],
            self.data.row_weight[rows],
            penalty,
        )
        unknowns, n_iter = loss.minimise(self.options.max_iter, self.options.tol)
        b = unknowns[k:] @ self.constants
        every_class = np.arange(self.data.n_classes)
        return LogitSolution(unknowns[:k], b, every_class, n_iter)

    def log_probabilities(self, solution, rows):
        """Return the logarithms of the probabilities of all classes, (m, K), at m rows."""
        return log_softmax(self.z[rows] @ solution.w + solution.b, axis=1)

    def coefficients(self, solution):
        """Return the coefficients in the library, (t, p), and the intercepts (t,)."""
        coef, constant = self.functions.combine(solution.w[None])
        coef = coef[0]
        intercept = constant[0] + solution.b
        if self.data.n_classes == 2:  # the second class against the first
            return np.diff(coef, axis=0), np.diff(intercept)
        return coef, intercept


@dataclass(frozen=True, eq=False)
class SoftmaxLoss:
    """The function ``sum_i s_i log(1 / p_i) + penalty @ w^2 / 2`` of unknowns w, and its minimum.

    Attributes
    ----------
    design : ndarray of shape (n, K, k)
        The logits of row i are ``design[i] @ w``.
    codes : ndarray of shape (n,) of int
    weight : ndarray of shape (n,)
    penalty : ndarray of shape (k,)
    """

    design: np.ndarray
    codes: np.ndarray
    weight: np.ndarray
    penalty: np.ndarray

    def minimise(self, max_iter, tol):
        """Take damped Newton steps until the gradient of a row is at most `tol` on average.

        Returns
        -------
        w : ndarray of shape (k,)
        n_iter : int
        """
        w = np.zeros(self.design.shape[2])
        total_weight = self.weight.sum()
        for n_iter in range(max_iter + 1):
            value, p = self.value(w)
            gradient = self.gradient(w, p)
            largest = np.abs(gradient).max(initial=0) / total_weight
            if largest <= tol:
                return w, n_iter
            # The least step where functions repeat each other and nothing penalises them.
            step = np.linalg.lstsq(self.hessian(p), -gradient, rcond=None)[0]
            decrease = _SUFFICIENT * (gradient @ step)
            length = 1.0
            while self.value(w + length * step)[0] > value + length * decrease:
                length /= 2
                if length < _SHORTEST:
                    return w, n_iter
            w = w + length * step
        warn(
            f"The gradient is {largest:.2g} for a sample after {max_iter} iterations, above `tol` "
            f"= {tol:.2g}: increase `max_iter`, or decrease C.",
            ConvergenceWarning,
        )
        return w, n_iter

    def value(self, w):
        """Return the function at w, and the probabilities (n, K)."""
        log_p = log_softmax(self.design @ w, axis=1)
        own = log_p[np.arange(len(log_p)), self.codes]
        return self.penalty @ w**2 / 2 - self.weight @ own, np.exp(log_p)

    def gradient(self, w, p):
        """Return ``sum_i s_i z_i^T (p_i - e_i)``, e_i the class of row i, and the penalty's."""
        residual = p.copy()
        residual[np.arange(len(p)), self.codes] -= 1
        residual *= self.weight[:, None]
        return np.tensordot(residual, self.design, 2) + self.penalty * w

    def hessian(self, p):
        """Return ``sum_i s_i z_i^T (diag(p_i) - p_i p_i^T) z_i``, and the penalty's."""
        # The covariance of the rows of z_i under p_i: their mean square about the mean.
        mean = np.einsum("nj,nja->na", p, self.design)
        about_mean = self.design - mean[:, None]
        share = np.sqrt(self.weight[:, None] * p)
        rows = share[:, :, None] * about_mean
        return np.tensordot(rows, rows, ((0, 1), (0, 1))) + np.diag(self.penalty)


def log_probabilities(logits):
    """Return the logarithms of probabilities (n, K) from logits (n, 1) or (n,), or (n, K)."""
    logits = logits.reshape(len(logits), -1)
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    return log_softmax(logits, axis=1)


def fixed_logits(rho, n_classes):
    """Return the orthonormal logits (c, K) of sum zero that permutations leave unchanged.

    Parameters
    ----------
    rho : ndarray of shape (g, K, K), or None
    n_classes : int
        K.
    """
    # The same constant for all classes changes no probability.
    constraints = [np.ones((1, n_classes))]
    if rho is not None:
        constraints.extend(rho - np.eye(n_classes))
    _, s, Vt = np.linalg.svd(np.concatenate(constraints))
    rank = np.count_nonzero(s > _FIXED * s[0])
    return Vt[rank:]


@dataclass(frozen=True)
class ClassPermutations(Representation):
    """The class that every element of a finite group carries each class to."""

    images: tuple[tuple[int, ...], ...]

    def finite(self, g):
        """Return the permutation matrices (k, K, K)."""
        if len(g) != len(self.images):
            raise ValueError(
                f"`output` lists the classes of {len(self.images)} elements, but `symmetry` has "
                f"{len(g)}: give one row for each element."
            )
        n_classes = len(self.images[0])
        matrices = np.zeros((len(g), n_classes, n_classes))
        for matrix, images in zip(matrices, self.images, strict=True):
            if sorted(images) != list(range(n_classes)):
                raise ValueError(
                    f"Each row of `output` must be a permutation of 0..{n_classes - 1}, one number "
                    f"for each class, got {list(images)}."
                )
            matrix[list(images), range(n_classes)] = 1
        return matrices

    def infinitesimal(self, A):
        """Return zeros (r, K, K): a motion without jumps carries no class to another."""
        n_classes = len(self.images[0])
        return np.zeros((len(A), n_classes, n_classes))


def require_permutations(B, rho):
    """Raise unless a representation does nothing but permute the classes."""
    moves = B is not None and np.abs(B).max(initial=0) > _PERMUTATION
    if rho is not None:
        is_zero_or_one = np.minimum(np.abs(rho), np.abs(rho - 1))
        columns = np.abs(rho.sum(axis=1) - 1)
        distance = max(is_zero_or_one.max(initial=0), columns.max(initial=0))
        moves = moves or distance > _PERMUTATION
    if moves:
        raise ValueError(
            "`output` must permute the classes, but it mixes their logits: give a representation "
            "whose matrices are permutations, or None where every class is invariant."
        )
