"""Symmetry inside pysindy: an optimizer for ``pysindy.SINDy``."""

from copy import deepcopy

import numpy as np
import pysindy as ps
from scipy import sparse
from sklearn.base import clone

from sksym._estimator import checked_weights, on_copy, validate_data
from sksym.dynamics.vector_field import FieldRows, fit_vector_field, solver_options
from sksym.libraries import (
    Library,
    NotClosedError,
    PolynomialLibrary,
    as_library,
    from_pysindy,
    library_values,
)

__all__ = ["SymmetryOptimizer"]

_ROWS = 1000  # of Theta that are compared with the library
_SAME = 1e-8  # difference relative to the largest entry of a column that is round-off
_COORDINATE = 1e-12  # difference between a function and a coordinate that is round-off


class SymmetryOptimizer(ps.BaseOptimizer):
    """Sparse regression with symmetry, as the optimizer of ``pysindy.SINDy``.

    ``x' = coef theta(x)`` is found from the rows ``Theta, x_dot`` that pysindy makes, in the three
    steps of `SymmetryPromotingSINDy`:

    1. The system is sought among the vector fields that are exactly equivariant under `symmetry`,
       constants included.
    2. The `candidates` that the data do not contradict are kept and enforced as well: minimise
       ``1/(2n) |X' - Theta coef^T|^2 + ridge/2 |coef|^2 + alpha |S(coef)|_*``, reweight, decide,
       and refit.
    3. In a sparse basis of the remaining space, coefficients are set to zero: by an l1 penalty,
       ``minimise |R w - y|^2 / (2n) + l1 |w|_1``, then by least squares without those below
       `threshold`, repeated until all are above it. Both are in units in which every function and
       every derivative has a mean square of one on the data. Symmetric functions are kept or
       dropped as a whole, so that the result has the symmetry exactly.

    Parameters
    ----------
    candidates : LieAlgebra, FiniteGroup, Group or callable, default=None
        What may be a symmetry and is promoted; None: nothing is promoted. It acts on the states,
        or on states and controls in this order; a callable such as ``so`` is called with the
        number of states.
    symmetry : LieAlgebra, FiniteGroup, Group or callable, default=None
        The symmetry to enforce.
    library : pysindy feature library or sksym library, default=None
        What the columns of Theta are: the same as the ``feature_library`` of ``pysindy.SINDy``,
        which its optimizer does not see. It must contain the coordinates themselves, from which
        the states are read. A `PolynomialLibrary` of sksym means plain monomials. None:
        ``pysindy.PolynomialLibrary(2)``, the default of ``pysindy.SINDy``.
    alpha : float, default=0.01
        Strength of the promotion.
    threshold : float, default=0.05
        Smallest share of a derivative that a term has and is kept: the root mean square of the
        term relative to that of the derivative, the same in all units.
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
        Must be False. Refitting every target separately would break the symmetry that ties them
        together; what survives the threshold is refitted among the symmetric functions anyway.
    adaptive : bool, default=True
        Whether to reweight the nuclear norm, as `SymmetryPromotingRegressor` does.
    max_iter : int, default=10000
        Iterations of each convex problem.
    tol : float, default=1e-6
        Duality gap at which to stop, relative to the objective above least squares.

    Attributes
    ----------
    coef_ : ndarray of shape (n_states, p)
        ``F(x) = coef @ theta(x)``, in the units of Theta.
    algebra_ : LieAlgebra
        The symmetries of the fitted system: those enforced and the candidates that hold.
    n_symmetries_ : int
    singular_values_ : ndarray
        Singular values of the symmetry matrix of the candidates before step 3, descending.
    dual_gap_ : float
        Duality gap of the last convex problem before the refit, in units of its objective.
    n_iter_ : int
        Iterations of all convex problems before the refit, at least 1.
    n_free_ : int
        Free coefficients before step 3.
    vanishing_ : list of str
        Functions of the library that are zero on the data, to their accuracy: conserved quantities
        of these trajectories, for example. Equations that differ by multiples of them fit alike;
        those with the fewest terms are chosen.
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
    All rows count as independent in the decision on symmetries, because an optimizer does not see
    where trajectories begin. With derivatives of noisy data, `SymmetryPromotingSINDy` uses that
    knowledge, and ``pysindy.SmoothedFiniteDifference`` serves better than pysindy's default.

    In ``pysindy.EnsembleOptimizer`` bagging works, ``library_ensemble`` cannot: without all
    columns of Theta hardly any function is symmetric. A mean of models with a symmetry has it:
    ``ensemble_aggregator=lambda models: np.mean(models, axis=0)``. The median, pysindy's default,
    is taken entry by entry and has it only where no two symmetric functions share a monomial.

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
    >>> optimizer = SymmetryOptimizer(symmetry=so, library=library, threshold=0.05)
    >>> model = ps.SINDy(optimizer=optimizer, feature_library=library).fit(X, t=t)
    >>> model.print()
    (x0)' = -0.100 x0 + -1.000 x1
    (x1)' = 1.000 x0 + -0.100 x1
    """

    # What pysindy reads of an optimizer besides its parameters.
    initial_guess = None
    copy_X = True  # noqa: N815 - the name is pysindy's
    positive = False

    def __init__(
        self,
        candidates=None,
        *,
        symmetry=None,
        library=None,
        alpha=0.01,
        threshold=0.05,
        l1=0.0,
        ridge=0.0,
        discrete_time=False,
        normalize_columns=False,
        unbias=False,
        adaptive=True,
        max_iter=10_000,
        tol=1e-6,
    ):
        self.candidates = candidates
        self.symmetry = symmetry
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    def set_params(self, **params):
        """Set parameters; returns self, as scikit-learn's estimators do."""
        super().set_params(**params)  # pysindy's returns None
        return self

    @on_copy
    def fit(self, x_, y, sample_weight=None):
        """Fit to library values and derivatives, as ``pysindy.SINDy.fit`` does.

        Parameters
        ----------
        x_ : array-like of shape (n, p)
            Theta, the values of the library. Rows without a single number are left out.
        y : array-like of shape (n, n_states)
            Derivatives of the states; in discrete time the next states. Rows without a single
            number are left out.
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        self
        """
        options = solver_options(self)
        if self.unbias:
            raise ValueError(
                "unbias=True refits every target by itself, which breaks the symmetry that ties "
                "them together: leave it False. What survives the threshold is refitted among the "
                "symmetric functions."
            )
        _check_shapes(x_, y)
        with_gaps = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}
        Theta, Y = validate_data(
            self, x_, y, validate_separately=(with_gaps, {**with_gaps, "ensure_2d": False})
        )
        weight = checked_weights(sample_weight, len(Theta))
        # Derivatives are missing at the ends of trajectories; the base class drops those rows.
        missing = np.isnan(Theta).all(axis=1) | np.isnan(Y.reshape(len(Y), -1)).all(axis=1)
        weight = weight[~missing]
        if not weight.any():
            raise ValueError("No row of positive weight has values and derivatives: give some.")
        # This is the copy: the parameters that the user gave are not touched.
        self.normalize_columns = False
        self.initial_guess = np.zeros((Y[:1].size, Theta.shape[1]))  # else by least squares
        super().fit(Theta[~missing], Y[~missing], options=options, weight=weight)

    def _reduce(self, x, y, options, weight):
        """Set the fitted attributes; the base class has set `Theta_` and made y (n, n_states)."""
        q = y.shape[1]
        described, self.coordinates_ = _described(self.library, self.Theta_, q)
        X = self.Theta_[:, self.coordinates_]
        self.states_ = np.arange(q)
        self.controls_ = np.arange(q, X.shape[1])
        if self.discrete_time:
            y = y - X[:, :q]
        fit_vector_field(self, _template(described), FieldRows(X, y, weight), options)
        self.coef_ = self.library_.monomial_coef(self.coef_)
        if self.discrete_time:
            self.coef_[self.states_, self.coordinates_[:q]] += 1
        self.history_ = [self.coef_]


def _check_shapes(Theta, Y):
    """Raise unless there are rows of library values and as many of derivatives."""
    if Y is None:  # scikit-learn has an error for that
        return
    shape = _shape(Theta)
    target = _shape(Y)
    if len(shape) != 2 or len(target) not in (1, 2) or shape[0] != target[0]:
        raise ValueError(
            f"Theta must have shape (n, p) and x_dot (n, n_states), got {shape} and {target}."
        )


def _shape(values):
    """Return the shape of an array, a data frame, a sparse matrix, or what becomes an array."""
    if hasattr(values, "shape"):
        return values.shape
    return np.asarray(values).shape


# ----------------------------------------------------------------- what the columns of Theta are


def _described(library, Theta, q):
    """Return the fitted library whose values Theta holds, and its columns that are the inputs.

    Parameters
    ----------
    library : library of pysindy or sksym, or None
    Theta : ndarray of shape (n, p)
    q : int
        Number of states.

    Returns
    -------
    fitted : library of sksym
    coordinates : ndarray of int
        Column of Theta that holds each input, states first.
    """
    template = _as_ours(library)
    name = _name_of(template)
    points = _random_points(_number_of_inputs(template, name, q, Theta.shape[1]))
    fitted = clone(template).fit(points)
    values = library_values(fitted, points)
    difference = np.abs(values[:, None] - points[:, :, None]).max(axis=0)
    same = difference <= _COORDINATE
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


def _name_of(template):
    """Return the name of the library that the user gave, which may be wrapped."""
    given = _pysindy_library(template)
    return type(template if given is None else given).__name__


def _pysindy_library(template):
    """Return the pysindy library inside an adapter, or None."""
    return getattr(getattr(template, "transformer", None), "library", None)


def _random_points(d):
    """Return points (20, d) at which no two functions agree by accident."""
    return np.random.default_rng(0).uniform(0.5, 1.5, size=(20, d))


def _number_of_inputs(template, name, q, p):
    """Return for how many inputs, states and controls, a library has p functions.

    Parameters
    ----------
    template : library
    name : str
        What errors call it.
    q : int
        Number of states.
    p : int
        Number of columns of Theta.
    """
    # Without the adapter, which would look for the best way to differentiate every time.
    given = _pysindy_library(template)
    sizes = []
    reason = None
    for d in range(q, p + 1):
        points = _random_points(d)
        fresh = clone(template) if given is None else deepcopy(given)
        try:
            n_functions = library_values(fresh.fit(points), points).shape[1]
        except (ValueError, IndexError, TypeError) as error:  # made for other inputs
            reason = reason or error
            continue
        if n_functions == p:
            return d
        sizes.append(f"{n_functions} for {d} inputs")
        if n_functions > p:
            break
    raise ValueError(
        f"Theta has {p} columns, but `library` ({name}) has {', '.join(sizes) or reason}: give "
        "the optimizer the feature_library of the model, SymmetryOptimizer(library=...). "
        "Ensembles that leave out columns (library_ensemble=True) cannot be symmetric: use "
        "bagging=True."
    )


def _as_ours(library):
    """Return what the columns of Theta are, as a library of sksym."""
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
    if isinstance(library, ps.feature_library.base.BaseFeatureLibrary):
        return from_pysindy(library)
    return as_library(library)


def _check_values(library, Theta, coordinates, name):
    """Raise unless Theta holds what the library says."""
    evenly = np.linspace(0, len(Theta) - 1, _ROWS).astype(int)
    sample = Theta[np.unique(evenly)]
    fresh = clone(library).fit(Theta[:, coordinates])  # its functions may depend on the data
    values = library_values(fresh, sample[:, coordinates])
    difference = np.abs(values - sample).max(axis=0)
    differ = difference > _SAME * np.abs(values).max(axis=0)
    if differ.any():
        names = fresh.get_feature_names_out()[differ]
        raise ValueError(
            f"Theta is not what `library` ({name}) says for {len(coordinates)} inputs: "
            f"{len(names)} of its columns differ, {names[0]} first. Give the optimizer the "
            "feature_library of the model, SymmetryOptimizer(library=...), and Theta neither "
            "scaled nor short of columns (library_ensemble=True leaves some out: use bagging=True)."
        )


def _template(described):
    """Return the library to fit in: polynomials by their exponents, so that symmetry is exact."""
    given = _pysindy_library(described)
    if type(given) is not ps.PolynomialLibrary:  # a subclass may have other functions
        return described
    d = described.n_features_in_
    full = PolynomialLibrary(given.degree).fit(np.zeros((1, d)))
    place = {tuple(row): k for k, row in enumerate(full.monomials_.exponents)}
    chosen = tuple(place[tuple(row)] for row in described.transformer_.powers_)
    if chosen == tuple(range(len(place))):
        return PolynomialLibrary(given.degree)
    return SomeMonomials(given.degree, chosen)


class SomeMonomials(Library):
    """Some of the monomials of a `PolynomialLibrary` about the origin, in any order.

    Parameters
    ----------
    degree : int
    chosen : tuple of int
        Indices of the monomials.
    center, scale
        As in `PolynomialLibrary`.
    """

    can_be_centred = True

    def __init__(self, degree, chosen, center=0.0, scale=None):
        self.degree = degree
        self.chosen = chosen
        self.center = center
        self.scale = scale

    def fit(self, X, y=None):
        """Set the scale from the range of `X` (n, d)."""
        self.all_ = PolynomialLibrary(self.degree, self.center, self.scale).fit(X)
        self.chosen_ = np.asarray(self.chosen)
        # Rows (n_chosen, p): coefficients of the chosen monomials among all.
        every = sparse.eye_array(self.all_.n_output_features_, format="csr")
        self.selection_ = every[self.chosen_]
        self.n_features_in_ = self.all_.n_features_in_
        self.n_output_features_ = len(self.chosen_)
        self.center_ = self.all_.center_
        self.scale_ = self.all_.scale_
        self.domain_ = self.all_.domain_
        return self

    def extremes(self, X):
        """Return the two corners of the data's range: all of `X` (n, d) that `fit` depends on."""
        return np.array([np.min(X, axis=0), np.max(X, axis=0)])

    def transform(self, X):
        """Return library values, shape (n, p)."""
        return self.all_.evaluate(self.selection_, X)

    def jacobian(self, X):
        """Return derivatives by the coordinates of x, shape (n, p, d)."""
        return self.all_.jacobian(X)[:, self.chosen_]

    def get_feature_names_out(self, input_features=None):
        """Return names of the monomials, shape (p,)."""
        return self.all_.get_feature_names_out(input_features)[self.chosen_]

    def monomial_coef(self, coef):
        """Return coefficients (q, p) of the plain monomials of the same functions."""
        coef_of_all = np.asarray(coef) @ self.selection_
        return self.all_.monomial_coef(coef_of_all)[:, self.chosen_]

    def name_center(self):
        """Return the centre (d,) from which the variables in the names are counted."""
        return self.center_

    def name_sizes(self):
        """Return the factor (p,) of each function in the monomial that its name shows."""
        return self.all_.name_sizes()[self.chosen_]

    def orthonormal_coordinates(self, points=None):
        """Return ``T`` (p, m) with ``phi = T psi``, psi orthonormal on `domain_`."""
        return self.selection_ @ sparse.csr_array(self.all_.orthonormal_coordinates())

    def lie_matrices(self, algebra):
        """Return the matrices of `PolynomialLibrary`, where these monomials are closed."""
        p = self.all_.n_output_features_
        D = sparse.csr_array(self.selection_ @ self.all_.lie_matrices(algebra))
        D.eliminate_zeros()
        # Columns of D: monomials of generator 0, of generator 1, and so on.
        columns = np.add.outer(np.arange(algebra.dim) * p, self.chosen_).ravel()
        inside = D[:, columns]
        if inside.nnz < D.nnz:
            raise NotClosedError("The algebra leads out of these monomials: sample instead.")
        return inside
