"""Evidence from a data set as a submanifold: local patches, or functions that vanish on it."""

from math import comb

import numpy as np
from scipy import sparse
from scipy.linalg import svd
from sklearn.neighbors import NearestNeighbors

from sksym._linalg import merge_rows, one_thread
from sksym.algebras import LieAlgebra, translations
from sksym.discover.models import spatial_clusters
from sksym.libraries import PolynomialLibrary, library_values
from sksym.spectra import (
    FittedEvidence,
    SampledEvidence,
    derivative_on,
    motion,
    pooled_spread,
    sandwich,
    weighted_factor,
)

_LARGEST_SET = 50_000  # of more points so many are taken
_ROWS = 2000  # points at which tangent spaces are estimated
_MOST_NEIGHBOURS = 500
_SCATTER = 0.7  # of isotropic scatter: what counts as a direction of the manifold
_LARGEST_DEGREE = 4
_LARGEST_LIBRARY = 300
_N_FOLDS = 5
_NEWTON_STEPS = 4
_TRANSVERSAL = 0.05
_ASTRAY = 20.0  # median distances
_CORRELATED = 2.5  # standard errors from no correlation between neighbours,
_AGREEMENT = 0.04  # and the least mean cosine that matters


def tangent_evidence(candidates, X, weight, rng):
    """Normal components of the candidate fields along a submanifold that the data lie on.

    Two descriptions compete by the distance of points that were left out. *Patches*: the
    normal coordinates of the nearest neighbours of a point as quadratic functions of the
    tangential ones. *Level set*: polynomials that vanish on the data, of least mean square
    relative to that of their gradients (Taubin 1991). Of more than 50,000 points a random part is
    used.

    Returns
    -------
    evidence : FittedEvidence or SampledEvidence
    dimension : int
    method : str
    """
    if len(X) > _LARGEST_SET:
        kept = np.sort(rng.permutation(len(X))[:_LARGEST_SET])
        X, weight = X[kept], weight[kept]
    chosen = np.sort(rng.permutation(len(X))[:_ROWS])
    with one_thread():
        patches, dimension = _best_patches(X, chosen)
    d = X.shape[1]
    if dimension == d:
        nothing = np.zeros((candidates.dim, candidates.dim))
        rows = np.zeros((1, 1, candidates.dim))
        return SampledEvidence(rows, nothing, nothing, nothing, np.zeros(1)), d, "none"
    with one_thread():
        level, distance = _best_level_set(X, weight, d - dimension, rng)
        # The simpler of equals.
        if level is not None and distance <= 1.05 * patches[0].distance and not level.misses:
            evidence = _level_evidence(level, candidates, X, weight, d - dimension)
            return evidence, dimension, "level set"
        return _patch_evidence(patches, candidates, X, weight, rng), dimension, "patches"


class _Patches:
    """Quadratic patches about some points, from their k nearest neighbours.

    Attributes
    ----------
    points (n, d), tangent (n, t, d), normal (n, c, d) : where the patch passes, and its frames
    noise (n, c), half (n, t, p) : variance of the residuals, root of the slopes' covariance over it
    distance : median distance of a point to the patch made without it
    """

    def __init__(self, X, chosen, neighbours, dimension):
        centre, self.chosen = X[chosen], chosen
        near = X[neighbours] - centre[:, None]
        _, _, Vt = np.linalg.svd(near - near.mean(axis=1, keepdims=True), full_matrices=False)
        T, N = Vt[:, :dimension], Vt[:, dimension:]
        t, y = near @ T.transpose(0, 2, 1), near @ N.transpose(0, 2, 1)
        i, j = np.triu_indices(dimension)
        design = np.concatenate([np.ones((*t.shape[:2], 1)), t, t[..., i] * t[..., j]], axis=2)
        size = np.sqrt(np.mean(design**2, axis=1))[:, :, None]
        Q, R = np.linalg.qr(design / size.transpose(0, 2, 1))
        R = R + 1e-12 * np.eye(R.shape[1])  # points in a row leave a direction free
        coef = np.linalg.solve(R, Q.transpose(0, 2, 1) @ y) / size
        left = y - design @ coef
        inverse = np.linalg.inv(R) / size
        slope = coef[:, 1 : dimension + 1].transpose(0, 2, 1)
        normal = N - slope @ T
        self.noise = np.sum(left**2, axis=1) / max(t.shape[1] - design.shape[2], 1)
        self.half = inverse[:, 1 : dimension + 1]
        self.points = centre + (coef[:, :1] @ N)[:, 0]
        self.tangent = T
        self.normal = np.linalg.qr(normal.transpose(0, 2, 1))[0].transpose(0, 2, 1)
        leverage = np.sum(inverse[:, 0] ** 2, axis=1)
        own = coef[:, 0] / np.maximum(1 - leverage, 1e-3)[:, None]
        self.distance = np.median(np.linalg.norm(own, axis=1))


def _best_patches(X, chosen):
    """Patches of the size with the least distance of points left out, and the dimension."""
    distinct = np.unique(X, axis=0, return_index=True)[1]
    n, d = len(distinct), X.shape[1]
    sizes = np.unique((2.5 * d * 1.6 ** np.arange(13)).astype(int))
    sizes = sizes[sizes < np.clip(n // 8, 3 * d, _MOST_NEIGHBOURS)]
    if n <= sizes[0]:
        raise ValueError(
            f"Tangent spaces in R^{d} need {sizes[0]} distinct neighbours of every point, but X "
            f"has {n} distinct rows: give more samples."
        )
    tree = NearestNeighbors(n_neighbors=sizes[-1] + 1).fit(X[distinct])
    order = distinct[tree.kneighbors(X[chosen], return_distance=False)]
    dimensions = _local_dimensions(X, order[:: max(len(order) // 500, 1)], sizes)
    t = max(min(dimensions), 1)
    sizes = sizes[np.array(dimensions) <= t]  # smaller neighbourhoods see noise alone
    if t == d:
        return None, d
    needed = comb(t + 2, 2) + t + 1
    if sizes[-1] < needed:
        raise ValueError(
            f"A data set of dimension {t} in R^{d} needs {needed} near neighbours of every point "
            f"to tell its tangent spaces; {n} distinct rows allow {sizes[-1]}: give more samples."
        )
    sizes = np.unique(np.maximum(sizes, needed))
    ladder = [_Patches(X, chosen, order[:, : k + 1], t) for k in sizes]
    best = int(np.argmin([patches.distance for patches in ladder]))
    other = best + 1 if best + 1 < len(sizes) else max(best - 1, 0)
    return (ladder[best], ladder[other], sizes[other] / sizes[best]), t


def _local_dimensions(X, order, sizes):
    """Number of directions in which neighbours scatter, for every size of neighbourhood.

    Singular values of a neighbourhood are compared with those of as many points scattered in all
    directions (Marchenko and Pastur); the size of neighbourhood with the fewest directions counts,
    for smaller ones see noise and larger ones curvature.
    """
    d, dimensions = X.shape[1], []
    for k in sizes:
        near = X[order[:, : k + 1]]
        s = np.linalg.svd(near - near.mean(axis=1, keepdims=True), compute_uv=False)
        s = s / np.maximum(s[:, :1], np.finfo(float).tiny)
        scattered = (np.sqrt(k) - np.sqrt(d)) / (np.sqrt(k) + np.sqrt(d))
        dimensions.append(int((np.sqrt(np.mean(s**2, axis=0)) >= _SCATTER * scattered).sum()))
    return dimensions


def _patch_evidence(patches, candidates, X, weight, rng):
    """Normal components of the fields at the patches, with the errors of the normals.

    By chance, from the residuals of the patches; systematic, from the difference to patches of
    another size, as a quadratic patch has an error of second order in its size.
    """
    best, other, ratio = patches
    mine = weight[best.chosen]
    unit = np.sqrt(mine / mine.sum())[:, None, None] / (pooled_spread(X, weight) or 1.0)
    (rows, normal, chance), (_, compared, its_chance) = (
        _normal_components(p, candidates, unit) for p in (best, other)
    )
    # Of nested estimates the difference has the difference of the variances (Hausman).
    bias = _gram(normal - compared) - np.abs(its_chance - chance)
    bias = bias / (1 - ratio ** (2 / best.tangent.shape[1])) ** 2 if ratio != 1 else chance
    square = motion(candidates, best.points, mine)
    return SampledEvidence(rows, square, chance, bias, spatial_clusters(best.points, rng))


def _normal_components(patches, candidates, unit):
    """Fields at the patches: normal coordinates, as vectors, and their mean square by chance."""
    fields = candidates.vector_field(patches.points).transpose(0, 2, 1) * unit
    rows = patches.normal @ fields
    half = patches.half * np.sqrt(np.sum(patches.noise, axis=1))[:, None, None]
    chance = half.transpose(0, 2, 1) @ (patches.tangent @ fields)
    return rows, patches.normal.transpose(0, 2, 1) @ rows, _gram(chance)


def _gram(rows):
    rows = np.concatenate(rows)
    return rows.T @ rows


class _LevelSet:
    """Polynomials that vanish on the data as far as they can, of unit mean square gradient.

    Attributes
    ----------
    coef (m, p) : the polynomials
    spread (p, l) : the other functions, orthonormal on the data
    distance : root mean square of the first m, in units of length
    """

    def __init__(self, library, R, codimension):
        self.library = library
        d, p = library.n_features_in_, R.shape[1]
        D = library.lie_matrices(translations(d))
        self.slopes = [D[:, i * p : (i + 1) * p] for i in range(d)]
        steep = merge_rows(None, np.concatenate([(slope @ R.T).T for slope in self.slopes]))
        _, size, Vt = svd(steep)
        kept = np.append(size > 1e-8 * size[0], np.zeros(len(Vt) - len(size), bool))
        unit, flat = Vt[kept].T / size[kept[: len(size)]], Vt[~kept].T
        # Functions without gradient, such as the constant, cost nothing and take up what they can.
        unit = unit - flat @ np.linalg.lstsq(R @ flat, R @ unit, rcond=1e-8)[0]
        _, s, Vt = svd(R @ unit, full_matrices=False)
        s, functions = s[::-1], unit @ Vt[::-1].T
        m = codimension
        while m < len(s) - 1 and s[m] <= max(3 * s[codimension - 1], 1e-11 * s[-1]):
            m += 1
        self.coef, self.distance = functions[:, :m].T, s[:m]
        self.spread = functions[:, m:] / s[m:]

    def nearest(self, X, codimension):
        """The points of the zero set near the rows of `X`, by a few steps of Newton's method.

        Not finite where the gradients do not span the normal space.
        """
        Z = X
        for step in range(_NEWTON_STEPS):
            phi = library_values(self.library, Z)
            values = phi @ self.coef.T
            J = np.stack([phi @ (slope.T @ self.coef.T) for slope in self.slopes], axis=2)
            U, s, Vt = np.linalg.svd(J, full_matrices=False)
            U, s, Vt = U[:, :, :codimension], s[:, :codimension], Vt[:, :codimension]
            if step == 0 and np.median(s[:, -1]) < _TRANSVERSAL * np.median(s[:, 0]):
                return np.full(X.shape, np.inf)
            along = np.einsum("nm,nmk->nk", values, U) / np.maximum(s, np.finfo(float).tiny)
            Z = Z - np.einsum("nk,nkd->nd", along, Vt)
        return np.nan_to_num(Z, nan=np.inf)


def _best_level_set(X, weight, codimension, rng):
    """The level set of least cross-validated distance, the simplest of equals; or None."""
    n, d, best, least = len(X), X.shape[1], None, np.inf
    fold = rng.permutation(n) % _N_FOLDS
    for degree in range(1, _LARGEST_DEGREE + 1):
        p = comb(d + degree, degree)
        if p > min(0.2 * n, _LARGEST_LIBRARY):
            break
        library = PolynomialLibrary(degree).fit(X)
        parts = [weighted_factor(library, X[fold == k], weight[fold == k]) for k in range(_N_FOLDS)]
        moved = np.zeros(X.shape)
        for k in range(_N_FOLDS):
            R = merge_rows(None, np.concatenate(parts[:k] + parts[k + 1 :]))
            away = _LevelSet(library, R / np.sqrt(weight[fold != k].sum()), codimension)
            moved[fold == k] = away.nearest(X[fold == k], codimension) - X[fold == k]
        distance = np.median(np.linalg.norm(moved, axis=1))  # few are near singular points
        if best is None or (least > 1e-10 * np.abs(X).max() and distance < 0.9 * least):
            R = merge_rows(None, np.concatenate(parts)) / np.sqrt(weight.sum())
            best, least = _LevelSet(library, R, codimension), distance
            best.misses = distance > 1e-10 * np.abs(X).max() and _is_systematic(moved, X)
    return best, least


def _is_systematic(moved, X):
    """Whether displacements of neighbours agree, as they do where a surface misses the data."""
    if not np.isfinite(moved).all():
        return True
    foot = X + moved  # near along the surface, whatever their distances from it
    near = NearestNeighbors(n_neighbors=4).fit(foot).kneighbors(foot, return_distance=False)[:, 1:]
    along = moved / np.maximum(np.linalg.norm(moved, axis=1), np.finfo(float).tiny)[:, None]
    agreement = np.sum(along * along[near].mean(axis=1), axis=1)
    notable = agreement.mean() > _AGREEMENT
    return notable and agreement.sum() > _CORRELATED * np.linalg.norm(agreement)


def _level_evidence(level, candidates, X, weight, codimension):
    """Changes of the vanishing polynomials along the fields, with the errors of the polynomials."""
    n, (m, p) = weight.sum(), level.coef.shape
    # Off the zero set even a multiple of P, as a dilation gives, would not vanish.
    Z = level.nearest(X, codimension)
    moved = np.linalg.norm(Z - X, axis=1)
    astray = ~(moved <= _ASTRAY * np.median(moved) + 1e-9 * np.abs(X).max())
    Z = np.where(astray[:, None], X, Z)  # near singular points Newton's method may fail
    tests = weighted_factor(level.library, Z, weight).T / np.sqrt(n)
    multiples = _multiples(level, candidates)
    length = pooled_spread(X, weight) or 1.0
    rank = level.spread.shape[1]
    errors = sandwich(level.library, X, weight, np.zeros((len(X), m)), level.coef, level.spread)
    # Off the manifold by sigma, a polynomial is sigma^2 / 2 times its Laplacian on average.
    laplacian = sum(slope @ slope for slope in level.slopes).T @ level.coef.T
    variance = np.mean(level.distance**2)
    bias = 0.5 * variance * (tests.T @ laplacian).T @ (tests.T @ level.spread)
    round_off = 1e-13 * length * np.eye(m * rank)
    return FittedEvidence(
        L=derivative_on(level.library, candidates, multiples, Z, weight, sparse.csr_array(tests)),
        coef=level.coef,
        seen=np.linalg.pinv(level.spread).T,
        spread=level.spread,
        unseen=np.zeros((p, 0)),
        noise=np.hstack([errors, bias.reshape(-1, 1), round_off]),
        dof=m * max(n - p, 1.0),
        n=n * m,
        motion=motion(candidates, Z, weight),
        output_scale=length,
        common=True,
    )


def _multiples(level, candidates):
    """``B`` (r, m, m) with ``L_a P = B_a P`` for symmetries: on the zero set both sides vanish."""
    if not isinstance(candidates, LieAlgebra):
        return None
    D = level.library.lie_matrices(candidates)
    m, p = level.coef.shape
    moved = (level.coef @ D).reshape(m, candidates.dim, p).transpose(1, 0, 2)
    return moved @ np.linalg.pinv(level.coef)
