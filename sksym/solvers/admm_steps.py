"""The first step of the alternating direction method, by the cheapest exact way that sizes allow.

    w = argmin f(w) / (alpha rho) + 1/2 |K w|^2 - <b, w>

With G = K^T K, the axes V and the curvature c of f along them, and bend ``d = c / (alpha rho)``
(infinite for alpha = 0), w solves ``(G + V d V^T) (w - w_ls) = b - G w_ls``.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from sksym._linalg import require_memory
from sksym.solvers.conjugate_gradients import conjugate_gradients
from sksym.solvers.terms import Penalty

_DENSE = 2500  # unknowns up to which the inverse is formed
_CG_STEPS = 500
_DEFINITE = 1e-9  # least pivot, relative to the diagonal, of a matrix that is safely definite
_ZERO = 1e-13  # eigenvalue per unknown, relative to the largest, that counts as zero


def first_step(data, terms, alpha):
    """Choose how the first step of a problem is done.

    Returns
    -------
    callable
        ``step(b, accuracy)`` returns w (q, k) for b (q, k), after ``step.prepare(rho)``.
    """
    axes, _, w_ls = data.parts(alpha)
    if 2 * axes.shape[1] <= w_ls.shape[1]:
        diagonal = _diagonal_gram(terms)
        if diagonal is not None and diagonal.min() > 0:
            return DiagonalStep(data, diagonal.reshape(w_ls.shape), alpha)
    # A dense inverse costs O((q k)^3) once and O((q k)^2) for each step.
    if w_ls.size <= _DENSE:
        return DenseStep(data, terms, alpha)
    return IterativeStep(data, terms, alpha)


def _diagonal_gram(terms):
    """Return the diagonal of G, None where G is not diagonal."""
    diagonal = 0.0
    for term in terms:
        K = term.K
        entries_per_row = np.diff(K.indptr)
        if term.axes is not None or entries_per_row.max(initial=0) > 1:
            return None
        squares = K.data**2
        diagonal = diagonal + np.bincount(K.indices, squares, minlength=K.shape[1])
    return diagonal


class DiagonalStep:
    """The step for diagonal G and few axes, by Woodbury's formula for each output."""

    def __init__(self, data, gram, alpha):
        self.axes, self.curvature, self.w_ls = data.parts(alpha)
        self.gram = gram
        self.alpha = alpha

    def prepare(self, rho):
        """Factor the small matrices for this rho."""
        compliance = np.zeros(self.axes.shape[1])
        if self.curvature is not None:
            compliance = self.alpha * rho / self.curvature
        self.factors = []
        for gram in self.gram:
            thin = self.axes / gram[:, None]
            small = self.axes.T @ thin + np.diag(compliance)
            inverse = np.linalg.inv(small)
            self.factors.append((thin, inverse))

    def __call__(self, b, accuracy):
        shift = (b - self.gram * self.w_ls) / self.gram
        correction = np.empty_like(shift)
        for i, (thin, inverse) in enumerate(self.factors):
            along = self.axes.T @ shift[i]
            correction[i] = thin @ (inverse @ along)
        return self.w_ls + shift - correction


class DenseStep:
    """The step by an inverse (q k, q k), which is formed once for every rho."""

    def __init__(self, data, terms, alpha):
        self.axes, self.curvature, self.w_ls = data.parts(alpha)
        self.alpha = alpha
        N = self.w_ls.size
        require_memory(
            48.0 * N**2,
            f"Promotion with {N:,} coefficients",
            "Reduce the degree of the library, or enforce more symmetry.",
        )
        self.gram = sum(term.gram for term in terms)
        self.inverse = None

    def prepare(self, rho):
        """Form the inverse for this rho."""
        if self.curvature is None and self.inverse is not None:
            return  # in the limit nothing depends on rho
        bend = None
        if self.curvature is not None:
            bend = self.curvature / (self.alpha * rho)
        q = len(self.w_ls)
        self.inverse = _inverse_with_axes(self.gram, self.axes, bend, q)
        w_ls = self.w_ls.ravel()
        force = self.gram @ w_ls
        # The solution is affine in b: this is its value at zero.
        self.at_zero = w_ls - self.inverse @ force

    def __call__(self, b, accuracy):
        w = self.inverse @ b.ravel() + self.at_zero
        return w.reshape(b.shape)


class IterativeStep:
    """The step by conjugate gradients, preconditioned along the axes of the data.

    For many unknowns, in memory O(nonzeros of K). Outputs share the axes of the data.
    """

    def __init__(self, data, terms, alpha):
        self.axes, self.curvature, self.w_ls = data.parts(alpha)
        self.penalty = Penalty(terms)
        self.alpha = alpha
        self.in_limit = self.curvature is None
        trace = 0.0
        for term in terms:
            trace += np.vdot(term.K.data, term.K.data)
        self.unit = trace / self.w_ls.size or 1.0  # mean of the diagonal of G
        self.x = np.zeros_like(self.w_ls)  # the last w - w_ls: the next one is near

    def prepare(self, rho):
        """Set the bend and the preconditioner, the inverse of ``unit I + V bend V^T``."""
        if self.in_limit:
            self.shift = np.full(self.axes.shape[1], -1 / self.unit)
        else:
            self.bend = self.curvature / (self.alpha * rho)
            self.shift = 1 / (self.bend + self.unit) - 1 / self.unit

    def __call__(self, b, accuracy):
        target = self._across_axes(b - self._gram(self.w_ls))
        self.x, _ = conjugate_gradients(
            self._hessian,
            target,
            rtol=accuracy,
            max_iter=_CG_STEPS,
            start=self.x,
            precondition=self._precondition,
        )
        return self.x + self.w_ls

    def _gram(self, x):
        """Return ``G x``."""
        images = self.penalty.images(x)
        return self.penalty.adjoint(images).reshape(x.shape)

    def _across_axes(self, x):
        """Project, in the limit, on what the data leave free: round-off must not build up."""
        if not self.in_limit:
            return x
        along = x @ self.axes
        return x - along @ self.axes.T

    def _hessian(self, x):
        """Return ``(G + V bend V^T) x``."""
        image = self._gram(x)
        if self.in_limit:
            return self._across_axes(image)
        along = (x @ self.axes) * self.bend
        return image + along @ self.axes.T

    def _precondition(self, r):
        along = (r @ self.axes) * self.shift
        return r / self.unit + along @ self.axes.T


def _inverse_with_axes(gram, axes, bend, q):
    """Return ``(G + V bend V^T)^-1``, of size (q k, q k).

    Large bends are taken out of the matrix that is inverted, so that nothing cancels. On directions
    along which the matrix vanishes the inverse is zero.

    Parameters
    ----------
    gram : ndarray of shape (q k, q k)
    axes : ndarray of shape (k, rank)
    bend : ndarray of shape (rank,), or None
        None: infinite.
    q : int
        Number of outputs, which share the axes.
    """
    k, rank = axes.shape
    unit = np.trace(gram) / len(gram) or 1.0
    if bend is None:
        bend = np.full(rank, np.inf)
    heavy = bend > 2 * unit
    light_bend = np.where(heavy, unit, bend)
    block = (axes * light_bend) @ axes.T
    S = gram.copy()
    for start in range(0, q * k, k):
        output = slice(start, start + k)
        S[output, output] += block
    inverse = _semidefinite_inverse(S)
    if not heavy.any():
        return inverse
    # Woodbury's formula for what the bends exceed the unit by.
    V = np.kron(np.eye(q), axes[:, heavy])
    inverse_V = inverse @ V
    excess = bend[heavy] - unit
    compliance = np.tile(1 / excess, q)
    small = V.T @ inverse_V + np.diag(compliance)
    factor = cho_factor(small, check_finite=False)
    solved = cho_solve(factor, inverse_V.T, check_finite=False)
    return inverse - inverse_V @ solved


def _semidefinite_inverse(S):
    """Invert a positive semidefinite matrix; zero where that vanishes."""
    size = np.diag(S).max(initial=0) or 1.0
    try:
        factor = cho_factor(S, check_finite=False)
    except np.linalg.LinAlgError:
        factor = None
    if factor is not None:
        # Cholesky's method succeeds on some singular matrices: a small pivot shows these.
        least_pivot = np.diag(factor[0]).min()
        if least_pivot**2 > _DEFINITE * size:
            identity = np.eye(len(S))
            return cho_solve(factor, identity, check_finite=False)
    eigenvalues, V = np.linalg.eigh(S)
    threshold = _ZERO * len(S) * eigenvalues.max(initial=0)
    nonzero = eigenvalues > threshold
    eigenvalues = eigenvalues[nonzero]
    V = V[:, nonzero]
    return (V / eigenvalues) @ V.T
