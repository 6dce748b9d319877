"""Libraries of others: any scikit-learn transformer, any pysindy feature library."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone

from sksym.libraries.blocks import fit_input, input_names, row_blocks, transform_input

_COMPLEX_STEP = 1e-100


@dataclass(frozen=True, repr=False)
class Kept:
    """A pysindy library that scikit-learn cannot clone: its parameters cannot all be read back."""

    library: object

    def __repr__(self):
        return type(self.library).__name__

    def fresh(self):
        """An independent copy."""
        return deepcopy(self.library)


class AdaptedLibrary(TransformerMixin, BaseEstimator):
    """A fitted transformer with numerical derivatives.

    Derivatives by complex step, exact to round-off, where the transformer computes with complex
    numbers; otherwise by central differences of fourth order, good to about 1e-11 relative.

    Parameters
    ----------
    transformer : transformer
        Rows must be transformed one by one: smooth functions of the row alone.

    Attributes
    ----------
    transformer_ : fitted clone
    complex_ : bool
        Whether derivatives are taken by complex step.
    step_ : ndarray of shape (d,)
        Step of the central differences in every coordinate.
    jacobian_rtol_ : float
        Relative accuracy to expect of `jacobian`; null spaces take it as their tolerance.
    n_output_features_ : int
    """

    def __init__(self, transformer):
        self.transformer = transformer

    def fit(self, X, y=None):
        """Fit a clone of the transformer to `X` (n, d)."""
        X = fit_input(self, X)
        transformer = self.transformer
        fresh = transformer.fresh() if isinstance(transformer, Kept) else clone(transformer)
        if hasattr(fresh, "set_output"):
            fresh.set_output(transform="default")  # arrays, whatever is configured outside
        self.transformer_ = fresh.fit(X)
        self.step_ = np.finfo(float).eps ** 0.2 * np.maximum(
            np.ptp(X, axis=0), 1e-3 * (np.abs(X).max(axis=0)) + np.finfo(float).tiny
        )
        self.step_[self.step_ < 1e-100] = np.finfo(float).eps ** 0.2
        self.complex_ = self._computes_complex(X[:5].astype(float))
        self.jacobian_rtol_ = 0.0 if self.complex_ else 1e-8
        self.n_output_features_ = self._values(X[:1]).shape[1]
        return self

    def transform(self, X):
        """Library values, shape (n, p)."""
        return self._values(transform_input(self, X))

    def jacobian(self, X):
        """Derivatives by the coordinates of x, shape (n, p, d)."""
        X = transform_input(self, X).astype(float)
        out = np.empty((len(X), self.n_output_features_, X.shape[1]))
        for rows in row_blocks(len(X), self.n_output_features_):
            for i in range(X.shape[1]):
                out[rows, :, i] = self._derivative(X[rows], i)
        return out

    def get_feature_names_out(self, input_features=None):
        """The transformer's own names; ``f0, f1, ..`` where it has none."""
        inputs = list(input_names(self, input_features))
        for method in ("get_feature_names_out", "get_feature_names"):  # pysindy has the second
            try:
                return np.asarray(getattr(self.transformer_, method)(inputs), dtype=object)
            except AttributeError:  # also raised by a pipeline, for one of its steps
                names = [f"f{k}" for k in range(self.n_output_features_)]
        return np.array(names, dtype=object)

    def _values(self, X):
        values = self.transformer_.transform(X)
        return np.asarray(values.toarray() if hasattr(values, "toarray") else values)

    def _derivative(self, X, i):
        step = np.zeros(X.shape[1], complex if self.complex_ else float)
        if self.complex_:
            step[i] = 1j * _COMPLEX_STEP
            return self._values(X + step).imag / _COMPLEX_STEP
        step[i] = self.step_[i]
        near = self._values(X + step) - self._values(X - step)
        far = self._values(X + 2 * step) - self._values(X - 2 * step)
        return (8 * near - far) / (12 * self.step_[i])

    def _computes_complex(self, X):
        """Whether complex numbers are carried through, and analytically: no conjugate, no part."""
        try:
            values = self._values(X + 1j * _COMPLEX_STEP)
        except (TypeError, ValueError):
            return False
        if not np.iscomplexobj(values) or not np.allclose(values.real, self._values(X)):
            return False
        slopes = []
        for self.complex_ in (True, False):
            slopes.append([self._derivative(X, i) for i in range(X.shape[1])])
        exact, rough = np.array(slopes)
        return bool(np.abs(exact - rough).max() <= 1e-4 * np.abs(rough).max(initial=0))


def from_transformer(transformer):
    """A library made of any scikit-learn transformer (splines, kernels, random features, ..)."""
    return AdaptedLibrary(transformer)


def from_pysindy(library):
    """A library made of a pysindy feature library."""
    if not hasattr(library, "get_feature_names"):
        raise TypeError(
            f"from_pysindy takes a pysindy feature library, got {type(library).__name__}: "
            "use from_transformer for scikit-learn transformers."
        )
    return AdaptedLibrary(Kept(library))
