"""Models of one's own, as users have them in a module of theirs."""

import time

import torch
from torch import nn

WIDTH = 40


def chain():
    """What our own networks of depth 5 are."""
    return nn.Sequential(
        *(part for _ in range(5) for part in (nn.Linear(WIDTH, WIDTH, bias=False), nn.Tanh()))
    )


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)

    def forward(self, x):
        return torch.relu(x + self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x))))))


def conv():
    body = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), Residual(), Residual())
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def text():
    return nn.Sequential(nn.Embedding(30, 16), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 30))


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.first, self.out = nn.Embedding(30, 16), nn.Linear(6, 16), nn.Linear(16, 2)

    def forward(self, tokens, x):
        return self.out(torch.tanh(self.table(tokens).mean(1) + self.first(x)))


class Fussy(nn.Module):
    """It refuses weights that are too large, as one with a check of its own may."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        if float(self.linear.weight.detach().abs().max()) > 2:
            raise ValueError("the weights are too large")
        return torch.tanh(self.linear(x))


def broken():
    raise OSError("no such checkpoint")


def leaves():
    raise SystemExit(0)


def no_module():
    return 3


def bare():
    return nn.Tanh()


class Slow(nn.Linear):
    """It takes its time, so that a test can kill it halfway."""

    def __init__(self):
        super().__init__(8, 8)

    def forward(self, x):
        time.sleep(0.2)
        return super().forward(x)


def unchanged():
    return nn.Identity()
