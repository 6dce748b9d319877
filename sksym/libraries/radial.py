"""Powers of the distance from the origin times polynomials: central forces."""

import numpy as np
from scipy import sparse
from scipy.special import gammaln
from sklearn.utils.validation import check_is_fitted

from sksym._linalg import row_blocks
from sksym.libraries.library import Library, NotClosedError, library_values
from sksym.libraries.monomials import Monomials
from sksym.libraries.polynomial import PolynomialLibrary, power_of_two

_ORTHOGONAL = 1e-12  # distance from a rotation that is round-off


class RadialLibrary(Library):
    """Powers of the distance times polynomials: ``|u|^k u^a / sqrt(a!)``.

    For every k in `powers` and total degree ``|a| <= degree``. ``u = x / s`` is the position in
    units of a power of two near the largest distance. Functions that repeat others (``|u|^2``
    times a constant beside the square terms) are left out. Closed under rotations and reflections
    about the origin. At the origin itself a negative power is taken as zero, as the pull of a body
    on itself is: the value that symmetry demands of a vector.

    Parameters
    ----------
    powers : sequence of float, default=(-3, -1, 1)
        -3 with degree 1 holds the inverse-square law ``x / |x|^3``.
    degree : int, default=1
    columns : sequence of int or str, default=None
        The columns that hold the position; others are left out. None: all.

    Attributes
    ----------
    columns_ : ndarray of int, or None
        The columns taken; None: all.
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

    def __init__(self, powers=(-3, -1, 1), degree=1, columns=None):
        self.powers = powers
        self.degree = degree
        self.columns = columns

    def fit(self, X, y=None):
        """Set the unit of length from `X` (n, d)."""
        X = self.fit_input(X)
        powers = np.asarray(self.powers, float)
        if powers.ndim != 1 or not len(powers) or not np.isfinite(powers).all():
            raise ValueError(f"`powers` must be a sequence of finite numbers, got {self.powers!r}.")
        d = X.shape[1]
        radius = np.linalg.norm(X.astype(float), axis=1)
        shortest = radius.min()
        longest = radius.max()
        self.scale_ = float(power_of_two(longest))
        self.polynomials_ = PolynomialLibrary(self.degree, center=0.0, scale=self.scale_)
        self.polynomials_.fit(np.zeros((1, d)))
        self.functions_ = _independent(powers, self.polynomials_.monomials_)
        self.n_output_features_ = len(self.functions_)
        longest = longest or self.scale_
        self.domain_ = np.array([[-longest] * d, [longest] * d])
        inner = shortest if 0 < shortest < 0.9 * longest else 0.5 * longest
        self.shell_ = np.array([inner, longest]) / self.scale_
        return self

    def extremes(self, X):
        """Return the nearest and the farthest row: all of `X` (n, d) that `fit` depends on."""
        X = np.asarray(X)
        radius = np.linalg.norm(self.taken(X), axis=1)
        return X[[radius.argmin(), radius.argmax()]]

    def transform(self, X):
        """Evaluate the functions: shape (n, p)."""
        X = self.transform_input(X)
        power, function = self.functions_.T
        out = np.empty((len(X), self.n_output_features_), dtype=X.dtype)
        for rows in row_blocks(len(X), self.n_output_features_):
            radial = self._radial(X[rows])[:, power]
            out[rows] = radial * library_values(self.polynomials_, X[rows])[:, function]
        return out

    def jacobian(self, X):
        """Differentiate by the coordinates of x: shape (n, p, d)."""
        X = self.transform_input(X)
        n, d = X.shape
        power, function = self.functions_.T
        radial = self._radial(X)
        u = X / self.scale_
        square = np.maximum((u**2).sum(axis=1), 1e-300)
        # d |u|^k = k |u|^k u / |u|^2
        slope = np.asarray(self.powers) * radial / square[:, None]
        out = np.empty((n, self.n_output_features_, d), dtype=X.dtype)
        for rows in row_blocks(n, self.n_output_features_ * d):
            values = library_values(self.polynomials_, X[rows])[:, function]
            derivatives = self.polynomials_.jacobian(X[rows])[:, function]
            along = slope[rows][:, power] * values
            out[rows] = along[:, :, None] * u[rows, None] / self.scale_
            out[rows] += radial[rows][:, power, None] * derivatives
        return self.on_all_columns(out)

    def _radial(self, X):
        """Compute ``|u|^k``, (n, number of powers)."""
        radius = np.linalg.norm(X / self.scale_, axis=1)[:, None]
        safe = np.where(radius > 0, radius, 1.0).astype(X.dtype)
        powers = np.asarray(self.powers, dtype=X.dtype)
        at_origin = np.where(powers == 0, 1.0, 0.0)
        return np.where(radius > 0, safe**powers, at_origin).astype(X.dtype)

    def get_feature_names_out(self, input_features=None):
        """Return ``|x|^-3, |x|^-3 x0, ..``."""
        features = self.names_of_columns(input_features)
        polynomials = self.polynomials_.get_feature_names_out(features)
        names = []
        for k, i in self.functions_:
            name = f"|x|^{self.powers[k]:g}"
            if i:
                name += f" {polynomials[i]}"
            names.append(name)
        return np.array(names, dtype=object)

    def lie_matrices(self, algebra):
        """Return ``D_a`` side by side, (p, r p) sparse, for rotations about the origin."""
        check_is_fitted(self)
        A = self.on_taken_columns(algebra.linear)
        b = self.taken(algebra.offset)
        symmetric = np.abs(A + A.transpose(0, 2, 1)).max(initial=0)
        if b.any() or symmetric > _ORTHOGONAL * np.abs(A).max(initial=0):
            raise NotClosedError(
                f"RadialLibrary is closed under rotations about the origin only, got {algebra!r}: "
                "use LieDerivative.sampled, or put the origin at the centre of rotation."
            )
        D = self.polynomials_.monomials_.lie_matrices(A, b / self.scale_)
        return self._lift(D, algebra.dim)

    def group_matrix(self, g):
        """Return ``K`` (p, p) sparse with ``phi(g x) = K phi(x)``, `g` (d, d) orthogonal."""
        check_is_fitted(self)
        g = self.on_taken_columns(g)
        if np.abs(g @ g.T - np.eye(len(g))).max() > _ORTHOGONAL:
            raise NotClosedError(
                "RadialLibrary is closed under orthogonal maps about the origin only, "
                f"got the element\n{g}"
            )
        return self._lift(self.polynomials_.group_matrix(g), 1)

    def orthonormal_coordinates(self, points=None):
        """Return ``T`` (p, p) with ``phi = T psi``, psi orthonormal on the shell of the data."""
        check_is_fitted(self)
        power, function = self.functions_.T
        table = self.polynomials_.monomials_
        exponents = table.exponents[function]
        d = table.d
        k = np.asarray(self.powers, float)[power]
        total = exponents[:, None] + exponents
        degree = total.sum(axis=2)
        # Mean of u^c over the unit sphere, c even.
        log_mean = gammaln(d / 2) - gammaln((degree + d) / 2) - d / 2 * np.log(np.pi)
        sphere = np.exp(log_mean + gammaln((total + 1) / 2).sum(axis=2))
        sphere[(total % 2).any(axis=2)] = 0
        radial = _radial_mean(k[:, None] + k + degree, d, *self.shell_)
        fischer = table.fischer[function]
        gram = fischer[:, None] * sphere * radial * fischer
        size = np.sqrt(np.diag(gram))  # powers differ by orders of magnitude
        factor = np.linalg.cholesky(gram / size / size[:, None])
        return sparse.csr_array(size[:, None] * factor)

    def change_to(self, other):
        """Return ``K`` (p, p) diagonal with ``phi_self = K phi_other``: another unit of length."""
        power, function = self.functions_.T
        degree = self.polynomials_.monomials_.exponents[function].sum(axis=1)
        ratio = other.scale_ / self.scale_
        total = np.asarray(self.powers)[power] + degree
        return sparse.diags_array(ratio**total, format="csr")

    def _lift(self, D, r):
        """Return matrices on the polynomials, (p0, r p0), as matrices on all functions, (p, r p)."""
        p0 = D.shape[0]
        p = self.n_output_features_
        D = sparse.coo_array(D)
        # position[k, i]: index of the function with power k and polynomial i, -1 where left out
        position = np.full((len(self.powers), p0), -1)
        position[tuple(self.functions_.T)] = np.arange(p)
        rows = position[:, D.row]
        a, column = np.divmod(D.col, p0)
        columns = a * p + position[:, column]
        present = rows >= 0
        values = np.broadcast_to(D.data, rows.shape)[present]
        where = (rows[present], columns[present])
        return sparse.csr_array(sparse.coo_array((values, where), shape=(p, r * p)))


def _independent(powers, monomials: Monomials):
    """List (power, monomial) pairs that are no lower power times other monomials."""
    degree = monomials.exponents.sum(axis=1)
    pairs = []
    for index, k in enumerate(powers):
        if k in powers[:index]:
            continue
        # |u|^k u^a = |u|^(k - 2 s) times polynomials of degree |a| + 2 s, for whole s > 0
        steps = (k - powers) / 2
        lower = steps[(steps > 0) & (steps == np.round(steps))]
        limit = monomials.degree - 2 * lower.min() if len(lower) else -1
        pairs += [(index, a) for a in np.flatnonzero(degree > limit)]
    return np.array(pairs, dtype=int)


def _radial_mean(power, d, inner, outer):
    """Compute the mean of ``r^power`` over a shell of R^d."""

    def integral(exponent):  # of r^(exponent - 1)
        safe = np.where(exponent == 0, 1.0, exponent)
        power_law = (outer**safe - inner**safe) / safe
        return np.where(exponent == 0, np.log(outer / inner), power_law)

    return integral(power + d) / integral(np.float64(d))
