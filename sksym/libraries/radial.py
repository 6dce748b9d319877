"""Powers of the distance from the origin times polynomials: central forces."""

import numpy as np
from scipy import sparse
from scipy.special import gammaln
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import on_copy
from sksym._linalg import row_blocks
from sksym.libraries.library import Library, NotClosedError, library_values
from sksym.libraries.monomials import Monomials
from sksym.libraries.polynomial import PolynomialLibrary, power_of_two

_ORTHOGONAL = 1e-12  # distance from a rotation that is round-off
_THICK = 0.9  # inner radius of a shell relative to the outer one, at most
_TINY = 1e-300  # squared distance that divides without overflow


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

    Examples
    --------
    >>> from sksym.libraries import RadialLibrary
    >>> RadialLibrary(powers=(-3,)).fit([[3.0, 4.0]]).get_feature_names_out()
    array(['|x|^-3', '|x|^-3 x0', '|x|^-3 x1'], dtype=object)
    """

    def __init__(self, powers=(-3, -1, 1), degree=1, columns=None):
        self.powers = powers
        self.degree = degree
        self.columns = columns

    @on_copy
    def fit(self, X, y=None):
        """Set the unit of length from `X` (n, d)."""
        X = self.fit_input(X)
        powers = np.asarray(self.powers)
        is_sequence = powers.ndim == 1 and len(powers) > 0
        if not is_sequence or powers.dtype.kind not in "iuf" or not np.isfinite(powers).all():
            raise ValueError(f"`powers` must be a sequence of finite numbers, got {self.powers!r}.")
        powers = powers.astype(float)
        d = X.shape[1]
        radius = _distances(X)
        shortest = radius.min()
        longest = radius.max()
        self.scale_ = float(power_of_two(longest))
        # About the origin, in one unit for all coordinates: |u| is the distance.
        polynomials = PolynomialLibrary(
            self.degree,
            center=0.0,
            scale=self.scale_,
        )
        origin = np.zeros((1, d))
        self.polynomials_ = polynomials.fit(origin)
        self.functions_ = _independent(powers, polynomials.monomials_)
        self.n_output_features_ = len(self.functions_)
        # Without a point away from the origin the shell is that of one unit of length.
        longest = longest or self.scale_
        corner = np.full(d, longest)
        self.domain_ = np.array([-corner, corner])
        has_shell = 0 < shortest < _THICK * longest
        inner = shortest if has_shell else 0.5 * longest
        shell = np.array([inner, longest])
        self.shell_ = shell / self.scale_
        return self

    def extremes(self, X):
        """Return the nearest and the farthest row: all of `X` that `fit` depends on.

        Parameters
        ----------
        X : ndarray of shape (n, d)

        Returns
        -------
        ndarray of shape (2, d)
        """
        X = np.asarray(X)
        position = self.taken(X)
        radius = _distances(position)
        nearest = radius.argmin()
        farthest = radius.argmax()
        return X[[nearest, farthest]]

    def transform(self, X):
        """Evaluate the functions: shape (n, p)."""
        X = self.transform_input(X)
        n = len(X)
        p = self.n_output_features_
        power, function = self.functions_.T
        out = np.empty((n, p), dtype=X.dtype)
        for rows in row_blocks(n, p):
            radial = self._radial(X[rows])
            polynomials = library_values(self.polynomials_, X[rows])
            radial = radial[:, power]
            polynomials = polynomials[:, function]
            out[rows] = radial * polynomials
        return out

    def jacobian(self, X):
        """Differentiate by the coordinates of x: shape (n, p, d)."""
        X = self.transform_input(X)
        n, d = X.shape
        p = self.n_output_features_
        power, function = self.functions_.T
        radial = self._radial(X)
        u = X / self.scale_
        square = np.sum(u**2, axis=1)
        square = np.maximum(square, _TINY)
        # d |u|^k = k |u|^k u / |u|^2
        k = np.asarray(self.powers)
        slope = k * radial / square[:, None]
        out = np.empty((n, p, d), dtype=X.dtype)
        for rows in row_blocks(n, p * d):
            # Product rule: once the power is differentiated, once the polynomial.
            values = library_values(self.polynomials_, X[rows])
            values = values[:, function]
            derivatives = self.polynomials_.jacobian(X[rows])
            derivatives = derivatives[:, function]
            slope_of_power = slope[rows][:, power]
            along = slope_of_power * values
            direction = u[rows, None]
            out[rows] = along[:, :, None] * direction / self.scale_
            factor = radial[rows][:, power, None]
            out[rows] += factor * derivatives
        return self.on_all_columns(out)

    def _radial(self, X):
        """Compute ``|u|^k``, (n, number of powers); at the origin only k = 0 is not zero."""
        u = X / self.scale_
        radius = np.linalg.norm(u, axis=1)
        radius = radius[:, None]
        is_away = radius > 0
        safe = np.where(is_away, radius, 1.0)
        safe = safe.astype(X.dtype)
        powers = np.asarray(self.powers, dtype=X.dtype)
        at_origin = np.where(powers == 0, 1.0, 0.0)
        radial = np.where(is_away, safe**powers, at_origin)
        return radial.astype(X.dtype)

    def get_feature_names_out(self, input_features=None):
        """Return ``|x|^-3, |x|^-3 x0, ..``; x is the position in units of `scale_`.

        Parameters
        ----------
        input_features : sequence of d str, default=None
            Names of the columns of X; None: those seen in ``fit``.

        Returns
        -------
        ndarray of shape (p,) of str
        """
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
        """Return ``D_a`` side by side, (p, r p) sparse, for rotations about the origin.

        Rotations leave the distance alone, so they act on the polynomial factors only.

        Raises
        ------
        NotClosedError
            If a generator translates, or its matrix is not skew.
        """
        check_is_fitted(self)
        A = self.on_taken_columns(algebra.linear)
        b = self.taken(algebra.offset)
        symmetric_part = A + A.transpose(0, 2, 1)
        stretch = np.abs(symmetric_part).max(initial=0)
        size = np.abs(A).max(initial=0)
        is_skew = stretch <= _ORTHOGONAL * size
        if b.any() or not is_skew:
            raise NotClosedError(
                f"RadialLibrary is closed under rotations about the origin only, got {algebra!r}: "
                "use LieDerivative.sampled, or put the origin at the centre of rotation."
            )
        table = self.polynomials_.monomials_
        D = table.lie_matrices(A, b / self.scale_)
        return self._on_all_powers(D, algebra.dim)

    def group_matrix(self, g):
        """Return ``K`` (p, p) sparse with ``phi(g x) = K phi(x)``, `g` (d, d) orthogonal.

        Raises
        ------
        NotClosedError
            If `g` is not orthogonal.
        """
        check_is_fitted(self)
        g = self.on_taken_columns(g)
        identity = np.eye(len(g))
        distance = np.abs(g @ g.T - identity)
        if distance.max() > _ORTHOGONAL:
            raise NotClosedError(
                "RadialLibrary is closed under orthogonal maps about the origin only, "
                f"got the element\n{g}"
            )
        K = self.polynomials_.group_matrix(g)
        return self._on_all_powers(K, 1)

    def orthonormal_coordinates(self, points=None):
        """Return ``T`` (p, p) with ``phi = T psi``, psi orthonormal on the shell of the data.

        The mean of a product of two functions over the shell is that of a power of the distance
        times that of a monomial over the unit sphere.
        """
        check_is_fitted(self)
        power, function = self.functions_.T
        table = self.polynomials_.monomials_
        exponents = table.exponents[function]
        d = table.d
        powers = np.asarray(self.powers, float)
        k = powers[power]
        # total (p, p, d): exponents of the products
        total = exponents[:, None] + exponents
        degree = total.sum(axis=2)
        # Mean of u^c over the unit sphere: Gamma(d/2) prod Gamma((c_i + 1)/2) over
        # pi^(d/2) Gamma((|c| + d)/2) where all c are even, else zero.
        log_volume = gammaln((degree + d) / 2)
        log_pi = d / 2 * np.log(np.pi)
        log_mean = gammaln(d / 2) - log_volume - log_pi
        log_factors = gammaln((total + 1) / 2)
        log_product = log_factors.sum(axis=2)
        sphere = np.exp(log_mean + log_product)
        is_odd = (total % 2).any(axis=2)
        sphere[is_odd] = 0
        inner, outer = self.shell_
        radial = _radial_mean(
            k[:, None] + k + degree,
            d,
            inner,
            outer,
        )
        fischer = table.fischer[function]
        gram = fischer[:, None] * sphere * radial * fischer
        # Functions of unit size first: powers differ by orders of magnitude.
        size = np.sqrt(np.diag(gram))
        correlation = gram / size / size[:, None]
        factor = np.linalg.cholesky(correlation)
        return sparse.csr_array(size[:, None] * factor)

    def change_to(self, other):
        """Return ``K`` (p, p) diagonal with ``phi_self = K phi_other``: another unit of length."""
        power, function = self.functions_.T
        table = self.polynomials_.monomials_
        exponents = table.exponents[function]
        degree = exponents.sum(axis=1)
        powers = np.asarray(self.powers)
        # |u|^k u^a scales as a function of degree k + |a|.
        total = powers[power] + degree
        ratio = other.scale_ / self.scale_
        return sparse.diags_array(ratio**total, format="csr")

    def _on_all_powers(self, D, r):
        """Return matrices on the polynomials as matrices on all functions of the library.

        Parameters
        ----------
        D : sparse array of shape (p0, r p0)
        r : int

        Returns
        -------
        csr_array of shape (p, r p)
        """
        D = sparse.coo_array(D)
        p0 = D.shape[0]
        p = self.n_output_features_
        # position[k, i]: index of the function with power k and polynomial i, -1 where left out
        power, function = self.functions_.T
        shape = (len(self.powers), p0)
        position = np.full(shape, -1)
        position[power, function] = np.arange(p)
        # Entries of D for every power: the same polynomials times the same power.
        a, column = np.divmod(D.col, p0)
        rows = position[:, D.row]
        columns = a * p + position[:, column]
        values = np.broadcast_to(D.data, rows.shape)
        is_present = rows >= 0
        lifted = sparse.coo_array(
            (
                values[is_present],
                (rows[is_present], columns[is_present]),
            ),
            shape=(p, r * p),
        )
        return sparse.csr_array(lifted)


def _distances(X):
    """Return the lengths of the rows of X (n, d), whose squares may leave the range of floats."""
    X = X.astype(float)
    unit = power_of_two(np.abs(X).max(initial=0))
    return unit * np.linalg.norm(X / unit, axis=1)


def _independent(powers, monomials: Monomials):
    """List the pairs (power, monomial) that are no lower power times other monomials.

    Parameters
    ----------
    powers : ndarray of shape (k,)
    monomials : Monomials

    Returns
    -------
    ndarray of shape (p, 2) of int
    """
    degree = monomials.exponents.sum(axis=1)
    pairs = []
    for index, k in enumerate(powers):
        if k in powers[:index]:
            continue
        # |u|^k u^a = |u|^(k - 2 s) times polynomials of degree |a| + 2 s, for whole s > 0
        steps = (k - powers) / 2
        is_whole = steps == np.round(steps)
        lower = steps[(steps > 0) & is_whole]
        covered = -1  # the largest degree that a lower power has already
        if len(lower):
            covered = monomials.degree - 2 * lower.min()
        for a in np.flatnonzero(degree > covered):
            pairs.append((index, a))
    return np.array(pairs, dtype=int)


def _radial_mean(power, d, inner, outer):
    """Compute the mean of ``r^power`` over a shell of R^d.

    Parameters
    ----------
    power : ndarray
    d : int
    inner, outer : float
        Radii of the shell.

    Returns
    -------
    ndarray of the shape of `power`
    """

    def integral(exponent):  # of r^(exponent - 1)
        safe = np.where(exponent == 0, 1.0, exponent)
        difference = outer**safe - inner**safe
        return np.where(
            exponent == 0,
            np.log(outer / inner),
            difference / safe,
        )

    volume = integral(np.float64(d))
    return integral(power + d) / volume
