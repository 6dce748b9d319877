"""How many symmetries, and which: counting, rounding, enforcing, comparing."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from scipy.linalg import svd

from sksym._linalg import merge_rows, pivoted_echelon, spectral_bound
from sksym.spectra.evidence import BEYOND, EXACT
from sksym.spectra.snapping import rounded

_DRIFT = 4.0  # times the noise of what was measured, which a tuned generator may have
GAP = 0.4  # a floor or singular value must lie this far below the next singular value


@dataclass(frozen=True)
class Verdict:
    """Which generators are symmetries: their coordinates (k, r) and how sure that is."""

    generators: np.ndarray
    errors: np.ndarray | None  # standard errors of the entries before rounding
    floor: float
    undecided: int  # others not rejected, but on evidence too weak to declare them


def check_rule(name, count, largest, max_defect):
    """Whether a number to be found, and the largest noise floor for it, can be meant."""
    auto = isinstance(count, str) and count == "auto"
    if not auto and (not isinstance(count, Integral) or not 0 <= count <= largest):
        raise ValueError(f"`{name}` must be 'auto' or an integer in 0..{largest}, got {count!r}.")
    if not isinstance(max_defect, Real) or not max_defect > 0:
        raise ValueError(f"`max_defect` must be a positive number, got {max_defect!r}.")


def within_floor(evidence, max_defect):
    """The largest number of generators that are zero as far as the noise lets us see.

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
    count, floor, passed = 0, evidence.floor_test(1)[1], 0
    for k in range(1, len(s)):
        consistent, noise = evidence.floor_test(k)
        if not consistent:
            break
        passed = k
        if max(s[k - 1], noise) <= GAP * s[k] and noise <= max_defect:
            count, floor = k, noise
    return count, floor, passed - count


def echelon(evidence, k):
    """Reduced echelon form (k, r) of the k smallest generators, and standard errors (k, r)."""
    V = evidence.spectrum.generators[:k]
    # Pivots in units of motion, so that candidates of different size compete fairly.
    form, pivots = pivoted_echelon(V, np.sqrt(np.diag(evidence.motion)))
    change = evidence.changes(k)
    if change is None:
        return form, np.full_like(form, np.inf)
    change = np.einsum("rke,kj->rje", change, np.linalg.inv(V[:, pivots]).T)
    change -= np.einsum("ir,ije->rje", form, change[pivots])
    return form, np.sqrt(np.sum(change**2, axis=2)).T


def verdict(evidence, count, max_defect, proposals=None):
    """The `count` smallest generators; "auto": as many as lie within the noise floor.

    Where there are `proposals` (see `select`), in the first exact form that fits as well.
    """
    undecided, spectrum = 0, evidence.spectrum
    if count == "auto":
        count, floor, undecided = within_floor(evidence, max_defect)
    else:
        count = min(count, len(spectrum.generators))
        floor = evidence.floor_test(max(count, 1))[1]
    if not count:
        return Verdict(np.zeros((0, spectrum.n_candidates)), None, floor, undecided)
    form, errors = echelon(evidence, count)
    least = np.sqrt(np.mean(spectrum.singular_values[:count] ** 2))
    allowed = BEYOND * max(evidence.noise_of(spectrum.generators[:count]), least) + EXACT
    for exact, _ in () if proposals is None else proposals(form, errors):
        if spectrum.defect(exact) <= allowed:
            form = exact
            break
    return Verdict(form, errors, floor, undecided)


def select(evidence, enforced, max_defect, proposals):
    """Snap the generators for every possible number of them, enforce, and keep the best.

    Parameters
    ----------
    evidence : FittedEvidence
    enforced : callable
        ``enforced(C)`` gives the basis (k, q p) of the functions with the symmetries ``C`` (k, r),
        None where nothing but constants is left.
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
    annihilates all functions left free is a symmetry too.
    """
    s = evidence.spectrum.singular_values
    best, chosen, undecided = 0.0, None, 0
    for k in range(1, len(s) + 1):
        consistent, floor = evidence.floor_test(k)
        if not consistent:
            break
        if floor > max_defect:
            undecided = k
            continue
        if k < len(s) and s[k] <= EXACT:
            continue  # exact zeros come together
        form, errors = echelon(evidence, k)
        for found, n_tuned in proposals(form, errors):
            if n_tuned and _drifted(evidence, found):
                continue
            basis = enforced(found)
            bic = np.inf if basis is None else evidence.information(basis, n_tuned)
            if bic < best:
                best, chosen = bic, (errors, floor, basis)
            if np.isfinite(bic):
                break
    if chosen is None:
        none = np.zeros((0, evidence.spectrum.n_candidates))
        return Verdict(none, None, evidence.floor_test(1)[1], undecided)
    errors, floor, basis = chosen
    found = saturated(evidence, basis)
    return Verdict(found, errors, floor, max(undecided - len(found), 0))


def _drifted(evidence, found):
    """Whether generators (k, r) were tuned away to where the data say much less."""
    spectrum = evidence.spectrum
    noise = evidence.noise_of(spectrum.unit_span(found))
    return noise > _DRIFT * evidence.noise_of(spectrum.generators[: len(found)])


def saturated(evidence, basis):
    """All candidates (k, r) under which every function of a basis (k, q p) is unchanged.

    Only candidates that the data determine; in reduced echelon form.
    """
    L, generators = evidence.L, evidence.spectrum.generators
    factor = None
    for c in basis:  # of many functions and tests: one after the other
        moved = L.symmetry_matrix(c.reshape(len(evidence.coef), -1)) @ generators.T
        factor = merge_rows(factor, moved)
    _, s, Vt = svd(factor)
    mixing = sparse.kron(generators.T, sparse.eye_array(L.E.shape[1]))
    size = spectral_bound(L.D @ mixing)  # generators of unit motion: units do not matter
    kept = Vt[int((s > 1e-8 * size).sum()) :]
    size = np.sqrt(np.diag(evidence.motion))
    form, _ = pivoted_echelon(kept @ generators, size)
    return rounded(form, np.zeros_like(form), partly=True, size=size)
