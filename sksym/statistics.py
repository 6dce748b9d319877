"""What a regression needs to know of its rows: a triangular factor, counts, range and moments.

Statistics of disjoint rows merge, in any order and grouping, to those of all rows. Streams,
``partial_fit``, folds of cross-validation and several machines are this one operation.
"""

from dataclasses import dataclass, replace

import numpy as np

from sksym._linalg import merge_rows, one_thread, row_blocks


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sufficient statistics of weighted rows ``sqrt(w) [z, y]`` of a linear regression.

    Attributes
    ----------
    R : ndarray of shape (<= k + t, k + t)
        Triangular factor: ``R^T R`` is the weighted Gram matrix of the rows [z, y], with k
        columns z of the design and t of targets. A Gram matrix itself would lose every direction
        below the square root of machine precision.
    n_targets : int
        t.
    n_rows : int
        Rows of X that were seen.
    weight : float
        Sum of the weights of the rows of the regression.
    low, high : ndarray of shape (d,)
        Range of the columns of X.
    mean, deviation : ndarray of shape (d,)
        Weighted mean of the columns of X, and weighted standard deviation about it.
    """

    R: np.ndarray
    n_targets: int
    n_rows: int
    weight: float
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def empty(cls, n_unknowns, n_targets, d):
        """Return the statistics of no rows, for designs with that many columns and X (n, d)."""
        return cls(
            R=np.zeros((0, n_unknowns + n_targets)),
            n_targets=n_targets,
            n_rows=0,
            weight=0.0,
            low=np.full(d, np.inf),
            high=np.full(d, -np.inf),
            mean=np.zeros(d),
            deviation=np.zeros(d),
        )

    @property
    def n_unknowns(self):
        """Number of columns of the design, k."""
        return self.R.shape[1] - self.n_targets

    @property
    def design(self):
        """The columns of the factor that belong to the design, (.., k)."""
        return self.R[:, : self.n_unknowns]

    @property
    def targets(self):
        """The columns of the factor that belong to the targets, (.., t)."""
        return self.R[:, self.n_unknowns :]

    @property
    def spread(self):
        """Standard deviation of the columns of X, pooled over them."""
        return _root_mean_square(self.deviation, np.ones(len(self.deviation)))

    def update(self, X, weight, design, target):
        """Add rows.

        Parameters
        ----------
        X : ndarray of shape (n, d)
        weight : ndarray of shape (n,)
            Positive weights.
        design : ndarray of shape (n q, k)
        target : ndarray of shape (n q, t)
            One or several rows of the regression for each row of X.
        """
        root = np.sqrt(np.repeat(weight, len(design) // len(X)))[:, None]
        rows = np.concatenate([design, target], axis=1) * root
        total = weight.sum()
        mean = weight @ X / total
        return self.merge(
            replace(
                self,
                R=rows,
                n_rows=len(X),
                weight=float(total),
                low=X.min(axis=0),
                high=X.max(axis=0),
                mean=mean,
                deviation=_root_mean_square(X - mean, weight),
            )
        )

    def merge(self, other):
        """Return the statistics of both sets of rows; associative up to round-off.

        Raises
        ------
        ValueError
            If they belong to regressions of different shape.
        """
        ours = (self.R.shape[1], self.n_targets, len(self.mean))
        theirs = (other.R.shape[1], other.n_targets, len(other.mean))
        if ours != theirs:
            raise ValueError(
                f"Statistics of {ours[0] - ours[1]} unknowns, {ours[1]} targets and {ours[2]} "
                f"features cannot be merged with those of {theirs[0] - theirs[1]}, {theirs[1]} "
                f"and {theirs[2]}."
            )
        weight = self.weight + other.weight
        if not weight:
            return self
        share = self.weight / weight
        other_share = other.weight / weight
        apart = other.mean - self.mean
        # Roots, not squares: data in any unit, 1e200 too, do not overflow.
        within = np.hypot(self.deviation * np.sqrt(share), other.deviation * np.sqrt(other_share))
        between = np.abs(apart) * np.sqrt(share * other_share)
        return replace(
            self,
            R=merge_rows(self.R, other.R),
            n_rows=self.n_rows + other.n_rows,
            weight=weight,
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
            mean=self.mean + apart * other_share,
            deviation=np.hypot(within, between),
        )

    def in_other_unknowns(self, change):
        """Return the statistics for unknowns ``w'`` with ``w'^T = w^T change``, `change` (k, k).

        The design is linear in the functions that the unknowns multiply, so its columns mix by
        the inverse of `change`.
        """
        turned = np.linalg.solve(change, self.design.T).T
        return replace(self, R=np.concatenate([turned, self.targets], axis=1))


def regression_statistics(functions, X, Y, weight, n_unknowns, rows_per_sample=1, block_width=None):
    """Stream rows of data into `Statistics`.

    Parameters
    ----------
    functions : callable
        ``functions(X)`` gives the design of a block of rows, (n q, k).
    X : ndarray of shape (n, d)
    Y : ndarray of shape (n, t)
        With several rows of the regression for each sample, t = q values that make one target.
    weight : ndarray of shape (n,)
        Rows of weight zero are left out: they may lie where the functions are undefined.
    n_unknowns : int
        k.
    rows_per_sample : int
        q.
    block_width : int, default=None
        Numbers for each row in a block; None: as many as the regression has.
    """
    if not weight.all():
        counted = weight > 0
        X = X[counted]
        Y = Y[counted]
        weight = weight[counted]
    n_targets = Y.shape[1] // rows_per_sample
    statistics = Statistics.empty(n_unknowns, n_targets, X.shape[1])
    if block_width is None:
        block_width = (n_unknowns + n_targets) * rows_per_sample
    with one_thread():
        for rows in row_blocks(len(X), block_width):
            target = Y[rows].reshape(-1, n_targets)
            statistics = statistics.update(X[rows], weight[rows], functions(X[rows]), target)
    return statistics


def statistics_through(operator, functions, X, Y, weight):
    """Return `Statistics` of the rows ``Y = operator(functions(X)) w``.

    Parameters
    ----------
    operator : callable
        A linear map of the rows, from (n, k) to (m, k).
    functions : callable
        ``functions(X)`` gives (n, k).
    X : ndarray of shape (n, d)
    Y : ndarray of shape (m, t)
    weight : ndarray of shape (m,)
    """
    design = operator(functions(X))
    counted = weight > 0
    root = np.sqrt(weight[counted])[:, None]
    rows = np.concatenate([design[counted], Y[counted]], axis=1) * root
    mean = X.mean(axis=0)
    with one_thread():
        R = np.linalg.qr(rows, mode="r")
    return Statistics(
        R=R,
        n_targets=Y.shape[1],
        n_rows=len(X),
        weight=float(weight.sum()),
        low=X.min(axis=0),
        high=X.max(axis=0),
        mean=mean,
        deviation=_root_mean_square(X - mean, np.ones(len(X))),
    )


def _root_mean_square(values, weight):
    """Compute the weighted root mean square along the first axis, without overflow."""
    unit = np.abs(values).max(axis=0)
    unit = np.where(unit > 0, unit, 1.0)
    return unit * np.sqrt(weight @ (values / unit) ** 2 / weight.sum())
