"""What has to be known, and to agree, before an mp4 or mov file is described by its index alone."""

from __future__ import annotations

import attrs

from media_watch_tasks.model.metadata import MediaMetadata, VideoTrack
from media_watch_tasks.probe.movie import Layout, Movie, Track, table_fits
from media_watch_tasks.probe.track_fields import TrackFields, full_time, movie_duration

__all__ = ["Index", "OverlayError", "check", "longest"]

# Of these the sample description is the only place that names the picture size, and decoders keep to it.
_SIZE_IN_ENTRY = {"av1", "vp8", "vp9", "prores", "mjpeg", "dnxhd", "rawvideo", "v210", "cfhd", "png", "qtrle", "hap"}
_TOLD_BY_PACKETS = {"mp3", "mp2", "mp1", "dts", "vorbis"}
_MAY_HIDE_SBR = 24_000
_NEEDED_TABLES = ({b"stts"}, {b"stsc"}, {b"stsz", b"stz2"}, {b"stco", b"co64"})
"""A track without one of each has no sample that could be read (ISO/IEC 14496-12, 8.6 and 8.7)."""


@attrs.frozen
class Index:
    """The parts of an index that were read."""

    layout: Layout
    movie: Movie
    tracks: list[tuple[Track, TrackFields]]


class OverlayError(Exception):
    """The index alone does not say everything: the file has to be read by FFmpeg itself."""


def check(index: Index, found: MediaMetadata) -> None:
    """Raise `OverlayError` unless everything that a full read would tell is known, and agrees."""
    by_kind: dict[bytes, list[TrackFields]] = {}
    for _, fields in index.tracks:
        by_kind.setdefault(fields.handler, []).append(fields)
    visual, sound = by_kind.get(b"vide", []), by_kind.get(b"soun", [])
    if len(visual) != len(found.video) or len(sound) != len(found.audio):
        raise OverlayError("FFmpeg sees other tracks than the index names")
    if found.duration is None and not (index.movie.fragmented and index.layout.first_moof is None):
        raise OverlayError("the index names no duration")
    if not index.movie.fragmented:
        _check_tables(index)
        _check_times(index)
    for track, fields in zip(found.video, visual, strict=True):
        _check_picture(track, fields)
    for sound_track in found.audio:
        if not sound_track.codec or not sound_track.channels or not sound_track.sample_rate:
            raise OverlayError("an audio track is not fully described")
        if sound_track.codec in _TOLD_BY_PACKETS:
            raise OverlayError(f"{sound_track.codec} is described by its packets")
        if sound_track.codec == "aac" and sound_track.sample_rate <= _MAY_HIDE_SBR:
            raise OverlayError("low-rate AAC may carry SBR that only its packets show")


def _check_tables(index: Index) -> None:
    timed = [(track, fields) for track, fields in index.tracks if fields.handler in {b"vide", b"soun"}]
    for track, _ in timed:
        if not all(kinds & track.tables.keys() for kinds in _NEEDED_TABLES):
            raise OverlayError("a track lacks a table of samples")
        if not all(table_fits(track, kind) for kind in track.tables):
            raise OverlayError("a table of samples is shorter than its number of entries")
    if timed and all(_late_start(track) for track, _ in timed):
        raise OverlayError("nothing is shown at the start: how long the rest lasts stands in the tables")


def _check_times(index: Index) -> None:
    """The header of the movie and those of its tracks must name one duration; edits can but shorten it."""
    named, shown = movie_duration(index.movie), longest(index, None)
    if named is None or shown is None:
        return
    slack = 0.01 * shown + 0.1
    ticks, _ = full_time(index.movie.mvhd, at32=12, at64=20)
    late = max(_late_start(track) for track, _ in index.tracks) / ticks if ticks else 0
    edited = any(b"elst" in track.boxes for track, _ in index.tracks)
    if named > shown + late + slack or (not edited and named < shown - slack):
        raise OverlayError("the movie names another duration than its tracks")


def _check_picture(track: VideoTrack, fields: TrackFields) -> None:
    if not track.codec or not track.width or not track.height:
        raise OverlayError("a video track is not fully described")
    if fields.entries != 1:
        raise OverlayError("a video track has several sample descriptions")
    config = fields.config
    if config is not None and config.width and config.height:
        if (config.width, config.height) != (track.width, track.height):
            raise OverlayError("the parameter sets name another picture size than the sample description")
    elif track.codec not in _SIZE_IN_ENTRY:
        raise OverlayError(f"the picture size of {track.codec} stands in its packets")


def longest(index: Index, found: float | None) -> float | None:
    """Without a duration of the movie: that of its longest track. Without any, nothing is known."""
    lengths = [fields.duration / fields.timescale for _, fields in index.tracks if fields.duration and fields.timescale]
    return max(lengths, default=found)


def _late_start(track: Track) -> int:
    """Ticks of the movie for which an empty edit shows nothing at the start (ISO/IEC 14496-12, 8.6.6); mostly 0."""
    edits = track.boxes.get(b"elst", b"")
    wide = edits[:1] == b"\1"
    empty = edits[16:24] == b"\xff" * 8 if wide else edits[12:16] == b"\xff" * 4
    return int.from_bytes(edits[8 : 16 if wide else 12], "big") if empty else 0
