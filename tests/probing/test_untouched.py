"""A probe leaves no trace in weights, buffers, gradients, flags, generators, hooks, mode, even failing."""

import random

import numpy as np
import pytest

import sweep

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
from torch import nn  # noqa: E402

from tests.probing.networks import ConvNet, ResNet, images, mlp, tokens, vectors  # noqa: E402


class Everything(nn.Module):
    """Dropout, BatchNorm, an embedding that is cut in length, a counter, a cache, other generators."""

    def __init__(self, fails=False):
        super().__init__()
        self.embed = nn.Embedding(50, 16, max_norm=0.5)
        self.lookups = nn.Embedding(50, 16)
        self.norm, self.drop, self.fc = nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.register_buffer("seen", torch.zeros(()))
        self.calls, self.cache, self.fails = 0, None, fails

    def forward(self, words):
        self.calls += 1
        self.fc.weight.data.clamp_(-0.01, 0.01)
        with torch.no_grad():
            self.fc.bias += 1
        self.seen += 1
        noise = random.random() + np.random.default_rng(0).random() + np.random.rand()  # noqa: NPY002
        h = self.drop(self.norm(self.embed(words).sum(dim=1))) + noise + torch.randn(16)
        self.cache = h
        if self.fails:
            raise ValueError("as it was told")
        return self.frozen(torch.relu_(self.fc(h)))


def state(model):
    return {
        "numbers": {name: one.clone() for name, one in model.state_dict().items()},
        "grads": {
            name: None if one.grad is None else one.grad.clone() for name, one in model.named_parameters()
        },
        "flags": {name: (one.requires_grad, one.is_leaf) for name, one in model.named_parameters()},
        "modes": {name: one.training for name, one in model.named_modules()},
        "hooks": {
            name: [len(value) for key, value in vars(one).items() if key.endswith("hooks")]
            for name, one in model.named_modules()
        },
        "attributes": {name: sorted(vars(one)) for name, one in model.named_modules()},
        "generators": (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()),  # noqa: NPY002
        "grad mode": torch.is_grad_enabled(),
    }


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_of_a_probe(train, fails):
    model = Everything(fails).train(train)
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    kept = model.fc.weight.grad
    words = tokens()
    before, given = state(model), words.clone()
    if fails:
        with pytest.raises(sweep.RequestError, match="as it was told"):
            sweep.probe(model, words)
    else:
        sweep.probe(model, words)
    after = state(model)
    for name, value in before.items():
        assert same(value, after[name]), name
    assert model.fc.weight.grad is kept
    assert (model.calls, model.cache) == (0, None)
    assert torch.equal(words, given)


def test_the_running_statistics_of_norms_are_put_back_and_were_used():
    model = ConvNet(3).train()
    before = [one.clone() for one in model.buffers()]
    sweep.probe(model, images())
    assert all(map(torch.equal, before, model.buffers()))
    model(images())
    assert not all(map(torch.equal, before, model.buffers()))


def test_inputs_stay_as_they_are_and_get_no_gradient():
    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(32, 4)

        def forward(self, x):
            x.mul_(2).relu_()
            return self.fc(x)

    x = vectors().requires_grad_()
    before = x.detach().clone()
    probed = sweep.probe(Greedy(), x)
    assert torch.equal(x, before)
    assert x.grad is None
    assert probed.layers["rms"][0] == pytest.approx(float(before.square().mean().sqrt()), rel=1e-6)


def test_a_loss_that_fails_leaves_nothing_either():
    model, x = mlp(2), vectors()
    before = state(model)
    for loss in (
        lambda out: out,
        lambda out: 1.0,
        lambda out: 1 / 0,
        lambda out: out.sum().detach(),
    ):
        with pytest.raises(sweep.RequestError, match="loss"):
            sweep.probe(model, x, loss=loss)
    assert same(before, state(model))


def test_two_probes_say_the_same_whatever_was_drawn_before():
    model = ResNet().train()
    x = images()
    first = sweep.probe(model, x)
    torch.randn(3)
    second = sweep.probe(model, x)
    assert first.layers.equals(second.layers)
    dropped = nn.Sequential(nn.Dropout(0.5), *mlp(2)).train()
    x = vectors()
    assert sweep.probe(dropped, x).layers.equals(sweep.probe(dropped, x).layers)
    assert not sweep.probe(dropped, x).layers.equals(sweep.probe(dropped, x, seed=1).layers)


def test_statistics_of_a_tensor_are_taken_before_it_is_changed_in_place():
    torch.manual_seed(0)
    within, apart = mlp(4), mlp(4)
    apart.load_state_dict(within.state_dict())
    for module in within:
        if isinstance(module, nn.ReLU):
            module.inplace = True
    x = vectors()
    one, other = sweep.probe(within, x), sweep.probe(apart, x)
    assert one.layers.equals(other.layers)
    assert not one.layers["delta_rms"].isna().any()


def test_a_list_that_the_model_fills_is_as_it_was():
    class Log(nn.Linear):
        def forward(self, x):
            h = super().forward(x)
            self.log.append(h)
            return h

    model = Log(32, 4)
    model.log = ["before"]
    sweep.probe(model, vectors())
    assert model.log == ["before"]
