"""Models that are not exact: their own error, classifiers, tensors."""

import contextlib
import sys
import types

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import subspace_angles
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sksym import LieAlgebra, SymmetryDiscoverer, aff, so
from sksym.discover.scores import log_odds_of
from sksym.discover.smooth_tests import SmoothTests


def two_of_three(X):
    return np.sqrt(1 + X[:, 0] ** 2 + X[:, 1] ** 2) + 0.3 * X[:, 2] ** 2


def network(**options):
    return MLPRegressor(hidden_layer_sizes=(32, 32), random_state=0, **options)


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 2))
    y = np.sqrt(1 + np.sum(X**2, axis=1))
    model = network(solver="lbfgs", max_iter=1500, max_fun=50_000).fit(X[:800], y[:800])
    assert model.score(X[800:], y[800:]) > 0.999
    return model, X[800:], y[800:]


def test_a_network_shows_the_symmetry_of_its_data(trained):
    model, X, y = trained
    found = SymmetryDiscoverer(estimator=FrozenEstimator(model), random_state=0).fit(X, y)
    assert found.n_symmetries_ == 1
    assert subspace_angles(found.algebra_.flat().T, so(2).flat().T).max() < 1e-9
    assert 0 < found.model_error_ < 0.05


def test_without_targets_the_error_is_unknown_and_gaps_are_named(trained):
    model, X, _ = trained
    frozen = SymmetryDiscoverer(estimator=FrozenEstimator(model), random_state=0)
    with pytest.warns(UserWarning, match="Model error unknown: along 1 generators"):
        frozen.fit(X)
    assert frozen.model_error_ is None
    assert frozen.n_symmetries_ == 0
    assert frozen.undecided_ == 1
    assert "model error unknown" in str(frozen.report_)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("seed", range(3))
def test_a_poor_network_invents_nothing(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, 3))
    estimator = network(max_iter=60)
    found = SymmetryDiscoverer(estimator=estimator, random_state=seed).fit(X, two_of_three(X))
    assert found.n_symmetries_ <= 1
    truth = so(2).on_columns([0, 1], 3)
    if found.n_symmetries_:
        assert subspace_angles(found.algebra_.flat().T, truth.flat().T).max() < 0.1
    # Where the error of the model hides what it has learnt, the report says so.
    text = str(found.report_)
    assert f"model error, in the floors: {100 * found.model_error_:.2g} %" in text
    if found.noise_floor_ > 0.05:
        assert found.undecided_ > 0
        assert found.report_[0].verdict == "undecided"
        assert f"the noise floor of {found.noise_floor_:.2g} is above 0.05" in text


def test_smooth_tests_project_and_fit(rng):
    points = rng.normal(size=(600, 2))
    share = np.full(600, 1 / 600)
    values = np.column_stack([points[:, 0] ** 3 - points[:, 1], points.prod(axis=1)])
    tests = SmoothTests.of(points, share, values)
    assert_allclose(tests.basis.T @ tests.basis, np.eye(tests.basis.shape[1]), atol=1e-12)
    fitted, jacobian = tests.fit(values)
    assert_allclose(fitted, values, atol=1e-10)
    assert_allclose(jacobian[:, 0, 0], 3 * points[:, 0] ** 2, atol=1e-9)
    assert_allclose(jacobian[:, 1], points[:, ::-1], atol=1e-9)
    assert SmoothTests.of(points[:20], share[:20] * 30, values[:20]) is None
    assert SmoothTests.of(points, share, np.sign(np.sin(40 * values))) is None


@pytest.mark.parametrize("kind", ["decision_function", "predict_proba", "refitted"])
def test_classifiers_by_their_scores(kind, rng):
    X = rng.normal(size=(500, 2))
    label = (np.sum(X**2, axis=1) + 0.3 * rng.normal(size=500) > 1.5).astype(int)
    if kind == "predict_proba":
        classifier = GaussianNB().fit(X, label)  # log odds are quadratic, about no common centre
        found = SymmetryDiscoverer(aff, estimator=FrozenEstimator(classifier)).fit(X)
        score = found.predict(X)
        p = classifier.predict_proba(X)
        assert_allclose(score, np.log(p[:, 1] / p[:, 0]), rtol=1e-9)
        return
    classifier = make_pipeline(PolynomialFeatures(2), LogisticRegression(C=1e4))
    if kind == "refitted":
        found = SymmetryDiscoverer(aff, estimator=classifier, random_state=0).fit(X, label)
        assert found.n_symmetries_ <= 1
        assert found.model_error_ is None
        return
    frozen = FrozenEstimator(classifier.fit(X, label))
    found = SymmetryDiscoverer(aff, estimator=frozen).fit(X)
    assert_allclose(found.predict(X), classifier.decision_function(X))
    assert found.n_symmetries_ == 1  # every conic has one


def test_extreme_probabilities_are_clipped_with_a_warning():
    p = np.array([[0.25, 0.75], [0.0, 1.0]])
    with pytest.warns(UserWarning, match="1 of 2 probabilities are 0 or 1"):
        score = log_odds_of(p)
    assert_allclose(score[0], np.log(3))
    assert np.isfinite(score).all()
    many = log_odds_of(np.full((2, 4), 0.25))
    assert_allclose(many, 0)


class FakeTensor(np.ndarray):
    requires_grad = True

    def requires_grad_(self):
        return self

    detach = cpu = double = requires_grad_

    def numpy(self):
        return np.asarray(self)


class FakeModule:
    """Stands for a torch module: called on tensors, with parameters, parts and a mode."""

    training = True

    def parameters(self):
        return iter(())

    def modules(self):
        return iter((self,))

    def eval(self):
        self.training = False

    def __call__(self, X):
        assert not self.training
        return np.sum(X**2, axis=-1, keepdims=True)


def fake_torch():
    torch = types.ModuleType("torch")
    torch.no_grad = torch.enable_grad = contextlib.nullcontext
    torch.tensor = lambda X: np.array(X).view(FakeTensor)
    torch.finfo = np.finfo
    torch.autograd = types.SimpleNamespace(grad=lambda values, rows, **_: (2 * rows,))
    return torch


def test_torch_modules_are_differentiated_exactly(monkeypatch, rng):
    """With torch itself: tests/discover/test_torch_modules.py."""
    monkeypatch.setitem(sys.modules, "torch", fake_torch())
    X = rng.normal(size=(300, 3))
    module = FakeModule()
    found = SymmetryDiscoverer(so(3) + LieAlgebra(np.eye(3)[None]), estimator=module).fit(X)
    assert found.algebra_name_ == "so(3)"
    assert found.noise_floor_ < 1e-11
    assert module.training
