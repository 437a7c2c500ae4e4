"""Plain networks in three parametrisations, and the groups that give each weight its lr."""

import math
from itertools import pairwise

import torch
from torch import nn

from tests.probing.networks import HE, GPTBlock

WIDTHS = (64, 128, 256, 512, 1024)
_BASE = 64  # the width at which maximal update and standard agree, but for a constant


def inputs(count, batch=16):
    return torch.randn(batch, count, generator=torch.Generator().manual_seed(1))


def plain(width, act=nn.ReLU, count=4, depth=2, out=10, readout=0.0):
    """Linear layers 0, 2, 4 …, biases 0, stds of gain/√fan_in; of the last one readout/width, if given."""
    sizes = [count, *[width] * (depth + 1), out]
    layers = []
    for number, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(fan_in, fan_out), act()]
        gain = HE if act is nn.ReLU and number else 1.0
        nn.init.normal_(layers[-2].weight, std=gain / math.sqrt(fan_in))
        nn.init.zeros_(layers[-2].bias)
    if readout:
        nn.init.normal_(layers[-2].weight, std=readout / width)
    return nn.Sequential(*layers[:-1])


def maximal(width, act=nn.ReLU, **options):
    """As it has to be for maximal updates, with the lr of `maximal_sgd` or `maximal_adam`."""
    return plain(width, act, readout=math.sqrt(_BASE), **options)


def maximal_sgd(model, lr):
    """lr ∝ width at the input layer and at all biases but the last, ∝ 1/width at the readout."""
    *layers, last = (one for one in model if isinstance(one, nn.Linear))
    ratio = last.in_features / _BASE
    groups = [{"params": [layers[0].weight, *(one.bias for one in layers)], "lr": lr * ratio}]
    groups += [{"params": [one.weight for one in layers[1:]], "lr": lr}]
    groups += [{"params": [last.weight], "lr": lr / ratio}, {"params": [last.bias], "lr": lr}]
    return torch.optim.SGD(groups)


def maximal_adam(model, lr):
    """lr ∝ 1/width of all that many units enter."""
    first, *layers = (one for one in model if isinstance(one, nn.Linear))
    wide = [one.weight for one in layers]
    others = [first.weight, *(one.bias for one in (first, *layers))]
    ratio = first.out_features / _BASE
    return torch.optim.Adam([{"params": wide, "lr": lr / ratio}, {"params": others, "lr": lr}])


class Scaled(nn.Linear):
    """Entries of N(0, 1), and 1/√fan_in outside: the parametrisation of the tangent kernel."""

    def __init__(self, fan_in, fan_out):
        super().__init__(fan_in, fan_out, bias=False)
        nn.init.normal_(self.weight)

    def forward(self, x):
        return super().forward(x) / math.sqrt(self.in_features)


def lazy(width, count=4):
    return nn.Sequential(Scaled(count, width), nn.Tanh(), Scaled(width, width), nn.Tanh(), Scaled(width, 10))


def standard(model):
    """The same with weights of std 1/√fan_in."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.weight[0].numel()))
    return model


class GPT(nn.Module):
    """Tokens, positions, blocks with dropout between; outputs are a dict."""

    def __init__(self, width, tied=False):
        super().__init__()
        self.wte, self.wpe, self.drop = nn.Embedding(50, width), nn.Embedding(64, width), nn.Dropout(0.1)
        self.blocks = nn.ModuleList(GPTBlock(width, 4) for _ in range(2))
        self.ln, self.head = nn.LayerNorm(width), nn.Linear(width, 50, bias=False)
        standard(self)
        if tied:
            nn.init.normal_(self.wte.weight, std=1 / math.sqrt(width))
            self.head.weight = self.wte.weight

    def forward(self, words):
        h = self.drop(self.wte(words) + self.wpe(torch.arange(words.shape[1])))
        for block in self.blocks:
            h = block(h)
        return {"count": words.shape[1], "logits": self.head(self.ln(h))}


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc, self.attend = nn.Linear(8, width), nn.MultiheadAttention(width, 4, batch_first=True)
        self.head = nn.Linear(width, 5)
        standard(self)

    def forward(self, x):
        h = self.fc(x)
        return self.head(h + self.attend(h, h, h)[0])
