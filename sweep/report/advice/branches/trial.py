"""A small trial of branches: those that theory does not rule out, a few seeds each."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product

from threadpoolctl import threadpool_limits

from sweep import kernel
from sweep.activations import Activation
from sweep.base.errors import RequestError
from sweep.base.process import machine
from sweep.experiment.outcomes.verdict import flat_share_of, verdict
from sweep.report.advice.branches.candidates import Branch
from sweep.report.advice.outlook import BATCH
from sweep.report.advice.trial import SEEDS, Progress, Seed, built_in, fits, scheme_of, summary

_MOST = 4  # beside the block as it is


def tried(
    act: Activation, given: Sequence[Branch], depth: int, width: int, progress: Progress | None = None
) -> list[Branch]:
    """The branches, those measured that decide: what theory finds most level, and the block as it is."""
    likely = sorted((one for one in given if one.word == "healthy"), key=lambda one: one.level)
    chosen = list({id(one): one for one in (*likely[:_MOST], *given[:1])}.values())
    wide = max(one.block.expand for one in chosen)
    fits(2 * depth, width * wide)
    jobs = list(product(chosen, range(SEEDS)))
    advance = progress(len(jobs)) if progress else lambda count: None
    threads = machine.cores() if built_in(act) else 1

    def measure(job: tuple[Branch, int]) -> Seed:
        found = _propagate(act, *job, depth, width)
        advance(1)
        return found

    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        seeds = list(pool.map(measure, jobs))
    for index, one in enumerate(chosen):
        chosen[index] = replace(one, found=summary(seeds[index * SEEDS : (index + 1) * SEEDS]))
    measured = {(one.init, one.told): one for one in chosen}
    return [measured.get((one.init, one.told), one) for one in given]


def _propagate(act: Activation, branch: Branch, seed: int, depth: int, width: int) -> Seed:
    block = branch.block.at(depth)
    chain = kernel.Chain(scheme_of(branch.init), act, 0.0, depth, (depth,), block=block)
    (statistics,) = kernel.propagate([chain], (width,) * (depth + 1), [seed], BATCH)
    layers = statistics.of_seed(0)
    of = layers.forward | layers.backward[depth]
    word = verdict(of, flat_share_of(act))[0]
    return Seed(
        float(of["rms"][-1] / of["rms"][0]), float(of["delta_std"][0]), word, float(of["sample_cosine"][-1])
    )


def ranked(branches: Sequence[Branch]) -> list[Branch]:
    """Those that survived first, then those that were not tried; each by how level they are."""
    if not branches:
        raise RequestError("theory has no word on such blocks with this activation")
    order = {True: 0, None: 1, False: 2}
    key = {id(one): (order[one.healthy if one.found else None], one.level) for one in branches}
    return sorted(branches, key=lambda one: key[id(one)])
