"""Stacks of networks in plain words, and random ones: any scheme, act, block, width and dtype."""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from sweep import activations, initializers, kernel, theory
from sweep.activations import DKS, METHODS
from sweep.base import blocks
from sweep.base.blocks import LAYER, LEAST_BATCH, PLAIN, WITHOUT_SKIP
from sweep.base.errors import RequestError
from sweep.base.inputs import GAUSSIAN
from sweep.base.registry import TRANSFORMED
from sweep.experiment.axes import FORMATS
from tests import exact, plain_inputs
from tests.draws import factor, init_choice
from tests.plain import Network
from tests.plain_blocks import BlockNetwork

MOST_ENTRIES = 20_000  # of all h of a stack: what a long double loop does in half a second
MOST_OF_DIGITS, MOST_OF_JACOBIANS = 12, 24  # layers, and widths too
TRANSFORMABLE = (  # acts that have a transform by one of the methods at most depths
    "relu", "leaky_relu", "elu", "celu", "selu", "gelu", "gelu_tanh", "silu", "hardswish", "mish", "tanh",
    "sigmoid", "erf", "softplus", "softsign", "sin",
)  # fmt: skip
Named = tuple[str, dict]  # a scheme, and its parameters


@dataclass(frozen=True)
class Link:
    """A chain in plain words. act: a name, or 'own gelu', 'own gelu numerical' of tests/exact.py."""

    init: str
    init_params: dict
    act: str
    act_params: dict
    bias_std: float
    depth: int
    backward: tuple[int, ...]
    block: str = PLAIN.name
    block_params: dict = field(default_factory=dict)
    first: Named | None = None
    last: Named | None = None
    format: str | None = None

    @property
    def scheme(self):
        return scheme_of(self.init, self.init_params)

    @property
    def ends(self):
        """The schemes of the first and of the last layer, where they have others."""
        return tuple(None if one is None else scheme_of(*one) for one in (self.first, self.last))

    @property
    def chain(self):
        act = activation(self.act, self.act_params, self.depth)
        return kernel.Chain(
            self.scheme, act, self.bias_std, self.depth, self.backward, *self.ends, self.block_at_depth,
            self.format,
        )  # fmt: skip

    @property
    def block_at_depth(self):
        return blocks.REGISTRY.get(self.block, **self.block_params).at(self.depth)

    def network(self, widths, *others, inputs=GAUSSIAN):
        """The plain loop's, of these widths; others: seed, batch, dtype and the copies' rng."""
        act = exact.of(self.act, self.act_params, self.depth)
        of = self.scheme, act, self.bias_std, widths[: self.depth + 1], *others, self.ends, inputs
        return Network(*of) if self.block == PLAIN.name else BlockNetwork(self.block_at_depth, *of)


@dataclass(frozen=True)
class Spec:
    """A stack as `kernel.propagate` takes it; printed, it is what makes it again.

    input_params: those of the kind; of npy what its file has. jacobian: whether that is compared too.
    """

    links: tuple[Link, ...]
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    batch: int
    dtype: str
    input: str = GAUSSIAN.name
    input_params: dict = field(default_factory=dict)
    jacobian: bool = False

    @property
    def inputs(self):
        """What is pushed through."""
        return plain_inputs.made(self.input, self.input_params)

    @classmethod
    def of(cls, stored):
        """The stack of what `dataclasses.asdict` makes of one, as JSON keeps it."""
        links = tuple(Link(**{**link, "backward": tuple(link["backward"])}) for link in stored["links"])
        tuples = {name: tuple(stored[name]) for name in ("widths", "seeds")}  # JSON has lists
        return cls(**{**stored, **tuples, "links": links})


def own_weights(rng, fan_in, fan_out):
    """A user's own scheme: heavy tails."""
    return rng.standard_t(3, (fan_in, fan_out)) / np.sqrt(3 * fan_in)


def own_scheme():
    return initializers.get("custom", function=own_weights)


def scheme_of(name, parameters):
    return own_scheme() if name == "own" else initializers.get(name, **parameters)


def activation(name, parameters, depth=0):
    if name == TRANSFORMED:
        return solved(depth, **parameters).activation
    if not name.startswith("own "):
        return activations.get(name, **parameters)
    _, key, *numerical = name.split()
    f, slope, _ = exact.OWN[key]
    return activations.get("custom", function=f, derivative=None if numerical else slope)


@lru_cache(maxsize=256)
def solved(depth, of, method, target=None):
    return theory.transform(of, depth, method, target)


def act_choice(rng):
    kind = rng.random()
    if kind < 0.2:
        numerical = " numerical" if rng.random() < 0.6 else ""
        return f"own {rng.choice(sorted(exact.OWN))}{numerical}", {}
    name = str(rng.choice(sorted(activations.ACTIVATIONS)))
    if name == "leaky_relu" and rng.random() < 0.7:
        return name, {"negative_slope": float(rng.choice([0.0, 1.0, 1e-3, rng.uniform(-2, 2)]))}
    if name == "elu" and rng.random() < 0.5:
        return name, {"alpha": float(rng.choice([0.0, -1.0, 1e-3, 1e3, rng.uniform(0.1, 10)]))}
    if name == "celu" and rng.random() < 0.5:
        return name, {"alpha": float(rng.choice([1e-3, 1e3, rng.uniform(0.1, 10)]))}
    return name, {}


def block_choice(rng, widths, batch):
    """A block and its parameters, of those that these widths and this batch allow."""
    tapered = len(set(widths)) > 1
    while True:
        name = str(rng.choice([one for one in blocks.BLOCKS if one != PLAIN.name]))
        of = blocks.REGISTRY.get(name)
        taken = [one for one in of.takes if rng.random() < 0.5]
        found = {one: int(rng.integers(1, 4)) if one == "expand" else factor(rng) for one in taken}
        if tapered and of.skipped:
            found["skip"] = 0.0
        if tapered and name not in WITHOUT_SKIP and rng.random() < 0.5:
            continue
        if (name != "bn" or batch >= LEAST_BATCH) and (of.norm != LAYER or 1 not in widths):
            return {"block": name, "block_params": found}


def transformed_choice(rng, depth, tries=20):
    """A transformed activation that has a solution at this depth."""
    for _ in range(tries):
        found = {"of": str(rng.choice(TRANSFORMABLE)), "method": str(rng.choice(METHODS))}
        if rng.random() < 0.3:
            low = 1.01 if found["method"] == DKS else 0.05
            found["target"] = float(rng.uniform(low, low + 0.9))
        try:
            solved(depth, **found)
        except RequestError:
            continue
        return {"act": TRANSFORMED, "act_params": found}
    return {}


def input_choice(rng, spec):
    """Another kind of inputs, and widths that can have them."""
    kind, widths = str(rng.choice(["correlated", "student", "npy", "digits"])), spec.widths
    if kind == "digits":
        added = any(link.block_at_depth.number("skip") for link in spec.links)
        size = 64 if added else int(rng.integers(64, 81))
        if added and len(widths) > MOST_OF_DIGITS:
            kind = "student"
        else:
            widths = (size,) * len(widths) if added or len(set(widths)) == 1 else (size, *widths[1:])
    batch = max(4, min(spec.batch, int(MOST_ENTRIES / (sum(widths) * len(spec.seeds) * len(spec.links)))))
    parameters = {
        "correlated": {"c0": float(rng.choice([0.0, 0.5, 1.0, rng.random()]))},
        "student": {"df": float(2 + 10 ** rng.uniform(-2, 3))},
        "npy": {
            "law": str(rng.choice(plain_inputs.LAWS)), "rows": batch + int(rng.integers(0, 9)),
            "width": widths[0], "seed": int(rng.integers(1000)),
        },
        "digits": {},
    }  # fmt: skip
    return replace(spec, input=kind, input_params=parameters[kind], widths=widths, batch=batch)


def more_of(spec: Spec, rng) -> Spec:
    """A stack with what has come since: formats, other inputs, ends, transformed acts, Jacobians."""
    links = []
    for one in spec.links:
        link, width = one, spec.widths[0]
        if rng.random() < 0.15:
            link = replace(link, **transformed_choice(rng, link.depth))
        if rng.random() < 0.2:
            link = replace(link, first=init_choice(rng, width))
        if rng.random() < 0.2:
            link = replace(link, last=init_choice(rng, width), backward=(link.depth,) * bool(link.backward))
        if rng.random() < 0.4:
            link = replace(link, format=str(rng.choice(FORMATS)))
        links.append(link)
    spec = replace(spec, links=tuple(links))
    if rng.random() < 0.5:
        spec = input_choice(rng, spec)
    small = max(spec.widths) <= MOST_OF_JACOBIANS and len(spec.widths) <= MOST_OF_JACOBIANS
    return replace(spec, jacobian=bool(small and rng.random() < 0.5))


def spec_of(seed: int, number: int) -> Spec:
    """The stack of that number; every other one has blocks, and two of three what has come since."""
    spec = _plain_spec_of(seed, number)
    return more_of(spec, np.random.default_rng([seed, number, 1])) if number % 3 else spec


def _plain_spec_of(seed, number):
    rng = np.random.default_rng([seed, number])
    depth = int(
        rng.integers(1, 9)
        if (kind := rng.random()) < 0.65
        else rng.integers(9, 31)
        if kind < 0.9
        else rng.integers(31, 101)
    )
    widest = float(2 ** rng.uniform(0, 6.01))
    if rng.random() < 0.5:
        widths = [int(widest)] * (depth + 1)
    else:
        widths = [int(w) for w in np.maximum(1, widest * rng.uniform(0.2, 1, depth + 1))]
    batch = int(2 ** rng.uniform(1, np.log2(101))) if rng.random() < 0.9 else int(rng.integers(2, 4))
    seeds = tuple(int(s) for s in rng.integers(0, 2**31, 1 if rng.random() < 0.6 else 2))
    chains = int(rng.choice([1, 2, 3], p=[0.5, 0.25, 0.25]))
    room = MOST_ENTRIES / (sum(widths) * len(seeds) * chains)
    batch = max(2, min(batch, int(room)))
    first = init_choice(rng, widths[0])
    base = Link(*first, "relu", {}, 0.0, 1, ()).scheme.base
    links = []
    for place in range(chains):
        chosen = first
        for _ in range(30 if place else 0):
            other = init_choice(rng, widths[0])
            if Link(*other, "relu", {}, 0.0, 1, ()).scheme.base == base:
                chosen = other
                break
        own = depth if place == 0 else int(rng.integers(1, depth + 1))
        starts = tuple(sorted({own, *rng.integers(1, own + 1, int(rng.choice([0, 0, 1, 2]))).tolist()}))
        bias = float(rng.choice([0.0, 0.0, 0.0, 1e-5, 0.1, 1.0, 1e4, 10 ** rng.uniform(-10, 0)]))
        link = Link(*chosen, *act_choice(rng), bias, own, starts if rng.random() < 0.9 else ())
        if number % 2:
            link = replace(link, **block_choice(rng, widths, batch))
        links.append(link)
    dtype = "float32" if rng.random() < 0.6 else "float64"
    return Spec(tuple(links), tuple(widths), seeds, batch, dtype)
