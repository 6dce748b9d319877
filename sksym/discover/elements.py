"""Which elements of a discrete group leave a fitted function unchanged, and how sure that is.

An element g is a symmetry of ``F(x) = coef @ phi(x)`` when ``rho(g)^-1 F(g x) - F(x)`` vanishes:
``T_g u = 0`` for the coefficients u in functions that are orthonormal on the data. That is tested
by Wald's statistic. Failing to reject is not finding: what the noise contributes to the change,
and the change itself, must be far below what would change without any symmetry.

Index legend: n rows, d coordinates, p library functions, q outputs, t constraints; the rank is the
number of functions that the data tell apart.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve, svd

from sksym._estimator import warn
from sksym._linalg import merge_rows, one_thread, row_blocks
from sksym.discover.element_search import search_elements
from sksym.evidence import Estimate, pooled_spread
from sksym.groups import (
    FiniteGroup,
    StabilizerChain,
    linear_combination,
    no_elements,
    represent_elements,
    signed_images,
)
from sksym.libraries import Library, NotClosedError, library_values

_REJECT = 0.003  # p value, for all elements together, below which an element is no symmetry
_REJECT_TOGETHER = 0.001  # p value below which elements accepted one by one are not all symmetries
_CONSTRAINT = 1e-9  # singular value of a change, relative to the largest, that constrains nothing
_HIDDEN = 1e-8  # size on the data of what the data did not show, relative to all functions
_UNMOVED = 1e-9  # displacement relative to the spread of the data that is none
_EXACT = 1e-11  # relative error of coefficients that is round-off
_EQUAL = 1e-9  # difference of two elements, relative to their entries, that is round-off
_ROWS_PER_FUNCTION = 5  # from which a sandwich covariance is trusted
_LISTED = 120  # elements of a group that are tested one by one: five interchangeable things


@dataclass(frozen=True, eq=False)
class ElementTest:
    """What is known of one element.

    Attributes
    ----------
    matrix : ndarray of shape (d, d)
    name : str
    p_value : float
        Of Wald's test that the function is unchanged; NaN where nothing can be said.
    defect : float
        ``rho(g)^-1 F(g x) - F(x)`` in the root mean square over the samples, relative to the
        spread of F and, for elements near the identity, to how far they move the samples.
    floor : float
        What the noise of the fit contributes to it.
    is_symmetry : bool
        Whether it was declared.
    """

    matrix: np.ndarray
    name: str
    p_value: float
    defect: float
    floor: float
    is_symmetry: bool = False

    def is_consistent(self, level, max_defect):
        """Return whether it is not rejected, on evidence that is strong enough."""
        is_seen = max(self.floor, self.defect) <= max_defect
        return bool(self.p_value > level and is_seen)


@dataclass(frozen=True, eq=False)
class ElementVerdict:
    """The elements that are symmetries.

    Attributes
    ----------
    elements : FiniteGroup
        Generating elements; their products are symmetries too.
    tests : tuple of ElementTest
        Of those, in their order, and then of the candidates that are listed but no symmetries.
    is_complete : bool
        Whether the search came to its end.
    """

    elements: FiniteGroup
    tests: tuple
    is_complete: bool = True

    @property
    def p_values(self):
        """Those of `elements`, (k,)."""
        return np.array([test.p_value for test in self.tests[: self.elements.n_elements]])

    @property
    def defects(self):
        """Those of `elements`, (k,)."""
        return np.array([test.defect for test in self.tests[: self.elements.n_elements]])


@dataclass(frozen=True, eq=False)
class ElementEvidence:
    """A function fitted in a library, as discrete candidates see it.

    Attributes
    ----------
    library : fitted Library
    estimate : Estimate
    output : representation or None
        How the outputs move.
    X : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    output_scale : float
        Spread of the function.
    """

    library: Library
    estimate: Estimate
    output: object
    X: np.ndarray
    weight: np.ndarray
    output_scale: float

    @property
    def is_testable(self):
        """Whether anything is known of the noise."""
        return self.estimate.dof > 0

    @cached_property
    def u(self):
        """The coefficients (q rank,) in functions that are orthonormal on the data."""
        return (self.estimate.coef @ self.estimate.to_data).ravel()

    @cached_property
    def noise(self):
        """Standard deviations (q rank,) of `u`, or a factor (q rank, e) of their covariance."""
        noise = self.estimate.noise
        size = len(self.u)
        # Exact data have almost no noise, in whose units round-off is large.
        round_off = _EXACT * np.linalg.norm(self.u)
        if np.ndim(noise) == 2:
            return np.hstack([noise, round_off * np.eye(size)])
        return np.broadcast_to(np.hypot(noise, round_off), size)

    def noise_in(self, matrix):
        """Return a factor (m, e) of the covariance of ``matrix @ u``, for a matrix (m, q rank)."""
        if self.noise.ndim == 2:
            return matrix @ self.noise
        return matrix * self.noise

    @cached_property
    def _spread(self):
        """Spread of the samples, pooled over the columns."""
        return pooled_spread(self.X, self.weight) or 1.0

    @cached_property
    def _rows(self):
        """Triangular factor of the samples, (.., d): its square is a mean over them."""
        fraction = self.weight / self.weight.sum()
        return merge_rows(None, self.X * np.sqrt(fraction)[:, None])

    def rho(self, g):
        """Return how an element ``g`` (d, d) moves the outputs: (q, q)."""
        q = len(self.estimate.coef)
        if self.output is None:
            return np.eye(q)
        return represent_elements(self.output, FiniteGroup([g]), q)[0]

    def test(self, g, name=None):
        """Return the `ElementTest` of an element ``g`` (d, d); None names it by what it does."""
        if name is None:
            name = element_as_text(g)
        change = self._change(g)
        unit = min(self._displacement(g), 1.0)
        blank = ElementTest(g, name, np.nan, np.nan, np.inf)
        if unit <= _UNMOVED or change.is_hidden or not self.is_testable:
            return blank
        # Every function of the library has such a symmetry.
        if not len(change.constraints):
            return blank
        unit = unit * self.output_scale
        defect = np.linalg.norm(change.matrix @ self.u)
        floor = np.linalg.norm(self.noise_in(change.matrix))
        if change.is_closed:
            p_value = self._wald(change.constraints)
        else:
            p_value = self._satterthwaite(change.matrix)
        return replace(blank, p_value=p_value, defect=defect / unit, floor=floor / unit)

    def together(self, matrices):
        """Return the p value of the hypothesis that several elements are symmetries."""
        changes = [self._change(g) for g in matrices]
        if all(change.is_closed for change in changes):
            # In units of their own, so that no element hides behind a larger one.
            constraints = np.concatenate([change.constraints for change in changes])
            return self._wald(_row_space(constraints))
        return self._satterthwaite(np.concatenate([change.matrix for change in changes]))

    def _wald(self, constraints):
        """Return the p value of ``constraints @ u = 0``, for orthonormal rows (t, q rank)."""
        value = constraints @ self.u
        noise = self.noise_in(constraints)
        factor = cho_factor(noise @ noise.T)
        miss = value @ cho_solve(factor, value)
        return self.estimate.survival(miss, len(value))

    def _satterthwaite(self, matrix):
        """Return the p value of ``|matrix @ u|^2``, as large as noise makes it.

        Where a library is not closed its functions obey a symmetry approximately at best: what
        is small beside the noise must not be divided by smaller noise, as in Wald's statistic.
        """
        noise = self.noise_in(matrix)
        gram = noise.T @ noise
        mean = np.trace(gram)
        freedom = mean**2 / np.sum(gram**2)
        defect = matrix @ self.u
        return self.estimate.survival(freedom * (defect @ defect) / mean, freedom)

    def _displacement(self, g):
        """Return how far an element moves samples and outputs, in units of their spread."""
        q = len(self.estimate.coef)
        moved = self._rows @ (g - np.eye(len(g))).T
        outputs = (self.rho(g) - np.eye(q)) @ self.u.reshape(q, -1)
        squares = np.sum(moved**2) / self._spread**2
        return np.sqrt(squares + np.sum(outputs**2) / self.output_scale**2)

    def _change(self, g):
        """Return what an element does to the functions, as a `_Change`."""
        estimate = self.estimate
        q = len(estimate.coef)
        rank = estimate.rank
        functions = np.hstack([estimate.from_data, estimate.undetermined])
        k = functions.shape[1]
        try:
            K = self.library.group_matrix(g)
            is_closed = True
        except NotClosedError:
            is_closed = False
        if is_closed:
            transformed = K.T @ functions
            moved = estimate.to_data.T @ transformed
            still = np.eye(rank)
        else:
            # At points: the triangular factor of the values there and here.
            factor = self._sampled_values(g, functions)
            moved = factor[:, :k]
            still = factor[:, k : k + rank]
        inverse_rho = np.linalg.inv(self.rho(g))
        # Functions that vanish on the samples should vanish on the moved samples.
        hidden = np.linalg.norm(moved[:, rank:])
        return _Change(
            matrix=np.kron(inverse_rho, moved[:, :rank]) - np.kron(np.eye(q), still),
            is_hidden=bool(hidden > _HIDDEN * np.linalg.norm(estimate.to_data)),
            is_closed=is_closed,
        )

    def _sampled_values(self, g, functions):
        """Return the triangular factor of ``[f(g x), f(x)]`` for functions (p, k): (.., 2k)."""
        fraction = self.weight / self.weight.sum()
        width = self.library.n_output_features_ + 2 * functions.shape[1]
        factor = None
        for rows in row_blocks(len(self.X), width):
            points = self.X[rows]
            moved = library_values(self.library, points @ g.T) @ functions
            still = library_values(self.library, points) @ functions
            sqrt_weight = np.sqrt(fraction[rows])
            values = np.hstack([moved, still]) * sqrt_weight[:, None]
            factor = merge_rows(factor, values)
        return factor


@dataclass(frozen=True, eq=False)
class _Change:
    """The change of a function under an element, linear in its coefficients.

    Attributes
    ----------
    matrix : ndarray of shape (m, q rank)
        ``|matrix @ u|^2`` is the mean square of ``rho(g)^-1 F(g x) - F(x)`` over the samples.
    is_hidden : bool
        Whether it depends on functions that the data did not show.
    is_closed : bool
        Whether the moved function is one of the library.
    """

    matrix: np.ndarray
    is_hidden: bool
    is_closed: bool

    @cached_property
    def constraints(self):
        """Orthonormal rows (t, q rank) that vanish for a symmetry."""
        return _row_space(self.matrix)


def discrete_symmetries(candidates, samples, evidence, rule):
    """Return which discrete candidates are symmetries of what a discoverer was fitted to.

    Parameters
    ----------
    candidates : FiniteGroup
    samples : FunctionSamples or None
        None where no function was fitted.
    evidence : FittedEvidence
        Of the continuous candidates: the fit and its errors are taken from it.
    rule : object
        With the parameters `robust` and `max_defect` of the discoverer.

    Returns
    -------
    ElementVerdict
    """
    d = candidates.n_features
    nothing = ElementVerdict(no_elements(d), ())
    if not candidates.n_elements:
        return nothing
    X = samples.X
    fitted = ElementEvidence(
        library=samples.library,
        estimate=evidence.estimate,
        output=samples.output,
        X=X,
        weight=samples.weight,
        output_scale=evidence.output_scale,
    )
    with one_thread():
        found = find_elements(fitted, candidates, rule.max_defect)
    # As for generators: a second pass, for errors of unequal size, where nothing was found.
    enough = len(X) >= _ROWS_PER_FUNCTION * samples.library.n_output_features_
    if rule.robust == "auto" and enough and not found.elements.n_elements:
        core = samples.core
        fitted = replace(fitted, estimate=core.robust_estimate(), X=core.X, weight=core.weight)
        with one_thread():
            robustly = find_elements(fitted, candidates, rule.max_defect)
        if robustly.elements.n_elements:
            found = robustly
    if not found.is_complete:
        warn(
            "There are more elements than can be tested, so that some that are symmetries may be "
            "missing: those in `elements_` are symmetries."
        )
    return found


def find_elements(evidence, candidates, max_defect):
    """Find the subgroup of a discrete group that leaves a fitted function unchanged.

    Parameters
    ----------
    evidence : ElementEvidence
    candidates : FiniteGroup
        The group that these elements generate: groups of signed permutations of any size are
        searched (see `search_elements`), where the library consists of monomials; others are
        listed up to 120 elements; of larger ones only the generating elements are tested.
    max_defect : float
        Largest defect, and noise in it, with which a symmetry is declared.

    Returns
    -------
    ElementVerdict
    """
    listed = []
    for g, name in zip(candidates.matrices, candidates.names, strict=True):
        listed.append(evidence.test(g, name))
    if not any(test.floor <= max_defect for test in listed):
        return ElementVerdict(no_elements(candidates.n_features), tuple(listed))
    level, accepted, is_complete = _accepted_elements(evidence, candidates, max_defect)
    found = [test for test in listed if test.is_consistent(level, max_defect)]
    for test in accepted:
        if not _is_generated(test.matrix, found):
            found.append(test)
    found = _symmetries_together(evidence, found)
    found = [replace(test, is_symmetry=True) for test in found]
    matrices = _stacked(found, candidates.n_features)
    names = [test.name for test in found]
    others = []
    for test in listed:
        if not _is_among(test.matrix, matrices):
            is_product = _is_generated(test.matrix, found)
            others.append(replace(test, is_symmetry=is_product))
    return ElementVerdict(
        elements=FiniteGroup(matrices, names),
        tests=(*found, *others),
        is_complete=is_complete,
    )


def _accepted_elements(evidence, candidates, max_defect):
    """Go through the group that some candidates generate, by a search or one by one.

    Returns
    -------
    level : float
        p value down to which an element counts as a symmetry.
    accepted : list of ElementTest
        Generating elements of the symmetries.
    is_complete : bool
        Whether all elements of the group were decided.
    """
    library = evidence.library
    images = signed_images(candidates.matrices)
    if images is not None and library.has_all_monomials and library.columns_ is None:
        # Every stabiliser of columns needs an element or two: so many true ones are tested.
        level = _REJECT / max(2 * candidates.n_features, candidates.n_elements)
        search = search_elements(evidence, images, level, max_defect)
        return level, search.tests, search.is_complete
    elements = candidates.closure(_LISTED)
    is_complete = elements is not None
    if elements is None:
        elements = candidates.matrices
    level = _REJECT / len(elements)
    accepted = []
    for g in elements:
        if _is_generated(g, accepted):
            continue
        test = evidence.test(g)
        if test.is_consistent(level, max_defect):
            accepted.append(test)
    return level, accepted, is_complete


def _is_generated(g, tests):
    """Return whether an element (d, d) is a product of tested elements."""
    d = len(g)
    matrices = _stacked(tests, d)
    images = signed_images(np.concatenate([matrices, g[None]]))
    if images is not None:
        return images[-1] in StabilizerChain(images[:-1], range(d))
    elements = FiniteGroup(matrices).closure(_LISTED)
    if elements is None:
        elements = matrices
    return bool(_is_among(g, elements))


def _stacked(tests, d):
    """Return the matrices (k, d, d) of tested elements."""
    matrices = np.array([test.matrix for test in tests])
    return matrices.reshape(-1, d, d)


def _is_among(g, elements):
    """Return whether an element (d, d) is one of (k, d, d) up to round-off."""
    difference = np.abs(elements - g)
    return (difference <= _EQUAL * np.abs(g).max()).all(axis=(1, 2)).any()


def _symmetries_together(evidence, tests):
    """Leave out the least likely elements until all together are compatible with the data."""
    while len(tests) > 1:
        matrices = [test.matrix for test in tests]
        if evidence.together(matrices) > _REJECT_TOGETHER:
            break
        least = min(tests, key=lambda test: test.p_value)
        tests = [test for test in tests if test is not least]
    return tests


def element_as_text(g):
    """Write what an element (d, d) does to the coordinates: ``(x0, x2) -> (x2, -x0)``."""
    d = len(g)
    names = [f"x{i}" for i in range(d)]
    is_moved = (g != np.eye(d)).any(axis=1)
    images = [linear_combination(row, names, digits=3) for row in g[is_moved]]
    if len(images) == 1:
        return images[0]  # as `reflections` are named
    after = ", ".join(images)
    if is_moved.all():
        return f"({after})"
    before = ", ".join(names[i] for i in np.flatnonzero(is_moved))
    return f"({before}) -> ({after})"


def _row_space(matrix):
    """Return an orthonormal basis (t, k) of the rows of a matrix (m, k)."""
    _, s, Vt = svd(matrix, full_matrices=False)
    rank = np.count_nonzero(s > _CONSTRAINT * s.max(initial=0))
    return Vt[:rank]
