"""Logistic regression with a symmetry: the objective, invariance, permuted classes, labels, C."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sksym as sk
from sksym import InvariantFeatures, SymmetricLogisticRegression, SymmetricLogisticRegressionCV
from sksym.enforce.logits import SoftmaxLoss
from sksym.groups import FiniteGroup
from sksym.testing import assert_symmetric

QUARTIC = sk.PolynomialLibrary(4)
SHELLS = np.array(["inside", "middle", "outside"])


@pytest.fixture
def X(rng):
    return rng.normal(size=(150, 3))


def shells(X, rng):
    """Three noisy classes of the distance from the origin."""
    distance = np.linalg.norm(X, axis=1) + 0.2 * rng.normal(size=len(X))
    return SHELLS[np.digitize(distance, [1.2, 1.9])]


def halves(X, rng):
    return np.where((X**2).sum(axis=1) + 0.5 * rng.normal(size=len(X)) > 2, "far", "near")


LABELS = pytest.mark.parametrize("labels", [halves, shells])
SYMMETRIES = {
    "rotations": (sk.so(3), QUARTIC),
    "rotations about an axis, and a mirror": (
        sk.so(2).on_columns([0, 1], 3) + sk.reflections(3).take([2]),
        sk.PolynomialLibrary(3),
    ),
    "permutations": (sk.permutations(3), sk.PolynomialLibrary(3, center=0.0)),
    "central functions": (sk.so(3), sk.RadialLibrary((-1, 1, 2), 0)),
    "none": (None, sk.PolynomialLibrary(2)),
}


# ---------------------------------------------------------------------------------- the objective


@LABELS
@pytest.mark.parametrize(
    ("symmetry", "library"),
    [SYMMETRIES[name] for name in ("rotations", "permutations", "none")],
    ids=["rotations", "permutations", "none"],
)
def test_it_is_logistic_regression_on_standardised_invariants(symmetry, library, labels, X, rng):
    y = labels(X, rng)
    model = SymmetricLogisticRegression(symmetry, library=library, C=3.0, tol=1e-10).fit(X, y)
    plain = make_pipeline(
        InvariantFeatures(symmetry, library=library),
        StandardScaler(),
        LogisticRegression(C=3.0, tol=1e-10, solver="newton-cholesky"),
    ).fit(X, y)
    if symmetry is None:  # other coordinates of the same functions have another norm
        plain.set_params(invariantfeatures=model.library_).fit(X, y)
    assert_allclose(model.predict_proba(X), plain.predict_proba(X), atol=1e-8)
    assert_array_equal(model.predict(X), plain.predict(X))
    assert_array_equal(model.classes_, plain.classes_)


@LABELS
def test_logits_are_coefficients_in_the_library(labels, X, rng):
    y = labels(X, rng)
    model = SymmetricLogisticRegression(sk.so, library=QUARTIC).fit(X, y)
    logits = model.library_.transform(X) @ model.coef_.T + model.intercept_
    values = model.decision_function(X)
    assert_allclose(values if values.ndim == 2 else values[:, None], logits, atol=1e-12)
    p = model.predict_proba(X)
    if len(model.classes_) == 2:
        assert_allclose(np.log(p[:, 1] / p[:, 0]), values, atol=1e-10)
    else:
        assert_allclose(np.log(p) - np.log(p[:, :1]), values - values[:, :1], atol=1e-10)
    assert_allclose(np.log(p), model.predict_log_proba(X), atol=1e-12)
    assert_allclose(p.sum(axis=1), 1)
    assert_array_equal(model.predict(X), model.classes_[p.argmax(axis=1)])


@pytest.mark.parametrize("output", [None, [[2, 1, 0]]], ids=["invariant", "permuted"])
def test_weights_are_repetitions(output, X, rng):
    point = FiniteGroup([-np.eye(3)])
    y = SHELLS[np.digitize(X[:, 0], [-0.5, 0.5])]
    weight = rng.integers(0, 4, len(X))
    model = SymmetricLogisticRegression(point, library=sk.PolynomialLibrary(1), output=output)
    if output is None:
        model.set_params(library=sk.PolynomialLibrary(2))
    weighted = model.fit(X, y, sample_weight=weight).predict_proba(X)
    repeated = model.fit(X.repeat(weight, axis=0), y.repeat(weight)).predict_proba(X)
    assert_allclose(weighted, repeated, atol=1e-9)


def test_rows_of_weight_zero_count_for_nothing(X, rng):
    """Wherever they are, and of whatever class."""
    y = halves(X, rng)
    folds = list(StratifiedKFold(3).split(X, y))
    model = SymmetricLogisticRegressionCV(sk.so, Cs=[0.1, 10.0], cv=folds)
    expected = model.fit(X, y).predict_proba(X)
    more = np.concatenate([X, [[1e9, 0, 0], [0, -1e9, 0]]])
    labels = np.concatenate([y, ["nowhere", "far"]])
    weight = np.ones(len(more))
    weight[-2:] = 0
    model.set_params(cv=[([*train, 150], [*test, 151]) for train, test in folds])
    model.fit(more, labels, sample_weight=weight)
    assert_array_equal(model.classes_, ["far", "near"])
    assert_allclose(model.predict_proba(X), expected, rtol=1e-12)


@pytest.mark.parametrize("class_weight", ["balanced", {"far": 3.0, "near": 0.5}])
def test_class_weights_are_sample_weights(class_weight, X, rng):
    y = halves(X, rng)
    weighted = SymmetricLogisticRegression(sk.so, class_weight=class_weight).fit(X, y)
    if class_weight == "balanced":
        share = {label: np.mean(y == label) for label in ("far", "near")}
        class_weight = {label: 0.5 / share[label] for label in share}
    weight = np.array([class_weight[label] for label in y])
    # Standardised with the weights of samples, so that only the loss is weighted here.
    model = SymmetricLogisticRegression(sk.so, C=np.inf).fit(X, y, sample_weight=weight)
    weighted.set_params(C=np.inf).fit(X, y)
    assert_allclose(model.predict_proba(X), weighted.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("name", ["rotations", "permutations", "none"])
def test_c_means_the_same_in_all_units(name, X, rng):
    symmetry, library = SYMMETRIES[name]
    y = halves(X, rng)
    model = SymmetricLogisticRegression(symmetry, library=library, C=0.3)
    expected = model.fit(X, y).predict_proba(X)
    for unit in (1e-12, 1e6):
        p = model.fit(unit * X, y).predict_proba(unit * X)
        assert_allclose(p, expected, atol=1e-7)
    if symmetry is None:
        shifted = X + 1e3
        assert_allclose(model.fit(shifted, y).predict_proba(shifted), expected, atol=1e-5)


# ------------------------------------------------------------------------------------- invariance


INVARIANT = {name: row for name, row in SYMMETRIES.items() if name != "none"}


@LABELS
@pytest.mark.parametrize("kind", [SymmetricLogisticRegression, SymmetricLogisticRegressionCV])
@pytest.mark.parametrize(("symmetry", "library"), INVARIANT.values(), ids=list(INVARIANT))
def test_probabilities_are_invariant(symmetry, library, kind, labels, X, rng):
    model = kind(symmetry, library=library)
    if kind is SymmetricLogisticRegressionCV:
        model.set_params(Cs=3, cv=3)
    model.fit(X, labels(X, rng))
    assert_symmetric(model.predict_proba, X, symmetry, rtol=1e-10)
    assert model.equivariance_error(X) < 1e-12


def swap_of_halves(n_classes):
    """The point reflection, and what it does to classes ordered along x0."""
    images = [list(range(n_classes))[::-1]]
    return FiniteGroup([-np.eye(3)]), images


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_reflection_exchanges_classes(n_classes, X, rng):
    symmetry, images = swap_of_halves(n_classes)
    edges = [0.0] if n_classes == 2 else [-0.5, 0.5]
    y = np.digitize(X[:, 0] + 0.3 * rng.normal(size=len(X)), edges)
    model = SymmetricLogisticRegression(symmetry, library=sk.PolynomialLibrary(3), output=images)
    p = model.fit(X, y).predict_proba(X)
    assert_allclose(model.predict_proba(-X), p[:, ::-1], atol=1e-12)
    assert model.score(X, y) > 0.8
    assert model.coef_.shape == (1 if n_classes == 2 else 3, 20)
    cv = SymmetricLogisticRegressionCV(
        symmetry, library=sk.PolynomialLibrary(3), output=images, Cs=3, cv=3
    ).fit(X, y)
    assert_allclose(cv.predict_proba(-X), cv.predict_proba(X)[:, ::-1], atol=1e-12)


def test_permuted_sensors_permute_the_classes(X, rng):
    """Which of three is the largest: class i belongs to coordinate i."""
    y = np.argmax(X + 0.1 * rng.normal(size=X.shape), axis=1)
    symmetry = sk.permutations(3)
    library = sk.PolynomialLibrary(2)
    model = SymmetricLogisticRegression(symmetry, library=library, output=sk.vector)
    model.fit(X, y)
    assert model.score(X, y) > 0.9
    p = model.predict_proba(X)
    for g in symmetry.closure(10):
        assert_allclose(model.predict_proba(X @ g.T), p @ g.T, atol=1e-12)
    assert_allclose(model.intercept_, model.intercept_[0], atol=1e-12)


def test_a_tied_fit_is_the_plain_fit_to_all_images(X, rng):
    """The symmetric mean of any fit to data and their images is no worse: the fit is symmetric."""
    symmetry, images = swap_of_halves(3)
    y = np.digitize(X[:, 0], [-0.4, 0.3])
    library = sk.PolynomialLibrary(3, center=0.0, scale=1.0)
    tied = SymmetricLogisticRegression(
        symmetry, library=library, output=images, C=np.inf, tol=1e-9
    ).fit(np.concatenate([X, X + 0.5]), np.concatenate([y, y[::-1]]))
    both = np.concatenate([X, X + 0.5])
    labels = np.concatenate([y, y[::-1]])
    phi = library.fit(X).transform(np.concatenate([both, -both]))
    plain = LogisticRegression(C=np.inf, tol=1e-9, solver="newton-cholesky")
    plain.fit(phi[:, 1:], np.concatenate([labels, 2 - labels]))
    expected = plain.predict_proba(library.transform(both)[:, 1:])
    assert_allclose(tied.predict_proba(both), expected, atol=1e-5)


def test_softmax_loss_has_its_derivatives_and_minimum(rng):
    loss = SoftmaxLoss(
        rng.normal(size=(40, 3, 4)),
        rng.integers(0, 3, 40),
        rng.uniform(0, 2, 40),
        np.array([1.0, 0.5, 0.1, 0.0]),
    )
    w = rng.normal(size=4)
    step = 1e-5 * np.eye(4)
    _, p = loss.value(w)
    slopes = [(loss.value(w + h)[0] - loss.value(w - h)[0]) / 2e-5 for h in step]
    assert_allclose(loss.gradient(w, p), slopes, rtol=1e-6, atol=1e-7)

    def gradient(w):
        return loss.gradient(w, loss.value(w)[1])

    curvature = [(gradient(w + h) - gradient(w - h)) / 2e-5 for h in step]
    assert_allclose(loss.hessian(p), curvature, rtol=1e-6, atol=1e-7)
    best, n_iter = loss.minimise(50, 1e-10)
    assert 0 < n_iter < 20
    assert_allclose(gradient(best), 0, atol=1e-8)
    with pytest.warns(ConvergenceWarning, match="after 1 iterations.*increase `max_iter`"):
        replace(loss, design=10 * loss.design).minimise(1, 1e-10)


# ----------------------------------------------------------------------------------------- labels


def test_formulas_name_columns_and_classes(X, rng):
    frame = pd.DataFrame(X, columns=["east", "north", "up"])
    model = SymmetricLogisticRegression(sk.so).fit(frame, halves(X, rng))
    (equation,) = model.equations()
    assert equation.startswith("logit(near) = -")
    assert "east^2" in equation
    assert "up^2" in equation
    size = float(equation.split("= -")[1].split()[0])
    constant = float(equation.split()[-1])
    logit = constant - size * (X**2).sum(axis=1)
    assert_allclose(logit, model.decision_function(frame), rtol=1e-3, atol=1e-3 * np.abs(constant))
    three = SymmetricLogisticRegression(sk.so).fit(frame, shells(X, rng)).equations()
    assert [text.split(" = ")[0] for text in three] == [f"logit({name})" for name in SHELLS]


@pytest.mark.parametrize("labels", [[True, False], [2.0, 7.0], ["é", "a"], [-1, 1]])
def test_any_two_labels(labels, X):
    y = np.asarray(labels)[(np.abs(X[:, 0]) > 0.6).astype(int)]
    model = SymmetricLogisticRegression(sk.reflections).fit(X, y)
    assert set(model.predict(X)) <= set(labels)
    assert model.score(X, y) > 0.8
    assert_array_equal(
        model.predict(X),
        SymmetricLogisticRegression(sk.reflections)
        .fit(X, pd.Series(y).astype("category"))
        .predict(X),
    )


def test_one_class_is_refused(X):
    for kind in (SymmetricLogisticRegression, SymmetricLogisticRegressionCV):
        with pytest.raises(ValueError, match=r"y holds one class, 'a'.*two classes or more"):
            kind(sk.so).fit(X, np.full(len(X), "a"))
    y = np.where(np.arange(len(X)) < 5, "a", "b")
    with pytest.raises(ValueError, match="one class, 'b'"):
        SymmetricLogisticRegression().fit(X, y, sample_weight=(y == "b").astype(float))


def test_numbers_are_no_classes(X):
    with pytest.raises(ValueError, match="continuous"):
        SymmetricLogisticRegression(sk.so).fit(X, X[:, 0])


def test_separable_classes_are_finite(X):
    y = (X**2).sum(axis=1) > 2
    for C in (1.0, 1e5):
        model = SymmetricLogisticRegression(sk.so, C=C, max_iter=1000).fit(X, y)
        assert np.isfinite(model.coef_).all()
        assert np.isfinite(model.predict_log_proba(X)).all()
        assert model.score(X, y) > 0.95
    assert model.score(X, y) == 1
    chosen = SymmetricLogisticRegressionCV(sk.so).fit(X, y)
    assert chosen.score(X, y) > 0.95


@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_a_class_for_every_sample(rng):
    X = rng.normal(size=(7, 3))
    model = SymmetricLogisticRegression(sk.so, C=1e4, library=QUARTIC).fit(X, list("abcdefg"))
    assert model.predict_proba(X).shape == (7, 7)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert model.coef_.shape == (7, 35)
    assert model.n_free_ == 14


@LABELS
def test_without_functions_only_shares_are_left(labels, X, rng):
    y = labels(X, rng)
    with pytest.warns(UserWarning, match="Nothing but constants"):
        model = SymmetricLogisticRegression(sk.translations, tol=1e-10).fit(X, y)
    shares = [np.mean(y == label) for label in model.classes_]
    assert_allclose(model.predict_proba(X[:2]), [shares, shares], atol=1e-8)
    assert not model.coef_.any()
    assert model.n_free_ == 0


def test_constant_and_repeated_columns(X, rng):
    y = halves(X, rng)
    padded = np.column_stack([X, np.full(len(X), 1e9), X[:, 0]])
    model = SymmetricLogisticRegression(C=10.0).fit(padded, y)
    assert np.isfinite(model.coef_).all()
    assert model.score(padded, y) > 0.85


def test_single_precision(X, rng):
    y = shells(X, rng)
    exact = SymmetricLogisticRegression(sk.so).fit(X, y)
    model = SymmetricLogisticRegression(sk.so).fit(X.astype(np.float32), y)
    assert model.coef_.dtype == model.intercept_.dtype == np.float32
    p = model.predict_proba(X.astype(np.float32))
    assert p.dtype == np.float32
    assert_allclose(p, exact.predict_proba(X), atol=1e-4)


# ------------------------------------------------------------------------------- cross-validation


def test_c_has_the_least_held_out_log_loss(X, rng):
    y = shells(X, rng)
    folds = list(StratifiedKFold(4).split(X, y))
    Cs = [0.01, 100.0, 1.0]
    model = SymmetricLogisticRegressionCV(sk.so, library=QUARTIC, Cs=Cs, cv=folds).fit(X, y)
    assert_array_equal(model.cv_results_["C"], Cs)
    z = StandardScaler().fit_transform(InvariantFeatures(sk.so, library=QUARTIC).fit_transform(X))
    expected = np.empty((3, 4))
    for a, C in enumerate(Cs):
        for k, (train, test) in enumerate(folds):
            plain = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-8)
            p = plain.fit(z[train], y[train]).predict_proba(z[test])
            expected[a, k] = log_loss(y[test], p, labels=plain.classes_)
    assert_allclose(model.cv_results_["log_loss"], expected, rtol=1e-4)
    assert_allclose(model.cv_results_["mean_test_loss"], model.cv_results_["log_loss"].mean(axis=1))
    best = np.argmin(model.cv_results_["mean_test_loss"])
    assert Cs[best] == model.C_
    assert model.best_score_ == -model.cv_results_["mean_test_loss"][best]
    same = SymmetricLogisticRegression(sk.so, library=QUARTIC, C=model.C_).fit(X, y)
    assert_array_equal(model.coef_, same.coef_)


def test_a_class_missing_from_a_fold(X, rng):
    y = shells(X, rng)
    y[0] = "rare"
    with pytest.warns(UserWarning, match="least populated"):
        model = SymmetricLogisticRegressionCV(sk.so, Cs=3, cv=3).fit(X, y)
    assert np.isfinite(model.cv_results_["log_loss"]).all()
    assert model.predict_proba(X).shape == (150, 4)
    one_class = [(np.flatnonzero(y == "inside"), np.flatnonzero(y != "inside"))]
    with pytest.raises(ValueError, match="fold 0 trains on hold one class"):
        SymmetricLogisticRegressionCV(sk.so, cv=one_class).fit(X, y)


def test_grid_search_over_degree_and_c(X, rng):
    search = GridSearchCV(
        SymmetricLogisticRegression(sk.so, library=sk.PolynomialLibrary()),
        {"library__degree": [2, 4], "C": [0.1, 10.0]},
        scoring="neg_log_loss",
        cv=3,
    ).fit(X, shells(X, rng))
    assert search.best_score_ > -0.9


# ----------------------------------------------------------------------------------------- errors

REFUSED = {
    "C": ({"C": 0}, "`C` must be a number > 0, got 0"),
    "C not a number": ({"C": np.nan}, "`C` must be a number > 0, got nan"),
    "tolerance": ({"tol": 0}, "`tol` must be a number between 0 and 1"),
    "iterations": ({"max_iter": 0}, "`max_iter` must be an integer >= 1"),
    "output alone": ({"symmetry": None, "output": sk.vector}, "but there is none"),
    "no permutation": ({"output": sk.vector}, "must permute the classes"),
    "text": ({"output": "swap"}, "list of the classes"),
    "two rows": (
        {"symmetry": FiniteGroup([-np.eye(3)]), "output": [[1, 0, 2], [0, 1, 2]]},
        "one row for each element",
    ),
    "not a permutation": (
        {"symmetry": FiniteGroup([-np.eye(3)]), "output": [[1, 1, 2]]},
        r"permutation of 0\.\.2",
    ),
    "wrong number": (
        {"symmetry": FiniteGroup([-np.eye(3)]), "output": [[1, 0]]},
        "moves 2 outputs, but y has 3",
    ),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=list(REFUSED))
def test_refused_options(options, message, X, rng):
    options = {"symmetry": sk.so(3), **options}
    with pytest.raises(ValueError, match=message):
        SymmetricLogisticRegression(**options).fit(X, shells(X, rng))


@pytest.mark.parametrize("Cs", [0, [], [1.0, -1.0], [[1.0]], "x"])
def test_refused_lists_of_penalties(Cs, X, rng):
    with pytest.raises(ValueError, match="`Cs` must be"):
        SymmetricLogisticRegressionCV(Cs=Cs).fit(X, halves(X, rng))
