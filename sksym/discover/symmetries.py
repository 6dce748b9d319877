"""Which symmetries do data have: a function, a given model, a dynamical system, a point cloud?"""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import (
    CallbackSupportMixin,
    Progress,
    adopt,
    check_range,
    checked_weights,
    finite_or_none,
    fit_tasks,
    moderate_weights,
    training_data,
    unfitted_copy,
    validate_data,
    warn,
    with_callbacks,
)
from sksym._linalg import reduced_echelon
from sksym.discover.costs import EnforcingCost
from sksym.discover.discrete import discrete_symmetries
from sksym.discover.findings import Search
from sksym.discover.labels import read_labels
from sksym.discover.models import check_columns, is_given, model_values
from sksym.discover.report import ReportSource
from sksym.discover.unit_coordinates import UnitProblem, has_no_place
from sksym.enforce import InvariantFeatures
from sksym.enforce.logits import log_probabilities
from sksym.evidence import (
    check_rule,
    in_units_of,
    readable,
)
from sksym.groups import Group, aff, represent, resolve
from sksym.libraries import fitted_values, input_names

_LEAST = 1e-152  # size of data whose squares are floats
_RTOL = 1e-10
_STILL = 1e-24  # trace of the motion, relative to the spread of the data squared: nothing moves


def _has_classes(model):
    """Return whether a discoverer was fitted to class labels."""
    return "classes_" in vars(model)


class SymmetryDiscoverer(CallbackSupportMixin, TransformerMixin, BaseEstimator):
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
    candidates : LieAlgebra, VectorFields, FiniteGroup, Group or callable, default=None
        The motions to choose from; None: all affine motions ``aff(d)``. For fields beyond affine
        use ``vector_fields(library)``. All elements of a discrete group are candidates, also the
        products of those that it lists: ``signed_permutations(d)`` has 2^d d! elements. They act
        about the origin, see Notes.
    library : library, default=None
        The functions in which F is fitted. None: polynomials of one degree more than that of the
        least cross-validated error. With an `estimator`, and for a data set, the library is used
        by `transform` alone; None is then ``PolynomialLibrary(2)``. Discrete symmetries of a data
        set are tested by its means.
    output : representation or array of shape (r, q, q), default=None
        How the outputs move; None: invariance. ``vector`` with y = x' for dynamical systems, with
        y = x_next - x for maps.
    estimator : regressor, callable or pair of callables, default=None
        Any regressor, cloned and fitted; or a model used as it is: ``FrozenEstimator(model)``, a
        function ``X (n, d) -> (n,) or (n, q)``, or a pair of that and its Jacobian, (n, d) or
        (n, q, d). A model with a method ``jacobian`` is differentiated by it, a torch module, as it
        predicts, by torch, others numerically.
    n_symmetries : "auto" or int, default="auto"
        "auto": for k = 1, 2, .. until a test rejects that the k smallest generators are zero
        (p <= 0.003), their echelon form is rounded to simple numbers within four standard
        errors and enforced; among those that an F test accepts (p > 0.001), the one of least BIC
        is chosen. For models and data sets, as many as lie within the noise floor. A number: the k
        smallest, rounded where that is possible.
    snap : bool, default=True
        Prefer simple numbers where they fit as well. Where there are none (a tilted axis), or with
        False, the generators are those of the function that fits best among all that have so many
        symmetries exactly. Of models and data sets: the nearest exact algebra; with False the raw
        null space.
    max_defect : float, default=0.1
        A symmetry is declared only where the noise floor is below this, and for models with y
        below half of it; otherwise it is undecided. Labels say less than numbers: below ten times
        this, if the labels are a thousand times as likely with the symmetry as without.
    rtol : float, default=None
        Relative tolerance of the null space of the invariants that `transform` gives; None: 1e-10.
    robust : bool or "auto", default="auto"
        For samples of a function: whether errors of unequal size are allowed for, by the HC3
        sandwich covariance, in further passes over the data without the 5 % of the samples that
        are farthest from the centre. "auto": where nothing is found under errors of equal size and
        there are five samples to a library function. It also helps with functions that the library
        approximates only. The errors of labels follow from their probabilities: True is refused,
        "auto" and False are the same.
    random_state : int, RandomState or None, default=None
        Decides the folds that choose a degree or a method, and subsamples.
    verbose : int, default=0
        1: prints the library, how many directions may be symmetries, every number of symmetries
        that is compared, and the costs of `report_`. The callbacks of scikit-learn are told of the
        same stages.

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
    noise_floor_ : float or None
        Contribution of the noise of the fit to the defect of the declared generators; None where
        the samples are too few to estimate it.
    standard_errors_ : ndarray of shape (k, r), or None
        Of the echelon form before rounding.
    undecided_ : int
        Number of other generators compatible with zero, on evidence too weak to declare them.
    elements_ : FiniteGroup
        Discrete candidates that are symmetries: generating elements, ``elements_.order`` in all.
    element_p_values_ : ndarray of shape (elements_.n_elements,)
        Of the test that nothing is changed by them; NaN for models.
    element_defects_ : ndarray of shape (elements_.n_elements,)
        Changes of the function under them, in the root mean square relative to its spread; of a
        data set the distance between its distribution and the moved one, at most 1.
    element_tests_ : tuple of ElementTest
        The same for the elements that are listed in `candidates` and were not found too, with
        the noise floor and the verdict of each, as in `report_`.
    unidentified_ : LieAlgebra or VectorFields
        Candidates that vanish on the data, or whose effect on F the data do not determine.
    representation_ : ndarray of shape (k, q, q)
        B of `algebra_`.
    near_algebra_ : LieAlgebra or VectorFields
        Near symmetries: broken by more than the noise, but by a defect of at most `max_defect`.
    report_ : SymmetryReport
        A table with one row for each direction: defect with its interval, noise floor, p value,
        cost of enforcing it, generator, verdict. It is made when it is first read, for which up to
        20,000 samples are kept.
    method_ : str
        The source of the evidence: "library", "labels", "model", "patches" or "level set"; "none"
        where the data fill space; "moments" for discrete candidates alone.
    manifold_dimension_ : int
        The dimension of a data set; `n_features_in_` for functions.
    model_ : estimator, callable or pair of callables, or None
        The model that was differentiated.
    model_error_ : float, or None
        Root mean square residual of the model relative to the spread of y, out of fold where it
        was fitted here. None: unknown, as y was not given; then no more than the error of the
        derivative is counted, and a model that was fitted to data should be judged by the gaps in
        `singular_values_`: generators before one that are not declared are in `undecided_`.
    library_ : fitted library
    coef_ : ndarray of shape (p,) or (q, p), or None
        The least-squares fit in the library. For class labels the log odds of the second class of
        two, (p,), or of all K up to a common function, (K, p).
    classes_ : ndarray of shape (K,)
        The class labels, where y holds labels.

    Notes
    -----
    The rule is one of least squares: it assumes independent noise, and a library that contains the
    function. Where the library does not fit, its misfit is in the noise floor (`robust`): what lies
    within that is declared below `max_defect`, else `undecided_`. That supposes that the samples
    are as symmetric as the function: in many samples of a box a misfit breaks rotations. What
    ``library=None`` has chosen, at most 11, is ``library_.degree``. Symmetries that every function
    of a library has do not count.
    Labels are independent given X, and their log odds lie in the library, with a normal prior of
    standard deviation 5 for each function; a warning says where the library separates the classes.
    Of a cubic function of three features 500 labels mostly show a defect of 0.5, where they are
    uncertain, and mostly miss one of 0.25. So little is declared from them that simple functions
    of few terms, or simple numbers, do not make far more likely; the rest is `undecided_`.
    Cost: one pass for a streamed R factor, O(n p^2), then O(r p^3) whatever n. Models are
    differentiated at up to 2,000 samples.

    Discrete candidates are tested at a level of 0.003 for all together, and those that generate
    the symmetries found once more together. One is declared where the noise floor of its defect,
    and the defect beyond it, are below `max_defect`:

    * functions by Wald's test in the coefficients, ``rho(g)^-1 F(g x) = F(x)``;
    * class labels by the likelihood ratio, with floors up to ten times `max_defect`, where the
      labels are a hundred times as likely with the symmetries found as without, and three times
      with each;
    * models at the samples that g takes to a place among the samples, against the error of the
      model where y is given, with floors up to half of `max_defect`;
    * data sets, taken as independent points, by Hotelling's test that functions have the same mean
      at the moved points: those of `library`, None for polynomials of degree 2 to 4 with 50 points
      to a function, times a Gaussian window. A surface may have symmetries that the density of
      points on it breaks.

    Elements act about the origin: ``-x0`` reflects in the plane x0 = 0. To reflect about another
    point c, such as the mean, fit ``X - c``. Permutations compare numbers, so that only columns of
    the same unit are interchangeable.
    Groups of signed permutations are searched by backtracking on the coefficients of monomials,
    as automorphisms of a graph are; other groups, and those for models and data sets, are listed,
    up to 120 elements. Of larger ones those that move one or two coordinates are tested.

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
        verbose=0,
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
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @with_callbacks
    def fit(self, X, y=None, sample_weight=None):
        """Find the symmetries of X -> y, `X` (n, d), `y` (n,) or (n, q), or of `X` alone.

        Strings, truth values, numbers of two values and integers of at most ten are class labels,
        (n,), if there are twenty samples to a class; pass floats to have integers as numbers.
        """
        fresh = unfitted_copy(self)
        # Callbacks are told of the estimator that the user holds, not of the copy.
        with fit_tasks(self, X, y) as task:
            fresh._fit(X, y, sample_weight, Progress(task, self.verbose))
            return adopt(self, fresh)

    def _fit(self, X, y, sample_weight, progress):
        """Fit this fresh copy, telling `progress` of the stages."""
        classes, y = self._numbered(y, sample_weight)
        if is_given(self.estimator):
            check_columns(self.estimator, X)
        X, Y, weight, one_target = self._training_rows(X, y, sample_weight)
        group = _candidates_on(self.candidates, X)
        self._check_parameters(group, Y, classes)
        # Decided where columns have unit spread, published in the coordinates of the user.
        problem = self._in_unit_coordinates(group.algebra, X, Y, classes)
        rng = check_random_state(self.random_state)
        search = Search(self, problem, X, weight, rng, progress)
        if classes is not None:
            finding = search.of_labels(classes, Y)
            self.classes_ = finding.classes
        else:
            finding = search.of_numbers()
        moves = np.trace(finding.evidence.motion) > _STILL
        if finding.method != "none" and group.algebra.dim and not moves:
            warn(
                "No candidate moves the data, so nothing can be found: all are in `unidentified_`."
            )

        generators = self._set_algebra(problem, finding)
        self.method_ = finding.method
        self.manifold_dimension_ = finding.dimension
        self.model_ = finding.model
        self.model_error_ = finding.model_error
        self.library_ = finding.library
        self.coef_ = finding.coef
        if finding.coef is not None:
            coef = finding.coef * problem.coordinates.size[:, None]
            self.coef_ = coef[0] if one_target and len(coef) == 1 else coef
        with progress.task("elements"):
            discrete = discrete_symmetries(group, search, finding)
        self.elements_ = discrete.elements
        self.element_tests_ = discrete.tests
        self.element_p_values_ = discrete.p_values
        self.element_defects_ = discrete.defects
        symmetry = Group(self.algebra_, self.elements_)
        self._invariants_ = _invariants(symmetry, finding.library, X, self.rtol)
        self._report_source_ = self._source_of_report(problem, weight, finding, generators)

    def _set_algebra(self, problem, finding):
        """Publish the continuous symmetries, and return them as generators (k, r)."""
        candidates = problem.named
        spectrum = finding.evidence.spectrum
        generators, errors = _in_reading_order(candidates, finding.verdict)
        self.algebra_ = candidates.combine(generators)
        self.algebra_name_ = _name(problem, generators)
        self.n_symmetries_ = len(generators)
        self.singular_values_ = spectrum.singular_values[::-1]
        self.noise_floor_ = finite_or_none(finding.verdict.floor)
        self.standard_errors_ = errors
        self.undecided_ = finding.verdict.undecided
        # Candidates about which the data say nothing, as a basis that can be read.
        unidentified = reduced_echelon(spectrum.unidentified())
        self.unidentified_ = candidates.combine(unidentified)
        B = problem.named_motion()
        # Under invariance the outputs do not move.
        if B is None:
            q = 1 if finding.coef is None else len(finding.coef)
            B = np.zeros((candidates.dim, q, q))
        self.representation_ = np.tensordot(generators, B, 1)
        return generators

    def _source_of_report(self, problem, weight, finding, generators):
        """Return what the table of all directions is made from, when it is asked for."""
        return ReportSource(
            candidates=problem.named,
            evidence=finding.evidence,
            generators=generators,
            undecided=self.undecided_,
            max_defect=self.max_defect,
            is_auto=isinstance(self.n_symmetries, str),
            is_exact=self.snap and finding.method == "library",
            costs=_costs(problem, weight, finding),
            element_tests=self.element_tests_,
            notes=finding.notes(self.max_defect),
            progress=Progress(verbose=self.verbose),
        )

    @property
    def report_(self):
        """The table of all directions, a `SymmetryReport`."""
        check_is_fitted(self)
        return self._report_source_.report

    @property
    def near_algebra_(self):
        """Near symmetries: broken by more than the noise, but by at most `max_defect`."""
        check_is_fitted(self)
        return self._report_source_.near_algebra

    def transform(self, X):
        """Return the values of the library functions that are invariant under what was found."""
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
            most_probable = np.argmax(log_probabilities(values), axis=1)
            return self.classes_[most_probable]
        return values

    @available_if(_has_classes)
    def predict_proba(self, X):
        """Return the probabilities (n, K) of `classes_` in the fit, without any symmetry."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        log_odds = fitted_values(self.library_, self.coef_, X)
        return np.exp(log_probabilities(log_odds))

    def get_feature_names_out(self, input_features=None):
        """Return the invariants as formulas."""
        check_is_fitted(self)
        return self._invariants_.get_feature_names_out(input_names(self, input_features))

    def _numbered(self, y, sample_weight):
        """Return the classes of labels and the number of each label, or None and y itself."""
        if y is None or self.estimator is not None:
            return None, y
        classes, codes = read_labels(y, sample_weight)
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
            check_range(X, "X", _LEAST)
            weight = moderate_weights(checked_weights(sample_weight, len(X)))
            one_target = False
        else:
            data = training_data(self, X, y, sample_weight).in_range(_LEAST)
            X = data.X
            Y = data.Y
            weight = data.weight
            one_target = data.one_target
        check_range(np.ptp(X, axis=0)[None], "X less its mean", _LEAST)
        rows = weight > 0
        if np.count_nonzero(rows) < 2:
            raise ValueError("Symmetries cannot be seen in 1 sample: give more samples.")
        if not rows.all():
            X = X[rows]
            Y = None if Y is None else Y[rows]
            weight = weight[rows]
        return X, Y, weight, one_target

    def _check_parameters(self, group, Y, classes):
        """Raise where a parameter has no meaning, or needs values that were not given."""
        check_rule("n_symmetries", self.n_symmetries, group.algebra.dim, self.max_defect)
        if not isinstance(self.robust, bool | np.bool_) and self.robust != "auto":
            raise ValueError(f"`robust` must be True, False or 'auto', got {self.robust!r}.")
        if classes is not None and self.robust in (True,):
            raise ValueError(
                f"`robust` allows for unequal errors of numbers, and y holds labels of "
                f"{len(classes)} classes, whose errors follow from their probabilities; got "
                f"robust={self.robust!r}: leave it at 'auto', or give floats of more than two "
                "values as y."
            )
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

    def _in_unit_coordinates(self, candidates, X, Y, classes):
        """Return the `UnitProblem` of candidates and samples; that of labels has no values."""
        if self.output is not None:
            _check_output(self.output, candidates, Y)
        is_fitted = self.estimator is None and Y is not None
        # Waves, for example, are other functions in other units.
        is_placed = is_fitted and not has_no_place(self.library)
        # The numbers of classes have no size.
        values = Y if classes is None else None
        return UnitProblem.of(candidates, self.output, X, values, is_placed)


def _costs(problem, weight, finding):
    """Return what computes the cost of enforcing, None where there are no values."""
    if problem.Y is None:
        return None
    library = None if finding.samples is None else finding.samples.library
    return EnforcingCost.of_rows(
        problem.candidates,
        problem.output,
        problem.X,
        problem.Y,
        weight,
        library,
    )


def _candidates_on(candidates, X):
    """Return the candidates on the columns of X (n, d) as a Group, checked."""
    return resolve(aff if candidates is None else candidates, X, "candidates")


def _check_output(output, candidates, Y):
    """Raise unless the candidates move as many outputs as ``Y`` (n, q) has, if it is given."""
    B = represent(output, candidates)
    if Y is not None and B.shape[1] != Y.shape[1]:
        raise ValueError(f"`output` moves {B.shape[1]} outputs, but y has {Y.shape[1]}.")


def _in_reading_order(candidates, conclusion):
    """Return generators (k, r) sorted by name, and standard errors (k, r) where they are known."""
    generators, order = readable(candidates, conclusion.generators)
    errors = conclusion.errors
    # Errors belong to the generators counted; enforcing them may have brought others.
    if errors is not None and len(errors) == len(order):
        errors = errors[order]
    return generators, errors


def _name(problem, generators):
    """Return the name of the algebra of generators (k, r) up to isomorphism."""
    candidates = in_units_of(problem.X, problem.candidates)
    return candidates.combine(generators).isomorphism_class()


def _invariants(group, library, X, rtol):
    """Return the fitted features of a library that are invariant under a Group."""
    # Their library is placed anew, for the symmetry that is known now.
    names = {"center", "scale"}.intersection(library.get_params(deep=False))
    library = clone(library).set_params(**dict.fromkeys(names))
    if rtol is None:
        rtol = _RTOL
    features = InvariantFeatures(group, library=library, rtol=rtol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nothing but the constant: no features
        return features.fit(X)
