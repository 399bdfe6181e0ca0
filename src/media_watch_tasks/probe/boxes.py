"""Boxes of the ISO base media format (ISO/IEC 14496-12, 4.2), walked without reading their contents."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import attrs

from media_watch_tasks.probe.range_reader import RangeReader

__all__ = ["Box", "BrokenBoxError", "children", "pack", "payloads"]

_LARGE, _TO_THE_END = 1, 0
_HEADER, _LARGE_HEADER = 8, 16
_MOST_BOXES = 20_000


class BrokenBoxError(ValueError):
    """The boxes do not fit into each other, or a part of them cannot be read."""


@attrs.frozen
class Box:
    """Where a box lies in the file; offsets in bytes."""

    kind: bytes
    start: int
    body: int
    """Where its contents start."""
    end: int
    """Where its contents end; behind the end of the file where the file was cut off."""

    @property
    def size(self) -> int:
        """Bytes, header included."""
        return self.end - self.start


def children(reader: RangeReader, start: int, end: int) -> Iterator[Box]:
    """The boxes from `start` to `end`, in order. Nothing but their headers is read.

    Raises:
        BrokenBoxError: a size that cannot be, or a header that cannot be read.
    """
    for _ in range(_MOST_BOXES):
        if end - start < _HEADER:
            return
        header = reader.at(start, _LARGE_HEADER)
        if len(header) < _HEADER:
            raise BrokenBoxError(f"no box can be read at {start}")
        size, kind = struct.unpack_from(">I4s", header)
        body = start + _HEADER
        if size == _LARGE and len(header) == _LARGE_HEADER:
            size = struct.unpack_from(">Q", header, _HEADER)[0]
            body = start + _LARGE_HEADER
        elif size == _TO_THE_END:
            size = end - start
        if size < body - start:
            raise BrokenBoxError(f"the box at {start} has the impossible size {size}")
        yield Box(kind, start, body, start + size)
        start += size
    raise BrokenBoxError(f"more than {_MOST_BOXES} boxes")


def payloads(data: bytes, *, skip: int = 0) -> dict[bytes, bytes]:
    """The boxes inside bytes at hand: kind -> contents, the first of each kind. What is broken ends it."""
    found: dict[bytes, bytes] = {}
    at = skip
    while at + _HEADER <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == _TO_THE_END:
            size = len(data) - at
        if size < _HEADER or at + size > len(data):
            break
        found.setdefault(kind, data[at + _HEADER : at + size])
        at += size
    return found


def pack(kind: bytes, body: bytes) -> bytes:
    """A box around its contents."""
    return struct.pack(">I4s", len(body) + _HEADER, kind) + body
