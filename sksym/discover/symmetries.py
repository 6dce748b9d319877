"""Which symmetries does a function have that is known only through noisy samples?"""

import warnings
from math import comb
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import KFold
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym._linalg import merge_rows, one_thread, reduced_echelon
from sksym._sklearn import adopt
from sksym.algebras import aff
from sksym.discover.invariants import InvariantFeatures
from sksym.equivariant import equivariant_basis, on_features, place
from sksym.libraries import PolynomialLibrary, evaluate, input_names, row_blocks
from sksym.lie_derivative import LieDerivative
from sksym.representations import represent
from sksym.spectra import Evidence, select

_LARGEST_DEGREE = 6
_LARGEST_LIBRARY = 700
_ROWS_FOR_DEGREE = 20_000


class SymmetryDiscoverer(TransformerMixin, BaseEstimator):
    """Symmetries of a function X -> y, from samples of it.

    Fits ``F(x) = coef @ phi(x)`` by least squares and looks for the generators xi of
    `candidates` with the least mean square of the Lie derivative ``L_xi F`` relative to that of
    the motion itself,

        ``min_xi  mean |L_xi F|^2 / s_y^2  /  mean (|A x + b|^2 / s_x^2 + |B F|^2 / s_y^2)``,

    s the spread of the columns. How many count as zero is decided by the noise of the fit, see
    ``n_symmetries``. `transform` gives the library functions that are invariant under them.

    Parameters
    ----------
    candidates : LieAlgebra or callable, default=None
        Where to look; None: all affine motions ``aff(d)``.
    library : library, default=None
        What F is fitted in, closed under the candidates; None: polynomials of one degree more than
        that of the least cross-validated error.
    output : representation or array of shape (r, q, q), default=None
        How the outputs move; None: invariance. ``vector`` with y = x' for dynamical systems.
    n_symmetries : "auto" or int, default="auto"
        "auto": for k = 1, 2, .. until a test rejects that the k smallest generators are zero
        (p <= 0.003), their echelon form is rounded to simple numbers within four standard
        errors and enforced; of those that keep the fit (F test, p > 0.001) the least BIC wins.
        A number: the k smallest, rounded where that is possible.
    snap : bool, default=True
        Round and saturate. False: the raw null space, as many as lie within the noise floor.
    max_defect : float, default=0.1
        A symmetry is declared only where the noise floor is below this; otherwise it is undecided.
    random_state : int, RandomState or None, default=None
        Shuffles the folds that choose the degree.

    Attributes
    ----------
    algebra_ : LieAlgebra
        The symmetries found, in reduced echelon form.
    n_symmetries_ : int
    singular_values_ : ndarray of shape (r,)
        Relative defects of all identifiable generators, ascending.
    noise_floor_ : float
        What the noise of the fit contributes to the defect of the generators declared.
    standard_errors_ : ndarray of shape (k, r), or None
        Of the echelon form before rounding.
    undecided_ : int
        Generators compatible with zero on evidence too weak to declare them.
    unidentified_ : LieAlgebra
        Candidates that vanish on the data, or whose effect on F the data do not determine.
    representation_ : ndarray of shape (k, q, q)
        B of `algebra_`.
    library_ : fitted library
    coef_ : ndarray of shape (p,) or (q, p)
        The least-squares fit.

    Notes
    -----
    The rule is one of least squares: it supposes independent noise of equal size, and a library
    that holds the function. Where the library does not fit, or a true symmetry is no combination of
    the candidates with simple coefficients (a tilted axis), nothing is declared; `singular_values_`
    and ``snap=False`` still show it. Symmetries that every function of a library has do not count
    as found. Cost: one pass for a streamed R factor, O(n p^2), then O(r p^3) whatever n.

    References
    ----------
    Otto, Zolman, Kutz, Brunton (2025), JMLR 26(248), theorem 4.

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
        n_symmetries="auto",
        snap=True,
        max_defect=0.1,
        random_state=None,
    ):
        self.candidates = candidates
        self.library = library
        self.output = output
        self.n_symmetries = n_symmetries
        self.snap = snap
        self.max_defect = max_defect
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X, y):
        """Find the symmetries of X -> y, `X` (n, d), `y` (n,) or (n, q)."""
        fresh = clone(self)
        fresh._fit(X, y)
        return adopt(self, fresh)

    def _fit(self, X, y):
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=np.float64)
        Y = np.asarray(y, float).reshape(len(X), -1)
        if len(X) < 2:
            raise ValueError("A function cannot be fitted to 1 sample: give more samples.")
        candidates, _ = on_features(
            aff if self.candidates is None else self.candidates, None, X.shape[1]
        )
        _check_count(self.n_symmetries, candidates.dim)
        if not np.ptp(Y, axis=0).any():
            raise ValueError(
                "y is constant, so every candidate is a symmetry: there is nothing to discover."
            )
        B = None if self.output is None else represent(self.output, candidates)
        if B is not None and B.shape[1] != Y.shape[1]:
            raise ValueError(f"`output` moves {B.shape[1]} outputs, but y has {Y.shape[1]}.")
        library = self._fitted_library(X, Y, candidates)
        evidence = _evidence(library, candidates, B, X, Y)
        verdict = self._decide(evidence, library, candidates, B)
        signs = [
            -1 if name[0] == "-" else 1 for name in candidates.combine(verdict.generators).names
        ]
        generators = np.reshape(signs, (-1, 1)) * verdict.generators
        self.library_, self.algebra_ = library, candidates.combine(generators)
        self.n_symmetries_ = len(generators)
        self.coef_ = evidence.coef[0] if y.ndim == 1 else evidence.coef
        self.singular_values_ = evidence.singular_values
        self.noise_floor_, self.standard_errors_ = verdict.floor, verdict.errors
        self.undecided_ = verdict.undecided
        self.unidentified_ = candidates.combine(reduced_echelon(evidence.unidentified()))
        q = Y.shape[1]
        B = np.zeros((candidates.dim, q, q)) if B is None else B
        self.representation_ = np.tensordot(generators, B, 1)
        self._invariants_ = _invariants(self.algebra_, library, X)

    def transform(self, X):
        """Values of the library functions that are invariant under `algebra_`."""
        check_is_fitted(self)
        return self._invariants_.transform(self._checked(X))

    def predict(self, X):
        """The least-squares fit itself, without any symmetry: shape (n,) or (n, q)."""
        check_is_fitted(self)
        values = evaluate(self.library_, np.atleast_2d(self.coef_), self._checked(X))
        return values[:, 0] if self.coef_.ndim == 1 else values

    def get_feature_names_out(self, input_features=None):
        """The invariants as formulas."""
        check_is_fitted(self)
        return self._invariants_.get_feature_names_out(input_names(self, input_features))

    def _checked(self, X):
        return validate_data(self, X, dtype=np.float64, reset=False)

    def _fitted_library(self, X, Y, candidates):
        """The library given, or polynomials of a degree that the data choose."""
        if self.library is None:
            rng = check_random_state(self.random_state)
            chosen = rng.permutation(len(X))[:_ROWS_FOR_DEGREE]
            template = PolynomialLibrary(_best_degree(X[chosen], Y[chosen]))
        else:
            template = self.library
        library, _ = place(template, X)
        if not hasattr(library, "lie_matrices"):
            raise ValueError(
                f"SymmetryDiscoverer needs a library closed under the candidates, got {library!r}."
            )
        library.lie_matrices(candidates.combine(np.zeros((0, candidates.dim))))
        return library

    def _decide(self, evidence, library, candidates, B):
        def enforced(C):
            algebra = candidates.combine(C)
            output = None if B is None else np.tensordot(C, B, 1)
            basis = equivariant_basis(library, algebra, output=output)
            if B is None:
                basis = sparse.kron(sparse.eye_array(evidence.n_outputs), basis)
            basis = basis.toarray()
            varying = basis.reshape(len(basis), -1, library.n_output_features_)[:, :, 1:]
            return basis if varying.any() else None

        with one_thread():
            if self.n_symmetries == "auto" and self.snap:
                return select(evidence, enforced, self.max_defect)
            return evidence.verdict(self.n_symmetries, self.snap, self.max_defect)


def _check_count(n_symmetries, largest):
    if isinstance(n_symmetries, str) and n_symmetries == "auto":
        return
    if not isinstance(n_symmetries, Integral) or not 0 <= n_symmetries <= largest:
        raise ValueError(
            f"`n_symmetries` must be 'auto' or an integer in 0..{largest}, got {n_symmetries!r}."
        )


def _factor(library, X, Y):
    """R factor of ``[Phi, Y]``, streamed."""
    factor = None
    with one_thread():
        for rows in row_blocks(len(X), library.n_output_features_):
            factor = merge_rows(factor, np.hstack([library.transform(X[rows]), Y[rows]]))
    return factor


def _best_degree(X, Y, n_folds=5):
    """One more than the degree of the polynomials with the least cross-validated error.

    Every quadratic form has symmetries; that a function is quadratic takes cubic terms to see.
    """
    (n, d), errors = X.shape, []

    def affordable(degree, share):
        return degree == 1 or comb(d + degree, degree) <= min(share * n, _LARGEST_LIBRARY)

    for degree in range(1, _LARGEST_DEGREE + 1):
        if not affordable(degree, 0.4):
            break
        library = PolynomialLibrary(degree).fit(X)
        folds = [_factor(library, X[test], Y[test]) for _, test in KFold(min(n_folds, n)).split(X)]
        p, error = library.n_output_features_, 0.0
        for k, held_out in enumerate(folds):
            R = merge_rows(None, np.concatenate(folds[:k] + folds[k + 1 :]))
            w = np.linalg.lstsq(R[:, :p], R[:, p:], rcond=1e-11)[0]
            error += np.sum((held_out[:, :p] @ w - held_out[:, p:]) ** 2)
        errors.append(error)
    best = 1 + int(np.argmin(errors))
    return best + affordable(best + 1, 0.6)


def _evidence(library, candidates, B, X, Y):
    """The fit and the candidates in tests that are orthonormal on the data."""
    n, q, p, r = len(X), Y.shape[1], library.n_output_features_, candidates.dim
    factor = _factor(library, X, Y)
    E = sparse.csr_array(factor[:p, :p].T / np.sqrt(n))
    D = sparse.csr_array(library.lie_matrices(candidates) @ sparse.kron(sparse.eye_array(r), E))
    L = LieDerivative(D, E, B, np.eye(r))
    # Mean squares of affine fields from the second moments of (1, x).
    R = merge_rows(None, np.hstack([np.ones((n, 1)), X])) / np.sqrt(n)
    fields = np.concatenate([candidates.offset[:, :, None], candidates.linear], axis=2) @ R.T
    fields = fields.reshape(r, -1) / np.sqrt(np.mean(np.var(X, axis=0)) or 1.0)
    spread = np.sqrt(np.mean(np.var(Y, axis=0)))
    motion = fields @ fields.T
    if B is not None:
        outputs = (B @ (factor[:p, p:].T / np.sqrt(n))).reshape(r, -1) / spread
        motion = motion + outputs @ outputs.T
    return Evidence(L, factor, float(n), q, motion, spread)


def _invariants(algebra, library, X):
    features = InvariantFeatures(
        algebra, library=clone(library).set_params(center=None, scale=None)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nothing but the constant: no features
        return features.fit(X)
