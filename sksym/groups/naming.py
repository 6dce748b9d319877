"""Which Lie algebra is it? A name from structure constants and the Killing form.

Index legend: a, b, c generators (r of them), ``ad`` (r, r, r) the adjoint matrices, i, j rows and
columns of matrices, x, y, z rows of a basis of a subspace of the algebra.
"""

from functools import cache
from math import comb

import numpy as np

_ZERO = 1e-7
_NEAR = 1e-3  # distance of eigenvalues, relative to the largest, that may be equal
_SAME = 1e-5  # distance of two eigenvalues that belong to one ideal
_LARGEST = 80  # dimensions: naming takes the commutant of the adjoint representation, O(r^4)
_MAX_WINDING = 12  # periods of the slowest rotation after which an orbit must close
_MAX_ORDER = 30  # orders of orthogonal algebras that have names, up to dimension 406


def algebra_name(algebra):
    """Return a conventional name, up to isomorphism over the reals.

    Examples are ``so(3)``, ``se(2)``, ``sl(2) + R`` and ``abelian of dimension 2``. The name does
    not depend on how the algebra acts, except that a single generator is called ``so(2)`` if its
    orbits are periodic.

    The radical is the orthogonal complement of ``[g, g]`` under the Killing form
    ``tr(ad_a ad_b)``. The quotient by it is semisimple and splits into simple ideals, which are
    identified by their dimension and the signature of the Killing form.

    Parameters
    ----------
    algebra : LieAlgebra
        With r independent generators.

    Returns
    -------
    str
    """
    if algebra.dim == 0:
        return "trivial"
    if algebra.dim > _LARGEST:
        return f"dimension {algebra.dim}"
    algebra = _orthonormal(algebra)
    try:
        constants = algebra.structure_constants()  # [M_a, M_b] = sum_c constants[a, b, c] M_c
    except ValueError:
        return f"not closed, dimension {algebra.dim}"
    scale = np.abs(constants).max()
    if scale <= _ZERO:
        if _is_periodic(algebra):
            return "so(2)"
        return f"abelian of dimension {algebra.dim}"
    constants = constants / scale
    ad = constants.transpose(0, 2, 1)  # ad[a] acts on columns of coordinates: ad[a] e_b = [a, b]
    # Rows: [g, g], which all brackets span, and its orthogonal complement.
    brackets = constants.reshape(-1, algebra.dim)
    derived = _row_space(brackets)
    killing = _killing_form(ad)
    radical = _null_space(derived @ killing)
    if len(radical) == algebra.dim:
        return _name_of_solvable(ad, derived)
    ideals = _names_of_simple_ideals(ad, radical)
    levi = " + ".join(ideals)
    if len(radical):
        return _name_with_radical(levi, ad, radical)
    if levi == "so(3) + so(3)":
        return "so(4)"
    return levi


def _orthonormal(algebra):
    """Return the same algebra with orthonormal generators.

    Rows of unit size are orthogonalised, so that units of the generators do not matter.
    """
    flat = algebra.flat()
    size = np.linalg.norm(flat, axis=1, keepdims=True)
    columns = (flat / size).T
    basis, _ = np.linalg.qr(columns)
    to_generators = np.linalg.pinv(flat)
    return algebra.combine(basis.T @ to_generators)


def _killing_form(ad):
    """Return the Killing form ``tr(ad_a ad_b)``, shape (r, r)."""
    return np.einsum("aij,bji->ab", ad, ad)


def _is_periodic(algebra):
    """Tell whether one generator has closed orbits.

    It has where it is diagonalisable with imaginary eigenvalues in rational ratios.
    """
    if algebra.dim > 1:
        return False
    (matrix,) = algebra.homogeneous()
    eigenvalues, vectors = np.linalg.eig(matrix)
    size = np.abs(eigenvalues).max()
    # Eigenvectors of a Jordan block coincide.
    diagonalisable = np.linalg.cond(vectors) <= 1 / _ZERO
    if size <= _ZERO or not diagonalisable:
        return False
    if not _vanishes(eigenvalues.real, size):
        return False
    # After w periods of the fastest rotation every other must have made whole turns.
    windings = np.arange(1, _MAX_WINDING + 1)
    turns = np.outer(eigenvalues.imag / size, windings)
    closed = np.abs(turns - np.round(turns)) <= _ZERO
    return closed.all(axis=0).any()


def _name_of_solvable(ad, derived):
    """Name a solvable algebra by its adjoint matrices.

    Parameters
    ----------
    ad : ndarray of shape (r, r, r)
    derived : ndarray of shape (k, r)
        An orthonormal basis of ``[g, g]``.
    """
    r = len(ad)
    k = len(derived)
    if r == 2:
        return "aff(1)"
    if r == 3 and k == 2:
        name = _name_of_motions_of_plane(ad, derived)
        if name is not None:
            return name
    # By Engel's theorem an algebra is nilpotent where a generic ad is.
    generic = _random_combination(ad)
    power = np.linalg.matrix_power(generic, r)
    if not _vanishes(power):
        return f"solvable of dimension {r}"
    if r == 3 and k == 1:
        return "Heisenberg algebra"
    return f"nilpotent of dimension {r}"


def _name_of_motions_of_plane(ad, translations):
    """Name an algebra of two translations and a generator that turns or boosts them, or None.

    Parameters
    ----------
    ad : ndarray of shape (3, 3, 3)
    translations : ndarray of shape (2, 3)
        An orthonormal basis of ``[g, g]``.
    """
    ad_of_translations = np.tensordot(translations, ad, 1)
    commutators = ad_of_translations @ translations.T
    if not _vanishes(commutators):
        return None
    third = _null_space(translations)[0]
    ad_third = np.tensordot(third, ad, 1)
    # How the third generator acts on the plane of translations: by i w, or by +w and -w.
    action = translations @ ad_third @ np.linalg.pinv(translations)
    eigenvalues = np.linalg.eigvals(action)
    size = np.abs(eigenvalues).max()
    if _vanishes(eigenvalues.real, size):
        return "se(2)"
    is_real = _vanishes(eigenvalues.imag, size)
    is_traceless = _vanishes(eigenvalues.sum(), size)
    if is_real and is_traceless:
        return "se(1, 1)"
    return None


def _name_with_radical(levi, ad, radical):
    """Name the semidirect sum of a semisimple algebra and a radical.

    Parameters
    ----------
    levi : str
        The name of the semisimple algebra.
    ad : ndarray of shape (r, r, r)
    radical : ndarray of shape (n, r)
    """
    n = len(radical)
    inner_brackets = np.einsum("xa,aij,yj->xyi", radical, ad, radical)
    if not _vanishes(inner_brackets):
        return f"{levi} acting on a radical of dimension {n}"
    action = np.einsum("aij,yj->ayi", ad, radical)
    if _vanishes(action):
        center = "R" if n == 1 else f"R^{n}"
        return f"{levi} + {center}"
    if levi == f"so({n})":
        return f"se({n})"
    return f"{levi} acting on R^{n}"


def _names_of_simple_ideals(ad, radical):
    """List the names of the simple ideals of the quotient by the radical, sorted.

    Parameters
    ----------
    ad : ndarray of shape (r, r, r)
        Adjoint matrices.
    radical : ndarray of shape (n, r)
        An orthonormal basis of the radical.
    """
    ad = _quotient(ad, radical)
    k = len(ad)
    killing = _killing_form(ad)
    # A matrix that commutes with all of ad is a multiple of the identity on each ideal, real or
    # complex: the eigenspaces of a random one are the ideals.
    commutant = _commutant(ad)
    eigenvalues, vectors = np.linalg.eig(_random_combination(commutant))
    names = []
    unnamed = np.ones(k, bool)
    while unnamed.any():
        first = eigenvalues[unnamed][0]
        distance = np.abs(eigenvalues - first)
        # A complex ideal, seen as a real one, has two conjugate eigenvalues.
        distance_of_conjugate = np.abs(eigenvalues - first.conj())
        distance = np.minimum(distance, distance_of_conjugate)
        in_ideal = unnamed & (distance <= _SAME)
        unnamed &= ~in_ideal
        dim = np.count_nonzero(in_ideal)
        spanning = vectors[:, in_ideal]
        real_and_imaginary = np.hstack([spanning.real, spanning.imag])
        left, _, _ = np.linalg.svd(real_and_imaginary)
        ideal = left[:, :dim]
        # The Killing form is negative on compact directions, positive on the others.
        signature = np.linalg.eigvalsh(ideal.T @ killing @ ideal)
        n_noncompact = np.count_nonzero(signature > 0)
        name = _simple_algebras().get(
            (dim, n_noncompact),
            f"simple of dimension {dim}",
        )
        names.append(name)
    return sorted(names)


def _quotient(ad, radical):
    """Return the adjoint matrices of the quotient by a radical.

    Parameters
    ----------
    ad : ndarray of shape (r, r, r)
    radical : ndarray of shape (n, r)

    Returns
    -------
    ndarray of shape (k, k, k), k = r - n
    """
    if not len(radical):
        return ad
    complement = _null_space(radical)
    basis = np.concatenate([complement, radical])
    dual = np.linalg.inv(basis.T)
    k = len(complement)
    return np.einsum(
        "xa,aij,yj,zi->xzy",
        complement,
        ad,
        complement,
        dual[:k],  # coordinates along the complement
        optimize=True,
    )


def _commutant(ad):
    """Return matrices that span those which commute with all of a semisimple algebra.

    Parameters
    ----------
    ad : ndarray of shape (k, k, k)

    Returns
    -------
    ndarray of shape (m, k, k)
    """
    k = len(ad)
    # Two random elements generate a semisimple algebra.
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(2, k))
    first, second = np.tensordot(weights, ad, 1)
    # What commutes with the first mixes equal eigenvalues alone: few unknowns, not k^2. Too many
    # do no harm.
    eigenvalues, vectors = np.linalg.eig(first)
    distance = np.abs(eigenvalues[:, None] - eigenvalues)
    x, y = np.nonzero(distance <= _NEAR * np.abs(eigenvalues).max())
    inverse = np.linalg.inv(vectors)
    units = vectors.T[x, :, None] * inverse[y, None, :]
    brackets = units @ second - second @ units
    conditions = brackets.reshape(len(units), -1).T
    R = np.linalg.qr(conditions, mode="r")
    commuting = np.tensordot(_null_space(R).conj(), units, 1)
    # With a matrix its conjugate commutes too.
    return np.concatenate([commuting.real, commuting.imag])


@cache
def _simple_algebras():
    """Return the names of the classical algebras by (dimension, positive Killing eigenvalues).

    The number of positive eigenvalues is that of the dimensions that are not compact: 0 for so(d)
    and su(n), the traceless symmetric matrices for sl(n), the boosts p (d - p) for so(d - p, p).
    Where two are isomorphic, such as so(3) and su(2), the first name that is entered stays.

    Returns
    -------
    dict of (int, int) to str
    """
    names = {}
    for d in range(3, _MAX_ORDER):
        if d == 4:  # so(4) is not simple
            continue
        dim = comb(d, 2)
        names.setdefault((dim, 0), f"so({d})")
    for n in range(2, 20):
        dim = n * n - 1
        n_symmetric = comb(n + 1, 2) - 1
        names.setdefault((dim, n_symmetric), f"sl({n})")
        names.setdefault((dim, 0), f"su({n})")
    for d in range(3, _MAX_ORDER):
        dim = comb(d, 2)
        for p in range(1, d // 2 + 1):
            n_boosts = p * (d - p)
            names.setdefault((dim, n_boosts), f"so({d - p}, {p})")
    for n in range(2, 15):
        dim = comb(2 * n + 1, 2)
        n_noncompact = n * (n + 1)
        names.setdefault((dim, n_noncompact), f"sp({2 * n})")
    return names


def _vanishes(values, size=1.0):
    """Tell whether all values are zero up to rounding, relative to `size`."""
    return np.abs(values).max() <= _ZERO * size


def _row_space(rows):
    """Return an orthonormal basis (k, r) of the span of some rows (m, r)."""
    _, s, Vt = np.linalg.svd(rows, full_matrices=False)
    return Vt[s > _ZERO]


def _null_space(rows):
    """Return an orthonormal basis (r - k, r) of the vectors orthogonal to all rows (m, r)."""
    _, s, Vt = np.linalg.svd(rows)
    rank = np.count_nonzero(s > _ZERO)
    return Vt[rank:]


def _random_combination(matrices):
    """Return a random linear combination of matrices (k, m, m), always the same one."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=len(matrices))
    return np.tensordot(weights, matrices, 1)
