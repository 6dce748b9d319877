"""Sums over pairs of points of functions of their distance: energies and forces of molecules.

Index legend: n rows, m points of `dim` coordinates, P pairs of points, s sets of pairs, k functions
of the distance, p = s k library functions.
"""

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import check_count
from sksym.libraries.distances import GivenFunctions, Splines, n_functions_of, read_functions
from sksym.libraries.library import Library, NotClosedError
from sksym.libraries.polynomial import power_of_two

_BLOCK = 2**20  # numbers in the largest array of a block of rows
_SAME = 1e-12  # distance from a motion of all points together that is round-off


class PairLibrary(Library):
    """Sums over pairs of points of functions of their distance: ``sum_(i<j) f_k(|x_i - x_j|)``.

    A row of X holds points side by side: x, y and z of the first atom, then of the second. With
    `labels` there is one sum for the pairs of each two labels, so that like atoms share a
    function. All functions are invariant under translations, rotations and reflections of all
    points together, and under permutations of points with the same label.

    Parameters
    ----------
    n_points : int, default=None
        Number of points m; None: as many as the columns hold.
    dim : int, default=3
        Coordinates of a point.
    functions : int or sequence, default=10
        Functions of the distance. An int: that many natural cubic splines over the distances seen
        in ``fit``, for each two labels; coefficients are the values at equally spaced distances.
        Or callables that are given an array of distances; a pair (f, df) adds the derivative,
        which is numerical otherwise (by complex step where f allows it).
    labels : sequence of m str or int, default=None
        Of the points, such as chemical elements. None: all are alike.
    columns : sequence of int or str, default=None
        The columns that hold the points; others are left out. None: all.

    Attributes
    ----------
    columns_ : ndarray of int, or None
        The columns taken; None: all.
    pairs_ : ndarray of shape (P, 2)
        The pairs of points i < j, one set after the other.
    sets_ : list of tuple
        For each set of pairs its name and the slice of `pairs_`.
    functions_ : list
        The functions of the distance of each set.
    jacobian_rtol_ : float
        Relative accuracy of `jacobian`: zero but for numerical derivatives without complex step.
    n_output_features_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from sksym.libraries import PairLibrary
    >>> library = PairLibrary(3, 3, [np.exp, np.square], labels=["O", "H", "H"])
    >>> library.fit([[0.0, 0, 0, 3, 0, 0, 0, 4, 0]]).get_feature_names_out()
    array(['exp(r O-H)', 'square(r O-H)', 'exp(r H-H)', 'square(r H-H)'], dtype=object)
    >>> library.transform([[0.0, 0, 0, 3, 0, 0, 0, 4, 0]])[0, [1, 3]]
    array([25., 25.])
    """

    def __init__(self, n_points=None, dim=3, functions=10, labels=None, columns=None):
        self.n_points = n_points
        self.dim = dim
        self.functions = functions
        self.labels = labels
        self.columns = columns

    def fit(self, X, y=None):
        """List the pairs, and place splines on the distances in `X` (n, d)."""
        check_count(self.dim, "dim")
        n_splines, given = read_functions(self.functions)
        X = self.fit_input(X)
        m = self._number_of_points(X.shape[1])
        labels = self._checked_labels(m)
        self.pairs_, self.sets_ = _pairs(labels)
        nearest, farthest = self._ranges(X)
        if given is None:
            functions = []
            for low, high in zip(nearest, farthest, strict=True):
                functions.append(Splines.on(low, high, n_splines))
        else:
            # The same functions for all sets.
            seen = np.concatenate([nearest, farthest])
            functions = [GivenFunctions.of(given, seen)] * len(self.sets_)
        self.functions_ = functions
        self.jacobian_rtol_ = max(f.derivative_rtol for f in functions)
        self.n_output_features_ = sum(len(f.names) for f in functions)
        return self

    def extremes(self, X):
        """Return the rows of the nearest and farthest pairs; None where splines depend on more.

        Parameters
        ----------
        X : ndarray of shape (n, d)

        Returns
        -------
        ndarray of shape (e, d), or None
        """
        n_splines, _ = read_functions(self.functions)
        if n_splines is not None:  # splines of other knots are other functions
            return None
        return np.asarray(X)[:1]

    def transform(self, X):
        """Evaluate the functions: shape (n, p)."""
        X = self.transform_input(X)
        out = np.empty((len(X), self.n_output_features_))
        for rows in self._blocks(len(X)):
            _, r = self._differences(X[rows])
            for functions, pairs, columns in self._by_set():
                values = functions.values(r[pairs])  # (pairs of the set, n, k)
                out[rows, columns] = values.sum(axis=0)
        return out.astype(X.dtype, copy=False)

    def jacobian(self, X):
        """Differentiate by the coordinates of x: shape (n, p, d).

        Where two points coincide the distance has no derivative, and zero is taken: the pull of a
        point on itself.
        """
        X = self.transform_input(X)
        n, d = X.shape
        m = d // self.dim
        out = np.empty((n, self.n_output_features_, d))
        for rows in self._blocks(n):
            difference, r = self._differences(X[rows])
            direction = difference / np.where(r > 0, r, 1.0)[:, :, None]
            for functions, pairs, columns in self._by_set():
                # d f(r) / d x_i = f'(r) (x_i - x_j) / r, and the opposite for x_j
                slopes = functions.slopes(r[pairs])
                pull = slopes[:, :, :, None] * direction[pairs][:, :, None]
                incidence = _incidence(self.pairs_[pairs], m)
                on_points = incidence @ pull.reshape(len(pull), -1)
                on_points = on_points.reshape(m, *pull.shape[1:])
                by_row = on_points.transpose(1, 2, 0, 3)  # row, function, point, coordinate
                out[rows, columns] = by_row.reshape(*by_row.shape[:2], d)
        return self.on_all_columns(out.astype(X.dtype, copy=False))

    def get_feature_names_out(self, input_features=None):
        """Return ``exp(r), ..``, or ``exp(r H-O), ..`` where points have labels.

        Parameters
        ----------
        input_features : sequence of d str, default=None
            Names of the columns of X; they are checked, and not shown.

        Returns
        -------
        ndarray of shape (p,) of str
        """
        self.names_of_columns(input_features)
        names = []
        for functions, (label, _) in zip(self.functions_, self.sets_, strict=True):
            distance = f"r {label}" if label else "r"
            for name in functions.names:
                names.append(f"{name}({distance})")
        return np.array(names, dtype=object)

    def lie_matrices(self, algebra):
        """Return zeros (p, r p), sparse, for rotations and translations of all points together.

        Raises
        ------
        NotClosedError
            If a generator changes distances, or may do so.
        """
        check_is_fitted(self)
        linear = self.on_taken_columns(algebra.linear)
        offset = self.taken(algebra.offset)
        r = len(linear)
        blocks = self._by_points(linear)
        is_diagonal = np.eye(blocks.shape[1], dtype=bool)
        diagonal = blocks[:, is_diagonal]
        first = diagonal[:, 0]
        points = offset.reshape(r, blocks.shape[1], self.dim)
        # All points move alike: one skew block for each of them, and nothing that mixes points.
        errors = [
            blocks[:, ~is_diagonal],
            diagonal - first[:, None],
            first + first.transpose(0, 2, 1),
        ]
        blocks_error = max(np.abs(error).max(initial=0) for error in errors)
        offset_error = np.abs(points - points[:, :1]).max(initial=0)
        size = np.abs(linear).max(initial=0)
        size_of_offset = np.abs(offset).max(initial=0)
        if blocks_error > _SAME * size or offset_error > _SAME * size_of_offset:
            raise NotClosedError(
                "PairLibrary is known to be closed under rotations and translations of all points "
                f"together only, so({self.dim}).repeat(m) for m points, got {algebra!r}."
            )
        p = self.n_output_features_
        return sparse.csr_array((p, r * p))

    def group_matrix(self, g):
        """Return the identity (p, p), sparse, for motions that keep all functions.

        Orthogonal maps of all points together, and permutations of points with the same label.

        Raises
        ------
        NotClosedError
            If `g` is something else.
        """
        check_is_fitted(self)
        g = self.on_taken_columns(g)
        blocks = self._by_points(g)
        present = np.abs(blocks).max(axis=(2, 3)) > _SAME
        images = present.argmax(axis=1)
        is_permutation = (present.sum(axis=0) == 1).all() and (present.sum(axis=1) == 1).all()
        if self.labels is not None:
            labels = np.unique(self.labels, return_inverse=True)[1]
            is_permutation = is_permutation and (labels[images] == labels).all()
        moved = blocks[np.arange(len(blocks)), images]
        error = np.abs(moved - moved[0]).max()
        not_orthogonal = np.abs(moved[0] @ moved[0].T - np.eye(self.dim)).max()
        if not is_permutation or max(error, not_orthogonal) > _SAME:
            raise NotClosedError(
                "PairLibrary is known to be closed under orthogonal maps of all points together, "
                f"and permutations of points with the same label only, got the element\n{g}"
            )
        return sparse.eye_array(self.n_output_features_, format="csr")

    def _by_points(self, matrices):
        """Split matrices (.., m dim, m dim) into blocks (.., m, m, dim, dim)."""
        m = matrices.shape[-1] // self.dim
        split = matrices.reshape(*matrices.shape[:-2], m, self.dim, m, self.dim)
        return np.swapaxes(split, -3, -2)

    def _differences(self, X):
        """Compute ``x_i - x_j`` (P, n, dim) and its length (P, n) for all pairs."""
        n, d = X.shape
        points = X.astype(float).reshape(n, d // self.dim, self.dim).transpose(1, 0, 2)
        first, second = self.pairs_.T
        difference = points[first] - points[second]
        # In a unit of a power of two, so that no square overflows or vanishes.
        unit = power_of_two(np.abs(difference).max(initial=0))
        squares = (difference / unit) ** 2
        return difference, unit * np.sqrt(squares.sum(axis=2))

    def _ranges(self, X):
        """Return the smallest and the largest distance in each set."""
        nearest = np.full(len(self.sets_), np.inf)
        farthest = np.zeros(len(self.sets_))
        for rows in self._blocks(len(X)):
            _, r = self._differences(X[rows])
            for a, (_, pairs) in enumerate(self.sets_):
                nearest[a] = min(nearest[a], r[pairs].min())
                farthest[a] = max(farthest[a], r[pairs].max())
        return nearest, farthest

    def _by_set(self):
        """List the functions, the slice of pairs and the slice of library functions of each set."""
        start = 0
        sets = []
        for functions, (_, pairs) in zip(self.functions_, self.sets_, strict=True):
            stop = start + len(functions.names)
            sets.append((functions, pairs, slice(start, stop)))
            start = stop
        return sets

    def _blocks(self, n):
        """Yield slices of n rows whose pulls of all pairs fit the cache."""
        most = n_functions_of(self.functions)
        width = len(self.pairs_) * self.dim * most
        size = max(_BLOCK // width, 1)
        for start in range(0, n, size):
            yield slice(start, min(start + size, n))

    def _number_of_points(self, n_columns):
        """Return m, checked against the columns."""
        dim = self.dim
        m = self.n_points
        if m is None:
            m = n_columns // dim
        else:
            check_count(m, "n_points")
        if m * dim != n_columns:
            raise ValueError(
                f"{m} points of {dim} coordinates need {m * dim} columns, but there are "
                f"{n_columns}: check `n_points` and `dim`, or name the columns in `columns`."
            )
        if m < 2:
            raise ValueError(
                f"A pair needs two points, but X has {n_columns} feature(s) and `dim` is {dim}."
            )
        return m

    def _checked_labels(self, m):
        """Return the labels of m points; all the same where there are none."""
        if self.labels is None:
            return [""] * m
        labels = list(self.labels)
        if len(labels) != m:
            raise ValueError(f"`labels` must name each of the {m} points, got {len(labels)}.")
        return labels


def _pairs(labels):
    """List the pairs of points, and the sets of those with the same two labels.

    Parameters
    ----------
    labels : list of m labels

    Returns
    -------
    pairs : ndarray of shape (P, 2)
        One set after the other.
    sets : list of (str, slice)
        Name of each set, such as ``H-O``, empty without labels; and its pairs.
    """
    m = len(labels)
    first, second = np.triu_indices(m, 1)
    _, code = np.unique(np.array([str(label) for label in labels]), return_inverse=True)
    # In the order in which labels first appear.
    order = list(dict.fromkeys(code.tolist()))
    rank = np.argsort(order)[code]
    low = np.minimum(rank[first], rank[second])
    high = np.maximum(rank[first], rank[second])
    kind = low * m + high
    by_set = np.argsort(kind, kind="stable")
    pairs = np.column_stack([first, second])[by_set]
    kinds, starts = np.unique(kind[by_set], return_index=True)
    stops = [*starts[1:], len(pairs)]
    names = list(dict.fromkeys(str(label) for label in labels))
    sets = []
    for one_kind, start, stop in zip(kinds, starts, stops, strict=True):
        a, b = divmod(int(one_kind), m)
        name = f"{names[a]}-{names[b]}" if names != [""] else ""
        sets.append((name, slice(int(start), int(stop))))
    return pairs, sets


def _incidence(pairs, m):
    """Return the matrix (m, P) with 1 where a pair begins and -1 where it ends."""
    P = len(pairs)
    signs = np.concatenate([np.ones(P), -np.ones(P)])
    rows = pairs.T.ravel()
    columns = np.tile(np.arange(P), 2)
    return sparse.csr_array((signs, (rows, columns)), shape=(m, P))
