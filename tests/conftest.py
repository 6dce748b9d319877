import numpy as np
import pytest


@pytest.fixture
def rng():
    """A generator that starts afresh in every test."""
    return np.random.default_rng(0)
