"""Who acts beyond affine motions: vector fields whose components lie in a library.

Index legend: a fields (r of them), i, j coordinates (d), p library functions, n samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sksym._linalg import merge_rows, require_memory, row_blocks
from sksym.groups.lie_algebra import (
    checked_combination,
    checked_names,
    orthonormal_combinations,
    read_only,
)
from sksym.groups.text import linear_combination, listed

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
        names = self.names
        if names is None:
            names = _field_names(self.library, coef)
        names = checked_names(names, len(coef), "fields")
        # The dataclass is frozen for everybody but its own constructor.
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
        # By the constructor, so that the array of a copy is read-only too.
        arguments = (self.library, self.coef, self.names)
        return type(self), arguments

    def __repr__(self):
        shown = listed(self.names)
        return f"VectorFields(dim={self.dim}, n_features={self.n_features}: {shown})"

    def vector_field(self, X):
        """Evaluate the fields at every row of `X` (n, d): shape (n, r, d)."""
        values = self.library.transform(X)
        return np.einsum("adp,np->nad", self.coef, values)

    def jacobian(self, X):
        """Return the derivatives ``d field_i / d x_j`` at every row of `X` (n, d): (n, r, d, d)."""
        slopes = self.library.jacobian(X)
        return np.einsum("aip,npj->naij", self.coef, slopes)

    def combine(self, C):
        """Return the ``k`` combinations ``sum_a C[:, a] field_a``, `C` (k, r)."""
        C = checked_combination(C, self.dim)
        coef = np.tensordot(C, self.coef, 1)
        return VectorFields(self.library, coef)

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
        """Compute the weighted mean over rows of ``field_a . field_b``: shape (r, r).

        Parameters
        ----------
        X : ndarray of shape (n, d)
        weight : ndarray of shape (n,)
        """
        factor = self._factor(X, 1.0, weight)
        return factor.T @ factor

    def orthonormal_coordinates(self, box, X):
        """Compute coordinates (k, r) of fields that are orthonormal on the rows of `X` (n, d).

        Components are taken in units of the half widths of the range of `X`.
        """
        half_width = np.ptp(X, axis=0) / 2
        largest = half_width.max(initial=0) or 1.0
        half_width[half_width == 0] = largest
        equal_weight = np.ones(len(X))
        factor = self._factor(X, half_width, equal_weight)
        # Fields of unit size first: those of high degree differ by orders of magnitude.
        size = np.linalg.norm(factor, axis=0)
        size[size == 0] = 1
        return orthonormal_combinations(factor / size) / size

    def _factor(self, X, unit, weight):
        """Return R (k, r) with ``R^T R`` the mean of the products of the fields over `unit`.

        Parameters
        ----------
        X : ndarray of shape (n, d)
        unit : float or ndarray of shape (d,)
            Of the components.
        weight : ndarray of shape (n,)
        """
        n, d = X.shape
        r = self.dim
        fraction = weight / weight.sum()
        sqrt_weight = np.sqrt(fraction)
        factor = None
        for rows in row_blocks(n, r * d):
            fields = self.vector_field(X[rows]) / unit
            fields = fields * sqrt_weight[rows, None, None]
            # One row for each sample and component.
            components = fields.transpose(0, 2, 1).reshape(-1, r)
            factor = merge_rows(factor, components)
        return factor


@dataclass(frozen=True)
class UnfittedVectorFields:
    """All fields of a library that is still to be fitted: estimators fit it to their X."""

    library: object

    def fitted(self, X):
        """Fit a copy of the library to `X` (n, d) and return its `VectorFields`."""
        library = clone(self.library)
        library.fit(X)
        return vector_fields(library)


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
    r = d * p
    # The fields with a copy; the change of functions with its inverse and what that takes.
    require_memory(
        16.0 * r * d * p + 40.0 * p**2,
        f"{r:,} vector fields on {d} features in {p:,} functions",
        "Take a library of lower degree, or of fewer columns.",
    )
    # Row k: the coefficients in the library of its k-th plain function.
    plain_coef = library.monomial_coef(np.eye(p))
    functions = np.linalg.inv(plain_coef)
    # Field (i, k): function k in component i, zero in the others.
    coef = np.kron(np.eye(d), functions)
    return VectorFields(library, coef.reshape(d * p, d, p))


def _field_names(library, coef):
    """Write fields in the plain functions of their library.

    Parameters
    ----------
    library : fitted Library
    coef : ndarray of shape (r, d, p)

    Returns
    -------
    list of r str
    """
    r, d, p = coef.shape
    plain = library.monomial_coef(coef.reshape(r * d, p))
    plain = plain.reshape(r, d * p)
    # The change to plain functions leaves round-off where nothing should be printed.
    size = np.abs(plain)
    is_round_off = size <= _ROUND_OFF * size.max(initial=0)
    plain = np.where(is_round_off, 0.0, plain)
    terms = []
    for i in range(d):
        for name in library.monomial_names:
            factor = "" if name == "1" else f"{name} "
            terms.append(f"{factor}∂{i}")
    return [linear_combination(row, terms) for row in plain]
