"""Numerical derivatives of transformers: exact through moduli and norms, none of steps."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    SplineTransformer,
)

import sksym as sk
from sksym.testing import assert_jacobian


def points(X):
    return X.reshape(len(X), -1, 2)


CONTINUED = {
    "norm": lambda X: np.linalg.norm(points(X), axis=2),
    "norm, kept": lambda X: np.linalg.norm(points(X), axis=-1, keepdims=True)[:, :, 0],
    "norm of rows": lambda X: np.linalg.norm(X, 2, 1)[:, None],
    "hypot": lambda X: np.hypot(X[:, :2], X[:, 2:]),
    "abs": lambda X: np.abs(X) + X.conj() ** 2,
    "angle": lambda X: np.arctan2(X[:, :2], X[:, 2:]),
    "cube root": lambda X: np.cbrt(X + 9),
    "functions of distances": lambda X: (
        np.exp(-(np.linalg.norm(points(X), axis=2) ** 2)) + abs(X[:, :2])
    ),
}


@pytest.mark.parametrize("function", CONTINUED.values(), ids=list(CONTINUED))
def test_real_functions_are_continued(function, rng):
    X = rng.uniform(0.1, 1, size=(30, 4)) * rng.choice([-1, 1], size=(30, 4))
    library = sk.from_transformer(FunctionTransformer(function)).fit(X)
    assert library.complex_
    assert library.jacobian_rtol_ == 0
    assert_jacobian(library, X)


@pytest.mark.parametrize(
    "function", [np.linalg.norm, np.real, np.conjugate], ids=lambda f: f.__name__
)
def test_what_is_no_continuation_is_not_believed(function, rng):
    """A modulus of plain complex numbers, a real part, and what converts to real numbers."""

    def plain(X):
        X = np.array(X)
        if function is np.linalg.norm:
            return np.linalg.norm(X, axis=1, keepdims=True)
        return function(X) * X

    X = rng.normal(size=(30, 3))
    library = sk.from_transformer(FunctionTransformer(plain)).fit(X)
    assert not library.complex_
    assert_jacobian(library, X)


STEPS = [
    KBinsDiscretizer(4, strategy="uniform"),
    KBinsDiscretizer(4, encode="ordinal", strategy="uniform"),
    FunctionTransformer(np.round),
    FunctionTransformer(lambda X: np.column_stack([X, X > 0])),
    OneHotEncoder(handle_unknown="ignore"),
    Binarizer(),
]


@pytest.mark.parametrize("transformer", STEPS, ids=str)
def test_steps_are_refused(transformer, rng):
    X = rng.normal(size=(60, 2))
    with pytest.raises(ValueError, match="constant almost everywhere"):
        sk.SymmetricRidge(sk.so(2), library=sk.from_transformer(transformer)).fit(X, X[:, 0])


@pytest.mark.parametrize(
    "transformer",
    [
        SplineTransformer(),
        SplineTransformer(degree=1, n_knots=20),
        FunctionTransformer(lambda X: np.clip(X, -0.3, 0.3)),
        FunctionTransformer(np.ones_like),
    ],
    ids=["cubic", "hats", "clipped", "constant"],
)
@pytest.mark.parametrize("n", [2, 3, 100])
def test_functions_with_kinks_or_constants_are_taken(transformer, n, rng):
    X = rng.normal(size=(n, 2))
    library = sk.from_transformer(transformer).fit(X)
    np.testing.assert_array_equal(library.transform(X), clone(transformer).fit_transform(X))
