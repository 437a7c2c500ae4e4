"""What a block does to a network: signal, cosine of inputs and gradient, layer by layer; a row per block."""

import pandas as pd
from matplotlib.figure import Figure

from sweep import activations
from sweep.base.blocks import AFTER, BLOCKS, Block
from sweep.report.figures import style
from sweep.report.figures.curves import draw, is_predicted, set_limits, spread_names
from sweep.report.frames.labels import common, greatest, listed
from sweep.report.frames.measures import measure
from sweep.report.frames.seeds import by_layer
from sweep.report.frames.text import counted

SHOWN = {  # statistic -> what its column is about
    "rms": "forward: rms of h",
    "sample_cosine": "cosine of two inputs",
    "delta_rms": "gradient: rms of dL/dh",
}
APART = ("block",)
# What such networks show against what is told of them.
AGAINST_THE_TALE = (
    "norm after the sum × relu or its like, no biases: the gradient's ratio is 1 at every depth (width ≥ "
    "20 × depth), whatever is told: a block changes its mean square by (s² + a² σ_v² σ_w² E[act'²]) / (s² + "
    "a² σ_v² E[act²]), and both sums are one; what is hard in post-norm networks comes with the first steps"
)
_MOST_ROWS = 8
_MOST_LINES = len(style.LINES)


def vary(cells: pd.DataFrame) -> bool:
    """Whether there are blocks to compare."""
    return len(cells[["block", "block_params"]].drop_duplicates()) > 1


def against_the_tale(cells: pd.DataFrame) -> bool:
    """Whether there are networks with a norm after the sum that hand gradients on as they are."""
    after = [
        name for name, made in BLOCKS.items() if (made if isinstance(made, Block) else made()).place == AFTER
    ]
    rows = cells[
        cells["block"].isin(after) & (cells["bias_std"] == 0) & cells["act"].isin(activations.names())
    ]
    acts = rows[["act", "act_params"]].drop_duplicates()
    return any(activations.stored(*act).homogeneous for act in acts.itertuples(index=False))


def figures(cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """A row of panels per block, networks at their greatest depth and width; nothing where there is one."""
    if not vary(cells):
        return {}
    statistics = [measure(name) for name in SHOWN]
    curves = by_layer(cells, layers, statistics, apart=APART)
    curves = curves.assign(line=curves["line"] + " × " + curves["act_label"])
    rows, lines = spread_names(curves["block"], _MOST_ROWS), spread_names(curves["line"], _MOST_LINES)
    drawn = curves[curves["block"].isin(rows) & curves["line"].isin(lines)]
    figure, top, body = style.with_legend(9.2, 1.5 * len(rows) + 1.1, lines)
    axes = body.subplots(len(rows), len(SHOWN), squeeze=False, sharex=True)
    left = False
    for r, block in enumerate(rows):
        for c, statistic in enumerate(statistics):
            ax, panel = axes[r, c], drawn[drawn["block"] == block]
            draw(ax, panel, statistic, lines)
            set_limits(ax, drawn, statistic)
            left |= style.mark_exits(ax)
            ax.set_ylabel(block if c == 0 else "")
            if r == 0:
                ax.set_title(SHOWN[statistic.name], fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("block")
    style.legend(top, axes.flat)
    style.headline(figure, "What a block keeps")
    note = f"line: mean over {counted(curves['seeds'])} (geometric but for the cosine), band: all seeds"
    note += "; thin black: theory" if any(is_predicted(drawn, name) for name in SHOWN) else ""
    note += f"; {style.EXITS}" if left else ""
    for missing, what in (
        (curves["block"].nunique() - len(rows), "block"),
        (curves["line"].nunique() - len(lines), "line"),
    ):
        note += f"; {missing} more {what}{'s' * (missing > 1)} left out" if missing else ""
    tale = [AGAINST_THE_TALE] if against_the_tale(cells) else []
    style.caption(figure, note, *tale, listed(greatest(curves), common(cells)))
    return {"blocks": figure}
