"""Ridge regression on values and gradients together: energies and forces of molecules."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_array, check_is_fitted

from sksym._estimator import (
    check_number,
    in_dtype,
    on_copy,
    training_data,
    validate_data,
    warn,
)
from sksym._linalg import numerical_rank, one_thread, row_blocks
from sksym.enforce.standardised import StandardisedFunctions
from sksym.equivariant import EquivariantSpace
from sksym.groups import resolve
from sksym.libraries import PolynomialLibrary, evaluate, library_values
from sksym.statistics import regression_statistics, root_mean_square


@dataclass(frozen=True, eq=False)
class Targets:
    """Energies and forces as rows of one regression, in units of their spread.

    Attributes
    ----------
    rows : ndarray of shape (n, 1) or (n, 1 + d)
        The energy, then the components of the force.
    zero : float
        Energy that counts as zero in `rows`: the mean where a constant is fitted.
    unit : float
        Of energies.
    length : float or None
        Unit of energies over that of forces; None where there are no forces.
    """

    rows: np.ndarray
    zero: float
    unit: float
    length: float | None

    @classmethod
    def of(cls, data, forces, forces_weight, has_constant):
        """Choose the units: those of the energies' spread and of the size of the forces.

        Parameters
        ----------
        data : TrainingData
        forces : ndarray of shape (n, d), or None
        forces_weight : float
            Positive.
        has_constant : bool
        """
        weight = data.weight
        zero = 0.0
        if has_constant:
            zero = float((weight / weight.sum()) @ data.Y[:, 0])
        rows = data.Y - zero
        unit = float(root_mean_square(rows, weight)[0])
        length = None
        if forces is not None:
            of_columns = root_mean_square(forces, weight)
            one_weight = np.ones(len(of_columns))
            force_unit = float(root_mean_square(of_columns, one_weight))
            if not unit:  # energies that do not vary, of one configuration for example
                unit = force_unit * np.ptp(data.X)
            length = (unit or 1.0) / (force_unit or 1.0) * np.sqrt(forces_weight)
            rows = np.concatenate([rows, forces * length], axis=1)
        unit = unit or 1.0
        return cls(rows / unit, zero, unit, length)

    def solve(self, functions, data, alpha):
        """Solve the least squares problem in some functions: w (k,).

        The functions have mean zero where a constant is fitted, and so have the energies, so that
        the constant is zero.

        Parameters
        ----------
        functions : StandardisedFunctions
        data : TrainingData
        alpha : float
        """
        k = functions.n_functions
        rows_per_sample = self.rows.shape[1]

        def design(X):
            # One row for the energy, then one for each component of the force.
            block = np.empty((len(X), rows_per_sample, k))
            block[:, 0] = functions.values(X)[:, :, 0]
            if self.length is not None:
                block[:, 1:] = -self.length * functions.slopes(X)
            return block.reshape(len(X) * rows_per_sample, k)

        statistics = regression_statistics(
            design,
            data.X,
            self.rows,
            data.weight,
            k,
            rows_per_sample,
        )
        with one_thread():
            U, s, Vt = np.linalg.svd(statistics.design, full_matrices=False)
        rank = numerical_rank(s, (self.rows.size, k))
        s = s[:rank]
        # Not s / (s^2 + alpha), whose square vanishes for small weights.
        with np.errstate(over="ignore"):
            gain = 1 / (s + alpha / s)
        target = U[:, :rank].T @ statistics.targets[:, 0]
        return self.unit * (Vt[:rank].T @ (gain * target))


class SymmetricPotential(RegressorMixin, BaseEstimator):
    """A potential with a known symmetry, fitted to energies and forces in one least squares.

    Minimises ``sum_i s_i [(y_i - V(x_i))^2 + c |f_i + dV/dx(x_i)|^2] + alpha |w|^2`` over the
    potentials ``V(x) = coef @ phi(x) + intercept = w @ z(x) + constant``, s_i the weight of a
    configuration. z are the invariant functions of the library, each in units of its spread on
    the data: of its values, and of its slopes where forces are fitted. With ``c = forces_weight
    var(y) / mean(f^2)`` every component of a force counts like an energy, each in units of its own
    spread. Predicted forces are minus the exact derivative of V, so that energy is conserved along
    the motion that they drive.

    Parameters
    ----------
    symmetry : LieAlgebra, FiniteGroup, Group or callable, default=None
        Who leaves the energy unchanged; as in `SymmetricRidge`. None: no constraint, which a
        `PairLibrary` does not need.
    library : library, default=None
        What the potential is made of, such as `PairLibrary`; None is ``PolynomialLibrary(2)``.
    alpha : float, default=0.0
        Ridge penalty; 0: least squares of minimum norm. Energies and forces are usually computed
        without noise.
    forces_weight : float, default=1.0
        Of a component of a force relative to an energy.
    fit_intercept : bool, default=True
        Whether a constant energy is fitted; it is not penalised.
    rtol : float, default=1e-10
        Singular values of the constraints below `rtol` relative to the largest count as zero.

    Attributes
    ----------
    coef_ : ndarray of shape (p,)
        Of the potential in the functions of `library_`.
    intercept_ : float
    library_ : fitted library
    n_free_ : int
        Number of penalised coefficients.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import PairLibrary, SymmetricPotential
    >>> X = np.random.default_rng(0).normal(size=(8, 6))  # two points in space
    >>> springs = ((X[:, :3] - X[:, 3:]) ** 2).sum(axis=1)
    >>> model = SymmetricPotential(library=PairLibrary(2, 3, [np.square])).fit(X, springs)
    >>> model.predict_forces([[0.0, 0, 0, 1, 2, 3]]).round(6)
    array([[ 2.,  4.,  6., -2., -4., -6.]])
    """

    def __init__(
        self,
        symmetry=None,
        *,
        library=None,
        alpha=0.0,
        forces_weight=1.0,
        fit_intercept=True,
        rtol=1e-10,
    ):
        self.symmetry = symmetry
        self.library = library
        self.alpha = alpha
        self.forces_weight = forces_weight
        self.fit_intercept = fit_intercept
        self.rtol = rtol

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Symmetric functions, and sums over pairs, cannot follow just any data.
        tags.regressor_tags.poor_score = self.symmetry is not None or self.library is not None
        return tags

    @on_copy
    def fit(self, X, y, sample_weight=None, *, forces=None):
        """Fit to energies, and to forces where they are given.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Configurations; with `PairLibrary` the coordinates of all points side by side.
        y : array-like of shape (n,)
            Energies.
        sample_weight : array-like of shape (n,), default=None
            Non-negative; rows of weight zero count for nothing.
        forces : array-like of shape (n, d) or (n, m, d / m), default=None
            Minus the derivative of the energy by the coordinates of X. None: energies alone.

        Returns
        -------
        self
        """
        check_number(self.alpha, "alpha")
        check_number(self.forces_weight, "forces_weight")
        if not self.forces_weight:  # they do not count
            forces = None
        data = training_data(self, X, y, sample_weight)
        forces = _checked_forces(forces, data.X.shape)
        is_counted = data.weight > 0
        if forces is not None:
            forces = forces[is_counted]
        data = data.counted()
        space = EquivariantSpace.of(
            resolve(self.symmetry, data.X),
            PolynomialLibrary(2) if self.library is None else self.library,
            None,
            data.X,
            1,
            self.rtol,
            vars(self).get("feature_names_in_"),
        )
        targets = Targets.of(data, forces, self.forces_weight, self.fit_intercept)
        functions = StandardisedFunctions.of(space, data.X, data.weight, targets.length)
        if not functions.n_functions:
            warn(
                "Nothing but constants in the library has the symmetry and varies on the data: "
                "raise its degree, or check `symmetry`."
            )
        if not self.fit_intercept:
            functions = functions.uncentred()
        w = targets.solve(functions, data, self.alpha)
        coef, constant = functions.combine(w[None])
        coef = coef[0, 0]
        intercept = targets.zero + constant[0, 0]
        if not np.isfinite(coef).all() or not np.isfinite(intercept):
            raise ValueError("The solution overflows: rescale y, or increase `alpha`.")
        self._space_ = space
        self.library_ = space.library
        self.n_free_ = functions.n_functions
        self.intercept_ = float(intercept)
        self.coef_ = in_dtype(coef, data.dtype)

    def predict(self, X):
        """Predict energies, shape (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        values = evaluate(self.library_, self._row(), X.astype(float))[:, 0]
        return in_dtype(values + self.intercept_, np.result_type(X, self.coef_))

    def predict_forces(self, X):
        """Predict forces, minus the derivative of the energy by the columns of X: shape (n, d)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        coef = self._row()[0]
        forces = np.empty(X.shape)
        for rows in row_blocks(len(X), len(coef) * X.shape[1]):
            jacobian = self.library_.jacobian(X[rows].astype(float))
            forces[rows] = -np.tensordot(coef, jacobian, ((0,), (1,)))
        return in_dtype(forces, np.result_type(X, self.coef_))

    def equivariance_error(self, X, *, n_elements=20, random_state=0):
        """Measure the largest change of the energy under finite elements of the symmetry.

        Parameters
        ----------
        X : array-like of shape (n, d)
        n_elements : int, default=20
            Elements drawn, as in `SymmetricRidge`.
        random_state : int or Generator, default=0

        Returns
        -------
        float
            Largest ``|V(g x) - V(x)|`` relative to the sum of the absolute terms of V.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        coef = self._row()[0]
        here = library_values(self.library_, X)

        def violation(images, rho):
            there = library_values(self.library_, images)
            change = np.abs(there @ coef - here @ coef)
            size = np.maximum(np.abs(there), np.abs(here)) @ np.abs(coef)
            relative = change / np.where(size > 0, size, 1.0)
            return relative.max(initial=0)

        return self._space_.largest_violation(violation, X, n_elements, random_state)

    def _row(self):
        """Return the coefficients (1, p) in double precision."""
        return self.coef_.astype(float)[None]


def _checked_forces(forces, shape):
    """Return forces as (n, d), None where there are none."""
    if forces is None:
        return None
    forces = check_array(forces, dtype=np.float64, allow_nd=True, input_name="forces")
    n, d = shape
    if len(forces) != n or forces.size != n * d:
        raise ValueError(
            f"`forces` must hold one number for every entry of X, {shape}, got shape "
            f"{forces.shape}."
        )
    return forces.reshape(n, d)
