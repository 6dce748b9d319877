"""Products in place of components: the parametrisation in which decay of the weights is a penalty.

Component k of the coefficients becomes a product of D factors, scalars u and one vector v::

    c_k = u_1k .. u_{D-1,k} v_k

A loss of c does not change when two factors of a product change their signs: that is its mirror.
By the inequality of the means ``|u_1k|^2 + .. + |v_k|^2 >= D |c_k|^(2/D)``, with equality for some
factors, so decay g of all of them, g/2 times their squares, costs ``g D/2 |c_k|^(2/D)``.

**Where to start.** Let D = 2, one column, and h the derivative by c. A step of gradient descent
multiplies ``u + v`` by ``1 - lr (g + h)`` and ``u - v`` by ``1 - lr (g - h)``. So ``u = v`` stays
true whatever the data say, and c = u v is never negative; on ``u = -v`` it is never positive. (A
vector v can turn; but along the flow ``u^2 - |v|^2`` shrinks by exp(-2 g t) and does nothing else,
so that from ``|u| = |v|`` on u changes its sign at zero only, where all stops.) Here training
starts from ``u > 0`` and ``v = 0``: then, with steps ``lr (g + |h|) < 1``, ``u > |v|`` all along,
and v, with it c, is free to take either sign.

For a matrix ``W = U V^T`` the same holds of ``U^T U - V^T V``: the smaller of U and V starts as a
multiple of the identity, the other at zero.
"""

import numpy as np

_START = 0.1  # of u; small for sparse interpolation where nothing decays
_DEEP_START = 1.0  # zero attracts where D > 2: the product has to start outside of its reach
_POWER_STEPS = 8


class Products:
    """Blocks of coefficients (t, q) as scalars times a vector.

    Attributes
    ----------
    factors : list of two ndarrays
        u (D - 1, m, 1) and v (t, q).
    """

    def __init__(self, sizes, depth, q):
        m, t = len(sizes), int(np.sum(sizes))
        start = _START if depth == 2 else _DEEP_START
        self.factors = [np.full((depth - 1, m, 1), start), np.zeros((t, q))]
        self._block = None if t == m else np.repeat(np.arange(m), sizes)
        self._starts = np.cumsum(sizes) - sizes
        self._slope, self._head = np.empty((t, q)), None

    def _heads(self):
        """Products of all u: one for each row of v."""
        u = self.factors[0]
        head = u[0] if len(u) == 1 else u.prod(axis=0)
        return head if self._block is None else head.take(self._block, axis=0)

    def _others(self):
        """Products of all u but one (D - 1, m, 1), None for a single one."""
        u = self.factors[0]
        if len(u) == 1:
            return None
        return np.prod([np.roll(u, j, axis=0) for j in range(1, len(u))], axis=0)

    def _sums(self, values):
        """Sums (m, 1) over the entries of each block."""
        if values.shape[1] > 1:
            values = values.sum(axis=1, keepdims=True)
        return values if self._block is None else np.add.reduceat(values, self._starts)

    def components(self):
        """The blocks c (t, q)."""
        return self._heads() * self.factors[1]

    def predict(self, X):
        """``X c``."""
        self._head = self._heads()
        return X @ (self._head * self.factors[1])

    def gradients(self, X, R):
        """Those of a loss with the derivatives R (n, q) by the predictions just made."""
        g = np.dot(X.T, R, out=self._slope) if isinstance(X, np.ndarray) else X.T @ R
        pull, others = self._sums(g * self.factors[1]), self._others()
        g *= self._head
        return [pull[None] if others is None else others * pull, g]

    def spread(self, decay):
        """Decay (m,) for each factor."""
        along = decay if self._block is None else decay[self._block]
        return [decay[:, None], along[:, None]]

    def tangent(self, X, rng):
        """A map of (n,) no less than that by the squared derivative of the predictions."""
        v, others = self.factors[1], self._others()
        square = self._sums(v**2) * (1 if others is None else np.sum(others**2, axis=0))
        square = square if self._block is None else square[self._block]
        square = (square + self._heads() ** 2)[:, 0]
        return lambda x: X @ (square * (X.T @ x))

    def bend(self, X, R, rng):
        """The rest of the largest curvature: what the gradient by c does to u and v."""
        slope = np.sqrt(self._sums((X.T @ R) ** 2).max(initial=0))
        largest = max(np.abs(factor).max(initial=0) for factor in self.factors)
        return slope * max(1.0, largest) ** (len(self.factors[0]) - 1)


class Rotations:
    """Coefficients (p, q) as ``U V^T``.

    Attributes
    ----------
    factors : list of two ndarrays
        U (p, r) and V (q, r), r the smaller of p and q.
    """

    def __init__(self, p, q):
        self.factors = [np.zeros((p, min(p, q))), np.zeros((q, min(p, q)))]
        np.fill_diagonal(self.factors[0 if p <= q else 1], _START)

    def components(self):
        """The coefficients."""
        U, V = self.factors
        return U @ V.T

    def predict(self, X):
        """``X U V^T``, without the product of the factors."""
        self._moved = X @ self.factors[0]
        return self._moved @ self.factors[1].T

    def gradients(self, X, R):
        """Those of a loss with the derivatives R (n, q) by the predictions just made."""
        return [X.T @ (R @ self.factors[1]), R.T @ self._moved]

    def spread(self, decay):
        """Decay (1,) for each factor."""
        return [decay, decay]

    def tangent(self, X, rng):
        """A map of (n,) no less than that by the squared derivative of the predictions."""
        U, V = self.factors
        wide = largest(lambda x: V.T @ (V @ x), V.shape[1], rng)

        def apply(x):
            back = X.T @ x
            return X @ (U @ (U.T @ back) + wide * back)

        return apply

    def bend(self, X, R, rng):
        """The rest of the largest curvature: what the gradient by W does to U and V."""
        G = X.T @ R
        return np.sqrt(largest(lambda x: G.T @ (G @ x), G.shape[1], rng))


def largest(apply, n, rng):
    """The largest eigenvalue of a symmetric map of (n,) that has no negative ones, nearly."""
    x = rng.normal(size=n)
    for _ in range(_POWER_STEPS):
        x = apply(x / np.linalg.norm(x))
        if not np.any(x):
            return 0.0
    return float(np.linalg.norm(x))
