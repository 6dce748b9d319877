"""Who acts, infinitesimally.

A Lie algebra is only arrays: generator ``a`` moves the point ``x`` along the vector field
``A_a x + b_a``. A new algebra is one function that returns ``LieAlgebra(A, b)``.
"""

from sksym.algebras.affine import (
    LieAlgebra,
    aff,
    flat_generators,
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
)
from sksym.algebras.fields import VectorFields, vector_fields

__all__ = [
    "LieAlgebra",
    "VectorFields",
    "aff",
    "flat_generators",
    "galilei",
    "gl",
    "lorentz",
    "poincare",
    "scaling",
    "se",
    "sl",
    "so",
    "sp",
    "translations",
    "vector_fields",
]
