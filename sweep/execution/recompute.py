"""Is a study whole, and do its cells come out again? Some are computed anew, and held against their rows."""

import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sweep.base import checks, memory
from sweep.base.command import visible
from sweep.base.errors import RequestError, SweepError
from sweep.base.registry import CUSTOM
from sweep.execution.nudged import nudged
from sweep.execution.plan import tasks
from sweep.execution.workers import local
from sweep.experiment.batches import Cells
from sweep.experiment.cell import Cell
from sweep.experiment.prediction import predicted
from sweep.experiment.thresholds import Thresholds
from sweep.experiment.verdict import JUDGED, flat_share_of, verdict
from sweep.kernel.statistics.table import BACKWARD, FORWARD, SHARE, SIGNED, SLOPE, STATISTICS
from sweep.report.frames.text import si
from sweep.store import excerpts, tables
from sweep.store.ages import spec_of
from sweep.store.index import Older, older
from sweep.store.parts import commits, integrity
from sweep.store.study import Study

# How far a stored statistic may be from what comes out, where the network does not multiply its rounding.
_TOLERANCE = {"float32": 1e-3, "float64": 1e-8}
_SIZES = tuple(name for name in FORWARD if STATISTICS[name].power)
_FLATNESS = tuple(name for name in FORWARD if STATISTICS[name].of == SLOPE)


def _like(name: str) -> tuple[str, ...]:
    """Those whose changes say how far this one may be off, if the network multiplies its rounding.

    It may be off by _TIMES what some roundings in the weights do to them, at any layer that the signal (the
    gradient) has crossed and at the next few, in the worst of some tries.
    """
    if name in BACKWARD:
        return BACKWARD
    if name in _SIZES:
        return _SIZES
    return (*_SIZES, *(_FLATNESS if name in _FLATNESS else (name,)))


_TRIES = 2
_TIMES = 10.0
_AHEAD = 2
_THEORY = 1e-6  # how far a prediction may be off: another machine's, or library's, last bits
Layers = list[dict[str, Any]]


@dataclass
class Found:
    """What became of the chosen cells: a line for each that differs, and for each that could not be computed.

    compared: how many came out at all. foreign: how many were left out, for they call functions that
    nobody named, which are `functions`.
    """

    compared: int = 0
    foreign: int = 0
    functions: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def verify(path: str, functions: set[str], count: int, seed: int) -> bool:
    """Read every part, set damaged ones aside, compute some cells again and say so; whether all is well.

    functions: the names of those of a user's own that may be called. count: of cells; seed: which.
    """
    study = Study(path)
    study.check_readable()
    names = commits.names(study.place)
    broken = integrity.damaged(study.place, names)
    for name, why in broken.items():
        print(f"damaged: {name} ({why})")
    if broken:
        study.set_aside(broken)
        print(f"set aside in {study.path}/quarantine; the command that made this study computes them again")
    old = older(study)
    found = recompute(study, old, functions, count, seed)
    for line in (*found.unchecked, *found.wrong):
        print(visible(line))
    same = f"{found.compared - len(found.wrong)} of {found.compared} cells come out again"
    print(f"{len(names) - len(broken):,} of {len(names):,} parts whole; {same}")
    odd = [name for name in sorted(names - set(broken)) if not study.scan.possible(name)]
    if odd:
        print(f"{len(odd)} of them hold rows that no run could have written, and are left out")
    if before := len(old.ids):
        rows = "1 row is" if before == 1 else f"{before:,} rows are"
        print(f"{rows} of an older revision and left out: the command that made them computes them anew")
    for line in commits.describe_strangers(study.place):
        print(line)
    if found.foreign:
        cells = "1 cell is" if found.foreign == 1 else f"{found.foreign:,} cells are"
        named = visible(", ".join(found.functions))
        print(f"{cells} of functions of your own and left out: --function names them ({named})")
    if found.unchecked:
        print(f"{len(found.unchecked)} of the cells could not be computed again")
    return not (broken or odd or found.wrong or found.unchecked)


def recompute(study: Study, old: Older, functions: set[str], count: int, seed: int) -> Found:
    """Compute some stored cells again.

    old: what is left out. functions: the names of those that may be called.
    """
    sample = excerpts.sample(study, old, functions, count, seed)
    named = sample.functions
    if strange := functions - named:
        listed = f"they call {', '.join(sorted(named))}" if named else "they call none"
        raise RequestError(f"--function {sorted(strange)[0]}: no cell of this study calls it; {listed}")
    found = Found(foreign=sample.foreign, functions=sorted(named - functions))
    again: dict[str, tuple[Cell, dict[str, Any]]] = {}
    for row in sample.rows:
        try:
            one = _cell(row)
            _ = one.scheme, one.activation
        except SweepError as error:  # another program's, or a user's function that was edited since
            found.unchecked.append(f"cell {row['cell_id']}: {error}")
            continue
        if (needs := _bytes(one)) > memory.available():
            found.unchecked.append(f"cell {row['cell_id']}: it needs {si(needs)}B of memory at once")
            continue
        found.compared += 1
        if one.id == row["cell_id"]:
            again[one.id] = one, row
        else:
            found.wrong.append(f"cell {row['cell_id']}: its row is not what its id stands for")
    stored = _by_cell(excerpts.layers_of(study, again))
    anew, errors = _compute(Cells.of(one for one, _ in again.values()))
    tries = [_compute(nudged([one for one, _ in again.values()], turn))[0] for turn in range(_TRIES)]
    for one, row in again.values():
        own = stored.get(one.id, [])
        differs = errors.get(one.id) or _difference(
            one, own, anew[one.id], [shaken[one.id] for shaken in tries]
        )
        if differs := differs or _contradiction(one, row, own):
            found.wrong.append(f"cell {one.id} ({one.init} × {one.act}, depth {one.depth}): {differs}")
    return found


def _bytes(one: Cell) -> int:
    """What computing a cell takes at once."""
    return max(stack.bytes for task in tasks.pack(Cells.of([one]), 1) for stack in task.stacks)


def _compute(cells: Cells) -> tuple[dict[str, Layers], dict[str, str]]:
    """Compute these cells: their layers by id, and what went wrong with the others."""
    found: dict[str, Layers] = {}
    errors: dict[str, str] = {}
    for result in local.run(tasks.pack(cells, 1), 1, histogram=False):
        found |= _by_cell(tables.tables(result, "")[1].to_pylist())
        errors |= {one.id: str(result.errors[i]) for i, one in enumerate(result.cells) if i in result.errors}
    return found, errors


def _cell(row: Mapping[str, Any]) -> Cell:
    return spec_of(row).cell(row["seed"])


def _by_cell(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: -1 if row["layer"] is None else int(row["layer"])):
        found.setdefault(row["cell_id"], []).append(row)
    return found


def _difference(cell: Cell, stored: Layers, found: Layers, tries: Sequence[Layers]) -> str:
    """The first statistic that differs by more than rounding, in words; '' if none does.

    tries: the layers of the same cell with a few roundings in its weights.
    """
    if [row["layer"] for row in stored] != [row["layer"] for row in found]:
        return f"{len(stored)} layers are stored, and there are {len(found)}"
    allowed = {name: _allowed(_like(name), found, tries, cell.dtype) for name in STATISTICS}
    for layer, (before, now) in enumerate(zip(stored, found, strict=True)):
        for name in STATISTICS:
            old, new = before[name], now[name]
            wild = any(_apart(name, new, shaken[layer][name], now["rms"]) == math.inf for shaken in tries)
            if _apart(name, old, new, now["rms"]) > allowed[name][layer] and not wild:
                return f"{name} of layer {now['layer']} is stored as {old}, comes out as {new}"
    return ""


def _contradiction(cell: Cell, row: Mapping[str, Any], layers: Layers) -> str:
    """What a cell's row says otherwise than its layers and their theory, in words; '' if it says the same.

    Both are written from the same arrays, so they are the same to the last bit.
    """
    ends = {name: (row[name], layers[-1][name]) for name in STATISTICS}
    firsts = {"delta_std_first": layers[0]["delta_std"], "grad_std_first": layers[1]["grad_std"]}
    for name, (said, is_) in (ends | {name: (row[name], value) for name, value in firsts.items()}).items():
        if said != is_:
            return f"its row says {name} {said}, its layers {is_}"
    if cell.act != CUSTOM:  # that of a user's own was the worker's to know
        theory = predicted(cell.spec)
        for name, values in theory.items():
            scale = (
                theory["rms"]
                if name in ("mean", "std")
                else np.full_like(values, float(STATISTICS[name].scale == SHARE))
            )
            for layer, value, one in zip(layers, values, scale, strict=True):
                if not _is_close(layer[f"theory_{name}"], value, one):
                    return f"theory_{name} of layer {layer['layer']} is not the theory's"
            if row[f"theory_{name}"] != layers[-1][f"theory_{name}"]:
                return f"its row says theory_{name} {row[f'theory_{name}']}, its layers otherwise"
    elif row["histogram_low"] is None:  # of an older program, which did not store what judging needs
        return ""
    share = flat_share_of(cell.activation) if cell.act != CUSTOM else row["flat_share"]
    columns = {name: np.array([layer[name] for layer in layers], float) for name in JUDGED}
    try:
        thresholds = Thresholds.of(
            checks.json_object("verdict_thresholds", row["verdict_thresholds"] or "{}")
        )
    except RequestError as error:
        return f"its row says {error}"
    words = verdict(columns, math.nan if share is None else share, thresholds)
    said = row["verdict"], row["verdict_layer"]
    return "" if said == words else f"its row says {said[0]} from layer {said[1]}, its layers {words[0]}"


def _is_close(stored: float | None, value: float, scale: float) -> bool:
    """Up to last bits, of the value's own or of what it is a difference on; scale: 0 where of none."""
    if stored is None or math.isnan(value):
        return stored is None and math.isnan(value)
    last_bits = max(sys.float_info.min, _THEORY * scale if math.isfinite(scale) else 0.0)
    return math.isclose(stored, value, rel_tol=_THEORY, abs_tol=last_bits)


def _allowed(names: Sequence[str], found: Layers, tries: Sequence[Layers], dtype: str) -> list[float]:
    """How far statistics like these may be off, by layer."""
    moved = [0.0] * len(found)
    for shaken in tries:
        for layer, (now, then) in enumerate(zip(found, shaken, strict=True)):
            off = [_apart(name, now[name], then[name], now["rms"]) for name in names]
            moved[layer] = max(moved[layer], *filter(math.isfinite, off), 0.0)
    back = names is BACKWARD  # from the last layer to the first
    most = list(itertools.accumulate(moved[::-1] if back else moved, max))
    most = [most[min(layer + _AHEAD, len(most) - 1)] for layer in range(len(most))]
    return [_TOLERANCE[dtype] + _TIMES * one for one in (most[::-1] if back else most)]


def _apart(name: str, old: float | None, new: float | None, rms: float | None) -> float:
    """How far two values of a statistic are from each other, by its own measure; inf where beyond any."""
    if old is None or new is None or old == new:
        return 0.0 if old == new else math.inf
    if (scale := STATISTICS[name].scale) in (SIGNED, SHARE):  # near 0, or of 1: on the scale of rms, of 1
        off = abs(old - new) / (1.0 if scale == SHARE else rms or math.inf)
        return off if math.isfinite(off) else math.inf
    if not (0 < old < math.inf and 0 < new < math.inf):
        return math.inf
    return abs(math.log(old / new))
