"""What lies beside a study's tables, read without trusting it: what cannot be read is named, and left out.

Results never depend on it. A file is a regular one of a sensible size, or it is not read.
"""

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
    found = content(place, path)
    try:
        return None if found is None else found.decode()
    except UnicodeDecodeError:
        leave_out(place, path, "it is not UTF-8")
        return None


def mapping(place: Place, path: str) -> dict[str, Any] | None:
    """The same of an object in JSON."""
    written = text(place, path)
    if written is None:
        return None
    try:
        found = json.loads(written)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    leave_out(place, path, "it is no JSON object")
    return None


def leave_out(place: Place, path: str, why: str) -> None:
    """Say, once, that a file of a study is not taken into account."""
    if (place.root, path) not in _told:
        _told.add((place.root, path))
        warnings.warn(f"left out: {place.root}/{path} ({why})", SweepWarning, stacklevel=3)
