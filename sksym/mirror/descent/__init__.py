"""Mirrors by stochastic gradient descent on products of factors."""

from sksym.mirror.descent.sgd import MirrorSGDRegressor

__all__ = ["MirrorSGDRegressor"]
