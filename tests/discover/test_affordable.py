"""Searches that do not fit into memory are refused with numbers, before they begin."""

import numpy as np
import pytest

import sksym._linalg.machine as machine
from sksym import PolynomialLibrary, SymmetryDiscoverer, so
from sksym.discover.affordable import require_affordable


def test_a_search_too_large_names_its_numbers(rng, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 2**30)
    X = rng.normal(size=(60, 50))
    model = SymmetryDiscoverer(library=PolynomialLibrary(2))
    with pytest.raises(MemoryError, match="2,550 candidates on 50 features in 1,326 functions"):
        model.fit(X, X[:, 0])
    assert not hasattr(model, "algebra_")


@pytest.mark.parametrize(("degree", "is_refused"), [(2, False), (3, True)])
def test_the_joint_fit_is_counted(degree, is_refused, rng, monkeypatch):
    """Of aff(20): quadratic functions fit into 2 GiB, cubic ones do not into 16."""
    monkeypatch.setattr(machine, "available_memory", lambda: 2**34 if is_refused else 2**31)
    n_functions = PolynomialLibrary(degree).fit(rng.normal(size=(2, 20))).n_output_features_
    if is_refused:
        with pytest.raises(MemoryError, match="420 candidates on 20 features in 1,771 functions"):
            require_affordable(420, n_functions, 1, 20)
    else:
        require_affordable(420, n_functions, 1, 20)


def test_fewer_candidates_fit(rng, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 2**28)
    X = rng.normal(size=(300, 5))
    square = np.sum(X**2, axis=1)
    model = SymmetryDiscoverer(so, library=PolynomialLibrary(3)).fit(X, square)
    assert model.n_symmetries_ == 10
