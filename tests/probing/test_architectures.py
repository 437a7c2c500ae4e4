"""Networks as people build them: every weight has a row with a gradient, and none is called ill."""

import math

import pytest

import sweep

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from tests.probing.networks import images, mlp, seeded, sequences, tokens, vectors  # noqa: E402


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.below = nn.Conv2d(3, 16, 3, 1, 1), nn.Conv2d(16, 32, 3, 2, 1)
        self.up, self.join = nn.ConvTranspose2d(32, 16, 2, 2), nn.Conv2d(32, 16, 3, 1, 1)
        self.out = nn.Conv2d(16, 1, 1)

    def forward(self, x):
        h = functional.relu(self.down(x))
        h = torch.cat([h, self.up(functional.relu(self.below(h)))], 1)
        return self.out(functional.relu(self.join(h)))


class SqueezeExcite(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.squeeze, self.excite = nn.Conv2d(width, 4, 1), nn.Conv2d(4, width, 1)

    def forward(self, x):
        y = functional.silu(self.bn(self.conv(x)))
        gate = self.excite(functional.silu(self.squeeze(y.mean((2, 3), keepdim=True)))).sigmoid()
        return x + y * gate


class ConvNeXt(nn.Module):
    """Depthwise, then over channels that lie last; what is added is scaled by 1e-6."""

    def __init__(self, width=16):
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(width, width, 7, padding=3, groups=width), nn.LayerNorm(width)
        self.expand, self.shrink = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(1e-6 * torch.ones(width))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.shrink(functional.gelu(self.expand(y)))).permute(0, 3, 1, 2)


class SwiGLU(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.norm, self.gate = nn.RMSNorm(width), nn.Linear(width, 3 * width, bias=False)
        self.up, self.down = nn.Linear(width, 3 * width, bias=False), nn.Linear(3 * width, width, bias=False)

    def forward(self, x):
        h = self.norm(x)
        return x + self.down(functional.silu(self.gate(h)) * self.up(h))


class Experts(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.gate = nn.Linear(width, 4)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width)) for _ in range(4)
        )

    def forward(self, x):
        weight, chosen = self.gate(x).softmax(-1).topk(1)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows = chosen[:, 0] == number
            out[rows] = weight[rows] * expert(x[rows])
        return x + out


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode, self.mean, self.log = nn.Linear(32, 64), nn.Linear(64, 8), nn.Linear(64, 8)
        self.decode = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 32))

    def forward(self, x):
        h = functional.relu(self.encode(x))
        mean, log = self.mean(h), self.log(h)
        return self.decode(mean + torch.exp(log / 2) * torch.randn_like(mean)), mean, log


class Cells(nn.Module):
    """A recurrent network, step by step."""

    def __init__(self):
        super().__init__()
        self.x, self.h = nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(self, x):
        h = torch.zeros_like(x[:, 0])
        for step in range(x.shape[1]):
            h = torch.tanh(self.x(x[:, step]) + self.h(h))
        return h


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.gru, self.out = (
            nn.Embedding(50, 32),
            nn.GRU(32, 32, 2, batch_first=True),
            nn.Linear(32, 3),
        )

    def forward(self, words):
        return self.out(self.gru(self.embed(words))[0][:, -1])


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, norm_first=True, batch_first=True, activation="gelu")
        self.patch, self.head = nn.Conv2d(3, 32, 4, 4), nn.Linear(32, 10)
        self.first = nn.Parameter(0.02 * torch.randn(1, 1, 32))
        self.places = nn.Parameter(0.02 * torch.randn(1, 17, 32))
        self.encoder = nn.TransformerEncoder(layer, 3, nn.LayerNorm(32), enable_nested_tensor=False)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.encoder(x)[:, 0])


class Conditioned(nn.Module):
    """A block whose scales are made of something else, and begin as 0."""

    def __init__(self, width=32):
        super().__init__()
        self.norm, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 64), nn.Linear(64, width)
        self.scales = nn.Linear(8, 3 * width)
        nn.init.zeros_(self.scales.weight)
        nn.init.zeros_(self.scales.bias)

    def forward(self, x, condition):
        shift, scale, gate = self.scales(functional.silu(condition)).chunk(3, dim=-1)
        return x + gate * self.fc2(functional.gelu(self.fc1(self.norm(x) * (1 + scale) + shift)))


class Diffusion(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Conditioned() for _ in range(3))
        self.out = nn.Linear(32, 32)

    def forward(self, x, condition):
        for block in self.blocks:
            x = block(x, condition)
        return self.out(x)


class Sine(nn.Module):
    """SIREN, with the weights of Sitzmann et al. 2020."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 64), nn.Linear(64, 64), nn.Linear(64, 3)])
        for number, layer in enumerate(self.layers):
            reach = math.sqrt(6 / 64) / 30 if number else 1 / 2
            nn.init.uniform_(layer.weight, -reach, reach)

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.sin(30 * layer(x))
        return self.layers[-1](x)


NETWORKS = {
    "u-net": lambda: (UNet(), images(size=16)),
    "squeeze and excite": lambda: (
        nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), SqueezeExcite(), SqueezeExcite(), nn.AvgPool2d(12)),
        images(),
    ),
    "convnext": lambda: (nn.Sequential(nn.Conv2d(3, 16, 4, 4), ConvNeXt(), ConvNeXt()), images(size=32)),
    "swiglu": lambda: (nn.Sequential(*(SwiGLU() for _ in range(6))), sequences()),
    "experts": lambda: (nn.Sequential(Experts(), Experts()), vectors()),
    "variational": lambda: (Variational(), vectors()),
    "recurrent": lambda: (Cells(), sequences()),
    "gated": lambda: (Gated(), tokens()),
    "vit": lambda: (ViT(), images(size=16)),
    "diffusion": lambda: (Diffusion(), vectors(), vectors(width=8)),
    "siren": lambda: (Sine(), torch.rand(256, 2) * 2 - 1),
    "encoder and decoder": lambda: (
        nn.Transformer(32, 4, 2, 2, 64, batch_first=True), sequences(), sequences(),
    ),
    "over time": lambda: (
        nn.Sequential(nn.Conv1d(4, 16, 5), nn.ReLU(), nn.Conv1d(16, 16, 5), nn.Flatten(), nn.Linear(672, 2)),
        torch.randn(8, 4, 50),
    ),
    "in space": lambda: (
        nn.Sequential(nn.Conv3d(1, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv3d(8, 8, 3)),
        torch.randn(2, 1, 8, 8, 8),
    ),
    "one number": lambda: (nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 1)), torch.randn(99, 1)),
    "two classes": lambda: (nn.Sequential(mlp(2, head=False), nn.Linear(32, 2), nn.Softmax(-1)), vectors()),
    "one sample": lambda: (mlp(4), vectors(1)),
    "sparse": lambda: (nn.Sequential(nn.Embedding(50, 32, sparse=True), nn.Linear(32, 4)), tokens()),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_has_a_row_and_nothing_is_called_ill(name):
    model, *inputs = seeded(NETWORKS[name])()
    probed = sweep.probe(model, *inputs)
    layers = probed.layers
    owners = {*layers["module"], *(f"{module}.weight" if module else "weight" for module in layers["module"])}
    matrices = [name for name, one in model.named_parameters() if one.dim() > 1]
    others = [name for name in matrices if name not in owners]
    assert all(name.endswith(("in_proj_weight", "weight_ih_l0")) for name in others), others  # by its module
    rows = layers[layers["module"].isin({name.removesuffix(".weight") for name in matrices})]
    assert rows["grad_rms"].notna().all()
    assert probed.verdict == "healthy", probed


def test_blocks_of_parallel_ways_are_told_from_towers():
    chains = {}
    for name in ("experts", "diffusion", "encoder and decoder"):
        model, *inputs = seeded(NETWORKS[name])()
        chains[name] = list(sweep.probe(model, *inputs).chain["module"][1:])
    assert chains["experts"] == ["0", "1"]
    assert chains["diffusion"] == ["blocks.0", "blocks.1", "blocks.2", "out"]
    encoder = ["encoder.layers.0"] * 2 + ["encoder.layers.1"] * 2
    assert chains["encoder and decoder"][:4] == encoder


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_on_any_device_the_figures_are_the_same(device):
    random = torch.cuda if device == "cuda" else torch
    model, inputs = mlp(4), vectors()
    wanted = sweep.probe(model, inputs).layers
    state = random.get_rng_state()
    found = sweep.probe(nn.Sequential(nn.Dropout(0.5), *model).to(device).eval(), inputs.to(device)).layers
    assert torch.equal(state, random.get_rng_state())
    assert found["rms"][2:].tolist() == pytest.approx(wanted["rms"][1:].tolist(), rel=1e-3)
