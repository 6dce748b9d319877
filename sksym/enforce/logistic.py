"""Logistic regression over the functions that have a known symmetry exactly."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import check_cv
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from sksym._estimator import (
    check_count,
    check_fraction,
    checked_weights,
    is_integer,
    is_real,
    on_copy,
    validate_data,
    warn,
    weighted_splits,
)
from sksym.enforce.logits import (
    ClassPermutations,
    InvariantLogits,
    LabelledData,
    Options,
    TiedLogits,
    log_probabilities,
    require_permutations,
)
from sksym.enforce.standardised import StandardisedFunctions
from sksym.equivariant import EquivariantSpace
from sksym.groups import Representation, Trivial, linear_combination, resolve
from sksym.libraries import PolynomialLibrary, evaluate, library_formulas

_SMALLEST_C, _LARGEST_C = 1e-4, 1e4  # of a grid
_LEAST_LOG_PROBABILITY = np.log(np.finfo(float).eps)  # as scikit-learn's log_loss takes it


class _SymmetricClassifier(ClassifierMixin, BaseEstimator):
    """What both classifiers share: all but the choice of C."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Symmetric functions cannot follow classes that lack the symmetry.
        tags.classifier_tags.poor_score = self.symmetry is not None
        return tags

    def decision_function(self, X):
        """Compute the logits: (n,) for the second of two classes, (n, K) for more."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        values = evaluate(self.library_, self.coef_.astype(float), X.astype(np.float64))
        logits = values + self.intercept_
        if len(self.classes_) == 2:
            logits = logits[:, 0]
        return logits.astype(np.result_type(X, self.coef_))

    def predict_log_proba(self, X):
        """Compute the logarithms of the probabilities of all classes, (n, K)."""
        return log_probabilities(self.decision_function(X))

    def predict_proba(self, X):
        """Compute the probabilities of all classes, (n, K)."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X):
        """Predict the class of greatest probability for every row, shape (n,)."""
        logits = self.decision_function(X)
        if logits.ndim == 1:
            best = (logits > 0).astype(int)
        else:
            best = logits.argmax(axis=1)
        return self.classes_[best]

    def equivariance_error(self, X, *, n_elements=20, random_state=0):
        """Measure the largest violation of the symmetry over finite group elements.

        Parameters
        ----------
        X : array-like of shape (n, d)
        n_elements : int, default=20
            Elements drawn, as in `SymmetricRidge`.
        random_state : int or Generator, default=0

        Returns
        -------
        float
            Largest difference between the probabilities at ``g x``, and those at x permuted.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        here = self._probabilities(X)

        def violation(images, rho):
            there = self._probabilities(images)
            return np.abs(there - here @ rho.T).max(initial=0)

        return self._space_.largest_violation(violation, X, n_elements, random_state)

    def _probabilities(self, X):
        """Compute the probabilities (n, K) at validated rows."""
        values = evaluate(self.library_, self.coef_.astype(float), X)
        return np.exp(log_probabilities(values + self.intercept_))

    def equations(self, input_features=None):
        """Write every logit as a formula in the plain functions of the library.

        Parameters
        ----------
        input_features : sequence of d str, default=None
            Names of the columns of X; None: those seen in ``fit``.

        Returns
        -------
        list of str
            One for the second of two classes, one for each of more.
        """
        check_is_fitted(self)
        formulas = library_formulas(self, input_features)
        labels = self.classes_[-len(formulas) :]
        equations = []
        for label, formula, constant in zip(labels, formulas, self.intercept_, strict=True):
            sizes = np.array([1.0, constant])
            text = linear_combination(sizes, [formula, "1"])
            equations.append(f"logit({label}) = {text}")
        return equations

    def _problem(self, X, y, sample_weight):
        """Validate, and state the regression in standardised symmetric functions."""
        check_count(self.max_iter, "max_iter")
        check_fraction(self.tol, "tol")
        if self.symmetry is None and self.output is not None:
            raise ValueError(
                "`output` says how the symmetry permutes classes, but there is none: give "
                "`symmetry`, or leave `output` out."
            )
        data = _labelled_data(self, X, y, sample_weight)
        is_counted = data.weight > 0
        X = data.X[is_counted]
        space = EquivariantSpace.of(
            resolve(self.symmetry, X),
            PolynomialLibrary(2) if self.library is None else self.library,
            _representation(self.output),
            X,
            data.n_classes,
            self.rtol,
            vars(self).get("feature_names_in_"),
        )
        functions = StandardisedFunctions.of(space, X, data.weight[is_counted])
        if not functions.n_functions:
            warn(
                "Nothing but constants in the library has the symmetry and varies on the data: "
                "raise its degree, or check `symmetry` and `output`."
            )
        self._space_ = space
        self.classes_ = data.classes
        self.library_ = space.library
        self.n_free_ = functions.n_functions
        options = Options(self.fit_intercept, self.solver, self.max_iter, self.tol)
        if not self.fit_intercept:
            functions = functions.uncentred()
        if not space.is_tied:
            if data.n_classes > 2:
                self.n_free_ *= data.n_classes
            return InvariantLogits(functions, data, options)
        require_permutations(space.B, space.rho)
        return TiedLogits(functions, data, options, space.rho)

    def _set_solution(self, problem, C):
        """Fit to all rows, and set the coefficients."""
        data = problem.data
        every_row = np.arange(len(data.X))
        solution = problem.fit(data.counted(every_row), C)
        coef, intercept = problem.coefficients(solution)
        dtype = data.dtype
        self.n_iter_ = solution.n_iter
        self.intercept_ = intercept.astype(dtype)
        self.coef_ = coef.astype(dtype)


class SymmetricLogisticRegression(_SymmetricClassifier):
    """Logistic regression on a feature library, over the functions that have a known symmetry.

    Minimises ``sum_i s_i log(1 / p_i) + |w|^2 / (2 C)``, p_i the probability of the class of
    sample i and s_i its weight, with the logits ``coef @ phi(x) + intercept = w @ z(x) +
    constant``: z are the invariant functions of the library, each in units of its standard
    deviation on the data, so that C means the same in all units. For two classes there is one
    logit, for more one for each.

    Parameters
    ----------
    symmetry : LieAlgebra, FiniteGroup, Group or callable, default=None
        Who acts; a callable such as ``so`` is called with the number of features. None: no
        constraint.
    library : library, default=None
        What logits are made of; None is ``PolynomialLibrary(2)``.
    output : representation or list of list of int, default=None
        How the elements of a finite group permute the classes, in the order of `classes_`: for
        each element the class that it carries each class to, ``[[1, 0]]`` for a reflection that
        exchanges two. ``vector`` where coordinate i belongs to class i. None: the probabilities
        of all classes are invariant.
    C : float, default=1.0
        Inverse of the penalty, as in scikit-learn; ``np.inf``: none.
    fit_intercept : bool, default=True
        Whether constants that the symmetry allows are fitted; they are not penalised.
    class_weight : dict or "balanced", default=None
        As in scikit-learn.
    solver : str, default="newton-cholesky"
        Of scikit-learn's LogisticRegression; few functions are left for it. Where classes are
        permuted Newton steps are taken, whatever it says.
    max_iter : int, default=100
    tol : float, default=1e-6
        As in scikit-learn.
    rtol : float, default=1e-10
        Singular values of the constraints below `rtol` relative to the largest count as zero.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The classes of samples with positive weight.
    coef_ : ndarray of shape (1, p) or (K, p)
        Of the logits in the functions of `library_`.
    intercept_ : ndarray of shape (1,) or (K,)
    library_ : fitted library
    n_free_ : int
        Number of penalised coefficients: invariant functions, for every logit.
    n_iter_ : int
        Iterations of the solver.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import SymmetricLogisticRegression, so
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> y = np.where((X**2).sum(axis=1) < 1.4, "inside", "outside")
    >>> model = SymmetricLogisticRegression(so(2), C=10).fit(X, y)
    >>> model.equations()
    ['logit(outside) = 5.33023 x0^2 + 5.33023 x1^2 - 8.161']
    >>> model.predict([[0.0, 1.0], [2.0, 0.0]])
    array(['inside', 'outside'], dtype='<U7')
    """

    def __init__(
        self,
        symmetry=None,
        *,
        library=None,
        output=None,
        C=1.0,
        fit_intercept=True,
        class_weight=None,
        solver="newton-cholesky",
        max_iter=100,
        tol=1e-6,
        rtol=1e-10,
    ):
        self.symmetry = symmetry
        self.library = library
        self.output = output
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.rtol = rtol

    @on_copy
    def fit(self, X, y, sample_weight=None):
        """Fit to labelled data.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,)
            Labels: strings, numbers or truth values.
        sample_weight : array-like of shape (n,), default=None
            Non-negative; rows of weight zero count for nothing.

        Returns
        -------
        self
        """
        _check_C(self.C, "C")
        problem = self._problem(X, y, sample_weight)
        self._set_solution(problem, self.C)


class SymmetricLogisticRegressionCV(_SymmetricClassifier):
    """Logistic regression with a known symmetry and C of least log loss in cross-validation.

    Minimises the objective of `SymmetricLogisticRegression`; C has the least mean log loss over
    stratified folds, and of equals the smallest. The functions and their units are those of all
    rows, so that C means the same in every fold.

    Parameters
    ----------
    symmetry, library, output, fit_intercept, class_weight, solver, max_iter, tol, rtol
        As in `SymmetricLogisticRegression`. Held-out samples are weighted by class too.
    Cs : int or array-like, default=10
        How many to try, geometrically from 1e-4 to 1e4; or the values.
    cv : int, splitter or iterable of (train, test), default=None
        As in scikit-learn; None: 5 stratified folds.

    Attributes
    ----------
    C_ : float
    cv_results_ : dict
        ``C`` (a,), ``log_loss`` (a, n_folds), ``mean_test_loss`` (a,).
    best_score_ : float
        Minus the least mean log loss.
    classes_, coef_, intercept_, library_, n_free_, n_iter_, n_features_in_, feature_names_in_
        As in `SymmetricLogisticRegression`.
    """

    def __init__(
        self,
        symmetry=None,
        *,
        library=None,
        output=None,
        Cs=10,
        cv=None,
        fit_intercept=True,
        class_weight=None,
        solver="newton-cholesky",
        max_iter=100,
        tol=1e-6,
        rtol=1e-10,
    ):
        self.symmetry = symmetry
        self.library = library
        self.output = output
        self.Cs = Cs
        self.cv = cv
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.rtol = rtol

    @on_copy
    def fit(self, X, y, sample_weight=None):
        """Fit to labelled data; parameters as in `SymmetricLogisticRegression.fit`."""
        Cs = _checked_Cs(self.Cs)
        problem = self._problem(X, y, sample_weight)
        losses = _cross_validate(problem, Cs, self.cv)
        mean_loss = losses.mean(axis=1)
        # Of equal losses that of the strongest penalty.
        order = np.lexsort((Cs, mean_loss))
        best = order[0]
        self.C_ = float(Cs[best])
        self.best_score_ = -float(mean_loss[best])
        self.cv_results_ = {"C": Cs, "log_loss": losses, "mean_test_loss": mean_loss}
        self._set_solution(problem, self.C_)


def _labelled_data(model, X, y, sample_weight):
    """Validate what ``fit`` of a classifier is given."""
    X, y = validate_data(model, X, y, dtype=[np.float64, np.float32])
    check_classification_targets(y)
    weight = checked_weights(sample_weight, len(y))
    is_counted = weight > 0
    classes, counted_codes = np.unique(y[is_counted], return_inverse=True)
    if len(classes) < 2:
        only = classes.tolist()[0]
        raise ValueError(
            f"y holds one class, {only!r}, in the samples of positive weight: a classifier needs "
            "samples of two classes or more."
        )
    of_class = _weights_of_classes(model.class_weight, classes, counted_codes, weight[is_counted])
    codes = np.zeros(len(y), dtype=int)  # also where a row of weight zero has another class
    codes[is_counted] = counted_codes
    return LabelledData(
        X=X.astype(np.float64),
        codes=codes,
        classes=classes,
        weight=weight,
        row_weight=weight * of_class[codes],
        dtype=X.dtype,
    )


def _weights_of_classes(class_weight, classes, codes, weight):
    """Return the weight (K,) of every class."""
    if isinstance(class_weight, str) and class_weight == "balanced":
        # Every class has the same total.
        total = np.bincount(codes, weight)
        return total.sum() / (len(classes) * total)
    return compute_class_weight(class_weight, classes=classes, y=classes[codes])


def _representation(output):
    """Return how the logits move, None where they do not, from what users write."""
    if output is None or isinstance(output, Trivial):
        return None
    if isinstance(output, Representation):
        return output
    images = np.asarray(output)
    if images.ndim != 2 or images.dtype.kind not in "iu":
        raise ValueError(
            "`output` must be a representation, or for each element of the symmetry a list of the "
            f"classes that it carries each class to, such as [[1, 0]], got {output!r}."
        )
    rows = images.tolist()
    return ClassPermutations(tuple(tuple(row) for row in rows))


def _check_C(C, name):
    """Raise unless an inverse penalty is positive; infinity means no penalty."""
    if not is_real(C) or not C > 0:
        raise ValueError(f"`{name}` must be a number > 0, got {C!r}.")


def _checked_Cs(Cs):
    """Return the inverse penalties to try, in the order given; ascending where it is a number."""
    if is_integer(Cs) and Cs > 0:
        return np.geomspace(_SMALLEST_C, _LARGEST_C, Cs)
    if is_integer(Cs) or np.ndim(Cs) != 1 or not np.size(Cs):
        raise ValueError(f"`Cs` must be a number of values >= 1 or a list of them, got {Cs!r}.")
    for C in Cs:
        _check_C(C, "Cs")
    return np.asarray(Cs, dtype=float)


def _cross_validate(problem, Cs, cv):
    """Compute the log losses (a, n_folds) of held-out rows."""
    data = problem.data
    splitter = check_cv(cv, data.codes, classifier=True)
    splits = weighted_splits(splitter, data.X, data.codes, data.weight)
    losses = np.empty((len(Cs), len(splits)))
    for fold, split in enumerate(splits):
        train, test = (data.counted(rows) for rows in split)
        if len(np.unique(data.codes[train])) < 2:
            raise ValueError(
                f"The rows that fold {fold} trains on hold one class: use fewer folds in `cv`, or "
                "stratified ones."
            )
        weight = data.row_weight[test]
        for a, C in enumerate(Cs):
            solution = problem.fit(train, C)
            log_p = problem.log_probabilities(solution, test)
            own = log_p[np.arange(len(log_p)), data.codes[test]]
            # A class that the training rows lack has probability zero.
            own = np.maximum(own, _LEAST_LOG_PROBABILITY)
            losses[a, fold] = -(weight @ own) / weight.sum()
    return losses
