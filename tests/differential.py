"""Random stacks of networks against the plain loop in long double, figure by figure.

    make torture, or python -m tests.differential --specs 5000 --seed 0 [--seconds 60] [--jobs 2] [--only 17]
        [--passes compiled]

Every stack is computed together and each of its networks alone; both must be what tests/plain.py
allows. A disagreement is printed with what repeats it.
"""

import argparse
import inspect
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from sweep import activations, initializers, kernel
from sweep.base.errors import PrecisionError, RequestError
from sweep.kernel import passes
from tests import exact
from tests.plain import Network

MOST_ENTRIES = 20_000  # of all h of a stack: what a long double loop does in half a second
ASCENDING = {("low", "high"), ("a", "b"), ("minval", "maxval"), ("lower", "upper")}
STATISTICS = (*kernel.FORWARD, *kernel.BACKWARD)


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

    @property
    def scheme(self):
        return own_scheme() if self.init == "own" else initializers.get(self.init, **self.init_params)

    @property
    def chain(self):
        act = activation(self.act, self.act_params)
        return kernel.Chain(self.scheme, act, self.bias_std, self.depth, self.backward)


@dataclass(frozen=True)
class Spec:
    """A stack as `kernel.propagate` takes it; printed, it is what makes it again."""

    links: tuple[Link, ...]
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    batch: int
    dtype: str

    @classmethod
    def of(cls, stored):
        """The stack of what `dataclasses.asdict` makes of one, as JSON keeps it."""
        links = tuple(Link(**{**link, "backward": tuple(link["backward"])}) for link in stored["links"])
        return cls(links, tuple(stored["widths"]), tuple(stored["seeds"]), stored["batch"], stored["dtype"])


@dataclass(frozen=True)
class Disagreement:
    """A figure that is not what it may be."""

    chain: int
    seed: int
    start: int | None  # the depth that the gradient starts from
    name: str
    layer: int
    figure: float
    allowed: str
    alone: bool

    def __str__(self):
        back = "" if self.start is None else f" from {self.start}"
        where = f"chain {self.chain} seed {self.seed} layer {self.layer}{back}"
        return (
            f"{where}: {self.name} {self.figure:.10g}, not {self.allowed}{' (alone)' if self.alone else ''}"
        )


def own_weights(rng, fan_in, fan_out):
    """A user's own scheme: heavy tails."""
    return rng.standard_t(3, (fan_in, fan_out)) / np.sqrt(3 * fan_in)


def own_scheme():
    return initializers.get("custom", function=own_weights)


def activation(name, parameters):
    if not name.startswith("own "):
        return activations.get(name, **parameters)
    _, key, *numerical = name.split()
    f, slope, _ = exact.OWN[key]
    return activations.get("custom", function=f, derivative=None if numerical else slope)


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


def spec_of(seed: int, number: int) -> Spec:
    """The stack of that number."""
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
        links.append(Link(*chosen, *act_choice(rng), bias, own, starts if rng.random() < 0.9 else ()))
    dtype = "float32" if rng.random() < 0.6 else "float64"
    return Spec(tuple(links), tuple(widths), seeds, batch, dtype)


def measured(spec: Spec, links, seeds):
    """The statistics of these chains; None where some number cannot be told from rounding."""
    with threadpool_limits(1):  # as every worker computes
        chains = [link.chain for link in links]
        try:
            return kernel.propagate(chains, spec.widths, list(seeds), spec.batch, spec.dtype)
        except PrecisionError:
            return None


def disagreements(spec: Spec) -> tuple[int, list[Disagreement]]:
    """How many figures were compared, and those that are wrong."""
    found, count = [], 0
    together = measured(spec, spec.links, spec.seeds)
    rng = np.random.default_rng(0)
    for number, link in enumerate(spec.links):
        for place, seed in enumerate(spec.seeds):
            with np.errstate(all="ignore"):
                network = Network(
                    link.scheme, exact.of(link.act, link.act_params), link.bias_std,
                    spec.widths[: link.depth + 1], seed, spec.batch, spec.dtype, rng,
                )  # fmt: skip
                for start in link.backward:
                    network.send_back(start)
            groups = [(False, together[number].of_seed(place))] if together else []
            if len(spec.links) * len(spec.seeds) > 1 or not together:
                by_itself = measured(spec, [link], [seed])
                groups += [(True, by_itself[0].of_seed(0))] if by_itself else []
                if not by_itself and not network.unresolved:
                    found.append(Disagreement(number, seed, None, "raised", 0, math.nan, "a number", True))
            for alone, statistics in groups:
                for (start, name, layer), allowed in network.figures.items():
                    columns = statistics.forward if start is None else statistics.backward[start]
                    figure = float(columns[name][layer])
                    count += 1
                    if not allowed.holds(figure):
                        found.append(
                            Disagreement(number, seed, start, name, layer, figure, str(allowed), alone)
                        )
    return count, found


def tried(seed: int, number: int) -> tuple[int, int, list[Disagreement], str]:
    """What one spec of the fuzz gives: its number, figures, disagreements, and what was raised."""
    try:
        return (number, *disagreements(spec_of(seed, number)), "")
    except Exception as error:
        return number, 0, [], f"{type(error).__name__}: {error}"


def cross_with(kind: str) -> None:
    """Have this process use passes of this kind."""
    passes.default = kind


def results(
    seed: int, numbers: range, jobs: int, kind: str
) -> Iterator[tuple[int, int, list[Disagreement], str]]:
    if jobs == 1:
        cross_with(kind)
        yield from map(partial(tried, seed), numbers)
        return
    with ProcessPoolExecutor(jobs, initializer=cross_with, initargs=(kind,)) as pool:
        yield from pool.map(partial(tried, seed), numbers, chunksize=4)


def main() -> int:
    """Compare so many, and say in one line how it went."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--specs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no spec after so long")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", type=int, help="the one spec of that number, all of its disagreements")
    parser.add_argument("--passes", choices=passes.KINDS, default=passes.NUMPY)
    given = parser.parse_args()
    if not exact.WIDE:
        print("differential: skipped, a long double is only a double on this machine")
        return 0
    began, specs, figures, wrong, kinds = time.monotonic(), 0, 0, 0, Counter()
    numbers = range(given.specs) if given.only is None else range(given.only, given.only + 1)
    for number, count, found, raised in results(given.seed, numbers, given.jobs, given.passes):
        specs, figures, wrong = specs + 1, figures + count, wrong + bool(found or raised)
        if found or raised:
            again = f"--seed {given.seed} --only {number} --passes '{given.passes}'"
            print(f"{again}: {spec_of(given.seed, number)}")
            print(f"    {raised}" if raised else "", end="\n" if raised else "")
            for one in found if given.only is not None else found[:3]:
                print(f"    {one}")
            if len(found) > 3 and given.only is None:
                print(f"    and {len(found) - 3} more")
            kinds.update({"raised"} if raised else {one.name for one in found})
            sys.stdout.flush()
        if time.monotonic() - began > given.seconds:
            break
    of = "".join(f", {name} in {count}" for name, count in kinds.most_common())
    print(
        f"differential: {specs:,} specs, {figures / 1e6:.1f} million figures, {wrong} disagreements{of}, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
