"""What identifies a vector field: who acts on which columns, and sparse functions at the end."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sksym._linalg import independent_rows, one_thread
from sksym.algebras import LieAlgebra, flat_generators
from sksym.equivariant import on_features
from sksym.promote.fitting import fitted_at
from sksym.promote.problem import PromotionProblem
from sksym.promote.sparse import Sparsity, sparsest_rows
from sksym.representations import columns, vector
from sksym.spectra import readable

_EXACT = 1e-6  # change along a symmetry relative to the function, where it was enforced


def acting(algebra, states, d):
    """An algebra on all d columns, from one on the `states` among them or on all."""
    algebra = algebra(len(states)) if callable(algebra) else algebra
    if isinstance(algebra, LieAlgebra) and algebra.n_features == len(states) < d:
        algebra = algebra.on_columns(states.tolist(), d)
    return on_features(algebra, None, d)[0]


def field_problem(algebra, candidates, library, X, states):
    """Vector fields on the columns `states` of X in a library; algebras act on all columns."""
    d = X.shape[1]
    moving = algebra is not None or candidates is not None
    output = vector if len(states) == d else columns(*states.tolist())
    who = SimpleNamespace(
        algebra=algebra,
        candidates=LieAlgebra(np.zeros((0, d, d))) if candidates is None else candidates,
        group=None,
        library=library,
        output=output if moving else None,
    )
    return PromotionProblem.of(who, X, len(states))


def identified(samples, model, options):
    """Promote, decide, make the result sparse inside what is left: fitted attributes by name."""
    with one_thread():
        fit = fitted_at(samples, model.alpha, model.ridge, options, True)
        coef = fit.coef
        if model.threshold > 0 or model.l1 > 0:
            sparsity = Sparsity(float(model.threshold), float(model.l1))
            coef = _sparse_coef(fit.samples, sparsity, model.ridge)
    if not np.isfinite(coef).all():
        raise ValueError("The solution overflows: rescale the data, or increase `ridge`.")
    if fit.final.relative_gap > options.tol:
        warnings.warn(
            f"The duality gap is {fit.final.relative_gap:.2g} of the objective after "
            f"{fit.n_iter} iterations, "
            f"more than tol={options.tol:.2g}: increase `max_iter` or `tol`.",
            ConvergenceWarning,
            stacklevel=5,
        )
    problem = fit.samples.problem
    C, _ = readable(problem.candidates, fit.C if _unmoved(problem, coef, fit.C) else fit.C[:0])
    kept, enforced = problem.candidates.combine(C), samples.problem.space.algebra
    algebra = kept if enforced is None else _independent(enforced + kept)
    return {
        "library_": fit.library,
        "coef_": coef,
        "algebra_": algebra,
        "n_symmetries_": algebra.dim,
        "n_free_": problem.space.n_free,
        "singular_values_": fit.singular_values,
        "dual_gap_": fit.final.gap,
    }


def _unmoved(problem, coef, C):
    """Whether the candidates C (k, r) are symmetries of what was made sparse, not just nearly."""
    size = np.linalg.norm(coef @ problem.L.E)
    moved = np.array([np.linalg.norm(problem.L(c, coef)) for c in C])
    eta = C @ np.linalg.pinv(problem.L.generators)
    return (moved <= _EXACT * size * np.linalg.norm(eta, axis=1)).all()


def _independent(algebra):
    """The algebra without generators that are combinations of the others."""
    kept = independent_rows(flat_generators(algebra.linear, algebra.offset))
    names = [algebra.names[a] for a in kept]
    return LieAlgebra(algebra.linear[kept], algebra.offset[kept], names)


def _sparse_coef(samples, sparsity, ridge):
    """Coefficients (q, p), exactly zero outside a few functions with the symmetry."""
    space, library = samples.problem.space, samples.problem.space.library
    p = library.n_output_features_
    # In plain monomials, so that a threshold means what it says.
    change = np.ones(p)
    if hasattr(library, "monomial_coef") and not np.any(library.center_):
        change = np.diag(library.monomial_coef(np.eye(p)))
    blocks = space.basis.shape[1] // p
    to_plain = sparse.diags_array(np.tile(change, blocks))
    rows = sparsest_rows(space.basis @ to_plain)
    back = sparse.csr_array(rows @ sparse.diags_array(np.tile(1 / change, blocks)))
    samples = samples.seen_by(replace(samples.problem, space=replace(space, basis=back)))
    data = samples.data(ridge)
    return samples.problem.coef(np.array([sparsity.active(data.R, y) for y in data.Y.T]))
