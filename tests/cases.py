"""One table for each extension point. A new row gets every check of that point.

ALGEBRAS, GROUPS, REPRESENTATIONS, LIBRARIES and MIRRORS are what CONTRIBUTING.md tells how to
extend; ESTIMATORS and MORE_ESTIMATORS are run through scikit-learn's own checks.
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

import sksym as sk
from sksym.mirror import Mirror, exchange, groups, low_rank, rescaling, sum_zero, trend


@dataclass
class Algebra:
    """An algebra, and what the finite transformations x -> M x + t of its group keep.

    ``form``: M^T form M = form; ``volume``: det M = 1; ``fixes_origin``: t = 0; ``compact``: M and
    t stay bounded however far one goes, and every other row has motions that do not.
    """

    algebra: sk.LieAlgebra
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
    "none": Algebra(sk.LieAlgebra(np.zeros((0, 2, 2))), 0, np.eye(2), True, compact=True),
    "so(1)": Algebra(sk.so(1), 0, np.eye(1), True, compact=True),
    "so(2)": Algebra(sk.so(2), 1, np.eye(2), True, compact=True),
    "so(3)": Algebra(sk.so(3), 3, np.eye(3), True, compact=True),
    "so(5)": Algebra(sk.so(5), 10, np.eye(5), True, compact=True),
    "so(3) sheared": Algebra(
        sk.LieAlgebra(SHEAR @ sk.so(3).linear @ UNSHEAR), 3, UNSHEAR.T @ UNSHEAR, True, compact=True
    ),
    # The offset (1, 0) puts the fixed point of the rotation at (0, -1).
    "turns about a point": Algebra(
        sk.se(2).combine([[1, 1, 0]]), 1, np.eye(2), True, fixes_origin=False, compact=True
    ),
    "se(2)": Algebra(sk.se(2), 3, np.eye(2), True, fixes_origin=False),
    "se(3)": Algebra(sk.se(3), 6, np.eye(3), True, fixes_origin=False),
    "translations(3)": Algebra(sk.translations(3), 3, np.eye(3), True, fixes_origin=False),
    "scaling": Algebra(sk.scaling([1, -1, 2]), 1),
    "two scalings": Algebra(sk.scaling([[1, 0, 0], [0, 1, -1]]), 2),
    "gl(3)": Algebra(sk.gl(3), 9),
    "sl(2)": Algebra(sk.sl(2), 3, volume=True),
    "sl(3)": Algebra(sk.sl(3), 8, volume=True),
    "aff(2)": Algebra(sk.aff(2), 6, fixes_origin=False),
    "aff(3)": Algebra(sk.aff(3), 12, fixes_origin=False),
    "sp(2)": Algebra(sk.sp(2), 3, symplectic_form(1), True),
    "sp(4)": Algebra(sk.sp(4), 10, symplectic_form(2), True),
    "lorentz(1)": Algebra(sk.lorentz(1), 1, metric(1), True),
    "lorentz(3)": Algebra(sk.lorentz(3), 6, metric(3), True),
    "poincare(1)": Algebra(sk.poincare(1), 3, metric(1), True, fixes_origin=False),
    "poincare(2)": Algebra(sk.poincare(2), 6, metric(2), True, fixes_origin=False),
    "galilei(2)": Algebra(sk.galilei(2), 6, np.diag([1.0, 0, 0]), True, fixes_origin=False),
    # Moments of time are kept; lengths only between events of one moment, in test_algebras.py.
    "galilei(3)": Algebra(sk.galilei(3), 10, np.diag([1.0, 0, 0, 0]), True, fixes_origin=False),
    "so(3) twice": Algebra(sk.so(3).repeat(2), 3, np.eye(6), True, compact=True),
    "so(2) on columns": Algebra(sk.so(2).on_columns([3, 1], 4), 1, np.eye(4), True, compact=True),
    "so(2) + scaling": Algebra(sk.so(2) + sk.scaling([1, 1]), 2),
}

# Orthogonal matrices; the group that they generate is small enough to be listed.
GROUPS = {
    "reflections": sk.reflections(3),
    "permutations": sk.permutations(4),
    "signed permutations": sk.signed_permutations(3),
    "swap of blocks": sk.permutations(2, block=2),
    "fifth of a turn": sk.cyclic(3, 5),
    "point reflection": sk.FiniteGroup([-np.eye(2)]),
    "repeated": sk.cyclic(2, 3).repeat(2),
    "on columns": sk.reflections(2).on_columns([2, 0], 3),
}

# Representation of groups on R^3; the number of outputs it has there.
REPRESENTATIONS = {
    "trivial": (sk.trivial(2), 2),
    "vector": (sk.vector, 3),
    "covector": (sk.covector, 3),
    "tensor": (sk.tensor(sk.vector, sk.vector), 9),
    "mixed tensor": (sk.tensor(sk.vector, sk.covector), 9),
    "direct sum": (sk.direct_sum(sk.vector, sk.trivial(1), sk.covector), 7),
    "columns": (sk.columns(0, 1, 2), 3),
    "three indices": (sk.tensor(sk.covector, sk.tensor(sk.vector, sk.vector)), 27),
    "sum of products": (sk.direct_sum(sk.tensor(sk.vector, sk.trivial(2)), sk.covector), 9),
}


@dataclass
class Library:
    """A library, and motions of R^3 that it is closed under."""

    library: object
    algebra: sk.LieAlgebra | None = None
    group: sk.FiniteGroup | None = None


def twice(r):
    """The derivative of the square; a function of a module, so that libraries pickle."""
    return 2 * r


LIBRARIES = {
    "constant": Library(sk.PolynomialLibrary(0), sk.aff(3), sk.cyclic(3, 4)),
    "linear": Library(sk.PolynomialLibrary(1), sk.aff(3), sk.cyclic(3, 4)),
    "cubic": Library(sk.PolynomialLibrary(3), sk.aff(3), sk.permutations(3)),
    "placed quartic": Library(
        sk.PolynomialLibrary(4, center=1.0, scale=3.0), sk.aff(3), sk.cyclic(3, 7)
    ),
    "boxed quadratic": Library(
        sk.PolynomialLibrary(2, domain=(-1, 1)), sk.se(3), sk.reflections(3)
    ),
    "Fourier constant": Library(sk.FourierLibrary(0), sk.translations(3), sk.permutations(3)),
    "Fourier": Library(sk.FourierLibrary(2), sk.translations(3), sk.permutations(3)),
    "Fourier mirrored": Library(sk.FourierLibrary(3), sk.translations(3), sk.reflections(3)),
    "radial": Library(sk.RadialLibrary(), sk.so(3), sk.reflections(3)),
    "radial, no power twice": Library(sk.RadialLibrary((0, 1, 2), 3), sk.so(3), sk.cyclic(3, 4)),
    "pairs, splines": Library(
        sk.PairLibrary(3, 1, 6), sk.translations(1).repeat(3), sk.permutations(3)
    ),
    "pairs, functions": Library(
        sk.PairLibrary(3, 1, [(np.square, twice), np.cos], labels=["a", "a", "b"]),
        sk.translations(1).repeat(3),
        sk.permutations(2).on_columns([0, 1], 3) + sk.FiniteGroup([-np.eye(3)]),
    ),
    # Adapters are closed under nothing: their derivatives are numerical.
    "pysindy": Library(sk.from_pysindy(ps.PolynomialLibrary(2))),
    "pysindy sum": Library(sk.from_pysindy(ps.PolynomialLibrary(2) + ps.FourierLibrary(2))),
    "pysindy product": Library(sk.from_pysindy(ps.PolynomialLibrary(1) * ps.FourierLibrary(1))),
    "complex step": Library(sk.from_transformer(FunctionTransformer(np.tanh))),
    "finite differences": Library(sk.from_transformer(PolynomialFeatures(3))),
    "pipeline": Library(
        sk.from_transformer(make_pipeline(StandardScaler(), PolynomialFeatures(2)))
    ),
    "sparse values": Library(
        sk.from_transformer(SplineTransformer(extrapolation="continue", sparse_output=True))
    ),
}

PENALTIES = {
    "nuclear": sk.NuclearNorm(0.7),
    "nuclear off": sk.NuclearNorm(0.0),
    "rows": sk.GroupNorm(0.7),
    "rows off": sk.GroupNorm(0.0),
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

# The checks vary the number of columns: symmetries are functions of it. Their targets are
# one-dimensional, so the outputs are invariant.


def rotations_and_permutations(d):
    """A symmetry of both kinds; a function of a module, so that estimators that hold it pickle."""
    return sk.so(d) + sk.permutations(d)


def translations_and_permutations(d):
    """Candidates of both kinds."""
    return sk.translations(d) + sk.permutations(d)


# One row or two for each class: scikit-learn's checks of these are run by default.
ESTIMATORS = [
    sk.SymmetricRidge(),
    sk.SymmetricRidge(rotations_and_permutations, library=sk.PolynomialLibrary(3), alpha=0.1),
    sk.SymmetricRidge(sk.so, library=sk.RadialLibrary()),
    sk.SymmetricRidgeCV(),
    sk.SymmetricRidgeCV(sk.so, alphas=[0.0, 1.0], cv=3),
    sk.SymmetricLogisticRegression(),
    sk.SymmetricLogisticRegression(rotations_and_permutations, library=sk.PolynomialLibrary(3)),
    sk.SymmetricLogisticRegressionCV(Cs=3, cv=3),
    sk.SymmetricPotential(),
    sk.SymmetricPotential(library=sk.PairLibrary(dim=1, functions=4), alpha=0.1),
    sk.InvariantFeatures(),
    sk.InvariantFeatures(rotations_and_permutations),
    sk.SymmetricScaler(),
    sk.SymmetricScaler(rotations_and_permutations),
    sk.SymmetryDiscoverer(),
    sk.SymmetryDiscoverer(sk.gl, estimator=LinearRegression()),
    sk.SymmetryPromotingRegressor(),
    sk.SymmetryPromotingRegressor(translations_and_permutations, alpha=0.1),
    sk.SymmetryPromotingRegressor(sk.translations, symmetry=sk.so),
    sk.SymmetryPromotingRegressorCV(sk.translations, alphas=3, ridges=[1e-3], cv=3, adaptive=False),
    sk.MirrorSparseRegressor(),
    sk.MirrorSparseRegressor(alpha=0.1, positive=True, multi_task=False),
    sk.MirrorSparseRegressor([rescaling(), low_rank()], alpha=0.1),
    sk.MirrorSparseRegressorCV(alphas=5, cv=3),
    sk.MirrorSGDRegressor(),
    sk.PolynomialLibrary(),
    sk.FourierLibrary(),
    sk.RadialLibrary(),
    sk.PairLibrary(dim=1),
    sk.from_transformer(PolynomialFeatures(2)),
    sk.from_pysindy(ps.PolynomialLibrary(2) + ps.FourierLibrary()),
]

# Other parameters of the same classes: their checks are marked `extended`.
MORE_ESTIMATORS = [
    sk.SymmetricRidge(alpha=0.0),
    sk.SymmetricRidge(sk.so),
    sk.SymmetricRidge(sk.so, output=sk.trivial(1)),
    sk.SymmetricRidge(sk.permutations),
    sk.SymmetricRidge(library=sk.FourierLibrary()),
    sk.SymmetricRidge(library=sk.from_transformer(PolynomialFeatures(2))),
    sk.SymmetricRidgeCV(sk.permutations),
    sk.SymmetricRidgeCV(library=sk.RadialLibrary()),
    sk.SymmetricRidgeCV(sk.so, output=sk.trivial(1)),
    sk.SymmetricScaler(sk.translations),
    sk.SymmetricLogisticRegression(sk.so, class_weight="balanced", solver="lbfgs", max_iter=500),
    sk.SymmetricLogisticRegression(C=100.0, library=sk.FourierLibrary()),
    sk.SymmetricLogisticRegressionCV(sk.permutations, Cs=[0.1, 1.0]),
    sk.SymmetricPotential(sk.so, fit_intercept=False),
    sk.InvariantFeatures(sk.so),
    sk.InvariantFeatures(sk.so, library=sk.RadialLibrary()),
    sk.InvariantFeatures(sk.permutations, library=sk.from_transformer(PolynomialFeatures(2))),
    sk.InvariantFeatures(sk.reflections, library=sk.PolynomialLibrary(3)),
    sk.SymmetryDiscoverer(sk.gl, library=sk.PolynomialLibrary(2)),
    sk.SymmetryDiscoverer(sk.gl, snap=False, robust=True),
    sk.SymmetryPromotingRegressor(sk.translations, alpha=0.0),
    sk.SymmetryPromotingRegressor(
        sk.translations, alpha=1e-3, ridge=1e-3, adaptive=False, refit=False
    ),
    sk.SymmetryPromotingRegressor(sk.translations, library=sk.FourierLibrary()),
    sk.MirrorSparseRegressor(alpha=0.0),
    sk.MirrorSparseRegressor(alpha=0.1, solver="newton"),
    sk.MirrorSparseRegressor(alpha=0.1, solver="admm"),
    sk.MirrorSparseRegressor(alpha=0.1, positive=True),
    sk.MirrorSparseRegressor(alpha=0.1, depth=3),
    sk.MirrorSparseRegressor(sum_zero([0]), alpha=0.1),
    sk.MirrorSparseRegressor(low_rank(), alpha=0.1),
    sk.MirrorSparseRegressorCV(low_rank(), alphas=[0.1, 0.01], cv=3),
    sk.MirrorSGDRegressor(low_rank(), alpha=0.1),
    sk.PolynomialLibrary(0),
    sk.PolynomialLibrary(3, center=0.0, scale=1.0, domain=(-1, 1)),
    sk.FourierLibrary(0),
    sk.RadialLibrary((0, 2), degree=3),
    sk.from_transformer(FunctionTransformer(np.tanh)),
    sk.from_transformer(SplineTransformer()),
    sk.from_transformer(make_pipeline(StandardScaler(), PolynomialFeatures(2))),
    sk.from_pysindy(ps.PolynomialLibrary(2)),
]
