"""BandwidthLimit: no more bytes a second than a timetable allows."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from datetime import datetime, time, tzinfo
from typing import BinaryIO, cast

from media_watch_tasks.abc.uploader import UploadContext, Uploader
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import NANOSECONDS, Clock, SystemClock
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.uploaders.wrappers.contexts import ContextAround
from media_watch_tasks.uploaders.wrappers.wrapper import Wrapper

__all__ = ["BandwidthLimit"]

_SHARE_SECONDS = 0.25
_SMALLEST_READ = 4 * 1024
_LARGEST_READ = 1 << 20


class BandwidthLimit(Wrapper):
    """All uploads of one uploader together send no more than so many bytes a second.

    What counts is what the uploader reads through `context.watch`; reading for a hash is not slowed down. A wait ends
    at once when the upload is cancelled.

    Args:
        inner: the uploader.
        rate: bytes a second; or a timetable, the time of day from which on each rate holds, until the next one, over
            midnight too: `{time(8): 1_000_000, time(18): None}`. None: no limit. To send nothing for some hours, use
            the constraint `TimeWindow`.
        tz: of the timetable; None: that of the machine.
        clock: the system's by default.

    Raises:
        ConfigurationError: a rate that is not above zero, or an empty timetable.
    """

    def __init__(
        self,
        inner: Uploader,
        rate: int | Mapping[time, int | None],
        *,
        tz: tzinfo | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(inner)
        table = dict(rate) if isinstance(rate, Mapping) else {time(0): rate}
        if not table or any(limit is not None and limit <= 0 for limit in table.values()):
            raise ConfigurationError("a bandwidth limit needs rates above zero; None means no limit")
        self._table = sorted(table.items(), key=lambda entry: entry[0])
        self._tz = tz
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._free_ns = 0

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        """Upload with the uploader inside, whose reads are slowed down."""
        return self.inner.upload(media, _SlowContext(context, self))

    def rate_at(self, now: datetime) -> int | None:
        """Bytes a second at an aware time; None: no limit."""
        local = now.astimezone(self._tz).time()
        held = [limit for begin, limit in self._table if begin <= local]
        return held[-1] if held else self._table[-1][1]

    def share(self) -> int:
        """The most bytes to read at a time, so that no wait is long."""
        rate = self.rate_at(self._clock.now())
        if rate is None:
            return _LARGEST_READ
        return max(_SMALLEST_READ, min(_LARGEST_READ, int(rate * _SHARE_SECONDS)))

    def spend(self, count: int, cancel: CancelToken) -> None:
        """Wait until these bytes fit in. Raises `OperationCancelled`."""
        rate = self.rate_at(self._clock.now())
        if rate is None or not count:
            return
        with self._lock:
            # Each read takes the line for as long as its bytes need, after those that came before it.
            now = self._clock.monotonic_ns()
            begin = max(now, self._free_ns)
            self._free_ns = begin + count * NANOSECONDS // rate
        if begin > now:
            self._clock.wait(cancel.event, (begin - now) / NANOSECONDS)
            cancel.raise_if_cancelled()


class _SlowContext(ContextAround):
    def __init__(self, outer: UploadContext, limit: BandwidthLimit) -> None:
        super().__init__(outer)
        self._limit = limit

    def watch(self, stream: BinaryIO, *, offset: int = 0) -> BinaryIO:
        slow = _SlowStream(self.outer.watch(stream, offset=offset), self._limit, self.outer.cancel)
        return cast("BinaryIO", slow)


class _SlowStream(io.RawIOBase):
    def __init__(self, stream: BinaryIO, limit: BandwidthLimit, cancel: CancelToken) -> None:
        super().__init__()
        self._stream = stream
        self._limit = limit
        self._cancel = cancel

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return self.readall()
        data = self._stream.read(min(size, self._limit.share()))
        self._limit.spend(len(data), self._cancel)
        return data

    def readall(self) -> bytes:
        parts = []
        while part := self.read(_LARGEST_READ):
            parts.append(part)
        return b"".join(parts)

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # typeshed: WriteableBuffer
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
