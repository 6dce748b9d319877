"""What enforcing a symmetry costs, by cross-validation of least squares in a library.

Index legend: n samples, q outputs, p library functions, k functions of a basis, r candidates.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import svd

from sksym._linalg import one_thread
from sksym.discover.degree import best_degree
from sksym.discover.folds import fold_statistics, leave_one_out
from sksym.equivariant import place
from sksym.evidence import FunctionSamples
from sksym.groups import Group, LieAlgebra, VectorFields
from sksym.libraries import Library, PolynomialLibrary

_N_FOLDS = 5
_ROWS = 20_000  # samples that are cross-validated
_MOST_UNKNOWNS = 2000  # of the regression: beyond it no cost is computed
_RCOND = 1e-11
_ROUND_OFF = 1e-12  # relative to the targets: an error is not smaller than this
_UNCHANGED = 0.1  # change of a function along unit motion, relative to it, that is none


@dataclass(frozen=True, eq=False)
class EnforcingCost:
    """Samples of a function, and the library in which its symmetric part is fitted.

    Attributes
    ----------
    candidates : LieAlgebra or VectorFields
    output : representation or array of shape (r, q, q), or None
    X : ndarray of shape (n, d)
    Y : ndarray of shape (n, q)
    weight : ndarray of shape (n,)
    library : fitted Library, or None
        None: polynomials of one degree more than that of the least cross-validated error.
    """

    candidates: LieAlgebra | VectorFields
    output: object
    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray
    library: Library | None = None

    @classmethod
    def of_rows(cls, candidates, output, X, Y, weight, library=None):
        """Keep at most 20,000 of the rows, which are references where there are fewer."""
        if len(X) > _ROWS:
            rng = np.random.default_rng(0)
            chosen = np.sort(rng.permutation(len(X))[:_ROWS])
            X = X[chosen]
            Y = Y[chosen]
            weight = weight[chosen]
        return cls(candidates, output, X, Y, weight, library)

    def of(self, C, is_exact):
        """Compute the relative increase of the cross-validated error, and its standard error.

        The error is the root mean square of residuals on five folds that were left out. It is
        compared with that of all functions of the library on the same folds, so that what the
        folds have in common does not count.

        Parameters
        ----------
        C : ndarray of shape (k, r)
            Generators that are enforced together.
        is_exact : bool
            Whether their invariants are exact. Generators that were estimated have none but
            constants: functions remain that change along each by at most a tenth of their size.

        Returns
        -------
        cost, error : float
            NaN where there are fewer than two samples a fold, or too many unknowns.
        """
        n_unknowns = self.Y.shape[1] * self._samples.library.n_output_features_
        is_feasible = len(self.X) >= 2 * _N_FOLDS and n_unknowns <= _MOST_UNKNOWNS
        if not len(C) or not is_feasible:
            return np.nan, np.nan
        with one_thread():
            basis = self._basis(C, is_exact)
            restricted = self._held_out_errors(basis)
            return _relative_increase(restricted, self._full_errors)

    @cached_property
    def _samples(self):
        """The function in its library."""
        library = self.library
        if library is None:
            rng = np.random.RandomState(0)
            degree = best_degree(self.X, self.Y, self.weight, rng)
            nothing = Group.none(self.X.shape[1])
            library, _ = place(PolynomialLibrary(degree), self.X, nothing)
        return FunctionSamples(
            library,
            self.candidates,
            self.output,
            self.X,
            self.Y,
            self.weight,
        )

    @cached_property
    def _in_unit_functions(self):
        """Evidence in which ``perturbation(xi)`` is the change of functions of unit size."""
        samples = self._samples
        return samples.evidence(samples.estimate.with_noise(1.0))

    @cached_property
    def _folds(self):
        """Statistics of the regression on all functions, for every fold."""
        n = len(self.X)
        fold = np.arange(n) % _N_FOLDS
        np.random.default_rng(0).shuffle(fold)
        return fold_statistics(
            self._samples.library,
            self.X,
            self.weight,
            fold,
            self.Y,
        )

    @cached_property
    def _training(self):
        """Statistics of all folds but one, for every fold."""
        return list(leave_one_out(self._folds))

    @cached_property
    def _full_errors(self):
        """Sums of squares (folds,) of residuals with all functions of the library."""
        return self._held_out_errors(None)

    def _basis(self, C, is_exact):
        """Return the functions (k, q, p) with the symmetries C (k, r)."""
        samples = self._samples
        q = self.Y.shape[1]
        if is_exact:
            basis = samples.symmetric_functions(C)
            if basis is not None:
                return basis.reshape(len(basis), q, -1)
        evidence = self._in_unit_functions
        changes = []
        for xi in C:
            c = evidence.spectrum.unit_coordinates(xi)
            change = evidence.perturbation(c @ evidence.spectrum.generators)
            changes.append(change * evidence.output_scale)
        # Right vectors that hardly change, in functions that are orthonormal on the data.
        R = np.linalg.qr(np.concatenate(changes), mode="r")
        _, s, Vt = svd(R)
        n_changing = np.count_nonzero(s > _UNCHANGED)
        unchanged = Vt[n_changing:]
        from_data = evidence.estimate.from_data
        unchanged = unchanged.reshape(len(unchanged), q, from_data.shape[1])
        return unchanged @ from_data.T

    def _held_out_errors(self, basis):
        """Fit functions of a basis (k, q, p), None: all, without each fold, and test on it.

        Returns
        -------
        ndarray of shape (folds,)
            Sums of squared residuals, never below round-off.
        """
        errors = []
        for training, held_out in zip(self._training, self._folds, strict=True):
            coef = _least_squares(training, basis)
            residual = held_out.design @ coef.T - held_out.targets
            round_off = _ROUND_OFF * np.linalg.norm(held_out.targets)
            errors.append(np.sum(residual**2) + round_off**2)
        return np.array(errors)


def _least_squares(statistics, basis):
    """Return the coefficients (q, p) of least squares among the span of a basis (k, q, p)."""
    if basis is None:
        solution, *_ = np.linalg.lstsq(statistics.design, statistics.targets, rcond=_RCOND)
        return solution.T
    # n: rows of the factor, q: output, k: function of the basis
    values = np.einsum("np,kqp->nqk", statistics.design, basis, optimize=True)
    design = values.reshape(-1, len(basis))
    w, *_ = np.linalg.lstsq(design, statistics.targets.ravel(), rcond=_RCOND)
    return np.tensordot(w, basis, 1)


def _relative_increase(restricted, full):
    """Return ``sqrt(sum restricted / sum full) - 1`` of sums over folds, and its standard error."""
    total = full.sum()
    if not total:
        return 0.0, 0.0  # all targets are zero, and every fit of them
    ratio = restricted.sum() / total
    root = np.sqrt(ratio)
    # The ratio estimator: folds differ from the ratio of the whole.
    deviation = restricted - ratio * full
    n_folds = len(full)
    variance = n_folds / (n_folds - 1) * np.sum(deviation**2)
    error_of_ratio = np.sqrt(variance) / total
    return float(root - 1), float(error_of_ratio / (2 * root))
