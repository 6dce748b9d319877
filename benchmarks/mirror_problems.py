"""The problems of bench_mirror.py, with objectives and duality gaps independent of any library.

All minimise 1/(2n) ||y - X w||^2 + alpha penalty(w) without an intercept. The dual point is the
residual, made orthogonal to what the penalty leaves free and scaled as well as one number can:
theta = s r / n with penalty.dual_norm(X^T theta) <= alpha, for which the dual objective is
y^T theta - n/2 ||theta||^2. Every dual norm here has a closed form.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.sparse import eye_array

SHARES = (0.1, 0.01)  # of alpha_max
TARGET = 1e-6  # gap relative to the objective


# Penalties -------------------------------------------------------------------------------------


class Norms:
    """sqrt(size) times the norm of each group of so many neighbours; of size 1, the lasso."""

    has_free_constant = False

    def __init__(self, size=1):
        self.size = size

    def columns(self, p):
        return list(np.arange(p).reshape(-1, self.size))

    def value(self, w):
        return np.sqrt(self.size) * np.linalg.norm(w.reshape(-1, self.size), axis=1).sum()

    def dual_norm(self, v):
        return np.linalg.norm(v.reshape(-1, self.size), axis=1).max() / np.sqrt(self.size)


class OverlappingNorms:
    """The same with groups of two neighbouring blocks, so that all but the outer blocks are in two.

    In the dual norm a block v_k is shared, v_k - u_k for the group that it begins and u_k for the
    one that it ends. With norms of at most c the first k groups leave every |u_k| <= r_k, where
    r_k+1^2 = c^2 - max(0, |v_k| - r_k)^2; so the least c is found by bisection.
    """

    has_free_constant = False

    def __init__(self, size):
        self.size = size

    def columns(self, p):
        return [np.arange(j, j + self.size) for j in range(0, p - self.size // 2, self.size // 2)]

    def value(self, w):
        groups = np.stack([w[columns] for columns in self.columns(len(w))])
        return np.sqrt(self.size) * np.linalg.norm(groups, axis=1).sum()

    def dual_norm(self, v):
        first, *blocks = np.linalg.norm(v.reshape(-1, self.size // 2), axis=1).tolist()

        def within(c):
            squared = c**2 - first**2
            for block in blocks:
                if squared < 0:
                    return False
                rest = max(0.0, block - squared**0.5)
                squared = c**2 - rest**2
            return rest == 0

        low, high = 0.0, np.linalg.norm(v)
        while high - low > 1e-15 * high:
            c = (low + high) / 2
            if c in (low, high):
                break
            low, high = (low, c) if within(c) else (c, high)
        return high / np.sqrt(self.size)


class Jumps:
    """|w_i+1 - w_i| summed: sqrt 2 times what the mirrors (e_i+1 - e_i) / sqrt 2 penalise."""

    has_free_constant = True

    def value(self, w):
        return np.abs(np.diff(w)).sum()

    def dual_norm(self, v):
        return np.abs(np.cumsum(v)[:-1]).max()


class NuclearNorm:
    has_free_constant = False

    def value(self, w):
        return np.linalg.norm(w, "nuc")

    def dual_norm(self, v):
        return np.linalg.norm(v, 2)


# Problems --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Problem:
    """w is (p,), or (p, q) with several outputs; `goal` is of seconds, relative to `rivals`."""

    title: str
    X: Any
    y: np.ndarray
    penalty: Any
    goal: float
    rivals: tuple[str, ...]

    def feasible(self, residual):
        """The residual without what the penalty leaves free."""
        if not self.penalty.has_free_constant:
            return residual
        u = self.X @ np.ones(self.X.shape[1])
        return residual - u * (u @ residual / (u @ u))

    def alpha_max(self):
        """The least alpha with which nothing penalised is left."""
        return self.penalty.dual_norm(self.X.T @ self.feasible(self.y)) / len(self.y)

    def objective(self, w, alpha):
        loss = np.sum((self.y - self.X @ w) ** 2) / (2 * len(self.y))
        return loss + alpha * self.penalty.value(w)

    def relative_gap(self, w, alpha):
        n, primal = len(self.y), self.objective(w, alpha)
        r = self.feasible(self.y - self.X @ w)
        square, product = np.sum(r**2), np.sum(self.y * r)
        largest = alpha * n / self.penalty.dual_norm(self.X.T @ r)
        s = np.clip(product / square, -largest, largest)
        return (primal - (s * product - s**2 * square / 2) / n) / primal


def with_noise(signal, rng, ratio):
    """Of unit variance; `ratio` is of standard deviations, the signal's to the noise's."""
    y = signal / signal.std() + rng.normal(size=signal.shape) / ratio
    return y / y.std()


def autoregressive(n, p, rng, correlation=0.5):
    """Neighbouring columns correlate by 0.5, the next but one by 0.25, and so on."""
    E = rng.normal(size=(n, p))
    E[:, 1:] *= np.sqrt(1 - correlation**2)
    return np.asfortranarray(lfilter([1.0], [1.0, -correlation], E, axis=1))


def gene_like(n, p, rng, block=50):
    """Blocks of 50 columns share a factor, with a correlation of 0.5 to 0.9 within each."""
    share = np.repeat(rng.uniform(0.5, 0.9, p // block), block)
    factors = np.repeat(rng.normal(size=(n, p // block)), block, axis=1)
    own = rng.normal(size=(n, p))
    return np.asfortranarray(np.sqrt(share) * factors + np.sqrt(1 - share) * own)


def sparse_truth(p, size, n_active, rng):
    """Normal coefficients in so many groups, zero elsewhere."""
    w = np.zeros((p // size, size))
    w[rng.choice(p // size, n_active, replace=False)] = rng.normal(size=(n_active, size))
    return w.ravel()


def steps_truth(p, n_jumps, rng):
    """Piecewise constant with normal levels."""
    jumps = np.zeros(p, dtype=int)
    jumps[rng.choice(np.arange(1, p), n_jumps, replace=False)] = 1
    return rng.normal(size=n_jumps + 1)[np.cumsum(jumps)]


def lasso_tall(rng):
    X = autoregressive(1000, 5000, rng)
    y = with_noise(X @ sparse_truth(5000, 1, 100, rng), rng, 3)
    return Problem("lasso 1000 x 5000", X, y, Norms(), 1.5, CODES)


def groups_tall(rng):
    X = autoregressive(1000, 5000, rng)
    y = with_noise(X @ sparse_truth(5000, 10, 10, rng), rng, 3)
    return Problem("groups of 10, 1000 x 5000", X, y, Norms(10), 1.0, CODES)


def lasso_wide(rng):
    X = gene_like(100, 20000, rng)
    y = with_noise(X @ sparse_truth(20000, 1, 20, rng), rng, 3)
    return Problem("lasso 100 x 20000", X, y, Norms(), 1.5, CODES)


def groups_wide(rng):
    X = gene_like(100, 20000, rng)
    y = with_noise(X @ sparse_truth(20000, 10, 5, rng), rng, 3)
    return Problem("groups of 10, 100 x 20000", X, y, Norms(10), 0.5, CODES)


def low_rank_outputs(rng):
    X = np.asfortranarray(rng.normal(size=(500, 200)))
    truth = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 50))
    y = with_noise(X @ truth, rng, 3)
    return Problem("low rank 500 x 200, 50 outputs", X, y, NuclearNorm(), 0.01, ("SCS",))


def fused(rng):
    X = np.asfortranarray(rng.normal(size=(500, 2000)))
    y = with_noise(X @ steps_truth(2000, 20, rng), rng, 3)
    return Problem("fused chain 500 x 2000", X, y, Jumps(), 1.0, (*CODES, *CONIC))


def overlapping(rng):
    X = np.asfortranarray(rng.normal(size=(500, 2000)))
    y = with_noise(X @ sparse_truth(2000, 10, 10, rng), rng, 3)
    return Problem("overlapping groups 500 x 2000", X, y, OverlappingNorms(10), 0.1, CONIC)


def denoising(rng, n=100_000):
    y, X = with_noise(steps_truth(n, 50, rng), rng, 2), eye_array(n, format="csr")
    return Problem("chain denoising, 100,000 points", X, y, Jumps(), 0.5, ())


CODES = ("scikit-learn", "skglm", "celer")
CONIC = ("SCS", "Clarabel")
PROBLEMS = {
    "lasso": lasso_tall,
    "groups": groups_tall,
    "lasso-wide": lasso_wide,
    "groups-wide": groups_wide,
    "low-rank": low_rank_outputs,
    "fused": fused,
    "overlapping": overlapping,
    "denoising": denoising,
}


def make(name):
    """The problem of that name, the same wherever it is made."""
    return PROBLEMS[name](np.random.default_rng(list(PROBLEMS).index(name)))
