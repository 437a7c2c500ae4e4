"""What the terminal shows: progress, the layer table of a cell, the table of a grid."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.markup import escape
from rich.table import Table

from sweep.base.process.command import show
from sweep.experiment.cell import SPEC, Cell
from sweep.kernel.statistics.table import COPIED
from sweep.report.frames.fates import Fate, answers, counts
from sweep.report.frames.labels import add_labels, description, with_ends
from sweep.report.frames.measures import MEASURES
from sweep.report.frames.networks import measured_once
from sweep.report.frames.seeds import DepthTable, average_over_seeds, by_depth
from sweep.report.frames.text import number, profile

if TYPE_CHECKING:
    import pandas as pd

_MOST_DEPTHS = 6
_MOST_NAMED = 4  # survivors by name


def show_layers(cell: Cell, layers: "pd.DataFrame") -> None:
    """The layer table of one cell, on stdout."""
    widths = "widths " + " ".join(map(str, cell.widths)) if cell.widths else f"width {cell.width}"
    init = with_ends({name: getattr(cell, name) for name in SPEC})
    act = description(cell.act, cell.act_params)
    title = f"{init} × {act}, depth {cell.depth}, {widths}, seed {cell.seed}, batch {cell.batch}"
    title += f", format {cell.format}" if cell.format else ""
    columns, caption = ["mean", "std", "rms", "flat", "delta_std", "grad_std"], [_LAYER_CAPTION]
    if cell.format:
        layers = layers.assign(**{_STRAYED: 1 - layers["round_cosine"]})
        columns += [_STRAYED, *(name for name in COPIED if name != "round_cosine")]
        caption.append(_COPY_CAPTION.format(cell.format))
    table = Table()
    for name in ("layer", *columns):
        table.add_column(name, justify="right", no_wrap=True)
    for row in layers.sort_values("layer").to_dict("records"):
        table.add_row(str(row["layer"]), *(number(row[name]) for name in columns))
    own = ["delta_overflowed", "std"] if cell.format else []
    spare = ["mean", "grad_std", "flat", *own, "rms", "delta_std"]
    show(table, title, "\n".join([*_profiles(layers), *caption]), spare)


def _profiles(layers: "pd.DataFrame") -> Iterator[str]:
    """The signal forward and the gradient backward at a glance, from the input to the last layer."""
    layers = layers.sort_values("layer")
    for label, name, arrow in (("rms of h    ", "rms", "→"), ("rms of dL/dh", "delta_rms", "←")):
        values = layers[name].to_numpy(float)
        if not np.isnan(values).all():
            ends = f"{number(values[0], 3)} {arrow} {number(values[-1], 3)}"
            yield f"{label}  {profile(values.tolist(), _MOST_BLOCKS)}  {ends}"


_LAYER_CAPTION = "flat: share of units that pass no gradient; delta, grad: std of dL/dh and dL/dW"
_STRAYED = "1 - round_cosine"
_COPY_CAPTION = (
    "round_cosine: of h and its copy's in {}; zeroed, overflowed: shares of the copy's h, and of dL/dz, that "
    "become 0, and that it cannot hold"
)
_MOST_BLOCKS = 40  # of a profile: a deeper network's is thinned


# What a narrow terminal is shown: (most depths, with spreads over the seeds). The names stay.
_NARROWER = ((_MOST_DEPTHS, False), (3, False), (2, False), (1, False))


def show_grid(cells: "pd.DataFrame") -> None:
    """Final std by init × act and depth, at the greatest width, on stdout."""
    exact, cells = measured_once(cells, copies=False), measured_once(cells)
    summary = by_depth(exact, _MOST_DEPTHS)
    others = (by_depth(exact, depths, spreads) for depths, spreads in _NARROWER)
    narrower = ((_grid_table(other), other.title) for other in others)
    show(_grid_table(summary), summary.title, summary.caption, narrower=narrower)
    _show_answer(cells)


def _show_answer(cells: "pd.DataFrame") -> None:
    """Who survives and who dies first, by act; then what becomes of all networks."""
    rows = average_over_seeds(add_labels(cells), [MEASURES["verdict_layer"]])
    table = Table()
    for name in ("act", "survives", "dies first"):
        table.add_column(name, overflow="fold")
    for answer in answers(rows):
        lost = sorted(answer.casualties + answer.limited, key=lambda fate: (fate.depth or 0, fate.since or 0))
        table.add_row(
            escape(answer.act),
            escape(_survivors([*answer.survivors, *answer.limited])),
            escape(_death(lost[0])) if lost else "",
        )
    show(table, "What survives, by activation", counts(rows))


def _survivors(fates: Sequence[Fate]) -> str:
    named = [f"{fate.init} to depth {fate.depth}" for fate in fates[:_MOST_NAMED]]
    more = len(fates) - len(named)
    return ", ".join(named) + (f", and {more:,} more" if more else "")


def _death(fate: Fate) -> str:
    return f"{fate.init}: {fate.death}"


def _grid_table(summary: DepthTable) -> Table:
    table = Table()
    for name in summary.keys:
        table.add_column(name, no_wrap=True)
    for depth in summary.depths:
        table.add_column(f"depth {depth}", justify="right", no_wrap=True)
    for key, values in summary.rows:
        table.add_row(*map(escape, key), *values)
    return table
