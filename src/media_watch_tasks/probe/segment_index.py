"""The indices of a fragmented mp4: of its segments (`sidx`) and of its random access points (`mfra`).

Source: ISO/IEC 14496-12, 8.8.9 to 8.8.11 and 8.16.3.
"""

from __future__ import annotations

import struct

from media_watch_tasks.probe.boxes import BrokenBoxError, children
from media_watch_tasks.probe.movie import Layout
from media_watch_tasks.probe.range_reader import RangeReader

__all__ = ["end_of_fragments", "last_random_access", "segments_duration"]

_NEAR_THE_END = 64 * 1024
_MFRO = 16
_TFRA_HEADER = 16


def segments_duration(reader: RangeReader, layout: Layout) -> tuple[float, bool] | None:
    """Seconds, and True where the last segment goes on behind the end of the file.

    From the first index that covers the file up to its end, None where none does.
    """
    best: tuple[float, bool] | None = None
    for box in layout.sidx[:8]:
        body = reader.at(box.body, box.end - box.body)
        try:
            seconds, end = _sidx(body, box.end)
        except struct.error:
            continue
        if seconds and end >= reader.size - _NEAR_THE_END:
            best = max(best or (0.0, False), (seconds, end > reader.size))
    return best


def _sidx(body: bytes, anchor: int) -> tuple[float | None, int]:
    version = body[0] if body else 0
    timescale = struct.unpack_from(">I", body, 8)[0]
    at = 12
    first = struct.unpack_from(">QQ" if version else ">II", body, at)
    at += 16 if version else 8
    count = struct.unpack_from(">HH", body, at)[1]
    at += 4
    ticks, end = first[0], anchor + first[1]
    for _ in range(count):
        size, duration, _ = struct.unpack_from(">III", body, at)
        if size >> 31:
            return None, 0  # it refers to further indices
        ticks += duration
        end += size
        at += 12
    return (ticks / timescale if timescale else None), end


def end_of_fragments(reader: RangeReader) -> int:
    """Where the fragments end: before the random access index, whose last 16 bytes name its length."""
    last = reader.at(reader.size - _MFRO, _MFRO)
    length = int.from_bytes(last[12:16], "big")
    return reader.size - length if last[4:8] == b"mfro" and _MFRO < length < reader.size else reader.size


def last_random_access(reader: RangeReader, start: int) -> int | None:
    """Where the last fragments begin that the random access index at `start` names, None where there is none.

    Of each track the last entry counts, of all tracks the earliest one: from there on every track has its end.
    """
    found: list[int] = []
    try:
        for box in children(reader, start, reader.size):
            if box.kind == b"mfra":
                found = [_last_entry(reader, each.body, each.end) for each in children(reader, box.body, box.end)
                         if each.kind == b"tfra"]  # fmt: skip
            break
    except (BrokenBoxError, struct.error):
        return None
    return min(found) if found and 0 < min(found) < start else None


def _last_entry(reader: RangeReader, body: int, end: int) -> int:
    head = reader.at(body, _TFRA_HEADER)
    _, lengths, count = struct.unpack_from(">III", head, 4)
    wide = 8 if head[0] == 1 else 4
    size = 2 * wide + 3 + (lengths >> 4 & 3) + (lengths >> 2 & 3) + (lengths & 3)
    if not count or end - body < _TFRA_HEADER + count * size:
        return 0
    entry = reader.at(body + _TFRA_HEADER + (count - 1) * size, size)
    return int.from_bytes(entry[wide : 2 * wide], "big")
