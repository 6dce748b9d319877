"""Names of algebras up to isomorphism."""

import numpy as np
import pytest
from scipy.linalg import expm

from sksym import (
    LieAlgebra,
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
)
from sksym.groups import algebra_name

HEISENBERG = LieAlgebra(
    [
        [[0, 1, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 1], [0, 0, 0]],
        [[0, 0, 1], [0, 0, 0], [0, 0, 0]],
    ]
)
NAMES = [
    (so(2), "so(2)"),
    (LieAlgebra([[[0.0, -2, 0], [2, 0, 0], [0, 0, 0]]], [[0.0, 0, 0]]), "so(2)"),
    (translations(1), "abelian of dimension 1"),
    (
        LieAlgebra(so(2).on_columns([0, 1], 3).linear, [[0.0, 0, 1]]),
        "abelian of dimension 1",
    ),
    (so(3), "so(3)"),
    (so(4), "so(4)"),
    (so(5), "so(5)"),
    (se(2), "se(2)"),
    (se(3), "se(3)"),
    (lorentz(2), "sl(2)"),
    (lorentz(3), "so(3, 1)"),
    (poincare(1), "se(1, 1)"),
    (sl(2), "sl(2)"),
    (sl(3), "sl(3)"),
    (gl(2), "sl(2) + R"),
    (sp(4), "so(3, 2)"),
    (aff(1), "aff(1)"),
    (translations(3), "abelian of dimension 3"),
    (scaling([[1, 0], [0, 1]]), "abelian of dimension 2"),
    (so(3).on_columns([0, 1, 2], 5) + so(2).on_columns([3, 4], 5), "so(3) + R"),
    (sl(2).on_columns([0, 1], 5) + so(3).on_columns([2, 3, 4], 5), "sl(2) + so(3)"),
    (HEISENBERG, "Heisenberg algebra"),
    (galilei(1), "Heisenberg algebra"),
    (LieAlgebra(np.zeros((0, 2, 2))), "trivial"),
    (LieAlgebra(gl(2).linear[1:3]), "not closed, dimension 2"),
]


@pytest.mark.parametrize(("algebra", "name"), NAMES, ids=[name for _, name in NAMES])
def test_names_do_not_depend_on_basis_or_coordinates(algebra, name, rng):
    assert algebra_name(algebra) == name
    d = algebra.n_features
    P, shift = expm(0.5 * rng.normal(size=(d, d))), rng.normal(size=d)
    linear = P @ algebra.linear @ np.linalg.inv(P)
    moved = LieAlgebra(linear, algebra.offset @ P.T - linear @ shift)
    if algebra.dim:
        moved = moved.combine(rng.normal(size=(algebra.dim, algebra.dim)) + 2 * np.eye(algebra.dim))
    assert algebra_name(moved) == name
