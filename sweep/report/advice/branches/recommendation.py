"""`sweep.recommend(…, block=…)`: theory's candidates for a block, those that decide tried, in order."""

from collections.abc import Callable
from pathlib import Path

from sweep.activations import Activation
from sweep.base.blocks import Block, check_batch, check_widths
from sweep.report.advice.branches.candidates import branches
from sweep.report.advice.branches.derivation import derivation
from sweep.report.advice.branches.stored import stored
from sweep.report.advice.branches.table import BlockRecommendation
from sweep.report.advice.branches.trial import ranked, tried
from sweep.report.advice.outlook import BATCH
from sweep.report.advice.trial import SEEDS, Advance


def recommend_block(
    act: Activation,
    block: Block,
    depth: int,
    width: int,
    study: str | Path | None,
    progress: Callable[[int], Advance] | None,
) -> BlockRecommendation:
    """Ranked weights and scales for networks of this block; RequestError where it cannot be so wide."""
    check_widths(block.at(depth), (width,) * (depth + 1))
    if study is None:
        check_batch(block, BATCH)
        found = tried(act, branches(act, block, depth), depth, width, progress)
        source = f"tried: median of {SEEDS} seeds, batch {BATCH}"
    else:
        found, source = stored(study, act, block, depth, width)
    lines = tuple(derivation(act, block, depth))
    return BlockRecommendation(act, depth, width, block, lines, tuple(ranked(found)), source)
