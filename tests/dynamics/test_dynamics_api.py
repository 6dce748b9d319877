"""The SINDy estimators as scikit-learn sees them."""

import numpy as np
import pysindy as ps
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import assert_all_finite, check_consistent_length, column_or_1d

from sksym import (
    PolynomialLibrary,
    SymmetryPromotingSINDy,
    WeakSymmetryPromotingSINDy,
    translations,
)
from sksym._estimator import adopt
from sksym.pysindy import SymmetryOptimizer

KINDS = [SymmetryPromotingSINDy, WeakSymmetryPromotingSINDy, SymmetryOptimizer]


def flat(values):
    """One state as scikit-learn's checks expect it, (n,)."""
    return values[:, 0] if values.shape[1] == 1 else values


def shape_of(values):
    return values.shape if hasattr(values, "shape") else np.asarray(values).shape


class FirstColumns(SymmetryPromotingSINDy):
    """As many states as y has columns, the first of X; the others are controls."""

    def fit(self, X, y=None, sample_weight=None):
        n_states = shape_of(y)[1] if len(shape_of(y)) > 1 else 1
        model = SymmetryPromotingSINDy(**self.get_params(deep=False))
        model.controls = range(n_states, shape_of(X)[-1])
        return adopt(self, model.fit(X, y, sample_weight))

    def predict(self, X):
        return flat(super().predict(X))


class OneTrajectory(WeakSymmetryPromotingSINDy):
    """The weak form takes no y, but scikit-learn's checks always give one."""

    def fit(self, X, y=None):
        if y is not None:
            y = column_or_1d(y, warn=True)
            check_consistent_length(X, y)
            assert_all_finite(y)
        return super().fit(X)

    def predict(self, X):
        return super().predict(X)[:, 0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        tags.regressor_tags.poor_score = True  # y is nothing to it
        return tags


class FlatOptimizer(SymmetryOptimizer):
    """One state as scikit-learn's checks expect it."""

    def predict(self, X):
        return flat(super().predict(X))


COORDINATES = ps.IdentityLibrary()


@parametrize_with_checks(
    [
        FirstColumns(),
        FirstColumns(threshold=0.0, ridge=1e-3),
        OneTrajectory(),
        OneTrajectory(translations, library=PolynomialLibrary(1), threshold=0.0),
        FlatOptimizer(library=COORDINATES),
        FlatOptimizer(library=COORDINATES, threshold=0.0, ridge=1e-3),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
