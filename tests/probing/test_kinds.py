"""What a call is: functions and modules, torch's and one's own, and how flat they are."""

import pytest

import sweep

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from sweep.probing.watching.kinds import of_module  # noqa: E402
from tests.probing.networks import WIDTH, vectors  # noqa: E402


def test_functions_have_rows_and_those_within_torchs_modules_do_not():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.act = nn.Linear(WIDTH, WIDTH), nn.GELU()

        def forward(self, x):
            x = functional.relu(self.fc(x), inplace=True)
            x = torch.tanh(self.fc(x)).sigmoid()
            x = self.act(self.fc(x)).relu_()
            return functional.silu(functional.leaky_relu(x, 0.2))

    assert list(sweep.probe(Net(), vectors()).layers["kind"][1:]) == [
        "Linear", "relu", "Linear", "tanh", "sigmoid", "Linear", "GELU", "relu", "leaky_relu", "silu",
    ]  # fmt: skip


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.5 * x)


class Scaled(nn.Module):
    def forward(self, x):
        return x / x.norm(dim=-1, keepdim=True)


def test_a_users_own_activation_is_known_by_what_it_does():
    x = 4 * vectors()
    layers = sweep.probe(nn.Sequential(nn.Identity(), Swish(), Scaled()), x).layers
    assert list(layers["kind"]) == ["input", "Identity", "Swish", "Scaled"]
    slope = torch.func.vmap(torch.func.grad(lambda z: z * torch.sigmoid(1.5 * z)))(x.reshape(-1))
    assert layers["flat"][2] == pytest.approx(float((slope.abs() < 0.0199).double().mean()))
    assert layers["flat"][[1, 3]].isna().all()  # a norm is no elementwise function


@pytest.mark.parametrize(
    "act",
    [
        nn.PReLU(),
        nn.Hardtanh(-2, 2),
        nn.Hardtanh(-1, 2),
        nn.RReLU(),
        nn.LogSigmoid(),
        nn.Softplus(2.0),
        nn.Hardshrink(),
        nn.Softshrink(),
    ],
)
def test_the_slope_of_any_activation_is_found(act):
    x = vectors()
    layers = sweep.probe(nn.Sequential(act.eval()), x).layers
    z = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(act(z).sum(), z)
    assert layers["flat"][1] == pytest.approx(float((slope.abs() < 0.0199).double().mean()))


@pytest.mark.parametrize(
    "act",
    [
        nn.ELU(0.7), nn.CELU(1.3), nn.LeakyReLU(0.2), nn.GELU(), nn.GELU("tanh"), nn.Hardtanh(),
        nn.Softplus(), nn.Softplus(2.0), nn.ReLU6(), nn.SELU(), nn.SiLU(), nn.Mish(),
        nn.Softsign(), nn.Hardswish(),
    ],
)  # fmt: skip
def test_an_activation_that_is_ours_has_our_values(act):
    ours = of_module(act).act
    z = torch.linspace(-30, 30, 601, dtype=torch.float64)
    assert ours.f(z.numpy()) == pytest.approx(act(z).numpy(), abs=1e-8)  # torch's softplus: z from 20 on


@pytest.mark.parametrize("act", [nn.Softplus(1.0, threshold=2.0), nn.Hardtanh(-1, 2), nn.CELU(-1.0)])
def test_an_activation_of_parameters_that_ours_does_not_have_is_not_ours(act):
    assert of_module(act).act is None
