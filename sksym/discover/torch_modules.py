"""Torch modules as functions of rows, with exact derivatives, where torch is installed."""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

_ROWS = 256  # that are differentiated at a time: the graph of all may not fit into memory
_ROUND_OFF = 10.0  # times the spacing of numbers, the error of values and slopes


def is_torch_module(model):
    """Tell whether a model is called on tensors: it has `parameters`, and no `predict`."""
    return callable(model) and hasattr(model, "parameters") and not hasattr(model, "predict")


@dataclass(frozen=True, eq=False)
class TorchFunction:
    """A module as it predicts, whatever its mode: without dropout, with running averages.

    Parameters
    ----------
    module : torch.nn.Module
    """

    module: object

    def __call__(self, X):
        """Return the values (n,) or (n, q) at rows `X` (n, d)."""
        import torch

        # Without a graph: values are needed more often than slopes.
        with self._predicting(), torch.no_grad():
            values = [_numbers(self.module(rows)) for rows in self._blocks(X)]
        return np.concatenate(values)

    def jacobian(self, X):
        """Return the exact Jacobian (n, q, d) at rows `X` (n, d), in one backward pass an output.

        A module that predicts treats every row by itself, so that the slope of a sum over rows
        has the slopes of all rows.
        """
        import torch

        jacobians = []
        with self._predicting(), torch.enable_grad():
            for rows in self._blocks(X):
                rows.requires_grad_()
                outputs = self.module(rows).reshape(len(rows), -1)
                slopes = [_slope(outputs[:, j], rows) for j in range(outputs.shape[1])]
                jacobians.append(np.stack(slopes, axis=1))
        return np.concatenate(jacobians)

    @property
    def round_off(self):
        """Error of values and slopes, relative to their size."""
        import torch

        (rows,) = self._blocks(np.zeros((1, 1)))
        return _ROUND_OFF * torch.finfo(rows.dtype).eps

    def _blocks(self, X):
        """Yield tensors (b, d) of the rows of `X`, in the type and place of the parameters."""
        import torch

        # A copy with a graph of its own; without parameters in the type of X.
        like = next(iter(self.module.parameters()), None)
        options = {}
        if like is not None:
            options = {"dtype": like.dtype, "device": like.device}
        for first in range(0, len(X), _ROWS):
            yield torch.tensor(X[first : first + _ROWS], **options)

    @contextmanager
    def _predicting(self):
        """Put all parts of the module into the mode of prediction, and back afterwards."""
        modes = [(part, part.training) for part in self.module.modules()]
        self.module.eval()
        try:
            yield
        finally:
            for part, mode in modes:
                part.training = mode


def _slope(values, rows):
    """Return the derivative (n, d) of the sum of values (n,), zero where there is no graph."""
    import torch

    slope = None
    if values.requires_grad:
        (slope,) = torch.autograd.grad(values.sum(), rows, retain_graph=True, allow_unused=True)
    if slope is None:
        return np.zeros(rows.shape)
    return _numbers(slope)


def _numbers(tensor):
    """Return a tensor as an array of doubles: numpy does not know every type of torch."""
    return tensor.detach().cpu().double().numpy()
