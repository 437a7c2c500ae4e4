"""Results as Arrow tables: the one schema of `cells` and `layers`, which users' notebooks rely on."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweep import verdict
from sweep.activations import flat_share
from sweep.cell import Cell
from sweep.compute import STATISTICS, Result
from sweep.errors import Failure, UserCodeError
from sweep.kernel import KERNEL_VERSION

Array = NDArray[Any]

SCHEMA_VERSION = 2

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
        ("delta_std_first", _real),  # at layer 0
        ("grad_std_first", _real),  # at layer 1
        ("first_nonfinite_layer", _whole),
        ("verdict", _text),
        ("verdict_layer", _whole),
        ("status", _text),
        ("error", _text),  # its type and message
        ("error_type", _text),
        ("traceback", _text),  # its tail
        ("seconds", _real),
        ("kernel_version", _text),
        ("run_id", _text),
    ]
)
LAYERS = pa.schema([*_KEYS, ("layer", _whole), *_STATISTICS, ("histogram", pa.list_(_whole))])


def tables(result: Result, run_id: str) -> tuple[pa.Table, pa.Table]:
    """A task's result as rows of `cells` and `layers`; a failed cell has no layers."""
    sizes = np.array(
        [0 if error else cell.depth + 1 for cell, error in zip(result.cells, result.errors, strict=True)]
    )
    starts = np.concatenate([[0], np.cumsum(sizes)])
    spans = [slice(a, b) for a, b in pairwise(starts.tolist())]
    return _cells(result, spans, run_id), _layers(result, sizes)


def _cells(result: Result, spans: list[slice], run_id: str) -> pa.Table:
    rows = [
        _spec(cell) | {"seconds": seconds} | _outcome(cell, error, result, span)
        for cell, error, seconds, span in zip(
            result.cells, result.errors, result.seconds.tolist(), spans, strict=True
        )
    ]
    constant = {"kernel_version": KERNEL_VERSION, "run_id": run_id}
    columns = [
        pa.array([constant[f.name] if f.name in constant else row.get(f.name) for row in rows], f.type)
        for f in CELLS
    ]
    return pa.Table.from_arrays(columns, schema=CELLS)


def _spec(cell: Cell) -> dict[str, Any]:
    fan_in, fan_out = cell.profile[-2:]
    known = cell.scheme.known_std
    return {
        "cell_id": cell.id,
        "init": cell.init,
        "act": cell.act,
        "depth": cell.depth,
        "width": cell.width,
        "seed": cell.seed,
        "sigma_w": math.sqrt(fan_in) * cell.scheme.weight_std(fan_in, fan_out) if known else None,
        "bias_std": cell.bias_std,
        "batch": cell.batch,
        "dtype": cell.dtype,
        "backward": cell.backward,
        "widths": cell.widths,
        "init_params": cell.init_params,
        "act_params": cell.act_params,
    }


def _outcome(cell: Cell, error: Failure | None, result: Result, span: slice) -> dict[str, Any]:
    if error:
        return {
            "status": "failed",
            "verdict": "failed",
            "error": str(error),
            "error_type": error.type,
            "traceback": error.traceback or None,
        }
    layers = {name: values[span] for name, values in result.statistics.items()}
    word, since = verdict.verdict(layers, _flat_share(cell))
    nonfinite = np.flatnonzero(~np.isfinite(layers["rms"]))
    last = {name: _null_if_nan(values[-1]) for name, values in layers.items()}
    return last | {
        "delta_std_first": _null_if_nan(layers["delta_std"][0]),
        "grad_std_first": _null_if_nan(layers["grad_std"][1]),
        "first_nonfinite_layer": int(nonfinite[0]) if len(nonfinite) else None,
        "verdict": word,
        "verdict_layer": since,
        "status": "ok",
    }


def _flat_share(cell: Cell) -> float:
    """The activation's share of flat units at unit variance; NaN, which nothing exceeds, if it has none."""
    try:
        with np.errstate(all="ignore"):
            return flat_share(cell.activation)
    except UserCodeError:  # a user's function that is not defined everywhere
        return math.nan


def _layers(result: Result, sizes: Array) -> pa.Table:
    owner = np.repeat(np.arange(len(sizes)), sizes)
    cells = result.cells
    ids = {
        "cell_id": pa.array([cell.id for cell in cells]),
        "init": pa.array([cell.init for cell in cells]),
        "act": pa.array([cell.act for cell in cells]),
        "depth": pa.array([cell.depth for cell in cells]),
        "width": pa.array([cell.width for cell in cells]),
        "seed": pa.array([cell.seed for cell in cells]),
    }
    columns = {name: values.take(pa.array(owner)) for name, values in ids.items()}
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    columns["layer"] = pa.array(np.arange(len(owner)) - first)
    for name, values in result.statistics.items():
        columns[name] = pa.array(values, from_pandas=True)  # NaN: not defined, null
    if result.histogram is None:
        columns["histogram"] = pa.nulls(len(owner), pa.list_(_whole))
    else:
        bins = result.histogram.shape[1]
        offsets = pa.array(np.arange(len(owner) + 1) * bins, pa.int32())
        columns["histogram"] = pa.ListArray.from_arrays(offsets, pa.array(result.histogram.ravel()))
    return pa.Table.from_arrays([columns[f.name] for f in LAYERS], schema=LAYERS)


def _null_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
