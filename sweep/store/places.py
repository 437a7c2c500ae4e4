"""Where a study's files are: a folder of this machine, or of an object store.

Both promise the same: a file that is read is whole, for it appears under its name at once.
"""

import contextlib
import errno
import os
import stat
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from sweep.base.checks import shown
from sweep.base.errors import RequestError

# What to install for the schemes that most people have; fsspec itself says it for the others.
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs"}
_NO_LINK, _AT_ONCE = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)
_SMALL = 1 << 24  # bytes of a file that is read at once
_PAUSES = (0.5, None)  # seconds before what may pass is tried again, beyond what the store's own library does

_T = TypeVar("_T")


class Place(Protocol):
    """A tree of files, each named by its path below `root`, with '/' between the parts."""

    @property
    def root(self) -> str:
        """The folder's path, or its URL."""

    @property
    def folder(self) -> Path | None:
        """The folder on this machine's file system; None of an object store."""

    def at(self, path: str) -> Path | str:
        """Where a file is, for people and for other libraries: its path on this machine, or its URL."""

    def below(self, folder: str) -> "Place":
        """The folder as a place of its own."""

    def files(self, folder: str) -> dict[str, int]:
        """Name -> bytes of every file in a folder; empty where there is none. A link is no file."""

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder; a link is none."""

    def entries(self, folder: str) -> list[str]:
        """The names of all that is in a folder, whatever it is."""

    def read(self, path: str, most: int | None = None) -> bytes:
        """The file's bytes; FileNotFoundError where there is none, OSError where it has more than `most`."""

    def open(self, path: str) -> Any:
        """The file as Arrow reads it; FileNotFoundError where there is none."""

    def write(self, path: str, content: Any) -> None:
        """Write the whole file at once: others see all of it, or nothing."""

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


@dataclass(frozen=True)
class Local:
    """A folder of this machine, or one that it shares."""

    path: Path

    @property
    def root(self) -> str:
        return str(self.path)

    @property
    def folder(self) -> Path:
        return self.path

    def at(self, path: str) -> Path:
        return self.path / path

    def below(self, folder: str) -> "Local":
        return Local(self.path / folder)

    def files(self, folder: str) -> dict[str, int]:
        found = {}
        try:
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    try:
                        if entry.is_file(follow_symlinks=False):
                            found[entry.name] = entry.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:  # removed at this moment
                        continue
        except (FileNotFoundError, NotADirectoryError):
            pass
        return found

    def irregular(self, folder: str) -> list[str]:
        """The names of what is in a folder and no file: links, folders, pipes."""
        try:
            with os.scandir(self.path / folder) as entries:
                return sorted(entry.name for entry in entries if not entry.is_file(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def folders(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.path / folder) as entries:
                return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def entries(self, folder: str) -> list[str]:
        try:
            return [path.name for path in (self.path / folder).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _file(self, path: str) -> Path:
        """Where a file is; OSError where a link among its folders would lead elsewhere."""
        file = self.path / path
        for folder in PurePosixPath(path).parents[:-1]:
            if (self.path / folder).is_symlink():
                raise OSError(errno.ELOOP, "it is a link", str(self.path / folder))
        return file

    def read(self, path: str, most: int | None = None) -> bytes:
        with self.opened(path) as file:
            if most is not None and os.fstat(file.fileno()).st_size > most:
                raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(self.path / path))
            return file.read()

    def open(self, path: str) -> Any:
        import pyarrow as pa  # noqa: PLC0415

        with self.opened(path) as file:
            if os.fstat(file.fileno()).st_size <= _SMALL:
                return pa.BufferReader(file.read())
        return pa.OSFile(str(self._file(path).absolute()))

    def opened(self, path: str) -> IO[bytes]:
        """A regular file, no link, and nothing that one waits for."""
        flags = os.O_RDONLY | _NO_LINK | _AT_ONCE
        try:
            file = os.fdopen(os.open(self._file(path), flags), "rb")
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(errno.ELOOP, "it is a link", error.filename) from None
            raise
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise OSError(errno.EINVAL, "it is no regular file", str(self.path / path))
        return file

    def write(self, path: str, content: Any) -> None:
        final = self._file(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        # A name that begins with a dot, which readers skip; the rename is what makes it a file.
        hidden = final.with_name(f".{final.name}.{uuid.uuid4().hex}")  # nobody else's, on any machine
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
        self._file(path).unlink(missing_ok=True)

    def move(self, path: str, to: str) -> None:
        final = self._file(to)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file(path).replace(final)
        except FileNotFoundError:
            return

    def modified(self, path: str) -> float:
        return (self.path / path).stat().st_mtime


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
    def folder(self) -> None:
        return None

    def at(self, path: str) -> str:
        return f"{self._url}/{path}" if path else self._url

    def below(self, folder: str) -> "Remote":
        return Remote(self.at(folder))

    def files(self, folder: str) -> dict[str, int]:
        return {_last(item): int(item["size"]) for item in self._listed(folder) if item["type"] == "file"}

    def folders(self, folder: str) -> list[str]:
        return [_last(item) for item in self._listed(folder) if item["type"] == "directory"]

    def entries(self, folder: str) -> list[str]:
        return [_last(item) for item in self._listed(folder)]

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = _tried(
                lambda: self._filesystem.ls(self._full(folder), detail=True, refresh=True)
            )
        except FileNotFoundError:
            return []
        return found

    def read(self, path: str, most: int | None = None) -> bytes:
        end = None if most is None else most + 1
        content: bytes = _tried(lambda: self._filesystem.cat_file(self._full(path), end=end))
        if most is not None and len(content) > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes")
        return content

    def open(self, path: str) -> Any:
        import pyarrow as pa  # noqa: PLC0415

        # Arrow is given bytes: what a store's own library raises within it has ended processes.
        return pa.BufferReader(self.read(path))

    def write(self, path: str, content: Any) -> None:
        _tried(lambda: self._filesystem.pipe_file(self._full(path), bytes(content)))

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            _tried(lambda: self._filesystem.rm_file(self._full(path)))

    def move(self, path: str, to: str) -> None:
        try:
            self.write(to, self.read(path))
        except FileNotFoundError:
            return
        self.remove(path)

    def modified(self, path: str) -> float:
        return float(_tried(lambda: self._filesystem.modified(self._full(path))).timestamp())

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base


def _last(item: dict[str, Any]) -> str:
    return str(item["name"]).rstrip("/").rpartition("/")[2]


def _tried(attempt: Callable[[], _T]) -> _T:
    """What an attempt at an object store returns, or its exceptions as what they would be on a disk.

    What may pass is tried again, a few times; without the request's secrets.
    """
    for pause in _PAUSES:
        try:
            return attempt()
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:
            if pause is None:
                if isinstance(error, OSError):
                    raise
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                raise OSError(errno.EIO, reason) from error
            time.sleep(pause)
    raise AssertionError
