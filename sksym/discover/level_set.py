"""A submanifold as the zero set of polynomials.

The polynomials vanish on the data as far as they can: of least mean square relative to that of
their gradients (Taubin 1991).
"""

from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.linalg import svd
from sklearn.neighbors import NearestNeighbors

from sksym._linalg import merge_rows
from sksym.discover.folds import fold_statistics, leave_one_out, merged
from sksym.evidence import (
    Estimate,
    FittedEvidence,
    derivative_on_data,
    library_statistics,
    motion,
    pooled_spread,
    sandwich,
)
from sksym.groups import translations
from sksym.libraries import PolynomialLibrary, library_values

_LARGEST_DEGREE = 4
_LARGEST_LIBRARY = 300
_LARGEST_SHARE = 0.2  # of the number of rows: functions that are fitted
_N_FOLDS = 5
_GAIN = 0.9  # a higher degree must make the distance this many times as large, or less
_EXACT = 1e-10  # of the size of the data: distances that are round-off

_FLAT = 1e-8  # relative size of gradients that vanish
_ALIKE = 3.0  # times the distance of the last polynomial needed: those that vanish as well
_ROUND_OFF = 1e-11
_NOISE_FLOOR = 1e-13  # relative, of exact data
_TINY = np.finfo(float).tiny
_NEWTON_STEPS = 4
_TRANSVERSAL = 0.05  # least singular value of the gradients relative to the largest, typically

_ASTRAY = 20.0  # median distances, beyond which a step of Newton's method is not believed,
_STRAY_ROUND_OFF = 1e-9  # and of the size of the data, which may always be corrected
_N_NEIGHBOURS = 3
_CORRELATED = 2.5  # standard errors from no correlation between neighbours,
_AGREEMENT = 0.04  # and the least mean cosine that matters


@dataclass(frozen=True, eq=False)
class LevelSet:
    """Polynomials that vanish on the data as far as they can, of unit mean square gradient.

    Attributes
    ----------
    library : fitted PolynomialLibrary
    slopes : list of sparse array of shape (p, p)
        The derivatives ``d phi / d x_i = slopes[i] @ phi``.
    codimension : int
        Number c of polynomials that are needed.
    coef : ndarray of shape (m, p)
        All polynomials that vanish as well as those, m >= c.
    spread : ndarray of shape (p, l)
        The other functions, orthonormal on the data.
    distance : ndarray of shape (m,)
        Root mean square of the polynomials, in units of length.
    """

    library: PolynomialLibrary
    slopes: list
    codimension: int
    coef: np.ndarray
    spread: np.ndarray
    distance: np.ndarray

    @classmethod
    def fit(cls, library, R, codimension):
        """Minimise ``mean P(x)^2 / mean |dP(x)|^2`` over the polynomials of a library.

        Parameters
        ----------
        library : fitted PolynomialLibrary
        R : ndarray of shape (p, p)
            R factor of the library values: squares are means over the data.
        codimension : int
        """
        slopes = _derivatives(library)
        gradients = [(slope @ R.T).T for slope in slopes]
        _, size, Vt = svd(merge_rows(None, np.concatenate(gradients)))
        rank = np.count_nonzero(size > _FLAT * size[0])
        unit = Vt[:rank].T / size[:rank]
        flat = Vt[rank:].T
        # Functions without gradient, such as the constant, are free to take up what they can.
        taken_up = np.linalg.lstsq(R @ flat, R @ unit, rcond=_FLAT)[0]
        unit = unit - flat @ taken_up

        _, s, Vt = svd(R @ unit, full_matrices=False)
        s = s[::-1]
        functions = unit @ Vt[::-1].T
        m = codimension
        allowed = max(_ALIKE * s[m - 1], _ROUND_OFF * s[-1])
        while m < len(s) - 1 and s[m] <= allowed:
            m += 1
        return cls(
            library=library,
            slopes=slopes,
            codimension=codimension,
            coef=functions[:, :m].T,
            spread=functions[:, m:] / s[m:],
            distance=s[:m],
        )

    def nearest(self, X):
        """Return the points of the zero set near the rows of `X` (n, d), by Newton's method.

        Not finite where the gradients do not span the normal space.
        """
        c = self.codimension
        Z = X
        for step in range(_NEWTON_STEPS):
            values, gradients = self._values_and_gradients(Z)
            # The gradients of m polynomials span no more than c dimensions on the zero set.
            U, s, Vt = np.linalg.svd(gradients, full_matrices=False)
            U = U[:, :, :c]
            s = s[:, :c]
            Vt = Vt[:, :c]
            least = np.median(s[:, -1])
            if step == 0 and least < _TRANSVERSAL * np.median(s[:, 0]):
                return np.full(X.shape, np.inf)
            independent = np.einsum("nm,nmk->nk", values, U)
            lengths = independent / np.maximum(s, _TINY)
            Z = Z - np.einsum("nk,nkd->nd", lengths, Vt)
        return np.nan_to_num(Z, nan=np.inf)

    def _values_and_gradients(self, X):
        """Return the polynomials (n, m) and their gradients (n, m, d) at points (n, d)."""
        phi = library_values(self.library, X)
        values = phi @ self.coef.T
        partial = [phi @ (slope.T @ self.coef.T) for slope in self.slopes]
        return values, np.stack(partial, axis=2)

    def laplacian(self):
        """Return the coefficients (p, m) of the Laplacians of the polynomials."""
        second = [slope @ slope for slope in self.slopes]
        return sum(second).T @ self.coef.T

    def multiples(self, candidates):
        """Return ``B`` (r, m, m) such that ``L_a P = B_a P`` for symmetries of the zero set.

        Both sides vanish there. None for fields under which the library is not closed.
        """
        if not candidates.is_affine:
            return None
        D = self.library.lie_matrices(candidates)
        m, p = self.coef.shape
        changes = (self.coef @ D).reshape(m, candidates.dim, p)
        return changes.transpose(1, 0, 2) @ np.linalg.pinv(self.coef)

    def evidence(self, candidates, X, weight):
        """Return the changes of the polynomials along the fields, with the polynomials' errors.

        Parameters
        ----------
        candidates : LieAlgebra or VectorFields
        X : ndarray of shape (n, d)
        weight : ndarray of shape (n,)

        Returns
        -------
        FittedEvidence
        """
        n = weight.sum()
        m, p = self.coef.shape
        length = pooled_spread(X, weight) or 1.0
        # Off the zero set even a multiple of P, as a dilation gives, would not vanish.
        Z = _without_stray(self.nearest(X), X)
        no_targets = np.zeros((len(Z), 0))
        statistics = library_statistics(self.library, Z, no_targets, weight)
        tests = statistics.R.T / np.sqrt(n)
        estimate = Estimate(
            coef=self.coef,
            to_data=np.linalg.pinv(self.spread).T,
            from_data=self.spread,
            undetermined=np.zeros((p, 0)),
            noise=self._noise(X, weight, tests, length),
            dof=m * max(n - p, 1.0),
            n=n * m,
        )
        return FittedEvidence(
            L=derivative_on_data(
                self.library,
                candidates,
                self.multiples(candidates),
                Z,
                weight,
                tests,
            ),
            estimate=estimate,
            motion=motion(candidates, Z, weight),
            output_scale=length,
            common=True,
        )

    def _noise(self, X, weight, tests, length):
        """Return the factor (m l, e) of the covariance of the polynomials in other functions."""
        m = len(self.coef)
        rank = self.spread.shape[1]
        zeros = np.zeros((len(X), m))
        chance = sandwich(self.library, X, zeros, weight, self.coef, self.spread)
        # Off the manifold by sigma, a polynomial is sigma^2 / 2 times its Laplacian on average.
        variance = np.mean(self.distance**2)
        laplacian = tests.T @ self.laplacian()
        others = tests.T @ self.spread
        bias = 0.5 * variance * laplacian.T @ others
        round_off = _NOISE_FLOOR * length * np.eye(m * rank)
        return np.hstack([chance, bias.reshape(-1, 1), round_off])


def _derivatives(library):
    """Return the matrices (p, p) of the derivatives by every coordinate, sparse."""
    d = library.n_features_in_
    p = library.n_output_features_
    D = library.lie_matrices(translations(d))
    return [D[:, i * p : (i + 1) * p] for i in range(d)]


def _without_stray(Z, X):
    """Return `Z` (n, d), but rows of `X` where Newton's method failed, as near singular points."""
    distance = np.linalg.norm(Z - X, axis=1)
    round_off = _STRAY_ROUND_OFF * np.abs(X).max()
    near = distance <= _ASTRAY * np.median(distance) + round_off
    return np.where(near[:, None], Z, X)


def best_level_set(X, weight, codimension, rng):
    """Return the level set of least cross-validated distance, the simplest of equals.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    codimension : int
    rng : RandomState

    Returns
    -------
    level_set : LevelSet or None
        None where there are too few data, or where the surface misses them systematically.
    distance : float
        Median distance of points that were left out.
    """
    n, d = X.shape
    fold = rng.permutation(n) % _N_FOLDS
    exact = _EXACT * np.abs(X).max()
    best = None
    least = np.inf
    for degree in range(1, _LARGEST_DEGREE + 1):
        affordable = min(_LARGEST_SHARE * n, _LARGEST_LIBRARY)
        if comb(d + degree, degree) > affordable or least <= exact:
            break
        library = PolynomialLibrary(degree).fit(X)
        folds = fold_statistics(library, X, weight, fold)
        displacement = _held_out_displacement(
            library,
            folds,
            X,
            weight,
            fold,
            codimension,
        )
        # The median: few points are near singular ones.
        distance = np.median(np.linalg.norm(displacement, axis=1))
        if best is None or distance < _GAIN * least:
            least = distance
            best = library, folds, displacement
    if best is None:
        return None, np.inf
    library, folds, displacement = best
    if least > exact and _is_systematic(displacement, X):
        return None, least
    R = merged(folds).R / np.sqrt(weight.sum())
    return LevelSet.fit(library, R, codimension), least


def _held_out_displacement(library, folds, X, weight, fold, codimension):
    """Return the vectors (n, d) from every point to the level set that is fitted without it."""
    displacement = np.zeros(X.shape)
    for k, training in enumerate(leave_one_out(folds)):
        held_out = fold == k
        n = weight[~held_out].sum()
        R = training.R / np.sqrt(n)
        level_set = LevelSet.fit(library, R, codimension)
        points = X[held_out]
        displacement[held_out] = level_set.nearest(points) - points
    return displacement


def _is_systematic(displacement, X):
    """Return whether displacements of neighbours agree: the surface misses the data there.

    Parameters
    ----------
    displacement : ndarray of shape (n, d)
        From the rows of `X` (n, d) to the surface.
    """
    if not np.isfinite(displacement).all():
        return True
    # Neighbours along the surface, whatever their distances from it.
    foot = X + displacement
    tree = NearestNeighbors(n_neighbors=_N_NEIGHBOURS + 1).fit(foot)
    neighbours = tree.kneighbors(foot, return_distance=False)[:, 1:]
    length = np.linalg.norm(displacement, axis=1)
    length = np.maximum(length, _TINY)
    direction = displacement / length[:, None]
    mean_direction = direction[neighbours].mean(axis=1)
    cosine = np.sum(direction * mean_direction, axis=1)
    is_notable = cosine.mean() > _AGREEMENT
    is_significant = cosine.sum() > _CORRELATED * np.linalg.norm(cosine)
    return is_notable and is_significant
