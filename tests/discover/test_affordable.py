"""Searches that do not fit into memory are refused with numbers, before they begin."""

import numpy as np
import pytest

import sksym._linalg.machine as machine
from sksym import PolynomialLibrary, SymmetryDiscoverer, so


def test_a_search_too_large_names_its_numbers(rng, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 2**30)
    X = rng.normal(size=(60, 50))
    model = SymmetryDiscoverer(library=PolynomialLibrary(2))
    with pytest.raises(MemoryError, match="2,550 candidates on 50 features in 1,326 functions"):
        model.fit(X, X[:, 0])
    assert not hasattr(model, "algebra_")


def test_fewer_candidates_fit(rng, monkeypatch):
    monkeypatch.setattr(machine, "available_memory", lambda: 2**28)
    X = rng.normal(size=(300, 5))
    square = np.sum(X**2, axis=1)
    model = SymmetryDiscoverer(so, library=PolynomialLibrary(3)).fit(X, square)
    assert model.n_symmetries_ == 10
