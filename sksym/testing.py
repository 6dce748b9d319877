"""Public checks for estimators and libraries of your own, and of norms."""

import numpy as np
from scipy import sparse

from sksym.equivariant import output_matrices, random_element
from sksym.groups import Group, resolve
from sksym.libraries import library_values

_STEP = 1e-5  # of central differences, relative to the range of a column
_MIN_SLOPE = 1e-9  # times the range: slopes that differences cannot tell from zero
_DISTANCES = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)  # from a minimiser, near and far


def assert_equivariant(model, X, *, rtol=1e-10):
    """Check ``F(g x) = rho(g) F(x)`` on sampled finite elements.

    Parameters
    ----------
    model : fitted SymmetricRidge or SymmetricRidgeCV
    X : array-like of shape (n, d)
    rtol : float, default=1e-10
        Allowed violation, relative to the sum of the absolute terms of F.

    Raises
    ------
    AssertionError
        If the violation is larger, or not a number.
    """
    __tracebackhide__ = True
    error = model.equivariance_error(X)
    _require(error, rtol, "F(g x) differs from rho(g) F(x)")


def assert_symmetric(f, X, symmetry, output=None, *, rtol=1e-10, n_elements=20, random_state=0):
    """Check ``f(g x) = rho(g) f(x)`` for any function on sampled finite elements.

    Parameters
    ----------
    f : callable or fitted estimator
        ``f(X)``, or ``f.predict(X)``, gives values of shape (n,) or (n, q).
    X : array-like of shape (n, d)
    symmetry : LieAlgebra, FiniteGroup, Group or callable
        A callable such as ``so`` is called with d.
    output : representation or array of shape (r, q, q), default=None
        How the values move; None: they are invariant.
    rtol : float, default=1e-10
        Allowed violation, relative to the largest value.
    n_elements : int, default=20
        Elements drawn: the exponential of a random generator of size about one, times a random
        word in the discrete elements.
    random_state : int or Generator, default=0

    Raises
    ------
    AssertionError
        If the violation is larger, or not a number.
    ValueError
        If `output` moves another number of outputs than f has.
    """
    __tracebackhide__ = True
    X = np.asarray(X, float)
    group = resolve(symmetry, X)
    B, rho, n_outputs = output_matrices(output, group)
    values = _values_of(f, X)
    if output is not None and n_outputs != values.shape[1]:
        raise ValueError(
            f"`output` moves {n_outputs} outputs, but f has {values.shape[1]}: give a "
            f"representation on R^{values.shape[1]}."
        )
    box = np.array([X.min(axis=0), X.max(axis=0)])
    rng = np.random.default_rng(random_state)
    for _ in range(n_elements):
        M, t, rho_g = random_element(group, B, rho, box, rng)
        images = X @ M.T + t
        values_there = _values_of(f, images)
        expected = values
        if rho_g is not None:
            expected = values @ rho_g.T
        size = max(_largest(values_there), _largest(expected))
        error = _largest(values_there - expected)
        _require(error, rtol * size, "f(g x) differs from rho(g) f(x)")


def _values_of(f, X):
    """Return the values of a function, or of an estimator's `predict`: (n, q)."""
    evaluate = getattr(f, "predict", f)
    values = np.asarray(evaluate(X))
    return values.reshape(len(X), -1)


def _require(error, allowed, difference):
    """Raise unless an error, of which NaN is the largest, is allowed."""
    __tracebackhide__ = True
    assert error <= allowed, f"{difference} by {error:.2g}, allowed {allowed:.2g}"


def assert_jacobian(library, X, *, rtol=1e-5):
    """Check the Jacobian of a fitted library against central differences.

    Parameters
    ----------
    library : fitted library
        With p functions.
    X : array-like of shape (n, d)
        Where the derivatives are compared; the step follows the range of each column.
    rtol : float, default=1e-5
        Allowed error, relative to the largest slope and to value over range.

    Raises
    ------
    AssertionError
        If a derivative of some function differs.
    """
    __tracebackhide__ = True
    X = np.asarray(X, float)
    values = library_values(library, X)
    jacobian = library.jacobian(X)  # (n, p, d)
    value_size = _largest(values, axis=0)
    for i, reach in enumerate(_reach(X)):
        slopes = jacobian[:, :, i]
        difference = _central_difference(library, X, i, _STEP * reach)
        error = _largest(slopes - difference, axis=0)
        slope_size = _largest(slopes, axis=0)
        # Where a function and its slope vanish, the difference is of third order in the step.
        allowed = rtol * (slope_size + value_size / reach)
        allowed += _MIN_SLOPE / reach
        excess = error - allowed
        worst = excess.argmax()
        derivative = f"d phi_{worst} / d x{i}"
        _require(error[worst], allowed[worst], f"{derivative} differs from finite differences")


def _reach(X):
    """Return the range of every column, its size where nothing varies, and 1 where all is zero."""
    reach = np.ptp(X, axis=0)
    constant = reach == 0
    reach[constant] = _largest(X[:, constant], axis=0)
    reach[reach == 0] = 1.0
    return reach


def _largest(values, axis=None):
    """Return the largest absolute value, along an axis where one is given."""
    return np.abs(values).max(axis=axis, initial=0)


def _central_difference(library, X, i, step):
    """Return the derivatives (n, p) along feature i."""
    displacement = np.zeros_like(X)
    displacement[:, i] = step
    after = library_values(library, X + displacement)
    before = library_values(library, X - displacement)
    return (after - before) / (2 * step)


def assert_closed(library, X, symmetry, *, rtol=1e-10):
    """Check ``lie_matrices`` and ``group_matrix`` of a fitted library on their definitions.

    These are ``d phi(x)[A_a x + b_a] = D_a phi(x)`` for the r generators of an algebra, and
    ``phi(g x) = K_g phi(x)`` for the elements of a finite group.

    Parameters
    ----------
    library : fitted library
    X : array-like of shape (n, d)
    symmetry : LieAlgebra, FiniteGroup or Group
    rtol : float, default=1e-10
        Allowed error, relative to the largest value.

    Raises
    ------
    AssertionError
        If the matrices give other values at some row of X.
    """
    __tracebackhide__ = True
    X = np.asarray(X, float)
    phi = library_values(library, X)
    group = Group.of(symmetry)
    if group.algebra.dim:
        _assert_lie_matrices(library, X, phi, group.algebra, rtol)
    _assert_group_matrices(library, X, phi, group.elements, rtol)


def _assert_lie_matrices(library, X, phi, algebra, rtol):
    """Compare the chain rule with the matrices, for each of the r generators at n rows."""
    __tracebackhide__ = True
    p = phi.shape[1]
    jacobian = library.jacobian(X)
    fields = algebra.vector_field(X)
    # a: generator, n: row, p: function, d: feature
    derivatives = np.einsum("npd,nad->anp", jacobian, fields)
    D = sparse.csr_array(library.lie_matrices(algebra))  # (p, r p), side by side
    expected = np.empty_like(derivatives)
    for a in range(algebra.dim):
        start = a * p
        block = D[:, start : start + p]
        expected[a] = phi @ block.T
    size = _largest(expected) + _largest(phi)
    error = _largest(derivatives - expected)
    _require(error, rtol * size, "d phi [A x + b] differs from D phi")


def _assert_group_matrices(library, X, phi, elements, rtol):
    """Compare the values at transformed rows with the matrices, element by element."""
    __tracebackhide__ = True
    size = _largest(phi)
    for g in elements.matrices:
        K = sparse.csr_array(library.group_matrix(g))
        transformed = library_values(library, X @ g.T)
        expected = phi @ K.T
        error = _largest(transformed - expected)
        _require(error, rtol * size, "phi(g x) differs from K phi(x)")


def assert_adjoint(lie_derivative, q=1, *, rtol=1e-12):
    """Check ``<symmetry_matrix(coef), Z> = <coef, adjoint(Z)>`` on random arrays.

    Parameters
    ----------
    lie_derivative : LieDerivative
    q : int, default=1
        Number of outputs, for invariant functions; others know it.
    rtol : float, default=1e-12
        Allowed difference, relative to the sizes of the factors.

    Raises
    ------
    AssertionError
        If the products differ.
    """
    __tracebackhide__ = True
    rng = np.random.default_rng(0)
    if lie_derivative.B is not None:
        q = lie_derivative.B.shape[1]
    p = lie_derivative.E.shape[0]
    coef = rng.normal(size=(q, p))
    matrix = lie_derivative.symmetry_matrix(coef)
    Z = rng.normal(size=matrix.shape)
    adjoint = lie_derivative.adjoint(Z)
    forward = np.vdot(matrix, Z)
    backward = np.vdot(coef, adjoint)
    error = abs(forward - backward)
    # Rounding errors grow with the factors of both products.
    size = np.linalg.norm(matrix) * np.linalg.norm(Z)
    size += np.linalg.norm(coef * adjoint)
    _require(error, rtol * size, "<L coef, Z> differs from <coef, L^T Z>")


def assert_prox(penalty, Z, step, *, rtol=1e-9):
    """Check that ``prox(Z, step)`` minimises ``value(V) + ||V - Z||^2 / (2 step)``.

    The objective is strongly convex: at a minimiser V every other W must lie above it by
    ``||W - V||^2 / (2 step)``. Near and far W are tried, in random directions and along V and Z.

    Parameters
    ----------
    penalty : penalty
        With methods ``value(Z)`` and ``prox(Z, step)``.
    Z : array-like of any shape that the penalty takes
    step : float
    rtol : float, default=1e-9
        Allowed excess, relative to one plus the objective.

    Raises
    ------
    AssertionError
        If some W is better, or ``prox`` is not finite.
    """
    __tracebackhide__ = True
    Z = np.asarray(Z, float)
    V = penalty.prox(Z, step)
    assert np.isfinite(V).all(), "prox is not the minimiser: it is not finite"

    def proximity(W, center):
        squares = (W - center) ** 2
        return squares.sum() / (2 * step)

    rng = np.random.default_rng(0)
    minimum = penalty.value(V) + proximity(V, Z)
    for distance in _DISTANCES:
        random_direction = rng.normal(size=Z.shape)
        for direction in (random_direction, Z - V, V - Z, V, -V):
            W = V + distance * direction
            objective = penalty.value(W) + proximity(W, Z)
            bound = minimum + proximity(W, V)
            size = 1 + abs(bound)
            lowest = bound - rtol * size
            assert objective >= lowest, "prox is not the minimiser"
