"""Byte sources that the prober brings along: a local file and bytes in memory."""

from __future__ import annotations

import os
import stat

from media_watch_tasks.abc.byte_source import ByteSource
from media_watch_tasks.errors import AssetNotFound, TransientError
from media_watch_tasks.model.identity import display_text

__all__ = ["BytesSource", "FileSource", "read_descriptor"]


class BytesSource(ByteSource):
    """Bytes in memory.

    With a `size` beyond the length of the bytes they are the head of a larger file: what lies behind them reads as
    missing, and `size` stays the true size.
    """

    def __init__(self, data: bytes, *, size: int | None = None) -> None:
        self._data = data
        self._size = len(data) if size is None else size

    @property
    def size(self) -> int:
        """The size that was given, or the number of bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """A slice of the bytes."""
        return self._data[offset : offset + length]


class FileSource(ByteSource):
    """A regular local file, read by `pread`.

    Raises (at construction):
        AssetNotFound: there is no such file, or it is no regular file.
        TransientError: the system refuses to open it.
    """

    def __init__(self, path: str | bytes | os.PathLike[str]) -> None:
        self._descriptor = -1
        self._name = display_text(os.fsencode(path))
        try:
            # Opening a FIFO would wait for its other end: O_NONBLOCK makes that return, and fstat then tells.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise AssetNotFound(f"there is no file {self._name}") from error
        except OSError as error:
            raise TransientError(f"cannot open {self._name}: {error.strerror}") from error
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise AssetNotFound(f"{self._name} is no regular file")
        self._size = status.st_size

    @property
    def size(self) -> int:
        """The size at the time of opening."""
        return self._size

    def fileno(self) -> int:
        """The open file descriptor: a worker process that is given it reads without asking back."""
        return self._descriptor

    def read_at(self, offset: int, length: int) -> bytes:
        """Read with `pread`.

        Raises:
            TransientError: the system reports an I/O error.
        """
        return read_descriptor(self._descriptor, offset, length, name=self._name)

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def read_descriptor(descriptor: int, offset: int, length: int, *, name: str = "the file") -> bytes:
    """`pread` until `length` bytes are there or the file ends.

    Raises:
        TransientError: the system reports an I/O error.
    """
    pieces: list[bytes] = []
    try:
        while length > 0:
            piece = os.pread(descriptor, length, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
    except OSError as error:
        raise TransientError(f"cannot read {name} at {offset}: {error.strerror}") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
