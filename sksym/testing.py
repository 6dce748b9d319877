"""Public checks for estimators and libraries of your own, and of norms."""

import numpy as np
from scipy import sparse

from sksym.libraries import library_values


def assert_equivariant(model, X, *, rtol=1e-10):
    """Check ``F(g x) = rho(g) F(x)`` on sampled finite elements.

    Parameters
    ----------
    model : fitted SymmetricRidge or SymmetricRidgeCV
    X : array-like of shape (n, d)
    rtol : float, default=1e-10
        Allowed violation, relative to the sum of the absolute terms of F.
    """
    __tracebackhide__ = True
    error = model.equivariance_error(X)
    assert error <= rtol, f"F(g x) differs from rho(g) F(x) by {error:.2g}, allowed {rtol:.2g}"


def assert_jacobian(library, X, *, rtol=1e-5):
    """Check the Jacobian of a fitted library against central differences at the rows of `X`."""
    __tracebackhide__ = True
    X = np.asarray(X, float)
    jacobian, size = library.jacobian(X), np.abs(library_values(library, X)).max(axis=0)
    reach = np.ptp(X, axis=0)
    reach = np.where(reach > 0, reach, np.abs(X).max(axis=0))
    reach[reach == 0] = 1.0
    for i, step in enumerate(1e-5 * reach):
        e = step * np.eye(X.shape[1])[i]
        difference = library_values(library, X + e) - library_values(library, X - e)
        error = np.abs(jacobian[:, :, i] - difference / (2 * step)).max(axis=0)
        # Where a function and its slope vanish, what is left is of the third order in the step.
        allowed = rtol * (np.abs(jacobian[:, :, i]).max(axis=0) + size / reach[i]) + 1e-9 / reach[i]
        worst = (error - allowed).argmax()
        assert error[worst] <= allowed[worst], (
            f"d phi_{worst} / d x{i} differs from finite differences by {error[worst]:.2g}"
        )


def assert_closed(library, X, *, algebra=None, group=None, rtol=1e-10):
    """Check ``lie_matrices`` and ``group_matrix`` of a fitted library on their definitions."""
    __tracebackhide__ = True
    X = np.asarray(X, float)
    phi = library_values(library, X)
    p = phi.shape[1]
    if algebra is not None and algebra.dim:
        moved = np.einsum("npd,nad->nap", library.jacobian(X), algebra.vector_field(X))
        D = sparse.csr_array(library.lie_matrices(algebra))
        expected = np.stack([phi @ D[:, a * p : (a + 1) * p].T for a in range(algebra.dim)], 1)
        size = np.abs(expected).max(initial=0) + np.abs(phi).max()
        error = np.abs(moved - expected).max(initial=0)
        assert error <= rtol * size, f"d phi [A x + b] differs from D phi by {error:.2g}"
    for g in () if group is None else group.matrices:
        error = np.abs(
            library_values(library, X @ g.T) - phi @ sparse.csr_array(library.group_matrix(g)).T
        ).max()
        assert error <= rtol * np.abs(phi).max(), f"phi(g x) differs from K phi(x) by {error:.2g}"


def assert_adjoint(lie_derivative, q=1, *, rtol=1e-12):
    """Check ``<symmetry_matrix(coef), Z> = <coef, adjoint(Z)>`` on random arrays."""
    __tracebackhide__ = True
    rng = np.random.default_rng(0)
    q = q if lie_derivative.B is None else lie_derivative.B.shape[1]
    coef = rng.normal(size=(q, lie_derivative.E.shape[0]))
    matrix = lie_derivative.symmetry_matrix(coef)
    Z = rng.normal(size=matrix.shape)
    adjoint = lie_derivative.adjoint(Z)
    left, right = np.vdot(matrix, Z), np.vdot(coef, adjoint)
    size = np.linalg.norm(matrix) * np.linalg.norm(Z) + np.linalg.norm(coef * adjoint)
    assert abs(left - right) <= rtol * size, f"<L coef, Z> = {left}, <coef, L^T Z> = {right}"


def assert_prox(penalty, Z, step, *, rtol=1e-9):
    """Check that ``prox(Z, step)`` minimises ``value(V) + ||V - Z||^2 / (2 step)``.

    The objective is strongly convex: at a minimiser V every other W must lie above it by
    ``||W - V||^2 / (2 step)``, here random ones, near and far.
    """
    __tracebackhide__ = True
    Z = np.asarray(Z, float)
    V = penalty.prox(Z, step)
    assert np.isfinite(V).all(), "prox is not the minimiser: it is not finite"

    def objective(W):
        return penalty.value(W) + np.sum((W - Z) ** 2) / (2 * step)

    rng, least = np.random.default_rng(0), objective(V)
    for size in (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0):
        for other in (rng.normal(size=Z.shape), Z - V, V - Z, V, -V):
            W = V + size * other
            bound = least + np.sum((W - V) ** 2) / (2 * step)
            assert objective(W) >= bound - rtol * (1 + abs(bound)), "prox is not the minimiser"
