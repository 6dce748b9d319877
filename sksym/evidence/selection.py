"""How many symmetries, and which: counting, rounding, enforcing, comparing.

Index legend: r candidates, k generators, q outputs, p library functions, e sources of noise.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import svd

from sksym._estimator import is_integer, is_real
from sksym._linalg import merge_rows, pivoted_echelon
from sksym.evidence.rounding import rounded
from sksym.evidence.spectrum import BEYOND, EXACT

_DRIFT = 4.0  # times the noise of what was measured, which a tuned generator may have
_GAP = 0.4  # a floor or singular value must lie this far below the next singular value
_FEW = 5  # random functions that show how much functions change
_UNCHANGED = 1e-8  # change of enforced functions along a symmetry, relative to all changes


@dataclass(frozen=True)
class Verdict:
    """Which generators are symmetries, and how sure that is.

    Attributes
    ----------
    generators : ndarray of shape (k, r)
    errors : ndarray of shape (k, r), or None
        Standard errors of the entries before rounding.
    floor : float
        What noise contributes to their defect.
    undecided : int
        Others that are not rejected, but on evidence too weak to declare them.
    """

    generators: np.ndarray
    errors: np.ndarray | None
    floor: float
    undecided: int


def check_rule(name, count, largest, max_defect):
    """Raise unless a number to be found, and the largest noise floor for it, make sense.

    Parameters
    ----------
    name : str
        Of the parameter that is the count, for messages.
    count : "auto" or int
    largest : int
        Number of candidates.
    max_defect : float
    """
    is_auto = isinstance(count, str) and count == "auto"
    is_count = is_integer(count) and 0 <= count <= largest
    if not is_auto and not is_count:
        raise ValueError(f"`{name}` must be 'auto' or an integer in 0..{largest}, got {count!r}.")
    if not is_real(max_defect) or not max_defect > 0:
        raise ValueError(f"`max_defect` must be a positive number, got {max_defect!r}.")


def within_floor(evidence, max_defect):
    """Find the largest number of generators that are zero as far as the noise lets us see.

    Counting goes on until a set is rejected. A set counts when its defect is far below the
    next singular value, and so is its noise floor, and the floor is at most `max_defect`:
    failing to reject is not finding.

    Returns
    -------
    count : int
    floor : float
        Noise floor of those, of the smallest one where there is none.
    undecided : int
        How many more are not rejected.
    """
    s = np.append(evidence.spectrum.singular_values, 1.0)
    count = 0
    n_consistent = 0
    _, floor = evidence.floor_test(1)
    for k in range(1, len(s)):
        consistent, noise = evidence.floor_test(k)
        if not consistent:
            break
        n_consistent = k
        # A gap, because a spectrum that grows steadily has no last zero.
        size = max(s[k - 1], noise)
        is_apart = size <= _GAP * s[k]
        if is_apart and noise <= max_defect:
            count = k
            floor = noise
    return count, floor, n_consistent - count


def echelon(evidence, k, chosen=slice(None)):
    """Return the reduced echelon form of the k smallest generators, and standard errors.

    Parameters
    ----------
    evidence : FittedEvidence or SampledEvidence
    k : int
    chosen : slice or array of int, default=slice(None)
        Which of the k.

    Returns
    -------
    form : ndarray of shape (k, r)
    errors : ndarray of shape (k, r)
        Infinite where nothing is known of the noise.
    """
    V = evidence.spectrum.generators[:k][chosen]
    # Pivots in units of motion, so that candidates of different size compete fairly.
    size_of_candidates = np.sqrt(np.diag(evidence.motion))
    form, pivots = pivoted_echelon(V, size_of_candidates)
    change = evidence.changes(k)
    if change is None:
        return form, np.full_like(form, np.inf)
    change = change[:, chosen]
    # form = V_p^-1 V with V_p (k, k) at the pivots: d form = V_p^-1 (dV - dV_p form)
    # r: candidate, k: generator, e: source of noise, i: pivot, j: row of the echelon form
    to_form = np.linalg.inv(V[:, pivots])
    change = np.einsum("rke,kj->rje", change, to_form.T)
    change -= np.einsum("ir,ije->rje", form, change[pivots])
    variance = np.sum(change**2, axis=2)
    return form, np.sqrt(variance).T


def verdict(evidence, count, max_defect, proposals=None):
    """Take the `count` smallest generators; "auto": as many as lie within the noise floor.

    Where there are `proposals` (see `select`), in the first exact form that fits as well.

    Parameters
    ----------
    evidence : FittedEvidence or SampledEvidence
    count : "auto" or int
    max_defect : float
    proposals : callable, default=None

    Returns
    -------
    Verdict
    """
    spectrum = evidence.spectrum
    undecided = 0
    if count == "auto":
        count, floor, undecided = within_floor(evidence, max_defect)
    else:
        count = min(count, len(spectrum.generators))
        _, floor = evidence.floor_test(max(count, 1))
    if not count:
        none = np.zeros((0, spectrum.n_candidates))
        return Verdict(none, None, floor, undecided)
    form, errors = echelon(evidence, count)
    if proposals is not None:
        s = spectrum.singular_values[:count]
        defect = np.sqrt(np.mean(s**2))
        noise = evidence.noise_of(spectrum.generators[:count])
        allowed = BEYOND * max(noise, defect) + EXACT
        for exact, _ in proposals(form, errors):
            if spectrum.defect(exact) <= allowed:
                form = exact
                break
    return Verdict(form, errors, floor, undecided)


def select(evidence, symmetric_functions, max_defect, proposals):
    """Make the generators exact for every possible number of them, enforce, and keep the best.

    Parameters
    ----------
    evidence : FittedEvidence
    symmetric_functions : callable
        ``symmetric_functions(C)`` gives a basis (k, q p) of the functions with the symmetries
        ``C`` (k, r), None where nothing but constants remains.
    max_defect : float
        Largest noise floor at which a symmetry is declared.
    proposals : callable
        ``proposals(form, errors)`` gives exact algebras near `form` (k, r), each with the number
        of its parameters that were fitted.

    Returns
    -------
    Verdict

    Notes
    -----
    For k = 1, 2, .. until the floor test rejects: round the echelon form of the k smallest
    generators within four standard errors, or else take the exact algebra of its kind that fits
    best; enforce it; drop it when the F test of the nested model rejects, or when nothing but
    constants is free. Of the others the least BIC wins (no symmetry has 0). Every candidate that
    annihilates all functions that remain free is a symmetry too.
    """
    s = evidence.spectrum.singular_values
    least = 0.0
    best = None
    undecided = 0
    for k in range(1, len(s) + 1):
        consistent, floor = evidence.floor_test(k)
        if not consistent:
            break
        if floor > max_defect:
            undecided = k
            continue
        is_last = k == len(s)
        if not is_last and s[k] <= EXACT:
            continue  # exact zeros come together
        form, errors = echelon(evidence, k)
        basis, bic = _first_that_fits(
            evidence,
            symmetric_functions,
            proposals(form, errors),
        )
        if bic < least:
            least = bic
            best = (errors, floor, basis)
    if best is None:
        none = np.zeros((0, evidence.spectrum.n_candidates))
        _, floor = evidence.floor_test(1)
        return Verdict(none, None, floor, undecided)
    errors, floor, basis = best
    generators = saturated(evidence, basis)
    undecided = max(undecided - len(generators), 0)
    return Verdict(generators, errors, floor, undecided)


def _first_that_fits(evidence, symmetric_functions, proposals):
    """Return the functions with the first proposal that keeps the fit, and their BIC.

    Returns
    -------
    basis : ndarray of shape (k, q p), or None
    bic : float
    """
    for generators, n_tuned in proposals:
        if n_tuned and _has_drifted(evidence, generators):
            continue
        basis = symmetric_functions(generators)
        if basis is None:
            continue
        bic = evidence.estimate.information(basis, n_tuned)
        if np.isfinite(bic):
            return basis, bic
    return None, np.inf


def _has_drifted(evidence, generators):
    """Tell whether generators (k, r) were tuned away to where the data say much less."""
    spectrum = evidence.spectrum
    k = len(generators)
    noise = evidence.noise_of(spectrum.unit_span(generators))
    measured = evidence.noise_of(spectrum.generators[:k])
    return noise > _DRIFT * measured


def saturated(evidence, basis):
    """Return all candidates (k, r) under which every function of a basis (k, q p) is unchanged.

    Only candidates that the data determine; in reduced echelon form.
    """
    L = evidence.L
    generators = evidence.spectrum.generators  # of unit motion: units do not matter
    q, p = evidence.coef.shape
    factor = None
    # One function after the other: changes of all in all tests may not fit into memory.
    for row in basis:
        matrix = L.symmetry_matrix(row.reshape(q, p))
        change = matrix @ generators.T
        factor = merge_rows(factor, change)
    _, s, Vt = svd(factor)
    size = _size_of_changes(L, generators, basis)
    n_broken = np.count_nonzero(s > _UNCHANGED * size)
    unchanged = Vt[n_broken:]
    size_of_candidates = np.sqrt(np.diag(evidence.motion))
    form, _ = pivoted_echelon(unchanged @ generators, size_of_candidates)
    # Symmetries of exact functions are exact: numbers that are not simple remain.
    return rounded(
        form,
        errors=np.zeros_like(form),
        partly=True,
        size=size_of_candidates,
    )


def _size_of_changes(L, generators, basis):
    """Estimate how much functions of the size of a basis (k, q p) change along any generator.

    From a few random functions: the changes of all of them would be as large as the library.
    """
    rng = np.random.default_rng(0)
    size = np.linalg.norm(basis, axis=1).max(initial=0)
    n_unknowns = basis.shape[1]
    largest = 0.0
    for direction in rng.normal(size=(_FEW, n_unknowns)):
        row = direction / np.linalg.norm(direction) * size
        coef = row.reshape(-1, L.n_functions)
        change = L.symmetry_matrix(coef) @ generators.T
        largest = max(largest, np.linalg.norm(change))
    return largest
