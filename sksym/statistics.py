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
            low=np.full(d, np.inf),  # neutral in `merge`
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

    def square_factor(self):
        """Return R with rows of zeros where there were fewer rows than columns: (k + t, k + t)."""
        n_missing = self.R.shape[1] - len(self.R)
        return np.pad(self.R, ((0, max(n_missing, 0)), (0, 0)))

    @property
    def spread(self):
        """Standard deviation of the columns of X, pooled over them."""
        equal_weight = np.ones(len(self.deviation))
        return root_mean_square(self.deviation, equal_weight)

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
        # Several outputs of one sample have its weight each.
        rows_per_sample = len(design) // len(X)
        weight_of_rows = np.repeat(weight, rows_per_sample)
        sqrt_weight = np.sqrt(weight_of_rows)
        rows = np.concatenate([design, target], axis=1)
        with np.errstate(over="ignore"):
            rows = rows * sqrt_weight[:, None]
        if not np.isfinite(rows).all():
            raise ValueError(
                "The values of the regression overflow: rescale y, or X, or divide all of "
                f"`sample_weight` by one number, the largest is {weight.max():.3g}."
            )
        total = weight.sum()
        mean = (weight / total) @ X
        return self.merge(
            replace(
                self,
                R=rows,
                n_rows=len(X),
                weight=float(total),
                low=X.min(axis=0),
                high=X.max(axis=0),
                mean=mean,
                deviation=root_mean_square(X - mean, weight),
            )
        )

    def merge(self, other):
        """Return the statistics of both sets of rows; associative up to round-off.

        Raises
        ------
        ValueError
            If they belong to regressions of different shape.
        """
        ours = (self.n_unknowns, self.n_targets, len(self.mean))
        theirs = (other.n_unknowns, other.n_targets, len(other.mean))
        if ours != theirs:
            raise ValueError(
                f"Statistics of {ours[0]} unknowns, {ours[1]} targets and {ours[2]} "
                f"features cannot be merged with those of {theirs[0]}, {theirs[1]} "
                f"and {theirs[2]}."
            )
        weight = self.weight + other.weight
        if not weight:
            return self
        share = self.weight / weight
        other_share = other.weight / weight
        # The variance within both sets, and that between their means (Chan, Golub, LeVeque 1979).
        # Roots, not squares: data in any unit, 1e200 too, do not overflow.
        within = np.hypot(
            self.deviation * np.sqrt(share),
            other.deviation * np.sqrt(other_share),
        )
        distance = other.mean - self.mean
        between = np.abs(distance) * np.sqrt(share * other_share)
        return replace(
            self,
            R=merge_rows(self.R, other.R),
            n_rows=self.n_rows + other.n_rows,
            weight=weight,
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
            mean=self.mean + distance * other_share,
            deviation=np.hypot(within, between),
        )

    def in_other_unknowns(self, change):
        """Return the statistics for unknowns ``w'`` with ``w'^T = w^T change``, `change` (k, k).

        The design is linear in the functions that the unknowns multiply, so its columns mix by
        the inverse of `change`.
        """
        design = np.linalg.solve(change, self.design.T).T
        # No longer triangular, which nothing relies on: the next merge makes it so.
        R = np.concatenate([design, self.targets], axis=1)
        return replace(self, R=R)


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
        is_counted = weight > 0
        X = X[is_counted]
        Y = Y[is_counted]
        weight = weight[is_counted]
    n, d = X.shape
    n_targets = Y.shape[1] // rows_per_sample
    statistics = Statistics.empty(n_unknowns, n_targets, d)
    if block_width is None:
        block_width = (n_unknowns + n_targets) * rows_per_sample
    # QR factors of blocks that fit the cache, where several threads would only contend.
    with one_thread():
        for rows in row_blocks(n, block_width):
            design = functions(X[rows])
            target = Y[rows].reshape(len(design), n_targets)
            statistics = statistics.update(X[rows], weight[rows], design, target)
    return statistics


def statistics_through(design, X, Y, weight):
    """Return `Statistics` of rows that an operator made of all rows of X together.

    Parameters
    ----------
    design : ndarray of shape (m q, k)
        One or several rows of the regression for each row of Y.
    X : ndarray of shape (n, d)
    Y : ndarray of shape (m, t)
        With several rows of the design for each of them, t = q values that make one target.
    weight : ndarray of shape (m,)
    """
    rows_per_sample = len(design) // len(Y)
    row_weight = np.repeat(weight, rows_per_sample)
    target = Y.reshape(len(design), -1)
    is_counted = row_weight > 0
    sqrt_weight = np.sqrt(row_weight[is_counted])
    rows = np.concatenate([design, target], axis=1)
    rows = rows[is_counted] * sqrt_weight[:, None]
    # The range and the moments are those of X, whose rows have no weights of their own.
    mean = X.mean(axis=0)
    with one_thread():
        R = np.linalg.qr(rows, mode="r")
    return Statistics(
        R=R,
        n_targets=target.shape[1],
        n_rows=len(X),
        weight=float(weight.sum()),
        low=X.min(axis=0),
        high=X.max(axis=0),
        mean=mean,
        deviation=root_mean_square(X - mean, np.ones(len(X))),
    )


def root_mean_square(values, weight):
    """Compute the weighted root mean square along the first axis, without overflow."""
    # In units of the largest value, whose square cannot overflow.
    size = np.abs(values).max(axis=0)
    unit = np.where(size > 0, size, 1.0)
    square = weight @ (values / unit) ** 2
    mean_square = square / weight.sum()
    return unit * np.sqrt(mean_square)
