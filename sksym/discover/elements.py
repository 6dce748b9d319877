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
from scipy import stats
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
    def found(self):
        """The tests of the elements that are symmetries."""
        return self.tests[: self.elements.n_elements]


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
        blank = ElementTest(g, name, np.nan, np.nan, np.inf)
        change, is_hidden = self._change(g)
        unit = min(self._displacement(g), 1.0)
        if unit <= _UNMOVED or is_hidden or not self.is_testable:
            return blank
        constraints = _row_space(change)
        # Every function of the library has such a symmetry.
        if not len(constraints):
            return blank
        unit = unit * self.output_scale
        return replace(
            blank,
            p_value=self.p_value(constraints),
            defect=np.linalg.norm(change @ self.u) / unit,
            floor=np.linalg.norm(self.noise_in(change)) / unit,
        )

    def p_value(self, constraints):
        """Return that of Wald's test of ``constraints @ u = 0``, orthonormal (t, q rank)."""
        value = constraints @ self.u
        noise = self.noise_in(constraints)
        factor = cho_factor(noise @ noise.T)
        miss = value @ cho_solve(factor, value)
        return self.survival(miss, len(value))

    def survival(self, miss, t):
        """Return the probability that noise exceeds a sum of t squares in its own units."""
        estimate = self.estimate
        # An estimated covariance of many coefficients rejects too often, see `Estimate`.
        t = t + (estimate.caution - 1) * len(self.u)
        if np.isinf(estimate.dof):
            return stats.chi2.sf(miss, t)
        return stats.f.sf(miss / t, t, estimate.dof)

    def together(self, matrices):
        """Return the p value of the hypothesis that several elements are symmetries."""
        factor = None
        for g in matrices:
            change, _ = self._change(g)
            # In units of its own, so that no element hides behind a larger one.
            factor = merge_rows(factor, _row_space(change))
        return self.p_value(_row_space(factor))

    def _displacement(self, g):
        """Return how far an element moves samples and outputs, in units of their spread."""
        q = len(self.estimate.coef)
        moved = self._rows @ (g - np.eye(len(g))).T
        outputs = (self.rho(g) - np.eye(q)) @ self.u.reshape(q, -1)
        squares = np.sum(moved**2) / self._spread**2
        return np.sqrt(squares + np.sum(outputs**2) / self.output_scale**2)

    def _change(self, g):
        """Return ``T_g`` (m, q rank), and whether it depends on what the data did not show.

        ``|T_g u|^2`` is the mean square of ``rho(g)^-1 F(g x) - F(x)`` over the samples.
        """
        q = len(self.estimate.coef)
        moved, still, hidden = self._values(g)
        size = np.linalg.norm(self.estimate.to_data)
        is_hidden = bool(np.linalg.norm(hidden) > _HIDDEN * size)
        inverse_rho = np.linalg.inv(self.rho(g))
        change = np.kron(inverse_rho, moved) - np.kron(np.eye(q), still)
        return change, is_hidden

    def _values(self, g):
        """Return functions at the moved samples and at the samples, squares being means over both.

        Returns
        -------
        moved, still : ndarray of shape (m, rank)
            Of the functions that are orthonormal on the samples.
        hidden : ndarray of shape (m, p - rank)
            At the moved samples, of the functions that vanish on the samples.
        """
        estimate = self.estimate
        functions = np.hstack([estimate.from_data, estimate.undetermined])
        rank = estimate.rank
        try:
            K = self.library.group_matrix(g)
        except NotClosedError:
            # At points: the triangular factor of the values there and here.
            factor = self._sampled_values(g, functions)
            moved = factor[:, : functions.shape[1]]
            still = factor[:, functions.shape[1] :]
            return moved[:, :rank], still[:, :rank], moved[:, rank:]
        moved = (K.T @ functions).T @ estimate.to_data
        moved = moved.T
        return moved[:, :rank], np.eye(rank), moved[:, rank:]

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
        fitted = replace(fitted, estimate=samples.robust_estimate())
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
    d = candidates.n_features
    if not any(test.floor <= max_defect for test in listed):
        return ElementVerdict(no_elements(d), tuple(listed))
    images = signed_images(candidates.matrices)
    library = evidence.library
    if images is not None and library.has_all_monomials and library.columns_ is None:
        # Every stabiliser of columns needs an element or two: so many true ones are tested.
        level = _REJECT / max(2 * d, len(listed))
        search = search_elements(evidence, images, level, max_defect)
        accepted = search.tests
        is_complete = search.is_complete
    else:
        elements = candidates.closure(_LISTED)
        is_complete = elements is not None
        if elements is None:
            elements = candidates.matrices
        level = _REJECT / len(elements)
        accepted = _accepted_products(evidence, elements, level, max_defect)
    found = [test for test in listed if test.is_consistent(level, max_defect)]
    for test in accepted:
        if not _is_generated(test.matrix, found):
            found.append(test)
    found = _symmetries_together(evidence, found)
    found = [replace(test, is_symmetry=True) for test in found]
    matrices = np.array([test.matrix for test in found]).reshape(-1, d, d)
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


def _accepted_products(evidence, elements, level, max_defect):
    """Test elements (k, d, d) one by one, but for products of those accepted before.

    Returns
    -------
    list of ElementTest
    """
    accepted = []
    for g in elements:
        if _is_generated(g, accepted):
            continue
        test = evidence.test(g)
        if test.is_consistent(level, max_defect):
            accepted.append(test)
    return accepted


def _is_generated(g, tests):
    """Return whether an element (d, d) is a product of tested elements."""
    d = len(g)
    matrices = np.array([test.matrix for test in tests]).reshape(-1, d, d)
    images = signed_images(np.concatenate([matrices, g[None]]))
    if images is not None:
        return images[-1] in StabilizerChain(images[:-1], range(d))
    elements = FiniteGroup(matrices).closure(_LISTED)
    if elements is None:
        elements = matrices
    return bool(_is_among(g, elements))


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
