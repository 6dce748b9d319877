"""Symmetries of data sets: right dimension and span, with noise, in any units and place."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import subspace_angles

from sksym import PolynomialLibrary, SymmetryDiscoverer, aff, gl, lorentz, so, vector_fields


def circle(n, rng):
    u = rng.uniform(0, 2 * np.pi, n)
    return np.column_stack([np.cos(u), np.sin(u)])


def sphere(n, rng):
    X = rng.normal(size=(n, 3))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def torus(n, rng):
    u, v = rng.uniform(0, 2 * np.pi, size=(2, n))
    r = 2 + 0.8 * np.cos(v)
    return np.column_stack([r * np.cos(u), r * np.sin(u), 0.8 * np.sin(v)])


def cylinder(n, rng):
    return np.column_stack([circle(n, rng), rng.uniform(-2, 2, n)])


def cone(n, rng):
    t = rng.uniform(0.2, 1.5, n)[:, None]
    return t * np.column_stack([circle(n, rng), np.ones(n)])


def hyperboloid(n, rng):
    t = rng.uniform(-1.2, 1.2, n)[:, None]
    return np.column_stack([np.cosh(t) * circle(n, rng), np.sinh(t)])


def helix(n, rng):
    t = rng.uniform(-3, 3, n) * np.pi
    return np.column_stack([np.cos(t), np.sin(t), t / 4])


def moebius(n, rng):
    u, w = rng.uniform(0, 2 * np.pi, n), rng.uniform(-1, 1, n)
    r = 1 + w / 2 * np.cos(u / 2)
    return np.column_stack([r * np.cos(u), r * np.sin(u), w / 2 * np.sin(u / 2)])


def flat_torus(n, rng):
    return np.column_stack([circle(n, rng), circle(n, rng)])


# points, candidates, number of symmetries, how many dimensions
SETS = {
    "circle": (circle, aff, 1, 1),
    "sphere": (sphere, aff, 3, 2),
    "torus": (torus, aff, 1, 2),
    "cylinder": (cylinder, aff, 5, 2),
    "cone": (cone, aff, 4, 2),
    "hyperboloid": (hyperboloid, aff, 3, 2),
    "helix": (helix, aff, 1, 1),
    "Moebius band": (moebius, aff, 0, 2),
    "flat torus": (flat_torus, gl, 2, 2),
}
every_set = pytest.mark.parametrize(
    ("points", "candidates", "number", "dimension"), SETS.values(), ids=list(SETS)
)


def noisy(points, noise, n=1000, seed=0):
    rng = np.random.default_rng(seed)
    X = points(n, rng)
    return X + noise * np.sqrt(np.mean(np.var(X, axis=0))) * rng.normal(size=X.shape)


def assert_span(found, true, atol):
    found, true = (algebra.flat() for algebra in (found, true))
    assert len(found) == len(true)
    assert subspace_angles(found.T, true.T).max() < atol


@every_set
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_number_of_symmetries(points, candidates, number, dimension, noise):
    model = SymmetryDiscoverer(candidates, random_state=0).fit(noisy(points, noise))
    assert model.n_symmetries_ == number
    assert model.manifold_dimension_ == dimension
    assert model.method_ == ("patches" if points is helix else "level set")


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_generators_are_exact(noise):
    for points, true in ((sphere, so(3)), (torus, so(2).on_columns([0, 1], 3))):
        model = SymmetryDiscoverer(aff, random_state=0).fit(noisy(points, noise))
        assert_span(model.algebra_, true, 1e-12)
        assert model.algebra_name_ == f"so({2 if points is torus else 3})"
    model = SymmetryDiscoverer(aff, random_state=0).fit(noisy(hyperboloid, noise))
    assert_span(model.algebra_, lorentz(2).on_columns([2, 0, 1], 3), 1e-12)
    assert list(model.get_feature_names_out()) == ["x0^2 + x1^2 - x2^2"]


def test_found_motions_keep_the_set():
    """Finite motions along what is found carry points of the torus to points of the torus."""
    model = SymmetryDiscoverer(aff, random_state=0).fit(noisy(torus, 0.01))
    M, t = model.algebra_.exp([1.3])
    x, y, z = (noisy(torus, 0.0) @ M.T + t).T
    assert_allclose((np.hypot(x, y) - 2) ** 2 + z**2, 0.64, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_and_place_do_not_matter(scale):
    X = noisy(cone, 0.005)
    base = SymmetryDiscoverer(aff, random_state=0).fit(X)
    moved = SymmetryDiscoverer(aff, random_state=0).fit(scale * (X + np.array([3.0, -2, 1])))
    assert moved.n_symmetries_ == base.n_symmetries_ == 4
    assert moved.method_ == base.method_
    assert_allclose(moved.singular_values_[:-4], base.singular_values_[:-4], rtol=0.02)


def test_an_ellipse_away_from_the_origin():
    X = circle(400, np.random.default_rng(0)) * [2, 1] + [5, -3]
    model = SymmetryDiscoverer().fit(X)
    assert (model.n_symmetries_, model.algebra_name_) == (1, "so(2)")
    assert list(model.get_feature_names_out()) == ["(x0 - 5)^2 + 4 (x1 + 3)^2"]


def test_fields_beyond_affine_on_a_quartic_curve(rng):
    u = rng.uniform(0, 2 * np.pi, 600)
    X = np.column_stack([np.cos(u), np.sign(np.sin(u)) * np.sqrt(np.abs(np.sin(u)))])
    fields = vector_fields(PolynomialLibrary(3, center=0.0).fit(X))
    model = SymmetryDiscoverer(fields, library=PolynomialLibrary(4)).fit(X)
    V = model.algebra_.vector_field(X)
    normal = np.column_stack([2 * X[:, 0], 4 * X[:, 1] ** 3])  # of x^2 + y^4 = 1
    assert model.n_symmetries_ > 0
    assert_allclose(np.einsum("nrd,nd->nr", V, normal), 0.0, atol=1e-9)


def test_what_vanishes_on_the_set_is_unidentified(rng):
    """On a plane, x2 times anything moves no point of the data."""
    X = np.column_stack([circle(300, rng), np.zeros(300)])
    model = SymmetryDiscoverer(aff).fit(X)
    assert model.unidentified_.dim == 3
    assert_allclose(model.unidentified_.vector_field(X), 0.0, atol=1e-12)
    assert_span(model.algebra_, so(2).on_columns([0, 1], 3), 1e-9)


def test_duplicates_and_weights(rng):
    X = noisy(sphere, 0.01, n=600)
    doubled = SymmetryDiscoverer(aff, random_state=0).fit(np.concatenate([X, X]))
    assert doubled.n_symmetries_ == 3
    kept = np.ones(1200)
    kept[600:] = 0
    ignored = SymmetryDiscoverer(aff, random_state=0).fit(
        np.concatenate([X, rng.normal(size=X.shape)]), sample_weight=kept
    )
    alone = SymmetryDiscoverer(aff, random_state=0).fit(X)
    assert_allclose(ignored.singular_values_, alone.singular_values_, atol=1e-12)


@pytest.mark.parametrize("d", [2, 3, 5])
def test_a_cloud_has_no_symmetry_and_says_so(d, rng):
    with pytest.warns(UserWarning, match=f"The data fill R\\^{d}"):
        model = SymmetryDiscoverer(gl).fit(rng.normal(size=(400, d)))
    assert model.n_symmetries_ == 0
    assert model.manifold_dimension_ == d


def test_too_few_points(rng):
    with pytest.raises(ValueError, match="give more samples"):
        SymmetryDiscoverer(aff).fit(sphere(6, rng))
    with pytest.raises(ValueError, match="distinct"):
        SymmetryDiscoverer(aff).fit(np.repeat(sphere(4, rng), 50, axis=0))


def test_a_data_set_has_no_values(rng):
    model = SymmetryDiscoverer().fit(circle(100, rng))
    with pytest.raises(ValueError, match="no values to predict"):
        model.predict(circle(3, rng))
    assert model.coef_ is None
