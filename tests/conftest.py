import numpy as np
import pytest


@pytest.fixture
def rng():
    """A generator that starts afresh in every test."""
    return np.random.default_rng(0)


class Watch:
    """A callback of scikit-learn: the names of tasks as they begin, and ``end`` for each end."""

    def __init__(self):
        self.events = []

    @property
    def begun(self):
        return [name for name in self.events if name != "end"]

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.events.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        self.events.append("end")

    def teardown(self, estimator, context):
        pass


@pytest.fixture
def watch():
    """A callback that lists tasks, where scikit-learn has callbacks."""
    callback = pytest.importorskip("sklearn.callback")
    watch = Watch()
    assert isinstance(watch, callback.FitCallback)
    return watch
