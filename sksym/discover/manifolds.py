"""Evidence from a data set as a submanifold: local patches, or functions that vanish on it."""

from dataclasses import dataclass

import numpy as np

from sksym._linalg import one_thread
from sksym.discover.level_set import best_level_set
from sksym.discover.patches import Neighbourhoods, PatchPair
from sksym.discover.sampling import some_rows
from sksym.evidence import FittedEvidence, SampledEvidence

_LARGEST_SET = 50_000  # of more points this many are drawn
_ROWS = 2000  # points at which tangent spaces are estimated
_TIE = 1.05  # ratio of distances at which the level set wins, as the simpler description


@dataclass(frozen=True, eq=False)
class ManifoldEvidence:
    """What a data set says about the candidates, and how it was described.

    Attributes
    ----------
    evidence : FittedEvidence or SampledEvidence
    dimension : int
    method : str
        "patches", "level set", or "none" where the data fill space.
    """

    evidence: FittedEvidence | SampledEvidence
    dimension: int
    method: str


def tangent_evidence(candidates, X, weight, rng):
    """Return the normal components of the candidate fields along a submanifold through the data.

    Two descriptions compete by the distance of points that were left out. *Patches*: the
    normal coordinates of the nearest neighbours of a point as quadratic functions of the
    tangential ones. *Level set*: polynomials that vanish on the data, of least mean square
    relative to that of their gradients (Taubin 1991). Of more than 50,000 points a random subset is
    used.

    Parameters
    ----------
    candidates : LieAlgebra or VectorFields
    X : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    rng : RandomState

    Returns
    -------
    ManifoldEvidence
    """
    if len(X) > _LARGEST_SET:
        chosen = some_rows(len(X), _LARGEST_SET, rng)
        X = X[chosen]
        weight = weight[chosen]
    centers = some_rows(len(X), _ROWS, rng)
    d = X.shape[1]
    with one_thread():
        neighbourhoods = Neighbourhoods.of(X, centers)
        dimension = neighbourhoods.dimension
        if dimension == d:
            return ManifoldEvidence(no_evidence(candidates.dim), d, "none")
        patches = PatchPair.of(X, neighbourhoods)
        level_set, distance = best_level_set(X, weight, d - dimension, rng)
        if level_set is not None and distance <= _TIE * patches.best.distance:
            evidence = level_set.evidence(candidates, X, weight)
            return ManifoldEvidence(evidence, dimension, "level set")
        evidence = patches.evidence(candidates, X, weight, weight[centers], rng)
        return ManifoldEvidence(evidence, dimension, "patches")


def no_evidence(r):
    """Return evidence that says nothing about r candidates."""
    nothing = np.zeros((r, r))
    return SampledEvidence(
        rows=np.zeros((1, 1, r)),
        motion=nothing,
        noise=nothing,
        bias=nothing,
        clusters=np.zeros(1),
    )
