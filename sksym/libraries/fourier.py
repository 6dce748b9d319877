"""Trigonometric polynomials of several angles."""

from itertools import product

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import is_integer, on_copy
from sksym._linalg import row_blocks
from sksym.libraries.library import Library, NotClosedError
from sksym.libraries.monomials import Monomials

_WHOLE = 1e-12  # distance from a whole number that is round-off


class FourierLibrary(Library):
    """``1, cos(k.x), sin(k.x)`` for integer wave vectors ``0 < |k|_1 <= n_frequencies``.

    One of each pair k, -k is kept. Closed under translations, and under permutations and
    reflections of the coordinates; products such as ``cos(x0 - x1)`` need n_frequencies >= 2.

    Parameters
    ----------
    n_frequencies : int, default=1
    columns : sequence of int or str, default=None
        The columns that are angles; others are left out. None: all.

    Attributes
    ----------
    columns_ : ndarray of int, or None
        The columns taken; None: all.
    frequencies_ : ndarray of shape (K, d)
        The wave vectors, in radians per unit of x.
    n_output_features_ : int
        ``p = 2 K + 1``.
    domain_ : ndarray of shape (2, d)
        One period of every angle, on which `orthonormal_coordinates` is orthonormal.

    Examples
    --------
    >>> from sksym.libraries import FourierLibrary
    >>> FourierLibrary(1).fit([[0.0, 1.0]]).get_feature_names_out()
    array(['1', 'cos(x0)', 'sin(x0)', 'cos(x1)', 'sin(x1)'], dtype=object)
    """

    def __init__(self, n_frequencies=1, columns=None):
        self.n_frequencies = n_frequencies
        self.columns = columns

    @on_copy
    def fit(self, X, y=None):
        """List the wave vectors for the number of columns of `X` (n, d)."""
        if not is_integer(self.n_frequencies) or self.n_frequencies < 0:
            raise ValueError(
                f"`n_frequencies` must be an integer >= 0, got {self.n_frequencies!r}."
            )
        X = self.fit_input(X)
        d = X.shape[1]
        # All that depends on the data is the number of columns.
        self.frequencies_ = _wave_vectors(d, int(self.n_frequencies))
        self.n_output_features_ = 1 + 2 * len(self.frequencies_)
        ones = np.ones(d)
        self.domain_ = np.pi * np.array([-ones, ones])
        return self

    def transform(self, X):
        """Evaluate the functions: shape (n, p), a cosine and a sine for each wave vector."""
        X = self.transform_input(X)
        n = len(X)
        p = self.n_output_features_
        out = np.ones((n, p), dtype=X.dtype)
        for rows in row_blocks(n, p):
            phase = X[rows] @ self.frequencies_.T
            out[rows, 1::2] = np.cos(phase)
            out[rows, 2::2] = np.sin(phase)
        return out

    def jacobian(self, X):
        """Differentiate by the coordinates of x: shape (n, p, d)."""
        X = self.transform_input(X)
        n, d = X.shape
        p = self.n_output_features_
        k = self.frequencies_
        out = np.zeros((n, p, d), dtype=X.dtype)
        for rows in row_blocks(n, p * d):
            phase = X[rows] @ k.T
            phase = phase[:, :, None]
            # d cos(k.x) = -sin(k.x) k.dx
            out[rows, 1::2] = -np.sin(phase) * k
            out[rows, 2::2] = np.cos(phase) * k
        return self.on_all_columns(out)

    def get_feature_names_out(self, input_features=None):
        """Return ``1, cos(x0), sin(x0), cos(x0 - x1), ..``.

        Parameters
        ----------
        input_features : sequence of d str, default=None
            Names of the columns of X; None: those seen in ``fit``.

        Returns
        -------
        ndarray of shape (p,) of str
        """
        features = self.names_of_columns(input_features)
        names = ["1"]
        for k in self.frequencies_:
            phase = _phase_name(k, features)
            names.append(f"cos({phase})")
            names.append(f"sin({phase})")
        return np.array(names, dtype=object)

    def orthonormal_coordinates(self, points=None):
        """Return ``T`` (p, p) with ``phi = T psi``, psi orthonormal on one period."""
        check_is_fitted(self)
        # The mean square of a sine or cosine over a period is 1/2.
        size = np.full(self.n_output_features_, np.sqrt(0.5))
        size[0] = 1
        return sparse.diags_array(size, format="csr")

    def lie_matrices(self, algebra):
        """Return ``D_a`` side by side, (p, r p) sparse, for translations.

        A translation along b turns each pair (cos, sin) at the rate k.b.

        Raises
        ------
        NotClosedError
            If a generator has a linear part on the columns taken.
        """
        check_is_fitted(self)
        linear = self.on_taken_columns(algebra.linear)
        if linear.any():
            raise NotClosedError(
                f"FourierLibrary is closed under translations only, got {algebra!r}: "
                "use LieDerivative.sampled."
            )
        p = self.n_output_features_
        rate = self.taken(algebra.offset) @ self.frequencies_.T
        a, k = np.nonzero(rate)
        rate = rate[a, k]
        cosine = 1 + 2 * k
        sine = 2 + 2 * k
        # d cos = -rate sin and d sin = rate cos
        values = np.concatenate([-rate, rate])
        rows = np.concatenate([cosine, sine])
        columns = np.concatenate([a * p + sine, a * p + cosine])
        D = sparse.coo_array(
            (values, (rows, columns)),
            shape=(p, algebra.dim * p),
        )
        return sparse.csr_array(D)

    def group_matrix(self, g):
        """Return ``K`` (p, p) sparse with ``phi(g x) = K phi(x)``, `g` a signed permutation.

        ``k.(g x) = (g^T k).x``: wave vectors are permuted, up to their sign.

        Raises
        ------
        NotClosedError
            If a wave vector goes to one that the library does not have.
        """
        check_is_fitted(self)
        g = self.on_taken_columns(g)
        whole = np.round(g)
        is_whole = np.abs(g - whole) <= _WHOLE
        images = self.frequencies_ @ np.where(is_whole, whole, g)
        position = {}
        for index, k in enumerate(self.frequencies_):
            position[tuple(k)] = index
        p = self.n_output_features_
        K = sparse.lil_array((p, p))
        K[0, 0] = 1
        for row, k in enumerate(images):
            # One of each pair k, -k is listed; cos(-k.x) = cos(k.x), sin(-k.x) = -sin(k.x).
            sign = 1 if tuple(k) in position else -1
            column = position.get(tuple(sign * k))
            if column is None:
                raise NotClosedError(
                    "FourierLibrary is closed under signed permutations of the coordinates only, "
                    f"got the element\n{g}"
                )
            K[1 + 2 * row, 1 + 2 * column] = 1
            K[2 + 2 * row, 2 + 2 * column] = sign
        return sparse.csr_array(K)


def _wave_vectors(d, n_frequencies):
    """List one of each pair k, -k with 0 < |k|_1 <= n_frequencies: its first entry is positive.

    Returns
    -------
    ndarray of shape (K, d) of int
    """
    # The exponents of monomials are the lengths of the entries, by total degree.
    table = Monomials(d, n_frequencies)
    vectors = []
    for lengths in table.exponents[1:]:
        axes = np.flatnonzero(lengths)
        n_signs = len(axes) - 1
        for signs in product((1, -1), repeat=n_signs):
            k = lengths.copy()
            k[axes[1:]] *= np.array(signs, dtype=k.dtype)
            vectors.append(k)
    vectors = np.array(vectors, dtype=int)
    return vectors.reshape(-1, d)


def _phase_name(k, features):
    """Write a phase as ``2 x0 - x1``, from a wave vector (d,) and the names of d columns."""
    text = ""
    for i in np.flatnonzero(k):
        is_negative = k[i] < 0
        if text:
            text += " - " if is_negative else " + "
        elif is_negative:
            text = "-"
        length = abs(k[i])
        if length != 1:
            text += f"{length} "
        text += features[i]
    return text
