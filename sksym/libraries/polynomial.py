"""Polynomials, in coordinates in which symmetry stays sparse and exact."""

from itertools import pairwise

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import is_integer, on_copy
from sksym._linalg import row_blocks
from sksym.libraries.library import Library
from sksym.libraries.monomials import Monomials

_CANCELLED = 1e-12  # a translation this small beside its two parts is round-off
_LEAST_EXPONENT = -1000  # of a unit
_DENSE = 0.2  # fraction of nonzero weights from which a dense product is faster


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

    @on_copy
    def fit(self, X, y=None):
        """Set centre, scale and domain from the range of `X` (n, d)."""
        if not is_integer(self.degree) or self.degree < 0:
            raise ValueError(
                f"`degree` must be an integer >= 0, got {self.degree!r}: 0 is the constant alone."
            )
        X = self.fit_input(X)
        d = X.shape[1]
        # In double precision, so that single-precision data have the same functions.
        low = X.min(axis=0).astype(float)
        high = X.max(axis=0).astype(float)
        middle = (low + high) / 2
        center = _per_column(self.center, d, "center", middle)
        above = np.abs(high - center)
        below = np.abs(low - center)
        reach = np.maximum(above, below)
        unit = power_of_two(reach)
        scale = _per_column(self.scale, d, "scale", unit)
        if not (scale > 0).all():
            raise ValueError(f"`scale` must be positive, got {self.scale!r}.")
        # A column that does not vary has a box of the size of its unit, and above round-off.
        least_width = 2 * np.spacing(np.abs(middle))
        half_width = np.where(
            high > low,
            (high - low) / 2,
            np.maximum(scale, least_width),
        )
        domain = self._checked_domain(
            middle - half_width,
            middle + half_width,
        )
        self.monomials_ = Monomials(d, int(self.degree))
        self.n_output_features_ = self.monomials_.p
        self.center_ = center
        self.scale_ = scale
        self.domain_ = domain
        return self

    def _checked_domain(self, low, high):
        """Return the box (2, d) that was given, or the one from `low` to `high` (d,)."""
        ends = self.domain
        if ends is None:
            ends = (low, high)
        is_sequence = isinstance(ends, list | tuple | np.ndarray)
        if not is_sequence or len(ends) != 2:
            raise ValueError(f"`domain` must be a pair (low, high), got {self.domain!r}.")
        d = len(low)
        if any(end is None for end in ends):
            raise ValueError(f"`domain` must be a pair (low, high), got {self.domain!r}.")
        box = [_per_column(end, d, "domain", None) for end in ends]
        box = np.stack(box)
        low, high = box
        if not (low < high).all():
            raise ValueError(f"`domain` must have low < high, got {self.domain!r}.")
        return box

    def extremes(self, X):
        """Return the two corners of the data's range: all of `X` (n, d) that `fit` depends on."""
        low = np.min(X, axis=0)
        high = np.max(X, axis=0)
        return np.array([low, high])

    def transform(self, X):
        """Evaluate the functions: shape (n, p)."""
        X = self.transform_input(X)
        n = len(X)
        p = self.n_output_features_
        every = np.arange(p)
        factor = self.monomials_.fischer[:, None]
        out = np.empty((n, p), dtype=X.dtype)
        for rows in row_blocks(n, p):
            powers = self._powers(X[rows], every)
            phi = powers * factor
            out[rows] = phi.T
        return out

    def jacobian(self, X):
        """Differentiate by the coordinates of x: shape (n, p, d)."""
        X = self.transform_input(X)
        table = self.monomials_
        n, d = X.shape
        p = self.n_output_features_
        out = np.zeros((n, p, d), dtype=X.dtype)
        n_lower = table.level[table.degree]  # functions below the largest degree
        if not n_lower:
            return self.on_all_columns(out)
        lower = np.arange(n_lower)
        fischer = table.fischer[:n_lower, None]
        for rows in row_blocks(n, p):
            phi = self._powers(X[rows], lower) * fischer
            for i in range(d):
                # d phi_(a + e_i) / d u_i = sqrt(a_i + 1) phi_a
                raised = table.up[:, i]
                factor = table.up_factor[:, i] / self.scale_[i]
                slopes = phi * factor[:, None]
                out[rows, raised, i] = slopes.T
        return self.on_all_columns(out)

    def evaluate(self, coef, X):
        """Compute ``phi(X) @ coef.T`` from only those monomials that `coef` uses.

        Parameters
        ----------
        coef : array or sparse array of shape (k, p)
        X : ndarray of shape (n, d)

        Returns
        -------
        ndarray of shape (n, k)
        """
        X = self.transform_input(X)
        coef = sparse.csc_array(coef)
        k = coef.shape[0]
        table = self.monomials_
        n_entries = np.diff(coef.indptr)
        used = np.flatnonzero(n_entries)
        # Powers are computed from those of their parents, which need not be used themselves.
        needed = table.with_parents(used)
        position = np.searchsorted(needed, used)
        fischer = table.fischer[used]
        weights = coef[:, used] * fischer
        is_dense = weights.nnz > _DENSE * k * len(used)
        weights = weights.toarray() if is_dense else weights.tocsr()
        n = len(X)
        out = np.empty((n, k))
        for rows in row_blocks(n, len(needed)):
            powers = self._powers(X[rows], needed)
            if len(used) < len(needed):
                powers = powers[position]
            values = weights @ powers
            out[rows] = values.T
        return out

    def get_feature_names_out(self, input_features=None):
        """Return the monomials; a variable denotes its centred and scaled coordinate.

        Parameters
        ----------
        input_features : sequence of d str, default=None
            Names of the columns of X; None: those seen in ``fit``.

        Returns
        -------
        ndarray of shape (p,) of str
        """
        features = self.names_of_columns(input_features)
        return monomial_names(self.monomials_.exponents, features)

    def monomial_coef(self, coef):
        """Return the coefficients of the plain monomials ``x^a``, shape as `coef` (.., p)."""
        check_is_fitted(self)
        table = self.monomials_
        linear = np.diag(1 / self.scale_)
        offset = -self.center_ / self.scale_
        K = table.substitute(linear, offset)
        return (np.asarray(coef) @ K) * table.fischer

    def name_sizes(self):
        """Return the factor (p,) of each function in the monomial of ``x - center_``."""
        check_is_fitted(self)
        table = self.monomials_
        # Zero or infinite where a monomial of the user's x has no size that a float can hold.
        with np.errstate(over="ignore", divide="ignore", under="ignore"):
            powers = self.scale_**table.exponents
            return table.fischer / np.prod(powers, axis=1)

    def name_center(self):
        """Return the centre (d,) from which the names count, zero in columns not taken."""
        if self.columns_ is None:
            return self.center_.copy()
        center = np.zeros(self.n_features_in_)
        center[self.columns_] = self.center_
        return center

    def orthonormal_coordinates(self, points=None):
        """Return ``T`` (p, p) sparse with ``phi = T psi``, psi orthonormal on `domain_`.

        psi are products of Legendre polynomials of total degree <= `degree`, orthonormal under
        the uniform probability measure of the box.
        """
        check_is_fitted(self)
        low, high = self.domain_
        middle = self.domain_.mean(axis=0)
        half_width = (high - low) / 2
        return self.monomials_.legendre(
            (middle - self.center_) / self.scale_,
            half_width / self.scale_,
        )

    def lie_matrices(self, algebra):
        """Return ``D_a`` with ``d phi [A_a x + b_a] = D_a phi``, side by side: (p, r p) sparse.

        Polynomials of bounded degree are closed under every affine motion.
        """
        check_is_fitted(self)
        linear, offset = self.unit_fields(algebra)
        return self.monomials_.lie_matrices(linear, offset)

    def group_matrix(self, g):
        """Return ``K`` (p, p) sparse with ``phi(g x) = K phi(x)``, `g` (d, d)."""
        check_is_fitted(self)
        linear, offset = self.unit_map(g)
        return self.monomials_.substitute(linear, offset)

    def unit_fields(self, algebra):
        """Return the algebra in the coordinates ``u = (x - c) / s``.

        Returns
        -------
        linear : ndarray of shape (r, d, d)
        offset : ndarray of shape (r, d)
        """
        A = self.on_taken_columns(algebra.linear)
        b = self.taken(algebra.offset)
        center = self.center_
        scale = self.scale_
        linear = A * (scale / scale[:, None])
        # Cancellation at the fixed point leaves round-off that would tie the degrees together.
        shift = A @ center + b
        distance = np.abs(center)
        size = np.abs(A) @ distance + np.abs(b)
        shift = _without_round_off(shift, size)
        return linear, shift / scale

    def unit_map(self, g):
        """Return the map ``x -> g x`` in the coordinates ``u = (x - c) / s``.

        Returns
        -------
        linear : ndarray of shape (d, d)
        offset : ndarray of shape (d,)
        """
        g = self.on_taken_columns(g)
        center = self.center_
        scale = self.scale_
        linear = g * (scale / scale[:, None])
        # As for fields: zero at the fixed point, not round-off.
        shift = g @ center - center
        distance = np.abs(center)
        size = np.abs(g) @ distance + distance
        shift = _without_round_off(shift, size)
        return linear, shift / scale

    def change_to(self, other):
        """Return ``K`` (p, p) sparse with ``phi_self = K phi_other``: another centre and scale."""
        linear = np.diag(other.scale_ / self.scale_)
        offset = (other.center_ - self.center_) / self.scale_
        return self.monomials_.substitute(linear, offset)

    def _powers(self, X, needed):
        """Compute unscaled powers ``u^a`` of some monomials.

        Parameters
        ----------
        X : ndarray of shape (n, d)
        needed : ndarray of shape (k,) of int
            Sorted, with the parents of all.

        Returns
        -------
        ndarray of shape (k, n)
            Monomials first, so that each is one contiguous product of two rows.
        """
        table = self.monomials_
        U = (X - self.center_) / self.scale_
        U = np.ascontiguousarray(U.T)
        k = len(needed)
        powers = np.empty((k, len(X)))
        powers[0] = 1  # the constant is among `needed`
        bounds = np.searchsorted(needed, table.level)
        parent = table.parent[needed]
        parent = np.searchsorted(needed, parent)
        last = table.last[needed]
        # Degree by degree: parents are of the degree before.
        for start, stop in pairwise(bounds[1:]):
            level = slice(start, stop)
            np.take(
                powers,
                parent[level],
                axis=0,
                out=powers[level],
                mode="clip",  # the default, "raise", buffers the output
            )
            powers[level] *= U[last[level]]
        return powers


def power_of_two(size):
    """Return the smallest powers of two >= `size`; 1 for zeros.

    Division by a power of two is exact.
    """
    size = np.asarray(size, float)
    positive = np.where(size > 0, size, 1.0)
    exponent = np.ceil(np.log2(positive))
    # Denormal numbers have no reciprocal.
    return np.exp2(np.maximum(exponent, _LEAST_EXPONENT))


def monomial_names(exponents, features):
    """Write ``x0^2 x1`` for every row of exponents (p, d), as an object array (p,)."""
    names = []
    for row in exponents:
        factors = []
        for i in np.flatnonzero(row):
            factor = features[i]
            exponent = row[i]
            if exponent > 1:
                factor = f"{factor}^{exponent}"
            factors.append(factor)
        name = " ".join(factors) or "1"
        names.append(name)
    return np.array(names, dtype=object)


def _without_round_off(shift, size):
    """Set translations to zero that are round-off of terms of this size."""
    is_round_off = np.abs(shift) <= _CANCELLED * size
    return np.where(is_round_off, 0.0, shift)


def _per_column(value, d, name, default):
    """Return a number or array as one finite number for each of d columns.

    Parameters
    ----------
    value : float, array-like of shape (d,), or None
    d : int
    name : str
        Of the parameter, for messages.
    default : ndarray of shape (d,), or None
        What None means.
    """
    if value is None:
        return default
    given = np.asarray(value)
    # Strings, truth values, complex numbers and ragged lists are no coordinates.
    fits = given.dtype.kind in "iuf" and given.shape in ((), (d,))
    if not fits or not np.isfinite(given).all():
        raise ValueError(f"`{name}` must be finite, a number or of shape ({d},), got {value!r}.")
    return np.broadcast_to(given, (d,)).astype(float)
