"""
A group of your own: the unitary group, and oscillators that obey it
====================================================================

A symmetry is only arrays. Here U(d) acts on complex vectors stored as columns ``Re z, Im z``: one
function returns its generators, and every estimator takes the result. The law of two oscillators,
``z' = (0.3 + 2i) z - |z|^2 z``, is the same in all unitary coordinates.
"""

from itertools import combinations

import numpy as np

from sksym import LieAlgebra, SymmetricRidge, vector
from sksym.libraries import PolynomialLibrary
from sksym.testing import assert_equivariant


def unitary(d):
    """U(d): generators ``S + iT`` on C^d, anti-Hermitian, as real ``[[S, -T], [T, S]]``."""
    unit = np.eye(d * d).reshape(d, d, d, d)
    pairs = list(combinations(range(d), 2))
    generators = [1j * unit[i, i] for i in range(d)]
    generators += [unit[j, i] - unit[i, j] for i, j in pairs]
    generators += [1j * (unit[j, i] + unit[i, j]) for i, j in pairs]
    return LieAlgebra([np.block([[G.real, -G.imag], [G.imag, G.real]]) for G in generators])


def law(z):
    return (0.3 + 2j) * z - np.sum(abs(z) ** 2, axis=1, keepdims=True) * z


def real(z):
    return np.hstack([z.real, z.imag])


rng = np.random.default_rng(0)
z, z_test = rng.normal(size=(2, 60, 2)) + 1j * rng.normal(size=(2, 60, 2))
X, X_test, Y_test = real(z), real(z_test), real(law(z_test))
Y = real(law(z)) + 0.2 * rng.normal(size=X.shape)

u2 = unitary(2)
assert u2.is_closed(1e-12), "a bracket of two generators leaves their span"
print(u2)

for name, symmetry in {"no symmetry": None, "U(2)": u2}.items():
    output = None if symmetry is None else vector
    model = SymmetricRidge(symmetry, library=PolynomialLibrary(3), output=output, alpha=1e-6)
    error = np.linalg.norm(model.fit(X, Y).predict(X_test) - Y_test) / np.linalg.norm(Y_test)
    print(f"{name:12} {model.n_free_:4d} free coefficients, relative error {error:.4f}")

assert_equivariant(model, X, rtol=1e-10)
