"""SymmetricScaler standardises as far as the symmetry allows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sksym as sk
from sksym.testing import assert_symmetric

ABOUT_A_POINT = sk.se(2).combine([[1, 1, 0]])
COMMUTING = {
    "rotations": sk.so(3),
    "two points": sk.so(3).repeat(2).on_columns([0, 2, 4, 1, 3, 5], 6),
    "some columns": sk.so(2).on_columns([3, 1], 4),
    "about a point": ABOUT_A_POINT.on_columns([0, 2], 3),
    "permutations": sk.permutations(4),
    "reflections": sk.reflections(3),
    "boosts": sk.lorentz(2),
    "scalings": sk.scaling([1, -1, 2]),
    "both": sk.so(2).on_columns([0, 1], 4) + sk.permutations(2).on_columns([2, 3], 4),
    "screw": sk.LieAlgebra([np.pad([[0.0, -1], [1, 0]], (0, 1))], [[0.0, 0, 1]]),
}


@pytest.mark.parametrize("symmetry", COMMUTING.values(), ids=list(COMMUTING))
def test_scaling_commutes_with_the_symmetry(symmetry, rng):
    d = symmetry.n_features
    X = rng.normal(3, [10.0**i for i in range(d)], size=(50, d))
    scaler = sk.SymmetricScaler(symmetry).fit(X)
    Z = scaler.transform(X)
    group = sk.Group.of(symmetry)
    motions = [(g, np.zeros(d)) for g in group.elements.matrices]
    if group.algebra.dim:
        size = np.linalg.norm(group.algebra.linear, axis=(1, 2)).max()
        motions.append(group.algebra.exp(rng.normal(size=group.algebra.dim) / size))
    for M, t in motions:
        moved = scaler.transform(X @ M.T + t)
        assert_allclose(moved, Z @ M.T + t, rtol=1e-9, atol=1e-9 * np.abs(moved).max())
    assert_allclose(scaler.inverse_transform(Z), X, rtol=1e-10, atol=1e-10)


def test_what_the_symmetry_leaves_alone_is_standardised(rng):
    X = rng.normal([0, 5, 0, -7], [3, 1e3, 3, 1e-4], size=(80, 4))
    weight = rng.uniform(size=80)
    expected = StandardScaler().fit(X, sample_weight=weight)
    free = sk.SymmetricScaler().fit(X, sample_weight=weight)
    assert_allclose(free.transform(X), expected.transform(X), atol=1e-9)
    scaler = sk.SymmetricScaler(sk.so(2).on_columns([0, 2], 4)).fit(X, sample_weight=weight)
    assert_allclose(scaler.transform(X)[:, [1, 3]], expected.transform(X)[:, [1, 3]], atol=1e-9)
    assert scaler.scale_[0] == scaler.scale_[2]
    Z = scaler.transform(X)[:, [0, 2]]
    assert weight @ (Z**2).mean(axis=1) / weight.sum() == pytest.approx(1)


@pytest.mark.parametrize("symmetry", [sk.translations(3), sk.se(3), sk.so(3).repeat(1) + sk.se(3)])
def test_groups_with_translations_are_centred_at_the_mean(symmetry, rng):
    """The motions of z are again motions of the group, by other amounts."""
    X = rng.normal([1e6, 0, -3], 2.0, size=(60, 3))
    scaler = sk.SymmetricScaler(symmetry).fit(X)
    Z = scaler.transform(X)
    assert_allclose(Z.mean(axis=0), 0, atol=1e-8)
    assert len(set(scaler.scale_)) == 1
    assert (Z**2).mean() == pytest.approx(1)


def test_points_share_a_scale_where_they_are_translated_together(rng):
    X = rng.normal(size=(60, 6)) * [1, 1, 1, 100, 100, 100]
    scaler = sk.SymmetricScaler(sk.se(3).repeat(2)).fit(X)
    assert len(set(scaler.scale_)) == 1
    library = sk.PolynomialLibrary(2)
    y = ((X[:, :3] - X[:, 3:]) ** 2).sum(axis=1)
    ridge = sk.SymmetricRidge(sk.se(3).repeat(2), library=library, alpha=1e-9)
    model = make_pipeline(scaler, ridge).fit(X, y)
    assert model.score(X, y) > 1 - 1e-9
    assert_symmetric(model, X, sk.se(3).repeat(2), rtol=1e-8)


def test_a_pipeline_keeps_the_symmetry_that_standard_scaler_breaks(rng):
    X = rng.normal([1, -2, 5], [1, 3, 20], size=(100, 3))
    y = np.sqrt((X**2).sum(axis=1))
    ridge = sk.SymmetricRidge(sk.so(3), library=sk.PolynomialLibrary(4))
    kept = make_pipeline(sk.SymmetricScaler(sk.so(3)), ridge).fit(X, y)
    assert_symmetric(kept, X, sk.so(3))
    assert kept.score(X, y) > 0.9
    broken = make_pipeline(StandardScaler(), ridge).fit(X, y)
    assert broken[-1].equivariance_error(broken[0].transform(X)) < 1e-10
    with pytest.raises(AssertionError, match="differs"):
        assert_symmetric(broken, X, sk.so(3))


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_data_frames_keep_their_names(backend, rng):
    frames = pytest.importorskip(backend)
    X = frames.DataFrame({name: rng.normal(size=20) for name in ["a", "b", "c"]})
    scaler = sk.SymmetricScaler(sk.so(2).on_columns(["c", "a"], ["a", "b", "c"]))
    Z = scaler.set_output(transform=backend).fit_transform(X)
    assert isinstance(Z, frames.DataFrame)
    assert list(Z.columns) == list(scaler.get_feature_names_out()) == ["a", "b", "c"]


def test_constant_columns_and_extreme_units(rng):
    X = rng.normal(size=(30, 3)) * [1e200, 0, 1e-200] + [0, 1.7e18, 0]
    Z = sk.SymmetricScaler().fit_transform(X)
    assert_allclose(Z.std(axis=0), [1, 0, 1])


def test_fields_beyond_affine_are_refused(rng):
    X = rng.normal(size=(30, 2))
    with pytest.raises(ValueError, match="beyond affine"):
        sk.SymmetricScaler(sk.vector_fields(sk.PolynomialLibrary(2))).fit(X)
