"""The subgroup of a discrete group whose elements are symmetries, by a search or one by one.

Each element is tested alone, at a level of 0.003 divided by the number of elements; then those that
generate the subgroup together. What they generate is a symmetry as well: products of elements
that leave something unchanged do.
"""

from dataclasses import replace
from itertools import combinations, product

import numpy as np

from sksym.discover.element_search import search_elements
from sksym.discover.element_tests import ElementVerdict
from sksym.groups import (
    FiniteGroup,
    StabilizerChain,
    no_elements,
    signed_images,
    signed_matrix,
)

_REJECT = 0.003  # p value, for all elements together, below which an element is no symmetry
_REJECT_TOGETHER = 0.001  # p value below which elements accepted one by one are not all symmetries
_EQUAL = 1e-9  # difference of two elements, relative to their entries, that is round-off
_LISTED = 120  # elements of a group that are tested one by one: five interchangeable things


def find_elements(evidence, candidates, max_defect):
    """Find the subgroup of a discrete group whose elements are symmetries.

    Parameters
    ----------
    evidence : ElementEvidence, ModelElements or CloudElements
    candidates : FiniteGroup
        The group that these elements generate: groups of signed permutations of any size are
        searched (see `search_elements`), where the evidence are coefficients of monomials; others
        are listed up to 120 elements. Of larger ones the generating elements are tested, and those
        that flip a sign or swap two coordinates.
    max_defect : float
        Largest defect, and noise in it, with which a symmetry is declared.

    Returns
    -------
    ElementVerdict
    """
    listed = []
    for g, name in zip(candidates.matrices, candidates.names, strict=True):
        listed.append(evidence.test(g, name))
    # A search would go through all of them in vain.
    is_hopeless = not any(test.floor <= test.allowance * max_defect for test in listed)
    if evidence.has_monomials and is_hopeless:
        level = _REJECT / len(listed)
        tests = [test.at_level(level) for test in listed]
        return ElementVerdict(no_elements(candidates.n_features), tuple(tests))
    level, accepted, is_complete = _accepted_elements(evidence, candidates, max_defect)
    consistent = [test for test in listed if test.is_consistent(level, max_defect)]
    found = _declared(evidence, consistent, accepted)
    matrices = _stacked(found, candidates.n_features)
    names = [test.name for test in found]
    others = _others(listed, found, level)
    # Where all that generates the group is found, nothing can be missing.
    is_whole = all(test.is_symmetry for test in others)
    return ElementVerdict(
        elements=FiniteGroup(matrices, names),
        tests=(*found, *others),
        is_complete=is_complete or is_whole,
    )


def _declared(evidence, listed, accepted):
    """Return the tests of the generating elements that are declared, listed ones first."""
    found = list(listed)
    for test in accepted:
        if not _is_generated(test.matrix, found):
            found.append(test)
    found = _symmetries_together(evidence, found)
    if found and not evidence.are_established([test.matrix for test in found]):
        return []
    return [replace(test, is_symmetry=True) for test in found]


def _others(listed, found, level):
    """Return the tests of listed elements that were not found, products of those that were too."""
    others = []
    for test in listed:
        if not _is_among(test.matrix, _stacked(found, len(test.matrix))):
            is_product = _is_generated(test.matrix, found)
            others.append(replace(test.at_level(level), is_symmetry=is_product))
    return others


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
    images = signed_images(candidates.matrices)
    if images is not None and evidence.has_monomials:
        # Every stabiliser of columns needs an element or two: so many true ones are tested.
        level = _REJECT / max(2 * candidates.n_features, candidates.n_elements)
        search = search_elements(evidence, images, level, max_defect)
        return level, search.tests, search.is_complete
    elements = candidates.closure(_LISTED)
    is_complete = elements is not None
    if elements is None:
        elements = _simple_elements(candidates, images)
    level = _REJECT / len(elements)
    accepted = []
    for g in elements:
        if _is_generated(g, accepted):
            continue
        test = evidence.test(g)
        if test.is_consistent(level, max_defect):
            accepted.append(test)
    return level, accepted, is_complete


def _simple_elements(candidates, images):
    """Return the elements (k, d, d) of a large group that are tested all the same.

    Of signed permutations those that move no more than two coordinates: whatever can be
    interchanged freely is found by them.

    Parameters
    ----------
    candidates : FiniteGroup
    images : ndarray of shape (.., 2d), or None
        Of its elements, None where they are no signed permutations.
    """
    if images is None:
        return candidates.matrices
    d = candidates.n_features
    chain = StabilizerChain(images, range(d))
    point = np.arange(2 * d)
    elements = list(images)
    for i, j in combinations(range(d), 2):
        # The coordinates i and j with either sign, in either order.
        for first, second in product((i, i + d, j, j + d), repeat=2):
            if first % d != second % d:
                element = point.copy()
                element[[i, j]] = first, second
                element[d:] = (element[:d] + d) % (2 * d)
                if element in chain:
                    elements.append(element)
    distinct = np.unique(elements, axis=0)
    return np.array([signed_matrix(element) for element in distinct])


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
        least = min(tests, key=_plausibility)
        tests = [test for test in tests if test is not least]
    return tests


def _plausibility(test):
    """Return a number that is the smaller, the less likely an element is a symmetry."""
    if np.isnan(test.p_value):
        return -test.defect / (test.floor or 1.0)
    return test.p_value
