"""Invariant features: a known symmetry in front of any classifier or regressor."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import in_dtype, on_copy, validate_data, warn
from sksym._linalg import reduced_echelon
from sksym.equivariant import equivariant_basis, place, probe_points
from sksym.groups import resolve
from sksym.libraries import (
    DefaultLibrary,
    PolynomialLibrary,
    fitted_values,
    library_formulas,
    library_values,
)

_CONSTANT = 1e-10  # slope relative to its terms at which a function does not vary
_N_PROBES = 100


class InvariantFeatures(DefaultLibrary, TransformerMixin, BaseEstimator):
    """The invariant functions of a known symmetry, in front of any classifier or regressor.

    The features are a basis, in reduced echelon form and without the constant, of all functions
    in the library that the symmetry leaves unchanged: ``x0^2 + x1^2`` for rotations of the plane.

    Parameters
    ----------
    symmetry : LieAlgebra, VectorFields, FiniteGroup, Group or callable, default=None
        Who acts; a callable such as ``so`` is called with the number of features. None: no
        symmetry, so that every function of the library is a feature.
    library : library, default=None
        None is ``PolynomialLibrary(2)``, about the fixed point nearest the origin.
    rtol : float, default=1e-10
        Relative tolerance of the null space.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features_out, p)
        The features in the functions of `library_`.
    library_ : fitted library
    n_features_in_ : int

    Examples
    --------
    >>> from sksym import InvariantFeatures, so
    >>> InvariantFeatures(so(2)).fit([[1.0, 2.0]]).get_feature_names_out()
    array(['x0^2 + x1^2'], dtype=object)
    """

    def __init__(self, symmetry=None, *, library=None, rtol=1e-10):
        self.symmetry = symmetry
        self.library = library
        self.rtol = rtol

    @on_copy
    def fit(self, X, y=None):
        """Find the invariants of the library on the columns of `X` (n, d)."""
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        X = X.astype(np.float64, copy=False)
        group = resolve(self.symmetry, X)
        template = PolynomialLibrary(2) if self.library is None else self.library
        names = vars(self).get("feature_names_in_")
        # Translations leave invariants unchanged: far from the origin they are computed near the
        # data, where nothing cancels, and written as if about the origin.
        shift = _nearest_translation(group, X)
        library, _ = place(template, X, group, near=shift, names=names)
        basis = equivariant_basis(library, group, points=X, rtol=self.rtol).toarray()
        points = probe_points(X, _N_PROBES)
        coef = _echelon_in_units_of_data(library, basis, points)
        coef = coef[_varies(library, coef, points[::10])]
        if not len(coef):
            warn(
                "No function of the library but the constant is invariant, so there are no "
                "features: raise the degree of the library, or check the symmetry."
            )
        self.library_ = library
        self.coef_ = coef
        self._shift_ = shift

    def transform(self, X):
        """Evaluate the invariants: shape (n, n_features_out)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        values = fitted_values(self.library_, self.coef_, X.astype(float, copy=False))
        return in_dtype(values, X.dtype)

    def get_feature_names_out(self, input_features=None):
        """Return the invariants as formulas, long ones cut."""
        check_is_fitted(self)
        return library_formulas(self, input_features, self._shift_)


def _nearest_translation(group, X):
    """Return the translation (d,) of the group that moves the origin nearest to the data."""
    algebra = group.algebra
    middle = X.min(axis=0) / 2 + X.max(axis=0) / 2
    if not algebra.is_affine:
        return np.zeros(len(middle))
    is_translation = ~algebra.linear.any(axis=(1, 2))
    translations = algebra.offset[is_translation].T
    if not translations.size:
        return np.zeros(len(middle))
    # Generators may differ in units.
    translations = translations / np.linalg.norm(translations, axis=0)
    amount = np.linalg.pinv(translations) @ middle
    return translations @ amount


def _echelon_in_units_of_data(library, basis, points):
    """Return functions (k, p) in echelon form where a small coefficient is a small term.

    The leading coefficient of each, as its formula shows it, is 1.
    """
    # Norms by `hypot`, because squares may overflow.
    size = np.hypot.reduce(library_values(library, points), axis=0) / np.sqrt(len(points))
    size[size == 0] = 1
    with np.errstate(over="ignore"):
        coef = reduced_echelon(basis * size) / size
        pivot = (coef != 0).argmax(axis=1)
        leading = coef[np.arange(len(coef)), pivot] * library.name_sizes()[pivot]
    if not np.isfinite(coef).all():
        raise ValueError(
            f"A function of the library is {size.min():.3g} only on the data, which no coefficient "
            "makes up for: rescale X."
        )
    # In units beyond the range of floats formulas cannot be written, but functions are known.
    is_shown = np.isfinite(leading) & (leading != 0)
    leading = np.where(is_shown, leading, 1.0)
    return coef / leading[:, None]


def _varies(library, coef, points):
    """Tell which functions (k, p) are more than constants: mask (k,)."""
    slopes = library.jacobian(points)
    # Only ratios matter, and in tiny units slopes are near the largest floats.
    slopes = slopes / (np.abs(slopes).max(initial=0) or 1.0)
    largest = np.abs(np.einsum("npd,kp->knd", slopes, coef)).max(axis=(1, 2))
    terms = np.abs(coef) @ np.abs(slopes).max(axis=(0, 2))
    return largest > _CONSTANT * terms
