"""`sweep.recommend`: theory's candidates in order, those that decide tried; what to do if none survives."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from sweep import activations, theory
from sweep.activations import Activation
from sweep.activations.transformed import METHODS
from sweep.base import blocks, checks
from sweep.base.blocks import Block
from sweep.base.errors import RequestError
from sweep.experiment.ingredients.families import at_depth
from sweep.report.advice.branches.recommendation import recommend_block
from sweep.report.advice.branches.table import BlockRecommendation
from sweep.report.advice.candidates import NO, STUDY, candidates, rank
from sweep.report.advice.derivation import derivation
from sweep.report.advice.mend import mends
from sweep.report.advice.outlook import BATCH
from sweep.report.advice.stored import stored
from sweep.report.advice.table import Recommendation
from sweep.report.advice.transformed import derived
from sweep.report.advice.trial import SEEDS, Advance, confirms, survives_to, tried


def recommend(
    act: str | Activation | Callable[..., object],
    depth: int = 50,
    width: int = 512,
    study: str | Path | None = None,
    *,
    act_params: Mapping[str, object] | None = None,
    block: str | Block = "plain",
    block_params: Mapping[str, object] | None = None,
    transform: str | None = None,
    target: float | None = None,
    progress: Callable[[int], Advance] | None = None,
) -> Recommendation | BlockRecommendation:
    """Ranked initialisations for an activation at one depth and width, the best first.

    Those that survive there, by theory with its spread over seeds, in the order of abs(log chi1) at the
    fixed point; a small trial confirms the first, and decides where that spread reaches a verdict's
    threshold. Where none survives there is no best one, and `mends` says what would help. study: its
    measurements are taken, instead of a trial's. act: a name, an activation, or a function z -> h;
    act_params: its parameters. block: what a layer is, or a preset as in "gpt2", with its parameters; of one
    with a skip the size of the branch is ranked too. transform: 'dks' or 'tat', the activation changed as by
    `sweep.theory.transform` with its target, for plain layers alone. progress: takes the number of networks
    and returns a function that is told how many more are done. Raises RequestError where a value breaks its
    rule, the activation has no Gaussian moments, or the study has no results for it at this depth and width.
    """
    activation = activations.resolved(act, checks.mapping("act_params", act_params))
    depth, width = checks.whole("depth", depth, 1), checks.whole("width", width, 1)
    if progress is not None and not callable(progress):
        raise RequestError(f"progress={progress!r}: progress must be a function, or None")
    layer = blocks.resolved(block, checks.mapping("block_params", block_params))
    activation = _transformed(activation, depth, layer, transform, target)
    if not layer.plain:
        return recommend_block(activation, layer, depth, width, study, progress)
    backward = True
    if study is None:
        found = tried(activation, candidates(activation, depth, width), depth, width, progress)
        source = f"tried: median of up to {SEEDS} seeds, one that fails ends its trial; batch {BATCH}"
    else:
        of = stored(study, activation, depth, width)
        others = {sigma_w: tuple(by_scheme) for sigma_w, by_scheme in of.survivals.items()}
        proposed = candidates(activation, depth, width, others, of.thresholds)
        found = [
            replace(candidate, measured=of.of(candidate.sigma_w), source=STUDY) for candidate in proposed
        ]
        source = f"measured: median over the seeds of {study}, {of.setting}"
        backward = of.backward
    ranking = tuple(rank(found))
    first = ranking[0][1]
    reach, help_with = depth, tuple[str, ...]()
    if first.survives == NO:
        reach = survives_to(activation, first, depth, width) if study is None else first.good_to
        confirm = partial(confirms, depth=depth, width=width) if study is None else None
        help_with = mends(activation, first, depth, width, confirm)
    steps = (*derived(activation, depth), *derivation(activation))
    return Recommendation(activation, depth, width, steps, ranking, source, backward, reach, help_with)


def _transformed(
    act: Activation, depth: int, layer: Block, method: str | None, target: float | None
) -> Activation:
    """The activation, or what a transform makes of it; RequestError where there is none."""
    if method is None:
        if target is not None:
            raise RequestError(
                f"target={checks.shown(target)}: it is a transform's: choose one, as in transform=tat"
            )
        return at_depth(act, depth)
    checks.option("transform", method, METHODS)
    if not layer.plain:
        raise RequestError(
            f"transform={method}: its constants are those of plain layers, not of block {layer.name}: "
            "leave out the one or the other"
        )
    return theory.transform(act, depth, method, target).activation
