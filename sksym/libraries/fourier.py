"""Trigonometric polynomials of several angles."""

from itertools import product
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sksym.libraries.blocks import (
    NotClosedError,
    fit_input,
    input_names,
    row_blocks,
    transform_input,
)
from sksym.libraries.monomials import Monomials


class FourierLibrary(TransformerMixin, BaseEstimator):
    """``1, cos(k.x), sin(k.x)`` for integer wave vectors ``0 < |k|_1 <= n_frequencies``.

    One of each pair k, -k is kept. Closed under translations, and under permutations and
    reflections of the coordinates; products such as ``cos(x0 - x1)`` need n_frequencies >= 2.

    Parameters
    ----------
    n_frequencies : int, default=1

    Attributes
    ----------
    frequencies_ : ndarray of shape (K, d)
        The wave vectors, in radians per unit of x.
    n_output_features_ : int
        ``p = 2 K + 1``.
    domain_ : ndarray of shape (2, d)
        One period, the box on which `orthonormal_coordinates` is orthonormal.
    """

    def __init__(self, n_frequencies=1):
        self.n_frequencies = n_frequencies

    def fit(self, X, y=None):
        """List the wave vectors for the number of columns of `X` (n, d)."""
        if not isinstance(self.n_frequencies, Integral) or self.n_frequencies < 0:
            raise ValueError(
                f"`n_frequencies` must be an integer >= 0, got {self.n_frequencies!r}."
            )
        d = fit_input(self, X).shape[1]
        self.frequencies_ = _wave_vectors(d, int(self.n_frequencies))
        self.n_output_features_ = 1 + 2 * len(self.frequencies_)
        self.domain_ = np.array([-np.pi * np.ones(d), np.pi * np.ones(d)])
        return self

    def transform(self, X):
        """Library values, shape (n, p)."""
        X = transform_input(self, X)
        out = np.ones((len(X), self.n_output_features_), dtype=X.dtype)
        for rows in row_blocks(len(X), self.n_output_features_):
            phase = X[rows] @ self.frequencies_.T
            out[rows, 1::2], out[rows, 2::2] = np.cos(phase), np.sin(phase)
        return out

    def jacobian(self, X):
        """Derivatives by the coordinates of x, shape (n, p, d)."""
        X = transform_input(self, X)
        out = np.zeros((len(X), self.n_output_features_, X.shape[1]), dtype=X.dtype)
        for rows in row_blocks(len(X), out[0].size if len(X) else 1):
            phase = (X[rows] @ self.frequencies_.T)[:, :, None]
            out[rows, 1::2] = -np.sin(phase) * self.frequencies_
            out[rows, 2::2] = np.cos(phase) * self.frequencies_
        return out

    def get_feature_names_out(self, input_features=None):
        """``1, cos(x0), sin(x0), cos(x0 - x1), ..``"""
        features = input_names(self, input_features)
        names = ["1"]
        for k in self.frequencies_:
            text = ""
            for i in np.flatnonzero(k):
                sign = (" - " if k[i] < 0 else " + ") if text else ("-" if k[i] < 0 else "")
                text += f"{sign}{'' if abs(k[i]) == 1 else f'{abs(k[i])} '}{features[i]}"
            names += [f"cos({text})", f"sin({text})"]
        return np.array(names, dtype=object)

    def orthonormal_coordinates(self):
        """``T`` (p, p) with ``phi = T psi``, psi orthonormal on one period."""
        check_is_fitted(self)
        size = np.full(self.n_output_features_, np.sqrt(0.5))
        size[0] = 1
        return sparse.diags_array(size, format="csr")

    def lie_matrices(self, algebra):
        """``D_a`` side by side, (p, r p) sparse, for translations."""
        check_is_fitted(self)
        if algebra.linear.any():
            raise NotClosedError(
                f"FourierLibrary is closed under translations only, got {algebra!r}: "
                "use LieDerivative.sampled."
            )
        p, rate = self.n_output_features_, algebra.offset @ self.frequencies_.T
        a, k = np.nonzero(rate)
        cosine, sine = 1 + 2 * k, 2 + 2 * k
        entries = np.concatenate([-rate[a, k], rate[a, k]])
        where = np.concatenate([cosine, sine]), np.concatenate([a * p + sine, a * p + cosine])
        return sparse.csr_array(sparse.coo_array((entries, where), shape=(p, algebra.dim * p)))

    def group_matrix(self, g):
        """``K`` (p, p) sparse with ``phi(g x) = K phi(x)``, `g` a signed permutation matrix."""
        check_is_fitted(self)
        whole = np.round(g)
        turned = self.frequencies_ @ np.where(np.abs(g - whole) <= 1e-12, whole, g)
        place = {tuple(k): i for i, k in enumerate(self.frequencies_)}
        K = sparse.lil_array((self.n_output_features_,) * 2)
        K[0, 0] = 1
        for row, k in enumerate(turned):
            sign = 1 if tuple(k) in place else -1
            column = place.get(tuple(sign * k))
            if column is None:
                raise NotClosedError(
                    "FourierLibrary is closed under signed permutations of the coordinates only, "
                    f"got the element\n{g}"
                )
            K[1 + 2 * row, 1 + 2 * column] = 1
            K[2 + 2 * row, 2 + 2 * column] = sign
        return sparse.csr_array(K)


def _wave_vectors(d, n_frequencies):
    """One of each pair k, -k with 0 < |k|_1 <= n_frequencies: the first entry is positive."""
    vectors = []
    for lengths in Monomials(d, n_frequencies).exponents[1:]:
        axes = np.flatnonzero(lengths)
        for signs in product((1, -1), repeat=len(axes) - 1):
            k = lengths.copy()
            k[axes[1:]] *= np.array(signs, dtype=k.dtype)
            vectors.append(k)
    return np.array(vectors, dtype=int).reshape(-1, d)
