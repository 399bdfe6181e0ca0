"""Random access to a local file, without a position of its own.

It stands here because two rooms that know nothing of each other need it: the resolver of local folders and the prober.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.errors import AssetChanged, AssetNotFound, TransientError
from media_watch_tasks.model.identity import display_text

__all__ = ["LocalByteSource", "OpenFileSource"]

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
"""A pipe that stands in the place of the file does not wait for somebody to write to it."""


class OpenFileSource(ByteSource):
    """Reads an open file by its descriptor, and closes that when it is closed."""

    def __init__(
        self,
        descriptor: int,
        display: str,
        *,
        verify: Callable[[os.stat_result], object] | None = None,
        failed: Callable[[OSError], Exception] | None = None,
    ) -> None:
        """Take over the descriptor of a regular file.

        Args:
            descriptor: the open file.
            display: its name for messages.
            verify: called after each read with what the file is now; raises where that is another version.
            failed: makes the exception for an error of the operating system; default: `TransientError`.
        """
        self._display = display
        self._descriptor = descriptor
        self._verify = verify
        self._failed = failed or self._unreadable
        # Another thread may close it: not in the middle of a read, when the number could become another file's.
        self._lock = threading.Lock()
        self._size = os.fstat(descriptor).st_size

    @property
    def size(self) -> int:
        """Bytes, when it was opened."""
        return self._size

    def fileno(self) -> int:
        """The open file descriptor: a process that is given it reads without asking back."""
        with self._lock:
            return self._open()

    def read_at(self, offset: int, length: int) -> bytes:
        """See `ByteSource`. `AssetChanged` if the file has become shorter than it was."""
        if offset < 0 or length < 0:
            raise ValueError(f"a range begins at 0 or later and is not shorter than 0 bytes: {offset}, {length}")
        wanted = max(0, min(length, self._size - offset))
        parts: list[bytes] = []
        while wanted:
            part = self._read(offset, wanted)
            if not part:
                raise AssetChanged(f"{self._display} ends at {offset} of {self._size} bytes: it was cut off meanwhile")
            parts.append(part)
            offset += len(part)
            wanted -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file. May be called again."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _read(self, offset: int, length: int) -> bytes:
        with self._lock:
            descriptor = self._open()
            try:
                data = os.pread(descriptor, length, offset)
                now = None if self._verify is None else os.fstat(descriptor)
            except OSError as error:
                raise self._failed(error) from error
        if self._verify is not None and now is not None:
            self._verify(now)
        return data

    def _open(self) -> int:
        if self._descriptor < 0:
            raise ValueError(f"{self._display} was closed")
        return self._descriptor

    def _unreadable(self, error: OSError) -> TransientError:
        return _cannot_be_read(self._display, error)


class LocalByteSource(OpenFileSource):
    """Reads a file by its path; links are followed. The file is opened at once.

    `AssetNotFound` where no file stands there, `TransientError` where it cannot be read.
    """

    def __init__(self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> None:
        """Open the file."""
        display = display_text(os.fsencode(path))
        try:
            descriptor = os.open(path, _READ)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENXIO}:
                raise AssetNotFound(f"{display} is not there") from error
            raise _cannot_be_read(display, error) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise AssetNotFound(f"{display} is no file")
        super().__init__(descriptor, display)


def _cannot_be_read(display: str, error: OSError) -> TransientError:
    return TransientError(f"{display} cannot be read: {os.strerror(error.errno or errno.EIO)}")
