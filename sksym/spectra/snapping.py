"""Exact algebras near estimated ones: conjugates, where the generators are no simple numbers.

An invariant of a slightly wrong generator is often no invariant at all, so a span is never enforced
as estimated. Where rounding its entries fails, its *kind* can still be exact: a rotation has purely
imaginary eigenvalues about whatever axis, and an algebra of dimension d (d - 1) / 2 may be the
motions ``A^T G + G A = 0`` that preserve a quadratic form G about a centre. The axes, the form and
the centre remain free and are fitted to the data.
"""

import numpy as np
from scipy.linalg import expm
from scipy.optimize import least_squares

from sksym._linalg import pivoted_echelon
from sksym.algebras import LieAlgebra, flat_generators

SNAP = 4.0  # standard errors within which a number is rounded
_CERTAIN = 1e-8  # standard error of a number that need not be simple
_SIMPLE = [
    np.array([0.0, 1, -1]),
    np.array([2, -2, 1 / 2, -1 / 2, 3, -3, 1 / 3, -1 / 3]),
    np.array([4, -4, 1 / 4, -1 / 4, 3 / 2, -3 / 2, 2 / 3, -2 / 3]),
]
_RATIONAL = np.unique([s * i / j for i in range(1, 11) for j in range(1, 11) for s in (1, -1)])
_NEAR = 0.15  # relative distance of an eigenvalue from the simple ratio that it is taken for
_RATIOS = np.array([0.0, 1, -1, 1 / 2, -1 / 2, 1 / 3, -1 / 3, 2 / 3, -2 / 3])
_DEGENERATE = 1e-2
_MANY = 3000  # entries of all generators


def exact_forms(candidates, form, errors, tune=None):
    """Exact algebras near `form` (k, r), each with the number of parameters that were fitted.

    Candidates should be seen in units of the data (`in_units_of`).

    The rounded one first, then the conjugate of its kind, fitted by `tune` where that is given.
    """
    affine = isinstance(candidates, LieAlgebra)
    simple = rounded(form, errors)
    if simple is not None and (not affine or _stays_closed(candidates, simple)):
        yield simple, 0
    exact = nearest_exact(candidates, form) if affine else None
    if exact is not None:
        yield (exact, 0) if tune is None else tune(exact)


def in_units_of(X, candidates):
    """The same generators as seen in coordinates of the data's box: condition, not meaning."""
    if not isinstance(candidates, LieAlgebra):
        return candidates
    low, high = X.min(axis=0), X.max(axis=0)
    center, half = (low + high) / 2, (high - low) / 2
    half[half == 0] = half.max() or 1.0
    linear = candidates.linear * (half / half[:, None])
    return LieAlgebra(linear, (candidates.linear @ center + candidates.offset) / half)


def _stays_closed(candidates, C):
    """The symmetries of a function are closed under brackets where the candidates are."""
    return len(C) == 1 or candidates.combine(C).is_closed(1e-6) or not candidates.is_closed()


def readable(candidates, generators):
    """Generators (k, r) without leading minus signs, sorted by name; and their former places."""
    names = candidates.combine(generators).names
    order = sorted(range(len(names)), key=lambda a: names[a].lstrip("-"))
    signs = np.array([-1.0 if names[a][0] == "-" else 1.0 for a in order])
    return signs[:, None] * generators[order], order


def rounded(form, errors, partly=False, size=1.0):
    """Every entry as the simplest number within four standard errors, or None.

    Numbers that are known almost exactly may stay as they are; with `partly` all others may too.
    Entries of one row weigh as much as they move the data, `size` (r,) for each candidate.
    """
    out = np.empty_like(form)
    if not np.isfinite(errors).all():
        return None
    size = np.broadcast_to(size, form.shape[1:])
    unit = np.abs(form * size).max(axis=1, initial=0)[:, None] / np.where(size > 0, size, np.inf)
    for index, value in np.ndenumerate(form):
        reach = SNAP * errors[index] + 1e-9 * max(min(unit[index], 1.0), abs(value))
        # Ratios of larger numbers lie dense: only where no other is in reach.
        tables = [*_SIMPLE, _RATIONAL] if reach < 1e-3 else _SIMPLE
        for table in tables:
            nearest = table[np.abs(table - value).argmin()]
            if abs(nearest - value) <= reach:
                out[index] = nearest
                break
        else:
            if not partly and errors[index] > _CERTAIN * max(1.0, abs(value)):
                return None
            out[index] = value
    return out


def fitted_conjugate(candidates, start, evidence, enforced):
    """The conjugate of an algebra `start` (k, r) that fits the data best.

    Over all conjugates by elements of the candidates' own group, minimises the misfit of the
    function with that symmetry enforced, by Gauss-Newton steps.

    Returns
    -------
    C : ndarray of shape (k, r)
    n_tuned : int
        Free parameters that were fitted: the dimension of the orbit.
    """
    H = candidates.combine(start).homogeneous()
    if not candidates.is_closed():
        return start, 0
    directions = _moving_directions(candidates, H)

    def conjugate(eta):
        motion = expm(np.tensordot(eta @ directions, candidates.homogeneous(), 1))
        return _coordinates(candidates, motion @ H @ np.linalg.inv(motion))

    def misfit(eta):
        basis = enforced(conjugate(eta))
        return evidence.observed if basis is None else evidence.misfit(basis)[0]

    if not len(directions):
        return start, 0
    start = np.zeros(len(directions))
    eta = least_squares(misfit, start, diff_step=1e-6, x_scale="jac", max_nfev=12).x
    return conjugate(eta), len(directions)


def nearest_exact(candidates, form):
    """An exact algebra (k, r) near `form` (k, r) of generators, or None."""
    H = candidates.combine(form).homogeneous()
    k, d = len(H), H.shape[1] - 1
    exact = _of_form(H) if k == d * (d - 1) // 2 else None
    if exact is None and k == 1:
        exact = _semisimple(H)
    if exact is None or not np.isfinite(exact).all():
        return None
    C = _coordinates(candidates, exact)
    span = exact.reshape(k, -1)
    inside = candidates.combine(C).homogeneous().reshape(k, -1)
    outside = inside - inside @ np.linalg.pinv(span) @ span
    return C if len(C) == k and np.abs(outside).max() <= 1e-8 * np.abs(inside).max() else None


def _of_form(H):
    """The motions that preserve a quadratic form, from generators that nearly do."""
    A, b = H[:, 1:, 1:], H[:, 1:, 0]
    d = A.shape[1]
    i, j = np.triu_indices(d)
    units = np.zeros((len(i), d, d))
    units[np.arange(len(i)), i, j] = units[np.arange(len(i)), j, i] = 1
    size = np.linalg.norm(A, axis=(1, 2))
    if not size.all():
        return None
    A, b = A / size[:, None, None], b / size[:, None]
    some = A
    if A.size > _MANY:  # a few random combinations have the same forms
        some = np.tensordot(np.random.default_rng(0).normal(size=(8, len(A))), A, 1)
    rows = [(a.T @ units + units @ a).reshape(len(i), -1).T for a in some]
    _, s, Vt = np.linalg.svd(np.linalg.qr(np.concatenate(rows), mode="r"))
    G = np.tensordot(Vt[-1], units, 1)
    eigenvalues = np.abs(np.linalg.eigvalsh(G))
    if s[-1] > 0.3 * s[-2] or eigenvalues.min() < _DEGENERATE * eigenvalues.max():
        return None
    center = np.linalg.lstsq(A.reshape(-1, d), -b.ravel(), rcond=1e-6)[0]
    i, j = np.triu_indices(d, 1)
    skew = np.zeros((len(i), d, d))
    skew[np.arange(len(i)), i, j], skew[np.arange(len(i)), j, i] = -1, 1
    exact = np.zeros((len(i), d + 1, d + 1))
    exact[:, 1:, 1:] = np.linalg.inv(G) @ skew
    exact[:, 1:, 0] = -exact[:, 1:, 1:] @ center
    return exact


def _semisimple(H):
    """One generator with eigenvalues in simple ratios, purely real or purely imaginary."""
    A, b = H[0, 1:, 1:], H[0, 1:, 0]
    values, P = np.linalg.eig(A)
    size = np.abs(values).max()
    if not size > _DEGENERATE * np.linalg.norm(A) or np.linalg.cond(P) > 1 / _DEGENERATE**2:
        return None
    snapped = np.zeros_like(values)
    for part, unit in ((values.real, 1.0), (values.imag, 1j)):
        nearest = _RATIOS[np.abs(part[:, None] / size - _RATIOS).argmin(axis=1)]
        if (np.abs(part / size - nearest) > _NEAR).any():
            return None
        snapped = snapped + unit * nearest
    if (snapped.real * snapped.imag).any():
        return None  # a spiral
    exact = np.zeros_like(H)
    linear = ((P * snapped) @ np.linalg.inv(P)).real
    exact[0, 1:, 1:] = linear
    center = np.linalg.lstsq(linear, -b / size, rcond=1e-6)[0]
    along = b / size + linear @ center  # a screw also moves along its axis
    exact[0, 1:, 0] = -linear @ center
    if np.linalg.norm(along) > _NEAR * np.linalg.norm(b / size):
        exact[0, 1:, 0] += along
    return exact


def _moving_directions(candidates, H):
    """Directions (k, r) of the candidates' group that move the span of H, orthonormal."""
    M = candidates.homogeneous()
    span = H.reshape(len(H), -1)
    brackets = np.einsum("aij,bjk->abik", M, H) - np.einsum("bij,ajk->abik", H, M)
    brackets = brackets.reshape(len(M), len(H), -1)
    brackets = brackets - brackets @ np.linalg.pinv(span) @ span
    size = np.linalg.norm(M, axis=(1, 2))
    U, s, _ = np.linalg.svd(brackets.reshape(len(M), -1) / size[:, None], full_matrices=False)
    return U[:, s > 1e-6 * s.max(initial=0)].T / size if s.any() else np.zeros((0, len(M)))


def _coordinates(candidates, H):
    """The matrices H in the candidates' generators, (k, r), echelon form about large entries."""
    M = flat_generators(candidates.linear, candidates.offset)
    rows = flat_generators(H[:, 1:, 1:], H[:, 1:, 0])
    C = np.linalg.lstsq(M.T, rows.T, rcond=None)[0].T
    return pivoted_echelon(C)[0]
