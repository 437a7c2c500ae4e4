"""Modules of every kind: what gets a row, by which name, and with which figures."""

import copy
import math
import warnings

import numpy as np
import pytest

import sweep
from sweep.kernel.draws import streams

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from tests.probing.networks import (  # noqa: E402
    GPT,
    WIDTH,
    ConvNet,
    ResNet,
    Stream,
    images,
    mlp,
    sequences,
    tokens,
    vectors,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def rms(tensor):
    return float(tensor.detach().double().square().mean().sqrt())


def rows(probed):
    return list(zip(probed.layers["module"], probed.layers["kind"], strict=True))


def test_gradients_are_autograds():
    """Of every output and of every weight, for G of our stream."""
    model, x = mlp(3, bias=True), vectors().requires_grad_()
    probed = sweep.probe(model, x, seed=5)
    outputs, h = [x], x
    for layer in model:
        h = layer(h)
        h.retain_grad()
        outputs.append(h)
    g = streams.upstream_gradient([5], 64, 10)[0]
    (h * torch.from_numpy(g)).sum().backward()
    np.testing.assert_allclose(probed.layers["rms"], [rms(one) for one in outputs], rtol=1e-6)
    np.testing.assert_allclose(probed.layers["delta_rms"], [rms(one.grad) for one in outputs], rtol=1e-5)
    wanted = [rms(layer.weight.grad) if hasattr(layer, "weight") else math.nan for layer in model]
    np.testing.assert_allclose(probed.layers["grad_rms"][1:], wanted, rtol=1e-5)
    np.testing.assert_allclose(probed.layers["pre_rms"][1:], [rms(one) for one in outputs[:-1]], rtol=1e-6)


@pytest.mark.parametrize("places", [(), (3,)])
@pytest.mark.parametrize("used_before", [False, True])
def test_what_is_changed_in_place_has_the_gradient_of_what_it_was(places, used_before):
    """torch's linear of (batch, places, features) is a view, whose hooks a change in place passes by."""

    class Net(nn.Module):
        def __init__(self, act):
            super().__init__()
            self.a, self.act, self.b = nn.Linear(6, 6), act, nn.Linear(6, 6)

        def forward(self, x):
            h = self.a(x)
            other = 2 * h if used_before else 0
            return self.b(self.act(h)) + other

    model, x = Net(nn.ReLU()).double(), torch.randn(9, *places, 6, dtype=torch.float64)
    wanted = sweep.probe(model, x).layers
    model.act = nn.ReLU(inplace=True)
    found = sweep.probe(model, x).layers
    for name in ("delta_std", "delta_rms"):
        assert wanted[name].notna().all()
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12)  # the same sums, to rounding


def test_a_view_has_its_own_gradient_and_not_all_of_what_it_is_a_view_of():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.flat, self.b = nn.Linear(6, 6), nn.Flatten(), nn.Linear(18, 5)

        def forward(self, x):
            h = self.a(x)
            return self.b(self.flat(h)), 3 * h

    model, x = Net(), torch.randn(9, 3, 6)
    found = sweep.probe(model, x).layers.set_index("kind")["delta_rms"]
    g = torch.from_numpy(streams.upstream_gradient([0], 9, 5 + 18)[0].copy())
    back = g[:, :5] @ model.b.weight
    assert found["Flatten"] == pytest.approx(rms(back), rel=1e-5)
    assert found.iloc[1] == pytest.approx(rms(back + 3 * g[:, 5:]), rel=1e-5)


def test_a_loss_of_ones_own_with_a_target():
    model, x, target = mlp(3), vectors(), torch.randint(10, (64,))
    probed = sweep.probe(model, x, loss=functional.cross_entropy, target=target)
    functional.cross_entropy(model(x), target).backward()
    assert probed.layers["grad_rms"].iloc[-1] == pytest.approx(rms(model[-1].weight.grad), rel=1e-5)
    assert probed.verdict == "healthy"  # the mean over a batch makes every gradient small alike


def test_a_module_that_is_called_twice_has_a_row_a_call_and_one_gradient():
    tied = nn.Linear(WIDTH, WIDTH)
    probed = sweep.probe(nn.Sequential(tied, nn.ReLU(), tied), vectors())
    assert rows(probed)[1:] == [("0", "Linear"), ("1", "ReLU"), ("0", "Linear")]
    assert probed.layers["grad_rms"][1] == probed.layers["grad_rms"][3] > 0
    assert probed.layers["rms"][1] != probed.layers["rms"][3]


def test_tied_weights_of_two_modules_have_their_gradient_in_both_rows():
    layers = sweep.probe(GPT(2), tokens()).layers.set_index("module")
    assert layers.loc["head", "grad_rms"] == layers.loc["wte", "grad_rms"] > 0


def test_attention_has_a_row_and_so_has_each_weight_that_no_module_uses():
    model = nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True)
    for train in (True, False):
        layers = sweep.probe(model.train(train), sequences()).layers.set_index("module")
        assert {"self_attn", "self_attn.out_proj.weight", "linear1", "", "linear2"} <= set(layers.index)
        assert layers.loc["self_attn.out_proj.weight", "grad_rms"] > 0
        assert layers.loc["self_attn", "grad_rms"] > 0
        assert layers.loc["self_attn.out_proj.weight", "kind"] == "parameter"


def test_a_recurrent_module_has_a_row_for_each_of_its_weights():
    model = nn.LSTM(WIDTH, 16, num_layers=2, batch_first=True)
    layers = sweep.probe(model, sequences()).layers
    assert {"weight_hh_l0", "weight_ih_l1", "weight_hh_l1"} < set(layers["module"])
    assert (layers["grad_rms"][1:] > 0).all()


class Nested(nn.Module):
    """Tuples, dictionaries and keywords, in and out."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(WIDTH, 8), nn.Linear(WIDTH, 4)

    def forward(self, pair, more=None, *, flag=False):
        assert flag
        x, y = pair
        return {
            "first": (self.left(x),),
            "second": [self.right(y + more["z"]), torch.arange(3)],
            "none": None,
        }


def test_inputs_and_outputs_may_be_nested():
    probed = sweep.probe(Nested(), (vectors(), vectors()), more={"z": vectors()}, flag=True)
    assert rows(probed) == [("", "input"), ("left", "Linear"), ("right", "Linear")]
    assert (probed.layers["delta_rms"][1:].round(1) == 1).all()
    assert (probed.layers["grad_rms"][1:] > 0).all()


def test_tokens_begin_at_the_embedding():
    probed = sweep.probe(GPT(2), tokens())
    assert rows(probed)[0] == ("wte", "Embedding")
    assert probed.layers["layer"][0] == 1
    assert probed.chain["module"][0] == "wte"
    assert probed.chain["delta_rms"][0] > 0


def test_a_frozen_module_keeps_its_gradients_of_outputs_and_has_none_of_weights():
    model = mlp(4).requires_grad_(False)
    layers = sweep.probe(model, vectors()).layers
    assert layers["grad_rms"].isna().all()
    assert (layers["delta_rms"] > 0).all()
    frozen = GPT(2).requires_grad_(False)
    probed = sweep.probe(frozen, tokens())
    assert probed.layers["grad_rms"].isna().all()
    assert (probed.chain["delta_rms"] > 0).all()
    assert not any(one.requires_grad for one in frozen.parameters())


def test_one_frozen_layer_is_no_fault():
    model = mlp(4)
    model[2].requires_grad_(False)
    probed = sweep.probe(model, vectors())
    assert probed.verdict == "healthy"
    assert np.isnan(probed.layers.set_index("module").loc["2", "grad_rms"])


def test_gradients_are_measured_under_no_grad_and_inference_mode_too():
    model, x = mlp(3), vectors()
    wanted = sweep.probe(model, x).layers
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert sweep.probe(model, x).layers.equals(wanted)
    with torch.inference_mode():
        model, x = copy.deepcopy(model), x.clone()
        layers = sweep.probe(model, x).layers
        normed = ConvNet(2).train()
        before = [one.clone() for one in normed.buffers()]
    assert layers["delta_rms"].isna().all()
    np.testing.assert_allclose(layers["rms"], wanted["rms"])
    assert sweep.probe(normed, images()).verdict == "healthy"  # made for inference, probed outside it
    assert all(map(torch.equal, before, normed.buffers()))


def test_inputs_and_labels_made_for_inference_are_probed_within_that_mode_and_outside():
    model, x = mlp(3), vectors()
    loss, zeros = functional.cross_entropy, torch.zeros(len(x)).long()
    expected = sweep.probe(model, x, loss=loss, target=zeros)
    with torch.inference_mode():
        inputs, labels = x.clone(), zeros.clone()
        within = sweep.probe(model, inputs, loss=loss, target=labels)
    outside = sweep.probe(model, inputs, loss=loss, target=labels)
    for found in (within, outside):
        assert found.chain["grad_rms"].equals(expected.chain["grad_rms"])


class Graph(nn.Module):
    """Two layers over a graph, whose edges are a matrix."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(32, 32), nn.Linear(32, 4)

    def forward(self, x, edges):
        return self.second(edges @ torch.relu(self.first(edges @ x)))


def test_a_sparse_matrix_among_the_inputs_is_as_good_as_a_dense_one():
    model, nodes = Graph(), vectors()
    edges = torch.eye(len(nodes)) + torch.eye(len(nodes)).roll(1, 0)
    dense, sparse = sweep.probe(model, nodes, edges), sweep.probe(model, nodes, edges.to_sparse())
    for name in ("rms", "delta_rms", "grad_rms"):  # summed in another order
        assert sparse.chain[name].to_numpy() == pytest.approx(dense.chain[name].to_numpy(), 1e-5, nan_ok=True)


class Doubled(nn.Module):
    def forward(self, given):
        return given["x"] * 2


def test_a_module_that_takes_no_tensor_is_not_found_fault_with():
    assert sweep.probe(Doubled(), {"x": vectors()}).verdict == "healthy"  # a warning is an error here


def test_a_model_that_detaches_all_it_returns_is_told():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(WIDTH, 8)

        def forward(self, x):
            with torch.no_grad():
                return self.fc(x)

    probed = sweep.probe(Detached(), vectors())
    assert (probed.verdict, probed.module) == ("gradient-vanishing", "fc")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_statistics_are_summed_in_float64_whatever_the_networks_type(dtype):
    model, x = mlp(4).to(dtype), vectors(256).to(dtype)
    probed = sweep.probe(model, 100 * x)  # squares beyond float16
    assert probed.layers["rms"][1] == pytest.approx(rms(model[0](100 * x)), rel=1e-9)
    assert probed.verdict == "healthy"


def test_autocast_is_as_the_user_has_it():
    with torch.autocast("cpu", torch.bfloat16):
        probed = sweep.probe(mlp(3), vectors())
    assert probed.verdict == "healthy"
    assert (probed.layers["delta_rms"] > 0).all()


def test_only_the_modules_that_are_named_have_rows():
    probed = sweep.probe(Stream(3), vectors(), modules=["blocks.1", "head"])
    assert rows(probed) == [("", "input"), ("blocks.1", "Residual"), ("head", "Linear")]
    assert list(probed.chain["module"]) == ["", "blocks.1", "head"]
    assert (probed.layers["delta_rms"] > 0).all()


def test_wrapped_modules_are_probed_within_what_wraps_them():
    model, x = mlp(3), vectors()
    wanted = sweep.probe(model, x).layers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        for wrapped in (torch.compile(model), nn.DataParallel(model), nn.DataParallel(torch.compile(model))):
            assert sweep.probe(wrapped, x).layers.equals(wanted)
        inner = nn.Sequential(torch.compile(model[:4]), *model[4:])
        layers = sweep.probe(inner, x).layers
    np.testing.assert_array_equal(layers["grad_rms"], wanted["grad_rms"])
    assert "0.0" in set(layers["module"])


def test_checkpoints_of_parts_are_computed_again_without_rows():
    from torch.utils.checkpoint import checkpoint  # noqa: PLC0415

    class Saving(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([mlp(2, head=False), mlp(2, nn.PReLU, head=False)])

        def forward(self, x):
            for part in self.parts:
                x = checkpoint(part, x, use_reentrant=False)
            return x

    probed = sweep.probe(Saving(), vectors())
    assert len(probed.layers) == 1 + 8
    assert (probed.layers["delta_rms"] > 0).all()


def test_parametrised_weights_show_the_gradient_of_what_is_trained():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH))
    probed = sweep.probe(nn.Sequential(layer, nn.ReLU()), vectors())
    gains = ("0.parametrizations.weight.original0", "parameter")
    assert rows(probed)[1:] == [("0", "ParametrizedLinear"), gains, ("1", "ReLU")]
    assert (probed.layers["grad_rms"][1:3] > 0).all()


def test_a_convolution_has_its_channels_for_neurons():
    model, x = ConvNet(2, width=5).eval(), images()
    layers = sweep.probe(model, x).layers
    h = model.convs[0](x)
    columns = h.detach().movedim(1, -1).reshape(-1, 5).numpy()
    corr = np.abs(np.corrcoef(columns.T))
    assert layers["neuron_corr"][1] == pytest.approx((corr.sum() - 5) / 20, rel=1e-4)
    act = functional.relu(model.norms[0](h))
    assert layers["dead"][3] == pytest.approx(float((act == 0).all(dim=0).all(-1).all(-1).double().mean()))


def test_the_batch_may_lie_elsewhere():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())
    x = sequences(batch=70, length=3)
    one = sweep.probe(model, x)
    other = sweep.probe(model, x.transpose(0, 1), batch_dim=1)
    assert one.layers["sample_cosine"].tolist() == pytest.approx(
        other.layers["sample_cosine"].tolist(), abs=1e-6
    )
    np.testing.assert_allclose(one.layers["delta_rms"], other.layers["delta_rms"], rtol=1e-5)


def test_a_residual_stream_has_a_link_a_sum_and_says_how_it_grows():
    grows = sweep.probe(Stream(24, norm=True), vectors())
    assert list(grows.chain["module"][1:-1]) == [f"blocks.{n}" for n in range(24)]
    assert "grows linearly" in grows.advice
    model = Stream(24, scale=math.sqrt(3))
    doubles = sweep.probe(model, vectors())
    assert doubles.verdict == "exploding"
    assert "rms doubles at every block; divide its weights by √24" in doubles.advice
    assert doubles.module.endswith(".fc2")
    early = sweep.probe(Stream(6, scale=math.sqrt(3)), vectors())
    assert early.verdict == "healthy"
    assert "doubles at every block" in early.advice


def test_a_skip_with_weights_of_its_own_is_a_skip():
    chain = sweep.probe(ResNet(), images()).chain
    assert list(chain["module"]) == ["", "conv1", "layers.0", "layers.1", "layers.2", "layers.3", "fc"]


def test_it_is_printed_as_a_table_with_the_verdict_and_plotted(tmp_path):
    from matplotlib.figure import Figure  # noqa: PLC0415

    probed = sweep.probe(mlp(40, gain=1.0), vectors())
    text = repr(probed).splitlines()
    assert len(text) == len(probed.chain) + 3
    assert text[0].split()[:4] == ["layer", "module", "kind", "rms"]
    assert text[-2] == f"vanishing at {probed.module}"
    assert text[-1] == probed.advice
    ax = Figure().subplots()
    assert probed.plot(ax) is ax
    assert ax.get_title() == text[-2]
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), probed.chain["rms"])
