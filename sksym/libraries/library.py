"""The abstract library: what every space of functions must say, and what it may say.

Three methods must be written; everything else has a default that works from values and
derivatives at sampled points. A capability that a library has of its own makes symmetry exact
(`lie_matrices`, `group_matrix`), formulas readable (`monomial_coef`) or evaluation faster
(`evaluate`).
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import validate_data
from sksym._linalg import column_indices, merge_rows, row_blocks

_FEW = 256  # rows for which it does not pay to look for the functions that matter


class NotClosedError(ValueError):
    """A library is not closed under the motions asked for: it is tested at points instead."""


class Library(TransformerMixin, BaseEstimator, ABC):
    """A finite-dimensional space of functions ``x -> coef @ phi(x)`` with known derivatives.

    Subclasses must write `fit`, `transform` and `jacobian`, and may override what follows.

    Attributes
    ----------
    n_output_features_ : int
        Number of functions ``p``; set by `fit`, or by the estimator that fits the library.
    """

    # ----------------------------------------------------------------- what a library must have

    @abstractmethod
    def fit(self, X, y=None):
        """Learn from `X` (n, d) what the functions depend on, if anything; return self."""

    @abstractmethod
    def transform(self, X):
        """Evaluate the functions at the rows of `X` (n, d): shape (n, p)."""

    @abstractmethod
    def jacobian(self, X):
        """Differentiate the functions by the coordinates of x: shape (n, p, d)."""

    # ------------------------------------------------------------------------- what it may have

    # Relative accuracy of `jacobian`, which null spaces take as their tolerance.
    jacobian_rtol_: ClassVar[float] = 0.0
    # Box (2, d) on which `orthonormal_coordinates` refers to, where there is one.
    domain_: ClassVar[np.ndarray | None] = None
    # Whether `center` and `scale` are parameters that may follow a symmetry.
    can_be_centred: ClassVar[bool] = False
    # Whether the functions are all monomials of a degree, with `monomials_`, `unit_fields` and
    # `unit_map`: null spaces are then found in balanced coordinates.
    has_all_monomials: ClassVar[bool] = False

    def get_feature_names_out(self, input_features=None):
        """Return the names of the functions; here ``f0, f1, ..``."""
        check_is_fitted(self)
        return np.array([f"f{k}" for k in range(self.n_output_features_)], dtype=object)

    def lie_matrices(self, algebra):
        """Return ``D_a`` with ``d phi(x) [A_a x + b_a] = D_a phi(x)``, side by side.

        Parameters
        ----------
        algebra : LieAlgebra

        Returns
        -------
        sparse array of shape (p, r p)

        Raises
        ------
        NotClosedError
            If the library is not closed under the algebra, or is not known to be.
        """
        check_is_fitted(self)
        raise NotClosedError(
            f"{type(self).__name__} is not known to be closed under any algebra: "
            "use LieDerivative.sampled."
        )

    def group_matrix(self, g):
        """Return ``K`` with ``phi(g x) = K phi(x)``, sparse (p, p), for a matrix `g` (d, d).

        Raises
        ------
        NotClosedError
            If the library is not closed under `g`, or is not known to be.
        """
        check_is_fitted(self)
        raise NotClosedError(f"{type(self).__name__} is not known to be closed under any group.")

    def orthonormal_coordinates(self, points):
        """Return ``T`` (p, m) with ``phi = T psi``, psi orthonormal under some measure.

        Here the mean over `points` (n, d); functions that agree there are told apart by nothing.
        """
        check_is_fitted(self)
        factor = None
        for rows in row_blocks(len(points), self.n_output_features_):
            factor = merge_rows(factor, library_values(self, points[rows]))
        return sparse.csr_array(factor.T / np.sqrt(len(points)))

    def box(self, X):
        """Return the box (2, d) in whose units generators are compared.

        ``domain_`` where `fit` has set it, for the columns taken; elsewhere the range of `X`.
        """
        low = X.min(axis=0)
        high = X.max(axis=0)
        center = (low + high) / 2
        # Columns that do not vary have a width above round-off, so that units stay finite.
        least = 1e-8 * np.abs(high + low).max() + np.finfo(float).tiny
        half_width = np.maximum((high - low) / 2, least)
        box = np.array([center - half_width, center + half_width])
        if self.domain_ is None:
            return box
        if self.columns_ is None:
            return self.domain_
        box[:, self.columns_] = self.domain_
        return box

    def extremes(self, X):
        """Return the few rows of `X` (n, d) that `fit` depends on; None: possibly all.

        With them a library is fitted anew as data stream in, and `change_to` translates. Where
        it is None the functions chosen from the first chunk are kept.
        """
        return None

    def change_to(self, other):
        """Return ``K`` (p, p) sparse with ``phi_self = K phi_other``, for other `extremes`."""
        return sparse.eye_array(self.n_output_features_, format="csr")

    @property
    def monomial_names(self):
        """Names (p,) of the plain functions that `monomial_coef` refers to; here its own."""
        return self.get_feature_names_out()

    def monomial_coef(self, coef):
        """Return the coefficients in plain functions, such as monomials ``x^a``; here `coef`."""
        return np.asarray(coef)

    def name_sizes(self):
        """Return the factor (p,) of each function in the plain one that its name shows; here 1."""
        return np.ones(self.n_output_features_)

    def name_center(self):
        """Return the point (d,) from which the variables in the names are counted; here 0."""
        return np.zeros(self.n_features_in_)

    def evaluate(self, coef, X):
        """Compute ``phi(X) @ coef.T`` (n, k) for `coef` (k, p) dense or sparse."""
        if sparse.issparse(coef):
            coef = coef.toarray()
        out = np.empty((len(X), len(coef)))
        for rows in row_blocks(len(X), coef.shape[1]):
            out[rows] = library_values(self, X[rows]) @ coef.T
        return out

    # --------------------------------------------------------------------- helpers for subclasses

    # The columns that a library with a parameter `columns` takes; None: all of them.
    columns_: ClassVar = None

    def fit_input(self, X):
        """Validate `X` for ``fit``, remember its columns, and return those that are taken."""
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        columns = self.get_params(deep=False).get("columns")
        if columns is None:
            self.columns_ = None
            return X
        names = list(vars(self).get("feature_names_in_", [])) or self.n_features_in_
        self.columns_, _ = column_indices(columns, names, None)
        return X[:, self.columns_]

    def transform_input(self, X):
        """Validate `X` for ``transform`` and ``jacobian``, and return the columns taken."""
        if not needs_no_validation(self, X):
            check_is_fitted(self)
            X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        if self.columns_ is None:
            return X
        return X[:, self.columns_]

    def names_of_columns(self, input_features=None):
        """Return the names of the columns taken: as given, as seen in ``fit``, or x0, x1, .."""
        names = input_names(self, input_features)
        if self.columns_ is None:
            return names
        return [names[i] for i in self.columns_]

    def on_all_columns(self, slopes):
        """Spread derivatives (n, p, c) by the columns taken over all columns: (n, p, d)."""
        if self.columns_ is None:
            return slopes
        out = np.zeros((*slopes.shape[:2], self.n_features_in_), dtype=slopes.dtype)
        out[:, :, self.columns_] = slopes
        return out

    def on_taken_columns(self, linear):
        """Restrict matrices (.., d, d) to the columns taken: (.., c, c).

        Raises
        ------
        NotClosedError
            If they mix the columns taken with others.
        """
        columns = self.columns_
        if columns is None:
            return linear
        others = np.setdiff1d(np.arange(self.n_features_in_), columns)
        if linear[..., columns[:, None], others].any():
            raise NotClosedError(
                f"{type(self).__name__} takes the columns {columns.tolist()}, which the motion "
                "mixes with others."
            )
        return linear[..., columns[:, None], columns]

    def taken(self, values):
        """Return the entries (.., c) of the columns taken, of values (.., d) for all columns."""
        return values if self.columns_ is None else values[..., self.columns_]


def library_values(library, X):
    """Return library values as an array, whatever output container is configured."""
    return np.asarray(library.transform(X))


def evaluate(library, coef, X):
    """Compute the values ``phi(X) @ coef.T`` (n, k) of k functions, `coef` (k, p)."""
    if len(X) <= _FEW and isinstance(coef, np.ndarray):
        return library_values(library, X) @ coef.T
    return library.evaluate(coef, X)


def fitted_values(library, coef, X):
    """Predict ``phi(X) @ coef.T``: (n,) for `coef` (p,), in their common dtype.

    In double precision, and by one path for any number of rows: what a row gives does not depend
    on the rows that come with it.
    """
    values = library.evaluate(np.atleast_2d(coef), X.astype(np.float64, copy=False))
    values = values.astype(np.result_type(X, coef), copy=False)
    return values[:, 0] if coef.ndim == 1 else values


def needs_no_validation(model, X):
    """Tell whether validation would return X itself; it costs more than a row of a simulation."""
    fitted = vars(model)
    return (
        type(X) is np.ndarray
        and X.dtype == np.float64
        and X.shape[1:] == (fitted.get("n_features_in_"),)
        and len(X) > 0
        and "feature_names_in_" not in fitted
        and bool(np.isfinite(X).all())
    )


def input_names(model, input_features=None):
    """Return the names of the input columns: as given, as seen in ``fit``, or ``x0, x1, ..``."""
    check_is_fitted(model)
    known = vars(model).get("feature_names_in_")
    if input_features is None:
        if known is not None:
            return known
        return [f"x{i}" for i in range(model.n_features_in_)]
    if known is not None and list(input_features) != list(known):
        raise ValueError("input_features is not equal to feature_names_in_")
    if len(input_features) != model.n_features_in_:
        raise ValueError(
            "input_features should have length equal to number of features "
            f"({model.n_features_in_}), got {len(input_features)}"
        )
    return input_features
