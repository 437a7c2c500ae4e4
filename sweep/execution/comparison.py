"""A stored cell against the same cell computed again: the first thing in its rows that is not so.

Statistics may be off by rounding, and by what the network makes of rounding (`kernel/rounding.py`); what
is exact is compared exactly. A row of an older program may lack what later ones store.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.base import checks
from sweep.base.arrays import Array
from sweep.base.errors import RequestError
from sweep.experiment.cell import Cell
from sweep.experiment.outcomes.verdict import JUDGED, Thresholds, codes, verdict, words_of
from sweep.experiment.predictions.prediction import CONSEQUENCES
from sweep.kernel.statistics import float32
from sweep.kernel.statistics.table import (
    BACKWARD,
    FORWARD,
    PREDICTED,
    SHARE,
    SIGNED,
    SLOPE,
    STATISTICS,
)
from sweep.kernel.training.outcomes import LEARNED, OUTCOMES
from sweep.store.tables import FIRST_PREDICTED

# How far a stored statistic may be from what comes out, where the network does not multiply its rounding.
_TOLERANCE = {"float32": 1e-3, "float64": 1e-8}
# The same of a loss, and of an accuracy, after some hundred steps.
_OF_TRAINING = {"float32": 2e-2, "float64": 1e-4}
_SIZES = tuple(name for name in FORWARD if STATISTICS[name].power)
_FLATNESS = tuple(name for name in FORWARD if STATISTICS[name].of == SLOPE)
_TIMES = 10.0
_AHEAD = 2
_LAST_BITS = 1e-6  # how far what follows from a formula may be off: another machine's, or library's
_FLAT_SHARE = 1e-4  # how far the share of flat units is summed
_FEW = 2  # entries that rounding may move from bin to bin in any histogram
_ALIKE = 0.99  # neurons, or samples, that are as alike as this move together

Row = Mapping[str, Any]
Layers = Sequence[Row]


@dataclass(frozen=True)
class Rows:
    """What is said of a cell: its row of `cells`, and its rows of `layers`, by layer."""

    cell: Row
    layers: Layers


def difference(one: Cell, stored: Rows, found: Rows, tries: Sequence[Rows]) -> str:
    """What the stored rows of a cell say otherwise than what came out, in words; '' if nothing.

    tries: the same cell with a few roundings in its weights.
    """
    shaken = [rows.layers for rows in tries]
    return (
        _of_statistics(one, stored.layers, found.layers, shaken)
        or _of_keys(one, stored)
        or _of_ends(stored)
        or _of_range(one, stored, found, tries)
        or _of_facts(stored, found)
        or _of_training(one, stored.cell, found.cell, [rows.cell for rows in tries])
        or _of_theory(stored, found)
        or _of_jacobian(one, stored.cell, found.cell, [rows.cell for rows in tries])
        or _of_histograms(one, stored.layers, found, shaken)
        or _of_verdict(stored, found)
    )


def _of_statistics(one: Cell, stored: Layers, found: Layers, tries: Sequence[Layers]) -> str:
    """The first statistic that differs by more than rounding."""
    if [row["layer"] for row in stored] != [row["layer"] for row in found]:
        return f"{len(stored)} layers are stored, but there should be {len(found)}"
    allowed = {name: _allowed(_like(name), found, tries, one.dtype) for name in STATISTICS}
    for layer, (before, now) in enumerate(zip(stored, found, strict=True)):
        for name in STATISTICS:
            old, new = before[name], now[name]
            wild = any(_apart(name, new, shaken[layer][name], now["rms"]) == math.inf for shaken in tries)
            if _apart(name, old, new, now["rms"]) > allowed[name][layer] and not wild:
                return f"{name} of layer {now['layer']} is stored as {old}, recomputed as {new}"
    return ""


def _of_keys(one: Cell, stored: Rows) -> str:
    """What the layers say of which cell they are."""
    for row in stored.layers:
        for name in ("init", "act", "depth", "width", "seed"):
            if row[name] != getattr(one, name):
                return f"layer {row['layer']} says {name} {row[name]}"
    return ""


def _of_ends(stored: Rows) -> str:
    """What the row says otherwise than its layers: written from the same arrays, the same to the last bit."""
    layers = stored.layers
    is_so = {name: layers[-1][name] for name in (*STATISTICS, *(f"theory_{name}" for name in PREDICTED))}
    is_so |= {"delta_std_first": layers[0]["delta_std"], "grad_std_first": layers[1]["grad_std"]}
    if stored.cell["verdicts"] is not None:  # else its row is of an older schema
        is_so |= {name: layers[at][of] for name, (of, at) in FIRST_PREDICTED.items()}
    finite = [row["rms"] is not None and math.isfinite(row["rms"]) for row in layers]
    is_so["first_nonfinite_layer"] = None if all(finite) else finite.index(False)
    for name, value in is_so.items():
        if stored.cell[name] != value:
            return f"its row says {name} {stored.cell[name]}, its layers {value}"
    return ""


def _of_range(one: Cell, stored: Rows, found: Rows, tries: Sequence[Rows]) -> str:
    """Where float32 ends, of which a row of an older schema may lack what its layers do not tell."""
    name = "leaves_float32_layer"
    said, is_so = stored.cell[name], found.cell[name]
    rms = np.array([[row["rms"] for row in stored.layers]], float)
    told = float32.known_first(rms, one.batch * max(one.profile))[0]
    lacks = said is None and (stored.cell["verdicts"] is None or math.isnan(told))
    if said != is_so and not lacks and all(rows.cell[name] == is_so for rows in tries):
        return f"its row says {name} {said}, but it is {is_so}"
    return ""


def _of_facts(stored: Rows, found: Rows) -> str:
    """What the row says of the scheme, of the activation and of how it was computed."""
    said, is_so = stored.cell, found.cell
    if not _is_close(said["sigma_w"], is_so["sigma_w"]):
        return f"its row says sigma_w {said['sigma_w']}, but it is {is_so['sigma_w']}"
    known = [name for name in ("histogram_low", "histogram_high", "flat_share") if said[name] is not None]
    for name in known and ("histogram_low", "histogram_high"):
        if said[name] != is_so[name]:
            return f"its row says {name} {said[name]}, but it is {is_so[name]}"
    if known and not _is_close(said["flat_share"], is_so["flat_share"], _FLAT_SHARE / _LAST_BITS):
        return f"its row says flat_share {said['flat_share']}, but it is {is_so['flat_share']}"
    for name in ("error", "error_type", "traceback"):
        if said[name] is not None:
            return f"its row says {name} {said[name]}, but the cell did not fail"
    if said["seconds"] is None or not 0 <= said["seconds"] < math.inf:
        return f"its row says that it took {said['seconds']} s"
    return ""


def _of_training(one: Cell, said: Row, is_so: Row, tries: Sequence[Row]) -> str:
    """What the row says of a training otherwise than what came out, or than itself."""
    learned = None if said["test_accuracy"] is None else said["test_accuracy"] >= LEARNED
    if said["learned"] != learned:
        return f"its row says learned {said['learned']} of a test_accuracy of {said['test_accuracy']}"
    if not _is_close(said["train_lr"], is_so["train_lr"]):
        return f"its row says train_lr {said['train_lr']}, but it is {is_so['train_lr']}"
    ends = {row["diverged_at"] for row in tries} | {is_so["diverged_at"]}
    if len(ends) > 1:  # rounding decides where it ends, and so all else
        return ""
    for name in OUTCOMES:
        old, new = said[name], is_so[name]
        if old is None or new is None or old == new:
            off = 0.0 if old == new else math.inf
        else:
            off = abs(old - new) / (1.0 if name.endswith("accuracy") else abs(new) or 1.0)
        shaken = [abs(row[name] - new) for row in tries] if isinstance(new, float) else [0.0]
        moved = max(filter(math.isfinite, shaken), default=0.0)
        if not off <= _OF_TRAINING[one.dtype] + _TIMES * moved:
            return f"{name} is stored as {old}, recomputed as {new}"
    return ""


def _of_theory(stored: Rows, found: Rows) -> str:
    """A prediction that is not the theory's, of which it holds all digits but the last."""
    for name in PREDICTED:
        column = f"theory_{name}"
        for before, now in zip(stored.layers, found.layers, strict=True):
            scale = now["theory_rms"] if name in ("mean", "std") else float(STATISTICS[name].scale == SHARE)
            if not _is_close(before[column], now[column], scale or 0.0):
                return f"{column} of layer {now['layer']} is not what theory predicts"
    return ""


def _of_jacobian(one: Cell, said: Row, is_so: Row, tries: Sequence[Row]) -> str:
    """A prediction of the whole network that is not the theory's, or a spread that is not what came out."""
    for name in CONSEQUENCES:
        lacks = said[name] is None and not one.jacobian  # as a row of an older schema does
        if not lacks and not _is_close(said[name], is_so[name]):
            return f"its row says {name} {said[name]}, but it is {is_so[name]}"
    old, new = said["jac_spread"], is_so["jac_spread"]
    if old is None or new is None:
        return "" if old is new else f"jac_spread is stored as {old}, recomputed as {new}"
    moved = max((abs((row["jac_spread"] or 0.0) - new) for row in tries), default=0.0)
    if not abs(old - new) <= _TOLERANCE["float64"] * new + _TIMES * moved:  # whatever the network's dtype
        return f"jac_spread is stored as {old}, recomputed as {new}"
    return ""


def _of_histograms(one: Cell, stored: Layers, found: Rows, tries: Sequence[Layers]) -> str:
    """A histogram that holds other entries than its layer, or is not what came out, or has other bins."""
    kept = [row["histogram"] is not None for row in stored]
    ends = (found.cell["histogram_low"], found.cell["histogram_high"]) if any(kept) else (None, None)
    for row in stored:
        if (said := (row["histogram_low"], row["histogram_high"])) != ends:
            return f"the histogram of layer {row['layer']} is said to go from {said[0]} to {said[1]}"
    if not any(kept):
        return ""
    if not all(kept):
        return f"layer {kept.index(False)} has no histogram, but others do"
    counts = _counts(stored)
    entries = one.batch * np.array(one.profile)
    if (wrong := (counts.sum(axis=1) != entries) | ~(counts >= 0).all(axis=1)).any():
        layer = wrong.argmax()
        return f"the histogram of layer {layer} does not add up to its {entries[layer]:,} entries"
    anew = _counts(found.layers)
    moved = np.max([np.zeros(len(anew)), *(_moved(anew, _counts(shaken)) for shaken in tries)], axis=0)
    allowed = _TOLERANCE[one.dtype] * entries + _together(one, found.layers) + _TIMES * _so_far(moved)
    if (wrong := _moved(counts, anew) > allowed).any():
        return f"the histogram of layer {wrong.argmax()} differs from the recomputed one"
    return ""


def _of_verdict(stored: Rows, found: Rows) -> str:
    """A verdict that is not that of the layers."""
    row = stored.cell
    share = found.cell["flat_share"] if row["flat_share"] is None else row["flat_share"]
    columns = {name: np.array([layer[name] for layer in stored.layers], float) for name in JUDGED}
    try:
        thresholds = Thresholds.of(
            checks.json_object("verdict_thresholds", row["verdict_thresholds"] or "{}")
        )
    except RequestError as error:
        return f"its row says {error}"
    share = math.nan if share is None else share
    words = verdict(columns, share, thresholds)
    said = row["verdict"], row["verdict_layer"]
    if said != words:
        return f"its row says {said[0]} from layer {said[1]}, its layers {words[0]}"
    (code,), _ = codes({name: values[None] for name, values in columns.items()}, share, thresholds)
    told, held = row["verdicts"], words_of(int(code))
    if told is None or tuple(told) == held:  # None: a row of an older schema
        return ""
    return f"its row says {', '.join(told)}, its layers {', '.join(held)}"


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


def _allowed(names: Sequence[str], found: Layers, tries: Sequence[Layers], dtype: str) -> Array:
    """How far statistics like these may be off, by layer."""
    moved = np.zeros(len(found))
    for shaken in tries:
        for layer, (now, then) in enumerate(zip(found, shaken, strict=True)):
            off = [_apart(name, now[name], then[name], now["rms"]) for name in names]
            moved[layer] = max(moved[layer], *filter(math.isfinite, off), 0.0)
    back = names is BACKWARD  # from the last layer to the first
    most = _so_far(moved[::-1])[::-1] if back else _so_far(moved)
    return _TOLERANCE[dtype] + _TIMES * most


def _so_far(moved: Array) -> Array:
    """By layer, the most that rounding has done there, before, or at the next few."""
    most = np.maximum.accumulate(moved)
    return most[np.minimum(np.arange(len(most)) + _AHEAD, len(most) - 1)]


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


def _is_close(stored: float | None, value: float | None, scale: float = 0.0) -> bool:
    """Up to last bits, of the value's own or of what it is a difference on; scale: 0 where of none."""
    if stored is None or value is None:
        return stored is value
    last_bits = max(sys.float_info.min, _LAST_BITS * scale if math.isfinite(scale) else 0.0)
    return math.isclose(stored, value, rel_tol=_LAST_BITS, abs_tol=last_bits)


def _counts(layers: Layers) -> Array:
    """The histograms of some layers: (layers, bins), NaN for what is none."""
    return np.array([row["histogram"] for row in layers], float)


def _moved(counts: Array, others: Array) -> Array:
    """How many entries are in another bin: (layers,)."""
    moved: Array = np.abs(counts - others).sum(axis=1) / 2
    return moved


def _together(one: Cell, layers: Layers) -> Array:
    """How many entries rounding may move alone: where neurons, or samples, are alike, all of them at once."""

    def size(layer: int, row: Row) -> int:
        lines = ((row["neuron_corr"], one.profile[layer]), (row["sample_cosine"], one.batch))
        return sum(entries for value, entries in lines if value is None or value > _ALIKE)

    return np.array([_FEW * max(1, size(layer, row)) for layer, row in enumerate(layers)])
