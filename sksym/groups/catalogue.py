"""The textbook algebras and groups. A new one is a function that returns its matrices.

Generators are in the textbook's scale and order: rotations have entries 1 and -1, so that ``exp``
takes the angle. Index legend: i, j coordinates, a generators.
"""

from itertools import combinations

import numpy as np

from sksym._estimator import is_integer, is_real
from sksym._linalg import require_memory
from sksym.groups.group import FiniteGroup
from sksym.groups.lie_algebra import LieAlgebra, real_array, require_dimension

# ------------------------------------------------------------------------------- Lie algebras


def so(d):
    """Return the rotations of ``R^d``: for i < j in order, ``x_i ∂_j - x_j ∂_i``.

    ``d (d - 1) / 2`` generators.
    """
    lower, upper = _pairs(d)
    return LieAlgebra(lower - upper)


def se(d):
    """Return the rigid motions of ``R^d``: rotations, then translations.

    ``d (d + 1) / 2`` generators.
    """
    return so(d) + translations(d)


def translations(d):
    """Return the translations of ``R^d``, one along each axis."""
    require_dimension(d)
    _require_generators(d, d)
    return LieAlgebra(
        linear=np.zeros((d, d, d)),
        offset=np.eye(d),
    )


def scaling(weights):
    """Return dilations ``x_i -> exp(t w_i) x_i``, one for each row of `weights`.

    Parameters
    ----------
    weights : array-like of shape (d,) or (r, d)
    """
    weights = real_array(weights, "weights")
    weights = np.atleast_2d(weights)
    if weights.ndim > 2 or not weights.size:
        raise ValueError(f"`weights` must have shape (d,) or (r, d), got {weights.shape}.")
    r, d = weights.shape
    _require_generators(d, r)
    axis = np.arange(d)
    # Set, not multiplied: infinity times zero would hide that a weight is infinite.
    linear = np.zeros((*weights.shape, d))
    linear[..., axis, axis] = weights
    return LieAlgebra(linear)


def gl(d):
    """Return all linear motions of ``R^d``: ``x_j ∂_i`` in row-major order of (i, j).

    ``d^2`` generators.
    """
    require_dimension(d)
    r = d * d
    _require_generators(d, r)
    units = np.eye(r)
    return LieAlgebra(units.reshape(r, d, d))


def sl(d):
    """Return the volume-preserving linear motions of ``R^d``.

    First the off-diagonal ``x_j ∂_i`` in row-major order of (i, j), then traceless diagonals.
    """
    require_dimension(d)
    _require_generators(d, d * d - 1)
    # units[i, j] (d, d): the matrix with one at (i, j)
    units = np.eye(d * d)
    units = units.reshape(d, d, d, d)
    matrices = []
    for i in range(d):
        for j in range(d):
            if i != j:
                matrices.append(units[i, j])
    for i in range(d - 1):
        first = units[i, i]
        second = units[i + 1, i + 1]
        matrices.append(first - second)
    matrices = np.reshape(matrices, (-1, d, d))  # sl(1) has none
    return LieAlgebra(matrices)


def aff(d):
    """Return all affine motions of ``R^d``: gl(d), then translations.

    ``d (d + 1)`` generators.
    """
    return gl(d) + translations(d)


def sp(n_features):
    """Return the symplectic motions of ``(q, p)``: ``A^T J + J A = 0``, ``J = [[0, I], [-I, 0]]``.

    ``A = J S`` with S over the symmetric units, so ``k (2k + 1)`` generators for k pairs.

    Parameters
    ----------
    n_features : int
        Even: the k positions first, then the k momenta.
    """
    require_dimension(n_features)
    if n_features % 2:
        raise ValueError(f"sp acts on an even number of features, got {n_features}.")
    d = n_features
    k = d // 2
    _require_generators(d, k * (2 * k + 1))
    zero = np.zeros((k, k))
    identity = np.eye(k)
    J = np.block(
        [
            [zero, identity],
            [-identity, zero],
        ]
    )
    # The condition says that -J A = S is symmetric.
    symmetric = []
    for i in range(d):
        for j in range(i, d):
            unit = np.zeros((d, d))
            unit[i, j] = 1
            unit[j, i] = 1
            symmetric.append(unit)
    matrices = J @ np.array(symmetric)
    return LieAlgebra(matrices)


def lorentz(n_space=3):
    """Return the Lorentz motions of ``(t, x1, ..)``, metric ``diag(-1, 1, ..)``.

    Boosts first, then rotations.
    """
    require_dimension(n_space)
    lower, upper = _pairs(1 + n_space)
    # Pairs are in order of i, so the first are those with time: they are symmetric matrices.
    upper[n_space:] *= -1
    return LieAlgebra(lower + upper)


def poincare(n_space=3):
    """Return the isometries of space-time ``(t, x1, ..)``: Lorentz motions, then translations."""
    algebra = lorentz(n_space)
    return algebra + translations(algebra.n_features)


def galilei(n_space=3):
    """Return the Galilean motions of ``(t, x1, ..)``.

    Rotations, then boosts ``t ∂_i``, then translations, t first.
    """
    require_dimension(n_space)
    d = 1 + n_space
    space = range(1, d)
    rotations = so(n_space).on_columns(space, d)
    # Boost a moves x_(a + 1) by the time, which is column 0.
    matrices = np.zeros((n_space, d, d))
    for a in range(n_space):
        matrices[a, a + 1, 0] = 1.0
    boosts = LieAlgebra(matrices)
    return rotations + boosts + translations(d)


def _pairs(d):
    """Return the units of the pairs i < j in order, with one at (j, i) and at (i, j).

    Returns
    -------
    lower, upper : ndarray of shape (d (d - 1) / 2, d, d)
    """
    require_dimension(d)
    r = d * (d - 1) // 2
    _require_generators(d, r)
    lower = np.zeros((r, d, d))
    pairs = combinations(range(d), 2)
    for a, (i, j) in enumerate(pairs):
        lower[a, j, i] = 1.0
    upper = lower.transpose(0, 2, 1)
    return lower, upper.copy()


def _require_generators(d, r):
    """Refuse r generators on a space of dimension d that do not fit into memory."""
    # Six arrays, measured: two kinds of units, their difference, a copy that is kept, its
    # coefficients in the names, and one more in between.
    require_memory(
        48.0 * r * d * d,
        f"{r:,} generators on R^{d}",
        "Act on fewer columns (on_columns).",
    )


def _require_elements(d, k):
    """Refuse k elements on a space of dimension d that do not fit into memory."""
    # While they are built, as they are kept, and copies that condition numbers take.
    require_memory(
        32.0 * k * d * d,
        f"{k:,} elements on R^{d}",
        "Act on fewer columns (on_columns).",
    )


# ------------------------------------------------------------------------------- finite groups


def reflections(d):
    """Return the sign flip of each coordinate of ``R^d``."""
    require_dimension(d)
    _require_elements(d, d)
    identity = np.eye(d)
    # Row k: the signs of the coordinates after flip k.
    signs = 1 - 2 * identity
    matrices = signs[:, :, None] * identity
    return FiniteGroup(
        matrices,
        names=[f"-x{i}" for i in range(d)],
    )


def permutations(m, block=1):
    """Return all permutations of `m` groups of `block` consecutive columns.

    They are generated by a swap and a cycle.

    Parameters
    ----------
    m : int
    block : int, default=1
        Columns that move together: 3 for points of space.
    """
    are_counts = is_integer(m) and is_integer(block)
    if not are_counts or m < 1 or block < 1:
        raise ValueError(
            f"permutations needs integers m >= 1 and block >= 1, got m={m!r}, block={block!r}."
        )
    _require_elements(m * block, 2)
    swap = np.arange(m)
    first_two = swap[:2].copy()
    swap[:2] = first_two[::-1]
    orders = {"swap": swap}
    # Of two, the swap is the only permutation.
    if m > 2:
        orders["cycle"] = np.roll(np.arange(m), 1)
    identity = np.eye(m)
    within_block = np.eye(block)
    matrices = []
    for images in orders.values():
        matrix = np.kron(identity[images], within_block)
        matrices.append(matrix)
    return FiniteGroup(matrices, list(orders))


def signed_permutations(d):
    """Return all permutations and sign flips of the coordinates of ``R^d``: 2^d d! elements.

    They are generated by one sign flip, a swap and a cycle, and never listed. As `candidates` of
    `SymmetryDiscoverer` the whole group is searched: cyclic shifts and ``-1`` are found where
    none of the three is a symmetry.

    Parameters
    ----------
    d : int
    """
    require_dimension(d)
    _require_elements(d, 3)
    signs = np.ones(d)
    signs[0] = -1.0
    flip = FiniteGroup([np.diag(signs)], ["-x0"])
    if d == 1:
        return flip
    return flip + permutations(d)


def cyclic(d, order):
    """Return the rotation by ``2 pi / order`` in the plane of the first two of `d` coordinates.

    It generates the cyclic group of that order.

    Raises
    ------
    ValueError
        If there is no plane, or the order is not a whole number.
    """
    # Whole floats are accepted, as quotients of angles are.
    is_whole = is_real(order) and 1 <= order < np.inf and order == int(order)
    if not is_integer(d) or d < 2 or not is_whole:
        raise ValueError(
            f"cyclic needs d >= 2 and a whole number order >= 1, got d={d!r}, order={order!r}."
        )
    order = int(order)
    _require_elements(d, 1)
    angle = 2 * np.pi / order
    cosine = np.cos(angle)
    sine = np.sin(angle)
    turn = np.array(
        [
            [cosine, -sine],
            [sine, cosine],
        ]
    )
    # A quarter turn maps axes to axes, but cos(pi/2) is round-off.
    is_round_off = np.abs(turn) < 1e-15
    turn[is_round_off] = 0.0
    g = np.eye(d)
    g[:2, :2] = turn
    name = f"1/{order} turn"
    return FiniteGroup([g], [name])
