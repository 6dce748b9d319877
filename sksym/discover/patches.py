"""A submanifold as quadratic patches through nearest neighbours, and its normal spaces.

Indices of arrays: m patches, k neighbours of each, d coordinates, t tangential and c normal ones.
"""

from dataclasses import dataclass
from math import comb

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sksym.discover.sampling import spatial_clusters
from sksym.evidence import SampledEvidence, motion, pooled_spread

_MOST_NEIGHBOURS = 500
_LARGEST_SHARE = 8  # a neighbourhood has no more than an eighth of the points
_N_SIZES = 13
_GROWTH = 1.6  # of neighbourhoods, from 2.5 d points
_SCATTER = 0.7  # of isotropic scatter: what counts as a direction of the manifold
_ROWS_FOR_DIMENSION = 500
_DEGENERATE = 1e-12  # relative diagonal added to an R factor
_TINY = np.finfo(float).tiny
_LEAST_FREEDOM = 1e-3  # 1 - leverage of a point that alone determines its patch


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """The nearest neighbours of some points, and how many dimensions they scatter in.

    Attributes
    ----------
    centers : ndarray of shape (m,)
        Rows of the data about which patches are made.
    order : ndarray of shape (m, k)
        Rows of the data by their distance, the point itself first.
    sizes : ndarray of int
        Numbers of neighbours that are enough for a patch, ascending.
    dimension : int
    """

    centers: np.ndarray
    order: np.ndarray
    sizes: np.ndarray
    dimension: int

    @classmethod
    def of(cls, X, centers):
        """Find the neighbours of the rows `centers` among the distinct rows of `X` (n, d)."""
        _, distinct = np.unique(X, axis=0, return_index=True)
        n = len(distinct)
        d = X.shape[1]
        sizes = _sizes(n, d)
        if n <= sizes[0]:
            raise ValueError(
                f"Tangent spaces in R^{d} need {sizes[0]} distinct neighbours of every point, but "
                f"X has {n} distinct rows: give more samples."
            )
        tree = NearestNeighbors(n_neighbors=sizes[-1] + 1)
        tree.fit(X[distinct])
        order = distinct[tree.kneighbors(X[centers], return_distance=False)]
        every = max(len(order) // _ROWS_FOR_DIMENSION, 1)
        dimensions = _local_dimensions(X, order[::every], sizes)
        dimension = max(dimensions.min(), 1)
        # Smaller neighbourhoods see nothing but noise.
        sizes = sizes[dimensions <= dimension]
        if dimension < d:
            needed = comb(dimension + 2, 2) + dimension + 1
            if sizes[-1] < needed:
                raise ValueError(
                    f"A data set of dimension {dimension} in R^{d} needs {needed} near neighbours "
                    f"of every point to tell its tangent spaces; {n} distinct rows allow "
                    f"{sizes[-1]}: give more samples."
                )
            sizes = np.unique(np.maximum(sizes, needed))
        return cls(centers, order, sizes, int(dimension))


def _sizes(n, d):
    """Return the sizes of neighbourhoods to try among n distinct points in R^d."""
    growing = 2.5 * d * _GROWTH ** np.arange(_N_SIZES)
    sizes = np.unique(growing.astype(int))
    largest = np.clip(n // _LARGEST_SHARE, 3 * d, _MOST_NEIGHBOURS)
    return sizes[sizes < largest]


def _local_dimensions(X, order, sizes):
    """Count the directions in which neighbours scatter, for every size of neighbourhood.

    Singular values of a neighbourhood are compared with those of as many points scattered in all
    directions (Marchenko and Pastur 1967). The size with the fewest directions counts: smaller
    neighbourhoods see noise, larger ones curvature.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    order : ndarray of shape (m, k)
    sizes : ndarray of int

    Returns
    -------
    ndarray of int, one for each size
    """
    root_d = np.sqrt(X.shape[1])
    dimensions = []
    for k in sizes:
        near = X[order[:, : k + 1]]
        s = np.linalg.svd(_centred(near), compute_uv=False)
        relative = s / np.maximum(s[:, :1], _TINY)
        typical = np.sqrt(np.mean(relative**2, axis=0))
        # The least singular value of isotropic scatter relative to the largest.
        root_k = np.sqrt(k)
        isotropic = (root_k - root_d) / (root_k + root_d)
        directions = typical >= _SCATTER * isotropic
        dimensions.append(np.count_nonzero(directions))
    return np.array(dimensions)


def _centred(near):
    """Subtract their mean from the points (m, k, d) of every neighbourhood."""
    return near - near.mean(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Patches:
    """Quadratic patches: normal coordinates as quadratic functions of the tangential ones.

    Attributes
    ----------
    points : ndarray of shape (m, d)
        Where the patches pass.
    tangent : ndarray of shape (m, t, d)
        Orthonormal principal axes of the neighbourhoods.
    normal : ndarray of shape (m, c, d)
        Orthonormal normals of the patches at the points.
    noise : ndarray of shape (m, c)
        Variance of the residuals.
    slope_factor : ndarray of shape (m, t, p)
        Factor of the covariance of the slopes at unit noise.
    distance : float
        Median distance of a point to the patch made without it.
    """

    points: np.ndarray
    tangent: np.ndarray
    normal: np.ndarray
    noise: np.ndarray
    slope_factor: np.ndarray
    distance: float

    @classmethod
    def fit(cls, X, neighbourhoods, size):
        """Fit patches to `size` neighbours of every center by least squares."""
        t = neighbourhoods.dimension
        center = X[neighbourhoods.centers]
        nearest = neighbourhoods.order[:, : size + 1]
        near = X[nearest] - center[:, None]
        axes = _principal_axes(near)
        tangent = axes[:, :t]
        transversal = axes[:, t:]
        heights = near @ transversal.mT
        design = _quadratic_functions(near @ tangent.mT)
        coef, factor = _least_squares(design, heights)
        height = coef[:, 0]
        slopes = coef[:, 1 : t + 1].mT
        normal = transversal - slopes @ tangent
        residual = heights - design @ coef
        freedom = max(design.shape[1] - design.shape[2], 1)
        # Left out of the fit, a point would be farther away by one over 1 - leverage.
        leverage = np.sum(factor[:, 0] ** 2, axis=1)
        freedom_of_center = np.maximum(1 - leverage, _LEAST_FREEDOM)
        left_out = height / freedom_of_center[:, None]
        return cls(
            points=center + (height[:, None] @ transversal)[:, 0],
            tangent=tangent,
            normal=np.linalg.qr(normal.mT).Q.mT,
            noise=np.sum(residual**2, axis=1) / freedom,
            slope_factor=factor[:, 1 : t + 1],
            distance=np.median(np.linalg.norm(left_out, axis=1)),
        )

    def normal_components(self, fields):
        """Return the normal components of vector fields at the points, and their errors.

        Parameters
        ----------
        fields : ndarray of shape (m, d, r)

        Returns
        -------
        components : ndarray of shape (m, c, r)
            In the frames of the patches.
        vectors : ndarray of shape (m, d, r)
            The same as vectors.
        errors : ndarray of shape (m, p, r)
            Their square is that of the errors by chance.
        """
        components = self.normal @ fields
        vectors = self.normal.mT @ components
        # A normal that is wrong by a slope takes the tangential components for normal ones.
        sigma = np.sqrt(np.sum(self.noise, axis=1))
        factor = self.slope_factor * sigma[:, None, None]
        tangential = self.tangent @ fields
        errors = factor.mT @ tangential
        return components, vectors, errors


def _principal_axes(near):
    """Return orthonormal axes (m, d, d) of neighbourhoods (m, k, d), the longest first."""
    _, _, axes = np.linalg.svd(_centred(near), full_matrices=False)
    return axes


def _quadratic_functions(u):
    """Return the values ``1, u_i, u_i u_j`` of coordinates (m, k, t), last axis."""
    i, j = np.triu_indices(u.shape[2])
    constant = np.ones_like(u[..., :1])
    products = u[..., i] * u[..., j]
    return np.concatenate([constant, u, products], axis=2)


def _least_squares(design, heights):
    """Solve the least-squares problem of every patch.

    Parameters
    ----------
    design : ndarray of shape (m, k, p)
    heights : ndarray of shape (m, k, c)

    Returns
    -------
    coef : ndarray of shape (m, p, c)
    factor : ndarray of shape (m, p, p)
        ``factor @ factor.T`` is the covariance of the coefficients at unit noise.
    """
    # Columns of unit size: heights, slopes and curvatures have different units.
    size = np.sqrt(np.mean(design**2, axis=1))
    Q, R = np.linalg.qr(design / size[:, None])
    p = design.shape[2]
    R = R + _DEGENERATE * np.eye(p)  # points in a row leave a direction free
    units = size[:, :, None]
    coef = np.linalg.solve(R, Q.mT @ heights) / units
    factor = np.linalg.inv(R) / units
    return coef, factor


@dataclass(frozen=True, eq=False)
class PatchPair:
    """Patches of the size with the least distance of points left out, and of another size.

    Attributes
    ----------
    best, other : Patches
    ratio : float
        Neighbours of `other` relative to those of `best`.
    """

    best: Patches
    other: Patches
    ratio: float

    @classmethod
    def of(cls, X, neighbourhoods):
        """Fit patches of all sizes to data (n, d), and choose."""
        sizes = neighbourhoods.sizes
        ladder = [Patches.fit(X, neighbourhoods, size) for size in sizes]
        distances = [patches.distance for patches in ladder]
        best = int(np.argmin(distances))
        other = best + 1
        if other == len(sizes):
            other = max(best - 1, 0)
        ratio = sizes[other] / sizes[best]
        return cls(ladder[best], ladder[other], ratio)

    def evidence(self, candidates, X, weight, center_weight, rng):
        """Return the normal components of the candidate fields, with the errors of the normals.

        Errors by chance come from the residuals of the patches. Systematic ones come from the
        difference to patches of another size, as a quadratic patch has an error of second order
        in its size.

        Parameters
        ----------
        candidates : LieAlgebra or VectorFields
        X : ndarray of shape (n, d)
        weight : ndarray of shape (n,)
        center_weight : ndarray of shape (m,)
            The weight of every patch.
        rng : RandomState

        Returns
        -------
        SampledEvidence
        """
        share = center_weight / center_weight.sum()
        length = pooled_spread(X, weight) or 1.0
        unit = np.sqrt(share)[:, None, None] / length

        def components(patches):
            fields = candidates.vector_field(patches.points).mT
            return patches.normal_components(fields * unit)

        rows, vectors, errors = components(self.best)
        _, other_vectors, other_errors = components(self.other)
        chance = _gram(errors)
        bias = chance
        if self.ratio != 1:
            # Of nested estimates the difference has the difference of the variances (Hausman 1978).
            variance = np.abs(_gram(other_errors) - chance)
            change = _gram(vectors - other_vectors) - variance
            t = self.best.tangent.shape[1]
            growth = self.ratio ** (2 / t)  # of squared radii, and so of errors
            bias = change / (1 - growth) ** 2
        points = self.best.points
        return SampledEvidence(
            rows=rows,
            motion=motion(candidates, points, center_weight),
            noise=chance,
            bias=bias,
            clusters=spatial_clusters(points, rng),
        )


def _gram(rows):
    """Return the sum over the points of squares (r, r) of rows (m, c, r)."""
    rows = np.concatenate(rows)
    return rows.T @ rows
