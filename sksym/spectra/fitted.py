"""Evidence from samples of a function: a least-squares fit in a library, and its covariance."""

from functools import partial

import numpy as np
from scipy import sparse
from scipy.linalg import svd

from sksym._linalg import merge_rows, one_thread
from sksym.algebras import LieAlgebra
from sksym.equivariant import constant_functions, equivariant_basis
from sksym.libraries import NotClosedError, library_values, row_blocks
from sksym.lie_derivative import LieDerivative
from sksym.spectra.evidence import FittedEvidence
from sksym.spectra.selection import select, verdict
from sksym.spectra.snapping import exact_forms, fitted_conjugate, in_units_of

_ROWS_PER_FUNCTION = 5  # from which a sandwich covariance is trusted
_DIFFER = 5.0  # standard errors by which the errors of two outputs differ


def fitted_symmetries(
    library,
    candidates,
    B,
    X,
    Y,
    weight,
    *,
    beside=None,
    count="auto",
    snap=True,
    max_defect=0.1,
    robust="auto",
    operator=None,
    share=None,
):
    """Which candidates leave the function Y of X unchanged, by a fit in a library.

    Least squares, then selection by enforcing; see `select`. With ``robust="auto"`` errors of
    unequal size are allowed for where errors of equal size let nothing be found. The symmetries
    `beside` (algebra, B) hold anyhow. With an `operator` the fit is of the rows
    ``Y = operator(phi(X)) coef^T``, weighted by `share`.

    Returns
    -------
    evidence : FittedEvidence
    found : Verdict
    """

    def decided(evidence):
        def enforced(C):
            return symmetric_functions(library, candidates, C, B, X, Y.shape[1], beside)

        seen = in_units_of(X, candidates)
        tune = partial(fitted_conjugate, seen, evidence=evidence, enforced=enforced)
        proposals = partial(exact_forms, seen, tune=tune) if snap else None
        with one_thread():
            if count == "auto" and snap:
                return select(evidence, enforced, max_defect, proposals)
            return verdict(evidence, count, max_defect, proposals)

    data = library, candidates, B, X, Y, weight
    evidence = fitted_evidence(*data, robust is True, operator, share)
    found = decided(evidence)
    plenty = weight.sum() >= _ROWS_PER_FUNCTION * library.n_output_features_
    if robust == "auto" and plenty and not len(found.generators):
        again = fitted_evidence(*data, True, operator, share)
        found_again = decided(again)
        if len(found_again.generators):
            return again, found_again
    return evidence, found


def symmetric_functions(library, candidates, C, B, X, q, beside=None):
    """Basis (k, q p) of the functions with the symmetries C (k, r); None where none varies."""
    algebra, output = candidates.combine(C), None if B is None else np.tensordot(C, B, 1)
    if beside is not None:
        algebra = algebra + beside[0]
        output = None if B is None else np.concatenate([output, beside[1]])
    basis = equivariant_basis(library, algebra, output=output, points=X)
    if B is None:
        basis = sparse.kron(sparse.eye_array(q), basis)
    basis, p = basis.toarray(), library.n_output_features_
    varying = np.delete(basis.reshape(-1, p), constant_functions(library, X), axis=1)
    return basis if varying.any() else None


def fitted_evidence(library, candidates, B, X, Y, weight, robust=False, operator=None, share=None):
    """The least-squares fit of Y in a library, and the candidates that might leave it unchanged.

    With errors of equal size, or with the HC3 sandwich covariance where they differ
    (MacKinnon and White 1985), which takes a second pass over the data.
    """
    share = weight if share is None else share  # of the rows that are fitted
    n, q, p = share.sum(), Y.shape[1], library.n_output_features_
    factor = weighted_factor(library, X, share, Y, operator)
    U, s, Vt = svd(factor[:p, :p] / np.sqrt(n))
    rank = int((s > 1e-11 * s.max(initial=0)).sum())
    seen, spread = Vt[:rank].T * s[:rank], Vt[:rank].T / s[:rank]
    u = (U[:, :rank].T @ factor[:p, p:] / np.sqrt(n)).T
    left = np.vstack([U[:, rank:].T @ factor[:p, p:], factor[p:, p:]])
    dof = q * (n - rank)
    round_off = (1e-12 * np.linalg.norm(factor[:, p:])) ** 2 / n  # is noise too
    noise = output_noise(np.sum(left**2, axis=0), n - rank, round_off)
    noise = np.repeat(noise / np.sqrt(n), rank) if np.ndim(noise) else noise / np.sqrt(n)
    coef = u @ spread.T
    if robust and dof > 0:
        errors = sandwich(library, X, share, Y, coef, spread, operator)
        noise = np.hstack([errors, np.sqrt(round_off / n) * np.eye(q * rank)])
    tests = sparse.csr_array(factor[:p, :p].T / np.sqrt(n))
    # Defects are relative to what the fit varies, not to noise that it leaves.
    mean = share @ Y / n
    varied = np.sqrt(max(np.mean(np.sum(u**2, axis=1) - mean**2), 0.0))
    scale = output_scale(Y, share)
    scale = varied if varied > 1e-9 * scale else scale
    return FittedEvidence(
        L=derivative_on(library, candidates, B, X, weight, tests),
        coef=coef,
        seen=seen,
        spread=spread,
        unseen=Vt[rank:].T,
        noise=noise,
        dof=dof,
        n=n * q,
        motion=motion(candidates, X, weight, None if B is None else (B, Y, share), scale),
        output_scale=scale,
    )


def output_noise(rss, dof, round_off):
    """Standard deviation of the errors: of each output (q,) where they differ, else of all."""
    if dof <= 0:
        return 0.0
    variance = np.maximum(rss / dof, round_off)
    # The logarithm of an estimated variance has the variance 2 / dof.
    differ = variance.max() > variance.min() * np.exp(_DIFFER * np.sqrt(2 / dof))
    return np.sqrt(variance if differ else max(rss.mean() / dof, round_off))


def derivative_on(library, candidates, B, X, weight, tests):
    """The Lie derivative in tests that are orthonormal on the data.

    `tests` (p, m): the values of the library functions in such tests.
    """
    r = candidates.dim
    try:
        D = sparse.csr_array(library.lie_matrices(candidates) @ sparse.kron(np.eye(r), tests))
    except (NotClosedError, AttributeError):
        return LieDerivative.sampled(library, candidates, B, X, weight).in_own_generators()
    return LieDerivative(D, tests, B, np.eye(r))


def weighted_factor(library, X, weight, Y=None, operator=None):
    """R factor of the rows ``sqrt(w) [phi(x), y]``, streamed."""
    factor, p = None, library.n_output_features_
    # Factorising is fastest in blocks that fit the cache but are four times as long as wide.
    with one_thread():
        for rows, values in _values(library, X, max(min(8 * p, 2**18 // p), 1), operator):
            values = values if Y is None else np.hstack([values, Y[rows]])
            factor = merge_rows(factor, values * np.sqrt(weight[rows])[:, None])
    width = factor.shape[1]
    return np.pad(factor, ((0, max(width - len(factor), 0)), (0, 0)))


def _values(library, X, width, operator=None):
    """Library values in blocks of rows, ``(rows, values)``; through an operator all at once."""
    if operator is not None:
        yield slice(None), operator(library_values(library, X))
        return
    for rows in row_blocks(len(X), width):
        yield rows, library_values(library, X[rows])


def motion(candidates, X, weight, outputs=None, scale=1.0):
    """Mean square (r, r) of the candidate fields, in units of the spread of the data.

    Of their outputs ``B y`` too, in units of `scale`: ``outputs = (B, Y, weight of its rows)``.
    """
    r, factor, total = candidates.dim, None, weight.sum()
    affine = isinstance(candidates, LieAlgebra)
    with one_thread():
        for rows in row_blocks(len(X), X.shape[1] * (1 if affine else r)):
            root = np.sqrt(weight[rows] / total)[:, None]
            if affine:
                values = np.hstack([root, X[rows] * root])
            else:
                values = candidates.vector_field(X[rows]) * root[:, None]
                values = values.transpose(0, 2, 1).reshape(-1, r)
            factor = merge_rows(factor, values)
    if affine:  # from the second moments of (1, x), whatever n
        fields = np.concatenate([candidates.offset[:, :, None], candidates.linear], axis=2)
        factor = (fields @ factor.T).reshape(r, fields.shape[1] * len(factor)).T
    factor = factor / (pooled_spread(X, weight) or 1.0)
    square = factor.T @ factor
    if outputs is not None:
        B, Y, share = outputs
        R = merge_rows(None, Y * np.sqrt(share / share.sum())[:, None])
        outputs = (B @ R.T).reshape(r, B.shape[1] * len(R)) / scale
        square = square + outputs @ outputs.T
    return square


def pooled_spread(values, weight):
    """Standard deviation, pooled over the columns."""
    total, square = weight.sum(), 0.0
    mean = weight @ values / total
    for rows in row_blocks(len(values), values.shape[1]):
        square = square + weight[rows] @ (values[rows] - mean) ** 2
    return np.sqrt(np.mean(square) / total)


def output_scale(Y, weight):
    """Spread of the outputs; of a constant field, its size."""
    spread, mean = pooled_spread(Y, weight), weight @ Y / weight.sum()
    size = np.sqrt(spread**2 + np.mean(mean**2))
    return (spread if spread > 1e-12 * size else size) or 1.0


def sandwich(library, X, weight, Y, coef, spread, operator=None):
    """Factor (q rank, e) of the HC3 covariance of the fit in orthonormal coordinates."""
    n, (q, rank) = weight.sum(), (Y.shape[1], spread.shape[1])
    factor = None
    with one_thread():
        width = library.n_output_features_ + q * rank
        for rows, phi in _values(library, X, width, operator):
            u = phi @ spread
            left = (Y[rows] - phi @ coef.T) / np.maximum(1 - np.sum(u**2, axis=1) / n, 1e-3)[
                :, None
            ]
            left = left * np.sqrt(weight[rows])[:, None] / n
            factor = merge_rows(factor, (left[:, :, None] * u[:, None]).reshape(-1, q * rank))
    return factor.T
