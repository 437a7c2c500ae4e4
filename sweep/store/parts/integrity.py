"""Which parts are damaged, and why.

A part is damaged where its bytes were read and are not those that were written: a file that is not what its
schema's version says (`part_file`), layers that are gone or of another length than their commit says, layers
of no cell, rows of another digest. What cannot be read is not damaged; nor is a part with a row that no run
could have written, which is left out (`rows`).
"""

import contextlib
import errno
from collections.abc import Iterable, Iterator

import pyarrow.compute as pc

from sweep.base.errors import StoreError
from sweep.store.parts import part_file
from sweep.store.parts.commits import DIGEST, LAYERS_BYTES, STATE, names
from sweep.store.parts.part_file import BadBytesError, PartFile, one_line
from sweep.store.places import Place


class DamagedError(StoreError):
    """Parts that cannot be read: names -> why."""

    def __init__(self, root: str, parts: dict[str, str]) -> None:
        self.parts = parts
        name, why = next(iter(parts.items()))
        more = f", and {len(parts) - 1} more" if len(parts) > 1 else ""
        super().__init__(
            f"{root} has a part that cannot be read: {name} ({why}){more}; "
            f"to set aside what is damaged: python -m sweep.verify {root}"
        )


def damaged(place: Place, parts: Iterable[str]) -> dict[str, str]:
    """Which of the parts are not what was written, in any bit that matters, and why.

    A part that has gone meanwhile is not damaged. Raises UnreadableError where one cannot be read.
    """
    broken: dict[str, str] = {}
    sizes = place.files("layers")
    for name in sorted(parts):
        with contextlib.suppress(FileNotFoundError), noting(place, name, broken):
            _check(place, name, sizes)
    return broken


def _check(place: Place, name: str, sizes: dict[str, int]) -> None:
    files = [PartFile(place, folder, name) for folder in ("cells", "layers")]
    check_layers(place, name, files[0], sizes)
    files[0].footer.text(STATE)
    tables = [file.read(file.columns) for file in files]
    for table in tables:
        part_file.validate(table)
    if not pc.all(pc.is_in(tables[1]["cell_id"], value_set=tables[0]["cell_id"]), min_count=0).as_py():
        raise BadBytesError("it has layers that belong to no cell")
    expected = files[0].footer.more.get(DIGEST)
    if expected is not None and expected != part_file.digest(*tables):
        raise BadBytesError("its rows differ from those that were written")


def check_layers(place: Place, name: str, commit: PartFile, sizes: dict[str, int]) -> None:
    """Raise BadBytesError where the layers are not those of a commit; sizes: as listed."""
    expected = commit.footer.text(LAYERS_BYTES)
    if not expected or str(sizes.get(name)) == expected:
        return
    try:  # a store may list late: ask for the object itself
        size = len(place.read(f"layers/{name}"))
    except FileNotFoundError:
        raise BadBytesError("its layers are missing") from None
    except OSError as error:
        raise part_file.unreadable(place, f"layers/{name}", error) from error
    if str(size) != expected:
        raise BadBytesError("its layers are cut short")


@contextlib.contextmanager
def noting(place: Place, name: str, broken: dict[str, str]) -> Iterator[None]:
    """Note in `broken` what is wrong with the bytes of this part."""
    try:
        yield
    except BadBytesError as error:
        broken[name] = one_line(error)
    except MemoryError as error:
        raise part_file.unreadable(place, f"cells/{name}", error) from error
    except FileNotFoundError:
        if name in names(place):  # else it was removed in the meantime
            broken[name] = "its layers are missing"
            return
        raise FileNotFoundError(errno.ENOENT, "removed in the meantime", name) from None
