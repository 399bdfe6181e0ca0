"""RangeReader: a seekable file over any byte source that reads little and in few round trips.

It follows three rules that FFmpeg's custom I/O asks for: a read never returns more than was asked for (the surplus
would be written past the buffer), `seek` answers a negative number instead of raising (an exception there is lost),
and a failure is remembered here (after the header FFmpeg takes it for the end of the file).
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable

import attrs

from media_watch_tasks.abc.byte_source import ByteSource

__all__ = ["RangeReader", "ReadPolicy", "first_ranges"]

_KIB = 1024


@attrs.frozen(kw_only=True)
class ReadPolicy:
    """How much is read ahead, and how much at all. All values in bytes."""

    head: int = 32 * _KIB
    """Read at the start of the file, in the first round trip."""
    tail: int = 32 * _KIB
    """Read at the end of the file, in the same round trip."""
    block: int = 16 * _KIB
    """The least that is read at a place that is not cached."""
    read_ahead: int = 1024 * _KIB
    """The most that is read ahead: each read that goes on where the last one ended doubles from `block` up to this."""
    budget: int = 64 * 1024 * _KIB
    """The most that is read in all; past it the file seems to end and `exhausted` is set."""


def first_ranges(size: int, policy: ReadPolicy, *, tail: bool) -> list[tuple[int, int]]:
    """The (offset, length) ranges of the first round trip: head and tail, or all of a file that is no larger."""
    if size <= policy.head + (policy.tail if tail else 0):
        return [(0, size)]
    head = (0, policy.head)
    return [head, (size - policy.tail, policy.tail)] if tail and policy.tail else [head]


class RangeReader:
    """A binary file for FFmpeg and Pillow, and random access for the box walkers, over one cache.

    Not thread-safe. The byte source is not closed.
    """

    def __init__(self, source: ByteSource, policy: ReadPolicy | None = None) -> None:
        self._source = source
        self._policy = policy or ReadPolicy()
        self._starts: list[int] = []
        self._extents: list[bytes] = []
        self._recent = (0, b"")
        """The extent that was looked at last: box walkers stay in one for long."""
        self._position = 0
        self._next_sequential = -1
        self._ahead = self._policy.block
        self.size = source.size
        self.bytes_read = 0
        self.round_trips = 0
        self.exhausted = False
        """True once the byte budget stopped a read."""
        self.short = False
        """True once bytes were wanted that could not be had, although they lie before the end of the file."""
        self.failure: Exception | None = None
        """The first error of the source. From then on nothing more is read from it."""

    def open_ends(self, *, tail: bool = True) -> None:
        """Read head and tail, in one round trip."""
        self.prefetch(first_ranges(self.size, self._policy, tail=tail))

    def add(self, offset: int, data: bytes) -> None:
        """Put bytes that somebody has read already into the cache."""
        if data:
            at = bisect_right(self._starts, offset)
            self._starts.insert(at, offset)
            self._extents.insert(at, data)

    def overwrite(self, offset: int, data: bytes) -> None:
        """Show other bytes from now on, in the place of cached ones; what is not cached stays as it is."""
        at = bisect_right(self._starts, offset) - 1
        if at >= 0 and offset + len(data) <= self._starts[at] + len(self._extents[at]):
            start, extent = self._starts[at], self._extents[at]
            self._extents[at] = extent[: offset - start] + data + extent[offset - start + len(data) :]
            self._recent = start, self._extents[at]

    def prefetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Make the (offset, length) ranges cached, in at most one round trip. Errors are kept in `failure`."""
        wanted: list[tuple[int, int]] = []
        for offset, length in ranges:
            wanted.extend(self._missing(offset, min(offset + length, self.size)))
        if wanted and self.failure is None:
            self._fetch(wanted)

    def at(self, offset: int, length: int) -> bytes:
        """The bytes at `offset`, fewer where the file ends, the budget is used up, or the source failed."""
        end = min(offset + length, self.size)
        start, extent = self._recent
        if start <= offset < end <= start + len(extent):
            return extent[offset - start : end - start]
        if offset < 0 or offset >= end:
            return b""
        found = self._cached(offset, end)
        if len(found) < end - offset:
            self._load(offset + len(found), end)
            found = self._cached(offset, end)
            self.short = self.short or len(found) < end - offset
        return found

    def holds(self, offset: int, length: int) -> bool:
        """True if the range is cached."""
        return not self._missing(offset, min(offset + length, self.size))

    @property
    def complete(self) -> bool:
        """True if every byte of the file has been read."""
        return not self._missing(0, self.size)

    def read(self, length: int = -1) -> bytes:
        """At most `length` bytes from the position; empty at the end, past the budget, and after a failure."""
        if length < 0:
            length = self.size - self._position
        end = min(self._position + length, self.size)
        if self._position >= end:
            return b""
        found = self._cached(self._position, end)
        if not found:
            self._load(self._position, end)
            found = self._cached(self._position, end)
            self.short = self.short or not found
        self._position += len(found)
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; -1 (and no move) for a place before the start or an unknown `whence`."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}.get(whence)
        if base is None or base + offset < 0:
            return -1
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def seekable(self) -> bool:
        """Always."""
        return True

    def readable(self) -> bool:
        """Always."""
        return True

    def _cached(self, offset: int, end: int) -> bytes:
        pieces: list[bytes] = []
        at = bisect_right(self._starts, offset) - 1
        while offset < end and 0 <= at < len(self._starts):
            start, extent = self._starts[at], self._extents[at]
            if not start <= offset < start + len(extent):
                break
            self._recent = start, extent
            piece = extent[offset - start : end - start]
            pieces.append(piece)
            offset += len(piece)
            at += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _missing(self, offset: int, end: int) -> list[tuple[int, int]]:
        gaps: list[tuple[int, int]] = []
        at = max(bisect_right(self._starts, offset) - 1, 0)
        while offset < end:
            if at >= len(self._starts) or self._starts[at] >= end:
                gaps.append((offset, end - offset))
                break
            start, stop = self._starts[at], self._starts[at] + len(self._extents[at])
            if start > offset:
                gaps.append((offset, start - offset))
            offset = max(offset, stop)
            at += 1
        return gaps

    def _load(self, offset: int, end: int) -> None:
        """Read from `offset` to `end` or further: the more, the longer the reads have been going straight on."""
        if self.failure is not None or self.exhausted:
            return
        self._ahead = min(self._ahead * 2, self._policy.read_ahead) if offset == self._next_sequential else 0
        self._ahead = max(self._ahead, self._policy.block)
        stop = min(max(end, offset + self._ahead), self.size)
        gaps = self._missing(offset, stop)
        last_offset, last_length = gaps[-1]
        self._next_sequential = last_offset + last_length
        self._fetch(gaps)

    def _fetch(self, wanted: list[tuple[int, int]]) -> None:
        left = self._policy.budget - self.bytes_read
        granted: list[tuple[int, int]] = []
        for offset, length in wanted:
            if length > left:
                self.exhausted = True
            if left <= 0:
                break
            granted.append((offset, min(length, left)))
            left -= granted[-1][1]
        if not granted:
            return
        self.round_trips += 1
        try:
            pieces = self._source.read_many(granted)
        except Exception as error:  # noqa: BLE001 - FFmpeg would lose it: kept here, whatever it is, and raised by whoever asked
            self.failure = error
            return
        for (offset, length), piece in zip(granted, pieces, strict=True):
            # A source that returns too much must not reach FFmpeg's buffer.
            data = bytes(piece[:length])
            self.bytes_read += len(data)
            self.add(offset, data)
