"""Networks of plain torch for the tests of probes: MLPs, convolutions, residual blocks, transformers."""

import math

import torch
from torch import nn
from torch.nn import functional

WIDTH = 32
HE = math.sqrt(2)


def seeded(make):
    """The module that `make` makes, and its inputs, drawn with torch's seed set."""

    def made():
        torch.manual_seed(0)
        return make()

    made.__name__ = made.__qualname__ = make.__name__
    return made


def mlp(depth, act=nn.ReLU, gain=HE, width=WIDTH, bias=False, init=True, head=True):
    """Layers 0, 2, 4 … with weights of std gain/√fan_in, and a head of ten."""
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(width, width, bias=bias), act()]
        if init:
            nn.init.normal_(layers[-2].weight, std=gain / math.sqrt(width))
    if head:
        layers.append(nn.Linear(width, 10, bias=bias))
        nn.init.normal_(layers[-1].weight, std=1 / math.sqrt(width))
    return nn.Sequential(*layers)


class ConvNet(nn.Module):
    """3×3 convolutions, each followed by a norm if asked for, and relu in place; mean over places; a head."""

    def __init__(self, depth=6, width=16, norm=True, gain=HE):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(3 if not n else width, width, 3, padding=1, bias=False) for n in range(depth)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) if norm else nn.Identity() for _ in range(depth))
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(width, 10)
        for conv in self.convs:
            nn.init.normal_(conv.weight, std=gain / math.sqrt(conv.weight[0].numel()))

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = self.act(norm(conv(x)))
        return self.head(x.mean(dim=(2, 3)))


class Residual(nn.Module):
    """x + scale · fc2(relu(fc1(norm(x))))."""

    def __init__(self, width=WIDTH, scale=1.0, norm=False):
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.fc1, self.fc2, self.scale = nn.Linear(width, 2 * width), nn.Linear(2 * width, width), scale
        for layer, gain in ((self.fc1, math.sqrt(2)), (self.fc2, 1.0)):
            nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.in_features))
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        return x + self.scale * self.fc2(functional.relu(self.fc1(self.norm(x))))


class Stream(nn.Module):
    """Residual blocks and a head."""

    def __init__(self, depth=12, **options):
        super().__init__()
        self.blocks = nn.ModuleList(Residual(**options) for _ in range(depth))
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class BasicBlock(nn.Module):
    def __init__(self, fan_in, fan_out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False), nn.BatchNorm2d(fan_out)
        self.down = None
        if stride > 1:
            self.down = nn.Sequential(
                nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out)
            )

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.down is None else self.down(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layers = nn.Sequential(
            BasicBlock(width, width),
            BasicBlock(width, width),
            BasicBlock(width, 2 * width, 2),
            BasicBlock(2 * width, 2 * width),
        )
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(2 * width, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.layers(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.pool(x), 1))


class GPTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x):
        batch, length, width = x.shape
        parts = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        h = functional.scaled_dot_product_attention(*parts.unbind(0), is_causal=True)
        return self.proj(h.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x):
        x = x + self.attend(self.ln_1(x))
        return x + self.out(functional.gelu(self.fc(self.ln_2(x))))


class GPT(nn.Module):
    """GPT-2, small; with or without 1/√(2L) at the ends of branches."""

    def __init__(self, depth=4, width=WIDTH, std=0.1, scaled=True, vocabulary=50):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(64, width)
        self.drop = nn.Dropout(0.1)
        self.blocks = nn.ModuleList(GPTBlock(width, 4) for _ in range(depth))
        self.ln_f, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                ends = scaled and name.endswith(("proj", "out"))
                nn.init.normal_(module.weight, std=std / math.sqrt(2 * depth) if ends else std)
        self.head.weight = self.wte.weight

    def forward(self, tokens):
        x = self.drop(self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1])))
        for block in self.blocks:
            x = block(x)
        return {"logits": self.head(self.ln_f(x))}


def vectors(batch=64, width=WIDTH):
    return torch.randn(batch, width)


def images(batch=8, size=12):
    return torch.randn(batch, 3, size, size)


def tokens(batch=4, length=16, vocabulary=50):
    return torch.randint(vocabulary, (batch, length))


def sequences(batch=8, length=12, width=WIDTH):
    return torch.randn(batch, length, width)


def zeroed(layer):
    """A layer whose weights and biases are 0."""
    for one in layer.parameters():
        nn.init.zeros_(one)
