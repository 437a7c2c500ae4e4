"""A folder of this machine, or one that it shares. No path is followed through a link."""

import contextlib
import errno
import os
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, ClassVar

fcntl: Any
try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None

_NO_LINK, _AT_ONCE = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)
_AS_IT_IS = getattr(os, "O_BINARY", 0)  # Windows, which else ends a file at the first Ctrl-Z
_SMALL = 1 << 24  # bytes of a file that is read at once


@dataclass(frozen=True)
class Local:
    """A folder of this machine, or one that it shares."""

    folder: Path
    readers: ClassVar[int] = 2  # of a disk, whose answers Arrow decodes
    distance: ClassVar[int] = 1

    @property
    def root(self) -> str:
        return str(self.folder)

    def at(self, path: str) -> Path:
        return self.folder / path

    def files(self, folder: str) -> dict[str, int]:
        sizes = {}
        for entry in self._scan(folder):
            with contextlib.suppress(FileNotFoundError):  # removed at this moment
                if entry.is_file(follow_symlinks=False):
                    sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
        return sizes

    def irregular(self, folder: str) -> list[str]:
        return sorted(entry.name for entry in self._scan(folder) if not entry.is_file(follow_symlinks=False))

    def folders(self, folder: str) -> list[str]:
        return [entry.name for entry in self._scan(folder) if entry.is_dir(follow_symlinks=False)]

    def entries(self, folder: str) -> list[str]:
        return [entry.name for entry in self._scan(folder)]

    def _scan(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.folder / folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _file(self, path: str) -> Path:
        """Where a file is; OSError where one of its folders is a link."""
        file = self.folder / path
        for folder in PurePosixPath(path).parents[:-1]:
            if (self.folder / folder).is_symlink():
                raise OSError(errno.ELOOP, "it is a link", str(self.folder / folder))
        return file

    def _new_file(self, path: str) -> Path:
        """Where a file is to be; its folder is made."""
        file = self._file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def read(self, path: str, most: int | None = None) -> bytes:
        with self.open_file(path) as file:
            if most is not None and os.fstat(file.fileno()).st_size > most:
                raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(self.folder / path))
            return file.read()

    def open(self, path: str) -> Any:
        import pyarrow as pa  # noqa: PLC0415

        with self.open_file(path) as file:
            if os.fstat(file.fileno()).st_size <= _SMALL:
                return pa.BufferReader(file.read())
        return pa.OSFile(os.fsencode(self._file(path).absolute()))

    def open_file(self, path: str) -> IO[bytes]:
        """A regular file: not a link, nor a pipe that one would wait for."""
        flags = os.O_RDONLY | _NO_LINK | _AT_ONCE | _AS_IT_IS
        try:
            file = os.fdopen(os.open(self._file(path), flags), "rb")
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(errno.ELOOP, "it is a link", error.filename) from None
            raise
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise OSError(errno.EINVAL, "it is not a regular file", str(self.folder / path))
        return file

    def write(self, path: str, content: Any) -> None:
        final = self._new_file(path)
        # Readers skip names that begin with a dot; the rename makes it a file for them.
        hidden = final.with_name(f".{final.name}.{uuid.uuid4().hex}")  # unique on all machines
        try:
            with hidden.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            hidden.replace(final)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise

    def append(self, path: str) -> IO[str]:
        return self._new_file(path).open("a", encoding="utf-8", errors="backslashreplace")

    def hold(self, path: str, content: bytes) -> IO[bytes] | None:
        final = self._new_file(path)
        if fcntl is None:
            return None
        # Locked before it gets its name: nobody ever finds it free while it is held.
        hidden = final.with_name(f".{final.name}")
        file = hidden.open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # a file system without locks
            file.close()
            hidden.unlink()
            return None
        try:
            file.write(content)
            file.flush()
            hidden.rename(final)
        except BaseException:
            hidden.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # closing tries again to write what could not be written
                file.close()
            raise
        return file

    def held(self, path: str, content: bytes) -> bool | None:
        try:
            with self.open_file(path) as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
                # A free lock says little where the locks of other machines are not seen.
                return False if file.read(len(content) + 1) == content else None
        except (OSError, AttributeError):  # no such file, no such locks
            return None

    def remove(self, path: str) -> None:
        self._file(path).unlink(missing_ok=True)

    def move(self, path: str, to: str) -> None:
        final = self._new_file(to)
        with contextlib.suppress(FileNotFoundError):
            self._file(path).replace(final)

    def modified(self, path: str) -> float:
        return (self.folder / path).stat().st_mtime
