"""Libraries of one's own: by subclassing, or by having the methods."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import PolynomialFeatures

import sksym as sk
from sksym.libraries import as_library, evaluate
from sksym.testing import assert_closed, assert_jacobian


class Quadratic(sk.Library):
    """All products of two coordinates, and nothing but the three methods that are required."""

    def fit(self, X, y=None):
        X = self.fit_input(X)
        self.pairs_ = np.array(np.triu_indices(X.shape[1])).T
        self.n_output_features_ = len(self.pairs_)
        return self

    def transform(self, X):
        X = self.transform_input(X)
        i, j = self.pairs_.T
        return X[:, i] * X[:, j]

    def jacobian(self, X):
        X = self.transform_input(X)
        i, j = self.pairs_.T
        p = np.arange(len(i))
        J = np.zeros((len(X), len(i), X.shape[1]))
        J[:, p, i] += X[:, j]
        J[:, p, j] += X[:, i]
        return J


class Least(sk.Library):
    """The coordinates themselves; it sets nothing at all in ``fit``."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.array(X)

    def jacobian(self, X):
        return np.tile(np.eye(X.shape[1]), (len(X), 1, 1))


class Linear(TransformerMixin, BaseEstimator):
    """A plain transformer with a derivative and matrices; it counts how often these are used."""

    calls = 0

    def __init__(self, error=None):
        self.error = error

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return np.array(X)

    def jacobian(self, X):
        return np.tile(np.eye(X.shape[1]), (len(X), 1, 1))

    def lie_matrices(self, algebra):
        type(self).calls += 1
        if self.error is not None:
            raise self.error
        if algebra.offset.any():
            raise sk.NotClosedError("There is no constant.")
        d = algebra.n_features
        return sparse.csr_array(algebra.linear.transpose(1, 0, 2).reshape(d, -1))

    def group_matrix(self, g):
        type(self).calls += 1
        if self.error is not None:
            raise self.error
        return sparse.csr_array(g)

    def get_feature_names_out(self, input_features=None):
        return np.array([f"linear {i}" for i in range(self.n_features_in_)], dtype=object)


class Bare:
    """No estimator of scikit-learn at all."""

    def fit(self, X, y=None):
        self.scale_ = np.abs(X).max()
        return self

    def transform(self, X):
        return X / self.scale_

    def jacobian(self, X):
        return np.tile(np.eye(X.shape[1]) / self.scale_, (len(X), 1, 1))


@pytest.fixture
def X(rng):
    return rng.normal(size=(50, 3))


@pytest.fixture
def never_sampled(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("A library that gives its matrices was sampled.")

    monkeypatch.setattr(sk.LieDerivative, "sampled", refuse)
    monkeypatch.setattr("sksym.equivariant.at_points.probe_points", refuse)


# ------------------------------------------------------------------------------- subclasses


def test_three_methods_are_a_library(X):
    library = Quadratic().fit(X)
    assert_jacobian(library, X)
    names = list(library.get_feature_names_out())
    assert names == ["f0", "f1", "f2", "f3", "f4", "f5"]
    coef = np.arange(12.0).reshape(2, 6)
    assert_allclose(evaluate(library, coef, X), library.transform(X) @ coef.T)
    assert_array_equal(library.monomial_coef(coef), coef)
    assert list(library.monomial_names) == names
    assert_array_equal(library.name_sizes(), np.ones(6))
    assert_array_equal(library.name_center(), np.zeros(3))
    assert library.extremes(X) is None
    assert_array_equal(library.change_to(library).toarray(), np.eye(6))
    for method, argument in ((library.lie_matrices, sk.so(3)), (library.group_matrix, np.eye(3))):
        with pytest.raises(sk.NotClosedError, match="Quadratic is not known to be closed"):
            method(argument)
    framed = Quadratic().set_output(transform="pandas").fit_transform(X)
    assert list(framed.columns) == names


def test_orthonormal_coordinates_by_default(X):
    library = Quadratic().fit(X)
    T = library.orthonormal_coordinates(X).toarray()
    psi = np.linalg.solve(T, library.transform(X).T)
    assert_allclose(psi @ psi.T / len(X), np.eye(6), atol=1e-12)


def test_the_default_box_is_the_range_of_the_data(X):
    library = Quadratic().fit(X)
    assert_allclose(library.box(X), [X.min(axis=0), X.max(axis=0)])
    constant = library.box(np.ones((3, 3)))
    assert (constant[1] > constant[0]).all()


@pytest.mark.parametrize(
    ("symmetry", "output", "n_free"),
    [
        (None, None, 6),
        (sk.so(3), None, 1),
        (sk.so, None, 1),
        (sk.reflections(3), None, 3),
        (sk.permutations(3), None, 2),
        (sk.so(3) + sk.reflections(3), sk.tensor(sk.vector, sk.vector), 2),
        (sk.so(2).on_columns([0, 1], 3), None, 2),
    ],
)
def test_three_methods_are_enough_to_enforce(symmetry, output, n_free, X, rng):
    q = 1 if output is None else 9
    model = sk.SymmetricRidge(symmetry, library=Quadratic(), output=output, alpha=0)
    model.fit(X, rng.normal(size=(50, q)))
    assert model.n_free_ == n_free
    assert model.equivariance_error(X) < 1e-11
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))
    again.partial_fit(X, rng.normal(size=(50, q)))
    assert again.n_samples_seen_ == 100
    assert copy.deepcopy(model).merge(model).n_samples_seen_ == 100
    assert model.set_params(alpha=0.1).fit(X, X[:, :1] @ np.ones((1, q))).n_free_ == n_free


def test_a_length_is_found(X):
    y = (X**2).sum(axis=1)
    model = sk.SymmetricRidge(sk.so(3), library=Quadratic(), alpha=0).fit(X, y)
    assert_allclose(model.predict(X), y, atol=1e-11)
    features = sk.InvariantFeatures(sk.so(3), library=Quadratic()).fit(X)
    assert_allclose(features.transform(X)[:, 0], y, rtol=1e-9)
    best = sk.SymmetricRidgeCV(sk.so(3), library=Quadratic()).fit(X, y)
    assert best.score(X, y) > 0.999


def test_a_library_may_set_nothing(X):
    model = sk.SymmetricRidge(sk.so(3), library=Least(), output=sk.vector, alpha=0).fit(X, 2 * X)
    assert model.n_free_ == 1
    assert_allclose(model.predict(X), 2 * X, atol=1e-12)
    assert sk.LieDerivative.sampled(model.library_, sk.so(3), sk.vector, X).n_functions == 3


@pytest.mark.parametrize("method", ["fit", "transform", "jacobian"])
def test_the_three_methods_are_required(method):
    methods = {name: getattr(Least, name) for name in ("fit", "transform", "jacobian")}
    del methods[method]
    Incomplete = type("Incomplete", (sk.Library,), methods)
    with pytest.raises(TypeError, match=f"abstract method '?{method}"):
        Incomplete()


# ------------------------------------------------------------------- libraries that are none


def test_plain_transformers_are_used_exactly(X, never_sampled):
    before = Linear.calls
    model = sk.SymmetricRidge(sk.so(3), library=Linear(), output=sk.vector, alpha=0).fit(X, 2 * X)
    assert Linear.calls > before
    assert model.n_free_ == 1
    assert model.equivariance_error(X) < 1e-12
    assert_allclose(model.predict(X), 2 * X, atol=1e-12)
    both = sk.SymmetricRidge(
        sk.so(3) + sk.FiniteGroup([-np.eye(3)]), library=Linear(), output=sk.vector, alpha=0
    ).fit(X, 2 * X)
    assert both.n_free_ == 1
    assert both.equivariance_error(X) < 1e-12
    swaps = sk.SymmetricRidge(sk.permutations(3), library=Linear(), alpha=0).fit(X, X.sum(axis=1))
    assert_allclose(swaps.coef_, np.ones(3), atol=1e-12)
    L = sk.LieDerivative.exact(as_library(Linear()).fit(X), sk.gl(3), None, X)
    assert L.symmetry_matrix(np.ones((1, 3))).shape[1] == 9


def test_plain_transformers_that_are_not_closed_are_sampled(X):
    """Translations would add a constant."""
    model = sk.SymmetricRidge(sk.translations(3), library=Linear(), fit_intercept=False)
    with pytest.warns(UserWarning, match="leaves zero"):
        model.fit(X, X[:, 0])
    assert model.n_free_ == 0
    one = sk.translations(3).combine([[1, 0, 0]])
    model = sk.SymmetricRidge(one, library=Linear(), alpha=0).fit(X, X[:, 1])
    assert model.n_free_ == 2
    assert_allclose(model.predict(X), X[:, 1], atol=1e-11)


@pytest.mark.parametrize(
    "error", [AttributeError, TypeError, ValueError, KeyError, ZeroDivisionError]
)
@pytest.mark.parametrize("symmetry", [sk.so(3), sk.permutations(3)], ids=["algebra", "group"])
def test_errors_inside_are_not_swallowed(error, symmetry, X):
    """A typo in one's own `lie_matrices` is no reason to sample instead."""
    model = sk.SymmetricRidge(symmetry, library=Linear(error("a typo")))
    with pytest.raises(error, match="a typo"):
        model.fit(X, X[:, 0])
    features = sk.InvariantFeatures(symmetry, library=Linear(error("a typo")))
    with pytest.raises(error, match="a typo"):
        features.fit(X)
    if symmetry.n_features == 3 and isinstance(symmetry, sk.LieAlgebra):
        library = as_library(Linear(error("a typo"))).fit(X)
        with pytest.raises(error, match="a typo"):
            sk.LieDerivative.exact(library, symmetry, None, X)


class Subclass(Quadratic):
    def lie_matrices(self, algebra):
        return self.no_such_thing

    def group_matrix(self, g):
        return len(3)


def test_errors_inside_subclasses_are_not_swallowed(X):
    with pytest.raises(AttributeError, match="no_such_thing"):
        sk.SymmetricRidge(sk.so(3), library=Subclass()).fit(X, X[:, 0])
    with pytest.raises(TypeError, match="len"):
        sk.SymmetricRidge(sk.permutations(3), library=Subclass()).fit(X, X[:, 0])


class Turned(Quadratic):
    def lie_matrices(self, algebra):
        return sparse.csr_array((6, 7))


def test_matrices_of_the_wrong_shape_are_refused(X):
    with pytest.raises(ValueError, match=r"`lie_matrices` of Turned returned shape \(6, 7\)"):
        sk.SymmetricRidge(sk.so(3), library=Turned()).fit(X, X[:, 0])


def test_names_and_pickles_of_plain_transformers(X):
    library = as_library(Linear()).fit(X)
    assert list(library.get_feature_names_out()) == ["linear 0", "linear 1", "linear 2"]
    assert_closed(library, X, sk.gl(3) + sk.cyclic(3, 5))
    copied = pickle.loads(pickle.dumps(library))
    assert_array_equal(copied.transform(X), library.transform(X))
    model = sk.SymmetricRidge(sk.so(3), library=Linear(), output=sk.vector).fit(X, X)
    again = pickle.loads(pickle.dumps(model)).partial_fit(X, X)
    assert again.merge(model).n_samples_seen_ == 150


def test_the_library_that_was_given_is_left_alone(X):
    library = Linear()
    sk.SymmetricRidge(sk.so(3), library=library, output=sk.vector).fit(X, X)
    assert not hasattr(library, "n_features_in_")


def test_it_need_not_be_an_estimator(X):
    library = Bare()
    model = sk.SymmetricRidge(sk.so(3), library=library, output=sk.vector, alpha=0).fit(X, 2 * X)
    assert vars(library) == {}
    assert model.n_free_ == 1
    assert_allclose(model.predict(X), 2 * X, atol=1e-12)
    names = as_library(Bare()).fit(X).get_feature_names_out()
    assert list(names) == ["f0", "f1", "f2"]
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_allclose(again.partial_fit(X, 2 * X).predict(X), 2 * X, atol=1e-11)
    assert clone(model).fit(X, 2 * X).n_free_ == 1


MISSING = {
    "a number": 3,
    "a string": "polynomial",
    "an algebra": sk.so(3),
    "no jacobian": PolynomialFeatures(),
    "no transform": type("NoTransform", (), {"fit": None, "jacobian": print})(),
    "no fit": type("NoFit", (), {"transform": print, "jacobian": print})(),
    "a class": Linear,
    "a class of ours": sk.PolynomialLibrary,
}


@pytest.mark.parametrize("library", MISSING.values(), ids=list(MISSING))
def test_what_lacks_a_method_is_refused(library, X):
    for make in (sk.SymmetricRidge, sk.InvariantFeatures):
        with pytest.raises(
            TypeError, match=r"must have fit, transform and jacobian.*from_transformer"
        ):
            make(sk.so(3), library=library).fit(X, X[:, 0])
