"""Evidence from samples of a function: a least-squares fit in a library, and its covariance."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from sksym._linalg import merge_rows, one_thread, row_blocks
from sksym.equivariant import constant_functions, equivariant_basis
from sksym.evidence.coefficients import Estimate
from sksym.evidence.fitted import FittedEvidence
from sksym.evidence.rounding import exact_forms, fitted_conjugate, in_units_of
from sksym.evidence.selection import select, verdict
from sksym.groups import Group, LieAlgebra, VectorFields, represent
from sksym.libraries import Library, NotClosedError, library_values
from sksym.lie_derivative import LieDerivative
from sksym.statistics import regression_statistics, statistics_through

_ROWS_PER_FUNCTION = 5  # from which a sandwich covariance is trusted
_VARIED = 1e-9  # what a fit varies relative to the targets, beside round-off
_CONSTANT = 1e-12  # spread relative to the size of outputs that is round-off
_LARGEST_LEVERAGE = 0.999
_SANDWICH_CAUTION = 2.0  # factor on the errors that a test with a sandwich covariance counts


@dataclass(frozen=True)
class CountingRule:
    """How symmetries are counted and written.

    Attributes
    ----------
    count : "auto" or int
        How many generators; "auto": decided by the noise.
    snap : bool
        Whether generators are made exact.
    max_defect : float
        Largest noise floor at which a symmetry is declared.
    """

    count: str | int = "auto"
    snap: bool = True
    max_defect: float = 0.1


@dataclass(frozen=True, eq=False)
class FunctionSamples:
    """Samples of a function, the library it is fitted in, and candidate symmetries.

    Attributes
    ----------
    library : fitted Library
    candidates : LieAlgebra or VectorFields
    output : representation or array of shape (r, q, q), or None
        How the outputs move.
    X : ndarray of shape (n, d)
    Y : ndarray of shape (m, q)
    weight : ndarray of shape (n,)
        Of the rows of X.
    enforced : Group, default=None
        A symmetry that the function has besides.
    operator : callable, default=None
        The fit is of the rows ``Y = operator(phi(X)) coef^T``; None: ``phi(X)`` itself.
    row_weight : ndarray of shape (m,), default=None
        Of the rows of Y; None: `weight`.
    """

    library: Library
    candidates: LieAlgebra | VectorFields
    output: object
    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray
    enforced: Group | None = None
    operator: object = None
    row_weight: np.ndarray | None = None

    @cached_property
    def B(self):
        """How the candidates move the outputs, (r, q, q) or None."""
        return None if self.output is None else represent(self.output, self.candidates)

    @property
    def weight_of_rows(self):
        """Weights (m,) of the rows that are fitted."""
        return self.weight if self.row_weight is None else self.row_weight

    @cached_property
    def statistics(self):
        """Statistics of the regression on all functions of the library."""
        weight = self.weight_of_rows
        if self.operator is not None:
            design = self.operator(library_values(self.library, self.X))
            return statistics_through(design, self.X, self.Y, weight)
        return library_statistics(self.library, self.X, self.Y, weight)

    @cached_property
    def estimate(self):
        """The least-squares fit, with errors of equal size."""
        return Estimate.least_squares(self.statistics)

    def robust_estimate(self):
        """Return the fit with the HC3 sandwich covariance, which allows for unequal errors.

        It takes a second pass over the data (MacKinnon and White 1985). Joint tests with an
        estimated covariance of many coefficients reject what is true too often, hence `caution`:
        without it a true symmetry of a field of quartic polynomials is rejected in 39 % of
        experiments with 400 samples, with it in 13 %, at a nominal level of 0.1 %.
        """
        estimate = self.estimate
        if estimate.dof <= 0:
            return estimate
        n = self.statistics.weight
        size = np.linalg.norm(self.statistics.targets)
        round_off = 1e-12 * size / n
        errors = sandwich(
            self.library,
            self.X,
            self.Y,
            self.weight_of_rows,
            estimate.coef,
            estimate.from_data,
            self.operator,
        )
        noise = np.hstack([errors, round_off * np.eye(len(errors))])
        return estimate.with_noise(noise, _SANDWICH_CAUTION)

    def evidence(self, estimate):
        """Return what an estimate of the function says about the candidates."""
        share = self.weight_of_rows
        n = self.statistics.weight
        # Defects are relative to what the fit varies, not to noise that it leaves.
        fitted = self.statistics.design @ estimate.coef.T  # whose squares are those of the rows
        mean = share @ self.Y / n
        varied = np.sqrt(max(np.mean(np.sum(fitted**2, axis=0) / n - mean**2), 0.0))
        scale = output_scale(self.Y, share)
        if varied > _VARIED * scale:
            scale = varied
        outputs = None if self.B is None else (self.B, self.Y, share)
        return FittedEvidence(
            L=derivative_on_data(
                self.library,
                self.candidates,
                self.B,
                self.X,
                self.weight,
                tests=self.statistics.design.T / np.sqrt(n),
            ),
            estimate=estimate,
            motion=motion(self.candidates, self.X, self.weight, outputs, scale),
            output_scale=scale,
        )

    def symmetric_functions(self, C):
        """Return a basis (k, q p) of the functions with the symmetries C (k, r), or None.

        None where no function with them varies. Those enforced hold besides.
        """
        group = Group(self.candidates.combine(C))
        output = self.output
        if output is not None and not callable(output):
            output = np.tensordot(C, self.B, 1)
        if self.enforced is not None:
            group = group + self.enforced
        basis = equivariant_basis(self.library, group, output, points=self.X)
        if self.B is None:
            basis = sparse.kron(sparse.eye_array(self.Y.shape[1]), basis)
        basis = basis.toarray()
        functions = basis.reshape(-1, self.library.n_output_features_)
        varying = np.delete(functions, constant_functions(self.library, self.X), axis=1)
        return basis if varying.any() else None


def symmetries_of_function(samples, rule, robust="auto"):
    """Find which candidates leave a sampled function unchanged, by a fit in a library.

    Least squares, then selection by enforcing; see `select`. With ``robust="auto"`` errors of
    unequal size are allowed for where errors of equal size let nothing be found.

    Parameters
    ----------
    samples : FunctionSamples
    rule : CountingRule
    robust : bool or "auto"

    Returns
    -------
    evidence : FittedEvidence
    found : Verdict
    """
    estimate = samples.robust_estimate() if robust is True else samples.estimate
    evidence = samples.evidence(estimate)
    found = _decide(samples, evidence, rule)
    n_functions = samples.library.n_output_features_
    plenty = samples.weight.sum() >= _ROWS_PER_FUNCTION * n_functions
    if robust == "auto" and plenty and not len(found.generators):
        robust_evidence = samples.evidence(samples.robust_estimate())
        found_robustly = _decide(samples, robust_evidence, rule)
        if len(found_robustly.generators):
            return robust_evidence, found_robustly
    return evidence, found


def _decide(samples, evidence, rule):
    """Count the symmetries by enforcing them, or by the noise floor where they are not exact."""
    if not rule.snap:
        with one_thread():
            return verdict(evidence, rule.count, rule.max_defect)
    candidates = in_units_of(samples.X, samples.candidates)

    def tune(C):
        return fitted_conjugate(candidates, C, evidence.estimate, samples.symmetric_functions)

    def proposals(form, errors):
        return exact_forms(candidates, form, errors, tune)

    with one_thread():
        if rule.count == "auto":
            return select(evidence, samples.symmetric_functions, rule.max_defect, proposals)
        return verdict(evidence, rule.count, rule.max_defect, proposals)


def derivative_on_data(library, candidates, B, X, weight, tests):
    """Build the Lie derivative in tests that are orthonormal on the data.

    Parameters
    ----------
    library : fitted Library
    candidates : LieAlgebra or VectorFields
    B : ndarray of shape (r, q, q), or None
        How the candidates move the outputs.
    X : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    tests : ndarray of shape (p, m)
        Values of the library functions in such tests, where the library is closed.

    Returns
    -------
    LieDerivative
        In the candidates' own generators.
    """
    try:
        return LieDerivative.in_tests(library, candidates, B, tests)
    except NotClosedError:
        L = LieDerivative.sampled(library, candidates, None, X, weight)
        return replace(L.in_own_generators(), B=B)


def sandwich(library, X, Y, weight, coef, from_data, operator=None):
    """Return a factor (q rank, e) of the HC3 covariance of a fit in orthonormal coordinates.

    Parameters
    ----------
    library : fitted Library
    X : ndarray of shape (n, d)
    Y : ndarray of shape (m, q)
    weight : ndarray of shape (m,)
        Of the rows of Y.
    coef : ndarray of shape (q, p)
    from_data : ndarray of shape (p, rank)
        Functions that are orthonormal on the data.
    operator : callable, default=None
        As in `FunctionSamples`.
    """
    n = weight.sum()
    q_rank = Y.shape[1] * from_data.shape[1]
    if operator is None:
        blocks = row_blocks(len(X), library.n_output_features_ + q_rank)
    else:
        blocks = [slice(None)]  # through an operator all at once
    factor = None
    with one_thread():
        for rows in blocks:
            phi = library_values(library, X[rows])
            if operator is not None:
                phi = operator(phi)
            u = phi @ from_data
            leverage = np.minimum(np.sum(u**2, axis=1) / n, _LARGEST_LEVERAGE)
            residual = (Y[rows] - phi @ coef.T) / (1 - leverage)[:, None]
            residual = residual * np.sqrt(weight[rows])[:, None] / n
            score = residual[:, :, None] * u[:, None]
            factor = merge_rows(factor, score.reshape(-1, q_rank))
    return factor.T


def library_statistics(library, X, Y, weight):
    """Stream rows into the `Statistics` of a regression on all functions of a library."""
    p = library.n_output_features_
    # Factorising is fastest in blocks that fit the cache but are four times as long as wide.
    width = max(min(8 * p, 2**18 // p), 1)

    def values(rows):
        return library_values(library, rows)

    return regression_statistics(values, X, Y, weight, p, block_width=width)


def motion(candidates, X, weight, outputs=None, scale=1.0):
    """Compute the mean square (r, r) of the candidate fields, in units of the data's spread.

    Of their outputs ``B y`` too, in units of `scale`: ``outputs = (B, Y, weight of its rows)``.
    """
    with one_thread():
        square = candidates.mean_square(X, weight)
    spread = pooled_spread(X, weight) or 1.0
    square = square / spread**2
    if outputs is not None:
        B, Y, share = outputs
        R = merge_rows(None, Y * np.sqrt(share / share.sum())[:, None])
        moved = (B @ R.T).reshape(len(B), B.shape[1] * len(R)) / scale
        square = square + moved @ moved.T
    return square


def pooled_spread(values, weight):
    """Compute the standard deviation, pooled over the columns."""
    total = weight.sum()
    mean = weight @ values / total
    square = 0.0
    for rows in row_blocks(len(values), values.shape[1]):
        square = square + weight[rows] @ (values[rows] - mean) ** 2
    return np.sqrt(np.mean(square) / total)


def output_scale(Y, weight):
    """Compute the spread of the outputs; of a constant field, its size."""
    spread = pooled_spread(Y, weight)
    mean = weight @ Y / weight.sum()
    size = np.sqrt(spread**2 + np.mean(mean**2))
    return (spread if spread > _CONSTANT * size else size) or 1.0
