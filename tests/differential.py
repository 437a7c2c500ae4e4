"""Random stacks of networks against the plain loop in long double, figure by figure.

    make torture, or python -m tests.differential --specs 5000 --seed 0 [--seconds 60] [--jobs 2] [--only 17]
        [--passes compiled]

Every stack is computed together and each of its networks alone; both must be what tests/plain.py allows,
with rounded copies (tests/plain_copies.py), inputs of every kind and the singular values of Jacobians.
A disagreement is printed with what repeats it.
"""

import argparse
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

from sweep import kernel
from sweep.base.blocks import BATCH
from sweep.base.errors import PrecisionError
from sweep.kernel import passes
from sweep.kernel.jacobian import spreads
from tests import exact, plain_inputs
from tests.plain_copies import SCALES, Copy
from tests.plain_jacobian import jac_spread
from tests.stacks import Spec, spec_of


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


def measured(spec: Spec, links, seeds):
    """The statistics of these chains; None where some number cannot be told from rounding."""
    with threadpool_limits(1):  # as every worker computes
        chains = [link.chain for link in links]
        try:
            return kernel.propagate(
                chains, spec.widths, list(seeds), spec.batch, spec.dtype, inputs=spec.inputs
            )
        except PrecisionError:
            return None


def figure_of(statistics, start, name, layer):
    """One figure of a network."""
    if name == SCALES:
        return float(statistics.loss_scale[start])
    return float((statistics.forward if start is None else statistics.backward[start])[name][layer])


def spread_of(spec: Spec, number, seed):
    """jac_spread of one network, unless it is what it may be; with what that is."""
    link = spec.links[number]
    chain, widths = link.chain, spec.widths[: link.depth + 1]
    if chain.block.norm == BATCH:
        return None
    with threadpool_limits(1):
        try:
            found = spreads(chain, widths, seed, spec.batch, {link.depth}, spec.inputs)[link.depth]
        except PrecisionError:
            return None
    rng = np.random.default_rng(1)
    network = link.network(widths, seed, spec.batch, "float64", rng, inputs=spec.inputs)
    allowed = jac_spread(network)
    if network.unresolved or allowed.holds(found):
        return None
    return Disagreement(number, seed, None, "jac_spread", link.depth, found, str(allowed), True)


def disagreements(spec: Spec) -> tuple[int, list[Disagreement]]:
    """How many figures were compared, and those that are wrong."""
    found, count = [], 0
    together = measured(spec, spec.links, spec.seeds)
    rng = np.random.default_rng(0)
    for number, link in enumerate(spec.links):
        for place, seed in enumerate(spec.seeds):
            if entries := plain_inputs.wrong(spec.inputs, seed, spec.batch, spec.widths[0]):
                found.append(Disagreement(number, seed, None, "x", 0, entries, "0 wrong entries", True))
            with np.errstate(all="ignore"):
                network = link.network(spec.widths, seed, spec.batch, spec.dtype, rng, inputs=spec.inputs)
                copy = Copy(network, link.format) if link.format else None
                for start in link.backward:
                    network.send_back(start)
                    if copy:
                        copy.send_back(start)
                if spec.jacobian and (wrong := spread_of(spec, number, seed)):
                    found.append(wrong)
                count += spec.jacobian
            groups = [(False, together[number].of_seed(place))] if together else []
            if len(spec.links) * len(spec.seeds) > 1 or not together:
                by_itself = measured(spec, [link], [seed])
                groups += [(True, by_itself[0].of_seed(0))] if by_itself else []
                if not by_itself and not network.unresolved:
                    found.append(Disagreement(number, seed, None, "raised", 0, math.nan, "a number", True))
            for alone, statistics in groups:
                for (start, name, layer), allowed in network.figures.items():
                    figure = figure_of(statistics, start, name, layer)
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
