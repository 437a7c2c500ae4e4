"""Where a study's files are: a folder of this machine, or of an object store.

Both promise the same: a file that is read is whole, for it appears under its name at once.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from sweep.errors import RequestError

# What to install for the schemes that most people have; fsspec itself says it for the others.
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs"}


class Place(Protocol):
    """A tree of files, each named by its path below `root`, with '/' between the parts."""

    @property
    def root(self) -> str:
        """The folder's path, or its URL."""

    @property
    def filesystem(self) -> Any:
        """What pyarrow opens paths with; None: this machine's files."""

    def files(self, folder: str) -> dict[str, int]:
        """Name -> bytes of every file in a folder; empty where there is none."""

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder."""

    def read(self, path: str) -> bytes:
        """The file's bytes; FileNotFoundError where there is none."""

    def write(self, path: str, content: Any) -> None:
        """Write the whole file at once: others see all of it, or nothing."""

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""

    def move(self, path: str, to: str) -> None:
        """Move a file, if it is there."""

    def modified(self, path: str) -> float:
        """When the file was written, in seconds of the epoch; FileNotFoundError where there is none."""

    def full(self, path: str) -> str:
        """The path that pyarrow opens, together with `filesystem`."""


def is_url(path: str | Path) -> bool:
    """Whether `path` names an object store's place, as in s3://bucket/folder."""
    return "://" in str(path) and not str(path).startswith("file://")


def place(path: str | Path) -> Place:
    """The place that a path or a URL names.

    Raises RequestError where a URL's scheme is unknown or needs an extra.
    """
    if is_url(path):
        return Remote(str(path))
    text = str(path)
    return Local(Path(urlsplit(text).path if text.startswith("file://") else text))


@dataclass(frozen=True)
class Local:
    """A folder of this machine, or one that it shares."""

    path: Path

    @property
    def filesystem(self) -> None:
        return None

    @property
    def root(self) -> str:
        return str(self.path)

    def files(self, folder: str) -> dict[str, int]:
        found = {}
        try:
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    try:
                        if entry.is_file():
                            found[entry.name] = entry.stat().st_size
                    except FileNotFoundError:  # removed at this moment
                        continue
        except (FileNotFoundError, NotADirectoryError):
            pass
        return found

    def folders(self, folder: str) -> list[str]:
        try:
            return [path.name for path in (self.path / folder).iterdir() if path.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, path: str) -> bytes:
        return (self.path / path).read_bytes()

    def write(self, path: str, content: Any) -> None:
        final = self.path / path
        final.parent.mkdir(parents=True, exist_ok=True)
        # A name that begins with a dot, which readers skip; the rename is what makes it a file.
        hidden = final.with_name(f".{final.name}.{os.getpid()}")
        try:
            with hidden.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            hidden.replace(final)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise

    def remove(self, path: str) -> None:
        (self.path / path).unlink(missing_ok=True)

    def move(self, path: str, to: str) -> None:
        (self.path / to).parent.mkdir(parents=True, exist_ok=True)
        try:
            (self.path / path).replace(self.path / to)
        except FileNotFoundError:
            return

    def modified(self, path: str) -> float:
        return (self.path / path).stat().st_mtime

    def full(self, path: str) -> str:
        return str(self.path / path)


class Remote:
    """A folder of an object store, through fsspec. A PUT is whole or it is not there."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        scheme = urlsplit(url).scheme
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415  an extra

            # Others write here too: what was listed a moment ago is not what is there now.
            self._filesystem, base = url_to_fs(self._url, use_listings_cache=False)
        except ImportError as error:
            package = _PACKAGES.get(scheme)
            way_out = f"pip install {package or f'fsspec, and for {scheme}: {error}'}"
            raise RequestError(f"root={scheme}://…: needs more packages: {way_out}") from error
        except ValueError as error:
            raise RequestError(f"root={scheme}://…: {error}; give a folder, or s3://bucket/prefix") from error
        self._base = base.rstrip("/")

    @property
    def root(self) -> str:
        return self._url

    @property
    def filesystem(self) -> Any:
        return self._filesystem

    def files(self, folder: str) -> dict[str, int]:
        return {_last(item): int(item["size"]) for item in self._listed(folder) if item["type"] == "file"}

    def folders(self, folder: str) -> list[str]:
        return [_last(item) for item in self._listed(folder) if item["type"] == "directory"]

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        with _as_oserror():
            try:
                found: list[dict[str, Any]] = self.filesystem.ls(self.full(folder), detail=True, refresh=True)
            except FileNotFoundError:
                return []
        return found

    def read(self, path: str) -> bytes:
        with _as_oserror():
            content: bytes = self.filesystem.cat_file(self.full(path))
            return content

    def write(self, path: str, content: Any) -> None:
        with _as_oserror():
            self.filesystem.pipe_file(self.full(path), bytes(content))

    def remove(self, path: str) -> None:
        with _as_oserror():
            try:
                self.filesystem.rm_file(self.full(path))
            except FileNotFoundError:
                return

    def move(self, path: str, to: str) -> None:
        try:
            self.write(to, self.read(path))
        except FileNotFoundError:
            return
        self.remove(path)

    def modified(self, path: str) -> float:
        with _as_oserror():
            return float(self.filesystem.modified(self.full(path)).timestamp())

    def full(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base


def _last(item: dict[str, Any]) -> str:
    return str(item["name"]).rstrip("/").rpartition("/")[2]


@contextmanager
def _as_oserror() -> Iterator[None]:
    """An object store's own exceptions as what they would be on a disk, without the request's secrets."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise OSError(errno.EIO, reason) from error
