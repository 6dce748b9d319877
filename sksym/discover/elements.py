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

from sksym._linalg import merge_rows, row_blocks
from sksym.discover.element_tests import UNMOVED, SampleMotion, unknown_test
from sksym.evidence import Estimate
from sksym.groups import FiniteGroup, represent_elements
from sksym.libraries import Library, NotClosedError, library_values

_CONSTRAINT = 1e-9  # singular value of a change, relative to the largest, that constrains nothing
_HIDDEN = 1e-8  # size on the data of what the data did not show, relative to all functions
_EXACT = 1e-11  # relative error of coefficients that is round-off


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

    @property
    def has_monomials(self):
        """Whether the coefficients are those of all monomials of the coordinates."""
        return self.library.has_all_monomials and self.library.columns_ is None

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
    def _motion(self):
        return SampleMotion.of(self.X, self.weight)

    def rho(self, g):
        """Return how an element ``g`` (d, d) moves the outputs: (q, q)."""
        q = len(self.estimate.coef)
        if self.output is None:
            return np.eye(q)
        return represent_elements(self.output, FiniteGroup([g]), q)[0]

    def test(self, g, name=None):
        """Return the `ElementTest` of an element ``g`` (d, d); None names it by what it does."""
        blank = unknown_test(g, name)
        change = self._change(g)
        unit = min(self._displacement(g), 1.0)
        if unit <= UNMOVED or change.is_hidden or not self.is_testable:
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
        test = replace(blank, p_value=p_value, defect=defect / unit, floor=floor / unit)
        return self._weighed(test, change)

    def _weighed(self, test, change):
        """Return a test with what is known beyond the covariance of the coefficients."""
        return test

    def together(self, matrices):
        """Return the p value of the hypothesis that several elements are symmetries."""
        changes = [self._change(g) for g in matrices]
        if all(change.is_closed for change in changes):
            # In units of their own, so that no element hides behind a larger one.
            constraints = np.concatenate([change.constraints for change in changes])
            return self._wald(row_space(constraints))
        return self._satterthwaite(np.concatenate([change.matrix for change in changes]))

    def are_established(self, matrices):
        """Return whether elements that are not rejected may be declared together."""
        return True

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
        outputs = (self.rho(g) - np.eye(q)) @ self.u.reshape(q, -1)
        square = np.sum(outputs**2) / self.output_scale**2
        return np.sqrt(self._motion.square_of(g) + square)

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
        return row_space(self.matrix)


def row_space(matrix):
    """Return an orthonormal basis (t, k) of the rows of a matrix (m, k)."""
    _, s, Vt = svd(matrix, full_matrices=False)
    rank = np.count_nonzero(s > _CONSTRAINT * s.max(initial=0))
    return Vt[:rank]
