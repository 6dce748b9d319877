"""Invariant features: a known symmetry in front of any classifier or regressor."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym._estimator import on_copy, warn
from sksym._linalg import reduced_echelon
from sksym.algebras import VectorFields
from sksym.discover.formulas import function_sizes, library_formulas
from sksym.equivariant import equivariant_basis, on_features, place, probe_points
from sksym.libraries import PolynomialLibrary, evaluate, library_values

_N_PROBES = 100
_FLAT = 1e-10  # relative slope below which a function is constant


class InvariantFeatures(TransformerMixin, BaseEstimator):
    """The invariant functions of a known symmetry, in front of any classifier or regressor.

    The features are a basis of all functions F in the library with

        ``L_xi F = 0`` for every generator xi and ``F(g x) = F(x)`` for every element g,

    in reduced echelon form and without the constant: ``x0^2 + x1^2`` for rotations of the plane.

    Parameters
    ----------
    algebra : LieAlgebra, VectorFields or callable, default=None
        The connected symmetry; a callable such as ``so`` is called with the number of features.
    group : FiniteGroup or callable, default=None
        Discrete symmetries, alone or together with `algebra`.
    library : library, default=None
        The functions to choose from; None: ``PolynomialLibrary(2)``, centred at the fixed point of
        the symmetry nearest the origin.
    rtol : float, default=1e-10
        Singular values of the constraints below `rtol` times their size count as zero.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features_out, p)
        The features in the functions of `library_`; the first coefficient of each is one.
    library_ : fitted library
    n_features_in_ : int

    Notes
    -----
    Libraries that are not closed under the symmetry are tested at points around the data.

    References
    ----------
    Otto, Zolman, Kutz, Brunton (2025), JMLR 26(248), the section on enforcing symmetry.

    Examples
    --------
    >>> from sksym import InvariantFeatures, so
    >>> InvariantFeatures(so(2)).fit([[1.0, 2.0]]).get_feature_names_out()
    array(['x0^2 + x1^2'], dtype=object)
    """

    def __init__(self, algebra=None, *, group=None, library=None, rtol=1e-10):
        self.algebra = algebra
        self.group = group
        self.library = library
        self.rtol = rtol

    @on_copy
    def fit(self, X, y=None):
        """Find the invariants of the library on the columns of `X` (n, d)."""
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        X = X.astype(np.float64, copy=False)
        d = X.shape[1]
        template = PolynomialLibrary(2) if self.library is None else self.library
        origin = np.zeros(d)
        if isinstance(self.algebra, VectorFields):
            algebra = self.algebra
            _, group = on_features(None, self.group, d)
            library, _ = place(template, X, near=origin)
        else:
            algebra, group = on_features(self.algebra, self.group, d)
            library, _ = place(template, X, algebra, group, near=origin)
        basis = equivariant_basis(library, algebra, group, points=X, rtol=self.rtol)
        points = probe_points(X, _N_PROBES)
        coef = _readable_basis(library, basis.toarray(), points)
        coef = coef[_are_varying(library, coef, points[::10])]
        if not len(coef):
            warn(
                "No function of the library but the constant is invariant, so there are no "
                "features: raise the degree of the library, or check the symmetry."
            )
        self.library_ = library
        self.coef_ = coef

    def transform(self, X):
        """Return the values of the invariants, shape (n, n_features_out)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return evaluate(self.library_, self.coef_, X).astype(X.dtype, copy=False)

    def get_feature_names_out(self, input_features=None):
        """Return the invariants as formulas, long ones cut."""
        check_is_fitted(self)
        return library_formulas(self, input_features)


def _readable_basis(library, basis, points):
    """Return functions with the span of `basis` (k, p) in echelon form, leading ones of size one.

    The form is computed in units of the data, where a small coefficient is a small term.
    """
    mean_square = np.mean(library_values(library, points) ** 2, axis=0)
    size = np.sqrt(mean_square)
    size[size == 0] = 1
    coef = reduced_echelon(basis * size) / size
    leading = (coef != 0).argmax(axis=1)
    # Libraries scale their monomials; the formula that is read should begin with 1.
    plain = coef * function_sizes(library)
    return coef / np.take_along_axis(plain, leading[:, None], axis=1)


def _are_varying(library, coef, points):
    """Return which functions (k, p) are not constant: a mask (k,)."""
    jacobian = library.jacobian(points)
    gradients = np.einsum("npd,kp->knd", jacobian, coef)
    steepest = np.abs(gradients).max(axis=(1, 2))
    # Slopes that cancel leave round-off: compare with what was added up.
    terms = np.abs(coef) @ np.abs(jacobian).max(axis=(0, 2))
    return steepest > _FLAT * terms
