"""Who acts, discretely: finite groups given by matrices of generating elements."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from sksym._linalg import column_indices


@dataclass(frozen=True, eq=False, repr=False)
class FiniteGroup:
    """Generating elements ``x -> g x`` of a discrete group.

    Parameters
    ----------
    matrices : array-like of shape (k, d, d)
        Invertible matrices; generating elements suffice.
    names : sequence of k str, default=None

    Attributes
    ----------
    n_features : int
        Dimension ``d`` of the space that is acted on.
    """

    matrices: np.ndarray
    names: Sequence[str] | None = None

    def __post_init__(self):
        matrices = np.array(self.matrices, dtype=float)
        if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2]:
            raise ValueError(
                f"`matrices` must have shape (k, d, d), got {matrices.shape}: "
                "stack the square matrices of the elements along the first axis."
            )
        for k, g in enumerate(matrices):
            if not np.isfinite(g).all():
                raise ValueError(f"Element {k} holds NaN or infinity: group elements are finite.")
            # Rows and columns of unit size first: elements may mix units.
            scaled = g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-300)
            scaled = scaled / np.maximum(np.linalg.norm(scaled, axis=0), 1e-300)
            if g.size and np.linalg.cond(scaled) > 1e12:
                raise ValueError(f"Element {k} is singular: group elements are invertible.")
        matrices.setflags(write=False)
        names = self.names
        names = tuple(f"g{k}" for k in range(len(matrices)) if names is None) or tuple(names or ())
        if len(names) != len(matrices):
            raise ValueError(f"Got {len(names)} names for {len(matrices)} elements.")
        object.__setattr__(self, "matrices", matrices)
        object.__setattr__(self, "names", names)

    @property
    def n_features(self):
        return self.matrices.shape[1]

    def __deepcopy__(self, memo):
        return self  # immutable: `clone` and `get_params` share it

    def __reduce__(self):
        return type(self), (self.matrices, self.names)  # arrays stay read-only

    def __repr__(self):
        return f"FiniteGroup({', '.join(self.names)} on R^{self.n_features})"

    def repeat(self, k):
        """The same elements acting on `k` points stored side by side."""
        matrices = [block_diag(*[g] * k) for g in self.matrices]
        size = k * self.n_features
        return FiniteGroup(np.reshape(matrices, (len(matrices), size, size)), self.names)

    def on_columns(self, columns, n_features):
        """Let the group act on some columns only; arguments as in ``LieAlgebra.on_columns``."""
        columns, n_features = column_indices(columns, n_features, self.n_features)
        matrices = np.tile(np.eye(n_features), (len(self.matrices), 1, 1))
        matrices[:, columns[:, None], columns] = self.matrices
        return FiniteGroup(matrices, self.names)


def reflections(d):
    """Sign flip of each coordinate."""
    flips = np.ones((d, d)) - 2 * np.eye(d)
    return FiniteGroup(flips[:, :, None] * np.eye(d), [f"-x{i}" for i in range(d)])


def permutations(m, block=1):
    """All permutations of `m` groups of `block` consecutive columns: a swap and a cycle."""
    if m < 1 or block < 1:
        raise ValueError(f"permutations needs m >= 1 and block >= 1, got m={m}, block={block}.")
    unit, eye = np.eye(block), np.eye(m)
    swap = np.r_[1, 0, 2:m] if m > 1 else np.zeros(1, int)
    cycle = np.roll(np.arange(m), 1)
    chosen = {"swap": swap, "cycle": cycle} if m > 2 else {"swap": swap}
    return FiniteGroup([np.kron(eye[order], unit) for order in chosen.values()], list(chosen))


def cyclic(d, order):
    """Rotation by ``2 pi / order`` in the plane of the first two of `d` coordinates."""
    if d < 2 or order < 1 or order != int(order):
        raise ValueError(
            f"cyclic needs d >= 2 and a whole number order >= 1, got d={d}, order={order}."
        )
    angle = 2 * np.pi / order
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    g = np.eye(d)
    g[:2, :2] = np.where(np.abs(turn) < 1e-15, 0.0, turn)  # a quarter turn maps axes to axes
    return FiniteGroup(g[None], [f"1/{order} turn"])
