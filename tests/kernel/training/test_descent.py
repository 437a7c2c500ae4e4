"""Gradients and curves against torch's; and that a network's numbers are its own."""

import numpy as np
import pytest

from sweep import activations
from sweep.base.blocks import BLOCKS, REGISTRY
from sweep.kernel.draws import streams
from sweep.kernel.training import descent
from sweep.kernel.training.descent import Learner, cross_entropy
from sweep.kernel.training.examples import Batches, lessons
from tests.kernel.training.pupils import made, network, pupil, taught, training

WIDTH, COUNT = 12, 10
ODD = {"skip": 0.9, "alpha": 0.7, "w_scale": 1.1, "v_scale": "2*depth**-0.5", "expand": 2}
ACTS = ["tanh", "relu", "gelu"]


def parameters_of(block):
    return {name: ODD[name] for name in REGISTRY.parameter_names(block)}


class Torch:
    """The same network in torch, written down block by block."""

    def __init__(self, torch, one, network):
        self.torch, self.one, self.block = torch, one, one.block
        self.parameters = [self._leaf(network.readout[0]), self._leaf(network.offset[0, 0])]
        self.layers = []
        for weights in network.layers:
            arrays = (weights.inner, weights.bias, weights.outer)
            self.layers.append([None if a is None else self._leaf(a[0]) for a in arrays])
        self.parameters += [one for layer in self.layers for one in layer if one is not None]

    def _leaf(self, array):
        return self.torch.tensor(array.copy(), requires_grad=True)

    def _act(self, z):
        named = {"tanh": self.torch.tanh, "relu": self.torch.relu, "gelu": self.torch.nn.functional.gelu}
        return named[self.one.act.name](z)

    def _norm(self, x):
        axis = 0 if self.block.norm == "bn" else 1
        centred = x if self.block.norm == "rms" else x - x.mean(axis, keepdim=True)
        return centred / (centred**2).mean(axis, keepdim=True).sqrt()

    def logits(self, h):
        name = self.block.name
        s, a = self.block.number("skip"), self.block.number("alpha")
        for w, bias, v in self.layers:
            b = 0 if bias is None else bias
            if name == "plain":
                h = self._act(h @ w + b)
            elif name == "residual":
                h = s * h + a * self._act(h @ w + b)
            elif name == "preact":
                h = s * h + a * (self._act(h) @ w + b)
            elif name in ("ln", "rms", "bn"):
                h = self._act(self._norm(h @ w + b))
            elif name.startswith("pre_"):
                h = s * h + a * (self._act(self._norm(h) @ w + b) @ v)
            elif name.startswith("post_"):
                h = self._norm(s * h + a * (self._act(h @ w + b) @ v))
            else:
                assert name == "mlp"
                h = s * h + a * (self._act(h @ w + b) @ v)
        return h @ self.parameters[0] + self.parameters[1]

    def loss(self, inputs, classes):
        tensors = self.torch.tensor(np.array(inputs)), self.torch.tensor(np.array(classes))
        return self.torch.nn.functional.cross_entropy(self.logits(tensors[0]), tensors[1])


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="the peers extra is not installed: pip install -e '.[peers]'")


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("block", BLOCKS)
def test_gradients_are_torchs_in_every_block(torch, block, act):
    one = made(block, act=act, params=parameters_of(block))
    net = network(one, WIDTH)
    other = Torch(torch, one, net)
    inputs = streams.inputs([5], 9, WIDTH).astype(np.float64)
    classes = np.arange(9)[None] % COUNT
    learner, found = Learner(net, one), {}
    h = learner.forward(inputs)
    loss, gradient = cross_entropy(learner.logits(h), classes, np.float64)
    learner.backward(h, gradient, lambda array, its: found.setdefault(id(array), its.copy()))
    theirs = other.loss(inputs[0], classes[0])
    theirs.backward()
    assert loss[0] == pytest.approx(theirs.item(), rel=1e-12)
    mine = [net.readout, net.offset]
    mine += [a for w in net.layers for a in (w.inner, w.bias, w.outer) if a is not None]
    assert len(found) == len(mine) == len(other.parameters)
    for array, parameter in zip(mine, other.parameters, strict=True):
        wanted = parameter.grad.numpy()
        ours = found[id(array)].reshape(wanted.shape)
        assert np.abs(ours - wanted).max() <= 1e-9 * max(np.abs(wanted).max(), 1e-3)


@pytest.mark.parametrize("block", BLOCKS)
def test_twenty_steps_are_those_of_torchs_sgd(torch, block):
    one = made(block, params=parameters_of(block))
    net = network(one, WIDTH, dtype="float32")
    other = Torch(torch, one, net)
    sgd = torch.optim.SGD(other.parameters, lr=0.1)
    examples, asked = lessons("mixture", WIDTH).training, training(steps=20)
    batches = Batches(3, "mixture", len(examples), asked.batch)
    learner, descend = Learner(net, one), descent.Descent(np.full((1, 1, 1), 0.1, np.float32))
    for _ in range(asked.steps):
        chosen = next(batches)
        inputs, classes = examples.inputs[chosen], examples.classes[chosen]
        h = learner.forward(inputs[None])
        loss, gradient = cross_entropy(learner.logits(h), classes[None], np.float32)
        learner.backward(h, gradient, descend)
        sgd.zero_grad()
        theirs = other.loss(inputs, classes)
        theirs.backward()
        sgd.step()
        assert loss[0] == pytest.approx(theirs.item(), rel=1e-4)


@pytest.mark.parametrize("block", ["plain", "pre_ln", "bn", "preact"])
@pytest.mark.parametrize("width", [12, 13])
def test_a_networks_numbers_depend_on_no_neighbour(monkeypatch, block, width):
    several = [
        pupil(seed, lr, block=block, act="gelu", init="variance_scaling", scale=scale)
        for seed in (0, 1)
        for lr, scale in ((0.1, 1.0), (0.01, 3.0), (1e4, 2.0), (0.1, 1e-30))
    ]
    together = taught(several, width, batch=15)
    assert {*np.isnan(together["diverged_at"])} == {True, False}
    alone = [taught([one], width, batch=15) for one in several]
    monkeypatch.setattr(descent, "_TOGETHER", 15 * width * 4 * 3)
    in_threes = taught(several, width, batch=15)
    for name, values in together.items():
        assert values.tolist() == pytest.approx([one[name][0] for one in alone], abs=0, nan_ok=True), name
        assert values.tolist() == pytest.approx(in_threes[name].tolist(), abs=0, nan_ok=True), name


def test_a_network_that_diverges_ends_there_with_the_weights_of_the_step_before():
    found = taught([pupil(lr=1e5, act="relu", init="kaiming"), pupil(lr=0.1, act="relu", init="kaiming")])
    step = found["diverged_at"][0]
    assert 2 <= step <= 20
    assert np.isnan(found["diverged_at"][1])
    made_epochs = np.array([step - 1, 20]) * 16 / 1600
    assert found["train_epochs"] == pytest.approx(made_epochs)
    assert not found["train_loss"][0] <= 10
    ended = taught([pupil(lr=1e5, act="relu", init="kaiming")], steps=int(step) - 1)
    assert ended["diverged_at"][0] == step  # blown up by the last step, which no further batch has judged
    assert ended["test_accuracy"][0] == found["test_accuracy"][0]
    assert ended["train_loss"][0] == found["train_loss"][0]


def test_a_network_that_has_exploded_before_diverges_at_the_first_step():
    found = taught([pupil(init="normal", std=1e30, act="relu")])
    assert (found["diverged_at"][0], found["train_epochs"][0]) == (1, 0)
    assert (found["train_loss"][0], found["test_accuracy"][0]) == (np.inf, 0)


def test_a_network_of_zeros_learns_no_more_than_how_often_classes_come():
    found = taught([pupil(init="zeros", bias_std=0.0)], steps=50)
    assert found["test_accuracy"][0] == pytest.approx(0.1)
    assert found["train_loss"][0] == pytest.approx(np.log(10), abs=0.05)


def test_the_readout_alone_is_a_training_of_nothing_else():
    shallow = pupil(depth=2, lr=0.05)
    found = taught([shallow], 32, steps=100)
    assert 0.3 < found["readout_accuracy"][0] < found["test_accuracy"][0] <= 1
    rezero = pupil(block="mlp", params={"alpha": 0.0}, lr=0.2)  # whose branch has no gradient
    both = taught([rezero], 64, steps=50)
    assert both["readout_accuracy"] == both["test_accuracy"]


def test_both_dtypes_train_the_same_network():
    one = [pupil(seed=2)]
    narrow, wide = (taught(one, 32, dtype=dtype) for dtype in ("float32", "float64"))
    assert narrow["train_loss"] == pytest.approx(wide["train_loss"], rel=1e-4)


@pytest.mark.parametrize("act", list(activations.ACTIVATIONS))
def test_every_activation_can_be_trained(act):
    found = taught([pupil(act=act, init="xavier", lr=0.05)], 32, steps=10)
    assert np.isfinite(found["train_loss"][0])
