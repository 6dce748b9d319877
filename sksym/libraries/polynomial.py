"""Polynomials, in coordinates in which symmetry stays sparse and exact."""

from itertools import pairwise
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sksym._linalg import row_blocks
from sksym.libraries.library import Library
from sksym.libraries.monomials import Monomials

_CANCELLED = 1e-12  # a translation this small beside its two parts is round-off
_DENSE = 0.2  # share of nonzero weights from which a dense product is faster


class PolynomialLibrary(Library):
    """All polynomials of total degree <= `degree`, as Fischer-scaled monomials.

    ``phi_a(x) = prod_i u_i^a_i / sqrt(a!)`` with ``u_i = (x_i - c_i) / s_i``, in scikit-learn's
    order of monomials. Rotations about the centre act on them by antisymmetric matrices, so
    symmetry constraints are sparse, split by degree and stay exact far from the data.

    Parameters
    ----------
    degree : int, default=2
    center : float or array-like of shape (d,), default=None
        ``c``. None: the middle of the data's range. Estimators put it at the fixed point of their
        symmetry nearest to that middle, where there is one.
    scale : float or array-like of shape (d,), default=None
        ``s``. None: a power of two at least as large as the range of ``x - c``, one for each
        coordinate; estimators give one to each set of coordinates that their symmetry mixes.
    domain : (low, high), default=None
        Numbers or arrays of shape (d,): the box that `orthonormal_coordinates` refers to; None:
        the range of the data.
    columns : sequence of int or str, default=None
        Columns of X that the polynomials are of; others are left out, and d above is the number
        of columns taken. None: all.

    Attributes
    ----------
    columns_ : ndarray of int, or None
        The columns taken; None: all.
    center_, scale_ : ndarray of shape (d,)
    domain_ : ndarray of shape (2, d)
    n_output_features_ : int
        ``p = C(d + degree, degree)``.
    monomials_ : Monomials
        Index tables: `exponents` (p, d) among them.

    Examples
    --------
    >>> from sksym import PolynomialLibrary
    >>> PolynomialLibrary(2).fit([[0.0, 1.0]]).get_feature_names_out()
    array(['1', 'x0', 'x1', 'x0^2', 'x0 x1', 'x1^2'], dtype=object)
    """

    can_be_centred = True
    has_all_monomials = True

    def __init__(self, degree=2, center=None, scale=None, domain=None, columns=None):
        self.degree = degree
        self.center = center
        self.scale = scale
        self.domain = domain
        self.columns = columns

    def fit(self, X, y=None):
        """Set centre, scale and domain from the range of `X` (n, d)."""
        if not isinstance(self.degree, Integral) or self.degree < 0:
            raise ValueError(
                f"`degree` must be an integer >= 0, got {self.degree!r}: 0 is the constant alone."
            )
        X = self.fit_input(X)
        d = X.shape[1]
        low = X.min(axis=0).astype(float)
        high = X.max(axis=0).astype(float)
        middle = (low + high) / 2
        center = _per_column(self.center, d, "center", middle)
        reach = np.maximum(np.abs(high - center), np.abs(low - center))
        scale = _per_column(self.scale, d, "scale", power_of_two(reach))
        if not (scale > 0).all():
            raise ValueError(f"`scale` must be positive, got {self.scale!r}.")
        half_width = np.where(high > low, (high - low) / 2, scale)
        domain = self._checked_domain(middle - half_width, middle + half_width)
        self.monomials_ = Monomials(d, int(self.degree))
        self.n_output_features_ = self.monomials_.p
        self.center_ = center
        self.scale_ = scale
        self.domain_ = domain
        return self

    def _checked_domain(self, low, high):
        """Return the box (2, d) that was given, or the one from `low` to `high` (d,)."""
        domain = (low, high) if self.domain is None else self.domain
        if not isinstance(domain, list | tuple | np.ndarray) or len(domain) != 2:
            raise ValueError(f"`domain` must be a pair (low, high), got {self.domain!r}.")
        domain = np.stack([_per_column(end, len(low), "domain", None) for end in domain])
        if not (domain[0] < domain[1]).all():
            raise ValueError(f"`domain` must have low < high, got {self.domain!r}.")
        return domain

    def extremes(self, X):
        """Return the two corners of the data's range: all of `X` (n, d) that `fit` depends on."""
        return np.array([np.min(X, axis=0), np.max(X, axis=0)])

    def transform(self, X):
        """Evaluate the functions: shape (n, p)."""
        X = self.transform_input(X)
        out = np.empty((len(X), self.n_output_features_), dtype=X.dtype)
        every = np.arange(self.n_output_features_)
        factor = self.monomials_.fischer[:, None]
        for rows in row_blocks(len(X), self.n_output_features_):
            out[rows] = (self._powers(X[rows], every) * factor).T
        return out

    def jacobian(self, X):
        """Differentiate by the coordinates of x: shape (n, p, d)."""
        X = self.transform_input(X)
        table = self.monomials_
        n, d = X.shape
        out = np.zeros((n, self.n_output_features_, d), dtype=X.dtype)
        n_lower = table.level[table.degree]  # functions below the largest degree
        if not n_lower:
            return self.on_all_columns(out)
        for rows in row_blocks(n, self.n_output_features_):
            phi = self._powers(X[rows], np.arange(n_lower)) * table.fischer[:n_lower, None]
            for i in range(d):
                # d phi_(a + e_i) / d u_i = sqrt(a_i + 1) phi_a
                factor = table.up_factor[:, i] / self.scale_[i]
                out[rows, table.up[:, i], i] = (phi * factor[:, None]).T
        return self.on_all_columns(out)

    def evaluate(self, coef, X):
        """Compute ``phi(X) @ coef.T`` (n, k) from only those monomials that `coef` (k, p) uses."""
        X = self.transform_input(X)
        coef = sparse.csc_array(coef)
        table = self.monomials_
        used = np.flatnonzero(np.diff(coef.indptr))
        needed = table.with_parents(used)
        position = np.searchsorted(needed, used)
        weights = coef[:, used] * table.fischer[used]
        if weights.nnz > _DENSE * weights.shape[0] * weights.shape[1]:
            weights = weights.toarray()
        else:
            weights = weights.tocsr()
        out = np.empty((len(X), coef.shape[0]))
        for rows in row_blocks(len(X), len(needed)):
            powers = self._powers(X[rows], needed)
            if len(used) < len(needed):
                powers = powers[position]
            out[rows] = (weights @ powers).T
        return out

    def get_feature_names_out(self, input_features=None):
        """Return the monomials; a variable stands for its centred and scaled coordinate."""
        features = self.names_of_columns(input_features)
        return monomial_names(self.monomials_.exponents, features)

    def monomial_coef(self, coef):
        """Return the coefficients of the plain monomials ``x^a``, shape as `coef` (.., p)."""
        check_is_fitted(self)
        table = self.monomials_
        K = table.substitute(np.diag(1 / self.scale_), -self.center_ / self.scale_)
        return (np.asarray(coef) @ K) * table.fischer

    def name_sizes(self):
        """Return the factor (p,) of each function in the monomial of ``x - center_``."""
        check_is_fitted(self)
        table = self.monomials_
        return table.fischer / np.prod(self.scale_**table.exponents, axis=1)

    def name_center(self):
        """Return the centre, for the columns taken, from which the names count: (d,)."""
        center = np.zeros(self.n_features_in_)
        center[slice(None) if self.columns_ is None else self.columns_] = self.center_
        return center

    def orthonormal_coordinates(self, points=None):
        """Return ``T`` (p, p) sparse with ``phi = T psi``, psi orthonormal on `domain_`.

        psi are products of Legendre polynomials of total degree <= `degree`, orthonormal under
        the uniform probability measure of the box.
        """
        check_is_fitted(self)
        middle = self.domain_.mean(axis=0)
        half_width = (self.domain_[1] - self.domain_[0]) / 2
        offset = (middle - self.center_) / self.scale_
        return self.monomials_.legendre(offset, half_width / self.scale_)

    def lie_matrices(self, algebra):
        """Return ``D_a`` with ``d phi [A_a x + b_a] = D_a phi``, side by side: (p, r p) sparse."""
        check_is_fitted(self)
        return self.monomials_.lie_matrices(*self.unit_fields(algebra))

    def group_matrix(self, g):
        """Return ``K`` (p, p) sparse with ``phi(g x) = K phi(x)``, `g` (d, d)."""
        check_is_fitted(self)
        return self.monomials_.substitute(*self.unit_map(g))

    def unit_fields(self, algebra):
        """Return the algebra in the coordinates ``u``: matrices (r, d, d), translations (r, d)."""
        A = self.on_taken_columns(algebra.linear)
        b = self.taken(algebra.offset)
        linear = A * (self.scale_ / self.scale_[:, None])
        # Cancellation at the fixed point leaves round-off that would tie the degrees together.
        shift = A @ self.center_ + b
        size = np.abs(A) @ np.abs(self.center_) + np.abs(b)
        return linear, _without_round_off(shift, size) / self.scale_

    def unit_map(self, g):
        """Return the map ``x -> g x`` in the coordinates ``u``: matrix (d, d), translation (d,)."""
        g = self.on_taken_columns(g)
        linear = g * (self.scale_ / self.scale_[:, None])
        shift = g @ self.center_ - self.center_
        size = np.abs(g) @ np.abs(self.center_) + np.abs(self.center_)
        return linear, _without_round_off(shift, size) / self.scale_

    def change_to(self, other):
        """Return ``K`` (p, p) sparse with ``phi_self = K phi_other``: another centre and scale."""
        shift = (other.center_ - self.center_) / self.scale_
        return self.monomials_.substitute(np.diag(other.scale_ / self.scale_), shift)

    def _powers(self, X, needed):
        """Compute unscaled powers ``u^a`` of the monomials `needed`, parents included: (len, n)."""
        table = self.monomials_
        U = np.ascontiguousarray(((X - self.center_) / self.scale_).T)
        powers = np.empty((len(needed), len(X)))
        powers[0] = 1
        bounds = np.searchsorted(needed, table.level)
        parent = np.searchsorted(needed, table.parent[needed])
        last = table.last[needed]
        for start, stop in pairwise(bounds[1:]):
            np.take(powers, parent[start:stop], axis=0, out=powers[start:stop], mode="clip")
            powers[start:stop] *= U[last[start:stop]]
        return powers


def power_of_two(size):
    """Return the smallest powers of two >= `size`; 1 for zeros."""
    size = np.asarray(size, float)
    return np.exp2(np.ceil(np.log2(np.where(size > 0, size, 1.0))))


def monomial_names(exponents, features):
    """Write ``x0^2 x1`` for every row of exponents, as an object array."""
    names = []
    for row in exponents:
        factors = []
        for i in np.flatnonzero(row):
            power = f"^{row[i]}" if row[i] > 1 else ""
            factors.append(f"{features[i]}{power}")
        names.append(" ".join(factors) or "1")
    return np.array(names, dtype=object)


def _without_round_off(shift, size):
    """Set translations to zero that are round-off of terms of this size."""
    return np.where(np.abs(shift) <= _CANCELLED * size, 0.0, shift)


def _per_column(value, d, name, default):
    """Return a number or array as one finite number for each of d columns."""
    if value is None:
        return default
    value = np.asarray(value, float)
    if value.shape not in ((), (d,)) or not np.isfinite(value).all():
        raise ValueError(f"`{name}` must be finite, a number or of shape ({d},), got {value!r}.")
    return np.broadcast_to(value, (d,)).copy()
