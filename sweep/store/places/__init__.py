"""Where a study's files are: in a folder of this machine, or of an object store.

Both promise that a file that is read is whole, for it appears under its name at once. Nobody else asks which
of the two a study has, except for what only a folder can do: be seen by other processes (`Place.folder`).
"""

import os
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from sweep.base import checks
from sweep.base.checks import shown
from sweep.base.errors import RequestError
from sweep.store.places.local import Local
from sweep.store.places.remote import Remote, schemes


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
        """How many times longer than with a disk to wait between two looks at what is new."""

    def at(self, path: str) -> Path | str:
        """Where a file is, for people and other libraries: its path on this machine, or its URL."""

    def files(self, folder: str) -> dict[str, int]:
        """Name -> bytes of every file in a folder, links left out; empty where there is no folder."""

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder, links left out."""

    def irregular(self, folder: str) -> list[str]:
        """The names of what is not a file in a folder: links, folders, pipes; none in an object store."""

    def entries(self, folder: str) -> list[str]:
        """The names of everything in a folder."""

    def read(self, path: str, most: int | None = None) -> bytes:
        """The file's bytes; FileNotFoundError where there is none, OSError where it has more than `most`."""

    def open(self, path: str) -> Any:
        """The file as Arrow reads it; FileNotFoundError where there is none."""

    def write(self, path: str, content: Any) -> None:
        """Write the whole file at once: others see all of it, or nothing."""

    def append(self, path: str) -> IO[str]:
        """A text that grows until it is closed; others can read it meanwhile."""

    def hold(self, path: str, content: bytes) -> IO[bytes] | None:
        """A new file, locked until it is closed, in whatever way; None where there are no locks."""

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


def check(url: str) -> None:
    """Raise RequestError where a URL holds a secret (not repeated), or lacks a slash or its host."""
    checks.no_secret(url)
    scheme, _, rest = url.rpartition("::")[2].partition(":")
    local = scheme.lower() in ("file", "local")
    example = f"{scheme}:///data/grids" if local else f"{scheme}://bucket/folder"
    slashes = len(rest) - len(rest.lstrip("/"))
    if (slashes == 1 or (not slashes and "@" in rest)) and scheme.lower() in schemes():
        given = f"{scheme}:{'…' if '@' in rest else rest}"
        raise RequestError(
            f"{given}: write a URL as in {example}, and a folder of that name as in ./{scheme}:…"
        )
    if local and slashes == 2:
        raise RequestError(f"{url}: a folder on this machine takes three slashes, as in {example}")
    if "://" in url and not local and (slashes > 2 or not rest.strip("/")):
        raise RequestError(f"{url}: a URL names its host or bucket, as in {example}")


def check_kept(url: str) -> None:
    """Raise RequestError as `check` does, and where what is written would end with this process."""
    check(url)
    if url.rpartition("::")[2].startswith("memory:/"):
        raise RequestError(
            f"{url}: memory is lost when the process ends; give a folder, or s3://bucket/prefix"
        )


def check_folder(path: str | Path) -> None:
    """Raise RequestError as `check` does, and where a path is not a folder of this machine."""
    check(str(path))
    if not str(path) or is_url(str(path)):
        raise RequestError(f"--to {path}: figures must go to a folder on this machine, as in --to figures")


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
    check(text)
    if is_url(path):
        return Remote(text)
    return Local(Path(urlsplit(text).path if text.startswith("file://") else text))


def _can_be_named(text: str) -> bool:
    try:
        return bool(os.fsencode(text))
    except UnicodeEncodeError:
        return False
