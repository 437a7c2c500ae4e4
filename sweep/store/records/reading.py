"""What lies beside a study's tables, read without trusting it: what cannot be read is named and left out.

Results never depend on it. Only a regular file of a sensible size is read.
"""

import contextlib
import json
import warnings
from typing import Any

from sweep.base.errors import SweepWarning
from sweep.store.places import Place

_MOST = 1 << 20  # bytes of a text
_told: set[tuple[str, str]] = set()


def content(place: Place, path: str, most: int = _MOST) -> bytes | None:
    """The bytes of a file; None where there is none, or where it cannot be read."""
    try:
        return place.read(path, most)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        leave_out(place, path, error.strerror or str(error))
        return None


def text(place: Place, path: str) -> str | None:
    """The same of a text."""
    written = content(place, path)
    try:
        return None if written is None else written.decode()
    except UnicodeDecodeError:
        leave_out(place, path, "it is not UTF-8")
        return None


def mapping(place: Place, path: str) -> dict[str, Any] | None:
    """The same of an object in JSON."""
    if (written := text(place, path)) is None:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(written)
        if isinstance(value, dict):
            return value
    leave_out(place, path, "it is not a JSON object")
    return None


def leave_out(place: Place, path: str, why: str) -> None:
    """Warn, once, that a file of a study is left out."""
    if (place.root, path) not in _told:
        _told.add((place.root, path))
        warnings.warn(f"left out: {place.root}/{path} ({why})", SweepWarning, stacklevel=3)
