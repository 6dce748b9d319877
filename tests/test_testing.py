"""The public checks fail on what is broken."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sksym import (
    FiniteGroup,
    Group,
    GroupNorm,
    InvariantFeatures,
    LieDerivative,
    NuclearNorm,
    PolynomialLibrary,
    SymmetricRidge,
    SymmetricRidgeCV,
    covector,
    cyclic,
    lorentz,
    permutations,
    reflections,
    so,
    translations,
    vector,
)
from sksym.testing import (
    assert_adjoint,
    assert_closed,
    assert_equivariant,
    assert_jacobian,
    assert_prox,
    assert_symmetric,
)


@dataclass(frozen=True)
class TooShort(NuclearNorm):
    def prox(self, Z, step):
        return 0.9 * super().prox(Z, step)


@dataclass(frozen=True)
class NoProx(NuclearNorm):
    def prox(self, Z, step):
        return Z


@dataclass(frozen=True)
class TooFar(NuclearNorm):
    def prox(self, Z, step):
        return super().prox(Z, 1.01 * step)


@dataclass(frozen=True)
class NotFarEnough(GroupNorm):
    def prox(self, Z, step):
        return super().prox(Z, 0.99 * step)


@dataclass(frozen=True)
class StepForgotten(NuclearNorm):
    def prox(self, Z, step):
        return super().prox(Z, 1.0)


@dataclass(frozen=True)
class Hard(GroupNorm):
    """Switches rows off without shortening the others."""

    def prox(self, Z, step):
        size = np.linalg.norm(Z, axis=1, keepdims=True)
        return np.where(size > step * self.alpha, Z, 0)


@dataclass(frozen=True)
class Columns(GroupNorm):
    def prox(self, Z, step):
        return super().prox(Z.T, step).T


@dataclass(frozen=True)
class NotANumber(GroupNorm):
    def prox(self, Z, step):
        return np.full_like(Z, np.nan)


WRONG_PROX = [
    TooShort,
    NoProx,
    TooFar,
    NotFarEnough,
    StepForgotten,
    Hard,
    Columns,
    NotANumber,
]


FLIP = FiniteGroup([np.diag([1.0, 1.0, -1.0])])


class WrongDerivative(PolynomialLibrary):
    def jacobian(self, X):
        return super().jacobian(X) * 1.001


class OneWrongFunction(PolynomialLibrary):
    """One derivative of one function at one sample."""

    def jacobian(self, X):
        out = super().jacobian(X)
        out[3, 4, 1] += 1e-3
        return out


class NoNumber(PolynomialLibrary):
    def jacobian(self, X):
        out = super().jacobian(X)
        out[3, 4, 1] = np.nan
        return out


class WrongMatrices(PolynomialLibrary):
    def lie_matrices(self, algebra):
        return 1.001 * super().lie_matrices(algebra)

    def group_matrix(self, g):
        return super().group_matrix(g).T


@dataclass(frozen=True, eq=False)
class WrongAdjoint(LieDerivative):
    def adjoint(self, Z):
        return -super().adjoint(Z)


@pytest.mark.parametrize("estimator", [SymmetricRidge(so(3)), SymmetricRidgeCV(so(3))], ids=repr)
def test_equivariance(estimator, rng):
    X = rng.normal(size=(40, 3))
    model = estimator.fit(X, X[:, 0])
    assert_equivariant(model, X)
    model.coef_ = model.coef_ + 1e-6 * rng.normal(size=model.coef_.shape)
    with pytest.raises(AssertionError, match="differs from"):
        assert_equivariant(model, X)


def test_equivariance_of_the_wrong_kind(rng):
    """A force that pulls as a gradient does not move as a velocity under boosts."""
    X = rng.normal(size=(60, 4))
    Y = X * [-1, 1, 1, 1]
    model = SymmetricRidge(lorentz(3), output=covector, alpha=0.0).fit(X, Y)
    assert_equivariant(model, X)
    other = SymmetricRidge(lorentz(3), output=vector, alpha=0.0).fit(X, Y)
    other.coef_ = model.coef_
    with pytest.raises(AssertionError, match="differs from"):
        assert_equivariant(other, X)


def test_equivariance_of_discrete_groups(rng):
    X = rng.normal(size=(40, 2))
    model = SymmetricRidge(cyclic(2, 3), library=PolynomialLibrary(3)).fit(X, X[:, 0])
    assert_equivariant(model, X)
    model.coef_ = model.coef_ + 1e-6 * rng.normal(size=model.coef_.shape)
    with pytest.raises(AssertionError, match="differs from"):
        assert_equivariant(model, X)


def test_what_is_no_number_is_not_equivariant(rng):
    X = rng.normal(size=(40, 3))
    model = SymmetricRidge(so(3)).fit(X, X[:, 0])
    model.coef_ = np.full_like(model.coef_, np.nan)
    with pytest.raises(AssertionError, match="differs from"):
        assert_equivariant(model, X)


def distances(X):
    """Return the lengths of rows: invariant under rotations and reflections."""
    return np.linalg.norm(X, axis=1)


SYMMETRIC = {
    "rotations": (distances, so(3), None),
    "as a function of d": (distances, so, None),
    "both kinds": (distances, so(3) + reflections(3), None),
    "discrete": (lambda X: np.sort(X, axis=1), permutations(3), None),
    "motions": (lambda X: X[:, :1] - X[:, 1:], translations(1).repeat(3), None),
    "vector": (lambda X: X * distances(X)[:, None], so(3) + reflections(3), vector),
    "discrete vector": (lambda X: X**3, reflections, vector),
    "gradient": (lambda X: X @ np.diag([-1.0, 1, 1]), lorentz(2), covector),
    "no symmetry": (lambda X: X[:, 0], Group.none(3), None),
}
NOT_SYMMETRIC = {
    "wrong group": (distances, lorentz(2), None),
    "one generator of three": (lambda X: X[:, 2], so(3), None),
    "reflections alone": (lambda X: X.prod(axis=1), so(2).on_columns([0, 1], 3), None),
    "discrete": (lambda X: X[:, 0], permutations, None),
    "elements beside generators": (lambda X: X[:, 2], so(2).on_columns([0, 1], 3) + FLIP, None),
    "velocity for a gradient": (lambda X: X @ np.diag([-1.0, 1, 1]), lorentz(2), vector),
    "no number": (lambda X: np.full(len(X), np.nan), so(3), None),
}


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric(name, rng):
    f, symmetry, output = SYMMETRIC[name]
    assert_symmetric(f, rng.normal(size=(30, 3)), symmetry, output)


@pytest.mark.parametrize("name", NOT_SYMMETRIC)
def test_not_symmetric(name, rng):
    f, symmetry, output = NOT_SYMMETRIC[name]
    with pytest.raises(AssertionError, match=r"f\(g x\) differs from rho\(g\) f\(x\)"):
        assert_symmetric(f, rng.normal(size=(30, 3)), symmetry, output)


def test_symmetric_estimators_and_pipelines(rng):
    X = rng.normal(size=(60, 3))
    y = X[:, 0] + distances(X)
    symmetric = make_pipeline(InvariantFeatures(so), LinearRegression()).fit(X, y)
    assert_symmetric(symmetric, X, so)
    plain = make_pipeline(PolynomialFeatures(2), LinearRegression()).fit(X, y)
    with pytest.raises(AssertionError, match="differs from"):
        assert_symmetric(plain, X, so)


def test_symmetric_to_a_tolerance(rng):
    X = rng.normal(size=(30, 3))

    def nearly(X):
        return distances(X) + 1e-6 * X[:, 0]

    assert_symmetric(nearly, X, so, rtol=1e-5)
    with pytest.raises(AssertionError, match="differs from"):
        assert_symmetric(nearly, X, so, rtol=1e-8)
    # Relative to the values, so that their unit does not matter.
    assert_symmetric(lambda X: 1e9 * nearly(X), X, so, rtol=1e-5)


def test_symmetric_where_the_symmetry_does_not_fit(rng):
    X = rng.normal(size=(30, 3))
    with pytest.raises(ValueError, match=r"acts on R\^2, but X has 3 features"):
        assert_symmetric(distances, X, so(2))
    with pytest.raises(TypeError, match="must be a LieAlgebra, a FiniteGroup, a Group"):
        assert_symmetric(distances, X, "so")
    with pytest.raises(ValueError, match="moves 3 outputs, but f has 1"):
        assert_symmetric(distances, X, so, vector)


@pytest.mark.parametrize("penalty", WRONG_PROX)
@pytest.mark.parametrize("step", [0.01, 0.5])
def test_prox(penalty, step, rng):
    for Z in rng.normal(size=(5, 4, 3)):
        with pytest.raises(AssertionError, match="not the minimiser"):
            assert_prox(penalty(), Z, step)


@pytest.mark.parametrize("library", [WrongDerivative, OneWrongFunction, NoNumber])
def test_jacobian(library, rng):
    X = rng.normal(size=(9, 2))
    assert_jacobian(PolynomialLibrary(3).fit(X), X)
    with pytest.raises(AssertionError, match="finite differences"):
        assert_jacobian(library(3).fit(X), X)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_jacobian_at_every_scale(unit, offset, rng):
    X = unit * (rng.normal(size=(9, 2)) + offset)
    assert_jacobian(PolynomialLibrary(3).fit(X), X)
    with pytest.raises(AssertionError, match="finite differences"):
        assert_jacobian(WrongDerivative(3).fit(X), X)


def test_jacobian_in_mixed_units(rng):
    """Positions in 1e6, angles in 1: the step goes with the column."""
    X = rng.uniform(size=(40, 2)) * [1.0, 1e6]
    assert_jacobian(PolynomialLibrary(3).fit(X), X)
    with pytest.raises(AssertionError, match="finite differences"):
        assert_jacobian(WrongDerivative(3).fit(X), X)


@pytest.mark.parametrize("X", [[[1.5]], [[1.0, 1.0]], [[2.0, 2.0], [2.0, 2.0]]], ids=str)
def test_jacobian_where_nothing_varies(X, rng):
    library = PolynomialLibrary(3).fit(rng.normal(size=(9, len(X[0]))))
    assert_jacobian(library, X)


def test_jacobian_where_functions_vanish(rng):
    """At the centre a cubic is zero, its slope too; its differences are not quite."""
    library = PolynomialLibrary(3, center=1.5).fit(rng.normal(size=(9, 2)))
    assert_jacobian(library, [[1.5, 1.5]])


def test_closed(rng):
    X = rng.normal(size=(9, 2))
    right, wrong = PolynomialLibrary(3).fit(X), WrongMatrices(3).fit(X)
    assert_closed(right, X, translations(2) + cyclic(2, 3))
    with pytest.raises(AssertionError, match="D phi"):
        assert_closed(wrong, X, translations(2))
    with pytest.raises(AssertionError, match="K phi"):
        assert_closed(wrong, X, cyclic(2, 3))
    with pytest.raises(AssertionError, match="D phi"):
        assert_closed(WrongDerivative(3).fit(X), X, so(2))


def test_closed_under_nothing(rng):
    """so(1) has no generators: nothing can be wrong."""
    X = rng.normal(size=(9, 1))
    assert_closed(PolynomialLibrary(2).fit(X), X, so(1))


def test_adjoint(rng):
    L = LieDerivative.exact(PolynomialLibrary(2).fit(rng.normal(size=(9, 2))), so(2))
    moving = LieDerivative.exact(PolynomialLibrary(2).fit(rng.normal(size=(9, 2))), so(2), vector)
    for right in (L, moving):
        assert_adjoint(right, q=2)
        with pytest.raises(AssertionError, match="coef"):
            assert_adjoint(WrongAdjoint(**vars(replace(right))), q=2)
