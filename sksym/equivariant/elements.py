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
    d = group.n_features
    M = np.eye(d)
    t = np.zeros(d)
    output = None
    if group.algebra.dim:
        xi = _random_generator(group, box, rng)
        M, t = group.algebra.exp(xi)
        if B is not None:
            generator = np.tensordot(xi, B, 1)
            output = expm(generator)
    elements = group.elements
    if not elements.n_elements:
        return M, t, output
    if rho is not None and output is None:
        q = rho.shape[1]
        output = np.eye(q)
    # A product of a few: generating elements reach the others so.
    length = rng.integers(1, _LONGEST_WORD + 1)
    word = rng.integers(elements.n_elements, size=length)
    for k in word:
        g = elements.matrices[k]
        M = g @ M
        t = g @ t
        if rho is not None:
            output = rho[k] @ output
    return M, t, output


def _random_generator(group, box, rng):
    """Draw a generator (r,) that moves points by about their distance from the fixed point."""
    algebra = group.algebra
    r = algebra.dim
    low, high = box
    _, unit = centre_and_scale(low, high, group)
    # Sizes in the units of the data: generators may differ by orders of magnitude.
    linear = algebra.linear * (unit / unit[:, None])
    offset = algebra.offset / unit
    size = np.linalg.norm(linear, axis=(1, 2)) + np.linalg.norm(offset, axis=1)
    size[size == 0] = 1.0
    direction = rng.normal(size=r)
    return _FAR * direction / (size * np.sqrt(r))
