"""Search of a group of signed permutations by backtracking on the coefficients of monomials.

As automorphisms of a graph are found: the images of the columns are chosen one after the other,
and a choice is kept while all monomials in the columns chosen so far have coefficients that agree
within their errors. Columns that share terms with earlier ones come first, so that a wrong choice
is refuted soon. The subgroup is found from its last stabiliser upwards, so that an image
that products of known elements reach is not searched for, nor one that they map to a refuted one.

Index legend: d columns, p monomials, q outputs, m terms; a term is an output and a monomial, and
its depth the position of the last column that it needs. Elements are images (2d,) of points, see
`sksym.groups.stabilizers`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sksym.groups import StabilizerChain, signed_matrix
from sksym.libraries import Monomials

_REJECT = 1e-6  # p value below which a partial choice is refuted: it is tested often
_HIDDEN = 1e3  # error of what the data do not determine, relative to all coefficients
_SEEN = 5.0  # standard errors beyond which a coefficient is not zero
_DEPENDENT = 1e-9  # eigenvalue of a correlation matrix that is zero
_MOST_CHOICES = 50_000  # partial choices tested
_MOST_DOUBTS = 200  # complete choices that were refuted, or could not be decided


@dataclass(frozen=True, eq=False)
class ElementSearch:
    """What a search found.

    Attributes
    ----------
    tests : list
        Of elements that generate the subgroup, an `ElementTest` each.
    is_complete : bool
        Whether every element was found or refuted.
    """

    tests: list
    is_complete: bool


def search_elements(evidence, images, level, max_defect):
    """Find the elements of a group that leave a function unchanged.

    Parameters
    ----------
    evidence : ElementEvidence
        With a library of all monomials.
    images : ndarray of shape (k, 2d)
        Generating elements of the group.
    level : float
        p value down to which a complete choice is a symmetry.
    max_defect : float

    Returns
    -------
    ElementSearch
    """
    d = images.shape[1] // 2
    coefficients = _Coefficients.of(evidence)
    chain = StabilizerChain(images, coefficients.connected_order())

    def test(g):
        result = evidence.test(g)
        return result if result.is_consistent(level, max_defect) else None

    search = _Search(chain, _Terms(evidence, coefficients, chain), test)
    for depth in range(d - 1, -1, -1):
        search.extend(depth)
    # Elements that move the first columns first: the others are often products of them.
    return ElementSearch(search.tests[::-1], search.is_complete)


class _Search:
    """The symmetries known so far, from the last stabiliser upwards.

    Parameters
    ----------
    chain : StabilizerChain
    terms : _Terms
    test : callable
        Returns the test of a matrix (d, d), None where that is no symmetry.
    """

    def __init__(self, chain, terms, test):
        self.levels = chain.levels
        self.terms = terms
        self.test = test
        self.known = []  # elements that generate the subgroup
        self.tests = []
        self.n_choices = 0
        self.n_doubts = 0

    @property
    def is_complete(self):
        """Whether the search has kept within its limits."""
        return self.n_choices <= _MOST_CHOICES and self.n_doubts <= _MOST_DOUBTS

    def extend(self, depth):
        """Add elements that fix the columns before `depth` and move that one."""
        reached = self._orbit(depth)
        refuted = set()
        for image, representative in self.levels[depth].representatives.items():
            if image in reached or image in refuted:
                continue
            element = self._complete(representative, depth)
            if element is None:
                refuted |= self._orbit(image)
            else:
                self.known.append(element)
                reached = self._orbit(depth)

    def _orbit(self, point):
        """Return the images of a point under products of known elements."""
        orbit = {point}
        waiting = [point]
        while waiting:
            point = waiting.pop()
            for element in self.known:
                image = int(element[point])
                if image not in orbit:
                    orbit.add(image)
                    waiting.append(image)
        return orbit

    def _complete(self, element, depth):
        """Return a symmetry with the images of the columns up to `depth`, or None."""
        self.n_choices += 1
        if not self.is_complete or not self.terms.agree(element, depth):
            return None
        if depth + 1 == len(self.levels):
            result = self.test(signed_matrix(element))
            if result is None:
                self.n_doubts += 1
                return None
            self.tests.append(result)
            return element
        for choice in self._choices(element, depth + 1):
            completed = self._complete(choice, depth + 1)
            if completed is not None:
                return completed
        return None

    def _choices(self, element, depth):
        """Return the continuations of an element by images of one column more.

        Those that move little come first: a swap is easier to read than a long cycle.
        """
        level = self.levels[depth]
        d = len(self.levels)
        choices = [element[representative] for representative in level.representatives.values()]

        def is_moved(choice):
            image = choice[level.point]
            return image != level.point, image >= d, image

        return sorted(choices, key=is_moved)


@dataclass(frozen=True, eq=False)
class _Coefficients:
    """The coefficients of plain monomials, and their covariance.

    Attributes
    ----------
    monomials : Monomials
    value : ndarray of shape (q p,)
    covariance : ndarray of shape (q p, q p)
    """

    monomials: Monomials
    value: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, evidence):
        """Take them from an `ElementEvidence`."""
        estimate = evidence.estimate
        library = evidence.library
        identity = np.eye(len(estimate.coef))
        coef = library.monomial_coef(estimate.coef)
        # For every output c = u @ plain; u is known, but what vanishes on the data is not.
        plain = library.monomial_coef(estimate.from_data.T)
        hidden = library.monomial_coef(estimate.undetermined.T)
        known = evidence.noise_in(np.kron(identity, plain.T))
        size = _HIDDEN * np.abs(coef).max(initial=0)
        unknown = np.kron(identity, size * hidden.T)
        factor = np.hstack([known, unknown])
        return cls(library.monomials_, coef.ravel(), factor @ factor.T)

    def connected_order(self):
        """Return the columns such that each has as many terms as possible with those before."""
        d = self.monomials.d
        deviation = np.sqrt(np.diag(self.covariance))
        is_seen = np.abs(self.value) > _SEEN * deviation
        p = self.monomials.p
        is_seen = is_seen.reshape(-1, p).any(axis=0)
        has_column = self.monomials.exponents[is_seen] > 0
        order = []
        for _ in range(d):
            n_other = has_column.sum(axis=1) - has_column[:, order].sum(axis=1)
            # A term without other columns than this one is tested as soon as it is chosen.
            n_complete = has_column[n_other == 1].sum(axis=0)
            n_terms = has_column.sum(axis=0)
            rank = n_complete * (len(has_column) + 1.0) + n_terms
            rank[order] = -1
            order.append(int(rank.argmax()))
        return order


class _Terms:
    """The terms of each depth, and whether an element leaves them alone.

    Parameters
    ----------
    evidence : ElementEvidence
    coefficients : _Coefficients
    chain : StabilizerChain
        Of the group that is searched.
    """

    def __init__(self, evidence, coefficients, chain):
        self.evidence = evidence
        self.coefficients = coefficients
        monomials = coefficients.monomials
        # The constant factor, of index 0, needs no column.
        position = np.full(monomials.d + 1, -1)
        for depth, level in enumerate(chain.levels):
            position[level.point + 1] = depth
        last = position[monomials.tuples].max(axis=1)
        depth = np.maximum(_depth_of_outputs(evidence, chain)[:, None], last)
        self._terms_at = [np.argwhere(depth == k) for k in range(monomials.d)]

    def agree(self, element, depth):
        """Return whether the terms of a depth agree with those that an element maps them to.

        ``F(g x) = rho(g) F(x)``: the coefficient of every monomial in a moved output.
        """
        difference = self._difference(element, self._terms_at[depth])
        value = difference @ self.coefficients.value
        covariance = difference @ self.coefficients.covariance @ difference.T
        deviation = np.sqrt(np.diag(covariance))
        is_free = deviation > 0
        if not is_free.any():
            return True
        unit = deviation[is_free]
        correlation = covariance[np.ix_(is_free, is_free)] / unit / unit[:, None]
        # Differences along a closed cycle add up to zero, so that some depend on others.
        variance, axes = np.linalg.eigh(correlation)
        is_independent = variance > _DEPENDENT * variance[-1]
        value = axes[:, is_independent].T @ (value[is_free] / unit)
        miss = np.sum(value**2 / variance[is_independent])
        return self.evidence.estimate.survival(miss, len(value)) > _REJECT

    def _difference(self, element, terms):
        """Return what vanishes for a symmetry as a matrix on the coefficients, sparse (m, q p).

        Parameters
        ----------
        element : ndarray of shape (2d,)
        terms : ndarray of shape (m, 2)
            Outputs and monomials.
        """
        monomials = self.coefficients.monomials
        d = monomials.d
        p = monomials.p
        output, monomial = terms.T
        factors = monomials.tuples[monomial]
        # Index 0 is the constant factor, which nothing moves.
        image = np.concatenate([[0], element[:d] % d + 1])
        is_negative = np.concatenate([[False], element[:d] >= d])
        n_negative = is_negative[factors].sum(axis=1)
        sign = 1.0 - 2.0 * (n_negative % 2)
        moved = np.sort(image[factors], axis=1)
        moved_monomial = monomials.rank(moved)
        m = len(terms)
        shape = (m, len(self.coefficients.value))
        row = np.arange(m)
        here = sparse.csr_array((sign, (row, output * p + monomial)), shape=shape)
        rho = self.evidence.rho(signed_matrix(element))[output]
        row, other = np.nonzero(rho)
        column = other * p + moved_monomial[row]
        there = sparse.csr_array((rho[row, other], (row, column)), shape=shape)
        return here - there


def _depth_of_outputs(evidence, chain):
    """Return the column (q,) from whose image on it is known how an output moves."""
    q = len(evidence.estimate.coef)
    depth = np.full(q, -1)
    if evidence.output is None:
        return depth
    for k, level in enumerate(chain.levels):
        for representative in level.representatives.values():
            rho = evidence.rho(signed_matrix(representative))
            moves = (rho != np.eye(q)).any(axis=1)
            depth[moves] = k
    return depth
