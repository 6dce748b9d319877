"""Which elements of a discrete group leave a model unchanged, and what its own error makes of that.

The change of a model F under g is ``c(x) = rho(g)^-1 F(g x) - F(x)``. It is taken at those samples
that g moves to a place among the samples: elsewhere nobody has told the model anything. Where
targets are known, F is wrong by ``e = y - F``, of models that have not seen the targets, and c by
``rho(g)^-1 e(g x) - e(x)``. Both are seen against polynomials, as derivatives are (see
`SmoothTests`): those average the noise of the targets out. Residuals out of fold do not show all of
the error of a model that is fitted here: what the noise in some folds does to it is nearly balanced
by that in others. So the jackknife variance over the folds is added. Without targets the model is
taken at its word, so that only what is exact is a symmetry.

Index legend: n samples, d coordinates, q outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sksym.discover.element_tests import UNMOVED, SampleMotion, unknown_test
from sksym.discover.models import model_values
from sksym.discover.sampling import column_spread
from sksym.discover.smooth_tests import SmoothTests
from sksym.discover.unit_coordinates import UnitCoordinates
from sksym.evidence.spectrum import BEYOND
from sksym.groups import FiniteGroup, represent_elements

_NEAR = 0.95  # share of the samples that are no farther from the next one than this distance
_LEAST_SAMPLES = 20
_EXACT = 1e-11  # relative change that is round-off
_MOST_PRODUCTS = 120  # of symmetries, that are tested too
_ALLOWANCE = 0.5  # a defect of two floors is not rejected, so that one of `max_defect` must be


@dataclass(frozen=True, eq=False)
class ModelSamples:
    """A model at samples, and its residuals there.

    Attributes
    ----------
    model : fitted estimator, callable or pair of callables
    X : ndarray of shape (n, d)
        In the coordinates of the user, which those of the model are.
    values : ndarray of shape (n, q)
        Of the model, in units of `size`.
    share : ndarray of shape (n,)
        Weights that sum to one.
    residual : ndarray of shape (n, q), or None
        Targets less values, of models that have not seen them; None: unknown.
    scale : float
        Spread of the outputs.
    size : ndarray of shape (q,)
        Units of the outputs.
    coordinates : UnitCoordinates
        Of unit spread, for polynomials.
    refits : list of fitted estimators
        The model without each of the folds, where it was fitted here.
    refitted_values : list of ndarray of shape (n, q)
        Their values at the samples.
    """

    model: object
    X: np.ndarray
    values: np.ndarray
    share: np.ndarray
    residual: np.ndarray | None
    scale: float
    size: np.ndarray
    coordinates: UnitCoordinates
    refits: Sequence = ()
    refitted_values: Sequence = ()


@dataclass(frozen=True, eq=False)
class ModelElements:
    """A model, as discrete candidates see it.

    Attributes
    ----------
    output : representation or None
        How the outputs move.
    samples : ModelSamples
    """

    output: object
    samples: ModelSamples
    _tests: dict = field(default_factory=dict)

    # There are no coefficients of a function that a search could go by.
    has_monomials = False

    @cached_property
    def _motion(self):
        return SampleMotion.of(self.samples.X, self.samples.share)

    @cached_property
    def _neighbours(self):
        """The samples in units of their spread, and the distance of a typical next one."""
        spread = column_spread(self.samples.X, self.samples.share)
        points = self.samples.X / spread
        tree = NearestNeighbors(n_neighbors=2).fit(points)
        distance, _ = tree.kneighbors(points)
        return tree, spread, np.quantile(distance[:, 1], _NEAR)

    def rho(self, g):
        """Return how an element ``g`` (d, d) moves the outputs in their units: (q, q)."""
        size = self.samples.size
        # Invariance: outputs stay.
        if self.output is None:
            return np.eye(len(size))
        rho = represent_elements(self.output, FiniteGroup([g]), len(size))[0]
        return rho * size / size[:, None]

    def test(self, g, name=None):
        """Return the `ElementTest` of an element ``g`` (d, d); None names it by what it does."""
        # Products are tested again where elements are accepted: round-off does not matter.
        key = np.round(g, 12).tobytes()
        if key not in self._tests:
            self._tests[key] = self._tested(g)
        test = self._tests[key]
        return test if name is None else replace(test, name=name)

    def together(self, matrices):
        """Return 1 where all products of some elements pass their tests too, else 0.

        Errors of a model have no known law, so that there is no p value.
        """
        products = FiniteGroup(matrices).closure(_MOST_PRODUCTS)
        if products is None:
            products = matrices
        return float(not any(self.test(g).is_rejected for g in products))

    def are_established(self, matrices):
        """Return whether elements that are not rejected may be declared together."""
        return True

    def _tested(self, g):
        """Return the `ElementTest` of an element (d, d)."""
        blank = unknown_test(g)
        unit = min(self._displacement(g), 1.0) * self.samples.scale
        moved = self.samples.X @ g.T
        is_inside = self._is_among_samples(moved)
        if unit <= UNMOVED * self.samples.scale or np.count_nonzero(is_inside) < _LEAST_SAMPLES:
            return blank
        points = _Moved.of(self.samples, self.rho(g), moved, is_inside)
        defect, floor = points.change_and_error()
        return replace(
            blank,
            defect=defect / unit,
            floor=floor / unit,
            is_rejected=bool(defect > BEYOND * floor),
            allowance=1.0 if self.samples.residual is None else _ALLOWANCE,
        )

    def _displacement(self, g):
        """Return how far an element moves samples and outputs, in units of their spread."""
        samples = self.samples
        moved = samples.values @ (self.rho(g) - np.eye(samples.values.shape[1])).T
        outputs = samples.share @ np.sum(moved**2, axis=1) / samples.scale**2
        return np.sqrt(self._motion.square_of(g) + outputs)

    def _is_among_samples(self, points):
        """Return whether points (n, d) are as near to samples as samples are to each other."""
        tree, spread, typical = self._neighbours
        distance, _ = tree.kneighbors(points / spread, n_neighbors=1)
        return distance[:, 0] <= typical * (1 + _EXACT)


@dataclass(frozen=True, eq=False)
class _Moved:
    """Samples that an element moves to places among the samples.

    Attributes
    ----------
    samples : ModelSamples
    inverse : ndarray of shape (q, q)
        ``rho(g)^-1``.
    points : ndarray of shape (m, d)
        After the element.
    is_inside : ndarray of bool
        Which of the samples they are.
    share : ndarray of shape (m,)
        Weights that sum to one.
    """

    samples: ModelSamples
    inverse: np.ndarray
    points: np.ndarray
    is_inside: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, samples, rho, points, is_inside):
        """Choose those of the moved points (n, d) that are `is_inside` (n,)."""
        share = samples.share[is_inside]
        share = share / share.sum()
        return cls(samples, np.linalg.inv(rho), points[is_inside], is_inside, share)

    def change_and_error(self):
        """Return the size of the change of the model, and that of its error."""
        samples = self.samples
        values = samples.values[self.is_inside]
        change = self._change(samples.model, samples.values)
        size = self._size(change)
        round_off = _EXACT * self._size(values)
        if samples.residual is None:
            return size, round_off
        residual = samples.residual[self.is_inside]
        here = samples.coordinates.rows(samples.X[self.is_inside])
        tests = SmoothTests.of(here, self.share, values)
        if tests is None:
            # As wrong as this at either end.
            return size, np.sqrt(2) * self._size(residual) + round_off
        there = samples.coordinates.rows(self.points)
        sqrt_share = np.sqrt(self.share)[:, None, None]
        seen, chance = tests.seen(sqrt_share * change[:, :, None])
        error_here, error_there = tests.continued(residual, there)
        error = error_there @ self.inverse.T - error_here
        systematic = tests.project(sqrt_share * error[:, :, None])
        square = np.sum(systematic**2) + np.sum(chance**2) + round_off**2
        if len(samples.refits):
            square += self._jackknife_variance(tests, sqrt_share)
        return np.linalg.norm(seen), np.sqrt(square)

    def _jackknife_variance(self, tests, sqrt_share):
        """Return the variance of the change in the tests, by models fitted without one fold."""
        samples = self.samples
        changes = []
        for model, values in zip(samples.refits, samples.refitted_values, strict=True):
            change = self._change(model, values)
            changes.append(tests.project(sqrt_share * change[:, :, None]))
        # Each leaves out one fold of the data: Efron and Stein (1981).
        deviations = changes - np.mean(changes, axis=0)
        return (1 - 1 / len(changes)) * np.sum(deviations**2)

    def _change(self, model, values):
        """Return ``rho(g)^-1 F(g x) - F(x)`` (m, q) of a model with `values` (n, q)."""
        moved = model_values(model, self.points) / self.samples.size
        return moved @ self.inverse.T - values[self.is_inside]

    def _size(self, values):
        """Return the root mean square of values (m, q), summed over the outputs."""
        return np.sqrt(self.share @ np.sum(values**2, axis=1))
