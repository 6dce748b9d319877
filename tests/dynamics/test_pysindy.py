"""SymmetryOptimizer inside pysindy: the numbers of our own estimator, and every known trap."""

import pickle

import numpy as np
import pysindy as ps
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sksym import (
    PolynomialLibrary,
    RadialLibrary,
    from_pysindy,
    from_transformer,
    gl,
    se,
    so,
    translations,
)
from sksym.dynamics import SymmetryPromotingSINDy
from sksym.pysindy import SymmetryOptimizer


def stirred(X):
    """A limit cycle in the plane of x0 and x1, with so(2)."""
    r2 = (X[:, :2] ** 2).sum(axis=1, keepdims=True)
    return X[:, :2] @ np.array([[0.5, 1.0], [-1.0, 0.5]]) - r2 * X[:, :2]


def attracted(X):
    """To the unit sphere, with so(3)."""
    return X * (0.5 - (X**2).sum(axis=1, keepdims=True))


SYSTEMS = {2: stirred, 3: attracted}
CUBIC = ps.PolynomialLibrary(3)


def rows(d, n=200, noise=0.02):
    rng = np.random.default_rng(d)
    X = rng.normal(size=(n, d))
    Y = SYSTEMS[d](X)
    return X, Y + noise * rng.normal(size=Y.shape)


def theta(library, X):
    return np.asarray(clone_of(library).fit_transform(X))


def clone_of(library):
    return pickle.loads(pickle.dumps(library))


def curves(system=stirred, n_curves=3, n_times=150):
    """Trajectories of different lengths, as lists (X, t)."""
    from scipy.integrate import solve_ivp

    lists = [], []
    for k in range(n_curves):
        t = np.linspace(0, 5, n_times + 10 * k)
        start = np.array([0.2 + 0.5 * k, 0.1])
        path = solve_ivp(
            lambda _, x: system(x[None])[0], (0, 5), start, t_eval=t, rtol=1e-10, atol=1e-10
        )
        lists[0].append(path.y.T)
        lists[1].append(t)
    return lists


def assert_symmetric(values, algebra, X, atol=1e-10, n_states=None):
    """F(g x) = g F(x) for finite elements g without translation."""
    rng = np.random.default_rng(5)
    q = n_states or X.shape[1]
    for _ in range(3):
        M, _ = algebra.exp(rng.normal(size=algebra.dim))
        there, here = values(X @ M.T), values(X)
        assert np.abs(there - here @ M[:q, :q].T).max() <= atol * np.abs(there).max()


def of(optimizer, library, X):
    """The fitted vector field as a function of states."""
    return lambda Z: np.asarray(clone_of(library).fit(X).transform(Z)) @ optimizer.coef_.T


# ---------------------------------------------------------------- the same numbers

PARAMETERS = {
    "enforced": lambda d: {"symmetry": so(d)},
    "callable": lambda d: {"symmetry": so},
    "promoted": lambda d: {"candidates": gl(d)},
    "translations too": lambda d: {"candidates": se(d), "alpha": 0.1},
    "lasso": lambda d: {"symmetry": so(d), "l1": 1e-3, "threshold": 0.0},
    "ridge": lambda d: {"candidates": gl(d), "ridge": 1e-2},
    "dense": lambda d: {"symmetry": so(d), "threshold": 0.0},
    "neither": lambda d: {"threshold": 0.2},
}


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("name", PARAMETERS)
def test_same_as_our_own_estimator(name, d):
    X, Y = rows(d)
    parameters = PARAMETERS[name](d)
    mine = SymmetryOptimizer(library=CUBIC, **parameters).fit(theta(CUBIC, X), Y)
    ours = SymmetryPromotingSINDy(library=PolynomialLibrary(3), **parameters).fit(X, Y)
    expected = ours.library_.monomial_coef(ours.coef_)
    np.testing.assert_allclose(mine.coef_, expected, rtol=0, atol=1e-8)
    assert ((mine.coef_ != 0) == (expected != 0)).all()
    assert mine.n_symmetries_ == ours.n_symmetries_
    np.testing.assert_allclose(mine.singular_values_, ours.singular_values_, atol=1e-10)


@pytest.mark.parametrize("d", [2, 3])
def test_finds_the_system(d):
    X, Y = rows(d)
    mine = SymmetryOptimizer(gl(d), library=CUBIC).fit(theta(CUBIC, X), Y)
    assert mine.n_symmetries_ == so(d).dim
    assert mine.coef_.shape == (d, mine.Theta_.shape[1])
    assert np.abs(mine.predict(theta(CUBIC, X)) - SYSTEMS[d](X)).max() < 0.05
    assert mine.complexity == np.count_nonzero(mine.coef_) == {2: 8, 3: 12}[d]
    assert_symmetric(of(mine, CUBIC, X), so(d), X)


LIBRARIES = {
    "cubic": CUBIC,
    "without constant": ps.PolynomialLibrary(3, include_bias=False),
    "pure powers": ps.PolynomialLibrary(3, include_interaction=False),
    "products": ps.PolynomialLibrary(3, interaction_only=True),
    "coordinates": ps.IdentityLibrary(),
    "ours": PolynomialLibrary(3),
    "adapted": from_pysindy(CUBIC),
    "sum": ps.PolynomialLibrary(3) + ps.FourierLibrary(),
    "product": ps.PolynomialLibrary(1) * ps.PolynomialLibrary(1),
    "parts": ps.GeneralizedLibrary(
        [ps.PolynomialLibrary(2), ps.FourierLibrary()], inputs_per_library=[[0, 1, 2], [0]]
    ),
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_equivariant_in_every_library(name):
    X, Y = rows(3)
    library = CUBIC if name in ("ours", "adapted") else LIBRARIES[name]
    mine = SymmetryOptimizer(symmetry=so(3), library=LIBRARIES[name]).fit(theta(library, X), Y)
    assert mine.coef_.any()
    assert mine.n_symmetries_ == 3
    assert_symmetric(of(mine, library, X), so(3), X)


def test_custom_library_is_sampled():
    library = ps.CustomLibrary([lambda x: x, lambda x: x**3, lambda x, y: x * y**2])
    X, Y = rows(2)
    Theta = np.asarray(library.fit_transform(X))
    mine = SymmetryOptimizer(symmetry=so(2), library=library).fit(Theta, Y)
    assert mine.library_.jacobian_rtol_ == 0
    assert_symmetric(lambda Z: np.asarray(library.transform(Z)) @ mine.coef_.T, so(2), X)


def test_centre_elsewhere_comes_back_in_plain_monomials():
    X, Y = rows(2, noise=0.0)
    library, center = ps.PolynomialLibrary(3), np.array([2.0, -1.0])
    turned = so(2)
    turned = type(turned)(turned.linear, -turned.linear @ center)
    mine = SymmetryOptimizer(symmetry=turned, library=library, threshold=0.01)
    mine.fit(theta(library, X + center), Y)
    np.testing.assert_allclose(mine.predict(theta(library, X + center)), Y, atol=1e-9)
    assert_symmetric(lambda Z: of(mine, library, X)(Z + center), so(2), X)


def test_weights_count_as_copies():
    X, Y = rows(2)
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    copies = np.repeat(np.arange(len(X)), weight)
    one = SymmetryOptimizer(gl(2), library=CUBIC)
    weighted = clone(one).fit(theta(CUBIC, X), Y, sample_weight=weight)
    repeated = clone(one).fit(theta(CUBIC, X[copies]), Y[copies])
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-8)
    np.testing.assert_array_equal(weighted.Theta_, theta(CUBIC, X))


def test_symmetries_are_counted_once():
    X, Y = rows(3)
    with pytest.warns(UserWarning, match="3 of the candidates are enforced"):
        mine = SymmetryOptimizer(gl(3), symmetry=so(3), library=CUBIC).fit(theta(CUBIC, X), Y)
    assert mine.n_symmetries_ == mine.algebra_.dim == 3


# ---------------------------------------------------------------- in pysindy.SINDy


def test_model_predicts_scores_simulates_and_prints(capsys):
    X, t = curves()
    optimizer = SymmetryOptimizer(gl, library=CUBIC)
    model = ps.SINDy(
        optimizer=optimizer,
        feature_library=clone_of(CUBIC),
        differentiation_method=ps.SmoothedFiniteDifference(),
    ).fit(X, t=t)
    assert optimizer.n_symmetries_ == 1
    assert model.score(X[0], t=t[0]) > 0.999
    assert np.abs(model.predict(X[0]) - stirred(X[0])).max() < 0.02
    path = model.simulate(X[0][0], t[0])
    assert np.abs(path - X[0]).max() < 0.02
    assert_symmetric(lambda Z: np.asarray(model.predict(Z)), so(2), X[0])
    model.print()
    assert capsys.readouterr().out.count("x0 x1^2") == 1
    assert model.complexity == 8


def test_list_of_times():
    X, t = curves()
    model = ps.SINDy(
        optimizer=SymmetryOptimizer(symmetry=so(2), library=CUBIC), feature_library=clone_of(CUBIC)
    )
    model.fit(X, t=t)
    assert model.score(X, t=t) > 0.999
    assert len(model.optimizer.Theta_) == sum(len(x) for x in X)
    assert_symmetric(lambda Z: np.asarray(model.predict(Z)), so(2), X[0])


def test_default_library_is_that_of_pysindy():
    X, t = curves(lambda X: X @ np.array([[-0.1, 1.0], [-1.0, -0.1]]), 1)
    model = ps.SINDy(optimizer=SymmetryOptimizer(gl, threshold=0.05))
    model.fit(X[0], t=t[0])
    np.testing.assert_allclose(model.coefficients()[:, 1:3], [[-0.1, -1.0], [1.0, -0.1]], atol=1e-2)
    assert np.count_nonzero(model.coefficients()) == 4


def test_rows_without_derivative_are_left_out():
    X, t = curves(n_curves=1)
    method = ps.FiniteDifference(drop_endpoints=True)
    model = ps.SINDy(
        optimizer=SymmetryOptimizer(symmetry=so(2), library=CUBIC),
        feature_library=clone_of(CUBIC),
        differentiation_method=method,
    )
    with np.errstate(all="ignore"):
        model.fit(X[0], t=t[0])
    assert len(model.optimizer.Theta_) == len(X[0]) - 2
    assert model.optimizer.coef_.any()


@pytest.mark.parametrize("algebra", [so(2), so(2).on_columns([0, 1], 3), so])
def test_controls_are_left_alone(algebra):
    rng = np.random.default_rng(0)
    X, u = rng.normal(size=(200, 2)), rng.normal(size=(200, 1))
    Y = stirred(X) + 2 * u * X + 0.01 * rng.normal(size=X.shape)
    optimizer = SymmetryOptimizer(symmetry=algebra, library=CUBIC)
    model = ps.SINDy(optimizer=optimizer, feature_library=clone_of(CUBIC))
    model.fit(X, t=1.0, x_dot=Y, u=u)
    assert optimizer.states_.tolist() == [0, 1]
    assert optimizer.controls_.tolist() == [2]
    inputs = np.column_stack([X, u])
    np.testing.assert_allclose(model.predict(X, u=u), stirred(X) + 2 * u * X, atol=0.05)
    acting = so(2).on_columns([0, 1], 3)
    assert_symmetric(of(optimizer, CUBIC, inputs), acting, inputs, n_states=2)
    start = np.array([0.2, 0.1])
    path = model.simulate(start, np.linspace(0, 1, 5), u=lambda time: np.array([0.1]))
    assert np.isfinite(path).all()


def test_maps_by_their_increments():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    following = X + 0.3 * X @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + 0.5
    optimizer = SymmetryOptimizer(symmetry=translations(2), library=CUBIC, discrete_time=True)
    model = ps.DiscreteSINDy(optimizer=optimizer, feature_library=clone_of(CUBIC))
    model.fit(X, t=1, x_next=following)
    step = np.asarray(model.predict(X + 1.0)) - np.asarray(model.predict(X))
    np.testing.assert_allclose(step, 1.0, atol=1e-12)
    own = SymmetryPromotingSINDy(
        symmetry=so(2), library=PolynomialLibrary(3), discrete_time=True, threshold=0.01
    ).fit(X, following)
    mine = clone(optimizer).set_params(symmetry=so(2), threshold=0.01)
    mine.fit(theta(CUBIC, X), following)
    np.testing.assert_allclose(mine.predict(theta(CUBIC, X)), own.predict(X), atol=1e-8)


# ---------------------------------------------------------------- traps


def test_unbias_is_off_and_refused():
    X, Y = rows(2)
    assert ps.STLSQ().unbias
    assert not SymmetryOptimizer().unbias
    with pytest.raises(ValueError, match="breaks the symmetry"):
        SymmetryOptimizer(symmetry=so(2), library=CUBIC, unbias=True).fit(theta(CUBIC, X), Y)
    optimizer = SymmetryOptimizer(symmetry=so(2), library=CUBIC)
    optimizer.unbias = True
    with pytest.raises(ValueError, match="unbias=True"):
        ps.SINDy(optimizer=optimizer, feature_library=clone_of(CUBIC)).fit(X, t=1.0, x_dot=Y)


def test_normalised_columns_change_nothing():
    X, Y = rows(2)
    X = X * 0.5
    Theta = theta(CUBIC, X)
    plain = SymmetryOptimizer(symmetry=so(2), library=CUBIC).fit(Theta, Y)
    normed = SymmetryOptimizer(symmetry=so(2), library=CUBIC, normalize_columns=True).fit(Theta, Y)
    np.testing.assert_array_equal(normed.coef_, plain.coef_)
    np.testing.assert_array_equal(normed.Theta_, Theta)
    np.testing.assert_array_equal(normed.history_[-1], plain.coef_)
    assert normed.normalize_columns
    still = theta(CUBIC, np.column_stack([X, np.zeros(len(X))]))  # columns of norm zero
    with pytest.warns(UserWarning, match="vanish on the data.* x2 = 0"):
        zero = SymmetryOptimizer(symmetry=so(2), library=CUBIC).fit(still, Y)
    assert np.isfinite(zero.coef_).all()


def test_ensembles_may_leave_out_rows_but_not_columns():
    X, t = curves()
    state = np.random.get_state()  # noqa: NPY002 - pysindy draws from the global generator
    np.random.seed(0)  # noqa: NPY002
    try:
        optimizer = ps.EnsembleOptimizer(
            SymmetryOptimizer(symmetry=so(2), library=CUBIC),
            bagging=True,
            n_models=5,
            ensemble_aggregator=lambda models: np.mean(models, axis=0),
        )
        model = ps.SINDy(optimizer=optimizer, feature_library=clone_of(CUBIC)).fit(X, t=t)
        assert_symmetric(lambda Z: np.asarray(model.predict(Z)), so(2), X[0])
        assert model.score(X, t=t) > 0.99
        for drop in (1, 4):
            broken = ps.EnsembleOptimizer(
                SymmetryOptimizer(symmetry=so(2), library=CUBIC),
                library_ensemble=True,
                n_candidates_to_drop=drop,
            )
            with pytest.raises(ValueError, match=r"library_ensemble=True.*use bagging"):
                ps.SINDy(optimizer=broken, feature_library=clone_of(CUBIC)).fit(X, t=t)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_columns_left_out_are_noticed_even_where_their_number_fits():
    X, Y = rows(3)
    # 10 columns for three inputs, less 4: as many as for two inputs.
    Theta = theta(ps.PolynomialLibrary(2), X)[:, [0, 1, 2, 4, 5, 8]]
    with pytest.raises(ValueError, match=r"Theta is not what `library` .* says for 2 inputs"):
        SymmetryOptimizer(symmetry=so(2)).fit(Theta, Y[:, :2])


def test_fit_leaves_what_it_is_given_alone():
    X, Y = rows(2)
    library, algebra = ps.PolynomialLibrary(3), so(2)
    optimizer = SymmetryOptimizer(symmetry=algebra, library=library)
    before = dict(vars(library)), {k: id(v) for k, v in optimizer.get_params().items()}
    Theta, target = theta(CUBIC, X), Y.copy()
    given = Theta.copy()
    optimizer.fit(Theta, target)
    np.testing.assert_array_equal(Theta, given)
    np.testing.assert_array_equal(target, Y)
    assert vars(library) == before[0]
    assert {k: id(v) for k, v in optimizer.get_params().items()} == before[1]
    assert optimizer.initial_guess is None
    shared = ps.SINDy(optimizer=optimizer, feature_library=library)  # the very same library
    shared.fit(X, t=1.0, x_dot=Y)
    first = optimizer.coef_
    np.testing.assert_array_equal(shared.fit(X, t=1.0, x_dot=Y).coefficients(), first)


def test_set_params_returns_the_optimizer():
    optimizer = SymmetryOptimizer(library=ps.PolynomialLibrary(2))
    assert optimizer.set_params(alpha=0.5, library__degree=3) is optimizer
    assert optimizer.alpha == 0.5
    assert optimizer.library.degree == 3
    model = ps.SINDy(optimizer=optimizer)
    model.set_params(optimizer__threshold=0.3)
    assert optimizer.threshold == 0.3


def test_clone_and_pickle():
    X, Y = rows(2)
    optimizer = SymmetryOptimizer(symmetry=so(2), library=CUBIC, alpha=0.3, max_iter=50)
    copy = clone(optimizer)
    assert copy.get_params().keys() == optimizer.get_params().keys()
    assert (copy.alpha, copy.max_iter, copy.library.degree) == (0.3, 50, 3)
    assert not hasattr(copy, "coef_")
    for library in (CUBIC, ps.PolynomialLibrary(2, include_bias=False), from_pysindy(CUBIC)):
        given = library if hasattr(library, "get_feature_names") else CUBIC
        fitted = clone(optimizer).set_params(library=library).fit(theta(given, X), Y)
        again = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(again.coef_, fitted.coef_)
        assert again.n_symmetries_ == 1


def test_a_failed_fit_leaves_the_model_as_it_was():
    X, Y = rows(2)
    optimizer = SymmetryOptimizer(symmetry=so(2), library=CUBIC)
    with pytest.raises(ValueError, match="shape"):
        optimizer.fit(theta(CUBIC, X), Y[:-1])
    assert not hasattr(optimizer, "coef_")
    optimizer.fit(theta(CUBIC, X), Y)
    known = optimizer.coef_
    with pytest.raises(ValueError, match="library"):
        optimizer.fit(theta(CUBIC, X)[:, :-1], Y)
    assert optimizer.coef_ is known


def test_only_symmetries_of_the_result_are_declared():
    """With few rows much noise is fitted, and what is nearly a symmetry is not one."""
    for n in (8, 12, 20, 30):
        X, Y = rows(2, n=n, noise=0.3)
        mine = SymmetryOptimizer(gl(2), library=CUBIC).fit(theta(CUBIC, X), Y)
        if mine.algebra_.dim:
            assert_symmetric(of(mine, CUBIC, X), mine.algebra_, X, 1e-8)


# ---------------------------------------------------------------- what cannot be


class Nothing:
    """No library."""


REFUSED = {
    "wrong degree": (ps.PolynomialLibrary(2), "Theta is not what .* x0\\^2 first"),
    "too large": (ps.PolynomialLibrary(4), r"Theta has 10 columns, but `library` .* 15 for 2"),
    "without coordinates": (ps.FourierLibrary(), "has no column that is"),
    "derivatives": (ps.PDELibrary(), "not functions of the state alone"),
    "placed": (PolynomialLibrary(3, center=1.0), "leave them None"),
    "no library": (Nothing(), "wrap .* a pysindy library with from_pysindy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_libraries_that_do_not_fit_are_refused(name):
    library, message = REFUSED[name]
    X, Y = rows(2)
    with pytest.raises((ValueError, TypeError), match=message):
        SymmetryOptimizer(symmetry=so(2), library=library).fit(theta(CUBIC, X), Y)


def test_a_library_must_contain_the_coordinates():
    X, Y = rows(2)
    library = ps.FourierLibrary()
    with pytest.raises(ValueError, match=r"no column that is x0, x1 itself.*IdentityLibrary"):
        SymmetryOptimizer(symmetry=so(2), library=library).fit(theta(library, X), Y)
    library = ps.IdentityLibrary() + ps.FourierLibrary()
    SymmetryOptimizer(symmetry=so(2), library=library).fit(theta(library, X), Y)


def test_scaled_columns_are_noticed():
    X, Y = rows(2)
    Theta = theta(CUBIC, X)
    with pytest.raises(ValueError, match="neither scaled nor short"):
        SymmetryOptimizer(symmetry=so(2), library=CUBIC).fit(
            Theta / np.linalg.norm(Theta, axis=0), Y
        )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"symmetry": so(3)}, r"acts on R\^3"),
        ({"symmetry": "so"}, "must be a LieAlgebra"),
        ({"alpha": -1}, "`alpha` must be a finite number >= 0"),
        ({"threshold": np.nan}, "`threshold`"),
        ({"l1": np.inf}, "`l1`"),
        ({"ridge": -1}, "`ridge`"),
        ({"max_iter": 0}, "`max_iter`"),
        ({"tol": 0}, "`tol`"),
    ],
)
def test_bad_parameters(parameters, message):
    X, Y = rows(2)
    with pytest.raises((ValueError, TypeError), match=message):
        SymmetryOptimizer(**{"library": CUBIC, **parameters}).fit(theta(CUBIC, X), Y)


def test_bad_rows():
    X, Y = rows(2)
    Theta = theta(CUBIC, X)
    optimizer = SymmetryOptimizer(symmetry=so(2), library=CUBIC)
    with pytest.raises(ValueError, match=r"Theta must have shape \(n, p\)"):
        optimizer.fit(Theta[0], Y)
    with pytest.raises(ValueError, match="sample_weight"):
        optimizer.fit(Theta, Y, sample_weight=-np.ones(len(Y)))
    half = Theta.copy()
    half[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        optimizer.fit(half, Y)


def test_a_missed_tolerance_is_told():
    X, _ = rows(3)
    Theta = theta(CUBIC, X)
    Y = Theta @ np.random.default_rng(0).normal(size=(Theta.shape[1], 3))  # no symmetry
    optimizer = SymmetryOptimizer(gl(3), library=CUBIC, max_iter=1, tol=1e-12)
    with pytest.warns(ConvergenceWarning, match="increase `max_iter` or `tol`"):
        optimizer.fit(Theta, Y)


def test_one_state():
    x = np.linspace(0.1, 1, 50)
    X = x[:, None]
    mine = SymmetryOptimizer(library=CUBIC, threshold=0.01).fit(theta(CUBIC, X), x - x**3)
    np.testing.assert_allclose(mine.coef_, [[0, 1, 0, -1]], atol=1e-8)
    assert mine.n_symmetries_ == 0


def test_libraries_of_ours_and_of_scikit_learn():
    from sklearn.preprocessing import PolynomialFeatures

    X, Y = rows(2)
    library = from_transformer(PolynomialFeatures(3, include_bias=False))
    Theta = PolynomialFeatures(3, include_bias=False).fit_transform(X)
    mine = SymmetryOptimizer(symmetry=so(2), library=library).fit(Theta, Y)
    expected = SymmetryOptimizer(symmetry=so(2), library=CUBIC).fit(theta(CUBIC, X), Y)
    np.testing.assert_allclose(mine.coef_, expected.coef_[:, 1:], atol=1e-8)
    with pytest.raises(ValueError, match="IdentityLibrary"):
        SymmetryOptimizer(symmetry=so(2), library=RadialLibrary()).fit(Theta, Y)
