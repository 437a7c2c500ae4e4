"""Cells as a file of data: specs, each with its seeds and what one of its cells costs, as Parquet.

What is read is validated as rows of a study are, and runs nothing that it names.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from sweep import check
from sweep.blocks import Block
from sweep.cell import SPEC, Spec
from sweep.kernel import KERNEL_VERSION

_COLUMNS = [*SPEC, "kernel_version", "seeds", "seconds"]
_MOST_VALUES = 50_000_000  # of a column

Costed = tuple[Block, float]  # cells, and the estimated seconds of each


def written(blocks: Iterable[Costed]) -> Any:
    """The bytes of a file that holds these cells."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = [(spec, block.seeds, seconds) for block, seconds in blocks for spec in block.specs]
    columns: dict[str, Any] = {name: [getattr(spec, name) for spec, _, _ in rows] for name in SPEC}
    columns["kernel_version"] = [KERNEL_VERSION] * len(rows)
    columns["seeds"] = [seeds for _, seeds, _ in rows]
    columns["seconds"] = [seconds for _, _, seconds in rows]
    columns["widths"] = pa.array(columns["widths"], pa.list_(pa.int64()))
    columns["seeds"] = pa.array(columns["seeds"], pa.list_(pa.int64()))
    sink = pa.BufferOutputStream()
    packed = {"seeds.list.element": "DELTA_BINARY_PACKED"}  # seeds follow each other
    texts = [name for name in SPEC if name != "widths"]
    pq.write_table(pa.table(columns), sink, compression="zstd", use_dictionary=texts, column_encoding=packed)
    return sink.getvalue()


def read(content: bytes) -> Iterator[Costed]:
    """The cells of a file that this kernel can compute.

    Raises ValueError, or what Arrow raises, where it is no such file, RequestError where a row cannot be.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    file = pq.ParquetFile(pa.BufferReader(content))
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    values = (sum(group.column(i).num_values for group in groups) for i in range(len(_COLUMNS)))
    if file.schema_arrow.names != _COLUMNS or max(values) > _MOST_VALUES:
        raise ValueError("it is no plan of a run")
    for row in file.read().to_pylist():
        if row["kernel_version"] == KERNEL_VERSION:
            seeds = tuple(check.whole("seed", seed, 0) for seed in row["seeds"])
            yield Block((Spec.stored(row),), seeds), check.real("seconds", row["seconds"], 0.0)
