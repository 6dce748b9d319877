"""What all SINDy estimators share: a sparse vector field with symmetry, from rows of a regression.

The estimators differ in how they make rows from data: derivatives, increments, integrals, or what
pysindy hands over. Those are `FieldRows`. Everything after that is `fit_vector_field`:

1. who acts: the enforced symmetry and the candidates, as algebras on all columns;
2. promotion: which candidates the data do not contradict, and a fit that has them exactly;
3. sparsity inside the space of functions that is left.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from sklearn.base import clone

from sksym._estimator import (
    check_count,
    check_fraction,
    check_number,
    check_range,
    moderate_weights,
    warn,
)
from sksym._linalg import independent_rows, one_thread
from sksym.dynamics.sparsify import sparse_least_squares, sparsest_rows
from sksym.dynamics.vanishing import named, state_errors, vanishing_functions
from sksym.evidence import readable
from sksym.groups import Group, columns, resolve, vector
from sksym.libraries import as_library, evaluate, input_names, library_values
from sksym.promote import (
    PromotionProblem,
    PromotionSamples,
    SolverOptions,
    fit_promoted,
    without_enforced,
)

_EXACT = 1e-6  # change along a symmetry relative to the function, where it was enforced
_LOOKED_AT = 500  # rows that tell functions from round-off
_ROUND_OFF = 1e-12  # size of a function relative to that of its terms
_NAMED = 3  # functions that vanish, in a warning
_MAX_LAG = 200  # rows over which autocorrelations are summed


@dataclass(frozen=True, eq=False)
class FieldRows:
    """Rows of the regression ``Y = operator(phi(X)) coef^T``.

    Attributes
    ----------
    X : ndarray of shape (n, d)
        States and controls.
    Y : ndarray of shape (m, q)
        How the q states change: derivatives, increments, or integrals against test functions.
    weight : ndarray of shape (m,)
        Sample weights. A row of weight zero is left out of the regression but keeps its place in
        its trajectory; its entries in Y must be finite.
    trajectories : list of integer ndarrays, default=None
        Rows of Y of each trajectory in order of time, along which errors are correlated. None:
        the errors of all rows are independent.
    operator : callable, default=None
        Linear map from values (n, p) to (m, p). None: the values themselves, m = n.
    noise : ndarray of shape (d,), default=None
        Standard deviation of the noise in X, as far as it is known.
    """

    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray
    trajectories: list | None = None
    operator: Callable | None = None
    noise: np.ndarray | None = None

    @property
    def counted_inputs(self):
        """Rows of X that the regression sees: a library may be undefined at the others."""
        if self.operator is not None or self.weight.all():
            return self.X
        return self.X[self.weight > 0]

    @property
    def size_of_targets(self):
        """Root mean square of Y over the rows that count; 1 where all are zero."""
        counted = self.Y[self.weight > 0]
        largest = np.abs(counted).max(initial=0)
        if not 0 < largest < np.inf:
            return 1.0
        # Relative to the largest entry, whose square may overflow.
        return largest * np.sqrt(np.mean((counted / largest) ** 2))

    def residual(self, library, coef):
        """Return weighted residuals (m, q), zero for the rows that are left out."""
        counted = self.weight > 0
        if self.operator is None:
            predicted = evaluate(library, coef, self.X[counted])
        else:
            values = self.operator(library_values(library, self.X))
            predicted = values[counted] @ coef.T
        error = self.Y[counted] - predicted
        sqrt_weight = np.sqrt(self.weight[counted])
        residual = np.zeros_like(self.Y)
        residual[counted] = sqrt_weight[:, None] * error
        return residual


def solver_options(model):
    """Check the parameters that all SINDy estimators have; return how to solve."""
    for name in ("alpha", "threshold", "l1", "ridge"):
        check_number(getattr(model, name), name)
    check_count(model.max_iter, "max_iter")
    check_fraction(model.tol, "tol")
    return SolverOptions(
        adaptive=bool(model.adaptive),
        tol=float(model.tol),
        max_iter=int(model.max_iter),
    )


def fit_vector_field(model, library, rows, options):
    """Set the fitted attributes of an estimator from the rows of its regression.

    Parameters
    ----------
    model : estimator
        Has `symmetry`, `candidates`, `alpha`, `threshold`, `l1`, `ridge`, and already `states_`.
    library : library
        What is fitted, unfitted.
    rows : FieldRows
    options : SolverOptions
        See `solver_options`.
    """
    X = rows.counted_inputs
    check_range(X, "X")
    check_range(rows.Y, "y, the rates of change,")
    # In units of the derivatives, so that `alpha` and tolerances mean the same in all units.
    unit = rows.size_of_targets
    rows = replace(rows, Y=rows.Y / unit, weight=moderate_weights(rows.weight))
    symmetry = on_states(model.symmetry, model.states_, X, "symmetry")
    candidates = on_states(model.candidates, model.states_, X, "candidates")
    problem = PromotionProblem.of(
        without_enforced(candidates, symmetry),
        symmetry,
        _about_origin(as_library(library), symmetry, candidates),
        _output(symmetry, candidates, model.states_),
        X,
        len(model.states_),
        vars(model).get("feature_names_in_"),
    )
    samples = _as_independent(problem, rows)
    with one_thread():
        fit = fit_promoted(samples, model.alpha, model.ridge, options, refit=True)
        coef = fit.coef
        is_dependent = _vanishing(model, fit, rows, X)
        # A threshold leaves out whole symmetric functions, so that the symmetry stays exact.
        if model.threshold > 0 or model.l1 > 0 or is_dependent:
            coef = _sparse_coef(fit.samples, model.threshold, model.l1, model.ridge, is_dependent)
    if not np.isfinite(coef).all():
        raise ValueError("The solution overflows: rescale the data, or increase `ridge`.")
    fit.warn_of_gap(options.tol)
    model.library_ = fit.library
    model.coef_ = coef * unit
    model._sizes_ = np.sqrt(np.mean(library_values(fit.library, X[:_LOOKED_AT]) ** 2, axis=0))
    _warn_of_empty_equations(model, rows, X)
    model.algebra_ = _symmetries(symmetry.algebra, fit, coef)
    model.n_symmetries_ = model.algebra_.dim
    model.n_free_ = fit.problem.space.n_free
    model.singular_values_ = fit.singular_values * unit
    model.dual_gap_ = fit.final.gap * unit**2
    model.n_iter_ = max(fit.n_iter, 1)


# ------------------------------------------------------------------------------------ who acts


def on_states(symmetry, states, X, name):
    """Return what acts on the states as a Group on all columns of X (n, d).

    Parameters
    ----------
    symmetry : LieAlgebra, FiniteGroup, Group, callable or None
        On the states or on all columns. A callable is called with the number of states.
    states : ndarray of int
        Columns that hold the states; the others are controls.
    X : ndarray of shape (n, d)
    name : str
        Of the parameter, for messages.
    """
    if symmetry is None:
        return Group.none(X.shape[1])
    if callable(symmetry):
        symmetry = symmetry(len(states))
    group = Group.of(symmetry, name)
    if not group.algebra.is_affine:
        raise TypeError(
            f"`{name}` of a dynamical system must be affine motions (a LieAlgebra), a FiniteGroup "
            "or a Group: fields beyond affine move derivatives differently at every point."
        )
    # Controls do not move: a symmetry of the states leaves the other columns alone.
    if group.n_features == len(states) < X.shape[1]:
        group = group.on_columns(states.tolist(), X.shape[1])
    return resolve(group, X, name)


def _output(symmetry, candidates, states):
    """Return how derivatives of the states move: as the states do; None where nothing acts."""
    if symmetry.is_trivial and candidates.is_trivial:
        return None
    # Derivatives are tangent vectors: they move by the linear part of what moves the states.
    if len(states) == symmetry.n_features:
        return vector
    return columns(*states.tolist())


def _about_origin(library, symmetry, candidates):
    """Centre a library at the origin, if it has no centre and no symmetry moves the origin.

    Equations are sparse in the coordinates that the data come in, not about the data's mean.
    """
    moves_origin = symmetry.algebra.offset.any() or candidates.algebra.offset.any()
    if moves_origin or not library.can_be_centred:
        return library
    if library.get_params(deep=False)["center"] is not None:
        return library
    return clone(library).set_params(center=0.0)


def _symmetries(enforced, fit, coef):
    """Return the symmetries of the fitted system: those enforced, and candidates that hold."""
    candidates = fit.problem.candidates.algebra
    # Leaving out functions may break a candidate that holds only approximately.
    generators = fit.C if _unchanged(fit.problem, coef, fit.C) else fit.C[:0]
    C, _ = readable(candidates, generators)
    both = enforced + candidates.combine(C)
    return both.take(independent_rows(both.flat()))


def _unchanged(problem, coef, C):
    """Return whether the candidates C (k, r) leave coef (q, p) unchanged to round-off."""
    size = np.linalg.norm(coef @ problem.L.values)
    change = np.array([np.linalg.norm(problem.L(xi, coef)) for xi in C])
    # In the orthonormal basis of the algebra, so that the unit of a generator does not matter.
    orthonormal = C @ np.linalg.pinv(problem.L.generators)
    lengths = np.linalg.norm(orthonormal, axis=1)
    for xi, length in zip(C, lengths, strict=True):
        change = np.linalg.norm(problem.L(xi, coef))
        if change > _EXACT * size * length:
            return False
    return True


# ---------------------------------------------------------------------------- correlated errors


def _as_independent(problem, rows):
    """Return the samples of a problem, weighted like as many independent rows as they are worth.

    Errors are correlated along a trajectory where they stem from differentiated noise, and from
    window to window where windows overlap. Statistics that decide on symmetries would take such
    rows for more evidence than they are.
    """
    samples = PromotionSamples(problem, rows.X, rows.Y, rows.weight, rows.operator)
    if rows.trajectories is None or not samples.is_overdetermined:
        return samples
    _, _, w = samples.least_squares(0.0).parts(0.0)
    residual = rows.residual(problem.space.library, problem.coef(w))
    weight = rows.weight / autocorrelation_time(residual, rows.trajectories)
    return PromotionSamples(problem, rows.X, rows.Y, weight, rows.operator)


def autocorrelation_time(residual, trajectories):
    """Return the integrated autocorrelation time of residuals (m, q), in rows.

    It is ``1 + 2 sum_k rho_k`` over lags up to the first whose autocorrelation rho_k is not
    positive: beyond it the estimates are noise. That many rows are worth one independent row.
    """
    longest = max(len(index) for index in trajectories)
    n_lags = min(longest - 1, _MAX_LAG) + 1
    products = np.zeros(n_lags)
    for index in trajectories:
        series = residual[index]
        n = len(series)
        for lag in range(min(n_lags, n)):
            later = series[lag:]
            earlier = series[: n - lag]
            products[lag] += np.sum(later * earlier)
    if not products[0] > 0:
        return 1.0
    rho = products / products[0]
    not_positive = np.flatnonzero(rho <= 0)
    if len(not_positive):
        rho = rho[: not_positive[0]]
    return 1 + 2 * np.sum(rho[1:])


# ------------------------------------------------------------------------------------- sparsity


def _sparse_coef(samples, threshold, l1, ridge, is_dependent):
    """Return coefficients (q, p), exactly zero outside a few functions with the symmetry."""
    space = samples.problem.space
    # In the library's units, those of the data: entries that are round-off are told by size.
    basis = sparsest_rows(space.basis)
    basis = basis[_is_more_than_round_off(basis, space.library, samples.X)]
    problem = replace(samples.problem, space=replace(space, basis=basis))
    seen = samples.seen_by(problem)
    data = seen.least_squares(ridge)
    targets = seen.statistics.targets
    total = np.linalg.norm(targets, axis=0) / np.sqrt(seen.statistics.weight)
    w = [
        sparse_least_squares(data.R, y, float(threshold), float(l1), length, is_dependent)
        for y, length in zip(data.Y.T, total, strict=True)
    ]
    return problem.coef(np.array(w))


def _is_more_than_round_off(basis, library, X):
    """Tell which rows of a basis (k, q p) are functions that differ from zero on X (n, d).

    Of functions that a library has twice, differences are zero.
    """
    k = basis.shape[0]
    if (np.diff(basis.indptr) == 1).all():
        return np.full(k, True)
    p = library.n_output_features_
    by_output = sparse.csr_array(basis.reshape(-1, p))
    values = library_values(library, X[:_LOOKED_AT])
    size = np.linalg.norm(values @ by_output.T, axis=0)
    size_of_terms = np.linalg.norm(np.abs(values) @ np.abs(by_output).T, axis=0)
    is_function = size > _ROUND_OFF * size_of_terms
    return is_function.reshape(k, -1).any(axis=1)


def _warn_of_empty_equations(model, rows, X):
    """Warn of states that change although nothing is left of their equations."""
    moves = np.ptp(X[:, model.states_], axis=0) > 0
    moves &= np.abs(rows.Y[rows.weight > 0]).max(axis=0, initial=0) > 0
    is_empty = moves & ~model.coef_.any(axis=1)
    if model.threshold > 0 and is_empty.any():
        empty = ", ".join(f"state {column}" for column in model.states_[is_empty])
        warn(
            f"Nothing is left in the equations of {empty}: every term is below `threshold`="
            f"{model.threshold:g} of the derivative. Lower `threshold`, give a library that can "
            "express the motion, or less noisy data."
        )


def _vanishing(model, fit, rows, X):
    """Set the functions that vanish on the data X (n, d); warn of them, and return whether any."""
    library = fit.library
    errors = state_errors(X, rows.noise)
    relations = vanishing_functions(library, X, errors)
    # The columns that an optimizer of pysindy sees are functions, not coordinates.
    features = input_names(model) if model.n_features_in_ == X.shape[1] else None
    formulas = named(library, relations, features)
    model.vanishing_ = formulas
    if not formulas:
        return False
    listed = "; ".join(f"{formula} = 0" for formula in formulas[:_NAMED])
    others = len(formulas) - _NAMED
    more = f"; and {others} more, see `vanishing_`" if others > 0 else ""
    warn(
        f"Functions of the library vanish on the data, up to their accuracy: {listed}{more}. "
        "Equations that differ by multiples of them fit alike. The ones with the fewest terms are "
        "given; other trajectories, from initial states where these functions differ, decide."
    )
    return True
