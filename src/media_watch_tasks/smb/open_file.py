"""A file of a share that is held open: ranges of one version of it, over lost connections.

The file is opened with read, write and delete shared, so that nobody is kept out while it is read. When the connection
is lost the file is opened again and the reading goes on, provided that size and modification time are still the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from media_watch_tasks.errors import AssetChanged, MediaWatchError, SourceOfflineError
from media_watch_tasks.model import identity
from media_watch_tasks.model.identity import Fingerprint
from media_watch_tasks.smb import wire
from media_watch_tasks.smb.channel import Channel, Exchange
from media_watch_tasks.smb.entries import filetime_to_ns
from media_watch_tasks.smb.fallback import SlowHandle
from media_watch_tasks.smb.frames import ChannelLost
from media_watch_tasks.smb.logged_in import TRIES
from media_watch_tasks.smb.operations import CompoundRefused, Look, largest_read
from media_watch_tasks.smb.paths import to_share
from media_watch_tasks.smb.session import ShareSession
from media_watch_tasks.smb.statuses import GONE, Status, error_for
from media_watch_tasks.smb.wire import Access, Message, Opened, Options, ProtocolViolation, Reply, Share

__all__ = ["MOST_AHEAD", "OpenFile"]

MOST_AHEAD = 32
"""Requests in flight for one file: 32 MiB cover 10 ms at 3 GB/s."""

_T = TypeVar("_T")


class OpenFile:
    """One file, opened at once. One thread at a time uses it.

    Args:
        session: the share.
        path: of the file, within the share.
        version: what has to be found there; None takes what is found.
        ends: so many bytes of both ends of the file (of the size in `version`) are asked for with its opening.
        refused: the exception for the status with which the server refuses to open it; `error_for` by default.

    Raises (all of its methods do):
        AssetChanged: another version stands there, or the file became shorter.
        AssetNotFound, Snooze, SourceOfflineError, AuthenticationRequiredError, TransientError: as a resolver does.
    """

    def __init__(
        self,
        session: ShareSession,
        path: bytes,
        *,
        version: Fingerprint | None = None,
        ends: int = 0,
        refused: Callable[[int], MediaWatchError] | None = None,
    ) -> None:
        self._session = session
        self._path = path
        self._expected = version
        self._refused = refused or (lambda status: error_for(status, f"cannot open {self.shown}"))
        self._channel: Channel | None = None
        self._handle: bytes | None = None
        self._slow: SlowHandle | None = None
        self._ends: list[tuple[int, bytes]] = []
        wanted = _both_ends(version.size, ends) if version is not None and ends else ()
        self.opened: Opened = self.insist(lambda: self._open(wanted))

    @property
    def shown(self) -> str:
        """The file, for messages."""
        return f"{self._session.credentials.place}/{identity.display_text(self._path)}"

    @property
    def is_fast(self) -> bool:
        """False where only `read_slowly` can read."""
        return self._session.fast

    def insist(self, step: Callable[[], _T], *, lost: Callable[[], None] | None = None) -> _T:
        """Do something; again, at most three times in all, where the connection was lost on the way.

        `lost` is called before each further try: what was asked for on the old connection will not come.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return step()
            except CompoundRefused as error:
                self._session.use_slow_path(str(error))
            except (ChannelLost, ProtocolViolation) as error:
                self._channel = self._handle = self._slow = None
                if attempt == TRIES:
                    raise SourceOfflineError(f"{self.shown}: {error}") from error
            if lost is not None:
                lost()
        raise SourceOfflineError(f"{self.shown} cannot be read: the server refuses what it is asked in every way")

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The ranges, cut at the end of the file; their requests go out together."""
        wanted = [(offset, max(min(length, self.opened.size - offset), 0)) for offset, length in ranges]
        return self.insist(lambda: [b"".join(parts) for parts in self._fetch(wanted)])

    def read_slowly(self, offset: int, length: int) -> bytes:
        """One range, with smbprotocol's own calls."""
        if self._slow is None:
            self._open()
        data = self._session.slow.read(self._slow, offset, length) if self._slow is not None else b""
        if len(data) < length:
            raise self._shorter(offset + len(data))
        return data

    def largest_read(self) -> int:
        """The most bytes of one `ask`."""
        channel, _ = self._held()
        return largest_read(channel.login)

    def ask(self, offset: int, length: int) -> Exchange:
        """Ask for a range without waiting for it."""
        channel, handle = self._held()
        exchange = self._session.pool.post(channel, (wire.read(offset=offset, length=length, handle=handle),))
        if exchange.error is not None:
            raise exchange.error
        return exchange

    def data_of(self, exchange: Exchange, length: int) -> memoryview:
        """Wait for what was asked for. The bytes are good until the exchange is released."""
        reply = self._session.pool.finish(exchange).result()[0]
        if reply.status == Status.END_OF_FILE:
            raise self._shorter(None)
        if reply.status != Status.SUCCESS:
            raise error_for(reply.status, f"cannot read {self.shown}")
        data = wire.read_data_of(reply)
        if len(data) > length:
            raise ProtocolViolation(f"{len(data)} bytes came where {length} were asked for")
        if len(data) < length:
            raise self._shorter(None)
        return data

    def close_and_verify(self) -> None:
        """Close it, and make sure that the path shows the version that was read, or nothing any more."""
        look = self.insist(self._look_again)
        if look.opened is not None:
            self._check_version(look)
        elif look.status not in GONE:
            raise error_for(look.status, f"cannot look at {self.shown} again")

    def close(self) -> None:
        """Close it on the server, without waiting for the answer. May be called again."""
        channel, handle, slow = self._channel, self._handle, self._slow
        self._channel = self._handle = self._slow = None
        if channel is not None:
            self._session.give_back(channel, handle)
        if slow is not None:
            slow.close()

    def abandon(self) -> None:
        """Note that nobody closed it; it is closed with a later request. Safe in a destructor."""
        channel, handle = self._channel, self._handle
        if channel is not None and handle is not None:
            self._channel = self._handle = None
            self._session.abandon(channel, handle)

    def _open(self, ends: Sequence[tuple[int, int]] = ()) -> Opened:
        if not self._session.fast:
            look, self._slow = self._session.slow.open(self._path, access=Access.READ)
            return self._check_version(look)
        channel = self._session.pool.least_busy()
        messages: list[Message] = [
            wire.create(to_share(self._path), access=Access.READ, share=Share.ALL, options=Options.FILE)
        ]
        messages += [wire.read(offset=offset, length=length) for offset, length in ends]
        exchange = self._session.pool.call(channel, messages)
        created, *reads = exchange.result()
        opened = wire.opened(created) if created.status == Status.SUCCESS else None
        if opened is not None:
            self._channel, self._handle = channel, opened.handle
        found = self._check_version(Look(created.status, opened))
        self._keep_ends(ends, reads)
        exchange.release()
        return found

    def _keep_ends(self, ends: Sequence[tuple[int, int]], reads: Sequence[Reply]) -> None:
        # What did not come this way is asked for on its own when it is wanted.
        for (offset, length), reply in zip(ends, reads, strict=True):
            if reply.status == Status.SUCCESS:
                data = wire.read_data_of(reply)
                if len(data) == length:
                    self._ends.append((offset, bytes(data)))

    def _from_ends(self, offset: int, length: int) -> bytes | None:
        for start, data in self._ends:
            if start <= offset and offset + length <= start + len(data):
                return data[offset - start : offset - start + length]
        return None

    def _look_again(self) -> Look:
        channel, handle, slow = self._channel, self._handle, self._slow
        self._channel = self._handle = self._slow = None
        if slow is not None:
            slow.close()
        if channel is None or handle is None or not channel.alive:
            return self._session.look(self._path, access=Access.ATTRIBUTES)
        return self._session.close_and_look(channel, handle, self._path)

    def _check_version(self, look: Look) -> Opened:
        if look.opened is None:
            raise self._refused(look.status)
        found = Fingerprint(look.opened.size, filetime_to_ns(look.opened.last_write))
        if self._expected is None:
            self._expected = found
        elif found != self._expected:
            self.close()
            raise AssetChanged(f"{self.shown} is another version now: {found}, not {self._expected}")
        return look.opened

    def _held(self) -> tuple[Channel, bytes]:
        if self._channel is None or self._handle is None or not self._channel.alive:
            self._open()
        if self._channel is None or self._handle is None:
            raise ChannelLost(f"{self.shown} could not be opened again")
        return self._channel, self._handle

    def _fetch(self, ranges: Sequence[tuple[int, int]]) -> list[list[bytes]]:
        if not self._session.fast:
            return [[self.read_slowly(offset, length)] for offset, length in ranges]
        waiting: deque[tuple[list[bytes], int, Exchange]] = deque()
        results: list[list[bytes]] = []
        for offset, length in ranges:
            parts: list[bytes] = []
            results.append(parts)
            here = self._from_ends(offset, length)
            if here is not None or not length:
                parts.append(here or b"")
                continue
            largest = self.largest_read()
            for start in range(offset, offset + length, largest):
                portion = min(largest, offset + length - start)
                waiting.append((parts, portion, self.ask(start, portion)))
                if len(waiting) > MOST_AHEAD:
                    self._collect(*waiting.popleft())
        while waiting:
            self._collect(*waiting.popleft())
        return results

    def _collect(self, parts: list[bytes], length: int, exchange: Exchange) -> None:
        parts.append(bytes(self.data_of(exchange, length)))
        exchange.release()

    def _shorter(self, end: int | None) -> AssetChanged:
        where = "" if end is None else f" at {end}"
        return AssetChanged(f"{self.shown} ended{where} before the {self.opened.size} bytes it had when it was opened")


def _both_ends(size: int, length: int) -> tuple[tuple[int, int], ...]:
    if size <= 2 * length:
        return ((0, size),) if size else ()
    return (0, length), (size - length, length)
