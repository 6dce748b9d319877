"""The table of all directions: which are symmetries, how sure that is, and what they cost.

Index legend: r candidates, k generators; ``xi`` (r,) are coordinates in the candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from sksym._estimator import SILENT, Progress
from sksym._linalg import one_thread, reduced_echelon
from sksym.discover.costs import EnforcingCost
from sksym.discover.element_tests import ElementTest
from sksym.evidence import (
    UNKNOWN,
    Defect,
    FittedEvidence,
    SampledEvidence,
    echelon,
    echelon_form,
    joint_fit,
    readable,
    rounded,
)
from sksym.groups import LieAlgebra, VectorFields

_N_BROKEN_WITH_COST = 3  # directions beyond symmetries and near ones whose cost is computed
_SHOWN = 0.1  # entries of a broken direction that are written, relative to the largest
_WIDTH = 100  # characters of a printed row
_MOST_ROWS = 40  # that are printed
_TITLES = (
    "generator",
    "defect",
    "95 % interval",
    "floor",
    "p",
    "cost",
    "verdict",
)


@dataclass(frozen=True)
class Direction:
    """One row of a `SymmetryReport`; its attributes are the columns.

    Attributes
    ----------
    generator : str
        As a vector field. Of broken and undecided directions only the larger terms, in two digits.
    verdict : str
        "symmetry": declared; where a number was asked for, only if it is not rejected.
        "near": broken by more than noise, but by at most `max_defect`.
        "undecided": not rejected, but on evidence too weak to declare it. "broken".
        "unidentified": the data say nothing.
    defect : float
        Root mean square of ``L_xi F`` relative to that of the motion, as measured, noise included.
    defect_low, defect_high : float
        Interval of 95 % for the defect without noise.
    floor : float
        Root mean square that noise contributes to the defect of a symmetry.
    p_value : float
        Of the hypothesis that this direction is a symmetry; NaN where errors have no known law:
        those of models and data sets are estimates of their size.
    cost : float
        Relative increase of the cross-validated root mean square error when this direction is
        enforced: 0.003 is 0.3 %. Negative where enforcing helps. NaN where it was not computed.
    cost_error : float
        Standard error of `cost`.
    """

    generator: str
    verdict: str
    defect: float
    defect_low: float
    defect_high: float
    floor: float
    p_value: float
    cost: float = np.nan
    cost_error: float = np.nan


_COLUMNS = tuple(field.name for field in fields(Direction))


@dataclass(frozen=True, eq=False, repr=False)
class SymmetryReport(Sequence):
    """All directions in which a function might be symmetric, one row each.

    Declared symmetries come first, in the order of `algebra_`, then all other directions by how
    strongly they are broken, then those about which the data say nothing, then the discrete
    elements that were tested, without intervals and costs. ``report[0]`` is a row,
    ``report["defect"]`` a column, ``pandas.DataFrame(report)`` a frame, and ``print(report)`` a
    table.

    Attributes
    ----------
    rows : tuple of Direction
    total_cost, total_cost_error : float
        Cost of enforcing all declared symmetries together, NaN where there are none.
    spectrum_intervals : ndarray of shape (k, 2)
        Intervals of 95 % for the singular values of the discoverer, ascending. Those of
        declared symmetries belong to no single row where there are several.
    notes : tuple of str
        On the error of a model, and on what would decide about undecided directions.

    Examples
    --------
    >>> import numpy as np
    >>> from sksym import SymmetryDiscoverer, so
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 3))
    >>> y = X[:, 0]**2 + X[:, 1]**2 + X[:, 2]**3 + 0.1 * rng.normal(size=500)
    >>> report = SymmetryDiscoverer(so).fit(X, y).report_
    >>> [row.verdict for row in report]
    ['symmetry', 'broken', 'broken']
    >>> report[0].generator
    'x0 ∂1 - x1 ∂0'
    """

    rows: tuple[Direction, ...]
    total_cost: float
    total_cost_error: float
    spectrum_intervals: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key):
        if isinstance(key, str):
            return self.column(key)
        return self.rows[key]

    def keys(self):
        """Return the names of the columns."""
        return _COLUMNS

    def column(self, name):
        """Return one column as an array: of float, or of object where it is text."""
        if name not in _COLUMNS:
            listed = ", ".join(_COLUMNS)
            raise KeyError(f"A report has no column {name!r}: choose one of {listed}.")
        values = [getattr(row, name) for row in self.rows]
        is_text = name in ("generator", "verdict")
        return np.array(values, dtype=object if is_text else float)

    def __str__(self):
        cells = [_TITLES, *(_cells(row) for row in self.rows[:_MOST_ROWS])]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        # Generators may be long: what is over goes to their account.
        n_gaps = len(widths) - 1
        available = _WIDTH - sum(widths[1:]) - 2 * n_gaps
        widths[0] = min(widths[0], available)
        lines = [_line(row, widths) for row in cells]
        if len(self.rows) > _MOST_ROWS:
            lines.append(f".. and {len(self.rows) - _MOST_ROWS} more")
        lines.append("cost: relative change of the cross-validated error when it is enforced")
        if np.isfinite(self.total_cost):
            total = _percent(self.total_cost, self.total_cost_error)
            lines.append(f"cost of all declared symmetries together: {total}")
        return "\n".join([*lines, *self.notes])

    __repr__ = __str__


def _cells(row):
    """Return the texts of a row in the order of the titles."""
    interval = "-"
    if not np.isnan(row.defect_high):
        interval = f"[{row.defect_low:.2g}, {row.defect_high:.2g}]"
    p_value = _number(row.p_value)
    if row.p_value < 0.001:
        p_value = "<0.001"
    return (
        row.generator,
        _number(row.defect),
        interval,
        _number(row.floor),
        p_value,
        _percent(row.cost, row.cost_error),
        row.verdict,
    )


def _number(value):
    """Write a number in two digits, a dash for NaN."""
    return "-" if np.isnan(value) else f"{value:.2g}"


def _percent(value, error):
    """Write a relative change and its standard error in percent, a dash for NaN."""
    if np.isnan(value):
        return "-"
    size = _plain(100 * value, digits=2)
    sign = "" if value < 0 else "+"
    return f"{sign}{size} ± {_plain(100 * error, digits=1)} %"


def _plain(value, digits):
    """Write a number in a few significant digits, without a power of ten if it is not huge."""
    text = f"{value:.{digits}g}"
    if 10 <= abs(value) < 1e5:
        return f"{float(text):.0f}"
    return text


def _line(cells, widths):
    """Align the texts of a row: text to the left, numbers to the right."""
    generator, *numbers, verdict = cells
    if len(generator) > widths[0]:
        generator = f"{generator[: widths[0] - 3]} .."
    texts = [generator.ljust(widths[0])]
    for text, width in zip(numbers, widths[1:-1], strict=True):
        texts.append(text.rjust(width))
    texts.append(verdict)
    return "  ".join(texts)


@dataclass(frozen=True, eq=False)
class ReportSource:
    """What a fitted discoverer knows of all directions; the table is made when it is asked for.

    Attributes
    ----------
    candidates : LieAlgebra or VectorFields
    evidence : FittedEvidence or SampledEvidence
    generators : ndarray of shape (k, r)
        Declared symmetries.
    undecided : int
        Number of the next directions on which the evidence is too weak.
    max_defect : float
        Largest defect of a near symmetry.
    is_auto : bool
        Whether the data decided how many are declared.
    is_exact : bool
        Whether the declared generators are exact.
    costs : EnforcingCost or None
    element_tests : tuple of ElementTest
        Of discrete candidates.
    notes : tuple of str
        How sure the whole is, in sentences.
    progress : Progress
        Is told of every cost.
    """

    candidates: LieAlgebra | VectorFields
    evidence: FittedEvidence | SampledEvidence
    generators: np.ndarray
    undecided: int
    max_defect: float
    is_auto: bool
    is_exact: bool
    costs: EnforcingCost | None
    element_tests: tuple[ElementTest, ...] = ()
    notes: tuple[str, ...] = ()
    progress: Progress = SILENT

    @cached_property
    def report(self):
        """The `SymmetryReport`, costs included."""
        with one_thread():
            rows = [
                *self._declared(),
                *self._others(),
                *self._unidentified(),
                *self._elements(),
            ]
            intervals = [(defect.low, defect.high) for defect in self._spectral]
        total = (np.nan, np.nan)
        if self.costs is not None:
            total = self.costs.of(self.generators, self.is_exact)
        intervals = np.reshape(intervals, (-1, 2))
        return SymmetryReport(tuple(rows), *total, intervals, self.notes)

    @cached_property
    def near(self):
        """Generators (k, r) of near symmetries, in readable order."""
        with one_thread():
            verdicts = self._verdicts_beyond_declared
            first = len(self._spectral) - len(verdicts)
            indices = first + np.flatnonzero(np.array(verdicts) == "near")
            return near_generators(self.candidates, self.evidence, indices)

    @property
    def near_algebra(self):
        """The near symmetries themselves."""
        return self.candidates.combine(self.near)

    @cached_property
    def _spectral(self):
        """The `Defect` of every direction of the spectrum, ascending."""
        generators = self.evidence.spectrum.generators
        return tuple(self.evidence.defect(xi) for xi in generators)

    @cached_property
    def _verdicts_beyond_declared(self):
        """The verdict on every direction of the spectrum beyond the declared ones."""
        # Declared generators span the first directions, up to noise and rounding.
        beyond = self._spectral[len(self.generators) :]
        verdicts = []
        for number, defect in enumerate(beyond):
            # Counting goes by sets of directions, each test of the table by one alone.
            if number < self.undecided or defect.may_be_zero:
                verdicts.append("undecided")
            else:
                verdicts.append(self._how_broken(defect))
        return verdicts

    def _how_broken(self, defect):
        """Return the verdict on a direction that is no symmetry."""
        return "near" if defect.value <= self.max_defect else "broken"

    def _declared(self):
        """Return the rows of the declared symmetries."""
        names = self.candidates.combine(self.generators).names
        rows = []
        for xi, name in zip(self.generators, names, strict=True):
            defect = self.evidence.defect(xi)
            verdict = "symmetry"
            # A number that was asked for may be too large.
            if not self.is_auto and not defect.may_be_zero:
                verdict = self._how_broken(defect)
            row = _row(name, verdict, defect)
            rows.append(self._with_cost(row, xi, self.is_exact))
        return rows

    def _others(self):
        """Return the rows of all other directions that the data determine, by their defects."""
        names = self.candidates.combine(self.near).names
        directions = []
        for xi, name in zip(self.near, names, strict=True):
            row = _row(name, "near", self.evidence.defect(xi))
            directions.append((row, xi))
        n_declared = len(self.generators)
        generators = self.evidence.spectrum.generators[n_declared:]
        defects = self._spectral[n_declared:]
        for xi, defect, verdict in zip(
            generators,
            defects,
            self._verdicts_beyond_declared,
            strict=True,
        ):
            # Near ones are listed already, in a form that can be read.
            if verdict != "near":
                row = _row(self._text(xi), verdict, defect)
                directions.append((row, xi))
        directions.sort(key=lambda direction: direction[0].defect)
        rows = []
        n_others = 0
        for row, xi in directions:
            n_others += row.verdict != "near"
            # The cost of what is clearly broken says nothing new, and each takes a null space.
            if row.verdict == "near" or n_others <= _N_BROKEN_WITH_COST:
                row = self._with_cost(row, xi, is_exact=False)
            rows.append(row)
        return rows

    def _unidentified(self):
        """Return the rows of the directions about which the data say nothing."""
        spectrum = self.evidence.spectrum
        # All motions of a constant function are declared, those that move no data too.
        n_known = max(len(self.generators), len(spectrum.generators))
        unidentified = reduced_echelon(spectrum.unidentified())
        unidentified = unidentified[: spectrum.n_candidates - n_known]
        names = self.candidates.combine(unidentified).names
        return [_row(name, "unidentified", UNKNOWN) for name in names]

    def _elements(self):
        """Return the rows of discrete elements."""
        rows = []
        for test in self.element_tests:
            # Elements have no intervals: what they change is compared with noise alone.
            verdict = test.verdict(self.max_defect)
            defect = replace(UNKNOWN, value=test.defect, floor=test.floor, p_value=test.p_value)
            rows.append(_row(test.name, verdict, defect))
        return rows

    def _with_cost(self, row, xi, is_exact):
        """Return a row with the cost of enforcing its direction alone."""
        if self.costs is None:
            return row
        cost, error = self.costs.of(xi[None], is_exact)
        self.progress.say(f"cost of {row.generator}: {_percent(cost, error)}")
        return replace(row, cost=cost, cost_error=error)

    def _text(self, xi):
        """Write the larger terms of a direction, the largest of which is one."""
        # Entries compare by how far their candidates move the data.
        size = np.sqrt(np.diag(self.evidence.motion))
        motions = np.abs(xi * size)
        largest = motions.argmax()
        is_large = motions > _SHOWN * motions[largest]
        shown = np.where(is_large, xi / xi[largest], 0.0)
        two_digits = [float(f"{entry:.2g}") for entry in shown]
        return self.candidates.combine([two_digits]).names[0]


def near_generators(candidates, evidence, indices):
    """Return the generators (k, r) of near symmetries, in a form that can be read.

    Those of the closest function that has them exactly, by the joint fit, where all smaller
    directions are near ones too; otherwise the span of the spectrum's directions `indices` (k,).
    In reduced echelon form, with numbers that are simple within four standard errors rounded.
    """
    if not len(indices):
        return np.zeros((0, evidence.spectrum.n_candidates))
    # Errors towards smaller directions are left out: those are declared, hence exact.
    n_smallest = indices[-1] + 1
    fit = None
    if isinstance(evidence, FittedEvidence) and len(indices) == n_smallest:
        fit = joint_fit(evidence, n_smallest)
    if fit is not None and fit.is_exact:
        form, errors = echelon_form(evidence, fit.generators, fit.changes)
    else:
        form, errors = echelon(evidence, n_smallest, indices)
    size = np.sqrt(np.diag(evidence.motion))
    simple = rounded(form, errors, partly=True, size=size)
    if simple is not None:
        form = simple
    generators, _ = readable(candidates, form)
    return generators


def _row(name, verdict, defect: Defect):
    """Return a row without its cost."""
    return Direction(
        generator=name,
        verdict=verdict,
        defect=defect.value,
        defect_low=defect.low,
        defect_high=defect.high,
        floor=defect.floor,
        p_value=defect.p_value,
    )
