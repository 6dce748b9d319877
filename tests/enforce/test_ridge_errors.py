"""What cannot be enforced, and what is said about it."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import PolynomialFeatures

import sksym as sk
from fits import conjugated

BAD = {
    "algebra elsewhere": (
        sk.SymmetricRidge(sk.so(2)),
        ValueError,
        r"acts on R\^2, but X has 3 features",
    ),
    "group elsewhere": (
        sk.SymmetricRidge(sk.permutations(4)),
        ValueError,
        r"acts on R\^4, but X has 3 features",
    ),
    "a function of d that makes none": (
        sk.SymmetricRidge(np.eye),
        TypeError,
        "must be a LieAlgebra, a FiniteGroup, a Group",
    ),
    "fitted estimator as symmetry": (
        sk.SymmetricRidge(sk.PolynomialLibrary()),
        TypeError,
        "must be a LieAlgebra, a FiniteGroup, a Group",
    ),
    "wrong number of outputs": (
        sk.SymmetricRidge(sk.so(3), output=sk.trivial(2)),
        ValueError,
        "moves 2 outputs, but y has 3",
    ),
    "wrong representation": (
        sk.SymmetricRidge(sk.so(3), output=2 * sk.so(3).linear),
        ValueError,
        "not a representation",
    ),
    "representation of another size": (
        sk.SymmetricRidge(sk.so(3), output=sk.so(2).linear),
        ValueError,
        "one square matrix for each",
    ),
    "infinite representation": (
        sk.SymmetricRidge(sk.so(3), output=np.full((3, 3, 3), np.inf)),
        ValueError,
        "NaN or infinity",
    ),
    "array for a group": (
        sk.SymmetricRidge(sk.so(3) + sk.reflections(3), output=sk.so(3).linear),
        ValueError,
        "representation",
    ),
    "nobody moves the output": (sk.SymmetricRidge(output=sk.vector), ValueError, "no symmetry"),
    "negative degree": (sk.SymmetricRidge(library=sk.PolynomialLibrary(-1)), ValueError, "degree"),
    "no library": (sk.SymmetricRidge(library="poly"), TypeError, "from_transformer"),
    "plain transformer": (sk.SymmetricRidge(library=PolynomialFeatures()), TypeError, "jacobian"),
    "negative alpha": (sk.SymmetricRidge(alpha=-1), ValueError, "alpha"),
    "alpha not a number": (sk.SymmetricRidge(alpha=np.nan), ValueError, "alpha"),
    "alpha a string": (sk.SymmetricRidge(alpha="1"), ValueError, "alpha"),
    "rtol": (sk.SymmetricRidge(sk.so(3), rtol=-1.0), ValueError, "rtol"),
    "rtol a string": (sk.SymmetricRidge(sk.so(3), rtol="1"), (TypeError, ValueError), "rtol"),
    "algebra as a name": (
        sk.SymmetricRidge("so(3)"),
        TypeError,
        r"must be a LieAlgebra.*'so\(3\)'",
    ),
    "algebra as an array": (sk.SymmetricRidge(sk.so(3).linear), TypeError, "must be a LieAlgebra"),
    "output as a name": (
        sk.SymmetricRidge(sk.so(3), output="vector"),
        TypeError,
        "`output`.*'vector'",
    ),
    "output an algebra": (
        sk.SymmetricRidge(sk.so(3), output=sk.so(3)),
        (TypeError, ValueError),
        "`output`",
    ),
    "output of the wrong shape": (
        sk.SymmetricRidge(sk.so(3), output=sk.so(3).linear[:, :, :2]),
        ValueError,
        "one square matrix for each",
    ),
    "not linear in the generators": (
        sk.SymmetricRidge(
            sk.so(3) + sk.so(3), output=np.concatenate([sk.so(3).linear, 2 * sk.so(3).linear])
        ),
        ValueError,
        "not a representation",
    ),
    "columns mixed with others": (
        sk.SymmetricRidge(sk.so(3), output=sk.direct_sum(sk.columns(0, 1), sk.trivial(1))),
        ValueError,
        "name all that move together",
    ),
    "fractional degree": (
        sk.SymmetricRidge(library=sk.PolynomialLibrary(1.5)),
        ValueError,
        "degree",
    ),
    "infinite alpha": (sk.SymmetricRidge(alpha=np.inf), ValueError, "alpha"),
    "no alpha": (sk.SymmetricRidge(alpha=None), ValueError, "alpha"),
    "alphas empty": (sk.SymmetricRidgeCV(sk.so(3), alphas=[]), ValueError, "alphas"),
    "alphas negative": (sk.SymmetricRidgeCV(sk.so(3), alphas=[1.0, -1.0]), ValueError, "alphas"),
}


@pytest.mark.parametrize(("model", "error", "message"), BAD.values(), ids=list(BAD))
def test_wrong_parameters_are_refused_and_leave_nothing(model, error, message, rng):
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    with pytest.raises(error, match=message):
        model.fit(X, Y)
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.ones(30), "sample 0"),
        (np.r_[1, np.nan, np.ones(28)], "sample 1"),
        (np.zeros(30), "All sample weights are zero"),
        (np.ones(29), "shape"),
        (np.ones((30, 1)), "shape"),
    ],
)
def test_wrong_weights_are_refused(weight, message, rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    for model in (sk.SymmetricRidge(sk.so(3)), sk.SymmetricRidgeCV(sk.so(3))):
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, weight)


@pytest.mark.parametrize("estimator", [sk.SymmetricRidge, sk.SymmetricRidgeCV])
def test_unfitted_models_say_so(estimator):
    model = estimator(sk.so(3))
    for call in (model.predict, model.equivariance_error):
        with pytest.raises(NotFittedError):
            call(np.ones((2, 3)))


def test_wrong_data_are_refused(rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    for value in (np.nan, np.inf):
        broken = np.where(np.arange(90).reshape(30, 3) == 7, value, X)
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            sk.SymmetricRidge(sk.so(3)).fit(broken, y)
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            sk.SymmetricRidge(sk.so(3)).fit(X, broken[:, 1])
    model = sk.SymmetricRidge(sk.so(3)).fit(X, y)
    for call in (model.predict, model.equivariance_error):
        with pytest.raises(ValueError, match="2 features"):
            call(X[:, :2])
    with pytest.raises(ValueError, match=r"dimension|shape"):  # both have one output
        model.partial_fit(X, y[:, None])


def test_an_empty_group_is_no_constraint(rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    model = sk.SymmetricRidge(sk.FiniteGroup(np.zeros((0, 3, 3)))).fit(X, y)
    assert_allclose(model.predict(X), sk.SymmetricRidge().fit(X, y).predict(X))
    assert model.equivariance_error(X) == 0


def test_memory_is_estimated_before_it_is_taken(monkeypatch, rng):
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    monkeypatch.setattr("sksym._linalg.machine.available_memory", lambda: 2e6)
    model = sk.SymmetricRidge(sk.so(3), library=sk.PolynomialLibrary(25), output=sk.vector)
    with pytest.raises(MemoryError, match=r"9,828 unknown coefficients \(3 outputs.*Reduce"):
        model.fit(X, Y)
    dense = conjugated(sk.so(5), rng.normal(size=(5, 5)))
    monkeypatch.setattr("sksym._linalg.machine.available_memory", lambda: 1e5)
    with pytest.raises(MemoryError, match=r"null space.*coordinates where they are sparse"):
        sk.SymmetricRidge(dense, library=sk.PolynomialLibrary(4)).fit(
            rng.normal(size=(30, 5)), Y[:, 0]
        )


def test_too_large_problems_are_refused_by_number(rng):
    X = rng.normal(size=(5, 30))
    with pytest.raises(MemoryError, match=r"118,264,581,564,861,424 monomials"):
        sk.SymmetricRidge(library=sk.PolynomialLibrary(30)).fit(X, X[:, 0])
    with pytest.raises(MemoryError, match=r"1,947,792 free coefficients.*enforce more symmetry"):
        sk.SymmetricRidge(library=sk.PolynomialLibrary(6)).fit(X, X[:, 0])


def test_a_failed_refit_keeps_the_old_model(rng):
    X, y = pd.DataFrame(rng.normal(size=(30, 3)), columns=list("abc")), rng.normal(size=30)
    model = sk.SymmetricRidge(sk.so(3)).fit(X, y)
    before = {k: v for k, v in vars(model).items() if k.endswith("_")}
    other = pd.DataFrame(rng.normal(size=(30, 2)), columns=list("de"))
    with pytest.raises(ValueError, match="features"):
        model.fit(other, y)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X * np.nan, y)
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(other, y)
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(X, y * np.nan)
    with pytest.raises(ValueError, match="outputs"):
        model.partial_fit(X, np.ones((30, 2)))
    assert all(vars(model)[k] is v for k, v in before.items())
    model.fit(X.to_numpy(), y)
    assert not hasattr(model, "feature_names_in_"), "nothing of an earlier fit survives"


def test_dependent_generators_are_reduced_and_said_once(rng):
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    twice = sk.so(3) + sk.so(3).combine([[1, 2, 3]])
    with pytest.warns(UserWarning, match="4 generators span 3 dimensions") as record:
        model = sk.SymmetricRidge(twice, output=sk.vector).fit(X, Y)
    assert len(record) == 1
    assert model.n_free_ == 1
    assert_allclose(
        model.coef_, sk.SymmetricRidge(sk.so(3), output=sk.vector).fit(X, Y).coef_, atol=1e-14
    )


def test_no_freedom_but_the_constant_is_allowed_and_said(rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    with pytest.warns(UserWarning, match="a constant as the only function"):
        model = sk.SymmetricRidge(sk.gl(3)).fit(X, y)
    assert_allclose(model.predict(X), y.mean())
    with pytest.warns(UserWarning, match="zero as the only function"):
        model = sk.SymmetricRidge(sk.se(3), output=sk.vector).fit(X, X)
    assert model.n_free_ == 0
    assert not model.predict(X).any()


def test_no_generators_are_no_constraint(rng):
    X, y = rng.normal(size=(30, 1)), rng.normal(size=30)
    free, constrained = sk.SymmetricRidge().fit(X, y), sk.SymmetricRidge(sk.so(1)).fit(X, y)
    assert_allclose(free.coef_, constrained.coef_)
