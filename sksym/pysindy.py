"""Symmetry inside pysindy: an optimizer for ``pysindy.SINDy``."""

from numbers import Integral, Real

import numpy as np
import pysindy as ps
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone

from sksym._estimator import adopt, check_number, checked_weights
from sksym.libraries import NotClosedError, PolynomialLibrary, from_pysindy, library_values
from sksym.promote.dynamical import acting, field_problem, identified
from sksym.promote.fitting import Samples
from sksym.promote.rounds import Options

__all__ = ["SymmetryOptimizer"]

_ROWS = 1000  # of Theta that are compared with the library
_SAME = 1e-8  # difference relative to the largest entry of a column that is round-off


class SymmetryOptimizer(ps.BaseOptimizer):
    """Sparse regression with symmetry, as the optimizer of ``pysindy.SINDy``.

    Three steps, those of `SymmetryPromotingSINDy`, on the rows ``Theta, x_dot`` that pysindy makes:

    1. F is sought among the vector fields with the symmetry `algebra` (exactly equivariant,
       constants too);
    2. of the `candidates` those are kept that the data do not contradict, and enforced too:
       minimise ``1/(2n) |X' - Theta coef^T|^2 + ridge/2 |coef|^2 + alpha |S(coef)|_*``,
       reweight, decide, refit;
    3. in a basis of the space that is left, as sparse as can be found, coefficients are made
       zero: by an l1 penalty, ``minimise |R w - y|^2 / (2n) + l1 |w|_1``, then by least squares
       and dropping those below `threshold`, until none is. Functions with the symmetry come and
       go as a whole, so the result has it exactly.

    Parameters
    ----------
    algebra : LieAlgebra or callable, default=None
        The symmetry to enforce, acting on the states; or on states and controls, in this order.
    candidates : LieAlgebra or callable, default=None
        What may be a symmetry; None: nothing is promoted.
    library : pysindy feature library or sksym library, default=None
        What the columns of Theta are: the same as the ``feature_library`` of ``pysindy.SINDy``,
        which does not tell its optimizer. It must contain the coordinates themselves, from which
        the states are read off. A `PolynomialLibrary` of sksym stands for plain monomials. None:
        ``pysindy.PolynomialLibrary(2)``, the default of ``pysindy.SINDy``.
    alpha : float, default=0.01
        Strength of the promotion.
    threshold : float, default=0.1
        Smallest coefficient that stays, in units of the equations.
    l1 : float, default=0.0
        Weight of the l1 penalty.
    ridge : float, default=0.0
        Penalty of the squares of the coefficients.
    discrete_time : bool, default=False
        For ``pysindy.DiscreteSINDy``: fit the map x_next = F(x) through its increments F(x) - x,
        which are equivariant when F is.
    normalize_columns : bool, default=False
        Changes nothing: a symmetry, and all parameters, refer to the functions themselves.
    unbias : bool, default=False
        Must stay False. Refitting target by target undoes what ties the targets together; what
        survives the threshold is refitted here, in the symmetric functions.
    adaptive : bool, default=True
    max_iter : int, default=10000
    tol : float, default=1e-6
        As in `SymmetryPromotingRegressor`.

    Attributes
    ----------
    coef_ : ndarray of shape (n_states, p)
        ``F(x) = coef @ theta(x)``, in the units of Theta.
    algebra_ : LieAlgebra
        The symmetries of the fitted system: those enforced and those kept.
    n_symmetries_ : int
    singular_values_ : ndarray
        Of the symmetry matrix of the candidates before step 3, ascending.
    dual_gap_ : float
        In units of the objective of the convex problem.
    n_free_ : int
        Free coefficients before step 3.
    states_, controls_ : ndarray of int
        Inputs of the library that are states, and those that are controls.
    coordinates_ : ndarray of int
        Columns of Theta that hold these inputs.
    library_ : fitted library
        In which the problem was solved: monomials about the fixed point of the symmetry where
        the library is polynomial.
    Theta_, ind_, history_, intercept_
        As in all optimizers of pysindy; Theta_ is neither weighted nor normalised.

    Notes
    -----
    Rows count as independent when it is decided on symmetries, for the optimizer is not told
    where trajectories begin: with derivatives of noisy data `SymmetryPromotingSINDy` knows more,
    and ``pysindy.SmoothedFiniteDifference`` serves better than pysindy's default.

    In ``pysindy.EnsembleOptimizer`` bagging works, ``library_ensemble`` cannot: without all
    columns of Theta hardly any function is symmetric. A mean of models with a symmetry has it:
    ``ensemble_aggregator=lambda models: np.mean(models, axis=0)``. The median that is pysindy's
    default is taken entry by entry and has it only where no two of the symmetric functions share
    a monomial.

    For a plain ``pysindy.PolynomialLibrary`` Lie derivatives are exact; for others they are
    sampled, as `from_pysindy` says. With an algebra that moves the origin, sparsity is that of the
    polynomials about its fixed point, if the library has all monomials.

    ``pysindy.SINDy`` fits the optimizer that it is given, not a copy.

    References
    ----------
    Brunton, Proctor, Kutz (2016), PNAS 113(15). Otto, Zolman, Kutz, Brunton (2025), JMLR 26(248).

    Examples
    --------
    >>> import numpy as np
    >>> import pysindy as ps
    >>> from sksym import so
    >>> from sksym.pysindy import SymmetryOptimizer
    >>> t = np.linspace(0, 10, 500)
    >>> X = np.exp(-0.1 * t)[:, None] * np.column_stack([np.cos(t), np.sin(t)])
    >>> library = ps.PolynomialLibrary(3)
    >>> optimizer = SymmetryOptimizer(so, library=library, threshold=0.05)
    >>> model = ps.SINDy(optimizer=optimizer, feature_library=library).fit(X, t=t)
    >>> model.print()
    (x0)' = -0.100 x0 + -1.000 x1
    (x1)' = 1.000 x0 + -0.100 x1
    """

    def __init__(
        self,
        algebra=None,
        *,
        candidates=None,
        library=None,
        alpha=0.01,
        threshold=0.1,
        l1=0.0,
        ridge=0.0,
        discrete_time=False,
        normalize_columns=False,
        unbias=False,
        adaptive=True,
        max_iter=10_000,
        tol=1e-6,
    ):
        super().__init__()  # what pysindy's ensembles read: initial_guess, copy_X
        self.algebra = algebra
        self.candidates = candidates
        self.library = library
        self.alpha = alpha
        self.threshold = threshold
        self.l1 = l1
        self.ridge = ridge
        self.discrete_time = discrete_time
        self.normalize_columns = normalize_columns
        self.unbias = unbias
        self.adaptive = adaptive
        self.max_iter = max_iter
        self.tol = tol

    def set_params(self, **params):
        """Set parameters; returns self, as scikit-learn's estimators do."""
        super().set_params(**params)  # pysindy's returns None
        return self

    def fit(self, x_, y, sample_weight=None):
        """Fit to library values and derivatives, as ``pysindy.SINDy.fit`` does.

        Parameters
        ----------
        x_ : array-like of shape (n, p)
            Theta, the values of the library.
        y : array-like of shape (n, n_states)
            Derivatives of the states; in discrete time the next states.
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        self
        """
        if self.unbias:
            raise ValueError(
                "unbias=True refits every target by itself, which breaks the symmetry that ties "
                "them together: leave it False. What survives the threshold is refitted among the "
                "symmetric functions."
            )
        Theta, Y = np.asarray(x_, dtype=float), np.asarray(y, dtype=float)
        if Theta.ndim != 2 or Y.ndim not in (1, 2) or len(Theta) != len(Y):
            raise ValueError(
                f"Theta must have shape (n, p) and x_dot (n, n_states), got {Theta.shape} and "
                f"{Y.shape}."
            )
        weight = checked_weights(sample_weight, len(Theta))
        # Derivatives are missing at the ends of trajectories; the base class drops those rows.
        known = ~(np.isnan(Theta).all(axis=1) | np.isnan(Y.reshape(len(Y), -1)).all(axis=1))
        fresh = type(self)(**self.get_params(deep=False))
        fresh.normalize_columns = False
        fresh.initial_guess = np.zeros((Y[:1].size, Theta.shape[1]))  # else by least squares
        super(SymmetryOptimizer, fresh).fit(Theta[known], Y[known], weight=weight[known])
        return adopt(self, fresh)

    def _reduce(self, x, y, weight=None):
        options, Theta = self._options(), self.Theta_
        described, self.coordinates_ = _described(self.library, Theta, y.shape[1])
        X, (n, q) = Theta[:, self.coordinates_], y.shape
        self.states_, self.controls_ = np.arange(q), np.arange(q, X.shape[1])
        algebra, candidates = (
            acting(one, self.states_, X.shape[1]) for one in (self.algebra, self.candidates)
        )
        fixed = all(one is None or not one.offset.any() for one in (algebra, candidates))
        template = _template(described, X.shape[1], fixed)
        problem = field_problem(algebra, candidates, template, X, self.states_)
        root = np.sqrt(checked_weights(weight, n))
        samples = Samples(problem, X, y - X[:, :q] if self.discrete_time else y, root)
        vars(self).update(identified(samples, self, options))
        if hasattr(self.library_, "monomial_coef"):
            self.coef_ = self.library_.monomial_coef(self.coef_)
        if self.discrete_time:
            self.coef_[self.states_, self.coordinates_[:q]] += 1
        self.history_ = [self.coef_]

    def _options(self):
        for name in ("alpha", "threshold", "l1", "ridge"):
            check_number(getattr(self, name), name)
        if not isinstance(self.max_iter, Integral) or self.max_iter < 1:
            raise ValueError(f"`max_iter` must be an integer >= 1, got {self.max_iter!r}.")
        if not isinstance(self.tol, Real) or not 0 < self.tol < 1:
            raise ValueError(f"`tol` must lie between 0 and 1, got {self.tol!r}.")
        return Options(bool(self.adaptive), "auto", float(self.tol), int(self.max_iter))


def _described(library, Theta, q):
    """The library whose values Theta (n, p) holds, fitted, and the columns that are its inputs."""
    template, p = _as_ours(library), Theta.shape[1]
    name = type(getattr(getattr(template, "transformer", None), "library", template)).__name__
    sizes, reason = [], None
    for d in range(q, p + 1):  # states, then controls
        points = np.random.default_rng(0).uniform(0.5, 1.5, size=(20, d))
        try:
            fitted = clone(template).fit(points)
            values = library_values(fitted, points)
        except (ValueError, IndexError, TypeError) as error:  # made for other inputs
            reason = reason or error
            continue
        sizes.append(f"{values.shape[1]} for {d} inputs")
        if values.shape[1] >= p:
            break
    if not sizes or values.shape[1] != p:
        raise ValueError(
            f"Theta has {p} columns, but `library` ({name}) has {', '.join(sizes) or reason}: give "
            "the optimizer the feature_library of the model, SymmetryOptimizer(library=...). "
            "Ensembles that leave out columns (library_ensemble=True) cannot be symmetric: use "
            "bagging=True."
        )
    same = np.abs(values[:, None] - points[:, :, None]).max(axis=0) <= 1e-12
    if not same.any(axis=1).all():
        missing = ", ".join(f"x{i}" for i in np.flatnonzero(~same.any(axis=1)))
        raise ValueError(
            f"`library` ({name}) has no column that is {missing} itself, but the states can only "
            "be read off Theta: use a library that contains the coordinates, "
            "ps.IdentityLibrary() + library for example, in the model and in the optimizer."
        )
    coordinates = same.argmax(axis=1)
    _check_values(fitted, Theta, coordinates, name)
    return fitted, coordinates


def _as_ours(library):
    """What the columns of Theta are, as a library of sksym."""
    if library is None:
        library = ps.PolynomialLibrary(2)
    if isinstance(library, PolynomialLibrary):
        if library.center is not None or library.scale is not None:
            raise ValueError(
                "The columns of Theta are plain monomials, but `library` has a `center` or "
                "`scale`: leave them None, the optimizer chooses them."
            )
        library = ps.PolynomialLibrary(library.degree)
    if isinstance(library, ps.PDELibrary | ps.WeakPDELibrary):
        raise TypeError(
            f"The columns of a {type(library).__name__} are not functions of the state alone, on "
            "which the symmetry acts: use another library, or WeakSymmetryPromotingSINDy."
        )
    if hasattr(library, "get_feature_names"):
        return from_pysindy(library)
    if not all(hasattr(library, name) for name in ("fit", "transform", "jacobian")):
        raise TypeError(
            f"`library` must be a feature library of pysindy or a library of sksym, got "
            f"{library!r}: give the feature_library of the model."
        )
    return library


def _check_values(library, Theta, coordinates, name):
    """Raise unless Theta holds what the library says."""
    some = Theta[np.unique(np.linspace(0, len(Theta) - 1, _ROWS).astype(int))]
    fresh = clone(library).fit(Theta[:, coordinates])  # its functions may depend on the data
    values = library_values(fresh, some[:, coordinates])
    off = np.abs(values - some).max(axis=0) > _SAME * np.abs(values).max(axis=0)
    if off.any():
        names = fresh.get_feature_names_out()[off]
        raise ValueError(
            f"Theta is not what `library` ({name}) says for {len(coordinates)} inputs: "
            f"{len(names)} of its columns differ, {names[0]} first. Give the optimizer the "
            "feature_library of the model, SymmetryOptimizer(library=...), and Theta neither "
            "scaled nor short of columns (library_ensemble=True leaves some out: use bagging=True)."
        )


def _template(described, d, fixed):
    """The library to fit in: polynomials by their exponents, so that symmetry is exact."""
    given = getattr(getattr(described, "transformer", None), "library", None)
    if type(given) is not ps.PolynomialLibrary:
        return described
    full = PolynomialLibrary(given.degree).fit(np.zeros((1, d)))
    place = {tuple(row): k for k, row in enumerate(full.monomials_.exponents)}
    kept = tuple(place[tuple(row)] for row in described.transformer_.powers_)
    if kept == tuple(range(len(place))):
        # Equations are sparse in the coordinates that the data come in.
        return PolynomialLibrary(given.degree, center=0.0 if fixed else None)
    return SomeMonomials(given.degree, kept)


class SomeMonomials(TransformerMixin, BaseEstimator):
    """Some of the monomials of a `PolynomialLibrary` about the origin, in any order.

    Parameters
    ----------
    degree : int
    kept : tuple of int
        Indices of the monomials.
    center, scale
        As in `PolynomialLibrary`.
    """

    extremes = staticmethod(PolynomialLibrary.extremes)

    def __init__(self, degree, kept, center=0.0, scale=None):
        self.degree = degree
        self.kept = kept
        self.center = center
        self.scale = scale

    def fit(self, X, y=None):
        """Set the scale from the range of `X` (n, d)."""
        self.all_ = PolynomialLibrary(self.degree, self.center, self.scale).fit(X)
        self.kept_, p = np.asarray(self.kept), self.all_.n_output_features_
        self.chosen_ = sparse.eye_array(p, format="csr")[self.kept_]
        self.n_features_in_, self.n_output_features_ = self.all_.n_features_in_, len(self.kept_)
        self.center_, self.scale_ = self.all_.center_, self.all_.scale_
        self.domain_ = self.all_.domain_
        return self

    def transform(self, X):
        """Library values, shape (n, p)."""
        return self.all_.evaluate(self.chosen_, X)

    def jacobian(self, X):
        """Derivatives by the coordinates of x, shape (n, p, d)."""
        return self.all_.jacobian(X)[:, self.kept_]

    def get_feature_names_out(self, input_features=None):
        """Names of the monomials."""
        return self.all_.get_feature_names_out(input_features)[self.kept_]

    def monomial_coef(self, coef):
        """Coefficients of the plain monomials of the same functions."""
        return self.all_.monomial_coef(np.asarray(coef) @ self.chosen_)[:, self.kept_]

    def orthonormal_coordinates(self):
        """``T`` (p, m) with ``phi = T psi``, psi orthonormal on `domain_`: Legendre products."""
        return self.chosen_ @ sparse.csr_array(self.all_.orthonormal_coordinates())

    def lie_matrices(self, algebra):
        """As `PolynomialLibrary` has them, where these monomials are closed by themselves."""
        p = self.all_.n_output_features_
        D = sparse.csr_array(self.chosen_ @ self.all_.lie_matrices(algebra))
        D.eliminate_zeros()
        inside = D[:, np.add.outer(np.arange(algebra.dim) * p, self.kept_).ravel()]
        if inside.nnz < D.nnz:
            raise NotClosedError("The algebra leads out of these monomials: sample instead.")
        return inside
