"""Who acts beyond affine motions: vector fields whose components lie in a library."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sksym.algebras.affine import SHOWN, combination, frozen


@dataclass(frozen=True, eq=False, repr=False)
class VectorFields:
    """Candidate motions beyond affine: fields whose components lie in a library.

    Field ``a`` is ``sum_k coef[a, :, k] phi_k(x)``.

    Parameters
    ----------
    library : fitted library
        Gives ``transform`` (n, p) and ``jacobian`` (n, p, d).
    coef : array-like of shape (r, d, p)
    names : sequence of r str, default=None
    """

    library: object
    coef: np.ndarray
    names: Sequence[str] | None = None

    def __post_init__(self):
        coef, functions = frozen(self.coef), self.library.get_feature_names_out()
        d, p = self.library.n_features_in_, len(functions)
        if coef.ndim != 3 or coef.shape[1:] != (d, p):
            raise ValueError(f"`coef` must have shape (r, {d}, {p}), got {coef.shape}.")
        if not np.isfinite(coef).all():
            raise ValueError("`coef` holds NaN or infinity: fields are finite.")
        names = self.names
        if names is None:
            if hasattr(self.library, "monomial_coef"):
                functions = self.library.monomial_names
                shown = self.library.monomial_coef(coef.reshape(-1, p)).reshape(coef.shape)
            else:
                shown = coef
            shown = np.where(np.abs(shown) > 1e-12 * np.abs(shown).max(initial=0), shown, 0.0)
            terms = [
                f"{'' if name == '1' else f'{name} '}∂{i}" for i in range(d) for name in functions
            ]
            names = [combination(row, terms) for row in shown.reshape(len(coef), d * p)]
        if len(names) != len(coef):
            raise ValueError(f"Got {len(names)} names for {len(coef)} fields.")
        object.__setattr__(self, "coef", coef)
        object.__setattr__(self, "names", tuple(names))

    @property
    def dim(self):
        return self.coef.shape[0]

    @property
    def n_features(self):
        return self.coef.shape[1]

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return type(self), (self.library, self.coef, self.names)

    def __repr__(self):
        shown = ", ".join(self.names[:SHOWN]) + (", ..." if self.dim > SHOWN else "")
        return f"VectorFields(dim={self.dim}, n_features={self.n_features}: {shown or 'none'})"

    def vector_field(self, X):
        """The fields at every row of `X`: shape (n, r, d)."""
        return np.einsum("adp,np->nad", self.coef, self.library.transform(X))

    def jacobian(self, X):
        """Derivatives ``d field_i / d x_j`` at every row of `X`: shape (n, r, d, d)."""
        return np.einsum("aip,npj->naij", self.coef, self.library.jacobian(X))

    def combine(self, C):
        """The ``k`` combinations ``sum_a C[:, a] field_a``, `C` (k, r)."""
        C = np.asarray(C, float)
        if C.ndim != 2 or C.shape[1] != self.dim:
            raise ValueError(f"`C` must have shape (k, {self.dim}), got {C.shape}.")
        return VectorFields(self.library, np.tensordot(C, self.coef, 1))


def vector_fields(library):
    """All vector fields whose components are functions of a fitted `library`: ``d p`` of them.

    For polynomials the fields ``x^a ∂i`` of plain monomials.
    """
    p = len(library.get_feature_names_out())
    d, functions = library.n_features_in_, np.eye(p)
    if hasattr(library, "monomial_coef"):
        functions = np.linalg.inv(library.monomial_coef(functions))
    return VectorFields(library, np.kron(np.eye(d), functions).reshape(d * p, d, p))
