"""The few samples of an mp4 or mov file that belong to its description: the start timecode and chapter titles."""

from __future__ import annotations

import struct

from media_watch_tasks.model.metadata import Chapter
from media_watch_tasks.probe.movie import Movie, Track, table_count
from media_watch_tasks.probe.range_reader import RangeReader
from media_watch_tasks.probe.track_fields import TrackFields

__all__ = ["first_sample", "read_chapters", "read_timecode", "timecode_text"]

_MOST_CHAPTERS = 1_000
_LARGEST_TITLE = 1_024
_TMCD_ENTRY = 34
_DROP_FRAME = 1


def read_timecode(reader: RangeReader, tracks: list[tuple[Track, TrackFields]]) -> str | None:
    """`HH:MM:SS:FF` (`;` before the frames for drop-frame) of the first timecode track; QuickTime File Format, tmcd."""
    for track, fields in tracks:
        stsd = track.boxes.get(b"stsd", b"")
        if fields.handler != b"tmcd" or fields.entry != b"tmcd" or len(stsd) < 8 + _TMCD_ENTRY:
            continue
        flags, timescale, duration, per_second = struct.unpack_from(">IIIB", stsd, 8 + 20)
        at = first_sample(track)
        if at is None or not per_second or not duration or not timescale:
            continue
        sample = reader.at(at, 4)
        if len(sample) < 4:  # noqa: PLR2004 - one 32-bit frame number
            continue
        return timecode_text(int.from_bytes(sample, "big"), per_second, drop=bool(flags & _DROP_FRAME))
    return None


def timecode_text(frame: int, per_second: int, *, drop: bool) -> str:
    """A frame number as `HH:MM:SS:FF`, with the numbers that drop-frame counting leaves out."""
    if drop and per_second % 30 == 0:
        # Two frame numbers (four at 60) are left out each minute, except each tenth one (SMPTE ST 12-1).
        left_out = per_second // 30 * 2
        ten_minutes, rest = divmod(frame, per_second * 600 - 9 * left_out)
        frame += 9 * left_out * ten_minutes
        if rest >= left_out:
            frame += left_out * ((rest - left_out) // (per_second * 60 - left_out))
    seconds, frames = divmod(frame, per_second)
    hours, minutes = seconds // 3600 % 24, seconds // 60 % 60
    return f"{hours:02}:{minutes:02}:{seconds % 60:02}{';' if drop else ':'}{frames:02}"


def read_chapters(reader: RangeReader, movie: Movie, tracks: list[tuple[Track, TrackFields]]) -> tuple[Chapter, ...]:
    """The chapters of the text track that a track refers to (`tref` `chap`), all titles in one round trip."""
    wanted = {number for track in movie.tracks for number in _chapter_references(track.boxes.get(b"tref", b""))}
    for track, fields in tracks:
        if fields.track_id in wanted and fields.handler in {b"text", b"sbtl"} and fields.timescale:
            return _text_chapters(reader, track, fields.timescale)
    return ()


def _chapter_references(tref: bytes) -> list[int]:
    at = tref.find(b"chap")
    if at < 4:  # noqa: PLR2004 - the size stands before the four characters
        return []
    size = struct.unpack_from(">I", tref, at - 4)[0]
    body = tref[at + 4 : at - 4 + size]
    return [int(number) for (number,) in struct.iter_unpack(">I", body[: len(body) // 4 * 4])]


def _text_chapters(reader: RangeReader, track: Track, timescale: int) -> tuple[Chapter, ...]:
    count = table_count(track, b"stsz")
    tables = [track.tables[kind] for kind in (b"stts", b"stsz", b"stsc", b"stco", b"co64") if kind in track.tables]
    if not 0 < count <= _MOST_CHAPTERS or any(box.size > _MOST_CHAPTERS * 16 for box in tables):
        return ()
    reader.prefetch([(box.start, box.size) for box in tables])
    try:
        sizes, durations = _sizes(reader, track, count), _durations(reader, track, count)
        offsets = _sample_offsets(reader, track, sizes)
    except (struct.error, KeyError, IndexError):
        return ()
    places = [(offset, min(size, _LARGEST_TITLE)) for offset, size in zip(offsets, sizes, strict=False)]
    reader.prefetch(places)
    chapters: list[Chapter] = []
    ticks = 0
    for (offset, size), duration in zip(places, durations, strict=False):
        sample = reader.at(offset, size)
        length = int.from_bytes(sample[:2], "big")
        title = _title(sample[2 : 2 + length])
        chapters.append(Chapter(start=ticks / timescale, end=(ticks + duration) / timescale, title=title or None))
        ticks += duration
    return tuple(chapters)


def _title(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"
    return data.decode(encoding, "replace").strip("\0 ")


def _table(reader: RangeReader, track: Track, kind: bytes) -> bytes:
    box = track.tables[kind]
    return reader.at(box.body, box.end - box.body)


def _sizes(reader: RangeReader, track: Track, count: int) -> list[int]:
    body = _table(reader, track, b"stsz")
    common = struct.unpack_from(">I", body, 4)[0]
    return [common] * count if common else list(struct.unpack_from(f">{count}I", body, 12))


def _durations(reader: RangeReader, track: Track, count: int) -> list[int]:
    body = _table(reader, track, b"stts")
    durations: list[int] = []
    for number in range(struct.unpack_from(">I", body, 4)[0]):
        repeat, ticks = struct.unpack_from(">II", body, 8 + 8 * number)
        durations.extend([ticks] * min(repeat, count - len(durations)))
    return durations


def _sample_offsets(reader: RangeReader, track: Track, sizes: list[int]) -> list[int]:
    wide = b"co64" in track.tables
    body = _table(reader, track, b"co64" if wide else b"stco")
    chunks = struct.unpack_from(f">{struct.unpack_from('>I', body, 4)[0]}{'Q' if wide else 'I'}", body, 8)
    runs = _table(reader, track, b"stsc")
    firsts = [struct.unpack_from(">II", runs, 8 + 12 * at) for at in range(struct.unpack_from(">I", runs, 4)[0])]
    offsets: list[int] = []
    run = 0
    for number, offset in enumerate(chunks, start=1):
        while run + 1 < len(firsts) and firsts[run + 1][0] <= number:
            run += 1
        for _ in range(firsts[run][1]):
            if len(offsets) >= len(sizes):
                return offsets
            offsets.append(offset)
            offset += sizes[len(offsets) - 1]  # noqa: PLW2901 - the samples of a chunk follow each other
    return offsets


def first_sample(track: Track) -> int | None:
    """The place of the first chunk, from the head of the offset table alone."""
    for kind, width in ((b"stco", 4), (b"co64", 8)):
        head = track.heads.get(kind, b"")
        if len(head) >= 8 + width and any(head[4:8]):
            return int.from_bytes(head[8 : 8 + width], "big")
    return None
