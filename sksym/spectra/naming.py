"""Which Lie algebra is it? A name from structure constants and the Killing form."""

import numpy as np

from sksym.algebras import flat_generators

_ZERO = 1e-7
_LARGEST = 36  # dimensions: naming takes the commutant of the adjoint representation, O(r^6)


def algebra_name(algebra):
    """A conventional name: ``so(3)``, ``se(2)``, ``sl(2) + R``, ``abelian of dimension 2``.

    Up to isomorphism over the reals; nothing is said of how it acts. The radical is the
    orthogonal complement of ``[g, g]`` under the Killing form ``tr(ad_a ad_b)``; what is left is
    semisimple, splits into simple ideals, and each is told by its dimension and signature. One
    generator is called ``so(2)`` when it turns space periodically.
    """
    if algebra.dim == 0:
        return "trivial"
    if algebra.dim > _LARGEST:
        return f"dimension {algebra.dim}"
    flat = flat_generators(algebra.linear, algebra.offset)
    size = np.linalg.norm(flat, axis=1, keepdims=True)
    orthonormal = np.linalg.qr((flat / size).T)[0].T
    algebra = algebra.combine(orthonormal @ np.linalg.pinv(flat))
    try:
        c = algebra.structure_constants()
    except ValueError:
        return f"not closed, dimension {algebra.dim}"
    scale = np.abs(c).max()
    if scale <= _ZERO:
        return "so(2)" if _turns(algebra) else f"abelian of dimension {algebra.dim}"
    ad = c.transpose(0, 2, 1) / scale  # ad_a in the basis: columns are images
    killing = np.einsum("aij,bji->ab", ad, ad)
    derived = _row_space(c.reshape(-1, algebra.dim) / scale)
    radical = _null(derived @ killing)
    if len(radical) == algebra.dim:
        return _solvable(ad, derived)
    levi = " + ".join(_simple_ideals(ad, killing, radical))
    if not len(radical):
        return {"so(3) + so(3)": "so(4)"}.get(levi, levi)
    return _with_radical(levi, ad, radical)


def _turns(algebra):
    """Whether one generator has a compact orbit everywhere: rotations at commensurate rates."""
    H = algebra.homogeneous()[0]
    values, vectors = np.linalg.eig(H)
    size = np.abs(values).max()
    if algebra.dim > 1 or size <= _ZERO or np.linalg.cond(vectors) > 1 / _ZERO:
        return False
    rates = values.imag / size
    simple = np.abs(rates[:, None] * np.arange(1, 13) - np.round(rates[:, None] * np.arange(1, 13)))
    return np.abs(values.real).max() <= _ZERO * size and (simple <= _ZERO).all(axis=0).any()


def _solvable(ad, derived):
    r, k = len(ad), len(derived)
    inside = np.tensordot(derived, ad, 1)
    nilpotent = (
        not np.abs(np.linalg.matrix_power(np.tensordot(_generic(r), ad, 1), r)).max() > _ZERO
    )
    if r == 2:
        return "aff(1)"
    if r == 3 and k == 2 and np.abs(inside @ derived.T).max() <= _ZERO:
        outside = _null(derived)[0]
        values = np.linalg.eigvals(derived @ np.tensordot(outside, ad, 1) @ np.linalg.pinv(derived))
        size = np.abs(values).max()
        if np.abs(values.real).max() <= _ZERO * size:
            return "se(2)"
        if np.abs(values.imag).max() <= _ZERO * size and abs(values.sum()) <= _ZERO * size:
            return "se(1, 1)"
    if r == 3 and k == 1 and nilpotent:
        return "Heisenberg algebra"
    return f"{'nilpotent' if nilpotent else 'solvable'} of dimension {r}"


def _with_radical(levi, ad, radical):
    n = len(radical)
    pairs = np.einsum("xa,aij,yj->xyi", radical, ad, radical)
    if np.abs(pairs).max() > _ZERO:
        return f"{levi} acting on a radical of dimension {n}"
    acting = np.einsum("aij,yj->ayi", ad, radical)
    if np.abs(acting).max() <= _ZERO:
        return f"{levi} + R" + (f"^{n}" if n > 1 else "")
    if levi == f"so({n})":
        return f"se({n})"
    return f"{levi} acting on R^{n}"


def _simple_ideals(ad, killing, radical):
    """Names of the simple ideals of the semisimple quotient."""
    # The quotient by the radical, in a complement of it.
    rest = _null(radical) if len(radical) else np.eye(len(ad))
    onto = np.linalg.inv(np.concatenate([rest, radical]).T)[: len(rest)]
    ad = np.einsum("xa,aij,yj,zi->xzy", rest, ad, rest, onto)
    killing = np.einsum("aij,bji->ab", ad, ad)
    # What commutes with all of ad is a sum of multiples of the ideals' identities (or complex).
    k = len(ad)
    eye = np.eye(k)
    pair = np.tensordot(np.random.default_rng(1).normal(size=(2, k)), ad, 1)  # they generate all
    commute = np.concatenate([np.kron(a, eye) - np.kron(eye, a.T) for a in pair])
    centroid = _null(commute).reshape(-1, k, k)
    mixed = np.tensordot(_generic(len(centroid)), centroid, 1)
    values, vectors = np.linalg.eig(mixed)
    names, left = [], np.ones(k, bool)
    while left.any():
        value = values[left][0]
        mine = left & (np.minimum(np.abs(values - value), np.abs(values - value.conj())) <= 1e-5)
        left &= ~mine
        span = np.linalg.qr(np.hstack([vectors[:, mine].real, vectors[:, mine].imag]))[0]
        span = (
            span[:, : int(mine.sum())]
            if np.isrealobj(vectors)
            else _row_space(np.hstack([vectors[:, mine].real, vectors[:, mine].imag]).T).T
        )
        form = np.linalg.eigvalsh(span.T @ killing @ span)
        names.append(_simple(len(form), int((form > 0).sum())))
    return sorted(names)


def _simple(dim, n_noncompact):
    """A simple algebra by its dimension and the number of positive Killing eigenvalues."""
    for d in range(3, 30):
        if d != 4 and d * (d - 1) // 2 == dim and n_noncompact == 0:
            return f"so({d})"
    for n in range(2, 20):
        if n * n - 1 == dim and n_noncompact == n * (n + 1) // 2 - 1:
            return f"sl({n})"
        if n > 2 and n * n - 1 == dim and n_noncompact == 0:
            return f"su({n})"
    for d in range(3, 30):
        for p in range(1, d // 2 + 1):
            if d * (d - 1) // 2 == dim and p * (d - p) == n_noncompact:
                return f"so({d - p}, {p})"
    for n in range(2, 15):
        if n * (2 * n + 1) == dim and n_noncompact == n * (n + 1):
            return f"sp({2 * n})"
    return f"simple of dimension {dim}"


def _row_space(rows):
    _, s, Vt = np.linalg.svd(rows, full_matrices=False)
    return Vt[s > _ZERO]


def _null(rows):
    _, s, Vt = np.linalg.svd(rows)
    return Vt[int((s > _ZERO).sum()) :]


def _generic(k):
    return np.random.default_rng(0).normal(size=k)
