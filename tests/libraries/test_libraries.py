"""Libraries: derivatives, closedness, orthonormal coordinates, names, and evaluation in blocks."""

import itertools
import pickle
import tracemalloc
from math import comb

import numpy as np
import pandas as pd
import pysindy as ps
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.linalg import expm
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import make_union
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

import sksym as sk
from cases import LIBRARIES
from sksym.libraries import evaluate
from sksym.testing import assert_closed, assert_jacobian

rows = pytest.mark.parametrize("row", LIBRARIES.values(), ids=list(LIBRARIES))
closed = {name: row for name, row in LIBRARIES.items() if row.algebra is not None}
closed_rows = pytest.mark.parametrize("row", closed.values(), ids=list(closed))


@pytest.fixture
def X(rng):
    return rng.normal([0.5, 0, -0.3], size=(40, 3))


def fitted(row, X):
    return clone(row.library).fit(X)


@rows
def test_jacobian(row, X):
    assert_jacobian(fitted(row, X), X, rtol=1e-7)


@closed_rows
def test_closedness(row, X):
    assert_closed(fitted(row, X), X, row.algebra + row.group)


@closed_rows
def test_matrices_are_sparse_and_side_by_side(row, X):
    library, r = fitted(row, X), row.algebra.dim
    p, D = library.n_output_features_, library.lie_matrices(row.algebra)
    assert sparse.issparse(D)
    assert D.shape == (p, r * p)
    assert sparse.issparse(library.orthonormal_coordinates(X))
    assert library.orthonormal_coordinates(X).shape == (p, p)
    for g in row.group.matrices:
        K = library.group_matrix(g)
        assert sparse.issparse(K)
        assert K.shape == (p, p)


@closed_rows
def test_finite_motions_are_exponentials(row, X, rng):
    """phi(M x + t) = exp(D(xi)) phi(x) where x -> M x + t is exp(xi), far from the identity."""
    library, xi = fitted(row, X), rng.normal(size=row.algebra.dim)
    M, t = row.algebra.exp(xi)
    D = library.lie_matrices(row.algebra.combine(xi[None])).toarray()
    moved = library.transform(X @ M.T + t)
    assert_allclose(library.transform(X) @ expm(D).T, moved, atol=1e-9 * np.abs(moved).max())


@closed_rows
def test_group_matrices_are_homomorphisms(row, X, rng):
    library = fitted(row, X)
    g, h = row.group.matrices[rng.integers(len(row.group.matrices), size=2)]
    K = [library.group_matrix(m).toarray() for m in (g, h, g @ h, np.eye(3))]
    assert_allclose(K[2], K[0] @ K[1], atol=1e-12)
    assert_allclose(K[3], np.eye(library.n_output_features_), atol=1e-14)


@closed_rows
def test_no_generators_no_matrices(row, X):
    library = fitted(row, X)
    nothing = row.algebra.combine(np.zeros((0, row.algebra.dim)))
    assert library.lie_matrices(nothing).shape == (library.n_output_features_, 0)


@rows
def test_evaluate_is_transform_times_coef(row, X, rng):
    library = fitted(row, X)
    coef = rng.normal(size=(4, library.n_output_features_))
    coef[rng.random(coef.shape) < 0.6] = 0
    coef[3] = 0
    expected = library.transform(X) @ coef.T
    assert_allclose(evaluate(library, coef, X), expected, atol=1e-12)
    assert_allclose(evaluate(library, sparse.csr_array(coef), X), expected, atol=1e-12)


@rows
def test_names_and_sizes(row, X):
    library = fitted(row, X)
    names = library.get_feature_names_out()
    assert len(set(names)) == len(names) == library.n_output_features_
    assert library.transform(X).shape == (40, len(names))
    assert library.jacobian(X).shape == (40, len(names), 3)
    assert library.transform(X[:1]).shape == (1, len(names))


@rows
def test_rows_are_transformed_one_by_one(row, X):
    library = fitted(row, X)
    singly = [library.transform(x[None]) for x in X[:5]]
    assert_allclose(np.concatenate(singly), library.transform(X)[:5], rtol=1e-13, atol=1e-14)
    singly = [library.jacobian(x[None]) for x in X[:5]]
    assert_allclose(np.concatenate(singly), library.jacobian(X)[:5], rtol=1e-13, atol=1e-14)


@rows
def test_input_is_left_alone(row, X):
    library, before = fitted(row, X), X.copy()
    X.setflags(write=False)
    library.transform(X)
    library.jacobian(X)
    assert_array_equal(X, before)
    for same in (np.asfortranarray(X), X[::-1][::-1]):
        assert_allclose(library.transform(same), library.transform(X), rtol=1e-14)


@rows
def test_pickling(row, X):
    library = fitted(row, X)
    copied = pickle.loads(pickle.dumps(library))
    assert_array_equal(copied.transform(X), library.transform(X))
    assert_array_equal(copied.jacobian(X), library.jacobian(X))


@rows
def test_nothing_works_before_fit(row, X):
    library = clone(row.library)
    calls = {
        "transform": (X,),
        "jacobian": (X,),
        "get_feature_names_out": (),
        "lie_matrices": (sk.so(3),),
        "group_matrix": (np.eye(3),),
        "orthonormal_coordinates": (X,),
    }
    for method, arguments in calls.items():
        with pytest.raises(NotFittedError):
            getattr(library, method)(*arguments)


@rows
def test_names_follow_the_columns(row, X):
    frame = pd.DataFrame(X, columns=["east", "north", "up"])
    library = fitted(row, frame)
    names = list(library.get_feature_names_out())
    if isinstance(library, sk.PolynomialLibrary | sk.FourierLibrary | sk.RadialLibrary):
        plain = list(fitted(row, X).get_feature_names_out())
        renamed = zip(["x0", "x1", "x2"], frame.columns, strict=True)
        for old, new in renamed:
            plain = [name.replace(old, new) for name in plain]
        assert names == plain
    with pytest.raises(ValueError, match="input_features"):
        library.get_feature_names_out(["up", "north", "east"])
    unnamed = fitted(row, X)
    assert list(unnamed.get_feature_names_out(list(frame.columns))) == names
    with pytest.raises(ValueError, match="input_features"):
        unnamed.get_feature_names_out(["only", "two"])


def gauss_nodes(box, k=8):
    """Tensor Gauss-Legendre nodes of a box and weights that sum to one."""
    t, w = np.polynomial.legendre.leggauss(k)
    middle, half = box.mean(axis=0), (box[1] - box[0]) / 2
    nodes = np.array(list(itertools.product(t, repeat=len(middle)))) * half + middle
    weights = np.prod(list(itertools.product(w / 2, repeat=len(middle))), axis=1)
    return nodes, weights


def assert_orthonormal(library, nodes, weights):
    psi = np.linalg.solve(library.orthonormal_coordinates().toarray(), library.transform(nodes).T)
    assert_allclose((psi * weights) @ psi.T, np.eye(len(psi)), atol=1e-9)


@pytest.mark.parametrize("domain", [None, (-1, 1), ([-1, 0, 2], [1, 4, 2.5])])
@pytest.mark.parametrize("degree", [0, 1, 4])
def test_legendre_coordinates_are_orthonormal(degree, domain, X):
    library = sk.PolynomialLibrary(degree, domain=domain).fit(X)
    assert_orthonormal(library, *gauss_nodes(library.domain_))


def test_fourier_coordinates_are_orthonormal(X):
    library = sk.FourierLibrary(2).fit(X)
    k = 8
    nodes = np.array(list(itertools.product(np.arange(k) * 2 * np.pi / k, repeat=3)))
    assert_orthonormal(library, nodes, np.full(len(nodes), 1 / len(nodes)))


@pytest.mark.parametrize("n_frequencies", [0, 1, 3])
def test_wave_vectors_are_one_of_each_pair(n_frequencies):
    """All integer vectors of length at most n in the 1-norm, up to sign."""
    library = sk.FourierLibrary(n_frequencies).fit(np.zeros((1, 3)))
    found = {tuple(k) for k in library.frequencies_}
    reach = range(-n_frequencies, n_frequencies + 1)
    every = {k for k in itertools.product(reach, repeat=3) if 0 < np.abs(k).sum() <= n_frequencies}
    opposite = {tuple(-i for i in k) for k in found}
    assert not found & opposite
    assert found | opposite == every
    assert library.n_output_features_ == 1 + len(every)


@pytest.mark.parametrize("powers", [(-3, -1, 1), (-2, 0, 1.5)])
def test_radial_coordinates_are_orthonormal_in_the_plane(powers, rng):
    X = rng.normal(size=(40, 2))
    library = sk.RadialLibrary(powers, 2).fit(X)
    r, w = np.polynomial.legendre.leggauss(40)
    inner, outer = library.shell_ * library.scale_
    r = (inner + outer) / 2 + r * (outer - inner) / 2
    angle = np.arange(12) * np.pi / 6
    nodes = r[:, None, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    weights = np.repeat(w * r, 12)
    assert_orthonormal(library, nodes.reshape(-1, 2), weights / weights.sum())


def test_the_shell_is_where_the_data_are(X):
    library, radius = sk.RadialLibrary().fit(X), np.linalg.norm(X, axis=1)
    assert_allclose(library.shell_ * library.scale_, [radius.min(), radius.max()])


@pytest.mark.parametrize(
    "library", [sk.RadialLibrary(), sk.RadialLibrary((-2, -1, 2), 2)], ids=repr
)
def test_radial_coordinates_are_orthonormal(library, X):
    library = clone(library).fit(X)
    r, w = np.polynomial.legendre.leggauss(30)
    inner, outer = library.shell_ * library.scale_
    r, w = (
        (inner + outer) / 2 + r * (outer - inner) / 2,
        w * ((outer + inner) / 2 + r * (outer - inner) / 2) ** 2,
    )
    z, v = np.polynomial.legendre.leggauss(10)
    angle = np.arange(12) * np.pi / 6
    directions = np.array(
        [
            [np.sqrt(1 - s**2) * np.cos(a), np.sqrt(1 - s**2) * np.sin(a), s]
            for s in z
            for a in angle
        ]
    )
    nodes = (r[:, None, None] * directions).reshape(-1, 3)
    weights = np.outer(w, np.repeat(v, 12)).ravel()
    assert_orthonormal(library, nodes, weights / weights.sum())


@pytest.mark.parametrize("algebra", [sk.so(2), sk.so(3), sk.so(5), sk.so(2).repeat(2)], ids=repr)
def test_fischer_scaling_makes_rotations_antisymmetric(algebra, rng):
    d = algebra.n_features
    library = sk.PolynomialLibrary(4, center=0.5, scale=2.0).fit(rng.normal(size=(9, d)))
    about_center = algebra + sk.translations(d)
    C = np.hstack([np.eye(algebra.dim), -algebra.linear @ library.center_])
    D = library.lie_matrices(about_center.combine(C)).toarray()
    D = D.reshape(-1, algebra.dim, library.n_output_features_)
    assert_allclose(D, -D.transpose(2, 1, 0), atol=1e-13)


@pytest.mark.parametrize(
    "group", [sk.cyclic(3, 7), sk.permutations(3), sk.reflections(3)], ids=repr
)
def test_fischer_scaling_keeps_orthogonal_maps_orthogonal(group, X):
    library = sk.PolynomialLibrary(4, center=0.0, scale=2.0).fit(X)
    for g in group.matrices:
        K = library.group_matrix(g).toarray()
        assert_allclose(K @ K.T, np.eye(len(K)), atol=1e-13)


def test_motions_about_the_centre_keep_degrees_apart(X):
    """Entry by entry: no round-off ties the constant to the quadratics."""
    library = sk.PolynomialLibrary(4, center=0.7, scale=3.0).fit(X)
    degree = library.monomials_.exponents.sum(axis=1)
    round_off = 1 + 4 * np.finfo(float).eps
    about_center = sk.LieAlgebra(sk.gl(3).linear, -sk.gl(3).linear @ library.center_ * round_off)
    D = sparse.coo_array(library.lie_matrices(about_center))
    p = library.n_output_features_
    assert D.nnz > 0
    assert_array_equal(degree[D.row], degree[D.col % p])


@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("degree", [2, 8])
def test_closedness_at_every_place(degree, unit, offset, rng):
    X = unit * (rng.uniform(-1, 1, size=(30, 2)) + offset)
    library = sk.PolynomialLibrary(degree).fit(X)
    assert_closed(library, X, sk.aff(2))
    # Near the data g x must stay, or phi(g x) is large where phi(x) is not.
    M, _ = sk.so(2).exp([0.01])
    assert_closed(library, X, sk.FiniteGroup([M]), rtol=1e-10 * (1 + offset) ** degree)


@pytest.mark.parametrize("d", [1, 2, 4])
@pytest.mark.parametrize("degree", [0, 1, 3])
def test_number_of_monomials(degree, d, rng):
    library = sk.PolynomialLibrary(degree).fit(rng.normal(size=(5, d)))
    assert library.n_output_features_ == comb(d + degree, degree)
    assert library.monomials_.exponents.shape == (library.n_output_features_, d)
    assert np.linalg.matrix_rank(library.transform(rng.normal(size=(99, d)))) == comb(
        d + degree, degree
    )


def test_lorentz_motions_in_mixed_units(rng):
    """Time in 1e-6, length in 1: each column has a scale of its own."""
    X = rng.normal(size=(20, 3)) * [1e-6, 1, 1]
    stretch = np.diag([1e-6, 1, 1])
    moved = stretch @ sk.lorentz(2).linear @ np.linalg.inv(stretch)
    assert_closed(sk.PolynomialLibrary(4).fit(X), X, sk.LieAlgebra(moved))
    assert_closed(sk.PolynomialLibrary(4).fit(X), X, sk.scaling([1, 2, 3]))


@pytest.mark.parametrize("degree", [0, 1, 2, 5])
def test_monomials_agree_with_scikit_learn(degree, X, rng):
    library, plain = sk.PolynomialLibrary(degree).fit(X + 3), PolynomialFeatures(degree).fit(X)
    assert_array_equal(library.monomial_names, plain.get_feature_names_out())
    assert_array_equal(library.get_feature_names_out(), plain.get_feature_names_out())
    coef = rng.normal(size=(2, library.n_output_features_))
    monomial_coef = library.monomial_coef(coef)
    assert monomial_coef.shape == coef.shape
    values = plain.transform(X + 3) @ monomial_coef.T
    assert_allclose(values, library.transform(X + 3) @ coef.T, rtol=1e-9, atol=1e-9)
    assert_allclose(library.monomial_coef(coef[0]), monomial_coef[0])


def test_names_agree_with_scikit_learn_for_many_columns():
    X = pd.DataFrame(np.zeros((2, 12)), columns=[f"column {i}" for i in range(12)])
    for frame in (X, X.to_numpy()):
        names = sk.PolynomialLibrary(3).fit(frame).get_feature_names_out()
        assert_array_equal(names, PolynomialFeatures(3).fit(frame).get_feature_names_out())


def test_monomial_coef_in_the_unit_cube_is_a_mere_rescaling(X, rng):
    library = sk.PolynomialLibrary(3, center=0.0, scale=1.0).fit(X)
    coef = rng.normal(size=(2, 20))
    assert_allclose(library.monomial_coef(coef), coef * library.monomials_.fischer)


@pytest.mark.parametrize(
    "library",
    [sk.PolynomialLibrary(0), sk.PolynomialLibrary(4), sk.RadialLibrary((-3, 0, 1), 2)],
    ids=repr,
)
def test_change_of_place(library, X):
    here, there = clone(library).fit(X), clone(library).fit(5 * X + 1)
    K = here.change_to(there)
    assert_allclose(here.transform(X), there.transform(X) @ K.T, rtol=1e-9, atol=1e-12)
    assert_allclose((K @ there.change_to(here)).toarray(), np.eye(K.shape[0]), atol=1e-9)
    assert_allclose(here.change_to(here).toarray(), np.eye(K.shape[0]), atol=1e-15)


@pytest.mark.parametrize("library", [sk.PolynomialLibrary(3), sk.RadialLibrary()], ids=repr)
def test_extremes_are_all_that_fit_sees(library, X):
    few = library.extremes(X)
    assert len(few) < len(X)
    a, b = clone(library).fit(X), clone(library).fit(few)
    assert_array_equal(a.transform(X), b.transform(X))
    assert_allclose(
        a.orthonormal_coordinates().toarray(), b.orthonormal_coordinates().toarray(), rtol=1e-12
    )


def test_place_is_the_middle_and_a_power_of_two():
    library = sk.PolynomialLibrary().fit([[-1.0, 1e6], [2.0, 4e6]])
    assert_array_equal(library.center_, [0.5, 2.5e6])
    assert_array_equal(library.scale_, [2.0, 2.0**21])
    assert_array_equal(library.domain_, [[-1, 1e6], [2, 4e6]])
    constant = sk.PolynomialLibrary().fit([[3.0, 1.0], [3.0, 2.0]])
    assert np.isfinite(constant.transform([[4.0, 1.0]])).all()


def test_place_can_be_given(X):
    box = [-1, -1, -1], [1, 2, 3]
    library = sk.PolynomialLibrary(center=[1.0, 2.0, 3.0], scale=0.5, domain=box).fit(X)
    assert_array_equal(library.center_, [1, 2, 3])
    assert_array_equal(library.scale_, [0.5, 0.5, 0.5])
    assert_array_equal(library.domain_, box)
    here = library.transform(library.center_[None])[0]
    assert_array_equal(here, np.eye(10)[0])


def test_ends_of_the_domain_are_numbers_or_arrays(X):
    library = sk.PolynomialLibrary(domain=(-1, [1, 2, 3])).fit(X)
    assert_array_equal(library.domain_, [[-1, -1, -1], [1, 2, 3]])


@rows
def test_float32(row, X):
    library, single = fitted(row, X), X.astype(np.float32)
    assert_allclose(library.transform(single), library.transform(X), rtol=2e-4, atol=1e-4)
    if row.algebra is not None:
        assert library.transform(single).dtype == np.float32
        assert library.jacobian(single).dtype == np.float32
        assert library.transform(X).dtype == np.float64
    assert_allclose(library.jacobian(single), library.jacobian(X), rtol=1e-2, atol=5e-4)


def peak_beyond_output(call):
    tracemalloc.start()
    try:
        out = call()
        return tracemalloc.get_traced_memory()[1] - out.nbytes
    finally:
        tracemalloc.stop()


BIG = [sk.PolynomialLibrary(4), sk.FourierLibrary(2), sk.RadialLibrary((-3, -1, 1), 3)]


@pytest.mark.parametrize("library", BIG, ids=repr)
@pytest.mark.parametrize("method", ["transform", "jacobian", "evaluate"])
def test_blocks_bound_the_memory(library, method, rng):
    """Beyond the output a row costs a few numbers (distances, a copy of x), not p of them."""
    library = clone(library).fit(rng.normal(size=(9, 3)))
    few, many = rng.normal(size=(20_000, 3)), rng.normal(size=(80_000, 3))
    coef = np.ones((1, library.n_output_features_))

    def call(X):
        return evaluate(library, coef, X) if method == "evaluate" else getattr(library, method)(X)

    small, large = (peak_beyond_output(lambda X=X: call(X)) for X in (few, many))
    assert library.n_output_features_ > 24
    assert (large - small) / (8 * 60_000) < 12
    assert small < 40e6


def test_evaluate_forms_no_function_that_does_not_matter(rng):
    """One of 10,626 monomials: the others would take 1.7 GB."""
    X = rng.normal(size=(20_000, 20))
    library = sk.PolynomialLibrary(4).fit(X)
    index = 5_000
    coef = sparse.csr_array(([2.0], ([0], [index])), shape=(1, library.n_output_features_))
    values = evaluate(library, coef, X)
    expected = 2 * library.transform(X[:50])[:, index]
    assert_allclose(values[:50, 0], expected)
    assert peak_beyond_output(lambda: evaluate(library, coef, X)) < 20e6


@pytest.mark.parametrize(
    ("library", "message"),
    [
        (sk.PolynomialLibrary(-1), "degree"),
        (sk.PolynomialLibrary(1.5), "degree"),
        (sk.PolynomialLibrary(center=[1.0, 2.0]), "center"),
        (sk.PolynomialLibrary(center=np.nan), "center"),
        (sk.PolynomialLibrary(scale=0.0), "scale"),
        (sk.PolynomialLibrary(domain=3.0), "domain"),
        (sk.PolynomialLibrary(domain=(1.0, -1.0)), "low < high"),
        (sk.PolynomialLibrary(scale=[1.0, -1.0, 1.0]), "scale"),
        (sk.PolynomialLibrary(scale=np.inf), "scale"),
        (sk.PolynomialLibrary("2"), "degree"),
        (sk.PolynomialLibrary(domain=(0.0, 1.0, 2.0)), "domain"),
        (sk.PolynomialLibrary(domain=([0, 1], [2, 3])), "domain"),
        (sk.FourierLibrary(-1), "n_frequencies"),
        (sk.FourierLibrary(0.5), "n_frequencies"),
        (sk.RadialLibrary(degree=-1), "degree"),
        (sk.RadialLibrary(powers=()), "powers"),
        (sk.RadialLibrary(powers=(np.inf,)), "powers"),
    ],
)
def test_wrong_parameters_are_refused(library, message, X):
    with pytest.raises(ValueError, match=message):
        clone(library).fit(X)


@pytest.mark.parametrize(
    ("library", "number"),
    [
        (sk.PolynomialLibrary(30), "118,264,581,564,861,424"),
        (sk.PolynomialLibrary(100), "monomials"),
        (sk.RadialLibrary(degree=30), "118,264,581,564,861,424"),
        (sk.FourierLibrary(30), "Reduce"),
    ],
    ids=repr,
)
def test_too_many_functions_are_refused_before_anything_is_allocated(library, number):
    X = np.zeros((2, 30))
    tracemalloc.start()
    try:
        with pytest.raises(MemoryError, match=rf"{number}.*") as refusal:
            clone(library).fit(X)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert "Reduce" in str(refusal.value)


@pytest.mark.parametrize(
    ("library", "algebra"),
    [
        (sk.FourierLibrary(), sk.so(3)),
        (sk.FourierLibrary(), sk.se(3)),
        (sk.FourierLibrary(), sk.scaling([1, 1, 1])),
        (sk.RadialLibrary(), sk.gl(3)),
        (sk.RadialLibrary(), sk.se(3)),
        (sk.RadialLibrary(), sk.translations(3)),
        (sk.RadialLibrary(), sk.scaling([1, 1, 1])),
    ],
)
def test_motions_that_leave_the_library(library, algebra, X):
    assert issubclass(sk.NotClosedError, ValueError)
    with pytest.raises(sk.NotClosedError, match="closed under"):
        clone(library).fit(X).lie_matrices(algebra)


def test_elements_that_leave_the_library(X):
    with pytest.raises(sk.NotClosedError, match="signed permutations"):
        sk.FourierLibrary().fit(X).group_matrix(sk.cyclic(3, 5).matrices[0])
    with pytest.raises(sk.NotClosedError, match="signed permutations"):
        sk.FourierLibrary(2).fit(X).group_matrix(2 * np.eye(3))
    with pytest.raises(sk.NotClosedError, match="orthogonal"):
        sk.RadialLibrary().fit(X).group_matrix(np.diag([1.0, 2.0, 1.0]))


@pytest.mark.parametrize("order", [1, 2, 4])
def test_turns_that_map_axes_to_axes_keep_waves(order, X):
    library = sk.FourierLibrary(2).fit(X)
    assert_closed(library, X, sk.cyclic(3, order))
    assert_closed(library, X, sk.FiniteGroup([sk.so(3).exp([0, 2 * np.pi / order, 0])[0]]))


def test_radial_functions_at_the_origin_are_zero():
    library = sk.RadialLibrary((-3, 0, 1)).fit(np.eye(3))
    assert_allclose(library.transform(1e-3 * np.eye(3)[:1])[0, 0], 1e9)
    values = library.transform(np.zeros((1, 3)))[0]
    names = list(library.get_feature_names_out())
    assert values[names.index("|x|^0")] == 1
    assert np.count_nonzero(values) == 1
    assert np.isfinite(library.jacobian(np.zeros((1, 3)))).all()


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize(
    ("powers", "degree"),
    [((0, 2), 2), ((-1, 0, 1, 2, 3), 3), ((1, 1), 1), ((-3, -1, 1), 1), ((4, 0), 3), ((0.5,), 2)],
)
def test_radial_functions_are_a_basis(powers, degree, d, rng):
    """Of all |x|^k x^a: none is left out but those that repeat others."""
    X = rng.uniform(-1, 1, size=(500, d))
    Phi = sk.RadialLibrary(powers, degree).fit_transform(X)
    P = PolynomialFeatures(degree).fit_transform(X)
    every = np.hstack([np.linalg.norm(X, axis=1, keepdims=True) ** k * P for k in powers])
    unit = [Z / np.linalg.norm(Z, axis=0) for Z in (Phi, every, np.hstack([Phi, every]))]
    assert [np.linalg.matrix_rank(Z, rtol=1e-9) for Z in unit] == [Phi.shape[1]] * 3


def test_inverse_square_law_is_in_the_radial_library(rng):
    X = rng.normal(size=(20, 3))
    library = sk.RadialLibrary().fit(X)
    names = list(library.get_feature_names_out())
    pull = library.transform(X)[:, [names.index(f"|x|^-3 x{i}") for i in range(3)]]
    law = X / np.linalg.norm(X, axis=1, keepdims=True) ** 3
    assert_allclose(pull, law * library.scale_**2, rtol=1e-12)


def test_complex_steps_are_exact(X):
    exact = sk.from_transformer(FunctionTransformer(np.sin)).fit(X)
    assert_allclose(exact.jacobian(X)[:, 1, 1], np.cos(X[:, 1]), rtol=1e-15)
    assert exact.jacobian_rtol_ == 0
    assert_array_equal(exact.get_feature_names_out(), ["f0", "f1", "f2"])


@pytest.mark.parametrize("offset", [0.0, 3.0, 300.0])
def test_central_differences_are_accurate(offset, X):
    X = X + offset
    rough = sk.from_transformer(PolynomialFeatures(3)).fit(X)
    assert rough.jacobian_rtol_ > 0
    reference = sk.PolynomialLibrary(3, center=0.0, scale=1.0).fit(X)
    expected = reference.jacobian(X) / reference.monomials_.fischer[:, None]
    size = np.abs(expected).max(axis=0)
    assert (np.abs(rough.jacobian(X) - expected) <= rough.jacobian_rtol_ * size + 1e-11).all()


def squared_length(X):
    return np.real(X * np.conj(X)).sum(axis=1, keepdims=True)


def with_length(X):
    return np.hstack([X, np.linalg.norm(X, axis=1, keepdims=True)])


def with_conjugate(X):
    return np.hstack([X**2, X * np.conj(X)])


@pytest.mark.parametrize(
    "transformer",
    [
        FunctionTransformer(squared_length),
        FunctionTransformer(with_length),
        FunctionTransformer(with_conjugate),
        make_union(FunctionTransformer(np.sin), FunctionTransformer(squared_length)),
        Nystroem(n_components=5, random_state=0),
    ],
    ids=["real", "part real", "conjugate", "union", "kernel"],
)
def test_functions_that_are_not_analytic_are_differentiated_too(transformer, X):
    """A complex number that comes out does not say that it carries the derivative."""
    assert_jacobian(sk.from_transformer(transformer).fit(X), X, rtol=1e-6)


def sine(x):
    return np.sin(x)


def product(x, y):
    return x * y


PYSINDY = {
    "polynomial": ps.PolynomialLibrary(3),
    "identity": ps.IdentityLibrary(),
    "Fourier": ps.FourierLibrary(2),
    "custom": ps.CustomLibrary([sine, product]),
    "sum with custom": ps.PolynomialLibrary(2) + ps.CustomLibrary([sine]),
    "generalized": ps.GeneralizedLibrary([ps.PolynomialLibrary(2), ps.FourierLibrary()]),
}


@pytest.mark.parametrize("library", PYSINDY.values(), ids=list(PYSINDY))
def test_pysindy_libraries(library, X):
    adapted = clone(sk.from_pysindy(library)).fit(X)
    library.fit(X)
    assert_allclose(adapted.transform(X), np.asarray(library.transform(X)))
    assert list(adapted.get_feature_names_out()) == list(library.get_feature_names())
    assert_jacobian(adapted, X)


def test_adapters_fit_a_copy(X):
    transformer = PolynomialFeatures(2)
    library = sk.from_transformer(transformer).fit(X)
    assert not hasattr(transformer, "n_features_in_")
    library.set_params(transformer__degree=3)
    assert library.fit(X).n_output_features_ == 20


@pytest.mark.parametrize(
    "transformer",
    [
        FunctionTransformer(np.sin),
        make_union(FunctionTransformer(np.sin), FunctionTransformer(np.cos)),
    ],
    ids=["function", "union"],
)
def test_transformers_without_names_get_some(transformer, X):
    library = sk.from_transformer(transformer).fit(X)
    expected = [f"f{k}" for k in range(library.n_output_features_)]
    assert list(library.get_feature_names_out()) == expected


def test_adapters_are_closed_under_nothing(X):
    library = sk.from_transformer(PolynomialFeatures(2)).fit(X)
    with pytest.raises(sk.NotClosedError, match=r"AdaptedLibrary.*LieDerivative\.sampled"):
        library.lie_matrices(sk.so(3))
    with pytest.raises(sk.NotClosedError, match="AdaptedLibrary"):
        library.group_matrix(np.eye(3))


def test_from_pysindy_wants_a_pysindy_library():
    with pytest.raises(TypeError, match="from_transformer"):
        sk.from_pysindy(PolynomialFeatures())


def test_fourier_names():
    library = sk.FourierLibrary(2).fit(np.zeros((1, 2)))
    expected = ["1", "cos(x0)", "sin(x0)", "cos(x1)", "sin(x1)", "cos(2 x0)", "sin(2 x0)"]
    assert_array_equal(library.get_feature_names_out()[:7], expected)
    assert "cos(x0 - x1)" in library.get_feature_names_out()
