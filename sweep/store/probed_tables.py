"""The cell of a model of one's own as rows of `cells` and `layers`."""

from typing import Any

import numpy as np
import pyarrow as pa

from sweep.experiment.outcomes import verdict
from sweep.experiment.outcomes.probed import Probed
from sweep.kernel import KERNEL_VERSION
from sweep.kernel.statistics.table import PREDICTED, STATISTICS
from sweep.store.tables import CELLS, FIRST_PREDICTED, LAYERS


def tables(result: Probed, run_id: str) -> tuple[pa.Table, pa.Table]:
    """A cell's result as rows; a failed cell has no layers. Columns that it has no value of are null."""
    return _cells(result, run_id), _layers(result)


def _cells(result: Probed, run_id: str) -> pa.Table:
    cell, failure, layers = result.cell, result.failure, result.layers
    row: dict[str, Any] = cell.row | {
        "cell_id": cell.id,
        "seed": cell.seed,
        "depth": result.depth,
        "seconds": result.seconds,
        "kernel_version": KERNEL_VERSION,
        "run_id": run_id,
    }
    if layers is None:
        assert failure is not None
        failed = {"status": "failed", "verdict": verdict.ORDER[0], "verdicts": [verdict.ORDER[0]]}
        why = {"error": str(failure), "error_type": failure.type, "traceback": failure.traceback or None}
        return _table([row | failed | why], CELLS)
    for name in STATISTICS:
        row[name] = layers.statistics[name][-1]
    for name in PREDICTED:
        row[f"theory_{name}"] = layers.theory[name][-1]
    for name, (column, at) in FIRST_PREDICTED.items():
        row[name] = layers.theory[column.removeprefix("theory_")][at]
    infinite = np.flatnonzero(~np.isfinite(layers.statistics["rms"]))
    row |= {
        "status": "ok",
        "delta_std_first": layers.statistics["delta_std"][0],
        "grad_std_first": layers.statistics["grad_std"][1],
        "first_nonfinite_layer": int(infinite[0]) if len(infinite) else None,
        "verdict": result.verdicts[0],
        "verdicts": list(result.verdicts),
        "verdict_layer": result.begins,
    }
    return _table([row], CELLS)


def _layers(result: Probed) -> pa.Table:
    cell, layers = result.cell, result.layers
    if layers is None:
        return LAYERS.empty_table()
    keys = cell.row | {"cell_id": cell.id, "seed": cell.seed, "depth": result.depth}
    of = dict(layers.statistics) | {f"theory_{name}": values for name, values in layers.theory.items()}
    rows = [
        keys
        | {name: float(values[layer]) for name, values in of.items()}
        | {"layer": layer, "module": module, "kind": kind}
        for layer, (module, kind) in enumerate(zip(layers.modules, layers.kinds, strict=True))
    ]
    return _table(rows, LAYERS)


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """These rows; null where there is no value, or it is NaN."""
    arrays = [
        pa.array([row.get(field.name) for row in rows], field.type, from_pandas=True) for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
