"""Which symmetries do data have: a function, a given model, a dynamical system, a point cloud?"""

import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym._estimator import adopt, checked_weights
from sksym._linalg import one_thread, reduced_echelon
from sksym.algebras import LieAlgebra, VectorFields, aff
from sksym.discover.degree import best_degree
from sksym.discover.invariants import InvariantFeatures
from sksym.discover.manifolds import tangent_evidence
from sksym.discover.models import is_given, model_evidence, model_values
from sksym.equivariant import on_features, place
from sksym.libraries import PolynomialLibrary, fitted_values, input_names
from sksym.representations import represent
from sksym.spectra import (
    Verdict,
    algebra_name,
    check_rule,
    exact_forms,
    fitted_evidence,
    fitted_symmetries,
    in_units_of,
    readable,
    verdict,
)


class SymmetryDiscoverer(TransformerMixin, BaseEstimator):
    """Symmetries of a function X -> y, of a model, of a dynamical system or of a data set.

    Looks for the generators xi of `candidates` with the least mean square of the Lie derivative
    ``L_xi F`` relative to that of the motion itself,

        ``min_xi  mean |L_xi F|^2 / s_y^2  /  mean (|A x + b|^2 / s_x^2 + |B F|^2 / s_y^2)``,

    s the spread of the columns. ``fit(X, y)`` takes samples of a function, ``fit(X)`` with a given
    model as `estimator` takes that model, and ``fit(X)`` alone a data set as a submanifold: there
    the normal components of the fields stand for ``L_xi F``. How many count as zero is decided by
    the errors of the fit, see `n_symmetries`. `transform` gives the library functions that are
    invariant under them.

    Parameters
    ----------
    candidates : LieAlgebra, VectorFields or callable, default=None
        Where to look; None: all affine motions ``aff(d)``. Fields beyond affine by
        ``vector_fields(library)``.
    library : library, default=None
        What F is fitted in. None: polynomials of one degree more than that of the least
        cross-validated error. With an `estimator`, and for a data set, it serves `transform` alone;
        None is then ``PolynomialLibrary(2)``.
    output : representation or array of shape (r, q, q), default=None
        How the outputs move; None: invariance. ``vector`` with y = x' for dynamical systems, with
        y = x_next - x for maps.
    estimator : regressor, callable or pair of callables, default=None
        Any regressor, cloned and fitted; or a model taken as it is: ``FrozenEstimator(model)``, a
        function ``X (n, d) -> (n,) or (n, q)``, or a pair of that and its Jacobian, (n, d) or
        (n, q, d). A model with a method ``jacobian`` is differentiated by it, others numerically.
    n_symmetries : "auto" or int, default="auto"
        "auto": for k = 1, 2, .. until a test rejects that the k smallest generators are zero
        (p <= 0.003), their echelon form is rounded to simple numbers within four standard
        errors and enforced; of those that keep the fit (F test, p > 0.001) the least BIC wins.
        Models and data sets are counted by their noise floor alone. A number: the k smallest,
        rounded where that is possible.
    snap : bool, default=True
        Make the generators exact: simple numbers or, where there are none (a tilted axis), the
        conjugate of an exact algebra that fits best. False: the raw null space, as many as lie
        within the noise floor.
    max_defect : float, default=0.1
        A symmetry is declared only where the noise floor is below this; otherwise it is undecided.
    rtol : float, default=None
        Relative tolerance of the null space of the invariants that `transform` gives; None: 1e-10.
    robust : bool or "auto", default="auto"
        For samples of a function: whether errors of unequal size are allowed for, by the HC3
        sandwich covariance, in a second pass over the data. "auto": where errors of equal size
        let nothing be found and there are five samples to a library function. It serves functions
        that the library does not quite hold, too.
    random_state : int, RandomState or None, default=None
        Folds that choose a degree or a method, and subsamples.

    Attributes
    ----------
    algebra_ : LieAlgebra or VectorFields
        The symmetries found, in reduced echelon form.
    algebra_name_ : str
        What they are up to isomorphism, ``so(3)``; of fields beyond affine only their number.
    n_symmetries_ : int
    singular_values_ : ndarray of shape (k,)
        Relative defects of all identifiable generators, ascending.
    noise_floor_ : float
        What the noise of the fit contributes to the defect of the generators declared.
    standard_errors_ : ndarray of shape (k, r), or None
        Of the echelon form before rounding.
    undecided_ : int
        Other generators compatible with zero, on evidence too weak to declare them.
    unidentified_ : LieAlgebra or VectorFields
        Candidates that vanish on the data, or whose effect on F the data do not determine.
    representation_ : ndarray of shape (k, q, q)
        B of `algebra_`.
    method_ : str
        What the evidence comes from: "library", "model", "patches" or "level set"; "none" where
        the data fill space.
    manifold_dimension_ : int
        Of a data set; `n_features_in_` for functions.
    model_ : estimator, callable or pair of callables, or None
        The model that was differentiated.
    library_ : fitted library
    coef_ : ndarray of shape (p,) or (q, p), or None
        The least-squares fit in the library.

    Notes
    -----
    The rule is one of least squares: it supposes independent noise, and a library that holds the
    function. Where the library does not fit, nothing is declared; `singular_values_` and
    ``snap=False`` still show it. Symmetries that every function of a library has do not count as
    found. Cost: one pass for a streamed R factor, O(n p^2), then O(r p^3) whatever n. Models are
    differentiated at up to 2,000 samples.

    For a data set tangent spaces come from quadratic patches through nearest neighbours, or from
    polynomials that vanish on the data, whichever leaves held-out points nearer; of more than
    50,000 points a random part is used.

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

    def fit(self, X, y=None, sample_weight=None):
        """Find the symmetries of X -> y, `X` (n, d), `y` (n,) or (n, q), or of `X` alone."""
        fresh = clone(self)
        fresh._fit(X, y, sample_weight)
        return adopt(self, fresh)

    def _fit(self, X, y, sample_weight):
        if y is None:
            X, Y = validate_data(self, X, dtype=np.float64), None
        else:
            X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=np.float64)
            Y = np.asarray(y, float).reshape(len(X), -1)
        weight = checked_weights(sample_weight, len(X))
        if np.count_nonzero(weight) < 2:
            raise ValueError("Symmetries cannot be seen in 1 sample: give more samples.")
        if not weight.all():
            kept = weight > 0
            X, weight, Y = X[kept], weight[kept], None if Y is None else Y[kept]
        candidates = _checked_candidates(self.candidates, X.shape[1])
        self._check_parameters(candidates)
        B = None if self.output is None else self._represented(candidates, Y)
        rng = check_random_state(self.random_state)
        found = self._route(Y)(candidates, B, X, Y, weight, rng)
        self._publish(candidates, B, X, found)
        if y is not None and y.ndim == 1 and found.coef is not None:
            self.coef_ = found.coef[0]

    def _check_parameters(self, candidates):
        check_rule("n_symmetries", self.n_symmetries, candidates.dim, self.max_defect)
        if not isinstance(self.robust, bool | np.bool_) and self.robust != "auto":
            raise ValueError(f"`robust` must be True, False or 'auto', got {self.robust!r}.")

    def _route(self, Y):
        if self.estimator is not None:
            if Y is None and not is_given(self.estimator):
                raise ValueError(
                    "requires y to be passed, but the target y is None: an `estimator` that is to "
                    "be fitted needs it. Wrap a fitted one in FrozenEstimator."
                )
            return self._of_model
        if Y is None and self.output is not None:
            raise ValueError(
                "requires y to be passed, but the target y is None: `output` says how outputs "
                "move, and a data set alone has none."
            )
        return self._of_data_set if Y is None else self._of_function

    def _represented(self, candidates, Y):
        if isinstance(candidates, VectorFields):
            raise ValueError(
                "`output` needs affine candidates, for fields beyond affine move outputs "
                "differently at every point: give a LieAlgebra, or leave `output` out."
            )
        B = represent(self.output, candidates)
        if Y is not None and B.shape[1] != Y.shape[1]:
            raise ValueError(f"`output` moves {B.shape[1]} outputs, but y has {Y.shape[1]}.")
        return B

    def _of_function(self, candidates, B, X, Y, weight, rng):
        """Samples of a function: a least-squares fit, and selection by enforcing."""
        if self.library is None:
            template = PolynomialLibrary(best_degree(X, Y, weight, rng))
        else:
            template = self.library
        library, _ = place(template, X)
        if (B is None or not Y.any()) and not np.ptp(Y, axis=0).any():
            warnings.warn(
                "y is constant, so every candidate is a symmetry.", UserWarning, stacklevel=4
            )
            evidence = fitted_evidence(library, candidates, B, X, Y, weight)
            return _Found("library", library, evidence, _everything(candidates), evidence.coef)
        rule = {"count": self.n_symmetries, "snap": self.snap, "max_defect": self.max_defect}
        evidence, found = fitted_symmetries(
            library, candidates, B, X, Y, weight, **rule, robust=self.robust
        )
        return _Found("library", library, evidence, found, evidence.coef)

    def _of_model(self, candidates, B, X, Y, weight, rng):
        """A model, differentiated at the samples."""
        model, evidence = model_evidence(self.estimator, candidates, B, X, Y, weight, rng)
        return self._counted("model", candidates, X, evidence, model=model)

    def _of_data_set(self, candidates, B, X, Y, weight, rng):
        """A submanifold through the samples."""
        m = tangent_evidence(candidates, X, weight, rng)
        evidence, dimension, method = m.evidence, m.dimension, m.method
        if dimension == X.shape[1]:
            warnings.warn(
                f"The data fill R^{dimension}, no submanifold of fewer dimensions is seen, so "
                "nothing is found. For the symmetries of a function pass y too.",
                UserWarning,
                stacklevel=4,
            )
        return self._counted(method, candidates, X, evidence, dimension=dimension)

    def _counted(self, method, candidates, X, evidence, **more):
        library, _ = place(PolynomialLibrary(2) if self.library is None else self.library, X)
        proposals = partial(exact_forms, in_units_of(X, candidates)) if self.snap else None
        with one_thread():
            found = verdict(evidence, self.n_symmetries, self.max_defect, proposals)
        return _Found(method, library, evidence, found, **more)

    def _publish(self, candidates, B, X, found):
        verdict, spectrum = found.verdict, found.evidence.spectrum
        generators, order = readable(candidates, verdict.generators)
        errors = verdict.errors
        if errors is not None and len(errors) == len(order):
            errors = errors[order]
        unidentified = candidates.combine(reduced_echelon(spectrum.unidentified()))
        unmoved = candidates.dim and np.trace(found.evidence.motion) <= 1e-24
        if unmoved and found.method != "none":
            warnings.warn(
                "No candidate moves the data, so nothing can be found: all are in `unidentified_`.",
                UserWarning,
                stacklevel=4,
            )
        self.algebra_ = candidates.combine(generators)
        self.algebra_name_ = f"{len(generators)} vector fields"
        if isinstance(candidates, LieAlgebra):
            self.algebra_name_ = algebra_name(in_units_of(X, candidates).combine(generators))
        self.n_symmetries_ = len(generators)
        self.singular_values_ = spectrum.singular_values
        self.noise_floor_, self.standard_errors_ = verdict.floor, errors
        self.undecided_, self.unidentified_ = verdict.undecided, unidentified
        q = 1 if found.coef is None else len(found.coef)
        B = np.zeros((candidates.dim, q, q)) if B is None else B
        self.representation_ = np.tensordot(generators, B, 1)
        self.library_, self.coef_, self.method_ = found.library, found.coef, found.method
        self.model_, self.manifold_dimension_ = found.model, found.dimension or X.shape[1]
        self._invariants_ = _invariants(self.algebra_, found.library, X, self.rtol)

    def transform(self, X):
        """Values of the library functions that are invariant under `algebra_`."""
        check_is_fitted(self)
        return self._invariants_.transform(self._checked(X))

    def predict(self, X):
        """The fit or the model itself, without any symmetry: shape (n,) or (n, q)."""
        check_is_fitted(self)
        X = self._checked(X)
        if self.model_ is not None:
            values = model_values(self.model_, X)
            return values[:, 0] if values.shape[1] == 1 else values
        if self.coef_ is None:
            raise ValueError("A data set has no values to predict: pass y to `fit` for those.")
        return fitted_values(self.library_, self.coef_, X)

    def get_feature_names_out(self, input_features=None):
        """The invariants as formulas."""
        check_is_fitted(self)
        return self._invariants_.get_feature_names_out(input_names(self, input_features))

    def _checked(self, X):
        return validate_data(self, X, dtype=np.float64, reset=False)


@dataclass(frozen=True, eq=False)
class _Found:
    """What one kind of data says."""

    method: str
    library: object
    evidence: object
    verdict: Verdict
    coef: np.ndarray | None = None
    model: object = None
    dimension: int | None = None


def _checked_candidates(candidates, d):
    if isinstance(candidates, VectorFields):
        if candidates.n_features != d:
            raise ValueError(
                f"The candidate fields act on R^{candidates.n_features}, but X has {d} features: "
                "make them from a library fitted to X."
            )
        return candidates
    return on_features(aff if candidates is None else candidates, None, d)[0]


def _everything(candidates):
    return Verdict(np.eye(candidates.dim), np.zeros((candidates.dim, candidates.dim)), 0.0, 0)


def _invariants(algebra, library, X, rtol):
    free = {name: None for name in ("center", "scale") if name in library.get_params(deep=False)}
    library = clone(library).set_params(**free)
    features = InvariantFeatures(algebra, library=library, rtol=1e-10 if rtol is None else rtol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nothing but the constant: no features
        return features.fit(X)
