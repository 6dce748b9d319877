"""What each kind of data says of the candidates: a function, class labels, a model, a data set."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from sksym._estimator import Progress, warn
from sksym._linalg import one_thread
from sksym.discover.affordable import require_affordable
from sksym.discover.degree import best_degree
from sksym.discover.labels import check_classes, degree_for_labels, symmetries_of_labels
from sksym.discover.manifolds import no_evidence, tangent_evidence
from sksym.discover.model_elements import ModelSamples
from sksym.discover.model_evidence import judged_by_gaps, model_evidence
from sksym.discover.unit_coordinates import UnitProblem
from sksym.equivariant import place
from sksym.evidence import (
    CountingRule,
    FittedEvidence,
    FunctionSamples,
    SampledEvidence,
    Verdict,
    exact_forms,
    in_units_of,
    symmetries_of_function,
    verdict,
)
from sksym.groups import Group
from sksym.libraries import PolynomialLibrary

_MODEL_CAUTION = 2.0  # times the floor of a model must be below the largest defect


@dataclass(frozen=True, eq=False)
class Finding:
    """What one kind of data says about the candidates.

    Attributes
    ----------
    method : str
    evidence : FittedEvidence or SampledEvidence
    verdict : Verdict
    library : fitted library
    dimension : int
        That of the data as a manifold.
    coef : ndarray of shape (q, p), or None
    model : estimator, callable or pair of callables, or None
    model_samples : ModelSamples or None
    samples : FunctionSamples or None
    model_error : float, or None
    classes : ndarray of shape (K,), or None
    """

    method: str
    evidence: FittedEvidence | SampledEvidence
    verdict: Verdict
    library: object
    dimension: int
    coef: np.ndarray | None = None
    model: object = None
    model_samples: ModelSamples | None = None
    samples: FunctionSamples | None = None
    model_error: float | None = None
    classes: np.ndarray | None = None

    def notes(self, max_defect):
        """Return sentences about how sure this is, for the end of a report.

        Parameters
        ----------
        max_defect : float
            Largest noise floor at which a symmetry is declared.
        """
        notes = []
        if self.method == "model":
            if self.model_error is None:
                notes.append("model error unknown: floors are those of its derivative alone")
            else:
                error = f"{100 * self.model_error:.2g} % of the spread of y"
                notes.append(f"model error, in the floors: {error}")
                max_defect = max_defect / _MODEL_CAUTION
        floor = self.verdict.floor
        if self.verdict.undecided and np.isinf(floor):
            notes.append("undecided: too few samples for so many candidates or functions")
        elif self.verdict.undecided and floor > max_defect:
            notes.append(
                f"undecided: the noise floor of {floor:.2g} is above {max_defect:.2g}; more "
                "samples, or a better model, would decide"
            )
        return tuple(notes)


@dataclass(frozen=True, eq=False)
class Search:
    """The search for symmetries in data of any kind.

    Attributes
    ----------
    discoverer : SymmetryDiscoverer
        Whose parameters say how.
    problem : UnitProblem
        Candidates and samples in coordinates of unit spread.
    X : ndarray of shape (n, d)
        The samples of the user.
    weight : ndarray of shape (n,)
    rng : RandomState
    progress : Progress
    """

    discoverer: object
    problem: UnitProblem
    X: np.ndarray
    weight: np.ndarray
    rng: np.random.RandomState
    progress: Progress

    def of_function(self):
        """Fit samples of a function by least squares, and select symmetries by enforcing them."""
        U = self.problem.X  # the rows X of the user in unit coordinates
        Y = self.problem.Y
        template = self.discoverer.library
        with self.progress.task("library"):
            if template is None:
                template = PolynomialLibrary(best_degree(U, Y, self.weight, self.rng))
            library = self._placed(template, U)
        self._say(library)
        # Before the samples are evaluated, which may take long.
        require_affordable(
            self.problem.candidates.dim,
            library.n_output_features_,
            Y.shape[1],
            self.X.shape[1],
        )
        samples = FunctionSamples(
            library,
            self.problem.candidates,
            self.problem.output,
            U,
            Y,
            self.weight,
            resolution=self.problem.coordinates.resolution,
        )
        is_constant = not np.ptp(Y, axis=0).any()
        # A constant vector field turns with its outputs, unless it is zero.
        if is_constant and (self.problem.output is None or not Y.any()):
            warn("y is constant, so every candidate is a symmetry.")
            evidence = samples.evidence(samples.estimate)
            conclusion = _everything(self.problem.candidates.dim)
        else:
            robust = self.discoverer.robust
            evidence, conclusion = symmetries_of_function(samples, self._rule, robust)
        return Finding(
            method="library",
            evidence=evidence,
            verdict=conclusion,
            library=self.problem.in_user_coordinates(library, self.X),
            dimension=self.X.shape[1],
            coef=samples.estimate.coef,  # of all samples, where the evidence leaves some out
            samples=samples,
        )

    def of_numbers(self):
        """Choose what the samples are of: a model, a function or a data set."""
        if self.discoverer.estimator is not None:
            return self.of_model()
        if self.problem.Y is not None:
            return self.of_function()
        return self.of_data_set()

    def of_labels(self, classes, Y):
        """Fit the log odds of classes, and select symmetries by enforcing them."""
        # Classes all of whose samples have weight zero were never seen.
        present, codes = np.unique(Y[:, 0].astype(int), return_inverse=True)
        classes = classes[present]
        U = self.problem.X  # the rows X of the user in unit coordinates
        K = len(present)
        check_classes(classes, len(self.X))
        template = self.discoverer.library
        candidates = self.problem.candidates
        with self.progress.task("library"):
            if template is None:
                degree = degree_for_labels(candidates, U, codes, K, self.weight, self.rng)
                template = PolynomialLibrary(degree)
            library = self._placed(template, U)
        self._say(library)
        # Probabilities do not move: invariance is all that labels can show.
        samples = FunctionSamples(library, self.problem.candidates, None, U, Y, self.weight)
        evidence, conclusion, coef = symmetries_of_labels(samples, codes, K, self._rule)
        return Finding(
            method="labels",
            evidence=evidence,
            verdict=conclusion,
            library=self.problem.in_user_coordinates(library, self.X),
            dimension=self.X.shape[1],
            coef=coef,
            classes=classes,
        )

    def of_model(self):
        """Differentiate a model at the samples."""
        with self.progress.task("model"):
            model, evidence, samples, error = model_evidence(
                self.discoverer.estimator,
                self.problem,
                self.X,
                self.weight,
                self.rng,
            )
        max_defect = self.discoverer.max_defect
        if error is not None:
            # A defect of two floors is not rejected, so that one of `max_defect` must be.
            max_defect = max_defect / _MODEL_CAUTION
        conclusion = self._verdict(evidence, max_defect)
        if error is None:
            # Nobody knows how far the model is from what it was fitted to.
            conclusion = judged_by_gaps(evidence, conclusion)
        return Finding(
            method="model",
            evidence=evidence,
            verdict=conclusion,
            library=self._library_of_invariants(),
            dimension=self.X.shape[1],
            model=model,
            model_samples=samples,
            model_error=error,
        )

    def of_data_set(self):
        """Fit a submanifold through the samples, where there are fields that may be tangent."""
        candidates = self.problem.candidates
        if not candidates.dim:
            return self._of_points()
        with self.progress.task("manifold"):
            manifold = tangent_evidence(candidates, self.problem.X, self.weight, self.rng)
        if manifold.method == "none":
            warn(
                f"The data fill R^{manifold.dimension}, no submanifold of fewer dimensions is "
                "seen, so that no field is found. For the symmetries of a function pass y too."
            )
        return Finding(
            method=manifold.method,
            evidence=manifold.evidence,
            verdict=self._verdict(manifold.evidence, self.discoverer.max_defect),
            library=self._library_of_invariants(),
            dimension=manifold.dimension,
        )

    def _of_points(self):
        """Leave everything to discrete candidates: they move points, and no tangent space."""
        # Whether the points lie on a surface does not matter to their distribution.
        evidence = no_evidence(0)
        return Finding(
            method="moments",
            evidence=evidence,
            verdict=self._verdict(evidence, self.discoverer.max_defect),
            library=self._library_of_invariants(),
            dimension=self.X.shape[1],
        )

    @property
    def _rule(self):
        """How generators are counted."""
        discoverer = self.discoverer
        return CountingRule(
            discoverer.n_symmetries,
            discoverer.snap,
            discoverer.max_defect,
            self.progress,
        )

    def _say(self, library):
        """Say which functions and candidates there are."""
        # Before anything of their size is computed: both numbers decide how long that takes.
        self.progress.say(
            f"library: {library.n_output_features_} functions of {self.X.shape[1]} features, "
            f"{self.problem.candidates.dim} candidates"
        )

    def _verdict(self, evidence, max_defect):
        """Return the generators within the noise floor, exact where `snap` is set."""
        # Errors of samples have no covariance, so that the joint fit has nothing to weigh.
        proposals = None
        if self.discoverer.snap:
            proposals = partial(exact_forms, in_units_of(self.problem.X, self.problem.candidates))
        with self.progress.task("spectrum"), one_thread():
            return verdict(evidence, self.discoverer.n_symmetries, max_defect, proposals)

    def _library_of_invariants(self):
        """Return the library that only `transform` uses, fitted."""
        template = self.discoverer.library
        if template is None:
            template = PolynomialLibrary(2)
        return self._placed(template, self.X)

    def _placed(self, template, X):
        """Return a library fitted to X, where no symmetry says how to place it."""
        names = vars(self.discoverer).get("feature_names_in_")
        library, _ = place(template, X, Group.none(X.shape[1]), names=names)
        return library


def _everything(r):
    """Return the verdict that all r candidates are symmetries, without doubt."""
    return Verdict(np.eye(r), np.zeros((r, r)), 0.0, 0)
