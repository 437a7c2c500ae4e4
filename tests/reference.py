"""The plain loop: one network, float64, as the textbooks write it, with the kernel's draws."""

from itertools import pairwise

import numpy as np

from sweep.initializers import NORMAL
from sweep.kernel import streams


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
