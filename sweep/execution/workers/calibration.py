"""How quick this machine is: some of a plan's own work, computed and measured before any of it is run."""

import json
from collections.abc import Sequence
from dataclasses import replace

from sweep import activations, initializers
from sweep.base.process import machine
from sweep.execution.plan import factor
from sweep.execution.plan.factor import Factor
from sweep.execution.plan.tasks import Stack, Task, chains_of, pack
from sweep.execution.workers import local
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import Spec

_SECONDS = 1.0
_SAMPLES = 12


def calibrate(tasks: Sequence[Task], workers: int) -> Factor:
    """This machine's time over the plan's, from about a second of the plan's own work on every worker.

    A user's own functions are not run for it: xavier and tanh stand in for them, and for a transformed act
    what it is made of.
    """
    workers = min(workers, len(tasks))
    crowding = machine.crowding(workers)  # by others: before this adds to it
    sample = _sample(tasks, _SECONDS * workers)
    # The first of the results find their code cold; they come first, and once more at the end.
    warm = [min(sample, key=lambda task: task.seconds)] * workers
    results = list(local.run([*warm, *sample], workers, histogram=False))[workers:]
    took = [float(result.seconds.sum()) for result in results]
    return factor.of_samples(took, [result.estimate for result in results], crowding)


def _sample(tasks: Sequence[Task], seconds: float) -> list[Task]:
    """Tasks of so many seconds in all, like those given: stacks from everywhere, cut down."""
    stacks = sorted((stack for task in tasks for stack in task.stacks), key=lambda stack: stack.seconds)
    total = sum(stack.seconds for stack in stacks)
    each = min(seconds, total) / _SAMPLES
    chosen: dict[int, Stack] = {}
    passed, number = 0.0, 0
    for index, stack in enumerate(stacks):  # one at each of so many equal steps of the whole time
        passed += stack.seconds
        while passed >= (number + 0.5) * total / _SAMPLES and number < _SAMPLES:
            chosen[index] = stack
            number += 1
    cut = [_cut(stack, each) for stack in chosen.values()]
    return [task for block in cut for task in pack(Cells((block,)), 1)]


def _cut(stack: Stack, seconds: float) -> Block:
    """Cells like those of a stack, but of about so many seconds."""
    specs, seeds = stack.block.specs, stack.block.seeds
    share = stack.seconds
    chains = chains_of(specs)
    if share > seconds:  # fewer chains first, then fewer seeds: the depth is more telling
        count = max(1, int(len(chains) * seconds / share))
        specs = tuple(spec for chain in chains[:count] for spec in chain)
        share *= count / len(chains)
    if share > seconds:
        count = max(1, int(len(seeds) * seconds / share))
        share *= count / len(seeds)
        seeds = seeds[:count]
    if share > seconds:
        deepest = max(specs, key=lambda spec: spec.depth)
        depth = max(1, int(deepest.depth * seconds / share))
        widths = None if deepest.widths is None else deepest.widths[: depth + 1]
        specs = (replace(deepest, depth=depth, widths=widths, width=deepest.profile[depth]),)
        share *= depth / deepest.depth
    if share > seconds:  # one layer of one network: fewer inputs
        specs = (replace(specs[0], batch=max(2, int(specs[0].batch * seconds / share))),)
    return Block(tuple(dict.fromkeys(map(_harmless, specs))), seeds)


def _harmless(spec: Spec) -> Spec:
    if spec.init == initializers.CUSTOM:
        spec = replace(spec, init="xavier", init_params="{}")
    if spec.first_init == initializers.CUSTOM:
        spec = replace(spec, first_init=None, first_init_params=None)
    if spec.last_init == initializers.CUSTOM:
        spec = replace(spec, last_init=None, last_init_params=None)
    if spec.act == activations.TRANSFORMED:  # at this depth there may be no such transform
        return replace(spec, act=json.loads(spec.act_params)["of"], act_params="{}")
    return replace(spec, act="tanh", act_params="{}") if spec.act == activations.CUSTOM else spec
