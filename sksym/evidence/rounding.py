"""Exact algebras near estimated ones: rounded numbers, or conjugates where no rounding fits.

An invariant of a slightly wrong generator is often no invariant at all, so a span is never enforced
as estimated. Where rounding its entries fails, its *kind* can still be exact: a rotation has purely
imaginary eigenvalues about whatever axis, and an algebra of dimension d (d - 1) / 2 may be the
motions ``A^T G + G A = 0`` that preserve a quadratic form G about a centre. The axes, the form and
the centre remain free and are fitted to the data.

Index legend: r candidates, k generators of the estimated algebra, ``C`` and ``form`` (k, r) their
coordinates in the candidates, ``H`` (k, d + 1, d + 1) their homogeneous matrices.
"""

from math import comb

import numpy as np
from scipy import stats

from sksym._linalg import pivoted_echelon
from sksym.groups import flat_generators

_SNAP = 4.0  # standard errors within which a number is rounded
_BY_CHANCE = 1e-3  # probability that one of all numbers lies further off
_CERTAIN = 1e-8  # standard error of a number that need not be simple
_ROUND_OFF = 1e-9  # distance from a simple number, for numbers that are known exactly
_NEAR = 0.15  # relative distance of an eigenvalue from the simple ratio that it is taken for
_DEGENERATE = 1e-2
_GAP = 0.3  # between the smallest singular value of a condition on G and the next
_MAX_ENTRIES = 3000  # of all generators
_CLOSED = 1e-6  # relative distance of brackets from the span of a rounded algebra
_MOVING = 1e-6  # size of the motion of an algebra, relative to the largest, that is none
_MOST_EVALUATIONS = 12  # of the misfit of a conjugate
_EXACT = 1e-8  # relative distance of an algebra from the span of the candidates


def _with_signs(*numbers):
    """Return numbers and their negatives, as an array."""
    numbers = np.array(numbers, dtype=float)
    return np.concatenate([numbers, -numbers])


# Tables of simple numbers, the simplest first, and all ratios of numbers up to 10; each with the
# largest standard error at which a value on a number of the table rather has that value than any
# other, uniform on [-1, 1] or inverse to such a one: the share of the number in the simple values,
# 1/32, 1/64 and 1/2000, times 2 / sqrt(2 pi). Zero and one are the entries of most algebras.
_SIMPLE = [
    (_with_signs(0, 1), np.inf),
    (_with_signs(2, 1 / 2, 3, 1 / 3), 0.025),
    (_with_signs(4, 1 / 4, 3 / 2, 2 / 3), 0.0125),
    (np.unique([_with_signs(i / j) for i in range(1, 11) for j in range(1, 11)]), 4e-4),
]
_RATIOS = _with_signs(0, 1, 1 / 2, 1 / 3, 2 / 3)  # of eigenvalues


def exact_forms(candidates, form, errors):
    """Yield exact algebras near an estimated one: the rounded one, then the nearest conjugate.

    Parameters
    ----------
    candidates : LieAlgebra or VectorFields
        With r generators, in units of the data (`in_units_of`).
    form : ndarray of shape (k, r)
        The estimated algebra.
    errors : ndarray of shape (k, r)
        Standard errors of `form`.

    Yields
    ------
    C : ndarray of shape (k, r)
    """
    is_affine = candidates.is_affine
    simple = rounded(form, errors)
    # Brackets of other fields are not in the span of finitely many, so there is no test.
    if simple is not None and is_affine and not _stays_closed(candidates, simple):
        simple = None
    if simple is not None:
        yield simple
    if not is_affine:
        return
    exact = nearest_exact(candidates, form)
    if exact is None:
        return
    yield exact


def in_units_of(X, candidates):
    """Return the same generators in coordinates in which the box of the data is a unit cube.

    The change of coordinates improves the condition and leaves the meaning.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    candidates : LieAlgebra or VectorFields
    """
    low = X.min(axis=0)
    high = X.max(axis=0)
    center = (low + high) / 2
    half_width = (high - low) / 2
    largest = half_width.max() or 1.0
    half_width[half_width == 0] = largest
    return candidates.in_units_of(center, half_width)


def _stays_closed(candidates, C):
    """Tell whether rounding kept the brackets in the span, as for the symmetries of any function.

    Where the candidates are not closed themselves, brackets may leave them.
    """
    if len(C) == 1 or not candidates.is_closed():
        return True
    algebra = candidates.combine(C)
    return algebra.is_closed(_CLOSED)


def readable(candidates, generators):
    """Sort generators by name and remove leading minus signs.

    Parameters
    ----------
    candidates : LieAlgebra or VectorFields
    generators : ndarray of shape (k, r)

    Returns
    -------
    sorted_generators : ndarray of shape (k, r)
    order : list of k int
        The former place of each.
    """
    names = candidates.combine(generators).names
    without_sign = [name.lstrip("-") for name in names]
    order = sorted(range(len(names)), key=without_sign.__getitem__)
    readable_generators = generators.copy()
    for a, name in enumerate(names):
        if name.startswith("-"):
            readable_generators[a] *= -1
    return readable_generators[order], order


def rounded(form, errors, partly=False, size=1.0):
    """Return every entry as the simplest number within four standard errors, or None.

    Of thousands of entries some are further off by chance: within as many standard errors as the
    largest of them is with a probability of a thousandth.

    Parameters
    ----------
    form : ndarray of shape (k, r)
    errors : ndarray of shape (k, r)
        Standard errors. Numbers that are known almost exactly may remain as they are.
    partly : bool, default=False
        Whether all other numbers may remain, too.
    size : float or ndarray of shape (r,), default=1.0
        How far each candidate moves the data: the unit in which entries of one row compare.

    Returns
    -------
    ndarray of shape (k, r), or None
        None if an entry is near no simple number, or an error is not finite.
    """
    if not np.isfinite(errors).all():
        return None
    size = np.broadcast_to(size, form.shape[1:])
    motions = np.abs(form * size)
    largest_motion = motions.max(axis=1, initial=0)
    divisor = np.where(size > 0, size, np.inf)
    # The entry of each candidate that would move the data as much as the whole generator.
    unit = largest_motion[:, None] / divisor
    n_errors = max(_SNAP, stats.norm.isf(_BY_CHANCE / (2 * max(form.size, 1))))
    simple = np.empty_like(form)
    for index, value in np.ndenumerate(form):
        error = errors[index]
        scale = max(min(unit[index], 1.0), abs(value))
        number = _simplest_near(value, error, n_errors, _ROUND_OFF * scale)
        if number is None:
            is_certain = error <= _CERTAIN * max(1.0, abs(value))
            if not partly and not is_certain:
                return None
            number = value
        simple[index] = number
    return simple


def _simplest_near(value, error, n_errors, round_off):
    """Return the simplest number that a value may be, or None.

    Near other numbers than 0 and 1 a value is only by chance unless its error is small: they are
    taken where the likelihood of the value, ``exp(-z^2 / 2) / error`` with a distance of z standard
    errors, exceeds the prior odds.

    Parameters
    ----------
    value, error : float
    n_errors : float
        Largest distance in standard errors.
    round_off : float
        Largest distance of a value that is known exactly.
    """
    for numbers, largest_error in _SIMPLE:
        distances = np.abs(numbers - value)
        nearest = distances.argmin()
        distance = distances[nearest]
        if distance <= round_off:
            return numbers[nearest]
        if distance > n_errors * error + round_off:
            continue
        likelihood = np.exp(-((distance / error) ** 2) / 2)
        # Values beyond 1 are inverse to values whose errors are smaller by the square.
        if error <= largest_error * likelihood * max(1.0, value**2):
            return numbers[nearest]
    return None


def nearest_exact(candidates, form):
    """Return an exact algebra (k, r) near an estimated one (k, r), or None."""
    H = candidates.combine(form).homogeneous()
    k = len(H)
    dim_of_rotations = comb(candidates.n_features, 2)
    exact = None
    if k == dim_of_rotations:
        exact = _preserving_a_form(H)
    if exact is None and k == 1:
        exact = _semisimple(H)
    if exact is None or not np.isfinite(exact).all():
        return None
    C = _coordinates(candidates, exact)
    if len(C) != k:
        return None
    # The candidates need not contain what was constructed.
    span = exact.reshape(k, -1)
    combined = candidates.combine(C).homogeneous()
    combined = combined.reshape(k, -1)
    outside = np.abs(_outside(combined, span))
    size = np.abs(combined)
    if outside.max() > _EXACT * size.max():
        return None
    return C


def _preserving_a_form(H):
    """Return the motions that preserve a quadratic form, from generators that nearly do.

    Parameters
    ----------
    H : ndarray of shape (k, d + 1, d + 1)

    Returns
    -------
    ndarray of shape (k, d + 1, d + 1), or None
        None where no form is clearly preserved.
    """
    linear = H[:, 1:, 1:]
    offset = H[:, 1:, 0]
    size = np.linalg.norm(linear, axis=(1, 2))
    if not size.all():
        return None
    linear = linear / size[:, None, None]
    offset = offset / size[:, None]
    G = _preserved_form(linear)
    if G is None:
        return None
    # A = G^-1 S with S skew solves A^T G + G A = -S + S = 0.
    d = len(G)
    inverse = np.linalg.inv(G)
    exact = inverse @ _units(d, sign=-1)
    center = _center(linear, offset)
    return _about(center, exact)


def _preserved_form(linear):
    """Return the symmetric G (d, d) with ``A^T G + G A`` closest to 0, or None if not clear."""
    d = linear.shape[1]
    units = _units(d, sign=1)
    if linear.size > _MAX_ENTRIES:
        # A few random combinations preserve the same forms.
        rng = np.random.default_rng(0)
        weights = rng.normal(size=(8, len(linear)))
        linear = np.tensordot(weights, linear, 1)
    conditions = []
    for A in linear:
        changes = A.T @ units + units @ A
        columns = changes.reshape(len(units), -1)
        conditions.append(columns.T)
    # The rows outnumber the columns by far: the R factor has the same singular vectors.
    conditions = np.concatenate(conditions)
    R = np.linalg.qr(conditions, mode="r")
    _, s, Vt = np.linalg.svd(R)
    coordinates = Vt[-1]
    G = np.tensordot(coordinates, units, 1)
    eigenvalues = np.linalg.eigvalsh(G)
    size = np.abs(eigenvalues)
    is_ambiguous = s[-1] > _GAP * s[-2]
    is_degenerate = size.min() < _DEGENERATE * size.max()
    if is_ambiguous or is_degenerate:
        return None
    return G


def _units(d, sign):
    """Return a basis of the symmetric matrices (sign 1), or of the skew ones (sign -1).

    Returns
    -------
    ndarray of shape (d (d + sign) / 2, d, d)
    """
    first_diagonal = 0 if sign > 0 else 1
    i, j = np.triu_indices(d, first_diagonal)
    number = np.arange(len(i))
    units = np.zeros((len(i), d, d))
    units[number, i, j] = sign
    units[number, j, i] = 1
    return units


def _center(linear, offset):
    """Return the point (d,) where ``A_a x + b_a`` is closest to 0, for A (.., d, d)."""
    d = linear.shape[-1]
    equations = linear.reshape(-1, d)
    # A tolerance, because estimated generators have no exact null space.
    center, *_ = np.linalg.lstsq(
        equations,
        -offset.ravel(),
        rcond=1e-6,
    )
    return center


def _about(center, linear):
    """Return linear motions (k, d, d) about a centre (d,), as homogeneous matrices."""
    k, d, _ = linear.shape
    H = np.zeros((k, d + 1, d + 1))
    H[:, 1:, 1:] = linear
    H[:, 1:, 0] = -linear @ center
    return H


def _semisimple(H):
    """Return one generator with eigenvalues in simple ratios, all real or all imaginary.

    Parameters
    ----------
    H : ndarray of shape (1, d + 1, d + 1)

    Returns
    -------
    ndarray of shape (1, d + 1, d + 1), or None
        None where the ratios are not simple, or the generator cannot be diagonalised.
    """
    linear = H[0, 1:, 1:]
    offset = H[0, 1:, 0]
    eigenvalues, vectors = np.linalg.eig(linear)
    size = np.abs(eigenvalues).max()
    norm = np.linalg.norm(linear)
    condition = np.linalg.cond(vectors)
    is_nearly_nilpotent = not size > _DEGENERATE * norm
    is_nearly_defective = condition > _DEGENERATE**-2
    if is_nearly_nilpotent or is_nearly_defective:
        return None
    rates = _simple_ratios(eigenvalues.real / size)
    frequencies = _simple_ratios(eigenvalues.imag / size)
    if rates is None or frequencies is None:
        return None
    if (rates * frequencies).any():
        return None  # a spiral
    exact_eigenvalues = rates + 1j * frequencies
    inverse = np.linalg.inv(vectors)
    linear = (vectors * exact_eigenvalues) @ inverse
    linear = linear.real
    offset = offset / size
    center = _center(linear, offset)
    exact = _about(center, linear[None])
    # A screw also moves along its axis: no centre explains that part of the offset.
    along_axis = offset + linear @ center
    pitch = np.linalg.norm(along_axis)
    if pitch > _NEAR * np.linalg.norm(offset):
        exact[0, 1:, 0] += along_axis
    return exact


def _simple_ratios(values):
    """Return the simple ratios nearest to values (d,), or None if one is too far."""
    distances = np.abs(values[:, None] - _RATIOS)
    nearest = distances.argmin(axis=1)
    if (distances.min(axis=1) > _NEAR).any():
        return None
    return _RATIOS[nearest]


def _outside(rows, span):
    """Return rows (.., m) without their component in the span of other rows (k, m)."""
    coordinates = rows @ np.linalg.pinv(span)
    return rows - coordinates @ span


def _coordinates(candidates, H):
    """Return coordinates C (k, r) of the matrices H in echelon form about their large entries.

    By least squares: what is outside of the candidates is left out.
    """
    generators = candidates.flat()
    rows = flat_generators(
        linear=H[:, 1:, 1:],
        offset=H[:, 1:, 0],
    )
    solution, *_ = np.linalg.lstsq(
        generators.T,
        rows.T,
        rcond=None,
    )
    C, _ = pivoted_echelon(solution.T)
    return C
