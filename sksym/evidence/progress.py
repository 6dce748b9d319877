"""Telling users, and scikit-learn's callbacks, how far a search has come."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Who is told of the stages of a search.

    Attributes
    ----------
    task : callable
        ``task(name)`` gives the context of one stage.
    verbose : int
        Whether lines are printed.
    """

    task: Callable = nullcontext
    verbose: int = 0

    def say(self, text):
        """Print a line, if that is wanted."""
        if self.verbose > 0:
            print(text)


SILENT = Progress()
