"""Theory beside the chain: the maps of theory where a module is what they are of, and no number elsewhere."""

import math
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

import sweep
from sweep.experiment.cell import Cell
from sweep.experiment.predictions.prediction import predicted
from sweep.initializers import get
from sweep.kernel.draws import streams
from tests import reference
from tests.probing.chains.test_chain import ACTS, linear

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
nn, functional = torch.nn, torch.nn.functional

WIDTH, BATCH = 32, 40
FORWARD = ("mean", "std", "rms", "flat", "sample_cosine")
BACKWARD = ("delta_rms", "grad_rms")
NORMS = {
    "": nn.Identity, "ln": lambda width: nn.LayerNorm(width, eps=1e-30, elementwise_affine=False),
    "rms": lambda width: nn.RMSNorm(width, eps=1e-30, elementwise_affine=False),
}  # fmt: skip


def inputs(width=WIDTH, *places, batch=BATCH):
    """Of mean 0 over all entries, and in float64, so that theory's own input is known to rounding."""
    x = torch.randn(batch, *places, width, dtype=torch.float64)
    return x - x.mean()


def sized(fan_in, fan_out, sigma_w, sigma_b=0.0):
    """A layer whose weights have exactly the mean square sigma_w² / fan_in, its biases sigma_b²."""
    layer = nn.Linear(fan_in, fan_out, bias=sigma_b > 0, dtype=torch.float64)
    with torch.no_grad():
        layer.weight *= sigma_w / math.sqrt(fan_in) / layer.weight.square().mean().sqrt()
        if sigma_b:
            layer.bias *= sigma_b / layer.bias.square().mean().sqrt()
    return layer


def assert_theory(chain, wanted, rtol=1e-10):
    """That the chain has these predictions, those of a mean in units of rms."""
    for name in (*FORWARD, *BACKWARD):
        mine, theirs = chain[f"theory_{name}"].to_numpy(float), np.asarray(wanted[name], float)
        if name == "flat":
            theirs = np.where(np.arange(len(theirs)) > 0, theirs, math.nan)
        floor = rtol * wanted["rms"].max() if name == "mean" else 1e-12
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=floor, err_msg=name)


def of_input(chain):
    return {"q0": chain["rms"][0] ** 2, "c0": chain["sample_cosine"][0]}


def hides(chain, first=1):
    """Whether theory is silent from a layer on, but not before it, and on gradients everywhere."""
    silent = chain[[f"theory_{name}" for name in FORWARD if name != "flat"]].isna()
    gradients = chain[[f"theory_{name}" for name in BACKWARD]].isna()
    before = first if first > 1 else 0  # of an input alone nothing is predicted
    return silent[before:].all(axis=None) and not silent[:before].any(axis=None) and gradients.all(axis=None)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("sigma_b", [0.0, 0.4])
def test_weights_of_exactly_this_size_have_the_maps_of_theory(act, sigma_b):
    torch.manual_seed(0)
    widths = (48, 32, 32, 64, 10)
    layers = [sized(*fans, 1.3, sigma_b) for fans in pairwise(widths)]
    model = nn.Sequential(*(one for layer in layers for one in (layer, ACTS[act]())))
    chain = sweep.probe(model, inputs(widths[0])).chain
    theory = sweep.theory.predict(act, 1.3, sigma_b, widths=widths, batch=BATCH, **of_input(chain))
    assert_theory(chain, theory)


class Block(nn.Module):
    """One block of the kernel's, of weights of exactly these sizes."""

    def __init__(self, block, act):
        super().__init__()
        self.block, self.act = block, act()
        self.w, self.norm = sized(WIDTH, WIDTH, 1.3, 0.2), NORMS[block.norm](WIDTH)
        self.v = sized(WIDTH, WIDTH, 0.9) if block.out else nn.Identity()

    def forward(self, x):
        block = self.block
        if block.act_first:
            h = self.w(self.act(x))
        else:
            h = self.w(self.norm(x) if block.place == "before" else x)
            h = self.v(self.act(self.norm(h) if block.place == "inside" else h))
        if block.skipped:
            h = block.number("skip") * x + h * block.number("alpha")
        return self.norm(h) if block.place == "after" else h


@pytest.mark.parametrize("act", ["tanh", "gelu"])
@pytest.mark.parametrize(
    "name", ["residual", "preact", "mlp", "pre_ln", "pre_rms", "post_ln", "post_rms", "ln", "rms"]
)
def test_a_network_of_blocks_has_the_maps_of_its_blocks(name, act):
    torch.manual_seed(0)
    block = sweep.base.blocks.resolved(name, {})
    if block.skipped:
        block = sweep.base.blocks.resolved(name, {"skip": 0.9, "alpha": 0.5})
    model = nn.Sequential(*(Block(block, ACTS[act]) for _ in range(4)))
    chain = sweep.probe(model, inputs()).chain
    theory = sweep.theory.predict(act, 1.3, 0.2, 4, block=block, sigma_v=0.9, batch=BATCH, **of_input(chain))
    if name == "residual" and act == "gelu":  # whose mean returns more than the first order in 1/width
        assert chain["theory_delta_rms"].isna().all()
        theory[[*BACKWARD]] = math.nan
    assert_theory(chain, theory)


def test_our_draws_have_the_theory_of_the_table_to_the_scatter_of_their_sizes():
    widths, bias_std = (256, 300, 256, 256), 0.2
    scheme, model = get("kaiming"), []
    for layer, fans in enumerate(pairwise(widths), 1):
        unit = streams.weights([0], scheme.base, layer, *fans)[0] * scheme.weight_std(*fans)
        biases = bias_std * streams.biases([0], scheme.base, layer, *fans)[0]
        model += [linear(unit, biases), nn.ReLU()]
    x = torch.from_numpy(streams.inputs([0], BATCH, widths[0])[0].copy())
    values = {"init": {"name": "kaiming"}, "act": {"name": "relu"}, "widths": widths, "batch": BATCH}
    wanted = predicted(Cell.of({**values, "bias_std": bias_std, "seed": 0}).spec)
    chain = sweep.probe(nn.Sequential(*model), x).chain
    for name in ("rms", "std", "delta_rms", "grad_rms", "flat"):  # layer 0 is what is measured
        # A std of 65,000 weights is right to 0.3 %, of 10,000 inputs to 0.7 %; three layers add up.
        np.testing.assert_allclose(chain[f"theory_{name}"][1:], wanted[name][1:], rtol=0.02, err_msg=name)
    np.testing.assert_allclose(chain["theory_sample_cosine"], wanted["sample_cosine"], atol=0.01)


@pytest.mark.parametrize("act", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("name", ["plain", "mlp", "pre_ln"])
@pytest.mark.parametrize("bias_std", [0.0, 0.3])
def test_what_is_measured_lies_where_seeds_scatter(name, act, bias_std):
    depth, width = 4, 256
    block = sweep.base.blocks.resolved(name, {"alpha": 0.7} if name != "plain" else {})
    made = reference.blocks_of(get("kaiming"), block, width, depth, 1, bias_std)
    rows = []
    for w, b, v in made:
        branch = [linear(w, b), ACTS[act]()] + ([linear(v)] if v is not None else [])
        rows.append(_Sum(branch, block, width) if block.skipped else nn.Sequential(*branch))
    chain = sweep.probe(nn.Sequential(*rows), torch.randn(BATCH, width)).chain
    spread = sweep.theory.finite_width(
        act, 2**0.5, bias_std, depth, width, BATCH, block=block, sigma_v=2**0.5
    )["std"]
    reach = 5 * float(spread.max()) / 2 + 0.02  # of log rms; a gradient's scatters as much; and by sampling
    for column in ("rms", "std", "delta_rms", "grad_rms"):
        off = np.log(chain[column] / chain[f"theory_{column}"])
        assert off.abs().max() < reach, column
        assert chain[f"theory_{column}"].notna().sum() == depth + (column != "grad_rms")
    assert (chain["flat"] - chain["theory_flat"]).abs().max() < 0.05
    assert (chain["sample_cosine"] - chain["theory_sample_cosine"]).abs().max() < 0.1


class _Sum(nn.Module):
    def __init__(self, branch, block, width):
        super().__init__()
        self.norm, self.branch, self.alpha = NORMS[block.norm](width), nn.Sequential(*branch), block.alpha

    def forward(self, x):
        return x + self.alpha * self.branch(self.norm(x))


class Net(nn.Module):
    """What a function makes of its layers, each of 32 neurons, and a head of ten."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.function = forward
        self.a, self.b = sized(WIDTH, WIDTH, 1.2, 0.2), sized(WIDTH, WIDTH, 1.1, 0.1)
        self.head = sized(WIDTH, 10, 1.0, 0.3)
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.function(self, x)


def probed(forward, x=None, **modules):
    torch.manual_seed(1)
    return sweep.probe(Net(forward, **modules), inputs() if x is None else x).chain


def _tensor(value):
    return nn.Parameter(torch.tensor(value, dtype=torch.float64))


def _linear(x, layer):
    return functional.linear(x, layer.weight, layer.bias)


SAME = {
    "modules": lambda m, x: m.head(torch.tanh(m.b(torch.tanh(m.a(x))))),
    "linear": lambda m, x: m.head(_linear(_linear(x, m.a).tanh(), m.b).tanh_()),
    "matmul": lambda m, x: m.head(
        torch.tanh(m.b.bias + torch.tanh(x @ m.a.weight.T + m.a.bias) @ m.b.weight.t())
    ),
    "rearranged": lambda m, x: m.head(
        torch.tanh(m.b(torch.tanh(m.a(x.reshape(4, 10, WIDTH)).flatten(0, 1)).clone()))
    ),
    "nothing": lambda m, x: m.head(m.none(torch.tanh(m.b(m.none(torch.tanh(m.a(m.none(x)))))))),
}  # fmt: skip


@pytest.mark.parametrize("how", SAME)
def test_the_same_network_has_the_same_theory_however_it_is_written(how):
    none = nn.Sequential(nn.Identity(), nn.Dropout(0.5).eval(), nn.Flatten(), nn.Dropout(0.0))
    chain = probed(SAME[how], none=none)
    wanted = probed(SAME["modules"])
    for name in (*FORWARD, *BACKWARD):
        np.testing.assert_allclose(chain[f"theory_{name}"], wanted[f"theory_{name}"], rtol=1e-10)
    assert wanted["theory_grad_rms"][1:].notna().all()


def test_a_stream_between_a_projection_and_a_norm_is_followed_to_its_end():
    torch.manual_seed(2)
    width = 128
    ln = sweep.base.blocks.resolved("pre_ln", {"alpha": 0.5})
    blocks = [
        _Sum([sized(width, 2 * width, 1.4, 0.1), nn.GELU(), sized(2 * width, width, 1, 0.1)], ln, width)
        for _ in range(5)
    ]
    head = [NORMS["ln"](width), sized(width, 64, 1.0)]
    chain = sweep.probe(nn.Sequential(sized(64, width, 1.0), *blocks, *head), inputs(64, batch=200)).chain
    for name in ("rms", "delta_rms", "grad_rms"):
        measured, theory = chain[name], chain[f"theory_{name}"]
        assert (np.isnan(measured) == np.isnan(theory)).all(), name
        assert np.abs(np.log(measured / theory)).max() < 0.15, name  # a seed's scatter at this width
    assert (chain["sample_cosine"] - chain["theory_sample_cosine"]).abs().max() < 0.1  # of 64 outputs


@pytest.mark.parametrize("alpha", [0.0, 0.25])
def test_a_factor_that_is_a_parameter_is_that_number(alpha):
    def gain(chain):
        return chain["theory_rms"][1] ** 2 - chain["theory_rms"][0] ** 2

    scaled = probed(lambda m, x: m.head(x + m.alpha * m.b(torch.tanh(m.a(x)))), alpha=_tensor(alpha))
    whole = probed(lambda m, x: m.head(x + m.b(torch.tanh(m.a(x)))))
    assert gain(scaled) == pytest.approx(alpha**2 * gain(whole), abs=1e-12)
    assert scaled["theory_delta_rms"].notna().all()


class _Abs(nn.Module):
    def forward(self, x):
        return x.abs()


def _gained(width, gain=1.0, shift=0.0, eps=1e-5):
    norm = nn.LayerNorm(width, eps=eps, dtype=torch.float64)
    nn.init.constant_(norm.weight, gain)
    nn.init.constant_(norm.bias, shift)
    return norm


def _tanh(m, x):
    return torch.tanh(m.a(x))


def _halved(h):
    h[:, : WIDTH // 2].zero_()
    return h


class _Own(nn.Module):
    """A layer of a user's own."""

    def __init__(self, factor=1):
        super().__init__()
        like = sized(WIDTH, WIDTH, 1.2, 0.2)
        self.w, self.b, self.factor = nn.Parameter(like.weight.detach().T.clone()), like.bias, factor

    def forward(self, x):
        h = x @ self.w + self.b
        return h if self.factor == 1 else h * self.factor


def test_a_layer_of_a_users_own_is_what_its_functions_are():
    x = inputs()
    own = probed(lambda m, x: m.head(torch.tanh(m.one(x))), x, one=_Own())
    wanted = probed(lambda m, x: m.head(_tanh(m, x)), x)
    assert list(own["module"]) == ["", "one", "head"]
    for name in (*FORWARD, *BACKWARD):
        np.testing.assert_allclose(own[f"theory_{name}"], wanted[f"theory_{name}"], rtol=1e-10)


@pytest.mark.parametrize("sigma_b", [0.1, 1.0])
def test_biases_that_a_sum_adds_are_those_of_the_matrix_however_large(sigma_b):
    torch.manual_seed(0)
    net, x = Net(lambda m, x: m.head(torch.tanh(x @ m.b.weight.T + m.b.bias))), inputs()
    net.b = sized(WIDTH, WIDTH, 1.0, sigma_b)
    own = sweep.probe(net, x).chain
    net.function = lambda m, x: m.head(torch.tanh(m.b(x)))
    wanted = sweep.probe(net, x).chain
    for name in (*FORWARD, *BACKWARD):
        np.testing.assert_allclose(own[f"theory_{name}"], wanted[f"theory_{name}"], rtol=1e-10)


def test_gradients_that_a_hook_may_change_are_not_predicted():
    def doubled(m, x):
        h = _tanh(m, x)
        h.register_hook(lambda gradient: 2 * gradient)
        return m.head(h)

    chain, wanted = probed(doubled), probed(lambda m, x: m.head(_tanh(m, x)))
    assert chain[[f"theory_{name}" for name in BACKWARD]].isna().all(axis=None)
    np.testing.assert_array_equal(chain["theory_rms"], wanted["theory_rms"])


# What theory has no word on, and the layer from which on it is silent.
UNKNOWN = {
    "dropout": (lambda m, x: m.head(m.one(_tanh(m, x))), nn.Dropout(0.5), 2),
    "functional dropout": (lambda m, x: m.head(functional.dropout(_tanh(m, x), 0.5)), None, 2),
    "factor": (lambda m, x: m.head(2 * _tanh(m, x)), None, 2),
    "factor before": (lambda m, x: m.head(torch.tanh(0.5 * m.a(x))), None, 1),
    "quotient": (lambda m, x: m.head(1 / _tanh(m, x)), None, 2),
    "shift": (lambda m, x: m.head(_tanh(m, x) + 1.0), None, 2),
    "abs": (lambda m, x: m.head(_tanh(m, x).abs()), None, 2),
    "own act": (lambda m, x: m.head(m.one(m.b(_tanh(m, x)))), _Abs(), 2),
    "input": (lambda m, x: m.head(_tanh(m, x * 3)), None, 1),
    "gate": (lambda m, x: m.head(_tanh(m, x) * m.b(x)), None, 2),
    "outputs": (lambda m, x: m.head(_tanh(m, x)).softmax(dim=-1), None, 3),
    "tied": (lambda m, x: m.head(torch.tanh(m.a(_tanh(m, x)))), None, 2),
    "tied the other way": (lambda m, x: torch.tanh(_tanh(m, x) @ m.a.weight), None, 2),
    "batch norm": (lambda m, x: m.head(torch.tanh(m.one(m.a(x)))), nn.BatchNorm1d(WIDTH).double(), 1),
    "gain": (lambda m, x: m.head(torch.tanh(m.one(m.a(x)))), _gained(WIDTH, 2.0), 1),
    "norm's shift": (lambda m, x: m.head(m.one(_tanh(m, x))), _gained(WIDTH, shift=0.5), 2),
    "epsilon": (lambda m, x: m.head(m.one(_tanh(m, x))), _gained(WIDTH, eps=0.1), 2),
    "functional norm": (lambda m, x: m.head(functional.layer_norm(_tanh(m, x), (WIDTH,))), None, 2),
    "convolution": (
        lambda m, x: m.head(m.one(x[:, None]).flatten(1)[:, :WIDTH]),
        nn.Conv1d(1, 4, 3, padding=1).double(), 1,
    ),
    "detached": (lambda m, x: m.head(_tanh(m, x).detach()), None, 2),
    "a skip around the outputs": (lambda m, x: m.b(_tanh(m, x)) + _tanh(m, x) * 0.5, None, 1),
    "a branch that goes twice": (
        lambda m, x: m.head(_tanh(m, x) + torch.tanh(m.b(torch.tanh(m.one(x))))), sized(WIDTH, WIDTH, 1), 1,
    ),
    "changed through a view": (lambda m, x: m.head(torch.tanh(_halved(m.a(x)))), None, 1),
    "scaled weights": (lambda m, x: m.head(torch.tanh(x @ (0.5 * m.a.weight).T)), None, 1),
    "a part of the weights": (lambda m, x: torch.tanh(x @ m.a.weight[:, :20]) @ m.b.weight[:20], None, 1),
    "an own layer, scaled": (lambda m, x: m.head(torch.tanh(m.one(x))), _Own(2.0), 1),
    "difference": (lambda m, x: m.head(x + -0.5 * m.b(_tanh(m, x))), None, 1),
    "weighed sum": (lambda m, x: m.head(torch.add(x, m.b(_tanh(m, x)), alpha=0.5)), None, 1),
    "a norm without its sum": (lambda m, x: m.head(x + m.b(m.one(_tanh(m, x)))), _gained(WIDTH), 1),
    "a deeper branch": (
        lambda m, x: m.head(x + torch.tanh(m.one(torch.tanh(m.b(_tanh(m, x)))))), sized(WIDTH, WIDTH, 1), 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", UNKNOWN)
def test_from_what_it_does_not_know_on_theory_is_silent(what):
    forward, one, first = UNKNOWN[what]
    chain = probed(forward, one=one)
    assert hides(chain, first), chain.filter(like="theory_")


def _constant(weight):
    nn.init.constant_(weight, 0.1)


def _of_a_mean(weight):
    nn.init.normal_(weight, 0.3, 0.1)


def _scaled(layer):
    layer.register_forward_hook(lambda module, given, output: 2 * output)


def _patched(layer):
    layer.forward = lambda x: 2 * functional.linear(x, layer.weight, layer.bias)


def _reparametrised(layer):
    nn.utils.parametrizations.weight_norm(layer)


def _frozen_noise(layer):
    layer.register_forward_pre_hook(lambda module, given: (given[0] + 1,))


CHANGES = {
    "constant weights": lambda layer: _constant(layer.weight),
    "weights of a mean": lambda layer: _of_a_mean(layer.weight),
    "the identity": lambda layer: nn.init.eye_(layer.weight),
    "copies of one neuron": lambda layer: layer.weight.data.copy_(layer.weight.data[:1].expand(WIDTH, -1)),
    "constant biases": lambda layer: _constant(layer.bias),
    "biases of a mean": lambda layer: _of_a_mean(layer.bias),
    "a hook": _scaled,
    "a hook before": _frozen_noise,
    "a method of its own": _patched,
    "other weights": _reparametrised,
}


@pytest.mark.parametrize("how", CHANGES)
def test_weights_that_are_not_theirs_of_random_layers_have_no_theory(how):
    torch.manual_seed(1)
    model = nn.Sequential(sized(WIDTH, WIDTH, 1.1, 0.2), nn.Tanh(), sized(WIDTH, WIDTH, 1.1, 0.2), nn.Tanh())
    CHANGES[how](model[2])
    assert hides(sweep.probe(model, inputs()).chain, 2)


def test_weights_of_zeros_and_of_one_output_have_theory():
    torch.manual_seed(1)
    model = nn.Sequential(sized(WIDTH, WIDTH, 1.1, 0.2), nn.ReLU(), sized(WIDTH, 1, 1.0, 0.5))
    chain = sweep.probe(model, inputs()).chain
    assert chain[["theory_rms", "theory_delta_rms"]].notna().all(axis=None)
    assert np.isnan(chain["theory_sample_cosine"][2])  # of numbers a cosine is a sign
    block = _Sum([sized(WIDTH, WIDTH, 1.0), nn.ReLU(), sized(WIDTH, WIDTH, 1.0)], BLOCK, WIDTH)
    nn.init.zeros_(block.branch[2].weight)
    closed = sweep.probe(nn.Sequential(block, sized(WIDTH, 10, 1.0)), inputs()).chain
    assert closed["theory_rms"][1] == pytest.approx(closed["rms"][1], rel=1e-12)  # what goes around it
    assert closed["theory_delta_rms"][0] == pytest.approx(closed["theory_delta_rms"][1], rel=1e-12)


BLOCK = sweep.base.blocks.resolved("mlp", {})


def test_gradients_are_predicted_of_unit_ones_at_all_outputs_alone():
    torch.manual_seed(1)
    layers = sized(WIDTH, WIDTH, 1.1), nn.Tanh(), sized(WIDTH, 10, 1.0)
    model, x = nn.Sequential(*layers), inputs()
    free = sweep.probe(model, x).chain
    with_loss = sweep.probe(model, x, loss=lambda h: h.square().mean()).chain
    for name in FORWARD:
        np.testing.assert_array_equal(with_loss[f"theory_{name}"], free[f"theory_{name}"])
    gradients = [f"theory_{name}" for name in BACKWARD]
    assert free["theory_delta_rms"].notna().all()
    assert with_loss[gradients].isna().all(axis=None)

    two = probed(lambda m, x: (m.head(_tanh(m, x)), x.sum()))
    assert two[gradients].isna().all(axis=None)
    assert two["theory_rms"].notna().all()

    def half_without(m, x):
        with torch.no_grad():
            h = _tanh(m, x)
        return m.head(h)

    cut = probed(half_without)
    assert cut[gradients].isna().all(axis=None)
    assert cut["theory_rms"].notna().all()


def test_every_place_is_a_sample():
    chain = probed(SAME["modules"], inputs(WIDTH, 7, batch=10))
    alone = probed(SAME["modules"], inputs(WIDTH, batch=70))
    np.testing.assert_allclose(
        chain["theory_grad_rms"] / chain["theory_rms"].shift(),
        alone["theory_grad_rms"] / alone["theory_rms"].shift(),
        rtol=0.05,  # inputs of other sizes by chance
    )


def test_an_image_that_becomes_one_sample_has_no_cosine_but_sizes():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), sized(64, WIDTH, 1.2), nn.ReLU(), sized(WIDTH, 10, 1.0))
    chain = sweep.probe(model, inputs(8, 1, 8)).chain
    assert chain["theory_sample_cosine"].isna().all()
    assert chain[["theory_rms", "theory_delta_rms"]].notna().all(axis=None)
    theory = sweep.theory.predict("identity", 1.2, widths=(64, WIDTH), q0=chain["rms"][0] ** 2)
    assert chain["theory_rms"][1] == pytest.approx(theory["rms"][1] / 2**0.5, rel=1e-10)


def test_embeddings_are_an_input():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Embedding(50, WIDTH).double(), sized(WIDTH, WIDTH, 1.2), nn.Tanh())
    chain = sweep.probe(model, torch.randint(50, (8, 12))).chain
    theory = sweep.theory.predict("tanh", 1.2, depth=1, batch=96, **of_input(chain))
    for name in ("rms", *BACKWARD):
        np.testing.assert_allclose(chain[f"theory_{name}"], theory[name], rtol=1e-10)


class _Counting(nn.Linear):
    calls: ClassVar = []

    def forward(self, x):
        self.calls.append(x.shape)
        return super().forward(x)


def test_theory_calls_nothing_again_and_changes_nothing():
    torch.manual_seed(1)
    model = nn.Sequential(_Counting(WIDTH, WIDTH), nn.ReLU(), _Counting(WIDTH, 10))
    before = {name: one.clone() for name, one in model.state_dict().items()}
    chain = sweep.probe(model, torch.randn(BATCH, WIDTH)).chain
    assert chain["theory_grad_rms"][1:].notna().all()
    assert len(_Counting.calls) == 2
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert all(one.grad is None for one in model.parameters())


def test_half_precision_has_theory_too():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 10))
    x = torch.randn(BATCH, WIDTH)
    wide, narrow = sweep.probe(model, x).chain, sweep.probe(model.bfloat16(), x.bfloat16()).chain
    np.testing.assert_allclose(narrow["theory_rms"], wide["theory_rms"], rtol=2**-8)  # half a bfloat16's step


def test_theory_is_shown_where_there_is_any():
    torch.manual_seed(1)
    known = sweep.probe(nn.Sequential(sized(WIDTH, WIDTH, 1.1), nn.Tanh()), inputs())
    unknown = sweep.probe(nn.Sequential(sized(WIDTH, WIDTH, 1.1), _Abs()), inputs())
    assert "theory_rms" in repr(known).splitlines()[0]
    assert "theory" not in repr(unknown)
    assert list(known.chain.columns) == list(unknown.chain.columns)


def test_theory_is_drawn_beside_what_is_measured():
    plt = pytest.importorskip("matplotlib.pyplot")
    torch.manual_seed(1)
    known = sweep.probe(nn.Sequential(sized(WIDTH, WIDTH, 1.1), nn.Tanh()), inputs())
    _, ax = plt.subplots()
    known.plot(ax)
    drawn = [line.get_ydata() for line in ax.lines if line.get_color() == "black" and len(line.get_ydata())]
    np.testing.assert_array_equal(drawn[0], known.chain["theory_rms"])
    np.testing.assert_array_equal(drawn[1], known.chain["theory_delta_rms"])
    assert "theory" in [text.get_text() for text in ax.get_legend().get_texts()]
    plt.close()
