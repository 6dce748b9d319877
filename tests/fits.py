"""Fits that several tests of enforcing share, and what they are compared with."""

import warnings

import numpy as np
from numpy.testing import assert_allclose

import sksym as sk
from sksym._linalg import reduced_echelon


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
        model.fit(X, Y)
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
    """The same problem by dense least squares in the constrained coordinates.

    The library must have the constant as its first function.
    """
    Phi, N = model.library_.transform(X), model.basis_
    q, p = Y.shape[1], Phi.shape[1]
    root = np.sqrt(np.ones(len(X)) if weight is None else weight)
    # Functions that depend on no choice of the basis: echelon form, constants last.
    is_constant = np.arange(q * p) % p == 0
    order = np.argsort(is_constant, kind="stable")
    N = reduced_echelon(N[:, order], rtol=0.0)[:, np.argsort(order)]
    k = len(N)
    varies = np.abs(N[:, ~is_constant]).max(axis=1) > 1e-9
    values = np.einsum("np,kip->ink", Phi, N.reshape(k, q, p))
    design = (root[:, None] * values).reshape(-1, k)
    target = (root[:, None] * Y).T.ravel()
    constants = design[:, ~varies]
    about_constants = design - constants @ np.linalg.lstsq(constants, design, rcond=None)[0]
    spread = np.linalg.norm(about_constants, axis=0) / np.linalg.norm(root)
    terms = np.einsum("np,kip->k", np.abs(Phi), np.abs(N).reshape(k, q, p)) / len(Phi)
    spread[spread < 1e-12 * terms] = 0  # functions that do not vary, up to round-off
    known = varies & (spread > 0)
    w = np.zeros(k)
    if alpha:
        penalty = np.diag(np.sqrt(alpha) * spread)[known]
        rows = np.concatenate([design, penalty])[:, known | ~varies]
        rhs = np.concatenate([target, np.zeros(len(penalty))])
        w[known | ~varies] = np.linalg.lstsq(rows, rhs, rcond=None)[0]
    else:  # of all least-squares solutions the one of least penalty
        standardised = about_constants[:, known] / spread[known]
        w[known] = np.linalg.pinv(standardised, rcond=1e-11) @ target / spread[known]
        w[~varies] = np.linalg.lstsq(constants, target - design @ w, rcond=None)[0]
    return (w @ N).reshape(q, p)
