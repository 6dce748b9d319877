"""What is known of the elements of a discrete group, each alone and all together."""

from dataclasses import dataclass, replace

import numpy as np

from sksym._linalg import merge_rows
from sksym.discover.sampling import column_deviation
from sksym.groups import FiniteGroup, linear_combination

UNMOVED = 1e-9  # displacement relative to the spread of the data that is none


@dataclass(frozen=True, eq=False)
class ElementTest:
    """What is known of one element.

    Attributes
    ----------
    matrix : ndarray of shape (d, d)
    name : str
    p_value : float
        Of the hypothesis that it is a symmetry; NaN where errors have no known law.
    defect : float
        ``rho(g)^-1 F(g x) - F(x)`` in the root mean square over the samples, relative to the
        spread of F and, for elements near the identity, to how far they move the samples. Of a
        data set the distance of its distribution from the moved one, see `CloudElements`. NaN
        where nothing can be said.
    floor : float
        What noise contributes to it.
    is_symmetry : bool
        Whether it was declared.
    is_rejected : bool
        Whether the data contradict it, at the level of all elements together.
    is_weak : bool
        Whether the evidence for it is too weak, however small defect and floor are.
    allowance : float
        Times `max_defect`, the largest floor of a symmetry.
    """

    matrix: np.ndarray
    name: str
    p_value: float
    defect: float
    floor: float
    is_symmetry: bool = False
    is_rejected: bool = False
    is_weak: bool = False
    allowance: float = 1.0

    @property
    def is_known(self):
        """Whether the data say anything of the element."""
        return not np.isnan(self.defect)

    def at_level(self, level):
        """Return the test with the decision at a p value of `level`, where there is one."""
        # Without a p value, which compares as false, the decision has been made before.
        is_rejected = self.is_rejected or self.p_value <= level
        return replace(self, is_rejected=bool(is_rejected))

    def is_consistent(self, level, max_defect):
        """Return whether it is not rejected, on evidence that is strong enough."""
        if not self.is_known or self.is_weak or self.at_level(level).is_rejected:
            return False
        # What is left of the defect without noise.
        excess = np.sqrt(max(self.defect**2 - self.floor**2, 0.0))
        largest_excess = max(self.allowance / 2, 1.0) * max_defect
        return bool(self.floor <= self.allowance * max_defect and excess <= largest_excess)

    def verdict(self, max_defect):
        """Return the verdict on the element in the words of a report."""
        if self.is_symmetry:
            return "symmetry"
        if not self.is_known:
            return "unidentified"
        if not self.is_rejected:
            return "undecided"
        return "near" if self.defect <= max_defect else "broken"


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
class SampleMotion:
    """How far elements move the samples, every column in units of its own spread.

    Attributes
    ----------
    factor : ndarray of shape (.., d)
        Triangular factor of the samples: its square is a mean over them.
    spread : ndarray of shape (d,)
    """

    factor: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, X, weight):
        """Take it from rows `X` (n, d) of some weight (n,)."""
        fraction = weight / weight.sum()
        # About the origin, which elements leave where it is.
        factor = merge_rows(None, X * np.sqrt(fraction)[:, None])
        return cls(factor, column_deviation(X, weight))

    def square_of(self, g):
        """Return the mean square of the displacement by an element (d, d)."""
        moved = self.factor @ (g - np.eye(len(g))).T
        return np.sum((moved / self.spread) ** 2)


def unknown_test(g, name=None):
    """Return the test of an element (d, d) of which nothing is known, with its name.

    None names it by what it does.
    """
    if name is None:
        name = element_as_text(g)
    return ElementTest(g, name, p_value=np.nan, defect=np.nan, floor=np.inf)


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
