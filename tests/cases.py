"""One table for each extension point. A new row gets every check of that point.

ALGEBRAS, GROUPS, REPRESENTATIONS, LIBRARIES and PENALTIES are what CONTRIBUTING.md tells how to
extend; ESTIMATORS are run through scikit-learn's own checks.
"""

from dataclasses import dataclass

import numpy as np
import pysindy as ps
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)

from sksym import (
    FiniteGroup,
    FourierLibrary,
    GroupNorm,
    InvariantFeatures,
    LieAlgebra,
    MirrorSGDRegressor,
    MirrorSparseRegressor,
    MirrorSparseRegressorCV,
    NuclearNorm,
    PolynomialLibrary,
    RadialLibrary,
    SymmetricRidge,
    SymmetricRidgeCV,
    SymmetryDiscoverer,
    SymmetryPromotingRegressor,
    SymmetryPromotingRegressorCV,
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
from sksym.mirror import Mirror, exchange, groups, low_rank, rescaling, sum_zero, trend


@dataclass
class Algebra:
    """An algebra, and what the finite transformations x -> M x + t of its group keep.

    ``form``: M^T form M = form; ``volume``: det M = 1; ``fixes_origin``: t = 0; ``compact``: M and
    t stay bounded however far one goes, and every other row has motions that do not.
    """

    algebra: LieAlgebra
    dim: int
    form: np.ndarray | None = None
    volume: bool = False
    fixes_origin: bool = True
    compact: bool = False


def metric(n_space):
    return np.diag([-1.0] + [1.0] * n_space)


def symplectic_form(k):
    return np.block([[np.zeros((k, k)), np.eye(k)], [-np.eye(k), np.zeros((k, k))]])


# Rotations as seen in sheared and stretched coordinates, y = SHEAR x.
SHEAR = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, -1.0], [0.0, 0.0, 5.0]])
UNSHEAR = np.linalg.inv(SHEAR)

ALGEBRAS = {
    "none": Algebra(LieAlgebra(np.zeros((0, 2, 2))), 0, np.eye(2), True, compact=True),
    "so(1)": Algebra(so(1), 0, np.eye(1), True, compact=True),
    "so(2)": Algebra(so(2), 1, np.eye(2), True, compact=True),
    "so(3)": Algebra(so(3), 3, np.eye(3), True, compact=True),
    "so(5)": Algebra(so(5), 10, np.eye(5), True, compact=True),
    "so(3) sheared": Algebra(
        LieAlgebra(SHEAR @ so(3).linear @ UNSHEAR), 3, UNSHEAR.T @ UNSHEAR, True, compact=True
    ),
    # The offset (1, 0) puts the fixed point of the rotation at (0, -1).
    "turns about a point": Algebra(
        se(2).combine([[1, 1, 0]]), 1, np.eye(2), True, fixes_origin=False, compact=True
    ),
    "se(2)": Algebra(se(2), 3, np.eye(2), True, fixes_origin=False),
    "se(3)": Algebra(se(3), 6, np.eye(3), True, fixes_origin=False),
    "translations(3)": Algebra(translations(3), 3, np.eye(3), True, fixes_origin=False),
    "scaling": Algebra(scaling([1, -1, 2]), 1),
    "two scalings": Algebra(scaling([[1, 0, 0], [0, 1, -1]]), 2),
    "gl(3)": Algebra(gl(3), 9),
    "sl(2)": Algebra(sl(2), 3, volume=True),
    "sl(3)": Algebra(sl(3), 8, volume=True),
    "aff(2)": Algebra(aff(2), 6, fixes_origin=False),
    "aff(3)": Algebra(aff(3), 12, fixes_origin=False),
    "sp(2)": Algebra(sp(2), 3, symplectic_form(1), True),
    "sp(4)": Algebra(sp(4), 10, symplectic_form(2), True),
    "lorentz(1)": Algebra(lorentz(1), 1, metric(1), True),
    "lorentz(3)": Algebra(lorentz(3), 6, metric(3), True),
    "poincare(1)": Algebra(poincare(1), 3, metric(1), True, fixes_origin=False),
    "poincare(2)": Algebra(poincare(2), 6, metric(2), True, fixes_origin=False),
    "galilei(2)": Algebra(galilei(2), 6, np.diag([1.0, 0, 0]), True, fixes_origin=False),
    # Moments of time are kept; lengths only between events of one moment, in test_algebras.py.
    "galilei(3)": Algebra(galilei(3), 10, np.diag([1.0, 0, 0, 0]), True, fixes_origin=False),
    "so(3) twice": Algebra(so(3).repeat(2), 3, np.eye(6), True, compact=True),
    "so(2) on columns": Algebra(so(2).on_columns([3, 1], 4), 1, np.eye(4), True, compact=True),
    "so(2) + scaling": Algebra(so(2) + scaling([1, 1]), 2),
}

# Orthogonal matrices; the group that they generate is small enough to be listed.
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
    "three indices": (tensor(covector, tensor(vector, vector)), 27),
    "sum of products": (direct_sum(tensor(vector, trivial(2)), covector), 9),
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
    "boxed quadratic": Library(PolynomialLibrary(2, domain=(-1, 1)), se(3), reflections(3)),
    "Fourier constant": Library(FourierLibrary(0), translations(3), permutations(3)),
    "Fourier": Library(FourierLibrary(2), translations(3), permutations(3)),
    "Fourier mirrored": Library(FourierLibrary(3), translations(3), reflections(3)),
    "radial": Library(RadialLibrary(), so(3), reflections(3)),
    "radial, no power twice": Library(RadialLibrary((0, 1, 2), 3), so(3), cyclic(3, 4)),
    # Adapters are closed under nothing: their derivatives are numerical.
    "pysindy": Library(from_pysindy(ps.PolynomialLibrary(2))),
    "pysindy sum": Library(from_pysindy(ps.PolynomialLibrary(2) + ps.FourierLibrary(2))),
    "pysindy product": Library(from_pysindy(ps.PolynomialLibrary(1) * ps.FourierLibrary(1))),
    "complex step": Library(from_transformer(FunctionTransformer(np.tanh))),
    "finite differences": Library(from_transformer(PolynomialFeatures(3))),
    "pipeline": Library(from_transformer(make_pipeline(StandardScaler(), PolynomialFeatures(2)))),
    "sparse values": Library(
        from_transformer(SplineTransformer(extrapolation="continue", sparse_output=True))
    ),
}

PENALTIES = {
    "nuclear": NuclearNorm(0.7),
    "nuclear off": NuclearNorm(0.0),
    "rows": GroupNorm(0.7),
    "rows off": GroupNorm(0.0),
}

# Mirrors of six coefficients.
MIRRORS = {
    "rescaling": rescaling(),
    "some columns": rescaling([0, 2, 3], [1.0, 0.5, 2.0]),
    "groups": groups([0, 0, 1, 1, 2, 2]),
    "groups, some columns free": groups([[0, 3], [1, 4]]),
    "overlapping groups": groups([[0, 1, 2], [2, 3], [3, 4, 5]]),
    "pairs": exchange([(0, 3), (1, 4)]),
    "tree": exchange([(0, 1), (0, 2), (2, 3), (2, 5)], [1.0, 2.0, 0.5, 1.0]),
    "ring": exchange([(j, (j + 1) % 6) for j in range(6)]),
    "chain": trend(1),
    "chain of some columns": trend(1, [4, 0, 2]),
    "kinks": trend(2),
    "cubic": trend(3, weight=0.3),
    "balance": sum_zero([0, 1, 3]),
    "opposite": sum_zero([1, 2]),
    "oblique": [Mirror([1, 0, 0, 0, 0, 0]), Mirror([1, 1, 0, 0, 0, 0])],
    "general": Mirror([[1, 2], [0, 1], [3, 0], [0, 1], [1, 1], [2, 0]], 0.7),
    "low rank": low_rank(),
    "sparse and fused": [rescaling(weight=0.5), trend(1)],
    "sparse groups": [rescaling(), groups([0, 0, 0, 1, 1, 1])],
    "sparse and opposite": [rescaling(), sum_zero([0, 1], 3.0)],
    "low rank and sparse": [low_rank(), rescaling(weight=0.5)],
}

# The checks vary the number of columns: algebras and groups are functions of it. Their targets are
# one-dimensional, so the outputs are invariant.
ESTIMATORS = [
    SymmetricRidge(),
    SymmetricRidge(alpha=0.0),
    SymmetricRidge(so),
    SymmetricRidge(so, output=trivial(1)),
    SymmetricRidge(group=permutations),
    SymmetricRidge(so, group=permutations, library=PolynomialLibrary(3), alpha=0.1),
    SymmetricRidge(so, library=RadialLibrary()),
    SymmetricRidge(library=FourierLibrary()),
    SymmetricRidge(library=from_transformer(PolynomialFeatures(2))),
    SymmetricRidgeCV(),
    SymmetricRidgeCV(group=permutations),
    SymmetricRidgeCV(library=RadialLibrary()),
    SymmetricRidgeCV(so, alphas=[0.0, 1.0], cv=3),
    SymmetricRidgeCV(so, output=trivial(1)),
    InvariantFeatures(),
    InvariantFeatures(so),
    InvariantFeatures(so, library=RadialLibrary()),
    InvariantFeatures(so, group=permutations),
    InvariantFeatures(group=permutations, library=from_transformer(PolynomialFeatures(2))),
    InvariantFeatures(group=reflections, library=PolynomialLibrary(3)),
    SymmetryDiscoverer(),
    SymmetryDiscoverer(gl, library=PolynomialLibrary(2)),
    SymmetryDiscoverer(gl, snap=False, robust=True),
    SymmetryDiscoverer(gl, estimator=LinearRegression()),
    SymmetryPromotingRegressor(),
    SymmetryPromotingRegressor(translations, alpha=0.0),
    SymmetryPromotingRegressor(translations, alpha=1e-3, ridge=1e-3, adaptive=False, refit=False),
    SymmetryPromotingRegressor(translations, group=permutations, alpha=0.1),
    SymmetryPromotingRegressor(translations, library=FourierLibrary()),
    SymmetryPromotingRegressor(translations, algebra=so),
    SymmetryPromotingRegressorCV(translations, alphas=3, ridges=[1e-3], cv=3, adaptive=False),
    MirrorSparseRegressor(),
    MirrorSparseRegressor(alpha=0.0),
    MirrorSparseRegressor(alpha=0.1, solver="newton"),
    MirrorSparseRegressor(alpha=0.1, solver="admm"),
    MirrorSparseRegressor(alpha=0.1, positive=True),
    MirrorSparseRegressor(alpha=0.1, positive=True, multi_task=False),
    MirrorSparseRegressor(alpha=0.1, depth=3),
    MirrorSparseRegressor(sum_zero([0]), alpha=0.1),
    MirrorSparseRegressor([rescaling(), low_rank()], alpha=0.1),
    MirrorSparseRegressor(low_rank(), alpha=0.1),
    MirrorSparseRegressorCV(alphas=5, cv=3),
    MirrorSparseRegressorCV(low_rank(), alphas=[0.1, 0.01], cv=3),
    MirrorSGDRegressor(),
    MirrorSGDRegressor(low_rank(), alpha=0.1),
    PolynomialLibrary(),
    PolynomialLibrary(0),
    PolynomialLibrary(3, center=0.0, scale=1.0, domain=(-1, 1)),
    FourierLibrary(),
    FourierLibrary(0),
    RadialLibrary(),
    RadialLibrary((0, 2), degree=3),
    from_transformer(PolynomialFeatures(2)),
    from_transformer(FunctionTransformer(np.tanh)),
    from_transformer(SplineTransformer()),
    from_transformer(make_pipeline(StandardScaler(), PolynomialFeatures(2))),
    from_pysindy(ps.PolynomialLibrary(2)),
    from_pysindy(ps.PolynomialLibrary(2) + ps.FourierLibrary()),
]
