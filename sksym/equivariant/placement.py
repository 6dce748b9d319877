"""Where a library belongs: centred at the fixed point of a symmetry, scaled to the data."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.base import clone

from sksym.algebras import LieAlgebra
from sksym.groups import FiniteGroup
from sksym.libraries import library_values, n_functions


def placement(low, high, algebra, group):
    """Where a library should be centred and how it should be scaled.

    Parameters
    ----------
    low, high : ndarray of shape (d,)
        Range of the data.
    algebra : LieAlgebra or None
    group : FiniteGroup or None

    Returns
    -------
    center : ndarray of shape (d,)
        The fixed point of the symmetry nearest the middle of the range, for every set of
        coordinates that it mixes; the middle itself for a set without fixed point.
    scale : ndarray of shape (d,)
        A power of two for every such set.
    """
    d = len(low)
    center = (low + high) / 2.0
    fields, shifts, mixing = np.zeros((0, d, d)), np.zeros((0, d)), np.eye(d)
    if algebra is not None and algebra.dim:
        mixing = mixing + np.abs(algebra.linear).sum(axis=0)
        fields, shifts = _few(algebra.linear, algebra.offset, d + 1)
    if group is not None:
        moved = group.matrices - np.eye(d)
        mixing = mixing + np.abs(moved).sum(axis=0)
        fields, shifts = (
            np.concatenate([fields, moved]),
            np.concatenate([shifts, np.zeros((len(moved), d))]),
        )
    _, label = connected_components(sparse.csr_array(mixing), directed=False)
    scale = np.ones(d)
    for mine in (np.flatnonzero(label == k) for k in range(label.max() + 1)):
        A = fields[:, mine[:, None], mine].reshape(-1, len(mine))
        b = shifts[:, mine].ravel()
        correction = np.linalg.lstsq(A, -b - A @ center[mine], rcond=1e-10)[0] if A.any() else 0.0
        fixed = center[mine] + correction
        size = np.abs(A) @ (np.abs(fixed) + np.abs(center[mine])) + np.abs(b)
        if (np.abs(A @ fixed + b) <= 1e-9 * size.max(initial=0)).all():
            largest = max(np.abs(fixed).max(), np.abs(center[mine]).max())
            fixed[np.abs(fixed) <= 1e-13 * largest] = 0
            center[mine] = fixed
        reach = np.maximum(np.abs(high[mine] - center[mine]), np.abs(low[mine] - center[mine]))
        scale[mine] = np.exp2(np.ceil(np.log2(reach.max()))) if reach.max() > 0 else 1.0
    return center, scale


def place(template, X, algebra=None, group=None, near=None):
    """A fitted copy of a library, centred and scaled for a symmetry where it can be.

    Parameters
    ----------
    near : ndarray of shape (d,), default=None
        Take the fixed point nearest to this point; None: to the middle of the data's range.

    Returns
    -------
    library : fitted library
    extremes : ndarray
        The few rows that the library's place depends on; the range of `X` where it does not say.
    """
    missing = [name for name in ("fit", "transform", "jacobian") if not hasattr(template, name)]
    if missing:
        raise TypeError(
            f"`library` must be a library, got {template!r} without {', '.join(missing)}: wrap a "
            "scikit-learn transformer with from_transformer, a pysindy library with from_pysindy."
        )
    library, low, high = clone(template), X.min(axis=0), X.max(axis=0)
    if hasattr(library, "set_output"):
        library.set_output(transform="default")
    rows = extremes = library.extremes(X) if hasattr(library, "extremes") else X
    if rows is X:
        extremes = np.array([low, high])
    known = library.get_params(deep=False)
    if "center" in known and "scale" in known:
        center = known["center"]
        if center is None:
            center, _ = placement(*((low, high) if near is None else (near, near)), algebra, group)
        # The scale as seen from the centre that is used.
        reach = np.maximum(np.abs(high - center), np.abs(low - center))
        _, scale = placement(center - reach, center + reach, algebra, group)
        library.set_params(center=center, scale=scale if known["scale"] is None else known["scale"])
    library.fit(rows)
    library.n_output_features_ = n_functions(library, X)
    library.n_features_in_ = X.shape[1]
    return library, extremes


def on_features(algebra, group, d):
    """The algebra and the group for data with d features, checked.

    Callables (``so``, ``permutations``) are called with d.
    """
    resolved = []
    for value, kind, name in ((algebra, LieAlgebra, "algebra"), (group, FiniteGroup, "group")):
        value = value(d) if callable(value) else value
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"`{name}` must be a {kind.__name__}, or a function of the number of features "
                f"that makes one, got {value!r}."
            )
        if value is not None and value.n_features != d:
            raise ValueError(
                f"`{name}` acts on R^{value.n_features}, but X has {d} features: build it on "
                f"R^{d}, or name the {value.n_features} columns it moves with on_columns."
            )
        resolved.append(value)
    return resolved


def _few(linear, offset, k):
    """At most k random combinations of the generators: they have the same common fixed points."""
    if len(linear) <= k:
        return linear, offset
    C = np.random.default_rng(0).normal(size=(k, len(linear)))
    return np.tensordot(C, linear, 1), C @ offset


def probe_points(X, n):
    """2 n points: rows of `X`, and points scattered around them as far as the data reach.

    What holds there identically holds for the functions near the data, not by accident of a row.
    """
    rng = np.random.default_rng(0)
    chosen = X[rng.choice(len(X), n, replace=len(X) < n)]
    half = np.ptp(X, axis=0) / 2
    half[half == 0] = half.max(initial=0) or np.abs(X).max(initial=0) or 1.0
    return np.concatenate([chosen, chosen + rng.uniform(-1, 1, chosen.shape) * half])


def constant_functions(library, X):
    """Indices of the library functions that do not vary and do not vanish."""
    points = probe_points(X, 20)
    phi, slopes = library_values(library, points), library.jacobian(points)
    flat = (slopes == 0).all(axis=(0, 2)) & (phi == phi[0]).all(axis=0)
    return np.flatnonzero(flat & (phi[0] != 0))
