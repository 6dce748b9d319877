"""The nuclear norm of all coefficients alone: proximal Newton steps on the whole matrix."""

import numpy as np
from scipy import sparse
from scipy.linalg import svd

from sksym._linalg import one_thread
from sksym.solvers import NuclearNorm, proximal_newton

_EPS = np.finfo(float).eps
_FIRST_STEP = 3.0  # of the proximal method, for columns of length one


class SpectralNewton:
    """The nuclear norm with a design that rotations have made diagonal.

    Rotating rows and coefficients changes neither the residual nor the nuclear norm.

    Attributes
    ----------
    problem : MirrorProblem
    axes : ndarray of shape (p, r)
        Right singular vectors of the design.
    scale : float
        Root mean square of its singular values.
    T : csr_array of shape (r, r)
        The singular values over `scale`.
    Y : ndarray of shape (r, q)
    unexplained : float
        Sum of squares of the targets that no coefficients fit.
    """

    def __init__(self, problem):
        self.problem = problem
        X, Y, unexplained = problem.data.reduced
        with one_thread():
            U, s, Vt = svd(X, full_matrices=False, check_finite=False)
        round_off = max(X.shape) * _EPS * s.max(initial=0)
        determined = s > round_off
        U = U[:, determined]
        s = s[determined]
        self.axes = Vt[determined].T
        self.Y = U.T @ Y
        residual = Y - U @ self.Y
        self.unexplained = unexplained + np.sum(residual**2)
        # The first proximal step is for columns of length one, on average.
        self.scale = np.sqrt(np.mean(s**2)) if len(s) else 1.0
        diagonal = sparse.diags_array(s / self.scale)
        self.T = sparse.csr_array(diagonal)

    def largest_alpha(self):
        """Return the largest singular value of the gradient at zero, over the weight."""
        weight = self.problem.data.total_weight * self.problem.operators.nuclear
        norm = NuclearNorm(weight / self.scale)
        return norm.polar(self.T @ self.Y)

    def start_from(self, W):
        """Return the coefficients (p, q)."""
        return W

    def solve(self, alpha, start=None, factors=1.0):
        """Return the minimiser."""
        problem = self.problem
        weight = problem.data.total_weight * alpha * problem.operators.nuclear
        x = np.zeros_like(self.Y)
        if start is not None:
            x = self.axes.T @ start * self.scale
        with one_thread():
            solution = proximal_newton(
                self.T,
                self.Y,
                NuclearNorm(weight / self.scale),
                x,
                tol=problem.tol,
                sigma=_FIRST_STEP,
                max_iter=problem.max_iter,
            )
        # Coefficients across the axes change neither residual nor rank: they are zero.
        W = self.axes @ solution.coef / self.scale
        gap = max(solution.gap, _EPS * solution.objective)
        objective = solution.objective + 0.5 * self.unexplained
        return problem.finish(W, np.zeros(0), objective, gap, solution.n_iter, W)
