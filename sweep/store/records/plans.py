"""Cells as a file of data: specs, each with its seeds and the cost of one of its cells, as lines of JSON.

Reading validates as with rows of a study, runs nothing that the file names, and is bounded in memory however
the file was packed.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import Any

from sweep.base import checks
from sweep.base.registry import CUSTOM
from sweep.experiment.axes import ENDS
from sweep.experiment.batches import Block
from sweep.experiment.cell import Spec
from sweep.experiment.ingredients.choices import OPTIONS
from sweep.kernel import KERNEL_VERSION

MOST_CELLS = 10_000_000  # of all runs of a study
_MOST_SECONDS = 1e9  # of a cell
_MOST_BYTES, _MOST_OF_A_LINE = 1 << 31, 1 << 24  # once unpacked

Costed = tuple[Block, float]  # cells, and the estimated seconds of each


def pack(blocks: Iterable[Costed]) -> bytes:
    """The bytes of a file that holds these cells."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as file:
        for block, seconds in blocks:
            more = {"kernel_version": KERNEL_VERSION, "seeds": _runs(block.seeds), "seconds": seconds}
            for spec in block.specs:
                row = spec.row | more
                file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
    return packed.getvalue()


def read(content: bytes, most: int = MOST_CELLS) -> Iterator[Costed]:
    """The cells of a file that this kernel can compute.

    Raises ValueError where it is not such a file, or has more than `most` cells, RequestError for a row
    that no command line could have asked for.
    """
    left = most
    try:
        for line in _lines(content):
            row = json.loads(line)
            if row["kernel_version"] != KERNEL_VERSION:
                continue
            runs = [
                (checks.whole("seed", first, 0), checks.whole("seeds", n, 1)) for first, n in row["seeds"]
            ]
            left -= sum(count for _, count in runs)
            if left < 0:
                raise ValueError(f"it has more cells than are read: {MOST_CELLS:,} of all runs together")
            for first, count in runs:
                checks.whole("seed", first + count - 1, 0)
            seeds = tuple(dict.fromkeys(chain(*(range(first, first + count) for first, count in runs))))
            spec = Spec.stored(row)
            own = ("init", "act") if spec.model is not None else ()
            for column, registry in ((name, one) for name, one in OPTIONS.items() if name not in own):
                name = getattr(spec, column)
                if name not in (*registry.known(), CUSTOM, *([None] if column in ENDS.values() else [])):
                    raise ValueError(f"'{name}' is not known to this program")
            yield Block((spec,), seeds), checks.real("seconds", row["seconds"], 0.0, below=_MOST_SECONDS)
    except (OSError, EOFError, zlib.error, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it is not a run's plan") from error


def _lines(content: bytes) -> Iterator[bytes]:
    left = _MOST_BYTES
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        while line := file.readline(_MOST_OF_A_LINE):
            left -= len(line)
            if left < 0:
                raise ValueError("it is larger than any plan")
            yield line


def _runs(seeds: Sequence[int]) -> list[Any]:
    """Seeds as [first, count] of consecutive ones."""
    groups = groupby(enumerate(seeds), key=lambda pair: pair[1] - pair[0])
    together = ([seed for _, seed in group] for _, group in groups)
    return [[group[0], len(group)] for group in together]
