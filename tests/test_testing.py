"""The public checks fail on what is broken."""

from dataclasses import dataclass, replace

import pytest

from sksym import (
    LieDerivative,
    NuclearNorm,
    PolynomialLibrary,
    SymmetricRidge,
    cyclic,
    so,
    translations,
)
from sksym.testing import (
    assert_adjoint,
    assert_closed,
    assert_equivariant,
    assert_jacobian,
    assert_prox,
)


@dataclass(frozen=True)
class WrongProx(NuclearNorm):
    def prox(self, Z, step):
        return 0.9 * super().prox(Z, step)


class WrongDerivative(PolynomialLibrary):
    def jacobian(self, X):
        return super().jacobian(X) * 1.001


class WrongMatrices(PolynomialLibrary):
    def lie_matrices(self, algebra):
        return 1.001 * super().lie_matrices(algebra)

    def group_matrix(self, g):
        return super().group_matrix(g).T


@dataclass(frozen=True, eq=False)
class WrongAdjoint(LieDerivative):
    def adjoint(self, Z):
        return -super().adjoint(Z)


def test_equivariance(rng):
    X = rng.normal(size=(40, 3))
    model = SymmetricRidge(so(3)).fit(X, X[:, 0])
    assert_equivariant(model, X)
    model.coef_ = model.coef_ + 1e-6 * rng.normal(size=model.coef_.shape)
    with pytest.raises(AssertionError, match="differs from"):
        assert_equivariant(model, X)


def test_prox(rng):
    with pytest.raises(AssertionError, match="not the minimiser"):
        assert_prox(WrongProx(), rng.normal(size=(4, 3)), 0.5)


def test_jacobian(rng):
    X = rng.normal(size=(9, 2))
    with pytest.raises(AssertionError, match="finite differences"):
        assert_jacobian(WrongDerivative(3).fit(X), X)


def test_closed(rng):
    X = rng.normal(size=(9, 2))
    library = WrongMatrices(3).fit(X)
    with pytest.raises(AssertionError, match="D phi"):
        assert_closed(library, X, algebra=translations(2))
    with pytest.raises(AssertionError, match="K phi"):
        assert_closed(library, X, group=cyclic(2, 3))


def test_adjoint(rng):
    L = LieDerivative.exact(PolynomialLibrary(2).fit(rng.normal(size=(9, 2))), so(2))
    assert_adjoint(L, q=2)
    with pytest.raises(AssertionError, match="coef"):
        assert_adjoint(WrongAdjoint(**vars(replace(L))), q=2)
