"""How many symmetries, and which: counting, rounding, enforcing, comparing.

Index legend: r candidates, k generators, q outputs, p library functions, e sources of noise.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import svd

from sksym._estimator import SILENT, is_integer, is_real
from sksym._linalg import merge_rows, pivoted_echelon
from sksym.evidence.coefficients import REFIT_REJECT
from sksym.evidence.joint_fit import JointFit, JointFits
from sksym.evidence.rounding import rounded
from sksym.evidence.spectrum import BEYOND, EXACT

_DRIFT = 4.0  # times the noise of what was measured, which a fitted generator may have
_TIE = 1e-9  # relative difference of BIC that is round-off
_WORSE = 2  # numbers of generators in a row that end the search
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


def echelon_form(evidence, V, change):
    """Return the reduced echelon form of generators, and its standard errors.

    Parameters
    ----------
    evidence : FittedEvidence or SampledEvidence
    V : ndarray of shape (k, r)
    change : ndarray of shape (r, k, e), or None
        Of the generators, for unit noise of every source; None: nothing is known of the noise.

    Returns
    -------
    form : ndarray of shape (k, r)
    errors : ndarray of shape (k, r)
        Infinite where nothing is known of the noise.
    """
    # Pivots in units of motion, so that candidates of different size compete fairly.
    size_of_candidates = np.sqrt(np.diag(evidence.motion))
    form, pivots = pivoted_echelon(V, size_of_candidates)
    if change is None:
        return form, np.full_like(form, np.inf)
    # form = V_p^-1 V with V_p (k, k) at the pivots: d form = V_p^-1 (dV - dV_p form)
    # r: candidate, k: generator, e: source of noise, i: pivot, j: row of the echelon form
    to_form = np.linalg.inv(V[:, pivots])
    change = to_form @ change
    change -= np.tensordot(form.T, change[pivots], 1)
    variance = np.sum(change**2, axis=2)
    return form, np.sqrt(variance).T


def echelon(evidence, k, chosen=slice(None)):
    """Return the reduced echelon form and errors of the `chosen` among the k smallest generators.

    Parameters
    ----------
    evidence : FittedEvidence or SampledEvidence
    k : int
    chosen : slice or array of int, default=slice(None)

    Returns
    -------
    form, errors : ndarray of shape (k', r)
    """
    V = evidence.spectrum.generators[:k][chosen]
    change = evidence.changes(k)
    if change is not None:
        change = change[:, chosen]
    return echelon_form(evidence, V, change)


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
        for exact in proposals(form, errors):
            if spectrum.defect(exact) <= allowed:
                form = exact
                break
    return Verdict(form, errors, floor, undecided)


def select(evidence, symmetric_functions, max_defect, snap=True, progress=SILENT):
    """Fit the function and its symmetries together for every possible number, keep the best.

    Parameters
    ----------
    evidence : FittedEvidence
    symmetric_functions : callable
        ``symmetric_functions(C)`` gives a basis (k, q p) of the functions with the symmetries
        ``C`` (k, r), None where nothing but constants remains.
    max_defect : float
        Largest noise floor at which a symmetry is declared.
    snap : bool
        Whether generators are rounded to simple numbers, where those fit as well.
    progress : Progress

    Returns
    -------
    Verdict

    Notes
    -----
    From the largest number k that the floor test does not reject downwards: the joint fit of the
    function and k generators, which is dropped where it does not converge, where it says nothing
    (t = 0: every function has such symmetries), where its test rejects, or where nothing but
    constants is left. Of the others the least BIC wins (no symmetry has 0); two in a row that are
    worse end the search. Simple numbers within the errors replace the generators if the function
    with those symmetries is not rejected against the joint fit. Every candidate that annihilates
    all functions that remain is a symmetry too.
    """
    with progress.task("spectrum"):
        counts, undecided = _possible_counts(evidence, max_defect)
    progress.say(
        f"spectrum: {len(evidence.spectrum.generators)} directions, of which "
        f"{max(counts, default=0)} may be symmetries and {undecided} are undecided"
    )
    best = _best_fit(evidence, symmetric_functions, counts, snap, progress)
    if best is None:
        none = np.zeros((0, evidence.spectrum.n_candidates))
        return Verdict(none, None, evidence.floor_test(1)[1], undecided)
    simple = None
    if snap and best.fit is not None:
        simple = _with_simple_numbers(evidence, symmetric_functions, best)
    if simple is None:
        generators = saturated(evidence, best.basis, best.form)
    else:
        generators = saturated(evidence, simple)
    floor = evidence.floor_test(len(best.form))[1]
    return Verdict(generators, best.errors, floor, max(undecided - len(generators), 0))


@dataclass(frozen=True, eq=False)
class _Proposal:
    """Generators that may be symmetries.

    Attributes
    ----------
    form, errors : ndarray of shape (k, r)
    bic : float
    basis : ndarray of shape (k', q p)
        All functions with these symmetries.
    fit : JointFit, or None
        None: the form consists of simple numbers.
    """

    form: np.ndarray
    errors: np.ndarray
    bic: float
    basis: np.ndarray
    fit: JointFit | None = None


def _best_fit(evidence, symmetric_functions, counts, snap, progress):
    """Return the proposal of the least BIC among those of some numbers of generators, or None."""
    best = None
    least = 0.0
    n_worse = 0
    fits = JointFits(evidence)
    for k in reversed(counts):
        with progress.task(f"{k} symmetries"):
            proposal = _proposal(fits, symmetric_functions, k, snap, best)
        # Fewer generators of the same algebra have the same BIC: the whole algebra comes first.
        if proposal is not None and proposal.bic < least - _TIE * abs(least):
            progress.say(f"{k} symmetries of at most {counts[-1]}: BIC {proposal.bic:.6g}")
            best = proposal
            least = proposal.bic
            n_worse = 0
            continue
        progress.say(f"{k} symmetries of at most {counts[-1]}: rejected, or no better")
        n_worse += best is not None
        if n_worse == _WORSE:
            break
    return best


def _proposal(fits, symmetric_functions, k, snap, best):
    """Propose k generators, in simple numbers or by a joint fit; None: nothing better than `best`.

    Parameters
    ----------
    fits : JointFits
    symmetric_functions : callable
    k : int
    snap : bool
    best : _Proposal, or None
    """
    evidence = fits.evidence
    if snap and evidence.estimate.is_quadratic:
        simple = _simple_proposal(evidence, symmetric_functions, k)
        if simple is not None:
            return simple
        # All generators have simple numbers.
        if k == len(evidence.spectrum.generators):
            return None
    # Of an algebra in simple numbers the parts have simple numbers too.
    if best is not None and best.fit is None:
        return None
    fit = _fit_to_compare(fits, k, best)
    return _joint_proposal(evidence, symmetric_functions, fit)


def _fit_to_compare(fits, k, best):
    """Return the joint fit with k symmetries, None where it cannot be the best proposal."""
    if not fits.evidence.estimate.is_quadratic:
        return fits.of(k)
    bic_to_beat = 0.0 if best is None else best.bic
    return fits.better_than(bic_to_beat, k)


def _simple_proposal(evidence, symmetric_functions, k):
    """Propose the k smallest generators in simple numbers, None where those do not fit.

    Where they do, nothing is gained by fitting the function and its symmetries together.
    """
    form, errors = echelon(evidence, k)
    found = _simple_functions(evidence, symmetric_functions, form, errors)
    if found is None:
        return None
    simple, basis = found
    estimate = evidence.estimate
    miss, rank = estimate.deviance(basis)
    n_constraints = len(estimate.coef) * estimate.rank - rank
    if n_constraints <= 0:  # every function has such symmetries
        return None
    p_value, bic = estimate.judge(miss, n_constraints)
    if p_value <= REFIT_REJECT:
        return None
    return _Proposal(simple, errors, bic, basis)


def _joint_proposal(evidence, symmetric_functions, fit):
    """Propose the generators of a joint fit, None where it says nothing or is contradicted."""
    if fit is None or not fit.is_exact:
        return None
    is_quadratic = evidence.estimate.is_quadratic
    # Null spaces and likelihoods take long: first what is known already.
    if is_quadratic and not fit.is_convincing:
        return None
    if _has_drifted(evidence, fit.generators):
        return None
    basis = symmetric_functions(fit.generators)
    if basis is None:
        return None
    if not is_quadratic:
        fit = _judged_by_likelihood(evidence.estimate, basis, fit)
        if not fit.is_convincing:
            return None
    form, errors = echelon_form(evidence, fit.generators, fit.changes)
    return _Proposal(form, errors, fit.bic, basis, fit)


def _has_drifted(evidence, generators):
    """Tell whether generators (k, r) were fitted away to where the data say much less."""
    spectrum = evidence.spectrum
    noise = evidence.noise_of(spectrum.unit_span(generators))
    measured = evidence.noise_of_smallest(len(generators))
    return noise > _DRIFT * measured


def _possible_counts(evidence, max_defect):
    """List the numbers of generators that the floor test does not reject, and the undecided one.

    Those whose noise floor is above `max_defect` are undecided: failing to reject is not finding.
    """
    s = evidence.spectrum.singular_values
    counts = []
    undecided = 0
    for k in range(1, len(s) + 1):
        consistent, floor = evidence.floor_test(k)
        if not consistent:
            break
        is_last = k == len(s)
        if floor > max_defect:
            undecided = k
        elif is_last or s[k] > EXACT:  # exact zeros come together
            counts.append(k)
    return counts, undecided


def _judged_by_likelihood(estimate, basis, fit):
    """Return a joint fit with the tests of the best function of a basis (k, q p)."""
    miss, _ = estimate.deviance(basis)
    p_value, bic = estimate.judge(miss, fit.codimension)
    return replace(fit, miss=miss, p_value=p_value, bic=bic)


def _simple_functions(evidence, symmetric_functions, form, errors):
    """Return generators (k, r) in simple numbers and the functions with these symmetries, or None.

    None where an entry is near no simple number, where those say much less, or where nothing but
    constants is left.
    """
    simple = rounded(form, errors)
    if simple is None or _has_drifted(evidence, simple):
        return None
    basis = symmetric_functions(simple)
    return None if basis is None else (simple, basis)


def _with_simple_numbers(evidence, symmetric_functions, proposal):
    """Return the functions with rounded symmetries (k, q p), None where they do not fit as well."""
    found = _simple_functions(evidence, symmetric_functions, proposal.form, proposal.errors)
    if found is None:
        return None
    _, basis = found
    fit = proposal.fit
    estimate = evidence.estimate
    miss, rank = estimate.deviance(basis)
    n_constraints = len(estimate.coef) * estimate.rank - rank - fit.codimension
    if n_constraints <= 0:  # the same functions in other words
        p_value, _ = estimate.judge(miss, len(estimate.coef) * estimate.rank - rank)
    else:
        p_value, _ = estimate.judge(miss - fit.miss, n_constraints)
    return basis if p_value > REFIT_REJECT else None


def saturated(evidence, basis, enforced=None):
    """Return all candidates (k, r) under which every function of a basis (k, q p) is unchanged.

    Only candidates that the data determine; in reduced echelon form. Where the generators that
    were `enforced` are all of them, those are returned, which are more exact than the basis.
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
    unchanged = unchanged @ generators
    if enforced is not None and len(enforced) == len(unchanged):
        unchanged = enforced
    form, _ = pivoted_echelon(unchanged, size_of_candidates)
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
