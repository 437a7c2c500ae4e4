"""Results as Arrow tables: the schema of `cells` and `layers`, which users' notebooks rely on."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweep.base.arrays import Array
from sweep.experiment import axes
from sweep.experiment.cell import Spec
from sweep.experiment.outcomes import verdict
from sweep.experiment.outcomes.outcome import Result
from sweep.experiment.outcomes.verdict import DEFAULT, Thresholds
from sweep.experiment.predictions.prediction import CONSEQUENCES
from sweep.kernel import KERNEL_VERSION
from sweep.kernel.statistics.table import PREDICTED, STATISTICS
from sweep.kernel.training.outcomes import LEARNED, OUTCOMES
from sweep.store.spec_rows import OF_ACT, SpecRows

# 2: theory, and what a failure was; 3: what reading needs of a user's own activation; 4: all words that hold,
# predictions of the first layers, where float32 ends, schemes of first and last layers; 5: blocks; 6: short
# trainings; 7: inputs, steps and Jacobians; 8: models of one's own. Statistics and axes say theirs: `since`.
_LATEST = 8
SCHEMA_VERSION = max(
    _LATEST, *(one.since for one in STATISTICS.values()), *(axis.since for axis in axes.ALL.values())
)

_text, _whole, _real = pa.string(), pa.int64(), pa.float64()
_SPEC_KEYS = {"init": _text, "act": _text, "depth": _whole, "width": _whole}
_KEYS = (("cell_id", _text), *_SPEC_KEYS.items(), ("seed", _whole))
_KINDS = {
    axes.WHOLE: _whole, axes.REAL: _real, axes.TEXT: _text, axes.FLAG: pa.bool_(),
    axes.WHOLES: pa.list_(_whole),
}  # fmt: skip
_SETTINGS = sorted(axes.SETTINGS, key=lambda axis: axis.column == axes.WHOLES)  # lists come last
_SPEC_COLUMNS = (*(axis.name for axis in _SETTINGS), "init_params", "act_params", *axes.BESIDE_COLUMNS)
OF_MODEL = (axes.MODEL, f"{axes.MODEL}_params")  # null of our own networks
_OF_CALL = ("module", "kind")  # of a layer of a model of one's own; null of our own networks
_STATISTICS = tuple((name, _real) for name in STATISTICS)
# Column of `cells` -> (what of `layers` it is, of which layer): entries of gradients have the mean 0.
FIRST_PREDICTED = {
    "theory_delta_std_first": ("theory_delta_rms", 0),
    "theory_grad_std_first": ("theory_grad_rms", 1),
}
_OF_WHOLE = ("jac_spread", *CONSEQUENCES)  # of the whole network: measured where asked for; theory
_THEORY = tuple((f"theory_{name}", _real) for name in PREDICTED)  # null where the theory does not apply

# Of a short training; null where there was none.
_OF_TRAINING = dict.fromkeys(("train_lr", *OUTCOMES), _real) | {"diverged_at": _whole, "learned": pa.bool_()}

CELLS = pa.schema(
    [
        *_KEYS,
        ("sigma_w", _real),  # sqrt(fan_in · Var W) at the last layer; null where Var W is not known
        *((axis.name, _KINDS[axis.column]) for axis in _SETTINGS),  # widths: null unless tapered
        ("init_params", _text),
        ("act_params", _text),
        # Of the activation: stored, so that reading a study never calls one. Null in older rows.
        ("flat_share", _real),  # P(abs(act'(z)) < FLAT_SLOPE), z ~ N(0, 1)
        ("histogram_low", _real),
        ("histogram_high", _real),
        *_STATISTICS,  # of the last layer
        *_THEORY,
        ("delta_std_first", _real),  # at layer 0
        ("grad_std_first", _real),  # at layer 1
        *((name, _real) for name in FIRST_PREDICTED),
        *((name, _real) for name in _OF_WHOLE),
        *((name, _text) for name in axes.END_COLUMNS),  # null where these layers have the init
        ("block", _text),
        ("block_params", _text),
        ("train", _text),
        ("train_params", _text),
        *_OF_TRAINING.items(),
        ("input", _text),
        ("input_params", _text),
        *((name, _text) for name in OF_MODEL),
        ("loss_scale", _real),  # of a format; null without
        ("first_nonfinite_layer", _whole),
        ("leaves_float32_layer", _whole),
        ("verdict", _text),
        ("verdicts", pa.list_(_text)),  # all words that hold, in their order; the first is the verdict
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
# Counts in equal bins from low to high, the end bins holding what lies beyond; null if not kept.
_HISTOGRAM = (("histogram", pa.list_(_whole)), ("histogram_low", _real), ("histogram_high", _real))
LAYERS = pa.schema(
    [*_KEYS, ("layer", _whole), *_STATISTICS, *_THEORY, *_HISTOGRAM, *((name, _text) for name in _OF_CALL)]
)
SCHEMAS = {"cells": CELLS, "layers": LAYERS}


def _theory_since(version: int) -> list[str]:
    """The columns of theory of the statistics that came with a version of the schema."""
    return [f"theory_{name}" for name in PREDICTED if STATISTICS[name].since == version]


# What each version of the schema added to the one before.
_ADDED = {
    3: {"cells": ["flat_share", "histogram_low", "histogram_high"]},
    4: {"cells": ["verdicts", *FIRST_PREDICTED, "leaves_float32_layer", *axes.END_COLUMNS]},
    5: {"cells": ["block", "block_params"]},
    6: {"cells": ["train", "train_params", *_OF_TRAINING]},
    7: {
        "cells": ["input", "input_params", *_OF_WHOLE, "loss_scale", *_theory_since(7)],
        "layers": _theory_since(7),
    },
    8: {"cells": list(OF_MODEL), "layers": list(_OF_CALL)},
}
for _version in range(3, SCHEMA_VERSION + 1):
    _new = [name for name, one in STATISTICS.items() if one.since == _version]
    _asked = [axis.name for axis in axes.LATER if axis.since == _version]
    _more, _of_layers = (_ADDED.get(_version, {}).get(table, []) for table in SCHEMAS)
    _ADDED[_version] = {"cells": [*_more, *_new, *_asked], "layers": [*_of_layers, *_new]}
_OLDEST = 2


@lru_cache
def schema_of(table: str, version: int) -> pa.Schema | None:
    """The columns of 'cells' or 'layers' at a version of the schema; None where that is unknown."""
    if not _OLDEST <= version <= SCHEMA_VERSION:
        return None
    later = {
        name for added in range(version + 1, SCHEMA_VERSION + 1) for name in _ADDED[added].get(table, ())
    }
    return pa.schema([field for field in SCHEMAS[table] if field.name not in later])


def before(field: pa.Field, rows: int) -> pa.Array:
    """A column for a table written before it existed: an axis at its default, else nulls."""
    axis = axes.ALL.get(field.name)
    usual = axes.BESIDE_COLUMNS.get(field.name) if axis is None else axis.default
    return pa.nulls(rows, field.type) if usual is None else pa.repeat(pa.scalar(usual, field.type), rows)


def tables(result: Result, run_id: str, thresholds: Thresholds = DEFAULT) -> tuple[pa.Table, pa.Table]:
    """A task's result as rows of `cells` and `layers`; a failed cell has no layers."""
    rows = SpecRows(result)
    keys = rows.keys(_SPEC_KEYS)
    return _cells(result, rows, keys, run_id, thresholds), _layers(result, rows, keys)


def _cells(
    result: Result, rows: SpecRows, keys: dict[str, pa.Array], run_id: str, thresholds: Thresholds
) -> pa.Table:
    count, ok, starts = len(result), rows.ok, rows.ends - rows.sizes
    common = {name: [getattr(spec, name) for spec in rows.specs] for name in _SPEC_COLUMNS}
    columns: dict[str, Any] = keys | {
        name: rows.of_spec(values, CELLS.field(name).type) for name, values in common.items()
    }
    columns |= {
        "sigma_w": _optional(np.array([_sigma_w(spec) for spec in rows.specs])[rows.spec]),
        "status": np.where(ok, "ok", "failed"),
        "seconds": result.seconds,
    }
    errors = [result.errors.get(index) for index in range(count)]
    columns["error"] = [error and str(error) for error in errors]
    columns["error_type"] = [error and error.type for error in errors]
    columns["traceback"] = [error and (error.traceback or None) for error in errors]

    def layer(name: str, rows_of_layer: Array) -> pa.Array:
        """One layer's value of every cell, null where it failed."""
        values = np.full(count, np.nan)
        values[ok] = result.statistics[name][rows_of_layer[ok]]
        return _optional(values)

    for name in STATISTICS:
        columns[name] = layer(name, rows.ends - 1)
    columns["delta_std_first"] = layer("delta_std", starts)
    columns["grad_std_first"] = layer("grad_std", starts + 1)
    last = (rows.starts + rows.depths)[rows.spec]
    for name, values in rows.theory.items():
        columns[f"theory_{name}"] = _optional(np.where(ok, values[last], np.nan))
    of_act = rows.of_act[rows.spec]
    columns |= {name: _optional(of_act[:, i]) for i, name in enumerate(OF_ACT)}
    for name, (column, layer_number) in FIRST_PREDICTED.items():
        predictions = rows.theory[column.removeprefix("theory_")]
        at = (rows.starts + layer_number)[rows.spec]
        columns[name] = _optional(np.where(ok, predictions[at], np.nan))
    for name, of_specs in rows.consequences.items():
        columns[name] = _optional(np.where(ok, of_specs[rows.spec], np.nan))
    columns["jac_spread"] = _optional(result.jac_spreads)
    words = np.full(count, verdict.FAILED)
    since, nonfinite = np.full((2, count), np.nan)
    for depth, cells in _alike(rows):
        indices = starts[cells][:, None] + np.arange(depth + 1)  # (cells, depth + 1)
        layers = {name: result.statistics[name][indices] for name in verdict.JUDGED}
        words[cells], since[cells] = verdict.codes(layers, of_act[cells[0], 0], thresholds)
        infinite = ~np.isfinite(layers["rms"])
        nonfinite[cells] = np.where(infinite.any(axis=1), infinite.argmax(axis=1), np.nan)
    columns |= said(words) | {"verdict_layer": _optional(since)}
    columns["first_nonfinite_layer"] = _optional(nonfinite)
    columns["leaves_float32_layer"] = _optional(result.leaves_float32)
    columns["loss_scale"] = _optional(result.loss_scales)
    columns |= _training(result)
    constant = {"verdict_thresholds": thresholds.text, "kernel_version": KERNEL_VERSION, "run_id": run_id}
    columns |= {name: pa.repeat(pa.scalar(value, _text), count) for name, value in constant.items()}
    return _table(columns, CELLS)


def _training(result: Result) -> dict[str, pa.Array]:
    """What became of the trainings of a result's cells; null where there was none."""
    nothing = np.full(len(result), np.nan)
    columns = {name: _optional(result.training.get(name, nothing)) for name in _OF_TRAINING}
    accuracy = result.training.get("test_accuracy", nothing)
    columns["learned"] = pa.array(accuracy >= LEARNED, pa.bool_(), mask=np.isnan(accuracy))
    return columns


def said(codes: NDArray[np.int64]) -> dict[str, pa.Array]:
    """The columns `verdict` and `verdicts` of cells by their words, as `verdict.codes` has them."""
    distinct, each = np.unique(codes, return_inverse=True)
    words = [verdict.words_of(code) for code in distinct.tolist()]
    columns = {"verdict": pa.array([first for first, *_ in words], _text)}
    columns["verdicts"] = pa.array([list(all_of_it) for all_of_it in words], pa.list_(_text))
    return {name: values.take(pa.array(each)) for name, values in columns.items()}


def _layers(result: Result, rows: SpecRows, keys: dict[str, pa.Array]) -> pa.Table:
    owner = np.repeat(np.arange(len(rows.sizes)), rows.sizes)
    columns: dict[str, Any] = {name: values.take(pa.array(owner)) for name, values in keys.items()}
    columns["layer"] = layer = np.arange(len(owner)) - np.repeat(rows.ends - rows.sizes, rows.sizes)
    for name, values in result.statistics.items():
        columns[name] = _optional(values)
    for name, values in rows.theory.items():
        columns[f"theory_{name}"] = _optional(values[rows.starts[rows.spec[owner]] + layer])
    columns |= {name: pa.nulls(len(owner), _text) for name in _OF_CALL}
    if result.histogram is None:
        columns |= {name: pa.nulls(len(owner), kind) for name, kind in _HISTOGRAM}
    else:
        bins = result.histogram.shape[1]
        offsets = pa.array(np.arange(len(owner) + 1) * bins, pa.int32())
        columns["histogram"] = pa.ListArray.from_arrays(offsets, pa.array(result.histogram.ravel()))
        of_act = rows.of_act[rows.spec[owner]]
        columns |= {"histogram_low": of_act[:, 1], "histogram_high": of_act[:, 2]}
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


def _alike(rows: SpecRows) -> Iterator[tuple[int, Array]]:
    """The computed cells of every depth and activation: that depth, and their indices."""
    groups: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    for number, spec in enumerate(rows.specs):
        groups[spec.depth, spec.act, spec.act_params].append(number)
    for (depth, _, _), numbers in groups.items():
        cells = np.flatnonzero(rows.ok & np.isin(rows.spec, numbers))
        if len(cells):
            yield depth, cells


def _sigma_w(spec: Spec) -> float:
    fan_in, fan_out = spec.profile[-2:]
    scheme = replace(spec.family, depth=spec.depth).scheme_of(spec.depth)
    return math.sqrt(fan_in) * scheme.weight_std(fan_in, fan_out) if scheme.known_std else math.nan
