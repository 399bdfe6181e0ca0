"""An open file of a share: random access, and a stream that reads ahead with many requests in flight.

The file is opened with read, write and delete shared, so that nobody is kept out while it is read. When the connection
is lost the file is opened again and the reading goes on, provided that size and modification time are still the same.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from media_watch_tasks.abc import ByteSource
from media_watch_tasks.errors import AssetChanged, SourceOfflineError
from media_watch_tasks.model import identity
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.smb import wire
from media_watch_tasks.smb.channel import LARGEST_REPLY, Channel, ChannelLost, Exchange
from media_watch_tasks.smb.entries import filetime_to_ns, signed_id
from media_watch_tasks.smb.fallback import SlowHandle
from media_watch_tasks.smb.operations import CompoundRefused, Look, largest_read
from media_watch_tasks.smb.paths import to_share
from media_watch_tasks.smb.session import TRIES, ShareSession
from media_watch_tasks.smb.statuses import GONE, Status, error_for
from media_watch_tasks.smb.wire import Access, Opened, Options, ProtocolViolation, Share

__all__ = ["SmbFile"]

_MOST_AHEAD = 32
"""Requests in flight for one stream: 32 MiB cover 10 ms at 3 GB/s."""
_FIRST_AHEAD = 2
_FIRST_CHUNK = 64 * 1024

_T = TypeVar("_T")


class _Chunk:
    __slots__ = ("exchange", "length", "offset")

    def __init__(self, offset: int, length: int, exchange: Exchange) -> None:
        self.offset = offset
        self.length = length
        self.exchange = exchange


class SmbFile(io.RawIOBase, ByteSource):
    """A byte source and a seekable binary stream over one open file. One thread at a time uses it.

    `read_at` and `read_many` fetch exactly what they are asked for; `read` and `readinto` read ahead while they are
    called in order. The size is that of the moment of opening: bytes that are appended later are not read. With a
    `version`, the last bytes are handed out only after a look at the path shows that version, or nothing, there.

    Raises while reading:
        AssetChanged: the file became shorter, or was replaced while the connection was away.
        AssetNotFound, Snooze, SourceOfflineError, AuthenticationRequiredError, TransientError: as a resolver does.
    """

    def __init__(
        self, session: ShareSession, path: bytes, *, offset: int = 0, length: int | None = None,
        version: Fingerprint | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._session = session
        self._path = path
        self._expected = version
        # What is handed out as this version has to be it until the last byte.
        self._is_checked = version is None
        self._channel: Channel | None = None
        self._handle: bytes | None = None
        self._slow: SlowHandle | None = None
        self._ahead: deque[_Chunk] = deque()
        self._depth = _FIRST_AHEAD
        self._current: tuple[int, memoryview, Exchange | None] = (0, memoryview(b""), None)
        self._opened = self._insist(self._open)
        self._start = min(offset, self._opened.size)
        rest = self._opened.size - self._start
        self._stop = self._start + (rest if length is None else min(length, rest))
        self._position = self._start

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._opened.size

    @property
    def mtime_ns(self) -> int:
        """Modification time, nanoseconds since 1970-01-01 UTC."""
        return filetime_to_ns(self._opened.last_write)

    @property
    def file_id(self) -> int | None:
        """The server's number of the file."""
        return signed_id(self._opened.file_id)

    def read_at(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` of the file; fewer only at its end."""
        return self.read_many([(offset, length)])[0]

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """All ranges at once: their requests go out together."""
        self._check_open()
        wanted = [(offset, max(min(length, self.size - offset), 0)) for offset, length in ranges]
        return self._insist(lambda: [b"".join(parts) for parts in self._fetch(wanted)])

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
            channel, handle = self._channel, self._handle
            self._channel = self._handle = None
            if channel is not None:
                self._session.give_back(channel, handle)
            if self._slow is not None:
                self._slow.close()
                self._slow = None
        super().close()

    def __del__(self) -> None:
        # Collected, perhaps in the middle of another send: the handle is noted and closed with the next request.
        channel, handle = getattr(self, "_channel", None), getattr(self, "_handle", None)
        if channel is not None and handle is not None:
            self._channel = self._handle = None
            self._session.abandon(channel, handle)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")

    def _check_end(self, count: int) -> None:
        if self._is_checked or self._position + count < self._stop:
            return
        look = self._insist(self._look_again)
        if look.opened is not None:
            self._check_version(look)
        elif look.status not in GONE:
            raise error_for(look.status, f"cannot look at {self._shown} again")
        self._is_checked = True

    def _look_again(self) -> Look:
        channel, handle, slow = self._channel, self._handle, self._slow
        self._channel = self._handle = self._slow = None
        if slow is not None:
            slow.close()
        if channel is None or handle is None or not channel.alive:
            return self._session.look(self._path, access=Access.ATTRIBUTES)
        return self._session.close_and_look(channel, handle, self._path)

    def _insist(self, step: Callable[[], _T]) -> _T:
        for attempt in range(1, TRIES + 1):
            try:
                return step()
            except CompoundRefused as error:
                self._session.use_slow_path(str(error))
                self._forget_ahead()
            except (ChannelLost, ProtocolViolation) as error:
                self._channel = self._handle = self._slow = None
                self._forget_ahead()
                if attempt == TRIES:
                    raise SourceOfflineError(f"{self._shown}: {error}") from error
        raise AssertionError("unreachable")

    @property
    def _shown(self) -> str:
        return f"{self._session.credentials.place}/{identity.display_text(self._path)}"

    def _open(self) -> Opened:
        if not self._session.fast:
            look, self._slow = self._session.slow.open(self._path, access=Access.READ)
            return self._check_version(look)
        channel = self._session.pool.least_busy()
        message = wire.create(to_share(self._path), access=Access.READ, share=Share.ALL, options=Options.FILE)
        reply = self._session.pool.call(channel, (message,)).result()[0]
        opened = wire.opened(reply) if reply.status == Status.SUCCESS else None
        if opened is not None:
            self._channel, self._handle = channel, opened.handle
        return self._check_version(Look(reply.status, opened))

    def _check_version(self, look: Look) -> Opened:
        if look.opened is None:
            raise error_for(look.status, f"cannot open {self._shown}")
        found = Fingerprint(look.opened.size, filetime_to_ns(look.opened.last_write))
        if self._expected is None:
            self._expected = found
        elif found != self._expected:
            raise AssetChanged(f"{self._shown} is another version now: {found}, not {self._expected}")
        return look.opened

    def _held(self) -> tuple[Channel, bytes]:
        if self._channel is None or self._handle is None or not self._channel.alive:
            self._open()
        if self._channel is None or self._handle is None:
            raise ChannelLost(f"{self._shown} could not be opened again")
        return self._channel, self._handle

    def _ask(self, offset: int, length: int) -> Exchange:
        channel, handle = self._held()
        return self._session.pool.post(channel, (wire.read(offset=offset, length=length, handle=handle),))

    def _largest(self) -> int:
        channel, _ = self._held()
        return largest_read(channel.login)

    def _fetch(self, ranges: Sequence[tuple[int, int]]) -> list[list[bytes]]:
        if not self._session.fast:
            return [[self._slow_read(offset, length)] for offset, length in ranges]
        largest = self._largest()
        waiting: deque[tuple[list[bytes], int, Exchange]] = deque()
        results: list[list[bytes]] = []
        for offset, length in ranges:
            parts: list[bytes] = []
            results.append(parts)
            for start in range(offset, offset + length, largest):
                portion = min(largest, offset + length - start)
                waiting.append((parts, portion, self._ask(start, portion)))
                if len(waiting) > _MOST_AHEAD:
                    self._collect(*waiting.popleft())
        while waiting:
            self._collect(*waiting.popleft())
        return results

    def _collect(self, parts: list[bytes], length: int, exchange: Exchange) -> None:
        parts.append(bytes(self._data(exchange, length)))
        exchange.release()

    def _slow_read(self, offset: int, length: int) -> bytes:
        if self._slow is None:
            self._open()
        data = self._session.slow.read(self._slow, offset, length) if self._slow is not None else b""
        if len(data) < length:
            raise self._shorter(offset + len(data))
        return data

    def _data(self, exchange: Exchange, length: int) -> memoryview:
        reply = self._session.pool.finish(exchange).result()[0]
        if reply.status == Status.END_OF_FILE:
            raise self._shorter(None)
        if reply.status != Status.SUCCESS:
            raise error_for(reply.status, f"cannot read {self._shown}")
        data = wire.read_data_of(reply)
        if len(data) > length:
            raise ProtocolViolation(f"{len(data)} bytes came where {length} were asked for")
        if len(data) < length:
            raise self._shorter(None)
        return data

    def _shorter(self, end: int | None) -> AssetChanged:
        where = "" if end is None else f" at {end}"
        return AssetChanged(f"{self._shown} ended{where} before the {self.size} bytes it had when it was opened")

    def _here(self) -> memoryview:
        """The bytes at the position, from what was read ahead."""
        start, view, _ = self._current
        if start <= self._position < start + len(view):
            return view[self._position - start :]
        return self._insist(self._next_chunk)

    def _next_chunk(self) -> memoryview:
        self._release_current()
        if not self._session.fast:
            data = self._slow_read(self._position, min(LARGEST_REPLY, self._stop - self._position))
            self._current = (self._position, memoryview(data), None)
            return self._current[1]
        while self._ahead and not self._covers(self._ahead[0]):
            self._ahead.popleft()
        if not self._ahead:
            self._depth = _FIRST_AHEAD
        elif not self._ahead[0].exchange.done:
            # The reader had to wait: more requests in flight would have hidden the distance.
            self._depth = min(self._depth * 2, _MOST_AHEAD)
        self._fill_ahead()
        chunk = self._ahead.popleft()
        data_view = self._data(chunk.exchange, chunk.length)
        self._current = (chunk.offset, data_view, chunk.exchange)
        return data_view[self._position - chunk.offset :]

    def _covers(self, chunk: _Chunk) -> bool:
        return chunk.offset <= self._position < chunk.offset + chunk.length

    def _fill_ahead(self) -> None:
        largest = self._largest()
        while len(self._ahead) < self._depth:
            last = self._ahead[-1] if self._ahead else None
            offset = last.offset + last.length if last is not None else self._position
            # A first small piece answers soon; who goes on reading gets whole ones.
            length = min(largest if last is not None else _FIRST_CHUNK, self._stop - offset)
            if length <= 0:
                return
            self._ahead.append(_Chunk(offset, length, self._ask(offset, length)))

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
