"""Where the library is dependent on the data, candidates that keep it so are identified."""

import numpy as np
from numpy.testing import assert_allclose

from sksym import PolynomialLibrary, SymmetryDiscoverer, so, vector


def test_rotations_of_functions_on_a_sphere(rng):
    X = rng.normal(size=(400, 3))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    library = PolynomialLibrary(3)
    height = X[:, 2] + 0.5 * X[:, 2] ** 2 + 0.01 * rng.normal(size=400)
    field = X[:, [2]] * X - [0, 0, 1] + 0.01 * rng.normal(size=X.shape)
    about_z = so(2).on_columns([0, 1], 3).linear
    for y, output in ((height, None), (field, vector)):
        model = SymmetryDiscoverer(so, library=library, output=output).fit(X, y)
        assert model.unidentified_.dim == 0
        assert_allclose(model.algebra_.linear, about_z, atol=1e-9)
