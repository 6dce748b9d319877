"""Invariant features: a known symmetry in front of any classifier or regressor."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from sksym._linalg import reduced_echelon
from sksym._estimator import adopt
from sksym.algebras import VectorFields
from sksym.equivariant import equivariant_basis, on_features, place, probe_points
from sksym.libraries import PolynomialLibrary, evaluate, input_names, library_values

_NAMED_TERMS = 6


class InvariantFeatures(TransformerMixin, BaseEstimator):
    """The invariant functions of a known symmetry, in front of any classifier or regressor.

    The features are a basis, in reduced echelon form and without the constant, of all functions
    in the library that the symmetry leaves unchanged: ``x0^2 + x1^2`` for rotations of the plane.

    Parameters
    ----------
    algebra : LieAlgebra, VectorFields or callable, default=None
        The connected symmetry; a callable such as ``so`` is called with the number of features.
    group : FiniteGroup or callable, default=None
        Discrete symmetries, alone or beside `algebra`.
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

    def __init__(self, algebra=None, *, group=None, library=None, rtol=1e-10):
        self.algebra = algebra
        self.group = group
        self.library = library
        self.rtol = rtol

    def fit(self, X, y=None):
        """Find the invariants of the library on the columns of `X` (n, d)."""
        fresh = clone(self)
        X = validate_data(fresh, X, dtype=[np.float64, np.float32])
        X = X.astype(np.float64, copy=False)
        template = PolynomialLibrary(2) if self.library is None else self.library
        if isinstance(self.algebra, VectorFields):
            algebra, (_, group) = self.algebra, on_features(None, self.group, X.shape[1])
            library, _ = place(template, X, near=np.zeros(X.shape[1]))
        else:
            algebra, group = on_features(self.algebra, self.group, X.shape[1])
            library, _ = place(template, X, algebra, group, near=np.zeros(X.shape[1]))
        basis = equivariant_basis(library, algebra, group, points=X, rtol=self.rtol).toarray()
        # Echelon form in units of the data, where a small coefficient is a small term.
        points = probe_points(X, 100)
        size = np.sqrt(np.mean(library_values(library, points) ** 2, axis=0))
        size[size == 0] = 1
        coef = reduced_echelon(basis * size) / size
        pivot = (coef != 0).argmax(axis=1)
        coef /= (coef * function_sizes(library))[np.arange(len(coef)), pivot][:, None]
        slopes = library.jacobian(points[::10])
        moving = np.abs(np.einsum("npd,kp->knd", slopes, coef)).max(axis=(1, 2))
        coef = coef[moving > 1e-10 * (np.abs(coef) @ np.abs(slopes).max(axis=(0, 2)))]
        if not len(coef):
            warnings.warn(
                "No function of the library but the constant is invariant, so there are no "
                "features: raise the degree of the library, or check the symmetry.",
                UserWarning,
                stacklevel=2,
            )
        fresh.library_, fresh.coef_ = library, coef
        return adopt(self, fresh)

    def transform(self, X):
        """Values of the invariants, shape (n, n_features_out)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return evaluate(self.library_, self.coef_, X).astype(X.dtype, copy=False)

    def get_feature_names_out(self, input_features=None):
        """The invariants as formulas, long ones cut."""
        check_is_fitted(self)
        return library_formulas(self, input_features)


def library_formulas(model, input_features):
    """The rows of ``model.coef_`` as formulas in the plain functions of ``model.library_``."""
    names = model.library_.get_feature_names_out(_shifted(model, input_features))
    rows = model.coef_ * function_sizes(model.library_)
    return np.array([_formula(row, names) for row in rows], dtype=object)


def function_sizes(library):
    """Factor of every library function in the plain function that its name shows."""
    if isinstance(library, PolynomialLibrary):
        table = library.monomials_
        return table.fischer / np.prod(library.scale_**table.exponents, axis=1)
    return np.ones(library.n_output_features_)


def _shifted(model, input_features):
    """Names of the inputs as seen from the centre of the library: ``(x0 - 1.5)``."""
    names = input_names(model, input_features)
    centers = getattr(model.library_, "center_", np.zeros(len(names)))
    return [
        name if c == 0 else f"({name} {'-' if c > 0 else '+'} {abs(c):.4g})"
        for name, c in zip(names, centers, strict=True)
    ]


def _formula(row, names):
    terms = np.flatnonzero(row)
    text = ""
    for k in terms[:_NAMED_TERMS]:
        sign = (" - " if row[k] < 0 else " + ") if text else ("-" if row[k] < 0 else "")
        size = f"{abs(row[k]):.6g}"
        text += f"{sign}{'' if size == '1' else size + ' '}{names[k]}"
    return text + (f" + ... ({len(terms)} terms)" if len(terms) > _NAMED_TERMS else "")
