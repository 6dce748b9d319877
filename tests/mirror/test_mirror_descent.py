"""Gradient descent on products: what it descends, where it ends, and what it cannot leave."""

import pickle
import warnings
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sksym import MirrorSparseRegressor
from sksym.mirror import exchange, groups, low_rank, noise_exponents, rescaling, sum_zero, trend
from sksym.mirror.descent.factors import Products, Rotations
from sksym.mirror.descent.scaling import Scaling
from sksym.mirror.descent.sgd import MirrorSGDRegressor
from sksym.mirror.descent.training import Training, concave_slopes

DATA = np.random.default_rng(0)
X = DATA.normal(size=(60, 8)) * np.array([1, 2, 0.5, 1, 1, 3, 1, 1])
TRUTH = np.array([1.0, -1, 0, 0, 0.5, 0.5, 0, 0])
Y = X @ TRUTH + 0.3 * DATA.normal(size=60) + 4
OUTPUTS = X[:, :2] @ DATA.normal(size=(2, 3)) + 0.3 * DATA.normal(size=(60, 3)) - 1
WEIGHTS = DATA.integers(0, 4, 60)
PROBLEMS = {
    "columns": (None, Y, {}),
    "weighted columns": (rescaling(weight=np.linspace(0.5, 2, 8)), Y, {}),
    "some columns": (rescaling([0, 2, 3, 6]), Y, {}),
    "groups": (groups([0, 0, 1, 1, 2, 2, 3, 3]), Y, {}),
    "chain": (trend(), Y, {}),
    "tree": (exchange([(0, 1), (0, 2), (4, 5)]), Y, {}),
    "balance": (sum_zero([0, 1, 2]), Y, {}),
    "overlap": (groups([[0, 1, 2], [2, 3, 4], [4, 5, 6, 7]]), Y, {"overlap": "latent"}),
    "rows": (None, OUTPUTS, {}),
    "groups of rows": (groups([[0, 1, 2], [3, 4]]), OUTPUTS, {}),
    "low rank": (low_rank(), OUTPUTS, {}),
    "without intercept": (None, Y, {"fit_intercept": False}),
}
every_problem = pytest.mark.parametrize("name", PROBLEMS)
analysis_problem = pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "overlap"])


def objective(model, X, y, weight=None):
    """What a fitted model attains of its objective, from `coef_` and `intercept_` alone.

    The latent norm of a union of groups is a minimum over how it is split, and is not computed.
    """
    weight = np.ones(len(X)) if weight is None else weight
    left = (np.transpose([y]) if y.ndim == 1 else y) - np.reshape(model.predict(X), (len(X), -1))
    loss = weight @ (left**2).sum(axis=1) / (2 * weight.sum())
    W = np.atleast_2d(model.coef_).T
    rows = model._prepared(X, y, None)[1]
    lengths = np.linalg.svd(W, compute_uv=False) if rows.nuclear else rows.lengths(W)
    strength = model.alpha * (rows.nuclear or rows.weights) * model.depth / 2
    return loss + np.sum(strength * lengths ** (2 / model.depth))


def descended(mirrors, y, alpha=0.1, **parameters):
    """Gradient descent: one batch, small steps, many of them."""
    model = MirrorSGDRegressor(
        mirrors,
        alpha=alpha,
        learning_rate=0.3,
        batch_size=len(X),
        max_epochs=12_000,
        tol=1e-9,
        polish=False,
        **parameters,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


@every_problem
def test_minimum_of_the_decayed_products_is_that_of_the_penalty(name):
    mirrors, y, parameters = PROBLEMS[name]
    model = descended(mirrors, y, **parameters)
    exact = MirrorSparseRegressor(mirrors, alpha=0.1, tol=1e-9, **parameters).fit(X, y)
    assert_allclose(model.coef_, exact.coef_, atol=2e-4)
    assert_allclose(model.intercept_, exact.intercept_, atol=2e-4)
    assert_array_equal(model.active_, exact.active_)
    u, v = model.factors_  # of all with this product those of least squares: of one length
    if name == "low rank":
        assert_allclose(u.T @ u, v.T @ v, atol=1e-5)
        return
    starts = np.cumsum([0, *model._prepared(X, y, None)[1].sizes])[:-1]
    square = np.add.reduceat((v**2).sum(axis=1), starts)
    assert_allclose(u[0][model.active_] ** 2, square[model.active_], rtol=1e-4)


@every_problem
def test_polish_is_exact(name):
    mirrors, y, parameters = PROBLEMS[name]
    exact = MirrorSparseRegressor(mirrors, alpha=0.2, tol=1e-8, **parameters).fit(X, y)
    model = MirrorSGDRegressor(mirrors, alpha=0.2, random_state=0, **parameters).fit(X, y)
    assert_allclose(model.coef_, exact.coef_, atol=2e-3)
    assert_allclose(objective(model, X, y), objective(exact, X, y), rtol=1e-6)
    assert_array_equal(model.satisfied_, exact.satisfied_)
    assert model.mirror_names_ == exact.mirror_names_
    assert model.dual_gap_ <= 1e-6 * objective(model, X, y)


@analysis_problem
@pytest.mark.parametrize("epochs", [1, 30])
def test_gap_is_a_bound(name, epochs):
    mirrors, y, parameters = PROBLEMS[name]
    least = objective(MirrorSparseRegressor(mirrors, alpha=0.1, **parameters).fit(X, y), X, y)
    model = MirrorSGDRegressor(
        mirrors, alpha=0.1, max_epochs=epochs, tol=0.999, polish=False, random_state=0, **parameters
    ).fit(X, y)
    excess = objective(model, X, y) - least
    assert -1e-6 * least < excess <= model.dual_gap_ + 1e-9


def test_support_and_objective_on_many_columns():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 1000))
    truth = np.zeros(1000)
    truth[:15] = rng.choice([-1, 1], 15) * rng.uniform(0.5, 2, 15)
    y = X @ truth + 0.5 * rng.normal(size=300) + 3
    exact = MirrorSparseRegressor(alpha=0.2, tol=1e-9).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        trained = MirrorSGDRegressor(alpha=0.2, polish=False, random_state=0).fit(X, y)
    assert objective(trained, X, y) < (1 + 1e-4) * objective(exact, X, y)
    assert_array_equal(trained.active_, exact.active_)
    polished = MirrorSGDRegressor(alpha=0.2, random_state=0).fit(X, y)
    assert_array_equal(polished.coef_ != 0, exact.coef_ != 0)
    assert_allclose(objective(polished, X, y), objective(exact, X, y), rtol=1e-9)


def random_products(depth, q, seed=0):
    rng = np.random.default_rng(seed)
    model = Products(np.array([1, 3, 2]), depth, q)
    model.factors = [rng.normal(size=factor.shape) for factor in model.factors]
    return model, rng


def random_rotations(p, q, seed=0):
    rng = np.random.default_rng(seed)
    model = Rotations(p, q)
    model.factors = [rng.normal(size=factor.shape) for factor in model.factors]
    return model, rng


MODELS = {
    "depth 2": lambda: random_products(2, 1),
    "depth 3": lambda: random_products(3, 1),
    "depth 4": lambda: random_products(4, 2),
    "rows": lambda: random_products(2, 3),
    "wide": lambda: random_rotations(6, 9),
    "tall": lambda: random_rotations(6, 2),
}


def loss_of(model, flat, A, T):
    """And its gradient, by all factors side by side."""
    shapes = [factor.shape for factor in model.factors]
    cuts = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    parts = zip(np.split(flat, cuts), shapes, strict=True)
    model.factors = [part.reshape(shape) for part, shape in parts]
    R = model.predict(A) - T
    gradients = model.gradients(A, R)
    return 0.5 * np.sum(R**2), np.concatenate([one.ravel() for one in gradients])


@pytest.mark.parametrize("name", MODELS)
def test_gradients(name):
    model, rng = MODELS[name]()
    A = rng.normal(size=(7, 6))
    T = rng.normal(size=model.predict(A).shape)
    flat = np.concatenate([factor.ravel() for factor in model.factors])
    gradient = loss_of(model, flat, A, T)[1].copy()
    step = 1e-6
    numeric = [
        (loss_of(model, flat + step * one, A, T)[0] - loss_of(model, flat - step * one, A, T)[0])
        / (2 * step)
        for one in np.eye(len(flat))
    ]
    assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_curvature_bounds_the_hessian(name):
    model, rng = MODELS[name]()
    A = rng.normal(size=(7, 6))
    T = rng.normal(size=model.predict(A).shape)
    flat = np.concatenate([factor.ravel() for factor in model.factors])
    step = 1e-5
    columns = [
        (
            loss_of(model, flat + step * one, A, T)[1].copy()
            - loss_of(model, flat - step * one, A, T)[1]
        )
        / (2 * step)
        for one in np.eye(len(flat))
    ]
    steepest = np.linalg.eigvalsh(np.transpose(columns))[-1] / len(A)
    loss_of(model, flat, A, T)
    scales = Scaling.of(A, A[:, :0], T, np.ones(7), [1, 3, 2], False)
    training = Training(scales, None, (6, 0, T.shape[1]), 2, np.random.RandomState(0))
    training.model = model
    data = Scaling(*np.zeros((1, 6)), np.ones(6), np.zeros(0), np.ones(0), 0.0, 1.0, False)
    data = data.apply(A, A[:, :0], T, np.ones(7))
    found = training.curvature(data, np.zeros(1), 7)
    assert 0.95 * steepest < found < 5 * steepest


def one_column(u, v):
    """Training of a single product from u, v; the data want a coefficient of -1."""
    x = np.linspace(-1, 1, 20)[:, None]
    scales = Scaling.of(x, x[:, :0], -x, np.ones(20), [1], False)
    training = Training(scales, np.array([1]), (1, 0, 1), 2, np.random.RandomState(0))
    training.model.factors = [np.full((1, 1, 1), u), np.full((1, 1), v)]
    data = scales.apply(x, x[:, :0], -x, np.ones(20))
    for _ in range(300):
        training.epoch(data, np.array([0.1]), 0.1, 20)
    return [factor.item() for factor in training.model.factors]


@pytest.mark.parametrize("start", [0.1, 0.7, 2.0])
def test_balanced_products_are_never_left(start):
    u, v = one_column(start, start)
    assert u == v
    assert 0 <= u * v < 1e-6  # the wrong sign: it can only vanish
    u, v = one_column(start, -start)
    assert u == -v
    assert_allclose(u * v, -0.9, atol=1e-6)  # the soft threshold of -1 at 0.1
    u, v = one_column(start, 0.99 * start)  # off the line, as training starts
    assert_allclose(u * v, -0.9, atol=1e-6)


def test_start_takes_either_sign():
    model = MirrorSGDRegressor(alpha=0.05, polish=False, tol=0.1, random_state=0).fit(X, Y)
    assert model.coef_[0] > 0.5
    assert model.coef_[1] < -0.5
    u, v = model.factors_
    assert np.all(u[0] >= (1 - 1e-9) * np.abs(v[:, 0]))


@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("mirrors", [None, groups([0, 0, 1, 1, 2, 2, 3, 3])], ids=["one", "groups"])
def test_deep_products(depth, mirrors):
    """The penalty is concave: zeros, and a local minimum on the others that is biased less."""
    model = MirrorSGDRegressor(mirrors, alpha=0.1, depth=depth, random_state=0).fit(X, Y)
    shallow = MirrorSGDRegressor(mirrors, alpha=0.1, random_state=0).fit(X, Y)
    assert model.satisfied_.sum() >= max(1, shallow.satisfied_.sum())
    here, rng = objective(model, X, Y), np.random.default_rng(0)
    other = clone(model).fit(X, Y)
    for size in (1e-2, 1e-4):
        for _ in range(20):
            other.coef_ = model.coef_ + size * rng.normal(size=8)
            other.intercept_ = np.mean(Y - X @ other.coef_)
            assert objective(other, X, Y) > here


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_descent_of_the_smooth_objective(depth):
    """One batch and small steps: the loss with the decay of all factors never grows."""
    model = MirrorSGDRegressor(
        alpha=0.1, depth=depth, learning_rate=0.02, batch_size=60, max_epochs=1, random_state=0
    )
    values = []
    for _ in range(150):
        model.partial_fit(X, Y)
        u, v = model.factors_
        c = u.prod(axis=0) * v[:, 0]
        left = Y - X @ c
        decay = 0.05 * (np.sum(u**2) + np.sum(v**2))
        values.append(0.5 * np.var(left) + decay)
    assert np.all(np.diff(values) < 1e-12)
    assert values[-1] < 0.8 * values[0]


def test_slopes_are_tangents():
    lengths, step = np.array([0.2, 1.0, 3.0]), 1e-6
    for depth in (2, 3, 4):
        up, down = ((lengths + sign * step) ** (2 / depth) for sign in (1, -1))
        numeric = depth / 2 * (up - down) / (2 * step)
        assert_allclose(concave_slopes(lengths, depth), numeric, rtol=1e-6)
    assert concave_slopes(np.zeros(2), 3).min() > 100


# Noise alone.

NOISE = np.random.default_rng(0)
FAINT = NOISE.normal(size=(100, 10))
DIN = FAINT @ np.full(10, 0.1) + NOISE.normal(size=100)


@cache
def shaken(rate, **parameters):
    options = {"batch_size": 1, "max_epochs": 500, "random_state": 0} | parameters
    return MirrorSGDRegressor(alpha=0.0, learning_rate=rate, **options).fit(FAINT, DIN)


def test_noise_makes_zeros_where_the_exponents_say():
    gentle, rough = shaken(0.003), shaken(0.05)
    assert not gentle.satisfied_.any()
    assert rough.satisfied_.sum() >= 2
    assert np.all(rough.coef_[rough.satisfied_] == 0)
    A = (FAINT - FAINT.mean(axis=0)) / FAINT.std(axis=0)
    for rate, model in ((0.003, gentle), (0.05, rough)):
        c = model.coef_ * FAINT.std(axis=0)
        left = (DIN - DIN.mean() - A @ c)[:, None] + A * c  # where this component is zero
        growth = noise_exponents(-A * left / DIN.std(), rate).max(axis=0)
        assert np.all(growth[model.satisfied_] < 0)
        assert not model.satisfied_[growth > 1e-3].any()


def test_no_zeros_where_the_mirrors_are_removed():
    smallest = {}
    for remove in (False, True):
        model = shaken(0.05, remove_symmetry=True) if remove else shaken(0.05)
        u, v = model.factors_
        smallest[remove] = np.abs(u[0] * v[:, 0]).min()
        assert model.satisfied_.any() == (not remove)
    assert smallest[False] < 1e-20
    assert smallest[True] > 1e-6


def test_a_collapsed_component_is_lost_and_another_is_not():
    """New data need what the old did not: plasticity."""
    rng = np.random.default_rng(1)
    A = rng.normal(size=(200, 2))
    old, new = A[:, 1] + 0.1 * rng.normal(size=200), A[:, 0]
    found = {}
    for remove in (False, True):
        model = MirrorSGDRegressor(
            alpha=0.3, learning_rate=0.1, remove_symmetry=remove, polish=False, random_state=0
        )
        for _ in range(200):
            model.partial_fit(A, old)
        model.set_params(alpha=0.01)
        for _ in range(20):
            model.partial_fit(A, new)
        found[remove] = model.coef_[0]
    assert abs(found[False]) < 1e-3
    assert found[True] > 0.9


def test_offset_breaks_the_mirror_of_the_decay():
    """Where the decay wins, what is left is the minimum of decay and gradient about the offset."""
    model = MirrorSGDRegressor(
        alpha=2.0,
        learning_rate=0.05,
        batch_size=60,
        max_epochs=3000,
        remove_symmetry=True,
        random_state=0,
    ).fit(X, Y)
    training = model._training_
    (u, v), (home_u, home_v) = training.model.factors, training.home
    data = training.scales.apply(X, X[:, :0], Y[:, None], np.ones(60))
    slope = -data.A.T @ data.refit(u[0] * v)[1] / 60
    decay = training.decay(2.0, np.ones(8))[:, None]
    assert_allclose(slope * v + decay * (u[0] - home_u[0]), 0, atol=1e-8)
    assert_allclose(slope * u[0] + decay * (v - home_v), 0, atol=1e-8)
    assert np.all(model.coef_ != 0)
    assert model.dual_gap_ > 0


# What surrounds it.


def test_units_do_not_matter():
    """Columns and targets are standardised: scales change neither the path nor the zeros."""
    size = np.logspace(-3, 3, 8)
    options = {"alpha": 0.1, "polish": False, "tol": 0.999, "max_epochs": 20, "random_state": 0}
    plain = MirrorSGDRegressor(rescaling(weight=1.0), **options).fit(X, Y)
    moved = MirrorSGDRegressor(rescaling(weight=size), **(options | {"alpha": 0.1 * 50}))
    moved.fit(X * size + 7, 50 * Y - 3)
    assert_allclose(moved.coef_ * size, 50 * plain.coef_, rtol=1e-6, atol=1e-8)
    assert_allclose(moved.loss_path_, 2500 * plain.loss_path_, rtol=1e-6)
    assert_array_equal(moved.active_, plain.active_)


def test_first_epoch_is_a_partial_fit():
    options = {"alpha": 0.1, "polish": False, "tol": 0.999, "random_state": 3}
    once = MirrorSGDRegressor(max_epochs=1, **options).fit(X, Y)
    part = MirrorSGDRegressor(**options).partial_fit(X, Y)
    for one, other in zip(once.factors_, part.factors_, strict=True):
        assert_array_equal(one, other)
    again = clone(part).partial_fit(X, Y).partial_fit(X, Y)
    assert again.n_iter_ == len(again.loss_path_) == 2
    assert_array_equal(again.loss_path_[:1], part.loss_path_)
    assert not np.array_equal(again.factors_[1], part.factors_[1])


@pytest.mark.parametrize("name", ["columns", "some columns", "groups", "low rank"])
def test_partial_fit_comes_near_the_minimum(name):
    mirrors, y, parameters = PROBLEMS[name]
    exact = MirrorSparseRegressor(mirrors, alpha=0.1, **parameters).fit(X, y)
    model = MirrorSGDRegressor(mirrors, alpha=0.1, learning_rate=0.1, random_state=0)
    for _ in range(80):
        for part in np.split(np.arange(60), 3):
            model.partial_fit(X[part], y[part])
    assert objective(model, X, y) < 1.02 * objective(exact, X, y)


def test_partial_fit_bounds_the_excess_on_its_rows():
    model = MirrorSGDRegressor(alpha=0.1, random_state=0).fit(X, Y)
    exact = MirrorSparseRegressor(alpha=0.1).fit(X[:30], Y[:30])
    model.partial_fit(X[:30], Y[:30])
    excess = objective(model, X[:30], Y[:30]) - objective(exact, X[:30], Y[:30])
    assert 0 < excess <= model.dual_gap_


def test_partial_fit_keeps_the_model_where_it_fails():
    model = MirrorSGDRegressor(alpha=0.1, random_state=0).fit(X, Y)
    before = pickle.dumps(vars(model))
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :3], Y)
    with pytest.raises(ValueError, match="number of targets were others: use `fit`"):
        model.partial_fit(X, OUTPUTS)
    assert pickle.dumps(vars(model)) == before
    with pytest.raises(ValueError, match="others: use `fit`"):
        clone(model).partial_fit(X, Y).set_params(depth=3).partial_fit(X, Y)


@pytest.mark.parametrize("name", ["columns", "some columns", "groups", "low rank"])
def test_sample_weights_count_rows(name):
    mirrors, y, parameters = PROBLEMS[name]
    model = MirrorSGDRegressor(mirrors, alpha=0.05, random_state=0, **parameters)
    weighted = clone(model).fit(X, y, sample_weight=WEIGHTS)
    repeated = clone(model).fit(np.repeat(X, WEIGHTS, axis=0), np.repeat(y, WEIGHTS, axis=0))
    assert_allclose(weighted.coef_, repeated.coef_, atol=1e-4)
    assert_allclose(
        objective(weighted, X, y, WEIGHTS), objective(repeated, X, y, WEIGHTS), rtol=1e-6
    )
    model.set_params(polish=False, tol=0.999, max_epochs=3)
    weighted = clone(model).fit(X, y, sample_weight=WEIGHTS)
    kept = WEIGHTS > 0
    same = clone(model).fit(X[kept], y[kept], sample_weight=5.0 * WEIGHTS[kept])
    assert_allclose(weighted.coef_, same.coef_, rtol=1e-9)
    least = MirrorSparseRegressor(mirrors, alpha=0.05).fit(X, y, sample_weight=WEIGHTS)
    excess = objective(weighted, X, y, WEIGHTS) - objective(least, X, y, WEIGHTS)
    assert 0 < excess <= weighted.dual_gap_


THIN = np.where(np.abs(X) > 1, X, 0)


@cache
def fitted_to_thin_data(name):
    mirrors, y, parameters = PROBLEMS[name]
    return MirrorSGDRegressor(mirrors, alpha=0.1, random_state=0, **parameters).fit(THIN, y)


@pytest.mark.parametrize("name", ["columns", "some columns", "groups", "low rank"])
@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array])
def test_sparse_data(name, kind):
    mirrors, y, parameters = PROBLEMS[name]
    model = MirrorSGDRegressor(mirrors, alpha=0.1, random_state=0, **parameters)
    dense, other = fitted_to_thin_data(name), clone(model).fit(kind(THIN), y)
    assert_allclose(other.coef_, dense.coef_, atol=1e-4)
    assert_array_equal(other.active_, dense.active_)
    model.set_params(polish=False, tol=0.05).fit(kind(THIN), y)
    assert_allclose(model.coef_, dense.coef_, atol=0.15)
    model.partial_fit(kind(THIN), y)


def test_nothing_to_penalise():
    model = MirrorSGDRegressor(rescaling(weight=0.0), random_state=0).fit(X, Y)
    plain = MirrorSparseRegressor(alpha=0.0).fit(X, Y)
    assert_allclose(model.coef_, plain.coef_, atol=1e-8)
    assert len(model.active_) == 0


def test_strong_decay_leaves_the_mean():
    model = MirrorSGDRegressor(alpha=1e3, random_state=0).fit(X, Y)
    assert_array_equal(model.coef_, 0)
    assert_allclose(model.intercept_, Y.mean())
    assert model.satisfied_.all()


def test_without_decay_the_gap_is_to_least_squares():
    model = MirrorSGDRegressor(alpha=0.0, random_state=0).fit(X, Y)
    least = MirrorSparseRegressor(alpha=0.0).fit(X, Y)
    excess = objective(model, X, Y) - objective(least, X, Y)
    assert_allclose(model.dual_gap_, excess, rtol=1e-6, atol=1e-12)
    assert model.dual_gap_ < 1e-3 * objective(least, X, Y)


def test_constant_and_duplicate_columns():
    A = np.column_stack([X, np.ones(60), X[:, 0]])
    model = MirrorSGDRegressor(alpha=0.1, random_state=0).fit(A, Y)
    exact = MirrorSparseRegressor(alpha=0.1).fit(X, Y)
    assert model.coef_[8] == 0
    assert_allclose(model.predict(A), exact.predict(X), atol=1e-2)
    assert_allclose(MirrorSGDRegressor().fit(A, np.full(60, 2.0)).predict(A), 2.0)


def test_names_pickle_and_precision():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    model = MirrorSGDRegressor(groups([["a", "b"], ["e", "f"]]), alpha=0.1, random_state=0)
    model.fit(frame, Y)
    assert model.mirror_names_ == ["a, b", "e, f"]
    assert list(model.feature_names_in_) == list("abcdefgh")
    copied = pickle.loads(pickle.dumps(model))
    assert_array_equal(copied.predict(frame), model.predict(frame))
    copied.partial_fit(frame, Y)
    model.partial_fit(frame, Y)
    assert_array_equal(copied.coef_, model.coef_)
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(frame[list("hgfedcba")], Y)
    assert MirrorSGDRegressor().fit(X.astype(np.float32), Y).coef_.dtype == np.float32


def test_one_seed_one_model():
    fits = [
        MirrorSGDRegressor(alpha=0.1, polish=False, tol=0.5, random_state=seed).fit(X, Y)
        for seed in (0, 0, 1)
    ]
    assert_array_equal(fits[0].coef_, fits[1].coef_)
    assert not np.array_equal(fits[0].coef_, fits[2].coef_)


def test_unfinished_training_warns_and_says_what_helps():
    model = MirrorSGDRegressor(alpha=0.1, max_epochs=2, polish=False)
    with pytest.warns(ConvergenceWarning, match=r"gap is .* after 2 epochs, .*tol=0.001.*polish"):
        model.fit(X, Y)


def test_divergence_is_an_error():
    model = MirrorSGDRegressor(alpha=0.1, random_state=0).fit(X, Y)
    before = model.coef_.copy()
    with pytest.raises(ValueError, match="diverged with learning_rate=50"):
        model.set_params(learning_rate=50).fit(X, Y)
    with pytest.raises(ValueError, match="take a smaller one"):
        model.set_params(learning_rate=1e300).partial_fit(X, Y)
    assert_array_equal(model.coef_, before)


def test_automatic_steps_stand_outliers():
    A, t = X.copy(), Y.copy()
    A[3], t[5] = 1e4 * A[3], 1e5
    model = MirrorSGDRegressor(alpha=1.0, random_state=0).fit(A, t)
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.loss_path_).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": -1.0}, "`alpha` must be a finite number >= 0, got -1.0"),
        ({"tol": np.nan}, "`tol` must be a number between 0 and 1, got nan"),
        ({"learning_rate": 0.0}, '`learning_rate` must be "auto" or a number > 0, got 0.0'),
        ({"learning_rate": -1}, "`learning_rate` must be"),
        ({"learning_rate": True}, "`learning_rate` must be"),
        ({"learning_rate": None}, "`learning_rate` must be"),
        ({"learning_rate": "adaptive"}, "`learning_rate` must be"),
        ({"learning_rate": np.inf}, "`learning_rate` must be"),
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1, got 0"),
        ({"batch_size": 2.5}, "`batch_size` must be an integer"),
        ({"max_epochs": 0}, "`max_epochs` must be an integer >= 1"),
        ({"depth": 1}, "`depth` must be an integer >= 2, got 1"),
        ({"overlap": "both"}, "`overlap` must be one of 'analysis', 'latent', got 'both'"),
        ({"mirrors": groups([[0, 1], [1, 2]])}, "no product form.*MirrorSparseRegressor"),
        ({"mirrors": exchange([(0, 1), (1, 2), (2, 0)])}, "graphs with cycles.*MirrorSparse"),
        ({"mirrors": [low_rank(), rescaling()]}, "`low_rank` beside others.*MirrorSparse"),
        ({"mirrors": low_rank(), "depth": 3}, "depth=3 is for mirrors that are blocks"),
        (
            {"mirrors": groups([[0, 1], [1, 2]]), "overlap": "latent", "depth": 3},
            "overlap cannot be polished with depth=3: use polish=False",
        ),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        MirrorSGDRegressor(**parameters).fit(X, Y)


def test_sparse_data_with_mirrors_that_mix_columns():
    with pytest.raises(ValueError, match=r"mix columns. Pass X.toarray\(\)"):
        MirrorSGDRegressor(trend()).fit(sparse.csr_array(X), Y)
