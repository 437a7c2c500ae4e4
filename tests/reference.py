"""The plain loop: one network, float64, as the textbooks write it, with the kernel's draws."""

from itertools import pairwise

import numpy as np

from sweep.initializers import NORMAL
from sweep.kernel import streams


def propagate(scheme, act, widths, seed, batch, bias_std=0.0):
    """Lists by layer of h, z, dL/dh and dL/dW (z and dL/dW start at layer 1)."""
    h = [streams.inputs([seed], batch, widths[0])[0].astype(float)]
    weights, z = [], []
    for layer, fans in enumerate(pairwise(widths), start=1):
        unit = streams.weights([seed], scheme.base, layer, *fans)[0].astype(float) if scheme.base else 0.0
        weights.append(scheme.weight_mean(*fans) + scheme.weight_std(*fans) * unit + np.zeros(fans))
        std = bias_std if scheme.bias is None else scheme.bias_std(*fans)
        bias = streams.biases([seed], scheme.base, layer, *fans, scheme.bias or NORMAL)[0].astype(float)
        z.append(h[-1] @ weights[-1] + std * bias)
        h.append(act.f(z[-1]))
    delta, gradients = [streams.upstream_gradient([seed], batch, widths[-1])[0].astype(float)], []
    for layer in range(len(weights), 0, -1):
        dz = delta[0] * act.derivative(z[layer - 1], h[layer])
        gradients.insert(0, h[layer - 1].T @ dz)
        delta.insert(0, dz @ weights[layer - 1].T)
    return h, z, delta, gradients
