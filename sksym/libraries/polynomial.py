"""Polynomials, in coordinates in which symmetry stays sparse and exact."""

from itertools import pairwise
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sksym.libraries.blocks import fit_input, input_names, row_blocks, transform_input
from sksym.libraries.monomials import Monomials

_CANCELLED = 1e-12  # a translation this small beside its two parts is round-off


class PolynomialLibrary(TransformerMixin, BaseEstimator):
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
        Numbers or arrays of shape (d,): the box on which `orthonormal_coordinates` refers to;
        None: the range of the data.

    Attributes
    ----------
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

    def __init__(self, degree=2, center=None, scale=None, domain=None):
        self.degree = degree
        self.center = center
        self.scale = scale
        self.domain = domain

    def fit(self, X, y=None):
        """Set centre, scale and domain from the range of `X` (n, d)."""
        if not isinstance(self.degree, Integral) or self.degree < 0:
            raise ValueError(
                f"`degree` must be an integer >= 0, got {self.degree!r}: 0 is the constant alone."
            )
        X = fit_input(self, X)
        self._place(X.min(axis=0).astype(float), X.max(axis=0).astype(float))
        return self

    @staticmethod
    def extremes(X):
        """The two corners of the data's range: all of `X` (n, d) that `fit` depends on."""
        return np.array([np.min(X, axis=0), np.max(X, axis=0)])

    def _place(self, low, high):
        """Everything that `fit` learns, from the range of the data."""
        d = len(low)
        center = _per_column(self.center, d, "center", (low + high) / 2)
        reach = np.maximum(np.abs(high - center), np.abs(low - center))
        scale = _per_column(self.scale, d, "scale", power_of_two(reach))
        if not (scale > 0).all():
            raise ValueError(f"`scale` must be positive, got {self.scale!r}.")
        half = np.where(high > low, (high - low) / 2, scale)
        box = (low + high) / 2 - half, (low + high) / 2 + half
        domain = box if self.domain is None else self.domain
        if not isinstance(domain, list | tuple | np.ndarray) or len(domain) != 2:
            raise ValueError(f"`domain` must be a pair (low, high), got {self.domain!r}.")
        domain = np.stack([_per_column(end, d, "domain", None) for end in domain])
        if not (domain[0] < domain[1]).all():
            raise ValueError(f"`domain` must have low < high, got {self.domain!r}.")
        self.monomials_ = Monomials(d, int(self.degree))
        self.n_output_features_ = self.monomials_.p
        self.center_, self.scale_, self.domain_ = center, scale, domain

    def transform(self, X):
        """Library values, shape (n, p)."""
        X = transform_input(self, X)
        out = np.empty((len(X), self.n_output_features_), dtype=X.dtype)
        needed = np.arange(self.n_output_features_)
        factor = self.monomials_.fischer[:, None]
        for rows in row_blocks(len(X), self.n_output_features_):
            out[rows] = (self._powers(X[rows], needed) * factor).T
        return out

    def jacobian(self, X):
        """Derivatives by the coordinates of x, shape (n, p, d)."""
        X = transform_input(self, X)
        table, (n, d) = self.monomials_, X.shape
        out = np.zeros((n, self.n_output_features_, d), dtype=X.dtype)
        low = table.level[table.degree]
        for rows in row_blocks(n, self.n_output_features_) if low else ():
            phi = self._powers(X[rows], np.arange(low)) * table.fischer[:low, None]
            for i in range(d):
                factor = table.up_factor[:, i] / self.scale_[i]
                out[rows, table.up[:, i], i] = (phi * factor[:, None]).T
        return out

    def evaluate(self, coef, X):
        """Values ``phi(X) @ coef.T`` (n, k) from only those monomials that `coef` (k, p) uses."""
        X = transform_input(self, X)
        coef = sparse.csc_array(coef)
        table = self.monomials_
        used = np.flatnonzero(np.diff(coef.indptr))
        marked = np.zeros(table.p, bool)
        marked[0] = marked[used] = True
        for g in range(table.degree, 0, -1):
            level = np.arange(table.level[g], table.level[g + 1])
            marked[table.parent[level[marked[level]]]] = True
        needed = np.flatnonzero(marked)
        chosen = np.searchsorted(needed, used)
        weights = coef[:, used] * table.fischer[used]
        dense = weights.nnz > 0.2 * weights.shape[0] * weights.shape[1]
        weights = weights.toarray() if dense else weights.tocsr()
        out = np.empty((len(X), coef.shape[0]))
        for rows in row_blocks(len(X), len(needed)):
            powers = self._powers(X[rows], needed)
            out[rows] = (weights @ (powers if len(chosen) == len(needed) else powers[chosen])).T
        return out

    def get_feature_names_out(self, input_features=None):
        """Names of the monomials; a variable stands for its centred and scaled coordinate."""
        features = input_names(self, input_features)
        return monomial_names(self.monomials_.exponents, features)

    @property
    def monomial_names(self):
        """Names of the plain monomials that `monomial_coef` refers to, (p,)."""
        return self.get_feature_names_out()

    def monomial_coef(self, coef):
        """Coefficients of the plain monomials ``x^a`` of the same functions, shape as `coef`."""
        check_is_fitted(self)
        table = self.monomials_
        K = table.substitute(np.diag(1 / self.scale_), -self.center_ / self.scale_)
        return (np.asarray(coef) @ K) * table.fischer

    def orthonormal_coordinates(self):
        """``T`` (p, p) sparse with ``phi = T psi``, psi orthonormal on `domain_`.

        psi are products of Legendre polynomials of total degree <= `degree`, orthonormal under
        the uniform probability measure of the box.
        """
        check_is_fitted(self)
        middle, half = self.domain_.mean(axis=0), np.diff(self.domain_, axis=0)[0] / 2
        return self.monomials_.legendre((middle - self.center_) / self.scale_, half / self.scale_)

    def lie_matrices(self, algebra):
        """``D_a`` (p, p) with ``d phi [A_a x + b_a] = D_a phi``, side by side: (p, r p) sparse."""
        check_is_fitted(self)
        return self.monomials_.lie_matrices(*self.unit_fields(algebra))

    def group_matrix(self, g):
        """``K`` (p, p) sparse with ``phi(g x) = K phi(x)``, `g` (d, d)."""
        check_is_fitted(self)
        return self.monomials_.substitute(*self.unit_map(g))

    def unit_fields(self, algebra):
        """The algebra in the coordinates ``u``: matrices (r, d, d) and translations (r, d)."""
        linear = algebra.linear * (self.scale_ / self.scale_[:, None])
        # Cancellation at the fixed point leaves round-off that would tie the degrees together.
        shift = algebra.linear @ self.center_ + algebra.offset
        size = np.abs(algebra.linear) @ np.abs(self.center_) + np.abs(algebra.offset)
        return linear, np.where(np.abs(shift) <= _CANCELLED * size, 0.0, shift) / self.scale_

    def unit_map(self, g):
        """The map ``x -> g x`` in the coordinates ``u``: matrix (d, d) and translation (d,)."""
        linear = g * (self.scale_ / self.scale_[:, None])
        shift = g @ self.center_ - self.center_
        size = np.abs(g) @ np.abs(self.center_) + np.abs(self.center_)
        return linear, np.where(np.abs(shift) <= _CANCELLED * size, 0.0, shift) / self.scale_

    def change_to(self, other):
        """``K`` (p, p) sparse with ``phi_self = K phi_other``: the same space placed elsewhere."""
        shift = (other.center_ - self.center_) / self.scale_
        return self.monomials_.substitute(np.diag(other.scale_ / self.scale_), shift)

    def _powers(self, X, needed):
        """Unscaled powers ``u^a`` of the monomials `needed`, which hold all parents: (len, n)."""
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
    """Smallest powers of two >= `size`; 1 for zeros."""
    size = np.asarray(size, float)
    return np.exp2(np.ceil(np.log2(np.where(size > 0, size, 1.0))))


def monomial_names(exponents, features):
    """``x0^2 x1`` for every row of exponents, as an object array."""
    names = []
    for row in exponents:
        factors = [
            f"{features[i]}^{row[i]}" if row[i] > 1 else f"{features[i]}"
            for i in np.flatnonzero(row)
        ]
        names.append(" ".join(factors) or "1")
    return np.array(names, dtype=object)


def _per_column(value, d, name, default):
    if value is None:
        return default
    value = np.asarray(value, float)
    if value.shape not in ((), (d,)) or not np.isfinite(value).all():
        raise ValueError(f"`{name}` must be finite, a number or of shape ({d},), got {value!r}.")
    return np.broadcast_to(value, (d,)).copy()
