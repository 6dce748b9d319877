"""Symmetries of class labels: log odds, their errors, evidence, and what is refused."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import subspace_angles
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import PolynomialFeatures

from sksym import PolynomialLibrary, SymmetryDiscoverer, aff, gl, lorentz, so, vector
from sksym.discover.labels import degree_for_labels, read_labels
from sksym.discover.log_odds import LEAST_MARGIN, PENALTY, LogisticEstimate
from sksym.evidence import FunctionSamples


def sphere(X):
    return np.sum(X**2, axis=1) - 2


def interval(X):
    return X[:, 1] ** 2 + X[:, 2] ** 2 - X[:, 0] ** 2


def generic(X):
    """Quadratic and cubic terms without a symmetry in common."""
    features = PolynomialFeatures(3).fit_transform(X)
    values = features @ np.random.default_rng(1003).normal(size=features.shape[1])
    return 2.5 * (values - values.mean()) / values.std()


def labelled(log_odds, n, seed, names=("no", "yes"), d=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    is_second = rng.logistic(size=n) < log_odds(X)
    return X, np.asarray(names)[is_second.astype(int)]


def three_classes(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    F = sphere(X)
    log_odds = np.column_stack([0 * F, F, 2 * F - 2])
    utility = log_odds + rng.gumbel(size=log_odds.shape)
    return X, np.array(["a", "b", "c"])[utility.argmax(axis=1)]


# ---------------------------------------------------------------------------------- what is found


@pytest.mark.parametrize(
    ("log_odds", "true"), [(sphere, so(3)), (interval, lorentz(2))], ids=["sphere", "interval"]
)
def test_symmetries_of_the_probabilities_of_two_classes(log_odds, true):
    n_right = 0
    for seed in range(5):
        model = SymmetryDiscoverer(random_state=0).fit(*labelled(log_odds, 500, seed))
        assert model.method_ == "labels"
        if model.n_symmetries_ == true.dim:
            n_right += 1
    assert n_right >= 4
    # With more samples the algebra itself, in exact numbers.
    model = SymmetryDiscoverer(gl, random_state=0).fit(*labelled(log_odds, 4000, 0))
    angles = subspace_angles(model.algebra_.flat().T, true.flat().T)
    assert model.n_symmetries_ == true.dim
    assert angles.max() < 1e-10


def test_none_where_the_log_odds_have_none():
    for seed in range(5):
        assert (
            not SymmetryDiscoverer(random_state=0).fit(*labelled(generic, 500, seed)).n_symmetries_
        )


def coins(X):
    return np.zeros(len(X))


def weakly_broken(X):
    """No symmetry, but 500 labels hardly tell it from functions that have some."""
    x, y, z = X.T
    return x**3 + x * y * z + z**3 + 0.5 * x * z**2 + x


@pytest.mark.parametrize("log_odds", [coins, weakly_broken])
def test_nothing_is_invented_from_few_labels(log_odds):
    for seed in range(3):
        model = SymmetryDiscoverer(random_state=0).fit(*labelled(log_odds, 500, seed))
        assert not model.n_symmetries_


def test_symmetries_of_three_classes():
    X, y = three_classes(1000, 0)
    model = SymmetryDiscoverer(random_state=0).fit(X, y)
    assert model.n_symmetries_ == 3
    assert_array_equal(model.classes_, ["a", "b", "c"])
    assert model.coef_.shape == (3, model.library_.n_output_features_)
    assert model.representation_.shape == (3, 3, 3)
    assert_allclose(model.coef_.sum(axis=0), 0, atol=1e-8)
    p = model.predict_proba(X[:50])
    assert p.shape == (50, 3)
    assert_allclose(p.sum(axis=1), 1)
    assert_array_equal(model.predict(X[:50]), model.classes_[p.argmax(axis=1)])


def test_probabilities_are_those_of_logistic_regression():
    X, y = labelled(sphere, 400, 0)
    model = SymmetryDiscoverer(so, library=PolynomialLibrary(2))
    model.fit(X, y, sample_weight=np.full(400, 1e3))  # the prior counts for nothing
    features = PolynomialFeatures(2)
    own = LogisticRegression(C=1e6, tol=1e-10, max_iter=10_000, fit_intercept=False)
    own.fit(features.fit_transform(X), y)
    assert_allclose(
        model.predict_proba(X), own.predict_proba(features.transform(X)), rtol=1e-3, atol=1e-4
    )
    assert_array_equal(model.classes_, own.classes_)
    # Log odds of the second class.
    odds = model.library_.transform(X) @ model.coef_
    assert_allclose(1 / (1 + np.exp(-odds)), model.predict_proba(X)[:, 1])


@pytest.mark.parametrize(
    "names", [(0, 1), (-1, 1), (0.0, 1.0), (False, True), ("no", "yes"), (7, 3)], ids=str
)
def test_names_of_the_classes_do_not_matter(names):
    X, y = labelled(sphere, 300, 0, names)
    model = SymmetryDiscoverer(so, library=PolynomialLibrary(3)).fit(X, y)
    X, strings = labelled(sphere, 300, 0)
    other = SymmetryDiscoverer(so, library=PolynomialLibrary(3)).fit(X, strings)
    assert model.method_ == "labels"
    assert_allclose(model.singular_values_, other.singular_values_, rtol=1e-6)
    assert set(model.predict(X)) <= set(names)
    assert np.mean(model.predict(X) == y) == np.mean(other.predict(X) == strings)


def test_order_of_the_classes_does_not_matter():
    X, y = three_classes(400, 0)
    library = PolynomialLibrary(2)
    first = SymmetryDiscoverer(gl, library=library).fit(X, y)
    renamed = np.array([{"a": "z", "b": "b", "c": "y"}[label] for label in y])
    second = SymmetryDiscoverer(gl, library=library).fit(X, renamed)
    assert_allclose(first.singular_values_, second.singular_values_, rtol=1e-6, atol=1e-9)


def test_weights_repeat_samples():
    X, y = labelled(sphere, 600, 0)
    weight = np.random.default_rng(0).integers(0, 3, 600)
    model = SymmetryDiscoverer(so, random_state=0).fit(X, y, sample_weight=weight)
    X_repeated = np.repeat(X, weight, axis=0)
    repeated = SymmetryDiscoverer(so, random_state=0).fit(X_repeated, np.repeat(y, weight))
    assert_allclose(model.singular_values_, repeated.singular_values_, rtol=1e-6)
    assert model.library_.degree == repeated.library_.degree
    assert model.n_symmetries_ == repeated.n_symmetries_


def test_a_class_without_weight_is_none():
    X, y = three_classes(400, 0)
    model = SymmetryDiscoverer(so, library=PolynomialLibrary(2))
    model.fit(X, y, sample_weight=(y != "b").astype(float))
    assert_array_equal(model.classes_, ["a", "c"])


def test_labels_are_forgotten_by_the_next_fit():
    X, y = labelled(sphere, 300, 0)
    model = SymmetryDiscoverer(so, library=PolynomialLibrary(2)).fit(X, y)
    assert hasattr(model, "predict_proba")
    model.fit(X, sphere(X))
    assert not hasattr(model, "classes_")
    assert not hasattr(model, "predict_proba")
    assert model.predict(X).dtype == float


# ------------------------------------------------------------------------------------ the estimate


@pytest.mark.parametrize("n_classes", [2, 3])
def test_covariance_is_the_inverse_curvature_of_the_log_likelihood(n_classes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    codes = rng.integers(0, n_classes, 200)
    weight = rng.uniform(0.5, 1.5, 200)
    library = PolynomialLibrary(1).fit(X)
    samples = FunctionSamples(library, so(2), None, X, X[:, :1], weight)
    estimate = LogisticEstimate.of(samples, codes, n_classes)
    labels = estimate.labels
    assert not labels.are_separable
    theta = (estimate.coef @ estimate.to_data).ravel()

    def loss(theta):
        values = labels.u @ theta.reshape(n_classes - 1, -1).T
        log_p = log_softmax(values @ labels.contrasts.T, axis=1)
        return -weight @ log_p[np.arange(200), codes] + PENALTY * theta @ theta / 2

    step = 1e-3 * np.eye(len(theta))
    curvature = [
        [
            loss(theta + a + b) - loss(theta + a - b) - loss(theta - a + b) + loss(theta - a - b)
            for b in step
        ]
        for a in step
    ]
    curvature = np.array(curvature) / 4e-6
    covariance = estimate.noise @ estimate.noise.T
    assert_allclose(covariance @ curvature, np.eye(len(theta)), atol=1e-4)
    assert_allclose(loss(theta), estimate.loss)
    assert np.isinf(estimate.dof)


def test_subspaces_cost_their_likelihood_ratio():
    X, y = labelled(sphere, 300, 0)
    codes = np.unique(y, return_inverse=True)[1]
    library = PolynomialLibrary(2, center=0.0, scale=1.0).fit(X)
    samples = FunctionSamples(library, so(3), None, X, X[:, :1], np.ones(300))
    estimate = LogisticEstimate.of(samples, codes, 2)
    p = library.n_output_features_
    assert estimate.deviance(np.eye(p)) == (pytest.approx(0, abs=1e-6), p)
    miss, rank = estimate.deviance(np.eye(p)[:1])  # constants only

    def loss(c):
        own = np.where(codes, c, -c)
        return np.logaddexp(0, -own).sum() + PENALTY * c**2 / 2

    assert rank == 1
    constant = minimize_scalar(loss, bounds=(-5, 5), options={"xatol": 1e-9})
    assert_allclose(miss, 2 * (constant.fun - estimate.loss), rtol=1e-6)
    share = np.mean(codes)
    entropy = -300 * (share * np.log(share) + (1 - share) * np.log(1 - share))
    assert_allclose(estimate.labels.loss_of_shares, entropy)


def estimate_of(log_odds, n, degree, seed=0):
    X, y = labelled(log_odds, n, seed)
    codes = np.unique(y, return_inverse=True)[1]
    library = PolynomialLibrary(degree, center=0.0, scale=1.0).fit(X)
    samples = FunctionSamples(library, so(3), None, X, X[:, :1], np.ones(n))
    return LogisticEstimate.of(samples, codes, 2), samples


def test_margin_is_a_ratio_of_likelihoods_under_priors_as_wide_as_the_signal():
    estimate, _ = estimate_of(sphere, 300, 2)
    estimate = replace(estimate, smaller=())
    explained = 2 * (estimate.labels.loss_of_shares - estimate.loss)
    m = estimate.rank - 1

    def evidence(D, m):
        def negative(log_g):
            g = np.exp(log_g)
            return m * np.log1p(g) - D * g / (1 + g)

        return -minimize_scalar(negative, bounds=(-10, 10), options={"xatol": 1e-8}).fun

    for miss, t in ((3.0, 2), (20.0, 5), (50.0, 8)):
        margin = evidence(explained - miss, m - t) - evidence(explained, m)
        assert_allclose(estimate.margin(miss, t), margin, rtol=1e-6)
        judged = estimate.judge(miss, t)[1]
        assert np.isinf(judged) == (margin < LEAST_MARGIN)
    # What explains nothing is no evidence.
    assert estimate.margin(explained, 8) <= 0


def test_symmetries_are_tested_where_nothing_else_is_fitted():
    """An ellipsoid's quadratic terms break so(3), the cubic terms of the library only hide it."""
    estimate, samples = estimate_of(lambda X: sphere(X) + X[:, 0] ** 2 / 2, 1000, 3)
    basis = samples.symmetric_functions(np.eye(3))
    miss, rank = estimate.deviance(basis)
    omnibus = chi2.sf(miss, estimate.rank - rank)
    assert estimate.test(basis).p_value < omnibus / 2
    true, samples = estimate_of(sphere, 1000, 3)
    test = true.test(samples.symmetric_functions(np.eye(3)))
    assert test.p_value > 0.01
    assert test.margin > LEAST_MARGIN


@pytest.mark.parametrize("seed", range(3))
def test_the_degree_grows_until_the_highest_terms_are_not_needed(seed):
    X, y = labelled(weakly_broken, 500, seed)
    codes = np.unique(y, return_inverse=True)[1]
    weight = np.ones(500)
    rng = np.random.RandomState(0)
    degree = degree_for_labels(so(3), X, codes, 2, weight, rng)
    library = PolynomialLibrary(degree).fit(X)
    samples = FunctionSamples(library, so(3), None, X, X[:, :1], weight)
    estimate = LogisticEstimate.of(samples, codes, 2)
    is_lower = library.monomials_.exponents.sum(axis=1) < degree
    miss, rank = estimate.deviance(np.eye(len(is_lower))[is_lower])
    assert degree > 3
    assert chi2.sf(miss, estimate.rank - rank) >= 0.05


# ------------------------------------------------------------------------------- what is no label


def test_numbers_stay_numbers():
    rng = np.random.default_rng(0)
    for y in (
        rng.normal(size=60),
        rng.integers(0, 5, 60).astype(float),
        rng.integers(0, 100, 60),
        np.arange(4) % 2,  # too few
        rng.integers(0, 2, (60, 2)),
        np.ones(60),
        rng.normal(size=60).astype(object),
    ):
        classes, same = read_labels(y)
        assert classes is None
        assert same is y
    for y in (
        rng.integers(0, 3, 60),
        rng.integers(0, 3, 60).astype(object),
        list("ab") * 30,
        np.array(["a", "b"] * 30, dtype=object),
        np.array([True, False] * 30, dtype=object),
        [True, False] * 30,
        rng.integers(0, 2, (60, 1)),
    ):
        classes, codes = read_labels(y)
        assert_array_equal(np.asarray(y).ravel(), classes[codes])


def test_two_numbers_that_an_output_moves_are_numbers():
    X = np.random.default_rng(0).normal(size=(60, 1))
    model = SymmetryDiscoverer(aff, output=vector, library=PolynomialLibrary(2))
    model.fit(X, (X > 0).astype(int))
    assert model.method_ == "library"


def test_separable_classes_are_penalised_and_say_so():
    X, _ = labelled(sphere, 200, 0)
    y = np.where(sphere(X) > 0, "out", "in")
    model = SymmetryDiscoverer(gl, library=PolynomialLibrary(2))
    with pytest.warns(UserWarning, match="separates the classes"):
        model.fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert np.mean(model.predict(X) == y) == 1
    p = model.predict_proba(np.vstack([X, 1e3 * X]))
    assert np.isfinite(p).all()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 30, "labels of 1 class"),
        ([f"label {i}" for i in range(30)], "30 classes in 30 samples"),
        (["a", None] * 15, "mixes labels with None at sample 1"),
        (["a", np.nan] * 15, "mixes labels with nan"),
        (["a", 1] * 15 + ["a"], "inconsistent|mixes"),
        (["a", "b"] * 10, "inconsistent"),
    ],
    ids=["one class", "as many as samples", "None", "NaN", "mixed", "too few"],
)
def test_labels_that_are_refused(y, message):
    X = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(ValueError, match=message):
        SymmetryDiscoverer().fit(X, np.array(y, dtype=object))


def test_an_output_of_labels_is_refused():
    X, y = labelled(sphere, 30, 0)
    with pytest.raises(ValueError, match="leave `output` out"):
        SymmetryDiscoverer(output=vector).fit(X, y)


def test_unequal_errors_of_labels_are_refused():
    X, y = labelled(sphere, 60, 0)
    with pytest.raises(ValueError, match=r"labels of 2 classes.*robust=True.*leave it at 'auto'"):
        SymmetryDiscoverer(robust=True).fit(X, y)
    models = [
        SymmetryDiscoverer(so, library=PolynomialLibrary(2), robust=robust).fit(X, y)
        for robust in ("auto", False, np.False_)
    ]
    for model in models[1:]:
        assert_array_equal(model.coef_, models[0].coef_)


def test_functions_that_vanish_on_the_data():
    """On a circle the library holds functions that the data do not tell apart."""
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 400)
    X = np.column_stack([np.cos(angle), np.sin(angle)])
    y = np.random.default_rng(1).logistic(size=400) < 2 * X[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SymmetryDiscoverer(so, library=PolynomialLibrary(2)).fit(X, y)
    assert not model.n_symmetries_
    assert np.abs(model.coef_).max() < 20
