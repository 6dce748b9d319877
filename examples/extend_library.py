"""
A library of your own: charges of finite size
=============================================

A library is a scikit-learn transformer that knows its derivative, ``jacobian``. Here: Gaussians of
several widths times the coordinates, which hold the pull of smeared-out charges. Rotations keep
this space of functions, so the library may say how, in ``lie_matrices``, and symmetry is imposed
exactly. Without that method everything works too, from sampled points.
"""

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import validate_data

from sksym import NotClosedError, SymmetricRidge, so, vector
from sksym.testing import assert_closed, assert_equivariant, assert_jacobian


class GaussianPulls(TransformerMixin, BaseEstimator):
    """Functions ``exp(-|x|^2 / 2 w^2) x_i`` for each width w and coordinate i."""

    def __init__(self, widths=(0.5, 1.0, 2.0)):
        self.widths = widths

    def fit(self, X, y=None):
        validate_data(self, X)
        return self

    def transform(self, X):
        X = validate_data(self, X, reset=False)
        return np.hstack([gaussian(X, w) * X for w in self.widths])

    def jacobian(self, X):
        slope = [np.eye(X.shape[1]) - X[:, :, None] * X[:, None, :] / w**2 for w in self.widths]
        parts = [gaussian(X, w)[:, :, None] * s for w, s in zip(self.widths, slope, strict=True)]
        return np.concatenate(parts, axis=1)

    def lie_matrices(self, algebra):
        if algebra.offset.any() or (algebra.linear != -algebra.linear.transpose(0, 2, 1)).any():
            raise NotClosedError("Gaussian pulls are closed under rotations about 0 only.")
        copies = sparse.eye_array(len(self.widths))
        return sparse.hstack([sparse.kron(copies, A) for A in algebra.linear], format="csr")

    def get_feature_names_out(self, input_features=None):
        names = [f"gauss{w:g} x{i}" for w in self.widths for i in range(self.n_features_in_)]
        return np.array(names, dtype=object)


def gaussian(X, width):
    return np.exp(-np.sum(X**2, axis=1, keepdims=True) / (2 * width**2))


rng = np.random.default_rng(0)
X, X_test = rng.normal(size=(2, 40, 3))
library = GaussianPulls().fit(X)
assert_jacobian(library, X)
assert_closed(library, X, algebra=so(3))


def force(X):
    return -gaussian(X, 0.5) * X - 0.2 * gaussian(X, 2.0) * X


Y = force(X) + 0.02 * rng.normal(size=X.shape)
for name, algebra in {"no symmetry": None, "SO(3)": so(3)}.items():
    output = None if algebra is None else vector
    model = SymmetricRidge(algebra, library=GaussianPulls(), output=output, alpha=1e-6).fit(X, Y)
    error = np.linalg.norm(model.predict(X_test) - force(X_test)) / np.linalg.norm(force(X_test))
    print(f"{name:12} {model.n_free_:3d} free coefficients, relative error {error:.4f}")

assert_equivariant(model, X, rtol=1e-10)
