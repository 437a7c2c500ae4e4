"""Networks with a planted fault, each with its inputs: FAULTS says the word and the module."""

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


class Cut(nn.Module):
    """A module through which no gradient comes."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x).detach()


def zero_layer():
    model = mlp(6)
    zeroed(model[6])
    return model, vectors()


def zero_branch():
    model = Stream(6, scale=0.4)
    zeroed(model.blocks[2].fc1)
    return model, vectors()


def weights_five_times_as_large():
    model = ConvNet(8, norm=False)
    for conv in model.convs:
        conv.weight.data *= 5
    return model, images()


def one_layer_too_large():
    model = mlp(6, nn.Tanh, 1.0)
    with torch.no_grad():
        model[4].weight *= 20
    return model, vectors()


def fan_without_the_kernels_area():
    model = ConvNet(8, norm=False)
    for conv in model.convs:
        nn.init.normal_(conv.weight, std=math.sqrt(2 / conv.in_channels))
    return model, images()


def fan_of_the_wrong_end():
    layers = []
    for fan_in, fan_out in [(64, 8), (8, 64), (64, 2048)]:
        layers += [nn.Linear(fan_in, fan_out, bias=False), nn.ReLU()]
        nn.init.normal_(layers[-2].weight, std=math.sqrt(2) / fan_out)
    return nn.Sequential(*layers), vectors(width=64)


def torch_default_at_depth_50():
    return mlp(50, init=False), vectors()


def torch_default_with_biases_at_depth_50():
    return mlp(50, init=False, bias=True), vectors()


def tanh_saturated():
    return mlp(6, nn.Tanh, math.sqrt(32)), vectors()


def xavier_relu_at_depth_50():
    return mlp(50, gain=1.0), vectors()


def branches_not_scaled():
    return Stream(24), vectors()


def branches_not_scaled_in_a_normed_stream():
    return GPT(4, std=40.0, scaled=False), tokens()


def dead_layer():
    model = mlp(6, bias=True)
    nn.init.constant_(model[4].bias, -50.0)
    return model, vectors()


def dead_layer_of_functions():
    model = Stream(6, scale=0.4)
    nn.init.constant_(model.blocks[1].fc1.bias, -50.0)
    return model, vectors()


def nearly_dead_layer():
    model = mlp(6, bias=True)
    nn.init.constant_(model[4].bias, -1.5)
    return model, vectors()


def detached_layer():
    model = mlp(6)
    model[6] = Cut(model[6])
    return model, vectors()


def detached_branch():
    model = Stream(6, scale=0.4)
    model.blocks[3].fc2 = Cut(model.blocks[3].fc2)
    return model, vectors()


def frozen_norm():
    model = ConvNet(6).train()
    for norm in model.norms:
        norm.eval()
    model.norms[3].running_var.fill_(1e6)
    return model, images()


def zero_gain():
    model = ConvNet(6)
    nn.init.zeros_(model.norms[2].weight)
    return model, images()


def constant_weights():
    model = mlp(4)
    nn.init.constant_(model[0].weight, 0.1)
    return model, vectors()


def constant_weights_in_the_middle():
    model = mlp(4)
    nn.init.constant_(model[4].weight, 0.1)
    return model, vectors()


def constant_weights_of_functions():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.ParameterList([torch.randn(WIDTH, WIDTH) / 4, torch.full((WIDTH, WIDTH), 0.1)])

        def forward(self, x):
            for w in self.w:
                x = torch.relu(x @ w)
            return x

    return Net(), vectors()


def all_zeros():
    model = mlp(4)
    for layer in model:
        zeroed(layer)
    return model, vectors()


class PostNorm(nn.Module):
    """norm(x + act(fc(x)))."""

    def __init__(self, norm, act, gain):
        super().__init__()
        self.fc, self.norm, self.act = nn.Linear(WIDTH, WIDTH, bias=False), norm(WIDTH), act()
        nn.init.normal_(self.fc.weight, std=gain / math.sqrt(WIDTH))

    def forward(self, x):
        return self.norm(x + self.act(self.fc(x)))


def double_softmax():
    return nn.Sequential(*mlp(3), nn.Softmax(-1), nn.Softmax(-1)), vectors()


def softmax_before_cross_entropy():
    return nn.Sequential(mlp(3), nn.Softmax(-1)), vectors()


def post_norm_of_large_branches():
    return nn.Sequential(*(PostNorm(nn.LayerNorm, nn.Tanh, 3.0) for _ in range(32))), vectors()


def post_norm_of_branches_with_a_mean():
    return nn.Sequential(*(PostNorm(nn.RMSNorm, nn.Sigmoid, 1.0) for _ in range(24))), vectors()


def half_overflow():
    model = mlp(6, gain=30.0).to(torch.float16)
    return model, 10 * vectors().to(torch.float16)


def bfloat16_overflow():
    model = mlp(8).to(torch.bfloat16)
    with torch.no_grad():
        model[6].weight *= 1e38
    return model, vectors().to(torch.bfloat16)


def sigmoid_at_depth_20():
    return mlp(20, nn.Sigmoid, 1.0), vectors()


def chaotic_tanh():
    return mlp(30, nn.Tanh, 3.0), vectors()


def constant_weights_in_a_transformer():
    model = GPT(4)
    nn.init.constant_(model.blocks[1].fc.weight, 0.1)
    return model, tokens()


def zero_head():
    model = GPT(4)
    model.head.weight = nn.Parameter(torch.zeros(50, WIDTH))
    return model, tokens()


def detached_attention():
    model = GPT(4)
    model.blocks[2].proj = Cut(model.blocks[2].proj)
    return model, tokens()


def dead_feed_forward():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    model = nn.TransformerEncoder(layer, 4)
    nn.init.constant_(model.layers[1].linear1.bias, -50.0)
    return model, sequences()


def transformer_in_half_precision():
    model = GPT(4, std=8.0, scaled=False)
    for block in model.blocks:
        block.fc.weight.data *= 10
    return model.half(), tokens()


def resnet_without_norms():
    model = ResNet()
    for block in model.layers:
        block.bn1, block.bn2 = nn.Identity(), nn.Identity()
        for conv in (block.conv1, block.conv2):
            nn.init.normal_(conv.weight, std=3 * math.sqrt(2 / conv.weight[0].numel()))
    return model, images()


def collapsed_before_a_mean_over_places():
    """As torch draws them, of biases."""
    layers = (part for _ in range(20) for part in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()))
    body = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), *layers)
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)), images()


FAULTS = {
    collapsed_before_a_mean_over_places: ("collapsed", "3"),
    constant_weights_in_a_transformer: ("symmetric", r"blocks\.1\.fc"),
    zero_head: ("vanishing", "head"),
    detached_attention: ("gradient-vanishing", r"blocks\.2\..*"),
    dead_feed_forward: ("vanishing", r"layers\.1\.linear1"),
    transformer_in_half_precision: ("exploding", r"blocks\.\d\..*"),
    resnet_without_norms: ("exploding", r"layers\.\d\.conv2"),
    zero_layer: ("vanishing", "6"),
    zero_branch: ("vanishing", r"blocks\.2\.fc1"),
    weights_five_times_as_large: ("exploding", r"convs\.4"),
    one_layer_too_large: ("saturated", "4"),
    fan_without_the_kernels_area: ("exploding", r"convs\.\d"),
    fan_of_the_wrong_end: ("vanishing", "4"),
    torch_default_at_depth_50: ("vanishing", r"\d+"),
    torch_default_with_biases_at_depth_50: ("collapsed", r"\d+"),
    tanh_saturated: ("saturated", "0"),
    xavier_relu_at_depth_50: ("vanishing", r"\d+"),
    branches_not_scaled: ("exploding", r"blocks\.\d+\.fc2"),
    branches_not_scaled_in_a_normed_stream: ("exploding", r"blocks\.\d+\.\w+"),
    dead_layer: ("vanishing", "4"),
    dead_layer_of_functions: ("vanishing", r"blocks\.1\.fc1"),
    nearly_dead_layer: ("saturated", "4"),
    detached_layer: ("gradient-vanishing", "6.*"),
    detached_branch: ("gradient-vanishing", r"blocks\.3.*"),
    frozen_norm: ("vanishing", r"norms\.3"),
    zero_gain: ("vanishing", r"norms\.2"),
    constant_weights: ("symmetric", "0"),
    constant_weights_in_the_middle: ("symmetric", "4"),
    constant_weights_of_functions: ("symmetric", r"w\.1"),
    all_zeros: ("symmetric", "0"),
    double_softmax: ("gradient-vanishing", "8"),
    softmax_before_cross_entropy: ("gradient-vanishing", "1"),
    post_norm_of_large_branches: ("gradient-exploding", r"\d+\.fc"),
    post_norm_of_branches_with_a_mean: ("collapsed", r"\d+"),
    half_overflow: ("exploding", r"\d+"),
    bfloat16_overflow: ("exploding", r"6|8"),
    sigmoid_at_depth_20: ("collapsed", r"\d+"),
    chaotic_tanh: ("gradient-exploding", r"\d+"),
}

# Where the fault is one of what the loss is taken of.
LOSS = {softmax_before_cross_entropy: {"loss": nn.CrossEntropyLoss(), "target": torch.arange(64) % 10}}
