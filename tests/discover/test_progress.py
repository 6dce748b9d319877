"""What a search prints, and what the callbacks of scikit-learn are told."""

import numpy as np
import pytest

from sksym import PolynomialLibrary, SymmetryDiscoverer, gl
from sksym.discover.folds import fold_statistics, leave_one_out, merged


def samples(rng):
    X = rng.normal(size=(200, 2))
    square = np.sum(X**2, axis=1)
    return X, square + square**2 + 0.1 * rng.normal(size=200)


def test_verbose_prints_the_stages(rng, capsys):
    X, y = samples(rng)
    SymmetryDiscoverer(gl).fit(X, y)
    assert not capsys.readouterr().out
    model = SymmetryDiscoverer(gl, library=PolynomialLibrary(4), verbose=1).fit(X, y)
    library, spectrum, *compared = capsys.readouterr().out.splitlines()
    assert library == "library: 15 functions of 2 features, 4 candidates"
    assert spectrum.startswith("spectrum: 4 directions")
    assert compared[0].startswith("1 symmetries of at most 1: BIC -")
    report = model.report_
    costs = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in costs[:1]] == [f"cost of {report[0].generator}"]


def test_callbacks_of_scikit_learn_see_the_stages(rng, watch):
    X, y = samples(rng)
    model = SymmetryDiscoverer(gl, library=PolynomialLibrary(4)).set_callbacks(watch)
    assert model.fit(X, y).n_symmetries_ == 1
    assert watch.begun == ["fit", "library", "spectrum", "1 symmetries", "elements"]
    watch.events.clear()
    SymmetryDiscoverer(gl).set_callbacks(watch).fit(X / np.linalg.norm(X, axis=1)[:, None])
    assert watch.begun == ["fit", "manifold", "spectrum", "elements"]


@pytest.mark.parametrize("n_folds", [1, 2, 5])
def test_all_but_one_fold_are_merged(n_folds, rng):
    X, y = samples(rng)
    fold = np.arange(len(X)) % n_folds
    library = PolynomialLibrary(2).fit(X)
    folds = fold_statistics(library, X, np.ones(len(X)), fold, y[:, None])
    for k, training in enumerate(leave_one_out(folds)):
        others = merged(folds[:k] + folds[k + 1 :] or folds)
        assert training.n_rows == others.n_rows
        np.testing.assert_allclose(training.R.T @ training.R, others.R.T @ others.R, atol=1e-9)
