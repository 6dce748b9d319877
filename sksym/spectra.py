"""What counts as zero: how many symmetries data have, and which, with their uncertainty.

A function is fitted by least squares in a library; its symmetry matrix inherits the noise of the
coefficients. `Evidence` holds both in tests that are orthonormal on the data, where the error of
the coefficients is isotropic, and answers three questions: is a set of generators compatible with
zero (`floor_test`), what are they in readable form (`echelon`, `snapped`), and does the function
with these symmetries enforced still fit (`select`).
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats
from scipy.linalg import qr, svd

from sksym._linalg import reduced_echelon, spectral_bound
from sksym.lie_derivative import LieDerivative

REJECT = 0.003  # p value below which a set of generators is not zero
REFIT_REJECT = 0.001  # p value below which an enforced symmetry spoils the fit
GAP = 0.4  # a floor or singular value must lie this far below the next singular value
SNAP = 4.0  # standard errors within which a number is rounded
_EXACT = 1e-11  # relative defect of what is zero but for round-off
_SIMPLE = (np.array([0.0, 1, -1]), np.array([2, -2, 1 / 2, -1 / 2, 3, -3, 1 / 3, -1 / 3]))


@dataclass(frozen=True, eq=False)
class Evidence:
    """A least-squares fit and the candidates that might leave it unchanged.

    Attributes
    ----------
    L : LieDerivative
        Tests orthonormal on the data: norms are root mean squares over the samples.
    factor : ndarray of shape (<= p + q, p + q)
        R factor of ``[Phi, Y]``.
    n : float
        Sum of the weights.
    n_outputs : int
    motion : ndarray of shape (r, r)
        Mean square of the candidate fields on inputs and outputs, in units of their spread: the
        metric against which a Lie derivative is small or large.
    output_scale : float
        Spread of the outputs.
    """

    L: LieDerivative
    factor: np.ndarray
    n: float
    n_outputs: int
    motion: np.ndarray
    output_scale: float

    def __post_init__(self):
        q, p = self.n_outputs, self.factor.shape[1] - self.n_outputs
        R, Z = self.factor[:p, :p], self.factor[:p, p:]
        U, s, Vt = svd(R / np.sqrt(self.n))
        rank = int((s > 1e-11 * s.max(initial=0)).sum())
        # coef = u^T spread^T, u (rank, q) in coordinates orthonormal on the data
        spread = Vt[:rank].T / s[:rank]
        u = U[:, :rank].T @ Z / np.sqrt(self.n)
        residual = np.linalg.norm(U[:, rank:].T @ Z) ** 2 + np.linalg.norm(self.factor[p:, p:]) ** 2
        dof = q * (self.n - rank)
        least = (1e-13 * np.linalg.norm(self.factor[:, p:])) ** 2 / self.n  # round-off is noise too
        unseen = Vt[rank:].T
        setting = {
            "coef": (spread @ u).T,
            "spread": spread,
            "unseen": unseen,
            "rss": residual,
            "dof": dof,
            "variance": max(residual / dof, least) if dof > 0 else np.inf,
        }
        for name, value in setting.items():
            object.__setattr__(self, name, value)
        self._solve()

    def _solve(self):
        """Singular values relative to the motion, over the generators that the data determine."""
        weight, axes = np.linalg.eigh(self.motion)
        moving = weight > 1e-12 * weight.max(initial=0)
        white = axes[:, moving] / np.sqrt(weight[moving])
        hidden = self._hidden() @ white
        if hidden.size:
            _, s, Vt = svd(hidden)
            known = int((s > 1e-8 * np.linalg.norm(hidden, 2)).sum()) if s.any() else 0
            white = white @ Vt[known:].T
        M = self.L.symmetry_matrix(self.coef) @ white / self.output_scale
        fill = max(M.shape[1] - M.shape[0], 0)  # a tall matrix has all its right vectors
        U, s, Vt = svd(np.pad(M, ((0, fill), (0, 0))), full_matrices=False)
        order = np.argsort(s)
        object.__setattr__(self, "singular_values", s[order])
        object.__setattr__(self, "left", U[: len(M), order])
        object.__setattr__(self, "generators", (white @ Vt[order].T).T)  # rows, unit motion

    def _hidden(self):
        """Lie derivatives of functions that vanish on the data: (m n_unseen, r).

        Where they do not vanish, the data say nothing about the derivative along the generator.
        """
        columns = [self.L.symmetry_matrix(c[None]) for c in self.unseen.T]
        return np.concatenate(columns) if columns else np.zeros((0, self.L.n_generators))

    def unidentified(self):
        """Candidates (k, r) that the data say nothing about: the complement of `generators`."""
        if not len(self.generators):
            return np.eye(self.L.n_generators)
        return svd(self.generators)[2][len(self.generators) :]

    def perturbation(self, xi):
        """Change of ``vec L(xi, coef)`` for unit changes of the fit: (q m, q rank)."""
        m, q = self.L.E.shape[1], self.n_outputs
        D = (self.L.D @ sparse.kron(xi[:, None], sparse.eye_array(m))).T @ self.spread
        change = np.kron(np.eye(q), D)
        if self.L.B is not None:
            change = change - np.kron(np.tensordot(xi, self.L.B, 1), self.L.E.T @ self.spread)
        return change / self.output_scale

    def floor_test(self, k):
        """Test that the k smallest singular values are zero: p value and noise floor.

        Under the hypothesis that the k generators are symmetries, the sum of the squares of their
        singular values is the part of the coefficient noise that the other generators do not
        take up, a weighted sum of chi squares (Satterthwaite's approximation).
        """
        if k > len(self.generators):
            return 1.0, np.inf
        others = self.left[:, k:]
        changes = []
        for xi in self.generators[:k]:
            change = self.perturbation(xi)
            changes.append(change - others @ (others.T @ change))
        gram = sum(change.T @ change for change in changes)
        if self.dof <= 0 or not np.trace(gram) > _EXACT**2:
            # Nothing to test with, or every function of the library has as many symmetries.
            return 1.0, np.inf
        gram *= self.variance / self.n
        mean, square = np.trace(gram), np.sum(gram**2)
        defect = np.sum(self.singular_values[:k] ** 2)
        return stats.f.sf(defect / mean, mean**2 / square, self.dof), np.sqrt(mean / k)

    def within_floor(self, max_defect):
        """The largest number of generators that are zero as far as the noise lets us see.

        Counting goes on until a set is rejected. A set counts when its defect is far below the
        next singular value, and so is its noise floor, and the floor is at most `max_defect`:
        failing to reject is not finding.

        Returns
        -------
        count : int
        floor : float
            Noise floor of those, of the smallest one where there is none.
        """
        s = np.append(self.singular_values, 1.0)
        count, floor = 0, self.floor_test(1)[1]
        for k in range(1, len(s)):
            p, noise = self.floor_test(k)
            if p <= REJECT:
                break
            if max(s[k - 1], noise) <= GAP * s[k] and noise <= max_defect:
                count, floor = k, noise
        return count, floor

    def echelon(self, k):
        """Reduced echelon form (k, r) of the k smallest generators, and standard errors (k, r)."""
        V = self.generators[:k].T
        _, _, pivots = qr(V.T, pivoting=True)
        pivots = np.sort(pivots[:k])
        inverse = np.linalg.inv(V[pivots])
        form = V @ inverse
        # First order: the generator j moves by -V1 S1^-1 U1^T (change of L) e.
        U1, s1, V1 = self.left[:, k:], self.singular_values[k:], self.generators[k:].T
        moved = np.stack(
            [-(V1 / s1) @ (U1.T @ self.perturbation(xi)) for xi in self.generators[:k]], axis=1
        )  # r: coordinate, j: generator, e: direction of noise
        change = np.einsum("rke,kj->rje", moved, inverse)
        change -= np.einsum("ri,ije->rje", form, change[pivots])
        errors = np.sqrt(np.sum(change**2, axis=2) * self.variance / self.n)
        return form.T, errors.T

    def information(self, basis):
        """BIC of the fit inside a subspace against the full one; infinite where the F test rejects.

        No symmetry has 0.
        """
        full = self.n_outputs * self.spread.shape[1]
        rss, rank = self.nested(basis)
        lost = full - rank
        if lost <= 0:
            return np.inf
        extra = max(rss - self.rss, 0.0)
        reference = max(self.rss, self.variance * self.dof)
        if stats.f.sf(extra / lost / self.variance, lost, self.dof) <= REFIT_REJECT:
            return np.inf
        n = self.n * self.n_outputs
        return n * np.log1p(extra / reference) - lost * np.log(n)

    def saturated(self, basis):
        """All candidates (k, r) under which every function of a basis (k, q p) is unchanged.

        Only candidates that the data determine; in reduced echelon form.
        """
        q = self.n_outputs
        rows = [self.L.symmetry_matrix(c.reshape(q, -1)) for c in basis]
        matrix = np.concatenate(rows) @ self.generators.T
        _, s, Vt = svd(matrix)
        size = spectral_bound(self.L.D) * np.linalg.norm(self.generators, 2)
        kept = Vt[int((s > 1e-8 * size).sum()) :]
        form = reduced_echelon(kept @ self.generators)
        simple = rounded(form, np.full_like(form, 1e-9))
        return form if simple is None else simple

    def verdict(self, count, snap, max_defect):
        """The `count` smallest generators, "auto": as many as lie within the floor."""
        if count == "auto":
            count, floor = self.within_floor(max_defect)
        else:
            count = min(count, len(self.generators))
            floor = self.floor_test(max(count, 1))[1]
        if not count:
            return Verdict(np.zeros((0, self.L.n_generators)), None, floor, 0)
        form, errors = self.echelon(count)
        simple = rounded(form, errors) if snap else None
        return Verdict(form if simple is None else simple, errors, floor, 0)

    def nested(self, basis):
        """Residual sum of squares and rank of the fit in a subspace, rows of `basis` (k, q p)."""
        q, p = self.n_outputs, self.factor.shape[1] - self.n_outputs
        R, Z = self.factor[:p, :p], self.factor[:p, p:]
        design = np.concatenate([R @ basis[:, i * p : (i + 1) * p].T for i in range(q)])
        w, _, rank, _ = np.linalg.lstsq(design, Z.T.ravel(), rcond=1e-11)
        misfit = np.linalg.norm(design @ w - Z.T.ravel()) ** 2
        return misfit + np.linalg.norm(self.factor[p:, p:]) ** 2, rank


@dataclass(frozen=True)
class Verdict:
    """Which generators are symmetries: their coordinates (k, r) and how sure that is."""

    generators: np.ndarray
    errors: np.ndarray | None  # standard errors of the entries before rounding
    floor: float
    undecided: int  # generators not rejected, but on evidence too weak to declare them


def select(evidence, enforced, max_defect):
    """Snap the generators for every possible number of them, enforce, and keep the best.

    Parameters
    ----------
    evidence : Evidence
    enforced : callable
        ``enforced(C)`` gives the basis (k, q p) of the functions with the symmetries ``C`` (k, r),
        None where nothing but constants is left.
    max_defect : float
        Largest noise floor at which a symmetry is declared.

    Returns
    -------
    Verdict

    Notes
    -----
    For k = 1, 2, .. until `Evidence.floor_test` rejects: round the echelon form of the k smallest
    generators within four standard errors; enforce them; drop them when the F test of the nested
    model rejects, or when nothing but constants is free. Of the others the least BIC wins (no
    symmetry has 0). Every candidate that annihilates all functions left free is a symmetry too.
    """
    best, chosen, undecided = 0.0, None, 0
    for k in range(1, len(evidence.singular_values) + 1):
        p, floor = evidence.floor_test(k)
        if p <= REJECT:
            break
        if floor > max_defect:
            undecided = k
            continue
        if k < len(evidence.singular_values) and evidence.singular_values[k] <= _EXACT:
            continue  # exact zeros come together
        form, errors = evidence.echelon(k)
        simple = rounded(form, errors)
        if simple is None:
            continue
        basis = enforced(simple)
        bic = np.inf if basis is None else evidence.information(basis)
        if bic < best:
            best, chosen = bic, (simple, errors, floor, basis)
    if chosen is None:
        none = np.zeros((0, evidence.L.n_generators))
        return Verdict(none, None, evidence.floor_test(1)[1], undecided)
    simple, errors, floor, basis = chosen
    return Verdict(evidence.saturated(basis), errors, floor, undecided)


def rounded(form, errors):
    """Every entry as the simplest number within four standard errors, or None."""
    out = np.empty_like(form)
    for index, value in np.ndenumerate(form):
        for simple in _SIMPLE:
            nearest = simple[np.abs(simple - value).argmin()]
            if abs(nearest - value) <= SNAP * errors[index] + 1e-9:
                out[index] = nearest
                break
        else:
            return None
    return out
