"""Rows of a file of one's own: what is in it, read whole once; and the rows that a seed sees.

The file is mapped, never held whole, and never unpickled. Its content is known by its sha256: of a file that
is another one by the time its rows are read, the cells fail.
"""

import hashlib
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.base.arrays import Array
from sweep.base.errors import InputError, RequestError
from sweep.base.inputs import Inputs
from sweep.kernel.draws import streams

LARGEST = 1e12  # of the numbers' sizes and rms: squares of sums of them are numbers of float32
_AT_ONCE = 1 << 22  # numbers looked at together
_KINDS = "iuf"
_FRESH = 2_000_000_000  # nanoseconds within which a file may change again and its times be the same
_SEED = 0  # of the rows that stand for all
State = tuple[int, int, int, int, int]  # of a file: what changes whenever its content does


@dataclass(frozen=True)
class Content:
    """What is in a file. rows, width: its shape. sha256: of the whole file."""

    rows: int
    width: int
    sha256: str


def content_of(file: str) -> Content:
    """What is in a file, once for every state of it; RequestError where it is not rows of real numbers."""
    state = _state(file)
    fresh = time.time_ns() - state[-1] < _FRESH
    return _read(file, state) if fresh else _content(file, state)


def check(inputs: Inputs, width: int, batch: int) -> Content:
    """What is in the file of these inputs; RequestError where it has no `batch` rows of this width."""
    assert inputs.file is not None
    content = content_of(inputs.file)
    if inputs.sha256 and content.sha256 != inputs.sha256:
        raise RequestError(
            f"input.file={inputs.file}: its sha256 is {content.sha256}, not {inputs.sha256}: give the file "
            "that has it, or leave input.sha256 out"
        )
    if content.width != width:
        raise RequestError(
            f"input.file={inputs.file}: its rows have {content.width:,} numbers, and the network's input "
            f"{width:,} neurons: choose width={content.width}, or widths=[{content.width},…]"
        )
    if content.rows < batch:
        raise RequestError(
            f"input.file={inputs.file}: it has {content.rows:,} rows, and batch={batch} needs as many: "
            "choose a smaller batch"
        )
    return content


def check_there(inputs: Inputs) -> None:
    """InputError where the file is gone, or another one than was asked for."""
    if inputs.file is None:
        return
    try:
        content = content_of(inputs.file)
    except RequestError as error:
        raise InputError(f"{error}; the cell is of one whose sha256 is {inputs.sha256}") from error
    if content.sha256 != inputs.sha256:
        raise InputError(
            f"input.file={inputs.file}: it has changed: its sha256 is {content.sha256}, and the cell is of "
            f"{inputs.sha256}"
        )


def rows_of(inputs: Inputs, seeds: Sequence[int], batch: int, width: int) -> NDArray[np.float32]:
    """The rows that each seed sees: (seeds, batch, width); InputError where the file is another one."""
    assert inputs.file is not None
    check_there(inputs)
    state = _state(inputs.file)
    mapped = _mapped(inputs.file)
    assert mapped.shape[1] == width
    found = np.stack([mapped[streams.rows(seed, len(mapped), batch)].astype(np.float32) for seed in seeds])
    del mapped
    if content_of(inputs.file).sha256 != inputs.sha256 or _state(inputs.file) != state:
        raise InputError(f"input.file={inputs.file}: it changed while it was read")
    return found


def sample_of(inputs: Inputs, most: int) -> Array:
    """Some rows that stand for all, all where there are no more: (rows, width) float64; or InputError."""
    assert inputs.file is not None
    check_there(inputs)
    mapped = _mapped(inputs.file)
    count = len(mapped)
    chosen = np.arange(count) if count <= most else np.sort(streams.rows(_SEED, count, most))
    return mapped[chosen].astype(np.float32).astype(np.float64)


def _state(file: str) -> State:
    try:
        found = Path(file).stat()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"input.file={file}: {why}: give the path of a file of numpy.save") from error
    if not stat.S_ISREG(found.st_mode):
        raise RequestError(f"input.file={file}: it is no file: give the path of a file of numpy.save")
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _mapped(file: str) -> Array:
    try:
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, OverflowError, MemoryError, TypeError, SyntaxError) as error:
        said = " ".join(str(error).split())
        if "Python objects" in said:
            said = "it holds Python objects, which are never unpickled"
        elif "allow_pickle" in said:
            said = "it is no .npy file"
        raise RequestError(
            f"input.file={file}: {said}: give a file of numpy.save, rows of numbers"
        ) from error
    if not isinstance(mapped, np.ndarray):
        raise RequestError(f"input.file={file}: it holds several arrays (.npz): give a file of numpy.save")
    return mapped


@lru_cache(maxsize=64)
def _content(file: str, state: State) -> Content:
    return _read(file, state)


def _read(file: str, state: State) -> Content:
    mapped = _mapped(file)
    if mapped.dtype.kind not in _KINDS:
        raise RequestError(
            f"input.file={file}: its numbers are {mapped.dtype}: give real ones, as astype('float32') "
            "makes them"
        )
    if mapped.ndim != 2:
        raise RequestError(
            f"input.file={file}: its shape is {mapped.shape}: give rows, (rows, width), as reshape(rows, -1) "
            "makes them"
        )
    if not mapped.size:
        raise RequestError(f"input.file={file}: it is empty: give a file with rows")
    _check_numbers(file, mapped)
    count, width = mapped.shape
    del mapped
    with Path(file).open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if _state(file) != state:
        raise RequestError(f"input.file={file}: it changed while it was read: wait until it is written")
    return Content(count, width, digest)


def _check_numbers(file: str, mapped: Array) -> None:
    """RequestError for a number that is not finite, and for numbers whose squares float32 does not hold."""
    total, step = 0.0, max(1, _AT_ONCE // mapped.shape[1])
    for start in range(0, len(mapped), step):
        some = mapped[start : start + step].astype(np.float64)
        wrong = ~np.isfinite(some)
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise RequestError(
                f"input.file={file}: {some[row, column]} in row {start + row}, column {column} (from 0): "
                "give finite numbers alone"
            )
        largest = np.abs(some).max()
        if largest > LARGEST:
            raise RequestError(
                f"input.file={file}: it has numbers as large as {largest:.3g}: divide all by as much, "
                f"{LARGEST:g} is the most"
            )
        total += float(np.square(some).sum())
    rms = (total / mapped.size) ** 0.5
    if rms < 1 / LARGEST:
        raise RequestError(
            f"input.file={file}: its numbers are 0, or next to it (rms {rms:.3g}): there is no signal in them"
        )
