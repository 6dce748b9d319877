"""Proximal points by a semismooth Newton method, for least squares with a norm.

For a dense design A with few columns, given by its transpose T (t, n)::

    minimise  1/2 |Y - A x|^2 + norm(x),     x (t, q),  Y (n, q)

Each proximal step, from x_k with step sigma, is solved through its dual, which is smooth::

    minimise over u (n, q)   1/2 |u|^2 - <Y, u> + 1/(2 sigma) |prox(x_k + sigma A^T u)|^2,

prox that of sigma times the norm; its minimiser is the residual of x_{k+1} = prox(..). Newton's
matrix is ``I + sigma A J A^T`` with J the derivative of the prox, which depends on the active rows
of x only: a step costs O(n s min(n, s)) for s active rows. Both loops converge superlinearly.

X. Li, D. Sun and K.-C. Toh, SIAM J. Optim. 28 (2018) 433, for the lasso.
"""

from dataclasses import replace

import numpy as np

from sksym.solvers.solution import Solution, duality_gap

_GROWTH = 3.0  # of sigma from one proximal step to the next
_INNER = 0.1  # accuracy of a proximal step relative to the distance that it moves
_ARMIJO = 1e-4
_ROUND_OFF = 1e-15
_LARGEST = 1e8  # sigma, for columns of length one: beyond it Newton's matrix is singular
_SHORTEST = 1e-6  # step of the line search
_IDLE = 25  # Newton steps without progress that are a stall; doubled by every stall
_IDLE_GAIN = 0.9  # ratio of two gaps that counts as progress
_STALLS = 3  # stalls at most


def proximal_newton(T, Y, norm, x, *, tol, sigma, max_iter, gram=None):
    """Minimise ``1/2 |Y - T^T x|^2 + norm(x)``.

    Parameters
    ----------
    T : ndarray of shape (t, n)
    Y : ndarray of shape (n, q)
    norm : GroupNorm or NuclearNorm
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
    Solution
        The best point; its `state` is ``(residual, sigma)``, with the last proximal step.
    """
    descent = _Descent(T, Y, norm, tol, max_iter, gram)
    while True:
        point, stalled = descent.proximal_step(x, sigma)
        if descent.finished:
            return replace(descent.best, n_iter=descent.n_iter)
        if stalled:
            # Round-off of u is multiplied by sigma: go on from the best point with a smaller one.
            descent.idle = 0
            descent.stalls += 1
            x = descent.best.coef
            sigma /= _GROWTH**3
        else:
            x = point
            sigma = min(_GROWTH * sigma, _LARGEST)


class _Descent:
    """The proximal steps of one problem, and the best point so far.

    Attributes
    ----------
    best : Solution
    n_iter : int
        Newton steps so far.
    idle : int
        Points since the gap was last reduced.
    stalls : int
        How often round-off stopped a proximal step.
    finished : bool
    """

    def __init__(self, T, Y, norm, tol, max_iter, gram):
        self.T = T
        self.Y = Y
        self.norm = norm
        self.tol = tol
        self.max_iter = max_iter
        self.gram = gram
        self.round_off = _ROUND_OFF * np.linalg.norm(Y)
        self.rows = None  # active rows of x, and those of T
        self.active = None
        self.best = None
        self.n_iter = 0
        self.idle = 0
        self.stalls = 0
        self.finished = False

    def proximal_step(self, x, sigma):
        """Move x to its proximal point, by Newton's method in the dual variable u.

        Returns
        -------
        point : ndarray of shape (t, q)
        stalled : bool
            Whether round-off stopped the iteration before it was accurate.
        """
        start = self.Y - self.T.T @ x
        if self.best is None:
            self.best = Solution(x, np.inf, np.inf, 0, [], (start, sigma))
        u = start
        z = x + sigma * (self.T @ u)
        shrunk = self.norm.shrink(z, sigma)
        step = 1.0
        while True:
            residual = self._evaluate(shrunk, sigma)
            if self.finished:
                return shrunk.x, False
            gradient = u - residual
            size = np.linalg.norm(gradient)
            # Along columns that depend on each other x moves, and the residual does not.
            distance_of_x = np.linalg.norm(shrunk.x - x) / np.sqrt(sigma)
            distance = np.linalg.norm(residual - start)
            distance = max(distance, _INNER * distance_of_x)
            waited = self.idle > _IDLE * 2**self.stalls
            if waited or not step or max(size, distance) <= self.round_off:
                return shrunk.x, True
            if size <= max(_INNER * distance, self.round_off):
                return shrunk.x, False
            d = shrunk.newton_direction(
                self.active,
                gradient,
                sigma,
                self.gram,
            )
            slope = np.vdot(gradient, d)
            step, z, shrunk = self._line_search(d, slope, z, shrunk, sigma)
            u = u + step * d
            self.n_iter += 1

    def _evaluate(self, shrunk, sigma):
        """Return the residual at a point; update the best point and whether to stop."""
        if self.rows is None or not np.array_equal(self.rows, shrunk.rows):
            self.rows = shrunk.rows
            self.active = self.T[shrunk.rows]
        x = shrunk.x
        residual = self.Y - self.active.T @ x[shrunk.rows]
        correlation = self.T @ residual
        gap, objective, scale = duality_gap(
            self.norm, x, shrunk.value, residual, correlation, self.Y
        )
        self.idle += 1
        if gap < _IDLE_GAIN * self.best.gap:
            self.idle = 0
        if gap < self.best.gap:
            self.best = Solution(
                coef=x,
                objective=objective,
                gap=gap,
                n_iter=self.n_iter,
                dual=[scale * residual],
                state=(residual, sigma),
            )
        reached = gap <= self.tol * objective
        self.finished = reached or self.n_iter >= self.max_iter or self.stalls > _STALLS
        return residual

    def _line_search(self, d, slope, z, shrunk, sigma):
        """Halve the step along d until the dual objective descends.

        Its change is ``step slope + |step d|^2 / 2 + (|dx|^2 / 2 - <x, dz - dx>) / sigma``, dz and
        dx the changes of z and of prox(z): a form that keeps its sign however small it is.

        Returns
        -------
        step : float
            Zero if it does not descend.
        z : ndarray of shape (t, q)
        shrunk : ShrunkBlocks or ShrunkSpectrum
            The proximal point at z.
        """
        x = shrunk.x
        along = self.T @ d
        square = np.vdot(d, d)
        step = 1.0
        while step > _SHORTEST:
            dz = step * sigma * along
            trial = self.norm.shrink(z + dz, sigma)
            dx = trial.x - x
            bend = 0.5 * np.vdot(dx, dx) - np.vdot(x, dz - dx)
            change = step * slope + bend / sigma
            change += 0.5 * step**2 * square
            if change <= _ARMIJO * step * slope:
                return step, z + dz, trial
            step /= 2
        return 0.0, z, shrunk
