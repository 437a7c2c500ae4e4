"""Every activation as a user might write it."""

import numpy as np
from scipy import special


def own_gelu(z):
    return z * special.ndtr(z)


def own_elu(z):
    return np.where(z > 0, z, np.exp(z) - 1)


# Every activation as a user might write it, and how far z may go: rounded, overflowing where it pleases.
OWN = {
    "identity": (lambda z: 1.0 * z, 1e30),
    "relu": (lambda z: np.maximum(z, 0), 1e30),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), 1e30),
    "elu": (own_elu, 1e30),
    "selu": (lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * (np.exp(z) - 1)), 1e30),
    "gelu": (own_gelu, 1e30),
    "gelu_tanh": (lambda z: 0.5 * z * (1 + np.tanh((2 / np.pi) ** 0.5 * (z + 0.044715 * z**3))), 1e30),
    "silu": (lambda z: z / (1 + np.exp(-z)), 1e30),
    "mish": (lambda z: z * np.tanh(np.logaddexp(0, z)), 1e30),
    "tanh": (np.tanh, 1e30),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), 1e30),
    "erf": (special.erf, 1e30),
    "hardtanh": (lambda z: np.clip(z, -1, 1), 1e30),
    "softplus": (lambda z: np.logaddexp(0, z), 1e30),
    "softsign": (lambda z: z / (1 + np.abs(z)), 1e30),
    "sin": (np.sin, 1e5),
}
