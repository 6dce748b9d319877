"""Which discrete candidates are symmetries of a function, class labels, a model or a data set."""

from dataclasses import replace

from sksym._estimator import warn
from sksym._linalg import one_thread
from sksym.discover.cloud_elements import CloudElements
from sksym.discover.element_tests import ElementVerdict
from sksym.discover.elements import ElementEvidence
from sksym.discover.label_elements import LabelElements
from sksym.discover.model_elements import ModelElements
from sksym.discover.subgroups import find_elements
from sksym.evidence import FunctionSamples
from sksym.groups import no_elements

_ROWS_PER_FUNCTION = 5  # from which a sandwich covariance is trusted


def discrete_symmetries(group, search, finding):
    """Return which discrete candidates are symmetries, about the origin of the user.

    Parameters
    ----------
    group : Group
        The candidates.
    search : Search
        The samples, and the parameters of the discoverer.
    finding : Finding
        What is known of the continuous candidates: the fit and its errors are taken from it.

    Returns
    -------
    ElementVerdict
    """
    candidates = group.elements
    if not candidates.n_elements:
        return ElementVerdict(no_elements(candidates.n_features), ())
    max_defect = search.discoverer.max_defect
    if finding.method == "library":
        found = _of_function(group, search, finding)
    else:
        evidence = _evidence(search, finding)
        with one_thread():
            found = find_elements(evidence, candidates, max_defect)
    if not found.is_complete:
        warn(
            "There are more elements than can be tested, so that some that are symmetries may be "
            "missing: those in `elements_` are symmetries."
        )
    return found


def _evidence(search, finding):
    """Return what labels, a model or a data set say of elements."""
    # Polynomials have the same coefficients in unit coordinates and in those of the user.
    if finding.method == "labels":
        return LabelElements(
            library=finding.library,
            estimate=finding.evidence.estimate,
            output=None,
            X=search.X,
            weight=search.weight,
            output_scale=finding.evidence.output_scale,
        )
    if finding.model is not None:
        return ModelElements(search.discoverer.output, finding.model_samples)
    return CloudElements.of(search.discoverer.library, search.X, search.weight, search.rng)


def _of_function(group, search, finding):
    """Return the symmetries of a function that was fitted in a library."""
    discoverer = search.discoverer
    problem = search.problem
    evidence = finding.evidence
    samples = finding.samples
    # Elements act about the origin of the user, so that the fit is made in his coordinates.
    if not problem.coordinates.is_identity:
        samples = FunctionSamples(
            finding.library,
            group.algebra,
            discoverer.output,
            search.X,
            problem.Y * problem.coordinates.size,
            search.weight,
        )
        evidence = samples.evidence(samples.estimate)
    fitted = ElementEvidence(
        library=samples.library,
        estimate=evidence.estimate,
        output=samples.output,
        X=samples.X,
        weight=samples.weight,
        output_scale=evidence.output_scale,
    )
    with one_thread():
        found = find_elements(fitted, group.elements, discoverer.max_defect)
    # As for generators: a second pass, for errors of unequal size, where nothing was found.
    enough = len(samples.X) >= _ROWS_PER_FUNCTION * samples.library.n_output_features_
    if discoverer.robust == "auto" and enough and not found.elements.n_elements:
        core = samples.core
        fitted = replace(fitted, estimate=core.robust_estimate(), X=core.X, weight=core.weight)
        with one_thread():
            robustly = find_elements(fitted, group.elements, discoverer.max_defect)
        if robustly.elements.n_elements:
            found = robustly
    return found
