"""A folder of an object store, through fsspec. A PUT is whole or it is not there."""

import contextlib
import errno
import io
import time
from collections.abc import Callable, Collection
from typing import IO, Any, TypeVar

from sweep.base.errors import RequestError

# What to install for the schemes that most people have; fsspec itself says it for the others.
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs"}
_PAUSES = (0.5, None)  # seconds before what may pass is tried again, beyond what the store's own library does
_RESENT_SECONDS = 10.0  # between two PUTs of a text that grows

_T = TypeVar("_T")


def schemes() -> Collection[str]:
    """The schemes of URLs that fsspec knows, or those that most people have where it is not installed."""
    try:
        from fsspec.registry import known_implementations  # noqa: PLC0415  an extra
    except ImportError:
        return {*_PACKAGES, "file", "memory", "http", "https", "gs", "gcs", "az", "abfs", "ftp"}
    return set(known_implementations)


class Remote:
    """A folder of an object store, through fsspec. A PUT is whole or it is not there."""

    folder = None
    readers, distance = 16, 5  # of a store that lets one wait, and asks money for a look

    def __init__(self, url: str) -> None:
        self.root = url.rstrip("/")
        scheme = url.partition("://")[0]
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415  an extra

            # Others write here too: what was listed a moment ago is not what is there now.
            self._filesystem, base = url_to_fs(self.root, use_listings_cache=False)
        except ImportError as error:
            package = _PACKAGES.get(scheme)
            way_out = f"pip install {package or f'fsspec, and for {scheme}: {error}'}"
            raise RequestError(f"root={scheme}://…: needs more packages: {way_out}") from error
        except Exception as error:  # whatever a scheme's own library makes of an address that is none of its
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"
            way_out = "give a folder, or s3://bucket/prefix"
            raise RequestError(f"root={scheme}://…: cannot be opened ({why}); {way_out}") from error
        self._base = base.rstrip("/")

    def at(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def files(self, folder: str) -> dict[str, int]:
        return {
            _last(item): int(item["size"] or 0) for item in self._listed(folder) if item["type"] == "file"
        }

    def folders(self, folder: str) -> list[str]:
        return [_last(item) for item in self._listed(folder) if item["type"] == "directory"]

    def irregular(self, folder: str) -> list[str]:
        return []

    def entries(self, folder: str) -> list[str]:
        return [_last(item) for item in self._listed(folder)]

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = _tried(
                lambda: self._filesystem.ls(self._full(folder), detail=True, refresh=True), self.at(folder)
            )
        except FileNotFoundError:
            return []
        return found

    def read(self, path: str, most: int | None = None) -> bytes:
        end = None if most is None else most + 1
        content: bytes = _tried(lambda: self._filesystem.cat_file(self._full(path), end=end), self.at(path))
        if most is not None and len(content) > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes")
        return content

    def open(self, path: str) -> Any:
        import pyarrow as pa  # noqa: PLC0415

        # Arrow is given bytes: what a store's own library raises within it has ended processes.
        return pa.BufferReader(self.read(path))

    def write(self, path: str, content: Any) -> None:
        _tried(lambda: self._filesystem.pipe_file(self._full(path), bytes(content)), self.at(path))

    def append(self, path: str) -> IO[str]:
        return _Resent(lambda text: self.write(path, text))

    def hold(self, path: str, content: bytes) -> None:
        return None

    def held(self, path: str, content: bytes) -> None:
        return None

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            _tried(lambda: self._filesystem.rm_file(self._full(path)), self.at(path))

    def move(self, path: str, to: str) -> None:
        try:
            self.write(to, self.read(path))
        except FileNotFoundError:
            return
        self.remove(path)

    def modified(self, path: str) -> float:
        modified = _tried(lambda: self._filesystem.modified(self._full(path)), self.at(path))
        return float(modified.timestamp())

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base


class _Resent(io.StringIO):
    """A text in an object store, where nothing can be appended to: all of it again, now and then."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        super().__init__()
        self._put = put
        self._next = 0.0

    def flush(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _RESENT_SECONDS
            self._put(self.getvalue().encode(errors="backslashreplace"))

    def close(self) -> None:
        if not self.closed:
            self._next = 0.0
            try:
                self.flush()
            finally:
                super().close()


def _last(item: dict[str, Any]) -> str:
    return str(item["name"]).rstrip("/").rpartition("/")[2]


def _tried(attempt: Callable[[], _T], where: str) -> _T:
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
                raise OSError(errno.EIO, reason, where) from error
            time.sleep(pause)
    raise AssertionError
