"""Powers of the distance from the origin times polynomials: central forces."""

import numpy as np
from scipy import sparse
from scipy.special import gammaln
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sksym.libraries.blocks import (
    NotClosedError,
    fit_input,
    input_names,
    library_values,
    row_blocks,
    transform_input,
)
from sksym.libraries.monomials import Monomials
from sksym.libraries.polynomial import PolynomialLibrary, power_of_two


class RadialLibrary(TransformerMixin, BaseEstimator):
    """``|u|^k u^a / sqrt(a!)`` for every k in `powers` and total degree ``|a| <= degree``.

    ``u = x / s`` is the position in units of a power of two near the largest distance. Functions
    that repeat others (``|u|^2`` times a constant beside the square terms) are left out. Closed
    under rotations and reflections about the origin. At the origin itself a negative power is taken
    as zero, as the pull of a body on itself is: the value that symmetry demands of a vector.

    Parameters
    ----------
    powers : sequence of float, default=(-3, -1, 1)
        -3 with degree 1 holds the inverse-square law ``x / |x|^3``.
    degree : int, default=1

    Attributes
    ----------
    scale_ : float
    polynomials_ : PolynomialLibrary
        The polynomial factors, about the origin.
    functions_ : ndarray of shape (p, 2)
        Index of the power and of the polynomial of every function.
    shell_ : ndarray of shape (2,)
        Smallest and largest ``|u|`` of the data; `orthonormal_coordinates` refers to this shell.
    domain_ : ndarray of shape (2, d)
        The box around the shell, in the units of x.
    n_output_features_ : int
    """

    def __init__(self, powers=(-3, -1, 1), degree=1):
        self.powers = powers
        self.degree = degree

    def fit(self, X, y=None):
        """Set the unit of length from `X` (n, d)."""
        X = fit_input(self, X)
        powers = np.asarray(self.powers, float)
        if powers.ndim != 1 or not len(powers) or not np.isfinite(powers).all():
            raise ValueError(f"`powers` must be a sequence of finite numbers, got {self.powers!r}.")
        radius = np.linalg.norm(X.astype(float), axis=1)
        self._place(X.shape[1], radius.min(), radius.max())
        return self

    @staticmethod
    def extremes(X):
        """The nearest and the farthest row: all of `X` (n, d) that `fit` depends on."""
        radius = np.linalg.norm(X, axis=1)
        return np.asarray(X)[[radius.argmin(), radius.argmax()]]

    def _place(self, d, shortest, longest):
        self.scale_ = float(power_of_two(longest))
        self.polynomials_ = PolynomialLibrary(self.degree, center=0.0, scale=self.scale_)
        self.polynomials_.fit(np.zeros((1, d)))
        self.functions_ = _independent(np.asarray(self.powers, float), self.polynomials_.monomials_)
        self.n_output_features_ = len(self.functions_)
        longest = longest or self.scale_
        self.domain_ = np.array([[-longest] * d, [longest] * d])
        inner = shortest if 0 < shortest < 0.9 * longest else 0.5 * longest
        self.shell_ = np.array([inner, longest]) / self.scale_

    def transform(self, X):
        """Library values, shape (n, p)."""
        X = transform_input(self, X)
        power, function = self.functions_.T
        out = np.empty((len(X), self.n_output_features_), dtype=X.dtype)
        for rows in row_blocks(len(X), self.n_output_features_):
            radial = self._radial(X[rows])[:, power]
            out[rows] = radial * library_values(self.polynomials_, X[rows])[:, function]
        return out

    def jacobian(self, X):
        """Derivatives by the coordinates of x, shape (n, p, d)."""
        X = transform_input(self, X)
        power, function = self.functions_.T
        radial, u = self._radial(X), X / self.scale_
        slope = np.asarray(self.powers) * radial / np.maximum((u**2).sum(1), 1e-300)[:, None]
        out = np.empty((len(X), self.n_output_features_, X.shape[1]), dtype=X.dtype)
        for rows in row_blocks(len(X), out[0].size if len(X) else 1):
            factor = slope[rows][:, power] * library_values(self.polynomials_, X[rows])[:, function]
            out[rows] = factor[:, :, None] * u[rows, None] / self.scale_
            polynomial = self.polynomials_.jacobian(X[rows])[:, function]
            out[rows] += radial[rows][:, power, None] * polynomial
        return out

    def _radial(self, X):
        """``|u|^k``, (n, number of powers)"""
        radius = np.linalg.norm(X / self.scale_, axis=1)[:, None]
        away = np.where(radius > 0, radius, 1.0).astype(X.dtype)
        powers = np.asarray(self.powers, dtype=X.dtype)
        return np.where(radius > 0, away**powers, np.where(powers == 0, 1.0, 0.0)).astype(X.dtype)

    def get_feature_names_out(self, input_features=None):
        """``|x|^-3, |x|^-3 x0, ..``"""
        check_is_fitted(self)
        names = self.polynomials_.get_feature_names_out(input_names(self, input_features))
        names = [
            f"|x|^{self.powers[k]:g}" + (f" {names[i]}" if i else "") for k, i in self.functions_
        ]
        return np.array(names, dtype=object)

    def lie_matrices(self, algebra):
        """``D_a`` side by side, (p, r p) sparse, for rotations about the origin."""
        check_is_fitted(self)
        A = algebra.linear
        if algebra.offset.any() or np.abs(A + A.transpose(0, 2, 1)).max(initial=0) > (
            1e-12 * np.abs(A).max(initial=0)
        ):
            raise NotClosedError(
                f"RadialLibrary is closed under rotations about the origin only, got {algebra!r}: "
                "use LieDerivative.sampled, or put the origin at the centre of rotation."
            )
        return self._lift(self.polynomials_.lie_matrices(algebra), algebra.dim)

    def group_matrix(self, g):
        """``K`` (p, p) sparse with ``phi(g x) = K phi(x)``, `g` (d, d) orthogonal."""
        check_is_fitted(self)
        if np.abs(g @ g.T - np.eye(len(g))).max() > 1e-12:
            raise NotClosedError(
                "RadialLibrary is closed under orthogonal maps about the origin only, "
                f"got the element\n{g}"
            )
        return self._lift(self.polynomials_.group_matrix(g), 1)

    def orthonormal_coordinates(self):
        """``T`` (p, p) with ``phi = T psi``, psi orthonormal on the shell that the data span."""
        check_is_fitted(self)
        power, function = self.functions_.T
        table = self.polynomials_.monomials_
        exponents, d = table.exponents[function], table.d
        k = np.asarray(self.powers, float)[power]
        total = exponents[:, None] + exponents
        degree = total.sum(axis=2)
        # Mean of u^c over the unit sphere, c even.
        sphere = gammaln(d / 2) - gammaln((degree + d) / 2) - d / 2 * np.log(np.pi)
        sphere = np.exp(sphere + gammaln((total + 1) / 2).sum(axis=2))
        sphere[(total % 2).any(axis=2)] = 0
        radial = _radial_mean(k[:, None] + k + degree, d, *self.shell_)
        scale = table.fischer[function]
        gram = scale[:, None] * sphere * radial * scale
        size = np.sqrt(np.diag(gram))  # powers differ by orders of magnitude
        factor = np.linalg.cholesky(gram / size / size[:, None])
        return sparse.csr_array(size[:, None] * factor)

    def change_to(self, other):
        """``K`` (p, p) diagonal with ``phi_self = K phi_other``: another unit of length."""
        power, function = self.functions_.T
        degree = self.polynomials_.monomials_.exponents[function].sum(axis=1)
        ratio = other.scale_ / self.scale_
        return sparse.diags_array(ratio ** (np.asarray(self.powers)[power] + degree), format="csr")

    def _lift(self, D, r):
        """Matrices on the polynomials, (p0, r p0), as matrices on all functions, (p, r p)."""
        n_powers, p0, p = len(self.powers), D.shape[0], self.n_output_features_
        D = sparse.coo_array(D)
        position = np.full((n_powers, p0), -1)
        position[tuple(self.functions_.T)] = np.arange(p)
        rows = position[:, D.row]
        a, column = np.divmod(D.col, p0)
        columns = a * p + position[:, column]
        kept = rows >= 0
        values = np.broadcast_to(D.data, rows.shape)[kept]
        return sparse.csr_array(
            sparse.coo_array((values, (rows[kept], columns[kept])), shape=(p, r * p))
        )


def _independent(powers, monomials: Monomials):
    """(power, monomial) pairs, without those equal to a lower power times other monomials."""
    degree = monomials.exponents.sum(axis=1)
    pairs = []
    for index, k in enumerate(powers):
        steps = (k - powers) / 2
        lower = steps[(steps > 0) & (steps == np.round(steps))]
        limit = monomials.degree - 2 * lower.min() if len(lower) else -1
        repeated = np.flatnonzero(powers[:index] == k)
        pairs += [(index, a) for a in np.flatnonzero(degree > limit) if not len(repeated)]
    return np.array(pairs, dtype=int)


def _radial_mean(power, d, inner, outer):
    """Mean of ``r^power`` over a shell of R^d."""

    def integral(exponent):  # of r^(exponent - 1)
        safe = np.where(exponent == 0, 1.0, exponent)
        return np.where(exponent == 0, np.log(outer / inner), (outer**safe - inner**safe) / safe)

    return integral(power + d) / integral(np.float64(d))
