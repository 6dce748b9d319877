"""The fused lasso along a chain of coefficients that are observed one by one: the taut string."""

import numpy as np
from scipy import sparse

from sksym.mirror.coordinates import chain_steps
from sksym.solvers import taut_string


def observes_a_chain(problem):
    """Return whether the mirrors are a chain, and each row observes one coefficient of it."""
    X = problem.data.X
    n, p = X.shape
    if not sparse.issparse(X) or n != p or X.nnz != n or not X.diagonal().all():
        return False
    if problem.overlap == "latent" or problem.solver not in ("auto", "newton"):
        return False
    if problem.operators.nuclear or problem.data.Y.shape[1] > 1:
        return False
    # The mean of the rows is that of the coefficients if all are observed alike.
    values = X.diagonal() / problem.data.sqrt_weight
    centred = problem.data.ones is not None
    return not (centred and np.ptp(values)) and chain_steps(problem.operators.K) is not None


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
        y = self.problem.data.Y[:, 0]
        d = self.diagonal
        level = (d @ y) / (d @ d)
        heights = np.cumsum(d * (y - d * level))[:-1]
        penalties = self.problem.operators.weights * self.steps
        return (np.abs(heights) / penalties).max() / self.problem.data.total_weight

    def start_from(self, W):
        """Return None: nothing is iterated."""
        return None

    def solve(self, alpha, start=None, factors=1.0):
        """Return the minimiser."""
        n = self.problem.data.total_weight
        y = self.problem.data.Y[:, 0]
        penalties = n * alpha * factors * self.problem.operators.weights * self.steps
        solution = taut_string(y / self.diagonal, penalties, self.diagonal**2)
        w = solution.coef
        lengths = self.steps * np.abs(np.diff(w))
        return self.problem.finish(w[:, None], lengths, solution.objective, solution.gap, 1)
