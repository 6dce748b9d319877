"""A scaler that keeps the symmetry: standardisation as far as it commutes with a group."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import checked_weights, on_copy, validate_data
from sksym._linalg import EPS
from sksym.equivariant import nearest_fixed_point
from sksym.groups import resolve

_ROUND_OFF = 8 * EPS  # of a mean, relative to the largest value
_INSIDE = 1e-9  # part of a translation, relative to it, that may lie outside of the group


class SymmetricScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Standardise the columns as far as the symmetry allows: the drop-in for StandardScaler.

    ``z = p + (x - c) / s`` with one scale s for every set of columns that the symmetry mixes:
    their root mean square distance from c. c is the fixed point of the symmetry nearest the mean
    of the data, and p the fixed point nearest the origin, so that ``g z(x) = z(g x)`` for every
    element g: what is fitted after it has the same symmetry. A column that the symmetry leaves
    alone is standardised to mean 0 and variance 1; ``so(3)`` divides three columns by one number;
    permutations subtract one mean from all columns. Translations have no fixed point: c is then
    the mean, and the motions of z are the motions of x in another order.

    Parameters
    ----------
    symmetry : LieAlgebra, FiniteGroup, Group or callable, default=None
        Who acts, by affine motions; a callable such as ``so`` is called with the number of
        features. None: no symmetry, as StandardScaler.

    Attributes
    ----------
    center_ : ndarray of shape (d,)
        ``c``.
    origin_ : ndarray of shape (d,)
        ``p``.
    scale_ : ndarray of shape (d,)
        ``s``; 1 for columns that do not vary.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)

    Examples
    --------
    >>> from sksym import SymmetricScaler, so
    >>> SymmetricScaler(so(2)).fit([[3.0, 0.0], [0.0, 5.0], [0.0, -4.0]]).scale_.round(3)
    array([2.887, 2.887])
    """

    def __init__(self, symmetry=None):
        self.symmetry = symmetry

    @on_copy
    def fit(self, X, y=None, sample_weight=None):
        """Find centre and scales.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : ignored
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the symmetry moves points by fields beyond affine.
        """
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        X = X.astype(np.float64, copy=False)
        weight = checked_weights(sample_weight, len(X))
        weight = weight / weight.max()
        group = resolve(self.symmetry, X)
        if not group.algebra.is_affine:
            raise ValueError(
                "Fields beyond affine leave no scaling that is known to keep them: put no scaler "
                "before the estimator, or divide all columns by one number."
            )
        is_counted = weight > 0
        X = X[is_counted]
        weight = weight[is_counted]
        weight = weight / weight.sum()
        # In units of the largest values, whose sums and squares cannot overflow.
        unit = np.abs(X).max(axis=0)
        unit[unit == 0] = 1.0
        mean = unit * (weight @ (X / unit))
        center, origin, label = _centres(group, mean)
        scale = np.ones(len(mean))
        for k in np.unique(label):
            if k < 0:
                continue
            columns = np.flatnonzero(label == k)
            distance = X[:, columns] - center[columns]
            largest = np.abs(distance).max()
            # What differs from the centre by the round-off of one value does not vary.
            round_off = _ROUND_OFF * np.abs(X[:, columns]).max()
            if largest <= round_off:
                continue
            square = weight @ (distance / largest) ** 2
            scale[columns] = largest * np.sqrt(square.mean())
        self.center_ = center
        self.origin_ = origin
        self.scale_ = scale

    def transform(self, X):
        """Scale the rows of `X`, (n, d)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        scaled = self.origin_ + (X - self.center_) / self.scale_
        return scaled.astype(X.dtype, copy=False)

    def inverse_transform(self, X):
        """Undo `transform`: rows of (n, d) in the units of the data."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        original = self.center_ + (X - self.origin_) * self.scale_
        return original.astype(X.dtype, copy=False)


def _centres(group, mean):
    """Find where the scaling is centred, and which columns share a scale.

    Parameters
    ----------
    group : Group
    mean : ndarray of shape (d,)

    Returns
    -------
    center, origin : ndarray of shape (d,)
    label : ndarray of shape (d,) of int
        The set of columns that each belongs to; -1: no scaling but the identity keeps the group.
    """
    d = len(mean)
    center = mean.copy()
    origin = np.zeros(d)
    displacement = group.elements.matrices - np.eye(d)
    linear = np.concatenate([group.algebra.linear, displacement])
    no_offset = np.zeros((len(displacement), d))
    offset = np.concatenate([group.algebra.offset, no_offset])
    _, label = connected_components(sparse.csr_array(group.mixing), directed=False)
    is_moved = np.zeros(d, bool)
    for k in np.unique(label):
        columns = np.flatnonzero(label == k)
        A = linear[:, columns[:, None], columns]
        A = A.reshape(-1, len(columns))
        b = offset[:, columns]
        b = b.ravel()
        fixed_point = nearest_fixed_point(A, b, mean[columns])
        if fixed_point is None:
            is_moved[columns] = True
            continue
        center[columns] = fixed_point
        # Scaled about one fixed point and moved to another: both commute with the group.
        origin[columns] = nearest_fixed_point(A, b, origin[columns])
    if not is_moved.any():
        return center, origin, label
    # Without fixed point: one scale for all of them, and only where translations make it good.
    label[is_moved] = d
    if not _has_translations(group, linear, offset, mean, is_moved):
        center[is_moved] = 0.0
        label[is_moved] = -1
    return center, origin, label


def _has_translations(group, linear, offset, mean, is_moved):
    """Tell whether scaling about the mean changes every motion by translations of the group.

    The motion ``A x + b`` of x is ``A z + (A c + b) / s`` of z. It belongs to the group for every
    s where both ``A c`` and b are translations that do.
    """
    algebra = group.algebra
    is_translation = ~algebra.linear.any(axis=(1, 2))
    translations = algebra.offset[is_translation][:, is_moved]
    if not len(translations):
        return False
    center = mean[is_moved]
    unit = np.abs(center).max() or 1.0
    matrices = linear[:, is_moved]
    matrices = matrices[:, :, is_moved]
    of_center = matrices @ (center / unit)
    changes = np.concatenate([of_center, offset[:, is_moved]])
    # As rows in the span of the translations; generators may differ in units.
    size = np.linalg.norm(translations, axis=1)
    basis = translations / size[:, None]
    inside = changes @ np.linalg.pinv(basis)
    outside = changes - inside @ basis
    distance = np.linalg.norm(outside, axis=1)
    terms = np.linalg.norm(changes, axis=1)
    return bool((distance <= _INSIDE * terms).all())
