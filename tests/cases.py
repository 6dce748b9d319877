"""One table for each extension point. A new row gets every check of that point.

ALGEBRAS, GROUPS, REPRESENTATIONS, LIBRARIES and PENALTIES are what CONTRIBUTING.md tells how to
extend; ESTIMATORS are run through scikit-learn's own checks.
"""

from dataclasses import dataclass

import numpy as np
import pysindy as ps
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from sksym import (
    FiniteGroup,
    FourierLibrary,
    GroupNorm,
    InvariantFeatures,
    LieAlgebra,
    NuclearNorm,
    PolynomialLibrary,
    RadialLibrary,
    SymmetricRidge,
    SymmetricRidgeCV,
    SymmetryDiscoverer,
    aff,
    columns,
    covector,
    cyclic,
    direct_sum,
    from_pysindy,
    from_transformer,
    galilei,
    gl,
    lorentz,
    permutations,
    poincare,
    reflections,
    scaling,
    se,
    sl,
    so,
    sp,
    tensor,
    translations,
    trivial,
    vector,
)


@dataclass
class Algebra:
    """An algebra, and what the finite transformations x -> M x + t of its group keep.

    ``form``: M^T form M = form; ``volume``: det M = 1; ``fixes_origin``: t = 0.
    """

    algebra: LieAlgebra
    dim: int
    form: np.ndarray | None = None
    volume: bool = False
    fixes_origin: bool = True


def metric(n_space):
    return np.diag([-1.0] + [1.0] * n_space)


def symplectic_form(k):
    return np.block([[np.zeros((k, k)), np.eye(k)], [-np.eye(k), np.zeros((k, k))]])


ALGEBRAS = {
    "so(1)": Algebra(so(1), 0, np.eye(1), True),
    "so(2)": Algebra(so(2), 1, np.eye(2), True),
    "so(3)": Algebra(so(3), 3, np.eye(3), True),
    "so(5)": Algebra(so(5), 10, np.eye(5), True),
    "se(2)": Algebra(se(2), 3, np.eye(2), True, fixes_origin=False),
    "se(3)": Algebra(se(3), 6, np.eye(3), True, fixes_origin=False),
    "translations(3)": Algebra(translations(3), 3, np.eye(3), True, fixes_origin=False),
    "scaling": Algebra(scaling([1, -1, 2]), 1),
    "two scalings": Algebra(scaling([[1, 0, 0], [0, 1, -1]]), 2),
    "gl(3)": Algebra(gl(3), 9),
    "sl(3)": Algebra(sl(3), 8, volume=True),
    "aff(2)": Algebra(aff(2), 6, fixes_origin=False),
    "sp(2)": Algebra(sp(2), 3, symplectic_form(1), True),
    "sp(4)": Algebra(sp(4), 10, symplectic_form(2), True),
    "lorentz(1)": Algebra(lorentz(1), 1, metric(1), True),
    "lorentz(3)": Algebra(lorentz(3), 6, metric(3), True),
    "poincare(2)": Algebra(poincare(2), 6, metric(2), True, fixes_origin=False),
    "galilei(2)": Algebra(galilei(2), 6, volume=True, fixes_origin=False),
    "so(3) twice": Algebra(so(3).repeat(2), 3, np.eye(6), True),
    "so(2) on columns": Algebra(so(2).on_columns([3, 1], 4), 1, np.eye(4), True),
    "so(2) + scaling": Algebra(so(2) + scaling([1, 1]), 2),
}

GROUPS = {
    "reflections": reflections(3),
    "permutations": permutations(4),
    "swap of blocks": permutations(2, block=2),
    "fifth of a turn": cyclic(3, 5),
    "point reflection": FiniteGroup([-np.eye(2)]),
    "repeated": cyclic(2, 3).repeat(2),
    "on columns": reflections(2).on_columns([2, 0], 3),
}

# Representation of groups on R^3; the number of outputs it has there.
REPRESENTATIONS = {
    "trivial": (trivial(2), 2),
    "vector": (vector, 3),
    "covector": (covector, 3),
    "tensor": (tensor(vector, vector), 9),
    "mixed tensor": (tensor(vector, covector), 9),
    "direct sum": (direct_sum(vector, trivial(1), covector), 7),
    "columns": (columns(0, 1, 2), 3),
}


@dataclass
class Library:
    """A library, and motions of R^3 that it is closed under."""

    library: object
    algebra: LieAlgebra | None = None
    group: FiniteGroup | None = None


LIBRARIES = {
    "constant": Library(PolynomialLibrary(0), aff(3), cyclic(3, 4)),
    "linear": Library(PolynomialLibrary(1), aff(3), cyclic(3, 4)),
    "cubic": Library(PolynomialLibrary(3), aff(3), permutations(3)),
    "placed quartic": Library(PolynomialLibrary(4, center=1.0, scale=3.0), aff(3), cyclic(3, 7)),
    "Fourier": Library(FourierLibrary(2), translations(3), permutations(3)),
    "radial": Library(RadialLibrary(), so(3), reflections(3)),
    "radial, no power twice": Library(RadialLibrary((0, 1, 2), 3), so(3), cyclic(3, 4)),
    "pysindy": Library(from_pysindy(ps.PolynomialLibrary(2))),
    "complex step": Library(from_transformer(FunctionTransformer(np.tanh))),
    "finite differences": Library(from_transformer(PolynomialFeatures(3))),
}

PENALTIES = {
    "nuclear": NuclearNorm(0.7),
    "rows": GroupNorm(0.7),
}

ESTIMATORS = [
    SymmetricRidge(),
    SymmetricRidge(so),
    SymmetricRidge(so, output=trivial(1)),
    SymmetricRidge(group=permutations),
    SymmetricRidge(so, group=permutations, library=PolynomialLibrary(3), alpha=0.1),
    SymmetricRidge(library=from_transformer(PolynomialFeatures(2))),
    SymmetricRidgeCV(),
    SymmetricRidgeCV(so, alphas=[0.0, 1.0], cv=3),
    SymmetricRidgeCV(so, output=trivial(1)),
    InvariantFeatures(),
    InvariantFeatures(so),
    InvariantFeatures(group=reflections, library=PolynomialLibrary(3)),
    SymmetryDiscoverer(),
    SymmetryDiscoverer(gl, library=PolynomialLibrary(2)),
    PolynomialLibrary(),
    FourierLibrary(),
    RadialLibrary(),
    from_transformer(PolynomialFeatures(2)),
    from_pysindy(ps.PolynomialLibrary(2)),
]
