"""Conserved quantities: the duality read backwards, functions that the dynamics leave alone."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from sksym._estimator import checked_weights, on_copy, warn
from sksym._linalg import merge_rows, one_thread, row_blocks
from sksym.discover.degree import best_degree
from sksym.discover.sampling import column_spread, some_rows, spatial_clusters
from sksym.equivariant import place, probe_points
from sksym.evidence import (
    SampledEvidence,
    check_rule,
    library_statistics,
    rounded,
    verdict,
)
from sksym.groups import Group
from sksym.libraries import PolynomialLibrary, evaluate, library_formulas, library_values

_ROWS = 4000  # points at which the rate of change of a function is tested
_RANK = 1e-11  # relative size of singular values that are round-off
_ROUND_OFF = 1e-13  # relative error of exact derivatives


class ConservedQuantities(TransformerMixin, BaseEstimator):
    """Functions of a library that do not change along the trajectories of a dynamical system.

    ``F(x) = coef @ phi(x)`` is conserved by x' = G(x) when its Lie derivative along G vanishes,
    which is linear in coef as the symmetries of F are linear in the generator. Looks for the least

        ``min_coef  mean (dF(x) G(x))^2  /  mean (|dF(x)|^2 |G(x)|^2)``,

    with coordinates in units of their spread.

    Parameters
    ----------
    library : library, default=None
        The functions to choose from; None: ``PolynomialLibrary(2)``.
    n_quantities : "auto" or int, default="auto"
        "auto": all whose rates of change are zero within the noise of the derivatives, see Notes.
        A number: those with the least rates of change.
    snap : bool, default=True
        Round coefficients of plain functions to simple numbers where these lie within four
        standard errors and the rounded functions are as well conserved.
    max_defect : float, default=0.1
        A quantity is declared only where the noise floor is below this; otherwise it is undecided.
    random_state : int, RandomState or None, default=None
        Decides the folds that choose a degree, and subsamples.

    Attributes
    ----------
    coef_ : ndarray of shape (k, p)
        The quantities in the functions of `library_`, in reduced echelon form. Functions of
        conserved quantities are conserved too, and are found if they lie in the library.
    n_quantities_ : int
        Their number k.
    singular_values_ : ndarray
        Relative rates of change of all functions that vary, descending.
    noise_floor_ : float
        Contribution of the noise in the derivatives to the rates of the declared quantities.
    undecided_ : int
        Number of functions whose rates are compatible with zero, on evidence too weak to declare
        them.
    library_ : fitted library

    Notes
    -----
    The derivatives are smoothed first, by least squares in the same library or in polynomials,
    whichever predicts held-out derivatives better. The residuals of that fit and its leverages give
    the noise floor; a quantity is declared when its rate of change is within twice the floor, and
    both are far below the next singular value. One trajectory determines little: a function that is
    constant on it may be conserved, or just vanish there.

    References
    ----------
    Otto, Zolman, Kutz, Brunton (2025), JMLR 26(248), the section on conserved quantities.

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import ConservedQuantities
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> X_dot = np.column_stack([X[:, 1], -X[:, 0]])
    >>> ConservedQuantities().fit(X, X_dot).get_feature_names_out()
    array(['x0^2 + x1^2'], dtype=object)
    """

    def __init__(
        self,
        library=None,
        *,
        n_quantities="auto",
        snap=True,
        max_defect=0.1,
        random_state=None,
    ):
        self.library = library
        self.n_quantities = n_quantities
        self.snap = snap
        self.max_defect = max_defect
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags

    @on_copy
    def fit(self, X, y=None, sample_weight=None, *, X_dot=None):
        """Find what is conserved, from states `X` (n, d) and their time derivatives.

        The derivatives (n, d) are the second argument, or given by the name `X_dot`.
        """
        if X_dot is None:
            X_dot = y
        if X_dot is None:
            raise ValueError(
                "requires y to be passed, but the target y is None: the second argument is X_dot, "
                "the time derivatives of the rows of X."
            )
        X = validate_data(self, X, dtype=np.float64)
        X_dot = _time_derivatives(X_dot, X)
        weight = checked_weights(sample_weight, len(X))
        rng = check_random_state(self.random_state)
        template = PolynomialLibrary(2) if self.library is None else self.library
        library, _ = place(
            template,
            X,
            Group.none(X.shape[1]),
            near=np.zeros(X.shape[1]),
            names=vars(self).get("feature_names_in_"),
        )
        check_rule("n_quantities", self.n_quantities, library.n_output_features_, self.max_defect)
        # Plain functions: their coefficients are what is rounded to simple numbers.
        functions = np.diag(1 / library.name_sizes())
        proposals = _partly_rounded if self.snap else None
        with one_thread():
            evidence = _rates_of_change(library, functions, X, X_dot, weight, rng)
            conclusion = verdict(evidence, self.n_quantities, self.max_defect, proposals)
        quantities = conclusion.generators
        if not len(quantities):
            warn(
                "No function of the library is conserved as far as the data tell, so there are no "
                "features: raise the degree of the library, or look at `singular_values_`."
            )
        self.library_ = library
        self.coef_ = quantities @ functions
        self.n_quantities_ = len(quantities)
        self.singular_values_ = evidence.spectrum.singular_values[::-1]
        self.noise_floor_ = conclusion.floor
        self.undecided_ = conclusion.undecided

    def transform(self, X):
        """Return the values of the conserved quantities, shape (n, k)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return evaluate(self.library_, self.coef_, X)

    def get_feature_names_out(self, input_features=None):
        """Return the quantities as formulas, long ones cut."""
        check_is_fitted(self)
        return library_formulas(self, input_features)


def _time_derivatives(X_dot, X):
    """Return the time derivatives of states `X` (n, d), checked: (n, d)."""
    X_dot = check_array(X_dot, dtype=np.float64, ensure_2d=False, input_name="X_dot")
    if X_dot.ndim == 1 and X.shape[1] == 1:
        X_dot = X_dot[:, None]
    if X_dot.shape != X.shape:
        raise ValueError(
            f"X_dot must have the shape of X, {X.shape}, got {X_dot.shape}: one time "
            "derivative for every state."
        )
    if not X_dot.any():
        raise ValueError(
            "All time derivatives are zero, so every function is conserved: there is nothing "
            "to find."
        )
    return X_dot


def _partly_rounded(form, errors):
    """Propose quantities (k, p) with simple coefficients, in the form that `verdict` expects.

    Other numbers may stay: a quantity is conserved whatever the others are, unlike the generators
    of a group.
    """
    simple = rounded(form, errors, partly=True)
    return [] if simple is None else [simple]


def _rates_of_change(library, functions, X, X_dot, weight, rng):
    """Return the rates of change of functions along the smoothed dynamics, with their errors.

    Parameters
    ----------
    library : fitted library
    functions : ndarray of shape (k, p)
        The candidates, in the functions of the library.
    X, X_dot : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    rng : RandomState

    Returns
    -------
    SampledEvidence
    """
    spread = column_spread(X, weight)
    dynamics, is_determined = _smoothed_dynamics(library, X, X_dot, weight, rng)
    chosen = some_rows(len(X), _ROWS, rng)
    points = X[chosen]
    weight = weight[chosen]
    if not is_determined:
        # A function that vanishes on the data is constant there, but need not be conserved.
        probes = probe_points(X, 2 * library.n_output_features_)
        points = np.concatenate([points, probes])
        weight = np.append(weight, np.full(len(probes), weight.mean()))
    sqrt_share = np.sqrt(weight / weight.sum())

    rates = []
    motion_factor = None
    noise_factor = None
    k = len(functions)
    for rows in row_blocks(len(points), k * X.shape[1]):
        # Lengths in units of the spread of their column, squares as weighted means.
        block = points[rows]
        velocity, error = dynamics.velocity(block)
        velocity = velocity / spread
        error = error / spread
        jacobian = library.jacobian(block)
        gradients = np.einsum("npd,kp->ndk", jacobian, functions)
        units = spread[:, None] * sqrt_share[rows, None, None]
        gradients = gradients * units
        rates.append(np.einsum("ndk,nd->nk", gradients, velocity))
        # The largest rate possible: along the gradient.
        speed = np.linalg.norm(velocity, axis=1)
        largest = gradients * speed[:, None, None]
        motion_factor = merge_rows(motion_factor, largest.reshape(-1, k))
        uncertain = gradients * error[:, :, None]
        noise_factor = merge_rows(noise_factor, uncertain.reshape(-1, k))
    noise = noise_factor.T @ noise_factor
    return SampledEvidence(
        rows=np.concatenate(rates)[:, None],
        motion=motion_factor.T @ motion_factor,
        noise=noise,
        bias=np.zeros_like(noise),
        clusters=spatial_clusters(points, rng),
    )


@dataclass(frozen=True, eq=False)
class _Dynamics:
    """A vector field fitted to time derivatives by least squares.

    Attributes
    ----------
    library : fitted library
    coef : ndarray of shape (d, p)
    spread : ndarray of shape (p, rank)
        Factor of the covariance of the coefficients at unit noise.
    sigma : ndarray of shape (d,)
        Standard deviation of the noise.
    is_determined : bool
        Whether no function of the library vanishes on the data.
    score : float
        Generalised cross-validation: the squared error of held-out derivatives. Infinite where the
        data do not determine the coefficients and the noise.
    """

    library: object
    coef: np.ndarray
    spread: np.ndarray
    sigma: np.ndarray
    is_determined: bool
    score: float

    @classmethod
    def fit(cls, library, X, X_dot, weight):
        """Fit the time derivatives (n, d) of states (n, d) in a library."""
        n = weight.sum()
        p = library.n_output_features_
        factor = library_statistics(library, X, X_dot, weight).square_factor()
        derivatives = factor[:, p:]
        U, s, Vt = np.linalg.svd(factor[:p, :p])
        rank = np.count_nonzero(s > _RANK * s.max(initial=0))
        spread = Vt[:rank].T / s[:rank]
        coef = spread @ U[:, :rank].T @ derivatives[:p]
        # Beyond the functions that the data determine, and beyond all functions.
        square = np.sum((U[:, rank:].T @ derivatives[:p]) ** 2, axis=0)
        square = square + np.sum(derivatives[p:] ** 2, axis=0)
        sigma = np.full(X.shape[1], np.inf)
        score = np.inf
        if rank == p and n > p:
            # The residuals of exact derivatives are round-off, and may be too small by chance.
            deviation = np.sqrt(square / (n - p))
            round_off = _ROUND_OFF * np.linalg.norm(derivatives, axis=0)
            sigma = np.maximum(deviation, round_off)
            score = np.sum(square) / (1 - p / n) ** 2
        return cls(
            library=library,
            coef=coef.T,
            spread=spread,
            sigma=sigma,
            is_determined=rank == p,
            score=score,
        )

    def velocity(self, X):
        """Return the velocities (n, d) at states (n, d), and their standard errors (n, d)."""
        phi = library_values(self.library, X)
        leverage = np.linalg.norm(phi @ self.spread, axis=1)
        errors = leverage[:, None] * self.sigma
        return phi @ self.coef.T, errors


def _smoothed_dynamics(library, X, X_dot, weight, rng):
    """Fit time derivatives (n, d) in a library or in polynomials, whichever predicts better.

    Returns
    -------
    dynamics : _Dynamics
    is_determined : bool
        Whether no function of the library given vanishes on the data.
    """
    candidates = [library]
    for degree in range(1, best_degree(X, X_dot, weight, rng) + 1):
        polynomials, _ = place(PolynomialLibrary(degree), X, Group.none(X.shape[1]))
        candidates.append(polynomials)
    fits = [_Dynamics.fit(candidate, X, X_dot, weight) for candidate in candidates]
    best = min(fits, key=lambda dynamics: dynamics.score)
    if best.score == np.inf:
        raise ValueError(
            f"{len(X)} samples do not even determine linear dynamics in {X.shape[1]} coordinates: "
            "give more samples, or leave out coordinates that depend on others."
        )
    return best, fits[0].is_determined
