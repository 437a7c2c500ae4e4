"""Rows of `cells` against what a command line could have asked for: a study may come from anybody."""

import pyarrow as pa
import pyarrow.compute as pc

from sweep.cell import SPEC, Spec
from sweep.errors import RequestError
from sweep.verdict import WORDS

KEYS = (*SPEC, "seed", "status", "verdict", "verdict_layer")
_SCALARS = [name for name in SPEC if name != "widths"]
_STATUS = ("ok", "failed")


def impossible(cells: pa.Table) -> str:
    """Why some row can be none of a run's; '' where all can. cells: the columns of KEYS.

    Calls nothing that a row names.
    """
    whole = [name for name in KEYS if name not in ("widths", "verdict_layer")]
    for name in whole:
        if cells[name].null_count:
            return f"a row without {name}"
    for name, allowed in (("status", _STATUS), ("verdict", (*WORDS, "failed"))):
        if not pc.all(pc.is_in(cells[name], value_set=pa.array(allowed))).as_py():
            return f"a row with a {name} that there is not"
    if not _at_least(cells["seed"], 0):
        return "a row with a seed below 0"
    outside = pc.or_(pc.less(cells["verdict_layer"], 0), pc.greater(cells["verdict_layer"], cells["depth"]))
    if pc.any(outside).as_py():
        return "a row with a verdict_layer that its network has not"
    for row in cells.group_by(_SCALARS).aggregate([]).to_pylist():
        try:
            Spec.stored(row | {"widths": None})
        except RequestError as error:
            return f"a row with {error}"
    return _widths(cells.filter(pc.is_valid(cells["widths"])))


def _widths(tapered: pa.Table) -> str:
    """The same of the widths of tapered networks."""
    lists = tapered["widths"].combine_chunks()
    if not len(lists):
        return ""
    depths = pc.subtract(pc.list_value_length(lists), 1)
    if pc.any(pc.less(depths, 1)).as_py() or not pc.all(pc.equal(depths, tapered["depth"])).as_py():
        return "a row with widths of another depth"
    flat = pc.list_flatten(lists)
    ends = pc.subtract(pc.cumulative_sum(pc.cast(pc.list_value_length(lists), pa.int64())), 1)
    if flat.null_count or not _at_least(flat, 1):
        return "a row with a width below 1"
    if not pc.all(pc.equal(flat.take(ends), tapered["width"])).as_py():
        return "a row with widths of another width"
    return ""


def _at_least(column: pa.ChunkedArray, least: int) -> bool:
    smallest = pc.min(column).as_py()
    return smallest is None or bool(smallest >= least)
