"""Evidence from a model: its Lie derivatives at samples, and what is known of their errors."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.base import clone

from sksym._estimator import warn
from sksym.discover.degree import random_positions
from sksym.discover.model_elements import ModelSamples
from sksym.discover.models import derivatives, is_given, model_values
from sksym.discover.sampling import some_rows, spatial_clusters
from sksym.discover.scores import has_labels
from sksym.discover.smooth_tests import SmoothTests
from sksym.discover.unit_coordinates import UnitProblem
from sksym.evidence import SampledEvidence, motion, output_scale, pooled_spread

_ROWS = 2000  # samples at which a model is differentiated
_N_FOLDS = 5
_GAP = 0.4  # of singular values: symmetries of a model that is not exact lie before one
_SMALL = 0.2  # relative change of a model that may be an error
_SAFETY = 3.0  # times the disagreement of two steps is taken for the error


def model_evidence(estimator, problem, X, weight, rng):
    """Compute Lie derivatives of a model at samples, and estimate their errors.

    Where targets are known the errors come from residuals ``e = y - F``, out of fold where the
    model can be fitted again: both derivatives and errors are then seen against polynomials, see
    `SmoothTests`. Without such tests the error of a model that is fitted is that of a jackknife
    over five folds, and one that is given, wrong by ``e``, is taken to be wrong in its derivatives
    by as much over the spread of the data.

    Parameters
    ----------
    estimator : regressor, classifier, callable or pair of callables
    problem : UnitProblem
        Candidates, and targets where they are known.
    X : ndarray of shape (n, d)
        In the coordinates of the user, which those of the model are.
    weight : ndarray of shape (n,)
    rng : RandomState

    Returns
    -------
    model : the fitted model
    evidence : SampledEvidence
    samples : ModelSamples
        Values and residuals, for discrete candidates.
    error : float or None
        Root mean square residual relative to the spread of the targets; None: unknown.
    """
    B = problem.B
    Y = problem.Y
    given = is_given(estimator)
    model = estimator
    if not given:
        user_Y = Y * problem.coordinates.size
        model = _fitted(estimator, X, user_Y, weight)
    fold = _folds(X, rng)
    chosen = some_rows(len(X), _ROWS, rng)
    share = weight[chosen]
    share = share / share.sum()
    at = _ModelPoints(problem, X[chosen], problem.X[chosen])
    values, jacobian, jacobian_error = at.derivatives(model, rng)
    # Labels are no values of the score that is differentiated.
    is_compared = Y is not None and not has_labels(model)
    targets = Y[chosen] if is_compared else values
    _check_number_of_outputs(values, targets.shape[1], "y")
    outputs = None
    if B is not None:
        outputs = (B, targets, share)
        _check_number_of_outputs(values, B.shape[1], "`output`")

    # Rows in units of the outputs, such that sums over the samples are weighted means.
    scale = output_scale(targets, share)
    unit = np.sqrt(share)[:, None, None] / scale
    mean_motion = motion(problem.candidates, at.inside, share, outputs, scale)
    rows = unit * at.lie_derivatives(values, jacobian)

    length = pooled_spread(at.inside, share) or 1.0
    steepness = np.linalg.norm(jacobian * unit) * length
    numerical_error = _SAFETY * jacobian_error * steepness
    noise = numerical_error**2 * mean_motion
    # What is known of the model's own error: residuals, best of models that have not seen them.
    residual = targets - values
    refits = None
    if not given:
        refits = _Refits.of(estimator, X, user_Y, weight, at, fold, rng)
        refits = replace(refits, fold=fold[chosen])
        residual = refits.residual(targets)
    misfit = share @ residual**2
    error = np.sqrt(np.mean(misfit)) / scale
    tests = SmoothTests.of(at.inside, share, values) if is_compared else None
    clusters = spatial_clusters(at.inside, rng)
    if tests is not None:
        changes = tests.project(unit * at.lie_derivatives(*tests.fit(residual)))
        rows, chance = tests.seen(rows)
        noise = noise + _gram(changes) + _gram(chance)
        clusters = np.arange(len(rows))
    elif refits is not None:
        noise = noise + refits.jackknife_variance(unit, at)
    elif is_compared:
        noise = noise + error**2 * mean_motion
    no_bias = np.zeros_like(noise)
    evidence = SampledEvidence(rows, mean_motion, noise, no_bias, clusters)
    if not is_compared:
        error = None
        residual = None
    # In values, not in derivatives: elements move far.
    samples = at.samples(model, values, share, residual, scale, refits)
    return model, evidence, samples, error


def judged_by_gaps(evidence, conclusion):
    """Count as undecided what lies before a gap in the spectrum of a model of unknown error.

    Parameters
    ----------
    evidence : SampledEvidence
    conclusion : Verdict
    """
    s = np.append(evidence.spectrum.singular_values, 1.0)
    is_before_gap = (s[:-1] <= _GAP * s[1:]) & (s[:-1] <= _SMALL)
    before = np.flatnonzero(is_before_gap)
    if not len(before):
        return conclusion
    n_small = before[-1] + 1
    n_undecided = n_small - len(conclusion.generators)
    if n_undecided <= conclusion.undecided:
        return conclusion
    warn(
        f"Model error unknown: along {n_small} generators the model changes by at most "
        f"{s[n_small - 1]:.2g}, before a gap to {s[n_small]:.2g}, which may be the error of its "
        "derivative. Pass y, best of samples that the model was not fitted to, to decide, or "
        f"take them with n_symmetries={n_small}."
    )
    return replace(conclusion, undecided=n_undecided)


@dataclass(frozen=True, eq=False)
class _ModelPoints:
    """Points at which models are differentiated.

    Attributes
    ----------
    problem : UnitProblem
    outside, inside : ndarray of shape (n, d)
        In the coordinates of the user and of the problem.
    """

    problem: UnitProblem
    outside: np.ndarray
    inside: np.ndarray

    def derivatives(self, model, rng):
        """Return values, Jacobian and its relative error, as `derivatives` does, in unit ones."""
        if self.problem.candidates.dim:
            values, jacobian, error = derivatives(model, self.outside, rng)
        else:
            # Discrete candidates alone: whether there is a derivative does not matter.
            values = model_values(model, self.outside)
            jacobian = np.zeros((*values.shape, self.outside.shape[1]))
            error = 0.0
        size = self.size_of_outputs(values)
        jacobian = jacobian / size[:, None]
        return values / size, jacobian * self.problem.coordinates.unit, error

    def samples(self, model, values, share, residual, scale, refits):
        """Return what discrete candidates are tested on, see `ModelSamples`."""
        samples = ModelSamples(
            model=model,
            X=self.outside,
            values=values,
            share=share,
            residual=residual,
            scale=scale,
            size=self.size_of_outputs(values),
            coordinates=self.problem.coordinates,
        )
        if refits is None:
            return samples
        return replace(samples, refits=refits.models, refitted_values=refits.values)

    def size_of_outputs(self, values):
        """Return the units (q,) of the values (n, q) of a model."""
        size = self.problem.coordinates.size
        # Scores of classes, for example, are no targets.
        return size if len(size) == values.shape[1] else np.ones(values.shape[1])

    def lie_derivatives(self, values, jacobian):
        """Return ``dF(x)[A_a x + b_a] - B_a F(x)`` at the points, (n, q, r).

        Parameters
        ----------
        values : ndarray of shape (n, q)
        jacobian : ndarray of shape (n, q, d)
        """
        fields = self.problem.candidates.vector_field(self.inside)
        along_fields = np.einsum("nqd,nrd->nqr", jacobian, fields)
        B = self.problem.B
        if B is None:
            return along_fields
        output_motion = np.einsum("rij,nj->nir", B, values)
        return along_fields - output_motion


@dataclass(frozen=True, eq=False)
class _Refits:
    """A model fitted without each of the folds.

    Attributes
    ----------
    models : list of fitted estimators
    values : list of ndarray of shape (n, q)
    jacobians : list of ndarray of shape (n, q, d)
    fold : ndarray of shape (n,)
        Of the points.
    """

    models: list
    values: list
    jacobians: list
    fold: np.ndarray

    @classmethod
    def of(cls, estimator, X, Y, weight, at, fold, rng):
        """Fit the estimator to X and Y without each `fold` (n,), and evaluate it at points."""
        models = []
        all_values = []
        all_jacobians = []
        for k in range(fold.max() + 1):
            train = fold != k
            model = _fitted(estimator, X[train], Y[train], weight[train])
            # All folds at the same points, so that their derivatives can be compared.
            values, jacobian, _ = at.derivatives(model, rng)
            models.append(model)
            all_values.append(values)
            all_jacobians.append(jacobian)
        return cls(models, all_values, all_jacobians, fold)

    def residual(self, targets):
        """Return targets (n, q) less the values of the model that has not seen them."""
        values = np.stack(self.values)
        return targets - values[self.fold, np.arange(len(targets))]

    def jackknife_variance(self, unit, at):
        """Return the jackknife variance (r, r), summed over the points."""
        refits = []
        for values, jacobian in zip(self.values, self.jacobians, strict=True):
            refits.append(unit * at.lie_derivatives(values, jacobian))
        changes = refits - np.mean(refits, axis=0)
        # Each leaves out 1 / folds of the data: Efron and Stein (1981).
        return (1 - 1 / _N_FOLDS) * _gram(changes)


def _folds(X, rng):
    """Return a fold (n,) from 0 for every row of `X` (n, d), at random but equal for equal rows."""
    position = random_positions(X, rng)
    _, number = np.unique(position, return_inverse=True)
    if not number.any():
        raise ValueError(
            "All rows of X are equal, so that no model can be tested on others: give samples at "
            "different places."
        )
    return number % _N_FOLDS


def _gram(rows):
    """Return the products (r, r) of the columns of rows (.., r)."""
    return np.tensordot(rows, rows, (range(rows.ndim - 1), range(rows.ndim - 1)))


def _check_number_of_outputs(values, expected, owner):
    """Raise where the values of a model (n, q) have not as many outputs as expected."""
    q = values.shape[1]
    if q != expected:
        raise ValueError(f"The model has {q} outputs, but {owner} has {expected}.")


def _fitted(estimator, X, Y, weight):
    """Return a clone of a regressor, fitted; weights are passed only where they differ."""
    if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
        raise TypeError(
            "`estimator` must be a regressor, a FrozenEstimator, a function X -> y, or a pair of "
            f"a function and its Jacobian, got {estimator!r}."
        )
    model = clone(estimator)
    target = Y[:, 0] if Y.shape[1] == 1 else Y
    if (weight == weight[0]).all():
        return model.fit(X, target)
    return model.fit(X, target, sample_weight=weight)
