"""Log odds of classes: a fit in a library by logistic regression, its errors, its evidence.

Index legend: n samples, p library functions, K classes, q contrasts of their log odds (one for two
classes, K - 1 orthonormal ones for more); u are values of functions that are orthonormal on the
data, of which there are `rank`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy import stats
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from sksym.evidence import Estimate
from sksym.evidence.coefficients import REFIT_REJECT
from sksym.libraries import library_values

PENALTY = 0.04  # a normal prior on log odds, of standard deviation 5 for every function
_WEAK_PENALTY = 1e-4  # with which separable classes have a fit, at probabilities of almost 0 and 1
_UNDETERMINED = 100.0  # times that penalty: information that is the penalty's own
_MAX_ITER = 200
_TOL = 1e-8
FLOORS = 10.0  # times `max_defect`: the largest noise floor at which symmetries are declared
NEEDED = 0.05  # p value below which functions are needed that a smaller library lacks
LEAST_MARGIN = 2 * np.log(1000.0)  # twice the log Bayes factor that establishes a symmetry


def logistic_regression(penalty=PENALTY):
    """Return an unfitted logistic regression with a penalty, on functions with the constant."""
    return LogisticRegression(
        C=1 / penalty,
        fit_intercept=False,
        solver="newton-cholesky",
        tol=_TOL,
        max_iter=_MAX_ITER,
    )


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

    def fit(self, functions, penalty=PENALTY):
        """Fit log odds in some functions.

        Minimises ``sum_i w_i log(1 / p_i) + penalty |theta|^2 / 2``, p_i the probability of the
        class of sample i. The penalty is a prior that hardly matters where the labels determine
        theta. Without it the fit runs off to probabilities of 0 and 1 where there are few samples
        to a function, so that errors are far too small relative to it.

        Parameters
        ----------
        functions : ndarray of shape (rank, k)
            Orthonormal columns: combinations of u.
        penalty : float

        Returns
        -------
        theta : ndarray of shape (q, k)
        loss : float
            The minimum.
        """
        z = self.u @ functions
        model = logistic_regression(penalty)
        model.fit(z, self.codes, sample_weight=self.weight)
        theta = model.coef_
        if self.n_classes > 2:
            theta = self.contrasts.T @ theta
        loss = self.loss(z @ theta.T) + penalty * np.sum(theta**2) / 2
        return theta, loss

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

    @property
    def are_separable(self):
        """Whether some functions separate classes, so that they have no finite estimate."""
        theta, _ = self.fit(np.eye(self.u.shape[1]), _WEAK_PENALTY)
        least = np.linalg.eigvalsh(self.information(theta)).min(initial=np.inf)
        return least <= _UNDETERMINED * _WEAK_PENALTY

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


@dataclass(frozen=True)
class LikelihoodTest:
    """What the likelihood says of some constraints.

    Attributes
    ----------
    n_constraints : int
    p_value : float
        By chi square, the least of those in this library and in smaller ones that are enough.
    margin : float
        Twice the log Bayes factor for them, against what they compete with.
    """

    n_constraints: int
    p_value: float
    margin: float


@dataclass(frozen=True, eq=False)
class LogisticEstimate(Estimate):
    """Log odds in a library, with the inverse Fisher information as covariance.

    Far from the maximum the likelihood is not quadratic. Where probabilities are near 0 or 1 its
    curvature at the maximum is so small that a Wald test accepts almost anything (Hauck and Donner
    1977), so subspaces are judged by the likelihood ratio: they are fitted anew.

    One label says far less than one number, so the noise floor is high, and the criterion of
    Schwarz, whose prior is as wide as the noise of a single sample, accepts what is not there.
    That there is a symmetry at all must be established by Bayes factors with priors as wide as
    the signal: a model of m coefficients that explain the deviance D (against probabilities that
    are the same everywhere) has coefficients of variance ``g = max(D / m - 1, 0)`` in units of
    the noise, and twice its log marginal likelihood is (George and Foster 2000)::

        D g / (1 + g) - m log(1 + g).

    That the terms of highest degree vanish is no evidence of symmetry. So a symmetry must be 1000
    times as likely as the library itself, and as all polynomials of any lower degree that are
    more than those with the symmetry. Which symmetry it is, is then chosen by Schwarz' criterion.

    Attributes
    ----------
    labels : LabelledValues, default=None
    loss : float
        The negative log likelihood of the fit, with the penalty.
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
        LogisticEstimate
        """
        # The regression on anything has the coordinates that are orthonormal on the data.
        coordinates = samples.estimate
        u = library_values(samples.library, samples.X) @ coordinates.from_data
        labels = LabelledValues(u, codes, samples.weight, n_classes)
        theta, loss = labels.fit(np.eye(u.shape[1]))
        information = labels.information(theta)
        factor = np.linalg.cholesky(information + PENALTY * np.eye(len(information)))
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
        return estimate

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
        if not self.is_established and self.margin(miss, n_constraints) < LEAST_MARGIN:
            bic = np.inf
        return p_value, bic

    def test(self, basis):
        """Test a subspace (k, q p), a `LikelihoodTest`."""
        miss, rank = self.deviance(basis)
        n_constraints = self.n_coef - rank
        p_values = [self._p_value(miss, n_constraints)]
        # What breaks a symmetry is seen best where nothing else is fitted.
        for functions in self.smaller:
            larger_miss, larger_rank = self.deviance(functions)
            is_enough = self._p_value(larger_miss, self.n_coef - larger_rank) >= NEEDED
            inside = _intersection(basis, functions)
            if is_enough and len(inside):
                miss_inside, rank = self.deviance(inside)
                n_broken = larger_rank - rank
                p_values.append(self._p_value(miss_inside - larger_miss, n_broken))
        return LikelihoodTest(
            n_constraints=n_constraints,
            p_value=min(p_values),
            margin=self.margin(miss, n_constraints),
        )

    @property
    def n_coef(self):
        """Number of coefficients that the data determine."""
        return len(self.coef) * self.rank

    @staticmethod
    def _p_value(miss, n_constraints):
        """Return the p value of some constraints, 1 where there are none."""
        return stats.chi2.sf(miss, n_constraints) if n_constraints > 0 else 1.0

    def margin(self, miss, n_constraints):
        """Return twice the log Bayes factor of a symmetry against what it competes with."""
        rivals = [evidence for t, evidence in self._rivals if t < n_constraints]
        return self._evidence(miss, n_constraints) - max(rivals, default=np.inf)

    def log_odds_of_symmetry(self, spaces):
        """Return the logarithm of how much likelier a symmetry makes the labels.

        Parameters
        ----------
        spaces : list of ndarray of shape (k, p)
            The functions with the symmetry in this library and in every smaller one: that terms
            of high degree vanish is for or against neither side.
        """
        values = []
        for functions in spaces:
            miss, rank = self.deviance(functions)
            values.append(self._evidence(miss, self.n_coef - rank))
        rivals = [evidence for _, evidence in self._rivals]
        return (max(values) - max(rivals)) / 2

    def least_degree(self):
        """Return the least degree from 2 on whose polynomials are not rejected.

        None where there is none lower than that of the library.
        """
        for degree, functions in enumerate(self.smaller, start=1):
            miss, rank = self.deviance(functions)
            if degree > 1 and self._p_value(miss, self.n_coef - rank) > REFIT_REJECT:
                return degree
        return None

    def _evidence(self, miss, n_constraints):
        """Return twice the log marginal likelihood of a model with some constraints."""
        explained = 2 * (self.labels.loss_of_shares - self.loss) - miss
        # Constants, one for each contrast, explain nothing.
        n_coef = self.n_coef - len(self.coef) - n_constraints
        if explained <= n_coef or n_coef <= 0:
            return 0.0
        g = explained / n_coef - 1
        return explained - n_coef - n_coef * np.log1p(g)

    @cached_property
    def _rivals(self):
        """The numbers of constraints, and the evidence, of this library and smaller ones."""
        rivals = [(0, self._evidence(0.0, 0))]
        for functions in self.smaller:
            miss, rank = self.deviance(functions)
            n_constraints = self.n_coef - rank
            rivals.append((n_constraints, self._evidence(miss, n_constraints)))
        return rivals


def _lower_degrees(library):
    """Return bases (k, p) of the polynomials of every lower degree, none of other libraries."""
    if not library.has_all_monomials:
        return ()
    degree = library.monomials_.exponents.sum(axis=1)
    identity = np.eye(len(degree))
    return tuple(identity[degree <= m] for m in range(1, degree.max()))


def _intersection(basis, functions):
    """Return the functions (k', p) of a basis (k, q p) within the span of some monomials (m, p)."""
    p = functions.shape[1]
    rows = np.reshape(basis, (-1, p))
    outside = rows[:, ~functions.any(axis=0)]
    U, s, _ = np.linalg.svd(outside)
    rank = np.count_nonzero(s > _TOL * s.max(initial=1))
    return U[:, rank:].T @ rows
