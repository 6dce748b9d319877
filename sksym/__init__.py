"""sksym: scikit-learn compatible estimators that enforce, discover and promote symmetry.

The names in ``__all__`` are the short list; algebras, groups and representations are documented in
`sksym.groups`, libraries in `sksym.libraries`, mirrors in `sksym.mirror`, and can be imported from
here too.
"""

from sksym import dynamics, groups, libraries, mirror
from sksym.discover import (
    ConservedQuantities,
    SymmetryDiscoverer,
    SymmetryReport,
    symmetry_report,
)
from sksym.dynamics import SymmetryPromotingSINDy, WeakSymmetryPromotingSINDy
from sksym.enforce import (
    InvariantFeatures,
    SymmetricLogisticRegression,
    SymmetricLogisticRegressionCV,
    SymmetricPotential,
    SymmetricRidge,
    SymmetricRidgeCV,
    SymmetricScaler,
)
from sksym.groups import (
    FiniteGroup,
    Group,
    LieAlgebra,
    VectorFields,
    aff,
    columns,
    covector,
    cyclic,
    direct_sum,
    galilei,
    gl,
    lorentz,
    permutations,
    poincare,
    reflections,
    scaling,
    se,
    signed_permutations,
    sl,
    so,
    sp,
    tensor,
    translations,
    trivial,
    vector,
    vector_fields,
)
from sksym.libraries import (
    FourierLibrary,
    Library,
    NotClosedError,
    PairLibrary,
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
from sksym.solvers import GroupNorm, NuclearNorm

__version__ = "0.1.0.dev0"

__all__ = [
    "ConservedQuantities",
    "FiniteGroup",
    "Group",
    "InvariantFeatures",
    "LieAlgebra",
    "LieDerivative",
    "MirrorPathDisplay",
    "MirrorSGDRegressor",
    "MirrorSparseRegressor",
    "MirrorSparseRegressorCV",
    "SymmetricLogisticRegression",
    "SymmetricLogisticRegressionCV",
    "SymmetricPotential",
    "SymmetricRidge",
    "SymmetricRidgeCV",
    "SymmetricScaler",
    "SymmetryDiscoverer",
    "SymmetryDisplay",
    "SymmetryPathDisplay",
    "SymmetryPromotingRegressor",
    "SymmetryPromotingRegressorCV",
    "SymmetryPromotingSINDy",
    "WeakSymmetryPromotingSINDy",
    "dynamics",
    "gl",
    "groups",
    "libraries",
    "mirror",
    "mirror_path",
    "se",
    "so",
    "symmetry_path",
    "symmetry_report",
    "vector",
]
