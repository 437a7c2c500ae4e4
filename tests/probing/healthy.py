"""Networks with nothing wrong, each with its inputs."""

import math

import torch
from torch import nn

from tests.probing.networks import (
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
    zeroed,
)


def he_mlp():
    return mlp(20), vectors()


def xavier_tanh():
    return mlp(20, nn.Tanh, 1.0), vectors()


def default_mlp_of_three_layers():
    return mlp(3, init=False, bias=True), vectors()


def self_normalising():
    return mlp(30, nn.SELU, 1.0), vectors()


def convolutions_with_norms():
    return ConvNet(8).train(), images()


def resnet():
    return ResNet().train(), images()


def resnet_with_zero_gains():
    """As recommended: the last norm of every branch begins as 0."""
    model = ResNet()
    for block in model.layers:
        nn.init.zeros_(block.bn2.weight)
    return model, images()


def scaled_stream():
    return Stream(12, scale=1 / math.sqrt(24)), vectors()


def pre_norm_stream():
    return Stream(24, norm=True), vectors()


def zero_branches():
    """Fixup's way to begin: the last weights of every branch are 0."""
    model = Stream(8)
    for block in model.blocks:
        zeroed(block.fc2)
    return model, vectors()


class Opening(nn.Module):
    """x + gain · branch, the gain being 0 at first and learnt: a number (ReZero), or one a feature."""

    def __init__(self, shape):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.gain = nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        return x + self.gain * self.fc2(torch.relu(self.fc1(x)))


def rezero():
    return nn.Sequential(*(Opening(()) for _ in range(6)), nn.Linear(WIDTH, 4)), vectors()


def layer_scale_of_zeros():
    return nn.Sequential(*(Opening(WIDTH) for _ in range(6)), nn.Linear(WIDTH, 4)), vectors()


def gpt():
    return GPT(6).train(), tokens()


def gpt_as_it_draws_them():
    return GPT(6, std=0.02), tokens()


def transformer_with_a_zero_gain():
    """The gain learns."""
    model = GPT(4)
    nn.init.zeros_(model.blocks[1].ln_2.weight)
    return model, tokens()


def encoder():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 4), nn.Flatten(), nn.Linear(12 * 32, 10)), sequences()


def pre_norm_encoder():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 6, nn.LayerNorm(32), enable_nested_tensor=False), sequences()


def bag_of_words():
    return nn.Sequential(nn.EmbeddingBag(50, 32), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)), tokens()


def convolutions_and_a_mean_over_many_places():
    """A mean over 1,024 places of noise is nearly the same for all inputs, and its gradient thin at each."""
    convolutions = (part for _ in range(3) for part in (nn.LazyConv2d(16, 3, padding=1), nn.ReLU()))
    model = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    model(torch.zeros(1, 3, 32, 32))  # its first call
    return model, torch.randn(16, 3, 32, 32)


def convolutions_and_a_mean_at_the_end():
    """A head of a convolution, and a function for the mean."""

    class Last(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(16, 10, 1), Last()), torch.randn(16, 3, 32, 32)


def autoencoder():
    return (
        nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1),
            nn.BatchNorm2d(32), nn.ReLU(), nn.ConvTranspose2d(32, 16, 2, 2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 2, 2),
        ),
        images(),
    )  # fmt: skip


def classifier_with_softmax():
    return nn.Sequential(mlp(3), nn.Softmax(-1)), vectors()


def classifier_of_a_thousand_classes():
    return nn.Sequential(mlp(3, head=False), nn.Linear(WIDTH, 1000), nn.Softmax(-1)), vectors()


def classifier_with_log_softmax():
    return nn.Sequential(mlp(3, head=False), nn.Linear(WIDTH, 100), nn.LogSoftmax(-1)), vectors()


def decoder_of_pixels():
    return nn.Sequential(mlp(3, head=False), nn.Linear(WIDTH, 64), nn.Sigmoid()), vectors()


def half_precision():
    return mlp(6).to(torch.bfloat16), vectors().to(torch.bfloat16)


def raw_pixels():
    return ConvNet(6).train(), 255 * torch.rand(8, 3, 12, 12)


HEALTHY = (
    he_mlp,
    xavier_tanh,
    default_mlp_of_three_layers,
    self_normalising,
    convolutions_with_norms,
    resnet,
    resnet_with_zero_gains,
    scaled_stream,
    pre_norm_stream,
    zero_branches,
    rezero,
    layer_scale_of_zeros,
    gpt,
    gpt_as_it_draws_them,
    transformer_with_a_zero_gain,
    encoder,
    pre_norm_encoder,
    bag_of_words,
    convolutions_and_a_mean_over_many_places,
    convolutions_and_a_mean_at_the_end,
    autoencoder,
    classifier_with_softmax,
    classifier_of_a_thousand_classes,
    classifier_with_log_softmax,
    decoder_of_pixels,
    half_precision,
    raw_pixels,
)
