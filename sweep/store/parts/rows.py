"""Whether a run could have written these rows of `cells`: a study may come from anybody."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from sweep.base.errors import RequestError
from sweep.experiment.axes import END_COLUMNS, MODEL
from sweep.experiment.cell import ID_BYTES, SPEC, Spec
from sweep.experiment.ingredients.models import ABSENT
from sweep.experiment.outcomes.verdict import WORDS
from sweep.store.tables import OF_MODEL

KEYS = (
    "cell_id",
    "status",
    "run_id",
    "kernel_version",
    *SPEC,
    "seed",
    "verdict",
    "verdict_layer",
    "verdicts",
)
_MAY_BE_NULL = ("widths", "bias_std", "format", "verdict_layer", "verdicts", *END_COLUMNS, *OF_MODEL)
_SCALARS = [name for name in SPEC if name != "widths"]
_LISTED = "widths as text"
_STATUS = ("ok", "failed")
_VERSION = r"\A[\x21-\x7e]{1,32}\z"  # numbers, so far: short, and in a line
_ID = rf"\A[0-9a-f]{{{2 * ID_BYTES}}}\z"


def impossible(cells: pa.Table) -> str:
    """Why no run could have written some row; '' where one could. cells: the columns of KEYS.

    Calls nothing that a row names.
    """
    return next(_reasons(cells), "")


def _reasons(cells: pa.Table) -> Iterator[str]:
    ours = cells.filter(pc.is_null(cells[MODEL]))
    for name in KEYS:
        rows = ours if name in ABSENT else cells
        if name not in _MAY_BE_NULL and rows[name].null_count:
            yield f"a row without {name}"
    for name, allowed in (("status", _STATUS), ("verdict", (*WORDS, "failed"))):
        if not pc.all(pc.is_in(cells[name], value_set=pa.array(allowed))).as_py():
            yield f"a row with an unknown {name}"
    if not _are_words(cells["verdicts"]):
        yield "a row with unknown verdicts"
    if not pc.all(pc.match_substring_regex(cells["cell_id"], _ID)).as_py():
        yield "a row with a malformed cell_id"
    if not pc.all(pc.match_substring_regex(cells["kernel_version"], _VERSION)).as_py():
        yield "a row with a kernel_version that no program has"
    if not _at_least(cells["seed"], 0):
        yield "a row with a seed below 0"
    outside = pc.or_(pc.less(cells["verdict_layer"], 0), pc.greater(cells["verdict_layer"], cells["depth"]))
    if pc.any(outside).as_py():
        yield "a row with a verdict_layer that its network does not have"
    if why := _widths(cells.filter(pc.is_valid(cells["widths"]))):
        yield why
    listed = pc.binary_join(pc.cast(cells["widths"], pa.list_(pa.string())), " ")  # what can be a key
    for row in cells.append_column(_LISTED, listed).group_by([*_SCALARS, _LISTED]).aggregate([]).to_pylist():
        widths = row.pop(_LISTED)
        try:
            Spec.stored(row | {"widths": widths and [int(width) for width in widths.split()]})
        except RequestError as error:
            yield f"a row with {error}"


def _are_words(verdicts: pa.ChunkedArray) -> bool:
    """Whether these are lists of words, or null, as in rows of older schemas."""
    words, sizes = pc.list_flatten(verdicts), pc.list_value_length(verdicts)
    known = pc.all(pc.is_in(words, value_set=pa.array(WORDS)), min_count=0).as_py()
    return bool(known and pc.all(pc.greater(sizes, 0), min_count=0).as_py())


def _widths(tapered: pa.Table) -> str:
    """The same for the widths of tapered networks."""
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
