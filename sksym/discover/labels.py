"""Evidence from class labels: log odds fitted in a library by logistic regression.

Index legend: n samples, p library functions, K classes, q contrasts of their log odds (one for two
classes, K - 1 orthonormal ones for more), r candidates; u are values of functions that are
orthonormal on the data, of which there are `rank`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from sksym._estimator import warn
from sksym.discover.degree import random_positions
from sksym.evidence import Estimate, FunctionSamples, decide
from sksym.libraries import PolynomialLibrary, evaluate, library_values

_MOST_CLASSES = 10  # integers of more values than this are numbers
_SAMPLES_PER_CLASS = 20  # on average: numbers of fewer are no labels
_PENALTY = 1e-4  # a normal prior on log odds, of standard deviation 100 in the root mean square
_UNDETERMINED = 100.0  # times the penalty: information that is the penalty's own
_MAX_ITER = 200
_TOL = 1e-8
_LARGEST_DEGREE = 4
_LARGEST_SHARE = 0.2  # of the number of samples: coefficients that labels determine
_N_FOLDS = 5
_LEAST_PROBABILITY = 1e-12
_FLOORS = 10.0  # times `max_defect`: the largest noise floor at which symmetries are declared
_PRIOR_ODDS = 100.0  # against any symmetry


# ---------------------------------------------------------------------------------------- labels


def read_labels(y, sample_weight=None):
    """Return the classes (K,) in y and the code of every sample (n,); None and y without labels.

    Strings and truth values are labels. So are numbers of two different values, and integers of at
    most ten, if there are twenty samples to a class on average. Other numbers are targets of a
    regression: pass floats where integers are to be taken so.

    Parameters
    ----------
    y : array-like
    sample_weight : array-like of shape (n,), default=None
        A sample counts as often as its weight says.
    """
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not len(labels):
        return None, y
    if labels.dtype.kind in "OUT":
        is_text = np.array([isinstance(label, str | bool | np.bool_) for label in labels])
        if not is_text.any():
            return None, y  # numbers, which are validated elsewhere
        if not is_text.all():
            first = int(np.argmin(is_text))
            raise ValueError(
                f"y mixes labels with {labels[first]!r} at sample {first}: leave samples without "
                "a label out, or give all labels as strings."
            )
        labels = np.array(labels.tolist())
    classes, codes = np.unique(labels, return_inverse=True)
    if labels.dtype.kind in "Ub" or _are_codes(labels, sample_weight):
        return classes, codes
    return None, y


def _are_codes(y, sample_weight):
    """Tell whether numbers y (n,) stand for classes."""
    if y.dtype.kind not in "iuf":
        return False
    n = len(y)
    weight = None if sample_weight is None else np.asarray(sample_weight, float)
    # Weights that are none are refused elsewhere.
    if weight is not None and weight.shape == y.shape:
        n = weight.sum()
        y = y[weight > 0]
    values = np.unique(y)
    K = len(values)
    is_small = K <= _MOST_CLASSES and y.dtype.kind in "iu"
    is_finite = np.isfinite(values).all()
    return is_finite and K > 1 and (K == 2 or is_small) and n >= _SAMPLES_PER_CLASS * K


def check_classes(classes, n):
    """Raise unless n samples can tell something of the classes (K,)."""
    K = len(classes)
    if K < 2:
        raise ValueError(
            f"y holds labels of 1 class, {classes[0]!r}, which say nothing of a function: give "
            "samples of two or more classes."
        )
    if n < 2 * K:
        raise ValueError(
            f"y holds {K} classes in {n} samples of positive weight: log odds need at least two "
            "samples to a class. Merge classes, or pass numbers as floats."
        )


# ---------------------------------------------------------------------------------- log likelihood


@dataclass(frozen=True, eq=False)
class LabelledValues:
    """Values of functions at samples of some classes.

    Attributes
    ----------
    u : ndarray of shape (n, rank)
        Of functions that are orthonormal on the data.
    codes : ndarray of shape (n,), int
        Class of every sample.
    weight : ndarray of shape (n,)
    n_classes : int
        K.
    """

    u: np.ndarray
    codes: np.ndarray
    weight: np.ndarray
    n_classes: int

    @cached_property
    def contrasts(self):
        """Log odds (n, K) up to a constant are ``values (n, q) @ contrasts.T``: (K, q)."""
        K = self.n_classes
        if K == 2:
            return np.array([[0.0], [1.0]])
        # Orthonormal, so that no class is a reference: all are treated alike.
        columns = np.column_stack([np.ones(K), np.eye(K)[:, 1:]])
        Q, _ = np.linalg.qr(columns)
        return Q[:, 1:]

    def fit(self, functions):
        """Fit log odds by maximum likelihood in some functions.

        Minimises ``sum_i w_i log(1 / p_i) + penalty |theta|^2 / 2``, p_i the probability of the
        class of sample i. The penalty only keeps theta finite where the classes are separable.

        Parameters
        ----------
        functions : ndarray of shape (rank, k)
            Orthonormal columns: combinations of u.

        Returns
        -------
        theta : ndarray of shape (q, k)
        loss : float
            The negative log likelihood.
        """
        z = self.u @ functions
        model = LogisticRegression(
            C=1 / _PENALTY,
            fit_intercept=False,  # the constant is a function of the library
            solver="newton-cholesky",
            tol=_TOL,
            max_iter=_MAX_ITER,
        )
        model.fit(z, self.codes, sample_weight=self.weight)
        theta = model.coef_
        if self.n_classes > 2:
            theta = self.contrasts.T @ theta
        return theta, self.loss(z @ theta.T)

    def loss(self, values):
        """Compute the negative log likelihood of contrasts (n, q)."""
        log_p = log_softmax(values @ self.contrasts.T, axis=1)
        own = np.take_along_axis(log_p, self.codes[:, None], axis=1)
        return -self.weight @ own[:, 0]

    @cached_property
    def loss_of_shares(self):
        """The negative log likelihood of probabilities that are the same everywhere."""
        total = np.bincount(self.codes, self.weight)
        return -total @ np.log(total / total.sum())

    def information(self, theta):
        """Compute the Fisher information (q rank, q rank) of ``theta.ravel()``, (q, rank)."""
        C = self.contrasts
        p = softmax(self.u @ theta.T @ C.T, axis=1)
        mean = p @ C
        q, rank = theta.shape
        blocks = np.empty((q, rank, q, rank))
        for a in range(q):
            for b in range(q):
                # C^T (diag(p) - p p^T) C for every sample
                second = p @ (C[:, a] * C[:, b])
                covariance = second - mean[:, a] * mean[:, b]
                row_weight = self.weight * covariance
                blocks[a, :, b] = self.u.T @ (row_weight[:, None] * self.u)
        return blocks.reshape(q * rank, q * rank)


# -------------------------------------------------------------------------------------- the fit


@dataclass(frozen=True, eq=False)
class LogisticEstimate(Estimate):
    """Log odds in a library, with the inverse Fisher information as covariance.

    Far from the maximum the likelihood is not quadratic. Where probabilities are near 0 or 1 its
    curvature at the maximum is so small that a Wald test accepts almost anything (Hauck and Donner
    1977), so subspaces are judged by the likelihood ratio: they are fitted anew.

    One label says far less than one number, so the noise floor is high, and the criterion of
    Schwarz, whose prior is as wide as the noise of a single sample, accepts what is not there.
    That there is a symmetry at all must be established by a Bayes factor with a prior as wide as
    the signal, ``g = max(D / m - 1, 0)`` in units of the noise, for the deviance D that the fit
    explains with m coefficients (George and Foster 2000): t constraints that cost the deviance
    ``miss`` have the criterion::

        miss g / (1 + g) - t log(1 + g).

    That the terms of highest degree vanish is no evidence of symmetry. So a symmetry must be 100
    times as likely as the library itself, and as all polynomials of any lower degree that are
    more than those with the symmetry. Which symmetry it is, is then chosen by Schwarz' criterion
    among those that cost no more than noise does, after Akaike: ``miss <= 2 t``.

    Attributes
    ----------
    labels : LabelledValues, default=None
    loss : float
        The negative log likelihood of the fit.
    smaller : tuple of ndarray of shape (k, p)
        Functions of smaller libraries that are contained in this one.
    is_established : bool
        Whether it is known that there is a symmetry, and only open which.
    """

    labels: LabelledValues | None = None
    loss: float = 0.0
    smaller: tuple = ()
    is_established: bool = False

    is_quadratic: ClassVar[bool] = False

    @classmethod
    def of(cls, samples, codes, n_classes):
        """Fit log odds in the library of `FunctionSamples` to codes (n,) of classes.

        Returns
        -------
        estimate : LogisticEstimate
        is_determined : bool
            Whether the labels alone determine it. Not so where classes are separable.
        """
        # The regression on anything has the coordinates that are orthonormal on the data.
        coordinates = samples.estimate
        u = library_values(samples.library, samples.X) @ coordinates.from_data
        labels = LabelledValues(u, codes, samples.weight, n_classes)
        theta, loss = labels.fit(np.eye(u.shape[1]))
        information = labels.information(theta)
        least = np.linalg.eigvalsh(information).min(initial=np.inf)
        factor = np.linalg.cholesky(information + _PENALTY * np.eye(len(information)))
        estimate = cls(
            coef=theta @ coordinates.from_data.T,
            to_data=coordinates.to_data,
            from_data=coordinates.from_data,
            undetermined=coordinates.undetermined,
            # (F F^T)^-1 = F^-T F^-1
            noise=np.linalg.inv(factor).T,
            dof=np.inf,
            n=samples.weight.sum(),
            labels=labels,
            loss=loss,
            smaller=_lower_degrees(samples.library),
        )
        return estimate, least > _UNDETERMINED * _PENALTY

    def deviance(self, basis):
        """Return twice the log likelihood that a subspace (k, q p) loses, and its rank.

        All contrasts are fitted in the same functions: symmetries leave every one unchanged.
        """
        q, p = self.coef.shape
        functions = np.reshape(basis, (-1, p)) @ self.to_data
        _, s, Vt = np.linalg.svd(functions, full_matrices=False)
        rank = np.count_nonzero(s > _TOL * s.max(initial=0))
        _, loss = self.labels.fit(Vt[:rank].T)
        return max(2 * (loss - self.loss), 0.0), q * rank

    def judge(self, miss, n_constraints):
        """Test constraints that cost the deviance `miss`.

        The BIC is infinite where the evidence is too weak; see the class.
        """
        p_value, bic = super().judge(miss, n_constraints)
        if self.is_established:
            return p_value, bic if miss <= 2 * n_constraints else np.inf
        rivals = [value for t, value in self._rivals if t < n_constraints]
        most = min(rivals, default=np.inf) - 2 * np.log(_PRIOR_ODDS)
        if self._criterion(miss, n_constraints) > most:
            bic = np.inf
        return p_value, bic

    def _criterion(self, miss, n_constraints):
        """Return -2 times the logarithm of a Bayes factor against the library itself."""
        explained = 2 * (self.labels.loss_of_shares - self.loss)
        n_coef = len(self.coef) * max(self.rank - 1, 1)
        g = max(explained / n_coef - 1, 0.0)
        return miss * g / (1 + g) - n_constraints * np.log1p(g)

    def log_odds_of_symmetry(self, spaces):
        """Return the logarithm of how much likelier a symmetry makes the labels.

        Parameters
        ----------
        spaces : list of ndarray of shape (k, p)
            The functions with the symmetry in this library and in every smaller one: that terms
            of high degree vanish is for or against neither side.
        """
        criteria = []
        for functions in spaces:
            miss, rank = self.deviance(functions)
            n_constraints = len(self.coef) * self.rank - rank
            criteria.append(self._criterion(miss, n_constraints))
        rivals = [value for _, value in self._rivals]
        return (min(rivals) - min(criteria)) / 2

    @cached_property
    def _rivals(self):
        """The numbers of constraints, and the criteria, of this library and smaller ones."""
        rivals = [(0, 0.0)]
        for functions in self.smaller:
            miss, rank = self.deviance(functions)
            n_constraints = len(self.coef) * self.rank - rank
            rivals.append((n_constraints, self._criterion(miss, n_constraints)))
        return rivals


def _lower_degrees(library):
    """Return bases (k, p) of the polynomials of every lower degree, none of other libraries."""
    if not library.has_all_monomials:
        return ()
    degree = library.monomials_.exponents.sum(axis=1)
    identity = np.eye(len(degree))
    return tuple(identity[degree <= m] for m in range(1, degree.max()))


def symmetries_of_labels(samples, codes, n_classes, rule):
    """Find which candidates leave the probabilities of all classes unchanged.

    Parameters
    ----------
    samples : FunctionSamples
        Their outputs Y are not used.
    codes : ndarray of shape (n,), int
    n_classes : int
    rule : CountingRule

    Returns
    -------
    evidence : FittedEvidence
    found : Verdict
    coef : ndarray of shape (1, p) or (K, p)
        Log odds of the second class of two, else of every class, with the sum zero.
    """
    estimate, is_determined = LogisticEstimate.of(samples, codes, n_classes)
    if not is_determined:
        warn(
            "The library separates the classes, at least in part, so their log odds have no "
            "finite estimate: they are penalised, and errors are those of the penalised fit. "
            "Use a smaller library, or more samples."
        )
    values = evaluate(samples.library, estimate.coef, samples.X)
    samples = replace(samples, Y=values)
    evidence = samples.evidence(estimate)
    loose = replace(rule, max_defect=_FLOORS * rule.max_defect)
    found = decide(samples, evidence, loose)
    if rule.count == "auto" and len(found.generators):
        established = replace(estimate, is_established=True)
        found = decide(samples, evidence.with_estimate(established), loose)
    coef = estimate.coef
    if n_classes > 2:
        coef = estimate.labels.contrasts @ coef
    return evidence, found, coef


def probabilities(values):
    """Return class probabilities (n, K) from log odds (n,) of the second class, or (n, K)."""
    if values.ndim == 1:
        second = expit(values)
        return np.column_stack([1 - second, second])
    return softmax(values, axis=1)


# --------------------------------------------------------------------------------------- degree


def degree_for_labels(candidates, X, codes, n_classes, weight, rng):
    """Return one more than the degree of the polynomials of least cross-validated log loss.

    Parameters
    ----------
    candidates : LieAlgebra or VectorFields
    X : ndarray of shape (n, d)
    codes : ndarray of shape (n,), int
    n_classes : int
    weight : ndarray of shape (n,)
    rng : RandomState

    Returns
    -------
    int
    """
    fold = (random_positions(X, rng) * _N_FOLDS).astype(int)
    most = _LARGEST_SHARE * weight.sum() / (n_classes - 1)
    losses = {}
    # From 2 on: quadratic terms are often seen only by the degree above.
    for degree in range(2, _LARGEST_DEGREE + 1):
        library = PolynomialLibrary(degree).fit(X)
        if library.n_output_features_ > most:
            break
        no_targets = np.zeros((len(X), 1))
        samples = FunctionSamples(library, candidates, None, X, no_targets, weight)
        u = library_values(library, X) @ samples.estimate.from_data
        labels = LabelledValues(u, codes, weight, n_classes)
        losses[degree] = _held_out_loss(labels, fold)
    # One degree more shows what a function is not, if it can be afforded.
    best = min(losses, key=losses.get, default=1)
    larger = PolynomialLibrary(best + 1).fit(X)
    return best + 1 if larger.n_output_features_ <= most else best


def _held_out_loss(labels, fold):
    """Return the sum of the log losses of folds that were left out of the fit."""
    total = 0.0
    for label in np.unique(fold):
        held_out = fold == label
        training = ~held_out
        model = LogisticRegression(
            C=1 / _PENALTY,
            fit_intercept=False,
            solver="newton-cholesky",
            max_iter=_MAX_ITER,
        )
        model.fit(
            labels.u[training],
            labels.codes[training],
            sample_weight=labels.weight[training],
        )
        # A class that the training rows lack has the probability zero.
        p = np.zeros((np.count_nonzero(held_out), labels.n_classes))
        p[:, model.classes_] = model.predict_proba(labels.u[held_out])
        own = np.take_along_axis(p, labels.codes[held_out][:, None], axis=1)[:, 0]
        total -= labels.weight[held_out] @ np.log(np.maximum(own, _LEAST_PROBABILITY))
    return total
