import numpy as np
from scipy import sparse


def weak_operator(t, indices, *, n_windows=None, width=None, order=8, rule="prod"):
    data_V, data_W, cols, counts = [], [], [], []
    for index in indices:
        n = len(index)
        w = min(width, n)
        K = n_windows
        starts = np.unique(np.linspace(0, n - w, K).round().astype(int))
        where = starts[:, None] + np.arange(w)
        V, W = _weights(t[index][where], order, rule)
        data_V.append(V.ravel()); data_W.append(W.ravel()); cols.append(index[where].ravel())
        counts.append(np.full(len(V), w))
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    c = np.concatenate(cols)
    shape = (len(indptr) - 1, len(t))
    return tuple(sparse.csr_array((np.concatenate(d), c, indptr), shape=shape) for d in (data_V, data_W))


def _weights(T, order, rule):
    half = (T[:, -1:] - T[:, :1]) / 2
    s = (T - T[:, :1]) / half - 1
    if rule == "trap":
        gaps = np.diff(T)
        q = np.zeros_like(T); q[:, 1:] += gaps / 2; q[:, :-1] += gaps / 2
        V = q * (1 - s**2) ** order
        W = q * 2 * order * s * (1 - s**2) ** (order - 1) / half
    else:
        bump = np.polynomial.Polynomial([1, 0, -1]) ** order
        P = np.diff(bump.integ()(s)); ds = np.diff(s)
        Q = np.diff(-((1 - s**2) ** (order + 1)) / (2 * order + 2))
        left = (Q - s[:, :-1] * P) / ds
        V = np.zeros_like(s); V[:, 1:] += left; V[:, :-1] += P - left
        V *= half
        m = P / ds
        W = np.zeros_like(s); W[:, 1:] += m; W[:, :-1] -= m
    norm = np.linalg.norm(W, axis=1, keepdims=True)
    return V / norm, W / norm
