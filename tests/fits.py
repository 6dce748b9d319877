"""Fits that several tests of enforcing share, and what they are compared with."""

import warnings

import numpy as np
from numpy.testing import assert_allclose

import sksym as sk


def conjugated(algebra, change):
    return sk.LieAlgebra(change @ algebra.linear @ np.linalg.inv(change))


def n_free(symmetry, degree, output=None):
    """Free coefficients of polynomials with a symmetry, whose basis is checked on the way."""
    group = sk.Group.of(symmetry)
    if output is None:
        q = 1
    else:
        acting = group.algebra if group.algebra.dim else group.elements
        q = output(acting).shape[1]
    X, Y = (np.random.default_rng(0).normal(size=(5, size)) for size in (group.n_features, q))
    model = sk.SymmetricRidge(symmetry, library=sk.PolynomialLibrary(degree), output=output)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nothing but constants may be left
        model.set_params(alpha=1e-3).fit(X, Y)
    assert model.equivariance_error(X) < 1e-9
    basis = model.basis_
    assert basis.shape == (model.n_free_, q * model.library_.n_output_features_)
    assert_allclose(basis @ basis.T, np.eye(model.n_free_), atol=1e-12)
    return model.n_free_


def placed(rng, n, d, scale, offset):
    """Rows in a cube of half-width `scale`, `offset` half-widths from the origin."""
    direction = rng.normal(size=d)
    return scale * (rng.uniform(-1, 1, (n, d)) + offset * direction / np.linalg.norm(direction))


def violation(model, X, M, t, rho):
    """``|F(g x) - rho F(x)|`` and ``sum_k |coef_k phi_k(g x)|``, (n, q) each."""
    moved, q = X @ M.T + t, len(rho)
    here, there = (model.predict(Z).reshape(-1, q) for Z in (X, moved))
    terms = np.abs(model.library_.transform(moved)) @ np.abs(np.atleast_2d(model.coef_)).T
    return np.abs(there - here @ rho.T), terms


def reference_coef(model, X, Y, alpha, weight=None):
    """The same problem by dense least squares in the constrained coordinates."""
    Phi, N = model.library_.transform(X), model.basis_
    q, p, k = Y.shape[1], Phi.shape[1], len(N)
    root = np.sqrt(np.ones(len(X)) if weight is None else weight)
    design = np.concatenate([root[:, None] * Phi @ N[:, i * p : (i + 1) * p].T for i in range(q)])
    target = np.concatenate([root * Y[:, i] for i in range(q)])
    penalty = N.reshape(k, q, p).copy()
    penalty[:, :, 0] = 0  # the constant
    penalty = penalty.reshape(k, -1).T
    if alpha:
        rows = np.concatenate([design, np.sqrt(alpha) * penalty])
        w = np.linalg.lstsq(rows, np.concatenate([target, np.zeros(q * p)]), rcond=None)[0]
    else:  # of all least-squares solutions the one of least penalty
        U, s, Vt = np.linalg.svd(design)
        rank = int((s > 1e-12 * s[0]).sum())
        w = Vt[:rank].T @ ((U.T @ target)[:rank] / s[:rank])
        rest = Vt[rank:].T
        w = w - rest @ np.linalg.lstsq(penalty @ rest, penalty @ w, rcond=1e-10)[0]
    return (w @ N).reshape(q, p)
