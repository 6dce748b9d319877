"""Models fitted to disjoint rows merge to the fit on all; copies and pickles go on."""

import copy
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, SplineTransformer

import sksym as sk

PLAIN = sk.from_transformer(PolynomialFeatures(3))  # numerical derivatives

# Symmetry, library, output.
MODELS = {
    "invariant": (sk.so(3), sk.PolynomialLibrary(4), None),
    "vector": (sk.so(3), sk.PolynomialLibrary(3), sk.vector),
    "both kinds, vector": (sk.so(3) + sk.reflections(3), sk.PolynomialLibrary(3), sk.vector),
    "no fixed point": (sk.se(2).on_columns([0, 2], 3), sk.PolynomialLibrary(3), None),
    "no symmetry": (None, sk.PolynomialLibrary(3), None),
    "a function of d": (sk.permutations, sk.PolynomialLibrary(2), None),
    "sheared": (
        sk.so(2).on_columns([0, 1], 3).in_units_of(np.zeros(3), np.array([1.0, 7.0, 1.0])),
        sk.PolynomialLibrary(3),
        sk.vector,
    ),
    "radial": (sk.so(3), sk.RadialLibrary(), sk.vector),
    "radial, some columns": (
        sk.so(2).on_columns([0, 2], 3),
        sk.RadialLibrary(columns=[2, 0]),
        sk.columns(0, 2),
    ),
    "Fourier": (sk.translations(3).combine([[1, -1, 0]]), sk.FourierLibrary(1), None),
    "given place": (sk.so(3), sk.PolynomialLibrary(3, center=0.0, scale=8.0), sk.vector),
    "some columns": (sk.so(2).on_columns([0, 1], 3), sk.PolynomialLibrary(3, columns=[0, 2]), None),
    "array": (sk.so(3), sk.PolynomialLibrary(2), sk.so(3).linear),
    "transformer": (sk.so(3), PLAIN, sk.vector),
    "transformer, invariant": (sk.so(3), PLAIN, None),
    "not closed": (sk.so(2).on_columns([0, 1], 3), sk.FourierLibrary(1), None),
}
models = pytest.mark.parametrize(
    ("symmetry", "library", "output"), MODELS.values(), ids=list(MODELS)
)


def samples(rng, output, n=100):
    X = rng.normal([1, 2, 3], size=(n, 3))
    q = 2 if output is not None and output is MODELS["radial, some columns"][2] else 3
    return X, rng.normal(size=(n, q)), rng.uniform(0.1, 3, size=n)


PLACES = {
    "alike": lambda X: X,
    "far apart": lambda X: X + 30 * (np.arange(len(X)) >= 40)[:, None],
    "of other size": lambda X: X * np.where(np.arange(len(X)) < 40, 1e3, 1.0)[:, None],
    "each constant": lambda X: np.where((np.arange(len(X)) < 40)[:, None], X[0], X[50]),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
@pytest.mark.parametrize("alpha", [1e-3, 10.0])
@models
def test_merging_is_fitting_all_rows(symmetry, library, output, alpha, place, rng):
    X, Y, weight = samples(rng, output)
    X = place(X)
    weight[::7] = 0
    model = sk.SymmetricRidge(symmetry, library=library, output=output, alpha=alpha)
    whole = clone(model).fit(X, Y, weight)
    first = clone(model).fit(X[:40], Y[:40], weight[:40])
    second = clone(model).set_params(alpha=7.0).fit(X[40:], Y[40:], weight[40:])
    before = second.coef_.copy()
    merged = copy.deepcopy(first).merge(second)
    # Derivatives by differences are accurate to 1e-8 only, and so is the space of functions.
    atol = max(1e-10, 10 * whole.library_.jacobian_rtol_)
    F = whole.predict(X)
    assert_allclose(merged.predict(X), F, atol=atol * np.abs(F).max())
    if whole.library_.jacobian_rtol_ == 0:
        assert_allclose(merged.coef_, whole.coef_, atol=1e-10 * np.abs(whole.coef_).max())
    assert merged.n_samples_seen_ == whole.n_samples_seen_ == np.count_nonzero(weight)
    assert merged.n_free_ == whole.n_free_
    assert merged.equivariance_error(X) < max(1e-10, atol)
    assert merged.coef_.shape == whole.coef_.shape
    assert_array_equal(second.coef_, before)
    assert second.n_samples_seen_ == np.count_nonzero(weight[40:])
    basis = merged.basis_
    assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-10)


@models
def test_any_grouping_of_any_number_of_models(symmetry, library, output, rng):
    X, Y, weight = samples(rng, output)
    model = sk.SymmetricRidge(symmetry, library=library, output=output, alpha=0.1)
    whole = clone(model).fit(X, Y, weight)
    a, b, c, d = (
        clone(model).fit(X[rows], Y[rows], weight[rows]) for rows in np.array_split(range(100), 4)
    )
    left = copy.deepcopy(a).merge(b).merge(c).merge(d)
    pairs = copy.deepcopy(d).merge(b).merge(copy.deepcopy(c).merge(a))
    F = whole.predict(X)
    atol = max(1e-10, 10 * whole.library_.jacobian_rtol_) * np.abs(F).max()
    for merged in (left, pairs):
        assert_allclose(merged.predict(X), F, atol=atol)
        assert merged.n_samples_seen_ == 100


def test_merging_goes_on_with_chunks(rng):
    X, Y, weight = samples(rng, sk.vector)
    model = sk.SymmetricRidge(sk.so(3), library=sk.PolynomialLibrary(3), output=sk.vector)
    whole = clone(model).fit(X, Y, weight)
    first = clone(model).partial_fit(X[:20], Y[:20], weight[:20])
    first.partial_fit(X[20:40], Y[20:40], weight[20:40])
    second = clone(model).fit(X[40:60], Y[40:60], weight[40:60])
    first.merge(second).partial_fit(X[60:], Y[60:], weight[60:])
    assert_allclose(first.coef_, whole.coef_, atol=1e-10 * np.abs(whole.coef_).max())


def test_one_target_stays_one_target(rng):
    X, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    halves = [
        sk.SymmetricRidge(sk.so(3)).fit(X[rows], y[rows]) for rows in (slice(30), slice(30, 60))
    ]
    merged = halves[0].merge(halves[1])
    whole = sk.SymmetricRidge(sk.so(3)).fit(X, y)
    assert merged.coef_.shape == (10,)
    assert_allclose(merged.coef_, whole.coef_, rtol=1e-10)
    assert merged.predict(X).shape == (60,)


def test_alpha_is_one_s_own(rng):
    X, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    first = sk.SymmetricRidge(sk.so(3), alpha=5.0).fit(X[:30], y[:30])
    second = sk.SymmetricRidge(sk.so(3), alpha=0.0).fit(X[30:], y[30:])
    first.set_params(alpha=0.5).merge(second)
    whole = sk.SymmetricRidge(sk.so(3), alpha=0.5).fit(X, y)
    assert_allclose(first.coef_, whole.coef_, rtol=1e-10)
    first.set_params(alpha=-1.0)
    with pytest.raises(ValueError, match="alpha"):
        first.merge(second)


def test_dtypes_are_the_wider_one(rng):
    X, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    single = sk.SymmetricRidge(sk.so(3)).fit(X[:30].astype(np.float32), y[:30])
    double = sk.SymmetricRidge(sk.so(3)).fit(X[30:], y[30:])
    assert copy.deepcopy(single).merge(single).coef_.dtype == np.float32
    assert copy.deepcopy(single).merge(double).coef_.dtype == np.float64
    assert copy.deepcopy(double).merge(single).coef_.dtype == np.float64


def with_names(X, names):
    return pd.DataFrame(X, columns=names)


def same(**changes):
    """A model of the standard problem, with some parameters changed."""
    params = {"library": sk.PolynomialLibrary(2), "output": sk.vector} | changes
    return sk.SymmetricRidge(params.pop("symmetry", sk.so(3)), **params)


DIFFERENT = {
    "symmetry": (same(symmetry=sk.so(3).combine(2 * np.eye(3))), None, "`symmetry` differ"),
    "elements": (same(symmetry=sk.so(3) + sk.reflections(3)), None, "`symmetry` differ"),
    "no symmetry": (same(symmetry=None, output=None), None, "`symmetry`, `output` differ"),
    "library": (same(library=sk.PolynomialLibrary(3)), None, "`library` differ"),
    "kind of library": (same(library=sk.RadialLibrary()), None, "`library` differ"),
    "columns": (same(library=sk.PolynomialLibrary(columns=[0, 1, 2])), None, "`library` differ"),
    "output": (same(output=sk.covector), None, "`output` differ"),
    "rtol": (same(rtol=1e-9), None, "`rtol` differ"),
    "two things": (same(output=None, rtol=1e-9), None, "`output`, `rtol` differ"),
    "names": (same(), lambda X, Y: (with_names(X, list("abc")), Y), "the features of X differ"),
}


@pytest.mark.parametrize(("other", "change", "message"), DIFFERENT.values(), ids=list(DIFFERENT))
def test_models_of_other_problems_are_refused(other, change, message, rng):
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    model = same().fit(X, Y)
    before = model.coef_.copy()
    other.fit(*((X, Y) if change is None else change(X, Y)))
    for first, second in ((model, other), (other, model)):
        with pytest.raises(ValueError, match=rf"cannot be merged: {message}"):
            first.merge(second)
    assert_array_equal(model.coef_, before)
    assert model.n_samples_seen_ == 30


@pytest.mark.parametrize("shape", [(30, 1), (30, 2), (30,)])
def test_other_outputs_are_refused(shape, rng):
    X = rng.normal(size=(30, 3))
    model = sk.SymmetricRidge(sk.so(3)).fit(X, rng.normal(size=(30, 3)))
    other = sk.SymmetricRidge(sk.so(3)).fit(X, rng.normal(size=shape))
    with pytest.raises(ValueError, match="the outputs of y differ"):
        model.merge(other)


def test_other_features_are_refused(rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    model = sk.SymmetricRidge(sk.so).fit(X, y)
    with pytest.raises(ValueError, match="the features of X differ"):
        model.merge(sk.SymmetricRidge(sk.so).fit(X[:, :2], y))


def test_what_is_no_fitted_model_is_refused(rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    model = sk.SymmetricRidge(sk.so(3)).fit(X, y)
    with pytest.raises(NotFittedError):
        model.merge(sk.SymmetricRidge(sk.so(3)))
    with pytest.raises(NotFittedError):
        sk.SymmetricRidge(sk.so(3)).merge(model)
    for other in (3, sk.PolynomialLibrary(), sk.SymmetricRidgeCV(sk.so(3)).fit(X, y)):
        with pytest.raises(TypeError, match="must be a fitted SymmetricRidge"):
            model.merge(other)


def splines(**params):
    return sk.from_transformer(SplineTransformer(n_knots=4, extrapolation="continue", **params))


def test_functions_fitted_to_other_rows_are_refused(rng):
    X, y = rng.normal(size=(60, 1)), rng.normal(size=60)
    first, second = (
        sk.SymmetricRidge(library=splines()).fit(X[rows], y[rows])
        for rows in (slice(30), slice(30, 60))
    )
    before = first.coef_.copy()
    with pytest.raises(ValueError, match=r"different functions.*partial_fit"):
        first.merge(second)
    assert_array_equal(first.coef_, before)
    knots = np.linspace(-3, 3, 4)[:, None]
    first, second, whole = (
        sk.SymmetricRidge(library=splines(knots=knots)).fit(X[rows], y[rows])
        for rows in (slice(30), slice(30, 60), slice(60))
    )
    assert_allclose(first.merge(second).coef_, whole.coef_, atol=1e-10)


def test_symmetric_functions_found_at_other_points_are_refused_where_they_differ(rng):
    """Splines with given knots are the same functions, but hardly invariant anywhere."""
    X, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    knots = np.linspace([-3, -3], [3, 3], 4)
    model = sk.SymmetricRidge(sk.permutations(2), library=splines(knots=knots), alpha=0.1)
    first, second, whole = (
        clone(model).fit(X[rows], y[rows]) for rows in (slice(30), slice(30, 60), slice(60))
    )
    assert_allclose(first.merge(second).predict(X), whole.predict(X), atol=1e-8)


# --- copies and pickles ---------------------------------------------------------------------------


def pickled(model):
    return pickle.loads(pickle.dumps(model))


def makes_so(d, scale):
    return sk.so(d).combine(scale * np.eye(d * (d - 1) // 2))


class Maker:
    """A callable of one's own."""

    def __init__(self, k):
        self.k = k

    def __call__(self, d):
        return sk.so(self.k).on_columns(range(self.k), d)


KINDS = {
    "array": same(output=sk.so(3).linear.copy()),
    "representation": same(output=sk.tensor(sk.vector, sk.trivial(1))),
    "function": same(symmetry=sk.so),
    "partial": same(symmetry=partial(makes_so, scale=2.0)),
    "callable": same(symmetry=Maker(3)),
    "group": same(symmetry=sk.so(3) + sk.reflections(3)),
    "center": same(library=sk.PolynomialLibrary(2, center=np.zeros(3), scale=[2.0, 2.0, 2.0])),
    "box": same(library=sk.PolynomialLibrary(2, domain=(np.full(3, -9.0), 9.0))),
    "radial": same(library=sk.RadialLibrary((-3, -1, 1))),
    "transformer": same(library=sk.from_transformer(PolynomialFeatures(2))),
    "ufunc": same(
        library=sk.from_transformer(FunctionTransformer(np.arctan)), symmetry=None, output=None
    ),
}


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, pickled, copy.copy], ids=["deep", "pickle", "shallow"]
)
@pytest.mark.parametrize("model", KINDS.values(), ids=list(KINDS))
def test_copies_go_on(model, copied, rng):
    X, Y = rng.normal(size=(60, 3)), rng.normal(size=(60, 3))
    model = clone(model).fit(X[:20], Y[:20])
    again = copied(model)
    assert_array_equal(again.coef_, model.coef_)
    again.partial_fit(X[20:40], Y[20:40])
    expected = clone(model).fit(X[:20], Y[:20]).partial_fit(X[20:40], Y[20:40])
    assert_allclose(again.coef_, expected.coef_, atol=1e-12)
    other = copied(clone(model).fit(X[40:], Y[40:]))
    again.merge(other)
    whole = clone(model).fit(X, Y)
    F = whole.predict(X)
    atol = max(1e-10, 10 * whole.library_.jacobian_rtol_)
    assert_allclose(again.predict(X), F, atol=atol * np.abs(F).max())
    assert model.n_samples_seen_ == 20


@pytest.mark.parametrize("name", ["output", "center", "list"])
def test_a_change_in_place_is_noticed(name, rng):
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    array = {"output": sk.so(3).linear.copy(), "center": np.zeros(3), "list": [0.0, 0.0, 0.0]}[name]
    if name == "output":
        model = same(output=array)
    else:
        model = same(library=sk.PolynomialLibrary(2, center=array))
    model.fit(X, Y)
    before = model.coef_.copy()
    if name == "output":
        array *= 2
    else:
        array[0] = 1.0
    with pytest.raises(ValueError, match="has changed since"):
        model.partial_fit(X, Y)
    with pytest.raises(ValueError, match="has changed since"):
        model.merge(model)
    assert_array_equal(model.coef_, before)
    if name == "output":
        array /= 2
    else:
        array[0] = 0.0
    assert model.partial_fit(X, Y).n_samples_seen_ == 60
