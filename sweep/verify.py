"""`python -m sweep.verify DIR`: is every part whole, and do stored cells come out again as they are stored?

Cells of functions of your own are computed again where you name these with --function, for a study
runs no code by itself. Damaged parts are set aside in DIR/quarantine; the command that made the study
then computes their cells again. Exit status 0: all is well; 1: something was not.
"""

import argparse
import itertools
import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweep.base import checks
from sweep.base.command import Parser, guarded, visible
from sweep.base.errors import RequestError, SweepError

if TYPE_CHECKING:
    import pyarrow as pa

    from sweep.experiment.batches import Cells
    from sweep.experiment.cell import Cell
    from sweep.store.study import Study

# How far a stored statistic may be from what comes out, where the network does not multiply its rounding.
_TOLERANCE = {"float32": 1e-3, "float64": 1e-8}
_SIZES, _GRADIENTS = ("mean", "std", "rms", "pre_rms"), ("delta_std", "delta_rms", "grad_std", "grad_rms")
_SHARES = ("flat", "dead", "sample_cosine", "neuron_corr")
# Where it does, it may be off by _TIMES what some roundings in the weights do to it, or to those like it, at
# any layer that its signal (its gradient) has crossed and at the next few, in the worst of some tries.
_LIKE = {
    **dict.fromkeys(_SIZES, _SIZES),
    **dict.fromkeys(("flat", "dead"), (*_SIZES, "flat", "dead")),
    "sample_cosine": (*_SIZES, "sample_cosine"),
    "neuron_corr": (*_SIZES, "neuron_corr"),
    **dict.fromkeys(_GRADIENTS, _GRADIENTS),
}
_TRIES = 2
_TIMES = 10.0
_AHEAD = 2

Layers = list[dict[str, Any]]


def main() -> int:
    """Parse the command line, check, and say what was found."""
    parser = Parser(
        prog="python -m sweep.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", help="the study's folder or URL, as in outputs/standard")
    parser.add_argument("--cells", type=int, default=20, help="how many stored cells to compute again")
    parser.add_argument("--seed", type=int, default=0, help="which: another seed, another sample")
    parser.add_argument(
        "--function",
        action="append",
        default=[],
        metavar="NAME",
        help="a function of your own that cells may call, as in my_module.my_function; can be repeated",
    )
    arguments = parser.parse_args()
    checks.whole("--cells", arguments.cells, 1)

    from sweep.store.index import older  # noqa: PLC0415
    from sweep.store.parts import commits  # noqa: PLC0415
    from sweep.store.study import Study  # noqa: PLC0415

    study = Study(arguments.study)
    study.check_readable()
    names = commits.names(study.place)
    broken = study.scan.corrupted(names)
    for name, why in broken.items():
        print(f"damaged: {name} ({why})")
    if broken:
        study.set_aside(broken)
        print(f"set aside in {study.path}/quarantine; the command that made this study computes them again")
    old = older(study).ids
    found = _recomputed(study, old, set(arguments.function), arguments.cells, arguments.seed)
    for line in (*found.unchecked, *found.wrong):
        print(visible(line))
    same = f"{found.compared - len(found.wrong)} of {found.compared} cells come out again"
    print(f"{len(names) - len(broken):,} of {len(names):,} parts whole; {same}")
    odd = [name for name in sorted(names - set(broken)) if not study.scan.possible(name)]
    if odd:
        print(f"{len(odd)} of them hold rows that no run could have written, and are left out")
    if len(old):
        rows = "1 row is" if len(old) == 1 else f"{len(old):,} rows are"
        print(f"{rows} of an older revision and left out: the command that made them computes them anew")
    for line in commits.told_strangers(study.place):
        print(line)
    if found.foreign:
        cells = "1 cell is" if found.foreign == 1 else f"{found.foreign:,} cells are"
        named = visible(", ".join(found.functions))
        print(f"{cells} of functions of your own and left out: --function names them ({named})")
    if found.unchecked:
        print(f"{len(found.unchecked)} of the cells could not be computed again")
    return 1 if broken or odd or found.wrong or found.unchecked else 0


@dataclass
class _Found:
    """What became of the chosen cells: a line for each that differs, and for each that could not be computed.

    compared: how many came out at all. foreign: how many were left out, for they call functions that
    nobody named, which are `functions`.
    """

    compared: int = 0
    foreign: int = 0
    functions: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def _recomputed(study: "Study", old: "pa.Array", functions: set[str], count: int, seed: int) -> _Found:
    """Compute some stored cells again.

    old: the ids of those that are left out. functions: the names of those that may be called.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    from sweep.base import memory  # noqa: PLC0415
    from sweep.execution.nudged import nudged  # noqa: PLC0415
    from sweep.experiment.batches import Cells  # noqa: PLC0415
    from sweep.kernel import KERNEL_VERSION  # noqa: PLC0415
    from sweep.report.frames.text import si  # noqa: PLC0415

    cells = study.read("cells", versions="all")
    cells = cells.filter(
        pc.and_(pc.equal(cells["status"], "ok"), pc.equal(cells["kernel_version"], KERNEL_VERSION))
    )
    cells = cells.filter(pc.invert(pc.is_in(cells["cell_id"], value_set=old)))
    foreign, named = _foreign(cells, functions)
    if strange := functions - named:
        listed = f"they call {', '.join(sorted(named))}" if named else "they call none"
        raise RequestError(f"--function {sorted(strange)[0]}: no cell of this study calls it; {listed}")
    found = _Found(foreign=pc.sum(foreign).as_py() or 0, functions=sorted(named - functions))
    cells = cells.filter(pc.invert(foreign))
    rows = random.Random(seed).sample(range(cells.num_rows), min(count, cells.num_rows))
    again: list[Cell] = []
    for row in cells.take(pa.array(rows, pa.int64())).to_pylist():
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
            again.append(one)
        else:
            found.wrong.append(f"cell {row['cell_id']}: its row is not what its id stands for")
    ids = [one.id for one in again]
    layers = study.read("layers", versions="all")
    chosen = pc.is_in(layers["cell_id"], value_set=pa.array(ids, pa.string()))
    stored = _by_cell(layers.filter(chosen).to_pylist())
    anew, errors = _computed(Cells.of(again))
    tries = [_computed(nudged(again, turn))[0] for turn in range(_TRIES)]
    for one in again:
        differs = errors.get(one.id) or _difference(
            one, stored.get(one.id, []), anew[one.id], [shaken[one.id] for shaken in tries]
        )
        if differs:
            found.wrong.append(f"cell {one.id} ({one.init} × {one.act}, depth {one.depth}): {differs}")
    return found


def _foreign(cells: "pa.Table", functions: set[str]) -> tuple["pa.ChunkedArray", set[str]]:
    """By row: whether it names functions that are none of these, or not what their source was; all names."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    from sweep import activations, initializers  # noqa: PLC0415

    found, named = pa.chunked_array([pa.nulls(cells.num_rows, pa.bool_()).fill_null(False)]), set()
    for group, custom in (("init", initializers.CUSTOM), ("act", activations.CUSTOM)):
        own, texts = pc.equal(cells[group], custom), cells[f"{group}_params"]
        names = {text: _named(text) for text in pc.unique(texts.filter(own)).to_pylist()}
        named |= set().union(*names.values()) - {""}
        bad = [text for text, called in names.items() if not called <= functions]
        found = pc.or_(found, pc.and_(own, pc.is_in(texts, value_set=pa.array(bad, pa.string()))))
    return found, named


def _named(parameters: str) -> set[str]:
    """The functions that the parameters of a user's own scheme or activation name.

    With '', which nobody can have named, where they do not say what the source was.
    """
    values = checks.json_object("parameters", parameters)
    names = {str(values[key]) for key in ("function", "derivative") if values.get(key) is not None}
    return names if isinstance(values.get("source"), str) else {*names, ""}


def _bytes(one: "Cell") -> int:
    """What computing a cell takes at once."""
    from sweep.execution.plan import tasks  # noqa: PLC0415
    from sweep.experiment.batches import Cells  # noqa: PLC0415

    return max(stack.bytes for task in tasks.pack(Cells.of([one]), 1) for stack in task.stacks)


def _computed(cells: "Cells") -> tuple[dict[str, Layers], dict[str, str]]:
    """The layers of these cells by id, and what went wrong with the others."""
    from sweep.execution.plan import tasks  # noqa: PLC0415
    from sweep.execution.workers import local  # noqa: PLC0415
    from sweep.store import tables  # noqa: PLC0415

    found: dict[str, Layers] = {}
    errors: dict[str, str] = {}
    for result in local.run(tasks.pack(cells, 1), "local", 1, histogram=False):
        found |= _by_cell(tables.tables(result, "")[1].to_pylist())
        errors |= {one.id: str(result.errors[i]) for i, one in enumerate(result.cells) if i in result.errors}
    return found, errors


def _cell(row: Mapping[str, Any]) -> "Cell":
    from sweep.store.ages import spec_of  # noqa: PLC0415

    return spec_of(row).cell(row["seed"])


def _by_cell(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: -1 if row["layer"] is None else int(row["layer"])):
        found.setdefault(row["cell_id"], []).append(row)
    return found


def _difference(cell: "Cell", stored: Layers, found: Layers, tries: Sequence[Layers]) -> str:
    """The first statistic that differs by more than rounding, in words; '' if none does.

    tries: the layers of the same cell with a few roundings in its weights.
    """
    if [row["layer"] for row in stored] != [row["layer"] for row in found]:
        return f"{len(stored)} layers are stored, and there are {len(found)}"
    allowed = {name: _allowed(like, found, tries, cell.dtype) for name, like in _LIKE.items()}
    for layer, (before, now) in enumerate(zip(stored, found, strict=True)):
        for name in _LIKE:
            old, new = before[name], now[name]
            wild = any(_apart(name, new, shaken[layer][name], now["rms"]) == math.inf for shaken in tries)
            if _apart(name, old, new, now["rms"]) > allowed[name][layer] and not wild:
                return f"{name} of layer {now['layer']} is stored as {old}, comes out as {new}"
    return ""


def _allowed(names: Sequence[str], found: Layers, tries: Sequence[Layers], dtype: str) -> list[float]:
    """How far statistics like these may be off, by layer."""
    moved = [0.0] * len(found)
    for shaken in tries:
        for layer, (now, then) in enumerate(zip(found, shaken, strict=True)):
            off = [_apart(name, now[name], then[name], now["rms"]) for name in names]
            moved[layer] = max(moved[layer], *filter(math.isfinite, off), 0.0)
    back = names is _GRADIENTS  # from the last layer to the first
    most = list(itertools.accumulate(moved[::-1] if back else moved, max))
    most = [most[min(layer + _AHEAD, len(most) - 1)] for layer in range(len(most))]
    return [_TOLERANCE[dtype] + _TIMES * one for one in (most[::-1] if back else most)]


def _apart(name: str, old: float | None, new: float | None, rms: float | None) -> float:
    """How far two values of a statistic are from each other, by its own measure; inf where beyond any."""
    if old is None or new is None or old == new:
        return 0.0 if old == new else math.inf
    if name == "mean" or name in _SHARES:  # near 0, or of 1: on the scale of rms, of 1
        off = abs(old - new) / (1.0 if name in _SHARES else rms or math.inf)
        return off if math.isfinite(off) else math.inf
    if not (0 < old < math.inf and 0 < new < math.inf):
        return math.inf
    return abs(math.log(old / new))


if __name__ == "__main__":
    sys.exit(guarded(main))
