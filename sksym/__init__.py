"""sksym: scikit-learn compatible estimators that enforce, discover and promote symmetry."""

from sksym.algebras import (
    LieAlgebra,
    VectorFields,
    aff,
    galilei,
    gl,
    lorentz,
    poincare,
    scaling,
    se,
    sl,
    so,
    sp,
    translations,
    vector_fields,
)
from sksym.discover import ConservedQuantities, InvariantFeatures, SymmetryDiscoverer
from sksym.dynamics import SymmetryPromotingSINDy, WeakSymmetryPromotingSINDy
from sksym.enforce import SymmetricRidge, SymmetricRidgeCV
from sksym.groups import FiniteGroup, cyclic, permutations, reflections
from sksym.libraries import (
    FourierLibrary,
    NotClosedError,
    PolynomialLibrary,
    RadialLibrary,
    from_pysindy,
    from_transformer,
)
from sksym.lie_derivative import LieDerivative
from sksym.mirror import (
    MirrorSGDRegressor,
    MirrorSparseRegressor,
    MirrorSparseRegressorCV,
    mirror_path,
)
from sksym.plotting import MirrorPathDisplay, SymmetryDisplay, SymmetryPathDisplay
from sksym.promote import (
    SymmetryPromotingRegressor,
    SymmetryPromotingRegressorCV,
    symmetry_path,
)
from sksym.representations import columns, covector, direct_sum, tensor, trivial, vector
from sksym.solvers import GroupNorm, NuclearNorm

__version__ = "0.1.0.dev0"

__all__ = [
    "ConservedQuantities",
    "FiniteGroup",
    "FourierLibrary",
    "GroupNorm",
    "InvariantFeatures",
    "LieAlgebra",
    "LieDerivative",
    "MirrorPathDisplay",
    "MirrorSGDRegressor",
    "MirrorSparseRegressor",
    "MirrorSparseRegressorCV",
    "NotClosedError",
    "NuclearNorm",
    "PolynomialLibrary",
    "RadialLibrary",
    "SymmetricRidge",
    "SymmetricRidgeCV",
    "SymmetryDiscoverer",
    "SymmetryDisplay",
    "SymmetryPathDisplay",
    "SymmetryPromotingRegressor",
    "SymmetryPromotingRegressorCV",
    "SymmetryPromotingSINDy",
    "VectorFields",
    "WeakSymmetryPromotingSINDy",
    "aff",
    "columns",
    "covector",
    "cyclic",
    "direct_sum",
    "from_pysindy",
    "from_transformer",
    "galilei",
    "gl",
    "lorentz",
    "mirror_path",
    "permutations",
    "poincare",
    "reflections",
    "scaling",
    "se",
    "sl",
    "so",
    "sp",
    "symmetry_path",
    "tensor",
    "translations",
    "trivial",
    "vector",
    "vector_fields",
]
