"""Sums over pairs of points of functions of their distance: energies and forces of molecules.

Index legend: n rows, m points of `dim` coordinates, P pairs of points, s sets of pairs, k functions
of the distance, p = s k library functions.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import check_count
from sksym.libraries.distances import GivenFunctions, Splines, n_functions_of, read_functions
from sksym.libraries.library import Library, NotClosedError
from sksym.libraries.points import are_permuted, distances, move_together

_BLOCK = 2**20  # numbers in the largest array of a block of rows


@dataclass(frozen=True, eq=False)
class PairSet:
    """The pairs of points with the same two labels, and their functions of the distance.

    Attributes
    ----------
    name : str
        Such as ``H-O``; empty where points have no labels.
    pairs : ndarray of shape (P, 2)
        Indices i < j of points.
    functions : Splines or GivenFunctions
        None before they are placed on data.
    """

    name: str
    pairs: np.ndarray
    functions: Splines | GivenFunctions | None = None

    @property
    def n_functions(self):
        return len(self.functions.names)

    def incidence(self, m):
        """Return the matrix (m, P) with 1 where a pair begins and -1 where it ends."""
        P = len(self.pairs)
        ones = np.ones(P)
        signs = np.concatenate([ones, -ones])
        points = self.pairs.T.ravel()
        columns = np.tile(np.arange(P), 2)
        return sparse.csr_array(
            (signs, (points, columns)),
            shape=(m, P),
        )


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
        Functions of the distance. An int: that many cubic splines over the distances seen in
        ``fit``, for each two labels; coefficients are the values at knots, denser at short
        distances, and beyond those seen functions go on with little curvature.
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
    sets_ : list of PairSet
        The pairs of each two labels, and their functions.
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
        n_columns = X.shape[1]
        m = self._number_of_points(n_columns)
        sets = _sets_of_pairs(self._labels(m))
        ranges = []
        for pair_set in sets:
            ranges.append(self._range(X, pair_set))
        if given is None:
            functions = []
            for low, high in ranges:
                functions.append(Splines.on(low, high, n_splines))
        else:
            # The same functions for all sets.
            seen = np.ravel(ranges)
            one_list = GivenFunctions.of(given, seen)
            functions = [one_list] * len(sets)
        self.sets_ = []
        for pair_set, of_set in zip(sets, functions, strict=True):
            self.sets_.append(replace(pair_set, functions=of_set))
        self.jacobian_rtol_ = max(f.derivative_rtol for f in functions)
        self.n_output_features_ = sum(s.n_functions for s in self.sets_)
        return self

    def extremes(self, X):
        """Return one row: functions that are given depend on no data; None for splines.

        Parameters
        ----------
        X : ndarray of shape (n, d)

        Returns
        -------
        ndarray of shape (1, d), or None
        """
        n_splines, _ = read_functions(self.functions)
        if n_splines is not None:  # splines of other knots are other functions
            return None
        return np.asarray(X)[:1]

    def transform(self, X):
        """Evaluate the functions: shape (n, p)."""
        X = self.transform_input(X)
        n = len(X)
        out = np.empty((n, self.n_output_features_))
        for pair_set, columns in self._sets_with_columns():
            for rows in self._blocks(n, pair_set):
                _, r = distances(X[rows], pair_set.pairs, self.dim)
                values = pair_set.functions.values(r)  # (P, n, k)
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
        for pair_set, columns in self._sets_with_columns():
            incidence = pair_set.incidence(m)
            k = pair_set.n_functions
            for rows in self._blocks(n, pair_set):
                # d f(r) / d x_i = f'(r) (x_i - x_j) / r, and the opposite for x_j
                difference, r = distances(X[rows], pair_set.pairs, self.dim)
                safe = np.where(r > 0, r, 1.0)
                direction = difference / safe[:, :, None]
                slopes = pair_set.functions.slopes(r)
                pull = slopes[:, :, :, None] * direction[:, :, None]
                pull = pull.reshape(len(r), -1)
                on_points = incidence @ pull
                # From (point, row, function, coordinate) to (row, function, all coordinates).
                on_points = on_points.reshape(m, -1, k, self.dim)
                on_points = on_points.transpose(1, 2, 0, 3)
                out[rows, columns] = on_points.reshape(-1, k, d)
        out = out.astype(X.dtype, copy=False)
        return self.on_all_columns(out)

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
        for pair_set in self.sets_:
            distance = f"r {pair_set.name}".strip()
            for name in pair_set.functions.names:
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
        if not move_together(linear, offset, self.dim):
            raise NotClosedError(
                "PairLibrary is known to be closed under rotations and translations of all points "
                f"together only, se({self.dim}).repeat(m) for m points, got {algebra!r}."
            )
        p = self.n_output_features_
        return sparse.csr_array((p, algebra.dim * p))

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
        labels = self._labels(len(g) // self.dim)
        if not are_permuted(g, self.dim, labels):
            raise NotClosedError(
                "PairLibrary is known to be closed under orthogonal maps of all points together, "
                f"and permutations of points with the same label only, got the element\n{g}"
            )
        return sparse.eye_array(self.n_output_features_, format="csr")

    def _sets_with_columns(self):
        """List the sets of pairs with the slices of their library functions."""
        start = 0
        sets = []
        for pair_set in self.sets_:
            stop = start + pair_set.n_functions
            sets.append((pair_set, slice(start, stop)))
            start = stop
        return sets

    def _blocks(self, n, pair_set):
        """Yield slices of n rows whose pulls of all pairs of a set fit the cache."""
        k = n_functions_of(self.functions)
        width = len(pair_set.pairs) * self.dim * k
        size = max(_BLOCK // width, 1)
        for start in range(0, n, size):
            stop = min(start + size, n)
            yield slice(start, stop)

    def _range(self, X, pair_set):
        """Return the smallest and the largest distance in a set."""
        nearest = np.inf
        farthest = 0.0
        for rows in self._blocks(len(X), pair_set):
            _, r = distances(X[rows], pair_set.pairs, self.dim)
            nearest = min(nearest, r.min())
            farthest = max(farthest, r.max())
        return nearest, farthest

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

    def _labels(self, m):
        """Return the labels of m points as text; all the same where there are none."""
        if self.labels is None:
            return [""] * m
        labels = [str(label) for label in self.labels]
        if len(labels) != m:
            raise ValueError(f"`labels` must name each of the {m} points, got {len(labels)}.")
        return labels


def _sets_of_pairs(labels):
    """List the pairs of points with the same two labels, in the order of their appearance.

    Parameters
    ----------
    labels : list of m str

    Returns
    -------
    list of PairSet
    """
    names = list(dict.fromkeys(labels))
    code = np.array([names.index(label) for label in labels])
    first, second = np.triu_indices(len(labels), 1)
    pairs = np.column_stack([first, second])
    # The two labels of each pair, in either order.
    of_pairs = np.sort(code[pairs], axis=1)
    kinds, kind = np.unique(of_pairs, axis=0, return_inverse=True)
    kind = kind.ravel()
    sets = []
    for index, (a, b) in enumerate(kinds):
        name = f"{names[a]}-{names[b]}"
        if name == "-":
            name = ""
        members = pairs[kind == index]
        sets.append(PairSet(name, members))
    return sets
