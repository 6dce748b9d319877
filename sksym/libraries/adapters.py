"""Libraries of others: any scikit-learn transformer, any pysindy feature library."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.base import clone

from sksym._estimator import on_copy
from sksym._linalg import row_blocks
from sksym.libraries.library import Library, library_values
from sksym.libraries.numerical import (
    analytic,
    central_differences,
    complex_step,
    is_step_function,
)

_DIFFERENCE_ACCURACY = 1e-8  # relative, of central differences of fourth order
_FEW = 5  # rows at which derivatives by both methods are compared
_AGREE = 1e-4
_SMALL = 1e-6  # slopes of a function, relative to those of others, that round-off blurs
_KINKS = 0.3  # part of the slopes of a function that may disagree, at rows near a kink
_SMALLEST_STEP = 1e-100  # of a column that is zero throughout
_REQUIRED = ("fit", "transform", "jacobian")


@dataclass(frozen=True, repr=False)
class Uncloned:
    """A pysindy library that scikit-learn cannot clone: its parameters cannot all be read back."""

    library: object

    def __repr__(self):
        return type(self.library).__name__

    def fresh(self):
        """Return an independent copy."""
        return deepcopy(self.library)


class AdaptedLibrary(Library):
    """A fitted transformer with numerical derivatives.

    Derivatives by complex step, exact to round-off, where the transformer computes with complex
    numbers; otherwise by central differences of fourth order, good to about 1e-11 relative.

    Parameters
    ----------
    transformer : transformer
        Rows must be transformed one by one: smooth functions of the row alone. Functions that are
        constant almost everywhere, such as bins and categories, are refused.
    columns : sequence of int or str, default=None
        Columns that the transformer takes; None: all.

    Attributes
    ----------
    columns_ : ndarray of int, or None
        The columns taken; None: all.
    transformer_ : fitted clone
    complex_ : bool
        Whether derivatives are taken by complex step.
    step_ : ndarray of shape (d,)
        Step of the central differences in every coordinate.
    jacobian_rtol_ : float
        Relative accuracy to expect of `jacobian`; null spaces take it as their tolerance.
    n_output_features_ : int
    """

    def __init__(self, transformer, columns=None):
        self.transformer = transformer
        self.columns = columns

    @on_copy
    def fit(self, X, y=None):
        """Fit a clone of the transformer to `X` (n, d)."""
        X = self.fit_input(X)
        transformer = self.transformer
        if isinstance(transformer, Uncloned):
            transformer = transformer.fresh()
        else:
            transformer = clone(transformer)
        if _own_method(transformer, "set_output"):
            transformer.set_output(transform="default")  # arrays, whatever is configured outside
        self.transformer_ = transformer.fit(X)
        # Errors of truncation (step^4) and of round-off (eps / step) balance.
        machine = np.finfo(float)
        relative_step = machine.eps**0.2
        least_reach = 1e-3 * np.abs(X).max(axis=0) + machine.tiny
        reach = np.maximum(np.ptp(X, axis=0), least_reach)
        step = relative_step * reach
        step[step < _SMALLEST_STEP] = relative_step
        self.step_ = step
        X = X.astype(float)
        # The values are checked where they are used.
        with np.errstate(over="ignore", invalid="ignore"):
            self._refuse_steps(X)
            self.complex_ = self._computes_complex(X[:_FEW])
            first_row = self._values(X[:1])
        self.jacobian_rtol_ = 0.0 if self.complex_ else _DIFFERENCE_ACCURACY
        self.n_output_features_ = first_row.shape[1]
        return self

    def transform(self, X):
        """Evaluate the transformer: shape (n, p)."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = self._values(self.transform_input(X))
        if not np.isfinite(values).all():
            raise ValueError(
                "The functions are infinite or NaN at some rows: rescale X, or leave rows out."
            )
        return values

    def jacobian(self, X):
        """Differentiate by the coordinates of x: shape (n, p, d)."""
        # Steps are below single precision.
        X = self.transform_input(X).astype(float)
        n, d = X.shape
        p = self.n_output_features_
        out = np.empty((n, p, d))
        for rows in row_blocks(n, p):
            if self.complex_:
                out[rows] = complex_step(self._values, X[rows])
            else:
                out[rows] = self._differences(X[rows], 1.0)
        return self.on_all_columns(out)

    def get_feature_names_out(self, input_features=None):
        """Return the transformer's own names; ``f0, f1, ..`` where it has none.

        Parameters
        ----------
        input_features : sequence of d str, default=None
            Names of the columns of X; None: those seen in ``fit``.

        Returns
        -------
        ndarray of shape (p,) of str
        """
        inputs = list(self.names_of_columns(input_features))
        names = _method_for_names(self.transformer_)
        if names is None:
            return super().get_feature_names_out()
        return np.asarray(names(inputs), dtype=object)

    def _values(self, X):
        """Evaluate the transformer at rows (n, d), complex ones too: a dense array (n, p)."""
        values = self.transformer_.transform(X)
        if sparse.issparse(values):
            values = values.toarray()
        return np.asarray(values)

    def _refuse_steps(self, X):
        """Raise where functions vary by jumps alone: derivatives say nothing about them."""
        steps = np.flatnonzero(is_step_function(self._values, X))
        if steps.size:
            raise ValueError(
                f"{steps.size} functions of {self.transformer!r}, the first of number {steps[0]}, "
                "are constant almost everywhere (rounded, binned or one-hot), so that their "
                "derivatives show no symmetry: leave them out of the library, or give their "
                "columns to another estimator."
            )

    def _differences(self, X, factor):
        """Differentiate by steps of `factor` times `step_`, at rows of `X` (n, d)."""
        return central_differences(self._values, X, factor * self.step_, order=4)

    def _computes_complex(self, X):
        """Tell whether complex numbers are carried through analytically.

        A conjugate, a modulus or a real part would give derivatives that are wrong, so they are
        compared with differences at the rows of `X` (n, d).
        """
        try:
            exact = complex_step(self._values, X)
        except (TypeError, ValueError):
            return False
        if exact is None:
            return False
        complex_values = self._values(analytic(X))
        if not np.allclose(complex_values.real, self._values(X)):
            return False
        rough = self._differences(X, 1.0)
        size = np.abs(rough).max(axis=(0, 2), initial=0)
        size = np.maximum(size, _SMALL * size.max(initial=0))[:, None]
        differs = np.abs(exact - rough) > _AGREE * size
        matters = differs | (np.abs(rough) > _AGREE * size)
        n_differing = np.count_nonzero(differs, axis=(0, 2))
        return bool((n_differing <= _KINKS * np.count_nonzero(matters, axis=(0, 2))).all())


def _method_for_names(transformer):
    """Return the method that names the outputs; None where it, or a step inside it, has none."""
    named = _own_method(transformer, "get_feature_names_out")
    if named is None:
        return _own_method(transformer, "get_feature_names")  # as pysindy calls it
    for step in transformer.get_params(deep=True).values():
        if _own_method(step, "transform") and not _own_method(step, "get_feature_names_out"):
            return None
    return named


def _own_method(thing, name):
    """Return a method of an object of others, None where it has none.

    The object is asked, not its class: scikit-learn's `available_if` hides methods of some.
    """
    return getattr(thing, name, None)


def from_transformer(transformer, columns=None):
    """Make a library of any scikit-learn transformer (splines, kernels, random features, ..).

    Parameters
    ----------
    transformer : transformer
        Smooth functions of one row at a time.
    columns : sequence of int or str, default=None
        Columns that it takes; None: all.

    Returns
    -------
    AdaptedLibrary
    """
    return AdaptedLibrary(transformer, columns)


def from_pysindy(library, columns=None):
    """Make a library of a pysindy feature library.

    Parameters
    ----------
    library : pysindy feature library
    columns : sequence of int or str, default=None
        Columns that it takes; None: all.

    Returns
    -------
    AdaptedLibrary
    """
    if _own_method(library, "get_feature_names") is None:
        raise TypeError(
            f"from_pysindy takes a pysindy feature library, got {type(library).__name__}: "
            "use from_transformer for scikit-learn transformers."
        )
    return AdaptedLibrary(Uncloned(library), columns)


# ----------------------------------------------------- libraries that do not subclass `Library`


class ForeignLibrary(Library):
    """A library that has the methods of `Library` without being one.

    Parameters
    ----------
    library : transformer
        With ``jacobian``, and ``lie_matrices`` and ``group_matrix`` where it is closed.
    """

    def __init__(self, library):
        self.library = library

    @on_copy
    def fit(self, X, y=None):
        """Fit a clone of the library to `X` (n, d)."""
        self.fit_input(X)
        fresh = clone(self.library, safe=False)  # it need not be an estimator
        if _own_method(fresh, "set_output"):
            fresh.set_output(transform="default")
        self.library_ = fresh.fit(X)
        first_row = library_values(self.library_, X[:1])
        self.n_output_features_ = first_row.shape[1]
        return self

    def transform(self, X):
        """Evaluate the functions: shape (n, p)."""
        return library_values(self.library_, X)

    def jacobian(self, X):
        """Differentiate by the coordinates of x: shape (n, p, d)."""
        return self.library_.jacobian(X)

    def get_feature_names_out(self, input_features=None):
        """Return the library's own names; ``f0, f1, ..`` where it has none."""
        names = _own_method(self.library_, "get_feature_names_out")
        return super().get_feature_names_out() if names is None else names(input_features)

    def lie_matrices(self, algebra):
        """Return the library's own matrices, where it has any."""
        matrices = _own_method(self.library_, "lie_matrices")
        return super().lie_matrices(algebra) if matrices is None else matrices(algebra)

    def group_matrix(self, g):
        """Return the library's own matrix, where it has one."""
        matrix = _own_method(self.library_, "group_matrix")
        return super().group_matrix(g) if matrix is None else matrix(g)


def as_library(library):
    """Return what users pass as `library` as a `Library`; one that only looks like it is wrapped.

    Raises
    ------
    TypeError
        If it lacks ``fit``, ``transform`` or ``jacobian``.
    """
    if isinstance(library, Library):
        return library
    missing = [name for name in _REQUIRED if not callable(_own_method(library, name))]
    if not missing and not isinstance(library, type):
        return ForeignLibrary(library)
    raise TypeError(
        f"`library` must have fit, transform and jacobian, got {library!r}: wrap a scikit-learn "
        "transformer with from_transformer, a pysindy library with from_pysindy."
    )
