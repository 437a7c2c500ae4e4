"""Habits of well-known models that the chain must see through, each in a small network of its own."""

import pytest

import sweep

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from tests.probing.networks import WIDTH, images, seeded, sequences, tokens, vectors  # noqa: E402


class SumAndNorm(nn.Module):
    """The end of a branch, as BERT has it: its last weights, what came in added, a norm."""

    def __init__(self, fan_in):
        super().__init__()
        self.dense, self.norm = nn.Linear(fan_in, WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, h, x):
        return self.norm(self.dense(h) + x)


class PostNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.output = nn.Linear(WIDTH, 2 * WIDTH), SumAndNorm(2 * WIDTH)

    def forward(self, x):
        return self.output(functional.gelu(self.first(x)), x)


class Layers(nn.Module):
    def __init__(self, depth=3):
        super().__init__()
        self.layers = nn.ModuleList(PostNorm() for _ in range(depth))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@seeded
def bert():
    return nn.Sequential(Layers(), nn.Linear(WIDTH, 4)), sequences()


def test_a_block_may_begin_outside_of_the_module_that_adds():
    model, x = bert()
    chain = sweep.probe(model, x).chain
    assert [kind.partition(" ")[0] for kind in chain["kind"]] == ["input", "x", "x", "x", "Linear"]
    assert list(chain["module"][1:4]) == [f"0.layers.{n}.output" for n in range(3)]
    with torch.no_grad():  # the end of a block is its norm's output
        ends = model[0].layers[0](x).square().mean().sqrt()
    assert chain["rms"][1] == pytest.approx(float(ends), rel=1e-5)


class RotaryEmbedding(nn.Module):
    """What turns queries and keys by their place: it has no weights, and looks nothing up."""

    def forward(self, x):
        angles = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * torch.ones(x.shape[-1])
        return angles.cos(), angles.sin()


class Turned(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.turn, self.layers = nn.Embedding(50, WIDTH), RotaryEmbedding(), Layers(2)
        self.parts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, words):
        x = self.embed(words)
        cos, sin = self.turn(x)
        for part in self.parts:
            x = x + part(x * cos + x.roll(1, -1) * sin)
        return x


def test_a_rotary_embedding_is_no_layer_and_hides_no_block():
    torch.manual_seed(0)
    chain = sweep.probe(Turned(), tokens()).chain
    assert list(chain["kind"]) == ["Embedding", *["x + Linear"] * 3]


class Permute(nn.Module):
    """Turns what it is given, as torchvision's own."""

    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(self.order)


@seeded
def stages():
    """Two stages of blocks with a norm and weights between, as in ConvNeXt."""

    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.branch = nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, groups=width), Permute(0, 2, 3, 1),
                nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), Permute(0, 3, 1, 2),
            )  # fmt: skip

        def forward(self, x):
            y = 0.1 * self.branch(x)
            y += x
            return y

    first, second = [nn.Conv2d(3, 8, 1), Block(8), Block(8)], [Block(16), Block(16)]
    return nn.Sequential(*first, nn.GroupNorm(1, 8), nn.Conv2d(8, 16, 2, 2), *second), images()


def test_what_stands_between_two_stages_is_part_of_no_block():
    model, x = stages()
    chain = sweep.probe(model, x).chain
    assert list(chain["module"]) == ["", "0", "1", "2", "3", "4", "5", "6"]
    with torch.no_grad():
        end = model[:3](x)
    assert chain["rms"][3] == pytest.approx(float(end.square().mean().sqrt()), rel=1e-5)


def test_features_stay_where_they_are_after_a_module_that_turns():
    """Neurons are channels: the branch is small, so that what is added to hardly changes."""
    model, x = stages()
    with torch.no_grad():
        for block in (model[1], model[2]):
            block.branch[4].weight *= 1e-6
            block.branch[4].bias.zero_()
    chain = sweep.probe(model, x).chain
    assert chain["neuron_corr"][2] == pytest.approx(chain["neuron_corr"][1], rel=1e-4)


class DropPath(nn.Module):
    """Leaves out whole branches, seldom."""

    def forward(self, x):
        kept = torch.rand(len(x), *[1] * (x.dim() - 1)) > 0.02
        return x * kept


def test_what_drops_paths_is_no_activation():
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Sequential(nn.Linear(WIDTH, WIDTH), DropPath()) for _ in range(8)))
    assert list(sweep.probe(model, vectors(4)).chain["kind"]) == ["input", *["Linear"] * 8]


class TwoTowers(nn.Module):
    """Words and pictures, as CLIP: the pictures' places are looked up first."""

    def __init__(self):
        super().__init__()
        self.places, self.words = nn.Embedding(9, WIDTH), nn.Embedding(50, WIDTH)
        self.patch = nn.Conv2d(3, WIDTH, 4, 4)

    def forward(self, words, pictures):
        patches = self.patch(pictures).flatten(2).transpose(1, 2) + self.places(torch.arange(9))
        return self.words(words).mean(1) * patches.mean(1)


def test_the_input_is_what_words_are_turned_into_not_places():
    torch.manual_seed(0)
    probed = sweep.probe(TwoTowers(), tokens(8), images())
    assert probed.chain["module"][0] == "words"


class AsksForGradients(nn.Module):
    """As wav2vec 2.0 does, for its checkpoints."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        x = x[:, None]
        x.requires_grad = True
        return self.fc(x)


def test_a_model_may_ask_for_gradients_of_its_inputs():
    x = vectors()
    assert sweep.probe(AsksForGradients(), x).verdict == "healthy"
    assert not x.requires_grad


@pytest.mark.parametrize("skip_last", [False, True])
def test_a_branch_is_what_went_through_weights_whichever_side_was_made_last(skip_last):
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(WIDTH, WIDTH)

        def forward(self, x):
            if skip_last:
                branch = self.fc(torch.tanh(x))
                return 0.8 * x + branch
            skip = 0.8 * x
            return skip + self.fc(torch.tanh(x))

    torch.manual_seed(0)
    model, x = Sum(), vectors()
    branch = model.fc(torch.tanh(x)).detach()[:, :64]
    found = torch.corrcoef(branch.double().T).abs()
    wanted = float((found.sum() - len(found)) / (len(found) * (len(found) - 1)))
    assert sweep.probe(model, x).chain["branch_corr"][1] == pytest.approx(wanted, rel=1e-4)
