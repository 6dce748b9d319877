"""Trigonometric polynomials of several angles."""

from itertools import product
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

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
    """

    def __init__(self, n_frequencies=1, columns=None):
        self.n_frequencies = n_frequencies
        self.columns = columns

    def fit(self, X, y=None):
        """List the wave vectors for the number of columns of `X` (n, d)."""
        if not isinstance(self.n_frequencies, Integral) or self.n_frequencies < 0:
            raise ValueError(
                f"`n_frequencies` must be an integer >= 0, got {self.n_frequencies!r}."
            )
        d = self.fit_input(X).shape[1]
        self.frequencies_ = _wave_vectors(d, int(self.n_frequencies))
        self.n_output_features_ = 1 + 2 * len(self.frequencies_)
        self.domain_ = np.pi * np.array([-np.ones(d), np.ones(d)])
        return self

    def transform(self, X):
        """Evaluate the functions: shape (n, p)."""
        X = self.transform_input(X)
        out = np.ones((len(X), self.n_output_features_), dtype=X.dtype)
        for rows in row_blocks(len(X), self.n_output_features_):
            phase = X[rows] @ self.frequencies_.T
            out[rows, 1::2] = np.cos(phase)
            out[rows, 2::2] = np.sin(phase)
        return out

    def jacobian(self, X):
        """Differentiate by the coordinates of x: shape (n, p, d)."""
        X = self.transform_input(X)
        n, d = X.shape
        out = np.zeros((n, self.n_output_features_, d), dtype=X.dtype)
        for rows in row_blocks(n, self.n_output_features_ * d):
            phase = (X[rows] @ self.frequencies_.T)[:, :, None]
            out[rows, 1::2] = -np.sin(phase) * self.frequencies_
            out[rows, 2::2] = np.cos(phase) * self.frequencies_
        return self.on_all_columns(out)

    def get_feature_names_out(self, input_features=None):
        """Return ``1, cos(x0), sin(x0), cos(x0 - x1), ..``."""
        features = self.names_of_columns(input_features)
        names = ["1"]
        for k in self.frequencies_:
            phase = _phase_name(k, features)
            names += [f"cos({phase})", f"sin({phase})"]
        return np.array(names, dtype=object)

    def orthonormal_coordinates(self, points=None):
        """Return ``T`` (p, p) with ``phi = T psi``, psi orthonormal on one period."""
        check_is_fitted(self)
        size = np.full(self.n_output_features_, np.sqrt(0.5))
        size[0] = 1
        return sparse.diags_array(size, format="csr")

    def lie_matrices(self, algebra):
        """Return ``D_a`` side by side, (p, r p) sparse, for translations."""
        check_is_fitted(self)
        if self.on_taken_columns(algebra.linear).any():
            raise NotClosedError(
                f"FourierLibrary is closed under translations only, got {algebra!r}: "
                "use LieDerivative.sampled."
            )
        p = self.n_output_features_
        rate = self.taken(algebra.offset) @ self.frequencies_.T
        a, k = np.nonzero(rate)
        cosine = 1 + 2 * k
        sine = 2 + 2 * k
        entries = np.concatenate([-rate[a, k], rate[a, k]])
        row = np.concatenate([cosine, sine])
        column = np.concatenate([a * p + sine, a * p + cosine])
        D = sparse.coo_array((entries, (row, column)), shape=(p, algebra.dim * p))
        return sparse.csr_array(D)

    def group_matrix(self, g):
        """Return ``K`` (p, p) sparse with ``phi(g x) = K phi(x)``, `g` a signed permutation."""
        check_is_fitted(self)
        g = self.on_taken_columns(g)
        whole = np.round(g)
        turned = self.frequencies_ @ np.where(np.abs(g - whole) <= _WHOLE, whole, g)
        position = {tuple(k): i for i, k in enumerate(self.frequencies_)}
        K = sparse.lil_array((self.n_output_features_, self.n_output_features_))
        K[0, 0] = 1
        for row, k in enumerate(turned):
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
    """List one of each pair k, -k with 0 < |k|_1 <= n_frequencies: its first entry is positive."""
    vectors = []
    for lengths in Monomials(d, n_frequencies).exponents[1:]:
        axes = np.flatnonzero(lengths)
        for signs in product((1, -1), repeat=len(axes) - 1):
            k = lengths.copy()
            k[axes[1:]] *= np.array(signs, dtype=k.dtype)
            vectors.append(k)
    return np.array(vectors, dtype=int).reshape(-1, d)


def _phase_name(k, features):
    """Write a phase as ``2 x0 - x1``."""
    text = ""
    for i in np.flatnonzero(k):
        if text:
            text += " - " if k[i] < 0 else " + "
        elif k[i] < 0:
            text = "-"
        if abs(k[i]) != 1:
            text += f"{abs(k[i])} "
        text += features[i]
    return text
