"""The ids of cells in Arrow: ID_BYTES each, not the text that spells them."""

import binascii
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import ID_BYTES
from sweep.store.parts.part_file import text_of

_ID = pa.binary(ID_BYTES)


def of_texts(ids: pa.StringArray) -> pa.FixedSizeBinaryArray:
    """cell_ids as the ID_BYTES that they spell."""
    lengths, text = text_of(ids)
    if (lengths != 2 * ID_BYTES).any():
        raise ValueError("a cell_id is malformed")
    content = binascii.unhexlify(text)
    return pa.FixedSizeBinaryArray.from_buffers(_ID, len(ids), [None, pa.py_buffer(content)])


def of_block(block: Block) -> pa.FixedSizeBinaryArray:
    """The ids of the cells of a block, in order."""
    return pa.FixedSizeBinaryArray.from_buffers(_ID, len(block), [None, pa.py_buffer(block.digests())])


def join(ids: Sequence[pa.Array]) -> pa.Array:
    """Several arrays of them as one."""
    return pa.concat_arrays([pa.array([], _ID), *ids])


def among(ids: pa.ChunkedArray, cells: Cells) -> pa.Array:
    """Whether each cell_id is that of one of these cells."""
    return pc.is_in(of_texts(ids.combine_chunks()), value_set=join(list(map(of_block, cells.blocks))))
