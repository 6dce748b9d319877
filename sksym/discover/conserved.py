"""Conserved quantities: the duality read backwards, functions that the dynamics leave alone."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from sksym._estimator import adopt, checked_weights
from sksym._linalg import merge_rows, one_thread
from sksym.discover.degree import best_degree
from sksym.discover.formulas import function_sizes, library_formulas
from sksym.discover.sampling import spatial_clusters
from sksym.equivariant import place, probe_points
from sksym.libraries import PolynomialLibrary, evaluate, library_values, row_blocks
from sksym.spectra import (
    SampledEvidence,
    check_rule,
    pooled_spread,
    rounded,
    verdict,
    weighted_factor,
)

_ROWS = 4000  # points at which the rate of change of a function is tested


class ConservedQuantities(TransformerMixin, BaseEstimator):
    """Functions of a library that do not change along the trajectories of a dynamical system.

    ``F(x) = coef @ phi(x)`` is conserved by x' = G(x) when its Lie derivative along G vanishes,
    which is linear in coef as the symmetries of F are linear in the generator:

        ``min_coef  mean (dF(x) G(x))^2  /  mean (|dF(x)|^2 |G(x)|^2)``,

    coordinates in units of their spread.

    Parameters
    ----------
    library : library, default=None
        Where to look; None: ``PolynomialLibrary(2)``.
    n_quantities : "auto" or int, default="auto"
        "auto": as many as are zero within the noise of the derivatives, see Notes.
    snap : bool, default=True
        Round coefficients of plain functions to simple numbers, where there are any within four
        standard errors and the rounded functions are as well conserved.
    max_defect : float, default=0.1
        A quantity is declared only where the noise floor is below this; otherwise it is undecided.
    random_state : int, RandomState or None, default=None
        Folds that choose a degree, and subsamples.

    Attributes
    ----------
    coef_ : ndarray of shape (k, p)
        The quantities in the functions of `library_`, in reduced echelon form. Functions of
        conserved quantities are conserved too, and found as far as the library holds them.
    n_quantities_ : int
    singular_values_ : ndarray
        Relative rates of change of all functions that vary, ascending.
    noise_floor_ : float
        What the noise of the derivatives contributes to the rates of those declared.
    undecided_ : int
        Functions compatible with zero on evidence too weak to declare them.
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

    def fit(self, X, y=None, sample_weight=None, *, X_dot=None):
        """Find what is conserved, from states `X` (n, d) and their time derivatives.

        The derivatives (n, d) are the second argument, or given by the name `X_dot`.
        """
        fresh = clone(self)
        fresh._fit(X, y if X_dot is None else X_dot, sample_weight)
        return adopt(self, fresh)

    def _fit(self, X, X_dot, sample_weight):
        if X_dot is None:
            raise ValueError(
                "requires y to be passed, but the target y is None: the second argument is X_dot, "
                "the time derivatives of the rows of X."
            )
        X = validate_data(self, X, dtype=np.float64)
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
        weight = checked_weights(sample_weight, len(X))
        rng = check_random_state(self.random_state)
        template = PolynomialLibrary(2) if self.library is None else self.library
        library, _ = place(template, X, near=np.zeros(X.shape[1]))
        p = library.n_output_features_
        check_rule("n_quantities", self.n_quantities, p, self.max_defect)
        with one_thread():
            evidence, functions = _rates(library, X, X_dot, weight, rng)
            found = verdict(
                evidence, self.n_quantities, self.max_defect, _partly_rounded if self.snap else None
            )
        if not len(found.generators):
            warnings.warn(
                "No function of the library is conserved as far as the data tell, so there are no "
                "features: raise the degree of the library, or look at `singular_values_`.",
                UserWarning,
                stacklevel=4,
            )
        self.library_, self.coef_ = library, found.generators @ functions
        self.n_quantities_, self.undecided_ = len(found.generators), found.undecided
        self.singular_values_ = evidence.spectrum.singular_values
        self.noise_floor_ = found.floor

    def transform(self, X):
        """Values of the conserved quantities, shape (n, k)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return evaluate(self.library_, self.coef_, X)

    def get_feature_names_out(self, input_features=None):
        """The quantities as formulas, long ones cut."""
        check_is_fitted(self)
        return library_formulas(self, input_features)


def _partly_rounded(form, errors):
    """Numbers that are not simple may stay: a quantity is conserved for itself, not in a group."""
    simple = rounded(form, errors, partly=True)
    return [] if simple is None else [(simple, 0)]


def _rates(library, X, X_dot, weight, rng):
    """Rates of change of plain functions along the smoothed dynamics, with their errors.

    Returns
    -------
    evidence : SampledEvidence
        Its candidates are functions of the library.
    functions : ndarray of shape (p, p)
        Those functions: plain monomials where the library is polynomial.
    """
    functions = np.diag(1 / function_sizes(library))
    spread = np.ptp(X, axis=0) / 4
    spread[spread == 0] = pooled_spread(X, weight) or 1.0
    dynamics, determined = _smoothed(library, X, X_dot, weight, rng)
    chosen = np.sort(rng.permutation(len(X))[:_ROWS])
    points, weight = X[chosen], weight[chosen]
    if not determined:  # functions that vanish on the data are not conserved for that
        points = np.concatenate([points, probe_points(X, 2 * library.n_output_features_)])
        weight = np.append(weight, np.full(len(points) - len(weight), weight.mean()))
    root, rows, gradients, errors = np.sqrt(weight / weight.sum())[:, None], [], None, None
    for block in row_blocks(len(points), library.n_output_features_ * X.shape[1]):
        velocity, error = (part / spread for part in dynamics(points[block]))
        slopes = np.einsum("npd,kp->ndk", library.jacobian(points[block]), functions)
        slopes = slopes * (spread[:, None] * root[block, None])
        rows.append(np.einsum("ndk,nd->nk", slopes, velocity))
        speed = np.linalg.norm(velocity, axis=1)[:, None, None]
        gradients = merge_rows(gradients, (slopes * speed).reshape(-1, len(functions)))
        errors = merge_rows(errors, (slopes * error[:, :, None]).reshape(-1, len(functions)))
    rates, motion, noise = np.concatenate(rows)[:, None], gradients.T @ gradients, errors.T @ errors
    clusters = spatial_clusters(points, rng)
    return SampledEvidence(rates, motion, noise, np.zeros_like(noise), clusters), functions


def _smoothed(library, X, X_dot, weight, rng):
    """The dynamics fitted by least squares.

    Returns
    -------
    dynamics : function X -> (velocity (n, d), its error (n, d))
    determined : bool
        Whether no function of the library vanishes on the data.
    """
    highest = best_degree(X, X_dot, weight, rng)
    polynomials = [place(PolynomialLibrary(k), X)[0] for k in range(1, highest + 1)]
    best, least, determined = None, np.inf, False
    for candidate in (library, *polynomials):
        n, p = weight.sum(), candidate.n_output_features_
        factor = weighted_factor(candidate, X, weight, X_dot)
        U, s, Vt = np.linalg.svd(factor[:p, :p])
        rank = int((s > 1e-11 * s.max(initial=0)).sum())
        spread = Vt[:rank].T / s[:rank]
        coef = (spread @ U[:, :rank].T @ factor[:p, p:]).T
        square = np.sum((U[:, rank:].T @ factor[:p, p:]) ** 2, axis=0)
        square += np.sum(factor[p:, p:] ** 2, axis=0)
        determined = determined or (candidate is library and rank == p)
        if rank < p or n <= p:
            continue
        round_off = 1e-13 * np.linalg.norm(factor[:, p:], axis=0)
        sigma = np.maximum(np.sqrt(square / (n - rank)), round_off)
        # Generalised cross-validation: what held-out rows would miss.
        missed = np.sum(square) / (1 - rank / n) ** 2
        if missed < least:
            best, least = (candidate, coef, spread, sigma), missed
    if best is None:
        raise ValueError(
            f"{len(X)} samples do not even determine linear dynamics in {X.shape[1]} coordinates: "
            "give more samples, or leave out coordinates that depend on others."
        )
    candidate, coef, spread, sigma = best

    def dynamics(points):
        phi = library_values(candidate, points)
        return phi @ coef.T, np.linalg.norm(phi @ spread, axis=1)[:, None] * sigma

    return dynamics, determined
