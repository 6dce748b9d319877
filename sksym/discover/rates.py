"""Rates of change of functions along a dynamical system whose velocities are known at samples.

Index legend: n samples, d coordinates, k candidate functions.
"""

from dataclasses import dataclass, replace
from math import comb

import numpy as np

from sksym._linalg import merge_rows, row_blocks
from sksym.discover.changes import Changes, gram_of_groups
from sksym.discover.degree import best_degree
from sksym.discover.sampling import column_spread, some_rows, spatial_clusters
from sksym.dynamics.weak import WeakForm
from sksym.equivariant import place, probe_points
from sksym.evidence import SampledEvidence, library_statistics
from sksym.groups import Group
from sksym.libraries import PolynomialLibrary, library_values

_ROWS = 4000  # points at which the rate of change of a function is tested
_RANK = 1e-11  # relative size of singular values that are round-off
_ROUND_OFF = 1e-13  # relative error of exact derivatives
_LARGEST_DEGREE = 5  # of polynomials for the velocities on trajectories
_LARGEST_SHARE = 0.4  # of the number of windows: functions that are fitted
_DIGITS = 12  # decimals to which rounded data are recognised
_ALONG = 0.8  # cosine between the velocity and the step to the next sample of a trajectory


class UndeterminedError(ValueError):
    """The samples do not even determine linear dynamics."""


def exact_rates(library, functions, X, X_dot, weight, groups, rng):
    """Return the rates ``dF(x) x_dot`` at the samples, uncertain by the round-off of the data.

    Parameters
    ----------
    library : fitted library
    functions : ndarray of shape (k, p)
        The candidates, in the functions of the library.
    X, X_dot : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    groups : ndarray of int, shape (n,)
        Labels 0, 1, .. of the trajectories.
    rng : RandomState

    Returns
    -------
    Changes
    """
    spread = column_spread(X, weight)
    state_error, rate_error = errors_of_storage(X, X_dot)
    chosen = some_rows(len(X), _ROWS, rng)
    points = X[chosen]
    velocities = X_dot[chosen]
    weight = weight[chosen]
    n_groups = groups.max() + 1
    groups = groups[chosen]
    sqrt_share = np.sqrt(weight / weight.sum())

    rates = []
    sizes = []
    noise_factor = None
    k = len(functions)
    for rows in row_blocks(len(points), k * X.shape[1]):
        block = points[rows]
        velocity = velocities[rows]
        share = sqrt_share[rows, None]
        gradients = _gradients(library, functions, block)
        rate = np.einsum("ndk,nd->nk", gradients, velocity) * share
        # Whatever round-off does to a rate shows when the data are moved by as much.
        shaken = block + state_error * rng.normal(size=block.shape)
        shaken_velocity = velocity + rate_error * rng.normal(size=block.shape)
        shaken_gradients = _gradients(library, functions, shaken)
        shaken_rate = np.einsum("ndk,nd->nk", shaken_gradients, shaken_velocity) * share
        noise_factor = merge_rows(noise_factor, shaken_rate - rate)
        # The largest rate possible: along the gradient, lengths in units of the spread.
        speed = np.linalg.norm(velocity / spread, axis=1)
        size = gradients * spread[:, None]
        sizes.append(size * (speed * sqrt_share[rows])[:, None, None])
        rates.append(rate)
    largest = np.concatenate(sizes)
    motion = gram_of_groups(largest, groups, n_groups)
    noise = noise_factor.T @ noise_factor
    return Changes(
        rows=np.concatenate(rates),
        motion=motion,
        noise=noise + library.jacobian_rtol_**2 * motion.sum(axis=0),
        expected=np.zeros_like(motion),
        errors=np.zeros((len(points), 0, k)),
        n_errors=float(len(points)),
        is_sure=1.0,
        groups=groups,
        clusters=spatial_clusters(points, rng),
    )


def errors_of_storage(X, X_dot):
    """Return the errors (d,) to which states and velocities (n, d) are stored or were rounded."""
    exact = np.finfo(float).eps * np.abs(X).max(axis=0)
    rate_error, is_rounded = _error_of_digits(X_dot)
    if not is_rounded:
        # Velocities in full precision belong to the states as they are, a grid for example.
        return exact, rate_error
    state_error, _ = _error_of_digits(X)
    return state_error, rate_error


def _error_of_digits(X):
    """Return the error (d,) of columns (n, d), and whether all that vary have few digits.

    Data that single precision, or a few decimals, represent exactly are known no better.
    """
    size = np.abs(X).max(axis=0)
    error = np.finfo(np.float64).eps * size
    is_rounded = True
    for j in np.flatnonzero(np.ptp(X, axis=0)):
        column = X[:, j]
        is_single = np.array_equal(column, column.astype(np.float32))
        if is_single:
            error[j] = np.finfo(np.float32).eps * size[j]
        decimals = 0
        while decimals < _DIGITS and not np.array_equal(column, np.round(column, decimals)):
            decimals += 1
        if decimals < _DIGITS:
            error[j] = max(error[j], 0.5 * 10.0**-decimals)
        is_rounded = is_rounded and (is_single or decimals < _DIGITS)
    return error, is_rounded


def consecutive_rows(X, X_dot):
    """Return labels (n,) of stretches of rows that follow one another along the velocity.

    Rows of one trajectory in order of time are one stretch; rows in any other order are many.
    """
    scale = column_spread(X, np.ones(len(X)))
    step = np.diff(X, axis=0) / scale
    velocity = X_dot / scale
    middle = velocity[:-1] + velocity[1:]
    product = np.sum(step * middle, axis=1)
    lengths = np.linalg.norm(step, axis=1) * np.linalg.norm(middle, axis=1)
    # Loosely, because to see two trajectories in one would count as evidence.
    is_end = product <= _ALONG * lengths
    return np.append(0, np.cumsum(is_end))


def _gradients(library, functions, X):
    """Return the gradients (n, d, k) of functions (k, p) at points (n, d)."""
    return np.einsum("npd,kp->ndk", library.jacobian(X), functions)


def smoothed_rates(
    library, functions, X, X_dot, weight, rng, *, error=None, n_common=1, rows=None
):
    """Return the rates of change of functions along the smoothed dynamics, with their errors.

    Parameters
    ----------
    library : fitted library
    functions : ndarray of shape (k, p)
        The candidates, in the functions of the library.
    X, X_dot : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    rng : RandomState
    error : float, default=None
        Relative error of states that lie on few trajectories. Functions that vanish on these but
        for that error determine nothing, and rates elsewhere count too. None: states lie anywhere.
    n_common : int, default=1
        Number of neighbouring samples whose velocities have an error in common.
    rows : WeakRows, default=None
        The dynamics of trajectories, in place of time derivatives.

    Returns
    -------
    SampledEvidence
    """
    spread = column_spread(X, weight)
    rtol = _RANK if error is None else error
    if rows is None:
        dynamics, is_determined = _smoothed_dynamics(library, X, X_dot, weight, rng, rtol)
    else:
        dynamics, is_determined = _simplest_dynamics(library, X, rows, rtol)
    chosen = some_rows(len(X), _ROWS, rng)
    points = X[chosen]
    weight = weight[chosen]
    if error is not None or not is_determined:
        # A function that vanishes on the data is constant there, but need not be conserved.
        probes = probe_points(X, 2 * library.n_output_features_)
        # Only between the data: beyond them functions such as logarithms may not be defined.
        probes = np.clip(probes, X.min(axis=0), X.max(axis=0))
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
    noise = n_common * noise_factor.T @ noise_factor
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
    def fit(cls, library, X, X_dot, weight, rtol):
        """Fit the time derivatives (n, d) of states (n, d), known to `rtol`, in a library."""
        factor = library_statistics(library, X, X_dot, weight).square_factor()
        return cls.from_factor(library, factor, weight.sum(), rtol)

    @classmethod
    def from_factor(cls, library, factor, n, rtol):
        """Fit the rows ``[phi, time derivatives]``, n of them, given by a triangular factor."""
        p = library.n_output_features_
        derivatives = factor[:, p:]
        d = derivatives.shape[1]
        U, s, Vt = np.linalg.svd(factor[:p, :p])
        rank = np.count_nonzero(s > rtol * s.max(initial=0))
        spread = Vt[:rank].T / s[:rank]
        coef = spread @ U[:, :rank].T @ derivatives[:p]
        # Beyond the functions that the data determine, and beyond all functions.
        square = np.sum((U[:, rank:].T @ derivatives[:p]) ** 2, axis=0)
        square = square + np.sum(derivatives[p:] ** 2, axis=0)
        sigma = np.full(d, np.inf)
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


@dataclass(frozen=True, eq=False)
class WeakRows:
    """Trajectories in the weak form, which needs no derivatives of noisy states.

    Attributes
    ----------
    form : WeakForm
    X : ndarray of shape (n, d)
        The states as measured, in units of their spread.
    smooth : ndarray of shape (n, d)
        The same, smoothed, where functions are evaluated: noise would bias their means.
    spread : ndarray of shape (d,)
    """

    form: WeakForm
    X: np.ndarray
    smooth: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, X, t, indices, smooth):
        """Place windows on the trajectories of noisy states (n, d)."""
        spread = column_spread(X, np.ones(len(X)))
        scaled = X / spread
        return cls(WeakForm.of(scaled, t, indices), scaled, smooth, spread)

    @property
    def n_rows(self):
        """Number of windows."""
        return self.form.W.shape[0]

    def dynamics(self, library, rtol):
        """Fit the velocities in a library."""
        phi = self.form.integrals(library_values(library, self.smooth))
        factor = merge_rows(None, np.hstack([phi, self.form.rates(self.X)]))
        n_columns = factor.shape[1]
        square = np.zeros((n_columns, n_columns))
        square[: len(factor)] = factor
        fit = _Dynamics.from_factor(library, square, self.n_rows, rtol)
        return replace(fit, coef=fit.coef * self.spread[:, None], sigma=fit.sigma * self.spread)


def _simplest_dynamics(library, X, rows, rtol):
    """Fit the velocities in the library, or else in polynomials of the least degree that fit.

    Those predict the velocities as well as any others within one standard error. Away from a
    trajectory velocities in more functions than it takes are uncertain without need.

    Returns
    -------
    dynamics, is_determined : see `_smoothed_dynamics`
    """
    n = rows.n_rows
    d = X.shape[1]
    fits = [rows.dynamics(library, rtol)]
    for degree in range(1, _LARGEST_DEGREE + 1):
        if degree > 1 and comb(d + degree, degree) > _LARGEST_SHARE * n:
            break
        polynomials, _ = place(PolynomialLibrary(degree), X, Group.none(d))
        fits.append(rows.dynamics(polynomials, rtol))
    best = min(fit.score for fit in fits)
    if best == np.inf:
        raise UndeterminedError(f"{n} windows do not even determine linear dynamics.")
    largest = best * (1 + np.sqrt(2 / n))
    first = next(fit for fit in fits if fit.score <= largest)
    return first, fits[0].is_determined


def _smoothed_dynamics(library, X, X_dot, weight, rng, rtol):
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
    fits = [_Dynamics.fit(candidate, X, X_dot, weight, rtol) for candidate in candidates]
    best = min(fits, key=lambda dynamics: dynamics.score)
    if best.score == np.inf:
        raise UndeterminedError(
            f"{len(X)} samples do not even determine linear dynamics in {X.shape[1]} coordinates: "
            "give more samples, or leave out coordinates that depend on others."
        )
    return best, fits[0].is_determined
