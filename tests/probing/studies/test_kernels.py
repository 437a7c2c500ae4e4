"""Which weights a scheme draws, by which fans, and where each number of a matrix goes."""

import math

import numpy as np
import pytest

from sweep import initializers

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations  # noqa: E402

from sweep.probing.studies.kernels import weights_of  # noqa: E402


class Conv1D(nn.Module):
    """As transformers has it: weights as (fan_in, fan_out)."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(30, 50))

    def forward(self, x):
        return x @ self.weight


# What a module's kernels are: name -> (fan_in, fan_out), and how its inputs look.
FANS = {
    "linear": (lambda: nn.Linear(30, 50), {"weight": (30, 50)}),
    "conv": (lambda: nn.Conv2d(8, 16, (3, 5)), {"weight": (8 * 15, 16 * 15)}),
    "grouped": (lambda: nn.Conv2d(8, 16, 3, groups=4), {"weight": (2 * 9, 4 * 9)}),
    "depthwise": (lambda: nn.Conv1d(8, 8, 5, groups=8), {"weight": (5, 5)}),
    "transposed": (lambda: nn.ConvTranspose2d(8, 16, 4, stride=2), {"weight": (8 * 4, 16 * 16)}),
    "transposed, grouped": (lambda: nn.ConvTranspose1d(8, 16, 3, groups=2), {"weight": (4 * 3, 8 * 3)}),
    "bilinear": (lambda: nn.Bilinear(6, 7, 5), {"weight": (42, 5)}),
    "attention": (
        lambda: nn.MultiheadAttention(12, 3), {"in_proj_weight": (12, 12), "out_proj.weight": (12, 12)},
    ),
    "attention, other keys": (
        lambda: nn.MultiheadAttention(12, 3, kdim=6, vdim=8),
        {"q_proj_weight": (12, 12), "k_proj_weight": (6, 12), "v_proj_weight": (8, 12),
         "out_proj.weight": (12, 12)},
    ),
    "lstm": (lambda: nn.LSTM(6, 10), {"weight_ih_l0": (6, 10), "weight_hh_l0": (10, 10)}),
    "gru cell": (lambda: nn.GRUCell(6, 10), {"weight_ih": (6, 10), "weight_hh": (10, 10)}),
    "of transformers": (Conv1D, {"weight": (30, 50)}),
}  # fmt: skip


@pytest.mark.parametrize("what", FANS)
def test_the_fans_count_what_is_summed_and_where_it_goes(what):
    make, fans = FANS[what]
    found = weights_of(make())
    assert {one.name: (one.fan_in, one.fan_out) for one in found.kernels} == fans
    assert not found.left


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Linear(300, 80, bias=False), (64, 300)),
        (lambda: nn.Conv2d(32, 64, 3, bias=False), (8, 32, 20, 20)),
        (lambda: nn.Conv2d(32, 64, 3, groups=8, bias=False), (16, 32, 20, 20)),
        (lambda: nn.ConvTranspose2d(32, 48, 4, stride=2, bias=False), (8, 32, 12, 12)),
        (lambda: nn.ConvTranspose2d(32, 64, 3, stride=2, groups=4, bias=False), (8, 32, 16, 16)),
        (lambda: nn.ConvTranspose1d(64, 48, 6, stride=3, bias=False), (32, 64, 30)),
    ],
)
@pytest.mark.parametrize("scheme", ["xavier", "orthogonal"])
def test_weights_of_variance_one_over_fan_in_keep_the_size(make, shape, scheme):
    torch.manual_seed(0)
    module = make()
    weights_of(module).draw(initializers.get(scheme), 0)
    with torch.no_grad():
        out = module(torch.randn(shape))
    inside = out[(..., *(slice(6, -6) for _ in shape[2:]))] if out.dim() > 2 else out
    found = weights_of(module).kernels[0]
    expected = 1.0
    if scheme == "orthogonal":  # columns are of length 1, shorter where they are more than the rows;
        expected = math.sqrt(min(1.0, found.rows / found.columns))
        expected *= math.sqrt(found.fan_in / found.rows)  # and a place meets this share of them
    assert float(inside.std()) == pytest.approx(expected, rel=0.05)  # some thousand weights: 3 % twice


def test_a_drawn_kernel_has_the_numbers_of_its_matrix():
    module = nn.ConvTranspose2d(6, 8, (2, 3), groups=2)
    (one,) = weights_of(module).kernels
    matrix = np.arange(one.rows * one.columns, dtype=np.float32).reshape(one.rows, one.columns)
    kernel = one.arranged(matrix)
    for group in range(2):
        for channel in range(4):
            entries = kernel[3 * group : 3 * group + 3, channel].ravel()
            assert (entries == matrix[:, 4 * group + channel]).all()


def test_what_is_stacked_is_drawn_apart():
    module = nn.MultiheadAttention(12, 3)
    weights_of(module).draw(initializers.get("orthogonal"), 0)
    for part in module.in_proj_weight.detach().chunk(3):
        torch.testing.assert_close(part @ part.T, torch.eye(12), atol=1e-5, rtol=0)
    q, k, _ = module.in_proj_weight.detach().chunk(3)
    assert not torch.allclose(q, k)


def test_tables_and_what_is_tied_to_them_stay_and_what_is_not_known_is_named():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
            self.head.weight = self.table.weight
            self.place, self.norm = nn.Parameter(torch.ones(1, 5, 8)), nn.LayerNorm((5, 8))
            self.first, self.again = nn.Linear(8, 8), nn.Linear(8, 8)
            self.again.weight = self.first.weight

    model = Net()
    before = model.table.weight.detach().clone()
    found = weights_of(model)
    assert [one.name for one in found.kernels] == ["first.weight"]
    assert set(found.left) == {"head.weight", "table.weight", "place", "norm.weight", "norm.bias"}
    found.draw(initializers.get("normal", std=3.0), 0)
    assert torch.equal(model.table.weight, before)
    assert float(model.again.weight.detach().std()) == pytest.approx(3.0, rel=0.3)


def test_a_parametrized_weight_is_drawn_where_it_can_be_solved_for_and_else_left():
    solved = parametrizations.weight_norm(nn.Linear(50, 40))
    found = weights_of(nn.Sequential(solved))
    found.draw(initializers.get("normal", std=0.5), 0)
    assert float(solved.weight.detach().std()) == pytest.approx(0.5, rel=0.1)

    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

    left = nn.Linear(50, 40)
    nn.utils.parametrize.register_parametrization(left, "weight", Double())
    assert not weights_of(left).kernels
    assert set(weights_of(left).left) == {"weight"}


def test_constant_and_zero_weights_need_no_draws():
    module = nn.Conv2d(3, 4, 3)
    weights_of(module).draw(initializers.get("constant", value=0.25), 0)
    assert (module.weight == 0.25).all()


def test_every_kernel_has_a_stream_of_its_own():
    model = nn.Sequential(nn.Linear(9, 9), nn.MultiheadAttention(9, 3), nn.Linear(9, 9))
    weights_of(model).draw(initializers.get("normal", std=1.0), 0)
    square = [*model[1].in_proj_weight.detach().chunk(3), model[0].weight.detach(), model[2].weight.detach()]
    assert len({float(one.sum()) for one in square}) == len(square)
