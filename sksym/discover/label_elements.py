"""Which elements of a discrete group leave the probabilities of classes unchanged.

The log odds are ``coef @ phi(x)``, and an element is a symmetry where ``T_g u = 0``, as for
functions. Wald's statistic, with the inverse Fisher information as covariance, refutes most
elements. Where probabilities are near 0 or 1 it accepts almost anything (Hauck and Donner 1977), so
that what it does not refute is judged by the likelihood ratio: the log odds are fitted anew in the
functions that are unchanged by g. And one label says far less than one number: the symmetries found
must together be a hundred times as likely as none, see `LogisticEstimate`, and each of them three
times as likely as not.

Index legend: p library functions, q contrasts, k functions of a subspace; the rank is the number of
functions that the data tell apart.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import svd

from sksym.discover.elements import ElementEvidence, row_space
from sksym.discover.log_odds import FLOORS

_REFUTED = 1e-6  # p value of Wald's test that needs no second one
_ODDS = 100.0  # against any symmetry
_ODDS_OF_ELEMENT = 3.0  # against every single one
_ZERO = 1e-9  # singular value, relative to the largest


@dataclass(frozen=True, eq=False)
class LabelElements(ElementEvidence):
    """Log odds fitted in a library, as discrete candidates see them.

    `estimate` is a `LogisticEstimate`, and `output` None: probabilities do not move.
    """

    def _weighed(self, test, change):
        """Return a test that is judged by the likelihood ratio."""
        # Functions that obey a symmetry approximately at best cannot be fitted with it.
        if not change.is_closed:
            return test
        test = replace(test, allowance=FLOORS)
        if test.p_value <= _REFUTED:
            return test
        p_value = self._likelihood_ratio(change.constraints)
        is_weak = self._log_odds(change.constraints) < np.log(_ODDS_OF_ELEMENT)
        return replace(test, p_value=p_value, is_weak=is_weak)

    def together(self, matrices):
        """Return the p value of the hypothesis that several elements are symmetries."""
        constraints = self._constraints(matrices)
        if constraints is None:
            return super().together(matrices)
        return self._likelihood_ratio(constraints)

    def are_established(self, matrices):
        """Return whether some elements together are a hundred times as likely as no symmetry."""
        constraints = self._constraints(matrices)
        return constraints is None or self._log_odds(constraints) >= np.log(_ODDS)

    def _constraints(self, matrices):
        """Return what several elements demand of the coefficients, (t, q rank).

        None for libraries that are not closed under them.
        """
        changes = [self._change(g) for g in matrices]
        if not all(change.is_closed for change in changes):
            return None
        return row_space(np.concatenate([change.constraints for change in changes]))

    def _log_odds(self, constraints):
        """Return the logarithm of the odds for constraints (t, q rank), see `LogisticEstimate`."""
        estimate = self.estimate
        spaces = [self._obeying(constraints, estimate.from_data.T)]
        for functions in estimate.smaller:
            spaces.append(self._obeying(constraints, functions))
        return estimate.log_odds_of_symmetry(spaces)

    def _likelihood_ratio(self, constraints):
        """Return the p value of the hypothesis that constraints (t, q rank) hold."""
        functions = self._obeying(constraints, self.estimate.from_data.T)
        miss, rank = self.estimate.deviance(functions)
        return self.estimate.survival(miss, len(self.u) - rank)

    def _obeying(self, constraints, functions):
        """Return those (k, p) of some functions (.., p) that obey constraints (t, q rank)."""
        q = len(self.estimate.coef)
        # Every contrast obeys the same ones.
        rows = constraints.reshape(len(constraints) * q, -1)
        u = functions @ self.estimate.to_data
        return _null_space(rows @ u.T) @ functions


def _null_space(matrix):
    """Return orthonormal rows (k, n) that span the null space of a matrix (m, n)."""
    _, s, Vt = svd(matrix)
    rank = np.count_nonzero(s > _ZERO * s.max(initial=0))
    return Vt[rank:]
