"""What a norm over the batch leaves of a neuron: B inputs of mean 0 and variance 1 exactly.

They are a point uniform on the sphere of radius √(B - 1) in the B - 1 dimensions orthogonal to (1, … 1), here
scaled so that a coordinate has the variance 1: u of one input, u1 and u2 of two, of correlation -1/(B - 1).
With t = u / √(B - 1) the density of one is ∝ (1 - t²)^((B-4)/2), of two, in orthogonal coordinates,
∝ (1 - t1² - t2²)^((B-5)/2). (Yang et al. 2019.)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sweep.activations import flat_within, kinks_of, structure_of
from sweep.base.arrays import Array
from sweep.theory.gaussian.moments import Gaussian

_REACH = 13.0  # φ(13) = 8e-38
_PANEL = 1.0
_PANELS_OF_ANGLE = 8
_MOST_KINKS = 8  # the nearest to 0; an act of more is resolved to 1e-4
_GRADED = 2.0 ** -np.arange(10)  # panels beyond the radius from which on a circle meets a kink
_X, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class Normalised:
    """act of what a norm over the batch leaves: its mean, std and rms, and the cosine of two inputs.

    flat: the share of flat units. back: what dL/dh of the layer below is, squared, of that of this one, times
    q (1 - c) of the layer below; from_the_top: the same where gradients start, one independent of the other
    for every input. So it is sigma_w² / lambda of the published formula times what stands over lambda.
    """

    mean: float
    std: float
    rms: float
    cosine: float
    flat: float
    back: float
    back_from_the_top: float


@lru_cache(maxsize=256)
def normalised(means_of: Gaussian, batch: int) -> Normalised:
    """The means of an activation over a batch of at least 4."""
    act, radius = means_of.act, math.sqrt(batch - 1)
    kinks = [kink for kink in kinks_of(act) if abs(kink) < min(radius, _REACH)]
    kinks = sorted(kinks, key=abs)[:_MOST_KINKS]

    def seen(u: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            h = np.asarray(act.f(u), np.float64)
            return h, np.asarray(act.derivative(u, h), np.float64)

    u, weights = _one(batch, radius, kinks)
    h, slope = seen(u)
    mean, square = float(weights @ h), float(weights @ (h * h))
    std = math.sqrt(float(weights @ (h - mean) ** 2))
    slopes, pulls = float(weights @ slope**2), float(weights @ (slope * u) ** 2)
    one, other, weights = _two(batch, radius, kinks)
    (h1, slope1), (h2, slope2) = seen(one), seen(other)
    product = float(weights @ (h1 * h2))
    both, pulled = float(weights @ (slope1 * slope2)), float(weights @ (slope1 * one * slope2 * other))
    upstream = (batch * slopes - slopes - pulls) / (batch - 3)
    within = upstream + (both + pulled) / (batch - 3)
    flat = sum(_share(a, b, batch, radius) for a, b in flat_within(act, _REACH, structure_of(act)))
    cosine = product / square if square else math.nan
    return Normalised(mean, std, math.sqrt(square), cosine, flat, within, upstream)


def _one(batch: int, radius: float, kinks: Sequence[float]) -> tuple[Array, Array]:
    """u and the weights of its law: t = sin ψ, of density cos^(B-3) ψ."""
    reach = min(radius, _REACH)
    edges = np.union1d(np.linspace(-reach, reach, 2 * math.ceil(reach / _PANEL) + 1), kinks)
    psi, weights = _panels(np.arcsin(edges / radius))
    weights = weights * np.cos(psi) ** (batch - 3)
    return radius * np.sin(psi), weights / weights.sum()


def _share(low: float, high: float, batch: int, radius: float) -> float:
    """P(low < u < high)."""
    reach = min(radius, _REACH)
    low, high = max(low, -reach), min(high, reach)
    if low >= high:
        return 0.0
    inside = np.linspace(low, high, math.ceil((high - low) / _PANEL) + 1)
    whole = np.linspace(-reach, reach, 2 * math.ceil(reach / _PANEL) + 1)
    shares = []
    for edges in (inside, whole):
        psi, weights = _panels(np.arcsin(np.clip(edges / radius, -1.0, 1.0)))
        shares.append(float(weights @ np.cos(psi) ** (batch - 3)))
    return shares[0] / shares[1]


def _two(batch: int, radius: float, kinks: Sequence[float]) -> tuple[Array, Array, Array]:
    """u1, u2 and the weights of their law: r = sin φ, of density sin φ cos^(B-4) φ, at any angle.

    A kink at k is met at the angles where r cos θ = k, from the radius abs(k) on; panels end at both.
    """
    reach, apart = min(radius, _REACH), math.acos(-1 / (batch - 1))
    edges = np.linspace(0.0, reach, math.ceil(reach / _PANEL) + 1)
    for kink in kinks:
        if kink:
            edges = np.union1d(edges, abs(kink) + np.append(_GRADED, 0.0))
    phi, weights = _panels(np.arcsin(edges[edges <= reach] / radius))
    weights = weights * np.sin(phi) * np.cos(phi) ** (batch - 4)
    r = radius * np.sin(phi)
    base = np.linspace(-math.pi, math.pi, _PANELS_OF_ANGLE + 1)
    angles = [np.broadcast_to(base, (len(r), len(base)))]
    for kink in kinks:
        met = np.arccos(np.clip(kink / np.maximum(r, abs(kink) or 1.0), -1.0, 1.0))
        for theta in (met, -met, apart + met, apart - met):
            angles.append((np.mod(theta + math.pi, 2 * math.pi) - math.pi)[:, None])
    theta, of_angle = _panels(np.sort(np.concatenate(angles, axis=1)))
    weight = (weights[:, None] * of_angle).ravel()
    r = np.broadcast_to(r[:, None], theta.shape)
    one, other = r * np.cos(theta), r * np.cos(theta - apart)
    return one.ravel(), other.ravel(), weight / weight.sum()


def _panels(edges: Array) -> tuple[Array, Array]:
    """Nodes and weights of Gauss and Legendre on every panel between ascending edges, (..., nodes)."""
    half = np.diff(edges, axis=-1)[..., None] / 2
    nodes = edges[..., :-1, None] + half * (1 + _X)
    flat = (*edges.shape[:-1], -1)
    return nodes.reshape(flat), np.broadcast_to(half * _WEIGHTS, nodes.shape).reshape(flat)
