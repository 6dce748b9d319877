"""Torch modules are differentiated exactly, as they predict."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sksym import LieAlgebra, SymmetryDiscoverer, so, symmetry_report, vector
from sksym.discover.models import derivatives
from sksym.discover.torch_modules import TorchFunction

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.fixture(autouse=True)
def _one_thread():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def network(*layers, dtype=torch.float64, outputs=1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), *layers, nn.Tanh(), nn.Linear(16, outputs)).to(dtype)


class Radial(nn.Module):
    """Exactly invariant under rotations."""

    def __init__(self, dtype):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.7, dtype=dtype))

    def forward(self, x):
        return torch.exp(-self.scale * (x**2).sum(-1))


class Branching(nn.Module):
    """Python decides by values, and the output has no axis of its own."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        if x.abs().sum().item() > 1e9:
            return 0 * x[:, 0]
        return self.layer(x).squeeze(-1)


def slopes_by_differences(module, X, step):
    function = TorchFunction(module)
    columns = []
    for e in step * np.eye(X.shape[1]):
        difference = function(X + e) - function(X - e)
        columns.append(difference.reshape(len(X), -1) / (2 * step))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize(
    ("module", "step", "atol"),
    [
        (network(), 1e-5, 1e-8),
        (network(dtype=torch.float32), 1e-2, 1e-3),
        (network(outputs=3), 1e-5, 1e-8),
        (network(nn.Dropout(0.5)), 1e-5, 1e-8),
        (network(nn.BatchNorm1d(16)), 1e-5, 1e-8),
        (Branching(), 1e-2, 1e-4),
        (Radial(torch.bfloat16), 1e-1, 1.0),
    ],
    ids=["double", "float", "outputs", "dropout", "batch norm", "branching", "bfloat16"],
)
def test_slopes_are_those_of_the_prediction(module, step, atol, rng):
    X = rng.normal(size=(300, 2))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert module.training
    values, slopes, error = derivatives(module, X, np.random.RandomState(0))
    assert module.training
    for part in module.modules():
        assert part.training
    assert values.shape == slopes.shape[:2]
    assert_allclose(slopes, slopes_by_differences(module, X, step), atol=atol)
    dtype = next(module.parameters()).dtype
    assert torch.finfo(dtype).eps <= error <= 100 * torch.finfo(dtype).eps
    # Neither the averages of batches nor the gradients of training are touched.
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in module.parameters())


def test_modes_of_parts_are_kept(rng):
    module = network(nn.Dropout(0.5))
    module[1].eval()
    TorchFunction(module).jacobian(rng.normal(size=(3, 2)))
    assert module[0].training
    assert not module[1].training


def test_outputs_that_do_not_depend_on_the_inputs(rng):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones(len(x), 2)

    jacobian = TorchFunction(Constant()).jacobian(rng.normal(size=(4, 3)))
    assert_array_equal(jacobian, np.zeros((4, 2, 3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_invariant_module_has_its_symmetry(dtype, rng):
    X = rng.normal(size=(300, 2))
    module = Radial(dtype)
    candidates = so(2) + LieAlgebra(np.eye(2)[None])
    found = SymmetryDiscoverer(candidates, estimator=module).fit(X)
    assert found.algebra_.names == ("x0 ∂1 - x1 ∂0",)
    expected = np.exp(-0.7 * np.sum(X**2, axis=1))
    assert_allclose(found.predict(X), expected, atol=1e-6)
    report = symmetry_report(module, X, expected, candidates=candidates)
    assert report[0].verdict == "symmetry"
    assert report[1].verdict == "broken"


def test_fields_and_other_columns(rng):
    X = rng.normal(size=(100, 2))
    field = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        field.weight.copy_(torch.tensor([[1.0, -2.0], [2.0, 1.0]]))
    found = SymmetryDiscoverer(so, output=vector, estimator=field).fit(X)
    assert found.algebra_name_ == "so(2)"
    with pytest.raises(ValueError, match="RuntimeError"):
        symmetry_report(field, np.ones((5, 3)), candidates=so)


def test_a_trained_module_shows_the_symmetry_of_its_data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1200, 2))
    y = np.sqrt(1 + np.sum(X**2, axis=1))
    module = network(dtype=torch.float32)
    inputs = torch.tensor(X[:600], dtype=torch.float32)
    targets = torch.tensor(y[:600, None], dtype=torch.float32)
    optimizer = torch.optim.LBFGS(
        module.parameters(),
        max_iter=300,
        line_search_fn="strong_wolfe",
    )

    def loss():
        optimizer.zero_grad()
        value = nn.functional.mse_loss(module(inputs), targets)
        value.backward()
        return value

    optimizer.step(loss)
    found = SymmetryDiscoverer(estimator=module, random_state=0).fit(X[600:], y[600:])
    assert found.model_error_ < 0.03
    assert found.algebra_.names == ("x0 ∂1 - x1 ∂0",)
