"""Symmetries of class labels: what labels are, and the motions that leave their log odds unchanged.

Index legend: n samples, p library functions, K classes, r candidates, k generators.
"""

from dataclasses import replace
from functools import cache

import numpy as np
from scipy import stats
from sklearn.base import clone

from sksym._estimator import warn
from sksym.discover.degree import random_positions
from sksym.discover.log_odds import (
    FLOORS,
    LEAST_MARGIN,
    NEEDED,
    LabelledValues,
    LogisticEstimate,
    logistic_regression,
)
from sksym.discover.scores import LEAST_PROBABILITY
from sksym.evidence import FunctionSamples, Verdict, decide, echelon_form, joint_fit, rounded
from sksym.evidence.selection import saturated
from sksym.libraries import PolynomialLibrary, evaluate, library_values

_MOST_CLASSES = 10  # integers of more values than this are numbers
_SAMPLES_PER_CLASS = 20  # on average: numbers of fewer are no labels
_LARGEST_DEGREE = 4
_MOST_MORE = 2  # degrees than that of the least cross-validated loss
_LARGEST_SHARE = 0.2  # of the number of samples: coefficients that labels determine
_N_FOLDS = 5
_REJECT = 0.01  # p value below which a symmetry is not declared


# ---------------------------------------------------------------------------------------- labels


def read_labels(y, sample_weight=None):
    """Return the classes (K,) in y and the code of every sample (n,); None and y without labels.

    Strings and truth values are labels. So are numbers of two different values, and integers of at
    most ten, if there are twenty samples to a class on average. Other numbers are targets of a
    regression: pass floats where integers are to be taken so.

    Parameters
    ----------
    y : array-like
    sample_weight : array-like of shape (n,), default=None
        A sample counts as often as its weight says.
    """
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not len(labels):
        return None, y
    if labels.dtype.kind in "OUT":
        labels = _plain_labels(labels)
        if labels is None:
            return None, y  # numbers, which are validated elsewhere
    classes, codes = np.unique(labels, return_inverse=True)
    if labels.dtype.kind in "Ub" or _are_codes(labels, sample_weight):
        return classes, codes
    return None, y


def _plain_labels(labels):
    """Return strings, truth values or integers from an array of objects (n,), else None."""
    if all(isinstance(label, int | np.integer) for label in labels):
        return np.array(labels.tolist())
    is_text = np.array([isinstance(label, str | bool | np.bool_) for label in labels])
    if not is_text.any():
        return None
    if not is_text.all():
        first = int(np.argmin(is_text))
        raise ValueError(
            f"y mixes labels with {labels[first]!r} at sample {first}: leave samples without "
            "a label out, or give all labels as strings."
        )
    return np.array(labels.tolist())


def _are_codes(y, sample_weight):
    """Tell whether numbers y (n,) stand for classes."""
    if y.dtype.kind not in "iuf":
        return False
    n = len(y)
    weight = None if sample_weight is None else np.asarray(sample_weight, float)
    # Weights that are none are refused elsewhere.
    if weight is not None and weight.shape == y.shape:
        n = weight.sum()
        y = y[weight > 0]
    values = np.unique(y)
    K = len(values)
    is_small = K <= _MOST_CLASSES and y.dtype.kind in "iu"
    is_finite = np.isfinite(values).all()
    return is_finite and K > 1 and (K == 2 or is_small) and n >= _SAMPLES_PER_CLASS * K


def check_classes(classes, n):
    """Raise unless n samples can tell something of the classes (K,)."""
    K = len(classes)
    if K < 2:
        raise ValueError(
            f"y holds labels of 1 class, {classes[0]!r}, which say nothing of a function: give "
            "samples of two or more classes."
        )
    if n < 2 * K:
        raise ValueError(
            f"y holds {K} classes in {n} samples of positive weight: log odds need at least two "
            "samples to a class. Merge classes, or pass numbers as floats."
        )


def symmetries_of_labels(samples, codes, n_classes, rule):
    """Find which candidates leave the probabilities of all classes unchanged.

    Parameters
    ----------
    samples : FunctionSamples
        Their outputs Y are not used.
    codes : ndarray of shape (n,), int
    n_classes : int
    rule : CountingRule

    Returns
    -------
    evidence : FittedEvidence
    found : Verdict
    coef : ndarray of shape (1, p) or (K, p)
        Log odds of the second class of two, else of every class, with the sum zero.
    """
    estimate = LogisticEstimate.of(samples, codes, n_classes)
    if estimate.labels.are_separable:
        warn(
            "The library separates the classes, at least in part, so the labels set no limit to "
            "their log odds: these are as large as a prior of standard deviation 5 allows. "
            "Use a smaller library, or more samples."
        )
    samples, evidence = _evidence(samples, estimate)
    loose = replace(rule, max_defect=FLOORS * rule.max_defect)
    found = decide(samples, evidence, loose)
    if rule.count == "auto":
        if len(found.generators):
            established = replace(estimate, is_established=True)
            found = decide(samples, evidence.with_estimate(established), loose)
        found = _checked(samples, evidence, found)
        if rule.snap:
            found = _found_in_smaller_library(samples, codes, evidence, found)
    coef = estimate.coef
    if n_classes > 2:
        coef = estimate.labels.contrasts @ coef
    return evidence, found, coef


def _evidence(samples, estimate):
    """Return samples of estimated log odds, and what they say about the candidates."""
    values = evaluate(samples.library, estimate.coef, samples.X)
    samples = replace(samples, Y=values)
    return samples, samples.evidence(estimate)


def _checked(samples, evidence, found):
    """Return a verdict, without its generators where a likelihood ratio rejects them."""
    k = len(found.generators)
    if not k:
        return found
    test = evidence.estimate.test(samples.symmetric_functions(found.generators))
    if test.p_value > _REJECT:
        return found
    none = np.zeros((0, evidence.spectrum.n_candidates))
    return Verdict(none, None, evidence.floor_test(1)[1], found.undecided + k)


def _found_in_smaller_library(samples, codes, evidence, found):
    """Look for simple numbers in polynomials of lower degree, which labels determine far better.

    They are judged in the whole library, for which a lower degree is no evidence.

    Parameters
    ----------
    samples : FunctionSamples
    codes : ndarray of shape (n,), int
    evidence : FittedEvidence
    found : Verdict
        In the whole library, which is returned where nothing better is found.
    """
    estimate = evidence.estimate
    degree = estimate.least_degree()
    if degree is None:
        return found
    library = clone(samples.library).set_params(degree=degree).fit(samples.X)
    smaller = replace(samples, library=library)
    lower = LogisticEstimate.of(smaller, codes, estimate.labels.n_classes)
    _, within = _evidence(smaller, lower)
    best = found
    most = LEAST_MARGIN
    n_constraints = 0
    if len(found.generators):
        basis = samples.symmetric_functions(found.generators)
        n_constraints = estimate.test(basis).n_constraints
    for simple, errors in _simple_numbers(within):
        basis = samples.symmetric_functions(simple)
        if basis is None:
            continue
        test = estimate.test(basis)
        is_accepted = test.p_value > _REJECT and test.margin > most
        # Part of an algebra may be found in the whole library.
        if is_accepted and test.n_constraints >= n_constraints:
            most = test.margin
            generators = saturated(evidence, basis)
            _, floor = evidence.floor_test(len(generators))
            undecided = len(found.generators) + found.undecided - len(generators)
            best = Verdict(generators, errors, floor, max(undecided, 0))
    return best


def _simple_numbers(evidence):
    """Yield generators (k, r) in simple numbers near those of joint fits, and errors (k, r)."""
    for k in range(1, len(evidence.spectrum.generators) + 1):
        is_consistent, _ = evidence.floor_test(k)
        if not is_consistent:
            return
        fit = joint_fit(evidence, k)
        if fit is None or not fit.has_converged:
            continue
        form, errors = echelon_form(evidence, fit.generators, fit.changes)
        simple = rounded(form, errors)
        if simple is not None:
            yield simple, errors


# --------------------------------------------------------------------------------------- degree


def degree_for_labels(candidates, X, codes, n_classes, weight, rng):
    """Return one or two more than the degree of polynomials of least cross-validated log loss.

    A cross-validation takes too low a degree where the terms of the next are small. Then these
    are no evidence of symmetry, so it is two more where likelihood ratio tests find that terms of
    a higher degree are needed.

    Parameters
    ----------
    candidates : LieAlgebra or VectorFields
    X : ndarray of shape (n, d)
    codes : ndarray of shape (n,), int
    n_classes : int
    weight : ndarray of shape (n,)
    rng : RandomState

    Returns
    -------
    int
    """
    fold = (random_positions(X, rng) * _N_FOLDS).astype(int)
    most = _LARGEST_SHARE * weight.sum() / (n_classes - 1)

    @cache
    def labels_in(degree):
        library = PolynomialLibrary(degree).fit(X)
        if degree > _LARGEST_DEGREE + 1 or library.n_output_features_ > most:
            return None
        no_targets = np.zeros((len(X), 1))
        samples = FunctionSamples(library, candidates, None, X, no_targets, weight)
        u = library_values(library, X) @ samples.estimate.from_data
        return LabelledValues(u, codes, weight, n_classes)

    losses = {}
    # From 2 on: quadratic terms are often seen only by the degree above.
    for degree in range(2, _LARGEST_DEGREE + 1):
        labels = labels_in(degree)
        if labels is None:
            break
        losses[degree] = _held_out_loss(labels, fold)
    best = min(losses, key=losses.get, default=1)
    if labels_in(best) is None:
        return best
    # One degree more shows what a function is not, if it can be afforded. Even functions need
    # none of the next odd degree, so the one after is looked at too.
    for degree in range(best, best + _MOST_MORE):
        larger = [labels_in(degree + 1), labels_in(degree + 2)]
        if larger[0] is None:
            return degree
        if not any(_is_needed(labels_in(degree), more) for more in larger if more is not None):
            return degree + 1
    return best + _MOST_MORE


def _is_needed(labels, larger):
    """Tell whether the functions that only a larger library has are needed."""
    rank = labels.u.shape[1]
    larger_rank = larger.u.shape[1]
    _, loss = labels.fit(np.eye(rank))
    _, larger_loss = larger.fit(np.eye(larger_rank))
    n_more = (labels.n_classes - 1) * (larger_rank - rank)
    return stats.chi2.sf(2 * (loss - larger_loss), n_more) < NEEDED


def _held_out_loss(labels, fold):
    """Return the sum of the log losses of folds that were left out of the fit."""
    total = 0.0
    for label in np.unique(fold):
        held_out = fold == label
        training = ~held_out
        model = logistic_regression()
        model.fit(
            labels.u[training],
            labels.codes[training],
            sample_weight=labels.weight[training],
        )
        # A class that the training rows lack has the probability zero.
        p = np.zeros((np.count_nonzero(held_out), labels.n_classes))
        p[:, model.classes_] = model.predict_proba(labels.u[held_out])
        own = np.take_along_axis(p, labels.codes[held_out][:, None], axis=1)[:, 0]
        total -= labels.weight[held_out] @ np.log(np.maximum(own, LEAST_PROBABILITY))
    return total
