"""Anderson's extrapolation of a fixed-point iteration, with a safeguard."""

import numpy as np

from sksym.solvers.terms import flattened, unflattened

_MEMORY = 7  # steps that are combined
_SHIFT = 1e-10  # of the Gram matrix of the residuals, relative to its largest entry
_TINY = np.finfo(float).tiny


class AndersonMixing:
    """Extrapolate from the last steps of an iteration on a list of matrices.

    Once the ranks of a proximal iteration have settled it is nearly linear, and the combination of
    the last few steps with the least residual is far ahead of the last. The residual of plain steps
    never grows: where it does after an extrapolation, that is taken back.
    """

    def __init__(self):
        self.count = 0  # steps in memory, or that have been
        self.fallback = None  # the plain step in place of the last extrapolation
        self.size = np.inf  # of the last residual

    def __call__(self, before, after):
        """Return what replaces `after`, the result of one plain step from `before`."""
        value = flattened(after)
        residual = value - flattened(before)
        size = np.linalg.norm(residual)
        if self.fallback is not None and size > self.size:
            plain = self.fallback
            self.fallback = None
            self.count = 0
            return plain
        self.size = size
        self.fallback = None
        share = self._remember(value, residual)
        if share is None:
            return after
        self.fallback = after
        shapes = [Z.shape for Z in after]
        return unflattened(share @ self.values, shapes)

    def _remember(self, value, residual):
        """Return the shares of the steps in memory, of sum one; None: too few steps.

        They minimise the norm of the combined residual.
        """
        if not self.count:
            self.values, self.residuals = np.zeros((2, _MEMORY, len(value)))
            self.products = np.eye(_MEMORY)
        place = self.count % _MEMORY
        self.count += 1
        self.values[place] = value
        self.residuals[place] = residual
        products = self.residuals @ residual
        self.products[place] = products
        self.products[:, place] = products
        n = min(self.count, _MEMORY)
        gram = self.products[:n, :n]
        largest = np.diag(gram).max()
        if n < 3 or largest <= _TINY:
            return None
        # The residuals become nearly dependent: the shift keeps the shares moderate.
        shift = _SHIFT * np.eye(n)
        share = np.zeros(_MEMORY)
        share[:n] = np.linalg.solve(gram / largest + shift, np.ones(n))
        return share / share.sum()
