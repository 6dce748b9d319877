"""Enforcing a symmetry: dimensions, exactness, the objective, streaming, and bad input."""

import itertools
import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pysindy as ps
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.linalg import expm
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures
from threadpoolctl import threadpool_limits

from sksym import (
    FiniteGroup,
    FourierLibrary,
    LieAlgebra,
    PolynomialLibrary,
    RadialLibrary,
    SymmetricRidge,
    SymmetricRidgeCV,
    columns,
    cyclic,
    from_pysindy,
    from_transformer,
    gl,
    lorentz,
    permutations,
    reflections,
    scaling,
    se,
    sl,
    so,
    tensor,
    translations,
    trivial,
    vector,
)


def conjugated(algebra, change):
    return LieAlgebra(change @ algebra.linear @ np.linalg.inv(change))


def n_free(algebra, degree, output=None, group=None):
    who = group if algebra is None else algebra
    d = who.n_features
    q = 1 if output is None else output(who).shape[1]
    X = np.random.default_rng(0).normal(size=(5, d))
    model = SymmetricRidge(algebra, library=PolynomialLibrary(degree), output=output, group=group)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nothing but constants may be left
        model.fit(X, np.ones((5, q)))
    basis = model.basis_
    assert basis.shape == (model.n_free_, q * model.library_.n_output_features_)
    assert_allclose(basis @ basis.T, np.eye(model.n_free_), atol=1e-12)
    return model.n_free_


# --- dimensions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("degree", "expected"), [(3, 2), (5, 3), (7, 4)])
def test_so3_vector_fields(degree, expected):
    assert n_free(so(3), degree, vector) == expected


def test_two_points_in_space():
    assert n_free(so(3).repeat(2), 3, vector) == 18


@pytest.mark.parametrize(("degree", "expected"), list(enumerate([2, 2, 4, 4, 6, 6, 8], start=1)))
def test_so2_vector_fields(degree, expected):
    assert n_free(so(2), degree, vector) == expected


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_no_vector_field_on_the_plane_has_se2(degree):
    assert n_free(se(2), degree, vector) == 0


@pytest.mark.parametrize("degree", range(9))
@pytest.mark.parametrize("algebra", [so(2), so(3), so(4), lorentz(1), lorentz(2), lorentz(3)])
def test_invariants_of_one_vector(algebra, degree):
    assert n_free(algebra, degree) == degree // 2 + 1


def partitions(total, parts):
    """Partitions of `total` into at most `parts` parts."""
    table = [1] + [0] * total
    for size in range(1, parts + 1):
        for n in range(size, total + 1):
            table[n] += table[n - size]
    return table[total]


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("degree", [1, 4, 8])
def test_symmetric_polynomials_are_counted_by_partitions(d, degree):
    expected = sum(partitions(k, d) for k in range(degree + 1))
    assert n_free(None, degree, group=permutations(d)) == expected


@pytest.mark.parametrize("degree", [0, 3, 8])
def test_even_polynomials(degree):
    expected = sum(1 for a in itertools.product(range(0, 9, 2), repeat=3) if sum(a) <= degree)
    assert n_free(None, degree, group=reflections(3)) == expected


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("degree", [2, 5, 8])
def test_cyclic_invariants_follow_molien(order, degree):
    """Molien: the mean over the group of the coefficients of 1 / det(1 - t g)."""
    count = 0.0
    for k in range(order):
        series = np.polynomial.Polynomial([1, -2 * np.cos(2 * np.pi * k / order), 1]).coef
        inverse = np.zeros(degree + 1)
        inverse[0] = 1
        for n in range(1, degree + 1):
            inverse[n] = -sum(series[j] * inverse[n - j] for j in range(1, min(n, 2) + 1))
        count += inverse.sum() / order
    assert n_free(None, degree, group=cyclic(2, order)) == round(count)


@pytest.mark.parametrize(
    ("k", "n", "expected"),
    [(2, 3, 1), (3, 3, 1), (4, 3, 3), (4, 2, 6), (3, 2, 0), (4, 4, 4), (5, 3, 6)],
)
def test_invariant_tensors(k, n, expected):
    """A constant tensor-valued function of the point 0 is an invariant tensor."""
    output = vector
    for _ in range(k - 1):
        output = tensor(output, vector)
    assert n_free(so(n), 0, output) == expected


def inertia(group=None):
    algebra = so(3).repeat(5).on_columns(range(5, 20), 20)
    return n_free(algebra, 3, tensor(columns(5, 6, 7), columns(5, 6, 7)), group)


def test_inertia_space():
    assert inertia() == 526
    assert inertia(FiniteGroup([np.diag([1.0] * 5 + [-1.0] * 15)])) == 296


def test_four_momenta():
    assert n_free(lorentz(3).repeat(4), 4) == 67


def test_badly_scaled_algebras(rng):
    assert n_free(conjugated(so(3), np.diag([1.0, 30, 1000])), 8) == 5
    U, _, V = np.linalg.svd(rng.normal(size=(8, 8)))
    change = U * np.geomspace(1, 1e3, 8) @ V
    assert n_free(conjugated(so(4).repeat(2), change), 4) == 10
    assert n_free(conjugated(so(6), rng.normal(size=(6, 6))), 4) == 3
    assert n_free(conjugated(so(3), np.diag([1.0, 30, 1000])), 5, vector) == 3


def test_mixed_units():
    """Position in 1e6, angle in 1: rotations of the position leave 3 x 5 products."""
    algebra = so(2).on_columns([0, 1], 3)
    X = np.random.default_rng(0).normal(size=(30, 3)) * [1e6, 1e6, 1]
    model = SymmetricRidge(algebra, library=PolynomialLibrary(4)).fit(X, X[:, 2])
    assert model.n_free_ == 5 + 3 + 1
    assert_array_equal(model.library_.scale_[:2] > 1e6, [True, True])
    assert model.library_.scale_[2] < 10


@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])
@pytest.mark.parametrize(
    ("algebra", "degree", "expected"), [(se(2).repeat(2), 6, 4), (se(2).repeat(3), 4, 14)]
)
def test_rigid_motions_far_from_the_origin(algebra, degree, expected, offset, rng):
    """Distances (and an area, of three points) are all that rigid motions leave."""
    X = rng.uniform(-1, 1, size=(40, algebra.n_features)) + offset
    model = SymmetricRidge(algebra, library=PolynomialLibrary(degree)).fit(X, X[:, 0])
    assert model.n_free_ == expected


# --- exactness ------------------------------------------------------------------------------------

EXACT = {
    "so(3)": (so(3), None, 8, 2.0),
    "so(3), vector": (so(3), vector, 5, 2.0),
    "so(2) twice": (so(2).repeat(2), None, 6, 2.0),
    "lorentz(2)": (lorentz(2), None, 8, 0.6),
    "sl(2) twice": (sl(2).repeat(2), None, 6, 0.5),
    "scaling": (scaling([1, -1, 2]), None, 8, 0.5),
    "tensor": (so(3), tensor(vector, vector), 4, 2.0),
    "conjugated": (conjugated(so(3), np.diag([1.0, 30, 1000])), None, 8, 2.0),
}


@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("algebra", "output", "degree", "reach"), EXACT.values(), ids=list(EXACT))
def test_symmetry_is_exact_on_finite_elements(algebra, output, degree, reach, scale, offset, rng):
    d, q = algebra.n_features, 1 if output is None else output(algebra).shape[1]
    direction = rng.normal(size=d)
    X = scale * (rng.uniform(-1, 1, (100, d)) + offset * direction / np.linalg.norm(direction))
    Y = rng.normal(size=(100, q))
    model = SymmetricRidge(algebra, library=PolynomialLibrary(degree), output=output, alpha=1e-6)
    F = model.fit(X, Y).predict(X).reshape(100, q)
    for _ in range(5):
        xi = reach * rng.normal(size=algebra.dim)
        M, t = algebra.exp(xi)
        rho = np.eye(q) if output is None else expm(np.tensordot(xi, output(algebra), 1))
        moved = X @ M.T + t
        error = np.abs(model.predict(moved).reshape(100, q) - F @ rho.T)
        terms = np.abs(model.library_.transform(moved)) @ np.abs(np.atleast_2d(model.coef_)).T
        assert (error <= 1e-10 * terms).all()
        if algebra.n_features == 3 and (algebra.linear == so(3).linear).all() and offset <= 3:
            assert error.max() <= 1e-10 * np.abs(F).max()
    assert model.equivariance_error(X) < 1e-10


@pytest.mark.parametrize("algebra", [None, so(3)], ids=["group alone", "with rotations"])
@pytest.mark.parametrize("output", [None, vector])
def test_discrete_elements_are_exact(algebra, output, rng):
    group = FiniteGroup([-np.eye(3)]) if algebra is not None else permutations(3)
    X = rng.normal(size=(60, 3)) + 2
    Y = rng.normal(size=(60, 3 if output else 2))
    model = SymmetricRidge(
        algebra, library=PolynomialLibrary(4), output=output, group=group, alpha=0.1
    ).fit(X, Y)
    for g in group.matrices:
        rho = np.eye(Y.shape[1]) if output is None else g
        assert_allclose(model.predict(X @ g.T), model.predict(X) @ rho.T, atol=1e-11)
    assert model.equivariance_error(X) < 1e-12


NOT_CLOSED = {
    "pysindy": (from_pysindy(ps.PolynomialLibrary(3)), so(3), vector, 2),
    "scikit-learn": (from_transformer(PolynomialFeatures(3)), so(3), vector, 2),
    "Fourier": (FourierLibrary(2), translations(3).combine([[1, 1, 1]]), None, 7),
    "Fourier, rotated": (FourierLibrary(2), so(3), None, 1),
    "radial": (RadialLibrary(), so(3), vector, 3),
    "radial, moved": (RadialLibrary(), se(3), None, 1),
}


@pytest.mark.parametrize(
    ("library", "algebra", "output", "expected"), NOT_CLOSED.values(), ids=list(NOT_CLOSED)
)
@pytest.mark.filterwarnings("ignore:The symmetry leaves")
def test_libraries_other_than_polynomials(library, algebra, output, expected, rng):
    X = rng.normal(size=(50, 3))
    Y = rng.normal(size=(50, 3)) if output else rng.normal(size=50)
    model = SymmetricRidge(algebra, library=library, output=output, alpha=0.1).fit(X, Y)
    if expected == 1 and output is None and isinstance(library, RadialLibrary):
        expected = 0  # no constant among them
    assert model.n_free_ == expected
    assert model.equivariance_error(X) < 1e-9


def test_swapped_waves(rng):
    X = rng.normal(size=(50, 2))
    model = SymmetricRidge(group=permutations(2), library=FourierLibrary(1)).fit(X, X[:, 0])
    assert model.n_free_ == 3
    assert_allclose(model.predict(X), model.predict(X[:, ::-1]), atol=1e-14)


def test_equivariance_error_sees_a_broken_model(rng):
    X = rng.normal(size=(50, 3))
    model = SymmetricRidge(so(3), library=PolynomialLibrary(4)).fit(X, rng.normal(size=50))
    model.coef_ = model.coef_ + 1e-5
    assert model.equivariance_error(X) > 1e-7


# --- the objective --------------------------------------------------------------------------------


def reference_coef(model, X, Y, alpha, weight=None):
    """The same problem by dense least squares in the constrained coordinates."""
    Phi, N = model.library_.transform(X), model.basis_
    q, p = Y.shape[1], Phi.shape[1]
    root = np.sqrt(np.ones(len(X)) if weight is None else weight)[:, None]
    design = np.concatenate([root * Phi @ N[:, i * p : (i + 1) * p].T for i in range(q)])
    target = np.concatenate([(root[:, 0] * Y[:, i]) for i in range(q)])
    penalty = np.sqrt(alpha) * N.reshape(len(N), q, p)
    penalty[:, :, 0] = 0
    rows = np.concatenate([design, penalty.reshape(len(N), -1).T])
    target = np.concatenate([target, np.zeros(q * p)])
    w = np.linalg.lstsq(rows, target, rcond=None)[0]
    return (w @ N).reshape(q, p)


OBJECTIVES = {
    "invariant": (so(3), None, None, 1),
    "two invariants": (so(2).on_columns([0, 2], 3), None, None, 2),
    "vector": (so(2).on_columns([0, 1], 3), vector, None, 3),
    "translations": (translations(3).combine([[1, 1, 0]]), vector, None, 3),
    "constants that grow": (
        translations(3),
        np.kron([[0, 1], [0, 0]], np.ones((3, 1, 1))),
        None,
        2,
    ),
    "group": (None, None, reflections, 2),
    "no symmetry": (None, None, None, 2),
}


@pytest.mark.parametrize("n", [6, 200])
@pytest.mark.parametrize("alpha", [1e-3, 10.0])
@pytest.mark.parametrize(
    ("algebra", "output", "group", "q"), OBJECTIVES.values(), ids=list(OBJECTIVES)
)
def test_the_objective_is_minimised(algebra, output, group, q, alpha, n, rng):
    X, Y = rng.normal([0, 1, 2], size=(n, 3)), rng.normal(size=(n, q))
    weight = rng.uniform(0.1, 3, size=n)
    model = SymmetricRidge(
        algebra, library=PolynomialLibrary(3), output=output, group=group, alpha=alpha
    ).fit(X, Y, weight)
    expected = reference_coef(model, X, Y, alpha, weight)
    assert_allclose(model.coef_, expected, atol=1e-9 * np.abs(expected).max())


def test_without_symmetry_it_is_ridge(rng):
    X, Y, weight = rng.normal(size=(40, 3)), rng.normal(size=(40, 2)), rng.uniform(size=40)
    Phi = PolynomialLibrary(3).fit_transform(X)[:, 1:]
    expected = Ridge(alpha=0.3).fit(Phi, Y, weight).predict(Phi)
    model = SymmetricRidge(library=PolynomialLibrary(3), alpha=0.3).fit(X, Y, weight)
    assert_allclose(model.predict(X), expected, atol=1e-10)


@pytest.mark.parametrize("n", [4, 30])
def test_alpha_zero_is_least_squares_of_minimum_norm(n, rng):
    X, y = rng.normal(size=(n, 2)), rng.normal(size=n)
    X[:, 1] = X[:, 0]  # rank-deficient
    model = SymmetricRidge(library=PolynomialLibrary(3), alpha=0).fit(X, y)
    limit = SymmetricRidge(library=PolynomialLibrary(3), alpha=1e-9).fit(X, y)
    assert_allclose(model.predict(X), limit.predict(X), atol=1e-5)
    assert_allclose(model.coef_, limit.coef_, atol=1e-5 * np.abs(limit.coef_).max())


def test_weights_are_repetitions(rng):
    X, y, weight = rng.normal(size=(40, 3)), rng.normal(size=40), rng.integers(0, 3, size=40)
    weighted = SymmetricRidge(so(3), alpha=0.1).fit(X, y, weight)
    repeated = SymmetricRidge(so(3), alpha=0.1).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
    assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-10)
    assert weighted.n_samples_seen_ == np.count_nonzero(weight)


def test_the_constant_is_not_penalised(rng):
    X = rng.normal(size=(40, 3))
    model = SymmetricRidge(so(3), alpha=1e12).fit(X, 1e3 + rng.normal(size=40))
    assert_allclose(model.predict(X), model.predict(X).mean(), rtol=1e-8)
    assert model.predict(X)[0] == pytest.approx(1e3, rel=1e-2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_predictions_do_not_depend_on_the_unit(scale, rng):
    """The library's scale is a power of two, so a unit that is one changes nothing at all."""
    unit = 2.0 ** np.round(np.log2(scale))
    X, Y = rng.normal(size=(60, 3)), rng.normal(size=(60, 3))
    model = SymmetricRidge(so(3), library=PolynomialLibrary(4), output=vector, alpha=0.01)
    here, there = clone(model).fit(X, Y), clone(model).fit(unit * X, Y)
    assert_allclose(here.predict(X), there.predict(unit * X), rtol=1e-9)


# --- streaming ------------------------------------------------------------------------------------

STREAMS = {
    "invariant": (so(3), PolynomialLibrary(4), None),
    "vector": (so(3), PolynomialLibrary(3), vector),
    "no fixed point": (se(2).on_columns([0, 2], 3), PolynomialLibrary(3), None),
    "no symmetry": (None, PolynomialLibrary(3), None),
    "some columns": (so(2).on_columns([0, 1], 3), PolynomialLibrary(3), vector),
    "radial": (so(3), RadialLibrary(), vector),
}


@pytest.mark.parametrize("order", ["mixed", "sorted", "growing"])
@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize(("algebra", "library", "output"), STREAMS.values(), ids=list(STREAMS))
def test_partial_fit_is_fit(algebra, library, output, size, order, rng):
    X = rng.normal([1, 2, 3], size=(100, 3))
    if order == "sorted":
        X = X[np.argsort(X[:, 0])]
    elif order == "growing":
        X = X * np.geomspace(1e-3, 1e3, 100)[:, None]
    Y = rng.normal(size=(100, 3))
    whole = SymmetricRidge(algebra, library=library, output=output, alpha=1e-3).fit(X, Y)
    parts = clone(whole)
    for start in range(0, 100, size):
        parts.partial_fit(X[start : start + size], Y[start : start + size])
    assert_allclose(parts.coef_, whole.coef_, atol=1e-10 * np.abs(whole.coef_).max())
    assert parts.n_samples_seen_ == 100
    basis = parts.basis_
    assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-10)


def test_partial_fit_takes_weights(rng):
    X, y, weight = rng.normal(size=(50, 2)), rng.normal(size=50), rng.uniform(size=50)
    whole, parts = SymmetricRidge(so(2)).fit(X, y, weight), SymmetricRidge(so(2))
    for rows in np.array_split(np.arange(50), 4):
        parts.partial_fit(X[rows], y[rows], weight[rows])
    assert_allclose(parts.coef_, whole.coef_, rtol=1e-10)


def test_memory_does_not_grow_with_the_rows(rng):
    n, d = 60_000, 6
    X, y = rng.normal(size=(n, d)), rng.normal(size=n)
    model = SymmetricRidge(so(3).repeat(2), library=PolynomialLibrary(4))
    model.fit(X[:50], y[:50])
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.4 * n * 210 * 8, "the library values alone would be n x 210"


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_matter(threads, rng):
    X, Y = rng.normal(size=(300, 4)), rng.normal(size=(300, 4))
    model = SymmetricRidge(so(4), library=PolynomialLibrary(3), output=vector, alpha=0.1)
    with threadpool_limits(threads):
        model.fit(X, Y)
    assert_allclose(model.coef_, reference_coef(model, X, Y, 0.1), atol=1e-11)


# --- cross-validation -----------------------------------------------------------------------------

SPLITS = [None, 3, KFold(4, shuffle=True, random_state=0), ShuffleSplit(3, random_state=0)]


@pytest.mark.parametrize("cv", SPLITS, ids=["default", "3", "KFold", "ShuffleSplit"])
@pytest.mark.parametrize("output", [None, vector])
def test_cv_is_the_brute_force_search(cv, output, rng):
    X, weight = rng.normal(size=(60, 3)), rng.uniform(0.5, 2, size=60)
    Y = X * (X**2).sum(axis=1)[:, None] + rng.normal(size=(60, 3))
    alphas = [1e-3, 1e-1, 10.0]
    common = {
        "algebra": so(2).on_columns([0, 1], 3),
        "library": PolynomialLibrary(3, center=0.0, scale=4.0),
        "output": output,
    }
    model = SymmetricRidgeCV(**common, alphas=alphas, cv=cv).fit(X, Y, weight)
    splitter = KFold(cv or 5) if cv is None or isinstance(cv, int) else cv
    for a, alpha in enumerate(alphas):
        for fold, (train, test) in enumerate(splitter.split(X)):
            single = SymmetricRidge(**common, alpha=alpha).fit(X[train], Y[train], weight[train])
            squared = np.mean((single.predict(X[test]) - Y[test]) ** 2, axis=1)
            expected = np.average(squared, weights=weight[test])
            assert_allclose(model.cv_results_["mean_squared_error"][a, fold], expected, rtol=1e-8)
    best = SymmetricRidge(**common, alpha=model.alpha_).fit(X, Y, weight)
    assert model.alpha_ == alphas[np.argmin(model.cv_results_["mean_test_error"])]
    assert_allclose(model.coef_, best.coef_, atol=1e-10)
    assert model.best_score_ == -model.cv_results_["mean_test_error"].min()


def test_cv_needs_weight_in_training(rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    with pytest.raises(ValueError, match="fold 0 trains on"):
        SymmetricRidgeCV(so(2), cv=3).fit(X, y, np.repeat([1.0, 0.0, 0.0], 10))


def test_cv_takes_a_list_of_splits(rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    splits = list(KFold(3).split(X))
    listed = SymmetricRidgeCV(so(2), cv=splits).fit(X, y)
    assert_array_equal(listed.coef_, SymmetricRidgeCV(so(2), cv=3).fit(X, y).coef_)


def test_model_selection_around_it(rng):
    X = rng.normal(size=(80, 3))
    y = (X**2).sum(axis=1) ** 2 + 0.01 * rng.normal(size=80)
    pipeline = make_pipeline(
        FunctionTransformer(), SymmetricRidge(so(3), library=PolynomialLibrary(), alpha=1e-6)
    )
    grid = {"symmetricridge__library__degree": [1, 2, 4], "symmetricridge__alpha": [1e-6, 1e3]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # degree 1 leaves the constant
        search = GridSearchCV(pipeline, grid).fit(X, y)
    assert search.best_params_["symmetricridge__library__degree"] == 4
    assert search.best_score_ > 0.99


# --- input and output -----------------------------------------------------------------------------


def test_any_layout_gives_the_same_model(rng):
    X = rng.integers(-5, 5, size=(40, 3))
    y = rng.normal(size=40)
    frozen = X.astype(float)
    frozen.setflags(write=False)
    names = ["a", "b", "c"]
    inputs = [
        X,
        np.asfortranarray(X.astype(float)),
        frozen,
        X[::1],
        X.tolist(),
        pd.DataFrame(X, columns=names),
        pl.DataFrame(X, schema=names),
    ]
    expected = SymmetricRidge(so(3)).fit(X.astype(float), y).coef_
    for data in inputs:
        model = SymmetricRidge(so(3)).fit(data, y)
        assert_array_equal(model.coef_, expected)
        assert_array_equal(model.predict(data), model.predict(data))
    assert_array_equal(model.feature_names_in_, names)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        SymmetricRidge(so(3)).fit(sparse.csr_array(X), y)


def test_float32_in_float32_out(rng):
    X, Y = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(40, 3))
    model = SymmetricRidge(so(3), output=vector).fit(X, Y.astype(np.float32))
    assert model.coef_.dtype == model.predict(X).dtype == np.float32
    assert model.predict(X.astype(float)).dtype == np.float64
    assert model.equivariance_error(X) < 1e-5


def test_shapes_follow_y(rng):
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    assert SymmetricRidge(so(3)).fit(X, y).coef_.shape == (10,)
    assert SymmetricRidge(so(3)).fit(X, y[:, None]).coef_.shape == (1, 10)
    assert SymmetricRidge(so(3)).fit(X, y[:, None]).predict(X).shape == (20, 1)


def test_pickle(rng):
    X, Y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    model = SymmetricRidge(so(3), output=vector, group=reflections(3)).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))
    again.partial_fit(X, Y)


def test_few_and_constant_rows(rng):
    X, y = rng.normal(size=(1, 3)), np.array([2.0])
    assert_allclose(SymmetricRidge(so(3)).fit(X, y).predict(X), y)
    X = np.c_[rng.normal(size=(20, 2)), np.full(20, 7.0)]
    model = SymmetricRidge(so(2).on_columns([0, 1], 3), alpha=1e-6).fit(X, (X**2).sum(axis=1))
    assert model.score(X, (X**2).sum(axis=1)) > 0.99999
    same = SymmetricRidge(so(3)).fit(np.ones((5, 3)), np.arange(5.0))
    assert_allclose(same.predict(np.ones((1, 3))), 2.0)


# --- what cannot be, and what is said about it ----------------------------------------------------

BAD = {
    "algebra elsewhere": (SymmetricRidge(so(2)), ValueError, r"acts on R\^2, but X has 3 features"),
    "group elsewhere": (
        SymmetricRidge(group=permutations(4)),
        ValueError,
        r"acts on R\^4, but X has 3 features",
    ),
    "group as algebra": (SymmetricRidge(permutations(3)), TypeError, "must be a LieAlgebra"),
    "algebra as group": (SymmetricRidge(group=so(3)), TypeError, "must be a FiniteGroup"),
    "wrong number of outputs": (
        SymmetricRidge(so(3), output=trivial(2)),
        ValueError,
        "moves 2 outputs, but y has 3",
    ),
    "wrong representation": (
        SymmetricRidge(so(3), output=2 * so(3).linear),
        ValueError,
        "not a representation",
    ),
    "representation of another size": (
        SymmetricRidge(so(3), output=so(2).linear),
        ValueError,
        "one square matrix for each",
    ),
    "infinite representation": (
        SymmetricRidge(so(3), output=np.full((3, 3, 3), np.inf)),
        ValueError,
        "NaN or infinity",
    ),
    "array for a group": (
        SymmetricRidge(so(3), output=so(3).linear, group=reflections(3)),
        ValueError,
        "representation",
    ),
    "nobody moves the output": (SymmetricRidge(output=vector), ValueError, "neither"),
    "negative degree": (SymmetricRidge(library=PolynomialLibrary(-1)), ValueError, "degree"),
    "no library": (SymmetricRidge(library="poly"), TypeError, "from_transformer"),
    "plain transformer": (SymmetricRidge(library=PolynomialFeatures()), TypeError, "jacobian"),
    "negative alpha": (SymmetricRidge(alpha=-1), ValueError, "alpha"),
    "alpha not a number": (SymmetricRidge(alpha=np.nan), ValueError, "alpha"),
    "alpha a string": (SymmetricRidge(alpha="1"), ValueError, "alpha"),
    "rtol": (SymmetricRidge(so(3), rtol=-1.0), ValueError, "rtol"),
    "alphas empty": (SymmetricRidgeCV(so(3), alphas=[]), ValueError, "alphas"),
    "alphas negative": (SymmetricRidgeCV(so(3), alphas=[1.0, -1.0]), ValueError, "alphas"),
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
    for model in (SymmetricRidge(so(3)), SymmetricRidgeCV(so(3))):
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, weight)


def test_too_large_problems_are_refused_by_number(rng):
    X = rng.normal(size=(5, 30))
    with pytest.raises(MemoryError, match=r"118,264,581,564,861,424 monomials"):
        SymmetricRidge(library=PolynomialLibrary(30)).fit(X, X[:, 0])
    with pytest.raises(MemoryError, match=r"1,947,792 free coefficients.*enforce more symmetry"):
        SymmetricRidge(library=PolynomialLibrary(6)).fit(X, X[:, 0])


def test_a_failed_refit_keeps_the_old_model(rng):
    X, y = pd.DataFrame(rng.normal(size=(30, 3)), columns=list("abc")), rng.normal(size=30)
    model = SymmetricRidge(so(3)).fit(X, y)
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
    twice = so(3) + so(3).combine([[1, 2, 3]])
    with pytest.warns(UserWarning, match="4 generators span 3 dimensions") as record:
        model = SymmetricRidge(twice, output=vector).fit(X, Y)
    assert len(record) == 1
    assert_allclose(model.coef_, SymmetricRidge(so(3), output=vector).fit(X, Y).coef_, atol=1e-14)


def test_no_freedom_but_the_constant_is_allowed_and_said(rng):
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    with pytest.warns(UserWarning, match="a constant as the only function"):
        model = SymmetricRidge(gl(3)).fit(X, y)
    assert_allclose(model.predict(X), y.mean())
    with pytest.warns(UserWarning, match="zero as the only function"):
        model = SymmetricRidge(se(3), output=vector).fit(X, X)
    assert model.n_free_ == 0
    assert not model.predict(X).any()


def test_no_generators_are_no_constraint(rng):
    X, y = rng.normal(size=(30, 1)), rng.normal(size=30)
    free, constrained = SymmetricRidge().fit(X, y), SymmetricRidge(so(1)).fit(X, y)
    assert_allclose(free.coef_, constrained.coef_)
