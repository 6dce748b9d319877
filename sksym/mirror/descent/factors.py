"""Products in place of components: the parametrisation in which weight decay is a penalty.

Component k of the coefficients becomes a product of D factors, scalars u and one vector v::

    c_k = u_1k .. u_{D-1,k} v_k

A loss of c does not change when two factors of a product change their signs: that is its mirror.
By the inequality of the means ``|u_1k|^2 + .. + |v_k|^2 >= D |c_k|^(2/D)``, with equality for some
factors, so decay g of all of them, g/2 times their squares, costs ``g D/2 |c_k|^(2/D)``.

**Where to start.** Let D = 2, one column, and h the derivative by c. A step of gradient descent
multiplies ``u + v`` by ``1 - lr (g + h)`` and ``u - v`` by ``1 - lr (g - h)``. So ``u = v`` remains
true whatever the data are, and c = u v is never negative; on ``u = -v`` it is never positive. (A
vector v can turn; but along the flow ``u^2 - |v|^2`` shrinks by exp(-2 g t) and does nothing else,
so that from ``|u| = |v|`` on u changes its sign at zero only, which is a stationary point.)
Training therefore starts from ``u > 0`` and ``v = 0``: then, with steps ``lr (g + |h|) < 1``,
``u > |v|`` throughout, and v, with it c, can take either sign.

For a matrix ``W = U V^T`` the same holds of ``U^T U - V^T V``: the smaller of U and V starts as a
multiple of the identity, the other at zero.
"""

import numpy as np
from scipy import sparse

_START = 0.1  # of u; small for sparse interpolation where nothing decays
_DEEP_START = 1.0  # zero attracts where D > 2: the product has to start outside of its basin
_POWER_STEPS = 8


class Products:
    """Blocks of coefficients (t, q) as scalars times a vector.

    Attributes
    ----------
    factors : list of two ndarrays
        u (D - 1, m, 1) and v (t, q).
    """

    def __init__(self, sizes, depth, q):
        m = len(sizes)
        t = int(np.sum(sizes))
        start = _START if depth == 2 else _DEEP_START
        u = np.full((depth - 1, m, 1), start)
        v = np.zeros((t, q))
        self.factors = [u, v]
        # Single rows, the most frequent case, need neither.
        self._block = None
        self._starts = np.cumsum(sizes) - sizes
        if t > m:
            self._block = np.repeat(np.arange(m), sizes)
        # Both are kept from one step to the next: allocation would dominate small batches.
        self._slope = np.empty((t, q))
        self._scalars = None

    def _products(self):
        """Return the products of all u (t, 1), one for each row of v."""
        u = self.factors[0]
        if len(u) == 1:
            return self._per_row(u[0])
        return self._per_row(u.prod(axis=0))

    def _per_row(self, values):
        """Repeat values (m, 1) of the blocks over their rows, (t, 1)."""
        if self._block is None:
            return values
        return values.take(self._block, axis=0)

    def _products_of_others(self):
        """Return the products of all u but one (D - 1, m, 1), None for a single u."""
        u = self.factors[0]
        if len(u) == 1:
            return None
        # Rolled by j, row i holds factor i - j: all but factor i meet in row i.
        rolled = [np.roll(u, j, axis=0) for j in range(1, len(u))]
        return np.prod(rolled, axis=0)

    def _sums(self, values):
        """Return the sums (m, 1) over the entries of each block."""
        if values.shape[1] > 1:
            values = values.sum(axis=1, keepdims=True)
        if self._block is None:
            return values
        return np.add.reduceat(values, self._starts)

    def components(self):
        """Return the blocks c (t, q)."""
        return self._products() * self.factors[1]

    def predict(self, X):
        """Return ``X c`` (n, q)."""
        self._scalars = self._products()
        c = self._scalars * self.factors[1]
        return X @ c

    def gradients(self, X, R):
        """Return the gradients of a loss by u and v.

        R (n, q) is the derivative of the loss by the predictions that were just made.
        """
        if sparse.issparse(X):
            self._slope = X.T @ R
        else:
            np.dot(X.T, R, out=self._slope)
        slope = self._slope
        v = self.factors[1]
        by_u = self._sums(slope * v)
        others = self._products_of_others()
        by_u = by_u[None] if others is None else others * by_u
        slope *= self._scalars
        return [by_u, slope]

    def spread(self, decay):
        """Return the decay (m,) of the blocks for each entry of u and of v."""
        per_block = decay[:, None]
        return [per_block, self._per_row(per_block)]

    def tangent(self, X, rng):
        """Return a map of (n,) that bounds the squared derivative of the predictions."""
        v = self.factors[1]
        others = self._products_of_others()
        by_u = self._sums(v**2)
        if others is not None:
            by_u = by_u * np.sum(others**2, axis=0)
        by_v = self._products() ** 2
        square = self._per_row(by_u) + by_v

        def apply(x):
            slope = X.T @ x
            return X @ (square[:, 0] * slope)

        return apply

    def bend(self, X, R, rng):
        """Return the rest of the largest curvature: the effect of the gradient by c on u and v."""
        slope = X.T @ R
        squares = self._sums(slope**2)
        steepest = np.sqrt(squares.max(initial=0))
        # Second derivatives of a product hold all factors but two.
        sizes = [np.abs(factor).max(initial=0) for factor in self.factors]
        n_others = len(self.factors[0]) - 1
        return steepest * max(1.0, *sizes) ** n_others


class Rotations:
    """Coefficients (p, q) as ``U V^T``.

    Attributes
    ----------
    factors : list of two ndarrays
        U (p, r) and V (q, r), r the smaller of p and q.
    """

    def __init__(self, p, q):
        r = min(p, q)
        U = np.zeros((p, r))
        V = np.zeros((q, r))
        np.fill_diagonal(U if p <= q else V, _START)
        self.factors = [U, V]

    def components(self):
        """Return the coefficients (p, q)."""
        U, V = self.factors
        return U @ V.T

    def predict(self, X):
        """Return ``X U V^T`` (n, q), without the product of the factors."""
        U, V = self.factors
        self._hidden = X @ U
        return self._hidden @ V.T

    def gradients(self, X, R):
        """Return the gradients of a loss by U and V.

        R (n, q) is the derivative of the loss by the predictions that were just made.
        """
        # R V first: it has r columns, and X may be sparse.
        V = self.factors[1]
        by_U = X.T @ (R @ V)
        by_V = R.T @ self._hidden  # X U, from the prediction
        return [by_U, by_V]

    def spread(self, decay):
        """Return the decay (1,) for each factor."""
        return [decay, decay]

    def tangent(self, X, rng):
        """Return a map of (n,) that bounds the squared derivative of the predictions."""
        U, V = self.factors
        gram = V.T @ V
        by_U = largest_eigenvalue(gram.dot, len(gram), rng)

        def apply(x):
            slope = X.T @ x
            by_V = U @ (U.T @ slope)
            return X @ (by_V + by_U * slope)

        return apply

    def bend(self, X, R, rng):
        """Return the rest of the largest curvature: the effect of the gradient by W on U and V."""
        slope = X.T @ R
        gram = slope.T @ slope
        return np.sqrt(largest_eigenvalue(gram.dot, len(gram), rng))


def largest_eigenvalue(apply, n, rng):
    """Estimate the largest eigenvalue of a positive semidefinite map of (n,)."""
    x = rng.normal(size=n)
    for _ in range(_POWER_STEPS):
        x /= np.linalg.norm(x)
        x = apply(x)
        if not np.any(x):
            return 0.0
    return float(np.linalg.norm(x))
