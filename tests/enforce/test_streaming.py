"""partial_fit is fit."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from threadpoolctl import threadpool_limits

import sksym as sk
from fits import reference_coef

STREAMS = {
    "invariant": (sk.so(3), sk.PolynomialLibrary(4), None),
    "vector": (sk.so(3), sk.PolynomialLibrary(3), sk.vector),
    "no fixed point": (sk.se(2).on_columns([0, 2], 3), sk.PolynomialLibrary(3), None),
    "no symmetry": (None, sk.PolynomialLibrary(3), None),
    "some columns": (sk.so(2).on_columns([0, 1], 3), sk.PolynomialLibrary(3), sk.vector),
    "radial": (sk.so(3), sk.RadialLibrary(), sk.vector),
    "Fourier": (sk.translations(3).combine([[1, -1, 0]]), sk.FourierLibrary(1), None),
    "given place": (sk.so(3), sk.PolynomialLibrary(3, center=0.0, scale=8.0), sk.vector),
}


ORDERS = {
    "mixed": lambda X, t: X,
    "sorted": lambda X, t: X[np.argsort(X[:, 0])],
    "growing": lambda X, t: X * np.exp(14 * t - 7),
    "shrinking": lambda X, t: X * np.exp(7 - 14 * t),
    "drifting": lambda X, t: X + 30 * t,
    "jumping": lambda X, t: X + 20 * (t > 0.5),
    "constant at first": lambda X, t: np.where(t < 0.2, X[0], X),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize(("algebra", "library", "output"), STREAMS.values(), ids=list(STREAMS))
def test_partial_fit_is_fit(algebra, library, output, size, order, rng):
    X = ORDERS[order](rng.normal([1, 2, 3], size=(100, 3)), np.linspace(0, 1, 100)[:, None])
    Y = rng.normal(size=(100, 3))
    whole = sk.SymmetricRidge(algebra, library=library, output=output, alpha=1e-3).fit(X, Y)
    parts = clone(whole)
    for start in range(0, 100, size):
        parts.partial_fit(X[start : start + size], Y[start : start + size])
    assert_allclose(parts.coef_, whole.coef_, atol=1e-10 * np.abs(whole.coef_).max())
    assert parts.n_samples_seen_ == 100
    basis = parts.basis_
    assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-10)


def test_partial_fit_takes_weights(rng):
    X, y, weight = rng.normal(size=(50, 2)), rng.normal(size=50), rng.uniform(size=50)
    weight[::5] = 0
    whole, parts = sk.SymmetricRidge(sk.so(2)).fit(X, y, weight), sk.SymmetricRidge(sk.so(2))
    for rows in np.array_split(np.arange(50), 4):
        parts.partial_fit(X[rows], y[rows], weight[rows])
    assert parts.n_samples_seen_ == whole.n_samples_seen_ == 40
    assert_allclose(parts.coef_, whole.coef_, rtol=1e-10)


def test_chunks_that_count_for_nothing(rng):
    X, y, weight = rng.normal(size=(50, 2)), rng.normal(size=50), rng.uniform(size=50)
    weight[30:] = 0
    model = sk.SymmetricRidge(sk.so(2)).partial_fit(X[:30], y[:30], weight[:30])
    far = 1e6 * X[30:]
    with pytest.raises(ValueError, match="zero"):
        model.partial_fit(far, y[30:], weight[30:])
    rows = np.r_[30:50, 0:30]
    whole = sk.SymmetricRidge(sk.so(2)).fit(np.r_[far, X[:30]], y[rows], weight[rows])
    assert_array_equal(whole.library_.scale_, model.library_.scale_)
    assert_allclose(model.coef_, whole.coef_, rtol=1e-10)


def test_partial_fit_of_several_outputs_and_a_group(rng):
    X, Y = rng.normal(2, size=(60, 3)), rng.normal(size=(60, 2))
    whole = sk.SymmetricRidge(sk.permutations(3), library=sk.PolynomialLibrary(3), alpha=0.1)
    parts = clone(whole)
    for rows in np.array_split(np.arange(60), 7):
        parts.partial_fit(X[rows].astype(np.float32).astype(float), Y[rows])
    whole.fit(X.astype(np.float32), Y)
    assert_allclose(parts.predict(X), whole.predict(X), rtol=1e-5)
    single = X.astype(np.float32)
    assert parts.predict(single).dtype == np.float64
    assert whole.predict(single).dtype == np.float32


def test_fit_forgets_earlier_chunks(rng):
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    model = sk.SymmetricRidge(sk.so(2)).partial_fit(9 * X, y).fit(X, y)
    assert_array_equal(model.coef_, sk.SymmetricRidge(sk.so(2)).fit(X, y).coef_)
    assert model.n_samples_seen_ == 50


@pytest.mark.parametrize(
    "change", [{"library__degree": 4}, {"symmetry": None}, {"output": sk.vector}]
)
def test_partial_fit_does_not_ignore_another_space(change, rng):
    """Chunks cannot be moved to another space: say so, or begin anew; never go on silently."""
    X, Y = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    model = sk.SymmetricRidge(sk.so(3), library=sk.PolynomialLibrary(2)).fit(X, Y)
    before = model.predict(X)
    model.set_params(**change)
    assert_array_equal(model.predict(X), before)
    with pytest.raises(ValueError, match=r"partial_fit|earlier"):
        model.partial_fit(X, Y)
    assert_array_equal(model.predict(X), before)
    fresh = clone(model).fit(X, Y)
    assert_array_equal(model.fit(X, Y).predict(X), fresh.predict(X))


def test_partial_fit_follows_alpha(rng):
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    model = sk.SymmetricRidge(sk.so(3), alpha=10.0).partial_fit(X[:20], y[:20])
    model.set_params(alpha=0.1).partial_fit(X[20:], y[20:])
    assert_allclose(model.coef_, sk.SymmetricRidge(sk.so(3), alpha=0.1).fit(X, y).coef_, atol=1e-12)


def test_memory_does_not_grow_with_the_rows(rng):
    n, d = 60_000, 6
    X, y = rng.normal(size=(n, d)), rng.normal(size=n)
    model = sk.SymmetricRidge(sk.so(3).repeat(2), library=sk.PolynomialLibrary(4))
    model.fit(X[:50], y[:50])
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.4 * n * 210 * 8, "the library values alone would be n x 210"


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_matter(threads, rng):
    X, Y = rng.normal(size=(300, 4)), rng.normal(size=(300, 4))
    model = sk.SymmetricRidge(
        sk.so(4), library=sk.PolynomialLibrary(3), output=sk.vector, alpha=0.1
    )
    with threadpool_limits(threads):
        model.fit(X, Y)
    assert_allclose(model.coef_, reference_coef(model, X, Y, 0.1), atol=1e-11)
