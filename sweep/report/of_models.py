"""What the terminal shows of models of one's own: the layers of one cell, or what becomes of each init."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from sweep.base.process.command import show
from sweep.report.frames.labels import description
from sweep.report.frames.text import number

if TYPE_CHECKING:
    import pandas as pd

_MEASURED = ("rms", "flat", "sample_cosine", "neuron_corr", "delta_std", "grad_rms")
SHOWN = ("layer", *_MEASURED)
_MOST_ROWS = 60
_CAPTION = "flat: share of units that pass no gradient; delta, grad: std of dL/dh and rms of dL/dW"


def show_layers(cells: "pd.DataFrame", layers: "pd.DataFrame") -> None:
    """The chain of one cell and its verdict, on stdout. cells: its row; layers: SHOWN, module, kind."""
    (cell,) = cells.to_dict("records")
    table = Table()
    for name in ("layer", "module", "kind"):
        table.add_column(name, justify="right" if name == "layer" else "left", overflow="fold")
    for name in _MEASURED:
        table.add_column(name, justify="right", no_wrap=True)
    rows = layers.sort_values("layer").to_dict("records")
    for place, row in enumerate(rows):
        if len(rows) <= _MOST_ROWS or not _MOST_ROWS // 2 <= place < len(rows) - _MOST_ROWS // 2:
            table.add_row(str(row["layer"]), *map(escape, (row["module"], row["kind"])), *_numbers(row))
        elif place == _MOST_ROWS // 2:
            table.add_row(*["…"] * (3 + len(_MEASURED)))
    told = f"{_name(cell)}, {cell['model']}, seed {cell['seed']}"
    show(table, told, f"{_CAPTION}\n{_said(cell, layers)}", spare=("neuron_corr", "grad_rms", "flat"))


def show_inits(cells: "pd.DataFrame", layers: "pd.DataFrame") -> None:
    """What becomes of every init over its seeds, on stdout. cells: the rows; layers: as above."""
    table = Table()
    for name in ("model", "init", "verdict", "from layer"):
        table.add_column(name, overflow="fold")
    for name in ("rms at the end", "sample_cosine", "gradient at the input"):
        table.add_column(name, justify="right", no_wrap=True)
    keys = ["model", "init", "init_params"]
    for _, group in cells.groupby(keys, sort=False, dropna=False):
        ok = group[group["status"] == "ok"]
        words = Counter(group["verdict"])
        told = ", ".join(f"{word} {count}/{len(group)}" for word, count in words.most_common())
        first = ok[ok["verdict"] == words.most_common(1)[0][0]]
        where = _where(first.iloc[0].to_dict(), layers) if len(first) else ""
        sizes = (_middle(ok[name]) for name in ("rms", "sample_cosine", "delta_std_first"))
        row = group.iloc[0].to_dict()
        table.add_row(*map(escape, (row["model"], _name(row), told, where)), *sizes)
    show(table, "what becomes of the signal, by init", "medians over the seeds")


def _name(cell: Mapping[Any, Any]) -> str:
    return description(cell["init"], cell["init_params"])


def _said(cell: Mapping[Any, Any], layers: "pd.DataFrame") -> str:
    where = _where(cell, layers)
    return f"{cell['verdict']} from layer {where}" if where else str(cell["verdict"])


def _where(cell: Mapping[Any, Any], layers: "pd.DataFrame") -> str:
    """The layer from which on the verdict holds, and its module: '12 (blocks.7.fc2)'."""
    begins = cell["verdict_layer"]
    if begins is None or np.isnan(begins):
        return ""
    own = layers[(layers["cell_id"] == cell["cell_id"]) & (layers["layer"] == begins)]
    module = own["module"].iloc[0] if len(own) else ""
    return f"{begins:.0f}" + (f" ({module})" if module else "")


def _numbers(row: Mapping[Any, Any]) -> list[str]:
    return [number(row[name]) for name in _MEASURED]


def _middle(values: "pd.Series[float]") -> str:
    return number(float(values.median()), 3) if values.notna().any() else "·"
