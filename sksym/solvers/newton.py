"""Proximal points by a semismooth Newton method, for least squares with a norm.

For a dense design A with few columns, given by its transpose T (t, n)::

    minimise  1/2 |Y - A x|^2 + norm(x),     x (t, q),  Y (n, q)

Each proximal step, from x_k with step sigma, is solved through its dual, which is smooth::

    minimise over u (n, q)   1/2 |u|^2 - <Y, u> + 1/(2 sigma) |prox(x_k + sigma A^T u)|^2,

prox that of sigma times the norm; its minimiser is the residual of x_{k+1} = prox(..). Newton's
matrix is ``I + sigma A J A^T`` with J the derivative of the prox, which sees the active part of x
only: a step costs O(n s min(n, s)) for s active rows. Both loops converge superlinearly.

X. Li, D. Sun and K.-C. Toh, SIAM J. Optim. 28 (2018) 433, for the lasso.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

_GROWTH = 3.0  # of sigma from one proximal step to the next
_INNER = 0.1  # a proximal step is solved to this part of the distance that it moves
_ARMIJO = 1e-4
_ROUND_OFF = 1e-15
_LEAST = 1e-6  # derivative of the prox, at least, in Newton's matrix
_LARGEST = 1e8  # sigma, for columns of length one: beyond it Newton's matrix is singular
_SHORTEST = 1e-6
_CG_STEPS, _CG_PART = 200, 3e-2
_COSTLY, _MOST_CG = 5e8, 40  # products from which, and steps to which, iterations pay
_IDLE, _IDLE_GAIN = 25, 0.9  # Newton steps without a gap that is so much less; doubled by a stall
_STALLS = 3  # times that round-off may stop it


@dataclass(frozen=True, eq=False)
class Shrunk:
    """``prox(z)`` and what its derivative needs.

    Attributes
    ----------
    x : ndarray of shape (t, q)
    rows : ndarray of int
        Those of x that are not zero.
    value : float
        The norm of x.
    parts : tuple
        Of z, as the norm likes it.
    """

    x: np.ndarray
    rows: np.ndarray
    value: float
    parts: tuple


@dataclass(frozen=True, eq=False)
class BlockNorm:
    """``sum_g weights_g |x_g|`` over consecutive blocks of rows.

    Attributes
    ----------
    sizes, weights : ndarray of shape (m,)
    positive : bool
        Negative x cost infinity; for one output.
    """

    sizes: np.ndarray
    weights: np.ndarray
    positive: bool = False

    @cached_property
    def starts(self):
        return np.concatenate([[0], np.cumsum(self.sizes)])[:-1].astype(int)

    @cached_property
    def block(self):
        """The block of each row."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def lengths(self, z):
        """``|z_g|``."""
        square = np.einsum("ij,ij->i", z, z)
        scalars = len(square) == len(self.sizes)
        return np.sqrt(square if scalars else np.add.reduceat(square, self.starts))

    def part(self, blocks):
        """The norm of some blocks."""
        return BlockNorm(self.sizes[blocks], self.weights[blocks], self.positive)

    def rows(self, blocks):
        """The rows of some blocks, in their order."""
        sizes = self.sizes[blocks]
        first = np.repeat(self.starts[blocks] - np.cumsum(sizes) + sizes, sizes)
        return first + np.arange(sizes.sum())

    def value(self, x):
        """The norm."""
        return float(self.weights @ self.lengths(x))

    def scores(self, corr):
        """What each block would need as a weight to stay zero, over what it has."""
        return self.lengths(np.maximum(corr, 0) if self.positive else corr) / self.weights

    def polar(self, corr):
        """The dual norm."""
        return self.scores(corr).max(initial=0)

    def prox(self, z, step):
        """Blocks shortened by ``step * weight``."""
        z = np.maximum(z, 0) if self.positive else z
        size, least = self.lengths(z), step * self.weights
        on = size > least
        share = np.where(on, 1 - least / np.where(on, size, 1), 0.0)
        x = z * share[self.block][:, None]
        active = on[self.block] & (z[:, 0] > 0) if self.positive else on[self.block]
        rows = np.flatnonzero(active)
        return Shrunk(x, rows, float(self.weights @ (share * size)), (z[rows], size, share))

    def direction(self, active, grad, shrunk, sigma, gram):
        """Newton's direction ``-(I + sigma A J A^T)^-1 grad``; `active` holds those rows of T."""
        z, size, share = shrunk.parts
        block, q = self.block[shrunk.rows], grad.shape[1]
        scalar = (self.sizes == 1) if q == 1 else np.zeros(len(self.sizes), bool)
        # J is share on a block, and 1 along the block itself.
        share = np.where(scalar, 1.0, np.maximum(share, _LEAST))
        if len(active) > len(grad) and len(active) * len(grad) ** 2 > _COSTLY:
            d, reached = self._iterated(active, grad, z, size, share, block, sigma)
            if reached:
                return d
        invert, inside = _resolvent(
            active, sigma * share[block], None if gram is None else gram(shrunk.rows)
        )
        d = -invert(grad)
        soft = ~scalar[block]
        if not soft.any():
            return d
        kept, thin = block[soft], active[soft]
        starts = np.flatnonzero(np.diff(kept, prepend=-1))
        ends = np.append(starts[1:], len(kept))
        unit = (z[soft] / size[kept][:, None]) * np.sqrt(sigma * (1 - share[kept]))[:, None]
        if q * len(starts) > len(active):  # products of rows are fewer than those of their parts
            C = np.add.reduceat(inside()[np.ix_(soft, soft)] * (unit @ unit.T), starts, axis=0)
            C = np.add.reduceat(C, starts, axis=1)
        else:
            ptr = np.append(starts, len(kept))
            parts = [sparse.csr_array((one, np.arange(len(kept)), ptr)) @ thin for one in unit.T]
            V = np.concatenate(parts)
            C = sum(
                left @ right.T
                for left, right in zip(parts, np.split(invert(V.T).T, q), strict=True)
            )
        C[np.diag_indices(len(starts))] += 1
        seen = np.add.reduceat(np.einsum("ij,ij->i", unit, thin @ d), starts)
        along = cho_solve(cho_factor(C, check_finite=False), seen, check_finite=False)
        return d - invert(thin.T @ (unit * np.repeat(along, ends - starts)[:, None]))

    def _iterated(self, active, grad, z, size, share, block, sigma):
        """Newton's direction by conjugate gradients, and whether they got there."""
        ends = np.flatnonzero(np.diff(block, append=-1)) + 1
        starts = np.concatenate([[0], ends[:-1]])
        unit, part = z / size[block][:, None], share[block][:, None]
        rest = 1 - share[block[starts]]

        def curved(d):
            H = active @ d
            along = np.add.reduceat(np.einsum("ij,ij->i", unit, H), starts) * rest
            H = part * H + unit * np.repeat(along, ends - starts)[:, None]
            return d + sigma * (active.T @ H)

        return _conjugate_gradients(curved, -grad, _MOST_CG)


@dataclass(frozen=True, eq=False)
class SpectralNorm:
    """``weight`` times the sum of the singular values of x."""

    weight: float

    def value(self, x):
        """The norm."""
        return self.weight * float(np.linalg.svd(x, compute_uv=False).sum())

    def polar(self, corr):
        """The dual norm."""
        return np.linalg.norm(corr, 2) / self.weight

    def prox(self, z, step):
        """Singular values lowered by ``step * weight``."""
        U, s, Vt = np.linalg.svd(z, full_matrices=False)
        kept = np.maximum(s - step * self.weight, 0)
        on = kept > 0
        x = (U[:, on] * kept[on]) @ Vt[on]
        rows = np.arange(len(z) if on.any() else 0)
        return Shrunk(x, rows, self.weight * float(kept.sum()), (U, s, Vt, kept))

    def direction(self, active, grad, shrunk, sigma, gram):
        """Newton's direction, by conjugate gradients."""
        U, s, Vt, kept = shrunk.parts
        if not len(shrunk.rows):
            return -grad
        # Divided differences of the shrinkage act on the symmetric part in the singular bases,
        # divided sums on the skew part, and ratios on what the longer side has besides.
        gap = s[:, None] - s
        near = np.abs(gap) <= 1e-10 * s[0]
        slope = np.where(kept > 0, 1.0, 0.0)[:, None]
        fall = np.where(near, slope, (kept[:, None] - kept) / np.where(near, 1.0, gap))
        rise = (kept[:, None] + kept) / np.maximum(s[:, None] + s, np.finfo(float).tiny)
        same, turned = (fall + rise) / 2, (fall - rise) / 2
        ratio = kept / np.maximum(s, np.finfo(float).tiny)
        tall = len(U) >= Vt.shape[1]
        long, square = (U, Vt.T) if tall else (Vt.T, U)

        def derivative(H):
            right = (H if tall else H.T) @ square
            M = long.T @ right
            moved = right * ratio + long @ (same * M + turned * M.T - M * ratio)
            return moved @ square.T if tall else square @ moved.T

        def curved(d):
            return d + sigma * (active.T @ derivative(active @ d))

        return _conjugate_gradients(curved, -grad, _CG_STEPS)[0]


def _resolvent(active, scale, gram):
    """The map by ``R = (I + A diag(scale) A^T)^-1``, A^T = `active` (s, n); and ``A^T R A``."""
    s, n = active.shape
    if not s:
        return lambda B: B, lambda: np.zeros((0, 0))
    if s < n:
        M = active @ active.T if gram is None else gram
        M[np.diag_indices(s)] += 1 / scale
        factor = cho_factor(M.T, lower=True, overwrite_a=True, check_finite=False)

        def inside():
            inverse = cho_solve(factor, np.diag(1 / scale), check_finite=False)
            return np.diag(1 / scale) - inverse / scale[:, None]

        return lambda B: B - active.T @ cho_solve(factor, active @ B, check_finite=False), inside
    half = active * np.sqrt(scale)[:, None]
    N = half.T @ half
    N[np.diag_indices(n)] += 1
    factor = cho_factor(N.T, lower=True, overwrite_a=True, check_finite=False)

    def invert(B):
        return cho_solve(factor, B, check_finite=False)

    return invert, lambda: active @ invert(active.T)


def _conjugate_gradients(apply, target, steps):
    """The solution of ``apply(x) = target`` to a part of its residual, and whether it got there."""
    x, r = np.zeros_like(target), target
    p, rr = r, np.vdot(r, r)
    goal = _CG_PART**2 * rr
    for _ in range(steps):
        if rr <= goal:
            break
        moved = apply(p)
        step = rr / np.vdot(p, moved)
        x, r = x + step * p, r - step * moved
        before, rr = rr, np.vdot(r, r)
        p = r + (rr / before) * p
    return x, rr <= goal


@dataclass(eq=False)
class Descent:
    """The state of `proximal_newton`: where it is and what it knows.

    Attributes
    ----------
    x : ndarray of shape (t, q)
    residual : ndarray of shape (n, q)
    gap, objective : float
    sigma : float
        To go on with.
    n_iter : int
        Newton steps.
    """

    x: np.ndarray
    residual: np.ndarray
    gap: float
    objective: float
    sigma: float
    n_iter: int


def duality_gap(norm, x, value, r, corr, Y):
    """Duality gap and objective at x of norm `value`, residual r and ``corr = A^T r``; and t.

    The dual point is ``t r``, feasible for t up to 1 / polar(corr). Written without differences of
    large numbers: ``gap = 1/2 (1 - t)^2 |r|^2 + value - t <corr, x>``.
    """
    polar, square = norm.polar(corr), np.vdot(r, r)
    t = max(np.vdot(Y, r) / square, 0.0) if square else 0.0  # of -r the polar is another if x >= 0
    if t * polar > 1:
        t = 1 / polar
    gap = 0.5 * (1 - t) ** 2 * square + value - t * np.vdot(corr, x)
    return float(gap), float(0.5 * square + value), float(t)


def proximal_newton(T, Y, norm, x, *, tol, sigma, max_iter, gram=None):
    """Minimise ``1/2 |Y - T^T x|^2 + norm(x)``.

    Parameters
    ----------
    T : ndarray of shape (t, n)
    Y : ndarray of shape (n, q)
    norm : BlockNorm or SpectralNorm
    x : ndarray of shape (t, q)
        Where to start.
    tol : float
        Duality gap relative to the objective.
    sigma : float
        First proximal step.
    max_iter : int
        Newton steps.
    gram : callable, default=None
        ``gram(rows)``: a new array of the products of these rows of T.

    Returns
    -------
    Descent
    """
    n_iter, stalls, idle, scale = 0, 0, 0, np.linalg.norm(Y)
    best = Descent(x, Y - T.T @ x, np.inf, np.inf, sigma, 0)
    rows = active = None
    while True:
        start = u = Y - T.T @ x
        z = x + sigma * (T @ u)
        shrunk, step = norm.prox(z, sigma), 1.0
        while True:
            if rows is None or not np.array_equal(rows, shrunk.rows):
                rows, active = shrunk.rows, T[shrunk.rows]
            residual = Y - active.T @ shrunk.x[shrunk.rows]
            gap, objective, _ = duality_gap(norm, shrunk.x, shrunk.value, residual, T @ residual, Y)
            idle = 0 if gap < _IDLE_GAIN * best.gap else idle + 1
            if gap < best.gap:
                best = Descent(shrunk.x, residual, gap, objective, sigma, n_iter)
            if gap <= tol * objective or n_iter >= max_iter or stalls > _STALLS:
                best.n_iter = n_iter
                return best
            grad = u - residual
            size, moved = np.linalg.norm(grad), np.linalg.norm(residual - start)
            # Along columns that depend on each other x moves, and the residual does not.
            moved = max(moved, _INNER * np.linalg.norm(shrunk.x - x) / np.sqrt(sigma))
            stuck = idle > _IDLE * 2**stalls or not step or max(size, moved) <= _ROUND_OFF * scale
            if stuck or size <= max(_INNER * moved, _ROUND_OFF * scale):
                break
            d = norm.direction(active, grad, shrunk, sigma, gram)
            step, z, shrunk = _search(norm, d, np.vdot(grad, d), T @ d, z, shrunk, sigma)
            u = u + step * d
            n_iter += 1
        if stuck:  # round-off of u is seen times sigma: less of it, from the best point
            x, sigma, idle, stalls = best.x, sigma / _GROWTH**3, 0, stalls + 1
        else:
            x, sigma = shrunk.x, min(_GROWTH * sigma, _LARGEST)


def _search(norm, d, slope, along, z, shrunk, sigma):
    """The first halving of the step along d at which the dual descends, and prox there.

    Its change is ``step slope + |step d|^2 / 2 + (|dx|^2 / 2 - <x, dz - dx>) / sigma``, dz and dx
    those of z and prox(z), which keeps its sign however small it is.
    """
    step, x, square = 1.0, shrunk.x, np.vdot(d, d)
    while step > _SHORTEST:
        dz = step * sigma * along
        there = norm.prox(z + dz, sigma)
        dx = there.x - x
        bent = 0.5 * np.vdot(dx, dx) - np.vdot(x, dz - dx)
        if step * slope + 0.5 * step**2 * square + bent / sigma <= _ARMIJO * step * slope:
            return step, z + dz, there
        step /= 2
    return 0.0, z, shrunk
