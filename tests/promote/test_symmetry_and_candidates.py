"""What is enforced and what is promoted: together, overlapping, discrete, and nothing at all."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import subspace_angles

from sksym import (
    FourierLibrary,
    Group,
    InvariantFeatures,
    LieAlgebra,
    PolynomialLibrary,
    SymmetricRidge,
    SymmetryDiscoverer,
    SymmetryPromotingRegressor,
    SymmetryPromotingRegressorCV,
    SymmetryPromotingSINDy,
    WeakSymmetryPromotingSINDy,
    columns,
    cyclic,
    gl,
    permutations,
    reflections,
    se,
    so,
    symmetry_path,
    translations,
    vector,
    vector_fields,
)
from sksym.promote import without_enforced
from sksym.testing import assert_symmetric

AXIS = so(2).on_columns([0, 1], 3)
FLIP = reflections(3).take([2])


def samples(n=60, d=3, seed=0):
    """Return rows, values without any symmetry, and a field without any."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, d))
    y = (X**2).sum(axis=1) + 0.3 * X[:, 0] * X[:, 1] + X[:, -1] + 0.1 * rng.normal(size=n)
    Y = 0.5 * X - (X**2).sum(axis=1, keepdims=True) * X + 0.1 * rng.normal(size=X.shape)
    return X, y, Y


def orbits():
    """Return points of several trajectories of a stirred cubic field, and its values there."""
    X = np.random.default_rng(0).uniform(-1, 1, size=(200, 3))
    turn = np.stack([-X[:, 1], X[:, 0], np.zeros(200)], axis=1)
    return X, turn - X * (X[:, 2:] ** 2)


# --------------------------------------------------------- enforced elements beside candidates

TOGETHER = {
    "permutations, rotations": (so, permutations, None),
    "reflections, translations": (translations, reflections, None),
    "an axis and a flip, rotations": (so, AXIS + FLIP, None),
    "a quarter of a turn, all linear motions": (gl, cyclic(3, 4), None),
    "discrete candidates too": (translations(3) + permutations(3), FLIP, None),
    "fields": (gl, reflections, vector),
    "fields, an axis and a flip": (so, AXIS + FLIP, vector),
    "fields, discrete candidates too": (gl(3) + reflections(3), permutations, vector),
}


@pytest.mark.parametrize("options", [{}, {"refit": False}, {"adaptive": False, "refit": False}])
@pytest.mark.parametrize("name", TOGETHER)
@pytest.mark.filterwarnings("ignore:.* of the candidates are enforced")
def test_discrete_symmetry_is_exact_while_others_are_promoted(name, options):
    candidates, symmetry, output = TOGETHER[name]
    X, y, Y = samples()
    model = SymmetryPromotingRegressor(
        candidates,
        symmetry=symmetry,
        output=output,
        library=PolynomialLibrary(3, center=0.0),
        alpha=1e-3,
        **options,
    ).fit(X, y if output is None else Y)
    assert_symmetric(model, X, symmetry, output, rtol=1e-12)
    if model.n_symmetries_ and not options:
        assert_symmetric(model, X, model.algebra_, output, rtol=1e-10)


def test_discrete_symmetry_and_candidates_that_hold():
    """Both end up exact: the flip that is enforced and the rotations that the data show."""
    X, y, _ = samples()
    y = (X[:, 0] ** 2 + X[:, 1] ** 2) * (1 + X[:, 2] ** 2)
    model = SymmetryPromotingRegressor(
        so, symmetry=FLIP, library=PolynomialLibrary(4, center=0.0), alpha=1e-3
    ).fit(X, y)
    assert model.algebra_.names == ("x0 ∂1 - x1 ∂0",)
    assert_symmetric(model, X, AXIS + FLIP, rtol=1e-10)
    assert_allclose(model.predict(X), y, atol=1e-8)


@pytest.mark.parametrize("library", [FourierLibrary(2), PolynomialLibrary(2)])
def test_libraries_of_both_kinds_keep_a_discrete_symmetry(library):
    X, y, _ = samples()
    model = SymmetryPromotingRegressor(
        translations, symmetry=permutations, library=library, alpha=1e-2
    ).fit(X, y)
    assert_symmetric(model, X, permutations, rtol=1e-10)


def test_cross_validation_and_paths_enforce_a_discrete_symmetry():
    X, y, _ = samples()
    model = SymmetryPromotingRegressorCV(so, symmetry=permutations, alphas=2, ridges=[], cv=2)
    assert_symmetric(model.fit(X, y), X, permutations, rtol=1e-10)
    path = symmetry_path(X, y, so, symmetry=permutations, alphas=3)
    for coef in path.coefs:
        assert_symmetric(lambda X, c=coef: path.library.transform(X) @ c.T, X, permutations)


@pytest.mark.parametrize("options", [{"threshold": 0.0}, {"threshold": 0.05}, {"l1": 1e-3}])
def test_dynamics_with_a_group_of_both_kinds(options):
    """A field stirred about an axis, with a flip along it: both are exact, sparse or not."""
    X, X_dot = orbits()
    noisy = X_dot + 0.05 * np.random.default_rng(1).normal(size=X_dot.shape)
    model = SymmetryPromotingSINDy(
        symmetry=AXIS + FLIP, library=PolynomialLibrary(3), **options
    ).fit(X, noisy)
    assert_symmetric(model, X, AXIS + FLIP, vector, rtol=1e-10)
    assert model.n_symmetries_ == 1
    assert np.abs(model.predict(X) - X_dot).max() < 0.1


def test_dynamics_with_a_discrete_symmetry_and_candidates():
    X, X_dot = orbits()
    model = SymmetryPromotingSINDy(so, symmetry=FLIP, library=PolynomialLibrary(3)).fit(X, X_dot)
    assert model.algebra_.names == ("x0 ∂1 - x1 ∂0",)
    assert_symmetric(model, X, AXIS + FLIP, vector, rtol=1e-10)


def test_weak_form_with_a_discrete_symmetry():
    t = np.linspace(0, 10, 400)
    X = np.exp(-0.1 * t)[:, None] * np.column_stack([np.cos(t), np.sin(t)])
    X = X + 0.02 * np.random.default_rng(0).normal(size=X.shape)
    half_turn = cyclic(2, 2)
    for symmetry in (half_turn, so(2) + half_turn):
        model = WeakSymmetryPromotingSINDy(symmetry=symmetry, threshold=0.02).fit(X, t=t)
        assert_symmetric(model, X, symmetry, vector, rtol=1e-10)
        assert_allclose(model.predict(np.eye(2)), [[-0.1, 1], [-1, -0.1]], atol=0.05)


CONTROLLED = {
    "flips of the states": reflections(3),
    "swaps of the states": permutations(3),
    "both kinds": AXIS + FLIP,
    "on all columns": AXIS.on_columns([0, 1, 2], 4) + reflections(4).take([2]),
}


@pytest.mark.parametrize("name", CONTROLLED)
def test_controls_are_left_alone_by_a_discrete_symmetry(name):
    symmetry = CONTROLLED[name]
    X, X_dot = orbits()
    control = np.random.default_rng(1).normal(size=(200, 1))
    model = SymmetryPromotingSINDy(symmetry=symmetry, controls=[3], threshold=0.0)
    model.fit(np.hstack([X, control]), X_dot + control * X)
    if symmetry.n_features == 3:
        symmetry = symmetry.on_columns([0, 1, 2], 4)
    assert_symmetric(model, np.hstack([X, control]), symmetry, columns(0, 1, 2), rtol=1e-10)


# ------------------------------------------------------------------------------------- overlap


def fit_regressor(candidates, symmetry):
    X, y, _ = samples(d=2)
    return SymmetryPromotingRegressor(candidates, symmetry=symmetry, alpha=1e-3).fit(X, y)


def fit_cross_validated(candidates, symmetry):
    X, y, _ = samples(d=2)
    return SymmetryPromotingRegressorCV(
        candidates, symmetry=symmetry, alphas=2, ridges=[], cv=2
    ).fit(X, y)


def fit_path(candidates, symmetry):
    X, y, _ = samples(d=2)
    return symmetry_path(X, y, candidates, symmetry=symmetry, alphas=2)


def fit_dynamics(candidates, symmetry):
    X, _, Y = samples(d=2)
    return SymmetryPromotingSINDy(candidates, symmetry=symmetry).fit(X, Y)


OVERLAPS = {
    "all": (so(2), so, 1),
    "part": (gl(2), so, 1),
    "a combination": (LieAlgebra([[[1, -1], [1, 1]], [[1, 0], [0, 1]]]), so, 1),
    "elements": (reflections(2), reflections(2).take([0]), 1),
    "both kinds": (gl(2) + reflections(2), so(2) + reflections(2), 3),
}


@pytest.mark.parametrize("name", OVERLAPS)
@pytest.mark.parametrize("fit", [fit_regressor, fit_cross_validated, fit_path, fit_dynamics])
def test_overlap_is_said_once(fit, name):
    candidates, symmetry, number = OVERLAPS[name]
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        fit(candidates, symmetry)
    (warning,) = record
    assert issubclass(warning.category, UserWarning)
    assert str(warning.message).startswith(f"{number} of the candidates are enforced by `symmetry`")
    assert warning.filename == __file__


@pytest.mark.parametrize("fit", [fit_regressor, fit_cross_validated, fit_path, fit_dynamics])
def test_nothing_is_said_of_candidates_that_were_not_given(fit):
    """Rigid motions are the default, and rotations among them."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        fit(None, so)
        fit(None, reflections)
    assert not record


@pytest.mark.parametrize("fit", [fit_regressor, fit_dynamics])
def test_nothing_is_said_where_nothing_overlaps(fit):
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        fit(translations, reflections)
    assert not record


def test_what_is_left_of_candidates():
    """A rotation enforced leaves gl(2) three candidates, which with it span gl(2) again."""
    enforced = Group.of(so(2))
    with pytest.warns(UserWarning, match="1 of the candidates"):
        rest = without_enforced(Group.of(gl(2)), enforced)
    assert rest.algebra.dim == 3
    both = np.concatenate([rest.algebra.flat(), enforced.algebra.flat()])
    assert np.linalg.matrix_rank(both) == 4
    assert subspace_angles(both.T, gl(2).flat().T).max() < 1e-12


def test_partial_overlap_promotes_the_rest():
    X, _, Y = samples(d=2)
    library = PolynomialLibrary(3, center=0.0)
    model = SymmetryPromotingRegressor(
        gl, symmetry=so, output=vector, library=library, alpha=1e-3, refit=False
    )
    with pytest.warns(UserWarning, match="1 of the candidates"):
        model.fit(X, Y)
    assert len(model.singular_values_) == 3
    assert model.singular_values_[0] > 0
    assert_symmetric(model, X, so, vector, rtol=1e-12)


def test_whole_generators_are_kept_as_they_were_given():
    with pytest.warns(UserWarning, match="2 of the candidates"):
        rest = without_enforced(Group.of(se(2) + gl(2).take([0])), Group.of(translations(2)))
    assert rest.algebra.names == ("x0 ∂1 - x1 ∂0", "x0 ∂0")


def test_candidates_that_are_all_enforced():
    X, y, _ = samples(d=2)
    with pytest.warns(UserWarning, match="1 of the candidates") as record:
        model = SymmetryPromotingRegressor(so, symmetry=so, alpha=1.0).fit(X, y)
    assert len(record) == 1
    plain = SymmetricRidge(so, alpha=0.0).fit(X, y)
    assert_allclose(model.predict(X), plain.predict(X), atol=1e-9)


def test_dependent_candidates_count_once_and_move_outputs_as_they_say():
    X, _, Y = samples(d=2)
    twice = so(2) + so(2)
    library = PolynomialLibrary(3, center=0.0)
    for output in (vector, np.concatenate([so(2).linear, so(2).linear])):
        model = SymmetryPromotingRegressor(twice, output=output, library=library, alpha=10.0)
        model.fit(X, Y)
        assert model.n_symmetries_ == 1
        assert_symmetric(model, X, so, vector, rtol=1e-10)


FIELDS = vector_fields(PolynomialLibrary(2))
REFUSED = {
    "fields as candidates": (FIELDS, None, None, "`candidates` beyond affine motions"),
    "fields enforced": (so, FIELDS, None, "`symmetry` beyond affine motions"),
    "array for elements": (
        so(3) + FLIP,
        None,
        np.zeros((3, 1, 1)),
        "`output` as an array speaks of an algebra only",
    ),
    "array for both": (so(3), FLIP, np.zeros((3, 1, 1)), "`output` as an array speaks of one"),
    "another space": (so, permutations(2), None, r"`symmetry` acts on R\^2, but X has 3"),
    "wrong outputs": (so, permutations, vector, "moves 3 outputs, but y has 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    candidates, symmetry, output, message = REFUSED[name]
    X, y, _ = samples()
    model = SymmetryPromotingRegressor(candidates, symmetry=symmetry, output=output)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, y)


def test_symmetries_of_the_fit_are_those_enforced_and_those_that_hold():
    X, _, _ = samples()
    y = (X[:, 0] ** 2 + X[:, 1] ** 2) * (1 + X[:, 0] ** 2 + X[:, 1] ** 2)
    library = PolynomialLibrary(4, center=0.0)
    for symmetry, candidates in ((AXIS, translations), (translations(3).take([2]), so)):
        model = SymmetryPromotingRegressor(
            candidates, symmetry=symmetry, library=library, alpha=1e-3
        ).fit(X, y)
        assert set(model.algebra_.names) == {"x0 ∂1 - x1 ∂0", "∂2"}
        assert model.algebra_.names[0] == symmetry.names[0]
        assert model.n_symmetries_ == 2
        assert_symmetric(model, X, model.algebra_, rtol=1e-9)


def test_enforced_generators_that_depend_on_each_other_count_once():
    """They are said to depend once, although symmetries that hold are enforced beside them."""
    X, _, _ = samples()
    y = X[:, 0] ** 2 + X[:, 1] ** 2 + 0.01 * np.random.default_rng(1).normal(size=60)
    model = SymmetryPromotingRegressor(translations, symmetry=AXIS + AXIS, alpha=1e-3)
    with pytest.warns(UserWarning, match="2 generators span 1 dimensions") as record:
        model.fit(X, y)
    assert len(record) == 1
    assert model.algebra_.names == ("x0 ∂1 - x1 ∂0", "∂2")
    assert model.n_symmetries_ == model.algebra_.dim == 2


# -------------------------------------------------------------------------- nothing continuous


@pytest.mark.parametrize("output", [None, vector])
def test_candidates_without_generators(output):
    X, y, Y = samples()
    targets = y if output is None else Y
    model = SymmetryPromotingRegressor(permutations, output=output, alpha=10.0, tol=1e-9)
    model.fit(X, targets)
    assert model.n_symmetries_ == model.algebra_.dim == len(model.singular_values_) == 0
    assert_symmetric(model, X, permutations, output, rtol=1e-6)
    weak = SymmetryPromotingRegressor(permutations, output=output, alpha=1e-9).fit(X, targets)
    plain = SymmetricRidge(alpha=0.0).fit(X, targets)
    assert_allclose(weak.predict(X), plain.predict(X), atol=1e-5)


NOTHING = {
    "algebra": LieAlgebra(np.zeros((0, 3, 3))),
    "group": Group.none(3),
    "finite group": permutations(3).take([]),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_at_all_is_legal(name):
    X, y, Y = samples()
    nothing = NOTHING[name]
    plain = SymmetricRidge(alpha=0.0).fit(X, y)
    enforced = SymmetricRidge(nothing, alpha=0.0).fit(X, y)
    assert_array_equal(enforced.predict(X), plain.predict(X))
    assert InvariantFeatures(nothing).fit_transform(X).shape == (60, 9)
    for parameters in ({}, {"symmetry": nothing}):
        promoted = SymmetryPromotingRegressor(nothing, **parameters).fit(X, y)
        assert promoted.n_symmetries_ == 0
        assert_allclose(promoted.predict(X), plain.predict(X), atol=1e-9)
    found = SymmetryDiscoverer(nothing).fit(X, y)
    assert found.n_symmetries_ == found.undecided_ == 0
    dynamics = SymmetryPromotingSINDy(nothing, symmetry=nothing, threshold=0.0).fit(X, Y)
    assert dynamics.n_symmetries_ == 0
    fields = SymmetricRidge(alpha=0.0).fit(X, Y)
    assert_allclose(dynamics.predict(X), fields.predict(X), atol=1e-9)


def test_discoverer_takes_fields_of_a_library_that_is_not_fitted(rng):
    X = rng.normal(size=(500, 2))
    y = X[:, 0] + X[:, 1] ** 2
    template = PolynomialLibrary(2, center=0.0)
    model = SymmetryDiscoverer(vector_fields(template)).fit(X, y)
    fitted = SymmetryDiscoverer(vector_fields(PolynomialLibrary(2, center=0.0).fit(X))).fit(X, y)
    assert model.n_symmetries_ == fitted.n_symmetries_ >= 1
    assert model.algebra_.names == fitted.algebra_.names
    assert not hasattr(template, "n_features_in_")
    # Another fit takes other columns: the parameter itself is not fitted.
    wider = SymmetryDiscoverer(vector_fields(template)).fit(rng.normal(size=(500, 3)), y)
    assert wider.algebra_.n_features == 3
