"""Stochastic gradient descent on products of factors.

In units in which columns and targets have variance 1, with B the rows of a minibatch, each step
descends::

    1/(2|B|) |Y_B - A_B c - F_B z|^2 + sum_k decay_k / 2 (|u_k|^2 + |v_k|^2)

where F holds a column of ones and the columns that no mirror touches. The decay is part of the
gradient. Decoupled from it, as in AdamW, where the gradient is rescaled and the decay is not,
training would lead to the minimum of another objective.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np

from sksym.mirror.descent.factors import Products, Rotations, largest_eigenvalue
from sksym.solvers import GroupNorm, NuclearNorm

_OFFSET = 0.1  # standard deviation of the point to which factors decay where mirrors are removed
_LEAST_DECAY = 0.01  # to that point
_LARGEST_DECAY = 1e8  # all mirrors hold long before
_TINY = 1e-150  # factors below it have no normal products, which are slow: they are on their mirror
_PROBES = 3  # minibatches of which the curvature is measured
_STEPS = 300  # between two evaluations on all rows, at least
_SPECTRAL_STEPS = 1000  # the same for low rank, where an evaluation takes singular values
_EPOCHS = 10  # between two evaluations, at least
_IDLE = 6  # evaluations without progress after which the rate begins to fall
_PROGRESS = 1e-3  # relative decrease of the loss
_FALL = 1e-3  # of the rate at the end, relative to the start
_DIVERGED = 1e6  # mean loss, in units of the variance of the targets
_FLAT = 1e-8  # length, relative to the largest, at which a concave penalty is linearised at zero
_FAILURES = 30  # rates tried, each half of the one before


@dataclass(frozen=True, eq=False)
class DescentPlan:
    """Parameters of a descent.

    Attributes
    ----------
    rate : float or None
        The learning rate; None: as large as is stable, and falling at the end.
    batch_size, max_epochs : int
    tol : float or None
        Relative duality gap at which to stop; None: there is none.
    """

    rate: float | None
    batch_size: int
    max_epochs: int
    tol: float | None


class LearningRate:
    """The learning rate from epoch to epoch.

    A given rate is constant. Otherwise it is one over the curvature until the loss decreases no
    more, or half of the epochs are over; then it falls, in as many epochs again. Every failure
    halves it.

    Attributes
    ----------
    end : int
        Number of epochs.
    curvature : float
        The largest of the loss of minibatches.
    """

    def __init__(self, plan):
        self.given = plan.rate
        self.end = plan.max_epochs
        self.curvature = 1.0
        self._turn = plan.max_epochs // 2
        self._best = np.inf
        self._idle = 0
        self._failures = 0

    def observe(self, epoch, loss):
        """Begin to let the rate fall once the loss makes no progress."""
        self._idle += 1
        if loss <= self._best * (1 - _PROGRESS):
            self._idle = 0
        self._best = min(self._best, loss)
        if self.given is None and self._idle >= _IDLE and epoch < self._turn:
            self._turn = epoch
            self.end = 2 * epoch

    def at(self, epoch):
        """Return the rate of an epoch."""
        if self.given is not None:
            return self.given
        fallen = max(epoch - self._turn, 0)
        progress = fallen / max(self.end - self._turn, 1)
        stable = 1 / (self.curvature * 2.0**self._failures)
        return _FALL**progress * stable

    def fail(self):
        """Halve the rate after training has diverged.

        Raises
        ------
        ValueError
            If the rate was given, or there have been too many failures.
        """
        if self.given is not None:
            raise ValueError(
                f"Training diverged with learning_rate={self.given:g}, in units in which columns "
                'and targets have variance 1: take a smaller one, or "auto".'
            )
        if self._failures == _FAILURES:
            raise ValueError(
                "Training diverged at every learning rate that was tried: look for rows of X or y "
                "that are very far from the others."
            )
        self._failures += 1


class Training:
    """Factors in the course of training.

    Attributes
    ----------
    scales : Scaling
    sizes : ndarray of shape (m,) or None
        Sizes of the blocks; None: a matrix of low rank.
    depth : int
    rng : RandomState
    units : Units or None
        By which the data were divided.
    model : Products or Rotations
    free : ndarray of shape (f, q)
        Coefficients that are no product, the intercept first.
    home : list of ndarrays or None
        Point to which the factors decay; None: zero.
    """

    def __init__(self, scales, sizes, shape, depth, rng, units=None):
        t, f, q = shape
        self.scales = scales
        self.sizes = sizes
        self.depth = depth
        self.rng = rng
        self.units = units
        if sizes is None:
            self.model = Rotations(t, q)
        else:
            self.model = Products(sizes, depth, q)
        self.free = np.zeros((f, q))
        self.home = None

    def is_for(self, sizes, shape, depth):
        """Return whether these are the factors for blocks and shape (t, f, q) of a problem."""
        t, q = self.model.components().shape
        if (t, len(self.free), q) != shape or depth != self.depth:
            return False
        if sizes is None or self.sizes is None:
            return sizes is self.sizes
        return np.array_equal(sizes, self.sizes)

    @property
    def _starts(self):
        """The first row (m,) of each block."""
        if self.sizes is None:
            return np.zeros(1, int)
        return np.cumsum(self.sizes) - self.sizes

    def in_units_of_data(self):
        """Return the factors u (D - 1, m) and v (t, q), or U and V, for unscaled data."""
        # Each of the factors takes its share of the unit of the product.
        unit = self.scales.size / self.scales.scale
        share = unit ** (1 / self.depth)
        if self.units is not None:
            share = share * 2.0 ** ((self.units.y - self.units.x) / self.depth)
        u, v = self.model.factors
        if self.sizes is None:
            return [u * share[0], v * share[0]]
        share_of_block = share[self._starts]
        return [u[:, :, 0] * share_of_block, v * share[:, None]]

    def remove_mirrors(self):
        """Let the factors decay to a point that lies on no mirror, from now on."""
        if self.home is not None:
            return
        self.home = []
        for factor in self.model.factors:
            # A column of U or V is one vector: its length is that of one entry of u or v.
            size = np.sqrt(len(factor)) if self.sizes is None else 1.0
            normal = self.rng.normal(size=factor.shape)
            self.home.append(_OFFSET / size * normal)
        for factor, home in zip(self.model.factors, self.home, strict=True):
            factor += home

    def decay(self, alpha, weights):
        """Return the decay (m,) that makes the penalty ``alpha weights`` in units of the data."""
        unit = self.scales.size / self.scales.scale[self._starts]
        unit_of_penalty = unit ** (2 / self.depth)
        unit_of_loss = self.scales.size**2
        with np.errstate(over="ignore"):
            decay = alpha * weights * (unit_of_penalty / unit_of_loss)
        return np.minimum(decay, _LARGEST_DECAY)

    def norm(self, decay, n, c):
        """Return the penalty that a decay makes, times n; its tangent at c if it is concave."""
        if self.sizes is None:
            return NuclearNorm(n * decay[0])
        norm = GroupNorm(n * decay, self.sizes)
        if self.depth == 2:
            return norm
        slopes = concave_slopes(norm.lengths(c), self.depth)
        return GroupNorm(n * decay * slopes, self.sizes)

    def penalty(self, decay):
        """Return the penalty of the factors."""
        total = 0.0
        homes = self.home or [0.0, 0.0]
        spread = self.model.spread(decay)
        for g, factor, home in zip(spread, self.model.factors, homes, strict=True):
            squares = (factor - home) ** 2
            total += np.sum(g / 2 * squares)
        return float(total)

    def curvature(self, data, decay, batch_size):
        """Return the largest second derivative of the loss over some minibatches."""
        steepest = 0.0
        for batch in data.batches(batch_size, self.rng)[:_PROBES]:
            A = data.A[batch]
            F = data.F[batch]
            weight = data.weight[batch]
            sqrt_weight = np.sqrt(weight)
            tangent = self.model.tangent(A, self.rng)

            def kernel(x, F=F, sqrt_weight=sqrt_weight, tangent=tangent):
                x = sqrt_weight * x
                return sqrt_weight * (tangent(x) + F @ (F.T @ x))

            prediction = self.model.predict(A) + F @ self.free
            residual = prediction - data.Y[batch]
            weighted = weight[:, None] * residual
            bend = self.model.bend(A, weighted, self.rng)
            gauss_newton = largest_eigenvalue(kernel, len(batch), self.rng)
            mean = (gauss_newton + bend) / len(batch)
            steepest = max(steepest, mean)
        return steepest + decay.max(initial=0)

    def epoch(self, data, decay, rate, batch_size):
        """Descend once over all rows; return their mean loss, each before its step."""
        spread = self.model.spread(decay)
        shrink = [rate * g for g in spread]
        factors_kept = [1 - share for share in shrink]
        total = 0.0
        for batch in data.batches(batch_size, self.rng):
            total += self._step(data, batch, rate, factors_kept)
            if self.home is not None:
                for factor, share, home in zip(self.model.factors, shrink, self.home, strict=True):
                    factor += share * home
        for factor in self.model.factors:
            factor[np.abs(factor) < _TINY] = 0.0
        return total / (2 * len(data.Y))

    def _step(self, data, batch, rate, factors_kept):
        """Descend on one minibatch; return the sum of squares of its residual."""
        first = int(self.scales.intercept)
        intercept = self.free[:first]
        others = self.free[first:]
        A = data.A[batch]
        residual = self.model.predict(A)
        residual -= data.Y[batch]
        if first:
            residual += intercept
        if len(others):
            F = data.F[batch, first:]
            residual += F @ others
        weighted = residual
        if not data.unit_weights:
            weight = data.weight[batch]
            weighted = weight[:, None] * residual
        square = np.vdot(weighted, residual)
        weighted *= rate / len(batch)
        steps = self.model.gradients(A, weighted)
        if first:
            intercept -= weighted.sum(axis=0)  # the product with the column of ones
        if len(others):
            others -= F.T @ weighted
        for factor, kept, step in zip(self.model.factors, factors_kept, steps, strict=True):
            factor *= kept
            factor -= step
        return square

    def run(self, data, decay, plan):
        """Descend as planned; return the mean loss in each epoch."""
        steps = _STEPS if self.sizes is not None else _SPECTRAL_STEPS
        steps_per_epoch = ceil(len(data.Y) / plan.batch_size)
        period = max(_EPOCHS, ceil(steps / steps_per_epoch))
        initial_loss = data.loss(self.model.components(), self.free)
        limit = _DIVERGED * (1 + initial_loss)
        pull = decay
        if self.home is not None:
            pull = np.maximum(decay, _LEAST_DECAY)
        rate = LearningRate(plan)
        losses = []
        while len(losses) < rate.end:
            epoch = len(losses)
            if epoch % period == 0:
                if epoch:
                    if plan.tol is not None and self.gap(data, decay) <= plan.tol:
                        break
                    recent = np.mean(losses[-period:])
                    rate.observe(epoch, recent + self.penalty(pull))
                checkpoint = self._copied()
                if plan.rate is None:
                    curvature = self.curvature(data, pull, plan.batch_size)
                    rate.curvature = curvature or 1.0
            loss = self.epoch(data, pull, rate.at(epoch), plan.batch_size)
            if loss < limit and self._is_finite():
                losses.append(loss)
            else:
                rate.fail()
                del losses[epoch - epoch % period :]
                self.model.factors = checkpoint[:-1]
                self.free = checkpoint[-1]
                checkpoint = self._copied()
        return losses

    def _is_finite(self):
        return all(np.isfinite(factor).all() for factor in self.model.factors)

    def _copied(self):
        """Return copies of the factors and, last, of the other coefficients."""
        return [factor.copy() for factor in [*self.model.factors, self.free]]

    def gap(self, data, decay):
        """Return the relative duality gap of the components, without those that will vanish."""
        c = data.settled(self.model.components(), decay, self.sizes)
        norm = self.norm(decay, len(data.Y), c)
        gap, objective = data.gap(c, norm)
        return gap / objective if objective else 0.0


def concave_slopes(lengths, depth):
    """Return the slopes (m,) of ``D/2 |c|^(2/D)``, large and finite at zero."""
    largest = lengths.max(initial=0) or 1.0
    smoothed = lengths + _FLAT * largest
    return smoothed ** (2 / depth - 1)
