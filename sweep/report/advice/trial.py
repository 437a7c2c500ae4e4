"""A small trial: the networks that decide, a few seeds each."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from sweep import activations, initializers, kernel
from sweep.activations import Activation
from sweep.base.errors import RequestError
from sweep.base.process import machine
from sweep.experiment.outcomes.verdict import DEFAULT, Thresholds, flat_share_of, verdict
from sweep.report.advice.candidates import NO, Candidate, Survival, rank
from sweep.report.advice.outlook import BATCH

SEEDS = 3
_STACKED = 1e9  # bytes up to which all schemes of one distribution cross the layers together
_SIGMAS = 2.0
_BATCHED = 0.5  # the std of a batch's log delta over one input's: between 0.2 and 0.7
Advance = Callable[[int], None]
Progress = Callable[[int], Advance]


class Seed(NamedTuple):
    """What one seed leaves: as in `Survival`, and sample_cosine of the last layer."""

    forward: float
    backward: float
    verdict: str
    cosine: float = math.nan


class Expected(NamedTuple):
    """What theory expects of the seeds, NaN where it does not know: the std of two logarithms, and delta."""

    log_rms_std: float = math.nan
    log_delta_std: float = math.nan
    delta: float = math.nan


def tried(
    act: Activation, given: Sequence[Candidate], depth: int, width: int, progress: Progress | None = None
) -> list[Candidate]:
    """The candidates, those measured that decide: which survive is then known of the first of them.

    First theory's first and all that it leaves open; then, as long as the trial refutes the first, the
    next. Where theory finds that none survives, its best is measured too.
    """
    fits(depth, width)
    found = list(given)
    open_ones = [index for index, candidate in enumerate(found) if candidate.is_open]
    while True:
        _, best = rank(found)[0]
        first = found.index(best)
        chosen = sorted({first, *open_ones} if best.survives != NO else {first})
        chosen = [index for index in chosen if found[index].found is None]
        if not chosen:
            return found
        measured = _measure(act, [found[index].schemes[0] for index in chosen], depth, width, progress)
        for index in chosen:
            name, of = found[index].schemes[0], found[index].outlook
            expected = Expected(
                float(of.log_rms_std[depth]),
                _BATCHED * float(of.log_delta_std[depth]),
                float(of.delta[depth]),
            )
            found[index] = replace(found[index], measured={name: summary(measured[name], expected=expected)})


def survives_to(act: Activation, candidate: Candidate, depth: int, width: int) -> int:
    """The depth, below this one, down to which a trial confirms what theory says the candidate is good to."""
    of, name = candidate.outlook, candidate.schemes[0]
    deep = min(max(candidate.good_to, 1), depth - 1)
    if depth > 1 and math.isnan(of.log_rms_std[1]):  # theory is sure of no depth, and of none that it dies
        deep = depth - 1
    while deep > 0 and summary(_measure(act, [name], deep, width)[name]).verdict != "healthy":
        deep = deep * 4 // 5
    return deep


def confirms(act: Activation, name: str, sigma_b: float, *, depth: int, width: int) -> bool:
    """Whether the scheme of this name, with biases of this std, survives a trial, and would another."""
    found = summary(_measure(act, [name], depth, width, sigma_b=sigma_b)[name])
    return found.healthy == found.of and found.clear


def summary(
    seeds: Sequence[Seed], thresholds: Thresholds = DEFAULT, expected: Expected | None = None
) -> Survival:
    """Of several seeds: the median, and the verdict that most of those have that are not healthy."""
    ill = Counter(seed.verdict for seed in seeds if seed.verdict != "healthy")
    return Survival(
        median(seed.forward for seed in seeds),
        median(seed.backward for seed in seeds),
        ill.most_common(1)[0][0] if ill else "healthy",
        len(seeds) - ill.total(),
        len(seeds),
        not ill and _is_clear(seeds, thresholds, expected or Expected()),
    )


def _is_clear(seeds: Sequence[Seed], thresholds: Thresholds, expected: Expected) -> bool:
    """Whether the thresholds lie more than two standard deviations from the seeds' mean.

    Three seeds know little of their spread, nor of where a gradient lies: what theory expects counts as much.
    """

    def inside(values: Sequence[float], low: float, high: float, std: float, size: float = math.nan) -> bool:
        logs = np.log([value for value in values if value > 0])
        if len(logs) < 2:
            return True
        variance = float(np.var(logs, ddof=1))
        away = _SIGMAS * math.sqrt(variance if math.isnan(std) else (variance + std**2) / 2)
        middle = float(logs.mean())
        middle = (middle + math.log(size)) / 2 if 0 < size < math.inf else middle
        return math.log(low) <= middle - away and middle + away <= math.log(high)

    cosines = [1 - seed.cosine for seed in seeds]
    return (
        inside(
            [seed.forward for seed in seeds], thresholds.vanishing, thresholds.exploding, expected.log_rms_std
        )
        and inside(
            [seed.backward for seed in seeds],
            thresholds.gradient_vanishing,
            thresholds.gradient_exploding,
            expected.log_delta_std,
            expected.delta,
        )
        and inside(cosines, 1 - thresholds.collapsed, math.inf, 2 * expected.log_delta_std)
    )


def fits(depth: int, width: int) -> None:
    """RequestError where a trial would not fit this machine's memory."""
    if 4.0 * depth * width * width + 2 * _per_network(depth, width) > machine.available_memory() / 2:
        raise RequestError(
            f"depth={depth}, width={width}: the trial would not fit into this machine's memory; "
            "reduce either, or name a study that has been run"
        )


def _per_network(depth: int, width: int) -> float:
    return 8.0 * depth * width * BATCH


def _measure(
    act: Activation,
    names: Sequence[str],
    depth: int,
    width: int,
    progress: Progress | None = None,
    sigma_b: float = 0.0,
) -> Mapping[str, Sequence[Seed]]:
    """What the schemes of these names leave; one that a seed has refuted is not tried with another."""
    size = _per_network(depth, width)
    together = size * len(names) <= _STACKED
    stacks: dict[object, list[str]] = defaultdict(list)
    for name in names:
        stacks[scheme_of(name).base, None if together else name].append(name)
    largest = max(map(len, stacks.values())) * size
    threads = int(min(machine.cores(), machine.available_memory() / 2 // largest)) if built_in(act) else 1
    advance = progress(SEEDS * len(names)) if progress else lambda count: None
    seeds: dict[str, list[Seed]] = defaultdict(list)
    # As every worker computes; products, activations and decompositions leave the other threads free to run.
    with threadpool_limits(1), ThreadPoolExecutor(max(1, threads)) as pool:

        def tried_with(numbers: Sequence[int]) -> None:
            work = [(stack, seed) for seed in numbers for stack in stacks.values() if stack]
            ways = [pool.submit(_propagate, stack, act, sigma_b, depth, width, seed) for stack, seed in work]
            for (stack, _), way in zip(work, ways, strict=True):
                for name, found in zip(stack, way.result(), strict=True):
                    if all(one.verdict == "healthy" for one in seeds[name]):  # else its seed is not counted
                        seeds[name].append(found)
                advance(len(stack))

        tried_with(range(1))
        for key, stack in stacks.items():
            stacks[key] = [name for name in stack if seeds[name][0].verdict == "healthy"]
            advance((SEEDS - 1) * (len(stack) - len(stacks[key])))
        tried_with(range(1, SEEDS))
    return seeds


def built_in(act: Activation) -> bool:
    """Whether it is one of this program's: a user's own function may not be fit for threads."""
    if affine := activations.affine_of(act):
        return built_in(affine.of)
    known = act.name in activations.names()
    return known and activations.get(act.name, **dict(act.parameters)) == act


def _propagate(
    names: Sequence[str], act: Activation, sigma_b: float, depth: int, width: int, seed: int
) -> list[Seed]:
    """What one seed leaves of the signal under each of these schemes."""
    chains = [kernel.Chain(scheme_of(name), act, sigma_b, depth, (depth,)) for name in names]
    statistics = kernel.propagate(chains, (width,) * (depth + 1), [seed], BATCH)
    share, measured = flat_share_of(act), []
    for chain in statistics:
        of_seed = chain.of_seed(0)
        layers = of_seed.forward | of_seed.backward[depth]
        rms, delta = layers["rms"], layers["delta_std"]
        word, cosine = verdict(layers, share)[0], float(layers["sample_cosine"][-1])
        measured.append(Seed(float(rms[-1] / rms[0]), float(delta[0]), word, cosine))
    return measured


def scheme_of(name: str) -> initializers.Scheme:
    """That of a candidate's name, as in 'variance_scaling scale=2.35'."""
    option, *given = name.split()
    parameters = (text.split("=") for text in given)
    return initializers.get(option, **{key: float(value) for key, value in parameters})
