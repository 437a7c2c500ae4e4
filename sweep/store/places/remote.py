"""A folder of an object store, through fsspec. A PUT is whole or it is not there."""

import contextlib
import errno
import io
import time
from collections.abc import Callable, Collection
from typing import IO, Any

from sweep.base.errors import RequestError

# What to install for the most common schemes; fsspec itself says it for the others.
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs"}
_PAUSES = (0.5, None)  # seconds before another attempt, beyond those of the store's own library
_RESENT_SECONDS = 10.0  # between two PUTs of a growing text


def schemes() -> Collection[str]:
    """The URL schemes that fsspec knows, or the most common ones where it is not installed."""
    try:
        from fsspec.registry import known_implementations  # noqa: PLC0415  an extra
    except ImportError:
        return {*_PACKAGES, "file", "memory", "http", "https", "gs", "gcs", "az", "abfs", "ftp"}
    return set(known_implementations)


class Remote:
    """A folder of an object store, through fsspec. A PUT is whole or it is not there."""

    folder = None
    readers, distance = 16, 5  # a store answers slowly, and charges for every look

    def __init__(self, url: str) -> None:
        self.root = url.rstrip("/")
        scheme = url.partition("://")[0]
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415  an extra

            # Others write here too: a listing is out of date a moment later.
            self._filesystem, base = url_to_fs(self.root, use_listings_cache=False)
        except ImportError as error:
            package = _PACKAGES.get(scheme)
            way_out = f"pip install {package or f'fsspec, and for {scheme}: {error}'}"
            raise RequestError(f"root={scheme}://…: needs more packages: {way_out}") from error
        except Exception as error:  # whatever a scheme's own library raises for a bad address
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
            return list(self._call("ls", folder, detail=True, refresh=True))
        except FileNotFoundError:
            return []

    def read(self, path: str, most: int | None = None) -> bytes:
        end = None if most is None else most + 1
        content: bytes = self._call("cat_file", path, end=end)
        if most is not None and len(content) > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes")
        return content

    def open(self, path: str) -> Any:
        import pyarrow as pa  # noqa: PLC0415

        # Arrow is given bytes: an exception of a store's own library inside it has ended processes.
        return pa.BufferReader(self.read(path))

    def write(self, path: str, content: Any) -> None:
        self._call("pipe_file", path, bytes(content))

    def append(self, path: str) -> IO[str]:
        return _Resent(lambda text: self.write(path, text))

    def hold(self, path: str, content: bytes) -> None:
        return None

    def held(self, path: str, content: bytes) -> None:
        return None

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._call("rm_file", path)

    def move(self, path: str, to: str) -> None:
        try:
            self.write(to, self.read(path))
        except FileNotFoundError:
            return
        self.remove(path)

    def modified(self, path: str) -> float:
        return float(self._call("modified", path).timestamp())

    def _call(self, method: str, path: str, *arguments: Any, **options: Any) -> Any:
        """What the file system's method returns for a file; its exceptions as a disk's, tried once more."""
        full = f"{self._base}/{path}" if path else self._base
        for pause in _PAUSES:
            try:
                return getattr(self._filesystem, method)(full, *arguments, **options)
            except (FileNotFoundError, PermissionError):
                raise
            except Exception as error:
                if pause is None:
                    if isinstance(error, OSError):
                        raise
                    reason = f"{type(error).__name__}: {error}".splitlines()[0]  # no more: secrets follow
                    raise OSError(errno.EIO, reason, self.at(path)) from error
                time.sleep(pause)
        raise AssertionError


class _Resent(io.StringIO):
    """A growing text in an object store, which cannot append: all of it is sent again, now and then."""

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
