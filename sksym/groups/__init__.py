"""Who acts: Lie algebras, finite groups, both together, and how outputs move with them.

A symmetry is only arrays: generator ``a`` of a Lie algebra moves the point ``x`` along the vector
field ``A_a x + b_a``, an element of a finite group maps it to ``g x``. A new algebra is one
function that returns ``LieAlgebra(A, b)``.
"""

from sksym.groups.catalogue import (
    aff,
    cyclic,
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
    translations,
)
from sksym.groups.group import FiniteGroup, Group, no_elements, resolve
from sksym.groups.lie_algebra import LieAlgebra, flat_generators, no_algebra
from sksym.groups.naming import algebra_name
from sksym.groups.representations import (
    Representation,
    Trivial,
    columns,
    covector,
    direct_sum,
    represent,
    represent_elements,
    tensor,
    trivial,
    vector,
)
from sksym.groups.stabilizers import StabilizerChain, signed_images, signed_matrix
from sksym.groups.text import linear_combination
from sksym.groups.vector_fields import UnfittedVectorFields, VectorFields, vector_fields

__all__ = [
    "FiniteGroup",
    "Group",
    "LieAlgebra",
    "Representation",
    "StabilizerChain",
    "Trivial",
    "UnfittedVectorFields",
    "VectorFields",
    "aff",
    "algebra_name",
    "columns",
    "covector",
    "cyclic",
    "direct_sum",
    "flat_generators",
    "galilei",
    "gl",
    "linear_combination",
    "lorentz",
    "no_algebra",
    "no_elements",
    "permutations",
    "poincare",
    "reflections",
    "represent",
    "represent_elements",
    "resolve",
    "scaling",
    "se",
    "signed_images",
    "signed_matrix",
    "signed_permutations",
    "sl",
    "so",
    "sp",
    "tensor",
    "translations",
    "trivial",
    "vector",
    "vector_fields",
]
