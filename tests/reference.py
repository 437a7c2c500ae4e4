"""The plain loop: one network, float64, as the textbooks write it, with the kernel's draws."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sweep.initializers import NORMAL
from sweep.kernel.draws import streams


def propagate(scheme, act, widths, seed, batch, bias_std=0.0, first=None, last=None):
    """Lists by layer of h, z, dL/dh and dL/dW (z and dL/dW start at layer 1).

    first, last: the schemes of these layers, where they have others.
    """
    schemes = [scheme] * (len(widths) - 1)
    schemes[0], schemes[-1] = (
        first or schemes[0],
        last or (first if len(schemes) == 1 and first else schemes[-1]),
    )
    h = [streams.inputs([seed], batch, widths[0])[0].astype(float)]
    weights, z = [], []
    for layer, (own, fans) in enumerate(zip(schemes, pairwise(widths), strict=True), start=1):
        unit = streams.weights([seed], own.base, layer, *fans)[0].astype(float) if own.base else 0.0
        weights.append(own.weight_mean(*fans) + own.weight_std(*fans) * unit + np.zeros(fans))
        std = bias_std if own.bias is None else own.bias_std(*fans)
        bias = streams.biases([seed], own.base, layer, *fans, own.bias or NORMAL)[0].astype(float)
        z.append(h[-1] @ weights[-1] + std * bias)
        h.append(act.f(z[-1]))
    delta, gradients = [streams.upstream_gradient([seed], batch, widths[-1])[0].astype(float)], []
    for layer in range(len(weights), 0, -1):
        dz = delta[0] * act.derivative(z[layer - 1], h[layer])
        gradients.insert(0, h[layer - 1].T @ dz)
        delta.insert(0, dz @ weights[layer - 1].T)
    return h, z, delta, gradients


@dataclass
class Blocks:
    """A network of blocks of one width, float64: lists by layer of what `propagate` has, and dL/dV."""

    h: list
    z: list
    delta: list
    gradients: list
    out: list


def norm(kind, x):
    """x after a norm; what multiplies its gradient once means are taken off."""
    axis = 0 if kind == "bn" else 1
    if kind != "rms":
        x = x - x.mean(axis=axis, keepdims=True)
    size = np.sqrt((x * x).mean(axis=axis, keepdims=True))
    return x / size, 1 / size


def norm_back(kind, y, scale, g):
    axis = 0 if kind == "bn" else 1
    mean = 0 if kind == "rms" else g.mean(axis=axis, keepdims=True)
    return scale * (g - mean - y * (g * y).mean(axis=axis, keepdims=True))


def blocks_of(scheme, block, width, depth, seed, bias_std=0.0):
    """W, b and V of every block; V is None where there is none."""
    between = width * block.expand if block.out else width
    for layer in range(1, depth + 1):
        weights = []
        for out, fans, factor in (
            (False, (width, between), block.number("w_scale")),
            (True, (between, width), block.number("v_scale")),
        ):
            unit = streams.weights([seed], scheme.base, layer, *fans, out=out)[0].astype(float)
            weights.append(factor * (scheme.weight_mean(*fans) + scheme.weight_std(*fans) * unit))
        bias = streams.biases([seed], scheme.base, layer, width, between)[0].astype(float)
        yield weights[0], bias_std * bias, weights[1] if block.out else None


def propagate_blocks(scheme, act, block, width, depth, seed, batch, bias_std=0.0):
    """The same of blocks, each as its formula says; block: at this depth."""
    h, kept = [streams.inputs([seed], batch, width)[0].astype(float)], []
    for weights in blocks_of(scheme, block, width, depth, seed, bias_std):
        above, *of_block = block_forward(block, act, weights, h[-1])
        kept.append((weights, *of_block))
        h.append(above)
    delta, gradients, out = [streams.upstream_gradient([seed], batch, width)[0].astype(float)], [], []
    for of_block in reversed(kept):
        below, of_w, of_v = block_back(block, act, *of_block, delta[0])
        delta.insert(0, below)
        gradients.insert(0, of_w)
        out.insert(0, of_v)
    return Blocks(h, [z for _, z, *_ in kept], delta, gradients, out)


def block_forward(block, act, weights, x):
    """h of one block, z, what W is applied to, act(z), and of a norm: its result and its factor."""
    (w, b, v), u, of_norm = weights, x, None
    if block.place == "before":
        u, _ = of_norm = norm(block.norm, x)
    if block.act_first:
        z, f = x, act.f(x)
        y = f @ w + b
    else:
        z = u @ w + b
        if block.place == "inside":
            z, _ = of_norm = norm(block.norm, z)
        f = act.f(z)
        y = f if v is None else f @ v
    above = block.number("skip") * x + block.number("alpha") * y if block.skipped else y
    if block.place == "after":
        above, _ = of_norm = norm(block.norm, above)
    return above, z, u, f, of_norm


def block_back(block, act, weights, z, u, f, of_norm, g):
    """dL/dh below, dL/dW and dL/dV of one block."""
    (w, _, v), of_v, slope = weights, None, act.derivative(z, f)
    if block.place == "after":
        g = norm_back(block.norm, *of_norm, g)
    branch = block.number("alpha") * g if block.skipped else g
    if v is not None:
        of_v, branch = f.T @ branch, branch @ v.T
    if block.act_first:
        of_w, branch = f.T @ branch, (branch @ w.T) * slope
    else:
        branch = branch * slope
        if block.place == "inside":
            branch = norm_back(block.norm, *of_norm, branch)
        of_w, branch = u.T @ branch, branch @ w.T
    if block.place == "before":
        branch = norm_back(block.norm, *of_norm, branch)
    return (block.number("skip") * g + branch if block.skipped else branch), of_w, of_v
