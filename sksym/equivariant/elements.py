"""Finite elements of a group, drawn at random: what symmetry is tested with."""

import numpy as np
from scipy.linalg import expm

from sksym.equivariant.centring import centre_and_scale

_FAR = 3.0  # size of the generators whose exponentials are drawn
_LONGEST_WORD = 4  # of discrete elements


def random_element(group, B, rho, box, rng):
    """Draw a finite element far from the identity.

    Parameters
    ----------
    group : Group
        Of affine motions.
    B : ndarray of shape (r, q, q), or None
        How the generators move the outputs; None: not at all.
    rho : ndarray of shape (k, q, q), or None
        How the discrete elements move them.
    box : ndarray of shape (2, d)
        Range of the points that are moved.
    rng : Generator

    Returns
    -------
    M : ndarray of shape (d, d)
    t : ndarray of shape (d,)
        The map ``x -> M x + t``.
    output : ndarray of shape (q, q), or None
        How it moves the outputs.
    """
    M = np.eye(group.n_features)
    t = np.zeros(group.n_features)
    output = None
    if group.algebra.dim:
        xi = _random_generator(group, box, rng)
        M, t = group.algebra.exp(xi)
        if B is not None:
            output = expm(np.tensordot(xi, B, 1))
    elements = group.elements
    if not elements.n_elements:
        return M, t, output
    if rho is not None and output is None:
        output = np.eye(rho.shape[1])
    length = rng.integers(1, _LONGEST_WORD + 1)
    for k in rng.integers(elements.n_elements, size=length):
        M = elements.matrices[k] @ M
        t = elements.matrices[k] @ t
        if rho is not None:
            output = rho[k] @ output
    return M, t, output


def _random_generator(group, box, rng):
    """Draw a generator (r,) that moves points by about their distance from the fixed point."""
    algebra = group.algebra
    _, unit = centre_and_scale(box[0], box[1], group)
    size = np.linalg.norm(algebra.linear * (unit / unit[:, None]), axis=(1, 2))
    size += np.linalg.norm(algebra.offset / unit, axis=1)
    size[size == 0] = 1.0
    return _FAR * rng.normal(size=algebra.dim) / (size * np.sqrt(algebra.dim))
