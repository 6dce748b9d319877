"""Which elements of a discrete group leave a model unchanged, and what its own error makes of that.

The change of a model F under g is ``c(x) = rho(g)^-1 F(g x) - F(x)``. It is taken at those samples
that g moves to a place among the samples: elsewhere nobody has told the model anything. Where
targets are known, F is wrong by ``e = y - F``, of models that have not seen the targets, and c by
``rho(g)^-1 e(g x) - e(x)``. Both are seen against polynomials, as derivatives are (see
`SmoothTests`): those average the noise of the targets out. Without targets the model is taken at
its word, so that only what is exact is a symmetry.

Index legend: n samples, d coordinates, q outputs.
"""

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
    """

    model: object
    X: np.ndarray
    values: np.ndarray
    share: np.ndarray
    residual: np.ndarray | None
    scale: float
    size: np.ndarray
    coordinates: UnitCoordinates


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
        if self.output is None:
            return np.eye(len(size))
        rho = represent_elements(self.output, FiniteGroup([g]), len(size))[0]
        return rho * size / size[:, None]

    def test(self, g, name=None):
        """Return the `ElementTest` of an element ``g`` (d, d); None names it by what it does."""
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
        inverse = np.linalg.inv(self.rho(g))
        moved = moved[is_inside]
        share = self.samples.share[is_inside]
        share = share / share.sum()
        values = self.samples.values[is_inside]
        values_there = model_values(self.samples.model, moved) / self.samples.size
        change = values_there @ inverse.T - values
        defect, floor = self._against_errors(change, values, moved, is_inside, share, inverse)
        round_off = _EXACT * np.sqrt(share @ np.sum(values**2, axis=1))
        floor = np.hypot(floor, round_off)
        return replace(
            blank,
            defect=defect / unit,
            floor=floor / unit,
            is_rejected=bool(defect > BEYOND * floor),
            allowance=1.0 if self.samples.residual is None else _ALLOWANCE,
        )

    def _against_errors(self, change, values, moved, is_inside, share, inverse):
        """Return the size of a change (n, q), and that of its error, in units of the outputs.

        Parameters
        ----------
        change, values : ndarray of shape (n, q)
            Of the model at the samples chosen by `is_inside`.
        moved : ndarray of shape (n, d)
            Those samples after the element.
        is_inside : ndarray of bool
        share : ndarray of shape (n,)
        inverse : ndarray of shape (q, q)
            ``rho(g)^-1``.

        Returns
        -------
        defect, floor : float
        """
        samples = self.samples
        size = np.sqrt(share @ np.sum(change**2, axis=1))
        if samples.residual is None:
            return size, 0.0
        residual = samples.residual[is_inside]
        coordinates = samples.coordinates
        tests = SmoothTests.of(coordinates.rows(samples.X[is_inside]), share, values)
        if tests is None:
            # As wrong as this at either end.
            return size, np.sqrt(2 * share @ np.sum(residual**2, axis=1))
        sqrt_share = np.sqrt(share)[:, None, None]
        seen, chance = tests.seen(sqrt_share * change[:, :, None])
        here, there = tests.continued(residual, coordinates.rows(moved))
        error = there @ inverse.T - here
        systematic = tests.project(sqrt_share * error[:, :, None])
        return np.linalg.norm(seen), np.hypot(np.linalg.norm(systematic), np.linalg.norm(chance))

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
