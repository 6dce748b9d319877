"""Which symmetries do data have: a function, a given model, a dynamical system, a point cloud?"""

import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym._estimator import checked_weights, on_copy, training_data, warn
from sksym._linalg import one_thread, reduced_echelon
from sksym.discover.degree import best_degree
from sksym.discover.labels import (
    check_classes,
    degree_for_labels,
    probabilities,
    read_labels,
    symmetries_of_labels,
)
from sksym.discover.manifolds import tangent_evidence
from sksym.discover.models import is_given, model_evidence, model_values
from sksym.enforce import InvariantFeatures
from sksym.equivariant import place
from sksym.evidence import (
    CountingRule,
    FittedEvidence,
    FunctionSamples,
    SampledEvidence,
    Verdict,
    check_rule,
    exact_forms,
    in_units_of,
    readable,
    symmetries_of_function,
    verdict,
)
from sksym.groups import Group, aff, represent, resolve
from sksym.libraries import PolynomialLibrary, fitted_values, input_names

_RTOL = 1e-10
_STILL = 1e-24  # trace of the motion, relative to the spread of the data squared: nothing moves


def _has_classes(model):
    """Return whether a discoverer was fitted to class labels."""
    return "classes_" in vars(model)


class SymmetryDiscoverer(TransformerMixin, BaseEstimator):
    """Symmetries of a function X -> y, of a model, of a dynamical system or of a data set.

    Looks for the generators xi of `candidates` with the least mean square of the Lie derivative
    ``L_xi F`` relative to that of the motion itself,

        ``min_xi  mean |L_xi F|^2 / s_y^2  /  mean (|A x + b|^2 / s_x^2 + |B F|^2 / s_y^2)``,

    where s is the spread of the columns. ``fit(X, y)`` takes samples of a function, ``fit(X)``
    with a given model as `estimator` takes that model, and ``fit(X)`` alone takes a data set as a
    submanifold: the normal components of the fields replace ``L_xi F``. Where y holds class labels,
    F are the log odds of the classes, fitted by logistic regression. The errors of the fit
    decide how many generators count as zero, see `n_symmetries`. `transform` gives the library
    functions that are invariant under them.

    Parameters
    ----------
    candidates : LieAlgebra, VectorFields or callable, default=None
        The motions to choose from; None: all affine motions ``aff(d)``. For fields beyond affine
        use ``vector_fields(library)``.
    library : library, default=None
        The functions in which F is fitted. None: polynomials of one degree more than that of the
        least cross-validated error. With an `estimator`, and for a data set, the library is used
        by `transform` alone; None is then ``PolynomialLibrary(2)``.
    output : representation or array of shape (r, q, q), default=None
        How the outputs move; None: invariance. ``vector`` with y = x' for dynamical systems, with
        y = x_next - x for maps.
    estimator : regressor, callable or pair of callables, default=None
        Any regressor, cloned and fitted; or a model used as it is: ``FrozenEstimator(model)``, a
        function ``X (n, d) -> (n,) or (n, q)``, or a pair of that and its Jacobian, (n, d) or
        (n, q, d). A model with a method ``jacobian`` is differentiated by it, others numerically.
    n_symmetries : "auto" or int, default="auto"
        "auto": for k = 1, 2, .. until a test rejects that the k smallest generators are zero
        (p <= 0.003), their echelon form is rounded to simple numbers within four standard
        errors and enforced; among those that an F test accepts (p > 0.001), the one of least BIC
        is chosen. For models and data sets, as many as lie within the noise floor. A number: the k
        smallest, rounded where that is possible.
    snap : bool, default=True
        Make the generators exact: simple numbers or, where there are none (a tilted axis), the
        conjugate of an exact algebra that fits best. False: the raw null space, as many as lie
        within the noise floor.
    max_defect : float, default=0.1
        A symmetry is declared only where the noise floor is below this; otherwise it is undecided.
        Labels say less than numbers: below ten times this, if the labels are a hundred times as
        likely with the symmetry as without.
    rtol : float, default=None
        Relative tolerance of the null space of the invariants that `transform` gives; None: 1e-10.
    robust : bool or "auto", default="auto"
        For samples of a function: whether errors of unequal size are allowed for, by the HC3
        sandwich covariance, in a second pass over the data. "auto": where nothing is found under
        errors of equal size and there are five samples to a library function. It also helps with
        functions that the library approximates only.
    random_state : int, RandomState or None, default=None
        Decides the folds that choose a degree or a method, and subsamples.

    Attributes
    ----------
    algebra_ : LieAlgebra or VectorFields
        The symmetries found, in reduced echelon form.
    algebra_name_ : str
        The name of the algebra up to isomorphism, ``so(3)``; for fields beyond affine only their
        number.
    n_symmetries_ : int
        Their number k.
    singular_values_ : ndarray of shape (k,)
        Relative defects of all identifiable generators, descending.
    noise_floor_ : float
        Contribution of the noise of the fit to the defect of the declared generators.
    standard_errors_ : ndarray of shape (k, r), or None
        Of the echelon form before rounding.
    undecided_ : int
        Number of other generators compatible with zero, on evidence too weak to declare them.
    unidentified_ : LieAlgebra or VectorFields
        Candidates that vanish on the data, or whose effect on F the data do not determine.
    representation_ : ndarray of shape (k, q, q)
        B of `algebra_`.
    method_ : str
        The source of the evidence: "library", "labels", "model", "patches" or "level set"; "none"
        where the data fill space.
    manifold_dimension_ : int
        The dimension of a data set; `n_features_in_` for functions.
    model_ : estimator, callable or pair of callables, or None
        The model that was differentiated.
    library_ : fitted library
    coef_ : ndarray of shape (p,) or (q, p), or None
        The least-squares fit in the library. For class labels the log odds of the second class of
        two, (p,), or of all K up to a common function, (K, p).
    classes_ : ndarray of shape (K,)
        The class labels, where y holds labels.

    Notes
    -----
    The rule is one of least squares: it assumes independent noise, and a library that contains the
    function. Where the library does not fit, no symmetry is declared; `singular_values_` and
    ``snap=False`` still show it. Symmetries that every function of a library has do not count.
    Labels are independent given X, and their log odds lie in the library. Where the library
    separates the classes the fit is penalised, with a warning.
    Cost: one pass for a streamed R factor, O(n p^2), then O(r p^3) whatever n. Models are
    differentiated at up to 2,000 samples.

    For a data set, tangent spaces come from quadratic patches through nearest neighbours, or from
    polynomials that vanish on the data, whichever is nearer to held-out points; of more than
    50,000 points a random subset is used.

    References
    ----------
    Otto, Zolman, Kutz, Brunton (2025), JMLR 26(248), theorem 4 and the section on submanifolds.

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import SymmetryDiscoverer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 2))
    >>> square = (X**2).sum(axis=1)
    >>> y = square - 0.1 * square**2 + 0.1 * rng.normal(size=500)
    >>> SymmetryDiscoverer().fit(X, y).algebra_
    LieAlgebra(dim=1, n_features=2: x0 ∂1 - x1 ∂0)
    >>> X = rng.normal(size=(2000, 3))
    >>> label = np.where(rng.logistic(size=2000) < (X**2).sum(axis=1) - 2, "far", "near")
    >>> SymmetryDiscoverer(random_state=0).fit(X, label).algebra_name_
    'so(3)'
    """

    def __init__(
        self,
        candidates=None,
        *,
        library=None,
        output=None,
        estimator=None,
        n_symmetries="auto",
        snap=True,
        max_defect=0.1,
        rtol=None,
        robust="auto",
        random_state=None,
    ):
        self.candidates = candidates
        self.library = library
        self.output = output
        self.estimator = estimator
        self.n_symmetries = n_symmetries
        self.snap = snap
        self.max_defect = max_defect
        self.rtol = rtol
        self.robust = robust
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @on_copy
    def fit(self, X, y=None, sample_weight=None):
        """Find the symmetries of X -> y, `X` (n, d), `y` (n,) or (n, q), or of `X` alone.

        Strings, truth values, numbers of two values and integers of at most ten are class labels,
        (n,), if there are twenty samples to a class; pass floats to have integers as numbers.
        """
        classes, y = self._numbered(y)
        X, Y, weight, one_target = self._training_rows(X, y, sample_weight)
        candidates = _candidates_on(self.candidates, X)
        self._check_parameters(candidates, Y)
        B = None if self.output is None else _output_motion(self.output, candidates, Y)
        rng = check_random_state(self.random_state)
        if classes is not None:
            finding = self._of_labels(candidates, classes, X, Y, weight, rng)
        else:
            finding = self._of_numbers(candidates, B, X, Y, weight, rng)
        evidence = finding.evidence
        if finding.method != "none" and candidates.dim and np.trace(evidence.motion) <= _STILL:
            warn(
                "No candidate moves the data, so nothing can be found: all are in `unidentified_`."
            )

        generators, errors = _in_reading_order(candidates, finding.verdict)
        self.algebra_ = candidates.combine(generators)
        self.algebra_name_ = _name(candidates, generators, X)
        self.n_symmetries_ = len(generators)
        self.singular_values_ = evidence.spectrum.singular_values[::-1]
        self.noise_floor_ = finding.verdict.floor
        self.standard_errors_ = errors
        self.undecided_ = finding.verdict.undecided
        # Candidates about which the data say nothing, as a basis that can be read.
        unidentified = reduced_echelon(evidence.spectrum.unidentified())
        self.unidentified_ = candidates.combine(unidentified)
        # Under invariance the outputs do not move.
        if B is None:
            q = 1 if finding.coef is None else len(finding.coef)
            B = np.zeros((candidates.dim, q, q))
        self.representation_ = np.tensordot(generators, B, 1)
        self.method_ = finding.method
        self.manifold_dimension_ = finding.dimension
        self.model_ = finding.model
        self.library_ = finding.library
        self.coef_ = finding.coef
        if finding.coef is not None and one_target and len(finding.coef) == 1:
            self.coef_ = finding.coef[0]
        self._invariants_ = _invariants(self.algebra_, finding.library, X, self.rtol)

    def transform(self, X):
        """Return the values of the library functions that are invariant under `algebra_`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self._invariants_.transform(X)

    def predict(self, X):
        """Return the values of the fit or the model, without any symmetry: (n,) or (n, q).

        For class labels the most probable class, (n,).
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        if self.model_ is not None:
            values = model_values(self.model_, X)
            return values[:, 0] if values.shape[1] == 1 else values
        if self.coef_ is None:
            raise ValueError("A data set has no values to predict: pass y to `fit` for those.")
        values = fitted_values(self.library_, self.coef_, X)
        if _has_classes(self):
            most_probable = np.argmax(probabilities(values), axis=1)
            return self.classes_[most_probable]
        return values

    @available_if(_has_classes)
    def predict_proba(self, X):
        """Return the probabilities (n, K) of `classes_` in the fit, without any symmetry."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return probabilities(fitted_values(self.library_, self.coef_, X))

    def get_feature_names_out(self, input_features=None):
        """Return the invariants as formulas."""
        check_is_fitted(self)
        return self._invariants_.get_feature_names_out(input_names(self, input_features))

    def _numbered(self, y):
        """Return the classes of labels and the number of each label, or None and y itself."""
        if y is None or self.estimator is not None:
            return None, y
        classes, codes = read_labels(y)
        if classes is None or self.output is None:
            return classes, codes
        if classes.dtype.kind in "Ub":
            raise ValueError("`output` moves numbers, but y holds labels: leave `output` out.")
        return None, y

    def _training_rows(self, X, y, sample_weight):
        """Validate what ``fit`` is given.

        Returns
        -------
        X : ndarray of shape (n, d)
            The rows of positive weight, and of `Y` and `weight` the same.
        Y : ndarray of shape (n, q), or None
        weight : ndarray of shape (n,)
        one_target : bool
            Whether y was one-dimensional.
        """
        if y is None:
            X = validate_data(self, X, dtype=np.float64)
            Y = None
            weight = checked_weights(sample_weight, len(X))
            one_target = False
        else:
            data = training_data(self, X, y, sample_weight)
            X = data.X
            Y = data.Y
            weight = data.weight
            one_target = data.one_target
        rows = weight > 0
        if np.count_nonzero(rows) < 2:
            raise ValueError("Symmetries cannot be seen in 1 sample: give more samples.")
        if not rows.all():
            X = X[rows]
            Y = None if Y is None else Y[rows]
            weight = weight[rows]
        return X, Y, weight, one_target

    def _check_parameters(self, candidates, Y):
        """Raise where a parameter has no meaning, or needs values that were not given."""
        check_rule("n_symmetries", self.n_symmetries, candidates.dim, self.max_defect)
        if not isinstance(self.robust, bool | np.bool_) and self.robust != "auto":
            raise ValueError(f"`robust` must be True, False or 'auto', got {self.robust!r}.")
        if Y is not None:
            return
        if self.estimator is None and self.output is not None:
            raise ValueError(
                "requires y to be passed, but the target y is None: `output` says how outputs "
                "move, and a data set alone has none."
            )
        if self.estimator is not None and not is_given(self.estimator):
            raise ValueError(
                "requires y to be passed, but the target y is None: an `estimator` that is to "
                "be fitted needs it. Wrap a fitted one in FrozenEstimator."
            )

    def _of_function(self, candidates, B, X, Y, weight, rng):
        """Fit samples of a function by least squares, and select symmetries by enforcing them."""
        template = self.library
        if template is None:
            template = PolynomialLibrary(best_degree(X, Y, weight, rng))
        library = self._placed(template, X)
        samples = FunctionSamples(library, candidates, self.output, X, Y, weight)
        is_constant = not np.ptp(Y, axis=0).any()
        # A constant vector field turns with its outputs, unless it is zero.
        if is_constant and (B is None or not Y.any()):
            warn("y is constant, so every candidate is a symmetry.")
            evidence = samples.evidence(samples.estimate)
            conclusion = _everything(candidates.dim)
        else:
            rule = CountingRule(self.n_symmetries, self.snap, self.max_defect)
            evidence, conclusion = symmetries_of_function(samples, rule, self.robust)
        return _Finding(
            method="library",
            evidence=evidence,
            verdict=conclusion,
            library=library,
            dimension=X.shape[1],
            coef=evidence.coef,
        )

    def _of_numbers(self, candidates, B, X, Y, weight, rng):
        """Choose what the samples are of: a model, a function or a data set."""
        if self.estimator is not None:
            return self._of_model(candidates, B, X, Y, weight, rng)
        if Y is not None:
            return self._of_function(candidates, B, X, Y, weight, rng)
        return self._of_data_set(candidates, X, weight, rng)

    def _of_labels(self, candidates, classes, X, Y, weight, rng):
        """Fit the log odds of classes, and select symmetries by enforcing them."""
        present, codes = np.unique(Y[:, 0].astype(int), return_inverse=True)
        self.classes_ = classes[present]
        K = len(present)
        check_classes(self.classes_, len(X))
        template = self.library
        if template is None:
            degree = degree_for_labels(candidates, X, codes, K, weight, rng)
            template = PolynomialLibrary(degree)
        library = self._placed(template, X)
        samples = FunctionSamples(library, candidates, None, X, Y, weight)
        rule = CountingRule(self.n_symmetries, self.snap, self.max_defect)
        evidence, conclusion, coef = symmetries_of_labels(samples, codes, K, rule)
        return _Finding(
            method="labels",
            evidence=evidence,
            verdict=conclusion,
            library=library,
            dimension=X.shape[1],
            coef=coef,
        )

    def _of_model(self, candidates, B, X, Y, weight, rng):
        """Differentiate a model at the samples."""
        model, evidence = model_evidence(self.estimator, candidates, B, X, Y, weight, rng)
        return _Finding(
            method="model",
            evidence=evidence,
            verdict=self._verdict(evidence, candidates, X),
            library=self._library_of_invariants(X),
            dimension=X.shape[1],
            model=model,
        )

    def _of_data_set(self, candidates, X, weight, rng):
        """Fit a submanifold through the samples."""
        manifold = tangent_evidence(candidates, X, weight, rng)
        if manifold.method == "none":
            warn(
                f"The data fill R^{manifold.dimension}, no submanifold of fewer dimensions is "
                "seen, so nothing is found. For the symmetries of a function pass y too."
            )
        return _Finding(
            method=manifold.method,
            evidence=manifold.evidence,
            verdict=self._verdict(manifold.evidence, candidates, X),
            library=self._library_of_invariants(X),
            dimension=manifold.dimension,
        )

    def _verdict(self, evidence, candidates, X):
        """Return the generators within the noise floor, exact where `snap` is set."""
        proposals = None
        if self.snap:
            proposals = partial(exact_forms, in_units_of(X, candidates))
        with one_thread():
            return verdict(evidence, self.n_symmetries, self.max_defect, proposals)

    def _library_of_invariants(self, X):
        """Return the library that only `transform` uses, fitted."""
        template = PolynomialLibrary(2) if self.library is None else self.library
        return self._placed(template, X)

    def _placed(self, template, X):
        """Return a library fitted to X, where no symmetry says how to place it."""
        names = vars(self).get("feature_names_in_")
        library, _ = place(template, X, Group.none(X.shape[1]), names=names)
        return library


@dataclass(frozen=True, eq=False)
class _Finding:
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
    """

    method: str
    evidence: FittedEvidence | SampledEvidence
    verdict: Verdict
    library: object
    dimension: int
    coef: np.ndarray | None = None
    model: object = None


def _candidates_on(candidates, X):
    """Return the candidate generators on the columns of X (n, d), checked."""
    group = resolve(aff if candidates is None else candidates, X, "candidates")
    if group.elements.n_elements:
        raise ValueError(
            "Discrete candidates cannot be searched yet: give a LieAlgebra or vector fields."
        )
    return group.algebra


def _output_motion(output, candidates, Y):
    """Return how the candidates move the outputs ``Y`` (n, q) or None: B (r, q, q)."""
    B = represent(output, candidates)
    if Y is not None and B.shape[1] != Y.shape[1]:
        raise ValueError(f"`output` moves {B.shape[1]} outputs, but y has {Y.shape[1]}.")
    return B


def _everything(r):
    """Return the verdict that all r candidates are symmetries, without doubt."""
    return Verdict(np.eye(r), np.zeros((r, r)), 0.0, 0)


def _in_reading_order(candidates, conclusion):
    """Return generators (k, r) sorted by name, and standard errors (k, r) where they are known."""
    generators, order = readable(candidates, conclusion.generators)
    errors = conclusion.errors
    # Errors belong to the generators counted; enforcing them may have brought others.
    if errors is not None and len(errors) == len(order):
        errors = errors[order]
    return generators, errors


def _name(candidates, generators, X):
    """Return the name of the algebra of generators (k, r) up to isomorphism."""
    return in_units_of(X, candidates).combine(generators).isomorphism_class()


def _invariants(algebra, library, X, rtol):
    """Return the fitted features of a library that are invariant under an algebra."""
    # Their library is placed anew, for the symmetry that is known now.
    names = {"center", "scale"}.intersection(library.get_params(deep=False))
    library = clone(library).set_params(**dict.fromkeys(names))
    if rtol is None:
        rtol = _RTOL
    features = InvariantFeatures(algebra, library=library, rtol=rtol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nothing but the constant: no features
        return features.fit(X)
