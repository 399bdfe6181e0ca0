"""Fields of tracks that the boxes of an mp4 or mov file hold: times, rotation, picture size, frame rate, HDR."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import attrs

from media_watch_tasks.probe.boxes import payloads
from media_watch_tasks.probe.movie import Movie, Track, table_count
from media_watch_tasks.probe.parameter_sets import dolby_vision, read_config
from media_watch_tasks.probe.video_config import VideoConfig

__all__ = ["TrackFields", "fragments_duration", "full_time", "movie_duration", "track_fields"]

_VISUAL_ENTRY, _ENTRY = 78, 8
_TKHD_MATRIX = {0: 40, 1: 52}
_FIELD_ORDER = {9: "tb", 14: "bt", 1: "tt", 6: "bb"}
_UNKNOWN_TIMES = {0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF}


@attrs.frozen(kw_only=True)
class TrackFields:
    """What the boxes of one track say."""

    track_id: int
    handler: bytes
    """vide, soun, text, sbtl, tmcd …"""
    timescale: int
    """Ticks a second."""
    duration: int | None
    """Ticks of the media, None where the file does not say."""
    rotation: int | None
    """Degrees clockwise, None where the matrix is no rotation by a quarter turn (a mirrored one, for example)."""
    entry: bytes
    """The four characters of the sample entry, after undoing encryption."""
    entries: int
    """Number of sample descriptions."""
    width: int
    height: int
    """The size that the sample entry names."""
    boxes: dict[bytes, bytes] = attrs.field(repr=False)
    """The boxes inside the sample entry."""
    config: VideoConfig | None
    samples: int
    frame_rate: float | None
    """On average."""
    constant_rate: float | None
    """Where all frames last equally long."""
    field_order: str | None
    mastering: bool
    dolby: str | None


def full_time(body: bytes, *, at32: int, at64: int) -> tuple[int, int | None]:
    """(timescale, duration) of an mvhd or mdhd box; `at32`/`at64`: where the timescale stands in versions 0 and 1."""
    if not body:
        return 0, None
    try:
        values = struct.unpack_from(">IQ", body, at64) if body[0] == 1 else struct.unpack_from(">II", body, at32)
    except struct.error:
        return 0, None
    timescale, duration = values
    return int(timescale), None if duration in _UNKNOWN_TIMES else int(duration)


def movie_duration(movie: Movie) -> float | None:
    """Seconds, from the mvhd box."""
    timescale, duration = full_time(movie.mvhd, at32=12, at64=20)
    return duration / timescale if duration and timescale else None


def fragments_duration(movie: Movie) -> float | None:
    """Seconds, from the mehd box: what the writer meant to write, which need not be what this file holds."""
    timescale, _ = full_time(movie.mvhd, at32=12, at64=20)
    if not movie.mehd or not timescale:
        return None
    width = 8 if movie.mehd[0] == 1 else 4
    return (int.from_bytes(movie.mehd[4 : 4 + width], "big") or 0) / timescale or None


def track_fields(track: Track) -> TrackFields | None:
    """The fields of a track, None where its headers are missing or broken."""
    tkhd, hdlr, stsd = (track.boxes.get(kind, b"") for kind in (b"tkhd", b"hdlr", b"stsd"))
    if len(tkhd) < 24 or len(hdlr) < 12 or len(stsd) < 16:  # noqa: PLR2004 - their fixed parts
        return None
    handler = hdlr[8:12]
    timescale, duration = full_time(track.boxes.get(b"mdhd", b""), at32=12, at64=20)
    entries = int.from_bytes(stsd[4:8], "big")
    size, entry = struct.unpack_from(">I4s", stsd, 8)
    body = stsd[16 : 8 + size] if size >= 8 else b""  # noqa: PLR2004 - a box header
    visual = handler == b"vide" and len(body) >= _VISUAL_ENTRY
    boxes = payloads(body, skip=_VISUAL_ENTRY) if visual else {}
    if entry in {b"encv", b"enca"} and b"sinf" in boxes:
        entry = payloads(boxes[b"sinf"]).get(b"frma", entry)
    samples = table_count(track, b"stsz") or table_count(track, b"stz2")
    width, height = struct.unpack_from(">HH", body, 24) if visual else (0, 0)
    return TrackFields(
        track_id=struct.unpack_from(">I", tkhd, 20 if tkhd[0] == 1 else 12)[0],
        handler=handler,
        timescale=timescale,
        duration=duration,
        rotation=_rotation(tkhd),
        entry=entry,
        entries=entries,
        width=width,
        height=height,
        boxes=boxes,
        config=read_config(boxes),
        samples=samples,
        frame_rate=_frame_rate(samples, timescale, duration) if visual else None,
        constant_rate=_constant_rate(track.heads.get(b"stts", b""), timescale) if visual else None,
        field_order=_field_order(boxes.get(b"fiel")),
        mastering=b"mdcv" in boxes or b"SmDm" in boxes,
        dolby=dolby_vision(boxes),
    )


def _rotation(tkhd: bytes) -> int | None:
    at = _TKHD_MATRIX.get(tkhd[0], 40)
    if len(tkhd) < at + 36:
        return None
    a, b, _, c, d, _, _, _, _ = struct.unpack_from(">9i", tkhd, at)
    if a * d - b * c <= 0:
        return None
    degrees = math.degrees(math.atan2(b, a)) % 360
    nearest = round(degrees / 90) * 90
    return nearest % 360 if abs(degrees - nearest) < 1 else None


def _frame_rate(samples: int, timescale: int, duration: int | None) -> float | None:
    if not samples or not timescale or not duration:
        return None
    return round(float(Fraction(samples * timescale, duration)), 6)


def _constant_rate(stts: bytes, timescale: int) -> float | None:
    if len(stts) < 16 or int.from_bytes(stts[4:8], "big") != 1:  # noqa: PLR2004 - the count and one entry
        return None
    ticks = int.from_bytes(stts[12:16], "big")
    return round(timescale / ticks, 6) if ticks and timescale else None


def _field_order(fiel: bytes | None) -> str | None:
    if not fiel:
        return None
    if fiel[0] == 1:
        return "progressive"
    return _FIELD_ORDER.get(fiel[1]) if len(fiel) > 1 else None
