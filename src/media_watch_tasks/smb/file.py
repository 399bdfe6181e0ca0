"""A file of a share as a byte source and as a stream that reads ahead with many requests in flight."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Sequence
from typing import Any

from media_watch_tasks.abc import ByteSource
from media_watch_tasks.smb.channel import Exchange
from media_watch_tasks.smb.entries import filetime_to_ns, signed_id
from media_watch_tasks.smb.frames import LARGEST_REPLY
from media_watch_tasks.smb.open_file import MOST_AHEAD, OpenFile

__all__ = ["SmbFile"]

_FIRST_AHEAD = 2
_FIRST_CHUNK = 64 * 1024


class _Chunk:
    __slots__ = ("exchange", "length", "offset")

    def __init__(self, offset: int, length: int, exchange: Exchange) -> None:
        self.offset = offset
        self.length = length
        self.exchange = exchange


class SmbFile(io.RawIOBase, ByteSource):
    """A byte source and a seekable binary stream over one open file. One thread at a time uses it.

    `read_at` and `read_many` fetch exactly what they are asked for; `read` and `readinto` read ahead while they are
    called in order. The size is that of the moment of opening: bytes that are appended later are not read.

    Args:
        file: is closed with this.
        offset, length: which bytes of it are the stream.
        verify: the stream's last bytes are handed out only after a look at the path shows that version, or nothing.

    Raises while reading:
        AssetChanged: the file became shorter, or was replaced while the connection was away.
        AssetNotFound, Snooze, SourceOfflineError, AuthenticationRequiredError, TransientError: as a resolver does.
    """

    def __init__(
        self, file: OpenFile, *, offset: int = 0, length: int | None = None, verify: bool = False
    ) -> None:  # fmt: skip
        super().__init__()
        self._file = file
        # What is handed out as this version has to be it until the last byte.
        self._is_checked = not verify
        self._ahead: deque[_Chunk] = deque()
        self._depth = _FIRST_AHEAD
        self._current: tuple[int, memoryview, Exchange | None] = (0, memoryview(b""), None)
        self._start = min(offset, self._file.opened.size)
        rest = self._file.opened.size - self._start
        self._stop = self._start + (rest if length is None else min(length, rest))
        self._position = self._start

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._file.opened.size

    @property
    def mtime_ns(self) -> int:
        """Modification time, nanoseconds since 1970-01-01 UTC."""
        return filetime_to_ns(self._file.opened.last_write)

    @property
    def file_id(self) -> int | None:
        """The server's number of the file."""
        return signed_id(self._file.opened.file_id)

    def read_at(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` of the file; fewer only at its end."""
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """All ranges at once: their requests go out together. `ValueError` for a negative offset or length."""
        self._check_open()
        if any(offset < 0 or length < 0 for offset, length in ranges):
            raise ValueError(f"a range begins at 0 or later and is not shorter than 0 bytes: {list(ranges)}")
        return self._file.read_many(ranges)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position of the next `read`, from the start of the stream."""
        return self._position - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position of the next `read`."""
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._position, io.SEEK_END: self._stop}[whence]
        if base + offset < self._start:
            raise ValueError("a position before the start of the stream")
        self._position = base + offset
        return self.tell()

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the buffer with the next bytes, fewer only at the end."""
        self._check_open()
        target = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(target) and self._position < self._stop:
            view = self._here()
            count = min(len(view), len(target) - filled, self._stop - self._position)
            self._check_end(count)
            target[filled : filled + count] = view[:count]
            filled += count
            self._position += count
        return filled

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, fewer only at the end; all that are left with -1."""
        left = max(self._stop - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        self._check_open()
        if not wanted:
            return b""
        view = self._here()
        if len(view) >= wanted:
            self._check_end(wanted)
            data = bytes(view[:wanted])
            self._position += wanted
            return data
        buffer = bytearray(wanted)
        self.readinto(buffer)
        return bytes(buffer)

    def readall(self) -> bytes:
        """All bytes that are left."""
        return self.read(-1)

    def close(self) -> None:
        """Close the file on the server, without waiting for the answer. May be called again."""
        if not self.closed:
            self._forget_ahead()
            self._file.close()
        super().close()

    def __del__(self) -> None:
        # Collected, perhaps in the middle of another send.
        file: OpenFile | None = getattr(self, "_file", None)
        if file is not None:
            file.abandon()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")

    def _check_end(self, count: int) -> None:
        if not self._is_checked and self._position + count >= self._stop:
            self._file.close_and_verify()
            self._is_checked = True

    def _here(self) -> memoryview:
        """The bytes at the position, from what was read ahead."""
        start, view, _ = self._current
        if start <= self._position < start + len(view):
            return view[self._position - start :]
        return self._file.insist(self._next_chunk, lost=self._forget_ahead)

    def _next_chunk(self) -> memoryview:
        self._release_current()
        if not self._file.is_fast:
            data = self._file.read_slowly(self._position, min(LARGEST_REPLY, self._stop - self._position))
            self._current = (self._position, memoryview(data), None)
            return self._current[1]
        while self._ahead and not self._covers(self._ahead[0]):
            self._ahead.popleft()
        if self._ahead and self._ahead[0].exchange.error is not None:
            # Its connection was lost: what is asked for now goes out on a new one, and must not wait behind it.
            self._ahead.clear()
        if not self._ahead:
            self._depth = _FIRST_AHEAD
        elif not self._ahead[0].exchange.done:
            # The reader had to wait: more requests in flight would have hidden the distance.
            self._depth = min(self._depth * 4, MOST_AHEAD)
        self._fill_ahead()
        chunk = self._ahead.popleft()
        data_view = self._file.data_of(chunk.exchange, chunk.length)
        self._current = (chunk.offset, data_view, chunk.exchange)
        return data_view[self._position - chunk.offset :]

    def _covers(self, chunk: _Chunk) -> bool:
        return chunk.offset <= self._position < chunk.offset + chunk.length

    def _fill_ahead(self) -> None:
        largest = self._file.largest_read()
        while len(self._ahead) < self._depth:
            last = self._ahead[-1] if self._ahead else None
            offset = last.offset + last.length if last is not None else self._position
            # A first small piece answers soon; who goes on reading gets whole ones.
            length = min(largest if last is not None else _FIRST_CHUNK, self._stop - offset)
            if length <= 0:
                return
            self._ahead.append(_Chunk(offset, length, self._file.ask(offset, length)))

    def _release_current(self) -> None:
        _, view, exchange = self._current
        self._current = (0, memoryview(b""), None)
        view.release()
        if exchange is not None:
            exchange.release()

    def _forget_ahead(self) -> None:
        # Replies that still come are received with those of others and fall to the ground.
        self._ahead.clear()
        self._current = (0, memoryview(b""), None)
