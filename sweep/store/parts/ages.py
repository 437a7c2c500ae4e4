"""Which rows are of an older revision: those whose id is that of the same spec as it once was."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sweep.base.errors import SweepError
from sweep.experiment import axes, revisions
from sweep.experiment.cell import ID_BYTES, SPEC, Spec
from sweep.store.parts import digests

# What makes two rows the same experiment, whatever kernel and revision computed it.
EXPERIMENT = (*SPEC, "seed")
NEEDED = (*EXPERIMENT, "kernel_version", "cell_id")
# Few texts, again and again.
REPEATED = ("init", "init_params", "act", "act_params", "dtype", *axes.BESIDE_COLUMNS)
VARIOUS = "various"  # the state of a part whose rows were computed at several
_ID = np.dtype(f"V{ID_BYTES}")


def ages(rows: pa.Table) -> NDArray[np.int64]:
    """How many revisions ago each row was computed: 0 is now, -1 where its id is not that of its values.

    rows: the columns of NEEDED. What another program's scheme or activation had is unknown: 0.
    """
    age = np.zeros(rows.num_rows, np.int64)
    seeds = rows["seed"].to_numpy()
    ids = np.frombuffer(digests.of_texts(rows["cell_id"].combine_chunks()).buffers()[1], _ID)
    for unknown, spec, kernel_version in by_spec(rows):
        try:
            states = [spec.revisions, *revisions.before(spec.revisions)]
        except SweepError:  # a scheme or an activation of another program's
            continue
        for number, state in enumerate(states):
            known = spec.digests(seeds[unknown].tolist(), state, kernel_version)
            same = ids[unknown] == np.frombuffer(known, _ID)
            age[unknown[same]] = number
            unknown = unknown[~same]  # noqa: PLW2901
        age[unknown] = -1
    return age


def outdated(rows: pa.Table, by_revision: bool = False) -> pa.Array:
    """The ids of cells that have a result of a newer kernel, or of a newer revision, among the rows.

    rows: the columns of NEEDED and the status. by_revision: only of a newer revision of the same kernel; a
    failure then neither makes a row outdated nor is outdated itself.
    """
    number, since = numbered(rows, EXPERIMENT).tolist(), np.maximum(ages(rows), 0).tolist()
    rank: dict[str, tuple[bool, tuple[int, str], int]] = {}
    best: dict[int, str] = {}
    columns = [rows[name].to_pylist() for name in ("cell_id", "status", "kernel_version")]
    for cell_id, status, version, age, experiment in zip(*columns, since, number, strict=True):
        row = (status == "ok", _version(version), -age)
        rank[cell_id] = max(rank.get(cell_id, row), row)  # a result wins over a failure
        if rank[cell_id] > rank[best.setdefault(experiment, cell_id)]:
            best[experiment] = cell_id

    def is_outdated(cell_id: str, newest: str) -> bool:
        if not by_revision:
            return cell_id != newest
        (_, kernel, age), (ok, newest_kernel, least) = rank[cell_id], rank[newest]
        return ok and kernel == newest_kernel and age < least

    ids = dict(zip(columns[0], (best[experiment] for experiment in number), strict=True))
    return pa.array([one for one, newest in ids.items() if is_outdated(one, newest)], pa.string())


def common(states: Collection[str]) -> str:
    """The state of a part that holds the rows of parts of these states."""
    return next(iter(states)) if len(set(states)) == 1 else VARIOUS


def apart(states: Collection[str]) -> bool:
    """Whether parts of these states may hold one experiment at two revisions."""
    return len(set(states)) > 1 or VARIOUS in states


def repeated(rows: pa.Table) -> NDArray[np.int64]:
    """Row numbers of the experiments that have several rows; rows: the columns of EXPERIMENT."""
    number = numbered(rows, EXPERIMENT)
    if pc.count_distinct(pa.array(number)).as_py() == len(number):
        return np.empty(0, np.int64)
    _, inverse, counts = np.unique(number, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[inverse] > 1)


def numbered(rows: pa.Table, names: Sequence[str], defaults: bool = True) -> NDArray[np.int64]:
    """A number for each row, equal where all of these columns are: (rows,).

    defaults: an axis's null is its default.
    """
    number, size = np.zeros(rows.num_rows, np.int64), 1
    for name in names:
        codes, count = _codes(_without_nulls(name, rows[name]) if defaults else rows[name])
        if count < 2:
            continue
        if size * count >= 1 << 62:
            kept, number = np.unique(number, return_inverse=True)
            size = len(kept)
        number, size = number * count + codes, size * count
    return number


def by_spec(rows: pa.Table) -> Iterator[tuple[NDArray[np.int64], Spec, str]]:
    """The row numbers of every spec and kernel version, with both."""
    if not rows.num_rows:
        return
    number = numbered(rows, (*SPEC, "kernel_version"))
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    firsts = rows.select([*SPEC, "kernel_version"]).take(pa.array(order[starts])).to_pylist()
    for places, first in zip(np.split(order, starts[1:]), firsts, strict=True):
        yield places, Spec.of_row(first), first["kernel_version"]


def _without_nulls(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column with an axis's default for nulls: what a scheme sets itself was once that."""
    axis = axes.ALL.get(name)
    if axis is None or axis.default is None or not column.null_count:
        return column
    return pc.fill_null(column, axis.default)


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], int]:
    """A number for each distinct value of a column, null included, and how many there are."""
    if pa.types.is_list(column.type):
        if column.null_count == len(column):
            return np.zeros(len(column), np.int64), 1
        column = pc.binary_join(column.cast(pa.list_(pa.string())), ",")
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    encoded = column.unify_dictionaries().combine_chunks()
    count = len(encoded.dictionary)
    codes = pc.fill_null(encoded.indices, count).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, count + (encoded.null_count > 0)


def _version(kernel_version: str) -> tuple[int, str]:
    return (int(kernel_version), "") if kernel_version.isdecimal() else (0, kernel_version)
