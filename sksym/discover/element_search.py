"""Search of a group of signed permutations by backtracking on the coefficients of monomials.

As automorphisms of a graph are found: the images of the columns 0, 1, .. are chosen one after the
other, and a choice is kept while all monomials in the columns chosen so far have coefficients that
agree within their errors. The subgroup is found from its last stabiliser upwards, so that an image
that products of known elements reach is not searched for, nor one that they map to a refuted one.

Index legend: d columns, p monomials, q outputs, m terms; a term is an output and a monomial, and
its depth the last column that it needs. Elements are images (2d,) of points, see
`sksym.groups.stabilizers`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sksym.groups import StabilizerChain, signed_matrix

_REJECT = 1e-6  # p value below which a partial choice is refuted: it is tested often
_HIDDEN = 1e3  # error of what the data do not determine, relative to all coefficients
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
    chain = StabilizerChain(images, range(d))

    def test(g):
        result = evidence.test(g)
        return result if result.is_consistent(level, max_defect) else None

    search = _Search(chain, _Terms(evidence, chain), test)
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
        for representative in self.levels[depth + 1].representatives.values():
            completed = self._complete(element[representative], depth + 1)
            if completed is not None:
                return completed
        return None


class _Terms:
    """The coefficients of plain monomials, and their covariance.

    Parameters
    ----------
    evidence : ElementEvidence
    chain : StabilizerChain
        Of the group that is searched.
    """

    def __init__(self, evidence, chain):
        estimate = evidence.estimate
        library = evidence.library
        q = len(estimate.coef)
        self.evidence = evidence
        self.monomials = library.monomials_
        # c = u @ plain, for every output
        plain = library.monomial_coef(estimate.from_data.T)
        hidden = library.monomial_coef(estimate.undetermined.T)
        coef = library.monomial_coef(estimate.coef)
        to_plain = np.kron(np.eye(q), plain.T)
        noise = evidence.noise_in(to_plain)
        size = _HIDDEN * np.abs(coef).max(initial=0)
        unknown = np.kron(np.eye(q), size * hidden.T)
        factor = np.hstack([noise, unknown])
        self.coef = coef.ravel()
        self.covariance = factor @ factor.T
        last = self.monomials.tuples[:, -1] - 1
        depth_of_output = _depth_of_outputs(evidence, chain)
        depth = np.maximum(depth_of_output[:, None], last)
        self._terms_at = [np.argwhere(depth == k) for k in range(self.monomials.d)]

    def agree(self, element, depth):
        """Return whether the terms of a depth agree with those that an element maps them to.

        ``F(g x) = rho(g) F(x)``: the coefficient of every monomial in a moved output.
        """
        difference = self._difference(element, self._terms_at[depth])
        value = difference @ self.coef
        covariance = difference @ self.covariance @ difference.T
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
        return self.evidence.survival(miss, len(value)) > _REJECT

    def _difference(self, element, terms):
        """Return what vanishes for a symmetry as a matrix on the coefficients, sparse (m, q p).

        Parameters
        ----------
        element : ndarray of shape (2d,)
        terms : ndarray of shape (m, 2)
            Outputs and monomials.
        """
        d = self.monomials.d
        p = self.monomials.p
        output, monomial = terms.T
        factors = self.monomials.tuples[monomial]
        # Index 0 is the constant factor, which nothing moves.
        image = np.concatenate([[0], element[:d] % d + 1])
        is_negative = np.concatenate([[False], element[:d] >= d])
        sign = 1.0 - 2.0 * (is_negative[factors].sum(axis=1) % 2)
        moved = np.sort(image[factors], axis=1)
        moved_monomial = self.monomials.rank(moved)
        m = len(terms)
        shape = (m, len(self.coef))
        rows = np.arange(m)
        here = sparse.csr_array((sign, (rows, output * p + monomial)), shape=shape)
        if self.evidence.output is None:
            there = sparse.csr_array((np.ones(m), (rows, output * p + moved_monomial)), shape=shape)
            return here - there
        rho = self.evidence.rho(signed_matrix(element))[output]
        row, other = np.nonzero(rho)
        columns = other * p + moved_monomial[row]
        there = sparse.csr_array((rho[row, other], (row, columns)), shape=shape)
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
