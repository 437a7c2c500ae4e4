"""Random sizes, and random schemes with legal parameters."""

import inspect
from functools import partial

import numpy as np

from sweep import initializers
from sweep.base.errors import RequestError

ASCENDING = {("low", "high"), ("a", "b"), ("minval", "maxval"), ("lower", "upper")}


def scale(rng, width):
    """A size of weights: near 1 or near 1/√width for the greater part, else of any order."""
    kind = rng.random()
    if kind < 0.3:
        return float(rng.uniform(0.3, 10))
    if kind < 0.6:
        return float(rng.uniform(0.5, 3) / np.sqrt(width))
    if kind < 0.75:
        return float(10 ** rng.uniform(-3, 3))
    return float(10 ** rng.uniform(-25, 25))


def real(rng, width):
    return float(rng.choice([-1, 1])) * scale(rng, width) if rng.random() < 0.8 else 0.0


def init_parameters(rng, name, width):
    """Random legal parameters of a scheme."""
    names = initializers.parameter_names(name)
    hints = {one: inspect.signature(initializers.SCHEMES[name]).parameters[one].annotation for one in names}
    found = {}
    for low, high in ASCENDING:
        if low in names and high in names:
            found |= bounds(rng, low, high, width, name)
    for one in names:
        if one in found:
            continue
        options = rule_options(hints[one])
        if options:
            found[one] = str(rng.choice(options))
        elif one == "sparsity":
            found[one] = float(rng.choice([0.0, 0.5, 0.9, rng.random()]))
        elif one == "tolerance":
            found[one] = float(10 ** rng.uniform(-4, -0.5))
        elif name == "lsuv" and one == "mean":
            found[one] = bool(rng.random() < 0.3)
        elif one in {"mean", "value", "val", "a"}:
            found[one] = found.get(one, real(rng, width) if one != "mean" or rng.random() < 0.3 else 0.0)
        else:
            found[one] = scale(rng, width)
    if {"low", "std"} <= set(names) or {"a", "std"} <= set(names):  # bounds in units of the std
        low, high = ("low", "high") if "low" in names else ("a", "b")
        mean = found.get("mean", 0.0)
        found |= {low: mean + found["std"] * found[low], high: mean + found["std"] * found[high]}
    return found


def rule_options(hint):
    rule = getattr(hint, "__metadata__", (None,))[0]
    return list(rule.keywords.get("options", ())) if isinstance(rule, partial) else []


def bounds(rng, low, high, width, name):
    if "trunc" in name:  # of a normal, in stds
        ends = sorted(rng.uniform(-5, 5, 2)) if rng.random() < 0.6 else (-2.0, 2.0)
    else:
        size = scale(rng, width)
        kind = rng.random()
        ends = (
            (-size, size)
            if kind < 0.5
            else (0.0, size)
            if kind < 0.7
            else sorted(size * rng.uniform(-1, 1, 2))
        )
    return {low: float(ends[0]), high: float(ends[1])}


def init_choice(rng, width, tries=20):
    """A scheme's name and parameters."""
    while True:
        name = str(rng.choice([*sorted(initializers.SCHEMES), "own"]))
        if name == "own":
            return name, {}
        try:
            found = init_parameters(rng, name, width)
            initializers.get(name, **found)
        except RequestError:
            continue
        return name, found


def factor(rng):
    """A factor of a branch, a skip or a matrix: near 1 for the greater part, or a rule, or nothing."""
    kind = rng.random()
    if kind < 0.3:
        return 1.0
    if kind < 0.6:
        return float(rng.uniform(0.1, 2))
    if kind < 0.75:
        return str(rng.choice(["depth**-0.5", "0.7*depth**-0.25", "depth**0.25", "2*depth**-1"]))
    if kind < 0.9:
        return float(10 ** rng.uniform(-6, 3))
    return 0.0 if kind < 0.95 else float(10 ** rng.uniform(-40, 25))
