"""The fused lasso along a chain of coefficients that are observed one by one: the taut string."""

import numpy as np
from scipy import sparse

from sksym.mirror.coordinates import chain_steps
from sksym.solvers import taut_string


def observes_a_chain(problem):
    """Return whether the mirrors are a chain, and each row observes one coefficient of it."""
    data = problem.data
    X = data.X
    q = data.Y.shape[1]
    if problem.overlap == "latent" or problem.operators.nuclear or q > 1:
        return False
    n, p = X.shape
    if not sparse.issparse(X) or n != p or X.nnz != n:
        return False
    diagonal = X.diagonal()
    if not diagonal.all():
        return False
    # With an intercept the mean of the rows must be that of the coefficients.
    observed = diagonal / data.sqrt_weight
    if data.ones is not None and np.ptp(observed) > 0:
        return False
    return chain_steps(problem.operators.K) is not None


class ObservedChain:
    """A chain solved in one pass.

    Attributes
    ----------
    problem : MirrorProblem
    diagonal : ndarray of shape (p,)
        Of the design.
    steps : ndarray of shape (p - 1,)
        Size of the entries of each mirror.
    """

    def __init__(self, problem):
        self.problem = problem
        self.diagonal = problem.data.X.diagonal()
        self.steps = np.abs(chain_steps(problem.operators.K))

    def largest_alpha(self):
        """Return the height of the tube in which a straight string fits."""
        data = self.problem.data
        y = data.Y[:, 0]
        d = self.diagonal
        level = (d @ y) / (d @ d)
        residual = y - d * level
        # The string is straight once the tube holds the sums of this residual.
        heights = np.cumsum(d * residual)[:-1]
        penalties = self.problem.operators.weights * self.steps
        largest = np.max(np.abs(heights) / penalties)
        return largest / data.total_weight

    def start_from(self, W):
        """Return None: nothing is iterated."""
        return None

    def solve(self, alpha, start=None, factors=1.0):
        """Return the minimiser."""
        problem = self.problem
        y = problem.data.Y[:, 0]
        d = self.diagonal
        weights = factors * problem.operators.weights
        penalties = problem.data.total_weight * alpha * weights * self.steps
        # Row i observes y_i / d_i, with the weight d_i^2.
        solution = taut_string(y / d, penalties, d**2)
        w = solution.coef
        jumps = np.abs(np.diff(w))
        lengths = self.steps * jumps
        return problem.finish(w[:, None], lengths, solution.objective, solution.gap, 1)
