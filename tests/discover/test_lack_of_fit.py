"""Functions outside of the library: the misfit belongs to the noise floor."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from sksym import PolynomialLibrary, SymmetryDiscoverer, so


def bell(seed, d):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2000, d))
    f = np.exp(-np.sum(X**2, axis=1) / 2)
    return X, f + 0.02 * np.std(f) * rng.normal(size=2000)


@pytest.mark.parametrize("d", [2, 3])
def test_a_misfit_is_in_the_floor(d):
    X, y = bell(0, d)
    truth = so(d)
    model = SymmetryDiscoverer(library=PolynomialLibrary(4)).fit(X, y)
    smallest = model.singular_values_[::-1][: truth.dim]
    # Not rejected: too uncertain to be declared, and counted as that.
    assert model.n_symmetries_ + model.undecided_ == truth.dim
    assert smallest.max() < 2 * model.noise_floor_
    bold = SymmetryDiscoverer(library=PolynomialLibrary(4), max_defect=0.3).fit(X, y)
    assert bold.n_symmetries_ == truth.dim
    assert subspace_angles(bold.algebra_.flat().T, truth.flat().T).max() < 1e-9


def test_what_was_chosen_is_published():
    X, y = bell(1, 2)
    model = SymmetryDiscoverer(random_state=0).fit(X, y)
    assert 3 <= model.library_.degree <= 7
