"""Velocities between the samples, fitted to measured time derivatives or to noisy trajectories.

Index legend: n samples, d coordinates, p library functions.
"""

from dataclasses import dataclass, replace
from math import comb

import numpy as np

from sksym._linalg import merge_rows
from sksym.discover.degree import best_degree
from sksym.discover.sampling import column_spread
from sksym.dynamics.weak import WeakForm
from sksym.equivariant import place
from sksym.evidence import library_statistics
from sksym.groups import Group
from sksym.libraries import PolynomialLibrary, library_values

_ROUND_OFF = 1e-13  # relative error of exact derivatives
_LARGEST_DEGREE = 5  # of polynomials for the velocities on trajectories
_LARGEST_SHARE = 0.4  # of the number of windows: functions that are fitted


class UndeterminedError(ValueError):
    """The samples do not even determine linear dynamics."""


@dataclass(frozen=True, eq=False)
class Dynamics:
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
class MeasuredVelocities:
    """Time derivatives as measured.

    Attributes
    ----------
    X_dot : ndarray of shape (n, d)
    n_common : int, default=1
        Number of neighbouring samples whose velocities have an error in common.
    """

    X_dot: np.ndarray
    n_common: int = 1

    def fit(self, library, X, weight, rng, rtol):
        """Fit them in a library or in polynomials, whichever predicts better.

        Parameters
        ----------
        library : fitted library
        X : ndarray of shape (n, d)
        weight : ndarray of shape (n,)
        rng : RandomState
        rtol : float
            Relative error of the states.

        Returns
        -------
        dynamics : Dynamics
        is_determined : bool
            Whether no function of the library given vanishes on the data.
        """
        X_dot = self.X_dot
        d = X.shape[1]
        candidates = [library]
        for degree in range(1, best_degree(X, X_dot, weight, rng) + 1):
            candidates.append(_polynomials(degree, X))
        fits = [Dynamics.fit(candidate, X, X_dot, weight, rtol) for candidate in candidates]
        best = min(fits, key=lambda dynamics: dynamics.score)
        if best.score == np.inf:
            raise UndeterminedError(
                f"{len(X)} samples do not even determine linear dynamics in {d} coordinates: "
                "give more samples, or leave out coordinates that depend on others."
            )
        return best, fits[0].is_determined


@dataclass(frozen=True, eq=False)
class WeakVelocities:
    """Velocities of noisy trajectories in the weak form, which needs no derivatives.

    Attributes
    ----------
    form : WeakForm
    X : ndarray of shape (n, d)
        The states as measured, in units of their spread.
    spread : ndarray of shape (d,)
    """

    form: WeakForm
    X: np.ndarray
    spread: np.ndarray
    n_common = 1  # windows are whitened

    @classmethod
    def of(cls, X, t, indices):
        """Place windows on the trajectories of noisy states (n, d)."""
        spread = column_spread(X, np.ones(len(X)))
        scaled = X / spread
        form = WeakForm.of(scaled, t, indices)
        return cls(form, scaled, spread)

    def fit(self, library, X, weight, rng, rtol):
        """Fit them in the library, or else in polynomials of the least degree that fit.

        Those predict the velocities as well as any others within one standard error. Away from a
        trajectory velocities in more functions than it takes are uncertain without need. Functions
        are evaluated at the smoothed states X (n, d), for noise would bias their means.

        Returns
        -------
        dynamics, is_determined : see `MeasuredVelocities.fit`
        """
        d = X.shape[1]
        n_windows = self.form.W.shape[0]
        fits = [self._fit_in(library, X, rtol)]
        for degree in range(1, _LARGEST_DEGREE + 1):
            if degree > 1 and comb(d + degree, degree) > _LARGEST_SHARE * n_windows:
                break
            fits.append(self._fit_in(_polynomials(degree, X), X, rtol))
        best = min(fit.score for fit in fits)
        if best == np.inf:
            raise UndeterminedError(f"{n_windows} windows do not even determine linear dynamics.")
        largest = best * (1 + np.sqrt(2 / n_windows))
        first = next(fit for fit in fits if fit.score <= largest)
        return first, fits[0].is_determined

    def _fit_in(self, library, X, rtol):
        """Fit the velocities at states X (n, d) in one library."""
        phi = self.form.integrals(library_values(library, X))
        rates = self.form.rates(self.X)
        factor = merge_rows(None, np.hstack([phi, rates]))
        n_columns = factor.shape[1]
        square_factor = np.zeros((n_columns, n_columns))
        square_factor[: len(factor)] = factor
        fit = Dynamics.from_factor(library, square_factor, len(rates), rtol)
        coef = fit.coef * self.spread[:, None]
        return replace(fit, coef=coef, sigma=fit.sigma * self.spread)


def _polynomials(degree, X):
    """Return the polynomials of a degree, fitted to states (n, d)."""
    library, _ = place(PolynomialLibrary(degree), X, Group.none(X.shape[1]))
    return library
