"""Results as Arrow tables: the one schema of `cells` and `layers`, which users' notebooks rely on."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweep import verdict
from sweep.activations import histogram_range
from sweep.cell import Cell
from sweep.compute import STATISTICS, Result
from sweep.kernel import KERNEL_VERSION
from sweep.predicted import PREDICTED, predicted
from sweep.verdict import Thresholds, flat_share_of

Array = NDArray[Any]

SCHEMA_VERSION = 2  # 2: theory, and what a failure was

_text, _whole, _real = pa.string(), pa.int64(), pa.float64()
_KEYS = (
    ("cell_id", _text),
    ("init", _text),
    ("act", _text),
    ("depth", _whole),
    ("width", _whole),
    ("seed", _whole),
)
_STATISTICS = tuple((name, _real) for name in STATISTICS)
_THEORY = tuple((f"theory_{name}", _real) for name in PREDICTED)  # null where the theory does not apply

CELLS = pa.schema(
    [
        *_KEYS,
        ("sigma_w", _real),  # sqrt(fan_in · Var W) at the last layer; null where Var W is not known
        ("bias_std", _real),
        ("batch", _whole),
        ("dtype", _text),
        ("backward", pa.bool_()),
        ("widths", pa.list_(_whole)),  # null unless tapered
        ("init_params", _text),
        ("act_params", _text),
        *_STATISTICS,  # of the last layer
        *_THEORY,
        ("delta_std_first", _real),  # at layer 0
        ("grad_std_first", _real),  # at layer 1
        ("first_nonfinite_layer", _whole),
        ("verdict", _text),
        ("verdict_layer", _whole),
        ("verdict_thresholds", _text),  # those that differ from the defaults, as JSON; else null
        ("status", _text),
        ("error", _text),  # its type and message
        ("error_type", _text),
        ("traceback", _text),  # its tail
        ("seconds", _real),
        ("kernel_version", _text),
        ("run_id", _text),
    ]
)
# Counts in equal bins from low to high, the end bins holding what lies outside; null if not kept.
_HISTOGRAM = (("histogram", pa.list_(_whole)), ("histogram_low", _real), ("histogram_high", _real))
LAYERS = pa.schema([*_KEYS, ("layer", _whole), *_STATISTICS, *_THEORY, *_HISTOGRAM])


def tables(
    result: Result, run_id: str, thresholds: Thresholds = verdict.DEFAULT
) -> tuple[pa.Table, pa.Table]:
    """A task's result as rows of `cells` and `layers`; a failed cell has no layers."""
    failed = np.array([error is not None for error in result.errors])
    sizes = np.where(failed, 0, [cell.depth + 1 for cell in result.cells])
    keys, specs = _keys(result.cells), _Specs(result.cells)
    return _cells(result, keys, specs, sizes, run_id, thresholds), _layers(result, keys, specs, sizes)


class _Specs:
    """What cells that differ by their seed alone have in common, found once for all of them.

    of_cell: (cells,), which spec each is of. examples: a cell of each. theory: name -> the
    predictions of one spec after another, by layer; starts: where each begins.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        numbers: dict[Any, int] = {}
        self.examples: list[Cell] = []
        of_cell = []
        for cell in cells:
            key = (
                cell.init, cell.init_params, cell.act, cell.act_params, cell.depth, cell.width, cell.widths,
                cell.bias_std, cell.batch,
            )  # fmt: skip
            if key not in numbers:
                numbers[key] = len(numbers)
                self.examples.append(cell)
            of_cell.append(numbers[key])
        self.of_cell = np.array(of_cell)
        self.depths = np.array([cell.depth for cell in self.examples])
        self.starts = np.cumsum(self.depths + 1) - (self.depths + 1)
        found = [predicted(cell) for cell in self.examples]
        self.theory = {name: np.concatenate([one[name] for one in found]) for name in PREDICTED}


def _keys(cells: Sequence[Cell]) -> dict[str, pa.Array]:
    return {
        "cell_id": pa.array([cell.id for cell in cells]),
        "init": pa.array([cell.init for cell in cells]),
        "act": pa.array([cell.act for cell in cells]),
        "depth": pa.array([cell.depth for cell in cells]),
        "width": pa.array([cell.width for cell in cells]),
        "seed": pa.array([cell.seed for cell in cells]),
    }


def _cells(
    result: Result,
    keys: dict[str, pa.Array],
    specs: _Specs,
    sizes: Array,
    run_id: str,
    thresholds: Thresholds,
) -> pa.Table:
    cells, ends = result.cells, np.cumsum(sizes)
    starts, ok = ends - sizes, sizes > 0
    columns: dict[str, Any] = keys | {
        "sigma_w": _optional(np.array([_sigma_w(cell) for cell in specs.examples])[specs.of_cell]),
        "bias_std": [cell.bias_std for cell in cells],
        "batch": [cell.batch for cell in cells],
        "dtype": [cell.dtype for cell in cells],
        "backward": [cell.backward for cell in cells],
        "widths": [cell.widths for cell in cells],
        "init_params": [cell.init_params for cell in cells],
        "act_params": [cell.act_params for cell in cells],
        "status": np.where(ok, "ok", "failed"),
        "error": [None if error is None else str(error) for error in result.errors],
        "error_type": [None if error is None else error.type for error in result.errors],
        "traceback": [None if error is None else error.traceback or None for error in result.errors],
        "seconds": result.seconds,
    }

    def layer(name: str, places: Array) -> pa.Array:
        """One layer's value of every cell, null where it failed."""
        values = np.full(len(cells), np.nan)
        values[ok] = result.statistics[name][places[ok]]
        return _optional(values)

    for name in STATISTICS:
        columns[name] = layer(name, ends - 1)
    columns["delta_std_first"] = layer("delta_std", starts)
    columns["grad_std_first"] = layer("grad_std", starts + 1)
    last = (specs.starts + specs.depths)[specs.of_cell]
    for name, values in specs.theory.items():
        columns[f"theory_{name}"] = _optional(np.where(ok, values[last], np.nan))
    words = np.full(len(cells), "failed", object)
    since, nonfinite = np.full((2, len(cells)), np.nan)
    for places in _alike(cells, ok):
        rows = starts[places][:, None] + np.arange(sizes[places[0]])  # (cells, depth + 1)
        layers = {name: result.statistics[name][rows] for name in verdict.JUDGED}
        share = flat_share_of(cells[places[0]].activation)
        words[places], since[places] = verdict.verdicts(layers, share, thresholds)
        infinite = ~np.isfinite(layers["rms"])
        nonfinite[places] = np.where(infinite.any(axis=1), infinite.argmax(axis=1), np.nan)
    columns |= {"verdict": words, "verdict_layer": _optional(since)}
    columns["first_nonfinite_layer"] = _optional(nonfinite)
    constant = {
        "verdict_thresholds": thresholds.text,
        "kernel_version": KERNEL_VERSION,
        "run_id": run_id,
    }
    columns |= {name: pa.repeat(pa.scalar(value, _text), len(cells)) for name, value in constant.items()}
    return _table(columns, CELLS)


def _layers(result: Result, keys: dict[str, pa.Array], specs: _Specs, sizes: Array) -> pa.Table:
    owner = np.repeat(np.arange(len(sizes)), sizes)
    columns: dict[str, Any] = {name: values.take(pa.array(owner)) for name, values in keys.items()}
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    columns["layer"] = layer = np.arange(len(owner)) - first
    for name, values in result.statistics.items():
        columns[name] = _optional(values)
    for name, values in specs.theory.items():
        columns[f"theory_{name}"] = _optional(values[specs.starts[specs.of_cell[owner]] + layer])
    if result.histogram is None:
        columns |= {name: pa.nulls(len(owner), kind) for name, kind in _HISTOGRAM}
    else:
        bins = result.histogram.shape[1]
        offsets = pa.array(np.arange(len(owner) + 1) * bins, pa.int32())
        columns["histogram"] = pa.ListArray.from_arrays(offsets, pa.array(result.histogram.ravel()))
        ranges = np.array([histogram_range(cell.activation) for cell in result.cells])[owner]
        columns |= {"histogram_low": ranges[:, 0], "histogram_high": ranges[:, 1]}
    return _table(columns, LAYERS)


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    arrays = [
        values.cast(field.type) if isinstance(values, pa.Array) else pa.array(values, field.type)
        for field, values in ((field, columns[field.name]) for field in schema)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _optional(values: Sequence[float] | Array) -> pa.Array:
    """Numbers, null where they are NaN: not defined."""
    return pa.array(np.asarray(values, np.float64), from_pandas=True)


def _alike(cells: Sequence[Cell], ok: Array) -> list[Array]:
    """The places of the computed cells, by depth and activation."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for place in np.flatnonzero(ok).tolist():
        cell = cells[place]
        groups[cell.depth, cell.act, cell.act_params].append(place)
    return [np.array(places) for places in groups.values()]


def _sigma_w(cell: Cell) -> float:
    fan_in, fan_out = cell.profile[-2:]
    scheme = cell.scheme
    return math.sqrt(fan_in) * scheme.weight_std(fan_in, fan_out) if scheme.known_std else math.nan
