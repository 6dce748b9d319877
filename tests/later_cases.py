"""Rows of ESTIMATORS in cases.py whose rooms have not moved yet."""

from sklearn.linear_model import LinearRegression

import sksym as sk


def translations_and_permutations(d):
    """Candidates of both kinds; a function of a module, so that estimators that hold it pickle."""
    return sk.translations(d) + sk.permutations(d)


LATER_ESTIMATORS = [
    sk.SymmetryDiscoverer(),
    sk.SymmetryDiscoverer(sk.gl, library=sk.PolynomialLibrary(2)),
    sk.SymmetryDiscoverer(sk.gl, snap=False, robust=True),
    sk.SymmetryDiscoverer(sk.gl, estimator=LinearRegression()),
    sk.SymmetryPromotingRegressor(),
    sk.SymmetryPromotingRegressor(sk.translations, alpha=0.0),
    sk.SymmetryPromotingRegressor(
        sk.translations, alpha=1e-3, ridge=1e-3, adaptive=False, refit=False
    ),
    sk.SymmetryPromotingRegressor(translations_and_permutations, alpha=0.1),
    sk.SymmetryPromotingRegressor(sk.translations, library=sk.FourierLibrary()),
    sk.SymmetryPromotingRegressor(sk.translations, symmetry=sk.so),
    sk.SymmetryPromotingRegressorCV(sk.translations, alphas=3, ridges=[1e-3], cv=3, adaptive=False),
]
