"""Where a study's files are: a folder of this machine, or of an object store.

Both promise the same: a file that is read is whole, for it appears under its name at once. Nobody else asks
which of the two a study has, but for what only a folder can be: seen by other processes (`Place.folder`).
"""

import os
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from sweep.base.checks import shown
from sweep.base.errors import RequestError
from sweep.store.places.local import Local
from sweep.store.places.remote import Remote


class Place(Protocol):
    """A tree of files, each named by its path below `root`, with '/' between the parts."""

    @property
    def root(self) -> str:
        """The folder's path, or its URL."""

    @property
    def folder(self) -> Path | None:
        """The folder on this machine's file system; None of an object store."""

    @property
    def readers(self) -> int:
        """How many of its files are best read at the same time."""

    @property
    def distance(self) -> int:
        """How many times as long as with a disk one waits between two looks at what is new."""

    def at(self, path: str) -> Path | str:
        """Where a file is, for people and for other libraries: its path on this machine, or its URL."""

    def files(self, folder: str) -> dict[str, int]:
        """Name -> bytes of every file in a folder; empty where there is none. A link is no file."""

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder; a link is none."""

    def irregular(self, folder: str) -> list[str]:
        """The names of what is in a folder and no file: links, folders, pipes; an object store has none."""

    def entries(self, folder: str) -> list[str]:
        """The names of all that is in a folder, whatever it is."""

    def read(self, path: str, most: int | None = None) -> bytes:
        """The file's bytes; FileNotFoundError where there is none, OSError where it has more than `most`."""

    def open(self, path: str) -> Any:
        """The file as Arrow reads it; FileNotFoundError where there is none."""

    def write(self, path: str, content: Any) -> None:
        """Write the whole file at once: others see all of it, or nothing."""

    def append(self, path: str) -> IO[str]:
        """A text that grows until it is closed, and that others can read meanwhile."""

    def hold(self, path: str, content: bytes) -> IO[bytes] | None:
        """A new file, locked until it is closed, however that happens; None where there are no locks."""

    def held(self, path: str, content: bytes) -> bool | None:
        """Whether somebody holds the file with this content; None where nobody can tell."""

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""

    def move(self, path: str, to: str) -> None:
        """Move a file, if it is there."""

    def modified(self, path: str) -> float:
        """When the file was written, in seconds of the epoch; FileNotFoundError where there is none."""


def is_url(path: str | Path) -> bool:
    """Whether `path` names an object store's place, as in s3://bucket/folder."""
    return "://" in str(path) and not str(path).startswith("file://")


def refuse_secrets(url: str) -> None:
    """Raise RequestError, which does not repeat them, where any link of a URL holds a user or a password."""
    for link in url.split("::"):
        scheme, found, rest = link.partition("://")
        host, _, path = rest.partition("/")
        _, colon, port = host.rpartition("]")[2].partition(":")  # [::1]:8080 is a host too
        # A password may hold a '/': what follows a colon and is no port is one, or its beginning.
        if found and ("@" in host or (colon and (not port.isdecimal() or "@" in path))):
            raise RequestError(
                f"{scheme}://…@…: no user or password in a URL, for it is written down with "
                "the results: give them as your other tools get them (environment, credentials file, role)"
            )


def study_path(root: str, study: str) -> Path | str:
    """The folder of a study below a root, or its URL."""
    if is_url(root):
        return f"{root.rstrip('/')}/{study}"
    return Path(root.removeprefix("file://")).expanduser() / study


def place(path: str | Path) -> Place:
    """The place that a path or a URL names.

    Raises RequestError where a URL's scheme is unknown or needs an extra.
    """
    text = str(path) if isinstance(path, str | Path) else ""
    if not text or "\0" in text or not _can_be_named(text):
        raise RequestError(f"{shown(repr(path))}: give a study's folder or URL, as in 'outputs/standard'")
    refuse_secrets(text)
    if is_url(path):
        return Remote(text)
    return Local(Path(urlsplit(text).path if text.startswith("file://") else text))


def _can_be_named(text: str) -> bool:
    try:
        return bool(os.fsencode(text))
    except UnicodeEncodeError:
        return False
