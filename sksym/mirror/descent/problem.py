"""Rows and mirrors of one training, in their own units and in those of the descent."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sksym._estimator import TrainingData
from sksym.mirror.backends import LeastSquaresOnly, MirrorProblem, backend_for
from sksym.mirror.centred_data import CentredData
from sksym.mirror.coordinates import Constraints, block_coordinates
from sksym.mirror.descent.scaling import Standardised
from sksym.mirror.descent.training import Training
from sksym.mirror.operators import MirrorOperators

_ROUND_OFF = 1e-9  # singular values, relative to the largest, that count as zero
_EXACT_TOL = 1e-9  # duality gap aimed at after training, which must not be visible afterwards


@dataclass(frozen=True, eq=False)
class DescentProblem:
    """Rows and mirrors with the factors that are trained on them.

    Attributes
    ----------
    data : TrainingData
        Rows of positive weight.
    operators : MirrorOperators
    overlap : {"analysis", "latent"}
    fit_intercept : bool
    coordinates : object
        Coordinates in which the mirrors are blocks; None: they are rotations.
    training : Training
    rows : Standardised
    decay : ndarray of shape (m,)
    alpha : float
        In the units of `data`.
    """

    data: TrainingData
    operators: MirrorOperators
    overlap: str
    fit_intercept: bool
    coordinates: object
    training: Training
    rows: Standardised
    decay: np.ndarray
    alpha: float

    def backend(self, weight_factors=1.0):
        """Return the exact solver for the penalty that the decay makes, with changed weights."""
        operators = self.operators
        weights = weight_factors * operators.weights
        reweighted = MirrorOperators(
            operators.K, operators.sizes, weights, operators.names, operators.nuclear
        )
        return backend_for(self._exact_problem(reweighted))

    def _exact_problem(self, operators):
        """Return the problem with some penalty, in the units of the data."""
        data = CentredData.of(self.data.X, self.data.Y, self.data.weight, self.fit_intercept)
        return MirrorProblem(data, operators, self.overlap, tol=_EXACT_TOL)

    def least_objective(self):
        """Return the objective of least squares."""
        return LeastSquaresOnly(self._exact_problem(self.operators)).solve(0.0).objective

    def start(self, backend, fit):
        """Return the start of a back end from a fit, without the round-off of what vanishes."""
        state = backend.start_from(fit.W)
        if state is None or self.coordinates is None:
            return state
        # One row for each entry of a component.
        broken = np.repeat(fit.lengths > 0, self.operators.sizes)
        return state * broken[:, None]

    def coefficients(self, c, z):
        """Return the coefficients that components and free coefficients stand for.

        Parameters
        ----------
        c : ndarray of shape (t, q)
        z : ndarray of shape (f, q)

        Returns
        -------
        W : ndarray of shape (p, q)
        intercept : ndarray of shape (q,)
        lengths : ndarray of shape (m,)
            Zero for mirrors that hold.
        """
        c, free, intercept = self.training.scales.coefficients(c, z)
        # Columns of a matrix of low rank have one scale: its singular vectors are kept.
        if self.coordinates is None:
            s = np.linalg.svd(c, compute_uv=False)
            negligible = s <= _ROUND_OFF * s.max(initial=0)
            return c, intercept, np.where(negligible, 0.0, s)
        lengths = self.operators.norm(1.0).lengths(c)
        W = self.coordinates.coefficients(c, free)
        if self.coordinates.ties:
            W = Constraints(self.operators.rows_of(lengths == 0)).write(W)
        return W, intercept, lengths


def product_coordinates(operators, overlap, is_sparse):
    """Return coordinates in which the mirrors are blocks, None for rotations.

    Raises
    ------
    ValueError
        If the mirrors are no products, or if the products need dense data.
    """
    coordinates = block_coordinates(operators, overlap)
    only_rotations = operators.nuclear and not len(operators.sizes)
    if coordinates is None and not only_rotations:
        raise ValueError(
            "These mirrors have no product form: overlapping groups, graphs with cycles and "
            "`low_rank` beside others are not independent of each other. MirrorSparseRegressor "
            'penalises them as they are; overlap="latent" splits coefficients between groups.'
        )
    if is_sparse and coordinates is not None and coordinates.columns is None:
        raise ValueError(
            "Sparse X is for mirrors of single columns, for groups and for `low_rank`; these mix "
            "columns. Pass X.toarray()."
        )
    return coordinates


def product_columns(X, coordinates):
    """Return the columns of X (n, p) that are products (n, t), and the free ones (n, f)."""
    if coordinates is None:
        return X, np.zeros((X.shape[0], 0))
    if coordinates.columns is None:
        return coordinates.design(X)
    F = X[:, coordinates.free]
    if sparse.issparse(F):
        F = F.toarray()
    if np.array_equal(coordinates.columns, np.arange(X.shape[1])):
        return X, F
    return X[:, coordinates.columns], F
