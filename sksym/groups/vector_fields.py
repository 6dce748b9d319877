"""Who acts beyond affine motions: vector fields whose components lie in a library."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sksym._linalg import merge_rows, row_blocks
from sksym.groups.lie_algebra import checked_combination, orthonormal_combinations, read_only
from sksym.groups.text import SHOWN, linear_combination

_ROUND_OFF = 1e-12  # coefficients relative to the largest that are not printed


@dataclass(frozen=True, eq=False, repr=False)
class VectorFields:
    """Candidate motions beyond affine: fields whose components lie in a library.

    Field ``a`` is ``sum_k coef[a, :, k] phi_k(x)``.

    Parameters
    ----------
    library : fitted Library
    coef : array-like of shape (r, d, p)
    names : sequence of r str, default=None
        None writes each field in plain functions, ``x0^2 ∂1``.
    """

    library: object
    coef: np.ndarray
    names: Sequence[str] | None = None

    is_affine = False

    def __post_init__(self):
        coef = read_only(self.coef, "coef")
        d = self.library.n_features_in_
        p = self.library.n_output_features_
        if coef.ndim != 3 or coef.shape[1:] != (d, p):
            raise ValueError(f"`coef` must have shape (r, {d}, {p}), got {coef.shape}.")
        if not np.isfinite(coef).all():
            raise ValueError("`coef` holds NaN or infinity: fields are finite.")
        names = _field_names(self.library, coef) if self.names is None else tuple(self.names)
        if len(names) != len(coef):
            raise ValueError(f"Got {len(names)} names for {len(coef)} fields.")
        object.__setattr__(self, "coef", coef)
        object.__setattr__(self, "names", names)

    @property
    def dim(self):
        return self.coef.shape[0]

    @property
    def n_features(self):
        return self.coef.shape[1]

    def __deepcopy__(self, memo):
        return self  # immutable: `clone` and `get_params` share it

    def __reduce__(self):
        return type(self), (self.library, self.coef, self.names)

    def __repr__(self):
        shown = ", ".join(self.names[:SHOWN]) or "none"
        dots = ", ..." if self.dim > SHOWN else ""
        return f"VectorFields(dim={self.dim}, n_features={self.n_features}: {shown}{dots})"

    def vector_field(self, X):
        """Evaluate the fields at every row of `X`: shape (n, r, d)."""
        return np.einsum("adp,np->nad", self.coef, self.library.transform(X))

    def jacobian(self, X):
        """Return the derivatives ``d field_i / d x_j`` at every row of `X`: (n, r, d, d)."""
        return np.einsum("aip,npj->naij", self.coef, self.library.jacobian(X))

    def combine(self, C):
        """Return the ``k`` combinations ``sum_a C[:, a] field_a``, `C` (k, r)."""
        C = checked_combination(C, self.dim)
        return VectorFields(self.library, np.tensordot(C, self.coef, 1))

    # ------------------------------------------------ what estimators ask of candidate motions

    def represented_by(self, representation):
        """Refuse: fields beyond affine move outputs differently at every point."""
        raise ValueError(
            "Fields beyond affine move outputs differently at every point, so `output` cannot be "
            "given with them: use affine motions (a LieAlgebra), or leave `output` out."
        )

    def in_units_of(self, center, half_width):
        """Return the fields themselves: their units are those of their library."""
        return self

    def isomorphism_class(self):
        """Say how many fields there are; their brackets need not stay in a library."""
        return f"{self.dim} vector fields"

    def mean_square(self, X, weight):
        """Compute the weighted mean over rows of ``field_a . field_b``: shape (r, r)."""
        factor = self._factor(X, 1.0, weight)
        return factor.T @ factor

    def orthonormal_coordinates(self, box, X):
        """Compute coordinates (k, r) of fields that are orthonormal on the rows of `X` (n, d).

        Components are taken in units of the half widths of the range of `X`.
        """
        half_width = np.ptp(X, axis=0) / 2
        half_width[half_width == 0] = half_width.max(initial=0) or 1.0
        factor = self._factor(X, half_width, np.ones(len(X)))
        size = np.linalg.norm(factor, axis=0)
        size[size == 0] = 1
        return orthonormal_combinations(factor / size) / size

    def _factor(self, X, unit, weight):
        """Return R (k, r) with ``R^T R`` the mean of the products of the fields over `unit`."""
        n, d = X.shape
        root = np.sqrt(weight / weight.sum())
        factor = None
        for rows in row_blocks(n, self.dim * d):
            values = self.vector_field(X[rows]) / unit * root[rows, None, None]
            factor = merge_rows(factor, values.transpose(0, 2, 1).reshape(-1, self.dim))
        return factor


@dataclass(frozen=True)
class UnfittedVectorFields:
    """All fields of a library that is still to be fitted: estimators fit it to their X."""

    library: object

    def fitted(self, X):
        """Fit a copy of the library to `X` and return its `VectorFields`."""
        return vector_fields(clone(self.library).fit(X))


def vector_fields(library):
    """Return all vector fields whose components are functions of a library: ``d p`` of them.

    For polynomials the fields ``x^a ∂i`` of plain monomials.

    Parameters
    ----------
    library : library
        Fitted; or not, and then estimators fit it to their data, as they call ``so`` with the
        number of features.

    Returns
    -------
    VectorFields or UnfittedVectorFields
    """
    try:
        check_is_fitted(library)
    except NotFittedError:
        return UnfittedVectorFields(library)
    p = library.n_output_features_
    d = library.n_features_in_
    # Row k: the coefficients in the library of its k-th plain function.
    functions = np.linalg.inv(library.monomial_coef(np.eye(p)))
    return VectorFields(library, np.kron(np.eye(d), functions).reshape(d * p, d, p))


def _field_names(library, coef):
    """Write fields (r, d, p) in the plain functions of their library."""
    functions = library.monomial_names
    coef = library.monomial_coef(coef.reshape(-1, coef.shape[2])).reshape(coef.shape)
    size = np.abs(coef)
    coef = np.where(size > _ROUND_OFF * size.max(initial=0), coef, 0.0)
    prefixes = ["" if name == "1" else f"{name} " for name in functions]
    terms = [f"{prefix}∂{i}" for i in range(coef.shape[1]) for prefix in prefixes]
    return tuple(linear_combination(row, terms) for row in coef.reshape(len(coef), len(terms)))
