"""Networks of torch's modules with the kernel's draws: the chain has the kernel's rows, both ways."""

from itertools import pairwise

import numpy as np
import pytest

import sweep
from sweep import activations, initializers
from sweep.experiment.outcomes.verdict import JUDGED, verdict
from sweep.kernel import BACKWARD, FORWARD
from sweep.kernel.draws import streams
from tests import reference

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
nn, functional = torch.nn, torch.nn.functional

WIDTH, DEPTH, BATCH, SEED, BIAS = 24, 5, 64, 3, 0.2
ACTS = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU, "elu": nn.ELU, "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU, "softplus": nn.Softplus, "selu": nn.SELU, "hardtanh": nn.Hardtanh,
    "identity": nn.Identity, "gelu_tanh": lambda: nn.GELU("tanh"), "mish": nn.Mish,
}  # fmt: skip


def inputs(width=WIDTH):
    return torch.from_numpy(streams.inputs([SEED], BATCH, width)[0].copy())


def linear(w, b=None):
    """torch's layer with our weights, (fan_in, fan_out)."""
    layer = nn.Linear(*w.shape, bias=b is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(w.T)))
        if b is not None:
            layer.bias.copy_(torch.from_numpy(b))
    return layer


def assert_rows(chain, wanted, rtol=1e-5):
    assert list(chain["layer"]) == list(wanted["layer"])
    for name in (*FORWARD, *BACKWARD):
        size = wanted["rms"] if name == "mean" else 1.0  # a mean is in units of the layer's rms
        mine, theirs = chain[name].to_numpy(float), wanted[name].to_numpy(float)
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(theirs), err_msg=name)
        # A correlation or a cosine of float32's, near 0, is right to its rounding.
        floor = 1e-5 if name in ("sample_cosine", "neuron_corr", "branch_corr") else 0.0
        off = np.abs(mine - theirs) <= rtol * np.where(name == "mean", size, np.abs(theirs)) + floor
        assert (off | np.isnan(mine)).all(), f"{name}\n{mine}\n{theirs}"


@pytest.mark.parametrize("act", ACTS)
def test_an_mlp_has_the_kernels_rows(act):
    blocks = reference.blocks_of(
        initializers.get("xavier"), sweep.base.blocks.PLAIN, WIDTH, DEPTH, SEED, BIAS
    )
    model = nn.Sequential(*(layer for w, b, _ in blocks for layer in (linear(w, b), ACTS[act]())))
    wanted = sweep.propagate("xavier", act, DEPTH, WIDTH, seed=SEED, bias_std=BIAS, batch=BATCH)
    probed = sweep.probe(model, inputs(), seed=SEED)
    assert_rows(probed.chain, wanted)
    figures = {name: wanted[name].to_numpy(float) for name in JUDGED}
    share = activations.flat_share(activations.get(act))
    assert probed.verdict == verdict(figures, share)[0]


def test_a_tapered_mlp_of_functions_has_them_too():
    widths = (30, 20, 40, 8)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            scheme = initializers.get("kaiming")
            self.w = nn.ParameterList()
            for layer, fans in enumerate(pairwise(widths), 1):
                unit = streams.weights([SEED], scheme.base, layer, *fans)[0] * scheme.weight_std(*fans)
                self.w.append(torch.from_numpy(unit))

        def forward(self, x):
            for number, w in enumerate(self.w):
                x = functional.relu(x @ w) if number else functional.linear(x, w.t()).relu_()
            return x

    probed = sweep.probe(Net(), inputs(widths[0]), seed=SEED)
    wanted = sweep.propagate("kaiming", "relu", widths=widths, seed=SEED, batch=BATCH)
    assert_rows(probed.chain, wanted)
    assert list(probed.chain["module"]) == ["", "w.0", "w.1", "w.2"]


class Block(nn.Module):
    """One block of the kernel's, as its formula says."""

    def __init__(self, block, act, w, b, v):
        super().__init__()
        self.block, self.act, self.w = block, act(), linear(w, b)
        self.v = None if v is None else linear(v)
        self.norm = {
            "": nn.Identity, "ln": lambda: nn.LayerNorm(WIDTH, eps=1e-30),
            "rms": lambda: nn.RMSNorm(WIDTH, eps=1e-30), "bn": lambda: nn.BatchNorm1d(WIDTH, eps=1e-30),
        }[block.norm]()  # fmt: skip

    def forward(self, x):
        block, h = self.block, x
        if block.act_first:
            h = self.w(self.act(h))
        else:
            h = self.w(self.norm(h) if block.place == "before" else h)
            h = self.act(self.norm(h) if block.place == "inside" else h)
            h = self.v(h) if self.v else h
        if block.skipped:
            h = block.number("skip") * x + block.number("alpha") * h
        return self.norm(h) if block.place == "after" else h


@pytest.mark.parametrize("act", ["relu", "gelu"])
@pytest.mark.parametrize(
    "name", ["residual", "preact", "mlp", "pre_ln", "pre_rms", "post_ln", "post_rms", "ln", "rms", "bn"]
)
def test_a_network_of_blocks_has_a_row_a_block(name, act):
    parameters = {"alpha": 0.5} if name in ("residual", "mlp", "pre_ln") else {}
    block = sweep.base.blocks.resolved(name, parameters)
    made = reference.blocks_of(initializers.get("kaiming"), block, WIDTH, DEPTH, SEED, BIAS)
    model = nn.Sequential(*(Block(block, ACTS[act], *weights) for weights in made))
    probed = sweep.probe(model, inputs(), seed=SEED)
    wanted = sweep.propagate(
        "kaiming",
        act,
        DEPTH,
        WIDTH,
        seed=SEED,
        bias_std=BIAS,
        batch=BATCH,
        block=name,
        block_params=parameters,
    )
    assert_rows(probed.chain, wanted, 2e-5)  # torch's norms divide by a square root of their own
