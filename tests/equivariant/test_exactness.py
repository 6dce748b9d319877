"""Symmetry is exact on finite elements, far from the identity, in any unit, at any place."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import expm

import sksym as sk
from fits import conjugated, n_free, placed, violation

SKEW = np.array([[1.0, 2, -1], [0, 1, 3], [0.5, 0, -2]])


def skewed(algebra, condition):
    """The algebra after a random change of coordinates."""
    d = algebra.n_features
    U, _, V = np.linalg.svd(np.random.default_rng(1).normal(size=(d, d)))
    return conjugated(algebra, U * np.geomspace(1, condition, d) @ V)


# Algebra, output, degree, size of xi (beyond it exp overflows the data's scale), compact.
EXACT = {
    "so(3)": (sk.so(3), None, 8, 2.0, True),
    "so(4)": (sk.so(4), None, 8, 2.0, True),
    "so(3), vector": (sk.so(3), sk.vector, 7, 2.0, True),
    "so(3), gradient": (sk.so(3), sk.covector, 8, 2.0, True),
    "so(3), tensor": (sk.so(3), sk.tensor(sk.vector, sk.vector), 4, 2.0, True),
    "so(3), sum": (sk.so(3), sk.direct_sum(sk.vector, sk.trivial(1)), 5, 2.0, True),
    "so(2) twice": (sk.so(2).repeat(2), None, 6, 2.0, True),
    "so(3) twice, vector": (sk.so(3).repeat(2), sk.vector, 4, 2.0, True),
    "so(2) on columns": (sk.so(2).on_columns([2, 0], 3), sk.vector, 6, 2.0, True),
    "conjugated": (conjugated(sk.so(3), np.diag([1.0, 30, 1000])), None, 8, 2.0, False),
    "conjugated, vector": (conjugated(sk.so(3), np.diag([1.0, 3, 10])), sk.vector, 7, 2.0, False),
    "skewed, vector": (conjugated(sk.so(3), SKEW), sk.vector, 5, 2.0, False),
    "skewed, gradient": (conjugated(sk.so(3), SKEW), sk.covector, 5, 2.0, False),
    "two points, skewed": (skewed(sk.so(3).repeat(2), 1000), None, 4, 2.0, False),
    "two points, skewed, vector": (skewed(sk.so(3).repeat(2), 100), sk.vector, 3, 2.0, False),
    "two points, very skewed, vector": (skewed(sk.so(3).repeat(2), 1000), sk.vector, 3, 2.0, False),
    "lorentz(2)": (sk.lorentz(2), None, 8, 0.6, False),
    "lorentz(3), vector": (sk.lorentz(3), sk.vector, 5, 0.6, False),
    "sl(2) twice": (sk.sl(2).repeat(2), None, 6, 0.5, False),
    "scaling": (sk.scaling([1, -1, 2]), None, 8, 0.5, False),
    "scaling, vector": (sk.scaling([1, -1, 2]), sk.vector, 6, 0.5, False),
}
scales = pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
offsets = pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])


@offsets
@scales
@pytest.mark.parametrize(
    ("algebra", "output", "degree", "reach", "compact"), EXACT.values(), ids=list(EXACT)
)
def test_symmetry_is_exact_on_finite_elements(
    algebra, output, degree, reach, compact, scale, offset, rng
):
    q = 1 if output is None else output(algebra).shape[1]
    X, Y = placed(rng, 100, algebra.n_features, scale, offset), rng.normal(size=(100, q))
    model = sk.SymmetricRidge(
        algebra, library=sk.PolynomialLibrary(degree), output=output, alpha=1e-6
    )
    F = model.fit(X, Y).predict(X)
    for _ in range(5):
        xi = reach * rng.normal(size=algebra.dim)
        rho = np.eye(q) if output is None else expm(np.tensordot(xi, output(algebra), 1))
        error, terms = violation(model, X, *algebra.exp(xi), rho)
        assert (error <= 1e-10 * terms).all()
        if compact and offset <= 3:
            assert error.max() <= 1e-10 * np.abs(F).max()
    assert model.equivariance_error(X) < 1e-10


# Motions with translations, which scale with the data: algebra, output, degree.
RIGID = {
    "se(2) twice": (sk.se(2).repeat(2), None, 6),
    "se(2) twice, vector": (sk.se(2).repeat(2), sk.vector, 3),
    "se(3) twice": (sk.se(3).repeat(2), None, 4),
    "poincare(1) twice": (sk.poincare(1).repeat(2), None, 6),
    "galilei(1) twice": (sk.galilei(1).repeat(2), None, 4),
    "one direction": (sk.translations(3).combine([[1, 2, -1]]), None, 5),
    "about another point": (
        sk.LieAlgebra(sk.so(3).linear, -sk.so(3).linear @ [3.0, -1, 2]),
        None,
        8,
    ),
    "about another point, vector": (
        sk.LieAlgebra(sk.so(3).linear, -sk.so(3).linear @ [3.0, -1, 2]),
        sk.vector,
        5,
    ),
}


@offsets
@scales
@pytest.mark.parametrize(("algebra", "output", "degree"), RIGID.values(), ids=list(RIGID))
def test_motions_without_the_origin_are_exact(algebra, output, degree, scale, offset, rng):
    algebra = sk.LieAlgebra(algebra.linear, algebra.offset * scale)
    q = 1 if output is None else output(algebra).shape[1]
    X, Y = placed(rng, 100, algebra.n_features, scale, offset), rng.normal(size=(100, q))
    model = sk.SymmetricRidge(
        algebra, library=sk.PolynomialLibrary(degree), output=output, alpha=1e-6
    )
    model.fit(X, Y)
    for _ in range(5):
        xi = 0.7 * rng.normal(size=algebra.dim)
        rho = np.eye(q) if output is None else expm(np.tensordot(xi, output(algebra), 1))
        error, terms = violation(model, X, *algebra.exp(xi), rho)
        assert (error <= 1e-10 * terms).all()
    assert model.equivariance_error(X) < 1e-10


@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])
def test_translations_may_move_the_output(offset, rng):
    """Outputs ``(1, x)``: rotations about a point that is not the origin, and translations."""
    turn, shifts = sk.so(2).linear[0], np.eye(2)
    linear = np.array([turn, 0 * turn, 0 * turn])
    shift = np.array([-turn @ [2.0, -5.0], *shifts])
    B = np.zeros((3, 3, 3))
    B[:, 1:, 1:], B[:, 1:, 0] = linear, shift
    algebra = sk.LieAlgebra(linear, shift)
    X = rng.uniform(-1, 1, size=(40, 2)) + offset
    Y = np.c_[np.ones(40), X]
    model = sk.SymmetricRidge(algebra, library=sk.PolynomialLibrary(3), output=B, alpha=0).fit(X, Y)
    assert model.n_free_ == 1
    assert_allclose(model.predict(X), Y, rtol=1e-11)
    xi = rng.normal(size=3)
    error, terms = violation(model, X, *algebra.exp(xi), expm(np.tensordot(xi, B, 1)))
    assert (error <= 1e-12 * terms.max()).all()


@offsets
@scales
@pytest.mark.parametrize(
    "symmetry",
    [sk.Group.of(sk.permutations(3)), sk.so(3) + sk.FiniteGroup([-np.eye(3)])],
    ids=["group alone", "with rotations"],
)
@pytest.mark.parametrize("output", [None, sk.vector, sk.covector])
def test_discrete_elements_are_exact(symmetry, output, scale, offset, rng):
    X, Y = placed(rng, 60, 3, scale, offset), rng.normal(size=(60, 3 if output else 2))
    model = sk.SymmetricRidge(symmetry, library=sk.PolynomialLibrary(5), output=output, alpha=0.1)
    model.fit(X, Y)
    for g in symmetry.elements.matrices:
        rho = np.eye(Y.shape[1]) if output is None else np.linalg.inv(g).T
        error, _ = violation(model, X, g, 0, rho)
        assert error.max() <= 1e-11 * np.abs(model.predict(X)).max()
    assert model.equivariance_error(X) < 1e-12


@pytest.mark.parametrize("output", [None, sk.vector])
def test_reflections_beside_rotations_reduce_the_space(output, rng):
    """Up to degree 3 the determinant of three vectors is all that only rotations keep."""
    algebra, mirror = sk.so(3).repeat(3), sk.FiniteGroup([np.diag([1.0, 1, -1])]).repeat(3)
    both, rotations = n_free(algebra + mirror, 3, output), n_free(algebra, 3, output)
    assert both < rotations
    if output is None:
        assert rotations - both == 1


@pytest.mark.parametrize("size", [1e-8, 1e-4])
def test_equivariance_error_sees_a_broken_model(size, rng):
    X = rng.normal(size=(50, 3))
    model = sk.SymmetricRidge(sk.so(3), library=sk.PolynomialLibrary(4)).fit(X, rng.normal(size=50))
    error, terms = violation(model, X, *sk.so(3).exp([1.0, 2.0, 3.0]), np.eye(1))
    assert (error / terms).max() < 2e-14
    model.coef_ = model.coef_ + size * np.abs(model.coef_).max() * rng.normal(size=35)
    error, terms = violation(model, X, *sk.so(3).exp([1.0, 2.0, 3.0]), np.eye(1))
    found = model.equivariance_error(X)
    assert found > 0.03 * (error / terms).max() > 1e-3 * size
    assert found < 1e3 * size


def test_equivariance_error_leaves_the_plane_of_the_data(rng):
    """Nearly planar data: rotations out of the plane are elements like any other."""
    X = rng.normal(size=(40, 3)) * [1, 1, 1e-9]
    model = sk.SymmetricRidge(sk.so(3)).fit(X, X[:, 0])
    names = list(model.library_.get_feature_names_out())
    model.coef_ = np.isin(names, ["x0^2", "x1^2"]).astype(float)
    assert model.equivariance_error(X) > 0.1


@pytest.mark.parametrize("output", [sk.vector, None])
def test_equivariance_error_sees_a_broken_discrete_element(output, rng):
    X = rng.normal(size=(50, 3))
    Y = X if output else X[:, 0]
    model = sk.SymmetricRidge(sk.permutations(3), output=output).fit(X, Y)
    assert model.equivariance_error(X) < 1e-14
    model.coef_ = model.coef_ + 1e-3 * rng.normal(size=model.coef_.shape)
    assert model.equivariance_error(X) > 1e-5


UNITS = {
    "plane": (sk.so(2), [1, 1e6]),
    "plane, back": (sk.so(2), [1e8, 1]),
    "space": (sk.so(3), [1e-4, 1, 1e4]),
    "events": (sk.lorentz(2), [3e8, 1, 1]),
    "swapped": (sk.permutations(2), [1, 1e8]),
}


@pytest.mark.parametrize("shift", [0.0, 3.0])
@pytest.mark.parametrize(("symmetry", "units"), UNITS.values(), ids=list(UNITS))
def test_symmetries_that_mix_units(symmetry, units, shift, rng):
    """Metres and micrometres turned into each other, about a point off the origin too."""
    units = np.array(units)
    d = len(units)
    if isinstance(symmetry, sk.LieAlgebra):
        linear = symmetry.linear * units[:, None] / units
        symmetry = sk.LieAlgebra(linear, -linear @ (shift * units))
    else:
        symmetry = sk.FiniteGroup(symmetry.matrices * units[:, None] / units)
        shift = 0.0
    U = rng.normal(size=(100, d))
    X = units * (U + shift)
    Y = units * U * np.exp(-0.1 * (U**2).sum(axis=1))[:, None]
    for output, target in ((sk.vector, Y), (None, U[:, 0])):
        model = sk.SymmetricRidge(
            symmetry, library=sk.PolynomialLibrary(3), output=output, alpha=1e-6
        )
        assert model.fit(X, target).equivariance_error(X) < 1e-10
    n_free = model.n_free_
    unscaled = sk.SymmetricRidge(symmetry, library=sk.PolynomialLibrary(3, scale=units))
    assert unscaled.fit(X, U[:, 0]).n_free_ == n_free
