"""Potentials: the objective, energies and forces together, exactness, symmetry, input."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.model_selection import GridSearchCV

import sksym as sk
from sksym import PairLibrary, SymmetricPotential
from sksym.testing import assert_symmetric

ALPHA, DEPTH, REST = 1.3, 2.0, 1.1


def attraction(r):
    return np.exp(-ALPHA * r)


def repulsion(r):
    return np.exp(-2 * ALPHA * r)


MORSE = [attraction, repulsion]


def molecules(n, m, rng):
    """Configurations of m atoms near the points of a grid."""
    side = int(np.ceil(m ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)[:m]
    return (1.4 * grid + 0.15 * rng.normal(size=(n, m, 3))).reshape(n, 3 * m)


def morse(X, depths=DEPTH):
    """Energies and forces of ``D (1 - exp(-a (r - r0)))^2`` for every pair, by hand."""
    points = X.reshape(len(X), -1, 3)
    energy = np.zeros(len(X))
    forces = np.zeros_like(points)
    for i, j in combinations(range(points.shape[1]), 2):
        depth = depths if np.isscalar(depths) else depths[i, j]
        difference = points[:, i] - points[:, j]
        r = np.linalg.norm(difference, axis=1)
        e = np.exp(-ALPHA * (r - REST))
        energy += depth * (1 - e) ** 2
        pull = (2 * depth * (1 - e) * ALPHA * e / r)[:, None] * difference
        forces[:, i] -= pull
        forces[:, j] += pull
    return energy, forces.reshape(len(X), -1)


def assert_exact(model, X, energy, forces, rtol=1e-10):
    assert_allclose(model.predict(X), energy, atol=rtol * np.abs(energy).max())
    assert_allclose(model.predict_forces(X), forces, atol=rtol * np.abs(forces).max())


def test_morse_molecules_from_ten_configurations(rng):
    X, fresh = molecules(10, 5, rng), molecules(200, 5, rng)
    energy, forces = morse(X)
    model = SymmetricPotential(library=PairLibrary(5, 3, MORSE))
    model.fit(X, energy, forces=forces)
    assert_exact(model, fresh, *morse(fresh))
    assert_allclose(model.intercept_, 10 * DEPTH)
    # One configuration is enough where forces are known, and so are energies alone here.
    assert_exact(model.fit(X[:1], energy[:1], forces=forces[:1]), fresh, *morse(fresh), rtol=1e-8)
    assert_exact(model.fit(X, energy), fresh, *morse(fresh), rtol=1e-8)


def test_elements_have_functions_of_their_own(rng):
    X, fresh = molecules(20, 4, rng), molecules(50, 4, rng)
    depths = np.array([[0, 1, 1, 3], [1, 0, 2, 4], [1, 2, 0, 4], [3, 4, 4, 0.0]])
    energy, forces = morse(X, depths)
    library = PairLibrary(4, 3, MORSE, labels=["O", "H", "H", "C"])
    model = SymmetricPotential(library=library).fit(X, energy, forces=forces)
    assert_exact(model, fresh, *morse(fresh, depths))


def test_splines_learn_any_pair_potential(rng):
    X, fresh = molecules(60, 5, rng), molecules(100, 5, rng)
    energy, forces = morse(X)
    model = SymmetricPotential(library=PairLibrary(5, 3, 20), alpha=1e-8)
    model.fit(X, energy, forces=forces)
    fresh_energy, fresh_forces = morse(fresh)
    assert np.std(model.predict(fresh) - fresh_energy) < 0.05 * np.std(fresh_energy)
    assert np.std(model.predict_forces(fresh) - fresh_forces) < 0.1 * np.std(fresh_forces)


LIBRARIES = {
    "pairs": (None, PairLibrary(3, 3, 5), 9),
    "polynomials": (sk.so(2).repeat(2), sk.PolynomialLibrary(4), 4),
    "central": (sk.so(3), sk.RadialLibrary((-1, 1), 1), 3),
    "no symmetry": (None, sk.PolynomialLibrary(2), 3),
}
libraries = pytest.mark.parametrize(
    ("symmetry", "library", "d"), LIBRARIES.values(), ids=list(LIBRARIES)
)


@libraries
def test_forces_are_minus_the_derivative(symmetry, library, d, rng):
    X = rng.normal(size=(40, d))
    model = SymmetricPotential(symmetry, library=library, alpha=0.1)
    model.fit(X, rng.normal(size=40), forces=rng.normal(size=(40, d)))
    step = 1e-5
    for i in range(d):
        shift = step * np.eye(d)[i]
        slope = (model.predict(X + shift) - model.predict(X - shift)) / (2 * step)
        size = 1 + np.abs(slope)
        assert_allclose(-model.predict_forces(X)[:, i] / size, slope / size, atol=1e-6)


def test_without_penalty_the_residual_is_orthogonal(rng):
    """Least squares: no combination of functions of the library lowers the weighted sum."""
    X, y, forces = rng.normal(size=(40, 9)), rng.normal(size=40), rng.normal(size=(40, 9))
    weight = rng.uniform(0.5, 2, size=40)
    model = SymmetricPotential(library=PairLibrary(3, 3, 5), forces_weight=0.3)
    model.fit(X, y, sample_weight=weight, forces=forces)
    share = weight / weight.sum()
    c = 0.3 * (share @ (y - share @ y) ** 2) / np.mean(share @ forces**2)
    along_values = model.library_.transform(X).T @ (weight * (y - model.predict(X)))
    residual = weight[:, None] * (forces - model.predict_forces(X))
    along_slopes = np.einsum("npd,nd->p", model.library_.jacobian(X), residual)
    assert_allclose(along_values - c * along_slopes, 0, atol=1e-9)


def test_the_penalty_is_on_standardised_functions(rng):
    """As StandardScaler before Ridge, where there are energies alone."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = molecules(30, 3, rng)
    y = rng.normal(size=30)
    library = PairLibrary(3, 3, MORSE)
    model = SymmetricPotential(library=library, alpha=2.0).fit(X, y)
    plain = make_pipeline(library, StandardScaler(), Ridge(2.0)).fit(X, y)
    assert_allclose(model.predict(X), plain.predict(X), rtol=1e-10)


def test_weights_are_repetitions(rng):
    X = molecules(12, 3, rng)
    energy, forces = morse(X)
    energy = energy + rng.normal(size=12)
    weight = rng.integers(0, 3, 12)
    model = SymmetricPotential(library=PairLibrary(3, 3, MORSE), alpha=0.1)
    weighted = model.fit(X, energy, sample_weight=weight, forces=forces).predict(X)
    repeated = model.fit(
        X.repeat(weight, axis=0), energy.repeat(weight), forces=forces.repeat(weight, axis=0)
    )
    assert_allclose(repeated.predict(X), weighted, rtol=1e-10)


def test_units_do_not_matter(rng):
    """Energies in other units, lengths in other units: the same potential, with any alpha."""
    X = molecules(15, 3, rng)
    energy, forces = morse(X)
    forces = forces + 0.1 * rng.normal(size=forces.shape)
    model = SymmetricPotential(library=PairLibrary(3, 3, 8), alpha=0.01)
    expected = model.fit(X, energy, forces=forces).predict(X)
    for length, unit, zero in [(1e-10, 1.0, 0.0), (1.0, 1e-19, 0.0), (1e8, 1e200, -3e4)]:
        E = unit * (energy + zero)
        model.fit(length * X, E, forces=unit * forces / length)
        predicted = model.predict(length * X) / unit - zero
        assert_allclose(predicted, expected, rtol=1e-6, atol=1e-6)


@libraries
def test_the_symmetry_is_exact(symmetry, library, d, rng):
    X = rng.normal(size=(40, d))
    model = SymmetricPotential(symmetry, library=library, alpha=0.1)
    model.fit(X, rng.normal(size=40), forces=rng.normal(size=(40, d)))
    acting = sk.se(3).repeat(3) + sk.permutations(3, block=3) if d == 9 else symmetry
    if acting is None:
        return
    assert_symmetric(model, X, acting)
    assert model.equivariance_error(X) < 1e-10
    # Forces move as vectors do, with the linear part of the motion.
    group = sk.Group.of(acting)
    M, t = group.algebra.exp(rng.normal(size=group.algebra.dim))
    forces = model.predict_forces(X)
    moved = model.predict_forces(X @ M.T + t)
    assert_allclose(moved, forces @ M.T, atol=1e-10 * np.abs(forces).max())


def test_data_frames_and_blocks(rng):
    """Forces may come as one block of coordinates for each atom, or as a table."""
    X = molecules(10, 5, rng)
    energy, forces = morse(X)
    names = [f"{axis}{i}" for i in range(5) for axis in "xyz"]
    model = SymmetricPotential(library=PairLibrary(5, 3, MORSE))
    expected = model.fit(X, energy, forces=forces).coef_
    assert_allclose(model.fit(X, energy, forces=forces.reshape(10, 5, 3)).coef_, expected)
    frame = pd.DataFrame(X, columns=names)
    table = pd.DataFrame(forces, columns=names)
    assert_allclose(model.fit(frame, energy, forces=table).coef_, expected)
    assert list(model.feature_names_in_) == names


def test_single_precision(rng):
    X = molecules(10, 5, rng)
    energy, forces = morse(X)
    model = SymmetricPotential(library=PairLibrary(5, 3, MORSE))
    model.fit(X.astype(np.float32), energy, forces=forces)
    assert model.predict(X.astype(np.float32)).dtype == np.float32
    assert model.predict_forces(X.astype(np.float32)).dtype == np.float32
    assert_exact(model, X, energy, forces, rtol=1e-5)


def test_grid_search_passes_forces(rng):
    X = molecules(30, 3, rng)
    energy, forces = morse(X)
    search = GridSearchCV(
        SymmetricPotential(library=PairLibrary(3, 3)),
        {"alpha": [0.0, 10.0], "library__functions": [4, 12]},
        cv=3,
    ).fit(X, energy, forces=forces)
    assert search.best_params_ == {"alpha": 0.0, "library__functions": 12}


def test_forces_of_no_weight_do_not_count(rng):
    X = molecules(10, 3, rng)
    energy, forces = morse(X)
    model = SymmetricPotential(library=PairLibrary(3, 3, 4), alpha=0.1, forces_weight=0.0)
    alone = model.fit(X, energy).predict(X)
    assert_allclose(model.fit(X, energy, forces=forces + 1).predict(X), alone)


def test_constant_energies_and_no_forces(rng):
    X = molecules(10, 3, rng)
    model = SymmetricPotential(library=PairLibrary(3, 3, 4))
    model.fit(X, np.full(10, 7.0), forces=np.zeros((10, 9)))
    assert_allclose(model.predict(X), 7)
    assert_allclose(model.predict_forces(X), 0, atol=1e-12)


def test_refused(rng):
    X = molecules(10, 3, rng)
    energy, forces = morse(X)
    model = SymmetricPotential(library=PairLibrary(3, 3, 4))
    with pytest.raises(ValueError, match=r"one number for every entry of X, \(10, 9\), got shape"):
        model.fit(X, energy, forces=forces[:, :3])
    with pytest.raises(ValueError, match=r"forces.*contains NaN"):
        model.fit(X, energy, forces=np.where(forces > 0, np.nan, forces))
    with pytest.raises(ValueError, match="`forces_weight` must be a finite number >= 0"):
        SymmetricPotential(forces_weight=-1.0).fit(X, energy)
    with pytest.raises(ValueError, match="`alpha` must be a finite number >= 0"):
        SymmetricPotential(alpha=-1.0).fit(X, energy)
    with pytest.warns(UserWarning, match="Nothing but constants"):
        SymmetricPotential(sk.translations).fit(X, energy)
