"""sksym: scikit-learn compatible estimators that enforce, discover and promote symmetry."""

from sksym.enforce import InvariantFeatures, SymmetricRidge, SymmetricRidgeCV
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
from sksym.solvers import GroupNorm, NuclearNorm

__version__ = "0.1.0.dev0"
