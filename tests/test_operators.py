"""The Lie derivative through linear operators: each kind by its definition."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.linalg import null_space, subspace_angles

import sksym as sk
from sksym.lie_derivative import evaluation
from sksym.statistics import regression_statistics
from sksym.testing import assert_adjoint


def lie_derivatives(library, candidates, X):
    """``d phi(x) [A_a x + b_a]`` at the rows of X: (p, r, n)."""
    fields = candidates.vector_field(X)
    return np.einsum("npd,nad->pan", library.jacobian(X), fields)


def side_by_side(moved):
    """(p, r, m) as sparse (p, r m)."""
    return sparse.csr_array(moved.reshape(len(moved), -1))


def in_own_generators(L, coef):
    """``L(e_a, coef)`` for the algebra's own generators a: (q, m, r)."""
    unit = np.eye(L.generators.shape[1])
    return np.stack([L(e, coef) for e in unit], axis=2)


def assert_same_span(U, V, atol=1e-8):
    assert U.shape == V.shape
    assert not U.size or subspace_angles(U, V).max() < atol


# --- evaluation -----------------------------------------------------------------------------------


def at_points(library, candidates, X):
    values = library.transform(X).T / np.sqrt(len(X))
    return values, side_by_side(lie_derivatives(library, candidates, X) / np.sqrt(len(X))), None


OUTPUTS = {"invariant": None, "two invariants": sk.trivial(2), "vector": sk.vector}


@pytest.mark.parametrize("operator", [at_points, evaluation], ids=["by hand", "evaluation"])
@pytest.mark.parametrize("output", OUTPUTS.values(), ids=list(OUTPUTS))
@pytest.mark.parametrize(
    "library", [sk.PolynomialLibrary(3), sk.RadialLibrary(), sk.FourierLibrary(1)], ids=repr
)
def test_evaluation_is_sampling(operator, output, library, rng):
    X = rng.normal(size=(70, 3))
    library = library.fit(X)
    L = sk.LieDerivative.through(operator, library, sk.se(3), output, X)
    sampled = sk.LieDerivative.sampled(library, sk.se(3), output, X)
    assert_allclose(L.generators, sampled.generators)
    q = 1 if output is None else output(sk.se(3)).shape[1]
    coef = rng.normal(size=(q, library.n_output_features_))
    A, B = L.symmetry_matrix(coef), sampled.symmetry_matrix(coef)
    assert_allclose(A.T @ A, B.T @ B, atol=1e-11 * np.abs(B.T @ B).max())
    kernels = [null_space(M.constraint_matrix(q).toarray(), rcond=1e-10) for M in (L, sampled)]
    assert_same_span(*kernels)
    particular, basis = L.symmetric_coefficients(q)
    assert not particular.any()
    assert_same_span(basis.toarray().T, kernels[0])
    assert_adjoint(L, q=q, rtol=1e-11)


# --- a bracket: Hamiltonian functions seen through their vector fields ----------------------------

J = np.block([[np.zeros((2, 2)), np.eye(2)], [-np.eye(2), np.zeros((2, 2))]])


def hamiltonian_fields(library, X):
    """``J grad phi`` at the rows of X, component by component: (p, n d)."""
    fields = library.jacobian(X) @ J.T
    return fields.transpose(1, 0, 2).reshape(fields.shape[1], -1)


def through_j_grad(library, candidates, X):
    """``J grad (L_a phi)``, where ``L_a phi = D_a phi`` in a library that is closed."""
    values = hamiltonian_fields(library, X)
    p = len(values)
    D = library.lie_matrices(candidates).toarray().reshape(p, candidates.dim, p)
    return values, side_by_side(D @ values), None


@pytest.fixture
def phase_space(rng):
    X = rng.normal(size=(80, 4))
    return sk.PolynomialLibrary(3, center=0.0, scale=2.0).fit(X), X


def test_values_are_the_vector_fields(phase_space, rng):
    """For ``H = |p|^2 / 2 + q0^2 q1`` they are ``(p, -dV/dq)``."""
    library, X = phase_space
    H = 0.5 * (X[:, 2] ** 2 + X[:, 3] ** 2) + X[:, 0] ** 2 * X[:, 1]
    coef = np.linalg.lstsq(library.transform(X), H)[0]
    L = sk.LieDerivative.through(through_j_grad, library, sk.sp(4), None, X)
    field = (coef @ L.values).reshape(80, 4)
    expected = np.column_stack([X[:, 2], X[:, 3], -2 * X[:, 0] * X[:, 1], -(X[:, 0] ** 2)])
    assert_allclose(field, expected, atol=1e-11)


def test_symplectic_motions_move_fields_as_functions(phase_space, rng):
    """``df[A x] - A f = J grad (dH [A x])`` for every A of sp(4), f = J grad H."""
    library, X = phase_space
    coef = rng.normal(size=(1, library.n_output_features_))
    L = sk.LieDerivative.through(through_j_grad, library, sk.sp(4), None, X)
    found = in_own_generators(L, coef)[0].reshape(80, 4, 10)

    def field(X):
        return (coef @ hamiltonian_fields(library, X)).reshape(len(X), 4)

    for a, A in enumerate(sk.sp(4).linear):
        along = (field(X + 1e-5 * X @ A.T) - field(X - 1e-5 * X @ A.T)) / 2e-5
        expected = along - field(X) @ A.T
        assert_allclose(found[:, :, a], expected, atol=1e-7 * np.abs(expected).max())


def test_an_isotropic_oscillator_is_turned_into_itself(phase_space):
    library, X = phase_space
    turn = sk.so(2).repeat(2)  # positions and momenta together
    for H, symmetric in ((0.5 * (X**2).sum(axis=1), True), (X**2 @ [1.0, 2.0, 1.0, 1.0], False)):
        coef = np.linalg.lstsq(library.transform(X), H)[0]
        L = sk.LieDerivative.through(through_j_grad, library, turn, None, X)
        size = np.abs(L.symmetry_matrix(coef)).max()
        assert (size < 1e-11) == symmetric
    # And a constant, which no field shows, has every symmetry.
    assert not L.symmetry_matrix(np.eye(library.n_output_features_)[0]).any()


def test_angular_momentum_is_all_that_turns_leave_of_the_bilinears(phase_space):
    """With |q|^2, |p|^2 and q.p the quadratic functions whose fields a turn leaves alone."""
    library = sk.PolynomialLibrary(2, center=0.0, scale=1.0).fit(phase_space[1])
    X = phase_space[1]
    L = sk.LieDerivative.through(through_j_grad, library, sk.so(2).repeat(2), None, X)
    _, basis = L.symmetric_coefficients()
    q, p = X[:, :2], X[:, 2:]
    products = [(q * q).sum(axis=1), (p * p).sum(axis=1), (q * p).sum(axis=1)]
    products += [q[:, 0] * p[:, 1] - q[:, 1] * p[:, 0], np.ones(80)]
    expected = np.linalg.lstsq(library.transform(X), np.column_stack(products))[0]
    assert_same_span(basis.toarray().T, expected)


# --- quadrature against fields --------------------------------------------------------------------


class Integrals:
    """``x -> int K(x, y) u(y) dy`` on a grid, for given fields u; K is a function of (x, y).

    A motion of the plane of y carries the volume too: its divergence is part of the derivative.
    """

    def __init__(self, grid, weights, fields):
        self.pairs = np.concatenate(
            [np.repeat(grid, len(grid), axis=0), np.tile(grid, (len(grid), 1))], axis=1
        )
        self.quadrature = np.einsum("j,ju->ju", weights, fields)

    def integrate(self, kernels):
        """(.., n n) to (.., n k), k fields."""
        n = len(self.quadrature)
        values = kernels.reshape(*kernels.shape[:-1], n, n) @ self.quadrature
        return values.reshape(*kernels.shape[:-1], -1)

    def __call__(self, library, candidates, X):
        kernels = library.transform(self.pairs).T
        half = candidates.n_features // 2
        divergence = np.trace(candidates.linear[:, half:, half:], axis1=1, axis2=2)
        moved = lie_derivatives(library, candidates, self.pairs)
        moved = moved + divergence[:, None] * kernels[:, None]
        return self.integrate(kernels), side_by_side(self.integrate(moved)), None


def line(rng):
    nodes, weights = np.polynomial.legendre.leggauss(9)
    return Integrals(nodes[:, None], weights, rng.normal(size=(9, 3)))


def plane(rng):
    nodes, weights = np.polynomial.legendre.leggauss(5)  # as many as quartics have coefficients
    grid = np.column_stack([np.repeat(nodes, 5), np.tile(nodes, 5)])
    return Integrals(grid, np.outer(weights, weights).ravel(), rng.normal(size=(25, 3)))


def coefficients(library, X, K):
    return np.linalg.lstsq(library.transform(X), K)[0][None]


def test_integrals_against_fields(rng):
    operator = line(rng)
    x, y = operator.pairs.T
    library = sk.PolynomialLibrary(3).fit(operator.pairs)
    L = sk.LieDerivative.through(operator, library, sk.translations(2), None, operator.pairs)
    coef = coefficients(library, operator.pairs, x * y**2)
    nodes, weights = np.polynomial.legendre.leggauss(9)
    fields = operator.quadrature / weights[:, None]
    expected = np.outer(nodes, (weights * nodes**2) @ fields)
    assert_allclose((coef @ L.values).reshape(9, 3), expected, atol=1e-12)


def test_kernels_of_the_difference_do_not_change_along_joint_translations(rng):
    operator = line(rng)
    x, y = operator.pairs.T
    library = sk.PolynomialLibrary(3).fit(operator.pairs)
    joint = sk.translations(1).repeat(2)
    L = sk.LieDerivative.through(operator, library, joint, None, operator.pairs)
    for K in ((x - y) ** 2, (x - y) ** 3, np.ones(len(x))):
        coef = coefficients(library, operator.pairs, K)
        assert_allclose(L.symmetry_matrix(coef), 0, atol=1e-11)
    coef = coefficients(library, operator.pairs, x * y)
    assert np.abs(L.symmetry_matrix(coef)).max() > 0.1
    single = sk.translations(2)
    L = sk.LieDerivative.through(operator, library, single, None, operator.pairs)
    coef = coefficients(library, operator.pairs, (x - y) ** 2)
    own = in_own_generators(L, coef)
    assert_allclose(own[:, :, 0], -own[:, :, 1], atol=1e-11)
    assert np.abs(own).max() > 0.1
    # Enforcing gives the kernels of the difference and no others: 1, x - y, ..
    enforced = sk.LieDerivative.through(operator, library, joint, None, operator.pairs)
    _, basis = enforced.symmetric_coefficients()
    powers = np.column_stack([(x - y) ** k for k in range(4)])
    expected = np.linalg.lstsq(library.transform(operator.pairs), powers)[0]
    assert_same_span(basis.toarray().T, expected)


@pytest.mark.parametrize(
    "candidates", [sk.so(2).repeat(2), sk.se(2).repeat(2)], ids=["rotations", "rigid motions"]
)
def test_kernels_of_the_distance_do_not_change_along_rotations(candidates, rng):
    operator = plane(rng)
    x, y = operator.pairs[:, :2], operator.pairs[:, 2:]
    library = sk.PolynomialLibrary(4).fit(operator.pairs)
    L = sk.LieDerivative.through(operator, library, candidates, None, operator.pairs)
    square = ((x - y) ** 2).sum(axis=1)
    for K in (square, square**2):
        coef = coefficients(library, operator.pairs, K)
        assert_allclose(L.symmetry_matrix(coef), 0, atol=1e-10)
    coef = coefficients(library, operator.pairs, (x[:, 0] - y[:, 0]) ** 2)
    assert np.abs(L.symmetry_matrix(coef)).max() > 0.1


def test_dilations_carry_the_volume(rng):
    """|x - y|^2 dy is homogeneous of degree 2 + 2 in the plane."""
    operator = plane(rng)
    x, y = operator.pairs[:, :2], operator.pairs[:, 2:]
    library = sk.PolynomialLibrary(2).fit(operator.pairs)
    dilation = sk.scaling(np.ones(4))
    L = sk.LieDerivative.through(operator, library, dilation, None, operator.pairs)
    coef = coefficients(library, operator.pairs, ((x - y) ** 2).sum(axis=1))
    assert_allclose(L([1.0], coef), 4 * (coef @ L.values), atol=1e-10)


def test_integrals_are_moved_by_finite_motions(rng):
    """The derivative of ``sum_j w_j det(M) K(M x, M y_j) u_j`` at the identity."""
    operator = plane(rng)
    library = sk.PolynomialLibrary(3).fit(operator.pairs)
    candidates = sk.aff(2).repeat(2)
    L = sk.LieDerivative.through(operator, library, candidates, None, operator.pairs)
    coef, xi, step = rng.normal(size=(1, library.n_output_features_)), rng.normal(size=6), 1e-5

    def integral(t):
        M, shift = candidates.exp(t * xi)
        kernel = coef @ library.transform(operator.pairs @ M.T + shift).T
        return operator.integrate(kernel * np.linalg.det(M[2:, 2:]))

    expected = (integral(step) - integral(-step)) / (2 * step)
    assert_allclose(L(xi, coef), expected, atol=1e-7 * np.abs(expected).max())


# --- a weak form in time --------------------------------------------------------------------------


class WeakForm:
    """``int w_k(t) phi(x(t)) dt`` along trajectories, for overlapping bumps w_k."""

    def __init__(self, t, n_bumps, n_trajectories):
        centre = np.linspace(0.1, 0.9, n_bumps)
        s = (t - centre[:, None]) / 0.1
        self.bumps = np.where(np.abs(s) < 1, (1 - s**2).clip(0) ** 3, 0) * (t[1] - t[0])
        self.n_trajectories = n_trajectories

    def integrate(self, values):
        """(.., trajectories n) to (.., trajectories bumps)."""
        pieces = values.reshape(*values.shape[:-1], self.n_trajectories, -1)
        return (pieces @ self.bumps.T).reshape(*values.shape[:-1], -1)

    def __call__(self, library, candidates, X):
        moved = lie_derivatives(library, candidates, X)
        values = library.transform(X).T
        return self.integrate(values), side_by_side(self.integrate(moved)), None


@pytest.mark.parametrize(
    ("candidates", "output"),
    [(sk.so(3), sk.vector), (sk.so(3), None), (sk.so(2).on_columns([0, 1], 3), sk.vector)],
    ids=["so(3), vector", "so(3), invariant", "so(2), vector"],
)
def test_weak_forms_have_the_null_space_of_evaluation(candidates, output, rng):
    t = np.linspace(0, 1, 120)
    phase = 2 * np.pi * rng.integers(1, 6, size=(5, 1, 3)) * t[:, None] + rng.normal(size=(5, 1, 3))
    X = (rng.normal(size=(5, 1, 3)) * np.cos(phase)).reshape(-1, 3)
    library = sk.PolynomialLibrary(3, center=0.0).fit(X)
    weak = sk.LieDerivative.through(WeakForm(t, 12, 5), library, candidates, output, X)
    direct = sk.LieDerivative.through(evaluation, library, candidates, output, X)
    spaces = [L.symmetric_coefficients()[1].toarray().T for L in (weak, direct)]
    assert_same_span(*spaces)
    assert 0 < spaces[0].shape[1] < spaces[0].shape[0]
    coef = spaces[0] @ rng.normal(size=spaces[0].shape[1])
    coef = coef.reshape(-1, library.n_output_features_)
    assert_allclose(weak.symmetry_matrix(coef), 0, atol=1e-11)
    # And discovering in gl what was enforced gives the same from both.
    found = []
    for operator in (WeakForm(t, 12, 5), evaluation):
        L = sk.LieDerivative.through(operator, library, sk.gl(3), output, X)
        found.append(L.coordinates(null_space(L.symmetry_matrix(coef), rcond=1e-9).T))
    assert len(found[0]) >= candidates.dim
    assert_same_span(found[0].T, found[1].T, atol=1e-7)


# --- an affine constraint: the motions of the left-hand side --------------------------------------

JETS = ["u", "u_x", "u_xx"]
SHIFT = sk.translations(1).on_columns([0], 3)  # t d_x + d_u moves the jet (u, u_x, u_xx) so
DILATION = sk.scaling([-1.0, -2.0, -3.0])  # (t, x) -> (s^2 t, s x), u -> u / s


def galilei_boosts(library, jets, X):
    """Symmetries of ``u_t = F(u, u_x, u_xx)``; a boost takes u_t to ``u_t - u_x``."""
    values, moved, _ = evaluation(library, jets, X)
    constant = np.zeros((jets.dim, 1, values.shape[1]))
    constant[:, 0] = -jets.offset[:, :1] * X[:, 1] / np.sqrt(len(X))
    return values, moved, constant


def jet_library(X, degree=2):
    return sk.PolynomialLibrary(degree, center=0.0, scale=1.0).fit(X)


def plain(library, coef):
    """Coefficients of plain monomials by name."""
    names = library.get_feature_names_out(JETS)
    return dict(zip(names, library.monomial_coef(coef).ravel().tolist(), strict=True))


def test_galilei_boosts_fix_the_advection(rng):
    """``dF/du = -u_x``: the coefficient of u u_x is -1, and nothing else depends on u."""
    X = rng.normal(size=(60, 3))
    library = jet_library(X)
    L = sk.LieDerivative.through(galilei_boosts, library, SHIFT, None, X)
    particular, basis = L.symmetric_coefficients()
    equation = plain(library, particular[0])
    assert equation.pop("u u_x") == pytest.approx(-1, abs=1e-12)
    assert_allclose(list(equation.values()), 0, atol=1e-12)
    depends_on_u = library.monomials_.exponents[:, 0] > 0
    assert_allclose(basis.toarray()[:, depends_on_u], 0, atol=1e-12)
    assert basis.shape[0] == np.count_nonzero(~depends_on_u) == 6


def test_what_satisfies_the_affine_constraint_is_zero(rng):
    """``L(xi, coef) = coef @ D(xi) - d(xi)``, in the algebra's own generators."""
    X = rng.normal(size=(60, 3))
    library = jet_library(X)
    L = sk.LieDerivative.through(galilei_boosts, library, SHIFT, None, X)
    particular, basis = L.symmetric_coefficients()
    for coef in (particular, particular + (rng.normal(size=6) @ basis)[None]):
        assert_allclose(L.symmetry_matrix(coef), 0, atol=1e-12)
    coef = rng.normal(size=(1, 10))
    slope = np.einsum("p,npd->nd", coef[0], library.jacobian(X))[:, 0]
    expected = (slope + X[:, 1]) / np.sqrt(60)
    assert_allclose(L([1.0], coef)[0], expected, atol=1e-12)
    assert_allclose(L([2.5], coef)[0], 2.5 * expected, atol=1e-12)
    rows = L.constraint_matrix() @ coef.ravel() - L.constraint_target()
    assert_allclose(rows, L.symmetry_matrix(coef).T.ravel(), atol=1e-12)
    own = L.in_own_generators()
    assert_allclose(own.symmetry_matrix(coef)[:, 0], expected, atol=1e-12)


def test_boosts_and_dilations_leave_the_equation_of_burgers(rng):
    """``u_t = -u u_x + nu u_xx``, any nu: what both admit of all quadratic equations."""
    X = rng.normal(size=(60, 3))
    library = jet_library(X)
    jets = SHIFT + DILATION
    output = np.array([[[0.0]], [[-3.0]]])  # how u_t scales
    L = sk.LieDerivative.through(galilei_boosts, library, jets, output, X)
    particular, basis = L.symmetric_coefficients()
    equation = plain(library, particular[0])
    assert equation.pop("u u_x") == pytest.approx(-1, abs=1e-11)
    assert_allclose(list(equation.values()), 0, atol=1e-11)
    assert basis.shape[0] == 1
    free = plain(library, basis.toarray()[0])
    assert abs(free.pop("u_xx")) == pytest.approx(1)
    assert_allclose(list(free.values()), 0, atol=1e-11)


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_units_do_not_matter(unit, rng):
    X = unit * rng.normal(size=(60, 3))
    library = sk.PolynomialLibrary(2, center=0.0).fit(X)
    L = sk.LieDerivative.through(galilei_boosts, library, SHIFT, None, X)
    particular, basis = L.symmetric_coefficients()
    assert plain(library, particular[0])["u u_x"] == pytest.approx(-1, rel=1e-9)
    assert basis.shape[0] == 6


@pytest.mark.parametrize("columns", [[1, 2], [0, 2]])
def test_libraries_without_the_advection_are_refused(columns, rng):
    X = rng.normal(size=(60, 3))
    library = sk.PolynomialLibrary(2, center=0.0, scale=1.0, columns=columns).fit(X)
    L = sk.LieDerivative.through(galilei_boosts, library, SHIFT, None, X)
    with pytest.raises(ValueError, match="contradict each other: no function of the library"):
        L.symmetric_coefficients()
    linear = sk.LieDerivative.through(galilei_boosts, jet_library(X, 1), SHIFT, None, X)
    with pytest.raises(ValueError, match="contradict each other"):
        linear.symmetric_coefficients()


def test_several_outputs_without_representation(rng):
    """The constant says how many there are: a copy of the equation, twice as fast."""

    def twice(library, jets, X):
        values, moved, constant = galilei_boosts(library, jets, X)
        return values, moved, np.concatenate([constant, 2 * constant], axis=1)

    X = rng.normal(size=(60, 3))
    library = jet_library(X)
    L = sk.LieDerivative.through(twice, library, SHIFT, None, X)
    particular, basis = L.symmetric_coefficients()
    assert particular.shape == (2, 10)
    assert [plain(library, row)["u u_x"] for row in particular] == pytest.approx([-1, -2])
    assert basis.shape == (12, 20)


# --- what cannot be -------------------------------------------------------------------------------


def returning(values=None, moved=None, constant=None):
    """An operator that is right but for what is given."""

    def operator(library, candidates, X):
        right = evaluation(library, candidates, X)
        return (
            right[0] if values is None else values,
            right[1] if moved is None else moved,
            constant,
        )

    return operator


# Ten functions, three generators, five tests.
WRONG = {
    "moved transposed": (returning(moved=np.zeros((15, 10))), r"moved values of shape \(15, 10\)"),
    "moved for fewer tests": (returning(moved=np.zeros((10, 12))), r"must have shape \(10, 15\)"),
    "moved of one generator": (returning(moved=np.zeros((10, 5))), "3 generators"),
    "values transposed": (returning(np.zeros((5, 10))), r"values of shape \(5, 10\)"),
    "values of other functions": (returning(np.zeros((9, 5)), np.zeros((9, 15))), "10 functions"),
    "one value each": (returning(np.zeros(10)), r"values of shape \(10,\)"),
    "NaN among the values": (returning(np.full((10, 5), np.nan)), "NaN or infinity"),
    "infinite moved values": (returning(moved=np.full((10, 15), np.inf)), "NaN or infinity"),
    "NaN in the constant": (returning(constant=np.full((3, 1, 5), np.nan)), "NaN or infinity"),
    "flat constant": (returning(constant=np.zeros((3, 5))), r"constant of shape \(3, 5\)"),
    "constant of fewer tests": (returning(constant=np.zeros((3, 1, 4))), r"shape \(3, q, 5\)"),
    "constant of one generator": (returning(constant=np.zeros((1, 1, 5))), r"shape \(3, q, 5\)"),
}


@pytest.mark.parametrize(("operator", "message"), WRONG.values(), ids=list(WRONG))
def test_what_does_not_fit_is_refused(operator, message, rng):
    X = rng.normal(size=(5, 3))
    library = sk.PolynomialLibrary(2).fit(X)
    with pytest.raises(ValueError, match=message):
        sk.LieDerivative.through(operator, library, sk.so(3), None, X)


def test_constants_have_the_outputs_of_the_representation(rng):
    X = rng.normal(size=(5, 3))
    library = sk.PolynomialLibrary(2).fit(X)
    operator = returning(constant=np.zeros((3, 2, 5)))
    with pytest.raises(ValueError, match=r"must be None or have shape \(3, 3, 5\)"):
        sk.LieDerivative.through(operator, library, sk.so(3), sk.vector, X)
    listed = returning(constant=np.zeros((3, 3, 5)).tolist())
    L = sk.LieDerivative.through(listed, library, sk.so(3), sk.vector, X)
    assert L.constant.shape == (3, 3, 5)


def test_candidates_of_another_space_are_refused(rng):
    X = rng.normal(size=(5, 3))
    library = sk.PolynomialLibrary(2).fit(X)
    with pytest.raises(ValueError, match=r"acts on R\^2, but X has 3 features"):
        sk.LieDerivative.through(evaluation, library, sk.so(2), None, X)


# --- memory ---------------------------------------------------------------------------------------


def peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("d", "limit"), [(20, 200), (50, 4096)])
def test_memory_of_all_affine_motions_in_many_dimensions(d, limit, rng):
    """D is kept sparse, the tests apart: r p m numbers would be 170 MiB and 33 GiB."""
    library = sk.PolynomialLibrary(2).fit(rng.normal(size=(100, d)))
    p = library.n_output_features_
    X = rng.normal(size=(2 * p, d))
    statistics = regression_statistics(library.transform, X, X[:, :1], np.ones(len(X)), p)
    tests = statistics.design[:p].T / np.sqrt(statistics.weight)
    coef = rng.normal(size=(1, p))
    sizes = []

    def discover():
        candidates = sk.aff(d)
        L = sk.LieDerivative.in_tests(library, candidates, None, tests)
        matrix = L.symmetry_matrix(coef)
        L.adjoint(matrix)
        L.changes_of(coef, rng.normal(size=candidates.dim))
        sizes.append(matrix.shape)

    assert peak(discover) < limit
    assert sizes == [(p, d * (d + 1))]
