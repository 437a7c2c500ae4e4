"""Theory of steps and of isometry beside finite networks.

    python benchmarks/steps.py      two minutes on one core

Of 50 random ordered networks, depth / width at most 1/10: the largest eigenvalue of a network's own tangent
kernel, the mean over 10 seeds, over theory's. Of each the network linearised at its start, trained by plain
descent at 0.9 and at 1.1 of 2 over its own eigenvalue. Of networks of width 400: the spread of the singular
values of dh_L / dh_0, mean over 3 seeds, over theory's. And eigenvalues of batches of Gaussian inputs, as the
table's. `steps.json` holds them; docs/step.md quotes it.

Where an odd act without biases sees inputs at right angles, Theta(x, x') is 0 and all of theory's eigenvalues
are one; those of a finite network are spread around it, and the largest lies well above. They are told apart.
"""

import json
import math
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from sweep import activations, initializers, theory
from sweep.base.arrays import Array
from sweep.kernel import Chain
from sweep.kernel.jacobian import spreads
from sweep.theory.consequences.step import stands_out

CELLS, SEEDS, STEPS = 50, 10, 300
WIDTH, SPREAD_SEEDS = 400, 3
ACTS = (("tanh", 1.0), ("relu", math.sqrt(2)), ("gelu", 1.5))
OF_SPREADS = tuple(product(("gaussian", "orthogonal"), ACTS, (4, 12)))
OF_BATCHES = (
    ("tanh", 1.0),
    ("tanh", 0.7),
    ("tanh", 1.5),
    ("erf", 0.8),
    ("gelu", 1.5),
    ("relu", math.sqrt(2)),
)
BIASES, BATCH_SEEDS = (0.0, 0.05, 0.1, 0.2, 0.4), 5
SIZES = ((64, 12, 4), (100, 25, 5), (100, 200, 5), (200, 50, 3), (200, 400, 15))  # width, inputs, depth


def gradients(
    act: str, sigma_w: float, sigma_b: float, widths: tuple[int, ...], x: Array, seed: int
) -> Array:
    """dy / d(parameters) of each input: (inputs, parameters); y a linear output of variance 1 / width."""
    rng, f = np.random.default_rng(seed), activations.get(act)
    h, weights, slopes = [x], [], []
    for fan_in, fan_out in pairwise(widths):
        weights.append(rng.standard_normal((fan_in, fan_out)) * sigma_w / math.sqrt(fan_in))
        z = h[-1] @ weights[-1] + sigma_b * rng.standard_normal(fan_out)
        h.append(f.f(z))
        slopes.append(f.derivative(z, h[-1]))
    found = [h[-1]]
    delta = np.tile(rng.standard_normal(widths[-1]) / math.sqrt(widths[-1]), (len(x), 1))
    for layer in range(len(weights) - 1, -1, -1):
        delta = delta * slopes[layer]
        found.append((h[layer][:, :, None] * delta[:, None]).reshape(len(x), -1))
        found += [delta] if sigma_b else []
        delta = delta @ weights[layer].T
    return np.concatenate(found, axis=1)


def inputs(rng: np.random.Generator, count: int, width: int, c0: float) -> Array:
    """Inputs of second moment 1 and of cosine c0 with one another: (count, width)."""
    apart = np.linalg.qr(rng.standard_normal((width, count + 1)))[0].T * math.sqrt(width)
    return math.sqrt(c0) * apart[0] + math.sqrt(1 - c0) * apart[1:]


def linearised(rows: Array, step: float, rng: np.random.Generator) -> float:
    """The loss of the linear model after STEPS steps of descent, over the loss before."""
    residual = rng.standard_normal(len(rows))
    moved, first = np.zeros(rows.shape[1]), float(residual @ residual)
    for _ in range(STEPS):
        error = rows @ moved + residual
        moved -= step * (rows.T @ error)
    error = rows @ moved + residual
    return float(error @ error) / first


def kernels() -> list[dict[str, object]]:
    """Random ordered networks: theory's eigenvalue, what finite ones have of it, and what descent does."""
    rng, found = np.random.default_rng(0), []
    while len(found) < CELLS:
        act, sigma_w = str(rng.choice(["tanh", "erf", "hardtanh", "softsign"])), float(rng.uniform(0.5, 1.5))
        sigma_b = float(rng.choice([0.0, rng.uniform(0.05, 0.5)]))
        width, count = int(rng.choice([64, 96, 128, 192])), int(rng.integers(2, 13))
        depth, c0 = int(rng.integers(2, width // 10 + 1)), float(rng.choice([0.0, rng.uniform(0.1, 0.8)]))
        if theory.fixed_point(act, sigma_w, sigma_b).chi1 > 1:
            continue
        x, widths = inputs(rng, count, width, c0), (width,) * (depth + 1)
        said = theory.step_size(act, sigma_w, sigma_b, depth, width, count, c0=c0)
        ratios, losses = [], []
        for seed in range(SEEDS):
            rows = gradients(act, sigma_w, sigma_b, widths, x, seed)
            largest = float(np.linalg.eigvalsh(rows @ rows.T)[-1])
            ratios.append(largest * said.lr_max / 2)
            if seed == 0:
                losses = [linearised(rows, part * 2 / largest, rng) for part in (0.9, 1.1)]
        of = {"act": act, "sigma_w": sigma_w, "sigma_b": sigma_b, "depth": depth, "width": width}
        of |= {"inputs": count, "c0": c0, "ntk_off": said.ntk_off, "ratio": float(np.mean(ratios))}
        of |= {"least": min(ratios), "most": max(ratios)}
        found.append(of | {"loss_at_0.9": losses[0], "loss_at_1.1": losses[1]})
    return found


def largest(
    act: str, sigma_w: float, sigma_b: float, widths: tuple[int, ...], count: int, seed: int
) -> float:
    """The largest eigenvalue of the tangent kernel of a batch of Gaussian inputs."""
    rng, f = np.random.default_rng((99, seed)), activations.get(act)
    h, weights, slopes = [rng.standard_normal((count, widths[0]))], [], []
    for fan_in, fan_out in pairwise(widths):
        weights.append(rng.standard_normal((fan_in, fan_out)) * sigma_w / math.sqrt(fan_in))
        z = h[-1] @ weights[-1] + sigma_b * rng.standard_normal(fan_out)
        h.append(f.f(z))
        slopes.append(f.derivative(z, h[-1]))
    kernel = h[-1] @ h[-1].T
    delta = np.tile(rng.standard_normal(widths[-1]) / math.sqrt(widths[-1]), (count, 1))
    for layer in range(len(weights) - 1, -1, -1):
        delta = delta * slopes[layer]
        kernel += (h[layer] @ h[layer].T + bool(sigma_b)) * (delta @ delta.T)
        delta = delta @ weights[layer].T
    return float(np.linalg.eigvalsh(kernel)[-1])


def batches() -> list[dict[str, object]]:
    """The same for batches of Gaussian inputs, whose cosines are 0 in the mean alone."""
    found = []
    for (act, sigma_w), sigma_b, (width, count, depth) in product(OF_BATCHES, BIASES, SIZES):
        said = theory.step_size(act, sigma_w, sigma_b, depth, width, count)
        widths = (width,) * (depth + 1)
        each = [largest(act, sigma_w, sigma_b, widths, count, seed) for seed in range(BATCH_SEEDS)]
        of = {"act": act, "sigma_w": sigma_w, "sigma_b": sigma_b, "width": width, "depth": depth}
        of |= {"inputs": count, "stands_out": stands_out(said, widths, count)}
        found.append(of | {"ratio": float(np.mean(each)) * said.lr_max / 2})
    return found


def isometries() -> list[dict[str, object]]:
    """Measured spreads over theory's."""
    found = []
    for weights, (act, sigma_w), depth in OF_SPREADS:
        name, parameters = (
            ("orthogonal", {"gain": sigma_w})
            if weights == "orthogonal"
            else ("variance_scaling", {"scale": sigma_w**2})
        )
        chain = Chain(initializers.get(name, **parameters), activations.get(act), 0.0, depth)
        each = [
            spreads(chain, (WIDTH,) * (depth + 1), seed, 4, {depth})[depth] for seed in range(SPREAD_SEEDS)
        ]
        said = theory.jacobian(act, sigma_w, 0.0, depth, weights).spread
        of = {"weights": weights, "act": act, "sigma_w": sigma_w, "depth": depth, "theory": said}
        found.append(of | {"measured": float(np.mean(each)), "ratio": float(np.mean(each)) / said})
    return found


def main() -> None:
    """Measure, say, and keep."""
    with threadpool_limits(1):
        of_kernels, of_batches, of_spreads = kernels(), batches(), isometries()
    for what, some in (
        ("Theta(x, x') > 0", [one for one in of_kernels if one["ntk_off"]]),
        ("Theta(x, x') = 0", [one for one in of_kernels if not one["ntk_off"]]),
        ("batches of Gaussian inputs, the mean stands out", [one for one in of_batches if one["stands_out"]]),
        ("the same, it does not", [one for one in of_batches if not one["stands_out"]]),
    ):
        ratios = [float(str(one["ratio"])) for one in some]
        inside = sum(abs(ratio - 1) <= 0.15 for ratio in ratios)
        print(f"{what}: {inside} of {len(some)} within 15 %, {min(ratios):.3f} to {max(ratios):.3f}")
    settled = sum(float(str(one["loss_at_0.9"])) < 1 for one in of_kernels)
    diverged = sum(not float(str(one["loss_at_1.1"])) < 1 for one in of_kernels)
    print(f"descent on the linearised network: {settled} settle at 0.9, {diverged} diverge at 1.1")
    for one in of_spreads:
        print(*one.values())
    text = json.dumps({"kernels": of_kernels, "batches": of_batches, "spreads": of_spreads}, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
