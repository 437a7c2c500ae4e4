"""`python -m sweep.verify DIR`: is every part whole, and do stored cells come out again as they are stored?

Damaged parts are set aside in DIR/quarantine; the command that made the study then computes their
cells again. Exit status 0: all is well; 1: something was not.
"""

import argparse
import random
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sweep import check
from sweep.command import Parser, guarded
from sweep.errors import SweepError

if TYPE_CHECKING:
    from sweep.cell import Cell
    from sweep.store import Study

# Rounding differs between groupings, and a chaotic cell multiplies it with every layer: the first
# layers are compared closely, the others, and the gradients that cross all of them, by their size.
_CLOSELY = 3
_TOLERANCE = {"float32": 1e-3, "float64": 1e-8}
_TIMES = 10.0


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
    arguments = parser.parse_args()
    check.whole("--cells", arguments.cells, 1)

    from sweep import parts  # noqa: PLC0415
    from sweep.store import Study  # noqa: PLC0415

    study = Study(arguments.study)
    study.check_readable()
    names = parts.names(study.place)
    broken = parts.corrupted(study.place, names)
    for name, why in broken.items():
        print(f"damaged: {name} ({why})")
    if broken:
        study.set_aside(broken)
        print(f"set aside in {study.path}/quarantine; the command that made this study computes them again")
    compared, skipped, wrong = _recomputed(study, arguments.cells, arguments.seed)
    for line in wrong:
        print(line)
    same = f"{compared - len(wrong)} of {compared} cells come out again"
    print(f"{len(names) - len(broken):,} of {len(names):,} parts whole; {same}")
    if skipped:
        print(
            f"{skipped} more are of a function of yours that is not here, or was edited: not computed again"
        )
    return 1 if broken or wrong else 0


def _recomputed(study: "Study", count: int, seed: int) -> tuple[int, int, list[str]]:
    """How many cells were computed again, how many could not be, and a line for each that differs."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    from sweep import execute, plan, tables  # noqa: PLC0415
    from sweep.blocks import Cells  # noqa: PLC0415
    from sweep.kernel import KERNEL_VERSION  # noqa: PLC0415

    cells = study.read("cells", versions="all")
    cells = cells.filter(
        pc.and_(pc.equal(cells["status"], "ok"), pc.equal(cells["kernel_version"], KERNEL_VERSION))
    )
    rows = random.Random(seed).sample(range(cells.num_rows), min(count, cells.num_rows))
    wrong: list[str] = []
    again: list[Cell] = []
    skipped = 0
    for row in cells.take(pa.array(rows, pa.int64())).to_pylist():
        one = _cell(row)
        try:
            _ = one.scheme, one.activation
        except SweepError:  # a user's function that is not here, or was edited since: nothing to compare
            skipped += 1
            continue
        if one.id == row["cell_id"]:
            again.append(one)
        else:
            wrong.append(f"cell {row['cell_id']}: its row is not what its id stands for")
    ids = [one.id for one in again]
    layers = study.read("layers", versions="all")
    chosen = pc.is_in(layers["cell_id"], value_set=pa.array(ids, pa.string()))
    stored = _by_cell(layers.filter(chosen).to_pylist())
    for result in execute.run(plan.tasks(Cells.of(again), 1), "local", 1, histogram=False):
        found = _by_cell(tables.tables(result, "")[1].to_pylist())
        for place, one in enumerate(result.cells):
            error = result.errors.get(place)
            differs = str(error) if error else _difference(one, stored[one.id], found[one.id])
            if differs:
                wrong.append(f"cell {one.id} ({one.init} × {one.act}, depth {one.depth}): {differs}")
    return len(rows) - skipped, skipped, wrong


def _cell(row: Mapping[str, Any]) -> "Cell":
    from sweep.cell import Cell  # noqa: PLC0415
    from sweep.store import EXPERIMENT  # noqa: PLC0415

    values = {name: row[name] for name in EXPERIMENT}
    values["widths"] = None if row["widths"] is None else tuple(row["widths"])
    return Cell(**values)


def _by_cell(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: int(row["layer"])):
        found.setdefault(row["cell_id"], []).append(row)
    return found


def _difference(cell: "Cell", stored: list[dict[str, Any]], found: list[dict[str, Any]]) -> str:
    """The first statistic that differs by more than rounding, in words; '' if none does."""
    from sweep.compute import STATISTICS  # noqa: PLC0415

    if [row["layer"] for row in stored] != [row["layer"] for row in found]:
        return f"{len(stored)} layers are stored, and there are {len(found)}"
    for before, now in zip(stored, found, strict=True):
        for name in STATISTICS:
            if not _same(name, before[name], now[name], now, cell.dtype):
                return f"{name} of layer {now['layer']} is stored as {before[name]}, comes out as {now[name]}"
    return ""


def _same(name: str, old: float | None, new: float | None, row: Mapping[str, Any], dtype: str) -> bool:
    if old is None or new is None or old == new:
        return old == new
    if row["layer"] <= _CLOSELY and not name.startswith(("delta", "grad")):
        # mean is near 0 and shares are of 1: they are compared on the scale of rms, of 1.
        scale = row["rms"] if name == "mean" else 1.0 if name in _SHARES else abs(new)
        return abs(old - new) <= _TOLERANCE[dtype] * scale
    if name == "mean" or name in _SHARES:
        return True
    return 0 < old <= _TIMES * new and new <= _TIMES * old


_SHARES = ("flat", "dead", "sample_cosine", "neuron_corr")


if __name__ == "__main__":
    sys.exit(guarded(main))
