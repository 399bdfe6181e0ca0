"""The duration of a fragmented mp4: from its indices or its last fragments (ISO/IEC 14496-12, 8.8)."""

from __future__ import annotations

import struct
from enum import Enum
from itertools import islice

import attrs

from media_watch_tasks.probe.boxes import Box, BrokenBoxError, children
from media_watch_tasks.probe.movie import Layout, Movie
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.segment_index import end_of_fragments, last_random_access, segments_duration
from media_watch_tasks.probe.track_fields import TrackFields, fragments_duration

__all__ = ["FragmentsEnd", "first_fragment_sample", "fragmented_duration"]

_FIRST_WINDOW = 64 * 1024
_LARGEST_WINDOW = 4 * 1024 * 1024
_LOOKED_AT = 8
_MOST_BEHIND = 200
_BETWEEN_FRAGMENTS = {
    b"moof", b"mdat", b"mfra", b"free", b"skip", b"styp", b"sidx", b"emsg", b"prft", b"uuid",
}  # fmt: skip
_TRUN_DATA_OFFSET, _TRUN_FIRST_FLAGS = 0x1, 0x4
_TRUN_FIELDS = ((0x100, "duration"), (0x200, "size"), (0x400, "flags"), (0x800, "offset"))
_TFHD_BASE, _TFHD_DESCRIPTION, _TFHD_DURATION = 0x1, 0x2, 0x8


@attrs.frozen
class FragmentsEnd:
    """When the last fragments end."""

    seconds: float | None = None
    """None where the file does not tell without being read from end to end."""
    exact: bool = True
    """False where a fragment of some track was not found, or what stands behind the last one is none."""
    cut_off: bool = False
    """True where the last fragment goes on behind the end of the file."""
    exist: bool = True
    """False where the file holds no fragment."""


def fragmented_duration(reader: RangeReader, layout: Layout, movie: Movie, tracks: list[TrackFields]) -> FragmentsEnd:
    """From the segment index where it covers the file, else from the last fragments."""
    from_index = segments_duration(reader, layout)
    if from_index is not None:
        return FragmentsEnd(from_index[0], cut_off=from_index[1])
    defaults = {int.from_bytes(trex[4:8], "big"): int.from_bytes(trex[12:16], "big") for trex in movie.trex}
    scales = {track.track_id: track.timescale for track in tracks if track.timescale}
    last = end_of_fragments(reader)
    pointed_at = last_random_access(reader, last) if last < reader.size else None
    if pointed_at is not None and (ends := _ends_from(reader, (pointed_at, last), scales, defaults)) is not None:
        return FragmentsEnd(max(ends.values()))
    # Where none is known to exist, the last kilobytes are enough to tell.
    exists = layout.first_moof is not None or _follows(reader, layout)
    largest = _LARGEST_WINDOW if exists else _FIRST_WINDOW
    found = _from_last_fragments(reader, movie, (scales, defaults), last=last, largest=largest)
    return found if exists or found.seconds is not None else FragmentsEnd(exist=False)


def _follows(reader: RangeReader, layout: Layout) -> bool:
    """True if a fragment stands behind the samples of the index itself."""
    try:
        boxes = children(reader, layout.moov.end if layout.moov is not None else 0, reader.size)
        return any(box.kind == b"moof" for box in islice(boxes, _LOOKED_AT))
    except BrokenBoxError:
        return False


def _ends_from(
    reader: RangeReader, span: tuple[int, int], scales: dict[int, int], defaults: dict[int, int]
) -> dict[int, float] | None:
    """Track id -> seconds of its last fragment, by the boxes from one fragment to the end; None where they mislead."""
    ends: dict[int, float] = {}
    at, last = span
    try:
        for box in islice(children(reader, at, last), _MOST_BEHIND):
            if box.kind not in _BETWEEN_FRAGMENTS:
                return None
            at = box.end
            if box.kind == b"moof":
                _note_ends(reader, box.start, (scales, defaults), ends)
    except BrokenBoxError:
        return None
    return ends if at == last and ends and set(ends) >= set(scales) else None


def _from_last_fragments(
    reader: RangeReader, movie: Movie, known: tuple[dict[int, int], dict[int, int]], *, last: int, largest: int
) -> FragmentsEnd:
    """The latest end of the last fragment of each track, found by going back from the end of the file."""
    scales, _ = known
    window = _FIRST_WINDOW
    while True:
        start = max(last - window, 0)
        reader.prefetch([(start, last - start)])
        ends, chain = _ends_in(reader, (start, last), known)
        if set(ends) >= set(scales) or start == 0 or window >= largest or reader.failure or reader.exhausted:
            break
        window *= 4
    if not ends:
        return FragmentsEnd(fragments_duration(movie), exact=False)
    return FragmentsEnd(
        max(ends.values()), exact=chain is _Chain.WHOLE and set(ends) >= set(scales), cut_off=chain is _Chain.CUT_OFF
    )


def _ends_in(
    reader: RangeReader, span: tuple[int, int], known: tuple[dict[int, int], dict[int, int]]
) -> tuple[dict[int, float], _Chain]:
    """Track id -> seconds of its last fragment in a part of the file, and how the last fragment of all ends."""
    ends: dict[int, float] = {}
    how = _Chain.NONE
    start, last = span
    data = reader.at(start, last - start)
    at = data.rfind(b"moof")
    while at >= 4:  # noqa: PLR2004 - the size stands before the four characters
        offset = start + at - 4
        chain = _chain(reader, offset, last)
        if chain is not _Chain.NONE:
            how = chain if how is _Chain.NONE else how
            _note_ends(reader, offset, known, ends)
            if set(ends) >= set(known[0]):
                break
        at = data.rfind(b"moof", 0, at)
    return ends, how


def _note_ends(
    reader: RangeReader, offset: int, known: tuple[dict[int, int], dict[int, int]], ends: dict[int, float]
) -> None:
    """Put the ends of the fragment at `offset` into `ends`, where they are the latest of their track."""
    scales, defaults = known
    for track_id, ticks in _fragment_ends(reader, offset, defaults):
        if track_id in scales:
            ends[track_id] = max(ends.get(track_id, 0.0), ticks / scales[track_id])


class _Chain(Enum):
    """Whither boxes lead from what looks like a fragment."""

    NONE = 0
    """Nowhere: the four characters are a coincidence in the media data."""
    FOREIGN = 1
    """Over its media data to something that is no box."""
    CUT_OFF = 2
    """Over the end of the file."""
    WHOLE = 3
    """To the end of the fragments."""


def _chain(reader: RangeReader, offset: int, last: int) -> _Chain:
    end, kinds = offset, []
    try:
        for box in children(reader, offset, last):
            if box.kind not in _BETWEEN_FRAGMENTS:
                return _Chain.FOREIGN if b"mdat" in kinds else _Chain.NONE
            end = box.end
            kinds.append(box.kind)
    except BrokenBoxError:
        return _Chain.FOREIGN if b"mdat" in kinds else _Chain.NONE
    if abs(end - last) < 8:  # noqa: PLR2004 - less than a box header may be left over
        return _Chain.WHOLE
    return _Chain.CUT_OFF if end > last and b"mdat" in kinds else _Chain.NONE


def _fragment_ends(reader: RangeReader, offset: int, defaults: dict[int, int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    try:
        moof = next(children(reader, offset, reader.size))
        for traf in children(reader, moof.body, moof.end):
            if traf.kind == b"traf":
                found.extend(_traf_end(reader, traf, defaults))
    except (BrokenBoxError, StopIteration, struct.error):
        return []
    return found


def first_fragment_sample(reader: RangeReader, layout: Layout, track_id: int) -> int | None:
    """Where the first sample of a track stands in the first fragment, None where that does not tell."""
    moof = layout.first_moof
    if moof is None:
        return None
    try:
        for traf in children(reader, moof.body, moof.end):
            boxes = {box.kind: reader.at(box.body, 16) for box in children(reader, traf.body, traf.end)}
            tfhd, trun = boxes.get(b"tfhd", b""), boxes.get(b"trun", b"")
            if int.from_bytes(tfhd[4:8], "big") == track_id and len(trun) >= 12 and trun[3] & _TRUN_DATA_OFFSET:  # noqa: PLR2004 - the offset's end
                based = int.from_bytes(tfhd[8:16], "big") if tfhd[3] & _TFHD_BASE else moof.start
                return based + int.from_bytes(trun[8:12], "big", signed=True)
    except (BrokenBoxError, IndexError):
        pass
    return None


def _traf_end(reader: RangeReader, traf: Box, defaults: dict[int, int]) -> list[tuple[int, int]]:
    track_id, duration, base, ticks = 0, 0, None, 0
    for box in children(reader, traf.body, traf.end):
        body = reader.at(box.body, box.end - box.body)
        if box.kind == b"tfhd":
            track_id, duration = _tfhd(body, defaults)
        elif box.kind == b"tfdt":
            base = int.from_bytes(body[4:12] if body[0] == 1 else body[4:8], "big")
        elif box.kind == b"trun":
            ticks += _trun(body, duration)
    return [] if base is None else [(track_id, base + ticks)]


def _tfhd(body: bytes, defaults: dict[int, int]) -> tuple[int, int]:
    flags = int.from_bytes(body[1:4], "big")
    track_id = struct.unpack_from(">I", body, 4)[0]
    at = 8 + (8 if flags & _TFHD_BASE else 0) + (4 if flags & _TFHD_DESCRIPTION else 0)
    duration = struct.unpack_from(">I", body, at)[0] if flags & _TFHD_DURATION else defaults.get(track_id, 0)
    return track_id, duration


def _trun(body: bytes, default: int) -> int:
    flags = int.from_bytes(body[1:4], "big")
    count = struct.unpack_from(">I", body, 4)[0]
    if not flags & 0x100:
        return int(count) * default
    at = 8 + (4 if flags & _TRUN_DATA_OFFSET else 0) + (4 if flags & _TRUN_FIRST_FLAGS else 0)
    width = 4 * sum(1 for flag, _ in _TRUN_FIELDS if flags & flag)
    return sum(struct.unpack_from(">I", body, at + width * number)[0] for number in range(count))
