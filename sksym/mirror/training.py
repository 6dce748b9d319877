"""Stochastic gradient descent on products of factors, and what it is worth.

In units in which columns and targets have variance 1, with B the rows of a minibatch::

    1/(2|B|) |Y_B - A_B c - F_B z|^2 + sum_k decay_k / 2 (|u_k|^2 + |v_k|^2)

is descended step by step; F holds a column of ones and what no mirror touches. The decay is part of
the gradient. Decoupled from it, as in AdamW, where the gradient is rescaled and the decay is not,
it would lead to the minimum of something else.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy import sparse

from sksym.mirror.factors import Products, Rotations, largest
from sksym.mirror.fitting import MirrorProblem
from sksym.mirror.rows import MirrorRows
from sksym.mirror.structure import Constraints, block_coordinates
from sksym.mirror.units import Standardised
from sksym.solvers import GroupNorm, NuclearNorm

_OFFSET = 0.1  # standard deviation where the mirrors are removed
_PULL = 0.01  # decay, at least, there
_TINY = 1e-150
_PROBES = 3  # minibatches of which the curvature is measured
_STEPS, _EPOCHS = 300, 10  # between two looks at the whole data, at least
_SPECTRAL_STEPS = 1000  # where a look takes singular values
_IDLE, _GAIN = 6, 1e-3  # looks without so much gain: the rate begins to fall
_FALL = 1e-3  # of the rate at the end
_DIVERGED = 1e6  # mean loss, in units of the variance of the targets
_FLAT = 1e-8  # of the largest length: at zero the slope of a concave penalty is taken there
_ROUND_OFF = 1e-9  # of the largest singular value
_FAILURES = 30  # rates tried, each half of the one before


@dataclass(frozen=True, eq=False)
class Plan:
    """How to descend.

    Attributes
    ----------
    rate : float or None
        The learning rate; None: as large as is stable, falling at the end.
    batch_size, max_epochs : int
    tol : float or None
        Relative duality gap at which to stop, None: there is none.
    """

    rate: float | None
    batch_size: int
    max_epochs: int
    tol: float | None


class Training:
    """Factors on their way.

    Attributes
    ----------
    scales : Scales
    sizes : ndarray of shape (m,) or None
        Of the blocks; None: a matrix of low rank.
    model : Products or Rotations
    free : ndarray of shape (f, q)
        Coefficients that are no product, the intercept first.
    home : list of ndarrays or None
        What the factors decay to, None: zero.
    rng : RandomState
    """

    def __init__(self, scales, sizes, shape, depth, rng):
        t, f, q = shape
        self.scales, self.sizes, self.depth, self.rng = scales, sizes, depth, rng
        self.model = Rotations(t, q) if sizes is None else Products(sizes, depth, q)
        self.free, self.home = np.zeros((f, q)), None

    def is_for(self, sizes, shape, depth):
        """Whether these are the factors for such a problem."""
        t, f, q = shape
        c, same = self.model.components(), (sizes is None) == (self.sizes is None)
        same = same and (sizes is None or np.array_equal(sizes, self.sizes))
        return same and c.shape == (t, q) and self.free.shape == (f, q) and depth == self.depth

    def in_units_of_data(self):
        """The factors, u (D - 1, m) and v (t, q) or U and V, for data as they were given."""
        unit = (self.scales.size / self.scales.scale) ** (1 / self.depth)
        u, v = self.model.factors
        if self.sizes is None:
            return [u * unit[0], v * unit[0]]
        return [u[:, :, 0] * unit[np.cumsum(self.sizes) - self.sizes], v * unit[:, None]]

    def remove_mirrors(self):
        """Let the factors decay to a point that lies on none, from now on."""
        if self.home is None:
            shapes = [factor.shape for factor in self.model.factors]
            # A column of U or V is one vector.
            sizes = [np.sqrt(shape[0]) if self.sizes is None else 1.0 for shape in shapes]
            self.home = [
                _OFFSET / size * self.rng.normal(size=shape)
                for size, shape in zip(sizes, shapes, strict=True)
            ]
            for factor, home in zip(self.model.factors, self.home, strict=True):
                factor += home

    def decay(self, alpha, weights):
        """That of the factors (m,), or (1,) for low rank, for a penalty in the data's units."""
        first = [0] if self.sizes is None else np.cumsum(self.sizes) - self.sizes
        unit = self.scales.size / self.scales.scale[first]
        return alpha * weights * unit ** (2 / self.depth) / self.scales.size**2

    def norm(self, decay, n, c):
        """The penalty that a decay amounts to, times n; where it is concave its tangent at c."""
        if self.sizes is None:
            return NuclearNorm(n * decay[0])
        norm = GroupNorm(n * decay, self.sizes)
        if self.depth == 2:
            return norm
        return GroupNorm(n * decay * slopes(norm.lengths(c), self.depth), self.sizes)

    def penalty(self, decay):
        """Of the factors as they are."""
        homes = self.home or [0.0, 0.0]
        parts = zip(self.model.spread(decay), self.model.factors, homes, strict=True)
        return float(sum(np.sum(g / 2 * (factor - home) ** 2) for g, factor, home in parts))

    def curvature(self, data, decay, batch_size):
        """The largest second derivative of the loss of some minibatches."""
        found = 0.0
        for batch in data.batches(batch_size, self.rng)[:_PROBES]:
            A, F, weight = data.A[batch], data.F[batch], data.weight[batch][:, None]
            root, along = np.sqrt(weight[:, 0]), self.model.tangent(A, self.rng)

            def kernel(x, root=root, along=along, F=F):
                x = root * x
                return root * (along(x) + F @ (F.T @ x))

            R = weight * (self.model.predict(A) + F @ self.free - data.Y[batch])
            bend = self.model.bend(A, R, self.rng)
            found = max(found, (largest(kernel, len(batch), self.rng) + bend) / len(batch))
        return found + decay.max(initial=0)

    def epoch(self, data, decay, rate, batch_size):
        """One pass over the rows; their mean loss, each before its step."""
        model, z, even, total = self.model, self.free, data.even, 0.0
        shrink = [rate * g for g in model.spread(decay)]
        keep, first = [1 - share for share in shrink], int(self.scales.intercept)
        for batch in data.batches(batch_size, self.rng):
            A, F = data.A[batch], data.F[batch, first:] if first < len(z) else None
            R = model.predict(A)
            R -= data.Y[batch]
            if first:  # of the ones only their sum is needed
                R += z[0]
            if F is not None:
                R += F @ z[first:]
            W = R if even else data.weight[batch][:, None] * R
            total += np.vdot(W, R)
            W *= rate / len(batch)
            steps = model.gradients(A, W)
            if first:
                z[0] -= W.sum(axis=0)
            if F is not None:
                z[first:] -= F.T @ W
            for factor, kept, step in zip(model.factors, keep, steps, strict=True):
                factor *= kept
                factor -= step
            if self.home is not None:
                for factor, share, home in zip(model.factors, shrink, self.home, strict=True):
                    factor += share * home
        for factor in model.factors:  # what has no normal product is slow, and on its mirror
            factor[np.abs(factor) < _TINY] = 0.0
        return total / (2 * len(data.Y))

    def run(self, data, decay, plan):
        """Descend as planned; the mean loss in each epoch.

        The rate stays until the loss does, or half of the epochs are over; then it falls, in as
        many epochs as there were.
        """
        steps = _STEPS if self.sizes is not None else _SPECTRAL_STEPS
        every = max(_EPOCHS, ceil(steps / ceil(len(data.Y) / plan.batch_size)))
        limit = _DIVERGED * (1 + data.loss(self.model.components(), self.free))
        pulled = decay if self.home is None else np.maximum(decay, _PULL)
        turn, end, best, idle = plan.max_epochs // 2, plan.max_epochs, np.inf, 0
        losses, failures, rate, safe = [], 0, plan.rate, None
        while (done := len(losses)) < end:
            if done % every == 0:
                if done and plan.tol is not None and self.gap(data, decay) <= plan.tol:
                    break
                value = np.mean(losses[-every:]) + self.penalty(pulled) if done else np.inf
                idle = idle + 1 if value > best * (1 - _GAIN) else 0
                best, safe = min(best, value), self.copied()
                if plan.rate is None and idle >= _IDLE and done < turn:
                    turn, end = done, 2 * done
                if plan.rate is None:
                    steep = self.curvature(data, pulled, plan.batch_size) or 1.0
            if plan.rate is None:
                fall = max(done - turn, 0) / max(end - turn, 1)
                rate = _FALL**fall / (steep * 2.0**failures)
            loss = self.epoch(data, pulled, rate, plan.batch_size)
            if loss < limit and all(np.isfinite(factor).all() for factor in self.model.factors):
                losses.append(loss)
            else:
                failures = self.failed(plan, failures)
                del losses[done - done % every :]
                self.model.factors, self.free = safe[:-1], safe[-1]
                safe = self.copied()
        return losses

    def failed(self, plan, failures):
        """The number of failures, one more, if there is something left to try."""
        if plan.rate is not None:
            raise ValueError(
                f"Training diverged with learning_rate={plan.rate:g}, in units in which columns "
                'and targets have variance 1: take a smaller one, or "auto".'
            )
        if failures == _FAILURES:
            raise ValueError(
                "Training diverged at every learning rate that was tried: look for rows of X or y "
                "that are very far from the others."
            )
        return failures + 1

    def copied(self):
        """Factors, and the other coefficients last."""
        return [factor.copy() for factor in [*self.model.factors, self.free]]

    def gap(self, data, decay):
        """Relative duality gap of the components, settled."""
        c = data.settled(self.model.components(), decay, self.sizes)
        gap, objective = data.gap(c, self.norm(decay, len(data.Y), c))
        return gap / objective if objective else 0.0


def slopes(lengths, depth):
    """Those of ``D/2 |c|^(2/D)``, large and finite at zero."""
    nearly = lengths + _FLAT * (lengths.max(initial=0) or 1.0)
    return nearly ** (2 / depth - 1)


@dataclass(frozen=True, eq=False)
class Task:
    """Data and mirrors, in their own units and in those of a `Training`.

    Attributes
    ----------
    X, Y, root : ndarray
        Rows of positive weight, and the roots of these.
    rows : MirrorRows
    form : Coordinates or None
        In which the mirrors are blocks; None: they are rotations.
    training : Training
    data : Standardised
    decay : ndarray
    one_target : bool
    dtype : dtype
    """

    X: object
    Y: np.ndarray
    root: np.ndarray
    rows: MirrorRows
    form: object
    training: Training
    data: Standardised
    decay: np.ndarray
    one_target: bool
    dtype: object

    def problem(self, options):
        """The problem that the decay amounts to."""
        return MirrorProblem(self.X, self.Y, self.root, self.rows, options)

    def start(self, problem, fit):
        """The state of a problem from a fit, without the round-off of what vanishes."""
        state = problem.state_of(fit.W)
        if state is None or self.form is None:
            return state
        return state * np.repeat(fit.active, self.rows.sizes)[:, None]

    def coefficients(self, c, z):
        """W (p, q), the intercept (q,), and which mirrors are broken, of components."""
        c, free, b = self.training.scales.coefficients(c, z)
        if self.form is None:
            s = np.linalg.svd(c, compute_uv=False)
            return c, b, s > _ROUND_OFF * s.max(initial=0)
        lengths = GroupNorm(self.rows.weights, self.rows.sizes).lengths(c)
        W = self.form.forward(c, free)
        if self.form.ties:
            W = Constraints(self.rows.rows_of(lengths == 0)).write(W)
        return W, b, lengths > 0


def product_form(rows, overlap, is_sparse):
    """Coordinates in which the mirrors are blocks, None for rotations."""
    form = None
    if not rows.nuclear:
        form = block_coordinates(rows, overlap)
    if (rows.nuclear and len(rows.sizes)) or (not rows.nuclear and form is None):
        raise ValueError(
            "These mirrors have no product form: overlapping groups, graphs with cycles and "
            "`low_rank` beside others are not independent of each other. MirrorSparseRegressor "
            'penalises them as they are; overlap="latent" splits coefficients between groups.'
        )
    if is_sparse and form is not None and form.columns is None:
        raise ValueError(
            "Sparse X is for mirrors of single columns, for groups and for `low_rank`; these mix "
            "columns. Pass X.toarray()."
        )
    return form


def parts_of(X, form):
    """What is a product, and what is free, of the columns of X."""
    if form is None:
        return X, np.zeros((X.shape[0], 0))
    if form.columns is None:
        return form.design(X)
    F, all_columns = X[:, form.free], np.array_equal(form.columns, np.arange(X.shape[1]))
    return X if all_columns else X[:, form.columns], F.toarray() if sparse.issparse(F) else F
