"""
A library of your own: charges of finite size
=============================================

A library is a subclass of ``Library`` with three methods: ``fit``, ``transform``, and ``jacobian``
for its derivatives. The functions here are Gaussians of several widths times the coordinates; their
combinations describe the attraction of smeared-out charges. Rotations map this space of functions
to itself. The library says how in a fourth method, ``lie_matrices``, so that symmetry is imposed
exactly. Without that method the same estimators impose it at sampled points.
"""

import numpy as np
from scipy import sparse

from sksym import SymmetricRidge, so, vector
from sksym.libraries import Library, NotClosedError
from sksym.testing import assert_closed, assert_equivariant, assert_jacobian


class GaussianPulls(Library):
    """Functions ``exp(-|x|^2 / 2 w^2) x_i`` for each width w and coordinate i."""

    def __init__(self, widths=(0.5, 1.0, 2.0)):
        self.widths = widths

    def fit(self, X, y=None):
        self.n_output_features_ = len(self.widths) * self.fit_input(X).shape[1]
        return self

    def transform(self, X):
        X = self.transform_input(X)
        return np.hstack([gaussian(X, w) * X for w in self.widths])

    def jacobian(self, X):
        X = self.transform_input(X)
        outer = X[:, :, None] * X[:, None, :]
        identity = np.eye(X.shape[1])
        slopes = [gaussian(X, w)[:, :, None] * (identity - outer / w**2) for w in self.widths]
        return np.concatenate(slopes, axis=1)

    def lie_matrices(self, algebra):
        if algebra.offset.any() or (algebra.linear != -algebra.linear.transpose(0, 2, 1)).any():
            raise NotClosedError("Gaussian pulls are closed under rotations about 0 only.")
        copies = sparse.eye_array(len(self.widths))
        return sparse.hstack([sparse.kron(copies, A) for A in algebra.linear], format="csr")

    def get_feature_names_out(self, input_features=None):
        columns = self.names_of_columns(input_features)
        return np.array(
            [f"gauss{w:g} {name}" for w in self.widths for name in columns], dtype=object
        )


def gaussian(X, width):
    return np.exp(-np.sum(X**2, axis=1, keepdims=True) / (2 * width**2))


rng = np.random.default_rng(0)
X, X_test = rng.normal(size=(2, 40, 3))
library = GaussianPulls().fit(X)
assert_jacobian(library, X)
assert_closed(library, X, so(3))


def force(X):
    return -gaussian(X, 0.5) * X - 0.2 * gaussian(X, 2.0) * X


Y = force(X) + 0.02 * rng.normal(size=X.shape)
for name, symmetry in {"no symmetry": None, "SO(3)": so(3)}.items():
    output = None if symmetry is None else vector
    model = SymmetricRidge(symmetry, library=GaussianPulls(), output=output, alpha=1e-6).fit(X, Y)
    error = np.linalg.norm(model.predict(X_test) - force(X_test)) / np.linalg.norm(force(X_test))
    print(f"{name:12} {model.n_free_:3d} free coefficients, relative error {error:.4f}")

assert_equivariant(model, X, rtol=1e-10)
