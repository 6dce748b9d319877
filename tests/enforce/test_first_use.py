"""What a new user does first: formulas, searches over the library, data frames."""

import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV

import sksym as sk


def test_equations_have_the_names_of_the_columns(rng):
    X = pd.DataFrame(rng.normal(size=(60, 3)), columns=["east", "north", "height"])
    y = 2 * X["east"] ** 2 + 2 * X["north"] ** 2 + 7
    circle = sk.so(2).on_columns(["east", "north"], list(X.columns))
    model = sk.SymmetricRidge(circle, library=sk.PolynomialLibrary(2, center=0.0), alpha=0)
    assert model.fit(X, y).equations() == ["y = 7 + 2 east^2 + 2 north^2"]
    names = sk.InvariantFeatures(circle).fit(X).get_feature_names_out()
    assert "east^2 + north^2" in set(names)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_equations_of_several_outputs_in_any_unit(unit, rng):
    X = unit * rng.normal(size=(60, 2))
    model = sk.SymmetricRidge(sk.so(2), library=sk.PolynomialLibrary(3), output=sk.vector, alpha=0)
    assert model.fit(X, 3 * X).equations() == ["y0 = 3 x0", "y1 = 3 x1"]


def test_equations_show_the_intercept(rng):
    X = rng.normal(size=(60, 2))
    library = sk.RadialLibrary(powers=(2,), degree=0)
    model = sk.SymmetricRidge(sk.so(2), library=library, alpha=0).fit(X, (X**2).sum(axis=1) + 5)
    unit = model.library_.scale_
    assert model.equations() == [f"y = 5 + {unit**2:.4g} |x|^2"]


@pytest.mark.filterwarnings("ignore:The symmetry leaves")
def test_searches_reach_the_default_library(rng):
    X = rng.normal(size=(120, 3))
    y = (X**2).sum(axis=1) ** 2
    search = GridSearchCV(sk.SymmetricRidge(sk.so(3)), {"library__degree": [1, 2, 4]}).fit(X, y)
    assert search.best_params_ == {"library__degree": 4}
    features = sk.InvariantFeatures(sk.so(3)).set_params(library__degree=4)
    assert features.fit_transform(X).shape == (120, 2)
    given = sk.SymmetricRidge(library=sk.FourierLibrary()).set_params(library__n_frequencies=2)
    assert given.library.n_frequencies == 2
